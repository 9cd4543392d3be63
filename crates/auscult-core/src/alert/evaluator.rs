//! Rules over windows: what each group of each rule is at a time. Time is an argument, so that live evaluation, tests of rules
//! and backtests are one loop.

use super::baseline;
use super::measure::{Figure, Kind, Measure, SampleUnit, Source};
use super::rule::{Baseline, Hold, NoData, Rule, Side, Test, What};
use super::sums::{
    CaptureSums, Coverage, Group, GroupKey, Label, Measured, OVERFLOW, Origin, Probes, Series, SumsInput,
};
use crate::units::{Nanos, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a group of a rule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    #[default]
    Ok,
    /// Beyond the limit, and not yet for as long as the rule wants.
    Pending,
    Firing,
    /// Cleared, and still reported as firing (`keep_firing_for`).
    Keeping,
    /// The capture missed frames, or the probe saw none: not judged.
    Blind,
    /// Fewer samples than the rule needs: not judged.
    Few,
    /// Nothing to measure.
    NoData,
    /// The statement of the rule failed.
    Error,
}

impl State {
    pub const ALL: [State; 8] = [
        State::Ok,
        State::Pending,
        State::Firing,
        State::Keeping,
        State::Blind,
        State::Few,
        State::NoData,
        State::Error,
    ];

    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Pending => "pending",
            State::Firing => "firing",
            State::Keeping => "keeping",
            State::Blind => "blind",
            State::Few => "few",
            State::NoData => "no_data",
            State::Error => "error",
        }
    }

    /// Whether receivers are notified of it.
    pub fn is_firing(self) -> bool {
        matches!(self, State::Firing | State::Keeping)
    }
}

/// One evaluation of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    pub rule: Arc<Rule>,
    pub group: GroupKey,
    pub at: Timestamp,
    pub state: State,
    pub previous: State,
    /// What this window alone says: `ok` within the limit, `firing` beyond it, or why it is not judged.
    pub judgement: State,
    /// When the group became pending, or fired.
    pub since: Option<Timestamp>,
    /// When the alert fired that goes on, or ends with this evaluation.
    pub fired_at: Option<Timestamp>,
    /// The window, after widening.
    pub from: Timestamp,
    pub until: Timestamp,
    pub measured: Option<Measured>,
    pub limit: Option<f64>,
    /// Percent of frames or packets that the capture missed, the larger.
    pub capture_loss_pct: f64,
    /// Median and deviation of the same hour in the weeks before.
    pub baseline: Option<(f64, f64)>,
    /// The rule that says this already.
    pub inhibited_by: Option<String>,
    /// The value farthest beyond the limit since the group became pending.
    pub peak: Option<f64>,
    /// Why the window was not judged: what a statement said, or what the capture did not see.
    pub why: Option<String>,
}

impl Evaluation {
    /// What a window alone says.
    fn of(rule: &Arc<Rule>, group: &GroupKey, judged: Judged, at: Timestamp) -> Evaluation {
        Evaluation {
            rule: rule.clone(),
            group: group.clone(),
            at,
            state: State::Ok,
            previous: State::Ok,
            judgement: judged.judgement,
            since: None,
            fired_at: None,
            from: judged.from,
            until: at - rule.delay,
            measured: judged.measured,
            limit: judged.limit,
            capture_loss_pct: judged.capture_loss_pct,
            baseline: judged.baseline,
            inhibited_by: None,
            peak: None,
            why: judged.why,
        }
    }

    pub fn changed(&self) -> bool {
        self.state != self.previous
    }

    /// The bound that has to be beyond the limit.
    pub fn bound(&self) -> Option<f64> {
        let measured = self.measured?;
        match self.rule.side() {
            Side::Above => Some(measured.low),
            Side::Below => measured.high,
        }
    }
}

/// What has to outlive a restart of one group of a rule.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    pub state: State,
    /// Becoming pending or firing.
    pub since: Option<i64>,
    pub clear_since: Option<i64>,
    /// The newest evaluation is the lowest bit: whether it was beyond the limit.
    pub hits: u64,
    /// When the group was judged last.
    pub judged: i64,
    pub peak: Option<f64>,
    /// Spans in which the group fired, which baselines leave out.
    #[serde(default)]
    pub fired: Vec<(i64, i64)>,
}

