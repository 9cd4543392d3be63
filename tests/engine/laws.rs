//! Laws that hold for any traffic.

use super::*;
use auscult_core::model::{CallUid, JitterStat, LossAttribution, Relation, StreamId, StreamStats};
use std::collections::BTreeMap;
use testkit::rng::Rng;
use testkit::{World, for_seeds};

const CALLS: usize = 10;

#[test]
fn every_frame_has_one_outcome() {
    for_seeds(0..8, |seed| {
        let capture = World::random(seed, CALLS).build();
        let run = run(&capture.frames, &Setup::default());
        assert_eq!(run.outcomes.total(), run.frames);
        let rows = run.events.iter().filter_map(|e| if let Event::Capture(c) = e { Some(c) } else { None });
        let mut of_rows = OutcomeCounts::default();
        let (mut frames, mut bytes) = (0, 0);
        for row in rows {
            of_rows.merge(&row.outcomes);
            (frames, bytes) = (frames + row.frames, bytes + row.bytes);
        }
        assert_eq!(of_rows, run.outcomes, "capture rows add up to the whole");
        assert_eq!(frames, run.frames);
        assert_eq!(bytes, capture.frames.iter().map(|f| u64::from(f.wire_len)).sum::<u64>());
    });
}

#[test]
fn ticks_change_nothing() {
    for_seeds(10..18, |seed| {
        let frames = World::random(seed, CALLS).build().frames;
        for rest in [Nanos::ZERO, Nanos::from_secs(3 * 3600)] {
            let setup = Setup { rest, ..Setup::default() };
            let plain = run(&frames, &setup);
            for share in [0.01, 0.9] {
                let mut rng = Rng::new(seed ^ 0x71C4);
                let ticked = run_ticked(&frames, &setup, |from, to| {
                    if !rng.chance(share) {
                        return Vec::new();
                    }
                    let mut times: Vec<i64> = (0..rng.below(3) + 1).map(|_| rng.range(from, to)).collect();
                    times.sort_unstable();
                    times
                });
                same(&plain.sorted(), &ticked.sorted(), &format!("seed {seed}, ticks {share}"));
                assert_eq!(plain.outcomes, ticked.outcomes);
            }
        }
    });
}

/// A lull of minutes is where an engine that jumps over idle time could differ from one that is ticked through it.
#[test]
fn ticks_in_a_lull_change_nothing() {
    for_seeds(20..26, |seed| {
        let (a, b) = (World::random(seed, 3), World::random(seed, 3));
        for minutes in [1, 2, 3, 31] {
            let lull = minutes * 60_000_000_000 + 1_234_567;
            let mut frames = a.build().frames;
            let shift = frames.last().unwrap().at - frames[0].at + lull;
            frames.extend(b.build().frames.into_iter().map(|f| Frame { at: f.at + shift, ..f }));
            let plain = run(&frames, &Setup::default());
            let step = 7_000_000_000;
            let ticked = run_ticked(&frames, &Setup::default(), |from, to| {
                (1..(to - from) / step + 1).map(|i| from + i * step).collect()
            });
            same(&plain.sorted(), &ticked.sorted(), &format!("seed {seed}, {minutes} min"));
        }
    });
}

#[test]
fn shards_and_hash_seeds_change_nothing() {
    for_seeds(30..36, |seed| {
        let frames = World::random(seed, CALLS).build().frames;
        let one = run(&frames, &Setup::default());
        let (lines, document) = (one.lines(), one.document());
        for (shards, hash) in [(1, 1), (1, 77), (2, 1), (2, 78), (8, 1), (8, 79)] {
            let other = run(&frames, &Setup::sharded(shards, hash));
            same(&lines, &other.lines(), &format!("seed {seed}, {shards} shards, hash seed {hash}"));
            assert!(document == other.document(), "seed {seed}: documents with {shards} shards, hash seed {hash}");
        }
    });
}

#[test]
fn intervals_of_a_stream_merge_to_its_numbers() {
    for_seeds(40..48, |seed| {
        let frames = World::random(seed, CALLS).build().frames;
        for setup in [Setup::interval(1), Setup::default()] {
            let run = run(&frames, &setup);
            let mut rows: BTreeMap<StreamId, StreamStats> = BTreeMap::new();
            for row in run.intervals() {
                rows.entry(row.stream).or_default().merge(&row.numbers);
            }
            let streams = run.streams();
            assert!(!streams.is_empty());
            assert_eq!(rows.len(), streams.len());
            for s in streams {
                let mut merged = rows[&s.id].clone();
                if s.payload_types.len() > 1 {
                    // A row's jitter is that of all its types, the stream's that of its main one.
                    merged.jitter = s.numbers.jitter;
                }
                assert_eq!(merged, s.numbers, "{}", s.id);
                if s.numbers.restarts == 0 && s.redirected == 0 {
                    // Of the adaptive buffer, which the policy has.
                    let (lost, bad) = (s.numbers.burst.summary(), s.numbers.lost_or_late.summary());
                    assert_eq!(
                        (bad.expected, bad.bad),
                        (lost.expected, lost.bad + s.numbers.discarded_adaptive),
                        "{}",
                        s.id
                    );
                }
            }
        }
    });
}

