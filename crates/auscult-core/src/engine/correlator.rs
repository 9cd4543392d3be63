//! Joins streams, RTCP and calls: which stream belongs to which call and side, what MOS it deserves, and the verdict.

use super::Sink;
use super::attribution::{ExpectedLoss, LossLedger};
use super::capture_loss::{CaptureLossDetector, Judged, hosts_of};
use super::clock::ClockVerdict;
use super::drops::Drops;
use super::gaps::Gaps;
use super::late::LateFlows;
use super::loss_floor::{FloorCounter, ReportSums};
use super::missed::Losses;
use super::one_way::SideEvidence;
use super::relations::{COMPARED, Relations};
use super::remote::Remote;
use super::rtcp::RttEstimator;
use super::sampling::{SamplingDetector, StreamLoss};
use super::timestamps::TimestampFindings;
use super::verdict::{self, Evidence};
use super::worst::{MosMinimum, RatedMinute, lower, lower_minute};
use crate::media::{Endpoint, FlowKey, Gap, IntervalClose, STREAMS_PER_ADDRESS};
use crate::model::{
    CallRecord, CallState, CallUid, CaptureCondition, CodecId, DelaySource, DiagnosisCode, Event, IntervalReport,
    JitterBuffer, Limits, LossAttribution, MosReport, NullReason, PayloadKind, PayloadMap, Policy, Quality, RatedMos,
    RtcpRecord, Srtp, StreamId, StreamReport, StreamStats, TimestampCheck, TimestampSource,
};
use crate::quality::assess::{Media, bounds, nearest_buffer, without_late};
use crate::quality::{CodecTable, MosContext, assess};
use crate::signal::Side;
use crate::units::{Nanos, PayloadType, Seeded, Ssrc, Timestamp};
use crate::wire::IcmpError;
use crate::wire::sdp::Direction;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// Ended streams of one call kept for its verdict; further ones are stored all the same.
const STREAMS_JUDGED: usize = 64;
/// Addresses remembered per call.
const ENDPOINTS_PER_CALL: usize = 64;
/// Streams of one address or SSRC that one report, m-line or lossy row is compared with, beyond those of its own flow or
/// call: the latest. Ordinary addresses have two.
const COMPARED_WITH: usize = 64;
/// Streams of a call named for their payload type.
const UNNEGOTIATED_KEPT: usize = 4;
/// Calls remembered of one address: the latest. A media server may have all of its calls at one port.
const CALLS_PER_ADDRESS: usize = 16;
/// The same over all m-lines of one message.
pub const COMPARED_PER_MESSAGE: usize = 256;
/// Streams the other way whose gaps are compared with those of one stream.
const REVERSE_COMPARED: usize = 16;
/// A stream that begins this soon after the first frame was probably there before.
const CAPTURE_START: Nanos = Nanos::from_secs(1);

/// What an offer or answer says about one address.
pub struct NegotiatedMedia {
    pub uid: CallUid,
    pub call_id: Arc<str>,
    pub side: Side,
    pub endpoint: Endpoint,
    pub payloads: Arc<[PayloadMap]>,
    pub direction: Direction,
    pub srtp: Srtp,
}

/// Where a side of a call wants its media, and what it said of the payload types there.
struct MediaBinding {
    uid: CallUid,
    side: Side,
    srtp: Srtp,
    payloads: Arc<[PayloadMap]>,
}

/// The calls that announced one address, in the order in which they did: one, as a rule.
type Bindings = SmallVec<[MediaBinding; 1]>;

/// Streams at an address that a call announced.
pub struct StreamsAtAddress {
    /// The call had not announced the address before.
    pub first: bool,
    /// With the call each belongs to, in the order of their beginning.
    pub streams: Vec<(StreamId, FlowKey, Option<CallUid>)>,
}

/// A stream with a payload type that no description of its call names.
#[derive(Clone)]
pub struct Unnegotiated {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub payload_type: PayloadType,
}

/// The call a stream belongs to, and the side that sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    uid: CallUid,
    sender: Side,
}

/// Streams of one SSRC or address: both directions of a call, as a rule.
type Ids = SmallVec<[StreamId; 2]>;

/// What a hundred thousand clean streams do not need has a place of its own, from when it is needed.
struct Stream {
    key: FlowKey,
    uid: Option<CallUid>,
    sender: Option<Side>,
    /// What signalling says of its payload.
    srtp: Srtp,
    /// From the end of its first interval on.
    worst: Option<Box<MosMinimum>>,
    first_at: Timestamp,
    /// From the first gap or report on.
    remote: Option<Box<Remote>>,
    /// Lost in the intervals so far.
    lost: u64,
    /// From the first gap on.
    ledger: Option<Box<LossLedger>>,
    ptime: Option<Nanos>,
    /// Copies that were taken for the mirror's, and those of them that the receiver counts.
    copies: u64,
    network_copies: u64,
    /// The worst of its rows.
    timestamps: Option<TimestampCheck>,
    sampled_one_of: Option<f32>,
    /// A stream the other way between the same addresses was seen meanwhile.
    answered: bool,
}

#[derive(Default)]
struct Call {
    call_id: Arc<str>,
    endpoints: Vec<Endpoint>,
    active: BTreeSet<StreamId>,
    ended: Vec<StreamReport>,
    all: Vec<StreamId>,
    from_caller: usize,
    from_callee: usize,
    /// Payload types that the caller and the callee announced, a bit each.
    announced: [u128; 2],
    /// Evidence for and against that the caller and the callee hear the other.
    side_evidence: [SideEvidence; 2],
    /// Voice was announced, and not only pictures or fax.
    has_voice: bool,
    caller_sends: bool,
    callee_sends: bool,
    both_send: bool,
    held: bool,
    /// Media from the side that is not seen, or to its peer, was seen in other calls meanwhile.
    passes: bool,
    /// It has ended and waits for late messages and media.
    over: bool,
    /// It is over, and its streams are being closed.
    closing: bool,
    /// Of its streams that have ended.
    summary: Summary,
    /// When its media is expected to be seen, from its answer on: its place among those that wait.
    awaits_media: Option<Timestamp>,
    /// What was last stated of a call that goes on.
    stated: Option<Box<Stated>>,
}

/// What streams say about their whole call.
#[derive(Clone, Default)]
struct Summary {
    worst: Option<RatedMos>,
    worst_interval: Option<RatedMos>,
    worst_minute: Option<RatedMinute>,
    quality: Quality,
    /// When the first packet came of any, and the last.
    media: Option<(Timestamp, Timestamp)>,
    /// Streams whose main payload type is in no description, at most [`UNNEGOTIATED_KEPT`].
    unnegotiated: Vec<Unnegotiated>,
}

/// The figures of a running call that its next event repeats, and what its verdict was.
#[derive(Clone, Default, PartialEq)]
struct Stated {
    codes: SmallVec<[DiagnosisCode; 4]>,
    worst: Option<RatedMos>,
    worst_interval: Option<RatedMos>,
    worst_minute: Option<RatedMinute>,
    pdv_p95_worst: Option<Nanos>,
    loss_pct_worst: Option<f32>,
    directions_seen: u8,
}

