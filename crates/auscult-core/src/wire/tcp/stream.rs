//! One direction of a TCP connection: order, holes, and whether anything is in it that is read.

use super::{Protocol, TcpCounters};
use crate::model::{Ignored, Outcome, OverLimit};
use crate::units::{Nanos, Timestamp};
use crate::wire::classify::{SipStart, looks_like_text, sip_start};
use crate::wire::sip::{Framer, Framing, FramingLimits};
use crate::wire::units::{Unit, Units};
use crate::wire::websocket::{self, WebSocket, WsStep};
use crate::wire::{Path, Segment};
use std::collections::VecDeque;

/// A hole is given up after this long: above the usual minimum retransmission timeout (1 s, RFC 6298) and its first
/// repetition, below what an operator would call late.
const GAP_WAIT: Nanos = Nanos::from_secs(2);
/// Segments kept behind a hole.
pub const MAX_PENDING: usize = 64;
/// Farther ahead or behind than any window SIP needs: the stream was lost sight of.
const MAX_JUMP: u32 = 1 << 20;
/// Text that never begins a SIP message within this many segments is another protocol.
const MAX_HUNT: u8 = 16;

/// Which directions go first when room is needed, and which when time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Closed,
    Other,
    /// It is read.
    Read,
}

#[derive(Debug)]
pub struct Stream {
    state: State,
    /// Sequence number of the next byte in order.
    next: u32,
    closed: bool,
    /// Place in the index by age.
    pub touched: (Rank, Timestamp),
    buffer: Vec<u8>,
    /// Bytes of `buffer` already consumed.
    start: usize,
    /// What comes after `buffer` was not captured and will not come.
    hole: bool,
    /// How its last segment travelled.
    pub path: Path,
    /// Its place in the bytes of `buffer` that are not consumed.
    framer: Framer,
    websocket: Option<Box<WebSocket>>,
    /// Segments behind a hole by sequence number, in order after `next`, and their bytes in all.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    /// Place in the index of holes.
    pub hole_deadline: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// SYN was seen; the first bytes decide.
    Opening,
    /// In the middle of a connection, or behind a hole: waits for a segment that begins a message.
    Hunting {
        segments: u8,
        was_read: bool,
    },
    Read(Protocol),
    Other,
}

#[derive(Debug)]
struct Pending {
    arrived: Timestamp,
    seq: u32,
    wire: usize,
    bytes: Vec<u8>,
}

/// What one segment did to its stream.
pub enum Fed {
    Readable,
    Buffered,
    Done(Outcome),
}

pub const OTHER: Outcome = Outcome::Ignored(Ignored::OtherTcp);
const REPEATED: Outcome = Outcome::Ignored(Ignored::TcpRetransmission);

impl Stream {
    pub fn new(segment: &Segment<'_>, touched: (Rank, Timestamp)) -> Stream {
        let mut stream = Stream {
            state: State::Hunting { segments: 0, was_read: false },
            next: segment.seq,
            closed: false,
            touched,
            buffer: Vec::new(),
            start: 0,
            hole: false,
            path: segment.path,
            framer: Framer::default(),
            websocket: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
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
        self.drop_pending();
        self.state = State::Opening;
        self.next = isn.wrapping_add(1);
        self.closed = false;
    }

    pub fn feed(&mut self, at: Timestamp, segment: &Segment<'_>, max_bytes: usize, counters: &mut TcpCounters) -> Fed {
        let mut seq = segment.seq;
        if segment.syn {
            seq = seq.wrapping_add(1);
            let repeated = self.state == State::Opening && self.next == seq;
            let seen_before = self.is_read() && !self.closed && distance(self.next, seq).is_some_and(|d| d <= 0);
            if !repeated && !seen_before {
                self.open(segment.seq);
            }
        }
        self.path = segment.path;
        self.closed |= segment.fin || segment.rst;
        if segment.wire_len == 0 || segment.rst {
            return Fed::Done(OTHER);
        }
        if self.state == State::Other {
            return Fed::Done(OTHER);
        }
        if self.hole {
            self.drop_buffer();
            self.state = State::Hunting { segments: 0, was_read: self.is_read() };
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
                self.drop_pending();
                self.state = State::Hunting { segments: 0, was_read: self.is_read() };
                self.hunt(seq, segment, max_bytes, counters)
            }
        }
    }

