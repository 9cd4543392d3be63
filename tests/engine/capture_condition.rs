//! What the capture does to everything it sees, by packets: clumps, coarse times, steps of the clock, sampling, interruptions,
//! one-sided mirrors and copies. Forty calls between hosts of their own, over a network without faults.

use super::{Run, Setup, run};
use auscult_core::model::{
    CaptureCondition, DiagnosisCode, Event, LossEvidence, LossSource, NullReason, TimestampFault,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use testkit::World;
use testkit::call::{CallSpec, Party};
use testkit::observe;
use testkit::pcap::Frame;
use testkit::rng::Rng;

const CALLS: u32 = 40;
const MS: i64 = 1_000_000;

/// `host`: the address of the caller (0) and callee (1) of a call.
fn calls_between(host: impl Fn(u32, u8) -> String) -> Vec<Frame> {
    let call = |n: u32| {
        let port = 4_000 + 4 * n as u16;
        let caller = Party::new("A", &format!("+1202555{n:04}"), &host(n, 0), port);
        let callee = Party::new("B", &format!("+1312555{n:04}"), &host(n, 1), port + 2);
        CallSpec { talk_ms: 25_000, ..CallSpec::new(i64::from(n) * 23, caller, callee) }
    };
    let mut frames = World::new(3).calls((0..CALLS).map(call)).build().frames;
    // The world has whole milliseconds.
    let mut rng = Rng::new(1);
    frames.iter_mut().for_each(|frame| frame.at += rng.below(MS as u64) as i64);
    frames.sort_by_key(|frame| frame.at);
    frames
}

fn clean() -> Vec<Frame> {
    calls_between(|n, side| format!("10.{side}.{}.{}", n >> 8, 1 + (n & 255)))
}

fn media(frame: &Frame) -> Option<(SocketAddr, SocketAddr)> {
    observe::rtp_of(frame, &|_| 8000).map(|((src, dst, ..), _)| (src, dst))
}

fn codes(run: &Run) -> BTreeMap<DiagnosisCode, usize> {
    let mut all = BTreeMap::new();
    run.calls().iter().flat_map(|c| &c.diagnoses).for_each(|d| *all.entry(d.code).or_default() += 1);
    all
}

fn condition(run: &Run) -> CaptureCondition {
    let mut all = CaptureCondition::default();
    for event in &run.events {
        if let Event::Capture(interval) = event {
            all.merge(&interval.condition);
        }
    }
    all
}

fn found(run: &Run) -> Vec<&'static str> {
    condition(run).findings().into_iter().map(|(code, _)| code).collect()
}

/// Frames with their times changed, in the order of these.
fn at_times(mut frames: Vec<Frame>, mut time: impl FnMut(i64) -> i64) -> Vec<Frame> {
    frames.iter_mut().for_each(|frame| frame.at = time(frame.at));
    frames.sort_by_key(|frame| frame.at);
    frames
}

/// When a mirror lets go what came at this time, so many milliseconds apart.
fn held_until(at: i64, ms: i64) -> i64 {
    let clump = at / (ms * MS) + 1;
    clump * ms * MS + clump % 1_000 * 877
}

#[test]
fn a_clean_capture_has_nothing_to_say() {
    let run = run(&clean(), &Setup::default());
    assert_eq!((codes(&run), found(&run)), (BTreeMap::new(), vec![]));
    let fault = condition(&run).timestamps.map(|check| check.fault);
    assert_eq!(fault, Some(TimestampFault::None));
    assert!(run.streams().iter().all(|s| s.quality.timestamps.is_some()));
}

/// Frames wait for the end of 50 ms: delay variation grows to twice a usual buffer, and none of it is the network's.
#[test]
fn clumps_are_no_delay_variation() {
    let mut last = 0;
    let clumped = at_times(clean(), |at| {
        last = held_until(at, 50).max(last + 1_000);
        last
    });
    let run = run(&clumped, &Setup::default());
    assert_eq!((codes(&run), found(&run)), (BTreeMap::new(), vec!["clumped"]));
    for stream in run.streams() {
        let check = stream.quality.timestamps.unwrap();
        assert_eq!(check.fault, TimestampFault::Clumped);
        assert!((45.0..55.0).contains(&check.error.as_millis_f64()), "{check:?}");
        assert_eq!(stream.mos.budget.unwrap().late, 0.0, "late packets cost nothing");
        assert!(stream.numbers.discarded_adaptive == 0 || stream.mos.bounds.is_some(), "they are in the bounds");
    }
    assert!(run.intervals().iter().skip(200).all(|row| row.quality.timestamps.is_some()));
}

