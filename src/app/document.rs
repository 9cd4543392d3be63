//! The JSON document of `auscult analyze`: serialisable twins of the model. Its schema is `schemas/analyze.schema.json`.
//!
//! The twin of a call or stream is made when its turn comes to be written, and dropped after it.

use super::analysis_results::{AnalysisResults, CallList, Streams};
use auscult_core::model::burst::BurstSummary;
use auscult_core::model::{
    CallClass, CallRecord, CaptureCondition, DISCARD_BUFFERS_MS, Diagnosis, LossEvidence, LossRuns, OutcomeCounts,
    Quality, RPoints, RatedMos, Relation, RemoteView, RoundTrips, Scale, StreamId, StreamReport, endpoint_text,
};
use auscult_core::units::{DelayHistogram, Nanos, Timestamp};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything found in the files.
#[derive(Serialize)]
pub struct Document {
    pub frames: u64,
    /// Frames by what became of them; their sum is `frames`.
    pub outcomes: BTreeMap<String, u64>,
    /// A file ended inside a record: everything before it was used.
    pub truncated: bool,
    pub truncations: Vec<String>,
    pub capture: CaptureDocument,
    pub calls: Calls,
    pub streams: StreamList,
}

/// The state of the capture: counts over the files, and the worst of each state.
#[derive(Debug, Serialize)]
pub struct CaptureDocument {
    /// What a reader of the figures has to know, gravest first.
    pub findings: Vec<FindingDocument>,
    /// Share of all packets that the capture lost one by one, between two bounds; null where it cannot be told.
    pub loss_floor_low_pct: Option<f64>,
    pub loss_floor_high_pct: Option<f64>,
    pub blackout_ms: f64,
    /// `none`, `clumped`, `coarse`; null where it cannot be told.
    pub timestamp_fault: Option<&'static str>,
    pub timestamp_error_ms: Option<f64>,
    pub timestamp_granularity_ns: Option<u32>,
    pub clock_steps: u32,
    /// In the interval with most streams: share of them of which no stream the other way was seen.
    pub one_sided_pct: Option<f64>,
    pub mirror_copies: u64,
    pub sampled_one_of: Option<f32>,
}

#[derive(Debug, Serialize)]
pub struct FindingDocument {
    pub code: &'static str,
    /// What the capture does, without a subject.
    pub text: String,
}

impl CaptureDocument {
    fn new(c: &CaptureCondition) -> CaptureDocument {
        let pct = |share: f32| round(100.0 * f64::from(share), 4);
        CaptureDocument {
            findings: c.findings().into_iter().map(|(code, text)| FindingDocument { code, text }).collect(),
            loss_floor_low_pct: c.loss_floor.map(|floor| pct(floor.low)),
            loss_floor_high_pct: c.loss_floor.map(|floor| pct(floor.high)),
            blackout_ms: ms(c.blackout),
            timestamp_fault: c.timestamps.map(|check| check.fault.name()),
            timestamp_error_ms: c.timestamps.map(|check| ms(check.error)),
            timestamp_granularity_ns: c.timestamp_granularity_ns,
            clock_steps: c.clock_steps,
            one_sided_pct: (c.streams > 0)
                .then(|| round(100.0 * f64::from(c.one_sided_streams) / f64::from(c.streams), 2)),
            mirror_copies: c.copies,
            sampled_one_of: c.sampled_one_of,
        }
    }
}

/// Calls in order of time and identity.
pub struct Calls {
    records: CallList,
    measured_at: Arc<str>,
}

/// Streams in order of time and identity.
pub struct StreamList {
    kept: Streams,
    measured_at: Arc<str>,
}

