//! Late packets for every fixed buffer, against the packet-by-packet buffer of testkit: exactly.

use super::*;
use auscult_core::model::JitterBuffer;
use auscult_core::model::burst::BurstGap;
use auscult_core::units::DelayHistogram;
use std::collections::{BTreeMap, HashSet};
use testkit::World;
use testkit::call::{CallSpec, Change, Party, Side, What};
use testkit::codec::Codec;
use testkit::observe;
use testkit::oracle::{Kind, PacketSeen};
use testkit::path::{Jitter, Loss, Reorder, Stretch, Window};
use testkit::playout;

/// Below the 30 s from which the drift of the sender's clock is followed.
const SHORT_MS: i64 = 26_000;
const LONG_MS: i64 = 300_000;

#[test]
fn late_packets_are_those_of_a_buffer_played_packet_by_packet() {
    let (mut names, mut world) = (Vec::new(), World::new(77));
    for (name, path) in paths() {
        world = add(world, &mut names, name.to_owned(), SHORT_MS, |spec| spec.forward.path.before = path);
    }
    late_are_those_played(&names, &world, 8_000);
}

/// The same for minutes: clock drift, changing routes, silence and jumps of the timestamp.
#[test]
fn late_packets_of_minutes_are_those_of_a_buffer_that_follows_the_clock() {
    let (mut names, mut world) = (Vec::new(), World::new(78));
    for (name, path) in paths() {
        for drift in [-200, 0, 200] {
            world = add(world, &mut names, format!("{name}, {drift} ppm"), LONG_MS, |spec| {
                spec.forward.path.before = path.clone();
                spec.forward.habits.drift_ppm = drift;
            });
        }
    }
    for (name, change) in habits() {
        world = add(world, &mut names, name.to_owned(), LONG_MS, change);
    }
    late_are_those_played(&names, &world, 8_000);
}

/// A tick of 48 kHz is no whole number of nanoseconds.
#[test]
fn late_packets_at_48_khz_are_those_of_a_buffer_played_packet_by_packet() {
    let (mut names, mut world) = (Vec::new(), World::new(79));
    for (name, path) in paths() {
        world = add(world, &mut names, name.to_owned(), 60_000, |spec| {
            spec.codec = Codec::Opus;
            spec.forward.path.before = path;
            spec.forward.habits.drift_ppm = 100;
        });
    }
    late_are_those_played(&names, &world, 48_000);
}

/// Counters, histogram and maximum of each stream, against the buffer played packet by packet.
#[track_caller]
fn late_are_those_played(names: &[String], world: &World, clock: u32) {
    let frames = world.build().frames;
    let run = run(&frames, &Setup::default());
    let seen = observe::streams(&frames, |_| clock);
    let mut some_late = [0; 7];
    for (name, ssrc) in names.iter().zip(order_of_start(&run)) {
        let ours = run.streams().into_iter().find(|s| s.ssrc.0 == ssrc).unwrap();
        let list = audio(&seen, ssrc);
        let above = playout::above_base(&list);
        let mut histogram = DelayHistogram::default();
        above.iter().for_each(|ns| histogram.record(Nanos(*ns)));
        assert_eq!(ours.numbers.late.to_vec(), playout::late(&list), "{name}");
        let off = ours.numbers.pdv_max - Nanos(above.iter().copied().max().unwrap_or(0));
        assert!(off.abs() <= Nanos(1), "{name}: {off:?}");
        assert_eq!(ours.numbers.pdv, histogram, "{name}");
        for (total, late) in some_late.iter_mut().zip(ours.numbers.late) {
            *total += late;
        }
    }
    assert!(some_late.iter().all(|n| *n > 0), "every size met late packets: {some_late:?}");
}

/// Audio packets of an SSRC, each once.
pub(super) fn audio(seen: &BTreeMap<observe::StreamKey, Vec<PacketSeen>>, ssrc: u32) -> Vec<PacketSeen> {
    let (_, list) = seen.iter().find(|((_, _, s), _)| *s == ssrc).unwrap();
    let mut known = HashSet::new();
    list.iter().filter(|p| p.kind == Kind::Audio && known.insert(p.seq)).cloned().collect()
}

