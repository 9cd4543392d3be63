//! Every route with every kind of request it must take or refuse; headers, hosts, health, metrics, events.

use crate::world::{World, call, get, send, service, service_for_others, service_over};
use auscult_api::{LiveFeed, openapi_json};
use auscult_core::groups::Group;
use auscult_core::model::{
    CallRecord, CallState, CallUid, Diagnosis, DiagnosisCode, Event, GroupPart, GroupTrunk, Limits, MediaFigures,
    MediaGroup, Scale, TrunkDirection,
};
use auscult_core::units::{Nanos, Timestamp};
use auscult_http::PeerAddress;
use auscult_store::budget::{
    ENGINE_BASE_BYTES, ENGINE_MEMORY_BYTES, INSERT_MEMORY_BYTES, LOOKUPS_AT_ONCE, MAX_EXECUTION_S, QUERY_MEMORY_BYTES,
    SCANS_AT_ONCE,
};
use auscult_store::chdb::EngineLimits;
use auscult_store::endpoint::Access;
use auscult_store::query::{Cost, Reader};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use clickhouse::Client;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::StreamExt;
use tower::ServiceExt;

/// `(route as the document names it, request, status)`.
const MATRIX: &[(&str, &str, u16)] = &[
    ("/api/v1/range", "/api/v1/range", 200),
    ("/api/v1/timeline", "/api/v1/timeline", 200),
    ("/api/v1/timeline", "/api/v1/timeline?buckets=1", 200),
    ("/api/v1/timeline", "/api/v1/timeline?buckets=1000", 200),
    ("/api/v1/timeline", "/api/v1/timeline?buckets=0", 400),
    ("/api/v1/timeline", "/api/v1/timeline?buckets=1001", 400),
    ("/api/v1/timeline", "/api/v1/timeline?from=2026-01-01T00:00:00Z&to=2026-04-03T00:00:01Z", 400),
    ("/api/v1/timeline", "/api/v1/timeline?from=2026-01-01T00:00:00Z&to=2026-04-03T00:00:00Z", 200),
    ("/api/v1/calls", "/api/v1/calls", 200),
    ("/api/v1/calls", "/api/v1/calls?limit=1000", 200),
    ("/api/v1/calls", "/api/v1/calls?limit=1001", 400),
    ("/api/v1/calls", "/api/v1/calls?limit=0", 400),
    ("/api/v1/calls", "/api/v1/calls?limit=-1", 400),
    ("/api/v1/calls", "/api/v1/calls?limit=99999999999999999999", 400),
    ("/api/v1/calls", "/api/v1/calls?limit=", 200),
    ("/api/v1/calls", "/api/v1/calls?limit=1&limit=2", 400),
    ("/api/v1/calls", "/api/v1/calls?from=2026-01-01T00:00:00Z&to=2026-04-03T00:00:01Z", 400),
    ("/api/v1/calls", "/api/v1/calls?from=2026-01-01T00:00:00Z&to=2026-04-03T00:00:00Z&number=4930", 200),
    ("/api/v1/streams", "/api/v1/streams?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:01Z", 400),
    ("/api/v1/calls", "/api/v1/calls?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400),
    ("/api/v1/calls", "/api/v1/calls?from=1677-09-22T00:00:00Z&to=2262-01-01T00:00:00Z", 400),
    ("/api/v1/calls", "/api/v1/calls?from=yesterday", 400),
    ("/api/v1/calls", "/api/v1/calls?from=2026-03-01T13:00:00%2B01:00", 200),
    ("/api/v1/calls", "/api/v1/calls?from=1970-01-01T00:00:00Z", 200),
    ("/api/v1/calls", "/api/v1/calls?to=2200-01-01T00:00:00Z", 200),
    ("/api/v1/calls", "/api/v1/calls?from=1677-10-01T00:00:00Z&to=1677-10-02T00:00:00Z&codec=PCMU", 200),
    ("/api/v1/calls", "/api/v1/calls?from=2262-04-01T00:00:00Z&to=2262-04-11T00:00:00Z&codec=PCMU", 200),
    ("/api/v1/calls", "/api/v1/calls?sort=best", 400),
    ("/api/v1/calls", "/api/v1/calls?state=complete", 400),
    ("/api/v1/calls", "/api/v1/calls?state=completed,active", 400),
    ("/api/v1/calls", "/api/v1/calls?state=completed,%20failed&class=poor,failed&final_code=0,200,699", 200),
    ("/api/v1/calls", "/api/v1/calls?class=bad", 400),
    ("/api/v1/calls", "/api/v1/calls?class=good,", 400),
    ("/api/v1/calls", "/api/v1/calls?class=&final_code=&diagnosis=", 200),
    ("/api/v1/calls", "/api/v1/calls?final_code=100", 400),
    ("/api/v1/calls", "/api/v1/calls?final_code=700", 400),
    ("/api/v1/calls", "/api/v1/calls?final_code=4xx", 400),
    ("/api/v1/calls", "/api/v1/calls?diagnosis=noise", 400),
    ("/api/v1/timeline", "/api/v1/timeline?class=poor,failed&final_code=503", 200),
    ("/api/v1/timeline", "/api/v1/timeline?class=worse", 400),
    ("/api/v1/calls", "/api/v1/calls?sort=longest", 200),
    ("/api/v1/calls", "/api/v1/calls?sort=loss&limit=1", 200),
    ("/api/v1/calls", "/api/v1/calls?sort=caller", 400),
    ("/api/v1/calls", "/api/v1/calls?mos_below=NaN", 400),
    ("/api/v1/calls", "/api/v1/calls?mos_below=3.6&pdv_p95_above=20&loss_above=0.5", 200),
    ("/api/v1/calls", "/api/v1/calls?address=1.2.3.4.5", 400),
    ("/api/v1/calls", "/api/v1/calls?address=192.0.2.0/24", 200),
    ("/api/v1/calls", "/api/v1/calls?address=192.0.2.1:5060", 200),
    ("/api/v1/calls", "/api/v1/calls?codec=PCMU&trunk=a&site=b&state=failed&diagnosis=no_media&call_id=x", 200),
    ("/api/v1/calls", "/api/v1/calls?number=---", 400),
    ("/api/v1/calls", "/api/v1/calls?cursor=0123", 400),
    ("/api/v1/calls", "/api/v1/calls?colour=red", 400),
    ("/api/v1/calls/{id}", "/api/v1/calls/000000000000000a", 200),
    ("/api/v1/calls/{id}", "/api/v1/calls/000000000000000a?first_at=2026-07-01T12:00:00Z", 200),
    ("/api/v1/calls/{id}", "/api/v1/calls/000000000000000a?first_at=0001-01-01T00:00:00Z", 400),
    ("/api/v1/calls/{id}", "/api/v1/calls/000000000000000a?first_at=noon", 400),
    ("/api/v1/calls/{id}", "/api/v1/calls/000000000000000a?at=2026-07-01T12:00:00Z", 400),
    ("/api/v1/calls/{id}", "/api/v1/calls/000000000000000b?first_at=2026-07-01T12:00:00Z", 404),
    ("/api/v1/calls/{id}", "/api/v1/calls/000000000000000b", 404),
    ("/api/v1/calls/{id}", "/api/v1/calls/a", 400),
    ("/api/v1/calls/{id}", "/api/v1/calls/+00000000000000a", 400),
    ("/api/v1/calls/{id}", "/api/v1/calls/%27%20OR%201=1%20--%20", 400),
    ("/api/v1/streams", "/api/v1/streams?sort=newest&limit=10", 200),
    ("/api/v1/streams", "/api/v1/streams?ssrc=0x0000abcd&call=000000000000000a&codec=PCMU&address=::1", 200),
    ("/api/v1/streams", "/api/v1/streams?ssrc=0x1ffffffff", 400),
    ("/api/v1/streams", "/api/v1/streams?call=00000000000000000a", 400),
    ("/api/v1/streams", "/api/v1/streams?sort=longest", 400),
    ("/api/v1/stats", "/api/v1/stats", 200),
    ("/api/v1/stats", "/api/v1/stats?group_by=codec,trunk,site&bucket_s=60", 200),
    ("/api/v1/stats", "/api/v1/stats?group_by=probe,src,dst", 200),
    ("/api/v1/stats", "/api/v1/stats?group_by=mos_scale", 200),
    ("/api/v1/stats", "/api/v1/stats?from=1677-10-01T00:00:00Z&to=1677-10-02T00:00:00Z", 200),
    ("/api/v1/stats", "/api/v1/stats?from=2200-01-01T00:00:00Z&to=2200-01-02T00:00:00Z&bucket_s=3600", 200),
    ("/api/v1/timeline", "/api/v1/timeline?from=1677-10-01T00:00:00Z&to=1677-10-02T00:00:00Z", 200),
    ("/api/v1/stats", "/api/v1/stats?group_by=codec,trunk,site,probe", 400),
    ("/api/v1/stats", "/api/v1/stats?group_by=codec,codec", 400),
    ("/api/v1/stats", "/api/v1/stats?group_by=caller_user", 400),
    ("/api/v1/stats", "/api/v1/stats?bucket_s=0", 400),
    ("/api/v1/stats", "/api/v1/stats?bucket_s=1&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z", 400),
    ("/api/v1/stats", "/api/v1/stats?group_by=trunk,trunk_direction&trunk_direction=from", 200),
    ("/api/v1/stats", "/api/v1/stats?trunk_direction=up", 400),
    ("/api/v1/stats", "/api/v1/stats?from=2026-01-01T00:00:00Z&to=2026-03-30T00:00:00Z", 200),
    ("/api/v1/stats", "/api/v1/stats?from=2026-01-01T00:00:00Z&to=2026-05-30T00:00:00Z", 400),
    ("/api/v1/stats", "/api/v1/stats?from=2026-01-01T00:00:00Z&to=2026-03-30T00:00:00Z&address=192.0.2.1", 400),
    ("/api/v1/intervals", "/api/v1/intervals", 200),
    ("/api/v1/intervals", "/api/v1/intervals?format=parquet&trunk=a&trunk_direction=toward&address=192.0.2.1", 200),
    ("/api/v1/intervals", "/api/v1/intervals?ssrc=1", 400),
    ("/api/v1/calls", "/api/v1/calls?format=json", 200),
    ("/api/v1/calls", "/api/v1/calls?format=csv&sort=newest", 400),
    ("/api/v1/alerts", "/api/v1/alerts", 200),
    ("/api/v1/alerts", "/api/v1/alerts?state=few,no_data", 200),
    ("/api/v1/alerts", "/api/v1/alerts?state=up", 400),
    ("/api/v1/alerts", "/api/v1/alerts?limit=1", 400),
    ("/api/v1/alerts/history", "/api/v1/alerts/history", 200),
    ("/api/v1/alerts/history", "/api/v1/alerts/history?rule=x&trunk=a&id=00c0ffee00c0ffee&limit=1000", 200),
    ("/api/v1/alerts/history", "/api/v1/alerts/history?limit=1001", 400),
    ("/api/v1/alerts/history", "/api/v1/alerts/history?id=x", 400),
    ("/api/v1/alerts/history", "/api/v1/alerts/history?from=2026-01-01T00:00:00Z&to=2026-04-03T00:00:01Z", 400),
    ("/api/v1/alerts/history", "/api/v1/alerts/history?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400),
    ("/api/v1/alerts/history", "/api/v1/alerts/history?state=firing", 400),
    ("/api/v1/alerts/{id}/evaluations", "/api/v1/alerts/00c0ffee00c0ffee/evaluations", 200),
    ("/api/v1/alerts/{id}/evaluations", "/api/v1/alerts/00c0ffee/evaluations", 400),
    ("/api/v1/alerts/{id}/evaluations", "/api/v1/alerts/00c0ffee00c0ffee/evaluations?from=now", 400),
    ("/api/v1/calls", "/api/v1/calls?seen_from=2026-03-01T00:00:00Z&trunk_direction=toward", 200),
    ("/api/v1/calls", "/api/v1/calls?seen_from=then", 400),
    ("/api/v1/calls", "/api/v1/calls?trunk_direction=up", 400),
    ("/api/v1/calls", "/api/v1/calls?trunk_direction=from&state=active", 400),
    ("/api/v1/timeline", "/api/v1/timeline?seen_from=2026-03-01T00:00:00Z&trunk_direction=toward", 200),
    ("/api/v1/outcomes", "/api/v1/outcomes", 200),
    ("/api/v1/outcomes", "/api/v1/outcomes?group_by=trunk,trunk_direction,site&bucket_s=300&trunk=a&site=b", 200),
    ("/api/v1/outcomes", "/api/v1/outcomes?group_by=codec", 400),
    ("/api/v1/outcomes", "/api/v1/outcomes?group_by=trunk,site,probe,trunk_direction", 400),
    ("/api/v1/outcomes", "/api/v1/outcomes?codec=PCMU", 400),
    ("/api/v1/compare", "/api/v1/compare?figure=asr&trunk=a&against_trunk=b", 200),
    (
        "/api/v1/compare",
        "/api/v1/compare?figure=jitter_p95&from=2026-03-02T00:00:00Z&to=2026-03-03T00:00:00Z&against_from=2026-03-01T00:00:00Z&against_to=2026-03-02T00:00:00Z",
        200,
    ),
    ("/api/v1/retention", "/api/v1/retention", 200),
    ("/api/v1/compare", "/api/v1/compare?figure=asr", 400),
    ("/api/v1/compare", "/api/v1/compare?trunk=a&against_trunk=b", 400),
    ("/api/v1/compare", "/api/v1/compare?figure=asr&codec=PCMU&against_trunk=b", 400),
    ("/api/v1/session", "/api/v1/session", 200),
    ("/api/v1/session/oidc", "/api/v1/session/oidc", 404),
    ("/api/v1/session/oidc/callback", "/api/v1/session/oidc/callback?state=a&code=b", 404),
    ("/api/v1/audit", "/api/v1/audit", 200),
    ("/api/v1/audit", "/api/v1/audit?who=alice&action=call_view&from=2026-03-01T00:00:00Z&limit=10&cursor=7", 200),
    ("/api/v1/audit", "/api/v1/audit?action=call_view,sign_in", 400),
    ("/api/v1/audit", "/api/v1/audit?action=looked", 400),
    ("/api/v1/audit", "/api/v1/audit?cursor=x", 400),
    ("/api/v1/openapi.json", "/api/v1/openapi.json", 200),
    ("/healthz", "/healthz", 200),
    ("/readyz", "/readyz", 200),
    ("/version", "/version", 200),
    ("/metrics", "/metrics", 200),
    ("", "/api/v1/nothing", 404),
    ("", "/api/v2/calls", 404),
    ("", "/api", 404),
    ("", "/assets/missing.js", 404),
    ("", "/", 200),
    ("", "/calls/000000000000000a", 200),
    ("", "/stats", 200),
];

#[tokio::test]
async fn every_route_takes_and_refuses_what_it_should() {
    let Some(world) = World::new("routes").await else { return };
    world.insert("calls", &[call(10, 0, json!({}))]).await;
    world.live.publish(&changed(12, CallState::Established, None), "");
    let still_up = get(&world.router, "/api/v1/calls/000000000000000c").await;
    assert_eq!(still_up.json()["call"]["state"], "established", "{}", still_up.text);
    for (_, uri, expected) in MATRIX {
        let answer = get(&world.router, uri).await;
        assert_eq!(answer.status.as_u16(), *expected, "{uri}: {}", answer.text);
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{uri}");
        assert_eq!(answer.headers[header::REFERRER_POLICY], "no-referrer", "{uri}");
        assert!(answer.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none(), "{uri}");
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap_or_default();
        assert!(policy.starts_with("default-src 'self';"), "{uri}: {policy}");
        if uri.starts_with("/api") {
            assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{uri}");
            let file = uri.contains("/intervals") && *expected == 200;
            let kind = if *expected < 400 { "application/json" } else { "application/problem+json" };
            assert!(file || answer.headers[header::CONTENT_TYPE] == kind, "{uri}");
        }
        if *expected >= 400 {
            let error = &answer.json()["error"];
            let message = error["message"].as_str().unwrap_or_default();
            assert!(!message.is_empty() && !message.contains('\n') && message.len() < 500, "{uri}: {message}");
            assert!(error["code"].is_string(), "{uri}");
            let problem = answer.json();
            assert_eq!((&problem["detail"], &problem["code"]), (&error["message"], &error["code"]), "{uri}");
            assert_eq!(
                (problem["status"].as_u64(), &problem["type"]),
                (Some(u64::from(*expected)), &json!("about:blank"))
            );
            if let Some(parameter) = problem["parameter"].as_str() {
                assert!(
                    uri.contains(&format!("{parameter}=")) || message.contains("must be") || message.contains("set `"),
                    "{uri}: {parameter}"
                );
            }
        }
        if uri.starts_with("/api") || *expected == 404 {
            let refused = send(&world.router, Request::post(*uri).header(header::HOST, "localhost")).await;
            let expected: &[u16] = if *uri == "/api/v1/session" { &[415] } else { &[404, 405] };
            assert!(expected.contains(&refused.status.as_u16()), "POST {uri}: {}", refused.status);
        }
    }
}

#[test]
fn the_document_the_router_and_the_matrix_know_the_same_routes() {
    let document: Value = serde_json::from_str(&openapi_json()).expect("JSON");
    for (path, item) in document["paths"].as_object().expect("paths") {
        let methods: Vec<&str> = item.as_object().into_iter().flat_map(|of| of.keys().map(String::as_str)).collect();
        // Routes that change something: tests/api/alerts.rs.
        let expected: &[&str] = match path.as_str() {
            "/api/v1/alerts/silences" => &["post"],
            "/api/v1/alerts/silences/{id}" => &["delete"],
            "/api/v1/session" => &["delete", "get", "post"],
            _ => &["get"],
        };
        let sorted = methods.iter().copied().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(sorted.into_iter().collect::<Vec<_>>(), expected, "{path}");
        // Without a provider these answer 404: tests/api/oidc.rs.
        let expected_status = if path.starts_with("/api/v1/session/oidc") { 404 } else { 200 };
        let in_matrix = MATRIX.iter().any(|(route, _, status)| route == path && *status == expected_status);
        assert!(in_matrix || path == "/api/v1/live" || !expected.contains(&"get"), "{path} is not in the matrix");
    }
    for (route, ..) in MATRIX.iter().filter(|(route, ..)| !route.is_empty()) {
        assert!(document["paths"].get(route).is_some(), "{route} is not in the document");
    }
}

#[test]
fn the_committed_document_is_the_current_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/openapi.json");
    if std::env::var_os("AUSCULT_UPDATE").is_some() {
        std::fs::write(path, openapi_json()).expect("schemas/openapi.json can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == openapi_json(),
        "schemas/openapi.json is out of date: run the tests with AUSCULT_UPDATE=1 and commit it"
    );
}

/// Anchors of the page at /docs/metrics: a heading's words, and the names in the first column of a table.
fn metrics_anchors() -> Vec<String> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).expect("docs/metrics.md");
    let mut anchors = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            let words = heading.to_lowercase();
            let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            anchors.push(words.collect::<Vec<_>>().join("-"));
        }
        let first = line.strip_prefix("| ").and_then(|row| row.split('|').next()).unwrap_or_default();
        anchors.extend(first.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    anchors
}

