//! Bursts and gaps of loss (RFC 3611 section 4.7.2, exact grouping), loss-run statistics and the burst ratio.
//!
//! A burst starts and ends with a bad (lost or discarded) packet and holds no run of Gmin or more received packets;
//! everything else is gap. The state is fed run by run, takes 64 bytes, and two adjacent spans merge into exactly
//! the state of both. Start and end of a span count as surrounded by Gmin received packets.

use crate::units::Nanos;
use serde::{Deserialize, Serialize};

/// Gmin of RFC 3611.
pub const GMIN: u8 = 16;

/// Bad packets closer together than Gmin, from the first to the last of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    slots: u32,
    bad: u32,
}

impl Group {
    /// A single bad packet belongs to the gap around it.
    fn is_burst(self) -> bool {
        self.bad >= 2
    }
}

/// Streaming burst and gap state. Counters hold up to 2^32 - 1 packets and stay there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BurstGap {
    received: u32,
    bad: u32,
    /// Runs of consecutive bad packets.
    runs: u32,
    /// Received packets before the first bad one, known once there is one, and since the last bad one or the start.
    lead: u32,
    since: u32,
    /// The first group once another has followed; it may still join the span before on a merge.
    head: Group,
    /// The latest group; it may still grow.
    tail: Group,
    /// Bursts between the two.
    bursts: u32,
    burst_slots: u32,
    burst_bad: u32,
    gmin: u8,
}

impl Default for BurstGap {
    fn default() -> Self {
        BurstGap::new(GMIN)
    }
}

impl BurstGap {
    /// `gmin` 0 is taken as 1: RFC 3611 asks for 1 to 255.
    pub fn new(gmin: u8) -> BurstGap {
        BurstGap {
            received: 0,
            bad: 0,
            runs: 0,
            lead: 0,
            since: 0,
            head: Group::default(),
            tail: Group::default(),
            bursts: 0,
            burst_slots: 0,
            burst_bad: 0,
            gmin: gmin.max(1),
        }
    }

    /// `n` packets in a row were received and usable.
    #[inline]
    pub fn received(&mut self, n: u32) {
        self.received = self.received.saturating_add(n);
        self.since = self.since.saturating_add(n);
    }

    /// `n` packets in a row were lost, or came too late or too early for the jitter buffer.
    pub fn bad(&mut self, n: u32) {
        if n == 0 {
            return;
        }
        if self.bad == 0 || self.since > 0 {
            self.runs = self.runs.saturating_add(1);
        }
        if self.bad == 0 {
            self.lead = self.since;
            self.tail = Group { slots: n, bad: n };
        } else if self.since >= u32::from(self.gmin) {
            self.close_tail();
            self.tail = Group { slots: n, bad: n };
        } else {
            self.tail.slots = self.tail.slots.saturating_add(self.since).saturating_add(n);
            self.tail.bad = self.tail.bad.saturating_add(n);
        }
        self.bad = self.bad.saturating_add(n);
        self.since = 0;
    }

    /// Adds the span that follows directly. Both must have the same Gmin; the earlier one's is kept.
    pub fn merge(&mut self, later: &BurstGap) {
        if later.bad == 0 {
            self.received(later.received);
            return;
        }
        if self.bad == 0 {
            let before = self.received;
            *self = BurstGap { gmin: self.gmin, ..*later };
            self.lead = before.saturating_add(later.lead);
            self.received = before.saturating_add(later.received);
            return;
        }
        let between = self.since.saturating_add(later.lead);
        self.runs = self.runs.saturating_add(later.runs).saturating_sub(u32::from(between == 0));
        self.received = self.received.saturating_add(later.received);
        self.bad = self.bad.saturating_add(later.bad);
        let later_has_more = later.head.bad > 0;
        let later_first = if later_has_more { later.head } else { later.tail };
        if between < u32::from(self.gmin) {
            self.tail.slots = self.tail.slots.saturating_add(between).saturating_add(later_first.slots);
            self.tail.bad = self.tail.bad.saturating_add(later_first.bad);
        } else {
            self.close_tail();
            self.tail = later_first;
        }
        if later_has_more {
            self.close_tail();
            self.bursts = self.bursts.saturating_add(later.bursts);
            self.burst_slots = self.burst_slots.saturating_add(later.burst_slots);
            self.burst_bad = self.burst_bad.saturating_add(later.burst_bad);
            self.tail = later.tail;
        }
        self.since = later.since;
    }

