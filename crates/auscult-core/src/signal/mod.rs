//! SIP messages to calls: INVITE sessions by Call-ID, their states, and the media they announce.
//!
//! Pure: time is an argument, messages go in, events come out. A call is what a caller would call one: challenges
//! and refusals that ask for a retry are merged, copies of a message on the hops of a proxy are one message,
//! the branches of a fork are one call.

mod attempt;
mod call;
mod challenged;
mod codecs;
mod media;
mod message_context;
mod reports;
mod round_trips;
mod state_machine;
mod undelivered;

use crate::model::{
    CallRecord, CallState, CallUid, Cut, Ignored, Layer, Limits, MessagePolicy, Messages, Outcome, OverLimit, Policy,
    SipDirection, SipMessageRecord, Srtp, Transport,
};
pub use crate::model::{PayloadKind, PayloadMap};
use crate::privacy::Privacy;
use crate::units::Timestamp;
use crate::units::text::cleaned_lines;
use crate::wire::vqreport::VqReport;
use crate::wire::{sdp, sip};
use call::{Call, DialogMatch, Occurrence};
use challenged::ChallengedCalls;
use hashbrown::HashMap;
use message_context::{MessageContext, call_key, call_uid};
use reports::Reports;
use state_machine::{Timer, next_timer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

pub use sdp::Direction;

type Table<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// One of the two sides of a call, as the first INVITE names them: From is the caller, To the callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Caller,
    Callee,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        }
    }
}

/// One SIP message as it was captured: the payload of a datagram, or what [`sip::Framer`] cut from a stream.
#[derive(Clone, Copy, Debug)]
pub struct CapturedMessage<'a> {
    pub at: Timestamp,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub transport: Transport,
    pub bytes: &'a [u8],
    /// Fewer bytes were captured than sent.
    pub cut_short: bool,
}

/// What signalling states.
#[derive(Clone, Debug)]
pub enum SignalEvent {
    /// A call changed visibly.
    Changed(CallUid),
    /// A side of a call wants to receive media at an endpoint. Stated again when anything about it changes.
    Media {
        uid: CallUid,
        call_id: Arc<str>,
        /// Whose endpoint it is.
        side: Side,
        endpoint: SocketAddr,
        rtcp: Option<SocketAddr>,
        /// Empty for T.38 over UDPTL.
        payloads: Arc<[PayloadMap]>,
        ptime_ms: Option<u16>,
        /// As that side wrote it: `SendOnly` wants to receive nothing.
        direction: Direction,
        srtp: Srtp,
        /// Position of the `m=` line.
        media_index: u8,
    },
    /// A new offer moved it, or the call is over.
    MediaGone {
        uid: CallUid,
        endpoint: SocketAddr,
    },
    Message(Box<SipMessageRecord>),
    /// What an endpoint says of the quality it had (RFC 6035), without the parties.
    VqReport(Box<CapturedVqReport>),
    /// Final. The engine adds streams, figures and diagnoses.
    Ended(Box<CallRecord>),
}

/// A voice quality report with where and when it was captured.
#[derive(Clone, Debug)]
pub struct CapturedVqReport {
    pub at: Timestamp,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub report: VqReport,
}

/// What was left out, and what was odd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalCounters {
    /// Copies of messages by the capture, left out.
    pub copies: u64,
    /// Messages of no call: other methods, other Call-IDs.
    pub unattributed: u64,
    /// Single messages of unknown calls, forgotten.
    pub orphans: u64,
    /// What made room for others: calls, and single messages of unknown calls.
    pub calls_shed: u64,
    pub orphans_shed: u64,
    /// Messages that would have begun a call when nothing could make room.
    pub calls_refused: u64,
    /// Media lines beyond [`Limits::media_endpoints`] or the limit per call.
    pub media_refused: u64,
    /// Payload types of media lines beyond those that are kept apart.
    pub payload_types_left_out: u64,
    /// Voice quality reports, copies of them left out, and bodies that are none.
    pub vq_reports: u64,
    pub vq_copies: u64,
    pub vq_malformed: u64,
    /// By name: `sip.cseq_method_mismatch`, `sdp.port`.
    pub anomalies: BTreeMap<(&'static str, &'static str), u64>,
}

/// Order in which calls make room: single messages, INVITEs nobody has answered in any way, calls already over, then
/// those that wait for a final answer; the oldest of each first. A call that is up is never in it.
type EvictionRank = (u8, Timestamp, CallUid);