pub struct Correlator {
    policy: Policy,
    codecs: CodecTable,
    max_endpoints: usize,
    /// Reports of ended streams kept for the verdicts of calls that go on, over all calls.
    max_ended: usize,
    ended: usize,
    streams: HashMap<StreamId, Box<Stream>, Seeded>,
    by_ssrc: HashMap<Ssrc, Ids, Seeded>,
    by_endpoint: HashMap<Endpoint, Ids, Seeded>,
    bindings: HashMap<Endpoint, Bindings, Seeded>,
    /// Bindings of all addresses.
    bound: usize,
    calls: HashMap<CallUid, Call, Seeded>,
    /// Calls that go on and are judged at the end of the interval; those that are stated in any case.
    due: BTreeMap<CallUid, bool>,
    /// Calls that were answered, and when their media is expected to be seen.
    awaiting_media: BTreeSet<(Timestamp, CallUid)>,
    pub rtt_estimator: RttEstimator,
    pub gaps: Gaps,
    pub capture_loss: CaptureLossDetector,
    floor_counter: FloorCounter,
    report_sums: ReportSums,
    sampling: SamplingDetector,
    /// Counts of the present interval, and the state that the interval before showed.
    pub condition: CaptureCondition,
    /// Most streams of the interval before were seen one way only.
    one_sided: bool,
    pub relations: Relations,
    pub losses: Losses,
    pub drops: Drops,
    /// Start of the present interval.
    pub interval_start: Timestamp,
    pub first_frame: Timestamp,
    pub stamped_by: TimestampSource,
    pub resolution_ns: u32,
    /// Addresses of streams that ended lately, whose last reports may still come.
    pub late: LateFlows,
    /// Streams that reports, session descriptions and lossy rows were compared with.
    pub compared: u64,
    /// Reports, m-lines and lossy rows that were not compared with every stream of their address or SSRC.
    pub compared_in_part: u64,
    /// Ended streams that the verdict of their call will not know.
    pub unjudged: u64,
    /// Streams that their address or SSRC does not know, because it has too many.
    pub unindexed: u64,
}

impl Correlator {
    /// A check of the clock ended.
    pub fn clock_checked(&mut self, verdict: &ClockVerdict) {
        let step = verdict.step();
        self.rtt_estimator.resolve_clock_check(step.map(|(to, by)| to.max(to - by)));
        self.condition.clock_steps += u32::from(step.is_some());
        self.condition.blackout += verdict.blackout.unwrap_or(Nanos::ZERO);
    }

    pub fn new(policy: &Policy, limits: &Limits, hasher: Seeded) -> Correlator {
        Correlator {
            policy: policy.clone(),
            codecs: CodecTable::default(),
            max_endpoints: limits.media_endpoints,
            max_ended: limits.ended_streams(),
            ended: 0,
            streams: HashMap::with_hasher(hasher.clone()),
            by_ssrc: HashMap::with_hasher(hasher.clone()),
            by_endpoint: HashMap::with_hasher(hasher.clone()),
            bindings: HashMap::with_hasher(hasher.clone()),
            bound: 0,
            calls: HashMap::with_hasher(hasher.clone()),
            due: BTreeMap::new(),
            awaiting_media: BTreeSet::new(),
            relations: Relations::new(policy.stream_timeout, hasher.clone()),
            gaps: Gaps::new(policy.interval, limits.gaps(), &hasher),
            capture_loss: CaptureLossDetector::new(limits.gaps(), &hasher),
            floor_counter: FloorCounter::new(&hasher),
            report_sums: ReportSums::default(),
            sampling: SamplingDetector::default(),
            condition: CaptureCondition::default(),
            one_sided: false,
            late: LateFlows::new(limits.late_addresses(), hasher.clone()),
            rtt_estimator: RttEstimator::new(limits.rtcp_senders(), hasher),
            losses: Losses::default(),
            drops: Drops::new(policy.interval),
            interval_start: Timestamp::MIN,
            first_frame: Timestamp::MIN,
            stamped_by: TimestampSource::default(),
            resolution_ns: 1,
            compared: 0,
            compared_in_part: 0,
            unjudged: 0,
            unindexed: 0,
        }
    }

    /// A side said where it wants its media. Returns the streams of the address, at most `most`; `None` where the address
    /// found no place. The binding of another call at the address stays: it is released by that call.
    pub fn media(&mut self, media: &NegotiatedMedia, most: usize) -> Option<StreamsAtAddress> {
        let endpoint = media.endpoint;
        let known = self.bindings.get(&endpoint).is_some_and(|all| all.iter().any(|b| b.uid == media.uid));
        if self.bound >= self.max_endpoints && !known {
            return None;
        }
        let call = self.calls.entry(media.uid).or_default();
        call.call_id = media.call_id.clone();
        let first = !call.endpoints.contains(&endpoint);
        if first && call.endpoints.len() < ENDPOINTS_PER_CALL {
            call.endpoints.push(endpoint);
        }
        let side = index(media.side);
        call.side_evidence[side].announces(SocketAddr::from(endpoint).ip());
        for map in media.payloads.iter() {
            call.announced[side] |= 1 << (map.payload_type.0 & 127);
        }
        // Whether the parties hear each other is up to their voice, where there is any: pictures may be turned off.
        let voice = media.payloads.iter().any(|map| map.kind == PayloadKind::Audio);
        call.has_voice |= voice;
        if voice || !call.has_voice {
            let sends = matches!(media.direction, Direction::SendRecv | Direction::SendOnly);
            match media.side {
                Side::Caller => call.caller_sends = sends,
                Side::Callee => call.callee_sends = sends,
            }
            if media.direction != Direction::SendRecv {
                call.held |= call.both_send;
            }
            call.both_send |= call.caller_sends && call.callee_sends;
        }
        let bindings = self.bindings.entry(endpoint).or_default();
        let before = bindings.len();
        bindings.retain(|b| b.uid != media.uid);
        if bindings.len() >= CALLS_PER_ADDRESS {
            bindings.remove(0);
        }
        bindings.push(MediaBinding {
            uid: media.uid,
            side: media.side,
            srtp: media.srtp,
            payloads: Arc::clone(&media.payloads),
        });
        self.bound = self.bound + bindings.len() - before;
        Some(StreamsAtAddress { first, streams: self.streams_at(endpoint, media.uid, most.min(COMPARED_WITH)) })
    }

    /// Whether a call has ended, and is only remembered for what may still come of it.
    pub fn is_over(&self, uid: CallUid) -> bool {
        self.calls.get(&uid).is_none_or(|call| call.over)
    }

    /// Whether a call announced this address.
    pub fn announced(&self, uid: CallUid, endpoint: Endpoint) -> bool {
        self.calls.get(&uid).is_some_and(|call| call.endpoints.contains(&endpoint))
    }

    /// Streams to and from an address, in the order of their beginning. Where there are more than `most`, those of the call
    /// first, then the latest.
    fn streams_at(
        &mut self,
        endpoint: Endpoint,
        uid: CallUid,
        most: usize,
    ) -> Vec<(StreamId, FlowKey, Option<CallUid>)> {
        let all = self.by_endpoint.get(&endpoint).map_or(&[][..], |ids| ids);
        let stream = |id: &StreamId| self.streams.get(id).map(|s| (*id, s.key, s.uid));
        if all.len() <= most {
            self.compared += all.len() as u64;
            return all.iter().filter_map(stream).collect();
        }
        let here = |key: &FlowKey| key.src() == endpoint || key.dst() == endpoint;
        let own = self.calls.get(&uid).map_or(&[][..], |call| &call.all).iter().rev().take(most).filter_map(stream);
        let mut found: Vec<_> = own.filter(|(_, key, _)| here(key)).collect();
        let others = all.iter().rev().take(most).filter_map(stream).filter(|(.., of)| *of != Some(uid));
        let room = most - found.len();
        found.extend(others.take(room));
        found.reverse();
        self.compared += 2 * most as u64;
        self.compared_in_part += 1;
        found
    }

    /// Streams from one address to another, the latest first, found by the address that has fewer of them.
    fn between(&self, src: Endpoint, dst: Endpoint) -> impl Iterator<Item = (StreamId, &Stream)> {
        let of = |end: Endpoint| self.by_endpoint.get(&end).map_or(&[][..], |ids| ids);
        let (from, to) = (of(src), of(dst));
        let fewer = if to.len() < from.len() { to } else { from };
        let stream = |id: &StreamId| self.streams.get(id).map(|s| (*id, &**s));
        let matches = move |(_, s): &(StreamId, &Stream)| s.key.src() == src && s.key.dst() == dst;
        fewer.iter().rev().take(COMPARED_PER_MESSAGE).filter_map(stream).filter(matches)
    }

