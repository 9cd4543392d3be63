//! ICMP errors about INVITEs: for a caller's program a transport error is an answer (RFC 3261 sections 8.1.3.1 and 18.4).

use super::call::Call;
use super::message_context::{MessageContext, call_key};
use super::{RANK_UNANSWERED, Signal, SignalEvent};
use crate::model::{CallUid, Transport, UndeliveredRequest};
use crate::units::{Nanos, Timestamp};
use crate::wire::{IcmpError, sip};

/// An error comes within a round trip of its INVITE.
const ANSWERED_WITHIN: Nanos = Nanos::from_secs(5);
/// Unanswered calls that an error without text is compared with, the latest.
const COMPARED: usize = 64;

impl Signal {
    /// Takes an ICMP error about a datagram that may have been an INVITE. The text quoted in it names the call; where too
    /// little is quoted, it is the latest unanswered call from that address to that one.
    pub fn undelivered(&mut self, at: Timestamp, error: &IcmpError<'_>, out: &mut Vec<SignalEvent>) {
        let uid = match sip::parse_within(error.payload, self.limits.header_bytes) {
            Ok(message) => {
                let context = MessageContext::new(at, (error.src, error.dst), Transport::Udp, true, &message);
                self.by_call_id.get(&call_key(message.call_id())).copied().filter(|_| context.opens_dialog())
            }
            Err(sip::SipError::Empty | sip::SipError::Incomplete) => self.latest_unanswered(at, error),
            Err(_) => None,
        };
        let Some(call) = uid.and_then(|uid| self.calls.get_mut(&uid)) else { return };
        if call.over_at.is_none() && !call.responded && call.record.undelivered.is_none() {
            call.record.undelivered = Some(UndeliveredRequest { why: error.why, by: error.from });
            out.push(SignalEvent::Changed(call.record.uid));
        }
    }

    fn latest_unanswered(&self, at: Timestamp, error: &IcmpError<'_>) -> Option<CallUid> {
        let (first, last) =
            ((RANK_UNANSWERED, Timestamp::MIN, CallUid(0)), (RANK_UNANSWERED, Timestamp::MAX, CallUid(u64::MAX)));
        let latest = self.evictable.range(first..=last).rev().take(COMPARED);
        let calls = latest.filter_map(|(.., uid)| self.calls.get(uid).map(|call| &**call));
        let sent = |call: &&Call| {
            (call.record.signalling_src, call.record.signalling_dst) == (Some(error.src), Some(error.dst))
                && at - call.record.last_at <= ANSWERED_WITHIN
        };
        calls.filter(sent).map(|call| call.record.uid).next()
    }
}
