//! Rules as TOML: read, checked, and with every default filled in.

use super::measure::{Kind, MEASURES, Measure, SampleUnit, Source};
use super::sums::{Filter, Label, SeriesKey};
use crate::units::Nanos;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The rules the program comes with.
pub const DEFAULT_RULES: &str = include_str!("../../../../alerts/default.toml");

/// Where the rules the program comes with stand, as messages name it.
pub const DEFAULT_RULES_FILE: &str = "alerts/default.toml";

/// A rule that can be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub name: String,
    pub severity: String,
    pub what: What,
    pub by: Vec<Label>,
    pub filter: Filter,
    pub window: Nanos,
    pub every: Nanos,
    /// How long after its end a window is judged: rows take so long to come.
    pub delay: Nanos,
    pub test: Test,
    pub hold: Hold,
    pub keep_firing_for: Nanos,
    /// Fewer samples are not judged.
    pub need: u64,
    /// A window is doubled up to this while value and bound disagree.
    pub widen_to: Nanos,
    /// Of the bounds, 0.5..1.
    pub confidence: f64,
    /// Above it nothing is judged.
    pub max_capture_loss_pct: f64,
    pub no_data: NoData,
    pub max_groups: usize,
    pub inhibits: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub summary: String,
    pub runbook: String,
    /// Of the rule's text: a change begins with a window that is judged anew.
    pub hash: String,
    pub place: RuleSource,
}

/// Where a rule stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSource {
    pub file: String,
    pub line: usize,
    /// Its lines.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Measure(&'static Measure),
    /// A statement with the columns `value` and `samples`, optionally `bound` and `drops`; the others are labels.
    Sql(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Above,
    Below,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Fixed {
        side: Side,
        fire: f64,
        clear: f64,
    },
    Baseline(Baseline),
    /// Both windows use up the budget `factor` times as fast as it lasts.
    Burn {
        factor: f64,
        goal_pct: f64,
        short: Nanos,
    },
}

/// The same hour of the week in the weeks before: median and 1.4826 times the median absolute deviation.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    pub side: Side,
    pub weeks: u32,
    pub min_weeks: u32,
    pub limit: BaselineLimit,
    pub timezone: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BaselineLimit {
    /// The median plus or minus `k` deviations, at least `floor`.
    Deviations { k: f64, floor: f64 },
    /// So many percent of the median, where that is at least `floor`.
    Percent { percent: f64, floor: f64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// All evaluations for so long.
    For(Nanos),
    Hits {
        at_least: u32,
        of: u32,
    },
}

/// What a window without rows is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// The state stays.
    #[default]
    Hold,
    Ok,
    Fire,
}

impl NoData {
    pub fn name(self) -> &'static str {
        match self {
            NoData::Hold => "hold",
            NoData::Ok => "ok",
            NoData::Fire => "fire",
        }
    }
}

/// What is wrong with a rule or a file, one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct RuleError {
    pub file: String,
    pub line: usize,
    pub what: String,
}

/// Rules of some files, and what is wrong with the others.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    pub rules: Vec<Rule>,
    pub errors: Vec<RuleError>,
    /// Rules with `enabled = false`.
    pub disabled: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    rule: Vec<toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: String,
    #[serde(default = "warning")]
    severity: String,
    measure: Option<String>,
    sql: Option<String>,
    #[serde(default)]
    by: Vec<String>,
    #[serde(default)]
    only: BTreeMap<String, Values>,
    #[serde(default)]
    except: BTreeMap<String, Values>,
    window: Option<String>,
    every: Option<String>,
    delay: Option<String>,
    fire: Option<RawLimit>,
    clear: Option<RawLimit>,
    r#for: Option<String>,
    hits: Option<RawHits>,
    keep_firing_for: Option<String>,
    need: Option<RawNeed>,
    widen_to: Option<String>,
    confidence: Option<f64>,
    max_capture_loss_pct: Option<f64>,
    #[serde(default)]
    no_data: NoData,
    max_groups: Option<usize>,
    #[serde(default)]
    inhibits: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    summary: Option<String>,
    runbook: Option<String>,
    baseline: Option<RawBaseline>,
    burn: Option<RawBurn>,
    #[serde(default = "yes")]
    enabled: bool,
}

