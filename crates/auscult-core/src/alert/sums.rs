//! Sums of one figure over time: what a window of a rule is added up from.

use super::measure::{Figure, Kind, Measure, Source};
use super::stat;
use crate::model::{CallGroup, MediaGroup, Presence, Scale};
use crate::units::{Nanos, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The labels that distinguish groups of streams or calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    Probe,
    Site,
    Trunk,
    TrunkDirection,
    Codec,
    MosScale,
    /// All labels of a row of a statement, as one text.
    Statement,
}

impl Label {
    pub const ALL: [Label; 6] =
        [Label::Probe, Label::Site, Label::Trunk, Label::TrunkDirection, Label::Codec, Label::MosScale];

    pub fn name(self) -> &'static str {
        match self {
            Label::Probe => "probe",
            Label::Site => "site",
            Label::Trunk => "trunk",
            Label::TrunkDirection => "trunk_direction",
            Label::Codec => "codec",
            Label::MosScale => "mos_scale",
            Label::Statement => "group",
        }
    }

    pub fn parse(name: &str) -> Option<Label> {
        Label::ALL.into_iter().find(|label| label.name() == name)
    }

    /// Whether rows of this source have it.
    pub fn is_of(self, source: Source) -> bool {
        match source {
            Source::Media => self != Label::Statement,
            Source::Calls => !matches!(self, Label::Codec | Label::MosScale | Label::Statement),
            Source::Capture | Source::Program => matches!(self, Label::Probe | Label::Site),
        }
    }
}

/// Values of the labels a rule groups by, in its order.
pub type GroupKey = Arc<[(Label, Arc<str>)]>;

/// Name of the group that takes what is over `max_groups`.
pub const OVERFLOW: &str = "(all others)";

/// Who a row is of.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub probe: &'a str,
    pub site: &'a str,
}

/// Something the evaluator folds.
#[derive(Clone, Copy, Debug)]
pub enum SumsInput<'a> {
    Media(&'a MediaGroup),
    Calls(&'a CallGroup),
    Capture(CaptureSums),
}

/// Frames of one probe and interface during one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureSums {
    pub start: Timestamp,
    pub length: Nanos,
    pub frames: u64,
    /// Dropped by ring, interface and queue; with an estimate of those that a sampled or interrupted capture did not see.
    pub missed: u64,
    /// Streams and calls that full tables ended early or refused.
    pub shed: u64,
}

impl SumsInput<'_> {
    pub fn start(&self) -> Timestamp {
        match self {
            SumsInput::Media(group) => group.start,
            SumsInput::Calls(group) => group.start,
            SumsInput::Capture(capture) => capture.start,
        }
    }

    pub fn length(&self) -> Nanos {
        match self {
            SumsInput::Media(group) => group.length,
            SumsInput::Calls(group) => group.length,
            SumsInput::Capture(capture) => capture.length,
        }
    }

    fn source(&self) -> Source {
        match self {
            SumsInput::Media(_) => Source::Media,
            SumsInput::Calls(_) => Source::Calls,
            SumsInput::Capture(_) => Source::Capture,
        }
    }

    fn label<'b>(&'b self, label: Label, origin: Origin<'b>) -> &'b str {
        let trunk = match self {
            SumsInput::Media(group) => Some(&group.trunk),
            SumsInput::Calls(group) => Some(&group.trunk),
            SumsInput::Capture(_) => None,
        };
        match (label, self) {
            (Label::Probe, _) => origin.probe,
            (Label::Site, _) => origin.site,
            (Label::Trunk, _) => trunk.map_or("", |trunk| &trunk.name),
            (Label::TrunkDirection, _) => trunk.and_then(|t| t.direction).map_or("", |direction| direction.name()),
            (Label::Codec, SumsInput::Media(group)) => &group.codec,
            (Label::MosScale, SumsInput::Media(group)) => group.mos_scale.map_or("", Scale::name),
            _ => "",
        }
    }
}

