//! Sums over streams.

use crate::model::{
    CodecId, DISSATISFIED_MOS, FAIR_MOS, GroupTrunk, IntervalReport, LossSource, MediaFigures, OTHER, Presence,
    RPoints, Scale, StreamId,
};
use crate::quality::codecs;
use crate::units::{Nanos, Timestamp};
use siphasher::sip::SipHasher24;
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;

/// Codecs and scales of one stream whose presence is remembered; of more the one that was longest absent counts as new.
const REMEMBERED: usize = 8;

/// Which sum a stream belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub start: Timestamp,
    pub trunk: GroupTrunk,
    pub codec: CodecId,
    pub mos_scale: Option<Scale>,
}

/// When a stream was last present with one codec and on one scale.
#[derive(Clone, Copy, Debug)]
struct Present {
    codec: u64,
    mos_scale: Option<Scale>,
    /// Start of the interval, seconds.
    at: u32,
}

#[derive(Debug)]
pub(super) struct Media {
    open: BTreeMap<Key, MediaFigures>,
    streams: HashMap<StreamId, SmallVec<[Present; 2]>>,
    /// Groups of the newest interval, stated ones among them, and those of codecs that are not known.
    taken: Taken,
    limit: usize,
    other: CodecId,
    in_other: u64,
}

#[derive(Debug, Default)]
struct Taken {
    start: Timestamp,
    groups: usize,
    unknown: usize,
}

impl Media {
    pub fn new(limit: usize) -> Media {
        Media {
            open: BTreeMap::new(),
            streams: HashMap::new(),
            taken: Taken::default(),
            limit,
            other: OTHER.into(),
            in_other: 0,
        }
    }

    pub fn open(&self) -> usize {
        self.open.len()
    }

    pub fn in_other(&self) -> u64 {
        self.in_other
    }

    pub fn interval(&mut self, interval: &IntervalReport, trunk: GroupTrunk) {
        let mos_scale = interval.mos.rated().map(|rated| rated.scale);
        let mut key = Key { start: interval.start, trunk, codec: interval.codec.clone(), mos_scale };
        if !self.open.contains_key(&key) && !self.has_place(&key) {
            key.codec = self.other.clone();
            self.in_other += 1;
        }
        // 0 says never: a clock that was not set begins in the first second of 1970.
        let at = (interval.start.0 / 1_000_000_000).clamp(1, i64::from(u32::MAX)) as u32;
        let present = Present { codec: hash_of(&key.codec), mos_scale, at };
        let figures = self.open.entry(key).or_default();
        let before = self.streams.entry(interval.stream).or_default();
        count_presence(figures, before, present);
        add(figures, interval);
    }

