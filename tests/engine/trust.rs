//! How far to trust a row: what the probe missed and the mirror copied, on intervals, streams and calls alike.

use super::*;
use auscult_core::engine::Missed;
use auscult_core::model::{Ignored, LossEvidence, LossSource, Outcome};
use testkit::World;
use testkit::call::{CallSpec, Party};
use testkit::world::Mirror;

const SECOND: i64 = 1_000_000_000;

/// Calls of 20 s, one every 5 s, each between other hosts.
fn calls(count: i64) -> World {
    World::new(5).calls((0..count).map(|n| {
        let caller = Party::new("A", &format!("+1202555010{n}"), &format!("192.0.2.{}", n + 1), 4000);
        let callee = Party::new("B", &format!("+1312555010{n}"), &format!("198.51.100.{}", n + 1), 5000);
        CallSpec::new(5_000 * n, caller, callee)
    }))
}

/// Feeds frames; before the first one at or after each time so many frames were missed.
fn with_drops(frames: &[Frame], setup: &Setup, drops: &[(i64, u64)]) -> Run {
    let mut engine = setup.engine();
    let mut events = Vec::new();
    let mut drops = drops.iter().peekable();
    for frame in frames {
        // What happens by itself comes first, as it does at the frame.
        engine.tick(Timestamp(frame.at), &mut events);
        while let Some((at, ring)) = drops.next_if(|(at, _)| *at <= frame.at) {
            engine.missed(0, Timestamp(*at), Timestamp(*at), Missed { ring: *ring, ..Missed::default() });
        }
        feed(&mut engine, frame, &mut events);
    }
    engine.finish(&mut events);
    Run { frames: frames.len() as u64, events, outcomes: engine.outcomes() }
}

/// Each row has the drops of the intervals its own time touches, each once, whatever the number of its streams.
#[test]
fn drops_are_those_of_the_intervals_a_row_lies_in() {
    let frames = calls(4).build().frames;
    let start = frames[0].at;
    let drops: Vec<(i64, u64)> = (0..40).step_by(3).map(|s| (start + s * SECOND + 7, 1 << (s / 3))).collect();
    for secs in [1, 5, 10] {
        let run = with_drops(&frames, &Setup::interval(secs), &drops);
        let grid = |at: i64| at.div_euclid(secs * SECOND);
        // Of drops after the row was written it can say nothing.
        let expected = |from: i64, to: i64, told: i64| -> u64 {
            let touched = |at: i64| grid(from) <= grid(at) && grid(at) <= grid(to) && at <= told;
            drops.iter().filter(|(at, _)| touched(*at)).map(|(_, n)| n).sum()
        };
        // Nor of those that nobody reported any more.
        let (linger, end) = (Policy::default().linger.0, frames.last().unwrap().at);
        assert_eq!((run.calls().len(), run.streams().len()), (4, 8));
        for c in run.calls() {
            let told = (c.ended_at.unwrap().0 + linger).min(end);
            assert_eq!(c.quality.capture_drops, expected(c.first_at.0, c.last_at.0, told), "{} in {secs} s", c.call_id);
            assert!(c.quality.capture_drops > 0);
        }
        for s in run.streams() {
            let call = *run.calls().iter().find(|c| c.call_id == s.call_id).unwrap();
            let told = (call.ended_at.unwrap().0 + linger).min(end);
            assert_eq!(s.quality.capture_drops, expected(s.first_at.0, s.last_at.0, told), "{} in {secs} s", s.id);
            assert!(s.quality.capture_drops <= call.quality.capture_drops);
            let rows = run.intervals();
            let rows = rows.iter().filter(|i| i.stream == s.id).map(|i| i.quality.capture_drops);
            assert_eq!(rows.sum::<u64>(), s.quality.capture_drops, "{} in {secs} s", s.id);
        }
    }
}

/// A call that ends inside an interval has what was missed in it so far, and its loss is the capture's.
#[test]
fn drops_of_an_unfinished_interval_count() {
    let mut frames = calls(1).build().frames;
    let last = frames.iter().rfind(|f| f.bytes.len() > 60 && f.bytes[23] == 17).unwrap().at;
    let gap = (last - 3 * SECOND)..(last - 2 * SECOND);
    frames.retain(|f| !gap.contains(&f.at));
    let run = with_drops(&frames, &Setup::interval(60), &[(gap.end, 100)]);
    let [call] = run.calls()[..] else { panic!() };
    assert_eq!((call.quality.capture_drops, call.quality.loss_source), (100, LossSource::Capture));
    assert_eq!(call.quality.loss_evidence, Some(LossEvidence::CaptureDrops));
    assert!(run.streams().iter().all(|s| s.quality.capture_drops == 100), "both directions, and the call once");
}

