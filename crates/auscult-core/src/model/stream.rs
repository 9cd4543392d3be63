//! One RTP stream: identity, mergeable numbers, quality, and how far to trust them.

use super::burst::{BurstGap, BurstSummary};
use super::{CallUid, CodecStatus, DelaySource, JitterBufferKind, NullReason, RatedMos, Scale, TimestampCheck, Tunnel};
use crate::units::{DelayHistogram, Nanos, PayloadType, Ssrc, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;

/// Identity of a stream: a hash of probe-independent properties (addresses, SSRC, first time), so that the same capture gives the same identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u64);

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A codec by its encoding name as SDP writes it (`PCMU`, `G729`, `opus`), upper or lower case as registered.
pub type CodecId = Arc<str>;

/// Where the clock rate of a stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockSource {
    /// `a=rtpmap` of an offer or answer.
    Sdp,
    /// Static payload type (RFC 3551 table 4).
    Static,
    /// Slope of timestamps against arrival, snapped to a usual rate.
    Inferred,
    /// The same, where it refutes the rate that signalling or the static type names.
    Wire,
}

impl ClockSource {
    pub fn name(self) -> &'static str {
        match self {
            ClockSource::Sdp => "sdp",
            ClockSource::Static => "static",
            ClockSource::Inferred => "inferred",
            ClockSource::Wire => "wire",
        }
    }
}

/// Sizes of fixed jitter buffers whose late discards are counted, in milliseconds.
pub const DISCARD_BUFFERS_MS: [u16; 7] = [20, 40, 60, 80, 100, 150, 200];

/// Lengths of runs of consecutive lost packets: 1..=9 each, then 10-19, 20-49, 50-99, 100-499, 500 and more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossRuns {
    pub counts: [u32; Self::BINS],
    pub longest: u32,
}

impl LossRuns {
    pub const BINS: usize = 14;
    /// Lower bound of each bin.
    pub const LOWER: [u32; Self::BINS] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 50, 100, 500];

    /// Name of a bin in JSON: its single length or `low-high`.
    pub fn bin_name(bin: usize) -> String {
        let low = Self::LOWER[bin];
        match Self::LOWER.get(bin + 1) {
            Some(next) if *next == low + 1 => low.to_string(),
            Some(next) => format!("{low}-{}", next - 1),
            None => format!("{low}+"),
        }
    }

    pub fn record(&mut self, length: u32) {
        if length == 0 {
            return;
        }
        let bin = Self::LOWER.iter().rposition(|low| *low <= length).unwrap_or(0);
        self.counts[bin] += 1;
        self.longest = self.longest.max(length);
    }

    pub fn runs(&self) -> u64 {
        self.counts.iter().map(|c| u64::from(*c)).sum()
    }

    pub fn merge(&mut self, other: &LossRuns) {
        for (a, b) in self.counts.iter_mut().zip(other.counts) {
            *a += b;
        }
        self.longest = self.longest.max(other.longest);
    }
}

/// RFC 3550 interarrival jitter, sampled after each packet. In nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JitterStat {
    /// The running estimate after the last packet.
    pub last_ns: f64,
    /// Sum of the running estimate after each packet, and how many there were: their quotient is the mean.
    pub sum_ns: f64,
    pub samples: u64,
    pub max_ns: f64,
}

impl JitterStat {
    pub fn mean_ns(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.sum_ns / self.samples as f64)
    }

    /// `later` follows `self` in time.
    pub fn merge(&mut self, later: &JitterStat) {
        if later.samples > 0 {
            self.last_ns = later.last_ns;
        }
        self.sum_ns += later.sum_ns;
        self.samples += later.samples;
        self.max_ns = self.max_ns.max(later.max_ns);
    }
}

