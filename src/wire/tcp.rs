//! TCP byte streams that may carry SIP: ordered, deduplicated, bounded; each direction by itself.
//!
//! A stream is followed from its first bytes when they could begin a SIP message, or from the first segment that
//! does so when the connection was already up. Everything else is remembered as not SIP, with nothing buffered.
//! A hole that does not close (the probe missed it, the endpoints did not) ends what was read so far, and reading goes
//! on at the next segment that begins a message.
//!
//! After [`Reassembler::push`], and whenever [`Reassembler::next_deadline`] is reached, call [`Reassembler::release`]
//! until it gives nothing. Of two copies of the same bytes the first one seen counts.

use super::Segment;
use super::classify::{SipStart, sip_start};
use crate::model::{Ignored, Limits, Outcome, OverLimit};
use crate::units::{Nanos, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

/// A hole is given up after this long: above the usual minimum retransmission timeout (1 s, RFC 6298) and its first
/// repetition, below what an operator would call late.
const GAP_WAIT: Nanos = Nanos::from_secs(2);
/// Segments kept behind a hole.
const MAX_PENDING: usize = 64;
/// Farther ahead or behind than any window SIP needs: the stream was lost sight of.
const MAX_JUMP: u32 = 1 << 20;
/// Text that never begins a SIP message within this many segments is another protocol.
const MAX_HUNT: u8 = 16;
/// Idle connections are forgotten; a later message is found again as mid-stream.
const IDLE: Nanos = Nanos::from_secs(600);
/// Time for stray repetitions after FIN or RST.
const LINGER: Nanos = Nanos::from_secs(2);
/// The idle clock of a connection moves in steps of this, to spare work per segment.
const TOUCH_STEP: Nanos = Nanos::from_secs(1);

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpFlow {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    /// VLAN and tunnel keep apart what is captured twice, and address spaces that overlap.
    pub vlan: u16,
    pub tunnel: &'static str,
}

impl TcpFlow {
    pub fn of(segment: &Segment<'_>) -> TcpFlow {
        TcpFlow { src: segment.src, dst: segment.dst, vlan: segment.path.vlan, tunnel: segment.path.tunnel }
    }
}

/// What a segment was.
#[derive(Debug)]
pub enum TcpOutcome<'a> {
    /// The stream has bytes to read.
    Readable(TcpStream<'a>),
    /// Part of a SIP stream, kept until what comes before it arrives, or until there is enough to tell.
    Held,
    Done(Outcome),
}

/// Contiguous bytes of one direction. What is not consumed is there again with the next segment.
#[derive(Debug)]
pub struct TcpStream<'a> {
    flow: TcpFlow,
    stream: &'a mut Stream,
}

impl TcpStream<'_> {
    pub fn flow(&self) -> TcpFlow {
        self.flow
    }

    pub fn bytes(&self) -> &[u8] {
        self.stream.readable()
    }

    /// Takes `n` bytes off the front.
    pub fn consume(&mut self, n: usize) {
        self.stream.consume(n);
    }

    /// The next byte will never come: an unfinished message is all there is of it. What is left unread is dropped.
    pub fn ends_in_hole(&self) -> bool {
        self.stream.hole
    }

    /// Drops what is buffered and looks for the next segment that begins a message.
    pub fn resync(&mut self) {
        self.stream.drop_buffer();
        self.stream.state = State::Hunting { segments: 0, was_sip: true };
    }

    /// Nothing of this direction will be looked at again.
    pub fn reject(&mut self) {
        self.stream.drop_buffer();
        self.stream.state = State::NotSip;
    }
}

/// What reassembly did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Holes given up.
    pub gaps: u64,
    /// Bytes in those holes.
    pub gap_bytes: u64,
    /// Repeated segments whose bytes differ from the first copy. The first copy stays.
    pub conflicts: u64,
    /// Directions dropped, idlest first and those without SIP before others, to stay within the limit.
    pub evicted: u64,
    /// Streams whose message outgrew [`Limits::tcp_bytes`].
    pub overflows: u64,
}

