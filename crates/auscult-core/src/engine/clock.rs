//! The probe's clock set in the middle of a capture.
//!
//! Set forward, no frame has a time in between, and every stream goes on with its next number as if that time had not been: its
//! packets come later than their timestamps say, all streams' by as much, and stay so. After a stall of a network or a
//! capture packets are missing, or what waited comes at once and the delay is soon what it was; a longer route delays one
//! direction. So the delays of streams that were active before a silence of everything are kept back for a moment
//! and judged together. Set back, the times of frames go back, and all delays shrink by as much: judged in the same way.

use crate::media::ClockStepSample;
use crate::units::{Nanos, Timestamp};

/// A silence of all frames that is looked at, whatever passes. NTP sets a clock that is off by more than 128 ms.
pub const SILENCE: Nanos = Nanos::from_millis(100);
/// The least that is looked at where so much passes that it is unusual.
pub const LEAST_SILENCE: Nanos = Nanos::from_millis(30);
/// Delays are judged after this long: a queue that was held up has begun to empty, and 10 ms packets still fit.
const JUDGED_AFTER: Nanos = Nanos::from_millis(500);
/// Streams it takes, ...
pub const STREAMS: usize = 3;
/// ... sent by this many hosts: one that pauses and goes on where it was looks the same.
const HOSTS: usize = 2;
/// Fewest packets of a stream since the silence that count as evidence.
const PACKETS: usize = 5;
/// Delays that changed by less are no step, ...
const LEAST: Nanos = Nanos::from_millis(80);
/// ... or by less than this where so many streams of so many hosts agree.
const LEAST_OF_MANY: Nanos = Nanos::from_millis(40);
const MANY_STREAMS: usize = 8;
const MANY_HOSTS: usize = 5;
/// ... or of fewer hosts, where the silence is as long as the step.
const EXACT: Nanos = Nanos::from_millis(3);
/// Streams agree when their delays changed alike to within this.
const TOLERANCE: Nanos = Nanos::from_millis(20);

/// After frames went back in time and the clock was not set, they are not looked at again for so long: interfaces whose
/// clocks differ bring such frames all the time.
const DISORDER: Nanos = Nanos::from_secs(60);
/// Nearer than this is disorder: the least step, less the time to the next frame.
const LEAST_BACK: Nanos = Nanos(TOLERANCE.0 - LEAST_OF_MANY.0);
/// After a silence shorter than [`SILENCE`] that was no step, such ones are not looked at again for so long: traffic of few hosts may
/// come in clumps.
const SHORT_SILENCES: Nanos = Nanos::from_secs(10);
/// Farther back than this each stream sees by itself.
const FARTHEST_BACK: Nanos = Nanos::from_secs(1);

/// The state of the check: one silence or one time that went back is judged at a time.
#[derive(Debug)]
pub struct ClockCheck {
    suspicion: Option<Suspicion>,
    /// Frames that go back in time are not looked at before.
    disorder_until: Timestamp,
    /// Silences shorter than [`SILENCE`] are not looked at before.
    short_silences_from: Timestamp,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockVerdict {
    /// Time of the first frame after the silence, or of that which went back.
    to: Timestamp,
    after: Nanos,
    step: Option<Nanos>,
    /// How long the capture was interrupted.
    pub blackout: Option<Nanos>,
}

impl ClockVerdict {
    /// When the clock was set, as the clock then read, and by how much: negative when back.
    pub fn step(&self) -> Option<(Timestamp, Nanos)> {
        self.step.map(|by| (self.to, by))
    }

    /// Frames go on from here where the clock was set back.
    pub fn latest_frame(&self) -> Option<Timestamp> {
        (self.step.is_some() && self.after.0 < 0).then_some(self.to + JUDGED_AFTER)
    }
}

impl Default for ClockCheck {
    fn default() -> ClockCheck {
        ClockCheck { suspicion: None, disorder_until: Timestamp::MIN, short_silences_from: Timestamp::MIN }
    }
}

impl ClockCheck {
    /// Whether a frame at `at`, so long after the latest one (negative: before it), begins a check. A silence shorter than `least` does
    /// not.
    pub fn begins(&self, at: Timestamp, after: Nanos, least: Nanos) -> bool {
        if after.0 < 0 {
            return self.suspicion.is_none() && at >= self.disorder_until && may_be_back(after);
        }
        after >= least && (after >= SILENCE || at >= self.short_silences_from)
    }

    /// Begins one; the one before has to be resolved.
    pub fn begin(&mut self, at: Timestamp, after: Nanos) {
        self.suspicion = Some(Suspicion { to: at, after });
    }

    pub fn deadline(&self) -> Timestamp {
        self.suspicion.map_or(Timestamp::MAX, |s| s.to + JUDGED_AFTER)
    }

