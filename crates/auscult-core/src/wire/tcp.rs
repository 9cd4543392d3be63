//! TCP byte streams that may carry SIP, SIP over WebSocket, or framed RTP: ordered, deduplicated, bounded; each direction by
//! itself.
//!
//! A stream is followed from its first bytes when they could begin one of these, or from the first segment that
//! does so when the connection was already up. Everything else is remembered as something else, with nothing buffered.
//! A hole that does not close (the probe missed it, the endpoints did not) ends what was read so far, and reading goes
//! on at the next segment that begins a message.
//!
//! After [`Reassembler::push`], and whenever [`Reassembler::next_deadline`] is reached, call [`Reassembler::release`]
//! until it gives nothing. Of two copies of the same bytes the first one seen counts.

mod stream;

use super::sip::{Framing, FramingLimits};
use super::units::{Unit, Units};
use super::websocket::WsStep;
use super::{Path, Segment};
use crate::model::{Limits, Outcome, Tunnel};
use crate::units::{Nanos, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use stream::{Fed, OTHER, Rank, Stream};

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
    pub tunnel: Option<Tunnel>,
}

impl TcpFlow {
    pub fn of(segment: &Segment<'_>) -> TcpFlow {
        TcpFlow { src: segment.src, dst: segment.dst, vlan: segment.path.vlan, tunnel: segment.path.tunnel }
    }
}

/// What a stream is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Sip,
    /// SIP over WebSocket.
    WebSocket,
    /// RTP, RTCP and STUN.
    Packets(Units),
}

/// What a segment was.
#[derive(Debug)]
pub enum TcpOutcome<'a> {
    /// The stream has bytes to read.
    Readable(TcpStream<'a>),
    /// Part of a stream that is read, kept until what comes before it arrives, or until there is enough to decide.
    Buffered(Option<Protocol>),
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

    /// What it is read as.
    pub fn protocol(&self) -> Protocol {
        self.stream.protocol().unwrap_or(Protocol::Sip)
    }

    /// How the last segment travelled. Several packets share its identification, so that copies of one are not recognised by it.
    pub fn path(&self) -> Path {
        Path { ip_id: None, ..self.stream.path }
    }

    /// The packet that the bytes begin with, in [`Protocol::Packets`].
    pub fn unit(&self, units: Units) -> Unit {
        self.stream.unit(units)
    }

    /// Reads on in a WebSocket; what was counted is consumed. `most`: bytes of a message.
    pub fn web_socket(&mut self, most: usize) -> WsStep {
        self.stream.web_socket(most)
    }

    /// The message that [`TcpStream::web_socket`] ended last.
    pub fn message(&self) -> &[u8] {
        self.stream.message()
    }

    /// What the bytes begin with. Of what it counts, [`TcpStream::consume`] is to take all before the next call: then no byte
    /// of a message is looked at twice, however many segments bring it.
    pub fn frame(&mut self, limits: &FramingLimits) -> Framing {
        self.stream.frame(limits)
    }

    /// Takes `n` bytes off the front.
    pub fn consume(&mut self, n: usize) {
        self.stream.consume(n);
    }

    /// The next byte will never come: an unfinished message is all there is of it. What is left unread is dropped.
    pub fn ends_in_hole(&self) -> bool {
        self.stream.ends_in_hole()
    }

    /// Drops what is buffered and looks for the next segment that begins a message.
    pub fn resync(&mut self) {
        self.stream.resync();
    }

    /// Nothing of this direction will be looked at again.
    pub fn reject(&mut self) {
        self.stream.reject();
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

fn is_idle((rank, touched): (Rank, Timestamp), at: Timestamp) -> bool {
    at - touched > if rank == Rank::Closed { LINGER } else { IDLE }
}

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
        let idle = self.flows.get(&flow).map(|stream| is_idle(stream.touched, at));
        if idle == Some(true) {
            self.remove(&flow);
        }
        if idle != Some(false) {
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
        update_indexes(&mut self.by_age, &mut self.holes, at, flow, stream);
        match fed {
            Fed::Readable => TcpOutcome::Readable(TcpStream { flow, stream }),
            Fed::Buffered => TcpOutcome::Buffered(stream.protocol()),
            Fed::Done(outcome) => TcpOutcome::Done(outcome),
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
            update_indexes(&mut self.by_age, &mut self.holes, at, flow, stream);
            if readable {
                break flow;
            }
        };
        self.flows.get_mut(&flow).map(|stream| TcpStream { flow, stream })
    }

    /// Forgets idle and closed directions. It changes nothing that [`Reassembler::push`] says later; it only frees
    /// memory sooner.
    pub fn expire(&mut self, at: Timestamp) {
        for rank in [Rank::Closed, Rank::Other, Rank::Read] {
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
        self.flows.values().map(Stream::buffered_bytes).sum()
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

/// Brings the indexes in step with a stream that changed.
fn update_indexes(
    by_age: &mut BTreeSet<(Rank, Timestamp, TcpFlow)>,
    holes: &mut BTreeSet<(Timestamp, TcpFlow)>,
    at: Timestamp,
    flow: TcpFlow,
    stream: &mut Stream,
) {
    let rank = stream.rank();
    let (old_rank, touched) = stream.touched;
    if rank != old_rank || at - touched > TOUCH_STEP {
        by_age.remove(&(old_rank, touched, flow));
        stream.touched = (rank, at.max(touched));
        by_age.insert((rank, stream.touched.1, flow));
    }
    let due = stream.hole_due();
    if due != stream.hole_deadline {
        if let Some(old) = stream.hole_deadline.take() {
            holes.remove(&(old, flow));
        }
        if let Some(due) = due {
            holes.insert((due, flow));
        }
        stream.hole_deadline = due;
    }
}

/// Sorts before every flow.
const LOWEST_FLOW: TcpFlow = {
    let lowest = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
    TcpFlow { src: lowest, dst: lowest, vlan: 0, tunnel: None }
};

#[cfg(test)]
mod tests {
    use super::stream::MAX_PENDING;
    use super::*;
    use crate::model::OverLimit;
    use crate::wire::Path;
    use proptest::prelude::*;

    const MESSAGE: &[u8] = b"OPTIONS sip:b@example.com SIP/2.0\r\nCall-ID: tcp@h\r\nContent-Length: 0\r\n\r\n";
    const ISN: u32 = u32::MAX - 20; // wraps inside the first message

    fn segment(seq: u32, payload: &[u8]) -> Segment<'_> {
        Segment {
            src: "192.0.2.1:5060".parse().unwrap(),
            dst: "192.0.2.2:5060".parse().unwrap(),
            path: Path { ip_id: Some(1), ttl: 64, dscp: 0, vlan: 0, tunnel: None },
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
                TcpOutcome::Buffered(_) => "held".to_owned(),
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
        let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0];
        assert_eq!(rig.push(0, &segment(ISN.wrapping_add(1), &hello[..5])), "held", "it may be the length of a packet");
        assert_eq!(rig.push(0, &segment(ISN.wrapping_add(6), &hello[5..])), "ignored.other_tcp");
        assert_eq!(rig.push(1, &segment(ISN.wrapping_add(17), MESSAGE)), "ignored.other_tcp");
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
