//! Which role each route needs, and what is recorded of a request: one table, looked at before every route.

use super::control::Caller;
use super::{ApiError, AppState};
use auscult_access::audit::Action;
use auscult_access::{Role, Via};
use auscult_store::query::PhoneNumber;
use axum::extract::{FromRequestParts, MatchedPath, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::fmt::Write as _;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it says nothing about traffic.
    Nobody,
    Role(Role),
    /// A role whose scope is everything, since the answer cannot be narrowed.
    Whole(Role),
}

/// A route, what it needs, and what the audit log records of it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub method: &'static str,
    pub path: &'static str,
    pub needs: Needs,
    record: Option<Action>,
}

const fn rule(method: &'static str, path: &'static str, needs: Needs, record: Option<Action>) -> Rule {
    Rule { method, path, needs, record }
}

const VIEWER: Needs = Needs::Role(Role::Viewer);
const OPERATOR: Needs = Needs::Role(Role::Operator);

/// Every route. One that is not here is refused.
pub const RULES: &[Rule] = &[
    rule("GET", "/healthz", Needs::Nobody, None),
    rule("GET", "/readyz", Needs::Nobody, None),
    rule("GET", "/api/v1/session", Needs::Nobody, None),
    rule("POST", "/api/v1/session", Needs::Nobody, None),
    rule("DELETE", "/api/v1/session", Needs::Nobody, None),
    rule("GET", "/api/v1/session/oidc", Needs::Nobody, None),
    rule("GET", "/api/v1/session/oidc/callback", Needs::Nobody, None),
    rule("GET", "/version", VIEWER, None),
    rule("GET", "/api/v1/openapi.json", VIEWER, None),
    rule("GET", "/metrics", Needs::Whole(Role::Viewer), None),
    rule("GET", "/api/v1/range", VIEWER, None),
    rule("GET", "/api/v1/timeline", VIEWER, None),
    rule("GET", "/api/v1/stats", VIEWER, None),
    rule("GET", "/api/v1/outcomes", VIEWER, None),
    rule("GET", "/api/v1/compare", VIEWER, None),
    rule("GET", "/api/v1/retention", VIEWER, None),
    rule("GET", "/api/v1/alerts", VIEWER, None),
    rule("GET", "/api/v1/alerts/history", VIEWER, None),
    rule("GET", "/api/v1/alerts/{id}/evaluations", VIEWER, None),
    rule("GET", "/api/v1/live", VIEWER, Some(Action::CallList)),
    rule("GET", "/api/v1/calls", OPERATOR, Some(Action::CallList)),
    rule("GET", "/api/v1/calls/{id}", OPERATOR, Some(Action::CallView)),
    rule("GET", "/api/v1/streams", OPERATOR, Some(Action::StreamList)),
    rule("GET", "/api/v1/intervals", OPERATOR, Some(Action::Export)),
    // A silence may concern any trunk. What is silenced is recorded by the route, which reads it.
    rule("POST", "/api/v1/alerts/silences", Needs::Whole(Role::Operator), None),
    rule("DELETE", "/api/v1/alerts/silences/{id}", Needs::Whole(Role::Operator), Some(Action::SilenceEnd)),
    rule("GET", "/api/v1/audit", Needs::Whole(Role::Admin), Some(Action::AuditView)),
];

/// Parameters by which a figure says something about one party; a viewer may use none of them.
const OF_PARTIES: [&str; 5] = ["number", "call_id", "address", "call", "ssrc"];
/// Groupings that show addresses.
const GROUPS_OF_PARTIES: [&str; 2] = ["src", "dst"];
/// Parameters whose values are recorded as keyed hashes.
const HASHED: [&str; 2] = ["number", "call_id"];
/// Parameters whose values are recorded as they are.
const SHOWN: [&str; 28] = [
    "action",
    "address",
    "bucket_s",
    "buckets",
    "call",
    "class",
    "codec",
    "diagnosis",
    "figure",
    "final_code",
    "first_at",
    "format",
    "from",
    "group_by",
    "limit",
    "loss_above",
    "mos_below",
    "pdv_p95_above",
    "probe",
    "seen_from",
    "site",
    "sort",
    "ssrc",
    "state",
    "to",
    "trunk",
    "trunk_direction",
    "who",
];
/// Longest value of a parameter that is recorded.
const MAX_VALUE: usize = 120;

