//! What a rating by an adaptive jitter buffer says of delay that rises, jumps, or stalls; how the base moves; the packet time
//! and the worst minute.

use super::*;
use auscult_core::model::{DiagnosisCode, JitterBuffer};
use std::net::SocketAddr;
use testkit::scene::{Dialog, Rtp, Scene, sdp};

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A PCMU call of so many seconds whose packets from the caller take `delay` (of the time since the first one, both in ms)
/// longer than the others; `None`: lost.
fn call_with(seconds: u32, setup: &Setup, delay: impl Fn(i64) -> Option<i64>) -> Run {
    let mut scene = Scene::new();
    scene.dialog(&Dialog {
        at_ms: 0,
        call_id: "c1",
        caller: at("192.0.2.1:5060"),
        callee: at("198.51.100.1:5060"),
        offer: &sdp("192.0.2.1", &[(20000, "0")]),
        answer: &sdp("198.51.100.1", &[(30000, "0")]),
        talk_ms: Some(i64::from(seconds) * 1_000),
    });
    let (a, b) = (at("192.0.2.1:20000"), at("198.51.100.1:30000"));
    let all = Rtp::pcmu(120, a, b, 7, 50 * seconds);
    scene.rtp(Rtp { src: b, dst: a, ssrc: 8, ..all });
    for i in 0..all.packets {
        let sent = 20 * i64::from(i);
        if let Some(delay) = delay(sent) {
            let (first_seq, first_timestamp) = (all.first_seq.wrapping_add(i as u16), all.first_timestamp + 160 * i);
            scene.rtp(Rtp { at_ms: 120 + sent + delay, first_seq, first_timestamp, packets: 1, ..all });
        }
    }
    run(&scene.frames(), setup)
}

fn usual(seconds: u32, delay: impl Fn(i64) -> Option<i64>) -> Run {
    call_with(seconds, &Setup::rested(), delay)
}

fn delayed(run: &Run) -> &StreamReport {
    run.streams().into_iter().find(|s| s.src.port() == 20_000).expect("the caller's stream")
}

fn codes(run: &Run) -> Vec<DiagnosisCode> {
    run.calls().iter().flat_map(|c| c.diagnoses.iter().map(|d| d.code)).collect()
}

/// The base follows within eight seconds: what a fixed buffer discards has a cliff there, what a receiver discards has not.
#[test]
fn a_delay_that_rises_slowly_costs_nothing() {
    for tenths in [15, 65, 75, 120] {
        let run = usual(60, |ms| Some(ms * tenths / 10_000));
        let s = delayed(&run);
        assert_eq!((s.numbers.discarded_adaptive, s.numbers.lost()), (0, 0), "{tenths}");
        assert!(s.mos.lq > Some(4.4), "{tenths}: {:?}", s.mos.lq);
        // All but the last eight seconds, in moves of at least 10 ms.
        let rise = s.numbers.base_rise.as_millis_f64();
        let expected = 51.5 * tenths as f64 / 10.0;
        assert!((rise - expected).abs() < 12.0, "{tenths}: {rise} instead of {expected}");
        assert_eq!((s.numbers.base_fall, s.numbers.base_steps), (Nanos::ZERO, 0), "{tenths}");
        assert_eq!(codes(&run), if tenths >= 65 { vec![DiagnosisCode::QueueBuildUp] } else { vec![] }, "{tenths}");
    }
    let late = |tenths: i64| delayed(&usual(60, |ms| Some(ms * tenths / 10_000))).numbers.late[2];
    assert!(late(65) == 0 && late(75) > 2_000, "the cliff of the fixed buffer of 60 ms");
}

/// A route that is longer by 65 ms from then on costs half a second, in which a receiver starts over.
#[test]
fn a_change_of_route_costs_half_a_second() {
    let run = usual(60, |ms| Some(if ms < 30_000 { 0 } else { 65 }));
    let s = delayed(&run);
    assert!((1..=26).contains(&s.numbers.discarded_adaptive), "{}", s.numbers.discarded_adaptive);
    assert!(s.mos.lq > Some(4.2), "{:?}", s.mos.lq);
    assert_eq!((s.numbers.base_rise, s.numbers.base_steps), (Nanos::from_millis(65), 1));
    assert_eq!(codes(&run), [DiagnosisCode::RouteChange]);
    // Back again: a fall. Packets of the longer route that are overtaken are late.
    let run = usual(60, |ms| Some(if ms < 30_000 { 65 } else { 0 }));
    let s = delayed(&run);
    assert_eq!((s.numbers.base_fall, s.numbers.base_steps), (Nanos::from_millis(65), 1));
    assert!(s.numbers.discarded_adaptive <= 4, "{}", s.numbers.discarded_adaptive);
    // A spike of two seconds moves no base.
    let run = usual(60, |ms| Some(if (30_000..32_000).contains(&ms) { 65 } else { 0 }));
    assert_eq!((delayed(&run).numbers.base_rise, delayed(&run).numbers.base_steps), (Nanos::ZERO, 0));
}

