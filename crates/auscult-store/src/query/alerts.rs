//! Alerts that were, and the evaluations of one group of a rule.

use super::statement::{Conditions, Statement, Value};
use super::{QueryError, Session, Window};
use clickhouse::Row;
use serde::Deserialize;

/// Evaluations of one group that one answer has at most: those of two days, once a minute.
pub const MAX_EVALUATIONS: u32 = 3_000;

/// One alert from its firing to its end, or as far as it was stored. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct PastAlert {
    /// The evaluator.
    pub probe: String,
    pub site: String,
    pub fingerprint: u64,
    pub rule: String,
    pub severity: String,
    pub labels: Vec<(String, String)>,
    pub measure: String,
    pub unit: String,
    pub fired_s: i64,
    /// The last evaluation that is stored; the end where the alert has ended.
    pub last_s: i64,
    pub ended: bool,
    /// The window of its first evaluation.
    pub from_s: i64,
    pub to_s: i64,
    /// Farthest beyond the limit.
    pub peak: Option<f64>,
    pub fire_limit: Option<f64>,
    /// Of the first evaluation.
    pub samples: u64,
    pub sample_unit: String,
    pub summary: String,
    pub inhibited_by: String,
    pub silenced_by: String,
    pub worst_calls: Vec<u64>,
}

/// One evaluation of one group.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct PastEvaluation {
    pub probe: String,
    pub at_s: i64,
    pub state: String,
    pub judgement: String,
    pub value: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub fire_limit: Option<f64>,
    pub samples: u64,
    pub capture_loss_pct: f64,
    pub baseline: Option<f64>,
    pub baseline_spread: Option<f64>,
}

/// What a list of past alerts is narrowed to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertFilter {
    pub rule: Option<String>,
    pub fingerprint: Option<u64>,
    /// Alerts whose group has this trunk, or no trunk.
    pub trunk: Option<String>,
}

const PAST: &str = "SELECT probe, site, fingerprint, any(a.rule) AS rule, argMin(a.severity, a.at) AS severity, \
     any(a.labels) AS labels, any(a.measure) AS measure, any(a.unit) AS unit, \
     toInt64(toUnixTimestamp(assumeNotNull(a.fired_at))) AS fired_s, toInt64(toUnixTimestamp(max(a.at))) AS last_s, \
     max(a.state NOT IN ('firing', 'keeping')) AS ended, toInt64(toUnixTimestamp(argMin(a.window_from, a.at))) AS from_s, \
     toInt64(toUnixTimestamp(argMin(a.window_to, a.at))) AS to_s, \
     argMax(a.peak, a.at) AS peak, argMin(a.fire_limit, a.at) AS fire_limit, argMin(a.samples, a.at) AS samples, \
     any(a.sample_unit) AS sample_unit, argMin(a.summary, a.at) AS summary, argMax(a.inhibited_by, a.at) AS inhibited_by, \
     argMax(a.silenced_by, (a.state IN ('firing', 'keeping'), a.at)) AS silenced_by, \
     argMax(a.worst_calls, (length(a.worst_calls), -toInt64(toUnixTimestamp(a.at)))) AS worst_calls FROM alerts AS a";

const EVALUATIONS: &str = "SELECT probe, toInt64(toUnixTimestamp(at)) AS at_s, state, judgement, value, low, high, fire_limit, \
     samples, capture_loss_pct, baseline, baseline_spread FROM alerts AS a";

fn seconds(window: Window) -> [(&'static str, Value); 2] {
    let second = |ns: i64| Value::Int(ns.div_euclid(1_000_000_000).clamp(0, i64::from(u32::MAX)));
    [("from_s", second(window.from.0)), ("to_s", second(window.to.0))]
}

const WITHIN: &str = "a.at BETWEEN toDateTime({from_s:Int64}, 'UTC') AND toDateTime({to_s:Int64}, 'UTC')";

impl Session {
    /// Alerts that fired at some time of the window, the newest first. The rule that always fires (`watchdog`) is left out.
    ///
    /// # Errors
    /// As every question to the store.
    pub async fn past_alerts(
        &self,
        filter: &AlertFilter,
        window: Window,
        limit: u32,
    ) -> Result<Vec<PastAlert>, QueryError> {
        past_statement(filter, window, limit).fetch_all(&self.sums()).await
    }

    /// What was stored of one group of a rule, the oldest first; of more than [`MAX_EVALUATIONS`] the newest.
    ///
    /// # Errors
    /// As every question to the store.
    pub async fn evaluations(&self, fingerprint: u64, window: Window) -> Result<Vec<PastEvaluation>, QueryError> {
        evaluations_statement(fingerprint, window).fetch_all(&self.sums()).await.map(|mut rows: Vec<PastEvaluation>| {
            rows.reverse();
            rows
        })
    }
}

fn past_statement(filter: &AlertFilter, window: Window, limit: u32) -> Statement {
    let mut all = Conditions::default();
    all.and(WITHIN, seconds(window));
    all.and("a.fired_at IS NOT NULL AND a.measure != 'watchdog'", []);
    if let Some(rule) = &filter.rule {
        all.and("a.rule = {rule:String}", [("rule", Value::Text(rule.clone()))]);
    }
    if let Some(fingerprint) = filter.fingerprint {
        all.and("a.fingerprint = {fingerprint:UInt64}", [("fingerprint", Value::Uint(fingerprint))]);
    }
    if let Some(trunk) = &filter.trunk {
        let clause = "(NOT mapContains(a.labels, 'trunk') OR a.labels['trunk'] = {trunk:String})";
        all.and(clause, [("trunk", Value::Text(trunk.clone()))]);
    }
    Statement::new(PAST)
        .conditions(all)
        .text(" GROUP BY probe, site, fingerprint, a.fired_at ORDER BY fired_s DESC, fingerprint, probe, site LIMIT {limit:UInt32}")
        .value("limit", Value::Uint(u64::from(limit)))
}

fn evaluations_statement(fingerprint: u64, window: Window) -> Statement {
    let mut all = Conditions::default();
    all.and(WITHIN, seconds(window));
    all.and("a.fingerprint = {fingerprint:UInt64}", [("fingerprint", Value::Uint(fingerprint))]);
    // The way to an alert is stored once more where an evaluation of that time was stored already.
    Statement::new(EVALUATIONS)
        .conditions(all)
        .text(" ORDER BY a.at DESC, probe, site, a.state NOT IN ('pending', 'firing', 'keeping') LIMIT 1 BY probe, site, a.at LIMIT {limit:UInt32}")
        .value("limit", Value::Uint(u64::from(MAX_EVALUATIONS)))
}
