//! `/compare`: whether a figure of one window or group differs from that of another.

use super::control::Caller;
use super::error::ErrorBody;
use super::json::WindowJson;
use super::params::{CompareParams, Params, time};
use super::{ApiError, AppState};
use auscult_store::query::{Cost, Estimate, LEAST, Side, Verdict, Window};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `/compare`.
#[derive(Serialize, ToSchema)]
pub struct CompareJson {
    figure: &'static str,
    /// `pct` (of calls or streams; for `loss_p50` and `loss_p95` of a stream's packets), `ms` or `mos`.
    unit: &'static str,
    /// `calls` or `streams`: what the samples are of. Packets and intervals of one stream share its fate and are no sample.
    of: &'static str,
    judged: SampleJson,
    against: SampleJson,
    /// `judged` less `against`. The interval is put together from those of both (square-and-add).
    #[schema(required)]
    difference: Option<EstimateJson>,
    /// Of `judged`: `better` or `worse` where the interval of the difference does not hold 0, else `no_difference_shown`; `too_few`
    /// where one of them has fewer than 20.
    verdict: &'static str,
    /// The sentence a report may carry.
    said: String,
}

#[derive(Serialize, ToSchema)]
pub struct SampleJson {
    window: WindowJson,
    /// Streams or calls.
    size: u64,
    #[schema(required)]
    estimate: Option<EstimateJson>,
}

/// A value and its interval of confidence, 95 %.
#[derive(Serialize, ToSchema)]
pub struct EstimateJson {
    value: f64,
    low: f64,
    high: f64,
}

/// One figure of two windows or two groups, with the difference, its interval of confidence, and a verdict.
#[utoipa::path(get, path = "/api/v1/compare", tag = "stats", params(CompareParams),
    responses((status = 200, body = CompareJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn compare(
    State(state): State<AppState>,
    caller: Caller,
    Params(params): Params<CompareParams>,
) -> Result<Json<CompareJson>, ApiError> {
    let figure = params.figure()?;
    let [(codec, filter), (other_codec, other_filter)] = params.sides()?;
    let (from, to) = (time("from", &params.from)?, time("to", &params.to)?);
    let (other_from, other_to) = (time("against_from", &params.against_from)?, time("against_to", &params.against_to)?);
    let session = state.session(Cost::Scan, &caller).await?;
    let now = (state.now)();
    let window = session.window(from, to, now, Window::MAX).await?;
    let (other_from, other_to) = (other_from.unwrap_or(window.from), other_to.unwrap_or(window.to));
    let other = session.window(Some(other_from), Some(other_to), now, Window::MAX).await?;
    let judged = Side { window, codec, filter };
    let against = Side { window: other, codec: other_codec, filter: other_filter };
    if judged == against {
        return Err(ApiError::bad_request(
            "nothing to compare with: set `against_from` and `against_to`, or another `against_...`",
        ));
    }
    let compared = session.compare(figure, &against, &judged).await?;
    let of = if figure.is_of_calls() { "calls" } else { "streams" };
    let comparison = compared.comparison;
    let sample = |window: Window, size, estimate: Option<Estimate>| SampleJson {
        window: window.into(),
        size,
        estimate: estimate.map(EstimateJson::from),
    };
    let [size_against, size_judged] = compared.sizes;
    let said = match (comparison.verdict, comparison.difference) {
        (Verdict::TooFew, _) | (_, None) => {
            format!("too few: {size_judged} and {size_against} {of}, a verdict needs {LEAST} of each")
        }
        (verdict, Some(d)) => format!(
            "{}: {} {} by {:.2} {} (95 % interval {:.2} to {:.2}), {size_judged} {of} against {size_against}",
            verdict.name().replace('_', " "),
            figure.name(),
            if d.value < 0.0 { "is lower" } else { "is higher" },
            d.value.abs(),
            figure.unit(),
            d.low,
            d.high
        ),
    };
    Ok(Json(CompareJson {
        figure: figure.name(),
        unit: figure.unit(),
        of,
        judged: sample(judged.window, size_judged, comparison.second),
        against: sample(against.window, size_against, comparison.first),
        difference: comparison.difference.map(EstimateJson::from),
        verdict: comparison.verdict.name(),
        said,
    }))
}

impl From<Estimate> for EstimateJson {
    fn from(Estimate { value, low, high }: Estimate) -> EstimateJson {
        let round = |value: f64| (value * 1e3).round() / 1e3;
        EstimateJson { value: round(value), low: round(low), high: round(high) }
    }
}
