//! Alerts that were, their evaluations, and who may begin a silence.

use crate::world::{Answer, START, STORED, World, call, get};
use auscult_core::units::Nanos;
use auscult_http::PeerAddress;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tower::ServiceExt;

/// A row of `alerts`, `minute` minutes after [`START`].
fn evaluation(minute: i64, fields: Value) -> Value {
    let second = |minute: i64| (START + Nanos::from_secs(60 * minute)).0 / 1_000_000_000;
    let mut row = json!({
        "stored_at": STORED, "probe": "p1", "site": "s1", "at": second(minute), "fingerprint": "12648430",
        "rule": "trunk_loss", "rule_hash": "ab", "severity": "critical", "labels": {"trunk": "carrier-a"},
        "state": "firing", "previous": "firing", "judgement": "firing", "measure": "network_loss_pct", "unit": "%",
        "fired_at": second(2), "window_from": second(minute - 5), "window_to": second(minute), "value": 7.5, "low": 6.0,
        "high": 9.0, "fire_limit": 5.0, "samples": 80, "sample_unit": "streams", "peak": 8.5,
        "summary": format!("loss at {minute}"), "worst_calls": [], "row_id": minute,
    });
    for (name, value) in fields.as_object().into_iter().flatten() {
        row[name] = value.clone();
    }
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_was_is_one_line_and_its_evaluations_are_a_series() {
    let Some(world) = World::new("alerts_past").await else { return };
    let none = json!({"fired_at": null, "peak": null});
    let of = |fields: Value| {
        let mut all = none.clone();
        fields.as_object().into_iter().flatten().for_each(|(name, value)| all[name] = value.clone());
        all
    };
    world
        .insert(
            "alerts",
            &[
                evaluation(0, of(json!({"state": "ok", "previous": "ok", "judgement": "ok", "value": 1.0}))),
                evaluation(1, of(json!({"state": "pending", "previous": "ok"}))),
                evaluation(2, json!({"previous": "pending", "worst_calls": [17, 16]})),
                evaluation(3, json!({"peak": 9.5})),
                // The way to another alert once more, where the evaluation itself was stored.
                evaluation(3, of(json!({"state": "ok", "previous": "ok", "row_id": 103}))),
                evaluation(4, json!({"state": "ok", "judgement": "ok", "peak": 9.5, "value": 0.5})),
                // Another group that still fires, of another evaluator; and the watchdog, which always does.
                evaluation(5, json!({"fingerprint": 5, "probe": "p2", "labels": {"trunk": "carrier-b"}, "row_id": 50})),
                evaluation(5, json!({"fingerprint": 6, "rule": "watchdog", "measure": "watchdog", "row_id": 51})),
            ],
        )
        .await;
    let to = (START + Nanos::from_secs(3_600)).to_rfc3339();
    let history = world.get(&format!("/api/v1/alerts/history?to={to}")).await;
    let alerts = history["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), 2, "{history}");
    let ended = alerts.iter().find(|alert| alert["id"] == "0000000000c0ffee").unwrap();
    assert_eq!(
        (&ended["summary"], &ended["peak"], &ended["samples"], &ended["group"]["trunk"]),
        (&json!("loss at 2"), &json!(9.5), &json!(80), &json!("carrier-a"))
    );
    assert_eq!(ended["worst_calls"], json!(["0000000000000011", "0000000000000010"]));
    assert!(ended["ended_at"].is_string() && ended["silenced_by"].is_null(), "{ended}");
    let fires = alerts.iter().find(|alert| alert["probe"] == "p2").unwrap();
    assert!(fires["ended_at"].is_null(), "{fires}");
    for (query, found) in [("trunk=carrier-b", 1), ("rule=trunk_loss", 2), ("rule=x", 0), ("id=0000000000000005", 1)] {
        let history = world.get(&format!("/api/v1/alerts/history?to={to}&{query}")).await;
        assert_eq!(history["alerts"].as_array().unwrap().len(), found, "{query}");
    }
    let series = world.get(&format!("/api/v1/alerts/0000000000c0ffee/evaluations?to={to}")).await;
    let states: Vec<&str> =
        series["evaluations"].as_array().unwrap().iter().map(|each| each["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["ok", "pending", "firing", "firing", "ok"], "one for each time: {series}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_began_before_a_window_and_were_seen_in_it_are_found() {
    let Some(world) = World::new("alerts_seen").await else { return };
    // Ends 60 s after its beginning.
    world.insert("calls", &[call(1, 0, json!({"trunk_direction": "from"})), call(2, 100, json!({}))]).await;
    for (second, direction, found) in [(50, "", 2), (70, "", 1), (170, "", 0), (0, "&trunk_direction=from", 1)] {
        let seen = (START + Nanos::from_secs(second)).to_rfc3339();
        let list = world.get(&format!("/api/v1/calls?seen_from={seen}{direction}")).await;
        assert_eq!(list["calls"].as_array().unwrap().len(), found, "{second} {direction}");
    }
}

async fn ask(router: &Router, method: Method, uri: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(uri).header(header::HOST, "localhost:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let peer = headers.iter().find(|(name, _)| *name == "x-peer").map_or("127.0.0.1:9", |(_, peer)| peer);
    let peer = PeerAddress(peer.parse().unwrap());
    let request = request.extension(peer).body(Body::from(body.to_owned())).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_taken_from_this_host_as_json_only() {
    let Some(world) = World::new("alerts_silence").await else { return };
    const JSON: (&str, &str) = ("content-type", "application/json");
    let good = r#"{"rule": "trunk_loss", "hours": 2, "reason": "carrier works on it"}"#;
    let large = format!(r#"{{"reason": "{}"}}"#, "x".repeat(9_000));
    // This service evaluates no rules: what passes every check gets 409.
    for (headers, body, expected) in [
        (&[JSON][..], good, 409),
        (&[JSON, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")], good, 409),
        (&[], good, 415),
        (&[("content-type", "text/plain")], good, 415),
        (&[("content-type", "application/x-www-form-urlencoded")], "hours=2", 415),
        (&[JSON, ("origin", "http://evil.example")], good, 403),
        (&[JSON, ("origin", "null")], good, 403),
        (&[JSON, ("sec-fetch-site", "cross-site")], good, 403),
        (&[JSON, ("x-forwarded-for", "192.0.2.1")], good, 403),
        (&[JSON, ("x-peer", "192.0.2.1:9")], good, 401),
        (&[JSON], "", 400),
        (&[JSON], "[]", 400),
        (&[JSON], r#"{"hours": "2"}"#, 400),
        (&[JSON], r#"{"hours": 2, "reason": "r", "until": 3}"#, 400),
        (&[JSON], &large, 413),
    ] {
        let answer = ask(&world.router, Method::POST, "/api/v1/alerts/silences", headers, body).await;
        assert_eq!(answer.status.as_u16(), expected, "{headers:?} {body:.60}: {}", answer.text);
        assert!(answer.text.len() < 600 && !answer.text.contains('\n'), "{}", answer.text);
    }
    let delete = |headers: &'static [(&'static str, &'static str)]| {
        ask(&world.router, Method::DELETE, "/api/v1/alerts/silences/00c0ffee00c0ffee", headers, "")
    };
    assert_eq!(delete(&[]).await.status.as_u16(), 409);
    assert_eq!(delete(&[("x-peer", "192.0.2.1:9")]).await.status.as_u16(), 401);
    assert_eq!(delete(&[("origin", "http://evil.example")]).await.status.as_u16(), 403);
    // A page of another origin asks before it deletes, and is refused.
    let preflight = ask(
        &world.router,
        Method::OPTIONS,
        "/api/v1/alerts/silences/00c0ffee00c0ffee",
        &[("origin", "http://evil.example"), ("access-control-request-method", "DELETE")],
        "",
    )
    .await;
    assert!(!preflight.status.is_success() && !preflight.headers.contains_key("access-control-allow-origin"));
    let view = get(&world.router, "/api/v1/alerts").await.json();
    assert_eq!(view["may_silence"], false, "nothing is evaluated");
}
