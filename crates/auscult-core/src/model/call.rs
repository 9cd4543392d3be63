//! One call: what SIP said, what its streams measured, and why it was bad.

use super::CallClass;
use super::{Quality, RatedMos, Scale, StreamId, Transport};
use crate::units::{Nanos, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Identity of a call: a keyed hash of Call-ID and time of its first message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallUid(pub u64);

impl std::fmt::Display for CallUid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// State of an INVITE session, in the terms of RFC 3261 section 13 and RFC 6076.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// INVITE sent, nothing but 100 came back.
    #[default]
    Trying,
    /// A provisional answer above 100 came.
    Proceeding,
    /// A 2xx came; the call is up.
    Established,
    /// Released by BYE.
    Completed,
    /// Given up by the caller before an answer (CANCEL, 487).
    Cancelled,
    /// A final answer of 300 or above.
    Failed,
    /// No final answer within the time allowed.
    SetupTimeout,
    /// Not released where the probe could see it: answered, and media and signalling stopped; or cut, answered or not,
    /// by the end of the capture or the stop of the probe.
    Unfinished,
    /// Signalling of a call whose INVITE was not seen.
    MidCall,
}

impl CallState {
    pub const ALL: [CallState; 9] = [
        CallState::Trying,
        CallState::Proceeding,
        CallState::Established,
        CallState::Completed,
        CallState::Cancelled,
        CallState::Failed,
        CallState::SetupTimeout,
        CallState::Unfinished,
        CallState::MidCall,
    ];

    pub fn name(self) -> &'static str {
        match self {
            CallState::Trying => "trying",
            CallState::Proceeding => "proceeding",
            CallState::Established => "established",
            CallState::Completed => "completed",
            CallState::Cancelled => "cancelled",
            CallState::Failed => "failed",
            CallState::SetupTimeout => "setup_timeout",
            CallState::Unfinished => "unfinished",
            CallState::MidCall => "mid_call",
        }
    }

    /// Whether the call has ended.
    pub fn is_over(self) -> bool {
        use CallState::{Cancelled, Completed, Failed, SetupTimeout, Unfinished};
        matches!(self, Completed | Cancelled | Failed | SetupTimeout | Unfinished)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleasedBy {
    Caller,
    Callee,
    /// No BYE: a timer of this program.
    Timeout,
    /// The call was up when the probe was stopped.
    ProbeStopped,
    /// The call was up when the capture file ended.
    CaptureEnded,
}

/// What ended the measuring while calls were up. It is no property of those calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A live capture was stopped, or failed.
    ProbeStopped,
    /// The last frame of a capture file.
    CaptureEnded,
}

impl ReleasedBy {
    pub fn name(self) -> &'static str {
        match self {
            ReleasedBy::Caller => "caller",
            ReleasedBy::Callee => "callee",
            ReleasedBy::Timeout => "timeout",
            ReleasedBy::ProbeStopped => "probe_stopped",
            ReleasedBy::CaptureEnded => "capture_ended",
        }
    }

    /// The measuring ended, not the call.
    pub fn is_cut(self) -> bool {
        matches!(self, ReleasedBy::ProbeStopped | ReleasedBy::CaptureEnded)
    }
}

impl From<Cut> for ReleasedBy {
    fn from(cut: Cut) -> ReleasedBy {
        match cut {
            Cut::ProbeStopped => ReleasedBy::ProbeStopped,
            Cut::CaptureEnded => ReleasedBy::CaptureEnded,
        }
    }
}

/// One side of a call as its From or To header names it. Numbers and names are personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// `user@host` of the URI, without scheme and parameters.
    pub uri: String,
    /// User part alone (often a phone number).
    pub user: String,
    pub display_name: String,
    /// Contents of User-Agent or Server, when seen.
    pub user_agent: String,
}