#[derive(Debug, Serialize)]
pub struct CallDocument {
    pub id: String,
    pub call_id: String,
    pub from: String,
    pub to: String,
    pub state: &'static str,
    /// Null while no final answer was seen.
    pub final_code: Option<u16>,
    pub final_reason: String,
    pub invite_at: Option<String>,
    pub pdd_ms: Option<f64>,
    pub setup_ms: Option<f64>,
    pub duration_ms: Option<f64>,
    pub sdd_ms: Option<f64>,
    pub released_by: Option<&'static str>,
    pub transport: &'static str,
    pub reinvites: u32,
    pub auth_rounds: u32,
    /// `id` of the first attempt, when this INVITE answers its challenge but came too late to be one call with it.
    pub retry_of: Option<String>,
    pub retransmissions: u32,
    pub sip_rtt_ms: SipRttDocument,
    pub started_mid_call: bool,
    /// Ended to make room in a full table.
    pub shed: bool,
    pub directions_seen: u8,
    /// How good the call was: good, fair, poor, failed, not_answered or unrated.
    #[serde(serialize_with = "by_name")]
    pub class: CallClass,
    pub mos_worst: Option<f64>,
    pub mos_scale: Option<&'static str>,
    pub mos_worst_interval: Option<RatedDocument>,
    pub mos_worst_minute: Option<RatedDocument>,
    pub mos_worst_minute_at: Option<String>,
    pub stream_ids: Vec<String>,
    pub diagnoses: Vec<Diagnosis>,
    pub quality: QualityDocument,
}

#[derive(Debug, Serialize)]
pub struct SipRttDocument {
    pub toward_caller: Option<RoundTripsDocument>,
    pub toward_callee: Option<RoundTripsDocument>,
}

#[derive(Debug, Serialize)]
pub struct RoundTripsDocument {
    pub samples: u32,
    pub min: f64,
    pub max: f64,
}

#[derive(Debug, Serialize)]
pub struct RelationDocument {
    pub kind: &'static str,
    pub stream: String,
    /// Null unless the stream moved.
    pub lost_at_move: Option<u32>,
}

#[derive(Debug, Serialize)]
pub struct StreamDocument {
    pub id: String,
    pub call_id: Option<String>,
    pub src: String,
    pub dst: String,
    pub ssrc: String,
    /// Null when neither signalling nor a static payload type names it.
    pub codec: Option<String>,
    pub clock_rate: Option<u32>,
    pub clock_source: Option<&'static str>,
    /// The rate that signalling names, where the wire refutes it.
    pub clock_rate_signalled: Option<u32>,
    pub payload_types: Vec<u8>,
    pub ptime_ms: Option<f64>,
    pub first_at: String,
    pub last_at: String,
    pub packets: u64,
    pub unique: u64,
    pub expected: u64,
    pub lost: u64,
    pub loss_pct: Option<f64>,
    pub duplicates: u64,
    pub duplicates_probe: u64,
    pub duplicates_network: u64,
    pub reordered: u64,
    pub reorder_extent: u32,
    pub restarts: u32,
    pub strays: u64,
    pub sent_elsewhere: u64,
    /// The stream this one goes on from or repeats.
    pub relation: Option<RelationDocument>,
    pub loss_runs: BTreeMap<String, u32>,
    pub longest_loss_run: u32,
    pub bursts: BurstDocument,
    /// Null where no delay is known.
    pub bursts_lost_or_late: Option<LostOrLateDocument>,
    /// Seconds of media with any packet lost, and with more than 5 % lost.
    pub concealed_seconds: u64,
    pub severely_concealed_seconds: u64,
    pub jitter_ms: JitterDocument,
    pub delay_variation_ms: DelayVariationDocument,
    /// Difference of delay between packets that follow each other, without sign.
    pub ipdv_ms: IpdvDocument,
    pub mapdv2_ms: Option<f64>,
    /// What it is the sum of: mean deviation on each side of the running mean.
    pub mapdv2_parts: Mapdv2Document,
    /// Share too late for a fixed jitter buffer of so many milliseconds, percent.
    #[serde(serialize_with = "by_buffer")]
    pub late_pct: [Option<f64>; DISCARD_BUFFERS_MS.len()],
    /// Share an adaptive jitter buffer of 20 to 200 ms would have discarded, percent.
    pub discarded_adaptive_pct: Option<f64>,
    /// Mean size of that buffer.
    pub adaptive_buffer_ms: Option<f64>,
    /// How the base of the delays moved; null where no delay is known.
    pub base_movement: Option<BaseMovementDocument>,
    pub max_gap_ms: f64,
    /// Wireshark's maximum delta and skew.
    pub max_delta_ms: f64,
    pub max_skew_ms: f64,
    pub drift_ppm: Option<f64>,
    pub telephone_events: u64,
    pub digits: u64,
    pub comfort_noise: u64,
    pub talkspurts: u64,
    /// Media time not sent between talkspurts.
    pub silence_ms: f64,
    pub dscp: u8,
    pub ttl: [u8; 2],
    pub vlan: Option<u16>,
    pub tunnel: Option<&'static str>,
    pub rtt_ms: Option<f64>,
    /// What the receiver reports, beside what the probe saw over the same time.
    pub remote: Option<RemoteDocument>,
    /// Rating factor on the scale of `mos`.
    pub r: Option<f64>,
    /// What the distance from the clean rating is made of.
    pub r_budget: Option<BudgetDocument>,
    pub mos: MosDocument,
    pub quality: QualityDocument,
}

