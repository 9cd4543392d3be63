//! `auscult alerts`: rules listed, checked, tested, and run over history.

use super::behind::CallsBehind;
use super::{read_rules, replayed};
use crate::app::config::Config;
use anyhow::{Context, bail};
use auscult_capture::Timeline;
use auscult_core::alert::{
    CaptureSums, Evaluation, Evaluator, GroupKey, MEASURES, Origin, Rule, RuleSet, State, SumsInput, clock, group_text,
    history,
    rule::{BaselineLimit, Hold, Side, Test, parse_span, write_span},
};
use auscult_core::engine::{Engine, Sink};
use auscult_core::groups::{Group, Groups};
use auscult_core::model::{
    CallUid, Event, Labels, MessagePolicy, Messages, RunningCall, RunningStream, StreamId, TimestampSource,
};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::Backend;
use auscult_store::endpoint::local_client;
use auscult_store::query::{CallFilter, Cost, Reader, RunningList};
use clap::{Args, Subcommand};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// Print rules with all their defaults; those the program comes with unless files are named.
    List {
        files: Vec<PathBuf>,
        /// Print what rules can measure instead.
        #[arg(long)]
        measures: bool,
        /// With each measure a statement that says what it would say, by trunk, from {from} to {to}.
        #[arg(long, requires = "measures")]
        sql: bool,
    },
    /// Check files of rules; a line for each error, and exit code 1 when there is one.
    Check {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Length of an interval (measure.interval_s).
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60), value_name = "SECONDS")]
        interval: u32,
    },
    /// Run tests of rules: made-up traffic, and the states it must lead to.
    Test {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Print what each alert that is expected to fire would say.
        #[arg(short, long)]
        verbose: bool,
    },
    /// Evaluate rules over history, or over captures in their own time.
    Backtest(BacktestArgs),
}

#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// Files of rules; none for those the program comes with.
    pub files: Vec<PathBuf>,
    /// Captures to evaluate instead of a store; several are one timeline.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub read: Vec<PathBuf>,
    /// Configuration: trunks, interval, and where the store is.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the embedded store, as for `run`. A program that runs on it is asked.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Begin, as 2026-03-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// End.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Each row counts from when it had arrived in the store, as live evaluation would have had it (the default).
    #[arg(long, conflicts_with = "hindsight")]
    pub as_known: bool,
    /// Each row counts from the end of its interval, whenever it arrived.
    #[arg(long)]
    pub hindsight: bool,
    /// Compare with the rules of this file: what they fire and these do not, and the other way round.
    #[arg(long, value_name = "FILE")]
    pub diff: Option<PathBuf>,
    /// One document instead of lines.
    #[arg(long)]
    pub json: bool,
}

pub fn run(command: &AlertsCommand, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        AlertsCommand::List { measures: true, sql, .. } => {
            for measure in MEASURES {
                let unit = if measure.unit.is_empty() { "-" } else { measure.unit };
                let (source, samples) = (measure.source.name(), measure.samples.name());
                writeln!(out, "{:<20} {unit:<5} {samples:<8} {source:<20} {}", measure.name, measure.help)?;
                if let Some(statement) = measure.sql().filter(|_| *sql) {
                    writeln!(out, "    {statement}")?;
                }
            }
            Ok(())
        }
        AlertsCommand::List { files, measures: false, .. } => {
            let set = read_rules(files, files.is_empty(), Nanos::from_secs(10))?;
            for rule in &set.rules {
                list(rule, out)?;
            }
            fail_on_errors(&set)
        }
        AlertsCommand::Check { files, interval } => {
            let set = read_rules(files, false, Nanos::from_secs(i64::from(*interval)))?;
            fail_on_errors(&set)?;
            let off = if set.disabled.is_empty() { String::new() } else { format!(", {} off", set.disabled.len()) };
            Ok(writeln!(out, "{} rules, all good{off}", set.rules.len())?)
        }
        AlertsCommand::Test { files, verbose } => super::testing::run(files, *verbose, out),
        AlertsCommand::Backtest(args) => backtest(args, out),
    }
}

/// Prints each error on a line of its own.
fn fail_on_errors(set: &RuleSet) -> anyhow::Result<()> {
    let Some((last, before)) = set.errors.split_last() else { return Ok(()) };
    for error in before {
        eprintln!("auscult: {}", auscult_core::units::text::clean_lines(&error.to_string(), usize::MAX));
    }
    bail!(last.to_string())
}

