//! How many calls began when, by class: from counts where these have all that is asked for, else from single calls.

use super::coverage::Sums;
use super::levels::{KEYS, LISTS, Level, Part, parts};
use super::statement::{Statement, Value};
use super::stats::Source;
use super::{CallFilter, MAX_ROWS, QueryError, Session, Window};
use auscult_core::units::{Nanos, Timestamp};
use clickhouse::Row;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Most groups of one answer.
const MAX_GROUPS: usize = 50;
/// Most rows (group, bucket and class) of one answer.
const MAX_CELLS: u32 = 50_000;

/// What calls are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallGroup {
    Trunk,
    TrunkDirection,
    Site,
    Probe,
    Class,
    State,
    FinalCode,
}

impl CallGroup {
    pub const ALL: [CallGroup; 7] = [
        CallGroup::Trunk,
        CallGroup::TrunkDirection,
        CallGroup::Site,
        CallGroup::Probe,
        CallGroup::Class,
        CallGroup::State,
        CallGroup::FinalCode,
    ];

    pub fn name(self) -> &'static str {
        match self {
            CallGroup::Trunk => "trunk",
            CallGroup::TrunkDirection => "trunk_direction",
            CallGroup::Site => "site",
            CallGroup::Probe => "probe",
            CallGroup::Class => "class",
            CallGroup::State => "state",
            CallGroup::FinalCode => "final_code",
        }
    }

    fn key(self, position: usize) -> &'static str {
        macro_rules! key {
            ($column:literal) => {
                [concat!(", ", $column, " AS k1"), concat!(", ", $column, " AS k2"), concat!(", ", $column, " AS k3")]
            };
        }
        let keys = match self {
            CallGroup::Trunk => key!("trunk"),
            CallGroup::TrunkDirection => key!("trunk_direction"),
            CallGroup::Site => key!("site"),
            CallGroup::Probe => key!("probe"),
            CallGroup::Class => key!("class"),
            CallGroup::State => key!("state"),
            CallGroup::FinalCode => key!("final_code"),
        };
        keys.get(position).copied().unwrap_or_default()
    }
}

/// How many calls began during one bucket, by [`auscult_core::model::CallClass`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimelineBucket {
    pub at: Timestamp,
    pub calls: u64,
    pub good: u64,
    pub fair: u64,
    pub poor: u64,
    pub failed: u64,
    pub not_answered: u64,
    pub unrated: u64,
}

impl TimelineBucket {
    /// Buckets of `length` on the UTC grid that cover the window, without a call.
    ///
    /// # Errors
    /// More than [`MAX_ROWS`] and one.
    pub fn empty(window: Window, length: Nanos) -> Result<Vec<TimelineBucket>, QueryError> {
        let origin = window.from.floor_to(length);
        let count = (window.to - origin).0 / length.0.max(1) + 1;
        if count > i64::from(MAX_ROWS) + 1 {
            return Err(QueryError::BadRequest(format!("more than {MAX_ROWS} buckets; ask for fewer")));
        }
        let at = |i| TimelineBucket { at: origin + Nanos(i * length.0), ..TimelineBucket::default() };
        Ok((0..count).map(at).collect())
    }

    fn add(&mut self, class: &str, calls: u64) {
        self.calls += calls;
        *match class {
            "good" => &mut self.good,
            "fair" => &mut self.fair,
            "poor" => &mut self.poor,
            "failed" => &mut self.failed,
            "not_answered" => &mut self.not_answered,
            _ => &mut self.unrated,
        } += calls;
    }
}

/// The calls of one group over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSeries {
    /// One value per entry of `group_by`.
    pub key: Vec<String>,
    pub calls: u64,
    /// As many as the buckets of all calls.
    pub buckets: Vec<TimelineBucket>,
}

/// Calls over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTimeline {
    /// All calls; buckets without a call are there with zeros.
    pub buckets: Vec<TimelineBucket>,
    /// Most calls first, at most 50; none without a grouping.
    pub groups: Vec<CallSeries>,
    /// There were more groups.
    pub truncated: bool,
    pub source: Source,
}