/// A queue that holds everything up for a while, and then sends it at once: what was held too long is discarded, whatever
/// the length of the stall.
#[test]
fn what_a_stall_holds_too_long_is_discarded() {
    for (stall, held) in [(900, 35..=45), (1_200, 48..=60), (2_000, 88..=100), (5_000, 238..=250)] {
        let run = usual(60, |ms| Some(if (20_000..20_000 + stall).contains(&ms) { 20_000 + stall - ms } else { 0 }));
        let s = delayed(&run);
        assert!(held.contains(&s.numbers.discarded_adaptive), "{stall}: {}", s.numbers.discarded_adaptive);
        assert_eq!(s.numbers.lost(), 0);
        let share = 100.0 * s.numbers.discarded_adaptive as f32 / 3_000.0;
        assert!(s.mos.effective_loss_pct.is_some_and(|pct| (pct - share).abs() < 0.01), "{stall}");
        // As if they had been lost.
        let lost =
            usual(60, |ms| (!(20_000..20_000 + 20 * s.numbers.discarded_adaptive as i64).contains(&ms)).then_some(0));
        let lost = delayed(&lost);
        assert_eq!(lost.numbers.lost(), s.numbers.discarded_adaptive);
        let off = lost.mos.r.unwrap() - s.mos.r.unwrap();
        assert!(off.abs() < 0.5, "{stall}: {off}");
        assert_eq!((s.mos.beyond_model, lost.mos.beyond_model), (share >= 2.0, share >= 2.0));
    }
    // One packet in 50 that is 990 ms or 1,010 ms late counts.
    for late in [990, 1_010] {
        let run = usual(60, |ms| Some(if ms % 1_000 == 500 { late } else { 0 }));
        let discarded = delayed(&run).numbers.discarded_adaptive;
        assert!((55..=60).contains(&discarded), "{late}: {discarded}");
    }
}

/// With a fixed buffer configured, that one is rated.
#[test]
fn a_fixed_buffer_is_rated_where_it_is_configured() {
    let mut setup = Setup::rested();
    setup.policy.jitter_buffer = JitterBuffer::Fixed(Nanos::from_millis(60));
    let late = |setup: &Setup| {
        let run = call_with(60, setup, |ms| Some(if ms % 1_000 < 200 { 70 } else { 0 }));
        let s = delayed(&run).clone();
        (s.mos.jitter_buffer_name(), s.late_buffer_ms, s.mos.effective_loss_pct.map(f32::round), s.numbers.late[2])
    };
    assert_eq!(late(&setup), ("fixed", 60, Some(20.0), 600));
    let (buffer, size, pct, _) = late(&Setup::rested());
    assert_eq!((buffer, size), ("adaptive", 0));
    assert!(pct < Some(2.0), "{pct:?}: the buffer grows");
}

/// The packet time is the most frequent step, whatever comes last or in between.
#[test]
fn the_packet_time_is_the_most_frequent_step() {
    let stream = |steps: &[i64]| {
        let (a, b) = (at("192.0.2.1:20000"), at("198.51.100.1:30000"));
        let mut scene = Scene::new();
        let mut ms = 0;
        for (i, step) in steps.iter().enumerate() {
            let first_timestamp = 8 * ms as u32;
            scene.rtp(Rtp { first_seq: i as u16, first_timestamp, ..Rtp::pcmu(ms, a, b, 7, 1) });
            ms += step;
        }
        let run = run(&scene.frames(), &Setup::rested());
        let [stream] = run.streams()[..] else { panic!("one stream") };
        (stream.ptime.map(|p| p.0 / 1_000_000), stream.numbers.packets)
    };
    // 29 of 4,228 packets with another step, where a vote that counts down would end with them.
    let mut steps = vec![20; 4_199];
    let other = |n: usize| if n.is_multiple_of(2) { 40 } else { 60 };
    steps.splice(2_100..2_100, (0..2_000).map(other));
    steps.extend([30; 29]);
    assert_eq!(stream(&steps), (Some(20), 6_228));
    // Pauses of other lengths between every two packets.
    let mixed: Vec<i64> = (0..1_000).map(|i| if i % 3 == 0 { 20 } else { 100 + i % 200 }).collect();
    assert_eq!(stream(&mixed).0, Some(20));
    // A sender that changes its packet time for good.
    let changed: Vec<i64> = [vec![20; 300], vec![30; 400]].concat();
    assert_eq!(stream(&changed).0, Some(30));
    let changed: Vec<i64> = [vec![20; 400], vec![30; 300]].concat();
    assert_eq!(stream(&changed).0, Some(20));
}

