//! What an alert says: labels, which identify it, and texts, which may change.

use super::evaluator::{Evaluation, State, is_overflow};
use super::rule::{Rule, Side, Test, write_span};
use super::sums::GroupKey;
use crate::model::AlertRecord;
use crate::units::{Nanos, Timestamp};
use siphasher::sip::SipHasher24;
use std::collections::BTreeMap;
use std::hash::Hasher;

/// An alert as receivers get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
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
            summary: self.told().summary,
            worst_calls: Vec::new(),
        }
    }

    /// The texts of this evaluation.
    pub fn told(&self) -> Told {
        let rule = &self.rule;
        let labels = labels_of(rule, &self.group);
        let samples = self.measured.map_or(0, |measured| measured.samples);
        let unit = rule.sample_unit();
        let samples =
            if samples == 1 { format!("1 {}", unit.trim_end_matches('s')) } else { format!("{samples} {unit}") };
        let window = write_span(self.until - self.from);
        let or_none = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let value = or_none(self.measured.map(|measured| measured.value));
        let (bound, limit) = (or_none(self.bound()), or_none(self.limit));
        let mut summary = String::new();
        let mut rest = rule.summary.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            summary.push_str(before);
            let Some((name, behind)) = after.split_once('}') else {
                summary.push('{');
                rest = after;
                continue;
            };
            let of_group = self.group.iter().find(|(label, _)| label.name() == name);
            match (name, of_group) {
                (_, Some((_, value))) if value.is_empty() => summary.push_str("(none)"),
                (_, Some((_, value))) => summary.push_str(value),
                ("measure", _) => summary.push_str(rule.measure_name()),
                ("value", _) => summary.push_str(&value),
                ("bound", _) => summary.push_str(&bound),
                ("limit", _) => summary.push_str(&limit),
                ("unit", _) => summary.push_str(rule.unit()),
                ("samples", _) => summary.push_str(&samples),
                ("window", _) => summary.push_str(&window),
                ("group", _) => summary.push_str(&group_text(&self.group)),
                _ => summary.push('-'),
            }
            rest = behind;
        }
        summary.push_str(rest);
        let unit = if rule.unit().is_empty() { String::new() } else { format!(" {}", rule.unit()) };
        let side = if rule.side() == Side::Above { "above" } else { "below" };
        let mut description = format!("{}: {} {value}{unit}", group_text(&self.group), rule.measure_name());
        if self.bound().is_some() && self.bound() != self.measured.map(|measured| measured.value) {
            description +=
                &format!(" (at {} % confidence {side} {bound}{unit})", (1e4 * rule.confidence).round() / 100.0);
        }
        description += &format!(", limit {side} {limit}{unit}, over {samples} in {window} to {}", clock(self.until));
        if let Some((middle, spread)) = self.baseline {
            description += &format!("; usual at this hour of the week: {} +- {}{unit}", number(middle), number(spread));
        }
        if let Test::Burn { factor, goal_pct, short } = &rule.test {
            description += &format!(
                "; at this rate the budget of a goal of {goal_pct} % lasts a {}th of its time, in the last {} too",
                number(*factor),
                write_span(*short)
            );
        }
        if let Some(since) = self.since.filter(|_| self.state.is_firing()) {
            description += &format!("; since {}", clock(since));
        }
        if self.capture_loss_pct > 0.0 && self.judgement != State::Blind {
            description += &format!("; the capture missed {} %", number(self.capture_loss_pct));
        }
        if self.state.is_firing() && !matches!(self.judgement, State::Ok | State::Firing) {
            description += &format!("; held, the present window is not judged ({})", self.judgement.name());
        }
        if let (State::Blind, Some(why)) = (self.judgement, &self.why) {
            description += &format!("; not judged: {why}");
        }
        if is_overflow(&self.group) {
            description += &format!("; this is all beyond the first {} groups together (max_groups)", rule.max_groups);
        }
        if let (State::Error, Some(error)) = (self.judgement, &self.why) {
            description += &format!("; the statement failed: {error}");
        }
        if !rule.runbook.is_empty() {
            description += &format!(". {}", rule.runbook);
        }
        Told { labels, summary, description }
    }
}