    /// Packets fed so far.
    pub fn expected(&self) -> u64 {
        u64::from(self.received) + u64::from(self.bad)
    }

    pub fn summary(&self) -> BurstSummary {
        let (mut bursts, mut slots, mut burst_bad) =
            (u64::from(self.bursts), u64::from(self.burst_slots), u64::from(self.burst_bad));
        for group in [self.head, self.tail].into_iter().filter(|g| g.is_burst()) {
            bursts += 1;
            slots += u64::from(group.slots);
            burst_bad += u64::from(group.bad);
        }
        let expected = self.expected();
        let gap_packets = expected.saturating_sub(slots);
        let first = if self.head.bad > 0 { self.head } else { self.tail };
        let starts_in_gap = expected > 0 && (self.lead > 0 || !first.is_burst());
        let ends_in_gap = expected > 0 && (self.since > 0 || !self.tail.is_burst());
        let gap_periods = match bursts {
            0 => u64::from(expected > 0),
            n => n - 1 + u64::from(starts_in_gap) + u64::from(ends_in_gap),
        };
        BurstSummary {
            expected,
            bad: u64::from(self.bad),
            runs: u64::from(self.runs),
            bursts,
            burst_packets: slots,
            burst_bad,
            gap_packets,
            gap_bad: u64::from(self.bad).saturating_sub(burst_bad),
            gap_periods,
            starts_bad: self.bad > 0 && self.lead == 0,
            ends_bad: self.bad > 0 && self.since == 0,
            bad_span: if self.bad > 0 {
                expected.saturating_sub(u64::from(self.lead) + u64::from(self.since))
            } else {
                0
            },
        }
    }

    fn close_tail(&mut self) {
        let group = std::mem::take(&mut self.tail);
        if self.head.bad == 0 {
            self.head = group;
        } else if group.is_burst() {
            self.bursts = self.bursts.saturating_add(1);
            self.burst_slots = self.burst_slots.saturating_add(group.slots);
            self.burst_bad = self.burst_bad.saturating_add(group.bad);
        }
    }
}

/// Burst and gap figures of a span, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BurstSummary {
    pub expected: u64,
    /// Lost and discarded.
    pub bad: u64,
    /// Runs of consecutive bad packets.
    pub runs: u64,
    pub bursts: u64,
    /// Packets inside bursts, received ones included, and the bad ones among them.
    pub burst_packets: u64,
    pub burst_bad: u64,
    pub gap_packets: u64,
    pub gap_bad: u64,
    /// Stretches outside bursts.
    pub gap_periods: u64,
    pub starts_bad: bool,
    pub ends_bad: bool,
    /// Packets from the first bad one to the last, both included.
    pub bad_span: u64,
}

impl BurstSummary {
    /// Bad share of the packets inside bursts, 0..=1; 0 without a burst, as RFC 3611 has it.
    pub fn burst_density(&self) -> f64 {
        share(self.burst_bad, self.burst_packets)
    }

    /// Bad share of the packets outside bursts, 0..=1/(Gmin + 1).
    pub fn gap_density(&self) -> f64 {
        share(self.gap_bad, self.gap_packets)
    }

    /// Mean length of a burst, first to last bad packet; zero without a burst.
    pub fn burst_duration(&self, ptime: Nanos) -> Nanos {
        mean_length(self.burst_packets, self.bursts, ptime)
    }

    /// Mean length of the stretches outside bursts. The definition of the text of RFC 3611 section 4.7.2.
    pub fn gap_duration_mean_of_periods(&self, ptime: Nanos) -> Nanos {
        mean_length(self.gap_packets, self.gap_periods, ptime)
    }

    /// Time outside bursts divided by the number of bursts, the whole span without one. What the example of RFC 3611
    /// section 4.7.2 and the code of its appendix A.2 give; up to twice the other for a single burst.
    pub fn gap_duration_a2_style(&self, ptime: Nanos) -> Nanos {
        mean_length(self.gap_packets, self.bursts.max(1), ptime)
    }

    /// Mean length of the runs of consecutive bad packets, `None` without one.
    pub fn mean_run(&self) -> Option<f64> {
        (self.runs > 0).then(|| self.bad as f64 / self.runs as f64)
    }