/// All TCP directions being followed.
#[derive(Debug)]
pub struct Reassembler {
    /// Directions, two to a connection.
    max_flows: usize,
    max_bytes: usize,
    flows: HashMap<TcpFlow, Stream>,
    by_age: BTreeSet<(Rank, Timestamp, TcpFlow)>,
    holes: BTreeSet<(Timestamp, TcpFlow)>,
    pub counters: TcpCounters,
}

/// Which directions go first when room is needed, and which when time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Closed,
    Other,
    Sip,
}

fn is_idle((rank, touched): (Rank, Timestamp), at: Timestamp) -> bool {
    at - touched > if rank == Rank::Closed { LINGER } else { IDLE }
}

#[derive(Debug)]
struct Stream {
    state: State,
    /// Sequence number of the next byte in order.
    next: u32,
    closed: bool,
    touched: (Rank, Timestamp),
    buffer: Vec<u8>,
    /// Bytes of `buffer` already consumed.
    start: usize,
    /// What comes after `buffer` was not captured and will not come.
    hole: bool,
    /// Segments behind a hole by sequence number, in order after `next`.
    pending: Vec<Pending>,
    hole_deadline: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// SYN was seen; the first bytes decide.
    Opening,
    /// In the middle of a connection, or behind a hole: waits for a segment that begins a message.
    Hunting {
        segments: u8,
        was_sip: bool,
    },
    Sip,
    NotSip,
}

#[derive(Debug)]
struct Pending {
    arrived: Timestamp,
    seq: u32,
    wire: usize,
    bytes: Vec<u8>,
}

/// What one segment did to its stream.
enum Fed {
    Readable,
    Held,
    Done(Outcome),
}

const OTHER: Outcome = Outcome::Ignored(Ignored::OtherTcp);
const REPEATED: Outcome = Outcome::Ignored(Ignored::TcpRetransmission);

impl Reassembler {
    pub fn new(limits: &Limits) -> Self {
        Reassembler {
            max_flows: limits.tcp_connections.saturating_mul(2).max(1),
            max_bytes: limits.tcp_bytes,
            flows: HashMap::new(),
            by_age: BTreeSet::new(),
            holes: BTreeSet::new(),
            counters: TcpCounters::default(),
        }
    }

    /// Takes a segment. Deadlines up to `at` should have been served by [`Reassembler::release`].
    pub fn push(&mut self, at: Timestamp, segment: &Segment<'_>) -> TcpOutcome<'_> {
        let flow = TcpFlow::of(segment);
        if self.flows.get(&flow).is_some_and(|stream| is_idle(stream.touched, at)) {
            self.remove(&flow);
        }
        if !self.flows.contains_key(&flow) {
            if segment.rst || segment.wire_len == 0 && !segment.syn {
                return TcpOutcome::Done(OTHER);
            }
            self.make_room(at);
            let touched = (Rank::Other, at);
            self.by_age.insert((touched.0, touched.1, flow));
            self.flows.insert(flow, Stream::new(segment, touched));
        }
        let Some(stream) = self.flows.get_mut(&flow) else { return TcpOutcome::Done(OTHER) };
        let fed = stream.feed(at, segment, self.max_bytes, &mut self.counters);
        self.settle(at, flow);
        match (fed, self.flows.get_mut(&flow)) {
            (Fed::Readable, Some(stream)) => TcpOutcome::Readable(TcpStream { flow, stream }),
            (Fed::Done(outcome), _) => TcpOutcome::Done(outcome),
            _ => TcpOutcome::Held,
        }
    }

    /// Gives up holes whose time has come: first the bytes before the hole, then those behind it.
    /// `None` when nothing is due.
    pub fn release(&mut self, at: Timestamp) -> Option<TcpStream<'_>> {
        let flow = loop {
            let &(deadline, flow) = self.holes.first()?;
            if deadline > at {
                return None;
            }
            let Some(stream) = self.flows.get_mut(&flow) else {
                self.holes.pop_first();
                continue;
            };
            let readable = stream.give_up_hole(self.max_bytes, &mut self.counters);
            self.settle(at, flow);
            if readable {
                break flow;
            }
        };
        self.flows.get_mut(&flow).map(|stream| TcpStream { flow, stream })
    }

