//! Statistics from sums: as many rows are read as there are groups, and not as there are streams.

use super::levels::{KEYS, LISTS, Level, parts};
use super::statement::{Statement, Value};
use super::stats::{GroupBy, ScaleMos, StatsGroup, StatsRequest};
use super::{MAX_ROWS, QueryError, Session};
use auscult_core::units::{HISTOGRAM_VERSION, Timestamp};
use clickhouse::Row;
use serde::Deserialize;

#[derive(Row, Deserialize)]
struct SumRow {
    keys: Vec<String>,
    bucket_s: i64,
    streams: u64,
    intervals: u64,
    packets: u64,
    expected: u64,
    lost_network: u64,
    lost_capture: u64,
    lost_suspected_capture: u64,
    reordered: u64,
    pdv: Vec<u64>,
    late: Vec<u64>,
    jitter: Vec<u64>,
    jitter_max_ms: Option<f32>,
    loss_runs: Vec<u64>,
    nb: Vec<(u16, u64)>,
    wb: Vec<(u16, u64)>,
    fb: Vec<(u16, u64)>,
    mos_under_3_6: u64,
    mos_under_3_1: u64,
    one_sided: u64,
}

/// The figures of a part, with the function that adds up its arrays.
macro_rules! figures {
    ($sum:literal, $table:literal) => {
        concat!(
            ", sum(streams) AS intervals, sum(packets) AS packets, sum(expected) AS expected, \
             sum(lost_network) AS lost_network, sum(lost_capture) AS lost_capture, \
             sum(lost_suspected_capture) AS lost_suspected_capture, sum(reordered) AS reordered, ",
            $sum,
            "(pdv) AS pdv, ",
            $sum,
            "(late) AS late, ",
            $sum,
            "(jitter) AS jitter, max(jitter_max_ms) AS jitter_max_ms, ",
            $sum,
            "(loss_runs) AS loss_runs, sumMapIf(mos, mos_scale = 'nb') AS nb, sumMapIf(mos, mos_scale = 'wb') AS wb, \
             sumMapIf(mos, mos_scale = 'fb') AS fb, sum(mos_under_3_6) AS mos_under_3_6, \
             sum(mos_under_3_1) AS mos_under_3_1, sum(one_sided) AS one_sided FROM ",
            $table
        )
    };
}

const TOTALS: &str = ", sum(different) AS streams, sum(intervals) AS intervals, sum(packets) AS packets, \
    sum(expected) AS expected, sum(lost_network) AS lost_network, sum(lost_capture) AS lost_capture, \
    sum(lost_suspected_capture) AS lost_suspected_capture, sum(reordered) AS reordered, sumForEach(pdv) AS pdv, \
    sumForEach(late) AS late, sumForEach(jitter) AS jitter, max(jitter_max_ms) AS jitter_max_ms, \
    sumForEach(loss_runs) AS loss_runs, sumMap(nb) AS nb, sumMap(wb) AS wb, sumMap(fb) AS fb, \
    sum(mos_under_3_6) AS mos_under_3_6, sum(mos_under_3_1) AS mos_under_3_1, sum(one_sided) AS one_sided FROM (";

fn figures(level: Level) -> &'static str {
    match level {
        Level::Interval => figures!("sumForEach", "media_groups"),
        Level::FiveMinutes => figures!("sumForEachMerge", "media_groups_5m"),
        Level::Hour => figures!("sumForEachMerge", "media_groups_1h"),
    }
}

/// Streams that were not present before in the window, or in the bucket: each counts once, in the sum it is first in.
macro_rules! different {
    ($present:literal) => {
        concat!(
            ", sum(arraySum(mapValues(mapFilter((at, n) -> at = 0 OR at < greatest({from_s:Int64}, bucket), ",
            $present,
            ")))) AS different"
        )
    };
}

impl GroupBy {
    /// The column of sums as a key of that position; `None` where sums do not have it.
    fn of_sums(self, position: usize) -> Option<&'static str> {
        macro_rules! key {
            ($column:literal) => {
                [concat!(", ", $column, " AS k1"), concat!(", ", $column, " AS k2"), concat!(", ", $column, " AS k3")]
            };
        }
        let keys = match self {
            GroupBy::Codec => key!("codec"),
            GroupBy::Trunk => key!("trunk"),
            GroupBy::TrunkDirection => key!("trunk_direction"),
            GroupBy::Site => key!("site"),
            GroupBy::Probe => key!("probe"),
            GroupBy::MosScale => key!("mos_scale"),
            GroupBy::Src | GroupBy::Dst => return None,
        };
        keys.get(position).copied()
    }
}

impl StatsRequest {
    /// Whether sums hold all that is asked for.
    pub fn is_of_sums(&self) -> bool {
        self.filter.is_of_sums() && self.group_by.iter().all(|by| by.of_sums(0).is_some())
    }

