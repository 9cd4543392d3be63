//! Hostile bytes through the engine.

use super::*;
use auscult_core::model::{LossAttribution, Quality};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use testkit::World;
use testkit::frame::{self, Lower, Segment};
use testkit::rng::Rng;
use testkit::world::START;

const MS: i64 = 1_000_000;
const LOWER: Lower = Lower { id: 0, ttl: 64, dscp: 0, vlan: None };

struct Case {
    id: String,
    verdict: String,
    new_calls: u64,
    frames: Vec<Frame>,
}

/// Every case that is a frame or can be put into frames; captures and HEP are tested elsewhere.
fn cases() -> Vec<Case> {
    let Some(path) = testkit::shared("hostile/hostile_cases.json") else { return Vec::new() };
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let template = all["sip_template"].as_str().unwrap();
    let mut out = Vec::new();
    for c in all["cases"].as_array().unwrap() {
        let text = |field: &str| c[field].as_str().unwrap();
        let parts: Vec<Vec<u8>> = c["parts"].as_array().unwrap().iter().map(part).collect();
        if matches!(text("protocol"), "pcap" | "hep3") {
            continue;
        }
        out.push(Case {
            id: text("id").to_owned(),
            verdict: c["expect"]["verdict"].as_str().unwrap().to_owned(),
            new_calls: c["expect"]["new_calls"].as_u64().unwrap(),
            frames: deliver(text("id"), text("protocol"), text("delivery"), &parts, template),
        });
    }
    assert!(out.len() > 100, "{} cases", out.len());
    out
}

fn part(p: &Value) -> Vec<u8> {
    let once: Vec<u8> = match p.get("t") {
        Some(text) => text.as_str().unwrap().chars().map(|c| c as u8).collect(),
        None => {
            let hex = p["x"].as_str().unwrap();
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
        }
    };
    once.repeat(p.get("n").map_or(1, |n| n.as_u64().unwrap() as usize))
}

fn deliver(id: &str, protocol: &str, delivery: &str, parts: &[Vec<u8>], template: &str) -> Vec<Frame> {
    let whole = parts.concat();
    let port = match protocol {
        "rtp" => 4000,
        "rtcp" => 4001,
        _ => 5060,
    };
    let (src, dst) = (SocketAddr::from(([192, 0, 2, 1], port)), SocketAddr::from(([192, 0, 2, 2], port)));
    let tcp = |seq: usize, flags: u8, data: &[u8]| {
        frame::tcp(src, dst, LOWER, Segment { seq: 1 + seq as u32, ack: 1, flags }, data)
    };
    let segments = |size: usize| whole.chunks(size).enumerate().map(|(i, c)| tcp(i * size, 24, c)).collect::<Vec<_>>();
    let mut bytes: Vec<Vec<u8>> = match delivery {
        "frame" => vec![whole],
        "frame_sequence" => parts.to_vec(),
        "sequence_20ms" => parts.iter().map(|p| frame::udp(src, dst, LOWER, p)).collect(),
        "sip_body" => {
            let head = template.replace("{ID}", id).replace("{LEN}", &whole.len().to_string()).replace("{BODY}", "");
            vec![frame::udp(src, dst, LOWER, &[head.into_bytes(), whole].concat())]
        }
        "tcp_stream" => segments(1400),
        "tcp_1byte" => segments(1),
        "tcp_overlap_conflict" => {
            vec![tcp(0, 24, &whole[..100]), tcp(50, 24, &[0x5A; 50]), tcp(100, 24, &whole[100..])]
        }
        // No datagram is longer; the length field of a frame that claims so is another case.
        "datagram" => vec![frame::udp(src, dst, LOWER, &whole[..whole.len().min(65_500)])],
        other => panic!("{id}: unknown delivery {other}"),
    };
    if delivery.starts_with("tcp") {
        let syn = frame::tcp(src, dst, LOWER, Segment { seq: 0, ack: 0, flags: 2 }, b"");
        bytes.insert(0, syn);
    }
    let frames = bytes.into_iter().enumerate();
    frames.map(|(i, bytes)| Frame { at: START + i as i64 * 20 * MS, wire_len: bytes.len() as u32, bytes }).collect()
}

