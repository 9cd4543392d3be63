//! A table of streams and candidates: one shard, owned by one thread.

use super::coalesce::{PacketCoalescer, PacketCoalescers};
use super::evict::EvictionIndex;
use super::packet::{Endpoint, FlowKey, Packet};
use super::payloads::Payloads;
use super::sequence::Arrival;
use super::stream::{ClockStepSample, SequencePosition, Stream};
use super::warmup::Pool;
use crate::model::{DISCARD_BUFFERS_MS, Ignored, JitterBuffer};
use crate::model::{
    IntervalReport, Limits, Outcome, OutcomeCounts, OverLimit, PayloadMap, Policy, Shedding, StreamId, StreamReport,
};
use crate::quality::assess::nearest_buffer;
use crate::units::{Nanos, Seeded, Timestamp};
use hashbrown::{HashMap, HashTable};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Packets in sequence that make a stream of an address an offer or answer named (RFC 3550 A.1 MIN_SEQUENTIAL).
const CONFIRM_EXPECTED: u8 = 2;
/// The same when no signalling was seen.
const CONFIRM_UNSIGNALLED: u8 = 4;
/// First packets of a candidate that are kept; enough to confirm it with some disorder.
const CANDIDATE_PACKETS: usize = 8;
/// The same with their copies: a mirror may show every packet three times.
const CANDIDATE_COPIES: usize = 3 * CANDIDATE_PACKETS;

/// Packets by which the list of a candidate grows.
const CANDIDATE_GROWTH: usize = 4;

/// Numbers missing between two packets of a candidate that may still be one stream.
const MAX_GAP: u16 = 100;
/// Timestamp step per packet of any audio or video: 120 ms at 48 kHz.
const MAX_TICKS: u32 = 5760;

/// Packets of one timestamp (a video frame, a telephone event) are closer together than this.
const STANDS_STILL: Nanos = Nanos::from_millis(100);

/// Destinations of one sender and SSRC that are looked through for numbers that went elsewhere.
const MAX_SAME_SOURCE: u16 = 64;

/// Packets of an ended call that come later than this after the next call announced their address belong to that one.
const IN_FLIGHT: Nanos = Nanos::from_millis(200);

/// A stream that had packets this long before a silence of everything was active.
const ACTIVE: Nanos = Nanos::from_millis(500);

/// What an offer or answer says about one receiving address.
#[derive(Clone, Debug)]
pub struct Hint {
    pub endpoint: Endpoint,
    pub payloads: Arc<[PayloadMap]>,
}

/// Numbers missing between two packets that came one after the other. They may still come late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub stream: StreamId,
    /// The last packet before it, and the first after it.
    pub at: Timestamp,
    pub noticed: Timestamp,
    pub missing: u32,
}

#[derive(Debug)]
pub enum MediaEvent {
    Started(Box<StreamReport>),
    /// With the time of the stream's last packet.
    Interval(Box<IntervalReport>, Timestamp),
    Gap(Gap),
    Ended(Box<StreamReport>),
}

/// Where a stream is, or that there is none, as of the last time a stream was made or ended.
#[derive(Clone, Copy, Debug)]
pub struct SlotHint {
    slot: u32,
    changes: u32,
}

impl SlotHint {
    pub const UNKNOWN: SlotHint = SlotHint { slot: u32::MAX, changes: 0 };
}

/// A stream that has something to say at the end of an interval. Sorted by identity, those of several shards are in
/// one order.
#[derive(Clone, Copy, Debug)]
pub struct IntervalClose {
    pub stream: StreamId,
    pub last_at: Timestamp,
    /// Packets expected and lost in the interval so far.
    pub expected: u32,
    pub lost: u32,
    /// Runs of lost packets.
    pub runs: u32,
    slot: u32,
    /// It ends, and not only its interval.
    ends: bool,
}

#[derive(Debug)]
struct Candidate {
    packets: Vec<Packet>,
    /// Most packets that follow each other.
    in_sequence: u8,
    repeats: usize,
    expected: bool,
    last_at: Timestamp,
    serial: u64,
}

pub struct Shard {
    interval: Nanos,
    interval_start: Timestamp,
    stream_timeout: Nanos,
    /// The same for a stream of a call; its call is over by then.
    call_timeout: Nanos,
    candidate_timeout: Nanos,
    find_unsignalled: bool,
    /// The jitter buffer whose discards count with the lost packets.
    buffer: JitterBuffer,
    max_streams: usize,
    max_candidates: usize,
    candidates_per_flow: usize,
    hasher: Seeded,
    index: HashTable<u32>,
    streams: Vec<Option<Box<Stream>>>,
    /// By the same slots.
    coalescers: PacketCoalescers,
    /// Streams of this batch whose coalescers are full.
    full: Vec<u32>,
    /// How often a stream was made or ended, from 1; what was found before the last time is found anew.
    changes: u32,
    free: Vec<u32>,
    active: usize,
    /// The youngest stream of each sender and SSRC; it leads to the others.
    by_source: HashTable<u32>,
    candidates: HashMap<FlowKey, Candidate, Seeded>,
    candidates_of_flow: HashMap<(Endpoint, Endpoint), u32, Seeded>,
    /// Candidates in order of appearance, those that are gone among them: of no known address, and of one that an offer
    /// or answer had named.
    by_age: [VecDeque<(u64, FlowKey)>; 2],
    serial: u64,
    pending: u64,
    hints: HashMap<Endpoint, Arc<[PayloadMap]>, Seeded>,
    pool: Pool,
    /// Buffers of reports, reused.
    rows: Vec<IntervalReport>,
    /// Streams that keep their delays back.
    suspects: Vec<u32>,
    media: u64,
    outcomes: OutcomeCounts,
    eviction: EvictionIndex,
    shedding: Shedding,
}

