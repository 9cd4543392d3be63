//! `/session/oidc`: sign-in at a provider of OpenID Connect, as the browser sees it. The protocol is the program's ([`super::IdentityProvider`]).

use super::control::Origin;
use super::error::{ErrorBody, read_only};
use super::provider::{Authorization, Expected, Failed, Failure, Provider, Remembered};
use super::{ApiError, AppState};
use auscult_access::audit::{Action, Entry, Outcome};
use auscult_access::{Identity, SignInError, SignInKey, Via};
use auscult_core::units::Timestamp;
use auscult_core::units::text::clean;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use std::fmt::Write as _;
use std::sync::Arc;
use utoipa::IntoParams;

/// Longest path that the browser goes to afterwards.
const MAX_RETURN_TO: usize = 2048;
/// Longest code, state or error that the provider sends.
const MAX_ANSWER: usize = 4096;
/// How long the browser keeps its part, seconds.
const COOKIE_AGE_S: u32 = 600;

/// What a sign-in at the provider begins with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BeginParams {
    /// Path of this service that the browser goes to afterwards, without `/` the start.
    #[param(example = "/stats?trunk=carrier-a")]
    return_to: Option<String>,
}

/// What the provider sends back with the browser.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CallbackParams {
    /// What was sent to the provider.
    #[param(example = "hzqtqv5ggf7t33kfxxmwuxdnmnzpo46qpfcnb6w6dsqfrmi2yqya")]
    state: Option<String>,
    /// What the provider gives the identity for.
    #[param(example = "bBHplpbLY3KDBDGtkkUlbA87TTR_IyAsv477lkecam1")]
    code: Option<String>,
    /// Why it gives none (RFC 6749 section 4.1.2.1).
    #[param(example = "access_denied")]
    error: Option<String>,
}

/// A path of the page: begins with one `/`, and no browser reads another host out of it.
fn is_own_path(path: &str) -> bool {
    let plain = path.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'\\');
    plain
        && path.len() <= MAX_RETURN_TO
        && path.starts_with('/')
        && !path.starts_with("//")
        && !path.starts_with("/api/")
}

