//! Clocks that step in the middle of a capture.

use super::*;
use auscult_core::model::CallState;
use testkit::World;
use testkit::call::{CallSpec, Party};
use testkit::path::{Jitter, Stretch, Window};

const MS: i64 = 1_000_000;

/// A minute of one call, its frames from `from_ms` on captured by a clock that has stepped by `by_ms`.
fn stepped(from_ms: i64, by_ms: i64) -> Vec<Frame> {
    let caller = Party::new("A", "+12025550100", "192.0.2.1", 4000);
    let callee = Party::new("B", "+13125550100", "198.51.100.1", 5000);
    let spec = CallSpec { talk_ms: 60_000, ..CallSpec::new(0, caller, callee) };
    let mut frames = World::new(7).call(spec).build().frames;
    let start = frames[0].at;
    frames.iter_mut().filter(|f| f.at - start >= from_ms * MS).for_each(|f| f.at += by_ms * MS);
    frames
}

/// Three calls at once between as many pairs of hosts, over paths with some jitter.
fn office(change: impl Fn(&mut CallSpec)) -> Vec<Frame> {
    let calls = (0..3u8).map(|n| {
        let caller = Party::new("A", &format!("+1202555010{n}"), &format!("192.0.2.{}", n + 1), 4000);
        let callee = Party::new("B", &format!("+1312555010{n}"), &format!("198.51.100.{}", n + 1), 5000);
        let mut spec = CallSpec { talk_ms: 40_000, ..CallSpec::new(130 * i64::from(n), caller, callee) };
        for way in [&mut spec.forward, &mut spec.backward] {
            way.path.before = Stretch::delay(20_000).with_jitter(Window::ALWAYS, Jitter::Uniform { max_us: 10_000 });
        }
        change(&mut spec);
        spec
    });
    World::new(17).calls(calls).build().frames
}

/// Half way through the calls.
const HALF_WAY: i64 = 23_000 * MS;

/// A clock set by so much leaves every figure of delay as it was, and marks what it touches.
#[test]
fn a_step_is_recognised_and_costs_no_figure() {
    let plain = office(|_| ());
    let start = plain[0].at;
    let calm = run(&plain, &Setup::default());
    assert!(calm.streams().iter().all(|s| s.quality.clock_steps == 0));
    for by_ms in [-990, -600, -250, -130, 130, 250, 999, 1_500, 5_000, 30_000, 59_000] {
        let mut frames = plain.clone();
        frames.iter_mut().filter(|f| f.at - start >= HALF_WAY).for_each(|f| f.at += by_ms * MS);
        for setup in [Setup::default(), Setup::interval(1), Setup::sharded(8, 5)] {
            let run = run(&frames, &setup);
            assert_eq!((run.calls().len(), run.streams().len()), (3, 6), "{by_ms} ms");
            assert!(run.calls().iter().all(|c| c.quality.clock_steps == 1), "{by_ms} ms");
            for s in run.streams() {
                let n = &s.numbers;
                let of = |stepped: &&&StreamReport| stepped.id == s.id;
                let calm = calm.streams();
                let calm = &calm.iter().find(of).unwrap().numbers;
                let what = format!("{by_ms} ms: {} to {}", s.src, s.dst);
                assert_eq!(
                    (s.quality.clock_steps, n.lost(), n.late, n.pdv.total()),
                    (1, 0, [0; 7], n.unique),
                    "{what}"
                );
                assert!((n.pdv_max - calm.pdv_max).abs() <= Nanos::from_millis(2), "{what}: {:?}", n.pdv_max);
                assert!((n.jitter.max_ns - calm.jitter.max_ns).abs() < 2e6, "{what}");
                assert!(n.variation.ipdv_max_ns <= calm.variation.ipdv_max_ns, "{what}");
                assert!(n.max_gap <= calm.max_gap.max(Nanos::from_millis(40)), "{what}: {:?}", n.max_gap);
                assert!(n.max_delta <= n.max_gap, "{what}");
                let rows: u32 =
                    run.intervals().iter().filter(|i| i.stream == s.id).map(|i| i.quality.clock_steps).sum();
                assert_eq!(rows, 1, "{what}");
            }
        }
    }
}

