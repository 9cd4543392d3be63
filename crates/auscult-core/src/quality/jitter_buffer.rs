//! What a receiver's jitter buffer would discard: a fixed buffer packet by packet ([`simulate_fixed`], the reference),
//! and an adaptive one with small streaming state ([`Adaptive`]).
//!
//! Delays `d` are arrival less media time (RTP timestamp over clock rate), corrected for drift, from any origin.
//! A packet is late when `d - reference > size`; exactly `size` is on time. Reordered packets that meet their play
//! time are fine. Discards weigh as loss in the E-model (RFC 3611 section 4.7.1).

use crate::units::{Nanos, Timestamp};
use std::collections::BTreeSet;

/// The reference delay is the smallest one over this long, or over [`REFERENCE_PACKETS`] if those come sooner.
const REFERENCE_TIME: Nanos = Nanos::from_secs(1);
const REFERENCE_PACKETS: u32 = 50;
/// A delay that differs from the reference by more than this is that of another route.
const ROUTE_CHANGE: Nanos = Nanos::from_millis(20);
/// So many packets in a row move the reference down ...
const DOWN_PACKETS: u8 = 5;
/// ... and so long without a single one near the reference moves it up.
const UP_TIME: Nanos = Nanos::from_secs(3);
/// An adaptive buffer that gets nothing it can play for so long starts over from what comes. A queue that was held up and is
/// then sent at once takes less.
const STARVED: Nanos = Nanos::from_millis(500);
/// A marker whose timestamp jumps this much more or less than its arrival restarts the buffer.
const MARKER_JUMP: Nanos = Nanos::from_millis(200);
/// So does a pause in arrivals of this length.
const ARRIVAL_GAP: Nanos = Nanos::from_secs(2);

/// One packet as the buffer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub at: Timestamp,
    /// Extended sequence number.
    pub seq: u64,
    /// Arrival less media time, drift-corrected.
    pub delay: Nanos,
    pub marker: bool,
    /// First packet after a change of SSRC or clock rate, or after a resynchronisation (RFC 3550 A.1).
    pub restart: bool,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayoutOutcome {
    Played,
    /// After its play time.
    Late,
    /// So early that the buffer is full.
    Overflow,
    /// A sequence number seen before: neither played nor discarded.
    Duplicate,
}

/// What play times count from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// The smallest delay at the start of a segment, followed when the route changes.
    #[default]
    Minimum,
    /// The first packet of a segment. Common, and wrong when that packet is itself late.
    First,
}

/// A fixed jitter buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedBuffer {
    /// Play-out delay above the reference.
    pub size: Nanos,
    /// Most media held; `None` for no bound.
    pub max: Option<Nanos>,
    pub anchor: Anchor,
}

/// The fate of each packet, in the order given, which is the order of arrival.
///
/// The reference delay of a segment is taken over its first second or 50 packets and holds for those packets too.
/// It moves down to the smallest of five packets in a row more than 20 ms below it, and up to the smallest of 3 s
/// during which every packet was more than 20 ms above it. A segment ends at a restart, at a marker whose delay
/// differs by more than 200 ms from the packet before, and after 2 s without arrivals.
pub fn simulate_fixed(packets: &[Arrival], buffer: &FixedBuffer) -> Vec<PlayoutOutcome> {
    let mut fates = Vec::with_capacity(packets.len());
    let mut from = 0;
    while from < packets.len() {
        let tail = packets.get(from..).unwrap_or_default();
        let ends = tail.windows(2).position(|pair| starts_segment(&pair[0], &pair[1])).map_or(tail.len(), |i| i + 1);
        simulate_segment(&tail[..ends], buffer, &mut fates);
        from += ends;
    }
    fates
}

fn starts_segment(before: &Arrival, p: &Arrival) -> bool {
    p.restart || (p.marker && (p.delay - before.delay).abs() > MARKER_JUMP) || p.at - before.at > ARRIVAL_GAP
}

