//! RTP streams as measured, worst or newest first, page by page.

use super::statement::{Statement, Value};
use super::{MAX_ROWS, PageCursor, QueryError, Session, StreamFilter, Window};
use auscult_core::units::Timestamp;
use clickhouse::{Client, Row};
use serde::Deserialize;
use std::collections::HashSet;
use std::net::Ipv6Addr;

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

/// One row of `streams`; empty text and zero mean unknown where the table says so.
#[derive(Clone, Debug, Row, Deserialize)]
pub struct StreamRow {
    pub probe: String,
    pub site: String,
    pub trunk: String,
    pub stream_id: u64,
    pub call_uid: u64,
    pub call_id: String,
    pub src_ip: Ipv6Addr,
    pub src_port: u16,
    pub dst_ip: Ipv6Addr,
    pub dst_port: u16,
    pub ssrc: u32,
    pub codec: String,
    pub clock_rate: Option<u32>,
    pub clock_source: String,
    pub clock_rate_signalled: Option<u32>,
    /// Payload types with their packet counts, most frequent first.
    pub payload_types: Vec<(u8, u64)>,
    pub ptime_ms: Option<f32>,
    pub first_at: i64,
    pub last_at: i64,
    pub packets: u64,
    pub unique_packets: u64,
    pub expected: u64,
    pub lost: u64,
    pub duplicates_probe: u64,
    pub duplicates_network: u64,
    pub reordered: u64,
    pub reorder_extent: u32,
    pub restarts: u32,
    pub sent_elsewhere: u64,
    pub loss_runs: Vec<u32>,
    pub longest_loss_run: u32,
    pub jitter_last_ms: Option<f32>,
    pub jitter_mean_ms: Option<f32>,
    pub jitter_max_ms: Option<f32>,
    pub pdv_p50_ms: Option<f32>,
    pub pdv_p95_ms: Option<f32>,
    pub pdv_p99_ms: Option<f32>,
    pub pdv_max_ms: Option<f32>,
    pub late: Vec<u64>,
    pub max_gap_ms: Option<f32>,
    pub drift_ppm: Option<f32>,
    pub dscp: u8,
    pub dscp_changes: u32,
    pub ttl_min: u8,
    pub ttl_max: u8,
    pub vlan: u16,
    pub tunnel: String,
    pub rtt_ms: Option<f32>,
    pub r: Option<f32>,
    pub mos_lq: Option<f32>,
    pub mos_cq: Option<f32>,
    pub mos_scale: String,
    pub mos_null_reason: String,
    pub mos_worst_interval: Option<f32>,
    pub ie: Option<f32>,
    pub bpl: Option<f32>,
    pub burst_ratio: Option<f32>,
    pub effective_loss_pct: Option<f32>,
    pub codec_status: String,
    pub delay_source: String,
    pub capture_drops: u64,
    pub one_sided: bool,
    pub snap_cut: bool,
    pub started_mid_call: bool,
    pub shed: bool,
    pub clock_steps: u32,
    pub timestamp_resolution_ns: u32,
    pub loss_source: String,
    pub strays: u64,
    pub telephone_events: u64,
    pub comfort_noise: u64,
    pub pdv_p999_ms: Option<f32>,
    pub discarded_adaptive: Option<u64>,
    pub ipdv_mean_ms: Option<f32>,
    pub ipdv_max_ms: Option<f32>,
    pub mapdv2_ms: Option<f32>,
    pub max_delta_ms: Option<f32>,
    pub max_skew_ms: Option<f32>,
    pub bursts: Option<u64>,
    pub burst_packets: Option<u64>,
    pub burst_lost: Option<u64>,
    pub gap_packets: Option<u64>,
    pub gap_lost: Option<u64>,
    pub gap_periods: Option<u64>,
    pub burst_duration_ms: Option<f32>,
    pub gap_duration_ms: Option<f32>,
    pub gap_duration_a2_ms: Option<f32>,
    pub burst_ratio_measured: Option<f32>,
    pub markov_p: Option<f32>,
    pub markov_q: Option<f32>,
    pub mean_loss_run: Option<f32>,
    pub mean_loss_distance: Option<f32>,
    pub concealed_seconds: Option<u64>,
    pub severely_concealed_seconds: Option<u64>,
    pub digits: Option<u64>,
    pub talkspurts: Option<u64>,
    pub silence_ms: Option<f64>,
    pub mos_model: String,
    pub mos_delay_ms: Option<f32>,
    pub jitter_buffer_ms: Option<u16>,
    pub mos_low: Option<f32>,
    pub mos_high: Option<f32>,
    pub mos_worst_minute: Option<f32>,
    pub r_clean_max: Option<f32>,
    pub r_cost_codec: Option<f32>,
    pub r_cost_loss: Option<f32>,
    pub r_cost_late: Option<f32>,
    pub r_cost_delay: Option<f32>,
    pub loss_evidence: String,
    pub capture_lost: Option<u64>,
    pub network_lost: Option<u64>,
    pub undecided_lost: Option<u64>,
    pub lost_by_evidence: Vec<(String, u64)>,
    pub timestamp_fault: String,
    pub timestamp_error_ms: Option<f32>,
    pub sampled_one_of: Option<f32>,
    pub remote_reports: Option<u32>,
    pub remote_expected: Option<u64>,
    pub remote_lost: Option<i64>,
    pub remote_loss_pct: Option<f32>,
    pub remote_jitter_last_ms: Option<f32>,
    pub remote_jitter_max_ms: Option<f32>,
    pub remote_lost_before_probe: Option<u64>,
    pub remote_lost_behind_probe: Option<i64>,
    pub remote_loss_side: String,
    pub timestamp_source: String,
    pub ipdv_samples: Option<u64>,
    pub mapdv2_above_ms: Option<f32>,
    pub mapdv2_above_samples: Option<u64>,
    pub mapdv2_below_ms: Option<f32>,
    pub mapdv2_below_samples: Option<u64>,
    pub lost_late_buffer_ms: Option<u16>,
    pub lost_late_bursts: Option<u64>,
    pub lost_late_burst_packets: Option<u64>,
    pub lost_late_burst_bad: Option<u64>,
    pub lost_late_gap_packets: Option<u64>,
    pub lost_late_gap_bad: Option<u64>,
    pub lost_late_gap_periods: Option<u64>,
    pub lost_late_burst_duration_ms: Option<f32>,
    pub lost_late_gap_duration_ms: Option<f32>,
    pub lost_late_gap_duration_a2_ms: Option<f32>,
    pub lost_late_burst_ratio: Option<f32>,
    pub mos_beyond_model: Option<bool>,
    pub adaptive_buffer_ms: Option<f32>,
    pub base_rise_ms: Option<f32>,
    pub base_fall_ms: Option<f32>,
    pub base_steps: Option<u32>,
    /// Nanoseconds since the epoch.
    pub mos_worst_minute_at: Option<i64>,
    /// Packets whose delay is known: what `late` and `discarded_adaptive` are shares of.
    pub delays_known: u64,
    pub badness: i64,
}

