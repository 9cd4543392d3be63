//! Ethernet frames from addresses and payloads: VLAN tags, IPv4 and IPv6, UDP and TCP, with checksums.

use std::net::{IpAddr, SocketAddr};

/// What the lower layers carry besides addresses.
#[derive(Clone, Copy, Debug)]
pub struct Lower {
    /// Identification of the IPv4 header.
    pub id: u16,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Differentiated services code point, 0..=63.
    pub dscp: u8,
    /// 802.1Q VLAN, if tagged.
    pub vlan: Option<u16>,
}

/// Where TCP is and what a segment says.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub seq: u32,
    pub ack: u32,
    /// FIN 1, SYN 2, PSH 8, ACK 16.
    pub flags: u8,
}

/// What an IP packet carries: protocol number, its header and payload.
#[derive(Clone, Copy)]
struct Transport<'a> {
    protocol: u8,
    header: &'a [u8],
    payload: &'a [u8],
}

/// An ICMP error of type 3 (destination unreachable) over IPv4.
#[derive(Clone, Copy, Debug)]
pub struct Unreachable {
    /// Who sends it.
    pub from: IpAddr,
    /// 3 is port unreachable.
    pub code: u8,
    /// Bytes of the datagram that follow its IP header in the error.
    pub quoted: usize,
}

/// One UDP datagram in an Ethernet frame. Both addresses must be of one family.
pub fn udp(src: SocketAddr, dst: SocketAddr, lower: Lower, payload: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(8);
    header.extend(src.port().to_be_bytes());
    header.extend(dst.port().to_be_bytes());
    header.extend(((8 + payload.len()) as u16).to_be_bytes());
    header.extend([0, 0]);
    // RFC 768 lets IPv4 go without; RFC 8200 section 8.1 does not let IPv6.
    if src.is_ipv6() {
        let sum = match transport_sum(src.ip(), dst.ip(), 17, &header, payload) {
            0 => 0xFFFF,
            sum => sum,
        };
        header[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    ethernet(src.ip(), dst.ip(), lower, Transport { protocol: 17, header: &header, payload })
}

/// An ICMP error about a datagram, to its sender.
pub fn unreachable(error: Unreachable, src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let lower = Lower { id: 0, ttl: 64, dscp: 0, vlan: None };
    let datagram = udp(src, dst, lower, payload);
    let quote = &datagram[14..datagram.len().min(14 + 20 + error.quoted)];
    let header = [3, error.code, 0, 0, 0, 0, 0, 0];
    ethernet(error.from, src.ip(), lower, Transport { protocol: 1, header: &header, payload: quote })
}

/// One TCP segment in an Ethernet frame.
pub fn tcp(src: SocketAddr, dst: SocketAddr, lower: Lower, segment: Segment, payload: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(20);
    header.extend(src.port().to_be_bytes());
    header.extend(dst.port().to_be_bytes());
    header.extend(segment.seq.to_be_bytes());
    header.extend(segment.ack.to_be_bytes());
    header.extend([0x50, segment.flags, 0xFF, 0xFF, 0, 0, 0, 0]);
    let sum = transport_sum(src.ip(), dst.ip(), 6, &header, payload);
    header[16..18].copy_from_slice(&sum.to_be_bytes());
    ethernet(src.ip(), dst.ip(), lower, Transport { protocol: 6, header: &header, payload })
}

/// An ARP request, as every network has.
pub fn arp(sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mac = mac(IpAddr::from(sender));
    let mut out = vec![0xFF; 6];
    out.extend(mac);
    out.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    out.extend(mac);
    out.extend(sender);
    out.extend([0; 6]);
    out.extend(target);
    out.resize(60, 0);
    out
}

fn ethernet(src: IpAddr, dst: IpAddr, lower: Lower, transport: Transport<'_>) -> Vec<u8> {
    let Transport { protocol, header, payload } = transport;
    let inner = header.len() + payload.len();
    let mut out = Vec::with_capacity(58 + inner);
    out.extend(mac(dst));
    out.extend(mac(src));
    if let Some(vlan) = lower.vlan {
        out.extend([0x81, 0x00]);
        out.extend((vlan & 0x0FFF).to_be_bytes());
    }
    match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            out.extend([0x08, 0x00]);
            let at = out.len();
            out.extend([0x45, lower.dscp << 2]);
            out.extend(((20 + inner) as u16).to_be_bytes());
            out.extend(lower.id.to_be_bytes());
            out.extend([0x40, 0x00, lower.ttl, protocol, 0, 0]);
            out.extend(s.octets());
            out.extend(d.octets());
            let sum = fold(sum_of(&out[at..]));
            out[at + 10..at + 12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            out.extend([0x86, 0xDD]);
            out.extend(((6u32 << 28) | (u32::from(lower.dscp) << 22)).to_be_bytes());
            out.extend((inner as u16).to_be_bytes());
            out.extend([protocol, lower.ttl]);
            out.extend(s.octets());
            out.extend(d.octets());
        }
        _ => panic!("{src} and {dst} are of different families"),
    }
    out.extend(header);
    out.extend(payload);
    out
}

/// A locally administered address made from the IP address.
fn mac(ip: IpAddr) -> [u8; 6] {
    let tail = match ip {
        IpAddr::V4(a) => a.octets(),
        IpAddr::V6(a) => {
            let o = a.octets();
            [o[7], o[13], o[14], o[15]]
        }
    };
    [0x02, 0x00, tail[0], tail[1], tail[2], tail[3]]
}

fn transport_sum(src: IpAddr, dst: IpAddr, protocol: u8, header: &[u8], payload: &[u8]) -> u16 {
    let addresses = match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => sum_of(&s.octets()) + sum_of(&d.octets()),
        (IpAddr::V6(s), IpAddr::V6(d)) => sum_of(&s.octets()) + sum_of(&d.octets()),
        _ => panic!("{src} and {dst} are of different families"),
    };
    let length = (header.len() + payload.len()) as u64;
    fold(addresses + u64::from(protocol) + length + sum_of(header) + sum_of(payload))
}

fn sum_of(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|c| u64::from(u16::from_be_bytes([c[0], c.get(1).copied().unwrap_or(0)]))).sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOWER: Lower = Lower { id: 1, ttl: 64, dscp: 46, vlan: None };

    #[test]
    fn checksum_of_the_worked_example() {
        // RFC 1071 section 3: the words 0001 f203 f4f5 f6f7 sum to ddf2.
        assert_eq!(fold(sum_of(&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7])), !0xDDF2);
    }

    #[test]
    fn headers_have_their_lengths() {
        let v4 = udp("192.0.2.1:4000".parse().unwrap(), "192.0.2.2:5000".parse().unwrap(), LOWER, b"hello");
        assert_eq!(v4.len(), 14 + 20 + 8 + 5);
        assert_eq!(v4[15] >> 2, 46);
        assert_eq!(fold(sum_of(&v4[14..34])), 0, "the header with its checksum sums to all ones");
        let lower = Lower { vlan: Some(100), ..LOWER };
        let v6 = udp("[2001:db8::1]:4000".parse().unwrap(), "[2001:db8::2]:5000".parse().unwrap(), lower, b"hello");
        assert_eq!(v6.len(), 18 + 40 + 8 + 5);
        assert_eq!(&v6[12..18], &[0x81, 0, 0, 100, 0x86, 0xDD]);
    }
}