    /// A call no longer wants media at an address. Returns what holds there from now on, if the call had announced it: the
    /// payload types of the call that announced it last, or nothing.
    pub fn media_gone(&mut self, uid: CallUid, endpoint: Endpoint) -> Option<Option<Arc<[PayloadMap]>>> {
        let bindings = self.bindings.get_mut(&endpoint)?;
        let before = bindings.len();
        bindings.retain(|b| b.uid != uid);
        if bindings.len() == before {
            return None;
        }
        self.bound -= before - bindings.len();
        let latest = bindings.last().map(|b| Arc::clone(&b.payloads));
        if latest.is_none() {
            self.bindings.remove(&endpoint);
        }
        Some(latest)
    }

    /// What the call of a stream said of its payload types, where an address of the stream has several calls and the latest
    /// one may not be its own.
    pub fn payloads_of(&self, key: &FlowKey, payload_type: PayloadType) -> Option<Arc<[PayloadMap]>> {
        let several = |end: Endpoint| self.bindings.get(&end).is_some_and(|all| all.len() > 1);
        if !several(key.dst()) && !several(key.src()) {
            return None;
        }
        let owner = self.owner(key, Some(payload_type))?;
        let of = |end: Endpoint| self.bindings.get(&end)?.iter().find(|b| b.uid == owner.uid);
        of(key.dst()).or_else(|| of(key.src())).map(|b| Arc::clone(&b.payloads))
    }

    /// The call a stream belongs to. One that announced both addresses; else one that announced the receiving address; else
    /// the sending one. A call that is over has a claim only where no other has. Among several calls of one address (a media
    /// server may have all of its calls at one port): that of the stream the other way, then the latest that names the
    /// payload type and has no stream in this direction yet, then the latest.
    fn owner(&self, key: &FlowKey, payload_type: Option<PayloadType>) -> Option<Owner> {
        let of = |end: Endpoint| self.bindings.get(&end).map_or(&[][..], |all| all);
        let (to, from) = (of(key.dst()), of(key.src()));
        if let ([only], []) = (to, from) {
            return Some(Owner { uid: only.uid, sender: only.side.other() });
        }
        let receiving = |b: &MediaBinding| Owner { uid: b.uid, sender: b.side.other() };
        let sending = |b: &MediaBinding| Owner { uid: b.uid, sender: b.side };
        for over in [false, true] {
            let current = |b: &&MediaBinding| self.is_over(b.uid) == over;
            let both = to.iter().rev().filter(current).find(|b| self.announced(b.uid, key.src()));
            if let Some(both) = both {
                return Some(receiving(both));
            }
            let both = from.iter().rev().filter(current).find(|b| self.announced(b.uid, key.dst()));
            if let Some(both) = both {
                return Some(sending(both));
            }
            let of_to: SmallVec<[&MediaBinding; 4]> = to.iter().rev().filter(current).collect();
            let of_from: SmallVec<[&MediaBinding; 4]> = from.iter().rev().filter(current).collect();
            let found = self.likeliest(key, payload_type, &of_to, receiving);
            if let Some(owner) = found.or_else(|| self.likeliest(key, payload_type, &of_from, sending)) {
                return Some(owner);
            }
        }
        None
    }

    /// One of several calls that announced an address, the latest first.
    fn likeliest(
        &self,
        key: &FlowKey,
        payload_type: Option<PayloadType>,
        calls: &[&MediaBinding],
        owner: impl Fn(&MediaBinding) -> Owner,
    ) -> Option<Owner> {
        let latest = calls.first()?;
        if calls.len() == 1 {
            return Some(owner(latest));
        }
        let reverse = self.between(key.dst(), key.src()).find_map(|(_, stream)| stream.uid);
        if let Some(same) = calls.iter().find(|b| Some(b.uid) == reverse) {
            return Some(owner(same));
        }
        let names = |b: &MediaBinding| payload_type.is_none_or(|t| b.payloads.iter().any(|map| map.payload_type == t));
        let waits = |b: &MediaBinding| {
            let Owner { uid, sender } = owner(b);
            self.calls.get(&uid).is_none_or(|call| match sender {
                Side::Caller => call.from_caller == 0,
                Side::Callee => call.from_callee == 0,
            })
        };
        let waiting = calls.iter().find(|b| names(b) && waits(b));
        Some(owner(waiting.or_else(|| calls.iter().find(|b| names(b))).unwrap_or(latest)))
    }

    pub fn stream_started(&mut self, mut report: StreamReport, out: &mut dyn Sink) -> Option<CallUid> {
        let key = FlowKey::new(report.src, report.dst, report.ssrc);
        let payload_type = report.payload_types.first().map(|(payload_type, _)| *payload_type);
        self.streams.insert(
            report.id,
            Box::new(Stream {
                key,
                uid: None,
                sender: None,
                srtp: Srtp::Off,
                worst: None,
                first_at: report.first_at,
                remote: None,
                lost: 0,
                ledger: None,
                ptime: report.ptime,
                copies: 0,
                network_copies: 0,
                timestamps: None,
                sampled_one_of: None,
                answered: false,
            }),
        );
        self.capture_loss.stream_started(&key);
        let mut known = remember(self.by_ssrc.entry(report.ssrc).or_default(), report.id);
        for endpoint in [key.src(), key.dst()] {
            known &= remember(self.by_endpoint.entry(endpoint).or_default(), report.id);
        }
        self.unindexed += u64::from(!known);
        self.meet_reverse(report.id, &key);
        self.bind(report.id, payload_type);
        self.label(report.id, &mut report.call_uid, &mut report.call_id);
        let uid = report.call_uid;
        out.push(Event::StreamStarted(Box::new(report)));
        uid
    }

    /// Streams that a new one may go on from or repeat: of its SSRC, and between its addresses; with whether it is known
    /// to be of the same call.
    pub fn related_streams(&self, key: &FlowKey) -> Vec<(StreamId, FlowKey, bool)> {
        let owner = self.owner(key, None);
        let call = |uid: Option<CallUid>| uid.is_some() && uid == owner.map(|o| o.uid);
        let all = |id: &StreamId| self.streams.get(id).map(|s| (*id, s.key, call(s.uid)));
        let of_ssrc = self.by_ssrc.get(&Ssrc(key.ssrc)).into_iter().flatten().rev().filter_map(all);
        let of_flow = self.between(key.src(), key.dst()).filter(|(_, s)| s.key.ssrc != key.ssrc);
        let of_flow = of_flow.map(|(id, s)| (id, s.key, call(s.uid)));
        of_ssrc.take(COMPARED).chain(of_flow.take(COMPARED)).collect()
    }

