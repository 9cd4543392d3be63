//! What each trunk did, each direction by itself, from the sums of groups: since the start, and in the last minute.

use super::totals::{DelayTotals, bounded};
use crate::groups::Group;
use crate::model::{CallFigures, GroupTrunk, MediaFigures, Scale, SpanHistogram, TrunkDirection};
use crate::units::{DelayHistogram, Nanos, SPAN_BUCKETS, Timestamp};
use std::collections::BTreeMap;

/// Trunk names are the operator's: beyond this many the rest is counted as `other`.
const MAX_TRUNKS: usize = 64;

/// Length of what [`TrunkTotals::last_minute`] adds up.
const MINUTE: Nanos = Nanos::from_secs(60);

/// Index of the jitter buffer of 60 ms among [`crate::model::DISCARD_BUFFERS_MS`].
const BUFFER_60: usize = 2;

/// Name of the trunk, and `from`, `toward` or empty.
pub type TrunkLabel = (String, &'static str);

/// Trunks and their figures.
#[derive(Clone, Debug, Default)]
pub struct TrunkTotals {
    trunks: BTreeMap<TrunkLabel, Trunk>,
    /// Start of the newest interval.
    newest: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct Trunk {
    total: TrunkSince,
    intervals: BTreeMap<Timestamp, TrunkMinute>,
}

/// Counted since the start.
#[derive(Clone, Debug, Default)]
pub struct TrunkSince {
    pub expected: u64,
    pub lost_network: u64,
    /// Lost by the capture, certainly or probably.
    pub lost_capture: u64,
    /// Mean interarrival jitter of each stream in each interval.
    pub jitter: DelayTotals,
    /// Listening MOS of each stream in each interval, in hundredths, by scale.
    pub mos: BTreeMap<&'static str, BTreeMap<u16, u64>>,
    pub attempts: u64,
    pub answers: u64,
    /// Attempts that neither were answered nor ended by what a person decides.
    pub setup_failures: u64,
    /// Calls that ended, by class.
    pub ended: BTreeMap<&'static str, u64>,
    pub pdd: SpanTotals,
    pub setup: SpanTotals,
}

/// Counts of spans by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanTotals(pub [u64; SPAN_BUCKETS]);

impl Default for SpanTotals {
    fn default() -> Self {
        SpanTotals([0; SPAN_BUCKETS])
    }
}

impl SpanTotals {
    fn add(&mut self, spans: &SpanHistogram) {
        for (bucket, count) in &spans.0 {
            if let Some(total) = self.0.get_mut(usize::from(*bucket)) {
                *total += count;
            }
        }
    }
}

/// One interval, or the last minute of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrunkMinute {
    /// Streams present in an interval; of a minute the most.
    pub streams: u64,
    pub expected: u64,
    pub lost_network: u64,
    pub lost_capture: u64,
    /// Packets too late for a jitter buffer of 60 ms, of those whose delay is known.
    pub late_60: u64,
    pub pdv: DelayHistogram,
    pub jitter: DelayHistogram,
    pub rated: u64,
    pub mos_under_3_6: u64,
    pub attempts: u64,
    pub answers: u64,
    pub setup_failures: u64,
}

impl TrunkTotals {
    /// Adds a row of sums.
    pub fn add(&mut self, group: &Group) {
        match group {
            Group::Media(group) => {
                let trunk = self.trunk(&group.trunk);
                trunk.total.add_media(&group.figures, group.mos_scale);
                trunk.intervals.entry(group.start).or_default().add_media(&group.figures);
                self.advance(group.start);
            }
            Group::Calls(group) => {
                let trunk = self.trunk(&group.trunk);
                trunk.total.add_calls(&group.figures);
                trunk.intervals.entry(group.start).or_default().add_calls(&group.figures);
                self.advance(group.start);
            }
        }
    }

    /// Counts from 0 for a trunk that nothing was seen of yet: a rate over a counter that appears with its first event misses it.
    pub fn expect(&mut self, name: &str) {
        for direction in [TrunkDirection::From, TrunkDirection::Toward] {
            self.trunk(&GroupTrunk { name: name.into(), direction: Some(direction) });
        }
    }

    /// Says that an interval began then, whether or not anything was in it.
    pub fn advance(&mut self, start: Timestamp) {
        if self.newest.is_some_and(|newest| newest >= start) {
            return;
        }
        self.newest = Some(start);
        let oldest = start - MINUTE;
        for trunk in self.trunks.values_mut() {
            trunk.intervals.retain(|start, _| *start > oldest);
        }
    }

    fn trunk(&mut self, trunk: &GroupTrunk) -> &mut Trunk {
        let name = bounded(&trunk.name, MAX_TRUNKS, self.trunks.keys().map(|(name, _)| name.as_str()));
        self.trunks.entry((name, trunk.direction.map_or("", TrunkDirection::name))).or_default()
    }

    pub fn since_start(&self) -> impl Iterator<Item = (&TrunkLabel, &TrunkSince)> {
        self.trunks.iter().map(|(label, trunk)| (label, &trunk.total))
    }

    /// The intervals that began within a minute before the newest one, added up.
    pub fn last_minute(&self) -> impl Iterator<Item = (&TrunkLabel, TrunkMinute)> {
        let oldest = self.newest.unwrap_or_default() - MINUTE;
        self.trunks.iter().map(move |(label, trunk)| {
            let mut all = TrunkMinute::default();
            trunk.intervals.iter().filter(|(start, _)| **start > oldest).for_each(|(_, one)| all.merge(one));
            (label, all)
        })
    }
}

impl TrunkSince {
    fn add_media(&mut self, figures: &MediaFigures, scale: Option<Scale>) {
        self.expected += figures.expected;
        self.lost_network += figures.lost_network;
        self.lost_capture += figures.lost_capture + figures.lost_suspected_capture;
        self.jitter.add(&figures.jitter);
        if !figures.mos.is_empty() {
            let of_scale = self.mos.entry(scale.map_or("", Scale::name)).or_default();
            for (mos, streams) in &figures.mos {
                *of_scale.entry(*mos).or_default() += streams;
            }
        }
    }

    fn add_calls(&mut self, figures: &CallFigures) {
        self.attempts += figures.attempts;
        self.answers += figures.answers;
        self.setup_failures += figures.setup_failures();
        for (class, calls) in &figures.classes {
            *self.ended.entry(class).or_default() += calls;
        }
        self.pdd.add(&figures.pdd);
        self.setup.add(&figures.setup);
    }
}

impl TrunkMinute {
    fn add_media(&mut self, figures: &MediaFigures) {
        self.streams += figures.streams;
        self.expected += figures.expected;
        self.lost_network += figures.lost_network;
        self.lost_capture += figures.lost_capture + figures.lost_suspected_capture;
        self.late_60 += figures.late[BUFFER_60];
        self.pdv.merge(&figures.pdv);
        self.jitter.merge(&figures.jitter);
        self.rated += figures.mos.values().sum::<u64>();
        self.mos_under_3_6 += figures.mos_under_3_6;
    }

    fn add_calls(&mut self, figures: &CallFigures) {
        self.attempts += figures.attempts;
        self.answers += figures.answers;
        self.setup_failures += figures.setup_failures();
    }

    fn merge(&mut self, other: &TrunkMinute) {
        self.streams = self.streams.max(other.streams);
        self.expected += other.expected;
        self.lost_network += other.lost_network;
        self.lost_capture += other.lost_capture;
        self.late_60 += other.late_60;
        self.pdv.merge(&other.pdv);
        self.jitter.merge(&other.jitter);
        self.rated += other.rated;
        self.mos_under_3_6 += other.mos_under_3_6;
        self.attempts += other.attempts;
        self.answers += other.answers;
        self.setup_failures += other.setup_failures;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CallGroup, DISCARD_BUFFERS_MS, GroupPart, MediaGroup};

    fn media(start_s: i64, trunk: &str, streams: u64, lost: u64) -> Group {
        let trunk = GroupTrunk { name: trunk.into(), direction: Some(TrunkDirection::From) };
        let figures =
            MediaFigures { streams, expected: 100, lost_network: lost, mos_under_3_6: 1, ..Default::default() };
        let figures = MediaFigures { mos: [(350, 1), (440, 2)].into(), ..figures };
        let (start, length) = (Timestamp::from_secs(start_s), Nanos::from_secs(10));
        let (codec, mos_scale, part) = ("PCMA".into(), Some(Scale::Nb), GroupPart::default());
        Group::Media(Box::new(MediaGroup { start, length, trunk, codec, mos_scale, part, figures }))
    }

    fn minute(of: &TrunkTotals, trunk: &str) -> TrunkMinute {
        of.last_minute().find(|(label, _)| label.0 == trunk).map(|(_, minute)| minute).unwrap_or_default()
    }

    #[test]
    fn the_last_minute_forgets_and_the_total_does_not() {
        assert_eq!(DISCARD_BUFFERS_MS[BUFFER_60], 60);
        let mut trunks = TrunkTotals::default();
        for n in 0..12 {
            // Two rows of one interval are streams of two codecs.
            trunks.add(&media(10 * n, "a", 3, 1));
            trunks.add(&media(10 * n, "a", 2, 1));
        }
        let now = minute(&trunks, "a");
        assert_eq!((now.streams, now.expected, now.lost_network, now.rated, now.mos_under_3_6), (5, 1_200, 12, 36, 12));
        let since = trunks.since_start().next().unwrap();
        assert_eq!((since.0, since.1.expected, since.1.lost_network), (&("a".to_owned(), "from"), 2_400, 24));
        assert_eq!(since.1.mos["nb"], [(350, 24), (440, 48)].into());
        // A row that is known late counts in its own interval.
        trunks.add(&media(80, "a", 1, 50));
        assert_eq!(minute(&trunks, "a").lost_network, 62);
        trunks.add(&media(10, "a", 1, 50));
        assert_eq!(minute(&trunks, "a").lost_network, 62);
        // Silence: intervals go by.
        trunks.advance(Timestamp::from_secs(170));
        assert_eq!(minute(&trunks, "a"), TrunkMinute::default());
        assert_eq!(trunks.since_start().count(), 1);
        trunks.expect("b");
        trunks.expect("a");
        let names: Vec<&TrunkLabel> = trunks.since_start().map(|(label, _)| label).collect();
        assert_eq!(names.len(), 4, "{names:?}");
    }

    #[test]
    fn names_are_bounded_and_calls_add_up() {
        let mut trunks = TrunkTotals::default();
        for n in 0..200 {
            trunks.add(&media(0, &format!("t{n}"), 1, 0));
        }
        assert_eq!(trunks.since_start().count(), MAX_TRUNKS + 1);
        let trunk = GroupTrunk { name: "t1".into(), direction: None };
        let figures =
            CallFigures { attempts: 10, answers: 6, final_codes: [(486, 2), (503, 2)].into(), ..Default::default() };
        let (start, length, part) = (Timestamp::from_secs(0), Nanos::from_secs(10), GroupPart::default());
        trunks.add(&Group::Calls(Box::new(CallGroup { start, length, trunk, part, figures })));
        let label = ("t1".to_owned(), "");
        let (_, since) = trunks.since_start().find(|(of, _)| **of == label).unwrap();
        assert_eq!((since.attempts, since.answers, since.setup_failures), (10, 6, 2));
    }
}
