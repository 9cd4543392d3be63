//! RTCP (RFC 3550 section 6), packet by packet: a compound that is cut or broken in its tail still gives its head.
//!
//! rtcp-types reads sender and receiver reports. Read here are SDES (it takes zeros of the next SSRC for chunk padding
//! and knows no packet padding), BYE, and XR (it has no statistics summary and no VoIP metrics).

use super::byte_reader::ByteReader;
use crate::model::ReportBlock;
use crate::units::{NtpTime, Ssrc};
use rtcp_types::prelude::*;

pub use super::xr::{DlrrEntry, StatisticsSummary, XrBlock};

/// Packets read of one datagram; more are counted as [`RtcpError::TooMany`].
pub const MAX_PACKETS: usize = 32;

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const APP: u8 = 204;
const RTPFB: u8 = 205;
const PSFB: u8 = 206;
const XR: u8 = 207;

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq)]
pub enum RtcpPacket<'a> {
    SenderReport {
        ssrc: Ssrc,
        ntp: NtpTime,
        rtp_ts: u32,
        packets: u32,
        bytes: u32,
        blocks: Vec<ReportBlock>,
    },
    ReceiverReport {
        ssrc: Ssrc,
        blocks: Vec<ReportBlock>,
    },
    Sdes(Vec<SdesChunk<'a>>),
    Bye {
        ssrcs: Vec<Ssrc>,
        reason: Option<&'a [u8]>,
    },
    App {
        ssrc: Ssrc,
        name: [u8; 4],
    },
    /// Transport (205) or payload-specific (206) feedback, RFC 4585.
    Feedback {
        transport: bool,
        format: u8,
        sender: Ssrc,
        media: Ssrc,
    },
    Xr {
        ssrc: Ssrc,
        blocks: Vec<XrBlock>,
    },
    /// The clear head of an encrypted compound (RFC 3711 section 3.4).
    Encrypted {
        packet_type: u8,
        ssrc: Ssrc,
    },
    /// A packet type that is not known, skipped by its length.
    Unknown {
        packet_type: u8,
    },
}

/// One source of an SDES packet. The CNAME is often `user@host`: personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdesChunk<'a> {
    pub ssrc: Ssrc,
    pub cname: Option<&'a [u8]>,
}

/// Why a packet could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpError {
    /// The capture ends inside a packet.
    CutShort,
    /// Not version 2, or not a packet type of RTCP.
    NotRtcp,
    /// A length or count that does not fit: of the header, or of the packet of this type.
    Malformed(u8),
    /// More than [`MAX_PACKETS`].
    TooMany,
}

/// What the lengths of a datagram say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Packet lengths add up to the datagram, or to what of it was captured; or a report and then a broken packet.
    Standard,
    /// A sound first packet, then bytes that are none: encrypted.
    Encrypted,
    No,
}

/// Whether a datagram is RTCP, plain or encrypted. Strict enough never to take RTP (whose payload types 72 to 79 with
/// marker share the second byte) or other protocols: version, types and the whole chain of lengths must agree.
pub fn looks_like_rtcp(payload: &[u8], wire_len: usize) -> bool {
    shape(payload, wire_len) != Shape::No
}

/// Walks the packets of a datagram (also of several compounds in one). A packet whose content does not fit is an error
/// in its place and the walk goes on; it ends where the lengths lead nowhere.
pub fn packets(payload: &[u8], wire_len: usize) -> RtcpPackets<'_> {
    let encrypted = shape(payload, wire_len) == Shape::Encrypted;
    RtcpPackets { rest: payload, uncaptured: wire_len.saturating_sub(payload.len()), read: 0, encrypted }
}

/// Iterator of [`packets`].
#[derive(Clone, Debug)]
pub struct RtcpPackets<'a> {
    rest: &'a [u8],
    uncaptured: usize,
    read: usize,
    encrypted: bool,
}

impl<'a> Iterator for RtcpPackets<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() && (self.uncaptured == 0 || self.read == 0) {
            return None;
        }
        Some(self.advance().unwrap_or_else(|end| {
            (self.rest, self.uncaptured) = (&[], 0);
            Err(end)
        }))
    }
}