impl Shard {
    /// `shards` is how many share the limits.
    pub fn new(policy: &Policy, limits: &Limits, shards: usize, seed: u64) -> Shard {
        let hasher = Seeded::new(seed);
        Shard {
            interval: policy.interval,
            interval_start: Timestamp::MIN,
            stream_timeout: policy.stream_timeout,
            call_timeout: policy.call_timeout.max(policy.stream_timeout),
            candidate_timeout: policy.candidate_timeout,
            find_unsignalled: policy.find_unsignalled,
            buffer: discard_buffer(policy.jitter_buffer),
            max_streams: limits.streams.div_ceil(shards),
            max_candidates: limits.candidates.div_ceil(shards),
            candidates_per_flow: limits.candidates_per_flow,
            hasher: hasher.clone(),
            index: HashTable::new(),
            streams: Vec::new(),
            coalescers: PacketCoalescers::default(),
            full: Vec::new(),
            changes: 1,
            free: Vec::new(),
            active: 0,
            by_source: HashTable::new(),
            candidates: HashMap::with_hasher(hasher.clone()),
            candidates_of_flow: HashMap::with_hasher(hasher.clone()),
            by_age: Default::default(),
            serial: 0,
            pending: 0,
            hints: HashMap::with_hasher(hasher.clone()),
            pool: Pool::default(),
            rows: Vec::new(),
            suspects: Vec::new(),
            media: 0,
            outcomes: OutcomeCounts::default(),
            eviction: EvictionIndex::default(),
            shedding: Shedding::default(),
        }
    }

    /// What [`Shard::slot_hint`] looks a packet up by.
    #[inline]
    pub fn hash(&self, packet: &Packet) -> u64 {
        self.hasher.hash_one(packet.key)
    }

    /// Where the packet's stream is. Found for a whole batch first, the waits for memory overlap instead of following
    /// each other.
    #[inline]
    pub fn slot_hint(&self, hash: u64, packet: &Packet) -> SlotHint {
        let found = self.index.find(hash, |slot| self.coalescers.get(*slot).is_some_and(|f| f.key() == packet.key));
        SlotHint { slot: found.copied().unwrap_or(u32::MAX), changes: self.changes }
    }

    /// Takes a packet. `place` may be old: a packet of the same batch may have moved or made the stream.
    #[inline]
    pub fn packet(&mut self, hint: SlotHint, packet: &Packet, out: &mut Vec<MediaEvent>) {
        let current = hint.changes == self.changes;
        let slot = if current { hint.slot } else { self.slot_hint(self.hash(packet), packet).slot };
        let Some(coalescer) = self.coalescers.get_mut(slot) else {
            return self.candidate(packet, out);
        };
        if !coalescer.try_push(packet) {
            return self.unusual(slot, packet, out);
        }
        self.media += u64::from(packet.is_outcome);
        if coalescer.is_full() {
            self.full.push(slot);
        }
    }

    /// Ends a batch: packets that fill their front are measured. Until then the waits for the memory of all their streams
    /// overlap.
    #[inline]
    pub fn drain_full(&mut self) {
        if self.full.is_empty() {
            return;
        }
        let full = std::mem::take(&mut self.full);
        let touched = full.iter().fold(0, |all, slot| all ^ self.at(*slot).map_or(0, Stream::prefetch));
        std::hint::black_box(touched);
        for slot in &full {
            self.drained(*slot);
        }
        self.full = full;
        self.full.clear();
    }

    /// A packet that cannot wait.
    #[inline(never)]
    fn unusual(&mut self, slot: u32, packet: &Packet, out: &mut Vec<MediaEvent>) {
        let Some(stream) = self.drained(slot) else { return };
        if stream.is_handed_over_before(packet) {
            self.remove(slot, self.interval_start, out);
            return self.candidate(packet, out);
        }
        if stream.comes_back(packet) && self.after_silence(slot, packet, out) {
            return;
        }
        self.media += u64::from(packet.is_outcome);
        let Some(stream) = self.streams[slot as usize].as_deref_mut() else { return };
        let at = stream.last_at;
        if let Arrival::Ahead { step: step @ 2.. } = stream.packet(packet, &mut self.pool) {
            let missing = step - 1;
            out.push(MediaEvent::Gap(Gap { stream: stream.id, at, noticed: packet.at, missing }));
        }
        if let Some(coalescer) = self.coalescers.get_mut(slot) {
            coalescer.follow(stream);
        }
    }

