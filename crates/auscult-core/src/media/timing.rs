//! Arrival times against media time: RFC 3550 jitter, delay variation above a drift-corrected base, clock rate.
//!
//! Only packets that are sampled media come here: no duplicates, telephone events or comfort noise. The
//! transit of a packet is its arrival minus its timestamp in nanoseconds, both counted from the first packet
//! of a segment. A segment ends where the timestamp jumps without the arrival doing the same.

use super::drift::{Base, Movement};
use super::in_order::{InOrderPacket, MIN_JUMP, WAITING};
use super::interval_counters::{IntervalCounters, Variation};
use super::sample::{Parked, Sample};
use super::sequence::Sequence;
use super::warmup::{Pool, WARMUP, WarmupBuffer};
use crate::model::{DISCARD_BUFFERS_MS, JitterBuffer, JitterStat};
use crate::quality::jitter_buffer::{Adaptive, Arrival, PlayoutOutcome};
use crate::units::{ClockRate, Nanos, Timestamp};
use smallvec::SmallVec;

/// The base of a segment is the minimum over this many packets, or over [`WARMUP_TIME`].
const WARMUP_PACKETS: usize = 50;
const WARMUP_TIME: i64 = 1_000_000_000;
/// A difference of transits beyond this may be a jump of the timestamp: see [`Timing::begins_anew`].
const JUMP: f64 = 1e9;
/// Media time that one packet stands for at most where the packet time is not constant (video, comfort noise).
const LONGEST_STEP: f64 = 2e8;
/// Missing numbers up to which timestamps without a constant packet time still show what they stand for.
const STEPS_TOLD: i32 = 100;
/// A queue that was held up and then sent is delivered faster than it was recorded: the delay falls at least by this.
const CATCH_UP: f64 = 1e8;
/// The same after a marker or a pause ([`PAUSE`]), where senders do restart their clock.
const JUMP_AFTER_PAUSE: f64 = MIN_JUMP.0 as f64;
const PAUSE: i64 = 2_000_000_000;

/// Packet time until it is known.
const USUAL_PTIME: Nanos = Nanos::from_millis(20);

/// A clock rate from signalling or from RFC 3551 is refuted by one that differs by more than this (natural logarithm);
/// a factor of 1.2. Rates of audio that are mistaken for each other differ by 1.5 and more.
const REFUTED: f64 = 0.18;
/// One that was inferred from the first packets is revised by less: 44,100 and 48,000 Hz differ by 0.085.
const REVISED: f64 = 0.05;
/// How far the two halves of the first packets may be from the rate of all of them.
const HALVES_AGREE: f64 = 0.25;
/// How far the rate over a long time may be from a usual one.
const SAME_RATE: f64 = 0.02;
/// Time over which the long check is made: jitter of 200 ms is 2 % of the least; timestamps of 90 kHz wrap after 13 hours.
const LONG_CHECK: i64 = 10_000_000_000;
const LONGEST_CHECK: i64 = 3_600_000_000_000;

/// RTP clock rates that occur, for inference.
const USUAL_RATES: [u32; 7] = [8_000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];

/// What every packet changes of the estimates, apart from where they stand, so that several packets of one stream keep
/// it in registers. Sums are whole nanoseconds since it was made.
#[derive(Clone, Copy, Default)]
struct Running {
    transit: f64,
    mean: f64,
    jitter: f64,
    jitter_sum: f64,
    jitter_max: f64,
    ipdv: f64,
    ipdv_samples: u32,
    ipdv_max: f64,
    above: f64,
    above_samples: u32,
    below: f64,
    below_samples: u32,
    skew_max: f64,
}

impl Running {
    /// RFC 3550 section 6.4.1 with the size of the next D.
    #[inline(always)]
    fn jitter(&mut self, size: f64) {
        self.jitter += (size - self.jitter) / 16.0;
        self.jitter_sum += self.jitter;
        self.jitter_max = if self.jitter > self.jitter_max { self.jitter } else { self.jitter_max };
    }

    /// The transit changes by a difference.
    #[inline(always)]
    fn vary(&mut self, difference: f64, consecutive: bool) {
        self.transit += difference;
        if consecutive {
            let size = difference.abs();
            self.ipdv += whole(size);
            self.ipdv_samples += 1;
            self.ipdv_max = if size > self.ipdv_max { size } else { self.ipdv_max };
        }
        let off = self.transit - self.mean;
        self.mean += off / 16.0;
        let above = if off > 0.0 { off } else { 0.0 };
        self.above += whole(above);
        self.above_samples += u32::from(off > 0.0);
        self.below += whole(above - off);
        self.below_samples += u32::from(off < 0.0);
        self.skew_max = if self.transit.abs() > self.skew_max.abs() { -self.transit } else { self.skew_max };
    }
}

/// A number from 0 to 2^51, rounded to a whole one.
#[inline(always)]
fn whole(x: f64) -> f64 {
    // Above 2^52 the last place of the fraction is 1.
    const WHOLE: f64 = (1u64 << 52) as f64;
    (x + WHOLE) - WHOLE
}

/// Where figures go.
pub struct Out<'a> {
    pub numbers: &'a mut IntervalCounters,
    pub sequence: &'a mut Sequence,
}