fn simulate_segment(packets: &[Arrival], buffer: &FixedBuffer, fates: &mut Vec<PlayoutOutcome>) {
    let Some(first) = packets.first() else { return };
    let mut follower = Follower::new(match buffer.anchor {
        Anchor::First => first.delay,
        Anchor::Minimum => packets
            .iter()
            .take(REFERENCE_PACKETS as usize)
            .take_while(|p| p.at - first.at <= REFERENCE_TIME)
            .map(|p| p.delay)
            .min()
            .unwrap_or(first.delay),
    });
    let mut seen = BTreeSet::new();
    for p in packets {
        if !seen.insert(p.seq) {
            fates.push(PlayoutOutcome::Duplicate);
            continue;
        }
        if buffer.anchor == Anchor::Minimum {
            follower.follow(p.at, p.delay);
        }
        fates.push(fate(p.delay - follower.reference, buffer.size, buffer.max));
    }
}

fn fate(above_reference: Nanos, size: Nanos, max: Option<Nanos>) -> PlayoutOutcome {
    if above_reference > size {
        PlayoutOutcome::Late
    } else if max.is_some_and(|max| above_reference < size - max) {
        PlayoutOutcome::Overflow
    } else {
        PlayoutOutcome::Played
    }
}

/// The reference delay, following route changes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Follower {
    reference: Nanos,
    /// Smallest delay of the packets in a row far below (`lower > 0`) or far above (`higher_since` set).
    candidate: Nanos,
    /// [`Timestamp::MIN`] where it is not.
    higher_since: Timestamp,
    lower: u8,
}

impl Follower {
    fn new(reference: Nanos) -> Follower {
        Follower { reference, candidate: Nanos::ZERO, higher_since: Timestamp::MIN, lower: 0 }
    }

    /// The last delay was near the reference.
    #[inline]
    fn is_near(&self) -> bool {
        self.lower == 0 && self.higher_since == Timestamp::MIN
    }

    fn follow(&mut self, at: Timestamp, delay: Nanos) {
        if delay < self.reference - ROUTE_CHANGE {
            self.higher_since = Timestamp::MIN;
            self.candidate = if self.lower == 0 { delay } else { self.candidate.min(delay) };
            self.lower += 1;
            if self.lower >= DOWN_PACKETS {
                *self = Follower::new(self.candidate);
            }
        } else if delay > self.reference + ROUTE_CHANGE {
            self.lower = 0;
            if self.higher_since == Timestamp::MIN {
                self.higher_since = at;
                self.candidate = delay;
            } else {
                self.candidate = self.candidate.min(delay);
                if at - self.higher_since >= UP_TIME {
                    *self = Follower::new(self.candidate);
                }
            }
        } else {
            self.lower = 0;
            self.higher_since = Timestamp::MIN;
        }
    }
}

/// An adaptive jitter buffer: `size = clamp(20 ms, 200 ms, p98 of delay variation + ptime)`, set at once where a
/// talkspurt starts, otherwise moved by at most 10 ms per second.
///
/// The p98 is over about the last 10 s: a histogram of 10 ms buckets whose counts are halved every 5 s, read at the
/// upper bound of the bucket, every 100 ms and where a talkspurt starts. The reference follows as in [`simulate_fixed`], except that
/// the first second works with the smallest delay so far, and that it moves up to the smallest delay of packets that were
/// late without exception for 500 ms. A segment starts only where [`Arrival::restart`] says so. Feed packets once each, in order of arrival, duplicates left out.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Adaptive {
    last_at: Timestamp,
    last_delay: Nanos,
    /// When the counts are halved next.
    halve_at: Timestamp,
    /// When the percentile is read next, and the size that follows from it.
    read_at: Timestamp,
    target_us: u32,
    size_us: u32,
    follower: Follower,
    /// Packets of this segment that may still set the reference; 0 once it is settled.
    settling: u8,
    started: bool,
    /// The bucket of the percentile as it was last read.
    p98: u8,
    counts: [u16; Adaptive::BUCKETS],
    /// The sum of the counts, and of those before that bucket.
    total: u32,
    below: u32,
    segment_start: Timestamp,
    /// Since when every packet was late, [`Timestamp::MIN`] where the last one was not, and the smallest delay since.
    late_since: Timestamp,
    late_least: Nanos,
    ptime_us: u32,
    late: u32,
    overflow: u32,
}