    /// Ends the check, if there is one. `samples` returns what the streams show from the first time on, in two halves that the second
    /// time divides.
    pub fn resolve(
        &mut self,
        samples: impl FnOnce(Timestamp, Timestamp) -> Vec<ClockStepSample>,
    ) -> Option<ClockVerdict> {
        let suspicion = self.suspicion.take()?;
        let Suspicion { to, after } = suspicion;
        let samples = samples(to, to + Nanos(JUDGED_AFTER.0 / 2));
        let step = step(&suspicion, &samples);
        if step.is_none() && after > Nanos::ZERO && after < SILENCE {
            self.short_silences_from = to + SHORT_SILENCES;
        }
        if step.is_none() && after.0 < 0 {
            self.disorder_until = to + DISORDER;
        }
        let blackout = if step.is_none() { blackout(&suspicion, &samples) } else { None };
        Some(ClockVerdict { to, after, step, blackout })
    }

    /// Time of the first frame after what is checked now.
    #[cfg(test)]
    pub fn checked_since(&self) -> Option<Timestamp> {
        self.suspicion.map(|suspicion| suspicion.to)
    }
}

/// A silence, or a time that went back, under suspicion.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    /// Time of the first frame after it.
    to: Timestamp,
    /// From the latest frame before: negative when the time went back.
    after: Nanos,
}

impl Suspicion {
    /// Whether a step of the clock would have shown itself like this.
    fn fits(&self, step: Nanos) -> bool {
        if self.after.0 > 0 {
            // A short silence is not much longer than the step.
            let short = self.after < SILENCE && (self.after - step).abs() > TOLERANCE;
            return step.0 > 0 && !short;
        }
        // Some time passed between the two frames.
        let passed = self.after - step;
        passed >= Nanos(-TOLERANCE.0) && passed <= SILENCE
    }
}

/// Whether a frame comes after no frame for so long (`gap`), or before the latest one.
#[inline(always)]
pub fn is_odd(after: Nanos, gap: Nanos) -> bool {
    // One comparison for both.
    after.0.cast_unsigned() >= gap.0.cast_unsigned()
}

/// Whether most of the streams that went on miss packets since: how long the capture was interrupted.
fn blackout(suspicion: &Suspicion, samples: &[ClockStepSample]) -> Option<Nanos> {
    let mut missing: Vec<u128> = samples.iter().filter(|w| !w.next).map(|w| w.sender).collect();
    let most = missing.len() >= STREAMS && 10 * missing.len() >= 9 * samples.len();
    missing.sort_unstable();
    missing.dedup();
    (suspicion.after >= SILENCE && most && missing.len() >= HOSTS).then_some(suspicion.after)
}

/// Whether a time that went back may be a step of the clock, and not only some disorder.
fn may_be_back(after: Nanos) -> bool {
    after.0 <= LEAST_BACK.0 && after.0 > -FARTHEST_BACK.0
}

/// Where the delays of half of the streams sink or grow by more from half to half, a queue empties or fills.
const STEADY: Nanos = Nanos::from_millis(5);