/// Delay from packet to packet and around its running mean. Sums of whole nanoseconds, so that adjacent spans add up
/// to the same figure however they are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DelayVariation {
    /// |IPDV| of packets that follow each other in sequence and in order of arrival (RFC 3393, RFC 5481 section 4.1):
    /// sum, number and largest, in nanoseconds.
    pub ipdv_sum_ns: u64,
    pub ipdv_samples: u64,
    pub ipdv_max_ns: f64,
    /// Delays above their running mean `(15 D + d)/16`, and below it (MAPDV2, G.1020).
    pub above_sum_ns: u64,
    pub above_samples: u64,
    pub below_sum_ns: u64,
    pub below_samples: u64,
    /// Media time less arrival time since the start of a segment where it was farthest from 0; positive when the sender
    /// is ahead.
    pub skew_max_ns: f64,
}

impl DelayVariation {
    /// Mean |IPDV|; `None` without two packets in sequence.
    pub fn ipdv_mean_ns(&self) -> Option<f64> {
        (self.ipdv_samples > 0).then(|| self.ipdv_sum_ns as f64 / self.ipdv_samples as f64)
    }

    /// Mean of the deviations above the running mean, and of those below it; `None` where there is none.
    pub fn above_mean_ns(&self) -> Option<f64> {
        (self.above_samples > 0).then(|| self.above_sum_ns as f64 / self.above_samples as f64)
    }

    pub fn below_mean_ns(&self) -> Option<f64> {
        (self.below_samples > 0).then(|| self.below_sum_ns as f64 / self.below_samples as f64)
    }

    /// MAPDV2: mean of the deviations above the running mean plus mean of those below it; `None` before the second packet.
    pub fn mapdv2_ns(&self) -> Option<f64> {
        (self.ipdv_samples + self.above_samples + self.below_samples > 0)
            .then(|| self.above_mean_ns().unwrap_or(0.0) + self.below_mean_ns().unwrap_or(0.0))
    }

    pub fn merge(&mut self, later: &DelayVariation) {
        self.ipdv_sum_ns += later.ipdv_sum_ns;
        self.ipdv_samples += later.ipdv_samples;
        self.ipdv_max_ns = self.ipdv_max_ns.max(later.ipdv_max_ns);
        self.above_sum_ns += later.above_sum_ns;
        self.above_samples += later.above_samples;
        self.below_sum_ns += later.below_sum_ns;
        self.below_samples += later.below_samples;
        if later.skew_max_ns.abs() > self.skew_max_ns.abs() {
            self.skew_max_ns = later.skew_max_ns;
        }
    }
}

/// Everything counted about a stream over some time. Two adjacent spans merge into the numbers of both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamStats {
    /// Every RTP packet.
    pub packets: u64,
    /// Packets without repeated sequence numbers.
    pub unique: u64,
    /// Sequence numbers that should have been seen.
    pub expected: u64,
    /// Copies made by the mirror: identical, within milliseconds.
    pub duplicates_probe: u64,
    /// Copies made by the network or the sender.
    pub duplicates_network: u64,
    /// Packets that came after one with a higher sequence number (RFC 4737).
    pub reordered: u64,
    /// Farthest a packet came behind its place, in sequence numbers.
    pub reorder_extent: u32,
    /// Sequence number jumps taken as a restart of the sender (RFC 3550 A.1).
    pub restarts: u32,
    /// Packets set aside as strays between a jump and its confirmation.
    pub strays: u64,
    pub loss_runs: LossRuns,
    /// Bursts and gaps of the lost packets, in sequence order (RFC 3611 section 4.7.2).
    pub burst: BurstGap,
    /// The same of packets lost or discarded by the jitter buffer of the policy ([`super::JitterBuffer`]). A packet whose delay
    /// is never known counts as received.
    pub lost_or_late: BurstGap,
    /// Seconds of media with a packet lost, and with more than 5 % of their packets lost. A second is as many
    /// consecutive sequence numbers as one second of packets has.
    pub concealed_seconds: u64,
    pub severely_concealed_seconds: u64,
    pub jitter: JitterStat,
    pub variation: DelayVariation,
    /// Delay above the drift-corrected base (PDV, RFC 5481 section 4.2).
    pub pdv: DelayHistogram,
    pub pdv_max: Nanos,
    /// Packets that would have come too late for a fixed buffer, per entry of [`DISCARD_BUFFERS_MS`].
    pub late: [u64; DISCARD_BUFFERS_MS.len()],
    /// Packets an adaptive buffer of 20 to 200 ms would have discarded ([`crate::quality::jitter_buffer::Adaptive`]).
    pub discarded_adaptive: u64,
    /// Sum of the size of that buffer over the packets whose delay is known, microseconds.
    pub adaptive_size_us: u64,
    /// How much the base of the delays rose and fell, in moves of at least 10 ms: queues that build up and drain, and routes
    /// that change. How many of the moves were steps of at least 20 ms within a second.
    pub base_rise: Nanos,
    pub base_fall: Nanos,
    pub base_steps: u32,
    /// Longest time without a packet inside a talkspurt or across a pause.
    pub max_gap: Nanos,
    /// Longest time between two packets of which the second neither starts a talkspurt (marker) nor is comfort noise
    /// nor follows one: Wireshark's maximum delta.
    pub max_delta: Nanos,
    /// Sum of RTP payload bytes.
    pub payload_bytes: u64,
    pub telephone_events: u64,
    /// Digits: telephone events distinguished by their timestamp (RFC 4733 section 2.2); repeated packets count once.
    pub digits: u64,
    pub comfort_noise: u64,
    pub markers: u64,
    /// Starts of speech after silence, the first included, and media time of the silence between (DTX).
    pub talkspurts: u64,
    pub silence: Nanos,
    /// Times the probe's clock was set: back by more than a second, or forward.
    pub clock_steps: u32,
    /// Packets of which fewer bytes than sent were captured.
    pub cut_short: u64,
}

