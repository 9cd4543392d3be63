//! Sequence numbers: RFC 3550 appendix A.1 with exact sets instead of differences.
//!
//! A 128-bit window behind the highest number distinguishes duplicates from late packets. A number is settled as
//! received as soon as everything before it is settled, and as lost once it is 100 behind the highest
//! (MAX_MISORDER): until then a missing packet may still come, so reordering is never loss. Runs of loss are
//! counted in sequence order, whatever the order of arrival.

use super::discards::Discards;
use super::interval_counters::IntervalCounters;

/// A jump ahead of this or more is no gap but another sequence (RFC 3550 A.1 MAX_DROPOUT).
pub const MAX_DROPOUT: u16 = 3000;
/// A packet this far behind is no longer late but another sequence (RFC 3550 A.1 MAX_MISORDER).
pub const MAX_MISORDER: u16 = 100;
/// Nothing is settled before the sequence is this long, so that a stream may begin out of order.
const SETTLE_AFTER: u64 = 16;
/// Packets per second of media until it is known: 20 ms each.
const USUAL_PACE: u32 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Next or ahead; `step` is 1 without a gap.
    Ahead { step: u32 },
    /// Behind a higher number, first time seen.
    Late { behind: u16 },
    /// Seen before.
    Duplicate,
    /// Far off; counted only if the next packet confirms it.
    Stray,
    /// Confirms the stray before it: the sender began anew.
    Restart,
}

#[derive(Clone, Debug)]
pub struct Sequence {
    /// Extended numbers: cycles of 65536 plus the 16 bits of the wire, starting in cycle 1.
    highest: u64,
    lowest: u64,
    /// First number that is not settled.
    open: u64,
    /// Bit `i` is number `highest - i`.
    window: u128,
    /// Number that would confirm a restart; above 65535 when there is none.
    expect_restart: u32,
    /// Settled missing numbers since the last settled received one.
    run: u32,
    /// Received in order since, and not counted yet.
    in_order: u32,
    seconds: Seconds,
    discards: Discards,
}

/// Which second of media a missing number falls into, counted in sequence numbers.
#[derive(Clone, Copy, Debug)]
struct Seconds {
    packets: u32,
    from: u64,
    /// The second in which a number was found missing last, and how many are missing in it.
    last: Option<u64>,
    missing: u32,
}

impl Seconds {
    fn new(from: u64, packets: u32) -> Seconds {
        Seconds { packets, from, last: None, missing: 0 }
    }

    fn missing(&mut self, mut number: u64, mut count: u64, out: &mut IntervalCounters) {
        let length = u64::from(self.packets);
        while count > 0 {
            let second = number.saturating_sub(self.from) / length;
            let starts = self.from + second * length == number && self.last != Some(second);
            if let whole @ 2.. = count / length
                && starts
            {
                // An outage of hours must not cost a step for each of its seconds.
                out.concealed_seconds += whole as u32;
                out.severely_concealed_seconds += whole as u32;
                (self.last, self.missing) = (Some(second + whole - 1), self.packets);
                number += whole * length;
                count -= whole * length;
                continue;
            }
            let inside = count.min((self.from + (second + 1) * length).saturating_sub(number)).max(1);
            if self.last != Some(second) {
                (self.last, self.missing) = (Some(second), 0);
                out.concealed_seconds += 1;
            }
            let severe = |missing: u32| 20 * u64::from(missing) > length;
            let before = severe(self.missing);
            self.missing += inside as u32;
            out.severely_concealed_seconds += u32::from(severe(self.missing) && !before);
            number += inside;
            count -= inside;
        }
    }
}

impl Sequence {
    pub fn new(seq: u16) -> Sequence {
        let first = 65_536 + u64::from(seq);
        Sequence {
            highest: first,
            lowest: first,
            open: first,
            window: 1,
            expect_restart: u32::MAX,
            run: 0,
            in_order: 0,
            seconds: Seconds::new(first, USUAL_PACE),
            discards: Discards::new(first),
        }
    }

    /// Says how many packets make a second of media, at least 1.
    pub fn set_pace(&mut self, packets: u32) {
        if packets.max(1) != self.seconds.packets {
            self.seconds = Seconds::new(self.open, packets.max(1));
        }
    }

    /// See [`super::stream::Stream::prefetch`].
    #[inline]
    pub fn prefetch(&self) -> u64 {
        self.highest ^ u64::from(self.in_order)
    }

    pub fn highest(&self) -> u64 {
        self.highest
    }

    pub fn lowest(&self) -> u64 {
        self.lowest
    }

    /// The extended number of a packet that came.
    pub fn extend_behind(&self, seq: u16) -> u64 {
        self.highest.saturating_sub(u64::from((self.highest as u16).wrapping_sub(seq)))
    }

