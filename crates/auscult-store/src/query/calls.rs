//! Calls: worst first or by time, page by page, and how many were good, fair, poor or failed over time.

use super::running::{Sound, badness_of, badness_of_end};
use super::statement::{Statement, Value};
use super::{CallFilter, MAX_ROWS, PageCursor, QueryError, Session, Window};
use crate::rows::CallRow;
use auscult_core::model::{CallUid, DiagnosisCode, Scale};
use auscult_core::units::Timestamp;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// Order of a list of calls. Of equal ones the later comes first, then the call's identity decides, so every order is total. Ties are
/// many (all failed calls are equally bad), and the latest of them lie side by side: read in a third of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallSort {
    /// By badness: the larger of how bad it sounded and how its verdict reads, failed calls and calls without media included.
    #[default]
    Worst,
    Newest,
    Oldest,
    /// By duration; calls that were never answered come last.
    Longest,
    /// By the lowest MOS, the largest delay variation, the largest loss; calls without the figure come last. MOS of different scales
    /// are not comparable: narrow the list by codec.
    Mos,
    DelayVariation,
    Loss,
}

impl CallSort {
    pub const ALL: [CallSort; 7] = [
        CallSort::Worst,
        CallSort::Newest,
        CallSort::Oldest,
        CallSort::Longest,
        CallSort::Mos,
        CallSort::DelayVariation,
        CallSort::Loss,
    ];

    pub fn name(self) -> &'static str {
        match self {
            CallSort::Worst => "worst",
            CallSort::Newest => "newest",
            CallSort::Oldest => "oldest",
            CallSort::Longest => "longest",
            CallSort::Mos => "mos",
            CallSort::DelayVariation => "delay_variation",
            CallSort::Loss => "loss",
        }
    }

    pub(super) fn order(self) -> u8 {
        self as u8
    }
}

/// A call as stored, or one that is up as it would be stored now.
#[derive(Clone, Debug)]
pub struct StoredCall {
    pub row: CallRow,
    /// Codecs of its streams.
    pub codecs: Vec<String>,
}

impl StoredCall {
    /// 0..=1000, what [`CallSort::Worst`] sorts by: the column `badness`.
    pub fn badness(&self) -> i64 {
        let row = &self.row;
        let named = |name: &str| DiagnosisCode::ALL.into_iter().find(|code| code.name() == name);
        let codes = row.diagnoses.iter().map(|(code, ..)| named(code));
        badness_of(Sound { mos: row.mos_worst, narrowband: row.mos_scale == Scale::Nb.name() }, codes)
            .max(badness_of_end(&row.class, &row.state, row.final_code))
    }

    /// What a list in this order is sorted by, as [`SELECT`] has it.
    fn key(&self, sort: CallSort) -> i64 {
        let (row, thousandths) = (&self.row, |value: f32| (f64::from(value) * 1e3).round_ties_even() as i64);
        match sort {
            CallSort::Worst => self.badness(),
            CallSort::Newest | CallSort::Oldest => row.first_at,
            CallSort::Longest => row.duration_ms.map_or(-1, |ms| (ms * 1e3) as i64),
            CallSort::Mos => row.mos_worst.map_or(-10_000, |mos| -thousandths(mos)),
            CallSort::DelayVariation => row.pdv_p95_worst_ms.map_or(-1, thousandths),
            CallSort::Loss => row.loss_pct_worst.map_or(-1, thousandths),
        }
    }
}

/// What lists are sorted by, the largest first, for the conditions of a page: microseconds, or thousandths, of MOS below 0.
const SELECT: &str = "WITH toInt64(ifNull(duration_ms * 1000, -1)) AS duration_us, \
    toInt64(ifNull(-round(mos_worst * 1000), -10000)) AS mos_key, \
    toInt64(ifNull(round(pdv_p95_worst_ms * 1000), -1)) AS variation_key, \
    toInt64(ifNull(round(loss_pct_worst * 1000), -1)) AS loss_key SELECT ";

/// Some calls and where to go on; `next` is `None` after the last.
#[derive(Clone, Debug)]
pub struct CallPage {
    pub calls: Vec<StoredCall>,
    pub next: Option<PageCursor>,
}

