//! `auscult alerts test`: traffic made of a few figures, and the states rules must be in at given times.

use super::command::span_of;
use super::read_rules;
use anyhow::{Context, bail};
use auscult_core::alert::{CaptureSums, Evaluation, Evaluator, Label, Origin, RuleSet, State, SumsInput};
use auscult_core::model::{
    CallClass, CallFigures, CallGroup, DISCARD_BUFFERS_MS, DiagnosisCode, GroupPart, GroupTrunk, MediaFigures,
    MediaGroup, Scale, TrunkDirection,
};
use auscult_core::units::{Nanos, Timestamp, bucket_of, span_bucket_of};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFile {
    /// Relative to this file; none for the rules the program comes with.
    #[serde(default)]
    rules: Vec<PathBuf>,
    #[serde(default = "ten_seconds")]
    interval: String,
    test: Vec<Test>,
}

fn ten_seconds() -> String {
    "10s".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    name: String,
    #[serde(default = "a_monday")]
    start: String,
    #[serde(default)]
    traffic: Vec<Traffic>,
    expect: Vec<Expect>,
}

fn a_monday() -> String {
    "2026-03-02T08:00:00Z".to_owned()
}

/// Figures of each interval of a span.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Traffic {
    from: String,
    to: String,
    #[serde(default = "probe")]
    probe: String,
    #[serde(default)]
    site: String,
    #[serde(default)]
    trunk: String,
    #[serde(default)]
    trunk_direction: String,
    #[serde(default = "pcma")]
    codec: String,
    /// Streams present, and how many of them are new in each interval.
    #[serde(default)]
    streams: u64,
    #[serde(default)]
    new_streams: u64,
    /// 95th percentile of an exponential distribution of delay variation.
    pdv_p95_ms: Option<f64>,
    jitter_ms: Option<f64>,
    #[serde(default)]
    loss_pct: f64,
    #[serde(default)]
    capture_loss_pct: f64,
    mos: Option<f64>,
    /// Final codes of attempts in each interval; 200 is an answer.
    #[serde(default)]
    codes: BTreeMap<String, u64>,
    pdd_ms: Option<i64>,
    /// Ended answered calls in each interval, and how many of them are bad, one-way, without media, or short.
    #[serde(default)]
    ended: u64,
    #[serde(default)]
    bad: u64,
    #[serde(default)]
    one_way: u64,
    #[serde(default)]
    no_media: u64,
    #[serde(default)]
    short: u64,
    /// Frames of the probe and what it missed of them; 100,000 where nothing is said.
    frames: Option<u64>,
    #[serde(default)]
    missed: u64,
    /// Streams and calls that full tables gave up in each interval.
    #[serde(default)]
    shed: u64,
    /// How long rows have waited for the store.
    store_lag_s: Option<i64>,
}

fn probe() -> String {
    "probe".to_owned()
}

fn pcma() -> String {
    "PCMA".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    at: String,
    rule: String,
    state: String,
    /// Labels of the group; those left out may be anything.
    #[serde(default)]
    group: BTreeMap<String, String>,
}

/// Runs the tests of some files; the error counts those that failed.
pub fn run(files: &[PathBuf], verbose: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let (mut passed, mut failed) = (0, 0);
    for path in files {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: TestFile = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            anyhow::anyhow!("{}:{line}: {}", path.display(), e.message().replace('\n', " "))
        })?;
        let interval = span_of(&file.interval)?;
        anyhow::ensure!(interval > Nanos(0), "{}: interval must be longer than 0s", path.display());
        let beside = path.parent().unwrap_or(Path::new(""));
        let rules: Vec<PathBuf> = file.rules.iter().map(|rule| beside.join(rule)).collect();
        let set = read_rules(&rules, rules.is_empty(), interval)?;
        if let Some(error) = set.errors.first() {
            bail!(error.to_string());
        }
        for test in &file.test {
            let mut said = Vec::new();
            let problems = one(test, &set, interval, &mut said)
                .with_context(|| format!("{}: test {:?}", path.display(), test.name))?;
            for line in said.iter().filter(|_| verbose) {
                writeln!(out, "{line}")?;
            }
            if problems.is_empty() {
                passed += 1;
                continue;
            }
            failed += 1;
            for problem in problems {
                writeln!(out, "{}: test {:?}: {problem}", path.display(), test.name)?;
            }
        }
    }
    writeln!(out, "{passed} tests passed, {failed} failed")?;
    anyhow::ensure!(failed == 0, "{failed} tests of rules failed");
    Ok(())
}