/// All calls that are not over for good.
pub struct Signal {
    policy: Policy,
    limits: Limits,
    by_call_id: Table<u128, CallUid>,
    calls: Table<CallUid, Box<Call>>,
    deadlines: BTreeSet<(Timestamp, CallUid)>,
    evictable: BTreeSet<EvictionRank>,
    endpoints: usize,
    /// Bytes of the messages of unknown calls that are kept back.
    pending_bytes: usize,
    reports: Reports,
    challenged: ChallengedCalls,
    counters: SignalCounters,
}

impl Signal {
    pub fn new(policy: &Policy, limits: &Limits) -> Self {
        Signal {
            policy: policy.clone(),
            limits: limits.clone(),
            by_call_id: Table::default(),
            calls: Table::default(),
            deadlines: BTreeSet::new(),
            evictable: BTreeSet::new(),
            endpoints: 0,
            pending_bytes: 0,
            reports: Reports::default(),
            challenged: ChallengedCalls::default(),
            counters: SignalCounters::default(),
        }
    }

    /// Takes in one SIP message. Deadlines up to its time fire first.
    pub fn message(&mut self, message: CapturedMessage<'_>, out: &mut Vec<SignalEvent>) -> Outcome {
        let CapturedMessage { at, src, dst, transport, bytes, cut_short } = message;
        self.fire(at, out);
        if bytes.len() > self.limits.message_bytes {
            return Outcome::OverLimit(OverLimit::MessageSize);
        }
        let message = match sip::parse_within(bytes, self.limits.header_bytes) {
            Ok(message) => message,
            Err(error) => return refusal(error, transport),
        };
        for anomaly in message.anomalies().iter() {
            self.count("sip", anomaly.name());
        }
        let context = MessageContext::new(at, (src, dst), transport, cut_short, &message);
        self.reports.take(&context, &self.policy.privacy, &mut self.counters, out);
        let key = call_key(message.call_id());
        let mut known = self.by_call_id.get(&key).copied();
        if let Some(uid) = known
            && self.calls.get(&uid).is_none_or(|call| call.fate(&context) == DialogMatch::StartsAnother)
        {
            self.end(uid, out);
            known = None;
        }
        let call = match known.and_then(|uid| self.calls.remove(&uid)) {
            Some(call) => call,
            None if message.version_known() && context.implies_call() => match self.open(key, &context, out) {
                Some(call) => call,
                None => return Outcome::OverLimit(OverLimit::Calls),
            },
            None => {
                self.counters.unattributed += 1;
                return Outcome::Sip;
            }
        };
        self.process_message(call, &context, out)
    }

    /// When [`Signal::fire`] has something to do; [`Timestamp::MAX`] if never. It may find that it has not yet.
    pub fn next_deadline(&self) -> Timestamp {
        self.deadlines.first().map_or(Timestamp::MAX, |(at, _)| *at)
    }

    /// Fires every deadline up to and including `until`, in the order of their times.
    pub fn fire(&mut self, until: Timestamp, out: &mut Vec<SignalEvent>) {
        while self.next_deadline() <= until && !self.deadlines.is_empty() {
            self.fire_some(until, out);
        }
    }

    /// As [`Signal::fire`], but stops when there are some events: those of all calls that end together need not exist at once.
    pub fn fire_some(&mut self, until: Timestamp, out: &mut Vec<SignalEvent>) {
        let most = out.len() + FACTS_AT_ONCE;
        while out.len() < most
            && let Some((at, uid)) = self.deadlines.first().copied().filter(|(at, _)| *at <= until)
        {
            self.deadlines.remove(&(at, uid));
            let Some(mut call) = self.calls.remove(&uid) else { continue };
            let (timer, due_at) = next_timer(&self.policy, &self.limits, call.clock());
            // Signs of life do not move the deadline: it is looked at again when it comes.
            if due_at > at {
                call.deadline = due_at;
                self.deadlines.insert((due_at, uid));
                self.calls.insert(uid, call);
                continue;
            }
            if timer != Timer::Orphan {
                call.expire(timer);
            }
            self.close(call, out);
        }
    }

    /// A packet of media announced by this call was seen: the call is alive. Returns the message that was kept back until
    /// the call is known.
    pub fn media_seen(&mut self, uid: CallUid, at: Timestamp) -> Option<Box<SipMessageRecord>> {
        let call = self.calls.get_mut(&uid)?;
        call.media_seen(at);
        update_eviction_rank(call, &mut self.evictable);
        let record = call.pending.take()?;
        self.pending_bytes -= record.held_bytes();
        Some(record)
    }

