//! `media` against packet vectors of the reference, and against itself: intervals merge to the stream.
//!
//! Vectors are read from the shared reference folder at run time; without it these tests say so and pass.

use auscult_core::media::{Endpoint, FlowKey, Hint, MediaEvent, Packet, Shard, SlotHint};
use auscult_core::model::burst::rate8;
use auscult_core::model::{IntervalReport, Limits, PayloadKind, PayloadMap, Policy, StreamReport, StreamStats};
use auscult_core::units::{ClockRate, Nanos, PayloadType, Ssrc, Timestamp};
use proptest::prelude::*;
use serde_json::Value;
use std::net::SocketAddr;

/// Payload type numbers used here: audio at the case's rate, audio at 16 kHz, events.
const AUDIO: u8 = 96;
const WIDE: u8 = 97;
const EVENT: u8 = 101;
const NOISE: u8 = 13;

const MS: i64 = 1_000_000;

fn vectors(part: &str) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(testkit::shared("reference/rtp_vectors.json")?).expect("readable");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    Some(document[part].as_array().unwrap_or_else(|| panic!("no {part}")).clone())
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: i64,
    seq: u16,
    timestamp: u32,
    payload_type: u8,
    marker: bool,
}

fn sent(at: i64, seq: u16, timestamp: u32) -> Sent {
    Sent { at, seq, timestamp, payload_type: AUDIO, marker: false }
}

fn of_case(case: &Value) -> Vec<Sent> {
    let packet = |p: &Value| Sent {
        at: p["us"].as_i64().unwrap() * 1000,
        seq: p["seq"].as_u64().unwrap() as u16,
        timestamp: p["ts"].as_u64().unwrap() as u32,
        payload_type: match (p["pt"].as_u64(), p["rate"].as_u64()) {
            (Some(pt), _) => pt as u8,
            (None, Some(16_000)) => WIDE,
            _ => AUDIO,
        },
        marker: p["marker"].as_bool().unwrap_or(false),
    };
    case["packets"].as_array().unwrap().iter().map(packet).collect()
}

fn payloads(clock: u32) -> Vec<PayloadMap> {
    let map = |payload_type, codec: &str, clock, kind| PayloadMap {
        payload_type: PayloadType(payload_type),
        codec: codec.into(),
        clock: ClockRate::new(clock).unwrap(),
        kind,
    };
    vec![
        map(AUDIO, "L16", clock, PayloadKind::Audio),
        map(WIDE, "L16", 16_000, PayloadKind::Audio),
        map(EVENT, "telephone-event", clock, PayloadKind::TelephoneEvent),
        map(NOISE, "CN", 8000, PayloadKind::ComfortNoise),
    ]
}

/// Ends the interval of every stream, or every stream.
fn turn(shard: &mut Shard, boundary: Option<Timestamp>, events: &mut Vec<MediaEvent>) {
    let mut due = Vec::new();
    shard.streams_to_close(boundary, &mut |turn| due.push(turn), &mut |_| {});
    for turn in &due {
        shard.close_interval(turn, events);
    }
}

