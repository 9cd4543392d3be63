//! Packets framed in a TCP stream: RTP, RTCP and STUN behind a length (RFC 4571, also ICE over TCP, RFC 6544), and what a client
//! and its TURN server exchange (RFC 8656 sections 12.4 and 12.6): STUN messages and ChannelData.

use super::byte_reader::ByteReader;
use super::classify::{Class, classify};

/// How packets are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Two bytes of length before each.
    Length,
    /// Each says its own length.
    Turn,
}

/// What the front of a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// More bytes are needed.
    Need,
    /// A packet of `len` bytes behind `header` others; `total` bytes are to be removed.
    Packet { header: usize, len: usize, total: usize },
    /// Nothing that belongs there.
    Broken,
}

/// Longest packet believed: RTP over TCP is made for paths that carry it over UDP too.
const LONGEST: usize = 16 * 1024;
const COOKIE: u32 = 0x2112_a442;

impl Units {
    pub fn next(self, bytes: &[u8]) -> Unit {
        let mut c = ByteReader::new(bytes);
        let (Some(first), Some(second)) = (c.u16(), c.u16()) else {
            // An empty packet only keeps the connection open.
            return match (self, bytes) {
                (Units::Length, [0, 0, ..]) => Unit::Packet { header: 2, len: 0, total: 2 },
                _ => Unit::Need,
            };
        };
        let (header, len, total) = match self {
            Units::Length => (2, usize::from(first), 2 + usize::from(first)),
            Units::Turn => match first >> 14 {
                0 => (0, 20 + usize::from(second), 20 + usize::from(second)),
                // Over TCP, ChannelData is padded to four bytes.
                1 => (0, 4 + usize::from(second), 4 + usize::from(second).next_multiple_of(4)),
                _ => return Unit::Broken,
            },
        };
        if total > LONGEST {
            return Unit::Broken;
        }
        if bytes.len() < total { Unit::Need } else { Unit::Packet { header, len, total } }
    }

    /// How the packets are framed that a connection begins with; `None` where it is neither, or there are too few bytes to know.
    pub fn begun_by(bytes: &[u8]) -> Option<Units> {
        let mut c = ByteReader::new(bytes);
        let (first, second, third) = (c.u16()?, c.u16()?, c.u32()?);
        if first >> 14 == 0 && third == COOKIE && second.is_multiple_of(4) {
            return Some(Units::Turn);
        }
        let len = usize::from(first);
        let packet = bytes.get(2..)?;
        let packet = packet.get(..len).unwrap_or(packet);
        ((12..=LONGEST).contains(&len) && is_media(packet, len)).then_some(Units::Length)
    }

    /// How the packets are framed that fill a segment to its last byte: for connections that were up before the capture.
    pub fn filling(bytes: &[u8]) -> Option<Units> {
        /// Frames of a segment.
        const MOST: usize = 64;
        let fills = |units: Units| {
            let mut rest = bytes;
            for _ in 0..MOST {
                match units.next(rest) {
                    Unit::Packet { header, len, total } if len > 0 => {
                        let packet = &rest[header..header + len];
                        if !is_media(packet, len) {
                            return false;
                        }
                        rest = &rest[total..];
                    }
                    _ => return false,
                }
                if rest.is_empty() {
                    return true;
                }
            }
            false
        };
        [Units::Length, Units::Turn].into_iter().find(|units| fills(*units))
    }
}

/// Whether a packet is one of those that are framed.
fn is_media(packet: &[u8], wire_len: usize) -> bool {
    match classify(packet, wire_len) {
        Class::Rtp(_) | Class::Rtcp | Class::Relayed { .. } | Class::Dtls => true,
        // Without its cookie a STUN message may be anything.
        Class::Stun => packet.get(4..8) == Some(&COOKIE.to_be_bytes()[..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTP: &[u8] = &[0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 1, 2, 3, 4];

    fn framed(packet: &[u8]) -> Vec<u8> {
        [&(packet.len() as u16).to_be_bytes(), packet].concat()
    }

    fn stun(kind: u16, body: &[u8]) -> Vec<u8> {
        let cookie = COOKIE.to_be_bytes();
        [&kind.to_be_bytes(), &(body.len() as u16).to_be_bytes(), &cookie[..], &[7; 12], body].concat()
    }

    fn channel(packet: &[u8]) -> Vec<u8> {
        let mut bytes = [&0x4001u16.to_be_bytes(), &(packet.len() as u16).to_be_bytes(), packet].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn all(units: Units, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while let Unit::Packet { header, len, total } = units.next(bytes) {
            found.push(bytes[header..header + len].to_vec());
            bytes = &bytes[total..];
        }
        found
    }

    #[test]
    fn packets_come_out_as_they_went_in() {
        let bytes = [framed(RTP), framed(&[]), framed(&RTP[..14])].concat();
        assert_eq!(all(Units::Length, &bytes), [RTP.to_vec(), Vec::new(), RTP[..14].to_vec()]);
        let (request, data) = (stun(1, &[]), channel(&RTP[..14]));
        let bytes = [&request[..], &data, &channel(RTP)].concat();
        assert_eq!(all(Units::Turn, &bytes), [request.clone(), data[..18].to_vec(), channel(RTP)]);
        for cut in 0..request.len() {
            assert_eq!(Units::Turn.next(&request[..cut]), Unit::Need, "{cut}");
        }
        assert_eq!(Units::Turn.next(&[0x80; 30]), Unit::Broken);
        assert_eq!(Units::Length.next(&[0xff; 30]), Unit::Broken);
    }

    #[test]
    fn how_a_connection_is_framed_shows_in_its_first_bytes() {
        assert_eq!(Units::begun_by(&framed(RTP)), Some(Units::Length));
        assert_eq!(Units::begun_by(&framed(&stun(1, &[]))), Some(Units::Length), "ICE over TCP");
        assert_eq!(Units::begun_by(&stun(3, &[])), Some(Units::Turn));
        let tls = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 9, 9, 9, 9, 9];
        for other in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"INVITE sip:a@b SIP/2.0\r\n", &tls, &[0; 40], &[]] {
            assert_eq!(Units::begun_by(other), None, "{other:02x?}");
        }
    }

    #[test]
    fn frames_that_fill_a_segment_are_known_in_the_middle_of_a_connection() {
        assert_eq!(Units::filling(&[framed(RTP), framed(RTP)].concat()), Some(Units::Length));
        assert_eq!(Units::filling(&[channel(RTP), stun(1, &[])].concat()), Some(Units::Turn));
        assert_eq!(Units::filling(&[&framed(RTP)[..], &[0]].concat()), None);
        assert_eq!(Units::filling(&framed(RTP)[1..]), None);
    }
}
