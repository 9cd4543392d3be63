//! What the probe missed, by interval, so that a row of any time can state what it may lack.

use crate::units::{Nanos, Timestamp};
use std::collections::VecDeque;

/// Intervals with drops remembered: a week of 10 s, each with drops. What lies before is in no later row.
const HELD: usize = 1 << 16;

#[derive(Debug)]
pub struct Drops {
    length: Nanos,
    /// Start of the present interval.
    present: Timestamp,
    /// Starts of intervals with drops, and the sum of all drops to their end.
    held: VecDeque<(Timestamp, u64)>,
    forgotten: u64,
    total: u64,
}

impl Drops {
    pub fn new(length: Nanos) -> Drops {
        Drops { length, present: Timestamp::MIN, held: VecDeque::new(), forgotten: 0, total: 0 }
    }

    /// An interval begins. What was missed before the first one belongs to it.
    pub fn start_interval(&mut self, start: Timestamp) {
        if self.present == Timestamp::MIN
            && let Some((at, _)) = self.held.back_mut()
        {
            *at = start;
        }
        self.present = start;
    }

    pub fn missed(&mut self, frames: u64) {
        if frames == 0 {
            return;
        }
        self.total += frames;
        match self.held.back_mut() {
            Some((at, sum)) if *at == self.present => *sum = self.total,
            _ => self.held.push_back((self.present, self.total)),
        }
        if self.held.len() > HELD
            && let Some((_, sum)) = self.held.pop_front()
        {
            self.forgotten = sum;
        }
    }

    /// Frames missed in the intervals that hold any moment of this time, each interval once.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> u64 {
        let sum = |intervals: usize| match intervals.checked_sub(1).and_then(|last| self.held.get(last)) {
            Some((_, sum)) => *sum,
            None => self.forgotten,
        };
        let over = self.held.partition_point(|(start, _)| from - *start >= self.length);
        let begun = self.held.partition_point(|(start, _)| *start <= to);
        sum(begun).saturating_sub(sum(over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn each_interval_that_overlaps_counts_once() {
        let mut drops = Drops::new(Nanos::from_secs(10));
        drops.missed(1);
        for (start, frames) in [(100, 2), (110, 0), (120, 4), (130, 8)] {
            drops.start_interval(at(start));
            drops.missed(frames);
        }
        drops.missed(16);
        let between = |from, to| drops.between(at(from), at(to));
        assert_eq!(between(100, 100), 3, "with what was missed before the first frame");
        assert_eq!((between(109, 119), between(110, 119), between(110, 120)), (3, 0, 4));
        assert_eq!((between(125, 131), between(0, 500), between(140, 150), between(0, 99)), (28, 31, 0, 0));
    }

    #[test]
    fn old_intervals_are_forgotten_and_charged_to_nobody() {
        let mut drops = Drops::new(Nanos::from_secs(1));
        for i in 0..HELD as i64 + 10 {
            drops.start_interval(at(i));
            drops.missed(1);
        }
        assert_eq!(drops.held.len(), HELD);
        assert_eq!(drops.between(at(0), at(HELD as i64 + 10)), HELD as u64);
        assert_eq!(drops.between(at(HELD as i64), at(HELD as i64 + 10)), 10);
    }
}
