//! Lists as files: CSV or Parquet by `format` or `Accept`.

use super::ApiError;
use super::AppState;
use super::control::Caller;
use super::error::ErrorBody;
use super::params::{IntervalsParams, Params, time};
use auscult_store::query::{Cost, Export, FileFormat, Listed, Session, Window};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// The kind of file that is asked for; `None` for JSON. `format` decides, then `Accept`.
pub(super) fn format(format: Option<&str>, headers: &HeaderMap) -> Result<Option<FileFormat>, ApiError> {
    match format {
        Some("json") => return Ok(None),
        Some("csv") => return Ok(Some(FileFormat::Csv)),
        Some("parquet") => return Ok(Some(FileFormat::Parquet)),
        Some(_) => return Err(ApiError::bad_request("`format` must be json, csv or parquet")),
        None => {}
    }
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let first = accepted.split(',').next().and_then(|kind| kind.split(';').next()).unwrap_or_default();
    Ok(match first.trim() {
        "text/csv" => Some(FileFormat::Csv),
        "application/vnd.apache.parquet" => Some(FileFormat::Parquet),
        _ => None,
    })
}

/// The answer with a list as a file, streamed. A file that cannot be ended breaks off the connection.
pub(super) async fn answer(
    session: Session,
    listed: Listed<'_>,
    window: Window,
    format: FileFormat,
) -> Result<Response, ApiError> {
    let name = match listed {
        Listed::Calls(_) => "calls",
        Listed::Streams(_) => "streams",
        Listed::Intervals(_) => "intervals",
    };
    let export = session.export(listed, window, format).await?;
    let pieces = futures_util::stream::try_unfold(export, |mut export: Export| async move {
        let piece = export.next().await.map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok::<_, std::io::Error>(piece.map(|bytes| (bytes, export)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let kind = match format {
        FileFormat::Csv => "text/csv; charset=utf-8; header=present",
        FileFormat::Parquet => "application/vnd.apache.parquet",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(file) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{}\"", format.name())) {
        headers.insert(header::CONTENT_DISPOSITION, file);
    }
    Ok(response)
}

/// Intervals of streams as a file, in the order of time.
#[utoipa::path(get, path = "/api/v1/intervals", tag = "streams", params(IntervalsParams),
    responses((status = 200, description = "CSV, or Parquet with `format=parquet`", content((String = "text/csv"), (String = "application/vnd.apache.parquet"))), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn intervals(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<IntervalsParams>,
) -> Result<Response, ApiError> {
    let filter = params.filter()?;
    let Some(format) = format(params.format.as_deref().or(Some("csv")), &headers)? else {
        return Err(ApiError::bad_request(
            "`format` must be csv or parquet; the intervals of a call as JSON are in `/calls/{id}`",
        ));
    };
    let (from, to) = (time("from", &params.from)?, time("to", &params.to)?);
    let session = state.session(Cost::Export, &caller).await?;
    let window = session.window(from, to, (state.now)(), Window::MAX_DETAIL).await?;
    answer(session, Listed::Intervals(&filter), window, format).await
}