/// An alert that fires is held for so long while its windows are not judged. Then it ends, because its cause is unknown by then.
pub const HELD: Nanos = Nanos::from_secs(12 * 3600);

/// Evaluations before an alert that [`Evaluator::lead_up`] gives.
const LEAD: i64 = 30;

/// Spans of firing that are remembered for each group.
const FIRED: usize = 200;

/// One row of the answer to a rule's statement.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlRow {
    pub labels: Vec<(String, String)>,
    pub value: Option<f64>,
    pub bound: Option<f64>,
    pub samples: u64,
    pub drops_pct: f64,
}

#[derive(Clone)]
pub(super) struct Judged {
    judgement: State,
    measured: Option<Measured>,
    limit: Option<f64>,
    from: Timestamp,
    capture_loss_pct: f64,
    baseline: Option<(f64, f64)>,
    /// Within the clear limit.
    clear: bool,
    why: Option<String>,
}

/// All rules and what they are evaluated from.
pub struct Evaluator {
    rules: Vec<Ruled>,
    series: Vec<Series>,
    probes: Probes,
    /// How long the oldest row of a probe has waited for the store, seconds.
    store_lag: BTreeMap<(Arc<str>, Arc<str>), u64>,
    sql: BTreeMap<String, Result<Vec<SqlRow>, String>>,
    span: Nanos,
    /// The first evaluation: of the time before nothing is said.
    began: Option<Timestamp>,
}

struct Ruled {
    rule: Arc<Rule>,
    /// Of the window, and of the short window of a burn rate.
    series: Option<usize>,
    short: Option<usize>,
    groups: BTreeMap<GroupKey, Memory>,
}

impl Evaluator {
    pub fn new(rules: Vec<Rule>) -> Evaluator {
        let mut all = Evaluator {
            rules: Vec::new(),
            series: Vec::new(),
            probes: Probes::default(),
            store_lag: BTreeMap::new(),
            sql: BTreeMap::new(),
            span: Nanos::from_secs(3600),
            began: None,
        };
        for rule in rules {
            let hours = match &rule.test {
                Test::Baseline(baseline) => (baseline.weeks + 1) * 168 + 2,
                _ => 0,
            };
            let longest = rule.widen_to + rule.delay + Nanos::from_secs(3600);
            all.span = all.span.max(longest);
            let series = all.series_of(&rule, rule.window, longest, hours);
            let short = match &rule.test {
                Test::Burn { short, .. } => {
                    all.series_of(&rule, *short, *short + rule.delay + Nanos::from_secs(3600), 0)
                }
                _ => None,
            };
            all.rules.push(Ruled { rule: Arc::new(rule), series, short, groups: BTreeMap::new() });
        }
        all
    }