impl StreamStats {
    /// `expected - unique`, never negative.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.unique)
    }

    /// Bursts and gaps of what was lost or too late; `None` where no delay is known.
    pub fn lost_or_late(&self) -> Option<BurstSummary> {
        (self.pdv.total() > 0).then(|| self.lost_or_late.summary())
    }

    /// Mean size of the adaptive jitter buffer; `None` where no delay is known.
    pub fn adaptive_size(&self) -> Option<Nanos> {
        let packets = self.pdv.total();
        (packets > 0).then(|| Nanos((1_000 * self.adaptive_size_us / packets) as i64))
    }

    pub fn duplicates(&self) -> u64 {
        self.duplicates_probe + self.duplicates_network
    }

    /// Lost share of the expected packets in percent, `None` when nothing was expected.
    pub fn loss_pct(&self) -> Option<f64> {
        (self.expected > 0).then(|| 100.0 * self.lost() as f64 / self.expected as f64)
    }

    /// `later` follows `self` in time.
    pub fn merge(&mut self, later: &StreamStats) {
        self.packets += later.packets;
        self.unique += later.unique;
        self.expected += later.expected;
        self.duplicates_probe += later.duplicates_probe;
        self.duplicates_network += later.duplicates_network;
        self.reordered += later.reordered;
        self.reorder_extent = self.reorder_extent.max(later.reorder_extent);
        self.restarts += later.restarts;
        self.strays += later.strays;
        self.loss_runs.merge(&later.loss_runs);
        self.burst.merge(&later.burst);
        self.lost_or_late.merge(&later.lost_or_late);
        self.concealed_seconds += later.concealed_seconds;
        self.severely_concealed_seconds += later.severely_concealed_seconds;
        self.variation.merge(&later.variation);
        self.jitter.merge(&later.jitter);
        self.pdv.merge(&later.pdv);
        self.pdv_max = self.pdv_max.max(later.pdv_max);
        for (a, b) in self.late.iter_mut().zip(later.late) {
            *a += b;
        }
        self.discarded_adaptive += later.discarded_adaptive;
        self.adaptive_size_us += later.adaptive_size_us;
        self.base_rise += later.base_rise;
        self.base_fall += later.base_fall;
        self.base_steps += later.base_steps;
        self.max_gap = self.max_gap.max(later.max_gap);
        self.max_delta = self.max_delta.max(later.max_delta);
        self.payload_bytes += later.payload_bytes;
        self.telephone_events += later.telephone_events;
        self.digits += later.digits;
        self.comfort_noise += later.comfort_noise;
        self.markers += later.markers;
        self.talkspurts += later.talkspurts;
        self.silence += later.silence;
        self.clock_steps += later.clock_steps;
        self.cut_short += later.cut_short;
    }
}

