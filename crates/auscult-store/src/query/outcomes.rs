//! What became of call attempts: final codes, the ratios of RFC 6076 and ITU-T E.425, and times to set up, over any grouping.

use super::coverage::Sums;
use super::levels::{KEYS, LISTS, Level, parts};
use super::statement::{Statement, Value};
use super::stats::{Source, bucket_seconds};
use super::{MAX_DETAIL_DAYS, MAX_ROWS, QueryError, Session, Window};
use auscult_core::model::{TrunkDirection, is_a_persons_outcome};
use auscult_core::units::{Nanos, Timestamp, span_bucket_middle};
use clickhouse::Row;
use serde::Deserialize;

/// What attempts are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeGroup {
    Trunk,
    TrunkDirection,
    Site,
    Probe,
}

impl OutcomeGroup {
    pub const ALL: [OutcomeGroup; 4] =
        [OutcomeGroup::Trunk, OutcomeGroup::TrunkDirection, OutcomeGroup::Site, OutcomeGroup::Probe];

    pub fn name(self) -> &'static str {
        match self {
            OutcomeGroup::Trunk => "trunk",
            OutcomeGroup::TrunkDirection => "trunk_direction",
            OutcomeGroup::Site => "site",
            OutcomeGroup::Probe => "probe",
        }
    }

    pub fn parse(name: &str) -> Option<OutcomeGroup> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }

    fn key(self, position: usize) -> &'static str {
        macro_rules! key {
            ($column:literal) => {
                [concat!(", ", $column, " AS k1"), concat!(", ", $column, " AS k2"), concat!(", ", $column, " AS k3")]
            };
        }
        let keys = match self {
            OutcomeGroup::Trunk => key!("trunk"),
            OutcomeGroup::TrunkDirection => key!("trunk_direction"),
            OutcomeGroup::Site => key!("site"),
            OutcomeGroup::Probe => key!("probe"),
        };
        keys.get(position).copied().unwrap_or_default()
    }
}

/// Which attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutcomeFilter {
    pub trunk: Option<String>,
    pub trunk_direction: Option<TrunkDirection>,
    pub site: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeRequest {
    pub window: Window,
    pub filter: OutcomeFilter,
    /// At most [`super::stats::MAX_GROUPINGS`].
    pub group_by: Vec<OutcomeGroup>,
    /// Whole seconds; `None` for one figure over the whole window.
    pub bucket: Option<Nanos>,
}

/// Spans by bucket, as [`auscult_core::model::SpanHistogram`] has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(pub Vec<(u8, u64)>);

impl Spans {
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, n)| n).sum()
    }

    /// Quantile by nearest rank, at most 4.5 % off; `None` without any.
    pub fn quantile(&self, q: f64) -> Option<Nanos> {
        let total = self.total();
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let mut at = self.0.iter().filter(|(_, n)| {
            seen += n;
            seen >= rank
        });
        at.next().map(|(bucket, _)| span_bucket_middle(*bucket))
    }
}

/// The figures of one group, or of one group during one bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcomes {
    /// One value per entry of the request's `group_by`.
    pub key: Vec<String>,
    pub at: Option<Timestamp>,
    /// As [`auscult_core::model::CallFigures`] has them.
    pub attempts: u64,
    pub answers: u64,
    pub final_codes: Vec<(u16, u64)>,
    pub cancelled: u64,
    pub setup_timeouts: u64,
    pub pdd: Spans,
    pub setup: Spans,
    pub srd_failed: Spans,
    pub ended: u64,
    pub classes: Vec<(String, u64)>,
    pub diagnoses: Vec<(String, u64)>,
    pub completed: u64,
    pub short: u64,
    pub duration: Spans,
    pub sdd: Spans,
    /// Time calls were up, milliseconds.
    pub up_ms: i64,
    /// Most calls up at once in one group of sums: trunk, direction, site and probe.
    pub up_max: u32,
}

/// A share of attempts: numerator and denominator.
pub type Share = (u64, u64);

impl Outcomes {
    fn with_code(&self, wanted: impl Fn(u16) -> bool) -> u64 {
        self.final_codes.iter().filter(|(code, _)| wanted(*code)).map(|(_, n)| n).sum()
    }

    /// Answer-seizure ratio (E.425): answers to attempts.
    pub fn asr(&self) -> Share {
        (self.answers, self.attempts)
    }

    /// Session establishment ratio (RFC 6076 section 4.6): redirected attempts do not count.
    pub fn ser(&self) -> Share {
        (self.answers, self.attempts - self.with_code(|code| (300..400).contains(&code)))
    }