fn list(rule: &Rule, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "{} ({}) {}:{}", rule.name, rule.severity, rule.place.file, rule.place.line)?;
    let by: Vec<&str> = rule.by.iter().map(|label| label.name()).collect();
    let by = if by.is_empty() { "all together".to_owned() } else { format!("by {}", by.join(", ")) };
    let unit = rule.unit();
    let test = match &rule.test {
        Test::Fixed { side, fire, clear } => {
            let (over, under) = if *side == Side::Above { ("above", "below") } else { ("below", "above") };
            format!("fires {over} {fire} {unit}, clears {under} {clear} {unit}")
        }
        Test::Baseline(b) => format!(
            "fires {} the median of the same hour of {} weeks (at least {}) by {}, time zone {}",
            if b.side == Side::Above { "above" } else { "below" },
            b.weeks,
            b.min_weeks,
            match b.limit {
                BaselineLimit::Deviations { k, floor } => format!("{k} deviations, at least {floor} {unit}"),
                BaselineLimit::Percent { percent, floor } =>
                    format!("{percent} % of it where it is {floor} {unit} or more"),
            },
            b.timezone
        ),
        Test::Burn { factor, goal_pct, short } => {
            format!("burns the budget of a goal of {goal_pct} % {factor} times too fast, in {} too", write_span(*short))
        }
    };
    writeln!(out, "    {} {by}: {test}", rule.measure_name())?;
    writeln!(
        out,
        "    window {}, widened to {}, every {}, delay {}, {}, keep_firing_for {}, need {} {}, confidence {}",
        write_span(rule.window),
        write_span(rule.widen_to),
        write_span(rule.every),
        write_span(rule.delay),
        match rule.hold {
            Hold::For(length) => format!("for {}", write_span(length)),
            Hold::Hits { at_least, of } => format!("{at_least} of {of} evaluations"),
        },
        write_span(rule.keep_firing_for),
        rule.need,
        rule.sample_unit(),
        rule.confidence
    )?;
    let inhibits = if rule.inhibits.is_empty() { "nothing".to_owned() } else { rule.inhibits.join(", ") };
    writeln!(
        out,
        "    blind above {} % of capture loss, no data: {}, at most {} groups, inhibits {inhibits}",
        rule.max_capture_loss_pct,
        rule.no_data.name(),
        rule.max_groups
    )
}

/// A span in which a group fired.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    pub rule: String,
    pub severity: String,
    pub group: String,
    pub from: Timestamp,
    /// `None` when it went on to the end.
    pub to: Option<Timestamp>,
    pub peak: Option<f64>,
    pub unit: &'static str,
    pub description: String,
    /// Which calls are behind it, by the window in which it fired; and the worst of them.
    pub behind: CallsBehind,
    pub calls: Vec<CallUid>,
}

/// What rules did over a span of time.
#[derive(Debug, Default)]
pub struct Log {
    pub firings: Vec<Firing>,
    /// Evaluations that were not judged because the capture was blind, by rule: their time.
    pub blind: BTreeMap<String, Nanos>,
    open: BTreeMap<(String, GroupKey), usize>,
}

impl Log {
    pub fn add(&mut self, evaluations: &[Evaluation]) {
        for evaluation in evaluations {
            let key = (evaluation.rule.name.clone(), evaluation.group.clone());
            if evaluation.judgement == State::Blind {
                let blind = self.blind.entry(evaluation.rule.name.clone()).or_default();
                *blind += evaluation.rule.every;
            }
            let fires = evaluation.state.is_firing() && evaluation.inhibited_by.is_none();
            match (fires, self.open.get(&key).copied()) {
                (true, None) => {
                    self.open.insert(key, self.firings.len());
                    self.firings.push(Firing {
                        rule: evaluation.rule.name.clone(),
                        severity: evaluation.rule.severity.clone(),
                        group: group_text(&evaluation.group),
                        from: evaluation.at,
                        to: None,
                        peak: evaluation.peak,
                        unit: evaluation.rule.unit(),
                        description: evaluation.render().description,
                        behind: CallsBehind::of(evaluation),
                        calls: Vec::new(),
                    });
                }
                (true, Some(index)) => self.firings[index].peak = evaluation.peak.or(self.firings[index].peak),
                (false, Some(index)) => {
                    self.firings[index].to = Some(evaluation.at);
                    self.open.remove(&key);
                }
                (false, None) => {}
            }
        }
    }
}

/// Alerts whose calls are looked up, and how many of each.
const LOOKUPS: usize = 500;
const CALLS: u32 = 20;

