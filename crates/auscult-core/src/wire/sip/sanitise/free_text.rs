//! Text of people and devices: display names, products, reason phrases.

use super::{Built, REMOVED};
use std::borrow::Cow;

/// Longest word that is shown, in bytes: longer ones are tokens or keys, not words.
const WORD_MAX: usize = 64;

/// What a text is, for [`crate::privacy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// The name of a person: removed where numbers are hidden.
    DisplayName,
    /// Words for people: reasons, warnings.
    Phrase,
    /// Names and versions of products.
    Product,
}

/// Adds `text` up to its first `:` or `=`, plain or percent-encoded: what follows may be a password, a token, or a header. Words
/// of more than 64 bytes are removed.
pub(super) fn push(out: &mut Built<'_>, text: &[u8], kind: Text) {
    let end = secret_at(text);
    let (shown, hidden) = text.split_at_checked(end).unwrap_or((text, &[]));
    let shown: Cow<'_, [u8]> = match (out.is_clear(), kind) {
        (true, _) => Cow::Borrowed(shown),
        (false, Text::DisplayName) => return out.extend_from_slice(REMOVED),
        (false, Text::Phrase) => own(out.hiding.privacy.phrase(&String::from_utf8_lossy(shown))),
        (false, Text::Product) => own(out.hiding.privacy.product(&String::from_utf8_lossy(shown))),
    };
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

fn own(text: Cow<'_, str>) -> Cow<'static, [u8]> {
    Cow::Owned(text.into_owned().into_bytes())
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
