//! One INVITE session: what its messages mean for its record.

use super::attempt::{Attempt, Hop};
use super::media::{DescriptionKey, LeftOut, Negotiated, OfferEnd, Source};
use super::message_context::{MessageContext, Method};
use super::round_trips::Timing;
use super::state_machine::{Clock, Step, Timer, asks_for_retry, is_challenge, next};
use super::{Side, SignalEvent};
use crate::model::{CallRecord, CallState, CallUid, Cut, Limits, Party, ReleasedBy, SipMessageRecord};
use crate::privacy::Privacy;
use crate::units::{Nanos, Timestamp};
use crate::wire::sdp::Sdp;
use crate::wire::sip::{
    FIELD_MAX, NameAddr, PartyText, StartLine, call_id_text, party_text, phrase_text, product_text, reason_value,
};
use std::sync::Arc;

/// Two sights of one message within this time are copies of the capture (a mirror, a tunnel and its inside),
/// not retransmissions: SIP repeats after T1 = 500 ms at the soonest (RFC 3261 section 17.1.1.1).
const COPY_WINDOW: Nanos = Nanos::from_millis(50);
/// Answers that were captured this long before their INVITE still belong to it.
const DISORDER: Nanos = Nanos::from_secs(1);
/// Attempts (CSeq numbers of initial INVITEs), and copies of one on different hops, that are kept apart.
const ATTEMPTS_MAX: usize = 16;
const HOPS_MAX: usize = 32;
/// Hops of all attempts of a call.
const HOPS_OF_CALL: usize = 64;

/// How a message relates to the messages before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occurrence {
    New,
    Retransmission,
    Copy,
}

/// What a message with a known Call-ID is to the call that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DialogMatch {
    Joins,
    /// The call is over and somebody uses its Call-ID again.
    StartsAnother,
}

#[derive(Debug)]
pub(super) struct Call {
    pub record: CallRecord,
    pub key: u128,
    pub media: Negotiated,
    /// Of the time when the call began: all that is stated of it is by the same rules.
    pub privacy: Privacy,
    /// False for a single message of an unknown call: nothing is said of it yet.
    pub confirmed: bool,
    /// The first message of a call that is not confirmed.
    pub pending: Option<Box<SipMessageRecord>>,
    pub over_at: Option<Timestamp>,
    /// When the timer is set to fire, and the place in the order of eviction.
    pub deadline: Timestamp,
    pub eviction_rank: Option<super::EvictionRank>,
    last_message_at: Timestamp,
    progress_at: Timestamp,
    cancel_at: Option<Timestamp>,
    /// A failure on a branch behind a proxy: time, status, reason.
    branch_failure: Option<(Timestamp, u16, String)>,
    /// Known which side sent the first INVITE.
    /// Any answer or media was seen: somebody is there.
    pub responded: bool,
    sides_known: bool,
    /// Seen inside a dialog: a failure answer is then one to a re-INVITE.
    in_dialog: bool,
    caller_tags: Vec<u64>,
    callee_tags: Vec<u64>,
    /// Tags of 2xx answers that no BYE has ended.
    answered_tags: Vec<u64>,
    attempts: Vec<Attempt>,
    answered_cseq: Option<u32>,
    /// A 2xx whose INVITE was not seen: time, status, reason.
    early_success: Option<(Timestamp, u16, String)>,
    acks: Vec<u32>,
    reinvites: Vec<(Side, u32, bool)>,
    seen: Vec<(u64, Timestamp)>,
    timing: Timing,
}

/// What is visible of a call; when it changes, an event says so.
#[derive(PartialEq)]
pub(super) struct VisibleState(CallState, u16, [Option<Timestamp>; 4], [u32; 4], bool);

