//! JSON twins of RTP streams and their intervals.

use super::json::{Ordered, WindowJson, endpoint, hex_id, known, loss_runs, milliseconds, rfc3339, shown};
use super::json_figures::{
    BudgetJson, BurstsJson, IpdvJson, LostOrLateJson, Mapdv2PartsJson, RemoteJson, bounds, density_pct, late_pct, real,
    reals, share_pct,
};
use auscult_core::units::{DelayHistogram, HISTOGRAM_VERSION, Ssrc, Timestamp};
use auscult_store::rows::{IntervalRow, StreamRow};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;
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
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamJson {
    pub id: String,
    /// Call-ID of its call, null when no call was seen.
    #[schema(required)]
    pub call_id: Option<String>,
    /// Id of its call.
    #[schema(required)]
    pub call: Option<String>,
    pub src: String,
    pub dst: String,
    pub ssrc: String,
    #[schema(required)]
    pub codec: Option<String>,
    #[schema(required)]
    pub clock_rate: Option<u32>,
    /// `sdp`, `static`, `inferred`, or `wire`: timestamps and arrivals refute the rate that signalling names.
    #[schema(required)]
    pub clock_source: Option<String>,
    /// The rate that signalling names, Hz, where the wire refutes it.
    #[schema(required)]
    pub clock_rate_signalled: Option<u32>,
    /// Most packets first.
    pub payload_types: Vec<u8>,
    /// Packets of each payload type.
    pub packets_by_payload_type: BTreeMap<u8, u64>,
    #[schema(required)]
    pub ptime_ms: Option<f64>,
    pub first_at: String,
    pub last_at: String,
    pub packets: u64,
    pub unique: u64,
    pub expected: u64,
    pub lost: u64,
    #[schema(required)]
    pub loss_pct: Option<f64>,
    /// Of the mirror and of the network.
    pub duplicates: u64,
    pub duplicates_probe: u64,
    pub duplicates_network: u64,
    pub reordered: u64,
    pub reorder_extent: u32,
    pub restarts: u32,
    pub strays: u64,
    pub sent_elsewhere: u64,
    /// The stream this one goes on from or repeats. It is not stored: `auscult analyze` alone has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = RelationJson)]
    pub relation: Option<Option<RelationJson>>,
    /// Number of runs of consecutive lost packets by their length; lengths that did not occur are absent.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub loss_runs: Ordered<u64>,
    pub longest_loss_run: u32,
    /// Null for rows stored before this was kept.
    #[schema(required)]
    pub bursts: Option<BurstsJson>,
    /// Null where no delay is known, and for rows stored before this was kept.
    #[schema(required)]
    pub bursts_lost_or_late: Option<LostOrLateJson>,
    /// Seconds of media with a packet lost, see [concealed seconds](/docs/metrics#concealed_seconds).
    #[schema(required)]
    pub concealed_seconds: Option<u64>,
    /// Those with more than 5 % of their packets lost.
    #[schema(required)]
    pub severely_concealed_seconds: Option<u64>,
    pub jitter_ms: JitterJson,
    pub delay_variation_ms: DelayVariationJson,
    pub ipdv_ms: IpdvJson,
    /// [MAPDV2](/docs/metrics#variation), G.1020.
    #[schema(required)]
    pub mapdv2_ms: Option<f64>,
    pub mapdv2_parts: Mapdv2PartsJson,
    /// Share of the packets too late for a fixed buffer of so many milliseconds, percent; null where no delay is known.
    /// See [late](/docs/metrics#late).
    #[schema(value_type = std::collections::BTreeMap<String, Option<f64>>)]
    pub late_pct: Ordered<Option<f64>>,
    /// Share a buffer that adapts between 20 and 200 ms would have discarded, percent, see
    /// [adaptive buffer](/docs/metrics#discarded_adaptive).
    #[schema(required)]
    pub discarded_adaptive_pct: Option<f64>,
    /// Mean size of that buffer; null where no delay is known, and for rows stored before this was kept.
    #[schema(required)]
    pub adaptive_buffer_ms: Option<f64>,
    #[schema(required)]
    pub base_movement: Option<BaseMovementJson>,
    #[schema(required)]
    pub max_gap_ms: Option<f64>,
    /// Wireshark's [maximum delta](/docs/metrics#max_delta) and skew.
    #[schema(required)]
    pub max_delta_ms: Option<f64>,
    #[schema(required)]
    pub max_skew_ms: Option<f64>,
    #[schema(required)]
    pub drift_ppm: Option<f64>,
    pub telephone_events: u64,
    pub comfort_noise: u64,
    #[schema(required)]
    pub digits: Option<u64>,
    #[schema(required)]
    pub talkspurts: Option<u64>,
    /// Media time not sent between talkspurts.
    #[schema(required)]
    pub silence_ms: Option<f64>,
    pub dscp: u8,
    pub dscp_changes: u32,
    /// Least and greatest time to live (IPv4) or hop limit (IPv6).
    pub ttl: [u8; 2],
    #[schema(required)]
    pub vlan: Option<u16>,
    #[schema(required)]
    pub tunnel: Option<String>,
    #[schema(required)]
    pub rtt_ms: Option<f64>,
    /// Null where the receiver sent no reports.
    #[schema(required)]
    pub remote: Option<RemoteJson>,
    #[schema(required)]
    pub r: Option<f64>,
    #[schema(required)]
    pub r_budget: Option<BudgetJson>,
    pub mos: MosJson,
    pub quality: QualityJson,
    /// `auscult analyze` has no labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, value_type = String)]
    pub probe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, value_type = String)]
    pub site: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, value_type = String)]
    pub trunk: Option<String>,
}