/// Two interfaces with clocks apart by so much: times go back and forth, and no clock was set.
#[test]
fn interfaces_that_disagree_are_no_steps() {
    let plain = office(|_| ());
    for apart_ms in [90, 300, 900] {
        let mut frames = plain.clone();
        frames.iter_mut().filter(|f| f.bytes[26] == 192).for_each(|f| f.at -= apart_ms * MS);
        let run = run(&frames, &Setup::default());
        assert_eq!(run.streams().len(), 6);
        assert!(run.streams().iter().all(|s| s.quality.clock_steps == 0 && s.numbers.lost() == 0), "{apart_ms} ms");
        assert!(run.streams().iter().all(|s| s.numbers.pdv_max < Nanos::from_millis(15)), "{apart_ms} ms");
    }
}

/// What is no step: frames that wait and come at once, frames that are lost, one direction that takes longer from then on,
/// and all that a single call can show.
#[test]
fn stalls_outages_and_longer_routes_are_no_steps() {
    let plain = office(|_| ());
    let start = plain[0].at;
    for ms in [150, 300, 800, 3_000] {
        let dark = start + HALF_WAY..start + HALF_WAY + ms * MS;
        let stalled = |drain: i64| {
            let mut frames = plain.clone();
            let mut at = dark.end;
            for frame in frames.iter_mut().filter(|f| f.at >= dark.start) {
                // Each waits for the one before it.
                at += drain;
                frame.at = frame.at.max(at);
            }
            frames
        };
        let mut lost = plain.clone();
        lost.retain(|f| !dark.contains(&f.at));
        // 300 packets a second: one each 3.3 ms, let go at once or at one and a half times that pace.
        for (what, frames) in [("stalled", stalled(1_000)), ("drained", stalled(2_200_000)), ("lost", lost)] {
            let run = run(&frames, &Setup::default());
            assert_eq!(run.streams().len(), 6);
            for s in run.streams() {
                assert_eq!(s.quality.clock_steps, 0, "{what} for {ms} ms: {} to {}", s.src, s.dst);
                let gap = Nanos::from_millis(ms);
                assert!(s.numbers.max_gap >= gap && s.numbers.max_delta >= gap, "{what} for {ms} ms");
            }
        }
        let longer = office(|spec| {
            spec.forward.path.before.route.push((HALF_WAY / MS, 20_000 + ms * 1_000));
        });
        let longer = run(&longer, &Setup::default());
        assert!(longer.streams().iter().all(|s| s.quality.clock_steps == 0), "{ms} ms longer");
        let alone = run(&stepped(HALF_WAY / MS, ms), &Setup::default());
        assert!(alone.streams().iter().all(|s| s.quality.clock_steps == 0), "two streams");
    }
}

const STEPS_MS: [i64; 8] = [-10, 10, -1_000, 1_000, -30_000, 30_000, -3_600_000, 3_600_000];

#[test]
fn nothing_is_negative_and_every_frame_counts() {
    for by_ms in STEPS_MS {
        for from_ms in [0, 3_010, 20_000, 40_000] {
            for setup in [Setup::default(), Setup::rested(), Setup::interval(1)] {
                let frames = stepped(from_ms, by_ms);
                let run = run(&frames, &setup);
                let what = format!("{by_ms} ms at {from_ms}");
                assert_eq!(run.outcomes.total(), run.frames, "{what}");
                for s in run.streams() {
                    assert!(s.last_at >= s.first_at, "{what}: {:?} to {:?}", s.first_at, s.last_at);
                    assert!(s.numbers.max_gap >= Nanos::ZERO && s.numbers.pdv_max >= Nanos::ZERO, "{what}");
                    assert_eq!(s.numbers.lost(), 0, "{what}: a clock loses nothing");
                }
                for c in run.calls() {
                    assert!(c.last_at >= c.first_at, "{what}");
                    for span in [c.setup(), c.duration(), c.pdd()].into_iter().flatten() {
                        assert!(span >= Nanos::ZERO, "{what}: {span:?} in {c:?}");
                    }
                }
                for i in run.intervals() {
                    assert_eq!(i.start, i.start.floor_to(i.length), "{what}");
                }
            }
        }
    }
}

