//! Attribution of one stream's lost packets to capture or network, by counts.
//!
//! A gap is known when the packet after it comes; its numbers count as lost up to seconds later, when they can no longer
//! come. Between the two the gap is judged: by the probe's own drop counters, by the receiver's report on that time, or by
//! what else is missing at that moment ([`super::capture_loss`]). Losses are then taken from the oldest gaps.

use super::capture_loss::Judged;
use super::gaps::SETTLE;
use super::missed::Losses;
use super::remote::Decided;
use crate::media::Gap;
use crate::model::{LossAttribution, LossEvidence};
use crate::units::{Nanos, Timestamp};
use std::collections::VecDeque;

/// Gaps remembered of one stream; of more, the oldest are joined.
const REMEMBERED: usize = 64;
/// Standard deviations that make a count likely beyond doubt.
const SIGMAS: f64 = 2.0;
/// Packets are this far apart until it is known.
const USUAL_PTIME: Nanos = Nanos::from_millis(20);

/// What is known of the missing numbers of a gap, each as a share.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Waiting,
    Judged {
        capture: f32,
        variance: f32,
        doubtful: f32,
    },
    /// By the receiver's reports: the rest was lost in the network.
    Reported {
        capture: f32,
    },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Timestamp,
    noticed: Timestamp,
    missing: u32,
    verdict: Verdict,
}

impl Entry {
    /// What is known of so many of its packets.
    fn expected(&self, packets: u32, losses: &Losses) -> ExpectedLoss {
        let packets = f64::from(packets);
        if losses.explain(self.at, self.noticed) {
            return ExpectedLoss { dropped: packets, ..ExpectedLoss::default() };
        }
        match self.verdict {
            // It was not compared with others: there were too many gaps.
            Verdict::Waiting => {
                ExpectedLoss { without_evidence: packets, doubtful: packets, ..ExpectedLoss::default() }
            }
            Verdict::Judged { capture, variance, doubtful } => ExpectedLoss {
                many_streams: packets * f64::from(capture),
                many_streams_variance: packets * f64::from(variance),
                without_evidence: packets * (1.0 - f64::from(capture)),
                doubtful: packets * f64::from(doubtful),
                ..ExpectedLoss::default()
            },
            Verdict::Reported { capture } => ExpectedLoss {
                reported_received: packets * f64::from(capture),
                reported_lost: packets * (1.0 - f64::from(capture)),
                ..ExpectedLoss::default()
            },
        }
    }
}

/// Expected numbers of lost packets, by evidence.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExpectedLoss {
    dropped: f64,
    reported_received: f64,
    reported_lost: f64,
    many_streams: f64,
    many_streams_variance: f64,
    both_directions: f64,
    sampled: f64,
    without_evidence: f64,
    /// Of those without evidence: those that the capture may have lost all the same.
    doubtful: f64,
}

impl ExpectedLoss {
    pub fn add(&mut self, more: &ExpectedLoss) {
        self.dropped += more.dropped;
        self.reported_received += more.reported_received;
        self.reported_lost += more.reported_lost;
        self.many_streams += more.many_streams;
        self.many_streams_variance += more.many_streams_variance;
        self.both_directions += more.both_directions;
        self.sampled += more.sampled;
        self.without_evidence += more.without_evidence;
        self.doubtful += more.doubtful;
    }

    /// The same share of each.
    fn part(&self, share: f64) -> ExpectedLoss {
        ExpectedLoss {
            dropped: self.dropped * share,
            reported_received: self.reported_received * share,
            reported_lost: self.reported_lost * share,
            many_streams: self.many_streams * share,
            many_streams_variance: self.many_streams_variance * share,
            both_directions: self.both_directions * share,
            sampled: self.sampled * share,
            without_evidence: self.without_evidence * share,
            doubtful: self.doubtful * share,
        }
    }

    /// All of the packets are missing because the capture sees one packet of so many.
    pub fn sampled(packets: u64) -> ExpectedLoss {
        ExpectedLoss { sampled: packets as f64, ..ExpectedLoss::default() }
    }

    /// Packets without evidence.
    pub fn without_evidence(&self) -> f64 {
        self.without_evidence
    }

    /// Gaps of both directions meet: this share of the packets without other evidence is the capture's.
    pub fn both_directions(&mut self, share: f64) {
        self.both_directions += self.without_evidence * share;
        self.without_evidence *= 1.0 - share;
    }

