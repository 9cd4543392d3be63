//! Worlds against themselves: the same bytes again, and a truth that adds up and that the bytes bear out.

use super::*;
use crate::oracle::{self, Copy};
use crate::truth::StreamTruth;
use crate::{Capture, for_seeds, observe, pcap};

fn clock_of(pt: u8) -> u32 {
    Codec::ALL.iter().find(|c| c.payload_type() == pt).map_or(8_000, |c| c.clock())
}

/// Streams whose sequence numbers alone do not show what was sent: a restart can look like a loss.
fn restarts(world: &World, s: &StreamTruth) -> bool {
    let spec = &world.calls_of()[s.call];
    let way = if s.sender == "caller" { &spec.forward } else { &spec.backward };
    way.habits.seq_restart_ms.is_some()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let make = |seed| World::random(seed, 12).build();
    let (a, b, c) = (make(1), make(1), make(2));
    assert_eq!(a.pcap(), b.pcap());
    assert_eq!(a.truth.to_json(), b.truth.to_json());
    assert_ne!(a.pcap(), c.pcap());
}

#[test]
fn the_truth_adds_up() {
    for_seeds(0..12, |seed| {
        let world = World::random(seed, 25);
        let Capture { frames, truth } = world.build();
        assert!(frames.windows(2).all(|w| w[0].at <= w[1].at));
        let t = truth.totals;
        assert_eq!(t.frames as usize, frames.len());
        assert_eq!(t.frames, t.sip + t.rtp + t.rtcp + t.tcp_control + t.other);
        assert_eq!(t.rtp, truth.streams.iter().map(|s| s.numbers.packets).sum::<u64>());
        assert!(truth.streams.len() > 25);
        for s in &truth.streams {
            let n = &s.numbers;
            assert_eq!(n.packets, n.unique + n.duplicates_network + n.duplicates_probe + n.strays, "{s:?}");
            assert_eq!(n.lost, n.expected - n.unique, "{s:?}");
            assert_eq!(n.lost, n.loss_run_lengths.iter().map(|l| u64::from(*l)).sum::<u64>());
            assert!(n.late.windows(2).all(|w| w[0].packets >= w[1].packets));
            assert!(n.pdv_ms.p50 <= n.pdv_ms.p95 && n.pdv_ms.p95 <= n.pdv_ms.max);
            let from_first = s.sent - s.lost_before_probe - s.missed_by_probe;
            if !restarts(&world, s) {
                assert_eq!(n.unique, from_first, "{s:?}");
                // What is lost before the first and after the last packet cannot be seen.
                assert!(n.lost <= s.lost_before_probe + s.missed_by_probe, "{s:?}");
            }
        }
        for c in &truth.calls {
            assert_eq!(c.state == "completed", c.answer_at.is_some() && c.end_at.is_some(), "{c:?}");
            assert_eq!(c.state == "failed", c.final_code >= 300 && c.final_code != 487, "{c:?}");
            assert!(c.ring_at.is_none_or(|r| r > c.invite_at) && c.answer_at.is_none_or(|a| a > c.invite_at), "{c:?}");
        }
    });
}

/// The oracle on what is parsed from the bytes agrees with the truth made from what was meant.
#[test]
fn the_bytes_bear_the_truth_out() {
    for_seeds(100..108, |seed| {
        let world = World::random(seed, 20);
        let capture = world.build();
        let frames = pcap::read(&capture.pcap()).unwrap();
        assert_eq!(frames, capture.frames);
        let seen = observe::streams(&frames, clock_of);
        assert_eq!(seen.len(), capture.truth.streams.len());
        for s in &capture.truth.streams {
            let key = (s.src.parse().unwrap(), s.dst.parse().unwrap(), u32::from_str_radix(&s.ssrc[2..], 16).unwrap());
            let list = &seen[&key];
            let got = oracle::numbers(list, f64::from(s.drift_ppm));
            let (want, mut same) = (&s.numbers, got.clone());
            (same.pdv_ms, same.late) = (want.pdv_ms, want.late.clone());
            assert_eq!(&same, want, "{} {}", s.call_id, s.ssrc);
            let spec = &world.calls_of()[s.call];
            let jumps = spec.forward.habits.ts_jump.is_some() || spec.backward.habits.ts_jump.is_some();
            if !jumps && got.restarts == 0 && want.pdv_ms.samples > 0 {
                assert!((got.pdv_ms.p95 - want.pdv_ms.p95).abs() < 0.01, "{s:?} {:?}", got.pdv_ms);
                assert!((got.pdv_ms.max - want.pdv_ms.max).abs() < 0.01, "{s:?} {:?}", got.pdv_ms);
            }
        }
    });
}