    /// Returns the call the stream belongs to, to keep it alive.
    pub fn interval(&mut self, mut row: IntervalReport, out: &mut dyn Sink) -> Option<CallUid> {
        self.label(row.stream, &mut row.call_uid, &mut row.call_id);
        row.quality.capture_drops = self.drops.between(row.start, row.start);
        self.trust(row.stream, &mut row.quality);
        self.count_condition(&row);
        self.attribute(&mut row);
        let rtt = self.rtt_estimator.round_trip(row.ssrc);
        let media = self.media_of(row.stream, &row.codec, row.clock_rate, row.ptime);
        row.mos = self.rate(&row.numbers, &row.quality, &media, rtt);
        let worst = self.streams.get_mut(&row.stream).map(|stream| stream.worst.take());
        if let Some(worst) = worst {
            let mut worst = worst.unwrap_or_else(|| Box::new(MosMinimum::new(self.policy.interval)));
            let media = self.media_of(row.stream, &row.codec, row.clock_rate, row.ptime);
            worst.add(&row, self.discarded(&row.numbers, &row.quality), |numbers| {
                let mos = self.judge(numbers, &row.quality, &media, None);
                mos.rated()
            });
            if let Some(stream) = self.streams.get_mut(&row.stream) {
                stream.worst = Some(worst);
            }
        }
        let uid = row.call_uid.filter(|_| row.numbers.packets > 0);
        if let Some((of, call)) = row.call_uid.and_then(|uid| Some((uid, self.calls.get(&uid)?)))
            && (call.is_watched() || verdict::is_suspicious(&row, rtt))
        {
            self.due.entry(of).or_default();
        }
        out.push(Event::Interval(Box::new(row)));
        uid
    }

    pub fn gap(&mut self, gap: &Gap) {
        let Some(stream) = self.streams.get_mut(&gap.stream) else { return };
        stream.remote.get_or_insert_default().gap(gap.noticed, gap.missing);
        let ledger = stream.ledger.get_or_insert_default();
        ledger.gap(gap, &self.losses);
        let share = ledger.network_share(stream.first_at, gap.noticed, stream.ptime);
        self.gaps.note(gap);
        if !self.capture_loss.gap(gap, &stream.key, share) {
            ledger.not_judged(gap.missing);
        }
    }

    /// Judges the gaps that were noticed long enough ago.
    pub fn judge_gaps(&mut self, now: Timestamp) {
        let Correlator { streams, capture_loss, .. } = self;
        capture_loss.judge(now, |judged| judge_gap(streams, &judged));
    }

    /// Judges what is left of a stream's gaps, or of all streams', by what is known now: it ends.
    pub fn judge_gaps_now(&mut self, id: Option<StreamId>) {
        let Correlator { streams, capture_loss, .. } = self;
        let ledger = id.and_then(|id| streams.get(&id)?.ledger.as_ref());
        if id.is_none() || ledger.is_some_and(|ledger| ledger.waits()) {
            capture_loss.judge_now(id, |judged| judge_gap(streams, &judged));
        }
    }

    /// Counts what a stream lost in the interval that ends, before the first row of it is stated.
    /// Returns the host that sends it and its packet time, unless nothing was expected.
    pub fn count_loss(&mut self, close: &IntervalClose) -> Option<(u32, Option<Nanos>)> {
        let IntervalClose { stream: id, expected, lost, runs, .. } = *close;
        let stream = self.streams.get(&id).filter(|_| expected > 0)?;
        let ledger = stream.ledger.as_ref();
        let captured = ledger.map_or(0, |ledger| ledger.captured(lost));
        let reports = ledger.map_or((0.0, 0.0), |ledger| ledger.reports());
        self.sampling.add(&StreamLoss { expected, lost, runs }, reports);
        let way = self.capture_loss.way(&stream.key);
        self.floor_counter.add(way, u64::from(expected), u64::from(lost.saturating_sub(captured)));
        let [sender, _] = hosts_of(&stream.key);
        Some((sender, stream.ptime))
    }

    /// All streams of the interval have been counted.
    pub fn close_condition(&mut self, times: &TimestampFindings) {
        let sampled_one_of = self.sampling.take().filter(|_| self.capture_loss.can_tell());
        self.condition = CaptureCondition {
            loss_floor: self.report_sums.take(self.floor_counter.take()),
            timestamps: times.check,
            timestamp_granularity_ns: times.granularity_ns,
            sampled_one_of,
            ..self.condition
        };
    }

    /// Counts a row of the present interval.
    fn count_condition(&mut self, row: &IntervalReport) {
        // Anybody can send RTP of no call one way.
        let counts = row.call_uid.is_some() || self.calls.is_empty();
        if row.numbers.packets > 0 && counts {
            self.condition.streams += 1;
            self.condition.one_sided_streams += u32::from(row.quality.one_sided);
        }
        self.condition.copies += row.numbers.duplicates_probe;
        let CaptureCondition { timestamps, sampled_one_of, .. } = self.condition;
        if let Some(stream) = self.streams.get_mut(&row.stream) {
            stream.timestamps = worse_times(stream.timestamps, timestamps);
            stream.sampled_one_of = most(stream.sampled_one_of, sampled_one_of);
        }
    }

    /// The condition of the interval that ends.
    pub fn take_condition(&mut self) -> CaptureCondition {
        let condition = self.condition;
        self.one_sided = condition.is_one_sided();
        self.condition = condition.without_counts();
        condition
    }

    /// Whose loss the loss of an interval is.
    fn attribute(&mut self, row: &mut IntervalReport) {
        let lost = row.numbers.lost();
        let Some(stream) = self.streams.get_mut(&row.stream) else { return };
        stream.lost += lost;
        stream.ptime = row.ptime.or(stream.ptime);
        let copies = row.numbers.duplicates_probe;
        stream.copies += copies;
        if copies > 0 && stream.remote.as_ref().is_some_and(|remote| remote.counts_copies(stream.copies)) {
            stream.network_copies += copies;
            move_copies(copies, &mut row.numbers, &mut row.quality);
        }
        if let Some(few) = stream.remote.as_mut().and_then(|remote| remote.few(stream.lost)) {
            self.report_sums.add(&few);
        }
        let copies = row.numbers.duplicates_network;
        let decided = (stream.remote.as_mut()).and_then(|r| r.decide(stream.lost, copies));
        if lost == 0 && stream.ledger.is_none() {
            return;
        }
        let key = stream.key;
        let ledger = stream.ledger.get_or_insert_default();
        if let Some(decided) = decided {
            ledger.reported(&decided);
        }
        let mut expected = ledger.take(lost, row.start, &self.losses);
        if lost == 0 {
            return;
        }
        let can_tell = self.capture_loss.can_tell();
        let sampled = row.quality.sampled_one_of.is_some();
        if sampled {
            expected = ExpectedLoss::sampled(lost);
        }
        if expected.without_evidence() > 0.0 && !can_tell {
            let reverse = self.reverse(&key);
            self.compared += reverse.len() as u64;
            if let Some(share) = self.gaps.both_directions(row.stream, &reverse) {
                expected.both_directions(share);
            }
        }
        expected.doubt(match self.condition.loss_floor.filter(|_| can_tell) {
            Some(floor) => f64::from(floor.high) * row.numbers.expected as f64,
            None => expected.without_evidence(),
        });
        row.quality.set_loss(expected.counts(lost));
        if let Some(ledger) = self.streams.get_mut(&row.stream).and_then(|stream| stream.ledger.as_mut()) {
            ledger.state(&expected, lost);
        }
    }

    /// Streams the other way between the same addresses, in the order of their beginning: the latest of many.
    fn reverse(&self, key: &FlowKey) -> Vec<StreamId> {
        let mut found: Vec<StreamId> =
            self.between(key.dst(), key.src()).map(|(id, _)| id).take(REVERSE_COMPARED).collect();
        found.reverse();
        found
    }

    pub fn stream_ended(&mut self, mut report: Box<StreamReport>, out: &mut dyn Sink) {
        let worst = self.complete(&mut report);
        report.relation = self.relations.ended(report.id);
        if let Some(stream) = self.forget(report.id)
            && let Some(call) = stream.uid.and_then(|uid| self.calls.get_mut(&uid))
        {
            call.active.remove(&report.id);
            call.summary.take(&report, worst, call.announced);
            if call.ended.len() >= STREAMS_JUDGED || !call.closing && self.ended >= self.max_ended {
                self.unjudged += 1;
            } else {
                self.ended += 1;
                call.ended.push((*report).clone());
            }
        }
        out.push(Event::StreamEnded(report));
    }