    /// So many packets of those without evidence may be the capture's.
    pub fn doubt(&mut self, packets: f64) {
        self.doubtful += packets.min(self.without_evidence);
    }

    /// Whole packets; they add up to `lost`.
    pub fn counts(&self, lost: u64) -> LossAttribution {
        let mut left = lost;
        let mut take = |expected: f64| {
            let taken = (expected.max(0.0).round() as u64).min(left);
            left -= taken;
            taken
        };
        let spread = SIGMAS * self.many_streams_variance.max(0.0).sqrt();
        let by_evidence = [
            take(self.dropped),
            take(self.reported_received),
            take(self.reported_lost),
            take(self.many_streams - spread),
            take(self.both_directions),
            take(self.sampled),
        ];
        // Within the spread either may be true.
        let undecided = take(self.doubtful + spread.min(self.many_streams) + spread);
        let of = |evidence: LossEvidence| by_evidence[evidence as usize];
        let network = of(LossEvidence::ReceiverLostThem);
        let capture = by_evidence.iter().sum::<u64>() - network;
        LossAttribution { capture, network: network + left, undecided, by_evidence }
    }
}

/// Gaps that found no place by themselves, added up.
#[derive(Clone, Copy, Debug, Default)]
struct Joined {
    missing: u32,
    expected: ExpectedLoss,
    /// When the first and the last of them were noticed.
    from: Timestamp,
    until: Timestamp,
}

/// Gaps of one stream whose numbers are not counted as lost yet.
#[derive(Debug, Default)]
pub struct LossLedger {
    /// Older than those in `gaps`.
    joined: Joined,
    gaps: VecDeque<Entry>,
    /// Of the stream so far, in the rows that were stated, and packets lost in them.
    stated: ExpectedLoss,
    stated_lost: u64,
    /// Missing in judged gaps beyond what the capture lost, and in gaps that are not judged.
    unexplained: f64,
}

impl LossLedger {
    pub fn gap(&mut self, gap: &Gap, losses: &Losses) {
        if self.gaps.len() >= REMEMBERED
            && let Some(oldest) = self.gaps.pop_front()
        {
            self.join(&oldest, losses);
        }
        let Gap { at, noticed, missing, .. } = *gap;
        self.gaps.push_back(Entry { at, noticed, missing, verdict: Verdict::Waiting });
    }

    fn join(&mut self, oldest: &Entry, losses: &Losses) {
        let joined = &mut self.joined;
        if joined.missing == 0 {
            *joined = Joined { from: oldest.noticed, ..Joined::default() };
        }
        joined.missing = joined.missing.saturating_add(oldest.missing);
        joined.expected.add(&oldest.expected(oldest.missing, losses));
        joined.until = oldest.noticed;
    }

    /// A gap of so many packets found no place to wait for its judgement.
    pub fn not_judged(&mut self, missing: u32) {
        self.unexplained += f64::from(missing);
    }

    pub fn judged(&mut self, judged: &Judged) {
        let missing = f64::from(judged.gap.missing.max(1));
        self.unexplained += (missing - judged.capture).max(0.0);
        let found = self.gaps.iter_mut().rev().find(|e| e.noticed == judged.gap.noticed);
        if let Some(entry) = found.filter(|e| e.verdict == Verdict::Waiting) {
            let share = |packets: f64| (packets / missing) as f32;
            entry.verdict = Verdict::Judged {
                capture: share(judged.capture),
                variance: share(judged.variance),
                doubtful: share(judged.doubtful),
            };
        }
    }

    /// Of the packets lost so far: those that the receiver reported as received, and as lost.
    pub fn reports(&self) -> (f64, f64) {
        (self.stated.reported_received, self.stated.reported_lost)
    }

    /// Whether a gap has not been judged yet.
    pub fn waits(&self) -> bool {
        self.gaps.back().is_some_and(|entry| entry.verdict == Verdict::Waiting)
    }

