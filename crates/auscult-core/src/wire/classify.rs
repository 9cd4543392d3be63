//! What kind of payload a UDP datagram carries, by first byte (RFC 7983) and then by structure.

use super::byte_reader::ByteReader;
use super::rtp::RtpHeader;
use super::{rtcp, rtp};

/// The kind of a payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Class<'a> {
    /// Has the form of RTP. One packet proves nothing: other protocols have it too.
    Rtp(RtpHeader),
    Rtcp,
    /// RTP version, but lengths inside that do not fit.
    MalformedRtp(rtp::RtpError),
    /// Version and type of RTCP (a payload type RTP does not use), but lengths that do not fit.
    MalformedRtcp,
    Stun,
    /// Data relayed by a TURN server over UDP: ChannelData, Send or Data indication (RFC 8656).
    Relayed {
        payload: &'a [u8],
        wire_len: usize,
    },
    Dtls,
    KeepAlive,
    /// Begins like text: SIP, MGCP, HTTP.
    Text,
    /// Has the form of T.38 over UDPTL. Only believable on a port that carried media.
    Udptl,
    /// Nothing of the payload was captured.
    CutShort,
    Other,
}

/// Datagrams up to this size made of CR, LF, space and NUL only keep a binding open.
const MAX_KEEP_ALIVE: usize = 16;

/// Classifies the captured part of a payload that had `wire_len` bytes.
#[inline]
pub fn classify(payload: &[u8], wire_len: usize) -> Class<'_> {
    let wire_len = wire_len.max(payload.len());
    let Some(first) = payload.first() else {
        return if wire_len == 0 { Class::KeepAlive } else { Class::CutShort };
    };
    match first {
        0x80..=0xbf => media(payload, wire_len),
        _ => other(*first, payload, wire_len),
    }
}

/// Version 2 and a second byte that RTCP uses: 200 to 207 (RFC 5761 section 4).
#[inline]
fn media(payload: &[u8], wire_len: usize) -> Class<'_> {
    if payload.get(1).is_some_and(|second| (200..=207).contains(second)) {
        return if rtcp::looks_like_rtcp(payload, wire_len) {
            Class::Rtcp
        } else if payload.len() < 4 && payload.len() < wire_len {
            Class::CutShort
        } else {
            Class::MalformedRtcp
        };
    }
    match rtp::parse(payload, wire_len) {
        Ok(header) => Class::Rtp(header),
        Err(rtp::RtpError::CutShort) => Class::CutShort,
        Err(rtp::RtpError::Short) => Class::Other,
        Err(malformed) => Class::MalformedRtp(malformed),
    }
}

fn other(first: u8, payload: &[u8], wire_len: usize) -> Class<'_> {
    if wire_len <= MAX_KEEP_ALIVE && payload.iter().all(|b| matches!(b, 0 | b'\r' | b'\n' | b' ')) {
        return Class::KeepAlive;
    }
    match first {
        0..=3 => {
            if let Some(class) = stun(payload, wire_len) {
                return class;
            }
        }
        20..=63 if is_dtls(payload, wire_len) => return Class::Dtls,
        0x40..=0x4f => {
            if let Some(relayed) = channel_data(payload, wire_len) {
                return relayed;
            }
        }
        _ => {}
    }
    if looks_like_text(payload) {
        Class::Text
    } else if looks_like_udptl(payload, wire_len) {
        Class::Udptl
    } else {
        Class::Other
    }
}

/// STUN with magic cookie (RFC 8489), or the older form (RFC 3489), which has none: there the method must be one it
/// defines and the length must fit exactly.
fn stun(payload: &[u8], wire_len: usize) -> Option<Class<'_>> {
    const COOKIE: u32 = 0x2112_a442;
    const SEND_INDICATION: u16 = 0x0016;
    const DATA_INDICATION: u16 = 0x0017;
    let mut c = ByteReader::new(payload);
    let kind = c.u16()?;
    let length = usize::from(c.u16()?);
    if !length.is_multiple_of(4) || length + 20 > wire_len {
        return None;
    }
    let cookie = c.u32()?;
    if cookie != COOKIE {
        let classic = matches!(kind, 0x0001 | 0x0101 | 0x0111 | 0x0002 | 0x0102 | 0x0112);
        return (classic && length + 20 == wire_len).then_some(Class::Stun);
    }
    let relayed = if matches!(kind, SEND_INDICATION | DATA_INDICATION) {
        c.take(12).and_then(|_| data_attribute(c, length))
    } else {
        None
    };
    Some(relayed.unwrap_or(Class::Stun))
}