/// The state of the present segment. Packets that are kept back are measured when their state ends.
#[derive(Debug)]
enum Segment {
    /// No packet of it came yet.
    NotStarted,
    /// Its first packets are kept back until they are enough for its base, and its clock rate is known.
    WarmingUp(WarmupBuffer),
    /// Each packet is measured as it comes: its delay is what lies above the base.
    Settled(Base),
    /// The sender's clock stood still, or packets were held up on the way: those kept back will show which.
    PossibleJump(Base, WarmupBuffer),
    /// Signalling named another clock rate, of so many nanoseconds per tick: the packets kept back will show from which one
    /// on the sender uses it.
    ClockRateChange(Base, WarmupBuffer, f64),
    /// The clock of the probe may have been set.
    PossibleClockStep(Base, WarmupBuffer),
}

impl Segment {
    /// Keeps packets back from now on in another state, if the segment is settled; says whether it was.
    fn keep_back(&mut self, pool: &mut Pool, state: impl FnOnce(Base, WarmupBuffer) -> Segment) -> bool {
        let (next, settled) = match std::mem::replace(self, Segment::NotStarted) {
            Segment::Settled(base) => (state(base, pool.take()), true),
            other => (other, false),
        };
        *self = next;
        settled
    }

    /// Takes what was kept back: without it the segment is settled, or has not started.
    fn take_kept(&mut self) -> Option<WarmupBuffer> {
        let (next, kept) = match std::mem::replace(self, Segment::NotStarted) {
            Segment::WarmingUp(kept) => (Segment::NotStarted, Some(kept)),
            Segment::PossibleJump(base, kept)
            | Segment::ClockRateChange(base, kept, _)
            | Segment::PossibleClockStep(base, kept) => (Segment::Settled(base), Some(kept)),
            other => (other, None),
        };
        *self = next;
        kept
    }

    fn kept(&self) -> Option<&WarmupBuffer> {
        match self {
            Segment::WarmingUp(kept)
            | Segment::PossibleJump(_, kept)
            | Segment::ClockRateChange(_, kept, _)
            | Segment::PossibleClockStep(_, kept) => Some(kept),
            Segment::NotStarted | Segment::Settled(_) => None,
        }
    }

    fn base(&self) -> Option<&Base> {
        match self {
            Segment::Settled(base)
            | Segment::PossibleJump(base, _)
            | Segment::ClockRateChange(base, ..)
            | Segment::PossibleClockStep(base, _) => Some(base),
            Segment::NotStarted | Segment::WarmingUp(_) => None,
        }
    }

    fn base_mut(&mut self) -> Option<&mut Base> {
        match self {
            Segment::Settled(base)
            | Segment::PossibleJump(base, _)
            | Segment::ClockRateChange(base, ..)
            | Segment::PossibleClockStep(base, _) => Some(base),
            Segment::NotStarted | Segment::WarmingUp(_) => None,
        }
    }
}

/// In the order of use.
#[derive(Debug)]
#[repr(C)]
pub struct Timing {
    /// 0 while the clock rate is unknown.
    ns_per_tick: f64,
    last_at: i64,
    last_timestamp: u32,
    last_seq: u16,
    transit: f64,
    jitter: f64,
    /// Running mean of the transit (MAPDV2).
    mean: f64,
    origin_at: i64,
    segment: Segment,
    /// Previous packet of the present payload type, when another type came in between.
    own_last: Option<(i64, u32)>,
    /// The fixed jitter buffer whose late packets are passed to the sequence; [`Nanos::ZERO`] for the adaptive one.
    buffer: Nanos,
    /// How the bases of ended segments moved.
    movement: Movement,
    /// Jitter of the present payload type since the last take.
    pub stat: JitterStat,
    adaptive: Adaptive,
    pub jumps: u32,
    /// Ticks of one packet, 0 while they are not known.
    ticks: u32,
    /// The clock rate in use was refuted by timestamps and arrivals, which show this one. For the stream to take.
    wire_clock: Option<ClockRate>,
    origin_timestamp: u32,
}

impl Timing {
    pub fn new(clock: Option<ClockRate>, buffer: JitterBuffer) -> Timing {
        let buffer = match buffer {
            JitterBuffer::Adaptive => Nanos::ZERO,
            JitterBuffer::Fixed(size) => size,
        };
        Timing {
            ns_per_tick: clock.map_or(0.0, |c| 1e9 / f64::from(c.hz())),
            last_at: 0,
            last_timestamp: 0,
            last_seq: 0,
            ticks: 0,
            wire_clock: None,
            origin_timestamp: 0,
            transit: 0.0,
            jitter: 0.0,
            mean: 0.0,
            origin_at: 0,
            segment: Segment::NotStarted,
            own_last: None,
            adaptive: Adaptive::new(USUAL_PTIME),
            buffer,
            movement: Movement::default(),
            stat: JitterStat::default(),
            jumps: 0,
        }
    }

    /// See [`super::stream::Stream::prefetch`].
    #[inline]
    pub fn prefetch(&self) -> u64 {
        let base = if let Segment::Settled(base) = &self.segment { base.prefetch() } else { 0 };
        self.transit.to_bits() ^ base ^ self.stat.samples ^ self.adaptive.prefetch()
    }

    pub fn clock_known(&self) -> bool {
        self.ns_per_tick > 0.0
    }