    fn series_of(&mut self, rule: &Rule, window: Nanos, span: Nanos, hours: u32) -> Option<usize> {
        let key = rule.series(window)?;
        let index = match self.series.iter().position(|series| series.is_of(&key)) {
            Some(index) => index,
            None => {
                self.series.push(Series::new(&key));
                self.series.len() - 1
            }
        };
        self.series[index].keep(span, hours);
        Some(index)
    }

    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().map(|ruled| &ruled.rule)
    }

    /// Adds a row. `now` is when it came.
    pub fn add(&mut self, input: &SumsInput<'_>, origin: Origin<'_>, now: Timestamp) {
        if let SumsInput::Capture(capture) = input {
            self.probes.add(origin, capture);
        }
        for series in &mut self.series {
            series.add(input, origin, now);
        }
    }

    /// Says how long the oldest row of this probe has waited for the store.
    pub fn store_lag(&mut self, origin: Origin<'_>, lag: Nanos) {
        let seconds = (lag.0 / 1_000_000_000).max(0) as u64;
        self.store_lag.insert((origin.probe.into(), origin.site.into()), seconds);
    }

    /// The answer to the statement of a rule, for its next evaluation. One with more than `max_groups` rows is an error: which of
    /// them matter is for the statement to say.
    pub fn sql_answer(&mut self, rule: &str, answer: Result<Vec<SqlRow>, String>) {
        let most = self.rules.iter().find(|ruled| ruled.rule.name == rule).map_or(0, |ruled| ruled.rule.max_groups);
        let answer = match answer {
            Ok(rows) if rows.len() > most => {
                Err(format!("it gives more than {most} groups (max_groups): group by less, or add a LIMIT"))
            }
            answer => answer,
        };
        self.sql.insert(rule.to_owned(), answer);
    }

    /// Says that a probe is measuring: from then on it counts as silent while it sees no frame.
    pub fn probe_began(&mut self, origin: Origin<'_>, at: Timestamp) {
        self.probes.began(origin, at);
    }

    /// How far back rows are needed.
    pub fn span(&self) -> Nanos {
        self.span
    }

    /// Weeks before of which hours of calls are needed; 0 without a rule that has a baseline.
    pub fn baseline_weeks(&self) -> u32 {
        let weeks = |rule: &Rule| match &rule.test {
            Test::Baseline(baseline) => baseline.weeks,
            _ => 0,
        };
        self.rules.iter().map(|ruled| weeks(&ruled.rule)).max().unwrap_or(0)
    }

    /// Rows that went to a group of all others, because there were more than `max_groups`.
    pub fn overflowed(&self) -> u64 {
        self.series.iter().map(Series::overflowed).sum()
    }

    /// The first time after `at` at which a rule is due.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let next = |rule: &Rule| Timestamp((at.0.div_euclid(rule.every.0) + 1) * rule.every.0);
        self.rules.iter().map(|ruled| next(&ruled.rule)).min()
    }

    /// What outlives a restart, by rule and group.
    pub fn memories(&self) -> impl Iterator<Item = (&Arc<Rule>, &GroupKey, &Memory)> {
        self.rules.iter().flat_map(|ruled| ruled.groups.iter().map(|(group, memory)| (&ruled.rule, group, memory)))
    }

    /// Carries on the state of a group. False where there is no such rule any more, or it groups by something else.
    pub fn restore(&mut self, rule: &str, group: &[(Label, Arc<str>)], memory: Memory) -> bool {
        let by: Vec<Label> = group.iter().map(|(label, _)| *label).collect();
        let groups_so = |rule: &Rule| match rule.what {
            // The labels of a statement are one text, and none where it has none.
            What::Sql(_) => by.iter().all(|label| *label == Label::Statement),
            What::Measure(_) => rule.by == by,
        };
        let found = self.rules.iter_mut().find(|ruled| ruled.rule.name == rule && groups_so(&ruled.rule));
        found.is_some_and(|ruled| ruled.groups.insert(group.into(), memory).is_none())
    }

    /// Evaluates the rules that are due at `at`: groups that are not ok, were not, or are watched.
    pub fn evaluate(&mut self, at: Timestamp, out: &mut Vec<Evaluation>) {
        let first = out.len();
        self.began.get_or_insert(at);
        for index in 0..self.rules.len() {
            if at.0.rem_euclid(self.rules[index].rule.every.0) == 0 {
                self.evaluate_rule(index, at, out);
            }
        }
        self.inhibit(&mut out[first..]);
        for series in &mut self.series {
            series.trim(at);
        }
        self.probes.trim(at, self.span);
    }

    fn evaluate_rule(&mut self, index: usize, at: Timestamp, out: &mut Vec<Evaluation>) {
        let rule = self.rules[index].rule.clone();
        let mut keys: BTreeSet<GroupKey> = self.rules[index].groups.keys().cloned().collect();
        keys.extend(self.keys(index, at));
        for key in keys {
            let memory = self.rules[index].groups.get(&key).cloned().unwrap_or_default();
            let judged = self.judge(index, &key, &memory, at);
            let mut next = memory.clone();
            advance(&rule, &mut next, &judged, at);
            let fired = [&next, &memory].into_iter().find(|memory| memory.state.is_firing());
            out.push(Evaluation {
                state: next.state,
                previous: memory.state,
                since: next.since.map(Timestamp),
                fired_at: fired.and_then(|memory| memory.since).map(Timestamp),
                peak: next.peak.or(memory.peak),
                ..Evaluation::of(&rule, &key, judged, at)
            });
            if matches!(next.state, State::Ok | State::NoData)
                && next.fired.is_empty()
                && !self.has_rows(index, &key, at)
            {
                self.rules[index].groups.remove(&key);
            } else {
                self.rules[index].groups.insert(key, next);
            }
        }
    }

    /// What the evaluations before the time of this one found, as far as rows are still held: the way to an alert, of which nothing
    /// was kept while all was well. Those up to `after` and those before the first evaluation are left out; at most [`LEAD`], the
    /// oldest first.
    pub fn lead_up(&self, evaluation: &Evaluation, after: Timestamp) -> Vec<Evaluation> {
        let (rule, key) = (&evaluation.rule, &evaluation.group);
        let Some(index) = self.rules.iter().position(|ruled| Arc::ptr_eq(&ruled.rule, rule)) else { return Vec::new() };
        if self.rules[index].series.is_none() {
            return Vec::new();
        }
        let memory = self.rules[index].groups.get(key).cloned().unwrap_or_default();
        let steps = LEAD.min((3600 * 1_000_000_000 / rule.every.0).max(1));
        let times = (1..=steps).rev().map(|step| evaluation.at - Nanos(step * rule.every.0));
        times
            .filter(|at| *at > after && self.began.is_some_and(|began| *at >= began))
            .map(|at| {
                let judged = self.judge(index, key, &memory, at);
                let state = if judged.judgement == State::Firing { State::Ok } else { judged.judgement };
                Evaluation { state, previous: state, ..Evaluation::of(rule, key, judged, at) }
            })
            .collect()
    }

    /// Whether rows of the last seven days, or the last answer to the statement, have this group.
    fn has_rows(&self, index: usize, key: &GroupKey, at: Timestamp) -> bool {
        let ruled = &self.rules[index];
        match (&ruled.rule.what, ruled.series) {
            (What::Sql(_), _) => match self.sql.get(&ruled.rule.name) {
                Some(Ok(rows)) => rows.iter().any(|row| sql_key(row) == *key),
                _ => false,
            },
            (_, Some(series)) => self.series[series].group(key).is_some_and(|group| group.is_remembered(at)),
            // Probes are few, and forgotten by themselves.
            (What::Measure(_), None) => true,
        }
    }

    /// Groups that rows, probes or the answer to a statement name.
    fn keys(&self, index: usize, at: Timestamp) -> Vec<GroupKey> {
        let ruled = &self.rules[index];
        let rule = &ruled.rule;
        let of_probe = |probe: &Arc<str>, site: &Arc<str>| -> GroupKey {
            let value = |label: &Label| if *label == Label::Site { site.clone() } else { probe.clone() };
            rule.by.iter().map(|label| (*label, value(label))).collect()
        };
        match (&rule.what, ruled.series) {
            (What::Sql(_), _) => {
                let rows = self.sql.get(&rule.name).and_then(|answer| answer.as_ref().ok());
                match rows {
                    // Labels of a statement are no columns of ours: a group is their text.
                    Some(rows) => rows.iter().map(sql_key).collect(),
                    None => vec![Arc::from([])],
                }
            }
            (_, Some(series)) => {
                let known = self.series[series].groups().filter(|(_, group)| group.is_remembered(at));
                known.map(|(key, _)| key.clone()).collect()
            }
            (What::Measure(measure), None) => match measure.figure {
                Figure::Silence => self.probes.heard().map(|(probe, site, _)| of_probe(probe, site)).collect(),
                Figure::StoreLag => self.store_lag.keys().map(|(probe, site)| of_probe(probe, site)).collect(),
                _ => vec![Arc::from([])],
            },
        }
    }

    /// What the window that ends at `at`, less the delay of the rule, says of a group.
    fn judge(&self, index: usize, key: &GroupKey, memory: &Memory, at: Timestamp) -> Judged {
        let ruled = &self.rules[index];
        let rule = &ruled.rule;
        let until = at - rule.delay;
        let nothing = Judged {
            judgement: State::NoData,
            measured: None,
            limit: rule.fixed_limit(),
            from: until - rule.window,
            capture_loss_pct: 0.0,
            baseline: None,
            clear: false,
            why: None,
        };
        let What::Measure(measure) = &rule.what else { return self.judge_sql(rule, key, nothing) };
        if matches!(measure.figure, Figure::Alive | Figure::StoreLag | Figure::Silence) {
            return self.judge_probe(rule, measure.figure, key, nothing, at);
        }
        let Some((series, group)) = ruled
            .series
            .and_then(|series| Some((&self.series[series], self.series[series].group(key)?)))
            .filter(|(_, group)| group.is_remembered(at))
        else {
            return nothing;
        };
        let short = ruled.short.and_then(|index| Some((&self.series[index], self.series[index].group(key)?)));
        let sums = GroupSums { rule, measure, series, group, short, fired: &memory.fired, until };
        let mut window = rule.window;
        loop {
            let judged = self.judge_window(&sums, window, nothing.clone());
            let wider = Nanos(window.0 * 2);
            if !may_change_with_more_samples(rule, &judged) || wider > rule.widen_to {
                return judged;
            }
            window = wider;
        }
    }

    /// Judges one window, unless the capture did not see it.
    fn judge_window(&self, sums: &GroupSums<'_>, window: Nanos, nothing: Judged) -> Judged {
        let GroupSums { rule, measure, series, group, until, .. } = *sums;
        let from = until - window;
        let coverage = self.probes.coverage(group.probes(), from, until);
        let of_window = series.window(group, from, until, measure);
        let own_loss = if measure.is_of_media() { of_window.sums.capture_loss_pct().unwrap_or(0.0) } else { 0.0 };
        let capture_loss_pct = coverage.missed_pct.max(own_loss);
        let minutes = window.as_secs_f64() / 60.0 * if coverage.known { coverage.covered.max(0.01) } else { 1.0 };
        let measured = of_window.measure(measure, minutes, rule.confidence);
        let judged = Judged { from, capture_loss_pct, measured, ..nothing };
        if let Some(why) = blindness(rule, measure.source, &coverage, capture_loss_pct, window) {
            return Judged { judgement: State::Blind, why: Some(why), ..judged };
        }
        match measured {
            Some(measured) => sums.compare(judged, measured),
            None => judged,
        }
    }

    /// Judges a figure of the program itself, which is one number: that it runs, how far its store lags, how long a probe is silent.
    fn judge_probe(&self, rule: &Rule, figure: Figure, key: &GroupKey, nothing: Judged, at: Timestamp) -> Judged {
        let of = |label| key.iter().find(|(l, _)| *l == label).map(|(_, value)| value);
        let is_of_group = |probe: &str, site: &str| {
            of(Label::Probe).is_none_or(|p| **p == *probe) && of(Label::Site).is_none_or(|s| **s == *site)
        };
        let value = match figure {
            Figure::StoreLag => {
                self.store_lag.iter().filter(|((probe, site), _)| is_of_group(probe, site)).map(|(_, lag)| *lag).max()
            }
            Figure::Silence => {
                let heard = self.probes.heard().filter(|(probe, site, _)| is_of_group(probe, site));
                heard.map(|(.., until)| until).min().map(|heard| ((at - heard).0 / 1_000_000_000).max(0) as u64)
            }
            _ => Some(1),
        };
        let exact =
            |value: u64| Measured { value: value as f64, low: value as f64, high: Some(value as f64), samples: 1 };
        value.map_or(nothing.clone(), |value| compare_fixed(rule, nothing, exact(value)))
    }

    fn judge_sql(&self, rule: &Rule, key: &GroupKey, nothing: Judged) -> Judged {
        let rows = match self.sql.get(&rule.name) {
            Some(Ok(rows)) => rows,
            Some(Err(error)) => return Judged { judgement: State::Error, why: Some(error.clone()), ..nothing },
            None => return nothing,
        };
        let Some(row) = rows.iter().find(|row| sql_key(row) == *key) else { return nothing };
        let Some(value) = row.value.filter(|value| value.is_finite()) else { return nothing };
        let bound = row.bound.unwrap_or(value);
        let measured = Measured { value, low: bound, high: Some(bound), samples: row.samples };
        if row.drops_pct > rule.max_capture_loss_pct {
            return Judged {
                judgement: State::Blind,
                measured: Some(measured),
                capture_loss_pct: row.drops_pct,
                why: Some(format!(
                    "the capture missed {:.2} %, more than {} %",
                    row.drops_pct, rule.max_capture_loss_pct
                )),
                ..nothing
            };
        }
        compare_fixed(rule, nothing, measured)
    }

    /// Marks groups of which another rule that fires says the same, and more.
    fn inhibit(&self, evaluations: &mut [Evaluation]) {
        let firing: Vec<(&Arc<Rule>, &GroupKey)> = self
            .rules
            .iter()
            .filter(|ruled| !ruled.rule.inhibits.is_empty())
            .flat_map(|ruled| ruled.groups.iter().map(move |(key, memory)| (ruled, key, memory)))
            .filter(|(_, _, memory)| memory.state.is_firing())
            .map(|(ruled, key, _)| (&ruled.rule, key))
            .collect();
        for evaluation in evaluations {
            let same = |key: &GroupKey| {
                key.iter().all(|(label, value)| {
                    evaluation.group.iter().find(|(other, _)| other == label).is_none_or(|(_, other)| other == value)
                })
            };
            let by = firing.iter().find(|(rule, key)| rule.inhibits.contains(&evaluation.rule.name) && same(key));
            evaluation.inhibited_by = by.map(|(rule, _)| rule.name.clone());
        }
    }
}

