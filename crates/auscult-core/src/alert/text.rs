//! What an alert says: labels, which identify it, and texts, which may change.

use super::evaluator::{Evaluation, State, is_overflow};
use super::rule::{Rule, Side, Test, write_span};
use super::sums::GroupKey;
use crate::model::AlertRecord;
use crate::units::{Nanos, Timestamp};
use siphasher::sip::SipHasher24;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::Hasher;

/// An alert as receivers get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedAlert {
    /// The identity: no values and no counts in it.
    pub labels: BTreeMap<String, String>,
    /// What happened, in one line.
    pub summary: String,
    /// The same with limit, bound, samples, window and what to do.
    pub description: String,
}

/// A group as text: `trunk carrier-a, direction from`.
pub fn group_text(group: &GroupKey) -> String {
    let name = |value: &str| if value.is_empty() { "(none)".to_owned() } else { value.to_owned() };
    let parts: Vec<String> =
        group.iter().map(|(label, value)| format!("{} {}", label.name().replace('_', " "), name(value))).collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
}

/// A time in whole seconds.
pub fn clock(at: Timestamp) -> String {
    at.floor_to(Nanos::from_secs(1)).to_rfc3339().replace(".000000000", "")
}

fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "-".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The labels of an alert: its identity for receivers.
pub fn labels_of(rule: &Rule, group: &GroupKey) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = rule.labels.clone();
    labels.insert("alertname".to_owned(), rule.name.clone());
    labels.insert("severity".to_owned(), rule.severity.clone());
    for (label, value) in group.iter().filter(|(_, value)| !value.is_empty()) {
        labels.insert(label.name().to_owned(), value.to_string());
    }
    labels
}

/// Identity of a rule's group, the same for every evaluator, run and version.
pub fn fingerprint(rule: &str, group: &GroupKey) -> u64 {
    let mut hash = SipHasher24::new();
    let mut text = |text: &str| {
        hash.write(&(text.len() as u64).to_le_bytes());
        hash.write(text.as_bytes());
    };
    text(rule);
    for (label, value) in group.iter() {
        text(label.name());
        text(value);
    }
    hash.finish()
}

