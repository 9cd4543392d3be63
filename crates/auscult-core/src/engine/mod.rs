//! The engine: frames and their times in, events out. It has no effects.
//!
//! [`Engine::frame`] first fires every deadline up to the frame's time, in order and stamped with the deadline;
//! then it handles the bytes. [`Engine::tick`] may make an event come sooner, never different. Nothing here reads a
//! clock, does I/O, logs or fails: bad input is an [`Outcome`] with a counter, and every frame has exactly one.

mod attribution;
mod capture_loss;
mod clock;
mod copies;
mod correlator;
#[cfg(test)]
mod cost;
mod counters;
mod drops;
mod early;
mod gaps;
mod late;
mod loss_floor;
mod missed;
mod one_way;
mod relations;
mod remote;
mod reports;
mod rtcp;
mod sampling;
mod tcp;
#[cfg(test)]
mod time_tests;
mod timestamps;
mod verdict;
mod vq;
mod worst;

pub use capture_loss::{CaptureLossDetector, Judged};
pub use counters::EngineCounters;
pub use missed::Missed;

use crate::media::{self, Endpoint, FlowKey, Hint, Packet, Shard, SlotHint};
use crate::model::{
    CallRecord, CallUid, CaptureInterval, Cut, Event, Ignored, Layer, Limits, MessagePolicy, Outcome, OutcomeCounts,
    OverLimit, Policy, Relation, RelationKind, Shedding, StreamId, StreamReport, TimestampSource, Transport,
};
use crate::privacy::Privacy;
use crate::signal::{self, CapturedMessage, Signal};
use crate::units::text::clean;
use crate::units::{Nanos, Seeded, Timestamp};
use crate::wire::classify::{Class, classify};
use crate::wire::rtp::{RtpError, RtpHeader};
use crate::wire::sip::looks_like_sip;
use crate::wire::tcp::Reassembler;
use crate::wire::{Datagram, Decoded, Decoder, IcmpError, LinkType, fast_rtp, fast_udp};
use clock::ClockCheck;
use copies::Copies;
use correlator::{COMPARED_PER_MESSAGE, Correlator, NegotiatedMedia};
use early::EarlyReports;
use hashbrown::HashMap;
use relations::RelatedStream;
use std::hash::BuildHasher;
use std::sync::Arc;
use timestamps::TimestampMonitor;

/// Packets decoded before the shards are asked to take them.
const BATCH: usize = 64;

/// Streams whose memory is asked for before their turn at a boundary.
const TURNS_AHEAD: usize = 4;

/// A stream that was silent for this long when another call announces its address is over: the end of its own call was not
/// seen. Twice as long where it belongs to no call: its call may be the one that is described late.
const SILENT_BEFORE_REUSE: Nanos = Nanos::from_secs(1);

/// Takes events one by one, as they come to be. A whole boundary's events of a hundred thousand streams in one list would
/// be a good part of what the engine holds.
pub trait Sink {
    fn push(&mut self, event: Event);
}

impl Sink for Vec<Event> {
    fn push(&mut self, event: Event) {
        Vec::push(self, event);
    }
}

/// A [`Sink`] that hands each event to a function.
pub struct With<F>(pub F);

impl<F: FnMut(Event)> Sink for With<F> {
    fn push(&mut self, event: Event) {
        (self.0)(event);
    }
}

/// Frames and their times in, events out. What puts bytes together is apart from what takes the result, which borrows it.
pub struct Engine {
    reassembly: Reassembly,
    core: Core,
}

/// What keeps bytes of earlier frames.
struct Reassembly {
    decoder: Decoder,
    tcp: Reassembler,
}

/// Everything behind the decoder.
struct Core {
    policy: Policy,
    limits: Limits,
    hasher: Seeded,
    /// When the first hole of a TCP stream is given up.
    tcp_deadline: Timestamp,
    shards: Vec<Shard>,
    shard_of: HashMap<StreamId, usize, Seeded>,
    batch: Batch,
    /// Where the streams of the batch are, by shard.
    places: Vec<(usize, SlotHint)>,
    signal: Signal,
    correlator: Correlator,
    /// RTCP of the last moments.
    copies: Copies<Seeded>,
    /// RTCP of streams that may come to be known.
    early: EarlyReports,
    /// Rows that were not made of RTCP of known calls: sources of a BYE that nothing is known of.
    rtcp_rows_left_out: u64,
    /// Where frames come from, at least one.
    sources: Vec<Source>,
    /// The source of the current frame.
    source: usize,
    /// End of the present interval; `Timestamp::MAX` before the first frame.
    boundary: Timestamp,
    /// No deadline is earlier: what a frame's time is compared with.
    deadline: Timestamp,
    watermark: Timestamp,
    /// Latest time of any frame.
    last_frame: Timestamp,
    timestamps: TimestampMonitor,
    clock: ClockCheck,
    /// Of the present interval.
    interval_outcomes: OutcomeCounts,
    /// Calls shed and refused before the present interval.
    calls_before: (u64, u64),
    outcomes: OutcomeCounts,
    media_events: Vec<media::MediaEvent>,
    signal_events: Vec<signal::SignalEvent>,
    /// Deadlines fired and intervals closed since the engine began: what a jump of time costs.
    steps: u64,
}

/// Packets written where they stay until the shards take them.
struct Batch {
    packets: Box<[Packet; BATCH]>,
    len: usize,
}

/// An interface or file, and its counters of the present interval.
#[derive(Default)]
struct Source {
    name: String,
    frames: u64,
    bytes: u64,
    missed: Missed,
}

