//! What a call is to be: who, when, how it ends, what its media goes through.

use crate::codec::Codec;
use crate::path::Path;
use crate::sender::Habits;
use std::net::{IpAddr, SocketAddr};

/// One end of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Party {
    pub name: String,
    /// User part of the URI: a number of the ranges kept for fiction, or a name.
    pub user: String,
    pub domain: String,
    pub sip: SocketAddr,
    pub media: SocketAddr,
    /// User-Agent or Server.
    pub agent: String,
}

impl Party {
    /// A party whose SIP is at port 5060 of the address its media is at. The address must parse.
    pub fn new(name: &str, user: &str, ip: &str, media_port: u16) -> Party {
        let ip: IpAddr = ip.parse().expect("an IP address");
        Party {
            name: name.into(),
            user: user.into(),
            domain: "example.com".into(),
            sip: SocketAddr::new(ip, 5060),
            media: SocketAddr::new(ip, media_port),
            agent: "ExamplePhone/4.2".into(),
        }
    }

    pub fn uri(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// How the setup ends. The final answer (or CANCEL) comes [`CallSpec::answer_ms`] after the INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// Refused with this code; 180 before it when [`CallSpec::ring_ms`] is less than `answer_ms`.
    Refused(u16),
    /// Given up by the caller.
    Cancelled,
    /// No answer of any kind: the INVITE is repeated by timer A until timer B (32 s).
    NoResponse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller,
    Callee,
}

/// A re-INVITE in the established call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// ms from the answer.
    pub at_ms: i64,
    pub by: Side,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `a=inactive`; with music `a=sendonly`, and only the holder sends.
    Hold {
        music: bool,
    },
    Resume,
    Codec(Codec),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp {
    pub interval_ms: i64,
    /// On the RTP port (RFC 5761), else one above.
    pub mux: bool,
}

/// A B2BUA in the middle: its own dialog to the callee, and the media of both sides through it with SSRC and sequence
/// untouched. The probe sees both legs.
#[derive(Clone, Debug, PartialEq)]
pub struct Relay {
    pub outer_sip: SocketAddr,
    pub outer_media: SocketAddr,
    pub inner_sip: SocketAddr,
    pub inner_media: SocketAddr,
    pub delay_us: i64,
}

/// One way of the media.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Way {
    pub habits: Habits,
    pub path: Path,
}

/// A call to be played.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSpec {
    /// INVITE, ms from the start of the world.
    pub start_ms: i64,
    /// INVITE to 180 (or 183).
    pub ring_ms: i64,
    /// INVITE to the final answer.
    pub answer_ms: i64,
    /// Answer to BYE.
    pub talk_ms: i64,
    pub outcome: Outcome,
    /// Who sends BYE; `None`: nobody does, the media just ends.
    pub released_by: Option<Side>,
    /// The first INVITE is challenged with 407.
    pub auth: bool,
    /// 183 with SDP and media from the callee before the answer.
    pub early_media: bool,
    /// The INVITE is repeated this often (500 ms, 1 s ...) before anything comes back.
    pub retransmits: u32,
    /// Whether the 2xx is acknowledged.
    pub acked: bool,
    pub codec: Codec,
    pub ptime_ms: u32,
    pub transport: Transport,
    pub caller: Party,
    pub callee: Party,
    /// Caller to callee.
    pub forward: Way,
    /// Callee to caller.
    pub backward: Way,
    /// In order of time.
    pub changes: Vec<Change>,
    /// The callee refers the caller to this URI at this time from the answer, then releases.
    pub transfer: Option<(i64, String)>,
    pub rtcp: Option<Rtcp>,
    pub relay: Option<Relay>,
    /// Signalling is not captured.
    pub media_only: bool,
}

impl CallSpec {
    /// An answered 20-second G.729 call over a quiet network, caller releasing, with RTCP every 5 s.
    pub fn new(start_ms: i64, caller: Party, callee: Party) -> CallSpec {
        CallSpec {
            start_ms,
            ring_ms: 400,
            answer_ms: 3_000,
            talk_ms: 20_000,
            outcome: Outcome::Answered,
            released_by: Some(Side::Caller),
            auth: false,
            early_media: false,
            retransmits: 0,
            acked: true,
            codec: Codec::G729,
            ptime_ms: 20,
            transport: Transport::Udp,
            caller,
            callee,
            forward: Way::default(),
            backward: Way::default(),
            changes: Vec::new(),
            transfer: None,
            rtcp: Some(Rtcp { interval_ms: 5_000, mux: false }),
            relay: None,
            media_only: false,
        }
    }
}