#[derive(Debug, Serialize)]
pub struct JitterDocument {
    pub last: Option<f64>,
    pub mean: Option<f64>,
    pub max: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct DelayVariationDocument {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct IpdvDocument {
    pub mean: Option<f64>,
    pub max: Option<f64>,
    pub samples: u64,
}

#[derive(Debug, Serialize)]
pub struct Mapdv2Document {
    pub above_ms: Option<f64>,
    pub above_samples: u64,
    pub below_ms: Option<f64>,
    pub below_samples: u64,
}

/// Lost packets by RFC 3611 section 4.7.2, Gmin 16. Durations are null where the packet time is unknown.
#[derive(Debug, Serialize)]
pub struct BurstDocument {
    pub count: u64,
    /// Lost share of the packets inside bursts, and outside, percent.
    pub density_pct: f64,
    pub gap_density_pct: f64,
    /// Mean, first to last lost packet.
    pub duration_ms: Option<f64>,
    /// Mean stretch outside bursts: the text of the RFC.
    pub gap_duration_ms: Option<f64>,
    /// All time outside bursts by the number of bursts: the RFC's example and appendix A.2.
    pub gap_duration_a2_ms: Option<f64>,
    /// G.107; 1 is random loss.
    pub burst_ratio: f64,
    /// P(lost | the one before came) and P(came | the one before was lost).
    pub markov_p: Option<f64>,
    pub markov_q: Option<f64>,
    pub mean_loss_run: Option<f64>,
    /// Numbers from one lost packet to the next (RFC 3357).
    pub mean_loss_distance: Option<f64>,
}

/// The same of packets lost or too late for one fixed jitter buffer.
#[derive(Debug, Serialize)]
pub struct LostOrLateDocument {
    /// Null for the adaptive buffer.
    pub buffer_ms: Option<u16>,
    #[serde(flatten)]
    pub bursts: BurstDocument,
}

/// Sums of moves of at least 10 ms, and the number of those of at least 20 ms within a second.
#[derive(Debug, Serialize)]
pub struct BaseMovementDocument {
    pub rise_ms: f64,
    pub fall_ms: f64,
    pub steps: u32,
}

#[derive(Debug, Serialize)]
pub struct MosDocument {
    pub lq: Option<f64>,
    pub cq: Option<f64>,
    pub scale: Option<&'static str>,
    pub worst_interval: Option<f64>,
    /// MOS of the worst minute's packets, and when that minute began.
    pub worst_minute: Option<f64>,
    pub worst_minute_at: Option<String>,
    /// If all of the loss is the network's, and without what the capture may have lost; null where it lost nothing.
    pub bounds: Option<[f64; 2]>,
    /// Recommendation followed.
    pub model: Option<&'static str>,
    pub ie: Option<f64>,
    pub bpl: Option<f64>,
    pub burst_ratio: Option<f64>,
    pub effective_loss_pct: Option<f64>,
    pub codec_status: Option<&'static str>,
    pub delay_source: Option<&'static str>,
    /// Mouth to ear, as `cq` got it.
    pub delay_ms: Option<f64>,
    /// Jitter buffer whose discards count as lost, `adaptive` or `fixed`, and its size: the mean of the adaptive one.
    pub jitter_buffer: Option<&'static str>,
    pub jitter_buffer_ms: Option<u16>,
    /// G.107 does not vouch for the rating: a burst ratio above 2 with 2 % loss or more.
    pub beyond_model: Option<bool>,
    /// Why `lq` is null.
    pub reason_null: Option<&'static str>,
}

/// By RTCP, from the first report to the last.
#[derive(Debug, Serialize)]
pub struct RemoteDocument {
    pub reports: u32,
    pub expected: u64,
    pub lost: i64,
    pub loss_pct: f64,
    pub jitter_last_ms: Option<f64>,
    pub jitter_max_ms: Option<f64>,
    pub lost_before_probe: u64,
    pub lost_behind_probe: i64,
    pub loss_side: &'static str,
}

/// A listening MOS and its scale.
#[derive(Debug, Serialize)]
pub struct RatedDocument {
    pub lq: f64,
    pub scale: &'static str,
}

/// Points of R on the scale of the rating.
#[derive(Debug, Serialize)]
pub struct BudgetDocument {
    pub clean_max: f64,
    pub codec: f64,
    pub loss: f64,
    pub late: f64,
    pub delay: f64,
}

/// Whose loss is whose, in packets.
#[derive(Debug, Serialize)]
pub struct LossAttributionDocument {
    pub capture: u64,
    pub network: u64,
    pub undecided: u64,
    /// By kind of evidence.
    pub evidence: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
pub struct QualityDocument {
    pub capture_drops: u64,
    pub duplicates_removed: u64,
    pub one_sided: bool,
    pub snap_cut: bool,
    pub started_mid_call: bool,
    /// Ended to make room in a full table.
    pub shed: bool,
    pub clock_steps: u32,
    pub timestamp_source: &'static str,
    pub timestamp_resolution_ns: u32,
    /// `none`, `clumped`, `coarse`; null where it cannot be told.
    pub timestamp_fault: Option<&'static str>,
    pub timestamp_error_ms: Option<f64>,
    pub sampled_one_of: Option<f32>,
    pub loss_source: &'static str,
    /// The strongest evidence for it; null where there is none.
    pub loss_evidence: Option<&'static str>,
    pub loss_attribution: LossAttributionDocument,
    /// Where this was measured: delay and loss up to here, not beyond.
    #[serde(serialize_with = "shared")]
    pub measured_at: Arc<str>,
}

impl Document {
    /// Sorts calls and streams by time and identity, so that the same frames always give the same bytes.
    pub fn new(
        frames: u64,
        outcomes: &OutcomeCounts,
        truncations: Vec<String>,
        kept: AnalysisResults,
        measured_at: &str,
    ) -> Document {
        let measured_at: Arc<str> = Arc::from(measured_at);
        let AnalysisResults { mut calls, mut streams, condition } = kept;
        calls.sort_by(|a, b| (a.first_at, &a.call_id, a.uid).cmp(&(b.first_at, &b.call_id, b.uid)));
        streams.sort();
        Document {
            frames,
            outcomes: outcomes.0.iter().map(|(o, n)| (o.name(), *n)).collect(),
            truncated: !truncations.is_empty(),
            truncations,
            capture: CaptureDocument::new(&condition),
            calls: Calls { records: calls, measured_at: measured_at.clone() },
            streams: StreamList { kept: streams, measured_at },
        }
    }
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub fn at(&self, place: usize) -> CallDocument {
        CallDocument::new(&self.records[place], &self.measured_at)
    }

    /// Streams of the call at a place.
    pub fn streams_of(&self, place: usize) -> &[StreamId] {
        &self.records[place].streams
    }
}

impl Serialize for Calls {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq((0..self.len()).map(|place| self.at(place)))
    }
}

impl StreamList {
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn at(&self, place: usize) -> StreamDocument {
        StreamDocument::new(&self.kept.at(place), &self.measured_at)
    }

    /// Identities with their places, ordered.
    pub fn places(&self) -> Vec<(StreamId, usize)> {
        self.kept.places()
    }
}

impl Serialize for StreamList {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq((0..self.len()).map(|place| self.at(place)))
    }
}

fn by_name<S: serde::Serializer>(class: &CallClass, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(class.name())
}

impl CallDocument {
    pub fn class(&self) -> CallClass {
        self.class
    }