impl Adaptive {
    pub const MIN: Nanos = Nanos::from_millis(20);
    pub const MAX: Nanos = Nanos::from_millis(200);
    const BUCKETS: usize = 21;
    const BUCKET: Nanos = Nanos::from_millis(10);
    const HALF_WINDOW: Nanos = Nanos::from_secs(5);
    /// 10 ms per second, as a divisor of time.
    const SLEW: i64 = 100;
    /// Time between two looks at the percentile, in which the size moves by 1 ms at most.
    const READ: Nanos = Nanos::from_millis(100);

    /// A buffer that starts at 20 ms plus the packet time.
    pub fn new(ptime: Nanos) -> Adaptive {
        let ptime = ptime.clamp(Nanos::ZERO, Adaptive::MAX);
        let mut buffer = Adaptive {
            follower: Follower::new(Nanos::ZERO),
            last_at: Timestamp::default(),
            last_delay: Nanos::ZERO,
            segment_start: Timestamp::default(),
            late_since: Timestamp::MIN,
            late_least: Nanos::ZERO,
            halve_at: Timestamp::default(),
            read_at: Timestamp::default(),
            target_us: 0,
            size_us: 0,
            ptime_us: micros(ptime),
            late: 0,
            overflow: 0,
            settling: 0,
            started: false,
            p98: 0,
            counts: [0; Adaptive::BUCKETS],
            total: 0,
            below: 0,
        };
        buffer.size_us = micros((Adaptive::MIN + ptime).min(Adaptive::MAX));
        buffer.target_us = buffer.size_us;
        buffer
    }

    /// Reads a word of each part a packet will prefetch.
    #[inline]
    pub fn prefetch(&self) -> u64 {
        self.last_at.0 as u64 ^ u64::from(self.size_us) ^ u64::from(self.total)
    }

    /// Sets the packet time once it is known.
    pub fn set_ptime(&mut self, ptime: Nanos) {
        self.ptime_us = micros(ptime.clamp(Nanos::ZERO, Adaptive::MAX));
        self.read_at = self.last_at;
    }

    /// Takes the next packet (`seq` is not looked at) and says what becomes of it.
    #[inline(always)]
    pub fn packet(&mut self, p: &Arrival) -> PlayoutOutcome {
        let above = p.delay - self.follower.reference;
        if self.is_usual(p, above) && (p.at < self.read_at || self.reads_as_before(p.at)) {
            self.last_at = p.at;
            self.last_delay = p.delay;
            self.count(usize::from(above >= Adaptive::BUCKET) + usize::from(above == ROUTE_CHANGE));
            return PlayoutOutcome::Played;
        }
        self.unusual(p)
    }

    /// Nothing is to be done but to count and perhaps to read the percentile: by far most packets. Follows from
    /// [`Adaptive::unusual`]; no buffer is smaller than [`ROUTE_CHANGE`].
    #[inline]
    fn is_usual(&self, p: &Arrival, above: Nanos) -> bool {
        self.settling == 0
            && self.started
            && !(p.restart || p.marker)
            && p.at > self.last_at
            && p.at < self.halve_at
            && self.size_us == self.target_us
            && self.follower.is_near()
            && above.abs() <= ROUTE_CHANGE
    }

    /// Reads the percentile where it is in the same bucket and gives the same size; false where it must be looked for.
    #[inline]
    fn reads_as_before(&mut self, at: Timestamp) -> bool {
        let same = self.is_in(usize::from(self.p98)) && self.target_us == self.size_for(usize::from(self.p98));
        if same {
            self.read_at = at + Adaptive::READ;
        }
        same
    }

