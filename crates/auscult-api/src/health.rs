//! `/healthz`, `/readyz` and `/version`: for supervisors and load balancers.

use super::AppState;
use super::control::Caller;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// One reason to be ready or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// Such as `store`, `spool`, `capture`.
    pub name: String,
    pub ok: bool,
    /// One line when not ok.
    #[schema(required)]
    pub reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok`, or why only a restart helps.
    status: String,
}

#[derive(Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Serialize, ToSchema)]
pub struct Version {
    name: &'static str,
    version: &'static str,
}

/// A store that does not answer this fast is not ready.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// The process is alive. It is not when only a restart can help: the measuring thread has stood still for a minute.
#[utoipa::path(get, path = "/healthz", tag = "operations",
    responses((status = 200, body = Health), (status = 503, description = "Restart the process", body = Health)))]
pub(super) async fn alive(State(state): State<AppState>) -> (StatusCode, Json<Health>) {
    match state.telemetry.stuck() {
        None => (StatusCode::OK, Json(Health { status: "ok".to_owned() })),
        Some(status) => (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status })),
    }
}

/// The store answers and the program can work; the checks say why not, to those who are signed in.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = Readiness), (status = 503, description = "Not ready", body = Readiness)))]
pub(super) async fn ready(
    State(state): State<AppState>,
    caller: Option<Extension<Caller>>,
) -> (StatusCode, Json<Readiness>) {
    let reason = match tokio::time::timeout(PING_TIMEOUT, state.reader.ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(format!("the store did not answer within {} s", PING_TIMEOUT.as_secs())),
    };
    let mut checks = vec![Check { name: "store".to_owned(), ok: reason.is_none(), reason }];
    checks.extend(state.telemetry.checks());
    if caller.is_none() {
        let reason = "sign in, or send an API token, to see the reason";
        checks.iter_mut().filter(|check| !check.ok).for_each(|check| check.reason = Some(reason.to_owned()));
    }
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks }))
}

/// Name and version of the program.
#[utoipa::path(get, path = "/version", tag = "operations", responses((status = 200, body = Version)))]
pub(super) async fn version() -> Json<Version> {
    Json(Version { name: "auscult", version: env!("CARGO_PKG_VERSION") })
}