/// Rows a rule leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filter {
    /// A row must have one of the values of each label.
    pub only: Vec<(Label, Vec<String>)>,
    /// A row that has one of these values is left out.
    pub except: Vec<(Label, Vec<String>)>,
}

impl Filter {
    fn accepts(&self, input: &SumsInput<'_>, origin: Origin<'_>) -> bool {
        let has = |(label, values): &(Label, Vec<String>)| {
            let value = input.label(*label, origin);
            values.iter().any(|v| v == value)
        };
        self.only.iter().all(has) && !self.except.iter().any(has)
    }

    /// Labels that the filter looks at.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.only.iter().chain(&self.except).map(|(label, _)| *label)
    }
}

/// Sums of one figure. Any two add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// Numerator and denominator of a share, or a count.
    num: u64,
    den: u64,
    counts: Vec<u64>,
    present: Presence,
    /// Packets the capture lost or is suspected to have lost, of those expected.
    capture_lost: u64,
    expected: u64,
}

impl Sums {
    pub(super) fn share(&mut self, num: u64, den: u64) {
        self.num += num;
        self.den += den;
    }

    pub(super) fn count(&mut self, bucket: usize, count: u64, buckets: usize) {
        if bucket < buckets {
            if self.counts.len() <= bucket {
                self.counts.resize(bucket + 1, 0);
            }
            self.counts[bucket] += count;
        }
    }

    fn merge(&mut self, slot: &Slot) {
        self.num += slot.num;
        self.den += slot.den;
        let end = slot.first + slot.counts.len();
        if self.counts.len() < end {
            self.counts.resize(end, 0);
        }
        self.counts[slot.first..end].iter_mut().zip(&slot.counts).for_each(|(a, b)| *a += b);
        slot.present.iter().for_each(|(at, n)| *self.present.entry(*at).or_default() += n);
        self.capture_lost += slot.capture_lost;
        self.expected += slot.expected;
    }

    fn has_any(&self) -> bool {
        self.num > 0 || self.den > 0 || !self.counts.is_empty()
    }

    fn counted(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The bucket of a quantile by nearest rank.
    fn bucket_at(&self, q: f64) -> Option<usize> {
        let total = self.counted();
        let rank = ((q.clamp(0.0, 1.0) * total as f64 - 1e-9).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.filter(|_| total > 0)
    }

    /// Percent of the expected packets that the capture lost.
    pub fn capture_loss_pct(&self) -> Option<f64> {
        (self.expected > 0).then(|| 100.0 * self.capture_lost as f64 / self.expected as f64)
    }
}

/// [`Sums`] of one slot, kept small: a thousand trunks have millions of them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Slot {
    at: i64,
    num: u64,
    den: u64,
    /// The first bucket of `counts`; those before it are empty.
    first: usize,
    counts: Vec<u64>,
    /// As [`Presence`], in order.
    present: Vec<(u32, u64)>,
    capture_lost: u64,
    expected: u64,
}

impl Slot {
    fn add(&mut self, sums: &Sums) {
        self.num += sums.num;
        self.den += sums.den;
        self.capture_lost += sums.capture_lost;
        self.expected += sums.expected;
        self.add_counts(&sums.counts);
        for (at, n) in &sums.present {
            match self.present.binary_search_by_key(at, |(at, _)| *at) {
                Ok(index) => self.present[index].1 += n,
                Err(index) => {
                    self.present.reserve_exact(1);
                    self.present.insert(index, (*at, *n));
                }
            }
        }
    }

    fn add_counts(&mut self, counts: &[u64]) {
        let Some(first) = counts.iter().position(|count| *count > 0) else { return };
        let end = counts.len().max(self.first + self.counts.len());
        if self.counts.is_empty() || first < self.first || end > self.first + self.counts.len() {
            let begin = if self.counts.is_empty() { first } else { first.min(self.first) };
            let mut wider = vec![0; end - begin];
            wider[self.first.saturating_sub(begin)..][..self.counts.len()].copy_from_slice(&self.counts);
            (self.first, self.counts) = (begin, wider);
        }
        for (index, count) in counts.iter().enumerate().skip(first) {
            self.counts[index - self.first] += count;
        }
    }
}

/// What a window measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    pub value: f64,
    /// The true value is above the first with the rule's confidence, and below the second; `None`: not bounded.
    pub low: f64,
    pub high: Option<f64>,
    pub samples: u64,
}

