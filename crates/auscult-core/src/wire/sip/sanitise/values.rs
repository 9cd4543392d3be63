//! Values of listed headers, built anew from their parts.

use super::super::bytes::{cut, is_lws, is_token, split_unquoted, trim};
use super::free_text::{self, Text};
use super::lists::{Kind, VIA_PARAMS};
use super::params::{push_all, push_pair, push_quoted, quoted};
use super::{Built, NAME_MAX, REMOVED, credentials, passport, uri};
use crate::privacy::Privacy;
use crate::wire::sip::FIELD_MAX;

/// Longest Call-ID, in bytes: longer ones are cut.
const CALL_ID_MAX: usize = 512;

pub(super) fn push(out: &mut Built<'_>, kind: &Kind, value: &[u8]) {
    match kind {
        Kind::Address(params) => push_address(out, value, params),
        Kind::Addresses(params) => separated(out, value, |out, entry| push_address(out, entry, params)),
        Kind::Via => separated(out, value, push_via),
        Kind::Items(params) => separated(out, value, |out, entry| push_item(out, entry, params)),
        Kind::Words => push_words(out, value),
        Kind::CallId(params) => {
            let (id, rest) = cut(value, b';');
            // A Call-ID may hold a semicolon, though it must not: without listed parameters it is one text.
            match params.is_empty() {
                true => push_call_id(out, value),
                false => {
                    push_call_id(out, trim(id));
                    push_all(out, rest, params);
                }
            }
        }
        Kind::Pairs(params) => {
            for (n, pair) in split_unquoted(value, b';').map(trim).filter(|p| !p.is_empty()).enumerate() {
                if n > 0 {
                    out.push(b';');
                }
                push_pair(out, pair, params);
            }
        }
        Kind::Text => free_text::push(out, value, Text::Product),
        Kind::Date => out.extend_from_slice(if is_date(value) { value } else { REMOVED }),
        Kind::Warning => separated(out, value, push_warning),
        Kind::Credentials => credentials::push(out, value),
        Kind::Passport => passport::push(out, value),
    }
}

/// Entries between commas that are not quoted or bracketed.
fn separated(out: &mut Built<'_>, value: &[u8], mut entry: impl FnMut(&mut Built<'_>, &[u8])) {
    for (n, piece) in split_unquoted(value, b',').map(trim).filter(|p| !p.is_empty()).enumerate() {
        if n > 0 {
            out.extend_from_slice(b", ");
        }
        entry(out, piece);
    }
}

/// `"display" <uri>;params`, `display <uri>;params` or `uri;params`.
fn push_address(out: &mut Built<'_>, value: &[u8], listed: &[&str]) {
    let value = trim(value);
    let rest = if let Some((display, rest)) = quoted(value) {
        out.push(b'"');
        free_text::push(out, display, Text::DisplayName);
        out.push(b'"');
        out.push(b' ');
        trim(rest)
    } else if value.starts_with(b"\"") {
        // The quote is never closed: what belongs to the name is not known.
        return out.extend_from_slice(REMOVED);
    } else {
        let open = memchr::memchr(b'<', value);
        let (display, rest) = value.split_at_checked(open.unwrap_or(0)).unwrap_or((&[], value));
        if !trim(display).is_empty() {
            free_text::push(out, trim(display), Text::DisplayName);
            out.push(b' ');
        }
        rest
    };
    let (address, params) = match rest.strip_prefix(b"<") {
        Some(inner) => {
            let end = memchr::memchr(b'>', inner);
            let (address, after) = match end {
                Some(at) => (inner.get(..at).unwrap_or(inner), inner.get(at + 1..).unwrap_or_default()),
                // Never closed: its parameters are taken for those of the header.
                None => {
                    inner.split_at_checked(memchr::memchr(b';', inner).unwrap_or(inner.len())).unwrap_or((inner, &[]))
                }
            };
            out.push(b'<');
            uri::push(out, address);
            out.push(b'>');
            (&[][..], after)
        }
        None => {
            // Parameters belong to the header (RFC 3261 section 20), and a password may hold a semicolon.
            let host = memchr::memchr(b'@', rest).unwrap_or(0);
            let end = rest.get(host..).and_then(|r| memchr::memchr(b';', r)).map_or(rest.len(), |at| host + at);
            rest.split_at_checked(end).unwrap_or((rest, &[]))
        }
    };
    if !address.is_empty() {
        uri::push(out, address);
    }
    let (junk, params) = cut(params, b';');
    if !trim(junk).is_empty() {
        out.push(b' ');
        out.extend_from_slice(REMOVED);
    }
    push_all(out, params, listed);
}

