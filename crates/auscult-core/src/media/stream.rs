//! The state of one stream and its reports.

use super::closed_intervals::ClosedIntervalTotals;
use super::in_order::{InOrderPacket, Next};
use super::interval_counters::IntervalCounters;
use super::packet::{FlowKey, Packet};
use super::payloads::Payloads;
use super::recent::{CopiedBy, MadeBy, Recent, UnknownCopies};
use super::sample::Sample;
use super::sequence::{Arrival, MAX_DROPOUT, Sequence};
use super::timing::{Out, Timing};
use super::warmup::Pool;
use crate::model::{
    ClockSource, IntervalReport, JitterBuffer, PayloadKind, PayloadMap, Quality, StreamId, StreamReport, StreamStats,
    Tunnel,
};
use crate::units::{Nanos, PayloadType, Ssrc, Timestamp};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use std::sync::Arc;

/// A silence this long, then numbers missing: the sender may have sent elsewhere meanwhile.
const AWAY: i64 = 400_000_000;
/// Capture times that go back further than this are no disorder of frames: the clock was set.
const CLOCK_STEP: i64 = 1_000_000_000;
/// After a silence this long the numbers missing may be more than RFC 3550 takes for a gap.
const OUTAGE: Nanos = Nanos::from_secs(1);
/// Packets after which a stream of a call is not given up before its call is: five seconds of 20 ms.
const LASTING: u64 = 250;
/// Timestamps of one sender and arrivals agree over an outage within this, or within a fiftieth of it.
const CLOCKS_AGREE: Nanos = Nanos::from_millis(500);
/// A step of the timestamp that comes so often in a row is that of the sender from then on: a second of 20 ms.
const STEP_RUN: u8 = 50;
/// A gap that may be the silence in which the clock was set.
const SILENCE: Nanos = Nanos::from_millis(100);
/// Ticks after which a telephone event goes on under a new timestamp (RFC 4733 section 2.5.1.3).
const LONGEST_EVENT: i32 = 0xffff;
/// A longer jump of the timestamp is a sender that was on hold or began anew, no silence in a conversation.
const LONGEST_SILENCE: Nanos = Nanos::from_secs(60);

/// Where a stream stands between two packets: what shows whether another one goes on from it or repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequencePosition {
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// Lowest and highest sequence number since it began, or began anew.
    pub lowest: u16,
    pub highest: u16,
    pub payload_type: PayloadType,
}

/// What one stream shows of a silence of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStepSample {
    /// Host that sends it.
    pub sender: u128,
    /// The smallest delays in the two halves of the time since, above the base before.
    pub first: Nanos,
    pub second: Nanos,
    pub packets: usize,
    /// The first packet since has the next number.
    pub next: bool,
}

/// What is kept of a packet until the next one shows whether the sender began anew with it.
#[derive(Clone, Copy, Debug)]
struct StrayPacket {
    at: Timestamp,
    timestamp: u32,
    seq: u16,
    payload_len: u16,
    payload_type: u8,
    marker: bool,
}

impl StrayPacket {
    fn of(packet: &Packet) -> StrayPacket {
        let Packet { at, timestamp, seq, payload_len, payload_type, marker, .. } = *packet;
        StrayPacket { at, timestamp, seq, payload_len, payload_type, marker }
    }
}

/// In the order of use: what every packet touches comes first and together, what only intervals prefetch last.
#[derive(Debug)]
#[repr(C)]
pub struct Stream {
    pub key: FlowKey,
    previous_at: Timestamp,
    /// Latest time of any packet; that of the last one is earlier when the capture's clock went back.
    pub last_at: Timestamp,
    pub sequence: Sequence,
    last_audio: Option<(u16, u32)>,
    /// Timestamp step of consecutive packets lately, and how many had it.
    ptime_ticks: u32,
    ptime_count: u32,
    /// Between a pause in the media and the next two packets in step: no speech yet.
    silent: bool,
    /// Comfort noise came since the last packet of speech.
    noise: bool,
    last_dscp: u8,
    ttl_min: u8,
    ttl_max: u8,
    pub payloads: Payloads,
    timing: Timing,
    /// Numbers of the present interval.
    interval: IntervalCounters,
    recent: Recent,
    /// Numbers of everything before the present interval.
    before: ClosedIntervalTotals,
    pub id: StreamId,
    pub first_at: Timestamp,
    /// Silent since then by the engine's time, which goes on also for packets that lag behind it.
    quiet_since: Timestamp,
    unknown_copies: UnknownCopies,
    /// Timestamp of the latest telephone event.
    event: Option<u32>,
    /// Other steps of the timestamp with their packets: those that are most frequent.
    other_steps: [(u32, u32); 3],
    /// The other step that came last: how often in a row, and [`Stream::ptime_count`] then.
    step_run: (u32, u32, u8),
    /// The last packet that was far off in sequence: the next one may confirm it.
    stray: Option<StrayPacket>,
    dscp: u8,
    dscp_changes: u32,
    vlan: u16,
    tunnel: Option<Tunnel>,
    redirected: u64,
    /// The gap over a silence after which the clock may have been set, and whether it is one of silence.
    across: Option<(Nanos, bool)>,
    idle_intervals: u32,
    /// Older stream of the same sender and SSRC to another destination.
    pub same_source: Option<u32>,
    /// How many of them follow.
    pub same_source_depth: u16,
    /// An offer or answer named one of its addresses: it belongs to a call.
    pub signalled: bool,
    /// Its call is over and another one announced the address: only packets until then that continue it belong to it.
    pub ends_at: Option<Timestamp>,
}