fn warning() -> String {
    "warning".to_owned()
}

fn yes() -> bool {
    true
}

/// One value or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts, such as `only = { trunk = [\"a\", \"b\"] }`")]
enum Values {
    One(String),
    Several(Vec<String>),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as `fire = { above = 5 }`")]
struct RawLimit {
    above: Option<f64>,
    below: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as `hits = { at_least = 3, of = 5 }`")]
struct RawHits {
    at_least: u32,
    of: u32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as `need = { streams = 20 }`")]
struct RawNeed {
    streams: Option<u64>,
    calls: Option<u64>,
    samples: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as `baseline = { side = \"above\", k = 6 }`")]
struct RawBaseline {
    side: String,
    season: Option<String>,
    weeks: Option<u32>,
    min_weeks: Option<u32>,
    k: Option<f64>,
    percent: Option<f64>,
    floor: Option<f64>,
    timezone: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as `burn = { goal_pct = 99.5 }`")]
struct RawBurn {
    goal_pct: f64,
    period: Option<String>,
}

/// Budget per 30 days used up by each pair: factor, long window, short window, what is waited for, severity (SRE workbook,
/// chapter 5, table 5-8).
const BURN_PAIRS: [(f64, Nanos, Nanos, &str, &str); 4] = [
    (14.4, Nanos::from_secs(3600), Nanos::from_secs(300), "1h", "critical"),
    (6.0, Nanos::from_secs(6 * 3600), Nanos::from_secs(1800), "6h", "critical"),
    (3.0, Nanos::from_secs(24 * 3600), Nanos::from_secs(2 * 3600), "1d", "warning"),
    (1.0, Nanos::from_secs(72 * 3600), Nanos::from_secs(6 * 3600), "3d", "warning"),
];

/// Longest window of a rule.
pub const MAX_WINDOW: Nanos = Nanos::from_secs(3 * 86_400);

/// Longest `widen_to` of a window of up to an hour, whose sums are kept in slots of seconds.
const WIDEST: Nanos = Nanos::from_secs(6 * 3600);

/// Of the bounds. A rule looks at thousands of windows a week for each group: of windows of nothing but chance one in a thousand may
/// be beyond the limit, and `for` asks for several in a row.
pub const USUAL_CONFIDENCE: f64 = 0.999;

/// Most rules of all files.
pub const MAX_RULES: usize = 500;

impl RuleSet {
    /// Reads rules; `interval` is that of the rows. Of two rules with one name the second is refused.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, interval: Nanos) -> RuleSet {
        let mut set = RuleSet::default();
        let mut seen: BTreeMap<String, RuleSource> = BTreeMap::new();
        for (file, text) in files {
            set.add_file(file, text, interval, &mut seen);
        }
        set.expand_inhibits();
        let names: BTreeSet<String> = set.rules.iter().map(|rule| rule.name.clone()).collect();
        let bases: BTreeSet<String> = seen.into_keys().collect();
        for rule in &set.rules {
            for name in rule.inhibits.iter().filter(|name| !names.contains(*name) && !bases.contains(*name)) {
                set.errors.push(RuleError {
                    file: rule.place.file.clone(),
                    line: rule.place.line,
                    what: format!("rule {}: inhibits {name}, and there is no such rule", rule.name),
                });
            }
        }
        set
    }

    /// The name of a rule with a burn rate means all of its pairs.
    fn expand_inhibits(&mut self) {
        let pairs: Vec<(String, String)> = self
            .rules
            .iter()
            .filter(|rule| matches!(rule.test, Test::Burn { .. }))
            .filter_map(|rule| Some((rule.name.rsplit_once('_')?.0.to_owned(), rule.name.clone())))
            .collect();
        for rule in &mut self.rules {
            let named: Vec<String> =
                pairs.iter().filter(|(base, _)| rule.inhibits.contains(base)).map(|(_, name)| name.clone()).collect();
            rule.inhibits.extend(named);
        }
    }