impl Engine {
    /// `seed` makes hash tables unpredictable to senders; it changes no event. `shards` is at least 1 and changes none either.
    pub fn new(limits: Limits, policy: Policy, shards: usize, seed: u64) -> Engine {
        let shards = shards.max(1);
        let hasher = Seeded::new(seed);
        let reassembly = Reassembly { decoder: Decoder::new(&limits), tcp: Reassembler::new(&limits) };
        let core = Core {
            tcp_deadline: Timestamp::MAX,
            shards: (0..shards).map(|_| Shard::new(&policy, &limits, shards, seed)).collect(),
            shard_of: HashMap::with_hasher(hasher.clone()),
            batch: Batch { packets: Box::new([Packet::NONE; BATCH]), len: 0 },
            places: Vec::with_capacity(BATCH),
            signal: Signal::new(&policy, &limits),
            correlator: Correlator::new(&policy, &limits, hasher.clone()),
            copies: Copies::new(limits.rtcp_copies(), hasher.clone()),
            early: EarlyReports::new(hasher.clone()),
            rtcp_rows_left_out: 0,
            sources: vec![Source::default()],
            source: 0,
            boundary: Timestamp::MAX,
            deadline: Timestamp::MIN,
            watermark: Timestamp::MIN,
            last_frame: Timestamp::MIN,
            timestamps: TimestampMonitor::new(&hasher),
            clock: ClockCheck::default(),
            interval_outcomes: OutcomeCounts::default(),
            calls_before: (0, 0),
            outcomes: OutcomeCounts::default(),
            media_events: Vec::new(),
            signal_events: Vec::new(),
            steps: 0,
            hasher,
            policy,
            limits,
        };
        Engine { reassembly, core }
    }

    /// Takes over how much of SIP messages is stated from now on, and how numbers are in calls that begin from now on.
    pub fn set_privacy(&mut self, privacy: Privacy, messages: MessagePolicy) {
        self.core.signal.set_privacy(privacy, messages);
    }

    /// Names the interface or file frames come from, who stamped their times, and the resolution of these.
    pub fn set_source(&mut self, name: &str, stamped_by: TimestampSource, resolution_ns: u32) {
        self.set_sources([name], stamped_by, resolution_ns);
    }

    /// Names several interfaces, before the first frame. Each has its own row of frames, bytes and drops; what became
    /// of the frames of all of them stands on the first one's row.
    pub fn set_sources<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
        stamped_by: TimestampSource,
        resolution_ns: u32,
    ) {
        let core = &mut self.core;
        core.sources =
            names.into_iter().map(|name| Source { name: clean(name, usize::MAX), ..Source::default() }).collect();
        if core.sources.is_empty() {
            core.sources.push(Source::default());
        }
        core.source = 0;
        core.correlator.stamped_by = stamped_by;
        core.correlator.resolution_ns = resolution_ns;
    }

    /// Frames from now on are of the source with this number, in the order they were named.
    pub fn from_source(&mut self, source: usize) {
        self.core.source = source.min(self.core.sources.len() - 1);
    }

    /// Takes one frame as captured; `wire_len` is its length before the snap length cut it. A frame whose time is not
    /// [`Timestamp::is_measurable`] ends in [`Ignored::TimeOutOfRange`] and moves no clock.
    pub fn frame(&mut self, at: Timestamp, link: LinkType, bytes: &[u8], wire_len: usize, out: &mut dyn Sink) {
        let Engine { reassembly, core } = self;
        if !at.is_measurable() {
            core.sources[core.source].bytes += wire_len as u64;
            return core.refused_times(1);
        }
        if core.boundary == Timestamp::MAX {
            core.begin(at);
        }
        if at >= core.deadline {
            core.fire(at, reassembly, out);
        }
        if clock::is_odd(at - core.last_frame, core.timestamps.odd_gap) {
            core.odd_time(at, out);
            core.last_frame = core.last_frame.max(at);
        } else {
            core.last_frame = at;
        }
        core.watermark = core.watermark.max(at);
        let source = &mut core.sources[core.source];
        source.frames += 1;
        source.bytes += wire_len as u64;
        if let Some(rtp) = fast_rtp(link, bytes) {
            core.enqueue(Packet::plain(at, &rtp), out);
            return;
        }
        if let Some(datagram) = fast_udp(link, bytes) {
            core.datagram(at, &datagram, out);
            return;
        }
        match reassembly.decoder.decode(at, link, bytes, wire_len) {
            Decoded::Udp(datagram) => core.datagram(at, &datagram, out),
            Decoded::Tcp(segment) => core.segment(at, &segment, &mut reassembly.tcp, out),
            Decoded::Icmp(error) => core.undelivered(at, &error, out),
            Decoded::Done(outcome) => core.count(outcome),
        }
    }

    /// Counts frames of the present source that were refused for their time, by this engine or by a reader of captures.
    #[cold]
    pub fn refused_times(&mut self, frames: u64) {
        self.core.refused_times(frames);
    }

    /// Says that nothing older than `watermark` will come, and that it is that time now. A time that is not measurable
    /// is ignored.
    pub fn tick(&mut self, watermark: Timestamp, out: &mut dyn Sink) {
        let Engine { reassembly, core } = self;
        core.flush(out);
        if core.boundary != Timestamp::MAX && watermark > core.watermark && watermark.is_measurable() {
            core.fire(watermark, reassembly, out);
            core.watermark = watermark;
        }
    }

    /// Time of the next thing that happens by itself; `Timestamp::MAX` before the first frame.
    pub fn next_deadline(&self) -> Timestamp {
        self.core.next_deadline()
    }

    /// End of the present interval; [`Timestamp::MAX`] before the first frame.
    pub fn interval_end(&self) -> Timestamp {
        self.core.boundary
    }

    /// Counts frames a source missed at some time from `from` to `until`. They mark every row of the intervals that
    /// overlap it, so they are to be counted before the first frame of a later interval.
    pub fn missed(&mut self, source: usize, from: Timestamp, until: Timestamp, missed: Missed) {
        self.core.missed(source, from, until, missed);
    }

    /// Ends everything at the last time seen, because the capture ended: [`Engine::finish_by`] with [`Cut::CaptureEnded`].
    pub fn finish(&mut self, out: &mut dyn Sink) {
        self.finish_by(Cut::CaptureEnded, out);
    }

    /// Ends everything at the last time seen. Calls that are still up are marked with what cut them.
    pub fn finish_by(&mut self, cut: Cut, out: &mut dyn Sink) {
        self.core.finish_by(cut, out);
    }

    /// Frames so far by outcome. After [`Engine::finish`] their sum is the number of frames; before, candidates
    /// that are neither confirmed nor given up are missing.
    pub fn outcomes(&mut self) -> OutcomeCounts {
        self.core.outcomes()
    }

    /// Streams being measured.
    pub fn active_streams(&self) -> usize {
        self.core.active_streams()
    }

    /// Ended streams that moved, were relayed, forked or got another SSRC, by kind.
    pub fn relations(&self) -> impl Iterator<Item = (RelationKind, u64)> {
        self.core.correlator.relations.counts()
    }
}