/// How a stream belongs to another.
#[derive(Debug, Serialize, ToSchema)]
pub struct RelationJson {
    /// `moved_from`, `relay_of`, `fork_of` or `ssrc_changed_from`.
    pub kind: &'static str,
    /// Id of the other stream.
    pub stream: String,
    /// Null unless the stream moved.
    #[schema(required)]
    pub lost_at_move: Option<u32>,
}

/// RFC 3550 interarrival [jitter](/docs/metrics#jitter).
#[derive(Debug, Serialize, ToSchema)]
pub struct JitterJson {
    #[schema(required)]
    pub last: Option<f64>,
    #[schema(required)]
    pub mean: Option<f64>,
    #[schema(required)]
    pub max: Option<f64>,
}

/// Delay above the drift-corrected base (RFC 5481 [PDV](/docs/metrics#pdv)). A percentile of 4294.967296 (2^32 ns, the top of
/// the histogram) reads: more than that. `max` is exact.
#[derive(Debug, Serialize, ToSchema)]
pub struct DelayVariationJson {
    #[schema(required)]
    pub p50: Option<f64>,
    #[schema(required)]
    pub p95: Option<f64>,
    #[schema(required)]
    pub p99: Option<f64>,
    #[schema(required)]
    pub p999: Option<f64>,
    #[schema(required)]
    pub max: Option<f64>,
}

/// MOS with all it takes to read it: [rating and MOS](/docs/metrics#rating-and-mos).
#[derive(Debug, Serialize, ToSchema)]
pub struct MosJson {
    #[schema(required)]
    pub lq: Option<f64>,
    #[schema(required)]
    pub cq: Option<f64>,
    /// `nb`, `wb` or `fb`.
    #[schema(required)]
    pub scale: Option<String>,
    #[schema(required)]
    pub worst_interval: Option<f64>,
    /// MOS of the worst minute's packets, see [worst minute](/docs/metrics#mos_worst_minute), and when that minute began.
    #[schema(required)]
    pub worst_minute: Option<f64>,
    #[schema(required)]
    pub worst_minute_at: Option<String>,
    /// `lq` if all of the loss is the network's, and without what the capture may have lost; null where it lost nothing. See
    /// [bounds](/docs/metrics#bounds).
    #[schema(required)]
    pub bounds: Option<[f64; 2]>,
    /// Recommendation followed: `G.107`, `G.107.1` or `G.107.2`.
    #[schema(required)]
    pub model: Option<String>,
    /// Why there is no MOS.
    #[schema(required)]
    pub reason_null: Option<String>,
    #[schema(required)]
    pub ie: Option<f64>,
    #[schema(required)]
    pub bpl: Option<f64>,
    #[schema(required)]
    pub burst_ratio: Option<f64>,
    #[schema(required)]
    pub effective_loss_pct: Option<f64>,
    #[schema(required)]
    pub codec_status: Option<String>,
    #[schema(required)]
    pub delay_source: Option<String>,
    /// Mouth to ear, as `cq` got it.
    #[schema(required)]
    pub delay_ms: Option<f64>,
    /// Jitter buffer whose discards count as lost: `adaptive` or `fixed`; null where no delay is known. And its size: the mean of
    /// the adaptive one.
    #[schema(required)]
    pub jitter_buffer: Option<&'static str>,
    #[schema(required)]
    pub jitter_buffer_ms: Option<u16>,
    /// G.107 does not vouch for the rating: a burst ratio above 2 with 2 % loss or more.
    #[schema(required)]
    pub beyond_model: Option<bool>,
}