    /// The capture ended at `at`: [`Signal::finish_by`] with [`Cut::CaptureEnded`].
    pub fn finish(&mut self, at: Timestamp, out: &mut Vec<SignalEvent>) {
        self.finish_by(Cut::CaptureEnded, at, out);
    }

    /// The measuring ended at `at`: everything still open is ended, oldest first, and marked with what cut it.
    pub fn finish_by(&mut self, cut: Cut, at: Timestamp, out: &mut Vec<SignalEvent>) {
        self.fire(at, out);
        let mut rest: Vec<(Timestamp, CallUid)> =
            self.calls.values().map(|c| (c.record.first_at, c.record.uid)).collect();
        rest.sort_unstable();
        for (_, uid) in rest {
            if let Some(call) = self.calls.get_mut(&uid) {
                call.cut(cut);
            }
            self.end(uid, out);
        }
    }

    pub fn call(&self, uid: CallUid) -> Option<&CallRecord> {
        self.calls.get(&uid).map(|call| &call.record)
    }

    /// The latest call with this Call-ID that is not over for good.
    pub fn uid_of(&self, call_id: &[u8]) -> Option<CallUid> {
        self.by_call_id.get(&call_key(call_id)).copied()
    }

    /// Calls held, single messages of unknown calls among them.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub fn counters(&self) -> &SignalCounters {
        &self.counters
    }

    fn count(&mut self, protocol: &'static str, name: &'static str) {
        *self.counters.anomalies.entry((protocol, name)).or_default() += 1;
    }

    /// A new call, if there is room or room can be made.
    fn open(&mut self, key: u128, context: &MessageContext<'_, '_>, out: &mut Vec<SignalEvent>) -> Option<Box<Call>> {
        if self.calls.len() >= self.limits.calls {
            // A message of an unknown call is worth no more than another one.
            let highest = if context.opens_dialog() { RANK_PROCEEDING } else { RANK_ORPHAN };
            let first = self.evictable.first().copied().filter(|(rank, ..)| *rank <= highest);
            let Some((_, _, uid)) = first else {
                self.counters.calls_refused += 1;
                return None;
            };
            self.evict(uid, out);
        }
        let mut uid = self.call_uid(context);
        while self.calls.contains_key(&uid) {
            uid = CallUid(uid.0.wrapping_add(1));
        }
        self.by_call_id.insert(key, uid);
        let mut call = Box::new(Call::new(uid, key, context, &self.policy.privacy));
        if context.opens_dialog() {
            call.record.retry_of = self.challenged.take(key, context.from_tag);
        }
        Some(call)
    }

    /// Identity of a call that begins with this message. Where numbers are hidden it is made of the hashed Call-ID: of one that is
    /// a number and a known time, the identity would give the number away.
    fn call_uid(&self, context: &MessageContext<'_, '_>) -> CallUid {
        let call_id = context.message.call_id();
        if self.policy.privacy.is_clear() {
            return call_uid(call_id, context.at);
        }
        let hidden = sip::call_id_text(call_id, sip::FIELD_MAX, &self.policy.privacy);
        call_uid(hidden.as_bytes(), context.at)
    }

    /// Takes over how much of messages is stated from now on, and how numbers are in calls that begin from now on: all that is
    /// stated of a call is by the same rules.
    pub fn set_privacy(&mut self, privacy: Privacy, messages: MessagePolicy) {
        self.policy.privacy = privacy;
        self.policy.messages = messages;
    }

    /// A message and its call.
    fn process_message(
        &mut self,
        mut call: Box<Call>,
        context: &MessageContext<'_, '_>,
        out: &mut Vec<SignalEvent>,
    ) -> Outcome {
        let before = (call.record.messages > 0).then(|| call.face());
        let sight = call.sight(context, self.limits.messages_per_call);
        let mut outcome = Outcome::Sip;
        match sight {
            Occurrence::Copy => self.counters.copies += 1,
            Occurrence::Retransmission | Occurrence::New => {
                if sight == Occurrence::New {
                    self.apply_new(&mut call, context, out);
                }
                if call.record.messages as usize > self.limits.messages_per_call {
                    call.record.messages_dropped += 1;
                    outcome = Outcome::OverLimit(OverLimit::MessagesPerCall);
                } else if let kept @ (Messages::Headers | Messages::Whole) = self.policy.messages.of_call(&call.record)
                {
                    let storing = sip::Storing {
                        keep: &self.policy.keep_headers,
                        privacy: &call.privacy,
                        bodies: kept == Messages::Whole,
                        cut_short: context.cut_short,
                    };
                    let record = Box::new(evidence(&call, context, sight == Occurrence::Retransmission, storing));
                    if call.confirmed {
                        out.extend(self.release(&mut call).map(SignalEvent::Message));
                        out.push(SignalEvent::Message(record));
                    } else if call.pending.is_none() {
                        self.pending_bytes += record.held_bytes();
                        call.pending = Some(record);
                    }
                }
            }
        }
        // A message whose identity is not kept cannot be known again.
        if call.record.messages as usize <= self.limits.messages_per_call && context.message.version_known() {
            call.time(context, sight);
        }
        if call.confirmed && before.is_none_or(|face| face != call.face()) {
            out.push(SignalEvent::Changed(call.record.uid));
        }
        self.reinsert(call);
        self.shed_pending(out);
        outcome
    }

    /// Takes the message that was kept back until its call is known.
    fn release(&mut self, call: &mut Call) -> Option<Box<SipMessageRecord>> {
        let record = call.pending.take()?;
        self.pending_bytes -= record.held_bytes();
        Some(record)
    }

    /// Forgets the oldest unknown calls while their messages take more than they may.
    fn shed_pending(&mut self, out: &mut Vec<SignalEvent>) {
        while self.pending_bytes > self.limits.pending_bytes
            && let Some((RANK_ORPHAN, _, uid)) = self.evictable.first().copied()
        {
            self.evict(uid, out);
        }
    }

    fn apply_new(&mut self, call: &mut Call, context: &MessageContext<'_, '_>, out: &mut Vec<SignalEvent>) {
        let first = call.record.messages == 1;
        call.confirmed |= !first;
        if !context.message.version_known() {
            return;
        }
        call.apply(context, &self.limits);
        let sdp = context.message.sdp().filter(|_| context.method.negotiates()).map(|body| {
            let mut sdp = sdp::parse(body.bytes, body.cut || context.cut_short);
            hide_names(&mut sdp, &call.privacy);
            for anomaly in sdp.anomalies() {
                self.count("sdp", anomaly.name());
            }
            sdp
        });
        let held = call.media.len();
        let room = self.limits.media_endpoints.saturating_sub(self.endpoints);
        let left_out = call.describe(context, sdp.as_ref(), room, out);
        self.counters.media_refused += left_out.lines;
        self.counters.payload_types_left_out += left_out.payload_types;
        self.endpoints = self.endpoints + call.media.len() - held;
    }

    /// Puts a call into the tables with its deadline and its place in the order of eviction.
    fn reinsert(&mut self, mut call: Box<Call>) {
        let uid = call.record.uid;
        let (_, at) = next_timer(&self.policy, &self.limits, call.clock());
        if at != call.deadline {
            self.deadlines.remove(&(call.deadline, uid));
            self.deadlines.insert((at, uid));
            call.deadline = at;
        }
        update_eviction_rank(&mut call, &mut self.evictable);
        self.calls.insert(uid, call);
    }

    fn end(&mut self, uid: CallUid, out: &mut Vec<SignalEvent>) {
        if let Some(call) = self.calls.remove(&uid) {
            self.close(call, out);
        }
    }

    /// Ends a call to make room.
    fn evict(&mut self, uid: CallUid, out: &mut Vec<SignalEvent>) {
        let Some(mut call) = self.calls.remove(&uid) else { return };
        call.record.evicted = true;
        if call.confirmed {
            self.counters.calls_shed += 1;
        } else {
            self.counters.orphans_shed += 1;
        }
        self.close(call, out);
    }

    /// The last that is context of a call, which is no longer in the table of calls.
    fn close(&mut self, mut call: Box<Call>, out: &mut Vec<SignalEvent>) {
        let uid = call.record.uid;
        self.deadlines.remove(&(call.deadline, uid));
        if let Some(eviction_rank) = call.eviction_rank {
            self.evictable.remove(&eviction_rank);
        }
        if self.by_call_id.get(&call.key) == Some(&uid) {
            self.by_call_id.remove(&call.key);
        }
        self.endpoints -= call.media.len();
        call.media.end(uid, out);
        let pending = self.release(&mut call);
        if !call.confirmed {
            self.counters.orphans += 1;
            return;
        }
        if let Some(from_tag) = call.awaits_credentials() {
            self.challenged.note(call.key, from_tag, call.record.retry_of.unwrap_or(uid));
        }
        out.extend(pending.map(SignalEvent::Message));
        out.push(SignalEvent::Ended(Box::new(call.record)));
    }
}

