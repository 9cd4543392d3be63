//! URIs without passwords: `sip`, `sips` and `tel` are built from their parts, a few `urn` stay, of others the scheme alone.

use super::super::bytes::{cut, trim};
use super::lists::{HEADERS, URI_PARAMS, URN_PREFIXES, USER_PARAMS};
use super::params::push_one;
use super::{Built, Hiding, NAME_MAX, REMOVED};

/// Longest user part, in bytes.
const USER_MAX: usize = 128;
const HOST_MAX: usize = 255;

/// User, its parameters and host, fit to be stored. What was wrong or is not listed is replaced.
pub(super) struct Parts<'p> {
    pub user: Built<'p>,
    /// `;name=value` of the user part.
    pub user_params: Built<'p>,
    /// Without port.
    pub host: Built<'p>,
}

/// `sip:user:password@host:port;params?headers` cut into its parts (RFC 3261 section 19.1.1).
#[derive(Default)]
struct Sip<'a> {
    user: Option<&'a [u8]>,
    password: bool,
    host_port: &'a [u8],
    params: &'a [u8],
    headers: Option<&'a [u8]>,
}

/// Adds a URI.
pub(super) fn push(out: &mut Built<'_>, uri: &[u8]) {
    let uri = trim(uri);
    let (scheme, rest) = match memchr::memchr(b':', uri) {
        Some(at) => (uri.get(..at).unwrap_or_default(), uri.get(at + 1..).unwrap_or_default()),
        // `user@host`, `host` or the `*` of a Contact.
        None => return push_sip(out, uri),
    };
    if !is_scheme(scheme) {
        return out.extend_from_slice(REMOVED);
    }
    out.extend_from_slice(scheme);
    out.push(b':');
    match scheme.to_ascii_lowercase().as_slice() {
        b"sip" | b"sips" => push_sip(out, rest),
        b"tel" => push_tel(out, rest),
        b"urn" if is_known_urn(rest) => out.extend_from_slice(rest),
        _ => out.extend_from_slice(REMOVED),
    }
}

/// The parts a record of a call has.
pub(super) fn parts<'p>(uri: &[u8], hiding: &'p Hiding<'p>) -> Parts<'p> {
    let uri = trim(uri);
    let (scheme, rest) = match memchr::memchr(b':', uri) {
        Some(at) => (uri.get(..at).unwrap_or_default(), uri.get(at + 1..).unwrap_or_default()),
        None => (&b"sip"[..], uri),
    };
    let built = || Built::new(hiding);
    let mut parts = Parts { user: built(), user_params: built(), host: built() };
    if scheme.eq_ignore_ascii_case(b"sip") || scheme.eq_ignore_ascii_case(b"sips") {
        let sip = read(rest);
        if let Some(user) = sip.user {
            push_user(&mut parts.user, &mut parts.user_params, user);
        }
        let host = host_of(sip.host_port);
        match host {
            Some(host) if sip.user.is_none() => parts.host.push_lone_host(host, host),
            Some(host) => parts.host.push_host(host, host),
            None if sip.host_port.is_empty() => {}
            None => parts.host.extend_from_slice(REMOVED),
        }
    } else if scheme.eq_ignore_ascii_case(b"tel") {
        let (number, params) = cut(rest, b';');
        push_number(&mut parts.user, number);
        for param in params.split(|b| *b == b';') {
            push_one(&mut parts.user_params, param, USER_PARAMS);
        }
    } else {
        push(&mut parts.host, uri);
    }
    parts
}

fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.len() <= NAME_MAX
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
}

fn is_known_urn(rest: &[u8]) -> bool {
    let lower = rest.to_ascii_lowercase();
    URN_PREFIXES.iter().any(|p| p.strip_prefix("urn:").is_some_and(|p| lower.starts_with(p.as_bytes())))
        && rest.len() <= USER_MAX
        && rest.iter().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(b))
}

fn read(rest: &[u8]) -> Sip<'_> {
    let question = memchr::memchr(b'?', rest).unwrap_or(rest.len());
    let head = rest.get(..question).unwrap_or(rest);
    // The last `@` before the headers: a password may hold one that is not escaped.
    let mut at = memchr::memrchr(b'@', head);
    if at.is_none() {
        // A `?` within the password: in headers an `@` is escaped.
        at = memchr::memrchr(b'@', rest);
    }
    let (user_info, tail) = match at {
        Some(at) => (rest.get(..at), rest.get(at + 1..).unwrap_or_default()),
        None => (None, rest),
    };
    let host_end = tail.iter().position(|b| matches!(b, b';' | b'?')).unwrap_or(tail.len());
    let (host_port, after) = tail.split_at_checked(host_end).unwrap_or((tail, &[]));
    let (params, headers) = match memchr::memchr(b'?', after) {
        Some(q) => (after.get(..q).unwrap_or_default(), after.get(q + 1..)),
        None => (after, None),
    };
    let colon = user_info.and_then(|info| {
        let is_colon = |at: &usize| info.get(*at..at + 3).is_some_and(|w| w.eq_ignore_ascii_case(b"%3a"));
        let encoded = memchr::memchr_iter(b'%', info).find(is_colon);
        [memchr::memchr(b':', info), encoded].into_iter().flatten().min()
    });
    let user = user_info.map(|info| info.get(..colon.unwrap_or(info.len())).unwrap_or(info));
    Sip { user, password: colon.is_some(), host_port, params, headers }
}