/// How the base of the delays moved: [base movement](/docs/metrics#base_movement).
#[derive(Debug, Serialize, ToSchema)]
pub struct BaseMovementJson {
    pub rise_ms: f64,
    pub fall_ms: f64,
    pub steps: u32,
}

impl BaseMovementJson {
    fn new(rise_ms: Option<f32>, fall_ms: Option<f32>, steps: Option<u32>) -> Option<BaseMovementJson> {
        Some(BaseMovementJson { rise_ms: real(rise_ms?), fall_ms: real(fall_ms?), steps: steps? })
    }
}

fn shared_text<S: Serializer>(text: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(to)
}

/// Name of the jitter buffer of a row, by the size it is stored with.
fn jitter_buffer(size_ms: Option<u16>) -> Option<&'static str> {
    size_ms.map(|size| if size == 0 { "adaptive" } else { "fixed" })
}

/// Whose loss is whose, in packets: `capture`, `network` and `undecided` add up to those lost. See
/// [whose loss it is](/docs/metrics#whose-loss-it-is).
#[derive(Debug, Serialize, ToSchema)]
pub struct LossAttributionJson {
    /// Lost by the capture.
    pub capture: u64,
    /// Lost in the network.
    pub network: u64,
    /// Without evidence.
    pub undecided: u64,
    /// Packets by kind of evidence, the names of `loss_evidence`.
    pub evidence: BTreeMap<String, u64>,
}

impl LossAttributionJson {
    /// `None` for rows stored before this was kept.
    pub fn new(
        (capture, network, undecided): (Option<u64>, Option<u64>, Option<u64>),
        evidence: Vec<(String, u64)>,
    ) -> Option<LossAttributionJson> {
        let (capture, network, undecided) = (capture?, network?, undecided?);
        Some(LossAttributionJson { capture, network, undecided, evidence: evidence.into_iter().collect() })
    }
}

/// How far to trust the figures: [what these mean](/docs/metrics#how-far-to-trust-a-row).
#[derive(Debug, Serialize, ToSchema)]
pub struct QualityJson {
    /// Frames the probe missed in the intervals the row lies in.
    pub capture_drops: u64,
    /// Copies by the mirror, left out of every figure; of a call those of its RTP and RTCP.
    pub duplicates_removed: u64,
    pub one_sided: bool,
    pub snap_cut: bool,
    pub started_mid_call: bool,
    /// It was ended to make room in a full table of streams or calls.
    pub shed: bool,
    pub clock_steps: u32,
    /// Whose clock stamped the frames: `capture_file`, `kernel` or `adapter`; null for rows stored before this was kept.
    #[schema(required)]
    pub timestamp_source: Option<String>,
    pub timestamp_resolution_ns: u32,
    /// What is wrong with these times: `none`, `clumped` (frames of all senders come in clumps) or `coarse`; null where it is not
    /// known. See [the state of the capture](/docs/metrics#the-state-of-the-capture).
    #[schema(required)]
    pub timestamp_fault: Option<String>,
    /// A time may be wrong by so many milliseconds; from 4 on delay variation and late packets are not judged.
    #[schema(required)]
    pub timestamp_error_ms: Option<f64>,
    /// The capture sees one packet of so many; null where it sees all of them, as far as known.
    #[schema(required)]
    pub sampled_one_of: Option<f64>,
    #[schema(required)]
    pub loss_source: Option<String>,
    /// `capture_drops`, `receiver_lost_them`, `receiver_got_them`, `many_streams_at_once`, `both_directions_at_once`,
    /// `sampled_capture`; null without evidence. See [whose loss it is](/docs/metrics#whose-loss-it-is).
    #[schema(required)]
    pub loss_evidence: Option<String>,
    /// Null for rows stored before this was kept.
    #[schema(required)]
    pub loss_attribution: Option<LossAttributionJson>,
    /// Where `auscult analyze` measured this, the captures: delay and loss up to there, not beyond. Rows have `probe` and `site`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shared_text")]
    #[schema(value_type = String)]
    pub measured_at: Option<Arc<str>>,
}