const STREAM_COLUMNS: &str = "probe, site, trunk, stream_id, call_uid, call_id, src_ip, src_port, dst_ip, dst_port, \
    ssrc, codec, clock_rate, clock_source, clock_rate_signalled, \
    payload_types, ptime_ms, first_at, last_at, packets, unique_packets, \
    expected, lost, duplicates_probe, duplicates_network, reordered, reorder_extent, restarts, sent_elsewhere, \
    loss_runs, longest_loss_run, jitter_last_ms, jitter_mean_ms, jitter_max_ms, pdv_p50_ms, pdv_p95_ms, pdv_p99_ms, \
    pdv_max_ms, late, max_gap_ms, drift_ppm, dscp, dscp_changes, ttl_min, ttl_max, vlan, tunnel, rtt_ms, r, mos_lq, \
    mos_cq, mos_scale, mos_null_reason, mos_worst_interval, ie, bpl, burst_ratio, effective_loss_pct, codec_status, \
    delay_source, capture_drops, one_sided, snap_cut, started_mid_call, shed, clock_steps, timestamp_resolution_ns, \
    loss_source, strays, telephone_events, comfort_noise, pdv_p999_ms, discarded_adaptive, ipdv_mean_ms, ipdv_max_ms, mapdv2_ms, \
    max_delta_ms, max_skew_ms, bursts, burst_packets, burst_lost, gap_packets, gap_lost, gap_periods, \
    burst_duration_ms, gap_duration_ms, gap_duration_a2_ms, burst_ratio_measured, markov_p, markov_q, mean_loss_run, \
    mean_loss_distance, concealed_seconds, severely_concealed_seconds, digits, talkspurts, silence_ms, mos_model, \
    mos_delay_ms, jitter_buffer_ms, mos_low, mos_high, mos_worst_minute, r_clean_max, r_cost_codec, r_cost_loss, \
    r_cost_late, r_cost_delay, loss_evidence, capture_lost, network_lost, undecided_lost, lost_by_evidence, timestamp_fault, timestamp_error_ms, sampled_one_of, remote_reports, remote_expected, remote_lost, remote_loss_pct, \
    remote_jitter_last_ms, remote_jitter_max_ms, remote_lost_before_probe, remote_lost_behind_probe, \
    remote_loss_side, timestamp_source, ipdv_samples, mapdv2_above_ms, mapdv2_above_samples, mapdv2_below_ms, \
    mapdv2_below_samples, lost_late_buffer_ms, lost_late_bursts, lost_late_burst_packets, lost_late_burst_bad, \
    lost_late_gap_packets, lost_late_gap_bad, lost_late_gap_periods, lost_late_burst_duration_ms, \
    lost_late_gap_duration_ms, lost_late_gap_duration_a2_ms, lost_late_burst_ratio, mos_beyond_model, adaptive_buffer_ms, base_rise_ms, base_fall_ms, base_steps, \
     mos_worst_minute_at, toUInt64(arraySum(pdv)) AS delays_known, \
    toInt64(if(mos_lq IS NULL, 0, round(1 + 999 * greatest(0, least(1, \
    (if(mos_scale = 'nb', 4.41, 4.5) - least(ifNull(mos_lq, 5), ifNull(mos_worst_interval, 5))) \
    / (if(mos_scale = 'nb', 4.41, 4.5) - 1)))))) AS badness";

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
        let mut rows: Vec<StreamRow> = Statement::new("SELECT ")
            .text(STREAM_COLUMNS)
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
            key: if sort == StreamSort::Worst { row.badness } else { row.first_at },
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
            .text(STREAM_COLUMNS)
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
