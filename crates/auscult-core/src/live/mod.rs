//! What is going on right now: current calls and streams and running totals, folded from the engine's events.
//!
//! Pure: no clock (the time shown is that of the newest event), no I/O. Memory is bounded by [`Limits`] and
//! by fixed caps on every label.

mod totals;
mod trunks;

pub use totals::{DelayTotals, Totals};
pub use trunks::{SpanTotals, TrunkLabel, TrunkMinute, TrunkSince, TrunkTotals};

use crate::groups::Group;
use crate::model::{
    CallClass, CallRecord, CallState, CallUid, CaptureCondition, Event, Limits, RunningCall, RunningStream, StreamId,
};
use crate::units::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A call that changed visibly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveCall {
    pub uid: CallUid,
    pub call_id: Arc<str>,
    /// Configured name of its trunk, empty if none.
    pub trunk: Arc<str>,
    pub state: CallState,
    /// First code of the verdict so far.
    pub diagnosis: Option<&'static str>,
    /// As far as it is known.
    pub class: CallClass,
    /// The row is on its way to the store and will not change any more.
    pub ended: bool,
}

/// The counts of one moment. Calls that are over and wait for late media are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Time of the newest event, `None` before the first.
    pub at: Option<Timestamp>,
    pub calls: u64,
    pub streams: u64,
    /// Over the last capture interval of each interface, added up; `None` before the first.
    pub frames_per_s: Option<f64>,
    /// Frames the probe missed since the start.
    pub capture_drops: u64,
    /// Current calls whose class is poor or failed.
    pub calls_bad: u64,
    /// Of the last interval.
    pub condition: CaptureCondition,
}

/// The fold. One per process, behind one lock: events that reach it are per call and interval, not per packet.
#[derive(Clone, Debug)]
pub struct LiveView {
    at: Option<Timestamp>,
    /// Calls that are up.
    calls: BTreeMap<CallUid, (Arc<CallRecord>, Arc<str>)>,
    streams: HashMap<StreamId, RunningStream>,
    bad: BTreeSet<CallUid>,
    /// Calls that are up, and bad ones of them, by trunk.
    by_trunk: BTreeMap<Arc<str>, (u64, u64)>,
    /// Names of trunks that calls share.
    trunks: BTreeSet<Arc<str>>,
    frame_rates: BTreeMap<String, f64>,
    /// Of the newest interval, and when it began.
    condition: (Timestamp, CaptureCondition),
    totals: Totals,
    of_trunks: TrunkTotals,
    max_calls: usize,
    max_streams: usize,
}

/// Interfaces whose rate is remembered; a probe has a few.
const MAX_INTERFACES: usize = 64;
/// Trunk names that are shared; they are the operator's.
const MAX_TRUNKS: usize = 1024;

impl LiveView {
    /// As many calls and streams as the engine itself holds.
    pub fn new(limits: &Limits) -> LiveView {
        LiveView {
            at: None,
            calls: BTreeMap::new(),
            streams: HashMap::new(),
            bad: BTreeSet::new(),
            by_trunk: BTreeMap::new(),
            trunks: BTreeSet::new(),
            frame_rates: BTreeMap::new(),
            condition: Default::default(),
            totals: Totals::default(),
            of_trunks: TrunkTotals::default(),
            max_calls: limits.calls,
            max_streams: limits.streams,
        }
    }

    /// Takes one event in; says which call changed visibly. `trunk` is the configured name the event belongs to, empty if none.
    pub fn apply(&mut self, event: &Event, trunk: &str) -> Option<LiveCall> {
        self.totals.apply(event, trunk);
        match event {
            Event::CallChanged(call) => {
                self.see(call.last_at);
                self.change(call, trunk)
            }
            Event::CallEnded(call) => {
                self.see(call.last_at);
                let trunk = self.forget(call.uid).unwrap_or_else(|| self.shared_name(trunk));
                Some(LiveCall { ended: true, ..LiveCall::of(call, trunk) })
            }
            Event::StreamStarted(stream) => {
                self.see(stream.last_at);
                if self.streams.len() < self.max_streams {
                    let (src, dst, codec) = (stream.src, stream.dst, stream.codec.clone());
                    self.streams.insert(stream.id, RunningStream { src, dst, codec });
                } else {
                    self.totals.not_shown += 1;
                }
                None
            }
            Event::StreamEnded(stream) => {
                self.see(stream.last_at);
                self.streams.remove(&stream.id);
                None
            }
            Event::Interval(interval) => {
                self.see(interval.start + interval.length);
                if let Some(stream) = self.streams.get_mut(&interval.stream)
                    && stream.codec != interval.codec
                {
                    stream.codec = interval.codec.clone();
                }
                None
            }
            Event::SipMessage(message) => {
                self.see(message.at);
                None
            }
            Event::Rtcp(report) => {
                self.see(report.at);
                None
            }
            Event::Capture(capture) => {
                self.see(capture.start + capture.length);
                self.of_trunks.advance(capture.start);
                match &mut self.condition {
                    (start, condition) if *start == capture.start => condition.merge(&capture.condition),
                    newest => *newest = (capture.start, capture.condition),
                }
                let known = self.frame_rates.contains_key(&capture.interface);
                if capture.length.0 > 0 && (known || self.frame_rates.len() < MAX_INTERFACES) {
                    let rate = capture.frames as f64 / capture.length.as_secs_f64();
                    self.frame_rates.insert(capture.interface.clone(), rate);
                }
                None
            }
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            at: self.at,
            calls: self.calls.len() as u64,
            streams: self.streams.len() as u64,
            frames_per_s: (!self.frame_rates.is_empty()).then(|| self.frame_rates.values().sum()),
            capture_drops: self.totals.capture_drops(),
            calls_bad: self.bad.len() as u64,
            condition: self.condition.1,
        }
    }