    /// The receiver reported how many of the packets missing since its report before it misses, too.
    pub fn reported(&mut self, decided: &Decided) {
        let covered = |noticed: Timestamp| noticed > decided.from && noticed <= decided.until;
        for entry in self.gaps.iter_mut().filter(|e| covered(e.noticed)) {
            entry.verdict = Verdict::Reported { capture: decided.capture_share as f32 };
        }
        let Joined { missing, expected, from, until } = &mut self.joined;
        if *missing > 0 && covered(*from) && covered(*until) {
            let packets = (f64::from(*missing) - expected.dropped).max(0.0);
            *expected = ExpectedLoss {
                dropped: expected.dropped,
                reported_received: packets * decided.capture_share,
                reported_lost: packets * (1.0 - decided.capture_share),
                ..ExpectedLoss::default()
            };
        }
    }

    /// Share of the stream's packets that went missing and was not explained by the capture.
    pub fn network_share(&self, first_at: Timestamp, now: Timestamp, ptime: Option<Nanos>) -> f64 {
        let ptime = ptime.filter(|p| p.0 > 0).unwrap_or(USUAL_PTIME);
        let packets = ((now - first_at).0 / ptime.0).max(1) as f64;
        (self.unexplained / packets).clamp(0.0, 1.0)
    }

    /// Of the next so many packets lost: those that the capture lost, as far as known.
    pub fn captured(&self, lost: u32) -> u32 {
        let of_joined = self.joined.missing.min(lost);
        let mut left = lost - of_joined;
        let Joined { missing, expected, .. } = &self.joined;
        let share = f64::from(of_joined) / f64::from(*missing).max(1.0);
        let mut captured = share * (expected.dropped + expected.reported_received + expected.many_streams);
        for entry in &self.gaps {
            let count = entry.missing.min(left);
            left -= count;
            captured += match entry.verdict {
                Verdict::Waiting => 0.0,
                Verdict::Judged { capture, .. } | Verdict::Reported { capture } => {
                    f64::from(count) * f64::from(capture)
                }
            };
        }
        captured.round() as u32
    }

    /// Takes the packets that counted as lost in an interval out of the oldest gaps. Gaps that were filled late leave what is
    /// too old to be settled any more.
    pub fn take(&mut self, lost: u64, start: Timestamp, losses: &Losses) -> ExpectedLoss {
        let mut sum = ExpectedLoss::default();
        let mut left = lost.min(u64::from(u32::MAX)) as u32;
        let of_joined = self.joined.missing.min(left);
        if of_joined > 0 {
            let taken = self.joined.expected.part(f64::from(of_joined) / f64::from(self.joined.missing));
            let kept = self.joined.expected.part(1.0 - f64::from(of_joined) / f64::from(self.joined.missing));
            sum.add(&taken);
            self.joined.expected = kept;
            self.joined.missing -= of_joined;
            left -= of_joined;
        }
        while left > 0
            && let Some(entry) = self.gaps.front_mut()
        {
            let count = entry.missing.min(left);
            sum.add(&entry.expected(count, losses));
            left -= count;
            entry.missing -= count;
            if entry.missing == 0 {
                self.gaps.pop_front();
            }
        }
        sum.without_evidence += f64::from(left);
        if start - self.joined.until > SETTLE {
            self.joined = Joined::default();
        }
        while self.gaps.front().is_some_and(|e| start - e.noticed > SETTLE) {
            self.gaps.pop_front();
        }
        sum
    }

    /// Adds a row that was stated, with so many packets lost, to those of the stream.
    pub fn state(&mut self, row: &ExpectedLoss, lost: u64) {
        self.stated.add(row);
        self.stated_lost += lost;
    }

