//! Sums over streams and calls are those of the events they are made of, for any grouping and window, however often rows are
//! cut, and over any number of shards.

use super::*;
use auscult_core::groups::{Group, Groups};
use auscult_core::model::{CallFigures, CallState, Labels, MediaFigures, Presence, SHORT_CALL, Scale, StreamId};
use std::collections::{BTreeMap, BTreeSet};
use testkit::call::Side;
use testkit::{World, for_seeds};

const CALLS: usize = 25;
const SECOND: i64 = 1_000_000_000;

fn labels() -> Labels {
    let trunk = |cidr: &str, name: &str| (cidr.parse().expect(cidr), name.to_owned());
    Labels { trunks: vec![trunk("192.0.2.0/24", "wide"), trunk("198.51.100.0/24", "other side")], ..Labels::default() }
}

/// The events of a world and the groups made of them.
fn grouped(frames: &[Frame], setup: &Setup) -> (Vec<Event>, Vec<Group>) {
    let labels = labels();
    let mut engine = setup.engine();
    let mut groups = Groups::new(&setup.limits, &setup.policy);
    let (mut events, mut out) = (Vec::new(), Vec::new());
    let take = |groups: &mut Groups, events: &[Event], out: &mut Vec<Group>| {
        for event in events {
            let trunk = match event {
                Event::CallChanged(call) | Event::CallEnded(call) => labels.trunk_of_call(call),
                Event::Interval(i) => labels.trunk_of(i.src, i.dst),
                _ => Default::default(),
            };
            groups.event(event, trunk, &mut |group| out.push(group));
        }
    };
    for frame in frames {
        let before = events.len();
        feed(&mut engine, frame, &mut events);
        take(&mut groups, &events[before..], &mut out);
        groups.close_before(engine.interval_end(), &mut |group| out.push(group));
    }
    let before = events.len();
    let last = frames.last().map_or(0, |f| f.at);
    if setup.rest > Nanos::ZERO {
        engine.tick(Timestamp(last) + setup.rest, &mut events);
    }
    engine.finish(&mut events);
    take(&mut groups, &events[before..], &mut out);
    groups.finish(&mut |group| out.push(group));
    (events, out)
}

type Key = (String, &'static str, String, &'static str);

fn intervals(events: &[Event]) -> Vec<(Key, &IntervalReport)> {
    let labels = labels();
    let of = |i: &IntervalReport| {
        let trunk = labels.trunk_of(i.src, i.dst);
        let scale = i.mos.rated().map_or("", |rated| rated.scale.name());
        (trunk.name.to_owned(), trunk.direction_name(), i.codec.to_string(), scale)
    };
    events.iter().filter_map(|e| if let Event::Interval(i) = e { Some((of(i), &**i)) } else { None }).collect()
}

fn media(groups: &[Group]) -> Vec<(Key, i64, &MediaFigures)> {
    let media = groups.iter().filter_map(|g| if let Group::Media(g) = g { Some(g) } else { None });
    media
        .map(|g| {
            let direction = g.trunk.direction.map_or("", |d| d.name());
            let key = (g.trunk.name.to_string(), direction, g.codec.to_string(), g.mos_scale.map_or("", Scale::name));
            (key, g.start.0, &g.figures)
        })
        .collect()
}

