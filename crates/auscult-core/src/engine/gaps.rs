//! Gaps of both directions between two addresses that begin together: what is missing went missing in the capture, where few
//! streams pass and [`super::capture_loss`] has nothing to compare with. Work is done per gap and per lossy row, never per
//! packet.

use crate::media::Gap;
use crate::model::StreamId;
use crate::units::{Nanos, Seeded, Timestamp};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// Gaps that begin no farther apart are together.
const TOGETHER: Nanos = Nanos::from_millis(50);
/// Gaps of one stream held per second of the interval: a stream of 100 packets a second that loses every second one has
/// half as many. Each is compared with all that begin around it.
const OF_STREAM: usize = 100;
/// Packets missing settle this much later at most: 100 packets of 30 ms.
pub const SETTLE: Nanos = Nanos::from_secs(3);
/// Chance is that of at least a second.
const LEAST: Nanos = Nanos::from_secs(1);

/// The gaps of one interval.
#[derive(Debug)]
struct Generation {
    start: Timestamp,
    interval: Nanos,
    streams: HashMap<StreamId, SmallVec<[(Timestamp, u32); 1]>, Seeded>,
    held: usize,
    most: usize,
    most_of_stream: usize,
    /// Found no room, since the engine began.
    left_out: u64,
    latest: Timestamp,
}

#[derive(Debug)]
pub struct Gaps {
    present: Generation,
    before: Generation,
}

impl Gaps {
    /// `most`: gaps held per interval; later ones are no evidence.
    pub fn new(interval: Nanos, most: usize, hasher: &Seeded) -> Gaps {
        Gaps { present: Generation::new(interval, most, hasher), before: Generation::new(interval, most, hasher) }
    }

    /// A new interval begins.
    pub fn start_interval(&mut self, start: Timestamp) {
        std::mem::swap(&mut self.present, &mut self.before);
        self.present.begin(start);
    }

    /// Gaps beyond those held: they are no evidence.
    pub fn left_out(&self) -> u64 {
        self.present.left_out + self.before.left_out
    }

    pub fn note(&mut self, gap: &Gap) {
        let generation = if gap.at < self.present.start { &mut self.before } else { &mut self.present };
        generation.note(gap);
    }

    /// The share of the packets missing in a stream's gaps of this interval that have a gap of the other direction beside
    /// them, where those are more than chance brings together and at least half; `reverse` are the streams the other way.
    pub fn both_directions(&self, id: StreamId, reverse: &[StreamId]) -> Option<f64> {
        let mut all = 0u64;
        let mut matches = Matches::default();
        for (generation, from) in [(&self.present, Timestamp::MIN), (&self.before, self.present.start - SETTLE)] {
            let others: Vec<_> = reverse.iter().map(|r| generation.of(*r)).collect();
            for (at, missing) in generation.of(id).iter().filter(|(at, _)| *at >= from) {
                all += u64::from(*missing);
                for other in &others {
                    matches.add(*at, *missing, other, generation.seconds());
                }
            }
        }
        let found = all > 0 && 2 * matches.missing >= all && matches.is_beyond_chance();
        found.then(|| (matches.missing as f64 / all as f64).min(1.0))
    }
}

/// Gaps of one direction that have one of the other beside them.
#[derive(Default)]
struct Matches {
    count: u32,
    missing: u64,
    largest: u32,
    by_chance: f64,
}

impl Matches {
    fn add(&mut self, at: Timestamp, missing: u32, other: &[(Timestamp, u32)], seconds: f64) {
        self.by_chance += other.len() as f64 * 2.0 * TOGETHER.as_secs_f64() / seconds;
        if let Some((_, theirs)) = within(other, at).iter().max_by_key(|(_, theirs)| *theirs) {
            self.count += 1;
            self.missing += u64::from(missing);
            self.largest = self.largest.max(missing.min(*theirs));
        }
    }

    /// Gaps of three packets and more on both sides seldom meet by chance; single packets do, and have to meet more often.
    fn is_beyond_chance(&self) -> bool {
        let (sigmas, more) = if self.largest >= 3 { (3.0, 0.4) } else { (4.0, 1.0) };
        f64::from(self.count) > self.by_chance + sigmas * self.by_chance.sqrt() + more
    }
}