    /// Forgets idle and closed directions. It changes nothing that [`Reassembler::push`] says later; it only frees
    /// memory sooner.
    pub fn expire(&mut self, at: Timestamp) {
        for rank in [Rank::Closed, Rank::Other, Rank::Sip] {
            while let Some(&(found, touched, flow)) = self.by_age.range((rank, Timestamp::MIN, LOWEST_FLOW)..).next()
                && found == rank
                && is_idle((rank, touched), at)
            {
                self.remove(&flow);
            }
        }
    }

    /// When [`Reassembler::release`] has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.holes.first().map(|(at, _)| *at)
    }

    /// Directions followed or remembered.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Bytes buffered.
    pub fn buffered(&self) -> usize {
        self.flows.values().map(Stream::held).sum()
    }

    /// Brings the indexes in step with a stream that changed.
    fn settle(&mut self, at: Timestamp, flow: TcpFlow) {
        let Some(stream) = self.flows.get_mut(&flow) else { return };
        let rank = match stream.state {
            _ if stream.closed => Rank::Closed,
            State::Sip | State::Hunting { was_sip: true, .. } => Rank::Sip,
            _ => Rank::Other,
        };
        let (old_rank, touched) = stream.touched;
        if rank != old_rank || at - touched > TOUCH_STEP {
            self.by_age.remove(&(old_rank, touched, flow));
            stream.touched = (rank, at.max(touched));
            self.by_age.insert((rank, stream.touched.1, flow));
        }
        let due = stream.hole_due();
        if due != stream.hole_deadline {
            if let Some(old) = stream.hole_deadline.take() {
                self.holes.remove(&(old, flow));
            }
            if let Some(due) = due {
                self.holes.insert((due, flow));
            }
            stream.hole_deadline = due;
        }
    }

    fn make_room(&mut self, at: Timestamp) {
        if self.flows.len() >= self.max_flows {
            self.expire(at);
        }
        while self.flows.len() >= self.max_flows {
            let Some(&(_, _, idlest)) = self.by_age.first() else { break };
            self.remove(&idlest);
            self.counters.evicted += 1;
        }
    }

    fn remove(&mut self, flow: &TcpFlow) {
        let Some(stream) = self.flows.remove(flow) else { return };
        self.by_age.remove(&(stream.touched.0, stream.touched.1, *flow));
        if let Some(deadline) = stream.hole_deadline {
            self.holes.remove(&(deadline, *flow));
        }
    }
}

/// Sorts before every flow.
const LOWEST_FLOW: TcpFlow = {
    let lowest = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
    TcpFlow { src: lowest, dst: lowest, vlan: 0, tunnel: "" }
};

impl Stream {
    fn new(segment: &Segment<'_>, touched: (Rank, Timestamp)) -> Stream {
        let mut stream = Stream {
            state: State::Hunting { segments: 0, was_sip: false },
            next: segment.seq,
            closed: false,
            touched,
            buffer: Vec::new(),
            start: 0,
            hole: false,
            pending: Vec::new(),
            hole_deadline: None,
        };
        if segment.syn {
            stream.open(segment.seq);
        }
        stream
    }

    /// A new connection on the same addresses.
    fn open(&mut self, isn: u32) {
        self.drop_buffer();
        self.pending = Vec::new();
        self.state = State::Opening;
        self.next = isn.wrapping_add(1);
        self.closed = false;
    }

