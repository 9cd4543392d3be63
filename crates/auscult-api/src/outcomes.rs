//! `/outcomes`: what became of call attempts, with the ratios of RFC 6076 and E.425, over any grouping.

use super::control::Caller;
use super::error::ErrorBody;
use super::json::{Ordered, WindowJson, shown};
use super::params::{OutcomesParams, Params, groupings, time, whole};
use super::{ApiError, AppState};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::{Cost, OutcomeGroup, OutcomeRequest, Outcomes, Share, Source, Spans, Window};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Answer of `/outcomes`.
#[derive(Serialize, ToSchema)]
pub struct OutcomesJson {
    window: WindowJson,
    group_by: Vec<&'static str>,
    #[schema(required)]
    bucket_s: Option<u32>,
    /// `groups`: read from sums over many calls. `raw`: from single calls, because some of the window is from before the store had
    /// sums.
    source: &'static str,
    /// Most attempts first, or by time when buckets were asked for.
    groups: Vec<OutcomeJson>,
    /// There were more than 1000 groups.
    truncated: bool,
}

/// Attempts count, with all that their final response shows, at the time of that response; what only the end of a call shows
/// counts at the end.
#[derive(Serialize, ToSchema)]
pub struct OutcomeJson {
    /// One value per entry of `group_by`.
    #[schema(value_type = BTreeMap<String, String>)]
    key: Ordered<String>,
    #[schema(required)]
    at: Option<String>,
    /// INVITEs with a final response, cancelled, or without a response in time.
    attempts: u64,
    answers: u64,
    /// Attempts by final code; `0` is none.
    final_codes: BTreeMap<u16, u64>,
    /// Given up by the caller.
    cancelled: u64,
    /// Without a final response in time.
    setup_timeouts: u64,
    /// Answer-seizure ratio, ITU-T E.425: answers to attempts.
    asr: RatioJson,
    /// Network effectiveness ratio, E.425: answers and outcomes of people (busy, declined, no such number) to attempts.
    ner: RatioJson,
    /// Session establishment ratio, RFC 6076 section 4.6: redirections (3xx) do not count.
    ser: RatioJson,
    /// Session establishment effectiveness ratio, RFC 6076 section 4.7: 480, 486, 600 and 603 are effective, 3xx, 401, 402 and
    /// 407 do not count.
    seer: RatioJson,
    /// Ineffective session attempts, RFC 6076 section 4.8: 408, 500, 503, 504 and timeouts to attempts.
    isa: RatioJson,
    /// Session completion ratio, RFC 6076 section 4.9: calls released by BYE to attempts. Attempts count at their answer and
    /// releases at the end: over windows much longer than a call it means something.
    scr: RatioJson,
    /// INVITE to the first response that is not 100 (post-dial delay).
    pdd_ms: SpansJson,
    /// INVITE to the 2xx.
    setup_ms: SpansJson,
    /// INVITE to the failure response (failed session request delay, RFC 6076 section 4.3.2).
    srd_failed_ms: SpansJson,
    /// Calls that ended, with or without an answer.
    ended: u64,
    #[schema(value_type = BTreeMap<String, u64>)]
    classes: BTreeMap<String, u64>,
    /// Ended calls by every diagnosis they have.
    #[schema(value_type = BTreeMap<String, u64>)]
    diagnoses: BTreeMap<String, u64>,
    /// Released by BYE.
    completed: u64,
    /// Answered and shorter than 20 s.
    short: u64,
    /// 2xx to the end (session duration time, RFC 6076 section 4.5).
    duration_ms: SpansJson,
    /// BYE to its 2xx (session disconnect delay, RFC 6076 section 4.4).
    sdd_ms: SpansJson,
    concurrent: ConcurrentJson,
}

/// A share of attempts. Null where nothing was counted.
#[derive(Serialize, ToSchema)]
pub struct RatioJson {
    #[schema(required)]
    pct: Option<f64>,
    /// What it is a share of.
    of: u64,
}

/// By nearest rank, at most 4.5 % off; from single calls at most 9 %. Null without any.
#[derive(Serialize, ToSchema)]
pub struct SpansJson {
    /// How many the percentiles stand on.
    calls: u64,
    #[schema(required)]
    p50: Option<f64>,
    #[schema(required)]
    p95: Option<f64>,
    #[schema(required)]
    p99: Option<f64>,
}