/// The DATA attribute among `length` bytes of STUN attributes.
fn data_attribute(mut c: ByteReader<'_>, length: usize) -> Option<Class<'_>> {
    const DATA: u16 = 0x0013;
    let mut left = length;
    while left >= 4 {
        let kind = c.u16()?;
        let len = usize::from(c.u16()?);
        left = left.checked_sub(4 + len)?;
        if kind == DATA {
            let payload = c.rest().get(..len).unwrap_or(c.rest());
            return Some(Class::Relayed { payload, wire_len: len });
        }
        let padding = len.wrapping_neg() % 4;
        left = left.saturating_sub(padding);
        c.take(len + padding)?;
    }
    None
}

/// ChannelData (RFC 8656 section 12.4): over UDP the length is that of the datagram, give or take the padding to a
/// word that some senders add.
fn channel_data(payload: &[u8], wire_len: usize) -> Option<Class<'_>> {
    let mut c = ByteReader::new(payload);
    let _channel = c.u16()?;
    let len = usize::from(c.u16()?);
    let data = c.rest();
    let room = wire_len.checked_sub(4)?;
    let inner = data.get(..len).unwrap_or(data);
    // GTPv2-C has the same first four bytes: only what WebRTC sends through a relay is believed
    let believed = match inner.first() {
        Some(0x80..=0xbf) => matches!(media(inner, len), Class::Rtp(_) | Class::Rtcp),
        Some(0..=3) => stun(inner, len).is_some(),
        Some(_) => is_dtls(inner, len),
        None => false,
    };
    (believed && (len..len + 4).contains(&room)).then_some(Class::Relayed { payload: inner, wire_len: len })
}

/// DTLS record header: content type and version 1.0 or 1.2 (RFC 6347), or the unified header of 1.3 (RFC 9147) without
/// connection id, whose length must then reach the end of the datagram.
fn is_dtls(payload: &[u8], wire_len: usize) -> bool {
    match payload {
        [20..=26, 0xfe, 0xff | 0xfd, ..] => wire_len >= 13,
        [first @ 0x20..=0x2f, rest @ ..] if first & 0x04 != 0 => {
            let seq_len = if first & 0x08 == 0 { 1 } else { 2 };
            let mut c = ByteReader::new(rest);
            c.take(seq_len).and_then(|_| c.u16()).is_some_and(|len| 3 + seq_len + usize::from(len) == wire_len)
        }
        _ => false,
    }
}

/// Printable ASCII, tabs and line ends, or UTF-8 beyond ASCII, from the first byte on for as far as a start line needs.
pub fn looks_like_text(payload: &[u8]) -> bool {
    const LOOK_AT: usize = 32;
    let start = payload.iter().position(|b| !matches!(b, b'\r' | b'\n' | b' ' | b'\t' | 0)).unwrap_or(payload.len());
    let head = payload.get(start..).unwrap_or_default();
    let head = head.get(..LOOK_AT).unwrap_or(head);
    let text = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    head.first().is_some_and(|b| b.is_ascii_graphic())
        && head.iter().take(8).all(text)
        && head.iter().all(|b| text(b) || *b >= 0x80)
}

/// UDPTL (ITU-T T.38 section 9.1): sequence number, primary packet, then redundancy packets or parity to the last byte.
pub fn looks_like_udptl(payload: &[u8], wire_len: usize) -> bool {
    if payload.len() < wire_len {
        return false;
    }
    udptl_rest(ByteReader::new(payload)) == Some(0)
}

/// Bytes left after a UDPTL packet.
fn udptl_rest(mut c: ByteReader<'_>) -> Option<usize> {
    let _seq = c.u16()?;
    let primary = usize::from(c.u8()?);
    if primary == 0 {
        return None;
    }
    c.take(primary)?;
    match c.u8()? {
        0x00 => {
            let count = c.u8()?;
            for _ in 0..count {
                let len = usize::from(c.u8()?);
                c.take(len)?;
            }
        }
        0x80 => {
            // forward error correction: length of the span (always one byte long), then count and packets
            c.take(2)?;
            let count = c.u8()?;
            for _ in 0..count {
                let len = usize::from(c.u8()?);
                c.take(len)?;
            }
        }
        _ => return None,
    }
    Some(c.rest().len())
}

/// Whether a byte stream begins with a SIP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SipStart {
    Yes,
    /// Too few bytes to decide.
    Maybe,
    No,
}

/// Looks at the first bytes of a stream: `SIP/2.0 `, or a method and a URI scheme SIP uses. Leading line ends
/// (RFC 5626 keep-alives) are skipped.
pub fn sip_start(bytes: &[u8]) -> SipStart {
    const STATUS: &[u8] = b"SIP/2.0 ";
    const SCHEMES: [&[u8]; 4] = [b"sip:", b"sips:", b"tel:", b"urn:"];
    const MAX_METHOD: usize = 32;
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
    let line = bytes.get(start..).unwrap_or_default();
    match begins_with(line, STATUS) {
        SipStart::No => {}
        found => return found,
    }
    let method_len = line.iter().position(|b| !is_token(*b)).unwrap_or(line.len());
    if method_len > MAX_METHOD {
        return SipStart::No;
    }
    match line.get(method_len) {
        None => SipStart::Maybe,
        Some(b' ') if method_len > 0 => {
            let uri = line.get(method_len + 1..).unwrap_or_default();
            let found = SCHEMES.map(|scheme| begins_with(uri, scheme));
            if found.contains(&SipStart::Yes) {
                SipStart::Yes
            } else if found.contains(&SipStart::Maybe) {
                SipStart::Maybe
            } else {
                SipStart::No
            }
        }
        Some(_) => SipStart::No,
    }
}

