//! What stands before every route: the Host and Origin check, and the headers that keep a browser strict.

use super::ApiError;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Which names a browser may reach the service by. A page of a stranger that points its own name at this
/// address (DNS rebinding) brings its own name in `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// `localhost`, `127.0.0.1`, `[::1]` and the names given (without port): for loopback binds and named services.
    Only(Vec<String>),
    /// The same, and any address: a page that rebinds a name cannot bring an address in `Host`.
    OnlyOrAddress(Vec<String>),
    /// Any name: the service is reached by addresses nobody listed, and something in front of it checks.
    Any,
}

impl HostPolicy {
    pub fn loopback() -> HostPolicy {
        HostPolicy::Only(Vec::new())
    }

    fn allows(&self, host: &str) -> bool {
        match self {
            HostPolicy::Any => true,
            HostPolicy::Only(names) => is_known(names, host),
            HostPolicy::OnlyOrAddress(names) => {
                is_known(names, host) || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
            }
        }
    }
}

fn is_known(names: &[String], host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].contains(&host) || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

pub(super) async fn guard(State(hosts): State<HostPolicy>, request: Request, next: Next) -> Response {
    let mut response = match check(&hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    strict(response.headers_mut());
    response
}

fn check(hosts: &HostPolicy, request: &Request) -> Result<(), ApiError> {
    let refused = |message: &str| Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden_host", message));
    let named = request.headers().get(header::HOST).and_then(|h| h.to_str().ok());
    let named = named.or_else(|| request.uri().authority().map(Authority::as_str)).unwrap_or_default();
    let Ok(authority) = named.parse::<Authority>() else {
        return refused("the request names no valid Host");
    };
    if authority.as_str().contains('@') || !hosts.allows(&authority.host().to_ascii_lowercase()) {
        return refused("this Host is not served here; add it to the configured host names");
    }
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        let same = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, host)| host);
        if !same.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_str())) {
            return refused("requests from pages of another origin are not answered");
        }
    }
    Ok(())
}

fn strict(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn verdict(hosts: &HostPolicy, host: &str, origin: Option<&str>) -> bool {
        let mut request = Request::builder().uri("/").header(header::HOST, host);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        request.body(Body::empty()).is_ok_and(|request| check(hosts, &request).is_ok())
    }

    #[test]
    fn only_known_names_and_the_own_origin() {
        let local = HostPolicy::loopback();
        let named = HostPolicy::Only(vec!["Probe.example.net".to_owned()]);
        let reached = HostPolicy::OnlyOrAddress(vec!["probe.example.net".to_owned()]);
        for (hosts, host, origin, expected) in [
            (&local, "localhost:8080", None, true),
            (&local, "LOCALHOST", None, true),
            (&local, "127.0.0.1:8080", None, true),
            (&local, "[::1]:8080", None, true),
            (&local, "evil.example:8080", None, false),
            (&local, "127.0.0.1.evil.example", None, false),
            (&local, "localhost@evil.example", None, false),
            (&local, "", None, false),
            (&local, "localhost:8080", Some("http://localhost:8080"), true),
            (&local, "localhost:8080", Some("http://localhost:9999"), false),
            (&local, "localhost:8080", Some("https://evil.example"), false),
            (&local, "localhost:8080", Some("null"), false),
            (&named, "probe.example.net:8080", None, true),
            (&named, "other.example.net", None, false),
            (&named, "192.0.2.1:8642", None, false),
            (&reached, "192.0.2.1:8642", None, true),
            (&reached, "[2001:db8::1]:8642", None, true),
            (&reached, "PROBE.example.net", None, true),
            (&reached, "other.example.net", None, false),
            (&reached, "192.0.2.1.example.net", None, false),
            (&HostPolicy::Any, "anything.example", None, true),
            (&HostPolicy::Any, "anything.example", Some("https://evil.example"), false),
        ] {
            assert_eq!(verdict(hosts, host, origin), expected, "{hosts:?} {host} {origin:?}");
        }
    }
}