impl Stream {
    /// `buffer`: the jitter buffer whose discards count with the lost packets.
    pub fn new(first: &Packet, payloads: Payloads, buffer: JitterBuffer) -> Stream {
        let clock = payloads.current().clock;
        Stream {
            key: first.key,
            id: identity(first),
            sequence: Sequence::new(first.seq),
            timing: Timing::new(clock, buffer),
            interval: IntervalCounters::default(),
            before: ClosedIntervalTotals::default(),
            payloads,
            first_at: first.at,
            last_at: first.at,
            previous_at: first.at,
            quiet_since: first.at,
            last_audio: None,
            ptime_ticks: 0,
            ptime_count: 0,
            silent: true,
            noise: false,
            unknown_copies: UnknownCopies::default(),
            event: None,
            other_steps: [(0, 0); 3],
            step_run: (0, 0, 0),
            stray: None,
            recent: Recent::default(),
            dscp: first.dscp,
            last_dscp: first.dscp,
            dscp_changes: 0,
            ttl_min: first.ttl,
            ttl_max: first.ttl,
            vlan: first.vlan,
            tunnel: first.tunnel,
            redirected: 0,
            across: None,
            idle_intervals: 0,
            same_source: None,
            same_source_depth: 0,
            signalled: false,
            ends_at: None,
        }
    }

    /// Reads a word of each line of memory that plain packets will prefetch, and nothing more: done for several streams
    /// before the packets of the first are measured, the waits for memory overlap.
    #[inline]
    pub fn prefetch(&self) -> u64 {
        (self.previous_at.0 as u64)
            ^ self.sequence.prefetch()
            ^ u64::from(self.ptime_ticks)
            ^ self.timing.prefetch()
            ^ self.interval.prefetch()
            ^ self.recent.prefetch(self.sequence.highest() as u16)
    }

    /// The packet the stream was created from.
    pub fn first_packet(&mut self, packet: &Packet, pool: &mut Pool) {
        self.count(packet);
        self.payload(packet, true, pool);
        self.recent.note(packet.seq, packet.ip_id, packet.at);
    }

    /// Takes one packet and says what it was to the sequence.
    #[inline]
    pub fn packet(&mut self, packet: &Packet, pool: &mut Pool) -> Arrival {
        self.count(packet);
        let after_noise = self.noise;
        let arrival = match self.resumes(packet) {
            Some(step) => self.sequence.arrive_ahead(step, &mut self.interval),
            None => self.sequence.arrive(packet.seq, &mut self.interval),
        };
        match arrival {
            Arrival::Ahead { step } => self.payload(packet, step == 1, pool),
            Arrival::Late { .. } => self.payload(packet, false, pool),
            Arrival::Restart => self.restart(packet, pool),
            Arrival::Duplicate => self.duplicate(packet),
            Arrival::Stray => self.stray = Some(StrayPacket::of(packet)),
        }
        let gap = packet.at - self.previous_at;
        if gap > self.interval.max_delta || gap.0 < -CLOCK_STEP {
            self.wide_gap(gap, packet.marker || after_noise || self.noise);
        }
        self.previous_at = packet.at;
        self.last_at = self.last_at.max(packet.at);
        self.recent.note(packet.seq, packet.ip_id, packet.at);
        arrival
    }

