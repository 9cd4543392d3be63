//! Sums over many streams or calls during one interval: rows that dashboards, alerts and statistics read instead of those of
//! single streams and calls.
//!
//! Several rows of one key and interval add up. An event that is known late, such as the end of a call, is added to the interval it
//! belongs to by another row.

use super::{CodecId, DISCARD_BUFFERS_MS, LossRuns, TrunkDirection};
use crate::model::Scale;
use crate::units::{DelayHistogram, Nanos, Timestamp, span_bucket_of};
use std::collections::BTreeMap;
use std::sync::Arc;

/// MOS below which many users are dissatisfied (G.107 Annex B: R = 70). Below [`super::FAIR_MOS`] (R = 60) nearly all are.
pub const DISSATISFIED_MOS: f32 = 3.6;

/// Calls shorter than this count as short.
pub const SHORT_CALL: Nanos = Nanos::from_secs(20);

/// Name of the group that takes codecs which found no place ([`super::Limits::groups`]).
pub const OTHER: &str = "other";

/// The far side of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupTrunk {
    /// Configured name, empty if none.
    pub name: Arc<str>,
    pub direction: Option<TrunkDirection>,
}

/// When a group row was written: with key and interval the identity of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupPart {
    /// First event since the program began to measure.
    pub since: Timestamp,
    /// Rows written before it.
    pub number: u64,
}

/// Streams of one trunk, direction, codec and MOS scale during one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaGroup {
    pub start: Timestamp,
    pub length: Nanos,
    pub trunk: GroupTrunk,
    pub codec: CodecId,
    /// `nb`, `wb`, `fb`; empty for streams without a MOS.
    pub mos_scale: Option<Scale>,
    pub part: GroupPart,
    pub figures: MediaFigures,
}

/// Streams by the start of the interval (seconds since 1970) in which they were last present before; 0 for those never
/// seen before. The number of different streams from `t` on is the sum of the counts of key 0 and of keys below `t` over
/// all intervals from `t`.
pub type Presence = BTreeMap<u32, u64>;

/// What is counted over streams. Counts of streams are counts of one stream during one interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaFigures {
    pub streams: u64,
    /// Streams never seen before.
    pub streams_begun: u64,
    /// Last presence in any group of this trunk.
    pub present_before: Presence,
    /// Last presence with the same codec, on the same scale, and both.
    pub present_before_codec: Presence,
    pub present_before_scale: Presence,
    pub present_before_codec_scale: Presence,
    pub packets: u64,
    pub unique: u64,
    pub expected: u64,
    /// Lost packets by [`super::LossSource`].
    pub lost_network: u64,
    pub lost_capture: u64,
    pub lost_suspected_capture: u64,
    pub reordered: u64,
    pub duplicates_probe: u64,
    pub duplicates_network: u64,
    pub payload_bytes: u64,
    /// Packets too late for each of [`DISCARD_BUFFERS_MS`].
    pub late: [u64; DISCARD_BUFFERS_MS.len()],
    pub loss_runs: [u64; LossRuns::BINS],
    pub longest_loss_run: u32,
    /// Delay variation of packets.
    pub pdv: DelayHistogram,
    pub pdv_max: Nanos,
    /// Mean interarrival jitter (RFC 3550) of each stream, and the largest jitter of all, nanoseconds.
    pub jitter: DelayHistogram,
    pub jitter_max_ns: f64,
    /// Streams by listening MOS in hundredths.
    pub mos: BTreeMap<u16, u64>,
    /// Streams with a MOS under [`DISSATISFIED_MOS`] and under [`super::FAIR_MOS`].
    pub mos_under_3_6: u64,
    pub mos_under_3_1: u64,
    pub concealed_seconds: u64,
    pub severely_concealed_seconds: u64,
    /// Streams with a budget of R, and the sums of its parts in thousandths of a point ([`super::RPoints`]).
    pub r_rated: u64,
    pub r_clean_max_milli: i64,
    pub r_cost_codec_milli: i64,
    pub r_cost_loss_milli: i64,
    pub r_cost_late_milli: i64,
    pub r_cost_delay_milli: i64,
    /// Streams of which the opposite direction was not seen.
    pub one_sided: u64,
    /// Frames the probe missed in the interval: the largest figure of any stream.
    pub capture_drops: u64,
}

/// Calls of one trunk and direction during one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct CallGroup {
    pub start: Timestamp,
    pub length: Nanos,
    pub trunk: GroupTrunk,
    pub part: GroupPart,
    pub figures: CallFigures,
}

/// Counts of spans by bucket ([`span_bucket_of`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanHistogram(pub BTreeMap<u8, u64>);

impl SpanHistogram {
    /// Adds a span that is known.
    pub fn record(&mut self, span: Option<Nanos>) {
        if let Some(span) = span {
            *self.0.entry(span_bucket_of(span)).or_default() += 1;
        }
    }
}

impl CallFigures {
    /// Attempts that were answered, or ended by what a person or a directory decides (the numerator of NER, E.425).
    pub fn effective(&self) -> u64 {
        let code = |wanted: &dyn Fn(u16) -> bool| -> u64 {
            self.final_codes.iter().filter(|(code, _)| wanted(**code)).map(|(_, n)| n).sum()
        };
        let persons = code(&super::is_a_persons_outcome);
        let unsaid = self.cancelled.saturating_sub(code(&|code| code == 487));
        (self.answers + persons + unsaid).min(self.attempts)
    }

    /// All other attempts.
    pub fn setup_failures(&self) -> u64 {
        self.attempts - self.effective()
    }
}

/// What is counted over calls. Attempts, with all that is known from their final response, count in the interval of that response;
/// what is known only at the end counts in the interval of the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFigures {
    /// [`super::CallRecord::is_attempt`].
    pub attempts: u64,
    pub answers: u64,
    /// Attempts by final code, 0 for none.
    pub final_codes: BTreeMap<u16, u64>,
    /// Attempts given up by the caller, and without a final response in time.
    pub cancelled: u64,
    pub setup_timeouts: u64,
    /// INVITE to first response, of all attempts that have it; INVITE to 2xx; INVITE to the failure response (SRD, RFC 6076).
    pub pdd: SpanHistogram,
    pub setup: SpanHistogram,
    pub srd_failed: SpanHistogram,
    /// Calls that ended, by class.
    pub ended: u64,
    pub classes: BTreeMap<&'static str, u64>,
    /// Ended calls by every diagnosis they have.
    pub diagnoses: BTreeMap<&'static str, u64>,
    /// Ended calls that were released by a BYE, and answered ones shorter than [`SHORT_CALL`].
    pub completed: u64,
    pub short: u64,
    /// Answer to end (SDT), and BYE to its 2xx (SDD).
    pub duration: SpanHistogram,
    pub sdd: SpanHistogram,
    /// Time that answered calls were up within the interval, all together, milliseconds; divided by its length the mean number of
    /// concurrent calls. Corrections are negative.
    pub up_ms: i64,
    /// Most calls up at once.
    pub up_max: u32,
}
