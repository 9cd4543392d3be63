//! From, To and Contact values: display name, URI and its parts, tag.

use super::anomaly::{Anomalies, Anomaly};
use super::bytes::{cut, is_lws, is_token, number, param, trim};

/// `"display" <uri>;tag=x` or `uri;tag=x` (RFC 3261 section 20.10). All parts are raw bytes of the message;
/// they may hold folds, escapes and any byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// Without its quotes.
    pub display: &'a [u8],
    /// Whole URI with scheme and parameters.
    pub uri: &'a [u8],
    /// User part without password, with its parameters (`;phone-context=`).
    pub user: &'a [u8],
    /// Host without port; IPv6 references keep their brackets.
    pub host: &'a [u8],
    pub tag: &'a [u8],
}

impl<'a> NameAddr<'a> {
    pub fn parse(value: &'a [u8]) -> NameAddr<'a> {
        parse_flagged(value, &mut Anomalies::default())
    }
}

/// Like [`NameAddr::parse`], and notes what is odd.
pub(super) fn parse_flagged<'a>(value: &'a [u8], odd: &mut Anomalies) -> NameAddr<'a> {
    let value = trim(value);
    let (display, rest) = display_name(value, odd);
    let (uri, params) = match rest {
        [b'<', inner @ ..] => match memchr::memchr(b'>', inner) {
            Some(at) => (inner.get(..at).unwrap_or(inner), inner.get(at + 1..).unwrap_or(&[])),
            None => {
                odd.set(Anomaly::HeaderSyntax);
                cut(inner, b';')
            }
        },
        // Without brackets, parameters belong to the header (RFC 3261 section 20).
        _ => cut(rest, b';'),
    };
    if rest.first() == Some(&b'<') && trim(uri).len() != uri.len() {
        odd.set(Anomaly::UriSyntax);
    }
    let uri = trim(uri);
    let (user, host) = uri_parts(uri, odd);
    NameAddr { display: trim(display), uri, user, host, tag: param(params, "tag").unwrap_or_default() }
}

/// The display name, and what starts at `<` or at the bare URI.
fn display_name<'a>(value: &'a [u8], odd: &mut Anomalies) -> (&'a [u8], &'a [u8]) {
    if let [b'"', inner @ ..] = value {
        let mut escaped = false;
        for (at, b) in inner.iter().enumerate() {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    let after = trim(inner.get(at + 1..).unwrap_or_default());
                    return (inner.get(..at).unwrap_or_default(), after);
                }
                _ => {}
            }
        }
        odd.set(Anomaly::QuotedStringUnterminated);
        return match memchr::memchr(b'<', inner) {
            Some(at) => (inner.get(..at).unwrap_or_default(), inner.get(at..).unwrap_or_default()),
            None => (&[], inner),
        };
    }
    match memchr::memchr(b'<', value) {
        Some(at) => {
            let display = trim(value.get(..at).unwrap_or_default());
            if !display.split(|b| is_lws(*b)).all(|word| word.is_empty() || is_token(word)) {
                odd.set(Anomaly::DisplayNameSyntax);
            }
            (display, value.get(at..).unwrap_or_default())
        }
        None => (&[], value),
    }
}

/// User (without password) and host (without port) of a URI.
pub(super) fn uri_parts<'a>(uri: &'a [u8], odd: &mut Anomalies) -> (&'a [u8], &'a [u8]) {
    if uri.iter().any(|b| is_lws(*b)) {
        odd.set(Anomaly::UriSyntax);
    }
    check_escapes(uri, odd);
    let (scheme, rest) = cut(uri, b':');
    if rest.is_empty() {
        return (&[], scheme);
    }
    if scheme.eq_ignore_ascii_case(b"tel") {
        return (cut(rest, b';').0, &[]);
    }
    if !scheme.eq_ignore_ascii_case(b"sip") && !scheme.eq_ignore_ascii_case(b"sips") {
        odd.set(Anomaly::UnknownUriScheme);
    }
    let (user, host) = match memchr::memchr(b'@', rest) {
        Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default()),
        None => (&[][..], rest),
    };
    (cut(user, b':').0, host_of(host, odd))
}

fn host_of<'a>(host: &'a [u8], odd: &mut Anomalies) -> &'a [u8] {
    let end = host.iter().position(|b| matches!(b, b';' | b'?' | b'>')).unwrap_or(host.len());
    let host = host.get(..end).unwrap_or(host);
    if memchr::memchr_iter(b':', host).any(|at| host.get(at..at + 3) == Some(b":::")) {
        odd.set(Anomaly::Ipv6Reference);
    }
    let (name, port) = match memchr::memrchr(b']', host) {
        Some(at) => (host.get(..=at).unwrap_or(host), host.get(at + 1..).unwrap_or_default()),
        None => {
            let at = memchr::memchr(b':', host).unwrap_or(host.len());
            (host.get(..at).unwrap_or(host), host.get(at..).unwrap_or_default())
        }
    };
    if let [b':', digits @ ..] = port
        && number(trim(digits)).is_none_or(|p| p > u64::from(u16::MAX))
    {
        odd.set(Anomaly::UriSyntax);
    }
    trim(name)
}

fn check_escapes(uri: &[u8], odd: &mut Anomalies) {
    for at in memchr::memchr_iter(b'%', uri) {
        match uri.get(at + 1..at + 3) {
            Some(b"00") => odd.set(Anomaly::UriEscapedNul),
            Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {}
            _ => odd.set(Anomaly::UriSyntax),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(value: &str) -> String {
        let mut odd = Anomalies::default();
        let a = parse_flagged(value.as_bytes(), &mut odd);
        let s = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        format!("{}|{}|{}|{}|{:?}", s(a.display), s(a.user), s(a.host), s(a.tag), odd)
    }

    #[test]
    fn parts_of_addresses() {
        for (value, expect) in [
            ("<sip:a@h>;tag=1", "|a|h|1|{}"),
            ("sip:a@h;tag=1", "|a|h|1|{}"),
            ("\"A \\\" <b>\" <sips:a:secret@h:5061;transport=tcp>;x;tag=t", "A \\\" <b>|a|h|t|{}"),
            ("caller<sip:caller@example.com>;tag=323", "caller|caller|example.com|323|{}"),
            ("T.Watson <sip:t@[2001:db8::9:1]:5060>", "T.Watson|t|[2001:db8::9:1]||{}"),
            ("Bell, Alexander <sip:a@h>", "Bell, Alexander|a|h||{\"display_name_syntax\"}"),
            ("<tel:+4420;phone-context=x>;tag=9", "|+4420||9|{}"),
            ("<sip:05;phone-context=ims.x@ims.y;user=phone>", "|05;phone-context=ims.x|ims.y||{}"),
            ("\"Mr. X <sip:a@h>", "Mr. X|a|h||{\"quoted_string_unterminated\"}"),
            ("<sip:a@h;tag=2", "|a|h|2|{\"header_syntax\"}"),
            ("<sip:10.0.0.1:5060>;tag=", "||10.0.0.1||{}"),
            ("<sip:a@h:99999>", "|a|h||{\"uri_syntax\"}"),
            ("", "||||{}"),
        ] {
            assert_eq!(show(value), expect, "{value}");
        }
    }
}