    /// A stream with all that came for it measured.
    fn drained(&mut self, slot: u32) -> Option<&mut Stream> {
        let stream = self.streams.get_mut(slot as usize)?.as_deref_mut()?;
        if let Some(coalescer) = self.coalescers.get_mut(slot) {
            coalescer.drain_into(stream, &mut self.pool);
        }
        Some(stream)
    }

    fn drain_all(&mut self) {
        for slot in 0..self.streams.len() as u32 {
            self.drained(slot);
        }
    }

    /// A stream as far as it has been measured: who it is, but not what came last.
    #[inline]
    fn at(&self, slot: u32) -> Option<&Stream> {
        self.streams.get(slot as usize)?.as_deref()
    }

    /// Takes what was said about an address, for streams to come.
    pub fn hint(&mut self, hint: &Hint) {
        self.hints.insert(hint.endpoint, Arc::clone(&hint.payloads));
    }

    /// Passes on to a stream what its call said of the payload types at one of its addresses, or (`follows` is false) only that it
    /// has a call.
    pub fn apply_sdp(&mut self, id: StreamId, key: FlowKey, payloads: &Arc<[PayloadMap]>, follows: bool) {
        let Some(slot) = self.slot_of(id, key) else { return };
        if self.drained(slot).is_none() {
            return;
        }
        let Some(stream) = self.streams[slot as usize].as_deref_mut() else { return };
        stream.signalled = true;
        if follows {
            stream.hint(payloads, &mut self.pool);
            if let Some(coalescer) = self.coalescers.get_mut(slot) {
                coalescer.follow(stream);
            }
        }
    }

    /// A stream so far.
    pub fn report(&mut self, id: StreamId, key: FlowKey) -> Option<StreamReport> {
        self.slot_of(id, key).and_then(|slot| self.drained(slot)).map(Stream::report)
    }

    /// Ends a stream whose call is over, because another call announced its address at `at`. Packets of it may still be on
    /// their way: one that had packets a moment ago takes those that continue it for [`IN_FLIGHT`].
    pub fn hand_over(&mut self, id: StreamId, key: FlowKey, at: Timestamp, out: &mut Vec<MediaEvent>) {
        let Some(slot) = self.slot_of(id, key) else { return };
        let Some(stream) = self.drained(slot) else { return };
        if at - stream.last_at >= IN_FLIGHT {
            return self.remove(slot, self.interval_start, out);
        }
        let Some(stream) = self.streams[slot as usize].as_deref_mut() else { return };
        stream.ends_at = stream.ends_at.or(Some(at + IN_FLIGHT));
        if let Some(coalescer) = self.coalescers.get_mut(slot) {
            coalescer.follow(stream);
        }
    }

    pub fn forget_hint(&mut self, endpoint: Endpoint) {
        self.hints.remove(&endpoint);
    }

    /// Names the streams whose interval ends at `boundary`: those with something to report, and those that timed out. All of
    /// them where there is no boundary, at the end. Names to `silent` those of a call that have had no packet for one whole
    /// interval, once.
    pub fn streams_to_close(
        &mut self,
        boundary: Option<Timestamp>,
        to: &mut dyn FnMut(IntervalClose),
        silent: &mut dyn FnMut(StreamId),
    ) {
        let (interval, timeout, call_timeout) = (self.interval, self.stream_timeout, self.call_timeout);
        for slot in 0..self.streams.len() as u32 {
            let Some(stream) = self.drained(slot) else { continue };
            let ends = match boundary {
                Some(boundary) => {
                    // A stream of a call ends with its call: until then an outage may end.
                    let lasts = stream.lasts_as_its_call();
                    let timeout = if lasts { call_timeout } else { timeout };
                    let quiet = stream.quiet(boundary - interval, boundary);
                    if lasts && quiet >= interval && quiet < interval + interval {
                        silent(stream.id);
                    }
                    quiet >= timeout
                }
                None => true,
            };
            if ends || stream.has_news() {
                let (expected, lost, runs) = stream.loss_so_far();
                to(IntervalClose { stream: stream.id, last_at: stream.last_at, expected, lost, runs, slot, ends });
            }
        }
    }

    /// Reads ahead what [`Shard::close_interval`] will need.
    pub fn prefetch(&self, close: &IntervalClose) -> u64 {
        self.at(close.slot).map_or(0, Stream::prefetch)
    }

    /// Ends a stream's interval, or the stream.
    pub fn close_interval(&mut self, close: &IntervalClose, out: &mut Vec<MediaEvent>) {
        if close.ends {
            return self.remove(close.slot, self.interval_start, out);
        }
        let (start, length) = (self.interval_start, self.interval);
        let Some(stream) = self.streams[close.slot as usize].as_deref_mut() else { return };
        stream.end_interval(start, length, &mut self.rows);
        out.extend(self.rows.drain(..).map(|row| MediaEvent::Interval(Box::new(row), close.last_at)));
    }