#[test]
fn a_snap_length_takes_bytes_and_no_numbers() {
    let whole = World::random(5, 10);
    let (a, b) = (whole.build(), whole.clone().snaplen(62).build());
    assert!(b.frames.iter().all(|f| f.bytes.len() <= 62) && b.truth.totals.cut_short > 0);
    let full = b.frames.iter().zip(&a.frames).all(|(cut, whole)| cut.wire_len as usize == whole.bytes.len());
    assert!(full, "lengths on the wire stay");
    for (a, b) in a.truth.streams.iter().zip(&b.truth.streams) {
        assert_eq!(b.numbers, oracle::Numbers { cut_short: b.numbers.cut_short, ..a.numbers.clone() });
    }
}

/// Times and counts of a call are those of its messages in the capture.
#[test]
fn calls_are_what_their_messages_say() {
    for_seeds(200..206, |seed| {
        let world = World::random(seed, 30);
        let capture = world.build();
        let mut seen: std::collections::BTreeMap<String, Vec<(i64, String)>> = std::collections::BTreeMap::new();
        for f in &capture.frames {
            let text = String::from_utf8_lossy(&f.bytes);
            let Some(id) = text.split("\r\nCall-ID: ").nth(1).and_then(|rest| rest.split("\r\n").next()) else {
                continue;
            };
            let list = seen.entry(id.into()).or_default();
            // The mirror's copy has the same bytes; a repeated INVITE comes half a second later.
            if !list.iter().any(|(at, other)| f.at - at < 100_000_000 && *other == text) {
                list.push((f.at, text.clone().into_owned()));
            }
        }
        assert!(capture.truth.calls.len() >= 30);
        for c in capture.truth.calls.iter().filter(|c| c.transport == "udp") {
            let list = &seen[&c.call_id];
            let find = |what: &str, cseq: &str| {
                list.iter().find(|(_, t)| t.contains(what) && t.contains(cseq)).map(|(at, _)| *at)
            };
            assert_eq!(Some(c.invite_at), find("INVITE sip:", " INVITE\r\n"), "{c:?}");
            assert_eq!(c.ring_at, find("SIP/2.0 18", " INVITE\r\n"), "{c:?}");
            assert_eq!(c.answer_at, find("SIP/2.0 200", " INVITE\r\n"), "{c:?}");
            let end = match c.state {
                "completed" => find("BYE sip:", ""),
                "cancelled" => find("CANCEL sip:", ""),
                "failed" => find(&format!("SIP/2.0 {}", c.final_code), ""),
                _ => None,
            };
            assert_eq!(c.end_at, end, "{c:?}");
            let challenged = list.iter().filter(|(_, t)| t.contains("SIP/2.0 407")).count();
            assert_eq!((c.messages as usize, c.auth_rounds as usize), (list.len(), challenged), "{c:?}");
        }
    });
}

/// Copies by construction and copies by the oracle's rule are the same ones.
#[test]
fn copies_are_told_apart() {
    let quiet = |duplicate| {
        let (caller, callee) = (Party::new("A", "alice", "192.0.2.1", 4000), Party::new("B", "bob", "192.0.2.2", 5000));
        let mut spec = CallSpec::new(0, caller, callee);
        spec.forward.path.before.duplicate = duplicate;
        World::new(9).call(spec)
    };
    let copied = quiet(0.05).build();
    let forward = copied.truth.streams.iter().find(|s| s.sender == "caller").unwrap();
    assert!(forward.numbers.duplicates_network > 20);
    assert_eq!(forward.numbers.duplicates_probe, 0);
    let mirrored = quiet(0.0).mirror(Mirror { share: 1.0, min_us: 1, max_us: 2_000 }).build();
    for s in &mirrored.truth.streams {
        assert_eq!(s.numbers.duplicates_probe, s.sent);
        assert_eq!((s.numbers.lost, s.numbers.reordered, s.numbers.duplicates_network), (0, 0, 0));
        assert_eq!(s.numbers.jitter_ms.samples + 1, s.sent);
    }
    let list = observe::streams(&mirrored.frames, clock_of).into_values().next().unwrap();
    let places = oracle::places(&list.iter().map(|p| p.seq).collect::<Vec<_>>());
    assert!(oracle::copies(&list, &places).iter().filter(|c| **c == Copy::Mirror).count() * 2 == list.len());
}