    /// Sets the clock rate; what is kept back is measured when the segment has settled. Senders take up another rate under
    /// the same payload type a round trip after signalling named it: the next packets are kept back to see where.
    pub fn set_clock(&mut self, clock: ClockRate, out: &mut Out<'_>, pool: &mut Pool) {
        let ns_per_tick = 1e9 / f64::from(clock.hz());
        if self.clock_known() {
            self.flush(out, pool);
            if (self.ns_per_tick - ns_per_tick).abs() <= 1e-9 {
                return;
            }
            if self.segment.keep_back(pool, |base, kept| Segment::ClockRateChange(base, kept, ns_per_tick)) {
                return;
            }
            self.new_segment();
            self.own_last = None;
        }
        self.ns_per_tick = ns_per_tick;
    }

    /// Sets the packet time, also in ticks of the clock.
    pub fn set_ptime(&mut self, ptime: Nanos, ticks: u32) {
        self.ticks = ticks;
        self.adaptive.set_ptime(ptime);
    }

    /// Media time of a number of ticks, `None` while the clock rate is unknown.
    pub fn media(&self, ticks: u32) -> Option<Nanos> {
        let ns_per_tick = if let Segment::ClockRateChange(_, _, next) = self.segment { next } else { self.ns_per_tick };
        self.clock_known().then(|| Nanos((f64::from(ticks) * ns_per_tick) as i64))
    }

    #[inline]
    pub fn packet(&mut self, sample: Sample, out: &mut Out<'_>, pool: &mut Pool) {
        if !matches!(self.segment, Segment::Settled(_)) {
            return self.warm_up(sample, out, pool);
        }
        let difference = self.difference(self.last_at, self.last_timestamp, &sample);
        if difference.abs() >= JUMP_AFTER_PAUSE || self.own_last.is_some() {
            return self.unusual(sample, out, pool);
        }
        let mut running = self.running(&out.numbers.variation);
        running.jitter(difference.abs());
        running.vary(difference, sample.consecutive);
        self.keep(&running, &mut out.numbers.variation);
        self.stat.samples += 1;
        let paused = sample.at - self.last_at >= PAUSE;
        self.follow(&sample);
        self.delay(&sample, paused, out);
    }

    /// Whether packets that follow each other in step, each `ticks` after the one before, the first after one at `before`,
    /// may be counted by [`Timing::steps`].
    pub fn is_steady(&self, ticks: u32, before: Timestamp) -> bool {
        matches!(self.segment, Segment::Settled(_))
            && self.last_at == before.0
            && self.own_last.is_none()
            && f64::from(ticks) * self.ns_per_tick < JUMP_AFTER_PAUSE
    }

    /// As [`Timing::packet`] for each packet of a steady stream, numbered from `seq` on, that follow each other in
    /// sequence and in step.
    #[inline]
    pub fn steps(&mut self, seq: u16, ticks: u32, packets: &[InOrderPacket], out: &mut Out<'_>) {
        let count = packets.len() as u32;
        let media = f64::from(ticks) * self.ns_per_tick;
        let mut running = self.running(&out.numbers.variation);
        // First all that needs registers for its sums, then all that may have to go elsewhere.
        let mut transits = [0.0; WAITING];
        for (packet, transit) in packets.iter().zip(&mut transits) {
            let difference = f64::from(packet.after) - media;
            running.jitter(difference.abs());
            running.vary(difference, true);
            *transit = running.transit;
        }
        self.keep(&running, &mut out.numbers.variation);
        self.stat.samples += u64::from(count);
        let (at, timestamp) = (self.last_at, self.last_timestamp);
        let mut sample = Sample { at, timestamp, seq, marker: false, consecutive: true };
        for (packet, transit) in packets.iter().zip(transits) {
            sample.at += i64::from(packet.after);
            self.transit = transit;
            self.delay(&sample, false, out);
            sample.seq = sample.seq.wrapping_add(1);
        }
        self.last_at = sample.at;
        self.last_timestamp = timestamp.wrapping_add(ticks.wrapping_mul(count));
        self.last_seq = sample.seq.wrapping_sub(1);
    }

    /// Measures what is kept back, for the end of an interval or stream. With an unknown clock rate only `infer` helps.
    pub fn flush(&mut self, out: &mut Out<'_>, pool: &mut Pool) {
        if !self.clock_known() {
            return;
        }
        self.resolve_clock_check(out, pool);
        self.change_clock(out, pool);
        let Some(kept) = self.segment.take_kept() else { return };
        let samples: SmallVec<[Sample; WARMUP]> = kept.iter().collect();
        if self.segment.base().is_none() {
            self.check_clock(&samples);
        }
        let mut from = 0;
        while from < samples.len() {
            let end = self.segment_end(&samples, from);
            let lowest = self.lowest_transit(&samples[from..end]);
            if let Segment::Settled(base) = &mut self.segment {
                base.lower_to(self.transit + lowest);
            } else {
                self.begin_segment(&samples[from], lowest, out);
                from += 1;
            }
            for sample in &samples[from..end] {
                self.step(*sample, out);
            }
            from = end;
            if from < samples.len() {
                self.jumps += 1;
                self.new_segment();
            }
        }
        pool.give(kept);
    }