/// Calls of captures that are kept to be found behind alerts.
const KEPT_CALLS: usize = 200_000;

/// Groups by the time they were known.
type Known = Vec<(Timestamp, Arc<str>, Arc<str>, OwnedGroup)>;

enum OwnedGroup {
    Group(Group),
    Capture(CaptureSums),
}

fn backtest(args: &BacktestArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default_config()?,
    };
    if let Some(data) = &args.data {
        config.store.data = data.clone();
        config.store.server = None;
    }
    let set = read_rules(&args.files, args.files.is_empty(), config.policy.interval)?;
    fail_on_errors(&set)?;
    let old = match &args.diff {
        None => None,
        Some(path) => {
            let old = read_rules(std::slice::from_ref(path), false, config.policy.interval)?;
            fail_on_errors(&old)?;
            Some(old)
        }
    };
    let time = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => match Timestamp::parse_rfc3339(text) {
            Some(at) => Ok(Some(at)),
            None => bail!("--{name} {text}: write a time as 2026-03-01T00:00:00Z"),
        },
    };
    let (from, to) = (time("from", &args.from)?, time("to", &args.to)?);
    let sets: Vec<RuleSet> = std::iter::once(set).chain(old).collect();
    for rule in sets.iter().flat_map(|set| &set.rules) {
        if matches!(rule.what, auscult_core::alert::rule::What::Sql(_)) {
            writeln!(out, "rule {} has a statement and is left out: it asks the store of now", rule.name)?;
        }
    }
    let mut runs: Vec<(Evaluator, Log)> =
        sets.into_iter().map(|set| (Evaluator::new(set.rules), Log::default())).collect();
    let span = if args.read.is_empty() {
        over_store(args, &config, from, to, &mut runs)?
    } else {
        over_captures(args, &config, from, to, &mut runs)?
    };
    let unknown: usize = runs.iter().map(|(_, log)| log.firings.len().saturating_sub(LOOKUPS)).sum();
    if unknown > 0 {
        eprintln!("the calls behind {unknown} alerts were not looked up: more than {LOOKUPS} fired");
    }
    let logs: Vec<Log> = runs.into_iter().map(|(_, log)| log).collect();
    match logs.as_slice() {
        [log] => write_log(log, span, args.json, out),
        [new, old] => write_diff(new, old, args.json, out),
        _ => Ok(()),
    }
}

/// Evaluates all rules at each time that is due until `until`.
fn evaluate_until(runs: &mut [(Evaluator, Log)], at: &mut Timestamp, until: Timestamp) {
    for (evaluator, log) in runs {
        let mut now = *at;
        while let Some(next) = evaluator.next_after(now).filter(|next| *next <= until) {
            let mut evaluations = Vec::new();
            evaluator.evaluate(next, &mut evaluations);
            log.add(&evaluations);
            now = next;
        }
    }
    *at = (*at).max(until);
}

/// What a backtest keeps of the events of captures.
struct Collect<'a> {
    labels: &'a Labels,
    groups: Groups,
    found: Vec<OwnedGroup>,
    calls: Vec<RunningCall>,
    codecs: HashMap<StreamId, RunningStream>,
    forgotten: u64,
}

impl Sink for Collect<'_> {
    fn push(&mut self, event: Event) {
        let trunk = crate::app::feed::trunk(self.labels, &event);
        match &event {
            Event::CallEnded(call) if self.calls.len() < KEPT_CALLS => {
                let streams = call.streams.iter().filter_map(|id| self.codecs.remove(id)).collect();
                let record = Arc::new((**call).clone());
                self.calls.push(RunningCall { record, trunk: trunk.name.into(), streams });
            }
            Event::CallEnded(_) => self.forgotten += 1,
            Event::StreamEnded(stream) if self.codecs.len() < KEPT_CALLS => {
                let (src, dst, codec) = (stream.src, stream.dst, stream.codec.clone());
                self.codecs.insert(stream.id, RunningStream { src, dst, codec });
            }
            _ => {}
        }
        let found = &mut self.found;
        self.groups.event(&event, trunk, &mut |group| found.push(OwnedGroup::Group(group)));
        if let Event::Capture(capture) = &event {
            self.found.push(OwnedGroup::Capture(CaptureSums::from(&**capture)));
        }
    }
}