    /// Gives a report of a stream, ended or not, its call, rating and trust. Returns its lowest interval and minute.
    fn complete(&self, report: &mut StreamReport) -> LowestMos {
        self.label(report.id, &mut report.call_uid, &mut report.call_id);
        report.rtt = self.rtt_estimator.round_trip(report.ssrc);
        let codec = report.codec.clone();
        let media = self.media_of(report.id, &codec, report.clock_rate, report.ptime);
        report.quality.capture_drops = self.drops.between(report.first_at, report.last_at);
        self.trust(report.id, &mut report.quality);
        let Some(stream) = self.streams.get(&report.id) else { return LowestMos::default() };
        report.quality.timestamps = stream.timestamps;
        report.quality.sampled_one_of = stream.sampled_one_of;
        move_copies(stream.network_copies, &mut report.numbers, &mut report.quality);
        let lost = report.numbers.lost();
        report.quality.set_loss(stream.ledger.as_ref().map_or_else(LossAttribution::default, |l| l.whole(lost)));
        report.mos = self.rate(&report.numbers, &report.quality, &media, report.rtt);
        let (interval, minute) = stream.worst.as_ref().map_or((None, None), |w| (w.interval(), w.minute()));
        report.mos_worst_interval = interval.map(|rated| rated.lq);
        // The rating of the whole may be lower than that of any minute: bursts over a boundary are longer there.
        let whole = report.mos.rated();
        let minute = lower_minute(minute, whole.map(|rated| (rated, report.first_at)));
        report.mos_worst_minute = minute.map(|(rated, _)| rated.lq);
        report.mos_worst_minute_at = minute.map(|(_, at)| at);
        let copies = report.numbers.duplicates_network;
        let view = |remote: &Remote| remote.view(report.clock_rate, copies, &report.quality.loss);
        report.remote = stream.remote.as_deref().and_then(view);
        LowestMos { interval, minute }
    }

    /// What is to be known of a stream's rows besides their own figures.
    fn trust(&self, id: StreamId, quality: &mut Quality) {
        quality.one_sided = self.is_one_sided(id);
        quality.started_mid_call =
            (self.streams.get(&id)).is_some_and(|s| s.uid.is_none() && s.first_at - self.first_frame < CAPTURE_START);
        quality.timestamps = self.condition.timestamps;
        quality.sampled_one_of = self.condition.sampled_one_of;
        self.stamped(quality);
    }

    fn stamped(&self, quality: &mut Quality) {
        quality.timestamp_source = self.stamped_by;
        quality.timestamp_resolution_ns =
            self.condition.timestamp_granularity_ns.map_or(self.resolution_ns, |shown| shown.max(self.resolution_ns));
    }

    /// Calls and addresses remembered.
    #[cfg(test)]
    pub fn len(&self) -> (usize, usize) {
        (self.calls.len(), self.bindings.len())
    }

    /// Streams, and those of the address and of the SSRC that has most of them.
    #[cfg(test)]
    pub fn streams(&self) -> (usize, usize, usize) {
        let address = self.by_endpoint.values().map(Ids::len).max();
        let ssrc = self.by_ssrc.values().map(Ids::len).max();
        (self.streams.len(), address.unwrap_or(0), ssrc.unwrap_or(0))
    }

    /// Streams of a call that are still going, and the addresses it leaves.
    pub fn closing(&mut self, uid: CallUid) -> (Vec<(StreamId, FlowKey)>, Vec<Endpoint>) {
        let Some(call) = self.calls.get_mut(&uid) else { return (Vec::new(), Vec::new()) };
        call.closing = true;
        let active = call.active.iter().filter_map(|id| Some((*id, self.streams.get(id)?.key))).collect();
        (active, call.endpoints.clone())
    }

    /// A call whose streams have all ended.
    pub fn call_ended(&mut self, mut record: CallRecord, out: &mut dyn Sink) {
        let mut call = self.calls.remove(&record.uid).unwrap_or_default();
        self.forget_waiting(record.uid, &call);
        self.ended -= call.ended.len();
        let mut streams = std::mem::take(&mut call.ended);
        let summary = std::mem::take(&mut call.summary);
        self.describe(&mut record, &call, &mut streams, &summary, None);
        out.push(Event::CallEnded(Box::new(record)));
    }

    pub fn forget_call(&mut self, uid: CallUid) {
        let Some(call) = self.calls.remove(&uid) else { return };
        self.forget_waiting(uid, &call);
        self.ended -= call.ended.len();
    }

    /// A call that goes on, with the figures that were last stated of its streams. One that had reasons is judged and stated at
    /// the end of the interval: judging takes all of its streams, and a message is cheap. Returns the record where it is to be
    /// judged at once, because its INVITE was not delivered.
    pub fn call_changed(&mut self, mut record: CallRecord, out: &mut dyn Sink) -> Option<CallRecord> {
        if let Some(call) = self.calls.get_mut(&record.uid) {
            record.streams = call.all.clone();
            call.over = record.state.is_over();
            if let (Some(answered), None, false) = (record.answered_at, call.awaits_media, call.over) {
                let expected = answered + verdict::MEDIA_EXPECTED_AFTER;
                call.awaits_media = Some(expected);
                self.awaiting_media.insert((expected, record.uid));
            }
            if !call.over && call.stated.as_ref().is_some_and(|stated| !stated.codes.is_empty()) {
                self.due.insert(record.uid, true);
                return None;
            }
            if let Some(stated) = &call.stated {
                stated.write(&mut record);
            }
        }
        if record.undelivered.is_some() && !record.state.is_over() {
            return Some(record);
        }
        out.push(Event::CallChanged(Box::new(record)));
        None
    }

    /// A stream of a call fell silent.
    pub fn fell_silent(&mut self, id: StreamId) {
        if let Some(uid) = self.streams.get(&id).and_then(|stream| stream.uid) {
            self.due.entry(uid).or_default();
        }
    }

    /// Calls to be judged at `now`, in the order of their identities, and whether they are stated in any case.
    pub fn take_due(&mut self, now: Timestamp) -> BTreeMap<CallUid, bool> {
        while let Some((at, uid)) = self.awaiting_media.first().copied().filter(|(at, _)| *at <= now) {
            self.awaiting_media.remove(&(at, uid));
            if self.calls.get(&uid).is_some_and(|call| call.from_caller == 0 || call.from_callee == 0) {
                self.due.entry(uid).or_default();
            }
        }
        std::mem::take(&mut self.due)
    }

    /// A call is gone, and waits for nothing.
    fn forget_waiting(&mut self, uid: CallUid, call: &Call) {
        self.due.remove(&uid);
        if let Some(expected) = call.awaits_media {
            self.awaiting_media.remove(&(expected, uid));
        }
    }

    /// Streams of a call that are measured, as many as its verdict knows.
    pub fn active(&self, uid: CallUid) -> Vec<(StreamId, FlowKey)> {
        let ids = self.calls.get(&uid).into_iter().flat_map(|call| &call.active).take(STREAMS_JUDGED);
        ids.filter_map(|id| Some((*id, self.streams.get(id)?.key))).collect()
    }

    /// Judges a call that goes on, with its `active` streams as they are at `now`. It is stated where anything changed since
    /// the last time, or in any case (`always`).
    pub fn running(
        &mut self,
        mut record: CallRecord,
        active: Vec<StreamReport>,
        now: Timestamp,
        always: bool,
        out: &mut dyn Sink,
    ) {
        // One that has announced no media is not known here.
        let known = self.calls.remove(&record.uid);
        let announced = known.is_some();
        let mut call = known.unwrap_or_default();
        let mut summary = call.summary.clone();
        let mut streams = call.ended.clone();
        for mut report in active {
            let worst = self.complete(&mut report);
            summary.take(&report, worst, call.announced);
            streams.push(report);
        }
        call.passes |= self.passes(&call);
        self.describe(&mut record, &call, &mut streams, &summary, Some(now));
        let stated = Stated::of(&record, &summary);
        let changed = call.stated.as_deref() != Some(&stated);
        if announced {
            call.stated = Some(Box::new(stated));
            self.calls.insert(record.uid, call);
        }
        if changed || always {
            out.push(Event::CallChanged(Box::new(record)));
        }
    }