    /// The first packet of a segment whose lowest transit, relative to this one, is known.
    fn begin_segment(&mut self, first: &Sample, lowest: f64, out: &mut Out<'_>) {
        self.origin_at = first.at;
        self.origin_timestamp = first.timestamp;
        self.transit = 0.0;
        self.mean = 0.0;
        self.segment = Segment::Settled(Base::new(lowest));
        self.own_last = None;
        self.follow(first);
        self.delay(first, true, out);
    }

    /// Adds how the base moved since the last call.
    pub fn tell_movement(&mut self, numbers: &mut IntervalCounters) {
        let mut movement = std::mem::take(&mut self.movement);
        if let Some(base) = self.segment.base_mut() {
            movement.add(base.take_movement());
        }
        numbers.base_rise += Nanos(movement.rise as i64);
        numbers.base_fall += Nanos(movement.fall as i64);
        numbers.base_steps += movement.steps;
    }

    /// Looks whether timestamps and arrivals show another clock rate than the one in use by a wide margin.
    fn check_clock(&mut self, samples: &[Sample]) {
        let current = 1e9 / self.ns_per_tick;
        let halves = samples.split_at(samples.len() / 2);
        let differs = |rate: &ClockRate| (f64::from(rate.hz()) / current).ln().abs() > REFUTED;
        let Some(rate) = infer_clock(samples).filter(differs) else { return };
        // A sender that begins with a burst is fast in the first half only.
        let agrees =
            |half: &[Sample]| slope(half).is_some_and(|s| (s / f64::from(rate.hz())).ln().abs() < HALVES_AGREE);
        if agrees(halves.0) && agrees(halves.1) {
            self.ns_per_tick = 1e9 / f64::from(rate.hz());
            self.wire_clock = Some(rate);
        }
    }

    /// The same over all of the segment, for the end of an interval: a rate that was guessed (`inferred`) is revised by less.
    /// What was measured before stays as it is, and a new segment begins.
    pub fn check_long_clock(&mut self, inferred: bool) {
        let span = self.last_at - self.origin_at;
        if !matches!(self.segment, Segment::Settled(_)) || !(LONG_CHECK..LONGEST_CHECK).contains(&span) {
            return;
        }
        let ticks = f64::from(self.last_timestamp.wrapping_sub(self.origin_timestamp).cast_signed());
        let (rate, current) = (1e9 * ticks / span as f64, 1e9 / self.ns_per_tick);
        let margin = if inferred { REVISED } else { REFUTED };
        let Some(nearest) = nearest_rate(rate).filter(|_| (rate / current).ln().abs() > margin) else { return };
        let hz = f64::from(nearest.hz());
        if (rate / hz).ln().abs() < SAME_RATE && (hz / current).ln().abs() > margin {
            self.new_segment();
            self.own_last = None;
            self.ns_per_tick = 1e9 / hz;
            self.wire_clock = Some(nearest);
        }
    }

    /// The rate that replaced the signalled one, once.
    #[inline]
    pub fn take_wire_clock(&mut self) -> Option<ClockRate> {
        // Hardly ever: no store to memory for each packet.
        if self.wire_clock.is_none() { None } else { self.wire_clock.take() }
    }

    /// The fixed jitter buffer whose late packets are passed on.
    pub fn buffer(&self) -> Nanos {
        self.buffer
    }

    /// Sequence numbers of packets whose delay is not known yet.
    pub fn undecided(&self) -> impl Iterator<Item = u16> {
        self.segment.kept().into_iter().flat_map(|kept| kept.iter()).map(|sample| sample.seq)
    }

    /// Derives the clock rate from what is kept back: slope of timestamps against arrival, snapped to a usual rate.
    pub fn infer(&self) -> Option<ClockRate> {
        let kept = self.segment.kept()?;
        infer_clock(&kept.iter().collect::<SmallVec<[Sample; WARMUP]>>())
    }

    pub fn is_full_without_clock(&self) -> bool {
        !self.clock_known() && self.segment.kept().is_some_and(|kept| kept.len() == WARMUP)
    }

    /// Drops what is kept back when no clock rate can be found.
    pub fn give_up(&mut self, pool: &mut Pool) {
        if let Some(kept) = self.segment.take_kept() {
            pool.give(kept);
        }
    }

    /// Another payload type begins. Returns the jitter state of the old one to park; `new` is what was parked of the new one.
    pub fn switch(&mut self, new: Parked, clock: Option<ClockRate>, out: &mut Out<'_>, pool: &mut Pool) -> Parked {
        self.flush(out, pool);
        let last = self.segment.base().map(|_| (self.last_at, self.last_timestamp));
        let old = Parked { last, jitter: self.jitter };
        let ns_per_tick = clock.map_or(0.0, |c| 1e9 / f64::from(c.hz()));
        if (ns_per_tick - self.ns_per_tick).abs() > 1e-9 {
            // RFC 7160: differences across clock rates mean nothing.
            self.give_up(pool);
            self.new_segment();
        }
        self.ns_per_tick = ns_per_tick;
        self.jitter = new.jitter;
        self.own_last = Some(new.last.unwrap_or((i64::MIN, 0)));
        old
    }

    /// Sender clock against the probe's clock in ppm, positive when the sender runs slow; `None` under 30 s.
    pub fn drift_ppm(&self) -> Option<f64> {
        self.segment.base()?.drift_ppm()
    }

