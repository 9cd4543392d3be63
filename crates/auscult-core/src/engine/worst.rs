//! The worst of a stream: its lowest interval, and the lowest rating of a minute's packets.

use crate::model::burst::BurstGap;
use crate::model::{CodecId, DISCARD_BUFFERS_MS, IntervalReport, RatedMos, Scale, StreamStats};
use crate::units::{Nanos, Timestamp};
use smallvec::SmallVec;

const MINUTE: Nanos = Nanos::from_secs(60);

/// The listening MOS of a minute, and when the minute began.
pub type RatedMinute = (RatedMos, Timestamp);

#[derive(Debug)]
pub struct MosMinimum {
    interval: Option<RatedMos>,
    /// Of whole minutes, and of what a codec had that never lasted a minute.
    minute: Option<RatedMinute>,
    /// Of the last minute, or of as much as there is.
    present: Option<RatedMinute>,
    /// A whole minute of the present codec was rated.
    whole: bool,
    rows: SmallVec<[IntervalSums; 6]>,
    length: u8,
    codec: CodecId,
    clock_rate: Option<u32>,
}

/// What the rating of one interval is made of, small: every stream has those of a minute.
#[derive(Debug)]
struct IntervalSums {
    start_s: u32,
    expected: u32,
    unique: u32,
    discarded: u32,
    packets: u32,
    telephone_events: u32,
    payload_bytes: u32,
    /// `None` where nothing was lost or discarded.
    lost_or_late: Option<Box<BurstGap>>,
}

impl IntervalSums {
    fn new(row: &IntervalReport, discarded: u64) -> IntervalSums {
        let n = &row.numbers;
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        IntervalSums {
            start_s: narrow((row.start.0 / 1_000_000_000).max(0) as u64),
            expected: narrow(n.expected),
            unique: narrow(n.unique),
            discarded: narrow(discarded),
            packets: narrow(n.packets),
            telephone_events: narrow(n.telephone_events),
            payload_bytes: narrow(n.payload_bytes),
            lost_or_late: (n.lost_or_late.summary().bad > 0).then(|| Box::new(n.lost_or_late)),
        }
    }
}

impl MosMinimum {
    /// `interval` is the length of an interval.
    pub fn new(interval: Nanos) -> MosMinimum {
        MosMinimum {
            interval: None,
            minute: None,
            present: None,
            whole: false,
            rows: SmallVec::new(),
            length: (MINUTE.0 / interval.0.max(1)).clamp(1, 60) as u8,
            codec: CodecId::default(),
            clock_rate: None,
        }
    }

    /// Takes the next interval, of which the jitter buffer discarded so many packets. `rate` gives the listening MOS of the
    /// packets of several intervals. Another codec begins a new minute: packets of two have no rating together.
    pub fn add(&mut self, row: &IntervalReport, discarded: u64, rate: impl FnOnce(&StreamStats) -> Option<RatedMos>) {
        if (&self.codec, self.clock_rate) != (&row.codec, row.clock_rate) {
            self.minute = self.minute();
            (self.present, self.whole) = (None, false);
            self.rows.clear();
            (self.codec, self.clock_rate) = (row.codec.clone(), row.clock_rate);
        }
        self.interval = lower(self.interval, row.mos.rated());
        if self.rows.len() == usize::from(self.length) {
            self.rows.remove(0);
        }
        self.rows.push(IntervalSums::new(row, discarded));
        let rated = rate(&self.merged());
        let start = self.rows.first().map_or(row.start, |first| Timestamp::from_secs(i64::from(first.start_s)));
        self.present = rated.map(|rated| (rated, start));
        if self.rows.len() == usize::from(self.length) {
            self.whole = true;
            self.minute = lower_minute(self.minute, self.present);
        }
    }

    /// Lowest interval.
    pub fn interval(&self) -> Option<RatedMos> {
        self.interval
    }

    /// Lowest whole minute of one codec; over all of it where a codec never lasted a minute.
    pub fn minute(&self) -> Option<RatedMinute> {
        if self.whole { self.minute } else { lower_minute(self.minute, self.present) }
    }

    /// The packets of all rows together, as far as a listening MOS depends on them.
    fn merged(&self) -> StreamStats {
        let mut all = StreamStats::default();
        for row in &self.rows {
            let wide = u64::from;
            all.expected += wide(row.expected);
            all.unique += wide(row.unique);
            all.discarded_adaptive += wide(row.discarded);
            all.packets += wide(row.packets);
            all.telephone_events += wide(row.telephone_events);
            all.payload_bytes += wide(row.payload_bytes);
            match &row.lost_or_late {
                Some(burst) => all.lost_or_late.merge(burst),
                None => all.lost_or_late.received(row.expected),
            }
        }
        all.late = [all.discarded_adaptive; DISCARD_BUFFERS_MS.len()];
        all
    }
}

