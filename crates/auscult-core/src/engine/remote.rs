//! What the receiver of a stream says by RTCP, beside what the probe saw of it over the same time.
//!
//! A packet that was lost before the probe never reaches the receiver. So where the receiver misses fewer than the
//! probe, the capture missed the rest; where it misses more, they were lost behind the probe.

use crate::model::{LossAttribution, LossSide, RemoteView, ReportBlock};
use crate::units::{ClockRate, Nanos, Timestamp};

/// A gap may pass the probe this long before a report that does not know of it yet.
const ON_THE_WAY: Nanos = Nanos::from_millis(200);
/// Fewer packets are within what reports and probe count differently.
const ENOUGH: i64 = 3;
/// Late packets lower the cumulative number lost by a few.
const FELL: i64 = 20;

#[derive(Clone, Copy, Debug, Default)]
struct ReceivedReport {
    at: Timestamp,
    /// Cumulative number lost and extended highest number, as reported.
    lost: i64,
    highest: u32,
    /// Missing at the probe by then, without and with what was on the way to the receiver.
    ours: [i64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Remote {
    first: Option<ReceivedReport>,
    /// The last report that showed on which side packets were lost.
    mark: ReceivedReport,
    last: Option<ReceivedReport>,
    reports: u32,
    jitter_ticks: u32,
    jitter_ticks_max: u32,
    /// Numbers missing at the probe so far, those that came late included, and the latest gap.
    missing: i64,
    latest: (Timestamp, i64),
    /// Packets that the receiver may have counted twice since the mark.
    copies: i64,
    /// The last report that [`Remote::few`] counted.
    few_mark: Option<ReceivedReport>,
}

/// Few packets that a stream misses at the probe and at its receiver, over the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FewMissing {
    pub ours: u32,
    pub theirs: u32,
    pub expected: u32,
}

/// What the receiver says of the packets that the probe misses of some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decided {
    /// Of gaps noticed after this, ...
    pub from: Timestamp,
    /// ... and up to this.
    pub until: Timestamp,
    /// Share of the missing packets that it got, so that the capture lost them.
    pub capture_share: f64,
}

impl Remote {
    pub fn gap(&mut self, noticed: Timestamp, missing: u32) {
        self.missing += i64::from(missing);
        self.latest = (noticed, i64::from(missing));
    }

    pub fn report(&mut self, at: Timestamp, block: &ReportBlock) {
        let on_the_way = if at - self.latest.0 < ON_THE_WAY { self.latest.1 } else { 0 };
        let heard = ReceivedReport {
            at,
            lost: i64::from(block.cumulative_lost),
            highest: block.highest_seq,
            ours: [self.missing - on_the_way, self.missing],
        };
        self.first.get_or_insert(heard);
        self.last = Some(heard);
        self.reports += 1;
        self.jitter_ticks = block.jitter_ticks;
        self.jitter_ticks_max = self.jitter_ticks_max.max(block.jitter_ticks);
    }

    /// What the receiver says of the packets that the probe misses since its last decision; `None` where it is
    /// undecided yet: few packets add up over its reports. `lost` is what the stream has lost in all so far (gaps that filled late are
    /// no loss), `copies` how many packets the receiver may have counted twice since the last call.
    pub fn decide(&mut self, lost: u64, copies: u64) -> Option<Decided> {
        self.copies += copies as i64;
        let last = self.last.filter(|l| l.at > self.mark.at)?;
        let ours = self.real(last.ours[0] - self.mark.ours[1], lost);
        let theirs = (last.lost - self.mark.lost).max(0) + self.copies;
        if ours < ENOUGH && theirs < ENOUGH {
            return None;
        }
        let from = std::mem::replace(&mut self.mark, last);
        self.copies = 0;
        if ours < ENOUGH {
            return None;
        }
        // Reports and probe may differ by a packet at either end.
        let capture = match (ours - theirs).clamp(0, ours) {
            1 if theirs > 0 => 0,
            capture => capture,
        };
        let reaches = |at: Timestamp| if at == Timestamp::default() { Timestamp::MIN } else { at - ON_THE_WAY };
        Some(Decided { from: reaches(from.at), until: reaches(last.at), capture_share: capture as f64 / ours as f64 })
    }