impl Core {
    fn refused_times(&mut self, frames: u64) {
        self.sources[self.source].frames += frames;
        self.interval_outcomes.add(Outcome::Ignored(Ignored::TimeOutOfRange), frames);
    }

    fn next_deadline(&self) -> Timestamp {
        self.boundary
            .min(self.signal.next_deadline())
            .min(self.tcp_deadline)
            .min(self.clock.deadline())
            .min(self.timestamps.deadline)
            .min(self.correlator.capture_loss.deadline())
    }

    fn missed(&mut self, source: usize, from: Timestamp, until: Timestamp, missed: Missed) {
        let within = |at: Timestamp| at.clamp(Timestamp::EARLIEST, Timestamp::LATEST);
        let (from, until) = (within(from), within(until));
        self.correlator.losses.note(source.min(self.sources.len() - 1), from, until, missed);
        if self.boundary != Timestamp::MAX {
            self.finalize_missed(self.boundary);
        }
    }

    fn finish_by(&mut self, cut: Cut, out: &mut dyn Sink) {
        self.flush(out);
        if self.boundary == Timestamp::MAX {
            return;
        }
        self.finalize_missed(Timestamp::MAX);
        self.resolve_clock_check();
        self.signal.finish_by(cut, self.watermark, &mut self.signal_events);
        self.signal_events(out);
        self.correlator.judge_gaps_now(None);
        self.close_intervals(None, out);
        for shard in &mut self.shards {
            shard.finish();
        }
        self.give_up_early(None);
        self.end_interval(out);
    }

    fn outcomes(&mut self) -> OutcomeCounts {
        for shard in &mut self.shards {
            self.interval_outcomes.merge(&shard.take_outcomes());
        }
        let mut outcomes = self.outcomes.clone();
        outcomes.merge(&self.interval_outcomes);
        outcomes
    }

    fn active_streams(&self) -> usize {
        self.shards.iter().map(Shard::active).sum()
    }

    fn begin(&mut self, at: Timestamp) {
        (self.watermark, self.last_frame) = (at, at);
        self.timestamps.begin(at);
        self.correlator.first_frame = at;
        self.start_interval(at.floor_to(self.policy.interval));
    }

    fn start_interval(&mut self, start: Timestamp) {
        self.boundary = start + self.policy.interval;
        self.next_interval(start);
        self.finalize_missed(self.boundary);
        self.deadline = self.next_deadline();
        for shard in &mut self.shards {
            shard.begin(start);
        }
    }

    /// Every deadline up to `until`, in order.
    ///
    /// However far `until` is, the steps are bounded: intervals are closed one by one only while a stream, a candidate
    /// or a loss that is not dealt out yet can have part in them, so for at most the longer of the stream timeout,
    /// the candidate timeout and [`missed::LONGEST_SPAN`]. From then on time goes to the next deadline of a call or of a
    /// TCP hole; each call has a few of them, the last one `call_timeout` after its last packet.
    fn fire(&mut self, until: Timestamp, reassembly: &mut Reassembly, out: &mut dyn Sink) {
        self.flush(out);
        loop {
            self.steps += 1;
            let next = self.next_deadline();
            if next > until {
                self.deadline = next;
                return;
            }
            if self.timestamps.deadline <= next {
                self.adapt_to_rate();
            } else if self.clock.deadline() <= next {
                self.resolve_clock_check();
            } else if self.correlator.capture_loss.deadline() <= next {
                self.correlator.judge_gaps(next);
            } else if self.tcp_deadline <= next {
                self.release_tcp(next, &mut reassembly.tcp, out);
            } else if self.signal.next_deadline() <= next {
                self.signal.fire_some(next, &mut self.signal_events);
                self.signal_events(out);
            } else {
                self.close_interval(reassembly, out);
                let idle = self.shards.iter().all(Shard::is_idle) && self.early.is_empty();
                if idle && until - self.boundary > self.policy.interval {
                    // Nothing can happen on the grid until the next of these.
                    let next = until.min(self.signal.next_deadline()).min(self.tcp_deadline);
                    let start = next.min(self.correlator.losses.next_pending()).floor_to(self.policy.interval);
                    if start >= self.boundary {
                        self.expire(start, reassembly);
                        self.start_interval(start);
                    }
                }
            }
        }
    }