    /// Mean loss distance of RFC 3357 section 5.1: difference of the sequence numbers of two bad packets that follow
    /// each other, 1 inside a run. `None` with fewer than two.
    pub fn mean_distance(&self) -> Option<f64> {
        (self.bad > 1).then(|| self.bad_span.saturating_sub(1) as f64 / (self.bad - 1) as f64)
    }

    /// BurstR of these runs, see [`burst_ratio`].
    pub fn burst_ratio(&self) -> f64 {
        burst_ratio(self.bad, self.runs, self.expected)
    }

    /// The two-state Markov (Gilbert) model of these runs.
    pub fn markov(&self) -> Markov {
        let received = self.expected.saturating_sub(self.bad);
        // Transitions out of a state: every packet of it but a last one that nothing follows.
        let from_received = received.saturating_sub(u64::from(received > 0 && !self.ends_bad));
        let from_bad = self.bad.saturating_sub(u64::from(self.ends_bad));
        let into_bad = self.runs.saturating_sub(u64::from(self.starts_bad));
        let out_of_bad = self.runs.saturating_sub(u64::from(self.ends_bad));
        Markov {
            p: (from_received > 0).then(|| share(into_bad, from_received)),
            q: (from_bad > 0).then(|| share(out_of_bad, from_bad)),
        }
    }
}

/// Transition probabilities of the two-state loss model (G.107 section 7.5).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Markov {
    /// P(bad | the one before was received); `None` if nothing follows a received packet.
    pub p: Option<f64>,
    /// P(received | the one before was bad); `None` if nothing follows a bad packet.
    pub q: Option<f64>,
}

impl Markov {
    /// `1/(p + q)`, at least 1; 1 where p or q is unknown or there was no transition.
    pub fn burst_ratio(&self) -> f64 {
        match (self.p, self.q) {
            (Some(p), Some(q)) if p + q > 0.0 => (1.0 / (p + q)).max(1.0),
            _ => 1.0,
        }
    }
}

/// BurstR of G.107: mean length of the observed loss runs over the mean under random loss, `(L/B) (1 - L/N)`.
///
/// `lost` L packets in `runs` B runs of `expected` N. At least 1; 1 without loss, without runs and when everything is lost.
pub fn burst_ratio(lost: u64, runs: u64, expected: u64) -> f64 {
    if lost == 0 || runs == 0 || lost >= expected {
        return 1.0;
    }
    let (lost, runs, expected) = (lost as f64, runs as f64, expected as f64);
    (lost / runs * (1.0 - lost / expected)).max(1.0)
}

/// Whether G.107 vouches for a burst ratio: up to 2, beyond it only while the loss is below 2 %.
pub fn burst_ratio_is_valid(burst_ratio: f64, loss_pct: f64) -> bool {
    burst_ratio <= 2.0 || loss_pct < 2.0
}

/// `floor(256 count / of)`, at most 255: the fractions of RFC 3611. 0 of nothing.
pub fn rate8(count: u64, of: u64) -> u8 {
    if of == 0 {
        return 0;
    }
    (u128::from(count) * 256 / u128::from(of)).min(255) as u8
}

fn share(count: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { count as f64 / of as f64 }
}