impl<'a> RtcpPackets<'a> {
    /// One packet, or why it cannot be read; as the outer error, why nothing behind it can be read either.
    fn advance(&mut self) -> Result<Result<RtcpPacket<'a>, RtcpError>, RtcpError> {
        if self.read >= MAX_PACKETS {
            return Err(RtcpError::TooMany);
        }
        self.read += 1;
        let short = if self.uncaptured > 0 { RtcpError::CutShort } else { RtcpError::NotRtcp };
        let header = Header::read(self.rest).ok_or(short)?;
        if header.version != 2 || !(192..=223).contains(&header.packet_type) {
            return Err(RtcpError::NotRtcp);
        }
        if self.encrypted {
            let ssrc = ByteReader::new(self.rest).u64().ok_or(RtcpError::CutShort)? as u32;
            (self.rest, self.uncaptured) = (&[], 0);
            return Ok(Ok(RtcpPacket::Encrypted { packet_type: header.packet_type, ssrc: Ssrc(ssrc) }));
        }
        let Some((packet, rest)) = self.rest.split_at_checked(header.len) else {
            let on_wire = header.len <= self.rest.len() + self.uncaptured;
            return Err(if on_wire { RtcpError::CutShort } else { RtcpError::Malformed(header.packet_type) });
        };
        self.rest = rest;
        Ok(read_packet(header, packet).ok_or(RtcpError::Malformed(header.packet_type)))
    }
}

#[derive(Clone, Copy)]
struct Header {
    version: u8,
    padding: bool,
    count: u8,
    packet_type: u8,
    /// Of the whole packet, in bytes.
    len: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Header> {
        let [first, packet_type, len0, len1] = ByteReader::new(bytes).array()?;
        Some(Header {
            version: first >> 6,
            padding: first & 0x20 != 0,
            count: first & 0x1f,
            packet_type,
            len: 4 * (usize::from(u16::from_be_bytes([len0, len1])) + 1),
        })
    }

    /// The least a packet of this type and count needs.
    fn least_len(self) -> usize {
        let count = usize::from(self.count);
        match self.packet_type {
            SR => 28 + 24 * count,
            RR => 8 + 24 * count,
            SDES => 4 + 8 * count,
            BYE => 4 + 4 * count,
            APP | RTPFB | PSFB => 12,
            XR => 8,
            _ => 4,
        }
    }
}

fn shape(payload: &[u8], wire_len: usize) -> Shape {
    let wire_len = wire_len.max(payload.len());
    let Some(first) = Header::read(payload) else { return Shape::No };
    if first.version != 2 || !(SR..=XR).contains(&first.packet_type) || first.len > wire_len {
        return Shape::No;
    }
    let (mut at, mut broken_at) = (first.len, None);
    while at < wire_len && broken_at.is_none() {
        let bytes = payload.get(at..).unwrap_or_default();
        let plausible = match bytes {
            [b0, b1, ..] => b0 >> 6 == 2 && (192..=223).contains(b1),
            // not captured: with nothing of a second packet to see, a first one that is whole may be encrypted
            _ => wire_len > payload.len() && (at != first.len || payload.len() < first.len),
        };
        let end = Header::read(bytes).map_or(wire_len, |header| at + header.len);
        if plausible && end <= wire_len { at = end } else { broken_at = Some((at, plausible)) }
    }
    let Some((at, plausible)) = broken_at else { return Shape::Standard };
    // SRTCP: index and tag follow at the least; type, count and length of the first packet are in clear
    let trailer = wire_len - first.len;
    let sound_report = matches!(first.packet_type, SR | RR) && first.len == first.least_len();
    let sound_feedback = first.packet_type >= APP && first.len >= first.least_len();
    let index = has_srtcp_index(payload, wire_len);
    match trailer {
        8.. if sound_report && (index || at == first.len && !plausible) => Shape::Encrypted,
        8.. if sound_feedback && index => Shape::Encrypted,
        _ if sound_report && plausible => Shape::Standard,
        _ => Shape::No,
    }
}

/// The word with the E bit and a 31-bit index, before a tag of 10 (HMAC-SHA1-80), 4 or 16 bytes, or last (AES-GCM,
/// RFC 7714). A session that sends more than 2^24 packets of RTCP would last for years.
fn has_srtcp_index(payload: &[u8], wire_len: usize) -> bool {
    payload.len() == wire_len
        && [10, 4, 16, 0].into_iter().any(|tag| {
            let word = payload.len().checked_sub(tag + 4).and_then(|at| payload.get(at..)?.first_chunk::<2>());
            matches!(word, Some([0x80, _]))
        })
}