    fn different(&self) -> &'static str {
        let codec = self.filter.codec.is_some() || self.group_by.contains(&GroupBy::Codec);
        match (codec, self.group_by.contains(&GroupBy::MosScale)) {
            (false, false) => different!("present_before"),
            (true, false) => different!("present_before_codec"),
            (false, true) => different!("present_before_scale"),
            (true, true) => different!("present_before_codec_scale"),
        }
    }

    fn sums(&self, bucket: Option<u64>) -> Statement {
        let from = self.window.from.0.div_euclid(1_000_000_000);
        let to = self.window.to.0.div_euclid(1_000_000_000) + 1;
        let keys = self.group_by.len();
        let mut statement = Statement::new("SELECT ").text(LISTS[keys]).text(", bucket AS bucket_s").text(TOTALS);
        let parts = parts(from.max(0), to.max(1), bucket.map(|s| s as i64));
        for (n, part) in parts.iter().enumerate() {
            statement = statement.text(if n > 0 { " UNION ALL SELECT " } else { "SELECT " }).text(match bucket {
                Some(_) => "toInt64(intDiv(toUnixTimestamp(start_at), {bucket:UInt32}) * {bucket:UInt32}) AS bucket",
                None => "toInt64(0) AS bucket",
            });
            for (position, by) in self.group_by.iter().enumerate() {
                statement = statement.text(by.of_sums(position).unwrap_or_default());
            }
            statement = statement.text(self.different()).text(figures(part.level));
            statement = self.filter.sum_conditions(part.narrow(statement));
            statement = statement.text(" GROUP BY bucket").text(KEYS[keys]);
        }
        statement = statement.text(") GROUP BY bucket").text(KEYS[keys]);
        statement = statement.text(match bucket {
            Some(_) => " ORDER BY bucket_s, keys",
            None => " ORDER BY packets DESC, keys",
        });
        let statement = self.filter.sum_values(statement.text(" LIMIT {limit:UInt32}"));
        let statement = statement
            .value("limit", Value::Uint(u64::from(MAX_ROWS) + 1))
            .value("from_s", Value::Int(from.clamp(0, i64::from(u32::MAX))));
        match bucket {
            Some(seconds) => statement.value("bucket", Value::Uint(seconds)),
            None => statement,
        }
    }
}

impl Session {
    /// The figures of a request that sums can answer.
    pub(super) async fn stats_of_sums(
        &self,
        request: &StatsRequest,
        bucket: Option<u64>,
    ) -> Result<Vec<StatsGroup>, QueryError> {
        let rows: Vec<SumRow> = request.sums(bucket).fetch_all(&self.sums()).await?;
        Ok(rows.into_iter().map(|row| row.into_group(request)).collect())
    }
}

/// Quantile by nearest rank of MOS in hundredths.
fn mos_quantile(counts: &[(u16, u64)], q: f64) -> f32 {
    let total: u64 = counts.iter().map(|(_, n)| n).sum();
    let rank = ((q * total as f64).ceil() as u64).max(1);
    let mut seen = 0;
    let at = counts.iter().find(|(_, n)| {
        seen += n;
        seen >= rank
    });
    at.or(counts.last()).map_or(0.0, |(mos, _)| f32::from(*mos) / 100.0)
}

impl SumRow {
    fn into_group(mut self, request: &StatsRequest) -> StatsGroup {
        let scales = [("nb", &mut self.nb), ("wb", &mut self.wb), ("fb", &mut self.fb)];
        let mos = scales.into_iter().filter(|(_, counts)| !counts.is_empty()).map(|(scale, counts)| {
            counts.sort_unstable();
            ScaleMos {
                scale,
                p5: mos_quantile(counts, 0.05),
                p50: mos_quantile(counts, 0.5),
                intervals: counts.iter().map(|(_, n)| n).sum(),
                counts: std::mem::take(counts),
            }
        });
        let jitter = |q| super::quantile(&self.jitter, q).map(|jitter| jitter.as_millis_f64());
        StatsGroup {
            mos: mos.collect(),
            key: self.keys,
            at: request.bucket.map(|_| Timestamp::from_secs(self.bucket_s)),
            streams: self.streams,
            intervals: self.intervals,
            calls: None,
            packets: self.packets,
            expected: self.expected,
            lost: self.lost_network + self.lost_capture + self.lost_suspected_capture,
            lost_capture: self.lost_capture,
            lost_suspected_capture: self.lost_suspected_capture,
            reordered: self.reordered,
            delays_known: self.pdv.iter().sum(),
            pdv: self.pdv,
            late: self.late,
            jitter_ms: [0.5, 0.95, 0.99].map(jitter),
            jitter: self.jitter,
            jitter_max_ms: self.jitter_max_ms,
            loss_runs: self.loss_runs,
            mos_under_3_6: self.mos_under_3_6,
            mos_under_3_1: self.mos_under_3_1,
            one_sided: self.one_sided,
        }
    }
}

/// Sums hold histograms of this version; another one needs other tables.
const _: () = assert!(HISTOGRAM_VERSION == 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mos_is_by_nearest_rank() {
        let counts = [(100, 5), (200, 90), (450, 5)];
        assert_eq!(
            [0.05, 0.051, 0.5, 0.95, 0.96, 1.0].map(|q| mos_quantile(&counts, q)),
            [1.0, 2.0, 2.0, 2.0, 4.5, 4.5]
        );
    }
}