    /// In the middle of a stream only a segment that begins a message is of use.
    fn hunt(&mut self, seq: u32, segment: &Segment<'_>, max_bytes: usize, counters: &mut TcpCounters) -> Fed {
        let State::Hunting { segments, was_read } = self.state else { return Fed::Buffered };
        if distance(self.next, seq).is_some_and(|d| d < 0) && was_read {
            return Fed::Done(REPEATED);
        }
        self.next = seq.wrapping_add(segment.wire_len as u32);
        if let Some(protocol) = begun_by(segment.payload) {
            self.read_as(protocol, false);
            self.next = seq;
            return self.in_order(segment.payload, segment.wire_len, max_bytes, counters);
        }
        if was_read {
            return Fed::Done(Outcome::Ignored(Ignored::CutShort));
        }
        let blank = segment.payload.iter().all(|b| matches!(b, b'\r' | b'\n'));
        if !blank {
            let text = looks_like_text(segment.payload);
            let segments = segments.saturating_add(1);
            self.state =
                if text && segments < MAX_HUNT { State::Hunting { segments, was_read: false } } else { State::Other };
        }
        Fed::Done(OTHER)
    }

    /// Appends the next bytes, then what was waiting for them.
    fn in_order(&mut self, bytes: &[u8], wire: usize, max_bytes: usize, counters: &mut TcpCounters) -> Fed {
        let mut full = !self.append(bytes, wire, max_bytes);
        while !full
            && !self.hole
            && let Some(d) = self.pending.front().and_then(|first| distance(self.next, first.seq)).filter(|d| *d <= 0)
            && let Some(piece) = self.pop_pending()
        {
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
            self.drop_pending();
            self.state = State::Hunting { segments: 0, was_read: true };
            return Fed::Done(Outcome::OverLimit(OverLimit::TcpBytes));
        }
        self.decide()
    }

    /// What the first bytes of a connection are.
    fn decide(&mut self) -> Fed {
        /// Shorter beginnings may still be those of a packet behind its length.
        const ENOUGH: usize = 14;
        if self.state == State::Opening {
            // Line ends before a message may go on for as long as they like.
            self.consume(self.readable().iter().take_while(|b| matches!(b, b'\r' | b'\n')).count());
            let begin = self.readable();
            let (sip, http) = (sip_start(begin), websocket::may_begin(begin));
            let short = begin.len() < ENOUGH && begin.first().is_none_or(|first| *first < 0x40);
            let protocol = match (sip, http) {
                (SipStart::Yes, _) => Some(Protocol::Sip),
                (_, SipStart::Yes) => Some(Protocol::WebSocket),
                _ => Units::begun_by(begin).map(Protocol::Packets),
            };
            match protocol {
                Some(protocol) => self.read_as(protocol, true),
                None if !self.hole && (short || sip == SipStart::Maybe || http == SipStart::Maybe) => {
                    return Fed::Buffered;
                }
                None => {
                    self.reject();
                    return Fed::Done(OTHER);
                }
            }
        }
        if self.readable().is_empty() { Fed::Buffered } else { Fed::Readable }
    }

    /// From here on the stream is read. `opening`: from the beginning of the connection.
    fn read_as(&mut self, protocol: Protocol, opening: bool) {
        self.state = State::Read(protocol);
        self.websocket = (protocol == Protocol::WebSocket).then(|| Box::new(WebSocket::new(opening)));
    }

    /// What the stream is read as.
    pub fn protocol(&self) -> Option<Protocol> {
        match self.state {
            State::Read(protocol) => Some(protocol),
            _ => None,
        }
    }

    /// The packet that the bytes begin with.
    pub fn unit(&self, units: Units) -> Unit {
        units.next(self.readable())
    }

    /// Reads on in the frames of a WebSocket. What it counted is consumed.
    pub fn web_socket(&mut self, most: usize) -> WsStep {
        let Some(websocket) = &mut self.websocket else { return WsStep::Broken };
        let step = websocket.next(self.buffer.get(self.start..).unwrap_or_default(), most);
        if let WsStep::Skip(n) | WsStep::Message(n) | WsStep::TooLong(n) = step {
            self.consume(n);
            // What was in it is in the message now.
            if self.readable().is_empty() {
                self.buffer = Vec::new();
            }
        }
        step
    }

    /// The message of a WebSocket that ended last.
    pub fn message(&self) -> &[u8] {
        self.websocket.as_ref().map_or(&[], |websocket| websocket.message())
    }