    /// Whether the receiver counts the copies of the stream so far: its cumulative number of packets lost fell by half of them
    /// (RFC 3550 section 6.4.1). A mirror's copies do not reach it.
    pub fn counts_copies(&self, copies: u64) -> bool {
        let (Some(first), Some(last)) = (self.first, self.last) else { return false };
        let fell = first.lost.max(0) - last.lost;
        fell >= FELL && 2 * fell >= copies as i64
    }

    /// What probe and receiver miss since the last time it was asked; `None` without a report since, and where it is so much that
    /// the reports of the stream alone decide ([`Remote::decide`]). `lost` as there.
    pub fn few(&mut self, lost: u64) -> Option<FewMissing> {
        let last = self.last?;
        let mark = self.few_mark.replace(last).or(self.first)?;
        let expected = last.highest.wrapping_sub(mark.highest).cast_signed();
        let (ours, theirs) = (self.real(last.ours[0] - mark.ours[1], lost), last.lost - mark.lost);
        let few = 0..ENOUGH;
        (last.at > mark.at && expected > 0 && few.contains(&ours) && few.contains(&theirs)).then_some(FewMissing {
            ours: ours as u32,
            theirs: theirs as u32,
            expected: expected.cast_unsigned(),
        })
    }

    /// Both views of the time between the first and the last report; `None` with fewer than two.
    /// What the capture lost, by `loss`, was not lost before the probe.
    pub fn view(&self, clock: Option<u32>, copies: u64, loss: &LossAttribution) -> Option<RemoteView> {
        let (first, last) = (self.first?, self.last.filter(|_| self.reports > 1)?);
        let expected = i64::from(last.highest.wrapping_sub(first.highest).cast_signed());
        if expected <= 0 {
            return None;
        }
        let theirs = last.lost - first.lost + copies as i64;
        let missing = self.real(last.ours[0] - first.ours[0], loss.lost());
        let captured = (missing as f64 * loss.capture as f64 / loss.lost().max(1) as f64).round() as i64;
        let before = missing - captured;
        let behind = theirs - before;
        let clock = clock.and_then(ClockRate::new);
        let time = |ticks: u32| clock.map(|c| c.ticks_to_nanos(i64::from(ticks)));
        Some(RemoteView {
            reports: self.reports,
            expected: expected.cast_unsigned(),
            lost: last.lost - first.lost,
            loss_pct: (100.0 * (last.lost - first.lost) as f64 / expected as f64) as f32,
            jitter_last: time(self.jitter_ticks),
            jitter_max: time(self.jitter_ticks_max),
            lost_before_probe: missing.cast_unsigned(),
            lost_behind_probe: theirs - missing,
            side: match (before >= ENOUGH, behind >= ENOUGH) {
                _ if 2 * captured > missing && captured >= ENOUGH && captured > behind => LossSide::Capture,
                (true, true) if behind >= before / 4 && before >= behind / 4 => LossSide::Both,
                (_, true) if behind > before => LossSide::BehindProbe,
                (true, _) => LossSide::BeforeProbe,
                _ => LossSide::None,
            },
        })
    }