fn begins_with(bytes: &[u8], expected: &[u8]) -> SipStart {
    let same = bytes.iter().zip(expected).all(|(a, b)| a.eq_ignore_ascii_case(b));
    match (same, bytes.len() >= expected.len()) {
        (false, _) => SipStart::No,
        (true, true) => SipStart::Yes,
        (true, false) => SipStart::Maybe,
    }
}

/// `token` of RFC 3261 section 25.1.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(payload: &[u8]) -> &'static str {
        match classify(payload, payload.len()) {
            Class::Rtp(_) => "rtp",
            Class::Rtcp => "rtcp",
            Class::MalformedRtp(_) => "malformed rtp",
            Class::MalformedRtcp => "malformed rtcp",
            Class::Stun => "stun",
            Class::Relayed { payload, wire_len } => {
                assert_eq!(payload.len(), wire_len);
                "relayed"
            }
            Class::Dtls => "dtls",
            Class::KeepAlive => "keep-alive",
            Class::Text => "text",
            Class::Udptl => "udptl",
            Class::CutShort => "cut short",
            Class::Other => "other",
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn kinds_by_example() {
        for (bytes, expected) in [
            ("", "keep-alive"),
            ("0d0a0d0a", "keep-alive"),
            ("00000000", "keep-alive"),
            ("80000001 000000a0 11223344 d5d5", "rtp"),
            // telephone-event with marker: second byte 229, above the RTCP range
            ("80e50001 000000a0 11223344 01000000", "rtp"),
            ("8f000001 000000a0 11223344", "malformed rtp"),
            ("80c90001 11223344", "rtcp"),
            ("80c80006 11223344", "malformed rtcp"),
            // RTP with a payload type RTCP took over (72 with marker): the sequence number is no length
            ("80c81234 000000a0 11223344 d5d5d5d5", "malformed rtcp"),
            ("00010000 2112a442 000102030405060708090a0b", "stun"),
            ("00010000 00112233 000102030405060708090a0b", "stun"),
            ("00030000 00112233 000102030405060708090a0b", "other"),
            ("00010004 2112a442 000102030405060708090a0b", "other"),
            // Data indication with a DATA attribute behind a padded one
            ("00170014 2112a442 000102030405060708090a0b 8022 0001 61000000 0013 0006 800001020304 0000", "relayed"),
            ("4000000c 80000001 000000a0 11223344", "relayed"),
            ("4000000e 80000001 000000a0 11223344 d5d5 0000", "relayed"),
            ("4000ffff 8000", "other"),
            // GTPv2-C echo request
            ("48010009 00000000 00000300 01", "other"),
            ("16feff0000000000000000 0001 00", "dtls"),
            ("17fefd0001000000000001 0002 aabb", "dtls"),
            ("2e0001 0004 aabbccdd", "dtls"),
            ("2e0001 0005 aabbccdd", "other"),
            ("100000015a525450 11223344 505a0000", "other"),
            ("0001 05 c0018000ff 00 00", "udptl"),
            ("0001 02 c001 00 01 02 c000", "udptl"),
            ("0001 05 c0018000ff 00 03", "other"),
        ] {
            assert_eq!(name(&hex(bytes)), expected, "{bytes}");
        }
        assert_eq!(name(b"INVITE sip:b@example.com SIP/2.0\r\n"), "text");
        assert_eq!(name(b"\r\nOPTIONS sip:b@example.com SIP/2.0\r\n"), "text");
        assert_eq!(name(&[0; 65_000]), "other");
        assert_eq!(classify(&[], 172), Class::CutShort);
        assert_eq!(classify(&[0x80, 0, 0], 172), Class::CutShort);
    }

    #[test]
    fn a_stream_is_sip_from_its_first_bytes() {
        for (bytes, expected) in [
            ("", SipStart::Maybe),
            ("\r\n", SipStart::Maybe),
            ("INV", SipStart::Maybe),
            ("INVITE ", SipStart::Maybe),
            ("INVITE si", SipStart::Maybe),
            ("INVITE sip:", SipStart::Yes),
            ("\r\n\r\nBYE sips:a", SipStart::Yes),
            ("FROBNICATE tel:+1", SipStart::Yes),
            ("INVITE urn:service:sos SIP/2.0", SipStart::Yes),
            ("SIP/2", SipStart::Maybe),
            ("SIP/2.0 200 OK", SipStart::Yes),
            ("GET / HTTP/1.1", SipStart::No),
            ("HTTP/1.1 200 OK", SipStart::No),
            ("OPTIONS * HTTP/1.1", SipStart::No),
            ("\u{16}\u{3}\u{1}", SipStart::No),
            (" INVITE sip:", SipStart::No),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SipStart::No),
        ] {
            assert_eq!(sip_start(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