    fn add_file(&mut self, file: &str, text: &str, interval: Nanos, seen: &mut BTreeMap<String, RuleSource>) {
        let raw: RawFile = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(e) => {
                let line = e.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
                let what = e.message().replace('\n', " ");
                return self.errors.push(RuleError { file: file.to_owned(), line, what });
            }
        };
        let headers: Vec<usize> =
            text.lines().enumerate().filter(|(_, l)| l.trim() == "[[rule]]").map(|(n, _)| n + 1).collect();
        let lines: Vec<&str> = text.lines().collect();
        for (index, value) in raw.rule.into_iter().enumerate() {
            let first = headers.get(index).copied().unwrap_or(1);
            let last = headers.get(index + 1).map_or(lines.len(), |next| next - 1);
            let lines = lines.get(first.saturating_sub(1)..last).unwrap_or_default();
            if let Err(error) = self.add_rule(value, &RuleLines { file, first, lines }, interval, seen) {
                self.errors.push(error);
            }
        }
    }

    /// Adds one rule of a file, or notes that it is disabled.
    fn add_rule(
        &mut self,
        value: toml::Value,
        lines: &RuleLines<'_>,
        interval: Nanos,
        seen: &mut BTreeMap<String, RuleSource>,
    ) -> Result<(), RuleError> {
        let hash = hash_of(&value);
        let name = value.get("name").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let called = if name.is_empty() { "this rule".to_owned() } else { format!("rule {name}") };
        let raw = RawRule::deserialize(value).map_err(|e| {
            let what = e.message().replace('\n', " ");
            lines.error(lines.line_named_in(&what), format!("{called}: {what}"))
        })?;
        if lines.file == DEFAULT_RULES_FILE && seen.contains_key(&raw.name) {
            // The operator's own rule replaces it.
            return Ok(());
        }
        if let Some(other) = seen.get(&raw.name) {
            let what = format!("{called}: {}:{} has a rule of this name already", other.file, other.line);
            return Err(lines.error(lines.line_of("name"), what));
        }
        let place = lines.source();
        seen.insert(raw.name.clone(), place.clone());
        if self.rules.len() >= MAX_RULES {
            return Err(lines.error(lines.first, format!("{called}: there are {MAX_RULES} rules already")));
        }
        let disabled = (!raw.enabled).then(|| raw.name.clone());
        match check(raw, interval, hash, place) {
            Ok(rules) if disabled.is_none() => self.rules.extend(rules),
            Ok(_) => self.disabled.extend(disabled),
            Err((key, what)) => return Err(lines.error(lines.line_of(key), format!("{called}: {what}"))),
        }
        Ok(())
    }
}

/// The lines of one rule in its file, up to the header of the next.
struct RuleLines<'a> {
    file: &'a str,
    /// Number of the first line, from 1.
    first: usize,
    lines: &'a [&'a str],
}

impl RuleLines<'_> {
    /// The line that sets a key; the first line where none does.
    fn line_of(&self, key: &str) -> usize {
        let is = |line: &&str| {
            let line = line.trim_start().trim_start_matches('[');
            line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(['=', '.', ']']))
                || line.strip_prefix("rule.").and_then(|l| l.strip_prefix(key)).is_some_and(|r| r.starts_with(']'))
        };
        self.lines.iter().position(is).map_or(self.first, |at| self.first + at)
    }

    /// The line of the key that a message of the TOML reader names.
    fn line_named_in(&self, message: &str) -> usize {
        // The key stands in the text, or in the example of what was expected.
        let named = message.split('`').skip(1).step_by(2).filter_map(|part| part.split(' ').next());
        named.map(|key| self.line_of(key)).find(|line| *line != self.first).unwrap_or(self.first)
    }

    fn source(&self) -> RuleSource {
        let is_of_the_next = |line: &&&str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let after = self.lines.iter().rev().take_while(is_of_the_next).count();
        let text = self.lines[..self.lines.len() - after].join("\n");
        RuleSource { file: self.file.to_owned(), line: self.first, text }
    }

    fn error(&self, line: usize, what: String) -> RuleError {
        RuleError { file: self.file.to_owned(), line, what }
    }
}