pub(super) async fn check(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match allowed(&state, request).await {
        Ok(request) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

/// The rule of a route; `None` for what is below `/api` without a route of its own, which is answered 404.
fn rule_of(method: &Method, path: &str) -> Result<Option<&'static Rule>, ApiError> {
    if path == "/api" || path == "/api/{*rest}" {
        return Ok(None);
    }
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let known = RULES.iter().any(|rule| rule.path == path);
    match RULES.iter().find(|rule| rule.path == path && rule.method == method.as_str()) {
        Some(rule) => Ok(Some(rule)),
        None if known => Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", NOT_HERE)),
        None => Err(ApiError::new(StatusCode::FORBIDDEN, "not_allowed", "nobody may use this route: it has no rule")),
    }
}

/// The request with its [`Caller`], when it may be answered.
async fn allowed(state: &AppState, request: Request) -> Result<Request, ApiError> {
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        // The files of the page, which say nothing, and routes that do not exist.
        return Ok(request);
    };
    let Some(rule) = rule_of(request.method(), path.as_str())? else { return Ok(request) };
    let (mut parts, body) = request.into_parts();
    let now = (state.now)();
    let caller = match state.access.identify(&parts, now) {
        // Who offers wrong credentials may still sign in.
        Err(_) | Ok(None) if rule.needs == Needs::Nobody => None,
        identified => identified?,
    };
    if let Needs::Role(role) | Needs::Whole(role) = rule.needs {
        let Some(caller) = &caller else {
            return Err(state.access.refuse_unknown("sign in, or send an API token (Authorization: Bearer ...)"));
        };
        let query = query_of(&parts);
        if let Some(why) = refusal(rule, role, caller, &query, &parts) {
            let what = format!("{} {}", rule.method, parts.uri.path());
            return Err(state.access.refuse(caller, what, why, now).await);
        }
        if rule.method != "GET"
            && caller.principal.via != Via::Open
            && !state.access.is_own_page(caller, &parts.headers)
        {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "not_own_page",
                "the request does not come from a page of this service; a program sends an API token",
            ));
        }
        if let Some((action, what)) = recorded(rule, caller, (&query, &parts), state) {
            state.access.record(caller.entry(action, what, now)).await?;
        }
    }
    if let Some(caller) = caller {
        parts.extensions.insert(caller);
    }
    Ok(Request::from_parts(parts, body))
}

const NOT_HERE: &str = "only GET and HEAD are answered here";

/// The query string; what cannot be read is refused by the route itself.
fn query_of(parts: &Parts) -> Vec<(String, String)> {
    Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|Query(pairs)| pairs).unwrap_or_default()
}

/// Why somebody known may not do this.
fn refusal(rule: &Rule, role: Role, caller: &Caller, query: &[(String, String)], parts: &Parts) -> Option<String> {
    let principal = &caller.principal;
    if !principal.may(role) {
        return Some(format!(
            "this needs the role {}; {} has the role {}",
            role.name(),
            principal.name,
            principal.role.name()
        ));
    }
    if matches!(rule.needs, Needs::Whole(_)) && !principal.scope.is_all() {
        return Some("this is about all probes and trunks, and your scope is some of them".to_owned());
    }
    if principal.may(Role::Operator) {
        return None;
    }
    if let Some((name, _)) = query.iter().find(|(name, value)| is_of_parties(name, value)) {
        return Some(format!("`{name}` is about parties, which needs the role operator"));
    }
    // A query that cannot be read could hide one of them; the route refuses it as well.
    (query.is_empty() && parts.uri.query().is_some_and(|query| !query.is_empty()))
        .then(|| "the query string cannot be read".to_owned())
}

