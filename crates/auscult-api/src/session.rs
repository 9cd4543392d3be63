//! `/session`: who is signed in, sign-in and sign-out.

use super::control::Caller;
use super::error::ErrorBody;
use super::writes::json_body;
use super::{ApiError, AppState};
use auscult_access::audit::Action;
use auscult_access::{Principal, Via};
use auscult_core::units::Timestamp;
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who is signed in, and how one can.
#[derive(Serialize, ToSchema)]
pub struct SessionJson {
    /// Whether the client is known.
    signed_in: bool,
    /// There are no users yet, and only this host reaches the service: everybody may do everything.
    open: bool,
    /// Name of the user or token; null without.
    #[schema(required)]
    user: Option<String>,
    /// `viewer`, `operator`, `investigator` or `admin`; null without.
    #[schema(required)]
    role: Option<&'static str>,
    /// Probes whose rows may be seen; null is all.
    #[schema(required)]
    probes: Option<Vec<String>>,
    /// Trunks whose rows may be seen; null is all.
    #[schema(required)]
    trunks: Option<Vec<String>>,
    /// When the session ends if nothing more comes; null without one.
    #[schema(required)]
    expires_at: Option<String>,
    /// How one can sign in: `password`, `oidc` (`/api/v1/session/oidc`), `proxy`.
    methods: Vec<&'static str>,
    /// Name of the OpenID Connect provider; null without one.
    #[schema(required)]
    provider: Option<String>,
}

/// What one signs in with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInJson {
    /// Name of the user.
    user: String,
    /// Password of the user.
    password: String,
}

fn session(state: &AppState, principal: Option<&Principal>, ends: Option<Timestamp>) -> SessionJson {
    let open = principal.is_some_and(|principal| principal.via == Via::Open);
    let known = principal.filter(|_| !open);
    let mut methods = Vec::new();
    if state.access.access().has_passwords() {
        methods.push("password");
    }
    let provider = state.access.provider();
    if provider.is_some() {
        methods.push("oidc");
    }
    if state.access.has_proxy_users() {
        methods.push("proxy");
    }
    SessionJson {
        signed_in: known.is_some(),
        open,
        user: known.map(|principal| principal.name.to_string()),
        role: principal.map(|principal| principal.role.name()),
        probes: principal.and_then(|principal| principal.scope.probes.clone()),
        trunks: principal.and_then(|principal| principal.scope.trunks.clone()),
        expires_at: ends.map(Timestamp::to_rfc3339),
        methods,
        provider: provider.map(|provider| provider.name().to_owned()),
    }
}

/// Who is signed in, and how one can. Answered to everybody.
#[utoipa::path(get, path = "/api/v1/session", tag = "session", responses((status = 200, body = SessionJson)))]
pub(super) async fn current(State(state): State<AppState>, request: Request) -> Json<SessionJson> {
    let caller = request.extensions().get::<Caller>();
    Json(session(&state, caller.map(|caller| &caller.principal), caller.and_then(|caller| caller.ends)))
}

/// Signs in with a password: a cookie for this service alone (HttpOnly, SameSite=Strict) is the session.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = SignInJson,
    responses((status = 200, body = SessionJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 401, description = "User or password is wrong", body = ErrorBody, content_type = "application/problem+json"), (status = 413, description = "The body is larger than 8 KiB", body = ErrorBody, content_type = "application/problem+json"), (status = 415, description = "The body is not JSON", body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many sign-ins failed", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "Other sign-ins are being checked, or it cannot be recorded", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn begin(State(state): State<AppState>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let asked: SignInJson = json_body(&parts.headers, body).await?;
    let origin = state.access.origin(&parts);
    let signed_in = state.access.sign_in(asked.user, asked.password, &origin, (state.now)()).await?;
    // A session that was there ends: a browser has one.
    state.access.sign_out(&parts.headers);
    let about = session(&state, Some(&signed_in.principal), Some(signed_in.ends));
    Ok(with_cookie(&state, Some(&signed_in.secret), Json(about).into_response()))
}

/// Signs out. Answered the same whether or not there was a session.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session",
    responses((status = 204, description = "There is no session any more"), (status = 403, description = "The request does not come from a page of this service", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn end(State(state): State<AppState>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    // A page of a stranger sends no cookie of this service (SameSite), so it ends nothing.
    if let Some(principal) = state.access.sign_out(&parts.headers) {
        let address = state.access.origin(&parts).address;
        let entry =
            auscult_access::audit::Entry::of(&principal, address, Action::SignOut, String::new(), (state.now)());
        state.access.record(entry).await?;
    }
    Ok(with_cookie(&state, None, Response::new(Body::empty())).with_status(StatusCode::NO_CONTENT))
}

fn with_cookie(state: &AppState, secret: Option<&str>, mut response: Response) -> Response {
    if let Some(cookie) = state.access.set_cookie(secret) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

trait WithStatus {
    fn with_status(self, status: StatusCode) -> Self;
}

impl WithStatus for Response {
    fn with_status(mut self, status: StatusCode) -> Response {
        *self.status_mut() = status;
        self
    }
}
