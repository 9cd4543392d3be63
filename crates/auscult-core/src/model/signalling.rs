//! SIP messages and RTCP reports as events.

use super::{CallUid, CodecId, StreamId};
use crate::units::{ClockRate, Nanos, NtpTime, PayloadType, Ssrc, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;

/// Transport of a SIP message (RFC 3261 section 18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transport {
    #[default]
    Udp,
    Tcp,
    /// WebSocket (RFC 7118).
    Ws,
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Ws => "WS",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SipDirection {
    Request,
    Response,
}

/// What a payload type carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadKind {
    Audio,
    Video,
    /// RFC 4733.
    TelephoneEvent,
    /// RFC 3389.
    ComfortNoise,
    /// T.38 and other fax.
    Fax,
    /// Retransmissions (RFC 4588) and forward error correction: no media of its own, and sent at times of its own.
    Repair,
    Other,
}

impl PayloadKind {
    /// Whether this is the encoding name of a retransmission or FEC payload format, in any spelling.
    pub fn is_repair(encoding_name: &str) -> bool {
        const NAMES: [&str; 9] = [
            "rtx",
            "ulpfec",
            "uulpfec",
            "flexfec",
            "flexfec-03",
            "parityfec",
            "1d-interleaved-parityfec",
            "raptorfec",
            "rsfec",
        ];
        NAMES.iter().any(|name| name.eq_ignore_ascii_case(encoding_name))
    }
}

/// Whether signalling says that payload is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Srtp {
    #[default]
    Off,
    /// `trailer`: bytes after the payload of every packet, the authentication tag and a master key identifier
    /// (RFC 3711 section 3.1). `None` where signalling leaves it open.
    On { trailer: Option<u8> },
}

impl Srtp {
    /// One more way that is offered: what they do not agree about stays open.
    pub fn and(self, other: Srtp) -> Srtp {
        match (self, other) {
            (Srtp::Off, one) | (one, Srtp::Off) => one,
            (Srtp::On { trailer: a }, Srtp::On { trailer: b }) => Srtp::On { trailer: a.filter(|_| a == b) },
        }
    }

    /// What the other side chose, where this one leaves it open.
    pub fn negotiated_with(self, other: Srtp) -> Srtp {
        match (self, other) {
            (Srtp::On { trailer: None }, Srtp::On { .. }) => other,
            _ => self,
        }
    }
}

/// One payload type of an SDP media description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadMap {
    pub payload_type: PayloadType,
    pub codec: CodecId,
    pub clock: ClockRate,
    pub kind: PayloadKind,
}

/// One SIP message as seen, for the ladder and for evidence. Header part and SDP only: other bodies are not kept,
/// and every value that is not on the allow-list of `wire::sip` is replaced before it gets here.
#[derive(Clone, Debug, PartialEq)]
pub struct SipMessageRecord {
    pub at: Timestamp,
    pub call_uid: CallUid,
    pub call_id: Arc<str>,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub transport: Transport,
    pub direction: SipDirection,
    /// Method of the request, or of the CSeq for a response.
    pub method: String,
    /// Status code for a response, 0 for a request.
    pub status: u16,
    pub reason: String,
    pub cseq: u32,
    /// The same message was seen before (same transaction, same direction).
    pub retransmission: bool,
    /// First line and headers, as UTF-8 with replacement characters.
    pub headers: String,
    /// SDP body, empty if none.
    pub sdp: String,
    /// Fewer bytes were captured than the message has.
    pub cut_short: bool,
}

