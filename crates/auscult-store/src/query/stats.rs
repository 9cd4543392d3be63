//! Statistics over intervals: percentiles from merged histograms, loss, loss runs and MOS per scale, over any grouping.

use super::coverage::Sums;
use super::statement::{Statement, Value};
use super::{MAX_DETAIL_DAYS, MAX_ROWS, QueryError, Session, StreamFilter, Window};
use auscult_core::units::{DelayHistogram, HISTOGRAM_VERSION, Nanos, Timestamp};
use clickhouse::Row;
use serde::Deserialize;

/// What intervals are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    Codec,
    Trunk,
    /// Which way streams go, seen from their trunk: `from`, `toward`, empty without a trunk.
    TrunkDirection,
    Site,
    Probe,
    /// Source address without port.
    Src,
    Dst,
    MosScale,
}

impl GroupBy {
    pub const ALL: [GroupBy; 8] = [
        GroupBy::Codec,
        GroupBy::Trunk,
        GroupBy::TrunkDirection,
        GroupBy::Site,
        GroupBy::Probe,
        GroupBy::Src,
        GroupBy::Dst,
        GroupBy::MosScale,
    ];

    pub fn name(self) -> &'static str {
        match self {
            GroupBy::Codec => "codec",
            GroupBy::Trunk => "trunk",
            GroupBy::TrunkDirection => "trunk_direction",
            GroupBy::Site => "site",
            GroupBy::Probe => "probe",
            GroupBy::Src => "src",
            GroupBy::Dst => "dst",
            GroupBy::MosScale => "mos_scale",
        }
    }

    pub fn parse(name: &str) -> Option<GroupBy> {
        Self::ALL.into_iter().find(|g| g.name() == name)
    }

    fn sql(self) -> &'static str {
        match self {
            GroupBy::Codec => "toString(codec)",
            GroupBy::Trunk => "toString(trunk)",
            GroupBy::TrunkDirection => "toString(trunk_direction)",
            GroupBy::Site => "toString(site)",
            GroupBy::Probe => "toString(probe)",
            GroupBy::Src => "IPv6NumToString(src_ip)",
            GroupBy::Dst => "IPv6NumToString(dst_ip)",
            GroupBy::MosScale => "toString(mos_scale)",
        }
    }
}

/// Most groupings at once.
pub const MAX_GROUPINGS: usize = 3;

/// What to compute over which intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsRequest {
    pub window: Window,
    pub filter: StreamFilter,
    pub group_by: Vec<GroupBy>,
    /// Whole seconds; `None` for one figure over the whole window.
    pub bucket: Option<Nanos>,
}

/// Listening MOS of the intervals on one scale: never mixed with another.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleMos {
    pub scale: &'static str,
    /// Nearest rank over interval MOS rounded to 0.01.
    pub p5: f32,
    pub p50: f32,
    pub intervals: u64,
    /// Intervals by MOS in hundredths, ascending; empty where single streams were read.
    pub counts: Vec<(u16, u64)>,
}

/// The figures of one group, or of one group during one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsGroup {
    /// One value per entry of the request's `group_by`.
    pub key: Vec<String>,
    /// Start of the bucket, when buckets were asked for.
    pub at: Option<Timestamp>,
    /// Different streams, and intervals of them.
    pub streams: u64,
    pub intervals: u64,
    /// Different calls; sums do not know them.
    pub calls: Option<u64>,
    pub packets: u64,
    pub expected: u64,
    /// All that was lost, and of it what the capture lost, and what it is suspected of.
    pub lost: u64,
    pub lost_capture: u64,
    pub lost_suspected_capture: u64,
    pub reordered: u64,
    /// Merged delay-variation histogram, bucket by bucket.
    pub pdv: Vec<u64>,
    /// Packets too late for each of [`auscult_core::model::DISCARD_BUFFERS_MS`], of `delays_known` packets.
    pub late: Vec<u64>,
    pub delays_known: u64,
    /// p50, p95 and p99 over intervals of their mean interarrival jitter.
    pub jitter_ms: [Option<f64>; 3],
    /// Those means bucket by bucket; empty where single streams were read.
    pub jitter: Vec<u64>,
    pub jitter_max_ms: Option<f32>,
    /// Per bin of [`auscult_core::model::LossRuns`].
    pub loss_runs: Vec<u64>,
    pub mos: Vec<ScaleMos>,
    /// Intervals with a MOS under 3.6 and under 3.1, and those of which the opposite direction was not seen.
    pub mos_under_3_6: u64,
    pub mos_under_3_1: u64,
    pub one_sided: u64,
}

/// What statistics were read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Sums over many streams.
    Groups,
    /// The rows of single streams.
    Raw,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::Groups => "groups",
            Source::Raw => "raw",
        }
    }
}

/// All groups, largest first, or by time when buckets were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsPage {
    pub groups: Vec<StatsGroup>,
    pub source: Source,
    /// There were more than [`MAX_ROWS`] groups.
    pub truncated: bool,
}