/// What the windows of one group are added up from, and compared with.
struct GroupSums<'a> {
    rule: &'a Rule,
    measure: &'static Measure,
    series: &'a Series,
    group: &'a Group,
    /// The same group in the series of the short window of a burn rate.
    short: Option<(&'a Series, &'a Group)>,
    /// Spans in which the group fired.
    fired: &'a [(i64, i64)],
    /// End of the windows.
    until: Timestamp,
}

impl GroupSums<'_> {
    /// Compares a window with the limit of the rule.
    fn compare(&self, judged: Judged, measured: Measured) -> Judged {
        match &self.rule.test {
            Test::Fixed { .. } => compare_fixed(self.rule, judged, measured),
            Test::Burn { factor, goal_pct, short } => {
                let limit = factor * (100.0 - goal_pct);
                burn(self.rule, Judged { limit: Some(limit), ..judged }, measured, self.short_window(*short), limit)
            }
            Test::Baseline(test) => match self.usual(test, judged.from) {
                Some(usual) => {
                    let judged = Judged { baseline: Some(usual), ..judged };
                    baseline::compare(self.rule, test, judged, measured, usual)
                }
                None => Judged { judgement: State::Few, ..judged },
            },
        }
    }

    /// The short window of a burn rate, which has the same end.
    fn short_window(&self, length: Nanos) -> Option<Measured> {
        let (series, group) = self.short?;
        let sums = series.window(group, self.until - length, self.until, self.measure);
        sums.measure(self.measure, 1.0, self.rule.confidence)
    }

    /// Median and deviation in the weeks before, at the middle of a window that begins at `from`.
    fn usual(&self, test: &Baseline, from: Timestamp) -> Option<(f64, f64)> {
        let middle = Timestamp(from.0 / 2 + self.until.0 / 2);
        let fired = |hour: i64| {
            let (from, to) = (hour * 3_600_000_000_000, (hour + 1) * 3_600_000_000_000);
            self.fired.iter().any(|(a, b)| *a < to && *b > from)
        };
        baseline::of(test, self.measure.kind, self.group, middle, &fired)
    }
}