    /// An ICMP error says that a datagram to a media address of a call was not delivered. Returns whether it was of a call.
    pub fn undelivered(&mut self, at: Timestamp, error: &IcmpError<'_>) -> bool {
        let (src, dst) = (Endpoint::from(error.src), Endpoint::from(error.dst));
        let Some(bindings) = self.bindings.get(&dst) else { return false };
        let mut of_call = false;
        // Who sent it is a party too, or a stream of the call goes between the two addresses.
        let flow = self.between(src, dst).chain(self.between(dst, src));
        let of_flow: SmallVec<[CallUid; 4]> = flow.filter_map(|(_, stream)| stream.uid).collect();
        for binding in bindings {
            let known = self.announced(binding.uid, src) || of_flow.contains(&binding.uid);
            if known && let Some(call) = self.calls.get_mut(&binding.uid).filter(|call| !call.over) {
                of_call = true;
                if call.side_evidence[index(binding.side)].refuses(at, error) {
                    self.due.entry(binding.uid).or_default();
                }
            }
        }
        of_call
    }

    /// The mirror showed RTCP of this call twice.
    pub fn rtcp_copied(&mut self, call: Option<CallUid>) {
        if let Some(call) = call.and_then(|uid| self.calls.get_mut(&uid)) {
            call.summary.quality.duplicates_removed += 1;
        }
    }

    /// Attaches call and stream to a report. Returns the call. `find` looks a stream up by its flow.
    pub fn report(
        &mut self,
        mut record: RtcpRecord,
        find: &dyn Fn(&FlowKey) -> Option<StreamId>,
        out: &mut dyn Sink,
    ) -> Option<CallUid> {
        record.stream = self.stream_of(&record, find);
        if let (Some(id), Some(block)) = (record.stream, &record.block)
            && let Some(stream) = self.streams.get_mut(&id)
        {
            stream.remote.get_or_insert_default().report(record.at, block);
        }
        let about = record.stream.and_then(|id| self.streams.get(&id)).and_then(|s| Some((s.uid?, s.sender?)));
        let reporter = match about {
            Some((uid, sender)) => {
                let sender = if record.block.is_some() { sender.other() } else { sender };
                Some(Owner { uid, sender })
            }
            None => self.reporter(&record),
        };
        record.call_uid = reporter.map(|owner| owner.uid);
        if let Some(Owner { uid, sender }) = reporter
            && let Some(call) = self.calls.get_mut(&uid)
            && call.side_evidence[index(sender)].reports(&record)
            && !call.over
        {
            self.due.entry(uid).or_default();
        }
        let call = record.call_uid;
        out.push(Event::Rtcp(Box::new(record)));
        call
    }

    /// The stream that a report is about. Where its SSRC has many, the one between the report's own ports first, then the
    /// latest.
    fn stream_of(&mut self, record: &RtcpRecord, find: &dyn Fn(&FlowKey) -> Option<StreamId>) -> Option<StreamId> {
        let about = record.block.map(|b| b.ssrc).unwrap_or(record.reporter);
        let (from, to) = match record.block {
            Some(_) => (Endpoint::from(record.dst), Endpoint::from(record.src)),
            None => (Endpoint::from(record.src), Endpoint::from(record.dst)),
        };
        let candidates = self.by_ssrc.get(&about).map_or(&[][..], |v| v);
        if let [only] = candidates {
            self.compared += 1;
            return Some(*only);
        }
        let matches = |id: &&StreamId| {
            self.streams.get(*id).is_some_and(|s| s.key.src().ip == from.ip && s.key.dst().ip == to.ip)
        };
        if candidates.len() <= COMPARED_WITH {
            self.compared += candidates.len() as u64;
            return candidates.iter().find(matches).copied();
        }
        // RTCP has the port above the media's, or the same one (RFC 3550 section 11, RFC 5761).
        let flow = |(back_src, back_dst): (u16, u16)| FlowKey {
            src_ip: from.ip,
            dst_ip: to.ip,
            src_port: from.port.wrapping_sub(back_src),
            dst_port: to.port.wrapping_sub(back_dst),
            ssrc: about.0,
        };
        let own = [(1, 1), (0, 0), (1, 0), (0, 1)].map(flow).iter().find_map(find);
        let own = own.filter(|id| self.streams.contains_key(id));
        let found = own.or_else(|| candidates.iter().rev().take(COMPARED_WITH).find(matches).copied());
        self.compared += COMPARED_WITH as u64;
        self.compared_in_part += u64::from(own.is_none());
        found
    }

    /// Whether RTCP between these addresses is of a call or a measured stream, or of one that ended lately.
    pub fn knows_rtcp_between(&self, src: SocketAddr, dst: SocketAddr, at: Timestamp) -> bool {
        [dst, src].into_iter().any(|address| {
            let endpoint = Endpoint::from(address);
            let below = Endpoint { port: endpoint.port.wrapping_sub(1), ..endpoint };
            [endpoint, below].iter().any(|end| {
                self.bindings.contains_key(end) || self.by_endpoint.contains_key(end) || self.late.contains(end, at)
            })
        })
    }

    /// Whether a stream with this SSRC is measured.
    pub fn knows_ssrc(&self, ssrc: Ssrc) -> bool {
        self.by_ssrc.contains_key(&ssrc)
    }

    /// An interval begins.
    pub fn start_interval(&mut self, start: Timestamp) {
        self.gaps.start_interval(start);
        self.drops.start_interval(start);
        self.late.start_interval(start);
    }

    /// The stream of an SSRC from one address to another, as far as they are known; with its SSRC and call.
    pub fn stream_between(
        &self,
        ssrc: Option<Ssrc>,
        from: Option<Endpoint>,
        to: Option<Endpoint>,
    ) -> Option<(StreamId, Ssrc, Option<CallUid>)> {
        let candidates = match (ssrc, to) {
            (Some(ssrc), _) => self.by_ssrc.get(&ssrc)?,
            (None, Some(to)) => self.by_endpoint.get(&to)?,
            (None, None) => return None,
        };
        let found = |id: &StreamId| self.streams.get(id).map(|s| (*id, Ssrc(s.key.ssrc), s.uid, &s.key));
        let matches = |key: &FlowKey| from.is_none_or(|e| e == key.src()) && to.is_none_or(|e| e == key.dst());
        let latest = candidates.iter().rev().take(COMPARED_PER_MESSAGE);
        let exact = latest.filter_map(found).find(|(.., key)| matches(key));
        // The addresses an endpoint knows may be those behind a NAT; its SSRC is the same everywhere.
        let (id, ssrc, uid, _) = exact.or_else(|| match candidates.as_slice() {
            [only] if ssrc.is_some() => found(only),
            _ => None,
        })?;
        Some((id, ssrc, uid))
    }

    /// The call of a report, and the side that sent it, by its addresses. RTCP goes to the port above the media's, or to the
    /// same one (RFC 3550 section 11, RFC 5761).
    fn reporter(&self, record: &RtcpRecord) -> Option<Owner> {
        let below = |address: SocketAddr, back: u16| {
            let endpoint = Endpoint::from(address);
            Endpoint { port: endpoint.port.wrapping_sub(back), ..endpoint }
        };
        let flow = |(back_src, back_dst): (u16, u16)| {
            let (src, dst) = (below(record.src, back_src), below(record.dst, back_dst));
            FlowKey { src_ip: src.ip, dst_ip: dst.ip, src_port: src.port, dst_port: dst.port, ssrc: record.reporter.0 }
        };
        [(0, 0), (1, 1), (1, 0), (0, 1)].map(flow).iter().find_map(|key| self.owner(key, None))
    }