/// Sends the browser to the provider.
#[utoipa::path(get, path = "/api/v1/session/oidc", tag = "session", params(BeginParams),
    responses((status = 303, description = "To the provider; or to `/sign-in?error=CODE` of this service: `provider_unavailable`, `too_many_sign_ins`, `busy`"), (status = 400, description = "`return_to` is no path of the page", body = ErrorBody, content_type = "application/problem+json"), (status = 404, description = "No provider is configured", body = ErrorBody, content_type = "application/problem+json"), (status = 405, description = "Another method than GET", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn begin(State(state): State<AppState>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let provider = provider_of(&state, &parts).await?;
    let asked: BeginParams = params(&parts)?;
    let return_to = asked.return_to.filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    if !is_own_path(&return_to) {
        return Err(ApiError::bad_request("`return_to` must be a path of the page: it begins with one /"));
    }
    let origin = state.access.origin(&parts);
    match begun(&state, &provider, &origin, &return_to).await {
        Ok(answer) => Ok(answer),
        Err(Failed(failure, _)) => {
            provider.count(failure);
            Ok(to_page(failure, &return_to))
        }
    }
}

async fn begun(state: &AppState, provider: &Provider, origin: &Origin, return_to: &str) -> Result<Response, Failed> {
    let now = (state.now)();
    if !provider.pending().may_begin(origin.client, now) {
        return Err(Failed(Failure::TooMany, String::new()));
    }
    let key = SignInKey::new().map_err(|e| Failed(Failure::Busy, e.to_string()))?;
    let sent = key.state.clone();
    let Authorization { url, expected } = provider.ask(move |with| with.authorization(&sent, now)).await?;
    let kept = Remembered { expected, return_to: return_to.to_owned() };
    provider.pending().begin(&key, origin.client, kept, now);
    provider.count_begun();
    let mut answer = see_other(&url);
    let cookie = state.access.sign_in_cookie(&SignInKey::label(&key.state), Some((&key.browser, COOKIE_AGE_S)));
    answer.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(answer)
}

/// Where the provider sends the browser back to: ends the sign-in.
#[utoipa::path(get, path = "/api/v1/session/oidc/callback", tag = "session", params(CallbackParams),
    responses((status = 303, description = "Signed in, to `return_to`; or to `/sign-in?error=CODE` of this service: `provider_unavailable`, `provider_refused`, `expired`, `no_role`, `busy`"), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 404, description = "No provider is configured", body = ErrorBody, content_type = "application/problem+json"), (status = 405, description = "Another method than GET", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "It cannot be recorded in the audit log", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn callback(State(state): State<AppState>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let provider = provider_of(&state, &parts).await?;
    let sent: CallbackParams = params(&parts)?;
    let label = SignInKey::label(sent.state.as_deref().unwrap_or_default());
    let now = (state.now)();
    let browser = state.access.sign_in_secret(&parts.headers, &label);
    let taken = provider.pending().take(sent.state.as_deref().unwrap_or_default(), browser, now);
    // Whoever made it up is not recorded: there is nobody to name.
    let Ok(Remembered { expected, return_to }) = taken else {
        provider.count(Failure::Expired);
        return Ok(to_page(Failure::Expired, "/"));
    };
    let origin = state.access.origin(&parts);
    let mut answer = match identified(&provider, sent, expected, now).await {
        Ok(identity) => signed_in(&state, &provider, &identity, &parts, &return_to).await?,
        Err(Failed(failure, why)) => {
            provider.count(failure);
            refused(&state, &origin, "unknown", why, now).await;
            to_page(failure, &return_to)
        }
    };
    let cookie = state.access.sign_in_cookie(&label, None);
    if let Some(cookie) = cookie {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

async fn identified(
    provider: &Provider,
    sent: CallbackParams,
    expected: Expected,
    now: Timestamp,
) -> Result<Identity, Failed> {
    if let Some(error) = sent.error {
        return Err(Failed(Failure::Refused, format!("the provider: {}", clean(&error, 100))));
    }
    let code = sent.code.filter(|code| !code.is_empty() && code.len() <= MAX_ANSWER);
    let code = code.ok_or_else(|| Failed(Failure::Refused, "the provider sent no code".to_owned()))?;
    provider.ask(move |with| with.identity(&code, &expected, now)).await
}

/// Begins the session of somebody whom the provider vouches for.
async fn signed_in(
    state: &AppState,
    provider: &Provider,
    identity: &Identity,
    parts: &Parts,
    return_to: &str,
) -> Result<Response, ApiError> {
    let (origin, now) = (state.access.origin(parts), (state.now)());
    // A session that was there ends: a browser has one.
    state.access.sign_out(&parts.headers);
    let begun = match state.access.access().begin_session(identity, now) {
        Ok(begun) => begun,
        Err(SignInError::Refused(why)) => {
            provider.count(Failure::NoRole);
            refused(state, &origin, &identity.name, why, now).await;
            return Ok(to_page(Failure::NoRole, return_to));
        }
        Err(_) => {
            provider.count(Failure::Busy);
            return Ok(to_page(Failure::Busy, return_to));
        }
    };
    let entry = Entry::of(&begun.principal, origin.address, Action::SignIn, provider.name().to_owned(), now);
    if let Err(error) = state.access.record(entry).await {
        state.access.access().sign_out(&begun.secret);
        return Err(error);
    }
    provider.count_succeeded();
    let mut answer = see_other(return_to);
    answer.headers_mut().extend(state.access.set_cookie(Some(&begun.secret)).map(|set| (header::SET_COOKIE, set)));
    Ok(answer)
}

/// Records that somebody did not get in.
async fn refused(state: &AppState, origin: &Origin, who: &str, why: String, now: Timestamp) {
    if state.access.records_refusal(now) {
        let entry = Entry {
            at: now,
            who: who.to_owned(),
            via: Via::Oidc,
            role: None,
            from: origin.address,
            action: Action::SignIn,
            what: why,
            outcome: Outcome::Refused,
        };
        // Refused it is, whether or not that can be recorded.
        let _ = state.access.record(entry).await;
    }
}

/// The provider, for the one method that these routes have. HEAD would begin or end a sign-in unseen.
async fn provider_of(state: &AppState, parts: &Parts) -> Result<Arc<Provider>, ApiError> {
    if parts.method != Method::GET {
        return Err(read_only().await);
    }
    let none = || ApiError::not_found("no provider of OpenID Connect is configured ([access.oidc])");
    state.access.provider().cloned().ok_or_else(none)
}

fn params<T: serde::de::DeserializeOwned>(parts: &Parts) -> Result<T, ApiError> {
    let read = Query::<T>::try_from_uri(&parts.uri).map(|Query(params)| params);
    read.map_err(|e| ApiError::bad_request(format!("the query string cannot be read: {}", clean(&e.body_text(), 200))))
}

fn see_other(to: &str) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    // Paths are checked, and addresses of a provider are ASCII as every URL.
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/sign-in?error=provider_unavailable"));
    answer.headers_mut().insert(header::LOCATION, to);
    answer
}

fn to_page(failure: Failure, return_to: &str) -> Response {
    let mut to = format!("/sign-in?error={}&return_to=", failure.code());
    for byte in return_to.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => to.push(char::from(byte)),
            _ => {
                let _ = write!(to, "%{byte:02X}");
            }
        }
    }
    see_other(&to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_sent_to_paths_of_the_page_only() {
        for path in ["/", "/calls/00c0ffee00c0ffee", "/?search=%2B4930&trunk=a", "/stats#top", "/a//b"] {
            assert!(is_own_path(path), "{path}");
        }
        let long = format!("/{}", "a".repeat(MAX_RETURN_TO));
        for path in [
            "",
            "calls",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\\b",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\nset-cookie: a=b",
            " /",
            "/ a",
            "/\u{7f}",
            "/\u{e4}",
            "/api/v1/session/oidc",
            &long,
        ] {
            assert!(!is_own_path(path), "{path:?}");
        }
    }

    #[test]
    fn the_page_gets_the_code_and_the_path() {
        let answer = to_page(Failure::NoRole, "/?search=%2B49&a=b");
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(
            answer.headers()[header::LOCATION],
            "/sign-in?error=no_role&return_to=%2F%3Fsearch%3D%252B49%26a%3Db"
        );
    }
}
