//! JSON twins of RTP streams and their intervals.

use super::json::{Ordered, WindowJson, endpoint, hex_id, known, loss_runs, milliseconds, rfc3339};
use crate::model::DISCARD_BUFFERS_MS;
use crate::store::query::{IntervalRow, StreamRow};
use crate::units::{DelayHistogram, HISTOGRAM_VERSION, Ssrc, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `/streams`.
#[derive(Serialize, ToSchema)]
pub struct StreamsJson {
    pub window: WindowJson,
    pub streams: Vec<StreamJson>,
    /// Null after the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// One RTP stream: one direction, one SSRC.
#[derive(Serialize, ToSchema)]
pub struct StreamJson {
    id: String,
    call_id: String,
    /// Id of its call, null when no call was seen.
    #[schema(required)]
    call: Option<String>,
    src: String,
    dst: String,
    ssrc: String,
    #[schema(required)]
    codec: Option<String>,
    #[schema(required)]
    clock_rate: Option<u32>,
    /// `sdp`, `static` or `inferred`.
    #[schema(required)]
    clock_source: Option<String>,
    payload_types: Vec<PayloadTypeJson>,
    #[schema(required)]
    ptime_ms: Option<f32>,
    first_at: String,
    last_at: String,
    packets: u64,
    unique: u64,
    expected: u64,
    lost: u64,
    #[schema(required)]
    loss_pct: Option<f64>,
    duplicates_probe: u64,
    duplicates_network: u64,
    reordered: u64,
    reorder_extent: u32,
    restarts: u32,
    sent_elsewhere: u64,
    /// Number of runs of consecutive lost packets by their length; lengths that did not occur are absent.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    loss_runs: Ordered<u64>,
    longest_loss_run: u32,
    jitter_ms: JitterJson,
    delay_variation_ms: DelayVariationJson,
    /// Share of received packets too late for a fixed buffer of so many milliseconds, percent.
    #[schema(value_type = std::collections::BTreeMap<String, Option<f64>>)]
    late_pct: Ordered<Option<f64>>,
    #[schema(required)]
    max_gap_ms: Option<f32>,
    #[schema(required)]
    drift_ppm: Option<f32>,
    dscp: u8,
    dscp_changes: u32,
    ttl_min: u8,
    ttl_max: u8,
    #[schema(required)]
    vlan: Option<u16>,
    #[schema(required)]
    tunnel: Option<String>,
    #[schema(required)]
    rtt_ms: Option<f32>,
    #[schema(required)]
    r: Option<f32>,
    mos: MosJson,
    quality: QualityJson,
    probe: String,
    site: String,
    trunk: String,
}

#[derive(Serialize, ToSchema)]
pub struct PayloadTypeJson {
    pt: u8,
    packets: u64,
}

/// RFC 3550 interarrival jitter.
#[derive(Serialize, ToSchema)]
pub struct JitterJson {
    #[schema(required)]
    last: Option<f32>,
    #[schema(required)]
    mean: Option<f32>,
    #[schema(required)]
    max: Option<f32>,
}

/// Delay above the drift-corrected base (RFC 5481 PDV).
#[derive(Serialize, ToSchema)]
pub struct DelayVariationJson {
    #[schema(required)]
    p50: Option<f32>,
    #[schema(required)]
    p95: Option<f32>,
    #[schema(required)]
    p99: Option<f32>,
    #[schema(required)]
    max: Option<f32>,
}

/// MOS with all it takes to read it.
#[derive(Serialize, ToSchema)]
pub struct MosJson {
    #[schema(required)]
    lq: Option<f32>,
    #[schema(required)]
    cq: Option<f32>,
    /// `nb`, `wb` or `fb`.
    #[schema(required)]
    scale: Option<String>,
    #[schema(required)]
    worst_interval: Option<f32>,
    /// Why there is no MOS.
    #[schema(required)]
    null_reason: Option<String>,
    #[schema(required)]
    ie: Option<f32>,
    #[schema(required)]
    bpl: Option<f32>,
    #[schema(required)]
    burst_ratio: Option<f32>,
    #[schema(required)]
    effective_loss_pct: Option<f32>,
    #[schema(required)]
    codec_status: Option<String>,
    #[schema(required)]
    delay_source: Option<String>,
}

/// How far to trust the figures.
#[derive(Serialize, ToSchema)]
pub struct QualityJson {
    capture_drops: u64,
    /// Copies by the mirror, left out of every figure.
    duplicates_removed: u64,
    one_sided: bool,
    snap_cut: bool,
    started_mid_call: bool,
    clock_steps: u32,
    timestamp_resolution_ns: u32,
    #[schema(required)]
    loss_source: Option<String>,
}

/// One stream during one interval.
#[derive(Serialize, ToSchema)]
pub struct IntervalJson {
    start_at: String,
    length_ms: u32,
    packets: u32,
    unique: u32,
    expected: u32,
    lost: u32,
    longest_loss_run: u32,
    reordered: u32,
    duplicates_probe: u32,
    duplicates_network: u32,
    restarts: u32,
    jitter_ms: JitterJson,
    delay_variation_ms: DelayVariationJson,
    #[schema(required)]
    max_gap_ms: Option<f32>,
    #[schema(required)]
    r: Option<f32>,
    #[schema(required)]
    mos_lq: Option<f32>,
    #[schema(required)]
    mos_cq: Option<f32>,
    #[schema(required)]
    mos_scale: Option<String>,
    #[schema(required)]
    mos_null_reason: Option<String>,
    capture_drops: u64,
    #[schema(required)]
    loss_source: Option<String>,
}

impl From<StreamRow> for StreamJson {
    fn from(s: StreamRow) -> StreamJson {
        let received = s.unique_packets;
        let share =
            |late: Option<&u64>| late.filter(|_| received > 0).map(|late| 100.0 * *late as f64 / received as f64);
        let late = DISCARD_BUFFERS_MS.iter().enumerate().map(|(i, size)| (size.to_string(), share(s.late.get(i))));
        StreamJson {
            late_pct: Ordered(late.collect()),
            id: hex_id(s.stream_id),
            call_id: s.call_id,
            call: (s.call_uid != 0).then(|| hex_id(s.call_uid)),
            src: endpoint(s.src_ip, s.src_port),
            dst: endpoint(s.dst_ip, s.dst_port),
            ssrc: Ssrc(s.ssrc).to_string(),
            codec: known(s.codec),
            clock_rate: s.clock_rate,
            clock_source: known(s.clock_source),
            payload_types: s.payload_types.into_iter().map(|(pt, packets)| PayloadTypeJson { pt, packets }).collect(),
            ptime_ms: s.ptime_ms,
            first_at: rfc3339(s.first_at),
            last_at: rfc3339(s.last_at),
            packets: s.packets,
            unique: s.unique_packets,
            expected: s.expected,
            lost: s.lost,
            loss_pct: (s.expected > 0).then(|| 100.0 * s.lost as f64 / s.expected as f64),
            duplicates_probe: s.duplicates_probe,
            duplicates_network: s.duplicates_network,
            reordered: s.reordered,
            reorder_extent: s.reorder_extent,
            restarts: s.restarts,
            sent_elsewhere: s.sent_elsewhere,
            loss_runs: loss_runs(s.loss_runs),
            longest_loss_run: s.longest_loss_run,
            jitter_ms: JitterJson { last: s.jitter_last_ms, mean: s.jitter_mean_ms, max: s.jitter_max_ms },
            delay_variation_ms: DelayVariationJson {
                p50: s.pdv_p50_ms,
                p95: s.pdv_p95_ms,
                p99: s.pdv_p99_ms,
                max: s.pdv_max_ms,
            },
            max_gap_ms: s.max_gap_ms,
            drift_ppm: s.drift_ppm,
            dscp: s.dscp,
            dscp_changes: s.dscp_changes,
            ttl_min: s.ttl_min,
            ttl_max: s.ttl_max,
            vlan: (s.vlan != 0).then_some(s.vlan),
            tunnel: known(s.tunnel),
            rtt_ms: s.rtt_ms,
            r: s.r,
            mos: MosJson {
                lq: s.mos_lq,
                cq: s.mos_cq,
                scale: known(s.mos_scale),
                worst_interval: s.mos_worst_interval,
                null_reason: known(s.mos_null_reason),
                ie: s.ie,
                bpl: s.bpl,
                burst_ratio: s.burst_ratio,
                effective_loss_pct: s.effective_loss_pct,
                codec_status: known(s.codec_status),
                delay_source: known(s.delay_source),
            },
            quality: QualityJson {
                capture_drops: s.capture_drops,
                duplicates_removed: s.duplicates_probe,
                one_sided: s.one_sided,
                snap_cut: s.snap_cut,
                started_mid_call: s.started_mid_call,
                clock_steps: s.clock_steps,
                timestamp_resolution_ns: s.timestamp_resolution_ns,
                loss_source: known(s.loss_source),
            },
            probe: s.probe,
            site: s.site,
            trunk: s.trunk,
        }
    }
}

impl From<IntervalRow> for IntervalJson {
    fn from(i: IntervalRow) -> IntervalJson {
        // Bounds of another version would be read back wrong.
        let pdv = if i.histogram_version == HISTOGRAM_VERSION { i.pdv } else { Vec::new() };
        let pdv = DelayHistogram::from(pdv);
        IntervalJson {
            start_at: Timestamp::from_secs(i64::from(i.start_s)).to_rfc3339(),
            length_ms: i.length_ms,
            packets: i.packets,
            unique: i.unique_packets,
            expected: i.expected,
            lost: i.lost,
            longest_loss_run: i.longest_loss_run,
            reordered: i.reordered,
            duplicates_probe: i.duplicates_probe,
            duplicates_network: i.duplicates_network,
            restarts: i.restarts,
            jitter_ms: JitterJson { last: i.jitter_last_ms, mean: i.jitter_mean_ms, max: i.jitter_max_ms },
            delay_variation_ms: DelayVariationJson {
                p50: milliseconds(pdv.quantile(0.5)),
                p95: milliseconds(pdv.quantile(0.95)),
                p99: milliseconds(pdv.quantile(0.99)),
                max: i.pdv_max_ms,
            },
            max_gap_ms: i.max_gap_ms,
            r: i.r,
            mos_lq: i.mos_lq,
            mos_cq: i.mos_cq,
            mos_scale: known(i.mos_scale),
            mos_null_reason: known(i.mos_null_reason),
            capture_drops: i.capture_drops,
            loss_source: known(i.loss_source),
        }
    }
}