#[test]
fn sums_are_those_of_the_intervals_of_streams() {
    for_seeds(0..6, |seed| {
        let frames = World::random(seed, CALLS).build().frames;
        let small = Setup { limits: Limits { groups: 3, ..Limits::default() }, ..Setup::interval(2) };
        for setup in [Setup::default(), Setup::interval(2), small] {
            let (events, groups) = grouped(&frames, &setup);
            type Sums = [u64; 12];
            let mut of_streams: BTreeMap<(i64, String, &str), Sums> = BTreeMap::new();
            for (key, i) in intervals(&events) {
                let n = &i.numbers;
                let rated = u64::from(i.mos.lq.is_some());
                let points = i.mos.budget.map_or(0.0, |b| f64::from(b.loss) + f64::from(b.late));
                let sums = [
                    1,
                    n.packets,
                    n.expected,
                    n.lost(),
                    n.reordered,
                    n.late[2],
                    n.loss_runs.runs(),
                    n.pdv.total(),
                    u64::from(n.jitter.samples > 0),
                    rated,
                    u64::from(i.mos.lq.is_some_and(|lq| lq < 3.6)),
                    (points * 1000.0).round() as u64,
                ];
                add(of_streams.entry((i.start.0, key.0, key.1)).or_default(), &sums);
            }
            let mut of_groups: BTreeMap<(i64, String, &str), Sums> = BTreeMap::new();
            for (key, start, f) in media(&groups) {
                let sums = [
                    f.streams,
                    f.packets,
                    f.expected,
                    f.lost_network + f.lost_capture + f.lost_suspected_capture,
                    f.reordered,
                    f.late[2],
                    f.loss_runs.iter().sum(),
                    f.pdv.total(),
                    f.jitter.total(),
                    f.mos.values().sum(),
                    f.mos_under_3_6,
                    (f.r_cost_loss_milli + f.r_cost_late_milli) as u64,
                ];
                add(of_groups.entry((start, key.0, key.1)).or_default(), &sums);
            }
            assert_eq!(of_streams.len(), of_groups.len());
            for (key, streams) in of_streams {
                let groups = of_groups[&key];
                assert_eq!(streams[..11], groups[..11], "seed {seed} {key:?}");
                assert!(streams[11].abs_diff(groups[11]) <= streams[0], "points are rounded once for each stream");
            }
        }
    });
}

fn add(all: &mut [u64], more: &[u64]) {
    all.iter_mut().zip(more).for_each(|(a, b)| *a += b);
}

/// Streams that are silent for some intervals, and that change codec and scale, are counted once in any grouping and window.
#[test]
fn different_streams_of_a_window_are_counted_once() {
    let level: [fn(&MediaFigures) -> &Presence; 4] = [
        |f| &f.present_before,
        |f| &f.present_before_codec,
        |f| &f.present_before_scale,
        |f| &f.present_before_codec_scale,
    ];
    let (mut windows, mut again) = (0, 0);
    for seed in 0..6 {
        let mut frames = World::random(seed, CALLS).build().frames;
        if seed == 0 {
            // The clock was never set.
            let begin = frames.first().map_or(0, |f| f.at);
            frames.iter_mut().for_each(|f| f.at -= begin);
        }
        let (events, groups) = grouped(&frames, &Setup::interval(1));
        let (intervals, media) = (intervals(&events), media(&groups));
        let times: BTreeSet<i64> = media.iter().map(|(_, start, _)| *start).collect();
        let times: Vec<i64> = times.into_iter().collect();
        for (n, from) in times.iter().enumerate().step_by(7) {
            for to in times[n..].iter().step_by(11) {
                for by in 0..8usize {
                    let group = |key: &Key| {
                        let part =
                            |at: usize, text: &str| if by >> at & 1 == 1 { text.to_owned() } else { String::new() };
                        (part(2, &key.0), part(2, key.1), part(0, &key.2), part(1, key.3))
                    };
                    let mut seen: BTreeMap<_, BTreeSet<StreamId>> = BTreeMap::new();
                    for (key, i) in intervals.iter().filter(|(_, i)| (*from..=*to).contains(&i.start.0)) {
                        seen.entry(group(key)).or_default().insert(i.stream);
                    }
                    let mut counted: BTreeMap<_, u64> = BTreeMap::new();
                    for (key, _, f) in media.iter().filter(|(_, start, _)| (*from..=*to).contains(start)) {
                        let before = level[by & 3](f);
                        let is_new = |at: u32| at == 0 || i64::from(at) < *from / SECOND;
                        let new = before.iter().filter(|(at, _)| is_new(**at)).map(|(_, n)| *n).sum::<u64>();
                        again += before.keys().filter(|at| **at > 0 && i64::from(**at) * SECOND < *from).count();
                        *counted.entry(group(key)).or_default() += new;
                    }
                    let seen: BTreeMap<_, u64> = seen.into_iter().map(|(key, ids)| (key, ids.len() as u64)).collect();
                    assert_eq!(seen, counted, "seed {seed}, {from} to {to}, by {by:03b}");
                    windows += 1;
                }
            }
        }
    }
    assert!(windows > 500 && again > 1000, "{windows} {again}");
}

