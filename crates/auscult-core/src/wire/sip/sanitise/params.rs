//! Parameters `;name=value` of headers and URIs, and the values that pass where a parameter is listed.

use super::super::bytes::{cut, is_token, split_unquoted, trim};
use super::free_text::{self, Text};
use super::{Built, NAME_MAX, REMOVED};

/// Longest value of a listed parameter, in bytes.
const OPAQUE_MAX: usize = 256;

/// Adds the parameters in `params`, which are separated by `;`. Names that are tokens stay, values only where listed.
pub(super) fn push_all(out: &mut Built<'_>, params: &[u8], listed: &[&str]) {
    for param in split_unquoted(params, b';') {
        push_one(out, param, listed);
    }
}

/// Adds `;name` or `;name=value` for one parameter; nothing for an empty one.
pub(super) fn push_one(out: &mut Built<'_>, param: &[u8], listed: &[&str]) {
    let param = trim(param);
    if param.is_empty() {
        return;
    }
    out.push(b';');
    push_pair(out, param, listed);
}

/// As [`push_one`], without the semicolon.
pub(super) fn push_pair(out: &mut Built<'_>, param: &[u8], listed: &[&str]) {
    let (name, value) = cut(param, b'=');
    let name = trim(name);
    if !is_token(name) || name.len() > NAME_MAX {
        return out.extend_from_slice(REMOVED);
    }
    out.push_identifier(name);
    if name.len() < param.len() && param.contains(&b'=') {
        out.push(b'=');
        match is_listed(name, listed) {
            true if is_number(name) => push_number(out, trim(value)),
            true => push_value(out, trim(value)),
            false => out.extend_from_slice(REMOVED),
        }
    }
}

/// Parameters whose values are telephone numbers, or the beginning of one (RFC 3966, RFC 4694), or a host.
fn is_number(name: &[u8]) -> bool {
    is_listed(name, &["phone-context", "ext", "rn", "rn-context"])
}

fn push_number(out: &mut Built<'_>, value: &[u8]) {
    match value {
        value if out.is_clear() || !is_opaque(value) => push_value(out, value),
        // The name of a domain.
        value if value.contains(&b'.') && value.iter().any(u8::is_ascii_alphabetic) => out.push_host(value, value),
        value => out.push_user(value),
    }
}

pub(super) fn is_listed(name: &[u8], listed: &[&str]) -> bool {
    listed.iter().any(|l| l.as_bytes().eq_ignore_ascii_case(name))
}

/// A quoted string or an opaque word; anything else is removed.
pub(super) fn push_value(out: &mut Built<'_>, value: &[u8]) {
    match quoted(value) {
        Some((text, [])) => push_quoted(out, text),
        None if is_opaque(value) => out.push_opaque(value),
        _ => out.extend_from_slice(REMOVED),
    }
}

pub(super) fn push_quoted(out: &mut Built<'_>, text: &[u8]) {
    out.push(b'"');
    free_text::push(out, text, Text::Phrase);
    out.push(b'"');
}

/// The contents of the quoted string at the start of `s`, its escapes untouched, and what follows it.
pub(super) fn quoted(s: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = s.strip_prefix(b"\"")?;
    let mut escaped = false;
    for (at, b) in inner.iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((inner.get(..at)?, inner.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// A value without white space, quotes, brackets or separators, and without `user:password@`.
pub(super) fn is_opaque(value: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_graphic() && !b"\"<>,;\\".contains(b);
    let login = memchr::memrchr(b'@', value).is_some_and(|at| value.get(..at).is_some_and(has_colon));
    !value.is_empty() && value.len() <= OPAQUE_MAX && value.iter().all(plain) && !login
}

fn has_colon(value: &[u8]) -> bool {
    value.contains(&b':') || value.windows(3).any(|w| w.eq_ignore_ascii_case(b"%3a"))
}
