//! ESP without encryption (RFC 2410), found by the heuristics of RFC 5879.
//!
//! Nothing in an ESP packet says that it is not encrypted. It is taken as plain only when its trailer and the
//! header inside agree to the byte: a UDP or IP length that fits exactly, or a TCP checksum that is right.

use super::byte_reader::{ByteReader, Span};
use super::layers::Ip;
use std::net::IpAddr;

/// Integrity check values in use: HMAC-SHA1-96 and MD5-96, then HMAC-SHA-256-128 and GMAC, none, SHA-384, SHA-512.
const ICV_LENGTHS: [usize; 5] = [12, 16, 0, 24, 32];
/// None with NULL encryption, eight bytes with AES-GMAC (RFC 4543).
const IV_LENGTHS: [usize; 2] = [0, 8];

/// Protocol number and content of a null-encrypted packet; `None` when it is encrypted or not wholly captured.
pub(super) fn unwrap<'a>(ip: &Ip, esp: Span<'a>) -> Option<(u8, Span<'a>)> {
    if esp.is_cut() {
        return None;
    }
    let mut c = ByteReader::new(esp.bytes);
    c.take(8)?;
    let body = c.rest();
    for icv in ICV_LENGTHS {
        let Some((pad_and_content, protocol)) = trailer(body, icv) else { continue };
        for iv in IV_LENGTHS {
            let Some(content) = pad_and_content.get(iv..) else { continue };
            if fits(ip, protocol, content) {
                return Some((protocol, Span::new(content, content.len())));
            }
        }
    }
    None
}

/// Cuts off integrity value, next header, pad length and the padding 1, 2, 3 ... (RFC 4303 section 2.4).
fn trailer(body: &[u8], icv: usize) -> Option<(&[u8], u8)> {
    let (rest, _) = body.split_at_checked(body.len().checked_sub(icv)?)?;
    let (rest, &[pad_length, protocol]) = rest.split_last_chunk::<2>()?;
    let (content, padding) = rest.split_at_checked(rest.len().checked_sub(usize::from(pad_length))?)?;
    padding.iter().zip(1u8..).all(|(byte, expected)| *byte == expected).then_some((content, protocol))
}

fn fits(ip: &Ip, protocol: u8, content: &[u8]) -> bool {
    let length_at = |skip: usize| {
        let mut c = ByteReader::new(content);
        c.take(skip).and_then(|_| c.u16()).map(usize::from)
    };
    let first = content.first().copied().unwrap_or(0);
    match protocol {
        17 => content.len() >= 8 && length_at(4) == Some(content.len()),
        6 => tcp_checksum_is_right(ip, content),
        4 => first >> 4 == 4 && length_at(2) == Some(content.len()),
        41 => first >> 4 == 6 && length_at(4).map(|l| l + 40) == Some(content.len()),
        _ => false,
    }
}

fn tcp_checksum_is_right(ip: &Ip, content: &[u8]) -> bool {
    let data_offset = content.get(12).map_or(0, |b| usize::from(b >> 4) * 4);
    if data_offset < 20 || data_offset > content.len() {
        return false;
    }
    let addresses = match (ip.src, ip.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => sum(&src.octets()) + sum(&dst.octets()),
        (IpAddr::V6(src), IpAddr::V6(dst)) => sum(&src.octets()) + sum(&dst.octets()),
        _ => return false,
    };
    let mut total = addresses + 6 + content.len() as u64 + sum(content);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total == 0xffff
}

/// Sum of the big-endian 16-bit words, an odd byte padded with zero (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let (words, odd) = bytes.as_chunks::<2>();
    let tail = odd.first().map_or(0, |b| u64::from(*b) << 8);
    words.iter().map(|w| u64::from(u16::from_be_bytes(*w))).sum::<u64>() + tail
}
