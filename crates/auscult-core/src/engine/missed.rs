//! What the probe itself missed, and when: the intervals it marks, and the gaps it explains.
//!
//! Drop counters are read now and then, so what is known of a drop is the span between two readings. A span that crosses
//! a boundary marks the intervals on both sides, and its count is dealt out by length; the sum over all rows is exact.

use crate::units::{Nanos, Timestamp};
use std::collections::VecDeque;

/// Frames missed, by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// A capture ring was full.
    pub ring: u64,
    /// The interface dropped them before the kernel saw them.
    pub interface: u64,
    /// A queue inside the program was full.
    pub queue: u64,
}

impl Missed {
    pub fn total(&self) -> u64 {
        self.ring.saturating_add(self.interface).saturating_add(self.queue)
    }

    pub fn add(&mut self, more: Missed) {
        self.ring += more.ring;
        self.interface += more.interface;
        self.queue += more.queue;
    }

    /// Takes `part` of `whole` out of this, rounded down.
    fn take_share(&mut self, part: Nanos, whole: Nanos) -> Missed {
        let share = |count: &mut u64| {
            let taken = (u128::from(*count) * part.0.max(0).cast_unsigned() as u128
                / whole.0.max(1).cast_unsigned() as u128)
                .min(u128::from(*count)) as u64;
            *count -= taken;
            taken
        };
        Missed { ring: share(&mut self.ring), interface: share(&mut self.interface), queue: share(&mut self.queue) }
    }
}

/// Spans remembered for gaps and rows that come later; beyond, the oldest explain nothing any more.
const REMEMBERED: usize = 1024;
/// A gap is noticed this much after it began, at most: an outage lasts no longer than a call without media.
const OLDEST_GAP: Nanos = Nanos::from_secs(2 * 3600);
/// Spans that reach beyond the present interval; what is more is added to the last one of its source.
const PENDING: usize = 1024;

/// The longest span that is believed. Counters are read many times a second; a longer time between two readings is a
/// program that was stopped, or a clock that was set by years: then the loss is dealt out over the last hour, and the
/// intervals that a span has part in stay bounded.
pub const LONGEST_SPAN: Nanos = Nanos::from_secs(3600);

/// Something was missed between two times, both included.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Timestamp,
    until: Timestamp,
}

/// Counts that no interval has yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    source: usize,
    span: Span,
    missed: Missed,
}

#[derive(Debug, Default)]
pub struct Losses {
    spans: VecDeque<Span>,
    pending: Vec<Pending>,
}

impl Losses {
    pub fn note(&mut self, source: usize, from: Timestamp, until: Timestamp, missed: Missed) {
        if missed.total() == 0 {
            return;
        }
        let span = Span { from: from.min(until).max(until - LONGEST_SPAN), until };
        match self.spans.iter_mut().find(|s| s.from <= span.until && s.until >= span.from) {
            Some(known) => *known = Span { from: known.from.min(span.from), until: known.until.max(span.until) },
            None => self.spans.push_back(span),
        }
        if self.spans.len() > REMEMBERED {
            self.spans.pop_front();
        }
        let room = self.pending.len() < PENDING;
        match self.pending.iter_mut().rfind(|p| !room && p.source == source) {
            Some(last) => last.missed.add(missed),
            None => self.pending.push(Pending { source, span, missed }),
        }
    }

    /// Whether what is missing between two packets may be what was missed.
    pub fn explain(&self, last_before: Timestamp, first_after: Timestamp) -> bool {
        self.spans.iter().any(|s| s.from <= first_after && s.until >= last_before)
    }

    /// Hands out what falls before a boundary, by source. What was missed before `start` came too late for its own
    /// interval and counts in this one.
    pub fn take_before(&mut self, start: Timestamp, boundary: Timestamp, mut to: impl FnMut(usize, Missed)) {
        self.pending.retain_mut(|p| {
            if p.span.until < boundary {
                to(p.source, p.missed);
                return false;
            }
            let from = p.span.from.max(start);
            if from < boundary {
                to(p.source, p.missed.take_share(boundary - from, p.span.until - from));
                p.span.from = boundary;
            }
            true
        });
        while self.spans.front().is_some_and(|s| s.until < start - OLDEST_GAP) {
            self.spans.pop_front();
        }
    }

