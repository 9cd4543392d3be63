//! Late packets for every fixed buffer, against the packet-by-packet buffer of testkit: exactly.

use super::*;
use auscult::model::burst::BurstGap;
use std::collections::HashSet;
use testkit::World;
use testkit::call::{CallSpec, Party, Side};
use testkit::observe;
use testkit::oracle::Kind;
use testkit::path::{Jitter, Loss, Reorder, Stretch, Window};
use testkit::playout;

/// Below the 30 s from which the drift of the sender's clock is followed.
const TALK_MS: i64 = 26_000;

#[test]
fn late_packets_are_those_of_a_buffer_played_packet_by_packet() {
    let (names, world) = paths();
    let frames = world.build().frames;
    let run = run(&frames, &Setup::default());
    let seen = observe::streams(&frames, |_| 8_000);
    let mut some_late = [0; 7];
    for (name, ssrc) in names.iter().zip(order_of_start(&run)) {
        let ours = run.streams().into_iter().find(|s| s.ssrc.0 == ssrc).unwrap();
        let (_, list) = seen.iter().find(|((_, _, s), _)| *s == ssrc).unwrap();
        let mut known = HashSet::new();
        let list: Vec<_> = list.iter().filter(|p| p.kind == Kind::Audio && known.insert(p.seq)).cloned().collect();
        assert_eq!(ours.numbers.late.to_vec(), playout::late(&list), "{name}");
        for (total, late) in some_late.iter_mut().zip(ours.numbers.late) {
            *total += late;
        }
    }
    assert!(some_late.iter().all(|n| *n > 0), "every size met late packets: {some_late:?}");
}

/// Bursts of what was lost or late, against the grouping of the whole stream at once by the packets such a buffer finds late.
#[test]
fn bursts_of_lost_and_late_packets_are_those_of_the_whole_stream() {
    let (names, world) = paths();
    let frames = world.build().frames;
    let seen = observe::streams(&frames, |_| 8_000);
    let (mut late_bursts, mut bursts) = (0, 0);
    for (size, interval) in [(20, 10), (60, 1), (65, 10), (200, 1)] {
        let mut setup = Setup::interval(interval);
        setup.policy.jitter_buffer = Nanos::from_millis(size);
        let run = run(&frames, &setup);
        for (name, ssrc) in names.iter().zip(order_of_start(&run)) {
            let ours = run.streams().into_iter().find(|s| s.ssrc.0 == ssrc).unwrap();
            let what = format!("{name}, {size} ms");
            let (_, list) = seen.iter().find(|((_, _, s), _)| *s == ssrc).unwrap();
            let mut known = HashSet::new();
            let list: Vec<_> = list.iter().filter(|p| p.kind == Kind::Audio && known.insert(p.seq)).cloned().collect();
            assert_eq!(i64::from(ours.late_buffer_ms), size / 10 * 10, "{what}");
            let late = playout::late_packets(&list, u32::from(ours.late_buffer_ms));
            let number = |seq: u16| i64::from(seq.wrapping_sub(list[0].seq) as i16);
            let lowest = list.iter().map(|p| number(p.seq)).min().unwrap();
            let highest = list.iter().map(|p| number(p.seq)).max().unwrap();
            let mut played = vec![false; (highest - lowest + 1) as usize];
            for (packet, late) in list.iter().zip(late) {
                played[(number(packet.seq) - lowest) as usize] = !late;
            }
            let mut whole = BurstGap::default();
            for run in played.chunk_by(|a, b| a == b) {
                if run[0] { whole.received(run.len() as u32) } else { whole.bad(run.len() as u32) }
            }
            assert_eq!(ours.numbers.lost_or_late, whole, "{what}");
            late_bursts += whole.summary().bursts;
            bursts += ours.numbers.burst.summary().bursts;
            let mut rows = BurstGap::default();
            run.intervals().iter().filter(|i| i.stream == ours.id).for_each(|i| rows.merge(&i.numbers.lost_or_late));
            assert_eq!(rows, whole, "{what}: rows of {interval} s");
        }
    }
    assert!(bursts > 20 && late_bursts > 2 * bursts, "{bursts} of lost packets, {late_bursts} of lost and late ones");
}

/// SSRCs in the order in which the calls began.
fn order_of_start(run: &Run) -> Vec<u32> {
    let mut streams = run.streams();
    streams.sort_by_key(|s| s.src.port());
    streams.iter().map(|s| s.ssrc.0).collect()
}

fn paths() -> (Vec<String>, World) {
    let uniform = |ms: i64| Jitter::Uniform { max_us: ms * 1_000 };
    let cases: Vec<(&str, Stretch)> = vec![
        ("clean", Stretch::delay(20_000)),
        ("jitter 30 ms", Stretch::delay(20_000).with_jitter(Window::ALWAYS, uniform(30))),
        ("jitter 90 ms", Stretch::delay(20_000).with_jitter(Window::ALWAYS, uniform(90))),
        ("jitter 250 ms", Stretch::delay(20_000).with_jitter(Window::ALWAYS, uniform(250))),
        ("spikes", Stretch::delay(20_000).with_jitter(Window::ALWAYS, Jitter::Spikes { p: 0.01, mean_us: 80_000 })),
        ("gamma", Stretch::delay(20_000).with_jitter(Window::ALWAYS, Jitter::Gamma { shape: 2, mean_us: 25_000 })),
        (
            "periodic",
            Stretch::delay(20_000)
                .with_jitter(Window::ALWAYS, Jitter::Periodic { period_ms: 3_000, height_us: 70_000 }),
        ),
        (
            "loss and jitter",
            Stretch::delay(20_000)
                .with_loss(Window::ALWAYS, Loss::bursts(0.1, 5.0))
                .with_jitter(Window::ALWAYS, uniform(60)),
        ),
        (
            "disorder and copies",
            Stretch {
                reorder: Some(Reorder { p: 0.05, extent: 4 }),
                duplicate: 0.1,
                ..Stretch::delay(20_000).with_jitter(Window::ALWAYS, uniform(15))
            },
        ),
        (
            "a longer route",
            Stretch { route: vec![(8_000, 55_000)], ..Stretch::delay(20_000).with_jitter(Window::ALWAYS, uniform(10)) },
        ),
        (
            "a shorter route",
            Stretch {
                route: vec![(8_000, -15_000)],
                ..Stretch::delay(40_000).with_jitter(Window::ALWAYS, uniform(25))
            },
        ),
    ];
    let mut world = World::new(77);
    let mut names = Vec::new();
    for (i, (name, path)) in cases.into_iter().enumerate() {
        let port = 20_000 + 8 * i as u16;
        let caller = Party::new("Caller", "+12025550100", "192.0.2.1", port);
        let callee = Party::new("Callee", "+13125550100", "198.51.100.1", port + 4);
        let mut spec = CallSpec::new(41 * i as i64, caller, callee);
        (spec.talk_ms, spec.answer_ms, spec.ring_ms, spec.rtcp) = (TALK_MS, 200, 100, None);
        spec.released_by = Some(Side::Callee);
        spec.backward.habits.mute = true;
        spec.forward.path.before = path;
        names.push(name.to_owned());
        world = world.call(spec);
    }
    (names, world)
}