    /// Begins the next interval and gives up candidates that timed out, when every stream had its close.
    pub fn advance_interval(&mut self, boundary: Timestamp) {
        self.interval_start = boundary;
        let timeout = self.candidate_timeout;
        self.drop_candidates(|c| boundary - c.last_at >= timeout);
        self.eviction = EvictionIndex::default();
    }

    /// Says when the present interval began, before the first packet.
    pub fn begin(&mut self, start: Timestamp) {
        self.interval_start = start;
    }

    /// Ends one stream because its call is over.
    pub fn close(&mut self, id: StreamId, key: FlowKey, out: &mut Vec<MediaEvent>) {
        if let Some(slot) = self.slot_of(id, key) {
            self.remove(slot, self.interval_start, out);
        }
    }

    fn slot_of(&self, id: StreamId, key: FlowKey) -> Option<u32> {
        let stream = |slot: &u32| self.streams[*slot as usize].as_deref();
        self.index.find(self.hasher.hash_one(key), |slot| stream(slot).is_some_and(|s| s.id == id)).copied()
    }

    /// The stream of a flow, if it is measured here.
    pub fn find(&self, key: &FlowKey) -> Option<StreamId> {
        let found = self
            .index
            .find(self.hasher.hash_one(*key), |slot| self.coalescers.get(*slot).is_some_and(|f| f.key() == *key));
        self.at(*found?).map(|stream| stream.id)
    }

    /// Where a stream stands; `None` when it is not here.
    pub fn sequence_position(&mut self, id: StreamId, key: FlowKey) -> Option<SequencePosition> {
        self.slot_of(id, key).and_then(|slot| self.drained(slot)).map(|stream| stream.sequence_position())
    }

    /// Gives up all candidates, when every stream had its last close.
    pub fn finish(&mut self) {
        self.drop_candidates(|_| true);
    }

    /// Streams that were active before a silence of everything keep their delays back until [`Shard::resolve_clock_check`]; how many.
    pub fn suspect(&mut self, before: Timestamp) -> usize {
        if self.active == 0 {
            return 0;
        }
        self.drain_all();
        for (slot, stream) in self.streams.iter_mut().enumerate() {
            let Some(stream) = stream.as_deref_mut() else { continue };
            if before - stream.last_at <= ACTIVE && stream.suspect(&mut self.pool) {
                self.suspects.push(slot as u32);
            }
        }
        self.suspects.len()
    }

    /// What they show of a silence that ended at `to`; `half` parts the time since.
    pub fn clock_step_samples(&mut self, to: Timestamp, half: Timestamp) -> Vec<ClockStepSample> {
        let suspects = self.suspects.clone();
        suspects.iter().filter_map(|slot| self.drained(*slot)?.clock_step_sample(to, half)).collect()
    }

    /// Delays kept back are counted; `step` is when and by how much the clock was set, if it was.
    pub fn resolve_clock_check(&mut self, step: Option<(Timestamp, Nanos)>) {
        for slot in std::mem::take(&mut self.suspects) {
            self.drained(slot);
            if let Some(stream) = self.streams.get_mut(slot as usize).and_then(Option::as_deref_mut) {
                stream.resolve_clock_check(step, &mut self.pool);
            }
        }
    }

    /// Frames handed in since the last call, by outcome.
    pub fn take_outcomes(&mut self) -> OutcomeCounts {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        outcomes.add(Outcome::Media, std::mem::take(&mut self.media));
        outcomes
    }

    /// What the limit on streams cost since the last call.
    pub fn take_shedding(&mut self) -> Shedding {
        std::mem::take(&mut self.shedding)
    }