/// Whether a longer window may be judged otherwise: there are too few samples, or the value is beyond the limit and its bound is not.
fn may_change_with_more_samples(rule: &Rule, judged: &Judged) -> bool {
    match (judged.judgement, judged.measured, judged.limit) {
        (State::Few, ..) => true,
        (State::Ok, Some(measured), Some(limit)) => beyond(rule.side(), measured.value, limit),
        _ => false,
    }
}

impl Rule {
    pub fn side(&self) -> Side {
        match &self.test {
            Test::Fixed { side, .. } => *side,
            Test::Baseline(baseline) => baseline.side,
            Test::Burn { .. } => Side::Above,
        }
    }

    fn fixed_limit(&self) -> Option<f64> {
        match &self.test {
            Test::Fixed { fire, .. } => Some(*fire),
            Test::Burn { factor, goal_pct, .. } => Some(factor * (100.0 - goal_pct)),
            Test::Baseline(_) => None,
        }
    }

    /// Samples as a text has them.
    pub fn sample_unit(&self) -> &'static str {
        self.measure().map_or("samples", |measure| match measure.samples {
            SampleUnit::Probes => "probes",
            unit => unit.name(),
        })
    }
}

/// A group of a statement: its labels as one text.
fn sql_key(row: &SqlRow) -> GroupKey {
    let text: Vec<String> = row.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if text.is_empty() { Arc::from([]) } else { Arc::from([(Label::Statement, Arc::from(text.join(", ")))]) }
}