fn over_captures(
    args: &BacktestArgs,
    config: &Config,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    runs: &mut [(Evaluator, Log)],
) -> anyhow::Result<(Timestamp, Timestamp)> {
    let mut timeline = Timeline::open(&args.read)?;
    let policy = auscult_core::model::Policy { messages: MessagePolicy::all(Messages::Off), ..config.policy.clone() };
    let mut engine = Engine::new(config.limits.clone(), policy.clone(), 1, crate::app::random_seed());
    engine.set_source("backtest", TimestampSource::CaptureFile, timeline.resolution_ns());
    let mut sink = Collect {
        labels: &config.labels,
        groups: Groups::new(&config.limits, &policy),
        found: Vec::new(),
        calls: Vec::new(),
        codecs: HashMap::new(),
        forgotten: 0,
    };
    let origin = Origin { probe: &config.labels.probe, site: &config.labels.site };
    let (mut begin, mut at, mut last) = (None, Timestamp::default(), Timestamp::default());
    let add = |runs: &mut [(Evaluator, Log)], found: &mut Vec<OwnedGroup>, now: Timestamp| {
        for input in found.drain(..) {
            for (evaluator, _) in &mut *runs {
                add_input(evaluator, &input, origin, now);
            }
        }
    };
    let skipped = |frame: Timestamp| from.is_some_and(|from| frame < from) || to.is_some_and(|to| frame >= to);
    while let Some(frame) = timeline.next_frame()? {
        if skipped(frame.at) {
            continue;
        }
        if begin.is_none() {
            begin = Some(frame.at);
            at = frame.at;
        }
        last = last.max(frame.at);
        let (time, link, len) = (frame.at, frame.link, frame.wire_len as usize);
        engine.frame(time, link, frame.bytes, len, &mut sink);
        let Collect { groups, found, .. } = &mut sink;
        groups.close_before(engine.interval_end(), &mut |group| found.push(OwnedGroup::Group(group)));
        if !sink.found.is_empty() || last - at >= Nanos::from_secs(10) {
            add(runs, &mut sink.found, last);
            evaluate_until(runs, &mut at, last);
        }
    }
    engine.finish(&mut sink);
    let Collect { groups, found, .. } = &mut sink;
    groups.finish(&mut |group| found.push(OwnedGroup::Group(group)));
    add(runs, &mut sink.found, last);
    // Windows that end with the capture are judged after its end.
    let end = last + Nanos::from_secs(60);
    evaluate_until(runs, &mut at, end);
    let begin = begin.context("the captures have no frame in this time")?;
    if sink.forgotten > 0 {
        eprintln!("{} of the calls were not kept, and are not named behind alerts", sink.forgotten);
    }
    for firing in runs.iter_mut().flat_map(|(_, log)| log.firings.iter_mut().take(LOOKUPS)) {
        let CallsBehind { filter, window, sort } = firing.behind.clone();
        // The direction is not among what is kept of a call here.
        let filter = CallFilter { trunk_direction: None, ..filter };
        let site = config.labels.site.clone();
        let mut found = RunningList { filter, sort, site, window, limit: CALLS as usize, after: None }.begin();
        sink.calls.iter().for_each(|call| found.add(call.clone()));
        firing.calls = found.end().0.iter().map(|call| call.record.uid).collect();
    }
    Ok((begin, last))
}

fn add_input(evaluator: &mut Evaluator, input: &OwnedGroup, origin: Origin<'_>, now: Timestamp) {
    match input {
        OwnedGroup::Group(Group::Media(group)) => evaluator.add(&SumsInput::Media(group), origin, now),
        OwnedGroup::Group(Group::Calls(group)) => evaluator.add(&SumsInput::Calls(group), origin, now),
        OwnedGroup::Capture(capture) => evaluator.add(&SumsInput::Capture(*capture), origin, now),
    }
}