impl Call {
    pub fn new(uid: CallUid, key: u128, context: &MessageContext<'_, '_>, privacy: &Privacy) -> Call {
        let opens = context.opens_dialog();
        let (src, dst) = if context.request { (context.src, context.dst) } else { (context.dst, context.src) };
        let record = CallRecord {
            uid,
            call_id: Arc::from(call_id_text(context.message.call_id(), FIELD_MAX, privacy)),
            caller: party(context.message.from(), privacy),
            callee: party(context.message.to(), privacy),
            state: if opens { CallState::Trying } else { CallState::MidCall },
            transport: context.transport,
            signalling_src: Some(src),
            signalling_dst: Some(dst),
            first_at: context.at,
            last_at: context.at,
            invite_at: opens.then_some(context.at),
            started_mid_call: !opens,
            ..CallRecord::default()
        };
        Call {
            record,
            key,
            media: Negotiated::default(),
            privacy: privacy.clone(),
            confirmed: opens,
            pending: None,
            over_at: None,
            deadline: Timestamp::MAX,
            eviction_rank: None,
            last_message_at: context.at,
            progress_at: context.at,
            cancel_at: None,
            branch_failure: None,
            responded: false,
            sides_known: opens,
            in_dialog: false,
            caller_tags: vec![context.from_tag],
            callee_tags: if context.to_tag == 0 { Vec::new() } else { vec![context.to_tag] },
            answered_tags: Vec::new(),
            attempts: Vec::new(),
            answered_cseq: None,
            early_success: None,
            acks: Vec::new(),
            reinvites: Vec::new(),
            seen: Vec::new(),
            timing: Timing::default(),
        }
    }

    /// Whether an INVITE with credentials may follow, and then belongs to this call: with which From tag.
    pub fn awaits_credentials(&self) -> Option<u64> {
        let challenged = self.record.state == CallState::Failed && is_challenge(self.record.final_code);
        self.caller_tags.first().copied().filter(|_| challenged)
    }

    pub fn face(&self) -> VisibleState {
        let r = &self.record;
        VisibleState(
            r.state,
            r.final_code,
            [r.invite_at, r.ringing_at, r.answered_at, r.ended_at],
            [r.reinvites, r.branches, r.auth_rounds, u32::from(self.confirmed)],
            r.acked,
        )
    }

    pub fn clock(&self) -> Clock {
        Clock {
            state: self.record.state,
            challenged: self.record.state == CallState::Failed && is_challenge(self.record.final_code),
            confirmed: self.confirmed,
            responded: self.responded,
            over_at: self.over_at,
            first_at: self.record.first_at,
            last_message_at: self.last_message_at,
            last_at: self.record.last_at,
            progress_at: self.progress_at,
            cancel_at: self.cancel_at,
            branch_failed_at: self.branch_failure.as_ref().map(|(at, ..)| *at),
        }
    }

    pub fn fate(&self, context: &MessageContext<'_, '_>) -> DialogMatch {
        if self.over_at.is_none() || !context.opens_dialog() {
            return DialogMatch::Joins;
        }
        if self.record.state == CallState::MidCall {
            // A refusal may have been captured before the INVITE it refuses.
            let refused = self.answered_cseq == context.cseq && context.at - self.record.first_at <= DISORDER;
            return if refused { DialogMatch::Joins } else { DialogMatch::StartsAnother };
        }
        if !self.caller_tags.contains(&context.from_tag) {
            return DialogMatch::StartsAnother;
        }
        let newest = self.attempts.iter().map(|a| a.cseq).max().flatten();
        let may_retry = self.record.state == CallState::Failed && asks_for_retry(self.record.final_code);
        if context.cseq > newest && !may_retry { DialogMatch::StartsAnother } else { DialogMatch::Joins }
    }

    /// Counts the message and returns whether it was seen before. `limit`: identities kept.
    pub fn sight(&mut self, context: &MessageContext<'_, '_>, limit: usize) -> Occurrence {
        self.responded |= !context.request;
        self.record.unanswered = !self.responded;
        if self.responded {
            self.record.undelivered = None;
        }
        self.record.last_at = self.record.last_at.max(context.at);
        self.last_message_at = self.last_message_at.max(context.at);
        let identity = context.identity();
        if let Some((_, at)) = self.seen.iter_mut().rev().find(|(id, _)| *id == identity) {
            if (context.at - *at).abs() <= COPY_WINDOW {
                return Occurrence::Copy;
            }
            *at = context.at;
            self.record.messages += 1;
            self.record.retransmissions += 1;
            return Occurrence::Retransmission;
        }
        push_within(&mut self.seen, limit, (identity, context.at));
        self.record.messages += 1;
        Occurrence::New
    }