/// Events of calls that end together which are handed over before the next ones end.
const FACTS_AT_ONCE: usize = 256;

const RANK_ORPHAN: u8 = 0;
const RANK_UNANSWERED: u8 = 1;
const RANK_OVER: u8 = 2;
const RANK_TRYING: u8 = 3;
const RANK_PROCEEDING: u8 = 4;

/// Puts a call at its place in the order of shedding.
fn update_eviction_rank(call: &mut Call, evictable: &mut BTreeSet<EvictionRank>) {
    let eviction_rank = rank(call).map(|rank| (rank, call.record.first_at, call.record.uid));
    if eviction_rank != call.eviction_rank {
        if let Some(old) = call.eviction_rank {
            evictable.remove(&old);
        }
        evictable.extend(eviction_rank);
        call.eviction_rank = eviction_rank;
    }
}

fn rank(call: &Call) -> Option<u8> {
    match call.record.state {
        _ if !call.confirmed => Some(RANK_ORPHAN),
        _ if call.over_at.is_some() => Some(RANK_OVER),
        CallState::Trying if !call.responded => Some(RANK_UNANSWERED),
        CallState::Trying => Some(RANK_TRYING),
        CallState::Proceeding => Some(RANK_PROCEEDING),
        _ => None,
    }
}

fn refusal(error: sip::SipError, transport: Transport) -> Outcome {
    match error {
        sip::SipError::Empty | sip::SipError::KeepAlive => Outcome::Ignored(Ignored::KeepAlive),
        sip::SipError::NotSip => Outcome::Ignored(match transport {
            Transport::Udp => Ignored::OtherUdp,
            Transport::Tcp | Transport::Ws => Ignored::OtherTcp,
        }),
        sip::SipError::HeadersTooLong => Outcome::OverLimit(OverLimit::HeaderSize),
        sip::SipError::Incomplete => Outcome::Ignored(Ignored::CutShort),
        sip::SipError::StartLine | sip::SipError::Missing(_) => Outcome::Malformed(Layer::Sip),
    }
}