/// Whose loss it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossSource {
    /// Nothing was lost.
    #[default]
    None,
    Network,
    /// The probe dropped frames in the same interval.
    Capture,
    SuspectedCapture,
}

impl LossSource {
    pub fn name(self) -> &'static str {
        match self {
            LossSource::None => "none",
            LossSource::Network => "network",
            LossSource::Capture => "capture",
            LossSource::SuspectedCapture => "suspected_capture",
        }
    }
}

/// Evidence for the source of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossEvidence {
    /// The probe counted frames that it missed meanwhile.
    CaptureDrops,
    /// The receiver reports that it got them (RTCP report blocks).
    ReceiverGotThem,
    ReceiverLostThem,
    /// Streams that share no host miss packets at the same moments.
    ManyStreamsAtOnce,
    /// Both directions between two addresses miss packets at the same moments.
    BothDirectionsAtOnce,
    /// All streams miss the same large share: the capture sees one packet of so many.
    SampledCapture,
}

impl LossEvidence {
    pub const ALL: [LossEvidence; 6] = [
        LossEvidence::CaptureDrops,
        LossEvidence::ReceiverGotThem,
        LossEvidence::ReceiverLostThem,
        LossEvidence::ManyStreamsAtOnce,
        LossEvidence::BothDirectionsAtOnce,
        LossEvidence::SampledCapture,
    ];

    pub fn name(self) -> &'static str {
        match self {
            LossEvidence::CaptureDrops => "capture_drops",
            LossEvidence::ReceiverGotThem => "receiver_got_them",
            LossEvidence::ReceiverLostThem => "receiver_lost_them",
            LossEvidence::ManyStreamsAtOnce => "many_streams_at_once",
            LossEvidence::BothDirectionsAtOnce => "both_directions_at_once",
            LossEvidence::SampledCapture => "sampled_capture",
        }
    }

    /// The source of the loss for which it is evidence.
    pub fn source(self) -> LossSource {
        match self {
            LossEvidence::CaptureDrops | LossEvidence::SampledCapture => LossSource::Capture,
            LossEvidence::ReceiverLostThem => LossSource::Network,
            LossEvidence::ReceiverGotThem | LossEvidence::ManyStreamsAtOnce | LossEvidence::BothDirectionsAtOnce => {
                LossSource::SuspectedCapture
            }
        }
    }
}

/// Packets lost, by whose loss it is. The three counts add up to the packets lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossAttribution {
    /// The capture missed them: packets for which that is likely beyond doubt (two standard deviations).
    pub capture: u64,
    pub network: u64,
    /// There is no evidence.
    pub undecided: u64,
    /// Lost packets by kind of evidence, in the order of [`LossEvidence::ALL`].
    pub by_evidence: [u64; LossEvidence::ALL.len()],
}

impl LossAttribution {
    pub fn lost(&self) -> u64 {
        self.capture + self.network + self.undecided
    }