    #[inline(never)]
    fn unusual(&mut self, p: &Arrival) -> PlayoutOutcome {
        if !self.started || p.restart {
            self.anchor(p);
        }
        let elapsed = (p.at - self.last_at).max(Nanos::ZERO);
        self.last_at = self.last_at.max(p.at);
        self.last_delay = p.delay;
        if self.settling > 0 && p.at - self.segment_start <= REFERENCE_TIME {
            self.settling -= 1;
            if p.delay < self.follower.reference {
                self.follower = Follower::new(p.delay);
            }
        } else {
            self.settling = 0;
            self.follower.follow(p.at, p.delay);
        }
        self.resize(p.at, p.marker, elapsed);
        let above = p.delay - self.follower.reference;
        self.record(p.at, above);
        let fate = fate(above, self.size(), Some(Adaptive::MAX + self.size()));
        match fate {
            PlayoutOutcome::Late => {
                self.late = self.late.saturating_add(1);
                self.starve(p);
                return fate;
            }
            PlayoutOutcome::Overflow => self.overflow = self.overflow.saturating_add(1),
            PlayoutOutcome::Played | PlayoutOutcome::Duplicate => {}
        }
        self.late_since = Timestamp::MIN;
        fate
    }

    /// As [`Adaptive::size`], in microseconds.
    #[inline]
    pub fn size_us(&self) -> u32 {
        self.size_us
    }

    /// Play-out delay above the reference at this moment.
    pub fn size(&self) -> Nanos {
        Nanos(i64::from(self.size_us) * 1000)
    }

    /// Packets that came after their play time.
    pub fn late(&self) -> u32 {
        self.late
    }

    /// Packets more than 200 ms ahead of the reference delay: the buffer was full.
    pub fn overflow(&self) -> u32 {
        self.overflow
    }

    /// Both together.
    pub fn discards(&self) -> u32 {
        self.late.saturating_add(self.overflow)
    }

    /// One more packet was late.
    fn starve(&mut self, p: &Arrival) {
        if self.late_since == Timestamp::MIN {
            (self.late_since, self.late_least) = (p.at, p.delay);
        }
        self.late_least = self.late_least.min(p.delay);
        if p.at - self.late_since >= STARVED {
            self.follower = Follower::new(self.late_least);
            self.late_since = Timestamp::MIN;
        }
    }

    fn anchor(&mut self, p: &Arrival) {
        self.late_since = Timestamp::MIN;
        self.follower = Follower::new(p.delay);
        self.segment_start = p.at;
        self.settling = REFERENCE_PACKETS as u8;
        self.last_at = p.at;
        self.read_at = self.read_at.min(p.at);
        self.halve_at = self.halve_at.min(p.at + Adaptive::HALF_WINDOW);
        if !self.started {
            self.started = true;
            self.halve_at = p.at + Adaptive::HALF_WINDOW;
        }
    }

    fn resize(&mut self, at: Timestamp, talkspurt: bool, elapsed: Nanos) {
        if talkspurt || at >= self.read_at {
            self.read(at);
        }
        let step = micros(Nanos(elapsed.0 / Adaptive::SLEW));
        self.size_us = if talkspurt {
            self.target_us
        } else {
            self.target_us.clamp(self.size_us.saturating_sub(step), self.size_us.saturating_add(step))
        };
    }

    #[inline(never)]
    fn read(&mut self, at: Timestamp) {
        if self.total == 0 {
            return;
        }
        if !self.is_in(usize::from(self.p98)) {
            self.look();
        }
        self.target_us = self.size_for(usize::from(self.p98));
        self.read_at = at + Adaptive::READ;
    }

    /// The size by the upper bound of a percentile's bucket.
    #[inline]
    fn size_for(&self, p98: usize) -> u32 {
        let p98 = Nanos((p98 as i64 + 1) * Adaptive::BUCKET.0);
        let ptime = Nanos(i64::from(self.ptime_us) * 1000);
        micros((p98 + ptime).clamp(Adaptive::MIN, Adaptive::MAX))
    }