/// Sums of one window.
#[derive(Clone, Debug, Default)]
pub struct WindowSums {
    pub sums: Sums,
    /// Different streams of the window, or calls.
    pub samples: u64,
}

impl WindowSums {
    /// The value over `minutes` with its bounds; `None` where the window has nothing to measure.
    pub fn measure(&self, measure: &Measure, minutes: f64, confidence: f64) -> Option<Measured> {
        let (sums, samples) = (&self.sums, self.samples);
        // Streams weigh by their length, which varies: exponential lengths (variance equal to the squared mean) halve the number of
        // independent samples (Kish 1965, effective sample size).
        let independent = if measure.source == Source::Media { samples.div_ceil(2) } else { samples };
        match measure.kind {
            Kind::Share => {
                if sums.den == 0 {
                    return None;
                }
                let share = sums.num as f64 / sums.den as f64;
                let (low, high) = stat::wilson(share, independent, confidence);
                Some(Measured { value: 100.0 * share, low: 100.0 * low, high: Some(100.0 * high), samples })
            }
            Kind::Quantile(q) => {
                let (low, high) = stat::rank_bounds(q, independent, confidence);
                let read = |q| sums.bucket_at(q).map(|bucket| measure.bucket_middle(bucket));
                Some(Measured { value: read(q)?, low: read(low)?, high: high.and_then(read), samples })
            }
            Kind::PerMinute => {
                let (low, high) = stat::poisson(sums.num, confidence);
                let per = |count: f64| count / minutes.max(1e-9);
                Some(Measured { value: per(sums.num as f64), low: per(low), high: Some(per(high)), samples: sums.num })
            }
            Kind::Exact => {
                let value = sums.num as f64;
                Some(Measured { value, low: value, high: Some(value), samples })
            }
        }
    }
}

/// One figure by group, in slots of `step`.
#[derive(Debug)]
pub struct Series {
    pub figure: Figure,
    source: Source,
    by: Vec<Label>,
    filter: Filter,
    step: Nanos,
    /// How far back slots are kept.
    span: Nanos,
    /// Whether sums of hours are kept for baselines, and how many.
    hours: u32,
    max_groups: usize,
    groups: BTreeMap<GroupKey, Group>,
    /// Rows that went to the group of all others.
    overflowed: u64,
}

/// One group of a series.
#[derive(Debug, Default)]
pub struct Group {
    /// In order.
    slots: VecDeque<Slot>,
    hours: BTreeMap<i64, (u64, u64)>,
    probes: BTreeSet<Arc<str>>,
    pub last_seen: Timestamp,
}

/// How long a group that has no rows is judged.
pub const REMEMBERED: Nanos = Nanos::from_secs(7 * 86_400);

/// What two rules may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesKey {
    pub figure: Figure,
    pub source: Source,
    pub by: Vec<Label>,
    pub filter: Filter,
    pub step: Nanos,
    pub max_groups: usize,
}

impl Series {
    pub fn new(key: &SeriesKey) -> Series {
        Series {
            figure: key.figure,
            source: key.source,
            by: key.by.clone(),
            filter: key.filter.clone(),
            step: key.step,
            span: Nanos(0),
            hours: 0,
            max_groups: key.max_groups.max(1),
            groups: BTreeMap::new(),
            overflowed: 0,
        }
    }

    pub fn is_of(&self, key: &SeriesKey) -> bool {
        self.figure == key.figure
            && self.source == key.source
            && self.by == key.by
            && self.filter == key.filter
            && self.step == key.step
            && self.max_groups == key.max_groups
    }