/// Why a call was bad. Codes are stable: alerts and dashboards name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiagnosisCode {
    /// Setup was refused; evidence has code and reason.
    SetupFailed,
    /// Nobody answered an INVITE at all.
    NoResponse,
    /// Answered, and no media either way.
    NoMedia,
    /// Answered, and one side does not hear the other: a witness says so.
    OneWayMedia,
    /// Answered, and media in one direction was not seen at this probe; nothing says whether it was received.
    MediaNotSeen,
    /// Media was not seen at this probe, and its receiver reports it: it takes another path.
    MediaElsewhere,
    /// Media stopped while the call went on.
    MediaInterrupted,
    /// Loss spread evenly.
    RandomLoss,
    /// Loss in runs.
    BurstyLoss,
    /// Delay variation that a usual buffer does not absorb.
    HighDelayVariation,
    /// Packets came in another order than sent.
    Reordering,
    /// The codec alone keeps quality low.
    LowQualityCodec,
    /// Round trip too long for conversation.
    LongDelay,
    /// Loss that the capture itself is suspected of.
    CaptureLoss,
    /// Answered without ACK.
    MissingAck,
    /// No BYE was seen.
    MissingBye,
    /// Long wait before the first ring.
    SlowSetup,
    /// Packets sent with a payload type nobody negotiated.
    UnnegotiatedPayload,
    /// Timestamps run at another clock rate than signalling names.
    ClockMismatch,
    /// The delay rose step by step: a queue fills somewhere on the way.
    QueueBuildUp,
    /// The delay changed at once and stayed so.
    RouteChange,
    /// The MOS is low, and no single cause reaches its threshold; evidence says which were ruled out.
    LowMos,
}

impl DiagnosisCode {
    pub const ALL: [DiagnosisCode; 22] = [
        DiagnosisCode::SetupFailed,
        DiagnosisCode::NoResponse,
        DiagnosisCode::NoMedia,
        DiagnosisCode::OneWayMedia,
        DiagnosisCode::MediaNotSeen,
        DiagnosisCode::MediaElsewhere,
        DiagnosisCode::MediaInterrupted,
        DiagnosisCode::RandomLoss,
        DiagnosisCode::BurstyLoss,
        DiagnosisCode::HighDelayVariation,
        DiagnosisCode::Reordering,
        DiagnosisCode::LowQualityCodec,
        DiagnosisCode::LongDelay,
        DiagnosisCode::CaptureLoss,
        DiagnosisCode::MissingAck,
        DiagnosisCode::MissingBye,
        DiagnosisCode::SlowSetup,
        DiagnosisCode::UnnegotiatedPayload,
        DiagnosisCode::ClockMismatch,
        DiagnosisCode::QueueBuildUp,
        DiagnosisCode::RouteChange,
        DiagnosisCode::LowMos,
    ];

    pub fn name(self) -> &'static str {
        match self {
            DiagnosisCode::SetupFailed => "setup_failed",
            DiagnosisCode::NoResponse => "no_response",
            DiagnosisCode::NoMedia => "no_media",
            DiagnosisCode::OneWayMedia => "one_way_media",
            DiagnosisCode::MediaNotSeen => "media_not_seen",
            DiagnosisCode::MediaElsewhere => "media_elsewhere",
            DiagnosisCode::MediaInterrupted => "media_interrupted",
            DiagnosisCode::RandomLoss => "random_loss",
            DiagnosisCode::BurstyLoss => "bursty_loss",
            DiagnosisCode::HighDelayVariation => "high_delay_variation",
            DiagnosisCode::Reordering => "reordering",
            DiagnosisCode::LowQualityCodec => "low_quality_codec",
            DiagnosisCode::LongDelay => "long_delay",
            DiagnosisCode::CaptureLoss => "capture_loss",
            DiagnosisCode::MissingAck => "missing_ack",
            DiagnosisCode::MissingBye => "missing_bye",
            DiagnosisCode::SlowSetup => "slow_setup",
            DiagnosisCode::UnnegotiatedPayload => "unnegotiated_payload",
            DiagnosisCode::ClockMismatch => "clock_mismatch",
            DiagnosisCode::QueueBuildUp => "queue_build_up",
            DiagnosisCode::RouteChange => "route_change",
            DiagnosisCode::LowMos => "low_mos",
        }
    }
}

