//! Calls: worst first or by time, page by page, and how many were good, fair, poor or failed over time.

use super::statement::{Statement, Value};
use super::{CallFilter, MAX_ROWS, PageCursor, QueryError, Session, Window};
use auscult_core::units::Timestamp;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::net::Ipv6Addr;

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

/// One row of `calls`; empty text and zero mean unknown where the table says so.
#[derive(Clone, Debug, Row, Deserialize)]
pub struct CallRow {
    pub probe: String,
    pub site: String,
    pub trunk: String,
    pub call_uid: u64,
    pub call_id: String,
    pub caller_uri: String,
    pub caller_user: String,
    pub caller_name: String,
    pub caller_agent: String,
    pub callee_uri: String,
    pub callee_user: String,
    pub callee_name: String,
    pub callee_agent: String,
    pub state: String,
    pub final_code: u16,
    pub final_reason: String,
    pub transport: String,
    pub signalling_src_ip: Option<Ipv6Addr>,
    pub signalling_src_port: u16,
    pub signalling_dst_ip: Option<Ipv6Addr>,
    pub signalling_dst_port: u16,
    /// Times are nanoseconds since the epoch.
    pub first_at: i64,
    pub last_at: i64,
    pub invite_at: Option<i64>,
    pub ringing_at: Option<i64>,
    pub answered_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub pdd_ms: Option<f64>,
    pub setup_ms: Option<f64>,
    pub duration_ms: Option<f64>,
    pub sdd_ms: Option<f64>,
    pub released_by: String,
    pub release_reason: String,
    pub reinvites: u32,
    pub auth_rounds: u32,
    pub retry_of: Option<u64>,
    pub retransmissions: u32,
    pub messages: u32,
    pub branches: u32,
    pub acked: bool,
    pub started_mid_call: bool,
    pub shed: Option<bool>,
    pub directions_seen: u8,
    pub streams: Vec<u64>,
    pub mos_worst: Option<f32>,
    pub mos_scale: String,
    pub pdv_p95_worst_ms: Option<f32>,
    pub loss_pct_worst: Option<f32>,
    pub loss_source: String,
    pub diagnosis: String,
    /// Code, confidence and evidence, worst first.
    pub diagnoses: Vec<(String, f32, String)>,
    pub mos_worst_interval: Option<f32>,
    pub mos_worst_interval_scale: String,
    pub mos_worst_minute: Option<f32>,
    pub mos_worst_minute_scale: String,
    pub mos_worst_minute_at: Option<i64>,
    pub sip_rtt_toward_caller_samples: Option<u32>,
    pub sip_rtt_toward_caller_min_ms: Option<f32>,
    pub sip_rtt_toward_caller_max_ms: Option<f32>,
    pub sip_rtt_toward_callee_samples: Option<u32>,
    pub sip_rtt_toward_callee_min_ms: Option<f32>,
    pub sip_rtt_toward_callee_max_ms: Option<f32>,
    /// NULL in rows from before this was kept, as the six after it; then their text is empty.
    pub capture_drops: Option<u64>,
    pub duplicates_removed: Option<u64>,
    pub one_sided: Option<bool>,
    pub snap_cut: Option<bool>,
    pub clock_steps: Option<u32>,
    pub timestamp_source: String,
    pub timestamp_resolution_ns: Option<u32>,
    pub loss_evidence: String,
    pub capture_lost: Option<u64>,
    pub network_lost: Option<u64>,
    pub undecided_lost: Option<u64>,
    pub lost_by_evidence: Vec<(String, u64)>,
    pub timestamp_fault: String,
    pub timestamp_error_ms: Option<f32>,
    pub sampled_one_of: Option<f32>,
    /// [`auscult_core::model::CallClass::name`].
    pub class: String,
    /// 0..=1000, what [`CallSort::Worst`] sorts by.
    pub badness: i64,
    pub duration_us: i64,
    /// What the other orders sort by, the largest first: thousandths, of MOS below 0.
    pub mos_key: i64,
    pub variation_key: i64,
    pub loss_key: i64,
    /// Codecs of its streams; filled by a second statement.
    #[serde(skip)]
    pub codecs: Vec<String>,
}

