//! The probe's clock set forward in the middle of a capture.
//!
//! Then no frame has a time in between, and every stream goes on with its next number as if that time had not been: its
//! packets come later than their timestamps say, all streams' by as much, and stay so. After a stall of a network or a
//! capture packets are missing, or what waited comes at once and the delay is soon what it was; a longer route delays one
//! direction. So the delays of streams that were active before a silence of everything are kept back for a moment
//! and judged together.

use crate::media::Witness;
use crate::units::{Nanos, Timestamp};

/// A silence of all frames that is looked at. NTP sets a clock that is off by more than 128 ms.
pub const SILENCE: Nanos = Nanos::from_millis(100);
/// Delays are judged after this long: a queue that was held up has begun to empty, and 10 ms packets still fit.
pub const JUDGED_AFTER: Nanos = Nanos::from_millis(500);
/// Streams it takes, ...
pub const STREAMS: usize = 3;
/// ... sent by this many hosts: one that pauses and goes on where it was looks the same.
const HOSTS: usize = 2;
/// Packets of a stream since the silence without which it says nothing.
const PACKETS: usize = 5;
/// Delays that grew by less are no step.
const LEAST: Nanos = Nanos::from_millis(80);
/// Streams agree when their delays grew alike to within this.
const TOLERANCE: Nanos = Nanos::from_millis(20);

/// A silence under suspicion.
#[derive(Clone, Copy, Debug)]
pub struct Suspicion {
    /// Time of the first frame after it.
    pub to: Timestamp,
}

/// Where the delays of half of the streams sink or grow by more from half to half, a queue empties or fills.
const STEADY: Nanos = Nanos::from_millis(5);

/// By how much the clock was set forward, if it was.
pub fn step(witnesses: &[Witness]) -> Option<Nanos> {
    let mut heard: Vec<Witness> = witnesses.iter().filter(|w| w.packets >= PACKETS).copied().collect();
    heard.sort_unstable_by_key(|w| w.second - w.first);
    let sinking = heard.get(heard.len() / 2).map(|w| w.second - w.first)?;
    heard.sort_unstable_by_key(|w| w.second);
    let shift = heard.get(heard.len() / 2)?.second;
    let mut agree: Vec<u128> =
        (heard.iter()).filter(|w| w.next && (w.second - shift).abs() <= TOLERANCE).map(|w| w.sender).collect();
    // One in ten may have lost a packet at that very moment.
    let most = agree.len() >= STREAMS && 10 * agree.len() >= 9 * heard.len();
    agree.sort_unstable();
    agree.dedup();
    (shift >= LEAST && sinking.abs() <= STEADY && most && agree.len() >= HOSTS).then_some(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witnesses(shifts: &[i64]) -> Vec<Witness> {
        let witness = |(i, ms): (usize, &i64)| Witness {
            sender: i as u128,
            first: Nanos::from_millis(*ms + 1),
            second: Nanos::from_millis(*ms),
            packets: 25,
            next: true,
        };
        shifts.iter().enumerate().map(witness).collect()
    }

    #[test]
    fn streams_that_agree_are_a_step() {
        assert_eq!(step(&witnesses(&[300, 302, 299])), Some(Nanos::from_millis(300)));
        assert_eq!(step(&witnesses(&[300, 302])), None, "too few");
        assert_eq!(step(&witnesses(&[300, 302, 340])), None, "one disagrees");
        assert_eq!(step(&witnesses(&[60, 61, 60])), None, "jitter may be as much");
        assert_eq!(step(&witnesses(&[0, 1, 0, 2])), None, "what waited came at once");
        assert_eq!(step(&[]), None);
    }

    #[test]
    fn a_queue_that_empties_is_no_step() {
        let mut draining = witnesses(&[300; 6]);
        draining.iter_mut().for_each(|w| w.first = w.second + Nanos::from_millis(12));
        assert_eq!(step(&draining), None);
        draining.iter_mut().take(2).for_each(|w| w.first = w.second);
        assert_eq!(step(&draining), None, "half of them are");
        draining.iter_mut().take(4).for_each(|w| w.first = w.second);
        assert!(step(&draining).is_some(), "jitter of two");
    }

    #[test]
    fn one_in_ten_may_have_lost_a_packet() {
        let mut ten = witnesses(&[200; 10]);
        ten[3].next = false;
        assert_eq!(step(&ten), Some(Nanos::from_millis(200)));
        ten[7].next = false;
        assert_eq!(step(&ten), None);
    }

    #[test]
    fn streams_of_one_host_are_one_witness_and_silent_ones_none() {
        let mut all = witnesses(&[200, 200, 200, 200]);
        all.iter_mut().for_each(|w| w.sender = 1);
        assert_eq!(step(&all), None);
        all[0].sender = 2;
        assert!(step(&all).is_some());
        (all[2].packets, all[3].packets) = (4, 0);
        assert_eq!(step(&all), None);
    }
}