    /// Session establishment effectiveness ratio (RFC 6076 section 4.7): what the user decides is effective, challenges do not
    /// count.
    pub fn seer(&self) -> Share {
        let effective = self.answers + self.with_code(|code| matches!(code, 480 | 486 | 600 | 603));
        (
            effective,
            self.attempts - self.with_code(|code| (300..400).contains(&code) || matches!(code, 401 | 402 | 407)),
        )
    }

    /// Network effectiveness ratio (E.425): answers and outcomes of people to attempts.
    pub fn ner(&self) -> Share {
        let persons = self.with_code(is_a_persons_outcome);
        let unsaid = self.cancelled.saturating_sub(self.with_code(|code| code == 487));
        ((self.answers + persons + unsaid).min(self.attempts), self.attempts)
    }

    /// Ineffective session attempts (RFC 6076 section 4.8).
    pub fn isa(&self) -> Share {
        let failed = self.with_code(|code| matches!(code, 408 | 500 | 503 | 504));
        ((failed + self.setup_timeouts).min(self.attempts), self.attempts)
    }

    /// Session completion ratio (RFC 6076 section 4.9). Attempts and ends count each at their own time.
    pub fn scr(&self) -> Share {
        (self.completed, self.attempts)
    }
}

/// All groups, most attempts first, or by time when buckets were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomePage {
    pub groups: Vec<Outcomes>,
    pub source: Source,
    pub truncated: bool,
}

#[derive(Row, Deserialize)]
struct SumRow {
    keys: Vec<String>,
    bucket_s: i64,
    attempts: u64,
    answers: u64,
    final_codes: Vec<(u16, u64)>,
    cancelled: u64,
    setup_timeouts: u64,
    pdd: Vec<(u8, u64)>,
    setup: Vec<(u8, u64)>,
    srd_failed: Vec<(u8, u64)>,
    ended: u64,
    classes: Vec<(String, u64)>,
    diagnoses: Vec<(String, u64)>,
    completed: u64,
    short: u64,
    duration: Vec<(u8, u64)>,
    sdd: Vec<(u8, u64)>,
    up_ms: i64,
    up_max: u32,
}

macro_rules! figures {
    ($from:literal) => {
        concat!(
            ", sum(attempts) AS attempts, sum(answers) AS answers, sumMap(final_codes) AS final_codes, \
             sum(cancelled) AS cancelled, sum(setup_timeouts) AS setup_timeouts, sumMap(pdd) AS pdd, sumMap(setup) AS setup, \
             sumMap(srd_failed) AS srd_failed, sum(ended) AS ended, sumMap(classes) AS classes, \
             sumMap(diagnoses) AS diagnoses, sum(completed) AS completed, sum(short) AS short, sumMap(duration) AS duration, \
             sumMap(sdd) AS sdd, sum(up_ms) AS up_ms, max(up_max) AS up_max FROM ",
            $from
        )
    };
}

/// A span in milliseconds as a histogram of it alone, or an empty one. Bounds of buckets are rounded differently here: a span
/// next to a bound may fall into the bucket beside.
macro_rules! one_span {
    ($ms:literal, $if:literal, $name:literal) => {
        concat!(
            "if(",
            $ms,
            " IS NULL OR NOT (",
            $if,
            "), mapFromArrays(emptyArrayUInt8(), emptyArrayUInt64()), map(toUInt8(least(217, greatest(0, 1 + floor(8 * log2(greatest(ifNull(",
            $ms,
            ", 0), 0.001) / 1.048576))))), toUInt64(1))) AS ",
            $name
        )
    };
}