    /// Kinds of evidence with their counts, those that are not 0.
    pub fn evidence(&self) -> impl DoubleEndedIterator<Item = (LossEvidence, u64)> + '_ {
        LossEvidence::ALL.into_iter().zip(self.by_evidence).filter(|(_, count)| *count > 0)
    }

    /// Packets that some evidence says were lost there.
    pub fn by_source(&self, source: LossSource) -> u64 {
        self.evidence().filter(|(evidence, _)| evidence.source() == source).map(|(_, count)| count).sum()
    }

    pub fn add(&mut self, more: &LossAttribution) {
        self.capture += more.capture;
        self.network += more.network;
        self.undecided += more.undecided;
        for (all, one) in self.by_evidence.iter_mut().zip(more.by_evidence) {
            *all += one;
        }
    }

    /// The evidence for most of what the capture lost, or of what the network did.
    pub fn strongest(&self, by_capture: bool) -> Option<LossEvidence> {
        let same = self.evidence().filter(|(e, _)| (e.source() != LossSource::Network) == by_capture);
        same.rev().max_by_key(|(_, count)| *count).map(|(evidence, _)| evidence)
    }

    /// The source of most of the loss, and the evidence for most of that: the capture where it has more than half, else the
    /// network, for which nothing may speak.
    pub fn majority(&self) -> (LossSource, Option<LossEvidence>) {
        let lost = self.lost();
        let of = |by_capture| self.strongest(by_capture);
        match (lost, 2 * self.capture > lost) {
            (0, _) => (LossSource::None, None),
            (_, true) => {
                let evidence = of(true);
                (evidence.map_or(LossSource::SuspectedCapture, LossEvidence::source), evidence)
            }
            (_, false) => (LossSource::Network, of(false)),
        }
    }
}

/// On which side of the probe packets were lost, by what the receiver reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossSide {
    /// Fewer than three packets on either side.
    #[default]
    None,
    BeforeProbe,
    BehindProbe,
    Both,
    /// The receiver got most of what the probe missed.
    Capture,
}

impl LossSide {
    pub fn name(self) -> &'static str {
        match self {
            LossSide::None => "none",
            LossSide::BeforeProbe => "before_probe",
            LossSide::BehindProbe => "behind_probe",
            LossSide::Both => "both",
            LossSide::Capture => "capture",
        }
    }
}

/// The receiver's view of a stream by its RTCP reports, from the first of them to the last, with the probe's beside it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteView {
    pub reports: u32,
    /// Packets expected and lost as the reports have it. Copies count as received there: `lost` may be negative.
    pub expected: u64,
    pub lost: i64,
    pub loss_pct: f32,
    /// Interarrival jitter as reported; `None` where the clock rate is unknown.
    pub jitter_last: Option<Nanos>,
    pub jitter_max: Option<Nanos>,
    /// Missing at the probe over the same time.
    pub lost_before_probe: u64,
    /// What the receiver misses beyond that; negative where it got packets the probe did not.
    pub lost_behind_probe: i64,
    pub side: LossSide,
}

/// Whose clock stamped the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampSource {
    /// Whatever captured the file: it says no more than a resolution.
    #[default]
    CaptureFile,
    /// The probe's kernel, when it took the frame from the adapter.
    Kernel,
    /// The adapter, when the frame came in.
    Adapter,
}

impl TimestampSource {
    pub fn name(self) -> &'static str {
        match self {
            TimestampSource::CaptureFile => "capture_file",
            TimestampSource::Kernel => "kernel",
            TimestampSource::Adapter => "adapter",
        }
    }
}

/// How far to trust a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Frames the probe missed (ring, interface, queue) in the intervals this lies in.
    pub capture_drops: u64,
    /// Copies by the mirror, left out of every figure; of a call those of its RTP and RTCP.
    pub duplicates_removed: u64,
    /// The opposite direction was not seen.
    pub one_sided: bool,
    /// Packets were cut by the snap length; header figures are whole all the same.
    pub snap_cut: bool,
    /// The first packet seen was not the first of the call.
    pub started_mid_call: bool,
    /// It was ended to make room in a full table; what came after is not measured, or is another stream.
    pub evicted: bool,
    /// Times the clock of the capture was set: back by more than a second, or forward.
    pub clock_steps: u32,
    pub timestamp_source: TimestampSource,
    /// Resolution of capture times in nanoseconds: that of the format, or the one that all times of an interval show.
    pub timestamp_resolution_ns: u32,
    /// How far these times are wrong, at worst; `None` where too few hosts send to know.
    pub timestamps: Option<TimestampCheck>,
    /// The capture sees one packet of so many, at worst; `None` where it sees all of them, as far as known.
    pub sampled_one_of: Option<f32>,
    pub loss_source: LossSource,
    /// The strongest evidence for it; `None` where there is none and the network is assumed.
    pub loss_evidence: Option<LossEvidence>,
    /// The same by counts; `loss_source` and `loss_evidence` are its majority.
    pub loss: LossAttribution,
}

