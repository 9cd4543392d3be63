//! PASSporT tokens of the Identity header (RFC 8224, RFC 8225, RFC 8588): listed claims as JSON, never the signature.

use super::super::bytes::{cut, trim};
use super::lists::{IDENTITY_PARAMS, PASSPORT_CLAIMS, PASSPORT_HEADER};
use super::params::push_all;
use super::{Built, REMOVED, uri};
use serde_json::{Map, Value};

/// Longest part of a token that is decoded, in bytes of base64url.
const PART_MAX: usize = 4096;
/// Longest text of a claim, in bytes.
const TEXT_MAX: usize = 64;
/// Most numbers or URIs of one `dest` claim.
const DEST_MAX: usize = 16;

/// Adds `{header}.{claims}.***` and the parameters; a part that cannot be decoded is removed.
pub(super) fn push(out: &mut Built<'_>, value: &[u8]) {
    let (token, params) = cut(value, b';');
    let parts: Vec<&[u8]> = trim(token).split(|b| *b == b'.').collect();
    if let [header, claims, _signature] = parts.as_slice() {
        push_part(out, header, PASSPORT_HEADER);
        out.push(b'.');
        push_part(out, claims, PASSPORT_CLAIMS);
        out.push(b'.');
    }
    out.extend_from_slice(REMOVED);
    push_all(out, params, IDENTITY_PARAMS);
}

/// The compact form has empty parts (RFC 8225 section 7).
fn push_part(out: &mut Built<'_>, part: &[u8], listed: &[&str]) {
    if part.is_empty() {
        return;
    }
    let decoded = (part.len() <= PART_MAX).then(|| base64url(part)).flatten();
    let Some(Value::Object(object)) = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok()) else {
        return out.extend_from_slice(REMOVED);
    };
    let shown: Map<String, Value> =
        listed.iter().filter_map(|name| Some(((*name).to_owned(), claim(name, object.get(*name)?, out)))).collect();
    out.extend_from_slice(Value::Object(shown).to_string().as_bytes());
}

fn claim(name: &str, value: &Value, out: &Built<'_>) -> Value {
    match (name, value) {
        ("iat", Value::Number(n)) if n.is_u64() => value.clone(),
        ("orig" | "dest" | "div", Value::Object(party)) => {
            let shown = ["tn", "uri"]
                .into_iter()
                .filter_map(|key| Some((key.to_owned(), identities(key, party.get(key)?, out))));
            Value::Object(shown.collect())
        }
        ("iat" | "orig" | "dest" | "div", _) => removed(),
        (_, Value::String(text)) if is_word(text) => built(out, |out| out.push_identifier(text.as_bytes())),
        _ => removed(),
    }
}

/// A number or URI, or a list of them.
fn identities(key: &str, value: &Value, out: &Built<'_>) -> Value {
    match value {
        Value::String(text) => identity(key, text, out),
        Value::Array(list) => Value::Array(
            list.iter()
                .take(DEST_MAX)
                .map(|v| v.as_str().map_or_else(removed, |text| identity(key, text, out)))
                .collect(),
        ),
        _ => removed(),
    }
}

fn identity(key: &str, text: &str, out: &Built<'_>) -> Value {
    if key == "uri" {
        return built(out, |out| uri::push(out, text.as_bytes()));
    }
    let number =
        !text.is_empty() && text.len() <= TEXT_MAX && text.bytes().all(|b| b.is_ascii_digit() || b"+*#".contains(&b));
    if number { built(out, |out| out.push_user(text.as_bytes())) } else { removed() }
}

/// A text as it is built.
fn built(out: &Built<'_>, build: impl FnOnce(&mut Built<'_>)) -> Value {
    let mut text = out.fresh();
    build(&mut text);
    Value::String(String::from_utf8_lossy(&text).into_owned())
}

/// `A`, `ES256`, `shaken`, a UUID.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= TEXT_MAX
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+/".contains(&b))
}

fn removed() -> Value {
    Value::String("***".to_owned())
}

/// RFC 4648 section 5, with or without padding.
fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for b in text.iter().take_while(|b| **b != b'=') {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}
