//! Everything about one call: its row, streams, intervals, SIP ladder and RTCP reports.

use super::calls::CALL_COLUMNS;
use super::statement::{Statement, Value};
use super::{CallRow, QueryError, Session, StreamRow, Window};
use crate::budget::QUERY_MEMORY_BYTES;
use auscult_core::units::{Nanos, Timestamp};
use clickhouse::{Client, Row};
use serde::Deserialize;
use std::collections::{BTreeSet, HashSet};
use std::net::Ipv6Addr;

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

/// One row of `stream_intervals`.
#[derive(Clone, Debug, Row, Deserialize)]
pub struct IntervalRow {
    /// Seconds since the epoch.
    pub start_s: u32,
    pub length_ms: u32,
    pub stream_id: u64,
    pub packets: u32,
    pub unique_packets: u32,
    pub expected: u32,
    pub lost: u32,
    pub duplicates_probe: u32,
    pub duplicates_network: u32,
    pub reordered: u32,
    pub restarts: u32,
    pub longest_loss_run: u32,
    pub jitter_last_ms: Option<f32>,
    pub jitter_mean_ms: Option<f32>,
    pub jitter_max_ms: Option<f32>,
    pub pdv: Vec<u32>,
    pub histogram_version: u8,
    pub pdv_max_ms: Option<f32>,
    pub max_gap_ms: Option<f32>,
    pub r: Option<f32>,
    pub mos_lq: Option<f32>,
    pub mos_cq: Option<f32>,
    pub mos_scale: String,
    pub mos_null_reason: String,
    pub capture_drops: u64,
    pub loss_source: String,
    pub loss_runs: Vec<u32>,
    pub late: Vec<u32>,
    pub burst_ratio: Option<f32>,
    pub one_sided: bool,
    pub snap_cut: bool,
    pub discarded_adaptive: Option<u32>,
    pub ipdv_mean_ms: Option<f32>,
    pub ipdv_max_ms: Option<f32>,
    pub mapdv2_ms: Option<f32>,
    pub max_delta_ms: Option<f32>,
    pub max_skew_ms: Option<f32>,
    pub bursts: Option<u32>,
    pub burst_packets: Option<u32>,
    pub burst_lost: Option<u32>,
    pub gap_packets: Option<u32>,
    pub gap_lost: Option<u32>,
    pub gap_periods: Option<u32>,
    pub burst_ratio_measured: Option<f32>,
    pub markov_p: Option<f32>,
    pub markov_q: Option<f32>,
    pub mean_loss_run: Option<f32>,
    pub mean_loss_distance: Option<f32>,
    pub concealed_seconds: Option<u32>,
    pub severely_concealed_seconds: Option<u32>,
    pub digits: Option<u32>,
    pub talkspurts: Option<u32>,
    pub silence_ms: Option<f64>,
    pub clock_steps: Option<u32>,
    pub mos_model: String,
    pub mos_delay_ms: Option<f32>,
    pub jitter_buffer_ms: Option<u16>,
    pub mos_low: Option<f32>,
    pub mos_high: Option<f32>,
    pub ie: Option<f32>,
    pub bpl: Option<f32>,
    pub effective_loss_pct: Option<f32>,
    pub codec_status: String,
    pub delay_source: String,
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
    pub timestamp_source: String,
    pub timestamp_resolution_ns: Option<u32>,
    pub started_mid_call: Option<bool>,
    pub ipdv_samples: Option<u32>,
    pub mapdv2_above_ms: Option<f32>,
    pub mapdv2_above_samples: Option<u32>,
    pub mapdv2_below_ms: Option<f32>,
    pub mapdv2_below_samples: Option<u32>,
    pub lost_late_buffer_ms: Option<u16>,
    pub lost_late_bursts: Option<u32>,
    pub lost_late_burst_packets: Option<u32>,
    pub lost_late_burst_bad: Option<u32>,
    pub lost_late_gap_packets: Option<u32>,
    pub lost_late_gap_bad: Option<u32>,
    pub lost_late_gap_periods: Option<u32>,
    pub lost_late_burst_ratio: Option<f32>,
    pub mos_beyond_model: Option<bool>,
    pub adaptive_buffer_ms: Option<f32>,
    pub base_rise_ms: Option<f32>,
    pub base_fall_ms: Option<f32>,
    pub base_steps: Option<u32>,
    pub reorder_extent: Option<u32>,
    pub drift_ppm: Option<f32>,
    pub row_id: u64,
}

