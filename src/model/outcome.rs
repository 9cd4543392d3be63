//! What became of each frame. Every frame ends in exactly one outcome.

use std::collections::BTreeMap;

/// The layer at which a frame or message stopped making sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    Link,
    Ip,
    Tunnel,
    Udp,
    Tcp,
    Rtp,
    Rtcp,
    Sip,
    Sdp,
}

impl Layer {
    pub fn name(self) -> &'static str {
        match self {
            Layer::Link => "link",
            Layer::Ip => "ip",
            Layer::Tunnel => "tunnel",
            Layer::Udp => "udp",
            Layer::Tcp => "tcp",
            Layer::Rtp => "rtp",
            Layer::Rtcp => "rtcp",
            Layer::Sip => "sip",
            Layer::Sdp => "sdp",
        }
    }
}

/// Why a well-formed frame was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// Link type or EtherType other than IP.
    NotIp,
    /// IP protocol other than UDP and TCP (ICMP and its quoted packets among them).
    OtherProtocol,
    /// UDP that is none of RTP, RTCP, SIP, STUN, DTLS.
    OtherUdp,
    /// TCP that carries no SIP, and segments without data.
    OtherTcp,
    /// Looked like RTP but was never confirmed as a stream.
    UnconfirmedMedia,
    Stun,
    Dtls,
    /// T.38 fax (UDPTL) on a port that carried media.
    Udptl,
    /// A fragment kept for its datagram; the frame that completes it carries the outcome.
    Fragment,
    /// Keep-alives: empty datagrams, CRLF, zero bytes.
    KeepAlive,
    /// A repeated TCP segment.
    TcpRetransmission,
    /// RTCP that a mirror showed before.
    RtcpCopy,
    /// RTCP between addresses and about sources of which neither a call nor a stream is known, nor was soon after it.
    UnknownRtcp,
    /// No bytes captured of the layer that matters (snap length).
    CutShort,
    /// The time of the frame is outside of what is measured, see [`crate::units::Timestamp::LATEST`].
    TimeOutOfRange,
}

impl Ignored {
    pub fn name(self) -> &'static str {
        match self {
            Ignored::NotIp => "not_ip",
            Ignored::OtherProtocol => "other_protocol",
            Ignored::OtherUdp => "other_udp",
            Ignored::OtherTcp => "other_tcp",
            Ignored::UnconfirmedMedia => "unconfirmed_media",
            Ignored::Stun => "stun",
            Ignored::Dtls => "dtls",
            Ignored::Udptl => "udptl",
            Ignored::Fragment => "fragment",
            Ignored::KeepAlive => "keep_alive",
            Ignored::TcpRetransmission => "tcp_retransmission",
            Ignored::RtcpCopy => "rtcp_copy",
            Ignored::UnknownRtcp => "unknown_rtcp",
            Ignored::CutShort => "cut_short",
            Ignored::TimeOutOfRange => "time_out_of_range",
        }
    }
}

/// Which entry of [`super::Limits`] a frame ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OverLimit {
    Streams,
    Candidates,
    Calls,
    MessagesPerCall,
    TcpConnections,
    TcpBytes,
    Fragments,
    MessageSize,
    /// Header block of a SIP message.
    HeaderSize,
    EncapsulationDepth,
    Queue,
}

impl OverLimit {
    pub fn name(self) -> &'static str {
        match self {
            OverLimit::Streams => "streams",
            OverLimit::Candidates => "candidates",
            OverLimit::Calls => "calls",
            OverLimit::MessagesPerCall => "messages_per_call",
            OverLimit::TcpConnections => "tcp_connections",
            OverLimit::TcpBytes => "tcp_bytes",
            OverLimit::Fragments => "fragments",
            OverLimit::MessageSize => "message_size",
            OverLimit::HeaderSize => "header_size",
            OverLimit::EncapsulationDepth => "encapsulation_depth",
            OverLimit::Queue => "queue",
        }
    }
}

/// The one end every frame comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Media,
    Rtcp,
    Sip,
    Ignored(Ignored),
    Malformed(Layer),
    OverLimit(OverLimit),
}

impl Outcome {
    /// Name in JSON documents and metrics: `media`, `ignored.stun`, `malformed.sip`, `over_limit.calls`.
    pub fn name(self) -> String {
        match self {
            Outcome::Media => "media".to_owned(),
            Outcome::Rtcp => "rtcp".to_owned(),
            Outcome::Sip => "sip".to_owned(),
            Outcome::Ignored(why) => format!("ignored.{}", why.name()),
            Outcome::Malformed(layer) => format!("malformed.{}", layer.name()),
            Outcome::OverLimit(what) => format!("over_limit.{}", what.name()),
        }
    }
}

/// Frames per outcome, in a stable order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts(pub BTreeMap<Outcome, u64>);

impl OutcomeCounts {
    pub fn add(&mut self, outcome: Outcome, frames: u64) {
        if frames > 0 {
            *self.0.entry(outcome).or_default() += frames;
        }
    }

    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0.get(&outcome).copied().unwrap_or(0)
    }

    pub fn merge(&mut self, other: &OutcomeCounts) {
        for (outcome, frames) in &other.0 {
            self.add(*outcome, *frames);
        }
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}
