//! The OpenAPI document, written from the handlers and types themselves.

use super::{calls, compare, export, health, live, metrics, outcomes, stats, streams};
use crate::store::budget::{LOOKUPS_AT_ONCE, MAX_EXECUTION_S, QUERY_MEMORY_BYTES, SCANS_AT_ONCE};
use crate::store::query::{MAX_DETAIL_DAYS, MAX_ROWS, MAX_WINDOW_DAYS};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Auscult",
        description = "Call quality as measured by a passive probe: calls, RTP streams and statistics over them. \
            Times are RFC 3339 in UTC with nanoseconds, ids of calls and streams 16 hexadecimal digits, unknown values null. \
            What each figure means and cannot tell: [metrics](/docs/metrics)."
    ),
    paths(
        calls::range,
        calls::timeline,
        calls::list,
        calls::one,
        streams::list,
        export::intervals,
        stats::stats,
        outcomes::outcomes,
        compare::compare,
        live::events,
        document,
        health::alive,
        health::ready,
        health::version,
        metrics::render
    ),
    components(schemas(live::LiveSnapshot, live::LiveChange, live::LiveLagged))
)]
struct Document;

/// The document as `schemas/openapi.json` has it.
pub fn openapi_json() -> String {
    let mut document = Document::openapi();
    let bounds = format!(
        " Every query is bounded: {MAX_DETAIL_DAYS} days ({MAX_WINDOW_DAYS} for calls, and for statistics from sums), {MAX_ROWS} rows, {MAX_EXECUTION_S} seconds, {} MB of memory; \
         {SCANS_AT_ONCE} that read a whole window and {LOOKUPS_AT_ONCE} others at once. One more waits for its turn, clients \
         taking turns; 503 says that none came in time, 429 that this address has too many waiting. Both have `Retry-After`.",
        QUERY_MEMORY_BYTES / 1_000_000
    );
    document.info.description.get_or_insert_default().push_str(&bounds);
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operations",
    responses((status = 200, content_type = "application/json", body = Object)))]
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json()).into_response()
}
