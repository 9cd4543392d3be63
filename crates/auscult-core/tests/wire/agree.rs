//! Two ways through the same bytes: fast path and decoder, reader and the writer of rtcp-types; and noise.

use super::hostile::verdict_of_payload;
use auscult_core::model::Limits;
use auscult_core::units::{NtpTime, Ssrc, Timestamp};
use auscult_core::wire::classify::{Class, classify};
use auscult_core::wire::rtcp::{self, RtcpPacket};
use auscult_core::wire::{Datagram, Decoded, Decoder, LinkType, PlainRtp, fast_rtp, fast_udp};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

/// Whatever the fast path takes, the decoder must give as well; and the fast path to RTP what classifying gives.
pub fn same_both_ways(link: LinkType, frame: &[u8]) -> bool {
    let fast = fast_udp(link, frame);
    assert_eq!(fast_rtp(link, frame), fast.as_ref().and_then(plain_rtp), "{frame:02x?}");
    let Some(fast) = fast else { return false };
    let mut decoder = Decoder::new(&Limits::default());
    match decoder.decode(Timestamp(0), link, frame, frame.len()) {
        Decoded::Udp(slow) => assert_eq!(fast, slow, "{frame:02x?}"),
        other => panic!("{other:?} for {fast:?} of {frame:02x?}"),
    }
    true
}

fn plain_rtp(datagram: &Datagram<'_>) -> Option<PlainRtp> {
    let Class::Rtp(header) = classify(datagram.payload, datagram.wire_len) else { return None };
    let mapped = |at: SocketAddr| match at.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let plain = header.csrc_count == 0 && !header.has_extension && !header.has_padding;
    plain.then(|| PlainRtp {
        src_ip: mapped(datagram.src),
        dst_ip: mapped(datagram.dst),
        src_port: datagram.src.port(),
        dst_port: datagram.dst.port(),
        ssrc: header.ssrc.0,
        timestamp: header.timestamp,
        seq: header.seq,
        payload_type: header.payload_type.0,
        marker: header.marker,
        payload_len: header.payload_len as u16,
        cut_short: datagram.payload.len() < datagram.wire_len,
        path: datagram.path,
    })
}