/// Answered calls that were up at the same time. Null where `source` is `raw`.
#[derive(Serialize, ToSchema)]
pub struct ConcurrentJson {
    /// Mean over the bucket, or over the window.
    #[schema(required)]
    mean: Option<f64>,
    /// Most at once; where a group takes in several trunks, directions, sites or probes that of the largest of them.
    #[schema(required)]
    max: Option<u32>,
}

/// Final codes, ratios and times to set up of the calls of the window, over any grouping and as a time series.
#[utoipa::path(get, path = "/api/v1/outcomes", tag = "stats", params(OutcomesParams),
    responses((status = 200, body = OutcomesJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn outcomes(
    State(state): State<AppState>,
    caller: Caller,
    Params(params): Params<OutcomesParams>,
) -> Result<Json<OutcomesJson>, ApiError> {
    let filter = params.filter()?;
    let group_by = groupings(&params.group_by, &OutcomeGroup::ALL, OutcomeGroup::name)?;
    let bucket_s = whole("bucket_s", &params.bucket_s, 1, 86_400)?;
    let (from, to) = (time("from", &params.from)?, time("to", &params.to)?);
    let session = state.session(Cost::Scan, &caller).await?;
    let window = session.window(from, to, (state.now)(), Window::MAX).await?;
    let bucket = bucket_s.map(|s| Nanos::from_secs(i64::from(s)));
    let request = OutcomeRequest { window, filter, group_by, bucket };
    let page = session.outcomes(&request).await?;
    let names: Vec<&'static str> = request.group_by.iter().map(|by| by.name()).collect();
    let groups = page.groups.into_iter().map(|group| OutcomeJson::new(&names, &request, page.source, group));
    Ok(Json(OutcomesJson {
        window: window.into(),
        groups: groups.collect(),
        group_by: names,
        bucket_s,
        source: page.source.name(),
        truncated: page.truncated,
    }))
}

impl OutcomeJson {
    fn new(names: &[&'static str], request: &OutcomeRequest, source: Source, of: Outcomes) -> OutcomeJson {
        OutcomeJson {
            asr: of.asr().into(),
            ner: of.ner().into(),
            ser: of.ser().into(),
            seer: of.seer().into(),
            isa: of.isa().into(),
            scr: of.scr().into(),
            concurrent: concurrent(request, source, &of),
            key: Ordered(names.iter().map(|n| (*n).to_owned()).zip(of.key.into_iter().map(shown)).collect()),
            at: of.at.map(Timestamp::to_rfc3339),
            attempts: of.attempts,
            answers: of.answers,
            final_codes: of.final_codes.into_iter().collect(),
            cancelled: of.cancelled,
            setup_timeouts: of.setup_timeouts,
            pdd_ms: of.pdd.into(),
            setup_ms: of.setup.into(),
            srd_failed_ms: of.srd_failed.into(),
            ended: of.ended,
            classes: of.classes.into_iter().collect(),
            diagnoses: of.diagnoses.into_iter().collect(),
            completed: of.completed,
            short: of.short,
            duration_ms: of.duration.into(),
            sdd_ms: of.sdd.into(),
        }
    }
}

fn concurrent(request: &OutcomeRequest, source: Source, of: &Outcomes) -> ConcurrentJson {
    let Window { from, to } = request.window;
    let span = match (of.at, request.bucket) {
        // A bucket at an end of the window lies in it in part.
        (Some(at), Some(bucket)) => (at + bucket).min(to) - at.max(from),
        _ => to - from,
    };
    let known = source == Source::Groups;
    let mean =
        (known && span > Nanos::ZERO).then(|| (of.up_ms.max(0) as f64 / span.as_millis_f64() * 1e3).round() / 1e3);
    ConcurrentJson { mean, max: known.then_some(of.up_max) }
}

impl From<Share> for RatioJson {
    fn from((part, of): Share) -> RatioJson {
        RatioJson { pct: (of > 0).then(|| (1e4 * part as f64 / of as f64).round() / 1e2), of }
    }
}

impl From<Spans> for SpansJson {
    fn from(spans: Spans) -> SpansJson {
        let ms = |q| spans.quantile(q).map(|span| (span.as_millis_f64() * 1e3).round() / 1e3);
        SpansJson { calls: spans.total(), p50: ms(0.5), p95: ms(0.95), p99: ms(0.99) }
    }
}