/// Quantile `q` by nearest rank of a merged histogram: the definition of [`DelayHistogram::quantile`], whose
/// 32-bit counts a day of many streams would overflow.
pub fn quantile(counts: &[u64], q: f64) -> Option<Nanos> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
    let mut seen = 0u64;
    for (bucket, count) in counts.iter().enumerate() {
        seen += count;
        if seen >= rank {
            return Some(DelayHistogram::middle(bucket));
        }
    }
    None
}

#[derive(Row, Deserialize)]
struct GroupRow {
    keys: Vec<String>,
    bucket_s: i64,
    streams: u64,
    intervals: u64,
    calls: u64,
    packets_sum: u64,
    expected_sum: u64,
    lost_sum: u64,
    lost_capture: u64,
    lost_suspected_capture: u64,
    reordered_sum: u64,
    pdv_sum: Vec<u64>,
    late_sum: Vec<u64>,
    delays_known: u64,
    jitter: Vec<f32>,
    jitter_known: u64,
    jitter_max: Option<f32>,
    loss_runs_sum: Vec<u64>,
    nb_mos: Vec<f32>,
    nb_intervals: u64,
    wb_mos: Vec<f32>,
    wb_intervals: u64,
    fb_mos: Vec<f32>,
    fb_intervals: u64,
    mos_under_3_6: u64,
    mos_under_3_1: u64,
    one_sided_intervals: u64,
}

macro_rules! scale_mos {
    ($scale:literal) => {
        concat!(
            ", quantilesExactWeightedIf(0.05, 0.5)(round(ifNull(mos_lq, 0), 2), 1, mos_lq IS NOT NULL AND mos_scale = '",
            $scale,
            "') AS ",
            $scale,
            "_mos, countIf(mos_lq IS NOT NULL AND mos_scale = '",
            $scale,
            "') AS ",
            $scale,
            "_intervals"
        )
    };
}

const FIGURES: &str = concat!(
    ", uniqExact(stream_id) AS streams, count() AS intervals, uniqExactIf(call_uid, call_uid != 0) AS calls, \
     sum(packets) AS packets_sum, sum(expected) AS expected_sum, sum(lost) AS lost_sum, \
     sum(",
    lost_to_capture!(),
    ") AS lost_capture, sum(",
    lost_to_suspected_capture!(),
    ") AS lost_suspected_capture, sum(reordered) AS reordered_sum, \
     sumForEachIf(pdv, histogram_version = {histogram_version:UInt8}) AS pdv_sum, \
     sumForEach(late) AS late_sum, sum(arraySum(pdv)) AS delays_known, \
     quantilesExactWeightedIf(0.5, 0.95, 0.99)(ifNull(jitter_mean_ms, 0), 1, jitter_mean_ms IS NOT NULL) AS jitter, \
     count(jitter_mean_ms) AS jitter_known, max(jitter_max_ms) AS jitter_max, \
     sumForEach(loss_runs) AS loss_runs_sum",
    scale_mos!("nb"),
    scale_mos!("wb"),
    scale_mos!("fb"),
    ", countIf(mos_lq < 3.6) AS mos_under_3_6, countIf(mos_lq < 3.1) AS mos_under_3_1, \
     countIf(one_sided) AS one_sided_intervals",
    " FROM stream_intervals"
);

impl Session {
    /// The figures of a request, from sums where they have all that is asked for, else from the rows of streams.
    ///
    /// # Errors
    /// A window that only the rows of streams can answer is refused above [`super::MAX_DETAIL_DAYS`].
    pub async fn stats(&self, request: &StatsRequest) -> Result<StatsPage, QueryError> {
        if request.group_by.len() > MAX_GROUPINGS {
            return Err(QueryError::BadRequest(format!("at most {MAX_GROUPINGS} entries in `group_by`")));
        }
        let bucket = request.bucket.map(|bucket| bucket_seconds(bucket, request.window)).transpose()?;
        let Window { from, to } = request.window;
        let source = match request.is_of_sums() && !self.lacks(Sums::Groups, from, to).await? {
            true => Source::Groups,
            false => Source::Raw,
        };
        let mut groups = match source {
            Source::Groups => self.stats_of_sums(request, bucket).await?,
            Source::Raw => self.stats_of_rows(request, bucket).await?,
        };
        let truncated = groups.len() > MAX_ROWS as usize;
        groups.truncate(MAX_ROWS as usize);
        Ok(StatsPage { groups, source, truncated })
    }

