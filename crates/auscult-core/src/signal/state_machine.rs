//! States of an INVITE session and what moves it from one to the next, and the timers that end it.

use crate::model::{CallState, Limits, Policy};
use crate::units::{Nanos, Timestamp};

/// What happened to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A provisional answer above 100.
    Provisional,
    /// A 2xx to the initial INVITE.
    Success,
    /// A final answer of 300 or above that ends the attempt.
    Failure(u16),
    /// The same caller tries again after an answer that asks for it.
    Retry,
    Bye,
    Expired(Timer),
    /// The measuring ended while the call was up.
    Cut,
}

/// The state after `step`; `None` where it changes nothing.
pub(super) fn next(state: CallState, step: Step) -> Option<CallState> {
    use CallState::{Cancelled, Completed, Established, Failed, Proceeding, SetupTimeout, Trying, Unfinished};
    match (state, step) {
        (Trying, Step::Provisional) => Some(Proceeding),
        (Trying | Proceeding, Step::Success) => Some(Established),
        // A 2xx that crossed a CANCEL, or came from another branch of a fork, wins (RFC 3261 sections 9.1, 13.2.2.4).
        (Failed | Cancelled, Step::Success) => Some(Established),
        (Trying | Proceeding, Step::Failure(487)) => Some(Cancelled),
        (Trying | Proceeding, Step::Failure(_)) => Some(Failed),
        (Failed, Step::Retry) => Some(Trying),
        (Trying | Proceeding | Established | CallState::MidCall, Step::Bye) => Some(Completed),
        (Trying | Proceeding, Step::Expired(Timer::Cancel)) => Some(Cancelled),
        (Trying | Proceeding, Step::Expired(Timer::Fork)) => Some(Failed),
        (Trying | Proceeding, Step::Expired(_)) => Some(SetupTimeout),
        (Established, Step::Expired(_)) => Some(Unfinished),
        (Trying | Proceeding | Established, Step::Cut) => Some(Unfinished),
        _ => None,
    }
}

/// Answers after which the same caller is expected to try again under the same Call-ID, and the attempts are
/// one (RFC 3261 sections 8.1.3.4, 8.1.3.5, 14.1, 22; RFC 4028 section 7.4).
pub(super) fn asks_for_retry(status: u16) -> bool {
    matches!(status, 300..=399 | 401 | 407 | 413 | 415 | 416 | 420 | 421 | 422 | 491 | 494)
}

/// A challenge: the same INVITE is expected again with credentials (RFC 3261 section 22).
pub(super) fn is_challenge(status: u16) -> bool {
    matches!(status, 401 | 407)
}

/// What ends a call that nothing else ends. One of them runs per call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// No final answer to the INVITE: `setup_timeout` after the last INVITE or provisional answer.
    Setup,
    /// Nothing at all came back: 64*T1 after the INVITE (timer B, RFC 3261 section 17.1.1.2), over any transport.
    Unanswered,
    /// CANCEL without a final answer: 64*T1 after it (RFC 3261 section 9.1).
    Cancel,
    /// A branch behind a proxy failed and the caller got no response: 64*T1 after that.
    Fork,
    /// An answered call without any sign of life: `call_timeout` after the last one.
    Call,
    /// Held back after the end for late media and messages: `linger` after the last message. After a challenge, for the INVITE
    /// with credentials: [`Limits::challenge_hold`].
    Linger,
    /// One single message of an unknown call: `setup_timeout`, then it is forgotten.
    Orphan,
}

/// Timer B, F and H of RFC 3261 section 17: 64 * T1, T1 = 500 ms.
pub(super) const SIXTY_FOUR_T1: Nanos = Nanos::from_secs(32);

/// What the running timer is computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub state: CallState,
    /// The last final answer asked for credentials.
    pub challenged: bool,
    pub confirmed: bool,
    /// Any answer or media was seen.
    pub responded: bool,
    pub over_at: Option<Timestamp>,
    pub first_at: Timestamp,
    pub last_message_at: Timestamp,
    pub last_at: Timestamp,
    pub progress_at: Timestamp,
    pub cancel_at: Option<Timestamp>,
    pub branch_failed_at: Option<Timestamp>,
}

/// The timer that runs, and when it fires.
pub(super) fn next_timer(policy: &Policy, limits: &Limits, c: Clock) -> (Timer, Timestamp) {
    if let Some(over_at) = c.over_at {
        // Retransmissions of BYE and of final answers go on for 64*T1 and belong to this call, not to a new one.
        let longest = over_at + SIXTY_FOUR_T1 + policy.linger;
        let usual = (c.last_message_at.max(over_at) + policy.linger).min(longest);
        let retry = if c.challenged { over_at + limits.challenge_hold } else { usual };
        return (Timer::Linger, usual.max(retry));
    }
    if !c.confirmed {
        return (Timer::Orphan, c.first_at + policy.setup_timeout);
    }
    match c.state {
        CallState::Trying | CallState::Proceeding => match (c.cancel_at, c.branch_failed_at) {
            (Some(at), _) => (Timer::Cancel, at + SIXTY_FOUR_T1),
            (None, Some(at)) => (Timer::Fork, at + SIXTY_FOUR_T1),
            (None, None) if !c.responded => (Timer::Unanswered, c.progress_at + SIXTY_FOUR_T1),
            (None, None) => (Timer::Setup, c.progress_at + policy.setup_timeout),
        },
        _ => (Timer::Call, c.last_at + policy.call_timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn table_of_transitions() {
        use CallState::*;
        let steps = [
            Step::Provisional,
            Step::Success,
            Step::Failure(486),
            Step::Failure(487),
            Step::Retry,
            Step::Bye,
            Step::Expired(Timer::Setup),
            Step::Expired(Timer::Cancel),
            Step::Expired(Timer::Call),
            Step::Cut,
        ];
        let mut table = String::new();
        for state in [Trying, Proceeding, Established, Completed, Cancelled, Failed, SetupTimeout, Unfinished, MidCall]
        {
            let row: Vec<_> = steps.iter().map(|s| next(state, *s).map_or("-", CallState::name)).collect();
            writeln!(table, "{}: {}", state.name(), row.join(" ")).expect("text");
        }
        assert_eq!(
            table,
            "trying: proceeding established failed cancelled - completed setup_timeout cancelled setup_timeout unfinished\n\
             proceeding: - established failed cancelled - completed setup_timeout cancelled setup_timeout unfinished\n\
             established: - - - - - completed unfinished unfinished unfinished unfinished\n\
             completed: - - - - - - - - - -\n\
             cancelled: - established - - - - - - - -\n\
             failed: - established - - trying - - - - -\n\
             setup_timeout: - - - - - - - - - -\n\
             unfinished: - - - - - - - - - -\n\
             mid_call: - - - - - completed - - - -\n"
        );
    }
}