    /// What is a gap between frames follows the packets of the last moments.
    fn adapt_to_rate(&mut self) {
        let until = self.timestamps.deadline;
        let packets = self.correlator.capture_loss.received(until - timestamps::ADAPTED_EVERY, until);
        self.timestamps.adapt(packets, self.correlator.capture_loss.hosts());
    }

    /// A frame comes after a gap between all frames, or its time goes back.
    #[inline(never)]
    fn odd_time(&mut self, at: Timestamp, out: &mut dyn Sink) {
        let after = at - self.last_frame;
        let mut silence = Nanos::ZERO;
        if after.0 > 0 {
            self.timestamps.gap(after);
            self.timestamps.begin(at);
            self.deadline = self.deadline.min(self.timestamps.deadline);
            // Clumps are silences of everything, too.
            silence = if self.timestamps.is_clumped() { clock::SILENCE } else { self.timestamps.silence };
        }
        if self.clock.begins(at, after, silence) {
            self.check_clock(at, after, out);
        }
    }

    /// Nothing came for a while, and now a frame does, or its time goes back: the streams that were active before keep
    /// their delays back.
    fn check_clock(&mut self, at: Timestamp, after: Nanos, out: &mut dyn Sink) {
        let before = self.last_frame;
        self.flush(out);
        self.resolve_clock_check();
        let streams: usize = self.shards.iter_mut().map(|shard| shard.suspect(before)).sum();
        self.clock.begin(at, after);
        self.correlator.rtt_estimator.begin_clock_check(at.max(before));
        if streams < clock::STREAMS {
            self.resolve_clock_check();
        }
        self.deadline = self.next_deadline();
    }

    /// Decides whether the clock was set, by all streams that went on.
    fn resolve_clock_check(&mut self) {
        let shards = &mut self.shards;
        let samples = |to, half| shards.iter_mut().flat_map(|shard| shard.clock_step_samples(to, half)).collect();
        let Some(verdict) = self.clock.resolve(samples) else { return };
        self.correlator.clock_checked(&verdict);
        self.last_frame = self.last_frame.min(verdict.latest_frame().unwrap_or(Timestamp::MAX));
        for shard in &mut self.shards {
            shard.resolve_clock_check(verdict.step());
        }
    }

    fn close_interval(&mut self, reassembly: &mut Reassembly, out: &mut dyn Sink) {
        let boundary = self.boundary;
        self.close_intervals(Some(boundary), out);
        self.judge_due(boundary, out);
        for shard in &mut self.shards {
            shard.advance_interval(boundary);
        }
        self.give_up_early(Some(boundary));
        self.end_interval(out);
        self.expire(boundary, reassembly);
        self.boundary = boundary + self.policy.interval;
        self.finalize_missed(self.boundary);
    }

    /// Ends the interval of every stream at a boundary, or every stream: in the order of their identities, whichever
    /// shard has them, and one after the other, so that no more than one stream's events exist at a time.
    fn close_intervals(&mut self, boundary: Option<Timestamp>, out: &mut dyn Sink) {
        let mut due = Vec::with_capacity(self.active_streams());
        for (shard, streams) in self.shards.iter_mut().enumerate() {
            let correlator = &mut self.correlator;
            streams
                .streams_to_close(boundary, &mut |turn| due.push((turn, shard)), &mut |id| correlator.fell_silent(id));
        }
        due.sort_unstable_by_key(|(turn, _)| turn.stream);
        // Of streams that end together each must know how long the others went on, and what all of them lost.
        for (turn, _) in &due {
            self.correlator.relations.heard(turn.stream, turn.last_at);
            if let Some((host, ptime)) = self.correlator.count_loss(turn) {
                self.timestamps.sent(host, turn.expected.saturating_sub(turn.lost), ptime);
            }
        }
        let divisor = self.correlator.capture_loss.take_divisor();
        let findings = self.timestamps.close(self.policy.interval, divisor);
        if let (Some(boundary), false) = (boundary, due.is_empty()) {
            self.timestamps.begin(boundary);
        }
        self.correlator.close_condition(&findings);
        for (at, (turn, shard)) in due.iter().enumerate() {
            if let Some((ahead, shard)) = due.get(at + TURNS_AHEAD) {
                std::hint::black_box(self.shards[*shard].prefetch(ahead));
            }
            self.shards[*shard].close_interval(turn, &mut self.media_events);
            self.media_events(out);
        }
    }

    /// Judges the calls that go on and may have changed in the interval that ends at `now`.
    fn judge_due(&mut self, now: Timestamp, out: &mut dyn Sink) {
        for (uid, always) in self.correlator.take_due(now) {
            if let Some(record) = self.signal.call(uid).filter(|record| !record.state.is_over()) {
                self.judge_running(record.clone(), now, always, out);
            }
        }
    }

    fn judge_running(&mut self, record: CallRecord, now: Timestamp, always: bool, out: &mut dyn Sink) {
        let mut active = Vec::new();
        for (id, key) in self.correlator.active(record.uid) {
            let shard = self.shard_of.get(&id).copied();
            active.extend(shard.and_then(|shard| self.shards[shard].report(id, key)));
        }
        self.correlator.running(record, active, now, always, out);
    }