    /// Frames of candidates that are neither confirmed nor given up.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    pub fn is_idle(&self) -> bool {
        self.active == 0 && self.candidates.is_empty()
    }

    pub fn active(&self) -> usize {
        self.active
    }

    /// A packet of no known stream.
    #[inline(never)]
    fn candidate(&mut self, packet: &Packet, out: &mut Vec<MediaEvent>) {
        let expected = self.hints.contains_key(&packet.key.dst()) || self.hints.contains_key(&packet.key.src());
        if !(expected || self.find_unsignalled && plausible_payload_type(packet.payload_type)) {
            self.outcomes.add(Outcome::Ignored(Ignored::OtherUdp), u64::from(packet.is_outcome));
            return;
        }
        let flow = (packet.key.src(), packet.key.dst());
        if !self.candidates.contains_key(&packet.key) {
            let of_flow = self.candidates_of_flow.get(&flow).copied().unwrap_or(0);
            if of_flow as usize >= self.candidates_per_flow {
                self.outcomes.add(Outcome::OverLimit(OverLimit::Candidates), u64::from(packet.is_outcome));
                return;
            }
            self.make_room();
            *self.candidates_of_flow.entry(flow).or_default() += 1;
            self.candidates.insert(
                packet.key,
                Candidate {
                    packets: Vec::with_capacity(2),
                    in_sequence: 0,
                    repeats: 0,
                    expected,
                    last_at: packet.at,
                    serial: self.serial,
                },
            );
            self.by_age[usize::from(expected)].push_back((self.serial, packet.key));
            self.serial += 1;
        }
        let Some(candidate) = self.candidates.get_mut(&packet.key) else { return };
        candidate.take(packet, expected);
        self.pending += u64::from(packet.is_outcome);
        if candidate.in_sequence >= if candidate.expected { CONFIRM_EXPECTED } else { CONFIRM_UNSIGNALLED } {
            self.confirm(packet.key, out);
        } else if candidate.packets.len() - candidate.repeats >= CANDIDATE_PACKETS
            || candidate.packets.len() >= CANDIDATE_COPIES
        {
            self.drop_candidate(packet.key);
        }
    }

    /// The oldest candidate makes room: a stream is confirmed within a few packets, a flood of others never. One that
    /// signalling had announced goes last: at a million packets a second, the others do not stay for four of theirs.
    fn make_room(&mut self) {
        let is_there = |candidates: &HashMap<FlowKey, Candidate, Seeded>, (serial, key): &(u64, FlowKey)| {
            candidates.get(key).is_some_and(|c| c.serial == *serial)
        };
        while self.candidates.len() >= self.max_candidates
            && let Some(oldest) = self.by_age.iter_mut().find_map(VecDeque::pop_front)
        {
            if is_there(&self.candidates, &oldest)
                && let Some(candidate) = self.forget_candidate(oldest.1)
            {
                self.outcomes.add(Outcome::OverLimit(OverLimit::Candidates), candidate.outcomes());
            }
        }
        for by_age in &mut self.by_age {
            if by_age.len() >= self.max_candidates.saturating_mul(2).max(64) {
                let candidates = &self.candidates;
                by_age.retain(|c| is_there(candidates, c));
            }
        }
    }

    fn confirm(&mut self, key: FlowKey, out: &mut Vec<MediaEvent>) {
        let signalled = self.hints.contains_key(&key.dst()) || self.hints.contains_key(&key.src());
        if self.active >= self.max_streams && !self.evict(key, signalled, out) {
            self.shedding.streams_refused += 1;
            if let Some(candidate) = self.forget_candidate(key) {
                self.outcomes.add(Outcome::OverLimit(OverLimit::Streams), candidate.outcomes());
            }
            return;
        }
        let Some(candidate) = self.forget_candidate(key) else { return };
        let Some(first) = candidate.packets.first() else { return };
        let known = self.hints.get(&key.dst()).or_else(|| self.hints.get(&key.src())).cloned();
        let mut stream = Stream::new(first, Payloads::new(first.payload_type, first.payload_len, known), self.buffer);
        stream.signalled = signalled;
        stream.first_packet(first, &mut self.pool);
        for packet in &candidate.packets[1..] {
            stream.packet(packet, &mut self.pool);
        }
        self.media += candidate.outcomes();
        self.insert(stream, out);
    }

    /// Ends one stream so that another one has room: the longest idle one, else, for a stream of a call, the youngest
    /// that belongs to none. Never one of a call. What there is to shed is looked for once an interval.
    #[inline(never)]
    fn evict(&mut self, key: FlowKey, signalled: bool, out: &mut Vec<MediaEvent>) -> bool {
        let Some(now) = self.candidates.get(&key).map(|c| c.last_at) else { return false };
        let mut eviction = std::mem::take(&mut self.eviction);
        if !eviction.has_looked() {
            self.drain_all();
        }
        eviction.look(now, self.streams.iter().enumerate().filter_map(|(slot, s)| Some((slot as u32, s.as_deref()?))));
        let unsignalled = |slot: u32, id: StreamId| self.at(slot).filter(|stream| stream.id == id && !stream.signalled);
        let waits = |slot: u32| self.coalescers.get(slot).is_some_and(PacketCoalescer::has_waiting);
        let idle =
            eviction.idlest(|at, slot, id| unsignalled(slot, id).is_some_and(|s| s.last_at == at && !waits(slot)));
        let victim =
            idle.or_else(|| signalled.then(|| eviction.youngest(|slot, id| unsignalled(slot, id).is_some())).flatten());
        self.eviction = eviction;
        let Some(slot) = victim else { return false };
        self.remove(slot, self.interval_start, out);
        if let Some(MediaEvent::Ended(report)) = out.last_mut() {
            report.quality.evicted = true;
        }
        self.shedding.streams_shed += 1;
        true
    }

    fn insert(&mut self, mut stream: Stream, out: &mut Vec<MediaEvent>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.streams.push(None);
            self.streams.len() as u32 - 1
        });
        let key = stream.key;
        let older = self.lead(&key, slot);
        let depth = older.and_then(|o| self.streams[o as usize].as_deref()).map_or(0, |s| s.same_source_depth + 1);
        if depth < MAX_SAME_SOURCE {
            (stream.same_source, stream.same_source_depth) = (older, depth);
        }
        out.push(MediaEvent::Started(Box::new(stream.report())));
        if !stream.signalled {
            self.eviction.joined(stream.first_at, stream.id, slot);
        }
        self.coalescers.enter(slot, key).follow(&stream);
        self.streams[slot as usize] = Some(Box::new(stream));
        self.active += 1;
        self.changed();
        let (hasher, coalescers) = (&self.hasher, &self.coalescers);
        let rehash = |slot: &u32| coalescers.get(*slot).map_or(0, |f| hasher.hash_one(f.key()));
        self.index.insert_unique(hasher.hash_one(key), slot, rehash);
    }

    fn remove(&mut self, slot: u32, interval_start: Timestamp, out: &mut Vec<MediaEvent>) {
        self.drained(slot);
        let Some(mut stream) = self.streams[slot as usize].take() else { return };
        let key = stream.key;
        if let Ok(entry) = self.index.find_entry(self.hasher.hash_one(key), |s| *s == slot) {
            entry.remove();
        }
        self.unlink_source(slot, &stream);
        let report = stream.end(interval_start, self.interval, &mut self.pool, &mut self.rows);
        out.extend(self.rows.drain(..).map(|row| MediaEvent::Interval(Box::new(row), report.last_at)));
        out.push(MediaEvent::Ended(Box::new(report)));
        self.free.push(slot);
        self.active -= 1;
        self.changed();
    }

    fn changed(&mut self) {
        self.changes = self.changes.wrapping_add(1).max(1);
    }

    fn unlink_source(&mut self, slot: u32, stream: &Stream) {
        match self.youngest(&stream.key) {
            None => {
                // Its own place in the table is already empty: it led.
                if let Ok(mut entry) =
                    self.by_source.find_entry(self.hasher.hash_one(stream.key.source()), |head| *head == slot)
                {
                    match stream.same_source {
                        Some(next) => *entry.get_mut() = next,
                        None => drop(entry.remove()),
                    }
                }
            }
            Some(head) => {
                let mut at = head;
                while let Some(other) = self.streams[at as usize].as_deref_mut() {
                    match other.same_source {
                        Some(next) if next == slot => {
                            other.same_source = stream.same_source;
                            break;
                        }
                        Some(next) => at = next,
                        None => break,
                    }
                }
            }
        }
    }

    /// The stream that leads the others of its sender and SSRC.
    fn youngest(&self, key: &FlowKey) -> Option<u32> {
        let source = key.source();
        let same = |slot: &u32| self.at(*slot).is_some_and(|s| s.key.source() == source);
        self.by_source.find(self.hasher.hash_one(source), same).copied()
    }

    /// Makes a stream, which is not in its place yet, lead those of its sender and SSRC; returns the one that did.
    fn lead(&mut self, key: &FlowKey, slot: u32) -> Option<u32> {
        let hash = self.hasher.hash_one(key.source());
        let older = self.youngest(key);
        match older.and_then(|older| self.by_source.find_mut(hash, |head| *head == older)) {
            Some(head) => *head = slot,
            None => {
                let (hasher, streams) = (&self.hasher, &self.streams);
                let rehash =
                    |slot: &u32| streams[*slot as usize].as_ref().map_or(0, |s| hasher.hash_one(s.key.source()));
                self.by_source.insert_unique(hash, slot, rehash);
            }
        }
        older
    }

    /// A stream goes on after a silence, unless that was so long that it is another one, whatever the grid. True when
    /// the packet was taken care of.
    #[inline(never)]
    fn after_silence(&mut self, slot: u32, packet: &Packet, out: &mut Vec<MediaEvent>) -> bool {
        let (timeout, call_timeout) = (self.stream_timeout, self.call_timeout);
        let Some(stream) = self.drained(slot) else { return false };
        if stream.silence_before(packet) >= if stream.lasts_as_its_call() { call_timeout } else { timeout } {
            self.remove(slot, self.interval_start, out);
            self.candidate(packet, out);
            return true;
        }
        if stream.misses_before(packet) {
            let last_at = stream.last_at;
            self.account_elsewhere(slot, packet, last_at);
        }
        false
    }

    /// Numbers are missing after a silence: were they sent to another destination?
    fn account_elsewhere(&mut self, slot: u32, packet: &Packet, last_at: Timestamp) {
        let mut others = Vec::new();
        let mut at = self.youngest(&packet.key);
        while let Some(other_slot) = at {
            let Some(other) = self.drained(other_slot) else { break };
            if other_slot != slot && other.last_at > last_at && others.len() < 8 {
                others.push((other.sequence.lowest() as u16, other.sequence.highest() as u16));
            }
            at = other.same_source;
        }
        if !others.is_empty()
            && let Some(stream) = self.streams[slot as usize].as_deref_mut()
        {
            stream.account_elsewhere(packet.seq, &others);
        }
    }

    /// Gives back the room of a rush of candidates, such as that of a start in the busy hour, as the rush ends: its
    /// streams need it.
    fn give_back(&mut self) {
        let few = self.candidates.len().max(1024);
        if self.candidates.capacity() > 8 * few {
            self.candidates.shrink_to(2 * few);
            self.candidates_of_flow.shrink_to(2 * few);
            for by_age in &mut self.by_age {
                by_age.retain(|(serial, key)| self.candidates.get(key).is_some_and(|c| c.serial == *serial));
                by_age.shrink_to(2 * few);
            }
        }
    }

    fn drop_candidates(&mut self, over: impl Fn(&Candidate) -> bool) {
        let keys: Vec<FlowKey> = self.candidates.iter().filter(|(_, c)| over(c)).map(|(k, _)| *k).collect();
        for key in keys {
            self.drop_candidate(key);
        }
    }

    fn drop_candidate(&mut self, key: FlowKey) {
        if let Some(candidate) = self.forget_candidate(key) {
            self.outcomes.add(Outcome::Ignored(Ignored::UnconfirmedMedia), candidate.outcomes());
        }
    }

    fn forget_candidate(&mut self, key: FlowKey) -> Option<Candidate> {
        let candidate = self.candidates.remove(&key)?;
        self.pending -= candidate.outcomes();
        let flow = (key.src(), key.dst());
        if let Some(count) = self.candidates_of_flow.get_mut(&flow) {
            *count -= 1;
            if *count == 0 {
                self.candidates_of_flow.remove(&flow);
            }
        }
        self.give_back();
        Some(candidate)
    }
}