    /// Takes in a message that was not seen before.
    pub fn apply(&mut self, context: &MessageContext<'_, '_>, limits: &Limits) {
        self.note_agent(context);
        match (context.request, context.method) {
            (true, Method::Invite) if context.to_tag == 0 => self.invite(context, limits),
            (true, Method::Invite | Method::Update) => self.reinvite(context, limits),
            (true, Method::Ack) => self.ack(context),
            (true, Method::Cancel) => self.cancel(context),
            (true, Method::Bye) => self.bye(context),
            (false, Method::Bye) if matches!(context.status, Some(200..=299)) => self.bye_taken(context.at),
            (false, Method::Invite) => {
                if let Some(status) = context.status {
                    self.invite_answer(context, status, limits);
                }
            }
            _ => {}
        }
    }

    /// Times requests and their answers, when [`Call::apply`] has learnt what sides there are.
    pub fn time(&mut self, context: &MessageContext<'_, '_>, sight: Occurrence) {
        let asker = self.side_of(context);
        self.timing.take(context, sight, asker);
        self.note_round_trips();
    }

    /// Takes in the session description of a message that was not seen before. Returns what found no place.
    pub fn describe(
        &mut self,
        context: &MessageContext<'_, '_>,
        sdp: Option<&Sdp>,
        room: usize,
        out: &mut Vec<SignalEvent>,
    ) -> LeftOut {
        let asker = self.side_of(context);
        let negotiates = context.method.negotiates();
        if let (Some(status @ 200..), Some(cseq), true) = (context.status, context.cseq, negotiates) {
            let offer = OfferEnd { side: asker, cseq, accepted: status < 300 };
            self.media.offer_ended(self.record.uid, &self.record.call_id, offer, out);
        }
        let (Some(sdp), true, None) = (sdp, negotiates, self.over_at) else { return LeftOut::default() };
        let speaker = match (context.request, context.status) {
            (true, _) => asker,
            (false, Some(101..300)) => asker.other(),
            _ => return LeftOut::default(),
        };
        let answered = matches!(self.record.state, CallState::Established | CallState::MidCall);
        let offer = context.request && matches!(context.method, Method::Invite | Method::Update) && context.to_tag != 0;
        let branch = match (speaker, context.request) {
            (Side::Caller, _) => 0,
            (Side::Callee, true) => context.from_tag,
            (Side::Callee, false) => context.to_tag,
        };
        let source = Source {
            uid: self.record.uid,
            call_id: &self.record.call_id,
            key: DescriptionKey { side: speaker, hop: context.hop(), branch, index: 0 },
            open_offer: context.cseq.filter(|_| offer && answered),
        };
        self.media.describe(source, sdp, room, out)
    }

    /// The measuring ended. A call that was over, and only held back for late media, stays as it ended.
    pub fn cut(&mut self, cut: Cut) {
        if self.over_at.is_some() {
            return;
        }
        let last = self.record.last_at;
        self.change(Step::Cut, last, last);
        self.record.ended_at = Some(last);
        self.record.released_by = Some(cut.into());
    }

    /// A timer ran out.
    pub fn expire(&mut self, timer: Timer) {
        let last = self.record.last_at;
        let step = Step::Expired(timer);
        match timer {
            Timer::Cancel => {
                self.change(step, self.cancel_at.unwrap_or(last), last);
                self.record.released_by = Some(ReleasedBy::Caller);
            }
            Timer::Fork => {
                let (at, status, reason) = self.branch_failure.take().unwrap_or((last, 0, String::new()));
                self.record.final_code = status;
                self.record.final_reason = reason;
                self.change(step, at, last);
            }
            Timer::Linger => {}
            _ if self.over_at.is_none() => {
                self.change(step, last, last);
                self.record.ended_at = Some(last);
                self.record.released_by = Some(ReleasedBy::Timeout);
            }
            _ => {}
        }
    }

    pub fn media_seen(&mut self, at: Timestamp) {
        self.record.last_at = self.record.last_at.max(at);
        self.confirmed = true;
        self.responded = true;
        self.record.unanswered = false;
        self.record.undelivered = None;
    }