    /// Keeps samples back until [`Timing::resolve_clock_check`] or [`Timing::clock_step`]. Not before there is a base to compare them with.
    pub fn suspect(&mut self, pool: &mut Pool) -> bool {
        self.own_last.is_none() && self.segment.keep_back(pool, Segment::PossibleClockStep)
    }

    pub fn is_suspect(&self) -> bool {
        matches!(self.segment, Segment::PossibleClockStep(..))
    }

    /// What the samples kept back show that came at `to` or later: their smallest delays before and after `half`, above
    /// the base as it was, how many there are, and whether the first follows its predecessor in sequence.
    pub fn shift(&self, to: Timestamp, half: Timestamp) -> Option<(Nanos, Nanos, usize, bool)> {
        let Segment::PossibleClockStep(base, kept) = &self.segment else { return None };
        let (mut at, mut timestamp, mut transit) = (self.last_at, self.last_timestamp, self.transit);
        let (mut lowest, mut count, mut next) = ([f64::INFINITY; 2], 0, false);
        for sample in kept.iter() {
            transit += self.difference(at, timestamp, &sample);
            (at, timestamp) = (sample.at, sample.timestamp);
            if sample.at < to.0 {
                continue;
            }
            next |= count == 0 && sample.consecutive;
            count += 1;
            let half = &mut lowest[usize::from(sample.at >= half.0)];
            *half = half.min(base.height(sample.at - self.origin_at, transit));
        }
        let [first, second] = lowest;
        (first < f64::INFINITY && second < f64::INFINITY).then_some((
            Nanos(first as i64),
            Nanos(second as i64),
            count,
            next,
        ))
    }

    /// Counts what was kept back as if it had not been.
    pub fn resolve_clock_check(&mut self, out: &mut Out<'_>, pool: &mut Pool) {
        if !self.is_suspect() {
            return;
        }
        let Some(kept) = self.segment.take_kept() else { return };
        for sample in kept.iter() {
            self.packet(sample, out, pool);
        }
        pool.give(kept);
    }

    /// The clock was set before `to`: what was kept back since then is measured from a new base. False when nothing was.
    pub fn clock_step(&mut self, to: Timestamp, out: &mut Out<'_>, pool: &mut Pool) -> bool {
        if !self.is_suspect() {
            return false;
        }
        let Some(kept) = self.segment.take_kept() else { return false };
        let before = kept.iter().take_while(|s| s.at < to.0).count();
        for sample in kept.iter().take(before) {
            self.packet(sample, out, pool);
        }
        self.flush(out, pool);
        self.jumps += 1;
        self.new_segment();
        for sample in kept.iter().skip(before) {
            self.packet(sample, out, pool);
        }
        let stepped = before < kept.len();
        pool.give(kept);
        stepped
    }

    fn warm_up(&mut self, sample: Sample, out: &mut Out<'_>, pool: &mut Pool) {
        let known = self.clock_known();
        if let Segment::NotStarted = self.segment {
            self.segment = Segment::WarmingUp(pool.take());
        }
        let (kept, changes_clock) = match &mut self.segment {
            Segment::WarmingUp(kept) | Segment::PossibleJump(_, kept) => (kept, false),
            Segment::ClockRateChange(_, kept, _) => (kept, true),
            Segment::PossibleClockStep(_, kept) => {
                if kept.push(sample).is_err() {
                    self.resolve_clock_check(out, pool);
                    self.packet(sample, out, pool);
                }
                return;
            }
            // Not reached: it has started, and a settled one keeps nothing back.
            Segment::NotStarted | Segment::Settled(_) => return,
        };
        if !known && kept.last_timestamp() == Some(sample.timestamp) {
            // The packets of one video frame have one timestamp; a burst of them is no evidence of the clock rate.
            return;
        }
        if kept.push(sample).is_err() {
            return;
        }
        let span = sample.at - kept.first_at();
        if known && (kept.len() >= WARMUP_PACKETS || span >= WARMUP_TIME) {
            if changes_clock {
                self.change_clock(out, pool);
            } else {
                self.flush(out, pool);
            }
        }
    }

    /// The clock rate that signalling named comes into use where the timestamps kept back show it.
    fn change_clock(&mut self, out: &mut Out<'_>, pool: &mut Pool) {
        let Segment::ClockRateChange(_, _, next) = self.segment else { return };
        let Some(kept) = self.segment.take_kept() else { return };
        let before = self.first_of_clock(&kept, next);
        for sample in kept.iter().take(before) {
            self.packet(sample, out, pool);
        }
        self.flush(out, pool);
        // RFC 7160: the difference across clock rates means nothing.
        self.new_segment();
        self.own_last = None;
        self.ns_per_tick = next;
        for sample in kept.iter().skip(before) {
            self.packet(sample, out, pool);
        }
        pool.give(kept);
    }

    /// Place of the first sample by the next clock: where those before it vary least by the old one and those after it
    /// by the next.
    fn first_of_clock(&self, kept: &WarmupBuffer, next: f64) -> usize {
        let (mut at, mut timestamp) = (self.last_at, self.last_timestamp);
        let sizes = kept.iter().map(|sample| {
            let arrival = (sample.at - at) as f64;
            let ticks = f64::from(sample.timestamp.wrapping_sub(timestamp) as i32);
            (at, timestamp) = (sample.at, sample.timestamp);
            [self.ns_per_tick, next].map(|ns_per_tick| (arrival - ticks * ns_per_tick).abs().min(JUMP))
        });
        let sizes: Vec<[f64; 2]> = sizes.collect();
        let mut off: f64 = sizes.iter().skip(1).map(|[_, next]| next).sum();
        let (mut least, mut first) = (off, 0);
        for (i, pair) in sizes.windows(2).enumerate() {
            off += pair[0][0] - pair[1][1];
            if off < least {
                (least, first) = (off, i + 1);
            }
        }
        first
    }