impl SipMessageRecord {
    /// Bytes of memory the record takes, its texts among them. The Call-ID counts: the record may be the last that has it.
    pub fn held_bytes(&self) -> usize {
        let texts = [&self.method, &self.reason, &self.headers, &self.sdp];
        size_of::<Self>() + self.call_id.len() + texts.into_iter().map(String::capacity).sum::<usize>()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RtcpKind {
    SenderReport,
    ReceiverReport,
    Bye,
    VoipMetrics,
    /// RFC 6035 `application/vq-rtcpxr`, by SIP.
    VqReport,
}

/// One reception report block (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream the report is about.
    pub ssrc: Ssrc,
    /// Fraction lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Cumulative number of packets lost, signed 24 bit.
    pub cumulative_lost: i32,
    pub highest_seq: u32,
    /// Interarrival jitter in ticks of the reported stream's clock.
    pub jitter_ticks: u32,
    /// Middle 32 bits of the NTP time of the last SR, 0 if none.
    pub last_sr: u32,
    /// Delay since that SR in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// VoIP metrics of RTCP XR block type 7 (RFC 3611 section 4.7) or of a report by SIP (RFC 6035). What is unknown (127 and 0 on
/// the wire) or not named is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VoipMetrics {
    pub ssrc: Ssrc,
    /// Loss, discard and densities in percent, 0 to 100.
    pub loss_pct: Option<f32>,
    pub discard_pct: Option<f32>,
    pub burst_density_pct: Option<f32>,
    pub gap_density_pct: Option<f32>,
    pub burst_ms: Option<u16>,
    pub gap_ms: Option<u16>,
    pub round_trip_ms: Option<u16>,
    pub end_system_ms: Option<u16>,
    pub signal_dbm: Option<i8>,
    pub noise_dbm: Option<i8>,
    pub residual_echo_return_loss_db: Option<u8>,
    pub gmin: Option<u8>,
    pub r: Option<u8>,
    pub external_r: Option<u8>,
    pub mos_lq: Option<f32>,
    pub mos_cq: Option<f32>,
    pub rx_config: Option<u8>,
    pub jitter_buffer_nominal_ms: Option<u16>,
    pub jitter_buffer_maximum_ms: Option<u16>,
    pub jitter_buffer_absolute_maximum_ms: Option<u16>,
}

/// Whose figures a report by SIP states: the reporter's own, or those it received from its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VqSide {
    Local,
    Remote,
}

impl VqSide {
    pub fn name(self) -> &'static str {
        match self {
            VqSide::Local => "local",
            VqSide::Remote => "remote",
        }
    }
}

/// What a report by SIP (RFC 6035 section 4.6.2) says of one side beyond [`VoipMetrics`].
#[derive(Clone, Debug, PartialEq)]
pub struct VqMeasured {
    pub side: VqSide,
    /// The time it is about.
    pub start: Option<Timestamp>,
    pub stop: Option<Timestamp>,
    /// `OWD`, and `SOWD`: the same from round trip and end systems, taken to be alike both ways.
    pub one_way_delay_ms: Option<u16>,
    pub symmetric_one_way_delay_ms: Option<u16>,
    /// `IAJ` (RFC 3550) and `MAJ` (G.1020).
    pub interarrival_jitter_ms: Option<f32>,
    pub mean_absolute_jitter_ms: Option<f32>,
    /// `RCQ`: R with the delay. `VoipMetrics::r` is `RLQ`, without.
    pub r_cq: Option<u8>,
    /// `EXTRO`. `VoipMetrics::external_r` is `EXTRI`.
    pub external_r_out: Option<u8>,
    /// Session description, algorithms of the estimates, and what kind of report it was, by the keys of the RFC and as
    /// written. No key is there twice.
    pub described: Vec<(&'static str, String)>,
}

/// What one endpoint reported by RTCP about one stream, or about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct RtcpRecord {
    pub at: Timestamp,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub kind: RtcpKind,
    /// SSRC of the reporter.
    pub reporter: Ssrc,
    pub call_uid: Option<CallUid>,
    /// Stream the block is about, when it was seen.
    pub stream: Option<StreamId>,
    /// Sender information of an SR.
    pub ntp: Option<NtpTime>,
    pub rtp_timestamp: Option<u32>,
    pub sent_packets: Option<u32>,
    pub sent_octets: Option<u32>,
    pub block: Option<ReportBlock>,
    pub voip: Option<VoipMetrics>,
    /// Of a report by SIP.
    pub vq: Option<Box<VqMeasured>>,
    /// Round trip between the probe and the reporter (RFC 3550 section 6.4.1 at a midpoint), if this report allowed one.
    pub rtt_probe_reporter: Option<Nanos>,
    /// Why the report is not believed; it is kept all the same. Empty when plausible.
    pub implausible: String,
}