    fn record(&mut self, at: Timestamp, above: Nanos) {
        self.count((above.0.max(0) / Adaptive::BUCKET.0) as usize);
        if at < self.halve_at {
            return;
        }
        let halvings = 1 + (at - self.halve_at).0 / Adaptive::HALF_WINDOW.0;
        for count in &mut self.counts {
            *count = count.checked_shr(halvings.min(16) as u32).unwrap_or(0);
        }
        self.look();
        self.halve_at = self.halve_at + Nanos(halvings.saturating_mul(Adaptive::HALF_WINDOW.0));
    }

    #[inline]
    fn count(&mut self, bucket: usize) {
        let bucket = bucket.min(Adaptive::BUCKETS - 1);
        let count = &mut self.counts[bucket];
        let one = u32::from(*count < u16::MAX);
        *count += one as u16;
        self.total += one;
        self.below += if bucket < usize::from(self.p98) { one } else { 0 };
    }

    /// Whether the bucket, that of the last look, holds the 98th percentile (nearest rank).
    #[inline]
    fn is_in(&self, bucket: usize) -> bool {
        let rank = (self.total * 98).div_ceil(100);
        self.below < rank && rank <= self.below + u32::from(self.counts[bucket])
    }

    /// Looks for the bucket that holds the 98th percentile; the first where nothing is counted.
    fn look(&mut self) {
        self.total = self.counts.iter().map(|c| u32::from(*c)).sum();
        (self.p98, self.below) = (0, 0);
        while self.total > 0 && !self.is_in(usize::from(self.p98)) {
            self.below += u32::from(self.counts[usize::from(self.p98)]);
            self.p98 += 1;
        }
    }
}

