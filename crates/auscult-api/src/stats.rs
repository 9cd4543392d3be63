//! `/stats`: percentiles and sums over any grouping.

use super::control::Caller;
use super::error::ErrorBody;
use super::json::{Ordered, WindowJson, loss_runs, shown};
use super::json_figures::late_pct;
use super::params::{Params, StatsParams, groupings, time, whole};
use super::{ApiError, AppState};
use auscult_core::model::DISCARD_BUFFERS_MS;
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::{Cost, GroupBy, StatsGroup, StatsRequest, Window, quantile};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// Late discards below which a jitter buffer counts as large enough, percent.
const ENOUGH_PCT: f64 = 0.5;

/// Answer of `/stats`.
#[derive(Serialize, ToSchema)]
pub struct StatsJson {
    window: WindowJson,
    group_by: Vec<&'static str>,
    #[schema(required)]
    bucket_s: Option<u32>,
    /// `groups`: read from sums over many streams. `raw`: from the rows of single streams, which a grouping or filter by address
    /// needs, and a window with rows from before the store had sums.
    source: &'static str,
    /// Largest first, or by time when buckets were asked for.
    groups: Vec<GroupJson>,
    /// There were more than 1000 groups.
    truncated: bool,
}

#[derive(Serialize, ToSchema)]
pub struct GroupJson {
    /// One value per entry of `group_by`.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    key: Ordered<String>,
    #[schema(required)]
    at: Option<String>,
    /// Different streams: how many a percentile stands on.
    streams: u64,
    /// Intervals of streams.
    intervals: u64,
    /// Different calls; null where `source` is `groups`.
    #[schema(required)]
    calls: Option<u64>,
    packets: u64,
    expected: u64,
    lost: u64,
    #[schema(required)]
    loss_pct: Option<f64>,
    /// The lost packets by loss source.
    lost_by_source: LostJson,
    reordered: u64,
    delay_variation_ms: PercentilesJson,
    /// Share of the packets too late for a fixed jitter buffer of so many milliseconds, percent, see
    /// [late](/docs/metrics#late). Null where no delay is known.
    #[schema(value_type = std::collections::BTreeMap<String, Option<f64>>)]
    late_pct: Ordered<Option<f64>>,
    /// Smallest of these buffers that would have discarded under 0.5 % of all packets of the group; null when even the
    /// largest would have discarded more, or no delay is known. A single stream of the group may need more.
    #[schema(required)]
    buffer_ms_for_0_5_pct: Option<u16>,
    /// Mean interarrival jitter (RFC 3550) of each stream in each interval.
    jitter_ms: JitterPercentilesJson,
    /// Largest jitter after any packet.
    #[schema(required)]
    jitter_max_ms: Option<f32>,
    /// Number of runs by their length in packets.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    loss_runs: Ordered<u64>,
    /// Per scale; scales are never mixed.
    mos: Vec<ScaleMosJson>,
    /// Intervals with a listening MOS under 3.6 (many users dissatisfied, G.107 Annex B), and under 3.1 (nearly all).
    mos_under_3_6: u64,
    mos_under_3_1: u64,
    /// Intervals of streams whose opposite direction was not seen.
    one_sided: u64,
}

/// Lost packets by loss source.
#[derive(Serialize, ToSchema)]
pub struct LostJson {
    network: u64,
    /// The probe dropped frames in the same interval.
    capture: u64,
    suspected_capture: u64,
}

/// By nearest rank over intervals of streams, milliseconds; each at most 4.5 % off between 0.125 ms and 4 s. Null where no jitter
/// is known.
#[derive(Serialize, ToSchema)]
pub struct JitterPercentilesJson {
    #[schema(required)]
    p50: Option<f64>,
    #[schema(required)]
    p95: Option<f64>,
    #[schema(required)]
    p99: Option<f64>,
}

/// By nearest rank over all packets; each at most 4.5 % off between 0.125 ms and 4 s. Null without packets.
#[derive(Serialize, ToSchema)]
pub struct PercentilesJson {
    #[schema(required)]
    p50: Option<f64>,
    #[schema(required)]
    p95: Option<f64>,
    #[schema(required)]
    p99: Option<f64>,
    #[schema(required)]
    p999: Option<f64>,
}

