//! Worlds with ground truth: every stream and call is found, with the figures it has.

use super::*;
use auscult_core::model::{CallState, LossRuns, ReleasedBy, StreamStats};
use auscult_core::units::DelayHistogram;
use std::cell::RefCell;
use std::collections::BTreeMap;
use testkit::call::What;
use testkit::codec::Codec;
use testkit::oracle::{self, Kind, PacketSeen};
use testkit::truth::{CallTruth, StreamTruth, Truth};
use testkit::{World, for_seeds, observe, playout, samples};

/// Where figures part on purpose. Everything else must be as in the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deviation {
    /// Fewer packets than it takes to distinguish a stream from noise (two in sequence where media was announced, else four).
    TooShort,
    /// The timestamps jump: delays before and after are measured against bases of their own, truth knows when packets were
    /// sent.
    TimestampJump,
    /// Another sequence: the oracle takes the jump out of the jitter estimate, this program measures across it where the
    /// timestamps went on, as a receiver does.
    SequenceRestart,
    /// The truth names who sent BYE; this program also says who gave up an unanswered call.
    Cancelled,
    /// The call goes on after the last BYE-less sign of life: a call nobody releases ends with its last packet.
    Unreleased,
    /// The sender's clock is off: the base follows it after 30 s, truth at once.
    Drift,
    /// The path became longer: the base follows within eight seconds, truth never does.
    Route,
    /// The lowest delay does not come in every eight seconds.
    RareMinimum,
}

struct Check<'a> {
    world: &'a World,
    truth: &'a Truth,
    lists: BTreeMap<observe::StreamKey, Vec<PacketSeen>>,
    found: &'a mut Found,
}

#[derive(Default)]
struct Found {
    problems: Vec<String>,
    met: BTreeMap<Deviation, u32>,
}

#[test]
fn random_worlds_give_their_truth() {
    let found = RefCell::new(Found::default());
    for_seeds(1000..1020, |seed| check(&World::random(seed, 12), &mut found.borrow_mut()));
    let found = found.into_inner();
    let all_seeds = std::env::var_os("TESTKIT_SEED").is_none();
    assert!(!all_seeds || found.met.len() == 8, "every deviation of the table occurs: {:?}", found.met);
    none(found.problems);
}

#[test]
fn samples_give_their_truth() {
    let mut found = Found::default();
    for sample in samples::all() {
        check(&sample.world, &mut found);
    }
    none(found.problems);
}

fn check(world: &World, found: &mut Found) {
    let capture = world.build();
    let run = run(&capture.frames, &Setup::rested());
    let mut check = Check { world, truth: &capture.truth, lists: observe::streams(&capture.frames, clock_of), found };
    check.streams(&run);
    check.calls(&run);
    check.totals(&run);
}

fn clock_of(pt: u8) -> u32 {
    Codec::ALL.iter().find(|c| c.payload_type() == pt).map_or(8_000, |c| c.clock())
}