    /// The sender began anew with the packet before this one, which is measured now.
    #[inline(never)]
    fn restart(&mut self, packet: &Packet, pool: &mut Pool) {
        let first = self.stray.take().filter(|stray| stray.seq.wrapping_add(1) == packet.seq);
        if let Some(first) = first {
            let StrayPacket { at, seq, timestamp, payload_type, payload_len, marker } = first;
            self.payload(&Packet { at, seq, timestamp, payload_type, payload_len, marker, ..*packet }, false, pool);
        }
        self.payload(packet, first.is_some(), pool);
    }

    /// What the next packet is if it is plain: see [`super::coalesce`].
    pub fn next(&self) -> Next {
        let in_step = self.ends_at.is_none()
            && self.ptime_ticks > 0
            && !self.silent
            && !self.noise
            && self.payloads.current_is_sampled();
        let after = self.last_audio.filter(|(seq, _)| in_step && *seq == self.sequence.highest() as u16);
        let (seq, timestamp) = after.unwrap_or_default();
        Next {
            at: self.previous_at,
            seq: seq.wrapping_add(1),
            timestamp: timestamp.wrapping_add(self.ptime_ticks),
            ticks: self.ptime_ticks,
            payload_type: after.map(|_| self.payloads.current().payload_type.0),
            dscp: self.last_dscp,
            ttl: [self.ttl_min, self.ttl_max],
        }
    }

    /// Takes plain packets that follow the last one, as [`Stream::packet`] would one by one.
    pub fn in_order(&mut self, packets: &[InOrderPacket], pool: &mut Pool) {
        let packets = self.one_by_one(packets, pool);
        if packets.is_empty() {
            return;
        }
        let Some((before, timestamp)) = self.last_audio else { return };
        let count = packets.len() as u32;
        let (mut seq, mut at) = (before, self.previous_at);
        let (mut bytes, mut widest) = (0, 0);
        for packet in packets {
            seq = seq.wrapping_add(1);
            at = at + Nanos(i64::from(packet.after));
            bytes += u64::from(packet.payload_len);
            widest = widest.max(packet.after);
            self.recent.note(seq, Some(packet.ip_id), at);
        }
        self.interval.packets += count;
        self.interval.payload_bytes += bytes;
        self.sequence.arrive_next(count, &mut self.interval);
        self.payloads.count_current(count);
        self.ptime_count = self.ptime_count.saturating_add(count);
        self.last_audio = Some((seq, timestamp.wrapping_add(self.ptime_ticks.wrapping_mul(count))));
        let out = &mut Out { numbers: &mut self.interval, sequence: &mut self.sequence };
        self.timing.steps(before.wrapping_add(1), self.ptime_ticks, packets, out);
        let widest = Nanos(i64::from(widest));
        if widest > self.interval.max_delta {
            self.widen(widest, false);
        }
        self.previous_at = at;
        self.last_at = self.last_at.max(at);
    }