fn hash_of(value: &toml::Value) -> String {
    let text = toml::to_string(value).unwrap_or_default();
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A length of time as rules write it: `30s`, `5m`, `12h`, `7d`.
pub fn parse_span(text: &str) -> Option<Nanos> {
    let (number, unit) = text.trim().split_at_checked(text.trim().len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let number: i64 = number.parse().ok().filter(|n| (0..=366 * 86_400).contains(n))?;
    (number * seconds <= 366 * 86_400).then(|| Nanos::from_secs(number * seconds))
}

/// The shortest way to write a length of time as [`parse_span`] reads it.
pub fn write_span(span: Nanos) -> String {
    let seconds = span.0 / 1_000_000_000;
    for (length, unit) in [(86_400, 'd'), (3600, 'h'), (60, 'm')] {
        if seconds >= length && seconds % length == 0 {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

type Refusal = (&'static str, String);

fn refuse<T>(key: &'static str, what: impl Into<String>) -> Result<T, Refusal> {
    Err((key, what.into()))
}

fn span(key: &'static str, text: Option<&String>, usual: Nanos) -> Result<Nanos, Refusal> {
    match text {
        None => Ok(usual),
        Some(text) => match parse_span(text) {
            Some(span) => Ok(span),
            None => refuse(key, format!("{key} = {text:?} is no length of time: write 30s, 5m, 12h or 7d")),
        },
    }
}

fn labels_of(names: &[String], key: &'static str) -> Result<Vec<Label>, Refusal> {
    let mut labels = Vec::new();
    for name in names {
        let Some(label) = Label::parse(name) else {
            let known: Vec<&str> = Label::ALL.iter().map(|l| l.name()).collect();
            return refuse(key, format!("{key}: there is no column {name:?}: use {}", known.join(", ")));
        };
        if labels.contains(&label) {
            return refuse(key, format!("{key} names {name} twice"));
        }
        labels.push(label);
    }
    Ok(labels)
}

fn conditions(raw: &BTreeMap<String, Values>, key: &'static str) -> Result<Vec<(Label, Vec<String>)>, Refusal> {
    let mut all = Vec::new();
    for (name, values) in raw {
        let label = labels_of(std::slice::from_ref(name), key)?;
        let values = match values {
            Values::One(value) => vec![value.clone()],
            Values::Several(values) => values.clone(),
        };
        if values.is_empty() {
            return refuse(key, format!("{key}.{name} has no value"));
        }
        all.extend(label.into_iter().map(|label| (label, values.clone())));
    }
    Ok(all)
}

fn is_label_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 64
}

fn check(raw: RawRule, interval: Nanos, hash: String, place: RuleSource) -> Result<Vec<Rule>, Refusal> {
    check_name_and_severity(&raw)?;
    let what = what(&raw)?;
    let by = labels_of(&raw.by, "by")?;
    let filter = Filter { only: conditions(&raw.only, "only")?, except: conditions(&raw.except, "except")? };
    check_columns(&what, &by, &filter)?;
    let Times { window, every, delay, widen_to } = times(&raw, interval, &place)?;
    let confidence = confidence(&raw)?;
    let hold = hold_of(&raw)?;
    let keep_firing_for = span("keep_firing_for", raw.keep_firing_for.as_ref(), Nanos(0))?;
    let need = need(raw.need, &what)?;
    let max_capture_loss_pct = max_capture_loss_pct(&raw, &what)?;
    let max_groups = max_groups(&raw, &what, &by)?;
    check_label_names(&raw.labels)?;
    let base = Rule {
        summary: summary(raw.summary, &what)?,
        name: raw.name,
        severity: raw.severity,
        by,
        filter,
        window,
        every,
        delay,
        test: Test::Burn { factor: 0.0, goal_pct: 0.0, short: window },
        hold,
        keep_firing_for,
        need,
        widen_to,
        confidence,
        max_capture_loss_pct,
        no_data: raw.no_data,
        max_groups,
        inhibits: raw.inhibits,
        labels: raw.labels,
        runbook: raw.runbook.unwrap_or_default(),
        hash,
        place,
        what,
    };
    let limits = FixedLimits { fire: raw.fire, clear: raw.clear };
    match (raw.baseline, raw.burn) {
        (None, None) => Ok(vec![Rule { test: limits.fixed()?, ..base }]),
        (Some(baseline), None) => {
            limits.exclude("baseline")?;
            Ok(vec![Rule { test: Test::Baseline(checked_baseline(baseline, &base)?), ..base }])
        }
        (None, Some(burn)) => {
            limits.exclude("burn")?;
            burn_rules(&burn, &base)
        }
        (Some(_), Some(_)) => refuse("burn", "a rule has either baseline or burn"),
    }
}

fn check_name_and_severity(raw: &RawRule) -> Result<(), Refusal> {
    if !is_label_name(&raw.name) {
        return refuse("name", format!("name = {:?} must be letters, digits and _, at most 64", raw.name));
    }
    if !["critical", "warning", "info"].contains(&raw.severity.as_str()) {
        return refuse("severity", format!("severity = {:?}: use critical, warning or info", raw.severity));
    }
    Ok(())
}

fn what(raw: &RawRule) -> Result<What, Refusal> {
    match (&raw.measure, &raw.sql) {
        (Some(name), None) => match Measure::named(name) {
            Some(measure) => Ok(What::Measure(measure)),
            None => {
                let near = nearest(name);
                refuse(
                    "measure",
                    format!("there is no measure {name:?}{near}; `auscult alerts list --measures` names all"),
                )
            }
        },
        (None, Some(sql)) => Ok(What::Sql(checked_sql(sql)?)),
        _ => refuse("measure", "a rule has either a measure or sql"),
    }
}

/// Groups and conditions have to be columns of what is measured.
fn check_columns(what: &What, by: &[Label], filter: &Filter) -> Result<(), Refusal> {
    if let What::Measure(measure) = what {
        for (key, label) in by.iter().map(|l| ("by", *l)).chain(filter.labels().map(|l| ("only", l))) {
            if !label.is_of(measure.source) {
                let (label, table) = (label.name(), measure.source.name());
                return refuse(key, format!("{} is measured on {table}, which has no {label}", measure.name));
            }
        }
    } else if !by.is_empty() || *filter != Filter::default() {
        return refuse("by", "with sql, groups and conditions belong into the statement");
    }
    Ok(())
}

/// When a rule is evaluated, over how long.
struct Times {
    window: Nanos,
    every: Nanos,
    delay: Nanos,
    widen_to: Nanos,
}

fn times(raw: &RawRule, interval: Nanos, place: &RuleSource) -> Result<Times, Refusal> {
    let window = span("window", raw.window.as_ref(), Nanos::from_secs(300))?;
    let every = span("every", raw.every.as_ref(), Nanos::from_secs(60))?;
    let delay = span("delay", raw.delay.as_ref(), whole(Nanos::from_secs(30), interval))?;
    // The rules that ship fit every interval; an operator's own say what they mean.
    let fit = |length: Nanos| if place.file == DEFAULT_RULES_FILE { whole(length, interval) } else { length };
    let (window, every) = (fit(window), fit(every));
    for (key, length) in [("window", window), ("every", every), ("delay", delay)] {
        if length.0 % interval.0 != 0 || length.0 == 0 && key != "delay" {
            let (length, interval) = (write_span(length), write_span(interval));
            return refuse(
                key,
                format!("{key} = {length:?} is no multiple of the interval of {interval} (measure.interval_s)"),
            );
        }
    }
    if window > MAX_WINDOW {
        return refuse("window", format!("a window has at most {}", write_span(MAX_WINDOW)));
    }
    if every < Nanos::from_secs(10) || every > Nanos::from_secs(3600) {
        return refuse("every", "every must be from 10s to 1h");
    }
    let widen_to = fit(span("widen_to", raw.widen_to.as_ref(), window)?);
    let widest = if window > Nanos::from_secs(3600) { MAX_WINDOW } else { WIDEST };
    if widen_to < window || widen_to > widest || widen_to.0 % interval.0 != 0 {
        let (window, widest) = (write_span(window), write_span(widest));
        return refuse(
            "widen_to",
            format!("widen_to must be from the window of {window} to {widest}, in whole intervals"),
        );
    }
    Ok(Times { window, every, delay, widen_to })
}

fn confidence(raw: &RawRule) -> Result<f64, Refusal> {
    let confidence = raw.confidence.unwrap_or(USUAL_CONFIDENCE);
    if !(0.5..=0.9999).contains(&confidence) {
        return refuse("confidence", "confidence must be from 0.5 to 0.9999");
    }
    Ok(confidence)
}

fn hold_of(raw: &RawRule) -> Result<Hold, Refusal> {
    match (&raw.r#for, raw.hits) {
        (Some(_), Some(_)) => refuse("hits", "a rule has either for or hits"),
        (text, None) => Ok(Hold::For(span("for", text.as_ref(), Nanos(0))?)),
        (None, Some(RawHits { at_least, of })) if at_least >= 1 && at_least <= of && of <= 60 => {
            Ok(Hold::Hits { at_least, of })
        }
        (None, Some(_)) => refuse("hits", "hits needs 1 <= at_least <= of <= 60"),
    }
}

fn max_capture_loss_pct(raw: &RawRule, what: &What) -> Result<f64, Refusal> {
    let is_media = matches!(what, What::Measure(measure) if measure.is_of_media());
    let usual = if is_media { 0.1 } else { 1.0 };
    let most = raw.max_capture_loss_pct.unwrap_or(usual);
    if !(0.0..=100.0).contains(&most) {
        return refuse("max_capture_loss_pct", "max_capture_loss_pct must be from 0 to 100");
    }
    Ok(most)
}

fn max_groups(raw: &RawRule, what: &What, by: &[Label]) -> Result<usize, Refusal> {
    // Names of trunks and sites are the operator's. Those of codecs, and labels of a statement, may be a stranger's.
    let is_operators =
        |label: &Label| matches!(label, Label::Probe | Label::Site | Label::Trunk | Label::TrunkDirection);
    let is_bounded = matches!(what, What::Measure(_)) && by.iter().all(is_operators);
    let usual = if is_bounded { 2_000 } else { 200 };
    let most = raw.max_groups.unwrap_or(usual);
    if !(1..=10_000).contains(&most) {
        return refuse("max_groups", "max_groups must be from 1 to 10000");
    }
    Ok(most)
}

fn check_label_names(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for name in labels.keys() {
        if !is_label_name(name) || ["alertname", "severity"].contains(&name.as_str()) || Label::parse(name).is_some() {
            return refuse(
                "labels",
                format!("labels.{name} cannot be set: the program sets it, or it is no name of a label"),
            );
        }
    }
    Ok(())
}

fn summary(raw: Option<String>, what: &What) -> Result<String, Refusal> {
    let summary = raw.unwrap_or_else(|| "{measure} is {value} {unit}, limit {limit} {unit}, over {samples}".into());
    for placeholder in placeholders(&summary) {
        let known = PLACEHOLDERS.contains(&placeholder) || Label::parse(placeholder).is_some();
        if !known && matches!(what, What::Measure(_)) {
            return refuse(
                "summary",
                format!("summary: there is no {{{placeholder}}}: use {}", PLACEHOLDERS.join(", ")),
            );
        }
    }
    Ok(summary)
}

/// The shortest multiple of the interval that is not shorter than `length`.
fn whole(length: Nanos, interval: Nanos) -> Nanos {
    Nanos((length.0 + interval.0 - 1).div_euclid(interval.0) * interval.0)
}

/// Words in braces of a summary, besides the labels of the rule.
pub const PLACEHOLDERS: [&str; 8] = ["measure", "value", "bound", "limit", "unit", "samples", "window", "group"];

fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

fn checked_sql(sql: &str) -> Result<String, Refusal> {
    let text = sql.trim().trim_end_matches(';').trim().to_owned();
    let begins = text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"))
        || text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("with"));
    if !begins || text.len() > 16_384 {
        return refuse("sql", "sql must be one SELECT, at most 16 KiB");
    }
    for name in ["{from:", "{to:"] {
        if !text.contains(name) {
            return refuse("sql", format!("sql must use the parameter {name}DateTime('UTC')}} for its window"));
        }
    }
    Ok(text)
}

fn need(raw: Option<RawNeed>, what: &What) -> Result<u64, Refusal> {
    let unit = match what {
        What::Measure(measure) => measure.samples,
        What::Sql(_) => SampleUnit::Probes,
    };
    let usual = match what {
        What::Measure(measure) if matches!(measure.kind, Kind::Share | Kind::Quantile(_)) => 5,
        _ => 0,
    };
    match raw {
        None => Ok(usual),
        Some(RawNeed { streams: Some(n), calls: None, samples: None }) if unit == SampleUnit::Streams => Ok(n),
        Some(RawNeed { streams: None, calls: Some(n), samples: None }) if unit == SampleUnit::Calls => Ok(n),
        Some(RawNeed { streams: None, calls: None, samples: Some(n) }) => Ok(n),
        Some(_) => refuse("need", format!("need counts the samples of the measure: need = {{ {} = 20 }}", unit.name())),
    }
}

/// The limits of a rule that states them.
#[derive(Clone, Copy)]
struct FixedLimits {
    fire: Option<RawLimit>,
    clear: Option<RawLimit>,
}

impl FixedLimits {
    fn fixed(self) -> Result<Test, Refusal> {
        let FixedLimits { fire, clear } = self;
        let (side, limit) = match fire {
            Some(RawLimit { above: Some(limit), below: None }) => (Side::Above, limit),
            Some(RawLimit { above: None, below: Some(limit) }) => (Side::Below, limit),
            _ => {
                return refuse(
                    "fire",
                    "a rule needs fire = { above = ... } or fire = { below = ... }, or baseline, or burn",
                );
            }
        };
        let usual = match side {
            Side::Above => 0.8 * limit,
            Side::Below => 1.25 * limit,
        };
        let cleared = match (side, clear) {
            (_, None) => usual,
            (Side::Above, Some(RawLimit { above: None, below: Some(at) })) if at <= limit => at,
            (Side::Below, Some(RawLimit { above: Some(at), below: None })) if at >= limit => at,
            (Side::Above, Some(_)) => {
                return refuse(
                    "clear",
                    format!(
                        "clear is on the wrong side: fire is above {limit}, so clear is below it: clear = {{ below = ... }}, at most {limit}"
                    ),
                );
            }
            (Side::Below, Some(_)) => {
                return refuse(
                    "clear",
                    format!(
                        "clear is on the wrong side: fire is below {limit}, so clear is above it: clear = {{ above = ... }}, at least {limit}"
                    ),
                );
            }
        };
        if !limit.is_finite() || !cleared.is_finite() {
            return refuse("fire", "limits must be numbers");
        }
        Ok(Test::Fixed { side, fire: limit, clear: cleared })
    }

    /// Refuses limits where something else sets them.
    fn exclude(self, instead: &str) -> Result<(), Refusal> {
        match (self.fire, self.clear) {
            (None, None) => Ok(()),
            (Some(_), _) => refuse("fire", format!("fire and {instead} exclude each other")),
            (None, Some(_)) => refuse("clear", format!("clear and {instead} exclude each other")),
        }
    }
}

fn checked_baseline(raw: RawBaseline, rule: &Rule) -> Result<Baseline, Refusal> {
    let key = "baseline";
    if raw.season.as_deref().is_some_and(|season| season != "hour_of_week") {
        return refuse(key, "baseline.season can only be \"hour_of_week\"");
    }
    let side = match raw.side.as_str() {
        "above" => Side::Above,
        "below" => Side::Below,
        _ => return refuse(key, "baseline.side is \"above\" or \"below\""),
    };
    let of_calls = rule.measure().filter(|measure| measure.source == Source::Calls).map(|measure| measure.kind);
    if !matches!(of_calls, Some(Kind::Share | Kind::PerMinute)) || rule.window > Nanos::from_secs(3600) {
        return refuse(
            key,
            "a baseline needs a measure of calls that is a share or a rate, and a window of at most 1h",
        );
    }
    let (weeks, min_weeks) = (raw.weeks.unwrap_or(4), raw.min_weeks.unwrap_or(3));
    if !(1..=8).contains(&weeks) || min_weeks < 1 || min_weeks > weeks {
        return refuse(key, "baseline.weeks must be from 1 to 8, and min_weeks from 1 to weeks");
    }
    let floor = raw.floor.unwrap_or(0.0);
    let limit = match (raw.k, raw.percent) {
        (Some(k), None) if k > 0.0 && floor >= 0.0 => BaselineLimit::Deviations { k, floor },
        (None, Some(percent)) if percent > 0.0 && floor >= 0.0 => BaselineLimit::Percent { percent, floor },
        _ => return refuse(key, "baseline needs either k (deviations) or percent (of the median), above 0"),
    };
    let timezone = raw.timezone.unwrap_or_else(|| "UTC".to_owned());
    if jiff::tz::TimeZone::get(&timezone).is_err() {
        return refuse(
            key,
            format!("baseline.timezone = {timezone:?} is unknown: write one such as \"Europe/Berlin\""),
        );
    }
    Ok(Baseline { side, weeks, min_weeks, limit, timezone })
}

fn burn_rules(raw: &RawBurn, base: &Rule) -> Result<Vec<Rule>, Refusal> {
    let is_share = matches!(&base.what, What::Measure(measure) if measure.kind == Kind::Share);
    if !is_share {
        return refuse("burn", "burn needs a measure that is a share of what is bad");
    }
    if !(50.0..100.0).contains(&raw.goal_pct) {
        return refuse("burn", "burn.goal_pct must be from 50 to under 100");
    }
    if raw.period.as_deref().is_some_and(|period| period != "30d") {
        return refuse("burn", "burn.period can only be \"30d\"");
    }
    if 14.4 * (100.0 - raw.goal_pct) >= 100.0 {
        return refuse("burn", "burn.goal_pct is so low that 14.4 times its budget is more than everything");
    }
    let pair = |(factor, long, short, name, severity): (f64, Nanos, Nanos, &str, &str)| {
        let mut rule = base.clone();
        rule.name = format!("{}_{name}", base.name);
        rule.severity = severity.to_owned();
        (rule.window, rule.widen_to) = (long, long);
        rule.every = base.every.max(Nanos::from_secs(60));
        rule.test = Test::Burn { factor, goal_pct: raw.goal_pct, short };
        rule
    };
    let mut rules: Vec<Rule> = BURN_PAIRS.map(pair).into();
    // The faster burn says all that the slower ones would say.
    let names: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
    for (index, rule) in rules.iter_mut().enumerate() {
        rule.inhibits.extend(names[index + 1..].iter().cloned());
    }
    Ok(rules)
}

/// `; did you mean x?` for a name that is nearly one of the list.
fn nearest(name: &str) -> String {
    let pairs = |text: &str| -> BTreeSet<(char, char)> { text.chars().zip(text.chars().skip(1)).collect() };
    let own = pairs(name);
    let likeness = |other: &str| {
        let other = pairs(other);
        2.0 * own.intersection(&other).count() as f64 / (own.len() + other.len()).max(1) as f64
    };
    let best = MEASURES.iter().map(|m| (likeness(m.name), m.name)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.5)
        .map_or_else(String::new, |(_, name)| format!(" (did you mean {name}?)"))
}

impl Rule {
    /// The measure; `None` for a rule with SQL.
    pub fn measure(&self) -> Option<&'static Measure> {
        match &self.what {
            What::Measure(measure) => Some(measure),
            What::Sql(_) => None,
        }
    }

    /// Name of the measure, or `sql`.
    pub fn measure_name(&self) -> &'static str {
        self.measure().map_or("sql", |measure| measure.name)
    }

    pub fn unit(&self) -> &'static str {
        self.measure().map_or("", |measure| measure.unit)
    }

    /// Length of the slots a window of this rule is added up from: windows begin and end on their bounds.
    pub fn step(&self, window: Nanos) -> Nanos {
        if window > Nanos::from_secs(6 * 3600) {
            return Nanos::from_secs(3600);
        }
        if window > Nanos::from_secs(3600) {
            return Nanos::from_secs(300);
        }
        let gcd = |mut a: i64, mut b: i64| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        Nanos(gcd(gcd(window.0, self.every.0), self.delay.0))
    }

    /// What the sums of this rule are kept by, for a window.
    pub fn series(&self, window: Nanos) -> Option<SeriesKey> {
        let measure = self.measure()?;
        (measure.source != Source::Program && measure.figure != super::measure::Figure::Silence).then(|| SeriesKey {
            figure: measure.figure,
            source: measure.source,
            by: self.by.clone(),
            filter: self.filter.clone(),
            step: self.step(window),
            max_groups: self.max_groups,
        })
    }
}