/// Whether a parameter asks about one party, or shows addresses.
fn is_of_parties(name: &str, value: &str) -> bool {
    let groups = |value: &str| value.split(',').any(|group| GROUPS_OF_PARTIES.contains(&group.trim()));
    !value.is_empty() && (OF_PARTIES.contains(&name) || name == "group_by" && groups(value))
}

fn shows_parties(query: &[(String, String)]) -> bool {
    query.iter().any(|(name, value)| is_of_parties(name, value))
}

/// What the audit log records of a request that is allowed.
fn recorded(
    rule: &Rule,
    caller: &Caller,
    (query, parts): (&[(String, String)], &Parts),
    state: &AppState,
) -> Option<(Action, String)> {
    let hashed = |text: &str| state.access.audit().map(|audit| audit.pseudonym(text)).unwrap_or_default();
    let given = |name: &str| query.iter().any(|(n, value)| n == name && !value.is_empty());
    let action = match rule.record {
        Some(Action::CallList | Action::StreamList) if is_file(query, &parts.headers) => Action::Export,
        // Events name calls, but not to a viewer.
        Some(Action::CallList) if !caller.principal.may(Role::Operator) => return None,
        Some(Action::CallList) if HASHED.into_iter().any(given) => Action::CallSearch,
        Some(action) => action,
        // A figure about one party is a search.
        None if shows_parties(query) => Action::CallSearch,
        None => return None,
    };
    // What it is about comes first: the row has a bounded length.
    let (about, other): (Vec<_>, Vec<_>) = (query.iter())
        .filter(|(name, value)| !value.is_empty() && name != "cursor")
        .partition(|(name, _)| HASHED.contains(&name.as_str()));
    let mut what = place(rule, parts);
    for (i, (name, value)) in about.into_iter().chain(other).enumerate() {
        let value = match name.as_str() {
            name if HASHED.contains(&name) => {
                let number = PhoneNumber::parse(value).ok().filter(|_| name == "number");
                format!("hmac:{}", hashed(number.as_ref().map_or(value.as_str(), PhoneNumber::as_str)))
            }
            name if SHOWN.contains(&name.strip_prefix("against_").unwrap_or(name)) => {
                value.chars().take(MAX_VALUE).collect()
            }
            // A parameter that no route has may hold anything.
            _ => "?".to_owned(),
        };
        let name: String = name.chars().take(32).filter(|c| c.is_ascii_alphabetic() || *c == '_').collect();
        let _ = write!(what, "{}{name}={value}", if i == 0 { "?" } else { "&" });
    }
    Some((action, what))
}

/// The path, with an id in it only where it is one.
fn place(rule: &Rule, parts: &Parts) -> String {
    let is_id = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let given = parts.uri.path().rsplit('/').next().unwrap_or_default();
    let id = if is_id(given) { given } else { "?" };
    rule.path.trim_start_matches("/api/v1/").replace("{id}", id)
}

/// Whether a list is asked for as a file.
fn is_file(query: &[(String, String)], headers: &HeaderMap) -> bool {
    let format = query.iter().find(|(name, _)| name == "format").map(|(_, value)| value.as_str());
    match format {
        Some(format) => format != "json",
        None => headers.get(header::ACCEPT).and_then(|value: &HeaderValue| value.to_str().ok()).is_some_and(|accept| {
            accept.starts_with("text/csv") || accept.starts_with("application/vnd.apache.parquet")
        }),
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, ApiError> {
        let missing = || ApiError::new(StatusCode::UNAUTHORIZED, "not_signed_in", "sign in first");
        parts.extensions.get::<Caller>().cloned().ok_or_else(missing)
    }
}
