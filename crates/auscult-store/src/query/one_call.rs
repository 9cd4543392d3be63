//! Everything about one call: its row, streams, intervals, SIP ladder and RTCP reports.

use super::statement::{Statement, Value};
use super::{QueryError, Session, StoredCall, Window};
use crate::budget::QUERY_MEMORY_BYTES;
use crate::rows::{CallRow, IntervalRow, RtcpRow, SipMessageRow, StreamRow};
use auscult_core::model::CallUid;
use auscult_core::units::{Nanos, Timestamp};
use clickhouse::Client;
use std::collections::{BTreeSet, HashSet};

/// Most streams, intervals, messages and reports shown of one call; a call beyond them is marked as truncated.
const MAX_STREAMS: u32 = 64;
const MAX_INTERVALS: u32 = 5000;
const MAX_MESSAGES: u32 = 1000;
const MAX_REPORTS: u32 = 2000;
/// Media may begin before the first message was seen (mid-call capture) or go on past the last.
const MEDIA_SLACK: Nanos = Nanos::from_secs(3600);

/// Times given for a call may be rounded, as Grafana does.
const AROUND: Nanos = Nanos::from_secs(1);

/// Which calls are searched for one identity.
#[derive(Clone, Copy)]
enum Search {
    /// Those whose first message or packet came within [`AROUND`] of this time.
    Around(Timestamp),
    LastDays,
    All,
}

/// One call with its evidence, each list in the order of time.
#[derive(Clone, Debug)]
pub struct CallDetail {
    pub call: StoredCall,
    pub streams: Vec<StreamRow>,
    pub intervals: Vec<IntervalRow>,
    pub messages: Vec<SipMessageRow>,
    pub reports: Vec<RtcpRow>,
    /// One of the lists was cut at its limit.
    pub truncated: bool,
}

impl Session {
    /// A call with its evidence; `None` when no such call is stored. `first_at` is the call's, as a list has it: with it the
    /// call is found by the sort key of its table. A wrong one only costs time.
    pub async fn call(&self, uid: CallUid, first_at: Option<Timestamp>) -> Result<Option<CallDetail>, QueryError> {
        let mut calls = match first_at {
            Some(at) => self.calls_stored(uid, Search::Around(at)).await?,
            None => Vec::new(),
        };
        // Most calls that are asked for are of the last days: the index of a third of the partitions is read instead of all.
        for search in [Search::LastDays, Search::All] {
            if calls.is_empty() {
                calls = self.calls_stored(uid, search).await?;
            }
        }
        let Some(row) = calls.pop() else { return Ok(None) };
        let mut detail = self.evidence(StoredCall { row, codecs: Vec::new() }).await?;
        let own = detail.streams.iter().filter(|s| s.call_uid == uid.0 && !s.codec.is_empty());
        let codecs: BTreeSet<&String> = own.map(|s| &s.codec).collect();
        detail.call.codecs = codecs.into_iter().cloned().collect();
        Ok(Some(detail))
    }

    async fn calls_stored(&self, uid: CallUid, search: Search) -> Result<Vec<CallRow>, QueryError> {
        let mut statement = Statement::new("SELECT ")
            .columns::<CallRow>()
            .text(" FROM calls WHERE call_uid = {uid:UInt64}")
            .value("uid", Value::Uint(uid.0));
        statement = match search {
            Search::Around(at) => statement
                .text(" AND first_at BETWEEN fromUnixTimestamp64Nano({from:Int64}) AND fromUnixTimestamp64Nano({to:Int64})")
                .value("from", Value::Int((at - AROUND).0))
                .value("to", Value::Int((at + AROUND).0)),
            Search::LastDays => statement.text(" AND stored_at >= now() - INTERVAL 31 DAY"),
            Search::All => statement,
        };
        statement.text(" ORDER BY last_at DESC, stored_at DESC LIMIT 1").fetch_all(&one_thread(&self.client)).await
    }