#[test]
fn coarse_times_say_what_they_can_not_show() {
    let coarse = at_times(clean(), |at| at / (10 * MS) * 10 * MS);
    let run = run(&coarse, &Setup::default());
    assert_eq!((codes(&run), found(&run)), (BTreeMap::new(), vec!["coarse"]));
    let all = condition(&run);
    assert_eq!(all.timestamp_granularity_ns, Some(10_000_000));
    assert!(run.streams().iter().all(|s| s.quality.timestamp_resolution_ns == 10_000_000));
    // A capture in microseconds that says nanoseconds.
    let run = super::run(&at_times(clean(), |at| at / 1_000 * 1_000), &Setup::default());
    assert_eq!(found(&run), Vec::<&str>::new());
    assert!(run.streams().iter().all(|s| s.quality.timestamp_resolution_ns == 1_000));
}

#[test]
fn small_steps_of_the_clock_are_no_delay() {
    for step in [50, 60, 80, 1_500, -50, -80] {
        let begin = clean()[0].at;
        let stepped = {
            let mut frames = clean();
            frames.iter_mut().filter(|f| f.at >= begin + 15_003 * MS).for_each(|f| f.at += step * MS);
            frames
        };
        let run = run(&stepped, &Setup::default());
        assert_eq!((codes(&run), found(&run)), (BTreeMap::new(), vec!["clock_steps"]), "{step} ms");
        assert!(condition(&run).clock_steps == 1, "{step} ms");
        let longest = run.streams().iter().filter_map(|s| s.rtt).max().unwrap();
        assert!(longest.as_millis_f64() < 150.0, "{step} ms: round trips over the step are dropped, {longest:?}");
    }
}

#[test]
fn a_sampled_capture_says_so_once_and_rates_nothing() {
    for one_of in [2, 4] {
        let mut rng = Rng::new(7);
        let sampled: Vec<Frame> =
            clean().into_iter().filter(|f| media(f).is_none() || rng.below(one_of) == 0).collect();
        let run = run(&sampled, &Setup::default());
        assert_eq!((codes(&run), found(&run)), (BTreeMap::new(), vec!["sampled"]), "1 of {one_of}");
        let said = condition(&run).sampled_one_of.unwrap();
        assert!((said / one_of as f32 - 1.0).abs() < 0.1, "1 of {one_of}: {said}");
        for stream in run.streams() {
            assert_eq!((stream.mos.lq, stream.mos.null_reason), (None, Some(NullReason::SampledCapture)));
            assert_eq!(
                (stream.quality.loss_source, stream.quality.loss_evidence),
                (LossSource::Capture, Some(LossEvidence::SampledCapture))
            );
            assert_eq!(stream.quality.loss.capture, stream.numbers.lost());
        }
        for row in run.intervals() {
            assert_eq!(row.quality.loss.lost(), row.numbers.lost());
        }
    }
}

/// An interruption harms every stream by the same share, too.
#[test]
fn an_interrupted_capture_is_a_blackout_and_no_sampling() {
    let begin = clean()[0].at;
    let dark = begin + 12_000 * MS..begin + 18_000 * MS;
    let kept: Vec<Frame> = clean().into_iter().filter(|f| !dark.contains(&f.at)).collect();
    let run = run(&kept, &Setup::default());
    let all = condition(&run);
    assert_eq!((all.sampled_one_of, all.clock_steps), (None, 0));
    assert!((5.9..6.1).contains(&all.blackout.as_secs_f64()), "{:?}", all.blackout);
    assert_eq!(codes(&run).keys().copied().collect::<Vec<_>>(), [DiagnosisCode::CaptureLoss]);
}

/// A mirror that drops one packet of 500: too few of each stream to see it, but reports of all receivers add up.
#[test]
fn single_losses_are_found_by_reports_of_all_receivers() {
    let without_floor = |run: &Run| condition(run).loss_floor.is_none_or(|floor| !floor.reported);
    let mut rng = Rng::new(5);
    let mut lost = 0;
    let by_mirror: Vec<Frame> = clean()
        .into_iter()
        .filter(|f| {
            let drops = media(f).is_some() && rng.below(500) == 0;
            lost += u32::from(drops);
            !drops
        })
        .collect();
    let run = run(&by_mirror, &Setup::default());
    let floor = condition(&run).loss_floor.unwrap();
    assert!(floor.reported && floor.low > 0.0005 && floor.low < 0.002 && floor.high > 0.002, "{floor:?}, {lost} lost");
    assert_eq!(found(&run), ["loss"]);
    assert!(without_floor(&super::run(&clean(), &Setup::default())));
}