pub(super) fn beyond(side: Side, value: f64, limit: f64) -> bool {
    match side {
        Side::Above => value > limit,
        Side::Below => value < limit,
    }
}

/// How long before the end of a window the last frame may have come.
const SILENT: Nanos = Nanos::from_secs(60);

/// Why a window is not judged.
fn blindness(rule: &Rule, source: Source, coverage: &Coverage, capture_loss_pct: f64, window: Nanos) -> Option<String> {
    if source == Source::Capture || !coverage.known {
        return None;
    }
    let most = rule.max_capture_loss_pct;
    if capture_loss_pct > most {
        return Some(format!("the capture missed {capture_loss_pct:.2} %, more than {most} %"));
    }
    if coverage.silent > SILENT {
        return Some(format!("the probe saw no frame in its last {} s", coverage.silent.0 / 1_000_000_000));
    }
    // Long windows cannot be seen whole while their first part has not been measured.
    let covered = window > Nanos::from_secs(3600) || coverage.covered >= 0.5;
    (!covered).then(|| format!("the probe saw {:.0} % of the window, less than half", 100.0 * coverage.covered))
}

/// Compares value and bound with a limit. A rate is judged by its own bound, however few the events are.
pub(super) fn compare(rule: &Rule, judged: Judged, measured: Measured, fire: f64, clear: f64) -> Judged {
    let side = rule.side();
    let judged = Judged { measured: Some(measured), limit: Some(fire), ..judged };
    let is_rate = rule.measure().is_some_and(|measure| measure.kind == Kind::PerMinute);
    if !is_rate && measured.samples < rule.need {
        return Judged { judgement: State::Few, ..judged };
    }
    let bound = match side {
        Side::Above => Some(measured.low),
        Side::Below => measured.high,
    };
    let is_over = beyond(side, measured.value, fire) && bound.is_some_and(|bound| beyond(side, bound, fire));
    let judgement = if is_over { State::Firing } else { State::Ok };
    Judged { judgement, clear: !beyond(side, measured.value, clear), ..judged }
}