/// One reason with its evidence, worst first in a call's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    pub code: DiagnosisCode,
    /// 0..=1.
    pub confidence: f32,
    /// One sentence with the numbers that speak for it.
    pub evidence: String,
}

/// Round trips of one kind. One number would mislead: the least bounds the path, the range shows how much waiting was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrips {
    /// At least 1.
    pub samples: u32,
    /// Not below 0.
    pub min: Nanos,
    pub max: Nanos,
}

impl RoundTrips {
    pub fn of(one: Nanos) -> RoundTrips {
        RoundTrips { samples: 1, min: one, max: one }
    }

    /// These and one more.
    #[must_use]
    pub fn and(self, one: Nanos) -> RoundTrips {
        RoundTrips { samples: self.samples.saturating_add(1), min: self.min.min(one), max: self.max.max(one) }
    }
}

/// Why a datagram was not delivered. Errors that only ask for smaller packets or another route are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undelivered {
    /// No program listens at the port: the host itself says so.
    Port,
    Host,
    Network,
    /// A filter refuses it.
    Prohibited,
    /// Too many hops: a loop.
    TimeExceeded,
}

impl Undelivered {
    pub fn name(self) -> &'static str {
        match self {
            Undelivered::Port => "port unreachable",
            Undelivered::Host => "host unreachable",
            Undelivered::Network => "network unreachable",
            Undelivered::Prohibited => "administratively prohibited",
            Undelivered::TimeExceeded => "time exceeded",
        }
    }
}

/// An ICMP error about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UndeliveredRequest {
    pub why: Undelivered,
    pub by: IpAddr,
}

/// One SIP call (INVITE session), by Call-ID. All times are those of the probe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallRecord {
    pub uid: CallUid,
    pub call_id: Arc<str>,
    pub caller: Party,
    pub callee: Party,
    pub state: CallState,
    /// Last final status of the initial INVITE attempt, 0 if none came.
    pub final_code: u16,
    pub final_reason: String,
    pub transport: Transport,
    /// Addresses of the first INVITE.
    pub signalling_src: Option<SocketAddr>,
    pub signalling_dst: Option<SocketAddr>,
    /// First message seen with this Call-ID.
    pub first_at: Timestamp,
    /// Last message or media packet seen.
    pub last_at: Timestamp,
    pub invite_at: Option<Timestamp>,
    /// First provisional answer above 100.
    pub ringing_at: Option<Timestamp>,
    pub answered_at: Option<Timestamp>,
    /// BYE, CANCEL or failure answer, else the last packet.
    pub ended_at: Option<Timestamp>,
    pub released_by: Option<ReleasedBy>,
    /// First 2xx to a BYE.
    pub bye_answered_at: Option<Timestamp>,
    /// INVITEs and UPDATEs inside the dialog after the first answer, retransmissions left out.
    pub reinvites: u32,
    /// Challenge rounds (401, 407) merged into the attempt.
    pub auth_rounds: u32,
    /// Neither an answer nor media came.
    pub unanswered: bool,
    /// An ICMP error about its latest INVITE; none once an answer came.
    pub undelivered: Option<UndeliveredRequest>,
    /// Time from challenges to the INVITEs with credentials: that of the caller, who may have typed a password.
    pub auth_wait: Nanos,
    /// The call whose challenge (401, 407) this INVITE answers, by Call-ID and From tag, when it came after
    /// [`super::Limits::challenge_hold`]; of several attempts the first.
    pub retry_of: Option<CallUid>,
    pub retransmissions: u32,
    pub messages: u32,
    /// Messages beyond [`super::Limits::messages_per_call`], counted and not kept.
    pub messages_dropped: u32,
    /// To tags seen in dialog-forming answers.
    pub branches: u32,
    pub acked: bool,
    /// The INVITE was not seen: times before the first message are unknown.
    pub started_mid_call: bool,
    /// It was ended to make room in a full table. It was not up.
    pub evicted: bool,
    /// `Reason` header of BYE or CANCEL (RFC 3326), empty if none.
    pub release_reason: String,
    /// Time from a request to its automatic answer, between probe and that side; `None` where none was seen. It holds
    /// the processing time of the answering element.
    pub sip_rtt_toward_caller: Option<RoundTrips>,
    pub sip_rtt_toward_callee: Option<RoundTrips>,
    pub streams: Vec<StreamId>,
    /// Listening MOS of the worst minute of its streams ([`Self::mos_worst_minute`]), on the scale of that stream.
    pub mos_worst: Option<f32>,
    pub mos_worst_scale: Option<Scale>,
    /// Lowest MOS of an interval, and lowest mean over a minute of intervals of one stream, each with its scale.
    pub mos_worst_interval: Option<RatedMos>,
    pub mos_worst_minute: Option<RatedMos>,
    /// When that minute began.
    pub mos_worst_minute_at: Option<Timestamp>,
    /// Largest p95 of delay variation among its streams.
    pub pdv_p95_worst: Option<Nanos>,
    /// Largest share lost among its streams, percent.
    pub loss_pct_worst: Option<f32>,
    pub directions_seen: u8,
    /// Of its signalling and all of its streams together.
    pub quality: Quality,
    pub diagnoses: Vec<Diagnosis>,
}