#[test]
fn a_mirror_that_sends_all_twice_changes_nothing_but_the_count_of_copies() {
    let mirror = Mirror { share: 1.0, min_us: 5, max_us: 300 };
    let (plain, doubled) = (calls(3).build(), calls(3).mirror(mirror).build());
    let (plain, doubled) = (run(&plain.frames, &Setup::default()), run(&doubled.frames, &Setup::default()));
    let reports = |run: &Run| {
        let reports = run.events.iter().filter(|e| matches!(e, Event::Rtcp(_)));
        reports.map(|e| format!("{e:?}")).collect::<Vec<_>>()
    };
    assert!(reports(&plain).len() > 10);
    same(&reports(&plain), &reports(&doubled), "reports");
    let rtcp = plain.outcomes.get(Outcome::Rtcp);
    let copies = Outcome::Ignored(Ignored::RtcpCopy);
    assert_eq!((doubled.outcomes.get(Outcome::Rtcp), doubled.outcomes.get(copies)), (rtcp, rtcp));
    assert_eq!(plain.outcomes.get(copies), 0);
    let mut of_calls = 0;
    for (once, twice) in plain.calls().into_iter().zip(doubled.calls()) {
        let streams = doubled.streams();
        let media: u64 =
            streams.iter().filter(|s| s.call_id == twice.call_id).map(|s| s.quality.duplicates_removed).sum();
        assert!(media > 1_000 && twice.quality.duplicates_removed > media, "RTP and RTCP");
        of_calls += twice.quality.duplicates_removed - media;
        assert_eq!(once.quality.duplicates_removed, 0);
    }
    assert_eq!(of_calls, rtcp, "each copied report belongs to a call");
    for (once, twice) in plain.streams().into_iter().zip(doubled.streams()) {
        assert_eq!((once.rtt, once.remote), (twice.rtt, twice.remote), "no report is used twice");
    }
}

#[test]
fn every_row_says_who_stamped_its_frames() {
    let frames = calls(1).build().frames;
    for source in [TimestampSource::CaptureFile, TimestampSource::Kernel, TimestampSource::Adapter] {
        let mut engine = Setup::default().engine();
        engine.set_source("test", source, 1000);
        let mut events = Vec::new();
        frames.iter().for_each(|frame| feed(&mut engine, frame, &mut events));
        engine.finish(&mut events);
        let run = Run { frames: frames.len() as u64, events, outcomes: engine.outcomes() };
        let calls = run.calls().into_iter().map(|c| &c.quality);
        let streams = run.streams().into_iter().map(|s| &s.quality);
        let rows: Vec<_> = calls.chain(streams).chain(run.intervals().into_iter().map(|i| &i.quality)).collect();
        assert!(rows.len() > 4);
        assert!(rows.iter().all(|q| (q.timestamp_source, q.timestamp_resolution_ns) == (source, 1000)));
    }
}

/// The figures of intervals, in milliseconds and with their counts, add up to those of the stream.
#[test]
fn means_of_intervals_add_up_by_their_counts() {
    use auscult_core::model::Labels;
    use auscult_store::rows::{IntervalRow, StreamRow};
    let run = run(&World::random(44, 6).build().frames, &Setup::interval(1));
    let near = |rows: Vec<(Option<f32>, Option<u32>)>, mean: Option<f32>, samples: Option<u64>| {
        let count: u64 = rows.iter().map(|(_, n)| u64::from(n.unwrap())).sum();
        assert_eq!(Some(count), samples);
        let sum: f64 = rows.iter().map(|(ms, n)| f64::from(ms.unwrap_or(0.0)) * f64::from(n.unwrap())).sum();
        match mean {
            Some(mean) => assert!((sum / count as f64 - f64::from(mean)).abs() <= 1e-5 * f64::from(mean), "{mean}"),
            None => assert_eq!(count, 0),
        }
    };
    let labels = Labels::default();
    for s in run.streams() {
        let stream = StreamRow::new(s, &labels, s.last_at);
        let rows: Vec<_> = (run.intervals().into_iter().filter(|i| i.stream == s.id))
            .map(|i| IntervalRow::new(i, &labels, i.start))
            .collect();
        let take = |part: fn(&IntervalRow) -> (Option<f32>, Option<u32>)| rows.iter().map(part).collect();
        near(take(|r| (r.ipdv_mean_ms, r.ipdv_samples)), stream.ipdv_mean_ms, stream.ipdv_samples);
        near(
            take(|r| (r.mapdv2_above_ms, r.mapdv2_above_samples)),
            stream.mapdv2_above_ms,
            stream.mapdv2_above_samples,
        );
        near(
            take(|r| (r.mapdv2_below_ms, r.mapdv2_below_samples)),
            stream.mapdv2_below_ms,
            stream.mapdv2_below_samples,
        );
        let parts = stream.mapdv2_above_ms.unwrap_or(0.0) + stream.mapdv2_below_ms.unwrap_or(0.0);
        assert!((stream.mapdv2_ms.unwrap_or(0.0) - parts).abs() < 1e-4);
    }
}
