//! A call's RTP and RTCP: from sender past the probe to receiver, over one or two legs.

use crate::call::{CallSpec, Outcome, Side, Way, What};
use crate::frame::{self, Lower};
use crate::oracle::{Kind, PacketSeen};
use crate::path::{MS, Passed, Stretch};
use crate::rng::Rng;
use crate::rtcp;
use crate::sender::{self, Phase, Sent};
use crate::truth::{Rtt, StreamTruth};
use crate::world::{captured, side_name};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Identity of a captured stream.
pub type StreamKey = (SocketAddr, SocketAddr, u32);

/// What a frame is.
#[derive(Clone, Debug)]
pub(crate) enum Tag {
    Sip,
    TcpControl,
    Rtp(StreamKey, PacketSeen),
    Rtcp,
    Other,
}

/// A frame on the capture point.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub at: i64,
    pub bytes: Vec<u8>,
    pub tag: Tag,
    /// A copy made by the mirror.
    pub mirrored: bool,
}

impl Emitted {
    pub fn new(at: i64, bytes: Vec<u8>, tag: Tag) -> Emitted {
        Emitted { at, bytes, tag, mirrored: false }
    }
}

/// FNV-1a: only a name for equal bytes.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// Hops of one direction that the probe sees: from, to.
type Hop = (SocketAddr, SocketAddr);

/// One direction played: what was sent, what arrived, what the probe saw per hop.
struct Played {
    sent: Vec<Sent>,
    arrivals: Vec<(i64, Sent)>,
    hops: Vec<Hop>,
}

/// The media of one call, to be played.
pub(crate) struct CallMedia<'a> {
    pub spec: &'a CallSpec,
    /// Number of the call in its world, and the Call-IDs of its legs.
    pub call: usize,
    pub call_ids: &'a [String],
    /// Time of the world's begin.
    pub base: i64,
    pub vlan: Option<u16>,
}

impl CallMedia<'_> {
    /// Plays it, if there is any.
    pub(crate) fn play(&self, rng: &Rng, emitted: &mut Vec<Emitted>, streams: &mut BTreeMap<StreamKey, StreamTruth>) {
        let CallMedia { spec, call, call_ids, base, vlan } = *self;
        let invite = base + spec.start_ms * MS;
        let answer = invite + spec.answer_ms * MS;
        let answered = spec.outcome == Outcome::Answered;
        let early = spec.early_media && spec.ring_ms < spec.answer_ms;
        let end = if answered { answer + spec.talk_ms * MS } else { answer };
        let mut played = Vec::new();
        for side in [Side::Caller, Side::Callee] {
            let start = match side {
                Side::Caller if answered => answer + 30 * MS,
                Side::Callee if early => invite + (spec.ring_ms + 20) * MS,
                Side::Callee if answered => answer + 5 * MS,
                _ => continue,
            };
            // Who hangs up stops first; the other goes on until BYE arrives.
            let stop = if spec.released_by == Some(side) { end - 5 * MS } else { end + 15 * MS };
            let mut leg = Direction { spec, side, start, answer, vlan, call, call_ids, emitted, streams };
            played.push((side, leg.play(stop, rng.fork(20 + side as u64))));
        }
        let (Some(rtcp), [(_, forward), (_, backward)]) = (spec.rtcp.filter(|_| answered), &played[..]) else { return };
        let base_of = |way: &Way, at: i64| {
            let ms = (at - answer) / MS;
            (way.path.before.base_ns(ms), way.path.after.base_ns(ms))
        };
        let relay = spec.relay.as_ref().map_or(0, |r| r.delay_us * 1_000);
        let mut rng = rng.fork(30);
        let offsets = [rng.range(-400, 400) * MS, rng.range(-400, 400) * MS];
        let to_probe_f = |at: i64| base_of(&spec.forward, at).0;
        let to_probe_b = |at: i64| base_of(&spec.backward, at).0;
        let to_peer_f = |at: i64| base_of(&spec.forward, at).0 + base_of(&spec.forward, at).1 + relay;
        let to_peer_b = |at: i64| base_of(&spec.backward, at).0 + base_of(&spec.backward, at).1 + relay;
        let caller = rtcp::Side {
            sent: &forward.sent,
            arrivals: &backward.arrivals,
            to_probe: &to_probe_f,
            to_peer: &to_peer_f,
            clock_offset: offsets[0],
            cname: format!("{}@{}", spec.caller.user, spec.caller.media.ip()),
        };
        let callee = rtcp::Side {
            sent: &backward.sent,
            arrivals: &forward.arrivals,
            to_probe: &to_probe_b,
            to_peer: &to_peer_b,
            clock_offset: offsets[1],
            cname: format!("{}@{}", spec.callee.user, spec.callee.media.ip()),
        };
        let packets = rtcp::exchange([&caller, &callee], answer + 30 * MS, end, rtcp.interval_ms, &mut rng);
        for (n, packet) in packets.iter().enumerate() {
            let hops = if packet.from_first { &forward.hops } else { &backward.hops };
            for (leg, (src, dst)) in hops.iter().enumerate() {
                let shifted = |a: &SocketAddr| {
                    let port = a.port() + u16::from(!rtcp.mux);
                    SocketAddr::new(a.ip(), port)
                };
                let lower = Lower { id: 50_000u16.wrapping_add(n as u16), ttl: 60, dscp: 46, vlan };
                let bytes = frame::udp(shifted(src), shifted(dst), lower, &packet.bytes);
                emitted.push(Emitted::new(packet.at + leg as i64 * relay, bytes, Tag::Rtcp));
            }
            let Some(report) = packet.report else { continue };
            for stream in streams.values_mut().filter(|s| s.call == call && s.ssrc == ssrc_name(report.about)) {
                stream.reports.push(rtcp::Report { at: packet.at + i64::from(stream.leg) * relay, ..report });
            }
        }
    }
}

