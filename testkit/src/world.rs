//! Many calls on one capture point: frames in order of capture, and the truth about them.

use crate::call::{CallSpec, Side, Transport};
use crate::frame::{self, Lower};
use crate::media::{self, CallMedia, Emitted, StreamKey, Tag};
use crate::oracle;
use crate::path::{MS, Passed, Stretch};
use crate::pcap::Frame;
use crate::rng::Rng;
use crate::sip::{self, Message};
use crate::truth::{CallTruth, StreamTruth, Totals, Truth};
use std::collections::BTreeMap;

/// 2026-11-10 09:00:00 UTC.
pub const START: i64 = 1_794_301_200_000_000_000;

/// A mirror port that sends some frames twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mirror {
    /// Share of frames copied, 0..=1.
    pub share: f64,
    /// Distance of the copy, at most [`oracle::MIRROR_WINDOW_NS`] less what delays the first.
    pub min_us: i64,
    pub max_us: i64,
}

/// A world under construction.
#[derive(Clone, Debug)]
pub struct World {
    seed: u64,
    start: i64,
    calls: Vec<CallSpec>,
    mirror: Option<Mirror>,
    snaplen: Option<usize>,
    vlan: Option<u16>,
    other_until_ms: i64,
}

/// What a world comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    pub frames: Vec<Frame>,
    pub truth: Truth,
}

/// What the calls of a world sent, and the truth about them.
#[derive(Default)]
struct Played {
    emitted: Vec<Emitted>,
    calls: Vec<CallTruth>,
    streams: BTreeMap<StreamKey, StreamTruth>,
}

impl World {
    /// An empty world starting at [`START`].
    pub fn new(seed: u64) -> World {
        World { seed, start: START, calls: Vec::new(), mirror: None, snaplen: None, vlan: None, other_until_ms: 0 }
    }

    /// Start of the world, ns since the epoch.
    pub fn start(mut self, at: i64) -> World {
        self.start = at;
        self
    }

    pub fn call(mut self, spec: CallSpec) -> World {
        self.calls.push(spec);
        self
    }

    pub fn calls(mut self, specs: impl IntoIterator<Item = CallSpec>) -> World {
        self.calls.extend(specs);
        self
    }

    pub fn mirror(mut self, mirror: Mirror) -> World {
        self.mirror = Some(mirror);
        self
    }

    /// At most this many bytes of a frame are kept.
    pub fn snaplen(mut self, bytes: usize) -> World {
        self.snaplen = Some(bytes);
        self
    }

    pub fn vlan(mut self, id: u16) -> World {
        self.vlan = Some(id);
        self
    }

    /// About ten frames a second that are no telephony, until this time.
    pub fn other_traffic(mut self, until_ms: i64) -> World {
        self.other_until_ms = until_ms;
        self
    }

    /// The calls so far, by the numbers that truth files use.
    pub fn calls_of(&self) -> &[CallSpec] {
        &self.calls
    }

    /// Plays everything.
    pub fn build(&self) -> Capture {
        let root = Rng::new(self.seed);
        let mut played = Played::default();
        for (index, spec) in self.calls.iter().enumerate() {
            self.play_call(index, spec, root.fork(1 + index as u64), &mut played);
        }
        let Played { mut emitted, calls, streams } = played;
        self.other(root.fork(u64::MAX), &mut emitted);
        self.copy_frames(root.fork(u64::MAX - 1), &mut emitted);
        emitted.sort_by_key(|e| e.at);
        let truth = self.truth(&emitted, calls, streams);
        let frames = emitted.into_iter().map(|e| self.frame(e)).collect();
        Capture { frames, truth }
    }