impl Check<'_> {
    fn deviate(&mut self, why: Deviation) {
        *self.found.met.entry(why).or_default() += 1;
    }

    fn differ<T: PartialEq + std::fmt::Debug>(&mut self, who: &str, what: &str, ours: T, theirs: T) {
        if ours != theirs {
            self.found.problems.push(format!("seed {} {who}: {what} {ours:?} instead of {theirs:?}", self.truth.seed));
        }
    }

    fn streams(&mut self, run: &Run) {
        let mut ours: BTreeMap<(String, String, String), Vec<&StreamReport>> = BTreeMap::new();
        for s in run.streams() {
            ours.entry((s.src.to_string(), s.dst.to_string(), s.ssrc.to_string())).or_default().push(s);
        }
        for t in &self.truth.streams {
            let who = format!("{} {} {} -> {}", t.call_id, t.ssrc, t.src, t.dst);
            match ours.remove(&(t.src.clone(), t.dst.clone(), t.ssrc.clone())).as_deref() {
                Some([s]) => self.stream(&who, s, t),
                Some(more) => self.found.problems.push(format!("{who}: {} streams", more.len())),
                None if t.numbers.unique < 4 => self.deviate(Deviation::TooShort),
                None => self.found.problems.push(format!("{who}: not found, {} packets", t.numbers.packets)),
            }
        }
        for key in ours.keys() {
            self.found.problems.push(format!("seed {}: {key:?} is no stream of the truth", self.truth.seed));
        }
    }

    fn stream(&mut self, who: &str, s: &StreamReport, t: &StreamTruth) {
        let (n, truth) = (&s.numbers, &t.numbers);
        let mut runs = LossRuns::default();
        truth.loss_run_lengths.iter().for_each(|run| runs.record(*run));
        for (what, ours, theirs) in [
            ("packets", n.packets, truth.packets),
            ("unique", n.unique, truth.unique),
            ("expected", n.expected, truth.expected),
            ("lost", n.lost(), truth.lost),
            ("duplicates of the probe", n.duplicates_probe, truth.duplicates_probe),
            ("duplicates of the network", n.duplicates_network, truth.duplicates_network),
            ("reordered", n.reordered, truth.reordered),
            ("restarts", u64::from(n.restarts), u64::from(truth.restarts)),
            ("strays", n.strays, truth.strays),
            ("markers", n.markers, truth.markers),
            ("payload bytes", n.payload_bytes, truth.payload_bytes),
            ("cut short", n.cut_short, truth.cut_short),
            ("redirected", s.redirected, 0),
            ("dscp", u64::from(s.dscp), u64::from(t.dscp)),
        ] {
            self.differ(who, what, ours, theirs);
        }
        self.differ(who, "loss runs", &n.loss_runs, &runs);
        self.differ(who, "first packet", s.first_at.0, truth.first_at);
        self.differ(who, "last packet", s.last_at.0, truth.last_at);
        self.differ(who, "longest gap", n.max_gap.as_millis_f64(), truth.max_gap_ms);
        let copies = truth.duplicates_probe + truth.duplicates_network;
        if copies == 0 {
            // Truth counts packets of a kind with their copies.
            self.differ(who, "events", n.telephone_events, truth.telephone_events);
            self.differ(who, "comfort noise", n.comfort_noise, truth.comfort_noise);
        }
        self.differ(who, "call", &*s.call_id, t.call_id.as_str());
        self.differ(who, "clock", s.clock_rate, Some(t.clock));
        if !t.codecs.is_empty() {
            let known = t.codecs.iter().any(|c| c.eq_ignore_ascii_case(&s.codec));
            self.differ(who, "codec", known, true);
        }
        self.timing(who, s, t);
    }

    fn timing(&mut self, who: &str, s: &StreamReport, t: &StreamTruth) {
        let spec = &self.world.calls_of()[t.call];
        let way = if t.sender == "caller" { &spec.forward } else { &spec.backward };
        let changes_codec = spec.changes.iter().any(|c| matches!(c.what, What::Codec(_)));
        let (n, truth) = (&s.numbers, &t.numbers);
        let key = (s.src, s.dst, s.ssrc.0);
        let audio = self.audio(&key);
        self.delays(who, n, &audio);
        if way.habits.ts_jump.is_some() {
            return self.deviate(Deviation::TimestampJump);
        }
        if !changes_codec {
            let j = &n.jitter;
            let jitters = [
                ("mean", j.mean_ns().unwrap_or(0.0) / 1e6, truth.jitter_ms.mean),
                ("max", j.max_ns / 1e6, truth.jitter_ms.max),
                ("last", j.last_ns / 1e6, truth.jitter_ms.last),
            ];
            if truth.restarts > 0 {
                self.deviate(Deviation::SequenceRestart);
            } else {
                self.differ(who, "jitter samples", j.samples, truth.jitter_ms.samples);
            }
            for (what, ours, theirs) in jitters {
                if (ours - theirs).abs() > f64::max(0.05, 0.02 * theirs) {
                    self.found
                        .problems
                        .push(format!("seed {} {who}: jitter {what} {ours} instead of {theirs}", self.truth.seed));
                }
            }
        }
        for (q, exact) in [(0.5, truth.pdv_ms.p50), (0.95, truth.pdv_ms.p95), (0.99, truth.pdv_ms.p99)] {
            let Some(ours) = n.pdv.quantile(q).map(Nanos::as_millis_f64) else { continue };
            if (ours - exact).abs() > 0.07 + 0.05 * exact {
                let why = if !way.path.before.route.is_empty() {
                    Deviation::Route
                } else if t.drift_ppm != 0 {
                    Deviation::Drift
                } else {
                    Deviation::RareMinimum
                };
                self.deviate(why);
            }
        }
    }

    /// Delays above the base a receiver could know, to the packet.
    fn delays(&mut self, who: &str, n: &StreamStats, audio: &[PacketSeen]) {
        let mut histogram = DelayHistogram::default();
        playout::above_base(audio).into_iter().for_each(|ns| histogram.record(Nanos(ns)));
        self.differ(who, "late packets", n.late.to_vec(), playout::late(audio));
        self.differ(who, "delay variation", &n.pdv, &histogram);
    }

    /// Unique audio packets of a stream as captured.
    fn audio(&self, key: &observe::StreamKey) -> Vec<PacketSeen> {
        let list = self.lists.get(key).map_or(&[][..], Vec::as_slice);
        let places = oracle::places(&list.iter().map(|p| p.seq).collect::<Vec<_>>());
        let copies = oracle::copies(list, &places);
        let first =
            |i: &usize| places[*i].is_some() && copies[*i] == oracle::Copy::First && list[*i].kind == Kind::Audio;
        (0..list.len()).filter(|i| first(i)).map(|i| list[i]).collect()
    }

    fn calls(&mut self, run: &Run) {
        let mut ours: BTreeMap<&str, Vec<&CallRecord>> = BTreeMap::new();
        for call in run.calls() {
            ours.entry(&*call.call_id).or_default().push(call);
        }
        for t in &self.truth.calls {
            match ours.remove(t.call_id.as_str()).as_deref() {
                Some([call]) => self.call(call, t),
                Some(more) => self.found.problems.push(format!("{}: {} calls", t.call_id, more.len())),
                None => self.found.problems.push(format!("seed {} {}: not found", self.truth.seed, t.call_id)),
            }
        }
        for id in ours.keys() {
            self.found.problems.push(format!("{id} is no call of the truth"));
        }
    }

    fn call(&mut self, c: &CallRecord, t: &CallTruth) {
        let who = t.call_id.as_str();
        self.differ(who, "state", c.state.name(), t.state);
        self.differ(who, "final code", c.final_code, t.final_code);
        self.differ(who, "invite", c.invite_at.map(|t| t.0), Some(t.invite_at));
        self.differ(who, "ring", c.ringing_at.map(|t| t.0), t.ring_at);
        self.differ(who, "answer", c.answered_at.map(|t| t.0), t.answer_at);
        self.differ(who, "setup", c.setup().map(Nanos::as_millis_f64), t.setup_ms);
        self.differ(who, "re-INVITEs", c.reinvites, t.reinvites);
        self.differ(who, "challenges", c.auth_rounds, t.auth_rounds);
        self.differ(who, "retransmissions", c.retransmissions, t.retransmissions);
        self.differ(who, "messages", c.messages, t.messages);
        for (half, ours, true_ms) in [
            ("towards the caller", c.sip_rtt_toward_caller, &t.sip_rtt_ms.toward_caller),
            ("towards the callee", c.sip_rtt_toward_callee, &t.sip_rtt_ms.toward_callee),
        ] {
            let (least, most) = (true_ms.iter().copied().reduce(f64::min), true_ms.iter().copied().reduce(f64::max));
            let truth = least.zip(most).map(|(least, most)| (true_ms.len() as u32, least, most));
            let ours = ours.map(|o| (o.samples, o.min.as_millis_f64(), o.max.as_millis_f64()));
            self.differ(who, &format!("SIP round trips {half}"), ours, truth);
        }
        self.differ(who, "transport", c.transport.name().to_lowercase().as_str(), t.transport);
        if t.answer_at.is_some() {
            self.differ(who, "acked", c.acked, t.acked);
        }
        if c.state == CallState::Unfinished {
            self.deviate(Deviation::Unreleased);
            self.differ(who, "released by", c.released_by, Some(ReleasedBy::Timeout));
            let streams = run_end(&self.truth.streams, t);
            self.differ(who, "end not before its last packet", c.ended_at.is_some_and(|at| at.0 >= streams), true);
        } else if c.state == CallState::Cancelled {
            self.deviate(Deviation::Cancelled);
            self.differ(who, "released by", (c.released_by, t.released_by), (Some(ReleasedBy::Caller), None));
            self.differ(who, "end", c.ended_at.map(|t| t.0), t.end_at);
        } else {
            let by = c.released_by.filter(|by| *by != ReleasedBy::Timeout).map(ReleasedBy::name);
            self.differ(who, "released by", by, t.released_by);
            self.differ(who, "duration", c.duration().map(Nanos::as_millis_f64), t.duration_ms);
        }
    }

    fn totals(&mut self, run: &Run) {
        use auscult_core::model::{Ignored, Outcome};
        let t = self.truth.totals;
        self.differ("frames", "outcomes", run.outcomes.total(), t.frames);
        let copies = run.outcomes.get(Outcome::Ignored(Ignored::RtcpCopy));
        self.differ("frames", "RTCP", run.outcomes.get(Outcome::Rtcp) + copies, t.rtcp);
    }
}

/// Last packet of a call's streams.
fn run_end(streams: &[StreamTruth], call: &CallTruth) -> i64 {
    streams.iter().filter(|s| s.call_id == call.call_id).map(|s| s.numbers.last_at).max().unwrap_or(0)
}

fn rank(delays: &[f64], q: f64) -> f64 {
    let mut sorted = delays.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((q * sorted.len() as f64).ceil() as usize).max(1) - 1).copied().unwrap_or(0.0)
}

/// The histogram's own error is that of its buckets.
#[test]
fn percentiles_are_within_their_bucket() {
    let mut h = DelayHistogram::default();
    let delays: Vec<f64> = (1..4000).map(|i| f64::from(i) * 0.05).collect();
    delays.iter().for_each(|d| h.record(Nanos((d * 1e6) as i64)));
    for q in [0.5, 0.95, 0.99] {
        let (ours, exact) = (h.quantile(q).unwrap().as_millis_f64(), rank(&delays, q));
        assert!((ours - exact).abs() <= 0.05 * exact, "{q}: {ours} instead of {exact}");
    }
}
