//! The RTP header, RFC 3550 section 5.1.

use super::byte_reader::ByteReader;
use crate::units::{PayloadType, Ssrc};

/// Fixed part of the header.
const FIXED_LEN: usize = 12;

/// A checked RTP header. Everything but the lengths needs only the twelve fixed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    pub marker: bool,
    pub payload_type: PayloadType,
    pub seq: u16,
    pub timestamp: u32,
    pub ssrc: Ssrc,
    /// Fixed part, CSRC list and extension, in bytes.
    pub header_len: usize,
    /// Bytes of payload on the wire, without header and padding.
    pub payload_len: usize,
    pub csrc_count: u8,
    pub has_extension: bool,
    pub has_padding: bool,
    /// False when the capture ends before the extension length or the padding count: then the extension's content or
    /// the padding is still part of `payload_len`.
    pub lengths_known: bool,
}

/// Why bytes are not RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpError {
    /// Fewer than twelve bytes on the wire.
    Short,
    /// Fewer than twelve bytes captured.
    CutShort,
    /// Not version 2.
    Version,
    /// The CSRC list is longer than the datagram.
    Csrc,
    /// The extension is longer than the datagram.
    Extension,
    /// More padding than payload. The header is given all the same: in SRTP the padding count is encrypted, so on a
    /// stream that is already known the packet counts.
    Padding(RtpHeader),
}