    pub fn keep(&mut self, span: Nanos, hours: u32) {
        self.span = self.span.max(span);
        self.hours = self.hours.max(hours);
    }

    pub fn groups(&self) -> impl Iterator<Item = (&GroupKey, &Group)> {
        self.groups.iter()
    }

    pub fn group(&self, key: &GroupKey) -> Option<&Group> {
        self.groups.get(key)
    }

    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Adds a row. Rows that are older than what is kept are left out.
    pub fn add(&mut self, input: &SumsInput<'_>, origin: Origin<'_>, now: Timestamp) {
        if input.source() != self.source || !self.filter.accepts(input, origin) {
            return;
        }
        let mut sums = Sums::default();
        let by_codec = |labels: &[Label], filter: &Filter| {
            labels.contains(&Label::Codec) || filter.labels().any(|label| label == Label::Codec)
        };
        match input {
            SumsInput::Media(group) => {
                let f = &group.figures;
                self.figure.add_media(f, group.length.as_secs_f64(), &mut sums);
                if !sums.has_any() {
                    return;
                }
                sums.capture_lost = f.lost_capture + f.lost_suspected_capture;
                sums.expected = f.expected;
                let by_scale = matches!(self.figure, Figure::MosUnder36 | Figure::MosUnder31)
                    || self.by.contains(&Label::MosScale)
                    || self.filter.labels().any(|label| label == Label::MosScale);
                let present = match (by_codec(&self.by, &self.filter), by_scale) {
                    (false, false) => &f.present_before,
                    (true, false) => &f.present_before_codec,
                    (false, true) => &f.present_before_scale,
                    (true, true) => &f.present_before_codec_scale,
                };
                self.add_presence(present, input.start(), now, &mut sums);
            }
            SumsInput::Calls(group) => {
                self.figure.add_calls(&group.figures, &mut sums);
                // A row without attempts still says that the trunk is there.
                if !sums.has_any() && group.figures.up_ms <= 0 {
                    return;
                }
            }
            SumsInput::Capture(capture) => match self.figure {
                Figure::CaptureLoss => sums.share(capture.missed, capture.frames + capture.missed),
                Figure::Shed => sums.share(capture.shed, 1),
                _ => return,
            },
        }
        let key: GroupKey = self.by.iter().map(|label| (*label, Arc::from(input.label(*label, origin)))).collect();
        let key = if self.groups.contains_key(&key) || self.groups.len() < self.max_groups {
            key
        } else {
            self.overflowed += 1;
            self.by.iter().map(|label| (*label, Arc::from(OVERFLOW))).collect()
        };
        let (start, step) = (input.start(), self.step);
        let group = self.groups.entry(key).or_default();
        group.last_seen = group.last_seen.max(start);
        if !group.probes.contains(origin.probe) {
            group.probes.insert(origin.probe.into());
        }
        if self.hours > 0 {
            let hour = group.hours.entry(start.0.div_euclid(HOUR.0)).or_default();
            hour.0 += sums.num;
            hour.1 += sums.den;
        }
        if input.length() <= step && start + self.span + step > now {
            group.slot(slot(start, step)).add(&sums);
        }
    }

    /// Streams by the slot they were present in before; those of before the kept span count as new.
    fn add_presence(&self, present: &Presence, start: Timestamp, now: Timestamp, sums: &mut Sums) {
        let own = slot(start, self.step);
        let oldest = slot(now - self.span, self.step) - 1;
        for (at, n) in present {
            let before = slot(Timestamp::from_secs(i64::from(*at)), self.step);
            if *at == 0 || before < oldest {
                *sums.present.entry(0).or_default() += n;
            } else if before < own {
                *sums.present.entry(*at).or_default() += n;
            }
        }
    }

