//! Small helpers over untrusted bytes: trimming, splitting outside quotes, text fit to be stored.

use crate::units::text::clean_bytes;
use crate::wire::steps::scanned;

/// SIP's linear white space, line ends of folded headers included.
pub(super) fn is_lws(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

pub(super) fn trim(mut s: &[u8]) -> &[u8] {
    let before = s.len();
    while let [first, rest @ ..] = s
        && is_lws(*first)
    {
        s = rest;
    }
    while let [rest @ .., last] = s
        && is_lws(*last)
    {
        s = rest;
    }
    scanned(before - s.len());
    s
}

/// `s` before and after its first `byte`; all of `s` and nothing when it has none.
pub(super) fn cut(s: &[u8], byte: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(byte, s) {
        Some(at) => (s.get(..at).unwrap_or(s), s.get(at + 1..).unwrap_or(&[])),
        None => (s, &[]),
    }
}

/// Pieces of `s` between `separator`s that are not inside a quoted string or angle brackets.
pub(super) fn split_unquoted(s: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(s);
    std::iter::from_fn(move || {
        let s = rest?;
        match find_unquoted(s, separator) {
            Some(at) => {
                rest = s.get(at + 1..);
                s.get(..at)
            }
            None => {
                rest = None;
                Some(s)
            }
        }
    })
}

fn find_unquoted(s: &[u8], byte: u8) -> Option<usize> {
    let (mut at, mut angle) = (0, false);
    loop {
        let rest = s.get(at..).filter(|rest| !rest.is_empty())?;
        let next = match angle {
            true => memchr::memchr2(b'"', b'>', rest),
            false => memchr::memchr3(byte, b'"', b'<', rest),
        };
        scanned(next.map_or(rest.len(), |n| n + 1));
        at += next?;
        match s.get(at)? {
            b'"' => at = quoted_end(s, at + 1)?,
            b'<' => (at, angle) = (at + 1, true),
            b'>' => (at, angle) = (at + 1, false),
            _ => return Some(at),
        }
    }
}

/// What follows the quote that ends the text from `at` on; a backslash takes the next byte with it.
fn quoted_end(s: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let rest = s.get(at..)?;
        let next = memchr::memchr2(b'\\', b'"', rest);
        scanned(next.map_or(rest.len(), |n| n + 1));
        let next = next?;
        if rest.get(next) == Some(&b'"') {
            return Some(at + next + 1);
        }
        at += next + 2;
    }
}

/// Value of parameter `name` in `;name=value;flag` text (RFC 3261 generic-param), without quotes.
pub(super) fn param<'a>(params: &'a [u8], name: &str) -> Option<&'a [u8]> {
    split_unquoted(params, b';').find_map(|p| {
        let (key, value) = cut(p, b'=');
        trim(key).eq_ignore_ascii_case(name.as_bytes()).then(|| unquote(trim(value)))
    })
}

pub(super) fn unquote(s: &[u8]) -> &[u8] {
    match s {
        [b'"', inner @ .., b'"'] => inner,
        [b'"', inner @ ..] => inner,
        _ => s,
    }
}

/// Decimal digits as a number; `None` for anything else and above 64 bits.
pub(super) fn number(s: &[u8]) -> Option<u64> {
    if s.is_empty() {
        return None;
    }
    s.iter().try_fold(0u64, |n, b| {
        let digit = b.checked_sub(b'0').filter(|d| *d <= 9)?;
        n.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// RFC 3261 token, the alphabet of methods and header names.
pub(super) fn is_token(s: &[u8]) -> bool {
    const TOKEN: [bool; 256] = {
        let (mut table, mut b) = ([false; 256], 0);
        while b < 128 {
            let c = b as u8;
            table[b] = c.is_ascii_alphanumeric()
                || matches!(c, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
            b += 1;
        }
        table
    };
    !s.is_empty() && s.iter().all(|b| TOKEN[usize::from(*b)])
}

/// Bytes as one line of text fit to be stored and shown, at most `max` bytes ([`crate::units::text::clean_bytes`]).
pub fn text(bytes: &[u8], max: usize) -> String {
    clean_bytes(bytes, max)
}

pub(super) use crate::units::text::visible;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_wrap() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!((number(b""), number(b"-1"), number(b"0x1")), (None, None, None));
    }

    #[test]
    fn parameters_outside_quotes_only() {
        assert_eq!(param(b";x=\";tag=no\"; TAG = a\r\n ;y", "tag"), Some(&b"a"[..]));
        assert_eq!(param(b";lr", "lr"), Some(&b""[..]));
        assert_eq!(param(b"", "tag"), None);
    }

    #[test]
    fn stored_text_shows_control_characters_and_keeps_its_size() {
        assert_eq!(text(b" a\r\n  b\x1b[0m\x00\xff ", 512), "a b\u{241b}[0m\u{2400}\u{fffd}");
        assert_eq!(text("é".repeat(400).as_bytes(), 512).len(), 512);
        assert_eq!(text(&[0xff; 2000], 512).len(), 510);
    }
}