    fn play_call(&self, index: usize, spec: &CallSpec, mut rng: Rng, played: &mut Played) {
        let Played { emitted, calls, streams } = played;
        let legs = sip::legs(spec, index, &mut rng);
        let mut ids = Vec::new();
        for leg in &legs {
            let (messages, mut truth) = sip::play(leg, self.start, rng.fork(10 + u64::from(leg.number)));
            truth.call = index;
            ids.push(leg.call_id.clone());
            if !spec.media_only {
                self.carry(leg, &messages, emitted);
                truth.rtt_ms = media::rtt(spec, leg.number).filter(|_| truth.answer_at.is_some());
                calls.push(truth);
            }
        }
        let media = CallMedia { spec, call: index, call_ids: &ids, base: self.start, vlan: self.vlan };
        media.play(&rng, emitted, streams);
    }

    /// Puts a leg's messages into datagrams or one TCP connection.
    fn carry(&self, leg: &sip::Leg, messages: &[Message], emitted: &mut Vec<Emitted>) {
        let (caller, callee) = (leg.caller.sip, leg.callee.sip);
        let lower = |n: usize, from_caller: bool| {
            let id = (n as u16).wrapping_mul(7).wrapping_add(if from_caller { 100 } else { 40_000 });
            Lower { id, ttl: 60, dscp: 24, vlan: self.vlan }
        };
        if leg.spec.transport == Transport::Udp {
            for (n, m) in messages.iter().enumerate() {
                let (src, dst) = if m.from_caller { (caller, callee) } else { (callee, caller) };
                let bytes = frame::udp(src, dst, lower(n, m.from_caller), m.text.as_bytes());
                emitted.push(Emitted::new(m.at, bytes, Tag::Sip));
            }
            return;
        }
        // A call's connection has its own port, or two calls of one phone would share sequence numbers.
        let mut client = caller;
        client.set_port(32_768 + (leg.spec.start_ms % 28_000) as u16);
        let ends = |from_caller: bool| if from_caller { (client, callee) } else { (callee, client) };
        let mut next = [0x1000_0000u32, 0x2000_0000u32];
        let mut n = 0;
        let mut put = |at: i64, from_caller: bool, flags: u8, next: [u32; 2], data: &[u8], tag: Tag| {
            let (src, dst) = ends(from_caller);
            let (seq, ack) = if from_caller { (next[0], next[1]) } else { (next[1], next[0]) };
            let segment = frame::Segment { seq, ack: if flags & 16 != 0 { ack } else { 0 }, flags };
            n += 1;
            emitted.push(Emitted::new(at, frame::tcp(src, dst, lower(n, from_caller), segment, data), tag));
        };
        let Some(first) = messages.first().map(|m| m.at) else { return };
        put(first - 4 * MS, true, 2, next, b"", Tag::TcpControl);
        next[0] += 1;
        put(first - 3 * MS, false, 18, next, b"", Tag::TcpControl);
        next[1] += 1;
        put(first - 2 * MS, true, 16, next, b"", Tag::TcpControl);
        let mut last = first;
        for m in messages {
            // Segments of an ordinary path: longer messages come in two.
            for (i, piece) in m.text.as_bytes().chunks(1_400).enumerate() {
                last = m.at + i as i64 * 50_000;
                put(last, m.from_caller, 24, next, piece, Tag::Sip);
                let me = usize::from(!m.from_caller);
                next[me] = next[me].wrapping_add(piece.len() as u32);
                put(last + 200_000, !m.from_caller, 16, next, b"", Tag::TcpControl);
            }
        }
        put(last + 50 * MS, true, 17, next, b"", Tag::TcpControl);
        next[0] += 1;
        put(last + 51 * MS, false, 17, next, b"", Tag::TcpControl);
        next[1] += 1;
        put(last + 52 * MS, true, 16, next, b"", Tag::TcpControl);
    }

