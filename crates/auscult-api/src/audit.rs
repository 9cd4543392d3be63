//! `/audit`: who saw or changed what.

use super::error::ErrorBody;
use super::params::{AuditParams, Params, closed, given, limit, time};
use super::{ApiError, AppState};
use auscult_access::audit::{Action, Filter, Head, Row};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// One row of the audit log.
#[derive(Serialize, ToSchema)]
pub struct AuditRowJson {
    /// Number of the row, one after the other.
    seq: u64,
    /// When.
    at: String,
    /// Name of the user or token, `auscult` for the program itself.
    who: String,
    /// `password`, `token`, `oidc`, `proxy` or `command`.
    via: &'static str,
    /// The role at that time; null for who did not get in.
    #[schema(required)]
    role: Option<&'static str>,
    /// Address of the client; null for commands on the host.
    #[schema(required)]
    address: Option<String>,
    /// What was done, a closed list.
    action: &'static str,
    /// Of what: a route with its parameters, a user, a token. Numbers and Call-IDs are keyed hashes.
    what: String,
    /// `allowed` or `refused`.
    outcome: &'static str,
}

/// The end of the chain of rows.
#[derive(Serialize, ToSchema)]
pub struct AuditHeadJson {
    /// Number of the last row; 0 without rows.
    seq: u64,
    /// Its keyed hash, 64 hexadecimal digits, as `auscult audit verify` compares it.
    mac: String,
}

/// Answer of `/audit`.
#[derive(Serialize, ToSchema)]
pub struct AuditJson {
    /// The newest first.
    rows: Vec<AuditRowJson>,
    /// Give it as `cursor` for older rows; null after the last.
    #[schema(required)]
    next_cursor: Option<String>,
    /// The end of the chain now.
    head: AuditHeadJson,
}

impl From<Row> for AuditRowJson {
    fn from(row: Row) -> AuditRowJson {
        AuditRowJson {
            seq: row.seq,
            at: row.at,
            who: row.who,
            via: row.via.name(),
            role: row.role.map(|role| role.name()),
            address: row.from.map(|from| from.to_string()),
            action: row.action.name(),
            what: row.what,
            outcome: row.outcome.name(),
        }
    }
}

impl From<Head> for AuditHeadJson {
    fn from(head: Head) -> AuditHeadJson {
        let mac = head.to_text().split_once(':').map(|(_, mac)| mac.to_owned()).unwrap_or_default();
        AuditHeadJson { seq: head.seq, mac }
    }
}

/// Rows of the audit log, the newest first. For admins whose scope is everything.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(AuditParams),
    responses((status = 200, body = AuditJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "The audit log cannot be read", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn rows(
    State(state): State<AppState>,
    Params(params): Params<AuditParams>,
) -> Result<Json<AuditJson>, ApiError> {
    let actions = closed("action", params.action.as_ref(), Action::ALL, Action::name)?;
    if actions.len() > 1 {
        return Err(ApiError::bad_request("`action` must be one action"));
    }
    let wrong = || ApiError::bad_request("`cursor` must be `next_cursor` of the page before");
    let before = given(&params.cursor).map(|text| text.parse().map_err(|_| wrong())).transpose()?;
    let filter = Filter {
        from: time("from", &params.from)?,
        to: time("to", &params.to)?,
        who: given(&params.who).map(str::to_owned),
        action: actions.first().copied(),
        before,
    };
    let limit = limit(&params.limit)? as usize;
    let Some(audit) = state.access.audit().cloned() else {
        return Ok(Json(AuditJson { rows: Vec::new(), next_cursor: None, head: Head::default().into() }));
    };
    let read = tokio::task::spawn_blocking(move || {
        let rows = audit.read(&filter, limit + 1).map_err(|e| e.to_string())?;
        Ok::<_, String>((rows, audit.head().map_err(|e| e.to_string())?))
    });
    let unread = |why| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_readable", why);
    let (mut rows, head) = read.await.unwrap_or_else(|e| Err(e.to_string())).map_err(unread)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|row| row.seq.to_string());
    Ok(Json(AuditJson { rows: rows.into_iter().map(AuditRowJson::from).collect(), next_cursor, head: head.into() }))
}
