//! Gaps that begin together: whether what is missing went missing in the capture.
//!
//! A network loses packets of one path; a full ring or mirror port loses packets of whatever passes. So gaps of
//! streams that share no host, begun within 50 ms of each other, and more of them than chance would have, speak for the
//! capture; so do gaps of both directions of a call. Work is done per gap and per lossy row, never per packet.

use crate::media::{FlowKey, Gap};
use crate::model::StreamId;
use crate::units::{Nanos, Seeded, Timestamp};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// Gaps that begin no farther apart are together.
const TOGETHER: Nanos = Nanos::from_millis(50);
/// Other streams, with none of the hosts of each other, that make a gap common.
const OTHERS: usize = 2;
/// Gaps of one stream held per second of the interval: a stream of 100 packets a second that loses every second one has
/// half as many. Each is compared with all that begin around it.
const OF_STREAM: usize = 100;
/// Gaps looked at for unrelated hosts around one gap.
const LOOKED_AT: usize = 64;
/// Packets missing settle this much later at most: 100 packets of 30 ms.
pub const SETTLE: Nanos = Nanos::from_secs(3);

#[derive(Clone, Copy, Debug)]
struct Note {
    stream: StreamId,
    at: Timestamp,
    hosts: [u128; 2],
}

/// The gaps of one interval, in bins of [`TOGETHER`].
#[derive(Debug)]
struct Generation {
    start: Timestamp,
    bins: Vec<Vec<Note>>,
    streams: HashMap<StreamId, SmallVec<[(Timestamp, u32); 1]>, Seeded>,
    held: usize,
    most: usize,
    most_of_stream: usize,
    /// Found no room, since the machine began.
    left_out: u64,
    latest: usize,
}

