//! What the receiver of a stream says by RTCP, beside what the probe saw of it over the same time.
//!
//! A packet that was lost before the probe never reaches the receiver. So where the receiver misses fewer than the
//! probe, the capture missed the rest; where it misses more, they were lost behind the probe.

use super::gaps::SETTLE;
use crate::model::{LossSide, RemoteView, ReportBlock};
use crate::units::{ClockRate, Nanos, Timestamp};

/// A gap may pass the probe this long before a report that does not know of it yet.
const ON_THE_WAY: Nanos = Nanos::from_millis(200);
/// Fewer packets are within what reports and probe count differently.
const ENOUGH: i64 = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    at: Timestamp,
    /// Cumulative number lost and extended highest number, as reported.
    lost: i64,
    highest: u32,
    /// Missing at the probe by then, without and with what was on the way to the receiver.
    ours: [i64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Remote {
    first: Option<Heard>,
    /// The last report before the present interval.
    mark: Heard,
    last: Option<Heard>,
    reports: u32,
    jitter_ticks: u32,
    jitter_ticks_max: u32,
    /// Numbers missing at the probe so far, those that came late included, and the latest gap.
    missing: i64,
    latest: (Timestamp, i64),
    /// Missing where the probe missed frames and not settled as lost yet, with the time of the last gap of these.
    unsettled: (u64, Timestamp),
}

/// What the receiver says of the loss of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// No report, or none that tells.
    Silent,
    /// It misses them too.
    Lost,
    /// It got most of them.
    Received,
}

impl Remote {
    /// `explained`: the probe itself missed frames meanwhile.
    pub fn gap(&mut self, noticed: Timestamp, missing: u32, explained: bool) {
        self.missing += i64::from(missing);
        self.latest = (noticed, i64::from(missing));
        if explained {
            self.unsettled = (self.unsettled.0 + u64::from(missing), noticed);
        }
    }

    /// Takes what the probe missed out of the loss of an interval, and returns how much that was. A gap counts as lost
    /// only when the numbers in it can no longer come, which may be in the interval after it.
    pub fn settle(&mut self, lost: u64, start: Timestamp) -> u64 {
        let (missing, noticed) = self.unsettled;
        if start - noticed > SETTLE {
            self.unsettled.0 = 0;
            return 0;
        }
        let explained = lost.min(missing);
        self.unsettled.0 -= explained;
        explained
    }

    pub fn report(&mut self, at: Timestamp, block: &ReportBlock) {
        let on_the_way = if at - self.latest.0 < ON_THE_WAY { self.latest.1 } else { 0 };
        let heard = Heard {
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

    /// The receiver's word on what the probe missed since the last call. `lost` is what the stream has lost in all so
    /// far (gaps that filled late are no loss), `copies` how many packets the receiver may have counted twice since.
    pub fn word(&mut self, lost: u64, copies: u64) -> Word {
        let Some(last) = self.last.filter(|l| l.at > self.mark.at) else { return Word::Silent };
        let from = std::mem::replace(&mut self.mark, last);
        let ours = self.real(last.ours[0] - from.ours[1], lost);
        let theirs = (last.lost - from.lost).max(0) + copies as i64;
        if ours < ENOUGH {
            Word::Silent
        } else if 2 * theirs >= ours {
            Word::Lost
        } else if ours - theirs >= ENOUGH {
            Word::Received
        } else {
            Word::Silent
        }
    }

    /// Both views of the time between the first and the last report; `None` with fewer than two.
    pub fn view(&self, clock: Option<u32>, lost: u64, copies: u64) -> Option<RemoteView> {
        let (first, last) = (self.first?, self.last.filter(|_| self.reports > 1)?);
        let expected = i64::from(last.highest.wrapping_sub(first.highest).cast_signed());
        if expected <= 0 {
            return None;
        }
        let theirs = last.lost - first.lost + copies as i64;
        let before = self.real(last.ours[0] - first.ours[0], lost);
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
            lost_before_probe: before.cast_unsigned(),
            lost_behind_probe: behind,
            side: match (before >= ENOUGH, behind >= ENOUGH) {
                (true, true) if behind >= before / 4 && before >= behind / 4 => LossSide::Both,
                (_, true) if behind > before => LossSide::BehindProbe,
                (true, _) if behind > -ENOUGH.max(before / 2) => LossSide::BeforeProbe,
                (true, _) => LossSide::Capture,
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
        remote.gap(at(missing_at), 10, false);
        remote.report(at(10.0), &block(theirs, 500));
        remote
    }

    #[test]
    fn the_receiver_knows_what_the_network_lost() {
        assert_eq!(heard(0, 7.0).word(10, 0), Word::Received);
        assert_eq!(heard(10, 7.0).word(10, 0), Word::Lost);
        assert_eq!(heard(5, 7.0).word(10, 0), Word::Lost, "half of it: more than the capture alone");
        assert_eq!(heard(0, 9.9).word(10, 0), Word::Silent, "the report was on its way");
        assert_eq!(heard(0, 7.0).word(10, 10), Word::Lost, "copies hide loss in its count");
        assert_eq!(heard(0, 7.0).word(0, 0), Word::Silent, "overtaken, not lost");
        assert_eq!(Remote::default().word(10, 0), Word::Silent);
        let mut once = heard(0, 7.0);
        assert_eq!(once.word(10, 0), Word::Received);
        assert_eq!(once.word(10, 0), Word::Silent, "one word a report");
    }

    #[test]
    fn sides() {
        let view = |theirs, ours| {
            let mut remote = Remote::default();
            remote.report(at(5.0), &block(0, 250));
            if ours > 0 {
                remote.gap(at(7.0), ours, false);
            }
            remote.report(at(10.0), &block(theirs, 500));
            remote.view(Some(8000), u64::from(ours), 0).unwrap()
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