#[test]
fn each_case_comes_to_its_outcome() {
    let mut problems = Vec::new();
    for case in cases() {
        for setup in [Setup::default(), Setup::rested()] {
            let run = run(&case.frames, &setup);
            let calls = run.calls().len() as u64;
            let outcomes: Vec<String> = run.outcomes.0.iter().map(|(o, n)| format!("{} {n}", o.name())).collect();
            if run.outcomes.total() != run.frames {
                problems.push(format!("{}: {} frames, {outcomes:?}", case.id, run.frames));
            }
            if calls != case.new_calls {
                let Case { id, verdict, new_calls, .. } = &case;
                problems.push(format!("{id} ({verdict}): {calls} calls instead of {new_calls}, {outcomes:?}"));
            }
        }
    }
    problems.dedup();
    none(problems);
}

/// Prefixes of whole frames, as a snap length cuts them, and frames with one byte changed.
#[test]
fn cut_and_changed_frames_do_no_harm() {
    let mut rng = Rng::new(4);
    let mut engine = Setup::default().engine();
    let mut events = Vec::new();
    let mut fed = 0u64;
    let mut at = START;
    for case in cases() {
        for whole in case.frames.iter().take(4) {
            for _ in 0..60 {
                let mut frame = whole.clone();
                if rng.chance(0.5) {
                    frame.bytes.truncate(rng.below(frame.bytes.len() as u64 + 1) as usize);
                } else if !frame.bytes.is_empty() {
                    let byte = rng.below(frame.bytes.len().min(300) as u64) as usize;
                    frame.bytes[byte] = *rng.pick(&[0x00, 0x7F, 0x80, 0xFF]);
                }
                at += MS / 2;
                frame.at = at;
                feed(&mut engine, &frame, &mut events);
                fed += 1;
            }
            events.clear();
        }
    }
    engine.finish(&mut events);
    assert_eq!(engine.outcomes().total(), fed);
}

/// All cases in any order beside healthy calls: those keep their figures.
#[test]
fn a_soup_of_cases_costs_healthy_calls_nothing() {
    let healthy: Vec<Frame> = World::random(9, 6).build().frames;
    let plain = run(&healthy, &Setup::default());
    let mut soup: Vec<Frame> = cases().into_iter().flat_map(|c| c.frames).filter(|f| f.bytes.len() < 4000).collect();
    if soup.is_empty() {
        return;
    }
    let mut rng = Rng::new(5);
    let span = healthy.last().unwrap().at - healthy[0].at;
    for f in &mut soup {
        f.at = healthy[0].at + rng.range(0, span);
        // Addresses of its own: bytes of a live flow would be part of it.
        if f.bytes.len() > 34 && f.bytes[12..14] == [8, 0] {
            f.bytes[26..29].copy_from_slice(&[100, 64, 0]);
        }
    }
    let figures = |run: &Run| -> BTreeMap<String, String> {
        // With more streams beside it less of a loss is undecided.
        let told = |quality: &mut Quality| quality.loss = LossAttribution::default();
        let calls = run.calls().into_iter().cloned().map(|mut c| {
            told(&mut c.quality);
            (c.call_id.to_string(), format!("{c:?}"))
        });
        let streams = run.streams().into_iter().cloned().map(|mut s| {
            told(&mut s.quality);
            (s.id.to_string(), format!("{s:?}"))
        });
        calls.chain(streams).collect()
    };
    let mut frames = healthy;
    frames.extend(soup);
    frames.sort_by_key(|f| f.at);
    let mixed = run(&frames, &Setup::default());
    assert_eq!(mixed.outcomes.total(), mixed.frames);
    let mixed = figures(&mixed);
    for (key, figure) in figures(&plain) {
        assert_eq!(mixed.get(&key), Some(&figure), "{key}");
    }
}