/// The one farther below what its scale allows.
pub fn lower(a: Option<RatedMos>, b: Option<RatedMos>) -> Option<RatedMos> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if below_clean(b) < below_clean(a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The same of minutes; of equal ones the earlier.
pub fn lower_minute(a: Option<RatedMinute>, b: Option<RatedMinute>) -> Option<RatedMinute> {
    let rank = |(rated, at): RatedMinute| (below_clean(rated), at);
    match (a, b) {
        (Some(a), Some(b)) => Some(if rank(b) < rank(a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// MOS against the best its scale allows, so that scales are only compared by distance from clean.
fn below_clean(rated: RatedMos) -> f32 {
    let clean = if rated.scale == Scale::Nb { 4.409 } else { 4.5 };
    rated.lq - clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MosReport, Quality, StreamId};
    use crate::units::Ssrc;

    /// 100 packets, so many of them lost in one run, in an interval of 10 s.
    fn row(index: i64, lost: u32, codec: &str) -> IntervalReport {
        let mut numbers = StreamStats {
            packets: u64::from(100 - lost),
            unique: u64::from(100 - lost),
            expected: 100,
            ..StreamStats::default()
        };
        numbers.lost_or_late.received(50);
        if lost > 0 {
            numbers.lost_or_late.bad(lost);
        }
        numbers.lost_or_late.received(50 - lost);
        let rated = rating(&numbers, codec);
        let at = std::net::SocketAddr::from(([192, 0, 2, 1], 4000));
        IntervalReport {
            stream: StreamId(1),
            src: at,
            dst: at,
            ssrc: Ssrc(1),
            call_uid: None,
            call_id: "".into(),
            start: Timestamp::from_secs(10 * index),
            length: Nanos::from_secs(10),
            codec: codec.into(),
            clock_rate: Some(8_000),
            ptime: None,
            drift_ppm: None,
            numbers,
            late_buffer_ms: 0,
            mos: MosReport { lq: rated.map(|r| r.lq), scale: rated.map(|r| r.scale), ..MosReport::default() },
            quality: Quality::default(),
        }
    }

    /// A point for each 10 % of loss, and one for each ten packets lost in a row; nothing for a codec without a name.
    fn rating(numbers: &StreamStats, codec: &str) -> Option<RatedMos> {
        let bursts = numbers.lost_or_late.summary();
        let run = bursts.mean_run().unwrap_or(0.0) as f32;
        let scale = if codec == "wide" { Scale::Wb } else { Scale::Nb };
        let lq = 4.4 - numbers.loss_pct().unwrap_or(0.0) as f32 / 10.0 - run / 10.0;
        (!codec.is_empty()).then_some(RatedMos { lq: (lq * 1000.0).round() / 1000.0, scale })
    }

    fn of(rows: &[(u32, &str)]) -> MosMinimum {
        let mut worst = MosMinimum::new(Nanos::from_secs(10));
        for (index, (lost, codec)) in (0..).zip(rows) {
            worst.add(&row(index, *lost, codec), 0, |numbers| rating(numbers, codec));
        }
        worst
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn rated(lq: f32, scale: Scale) -> RatedMos {
        RatedMos { lq, scale }
    }

    #[test]
    fn a_minute_is_rated_by_its_own_packets() {
        let mut rows = [(0, "narrow"); 12];
        rows[5].0 = 12;
        let worst = of(&rows);
        assert_eq!(worst.interval(), Some(rated(2.0, Scale::Nb)));
        // 2 % of 600 packets, in one run of 12: not the mean of five times 4.4 and once 2.0.
        assert_eq!(worst.minute(), Some((rated(3.0, Scale::Nb), at(0))));
        rows[5].0 = 0;
        rows[9].0 = 12;
        assert_eq!(of(&rows).minute(), Some((rated(3.0, Scale::Nb), at(40))), "the first minute that has it");
    }

    #[test]
    fn less_than_a_minute_is_all_there_is() {
        assert_eq!(of(&[(0, "narrow"), (3, "narrow"), (0, "narrow")]).minute(), Some((rated(4.0, Scale::Nb), at(0))));
        assert_eq!(of(&[(0, "")]).minute(), None);
        assert_eq!(of(&[]).interval(), None);
        // A bad last interval after a good minute is part of a minute that ends with it, not one by itself.
        let mut rows = [(0, "narrow"); 7];
        rows[6].0 = 12;
        assert_eq!(of(&rows).minute(), Some((rated(3.0, Scale::Nb), at(10))));
    }

    #[test]
    fn codecs_have_no_common_minute() {
        let worst = of(&[(12, "narrow"), (0, "narrow"), (0, "wide")]);
        assert_eq!(worst.minute(), Some((rated(2.6, Scale::Nb), at(0))), "1.8 below clean against 0.1");
        let worst = of(&[(12, "narrow"), (0, "wide"), (12, "wide")]);
        assert_eq!(worst.minute(), Some((rated(2.0, Scale::Nb), at(0))));
        let worst = of(&[(3, "narrow"), (0, "narrow"), (12, "wide")]);
        assert_eq!(worst.minute(), Some((rated(2.0, Scale::Wb), at(20))));
    }
}
