//! The short way through Ethernet, up to two VLAN tags, IPv4 without options or plain IPv6, and UDP.
//!
//! Anything unusual (fragments, options, tunnels, lengths that disagree, headers cut off) is left to
//! [`Decoder`](super::Decoder), which gives the same answer for everything taken here.

use super::layers::is_vlan_tag;
use super::tunnels::may_be_tunnel_port;
use super::{Datagram, LinkType, Path};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const UDP: u8 = 17;

/// An RTP packet without padding, extension and CSRC list, as nearly all are. IPv4 addresses in their IPv6-mapped form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainRtp {
    pub src_ip: u128,
    pub dst_ip: u128,
    pub src_port: u16,
    pub dst_port: u16,
    pub ssrc: u32,
    pub timestamp: u32,
    pub seq: u16,
    pub payload_type: u8,
    pub marker: bool,
    /// Payload bytes on the wire.
    pub payload_len: u16,
    /// Fewer of them were captured.
    pub cut_short: bool,
    pub path: Path,
}

/// A UDP datagram in an ordinary Ethernet frame; `None` when the frame needs the full decoder.
#[inline]
pub fn fast_udp<'a>(link: LinkType, bytes: &'a [u8]) -> Option<Datagram<'a>> {
    let (ethertype, vlan, rest) = ethernet(link, bytes)?;
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(rest, vlan),
        ETHERTYPE_IPV6 => ipv6(rest, vlan),
        _ => None,
    }
}

/// What [`fast_udp`], [`classify`](super::classify::classify) and the header say of an ordinary RTP packet, in one step;
/// `None` for all else.
#[inline]
pub fn fast_rtp(link: LinkType, bytes: &[u8]) -> Option<PlainRtp> {
    let (ethertype, vlan, rest) = ethernet(link, bytes)?;
    match ethertype {
        ETHERTYPE_IPV4 => {
            let (&[vihl, tos, len0, len1, id0, id1, frag0, frag1, ttl, protocol, _, _, a, b, c, d, e, f, g, h], rest) =
                rest.split_first_chunk::<20>()?;
            let room = u16::from_be_bytes([len0, len1]);
            if vihl != 0x45 || protocol != UDP || u16::from_be_bytes([frag0, frag1]) & 0xbfff != 0 || room < 20 {
                return None;
            }
            let path = Path { ip_id: Some(u16::from_be_bytes([id0, id1])), ttl, dscp: tos >> 2, vlan, tunnel: None };
            let mapped = |ip: [u8; 4]| 0xffff_0000_0000 | u128::from(u32::from_be_bytes(ip));
            rtp(rest, usize::from(room - 20), mapped([a, b, c, d]), mapped([e, f, g, h]), path)
        }
        ETHERTYPE_IPV6 => {
            let (&[b0, b1, _, _, len0, len1, next, ttl], rest) = rest.split_first_chunk::<8>()?;
            let (src, rest) = rest.split_first_chunk::<16>()?;
            let (dst, rest) = rest.split_first_chunk::<16>()?;
            if b0 >> 4 != 6 || next != UDP {
                return None;
            }
            let path = Path { ip_id: None, ttl, dscp: (b0 << 2 | b1 >> 6) & 0x3f, vlan, tunnel: None };
            let room = usize::from(u16::from_be_bytes([len0, len1]));
            rtp(rest, room, u128::from_be_bytes(*src), u128::from_be_bytes(*dst), path)
        }
        _ => None,
    }
}

#[inline(always)]
fn rtp(bytes: &[u8], room: usize, src_ip: u128, dst_ip: u128, path: Path) -> Option<PlainRtp> {
    let &[s0, s1, d0, d1, len0, len1, _, _, version, second, q0, q1, t0, t1, t2, t3, r0, r1, r2, r3] =
        bytes.first_chunk::<20>()?;
    let length = usize::from(u16::from_be_bytes([len0, len1]));
    let dst_port = u16::from_be_bytes([d0, d1]);
    // 200 to 207 in the second byte are RTCP (RFC 5761 section 4).
    if length > room || length < 20 || may_be_tunnel_port(dst_port) || version != 0x80 || second >> 3 == 25 {
        return None;
    }
    Some(PlainRtp {
        src_ip,
        dst_ip,
        src_port: u16::from_be_bytes([s0, s1]),
        dst_port,
        ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        seq: u16::from_be_bytes([q0, q1]),
        payload_type: second & 0x7f,
        marker: second & 0x80 != 0,
        payload_len: (length - 20) as u16,
        cut_short: bytes.len() < length,
        path,
    })
}