    /// What is stored of a call: of one that is up, the intervals, messages and reports so far.
    pub async fn evidence(&self, call: StoredCall) -> Result<CallDetail, QueryError> {
        let whole = one_thread(&self.client);
        let half = whole.clone().with_setting("max_memory_usage", (QUERY_MEMORY_BYTES / 2).to_string());
        let near =
            Window { from: Timestamp(call.row.first_at) - MEDIA_SLACK, to: Timestamp(call.row.last_at) + MEDIA_SLACK };
        let ids: Vec<u64> = call.row.streams.iter().copied().take(MAX_STREAMS as usize).collect();
        // Two at a time, each with half of the memory that a place among the queries has.
        let together = tokio::try_join!(
            Self::streams_and_messages(&half, &call.row, near),
            Self::intervals(&half, ids.clone(), near),
        );
        let ((streams, messages, reports), mut intervals) = match together {
            Err(QueryError::TooLarge) => {
                let first = Self::streams_and_messages(&whole, &call.row, near).await?;
                (first, Self::intervals(&whole, ids.clone(), near).await?)
            }
            both => both?,
        };
        // Streams that the call's row does not name, such as those of a call that is up, and media long after the last message.
        let mut more: Vec<u64> = streams.iter().map(|s| s.stream_id).filter(|id| !ids.contains(id)).collect();
        more.truncate((MAX_STREAMS as usize).saturating_sub(ids.len()));
        let until = Timestamp(streams.iter().map(|s| s.last_at).max().unwrap_or_default());
        let found = intervals.len();
        if !more.is_empty() {
            intervals.append(&mut Self::intervals(&whole, more.clone(), near).await?);
        }
        if until > near.to {
            let all = ids.into_iter().chain(more).collect();
            intervals.append(&mut Self::intervals(&whole, all, Window { from: near.to, to: until }).await?);
        }
        if intervals.len() > found {
            intervals.sort_by_key(|row| (row.start_at, row.stream_id, row.row_id));
        }
        let mut detail = CallDetail { call, streams, intervals, messages, reports, truncated: false };
        detail.truncated = cut(&mut detail.streams, MAX_STREAMS)
            | cut(&mut detail.intervals, MAX_INTERVALS)
            | cut(&mut detail.messages, MAX_MESSAGES)
            | cut(&mut detail.reports, MAX_REPORTS);
        distinct(&mut detail.intervals, |r| r.row_id);
        distinct(&mut detail.messages, |r| r.row_id);
        distinct(&mut detail.reports, |r| r.row_id);
        Ok(detail)
    }

    async fn streams_and_messages(
        client: &Client,
        call: &CallRow,
        near: Window,
    ) -> Result<(Vec<StreamRow>, Vec<SipMessageRow>, Vec<RtcpRow>), QueryError> {
        let streams = Self::streams_of_call(client, call.call_uid, &call.streams, near, MAX_STREAMS + 1).await?;
        let messages = Self::messages(client, call.call_uid).await?;
        Ok((streams, messages, Self::reports(client, call.call_uid).await?))
    }

    async fn intervals(client: &Client, ids: Vec<u64>, near: Window) -> Result<Vec<IntervalRow>, QueryError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        Statement::new("SELECT ")
            .columns::<IntervalRow>()
            .text(
                " FROM stream_intervals WHERE stream_id IN {ids:Array(UInt64)} \
             AND start_at >= toDateTime({from_s:Int64}, 'UTC') AND start_at <= toDateTime({to_s:Int64}, 'UTC') \
             ORDER BY start_at, stream_id, row_id LIMIT {limit:UInt32}",
            )
            .value("ids", Value::Ids(ids))
            .value("from_s", Value::Int(near.from.0.div_euclid(1_000_000_000).max(0)))
            .value("to_s", Value::Int(near.to.0.div_euclid(1_000_000_000).max(0)))
            .value("limit", Value::Uint(u64::from(MAX_INTERVALS) + 1))
            .fetch_all(client)
            .await
    }

    async fn messages(client: &Client, uid: u64) -> Result<Vec<SipMessageRow>, QueryError> {
        Statement::new("SELECT ")
            .columns::<SipMessageRow>()
            .text(
                " FROM sip_messages WHERE call_uid = {uid:UInt64} \
             ORDER BY at, row_id LIMIT {limit:UInt32}",
            )
            .value("uid", Value::Uint(uid))
            .value("limit", Value::Uint(u64::from(MAX_MESSAGES) + 1))
            .fetch_all(client)
            .await
    }

    async fn reports(client: &Client, uid: u64) -> Result<Vec<RtcpRow>, QueryError> {
        Statement::new("SELECT ")
            .columns::<RtcpRow>()
            .text(
                " FROM rtcp_reports WHERE call_uid = {uid:UInt64} \
             ORDER BY at, row_id LIMIT {limit:UInt32}",
            )
            .value("uid", Value::Uint(uid))
            .value("limit", Value::Uint(u64::from(MAX_REPORTS) + 1))
            .fetch_all(client)
            .await
    }
}

/// A few rows of a hundred columns: a second thread costs more than it reads.
fn one_thread(client: &Client) -> Client {
    client.clone().with_setting("max_threads", "1")
}

/// Cuts a list at its limit; says whether there was more.
fn cut<T>(rows: &mut Vec<T>, limit: u32) -> bool {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    more
}

fn distinct<T>(rows: &mut Vec<T>, id: impl Fn(&T) -> u64) {
    let mut seen = HashSet::new();
    rows.retain(|row| seen.insert(id(row)));
}