    fn feed(&mut self, at: Timestamp, segment: &Segment<'_>, max_bytes: usize, counters: &mut TcpCounters) -> Fed {
        let mut seq = segment.seq;
        if segment.syn {
            seq = seq.wrapping_add(1);
            let repeated = self.state == State::Opening && self.next == seq;
            let seen_before = self.is_sip() && !self.closed && distance(self.next, seq).is_some_and(|d| d <= 0);
            if !repeated && !seen_before {
                self.open(segment.seq);
            }
        }
        self.closed |= segment.fin || segment.rst;
        if segment.wire_len == 0 || segment.rst {
            return Fed::Done(OTHER);
        }
        if self.state == State::NotSip {
            return Fed::Done(OTHER);
        }
        if self.hole {
            self.drop_buffer();
            self.state = State::Hunting { segments: 0, was_sip: self.is_sip() };
        }
        if let State::Hunting { .. } = self.state {
            return self.hunt(seq, segment, max_bytes, counters);
        }
        match distance(self.next, seq) {
            Some(0) => self.in_order(segment.payload, segment.wire_len, max_bytes, counters),
            Some(d) if d < 0 => {
                let known = d.unsigned_abs() as usize;
                self.compare(known, segment.payload, counters);
                if known >= segment.wire_len {
                    return Fed::Done(REPEATED);
                }
                let fresh = segment.payload.get(known..).unwrap_or_default();
                self.in_order(fresh, segment.wire_len - known, max_bytes, counters)
            }
            Some(_) => self.keep(at, seq, segment, max_bytes, counters),
            None => {
                counters.gaps += 1;
                self.drop_buffer();
                self.pending = Vec::new();
                self.state = State::Hunting { segments: 0, was_sip: self.is_sip() };
                self.hunt(seq, segment, max_bytes, counters)
            }
        }
    }

    /// In the middle of a stream only a segment that begins a message is of use.
    fn hunt(&mut self, seq: u32, segment: &Segment<'_>, max_bytes: usize, counters: &mut TcpCounters) -> Fed {
        let State::Hunting { segments, was_sip } = self.state else { return Fed::Held };
        if distance(self.next, seq).is_some_and(|d| d < 0) && was_sip {
            return Fed::Done(REPEATED);
        }
        self.next = seq.wrapping_add(segment.wire_len as u32);
        if sip_start(segment.payload) == SipStart::Yes {
            self.state = State::Sip;
            self.next = seq;
            return self.in_order(segment.payload, segment.wire_len, max_bytes, counters);
        }
        if was_sip {
            return Fed::Done(Outcome::Ignored(Ignored::CutShort));
        }
        let blank = segment.payload.iter().all(|b| matches!(b, b'\r' | b'\n'));
        if !blank {
            let text = super::classify::looks_like_text(segment.payload);
            let segments = segments.saturating_add(1);
            self.state =
                if text && segments < MAX_HUNT { State::Hunting { segments, was_sip: false } } else { State::NotSip };
        }
        Fed::Done(OTHER)
    }

    /// Appends the next bytes, then what was waiting for them.
    fn in_order(&mut self, bytes: &[u8], wire: usize, max_bytes: usize, counters: &mut TcpCounters) -> Fed {
        let mut full = !self.append(bytes, wire, max_bytes);
        while !full
            && !self.hole
            && let Some(first) = self.pending.first()
        {
            let Some(d) = distance(self.next, first.seq).filter(|d| *d <= 0) else { break };
            let piece = self.pending.remove(0);
            let known = d.unsigned_abs() as usize;
            self.compare(known, &piece.bytes, counters);
            if known < piece.wire {
                let fresh = piece.bytes.get(known..).unwrap_or_default();
                full = !self.append(fresh, piece.wire - known, max_bytes);
            }
        }
        if full {
            counters.overflows += 1;
            self.drop_buffer();
            self.pending = Vec::new();
            self.state = State::Hunting { segments: 0, was_sip: true };
            return Fed::Done(Outcome::OverLimit(OverLimit::TcpBytes));
        }
        self.decide()
    }

    /// Whether the first bytes of a connection are SIP.
    fn decide(&mut self) -> Fed {
        if self.state == State::Opening {
            match sip_start(self.readable()) {
                SipStart::Yes => self.state = State::Sip,
                SipStart::Maybe if !self.hole => return Fed::Held,
                _ => {
                    self.drop_buffer();
                    self.pending = Vec::new();
                    self.state = State::NotSip;
                    return Fed::Done(OTHER);
                }
            }
        }
        if self.readable().is_empty() { Fed::Held } else { Fed::Readable }
    }

    /// False when the stream would hold more than `max_bytes`.
    fn append(&mut self, bytes: &[u8], wire: usize, max_bytes: usize) -> bool {
        if self.held() + bytes.len() > max_bytes {
            return false;
        }
        if self.start > 0 && self.start * 2 >= self.buffer.len() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
        self.next = self.next.wrapping_add(wire as u32);
        self.hole = bytes.len() < wire;
        true
    }