    /// When the first of the counts that no interval has yet began; [`Timestamp::MAX`] when there are none.
    pub fn next_pending(&self) -> Timestamp {
        self.pending.iter().map(|p| p.span.from).min().unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(ms * 1_000_000)
    }

    fn ring(n: u64) -> Missed {
        Missed { ring: n, ..Missed::default() }
    }

    fn taken(losses: &mut Losses, start: i64, boundary: i64) -> u64 {
        let mut sum = Missed::default();
        losses.take_before(at(start), at(boundary), |_, missed| sum.add(missed));
        sum.total()
    }

    #[test]
    fn a_span_is_dealt_out_by_length_and_nothing_of_it_is_lost() {
        let mut losses = Losses::default();
        losses.note(0, at(9_500), at(22_000), ring(1001));
        assert_eq!(taken(&mut losses, 0, 10_000), 40, "500 of 12,500 ms");
        assert_eq!(taken(&mut losses, 10_000, 20_000), 800);
        assert_eq!(losses.next_pending(), at(20_000));
        assert_eq!(taken(&mut losses, 20_000, 30_000), 161);
        assert_eq!(losses.next_pending(), Timestamp::MAX);
    }

    #[test]
    fn intervals_are_marked_even_where_their_share_rounds_to_nothing() {
        let mut losses = Losses::default();
        losses.note(0, at(9_999), at(10_001), ring(1));
        assert_eq!(taken(&mut losses, 0, 10_000), 0);
        assert_eq!(taken(&mut losses, 10_000, 20_000), 1);
    }

    #[test]
    fn a_boundary_belongs_to_the_interval_it_begins() {
        let mut losses = Losses::default();
        losses.note(0, at(10_000), at(10_000), ring(7));
        assert_eq!(taken(&mut losses, 0, 10_000), 0);
        assert_eq!(taken(&mut losses, 10_000, 20_000), 7);
    }

    #[test]
    fn what_comes_too_late_is_counted_all_the_same() {
        let mut losses = Losses::default();
        losses.note(3, at(1_000), at(2_000), ring(5));
        losses.note(3, at(2_000), at(30_000), ring(100));
        assert_eq!(taken(&mut losses, 10_000, 20_000), 55);
        assert_eq!(taken(&mut losses, 20_000, 40_000), 50);
    }

    #[test]
    fn a_gap_around_or_beside_a_span_is_explained() {
        let mut losses = Losses::default();
        losses.note(0, at(5_000), at(6_000), ring(5));
        for (before, after, explained) in [
            (4_000, 4_900, false),
            (4_990, 5_010, true),
            (4_000, 7_000, true),
            (5_990, 6_010, true),
            (6_001, 9_000, false),
        ] {
            assert_eq!(losses.explain(at(before), at(after)), explained, "{before} to {after}");
        }
    }

    #[test]
    fn a_span_of_years_is_dealt_out_over_its_last_hour() {
        let mut losses = Losses::default();
        let years = 50 * 365 * 86_400_000;
        losses.note(0, at(0), at(years), ring(3600));
        assert_eq!(losses.next_pending(), at(years) - LONGEST_SPAN);
        assert_eq!(taken(&mut losses, years - 3_600_000, years - 3_590_000), 10);
    }

    #[test]
    fn memory_is_bounded_and_counts_are_not_lost() {
        let mut losses = Losses::default();
        for i in 0..10_000 {
            losses.note(0, at(100 * i), at(100 * i + 1), ring(1));
        }
        assert!(losses.spans.len() <= REMEMBERED && losses.pending.len() <= PENDING);
        assert_eq!(taken(&mut losses, 0, 10_000_000), 10_000);
    }
}