/// One stream during one interval.
#[derive(Debug, Serialize, ToSchema)]
pub struct IntervalJson {
    pub start_at: String,
    pub length_ms: u32,
    pub packets: u32,
    pub unique: u32,
    pub expected: u32,
    pub lost: u32,
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub loss_runs: Ordered<u64>,
    pub longest_loss_run: u32,
    /// Bursts end at the borders of the interval.
    #[schema(required)]
    pub bursts: Option<BurstsJson>,
    /// Null where no delay is known, and for rows stored before this was kept.
    #[schema(required)]
    pub bursts_lost_or_late: Option<LostOrLateJson>,
    #[schema(required)]
    pub concealed_seconds: Option<u32>,
    #[schema(required)]
    pub severely_concealed_seconds: Option<u32>,
    pub reordered: u32,
    #[schema(required)]
    pub reorder_extent: Option<u32>,
    pub duplicates_probe: u32,
    pub duplicates_network: u32,
    pub restarts: u32,
    pub jitter_ms: JitterJson,
    pub delay_variation_ms: DelayVariationJson,
    pub ipdv_ms: IpdvJson,
    /// [MAPDV2](/docs/metrics#variation), G.1020.
    #[schema(required)]
    pub mapdv2_ms: Option<f64>,
    pub mapdv2_parts: Mapdv2PartsJson,
    /// Share of the packets too late for a fixed buffer of so many milliseconds, percent; null where no delay is known.
    /// See [late](/docs/metrics#late).
    #[schema(value_type = std::collections::BTreeMap<String, Option<f64>>)]
    pub late_pct: Ordered<Option<f64>>,
    /// Share a buffer that adapts between 20 and 200 ms would have discarded, percent, see
    /// [adaptive buffer](/docs/metrics#discarded_adaptive).
    #[schema(required)]
    pub discarded_adaptive_pct: Option<f64>,
    /// Mean size of that buffer; null where no delay is known, and for rows stored before this was kept.
    #[schema(required)]
    pub adaptive_buffer_ms: Option<f64>,
    #[schema(required)]
    pub base_movement: Option<BaseMovementJson>,
    #[schema(required)]
    pub max_gap_ms: Option<f64>,
    /// Wireshark's [maximum delta](/docs/metrics#max_delta) and skew.
    #[schema(required)]
    pub max_delta_ms: Option<f64>,
    #[schema(required)]
    pub max_skew_ms: Option<f64>,
    /// As known at the end of the interval; null where not known, see [drift](/docs/metrics#drift_ppm).
    #[schema(required)]
    pub drift_ppm: Option<f64>,
    #[schema(required)]
    pub digits: Option<u32>,
    #[schema(required)]
    pub talkspurts: Option<u32>,
    /// Media time not sent between talkspurts.
    #[schema(required)]
    pub silence_ms: Option<f64>,
    #[schema(required)]
    pub r: Option<f64>,
    #[schema(required)]
    pub r_budget: Option<BudgetJson>,
    #[schema(required)]
    pub mos_lq: Option<f64>,
    #[schema(required)]
    pub mos_cq: Option<f64>,
    #[schema(required)]
    pub mos_scale: Option<String>,
    #[schema(required)]
    pub mos_reason_null: Option<String>,
    /// As `bounds` of a stream's MOS.
    #[schema(required)]
    pub mos_bounds: Option<[f64; 2]>,
    #[schema(required)]
    pub mos_model: Option<String>,
    #[schema(required)]
    pub ie: Option<f64>,
    #[schema(required)]
    pub bpl: Option<f64>,
    #[schema(required)]
    pub burst_ratio: Option<f64>,
    #[schema(required)]
    pub effective_loss_pct: Option<f64>,
    #[schema(required)]
    pub codec_status: Option<String>,
    #[schema(required)]
    pub delay_source: Option<String>,
    /// Mouth to ear, as `mos_cq` got it.
    #[schema(required)]
    pub delay_ms: Option<f64>,
    #[schema(required)]
    pub jitter_buffer: Option<&'static str>,
    #[schema(required)]
    pub jitter_buffer_ms: Option<u16>,
    #[schema(required)]
    pub mos_beyond_model: Option<bool>,
    pub capture_drops: u64,
    pub one_sided: bool,
    pub snap_cut: bool,
    #[schema(required)]
    pub started_mid_call: Option<bool>,
    #[schema(required)]
    pub clock_steps: Option<u32>,
    /// As in `quality` of a stream.
    #[schema(required)]
    pub timestamp_source: Option<String>,
    #[schema(required)]
    pub timestamp_resolution_ns: Option<u32>,
    #[schema(required)]
    pub timestamp_fault: Option<String>,
    #[schema(required)]
    pub timestamp_error_ms: Option<f64>,
    #[schema(required)]
    pub sampled_one_of: Option<f64>,
    #[schema(required)]
    pub loss_source: Option<String>,
    #[schema(required)]
    pub loss_evidence: Option<String>,
    #[schema(required)]
    pub loss_attribution: Option<LossAttributionJson>,
}