    /// Calls of these trunks that are up, and how many of them are bad.
    pub fn calls_of<'a>(&self, trunks: impl Iterator<Item = &'a str>) -> (u64, u64) {
        let counts = trunks.filter_map(|trunk| self.by_trunk.get(trunk));
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }

    /// The call, while it is up.
    pub fn call(&self, uid: CallUid) -> Option<RunningCall> {
        self.calls.get(&uid).map(|(record, trunk)| self.running(record, trunk))
    }

    /// Calls that are up of which `is_wanted` is true.
    pub fn calls_where(&self, is_wanted: impl Fn(&CallRecord) -> bool) -> Vec<CallUid> {
        self.calls.values().filter(|(record, _)| is_wanted(record)).map(|(record, _)| record.uid).collect()
    }

    /// Calls that are up, at most `most`, in the order of their identities; those after `after`.
    pub fn calls_after(&self, after: Option<CallUid>, most: usize) -> Vec<RunningCall> {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = self.calls.range((after.map_or(Unbounded, Excluded), Unbounded));
        range.take(most).map(|(_, (record, trunk))| self.running(record, trunk)).collect()
    }

    /// Current calls whose class is poor or failed, at most `most`, in the order of their identities.
    pub fn bad_calls(&self, most: usize) -> Vec<LiveCall> {
        let calls = self.bad.iter().filter_map(|uid| self.calls.get(uid));
        calls.take(most).map(|(record, trunk)| LiveCall::of(record, trunk.clone())).collect()
    }

    /// All calls of a trunk share its name.
    fn shared_name(&mut self, trunk: &str) -> Arc<str> {
        let name = self.trunks.get(trunk).cloned().unwrap_or_else(|| Arc::from(trunk));
        if self.trunks.len() < MAX_TRUNKS {
            self.trunks.insert(name.clone());
        }
        name
    }

    /// Puts a call in, or in the place of its earlier record.
    fn put(&mut self, record: &CallRecord, trunk: Arc<str>) {
        self.forget(record.uid);
        let is_bad = record.class().is_bad();
        if is_bad {
            self.bad.insert(record.uid);
        }
        let count = self.by_trunk.entry(trunk.clone()).or_default();
        *count = (count.0 + 1, count.1 + u64::from(is_bad));
        self.calls.insert(record.uid, (Arc::new(record.clone()), trunk));
    }

    /// Takes a call out; the trunk it had.
    fn forget(&mut self, uid: CallUid) -> Option<Arc<str>> {
        let (_, trunk) = self.calls.remove(&uid)?;
        let was_bad = self.bad.remove(&uid);
        if let Some(count) = self.by_trunk.get_mut(&trunk) {
            *count = (count.0.saturating_sub(1), count.1.saturating_sub(u64::from(was_bad)));
            if count.0 == 0 {
                self.by_trunk.remove(&trunk);
            }
        }
        Some(trunk)
    }

    fn running(&self, record: &Arc<CallRecord>, trunk: &Arc<str>) -> RunningCall {
        let streams = record.streams.iter().filter_map(|id| self.streams.get(id)).cloned().collect();
        RunningCall { record: record.clone(), trunk: trunk.clone(), streams }
    }

    /// Takes the sums of one group in.
    pub fn group(&mut self, group: &Group) {
        self.of_trunks.add(group);
    }

    /// Says which trunks there are.
    pub fn expect_trunks<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        names.for_each(|name| self.of_trunks.expect(name));
    }

    pub fn of_trunks(&self) -> &TrunkTotals {
        &self.of_trunks
    }

    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    fn see(&mut self, at: Timestamp) {
        self.at = self.at.max(Some(at));
    }

    fn change(&mut self, record: &CallRecord, trunk: &str) -> Option<LiveCall> {
        let trunk = match self.calls.get(&record.uid) {
            Some((_, known)) if **known == *trunk => known.clone(),
            _ => self.shared_name(trunk),
        };
        let mut call = LiveCall::of(record, trunk.clone());
        let shown = self.calls.get(&call.uid).map(|(record, trunk)| LiveCall::of(record, trunk.clone()));
        if record.state.is_over() {
            // Its row follows. What it was judged to be while it was up holds until then.
            let shown = shown?;
            (call.diagnosis, call.class) = (shown.diagnosis, shown.class);
            self.forget(call.uid);
            return Some(call);
        }
        if self.calls.len() >= self.max_calls && shown.is_none() {
            self.totals.not_shown += 1;
            return None;
        }
        self.put(record, trunk);
        (shown.as_ref() != Some(&call)).then_some(call)
    }
}