fn micros(span: Nanos) -> u32 {
    (span.0 / 1000).clamp(0, i64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Packets every 20 ms with the given delays in ms.
    fn stream(delays: impl IntoIterator<Item = i64>) -> Vec<Arrival> {
        let packet = |(i, delay): (usize, i64)| Arrival {
            at: Timestamp(0) + Nanos::from_millis(20 * i as i64 + delay),
            seq: i as u64,
            delay: Nanos::from_millis(delay),
            marker: i == 0,
            restart: false,
        };
        delays.into_iter().enumerate().map(packet).collect()
    }

    fn fixed(size_ms: i64) -> FixedBuffer {
        FixedBuffer { size: Nanos::from_millis(size_ms), max: None, anchor: Anchor::Minimum }
    }

    fn late(packets: &[Arrival], buffer: &FixedBuffer) -> Vec<usize> {
        let fates = simulate_fixed(packets, buffer);
        (0..fates.len()).filter(|i| fates[*i] == PlayoutOutcome::Late).collect()
    }

    #[test]
    fn the_boundary_is_on_time() {
        let packets = stream([10, 50, 51, 10]);
        assert_eq!(late(&packets, &fixed(40)), [2]);
    }

    #[test]
    fn bunched_packets_overflow_a_small_buffer() {
        let packets = stream([100, 80, 60, 40, 20, 0]);
        let mut buffer = FixedBuffer { anchor: Anchor::First, max: Some(Nanos::from_millis(70)), ..fixed(40) };
        let fates = simulate_fixed(&packets, &buffer);
        assert_eq!(fates.iter().filter(|f| **f == PlayoutOutcome::Overflow).count(), 4);
        buffer.max = None;
        assert!(simulate_fixed(&packets, &buffer).iter().all(|f| *f == PlayoutOutcome::Played));
    }

    #[test]
    fn duplicates_are_neither_late_nor_played() {
        let mut packets = stream([0, 0, 90]);
        packets.push(Arrival { at: Timestamp(0) + Nanos::from_millis(200), ..packets[1] });
        packets[3].delay = Nanos::from_millis(180);
        assert_eq!(
            simulate_fixed(&packets, &fixed(60)),
            [PlayoutOutcome::Played, PlayoutOutcome::Played, PlayoutOutcome::Late, PlayoutOutcome::Duplicate]
        );
    }

    #[test]
    fn a_lasting_shift_moves_the_reference_after_three_seconds() {
        let packets = stream((0..600).map(|i| if i < 200 { 0 } else { 100 }));
        let late = late(&packets, &fixed(60));
        assert_eq!(late.first(), Some(&200));
        assert_eq!(late.last(), Some(&349), "3 s of 20 ms packets");
    }

    #[test]
    fn a_shorter_route_moves_the_reference_with_the_fifth_packet() {
        // After the shift down by 50 ms, 90 ms is late again for 60 ms: the reference is 20.
        let packets = stream((0..200).map(|i| {
            if i < 100 {
                70
            } else if i % 20 == 19 {
                90
            } else {
                20
            }
        }));
        assert_eq!(late(&packets, &fixed(60)), [119, 139, 159, 179, 199]);
        // The fifth itself is measured from the new reference.
        let packets = stream((0..105).map(|i| if i < 100 { 150 } else { [20, 20, 20, 20, 100][i as usize - 100] }));
        assert_eq!(late(&packets, &fixed(60)), [104]);
        // Four packets do not.
        let packets = stream((0..200).map(|i| if (100..104).contains(&i) { 20 } else { 70 }));
        assert!(simulate_fixed(&packets, &fixed(40)).iter().all(|f| *f == PlayoutOutcome::Played));
    }

    #[test]
    fn the_reference_is_of_the_first_second_or_fifty_packets() {
        // The smallest delay comes as packet 60 of a second, then as packet 40 after one: neither sets the reference.
        let mut many = stream((0..100).map(|i| if i == 60 { 0 } else { 15 }));
        for (i, p) in many.iter_mut().enumerate() {
            p.at = Timestamp(0) + Nanos::from_millis(i as i64);
        }
        many[99].delay = Nanos::from_millis(70);
        let mut slow = stream((0..100).map(|i| if i == 40 { 0 } else { 15 }));
        for (i, p) in slow.iter_mut().enumerate() {
            p.at = Timestamp(0) + Nanos::from_millis(60 * i as i64);
        }
        slow[99].delay = Nanos::from_millis(70);
        assert!(late(&many, &fixed(60)).is_empty() && late(&slow, &fixed(60)).is_empty());
        many[30].delay = Nanos::ZERO;
        slow[10].delay = Nanos::ZERO;
        assert_eq!((late(&many, &fixed(60)), late(&slow, &fixed(60))), (vec![99], vec![99]));
    }

    /// Of the fixed buffer. The caller says where a segment of the adaptive one starts: after a pause a queue may have been held up.
    #[test]
    fn a_pause_starts_a_segment() {
        let paused = |pause_ms, restart| {
            let mut packets = stream((0..60).map(|i| if i < 50 { 0 } else { 100 }));
            for p in &mut packets[50..] {
                p.at = p.at + Nanos::from_millis(pause_ms);
            }
            let by_pause = late(&packets, &fixed(60)).len();
            packets[50].restart = restart;
            let mut adaptive = Adaptive::new(Nanos::from_millis(20));
            let adaptive_late = packets.iter().filter(|p| adaptive.packet(p) == PlayoutOutcome::Late).count();
            (by_pause, adaptive_late)
        };
        assert_eq!(paused(2100, true), (0, 0));
        assert!(paused(2100, false).1 > 0);
        let short = paused(1800, false);
        assert_eq!(short.0, 10);
        assert!(short.1 > 0);
    }

    #[test]
    fn adaptive_settles_on_the_smallest_delay_of_the_first_second() {
        let mut buffer = Adaptive::new(Nanos::from_millis(20));
        let fates: Vec<PlayoutOutcome> = stream([50, 0, 50]).iter().map(|p| buffer.packet(p)).collect();
        assert_eq!(fates, [PlayoutOutcome::Played, PlayoutOutcome::Played, PlayoutOutcome::Late]);
    }

    #[test]
    fn adaptive_counts_packets_far_too_early() {
        let mut buffer = Adaptive::new(Nanos::from_millis(20));
        let fates: Vec<PlayoutOutcome> =
            stream((0..120).map(|i| if i == 110 { 99 } else { 300 })).iter().map(|p| buffer.packet(p)).collect();
        assert_eq!(
            (fates[110], buffer.overflow(), buffer.late(), buffer.discards()),
            (PlayoutOutcome::Overflow, 1, 0, 1)
        );
    }

    #[test]
    fn segments_start_anew() {
        let jump = |marker, restart| {
            let mut packets = stream((0..100).map(|i| if i < 50 { 0 } else { 250 }));
            packets[50].marker = marker;
            packets[50].restart = restart;
            late(&packets, &fixed(60)).len()
        };
        assert_eq!((jump(false, false), jump(true, false), jump(false, true)), (50, 0, 0));
    }

    #[test]
    fn adaptive_state_stays_small() {
        assert!(size_of::<Adaptive>() <= 168, "{}", size_of::<Adaptive>());
    }

    #[test]
    fn adaptive_grows_and_shrinks_slowly_inside_a_talkspurt() {
        let mut buffer = Adaptive::new(Nanos::from_millis(20));
        assert_eq!(buffer.size(), Nanos::from_millis(40));
        let quiet = stream((0..500).map(|_| 0));
        for p in &quiet {
            buffer.packet(p);
        }
        assert_eq!(buffer.size(), Nanos::from_millis(30), "10 ms bucket and ptime");
        assert_eq!(buffer.discards(), 0);
        let mut grown = buffer;
        for p in stream((0..1000).map(|i| if i >= 500 && i % 10 == 0 { 95 } else { 0 })).iter().skip(500) {
            let before = grown.size();
            grown.packet(p);
            assert!((grown.size() - before).abs() <= Nanos::from_micros(2000), "at most 10 ms per second");
        }
        assert!(grown.size() > Nanos::from_millis(110), "{:?}", grown.size());
        let late = grown.late();
        assert!(late > 0 && late < 50, "{late} late before it had grown");
    }

    #[test]
    fn adaptive_jumps_at_a_talkspurt() {
        let mut buffer = Adaptive::new(Nanos::from_millis(20));
        let mut packets = stream((0..200).map(|i| if i > 20 && i % 4 == 0 { 95 } else { 0 }));
        packets[150].marker = true;
        for p in &packets[..=150] {
            buffer.packet(p);
        }
        assert_eq!(buffer.size(), Nanos::from_millis(120));
        packets[151].delay = Nanos::from_millis(99);
        assert_eq!(buffer.packet(&packets[151]), PlayoutOutcome::Played);
    }

    proptest! {
        #[test]
        fn a_larger_buffer_never_discards_more(delays in prop::collection::vec(0i64..300, 1..200), a in 0i64..200, b in 0i64..200) {
            let packets = stream(delays);
            let (small, large) = (a.min(b), a.max(b));
            prop_assert!(late(&packets, &fixed(small)).len() >= late(&packets, &fixed(large)).len());
        }

        #[test]
        fn adaptive_stays_in_its_range(delays in prop::collection::vec((-500i64..500, any::<bool>()), 1..300)) {
            let mut buffer = Adaptive::new(Nanos::from_millis(20));
            let mut packets = stream(delays.iter().map(|d| d.0));
            for (p, (_, marker)) in packets.iter_mut().zip(&delays) {
                p.marker = *marker;
                buffer.packet(p);
                prop_assert!((Adaptive::MIN..=Adaptive::MAX).contains(&buffer.size()));
            }
            prop_assert!(buffer.discards() as usize <= packets.len());
        }

        #[test]
        fn variation_below_the_smallest_buffer_is_absorbed_by_both(delays in prop::collection::vec(0i64..15, 60..300)) {
            let mut packets = stream(delays);
            let mut buffer = Adaptive::new(Nanos::from_millis(20));
            for p in &mut packets {
                prop_assert_eq!(buffer.packet(p), PlayoutOutcome::Played);
            }
            prop_assert!(late(&packets, &fixed(20)).is_empty());
        }
    }
}