/// What `media` measures of packets that offer and answer announced, in intervals of a length.
fn measure(packets: &[Sent], clock: u32, interval: Nanos) -> (StreamReport, Vec<IntervalReport>) {
    let (src, dst): (SocketAddr, SocketAddr) = (([192, 0, 2, 1], 4000).into(), ([192, 0, 2, 2], 5000).into());
    let policy = Policy { interval, ..Policy::default() };
    let mut shard = Shard::new(&policy, &Limits::default(), 1, 1);
    shard.hint(&Hint { endpoint: Endpoint::from(dst), payloads: payloads(clock).into() });
    let mut events = Vec::new();
    let mut boundary = Timestamp(packets[0].at).floor_to(interval);
    shard.begin(boundary);
    boundary = boundary + interval;
    for (n, p) in packets.iter().enumerate() {
        while Timestamp(p.at) >= boundary {
            turn(&mut shard, Some(boundary), &mut events);
            shard.advance_interval(boundary);
            boundary = boundary + interval;
        }
        let packet = Packet {
            at: Timestamp(p.at),
            key: FlowKey::new(src, dst, Ssrc(7)),
            seq: p.seq,
            timestamp: p.timestamp,
            payload_type: p.payload_type,
            marker: p.marker,
            cut_short: false,
            payload_len: if p.payload_type == EVENT { 4 } else { 160 },
            ip_id: Some(n as u16 + 1),
            ttl: 64,
            dscp: 46,
            vlan: 0,
            tunnel: None,
            is_outcome: true,
        };
        shard.packet(SlotHint::UNKNOWN, &packet, &mut events);
    }
    turn(&mut shard, None, &mut events);
    let mut rows = Vec::new();
    let mut whole = None;
    for event in events {
        match event {
            MediaEvent::Interval(row, ..) => rows.push(*row),
            MediaEvent::Ended(report) => whole = Some(*report),
            _ => {}
        }
    }
    (whole.expect("a stream"), rows)
}

fn numbers(packets: &[Sent], clock: u32) -> StreamStats {
    measure(packets, clock, Nanos::from_secs(60)).0.numbers
}

#[track_caller]
fn close(what: &str, got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{what}: {got} instead of {want}");
}

/// Where the vectors count differently on purpose: key, what this program says, why.
const POLICY: &[(&str, &str, i64, &str)] = &[
    ("restart_jump", "lost", 0, "the set has no restarts: it counts the jump of 4996 as loss"),
    ("misorder_boundary", "unique", 4, "100 behind is a stray (RFC 3550 A.1), the set takes it"),
    ("misorder_boundary", "reordered", 1, "the same packet"),
];

#[test]
fn sequence_vectors() {
    let Some(cases) = vectors("cases") else { return };
    assert_eq!(cases.len(), 16);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let n = numbers(&of_case(case), case["clock_rate"].as_u64().unwrap() as u32);
        let want = &case["expect"]["set_based"];
        for (key, theirs, got) in [
            ("unique", "unique", n.unique),
            ("duplicates", "duplicates", n.duplicates()),
            ("reordered", "reordered", n.reordered),
            ("lost", "unique_lost", n.lost()),
        ] {
            let policy = POLICY.iter().find(|p| p.0 == name && p.1 == key).map(|p| p.2);
            assert_eq!(Some(got as i64), policy.or(want[theirs].as_i64()), "{name}: {key}");
        }
        let restarts = case["expect"]["monitor_no_probation"]["resyncs"].as_u64();
        assert_eq!(Some(u64::from(n.restarts)), restarts, "{name}: restarts");
        assert_eq!(n.burst.expected(), n.expected, "{name}: every number is settled once");
        if let Some(digits) = case["expect"]["dtmf"]["events"].as_u64() {
            assert_eq!((n.digits, n.telephone_events), (digits, 7), "{name}");
        }
    }
}

/// From here on strict A.8 differs on purpose: a timestamp 2 s off the arrival starts a segment.
const NEW_SEGMENT: (&str, usize) = ("misorder_boundary", 3);

#[test]
fn jitter_vectors() {
    let Some(cases) = vectors("cases") else { return };
    let mut checked = 0;
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let expect = &case["expect"];
        let policy = ["jitter_skip_pt101", "jitter_probe_policy_restart_at_resync", "jitter_after_each"];
        let steps = policy.iter().find_map(|key| expect[*key].as_array()).unwrap();
        let packets = of_case(case);
        let mut j_ms = 0.0;
        for (i, step) in steps.iter().enumerate() {
            j_ms = step["J_ms"].as_f64().unwrap_or(j_ms);
            if i == 0 || (name, i) == NEW_SEGMENT || (name == "probation_fail_then_ok" && i < 2) {
                continue;
            }
            if name == NEW_SEGMENT.0 && i > NEW_SEGMENT.1 {
                break;
            }
            let n = numbers(&packets[..=i], case["clock_rate"].as_u64().unwrap() as u32);
            close(&format!("{name}: J after packet {i}"), n.jitter.last_ns / 1e6, j_ms, 0.51e-6);
            checked += 1;
        }
    }
    assert!(checked > 80, "{checked}");
}