#[test]
fn links_to_the_metrics_lead_somewhere() {
    let (document, anchors) = (openapi_json(), metrics_anchors());
    let links: Vec<&str> = document.split("/docs/metrics#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        assert!(anchors.iter().any(|anchor| anchor == link), "#{link}");
    }
}

#[tokio::test]
async fn strange_hosts_and_origins_are_refused_before_any_work() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    let router = service(Client::default().with_url("http://127.0.0.1:1"), live, true);
    for (name, value) in [("host", "evil.example"), ("host", "localhost.evil.example:80")] {
        let answer = send(&router, Request::get("/api/v1/calls").header(name, value)).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (StatusCode::FORBIDDEN, Some("forbidden_host"))
        );
    }
    let foreign =
        Request::get("/version").header(header::HOST, "localhost").header(header::ORIGIN, "http://evil.example");
    assert_eq!(send(&router, foreign).await.status, StatusCode::FORBIDDEN);
    assert_eq!(send(&router, Request::get("/version")).await.status, StatusCode::FORBIDDEN, "no Host at all");
}

#[tokio::test]
async fn without_a_store_the_service_lives_and_says_why_it_is_not_ready() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    let router = service(Client::default().with_url("http://127.0.0.1:1"), live, false);
    assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
    let ready = get(&router, "/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let ready = ready.json();
    let failed: Vec<_> = ready["checks"].as_array().into_iter().flatten().filter(|c| c["ok"] == false).collect();
    assert_eq!(failed.len(), 2, "{ready}");
    assert!(failed.iter().all(|c| c["reason"].as_str().is_some_and(|r| !r.is_empty())));
    let calls = get(&router, "/api/v1/calls").await;
    assert_eq!(calls.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(calls.json()["error"]["code"], "store_unavailable");
    assert_eq!(calls.headers[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn dear_queries_leave_the_places_of_cheap_ones_alone() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    let reader = Reader::new(Client::default().with_url("http://127.0.0.1:1"));
    let router = service_over(reader.clone(), live, true);
    let dear = [
        "/api/v1/stats",
        "/api/v1/outcomes",
        "/api/v1/compare?figure=ner&trunk=a&against_trunk=b",
        "/api/v1/timeline",
        "/api/v1/calls?number=4930",
        "/api/v1/calls?address=192.0.2.1",
        "/api/v1/calls?codec=PCMU",
        "/api/v1/streams?codec=PCMU",
    ];
    let cheap = [
        "/api/v1/range",
        "/api/v1/calls/0000000000000001",
        "/api/v1/calls",
        "/api/v1/streams",
        "/api/v1/streams?call=0000000000000001&codec=PCMU",
    ];
    for (cost, places, busy, free) in
        [(Cost::Scan, SCANS_AT_ONCE, &dear[..], &cheap[..]), (Cost::Lookup, LOOKUPS_AT_ONCE, &cheap[..], &dear[..])]
    {
        let mut held = Vec::new();
        for _ in 0..places {
            held.push(reader.session(cost, None).await.expect("a place"));
        }
        // Only waiting for a place is cut short.
        tokio::time::pause();
        for uri in busy {
            let refused = get(&router, uri).await;
            assert_eq!(
                (refused.status.as_u16(), refused.json()["error"]["code"].as_str()),
                (503, Some("busy")),
                "{uri}"
            );
            assert_eq!(refused.headers[header::RETRY_AFTER], "1");
        }
        tokio::time::resume();
        for uri in free {
            // They reach the store, which is not there.
            assert_eq!(get(&router, uri).await.json()["error"]["code"], "store_unavailable", "{uri}");
        }
        assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
        assert_eq!(get(&router, "/metrics").await.status, StatusCode::OK);
        held.pop();
        assert_eq!(get(&router, busy[0]).await.json()["error"]["code"], "store_unavailable", "the place is free again");
    }
}

/// A service whose requests all come from one address that is not loopback, with a token.
fn from_one_address((router, token): (axum::Router, String), address: &str) -> axum::Router {
    let peer = PeerAddress(std::net::SocketAddr::new(address.parse().expect("an address"), 4000));
    let token = header::HeaderValue::from_str(&token).expect("a token");
    let known = axum::middleware::map_request(move |mut request: Request<Body>| {
        let token = token.clone();
        async move {
            request.headers_mut().insert(header::AUTHORIZATION, token);
            request
        }
    });
    router.layer(axum::Extension(peer)).layer(known)
}

#[tokio::test(start_paused = true)]
async fn one_client_that_asks_too_much_is_told_so_and_others_are_not() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    let reader = Reader::new(Client::default().with_url("http://127.0.0.1:1"));
    let _held = [
        reader.session(Cost::Scan, None).await.expect("a place"),
        reader.session(Cost::Scan, None).await.expect("a place"),
    ];
    let router = service_for_others(reader, live);
    let (flood, other) = (from_one_address(router.clone(), "192.0.2.7"), from_one_address(router, "192.0.2.8"));
    let asked = futures_util::future::join_all((0..17).map(|_| get(&flood, "/api/v1/stats")));
    let (answers, other) = tokio::join!(asked, get(&other, "/api/v1/stats"));
    let refused: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(refused.iter().filter(|status| **status == 429).count(), 1, "{refused:?}");
    let told = answers.iter().find(|answer| answer.status.as_u16() == 429).expect("one");
    assert_eq!(
        (&told.json()["error"]["code"], &told.headers[header::RETRY_AFTER]),
        (&json!("too_many_requests"), &header::HeaderValue::from_static("1"))
    );
    assert_eq!(other.status.as_u16(), 503, "it waited for its turn");
}

#[test]
fn one_budget_of_a_query_in_code_and_document() {
    let document = openapi_json();
    let text = format!(
        "31 days (92 for calls, and for statistics from sums), 1000 rows, {MAX_EXECUTION_S} seconds, {} MB of memory; {SCANS_AT_ONCE} that read a whole window and {LOOKUPS_AT_ONCE} others at once",
        QUERY_MEMORY_BYTES / 1_000_000
    );
    assert!(document.contains(&text), "{text}");
    let engine = EngineLimits::default();
    assert_eq!((engine.query_memory, engine.server_memory), (INSERT_MEMORY_BYTES, ENGINE_MEMORY_BYTES));
    let reader = Access::reader(None);
    assert_eq!((reader.max_memory_usage, reader.max_execution_time), (QUERY_MEMORY_BYTES, MAX_EXECUTION_S));
    let operations = include_str!("../../docs/operations.md");
    for stated in [
        format!("{} MB for one query", QUERY_MEMORY_BYTES / 1_000_000),
        format!("{:.1} GB for queries, inserts, merges and caches", ENGINE_MEMORY_BYTES as f64 / 1e9),
        format!("{:.1} GB resident at most", (ENGINE_MEMORY_BYTES + ENGINE_BASE_BYTES) as f64 / 1e9),
    ] {
        assert!(operations.contains(&stated), "docs/operations.md does not say {stated:?}");
    }
}

#[tokio::test]
async fn two_hundred_streams_of_one_address_leave_others_theirs() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    let others = service_for_others(Reader::new(Client::default()), live);
    let (router, token) = others.clone();
    let open = |address: &'static str| {
        let router = from_one_address(others.clone(), address);
        let request = Request::get("/api/v1/live").header(header::HOST, "localhost").body(Body::empty());
        async move { router.oneshot(request.expect("a request")).await.expect("an answer") }
    };
    let before = open("192.0.2.1").await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(open("192.0.2.66").await);
    }
    let after = open("192.0.2.2").await;
    for other in [before, after] {
        let text = events(other.into_body(), |text| text.matches("event: snapshot").count() == 2).await;
        assert!(!text.contains("evicted"), "{text}");
    }
    let request = Request::get("/metrics").header(header::HOST, "localhost");
    let metrics = send(&router, request.header(header::AUTHORIZATION, &token)).await.text;
    assert!(metrics.contains("auscult_live_listeners_evicted_total 184\n"), "{metrics}");
}