impl Evaluation {
    /// Identity of rule and group.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.rule.name, &self.group)
    }

    /// As it is stored; silences and calls are not known here.
    pub fn record(&self) -> AlertRecord {
        let (rule, measured) = (&self.rule, self.measured);
        AlertRecord {
            at: self.at,
            fingerprint: self.fingerprint(),
            rule: rule.name.clone(),
            rule_hash: rule.hash.clone(),
            severity: rule.severity.clone(),
            group: self.group.iter().map(|(label, value)| (label.name().to_owned(), value.to_string())).collect(),
            state: self.state.name(),
            previous: self.previous.name(),
            judgement: self.judgement.name(),
            measure: rule.measure_name().to_owned(),
            unit: rule.unit().to_owned(),
            fired_at: self.fired_at,
            from: self.from,
            until: self.until,
            value: measured.map(|measured| measured.value),
            low: measured.map(|measured| measured.low),
            high: measured.and_then(|measured| measured.high),
            limit: self.limit,
            samples: measured.map_or(0, |measured| measured.samples),
            sample_unit: rule.sample_unit().to_owned(),
            capture_loss_pct: self.capture_loss_pct,
            baseline: self.baseline.map(|(median, _)| median),
            baseline_spread: self.baseline.map(|(_, spread)| spread),
            peak: self.peak,
            inhibited_by: self.inhibited_by.clone().unwrap_or_default(),
            silenced_by: String::new(),
            error: self.why.clone().unwrap_or_default(),
            summary: self.render().summary,
            worst_calls: Vec::new(),
        }
    }

    /// Labels and texts of this evaluation, from the summary and the runbook of its rule.
    pub fn render(&self) -> RenderedAlert {
        let figures = Figures::of(self);
        RenderedAlert {
            labels: labels_of(&self.rule, &self.group),
            summary: self.summary(&figures),
            description: self.description(&figures),
        }
    }

    /// The summary of the rule with its placeholders replaced.
    fn summary(&self, figures: &Figures) -> String {
        let mut summary = String::new();
        let mut rest = self.rule.summary.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            summary.push_str(before);
            let Some((name, behind)) = after.split_once('}') else {
                summary.push('{');
                rest = after;
                continue;
            };
            summary.push_str(&self.placeholder(name, figures));
            rest = behind;
        }
        summary + rest
    }

    /// What stands for a name in braces: one of [`PLACEHOLDERS`](super::rule::PLACEHOLDERS), or a label of the group.
    fn placeholder<'a>(&'a self, name: &str, figures: &'a Figures) -> Cow<'a, str> {
        if let Some((_, value)) = self.group.iter().find(|(label, _)| label.name() == name) {
            return if value.is_empty() { "(none)".into() } else { (&**value).into() };
        }
        match name {
            "measure" => self.rule.measure_name().into(),
            "value" => (&figures.value).into(),
            "bound" => (&figures.bound).into(),
            "limit" => (&figures.limit).into(),
            "unit" => self.rule.unit().into(),
            "samples" => (&figures.samples).into(),
            "window" => (&figures.window).into(),
            "group" => group_text(&self.group).into(),
            _ => "-".into(),
        }
    }

    fn description(&self, figures: &Figures) -> String {
        let mut description = self.comparison(figures) + &self.origin_of_the_limit() + &self.circumstances();
        if !self.rule.runbook.is_empty() {
            description += &format!(". {}", self.rule.runbook);
        }
        description
    }

    /// Value, bound and limit, over how many samples of which time.
    fn comparison(&self, figures: &Figures) -> String {
        let rule = &self.rule;
        let Figures { value, bound, limit, samples, window } = figures;
        let unit = unit_suffix(rule);
        let side = if rule.side() == Side::Above { "above" } else { "below" };
        let mut text = format!("{}: {} {value}{unit}", group_text(&self.group), rule.measure_name());
        if self.bound().is_some() && self.bound() != self.measured.map(|measured| measured.value) {
            text += &format!(" (at {} % confidence {side} {bound}{unit})", (1e4 * rule.confidence).round() / 100.0);
        }
        text += &format!(", limit {side} {limit}{unit}, over {samples} in {window} to {}", clock(self.until));
        text
    }

    /// What the limit was computed from, where the rule does not state it.
    fn origin_of_the_limit(&self) -> String {
        let mut text = String::new();
        if let Some((middle, spread)) = self.baseline {
            let unit = unit_suffix(&self.rule);
            text += &format!("; usual at this hour of the week: {} +- {}{unit}", number(middle), number(spread));
        }
        if let Test::Burn { factor, goal_pct, short } = &self.rule.test {
            text += &format!(
                "; at this rate the budget of a goal of {goal_pct} % lasts a {}th of its time, in the last {} too",
                number(*factor),
                write_span(*short)
            );
        }
        text
    }

    /// Since when it fires, and what is to be known of the capture, the window and the group.
    fn circumstances(&self) -> String {
        let mut text = String::new();
        if let Some(since) = self.since.filter(|_| self.state.is_firing()) {
            text += &format!("; since {}", clock(since));
        }
        if self.capture_loss_pct > 0.0 && self.judgement != State::Blind {
            text += &format!("; the capture missed {} %", number(self.capture_loss_pct));
        }
        if self.state.is_firing() && !matches!(self.judgement, State::Ok | State::Firing) {
            text += &format!("; held, the present window is not judged ({})", self.judgement.name());
        }
        if let (State::Blind, Some(why)) = (self.judgement, &self.why) {
            text += &format!("; not judged: {why}");
        }
        if is_overflow(&self.group) {
            text += &format!("; this is all beyond the first {} groups together (max_groups)", self.rule.max_groups);
        }
        if let (State::Error, Some(error)) = (self.judgement, &self.why) {
            text += &format!("; the statement failed: {error}");
        }
        text
    }
}

/// The figures of an evaluation as texts have them.
struct Figures {
    value: String,
    bound: String,
    limit: String,
    /// With their unit.
    samples: String,
    window: String,
}

impl Figures {
    fn of(evaluation: &Evaluation) -> Figures {
        let measured = evaluation.measured;
        let unit = evaluation.rule.sample_unit();
        let samples = match measured.map_or(0, |measured| measured.samples) {
            1 => format!("1 {}", unit.trim_end_matches('s')),
            samples => format!("{samples} {unit}"),
        };
        let or_none = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        Figures {
            value: or_none(measured.map(|measured| measured.value)),
            bound: or_none(evaluation.bound()),
            limit: or_none(evaluation.limit),
            samples,
            window: write_span(evaluation.until - evaluation.from),
        }
    }
}

/// The unit of the measure as it follows a number; empty for one without.
fn unit_suffix(rule: &Rule) -> String {
    if rule.unit().is_empty() { String::new() } else { format!(" {}", rule.unit()) }
}