/// Rows of one stream follow each other on the grid without holes or overlaps.
#[test]
fn intervals_tile_the_grid() {
    for_seeds(50..54, |seed| {
        let frames = World::random(seed, CALLS).build().frames;
        let setup = Setup { rest: Nanos::from_secs(600), ..Setup::interval(1) };
        let run = run(&frames, &setup);
        let mut starts: BTreeMap<StreamId, Vec<Timestamp>> = BTreeMap::new();
        for row in run.intervals() {
            assert_eq!(row.start, row.start.floor_to(row.length));
            starts.entry(row.stream).or_default().push(row.start);
        }
        for s in run.streams() {
            let rows = &starts[&s.id];
            assert!(rows.windows(2).all(|w| w[1] - w[0] == Nanos::from_secs(1)), "{} {rows:?}", s.id);
            // The first packets of a candidate count when it is confirmed.
            let before = rows[0] - s.first_at.floor_to(Nanos::from_secs(1));
            assert!((0..=1_000_000_000).contains(&before.0), "{}: first row {before:?} after its first packet", s.id);
            // What was undecided at the last packet may take one row more.
            let past = *rows.last().unwrap() - s.last_at.floor_to(Nanos::from_secs(1));
            assert!((0..=1_000_000_000).contains(&past.0), "{}: last row {past:?} after its last packet", s.id);
        }
    });
}

#[test]
fn the_length_of_intervals_changes_no_stream() {
    for_seeds(610..617, |seed| {
        let frames = World::random(seed, CALLS).build().frames;
        let text = |secs| {
            let run = run(&frames, &Setup::interval(secs));
            let mut streams: Vec<StreamReport> = run.streams().into_iter().cloned().collect();
            streams.sort_by_key(|s| s.id);
            for s in &mut streams {
                // Grid by definition: the worst interval and minute, and whose loss it is, which is judged per interval. Sums of the same terms in other portions differ in the last bits.
                (s.mos_worst_interval, s.mos_worst_minute, s.mos.bounds) = (None, None, None);
                s.mos_worst_minute_at = None;
                s.quality.set_loss(LossAttribution::default());
                if let Some(remote) = &mut s.remote {
                    remote.side = Default::default();
                }
                s.numbers.jitter = rounded(s.numbers.jitter);
            }
            let mut calls: Vec<CallRecord> = run.calls().into_iter().cloned().collect();
            for c in &mut calls {
                (c.mos_worst, c.mos_worst_scale) = (None, None);
                (c.mos_worst_interval, c.mos_worst_minute) = (None, None);
                c.mos_worst_minute_at = None;
                c.quality.set_loss(LossAttribution::default());
                c.diagnoses.clear();
            }
            let streams = streams.iter().map(|s| format!("{s:?}"));
            streams.chain(calls.iter().map(|c| format!("{c:?}"))).collect::<Vec<_>>()
        };
        let ten = text(10);
        for secs in [1, 60] {
            same(&ten, &text(secs), &format!("seed {seed}, 10 s and {secs} s"));
        }
    });
}

#[test]
fn another_time_of_day_changes_no_figure() {
    for_seeds(70..74, |seed| {
        let frames = World::random(seed, CALLS).build().frames;
        let figures = |by: i64| {
            let shifted: Vec<Frame> = frames.iter().map(|f| Frame { at: f.at + by, ..f.clone() }).collect();
            let run = run(&shifted, &Setup::default());
            let mut lines: Vec<String> = run.events.iter().map(|e| timeless(e, by)).collect();
            lines.sort_unstable();
            lines
        };
        let here = figures(0);
        for intervals in [1, -360, 1_000_003] {
            same(&here, &figures(intervals * 10_000_000_000), &format!("seed {seed}, {intervals} intervals later"));
        }
    });
}

fn rounded(j: JitterStat) -> JitterStat {
    JitterStat { sum_ns: (j.sum_ns / 100.0).round(), ..j }
}

/// An event with its times moved back by `by` and without identities, which are made of times.
fn timeless(event: &Event, by: i64) -> String {
    let back = |t: Timestamp| t - Nanos(by);
    let back_of = |t: Option<Timestamp>| t.map(back);
    let call = |c: &CallRecord| {
        let mut c = c.clone();
        c.uid = CallUid(0);
        c.streams.fill(StreamId(0));
        (c.first_at, c.last_at) = (back(c.first_at), back(c.last_at));
        (c.invite_at, c.ringing_at) = (back_of(c.invite_at), back_of(c.ringing_at));
        (c.answered_at, c.ended_at) = (back_of(c.answered_at), back_of(c.ended_at));
        c.bye_answered_at = back_of(c.bye_answered_at);
        c.mos_worst_minute_at = back_of(c.mos_worst_minute_at);
        c
    };
    let stream = |s: &StreamReport| {
        let mut s = s.clone();
        s.id = StreamId(0);
        s.call_uid = s.call_uid.map(|_| CallUid(0));
        s.relation = s.relation.map(|r| Relation { other: StreamId(0), ..r });
        (s.first_at, s.last_at) = (back(s.first_at), back(s.last_at));
        s.mos_worst_minute_at = back_of(s.mos_worst_minute_at);
        s
    };
    match event {
        Event::CallChanged(c) => format!("changed {:?}", call(c)),
        Event::CallEnded(c) => format!("call {:?}", call(c)),
        Event::StreamStarted(s) => format!("started {:?}", stream(s)),
        Event::StreamEnded(s) => format!("stream {:?}", stream(s)),
        Event::Interval(i) => {
            let mut i = i.clone();
            (i.stream, i.call_uid, i.start) = (StreamId(0), i.call_uid.map(|_| CallUid(0)), back(i.start));
            format!("interval {i:?}")
        }
        Event::SipMessage(m) => {
            let mut m = m.clone();
            (m.call_uid, m.at) = (CallUid(0), back(m.at));
            format!("sip {m:?}")
        }
        Event::Rtcp(r) => {
            let mut r = r.clone();
            (r.call_uid, r.stream, r.at) = (r.call_uid.map(|_| CallUid(0)), r.stream.map(|_| StreamId(0)), back(r.at));
            format!("rtcp {r:?}")
        }
        Event::Capture(c) => {
            let mut c = c.clone();
            c.start = back(c.start);
            format!("capture {c:?}")
        }
    }
}