/// How much of what a stream misses began together with other gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Common {
    pub many_streams: bool,
    pub both_directions: bool,
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
    pub fn turn(&mut self, start: Timestamp) {
        std::mem::swap(&mut self.present, &mut self.before);
        self.present.begin(start);
    }

    /// Gaps beyond those held: they are no evidence.
    pub fn left_out(&self) -> u64 {
        self.present.left_out + self.before.left_out
    }

    pub fn note(&mut self, gap: &Gap, key: &FlowKey) {
        let generation = if gap.at < self.present.start { &mut self.before } else { &mut self.present };
        generation.note(gap, key);
    }

    /// What speaks for the capture in the gaps of a stream in this interval; `reverse` are the streams the other way.
    pub fn common(&self, id: StreamId, key: &FlowKey, reverse: &[StreamId]) -> Common {
        let (mut all, mut shared, mut found, mut by_chance) = (0u64, 0u64, 0.0, 0.0);
        let mut mirrored = Matches::default();
        for (generation, from) in [(&self.present, Timestamp::MIN), (&self.before, self.present.start - SETTLE)] {
            let own = generation.of(id);
            let others: Vec<_> = reverse.iter().map(|r| generation.of(*r)).collect();
            let rate = generation.rate(own.len());
            for (at, missing) in own.iter().filter(|(at, _)| *at >= from) {
                all += u64::from(*missing);
                found += generation.around(*at, own) as f64;
                by_chance += 3.0 * rate;
                if generation.unrelated(*at, id, key) {
                    shared += u64::from(*missing);
                }
                for other in &others {
                    mirrored.add(*at, *missing, other, generation.seconds());
                }
            }
        }
        Common {
            many_streams: all > 0 && 2 * shared >= all && beyond_chance(found, by_chance),
            both_directions: all > 0 && 2 * mirrored.missing >= all && mirrored.is_beyond_chance(),
        }
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

/// Four standard deviations of a Poisson count, and half a gap.
fn beyond_chance(found: f64, by_chance: f64) -> bool {
    found > by_chance + 4.0 * by_chance.sqrt() + 0.5
}

/// Gaps begun around a time, of a list in order of time.
fn within(gaps: &[(Timestamp, u32)], at: Timestamp) -> &[(Timestamp, u32)] {
    let from = gaps.partition_point(|(t, _)| *t < at - TOGETHER);
    let to = gaps.partition_point(|(t, _)| *t <= at + TOGETHER);
    gaps.get(from..to).unwrap_or_default()
}

impl Generation {
    fn new(interval: Nanos, most: usize, hasher: &Seeded) -> Generation {
        let bins = (interval.0 / TOGETHER.0).max(1) as usize;
        Generation {
            start: Timestamp::MIN,
            bins: vec![Vec::new(); bins],
            streams: HashMap::with_hasher(hasher.clone()),
            held: 0,
            most,
            most_of_stream: OF_STREAM * (interval.0 / 1_000_000_000).max(1) as usize,
            left_out: 0,
            latest: 0,
        }
    }

    fn begin(&mut self, start: Timestamp) {
        self.start = start;
        let usual = self.most / self.bins.len();
        for bin in &mut self.bins {
            bin.clear();
            // Bursts at another time of each interval would leave every bin as large as the largest.
            bin.shrink_to(usual);
        }
        self.streams.clear();
        (self.held, self.latest) = (0, 0);
    }

    fn note(&mut self, gap: &Gap, key: &FlowKey) {
        let bin = self.bin(gap.at);
        if self.held >= self.most || self.of(gap.stream).len() >= self.most_of_stream {
            self.left_out += 1;
            return;
        }
        let Some(notes) = self.bins.get_mut(bin) else { return };
        notes.push(Note { stream: gap.stream, at: gap.at, hosts: [key.src_ip, key.dst_ip] });
        let own = self.streams.entry(gap.stream).or_default();
        // A clock that was set back would break the order; such a gap is only counted.
        if own.last().is_none_or(|(at, _)| *at <= gap.at) {
            own.push((gap.at, gap.missing));
        }
        self.held += 1;
        self.latest = self.latest.max(bin);
    }

    fn bin(&self, at: Timestamp) -> usize {
        let since = at.0.saturating_sub(self.start.0).max(0);
        ((since / TOGETHER.0) as usize).min(self.bins.len() - 1)
    }

    fn of(&self, id: StreamId) -> &[(Timestamp, u32)] {
        self.streams.get(&id).map_or(&[], SmallVec::as_slice)
    }

    /// Gaps of others per bin, over the part of the interval that has gaps and at least a second.
    fn rate(&self, own: usize) -> f64 {
        self.held.saturating_sub(own) as f64 / (self.latest + 1).max(20).min(self.bins.len()) as f64
    }

    fn seconds(&self) -> f64 {
        ((self.latest + 1).max(20).min(self.bins.len()) as f64) * TOGETHER.as_secs_f64()
    }

    fn near(&self, at: Timestamp) -> &[Vec<Note>] {
        let bin = self.bin(at);
        self.bins.get(bin.saturating_sub(1)..(bin + 2).min(self.bins.len())).unwrap_or_default()
    }

    /// Gaps of others in the bin of a time and its neighbours.
    fn around(&self, at: Timestamp, own: &[(Timestamp, u32)]) -> usize {
        let bin = self.bin(at);
        let (from, to) = (bin.saturating_sub(1), bin + 1);
        let first = own.partition_point(|(t, _)| self.bin(*t) < from);
        let last = own.partition_point(|(t, _)| self.bin(*t) <= to);
        self.near(at).iter().map(Vec::len).sum::<usize>().saturating_sub(last - first)
    }

    /// Whether gaps of other streams begin around a time, none of which shares a host with another.
    fn unrelated(&self, at: Timestamp, id: StreamId, key: &FlowKey) -> bool {
        let enough = 2 * (1 + OTHERS);
        let mut hosts = Vec::with_capacity(enough);
        hosts.extend([key.src_ip, key.dst_ip]);
        let close = |note: &&Note| note.stream != id && (note.at - at).abs() <= TOGETHER;
        for note in self.near(at).iter().flatten().filter(close).take(LOOKED_AT) {
            if !note.hosts.iter().any(|host| hosts.contains(host)) {
                hosts.extend(note.hosts);
                if hosts.len() >= enough {
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ssrc;

    fn key(n: u8) -> FlowKey {
        FlowKey::new(([10, 0, 0, n], 4000).into(), ([10, 0, 1, n], 5000).into(), Ssrc(u32::from(n)))
    }

    fn gap(stream: u8, ms: i64, missing: u32) -> Gap {
        let at = Timestamp(ms * 1_000_000);
        Gap { stream: StreamId(u64::from(stream)), at, noticed: at, missing }
    }

    fn gaps(list: &[(u8, i64, u32)]) -> Gaps {
        let mut gaps = Gaps::new(Nanos::from_secs(10), 1 << 17, &Seeded::new(1));
        gaps.turn(Timestamp(0));
        for (stream, ms, missing) in list {
            gaps.note(&gap(*stream, *ms, *missing), &key(*stream));
        }
        gaps
    }

    fn common(list: &[(u8, i64, u32)], reverse: &[u8]) -> Common {
        let reverse: Vec<StreamId> = reverse.iter().map(|r| StreamId(u64::from(*r))).collect();
        gaps(list).common(StreamId(1), &key(1), &reverse)
    }

    #[test]
    fn three_streams_at_once_and_not_two() {
        assert!(common(&[(1, 4000, 5), (2, 4010, 6), (3, 4040, 2)], &[]).many_streams);
        assert!(!common(&[(1, 4000, 5), (2, 4010, 6)], &[]).many_streams);
        assert!(!common(&[(1, 4000, 5), (2, 4010, 6), (3, 4060, 2)], &[]).many_streams);
        // Most of what is missing went by itself.
        assert!(!common(&[(1, 2000, 9), (1, 4000, 5), (2, 4010, 6), (3, 4040, 2)], &[]).many_streams);
    }

    #[test]
    fn streams_of_one_host_are_one_witness() {
        let mut gaps = gaps(&[(1, 4000, 5), (2, 4010, 6)]);
        let shared = FlowKey { src_ip: key(2).src_ip, ..key(3) };
        gaps.note(&gap(3, 4020, 4), &shared);
        assert!(!gaps.common(StreamId(1), &key(1), &[]).many_streams);
    }

    #[test]
    fn what_chance_brings_together_is_no_evidence() {
        // Forty streams that lose a packet every 200 ms at their own time: every gap has company.
        let list: Vec<(u8, i64, u32)> =
            (0..50).flat_map(|k| (1..41u8).map(move |s| (s, k * 200 + i64::from(s) * 37 % 200, 1))).collect();
        let mut sorted = list.clone();
        sorted.sort_by_key(|g| g.1);
        assert!(!common(&sorted, &[2]).many_streams);
        // The same number of gaps, all at once.
        let mut at_once: Vec<(u8, i64, u32)> = (0..50).flat_map(|k| (1..41u8).map(move |s| (s, k * 200, 1))).collect();
        at_once.sort_by_key(|g| g.1);
        assert!(common(&at_once, &[]).many_streams);
    }

    #[test]
    fn gaps_are_bounded_in_all_and_of_each_stream() {
        let mut gaps = Gaps::new(Nanos::from_secs(10), 3_000, &Seeded::new(1));
        gaps.turn(Timestamp(0));
        for ms in 0..2_000 {
            gaps.note(&gap(1, ms, 1), &key(1));
            gaps.note(&gap(2, ms, 1), &key(2));
        }
        assert_eq!((gaps.present.held, gaps.left_out()), (2_000, 2_000), "1,000 of each");
        for ms in 0..2_000 {
            gaps.note(&gap(3 + (ms % 100) as u8, 2_000 + ms, 1), &key(3));
        }
        assert_eq!((gaps.present.held, gaps.left_out()), (3_000, 3_000));
        for interval in 1..20 {
            gaps.turn(Timestamp(interval * 10_000_000_000));
            (0..3_000u32).for_each(|n| {
                let ms = interval * 10_000 + 500 * interval;
                gaps.note(&Gap { stream: StreamId(u64::from(n)), ..gap(1, ms, 1) }, &key(1));
            });
        }
        gaps.turn(Timestamp(200_000_000_000));
        let held: usize = gaps.present.bins.iter().map(Vec::capacity).sum();
        assert!(held <= 3_000, "{held}");
    }

    #[test]
    fn both_directions() {
        assert!(common(&[(1, 4000, 5), (2, 4010, 6)], &[2]).both_directions);
        assert!(!common(&[(1, 4000, 1), (2, 4010, 6)], &[2]).both_directions, "one packet each may be chance");
        assert!(common(&[(1, 4000, 1), (2, 4010, 1), (1, 8000, 1), (2, 8010, 1)], &[2]).both_directions);
        assert!(!common(&[(1, 4000, 5), (2, 4010, 6)], &[]).both_directions);
        assert_eq!(common(&[], &[2]), Common::default());
    }

    #[test]
    fn a_gap_that_is_noticed_late_keeps_its_time() {
        let mut gaps = gaps(&[(2, 9990, 6), (3, 9980, 2)]);
        gaps.turn(Timestamp(10_000_000_000));
        gaps.note(&gap(1, 9985, 4), &key(1));
        assert!(gaps.common(StreamId(1), &key(1), &[]).many_streams);
        gaps.turn(Timestamp(20_000_000_000));
        assert_eq!(gaps.common(StreamId(1), &key(1), &[]), Common::default());
    }
}