impl Candidate {
    /// Frames whose outcome its packets are.
    fn outcomes(&self) -> u64 {
        self.packets.iter().filter(|packet| packet.is_outcome).count() as u64
    }

    /// Takes one more packet and counts how many follow each other in the order of their numbers: a stream may begin out of
    /// order.
    fn take(&mut self, packet: &Packet, expected: bool) {
        self.expected |= expected;
        self.last_at = packet.at;
        if self.packets.len() == self.packets.capacity() {
            self.packets.reserve_exact(CANDIDATE_GROWTH);
        }
        self.packets.push(*packet);
        self.in_sequence = 1;
        if self.packets.len() < 2 {
            return;
        }
        let first = self.packets[0].seq;
        let mut ordered: SmallVec<[&Packet; CANDIDATE_COPIES]> = self.packets.iter().collect();
        ordered.sort_by_key(|p| p.seq.wrapping_sub(first).cast_signed());
        let (mut run, mut ticks_per_number) = (1, None);
        self.repeats = 0;
        for pair in ordered.windows(2) {
            match follows(pair[0], pair[1], ticks_per_number) {
                Follows::Next(ticks) => {
                    run += 1;
                    ticks_per_number = ticks_per_number.or(ticks);
                    self.in_sequence = self.in_sequence.max(run);
                }
                Follows::Repeats => self.repeats += 1,
                Follows::No => (run, ticks_per_number) = (1, None),
            }
        }
    }
}