    /// Keeps a segment that is ahead of its time.
    fn keep(
        &mut self,
        at: Timestamp,
        seq: u32,
        segment: &Segment<'_>,
        max_bytes: usize,
        counters: &mut TcpCounters,
    ) -> Fed {
        let ahead = |s: u32| s.wrapping_sub(self.next);
        let index = self.pending.partition_point(|p| ahead(p.seq) < ahead(seq));
        if let Some(same) = self.pending.get(index)
            && same.seq == seq
            && same.wire >= segment.wire_len
        {
            return Fed::Done(REPEATED);
        }
        if self.pending.len() > MAX_PENDING || self.held() + segment.payload.len() > max_bytes {
            counters.overflows += 1;
            return Fed::Done(Outcome::OverLimit(OverLimit::TcpBytes));
        }
        let bytes = segment.payload.to_vec();
        self.pending.insert(index, Pending { arrived: at, seq, wire: segment.wire_len, bytes });
        Fed::Held
    }

    /// When the hole before the pending segments is given up: in time, or at once when too many wait behind it or
    /// nothing more will come.
    fn hole_due(&self) -> Option<Timestamp> {
        let since = self.pending.iter().map(|p| p.arrived).min()?;
        let at_once = self.closed || self.pending.len() > MAX_PENDING;
        Some(if at_once { since } else { since + GAP_WAIT })
    }

    /// One step past a hole: first hands out what is before it, then what is behind it from where a message begins.
    /// True when there is something to read.
    fn give_up_hole(&mut self, max_bytes: usize, counters: &mut TcpCounters) -> bool {
        if !self.hole && !self.readable().is_empty() {
            self.hole = true;
            return true;
        }
        let was_sip = self.is_sip();
        self.drop_buffer();
        self.state = State::Hunting { segments: 0, was_sip };
        while !self.pending.is_empty() {
            let piece = self.pending.remove(0);
            match distance(self.next, piece.seq) {
                Some(d) if d <= 0 => {}
                other => {
                    counters.gaps += 1;
                    counters.gap_bytes += other.map_or(0, |d| u64::from(d.unsigned_abs()));
                }
            }
            self.next = piece.seq;
            if sip_start(&piece.bytes) == SipStart::Yes {
                self.state = State::Sip;
                return matches!(self.in_order(&piece.bytes, piece.wire, max_bytes, counters), Fed::Readable);
            }
            self.next = self.next.wrapping_add(piece.wire as u32);
        }
        false
    }

    /// Counts a repetition whose bytes are not those seen first, as far as those are still here. `repeated` begins
    /// `known` bytes before the end of what was read.
    fn compare(&self, known: usize, repeated: &[u8], counters: &mut TcpCounters) {
        let seen = self.readable();
        let gone = known.saturating_sub(seen.len());
        let seen = seen.get(seen.len() - (known - gone)..).unwrap_or_default();
        let repeated = repeated.get(gone..).unwrap_or_default();
        if !self.hole && seen.iter().zip(repeated).any(|(a, b)| a != b) {
            counters.conflicts += 1;
        }
    }

    fn is_sip(&self) -> bool {
        matches!(self.state, State::Sip | State::Hunting { was_sip: true, .. })
    }

    fn readable(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.buffer.len());
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    fn drop_buffer(&mut self) {
        self.buffer = Vec::new();
        self.start = 0;
        self.hole = false;
    }

    fn held(&self) -> usize {
        self.readable().len() + self.pending.iter().map(|p| p.bytes.len()).sum::<usize>()
    }
}