    /// A packet that came was too late for the jitter buffer.
    pub fn late(&mut self, seq: u16, out: &mut IntervalCounters) {
        self.discards.bad(self.extend_behind(seq), 1, &mut out.lost_or_late);
    }

    /// Settles which packets were lost or too late, but for numbers from `undecided` on, whose delays are not known yet.
    pub fn finalize_late(&mut self, undecided: Option<u64>, out: &mut IntervalCounters) {
        let until = undecided.map_or(self.open, |number| number.min(self.open));
        self.discards.advance_to(until, &mut out.lost_or_late);
    }

    /// Takes one packet. `out` gets settled numbers (`unique`, `expected`, loss runs), reordering, restarts and strays;
    /// duplicates are for the caller to judge. What came in order is in `out` after [`Sequence::count`] only.
    #[inline]
    pub fn arrive(&mut self, seq: u16, out: &mut IntervalCounters) -> Arrival {
        let ahead = seq.wrapping_sub(self.highest as u16);
        if ahead == 1 && self.open > self.highest {
            // Nothing missing so far and this is the next one: by far the usual case.
            self.highest += 1;
            self.open += 1;
            self.window = self.window << 1 | 1;
            self.in_order += 1;
            return Arrival::Ahead { step: 1 };
        }
        self.arrive_slow(seq, ahead, out)
    }

    /// As [`Sequence::arrive`] for each of so many packets, less than 128, that come next in sequence.
    #[inline]
    pub fn arrive_next(&mut self, packets: u32, out: &mut IntervalCounters) {
        if self.open > self.highest {
            self.highest += u64::from(packets);
            self.open += u64::from(packets);
            self.window = self.window << packets | ((1 << packets) - 1);
            self.in_order += packets;
            return;
        }
        for _ in 0..packets {
            self.arrive((self.highest as u16).wrapping_add(1), out);
        }
    }

    #[inline(never)]
    fn arrive_slow(&mut self, seq: u16, ahead: u16, out: &mut IntervalCounters) -> Arrival {
        self.count(out);
        if ahead == 0 {
            return Arrival::Duplicate;
        }
        if ahead < MAX_DROPOUT {
            self.advance(u64::from(ahead), out);
            return Arrival::Ahead { step: u32::from(ahead) };
        }
        let behind = 0u16.wrapping_sub(ahead);
        if behind >= MAX_MISORDER {
            if u32::from(seq) == self.expect_restart {
                self.restart(seq, out);
                return Arrival::Restart;
            }
            self.count_stray(out);
            self.expect_restart = u32::from(seq.wrapping_add(1));
            return Arrival::Stray;
        }
        let number = self.highest - u64::from(behind);
        let bit = 1u128 << behind;
        if self.window & bit != 0 {
            return Arrival::Duplicate;
        }
        self.window |= bit;
        if number < self.lowest {
            if self.settling() {
                out.expected += (self.lowest - number) as u32;
                out.unique += 1;
            } else {
                self.open = number;
                self.discards.begin_at(number);
            }
            self.lowest = number;
        } else if number < self.open {
            out.unique += 1;
        } else if self.settling() {
            self.finalize_received(out);
        }
        out.reordered += 1;
        out.reorder_extent = out.reorder_extent.max(u32::from(behind));
        Arrival::Late { behind }
    }

    /// Takes a packet `step` numbers ahead of the highest one, at least 1, however large the step is: something else than
    /// its number shows that the sender went on. The numbers between are missing.
    pub fn arrive_ahead(&mut self, step: u32, out: &mut IntervalCounters) -> Arrival {
        self.count(out);
        self.count_stray(out);
        self.expect_restart = u32::MAX;
        self.advance(u64::from(step), out);
        Arrival::Ahead { step }
    }

    /// Leaves out the next `numbers` without counting them as lost: they went elsewhere.
    pub fn skip(&mut self, numbers: u64, out: &mut IntervalCounters) {
        self.flush(out);
        self.finalize_late(None, out);
        self.highest += numbers;
        self.open = self.highest + 1;
        self.discards = Discards::new(self.open);
        self.window = 1;
    }

    /// Settles everything there is; for the end of a stream.
    pub fn finish(&mut self, out: &mut IntervalCounters) {
        self.count_stray(out);
        self.expect_restart = u32::MAX;
        self.flush(out);
    }

    /// Counts what came in order; before the counts are read.
    pub fn count(&mut self, out: &mut IntervalCounters) {
        if self.in_order > 0 {
            let count = std::mem::take(&mut self.in_order);
            self.received(count, out);
        }
    }

    /// A stray counts as one when nothing can confirm it any more: when the next comes, or at the end.
    fn count_stray(&self, out: &mut IntervalCounters) {
        out.strays += u32::from(self.expect_restart <= u32::from(u16::MAX));
    }