#[test]
fn delay_variation_vectors() {
    let Some(cases) = vectors("delay_variation") else { return };
    assert_eq!(cases.len(), 2);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let want = |key: &str| case["expect"][key].as_f64().unwrap_or_else(|| panic!("{name}: {key}"));
        let n = numbers(&of_case(case), case["clock_rate"].as_u64().unwrap() as u32);
        let v = &n.variation;
        let mean = |sum: u64, samples: u64| sum as f64 / samples as f64 / 1e6;
        close(&format!("{name}: mean |IPDV|"), v.ipdv_mean_ns().unwrap() / 1e6, want("mean_abs_ipdv_ms"), 0.51e-6);
        close(&format!("{name}: MAPDV2 +"), mean(v.above_sum_ns, v.above_samples), want("mapdv2_pos_mean"), 1.01e-6);
        close(&format!("{name}: MAPDV2 -"), mean(v.below_sum_ns, v.below_samples), want("mapdv2_neg_mean"), 1.01e-6);
        close(&format!("{name}: MAPDV2"), v.mapdv2_ns().unwrap() / 1e6, want("mapdv2_ms"), 2e-6);
        let largest = case["expect"]["ipdv_ms"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap().abs());
        close(&format!("{name}: max |IPDV|"), v.ipdv_max_ns / 1e6, largest.fold(0.0, f64::max), 1e-6);
        close(&format!("{name}: PDV max"), n.pdv_max.as_millis_f64(), want("pdv_max_ms"), 1e-6);
        for (key, quantile) in [("pdv_p50_ms", 0.5), ("pdv_p95_ms", 0.95)] {
            let got = n.pdv.quantile(quantile).unwrap().as_millis_f64();
            close(&format!("{name}: {key}"), got, want(key), 0.045 * want(key));
        }
        if let Some(late) = case["expect"]["late_jb20_anchor_min"].as_array() {
            assert_eq!(n.late[0], late.iter().filter(|l| **l == true).count() as u64, "{name}: late for 20 ms");
        }
        let origin = case["packets"][0]["us"].as_f64().unwrap() / 1e3;
        let skews = case["packets"].as_array().unwrap().iter().map(|p| {
            let media = (p["ts"].as_f64().unwrap() - case["packets"][0]["ts"].as_f64().unwrap()) / 8.0;
            media - (p["us"].as_f64().unwrap() / 1e3 - origin)
        });
        let skew = skews.fold(0.0f64, |a, b| if b.abs() > a.abs() { b } else { a });
        close(&format!("{name}: skew"), v.skew_max_ns / 1e6, skew, 1e-6);
    }
}

#[test]
fn fraction_vectors() {
    let Some(cases) = vectors("rr_fraction") else { return };
    for case in &cases {
        let of = |key: &str| case[key].as_u64().unwrap();
        let (expected, received) = (of("expected_interval"), of("received_interval"));
        assert_eq!(u64::from(rate8(expected - received, expected)), of("fraction_lost8"), "{}", case["name"]);
    }
}

/// Queueing delay that comes and goes, in nanoseconds: 0 to 15 ms, one packet in seven undelayed.
fn queueing(i: u32) -> i64 {
    if i.is_multiple_of(7) { 0 } else { i64::from(i.wrapping_mul(2_654_435_761) >> 16) % (15 * MS) }
}