/// [`compare`] with the limits of a rule that has fixed ones.
fn compare_fixed(rule: &Rule, judged: Judged, measured: Measured) -> Judged {
    match rule.test {
        Test::Fixed { fire, clear, .. } => compare(rule, judged, measured, fire, clear),
        _ => judged,
    }
}

fn burn(rule: &Rule, judged: Judged, long: Measured, short: Option<Measured>, limit: f64) -> Judged {
    let judged = Judged { measured: Some(long), ..judged };
    let Some(short) = short.filter(|short| short.samples >= rule.need.min(20)) else {
        return Judged { judgement: State::Few, ..judged };
    };
    if long.samples < rule.need {
        return Judged { judgement: State::Few, ..judged };
    }
    let is_over = long.low > limit && short.value > limit;
    Judged { judgement: if is_over { State::Firing } else { State::Ok }, clear: short.value < limit, ..judged }
}

/// A window as the rule takes it, after what it says of windows without data.
struct Reading {
    judgement: State,
    cleared: bool,
}

impl Reading {
    fn of(rule: &Rule, judged: &Judged) -> Reading {
        let judgement = match (judged.judgement, rule.no_data) {
            (State::NoData, NoData::Ok) => State::Ok,
            (State::NoData, NoData::Fire) => State::Firing,
            (judgement, _) => judgement,
        };
        let cleared = judged.clear || judged.judgement == State::NoData && rule.no_data == NoData::Ok;
        Reading { judgement, cleared }
    }

    fn is_judged(&self) -> bool {
        matches!(self.judgement, State::Ok | State::Firing)
    }

    fn is_beyond(&self) -> bool {
        self.judgement == State::Firing
    }
}

/// How far the windows of a group have come to what the rule wants before it fires.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Clear,
    Pending,
    Reached,
}

