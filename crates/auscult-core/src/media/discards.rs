//! Bursts of packets that were lost or came too late for one fixed jitter buffer (RFC 3611 section 4.7.2).
//!
//! That a packet came too late may be known only after its sequence number was settled: while a segment finds its base,
//! or the clock is under suspicion. So bad numbers are marked in a window of 128, whatever the order in which they become
//! known, and go into the bursts when nothing before them is undecided. Nothing is paid for a packet that is neither.

use crate::model::burst::BurstGap;

const WINDOW: u64 = 128;

#[derive(Clone, Debug)]
pub struct Discards {
    /// First number that is not in the bursts yet.
    from: u64,
    /// Bit `i` is number `from + i`.
    bad: u128,
}

impl Discards {
    pub fn new(from: u64) -> Discards {
        Discards { from, bad: 0 }
    }

    /// The stream begins earlier than was thought. Nothing may have been settled.
    pub fn begin_at(&mut self, number: u64) {
        let by = self.from.saturating_sub(number).min(WINDOW - 1);
        self.bad <<= by;
        self.from -= by;
    }

    /// Some consecutive numbers are lost, or one came too late. What is settled stays as it is.
    pub fn bad(&mut self, number: u64, count: u64, out: &mut BurstGap) {
        let end = number + count;
        // Numbers that leave the window go into the bursts as they are known now.
        let floor = end.saturating_sub(WINDOW);
        self.advance_to(floor.min(number), out);
        if floor > number.max(self.from) {
            let start = number.max(self.from);
            out.bad((floor - start) as u32);
            self.drop_oldest(floor - self.from);
        }
        let start = number.max(self.from);
        if start < end {
            let ones = u128::MAX >> (WINDOW - (end - start));
            self.bad |= ones << (start - self.from);
        }
    }

    /// Nothing more will be said about numbers below `until`.
    pub fn advance_to(&mut self, until: u64, out: &mut BurstGap) {
        while self.from < until {
            let left = until - self.from;
            if self.bad == 0 {
                out.received(left.min(u64::from(u32::MAX)) as u32);
                self.from = until;
                return;
            }
            let good = u64::from(self.bad.trailing_zeros()).min(left);
            if good > 0 {
                out.received(good as u32);
                self.drop_oldest(good);
                continue;
            }
            let bad = u64::from(self.bad.trailing_ones()).min(left);
            out.bad(bad as u32);
            self.drop_oldest(bad);
        }
    }

    fn drop_oldest(&mut self, numbers: u64) {
        self.bad = if numbers < WINDOW { self.bad >> numbers } else { 0 };
        self.from += numbers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Marks and looks at any times against the whole pattern at once.
    fn check(marks: &[(u64, u64)], looks: &[usize], end: u64) {
        let (mut discards, mut out) = (Discards::new(1000), BurstGap::default());
        let mut merged = BurstGap::default();
        let mut pattern = vec![true; end as usize];
        let mut highest = 0;
        for (i, (number, count)) in marks.iter().enumerate() {
            discards.bad(1000 + number, *count, &mut out);
            highest = highest.max(number + count);
            (*number..number + count).for_each(|n| pattern[n as usize] = false);
            if looks.contains(&i) {
                // Marks that follow are at most 60 behind.
                discards.advance_to(1000 + highest.saturating_sub(60), &mut out);
                merged.merge(&std::mem::take(&mut out));
            }
        }
        discards.advance_to(1000 + end, &mut out);
        merged.merge(&out);
        let mut whole = BurstGap::default();
        for run in pattern.chunk_by(|a, b| a == b) {
            if run[0] { whole.received(run.len() as u32) } else { whole.bad(run.len() as u32) }
        }
        assert_eq!(merged, whole, "{marks:?}");
    }

    #[test]
    fn runs_longer_than_the_window() {
        check(&[(3, 500), (700, 127), (900, 128), (1100, 129), (1229, 1)], &[], 1500);
        check(&[(0, 3000)], &[0], 3000);
    }

    #[test]
    fn what_is_settled_stays() {
        let (mut discards, mut out) = (Discards::new(10), BurstGap::default());
        discards.bad(300, 1, &mut out);
        discards.bad(100, 5, &mut out);
        discards.advance_to(301, &mut out);
        assert_eq!((out.summary().bad, out.expected()), (1, 291));
        discards.bad(298, 5, &mut out);
        discards.advance_to(310, &mut out);
        assert_eq!((out.summary().bad, out.expected()), (3, 300), "301 and 302");
    }

    #[test]
    fn a_stream_may_begin_earlier() {
        let (mut discards, mut out) = (Discards::new(10), BurstGap::default());
        discards.bad(12, 1, &mut out);
        discards.begin_at(7);
        discards.bad(8, 1, &mut out);
        discards.advance_to(14, &mut out);
        let mut whole = BurstGap::default();
        for good in [true, false, true, true, true, false, true] {
            if good { whole.received(1) } else { whole.bad(1) }
        }
        assert_eq!(out, whole);
    }

    proptest! {
        #[test]
        fn neither_order_nor_looks_change_the_bursts(
            steps in prop::collection::vec((1u64..90, 1u64..4, 0u64..56), 1..60),
            looks in prop::collection::vec(0usize..60, 0..20),
        ) {
            let mut at = 60;
            let mut marks = Vec::new();
            for (ahead, count, behind) in steps {
                at += ahead;
                marks.push((at - behind, count));
            }
            check(&marks, &looks, at + 300);
        }
    }
}