#[derive(Row, Deserialize)]
struct CodecRow {
    call_uid: u64,
    codecs: Vec<String>,
}

#[derive(Row, Deserialize)]
struct UidRow {
    call_uid: u64,
}

impl Session {
    /// One page of calls. `limit` is 1..=[`MAX_ROWS`]. Rows stored while somebody pages do not repeat or hide calls that were there.
    pub async fn calls(
        &self,
        filter: &CallFilter,
        window: Window,
        sort: CallSort,
        limit: u32,
        after: Option<&PageCursor>,
    ) -> Result<CallPage, QueryError> {
        let limit = limit.clamp(1, MAX_ROWS);
        let mut rows: Vec<CallRow> = page_statement(filter, window, sort, limit, after).fetch_all(&self.client).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let mut calls: Vec<_> = rows.into_iter().map(|row| StoredCall { row, codecs: Vec::new() }).collect();
        let next = calls.last().filter(|_| more).map(|call| PageCursor {
            order: sort.order(),
            window,
            key: call.key(sort),
            at: Timestamp(call.row.first_at),
            id: call.row.call_uid,
        });
        // A batch delivered twice past the deduplication window leaves equal rows side by side.
        let mut seen = HashSet::new();
        calls.retain(|call| seen.insert(call.row.call_uid));
        self.add_codecs(&mut calls).await?;
        Ok(CallPage { calls, next })
    }

    /// Identities of the first calls of a list; no other column is read.
    ///
    /// # Errors
    /// As every question to the store.
    pub async fn call_uids(
        &self,
        filter: &CallFilter,
        window: Window,
        sort: CallSort,
        limit: u32,
    ) -> Result<Vec<CallUid>, QueryError> {
        let rows: Vec<UidRow> = uid_statement(filter, window, sort, limit).fetch_all(&self.client).await?;
        let mut seen = HashSet::new();
        Ok(rows.into_iter().map(|row| CallUid(row.call_uid)).filter(|uid| seen.insert(*uid)).collect())
    }

    /// Reads a cursor given out by [`Session::calls`] for the same order.
    pub fn call_cursor(text: &str, sort: CallSort) -> Result<PageCursor, QueryError> {
        PageCursor::decode(text, sort.order())
    }

    async fn add_codecs(&self, calls: &mut [StoredCall]) -> Result<(), QueryError> {
        let rows = || calls.iter().map(|call| &call.row);
        let (Some(first), Some(last)) = (rows().map(|row| row.first_at).min(), rows().map(|row| row.last_at).max())
        else {
            return Ok(());
        };
        let found: Vec<CodecRow> = Statement::new(
            "SELECT call_uid, arraySort(groupUniqArray(16)(toString(codec))) AS codecs FROM streams \
             WHERE call_uid IN {ids:Array(UInt64)} AND codec != '' \
             AND first_at >= fromUnixTimestamp64Nano({first:Int64}) - INTERVAL 1 HOUR \
             AND first_at <= fromUnixTimestamp64Nano({last:Int64}) + INTERVAL 1 HOUR GROUP BY call_uid",
        )
        .value("ids", Value::Ids(rows().map(|row| row.call_uid).collect()))
        .value("first", Value::Int(first))
        .value("last", Value::Int(last))
        .fetch_all(&self.client)
        .await?;
        let mut by_call: BTreeMap<u64, Vec<String>> = found.into_iter().map(|r| (r.call_uid, r.codecs)).collect();
        for call in calls {
            call.codecs = by_call.remove(&call.row.call_uid).unwrap_or_default();
        }
        Ok(())
    }
}