fn read_packet<'a>(header: Header, packet: &'a [u8]) -> Option<RtcpPacket<'a>> {
    if header.len < header.least_len() {
        return None;
    }
    let padding = if header.padding { usize::from(*packet.last()?) } else { 0 };
    if header.padding && (padding == 0 || padding % 4 != 0 || header.least_len() + padding > packet.len()) {
        return None;
    }
    let body = packet.get(4..packet.len().checked_sub(padding)?)?;
    Some(match header.packet_type {
        SR => {
            let report = rtcp_types::SenderReport::parse(packet).ok()?;
            RtcpPacket::SenderReport {
                ssrc: Ssrc(report.ssrc()),
                ntp: NtpTime(report.ntp_timestamp()),
                rtp_ts: report.rtp_timestamp(),
                packets: report.packet_count(),
                bytes: report.octet_count(),
                blocks: report.report_blocks().map(|b| report_block(&b)).collect(),
            }
        }
        RR => {
            let report = rtcp_types::ReceiverReport::parse(packet).ok()?;
            RtcpPacket::ReceiverReport {
                ssrc: Ssrc(report.ssrc()),
                blocks: report.report_blocks().map(|b| report_block(&b)).collect(),
            }
        }
        SDES => RtcpPacket::Sdes(sdes_chunks(body, header.count)?),
        BYE => {
            let mut c = ByteReader::new(body);
            let mut ssrcs = Vec::with_capacity(usize::from(header.count));
            for _ in 0..header.count {
                ssrcs.push(Ssrc(c.u32()?));
            }
            let reason = match c.u8() {
                Some(len) => Some(c.take(usize::from(len))?).filter(|r| !r.is_empty()),
                None => None,
            };
            RtcpPacket::Bye { ssrcs, reason }
        }
        APP => {
            let mut c = ByteReader::new(body);
            RtcpPacket::App { ssrc: Ssrc(c.u32()?), name: c.array()? }
        }
        RTPFB | PSFB => {
            let mut c = ByteReader::new(body);
            let transport = header.packet_type == RTPFB;
            RtcpPacket::Feedback { transport, format: header.count, sender: Ssrc(c.u32()?), media: Ssrc(c.u32()?) }
        }
        XR => {
            let mut c = ByteReader::new(body);
            let ssrc = Ssrc(c.u32()?);
            RtcpPacket::Xr { ssrc, blocks: super::xr::blocks(c)? }
        }
        packet_type => RtcpPacket::Unknown { packet_type },
    })
}

fn report_block(block: &rtcp_types::ReportBlock<'_>) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(block.ssrc()),
        fraction_lost: block.fraction_lost(),
        // signed 24 bit: duplicates make it negative
        cumulative_lost: ((block.cumulative_lost() << 8) as i32) >> 8,
        highest_seq: block.extended_sequence_number(),
        jitter_ticks: block.interarrival_jitter(),
        last_sr: block.last_sender_report_timestamp(),
        delay_since_last_sr: block.delay_since_last_sender_report_timestamp(),
    }
}

