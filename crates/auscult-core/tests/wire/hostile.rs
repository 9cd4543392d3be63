//! The hostile cases that concern `wire`, with all their prefixes and single-byte mutants.

use super::agree::same_both_ways;
use super::{json, sip_messages_over_tcp};
use auscult_core::model::{Ignored, Limits, Outcome};
use auscult_core::units::Timestamp;
use auscult_core::wire::classify::{Class, classify};
use auscult_core::wire::rtcp::{self, RtcpError, RtcpPacket};
use auscult_core::wire::{Decoded, Decoder, LinkType, Path, Segment, rtp};
use serde_json::Value;

struct Hostile {
    id: String,
    protocol: String,
    delivery: String,
    verdict: String,
    parts: Vec<Vec<u8>>,
}

fn hostile(wanted: &[&str]) -> Vec<Hostile> {
    let Some(path) = testkit::shared("hostile/hostile_cases.json") else { return Vec::new() };
    let part = |p: &Value| {
        let once: Vec<u8> = match p.get("t") {
            Some(text) => text.as_str().unwrap().chars().map(|c| c as u8).collect(),
            None => {
                let hex = p["x"].as_str().unwrap();
                (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
            }
        };
        once.repeat(p.get("n").map_or(1, |n| n.as_u64().unwrap() as usize))
    };
    let cases = json(&path);
    let text = |c: &Value, field: &str| c[field].as_str().unwrap().to_owned();
    let all = cases["cases"].as_array().unwrap().iter().map(|c| Hostile {
        id: text(c, "id"),
        protocol: text(c, "protocol"),
        delivery: text(c, "delivery"),
        verdict: c["expect"]["verdict"].as_str().unwrap().to_owned(),
        parts: c["parts"].as_array().unwrap().iter().map(part).collect(),
    });
    let cases: Vec<_> = all.filter(|c| wanted.contains(&c.protocol.as_str())).collect();
    assert!(!cases.is_empty(), "no cases of {wanted:?}");
    cases
}

/// Single packets of a case: each part of a sequence, or all parts together.
fn packets_of(case: &Hostile) -> Vec<Vec<u8>> {
    if case.delivery.contains("sequence") { case.parts.clone() } else { vec![case.parts.concat()] }
}

pub fn verdict_of_payload(payload: &[u8], wire_len: usize) -> &'static str {
    match classify(payload, wire_len) {
        Class::Rtp(_) => "ok",
        Class::Rtcp => {
            let mut verdict = "ok";
            for packet in rtcp::packets(payload, wire_len) {
                match packet {
                    Err(RtcpError::Malformed(_) | RtcpError::NotRtcp) => return "malformed",
                    Err(RtcpError::TooMany) | Ok(RtcpPacket::Encrypted { .. }) => verdict = "ok_flagged",
                    Err(RtcpError::CutShort) => verdict = "truncated",
                    Ok(_) => {}
                }
            }
            verdict
        }
        Class::MalformedRtp(_) | Class::MalformedRtcp => "malformed",
        Class::CutShort => "truncated",
        Class::Relayed { payload, wire_len } => verdict_of_payload(payload, wire_len),
        _ => "ignored",
    }
}

fn verdict_of_frame(decoder: &mut Decoder, frame: &[u8], wire_len: usize) -> &'static str {
    match decoder.decode(Timestamp(0), LinkType::ETHERNET, frame, wire_len) {
        Decoded::Udp(d) if d.payload.len() < d.wire_len => "truncated",
        Decoded::Udp(_) | Decoded::Tcp(_) => "ok",
        Decoded::Icmp(_) => "ignored",
        Decoded::Done(Outcome::Ignored(Ignored::CutShort)) => "truncated",
        Decoded::Done(Outcome::Ignored(Ignored::Fragment) | Outcome::OverLimit(_)) => "ok_flagged",
        Decoded::Done(Outcome::Malformed(_)) => "malformed",
        Decoded::Done(_) => "ignored",
    }
}

/// A flag is the engine's business when the bytes of one packet do not show it.
fn agrees(expected: &str, verdict: &str) -> bool {
    match expected {
        "ok_flagged" => verdict.starts_with("ok"),
        // an IP length that the frame cannot hold, around a UDP datagram that is whole
        "truncated" => matches!(verdict, "truncated" | "ok"),
        same => verdict == same,
    }
}

#[test]
fn hostile_packets_get_their_verdicts() {
    for case in hostile(&["rtp", "rtcp"]) {
        for packet in packets_of(&case) {
            let verdict = verdict_of_payload(&packet, packet.len());
            assert!(agrees(&case.verdict, verdict), "{}: {verdict} for {}", case.id, case.verdict);
        }
    }
    for case in hostile(&["frame"]) {
        let mut decoder = Decoder::new(&Limits::default());
        let verdicts: Vec<_> = packets_of(&case).iter().map(|f| verdict_of_frame(&mut decoder, f, f.len())).collect();
        let last = verdicts.last().unwrap();
        assert!(agrees(&case.verdict, last), "{}: {verdicts:?} for {}", case.id, case.verdict);
    }
}