    /// A difference large enough to be a jump, or the first packet after a change of payload type.
    #[inline(never)]
    fn unusual(&mut self, sample: Sample, out: &mut Out<'_>, pool: &mut Pool) {
        if !self.begins_anew(&self.last(), &[sample]) {
            return self.step(sample, out);
        }
        if self.in_step(&self.last(), &sample) {
            // A clock that stood still, or packets that were held up: the next packets show which.
            self.segment.keep_back(pool, Segment::PossibleJump);
        } else {
            self.jumps += 1;
            self.new_segment();
        }
        self.warm_up(sample, out, pool);
    }

    /// One packet of a settled segment, not the first.
    fn step(&mut self, sample: Sample, out: &mut Out<'_>) {
        let difference = self.difference(self.last_at, self.last_timestamp, &sample);
        let restart = sample.at - self.last_at >= PAUSE && difference.abs() < JUMP_AFTER_PAUSE;
        let own = match self.own_last.take() {
            None => Some(difference),
            Some((i64::MIN, _)) => None,
            Some((at, timestamp)) => Some(self.difference(at, timestamp, &sample)).filter(|d| d.abs() < JUMP),
        };
        let mut running = self.running(&out.numbers.variation);
        if let Some(own) = own {
            running.jitter(own.abs());
            self.stat.samples += 1;
        }
        running.vary(difference, sample.consecutive);
        self.keep(&running, &mut out.numbers.variation);
        self.follow(&sample);
        self.delay(&sample, restart, out);
    }

    #[inline(always)]
    fn follow(&mut self, sample: &Sample) {
        self.last_at = sample.at;
        self.last_timestamp = sample.timestamp;
        self.last_seq = sample.seq;
    }

    /// The last packet, as far as the next one is compared with it.
    fn last(&self) -> Sample {
        let (at, timestamp, seq) = (self.last_at, self.last_timestamp, self.last_seq);
        Sample { at, timestamp, seq, marker: false, consecutive: false }
    }

    #[inline(always)]
    fn running(&self, out: &Variation) -> Running {
        Running {
            transit: self.transit,
            mean: self.mean,
            jitter: self.jitter,
            jitter_sum: self.stat.sum_ns,
            jitter_max: self.stat.max_ns,
            ipdv_max: out.ipdv_max_ns,
            skew_max: out.skew_max_ns,
            ..Running::default()
        }
    }

    #[inline(always)]
    fn keep(&mut self, running: &Running, out: &mut Variation) {
        self.transit = running.transit;
        self.mean = running.mean;
        self.jitter = running.jitter;
        self.stat.last_ns = running.jitter;
        self.stat.sum_ns = running.jitter_sum;
        self.stat.max_ns = running.jitter_max;
        out.ipdv_sum_ns += running.ipdv as u64;
        out.ipdv_samples += running.ipdv_samples;
        out.ipdv_max_ns = running.ipdv_max;
        out.above_sum_ns += running.above as u64;
        out.above_samples += running.above_samples;
        out.below_sum_ns += running.below as u64;
        out.below_samples += running.below_samples;
        out.skew_max_ns = running.skew_max;
    }

    /// Counts the delay of a packet above the base. `restart`: a receiver starts over with it, because it is the first one, or
    /// came in step after a pause ([`PAUSE`]); one that was held up for so long is not in step.
    #[inline(always)]
    fn delay(&mut self, sample: &Sample, restart: bool, out: &mut Out<'_>) {
        let Segment::Settled(base) = &mut self.segment else { return };
        let delay = Nanos(base.above(sample.at - self.origin_at, self.transit) as i64);
        out.numbers.pdv.record(delay);
        if delay > out.numbers.pdv_max {
            out.numbers.pdv_max = delay;
        }
        if delay.0 > i64::from(DISCARD_BUFFERS_MS[0]) * 1_000_000 {
            for (count, size) in out.numbers.late.iter_mut().zip(DISCARD_BUFFERS_MS) {
                *count += u32::from(delay.0 > i64::from(size) * 1_000_000);
            }
            if delay > self.buffer && self.buffer > Nanos::ZERO {
                out.sequence.late(sample.seq, out.numbers);
            }
        }
        let arrival = Arrival { at: Timestamp(sample.at), seq: 0, delay, marker: sample.marker, restart };
        let fate = self.adaptive.packet(&arrival);
        out.numbers.adaptive_size_us += u64::from(self.adaptive.size_us());
        if fate != PlayoutOutcome::Played {
            out.numbers.discarded_adaptive += 1;
            if self.buffer == Nanos::ZERO {
                out.sequence.late(sample.seq, out.numbers);
            }
        }
    }

    fn difference(&self, at: i64, timestamp: u32, sample: &Sample) -> f64 {
        (sample.at - at) as f64 - f64::from(sample.timestamp.wrapping_sub(timestamp) as i32) * self.ns_per_tick
    }