/// By how much the clock was set, if it was: negative when back.
fn step(suspicion: &Suspicion, samples: &[ClockStepSample]) -> Option<Nanos> {
    let mut heard: Vec<ClockStepSample> = samples.iter().filter(|w| w.packets >= PACKETS).copied().collect();
    heard.sort_unstable_by_key(|w| w.second - w.first);
    let sinking = heard.get(heard.len() / 2).map(|w| w.second - w.first)?;
    heard.sort_unstable_by_key(|w| w.second);
    let shift = heard.get(heard.len() / 2)?.second;
    let mut agree: Vec<u128> =
        (heard.iter()).filter(|w| w.next && (w.second - shift).abs() <= TOLERANCE).map(|w| w.sender).collect();
    // One in ten may have lost a packet at that very moment.
    let most = agree.len() >= STREAMS && 10 * agree.len() >= 9 * heard.len();
    let agree_streams = agree.len();
    agree.sort_unstable();
    agree.dedup();
    // A longer route in both directions at one moment looks the same between two hosts, but for the moment.
    let exact = (suspicion.after - shift).abs() <= EXACT && suspicion.after.0 > 0;
    let many = agree_streams >= MANY_STREAMS && (agree.len() >= MANY_HOSTS || exact);
    let moved = shift.abs() >= if many { LEAST_OF_MANY } else { LEAST } && suspicion.fits(shift);
    (moved && sinking.abs() <= STEADY && most && agree.len() >= HOSTS).then_some(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(shifts: &[i64]) -> Vec<ClockStepSample> {
        let witness = |(i, ms): (usize, &i64)| ClockStepSample {
            sender: i as u128,
            first: Nanos::from_millis(*ms + 1),
            second: Nanos::from_millis(*ms),
            packets: 25,
            next: true,
        };
        shifts.iter().enumerate().map(witness).collect()
    }

    fn forward(samples: &[ClockStepSample]) -> Option<Nanos> {
        step(&Suspicion { to: Timestamp(0), after: SILENCE }, samples)
    }

    #[test]
    fn delays_shrink_by_as_much_as_the_time_went_back() {
        let back = |after_ms, shifts: &[i64]| {
            step(&Suspicion { to: Timestamp(0), after: Nanos::from_millis(after_ms) }, &samples(shifts))
        };
        let by = Some(Nanos::from_millis(-300));
        assert_eq!((back(-297, &[-300, -301, -299]), back(-210, &[-300, -301, -299])), (by, by));
        assert_eq!(back(-500, &[-300, -301, -299]), None, "disorder, and a shorter route");
        assert_eq!(back(-100, &[-300, -301, -299]), None);
        assert_eq!(back(-300, &[300, 301, 299]), None);
        assert_eq!(back(-300, &[0, 1, 0]), None, "frames of another interface");
        assert_eq!(forward(&samples(&[-300, -301, -299])), None);
    }

    #[test]
    fn what_is_looked_at() {
        let odd = |ms| is_odd(Nanos::from_millis(ms), SILENCE);
        assert_eq!([-5_000, -1, 100, 9_000].map(odd), [true; 4]);
        assert_eq!([0, 20, 99].map(odd), [false; 3]);
        let back = |ms| may_be_back(Nanos::from_millis(ms));
        assert_eq!([-999, -20, -19, -1_000, 100].map(back), [true, true, false, false, false]);
    }

    #[test]
    fn streams_that_agree_are_a_step() {
        assert_eq!(forward(&samples(&[300, 302, 299])), Some(Nanos::from_millis(300)));
        assert_eq!(forward(&samples(&[300, 302])), None, "too few");
        assert_eq!(forward(&samples(&[300, 302, 340])), None, "one disagrees");
        assert_eq!(forward(&samples(&[60, 61, 60])), None, "jitter may be as much");
        assert_eq!(forward(&samples(&[0, 1, 0, 2])), None, "what waited came at once");
        assert_eq!(forward(&[]), None);
    }

    #[test]
    fn many_streams_show_a_small_step() {
        let after = |ms| Suspicion { to: Timestamp(0), after: Nanos::from_millis(ms) };
        assert_eq!(step(&after(55), &samples(&[50; 8])), Some(Nanos::from_millis(50)));
        assert_eq!(step(&after(55), &samples(&[50; 7])), None, "too few for so small a step");
        assert_eq!(step(&after(35), &samples(&[30; 20])), None, "jitter may be as much");
        assert_eq!(step(&after(99), &samples(&[50; 20])), None, "the silence was longer");
        assert_eq!(step(&after(-45), &samples(&[-50; 8])), Some(Nanos::from_millis(-50)));
        let mut few_hosts = samples(&[50; 20]);
        few_hosts.iter_mut().for_each(|w| w.sender %= 4);
        assert_eq!(step(&after(55), &few_hosts), None);
        assert_eq!(step(&after(51), &few_hosts), Some(Nanos::from_millis(50)), "as long as the silence");
    }

    #[test]
    fn streams_that_miss_packets_after_a_silence_show_an_interrupted_capture() {
        let after = |ms| Suspicion { to: Timestamp(0), after: Nanos::from_millis(ms) };
        let mut ten = samples(&[0; 10]);
        assert_eq!(blackout(&after(6_000), &ten), None, "all went on with the next number");
        ten.iter_mut().for_each(|w| w.next = false);
        assert_eq!(blackout(&after(6_000), &ten), Some(Nanos::from_secs(6)));
        assert_eq!(blackout(&after(60), &ten), None, "a burst of loss");
        ten[0].next = true;
        assert!(blackout(&after(6_000), &ten).is_some());
        ten[1].next = true;
        assert_eq!(blackout(&after(6_000), &ten), None);
        ten.truncate(2);
        assert_eq!(blackout(&after(6_000), &ten), None, "too few");
    }

    #[test]
    fn a_queue_that_empties_is_no_step() {
        let mut draining = samples(&[300; 6]);
        draining.iter_mut().for_each(|w| w.first = w.second + Nanos::from_millis(12));
        assert_eq!(forward(&draining), None);
        draining.iter_mut().take(2).for_each(|w| w.first = w.second);
        assert_eq!(forward(&draining), None, "half of them are");
        draining.iter_mut().take(4).for_each(|w| w.first = w.second);
        assert!(forward(&draining).is_some(), "jitter of two");
    }

    #[test]
    fn one_in_ten_may_have_lost_a_packet() {
        let mut ten = samples(&[200; 10]);
        ten[3].next = false;
        assert_eq!(forward(&ten), Some(Nanos::from_millis(200)));
        ten[7].next = false;
        assert_eq!(forward(&ten), None);
    }

    #[test]
    fn streams_of_one_host_are_one_witness_and_silent_ones_none() {
        let mut all = samples(&[200, 200, 200, 200]);
        all.iter_mut().for_each(|w| w.sender = 1);
        assert_eq!(forward(&all), None);
        all[0].sender = 2;
        assert!(forward(&all).is_some());
        (all[2].packets, all[3].packets) = (4, 0);
        assert_eq!(forward(&all), None);
    }
}
