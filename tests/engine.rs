//! The engine held to its laws, to worlds with ground truth, to its limits, to clocks that step and to
//! hostile bytes.

#[path = "engine/adaptive.rs"]
mod adaptive;
#[path = "engine/buffer.rs"]
mod buffer;
#[path = "engine/bundle.rs"]
mod bundle;
#[path = "engine/capture_condition.rs"]
mod capture_condition;
#[path = "engine/capture_loss.rs"]
mod capture_loss;
#[path = "engine/flood.rs"]
mod flood;
#[path = "engine/grid.rs"]
mod grid;
#[path = "engine/groups.rs"]
mod groups;
#[path = "engine/hostile.rs"]
mod hostile;
#[path = "engine/laws.rs"]
mod laws;
#[path = "engine/limits.rs"]
mod limits;
#[path = "engine/loss_base.rs"]
mod loss_base;
#[path = "engine/missed.rs"]
mod missed;
#[path = "engine/one_way.rs"]
mod one_way;
#[path = "engine/outage.rs"]
mod outage;
#[path = "engine/over_tcp.rs"]
mod over_tcp;
#[path = "engine/privacy.rs"]
mod privacy;
#[path = "engine/rating.rs"]
mod rating;
#[path = "engine/reports.rs"]
mod reports;
#[path = "engine/reuse.rs"]
mod reuse;
#[path = "engine/running.rs"]
mod running;
#[path = "engine/span.rs"]
mod span;
#[path = "engine/time.rs"]
mod time;
#[path = "engine/trust.rs"]
mod trust;
#[path = "engine/truth.rs"]
mod truth;
#[path = "engine/verdicts.rs"]
mod verdicts;
#[path = "engine/wire_clock.rs"]
mod wire_clock;

use auscult::app::analysis_results::AnalysisResults;
use auscult::app::document::Document;
use auscult_core::engine::{Engine, Sink};
use auscult_core::model::{
    CallRecord, Event, IntervalReport, Limits, OutcomeCounts, Policy, StreamReport, TimestampSource,
};
use auscult_core::units::{Nanos, Timestamp};
use auscult_core::wire::LinkType;
use testkit::pcap::Frame;

/// How a run differs from the plain one.
#[derive(Clone)]
struct Setup {
    shards: usize,
    seed: u64,
    policy: Policy,
    limits: Limits,
    /// Time goes on this long after the last frame, so that every timer runs out.
    rest: Nanos,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { shards: 1, seed: 1, policy: Policy::default(), limits: Limits::default(), rest: Nanos::ZERO }
    }
}

impl Setup {
    fn sharded(shards: usize, seed: u64) -> Setup {
        Setup { shards, seed, ..Setup::default() }
    }

    fn interval(secs: i64) -> Setup {
        Setup { policy: Policy { interval: Nanos::from_secs(secs), ..Policy::default() }, ..Setup::default() }
    }

    fn rested() -> Setup {
        Setup { rest: Nanos::from_secs(3 * 3600), ..Setup::default() }
    }

    fn limited(limits: Limits) -> Setup {
        Setup { limits, ..Setup::default() }
    }

    fn engine(&self) -> Engine {
        let mut engine = Engine::new(self.limits.clone(), self.policy.clone(), self.shards, self.seed);
        engine.set_source("test", TimestampSource::CaptureFile, 1);
        engine
    }
}

/// The events of an engine.
struct Run {
    frames: u64,
    events: Vec<Event>,
    outcomes: OutcomeCounts,
}

fn run(frames: &[Frame], setup: &Setup) -> Run {
    run_ticked(frames, setup, |_, _| Vec::new())
}

/// Ticks at the times `between` gives for the time before and the time of each frame.
fn run_ticked(frames: &[Frame], setup: &Setup, mut between: impl FnMut(i64, i64) -> Vec<i64>) -> Run {
    let mut engine = setup.engine();
    let mut events = Vec::new();
    let mut last = frames.first().map_or(0, |f| f.at);
    for frame in frames {
        for at in between(last, frame.at) {
            engine.tick(Timestamp(at), &mut events);
        }
        feed(&mut engine, frame, &mut events);
        last = frame.at;
    }
    if setup.rest > Nanos::ZERO {
        engine.tick(Timestamp(last) + setup.rest, &mut events);
    }
    engine.finish(&mut events);
    Run { frames: frames.len() as u64, events, outcomes: engine.outcomes() }
}

fn feed(engine: &mut Engine, frame: &Frame, events: &mut Vec<Event>) {
    engine.frame(Timestamp(frame.at), LinkType::ETHERNET, &frame.bytes, frame.wire_len as usize, events);
}

impl Run {
    fn calls(&self) -> Vec<&CallRecord> {
        self.events.iter().filter_map(|e| if let Event::CallEnded(c) = e { Some(&**c) } else { None }).collect()
    }

    fn changes(&self) -> impl Iterator<Item = &CallRecord> {
        self.events.iter().filter_map(|e| if let Event::CallChanged(c) = e { Some(&**c) } else { None })
    }

    fn streams(&self) -> Vec<&StreamReport> {
        self.events.iter().filter_map(|e| if let Event::StreamEnded(s) = e { Some(&**s) } else { None }).collect()
    }

    fn intervals(&self) -> Vec<&IntervalReport> {
        self.events.iter().filter_map(|e| if let Event::Interval(i) = e { Some(&**i) } else { None }).collect()
    }

    /// Every field of every event, in the order they came.
    fn lines(&self) -> Vec<String> {
        self.events.iter().map(|e| format!("{e:?}")).collect()
    }

    fn sorted(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort_unstable();
        lines
    }

    fn document(&self) -> String {
        let mut kept = AnalysisResults::default();
        self.events.iter().for_each(|event| Sink::push(&mut kept, event.clone()));
        let document = Document::new(self.frames, &self.outcomes, Vec::new(), kept, "test");
        serde_json::to_string(&document).unwrap()
    }
}

/// Fails with the first lines that differ.
#[track_caller]
fn same(a: &[String], b: &[String], what: &str) {
    if let Some((x, y)) = a.iter().zip(b).find(|(x, y)| x != y) {
        let at = x.bytes().zip(y.bytes()).position(|(p, q)| p != q).unwrap_or(0).saturating_sub(120);
        let near = |s: &str| s.chars().skip(at).take(400).collect::<String>();
        let kind = x.split('(').next().unwrap_or_default();
        panic!("{what}: {kind} differs at {at}:\n  {}\n  {}", near(x), near(y));
    }
    assert_eq!(a.len(), b.len(), "{what}: number of events");
}

#[track_caller]
fn none(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