pub fn changed(uid: u64, state: CallState, diagnosis: Option<DiagnosisCode>) -> Event {
    let diagnoses = diagnosis.into_iter().map(|code| Diagnosis { code, confidence: 1.0, evidence: String::new() });
    Event::CallChanged(Box::new(CallRecord {
        uid: CallUid(uid),
        call_id: "\"+491701234567\"@198.51.100.9".into(),
        state,
        last_at: Timestamp::from_secs(5),
        diagnoses: diagnoses.collect(),
        ..CallRecord::default()
    }))
}

#[tokio::test]
async fn metrics_carry_totals_and_nothing_personal() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    live.publish(&changed(1, CallState::Established, Some(DiagnosisCode::NoMedia)), "");
    let trunk = GroupTrunk { name: "carrier \"a\"".into(), direction: Some(TrunkDirection::From) };
    let mut figures = MediaFigures { streams: 3, expected: 1_000, lost_network: 50, ..MediaFigures::default() };
    figures.mos = [(350, 1), (440, 2)].into();
    figures.pdv.record(Nanos::from_millis(20));
    live.publish_group(&Group::Media(Box::new(MediaGroup {
        start: Timestamp::from_secs(0),
        length: Nanos::from_secs(10),
        trunk,
        codec: "PCMU".into(),
        mos_scale: Some(Scale::Nb),
        part: GroupPart::default(),
        figures,
    })));
    let router = service(Client::default(), live, true);
    let answer = get(&router, "/metrics").await;
    let kind =
        |answer: &crate::world::Answer| answer.headers[header::CONTENT_TYPE].to_str().unwrap_or_default().to_owned();
    assert_eq!(kind(&answer), "text/plain; version=0.0.4; charset=utf-8");
    assert!(answer.text.contains("\nauscult_calls 1.0\n"), "{}", answer.text);
    for line in [
        "auscult_store_rows_total{table=\"calls\",state=\"delivered\"} 12",
        "# TYPE auscult_store_rows_total counter",
        "auscult_last_minute_streams{trunk=\"carrier \\\"a\\\"\",trunk_direction=\"from\"} 3.0",
        "auscult_last_minute_loss_ratio{trunk=\"carrier \\\"a\\\"\",trunk_direction=\"from\",by=\"network\"} 0.05",
        "auscult_trunk_mos_count{trunk=\"carrier \\\"a\\\"\",trunk_direction=\"from\",mos_scale=\"nb\"} 3",
        // There before the first call ends: a rate over a counter that appears with its first event misses it.
        "auscult_calls_ended_total{state=\"failed\"} 0",
        "auscult_calls_bad_total{diagnosis=\"one_way_media\"} 0",
    ] {
        assert!(answer.text.lines().any(|own| own == line), "{line}\n{}", answer.text);
    }
    assert!(!answer.text.contains("# EOF"));
    assert!(!answer.text.contains("4917") && !answer.text.contains("198.51"), "{}", answer.text);
    let asked = Request::get("/metrics").header(header::HOST, "localhost");
    let openmetrics = send(&router, asked.header(header::ACCEPT, "application/openmetrics-text")).await;
    assert_eq!(kind(&openmetrics), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(openmetrics.text.ends_with("# EOF\n") && openmetrics.text.contains("# TYPE auscult_store_rows counter"));
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&answer.text), samples(&openmetrics.text), "the same samples in both");
    promtool_takes(&answer.text);
}

