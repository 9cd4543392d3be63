//! Whole lists as CSV or Parquet, streamed as the engine writes them, in the order of time.

use super::statement::{Statement, Value};
use super::{CallFilter, QueryError, Session, StreamFilter, Window};
use axum::body::Bytes;
use clickhouse::query::BytesCursor;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Most rows of one file: what does not fit is an error, and no file that ends early.
pub const MAX_CSV_ROWS: u64 = 1_000_000;
pub const MAX_PARQUET_ROWS: u64 = 100_000;
/// Longest time for a file, from the first piece to the last: a client that takes it slowly holds a place among the queries.
const MAX_EXPORT: Duration = Duration::from_secs(30);
/// Pieces that wait for the client.
const AHEAD: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Csv,
    Parquet,
}

impl FileFormat {
    pub fn name(self) -> &'static str {
        match self {
            FileFormat::Csv => "csv",
            FileFormat::Parquet => "parquet",
        }
    }

    fn most(self) -> u64 {
        match self {
            FileFormat::Csv => MAX_CSV_ROWS,
            FileFormat::Parquet => MAX_PARQUET_ROWS,
        }
    }
}

/// What is listed, and by what it is narrowed.
#[derive(Clone, Copy, Debug)]
pub enum Listed<'a> {
    Calls(&'a CallFilter),
    Streams(&'a StreamFilter),
    Intervals(&'a StreamFilter),
}

/// A text of a stranger in a spreadsheet, by the rule of `analyze --format csv`: `'` goes before a character that begins a formula, at
/// the start and behind each semicolon; a sign before digits alone stays. Line breaks and other control characters, which rows of
/// earlier versions may hold, become spaces.
macro_rules! cell {
    ($column:literal) => {
        concat!(
            "arrayStringConcat(arrayMap(part -> if(match(part, '^\\\\s*[=@\u{ff1d}\u{ff20}\u{ff0b}\u{ff0d}]') \
             OR match(part, '^\\\\s*[+-]') AND NOT match(part, '^\\\\s*[+-]([0-9]+[.]?[0-9]*|[.][0-9]+)$'), concat('\\'', part), part), \
             splitByChar(';', replaceRegexpAll(",
            $column,
            ", '[\\\\p{Cc}\\\\x{202A}-\\\\x{202E}\\\\x{2066}-\\\\x{2069}]', ' '))), ';') AS ",
            $column
        )
    };
}

macro_rules! plain {
    ($column:literal) => {
        $column
    };
}

macro_rules! address {
    ($ip:literal, $port:literal, $name:literal) => {
        concat!(
            "if(",
            $ip,
            " IS NULL, '', concat(replaceOne(IPv6NumToString(assumeNotNull(",
            $ip,
            ")), '::ffff:', ''), ' ', toString(",
            $port,
            "))) AS ",
            $name
        )
    };
}

macro_rules! call_columns {
    ($text:ident) => {
        concat!(
            "SELECT lower(leftPad(hex(call_uid), 16, '0')) AS id, ",
            $text!("call_id"), ", probe, ", $text!("site"), ", ", $text!("trunk"), ", trunk_direction, ",
            $text!("caller_user"), ", ", $text!("caller_uri"), ", ", $text!("caller_name"), ", ",
            $text!("callee_user"), ", ", $text!("callee_uri"), ", ", $text!("callee_name"),
            ", state, class, final_code, ", $text!("final_reason"),
            ", first_at, invite_at, ringing_at, answered_at, ended_at, pdd_ms, setup_ms, duration_ms, sdd_ms, released_by, ",
            $text!("release_reason"), ", transport, ",
            address!("signalling_src_ip", "signalling_src_port", "signalling_src"), ", ",
            address!("signalling_dst_ip", "signalling_dst_port", "signalling_dst"),
            ", mos_worst, mos_scale, mos_worst_minute_at, pdv_p95_worst_ms, loss_pct_worst, loss_source, capture_lost, network_lost, undecided_lost, timestamp_fault, timestamp_error_ms, sampled_one_of, one_sided, capture_drops, \
             toString(diagnosis) AS diagnosis, arrayStringConcat(tupleElement(diagnoses, 1), ' ') AS diagnoses, badness FROM calls"
        )
    };
}

macro_rules! stream_columns {
    ($text:ident) => {
        concat!(
            "SELECT lower(leftPad(hex(stream_id), 16, '0')) AS id, lower(leftPad(hex(call_uid), 16, '0')) AS call, ",
            $text!("call_id"), ", probe, ", $text!("site"), ", ", $text!("trunk"), ", ", $text!("codec"), ", ",
            address!("src_ip", "src_port", "src"), ", ", address!("dst_ip", "dst_port", "dst"),
            ", ssrc, first_at, last_at, clock_rate, clock_source, ptime_ms, packets, unique_packets, expected, lost, loss_source, \
             loss_evidence, capture_lost, network_lost, undecided_lost, timestamp_fault, timestamp_error_ms, sampled_one_of, duplicates_probe, duplicates_network, reordered, restarts, longest_loss_run, jitter_mean_ms, jitter_max_ms, \
             pdv_p50_ms, pdv_p95_ms, pdv_p99_ms, pdv_max_ms, mos_lq, mos_cq, mos_scale, mos_model, mos_delay_ms, jitter_buffer_ms, \
             mos_null_reason, mos_worst_minute, r, codec_status, rtt_ms, one_sided, capture_drops, started_mid_call FROM streams"
        )
    };
}

macro_rules! interval_columns {
    ($text:ident) => {
        concat!(
            "SELECT start_at, length_ms, lower(leftPad(hex(stream_id), 16, '0')) AS stream, lower(leftPad(hex(call_uid), 16, '0')) AS call, \
             probe, ", $text!("site"), ", ", $text!("trunk"), ", trunk_direction, ", $text!("codec"), ", ",
            address!("src_ip", "src_port", "src"), ", ", address!("dst_ip", "dst_port", "dst"),
            ", ssrc, packets, unique_packets, expected, lost, loss_source, capture_lost, network_lost, undecided_lost, timestamp_fault, timestamp_error_ms, sampled_one_of, reordered, longest_loss_run, jitter_mean_ms, jitter_max_ms, \
             pdv_max_ms, max_gap_ms, mos_lq, mos_cq, mos_scale, mos_null_reason, concealed_seconds, one_sided, capture_drops \
             FROM stream_intervals"
        )
    };
}

/// A file as it comes. The place among the queries is given back when the engine has written all of it, or after
/// [`MAX_EXPORT`]; dropped before, the engine stops.
pub struct Export {
    pieces: mpsc::Receiver<Result<Bytes, QueryError>>,
    whole: Arc<AtomicBool>,
}

impl Export {
    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// The engine ran out of time or memory, or the pieces were taken too slowly: what was read so far is no whole file.
    pub async fn next(&mut self) -> Result<Option<Bytes>, QueryError> {
        match self.pieces.recv().await {
            Some(piece) => piece.map(Some),
            None if self.whole.load(Ordering::Acquire) => Ok(None),
            None => Err(QueryError::TooSlow),
        }
    }
}

/// Hands over pieces until the engine has no more, nobody takes them, or the time is over.
async fn pump(
    mut cursor: BytesCursor,
    first: Option<Bytes>,
    to: mpsc::Sender<Result<Bytes, QueryError>>,
    whole: Arc<AtomicBool>,
) {
    let mut piece = Ok(first);
    loop {
        match piece {
            Ok(Some(bytes)) => {
                if to.send(Ok(bytes)).await.is_err() {
                    return;
                }
            }
            Ok(None) => return whole.store(true, Ordering::Release),
            Err(error) => {
                let _ = to.send(Err(QueryError::from(error))).await;
                return;
            }
        }
        piece = cursor.next().await;
    }
}

#[derive(clickhouse::Row, Deserialize)]
struct Rows {
    n: u64,
}

impl Session {
    /// A list of at most [`MAX_CSV_ROWS`] or [`MAX_PARQUET_ROWS`] rows.
    ///
    /// # Errors
    /// More rows, with what to narrow.
    pub async fn export(self, listed: Listed<'_>, window: Window, format: FileFormat) -> Result<Export, QueryError> {
        let most = format.most();
        let counted = match listed {
            Listed::Calls(_) => "SELECT count() AS n FROM calls",
            Listed::Streams(_) => "SELECT count() AS n FROM streams",
            Listed::Intervals(_) => "SELECT count() AS n FROM stream_intervals",
        };
        let conditions = || match listed {
            Listed::Calls(filter) => filter.conditions(window),
            Listed::Streams(filter) => filter.conditions(window),
            Listed::Intervals(filter) => filter.interval_conditions(window),
        };
        let rows: Rows = Statement::new(counted).conditions(conditions()).fetch_one(&self.client).await?;
        if rows.n > most {
            let instead = if format == FileFormat::Parquet { ", or CSV (up to 1,000,000)" } else { "" };
            return Err(QueryError::BadRequest(format!(
                "{} rows, and a {} file has at most {most}; ask for a shorter time range or a narrower filter{instead}",
                rows.n,
                format.name()
            )));
        }
        let (columns, order) = match (listed, format) {
            (Listed::Calls(_), FileFormat::Csv) => (call_columns!(cell), " ORDER BY calls.first_at, calls.call_uid"),
            (Listed::Calls(_), FileFormat::Parquet) => {
                (call_columns!(plain), " ORDER BY calls.first_at, calls.call_uid")
            }
            (Listed::Streams(_), FileFormat::Csv) => (stream_columns!(cell), " ORDER BY streams.first_at, stream_id"),
            (Listed::Streams(_), FileFormat::Parquet) => {
                (stream_columns!(plain), " ORDER BY streams.first_at, stream_id")
            }
            (Listed::Intervals(_), FileFormat::Csv) => (interval_columns!(cell), " ORDER BY start_at"),
            (Listed::Intervals(_), FileFormat::Parquet) => (interval_columns!(plain), " ORDER BY start_at"),
        };
        let statement = Statement::new(columns).conditions(conditions()).text(order).text(" LIMIT {limit:UInt64}");
        let client = self.client.clone().with_setting("date_time_output_format", "iso");
        let format = match format {
            FileFormat::Csv => "CSVWithNames",
            FileFormat::Parquet => "Parquet",
        };
        let mut cursor = statement.value("limit", Value::Uint(most)).fetch_bytes(&client, format)?;
        // An engine that refuses says so before the first piece.
        let first = cursor.next().await?;
        let (to, pieces) = mpsc::channel(AHEAD);
        let whole = Arc::new(AtomicBool::new(false));
        let done = whole.clone();
        tokio::spawn(async move {
            // Holds the place as long as the engine works, and no longer than that time.
            let _place = self;
            let _ = tokio::time::timeout(MAX_EXPORT, pump(cursor, first, to, done)).await;
        });
        Ok(Export { pieces, whole })
    }
}