fn over_store(
    args: &BacktestArgs,
    config: &Config,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    runs: &mut [(Evaluator, Log)],
) -> anyhow::Result<(Timestamp, Timestamp)> {
    let (Some(from), Some(to)) = (from, to) else {
        bail!("over a store a backtest needs --from and --to; over captures it needs --read");
    };
    if to <= from || to - from > Nanos::from_secs(92 * 86_400) {
        bail!("--to must be after --from, by at most 92 days");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let reader = store_reader(config)?;
        let ask = || reader.session(Cost::Scan, None);
        // Rows of before fill the windows and baselines of the first evaluations.
        let longest = runs.iter().map(|(evaluator, _)| evaluator.span()).max().unwrap_or(Nanos(0));
        let warm = (from - longest).floor_to(replayed::HOUR);
        let weeks = runs.iter().map(|(evaluator, _)| evaluator.baseline_weeks()).max().unwrap_or(0);
        if weeks > 0 {
            for row in ask().await?.call_hours(warm - history(weeks), warm, "").await? {
                let input = OwnedGroup::Group(Group::Calls(Box::new(row.group())));
                let origin = Origin { probe: &row.probe, site: &row.site };
                runs.iter_mut().for_each(|(evaluator, _)| add_input(evaluator, &input, origin, warm));
            }
        }
        replay_rows(&reader, (warm, from, to), args.hindsight, runs).await?;
        for firing in runs.iter_mut().flat_map(|(_, log)| log.firings.iter_mut().take(LOOKUPS)) {
            let CallsBehind { filter, window, sort } = &firing.behind;
            firing.calls = ask().await?.call_uids(filter, *window, *sort, CALLS).await?;
        }
        anyhow::Ok(())
    })?;
    Ok((from, to))
}

/// Adds the rows of groups in the order they became known, and evaluates the rules between them. Those before `from` fill the windows
/// of the first evaluations.
async fn replay_rows(
    reader: &Reader,
    (warm, from, to): (Timestamp, Timestamp, Timestamp),
    hindsight: bool,
    runs: &mut [(Evaluator, Log)],
) -> anyhow::Result<()> {
    let (mut at, mut begin) = (from, warm);
    // Rows that arrive after the evaluations of their chunk wait for theirs.
    let mut waiting: Known = Vec::new();
    while begin < to {
        let end = (begin + replayed::CHUNK).min(to);
        let rows = reader.session(Cost::Scan, None).await?.group_rows(begin, end, "").await?;
        known(rows, hindsight, &mut waiting)?;
        waiting.sort_by_key(|(known, ..)| *known);
        let rest = waiting.split_off(waiting.partition_point(|(known, ..)| *known <= end));
        for (known, probe, site, input) in std::mem::replace(&mut waiting, rest) {
            if known > at {
                evaluate_until(runs, &mut at, known);
            }
            let origin = Origin { probe: &probe, site: &site };
            runs.iter_mut().for_each(|(evaluator, _)| add_input(evaluator, &input, origin, known));
        }
        if end > from {
            evaluate_until(runs, &mut at, end);
        }
        begin = end;
    }
    Ok(())
}

/// Reads the store of the configuration. The embedded engine has its files for itself: a program that runs on them is asked.
fn store_reader(config: &Config) -> anyhow::Result<Reader> {
    let backend = match &config.store.server {
        None => Backend::embedded(config.store.data.join("clickhouse"), config.store.library.clone()),
        Some(server) => Backend::Server {
            url: server.url.clone(),
            user: server.user.clone(),
            password: server.password.clone(),
            database: server.database.clone(),
            cluster: server.cluster.clone(),
            tls: config.tls.clickhouse.clone(),
        },
    };
    let running = match config.store.server {
        None => local_client(&config.store.data)?,
        Some(_) => None,
    };
    Ok(Reader::new(match running {
        Some(client) => client,
        None => backend.open()?.reader(),
    }))
}

fn known(rows: auscult_store::query::GroupRows, hindsight: bool, known: &mut Known) -> anyhow::Result<()> {
    let when = |end: Timestamp, arrived_ms: i64| -> anyhow::Result<Timestamp> {
        match (hindsight, arrived_ms) {
            (true, _) => Ok(end),
            (false, 0) => bail!(
                "rows of {} do not say when they arrived (they are older than that column): use --hindsight",
                end.to_rfc3339()
            ),
            (false, ms) if Nanos(ms * 1_000_000 - end.0) > Nanos::from_secs(86_400) => bail!(
                "rows of {} arrived more than a day later, as those of a replayed capture do: use --hindsight",
                end.to_rfc3339()
            ),
            (false, ms) => Ok(Timestamp(ms * 1_000_000)),
        }
    };
    for row in rows.capture {
        let input = replayed::capture_sums(&row);
        let at = when(input.start + input.length, row.arrived_ms)?;
        known.push((at, row.probe.into(), row.site.into(), OwnedGroup::Capture(input)));
    }
    for (row, arrived) in rows.media {
        let group = row.group();
        let at = when(group.start + group.length, arrived)?;
        known.push((at, row.probe.into(), row.site.into(), OwnedGroup::Group(Group::Media(Box::new(group)))));
    }
    for (row, arrived) in rows.calls {
        let group = row.group();
        let at = when(group.start + group.length, arrived)?;
        known.push((at, row.probe.into(), row.site.into(), OwnedGroup::Group(Group::Calls(Box::new(group)))));
    }
    Ok(())
}