fn mean_length(packets: u64, periods: u64, ptime: Nanos) -> Nanos {
    if periods == 0 {
        return Nanos::ZERO;
    }
    let total = i128::from(packets) * i128::from(ptime.0) / i128::from(periods);
    Nanos(i64::try_from(total).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(pattern: &[bool], gmin: u8) -> BurstGap {
        let mut state = BurstGap::new(gmin);
        for run in pattern.chunk_by(|a, b| a == b) {
            if run[0] { state.received(run.len() as u32) } else { state.bad(run.len() as u32) }
        }
        state
    }

    /// The definition itself, on the whole pattern at once: bursts as (first, last) slot.
    fn bursts_by_definition(pattern: &[bool], gmin: u8) -> Vec<(usize, usize, usize)> {
        let bad: Vec<usize> = (0..pattern.len()).filter(|i| !pattern[*i]).collect();
        bad.chunk_by(|a, b| b - a - 1 < gmin as usize)
            .filter(|group| group.len() >= 2)
            .map(|group| (group[0], group[group.len() - 1], group.len()))
            .collect()
    }

    fn pattern() -> impl Strategy<Value = Vec<bool>> {
        prop::collection::vec((any::<bool>(), 1usize..24), 0..24)
            .prop_map(|runs| runs.into_iter().flat_map(|(good, n)| std::iter::repeat_n(good, n)).collect())
    }

    #[test]
    fn figure_of_rfc3611() {
        let text = "11110111111111111111111X111X1011110111111111111111111X1111111111";
        let state = feed(&text.bytes().map(|b| b == b'1').collect::<Vec<_>>(), GMIN);
        let s = state.summary();
        let ptime = Nanos::from_millis(10);
        assert_eq!((s.bursts, s.burst_packets, s.burst_bad, s.gap_packets, s.gap_bad), (1, 12, 4, 52, 2));
        // RFC 3611 prints 84 and 10 because it multiplies the rounded 0.33 and 0.04.
        assert_eq!((rate8(s.burst_bad, s.burst_packets), rate8(s.gap_bad, s.gap_packets)), (85, 9));
        assert_eq!(s.burst_duration(ptime), Nanos::from_millis(120));
        assert_eq!(s.gap_duration_mean_of_periods(ptime), Nanos::from_millis(260));
        assert_eq!(s.gap_duration_a2_style(ptime), Nanos::from_millis(520));
    }

    #[test]
    fn nothing_seen_is_nothing_said() {
        let s = BurstGap::default().summary();
        assert_eq!(s, BurstSummary::default());
        assert_eq!(s.burst_ratio(), 1.0);
        assert_eq!(s.markov(), Markov::default());
        assert_eq!(s.gap_duration_mean_of_periods(Nanos::from_millis(20)), Nanos::ZERO);
    }

    #[test]
    fn state_stays_small() {
        assert!(size_of::<BurstGap>() <= 64, "{}", size_of::<BurstGap>());
    }

    #[test]
    fn counters_stop_at_their_end() {
        let mut s = BurstGap::default();
        s.bad(u32::MAX);
        s.bad(u32::MAX);
        s.received(u32::MAX);
        s.received(2);
        s.merge(&s.clone());
        assert_eq!(s.expected(), 2 * u64::from(u32::MAX));
    }

    #[test]
    fn validity_of_the_burst_ratio() {
        assert!(burst_ratio_is_valid(2.0, 10.0) && burst_ratio_is_valid(6.0, 1.9));
        assert!(!burst_ratio_is_valid(2.1, 2.0));
    }

    proptest! {
        #[test]
        fn grouping_is_the_definition(p in pattern(), gmin in 1u8..20) {
            let s = feed(&p, gmin).summary();
            let bursts = bursts_by_definition(&p, gmin);
            prop_assert_eq!(s.bursts as usize, bursts.len());
            prop_assert_eq!(s.burst_packets as usize, bursts.iter().map(|b| b.1 - b.0 + 1).sum::<usize>());
            prop_assert_eq!(s.burst_bad as usize, bursts.iter().map(|b| b.2).sum::<usize>());
            let in_burst = |i: usize| bursts.iter().any(|b| (b.0..=b.1).contains(&i));
            let gaps = (0..p.len()).filter(|i| !in_burst(*i) && (*i == 0 || in_burst(i - 1))).count();
            prop_assert_eq!(s.gap_periods as usize, gaps);
            let bad: Vec<usize> = (0..p.len()).filter(|i| !p[*i]).collect();
            let distances: Vec<usize> = bad.windows(2).map(|w| w[1] - w[0]).collect();
            let mean = (!distances.is_empty()).then(|| distances.iter().sum::<usize>() as f64 / distances.len() as f64);
            prop_assert_eq!(s.mean_distance(), mean);
        }

        #[test]
        fn merging_equals_feeding_together(p in pattern(), cuts in prop::collection::vec(0usize..400, 0..4), gmin in 1u8..20) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(p.len())).chain([0, p.len()]).collect();
            cuts.sort_unstable();
            let mut merged = BurstGap::new(gmin);
            for w in cuts.windows(2) {
                merged.merge(&feed(&p[w[0]..w[1]], gmin));
            }
            prop_assert_eq!(merged, feed(&p, gmin));
        }

        #[test]
        fn markov_counts_transitions(p in pattern()) {
            let count = |a: bool, b: bool| p.windows(2).filter(|w| w[0] == a && w[1] == b).count() as f64;
            let m = feed(&p, GMIN).summary().markov();
            let expect = |x: f64, y: f64| (x + y > 0.0).then(|| x / (x + y));
            prop_assert_eq!(m.p, expect(count(true, false), count(true, true)));
            prop_assert_eq!(m.q, expect(count(false, true), count(false, false)));
        }
    }
}