/// From `a` forward to `b` in sequence space; `None` beyond [`MAX_JUMP`].
fn distance(a: u32, b: u32) -> Option<i32> {
    let d = b.wrapping_sub(a).cast_signed();
    (d.unsigned_abs() <= MAX_JUMP).then_some(d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Path;
    use proptest::prelude::*;

    const MESSAGE: &[u8] = b"OPTIONS sip:b@example.com SIP/2.0\r\nCall-ID: tcp@h\r\nContent-Length: 0\r\n\r\n";
    const ISN: u32 = u32::MAX - 20; // wraps inside the first message

    fn segment(seq: u32, payload: &[u8]) -> Segment<'_> {
        Segment {
            src: "192.0.2.1:5060".parse().unwrap(),
            dst: "192.0.2.2:5060".parse().unwrap(),
            path: Path { ip_id: Some(1), ttl: 64, dscp: 0, vlan: 0, tunnel: "" },
            seq,
            syn: false,
            fin: false,
            rst: false,
            payload,
            wire_len: payload.len(),
        }
    }

    fn syn(isn: u32) -> Segment<'static> {
        Segment { syn: true, ..segment(isn, &[]) }
    }

    fn ms(n: i64) -> Timestamp {
        Timestamp(0) + Nanos::from_millis(n)
    }

    /// A reassembler and what came out of it.
    struct Rig {
        tcp: Reassembler,
        read: Vec<u8>,
        /// Bytes left unread before a hole.
        broken: Vec<Vec<u8>>,
    }

    impl Rig {
        fn new(limits: &Limits) -> Rig {
            Rig { tcp: Reassembler::new(limits), read: Vec::new(), broken: Vec::new() }
        }

        fn opened() -> Rig {
            let mut rig = Rig::new(&Limits::default());
            assert_eq!(rig.push(0, &syn(ISN)), "ignored.other_tcp");
            rig
        }

        /// Feeds a segment; takes whole lines out of the stream.
        fn push(&mut self, at: i64, s: &Segment<'_>) -> String {
            let said = match self.tcp.push(ms(at), s) {
                TcpOutcome::Readable(mut stream) => {
                    take_lines(&mut stream, &mut self.read, &mut self.broken);
                    "readable".to_owned()
                }
                TcpOutcome::Held => "held".to_owned(),
                TcpOutcome::Done(outcome) => outcome.name(),
            };
            self.release(at);
            said
        }

        fn release(&mut self, at: i64) {
            while let Some(mut stream) = self.tcp.release(ms(at)) {
                take_lines(&mut stream, &mut self.read, &mut self.broken);
            }
        }
    }

    fn take_lines(stream: &mut TcpStream<'_>, read: &mut Vec<u8>, broken: &mut Vec<Vec<u8>>) {
        while let Some(end) = stream.bytes().iter().position(|b| *b == b'\n') {
            read.extend(&stream.bytes()[..=end]);
            stream.consume(end + 1);
        }
        if stream.ends_in_hole() {
            broken.push(stream.bytes().to_vec());
        }
    }

    #[test]
    fn one_octet_at_a_time_across_the_wrap() {
        let mut rig = Rig::opened();
        for (i, byte) in MESSAGE.iter().enumerate() {
            rig.push(i as i64, &segment(ISN.wrapping_add(1 + i as u32), &[*byte]));
        }
        assert_eq!(rig.read, MESSAGE);
        assert_eq!((rig.tcp.buffered(), rig.tcp.counters), (0, TcpCounters::default()));
    }

    #[test]
    fn repeated_and_overlapping_segments_keep_the_first_copy() {
        let mut rig = Rig::opened();
        let first = ISN.wrapping_add(1);
        assert_eq!(rig.push(0, &segment(first, &MESSAGE[..60])), "readable");
        assert_eq!(rig.push(1, &segment(first, &MESSAGE[..60])), "ignored.tcp_retransmission");
        assert_eq!(rig.push(1, &syn(ISN)), "ignored.other_tcp");
        assert_eq!(rig.push(1, &segment(first.wrapping_add(52), &MESSAGE[52..60])), "ignored.tcp_retransmission");
        assert_eq!(rig.tcp.counters.conflicts, 0);
        assert_eq!(rig.push(2, &segment(first.wrapping_add(52), &[0x5a; 8])), "ignored.tcp_retransmission");
        assert_eq!(rig.tcp.counters.conflicts, 1);
        assert_eq!(rig.push(3, &segment(first.wrapping_add(50), &MESSAGE[50..])), "readable");
        assert_eq!(rig.read, MESSAGE);
    }

    #[test]
    fn a_hole_is_given_up_and_reading_goes_on_at_the_next_message() {
        let mut rig = Rig::opened();
        let first = ISN.wrapping_add(1);
        rig.push(0, &segment(first, &MESSAGE[..40]));
        let next = first.wrapping_add(MESSAGE.len() as u32);
        // the rest of the first message never comes
        assert_eq!(rig.push(10, &segment(next, MESSAGE)), "held");
        assert_eq!(rig.push(20, &segment(next, MESSAGE)), "ignored.tcp_retransmission");
        assert_eq!(rig.tcp.next_deadline(), Some(ms(2010)));
        rig.release(2009);
        assert!(rig.broken.is_empty());
        rig.release(2010);
        assert_eq!(rig.broken, [MESSAGE[35..40].to_vec()]);
        assert_eq!(rig.read, [&MESSAGE[..35], MESSAGE].concat());
        assert_eq!((rig.tcp.counters.gaps, rig.tcp.counters.gap_bytes), (1, MESSAGE.len() as u64 - 40));
        assert_eq!(rig.tcp.next_deadline(), None);
        assert_eq!(rig.push(3000, &segment(first.wrapping_add(40), &MESSAGE[40..])), "ignored.tcp_retransmission");
    }

    #[test]
    fn behind_a_hole_nothing_is_read_before_a_message_begins() {
        let mut rig = Rig::opened();
        let first = ISN.wrapping_add(1);
        rig.push(0, &segment(first, MESSAGE));
        let at = first.wrapping_add(MESSAGE.len() as u32 + 10);
        assert_eq!(rig.push(10, &segment(at, &MESSAGE[10..])), "held");
        rig.release(2010);
        assert_eq!(rig.read, MESSAGE);
        let after = at.wrapping_add(MESSAGE.len() as u32 - 10);
        assert_eq!(rig.push(2020, &segment(after, &MESSAGE[20..])), "ignored.cut_short");
        let after = after.wrapping_add(MESSAGE.len() as u32 - 20);
        assert_eq!(rig.push(2030, &segment(after, MESSAGE)), "readable");
        assert_eq!(rig.read, MESSAGE.repeat(2));
    }

    #[test]
    fn a_segment_cut_by_the_snap_length_ends_in_a_hole() {
        let mut rig = Rig::opened();
        let first = ISN.wrapping_add(1);
        let cut = Segment { wire_len: MESSAGE.len(), ..segment(first, &MESSAGE[..40]) };
        assert_eq!(rig.push(0, &cut), "readable");
        assert_eq!(rig.broken, [MESSAGE[35..40].to_vec()]);
        assert_eq!(rig.push(1, &segment(first.wrapping_add(MESSAGE.len() as u32), MESSAGE)), "readable");
        assert_eq!(rig.read, [&MESSAGE[..35], MESSAGE].concat());
    }

    #[test]
    fn other_protocols_are_remembered_without_bytes() {
        let mut rig = Rig::opened();
        assert_eq!(rig.push(0, &segment(ISN.wrapping_add(1), &[0x16, 3, 1, 2, 0])), "ignored.other_tcp");
        assert_eq!(rig.push(1, &segment(ISN.wrapping_add(6), MESSAGE)), "ignored.other_tcp");
        assert_eq!((rig.tcp.buffered(), rig.tcp.len()), (0, 1));
        rig.push(2, &syn(77));
        assert_eq!(rig.push(3, &segment(78, MESSAGE)), "readable", "a new connection on the same ports");
    }

    #[test]
    fn a_connection_that_was_already_up_is_read_from_its_next_message() {
        let mut rig = Rig::new(&Limits::default());
        assert_eq!(rig.push(0, &segment(500, b"a=sendrecv\r\n")), "ignored.other_tcp");
        assert_eq!(rig.push(1, &segment(512, MESSAGE)), "readable");
        assert_eq!(rig.read, MESSAGE);
        let mut rig = Rig::new(&Limits::default());
        for n in 0..20 {
            rig.push(n, &segment(500 + 10 * n as u32, b"not sip..\n"));
        }
        assert_eq!(rig.push(30, &segment(700, MESSAGE)), "ignored.other_tcp", "text that is never SIP");
    }

    #[test]
    fn fin_hands_out_what_waits_and_frees_soon() {
        let mut rig = Rig::opened();
        let first = ISN.wrapping_add(1);
        rig.push(0, &segment(first, MESSAGE));
        let fin = Segment { fin: true, ..segment(first.wrapping_add(MESSAGE.len() as u32 + 5), MESSAGE) };
        assert_eq!(rig.push(10, &fin), "held");
        assert_eq!(rig.read, MESSAGE.repeat(2), "nothing more will come");
        rig.tcp.expire(ms(2010));
        assert_eq!(rig.tcp.len(), 1);
        rig.tcp.expire(ms(2011));
        assert!(rig.tcp.is_empty());
    }

    #[test]
    fn a_message_without_end_is_dropped_at_the_limit() {
        let limits = Limits { tcp_bytes: 1000, ..Limits::default() };
        let mut tcp = Reassembler::new(&limits);
        let mut seq = 1u32;
        let mut over = 0;
        tcp.push(ms(0), &syn(0));
        for n in 0..30 {
            let bytes = if n == 0 { b"INVITE sip:b@h SIP/2.0\r\nX: " as &[u8] } else { &[b'a'; 100] };
            if let TcpOutcome::Done(Outcome::OverLimit(OverLimit::TcpBytes)) = tcp.push(ms(n), &segment(seq, bytes)) {
                over += 1;
            }
            assert!(tcp.buffered() <= 1000);
            seq += bytes.len() as u32;
        }
        assert_eq!((over, tcp.counters.overflows), (1, 1));
        assert!(matches!(tcp.push(ms(40), &segment(seq, MESSAGE)), TcpOutcome::Readable(_)), "resynchronised");
        let mut ahead = seq + MESSAGE.len() as u32;
        for _ in 0..30 {
            ahead += 200;
            tcp.push(ms(50), &segment(ahead, &[b'a'; 100]));
            assert!(tcp.buffered() <= 1000);
        }
    }

    #[test]
    fn a_flood_of_connections_evicts_those_without_sip_first() {
        let limits = Limits { tcp_connections: 50, ..Limits::default() };
        let mut rig = Rig::new(&limits);
        rig.push(0, &syn(ISN));
        rig.push(0, &segment(ISN.wrapping_add(1), &MESSAGE[..40]));
        for n in 0..1000u32 {
            let src = SocketAddr::new([10, 0, (n >> 8) as u8, n as u8].into(), 1024);
            rig.push(5000, &Segment { src, ..syn(n) });
            assert!(rig.tcp.len() <= 100);
        }
        assert_eq!(rig.tcp.counters.evicted, 901);
        rig.push(6000, &segment(ISN.wrapping_add(41), &MESSAGE[40..]));
        assert_eq!(rig.read, MESSAGE);
    }

    proptest! {
        /// Any cutting, order within the window and repetition gives the same bytes.
        #[test]
        fn order_and_repetition_do_not_show(
            cuts in prop::collection::vec(1usize..30, 1..20),
            swaps in prop::collection::vec((0usize..40, 0usize..40), 0..20),
            repeats in prop::collection::vec(0usize..40, 0..10),
        ) {
            let text = MESSAGE.repeat(3);
            let mut pieces = Vec::new();
            let mut at = 0;
            let mut cut = cuts.iter().cycle();
            while at < text.len() {
                let end = (at + cut.next().unwrap()).min(text.len());
                pieces.push((at, end));
                at = end;
            }
            let first = pieces.remove(0);
            for n in repeats { pieces.push(pieces[n % pieces.len()]); }
            for (a, b) in swaps { let n = pieces.len(); pieces.swap(a % n, b % n); }
            pieces.truncate(MAX_PENDING);
            for (at, end) in (0..text.len()).step_by(7).map(|a| (a, (a + 7).min(text.len()))) { pieces.push((at, end)); }
            let mut rig = Rig::opened();
            for (at, end) in std::iter::once(first).chain(pieces) {
                rig.push(1, &segment(ISN.wrapping_add(1 + at as u32), &text[at..end]));
            }
            prop_assert_eq!(rig.read, text);
            prop_assert_eq!(rig.tcp.counters, TcpCounters::default());
        }
    }
}
