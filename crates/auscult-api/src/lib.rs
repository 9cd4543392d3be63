//! The service's HTTP face: REST with OpenAPI, server-sent events, health, metrics and the embedded page.
//!
//! [`app`] is the whole of it and is tested without a port. Answers are read-only but for sessions and silences of alerts; every one under
//! `/api/v1` is JSON, errors included. Each route needs a role ([`RULES`]). Sockets and TLS belong to the program that serves it.

#![forbid(unsafe_code)]

mod alerts;
mod audit;
mod calls;
mod compare;
mod conditional;
mod control;
mod error;
mod export;
mod guard;
mod health;
mod json;
mod json_figures;
mod json_report;
mod json_stream;
mod listeners;
mod live;
mod metrics;
mod oidc;
mod openapi;
mod outcomes;
mod page;
mod params;
mod provider;
mod retention;
mod rights;
mod session;
mod stats;
mod streams;
mod vocabulary;
mod writes;

pub use alerts::{AlertJson, AlertView, NewSilence, SilenceError, SilenceJson};
pub use control::{AccessControl, TrustedProxy};
pub use error::ApiError;
pub use guard::HostPolicy;
pub use health::Check;
pub use json::CallJson;
pub use json_stream::StreamJson;
pub use live::LiveFeed;
pub use metrics::{MetricFamily, MetricValue, Sample};
pub use openapi::openapi_json;
pub use page::page_is_built;
pub use provider::{Authorization, Expected, IdentityProvider, ProviderError};
pub use rights::{Needs, RULES, Rule};

use control::Caller;

use auscult_core::alert;
use auscult_core::units::Timestamp;
use auscult_store::query::{Cost, Reader, Session};
use axum::Router;
use axum::routing::{delete, get, post};
use std::sync::Arc;

/// What the program around the API knows and the API shows: its own counters, and whether it can work.
pub trait Telemetry: Send + Sync {
    /// Metric families beyond those folded from events (store, spool, process). Names are unique over all families.
    fn families(&self) -> Vec<MetricFamily>;
    /// Checks of `/readyz` beyond the store's answer, such as capture open and spool below its limit.
    fn checks(&self) -> Vec<Check>;
    /// Groups of rules that are not ok, those in these states and at most so many; `None` when no rules are evaluated.
    fn alerts(&self, _states: &[alert::State], _most: usize) -> Option<AlertView> {
        None
    }
    /// Begins a silence of alerts.
    ///
    /// # Errors
    /// No rules are evaluated, what is asked for makes no sense, or it cannot be kept.
    fn silence(&self, _asked: &NewSilence) -> Result<SilenceJson, SilenceError> {
        Err(SilenceError::NotEvaluated)
    }
    /// Ends a silence before its time.
    ///
    /// # Errors
    /// No rules are evaluated, there is none of this id, or the change cannot be kept.
    fn end_silence(&self, _id: &str) -> Result<SilenceJson, SilenceError> {
        Err(SilenceError::NotEvaluated)
    }
    /// Why only a restart helps, for `/healthz`; `None` while the program is alive.
    fn stuck(&self) -> Option<String> {
        None
    }
}

/// Everything the handlers need.
#[derive(Clone)]
pub struct AppState {
    pub reader: Reader,
    pub live: Arc<LiveFeed>,
    pub telemetry: Arc<dyn Telemetry>,
    pub hosts: HostPolicy,
    /// Who may see what, and what is recorded of it.
    pub access: Arc<AccessControl>,
    /// The operator's names of this probe and its site, which rows of running calls carry as stored ones do.
    pub probe: Arc<str>,
    pub site: Arc<str>,
    /// The wall clock, for windows when nothing is stored.
    pub now: fn() -> Timestamp,
}

impl AppState {
    /// A place among the queries of this cost, for the rows that the caller may see.
    async fn session(&self, cost: Cost, caller: &Caller) -> Result<Session, ApiError> {
        Ok(self.reader.session(cost, caller.client).await?.scoped(&caller.principal.scope))
    }
}

/// Every route of the service.
pub fn app(state: AppState) -> Router {
    let api = Router::new()
        .route("/range", get(calls::range))
        .route("/timeline", get(calls::timeline))
        .route("/calls", get(calls::list))
        .route("/calls/{id}", get(calls::one))
        .route("/streams", get(streams::list))
        .route("/intervals", get(export::intervals))
        .route("/stats", get(stats::stats))
        .route("/outcomes", get(outcomes::outcomes))
        .route("/compare", get(compare::compare))
        .route("/retention", get(retention::retention))
        .route("/alerts", get(alerts::alerts))
        .route("/alerts/history", get(alerts::history))
        .route("/alerts/{id}/evaluations", get(alerts::evaluations))
        .route("/alerts/silences", post(alerts::begin_silence))
        .route("/alerts/silences/{id}", delete(alerts::end_silence))
        .route("/live", get(live::events))
        .route("/session", get(session::current).post(session::begin).delete(session::end))
        .route("/session/oidc", get(oidc::begin))
        .route("/session/oidc/callback", get(oidc::callback))
        .route("/audit", get(audit::rows))
        .route("/openapi.json", get(openapi::document))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::read_only);
    Router::new()
        .nest("/api/v1", api)
        .route("/api", get(error::no_such_route))
        .route("/api/{*rest}", get(error::no_such_route))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::render))
        .route("/version", get(health::version))
        .fallback(page::serve)
        .method_not_allowed_fallback(error::read_only)
        .layer(axum::middleware::from_fn_with_state(state.clone(), rights::check))
        .layer(axum::middleware::from_fn(conditional::tagged))
        .layer(conditional::compression())
        .layer(axum::middleware::from_fn_with_state(state.hosts.clone(), guard::guard))
        .with_state(state)
}