/// Going back, by whatever, ends nothing early: the engine's time stands still meanwhile.
#[test]
fn a_step_back_ends_nothing() {
    for by_ms in [-10, -1_000, -30_000, -70_000, -3_600_000] {
        for shards in [1, 8] {
            let run = run(&stepped(30_000, by_ms), &Setup::sharded(shards, 1));
            let states: Vec<_> = run.calls().iter().map(|c| c.state).collect();
            assert_eq!(states, [CallState::Completed], "{by_ms}");
            let streams = run.streams();
            assert_eq!(streams.len(), 2, "{by_ms}: each direction is one stream");
            for s in streams {
                let seconds = s.numbers.packets / 50;
                assert!((59..=61).contains(&seconds), "{by_ms}: {} packets", s.numbers.packets);
                assert_eq!(s.quality.clock_steps, u32::from(by_ms < -1_000), "{by_ms}");
            }
        }
    }
}

/// A single frame of the wrong time must not end what goes on.
#[test]
fn frames_that_lag_behind_end_nothing() {
    // One direction is captured by an interface whose clock is 70 s behind: longer than a stream may be silent.
    let mut frames = stepped(0, 0);
    let start = frames[0].at;
    frames.iter_mut().filter(|f| f.bytes[26] == 192 && f.at - start > 5_000 * MS).for_each(|f| f.at -= 70_000 * MS);
    let run = run(&frames, &Setup::default());
    assert_eq!(run.outcomes.total(), run.frames);
    assert_eq!(run.streams().len(), 2, "{:?}", run.streams().iter().map(|s| s.numbers.packets).collect::<Vec<_>>());
    assert!(run.streams().iter().all(|s| s.numbers.lost() == 0));
}

#[test]
fn a_small_step_costs_no_figure() {
    let figures = |by_ms| {
        let run = run(&stepped(30_000, by_ms), &Setup::default());
        let mut out: Vec<_> =
            run.streams().iter().map(|s| (s.src, s.numbers.packets, s.numbers.unique, s.numbers.expected)).collect();
        out.sort_unstable();
        out
    };
    let plain = figures(0);
    for by_ms in [-10, 10, -1_000, 1_000, 30_000] {
        assert_eq!(plain, figures(by_ms), "{by_ms}");
    }
}

/// A silence of more than the timeout ends a stream of no call, whatever the grid, and what comes after it is another one.
/// A stream of a call ends with the call.
#[test]
fn a_silence_is_judged_alike_on_every_grid() {
    let mut frames = stepped(0, 0);
    let start = frames[0].at;
    let quiet = |f: &Frame| (10_000..20_000).contains(&((f.at - start) / MS));
    frames.retain(|f| !quiet(f));
    let media: Vec<Frame> =
        frames.iter().filter(|f| testkit::observe::rtp_of(f, &|_| 8_000).is_some()).cloned().collect();
    for (more_ms, streams) in [(30_000, 2), (49_000, 2), (51_000, 4), (75_000, 4), (105_000, 4), (300_000, 4)] {
        for (frames, streams) in [(&media, streams), (&frames, 2)] {
            let mut frames = frames.clone();
            frames.iter_mut().filter(|f| f.at - start >= 20_000 * MS).for_each(|f| f.at += more_ms * MS);
            for secs in [1, 10, 60] {
                let run = run(&frames, &Setup::interval(secs));
                assert_eq!(run.streams().len(), streams, "silent for {} s, rows of {secs} s", 10 + more_ms / 1_000);
            }
        }
    }
}