impl CallTimeline {
    /// Without a call.
    ///
    /// # Errors
    /// As [`TimelineBucket::empty`].
    pub fn empty(window: Window, length: Nanos) -> Result<CallTimeline, QueryError> {
        let buckets = TimelineBucket::empty(window, length)?;
        Ok(CallTimeline { buckets, groups: Vec::new(), truncated: false, source: Source::Groups })
    }
}

#[derive(Row, Deserialize)]
struct CellRow {
    keys: Vec<String>,
    bucket: i64,
    of_class: String,
    n: u64,
}

/// The columns of a part: which bucket a time in nanoseconds is of, class and count.
macro_rules! cells {
    ($at_ns:literal, $n:literal) => {
        concat!(
            "SELECT intDiv(",
            $at_ns,
            " - {origin:Int64}, {bucket:Int64}) AS bucket, class AS of_class, ",
            $n,
            " AS n"
        )
    };
}

const OF_COUNTS: &str = cells!("toInt64(toUnixTimestamp(start_at)) * 1000000000", "calls");
const OF_CALLS: &str = cells!("toUnixTimestamp64Nano(first_at)", "toUInt64(1)");

impl Session {
    /// Calls per bucket of `bucket` length on the UTC grid, all and by group.
    ///
    /// # Errors
    /// Too many buckets or groupings, or more than 50,000 rows of group, bucket and class.
    pub async fn timeline(
        &self,
        filter: &CallFilter,
        window: Window,
        bucket: Nanos,
        group_by: &[CallGroup],
    ) -> Result<CallTimeline, QueryError> {
        if group_by.len() >= LISTS.len() {
            return Err(QueryError::BadRequest(format!("at most {} entries in `group_by`", LISTS.len() - 1)));
        }
        let mut timeline = CallTimeline::empty(window, bucket)?;
        if !filter.is_of_counts() || self.lacks(Sums::CallCounts, window.from, window.to).await? {
            timeline.source = Source::Raw;
        }
        let statement = statement(filter, window, bucket, group_by, timeline.source);
        let rows: Vec<CellRow> = statement.fetch_all(&self.client).await?;
        if rows.len() > MAX_CELLS as usize {
            return Err(QueryError::BadRequest(format!(
                "the answer has more than {MAX_CELLS} rows of group, bucket and class; ask for fewer buckets or groups"
            )));
        }
        let empty = timeline.buckets.clone();
        let at = |row: &CellRow| usize::try_from(row.bucket).ok().filter(|at| *at < empty.len());
        let mut totals: BTreeMap<&[String], u64> = BTreeMap::new();
        for row in &rows {
            let Some(at) = at(row) else { continue };
            timeline.buckets[at].add(&row.of_class, row.n);
            *totals.entry(&row.keys).or_default() += row.n;
        }
        if group_by.is_empty() {
            return Ok(timeline);
        }
        // Only the groups that are answered get buckets: there may be as many groups as rows.
        let mut largest: Vec<(&[String], u64)> = totals.into_iter().collect();
        largest.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
        timeline.truncated = largest.len() > MAX_GROUPS;
        largest.truncate(MAX_GROUPS);
        let series =
            |(key, calls): &(&[String], u64)| CallSeries { key: key.to_vec(), calls: *calls, buckets: empty.clone() };
        timeline.groups = largest.iter().map(series).collect();
        let places: BTreeMap<&[String], usize> = largest.iter().enumerate().map(|(n, (key, _))| (*key, n)).collect();
        for row in &rows {
            if let (Some(at), Some(place)) = (at(row), places.get(&row.keys[..])) {
                timeline.groups[*place].buckets[at].add(&row.of_class, row.n);
            }
        }
        Ok(timeline)
    }
}