    /// Measures packets one by one while delays are held back, at the start of a segment or after a silence of everything, and one after
    /// a copy; returns the others.
    #[inline]
    fn one_by_one<'a>(&mut self, mut packets: &'a [InOrderPacket], pool: &mut Pool) -> &'a [InOrderPacket] {
        while !self.timing.is_steady(self.ptime_ticks, self.previous_at)
            && let Some((packet, rest)) = packets.split_first()
        {
            packets = rest;
            let next = self.next();
            let packet = Packet {
                at: self.previous_at + Nanos(i64::from(packet.after)),
                key: self.key,
                seq: next.seq,
                timestamp: next.timestamp,
                payload_type: self.payloads.current().payload_type.0,
                marker: false,
                cut_short: false,
                payload_len: packet.payload_len,
                ip_id: Some(packet.ip_id),
                ttl: self.ttl_min,
                dscp: self.last_dscp,
                vlan: self.vlan,
                tunnel: self.tunnel,
                is_outcome: true,
            };
            self.packet(&packet, pool);
        }
        packets
    }

    /// Whether the next packet comes after a silence.
    #[inline]
    pub fn comes_back(&self, packet: &Packet) -> bool {
        self.silence_before(packet).0 >= AWAY
    }

    pub fn silence_before(&self, packet: &Packet) -> Nanos {
        packet.at - self.previous_at
    }

    /// Whether only its call ends it, and no silence: it belongs to one and is no mere handful of packets, of which a sender
    /// could make any number at a known address.
    pub fn lasts_as_its_call(&self) -> bool {
        self.signalled && self.sequence.highest() - self.sequence.lowest() >= LASTING
    }

    /// Whether the address was handed over to another call and the next packet is of that one: it does not continue the last
    /// ones, or comes too late for a packet that was on its way.
    #[inline]
    pub fn is_handed_over_before(&self, packet: &Packet) -> bool {
        self.ends_at.is_some_and(|ends_at| packet.at > ends_at || !self.continues(packet))
    }

    /// Whether number and timestamp are within a few packets of the last ones.
    fn continues(&self, packet: &Packet) -> bool {
        let ahead = packet.seq.wrapping_sub(self.sequence.highest() as u16).cast_signed();
        let Some((_, timestamp)) = self.last_audio else { return false };
        let ticks = packet.timestamp.wrapping_sub(timestamp).cast_signed();
        let most = self.ptime_ticks.max(1) as i32 * 50;
        (-5..50).contains(&ahead) && (-most..=most).contains(&ticks)
    }

    /// Whether numbers are missing before the next packet.
    pub fn misses_before(&self, packet: &Packet) -> bool {
        packet.seq != (self.sequence.highest() as u16).wrapping_add(1)
    }

    /// How many numbers a packet is ahead after an outage too long to know it from its number alone: the timestamps went on
    /// with the time of arrival, so it is the same sender, and its number fits the packets it sent meanwhile.
    #[inline]
    fn resumes(&self, packet: &Packet) -> Option<u32> {
        if self.silence_before(packet) < OUTAGE {
            return None;
        }
        self.resumes_after(packet)
    }

    #[inline(never)]
    fn resumes_after(&self, packet: &Packet) -> Option<u32> {
        let silence = self.silence_before(packet);
        let (seq, timestamp) = self.last_audio?;
        let same_type = self.payloads.is_current(packet.payload_type) && self.payloads.current_is_sampled();
        let ticks = packet.timestamp.wrapping_sub(timestamp);
        let media = self.timing.media(ticks).filter(|_| same_type)?;
        let tolerance = CLOCKS_AGREE.max(Nanos(silence.0 / 50));
        if (media - silence).abs() > tolerance {
            return None;
        }
        let highest = self.sequence.highest() as u16;
        let wire = packet.seq.wrapping_sub(highest);
        if self.ptime_ticks > 0 && ticks.is_multiple_of(self.ptime_ticks) {
            let numbers = ticks / self.ptime_ticks;
            let step = numbers.checked_sub(u32::from(highest.wrapping_sub(seq))).filter(|step| *step > 0)?;
            if step as u16 == wire {
                return Some(step);
            }
        }
        // Without a constant packet time (video, silence suppression) the packets so far show how many to expect.
        if wire < MAX_DROPOUT {
            return None;
        }
        let before = self.previous_at - self.first_at;
        let sent = (self.sequence.highest() - self.sequence.lowest()) as f64;
        let expected = sent * silence.0 as f64 / before.0.max(OUTAGE.0) as f64;
        let cycles = ((expected - f64::from(wire)) / 65_536.0).round().max(0.0);
        let step = f64::from(wire) + 65_536.0 * cycles;
        (expected / 3.0..=expected * 3.0).contains(&step).then_some(step as u32)
    }

    /// How long nothing came, at the end of an interval that began at `start`.
    pub fn quiet(&mut self, start: Timestamp, boundary: Timestamp) -> Nanos {
        if self.interval.packets > 0 {
            let on_time = (start..boundary).contains(&self.previous_at);
            self.quiet_since = if on_time { self.previous_at } else { boundary };
            return Nanos::ZERO;
        }
        boundary - self.quiet_since
    }

    /// Leaves out the numbers that `others` (first and last number of each, same sender and SSRC) carried while this
    /// destination got none.
    pub fn account_elsewhere(&mut self, seq: u16, others: &[(u16, u16)]) {
        let next = (self.sequence.highest() as u16).wrapping_add(1);
        let missing = i64::from(seq.wrapping_sub(next));
        let covered: i64 = others
            .iter()
            .map(|(first, last)| {
                let from = i64::from(first.wrapping_sub(next));
                let from = if from > 32_767 { from - 65_536 } else { from };
                let to = from + i64::from(last.wrapping_sub(*first));
                (to.min(missing - 1) - from.max(0) + 1).max(0)
            })
            .sum();
        let covered = covered.min(missing);
        if covered > 0 {
            self.sequence.skip(covered as u64, &mut self.interval);
            self.redirected += covered as u64;
        }
    }

    /// Keeps delays back from now on, if there are any to compare them with.
    pub fn suspect(&mut self, pool: &mut Pool) -> bool {
        self.timing.suspect(pool)
    }

    /// What the delays kept back show of a silence of everything that ended at `to`.
    pub fn clock_step_sample(&self, to: Timestamp, half: Timestamp) -> Option<ClockStepSample> {
        let (first, second, packets, next) = self.timing.shift(to, half)?;
        Some(ClockStepSample { sender: self.key.src_ip, first, second, packets, next })
    }

    /// Counts the delays kept back: as they are, or from a new base where the clock was set.
    pub fn resolve_clock_check(&mut self, step: Option<(Timestamp, Nanos)>, pool: &mut Pool) {
        let out = &mut Out { numbers: &mut self.interval, sequence: &mut self.sequence };
        let stepped = step.is_some_and(|(to, _)| self.timing.clock_step(to, out, pool));
        self.timing.resolve_clock_check(out, pool);
        self.interval.clock_steps += u32::from(stepped);
        if let Some((gap, of_silence)) = self.across.take() {
            let by = step.map_or(Nanos::ZERO, |(_, by)| by);
            self.widen((gap - by).max(Nanos::ZERO), of_silence);
        }
    }

    /// Takes what an offer or answer said about payload types.
    pub fn hint(&mut self, maps: &Arc<[PayloadMap]>, pool: &mut Pool) {
        let before = self.payloads.current().clock;
        self.payloads.apply(maps);
        let now = self.payloads.current();
        if now.clock != before
            && let Some(clock) = now.clock
        {
            self.timing.set_clock(clock, &mut Out { numbers: &mut self.interval, sequence: &mut self.sequence }, pool);
            if before.is_some() {
                self.ptime_count = 0;
                self.other_steps = [(0, 0); 3];
            }
            self.pace();
        }
    }

    /// Packets expected and lost in the present interval, and in how many runs.
    pub fn loss_so_far(&mut self) -> (u32, u32, u32) {
        self.sequence.count(&mut self.interval);
        let IntervalCounters { expected, unique, ref loss_runs, .. } = self.interval;
        (expected, expected.saturating_sub(unique), loss_runs.count())
    }

    /// Whether the present interval has something to report. One that has not is remembered as idle.
    pub fn has_news(&mut self) -> bool {
        self.flush();
        let idle = self.interval == IntervalCounters::default();
        self.idle_intervals += u32::from(idle);
        !idle
    }

    /// Ends the present interval, which has something to report; idle ones are reported before it, so that an outage shows
    /// and a stream's end does not trail empty rows. Delays of a segment that has not settled go to the interval in which
    /// it does: its base must not depend on the grid.
    pub fn end_interval(&mut self, start: Timestamp, length: Nanos, out: &mut Vec<IntervalReport>) {
        self.flush();
        let inferred = self.payloads.current().clock_source == Some(ClockSource::Inferred);
        self.timing.check_long_clock(inferred);
        self.adopt_clock();
        self.finalize_late();
        for back in (1..=std::mem::take(&mut self.idle_intervals)).rev() {
            out.push(self.interval_report(start - Nanos(length.0 * i64::from(back)), length, StreamStats::default()));
        }
        let numbers = std::mem::take(&mut self.interval).numbers();
        self.before.add(&numbers);
        out.push(self.interval_report(start, length, numbers));
    }

    /// Ends the stream: its last interval and the report on all of it.
    pub fn end(
        &mut self,
        start: Timestamp,
        length: Nanos,
        pool: &mut Pool,
        out: &mut Vec<IntervalReport>,
    ) -> StreamReport {
        self.resolve_clock_check(None, pool);
        self.sequence.finish(&mut self.interval);
        let made = self.unknown_copies.finish();
        self.count_copies(made);
        self.work_off(pool);
        self.timing.give_up(pool);
        self.take_jitter();
        self.finalize_late();
        if self.interval != IntervalCounters::default() {
            // What was undecided goes to the first interval in which nothing came, not to that of a timeout.
            let idle = std::mem::take(&mut self.idle_intervals);
            self.end_interval(start - Nanos(length.0 * i64::from(idle)), length, out);
        }
        self.report()
    }

    /// Where it stands.
    pub fn sequence_position(&self) -> SequencePosition {
        SequencePosition {
            first_at: self.first_at,
            last_at: self.last_at,
            lowest: self.sequence.lowest() as u16,
            highest: self.sequence.highest() as u16,
            payload_type: self.payloads.current().payload_type,
        }
    }

    /// The stream so far.
    pub fn report(&mut self) -> StreamReport {
        self.sequence.count(&mut self.interval);
        let mut numbers = self.before.numbers();
        numbers.merge(&self.interval.numbers());
        numbers.jitter = self.payloads.main().jitter;
        let main = self.payloads.main();
        let step = self.most_frequent_step();
        let ptime = (step > 0).then(|| self.payloads.main().clock.map(|c| c.ticks_to_nanos(i64::from(step)))).flatten();
        StreamReport {
            id: self.id,
            src: self.key.src().into(),
            dst: self.key.dst().into(),
            ssrc: Ssrc(self.key.ssrc),
            call_uid: None,
            call_id: Arc::default(),
            codec: main.codec.clone(),
            clock_rate: main.clock.map(|c| c.hz()),
            clock_source: main.clock_source,
            clock_rate_signalled: main.clock_signalled.map(|c| c.hz()),
            payload_types: self.payloads.counts(),
            ptime,
            first_at: self.first_at,
            last_at: self.last_at,
            late_buffer_ms: self.late_buffer_ms(),
            drift_ppm: self.timing.drift_ppm().map(|d| d as f32),
            dscp: self.dscp,
            dscp_changes: self.dscp_changes,
            ttl_min: self.ttl_min,
            ttl_max: self.ttl_max,
            vlan: self.vlan,
            tunnel: self.tunnel,
            rtt: None,
            remote: None,
            mos: Default::default(),
            mos_worst_interval: None,
            mos_worst_minute: None,
            mos_worst_minute_at: None,
            quality: self.quality(&numbers),
            redirected: self.redirected,
            relation: None,
            numbers,
        }
    }

    #[inline]
    fn count(&mut self, packet: &Packet) {
        let n = &mut self.interval;
        n.packets += 1;
        n.payload_bytes += u64::from(packet.payload_len);
        n.markers += u32::from(packet.marker);
        n.cut_short += u32::from(packet.cut_short);
        if packet.dscp != self.last_dscp {
            self.dscp_changes += 1;
            self.last_dscp = packet.dscp;
        }
        self.ttl_min = self.ttl_min.min(packet.ttl);
        self.ttl_max = self.ttl_max.max(packet.ttl);
    }

    /// A packet seen for the first time, by what it carries.
    #[inline]
    fn payload(&mut self, packet: &Packet, next_in_order: bool, pool: &mut Pool) {
        if self.payloads.is_current(packet.payload_type) {
            self.payloads.count_current(1);
        } else {
            self.other_payload(packet, pool);
        }
        if !(self.payloads.is_current(packet.payload_type) && self.payloads.current_is_sampled()) {
            return self.no_speech(packet);
        }
        let mut consecutive = false;
        if next_in_order
            && let Some((seq, timestamp)) = self.last_audio
            && seq.wrapping_add(1) == packet.seq
        {
            let step = packet.timestamp.wrapping_sub(timestamp);
            consecutive = !self.noise;
            if step == self.ptime_ticks && !self.silent {
                self.ptime_count = self.ptime_count.saturating_add(1);
            } else {
                self.out_of_step(step);
            }
        }
        self.noise = false;
        self.last_audio = Some((packet.seq, packet.timestamp));
        let sample = Sample {
            at: packet.at.0,
            timestamp: packet.timestamp,
            seq: packet.seq,
            marker: packet.marker,
            consecutive,
        };
        self.timing.packet(sample, &mut Out { numbers: &mut self.interval, sequence: &mut self.sequence }, pool);
        self.adopt_clock();
        if self.timing.is_full_without_clock() {
            self.infer_clock(pool);
            self.timing.give_up(pool);
        }
    }

    /// A telephone event, comfort noise, or a type beyond those counted by themselves.
    #[inline(never)]
    fn no_speech(&mut self, packet: &Packet) {
        match self.payloads.kind_of(packet.payload_type) {
            PayloadKind::TelephoneEvent if self.payloads.is_no_event(packet.payload_type, packet.payload_len) => {}
            PayloadKind::TelephoneEvent => {
                self.interval.telephone_events += 1;
                self.digit(packet);
            }
            PayloadKind::ComfortNoise => {
                self.interval.comfort_noise += 1;
                self.noise = true;
                self.silent = true;
                // The pause goes on to the next packet of speech.
                if let Some((seq, _)) = &mut self.last_audio
                    && seq.wrapping_add(1) == packet.seq
                {
                    *seq = packet.seq;
                }
            }
            _ => {}
        }
    }

    /// All packets of an event carry the timestamp of its start, and an event longer than 65535 ticks goes on under the
    /// timestamp where the last one ended, without a marker (RFC 4733 sections 2.3 and 2.5.1.3).
    fn digit(&mut self, packet: &Packet) {
        let since = self.event.map(|before| packet.timestamp.wrapping_sub(before).cast_signed());
        let goes_on = since == Some(LONGEST_EVENT) && !packet.marker;
        if since.is_none_or(|ticks| ticks > 0) {
            self.event = Some(packet.timestamp);
            self.interval.digits += u32::from(!goes_on);
        }
    }

    /// Two packets in sequence whose timestamps are not one packet apart, or the first that are after a pause.
    #[inline(never)]
    fn out_of_step(&mut self, step: u32) {
        if step == self.ptime_ticks && step > 0 {
            self.ptime_count = self.ptime_count.saturating_add(1);
            self.silent = false;
            self.interval.talkspurts += 1;
            return;
        }
        let pause = step.wrapping_sub(self.ptime_ticks);
        if self.ptime_ticks > 0 && step < i32::MAX as u32 && step > self.ptime_ticks + self.ptime_ticks / 2 {
            self.silent = true;
            if let Some(length) = self.timing.media(pause).filter(|length| *length < LONGEST_SILENCE) {
                self.interval.silence += length;
            }
        }
        if self.noise {
            return;
        }
        if step > 0 && step < 1 << 20 {
            self.other_step(step);
        }
    }

    /// Counts a step that is not the present one. It becomes that when it is more frequent, or came [`STEP_RUN`] times in a
    /// row: the sender changed its packet time.
    fn other_step(&mut self, step: u32) {
        let place = match self.other_steps.iter().position(|(known, _)| *known == step) {
            Some(place) => place,
            None => {
                let least = (0..self.other_steps.len()).min_by_key(|i| self.other_steps[*i].1).unwrap_or(0);
                self.other_steps[least] = (step, 0);
                least
            }
        };
        let (last, count, run) = self.step_run;
        let run = if (last, count) == (step, self.ptime_count) { run.saturating_add(1) } else { 1 };
        self.step_run = (step, self.ptime_count, run);
        let other = &mut self.other_steps[place];
        other.1 = other.1.saturating_add(1);
        if other.1 > self.ptime_count || run >= STEP_RUN {
            let present = (self.ptime_ticks, self.ptime_count);
            (self.ptime_ticks, self.ptime_count) = std::mem::replace(other, present);
            self.step_run.2 = 0;
            self.pace();
        }
    }

    /// The step of the timestamp that most consecutive packets had; 0 before the second packet.
    fn most_frequent_step(&self) -> u32 {
        let all = std::iter::once((self.ptime_ticks, self.ptime_count)).chain(self.other_steps);
        all.reduce(|most, next| if next.1 > most.1 { next } else { most }).map_or(0, |(step, _)| step)
    }

    /// Takes over a clock rate that the wire showed instead of the signalled one.
    #[inline]
    fn adopt_clock(&mut self) {
        if let Some(clock) = self.timing.take_wire_clock() {
            self.payloads.adopt_clock(clock);
            self.pace();
        }
    }

    /// Sets the packet time of all that counts by it.
    fn pace(&mut self) {
        let Some(ptime) = self.timing.media(self.ptime_ticks).filter(|p| p.0 > 0) else { return };
        self.sequence.set_pace((1_000_000_000 / ptime.0).clamp(1, 1000) as u32);
        self.timing.set_ptime(ptime, self.ptime_ticks);
    }

    /// The longest time between packets of this interval so far, or a time that went back.
    #[inline(never)]
    fn wide_gap(&mut self, gap: Nanos, of_silence: bool) {
        if gap.0 < 0 {
            self.interval.clock_steps += 1;
            return;
        }
        if gap >= SILENCE && self.across.is_none() && self.timing.is_suspect() {
            self.across = Some((gap, of_silence));
            return;
        }
        self.widen(gap, of_silence);
    }

    fn widen(&mut self, gap: Nanos, of_silence: bool) {
        self.interval.max_gap = self.interval.max_gap.max(gap);
        if !of_silence {
            self.interval.max_delta = self.interval.max_delta.max(gap);
        }
    }

    #[inline(never)]
    fn other_payload(&mut self, packet: &Packet, pool: &mut Pool) {
        let index = self.payloads.enter(packet.payload_type, packet.payload_len);
        let Some(index) = index else { return };
        if !self.payloads.at(index).is_sampled() {
            return;
        }
        self.take_jitter();
        let (parked, clock) = (self.payloads.at(index).parked, self.payloads.at(index).clock);
        let sampled = self.payloads.current().is_sampled();
        let old = self.timing.switch(
            parked,
            clock,
            &mut Out { numbers: &mut self.interval, sequence: &mut self.sequence },
            pool,
        );
        self.pace();
        self.take_jitter();
        if sampled {
            self.payloads.current_mut().parked = old;
        }
        self.payloads.switch(index);
    }

    #[inline(never)]
    fn duplicate(&mut self, packet: &Packet) {
        match self.recent.copied_by(packet) {
            CopiedBy::Mirror => self.interval.duplicates_probe += 1,
            CopiedBy::Network => self.interval.duplicates_network += 1,
            CopiedBy::Unknown => {
                let made = self.unknown_copies.add(packet.seq);
                self.count_copies(made);
            }
        }
    }

    fn count_copies(&mut self, made: MadeBy) {
        self.interval.duplicates_probe += made.mirror;
        self.interval.duplicates_network += made.network;
    }

    fn work_off(&mut self, pool: &mut Pool) {
        if self.timing.clock_known() {
            self.timing.flush(&mut Out { numbers: &mut self.interval, sequence: &mut self.sequence }, pool);
            self.adopt_clock();
        } else {
            self.infer_clock(pool);
        }
    }

    fn infer_clock(&mut self, pool: &mut Pool) {
        if let Some(clock) = self.timing.infer() {
            let current = self.payloads.current_mut();
            (current.clock, current.clock_source) = (Some(clock), Some(ClockSource::Inferred));
            self.timing.set_clock(clock, &mut Out { numbers: &mut self.interval, sequence: &mut self.sequence }, pool);
            self.pace();
            self.timing.flush(&mut Out { numbers: &mut self.interval, sequence: &mut self.sequence }, pool);
        }
    }

    /// Brings the numbers of the interval up to date.
    fn flush(&mut self) {
        self.sequence.count(&mut self.interval);
        self.timing.tell_movement(&mut self.interval);
        self.take_jitter();
    }

    fn finalize_late(&mut self) {
        let undecided = self.timing.undecided().map(|seq| self.sequence.extend_behind(seq)).min();
        self.sequence.finalize_late(undecided, &mut self.interval);
    }

    fn take_jitter(&mut self) {
        let stat = std::mem::take(&mut self.timing.stat);
        self.payloads.current_mut().jitter.merge(&stat);
        self.interval.jitter.merge(&stat);
    }

    fn interval_report(&self, start: Timestamp, length: Nanos, numbers: StreamStats) -> IntervalReport {
        IntervalReport {
            stream: self.id,
            src: self.key.src().into(),
            dst: self.key.dst().into(),
            ssrc: Ssrc(self.key.ssrc),
            call_uid: None,
            call_id: Arc::default(),
            start,
            length,
            codec: self.payloads.current().codec.clone(),
            clock_rate: self.payloads.current().clock.map(|c| c.hz()),
            ptime: self.timing.media(self.ptime_ticks).filter(|p| p.0 > 0),
            drift_ppm: self.timing.drift_ppm().map(|d| d as f32),
            late_buffer_ms: self.late_buffer_ms(),
            mos: Default::default(),
            quality: self.quality(&numbers),
            numbers,
        }
    }

    fn late_buffer_ms(&self) -> u16 {
        (self.timing.buffer().0 / 1_000_000) as u16
    }

    fn quality(&self, numbers: &StreamStats) -> Quality {
        Quality {
            duplicates_removed: numbers.duplicates_probe,
            snap_cut: numbers.cut_short > 0,
            clock_steps: numbers.clock_steps,
            ..Quality::default()
        }
    }
}

fn identity(first: &Packet) -> StreamId {
    let mut hash = SipHasher24::new();
    hash.write_u128(first.key.src_ip);
    hash.write_u128(first.key.dst_ip);
    hash.write_u16(first.key.src_port);
    hash.write_u16(first.key.dst_port);
    hash.write_u32(first.key.ssrc);
    hash.write_i64(first.at.0);
    StreamId(hash.finish())
}