    /// Takes a step of the state machine. False where it changes nothing.
    fn change(&mut self, step: Step, ended_at: Timestamp, now: Timestamp) -> bool {
        let Some(state) = next(self.record.state, step) else { return false };
        self.set_state(state, ended_at, now);
        true
    }

    /// The only place that changes the state, so that the end and its cause always agree with it. The times are those of an end:
    /// a state in which the call goes on ignores them.
    fn set_state(&mut self, state: CallState, ended_at: Timestamp, now: Timestamp) {
        self.record.state = state;
        match state {
            // A caller that gave up still has, while the callee rings on.
            CallState::Proceeding => {}
            CallState::Trying | CallState::Established | CallState::MidCall => {
                self.over_at = None;
                self.record.ended_at = None;
                self.record.released_by = None;
                self.record.release_reason.clear();
                self.branch_failure = None;
                self.cancel_at = None;
            }
            CallState::Completed
            | CallState::Cancelled
            | CallState::Failed
            | CallState::SetupTimeout
            | CallState::Unfinished => self.end(ended_at, now),
        }
    }

    /// The call is over. One whose INVITE was not seen stays in its state.
    fn end(&mut self, ended_at: Timestamp, now: Timestamp) {
        self.over_at = Some(now);
        self.record.ended_at = Some(ended_at);
    }

    fn invite(&mut self, context: &MessageContext<'_, '_>, limits: &Limits) {
        if self.record.state == CallState::MidCall {
            self.promote(context);
        }
        if !self.caller_tags.contains(&context.from_tag) && self.caller_tags.len() < limits.branches_per_call {
            self.caller_tags.push(context.from_tag);
        }
        let hop = Hop { branch: context.branch, vias: context.vias, failed: false };
        let hops: usize = self.attempts.iter().map(|a| a.hops.len()).sum();
        if let Some(attempt) = self.attempts.iter_mut().find(|a| a.cseq == context.cseq) {
            // The same INVITE on the next hop, on another branch of a fork, or sent to the next server.
            let nearest = attempt.nearest();
            let again = context.vias <= nearest && self.record.state == CallState::Failed;
            if attempt.hops.len() < HOPS_MAX
                && hops < HOPS_OF_CALL
                && !attempt.hops.iter().any(|h| h.branch == hop.branch)
            {
                attempt.hops.push(hop);
                self.branch_failure = None;
                self.progress_at = self.progress_at.max(context.at);
                if again {
                    attempt.answer = None;
                    self.change(Step::Retry, context.at, context.at);
                }
            }
        } else if self.attempts.len() < ATTEMPTS_MAX {
            let newest = self.attempts.iter().max_by_key(|a| a.cseq);
            let retries = newest.is_some_and(|a| a.cseq < context.cseq);
            let challenged = retries && newest.is_some_and(|a| a.answer.is_some_and(is_challenge));
            self.attempts.push(Attempt { cseq: context.cseq, hops: vec![hop], answer: None });
            self.record.auth_rounds += u32::from(challenged);
            if let (true, Some(challenged_at)) = (challenged, self.over_at) {
                let wait = (context.at - challenged_at).max(Nanos::ZERO);
                self.record.auth_wait = Nanos(self.record.auth_wait.0 + wait.0);
            }
            if retries && self.change(Step::Retry, context.at, context.at) {
                self.record.final_code = 0;
                self.record.final_reason.clear();
            }
            self.progress_at = self.progress_at.max(context.at);
        }
    }