/// One row of `sip_messages`.
#[derive(Clone, Debug, Row, Deserialize)]
pub struct SipRow {
    pub at: i64,
    pub src_ip: Ipv6Addr,
    pub src_port: u16,
    pub dst_ip: Ipv6Addr,
    pub dst_port: u16,
    pub transport: String,
    pub direction: String,
    pub method: String,
    pub status: u16,
    pub reason: String,
    pub cseq: u32,
    pub retransmission: bool,
    pub headers: String,
    pub sdp: String,
    pub cut_short: bool,
    pub row_id: u64,
}

/// One row of `rtcp_reports`.
#[derive(Clone, Debug, Row, Deserialize)]
pub struct RtcpRow {
    pub at: i64,
    pub src_ip: Ipv6Addr,
    pub src_port: u16,
    pub dst_ip: Ipv6Addr,
    pub dst_port: u16,
    pub kind: String,
    pub reporter_ssrc: u32,
    pub stream_id: u64,
    pub sent_packets: Option<u32>,
    pub about_ssrc: Option<u32>,
    pub fraction_lost_pct: Option<f32>,
    pub cumulative_lost: Option<i32>,
    pub jitter_ticks: Option<u32>,
    pub rtt_probe_reporter_ms: Option<f32>,
    pub voip_loss_pct: Option<f32>,
    pub voip_discard_pct: Option<f32>,
    pub voip_burst_ms: Option<u16>,
    pub voip_gap_ms: Option<u16>,
    pub voip_round_trip_ms: Option<u16>,
    pub voip_end_system_ms: Option<u16>,
    pub voip_r: Option<u8>,
    pub voip_mos_lq: Option<f32>,
    pub voip_mos_cq: Option<f32>,
    pub voip_jb_nominal_ms: Option<u16>,
    pub voip_burst_density_pct: Option<f32>,
    pub voip_gap_density_pct: Option<f32>,
    pub voip_gmin: Option<u8>,
    pub voip_signal_dbm: Option<i8>,
    pub voip_noise_dbm: Option<i8>,
    pub voip_rerl_db: Option<u8>,
    pub voip_external_r: Option<u8>,
    pub voip_rx_config: Option<u8>,
    pub voip_jb_maximum_ms: Option<u16>,
    pub voip_jb_absolute_maximum_ms: Option<u16>,
    pub vq_side: String,
    pub vq_start_at: Option<i64>,
    pub vq_stop_at: Option<i64>,
    pub vq_one_way_delay_ms: Option<u16>,
    pub vq_symmetric_one_way_delay_ms: Option<u16>,
    pub vq_interarrival_jitter_ms: Option<f32>,
    pub vq_mean_absolute_jitter_ms: Option<f32>,
    pub vq_r_cq: Option<u8>,
    pub vq_external_r_out: Option<u8>,
    pub vq_described: Vec<(String, String)>,
    pub implausible: String,
    pub row_id: u64,
}

/// One call with its evidence, each list in the order of time.
#[derive(Clone, Debug)]
pub struct CallDetail {
    pub call: CallRow,
    pub streams: Vec<StreamRow>,
    pub intervals: Vec<IntervalRow>,
    pub messages: Vec<SipRow>,
    pub reports: Vec<RtcpRow>,
    /// One of the lists was cut at its limit.
    pub truncated: bool,
}