/// Gaps begun around a time, of a list in order of time.
fn within(gaps: &[(Timestamp, u32)], at: Timestamp) -> &[(Timestamp, u32)] {
    let from = gaps.partition_point(|(t, _)| *t < at - TOGETHER);
    let to = gaps.partition_point(|(t, _)| *t <= at + TOGETHER);
    gaps.get(from..to).unwrap_or_default()
}

impl Generation {
    fn new(interval: Nanos, most: usize, hasher: &Seeded) -> Generation {
        Generation {
            start: Timestamp::MIN,
            interval,
            streams: HashMap::with_hasher(hasher.clone()),
            held: 0,
            most,
            most_of_stream: OF_STREAM * (interval.0 / 1_000_000_000).max(1) as usize,
            left_out: 0,
            latest: Timestamp::MIN,
        }
    }

    fn begin(&mut self, start: Timestamp) {
        (self.start, self.latest) = (start, start);
        self.streams.clear();
        self.held = 0;
    }

    fn note(&mut self, gap: &Gap) {
        if self.held >= self.most || self.of(gap.stream).len() >= self.most_of_stream {
            self.left_out += 1;
            return;
        }
        let own = self.streams.entry(gap.stream).or_default();
        // A clock that was set back would break the order; such a gap is only counted.
        if own.last().is_none_or(|(at, _)| *at <= gap.at) {
            own.push((gap.at, gap.missing));
        }
        self.held += 1;
        self.latest = self.latest.max(gap.at);
    }

    fn of(&self, id: StreamId) -> &[(Timestamp, u32)] {
        self.streams.get(&id).map_or(&[], SmallVec::as_slice)
    }

    /// The part of the interval that has gaps.
    fn seconds(&self) -> f64 {
        (self.latest - self.start).max(LEAST).min(self.interval.max(LEAST)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(stream: u8, ms: i64, missing: u32) -> Gap {
        let at = Timestamp(ms * 1_000_000);
        Gap { stream: StreamId(u64::from(stream)), at, noticed: at, missing }
    }

    fn gaps(list: &[(u8, i64, u32)]) -> Gaps {
        let mut gaps = Gaps::new(Nanos::from_secs(10), 1 << 17, &Seeded::new(1));
        gaps.start_interval(Timestamp(0));
        list.iter().for_each(|(stream, ms, missing)| gaps.note(&gap(*stream, *ms, *missing)));
        gaps
    }

    fn both(list: &[(u8, i64, u32)], reverse: &[u8]) -> bool {
        let reverse: Vec<StreamId> = reverse.iter().map(|r| StreamId(u64::from(*r))).collect();
        gaps(list).both_directions(StreamId(1), &reverse).is_some()
    }

    #[test]
    fn gaps_are_bounded_in_all_and_of_each_stream() {
        let mut gaps = Gaps::new(Nanos::from_secs(10), 3_000, &Seeded::new(1));
        gaps.start_interval(Timestamp(0));
        for ms in 0..2_000 {
            gaps.note(&gap(1, ms, 1));
            gaps.note(&gap(2, ms, 1));
        }
        assert_eq!((gaps.present.held, gaps.left_out()), (2_000, 2_000), "1,000 of each");
        for ms in 0..2_000 {
            gaps.note(&gap(3 + (ms % 100) as u8, 2_000 + ms, 1));
        }
        assert_eq!((gaps.present.held, gaps.left_out()), (3_000, 3_000));
    }

    #[test]
    fn both_directions() {
        assert!(both(&[(1, 4000, 5), (2, 4010, 6)], &[2]));
        assert!(!both(&[(1, 4000, 1), (2, 4010, 6)], &[2]), "one packet each may be chance");
        assert!(both(&[(1, 4000, 1), (2, 4010, 1), (1, 8000, 1), (2, 8010, 1)], &[2]));
        assert!(!both(&[(1, 4000, 5), (2, 4010, 6)], &[]));
        assert!(!both(&[], &[2]));
    }

    #[test]
    fn a_gap_that_is_noticed_late_keeps_its_time() {
        let mut gaps = gaps(&[(2, 9990, 6)]);
        gaps.start_interval(Timestamp(10_000_000_000));
        gaps.note(&gap(1, 9985, 4));
        let reverse = [StreamId(2)];
        assert!(gaps.both_directions(StreamId(1), &reverse).is_some());
        gaps.start_interval(Timestamp(20_000_000_000));
        assert!(gaps.both_directions(StreamId(1), &reverse).is_none());
    }
}
