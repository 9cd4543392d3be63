//! A message as evidence that may be stored: no secrets, no foreign bodies, no control characters.

use super::bytes::{cut, trim, visible};
use super::headers::{Lines, split_header};
use super::{HEADERS_MAX, Message};

const HEADERS_TEXT_MAX: usize = 16 * 1024;
const SDP_TEXT_MAX: usize = 16 * 1024;
/// What a secret is replaced by.
const REMOVED: &str = "***";
/// Parameters of RFC 7616 that help to guess a password.
const DIGEST_SECRETS: [&str; 6] = ["response", "nonce", "cnonce", "opaque", "rspauth", "nextnonce"];

/// Start line and headers, then SDP, each with LF line ends and cut at 16 KiB. Digest values and tokens of
/// `Authorization` and its kin are replaced, so are keys in SDP (`a=crypto`, `a=key-mgmt`, `k=`, `a=ice-pwd`).
/// Other bodies are left out: they carry text messages, locations, DTMF.
pub fn sanitise(message: &Message<'_>) -> (String, String) {
    let mut headers = String::new();
    push_line(&mut headers, message.first_line, HEADERS_TEXT_MAX);
    for line in Lines::new(message.headers).take(HEADERS_MAX) {
        match split_header(line.bytes) {
            Some((name, value)) if is_credential(name) => {
                let mut clean = name.to_vec();
                clean.extend_from_slice(b": ");
                clean.extend_from_slice(&without_secrets(value));
                push_line(&mut headers, &clean, HEADERS_TEXT_MAX);
            }
            _ => line.bytes.split(|b| *b == b'\n').for_each(|l| push_line(&mut headers, l, HEADERS_TEXT_MAX)),
        }
    }
    let mut sdp = String::new();
    if let Some(body) = message.sdp() {
        for line in body.bytes.split(|b| *b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                push_line(&mut sdp, &without_keys(line), SDP_TEXT_MAX);
            }
        }
    }
    (headers, sdp)
}

fn push_line(out: &mut String, line: &[u8], max: usize) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let room = max.saturating_sub(out.len());
    let line = line.get(..line.len().min(room)).unwrap_or(line);
    for c in String::from_utf8_lossy(line).chars() {
        let c = if c == '\t' { ' ' } else { visible(c) };
        if out.len() + c.len_utf8() >= max {
            return;
        }
        out.push(c);
    }
    if out.len() < max {
        out.push('\n');
    }
}

fn is_credential(name: &[u8]) -> bool {
    [
        "Authorization",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "Proxy-Authenticate",
        "Authentication-Info",
        "Proxy-Authentication-Info",
    ]
    .iter()
    .any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
}

/// Scheme and harmless parameters stay; of schemes other than Digest, only the name stays.
fn without_secrets(value: &[u8]) -> Vec<u8> {
    let value = trim(value);
    let word = value.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    let (scheme, params) = value.split_at_checked(word).unwrap_or((value, &[]));
    // Authentication-Info has no scheme: its first word is a parameter.
    let (mut out, params) = match params.first() {
        Some(b'=') => (Vec::new(), value),
        _ => (scheme.to_vec(), params),
    };
    if !out.is_empty() && !scheme.eq_ignore_ascii_case(b"Digest") {
        out.push(b' ');
        out.extend_from_slice(REMOVED.as_bytes());
        return out;
    }
    for (n, part) in split_commas(params).enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let (name, rest) = cut(part, b'=');
        let secret = DIGEST_SECRETS.iter().any(|s| trim(name).eq_ignore_ascii_case(s.as_bytes()));
        if !out.is_empty() || n > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(trim(name));
        if rest.is_empty() && !part.contains(&b'=') {
            continue;
        }
        out.push(b'=');
        out.extend_from_slice(if secret { REMOVED.as_bytes() } else { trim(rest) });
    }
    out
}

/// Pieces between commas outside quotes; a quote never closed ends the splitting, so that no secret hides behind it.
fn split_commas(s: &[u8]) -> impl Iterator<Item = &[u8]> {
    let balanced = s.iter().filter(|b| **b == b'"').count() % 2 == 0;
    let mut quoted = false;
    s.split(move |b| {
        quoted ^= balanced && *b == b'"';
        *b == b',' && !quoted
    })
}

fn without_keys(line: &[u8]) -> Vec<u8> {
    let lower = line.to_ascii_lowercase();
    let starts = |p: &str| lower.starts_with(p.as_bytes());
    let keep = if starts("a=crypto:") {
        memchr::memmem::find(&lower, b"inline:").map(|at| at + "inline:".len())
    } else if starts("a=key-mgmt:") {
        Some("a=key-mgmt:".len())
    } else if starts("k=") {
        Some("k=".len())
    } else if starts("a=ice-pwd:") {
        Some("a=ice-pwd:".len())
    } else {
        None
    };
    match keep.and_then(|at| line.get(..at)) {
        Some(kept) => [kept, REMOVED.as_bytes()].concat(),
        None => line.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn secrets_do_not_get_through() {
        let message = "INVITE sip:b@h SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\n\
            Authorization: Digest username=\"a\", realm=\"r, s\", nonce=\"SECRET1\",\r\n response = \"SECRET2\", uri=\"sip:b@h\", cnonce=SECRET3, qop=auth\r\n\
            Proxy-Authorization: Bearer SECRET4\r\nAuthentication-Info: nextnonce=\"SECRET5\", qop=auth\r\n\
            PROXY-AUTHORIZATION: Digest realm=\"x, response=SECRET6\r\n\
            User-Agent: \x1b[2Jx\r\nContent-Type: application/sdp\r\n\r\n\
            v=0\r\nk=clear:SECRET7\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET8|2^20 FEC_KEY=inline:SECRET9\r\na=Key-Mgmt:mikey SECRETA\r\na=ice-pwd:SECRETB\r\n";
        let (headers, sdp) = sanitise(&parse(message.as_bytes()).expect("parses"));
        assert!(!headers.contains("SECRET") && !sdp.contains("SECRET"), "{headers}{sdp}");
        assert!(headers.contains(
            "Authorization: Digest username=\"a\", realm=\"r, s\", nonce=***, response=***, uri=\"sip:b@h\", cnonce=***, qop=auth\n"
        ), "{headers}");
        assert!(
            headers.contains("Proxy-Authorization: Bearer ***\nAuthentication-Info: nextnonce=***, qop=auth\n"),
            "{headers}"
        );
        assert!(headers.contains("User-Agent: \u{241b}[2Jx\n"));
        assert_eq!(sdp, "v=0\nk=***\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***\na=Key-Mgmt:***\na=ice-pwd:***\n");
    }

    #[test]
    fn other_bodies_are_left_out_and_sizes_are_capped() {
        let message = format!(
            "MESSAGE sip:b@h SIP/2.0\r\nCall-ID: x\r\nX: {}\r\nContent-Type: text/plain\r\n\r\nPIN 1234",
            "é".repeat(40_000)
        );
        let (headers, sdp) = sanitise(&parse(message.as_bytes()).expect("parses"));
        assert!(headers.len() <= HEADERS_TEXT_MAX && headers.len() > HEADERS_TEXT_MAX - 4);
        assert_eq!(sdp, "");
    }
}
