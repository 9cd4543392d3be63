//! Round trips of SIP transactions between the probe and the side that answers: a second witness of delay, beside RTCP.
//!
//! A request passes the probe, its answer comes back: the time between is the path to the answering element and back,
//! and what that element took to answer. It is never less than the network's part, so the least of a call says most.
//!
//! Only answers that wait for nobody count: 100 to an INVITE (never 180 or 200: a person, or a phone that rings), and the
//! first answer of any kind to BYE, CANCEL, INFO (RFC 6086), NOTIFY (RFC 6665 section 4.1.3), OPTIONS, PRACK (RFC 3262) and
//! UPDATE (RFC 3311 section 5.2), which are to be answered at once. REFER and methods not named here may ask somebody.
//! ACK has no answer.

use super::Side;
use super::call::Occurrence;
use super::message_context::{MessageContext, Method};
use super::state_machine::SIXTY_FOUR_T1;
use crate::model::{RoundTrips, Transport};
use crate::units::{Nanos, Timestamp};

/// Requests of one call that wait for their answer. A phone has one or two at a time (RFC 3261 sections 14.1, 17.1), and the
/// hops of a few proxies multiply them; beyond that the oldest gives way, which is most likely never to be answered.
const OPEN_MAX: usize = 16;

/// The round trips of one call, each half by itself.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// Oldest first.
    open: Vec<Asked>,
    /// Towards the caller, towards the callee.
    halves: [Half; 2],
}

/// A request whose answer has not come yet.
#[derive(Debug)]
struct Asked {
    transaction: u64,
    at: Timestamp,
    toward: Side,
    vias: u16,
    /// Sent again before an answer came: whatever comes now may answer either (Karn's rule).
    again: bool,
}

/// Of the hops seen, only the one nearest to the answering side counts: there the request has collected the most Via entries.
/// A proxy beside the probe answers 100 within microseconds and would otherwise be the minimum of every call. CANCEL has one
/// entry on every hop (RFC 3261 section 9.1) and gives way to the INVITE there.
#[derive(Debug, Default)]
struct Half {
    vias: u16,
    trips: Option<RoundTrips>,
}

impl Timing {
    /// Takes in a message of the call. `asker`: the side that sent the request, or whose request is answered.
    pub fn take(&mut self, context: &MessageContext<'_, '_>, sight: Occurrence, asker: Side) {
        if context.cseq.is_none() || !automatic(context) {
            return;
        }
        let transaction = context.transaction();
        let place = self.open.iter().position(|asked| asked.transaction == transaction);
        match (context.request, place.and_then(|i| self.open.get_mut(i))) {
            (true, Some(asked)) => asked.again |= sight != Occurrence::Copy,
            (true, None) if sight == Occurrence::New && !late_stamp(context) => {
                if self.open.len() >= OPEN_MAX {
                    self.open.remove(0);
                }
                let asked =
                    Asked { transaction, at: context.at, toward: asker.other(), vias: context.vias, again: false };
                self.open.push(asked);
            }
            (true, None) => {}
            (false, _) => {
                // Only the first answer says anything, and it may say nothing.
                if let Some(asked) = place.map(|i| self.open.remove(i)) {
                    self.answered(&asked, context, sight);
                }
            }
        }
    }

    /// Who was taken for the caller is the callee.
    pub fn swap_sides(&mut self) {
        self.halves.swap(0, 1);
        for asked in &mut self.open {
            asked.toward = asked.toward.other();
        }
    }

    pub fn toward(&self, side: Side) -> Option<RoundTrips> {
        let [caller, callee] = &self.halves;
        match side {
            Side::Caller => caller.trips,
            Side::Callee => callee.trips,
        }
    }

    fn answered(&mut self, asked: &Asked, context: &MessageContext<'_, '_>, sight: Occurrence) {
        let took = context.at - asked.at;
        // An answer seen before is one to a request that was captured late, or only once of twice.
        let first = sight == Occurrence::New && !asked.again;
        // Timer F has ended the transaction by then (RFC 3261 section 17.1.2.2); negative where the capture's clock went back.
        let possible = (Nanos::ZERO..=SIXTY_FOUR_T1).contains(&took);
        if !first || !possible || late_stamp(context) || !at_once(context) {
            return;
        }
        let [caller, callee] = &mut self.halves;
        let half = if asked.toward == Side::Caller { caller } else { callee };
        if half.trips.is_none() || asked.vias > half.vias {
            *half = Half { vias: asked.vias, trips: Some(RoundTrips::of(took)) };
        } else if asked.vias == half.vias {
            half.trips = half.trips.map(|trips| trips.and(took));
        }
    }
}

/// Whether the method is one whose answer waits for nobody.
fn automatic(context: &MessageContext<'_, '_>) -> bool {
    match context.method {
        Method::Invite | Method::Bye | Method::Cancel | Method::Prack | Method::Update => true,
        Method::Ack => false,
        Method::Other => matches!(context.message.method(), b"INFO" | b"NOTIFY" | b"OPTIONS"),
    }
}

/// Whether this answer waited for nobody.
fn at_once(context: &MessageContext<'_, '_>) -> bool {
    match (context.method, context.status) {
        (Method::Invite, status) => status == Some(100),
        // 408 is what a proxy says when its own timer ran out.
        (_, status) => status.is_some_and(|s| s != 408),
    }
}

/// A message in TCP has the time of the segment that completes it. One cut short by a hole has the time the hole was given up.
fn late_stamp(context: &MessageContext<'_, '_>) -> bool {
    context.cut_short && context.transport == Transport::Tcp
}
