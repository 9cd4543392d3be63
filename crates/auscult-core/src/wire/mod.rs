//! Bytes to checked views: link, VLAN, tunnels, IP, UDP, TCP, RTP, RTCP, and what kind of payload a datagram is.
//!
//! Nothing here fails, logs or reads a clock. One rule holds at every layer: running out of captured bytes is
//! [`Ignored::CutShort`](crate::model::Ignored::CutShort), a field that contradicts itself is
//! [`Outcome::Malformed`] with its layer. Lengths inside IP and UDP headers are believed over the frame's, so
//! Ethernet padding never becomes payload.
//!
//! etherparse reads the headers it knows; tunnels are read here. [`fast_udp`] is a second, hand-written way
//! through the usual layers, and [`fast_rtp`] one that also reads the usual RTP header; property tests hold them together.

pub mod byte_reader;
pub mod classify;
mod decoder;
mod esp;
mod fast;
mod fragments;
mod icmp;
mod layers;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod sip;
pub(crate) mod steps;
pub mod tcp;
mod tunnels;
pub mod units;
pub mod vqreport;
pub mod websocket;
mod xr;

pub use decoder::{Decoder, DecoderCounters};
pub use fast::{PlainRtp, fast_rtp, fast_udp};
pub use icmp::IcmpError;

use crate::model::{Outcome, Tunnel};
use std::net::SocketAddr;

/// `LINKTYPE_` value of a capture (tcpdump.org/linktypes.html).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LinkType(pub u32);

impl LinkType {
    /// BSD loopback: address family in the byte order of the capturing host.
    pub const NULL: LinkType = LinkType(0);
    pub const ETHERNET: LinkType = LinkType(1);
    pub const PPP: LinkType = LinkType(9);
    /// DLT_RAW of most systems.
    pub const DLT_RAW: LinkType = LinkType(12);
    /// DLT_RAW of OpenBSD.
    pub const DLT_RAW_OPENBSD: LinkType = LinkType(14);
    pub const PPP_HDLC: LinkType = LinkType(50);
    pub const PPP_ETHER: LinkType = LinkType(51);
    pub const RAW: LinkType = LinkType(101);
    /// OpenBSD loopback: address family in network byte order.
    pub const LOOP: LinkType = LinkType(108);
    pub const LINUX_SLL: LinkType = LinkType(113);
    pub const IPV4: LinkType = LinkType(228);
    pub const IPV6: LinkType = LinkType(229);
    /// Packets that a netfilter rule logged, behind attributes of the log.
    pub const NFLOG: LinkType = LinkType(239);
    pub const LINUX_SLL2: LinkType = LinkType(276);
}

/// What was in a frame.
#[derive(Debug)]
pub enum Decoded<'a> {
    Udp(Datagram<'a>),
    Tcp(Segment<'a>),
    /// A datagram was not delivered.
    Icmp(IcmpError<'a>),
    /// Nothing to go on with: ignored, malformed or over a limit.
    Done(Outcome),
}

/// How a packet travelled, from the innermost IP header and the layers around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// IPv4 identification, or the low half of that of an IPv6 fragment header; `None` for IPv6 without one.
    pub ip_id: Option<u16>,
    pub ttl: u8,
    /// Differentiated services code point, 0..=63.
    pub dscp: u8,
    /// Outermost VLAN, 0 if none.
    pub vlan: u16,
    /// Innermost encapsulation.
    pub tunnel: Option<Tunnel>,
}

/// One UDP datagram. IPv4-mapped IPv6 addresses are given as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub path: Path,
    /// Payload as far as it was captured.
    pub payload: &'a [u8],
    /// Payload length on the wire, by the UDP header.
    pub wire_len: usize,
}

/// One TCP segment. IPv4-mapped IPv6 addresses are given as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub path: Path,
    pub seq: u32,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    /// Payload as far as it was captured.
    pub payload: &'a [u8],
    /// Payload length on the wire, by the IP header.
    pub wire_len: usize,
}