    async fn stats_of_rows(&self, request: &StatsRequest, bucket: Option<u64>) -> Result<Vec<StatsGroup>, QueryError> {
        if request.window.length() > Window::MAX_DETAIL {
            return Err(QueryError::BadRequest(format!(
                "a grouping or filter by address, and times before the store had sums, need the rows of single streams: \
                 at most {MAX_DETAIL_DAYS} days; ask for a shorter time range"
            )));
        }
        let keys: Vec<&'static str> = request.group_by.iter().map(|g| g.sql()).collect();
        let mut statement = Statement::new("SELECT ");
        statement = match keys.is_empty() {
            true => statement.text("emptyArrayString()"),
            false => statement.text("[").join(&keys, ", ").text("]"),
        };
        statement = match request.bucket {
            Some(_) => statement.text(
                " AS keys, toInt64(intDiv(toUnixTimestamp(start_at), {bucket:UInt32}) * {bucket:UInt32}) AS bucket_s",
            ),
            None => statement.text(" AS keys, toInt64(0) AS bucket_s"),
        };
        statement = statement
            .text(FIGURES)
            .conditions(request.filter.interval_conditions(request.window))
            .text(" GROUP BY keys, bucket_s");
        statement = match request.bucket {
            Some(_) => statement.text(" ORDER BY bucket_s, keys"),
            None => statement.text(" ORDER BY packets_sum DESC, keys"),
        };
        statement = statement
            .text(" LIMIT {limit:UInt32}")
            .value("limit", Value::Uint(u64::from(MAX_ROWS) + 1))
            .value("histogram_version", Value::Uint(u64::from(HISTOGRAM_VERSION)));
        if let Some(seconds) = bucket {
            statement = statement.value("bucket", Value::Uint(seconds));
        }
        let rows: Vec<GroupRow> = statement.fetch_all(&self.client).await?;
        Ok(rows.into_iter().map(|row| row.into_group(request)).collect())
    }
}

pub(super) fn bucket_seconds(bucket: Nanos, window: Window) -> Result<u64, QueryError> {
    let seconds = bucket.0 / 1_000_000_000;
    if !(1..=86_400).contains(&seconds) {
        return Err(QueryError::BadRequest("`bucket_s` must be 1 to 86400 seconds".to_owned()));
    }
    if window.length().0 / (seconds * 1_000_000_000) >= i64::from(MAX_ROWS) {
        return Err(QueryError::BadRequest(format!(
            "the window has more than {MAX_ROWS} buckets of {seconds} s; ask for longer buckets or a shorter time range"
        )));
    }
    Ok(seconds as u64)
}

impl GroupRow {
    fn into_group(self, request: &StatsRequest) -> StatsGroup {
        let scale = |scale, quantiles: &[f32], intervals| match quantiles {
            [p5, p50] if intervals > 0 => Some(ScaleMos { scale, p5: *p5, p50: *p50, intervals, counts: Vec::new() }),
            _ => None,
        };
        let mos = [
            scale("nb", &self.nb_mos, self.nb_intervals),
            scale("wb", &self.wb_mos, self.wb_intervals),
            scale("fb", &self.fb_mos, self.fb_intervals),
        ];
        let jitter = &self.jitter;
        let key = request.group_by.iter().zip(self.keys).map(|(by, key)| match by {
            GroupBy::Src | GroupBy::Dst => canonical(key),
            _ => key,
        });
        StatsGroup {
            key: key.collect(),
            at: request.bucket.map(|_| Timestamp::from_secs(self.bucket_s)),
            streams: self.streams,
            intervals: self.intervals,
            calls: Some(self.calls),
            packets: self.packets_sum,
            expected: self.expected_sum,
            lost: self.lost_sum,
            lost_capture: self.lost_capture,
            lost_suspected_capture: self.lost_suspected_capture,
            reordered: self.reordered_sum,
            pdv: self.pdv_sum,
            late: self.late_sum,
            delays_known: self.delays_known,
            jitter_ms: [0, 1, 2].map(|at| jitter.get(at).filter(|_| self.jitter_known > 0).map(|ms| f64::from(*ms))),
            jitter: Vec::new(),
            jitter_max_ms: self.jitter_max,
            loss_runs: self.loss_runs_sum,
            mos: mos.into_iter().flatten().collect(),
            mos_under_3_6: self.mos_under_3_6,
            mos_under_3_1: self.mos_under_3_1,
            one_sided: self.one_sided_intervals,
        }
    }
}

/// IPv4-mapped addresses as IPv4.
fn canonical(ip: String) -> String {
    match ip.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quantile_is_that_of_the_histogram(delays in prop::collection::vec(0i64..10_000_000_000, 0..300), q in 0.0f64..=1.0) {
            let mut histogram = DelayHistogram::default();
            for delay in &delays {
                histogram.record(Nanos(*delay));
            }
            let counts: Vec<u64> = histogram.trimmed().iter().map(|c| u64::from(*c)).collect();
            prop_assert_eq!(quantile(&counts, q), histogram.quantile(q));
        }
    }

    #[test]
    fn counts_beyond_32_bits_do_not_saturate() {
        let mut counts = vec![0u64; 20];
        counts[1] = 6_000_000_000;
        counts[10] = 6_000_000_002;
        assert_eq!(quantile(&counts, 0.5), Some(DelayHistogram::middle(10)));
    }

    #[test]
    fn groupings_have_names_that_read_back() {
        for by in GroupBy::ALL {
            assert_eq!(GroupBy::parse(by.name()), Some(by));
        }
        assert_eq!(GroupBy::parse("caller_user"), None);
    }
}
