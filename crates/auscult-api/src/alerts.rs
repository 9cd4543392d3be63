//! `/alerts`: groups of rules that are not ok, alerts that were, and silences.

use super::control::Caller;
use super::error::ErrorBody;
use super::json::WindowJson;
use super::params::{AlertHistoryParams, AlertsParams, EvaluationsParams, Params, closed, given, limit, text, time};
use super::writes::{Writer, json_body};
use super::{ApiError, AppState};
use auscult_access::Scope;
use auscult_access::audit::Action;
use auscult_core::alert::State as Group;
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::{AlertFilter, Cost, MAX_EVALUATIONS, MAX_ROWS, PastAlert, PastEvaluation, Window};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// One group of one rule at its last evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AlertJson {
    /// Identity of rule and group, 16 hexadecimal digits; the same for every evaluator.
    pub id: String,
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
    /// The list of calls behind it, a path of this service; null for rules about the probe itself.
    #[schema(required)]
    pub calls: Option<String>,
    /// Ids of the worst of them, the worst first; empty while it does not fire.
    pub worst_calls: Vec<String>,
    /// The silence that keeps it from receivers; null without.
    #[schema(required)]
    pub silenced_by: Option<String>,
}

/// A silence: alerts of its rule and labels are shown, and not sent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SilenceJson {
    /// Identity, 16 hexadecimal digits.
    pub id: String,
    /// Name of the rule; of every rule when empty.
    pub rule: String,
    /// Values of labels that a group must have.
    pub labels: BTreeMap<String, String>,
    /// When it began.
    pub from: String,
    /// When it ends, or ended.
    pub to: String,
    /// The reason that was given.
    pub reason: String,
    /// Who, as they wrote it; empty when they did not.
    pub by: String,
    /// Whether it holds now.
    pub active: bool,
    /// Alertmanagers that have it, too.
    pub forwarded: u64,
    /// What an Alertmanager said that did not take it; null without.
    #[schema(required)]
    pub refused: Option<String>,
}

/// What a silence is asked for by.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSilence {
    /// Name of the rule; of every rule when empty or absent.
    #[serde(default)]
    pub rule: String,
    /// Values of labels that a group must have.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How long it holds, hours: from a minute to 720.
    #[schema(minimum = 0.0167, maximum = 720)]
    pub hours: f64,
    /// Why: one line, which others read.
    pub reason: String,
    /// Who asks for it; the name of the user who is signed in goes before.
    #[serde(default)]
    pub by: String,
}

/// Why a silence did not begin or end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SilenceError {
    /// What was asked for makes no sense.
    Refused(String),
    /// None of this id holds.
    Unknown,
    /// It could not be written to the disk.
    Unkept(String),
    /// No rules are evaluated.
    NotEvaluated,
}

impl From<SilenceError> for ApiError {
    fn from(error: SilenceError) -> ApiError {
        match error {
            SilenceError::Refused(why) => ApiError::bad_request(why),
            SilenceError::Unknown => ApiError::not_found("no silence of this id holds"),
            SilenceError::Unkept(why) => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_kept", why),
            SilenceError::NotEvaluated => ApiError::new(
                StatusCode::CONFLICT,
                "not_evaluated",
                "no rules of alerts are evaluated: they are on live capture, unless turned off",
            ),
        }
    }
}

/// Answer of `/alerts`.
#[derive(Serialize, ToSchema)]
pub struct AlertsJson {
    /// Firing ones first, then by severity and name.
    alerts: Vec<AlertJson>,
    /// Groups by state, of all states but `ok`.
    counts: BTreeMap<&'static str, u64>,
    /// Whether there are more in these states than are listed.
    truncated: bool,
    /// Whether rules are evaluated: they are on live capture, unless turned off.
    evaluated: bool,
    /// Rules that are evaluated.
    rules: u64,
    /// The rules of these alerts as their files have them (TOML), by name.
    rule_texts: BTreeMap<String, String>,
    /// Silences that hold or ended lately, the newest first.
    silences: Vec<SilenceJson>,
    /// Whether this client may begin and end silences.
    may_silence: bool,
}