    /// The INVITE came after answers to it, or after the end of an attempt that began before the capture.
    fn promote(&mut self, context: &MessageContext<'_, '_>) {
        let r = &mut self.record;
        let answered_before = self.answered_cseq == context.cseq && context.at - r.first_at <= DISORDER;
        let early = answered_before || r.ringing_at.is_some_and(|ringing| context.at - ringing <= DISORDER);
        r.invite_at = Some(if early { r.first_at.min(context.at) } else { context.at });
        r.caller = with_agent(party(context.message.from(), &self.privacy), &r.caller);
        r.callee = with_agent(party(context.message.to(), &self.privacy), &r.callee);
        r.signalling_src = Some(context.src);
        r.signalling_dst = Some(context.dst);
        r.started_mid_call = false;
        let state = match (answered_before, r.final_code) {
            (true, 487) => CallState::Cancelled,
            (true, 300..) => CallState::Failed,
            (true, _) if self.over_at.is_some() => CallState::Completed,
            (true, _) => CallState::Established,
            (false, _) if early => CallState::Proceeding,
            (false, _) => CallState::Trying,
        };
        if !answered_before {
            r.final_code = 0;
            r.final_reason.clear();
        }
        let early_success = self.early_success.take();
        if let (CallState::Established | CallState::Completed, Some((at, status, reason))) = (state, early_success) {
            r.answered_at = Some(at);
            r.final_code = status;
            r.final_reason = reason;
        }
        // A refusal or a BYE before this INVITE has ended the call already.
        let over_at = self.over_at.unwrap_or(context.at);
        self.set_state(state, self.record.ended_at.unwrap_or(over_at), over_at);
        self.sides_known = true;
        self.confirmed = true;
        if self.callee_tags.contains(&context.from_tag) {
            self.timing.swap_sides();
            self.note_round_trips();
        }
        self.caller_tags = vec![context.from_tag];
        self.callee_tags.retain(|t| *t != context.from_tag);
    }

    fn reinvite(&mut self, context: &MessageContext<'_, '_>, limits: &Limits) {
        self.in_dialog = true;
        self.learn_dialog_tags(context, limits);
        let answered = matches!(self.record.state, CallState::Established | CallState::MidCall);
        let which = (self.side_of(context), context.cseq.unwrap_or_default(), context.method == Method::Update);
        if answered
            && !self.reinvites.contains(&which)
            && push_within(&mut self.reinvites, limits.messages_per_call, which)
        {
            self.record.reinvites += 1;
        }
    }

    fn ack(&mut self, context: &MessageContext<'_, '_>) {
        let Some(cseq) = context.cseq else { return };
        // The ACK of a refusal has the branch of its INVITE, that of a 2xx its own (RFC 3261 section 17.1.1.3).
        if self.attempts.iter().any(|a| a.hops.iter().any(|h| h.failed && h.branch == context.branch)) {
            return;
        }
        if !self.acks.contains(&cseq) && self.acks.len() < ATTEMPTS_MAX {
            self.acks.push(cseq);
        }
        let of_answer = self.answered_cseq == Some(cseq) && self.record.state == CallState::Established;
        self.record.acked |= of_answer || self.record.state == CallState::MidCall;
    }

    fn cancel(&mut self, context: &MessageContext<'_, '_>) {
        let waiting = matches!(self.record.state, CallState::Trying | CallState::Proceeding);
        // A proxy cancels the branches of a fork that lost; only the caller's own CANCEL gives up the call.
        let own = self.attempts.last().is_none_or(|a| match a.hops.iter().find(|h| h.branch == context.branch) {
            Some(hop) => hop.vias == a.nearest(),
            None => context.vias <= a.nearest(),
        });
        if waiting && own && self.cancel_at.is_none() {
            self.cancel_at = Some(context.at);
            self.note_release_reason(context);
        }
    }

    fn bye(&mut self, context: &MessageContext<'_, '_>) {
        self.in_dialog = true;
        let side = self.side_of(context);
        let tag = if side == Side::Caller { context.to_tag } else { context.from_tag };
        // Of a fork answered twice, the caller keeps one branch and ends the other (RFC 3261 section 13.2.2.4).
        self.answered_tags.retain(|t| *t != tag);
        if !self.answered_tags.is_empty() && self.callee_tags.contains(&tag) {
            return;
        }
        if self.over_at.is_some() {
            return;
        }
        if self.record.state == CallState::MidCall {
            self.end(context.at, context.at);
        } else if !self.change(Step::Bye, context.at, context.at) {
            return;
        }
        self.record.released_by = self.sides_known.then_some(match side {
            Side::Caller => ReleasedBy::Caller,
            Side::Callee => ReleasedBy::Callee,
        });
        self.note_release_reason(context);
    }

