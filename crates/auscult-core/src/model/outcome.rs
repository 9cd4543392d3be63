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

/// Link types of captures that are not read, so that a capture of nothing but them says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnreadLink {
    /// IEEE 802.11, bare or behind a radiotap, Prism or AVS header.
    Ieee80211,
    /// Frames of USB or Bluetooth.
    Device,
    /// SS7: MTP2, MTP3, SCCP.
    Ss7,
    /// Logs of packet filters other than NFLOG.
    FilterLog,
    Other,
}

impl UnreadLink {
    /// Of a `LINKTYPE_` value (tcpdump.org/linktypes.html).
    pub fn of(link: u32) -> UnreadLink {
        match link {
            105 | 119 | 127 | 163 | 192 => UnreadLink::Ieee80211,
            186 | 187 | 189 | 201 | 220 | 249 | 251 | 254 | 256 => UnreadLink::Device,
            139..=142 => UnreadLink::Ss7,
            17 | 117 | 149 | 258 => UnreadLink::FilterLog,
            _ => UnreadLink::Other,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            UnreadLink::Ieee80211 => "link_ieee80211",
            UnreadLink::Device => "link_device",
            UnreadLink::Ss7 => "link_ss7",
            UnreadLink::FilterLog => "link_filter_log",
            UnreadLink::Other => "link_other",
        }
    }
}

/// Tunnels that are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnreadTunnel {
    /// IPsec that is encrypted.
    Esp,
    /// L2TP over IP or UDP.
    L2tp,
    /// IEEE 802.1AE.
    Macsec,
    /// Network service header (RFC 8300).
    Nsh,
    /// MPLS with neither IP nor Ethernet in it.
    Pseudowire,
    /// TZSP with anything but Ethernet in it.
    Tzsp,
}

impl UnreadTunnel {
    pub fn name(self) -> &'static str {
        match self {
            UnreadTunnel::Esp => "tunnel_esp",
            UnreadTunnel::L2tp => "tunnel_l2tp",
            UnreadTunnel::Macsec => "tunnel_macsec",
            UnreadTunnel::Nsh => "tunnel_nsh",
            UnreadTunnel::Pseudowire => "tunnel_pseudowire",
            UnreadTunnel::Tzsp => "tunnel_tzsp",
        }
    }
}

/// Why a well-formed frame was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// Link type or EtherType other than IP.
    NotIp,
    /// IP protocol other than UDP and TCP (ICMP among them, but for errors about media and signalling).
    OtherProtocol,
    /// An ICMP error about a UDP datagram. It is evidence where the datagram was of a call.
    IcmpError,
    /// Link type that is not read.
    UnreadLink(UnreadLink),
    /// Tunnel that is not read.
    UnreadTunnel(UnreadTunnel),
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
    /// Part of a packet or WebSocket message whose rest comes in another TCP segment.
    TcpPart,
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
            Ignored::IcmpError => "icmp_error",
            Ignored::UnreadLink(link) => link.name(),
            Ignored::UnreadTunnel(tunnel) => tunnel.name(),
            Ignored::OtherUdp => "other_udp",
            Ignored::OtherTcp => "other_tcp",
            Ignored::UnconfirmedMedia => "unconfirmed_media",
            Ignored::Stun => "stun",
            Ignored::Dtls => "dtls",
            Ignored::Udptl => "udptl",
            Ignored::Fragment => "fragment",
            Ignored::KeepAlive => "keep_alive",
            Ignored::TcpRetransmission => "tcp_retransmission",
            Ignored::TcpPart => "tcp_part",
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