/// `SIP/2.0/UDP host:port;params`; white space is allowed around `/` and `:`.
fn push_via(out: &mut Built<'_>, entry: &[u8]) {
    let (head, params) = cut(entry, b';');
    let mut tight: Vec<u8> = Vec::with_capacity(head.len());
    for word in head.split(|b| is_lws(*b)).filter(|w| !w.is_empty()) {
        let joins = |b: Option<&u8>| b.is_none_or(|b| b"/:".contains(b));
        if !joins(tight.last()) && !joins(word.first()) {
            tight.push(b' ');
        }
        tight.extend_from_slice(word);
    }
    let (protocol, sent_by) = cut(&tight, b' ');
    let mut parts = protocol.split(|b| *b == b'/');
    if parts.clone().count() == 3 && parts.all(|p| is_token(p) && p.len() <= 16) {
        out.extend_from_slice(protocol);
    } else {
        out.extend_from_slice(REMOVED);
    }
    out.push(b' ');
    uri::push_host(out, sent_by);
    push_all(out, params, VIA_PARAMS);
}

/// `token;params`, `type/subtype;params`, or a number; a comment in brackets is removed.
fn push_item(out: &mut Built<'_>, entry: &[u8], listed: &[&str]) {
    let (head, params) = cut(entry, b';');
    let head = trim(head);
    let word_end = head.iter().position(|b| is_lws(*b) || *b == b'(').unwrap_or(head.len());
    let (word, after) = head.split_at_checked(word_end).unwrap_or((head, &[]));
    let fits = word.len() <= NAME_MAX && word.split(|b| *b == b'/').all(is_token);
    match fits {
        true => out.push_identifier(word),
        false => out.extend_from_slice(REMOVED),
    }
    if !trim(after).is_empty() {
        out.push(b' ');
        out.extend_from_slice(REMOVED);
    }
    push_all(out, params, listed);
}

fn push_words(out: &mut Built<'_>, value: &[u8]) {
    for (n, word) in value.split(|b| is_lws(*b)).filter(|w| !w.is_empty()).enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        if n == 3 {
            return out.extend_from_slice(REMOVED);
        }
        match is_token(word) && word.len() <= NAME_MAX {
            // CSeq, RAck and Timestamp are numbers of up to ten digits.
            true if word.len() <= 10 && word.iter().all(u8::is_ascii_digit) => out.extend_from_slice(word),
            true => out.push_identifier(word),
            false => out.extend_from_slice(REMOVED),
        }
    }
}

/// A Call-ID: one word, opaque. One that is a URI has no password.
pub(super) fn push_call_id(out: &mut Built<'_>, value: &[u8]) {
    let end = value.iter().position(|b| is_lws(*b) || *b == 0).unwrap_or(value.len());
    let (word, after) = value.split_at_checked(end).unwrap_or((value, &[]));
    if !out.is_clear() {
        // Hashed as a record has it in clear, which is what a search is asked for.
        let clear = super::call_id_text(word, FIELD_MAX, &Privacy::clear());
        return out.push_call_id(clear.as_bytes());
    }
    let scheme = memchr::memchr(b':', word).and_then(|at| word.get(..at)).unwrap_or_default();
    if scheme.eq_ignore_ascii_case(b"sip") || scheme.eq_ignore_ascii_case(b"sips") {
        uri::push(out, word);
    } else {
        out.extend_from_slice(word.get(..CALL_ID_MAX).unwrap_or(word));
    }
    if !trim(after).is_empty() {
        out.push(b' ');
        out.extend_from_slice(REMOVED);
    }
}

/// `399 agent "text"` (RFC 3261 section 20.43).
fn push_warning(out: &mut Built<'_>, entry: &[u8]) {
    let (code, rest) = entry.split_at_checked(3).unwrap_or((entry, &[]));
    let rest = trim(rest);
    let agent_end = rest.iter().position(|b| is_lws(*b)).unwrap_or(rest.len());
    let (agent, text) = rest.split_at_checked(agent_end).unwrap_or((rest, &[]));
    match quoted(trim(text)) {
        Some((text, [])) if code.iter().all(u8::is_ascii_digit) => {
            out.extend_from_slice(code);
            out.push(b' ');
            match uri::host_of(agent) {
                Some(host) => out.push_host(host, agent),
                None if is_token(agent) => out.push_identifier(agent),
                None => out.extend_from_slice(REMOVED),
            }
            out.push(b' ');
            push_quoted(out, text);
        }
        _ => out.extend_from_slice(REMOVED),
    }
}

/// `Sat, 13 Nov 2010 23:29:00 GMT`, and other zones as they are sent.
fn is_date(value: &[u8]) -> bool {
    let words: Vec<&[u8]> = value.split(|b| is_lws(*b)).filter(|w| !w.is_empty()).collect();
    let [day, date, month, year, time, zone] = words.as_slice() else { return false };
    let digits = |w: &[u8], most: usize| !w.is_empty() && w.len() <= most && w.iter().all(u8::is_ascii_digit);
    let letters = |w: &[u8], most: usize| !w.is_empty() && w.len() <= most && w.iter().all(u8::is_ascii_alphabetic);
    day.strip_suffix(b",").is_some_and(|d| letters(d, 3))
        && digits(date, 2)
        && letters(month, 3)
        && digits(year, 4)
        && time.split(|b| *b == b':').count() == 3
        && time.split(|b| *b == b':').all(|t| digits(t, 2))
        && (letters(zone, 4) || zone.strip_prefix(b"+").or(zone.strip_prefix(b"-")).is_some_and(|z| digits(z, 4)))
}
