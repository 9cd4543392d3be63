//! `Authorization` and its kin: the scheme and the harmless parameters of Digest (RFC 3261 section 25.1, RFC 7616).

use super::super::bytes::{cut, is_lws, trim};
use super::free_text::{self, Text};
use super::lists::{DIGEST_PARAMS, SCHEMES};
use super::params::{is_listed, push_value, quoted};
use super::{Built, REMOVED, uri};

/// Adds the scheme, where it is one that is known, and the parameters. Where the grammar does not hold (a separator that is no
/// comma, a quote that is not closed, two words in a row), everything after the scheme goes: a receiver that reads it
/// otherwise may see a secret in what looks like a realm.
pub(super) fn push(out: &mut Built<'_>, value: &[u8]) {
    let value = trim(value);
    let word = value.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    let (word, after) = value.split_at_checked(word).unwrap_or((value, &[]));
    // Authentication-Info has no scheme: its first word is a parameter.
    let bare = trim(after).starts_with(b"=");
    let digest = word.eq_ignore_ascii_case(b"Digest");
    let known = is_listed(word, SCHEMES) && after.first().is_none_or(|b| is_lws(*b));
    if !bare && !known {
        return out.extend_from_slice(REMOVED);
    }
    let mut params = out.fresh();
    let listed = if bare { push_params(&mut params, value) } else { digest && push_params(&mut params, after) };
    if !bare {
        out.extend_from_slice(word);
        if trim(after).is_empty() {
            return;
        }
        out.push(b' ');
    }
    out.extend_from_slice(if listed { &params } else { REMOVED });
}

/// `name=value, name="value"`. Whether the grammar holds.
fn push_params(out: &mut Built<'_>, params: &[u8]) -> bool {
    let mut rest = trim(params);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b",") {
            rest = trim(after);
            continue;
        }
        let name = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b)).count();
        let (name, after) = rest.split_at_checked(name).unwrap_or((rest, &[]));
        let Some(after) = trim(after).strip_prefix(b"=").map(trim) else { return false };
        let (value, after) = match quoted(after) {
            Some((text, after)) => (Value::Quoted(text), after),
            None => {
                let end = after.iter().position(|b| is_lws(*b) || b",;\"".contains(b)).unwrap_or(after.len());
                let (word, after) = after.split_at_checked(end).unwrap_or((after, &[]));
                (Value::Word(word), after)
            }
        };
        rest = trim(after);
        if name.is_empty() || name.len() > super::NAME_MAX || !(rest.is_empty() || rest.starts_with(b",")) {
            return false;
        }
        if !out.is_empty() {
            out.extend_from_slice(b", ");
        }
        out.push_identifier(name);
        out.push(b'=');
        push_param(out, name, &value);
    }
    true
}

enum Value<'a> {
    Quoted(&'a [u8]),
    Word(&'a [u8]),
}

fn push_param(out: &mut Built<'_>, name: &[u8], value: &Value<'_>) {
    let (quotes, text) = match value {
        Value::Quoted(text) => (true, *text),
        Value::Word(word) => (false, *word),
    };
    let is = |names: &[&str]| is_listed(name, names);
    if !is(DIGEST_PARAMS) {
        return out.extend_from_slice(REMOVED);
    }
    if is(&["uri", "domain", "username"]) && (!is(&["username"]) || has_scheme(text)) {
        let open: &[u8] = if quotes { b"\"" } else { b"" };
        out.extend_from_slice(open);
        // `domain` is a list of URIs.
        for (n, one) in text.split(|b| *b == b' ').filter(|u| !u.is_empty()).enumerate() {
            if n > 0 {
                out.push(b' ');
            }
            uri::push(out, one);
        }
        return out.extend_from_slice(open);
    }
    if is(&["username"]) && !out.is_clear() {
        let open: &[u8] = if quotes { b"\"" } else { b"" };
        out.extend_from_slice(open);
        let (user, host) = cut(text, b'@');
        out.push_user(user);
        if user.len() < text.len() {
            out.push(b'@');
            uri::push_host(out, host);
        }
        return out.extend_from_slice(open);
    }
    if quotes {
        out.push(b'"');
        free_text::push(out, text, Text::Phrase);
        return out.push(b'"');
    }
    match text {
        [] => {}
        text if text.contains(&b':') => free_text::push(out, text, Text::Phrase),
        text => push_value(out, text),
    }
}

fn has_scheme(text: &[u8]) -> bool {
    [&b"sip:"[..], b"sips:", b"tel:"].iter().any(|s| text.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)))
}