    /// Whether media or its RTCP was announced for an address.
    pub fn is_media_address(&self, address: SocketAddr) -> bool {
        let endpoint = Endpoint::from(address);
        let below = Endpoint { port: endpoint.port.wrapping_sub(1), ..endpoint };
        [endpoint, below].iter().any(|end| self.bindings.contains_key(end)) || self.by_endpoint.contains_key(&endpoint)
    }

    /// Gives a stream that belongs to no call yet to one. Returns the call it belongs to.
    pub fn bind(&mut self, id: StreamId, payload_type: Option<PayloadType>) -> Option<CallUid> {
        let stream = self.streams.get(&id)?;
        let (key, known) = (stream.key, stream.uid);
        let owner = match known {
            Some(uid) => Owner { uid, sender: stream.sender.unwrap_or(Side::Caller) },
            None => self.owner(&key, payload_type)?,
        };
        let uid = owner.uid;
        // An offer may name several suites; the answer names one of them.
        let srtp = |end: Endpoint| self.bindings.get(&end)?.iter().find(|b| b.uid == uid).map(|b| b.srtp);
        let srtp = [key.dst(), key.src()].into_iter().filter_map(srtp).reduce(Srtp::negotiated_with);
        let stream = self.streams.get_mut(&id)?;
        if let Some(srtp) = srtp {
            stream.srtp = srtp;
        }
        if known.is_some() {
            return known;
        }
        (stream.uid, stream.sender) = (Some(uid), Some(owner.sender));
        let call = self.calls.entry(uid).or_default();
        call.active.insert(id);
        if call.all.len() < STREAMS_PER_ADDRESS {
            call.all.push(id);
        }
        match owner.sender {
            Side::Caller => call.from_caller += 1,
            Side::Callee => call.from_callee += 1,
        }
        Some(uid)
    }

    fn meet_reverse(&mut self, id: StreamId, key: &FlowKey) {
        let others: Ids = self.between(key.dst(), key.src()).map(|(other, _)| other).collect();
        for other in &others {
            if let Some(stream) = self.streams.get_mut(other) {
                stream.answered = true;
            }
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.answered = !others.is_empty();
        }
    }

    fn label(&self, id: StreamId, uid: &mut Option<CallUid>, call_id: &mut Arc<str>) {
        *uid = self.streams.get(&id).and_then(|s| s.uid);
        if let Some(call) = uid.and_then(|uid| self.calls.get(&uid)) {
            *call_id = Arc::clone(&call.call_id);
        }
    }

    fn forget(&mut self, id: StreamId) -> Option<Box<Stream>> {
        let stream = self.streams.remove(&id)?;
        self.capture_loss.stream_ended(&stream.key);
        remove_from(&mut self.by_ssrc, &Ssrc(stream.key.ssrc), id);
        for endpoint in [stream.key.src(), stream.key.dst()] {
            remove_from(&mut self.by_endpoint, &endpoint, id);
            self.late.note(endpoint, self.interval_start + self.policy.interval);
        }
        Some(stream)
    }

    /// Whether media from the side of a call that is not seen, or to its peer, is seen in other calls.
    fn passes(&self, call: &Call) -> bool {
        let missing = match (call.from_caller, call.from_callee) {
            (0, 1..) => Side::Caller,
            (1.., 0) => Side::Callee,
            _ => return false,
        };
        let announced = |side: Side| call.side_evidence[index(side)].announced();
        match (announced(missing), announced(missing.other())) {
            (Some(sender), Some(receiver)) => self.capture_loss.passes(sender, receiver),
            _ => false,
        }
    }

    fn is_one_sided(&self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get(&id) else { return false };
        if stream.answered {
            return false;
        }
        match (stream.uid.and_then(|uid| self.calls.get(&uid)), stream.sender) {
            (Some(call), Some(Side::Caller)) => call.from_callee == 0,
            (Some(call), Some(Side::Callee)) => call.from_caller == 0,
            _ => true,
        }
    }

    fn media_of<'c>(
        &self,
        id: StreamId,
        codec: &'c CodecId,
        clock_rate: Option<u32>,
        ptime: Option<Nanos>,
    ) -> Media<'c> {
        Media { codec, clock_rate, ptime, srtp: self.streams.get(&id).map(|s| s.srtp).unwrap_or_default() }
    }

    /// The rating of a stream or interval, with its bounds where the capture spoiled what it is made of.
    fn rate(&self, numbers: &StreamStats, quality: &Quality, media: &Media<'_>, rtt: Option<Nanos>) -> MosReport {
        let mut mos = self.judge(numbers, quality, media, rtt);
        let late = late_are_known(quality);
        if quality.sampled_one_of.is_none() && (quality.loss.capture > 0 || !late && numbers.discarded_adaptive > 0) {
            mos.bounds = self.bounds(numbers, quality, media);
        }
        mos
    }

    fn judge(&self, numbers: &StreamStats, quality: &Quality, media: &Media<'_>, rtt: Option<Nanos>) -> MosReport {
        if quality.sampled_one_of.is_some() {
            return MosReport { null_reason: Some(NullReason::SampledCapture), ..MosReport::default() };
        }
        if !late_are_known(quality) {
            return self.assess(&without_late(numbers), media, rtt);
        }
        self.assess(numbers, media, rtt)
    }

    fn assess(&self, numbers: &StreamStats, media: &Media<'_>, rtt: Option<Nanos>) -> MosReport {
        let delay = match (rtt, self.policy.assumed_one_way_delay) {
            (Some(rtt), _) => Some((Nanos(rtt.0 / 2), DelaySource::Measured)),
            (None, Some(assumed)) => Some((assumed, DelaySource::Assumed)),
            (None, None) => None,
        };
        let context = MosContext { delay, jitter_buffer: self.policy.jitter_buffer, ..MosContext::new(&self.codecs) };
        assess(numbers, media, &context)
    }

    /// Packets that the jitter buffer of the policy discarded; 0 where that is not known.
    fn discarded(&self, numbers: &StreamStats, quality: &Quality) -> u64 {
        if !late_are_known(quality) {
            return 0;
        }
        match self.policy.jitter_buffer {
            JitterBuffer::Adaptive => numbers.discarded_adaptive,
            JitterBuffer::Fixed(size) => numbers.late[nearest_buffer(size)],
        }
    }

    /// From the rating if all of the loss is the network's and late packets were late, to that without what the capture may
    /// have lost and without late packets where the times are wrong.
    fn bounds(&self, numbers: &StreamStats, quality: &Quality, media: &Media<'_>) -> Option<(f32, f32)> {
        let context = MosContext { jitter_buffer: self.policy.jitter_buffer, ..MosContext::new(&self.codecs) };
        let network = if quality.loss.capture > 0 { quality.loss.network } else { numbers.lost() };
        let (low, high) = bounds(numbers, network, media, &context)?;
        match late_are_known(quality) {
            true => Some((low, high)),
            false => Some((low, bounds(&without_late(numbers), network, media, &context)?.1)),
        }
    }

    /// Gives the record of a call what its streams say, those that go on among them where it does (`now`).
    fn describe(
        &self,
        record: &mut CallRecord,
        call: &Call,
        streams: &mut [StreamReport],
        summary: &Summary,
        now: Option<Timestamp>,
    ) {
        // Of equally grave reasons the first stream's is given; identities depend on the time of day.
        streams.sort_by_key(|s| (s.first_at, s.src, s.dst, s.ssrc));
        record.streams = call.all.clone();
        record.streams.sort_unstable();
        record.streams.dedup();
        if let Some(RatedMos { lq, scale }) = summary.worst {
            (record.mos_worst, record.mos_worst_scale) = (Some(lq), Some(scale));
        }
        record.mos_worst_interval = summary.worst_interval;
        record.mos_worst_minute = summary.worst_minute.map(|(rated, _)| rated);
        record.mos_worst_minute_at = summary.worst_minute.map(|(_, at)| at);
        let media = streams.iter().filter(|s| !PayloadKind::is_repair(&s.codec));
        record.pdv_p95_worst = media.clone().filter_map(|s| s.numbers.pdv.quantile(0.95)).max();
        record.loss_pct_worst =
            media.clone().filter_map(|s| s.numbers.loss_pct()).reduce(f64::max).map(|pct| pct as f32);
        record.directions_seen = call.directions();
        if let Some(last) = streams.iter().map(|s| s.last_at).max() {
            record.last_at = record.last_at.max(last);
            if record.state == CallState::Unfinished {
                // Nobody hung up where the probe could see it: the call lasted as long as anything of it was seen.
                record.ended_at = record.ended_at.map(|at| at.max(last));
            }
        }
        let (from, to) = summary.media.unwrap_or((record.first_at, record.last_at));
        record.quality = summary.quality.clone();
        record.quality.capture_drops = self.drops.between(record.first_at.min(from), record.last_at.max(to));
        record.quality.one_sided = record.directions_seen == 1;
        record.quality.started_mid_call = record.started_mid_call;
        record.quality.evicted = record.evicted;
        // Of a call whose streams were not recognised, what the capture shows of others.
        record.quality.sampled_one_of = most(record.quality.sampled_one_of, self.condition.sampled_one_of);
        self.stamped(&mut record.quality);
        let mut loss = LossAttribution::default();
        streams.iter().for_each(|s| loss.add(&s.quality.loss));
        record.quality.set_loss(loss);
        let evidence = Evidence {
            streams,
            from_caller: call.from_caller,
            from_callee: call.from_callee,
            both_send: call.both_send,
            media_agreed: !call.endpoints.is_empty(),
            held: call.held,
            passes: call.passes || self.passes(call),
            one_sided_capture: self.one_sided,
            unnegotiated: &summary.unnegotiated,
            side_evidence: &call.side_evidence,
            now,
        };
        record.diagnoses = verdict::diagnose(record, &evidence);
    }
}