fn plain_frame(tags: &[u16], v6: bool, tos: u8, ports: (u16, u16), payload: &[u8], padding: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend([0x81, 0]);
        frame.extend(tag.to_be_bytes());
    }
    let udp_len = (8 + payload.len()) as u16;
    if v6 {
        frame.extend([0x86, 0xdd, 0x60 | tos >> 4, tos << 4, 0, 0]);
        frame.extend(udp_len.to_be_bytes());
        frame.extend([17, 64]);
        frame.extend([0x20; 32]);
    } else {
        frame.extend([0x08, 0x00, 0x45, tos]);
        frame.extend((20 + udp_len).to_be_bytes());
        frame.extend([0x12, 0x34, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    }
    frame.extend(ports.0.to_be_bytes());
    frame.extend(ports.1.to_be_bytes());
    frame.extend(udp_len.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame.extend(vec![0; padding]);
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_fast_path_takes_plain_frames_and_agrees_on_broken_ones(
        tags in prop::collection::vec(any::<u16>(), 0..4),
        v6 in any::<bool>(),
        tos in any::<u8>(),
        ports in (any::<u16>(), prop_oneof![any::<u16>(), Just(2152), Just(4789), Just(6081), Just(37008), Just(1701)]),
        mut payload in prop::collection::vec(any::<u8>(), 0..64),
        first in prop_oneof![Just(0x80u8), any::<u8>()],
        padding in 0usize..20,
        damage in prop::collection::vec((0usize..64, any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        payload.iter_mut().take(1).for_each(|byte| *byte = first);
        let mut frame = plain_frame(&tags, v6, tos, ports, &payload, padding);
        let taken = same_both_ways(LinkType::ETHERNET, &frame);
        // Ports of tunnels, and those that share their last six bits and the six before with some of them, go the slow way.
        let tunnels = [2152u16, 4789, 6081, 37008, 1701];
        let like = |f: fn(u16) -> u16| tunnels.iter().any(|tunnel| f(*tunnel) == f(ports.1));
        prop_assert_eq!(taken, tags.len() <= 2 && !(like(|port| port & 63) && like(|port| port >> 6 & 63)));
        same_both_ways(LinkType::ETHERNET, &frame[..cut.index(frame.len())]);
        for (at, value) in damage {
            let len = frame.len();
            frame[at % len] = value;
            same_both_ways(LinkType::ETHERNET, &frame);
        }
    }

    #[test]
    fn noise_is_survived_on_every_link_type(
        link in prop::sample::select(vec![0u32, 1, 9, 12, 50, 51, 101, 108, 113, 228, 229, 276, 999]),
        ethertype in prop::sample::select(vec![0x0800u16, 0x86dd, 0x8100, 0x8847, 0x8864, 60]),
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        protocol in prop::sample::select(vec![4u8, 6, 17, 41, 43, 44, 47, 50, 51, 60, 137]),
        more in 0usize..100,
    ) {
        if let Some(slot) = bytes.get_mut(12..14) {
            slot.copy_from_slice(&ethertype.to_be_bytes());
        }
        if let Some(slot) = bytes.get_mut(14) { *slot = if ethertype == 0x86dd { 0x60 } else { 0x45 } }
        if let Some(slot) = bytes.get_mut(if ethertype == 0x86dd { 20 } else { 23 }) { *slot = protocol }
        let mut decoder = Decoder::new(&Limits::default());
        let wire = bytes.len() + more;
        if let Decoded::Udp(d) = decoder.decode(Timestamp(0), LinkType(link), &bytes, wire) {
            prop_assert!(d.payload.len() <= d.wire_len);
            verdict_of_payload(d.payload, d.wire_len);
        }
    }

    #[test]
    fn noise_behind_an_rtcp_header_is_survived(
        first in any::<u8>(), packet_type in 200u8..=207, len in 0u16..20,
        body in prop::collection::vec(any::<u8>(), 0..120), more in 0usize..40,
    ) {
        let mut payload = vec![0x80 | (first & 0x3f), packet_type];
        payload.extend(len.to_be_bytes());
        payload.extend(body);
        verdict_of_payload(&payload, payload.len() + more);
        prop_assert!(rtcp::packets(&payload, payload.len() + more).count() <= rtcp::MAX_PACKETS + 1);
    }

    #[test]
    fn what_rtcp_types_writes_is_read_back(
        ssrc in any::<u32>(), ntp in any::<u64>(), rtp_ts in any::<u32>(), counts in any::<(u32, u32)>(),
        blocks in prop::collection::vec((any::<u32>(), any::<u8>(), -0x80_0000i32..0x80_0000, any::<[u32; 4]>()), 0..31),
        sources in prop::collection::vec((any::<u32>(), "[ -~]{0,40}"), 1..31),
        reason in prop::option::of("[ -~]{1,60}"),
        padding in 0u8..8,
    ) {
        use rtcp_types::{Bye, Compound, ReceiverReport, ReportBlock, Sdes, SdesChunk, SdesItem, SenderReport};
        use rtcp_types::prelude::RtcpPacketWriterExt;
        let block = |(ssrc, fraction, lost, rest): &(u32, u8, i32, [u32; 4])| ReportBlock::builder(*ssrc)
            .fraction_lost(*fraction)
            .cumulative_lost(*lost as u32 & 0xff_ffff)
            .extended_sequence_number(rest[0])
            .interarrival_jitter(rest[1])
            .last_sender_report_timestamp(rest[2])
            .delay_since_last_sender_report_timestamp(rest[3]);
        let mut sr = SenderReport::builder(ssrc)
            .ntp_timestamp(ntp).rtp_timestamp(rtp_ts).packet_count(counts.0).octet_count(counts.1);
        let mut rr = ReceiverReport::builder(ssrc);
        for b in &blocks {
            sr = sr.add_report_block(block(b));
            rr = rr.add_report_block(block(b));
        }
        let mut sdes = Sdes::builder();
        let mut bye = Bye::builder().padding(padding * 4);
        for (ssrc, name) in &sources {
            sdes = sdes.add_chunk(SdesChunk::builder(*ssrc).add_item(SdesItem::builder(SdesItem::CNAME, name)));
            bye = bye.add_source(*ssrc);
        }
        if let Some(reason) = &reason {
            // the writer puts padding behind a reason in the wrong place
            bye = bye.reason(reason.as_str()).padding(0);
        }
        let compound = Compound::builder().add_packet(sr).add_packet(rr).add_packet(sdes).add_packet(bye);
        let mut bytes = vec![0; 64 * 1024];
        let len = compound.write_into(&mut bytes).unwrap();
        bytes.truncate(len);

        let read: Vec<_> = rtcp::packets(&bytes, len).collect::<Result<_, _>>().unwrap();
        prop_assert!(rtcp::looks_like_rtcp(&bytes, len));
        let expected: Vec<_> = blocks.iter().map(|(ssrc, fraction_lost, lost, rest)| auscult_core::model::ReportBlock {
            ssrc: Ssrc(*ssrc),
            fraction_lost: *fraction_lost,
            cumulative_lost: *lost,
            highest_seq: rest[0],
            jitter_ticks: rest[1],
            last_sr: rest[2],
            delay_since_last_sr: rest[3],
        }).collect();
        let (ssrc, ntp) = (Ssrc(ssrc), NtpTime(ntp));
        let (packets, bytes) = counts;
        prop_assert_eq!(&read[0], &RtcpPacket::SenderReport { ssrc, ntp, rtp_ts, packets, bytes, blocks: expected.clone() });
        prop_assert_eq!(&read[1], &RtcpPacket::ReceiverReport { ssrc, blocks: expected });
        let chunks = sources.iter().map(|(ssrc, name)| rtcp::SdesChunk { ssrc: Ssrc(*ssrc), cname: Some(name.as_bytes()) });
        prop_assert_eq!(&read[2], &RtcpPacket::Sdes(chunks.collect()));
        let ssrcs = sources.iter().map(|(ssrc, _)| Ssrc(*ssrc)).collect();
        prop_assert_eq!(&read[3], &RtcpPacket::Bye { ssrcs, reason: reason.as_deref().map(str::as_bytes) });
        prop_assert_eq!(read.len(), 4);
    }
}