    /// A datagram was not delivered. It was of the media of a call, or the INVITE of one.
    fn undelivered(&mut self, at: Timestamp, error: &IcmpError<'_>, out: &mut dyn Sink) {
        self.flush(out);
        if !self.correlator.undelivered(at, error) {
            self.signal.undelivered(at, error, &mut self.signal_events);
            self.signal_events(out);
            self.deadline = self.next_deadline();
        }
        self.count(Outcome::Ignored(Ignored::IcmpError));
    }

    /// Forgets what has been idle for too long at a boundary.
    fn expire(&mut self, boundary: Timestamp, reassembly: &mut Reassembly) {
        reassembly.decoder.expire(boundary);
        reassembly.tcp.expire(boundary);
        self.tcp_deadline = tcp::deadline(&reassembly.tcp);
        self.correlator.rtt_estimator.expire(boundary);
        self.next_interval(boundary);
    }

    /// Counts what was missed before `end` in the present interval: its boundary, or no end when everything ends.
    fn finalize_missed(&mut self, end: Timestamp) {
        let start = self.boundary - self.policy.interval;
        let mut known = 0;
        let sources = &mut self.sources;
        self.correlator.losses.take_before(start, end, |source, missed| {
            known += missed.total();
            sources[source].missed.add(missed);
        });
        self.correlator.drops.missed(known);
        self.correlator.interval_start = start;
    }

    /// Another interval begins.
    fn next_interval(&mut self, start: Timestamp) {
        self.correlator.start_interval(start);
    }

    /// States what was captured in the interval that ends at the boundary.
    fn end_interval(&mut self, out: &mut dyn Sink) {
        let mut shedding = Shedding::default();
        for shard in &mut self.shards {
            self.interval_outcomes.merge(&shard.take_outcomes());
            shedding.merge(&shard.take_shedding());
        }
        let calls = self.signal.counters();
        let calls = (calls.calls_shed, calls.calls_refused);
        let before = std::mem::replace(&mut self.calls_before, calls);
        (shedding.calls_shed, shedding.calls_refused) = (calls.0 - before.0, calls.1 - before.1);
        let mut outcomes = std::mem::take(&mut self.interval_outcomes);
        self.outcomes.merge(&outcomes);
        let mut condition = self.correlator.take_condition();
        for source in &mut self.sources {
            let outcomes = std::mem::take(&mut outcomes);
            let (frames, bytes) = (std::mem::take(&mut source.frames), std::mem::take(&mut source.bytes));
            let missed = std::mem::take(&mut source.missed);
            if frames == 0 && missed.total() == 0 && outcomes.total() == 0 {
                continue;
            }
            out.push(Event::Capture(Box::new(CaptureInterval {
                start: self.boundary - self.policy.interval,
                length: self.policy.interval,
                interface: source.name.clone(),
                frames,
                bytes,
                dropped_ring: missed.ring,
                dropped_interface: missed.interface,
                dropped_queue: missed.queue,
                outcomes,
                shedding: std::mem::take(&mut shedding),
                condition,
            })));
            condition = condition.without_counts();
        }
    }

    #[inline]
    fn datagram(&mut self, at: Timestamp, datagram: &Datagram<'_>, out: &mut dyn Sink) {
        match classify(datagram.payload, datagram.wire_len) {
            Class::Rtp(header) => self.rtp(at, datagram, &header, out),
            other => {
                self.flush(out);
                self.cold_datagram(at, datagram, other, out);
            }
        }
    }

    #[inline]
    fn rtp(&mut self, at: Timestamp, datagram: &Datagram<'_>, header: &RtpHeader, out: &mut dyn Sink) {
        self.enqueue(packet_of(at, datagram, header), out);
    }

    #[inline]
    fn enqueue(&mut self, packet: Packet, out: &mut dyn Sink) {
        let Batch { packets, len } = &mut self.batch;
        let Some(place) = packets.get_mut(*len) else { return };
        *place = packet;
        *len += 1;
        if *len == BATCH {
            self.flush(out);
        }
    }

    #[inline(never)]
    fn cold_datagram(&mut self, at: Timestamp, datagram: &Datagram<'_>, class: Class<'_>, out: &mut dyn Sink) {
        let outcome = match class {
            Class::Rtp(header) => return self.rtp(at, datagram, &header, out),
            Class::Relayed { payload, wire_len } => return self.relayed(at, datagram, payload, wire_len, out),
            Class::Rtcp => match self.rtcp(at, datagram, out) {
                Some(outcome) => outcome,
                None => return,
            },
            Class::Stun => Outcome::Ignored(Ignored::Stun),
            Class::Dtls => Outcome::Ignored(Ignored::Dtls),
            Class::Udptl if self.carries_media(datagram) => Outcome::Ignored(Ignored::Udptl),
            Class::KeepAlive => Outcome::Ignored(Ignored::KeepAlive),
            Class::Text if looks_like_sip(datagram.payload) => {
                let Datagram { src, dst, payload: bytes, wire_len, .. } = *datagram;
                let cut_short = bytes.len() < wire_len;
                self.sip(CapturedMessage { at, src, dst, transport: Transport::Udp, bytes, cut_short }, out)
            }
            // In SRTP the pad count is encrypted; probation and the stream's own figures do not need it.
            Class::MalformedRtp(RtpError::Padding(header)) => return self.rtp(at, datagram, &header, out),
            Class::MalformedRtp(_) if self.carries_media(datagram) => Outcome::Malformed(Layer::Rtp),
            Class::MalformedRtcp if self.carries_media(datagram) => Outcome::Malformed(Layer::Rtcp),
            Class::CutShort => Outcome::Ignored(Ignored::CutShort),
            Class::MalformedRtp(_) | Class::MalformedRtcp | Class::Udptl | Class::Text | Class::Other => {
                Outcome::Ignored(Ignored::OtherUdp)
            }
        };
        self.count(outcome);
    }