    fn other(&self, mut rng: Rng, emitted: &mut Vec<Emitted>) {
        let mut at = self.start;
        loop {
            at += rng.range(20, 180) * MS;
            if at >= self.start + self.other_until_ms * MS {
                return;
            }
            let host = rng.range(1, 250) as u8;
            let here = std::net::SocketAddr::from(([192, 0, 2, host], 40_000 + rng.below(9_000) as u16));
            let lower = Lower { id: rng.next_u32() as u16, ttl: 64, dscp: 0, vlan: self.vlan };
            let bytes = match rng.below(3) {
                0 => frame::arp([192, 0, 2, host], [192, 0, 2, 254]),
                1 => {
                    // A query for the address of example.com.
                    let mut query = (rng.next_u32() as u16).to_be_bytes().to_vec();
                    query.extend(b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01");
                    frame::udp(here, ([192, 0, 2, 53], 53).into(), lower, &query)
                }
                _ => {
                    let mut time = vec![0x23, 0, 6, 0xE9];
                    time.resize(48, 0);
                    frame::udp(here, ([192, 0, 2, 123], 123).into(), lower, &time)
                }
            };
            emitted.push(Emitted::new(at, bytes, Tag::Other));
        }
    }

    fn copy_frames(&self, mut rng: Rng, emitted: &mut Vec<Emitted>) {
        let Some(mirror) = self.mirror else { return };
        for i in 0..emitted.len() {
            if rng.chance(mirror.share) {
                let at = emitted[i].at + 1_000 * rng.range(mirror.min_us, mirror.max_us);
                emitted.push(Emitted { at, mirrored: true, ..emitted[i].clone() });
            }
        }
    }

    fn truth(
        &self,
        emitted: &[Emitted],
        calls: Vec<CallTruth>,
        mut streams: BTreeMap<StreamKey, StreamTruth>,
    ) -> Truth {
        let mut totals = Totals::default();
        let mut lists: BTreeMap<StreamKey, Vec<oracle::PacketSeen>> = BTreeMap::new();
        for e in emitted {
            let cut = self.snaplen.is_some_and(|s| e.bytes.len() > s);
            totals.frames += 1;
            totals.cut_short += u64::from(cut);
            totals.mirror_copies += u64::from(e.mirrored);
            match &e.tag {
                Tag::Sip => totals.sip += 1,
                Tag::TcpControl => totals.tcp_control += 1,
                Tag::Rtcp => totals.rtcp += 1,
                Tag::Other => totals.other += 1,
                Tag::Rtp(key, seen) => {
                    totals.rtp += 1;
                    lists.entry(*key).or_default().push(oracle::PacketSeen { at: e.at, cut_short: cut, ..*seen });
                }
            }
        }
        for (key, stream) in &mut streams {
            let list = lists.get(key).map_or(&[][..], Vec::as_slice);
            stream.numbers = oracle::numbers(list, f64::from(stream.drift_ppm));
        }
        // A stream of which nothing was captured is not there for a monitor.
        let streams = streams.into_values().filter(|s| s.numbers.packets > 0).collect();
        Truth { seed: self.seed, totals, calls, streams }
    }

    fn frame(&self, e: Emitted) -> Frame {
        let wire_len = e.bytes.len() as u32;
        let mut bytes = e.bytes;
        bytes.truncate(self.snaplen.unwrap_or(usize::MAX));
        Frame { at: e.at, wire_len, bytes }
    }
}

impl Capture {
    /// Frames as capture times and bytes.
    pub fn pairs(&self) -> Vec<(i64, Vec<u8>)> {
        self.frames.iter().map(|f| (f.at, f.bytes.clone())).collect()
    }

    pub fn pcap(&self) -> Vec<u8> {
        crate::pcap::to_bytes(&self.frames)
    }
}

/// Which side a name in a truth file means.
pub(crate) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Caller => "caller",
        Side::Callee => "callee",
    }
}

/// Packets that a probe misses while they pass it.
pub(crate) fn captured(path: &crate::path::Path, passing: &[Passed], start: i64, rng: &mut Rng) -> Vec<Passed> {
    let probe = Stretch { loss: path.probe_loss.clone(), ..Stretch::default() };
    // Only the loss of this stretch matters: the times are those of the packets.
    let kept = probe.pass(passing, start, 20, rng);
    let mut times: BTreeMap<(usize, u32), i64> = passing.iter().map(|p| ((p.index, p.copy), p.at)).collect();
    kept.into_iter().filter_map(|p| times.remove(&(p.index, p.copy)).map(|at| Passed { at, ..p })).collect()
}