fn evidence(
    call: &Call,
    context: &MessageContext<'_, '_>,
    retransmission: bool,
    storing: sip::Storing<'_>,
) -> SipMessageRecord {
    let message = context.message;
    let (headers, sdp) = sip::sanitise_as(message, storing);
    // Bounded already; a mark that is left out may grow to U+FFFD.
    let (headers, sdp) = (cleaned_lines(headers, usize::MAX), cleaned_lines(sdp, usize::MAX));
    let reason = match message.start() {
        sip::StartLine::Response { reason, .. } => sip::phrase_text(reason, sip::FIELD_MAX, storing.privacy),
        sip::StartLine::Request { .. } => String::new(),
    };
    SipMessageRecord {
        at: context.at,
        call_uid: call.record.uid,
        call_id: Arc::clone(&call.record.call_id),
        src: context.src,
        dst: context.dst,
        transport: context.transport,
        direction: if context.request { SipDirection::Request } else { SipDirection::Response },
        method: sip::method_text(message.method(), storing.privacy),
        status: context.status.unwrap_or_default(),
        reason,
        cseq: context.cseq.unwrap_or_default(),
        retransmission,
        headers: fitted(headers),
        sdp: fitted(sdp),
        cut_short: context.cut_short,
    }
}

/// A codec has the name that an endpoint wrote, which becomes part of streams, sums and metrics.
fn hide_names(sdp: &mut sdp::Sdp, privacy: &Privacy) {
    if privacy.is_clear() {
        return;
    }
    for format in sdp.media.iter_mut().flat_map(|media| &mut media.formats) {
        format.name = privacy.identifier(&format.name).into_owned();
    }
}

/// A text without what was set aside for its growth, where that is more than moving it is worth.
fn fitted(mut text: String) -> String {
    const WORTH_MOVING: usize = 128;
    if text.capacity() - text.len() > WORTH_MOVING {
        text.shrink_to_fit();
    }
    text
}
