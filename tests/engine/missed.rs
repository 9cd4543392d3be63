//! What the probe missed: counted whatever the number of shards, and blamed for no more and no less than it explains.

use super::*;
use auscult_core::engine::Missed;
use auscult_core::model::{LossEvidence, LossSource, TimestampSource};
use testkit::World;
use testkit::bulk::Streams;

fn ring(n: u64) -> Missed {
    Missed { ring: n, ..Missed::default() }
}

/// Streams without what was sent between two times; the engine learns what was missed before the next frame, as a
/// capture does.
fn with_a_hole(plan: &Streams, setup: &Setup, from: i64, until: i64, told: bool, tick: i64) -> Run {
    let mut engine = setup.engine();
    let (mut events, mut frames, mut missed) = (Vec::new(), 0, 0);
    let mut sent = plan.frames();
    let mut next_tick = plan.start;
    let second = 1_000_000_000;
    while let Some((at, bytes)) = sent.next_frame() {
        if (plan.start + from * second / 1000..plan.start + until * second / 1000).contains(&at) {
            missed += 1;
            continue;
        }
        if missed > 0 && at > plan.start + from * second / 1000 && told {
            let span = [from, until].map(|ms| Timestamp(plan.start + ms * second / 1000));
            engine.missed(0, span[0], span[1], ring(missed));
            missed = 0;
        }
        while tick > 0 && next_tick < at {
            engine.tick(Timestamp(next_tick), &mut events);
            next_tick += tick;
        }
        engine.frame(Timestamp(at), LinkType::ETHERNET, bytes, bytes.len(), &mut events);
        frames += 1;
    }
    engine.finish(&mut events);
    Run { frames, events, outcomes: engine.outcomes() }
}

fn second_of(run: &Run, at: Timestamp) -> i64 {
    let first = run.intervals().iter().map(|i| i.start).min().expect("a row");
    (at - first).0 / 1_000_000_000
}

#[test]
fn intervals_that_overlap_are_marked_and_the_loss_is_the_captures_wherever_it_is_settled() {
    // The hole ends just before a boundary: most of what is missing is known to be lost only in the rows after it.
    let plan = Streams { payload: 160, ..Streams::new(5, 9) };
    let run = with_a_hole(&plan, &Setup::interval(1), 2500, 4990, true, 0);
    let mut marked: Vec<(i64, u64)> = Vec::new();
    for event in &run.events {
        if let Event::Capture(c) = event
            && c.dropped_ring > 0
        {
            marked.push((second_of(&run, c.start), c.dropped_ring));
        }
    }
    let missed = plan.frames_total() - run.frames;
    assert_eq!(marked.iter().map(|m| m.0).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(marked.iter().map(|m| m.1).sum::<u64>(), missed);
    let lossy: Vec<_> = run.intervals().into_iter().filter(|i| i.numbers.lost() > 0).collect();
    assert!(lossy.iter().any(|i| second_of(&run, i.start) > 4), "loss that is settled later");
    for row in &lossy {
        let what = format!("second {}: {:?}", second_of(&run, row.start), row.quality);
        assert_eq!(
            (row.quality.loss_source, row.quality.loss_evidence),
            (LossSource::Capture, Some(LossEvidence::CaptureDrops)),
            "{what}"
        );
    }
    for row in run.intervals() {
        let second = second_of(&run, row.start);
        assert_eq!(row.quality.capture_drops > 0, [2, 3, 4].contains(&second), "second {second}: {row:?}");
    }
    for stream in run.streams() {
        assert_eq!((stream.quality.loss_source, stream.quality.capture_drops), (LossSource::Capture, missed));
    }
}

#[test]
fn loss_at_another_time_stays_the_networks() {
    let plan = Streams { payload: 160, lose_every: 40, ..Streams::new(2, 12) };
    let run = with_a_hole(&plan, &Setup::interval(1), 3200, 3600, true, 0);
    for row in run.intervals().iter().filter(|i| i.numbers.lost() > 0) {
        let second = second_of(&run, row.start);
        let expected = if (3..=5).contains(&second) { continue } else { LossSource::Network };
        assert_eq!(row.quality.loss_source, expected, "second {second}");
    }
    let untold = with_a_hole(&plan, &Setup::interval(1), 3200, 3600, false, 0);
    assert!(untold.intervals().iter().all(|i| i.quality.loss_source != LossSource::Capture));
}

#[test]
fn shards_seeds_and_ticks_change_nothing_about_it() {
    let plan = Streams { payload: 160, lose_every: 31, ..Streams::new(40, 6) };
    let one = with_a_hole(&plan, &Setup::interval(1), 1300, 3999, true, 0);
    for (shards, seed) in [(2, 3), (8, 99)] {
        let other = with_a_hole(&plan, &Setup { shards, seed, ..Setup::interval(1) }, 1300, 3999, true, 0);
        same(&one.lines(), &other.lines(), &format!("{shards} shards"));
    }
    // Ticks that lag behind as those of a live capture do: none passes what was not reported yet.
    let ticked = with_a_hole(&plan, &Setup::interval(1), 1300, 1420, true, 333_000_000);
    let plain = with_a_hole(&plan, &Setup::interval(1), 1300, 1420, true, 0);
    same(&plain.sorted(), &ticked.sorted(), "ticks");
}

#[test]
fn each_interface_has_its_row_and_sums_stay_what_they_were() {
    let frames = World::random(3, 4).build().frames;
    let plain = run(&frames, &Setup::default());
    let mut engine = Setup::default().engine();
    engine.set_sources(["eth0", "eth1"], TimestampSource::Kernel, 1);
    let mut events = Vec::new();
    for (n, frame) in frames.iter().enumerate() {
        engine.from_source(n % 2);
        feed(&mut engine, frame, &mut events);
    }
    let last = Timestamp(frames.last().expect("a frame").at);
    engine.missed(1, last, last, ring(9));
    engine.finish(&mut events);
    let rows: Vec<_> = events.iter().filter_map(|e| if let Event::Capture(c) = e { Some(c) } else { None }).collect();
    let of = |name: &str| {
        rows.iter()
            .filter(|r| r.interface == name)
            .map(|r| (r.frames, r.dropped_ring))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    };
    let n = frames.len() as u64;
    assert_eq!((of("eth0"), of("eth1")), ((n.div_ceil(2), 0), (n / 2, 9)));
    let mut outcomes = OutcomeCounts::default();
    rows.iter().for_each(|r| outcomes.merge(&r.outcomes));
    assert_eq!(outcomes, plain.outcomes);
}

#[test]
fn what_was_missed_before_the_first_frame_and_after_the_last_is_counted() {
    let frames = World::random(5, 1).build().frames;
    let mut engine = Setup::default().engine();
    let mut events = Vec::new();
    let (first, last) = (Timestamp(frames[0].at), Timestamp(frames.last().expect("a frame").at));
    engine.missed(0, first - Nanos::from_secs(100), first - Nanos::from_secs(90), ring(3));
    frames.iter().for_each(|frame| feed(&mut engine, frame, &mut events));
    engine.missed(0, last, last + Nanos::from_secs(3600), ring(4));
    engine.finish(&mut events);
    let dropped: u64 = events.iter().map(|e| if let Event::Capture(c) = e { c.dropped_ring } else { 0 }).sum();
    assert_eq!(dropped, 7);
}
