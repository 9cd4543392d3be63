//! The read side of the store: bounded questions in one SQL dialect, for the embedded engine and for a server alike.
//!
//! Nothing a caller sends ever becomes SQL text: statements are put together from fixed fragments, values travel
//! as bound parameters. Every question has a bound on time span, rows, run time, memory and how many run at once.

/// Lost packets of a row that drop counters or sampling explain; of rows from before migration 21 all of the loss by its majority.
macro_rules! lost_to_capture {
    () => {
        "if(isNull(capture_lost), if(loss_source = 'capture', toUInt64(lost), 0), \
         lost_by_evidence['capture_drops'] + lost_by_evidence['sampled_capture'])"
    };
}

/// The same of packets that other evidence gives to the capture.
macro_rules! lost_to_suspected_capture {
    () => {
        "if(isNull(capture_lost), if(loss_source = 'suspected_capture', toUInt64(lost), 0), \
         toUInt64(ifNull(capture_lost, 0) - lost_by_evidence['capture_drops'] - lost_by_evidence['sampled_capture']))"
    };
}

mod alerts;
mod calls;
mod compare;
mod coverage;
mod cursor;
mod export;
mod filter;
mod gate;
mod group_rows;
mod levels;
mod media_groups;
mod one_call;
mod outcomes;
mod rule;
mod running;
mod scope;
mod statement;
mod stats;
mod streams;
mod timeline;

pub use alerts::{AlertFilter, MAX_EVALUATIONS, PastAlert, PastEvaluation};
pub use calls::{CallPage, CallSort, StoredCall};
pub use compare::{Compared, Comparison, Estimate, Figure, LEAST, Side, Verdict};
pub use cursor::PageCursor;
pub use export::{Export, FileFormat, Listed, MAX_CSV_ROWS, MAX_PARQUET_ROWS};
pub use filter::{AddressRange, CallFilter, PhoneNumber, StreamFilter};
pub use group_rows::{CaptureSeen, GroupRows};
pub use one_call::CallDetail;
pub use outcomes::{OutcomeFilter, OutcomeGroup, OutcomePage, OutcomeRequest, Outcomes, Share, Spans};
pub use rule::RuleRow;
pub use running::{Found, RunningList, badness};
pub use scope::scoped_tables;
pub use stats::{GroupBy, MAX_GROUPINGS, ScaleMos, Source, StatsGroup, StatsPage, StatsRequest, quantile};
pub use streams::{StreamPage, StreamSort};
pub use timeline::{CallGroup, CallSeries, CallTimeline, TimelineBucket};

use super::budget::{LOOKUPS_AT_ONCE, MAX_EXECUTION_S, QUERY_MEMORY_BYTES, SCANS_AT_ONCE};
use super::retention::{self, TableTtl};
use super::server;
use auscult_access::Scope;
use auscult_core::privacy::Privacy;
use auscult_core::units::text::clean;
use auscult_core::units::{Nanos, Timestamp};
use clickhouse::{Client, Row, error::Error as ClientError};
use coverage::Coverage;
use gate::{Gate, GateLimits, Permit};
use serde::Deserialize;
use statement::Statement;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Longest time span of one question, in days: as long as sums and calls are kept.
pub const MAX_WINDOW_DAYS: i64 = 92;
/// The same of a question that reads a row for each stream or interval.
pub const MAX_DETAIL_DAYS: i64 = 31;
/// Most rows (calls, streams, groups, buckets) of one answer.
pub const MAX_ROWS: u32 = 1000;
/// Longest wait for a place: for a lookup, and for a scan, which may have to wait for another one to end.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);
const SCAN_PATIENCE: Duration = Duration::from_secs(5);
/// Files written at once: fewer than scans, so that statistics always have a place.
const EXPORTS_AT_ONCE: usize = SCANS_AT_ONCE - 1;
/// Queries that wait, for each cost: of all clients, and of one with a known address.
const MAX_WAITING: usize = 64;
const MAX_WAITING_OF_CLIENT: usize = 16;
/// How long the store's last answer to a ping is good for.
const PING_AGE: Duration = Duration::from_secs(1);
/// Give up on an engine that does not even say that it ran out of time.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(MAX_EXECUTION_S + 3);

/// Why a question was not answered; each says what to do in one line.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("{0}")]
    BadRequest(String),
    #[error("too many queries are running and waiting; try again in a second")]
    Busy,
    #[error("{MAX_WAITING_OF_CLIENT} queries from this address are waiting already; try again in a second")]
    TooMany,
    #[error("the query took longer than {MAX_EXECUTION_S} s; ask for a shorter time range or a narrower filter")]
    TooSlow,
    #[error("the query needs more than {} MB of memory; ask for a shorter time range or fewer groups", QUERY_MEMORY_BYTES / 1_000_000)]
    TooLarge,
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    #[error("the store answered with an error: {0}")]
    Engine(String),
}