/// What the program around the API knows of alerts.
#[derive(Clone, Debug, Default)]
pub struct AlertView {
    /// Firing ones first, then by severity.
    pub alerts: Vec<AlertJson>,
    pub counts: BTreeMap<&'static str, u64>,
    pub truncated: bool,
    pub rules: u64,
    pub rule_texts: BTreeMap<String, String>,
    pub silences: Vec<SilenceJson>,
}

/// States that are listed when the request names none: those that may need action.
const LISTED: [Group; 5] = [Group::Firing, Group::Keeping, Group::Pending, Group::Error, Group::Blind];

/// Groups of rules that are not ok at their last evaluation: firing, pending, or not judged and why.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(AlertsParams),
    responses((status = 200, body = AlertsJson), (status = 400, body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn alerts(
    State(state): State<AppState>,
    writer: Result<Writer, ApiError>,
    caller: Caller,
    Params(params): Params<AlertsParams>,
) -> Result<Json<AlertsJson>, ApiError> {
    let mut states = closed("state", params.state.as_ref(), &Group::ALL, Group::name)?;
    if states.is_empty() {
        states = LISTED.to_vec();
    }
    let view = state.telemetry.alerts(&states, MAX_ROWS as usize);
    let evaluated = view.is_some();
    let view = narrowed(view.unwrap_or_default(), &caller.principal.scope, &state.probe);
    let AlertView { alerts, counts, truncated, rules, rule_texts, mut silences } = view;
    silences.sort_by(|a, b| b.from.cmp(&a.from));
    let may_silence = evaluated && writer.is_ok();
    Ok(Json(AlertsJson { alerts, counts, truncated, evaluated, rules, rule_texts, silences, may_silence }))
}

/// What somebody with this scope may see: groups of their trunks.
fn narrowed(mut view: AlertView, scope: &Scope, own_probe: &str) -> AlertView {
    if scope.is_all() {
        return view;
    }
    let is_seen = |labels: &BTreeMap<String, String>| {
        let of_trunk = labels.get("trunk").is_some_and(|trunk| scope.has_trunk(trunk)) || scope.trunks.is_none();
        of_trunk && scope.has_probe(labels.get("probe").map_or(own_probe, String::as_str))
    };
    view.alerts.retain(|alert| is_seen(&alert.group));
    view.silences.retain(|silence| is_seen(&silence.labels));
    view.rule_texts.retain(|name, _| view.alerts.iter().any(|alert| alert.rule == *name));
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for alert in &view.alerts {
        let state = Group::ALL.into_iter().find(|state| state.name() == alert.state);
        *counts.entry(state.map_or("", Group::name)).or_default() += 1;
    }
    AlertView { counts, ..view }
}

/// An alert that fired.
#[derive(Serialize, ToSchema)]
pub struct PastAlertJson {
    /// Identity of rule and group, as in `/alerts`.
    id: String,
    /// The evaluator.
    probe: String,
    /// Site of the evaluator.
    site: String,
    /// Name of the rule.
    rule: String,
    /// `critical`, `warning` or `info`.
    severity: String,
    /// Name of the measure, or `sql`.
    measure: String,
    /// `ms`, `%`, `s`, `/min`, or empty.
    unit: String,
    /// Labels of the group.
    group: BTreeMap<String, String>,
    /// When it fired.
    fired_at: String,
    /// When it ended; null while it fires, or when its end was not stored.
    #[schema(required)]
    ended_at: Option<String>,
    /// The last evaluation that is stored.
    last_at: String,
    /// The value farthest beyond the limit.
    #[schema(required)]
    peak: Option<f64>,
    /// What value and bound had to be beyond when it fired.
    #[schema(required)]
    limit: Option<f64>,
    /// Samples of the window in which it fired.
    samples: u64,
    /// What samples are.
    sample_unit: String,
    /// What happened, one line, when it fired.
    summary: String,
    /// The rule that said the same at the end; null without.
    #[schema(required)]
    inhibited_by: Option<String>,
    /// The silence that kept it from receivers at the end; null without.
    #[schema(required)]
    silenced_by: Option<String>,
    /// Ids of its worst calls.
    worst_calls: Vec<String>,
}

/// Answer of `/alerts/history`.
#[derive(Serialize, ToSchema)]
pub struct AlertHistoryJson {
    /// The window that was answered, both ends inclusive.
    window: WindowJson,
    /// The newest first.
    alerts: Vec<PastAlertJson>,
}

/// One evaluation of one group of a rule.
#[derive(Serialize, ToSchema)]
pub struct EvaluationJson {
    /// When.
    at: String,
    /// The evaluator.
    probe: String,
    /// State of the group after it.
    state: String,
    /// What the window alone says.
    judgement: String,
    /// What was measured; null where there was nothing to measure.
    #[schema(required)]
    value: Option<f64>,
    /// The true value is not below it, with the confidence of the rule; null without.
    #[schema(required)]
    low: Option<f64>,
    /// The true value is not above it, with the confidence of the rule; null without.
    #[schema(required)]
    high: Option<f64>,
    /// What value and bound must be beyond; null while a baseline is not known.
    #[schema(required)]
    limit: Option<f64>,
    /// Streams, calls or frames that the value is made of.
    samples: u64,
    /// What the capture missed, percent of frames or packets.
    capture_loss_pct: f64,
    /// Median of the same hour of the week; null without a baseline.
    #[schema(required)]
    baseline: Option<f64>,
    /// How far values usually lie from the baseline; null without.
    #[schema(required)]
    baseline_spread: Option<f64>,
}

/// Answer of `/alerts/{id}/evaluations`.
#[derive(Serialize, ToSchema)]
pub struct EvaluationsJson {
    /// The window that was answered, both ends inclusive.
    window: WindowJson,
    /// The oldest first; of more than 3,000 the newest.
    evaluations: Vec<EvaluationJson>,
}

fn at(seconds: i64) -> String {
    Timestamp::from_secs(seconds).to_rfc3339()
}

fn given_text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl From<PastAlert> for PastAlertJson {
    fn from(alert: PastAlert) -> PastAlertJson {
        PastAlertJson {
            id: format!("{:016x}", alert.fingerprint),
            probe: alert.probe,
            site: alert.site,
            rule: alert.rule,
            severity: alert.severity,
            measure: alert.measure,
            unit: alert.unit,
            group: alert.labels.into_iter().collect(),
            fired_at: at(alert.fired_s),
            ended_at: alert.ended.then(|| at(alert.last_s)),
            last_at: at(alert.last_s),
            peak: alert.peak,
            limit: alert.fire_limit,
            samples: alert.samples,
            sample_unit: alert.sample_unit,
            summary: alert.summary,
            inhibited_by: given_text(alert.inhibited_by),
            silenced_by: given_text(alert.silenced_by),
            worst_calls: alert.worst_calls.iter().map(|uid| format!("{uid:016x}")).collect(),
        }
    }
}

impl From<PastEvaluation> for EvaluationJson {
    fn from(row: PastEvaluation) -> EvaluationJson {
        EvaluationJson {
            at: at(row.at_s),
            probe: row.probe,
            state: row.state,
            judgement: row.judgement,
            value: row.value,
            low: row.low,
            high: row.high,
            limit: row.fire_limit,
            samples: row.samples,
            capture_loss_pct: row.capture_loss_pct,
            baseline: row.baseline,
            baseline_spread: row.baseline_spread,
        }
    }
}

/// The window of a question about alerts: without `from` so long before its end.
fn window(state: &AppState, from: &Option<String>, to: &Option<String>, usual: Nanos) -> Result<Window, ApiError> {
    let to = time("to", to)?.unwrap_or_else(state.now);
    let from = time("from", from)?.unwrap_or(to - usual);
    if from > to || to - from > Window::MAX {
        return Err(ApiError::bad_request("`from` must be before `to`, at most 92 days"));
    }
    Ok(Window { from, to })
}

/// Alerts that fired in the window, the newest first, as far as the store has them.
#[utoipa::path(get, path = "/api/v1/alerts/history", tag = "alerts", params(AlertHistoryParams),
    responses((status = 200, body = AlertHistoryJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn history(
    State(state): State<AppState>,
    caller: Caller,
    Params(params): Params<AlertHistoryParams>,
) -> Result<Json<AlertHistoryJson>, ApiError> {
    let window = window(&state, &params.from, &params.to, Nanos::from_secs(7 * 86_400))?;
    let fingerprint = given(&params.id).map(fingerprint).transpose()?;
    let filter = AlertFilter { rule: text("rule", &params.rule)?, fingerprint, trunk: text("trunk", &params.trunk)? };
    let limit = limit(&params.limit)?;
    let session = state.session(Cost::Lookup, &caller).await?;
    let alerts = session.past_alerts(&filter, window, limit).await?;
    Ok(Json(AlertHistoryJson {
        window: WindowJson::from(window),
        alerts: alerts.into_iter().map(PastAlertJson::from).collect(),
    }))
}

fn fingerprint(id: &str) -> Result<u64, ApiError> {
    let parsed = u64::from_str_radix(id, 16).ok().filter(|_| id.len() == 16 && !id.starts_with('+'));
    parsed.ok_or_else(|| ApiError::bad_request("`id` must be 16 hexadecimal digits"))
}

/// Evaluations of one group of a rule: value, bounds, limit and baseline over time. Stored are those in which it was not ok, and
/// half an hour before.
#[utoipa::path(get, path = "/api/v1/alerts/{id}/evaluations", tag = "alerts",
    params(("id" = String, Path, description = "16 hexadecimal digits"), EvaluationsParams),
    responses((status = 200, body = EvaluationsJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 429, description = "Too many queries of this address wait", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "All places are taken, or the store does not answer", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn evaluations(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Params(params): Params<EvaluationsParams>,
) -> Result<Json<EvaluationsJson>, ApiError> {
    let window = window(&state, &params.from, &params.to, Nanos::from_secs(6 * 3600))?;
    let session = state.session(Cost::Lookup, &caller).await?;
    let rows = session.evaluations(fingerprint(&id)?, window).await?;
    debug_assert!(rows.len() <= MAX_EVALUATIONS as usize);
    Ok(Json(EvaluationsJson {
        window: WindowJson::from(window),
        evaluations: rows.into_iter().map(EvaluationJson::from).collect(),
    }))
}

/// Begins a silence. While there are no users: from this host only, by a page of this service or a program. `by` is the user who is
/// signed in.
#[utoipa::path(post, path = "/api/v1/alerts/silences", tag = "alerts", request_body = NewSilence,
    responses((status = 201, body = SilenceJson), (status = 400, body = ErrorBody, content_type = "application/problem+json"), (status = 403, description = "The role does not allow it, or without users the request does not come from this host", body = ErrorBody, content_type = "application/problem+json"), (status = 409, description = "No rules are evaluated", body = ErrorBody, content_type = "application/problem+json"), (status = 413, description = "The body is larger than 8 KiB", body = ErrorBody, content_type = "application/problem+json"), (status = 415, description = "The body is not JSON", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "It could not be written to the disk", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn begin_silence(
    State(state): State<AppState>,
    writer: Writer,
    caller: Caller,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<(StatusCode, Json<SilenceJson>), ApiError> {
    let mut asked: NewSilence = json_body(&headers, body).await?;
    if !writer.name.is_empty() {
        asked.by = writer.name.to_string();
    }
    let labels: Vec<String> = asked.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let what = format!(
        "alerts/silences: rule {:?}, labels {:?}, {} h: {}",
        asked.rule,
        labels.join(" "),
        asked.hours,
        asked.reason
    );
    state.access.record(caller.entry(Action::SilenceBegin, what, (state.now)())).await?;
    let begun = state.telemetry.silence(&asked)?;
    Ok((StatusCode::CREATED, Json(begun)))
}

/// Ends a silence before its time, under the same conditions.
#[utoipa::path(delete, path = "/api/v1/alerts/silences/{id}", tag = "alerts",
    params(("id" = String, Path, description = "16 hexadecimal digits")),
    responses((status = 200, body = SilenceJson), (status = 403, description = "The role does not allow it, or without users the request does not come from this host", body = ErrorBody, content_type = "application/problem+json"), (status = 404, description = "No silence of this id holds", body = ErrorBody, content_type = "application/problem+json"), (status = 409, description = "No rules are evaluated", body = ErrorBody, content_type = "application/problem+json"), (status = 503, description = "It could not be written to the disk", body = ErrorBody, content_type = "application/problem+json")))]
pub(super) async fn end_silence(
    State(state): State<AppState>,
    _writer: Writer,
    Path(id): Path<String>,
) -> Result<Json<SilenceJson>, ApiError> {
    Ok(Json(state.telemetry.end_silence(&id)?))
}