/// The worst minute is rated by its own packets: it is never better than the whole, and says when it was.
#[test]
fn the_worst_minute_is_never_better_than_the_whole() {
    // Four minutes; 30 s with a third lost at random-looking places.
    let bad = |ms: i64| (130_000..160_000).contains(&ms) && (ms / 20 * 7_919) % 3 == 0;
    let run = usual(240, |ms| (!bad(ms)).then_some(0));
    let s = delayed(&run);
    let (whole, minute) = (s.mos.lq.unwrap(), s.mos_worst_minute.unwrap());
    assert!(minute < whole && whole - minute > 0.5, "{minute} beside {whole}");
    let interval = s.mos_worst_interval.unwrap();
    assert!(interval <= minute, "{interval} beside {minute}");
    let began = (s.mos_worst_minute_at.unwrap() - s.first_at).as_secs_f64();
    assert!((95.0..=135.0).contains(&began), "{began}");
    // About half a minute of 33 % in a minute: the MOS of 17 % in one row of 3,000 packets, and not a mean of ratings.
    let same = usual(60, |ms| (!bad(ms + 110_000)).then_some(0));
    let off = delayed(&same).mos.lq.unwrap() - minute;
    assert!(off.abs() < 0.06, "{off}");
    let call = &run.calls()[0];
    assert_eq!(call.mos_worst_minute.map(|rated| rated.lq), s.mos_worst_minute);
    assert_eq!(call.mos_worst_minute_at, s.mos_worst_minute_at);
    // Any world: not above the whole.
    for seed in 300..306 {
        let run = crate::run(&testkit::World::random(seed, 4).build().frames, &Setup::default());
        for s in run.streams() {
            assert!(
                s.mos.lq.is_none() || s.mos_worst_minute <= s.mos.lq,
                "{seed}: {:?} {:?}",
                s.mos_worst_minute,
                s.mos.lq
            );
        }
    }
}

/// The first two packets after a restart of the sender have a difference of delay, too.
#[test]
fn delays_of_packets_around_a_restart_are_all_there() {
    let (a, b) = (at("192.0.2.1:20000"), at("198.51.100.1:30000"));
    let mut scene = Scene::new();
    scene.rtp(Rtp::pcmu(0, a, b, 7, 100));
    scene.rtp(Rtp { first_seq: 40_000, first_timestamp: 1_000_000, ..Rtp::pcmu(2_000, a, b, 7, 100) });
    let run = run(&scene.frames(), &Setup::rested());
    let [s] = run.streams()[..] else { panic!("one stream") };
    assert_eq!((s.numbers.restarts, s.numbers.unique, s.numbers.pdv.total()), (1, 200, 200));
    // 99 pairs before and 99 after; none across.
    assert_eq!(s.numbers.variation.ipdv_samples, 198);
    assert_eq!(s.payload_types.iter().map(|(_, packets)| packets).sum::<u64>(), 200);
}

/// A low MOS of one minute whose loss is under the threshold of the whole call says what was ruled out; a cause that is named
/// stands alone.
#[test]
fn a_low_mos_always_has_a_cause_or_says_what_was_ruled_out() {
    // Every third packet of 18 s lost in half an hour: 0.3 % of the call, 10 % of a minute.
    let bad = |ms: i64| (600_000..618_000).contains(&ms) && (ms / 20 * 7_919) % 3 == 0;
    let run = usual(1_800, |ms| (!bad(ms)).then_some(0));
    let call = &run.calls()[0];
    assert!(call.mos_worst < Some(3.6), "{:?}", call.mos_worst);
    assert_eq!(codes(&run), [DiagnosisCode::LowMos]);
    assert!(call.diagnoses[0].evidence.contains("0.3 % lost"), "{}", call.diagnoses[0].evidence);
    let run = usual(60, |ms| (!bad(ms + 590_000)).then_some(0));
    assert!(run.calls()[0].mos_worst < Some(3.6));
    assert!(!codes(&run).contains(&DiagnosisCode::LowMos) && codes(&run).len() == 1, "{:?}", codes(&run));
    let run = usual(1_800, |ms| (!(bad(ms) && ms < 602_000)).then_some(0));
    assert!(run.calls()[0].mos_worst > Some(3.6) && codes(&run).is_empty(), "near-miss");
}
