//! The short way through Ethernet, up to two VLAN tags, IPv4 without options or plain IPv6, and UDP.
//!
//! Anything unusual (fragments, options, tunnels, lengths that disagree, headers cut off) is left to
//! [`Decoder`](super::Decoder), which gives the same answer for everything taken here.

use super::layers::{GTPU_PORT, VXLAN_PORT, is_vlan_tag};
use super::{Datagram, LinkType, Path};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const UDP: u8 = 17;

/// A UDP datagram in an ordinary Ethernet frame; `None` when the frame needs the full decoder.
#[inline]
pub fn fast_udp<'a>(link: LinkType, bytes: &'a [u8]) -> Option<Datagram<'a>> {
    if link != LinkType::ETHERNET {
        return None;
    }
    let (ethernet, mut rest) = bytes.split_first_chunk::<14>()?;
    let [.., high, low] = *ethernet;
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
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(rest, vlan),
        ETHERTYPE_IPV6 => ipv6(rest, vlan),
        _ => None,
    }
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
    let path = Path { ip_id: Some(u16::from_be_bytes([id0, id1])), ttl, dscp: tos >> 2, vlan, tunnel: "" };
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
    let path = Path { ip_id: None, ttl, dscp: (b0 << 2 | b1 >> 6) & 0x3f, vlan, tunnel: "" };
    udp(rest, room, Ipv6Addr::from(*src).to_canonical(), Ipv6Addr::from(*dst).to_canonical(), path)
}

#[inline]
fn udp(bytes: &[u8], room: usize, src: IpAddr, dst: IpAddr, path: Path) -> Option<Datagram<'_>> {
    let (&[s0, s1, d0, d1, len0, len1, _, _], rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::from(u16::from_be_bytes([len0, len1]));
    let wire_len = length.checked_sub(8)?;
    let to = u16::from_be_bytes([d0, d1]);
    if length > room || to == GTPU_PORT || to == VXLAN_PORT {
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