    /// What a TURN server relays is looked at as if it had come by itself; relays inside relays are not.
    fn relayed(&mut self, at: Timestamp, outer: &Datagram<'_>, payload: &[u8], wire_len: usize, out: &mut dyn Sink) {
        let inner = Datagram { payload, wire_len, ..*outer };
        match classify(payload, wire_len) {
            Class::Relayed { .. } => self.count(Outcome::OverLimit(OverLimit::EncapsulationDepth)),
            class => self.cold_datagram(at, &inner, class, out),
        }
    }

    /// Whether an offer or answer named one of the addresses, or the port below (RTCP's).
    fn carries_media(&self, datagram: &Datagram<'_>) -> bool {
        self.correlator.is_media_address(datagram.src) || self.correlator.is_media_address(datagram.dst)
    }

    fn sip(&mut self, message: CapturedMessage<'_>, out: &mut dyn Sink) -> Outcome {
        if message.bytes.len() > self.limits.message_bytes {
            return Outcome::OverLimit(OverLimit::MessageSize);
        }
        let outcome = self.signal.message(message, &mut self.signal_events);
        self.signal_events(out);
        self.deadline = self.next_deadline();
        outcome
    }

    /// Hands the decoded batch to the shards, in order.
    fn flush(&mut self, out: &mut dyn Sink) {
        let len = std::mem::take(&mut self.batch.len);
        if len == 0 {
            return;
        }
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        let batch = &self.batch.packets[..len];
        let mut hashes = [0; BATCH];
        for (hash, packet) in hashes.iter_mut().zip(batch) {
            *hash = self.hasher.hash_one(packet.key);
        }
        places.extend(hashes.iter().zip(batch).map(|(hash, packet)| {
            let shard = self.shard_index(&packet.key);
            (shard, self.shards[shard].slot_hint(*hash, packet))
        }));
        self.correlator.capture_loss.packets(batch.iter().map(|packet| packet.at));
        let mut judged_at = self.correlator.capture_loss.deadline();
        for (at, (shard, place)) in places.iter().enumerate() {
            // Whatever is known by then is known however packets were put together.
            if judged_at < Timestamp::MAX && self.batch.packets[at].at >= judged_at {
                self.correlator.judge_gaps(self.batch.packets[at].at);
                judged_at = self.correlator.capture_loss.deadline();
            }
            let before = self.media_events.len();
            self.shards[*shard].packet(*place, &self.batch.packets[at], &mut self.media_events);
            // What a new stream is to others depends on where they stand now, not at the end of the batch.
            let new = &self.media_events[before..];
            if !new.is_empty()
                && new.iter().any(|f| matches!(f, media::MediaEvent::Started(_) | media::MediaEvent::Gap(_)))
            {
                self.media_events(out);
                judged_at = self.correlator.capture_loss.deadline();
            }
        }
        for shard in &mut self.shards {
            shard.drain_full();
        }
        self.places = places;
        self.media_events(out);
    }

    fn media_events(&mut self, out: &mut dyn Sink) {
        if self.media_events.is_empty() {
            return;
        }
        let mut events = std::mem::take(&mut self.media_events);
        // Of streams that end together each must know how long the others went on.
        for event in &events {
            match event {
                media::MediaEvent::Interval(row, last_at) => self.correlator.relations.heard(row.stream, *last_at),
                media::MediaEvent::Ended(report) => self.correlator.relations.heard(report.id, report.last_at),
                media::MediaEvent::Started(_) | media::MediaEvent::Gap(_) => {}
            }
        }
        for event in events.drain(..) {
            match event {
                media::MediaEvent::Started(mut report) => {
                    let key = FlowKey::new(report.src, report.dst, report.ssrc);
                    let shard = self.shard_index(&key);
                    self.shard_of.insert(report.id, shard);
                    report.relation = self.relate(report.id, key);
                    let (first_at, at) = (report.first_at, report.last_at);
                    let payload_type = report.payload_types.first().map(|(payload_type, _)| *payload_type);
                    if let Some(payloads) = payload_type.and_then(|t| self.correlator.payloads_of(&key, t)) {
                        self.shards[shard].apply_sdp(report.id, key, &payloads, true);
                        if let Some(told) = self.shards[shard].report(report.id, key) {
                            *report = StreamReport { relation: report.relation, ..told };
                        }
                    }
                    if let Some(uid) = self.correlator.stream_started(*report, out) {
                        self.media_seen(uid, at, out);
                    }
                    self.early_reports(&[key.src(), key.dst()], first_at, out);
                }
                media::MediaEvent::Gap(gap) => {
                    self.correlator.gap(&gap);
                    self.deadline = self.deadline.min(self.correlator.capture_loss.deadline());
                }
                media::MediaEvent::Interval(row, last_at) => {
                    if let Some(uid) = self.correlator.interval(*row, out) {
                        self.media_seen(uid, last_at, out);
                    }
                }
                media::MediaEvent::Ended(report) => {
                    self.shard_of.remove(&report.id);
                    self.correlator.stream_ended(report, out);
                }
            }
        }
        self.media_events = events;
    }