impl From<StreamRow> for StreamJson {
    fn from(s: StreamRow) -> StreamJson {
        let delays_known = s.pdv.iter().map(|n| u64::from(*n)).sum();
        StreamJson {
            bursts: s.bursts.map(|count| BurstsJson {
                count,
                density_pct: density_pct(s.burst_lost, s.burst_packets),
                gap_density_pct: density_pct(s.gap_lost, s.gap_packets),
                duration_ms: reals(s.burst_duration_ms),
                gap_duration_ms: reals(s.gap_duration_ms),
                gap_duration_a2_ms: reals(s.gap_duration_a2_ms),
                burst_ratio: reals(s.burst_ratio_measured),
                markov_p: reals(s.markov_p),
                markov_q: reals(s.markov_q),
                mean_loss_run: reals(s.mean_loss_run),
                mean_loss_distance: reals(s.mean_loss_distance),
            }),
            bursts_lost_or_late: s.lost_late_buffer_ms.zip(s.lost_late_bursts).map(|(buffer_ms, count)| {
                LostOrLateJson::new(
                    buffer_ms,
                    BurstsJson {
                        count,
                        density_pct: density_pct(s.lost_late_burst_bad, s.lost_late_burst_packets),
                        gap_density_pct: density_pct(s.lost_late_gap_bad, s.lost_late_gap_packets),
                        duration_ms: reals(s.lost_late_burst_duration_ms),
                        gap_duration_ms: reals(s.lost_late_gap_duration_ms),
                        gap_duration_a2_ms: reals(s.lost_late_gap_duration_a2_ms),
                        burst_ratio: reals(s.lost_late_burst_ratio),
                        markov_p: None,
                        markov_q: None,
                        mean_loss_run: None,
                        mean_loss_distance: None,
                    },
                )
            }),
            concealed_seconds: s.concealed_seconds,
            severely_concealed_seconds: s.severely_concealed_seconds,
            ipdv_ms: IpdvJson { mean: reals(s.ipdv_mean_ms), max: reals(s.ipdv_max_ms), samples: s.ipdv_samples },
            mapdv2_ms: reals(s.mapdv2_ms),
            mapdv2_parts: Mapdv2PartsJson {
                above_ms: reals(s.mapdv2_above_ms),
                above_samples: s.mapdv2_above_samples,
                below_ms: reals(s.mapdv2_below_ms),
                below_samples: s.mapdv2_below_samples,
            },
            late_pct: late_pct(&s.late, delays_known),
            discarded_adaptive_pct: s.discarded_adaptive.and_then(|late| share_pct(late, delays_known)),
            adaptive_buffer_ms: reals(s.adaptive_buffer_ms),
            base_movement: BaseMovementJson::new(s.base_rise_ms, s.base_fall_ms, s.base_steps),
            max_delta_ms: reals(s.max_delta_ms),
            max_skew_ms: reals(s.max_skew_ms),
            telephone_events: s.telephone_events,
            comfort_noise: s.comfort_noise,
            digits: s.digits,
            talkspurts: s.talkspurts,
            silence_ms: s.silence_ms,
            remote: s.remote_reports.map(|reports| RemoteJson {
                reports,
                expected: s.remote_expected,
                lost: s.remote_lost,
                loss_pct: reals(s.remote_loss_pct),
                jitter_last_ms: reals(s.remote_jitter_last_ms),
                jitter_max_ms: reals(s.remote_jitter_max_ms),
                lost_before_probe: s.remote_lost_before_probe,
                lost_behind_probe: s.remote_lost_behind_probe,
                loss_side: known(s.remote_loss_side),
            }),
            r_budget: BudgetJson::new([s.r_clean_max, s.r_cost_codec, s.r_cost_loss, s.r_cost_late, s.r_cost_delay]),
            strays: s.strays,
            id: hex_id(s.stream_id),
            call_id: (s.call_uid != 0).then(|| shown(s.call_id)),
            call: (s.call_uid != 0).then(|| hex_id(s.call_uid)),
            src: endpoint(s.src_ip, s.src_port),
            dst: endpoint(s.dst_ip, s.dst_port),
            ssrc: Ssrc(s.ssrc).to_string(),
            codec: known(s.codec),
            clock_rate: s.clock_rate,
            clock_source: known(s.clock_source),
            clock_rate_signalled: s.clock_rate_signalled,
            payload_types: s.payload_types.iter().map(|(pt, _)| *pt).collect(),
            packets_by_payload_type: s.payload_types.into_iter().collect(),
            ptime_ms: reals(s.ptime_ms),
            first_at: rfc3339(s.first_at),
            last_at: rfc3339(s.last_at),
            packets: s.packets,
            unique: s.unique_packets,
            expected: s.expected,
            lost: s.lost,
            loss_pct: (s.expected > 0).then(|| 100.0 * s.lost as f64 / s.expected as f64),
            duplicates: s.duplicates_probe + s.duplicates_network,
            duplicates_probe: s.duplicates_probe,
            duplicates_network: s.duplicates_network,
            reordered: s.reordered,
            reorder_extent: s.reorder_extent,
            restarts: s.restarts,
            sent_elsewhere: s.sent_elsewhere,
            relation: None,
            loss_runs: loss_runs(s.loss_runs),
            longest_loss_run: s.longest_loss_run,
            jitter_ms: JitterJson {
                last: reals(s.jitter_last_ms),
                mean: reals(s.jitter_mean_ms),
                max: reals(s.jitter_max_ms),
            },
            delay_variation_ms: DelayVariationJson {
                p50: reals(s.pdv_p50_ms),
                p95: reals(s.pdv_p95_ms),
                p99: reals(s.pdv_p99_ms),
                p999: reals(s.pdv_p999_ms),
                max: reals(s.pdv_max_ms),
            },
            max_gap_ms: reals(s.max_gap_ms),
            drift_ppm: reals(s.drift_ppm),
            dscp: s.dscp,
            dscp_changes: s.dscp_changes,
            ttl: [s.ttl_min, s.ttl_max],
            vlan: (s.vlan != 0).then_some(s.vlan),
            tunnel: known(s.tunnel),
            rtt_ms: reals(s.rtt_ms),
            r: reals(s.r),
            mos: MosJson {
                lq: reals(s.mos_lq),
                cq: reals(s.mos_cq),
                scale: known(s.mos_scale),
                worst_interval: reals(s.mos_worst_interval),
                worst_minute: reals(s.mos_worst_minute),
                worst_minute_at: s.mos_worst_minute_at.map(|at| Timestamp(at).to_rfc3339()),
                bounds: bounds(s.mos_low, s.mos_high),
                model: known(s.mos_model),
                delay_ms: reals(s.mos_delay_ms),
                jitter_buffer: jitter_buffer(s.lost_late_buffer_ms),
                jitter_buffer_ms: s.jitter_buffer_ms,
                beyond_model: s.mos_beyond_model,
                reason_null: known(s.mos_null_reason),
                ie: reals(s.ie),
                bpl: reals(s.bpl),
                burst_ratio: reals(s.burst_ratio),
                effective_loss_pct: reals(s.effective_loss_pct),
                codec_status: known(s.codec_status),
                delay_source: known(s.delay_source),
            },
            quality: QualityJson {
                capture_drops: s.capture_drops,
                duplicates_removed: s.duplicates_probe,
                one_sided: s.one_sided,
                snap_cut: s.snap_cut,
                started_mid_call: s.started_mid_call,
                shed: s.shed,
                clock_steps: s.clock_steps,
                timestamp_source: known(s.timestamp_source),
                timestamp_resolution_ns: s.timestamp_resolution_ns,
                timestamp_fault: known(s.timestamp_fault),
                timestamp_error_ms: reals(s.timestamp_error_ms),
                sampled_one_of: reals(s.sampled_one_of),
                loss_source: known(s.loss_source),
                loss_evidence: known(s.loss_evidence),
                loss_attribution: LossAttributionJson::new(
                    (s.capture_lost, s.network_lost, s.undecided_lost),
                    s.lost_by_evidence,
                ),
                measured_at: None,
            },
            probe: Some(s.probe),
            site: Some(s.site),
            trunk: Some(s.trunk),
        }
    }
}

