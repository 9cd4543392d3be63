//! ICMP errors (RFC 792, RFC 4443): which datagram could not be delivered, and why.
//!
//! An error quotes the packet that caused it. Of IPv4 routers that is at least its header and eight bytes, which is where a UDP
//! header ends (RFC 792); most systems quote more (RFC 1812 section 4.3.2.3).

use super::byte_reader::ByteReader;
use crate::model::Undelivered;
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};
use std::net::{IpAddr, SocketAddr};

/// An ICMP error about a UDP datagram. IPv4-mapped IPv6 addresses are given as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError<'a> {
    /// Who says so: the destination, or a router on the way.
    pub from: IpAddr,
    pub why: Undelivered,
    /// Addresses of the datagram that was not delivered.
    pub src: SocketAddr,
    pub dst: SocketAddr,
    /// As much of its payload as was quoted and captured.
    pub payload: &'a [u8],
}

/// Reads an ICMP message from `from` to `to`; `None` for anything but an error about a UDP datagram that `to` had sent.
pub(super) fn error(from: IpAddr, to: IpAddr, bytes: &[u8]) -> Option<IcmpError<'_>> {
    let mut c = ByteReader::new(bytes);
    let (kind, code) = (c.u8()?, c.u8()?);
    // Checksum, and four bytes that these errors do not use.
    c.take(6)?;
    let why = if from.is_ipv4() { of_version_4(kind, code)? } else { of_version_6(kind, code)? };
    let quoted = c.rest();
    let (src, dst, udp) = match quoted.first()? >> 4 {
        4 if from.is_ipv4() => {
            let header = Ipv4HeaderSlice::from_slice(quoted).ok()?;
            // Of a fragment only the first one has the ports.
            if header.protocol().0 != 17 || header.fragments_offset().value() != 0 {
                return None;
            }
            let udp = quoted.get(header.slice().len()..)?;
            (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()), udp)
        }
        6 if from.is_ipv6() => {
            let header = Ipv6HeaderSlice::from_slice(quoted).ok()?;
            if header.next_header().0 != 17 {
                return None;
            }
            (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()), quoted.get(40..)?)
        }
        _ => return None,
    };
    // An error goes to whom the packet came from. One that does not was made up, or passed a NAT that forgot the inside.
    if src != to {
        return None;
    }
    let mut c = ByteReader::new(udp);
    let (src_port, dst_port, length) = (c.u16()?, c.u16()?, usize::from(c.u16()?));
    let _checksum = c.u16()?;
    // What follows the datagram are extensions (RFC 4884).
    let payload = c.rest().get(..length.saturating_sub(8)).unwrap_or(c.rest());
    Some(IcmpError {
        from: from.to_canonical(),
        why,
        src: SocketAddr::new(src.to_canonical(), src_port),
        dst: SocketAddr::new(dst.to_canonical(), dst_port),
        payload,
    })
}

fn of_version_4(kind: u8, code: u8) -> Option<Undelivered> {
    match (kind, code) {
        (3, 3) => Some(Undelivered::Port),
        (3, 0 | 6 | 11) => Some(Undelivered::Network),
        (3, 1 | 2 | 5 | 7 | 8 | 12) => Some(Undelivered::Host),
        (3, 9 | 10 | 13) => Some(Undelivered::Prohibited),
        (11, 0) => Some(Undelivered::TimeExceeded),
        _ => None,
    }
}

fn of_version_6(kind: u8, code: u8) -> Option<Undelivered> {
    match (kind, code) {
        (1, 4) => Some(Undelivered::Port),
        (1, 0) => Some(Undelivered::Network),
        (1, 2 | 3) => Some(Undelivered::Host),
        (1, 1 | 5 | 6) => Some(Undelivered::Prohibited),
        (3, 0) => Some(Undelivered::TimeExceeded),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(protocol: u8, fragment: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![3, 3, 0, 0, 0, 0, 0, 0];
        let len = 28 + payload.len() as u8;
        bytes.extend([0x45, 0, 0, len, 0, 7, 0, fragment, 61, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        bytes.extend([0x0f, 0xa0, 0x13, 0xc4, 0, 8 + payload.len() as u8, 0, 0]);
        bytes.extend(payload);
        bytes
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn an_error_names_the_datagram_it_is_about() {
        let bytes = quoted(17, 0, b"INVITE");
        let read = error(ip("192.0.2.2"), ip("192.0.2.1"), &bytes).expect("error");
        assert_eq!((read.why, read.from), (Undelivered::Port, ip("192.0.2.2")));
        assert_eq!((read.src.to_string(), read.dst.to_string()), ("192.0.2.1:4000".into(), "192.0.2.2:5060".into()));
        assert_eq!(read.payload, b"INVITE");
        // Eight bytes of the datagram are enough; extensions behind it are not of it.
        assert_eq!(error(ip("192.0.2.2"), ip("192.0.2.1"), &bytes[..36]).map(|e| e.payload), Some(&b""[..]));
        let extended = [&bytes[..], &[0x20, 0, 0, 0]].concat();
        assert_eq!(error(ip("192.0.2.2"), ip("192.0.2.1"), &extended).map(|e| e.payload), Some(&b"INVITE"[..]));
        for cut in 0..36 {
            assert_eq!(error(ip("192.0.2.2"), ip("192.0.2.1"), &bytes[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_is_no_error_about_a_datagram_of_the_receiver_is_left_alone() {
        let from = ip("192.0.2.9");
        let is_read = |bytes: &[u8], to: &str| error(from, ip(to), bytes).is_some();
        let bytes = quoted(17, 0, b"x");
        assert!(is_read(&bytes, "192.0.2.1"), "a router says so");
        assert!(!is_read(&bytes, "192.0.2.5"), "sent to another than the quoted sender");
        assert!(!is_read(&quoted(6, 0, b"x"), "192.0.2.1"), "TCP");
        assert!(!is_read(&quoted(17, 9, b"x"), "192.0.2.1"), "a later fragment has no ports");
        for (kind, code) in [(0, 0), (8, 0), (3, 4), (5, 0), (11, 1), (12, 0)] {
            let mut other = bytes.clone();
            (other[0], other[1]) = (kind, code);
            assert!(!is_read(&other, "192.0.2.1"), "{kind} {code}");
        }
    }

    #[test]
    fn version_6() {
        let mut bytes = vec![1, 4, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 9, 17, 61];
        let (src, dst) = ("2001:db8::1", "2001:db8::2");
        for text in [src, dst] {
            let std::net::IpAddr::V6(address) = ip(text) else { panic!() };
            bytes.extend(address.octets());
        }
        bytes.extend([0x0f, 0xa0, 0x13, 0xc4, 0, 9, 0, 0, b'x']);
        let read = error(ip(dst), ip(src), &bytes).expect("error");
        assert_eq!(
            (read.why, read.src.port(), read.dst.port(), read.payload),
            (Undelivered::Port, 4000, 5060, &b"x"[..])
        );
        assert_eq!(error(ip("192.0.2.2"), ip("192.0.2.1"), &bytes), None, "no version 6 inside version 4");
    }
}