fn uid_statement(filter: &CallFilter, window: Window, sort: CallSort, limit: u32) -> Statement {
    let order = match sort {
        CallSort::Worst => " ORDER BY badness DESC, first_at DESC, call_uid DESC",
        CallSort::Newest => " ORDER BY first_at DESC, call_uid DESC",
        CallSort::Oldest => " ORDER BY first_at ASC, call_uid ASC",
        CallSort::Longest => " ORDER BY duration_ms DESC NULLS LAST, first_at DESC, call_uid DESC",
        CallSort::Mos => " ORDER BY mos_worst ASC NULLS LAST, first_at DESC, call_uid DESC",
        CallSort::DelayVariation => " ORDER BY pdv_p95_worst_ms DESC NULLS LAST, first_at DESC, call_uid DESC",
        CallSort::Loss => " ORDER BY loss_pct_worst DESC NULLS LAST, first_at DESC, call_uid DESC",
    };
    Statement::new("SELECT call_uid FROM calls")
        .conditions(filter.conditions(window))
        .text(order)
        .text(" LIMIT {limit:UInt32}")
        .value("limit", Value::Uint(u64::from(limit.clamp(1, MAX_ROWS))))
}

fn page_statement(
    filter: &CallFilter,
    window: Window,
    sort: CallSort,
    limit: u32,
    after: Option<&PageCursor>,
) -> Statement {
    let mut conditions = filter.conditions(window);
    if let Some(cursor) = after {
        let clause = match sort {
            CallSort::Worst => {
                "(badness, first_at, call_uid) < ({key:Int64}, fromUnixTimestamp64Nano({at:Int64}), {id:UInt64})"
            }
            CallSort::Newest => "(first_at, call_uid) < (fromUnixTimestamp64Nano({key:Int64}), {id:UInt64})",
            CallSort::Oldest => "(first_at, call_uid) > (fromUnixTimestamp64Nano({key:Int64}), {id:UInt64})",
            CallSort::Longest => {
                "(duration_us, first_at, call_uid) < ({key:Int64}, fromUnixTimestamp64Nano({at:Int64}), {id:UInt64})"
            }
            CallSort::Mos => {
                "(mos_key, first_at, call_uid) < ({key:Int64}, fromUnixTimestamp64Nano({at:Int64}), {id:UInt64})"
            }
            CallSort::DelayVariation => {
                "(variation_key, first_at, call_uid) < ({key:Int64}, fromUnixTimestamp64Nano({at:Int64}), {id:UInt64})"
            }
            CallSort::Loss => {
                "(loss_key, first_at, call_uid) < ({key:Int64}, fromUnixTimestamp64Nano({at:Int64}), {id:UInt64})"
            }
        };
        let at = ("at", Value::Int(cursor.at.0));
        conditions.and(clause, [("key", Value::Int(cursor.key)), at, ("id", Value::Uint(cursor.id))]);
    }
    let order = match sort {
        CallSort::Worst => " ORDER BY badness DESC, first_at DESC, call_uid DESC",
        CallSort::Newest => " ORDER BY first_at DESC, call_uid DESC",
        CallSort::Oldest => " ORDER BY first_at ASC, call_uid ASC",
        CallSort::Longest => " ORDER BY duration_us DESC, first_at DESC, call_uid DESC",
        CallSort::Mos => " ORDER BY mos_key DESC, first_at DESC, call_uid DESC",
        CallSort::DelayVariation => " ORDER BY variation_key DESC, first_at DESC, call_uid DESC",
        CallSort::Loss => " ORDER BY loss_key DESC, first_at DESC, call_uid DESC",
    };
    Statement::new(SELECT)
        .columns::<CallRow>()
        .text(" FROM calls")
        .conditions(conditions)
        .text(order)
        .text(" LIMIT {limit:UInt32}")
        .value("limit", Value::Uint(u64::from(limit) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_total_and_every_page_is_bounded() {
        let window = Window { from: Timestamp(0), to: Timestamp(9) };
        let cursor = PageCursor { order: 0, window, key: 1, at: Timestamp(1), id: 2 };
        for sort in CallSort::ALL {
            let statement = page_statement(&CallFilter::default(), window, sort, 50, Some(&cursor));
            let (_, tail) = statement.sql().split_once("ORDER BY").unwrap_or_default();
            assert!(tail.contains("call_uid"), "{tail}");
            assert!(tail.ends_with("LIMIT {limit:UInt32}"), "{tail}");
            assert!(statement.sql().contains("{id:UInt64}"));
        }
    }
}