    /// A BYE was taken. It released a dialog, also one whose INVITE was not seen: a scanner's BYE would be refused (481).
    fn bye_taken(&mut self, at: Timestamp) {
        self.record.bye_answered_at.get_or_insert(at);
        if let (CallState::MidCall, Some(over_at)) = (self.record.state, self.over_at) {
            self.change(Step::Bye, over_at, over_at);
        }
    }

    fn invite_answer(&mut self, context: &MessageContext<'_, '_>, status: u16, limits: &Limits) {
        if self.record.state == CallState::MidCall {
            return self.mid_call_answer(context, status);
        }
        let from_caller = self.side_of(context) == Side::Caller;
        if !from_caller || !self.attempts.iter().any(|a| a.cseq == context.cseq) {
            return;
        }
        match status {
            ..=100 => {}
            101..=199 => {
                self.note_branch(context.to_tag, limits);
                self.branch_failure = None;
                self.progress_at = self.progress_at.max(context.at);
                if self.record.answered_at.is_none() && self.record.ringing_at.is_none() && self.over_at.is_none() {
                    self.record.ringing_at = Some(self.not_before_invite(context.at));
                }
                self.change(Step::Provisional, context.at, context.at);
            }
            200..=299 => {
                self.note_branch(context.to_tag, limits);
                if context.to_tag != 0
                    && !self.answered_tags.contains(&context.to_tag)
                    && self.answered_tags.len() < limits.branches_per_call
                    && matches!(self.record.state, CallState::Trying | CallState::Proceeding | CallState::Established)
                {
                    self.answered_tags.push(context.to_tag);
                }
                if self.change(Step::Success, context.at, context.at) {
                    self.record.answered_at = Some(self.not_before_invite(context.at));
                    self.answered_cseq = context.cseq;
                    self.record.acked = context.cseq.is_some_and(|c| self.acks.contains(&c));
                    self.note_final(context, status);
                }
            }
            300.. => self.failure(context, status),
        }
    }

    fn failure(&mut self, context: &MessageContext<'_, '_>, status: u16) {
        let newest = self.attempts.iter().map(|a| a.cseq).max().flatten();
        let Some(attempt) = self.attempts.iter_mut().find(|a| a.cseq == context.cseq) else { return };
        let late = context.cseq < newest;
        if !attempt.fails(context) {
            if !late && matches!(self.record.state, CallState::Trying | CallState::Proceeding) {
                let reason = reason_text(context, &self.privacy);
                self.branch_failure = Some((context.at, status, reason));
            }
            return;
        }
        let first = attempt.answer.replace(status).is_none();
        if late {
            // The retry was captured before the challenge it answers.
            self.record.auth_rounds += u32::from(first && is_challenge(status));
            return;
        }
        let cancel_at = self.cancel_at;
        let ended_at = if status == 487 { cancel_at.unwrap_or(context.at) } else { context.at };
        if self.change(Step::Failure(status), ended_at, context.at) {
            self.note_final(context, status);
            if status == 487 {
                self.record.released_by = Some(ReleasedBy::Caller);
            }
        }
    }

    /// An answer to an INVITE that was not seen. Ringing shows that it was the first INVITE of the call.
    fn mid_call_answer(&mut self, context: &MessageContext<'_, '_>, status: u16) {
        match status {
            ..=100 => {}
            101..=199 => {
                self.sides_known = true;
                self.record.ringing_at = self.record.ringing_at.or(Some(context.at));
            }
            200..=299 => {
                self.answered_cseq = context.cseq;
                self.early_success = Some((context.at, status, reason_text(context, &self.privacy)));
                if self.record.ringing_at.is_some() && self.record.answered_at.is_none() {
                    self.record.answered_at = Some(context.at);
                }
                // An answer to a re-INVITE is not the one that ended the setup.
                if !self.in_dialog && self.record.final_code == 0 {
                    self.note_final(context, status);
                }
                self.in_dialog = true;
            }
            300.. if !self.in_dialog && self.over_at.is_none() => {
                self.answered_cseq = context.cseq;
                self.note_final(context, status);
                self.end(context.at, context.at);
            }
            300.. => {}
        }
    }

    /// Times of different capture queues may disagree a little; an answer is never older than its question.
    fn not_before_invite(&self, at: Timestamp) -> Timestamp {
        self.record.invite_at.map_or(at, |invite| at.max(invite))
    }