/// Runs one test; the problems found. What fires as expected is added to `said`.
fn one(test: &Test, set: &RuleSet, interval: Nanos, said: &mut Vec<String>) -> anyhow::Result<Vec<String>> {
    let start =
        Timestamp::parse_rfc3339(&test.start).with_context(|| format!("start = {:?} is no time", test.start))?;
    let start = start.floor_to(Nanos::from_secs(60));
    let mut evaluator = Evaluator::new(set.rules.clone());
    let expected = expectations(test, set, start)?;
    let mut spans = Vec::new();
    for traffic in &test.traffic {
        spans.push((start + span_of(&traffic.from)?, start + span_of(&traffic.to)?, traffic));
    }
    let end = expected.last().map_or(start, |(at, ..)| *at);
    let mut last: BTreeMap<(String, String), Evaluation> = BTreeMap::new();
    let (mut problems, mut evaluated, mut at) = (Vec::new(), start, start);
    let mut expected = expected.into_iter().peekable();
    while at <= end {
        // Rows of the interval that ends at `at`.
        for (from, to, traffic) in &spans {
            let begun = at - interval;
            if begun >= *from && begun < *to {
                add(traffic, begun, interval, at, &mut evaluator)?;
            }
        }
        while let Some(next) = evaluator.next_after(evaluated).filter(|next| *next <= at) {
            let mut evaluations = Vec::new();
            evaluator.evaluate(next, &mut evaluations);
            for evaluation in evaluations {
                let key = (evaluation.rule.name.clone(), auscult_core::alert::group_text(&evaluation.group));
                last.insert(key, evaluation);
            }
            evaluated = next;
        }
        while let Some((_, expect, state)) = expected.next_if(|(when, ..)| *when <= at) {
            problems.extend(compare(expect, state, last.values(), said));
        }
        at = at + interval;
    }
    Ok(problems)
}

/// What a test expects, in the order of time.
fn expectations<'a>(
    test: &'a Test,
    set: &RuleSet,
    start: Timestamp,
) -> anyhow::Result<Vec<(Timestamp, &'a Expect, State)>> {
    let mut expected = Vec::new();
    for expect in &test.expect {
        let state = State::ALL.into_iter().find(|state| state.name() == expect.state);
        let state = state.with_context(|| format!("there is no state {:?}", expect.state))?;
        if !set.rules.iter().any(|rule| rule.name == expect.rule) {
            bail!("there is no rule {:?}", expect.rule);
        }
        if let Some(label) = expect.group.keys().find(|label| Label::parse(label).is_none()) {
            bail!("a group has no label {label:?}");
        }
        expected.push((start + span_of(&expect.at)?, expect, state));
    }
    expected.sort_by_key(|(at, ..)| *at);
    Ok(expected)
}

/// The problem, where the groups that are expected to be in a state are not.
fn compare<'a>(
    expect: &Expect,
    state: State,
    last: impl Iterator<Item = &'a Evaluation>,
    said: &mut Vec<String>,
) -> Option<String> {
    let matches = |evaluation: &&Evaluation| {
        let has = |(name, value): (&String, &String)| {
            evaluation.group.iter().any(|(label, own)| label.name() == name && **own == **value)
        };
        evaluation.rule.name == expect.rule && expect.group.iter().all(has)
    };
    let found: Vec<&Evaluation> = last.filter(matches).collect();
    let is = |evaluation: &Evaluation| evaluation.state == state;
    for evaluation in found.iter().filter(|evaluation| state == State::Firing && is(evaluation)) {
        let alert = evaluation.render();
        let (rule, severity) = (&expect.rule, &evaluation.rule.severity);
        said.push(format!("{rule} ({severity}): {}. {}", alert.summary, alert.description));
    }
    let good = if found.is_empty() { state == State::Ok } else { found.iter().all(|evaluation| is(evaluation)) };
    if good {
        return None;
    }
    let seen: Vec<String> = found.iter().map(|e| format!("{} ({})", e.state.name(), e.render().description)).collect();
    let seen = if seen.is_empty() { "no such group".to_owned() } else { seen.join("; ") };
    Some(format!("at {} {} should be {}, and is {seen}", expect.at, expect.rule, state.name()))
}