impl Session {
    /// A call with its evidence; `None` when no such call is stored. `first_at` is the call's, as a list has it: with it the
    /// call is found by the sort key of its table. A wrong one only costs time.
    pub async fn call(&self, uid: u64, first_at: Option<Timestamp>) -> Result<Option<CallDetail>, QueryError> {
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
        let Some(call) = calls.pop() else { return Ok(None) };
        let mut detail = self.evidence(call).await?;
        let own = detail.streams.iter().filter(|s| s.call_uid == uid && !s.codec.is_empty());
        let codecs: BTreeSet<&String> = own.map(|s| &s.codec).collect();
        detail.call.codecs = codecs.into_iter().cloned().collect();
        Ok(Some(detail))
    }

    async fn calls_stored(&self, uid: u64, search: Search) -> Result<Vec<CallRow>, QueryError> {
        let mut statement = Statement::new("SELECT ")
            .text(CALL_COLUMNS)
            .text(" FROM calls WHERE call_uid = {uid:UInt64}")
            .value("uid", Value::Uint(uid));
        statement = match search {
            Search::Around(at) => statement
                .text(" AND first_at BETWEEN fromUnixTimestamp64Nano({from:Int64}) AND fromUnixTimestamp64Nano({to:Int64})")
                .value("from", Value::Int((at - AROUND).0))
                .value("to", Value::Int((at + AROUND).0)),
            Search::LastDays => statement.text(" AND stored_at >= now() - INTERVAL 31 DAY"),
            Search::All => statement,
        };
        statement.text(" ORDER BY last_at DESC, stored_at DESC LIMIT 1").fetch_all(&self.client).await
    }

