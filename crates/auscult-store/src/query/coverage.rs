//! Which times have sums: rows that older programs stored have none, and are read one by one.

use super::statement::{Statement, Value};
use super::{QueryError, Session};
use crate::schema::{CALL_COUNTS, GROUPS};
use auscult_core::units::Timestamp;
use clickhouse::Row;
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Rows that older programs stored up to so many seconds after a step: a probe may have had them in its spool.
const LATE_S: u32 = 300;

/// How long it is believed what has no sums: it only becomes less.
const BELIEVED: Duration = Duration::from_secs(3600);

/// Kinds of sums, each with the migration that began them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sums {
    /// `media_groups` and `call_groups`, made by the probe.
    Groups,
    /// `call_counts`, made by the store from `calls`.
    CallCounts,
}

/// What is known of the times without sums.
#[derive(Default)]
pub(super) struct Coverage {
    groups: Mutex<Known>,
    call_counts: Mutex<Known>,
}

/// When the store was asked, and first and last second without sums.
type Known = Option<(Instant, Option<(u32, u32)>)>;

impl Sums {
    fn migration(self) -> u32 {
        match self {
            Sums::Groups => GROUPS,
            Sums::CallCounts => CALL_COUNTS,
        }
    }

    fn question(self) -> &'static str {
        macro_rules! question {
            ($rows:literal) => {
                concat!(
                    "WITH (SELECT ifNull(min(applied_at), toDateTime(0)) + {late:UInt32} FROM schema_migrations \
                     WHERE version = {migration:UInt32}) AS before \
                     SELECT sum(n) AS rows, minIf(begin, n > 0) AS first, maxIf(end, n > 0) AS last FROM (",
                    $rows,
                    ")"
                )
            };
        }
        match self {
            Sums::Groups => question!(
                "SELECT count() AS n, toUnixTimestamp(min(start_at)) AS begin, toUnixTimestamp(max(start_at)) AS end \
                 FROM stream_intervals WHERE stored_at < before \
                 UNION ALL SELECT count() AS n, toUnixTimestamp(toDateTime(min(first_at))) AS begin, \
                 toUnixTimestamp(toDateTime(max(last_at))) AS end FROM calls WHERE stored_at < before"
            ),
            Sums::CallCounts => question!(
                "SELECT count() AS n, toUnixTimestamp(toDateTime(min(first_at))) AS begin, \
                 toUnixTimestamp(toDateTime(max(first_at))) AS end FROM calls WHERE stored_at < before"
            ),
        }
    }
}

impl Session {
    /// Whether some rows of the window were stored by a program that did not make these sums.
    pub(super) async fn lacks(&self, sums: Sums, from: Timestamp, to: Timestamp) -> Result<bool, QueryError> {
        let mut known = match sums {
            Sums::Groups => self.coverage.groups.lock().await,
            Sums::CallCounts => self.coverage.call_counts.lock().await,
        };
        let span = match &*known {
            Some((at, span)) if at.elapsed() < BELIEVED => *span,
            _ => {
                let span = self.ask_without(sums, 0).await?;
                // None before the step: then what was stored shortly after it has sums.
                let span = if span.is_some() { self.ask_without(sums, LATE_S).await? } else { None };
                *known = Some((Instant::now(), span));
                span
            }
        };
        let second = |at: Timestamp| at.0.div_euclid(1_000_000_000);
        Ok(span.is_some_and(|(first, last)| i64::from(first) <= second(to) && i64::from(last) >= second(from)))
    }

    async fn ask_without(&self, sums: Sums, late_s: u32) -> Result<Option<(u32, u32)>, QueryError> {
        #[derive(Row, Deserialize)]
        struct Without {
            rows: u64,
            first: u32,
            last: u32,
        }
        let row: Without = Statement::new(sums.question())
            .value("late", Value::Uint(u64::from(late_s)))
            .value("migration", Value::Uint(u64::from(sums.migration())))
            .fetch_one(&self.whole)
            .await?;
        Ok((row.rows > 0).then_some((row.first, row.last)))
    }
}