    /// Media of a call was seen. The message that was kept back until the call is known is stated.
    fn media_seen(&mut self, uid: CallUid, at: Timestamp, out: &mut dyn Sink) {
        if let Some(message) = self.signal.media_seen(uid, at) {
            out.push(Event::SipMessage(message));
        }
    }

    fn relate(&mut self, id: StreamId, key: FlowKey) -> Option<Relation> {
        let mut kin = |(id, key, same_call): (StreamId, FlowKey, bool)| {
            let at = self.shards[*self.shard_of.get(&id)?].sequence_position(id, key)?;
            Some(RelatedStream { id, key, at, same_call })
        };
        let new = kin((id, key, false))?;
        let others: Vec<RelatedStream> = self.correlator.related_streams(&key).into_iter().filter_map(kin).collect();
        self.correlator.relations.started(&new, &others)
    }

    fn signal_events(&mut self, out: &mut dyn Sink) {
        let mut left = Vec::new();
        let mut compared = COMPARED_PER_MESSAGE;
        for event in std::mem::take(&mut self.signal_events) {
            match event {
                signal::SignalEvent::Changed(uid) => {
                    if let Some(record) = self.signal.call(uid)
                        && let Some(record) = self.correlator.call_changed(record.clone(), out)
                    {
                        self.judge_running(record, self.watermark, true, out);
                    }
                }
                signal::SignalEvent::Media { uid, call_id, side, endpoint, payloads, direction, srtp, .. } => {
                    let endpoint = Endpoint::from(endpoint);
                    let media = NegotiatedMedia { uid, call_id, side, endpoint, payloads, direction, srtp };
                    compared -= self.media(&media, compared, out);
                }
                signal::SignalEvent::MediaGone { uid, endpoint } => {
                    self.media_gone(uid, Endpoint::from(endpoint));
                    left.push(uid);
                }
                signal::SignalEvent::Message(message) => out.push(Event::SipMessage(message)),
                signal::SignalEvent::VqReport(captured) => {
                    let uid = vq::call_ids(&captured.report).find_map(|id| self.signal.uid_of(id.as_bytes()));
                    for record in vq::records(&self.correlator, &captured, uid) {
                        out.push(Event::Rtcp(Box::new(record)));
                    }
                }
                signal::SignalEvent::Ended(record) => {
                    let (streams, endpoints) = self.correlator.closing(record.uid);
                    for (id, key) in streams {
                        if let Some(shard) = self.shard_of.get(&id).copied() {
                            self.correlator.judge_gaps_now(Some(id));
                            self.shards[shard].close(id, key, &mut self.media_events);
                        }
                    }
                    for endpoint in endpoints {
                        self.media_gone(record.uid, endpoint);
                    }
                    self.media_events(out);
                    self.correlator.call_ended(*record, out);
                }
            }
        }
        // Single messages of unknown calls are forgotten without a word.
        for uid in left {
            if self.signal.call(uid).is_none() {
                self.correlator.forget_call(uid);
            }
        }
    }

    /// A side of a call said where it wants its media: streams there learn their call and what it says of their payload
    /// types. Streams of a call before it end: what comes from now on at the address belongs to this one. Returns how many
    /// streams were compared.
    fn media(&mut self, media: &NegotiatedMedia, most: usize, out: &mut dyn Sink) -> usize {
        let endpoint = media.endpoint;
        let Some(found) = self.correlator.media(media, most) else { return 0 };
        let compared = found.streams.len();
        // A description inside a dialog whose beginning was not seen is about streams of before.
        let joined_mid_call = self.signal.call(media.uid).is_some_and(|call| call.started_mid_call);
        let mut own = Vec::new();
        for (id, key, owner) in found.streams {
            let Some(shard) = self.shard_of.get(&id).map(|shard| &mut self.shards[*shard]) else { continue };
            if owner == Some(media.uid) || !found.first {
                own.extend((owner.is_none() || owner == Some(media.uid)).then_some((id, key)));
                continue;
            }
            let idle =
                shard.sequence_position(id, key).map_or(Nanos::ZERO, |standing| self.watermark - standing.last_at);
            match owner {
                Some(owner) if self.correlator.is_over(owner) => {
                    shard.hand_over(id, key, self.watermark, &mut self.media_events);
                }
                // The end of its call was not seen; or the call goes on, and is one of several at the address.
                Some(_) if idle >= SILENT_BEFORE_REUSE => shard.close(id, key, &mut self.media_events),
                Some(_) => {}
                None if idle >= Nanos(2 * SILENT_BEFORE_REUSE.0) && !joined_mid_call => {
                    shard.close(id, key, &mut self.media_events)
                }
                None => own.push((id, key)),
            }
        }
        self.media_events(out);
        own.retain(|(id, _)| self.correlator.bind(*id, None) == Some(media.uid));
        self.early_reports(&[endpoint], self.watermark, out);
        if !media.payloads.is_empty() {
            let hint = Hint { endpoint, payloads: Arc::clone(&media.payloads) };
            for shard in &mut self.shards {
                shard.hint(&hint);
            }
            for (id, key) in own {
                // A stream from the address is described by its own receiver, where that has spoken.
                let follows = key.dst() == endpoint || !self.correlator.announced(media.uid, key.dst());
                if let Some(shard) = self.shard_of.get(&id) {
                    self.shards[*shard].apply_sdp(id, key, &media.payloads, follows);
                }
            }
        }
        compared
    }