impl From<ClientError> for QueryError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::BadResponse(text) => match exception_code(&text) {
                // TIMEOUT_EXCEEDED, TOO_SLOW
                Some(159 | 160) => QueryError::TooSlow,
                // TOO_MANY_ROWS, MEMORY_LIMIT_EXCEEDED, TOO_MANY_ROWS_OR_BYTES
                Some(158 | 241 | 396) => QueryError::TooLarge,
                // TOO_MANY_SIMULTANEOUS_QUERIES
                Some(202) => QueryError::Busy,
                _ => QueryError::Engine(first_line(&text)),
            },
            ClientError::TimedOut => QueryError::TooSlow,
            // The words that the line begins with say it already.
            error @ ClientError::Network(_) => {
                let reason = server::reason(&error);
                QueryError::Unavailable(first_line(reason.strip_prefix("network error: ").unwrap_or(&reason)))
            }
            other => QueryError::Engine(first_line(&other.to_string())),
        }
    }
}

/// A time span, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Window {
    /// [`MAX_WINDOW_DAYS`] and [`MAX_DETAIL_DAYS`].
    pub const MAX: Nanos = Nanos::from_secs(MAX_WINDOW_DAYS * 86_400);
    pub const MAX_DETAIL: Nanos = Nanos::from_secs(MAX_DETAIL_DAYS * 86_400);

    /// The window a question means. A missing end is taken from what is stored (`now` when nothing is);
    /// what is missing never makes the window longer than `longest`, what is given may be refused for it.
    pub fn resolve(
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        stored: &StoredRange,
        now: Timestamp,
        longest: Nanos,
    ) -> Result<Window, QueryError> {
        let newest = stored.to.unwrap_or(now);
        let oldest = stored.from.unwrap_or(now - Nanos::from_secs(3600));
        let window = match (from, to) {
            (Some(from), Some(to)) => Window { from, to },
            (Some(from), None) => Window { from, to: newest.max(from).min(from + longest) },
            (None, Some(to)) => Window { from: oldest.min(to).max(to - longest), to },
            (None, None) => Window { from: oldest.max(newest - longest), to: newest },
        };
        if window.to < window.from {
            return Err(QueryError::BadRequest("`to` lies before `from`".to_owned()));
        }
        if window.length() > longest {
            return Err(QueryError::BadRequest(format!(
                "the time range is longer than {} days; ask for a shorter one",
                longest.0 / Nanos::from_secs(86_400).0
            )));
        }
        Ok(window)
    }

    pub fn length(&self) -> Nanos {
        self.to - self.from
    }
}

/// First and last time stored, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredRange {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub calls: u64,
    pub streams: u64,
}

/// What a query may cost, and so which places it takes: cheap ones never wait for dear ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// By identifier, or a page of a list in the order of a window: reads few columns, or few rows.
    Lookup,
    /// Reads a whole window: statistics, timelines, lists searched by number, address or codec.
    Scan,
    /// A whole list as a file: a place among the scans, of which files have one at most, however slowly they are taken.
    Export,
}

/// When the store was asked whether it answers, and what came of it.
type Pinged = (Instant, Result<(), String>);

/// Answers questions with the connection it was given.
#[derive(Clone)]
pub struct Reader {
    client: Client,
    lookups: Arc<Gate>,
    scans: Arc<Gate>,
    exports: Arc<Gate>,
    /// When the store was last asked whether it answers, and what came of it.
    pinged: Arc<Mutex<Option<Pinged>>>,
    coverage: Arc<Coverage>,
    /// How numbers and Call-IDs are stored that are searched for.
    privacy: Arc<RwLock<Privacy>>,
}

impl Reader {
    /// Searches by how numbers and Call-IDs are stored.
    #[must_use]
    pub fn with_privacy(self, privacy: Privacy) -> Reader {
        self.set_privacy(privacy);
        self
    }

    /// How numbers and Call-IDs are stored, for searches of this reader and its clones from now on.
    pub fn set_privacy(&self, privacy: Privacy) {
        *self.privacy.write().unwrap_or_else(PoisonError::into_inner) = privacy;
    }