    /// The stream will not come again.
    pub fn ended(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// No stream was seen before.
    pub fn forget(&mut self) {
        self.streams.clear();
    }

    /// Hands out the sums of intervals that begin before `until`, in the order of their keys.
    pub fn take(&mut self, until: Timestamp, out: &mut dyn FnMut(Key, MediaFigures)) {
        while let Some(first) = self.open.first_entry().filter(|first| first.key().start < until) {
            let (key, figures) = first.remove_entry();
            out(key, figures);
        }
    }

    /// Whether another group may be opened.
    fn has_place(&mut self, key: &Key) -> bool {
        if key.start > self.taken.start {
            self.taken = Taken { start: key.start, ..Taken::default() };
        }
        let known = key.codec.is_empty() || codecs::listed_name(&key.codec) == Some(&*key.codec);
        let taken = &mut self.taken;
        if taken.groups >= self.limit || !known && taken.unknown >= self.limit / 2 {
            return false;
        }
        taken.groups += 1;
        taken.unknown += usize::from(!known);
        true
    }
}

fn hash_of(codec: &str) -> u64 {
    let mut hash = SipHasher24::new();
    hash.write(codec.as_bytes());
    hash.finish()
}

/// Counts when the stream was present before, and remembers that it is now.
fn count_presence(figures: &mut MediaFigures, before: &mut SmallVec<[Present; 2]>, now: Present) {
    let codec = |p: &Present| p.codec == now.codec;
    let scale = |p: &Present| p.mos_scale == now.mos_scale;
    let mut count = |place: fn(&mut MediaFigures) -> &mut Presence, same: &dyn Fn(&Present) -> bool| {
        let last = before.iter().filter(|p| same(p)).map(|p| p.at).max().unwrap_or(0);
        *place(figures).entry(last).or_default() += 1;
    };
    count(|f| &mut f.present_before, &|_| true);
    count(|f| &mut f.present_before_codec, &codec);
    count(|f| &mut f.present_before_scale, &scale);
    count(|f| &mut f.present_before_codec_scale, &|p| codec(p) && scale(p));
    figures.streams_begun += u64::from(before.is_empty());
    if let Some(same) = before.iter_mut().find(|p| codec(p) && scale(p)) {
        same.at = now.at;
    } else if before.len() < REMEMBERED {
        before.push(now);
    } else if let Some(oldest) = before.iter_mut().min_by_key(|p| p.at) {
        *oldest = now;
    }
}

fn add(sum: &mut MediaFigures, interval: &IntervalReport) {
    let n = &interval.numbers;
    sum.streams += 1;
    sum.packets += n.packets;
    sum.unique += n.unique;
    sum.expected += n.expected;
    // Undecided packets count as the network's, as in a row's majority.
    let capture = interval.quality.loss.by_source(LossSource::Capture);
    let suspected = interval.quality.loss.by_source(LossSource::SuspectedCapture);
    sum.lost_capture += capture;
    sum.lost_suspected_capture += suspected;
    sum.lost_network += n.lost().saturating_sub(capture + suspected);
    sum.reordered += n.reordered;
    sum.duplicates_probe += n.duplicates_probe;
    sum.duplicates_network += n.duplicates_network;
    sum.payload_bytes += n.payload_bytes;
    for (all, one) in sum.late.iter_mut().zip(n.late) {
        *all += one;
    }
    for (all, one) in sum.loss_runs.iter_mut().zip(n.loss_runs.counts) {
        *all += u64::from(one);
    }
    sum.longest_loss_run = sum.longest_loss_run.max(n.loss_runs.longest);
    if n.pdv.total() > 0 {
        sum.pdv.merge(&n.pdv);
        sum.pdv_max = sum.pdv_max.max(n.pdv_max);
    }
    if let Some(mean) = n.jitter.mean_ns() {
        sum.jitter.record(Nanos(mean as i64));
        sum.jitter_max_ns = sum.jitter_max_ns.max(n.jitter.max_ns);
    }
    if let Some(lq) = interval.mos.lq.filter(|lq| lq.is_finite()) {
        *sum.mos.entry((lq * 100.0).round_ties_even() as u16).or_default() += 1;
        sum.mos_under_3_6 += u64::from(lq < DISSATISFIED_MOS);
        sum.mos_under_3_1 += u64::from(lq < FAIR_MOS);
    }
    sum.concealed_seconds += n.concealed_seconds;
    sum.severely_concealed_seconds += n.severely_concealed_seconds;
    if let Some(budget) = &interval.mos.budget {
        let milli = |points: f32| (f64::from(points) * 1000.0).round() as i64;
        let RPoints { clean_max, codec, loss, late, delay } = *budget;
        sum.r_rated += 1;
        sum.r_clean_max_milli += milli(clean_max);
        sum.r_cost_codec_milli += milli(codec);
        sum.r_cost_loss_milli += milli(loss);
        sum.r_cost_late_milli += milli(late);
        sum.r_cost_delay_milli += milli(delay);
    }
    sum.one_sided += u64::from(interval.quality.one_sided);
    sum.capture_drops = sum.capture_drops.max(interval.quality.capture_drops);
}
