//! What an operator may set: how to measure ([`Policy`]) and how much to hold ([`Limits`]).

use super::MeasurementPoint;
use crate::units::Nanos;

/// How to measure and judge. Pure data: the same policy on the same frames gives the same facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub point: MeasurementPoint,
    /// Length of an interval row, 1 s to 60 s, aligned to UTC.
    pub interval: Nanos,
    /// Look for RTP without signalling (with probation).
    pub find_unsignalled: bool,
    /// Keep SIP messages (headers and SDP) as facts.
    pub keep_sip_messages: bool,
    /// A stream of no call without packets for this long is over. A stream of a call ends with the call.
    pub stream_timeout: Nanos,
    /// A candidate that was not confirmed within this time is given up.
    pub candidate_timeout: Nanos,
    /// An answered call without signalling and without media for this long is over.
    pub call_timeout: Nanos,
    /// An INVITE without a final answer for this long is over (RFC 3261 Timer C is above 3 minutes).
    pub setup_timeout: Nanos,
    /// A call is held back for this long after its end, so that late media and RTCP still count.
    pub linger: Nanos,
    /// One-way network delay assumed where none was measured; `None` withholds the conversational MOS.
    pub assumed_one_way_delay: Option<Nanos>,
    /// Nominal jitter buffer of the receiver, for the conversational MOS and discards.
    pub jitter_buffer: Nanos,
    /// UDP and TCP ports on which unsure text is still tried as SIP.
    pub sip_ports: Vec<u16>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            point: MeasurementPoint::default(),
            interval: Nanos::from_secs(10),
            find_unsignalled: true,
            keep_sip_messages: true,
            stream_timeout: Nanos::from_secs(60),
            candidate_timeout: Nanos::from_secs(5),
            call_timeout: Nanos::from_secs(2 * 3600),
            setup_timeout: Nanos::from_secs(200),
            linger: Nanos::from_secs(5),
            assumed_one_way_delay: None,
            jitter_buffer: Nanos::from_millis(60),
            sip_ports: vec![5060, 5061, 5062, 5080],
        }
    }
}

/// How much is held at most. Each limit has a counter ([`super::OverLimit`]) and an order in which
/// it is shed (docs/operations.md, "When a table is full"); never a call that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// RTP streams measured at once, over all shards.
    pub streams: usize,
    /// RTP candidates in probation at once, over all shards.
    pub candidates: usize,
    /// Candidates in probation per 5-tuple.
    pub candidates_per_flow: usize,
    /// Calls held at once.
    pub calls: usize,
    /// SIP messages remembered per call; counters go on.
    pub messages_per_call: usize,
    /// Dialog branches (To tags) remembered per call.
    pub branches_per_call: usize,
    /// Expected media endpoints held at once.
    pub media_endpoints: usize,
    /// TCP connections under reassembly.
    pub tcp_connections: usize,
    /// Bytes buffered per TCP direction.
    pub tcp_bytes: usize,
    /// Bytes of IP fragments held.
    pub fragment_bytes: usize,
    /// Largest SIP message parsed, in bytes.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            streams: 400_000,
            candidates: 65_536,
            candidates_per_flow: 8,
            calls: 200_000,
            messages_per_call: 500,
            branches_per_call: 64,
            media_endpoints: 800_000,
            tcp_connections: 16_384,
            tcp_bytes: 128 * 1024,
            fragment_bytes: 32 * 1024 * 1024,
            message_bytes: 128 * 1024,
        }
    }
}

impl Limits {
    /// What each limit may hold at worst: its name, how many, and bytes of each. Bytes are those a release build was seen
    /// to take, rounded up, with everything that hangs on the unit: tables and their growth by doubling, histograms of
    /// a stream's whole life, identities of every message of a call. Traffic that is no attack takes a fraction.
    pub fn shares(&self) -> [(&'static str, usize, usize); 6] {
        [
            ("streams", self.streams, 6 * 1024),
            ("candidates", self.candidates, 3 * 1024),
            ("calls", self.calls, 6 * 1024 + 32 * self.messages_per_call + 64 * self.branches_per_call),
            ("media_endpoints", self.media_endpoints, 512),
            ("tcp_connections", self.tcp_connections, 2 * self.tcp_bytes + 1024),
            ("fragment_bytes", self.fragment_bytes, 2),
        ]
    }
}