/// Prometheus' own check of names, types and help texts.
fn promtool_takes(text: &str) {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let check =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut check) = check else { return testkit::skip("promtool is not installed") };
    check.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("promtool reads");
    let out = check.wait_with_output().expect("promtool ends");
    assert!(out.status.success(), "{}\n{text}", String::from_utf8_lossy(&out.stderr));
}

/// Reads server-sent events until `enough` says so.
async fn events(body: Body, enough: impl Fn(&str) -> bool) -> String {
    let mut chunks = body.into_data_stream();
    let mut text = String::new();
    while !enough(&text) {
        match tokio::time::timeout(Duration::from_secs(10), chunks.next()).await {
            Ok(Some(Ok(chunk))) => text.push_str(&String::from_utf8_lossy(&chunk)),
            other => panic!("the stream ended early ({other:?}): {text}"),
        }
    }
    text
}

async fn open_live(live: &Arc<LiveFeed>) -> axum::response::Response {
    open_live_after(live, None).await
}

/// Opens the events as a client that comes back does.
async fn open_live_after(live: &Arc<LiveFeed>, last: Option<&str>) -> axum::response::Response {
    let router = service(Client::default(), live.clone(), true);
    let mut request = Request::get("/api/v1/live").header(header::HOST, "localhost");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer")
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    let first = open_live(&live).await;
    live.publish(&changed(1, CallState::Established, Some(DiagnosisCode::NoMedia)), "");
    let text = events(first.into_body(), |text| text.contains("id: ")).await;
    assert!(text.contains("retry: 3000"), "{text}");
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
    for uid in 10..13 {
        live.publish(&changed(uid, CallState::Trying, None), "");
    }
    let back = open_live_after(&live, Some(&id)).await;
    live.publish(&changed(13, CallState::Trying, None), "");
    let text = events(back.into_body(), |text| text.contains("000000000000000d")).await;
    let calls: Vec<&str> = text.lines().filter(|line| line.starts_with("data: {\"id\"")).collect();
    let ids: Vec<&str> = calls.iter().map(|line| &line[13..29]).collect();
    assert_eq!(ids, ["000000000000000a", "000000000000000b", "000000000000000c", "000000000000000d"], "{text}");
    // More than is kept, and an id of another run.
    for uid in 100..1_300 {
        live.publish(&changed(uid, CallState::Trying, None), "");
    }
    let late = events(open_live_after(&live, Some(&id)).await.into_body(), |text| text.contains("no_media")).await;
    assert!(late.contains("event: lagged\ndata: {\"missed\":1204}"), "{late}");
    for stranger in ["0-5", "x", "-", "0-99999999999999999999"] {
        let text =
            events(open_live_after(&live, Some(stranger)).await.into_body(), |text| text.contains("no_media")).await;
        assert!(!text.contains("lagged"), "{stranger}: {text}");
    }
}