    fn note_round_trips(&mut self) {
        self.record.sip_rtt_toward_caller = self.timing.toward(Side::Caller);
        self.record.sip_rtt_toward_callee = self.timing.toward(Side::Callee);
    }

    fn note_final(&mut self, context: &MessageContext<'_, '_>, status: u16) {
        self.record.final_code = status;
        self.record.final_reason = reason_text(context, &self.privacy);
    }

    fn note_branch(&mut self, to_tag: u64, limits: &Limits) {
        if to_tag == 0 {
            return;
        }
        if !self.callee_tags.contains(&to_tag) && self.callee_tags.len() < limits.branches_per_call {
            self.callee_tags.push(to_tag);
            self.record.branches += 1;
        }
    }

    fn learn_dialog_tags(&mut self, context: &MessageContext<'_, '_>, limits: &Limits) {
        let known = |tag: u64| self.caller_tags.contains(&tag) || self.callee_tags.contains(&tag);
        let new = context.from_tag != 0 && !known(context.from_tag) && self.caller_tags.contains(&context.to_tag);
        if new && self.callee_tags.len() < limits.branches_per_call {
            self.callee_tags.push(context.from_tag);
        }
    }

    fn note_release_reason(&mut self, context: &MessageContext<'_, '_>) {
        if let Some(reason) = context.message.reason_header() {
            self.record.release_reason = reason_value(reason, FIELD_MAX, &self.privacy);
        }
    }

    fn note_agent(&mut self, context: &MessageContext<'_, '_>) {
        let m = context.message;
        let speaker = match (context.request, context.status) {
            (true, _) => self.side_of(context),
            // 100 comes from the next hop, which is rarely the callee.
            (false, Some(101..)) => self.side_of(context).other(),
            _ => return,
        };
        let agent = if context.request { m.user_agent() } else { m.user_agent().or(m.server()) };
        let party = match speaker {
            Side::Caller => &mut self.record.caller,
            Side::Callee => &mut self.record.callee,
        };
        if let Some(agent) = agent.filter(|_| party.user_agent.is_empty()) {
            party.user_agent = product_text(agent, FIELD_MAX, &self.privacy);
        }
    }

    /// The side that sent the request, or whose request is answered.
    fn side_of(&self, context: &MessageContext<'_, '_>) -> Side {
        let is = |tags: &[u64], tag: u64| tag != 0 && tags.contains(&tag);
        if is(&self.caller_tags, context.from_tag) || is(&self.callee_tags, context.to_tag) {
            return Side::Caller;
        }
        if is(&self.callee_tags, context.from_tag) || is(&self.caller_tags, context.to_tag) {
            return Side::Callee;
        }
        // RFC 2543 endpoints send no tags: the URI decides.
        let from = party(context.message.from(), &self.privacy);
        let callee = from.uri == self.record.callee.uri && from.uri != self.record.caller.uri;
        if callee { Side::Callee } else { Side::Caller }
    }
}

/// Adds to a list that holds `limit` at most, and takes no more memory than for that. Says whether there was a place.
fn push_within<T>(list: &mut Vec<T>, limit: usize, item: T) -> bool {
    if list.len() >= limit {
        return false;
    }
    if list.len() == list.capacity() {
        let grown = (2 * list.capacity()).max(4).min(limit);
        list.reserve_exact(grown - list.len());
    }
    list.push(item);
    true
}

fn reason_text(context: &MessageContext<'_, '_>, privacy: &Privacy) -> String {
    match context.message.start() {
        StartLine::Response { reason, .. } => phrase_text(reason, FIELD_MAX, privacy),
        StartLine::Request { .. } => String::new(),
    }
}

fn party(address: Option<NameAddr<'_>>, privacy: &Privacy) -> Party {
    let Some(address) = address else { return Party::default() };
    let PartyText { display, uri, user } = party_text(&address, FIELD_MAX, privacy);
    Party { uri, user, display_name: display, user_agent: String::new() }
}

fn with_agent(party: Party, other: &Party) -> Party {
    Party { user_agent: other.user_agent.clone(), ..party }
}
