//! The truth file: what a monitor should find in a capture of this world.

use crate::oracle::Numbers;
use crate::rtcp::Report;
use serde::Serialize;

/// Everything true about one capture. Times are ns since the epoch, at the probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Truth {
    /// The seed that makes this world again.
    pub seed: u64,
    pub totals: Totals,
    pub calls: Vec<CallTruth>,
    pub streams: Vec<StreamTruth>,
}

/// Frames in the capture by kind, the mirror's copies among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub frames: u64,
    pub sip: u64,
    pub rtp: u64,
    pub rtcp: u64,
    /// TCP segments without SIP in them.
    pub tcp_control: u64,
    /// Traffic that is no telephony.
    pub other: u64,
    /// How many of all these are copies made by the mirror.
    pub mirror_copies: u64,
    pub cut_short: u64,
}

/// One SIP dialog. `None`: it did not happen, or was not captured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CallTruth {
    pub call_id: String,
    /// Number of the call in the world; both legs of a B2BUA have the same.
    pub call: usize,
    /// 0, or 1 for the leg behind a B2BUA.
    pub leg: u8,
    pub from_user: String,
    pub to_user: String,
    pub transport: &'static str,
    /// `completed`, `cancelled`, `failed`, `setup_timeout` or `unfinished`.
    pub state: &'static str,
    /// Final answer of the INVITE after any challenge; 0 if none.
    pub final_code: u16,
    pub invite_at: i64,
    pub ring_at: Option<i64>,
    pub answer_at: Option<i64>,
    /// BYE, CANCEL or the refusal.
    pub end_at: Option<i64>,
    pub released_by: Option<&'static str>,
    pub setup_ms: Option<f64>,
    pub duration_ms: Option<f64>,
    pub reinvites: u32,
    pub auth_rounds: u32,
    pub retransmissions: u32,
    /// SIP messages, repeated ones counted, the mirror's copies not.
    pub messages: u32,
    pub acked: bool,
    /// Round trip between probe and each side, and between the sides, from delays without variation, ms.
    pub rtt_ms: Option<Rtt>,
    /// Requests that went towards each side and their automatic answers: 100 to INVITE, the answer to BYE, CANCEL and NOTIFY.
    /// Those of requests sent more than once are not there.
    pub sip_rtt_ms: SipRtt,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SipRtt {
    pub toward_caller: Vec<f64>,
    pub toward_callee: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rtt {
    pub to_caller: f64,
    pub to_callee: f64,
    pub total: f64,
}

/// One RTP stream as captured: an SSRC between two addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StreamTruth {
    pub call_id: String,
    pub call: usize,
    pub leg: u8,
    /// `caller` or `callee`.
    pub sender: &'static str,
    pub src: String,
    pub dst: String,
    /// `0x` and eight digits.
    pub ssrc: String,
    /// In order of appearance; the first is that of the call's start.
    pub codecs: Vec<&'static str>,
    pub payload_type: u8,
    pub clock: u32,
    pub ptime_ms: u32,
    pub dscp: u8,
    pub ttl: u8,
    pub drift_ppm: i32,
    /// Digits sent, empty if none. Each is several packets.
    pub digits: String,
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Packets the sender sent.
    pub sent: u64,
    pub lost_before_probe: u64,
    /// Passed the probe and are missing in the capture only.
    pub missed_by_probe: u64,
    pub lost_after_probe: u64,
    /// Report blocks about this stream, as they passed the probe.
    pub reports: Vec<Report>,
}

impl Truth {
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data has a JSON form") + "\n"
    }
}