#[test]
fn a_skewed_clock_is_measured_and_taken_out() {
    for ppm in [-200.0, -100.0, 0.0, 100.0, 200.0] {
        for queued in [false, true] {
            let packet = |i: u32| {
                let at = (f64::from(i) * 20e6 * (1.0 + ppm * 1e-6)) as i64 + if queued { queueing(i) } else { 0 };
                sent(at, i as u16, i * 160)
            };
            let packets: Vec<Sent> = (0..6000).map(packet).collect();
            let (report, _) = measure(&packets, 8000, Nanos::from_secs(10));
            close(&format!("{ppm} ppm, queueing {queued}"), f64::from(report.drift_ppm.unwrap()), ppm, 1.0);
            let bound = if queued { 20.0 } else { 6.5 };
            let max = report.numbers.pdv_max.as_millis_f64();
            assert!(max < bound, "{ppm} ppm, queueing {queued}: {max} ms of variation");
        }
    }
}

#[test]
fn the_clock_of_the_probe_set_by_an_hour() {
    const HOUR: i64 = 3_600_000_000_000;
    for step in [-HOUR, HOUR] {
        let at = |i: u32| 2 * HOUR + i64::from(i) * 20 * MS + queueing(i) / 10 + if i >= 500 { step } else { 0 };
        let packets: Vec<Sent> = (0..1000).map(|i| sent(at(i), i as u16, i * 160)).collect();
        let n = measure(&packets, 8000, Nanos::from_secs(60)).0.numbers;
        let jitter = n.jitter.max_ns / 1e6;
        assert!(jitter < 2.0, "{step}: jitter {jitter} ms");
        assert!(n.pdv_max < Nanos::from_millis(2), "{step}: {:?}", n.pdv_max);
        assert!(n.variation.skew_max_ns.abs() < 2e6, "{step}");
        assert_eq!((n.lost(), n.late), (0, [0; 7]), "{step}");
        if step < 0 {
            assert_eq!(n.clock_steps, 1);
            assert!(n.max_gap < Nanos::from_millis(25));
        }
    }
}

#[test]
fn digits_are_told_apart_by_their_time() {
    let event = |at: i64, seq, timestamp, marker| Sent { payload_type: EVENT, marker, ..sent(at * MS, seq, timestamp) };
    let mut packets: Vec<Sent> = (0..5).map(|i| sent(i64::from(i) * 20 * MS, i as u16, i * 160)).collect();
    // Two digits of three packets, the last twice more; the marker of the second lost; one packet overtaken.
    packets.extend((0..5).map(|i| event(100 + 20 * i, 5 + i as u16, 800, i == 0)));
    packets.extend((1..5).map(|i| event(300 + 20 * i, 10 + i as u16, 2400, false)));
    packets.push(event(400, 15, 800, false));
    // One of 65535 ticks that goes on.
    packets.extend((0..3).map(|i| event(500 + 20 * i, 16 + i as u16, 4000, i == 0)));
    packets.extend((0..3).map(|i| event(8700 + 20 * i, 19 + i as u16, 4000 + 0xffff, false)));
    let n = numbers(&packets, 8000);
    assert_eq!((n.digits, n.telephone_events, n.talkspurts), (3, 16, 1));
}

#[test]
fn silence_and_talkspurts() {
    // Three talkspurts of a second, two pauses of three; the first marked, the second not.
    let mut packets = Vec::new();
    for spurt in 0..3u32 {
        for i in 0..50u32 {
            let tick = spurt * 200 + i;
            let marker = spurt == 1 && i == 0;
            let seq = (spurt * 50 + i) as u16;
            packets.push(Sent { marker, ..sent(i64::from(tick) * 20 * MS, seq, tick * 160) });
        }
    }
    let n = numbers(&packets, 8000);
    assert_eq!((n.talkspurts, n.silence, n.lost()), (3, Nanos::from_millis(6000), 0));
    assert_eq!((n.max_gap, n.max_delta), (Nanos::from_millis(3020), Nanos::from_millis(3020)));
    // With comfort noise in the pauses nothing but speech counts as such, and no delta is of a pause.
    let mut noisy = packets.clone();
    noisy.insert(50, Sent { payload_type: NOISE, ..sent(1000 * MS, 50, 8000) });
    noisy.insert(101, Sent { payload_type: NOISE, ..sent(5000 * MS, 101, 40_000) });
    for (i, p) in noisy.iter_mut().enumerate() {
        p.seq = i as u16;
    }
    let n = numbers(&noisy, 8000);
    assert_eq!((n.talkspurts, n.silence, n.comfort_noise), (3, Nanos::from_millis(6000), 2));
    assert_eq!(n.max_delta, Nanos::from_millis(20));
    assert_eq!(n.max_gap, Nanos::from_millis(3000));
}

