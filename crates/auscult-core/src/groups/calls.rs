//! Sums over calls.

use super::start_of;
use crate::model::{CallFigures, CallRecord, CallState, CallUid, GroupTrunk, SHORT_CALL};
use crate::units::{Nanos, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Intervals without any event over which calls are still counted as up. What lies behind a longer silence is not known.
const SILENT_INTERVALS: i64 = 360;

/// How late an answer or an end may be reported for the time up to be corrected in intervals that were counted.
const CORRECTED: Nanos = Nanos::from_secs(60);

pub(super) type Key = (Timestamp, GroupTrunk);

#[derive(Debug)]
pub(super) struct Calls {
    interval: Nanos,
    open: BTreeMap<Key, CallFigures>,
    /// Calls whose answer was counted, and which are not closed.
    answered: HashMap<CallUid, Answered>,
    /// Calls that are up, by trunk.
    up: BTreeMap<GroupTrunk, u32>,
    /// Start of the interval to which all time up before is counted; `None` before the first event.
    counted_until: Option<Timestamp>,
}

#[derive(Debug)]
struct Answered {
    trunk: GroupTrunk,
    up: bool,
}

impl Calls {
    pub fn new(interval: Nanos) -> Calls {
        Calls { interval, open: BTreeMap::new(), answered: HashMap::new(), up: BTreeMap::new(), counted_until: None }
    }

    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// A call changed: its answer counts at once, and so does its end for the calls that are up.
    pub fn changed(&mut self, call: &CallRecord, trunk: GroupTrunk) {
        if call.is_attempt() && call.answered_at.is_some() && !self.answered.contains_key(&call.uid) {
            self.attempt(call, &trunk);
            self.begins(call, &trunk);
            let up = !call.state.is_over();
            if !up {
                self.ends(call, &trunk);
            }
            self.answered.insert(call.uid, Answered { trunk, up });
        } else if call.state.is_over()
            && let Some(answered) = self.answered.get_mut(&call.uid)
            && std::mem::take(&mut answered.up)
        {
            let trunk = answered.trunk.clone();
            self.ends(call, &trunk);
        }
    }

    /// A call is closed: counts what is known only at its end.
    pub fn ended(&mut self, call: &CallRecord, trunk: GroupTrunk) {
        let trunk = match self.answered.remove(&call.uid) {
            Some(answered) => {
                if answered.up {
                    self.ends(call, &answered.trunk);
                }
                answered.trunk
            }
            None => {
                if call.is_attempt() {
                    self.attempt(call, &trunk);
                    if call.answered_at.is_some() {
                        self.begins(call, &trunk);
                        self.ends(call, &trunk);
                    }
                }
                trunk
            }
        };
        let figures = self.figures(end_of(call), &trunk);
        figures.ended += 1;
        *figures.classes.entry(call.class().name()).or_default() += 1;
        let codes: BTreeSet<&'static str> = call.diagnoses.iter().map(|d| d.code.name()).collect();
        for code in codes {
            *figures.diagnoses.entry(code).or_default() += 1;
        }
        figures.completed += u64::from(call.state == CallState::Completed);
        figures.short += u64::from(call.duration().is_some_and(|duration| duration < SHORT_CALL));
        figures.duration.record(call.duration());
        figures.sdd.record(call.sdd());
    }

    /// Counts the time up in all intervals that end at `until` or before.
    pub fn up_until(&mut self, until: Timestamp) {
        let until = start_of(until, self.interval);
        let Some(from) = self.counted_until else { return };
        if until <= from {
            return;
        }
        self.counted_until = Some(until);
        let last = until.min(Timestamp(from.0 + SILENT_INTERVALS * self.interval.0));
        let up: Vec<(GroupTrunk, u32)> = self.up.iter().map(|(trunk, up)| (trunk.clone(), *up)).collect();
        let mut start = from;
        while start < last && !up.is_empty() {
            for (trunk, up) in &up {
                let length = self.interval;
                let figures = self.figures(start, trunk);
                figures.up_ms += millis(length) * i64::from(*up);
                figures.up_max = figures.up_max.max(*up);
            }
            start = start + self.interval;
        }
    }

    /// Hands out the sums of intervals that begin before `until`, in the order of their keys.
    pub fn take(&mut self, until: Timestamp, out: &mut dyn FnMut(Key, CallFigures)) {
        while let Some(first) = self.open.first_entry().filter(|first| first.key().0 < until) {
            let (key, figures) = first.remove_entry();
            out(key, figures);
        }
    }

    fn figures(&mut self, at: Timestamp, trunk: &GroupTrunk) -> &mut CallFigures {
        self.open.entry((start_of(at, self.interval), trunk.clone())).or_default()
    }

    /// Counts an attempt in the interval of its final response.
    fn attempt(&mut self, call: &CallRecord, trunk: &GroupTrunk) {
        let figures = self.figures(call.answered_at.unwrap_or(end_of(call)), trunk);
        let answered = call.answered_at.is_some();
        figures.attempts += 1;
        figures.answers += u64::from(answered);
        *figures.final_codes.entry(call.final_code).or_default() += 1;
        figures.cancelled += u64::from(call.state == CallState::Cancelled && !answered);
        figures.setup_timeouts += u64::from(call.state == CallState::SetupTimeout && !answered);
        figures.pdd.record(call.pdd());
        figures.setup.record(call.setup());
        figures.srd_failed.record(call.failure());
    }

    /// The call is up from its answer on.
    fn begins(&mut self, call: &CallRecord, trunk: &GroupTrunk) {
        let Some(at) = call.answered_at else { return };
        self.counted_until.get_or_insert(start_of(at, self.interval));
        self.up_until(at);
        self.correct(at, trunk, -1);
        let up = self.up.entry(trunk.clone()).or_default();
        *up += 1;
        let up = *up;
        let figures = self.figures(at, trunk);
        figures.up_max = figures.up_max.max(up);
    }

    /// The call is no longer up. An end that is known more than [`CORRECTED`] late counts from then on.
    fn ends(&mut self, call: &CallRecord, trunk: &GroupTrunk) {
        let at = end_of(call);
        self.up_until(at);
        let told = self.counted_until.unwrap_or(at);
        self.correct(if told - at > CORRECTED { told } else { at }, trunk, 1);
        if let Some(up) = self.up.get_mut(trunk) {
            *up = up.saturating_sub(1);
            if *up == 0 {
                self.up.remove(trunk);
            }
        }
    }

    /// Calls that are up count in whole intervals. One that begins or ends at `at` is taken from there on: from the
    /// part of its interval before `at`, which is still to be counted, and from intervals since, which were counted.
    fn correct(&mut self, at: Timestamp, trunk: &GroupTrunk, sign: i64) {
        let start = start_of(at, self.interval);
        let told = self.counted_until.unwrap_or(start);
        if told <= at {
            self.figures(at, trunk).up_ms += sign * millis(at - start);
            return;
        }
        let mut from = at.max(Timestamp(told.0 - SILENT_INTERVALS * self.interval.0));
        while from < told {
            let until = start_of(from, self.interval) + self.interval;
            self.figures(from, trunk).up_ms -= sign * millis(until - from);
            from = until;
        }
    }
}

/// When a call ended; where that is not known its last packet.
fn end_of(call: &CallRecord) -> Timestamp {
    call.ended_at.unwrap_or(call.last_at)
}

/// Whole milliseconds; the sum over adjacent spans does not depend on where they are cut, as long as the cuts are whole too.
fn millis(span: Nanos) -> i64 {
    span.0 / 1_000_000
}