    /// Settles everything up to the highest number.
    fn flush(&mut self, out: &mut IntervalCounters) {
        self.count(out);
        self.finalize_before(self.highest + 1, out);
    }

    fn settling(&self) -> bool {
        self.highest - self.lowest >= SETTLE_AFTER
    }

    fn advance(&mut self, ahead: u64, out: &mut IntervalCounters) {
        let highest = self.highest + ahead;
        self.finalize_before((highest + 1).saturating_sub(u64::from(MAX_MISORDER)), out);
        self.window = if ahead < 128 { self.window << ahead | 1 } else { 1 };
        self.highest = highest;
        if self.settling() {
            self.finalize_received(out);
        }
    }

    fn restart(&mut self, seq: u16, out: &mut IntervalCounters) {
        self.flush(out);
        self.finalize_late(None, out);
        out.restarts += 1;
        let run = std::mem::take(&mut self.run);
        out.loss_runs.record(run);
        let second = (self.highest & !0xffff) + 2 * 65_536 + u64::from(seq);
        *self = Sequence {
            highest: second,
            lowest: second - 1,
            open: second - 1,
            window: 0b11,
            expect_restart: u32::MAX,
            run: 0,
            in_order: 0,
            seconds: Seconds::new(second - 1, self.seconds.packets),
            discards: Discards::new(second - 1),
        };
    }

    /// Settles what has come, up to the first hole.
    fn finalize_received(&mut self, out: &mut IntervalCounters) {
        let mut count = 0;
        while self.open <= self.highest && self.window >> (self.highest - self.open) & 1 == 1 {
            self.open += 1;
            count += 1;
        }
        if count > 0 {
            self.received(count, out);
        }
    }

    /// Settles every number below `limit`, missing ones as lost.
    fn finalize_before(&mut self, limit: u64, out: &mut IntervalCounters) {
        while self.open < limit {
            if self.open > self.highest {
                self.missing((limit - self.open) as u32, out);
                self.open = limit;
            } else if self.window >> (self.highest - self.open) & 1 == 1 {
                self.received(1, out);
                self.open += 1;
            } else {
                self.missing(1, out);
                self.open += 1;
            }
        }
    }

    fn received(&mut self, count: u32, out: &mut IntervalCounters) {
        if self.run > 0 {
            out.loss_runs.record(self.run);
            self.run = 0;
        }
        out.unique += count;
        out.expected += count;
        out.burst.received(count);
    }