/// Through up to two VLAN tags: what follows, the outer VLAN, and the rest.
#[inline(always)]
fn ethernet(link: LinkType, bytes: &[u8]) -> Option<(u16, u16, &[u8])> {
    if link != LinkType::ETHERNET {
        return None;
    }
    let (&[.., high, low], mut rest) = bytes.split_first_chunk::<14>()?;
    let mut ethertype = u16::from_be_bytes([high, low]);
    let mut vlan = 0;
    if is_vlan_tag(ethertype) {
        let (&[tci_high, tci_low, high, low], inner) = rest.split_first_chunk::<4>()?;
        vlan = u16::from_be_bytes([tci_high & 0x0f, tci_low]);
        ethertype = u16::from_be_bytes([high, low]);
        rest = inner;
        if is_vlan_tag(ethertype) {
            let (&[_, _, high, low], inner) = rest.split_first_chunk::<4>()?;
            ethertype = u16::from_be_bytes([high, low]);
            rest = inner;
        }
    }
    Some((ethertype, vlan, rest))
}

#[inline]
fn ipv4(bytes: &[u8], vlan: u16) -> Option<Datagram<'_>> {
    let (head, rest) = bytes.split_first_chunk::<20>()?;
    let &[vihl, tos, len0, len1, id0, id1, frag0, frag1, ttl, protocol, _, _, a, b, c, d, e, f, g, h] = head;
    // 0xbfff: more fragments and the offset, and the reserved bit, which no sound sender sets
    if vihl != 0x45 || protocol != UDP || u16::from_be_bytes([frag0, frag1]) & 0xbfff != 0 {
        return None;
    }
    let room = usize::from(u16::from_be_bytes([len0, len1])).checked_sub(20)?;
    let path = Path { ip_id: Some(u16::from_be_bytes([id0, id1])), ttl, dscp: tos >> 2, vlan, tunnel: None };
    udp(rest, room, IpAddr::V4(Ipv4Addr::new(a, b, c, d)), IpAddr::V4(Ipv4Addr::new(e, f, g, h)), path)
}

#[inline]
fn ipv6(bytes: &[u8], vlan: u16) -> Option<Datagram<'_>> {
    let (&[b0, b1, _, _, len0, len1, next, ttl], rest) = bytes.split_first_chunk::<8>()?;
    let (src, rest) = rest.split_first_chunk::<16>()?;
    let (dst, rest) = rest.split_first_chunk::<16>()?;
    if b0 >> 4 != 6 || next != UDP {
        return None;
    }
    let room = usize::from(u16::from_be_bytes([len0, len1]));
    let path = Path { ip_id: None, ttl, dscp: (b0 << 2 | b1 >> 6) & 0x3f, vlan, tunnel: None };
    udp(rest, room, Ipv6Addr::from(*src).to_canonical(), Ipv6Addr::from(*dst).to_canonical(), path)
}

#[inline]
fn udp(bytes: &[u8], room: usize, src: IpAddr, dst: IpAddr, path: Path) -> Option<Datagram<'_>> {
    let (&[s0, s1, d0, d1, len0, len1, _, _], rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::from(u16::from_be_bytes([len0, len1]));
    let wire_len = length.checked_sub(8)?;
    let to = u16::from_be_bytes([d0, d1]);
    if length > room || may_be_tunnel_port(to) {
        return None;
    }
    Some(Datagram {
        src: SocketAddr::new(src, u16::from_be_bytes([s0, s1])),
        dst: SocketAddr::new(dst, to),
        path,
        payload: rest.get(..wire_len).unwrap_or(rest),
        wire_len,
    })
}