#[test]
fn reports_tell_what_was_lost_behind_the_probe() {
    let (caller, callee) = (Party::new("A", "alice", "192.0.2.1", 4000), Party::new("B", "bob", "192.0.2.2", 5000));
    let mut spec = CallSpec::new(0, caller, callee);
    spec.talk_ms = 30_000;
    spec.forward.path = Path::new(
        Stretch::delay(15_000),
        Stretch::delay(35_000).with_loss(Window::ALWAYS, Loss::Bernoulli { p: 0.05 }),
    );
    spec.backward.path = Path::new(Stretch::delay(40_000), Stretch::delay(15_000));
    let truth = World::new(4).call(spec).build().truth;
    let forward = truth.streams.iter().find(|s| s.sender == "caller").unwrap();
    assert_eq!(forward.numbers.lost, 0);
    assert!(forward.lost_after_probe > 40);
    // The last report comes with BYE, when everything but the last delay has arrived.
    let last = forward.reports.last().unwrap();
    assert!((i64::from(last.cumulative_lost) - forward.lost_after_probe as i64).abs() <= 3, "{last:?}");
    let rtt = truth.calls[0].rtt_ms.unwrap();
    assert_eq!((rtt.to_caller, rtt.to_callee, rtt.total), (30.0, 75.0, 105.0));
}

/// Round trips from SR and report blocks as the probe sees them (arrival of the block less arrival of the SR less DLSR).
#[test]
fn round_trips_can_be_had_from_the_reports() {
    let (caller, callee) = (Party::new("A", "alice", "192.0.2.1", 4000), Party::new("B", "bob", "192.0.2.2", 5000));
    let mut spec = CallSpec::new(0, caller, callee);
    spec.talk_ms = 60_000;
    spec.forward.path = Path::new(Stretch::delay(15_000), Stretch::delay(35_000));
    spec.backward.path = Path::new(Stretch::delay(40_000), Stretch::delay(16_000));
    let capture = World::new(8).call(spec).build();
    let truth = capture.truth.calls[0].rtt_ms.unwrap();
    let mut heard: std::collections::BTreeMap<(bool, u32), i64> = std::collections::BTreeMap::new();
    let mut found = [0, 0];
    for f in capture.frames.iter().filter(|f| f.bytes[23] == 17 && [200, 201].contains(&f.bytes[43])) {
        let rtcp = &f.bytes[42..];
        let word = |at: usize| u32::from_be_bytes(rtcp[at..at + 4].try_into().unwrap());
        let from_caller = f.bytes[29] == 1;
        let block = if rtcp[1] == 200 { 28 } else { 8 };
        if rtcp[0] & 31 == 1 && word(block + 16) != 0 {
            let sent = heard[&(!from_caller, word(block + 16))];
            let rtt = (f.at - sent) as f64 / 1e6 - f64::from(word(block + 20)) * 1e3 / 65_536.0;
            // The caller's block closes the loop between probe and caller.
            let want = if from_caller { truth.to_caller } else { truth.to_callee };
            assert!((rtt - want).abs() < 0.02, "{rtt} {want}");
            found[usize::from(from_caller)] += 1;
        }
        if rtcp[1] == 200 {
            heard.insert((from_caller, word(8) << 16 | word(12) >> 16), f.at);
        }
    }
    assert!(found[0] > 5 && found[1] > 5, "{found:?}");
}

#[test]
fn a_relay_shows_both_legs() {
    let (caller, callee) = (Party::new("A", "alice", "192.0.2.1", 4000), Party::new("B", "bob", "192.0.2.2", 5000));
    let mut spec = CallSpec::new(0, caller, callee);
    let at = |text: &str| text.parse().unwrap();
    spec.relay = Some(Relay {
        outer_sip: at("203.0.113.1:5060"),
        outer_media: at("203.0.113.1:6000"),
        inner_sip: at("203.0.113.1:5080"),
        inner_media: at("203.0.113.1:7000"),
        delay_us: 500,
    });
    let truth = World::new(4).call(spec).build().truth;
    assert_eq!(truth.calls.len(), 2);
    assert_eq!(truth.streams.len(), 4);
    assert_eq!(truth.streams.iter().map(|s| &s.ssrc).collect::<std::collections::BTreeSet<_>>().len(), 2);
    for s in &truth.streams {
        let call = truth.calls.iter().find(|c| c.call_id == s.call_id).unwrap();
        assert_eq!(call.leg, s.leg);
        assert_eq!(s.leg == 0, s.src.starts_with("192.0.2.1:") || s.dst.starts_with("192.0.2.1:"), "{s:?}");
    }
    assert!(truth.calls[1].invite_at > truth.calls[0].invite_at && truth.calls[1].answer_at < truth.calls[0].answer_at);
}