/// Calls as sums of one, each twice: at the time of the final response what is known from it, at the end what is known only then. For
/// calls that were stored by programs without sums.
const OF_CALLS: &str = concat!(
    "(SELECT probe, site, trunk, trunk_direction, arrayJoin([0, 1]) AS part, part = 1 AS is_end, \
     ifNull(ended_at, last_at) AS end_at, if(is_end, end_at, ifNull(answered_at, end_at)) AS start_at, \
     NOT is_end AND invite_at IS NOT NULL \
     AND (answered_at IS NOT NULL OR state IN ('failed', 'cancelled', 'setup_timeout')) AS is_attempt, \
     toUInt64(is_attempt) AS attempts, toUInt64(is_attempt AND answered_at IS NOT NULL) AS answers, \
     if(is_attempt, map(final_code, toUInt64(1)), mapFromArrays(emptyArrayUInt16(), emptyArrayUInt64())) AS final_codes, \
     toUInt64(is_attempt AND answered_at IS NULL AND state = 'cancelled') AS cancelled, \
     toUInt64(is_attempt AND answered_at IS NULL AND state = 'setup_timeout') AS setup_timeouts, ",
    one_span!("pdd_ms", "is_attempt", "pdd"),
    ", ",
    one_span!("setup_ms", "is_attempt", "setup"),
    ", (toUnixTimestamp64Nano(ended_at) - toUnixTimestamp64Nano(invite_at)) / 1e6 AS failure_ms, ",
    one_span!("failure_ms", "is_attempt AND state = 'failed'", "srd_failed"),
    ", toUInt64(is_end) AS ended, \
     if(is_end, map(toString(class), toUInt64(1)), mapFromArrays(emptyArrayString(), emptyArrayUInt64())) AS classes, \
     arrayDistinct(if(is_end, tupleElement(diagnoses, 1), [])) AS codes, \
     mapFromArrays(arrayMap(code -> toString(code), codes), arrayMap(code -> toUInt64(1), codes)) AS diagnoses_of, \
     toUInt64(is_end AND state = 'completed') AS completed, toUInt64(is_end AND ifNull(duration_ms < 20000, 0)) AS short, ",
    one_span!("duration_ms", "is_end", "duration"),
    ", ",
    one_span!("sdd_ms", "is_end", "sdd"),
    ", toInt64(0) AS up_ms, toUInt32(0) AS up_max FROM calls WHERE first_at < fromUnixTimestamp64Nano({before:Int64}))"
);

impl OutcomeRequest {
    /// `parts` are of sums, or one of single calls.
    fn statement(&self, bucket: Option<u64>, source: Source) -> Statement {
        let from = self.window.from.0.div_euclid(1_000_000_000).max(0);
        let to = (self.window.to.0.div_euclid(1_000_000_000) + 1).max(1);
        let parts = match source {
            Source::Groups => parts(from, to, bucket.map(|seconds| seconds as i64)),
            // Single calls have times of their own: one part answers all.
            Source::Raw => parts(from, to, Some(1)),
        };
        let keys = self.group_by.len();
        let mut statement =
            Statement::new("SELECT ").text(LISTS[keys]).text(", bucket AS bucket_s").text(figures!("("));
        for (n, part) in parts.iter().enumerate() {
            statement = statement.text(if n > 0 { " UNION ALL SELECT " } else { "SELECT " }).text(match bucket {
                Some(_) => "toInt64(intDiv(toUnixTimestamp(start_at), {bucket:UInt32}) * {bucket:UInt32}) AS bucket",
                None => "toInt64(0) AS bucket",
            });
            for (position, by) in self.group_by.iter().enumerate() {
                statement = statement.text(by.key(position));
            }
            statement = match (source, part.level) {
                (Source::Raw, _) => statement
                    .text(SINGLE_CALLS)
                    .text(OF_CALLS)
                    .value("before", Value::Int(self.window.to.0.saturating_add(1_000_000_000))),
                (_, Level::Interval) => statement.text(figures!("call_groups")),
                (_, Level::FiveMinutes) => statement.text(figures!("call_groups_5m")),
                (_, Level::Hour) => statement.text(figures!("call_groups_1h")),
            };
            statement = part.narrow(statement);
            for (narrows, clause) in [
                (self.filter.trunk.is_some(), " AND trunk = {trunk:String}"),
                (self.filter.trunk_direction.is_some(), " AND trunk_direction = {trunk_direction:String}"),
                (self.filter.site.is_some(), " AND site = {site:String}"),
            ] {
                statement = statement.text(if narrows { clause } else { "" });
            }
            statement = statement.text(" GROUP BY bucket").text(KEYS[keys]);
        }
        statement = statement.text(") GROUP BY bucket").text(KEYS[keys]).text(match bucket {
            Some(_) => " ORDER BY bucket_s, keys",
            None => " ORDER BY attempts DESC, keys",
        });
        statement = statement.text(" LIMIT {limit:UInt32}").value("limit", Value::Uint(u64::from(MAX_ROWS) + 1));
        for (name, value) in [("trunk", &self.filter.trunk), ("site", &self.filter.site)] {
            if let Some(value) = value {
                statement = statement.value(name, Value::Text(value.clone()));
            }
        }
        if let Some(direction) = self.filter.trunk_direction {
            statement = statement.value("trunk_direction", Value::Text(direction.name().to_owned()));
        }
        match bucket {
            Some(seconds) => statement.value("bucket", Value::Uint(seconds)),
            None => statement,
        }
    }
}