    pub fn privacy(&self) -> Privacy {
        self.privacy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `client` names server, credentials and database; limits and read-only mode are added here.
    pub fn new(client: Client) -> Reader {
        let client = client
            .with_setting("readonly", "2")
            .with_setting("max_execution_time", MAX_EXECUTION_S.to_string())
            .with_setting("max_memory_usage", QUERY_MEMORY_BYTES.to_string())
            .with_setting("cancel_http_readonly_queries_on_client_close", "1");
        let gate = |running, patience| {
            Gate::new(GateLimits { running, waiting: MAX_WAITING, waiting_of_client: MAX_WAITING_OF_CLIENT, patience })
        };
        Reader {
            client,
            lookups: gate(LOOKUPS_AT_ONCE, LOOKUP_PATIENCE),
            scans: gate(SCANS_AT_ONCE, SCAN_PATIENCE),
            exports: gate(EXPORTS_AT_ONCE, SCAN_PATIENCE),
            pinged: Arc::default(),
            coverage: Arc::default(),
            privacy: Arc::default(),
        }
    }

    /// A place among the queries of this cost, held until dropped. `client` is whom it is for, if its address is known.
    ///
    /// # Errors
    /// [`QueryError::Busy`] and [`QueryError::TooMany`].
    pub async fn session(&self, cost: Cost, client: Option<IpAddr>) -> Result<Session, QueryError> {
        let export = match cost {
            Cost::Export => Some(self.exports.enter(client).await?),
            Cost::Lookup | Cost::Scan => None,
        };
        let gate = match cost {
            Cost::Lookup => &self.lookups,
            Cost::Scan | Cost::Export => &self.scans,
        };
        let place = gate.enter(client).await?;
        Ok(Session {
            client: self.client.clone(),
            whole: self.client.clone(),
            coverage: self.coverage.clone(),
            _place: place,
            _export: export,
        })
    }

    /// Whether the store answers and its tables are there, outside the limits on queries. Callers at the same time, and
    /// within a second, share one answer. The error is one line.
    pub async fn ping(&self) -> Result<(), String> {
        let mut pinged = self.pinged.lock().await;
        match &*pinged {
            Some((at, answer)) if at.elapsed() < PING_AGE => answer.clone(),
            _ => {
                let statement = Statement::new("SELECT count() AS n FROM (SELECT call_uid FROM calls LIMIT 0)");
                let answer = statement.fetch_one::<Count>(&self.client).await;
                let answer = answer.map(|_| ()).map_err(|error| error.to_string());
                *pinged = Some((Instant::now(), answer.clone()));
                answer
            }
        }
    }
}

/// One question's place; its methods run the statements that answer it.
pub struct Session {
    /// Reads the rows of the session's scope.
    client: Client,
    /// Reads all rows, for what is the same for everybody.
    whole: Client,
    coverage: Arc<Coverage>,
    _place: Permit,
    _export: Option<Permit>,
}

#[derive(Row, Deserialize)]
struct Count {
    #[serde(rename = "n")]
    _n: u64,
}

#[derive(Row, Deserialize)]
struct RangeRow {
    calls: u64,
    first_call: i64,
    last_call: i64,
    streams: u64,
    intervals: u64,
    first_interval: i64,
    last_interval: i64,
}

impl Session {
    /// The same place, for rows of these probes and trunks only.
    pub fn scoped(self, scope: &Scope) -> Session {
        Session { client: scope::narrowed(&self.client, scope), ..self }
    }

    /// For statements over sums, whose tables have no projections: looking for one takes half of the time of planning.
    fn sums(&self) -> Client {
        self.client.clone().with_setting("optimize_use_projections", "0")
    }

    /// How long the rows of each table are kept.
    ///
    /// # Errors
    /// As every query.
    pub async fn retention(&self) -> Result<Vec<TableTtl>, QueryError> {
        Ok(retention::of_client(&self.client).await?)
    }

    /// From the first call or interval to the end of the last.
    pub async fn range(&self) -> Result<StoredRange, QueryError> {
        let row: RangeRow = Statement::new(
            "SELECT c.calls AS calls, c.first_call AS first_call, c.last_call AS last_call, \
                    s.streams AS streams, i.intervals AS intervals, \
                    i.first_interval AS first_interval, i.last_interval AS last_interval \
             FROM (SELECT count() AS calls, toUnixTimestamp64Nano(min(first_at)) AS first_call, \
                          toUnixTimestamp64Nano(max(last_at)) AS last_call FROM calls) AS c \
             CROSS JOIN (SELECT count() AS streams FROM streams) AS s \
             CROSS JOIN (SELECT count() AS intervals, toInt64(toUnixTimestamp(min(start_at))) * 1000000000 AS first_interval, \
                          max(toInt64(toUnixTimestamp(start_at)) * 1000000000 + toInt64(length_ms) * 1000000) AS last_interval \
                   FROM stream_intervals) AS i",
        )
        .fetch_one(&self.client)
        .await?;
        let spans =
            [(row.calls, row.first_call, row.last_call), (row.intervals, row.first_interval, row.last_interval)];
        let known = spans.iter().filter(|(rows, ..)| *rows > 0);
        Ok(StoredRange {
            from: known.clone().map(|(_, first, _)| Timestamp(*first)).min(),
            to: known.map(|(.., last)| Timestamp(*last)).max(),
            calls: row.calls,
            streams: row.streams,
        })
    }