impl Quality {
    /// Sets whose loss it is, and the majority of it.
    pub fn set_loss(&mut self, loss: LossAttribution) {
        let (source, evidence) = loss.majority();
        (self.loss_source, self.loss_evidence) = (source, evidence);
        self.loss = loss;
    }
}

/// What the distance from the clean rating is made of, in points of R on the scale of the rating. The rating without
/// delay is `clean_max - codec - loss - late`; below 0 it reads 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RPoints {
    pub clean_max: f32,
    pub codec: f32,
    /// Loss up to the probe.
    pub loss: f32,
    /// Late packets, on top of that loss.
    pub late: f32,
    /// 0 where the delay is unknown.
    pub delay: f32,
}

/// A MOS with all it takes to read it. Its interval is that of the row it stands in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MosReport {
    /// Listening quality: without delay.
    pub lq: Option<f32>,
    /// Conversational quality: with delay; `None` where the delay is unknown.
    pub cq: Option<f32>,
    /// Rating factor on the scale of the model, without delay.
    pub r: Option<f32>,
    /// `None` when withheld.
    pub scale: Option<Scale>,
    /// Codec impairment and loss robustness used.
    pub ie: Option<f32>,
    pub bpl: Option<f32>,
    pub burst_ratio: Option<f32>,
    /// Loss after the jitter buffer, percent, as the model got it.
    pub effective_loss_pct: Option<f32>,
    pub codec_status: Option<CodecStatus>,
    /// `None` where no delay is known.
    pub delay_source: Option<DelaySource>,
    /// Why a MOS is missing; `None` when it is there.
    pub null_reason: Option<NullReason>,
    /// Mouth to ear in milliseconds as the conversational MOS got it: network, jitter buffer, packet time, look-ahead.
    pub delay_ms: Option<f32>,
    /// Size of the jitter buffer whose discards count as lost, in milliseconds: the mean of the adaptive one, or that fixed one
    /// of [`DISCARD_BUFFERS_MS`].
    pub jitter_buffer_ms: Option<u16>,
    /// `None` where nothing could be rated.
    pub jitter_buffer: Option<JitterBufferKind>,
    /// The narrowband model is used where G.107 does not vouch for it: a burst ratio above 2 with 2 % loss or more.
    pub beyond_model: bool,
    pub budget: Option<RPoints>,
    /// Listening MOS if all of the loss is the network's, and without what the capture may have lost. Only where it lost any.
    pub bounds: Option<(f32, f32)>,
}

impl MosReport {
    /// The listening MOS with its scale; `None` when withheld.
    pub fn rated(&self) -> Option<RatedMos> {
        self.lq.zip(self.scale).map(|(lq, scale)| RatedMos { lq, scale })
    }

    /// `nb`, `wb` or `fb`; empty when withheld, as rows and documents have it. So are the other names.
    pub fn scale_name(&self) -> &'static str {
        self.scale.map_or("", Scale::name)
    }

    /// Recommendation the rating follows: `G.107`, `G.107.1` or `G.107.2`.
    pub fn model_name(&self) -> &'static str {
        self.scale.map_or("", Scale::recommendation)
    }

    pub fn codec_status_name(&self) -> &'static str {
        self.codec_status.map_or("", CodecStatus::name)
    }

    pub fn delay_source_name(&self) -> &'static str {
        self.delay_source.map_or("", DelaySource::name)
    }

    pub fn null_reason_name(&self) -> &'static str {
        self.null_reason.map_or("", NullReason::name)
    }

    pub fn jitter_buffer_name(&self) -> &'static str {
        self.jitter_buffer.map_or("", JitterBufferKind::name)
    }
}