/// Reads an RTP header from the captured part of a datagram that had `wire_len` bytes.
///
/// A padding count of zero is against RFC 3550 but harmless; it counts as no padding.
#[inline]
pub fn parse(payload: &[u8], wire_len: usize) -> Result<RtpHeader, RtpError> {
    let Some((&[first, second, q0, q1, t0, t1, t2, t3, s0, s1, s2, s3], rest)) =
        payload.split_first_chunk::<FIXED_LEN>()
    else {
        return Err(match payload.first() {
            Some(first) if first >> 6 != 2 => RtpError::Version,
            _ if wire_len < FIXED_LEN => RtpError::Short,
            _ => RtpError::CutShort,
        });
    };
    if first >> 6 != 2 {
        return Err(RtpError::Version);
    }
    let csrc_count = first & 0x0f;
    let mut header = RtpHeader {
        marker: second & 0x80 != 0,
        payload_type: PayloadType(second & 0x7f),
        seq: u16::from_be_bytes([q0, q1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: Ssrc(u32::from_be_bytes([s0, s1, s2, s3])),
        header_len: FIXED_LEN + 4 * usize::from(csrc_count),
        payload_len: 0,
        csrc_count,
        has_extension: first & 0x10 != 0,
        has_padding: first & 0x20 != 0,
        lengths_known: true,
    };
    if first & 0x3f == 0 {
        header.payload_len = wire_len.max(payload.len()) - FIXED_LEN;
        return Ok(header);
    }
    optional_parts(header, payload, rest, wire_len.max(payload.len()))
}

fn optional_parts(
    mut header: RtpHeader,
    payload: &[u8],
    after_fixed: &[u8],
    wire_len: usize,
) -> Result<RtpHeader, RtpError> {
    if header.header_len > wire_len {
        return Err(RtpError::Csrc);
    }
    if header.has_extension {
        header.header_len += 4;
        if header.header_len > wire_len {
            return Err(RtpError::Extension);
        }
        let mut c = ByteReader::new(after_fixed);
        let words = c.take(4 * usize::from(header.csrc_count)).and_then(|_| c.u16()).and_then(|_| c.u16());
        match words {
            Some(words) => header.header_len += 4 * usize::from(words),
            None => header.lengths_known = false,
        }
        if header.header_len > wire_len {
            return Err(RtpError::Extension);
        }
    }
    header.payload_len = wire_len - header.header_len;
    if header.has_padding {
        match payload.get(wire_len - 1) {
            Some(padding) => {
                let Some(len) = header.payload_len.checked_sub(usize::from(*padding)) else {
                    return Err(RtpError::Padding(header));
                };
                header.payload_len = len;
            }
            None => header.lengths_known = false,
        }
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: [u8; 16] = [0x80, 0x88, 0x12, 0x34, 0, 0, 0, 160, 0x11, 0x22, 0x33, 0x44, 1, 2, 3, 4];

    #[test]
    fn fixed_header() {
        let h = parse(&PLAIN, 172).unwrap();
        assert!(h.marker && !h.has_extension && !h.has_padding && h.lengths_known);
        assert_eq!((h.payload_type, h.seq, h.timestamp, h.ssrc), (PayloadType(8), 0x1234, 160, Ssrc(0x11223344)));
        assert_eq!((h.header_len, h.payload_len), (12, 160), "uncaptured payload counts");
    }

    #[test]
    fn csrc_extension_and_padding_come_off_the_payload() {
        let mut p = vec![0xb2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
        p.extend([0; 8]); // two CSRCs
        p.extend([0xbe, 0xde, 0, 1, 0, 0, 0, 0]); // one word of extension
        p.extend([7; 20]);
        p.extend([0, 0, 0, 4]); // padding
        let h = parse(&p, p.len()).unwrap();
        assert_eq!((h.header_len, h.payload_len, h.csrc_count), (28, 20, 2));
        let cut = parse(&p[..40], p.len()).unwrap();
        assert_eq!((cut.header_len, cut.payload_len, cut.lengths_known), (28, 24, false));
        let cut = parse(&p[..20], p.len()).unwrap();
        assert_eq!((cut.header_len, cut.payload_len, cut.lengths_known), (24, 28, false));
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let with_first = |first: u8| {
            let mut p = PLAIN;
            p[0] = first;
            p
        };
        assert_eq!(parse(&with_first(0x8f), 16), Err(RtpError::Csrc));
        assert!(parse(&with_first(0x8f), 72).is_ok(), "not captured is not absent");
        assert_eq!(parse(&with_first(0x90), 16), Err(RtpError::Extension));
        assert_eq!(parse(&with_first(0x90), 32), Err(RtpError::Extension), "772 words in 32 bytes");
        let mut padded = with_first(0xa0);
        padded[15] = 5;
        assert!(matches!(parse(&padded, 16), Err(RtpError::Padding(h)) if h.seq == 0x1234));
        padded[15] = 4;
        assert_eq!(parse(&padded, 16).unwrap().payload_len, 0);
        padded[15] = 0;
        assert_eq!(parse(&padded, 16).unwrap().payload_len, 4);
        assert_eq!(parse(&PLAIN[..11], 11), Err(RtpError::Short));
        assert_eq!(parse(&PLAIN[..11], 172), Err(RtpError::CutShort));
        assert_eq!(parse(&[], 0), Err(RtpError::Short));
        assert_eq!(parse(&with_first(0x40), 16), Err(RtpError::Version));
    }

    proptest! {
        #[test]
        fn header_and_payload_never_exceed_the_datagram(
            mut bytes in prop::collection::vec(any::<u8>(), 12..200), more in 0usize..200
        ) {
            bytes[0] = 0x80 | (bytes[0] & 0x3f);
            let wire = bytes.len() + more;
            if let Ok(h) = parse(&bytes, wire) {
                prop_assert!(h.header_len + h.payload_len <= wire);
                prop_assert!(h.has_padding || h.header_len + h.payload_len == wire);
            }
        }

        #[test]
        fn a_prefix_gives_the_same_identity(bytes in prop::collection::vec(any::<u8>(), 12..80)) {
            if let Ok(whole) = parse(&bytes, bytes.len()) {
                for cut in 12..bytes.len() {
                    let part = parse(&bytes[..cut], bytes.len()).unwrap();
                    prop_assert_eq!((part.seq, part.timestamp, part.ssrc), (whole.seq, whole.timestamp, whole.ssrc));
                    prop_assert!(part.payload_len >= whole.payload_len);
                }
            }
        }
    }
}
