//! Who may change something: somebody with the role, or, while there are no users, a client on this host by a page of this service or a
//! program of its own.

use super::ApiError;
use super::control::Caller;
use auscult_access::{Role, Via};
use auscult_http::PeerAddress;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Largest body.
const MAX_BODY: usize = 8 << 10;

/// Headers that a proxy adds.
const FORWARDED: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/// A client that may change something. [`super::rights`] has checked its role, and that a page of this service sends the request.
///
/// While there are no users: its address is a loopback address, no proxy stands between, it names the service as
/// `localhost` or by an address (a name that a stranger points at this host, DNS rebinding, is neither), and a browser says that the
/// request comes from a page of this service. Origin was held to Host for every request.
pub(super) struct Writer {
    /// Name of the user or token; empty while there are no users.
    pub name: Arc<str>,
}

impl Writer {
    fn check_local(peer: Option<&PeerAddress>, headers: &HeaderMap) -> Result<(), ApiError> {
        let refused = |why: &str| {
            let message =
                format!("{why}; while there are no users, only a client on the host of the probe may change something");
            Err(ApiError::new(StatusCode::FORBIDDEN, "not_local", message))
        };
        if !peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback()) {
            return refused("the request comes from another host");
        }
        if FORWARDED.iter().any(|name| headers.contains_key(*name)) {
            return refused("the request comes through a proxy");
        }
        let named = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        let is_own = |host: &str| {
            host.eq_ignore_ascii_case("localhost") || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
        };
        if !named.is_some_and(|named| is_own(named.host())) {
            return refused("the request names this service by neither localhost nor an address");
        }
        match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => refused("the request comes from a page of another origin"),
        }
    }
}

/// The body, which must be JSON by its type as well: a form of a page of a stranger cannot say so.
pub(super) async fn json_body<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let message = "the body must be JSON, with Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message));
    }
    let bytes = axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is larger than 8 KiB, or was cut short")
    })?;
    serde_json::from_slice(&bytes).map_err(|e| {
        let why: String = e.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
        ApiError::bad_request(format!("the body: {why}"))
    })
}

impl<S: Sync> FromRequestParts<S> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Writer, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.principal.via == Via::Open {
            Writer::check_local(parts.extensions.get::<PeerAddress>(), &parts.headers)?;
        }
        if !caller.principal.may(Role::Operator) {
            return Err(ApiError::new(StatusCode::FORBIDDEN, "not_allowed", "this needs the role operator"));
        }
        Ok(Writer { name: caller.principal.name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    #[test]
    fn only_a_client_on_this_host_may_change_something() {
        let verdict = |peer: Option<&str>, headers: &[(&str, &str)]| {
            let peer = peer.map(|peer| PeerAddress(peer.parse().unwrap()));
            let mut map = HeaderMap::new();
            map.insert(header::HOST, "localhost:8642".parse().unwrap());
            for (name, value) in headers {
                map.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            Writer::check_local(peer.as_ref(), &map).is_ok()
        };
        for local in ["127.0.0.1:9", "127.3.2.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert!(verdict(Some(local), &[]), "{local}");
        }
        for other in ["192.0.2.1:9", "[2001:db8::1]:9", "0.0.0.0:9", "[::ffff:192.0.2.1]:9"] {
            assert!(!verdict(Some(other), &[]), "{other}");
        }
        assert!(!verdict(None, &[]), "a connection that nobody knows");
        for name in FORWARDED {
            assert!(!verdict(Some("127.0.0.1:9"), &[(name, "192.0.2.1")]), "{name}");
        }
        for (host, expected) in [
            ("LOCALHOST", true),
            ("127.0.0.1:8642", true),
            ("[::1]:8642", true),
            ("192.0.2.7", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8642", false),
            ("", false),
        ] {
            assert_eq!(verdict(Some("127.0.0.1:9"), &[("host", host)]), expected, "{host}");
        }
        assert!(verdict(Some("127.0.0.1:9"), &[("sec-fetch-site", "same-origin")]));
        for site in ["cross-site", "same-site", "x"] {
            assert!(!verdict(Some("127.0.0.1:9"), &[("sec-fetch-site", site)]), "{site}");
        }
    }
}
