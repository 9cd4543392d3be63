//! `/alerts`: groups of rules that are not ok.

use super::AppState;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// One group of one rule at its last evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AlertJson {
    /// Name of the rule.
    pub rule: String,
    /// `critical`, `warning` or `info`.
    pub severity: String,
    /// `pending`, `firing`, `keeping`, `blind`, `few`, `no_data` or `error`.
    pub state: String,
    /// What the last window alone says: `ok`, `firing`, or why it is not judged.
    pub judgement: String,
    /// Name of the measure, or `sql`.
    pub measure: String,
    /// `ms`, `%`, `s`, `/min`, or empty.
    pub unit: String,
    /// Labels of the group.
    pub group: BTreeMap<String, String>,
    /// When the group became pending, or fired; null in other states.
    #[schema(required)]
    pub since: Option<String>,
    /// Start of the window that was judged.
    pub from: String,
    /// End of the window that was judged.
    pub to: String,
    /// What was measured; null where there was nothing to measure.
    #[schema(required)]
    pub value: Option<f64>,
    /// What the true value is beyond, with the confidence of the rule.
    #[schema(required)]
    pub bound: Option<f64>,
    /// What value and bound must be beyond; null while a baseline is not known.
    #[schema(required)]
    pub limit: Option<f64>,
    /// Streams, calls or frames that the value is made of.
    pub samples: u64,
    /// What samples are.
    pub sample_unit: String,
    /// What the capture missed, percent of frames or packets.
    pub capture_loss_pct: f64,
    /// The rule that says the same already, so that this is not sent; null without.
    #[schema(required)]
    pub inhibited_by: Option<String>,
    /// What happened, one line.
    pub summary: String,
    /// The same with limit, bound, samples, window and what to do.
    pub description: String,
    /// The list of calls behind it, a path of this service.
    pub calls: String,
}

/// Answer of `/alerts`.
#[derive(Serialize, ToSchema)]
pub struct AlertsJson {
    /// Firing ones first, then by severity and name.
    alerts: Vec<AlertJson>,
    /// Whether rules are evaluated: they are on live capture, unless turned off.
    evaluated: bool,
    /// Rules that are evaluated.
    rules: u64,
}

/// What the program around the API knows of alerts.
#[derive(Clone, Debug, Default)]
pub struct AlertView {
    pub alerts: Vec<AlertJson>,
    pub rules: u64,
}

/// Groups of rules that are not ok at their last evaluation: firing, pending, or not judged and why.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", responses((status = 200, body = AlertsJson)))]
pub(super) async fn alerts(State(state): State<AppState>) -> Json<AlertsJson> {
    let view = state.telemetry.alerts();
    let evaluated = view.is_some();
    let AlertView { mut alerts, rules } = view.unwrap_or_default();
    let rank = |alert: &AlertJson| {
        let state = ["firing", "keeping", "pending", "error", "blind"].iter().position(|s| *s == alert.state);
        let severity = ["critical", "warning", "info"].iter().position(|s| *s == alert.severity);
        (state.unwrap_or(9), severity.unwrap_or(9))
    };
    alerts.sort_by(|a, b| (rank(a), &a.rule, &a.group).cmp(&(rank(b), &b.rule, &b.group)));
    Json(AlertsJson { alerts, evaluated, rules })
}