/// Listening MOS of intervals: the value 5 % are below, and the median.
#[derive(Serialize, ToSchema)]
pub struct ScaleMosJson {
    /// `nb`, `wb` or `fb`.
    scale: &'static str,
    p5: f32,
    p50: f32,
    intervals: u64,
}

/// Loss, delay variation and MOS of the intervals that start inside the window, over any grouping and as a time series.
#[utoipa::path(get, path = "/api/v1/stats", tag = "stats", params(StatsParams),
    responses((status = 200, body = StatsJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn stats(
    State(state): State<AppState>,
    caller: Caller,
    Params(params): Params<StatsParams>,
) -> Result<Json<StatsJson>, ApiError> {
    let filter = params.filter()?;
    let group_by = groupings(&params.group_by, &GroupBy::ALL, GroupBy::name)?;
    let bucket_s = whole("bucket_s", &params.bucket_s, 1, 86_400)?;
    let (from, to) = (time("from", &params.from)?, time("to", &params.to)?);
    let session = state.session(Cost::Scan, &caller).await?;
    let bucket = bucket_s.map(|s| Nanos::from_secs(i64::from(s)));
    let window = Window { from: Timestamp::MIN, to: Timestamp::MIN };
    let mut request = StatsRequest { window, filter, group_by, bucket };
    let longest = if request.is_of_sums() { Window::MAX } else { Window::MAX_DETAIL };
    request.window = session.window(from, to, (state.now)(), longest).await?;
    let page = session.stats(&request).await?;
    let names: Vec<&'static str> = request.group_by.iter().map(|g| g.name()).collect();
    Ok(Json(StatsJson {
        window: request.window.into(),
        groups: page.groups.into_iter().map(|group| GroupJson::new(&names, group)).collect(),
        group_by: names,
        bucket_s,
        source: page.source.name(),
        truncated: page.truncated,
    }))
}

impl GroupJson {
    fn new(names: &[&'static str], group: StatsGroup) -> GroupJson {
        let ms = |q| quantile(&group.pdv, q).map(Nanos::as_millis_f64);
        let [p50, p95, p99] = group.jitter_ms;
        let late = late_pct(&group.late, group.delays_known);
        let enough = |(_, (_, late)): &(u16, &(String, Option<f64>))| late.is_some_and(|late| late < ENOUGH_PCT);
        GroupJson {
            delay_variation_ms: PercentilesJson { p50: ms(0.5), p95: ms(0.95), p99: ms(0.99), p999: ms(0.999) },
            buffer_ms_for_0_5_pct: DISCARD_BUFFERS_MS.into_iter().zip(&late.0).find(enough).map(|(size, _)| size),
            late_pct: late,
            key: Ordered(names.iter().map(|n| (*n).to_owned()).zip(group.key.into_iter().map(shown)).collect()),
            at: group.at.map(|at| at.to_rfc3339()),
            streams: group.streams,
            intervals: group.intervals,
            calls: group.calls,
            packets: group.packets,
            expected: group.expected,
            lost: group.lost,
            loss_pct: (group.expected > 0).then(|| 100.0 * group.lost as f64 / group.expected as f64),
            lost_by_source: LostJson {
                network: group.lost.saturating_sub(group.lost_capture + group.lost_suspected_capture),
                capture: group.lost_capture,
                suspected_capture: group.lost_suspected_capture,
            },
            reordered: group.reordered,
            jitter_ms: JitterPercentilesJson { p50, p95, p99 },
            jitter_max_ms: group.jitter_max_ms,
            mos_under_3_6: group.mos_under_3_6,
            mos_under_3_1: group.mos_under_3_1,
            one_sided: group.one_sided,
            loss_runs: loss_runs(group.loss_runs),
            mos: group
                .mos
                .into_iter()
                .map(|m| ScaleMosJson { scale: m.scale, p5: m.p5, p50: m.p50, intervals: m.intervals })
                .collect(),
        }
    }
}