/// The lowest interval and minute of one stream.
#[derive(Clone, Copy, Default)]
struct LowestMos {
    interval: Option<RatedMos>,
    minute: Option<RatedMinute>,
}

impl Call {
    fn directions(&self) -> u8 {
        u8::from(self.from_caller > 0) + u8::from(self.from_callee > 0)
    }

    /// Every interval of its streams may change what is stated of it: nothing is yet, or something bad is.
    fn is_watched(&self) -> bool {
        self.stated.as_ref().is_none_or(|s| !s.codes.is_empty() || s.directions_seen != self.directions())
    }
}

impl Stated {
    fn of(record: &CallRecord, summary: &Summary) -> Stated {
        Stated {
            codes: record.diagnoses.iter().map(|d| d.code).collect(),
            worst: summary.worst,
            worst_interval: summary.worst_interval,
            worst_minute: summary.worst_minute,
            pdv_p95_worst: record.pdv_p95_worst,
            loss_pct_worst: record.loss_pct_worst,
            directions_seen: record.directions_seen,
        }
    }

    fn write(&self, record: &mut CallRecord) {
        if let Some(RatedMos { lq, scale }) = self.worst {
            (record.mos_worst, record.mos_worst_scale) = (Some(lq), Some(scale));
        }
        record.mos_worst_interval = self.worst_interval;
        record.mos_worst_minute = self.worst_minute.map(|(rated, _)| rated);
        record.mos_worst_minute_at = self.worst_minute.map(|(_, at)| at);
        (record.pdv_p95_worst, record.loss_pct_worst) = (self.pdv_p95_worst, self.loss_pct_worst);
        record.directions_seen = self.directions_seen;
    }
}

impl Summary {
    /// Takes what a stream says about the whole call. `announced`: payload types of both sides.
    fn take(&mut self, stream: &StreamReport, worst: LowestMos, announced: [u128; 2]) {
        self.note_payload_type(stream, announced);
        self.worst_interval = lower(self.worst_interval, worst.interval);
        self.worst_minute = lower_minute(self.worst_minute, worst.minute);
        self.worst = lower(self.worst, worst.minute.map(|(rated, _)| rated));
        let (from, to) = self.media.unwrap_or((stream.first_at, stream.last_at));
        self.media = Some((from.min(stream.first_at), to.max(stream.last_at)));
        self.quality.duplicates_removed += stream.quality.duplicates_removed;
        self.quality.snap_cut |= stream.quality.snap_cut;
        self.quality.timestamps = worse_times(self.quality.timestamps, stream.quality.timestamps);
        self.quality.sampled_one_of = most(self.quality.sampled_one_of, stream.quality.sampled_one_of);
        // All streams see the same clock step.
        self.quality.clock_steps = self.quality.clock_steps.max(stream.quality.clock_steps);
    }

    /// Notes a stream whose main payload type neither side announced: a sender may use the number of its own description,
    /// though it should use that of the receiver (RFC 3264 section 5.1).
    fn note_payload_type(&mut self, stream: &StreamReport, [caller, callee]: [u128; 2]) {
        let Some((payload_type, packets)) = stream.payload_types.first().copied() else { return };
        let named = (caller | callee) >> (payload_type.0 & 127) & 1 == 1;
        if caller != 0
            && callee != 0
            && !named
            && packets >= verdict::ENOUGH
            && self.unnegotiated.len() < UNNEGOTIATED_KEPT
        {
            self.unnegotiated.push(Unnegotiated { src: stream.src, dst: stream.dst, payload_type });
        }
    }
}

/// Whether the times of packets show which of them were late.
fn late_are_known(quality: &Quality) -> bool {
    quality.timestamps.is_none_or(|check| check.allows_delays())
}

fn worse_times(a: Option<TimestampCheck>, b: Option<TimestampCheck>) -> Option<TimestampCheck> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.worse(b)),
        (a, b) => a.or(b),
    }
}

fn most(a: Option<f32>, b: Option<f32>) -> Option<f32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

/// So many copies are not the mirror's but the network's.
fn move_copies(copies: u64, numbers: &mut StreamStats, quality: &mut Quality) {
    let copies = copies.min(numbers.duplicates_probe);
    numbers.duplicates_probe -= copies;
    numbers.duplicates_network += copies;
    quality.duplicates_removed = quality.duplicates_removed.saturating_sub(copies);
}

/// Place of a side in pairs of both.
fn index(side: Side) -> usize {
    match side {
        Side::Caller => 0,
        Side::Callee => 1,
    }
}

fn judge_gap(streams: &mut HashMap<StreamId, Box<Stream>, Seeded>, judged: &Judged) {
    if let Some(ledger) = streams.get_mut(&judged.gap.stream).and_then(|stream| stream.ledger.as_mut()) {
        ledger.judged(judged);
    }
}

/// Whether there was a place.
fn remember(list: &mut Ids, id: StreamId) -> bool {
    let fits = list.len() < STREAMS_PER_ADDRESS;
    if fits {
        list.push(id);
    }
    fits
}

fn remove_from<K: std::hash::Hash + Eq>(table: &mut HashMap<K, Ids, Seeded>, key: &K, id: StreamId) {
    if let Some(ids) = table.get_mut(key) {
        ids.retain(|i| *i != id);
        if ids.is_empty() {
            table.remove(key);
        }
    }
}