/// Bursts of what was lost or late, against the grouping of the whole stream at once by the packets such a buffer finds late.
#[test]
fn bursts_of_lost_and_late_packets_are_those_of_the_whole_stream() {
    let (mut names, mut world) = (Vec::new(), World::new(77));
    for (name, path) in paths() {
        world = add(world, &mut names, name.to_owned(), SHORT_MS, |spec| spec.forward.path.before = path);
    }
    let frames = world.build().frames;
    let seen = observe::streams(&frames, |_| 8_000);
    let (mut late_bursts, mut bursts) = (0, 0);
    for (size, interval) in [(20, 10), (60, 1), (65, 10), (200, 1)] {
        let mut setup = Setup::interval(interval);
        setup.policy.jitter_buffer = JitterBuffer::Fixed(Nanos::from_millis(size));
        let run = run(&frames, &setup);
        for (name, ssrc) in names.iter().zip(order_of_start(&run)) {
            let ours = run.streams().into_iter().find(|s| s.ssrc.0 == ssrc).unwrap();
            let what = format!("{name}, {size} ms");
            let list = audio(&seen, ssrc);
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

/// One more call; only its forward direction has media.
fn add(world: World, names: &mut Vec<String>, name: String, talk_ms: i64, change: impl FnOnce(&mut CallSpec)) -> World {
    let i = names.len();
    let port = 20_000 + 8 * i as u16;
    let caller = Party::new("Caller", "+12025550100", "192.0.2.1", port);
    let callee = Party::new("Callee", "+13125550100", "198.51.100.1", port + 4);
    let mut spec = CallSpec::new(41 * i as i64, caller, callee);
    (spec.talk_ms, spec.answer_ms, spec.ring_ms, spec.rtcp) = (talk_ms, 200, 100, None);
    spec.released_by = Some(Side::Callee);
    spec.backward.habits.mute = true;
    change(&mut spec);
    names.push(name);
    world.call(spec)
}

type Habit = (&'static str, fn(&mut CallSpec));

/// What senders do to their timestamps, on paths with jitter.
fn habits() -> Vec<Habit> {
    fn jittery(spec: &mut CallSpec, ms: i64, drift_ppm: i32) {
        let jitter = Jitter::Uniform { max_us: ms * 1_000 };
        spec.forward.path.before = Stretch::delay(20_000).with_jitter(Window::ALWAYS, jitter);
        spec.forward.habits.drift_ppm = drift_ppm;
    }
    vec![
        ("silence", |spec| {
            jittery(spec, 40, 150);
            spec.forward.habits.dtx = true;
        }),
        ("silence and loss", |spec| {
            jittery(spec, 10, -150);
            spec.forward.habits.dtx = true;
            spec.forward.path.before.loss.push((Window::ALWAYS, Loss::bursts(0.1, 5.0)));
        }),
        ("digits", |spec| {
            jittery(spec, 30, 100);
            spec.forward.habits.digits = vec![(40_000, "12345678".into()), (90_000, "#".into())];
        }),
        ("a jump of the timestamp", |spec| {
            jittery(spec, 30, 100);
            spec.forward.habits.ts_jump = Some((100_000, 1 << 30));
        }),
        ("a jump back", |spec| {
            jittery(spec, 5, -100);
            spec.forward.habits.ts_jump = Some((150_000, 0u32.wrapping_sub(4_000)));
        }),
        ("a jump too small to be one", |spec| {
            jittery(spec, 5, 50);
            spec.forward.habits.ts_jump = Some((150_000, 0u32.wrapping_sub(1_000)));
        }),
        ("wrap-around", |spec| {
            jittery(spec, 30, 200);
            spec.forward.habits.first_seq = Some(65_000);
            spec.forward.habits.first_ts = Some(u32::MAX - 800_000);
        }),
        ("hold", |spec| {
            jittery(spec, 30, -200);
            spec.changes = vec![
                Change { at_ms: 80_000, by: Side::Callee, what: What::Hold { music: false } },
                Change { at_ms: 110_000, by: Side::Callee, what: What::Resume },
            ];
        }),
        ("an outage", |spec| {
            jittery(spec, 30, 200);
            spec.forward.path.before.loss.push((Window::new(100_000, 112_000), Loss::All));
        }),
        ("routes", |spec| {
            jittery(spec, 8, 100);
            let steps = [(20, 60), (70, -25), (75, 45), (140, -70), (200, 12), (230, 30)];
            spec.forward.path.before.route = steps.map(|(at, ms)| (at * 1_000, ms * 1_000)).to_vec();
        }),
    ]
}

fn paths() -> Vec<(&'static str, Stretch)> {
    let uniform = |ms: i64| Jitter::Uniform { max_us: ms * 1_000 };
    vec![
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
    ]
}