/// Round trips of a leg without variation. Through a relay both legs have the same ends, only the probe sits elsewhere.
pub(crate) fn rtt(spec: &CallSpec, leg: u8) -> Option<Rtt> {
    spec.rtcp?;
    let ms = |ns: i64| ns as f64 / 1e6;
    let relay = spec.relay.as_ref().map_or(0, |r| r.delay_us * 1_000);
    let (f, b) = (&spec.forward.path, &spec.backward.path);
    let (mut caller, mut callee) = (f.before.base_ns(0) + b.after.base_ns(0), b.before.base_ns(0) + f.after.base_ns(0));
    // Leg 0 is captured before the relay on the way forward and after it on the way back.
    *if leg == 0 { &mut callee } else { &mut caller } += 2 * relay;
    Some(Rtt { to_caller: ms(caller), to_callee: ms(callee), total: ms(caller + callee) })
}

/// One direction of a call's media in the making.
struct Direction<'a> {
    spec: &'a CallSpec,
    side: Side,
    start: i64,
    answer: i64,
    vlan: Option<u16>,
    call: usize,
    call_ids: &'a [String],
    emitted: &'a mut Vec<Emitted>,
    streams: &'a mut BTreeMap<StreamKey, StreamTruth>,
}

impl Direction<'_> {
    fn play(&mut self, stop: i64, rng: Rng) -> Played {
        let spec = self.spec;
        let way = if self.side == Side::Caller { &spec.forward } else { &spec.backward };
        let ptime = i64::from(spec.ptime_ms);
        let sent = sender::send(&way.habits, &self.phases(), stop, spec.ptime_ms, &mut rng.fork(1));
        let input: Vec<Passed> =
            sent.iter().enumerate().map(|(index, p)| Passed { at: p.at, index, copy: 0 }).collect();
        let mut passing = way.path.before.pass(&input, self.answer, ptime, &mut rng.fork(2));
        let hops = self.hops();
        let first_ip_id = rng.fork(3).next_u32() as u16;
        let between = Stretch::delay(spec.relay.as_ref().map_or(0, |r| r.delay_us));
        for (leg, hop) in hops.iter().enumerate() {
            if leg > 0 {
                passing = between.pass(&passing, self.answer, ptime, &mut rng.fork(4));
            }
            let seen = captured(&way.path, &passing, self.answer, &mut rng.fork(5 + leg as u64));
            self.emit(way, (leg, *hop), (&sent, &seen), first_ip_id);
        }
        let received = way.path.after.pass(&passing, self.answer, ptime, &mut rng.fork(9));
        self.account(&hops, &sent, &passing, &received);
        let arrivals = received.iter().map(|p| (p.at, sent[p.index].clone())).collect();
        Played { sent, arrivals, hops }
    }

    /// What is sent when, as the re-INVITEs have it.
    fn phases(&self) -> Vec<Phase> {
        let mut codec = self.spec.codec;
        let mut sending = true;
        let mut out = vec![Phase { from: self.start, codec: Some(codec) }];
        for change in &self.spec.changes {
            match change.what {
                What::Hold { music } => sending = music && change.by == self.side,
                What::Resume => sending = true,
                What::Codec(to) => codec = to,
            }
            let from = self.answer + (change.at_ms + 30) * MS;
            out.push(Phase { from, codec: sending.then_some(codec) });
        }
        out
    }

    fn hops(&self) -> Vec<Hop> {
        let spec = self.spec;
        let (caller, callee) = (spec.caller.media, spec.callee.media);
        let mut hops = match &spec.relay {
            None => vec![(caller, callee)],
            Some(r) => vec![(caller, r.outer_media), (r.inner_media, callee)],
        };
        if self.side == Side::Callee {
            hops = hops.into_iter().map(|(a, b)| (b, a)).rev().collect();
        }
        hops
    }

    /// Leg of the call a hop belongs to: the callee's first hop is on the second leg.
    fn leg(&self, hop: usize) -> usize {
        let last = usize::from(self.spec.relay.is_some());
        if self.side == Side::Caller { hop } else { last - hop }
    }

    fn key(&self, hop: Hop, first: bool, p: &Sent) -> StreamKey {
        let mut src = hop.0;
        // A relay has no NAT before it: only the first hop comes from elsewhere.
        if p.rebound && first {
            src.set_port(src.port().wrapping_add(2_222));
        }
        (src, hop.1, p.ssrc)
    }

    /// Emits what one hop, given by its number and ends, was sent and let pass.
    fn emit(&mut self, way: &Way, (hop, ends): (usize, Hop), (sent, seen): (&[Sent], &[Passed]), first_id: u16) {
        let habits = &way.habits;
        for p in sent {
            let key = self.key(ends, hop == 0, p);
            let leg = self.leg(hop);
            let spec = self.spec;
            let stream = self.streams.entry(key).or_insert_with(|| StreamTruth {
                call_id: self.call_ids.get(leg).filter(|_| !spec.media_only).cloned().unwrap_or_default(),
                call: self.call,
                leg: leg as u8,
                sender: side_name(self.side),
                src: key.0.to_string(),
                dst: key.1.to_string(),
                ssrc: ssrc_name(p.ssrc),
                payload_type: p.pt,
                clock: p.clock,
                ptime_ms: spec.ptime_ms,
                dscp: habits.dscp.unwrap_or(46),
                ttl: habits.ttl.unwrap_or(60),
                drift_ppm: habits.drift_ppm,
                ..StreamTruth::default()
            });
            stream.sent += 1;
            let name = codec_name(spec, p.pt).filter(|name| p.kind == Kind::Audio && !stream.codecs.contains(name));
            stream.codecs.extend(name);
            if p.kind == Kind::Event && p.marker {
                stream.digits.push(b"0123456789*#ABCD"[usize::from(p.payload[0])] as char);
            }
        }
        for passed in seen {
            let p = &sent[passed.index];
            let key = self.key(ends, hop == 0, p);
            let id = first_id.wrapping_add(passed.index as u16).wrapping_add(0x7000 * passed.copy as u16);
            // IPv6 has no identification: there a copy shows another way by one hop more.
            let hops_more = if key.0.is_ipv6() { passed.copy as u8 } else { 0 };
            let lower = Lower {
                id,
                ttl: habits.ttl.unwrap_or(60) - hops_more,
                dscp: habits.dscp.unwrap_or(46),
                vlan: self.vlan,
            };
            let bytes = frame::udp(key.0, key.1, lower, &p.rtp());
            let ip_from = if self.vlan.is_some() { 18 } else { 14 };
            let packet = PacketSeen {
                at: passed.at,
                sent_at: Some(p.at),
                seq: p.seq,
                ts: p.ts,
                pt: p.pt,
                marker: p.marker,
                kind: p.kind,
                clock: p.clock,
                payload_len: p.payload.len() as u32,
                fingerprint: fingerprint(&bytes[ip_from..]),
                cut_short: false,
            };
            self.emitted.push(Emitted::new(passed.at, bytes, Tag::Rtp(key, packet)));
        }
        // What passed and was not captured is counted with what arrived in `account`.
        let got: BTreeSet<usize> = seen.iter().map(|p| p.index).collect();
        for index in (0..sent.len()).filter(|i| !got.contains(i)) {
            let key = self.key(ends, hop == 0, &sent[index]);
            self.streams.entry(key).and_modify(|s| s.missed_by_probe += 1);
        }
    }

    /// Splits what was not captured into lost before the probe and missed by it, and counts what was lost behind it.
    fn account(&mut self, hops: &[Hop], sent: &[Sent], passing: &[Passed], received: &[Passed]) {
        let indices = |list: &[Passed]| list.iter().map(|p| p.index).collect::<BTreeSet<usize>>();
        let (passed, arrived) = (indices(passing), indices(received));
        for (hop, ends) in hops.iter().enumerate() {
            for (index, p) in sent.iter().enumerate() {
                let key = self.key(*ends, hop == 0, p);
                let (before, after) = (!passed.contains(&index), passed.contains(&index) && !arrived.contains(&index));
                self.streams.entry(key).and_modify(|s| {
                    s.lost_before_probe += u64::from(before);
                    s.missed_by_probe -= u64::from(before);
                    s.lost_after_probe += u64::from(after);
                });
            }
        }
    }
}

fn codec_name(spec: &CallSpec, pt: u8) -> Option<&'static str> {
    let changed = spec.changes.iter().filter_map(|c| if let What::Codec(to) = c.what { Some(to) } else { None });
    std::iter::once(spec.codec).chain(changed).find(|c| c.payload_type() == pt).map(|c| c.name())
}

fn ssrc_name(ssrc: u32) -> String {
    format!("{ssrc:#010x}")
}