/// The sums of single calls, whose diagnoses have another name beside the column of `calls`.
const SINGLE_CALLS: &str = ", sum(attempts) AS attempts, sum(answers) AS answers, sumMap(final_codes) AS final_codes, \
    sum(cancelled) AS cancelled, sum(setup_timeouts) AS setup_timeouts, sumMap(pdd) AS pdd, sumMap(setup) AS setup, \
    sumMap(srd_failed) AS srd_failed, sum(ended) AS ended, sumMap(classes) AS classes, \
    sumMap(diagnoses_of) AS diagnoses, sum(completed) AS completed, sum(short) AS short, sumMap(duration) AS duration, \
    sumMap(sdd) AS sdd, sum(up_ms) AS up_ms, max(up_max) AS up_max FROM ";

impl Session {
    /// The outcomes of a request, from sums, or from single calls where a program without sums stored some of the window.
    ///
    /// # Errors
    /// Too many groupings or buckets; a window above [`MAX_DETAIL_DAYS`] that only single calls can answer.
    pub async fn outcomes(&self, request: &OutcomeRequest) -> Result<OutcomePage, QueryError> {
        if request.group_by.len() >= LISTS.len() {
            return Err(QueryError::BadRequest(format!("at most {} entries in `group_by`", LISTS.len() - 1)));
        }
        let bucket = request.bucket.map(|bucket| bucket_seconds(bucket, request.window)).transpose()?;
        let source = match self.lacks(Sums::Groups, request.window.from, request.window.to).await? {
            true => Source::Raw,
            false => Source::Groups,
        };
        if source == Source::Raw && request.window.length() > Window::MAX_DETAIL {
            return Err(QueryError::BadRequest(format!(
                "some of this time is from before the store had sums, and single calls are read for at most {MAX_DETAIL_DAYS} \
                 days; ask for a shorter time range"
            )));
        }
        let mut rows: Vec<SumRow> = request.statement(bucket, source).fetch_all(&self.sums()).await?;
        let truncated = rows.len() > MAX_ROWS as usize;
        rows.truncate(MAX_ROWS as usize);
        let groups = rows.into_iter().map(|row| row.into_outcomes(request)).collect();
        Ok(OutcomePage { groups, source, truncated })
    }
}

impl SumRow {
    fn into_outcomes(self, request: &OutcomeRequest) -> Outcomes {
        let spans = |mut counts: Vec<(u8, u64)>| {
            counts.sort_unstable();
            Spans(counts)
        };
        Outcomes {
            key: self.keys,
            at: request.bucket.map(|_| Timestamp::from_secs(self.bucket_s)),
            attempts: self.attempts,
            answers: self.answers,
            final_codes: self.final_codes,
            cancelled: self.cancelled,
            setup_timeouts: self.setup_timeouts,
            pdd: spans(self.pdd),
            setup: spans(self.setup),
            srd_failed: spans(self.srd_failed),
            ended: self.ended,
            classes: self.classes,
            diagnoses: self.diagnoses,
            completed: self.completed,
            short: self.short,
            duration: spans(self.duration),
            sdd: spans(self.sdd),
            up_ms: self.up_ms,
            up_max: self.up_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_the_recommendations() {
        let codes = [(200, 60), (302, 5), (401, 3), (404, 4), (407, 2), (480, 6), (486, 8), (487, 3), (503, 7), (0, 2)];
        let of = Outcomes {
            attempts: 100,
            answers: 60,
            final_codes: codes.to_vec(),
            cancelled: 4,
            setup_timeouts: 1,
            completed: 55,
            ..Outcomes::default()
        };
        assert_eq!(of.asr(), (60, 100));
        assert_eq!(of.ser(), (60, 95));
        assert_eq!(of.seer(), (60 + 6 + 8, 100 - 5 - 3 - 2));
        assert_eq!(of.ner(), (60 + 4 + 6 + 8 + 3 + 1, 100));
        assert_eq!(of.isa(), (7 + 1, 100));
        assert_eq!(of.scr(), (55, 100));
    }

    #[test]
    fn spans_are_by_nearest_rank() {
        let spans = Spans(vec![(1, 1), (50, 98), (200, 1)]);
        let bucket = |q| spans.quantile(q);
        assert_eq!(bucket(0.01), Some(span_bucket_middle(1)));
        assert_eq!(bucket(0.5), Some(span_bucket_middle(50)));
        assert_eq!(bucket(1.0), Some(span_bucket_middle(200)));
        assert_eq!(Spans::default().quantile(0.5), None);
    }
}