    /// False when the stream would hold more than `max_bytes`.
    fn append(&mut self, bytes: &[u8], wire: usize, max_bytes: usize) -> bool {
        if self.buffered_bytes() + bytes.len() > max_bytes {
            return false;
        }
        let full = self.buffer.len() + bytes.len() > self.buffer.capacity();
        if self.start > 0 && (self.start * 2 >= self.buffer.len() || full) {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let needed = self.buffer.len() + bytes.len();
        if needed > self.buffer.capacity() {
            // Growth by doubling must not go beyond the limit.
            let grown = (2 * self.buffer.capacity()).min(max_bytes).max(needed);
            self.buffer.reserve_exact(grown - self.buffer.len());
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
        if self.pending.len() > MAX_PENDING || self.buffered_bytes() + segment.payload.len() > max_bytes {
            counters.overflows += 1;
            return Fed::Done(Outcome::OverLimit(OverLimit::TcpBytes));
        }
        let bytes = segment.payload.to_vec();
        self.pending_bytes += bytes.len();
        self.pending.insert(index, Pending { arrived: at, seq, wire: segment.wire_len, bytes });
        Fed::Buffered
    }

    /// When the hole before the pending segments is given up: in time, or at once when too many wait behind it or
    /// nothing more will come.
    pub fn hole_due(&self) -> Option<Timestamp> {
        let since = self.pending.iter().map(|p| p.arrived).min()?;
        let at_once = self.closed || self.pending.len() > MAX_PENDING;
        Some(if at_once { since } else { since + GAP_WAIT })
    }

    /// One step past a hole: first hands out what is before it, then what is behind it from where a message begins.
    /// True when there is something to read.
    pub fn give_up_hole(&mut self, max_bytes: usize, counters: &mut TcpCounters) -> bool {
        if !self.hole && !self.readable().is_empty() {
            self.hole = true;
            return true;
        }
        if self.state == State::Other {
            self.drop_pending();
            return false;
        }
        let was_read = self.is_read();
        self.drop_buffer();
        self.state = State::Hunting { segments: 0, was_read };
        while let Some(piece) = self.pop_pending() {
            match distance(self.next, piece.seq) {
                Some(d) if d <= 0 => {}
                other => {
                    counters.gaps += 1;
                    counters.gap_bytes += other.map_or(0, |d| u64::from(d.unsigned_abs()));
                }
            }
            self.next = piece.seq;
            if let Some(protocol) = begun_by(&piece.bytes) {
                self.read_as(protocol, false);
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

    pub fn rank(&self) -> Rank {
        match self.state {
            _ if self.closed => Rank::Closed,
            _ if self.is_read() => Rank::Read,
            _ => Rank::Other,
        }
    }

    pub fn ends_in_hole(&self) -> bool {
        self.hole
    }

    /// Drops what is buffered; the next segment that begins a message is read again.
    pub fn resync(&mut self) {
        self.drop_buffer();
        self.state = State::Hunting { segments: 0, was_read: true };
    }

    /// Drops everything, for good.
    pub fn reject(&mut self) {
        self.drop_buffer();
        self.drop_pending();
        self.state = State::Other;
    }

    fn is_read(&self) -> bool {
        matches!(self.state, State::Read(_) | State::Hunting { was_read: true, .. })
    }

    pub fn readable(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    pub fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.buffer.len());
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    /// What the bytes that are not consumed begin with.
    pub fn frame(&mut self, limits: &FramingLimits) -> Framing {
        self.framer.next(self.buffer.get(self.start..).unwrap_or_default(), limits)
    }

    fn drop_buffer(&mut self) {
        self.buffer = Vec::new();
        self.start = 0;
        self.hole = false;
        self.framer = Framer::default();
        self.websocket = None;
    }

    fn pop_pending(&mut self) -> Option<Pending> {
        let first = self.pending.pop_front()?;
        self.pending_bytes -= first.bytes.len();
        Some(first)
    }

    fn drop_pending(&mut self) {
        self.pending = VecDeque::new();
        self.pending_bytes = 0;
    }

    pub fn buffered_bytes(&self) -> usize {
        self.readable().len()
            + self.pending_bytes
            + self.websocket.as_ref().map_or(0, |websocket| websocket.buffered_bytes())
    }
}

/// What a segment in the middle of a connection begins.
fn begun_by(bytes: &[u8]) -> Option<Protocol> {
    match sip_start(bytes) {
        SipStart::Yes => Some(Protocol::Sip),
        _ if websocket::begins_sip(bytes) => Some(Protocol::WebSocket),
        _ => Units::filling(bytes).map(Protocol::Packets),
    }
}

/// From `a` forward to `b` in sequence space; `None` beyond [`MAX_JUMP`].
fn distance(a: u32, b: u32) -> Option<i32> {
    let d = b.wrapping_sub(a).cast_signed();
    (d.unsigned_abs() <= MAX_JUMP).then_some(d)
}
