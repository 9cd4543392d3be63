//! Running totals since the start, with labels that cannot grow without bound.

use crate::model::{Event, IntervalReport, OutcomeCounts, Shedding};
use crate::quality::codecs::listed_name;
use crate::units::{BUCKETS, DelayHistogram, Nanos};
use std::collections::BTreeMap;

/// Trunk and interface names are the operator's: beyond this many the rest is counted as `other`.
const MAX_TRUNKS: usize = 64;
const MAX_INTERFACES: usize = 64;
/// Label of what has no name of its own: codecs outside of the table, which a sender may call what it likes.
const OTHER: &str = "other";
/// Label of streams whose codec nothing names.
const UNKNOWN: &str = "unknown";

/// Delay variation of one codec on one trunk, all streams together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayTotals {
    pub counts: [u64; BUCKETS],
}

impl Default for DelayTotals {
    fn default() -> Self {
        DelayTotals { counts: [0; BUCKETS] }
    }
}

impl DelayTotals {
    pub(super) fn add(&mut self, histogram: &DelayHistogram) {
        for (total, count) in self.counts.iter_mut().zip(histogram.trimmed()) {
            *total += u64::from(*count);
        }
    }
}

/// Counters for `/metrics`; labels are names of codecs, trunks, interfaces, states and reasons, never of people or addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    pub outcomes: OutcomeCounts,
    /// Frames missed per interface: ring, interface, queue.
    pub dropped: BTreeMap<String, [u64; 3]>,
    /// Ended calls per state name.
    pub calls_ended: BTreeMap<&'static str, u64>,
    /// Ended calls per class, and those of class poor and failed per first code of their verdict; `none` where only the MOS
    /// says so.
    pub calls_by_class: BTreeMap<&'static str, u64>,
    pub calls_bad: BTreeMap<&'static str, u64>,
    pub streams_ended: u64,
    /// By codec and trunk. Codecs are those of the table of `quality::codecs`, `other` and `unknown`.
    pub delay: BTreeMap<(&'static str, String), DelayTotals>,
    pub packets_expected: u64,
    pub packets_lost: u64,
    /// Calls and streams left out of the live view because it was full.
    pub not_shown: u64,
    pub shedding: Shedding,
    /// Time without any frame while streams went on.
    pub blackout: Nanos,
    /// Times the clock of the capture was set.
    pub clock_steps: u64,
    pub mirror_copies: u64,
}

impl Totals {
    pub fn apply(&mut self, event: &Event, trunk: &str) {
        match event {
            Event::CallEnded(call) => {
                *self.calls_ended.entry(call.state.name()).or_default() += 1;
                let class = call.class();
                *self.calls_by_class.entry(class.name()).or_default() += 1;
                if class.is_bad() {
                    let worst = call.diagnoses.first().map_or("none", |worst| worst.code.name());
                    *self.calls_bad.entry(worst).or_default() += 1;
                }
            }
            Event::StreamEnded(_) => self.streams_ended += 1,
            Event::Interval(interval) => self.interval(interval, trunk),
            Event::Capture(capture) => {
                self.outcomes.merge(&capture.outcomes);
                self.shedding.merge(&capture.shedding);
                self.blackout += capture.condition.blackout;
                self.clock_steps += u64::from(capture.condition.clock_steps);
                self.mirror_copies += capture.condition.copies;
                let interface = bounded(&capture.interface, MAX_INTERFACES, self.dropped.keys().map(String::as_str));
                let dropped = self.dropped.entry(interface).or_default();
                let missed = [capture.dropped_ring, capture.dropped_interface, capture.dropped_queue];
                for (total, count) in dropped.iter_mut().zip(missed) {
                    *total += count;
                }
            }
            Event::CallChanged(_) | Event::StreamStarted(_) | Event::SipMessage(_) | Event::Rtcp(_) => {}
        }
    }

    pub fn capture_drops(&self) -> u64 {
        self.dropped.values().flatten().sum()
    }

    fn interval(&mut self, interval: &IntervalReport, trunk: &str) {
        let codec = if interval.codec.is_empty() { UNKNOWN } else { listed_name(&interval.codec).unwrap_or(OTHER) };
        let trunk = bounded(trunk, MAX_TRUNKS, self.delay.keys().map(|(_, trunk)| trunk.as_str()));
        self.delay.entry((codec, trunk)).or_default().add(&interval.numbers.pdv);
        self.packets_expected += interval.numbers.expected;
        self.packets_lost += interval.numbers.lost();
    }
}

/// The label itself while it is known or there is room, `other` from then on.
pub(super) fn bounded<'a>(label: &str, most: usize, known: impl Iterator<Item = &'a str>) -> String {
    let mut seen: Vec<&str> = known.collect();
    seen.sort_unstable();
    seen.dedup();
    if seen.binary_search(&label).is_ok() || seen.len() < most { label.to_owned() } else { OTHER.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CaptureInterval, Ignored, LossRuns, MosReport, Outcome, Quality, StreamId, StreamStats};
    use crate::units::{Nanos, Ssrc, Timestamp};
    use std::net::SocketAddr;

    fn interval(codec: &str, delay: Nanos) -> Event {
        let at: SocketAddr = ([192, 0, 2, 1], 4000).into();
        let mut numbers = StreamStats { expected: 10, unique: 9, loss_runs: LossRuns::default(), ..Default::default() };
        numbers.pdv.record(delay);
        Event::Interval(Box::new(IntervalReport {
            stream: StreamId(1),
            src: at,
            dst: at,
            ssrc: Ssrc(1),
            call_uid: None,
            call_id: "".into(),
            start: Timestamp(0),
            length: Nanos::from_secs(10),
            codec: codec.into(),
            numbers,
            mos: MosReport::default(),
            clock_rate: Some(8_000),
            ptime: Some(Nanos::from_millis(20)),
            drift_ppm: None,
            late_buffer_ms: 60,
            quality: Quality::default(),
        }))
    }

    #[test]
    fn codec_names_of_strangers_are_no_labels_and_take_no_place_of_one() {
        let mut totals = Totals::default();
        for n in 0..1000 {
            totals.apply(&interval(&format!("x{n}"), Nanos::from_millis(1)), "");
        }
        for codec in ["\u{1b}[31m", "other", "pcma", "PCMA", "opus", ""] {
            totals.apply(&interval(codec, Nanos::from_millis(1)), "");
        }
        let labels: Vec<&str> = totals.delay.keys().map(|(codec, _)| *codec).collect();
        assert_eq!(labels, ["PCMA", "opus", "other", "unknown"]);
        let counted = |codec: &'static str| -> u64 { totals.delay[&(codec, String::new())].counts.iter().sum() };
        assert_eq!(["PCMA", "opus", "other", "unknown"].map(counted), [2, 1, 1002, 1]);
        assert_eq!((totals.packets_expected, totals.packets_lost), (10_060, 1006));
    }

    #[test]
    fn outcomes_and_drops_add_up() {
        let mut totals = Totals::default();
        for _ in 0..2 {
            let mut capture = CaptureInterval { interface: "eth0".to_owned(), dropped_queue: 5, ..Default::default() };
            capture.outcomes.add(Outcome::Ignored(Ignored::Stun), 7);
            totals.apply(&Event::Capture(Box::new(capture)), "");
        }
        assert_eq!(totals.outcomes.get(Outcome::Ignored(Ignored::Stun)), 14);
        assert_eq!(totals.dropped["eth0"], [0, 0, 10]);
        assert_eq!(totals.capture_drops(), 10);
    }
}
