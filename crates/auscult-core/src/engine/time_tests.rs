//! What jumps of time cost, counted in steps of the loop over deadlines, and times that are not measured.

use super::*;
use crate::model::{CallState, ReleasedBy};
use proptest::prelude::*;

/// 2026-11-26.
const NOW: Timestamp = Timestamp::from_secs(1_795_651_200);

struct Rig {
    engine: Engine,
    events: Vec<Event>,
    frames: u64,
}

impl Rig {
    fn new(policy: Policy) -> Rig {
        Rig { engine: Engine::new(Limits::default(), policy, 1, 1), events: Vec::new(), frames: 0 }
    }

    fn interval(secs: i64) -> Rig {
        Rig::new(Policy { interval: Nanos::from_secs(secs), ..Policy::default() })
    }

    fn frame(&mut self, at: Timestamp, frame: &[u8]) {
        self.frames += 1;
        self.engine.frame(at, LinkType::ETHERNET, frame, frame.len(), &mut self.events);
    }

    /// A packet of G.711 of a stream.
    fn rtp(&mut self, at: Timestamp, stream: u16, seq: u16) {
        let mut packet = vec![0x80, 0];
        packet.extend(seq.to_be_bytes());
        packet.extend((u32::from(seq) * 160).to_be_bytes());
        packet.extend(u32::from(stream).to_be_bytes());
        packet.extend([0xd5; 160]);
        self.frame(at, &udp(20_000 + 2 * stream, 30_000 + 2 * stream, &packet));
    }

    fn streams(&mut self, at: Timestamp, count: u16, packets: u16) {
        for seq in 0..packets {
            for stream in 0..count {
                self.rtp(at + Nanos::from_millis(20 * i64::from(seq)), stream, seq);
            }
        }
    }

    fn sip(&mut self, at: Timestamp, first: &str, cseq: &str, call: usize, tagged: bool) {
        let tag = if tagged { ";tag=b" } else { "" };
        let text = format!(
            "{first}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{call}{}\r\nFrom: <sip:a@h>;tag=a\r\n\
             To: <sip:b@h>{tag}\r\nCall-ID: call{call}\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n",
            cseq.replace(' ', "")
        );
        self.frame(at, &udp(5060, 5060, text.as_bytes()));
    }

    fn invite(&mut self, at: Timestamp, call: usize) {
        self.sip(at, "INVITE sip:b@h SIP/2.0", "1 INVITE", call, false);
    }

    fn answered(&mut self, at: Timestamp, call: usize) {
        self.invite(at, call);
        self.sip(at, "SIP/2.0 200 OK", "1 INVITE", call, true);
        self.sip(at, "ACK sip:b@h SIP/2.0", "1 ACK", call, true);
    }

    fn bye(&mut self, at: Timestamp, call: usize) {
        self.sip(at, "BYE sip:b@h SIP/2.0", "2 BYE", call, true);
    }

    /// Steps that this takes.
    fn steps(&mut self, what: impl FnOnce(&mut Rig)) -> u64 {
        let before = self.engine.core.steps;
        what(self);
        self.engine.core.steps - before
    }

    fn finish(&mut self) {
        self.engine.finish(&mut self.events);
        assert_eq!(self.engine.outcomes().total(), self.frames);
    }
}

fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend((28 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 198, 51, 100, 1, 192, 0, 2, 1]);
    frame.extend(from.to_be_bytes());
    frame.extend(to.to_be_bytes());
    frame.extend((8 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// Streams, candidates, calls in every state, an open TCP hole's kin and frames missed, all at once, then 79 years.
#[test]
fn one_jump_of_years_costs_a_bounded_number_of_steps() {
    for secs in [1, 10, 60] {
        let mut rig = Rig::interval(secs);
        rig.streams(NOW, 30, 100);
        rig.rtp(NOW + Nanos::from_secs(2), 400, 1);
        for call in 0..20 {
            rig.invite(NOW + Nanos::from_secs(2), call);
            rig.answered(NOW + Nanos::from_secs(2), 100 + call);
            rig.answered(NOW + Nanos::from_secs(2), 200 + call);
            rig.bye(NOW + Nanos::from_secs(2), 200 + call);
            rig.sip(NOW + Nanos::from_secs(2), "OPTIONS sip:b@h SIP/2.0", "1 OPTIONS", 300 + call, false);
        }
        let missed = Missed { ring: 7, ..Missed::default() };
        rig.engine.missed(0, NOW, NOW + Nanos::from_secs(12), missed);
        let jump = Timestamp::LATEST - Nanos::from_secs(86_400);
        let steps = rig.steps(|rig| rig.rtp(jump, 0, 100));
        // A minute of intervals until the streams have timed out, and a few deadlines of each of 80 calls.
        let bound = 60 / secs.cast_unsigned() + 2 + 5 * 80;
        assert!(steps <= bound, "{steps} steps with intervals of {secs} s, {bound} are the bound");
        assert_eq!((rig.engine.active_streams(), rig.engine.core.signal.len()), (0, 0), "everything has timed out");
        let ended = |state| {
            let of = |e: &&Event| matches!(e, Event::CallEnded(c) if c.state == state);
            rig.events.iter().filter(of).count()
        };
        assert_eq!([CallState::SetupTimeout, CallState::Unfinished, CallState::Completed].map(ended), [20, 20, 20]);
        assert!(rig.engine.interval_end() - jump <= Nanos::from_secs(secs));
        rig.finish();
    }
}

/// The longest timeouts that a configuration may set, and the shortest interval.
#[test]
fn the_bound_follows_the_timeouts() {
    let policy = Policy {
        interval: Nanos::from_secs(1),
        stream_timeout: Nanos::from_secs(3600),
        call_timeout: Nanos::from_secs(86_400),
        ..Policy::default()
    };
    let mut rig = Rig::new(policy);
    rig.streams(NOW, 3, 10);
    rig.answered(NOW, 1);
    let steps = rig.steps(|rig| rig.rtp(Timestamp::LATEST, 0, 10));
    assert!((3600..3700).contains(&steps), "{steps} steps");
    rig.finish();
}

/// Frames missed at a time that the frames have not reached: a clock that began in 1970 and was set to today's time.
#[test]
fn losses_that_wait_for_their_interval_do_not_hold_time_up() {
    let mut rig = Rig::interval(10);
    let early = Timestamp::from_secs(1_000);
    rig.streams(early, 3, 10);
    let missed = Missed { ring: 3600, ..Missed::default() };
    rig.engine.missed(0, early, NOW, missed);
    let steps = rig.steps(|rig| rig.rtp(NOW, 9, 0));
    // A minute until the streams have timed out; the last hour of the span, in which the loss is dealt out.
    assert!(steps <= 8 + 362, "{steps} steps");
    rig.finish();
    let dealt: u64 = rig.events.iter().map(|e| if let Event::Capture(c) = e { c.dropped_ring } else { 0 }).sum();
    assert_eq!(dealt, 3600, "nothing of it is lost");
}

#[test]
fn ten_thousand_frames_to_and_fro_cost_no_more_than_as_many_in_order() {
    let mut rig = Rig::interval(10);
    let years = [Timestamp::from_secs(365 * 86_400), Timestamp::LATEST];
    let steps = rig.steps(|rig| {
        for n in 0..10_000u16 {
            let at = years[usize::from(n % 2)] + Nanos(i64::from(n % 2) - 1);
            rig.rtp(at, 7, n);
            if n % 100 == 0 {
                rig.invite(at, usize::from(n));
            }
        }
    });
    // The first jump closes intervals; no frame after it goes beyond the present one. Each call has a few deadlines.
    assert!(steps < 20 + 5 * 100, "{steps} steps");
    rig.finish();
}

/// A step forward for each frame, longer than everything lasts: each costs what one jump costs, whatever came before.
#[test]
fn each_jump_of_many_costs_as_much_as_the_first() {
    let mut rig = Rig::interval(10);
    let mut most = 0;
    for n in 0..1_000i64 {
        let at = NOW + Nanos::from_secs(100_000 * n);
        most = most.max(rig.steps(|rig| {
            rig.streams(at, 2, 5);
            rig.answered(at, n as usize);
        }));
    }
    assert!(most <= 8 + 2 * 5, "{most} steps");
    rig.finish();
}

#[test]
fn a_time_that_is_not_measured_is_an_outcome_and_nothing_else() {
    let outside =
        [Timestamp::MIN, Timestamp(-1), Timestamp::LATEST + Nanos(1), Timestamp(i64::MAX - 1), Timestamp::MAX];
    let refused = Outcome::Ignored(Ignored::TimeOutOfRange);
    let mut only = Rig::interval(10);
    for at in outside {
        only.rtp(at, 0, 0);
    }
    only.engine.tick(Timestamp::MAX, &mut only.events);
    only.finish();
    assert_eq!((only.engine.outcomes().get(refused), only.events.len(), only.engine.core.steps), (5, 0, 0));

    let mut rigs = [Rig::interval(10), Rig::interval(10)];
    for (rig, mixed) in rigs.iter_mut().zip([false, true]) {
        for seq in 0..100u16 {
            rig.rtp(NOW + Nanos::from_millis(20 * i64::from(seq)), 0, seq);
            if mixed {
                let steps = rig.steps(|rig| {
                    rig.rtp(outside[usize::from(seq) % outside.len()], 0, seq);
                    rig.engine.tick(outside[usize::from(seq) % outside.len()], &mut rig.events);
                });
                assert_eq!(steps, 0);
            }
        }
        rig.finish();
    }
    let [plain, mixed] = &rigs;
    let without_captures = |rig: &Rig| {
        let kept = rig.events.iter().filter(|e| !matches!(e, Event::Capture(_)));
        kept.map(|e| format!("{e:?}")).collect::<Vec<_>>()
    };
    assert_eq!(without_captures(plain), without_captures(mixed));
    let rows = mixed.events.iter().filter_map(|e| if let Event::Capture(c) = e { Some(c) } else { None });
    let (frames, counted) = rows.fold((0, 0), |(f, o), c| (f + c.frames, o + c.outcomes.get(refused)));
    assert_eq!((frames, counted), (200, 100));
}

#[test]
fn calls_are_marked_with_what_cut_them_and_those_that_were_over_are_not() {
    for (cut, by) in [(Cut::ProbeStopped, ReleasedBy::ProbeStopped), (Cut::CaptureEnded, ReleasedBy::CaptureEnded)] {
        let mut rig = Rig::interval(10);
        rig.answered(NOW, 1);
        rig.invite(NOW, 2);
        rig.sip(NOW, "SIP/2.0 180 Ringing", "1 INVITE", 2, true);
        rig.invite(NOW, 3);
        rig.answered(NOW, 4);
        rig.bye(NOW + Nanos::from_secs(1), 4);
        rig.invite(NOW, 5);
        rig.sip(NOW + Nanos::from_secs(1), "SIP/2.0 503 Service Unavailable", "1 INVITE", 5, true);
        rig.engine.finish_by(cut, &mut rig.events);
        let mut found: Vec<_> = (rig.events.iter())
            .filter_map(|e| if let Event::CallEnded(c) = e { Some(c) } else { None })
            .map(|c| (&*c.call_id, c.state, c.released_by, c.diagnoses.len()))
            .collect();
        found.sort_unstable();
        let cut = |id| (id, CallState::Unfinished, Some(by), 0);
        let expected = [
            cut("call1"),
            cut("call2"),
            cut("call3"),
            ("call4", CallState::Completed, Some(ReleasedBy::Caller), 0),
            ("call5", CallState::Failed, None, 1),
        ];
        assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No sum or product of times overflows (this build checks), and the steps stay bounded, whatever the times are.
    #[test]
    fn any_times_in_any_order(
        frames in prop::collection::vec((any::<bool>(), 0i64..=4_291_747_200, 0u16..3, 0u8..8), 1..120),
    ) {
        let mut rig = Rig::interval(10);
        let mut seq = [0u16; 3];
        for (extreme, secs, stream, what) in frames {
            let at = match (extreme, secs % 2) {
                (true, 0) => Timestamp::EARLIEST,
                (true, _) => Timestamp::LATEST,
                (false, _) => Timestamp::from_secs(secs),
            };
            let steps = rig.steps(|rig| match what {
                0 => rig.answered(at, usize::from(stream)),
                1 => rig.bye(at, usize::from(stream)),
                2 => rig.engine.missed(0, at - Nanos::from_secs(secs % 100), at, Missed { ring: 3, ..Missed::default() }),
                3 => rig.engine.tick(at, &mut rig.events),
                _ => for _ in 0..6 {
                    let seq = &mut seq[usize::from(stream)];
                    *seq = seq.wrapping_add(1);
                    rig.rtp(at + Nanos(i64::from(*seq) % 2 - 1).max(Nanos::ZERO - (at - Timestamp::EARLIEST)), stream, *seq);
                },
            });
            prop_assert!(steps < 120 * 370, "{} steps", steps);
        }
        rig.finish();
    }
}
