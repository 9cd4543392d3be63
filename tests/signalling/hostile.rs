//! Hostile SIP, SDP and TCP cases, their prefixes and single-byte mutants, and random mutations.

use crate::script::compose;
use crate::torture::{alone, captured};
use auscult_core::model::{Limits, Outcome, Policy};
use auscult_core::signal::{CapturedMessage, Signal};
use auscult_core::units::Timestamp;
use auscult_core::wire::sip::{self, Anomaly, Framer, Framing, FramingLimits};

struct Case {
    id: String,
    delivery: String,
    bytes: Vec<u8>,
    verdict: String,
    counter: String,
    new_calls: u64,
}

fn cases() -> Vec<Case> {
    let Some(path) = testkit::shared("hostile/hostile_cases.json") else { return Vec::new() };
    let text = std::fs::read_to_string(path).expect("cases");
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let template = all["sip_template"].as_str().expect("template");
    let mut cases = Vec::new();
    for case in all["cases"].as_array().expect("cases") {
        let id = case["id"].as_str().expect("id");
        if !["sip-", "sdp-", "tcp-"].iter().any(|p| id.starts_with(p)) {
            continue;
        }
        let mut bytes = Vec::new();
        for part in case["parts"].as_array().expect("parts") {
            let piece: Vec<u8> = match part["t"].as_str() {
                Some(text) => text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect(),
                None => {
                    let hex = part["x"].as_str().expect("hex");
                    (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hex")).collect()
                }
            };
            bytes.extend(piece.repeat(part["n"].as_u64().unwrap_or(1) as usize));
        }
        let delivery = case["delivery"].as_str().expect("delivery");
        if delivery == "sip_body" {
            let head = template.replace("{ID}", id).replace("{LEN}", &bytes.len().to_string()).replace("{BODY}", "");
            bytes = [head.into_bytes(), bytes].concat();
        }
        cases.push(Case {
            id: id.to_owned(),
            delivery: delivery.to_owned(),
            bytes,
            verdict: case["expect"]["verdict"].as_str().expect("verdict").to_owned(),
            counter: case["expect"]["counter"].as_str().unwrap_or_default().to_owned(),
            new_calls: case["expect"]["new_calls"].as_u64().expect("number"),
        });
    }
    cases
}

/// Names of the cases' counters in our terms, where they differ.
fn anomaly_of(counter: &str) -> Option<(&'static str, &'static str)> {
    Some(match counter {
        "sip.field_too_long" => ("sip", "field_too_long"),
        "sip.duplicate_header" => ("sip", "duplicate_singleton_header"),
        "sip.quoted_string" => ("sip", "quoted_string_unterminated"),
        "sip.header_syntax" => ("sip", "header_syntax"),
        "sip.uri_syntax" => ("sip", "uri_syntax"),
        "sip.unknown_method" => ("sip", "unknown_method"),
        "sip.multipart" => ("sip", "multipart_syntax"),
        "sip.trailing_octets" => ("sip", "trailing_octets"),
        "sip.cseq_mismatch" => ("sip", "cseq_method_mismatch"),
        "sip.version" => ("sip", "unknown_sip_version"),
        "sip.too_many_headers" => ("sip", "too_many_headers"),
        "sdp.truncated" => ("sdp", "truncated"),
        "sdp.empty" => ("sdp", "empty"),
        "sdp.syntax" => ("sdp", "syntax"),
        "sdp.field_too_long" => ("sdp", "field_too_long"),
        "sdp.payload_type" => ("sdp", "payload_type"),
        "sdp.port" => ("sdp", "port"),
        "sdp.clock_rate" => ("sdp", "clock_rate"),
        "sdp.ptime" => ("sdp", "ptime"),
        "sdp.too_many_attributes" => ("sdp", "too_many_attributes"),
        "sdp.address" => ("sdp", "address"),
        "sdp.ssrc" => ("sdp", "ssrc"),
        _ => return None,
    })
}

#[test]
fn hostile_messages_end_as_they_should() {
    for case in cases().iter().filter(|c| !c.delivery.starts_with("tcp")) {
        let (outcome, calls) = alone(&case.bytes);
        let name = outcome.name();
        let fits = match case.verdict.as_str() {
            "ok" | "ok_flagged" => outcome == Outcome::Sip,
            "malformed" => name == "malformed.sip",
            "truncated" => name == "ignored.cut_short",
            "ignored" => name.starts_with("ignored."),
            other => panic!("unknown verdict {other}"),
        };
        assert!(fits, "{}: {name} for {}", case.id, case.verdict);
        assert_eq!(calls.len() as u64, case.new_calls, "{}", case.id);
        if let Some(anomaly) = anomaly_of(&case.counter) {
            let mut signal = Signal::new(&Policy::default(), &Limits::default());
            signal.message(captured(0, &case.bytes), &mut Vec::new());
            let noted = &signal.counters().anomalies;
            assert!(noted.contains_key(&anomaly), "{}: {anomaly:?} is not among {noted:?}", case.id);
        }
    }
}

#[test]
fn hostile_streams_are_cut_into_messages_or_dropped() {
    let limits = Limits::default();
    for case in cases().iter().filter(|c| c.delivery.starts_with("tcp")) {
        let segment = if case.delivery == "tcp_1byte" { 1 } else { 1400 };
        let (mut buffer, mut messages, mut dropped) = (Vec::new(), 0, 0);
        let (mut framer, sizes) =
            (Framer::default(), FramingLimits { message: limits.tcp_bytes, headers: limits.header_bytes });
        for piece in case.bytes.chunks(segment) {
            buffer.extend_from_slice(piece);
            loop {
                assert!(buffer.len() <= limits.tcp_bytes + segment, "{}: nothing is let go", case.id);
                let used = match framer.next(&buffer, &sizes) {
                    Framing::Need => break,
                    Framing::Message(length) => {
                        messages += 1;
                        sip::parse(&buffer[..length]).unwrap_or_else(|e| panic!("{}: {e}", case.id));
                        length
                    }
                    Framing::Skip(length) | Framing::Junk(length) => length,
                    Framing::TooLong(length) | Framing::HeadersTooLong(length) => {
                        dropped += 1;
                        length
                    }
                    Framing::NotSip => buffer.len(),
                };
                assert!(used > 0 && used <= buffer.len(), "{}", case.id);
                buffer.drain(..used);
            }
        }
        match case.verdict.as_str() {
            "ok" => assert_eq!((messages, dropped), (1, 0), "{}", case.id),
            "malformed" => assert!(messages == 0 && dropped > 0, "{}: {messages} {dropped}", case.id),
            _ => assert_eq!((messages, dropped), (0, 0), "{}", case.id),
        }
    }
}

/// Every path that sees raw bytes.
fn feed(signal: &mut Signal, at: i64, bytes: &[u8]) {
    let mut events = Vec::new();
    signal.message(CapturedMessage { cut_short: at % 2 == 0, ..captured(at, bytes) }, &mut events);
    match Framer::default().next(bytes, &FramingLimits { message: 4096, headers: 4096 }) {
        Framing::Need | Framing::NotSip => {}
        Framing::Message(n)
        | Framing::Skip(n)
        | Framing::Junk(n)
        | Framing::TooLong(n)
        | Framing::HeadersTooLong(n) => assert!(n > 0 && n <= bytes.len()),
    }
    if let Ok(m) = sip::parse(bytes) {
        assert!(m.headers().count() <= sip::HEADERS_MAX);
        let (headers, sdp) = sip::sanitise(&m);
        assert!(headers.len() <= 16_384 && sdp.len() <= 16_384);
        assert!(!headers.chars().chain(sdp.chars()).any(|c| c.is_control() && c != '\n'));
        assert!(m.anomalies().iter().all(|a| Anomaly::ALL.contains(&a)));
    }
}

#[test]
fn prefixes_and_single_octet_mutants_are_survived() {
    let limits = Limits { calls: 64, ..Limits::default() };
    let mut signal = Signal::new(&Policy::default(), &limits);
    let mut at = 0;
    for case in cases().iter().filter(|c| c.bytes.len() <= 1024) {
        for end in 0..case.bytes.len() {
            at += 1;
            feed(&mut signal, at, &case.bytes[..end]);
        }
        for place in 0..case.bytes.len() {
            let mut mutant = case.bytes.clone();
            for byte in [0, b'\n', b'"', b';', 0xff] {
                mutant[place] = byte;
                at += 1;
                feed(&mut signal, at, &mutant);
            }
        }
        assert!(signal.len() <= 64);
    }
}

#[test]
fn random_mutations_are_survived() {
    let seeds: Vec<Vec<u8>> = [
        "a>b INVITE sdp=10.0.0.1:4000/sendonly reason=x",
        "b>a 200 to=t sdp=10.0.0.2:6000 vias=3",
        "a>b BYE cseq=2 to=t reason=Q.850;cause=16",
        "a>b UPDATE cseq=3 to=t sdp=10.0.0.1:4002",
    ]
    .iter()
    .map(|s| compose(s).2)
    .collect();
    let limits = Limits { calls: 256, messages_per_call: 50, media_endpoints: 100, ..Limits::default() };
    let mut signal = Signal::new(&Policy::default(), &limits);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below.max(1) as u64) as usize
    };
    for at in 1..=20_000 {
        let mut bytes = seeds[next(seeds.len())].clone();
        for _ in 0..=next(4) {
            let place = next(bytes.len());
            match next(6) {
                0 => bytes[place] = next(256) as u8,
                1 => bytes[place] ^= 1 << next(8),
                2 => bytes.truncate(place),
                3 => bytes.insert(place, b"\r\n\0\"<>;:,=@ 09-"[next(15)]),
                4 => drop(bytes.drain(place..(place + next(20)).min(bytes.len()))),
                _ => {
                    let end = (place + next(40)).min(bytes.len());
                    let piece = bytes[place..end].to_vec();
                    bytes.splice(place..place, piece);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        feed(&mut signal, at * 1_000_000, &bytes);
        assert!(signal.len() <= 256);
    }
    let mut events = Vec::new();
    signal.finish(Timestamp(i64::MAX), &mut events);
    assert!(signal.is_empty());
}