#[test]
fn a_one_sided_mirror_is_no_one_way_media() {
    let from_callers = |f: &Frame| media(f).is_none_or(|(src, _)| src.ip().to_string().starts_with("10.0."));
    let reports = |f: &Frame| observe::rtp_of(f, &|_| 8000).is_some() || f.bytes.windows(4).any(|w| w == b"SIP/");
    let kept: Vec<Frame> = clean().into_iter().filter(from_callers).filter(reports).collect();
    let run = run(&kept, &Setup::default());
    let codes = codes(&run);
    assert!(
        !codes.contains_key(&DiagnosisCode::OneWayMedia) && !codes.contains_key(&DiagnosisCode::MediaNotSeen),
        "{codes:?}"
    );
    assert!(run.calls().iter().all(|call| call.quality.one_sided));
    assert_eq!(found(&run), ["one_sided"]);
}

/// Two calls are silent one way while others between the same session border controller and the same side are not.
#[test]
fn one_way_media_takes_other_calls_that_show_the_direction() {
    let host = |n: u32, side: u8| if side == 1 { "10.1.0.1".to_owned() } else { format!("10.0.0.{}", n + 1) };
    let silent = |f: &Frame| {
        media(f).is_some_and(|(src, dst)| {
            src.ip() == ip("10.1.0.1") && [ip("10.0.0.3"), ip("10.0.0.9")].contains(&dst.ip())
        })
    };
    let is_rtcp = |f: &Frame| observe::rtp_of(f, &|_| 8000).is_none() && !f.bytes.windows(4).any(|w| w == b"SIP/");
    let kept: Vec<Frame> = calls_between(host).into_iter().filter(|f| !silent(f) && !is_rtcp(f)).collect();
    let run = run(&kept, &Setup::default());
    assert_eq!(codes(&run), BTreeMap::from([(DiagnosisCode::OneWayMedia, 2)]));
    let said = run.calls().into_iter().flat_map(|c| c.diagnoses.clone()).next().unwrap();
    assert!(said.confidence == 0.7 && said.evidence.contains("passes this probe in other calls"), "{said:?}");
    assert_eq!(found(&run), Vec::<&str>::new());
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Copies without identification in the IP header, 5 ms after the packet.
#[test]
fn copies_of_everything_are_the_mirrors() {
    let without_id = |mut frame: Frame| {
        frame.bytes[18..20].fill(0);
        frame
    };
    let mut all: Vec<Frame> = clean().into_iter().map(without_id).collect();
    let copies: Vec<Frame> = all.iter().map(|f| Frame { at: f.at + 5 * MS, ..f.clone() }).collect();
    all.extend(copies);
    all.sort_by_key(|f| f.at);
    let run = run(&all, &Setup::default());
    assert_eq!(codes(&run), BTreeMap::new());
    for stream in run.streams() {
        let n = &stream.numbers;
        assert_eq!((n.duplicates_network, n.duplicates_probe, n.lost()), (0, n.unique, 0), "{:?}", stream.remote);
        assert_eq!(stream.quality.duplicates_removed, n.duplicates_probe);
    }
    assert_eq!(condition(&run).copies, run.streams().iter().map(|s| s.numbers.duplicates_probe).sum::<u64>());
}

/// The same state and the same rows with any number of shards.
#[test]
fn shards_change_nothing() {
    let mut rng = Rng::new(7);
    let sampled: Vec<Frame> = clean().into_iter().filter(|f| media(f).is_none() || rng.below(3) == 0).collect();
    let mut last = 0;
    let clumped = at_times(clean(), |at| {
        last = held_until(at, 20).max(last + 1_000);
        last
    });
    for frames in [sampled, clumped] {
        let events = |shards: usize| {
            let run = run(&frames, &Setup::sharded(shards, 5));
            let rows: Vec<String> = run.intervals().iter().map(|row| format!("{row:?}")).collect();
            (condition(&run), rows)
        };
        let one = events(1);
        assert!(one == events(2) && one == events(8));
    }
}