#[tokio::test]
async fn live_events_start_with_a_snapshot_and_follow_changes() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    live.publish(&changed(1, CallState::Established, None), "");
    live.publish(&changed(2, CallState::Established, Some(DiagnosisCode::NoMedia)), "");
    let response = open_live(&live).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    live.publish(&changed(1, CallState::Established, None), "");
    live.publish(&changed(1, CallState::Established, Some(DiagnosisCode::OneWayMedia)), "");
    let text = events(response.into_body(), |text| text.contains("one_way_media")).await;
    assert!(text.starts_with("event: snapshot\n"), "{text}");
    assert!(text.contains("\"at\":\"1970-01-01T00:00:05.000000000Z\""), "{text}");
    assert!(text.contains("\"id\":\"0000000000000001\""), "{text}");
    assert!(text.contains("\"diagnosis\":\"no_media\""), "a call that was bad before: {text}");
    assert_eq!(text.matches("event: call").count(), 2, "an event that changes nothing visible is not sent: {text}");
}

#[tokio::test]
async fn a_client_that_lags_is_told_how_much_it_missed() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    let response = open_live(&live).await;
    for uid in 0..3000 {
        live.publish(&changed(uid, CallState::Trying, None), "");
    }
    let text =
        events(response.into_body(), |text| text.contains("event: lagged") && text.contains("event: call")).await;
    assert!(text.contains("{\"missed\":1976}"), "{}", text.chars().take(400).collect::<String>());
}

#[tokio::test]
async fn event_streams_are_limited_and_end_at_shutdown() {
    let live = Arc::new(LiveFeed::new(&Limits::default()));
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(open_live(&live).await);
    }
    assert!(open.iter().all(|r| r.status() == StatusCode::OK));
    let newcomer = open_live(&live).await;
    assert_eq!(newcomer.status(), StatusCode::OK, "a newcomer always gets in");
    let oldest = events(open.remove(0).into_body(), |text| text.contains("event: evicted")).await;
    assert!(oldest.contains("retry: 60000"), "{oldest}");
    let last = open.pop().expect("one");
    drop(open);
    let metrics = get(&service(Client::default(), live.clone(), true), "/metrics").await.text;
    assert!(metrics.contains("auscult_live_listeners 2.0\n"), "places are given back: {metrics}");
    assert!(metrics.contains("auscult_live_listeners_evicted_total 1\n"), "{metrics}");
    live.close();
    let end = axum::body::to_bytes(last.into_body(), 1 << 20);
    assert!(tokio::time::timeout(Duration::from_secs(5), end).await.is_ok(), "the stream ends");
}
