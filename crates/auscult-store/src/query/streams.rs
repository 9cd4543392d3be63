//! RTP streams as measured, worst or newest first, page by page.

use super::statement::{Statement, Value};
use super::{MAX_ROWS, PageCursor, QueryError, Session, StreamFilter, Window};
use crate::rows::StreamRow;
use auscult_core::units::Timestamp;
use clickhouse::Client;
use std::collections::HashSet;

/// Order of a list of streams, ties broken by identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamSort {
    /// By the lower of the whole stream's and its worst interval's listening MOS, against the clean maximum of
    /// its scale as for calls; streams without MOS come last.
    #[default]
    Worst,
    Newest,
}

impl StreamSort {
    pub const ALL: [StreamSort; 2] = [StreamSort::Worst, StreamSort::Newest];

    pub fn name(self) -> &'static str {
        match self {
            StreamSort::Worst => "worst",
            StreamSort::Newest => "newest",
        }
    }
}

/// What [`StreamSort::Worst`] sorts by: 0 without MOS, else 1 to 1000. The same as `badness` of [`SELECT`].
fn badness(row: &StreamRow) -> i64 {
    let clean = if row.mos_scale == "nb" { 4.41 } else { 4.5 };
    row.mos_lq.map_or(0, |lq| {
        let worst = f64::from(lq).min(row.mos_worst_interval.map_or(5.0, f64::from));
        (1.0 + 999.0 * ((clean - worst) / (clean - 1.0)).clamp(0.0, 1.0)).round_ties_even() as i64
    })
}

/// What a list is sorted by, for the conditions of a page.
const SELECT: &str = "WITH toInt64(if(mos_lq IS NULL, 0, round(1 + 999 * greatest(0, least(1, \
    (if(mos_scale = 'nb', 4.41, 4.5) - least(ifNull(mos_lq, 5), ifNull(mos_worst_interval, 5))) \
    / (if(mos_scale = 'nb', 4.41, 4.5) - 1)))))) AS badness SELECT ";

/// Some streams and where to go on; `next` is `None` after the last.
#[derive(Clone, Debug)]
pub struct StreamPage {
    pub streams: Vec<StreamRow>,
    pub next: Option<PageCursor>,
}

impl StreamSort {
    fn order(self) -> u8 {
        16 + self as u8
    }
}

impl Session {
    /// One page of streams. `limit` is 1..=[`MAX_ROWS`].
    pub async fn streams(
        &self,
        filter: &StreamFilter,
        window: Window,
        sort: StreamSort,
        limit: u32,
        after: Option<&PageCursor>,
    ) -> Result<StreamPage, QueryError> {
        let limit = limit.clamp(1, MAX_ROWS);
        let mut conditions = filter.conditions(window);
        if let Some(cursor) = after {
            let clause = match sort {
                StreamSort::Worst => {
                    "(badness, first_at, stream_id) < ({key:Int64}, fromUnixTimestamp64Nano({at:Int64}), {id:UInt64})"
                }
                StreamSort::Newest => "(first_at, stream_id) < (fromUnixTimestamp64Nano({key:Int64}), {id:UInt64})",
            };
            let at = ("at", Value::Int(cursor.at.0));
            conditions.and(clause, [("key", Value::Int(cursor.key)), at, ("id", Value::Uint(cursor.id))]);
        }
        let order = match sort {
            StreamSort::Worst => " ORDER BY badness DESC, first_at DESC, stream_id DESC",
            StreamSort::Newest => " ORDER BY first_at DESC, stream_id DESC",
        };
        let mut rows: Vec<StreamRow> = Statement::new(SELECT)
            .columns::<StreamRow>()
            .text(" FROM streams")
            .conditions(conditions)
            .text(order)
            .text(" LIMIT {limit:UInt32}")
            .value("limit", Value::Uint(u64::from(limit) + 1))
            .fetch_all(&self.client)
            .await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|row| PageCursor {
            order: sort.order(),
            window,
            key: if sort == StreamSort::Worst { badness(row) } else { row.first_at },
            at: Timestamp(row.first_at),
            id: row.stream_id,
        });
        deduplicate(&mut rows);
        Ok(StreamPage { streams: rows, next })
    }

    /// Reads a cursor given out by [`Session::streams`] for the same order.
    pub fn stream_cursor(text: &str, sort: StreamSort) -> Result<PageCursor, QueryError> {
        PageCursor::decode(text, sort.order())
    }

    /// Streams of one call, by its identity or by the identities its row lists, oldest first.
    pub(super) async fn streams_of_call(
        client: &Client,
        uid: u64,
        ids: &[u64],
        near: Window,
        limit: u32,
    ) -> Result<Vec<StreamRow>, QueryError> {
        let mut rows: Vec<StreamRow> = Statement::new("SELECT ")
            .columns::<StreamRow>()
            .text(
                " FROM streams WHERE (call_uid = {uid:UInt64} OR stream_id IN {ids:Array(UInt64)}) \
                 AND first_at >= fromUnixTimestamp64Nano({from:Int64}) \
                 AND first_at <= fromUnixTimestamp64Nano({to:Int64}) ORDER BY first_at, stream_id LIMIT {limit:UInt32}",
            )
            .value("uid", Value::Uint(uid))
            .value("ids", Value::Ids(ids.to_vec()))
            .value("from", Value::Int(near.from.0))
            .value("to", Value::Int(near.to.0))
            .value("limit", Value::Uint(u64::from(limit)))
            .fetch_all(client)
            .await?;
        deduplicate(&mut rows);
        Ok(rows)
    }
}

/// A batch delivered twice past the deduplication window leaves equal rows.
fn deduplicate(rows: &mut Vec<StreamRow>) {
    let mut seen = HashSet::new();
    rows.retain(|row| seen.insert(row.stream_id));
}