pub(super) const CALL_COLUMNS: &str = concat!(
    "probe, site, trunk, call_uid, call_id, caller_uri, caller_user, caller_name, caller_agent, callee_uri, \
     callee_user, callee_name, callee_agent, state, final_code, final_reason, transport, signalling_src_ip, \
     signalling_src_port, signalling_dst_ip, signalling_dst_port, first_at, last_at, invite_at, ringing_at, \
     answered_at, ended_at, pdd_ms, setup_ms, duration_ms, sdd_ms, released_by, release_reason, reinvites, auth_rounds, retry_of, \
     retransmissions, messages, branches, acked, started_mid_call, shed, directions_seen, streams, mos_worst, mos_scale, \
     pdv_p95_worst_ms, loss_pct_worst, loss_source, diagnosis, \
     diagnoses, mos_worst_interval, mos_worst_interval_scale, mos_worst_minute, mos_worst_minute_scale, mos_worst_minute_at, \
     sip_rtt_toward_caller_samples, sip_rtt_toward_caller_min_ms, sip_rtt_toward_caller_max_ms, \
     sip_rtt_toward_callee_samples, sip_rtt_toward_callee_min_ms, sip_rtt_toward_callee_max_ms, \
     capture_drops, duplicates_removed, one_sided, snap_cut, clock_steps, timestamp_source, \
     timestamp_resolution_ns, loss_evidence, capture_lost, network_lost, undecided_lost, lost_by_evidence, timestamp_fault, timestamp_error_ms, sampled_one_of, ",
    "class, toInt64(badness) AS badness, toInt64(ifNull(duration_ms * 1000, -1)) AS duration_us, \
     toInt64(ifNull(-round(mos_worst * 1000), -10000)) AS mos_key, toInt64(ifNull(round(pdv_p95_worst_ms * 1000), -1)) AS variation_key, \
     toInt64(ifNull(round(loss_pct_worst * 1000), -1)) AS loss_key"
);

/// Some calls and where to go on; `next` is `None` after the last.
#[derive(Clone, Debug)]
pub struct CallPage {
    pub calls: Vec<CallRow>,
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
        let key = |row: &CallRow| match sort {
            CallSort::Worst => row.badness,
            CallSort::Newest | CallSort::Oldest => row.first_at,
            CallSort::Longest => row.duration_us,
            CallSort::Mos => row.mos_key,
            CallSort::DelayVariation => row.variation_key,
            CallSort::Loss => row.loss_key,
        };
        let next = rows.last().filter(|_| more).map(|row| PageCursor {
            order: sort.order(),
            window,
            key: key(row),
            at: Timestamp(row.first_at),
            id: row.call_uid,
        });
        // A batch delivered twice past the deduplication window leaves equal rows side by side.
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(row.call_uid));
        self.add_codecs(&mut rows).await?;
        Ok(CallPage { calls: rows, next })
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
    ) -> Result<Vec<u64>, QueryError> {
        let rows: Vec<UidRow> = uid_statement(filter, window, sort, limit).fetch_all(&self.client).await?;
        let mut seen = HashSet::new();
        Ok(rows.into_iter().map(|row| row.call_uid).filter(|uid| seen.insert(*uid)).collect())
    }

    /// Reads a cursor given out by [`Session::calls`] for the same order.
    pub fn call_cursor(text: &str, sort: CallSort) -> Result<PageCursor, QueryError> {
        PageCursor::decode(text, sort.order())
    }

    pub(super) async fn add_codecs(&self, calls: &mut [CallRow]) -> Result<(), QueryError> {
        let (Some(first), Some(last)) = (calls.iter().map(|c| c.first_at).min(), calls.iter().map(|c| c.last_at).max())
        else {
            return Ok(());
        };
        let rows: Vec<CodecRow> = Statement::new(
            "SELECT call_uid, arraySort(groupUniqArray(16)(toString(codec))) AS codecs FROM streams \
             WHERE call_uid IN {ids:Array(UInt64)} AND codec != '' \
             AND first_at >= fromUnixTimestamp64Nano({first:Int64}) - INTERVAL 1 HOUR \
             AND first_at <= fromUnixTimestamp64Nano({last:Int64}) + INTERVAL 1 HOUR GROUP BY call_uid",
        )
        .value("ids", Value::Ids(calls.iter().map(|c| c.call_uid).collect()))
        .value("first", Value::Int(first))
        .value("last", Value::Int(last))
        .fetch_all(&self.client)
        .await?;
        let mut by_call: BTreeMap<u64, Vec<String>> = rows.into_iter().map(|r| (r.call_uid, r.codecs)).collect();
        for call in calls {
            call.codecs = by_call.remove(&call.call_uid).unwrap_or_default();
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
    Statement::new("SELECT ")
        .text(CALL_COLUMNS)
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