fn add(
    traffic: &Traffic,
    start: Timestamp,
    length: Nanos,
    now: Timestamp,
    evaluator: &mut Evaluator,
) -> anyhow::Result<()> {
    let origin = Origin { probe: &traffic.probe, site: &traffic.site };
    let direction = TrunkDirection::parse(&traffic.trunk_direction);
    let trunk = GroupTrunk { name: traffic.trunk.as_str().into(), direction };
    let part = GroupPart::default();
    let frames = traffic.frames.unwrap_or(100_000);
    if frames + traffic.missed > 0 {
        let capture = CaptureSums { start, length, frames, missed: traffic.missed, shed: traffic.shed };
        evaluator.add(&SumsInput::Capture(capture), origin, now);
    }
    if let Some(lag) = traffic.store_lag_s {
        evaluator.store_lag(origin, Nanos::from_secs(lag));
    }
    if traffic.streams > 0 {
        let figures = media(traffic, start, length);
        let codec = traffic.codec.as_str().into();
        let mos_scale = traffic.mos.is_some().then_some(Scale::Nb);
        let group = MediaGroup { start, length, trunk: trunk.clone(), codec, mos_scale, part, figures };
        evaluator.add(&SumsInput::Media(&group), origin, now);
    }
    if !traffic.codes.is_empty() || traffic.ended > 0 {
        let group = CallGroup { start, length, trunk, part, figures: calls(traffic)? };
        evaluator.add(&SumsInput::Calls(&group), origin, now);
    }
    Ok(())
}

fn media(traffic: &Traffic, start: Timestamp, length: Nanos) -> MediaFigures {
    let expected = traffic.streams * 50 * (length.0 / 1_000_000_000).max(1) as u64;
    let lost = |percent: f64| (percent / 100.0 * expected as f64).round() as u64;
    let unique = expected.saturating_sub(lost(traffic.loss_pct) + lost(traffic.capture_loss_pct));
    let mut figures = MediaFigures {
        streams: traffic.streams,
        packets: unique,
        unique,
        expected,
        lost_network: lost(traffic.loss_pct),
        lost_capture: lost(traffic.capture_loss_pct),
        ..MediaFigures::default()
    };
    let before = (start - length).0 / 1_000_000_000;
    let new = traffic.new_streams.min(traffic.streams);
    figures.present_before = [(0, new), (before.max(1) as u32, traffic.streams - new)].into();
    figures.present_before_codec = figures.present_before.clone();
    figures.present_before_scale = figures.present_before.clone();
    figures.present_before_codec_scale = figures.present_before.clone();
    figures.streams_begun = new;
    if let Some(p95) = traffic.pdv_p95_ms {
        // Exponential: 5 % lie above its 95th percentile.
        let mean = p95 / -(0.05f64.ln());
        for step in 0..200u64 {
            let delay = -mean * (1.0 - (step as f64 + 0.5) / 200.0).ln();
            let count = unique * (step + 1) / 200 - unique * step / 200;
            figures.pdv.add(bucket_of(Nanos((delay * 1e6) as i64)), count as u32);
            for (late, buffer) in figures.late.iter_mut().zip(DISCARD_BUFFERS_MS) {
                *late += if delay > f64::from(buffer) { count } else { 0 };
            }
        }
    }
    if let Some(jitter) = traffic.jitter_ms {
        figures.jitter.add(bucket_of(Nanos((jitter * 1e6) as i64)), traffic.streams as u32);
    }
    if let Some(mos) = traffic.mos {
        figures.mos.insert((mos * 100.0).round() as u16, traffic.streams);
        figures.mos_under_3_6 = if mos < 3.6 { traffic.streams } else { 0 };
        figures.mos_under_3_1 = if mos < 3.1 { traffic.streams } else { 0 };
    }
    figures
}

fn calls(traffic: &Traffic) -> anyhow::Result<CallFigures> {
    let mut figures = CallFigures::default();
    for (code, n) in &traffic.codes {
        let code: u16 = code.parse().with_context(|| format!("codes: {code:?} is no SIP code"))?;
        figures.attempts += n;
        figures.answers += if (200..300).contains(&code) { *n } else { 0 };
        figures.setup_timeouts += if code == 0 { *n } else { 0 };
        *figures.final_codes.entry(code).or_default() += n;
    }
    if let Some(pdd) = traffic.pdd_ms {
        figures.pdd.0.insert(span_bucket_of(Nanos::from_millis(pdd)), figures.attempts);
    }
    figures.ended = traffic.ended;
    figures.short = traffic.short;
    if traffic.ended > 0 {
        figures.duration.0.insert(span_bucket_of(Nanos::from_secs(120)), traffic.ended);
        figures.classes.insert(CallClass::Poor.name(), traffic.bad.min(traffic.ended));
        figures.classes.insert(CallClass::Good.name(), traffic.ended.saturating_sub(traffic.bad));
        figures.diagnoses.insert(DiagnosisCode::OneWayMedia.name(), traffic.one_way);
        figures.diagnoses.insert(DiagnosisCode::NoMedia.name(), traffic.no_media);
    }
    Ok(figures)
}