    /// The sums of `[from, until)` of a group.
    pub fn window(&self, group: &Group, from: Timestamp, until: Timestamp, measure: &Measure) -> WindowSums {
        let mut sums = Sums::default();
        let (first, end) = (ceil_slot(from, self.step), ceil_slot(until, self.step));
        let begin = first * self.step.0 / 1_000_000_000;
        let mut streams = 0;
        for slot in group.slots_of(first, end) {
            streams +=
                slot.present.iter().filter(|(at, _)| *at == 0 || i64::from(*at) < begin).map(|(_, n)| n).sum::<u64>();
            sums.merge(slot);
        }
        let samples = match (measure.source, measure.kind) {
            (Source::Media, _) => streams,
            (_, Kind::Quantile(_)) => sums.counted(),
            (_, Kind::PerMinute) => sums.num,
            _ => sums.den,
        };
        WindowSums { sums, samples }
    }

    /// Forgets what no window needs any more.
    pub fn trim(&mut self, now: Timestamp) {
        let oldest = slot(now - self.span, self.step) - 1;
        let oldest_hour = now.0.div_euclid(HOUR.0) - i64::from(self.hours);
        self.groups.retain(|_, group| {
            while group.slots.front().is_some_and(|slot| slot.at < oldest) {
                group.slots.pop_front();
            }
            group.hours = group.hours.split_off(&oldest_hour);
            group.is_remembered(now) || !group.hours.is_empty()
        });
    }
}

const HOUR: Nanos = Nanos::from_secs(3600);

impl Group {
    /// The slot of this number, made where there is none. Rows come nearly in order, so that it is one of the last.
    fn slot(&mut self, at: i64) -> &mut Slot {
        let index = self.slots.partition_point(|slot| slot.at < at);
        if self.slots.get(index).is_none_or(|slot| slot.at != at) {
            self.slots.insert(index, Slot { at, ..Slot::default() });
        }
        &mut self.slots[index]
    }

    fn slots_of(&self, first: i64, end: i64) -> impl Iterator<Item = &Slot> {
        let begin = self.slots.partition_point(|slot| slot.at < first);
        let end = self.slots.partition_point(|slot| slot.at < end).max(begin);
        self.slots.range(begin..end)
    }

    /// Whether it had a row within [`REMEMBERED`].
    pub fn is_remembered(&self, now: Timestamp) -> bool {
        self.last_seen + REMEMBERED >= now
    }

    pub fn probes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.probes.iter()
    }

    /// Numerator and denominator of an hour (hours since 1970).
    pub fn hour(&self, hour: i64) -> Option<(u64, u64)> {
        self.hours.get(&hour).copied()
    }
}

fn slot(at: Timestamp, step: Nanos) -> i64 {
    at.0.div_euclid(step.0.max(1))
}

fn ceil_slot(at: Timestamp, step: Nanos) -> i64 {
    -(-at.0).div_euclid(step.0.max(1))
}

/// What each probe saw, for the question whether a window can be judged.
#[derive(Debug, Default)]
pub struct Probes {
    probes: BTreeMap<Arc<str>, Probe>,
}

#[derive(Debug, Default)]
struct Probe {
    site: Arc<str>,
    /// By minute: nanoseconds in which frames were seen, frames, and frames that were missed.
    minutes: BTreeMap<i64, (i64, u64, u64)>,
    /// Start of the newest interval with frames, and its end.
    newest: Timestamp,
    heard_until: Timestamp,
}

/// What a window of some probes is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Percent of the frames that were missed.
    pub missed_pct: f64,
    /// Share of the window in which frames were seen, of the probe that saw least.
    pub covered: f64,
    /// Whether anything is known of these probes.
    pub known: bool,
    /// How long before the end of the window the last frame was, of the probe that was silent longest.
    pub silent: Nanos,
}

const MINUTE: Nanos = Nanos::from_secs(60);