    /// [`Window::resolve`] against what is stored.
    pub async fn window(
        &self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        now: Timestamp,
        longest: Nanos,
    ) -> Result<Window, QueryError> {
        let stored = if from.is_some() && to.is_some() { StoredRange::default() } else { self.range().await? };
        Window::resolve(from, to, &stored, now, longest)
    }
}

/// The number in `Code: 159. DB::Exception: ...`.
fn exception_code(text: &str) -> Option<u32> {
    let digits = text.split("Code: ").nth(1)?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Engine errors can be pages long and repeat the statement; the first line says what happened.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    clean(&line.chars().take(300).collect::<String>(), usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> Timestamp {
        Timestamp::from_secs(n * 86_400)
    }

    #[test]
    fn window_defaults_to_what_is_stored_and_never_exceeds_the_limit() {
        let short = StoredRange { from: Some(day(100)), to: Some(day(110)), calls: 1, streams: 1 };
        let long = StoredRange { from: Some(day(10)), to: Some(day(110)), calls: 1, streams: 1 };
        let now = day(200);
        let longest = Window::MAX_DETAIL;
        let resolve =
            |from, to, stored: &StoredRange| Window::resolve(from, to, stored, now, longest).map(|w| (w.from, w.to));
        assert_eq!(resolve(None, None, &short).ok(), Some((day(100), day(110))));
        assert_eq!(resolve(None, None, &long).ok(), Some((day(79), day(110))));
        assert_eq!(resolve(Some(day(20)), None, &long).ok(), Some((day(20), day(51))));
        assert_eq!(resolve(None, Some(day(50)), &long).ok(), Some((day(19), day(50))));
        assert_eq!(resolve(Some(day(120)), None, &short).ok(), Some((day(120), day(120))));
        assert_eq!(
            resolve(None, None, &StoredRange::default()).ok(),
            Some((now - Nanos::from_secs(3600), now)),
            "nothing stored: the last hour"
        );
        assert!(matches!(resolve(Some(day(2)), Some(day(1)), &short), Err(QueryError::BadRequest(_))));
        assert!(matches!(
            resolve(Some(day(1)), Some(day(32) + Nanos(1)), &short),
            Err(QueryError::BadRequest(text)) if text.contains("31 days")
        ));
        assert!(resolve(Some(day(1)), Some(day(32)), &short).is_ok());
    }

    #[test]
    fn every_statement_is_bounded_and_read_only() {
        let reader = Reader::new(Client::default());
        let settings = ["readonly", "max_execution_time", "max_memory_usage"].map(|s| reader.client.get_setting(s));
        assert_eq!(settings, [Some("2"), Some("10"), Some(QUERY_MEMORY_BYTES.to_string().as_str())]);
    }

    #[test]
    fn engine_errors_become_one_line_with_advice() {
        let error = |text: &str| QueryError::from(ClientError::BadResponse(text.to_owned()));
        assert!(matches!(error("Code: 159. DB::Exception: Timeout exceeded"), QueryError::TooSlow));
        assert!(matches!(error("Code: 241. DB::Exception: memory limit"), QueryError::TooLarge));
        let other = error("Code: 47. DB::Exception: Unknown identifier\nstack\nstack");
        assert_eq!(other.to_string(), "the store answered with an error: Code: 47. DB::Exception: Unknown identifier");
    }

    #[tokio::test(start_paused = true)]
    async fn scans_and_lookups_do_not_wait_for_each_other() {
        let reader = Reader::new(Client::default());
        for (filled, places, free) in
            [(Cost::Scan, SCANS_AT_ONCE, Cost::Lookup), (Cost::Lookup, LOOKUPS_AT_ONCE, Cost::Scan)]
        {
            let mut held = Vec::new();
            for _ in 0..places {
                held.push(reader.session(filled, None).await.map_err(|e| e.to_string()));
            }
            assert!(held.iter().all(Result::is_ok));
            assert!(matches!(reader.session(filled, None).await, Err(QueryError::Busy)));
            assert!(reader.session(free, None).await.is_ok());
            held.pop();
            assert!(reader.session(filled, None).await.is_ok());
        }
    }
}