#[test]
fn an_adaptive_buffer_learns_what_a_small_one_does_not() {
    // Every tenth packet 70 ms late: a buffer of 60 ms never gets it, an adaptive one grows.
    let late = |i: u32| if i % 10 == 9 { 70 * MS } else { 0 };
    let packets: Vec<Sent> = (0..3000u32).map(|i| sent(i64::from(i) * 20 * MS + late(i), i as u16, i * 160)).collect();
    let n = numbers(&packets, 8000);
    assert_eq!((n.late[2], n.late[3]), (300, 0));
    assert!((1..60).contains(&n.discarded_adaptive), "{}", n.discarded_adaptive);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost, copied or overtaken: intervals of any length add up to the stream.
    #[test]
    fn intervals_merge_to_the_stream(keep in prop::collection::vec(0u8..12, 120..600), length in 11i64..50) {
        // The first 60 packets come as they should, so that the base is settled before the first boundary.
        let mut packets = Vec::new();
        for (i, k) in keep.iter().enumerate() {
            let i = i as u32;
            let late = if i < 60 || *k != 3 { 0 } else { 45 * MS };
            let p = sent(i64::from(i) * 20 * MS + late, i as u16, i * 160);
            if i < 60 || *k > 1 { packets.push(p); }
            if i >= 60 && *k == 11 { packets.push(Sent { at: p.at + 5 * MS, ..p }); }
        }
        packets.sort_by_key(|p| p.at);
        let (whole, _) = measure(&packets, 8000, Nanos::from_secs(60));
        let (_, rows) = measure(&packets, 8000, Nanos::from_millis(length * 120));
        prop_assert!(rows.len() > 1 || keep.len() < 350);
        let mut merged = StreamStats::default();
        for row in &rows { merged.merge(&row.numbers); }
        let w = &whole.numbers;
        prop_assert_eq!(merged.burst, w.burst);
        prop_assert_eq!(&merged.loss_runs, &w.loss_runs);
        prop_assert_eq!(&merged.pdv, &w.pdv);
        prop_assert_eq!((merged.packets, merged.unique, merged.expected, merged.reordered), (w.packets, w.unique, w.expected, w.reordered));
        prop_assert_eq!((merged.concealed_seconds, merged.severely_concealed_seconds), (w.concealed_seconds, w.severely_concealed_seconds));
        prop_assert_eq!((merged.late, merged.discarded_adaptive, merged.talkspurts), (w.late, w.discarded_adaptive, w.talkspurts));
        prop_assert_eq!(merged.variation.ipdv_samples, w.variation.ipdv_samples);
        for (a, b) in [
            (merged.variation.mapdv2_ns(), w.variation.mapdv2_ns()),
            (merged.variation.ipdv_mean_ns(), w.variation.ipdv_mean_ns()),
            (merged.jitter.mean_ns(), w.jitter.mean_ns()),
        ] {
            let (a, b) = (a.unwrap_or(0.0), b.unwrap_or(0.0));
            prop_assert!((a - b).abs() <= 1e-6 * b.abs(), "{} {}", a, b);
        }
        prop_assert_eq!(w.burst.summary().bad, w.lost());
    }
}