    /// What is stored of a call: of one that is up, the intervals, messages and reports so far.
    pub async fn evidence(&self, call: CallRow) -> Result<CallDetail, QueryError> {
        let half = self.client.clone().with_setting("max_memory_usage", (QUERY_MEMORY_BYTES / 2).to_string());
        let near = Window { from: Timestamp(call.first_at) - MEDIA_SLACK, to: Timestamp(call.last_at) + MEDIA_SLACK };
        let ids: Vec<u64> = call.streams.iter().copied().take(MAX_STREAMS as usize).collect();
        // Two at a time, each with half of the memory that a place among the queries has.
        let together = tokio::try_join!(
            Self::streams_and_messages(&half, &call, near),
            Self::intervals(&half, ids.clone(), near),
        );
        let ((streams, messages, reports), mut intervals) = match together {
            Err(QueryError::TooLarge) => {
                let first = Self::streams_and_messages(&self.client, &call, near).await?;
                (first, Self::intervals(&self.client, ids.clone(), near).await?)
            }
            both => both?,
        };
        // Streams that the call's row does not name, such as those of a call that is up, and media long after the last message.
        let mut more: Vec<u64> = streams.iter().map(|s| s.stream_id).filter(|id| !ids.contains(id)).collect();
        more.truncate((MAX_STREAMS as usize).saturating_sub(ids.len()));
        let until = Timestamp(streams.iter().map(|s| s.last_at).max().unwrap_or_default());
        let found = intervals.len();
        if !more.is_empty() {
            intervals.append(&mut Self::intervals(&self.client, more.clone(), near).await?);
        }
        if until > near.to {
            let all = ids.into_iter().chain(more).collect();
            intervals.append(&mut Self::intervals(&self.client, all, Window { from: near.to, to: until }).await?);
        }
        if intervals.len() > found {
            intervals.sort_by_key(|row| (row.start_s, row.stream_id, row.row_id));
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
    ) -> Result<(Vec<StreamRow>, Vec<SipRow>, Vec<RtcpRow>), QueryError> {
        let streams = Self::streams_of_call(client, call.call_uid, &call.streams, near, MAX_STREAMS + 1).await?;
        let messages = Self::messages(client, call.call_uid).await?;
        Ok((streams, messages, Self::reports(client, call.call_uid).await?))
    }

    async fn intervals(client: &Client, ids: Vec<u64>, near: Window) -> Result<Vec<IntervalRow>, QueryError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        Statement::new(
            "SELECT toUnixTimestamp(start_at) AS start_s, length_ms, stream_id, packets, unique_packets, expected, lost, \
             duplicates_probe, duplicates_network, reordered, restarts, longest_loss_run, jitter_last_ms, jitter_mean_ms, \
             jitter_max_ms, pdv, histogram_version, pdv_max_ms, max_gap_ms, r, mos_lq, mos_cq, mos_scale, mos_null_reason, \
             capture_drops, loss_source, loss_runs, late, burst_ratio, one_sided, snap_cut, discarded_adaptive, ipdv_mean_ms, ipdv_max_ms, \
             mapdv2_ms, max_delta_ms, max_skew_ms, bursts, burst_packets, burst_lost, gap_packets, gap_lost, \
             gap_periods, burst_ratio_measured, markov_p, markov_q, mean_loss_run, mean_loss_distance, \
             concealed_seconds, severely_concealed_seconds, digits, talkspurts, silence_ms, clock_steps, mos_model, \
             mos_delay_ms, jitter_buffer_ms, mos_low, mos_high, ie, bpl, effective_loss_pct, codec_status, \
             delay_source, r_clean_max, r_cost_codec, r_cost_loss, r_cost_late, r_cost_delay, loss_evidence, capture_lost, network_lost, undecided_lost, lost_by_evidence, timestamp_fault, timestamp_error_ms, sampled_one_of, \
             timestamp_source, timestamp_resolution_ns, started_mid_call, ipdv_samples, mapdv2_above_ms, \
             mapdv2_above_samples, mapdv2_below_ms, mapdv2_below_samples, \
             lost_late_buffer_ms, lost_late_bursts, lost_late_burst_packets, lost_late_burst_bad, lost_late_gap_packets, \
             lost_late_gap_bad, lost_late_gap_periods, lost_late_burst_ratio, mos_beyond_model, adaptive_buffer_ms, base_rise_ms, base_fall_ms, base_steps, \
             reorder_extent, drift_ppm, row_id FROM stream_intervals WHERE stream_id IN {ids:Array(UInt64)} \
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

    async fn messages(client: &Client, uid: u64) -> Result<Vec<SipRow>, QueryError> {
        Statement::new(
            "SELECT at, src_ip, src_port, dst_ip, dst_port, transport, direction, method, status, reason, cseq, \
             retransmission, headers, sdp, cut_short, row_id FROM sip_messages WHERE call_uid = {uid:UInt64} \
             ORDER BY at, row_id LIMIT {limit:UInt32}",
        )
        .value("uid", Value::Uint(uid))
        .value("limit", Value::Uint(u64::from(MAX_MESSAGES) + 1))
        .fetch_all(client)
        .await
    }

    async fn reports(client: &Client, uid: u64) -> Result<Vec<RtcpRow>, QueryError> {
        Statement::new(
            "SELECT at, src_ip, src_port, dst_ip, dst_port, kind, reporter_ssrc, stream_id, sent_packets, about_ssrc, \
             fraction_lost_pct, cumulative_lost, jitter_ticks, rtt_probe_reporter_ms, voip_loss_pct, voip_discard_pct, \
             voip_burst_ms, voip_gap_ms, voip_round_trip_ms, voip_end_system_ms, voip_r, voip_mos_lq, voip_mos_cq, \
             voip_jb_nominal_ms, voip_burst_density_pct, voip_gap_density_pct, voip_gmin, voip_signal_dbm, voip_noise_dbm, \
             voip_rerl_db, voip_external_r, voip_rx_config, voip_jb_maximum_ms, voip_jb_absolute_maximum_ms, \
             vq_side, vq_start_at, vq_stop_at, vq_one_way_delay_ms, vq_symmetric_one_way_delay_ms, vq_interarrival_jitter_ms, \
             vq_mean_absolute_jitter_ms, vq_r_cq, vq_external_r_out, vq_described, \
             implausible, row_id FROM rtcp_reports WHERE call_uid = {uid:UInt64} \
             ORDER BY at, row_id LIMIT {limit:UInt32}",
        )
        .value("uid", Value::Uint(uid))
        .value("limit", Value::Uint(u64::from(MAX_REPORTS) + 1))
        .fetch_all(client)
        .await
    }
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