    /// Whether `rest` begins a segment of its own: its timestamps are no longer those of the packet before.
    ///
    /// Their difference has to be large against that of the arrivals, and it has to be the timestamp that moved. Where the
    /// timestamp moved by as much as the numbers did, a packet that comes late, or after others were left out, is just
    /// that. If it comes later than the one before, either the sender's clock stood still (hold), or packets were held up
    /// on the way: then those that follow catch up.
    fn begins_anew(&self, before: &Sample, rest: &[Sample]) -> bool {
        let Some(first) = rest.first() else { return false };
        let difference = self.difference(before.at, before.timestamp, first);
        let size = difference.abs();
        let far = size >= JUMP || (size >= JUMP_AFTER_PAUSE && (first.marker || first.at - before.at >= PAUSE));
        // Arrivals that go back are those of a clock that was set.
        if !far || first.at < before.at || !self.in_step(before, first) {
            return far;
        }
        let forward = first.timestamp.wrapping_sub(before.timestamp).cast_signed() > 0;
        difference > 0.0 && forward && !self.catches_up(difference, rest)
    }

    /// Whether the timestamp moved by as much as the sequence number did.
    fn in_step(&self, before: &Sample, sample: &Sample) -> bool {
        let numbers = i32::from(sample.seq.wrapping_sub(before.seq).cast_signed());
        let ticks = sample.timestamp.wrapping_sub(before.timestamp).cast_signed();
        if numbers == 0 {
            return false;
        }
        if self.ticks > 0 && i64::from(ticks) == i64::from(numbers) * i64::from(self.ticks) {
            return true;
        }
        let media = f64::from(ticks) * self.ns_per_tick;
        let per_number = media / f64::from(numbers);
        numbers.abs() <= STEPS_TOLD && (0.0..LONGEST_STEP).contains(&per_number)
    }

    /// Whether packets after one that came later by `difference` come faster than they were sent.
    fn catches_up(&self, difference: f64, rest: &[Sample]) -> bool {
        let (mut fall, mut deepest, mut media) = (0.0, 0.0f64, 0.0f64);
        for pair in rest.windows(2) {
            fall -= self.difference(pair[0].at, pair[0].timestamp, &pair[1]);
            media += f64::from(pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed()) * self.ns_per_tick;
            deepest = deepest.max(fall);
        }
        deepest >= CATCH_UP && (deepest >= difference / 4.0 || deepest >= media / 2.0)
    }

    /// End of the segment that begins at `from`, or goes on there.
    fn segment_end(&mut self, samples: &[Sample], from: usize) -> usize {
        if matches!(self.segment, Segment::Settled(_)) && self.begins_anew(&self.last(), &samples[from..]) {
            self.jumps += 1;
            self.new_segment();
        }
        (from + 1..samples.len())
            .find(|next| self.begins_anew(&samples[next - 1], &samples[*next..]))
            .unwrap_or(samples.len())
    }

    /// Lowest transit of a segment, relative to the transit before its first packet (or to the first packet itself).
    fn lowest_transit(&self, samples: &[Sample]) -> f64 {
        let Some(first) = samples.first() else { return 0.0 };
        let mut transit = match self.segment {
            Segment::Settled(_) => self.difference(self.last_at, self.last_timestamp, first),
            _ => 0.0,
        };
        let mut lowest = transit;
        for pair in samples.windows(2) {
            transit += self.difference(pair[0].at, pair[0].timestamp, &pair[1]);
            lowest = lowest.min(transit);
        }
        lowest
    }

    fn new_segment(&mut self) {
        if let Some(base) = self.segment.base_mut() {
            self.movement.add(base.take_movement());
        }
        self.segment = Segment::NotStarted;
        self.transit = 0.0;
    }
}

/// Least squares of timestamp on arrival, in ticks per second; `None` for fewer than five samples or no time between them.
fn slope(samples: &[Sample]) -> Option<f64> {
    let first = samples.first().filter(|_| samples.len() >= 5)?;
    let n = samples.len() as f64;
    let point =
        |s: &Sample| ((s.at - first.at) as f64 / 1e9, f64::from(s.timestamp.wrapping_sub(first.timestamp) as i32));
    let (sum_x, sum_y) = samples.iter().map(point).fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (sxx, sxy) = samples
        .iter()
        .map(point)
        .fold((0.0, 0.0), |(a, b), (x, y)| (a + (x - mean_x).powi(2), b + (x - mean_x) * (y - mean_y)));
    (sxx > 0.0).then(|| sxy / sxx)
}

fn nearest_rate(rate: f64) -> Option<ClockRate> {
    let off = |r: &u32| (rate / f64::from(*r)).ln().abs();
    USUAL_RATES.into_iter().min_by(|a, b| off(a).total_cmp(&off(b))).and_then(ClockRate::new)
}