    /// The next `count` open numbers never came.
    fn missing(&mut self, count: u32, out: &mut IntervalCounters) {
        self.run += count;
        out.expected += count;
        out.burst.bad(count);
        self.discards.bad(self.open, u64::from(count), &mut out.lost_or_late);
        self.seconds.missing(self.open, u64::from(count), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StreamStats;
    use proptest::prelude::*;

    fn feed(seqs: &[u16]) -> (StreamStats, Vec<Arrival>) {
        let mut out = IntervalCounters::default();
        let mut sequence = Sequence::new(seqs[0]);
        let arrivals = seqs[1..].iter().map(|s| sequence.arrive(*s, &mut out)).collect();
        sequence.finish(&mut out);
        (out.numbers(), arrivals)
    }

    #[test]
    fn wraps_without_loss() {
        let seqs: Vec<u16> = (0..70_000u32).map(|i| (i + 65_000) as u16).collect();
        let (n, _) = feed(&seqs);
        assert_eq!((n.unique, n.expected, n.reordered), (70_000, 70_000, 0));
    }

    #[test]
    fn late_is_not_lost_and_begin_may_be_out_of_order() {
        let (n, a) = feed(&[3, 1, 2, 4, 5, 7, 6, 8]);
        assert_eq!((n.unique, n.expected, n.lost(), n.reordered, n.reorder_extent), (8, 8, 0, 3, 2));
        assert_eq!(a[0], Arrival::Late { behind: 2 });
        let (n, _) = feed(&[65_535, 65_534, 0]);
        assert_eq!((n.unique, n.expected), (3, 3));
    }

    #[test]
    fn runs_are_counted_in_sequence_order() {
        let mut seqs: Vec<u16> = (0..300).filter(|s| ![50, 51, 52, 200].contains(s)).collect();
        seqs.swap(30, 31);
        let (n, _) = feed(&seqs);
        assert_eq!((n.lost(), n.loss_runs.counts[0], n.loss_runs.counts[2], n.loss_runs.longest), (4, 1, 1, 3));
        assert_eq!(n.reordered, 1);
    }

    #[test]
    fn seconds_with_loss() {
        // 10 packets a second; numbers 0..100. One missing in second 2, all of 5 and 6, two (of ten) in 8.
        let missing = |s: &u16| *s == 25 || (50..70).contains(s) || [83, 84].contains(s);
        let seqs: Vec<u16> = (0..100).filter(|s| !missing(s)).collect();
        let mut out = IntervalCounters::default();
        let mut sequence = Sequence::new(seqs[0]);
        sequence.set_pace(10);
        for s in &seqs[1..] {
            sequence.arrive(*s, &mut out);
        }
        sequence.flush(&mut out);
        assert_eq!((out.concealed_seconds, out.severely_concealed_seconds), (4, 4), "5 % of ten is less than one");
        let mut out = IntervalCounters::default();
        let mut sequence = Sequence::new(0);
        sequence.set_pace(50);
        for s in (1..200u16).filter(|s| ![20, 40, 60, 61, 62, 120, 121].contains(s)) {
            sequence.arrive(s, &mut out);
        }
        sequence.flush(&mut out);
        assert_eq!((out.concealed_seconds, out.severely_concealed_seconds), (3, 1), "2, 3 and 2 of 50");
    }

    #[test]
    fn ninety_nine_behind_is_late_and_a_hundred_is_a_stray() {
        let mut seqs: Vec<u16> = (0..200).filter(|s| *s != 100).collect();
        seqs.push(100);
        let (n, a) = feed(&seqs);
        assert_eq!(a.last(), Some(&Arrival::Late { behind: 99 }));
        assert_eq!(n.lost(), 0);
        seqs.insert(199, 200);
        let (n, a) = feed(&seqs);
        assert_eq!(a.last(), Some(&Arrival::Stray));
        assert_eq!((n.lost(), n.strays), (1, 1));
    }

    #[test]
    fn a_jump_needs_confirmation_to_be_a_restart() {
        let (n, a) = feed(&[1, 2, 3, 40_000, 4, 5]);
        assert_eq!((n.unique, n.expected, n.strays, n.restarts), (5, 5, 1, 0));
        assert_eq!(a[2], Arrival::Stray);
        let (n, a) = feed(&[1, 2, 3, 40_000, 40_001, 40_002]);
        assert_eq!((n.unique, n.expected, n.strays, n.restarts), (6, 6, 0, 1));
        assert_eq!(a[3], Arrival::Restart);
    }

    #[test]
    fn a_restart_across_intervals_leaves_no_stray() {
        let (mut first, mut second) = (IntervalCounters::default(), IntervalCounters::default());
        let mut s = Sequence::new(1);
        s.arrive(40_000, &mut first);
        s.arrive(40_001, &mut second);
        s.finish(&mut second);
        let mut first = first.numbers();
        first.merge(&second.numbers());
        assert_eq!((first.unique, first.restarts, first.strays), (3, 1, 0));
    }

    #[test]
    fn skipped_numbers_are_not_expected() {
        let mut out = IntervalCounters::default();
        let mut s = Sequence::new(1);
        s.arrive(2, &mut out);
        s.skip(384, &mut out);
        assert_eq!(s.arrive(387, &mut out), Arrival::Ahead { step: 1 });
        s.flush(&mut out);
        assert_eq!((out.unique, out.expected), (3, 3));
    }

    proptest! {
        /// Against sets: any loss, duplication and reordering within the window.
        #[test]
        fn equals_a_set_of_numbers(start in any::<u16>(), keep in prop::collection::vec(0u8..10, 20..600), swaps in prop::collection::vec((0usize..600, 1usize..40), 0..40)) {
            let mut order: Vec<u32> = Vec::new();
            for (i, k) in keep.iter().enumerate() {
                if *k > 1 || i == 0 || i + 1 == keep.len() { order.push(i as u32); }
                if *k == 9 { order.push(i as u32); }
            }
            for (at, by) in swaps {
                // Keep first and last in place so that the span is known.
                if order.len() > 4 { let a = 1 + at % (order.len() - 2); let b = (a + by).min(order.len() - 2); order.swap(a, b); }
            }
            let mut highest = 0;
            for i in &order {
                highest = highest.max(*i);
                prop_assume!(highest - i < u32::from(MAX_MISORDER));
            }
            let seqs: Vec<u16> = order.iter().map(|i| start.wrapping_add(*i as u16)).collect();
            let (n, _) = feed(&seqs);
            let set: std::collections::BTreeSet<u32> = order.iter().copied().collect();
            prop_assert_eq!(n.strays, 0);
            prop_assert_eq!(n.unique, set.len() as u64);
            prop_assert_eq!(n.expected, keep.len() as u64);
            let mut runs = crate::model::LossRuns::default();
            let mut run = 0;
            for i in 0..keep.len() as u32 { if set.contains(&i) { runs.record(run); run = 0; } else { run += 1; } }
            prop_assert_eq!(&n.loss_runs, &runs);
            let mut bursts = crate::model::burst::BurstGap::default();
            for i in 0..keep.len() as u32 { if set.contains(&i) { bursts.received(1) } else { bursts.bad(1) } }
            prop_assert_eq!(n.burst, bursts);
        }
    }
}