/// A fixed buffer as the nearest one whose late packets are counted.
fn discard_buffer(buffer: JitterBuffer) -> JitterBuffer {
    match buffer {
        JitterBuffer::Adaptive => JitterBuffer::Adaptive,
        JitterBuffer::Fixed(size) => {
            JitterBuffer::Fixed(Nanos::from_millis(i64::from(DISCARD_BUFFERS_MS[nearest_buffer(size)])))
        }
    }
}

/// What a packet is to the one with the number before it.
enum Follows {
    /// The next one of a stream, with the ticks for each number where the timestamp advanced in proportion.
    Next(Option<u32>),
    Repeats,
    No,
}

/// After a gap only the timestamp can show it: it must have advanced by the same step per number as before.
fn follows(before: &Packet, packet: &Packet, ticks_per_number: Option<u32>) -> Follows {
    let step = packet.seq.wrapping_sub(before.seq);
    let ticks = packet.timestamp.wrapping_sub(before.timestamp);
    if step == 0 && ticks == 0 {
        return Follows::Repeats;
    }
    let same_kind = packet.payload_type == before.payload_type || plausible_payload_type(packet.payload_type);
    let per_number = (step > 0).then(|| ticks / u32::from(step));
    let proportional = (1..=MAX_GAP).contains(&step)
        && ticks.is_multiple_of(u32::from(step))
        && per_number.is_some_and(|t| (1..=MAX_TICKS).contains(&t) && ticks_per_number.is_none_or(|k| k == t));
    // Ten seconds at 90 kHz: more between two neighbours is no clock. Nor is one that stands still while time passes.
    let stands_still = ticks == 0 && (packet.at - before.at).abs() >= STANDS_STILL;
    let next = step == 1 && !stands_still && (-900_000..900_000).contains(&(ticks as i32));
    match same_kind && (next || proportional) {
        true => Follows::Next(per_number.filter(|_| proportional)),
        false => Follows::No,
    }
}

