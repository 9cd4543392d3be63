//! `/streams`.

use super::control::Caller;
use super::error::ErrorBody;
use super::export;
use super::json::WindowJson;
use super::json_stream::{StreamJson, StreamsJson};
use super::params::{Params, StreamsParams, given, limit, no_page, time};
use super::{ApiError, AppState};
use auscult_store::query::{Cost, Listed, Session, StreamSort, Window};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

/// RTP streams, worst first unless asked otherwise, page by page.
#[utoipa::path(get, path = "/api/v1/streams", tag = "streams", params(StreamsParams),
    responses((status = 200, body = StreamsJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<StreamsParams>,
) -> Result<Response, ApiError> {
    let filter = params.filter()?;
    if let Some(format) = export::format(params.format.as_deref(), &headers)? {
        no_page([("sort", &params.sort), ("limit", &params.limit), ("cursor", &params.cursor)])?;
        let (from, to) = (time("from", &params.from)?, time("to", &params.to)?);
        let session = state.session(Cost::Export, &caller).await?;
        let window = session.window(from, to, (state.now)(), Window::MAX_DETAIL).await?;
        return export::answer(session, Listed::Streams(&filter), window, format).await;
    }
    let sort = match given(&params.sort) {
        None | Some("worst") => StreamSort::Worst,
        Some("newest") => StreamSort::Newest,
        Some(_) => return Err(ApiError::bad_request("`sort` must be worst or newest")),
    };
    let limit = limit(&params.limit)?;
    let (from, to) = (time("from", &params.from)?, time("to", &params.to)?);
    let after = given(&params.cursor).map(|text| Session::stream_cursor(text, sort)).transpose()?;
    let session = state.session(filter.cost(), &caller).await?;
    let window = match &after {
        Some(cursor) => cursor.window,
        None => session.window(from, to, (state.now)(), Window::MAX_DETAIL).await?,
    };
    let page = session.streams(&filter, window, sort, limit, after.as_ref()).await?;
    Ok(Json(StreamsJson {
        window: WindowJson::from(window),
        streams: page.streams.into_iter().map(StreamJson::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.encode()),
    })
    .into_response())
}