/// One stream during one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct IntervalReport {
    pub stream: StreamId,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub ssrc: Ssrc,
    pub call_uid: Option<CallUid>,
    pub call_id: Arc<str>,
    /// Start on the UTC grid of the policy's interval.
    pub start: Timestamp,
    pub length: Nanos,
    pub codec: CodecId,
    /// Of that codec, Hz, and the packet time so far; `None` while not known.
    pub clock_rate: Option<u32>,
    pub ptime: Option<Nanos>,
    /// As in [`StreamReport::drift_ppm`], up to the end of this interval.
    pub drift_ppm: Option<f32>,
    pub numbers: StreamStats,
    /// The buffer of [`StreamStats::lost_or_late`] in milliseconds: one of [`DISCARD_BUFFERS_MS`], or 0 for the adaptive one.
    pub late_buffer_ms: u16,
    pub mos: MosReport,
    pub quality: Quality,
}

/// What one stream is to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// The same packets go on from another source address or to another destination.
    MovedFrom,
    /// The receiver of the other stream sends its packets on.
    RelayOf,
    /// The sender of the other stream sends the same packets to a second destination.
    ForkOf,
    /// The sender goes on between the same addresses under another SSRC.
    SsrcChangedFrom,
}

impl RelationKind {
    pub const ALL: [RelationKind; 4] =
        [RelationKind::MovedFrom, RelationKind::RelayOf, RelationKind::ForkOf, RelationKind::SsrcChangedFrom];

    pub fn name(self) -> &'static str {
        match self {
            RelationKind::MovedFrom => "moved_from",
            RelationKind::RelayOf => "relay_of",
            RelationKind::ForkOf => "fork_of",
            RelationKind::SsrcChangedFrom => "ssrc_changed_from",
        }
    }
}

/// The stream another one goes on from or repeats. Both keep their own figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    pub kind: RelationKind,
    pub other: StreamId,
    /// Sequence numbers between the last of the other stream and the first of this one, of which neither counts
    /// any as lost. Only of a stream that moved.
    pub lost_at_move: Option<u32>,
}

/// One whole stream. Its serialised form is for keeping many of them: it leaves out the codec and the tunnel, which
/// few streams have of their own (`app::kept`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamReport {
    pub id: StreamId,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub ssrc: Ssrc,
    pub call_uid: Option<CallUid>,
    pub call_id: Arc<str>,
    /// Encoding name, empty if unknown.
    #[serde(skip)]
    pub codec: CodecId,
    pub clock_rate: Option<u32>,
    pub clock_source: Option<ClockSource>,
    /// Rate that signalling or RFC 3551 names, Hz, where the wire refuted it ([`ClockSource::Wire`]).
    pub clock_rate_signalled: Option<u32>,
    /// Payload types seen with their packet counts, most frequent first.
    pub payload_types: Vec<(PayloadType, u64)>,
    /// Most frequent timestamp step of consecutive packets.
    pub ptime: Option<Nanos>,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub numbers: StreamStats,
    /// The buffer of [`StreamStats::lost_or_late`] in milliseconds: one of [`DISCARD_BUFFERS_MS`], or 0 for the adaptive one.
    pub late_buffer_ms: u16,
    /// Sender clock against the probe's, parts per million; `None` under 30 s of media.
    pub drift_ppm: Option<f32>,
    /// Differentiated services code point of the first packet, and how often it changed.
    pub dscp: u8,
    pub dscp_changes: u32,
    pub ttl_min: u8,
    pub ttl_max: u8,
    /// VLAN of the first packet, 0 if none.
    pub vlan: u16,
    /// Innermost tunnel the stream was found in.
    #[serde(skip)]
    pub tunnel: Option<Tunnel>,
    pub rtt: Option<Nanos>,
    /// What its receiver reports.
    pub remote: Option<RemoteView>,
    pub mos: MosReport,
    /// Lowest listening MOS among its intervals.
    pub mos_worst_interval: Option<f32>,
    /// Lowest listening MOS of a minute's packets (whole intervals of one codec), over all of them when they are fewer;
    /// never above that of the whole stream. And when that minute began.
    pub mos_worst_minute: Option<f32>,
    pub mos_worst_minute_at: Option<Timestamp>,
    pub quality: Quality,
    /// Packets missing while the sender sent elsewhere or was on hold: not lost.
    pub redirected: u64,
    pub relation: Option<Relation>,
}
