//! Text of people and devices: display names, products, reason phrases.

use super::REMOVED;

/// Longest word that is shown, in bytes: longer ones are tokens or keys, not words.
const WORD_MAX: usize = 64;

/// Adds `text` up to its first `:` or `=`, plain or percent-encoded: what follows may be a password, a token, or a header. Words
/// of more than 64 bytes are removed.
pub(super) fn push(out: &mut Vec<u8>, text: &[u8]) {
    let end = secret_at(text);
    let (shown, hidden) = text.split_at_checked(end).unwrap_or((text, &[]));
    for (n, word) in shown.split(|b| *b == b' ').enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(if word.len() > WORD_MAX { REMOVED } else { word });
    }
    if !hidden.trim_ascii().is_empty() {
        out.extend_from_slice(REMOVED);
    }
}

/// The place after the first `:` or `=`, or the end.
fn secret_at(text: &[u8]) -> usize {
    for at in memchr::memchr3_iter(b':', b'=', b'%', text) {
        match text.get(at..) {
            Some([b':' | b'=', ..]) => return at + 1,
            Some([b'%', b'3', b'a' | b'A' | b'd' | b'D', ..]) => return at + 3,
            _ => {}
        }
    }
    text.len()
}