/// Chunks of an SDES packet (RFC 3550 section 6.5). `None` when an item list has no end or runs out of the packet.
fn sdes_chunks(body: &[u8], count: u8) -> Option<Vec<SdesChunk<'_>>> {
    const CNAME: u8 = 1;
    let mut c = ByteReader::new(body);
    let mut chunks = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let mut chunk = SdesChunk { ssrc: Ssrc(c.u32()?), cname: None };
        loop {
            let kind = c.u8()?;
            if kind == 0 {
                break;
            }
            let len = c.u8()?;
            let value = c.take(usize::from(len))?;
            if kind == CNAME && chunk.cname.is_none() {
                chunk.cname = Some(value);
            }
        }
        // the end mark is followed by zeros to the next word
        c.take(c.rest().len() % 4)?;
        chunks.push(chunk);
    }
    Some(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(payload: &[u8], wire_len: usize) -> Vec<Result<RtcpPacket<'_>, RtcpError>> {
        packets(payload, wire_len).collect()
    }

    fn report(packet_type: u8, ssrc: u32, about: &[u32]) -> Vec<u8> {
        let sender = if packet_type == SR { 20 } else { 0 };
        let words = (8 + sender + 24 * about.len()) / 4 - 1;
        let mut p = vec![0x80 | about.len() as u8, packet_type, 0, words as u8];
        p.extend(ssrc.to_be_bytes());
        p.extend(std::iter::repeat_n(1, sender));
        for ssrc in about {
            p.extend(ssrc.to_be_bytes());
            p.extend([64, 0xff, 0xff, 0xfe]); // a quarter lost lately, minus two in all
            p.extend([0; 16]);
        }
        p
    }

    const CNAME: [u8; 16] = [0x81, SDES, 0, 3, 0, 0, 0, 1, 1, 3, b'a', b'@', b'b', 0, 0, 0];

    #[test]
    fn a_compound_is_walked_to_its_end_and_so_is_the_next_one() {
        let mut p = report(SR, 1, &[2]);
        p.extend(CNAME);
        p.extend(report(RR, 3, &[4, 5]));
        p.extend([0x81, BYE, 0, 3, 0, 0, 0, 3, 5, b'd', b'o', b'n', b'e', b'!', 0, 0]);
        p.extend([0x80, 199, 0, 0]);
        assert!(looks_like_rtcp(&p, p.len()));
        let found = walk(&p, p.len());
        let Ok(RtcpPacket::SenderReport { ssrc, blocks, packets, .. }) = &found[0] else { panic!("{found:?}") };
        assert_eq!((*ssrc, *packets, blocks[0].ssrc), (Ssrc(1), 0x01010101, Ssrc(2)));
        assert_eq!((blocks[0].fraction_lost, blocks[0].cumulative_lost), (64, -2));
        assert_eq!(found[1], Ok(RtcpPacket::Sdes(vec![SdesChunk { ssrc: Ssrc(1), cname: Some(b"a@b") }])));
        assert!(matches!(&found[2], Ok(RtcpPacket::ReceiverReport { blocks, .. }) if blocks.len() == 2));
        assert_eq!(found[3], Ok(RtcpPacket::Bye { ssrcs: vec![Ssrc(3)], reason: Some(b"done!") }));
        assert_eq!(found[4], Ok(RtcpPacket::Unknown { packet_type: 199 }));
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn a_cut_tail_leaves_the_head() {
        let mut p = report(SR, 1, &[2]);
        p.extend(CNAME);
        for cut in 54..p.len() {
            let found = walk(&p[..cut], p.len());
            assert!(matches!(&found[0], Ok(RtcpPacket::SenderReport { blocks, .. }) if blocks.len() == 1), "{cut}");
            assert_eq!(found[1], Err(RtcpError::CutShort), "{cut}");
        }
        for cut in 4..52 {
            assert_eq!(walk(&p[..cut], p.len()), [Err(RtcpError::CutShort)], "{cut}");
        }
        // nothing of the second packet to see: it could as well be the trailer of an encrypted one
        assert!(matches!(walk(&p[..52], p.len())[..], [Ok(RtcpPacket::Encrypted { .. })]));
    }

    #[test]
    fn a_packet_that_does_not_fit_does_not_hide_the_next() {
        let mut p = vec![0x81, SDES, 0, 2, 0, 0, 0, 1, 1, 2, b'a', b'b']; // no end of the item list
        p.extend([0x81, BYE, 0, 1, 0, 0, 0, 1]);
        let found = walk(&p, p.len());
        assert_eq!(found[0], Err(RtcpError::Malformed(SDES)));
        assert!(matches!(found[1], Ok(RtcpPacket::Bye { .. })));
    }

    #[test]
    fn encrypted_compounds_give_only_their_first_eight_bytes() {
        let index_and_tag = [0x80, 0, 0, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];
        let mut alone = report(SR, 1, &[2]);
        alone.extend(index_and_tag);
        let mut with_sdes = report(RR, 1, &[2]);
        with_sdes.extend([0x5a; 16]);
        with_sdes.extend(index_and_tag);
        // by chance the encrypted second packet begins like RTCP: the index still shows that it is encrypted
        let mut unlucky = report(RR, 1, &[]);
        unlucky.extend([0x81, 202, 0x77, 0x77, 1, 2, 3, 4]);
        unlucky.extend(index_and_tag);
        let mut feedback = vec![0x81, PSFB, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        feedback.extend(index_and_tag);
        for p in [alone, with_sdes, unlucky, feedback] {
            let expected = RtcpPacket::Encrypted { packet_type: p[1], ssrc: Ssrc(1) };
            assert_eq!(walk(&p, p.len()), [Ok(expected)], "{p:02x?}");
        }
    }

    #[test]
    fn rtp_and_noise_are_not_taken() {
        // payload types 72 and 73 with marker: length words are sequence numbers
        for seq in 0..=u16::MAX {
            let mut rtp = vec![0x80, 200 + (seq % 5) as u8, (seq >> 8) as u8, seq as u8];
            rtp.extend([0x5a; 168]);
            // but for the one that happens to be the length of the datagram, or of a lone report before a trailer
            let chance = seq == 42 || (rtp[1], seq) == (SR, 6) || (rtp[1], seq) == (RR, 1);
            assert_eq!(looks_like_rtcp(&rtp, rtp.len()), chance, "type {} sequence number {seq}", rtp[1]);
        }
        assert!(!looks_like_rtcp(&[0x40, 200, 0, 0], 4));
        assert!(!looks_like_rtcp(&[0x80, 192, 0, 0], 4), "FIR of RFC 2032 does not begin a compound");
        assert!(!looks_like_rtcp(&[0x80, 200, 0], 3));
    }

    #[test]
    fn at_most_thirty_two_packets_are_read() {
        let p = report(RR, 1, &[]).repeat(187);
        let found = walk(&p, p.len());
        assert_eq!(found.len(), MAX_PACKETS + 1);
        assert_eq!(found.last(), Some(&Err(RtcpError::TooMany)));
    }
}