    /// Gaps that were filled late are taken off in proportion.
    fn real(&self, missing: i64, lost: u64) -> i64 {
        let lost = i64::try_from(lost).unwrap_or(i64::MAX);
        if self.missing <= lost || self.missing == 0 {
            return missing.max(0);
        }
        (missing.max(0) as f64 * lost as f64 / self.missing as f64).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ssrc;

    fn at(s: f64) -> Timestamp {
        Timestamp((s * 1e9) as i64)
    }

    fn block(cumulative_lost: i32, highest_seq: u32) -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(1),
            fraction_lost: 0,
            cumulative_lost,
            highest_seq,
            jitter_ticks: 80,
            last_sr: 0,
            delay_since_last_sr: 0,
        }
    }

    /// Ten packets missing at the probe at 7 s, reports at 5 and 10 s.
    fn heard(theirs: i32, missing_at: f64) -> Remote {
        let mut remote = Remote::default();
        remote.report(at(5.0), &block(0, 250));
        remote.gap(at(missing_at), 10);
        remote.report(at(10.0), &block(theirs, 500));
        remote
    }

    #[test]
    fn the_receiver_knows_what_the_network_lost() {
        let share = |mut remote: Remote, lost, copies| remote.decide(lost, copies).map(|d| d.capture_share);
        assert_eq!(share(heard(0, 7.0), 10, 0), Some(1.0));
        assert_eq!(share(heard(10, 7.0), 10, 0), Some(0.0));
        assert_eq!(share(heard(5, 7.0), 10, 0), Some(0.5));
        assert_eq!(share(heard(9, 7.0), 10, 0), Some(0.0), "a packet more or less is chance");
        assert_eq!(share(heard(0, 9.9), 10, 0), None, "the report was on its way");
        assert_eq!(share(heard(0, 7.0), 10, 10), Some(0.0), "copies hide loss in its count");
        assert_eq!(share(heard(0, 7.0), 0, 0), None, "overtaken, not lost");
        assert_eq!(share(Remote::default(), 10, 0), None);
        let mut once = heard(0, 7.0);
        let decided = once.decide(10, 0).unwrap();
        assert_eq!((decided.from, decided.until), (Timestamp::MIN, at(9.8)));
        assert_eq!(once.decide(10, 0), None, "once a report");
    }

    #[test]
    fn a_receiver_counts_copies_of_the_network() {
        let mut remote = Remote::default();
        assert!(!remote.counts_copies(100), "no report");
        remote.report(at(5.0), &block(3, 250));
        assert!(!remote.counts_copies(10));
        remote.report(at(10.0), &block(0, 500));
        assert!(!remote.counts_copies(4), "late packets");
        remote.report(at(15.0), &block(-200, 750));
        assert!(remote.counts_copies(220));
        assert!(!remote.counts_copies(500), "most are the mirror's");
    }

    #[test]
    fn few_packets_add_up_over_reports() {
        let mut remote = Remote::default();
        let mut decided = Vec::new();
        for n in 0..9u32 {
            remote.gap(at(5.0 * f64::from(n) + 2.0), 1);
            remote.report(at(5.0 * f64::from(n + 1)), &block(0, 250 * n));
            decided.extend(remote.decide(u64::from(n) + 1, 0).map(|d| (n, d.capture_share)));
        }
        assert_eq!(decided, [(2, 1.0), (5, 1.0), (8, 1.0)]);
    }

    #[test]
    fn sides() {
        let view = |theirs, ours| {
            let mut remote = Remote::default();
            remote.report(at(5.0), &block(0, 250));
            if ours > 0 {
                remote.gap(at(7.0), ours);
            }
            remote.report(at(10.0), &block(theirs, 500));
            let capture = u64::from(ours).saturating_sub(u64::try_from(theirs).unwrap_or(0));
            let loss = LossAttribution { capture, network: u64::from(ours) - capture, ..LossAttribution::default() };
            remote.view(Some(8000), 0, &loss).unwrap()
        };
        assert_eq!(view(0, 0).side, LossSide::None);
        assert_eq!(view(20, 20).side, LossSide::BeforeProbe);
        assert_eq!(view(20, 0).side, LossSide::BehindProbe);
        assert_eq!(view(30, 15).side, LossSide::Both);
        assert_eq!(view(0, 20).side, LossSide::Capture);
        let v = view(30, 20);
        assert_eq!((v.expected, v.lost, v.lost_before_probe, v.lost_behind_probe), (250, 30, 20, 10));
        assert_eq!((v.loss_pct, v.jitter_max), (12.0, Some(Nanos::from_millis(10))));
    }
}
