//! What the decoder hands to a shard: identity, header fields and path of one RTP packet.

use crate::model::Tunnel;
use crate::units::{Ssrc, Timestamp};
use crate::wire::PlainRtp;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Source, destination and SSRC: what makes a stream. IPv4 addresses in their IPv6-mapped form.
/// Packed, because a table of every stream has several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C, packed(8))]
pub struct FlowKey {
    pub src_ip: u128,
    pub dst_ip: u128,
    pub src_port: u16,
    pub dst_port: u16,
    pub ssrc: u32,
}

/// One address and port, as a table key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, packed(8))]
pub struct Endpoint {
    pub ip: u128,
    pub port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(at: SocketAddr) -> Self {
        let ip = match at.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Endpoint { ip: ip.to_bits(), port: at.port() }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(e: Endpoint) -> Self {
        SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(e.ip)).to_canonical(), e.port)
    }
}

/// In three words instead of five: every packet is looked up by it.
impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u128(self.src_ip);
        hasher.write_u128(self.dst_ip);
        hasher.write_u64(u64::from(self.src_port) << 48 | u64::from(self.dst_port) << 32 | u64::from(self.ssrc));
    }
}

impl FlowKey {
    #[inline]
    pub fn new(src: SocketAddr, dst: SocketAddr, ssrc: Ssrc) -> FlowKey {
        let (src, dst) = (Endpoint::from(src), Endpoint::from(dst));
        FlowKey { src_ip: src.ip, dst_ip: dst.ip, src_port: src.port, dst_port: dst.port, ssrc: ssrc.0 }
    }

    pub fn src(&self) -> Endpoint {
        Endpoint { ip: self.src_ip, port: self.src_port }
    }

    pub fn dst(&self) -> Endpoint {
        Endpoint { ip: self.dst_ip, port: self.dst_port }
    }

    /// Same sender and SSRC, any destination: the part that stays when a sender is redirected.
    pub(super) fn source(&self) -> (Endpoint, u32) {
        (self.src(), self.ssrc)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub at: Timestamp,
    pub key: FlowKey,
    pub seq: u16,
    pub timestamp: u32,
    pub payload_type: u8,
    pub marker: bool,
    /// Fewer bytes were captured than the packet has.
    pub cut_short: bool,
    /// Payload bytes on the wire.
    pub payload_len: u16,
    /// Identification of the IPv4 header; 0 and `None` say nothing about copies.
    pub ip_id: Option<u16>,
    pub ttl: u8,
    pub dscp: u8,
    pub vlan: u16,
    pub tunnel: Option<Tunnel>,
    /// What becomes of it is the outcome of its frame: of several packets in one TCP segment, the first.
    pub is_outcome: bool,
}

impl Packet {
    /// Room for a packet.
    pub const NONE: Packet = Packet {
        at: Timestamp::MIN,
        key: FlowKey { src_ip: 0, dst_ip: 0, src_port: 0, dst_port: 0, ssrc: 0 },
        seq: 0,
        timestamp: 0,
        payload_type: 0,
        marker: false,
        cut_short: false,
        payload_len: 0,
        ip_id: None,
        ttl: 0,
        dscp: 0,
        vlan: 0,
        tunnel: None,
        is_outcome: true,
    };

    #[inline(always)]
    pub fn plain(at: Timestamp, rtp: &PlainRtp) -> Packet {
        Packet {
            at,
            key: FlowKey {
                src_ip: rtp.src_ip,
                dst_ip: rtp.dst_ip,
                src_port: rtp.src_port,
                dst_port: rtp.dst_port,
                ssrc: rtp.ssrc,
            },
            seq: rtp.seq,
            timestamp: rtp.timestamp,
            payload_type: rtp.payload_type,
            marker: rtp.marker,
            cut_short: rtp.cut_short,
            payload_len: rtp.payload_len,
            ip_id: rtp.path.ip_id,
            ttl: rtp.path.ttl,
            dscp: rtp.path.dscp,
            vlan: rtp.path.vlan,
            tunnel: rtp.path.tunnel,
            is_outcome: true,
        }
    }
}
