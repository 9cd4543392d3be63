//! The vocabulary of all other modules: events, call and stream records, outcomes, policy and limits.
//!
//! Plain data without behaviour beyond merging and naming. What is here is stable: the store, the API and
//! the JSON documents are written from these types.

mod alert;
pub mod burst;
mod call;
mod capture;
mod class;
mod groups;
mod labels;
mod outcome;
mod rating;
mod running;
mod settings;
mod signalling;
mod stream;
mod tunnel;

pub use alert::AlertRecord;
pub use call::{
    CallRecord, CallState, CallUid, Cut, Diagnosis, DiagnosisCode, Party, ReleasedBy, RoundTrips, Undelivered,
    UndeliveredRequest,
};
pub use capture::{CAPTURE_FINDINGS, CaptureCondition, CaptureInterval, LossFloor, TimestampCheck, TimestampFault};
pub use class::{CallClass, FAIR_MOS, GOOD_MOS, is_a_persons_outcome};
pub use groups::{
    CallFigures, CallGroup, DISSATISFIED_MOS, GroupPart, GroupTrunk, MediaFigures, MediaGroup, OTHER, Presence,
    SHORT_CALL, SpanHistogram,
};
pub use labels::{Cidr, Labels, TrunkDirection, TrunkMatch, mapped};
pub use outcome::{Ignored, Layer, Outcome, OutcomeCounts, OverLimit, UnreadLink, UnreadTunnel};
pub use rating::{CodecStatus, DelaySource, JitterBufferKind, NullReason, RatedMos, Scale};
pub use running::{RunningCall, RunningStream};
pub use settings::{Excess, JitterBuffer, Limits, MessagePolicy, Messages, Policy, Share};
pub use signalling::{
    PayloadKind, PayloadMap, ReportBlock, RtcpKind, RtcpRecord, SipDirection, SipMessageRecord, Srtp, Transport,
    VoipMetrics, VqMeasured, VqSide,
};
pub use stream::{
    ClockSource, CodecId, DISCARD_BUFFERS_MS, DelayVariation, IntervalReport, JitterStat, LossAttribution,
    LossEvidence, LossRuns, LossSide, LossSource, MosReport, Quality, RPoints, Relation, RelationKind, RemoteView,
    StreamId, StreamReport, StreamStats, TimestampSource,
};
pub use tunnel::Tunnel;

use std::net::SocketAddr;

/// An event the engine states once. Events of one stream or call come in the order of their times.
#[derive(Clone, Debug)]
pub enum Event {
    /// A call changed visibly (new, answered, verdict changed): for the live view, not for the store.
    CallChanged(Box<CallRecord>),
    /// A call is over and will not change any more.
    CallEnded(Box<CallRecord>),
    /// A stream was recognised: for the live view.
    StreamStarted(Box<StreamReport>),
    /// A stream is over and will not change any more.
    StreamEnded(Box<StreamReport>),
    /// One stream during one interval.
    Interval(Box<IntervalReport>),
    SipMessage(Box<SipMessageRecord>),
    Rtcp(Box<RtcpRecord>),
    /// What one interface captured and lost during one interval.
    Capture(Box<CaptureInterval>),
}

/// What full tables gave up, over all interfaces, in the order of `docs/operations.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shedding {
    /// Streams ended before their time to make room for others.
    pub streams_shed: u64,
    /// Times a stream was recognised and not taken in.
    pub streams_refused: u64,
    /// Calls ended before their time to make room for others; single messages of unknown calls are not calls.
    pub calls_shed: u64,
    /// Messages that would have begun a call.
    pub calls_refused: u64,
}

impl Shedding {
    pub fn merge(&mut self, other: &Shedding) {
        self.streams_shed += other.streams_shed;
        self.streams_refused += other.streams_refused;
        self.calls_shed += other.calls_shed;
        self.calls_refused += other.calls_refused;
    }

    /// By name, as columns and metrics have them.
    pub fn counts(&self) -> [(&'static str, u64); 4] {
        [
            ("streams_shed", self.streams_shed),
            ("streams_refused", self.streams_refused),
            ("calls_shed", self.calls_shed),
            ("calls_refused", self.calls_refused),
        ]
    }
}

/// `address:port` with IPv4-mapped IPv6 addresses written as IPv4 and IPv6 in brackets.
pub fn endpoint_text(at: SocketAddr) -> String {
    SocketAddr::new(at.ip().to_canonical(), at.port()).to_string()
}