fn firing_json(firing: &Firing) -> serde_json::Value {
    json!({
        "rule": firing.rule,
        "severity": firing.severity,
        "group": firing.group,
        "from": firing.from.to_rfc3339(),
        "to": firing.to.map(Timestamp::to_rfc3339),
        "duration_s": firing.to.map(|to| (to - firing.from).as_secs_f64()),
        "peak": firing.peak,
        "unit": firing.unit,
        "description": firing.description,
        "calls": firing.calls.iter().map(CallUid::to_string).collect::<Vec<_>>(),
    })
}

fn write_firing(firing: &Firing, out: &mut impl Write) -> std::io::Result<()> {
    let lasted = firing.to.map_or_else(|| "to the end".to_owned(), |to| write_span(to - firing.from));
    let peak = firing.peak.map_or_else(String::new, |peak| format!(", peak {peak:.2} {}", firing.unit));
    let (rule, group) = (&firing.rule, auscult_core::units::text::clean(&firing.group, usize::MAX));
    writeln!(out, "{}  {:<8} {rule}  {group}  {lasted}{peak}", clock(firing.from), firing.severity)?;
    match firing.calls.is_empty() {
        true => Ok(()),
        false => {
            let worst: Vec<String> = firing.calls.iter().take(5).map(CallUid::to_string).collect();
            let more = firing.calls.len() - worst.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(out, "    calls: {}{more}", worst.join(" "))
        }
    }
}

fn write_log(log: &Log, (from, to): (Timestamp, Timestamp), as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let weeks = ((to - from).as_secs_f64() / (7.0 * 86_400.0)).max(1e-9);
    let pages = log.firings.iter().filter(|firing| firing.severity == "critical").count();
    if as_json {
        let blind: BTreeMap<&String, f64> = log.blind.iter().map(|(rule, time)| (rule, time.as_secs_f64())).collect();
        let document = json!({
            "from": from.to_rfc3339(),
            "to": to.to_rfc3339(),
            "firings": log.firings.iter().map(firing_json).collect::<Vec<_>>(),
            "alerts_per_week": log.firings.len() as f64 / weeks,
            "pages_per_week": pages as f64 / weeks,
            "blind_s": blind,
        });
        return Ok(writeln!(out, "{document:#}")?);
    }
    for firing in &log.firings {
        write_firing(firing, out)?;
    }
    writeln!(out, "{} alerts, {pages} of them critical, from {} to {}", log.firings.len(), clock(from), clock(to))?;
    if weeks >= 1.0 {
        writeln!(
            out,
            "{:.1} alerts and {:.1} critical ones a week",
            log.firings.len() as f64 / weeks,
            pages as f64 / weeks
        )?;
    }
    for (rule, time) in &log.blind {
        writeln!(out, "{rule} was blind for {}, all groups together", write_span(*time))?;
    }
    Ok(())
}

fn write_diff(new: &Log, old: &Log, as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let overlaps = |a: &Firing, b: &Firing| {
        let end = |firing: &Firing| firing.to.unwrap_or(Timestamp::MAX);
        a.rule == b.rule && a.group == b.group && a.from < end(b) && b.from < end(a)
    };
    let only = |a: &Log, b: &Log| -> Vec<Firing> {
        a.firings.iter().filter(|x| !b.firings.iter().any(|y| overlaps(x, y))).cloned().collect()
    };
    let (added, spared) = (only(new, old), only(old, new));
    if as_json {
        let list = |firings: &[Firing]| firings.iter().map(firing_json).collect::<Vec<_>>();
        return Ok(writeln!(out, "{:#}", json!({ "fired_now": list(&added), "spared": list(&spared) }))?);
    }
    for (word, firings) in [("fires now", &added), ("spared", &spared)] {
        for firing in firings {
            write!(out, "{word:<10} ")?;
            write_firing(firing, out)?;
        }
    }
    Ok(writeln!(
        out,
        "{} alerts more, {} spared, {} as before",
        added.len(),
        spared.len(),
        new.firings.len() - added.len()
    )?)
}

/// A length of time in a test file.
pub(super) fn span_of(text: &str) -> anyhow::Result<Nanos> {
    parse_span(text).with_context(|| format!("{text:?} is no length of time: write 30s, 5m, 12h or 7d"))
}