impl LiveCall {
    fn of(record: &CallRecord, trunk: Arc<str>) -> LiveCall {
        LiveCall {
            uid: record.uid,
            call_id: Arc::clone(&record.call_id),
            trunk,
            state: record.state,
            diagnosis: record.diagnoses.first().map(|d| d.code.name()),
            class: record.class(),
            ended: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CaptureInterval, Diagnosis, DiagnosisCode};
    use crate::units::Nanos;

    fn call(uid: u64, state: CallState, diagnosis: Option<DiagnosisCode>, at: i64) -> Box<CallRecord> {
        let diagnoses = diagnosis.into_iter().map(|code| Diagnosis { code, confidence: 1.0, evidence: String::new() });
        Box::new(CallRecord {
            uid: CallUid(uid),
            call_id: format!("call-{uid}").into(),
            state,
            last_at: Timestamp(at),
            diagnoses: diagnoses.collect(),
            ..CallRecord::default()
        })
    }

    #[test]
    fn calls_come_change_and_go() {
        let mut view = LiveView::new(&Limits::default());
        let changed =
            |view: &mut LiveView, event| view.apply(&event, "").map(|c| (c.uid.0, c.state, c.diagnosis, c.ended));
        let up = Event::CallChanged(call(1, CallState::Established, None, 10));
        assert_eq!(changed(&mut view, up.clone()), Some((1, CallState::Established, None, false)));
        assert_eq!(changed(&mut view, up), None, "nothing visible changed");
        let bad = Event::CallChanged(call(1, CallState::Established, Some(DiagnosisCode::OneWayMedia), 20));
        assert_eq!(changed(&mut view, bad), Some((1, CallState::Established, Some("one_way_media"), false)));
        let now = view.snapshot();
        assert_eq!((now.calls, now.calls_bad, now.at), (1, 1, Some(Timestamp(20))));
        assert_eq!(view.bad_calls(9).iter().map(|c| c.uid.0).collect::<Vec<_>>(), [1]);
        assert!(view.bad_calls(0).is_empty());
        let over = Event::CallEnded(call(1, CallState::Completed, Some(DiagnosisCode::OneWayMedia), 15));
        assert_eq!(changed(&mut view, over), Some((1, CallState::Completed, Some("one_way_media"), true)));
        let now = view.snapshot();
        assert_eq!((now.calls, now.calls_bad, now.at), (0, 0, Some(Timestamp(20))), "time does not go back");
    }

    #[test]
    fn the_limit_on_calls_holds_and_is_counted() {
        let mut view = LiveView::new(&Limits { calls: 2, ..Limits::default() });
        for uid in 0..5 {
            view.apply(&Event::CallChanged(call(uid, CallState::Trying, None, 1)), "");
        }
        assert_eq!((view.snapshot().calls, view.totals().not_shown), (2, 3));
        assert!(view.apply(&Event::CallChanged(call(0, CallState::Established, None, 2)), "").is_some());
    }

    #[test]
    fn frame_rate_is_that_of_the_last_interval_of_each_interface() {
        let mut view = LiveView::new(&Limits::default());
        assert_eq!(view.snapshot().frames_per_s, None);
        let sampled = CaptureCondition { sampled_one_of: Some(2.0), ..CaptureCondition::default() };
        for (interface, frames, dropped_ring) in [("eth0", 1000, 0), ("eth1", 500, 3), ("eth0", 2000, 4)] {
            view.apply(
                &Event::Capture(Box::new(CaptureInterval {
                    length: Nanos::from_secs(10),
                    interface: interface.to_owned(),
                    frames,
                    dropped_ring,
                    condition: if frames == 500 { sampled } else { CaptureCondition::default() },
                    ..CaptureInterval::default()
                })),
                "",
            );
        }
        let now = view.snapshot();
        assert_eq!((now.frames_per_s, now.capture_drops), (Some(250.0), 7));
        assert_eq!(now.condition, sampled, "of all interfaces of the interval");
    }
}