/// Payload types a sender without visible signalling may use: assigned static ones, the dynamic range (RFC 3551 section 6),
/// and the unassigned 35 to 63, which browsers use when that is full.
fn plausible_payload_type(payload_type: u8) -> bool {
    matches!(payload_type, 0 | 3..=19 | 25 | 26 | 28 | 31..=63 | 96..=127)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ssrc;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Next { after_us: i64 },
        Marked { after_us: i64, silence: u32 },
        Lost { numbers: u16 },
        Late { behind: u16 },
        Copy { ip_id: u16 },
        Other { payload_type: u8 },
        Ttl(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            30 => (0i64..45_000).prop_map(|after_us| Step::Next { after_us }),
            1 => (0i64..700_000).prop_map(|after_us| Step::Next { after_us }),
            1 => (0i64..900_000, 0u32..9_000).prop_map(|(after_us, silence)| Step::Marked { after_us, silence }),
            1 => (1u16..150).prop_map(|numbers| Step::Lost { numbers }),
            1 => (1u16..60).prop_map(|behind| Step::Late { behind }),
            2 => (0u16..3).prop_map(|ip_id| Step::Copy { ip_id }),
            1 => prop_oneof![Just(0u8), Just(8), Just(13), Just(101)].prop_map(|payload_type| Step::Other { payload_type }),
            1 => (60u8..66).prop_map(Step::Ttl),
        ];
        prop::collection::vec(step, 1..700)
    }

    fn packets(steps: &[Step]) -> Vec<Packet> {
        let key = FlowKey::new("192.0.2.1:4000".parse().unwrap(), "198.51.100.1:5000".parse().unwrap(), Ssrc(7));
        let mut p = Packet { key, ip_id: Some(1), ttl: 64, payload_len: 160, ..Packet::NONE };
        p.at = Timestamp::from_secs(1_000);
        let mut all = Vec::new();
        for step in steps {
            match *step {
                Step::Next { after_us } => {
                    p.at = p.at + Nanos(1000 * after_us);
                    p.seq = p.seq.wrapping_add(1);
                    p.timestamp = p.timestamp.wrapping_add(160);
                    p.ip_id = p.ip_id.map(|id| id.wrapping_add(1));
                    all.push(p);
                }
                Step::Marked { after_us, silence } => {
                    p.at = p.at + Nanos(1000 * after_us);
                    p.seq = p.seq.wrapping_add(1);
                    p.timestamp = p.timestamp.wrapping_add(silence);
                    all.push(Packet { marker: true, ..p });
                }
                Step::Lost { numbers } => {
                    p.seq = p.seq.wrapping_add(numbers);
                    p.timestamp = p.timestamp.wrapping_add(160 * u32::from(numbers));
                    p.at = p.at + Nanos::from_millis(20 * i64::from(numbers));
                }
                Step::Late { behind } => all.push(Packet {
                    seq: p.seq.wrapping_sub(behind),
                    timestamp: p.timestamp.wrapping_sub(160 * u32::from(behind)),
                    ..p
                }),
                Step::Copy { ip_id } => {
                    p.at = p.at + Nanos(300_000);
                    all.push(Packet { ip_id: p.ip_id.map(|id| id.wrapping_add(ip_id)), ..p });
                }
                Step::Other { payload_type } => p.payload_type = payload_type,
                Step::Ttl(ttl) => p.ttl = ttl,
            }
        }
        all
    }

    /// What comes out when all packets are measured after every so manieth; `None`: each at once, as if it were not plain.
    fn events(packets: &[Packet], every: Option<usize>) -> String {
        let policy = Policy::default();
        let mut shard = Shard::new(&policy, &Limits::default(), 1, 1);
        shard.begin(Timestamp::from_secs(1_000));
        let mut events = Vec::new();
        let mut boundary = Timestamp::from_secs(1_000) + policy.interval;
        for (i, packet) in packets.iter().enumerate() {
            while packet.at >= boundary {
                end_interval(&mut shard, Some(boundary), &mut events);
                shard.advance_interval(boundary);
                boundary = boundary + policy.interval;
            }
            let hint = shard.slot_hint(shard.hash(packet), packet);
            match every {
                None if hint.slot != SlotHint::UNKNOWN.slot => shard.unusual(hint.slot, packet, &mut events),
                _ => shard.packet(hint, packet, &mut events),
            }
            shard.drain_full();
            if every.is_some_and(|every| i % every == 0) {
                shard.drain_all();
            }
        }
        end_interval(&mut shard, None, &mut events);
        format!("{events:#?} {:?}", shard.take_outcomes())
    }

    fn end_interval(shard: &mut Shard, boundary: Option<Timestamp>, events: &mut Vec<MediaEvent>) {
        let mut closing = Vec::new();
        shard.streams_to_close(boundary, &mut |close| closing.push(close), &mut |_| {});
        for close in closing {
            shard.close_interval(&close, events);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn when_packets_are_measured_changes_nothing(steps in steps(), every in 2usize..40) {
            let packets = packets(&steps);
            let at_once = events(&packets, None);
            prop_assert_eq!(&at_once, &events(&packets, Some(usize::MAX)));
            prop_assert_eq!(&at_once, &events(&packets, Some(every)));
        }
    }
}