#[test]
fn prefixes_and_mutants_of_hostile_packets_do_no_harm() {
    let try_payload = |id: &str, payload: &[u8], wire_len: usize| {
        if let Ok(h) = rtp::parse(payload, wire_len) {
            assert!(h.header_len + h.payload_len <= wire_len.max(payload.len()), "{id}");
        }
        // the verdict walks all that is behind a class
        let verdict = verdict_of_payload(payload, wire_len);
        assert!(rtcp::packets(payload, wire_len).count() <= rtcp::MAX_PACKETS + 1, "{id}");
        verdict
    };
    for case in hostile(&["rtp", "rtcp"]) {
        for packet in packets_of(&case) {
            let whole = verdict_of_payload(&packet, packet.len());
            for cut in 0..packet.len().min(512) {
                try_payload(&case.id, &packet[..cut], cut);
                let verdict = try_payload(&case.id, &packet[..cut], packet.len());
                let no_worse = verdict != "malformed" || whole == "malformed";
                assert!(no_worse, "{} cut at {cut}: {verdict} of {whole}", case.id);
            }
            mutants(&packet, |mutant| {
                try_payload(&case.id, mutant, mutant.len());
            });
        }
    }
    for case in hostile(&["frame"]) {
        for frame in packets_of(&case) {
            let whole = verdict_of_frame(&mut Decoder::new(&Limits::default()), &frame, frame.len());
            for cut in 0..frame.len().min(512) {
                for wire_len in [cut, frame.len()] {
                    let mut decoder = Decoder::new(&Limits::default());
                    let verdict = verdict_of_frame(&mut decoder, &frame[..cut], wire_len);
                    let no_worse = verdict != "malformed" || whole == "malformed";
                    assert!(no_worse, "{} cut at {cut}: {verdict} of {whole}", case.id);
                }
            }
            let mut decoder = Decoder::new(&Limits::default());
            mutants(&frame, |mutant| {
                verdict_of_frame(&mut decoder, mutant, mutant.len());
                same_both_ways(LinkType::ETHERNET, mutant);
            });
        }
    }
}

fn mutants(packet: &[u8], mut each: impl FnMut(&[u8])) {
    let mut mutant = packet.to_vec();
    for at in 0..packet.len().min(128) {
        for value in [0x00, 0x7f, 0x80, 0xff] {
            mutant[at] = value;
            each(&mutant);
        }
        mutant[at] = packet[at];
    }
}

#[test]
fn hostile_streams_are_cut_to_size_and_joined() {
    let base = |seq: u32| Segment {
        src: "192.0.2.1:5060".parse().unwrap(),
        dst: "192.0.2.2:5060".parse().unwrap(),
        path: Path { ip_id: None, ttl: 64, dscp: 0, vlan: 0, tunnel: None },
        seq,
        syn: false,
        fin: false,
        rst: false,
        payload: &[],
        wire_len: 0,
    };
    for case in hostile(&["sip-tcp"]) {
        let bytes = case.parts.concat();
        let mut pieces: Vec<(usize, Vec<u8>)> = Vec::new();
        let size = if case.delivery == "tcp_1byte" { 1 } else { 1400 };
        for (n, chunk) in bytes.chunks(size).enumerate() {
            pieces.push((n * size, chunk.to_vec()));
        }
        if case.delivery == "tcp_overlap_conflict" {
            pieces = vec![(0, bytes[..100].to_vec()), (50, vec![0x5a; 50]), (100, bytes[100..].to_vec())];
        }
        let syn = std::iter::once((Timestamp(0), Vec::new(), Segment { syn: true, ..base(0) }));
        let data = pieces.into_iter().map(|(at, bytes)| {
            let segment = Segment { wire_len: bytes.len(), ..base(1 + at as u32) };
            (Timestamp(0), bytes, segment)
        });
        let (messages, tcp) = sip_messages_over_tcp(syn.chain(data));
        let counters = tcp.counters;
        assert!(tcp.buffered() <= Limits::default().tcp_bytes, "{}", case.id);
        match case.id.as_str() {
            "tcp-001" => assert!(counters.overflows >= 1 && messages == 0),
            "tcp-002" => assert_eq!((messages, counters.overflows), (0, 0), "the caller sees the length"),
            "tcp-004" => assert_eq!((messages, counters.conflicts), (1, 0)),
            "tcp-006" => assert_eq!((messages, counters.conflicts), (1, 1)),
            "tcp-007" => assert_eq!((messages, tcp.buffered()), (0, 0)),
            other => println!("{other}: {messages} messages, {counters:?}"),
        }
    }
}