/// The usual rate that timestamps and arrivals show; needs half a second and ten packets that are not all of one timestamp.
///
/// Frames of audio last whole multiples of 2.5 ms, so among rates within 12 % of the slope one by which the step of the
/// timestamps is such a multiple wins (44,100 and 48,000 Hz are 9 % apart); otherwise the nearest within 4 %.
fn infer_clock(samples: &[Sample]) -> Option<ClockRate> {
    let (first, last) = (samples.first()?, samples.last()?);
    if samples.len() < 10 || Timestamp(last.at) - Timestamp(first.at) < Nanos::from_millis(500) {
        return None;
    }
    let slope = slope(samples).filter(|slope| *slope > 0.0)?;
    let off = |r: &u32| (slope / f64::from(*r)).ln().abs();
    let steps = samples.windows(2).filter(|pair| pair[1].consecutive);
    let step = steps.map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp)).filter(|step| *step > 0).min();
    let whole =
        |r: &u32| step.is_some_and(|step| step <= *r / 8 && (u64::from(step) * 400).is_multiple_of(u64::from(*r)));
    let by_step = USUAL_RATES.into_iter().filter(|r| off(r) < 0.12 && whole(r));
    by_step
        .min_by(|a, b| off(a).total_cmp(&off(b)))
        .and_then(ClockRate::new)
        .or_else(|| nearest_rate(slope).filter(|rate| off(&rate.hz()) < 0.04))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StreamStats;

    const MS: i64 = 1_000_000;

    #[test]
    fn the_state_of_the_segment_is_in_the_first_line_of_memory() {
        assert_eq!(std::mem::offset_of!(Timing, segment), 56);
        assert_eq!(size_of::<Segment>(), size_of::<Base>() + 24);
        assert!(size_of::<Timing>() <= 408, "{}", size_of::<Timing>());
    }

    fn run(clock: u32, packets: &[(i64, u32)]) -> (StreamStats, Timing) {
        let mut pool = Pool::default();
        let (mut numbers, mut sequence) = (IntervalCounters::default(), Sequence::new(0));
        let mut timing = Timing::new(ClockRate::new(clock), JitterBuffer::Fixed(Nanos::from_millis(60)));
        let mut out = Out { numbers: &mut numbers, sequence: &mut sequence };
        for (seq, (at, timestamp)) in (0..).zip(packets) {
            let sample = Sample { at: *at, timestamp: *timestamp, seq, marker: false, consecutive: true };
            timing.packet(sample, &mut out, &mut pool);
        }
        timing.flush(&mut out, &mut pool);
        numbers.jitter = timing.stat;
        (numbers.numbers(), timing)
    }

    #[test]
    fn jitter_of_one_late_packet() {
        // RFC 3550 A.8 by hand: D = 10 ms once, then -10 ms: J = 0.625, then 0.625 + (10 - 0.625)/16.
        let packets: Vec<(i64, u32)> =
            (0..100).map(|i| (i64::from(i) * 20 * MS + if i == 60 { 10 * MS } else { 0 }, i * 160)).collect();
        let (out, _) = run(8000, &packets);
        let peak = (0.625 + (10.0 - 0.625) / 16.0) * 1e6;
        assert!((out.jitter.max_ns - peak).abs() < 1.0, "{}", out.jitter.max_ns);
        assert_eq!(out.jitter.samples, 99);
        assert_eq!(out.pdv.total(), 100);
        assert_eq!(out.pdv_max, Nanos::from_millis(10));
    }

    #[test]
    fn base_is_the_minimum_even_when_the_first_packet_is_late() {
        let packets: Vec<(i64, u32)> =
            (0..100).map(|i| (i64::from(i) * 20 * MS + if i == 0 { 30 * MS } else { 0 }, i * 160)).collect();
        let (out, _) = run(8000, &packets);
        assert_eq!(out.pdv_max, Nanos::from_millis(30));
        assert_eq!(out.late[0], 1);
        assert_eq!(out.late[1], 0);
    }

    #[test]
    fn timestamp_jump_without_arrival_starts_a_segment() {
        let packets: Vec<(i64, u32)> = (0..200u32)
            .map(|i| (i64::from(i) * 20 * MS, if i < 100 { i * 160 } else { i * 160 + 1_000_000 }))
            .collect();
        let (out, timing) = run(8000, &packets);
        assert_eq!(timing.jumps, 1);
        assert_eq!(out.jitter.max_ns, 0.0);
        assert_eq!(out.pdv_max, Nanos::ZERO);
        assert_eq!(out.pdv.total(), 200);
    }

    #[test]
    fn clock_is_inferred_and_wraps() {
        for rate in USUAL_RATES {
            let samples: Vec<Sample> = (0..64u32)
                .map(|i| Sample {
                    at: i64::from(i) * 20 * MS + i64::from(i * 7 % 5) * MS,
                    timestamp: (i * (rate / 50)).wrapping_add(u32::MAX - 1000),
                    seq: i as u16,
                    marker: false,
                    consecutive: true,
                })
                .collect();
            assert_eq!(infer_clock(&samples).map(|c| c.hz()), Some(rate));
        }
    }

    #[test]
    fn drift_does_not_look_like_delay() {
        // 200 ppm over 10 minutes is 120 ms; the base follows.
        let packets: Vec<(i64, u32)> = (0..30_000u32)
            .map(|i| ((f64::from(i) * 20e6 * (1.0 + 200e-6)) as i64 + i64::from(i * 7919 % 10) * MS / 2, i * 160))
            .collect();
        let (out, timing) = run(8000, &packets);
        assert!(out.pdv_max < Nanos::from_millis(7), "{:?}", out.pdv_max);
        let drift = timing.drift_ppm().unwrap_or(0.0);
        assert!((drift - 200.0).abs() < 1.0, "{drift}");
    }
}
