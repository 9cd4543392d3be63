//! `/retention`: how long rows are kept, as the store has it.

use super::control::Caller;
use super::error::ErrorBody;
use super::{ApiError, AppState};
use auscult_store::query::Cost;
use auscult_store::retention::TableTtl;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `/retention`.
#[derive(Serialize, ToSchema)]
pub struct RetentionJson {
    /// Tables that have rows, by name.
    tables: Vec<TableRetentionJson>,
}

#[derive(Serialize, ToSchema)]
pub struct TableRetentionJson {
    /// Name of the table.
    #[schema(example = "calls")]
    table: String,
    /// Days from when a row was stored until it is removed; null where rows are kept for ever, or `ttl` is not of this program's form.
    #[schema(required, example = 90)]
    days: Option<u32>,
    /// The same of rows of emergency calls; null for tables whose rows do not belong to single calls.
    #[schema(required, example = 365)]
    emergency_days: Option<u32>,
    /// The TTL of the table as the store writes it; empty where rows are kept for ever.
    #[schema(example = "stored_at + toIntervalDay(90)")]
    ttl: String,
}

/// How long the rows of each table are kept, as the store has it.
#[utoipa::path(get, path = "/api/v1/retention", tag = "service",
    responses((status = 200, body = RetentionJson), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn retention(State(state): State<AppState>, caller: Caller) -> Result<Json<RetentionJson>, ApiError> {
    let tables = state.session(Cost::Lookup, &caller).await?.retention().await?;
    Ok(Json(RetentionJson { tables: tables.into_iter().map(TableRetentionJson::from).collect() }))
}

impl From<TableTtl> for TableRetentionJson {
    fn from(table: TableTtl) -> TableRetentionJson {
        TableRetentionJson {
            days: table.period.map(|period| period.days),
            emergency_days: table.period.filter(|_| table.marks_emergency_rows()).map(|period| period.emergency_days),
            table: table.table,
            ttl: table.ttl,
        }
    }
}
