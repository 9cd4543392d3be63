//! Voice quality reports that endpoints send by PUBLISH or NOTIFY (RFC 6035).

use super::message_context::MessageContext;
use super::{CapturedVqReport, SignalCounters, SignalEvent};
use crate::privacy::Privacy;
use crate::units::{Nanos, Timestamp};
use crate::wire::vqreport;
use std::collections::VecDeque;

/// A request is sent again for up to 64 T1 (RFC 3261 section 17.1.2.2).
const SENT_AGAIN: Nanos = Nanos::from_secs(32);
/// Requests remembered to know them again; each endpoint sends one per call or interval.
const REMEMBERED: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Reports {
    seen: VecDeque<(u64, Timestamp)>,
}

impl Reports {
    /// States the report a request carries, once however often it is sent or captured.
    pub fn take(
        &mut self,
        context: &MessageContext<'_, '_>,
        privacy: &Privacy,
        counters: &mut SignalCounters,
        out: &mut Vec<SignalEvent>,
    ) {
        if !context.request || !matches!(context.message.method(), b"PUBLISH" | b"NOTIFY") {
            return;
        }
        let Some(body) = context.message.vq_report() else { return };
        let identity = context.identity();
        if self.seen.iter().any(|(id, at)| *id == identity && (context.at - *at).abs() < SENT_AGAIN) {
            counters.vq_copies += 1;
            return;
        }
        if self.seen.len() >= REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back((identity, context.at));
        let Ok(mut report) = vqreport::parse(body.bytes) else {
            counters.vq_malformed += 1;
            return;
        };
        counters.vq_reports += 1;
        // Telephone numbers; the call knows its parties.
        for party in [&mut report.local_id, &mut report.remote_id, &mut report.orig_id] {
            party.clear();
        }
        report.hide(privacy);
        let captured = CapturedVqReport { at: context.at, src: context.src, dst: context.dst, report };
        out.push(SignalEvent::VqReport(Box::new(captured)));
    }
}