    /// Of the whole stream, `lost` packets in all: those of no row yet are undecided.
    pub fn whole(&self, lost: u64) -> LossAttribution {
        let mut sum = self.stated;
        let more = lost.saturating_sub(self.stated_lost) as f64;
        (sum.without_evidence, sum.doubtful) = (sum.without_evidence + more, sum.doubtful + more);
        sum.counts(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LossSource, StreamId};

    fn at(ms: i64) -> Timestamp {
        Timestamp(ms * 1_000_000)
    }

    fn gap(ms: i64, missing: u32) -> Gap {
        Gap { stream: StreamId(1), at: at(ms - 20), noticed: at(ms), missing }
    }

    fn ledger(gaps: &[(i64, u32)]) -> LossLedger {
        let mut ledger = LossLedger::default();
        gaps.iter().for_each(|(ms, missing)| ledger.gap(&gap(*ms, *missing), &Losses::default()));
        ledger
    }

    #[test]
    fn losses_are_those_of_the_oldest_gaps() {
        let mut ledger = ledger(&[(100, 4), (200, 6), (300, 10)]);
        ledger.judged(&Judged { gap: gap(100, 4), capture: 4.0, variance: 0.0, doubtful: 0.0 });
        ledger.judged(&Judged { gap: gap(200, 6), capture: 0.0, variance: 0.0, doubtful: 0.0 });
        ledger.judged(&Judged { gap: gap(300, 10), capture: 0.0, variance: 0.0, doubtful: 0.0 });
        let counts = |sum: ExpectedLoss, lost| sum.counts(lost);
        let first = counts(ledger.take(5, at(0), &Losses::default()), 5);
        assert_eq!((first.capture, first.network, first.undecided), (4, 1, 0));
        let second = counts(ledger.take(15, at(0), &Losses::default()), 15);
        assert_eq!((second.capture, second.network, second.undecided), (0, 15, 0));
        assert_eq!(counts(ledger.take(3, at(0), &Losses::default()), 3).network, 3, "gaps that were not noted");
    }

    #[test]
    fn counts_add_up_and_doubt_is_neithers() {
        for (capture, variance, doubt) in [(50.0, 25.0, 0.0), (0.4, 0.24, 0.0), (90.0, 0.0, 30.0), (100.0, 0.0, 0.0)] {
            let mut sum = ExpectedLoss {
                many_streams: capture,
                many_streams_variance: variance,
                without_evidence: 100.0 - capture,
                ..Default::default()
            };
            sum.doubt(doubt);
            let counts = sum.counts(100);
            assert_eq!(counts.lost(), 100, "{counts:?}");
            assert!(counts.capture as f64 <= capture.round());
        }
        let even = ExpectedLoss {
            many_streams: 50.0,
            many_streams_variance: 25.0,
            without_evidence: 50.0,
            ..Default::default()
        };
        let counts = even.counts(100);
        assert_eq!((counts.capture, counts.network, counts.undecided), (40, 40, 20));
    }

    #[test]
    fn a_report_outweighs_what_other_streams_show_and_drops_outweigh_both() {
        let mut ledger = ledger(&[(1_000, 10), (2_000, 10), (9_000, 10)]);
        for ms in [1_000, 2_000, 9_000] {
            ledger.judged(&Judged { gap: gap(ms, 10), capture: 10.0, variance: 0.0, doubtful: 0.0 });
        }
        ledger.reported(&Decided { from: at(0), until: at(5_000), capture_share: 0.2 });
        let mut losses = Losses::default();
        losses.note(0, at(1_990), at(2_010), super::super::missed::Missed { ring: 1, ..Default::default() });
        let counts = ledger.take(30, at(0), &losses).counts(30);
        assert_eq!(counts.by_evidence, [10, 2, 8, 10, 0, 0]);
        assert_eq!((counts.capture, counts.network, counts.undecided), (22, 8, 0));
        assert_eq!(counts.majority(), (LossSource::Capture, Some(LossEvidence::CaptureDrops)));
    }

    #[test]
    fn gaps_that_were_filled_are_forgotten_and_many_are_joined() {
        let mut ledger = ledger(&[(1_000, 5)]);
        ledger.take(0, at(4_001), &Losses::default());
        assert!(ledger.gaps.is_empty());
        for n in 0..1_000 {
            ledger.gap(&gap(5_000 + n, 2), &Losses::default());
            let capture = if n < 500 { 2.0 } else { 0.0 };
            ledger.judged(&Judged { gap: gap(5_000 + n, 2), capture, variance: 0.0, doubtful: 0.0 });
        }
        assert_eq!((ledger.gaps.len(), ledger.joined.missing), (REMEMBERED, 2 * (1_000 - REMEMBERED as u32)));
        let counts = ledger.take(2_000, at(5_000), &Losses::default()).counts(2_000);
        assert_eq!((counts.capture, counts.network), (1_000, 1_000), "none of it is lost in the sum");
    }

    #[test]
    fn what_was_not_compared_and_what_no_row_has_is_undecided() {
        let mut ledger = ledger(&[(1_000, 5)]);
        let row = ledger.take(5, at(0), &Losses::default());
        assert_eq!(row.counts(5).undecided, 5);
        ledger.state(&ExpectedLoss { without_evidence: 4.0, ..ExpectedLoss::default() }, 4);
        let whole = ledger.whole(7);
        assert_eq!((whole.network, whole.undecided), (4, 3));
    }
}