impl Probes {
    pub fn add(&mut self, origin: Origin<'_>, capture: &CaptureSums) {
        if !self.probes.contains_key(origin.probe) {
            self.probes.insert(origin.probe.into(), Probe { site: origin.site.into(), ..Probe::default() });
        }
        let Some(probe) = self.probes.get_mut(origin.probe) else { return };
        let minute = probe.minutes.entry(slot(capture.start, MINUTE)).or_default();
        minute.1 += capture.frames;
        minute.2 += capture.missed;
        // Another interface of the same interval covers no further time.
        if capture.frames > 0 && (capture.start > probe.newest || probe.heard_until == Timestamp::default()) {
            probe.newest = capture.start;
            minute.0 += capture.length.0;
        }
        if capture.frames > 0 {
            probe.heard_until = probe.heard_until.max(capture.start + capture.length);
        }
    }

    pub fn began(&mut self, origin: Origin<'_>, at: Timestamp) {
        if !self.probes.contains_key(origin.probe) {
            let probe = Probe { site: origin.site.into(), heard_until: at, ..Probe::default() };
            self.probes.insert(origin.probe.into(), probe);
        }
    }

    pub fn coverage<'a>(
        &self,
        probes: impl Iterator<Item = &'a Arc<str>>,
        from: Timestamp,
        until: Timestamp,
    ) -> Coverage {
        let (mut frames, mut missed) = (0, 0);
        let mut coverage = Coverage { covered: 1.0, ..Coverage::default() };
        for probe in probes.filter_map(|name| self.probes.get(name)) {
            coverage.known = true;
            let mut covered = 0;
            for (_, minute) in probe.minutes.range(slot(from, MINUTE)..ceil_slot(until, MINUTE).max(slot(from, MINUTE)))
            {
                covered += minute.0;
                frames += minute.1;
                missed += minute.2;
            }
            let length = (until - from).0.max(1) as f64;
            coverage.covered = coverage.covered.min(covered as f64 / length);
            let silent = if probe.heard_until < until { until - probe.heard_until } else { Nanos(0) };
            coverage.silent = coverage.silent.max(silent);
        }
        if frames + missed > 0 {
            coverage.missed_pct = 100.0 * missed as f64 / (frames + missed) as f64;
        }
        coverage
    }

    /// Probes with their sites, and since when each has seen no frame.
    pub fn heard(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, Timestamp)> {
        self.probes.iter().map(|(name, probe)| (name, &probe.site, probe.heard_until))
    }

    pub fn trim(&mut self, now: Timestamp, span: Nanos) {
        let oldest = slot(now - span, MINUTE) - 1;
        self.probes.retain(|_, probe| {
            probe.minutes = probe.minutes.split_off(&oldest);
            probe.heard_until + REMEMBERED >= now
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A slot holds what was added, whichever rows came first and wherever their buckets lie.
        #[test]
        fn a_slot_adds_up_as_the_plain_sums_do(
            rows in prop::collection::vec((prop::collection::vec((0usize..130, 1u64..9), 0..6), 0u32..5, 1u64..9), 0..12),
        ) {
            let (mut slot, mut counts, mut present) = (Slot::default(), vec![0; 130], BTreeMap::new());
            for (buckets, at, streams) in &rows {
                let mut sums = Sums::default();
                for (bucket, count) in buckets {
                    sums.count(*bucket, *count, 130);
                    counts[*bucket] += count;
                }
                sums.present.insert(*at, *streams);
                *present.entry(*at).or_insert(0) += streams;
                slot.add(&sums);
            }
            let mut read = Sums::default();
            read.merge(&slot);
            read.counts.resize(130, 0);
            prop_assert_eq!(read.counts, counts);
            prop_assert_eq!(read.present, present);
        }
    }

    #[test]
    fn slots_stay_in_order_when_rows_come_late() {
        let mut group = Group::default();
        for at in [5, 3, 9, 3, 7, 5] {
            group.slot(at).num += 1;
        }
        let of = |first, end| group.slots_of(first, end).map(|slot| (slot.at, slot.num)).collect::<Vec<_>>();
        assert_eq!(of(0, 99), [(3, 2), (5, 2), (7, 1), (9, 1)]);
        assert_eq!((of(4, 9), of(9, 9), of(10, 4)), (vec![(5, 2), (7, 1)], vec![], vec![]));
    }
}
