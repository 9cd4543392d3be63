//! Parameters `;name=value` of headers and URIs, and the values that pass where a parameter is listed.

use super::super::bytes::{cut, is_token, split_unquoted, trim};
use super::{NAME_MAX, REMOVED, free_text};

/// Longest value of a listed parameter, in bytes.
const OPAQUE_MAX: usize = 256;

/// Adds the parameters in `params`, which are separated by `;`. Names that are tokens stay, values only where listed.
pub(super) fn push_all(out: &mut Vec<u8>, params: &[u8], listed: &[&str]) {
    for param in split_unquoted(params, b';') {
        push_one(out, param, listed);
    }
}

/// Adds `;name` or `;name=value` for one parameter; nothing for an empty one.
pub(super) fn push_one(out: &mut Vec<u8>, param: &[u8], listed: &[&str]) {
    let param = trim(param);
    if param.is_empty() {
        return;
    }
    out.push(b';');
    push_pair(out, param, listed);
}

/// As [`push_one`], without the semicolon.
pub(super) fn push_pair(out: &mut Vec<u8>, param: &[u8], listed: &[&str]) {
    let (name, value) = cut(param, b'=');
    let name = trim(name);
    if !is_token(name) || name.len() > NAME_MAX {
        return out.extend_from_slice(REMOVED);
    }
    out.extend_from_slice(name);
    if name.len() < param.len() && param.contains(&b'=') {
        out.push(b'=');
        match is_listed(name, listed) {
            true => push_value(out, trim(value)),
            false => out.extend_from_slice(REMOVED),
        }
    }
}

pub(super) fn is_listed(name: &[u8], listed: &[&str]) -> bool {
    listed.iter().any(|l| l.as_bytes().eq_ignore_ascii_case(name))
}

/// A quoted string or an opaque word; anything else is removed.
pub(super) fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    match quoted(value) {
        Some((text, [])) => push_quoted(out, text),
        None if is_opaque(value) => out.extend_from_slice(value),
        _ => out.extend_from_slice(REMOVED),
    }
}

pub(super) fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    free_text::push(out, text);
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