impl IntervalJson {
    /// `ptime_ms`: packet time of the stream.
    pub fn new(i: IntervalRow, ptime_ms: Option<f32>) -> IntervalJson {
        // Mean length of so many packets in so many periods.
        let length = |packets: Option<u32>, periods: Option<u32>| {
            let (packets, periods) = (packets? as f32, periods? as f32);
            Some(if periods > 0.0 { real(packets * ptime_ms? / periods) } else { 0.0 })
        };
        let delays_known = i.pdv.iter().map(|n| u64::from(*n)).sum();
        // Bounds of another version would be read back wrong.
        let pdv = if i.histogram_version == HISTOGRAM_VERSION { i.pdv } else { Vec::new() };
        let pdv = DelayHistogram::from(pdv);
        // A bucket is read back as its middle, which may lie above the largest value seen.
        let quantile =
            |q: f64| milliseconds(pdv.quantile(q)).map(|ms| real(i.pdv_max_ms.map_or(ms, |max| ms.min(max.max(0.0)))));
        IntervalJson {
            loss_runs: loss_runs(i.loss_runs),
            bursts: i.bursts.map(|count| BurstsJson {
                count: u64::from(count),
                density_pct: density_pct(i.burst_lost, i.burst_packets),
                gap_density_pct: density_pct(i.gap_lost, i.gap_packets),
                duration_ms: length(i.burst_packets, i.bursts),
                gap_duration_ms: length(i.gap_packets, i.gap_periods),
                gap_duration_a2_ms: length(i.gap_packets, Some(count.max(1))),
                burst_ratio: reals(i.burst_ratio_measured),
                markov_p: reals(i.markov_p),
                markov_q: reals(i.markov_q),
                mean_loss_run: reals(i.mean_loss_run),
                mean_loss_distance: reals(i.mean_loss_distance),
            }),
            bursts_lost_or_late: i.lost_late_buffer_ms.zip(i.lost_late_bursts).map(|(buffer_ms, count)| {
                LostOrLateJson::new(
                    buffer_ms,
                    BurstsJson {
                        count: u64::from(count),
                        density_pct: density_pct(i.lost_late_burst_bad, i.lost_late_burst_packets),
                        gap_density_pct: density_pct(i.lost_late_gap_bad, i.lost_late_gap_packets),
                        duration_ms: length(i.lost_late_burst_packets, i.lost_late_bursts),
                        gap_duration_ms: length(i.lost_late_gap_packets, i.lost_late_gap_periods),
                        gap_duration_a2_ms: length(i.lost_late_gap_packets, Some(count.max(1))),
                        burst_ratio: reals(i.lost_late_burst_ratio),
                        markov_p: None,
                        markov_q: None,
                        mean_loss_run: None,
                        mean_loss_distance: None,
                    },
                )
            }),
            concealed_seconds: i.concealed_seconds,
            severely_concealed_seconds: i.severely_concealed_seconds,
            ipdv_ms: IpdvJson {
                mean: reals(i.ipdv_mean_ms),
                max: reals(i.ipdv_max_ms),
                samples: i.ipdv_samples.map(u64::from),
            },
            mapdv2_ms: reals(i.mapdv2_ms),
            mapdv2_parts: Mapdv2PartsJson {
                above_ms: reals(i.mapdv2_above_ms),
                above_samples: i.mapdv2_above_samples.map(u64::from),
                below_ms: reals(i.mapdv2_below_ms),
                below_samples: i.mapdv2_below_samples.map(u64::from),
            },
            late_pct: late_pct(&i.late, delays_known),
            discarded_adaptive_pct: i.discarded_adaptive.and_then(|late| share_pct(u64::from(late), delays_known)),
            adaptive_buffer_ms: reals(i.adaptive_buffer_ms),
            base_movement: BaseMovementJson::new(i.base_rise_ms, i.base_fall_ms, i.base_steps),
            max_delta_ms: reals(i.max_delta_ms),
            max_skew_ms: reals(i.max_skew_ms),
            drift_ppm: reals(i.drift_ppm),
            digits: i.digits,
            talkspurts: i.talkspurts,
            silence_ms: i.silence_ms,
            r_budget: BudgetJson::new([i.r_clean_max, i.r_cost_codec, i.r_cost_loss, i.r_cost_late, i.r_cost_delay]),
            mos_bounds: bounds(i.mos_low, i.mos_high),
            mos_model: known(i.mos_model),
            ie: reals(i.ie),
            bpl: reals(i.bpl),
            burst_ratio: reals(i.burst_ratio),
            effective_loss_pct: reals(i.effective_loss_pct),
            codec_status: known(i.codec_status),
            delay_source: known(i.delay_source),
            delay_ms: reals(i.mos_delay_ms),
            jitter_buffer: jitter_buffer(i.lost_late_buffer_ms),
            jitter_buffer_ms: i.jitter_buffer_ms,
            mos_beyond_model: i.mos_beyond_model,
            one_sided: i.one_sided,
            snap_cut: i.snap_cut,
            started_mid_call: i.started_mid_call,
            clock_steps: i.clock_steps,
            timestamp_source: known(i.timestamp_source),
            timestamp_resolution_ns: i.timestamp_resolution_ns,
            timestamp_fault: known(i.timestamp_fault),
            timestamp_error_ms: reals(i.timestamp_error_ms),
            sampled_one_of: reals(i.sampled_one_of),
            loss_evidence: known(i.loss_evidence),
            loss_attribution: LossAttributionJson::new(
                (i.capture_lost, i.network_lost, i.undecided_lost),
                i.lost_by_evidence,
            ),
            start_at: Timestamp::from_secs(i64::from(i.start_at)).to_rfc3339(),
            length_ms: i.length_ms,
            packets: i.packets,
            unique: i.unique_packets,
            expected: i.expected,
            lost: i.lost,
            longest_loss_run: i.longest_loss_run,
            reordered: i.reordered,
            reorder_extent: i.reorder_extent,
            duplicates_probe: i.duplicates_probe,
            duplicates_network: i.duplicates_network,
            restarts: i.restarts,
            jitter_ms: JitterJson {
                last: reals(i.jitter_last_ms),
                mean: reals(i.jitter_mean_ms),
                max: reals(i.jitter_max_ms),
            },
            delay_variation_ms: DelayVariationJson {
                p50: quantile(0.5),
                p95: quantile(0.95),
                p99: quantile(0.99),
                p999: quantile(0.999),
                max: reals(i.pdv_max_ms),
            },
            max_gap_ms: reals(i.max_gap_ms),
            r: reals(i.r),
            mos_lq: reals(i.mos_lq),
            mos_cq: reals(i.mos_cq),
            mos_scale: known(i.mos_scale),
            mos_reason_null: known(i.mos_null_reason),
            capture_drops: i.capture_drops,
            loss_source: known(i.loss_source),
        }
    }
}