#[test]
fn attempts_count_at_their_final_response_and_ends_at_the_end() {
    let (mut kinds, mut exact) = (BTreeSet::new(), 0);
    for seed in 0..6 {
        let mut world = World::random(seed, CALLS);
        if seed < 3 {
            let calls = world.calls_of().iter().cloned().map(|mut call| {
                call.released_by.get_or_insert(Side::Caller);
                call
            });
            world = World::new(seed).calls(calls.collect::<Vec<_>>());
        }
        let frames = world.build().frames;
        for setup in [Setup::default(), Setup::rested()] {
            let (events, groups) = grouped(&frames, &setup);
            let interval = setup.policy.interval.0;
            let start = |at: Timestamp| at.0 - at.0.rem_euclid(interval);
            let mut of_calls: BTreeMap<i64, CallFigures> = BTreeMap::new();
            let ended = events.iter().filter_map(|e| if let Event::CallEnded(c) = e { Some(&**c) } else { None });
            // Time up: of a call whose end is only known later at least until that end, at most until the last frame.
            let (mut up, mut up_most) = (0, 0);
            let last = frames.last().map_or(0, |f| f.at);
            for call in ended {
                kinds.insert(call.state.name());
                let end = call.ended_at.unwrap_or(call.last_at);
                if call.is_attempt() {
                    let f = of_calls.entry(start(call.answered_at.unwrap_or(end))).or_default();
                    f.attempts += 1;
                    f.answers += u64::from(call.answered_at.is_some());
                    *f.final_codes.entry(call.final_code).or_default() += 1;
                    f.cancelled += u64::from(call.state == CallState::Cancelled);
                    f.setup_timeouts += u64::from(call.state == CallState::SetupTimeout);
                    f.pdd.record(call.pdd());
                    f.setup.record(call.setup());
                    f.srd_failed.record(call.failure());
                }
                let f = of_calls.entry(start(end)).or_default();
                f.ended += 1;
                *f.classes.entry(call.class().name()).or_default() += 1;
                call.diagnoses.iter().for_each(|d| *f.diagnoses.entry(d.code.name()).or_default() += 1);
                f.completed += u64::from(call.state == CallState::Completed);
                f.short += u64::from(call.duration().is_some_and(|d| d < SHORT_CALL));
                f.duration.record(call.duration());
                f.sdd.record(call.sdd());
                let lasted = call.duration().map_or(0, |d| d.0 / 1_000_000);
                up += lasted;
                up_most += match (call.state, call.answered_at) {
                    (CallState::Completed, _) | (_, None) => lasted,
                    (_, Some(at)) => (last - at.0) / 1_000_000,
                };
            }
            let mut of_groups: BTreeMap<i64, CallFigures> = BTreeMap::new();
            let mut up_counted = 0;
            for group in &groups {
                let Group::Calls(group) = group else { continue };
                let f = &group.figures;
                up_counted += f.up_ms;
                assert!(f.up_max <= CALLS as u32);
                let sum = of_groups.entry(group.start.0).or_default();
                sum.attempts += f.attempts;
                sum.answers += f.answers;
                f.final_codes.iter().for_each(|(code, n)| *sum.final_codes.entry(*code).or_default() += n);
                sum.cancelled += f.cancelled;
                sum.setup_timeouts += f.setup_timeouts;
                for (sum, f) in [
                    (&mut sum.pdd, &f.pdd),
                    (&mut sum.setup, &f.setup),
                    (&mut sum.srd_failed, &f.srd_failed),
                    (&mut sum.duration, &f.duration),
                    (&mut sum.sdd, &f.sdd),
                ] {
                    f.0.iter().for_each(|(bucket, n)| *sum.0.entry(*bucket).or_default() += n);
                }
                sum.ended += f.ended;
                f.classes.iter().for_each(|(name, n)| *sum.classes.entry(name).or_default() += n);
                f.diagnoses.iter().for_each(|(name, n)| *sum.diagnoses.entry(name).or_default() += n);
                sum.completed += f.completed;
                sum.short += f.short;
            }
            of_groups.retain(|_, f| f.attempts + f.ended > 0);
            assert_eq!(of_calls, of_groups, "seed {seed}");
            if setup.rest == Nanos::ZERO {
                // A span is cut at answer, interval bounds and end: each cut rounds by a millisecond.
                let cuts = 2 * CALLS as i64;
                let possible = up - cuts..=up_most + cuts;
                assert!(possible.contains(&up_counted), "seed {seed}: {up_counted} ms counted, {possible:?}");
                exact += usize::from(up == up_most);
            }
        }
    }
    assert!(["completed", "cancelled", "failed"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    assert!(exact > 0, "in some worlds every call ends by BYE");
}

/// The answer of a call that lasts is counted while it lasts.
#[test]
fn an_answer_counts_before_the_call_ends() {
    let frames = World::random(3, CALLS).build().frames;
    let labels = labels();
    let mut engine = Setup::default().engine();
    let mut groups = Groups::new(&Limits::default(), &Policy::default());
    let (mut answers, mut ended) = (0, 0);
    let mut events = Vec::new();
    for frame in &frames {
        feed(&mut engine, frame, &mut events);
        for event in events.drain(..) {
            if let Event::CallChanged(call) | Event::CallEnded(call) = &event {
                ended += usize::from(matches!(event, Event::CallEnded(_)));
                groups.event(&event, labels.trunk_of_call(call), &mut |_| {});
            }
        }
        if ended > 0 {
            break;
        }
    }
    groups.finish(&mut |group| {
        if let Group::Calls(group) = group {
            answers += group.figures.answers;
        }
    });
    assert!(answers > 1, "{answers}");
}

#[test]
fn shards_and_seeds_change_no_group() {
    for_seeds(20..24, |seed| {
        let frames = World::random(seed, CALLS).build().frames;
        let plain = grouped(&frames, &Setup::default()).1;
        assert!(plain.len() > 5);
        for shards in [2, 8] {
            assert_eq!(plain, grouped(&frames, &Setup::sharded(shards, seed + 7)).1);
        }
    });
}

/// Codec names are a stranger's: those that find no place are counted together, and known ones keep theirs.
#[test]
fn codecs_beyond_the_limit_are_counted_as_other() {
    let frames = World::random(1, 3).build().frames;
    let plain = run(&frames, &Setup::default());
    let some = plain.events.iter().find_map(|e| if let Event::Interval(i) = e { Some(i.clone()) } else { None });
    let some = some.expect("an interval");
    let limits = Limits { groups: 10, ..Limits::default() };
    let mut groups = Groups::new(&limits, &Policy::default());
    let mut out = Vec::new();
    let mut feed = |groups: &mut Groups, codec: &str, id: u64, start: i64| {
        let interval = IntervalReport {
            codec: codec.into(),
            stream: StreamId(id),
            start: some.start + Nanos::from_secs(start),
            ..(*some).clone()
        };
        groups.event(&Event::Interval(Box::new(interval)), Default::default(), &mut |group| out.push(group));
    };
    for interval in 0..3 {
        for n in 0..40 {
            feed(&mut groups, &format!("stranger-{n}"), n, 10 * interval);
        }
        for (n, codec) in ["PCMU", "PCMA", "G729", "opus", "pCmU"].into_iter().enumerate() {
            feed(&mut groups, codec, 100 + n as u64, 10 * interval);
        }
    }
    assert_eq!(groups.in_other(), 3 * (35 + 1));
    groups.finish(&mut |group| out.push(group));
    let mut codecs: BTreeMap<String, u64> = BTreeMap::new();
    for (key, _, f) in media(&out) {
        *codecs.entry(key.2).or_default() += f.streams;
        assert!(f.present_before_codec.keys().all(|at| *at == 0 || f.streams_begun < f.streams));
    }
    assert_eq!(codecs["other"], 3 * 36);
    assert_eq!((codecs["PCMU"], codecs["opus"], codecs["stranger-4"]), (3, 3, 3));
    assert_eq!(codecs.len(), 10);
}