/// Counts answer what lies inside whole hours and five minutes, single calls the ends of the window.
fn statement(filter: &CallFilter, window: Window, bucket: Nanos, group_by: &[CallGroup], source: Source) -> Statement {
    let counted = match source {
        Source::Groups => counted(window, bucket),
        Source::Raw => Vec::new(),
    };
    let keys = |statement: Statement| {
        group_by.iter().enumerate().fold(statement, |statement, (position, by)| statement.text(by.key(position)))
    };
    let mut statement =
        Statement::new("SELECT ").text(LISTS[group_by.len()]).text(", bucket, of_class, sum(n) AS n FROM (");
    for part in &counted {
        statement = keys(statement.text(OF_COUNTS)).text(match part.level {
            Level::Hour => " FROM call_counts_1h",
            Level::FiveMinutes | Level::Interval => " FROM call_counts_5m",
        });
        statement = part.narrow(statement).clauses(&filter.narrow()).text(" UNION ALL ");
    }
    statement = keys(statement.text(OF_CALLS)).text(" FROM calls").conditions(filter.conditions(window));
    let spans = || counted.iter().flat_map(|part| part.spans).filter(|(a, b)| a < b);
    if let (Some(first), Some(last)) = (spans().map(|(a, _)| a).min(), spans().map(|(_, b)| b).max()) {
        let at = |second: i64| Value::Int(second.saturating_mul(1_000_000_000));
        statement = statement
            .text(" AND (first_at < fromUnixTimestamp64Nano({counted_from:Int64}) OR first_at >= fromUnixTimestamp64Nano({counted_to:Int64}))")
            .value("counted_from", at(first))
            .value("counted_to", at(last));
    }
    statement
        .text(") GROUP BY bucket, of_class")
        .text(KEYS[group_by.len()])
        .text(" ORDER BY bucket LIMIT {limit:UInt32}")
        .value("limit", Value::Uint(u64::from(MAX_CELLS) + 1))
        .value("origin", Value::Int(window.from.floor_to(bucket).0))
        .value("bucket", Value::Int(bucket.0.max(1)))
}

/// The parts of the window that counts answer: whole hours, and five minutes at their ends.
fn counted(window: Window, bucket: Nanos) -> Vec<Part> {
    const SECOND: i64 = 1_000_000_000;
    // Counts are of times from 1970 on.
    let from = (window.from.0.div_euclid(SECOND) + i64::from(window.from.0.rem_euclid(SECOND) > 0)).max(0);
    let to = window.to.0.div_euclid(SECOND).min(i64::from(u32::MAX));
    if bucket.0 % SECOND != 0 || from >= to {
        return Vec::new();
    }
    let mut parts = parts(from, to, Some(bucket.0 / SECOND));
    parts.retain(|part| part.level != Level::Interval);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(from_ns: i64, to_ns: i64, bucket_s: i64) -> Vec<(Level, [(i64, i64); 2])> {
        let window = Window { from: Timestamp(from_ns), to: Timestamp(to_ns) };
        counted(window, Nanos::from_secs(bucket_s)).into_iter().map(|part| (part.level, part.spans)).collect()
    }

    #[test]
    fn counts_answer_only_what_lies_inside_the_window() {
        let second = 1_000_000_000;
        assert_eq!(spans(0, 300 * second, 300), [(Level::FiveMinutes, [(0, 300), (300, 300)])]);
        assert_eq!(spans(1, 300 * second, 300), [], "the first nanosecond is outside");
        assert_eq!(spans(0, 300 * second - 1, 300), [], "the last nanosecond is outside");
        assert_eq!(spans(0, 7_200 * second, 3_600), [(Level::Hour, [(0, 7_200), (7_200, 7_200)])]);
        assert_eq!(
            spans(0, 4_000 * second, 900),
            [(Level::FiveMinutes, [(0, 3_900), (3_900, 3_900)])],
            "an hour would cross buckets"
        );
        assert_eq!(spans(0, 4_000 * second, 60), [], "five minutes would cross buckets");
        assert_eq!(spans(-10 * second, 700 * second, 300), [(Level::FiveMinutes, [(0, 600), (600, 600)])]);
    }
}