/// The one place where a group changes its state.
fn advance(rule: &Rule, memory: &mut Memory, judged: &Judged, at: Timestamp) {
    let reading = Reading::of(rule, judged);
    if reading.is_judged() {
        memory.judged = at.0;
        memory.hits = memory.hits << 1 | u64::from(reading.is_beyond());
    }
    if memory.state.is_firing() {
        advance_firing(rule, memory, &reading, at);
    } else {
        advance_not_firing(rule, memory, &reading, at);
    }
    if let Some(measured) = judged.measured.filter(|_| reading.is_beyond()) {
        let farther = memory.peak.is_none_or(|peak| beyond(rule.side(), measured.value, peak));
        if farther {
            memory.peak = Some(measured.value);
        }
    }
}

/// An alert goes on, is kept for `keep_firing_for`, or ends.
fn advance_firing(rule: &Rule, memory: &mut Memory, reading: &Reading, at: Timestamp) {
    if !reading.is_judged() {
        // Nothing is known of it: held, but not for ever.
        if at.0 - memory.judged >= HELD.0 {
            end_firing(memory, at);
            memory.state = reading.judgement;
        }
    } else if reading.is_beyond() || !reading.cleared {
        memory.state = State::Firing;
        memory.clear_since = None;
    } else {
        let since = *memory.clear_since.get_or_insert(at.0);
        if at.0 - since >= rule.keep_firing_for.0 {
            end_firing(memory, at);
        } else {
            memory.state = State::Keeping;
        }
    }
}

/// An alert begins, or is pending, or there is none.
fn advance_not_firing(rule: &Rule, memory: &mut Memory, reading: &Reading, at: Timestamp) {
    let progress = progress(rule.hold, memory, reading.is_beyond(), at);
    memory.state = match (reading.is_judged(), progress) {
        (true, Progress::Reached) => {
            // From the first evaluation beyond the limit on it was so; the alert begins now.
            memory.since = Some(at.0);
            memory.clear_since = None;
            State::Firing
        }
        (true, Progress::Pending) => State::Pending,
        (true, Progress::Clear) => State::Ok,
        // A blind window neither starts an alert nor forgets what was pending before it.
        (false, _) if memory.state == State::Pending && reading.judgement == State::Blind => {
            memory.since = memory.since.map(|since| since + rule.every.0);
            State::Pending
        }
        (false, _) => reading.judgement,
    };
    if !matches!(memory.state, State::Pending | State::Firing) {
        memory.since = None;
        memory.peak = None;
    }
}

/// Compares the windows so far with `for` or `hits`, and notes when the first of them was beyond the limit.
fn progress(hold: Hold, memory: &mut Memory, is_beyond: bool, at: Timestamp) -> Progress {
    let (waits, reached) = match hold {
        Hold::For(length) => {
            if is_beyond && memory.state != State::Pending {
                memory.since = Some(at.0);
            }
            (is_beyond, at.0 - memory.since.unwrap_or(at.0) >= length.0)
        }
        Hold::Hits { at_least, of } => {
            let recent = memory.hits & (u64::MAX >> (64 - of));
            if recent == 0 {
                memory.since = None;
            } else if is_beyond && memory.since.is_none() {
                memory.since = Some(at.0);
            }
            (recent != 0, recent.count_ones() >= at_least)
        }
    };
    if is_beyond && reached {
        Progress::Reached
    } else if waits {
        Progress::Pending
    } else {
        Progress::Clear
    }
}

fn end_firing(memory: &mut Memory, at: Timestamp) {
    if let Some(since) = memory.since.take() {
        memory.fired.push((since, at.0));
        let over = memory.fired.len().saturating_sub(FIRED);
        memory.fired.drain(..over);
    }
    memory.state = State::Ok;
    memory.clear_since = None;
    memory.hits = 0;
    memory.peak = None;
}

/// Whether a group takes what was over `max_groups`.
pub fn is_overflow(group: &GroupKey) -> bool {
    group.iter().any(|(_, value)| &**value == OVERFLOW)
}

/// Frames of an interval as an input.
impl From<&crate::model::CaptureInterval> for CaptureSums {
    fn from(interval: &crate::model::CaptureInterval) -> CaptureSums {
        CaptureSums {
            start: interval.start,
            length: interval.length,
            frames: interval.frames,
            missed: interval.dropped_ring
                + interval.dropped_interface
                + interval.dropped_queue
                + interval.condition.unseen(interval.frames, interval.length),
            shed: interval.shedding.counts().iter().map(|(_, n)| n).sum(),
        }
    }
}