impl CallRecord {
    /// The class of the call as far as it is known.
    pub fn class(&self) -> CallClass {
        CallClass::of(self.state, self.final_code, self.diagnoses.iter().map(|d| d.code), self.mos_worst)
    }

    /// Post-dial delay: INVITE to the first answer that is not 100 (SRD of RFC 6076, at the probe).
    pub fn pdd(&self) -> Option<Nanos> {
        let first = self.ringing_at.or(self.answered_at).or(match self.state {
            CallState::Failed => self.ended_at,
            _ => None,
        })?;
        span(self.invite_at?, first)
    }

    /// INVITE to the failure response (SRD of RFC 6076 section 4.3.2, at the probe). `None` unless there was one.
    pub fn failure(&self) -> Option<Nanos> {
        let failed = self.state == CallState::Failed;
        span(self.invite_at?, self.ended_at.filter(|_| failed)?)
    }

    /// INVITE to the 2xx.
    pub fn setup(&self) -> Option<Nanos> {
        span(self.invite_at?, self.answered_at?)
    }

    /// 2xx to the end (SDT of RFC 6076).
    pub fn duration(&self) -> Option<Nanos> {
        span(self.answered_at?, self.ended_at?)
    }

    /// BYE to its 2xx (SDD of RFC 6076 section 4.4.1, at the probe). `None` where no BYE or no 2xx was seen.
    pub fn sdd(&self) -> Option<Nanos> {
        let released = self.state == CallState::Completed;
        span(self.ended_at.filter(|_| released)?, self.bye_answered_at?)
    }

    /// Whether an INVITE was seen that got a final response, was cancelled, or ran into the time limit: what the ratios of RFC 6076
    /// count. A call that the end of measuring cut before its answer is no attempt: its outcome is not known.
    pub fn is_attempt(&self) -> bool {
        self.invite_at.is_some()
            && (self.answered_at.is_some()
                || matches!(self.state, CallState::Failed | CallState::Cancelled | CallState::SetupTimeout))
    }
}

/// `None` where the capture's clock went back in between: how long it took is not known then.
fn span(from: Timestamp, to: Timestamp) -> Option<Nanos> {
    Some(to - from).filter(|span| *span >= Nanos::ZERO)
}
