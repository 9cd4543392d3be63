//! The OpenAPI document, written from the handlers and types themselves.

use super::{calls, health, live, metrics, stats, streams};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Auscult",
        description = "Call quality as measured by a passive probe: calls, RTP streams and statistics over them. \
            Times are RFC 3339 in UTC with nanoseconds, ids of calls and streams 16 hexadecimal digits, unknown values null. \
            What each figure means and cannot tell: [metrics](/docs/metrics). \
            Every query is bounded: 31 days, 1000 rows, 10 seconds, 1 GiB, 8 at once."
    ),
    paths(
        calls::range,
        calls::timeline,
        calls::list,
        calls::one,
        streams::list,
        stats::stats,
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
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operations",
    responses((status = 200, content_type = "application/json", body = Object)))]
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json()).into_response()
}