    fn media_gone(&mut self, uid: CallUid, endpoint: Endpoint) {
        let Some(left) = self.correlator.media_gone(uid, endpoint) else { return };
        let left = left.filter(|payloads| !payloads.is_empty());
        for shard in &mut self.shards {
            match &left {
                Some(payloads) => shard.hint(&Hint { endpoint, payloads: Arc::clone(payloads) }),
                None => shard.forget_hint(endpoint),
            }
        }
    }

    /// All streams of one sender and SSRC share a shard, so that it sees them move.
    #[inline]
    fn shard_index(&self, key: &FlowKey) -> usize {
        shard_of(self.shards.len(), &self.hasher, key)
    }

    fn count(&mut self, outcome: Outcome) {
        self.interval_outcomes.add(outcome, 1);
    }
}

#[inline]
fn packet_of(at: Timestamp, datagram: &Datagram<'_>, header: &RtpHeader) -> Packet {
    Packet {
        at,
        key: FlowKey::new(datagram.src, datagram.dst, header.ssrc),
        seq: header.seq,
        timestamp: header.timestamp,
        payload_type: header.payload_type.0,
        marker: header.marker,
        cut_short: datagram.payload.len() < datagram.wire_len,
        payload_len: header.payload_len.min(usize::from(u16::MAX)) as u16,
        ip_id: datagram.path.ip_id,
        ttl: datagram.path.ttl,
        dscp: datagram.path.dscp,
        vlan: datagram.path.vlan,
        tunnel: datagram.path.tunnel,
        is_outcome: true,
    }
}

#[inline]
fn shard_of(shards: usize, hasher: &Seeded, key: &FlowKey) -> usize {
    match shards {
        1 => 0,
        n => (hasher.hash_one((key.src_ip, key.src_port, key.ssrc)) % n as u64) as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Ethernet frame from 198.51.100.1 to 192.0.2.1:5060.
    fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((28 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 198, 51, 100, 1, 192, 0, 2, 1]);
        frame.extend(port.to_be_bytes());
        frame.extend([0x13, 0xC4]);
        frame.extend((8 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        frame
    }

    /// Answers of unknown calls announce media; when the calls are forgotten, nothing of them is left.
    #[test]
    fn calls_that_are_forgotten_leave_nothing() {
        let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 1);
        let mut out = Vec::new();
        let at = |ms: i64| Timestamp::from_secs(1_000) + Nanos::from_millis(ms);
        for i in 0..500 {
            let body = format!(
                "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\n",
                6000 + 2 * i
            );
            let message = format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{i}\r\nFrom: <sip:a@h>;tag=a{i}\r\n\
                 To: <sip:b@h>;tag=b{i}\r\nCall-ID: stray{i}\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let frame = udp(5060, message.as_bytes());
            engine.frame(at(i), LinkType::ETHERNET, &frame, frame.len(), &mut out);
        }
        assert_eq!((engine.core.signal.len(), engine.core.correlator.len()), (500, (500, 500)));
        engine.tick(at(1_000_000), &mut out);
        assert_eq!((engine.core.signal.len(), engine.core.correlator.len()), (0, (0, 0)));
        assert!(!out.iter().any(|e| matches!(e, Event::CallEnded(_))));
    }

    /// Two hosts whose packets come in clumps: each silence between two of them is not worth a look at all streams.
    #[test]
    fn short_silences_are_looked_at_once_in_a_while() {
        let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 1);
        let mut out = Vec::new();
        let (mut looks, mut before) = (0, None);
        for clump in 0..200i64 {
            for n in 0..40i64 {
                let seq = (clump * 3 + n % 3) as u16;
                let [high, low] = seq.to_be_bytes();
                let packet = [0x80, 0, high, low, 0, 0, 0, seq as u8, 0, 0, 0, n as u8, 1, 2, 3, 4];
                let frame = udp(20_000 + (n / 3) as u16 * 2, &packet);
                let at = Timestamp::from_secs(1_000) + Nanos::from_micros(clump * 60_000 + n * 10);
                engine.frame(at, LinkType::ETHERNET, &frame, frame.len(), &mut out);
                let now = engine.core.clock.checked_since();
                looks += usize::from(now.is_some() && now != before);
                before = now;
            }
        }
        assert!(engine.active_streams() > 10, "{}", engine.active_streams());
        assert!((1..=4).contains(&looks), "{looks} in twelve seconds");
    }

    /// What many streams of one address and SSRC cost each other is bounded; they are measured all the same.
    #[test]
    fn streams_of_one_address_are_remembered_up_to_a_number() {
        let mut engine = Engine::new(Limits::default(), Policy::default(), 1, 1);
        let mut out = Vec::new();
        let streams = media::STREAMS_PER_ADDRESS + 100;
        for i in 0..streams as u16 {
            for seq in 0..4u8 {
                let packet = [0x80, 0, 0, seq, 0, 0, seq, 0, 0, 0, 0, 9, 1, 2, 3, 4];
                let frame = udp(20_000 + i, &packet);
                let at = Timestamp::from_secs(1_000) + Nanos::from_millis(i64::from(i));
                engine.frame(at, LinkType::ETHERNET, &frame, frame.len(), &mut out);
            }
        }
        engine.core.flush(&mut out);
        assert_eq!(engine.active_streams(), streams);
        assert_eq!(engine.core.correlator.streams(), (streams, media::STREAMS_PER_ADDRESS, media::STREAMS_PER_ADDRESS));
        engine.finish(&mut out);
        assert_eq!(engine.core.correlator.streams(), (0, 0, 0));
        let ended = out.iter().filter(|e| matches!(e, Event::StreamEnded(s) if s.numbers.packets == 4)).count();
        assert_eq!(ended, streams);
    }
}
