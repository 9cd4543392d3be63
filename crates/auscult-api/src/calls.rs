//! `/range`, `/timeline`, `/calls` and `/calls/{id}`.

use super::control::Caller;
use super::error::ErrorBody;
use super::export;
use super::json::{CallJson, CallsJson, DetailJson, RangeJson, TimelineJson, WindowJson};
use super::params::{
    CallParams, CallsParams, Params, TimelineParams, given, groupings, is_active, limit, no_page, time, whole,
};
use super::{ApiError, AppState};
use auscult_access::Role;
use auscult_core::model::CallUid;
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::{
    CallFilter, CallGroup, CallSort, CallTimeline, Cost, Listed, MAX_ROWS, PageCursor, RunningList, Session,
    StoredCall, Window,
};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

/// First and last time stored, and how many calls and streams.
#[utoipa::path(get, path = "/api/v1/range", tag = "calls",
    responses((status = 200, body = RangeJson), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn range(State(state): State<AppState>, caller: Caller) -> Result<Json<RangeJson>, ApiError> {
    Ok(Json(state.session(Cost::Lookup, &caller).await?.range().await?.into()))
}

/// How many calls began when, by [class](/docs/metrics#class), all and by group.
#[utoipa::path(get, path = "/api/v1/timeline", tag = "calls", params(TimelineParams),
    responses((status = 200, body = TimelineJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn timeline(
    State(state): State<AppState>,
    caller: Caller,
    Params(params): Params<TimelineParams>,
) -> Result<Json<TimelineJson>, ApiError> {
    let filter = params.filter()?.searching(&state.reader.privacy());
    let (from, to) = (time("from", &params.from)?, time("to", &params.to)?);
    let group_by = groupings(&params.group_by, &CallGroup::ALL, CallGroup::name)?;
    let wanted = whole("buckets", &params.buckets, 1, MAX_ROWS)?.unwrap_or(120);
    let session = state.session(Cost::Scan, &caller).await?;
    let window = session.window(from, to, (state.now)(), filter.longest(from.is_some() && to.is_some())).await?;
    let bucket_s = bucket_length(window.length(), wanted);
    let length = Nanos::from_secs(bucket_s);
    let timeline = match params.state.as_deref().is_some_and(is_active) {
        // No call that is stored is up.
        true => CallTimeline::empty(window, length)?,
        false => session.timeline(&filter, window, length, &group_by).await?,
    };
    let names = group_by.iter().map(|by| by.name()).collect();
    Ok(Json(TimelineJson::new(window, bucket_s, names, timeline)))
}

/// Calls, worst first unless asked otherwise, page by page. `state=active` lists the calls that are up, with their verdict so
/// far; all others are calls that ended.
#[utoipa::path(get, path = "/api/v1/calls", tag = "calls", params(CallsParams),
    responses((status = 200, body = CallsJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<CallsParams>,
) -> Result<Response, ApiError> {
    let filter = params.filter()?.searching(&state.reader.privacy());
    if let Some(format) = export::format(params.format.as_deref(), &headers)? {
        no_page([("sort", &params.sort), ("limit", &params.limit), ("cursor", &params.cursor)])?;
        if params.state.as_deref().is_some_and(is_active) {
            return Err(ApiError::bad_request(
                "calls that are up are listed as JSON only; a file has calls that ended",
            ));
        }
        let (from, to) = (time("from", &params.from)?, time("to", &params.to)?);
        let session = state.session(Cost::Export, &caller).await?;
        let window = session.window(from, to, (state.now)(), filter.longest(from.is_some() && to.is_some())).await?;
        return export::answer(session, Listed::Calls(&filter), window, format).await;
    }
    let by = |name: &str| CallSort::ALL.into_iter().find(|sort| sort.name() == name);
    let sort = match given(&params.sort).map(by) {
        None => CallSort::Worst,
        Some(Some(sort)) => sort,
        Some(None) => {
            let names = CallSort::ALL.map(CallSort::name).join(", ");
            return Err(ApiError::bad_request(format!("`sort` must be one of {names}")));
        }
    };
    let limit = limit(&params.limit)?;
    let (from, to) = (time("from", &params.from)?, time("to", &params.to)?);
    if params.state.as_deref().is_some_and(is_active) {
        if filter.trunk_direction.is_some() {
            return Err(ApiError::bad_request("`trunk_direction` narrows calls that ended, not those that are up"));
        }
        let after = given(&params.cursor).map(|text| RunningList::cursor(text, sort)).transpose()?;
        return active((&state, &caller), (from, to), (filter, sort), limit as usize, after)
            .await
            .map(|list| Json(list).into_response());
    }
    let after = given(&params.cursor).map(|text| Session::call_cursor(text, sort)).transpose()?;
    let session = state.session(filter.cost(), &caller).await?;
    let window = match &after {
        Some(cursor) => cursor.window,
        None => session.window(from, to, (state.now)(), filter.longest(from.is_some() && to.is_some())).await?,
    };
    let page = session.calls(&filter, window, sort, limit, after.as_ref()).await?;
    Ok(Json(CallsJson {
        window: WindowJson::from(window),
        calls: page.calls.into_iter().map(CallJson::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.encode()),
    })
    .into_response())
}

/// Calls that are up, from the live view alone: a call is in this list or in the store, never in both.
async fn active(
    (state, caller): (&AppState, &Caller),
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    (filter, sort): (CallFilter, CallSort),
    limit: usize,
    after: Option<PageCursor>,
) -> Result<CallsJson, ApiError> {
    let now = state.live.view().snapshot().at.unwrap_or_else(state.now);
    let window = match after {
        Some(cursor) => cursor.window,
        None => {
            let to = to.unwrap_or(now);
            Window { from: from.unwrap_or(to - Window::MAX_DETAIL), to }
        }
    };
    if window.from > window.to || window.length() > Window::MAX_DETAIL {
        return Err(ApiError::bad_request("`from` must be before `to`, at most 31 days"));
    }
    let list = RunningList { filter, sort, site: state.site.to_string(), window, limit, after };
    let scope = caller.principal.scope.clone();
    let (calls, next) = match scope.has_probe(&state.probe) {
        true => state.live.running(list, scope).await,
        false => (Vec::new(), None),
    };
    let stored = calls.iter().map(|call| StoredCall::running(call, &state.probe, &state.site));
    Ok(CallsJson {
        window: WindowJson::from(window),
        calls: stored.map(CallJson::from).collect(),
        next_cursor: next.map(|cursor| cursor.encode()),
    })
}

/// One call with its streams, intervals, SIP messages and RTCP reports, each in the order of time. Of a call that is up, what
/// is known so far; the rows of its streams come when they end.
#[utoipa::path(get, path = "/api/v1/calls/{id}", tag = "calls",
    params(("id" = String, Path, description = "16 hexadecimal digits"), CallParams),
    responses((status = 200, body = DetailJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 404, body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn one(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Params(params): Params<CallParams>,
) -> Result<Json<DetailJson>, ApiError> {
    let first_at = time("first_at", &params.first_at)?;
    let uid = match u64::from_str_radix(&id, 16) {
        Ok(uid) if id.len() == 16 && !id.starts_with('+') => CallUid(uid),
        _ => return Err(ApiError::bad_request("a call's id is 16 hexadecimal digits")),
    };
    let session = state.session(Cost::Lookup, &caller).await?;
    let running = state.live.view().call(uid).filter(|call| is_seen(&state, &caller, &call.trunk));
    let running = running.map(|call| StoredCall::running(&call, &state.probe, &state.site));
    let detail = match running {
        Some(call) => Some(session.evidence(call).await?),
        None => session.call(uid, first_at).await?,
    };
    let missing = || ApiError::not_found("no such call is stored; it may have expired");
    let detail = detail.ok_or_else(missing)?;
    let with_messages = caller.principal.may(Role::Investigator);
    Ok(Json(DetailJson::new(detail, with_messages)))
}

/// Whether a caller may see calls of this probe and a trunk.
fn is_seen(state: &AppState, caller: &Caller, trunk: &str) -> bool {
    caller.principal.scope.has_probe(&state.probe) && caller.principal.scope.has_trunk(trunk)
}

/// The shortest usual length that needs no more than `wanted` buckets, in seconds.
fn bucket_length(window: Nanos, wanted: u32) -> i64 {
    const USUAL: [i64; 18] =
        [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
    let least = window.0.div_euclid(1_000_000_000 * i64::from(wanted)) + 1;
    USUAL.into_iter().find(|s| *s >= least).unwrap_or_else(|| (least + 86_399) / 86_400 * 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_have_usual_lengths_and_are_not_too_many() {
        for (window_s, wanted, expected) in [
            (0, 120, 1),
            (119, 120, 1),
            (120, 120, 2),
            (3600, 120, 60),
            (31 * 86_400, 120, 43_200),
            (31 * 86_400, 1, 2_764_800),
        ] {
            let length = bucket_length(Nanos::from_secs(window_s), wanted);
            assert_eq!(length, expected, "{window_s} s in {wanted}");
            assert!(window_s / length < i64::from(wanted));
        }
    }
}