fn push_sip(out: &mut Built<'_>, rest: &[u8]) {
    if rest == b"*" {
        return out.push(b'*');
    }
    let sip = read(rest);
    if let Some(user) = sip.user {
        let mut params = out.fresh();
        push_user(out, &mut params, user);
        out.append(&mut params);
        if sip.password {
            out.push(b':');
            out.extend_from_slice(REMOVED);
        }
        out.push(b'@');
    }
    match host_of(sip.host_port).filter(|_| sip.user.is_none()) {
        Some(host) => out.push_lone_host(host, sip.host_port),
        None => push_host(out, sip.host_port),
    }
    for param in sip.params.split(|b| *b == b';') {
        push_one(out, param, URI_PARAMS);
    }
    let Some(headers) = sip.headers else { return };
    for (n, field) in headers.split(|b| *b == b'&').enumerate() {
        let (name, _) = cut(field, b'=');
        out.push(if n == 0 { b'?' } else { b'&' });
        if HEADERS.iter().any(|(known, ..)| known.as_bytes().eq_ignore_ascii_case(name)) {
            out.extend_from_slice(name);
            out.push(b'=');
        }
        out.extend_from_slice(REMOVED);
    }
}

/// The user without parameters, and its parameters by list. Of a number the digits dialled after a pause are removed
/// (RFC 4967): they may be a PIN.
fn push_user(user_out: &mut Built<'_>, params_out: &mut Built<'_>, user: &[u8]) {
    let (name, params) = cut(user, b';');
    let is_number = name.first().is_some_and(|b| b.is_ascii_digit() || *b == b'+');
    let shown = name
        .iter()
        .position(|b| b"=?".contains(b) || (is_number && *b == b','))
        .map_or(name, |at| name.get(..at).unwrap_or(name));
    let fits = |b: &u8| b.is_ascii_alphanumeric() || *b >= 0x80 || b"-_.!~*'()&+$,/%#[]^|{}`".contains(b);
    if shown.len() > USER_MAX || !shown.iter().all(fits) {
        user_out.extend_from_slice(REMOVED);
    } else {
        user_out.push_user(shown);
        if shown.len() < name.len() {
            user_out.extend_from_slice(REMOVED);
        }
    }
    for param in params.split(|b| *b == b';') {
        push_one(params_out, param, USER_PARAMS);
    }
}

fn push_tel(out: &mut Built<'_>, rest: &[u8]) {
    let (number, params) = cut(rest, b';');
    push_number(out, number);
    for param in params.split(|b| *b == b';') {
        push_one(out, param, USER_PARAMS);
    }
}

/// Digits and visual separators of RFC 3966; the rest is removed.
fn push_number(out: &mut Built<'_>, number: &[u8]) {
    let fits = |b: &u8| b.is_ascii_hexdigit() || b"+*#().-".contains(b);
    let shown = number.iter().take(USER_MAX).take_while(|b| fits(b)).count();
    out.push_user(number.get(..shown).unwrap_or(number));
    if shown < number.len() {
        out.extend_from_slice(REMOVED);
    }
}

/// Adds `host[:port]`; what is none is removed.
pub(super) fn push_host(out: &mut Built<'_>, host_port: &[u8]) {
    match host_of(host_port) {
        Some(host) => out.push_host(host, host_port),
        None => out.extend_from_slice(REMOVED),
    }
}

/// The host of `host[:port]`; `None` when it is none.
pub(super) fn host_of(host_port: &[u8]) -> Option<&[u8]> {
    let (host, port) = match memchr::memrchr(b']', host_port) {
        Some(at) => (host_port.get(..=at)?, host_port.get(at + 1..)?),
        None => {
            let at = memchr::memchr(b':', host_port).unwrap_or(host_port.len());
            (host_port.get(..at)?, host_port.get(at..)?)
        }
    };
    let name = match host.strip_prefix(b"[") {
        Some(inner) => inner.strip_suffix(b"]")?.iter().all(|b| b.is_ascii_hexdigit() || b":.".contains(b)),
        None => host.iter().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(b)),
    };
    let port = port.is_empty()
        || matches!(port, [b':', digits @ ..] if digits.len() <= 6 && digits.iter().all(u8::is_ascii_digit));
    (name && port && !host.is_empty() && host.len() <= HOST_MAX).then_some(host)
}