    fn new(c: &CallRecord, measured_at: &Arc<str>) -> CallDocument {
        CallDocument {
            id: format!("{:016x}", c.uid),
            call_id: c.call_id.clone(),
            from: c.caller.uri.clone(),
            to: c.callee.uri.clone(),
            state: c.state.name(),
            final_code: (c.final_code > 0).then_some(c.final_code),
            final_reason: c.final_reason.clone(),
            invite_at: c.invite_at.map(Timestamp::to_rfc3339),
            pdd_ms: c.pdd().map(ms),
            setup_ms: c.setup().map(ms),
            duration_ms: c.duration().map(ms),
            sdd_ms: c.sdd().map(ms),
            released_by: c.released_by.map(|r| r.name()),
            transport: c.transport.name(),
            reinvites: c.reinvites,
            auth_rounds: c.auth_rounds,
            retry_of: c.retry_of.map(|uid| format!("{uid:016x}")),
            retransmissions: c.retransmissions,
            sip_rtt_ms: SipRttDocument {
                toward_caller: c.sip_rtt_toward_caller.map(RoundTripsDocument::new),
                toward_callee: c.sip_rtt_toward_callee.map(RoundTripsDocument::new),
            },
            started_mid_call: c.started_mid_call,
            shed: c.evicted,
            directions_seen: c.directions_seen,
            class: c.class(),
            mos_worst: c.mos_worst.map(|m| round(f64::from(m), 3)),
            mos_scale: c.mos_worst_scale.map(Scale::name),
            mos_worst_interval: c.mos_worst_interval.map(RatedDocument::new),
            mos_worst_minute: c.mos_worst_minute.map(RatedDocument::new),
            mos_worst_minute_at: c.mos_worst_minute_at.map(Timestamp::to_rfc3339),
            stream_ids: c.streams.iter().map(|s| s.to_string()).collect(),
            diagnoses: c.diagnoses.clone(),
            quality: QualityDocument::new(&c.quality, measured_at),
        }
    }
}

impl RoundTripsDocument {
    fn new(trips: RoundTrips) -> RoundTripsDocument {
        RoundTripsDocument { samples: trips.samples, min: ms(trips.min), max: ms(trips.max) }
    }
}

impl StreamDocument {
    fn new(s: &StreamReport, measured_at: &Arc<str>) -> StreamDocument {
        let n = &s.numbers;
        let jitter = |v: f64| (n.jitter.samples > 0).then(|| round(v / 1e6, 4));
        StreamDocument {
            id: s.id.to_string(),
            call_id: s.call_uid.map(|_| s.call_id.clone()),
            src: endpoint_text(s.src),
            dst: endpoint_text(s.dst),
            ssrc: s.ssrc.to_string(),
            codec: (!s.codec.is_empty()).then(|| s.codec.to_string()),
            clock_rate: s.clock_rate,
            clock_source: s.clock_source.map(|c| c.name()),
            clock_rate_signalled: s.clock_rate_signalled,
            payload_types: s.payload_types.iter().map(|(pt, _)| pt.0).collect(),
            ptime_ms: s.ptime.map(ms),
            first_at: s.first_at.to_rfc3339(),
            last_at: s.last_at.to_rfc3339(),
            packets: n.packets,
            unique: n.unique,
            expected: n.expected,
            lost: n.lost(),
            loss_pct: n.loss_pct().map(|p| round(p, 4)),
            duplicates: n.duplicates(),
            duplicates_probe: n.duplicates_probe,
            duplicates_network: n.duplicates_network,
            reordered: n.reordered,
            reorder_extent: n.reorder_extent,
            restarts: n.restarts,
            strays: n.strays,
            sent_elsewhere: s.redirected,
            relation: s.relation.map(RelationDocument::new),
            loss_runs: loss_runs(&n.loss_runs),
            longest_loss_run: n.loss_runs.longest,
            bursts: BurstDocument::new(&n.burst.summary(), s.ptime),
            bursts_lost_or_late: n.lost_or_late().map(|b| LostOrLateDocument::new(&b, s.ptime, s.late_buffer_ms)),
            concealed_seconds: n.concealed_seconds,
            severely_concealed_seconds: n.severely_concealed_seconds,
            jitter_ms: JitterDocument {
                last: jitter(n.jitter.last_ns),
                mean: n.jitter.mean_ns().and_then(jitter),
                max: jitter(n.jitter.max_ns),
            },
            delay_variation_ms: delay_variation(&n.pdv, n.pdv_max),
            ipdv_ms: IpdvDocument {
                mean: n.variation.ipdv_mean_ns().map(|v| round(v / 1e6, 4)),
                max: n.variation.ipdv_mean_ns().map(|_| round(n.variation.ipdv_max_ns / 1e6, 4)),
                samples: n.variation.ipdv_samples,
            },
            mapdv2_ms: n.variation.mapdv2_ns().map(|v| round(v / 1e6, 4)),
            mapdv2_parts: Mapdv2Document {
                above_ms: n.variation.above_mean_ns().map(|v| round(v / 1e6, 4)),
                above_samples: n.variation.above_samples,
                below_ms: n.variation.below_mean_ns().map(|v| round(v / 1e6, 4)),
                below_samples: n.variation.below_samples,
            },
            late_pct: n
                .late
                .map(|late| (n.pdv.total() > 0).then(|| round(100.0 * late as f64 / n.pdv.total() as f64, 4))),
            discarded_adaptive_pct: (n.pdv.total() > 0)
                .then(|| round(100.0 * n.discarded_adaptive as f64 / n.pdv.total() as f64, 4)),
            adaptive_buffer_ms: n.adaptive_size().map(ms),
            base_movement: (n.pdv.total() > 0).then(|| BaseMovementDocument {
                rise_ms: ms(n.base_rise),
                fall_ms: ms(n.base_fall),
                steps: n.base_steps,
            }),
            max_gap_ms: ms(n.max_gap),
            max_delta_ms: ms(n.max_delta),
            max_skew_ms: round(n.variation.skew_max_ns / 1e6, 4),
            telephone_events: n.telephone_events,
            digits: n.digits,
            comfort_noise: n.comfort_noise,
            talkspurts: n.talkspurts,
            silence_ms: ms(n.silence),
            drift_ppm: s.drift_ppm.map(|d| round(f64::from(d), 3)),
            dscp: s.dscp,
            ttl: [s.ttl_min, s.ttl_max],
            vlan: (s.vlan > 0).then_some(s.vlan),
            tunnel: text(s.tunnel),
            rtt_ms: s.rtt.map(ms),
            remote: s.remote.as_ref().map(RemoteDocument::new),
            r: s.mos.r.map(|r| round(f64::from(r), 3)),
            r_budget: s.mos.budget.map(BudgetDocument::new),
            mos: MosDocument::new(s),
            quality: QualityDocument::new(&s.quality, measured_at),
        }
    }
}

impl RelationDocument {
    fn new(r: Relation) -> RelationDocument {
        RelationDocument { kind: r.kind.name(), stream: r.other.to_string(), lost_at_move: r.lost_at_move }
    }
}

impl BurstDocument {
    fn new(b: &BurstSummary, ptime: Option<Nanos>) -> BurstDocument {
        let six = |v: f64| round(v, 6);
        let markov = b.markov();
        BurstDocument {
            count: b.bursts,
            density_pct: round(100.0 * b.burst_density(), 4),
            gap_density_pct: round(100.0 * b.gap_density(), 4),
            duration_ms: ptime.map(|p| ms(b.burst_duration(p))),
            gap_duration_ms: ptime.map(|p| ms(b.gap_duration_mean_of_periods(p))),
            gap_duration_a2_ms: ptime.map(|p| ms(b.gap_duration_a2_style(p))),
            burst_ratio: six(b.burst_ratio()),
            markov_p: markov.p.map(six),
            markov_q: markov.q.map(six),
            mean_loss_run: b.mean_run().map(six),
            mean_loss_distance: b.mean_distance().map(six),
        }
    }
}

impl LostOrLateDocument {
    fn new(b: &BurstSummary, ptime: Option<Nanos>, buffer_ms: u16) -> LostOrLateDocument {
        LostOrLateDocument { buffer_ms: (buffer_ms > 0).then_some(buffer_ms), bursts: BurstDocument::new(b, ptime) }
    }
}

impl MosDocument {
    fn new(s: &StreamReport) -> MosDocument {
        let m = &s.mos;
        let three = |v: Option<f32>| v.map(|v| round(f64::from(v), 3));
        MosDocument {
            lq: three(m.lq),
            cq: three(m.cq),
            scale: text(m.scale_name()),
            worst_interval: three(s.mos_worst_interval),
            worst_minute: three(s.mos_worst_minute),
            worst_minute_at: s.mos_worst_minute_at.map(Timestamp::to_rfc3339),
            bounds: m.bounds.map(|(low, high)| [low, high].map(|v| round(f64::from(v), 3))),
            model: text(m.model_name()),
            ie: three(m.ie),
            bpl: three(m.bpl),
            burst_ratio: three(m.burst_ratio),
            effective_loss_pct: three(m.effective_loss_pct),
            codec_status: text(m.codec_status_name()),
            delay_source: text(m.delay_source_name()),
            delay_ms: three(m.delay_ms),
            jitter_buffer: text(m.jitter_buffer_name()),
            jitter_buffer_ms: m.jitter_buffer_ms,
            beyond_model: m.lq.map(|_| m.beyond_model),
            reason_null: text(m.null_reason_name()),
        }
    }
}

impl RemoteDocument {
    fn new(r: &RemoteView) -> RemoteDocument {
        RemoteDocument {
            reports: r.reports,
            expected: r.expected,
            lost: r.lost,
            loss_pct: round(f64::from(r.loss_pct), 4),
            jitter_last_ms: r.jitter_last.map(ms),
            jitter_max_ms: r.jitter_max.map(ms),
            lost_before_probe: r.lost_before_probe,
            lost_behind_probe: r.lost_behind_probe,
            loss_side: r.side.name(),
        }
    }
}

impl RatedDocument {
    fn new(rated: RatedMos) -> RatedDocument {
        RatedDocument { lq: round(f64::from(rated.lq), 3), scale: rated.scale.name() }
    }
}

impl BudgetDocument {
    fn new(b: RPoints) -> BudgetDocument {
        let [clean_max, codec, loss, late, delay] =
            [b.clean_max, b.codec, b.loss, b.late, b.delay].map(|v| round(f64::from(v), 3));
        BudgetDocument { clean_max, codec, loss, late, delay }
    }
}

impl QualityDocument {
    fn new(q: &Quality, measured_at: &Arc<str>) -> QualityDocument {
        QualityDocument {
            capture_drops: q.capture_drops,
            duplicates_removed: q.duplicates_removed,
            one_sided: q.one_sided,
            snap_cut: q.snap_cut,
            started_mid_call: q.started_mid_call,
            shed: q.evicted,
            clock_steps: q.clock_steps,
            timestamp_source: q.timestamp_source.name(),
            timestamp_resolution_ns: q.timestamp_resolution_ns,
            timestamp_fault: q.timestamps.map(|check| check.fault.name()),
            timestamp_error_ms: q.timestamps.map(|check| ms(check.error)),
            sampled_one_of: q.sampled_one_of,
            loss_source: q.loss_source.name(),
            loss_evidence: q.loss_evidence.map(LossEvidence::name),
            loss_attribution: LossAttributionDocument {
                capture: q.loss.capture,
                network: q.loss.network,
                undecided: q.loss.undecided,
                evidence: q.loss.evidence().map(|(evidence, count)| (evidence.name(), count)).collect(),
            },
            measured_at: measured_at.clone(),
        }
    }
}

fn delay_variation(h: &DelayHistogram, max: Nanos) -> DelayVariationDocument {
    // A bucket is read back as its middle, which may lie above the largest value seen.
    let at = |q: f64| h.quantile(q).map(|v| round(v.min(max.max(Nanos::ZERO)).as_millis_f64(), 4));
    DelayVariationDocument {
        p50: at(0.5),
        p95: at(0.95),
        p99: at(0.99),
        p999: at(0.999),
        max: (h.total() > 0).then(|| ms(max)),
    }
}

fn loss_runs(runs: &LossRuns) -> BTreeMap<String, u32> {
    runs.counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(bin, n)| (LossRuns::bin_name(bin), *n)).collect()
}

fn ms(span: Nanos) -> f64 {
    round(span.as_millis_f64(), 6)
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Shares by size of the buffer in milliseconds.
fn by_buffer<S: Serializer>(shares: &[Option<f64>; DISCARD_BUFFERS_MS.len()], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(DISCARD_BUFFERS_MS.into_iter().zip(shares))
}

fn shared<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

fn text(text: &'static str) -> Option<&'static str> {
    (!text.is_empty()).then_some(text)
}
