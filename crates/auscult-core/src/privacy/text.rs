//! Numbers within texts.

use super::{HIDDEN, Privacy};
use std::borrow::Cow;
use std::cell::Cell;

/// Digits by which a number is known in an opaque text.
pub const NUMBER_DIGITS: usize = 7;

/// Schemes of URIs with a user.
const SCHEMES: [&str; 4] = ["sips:", "sip:", "tel:", "im:"];

/// What ends a URI within a text.
const URI_ENDS: &[char] = &['<', '>', '"', ' ', '\t', ',', '\''];

/// The text with percent-encoded letters and digits as they are meant (RFC 3986 section 2.4).
pub fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match escaped(&bytes[at..]) {
            Some(meant) => (out.push(meant), at += 3).0,
            None => (out.push(*byte), at += 1).0,
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The byte that `%XX` at the start stands for.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    Some((digit(*high)? << 4 | digit(*low)?) as u8)
}

/// A digit at the start, also one that is percent-encoded or of another script, with its length in bytes.
fn digit(text: &str) -> Option<usize> {
    if let Some(byte) = escaped(text.as_bytes()) {
        return byte.is_ascii_digit().then_some(3);
    }
    text.chars().next().filter(|c| c.is_numeric()).map(char::len_utf8)
}

/// Runs of digits with one or two of the separators between them: where each begins and ends, and how many digits it has.
fn runs<'a>(text: &'a str, separators: &'a str) -> impl Iterator<Item = (usize, usize, usize)> + 'a {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() && digit(&text[at..]).is_none() {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if at >= text.len() {
            return None;
        }
        let begin = at;
        let (mut end, mut digits, mut between) = (at, 0, 0);
        while let Some(c) = text[at..].chars().next() {
            if let Some(length) = digit(&text[at..]) {
                (at, digits, between) = (at + length, digits + 1, 0);
                end = at;
            } else if separators.contains(c) && between < 2 {
                (at, between) = (at + c.len_utf8(), between + 1);
            } else {
                break;
            }
        }
        at = end;
        Some((begin, end, digits))
    })
}

/// Whether there may be so many digits: bytes that are none and stand for none are passed over quickly.
pub fn may_have_digits(text: &str, least: usize) -> bool {
    text.bytes().filter(|b| b.is_ascii_digit() || *b == b'%' || !b.is_ascii()).take(least).count() == least
}

/// Whether there are as many digits as a number has.
pub fn has_number(text: &str, separators: &str) -> bool {
    // Each digit has a byte of its own at least, or a percent sign with one or two digits.
    may_have_digits(text, NUMBER_DIGITS) && runs(text, separators).any(|(.., digits)| digits >= NUMBER_DIGITS)
}

/// The text with `***` for runs of at least `least` digits. Addresses (IPv4) stay.
pub fn without_numbers<'a>(text: &'a str, least: usize, separators: &str) -> Cow<'a, str> {
    let mut out = String::new();
    let mut copied = 0;
    for (begin, end, digits) in runs(text, separators) {
        if digits < least || is_ipv4(text, begin, end) {
            continue;
        }
        out.push_str(&text[copied..begin]);
        out.push_str(HIDDEN);
        copied = end;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

fn is_ipv4(text: &str, begin: usize, end: usize) -> bool {
    text[begin..end].parse::<std::net::Ipv4Addr>().is_ok()
}

/// Users of one value, with a bound on the hashes they take.
struct Users<'p> {
    privacy: &'p Privacy,
    without_hashes: Privacy,
    left: Cell<usize>,
}

impl Users<'_> {
    /// How the next user is hidden.
    fn next(&self) -> &Privacy {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if left > 0 { self.privacy } else { &self.without_hashes }
    }
}

/// See [`Privacy::unknown`].
pub fn unknown(privacy: &Privacy, value: &str, hashes: &mut usize) -> String {
    let mut out = String::with_capacity(value.len());
    let users = Users { privacy, without_hashes: privacy.without_hashes(), left: Cell::new(*hashes) };
    push_unknown(&users, value, true, &mut out);
    *hashes = users.left.get();
    without_numbers(&out, 5, " ()./-").into_owned()
}

/// `quotes`: quoted texts are looked for. Within one they are not, so that each byte is read a bounded number of times.
fn push_unknown(users: &Users<'_>, value: &str, quotes: bool, out: &mut String) {
    let mut rest = value;
    while !rest.is_empty() {
        if let Some(scheme) = scheme(rest) {
            out.push_str(&rest[..scheme]);
            rest = &rest[scheme..];
            let end = rest.find(URI_ENDS).unwrap_or(rest.len());
            push_uri(users.next(), &rest[..end], out);
            rest = &rest[end..];
        } else if quotes && let Some((inner, after)) = quoted(rest) {
            out.push('"');
            match after.trim_start().starts_with('<') || after.is_empty() && !rest.ends_with('"') {
                // A display name; a quote that is never closed may be one as well.
                true => out.push_str(HIDDEN),
                false => push_unknown(users, inner, false, out),
            }
            out.push('"');
            rest = after;
        } else {
            let end = word_end(rest);
            push_word(users, &rest[..end], out);
            rest = &rest[end..];
        }
    }
}

/// Bytes of a scheme of URIs at the start.
fn scheme(text: &str) -> Option<usize> {
    let is = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    SCHEMES.into_iter().find(|scheme| is(scheme)).map(str::len)
}

/// A quoted text at the start without its quotes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inner.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(end.map_or((inner, ""), |end| (&inner[..end], &inner[end + 1..])))
}

/// The end of what is looked at at once: a word up to a mark after which a URI or a quoted text may begin.
fn word_end(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    if text.starts_with(|c: char| !is_of_a_word(c)) {
        return first;
    }
    text.find(|c: char| !is_of_a_word(c)).unwrap_or(text.len()).max(first)
}

fn is_of_a_word(c: char) -> bool {
    !c.is_whitespace() && !"<>\",;='()".contains(c) && c != ':'
}

/// `user@host`, or any other word.
fn push_word(users: &Users<'_>, word: &str, out: &mut String) {
    match word.rsplit_once('@') {
        Some((user, host)) => {
            out.push_str(&users.next().user(user));
            out.push('@');
            out.push_str(host);
        }
        None => out.push_str(word),
    }
}

/// `user:password;params@host;params` or a number, without its scheme. Parameters with digits lose them below.
fn push_uri(privacy: &Privacy, uri: &str, out: &mut String) {
    let (user, tail) = match uri.rsplit_once('@') {
        Some((user, host)) => (user, Some(host)),
        None => (uri, None),
    };
    let (name, params) = match user.find([';', '?', ':']) {
        Some(at) => user.split_at(at),
        None => (user, ""),
    };
    match tail {
        Some(host) => {
            out.push_str(&privacy.user(name));
            out.push_str(if params.is_empty() { "" } else { ";***" });
            out.push('@');
            out.push_str(host);
        }
        None => {
            let is_host = name.contains('.') && !super::is_number(&super::bare(name));
            out.push_str(&if is_host { privacy.host(name) } else { privacy.user(name) });
            out.push_str(params);
        }
    }
}
