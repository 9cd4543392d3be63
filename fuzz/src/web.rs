//! Requests to the API, and the configuration file.

use crate::readers::assert_clean;
use auscult::app::config::Config;
use auscult_api::{AppState, Check, HostPolicy, LiveFeed, MetricFamily, Telemetry, app};
use auscult_core::model::Limits;
use auscult_core::units::Timestamp;
use auscult_store::query::Reader;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use std::sync::Arc;
use tower::ServiceExt;

struct NoTelemetry;

impl Telemetry for NoTelemetry {
    fn families(&self) -> Vec<MetricFamily> {
        Vec::new()
    }

    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}

thread_local! {
    static SERVICE: (tokio::runtime::Runtime, axum::Router) = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let router = app(AppState {
            access: std::sync::Arc::new(auscult_api::AccessControl::without_users()),
            probe: "probe".into(),
            site: "site".into(),
            // No address: whatever gets past the checks ends as "cannot be reached".
            reader: Reader::new(clickhouse::Client::default()),
            live: Arc::new(LiveFeed::new(&Limits::default())),
            telemetry: Arc::new(NoTelemetry),
            hosts: HostPolicy::loopback(),
            now: Timestamp::default,
        });
        (runtime.unwrap_or_else(|e| panic!("{e}")), router)
    };
}

/// A path with its query: the answer is JSON with one line of clean text, or one of the fixed documents.
pub fn api_query(bytes: &[u8]) {
    let uri: String = String::from_utf8_lossy(bytes)
        .chars()
        .flat_map(|c| match c {
            '!'..='~' if !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' | '#') => vec![c],
            c => c.to_string().bytes().flat_map(|b| format!("%{b:02X}").into_bytes()).map(char::from).collect(),
        })
        .collect();
    let uri = if uri.starts_with('/') { uri } else { format!("/api/v1/calls?{uri}") };
    // Server-sent events do not end.
    if uri.trim_end_matches('/').starts_with("/api/v1/live") {
        return;
    }
    let Ok(request) = Request::get(uri).header(header::HOST, "localhost").body(Body::empty()) else { return };
    SERVICE.with(|(runtime, router)| {
        let (status, json, body) = runtime.block_on(async {
            let response = router.clone().oneshot(request).await.unwrap_or_else(|e| match e {});
            assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let json = kind.is_some_and(|kind| kind.ends_with("json"));
            let (status, body) = (response.status(), response.into_body());
            (status, json, to_bytes(body, 8 << 20).await.unwrap_or_else(|e| panic!("{e}")))
        });
        if status.is_success() || status.is_redirection() || !json {
            return;
        }
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{e}"));
        // `/readyz` answers with its checks.
        let Some(message) = answer["error"]["message"].as_str() else {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            return;
        };
        assert_clean(message, 2048);
    });
}

/// A configuration: refused with one line, or within its limits.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // Files it names would be read.
    if text.contains("_file") || text.contains("\\") {
        return;
    }
    match Config::parse(&text) {
        Ok(config) => {
            assert!(config.limits.streams >= 1 && config.limits.streams <= 100_000_000);
            assert!(config.store.spool_bytes.is_none_or(|bytes| bytes >= 1 << 20));
            assert!((1..=64).contains(&config.capture.threads));
            assert!(config.policy.interval.0 >= 1_000_000_000);
        }
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
}
