//! Entity tags and compression.

use crate::world::{World, call, get, send};
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use flate2::read::GzDecoder;
use serde_json::json;
use std::io::Read;
use tower::ServiceExt;

#[tokio::test]
async fn an_answer_that_did_not_change_is_not_sent_again() {
    let Some(world) = World::new("etag").await else { return };
    world.insert("calls", &[call(1, 0, json!({}))]).await;
    for uri in ["/api/v1/calls", "/api/v1/calls/0000000000000001", "/api/v1/range", "/api/v1/openapi.json", "/version"]
    {
        let first = get(&world.router, uri).await;
        let tag = first.headers[header::ETAG].to_str().unwrap().to_owned();
        assert!(tag.starts_with("W/\"") && tag.len() == 36, "{uri}: {tag}");
        let asked = |tag: &str| {
            let request = Request::get(uri).header(header::HOST, "localhost").header(header::IF_NONE_MATCH, tag);
            send(&world.router, request)
        };
        let known = asked(&format!("\"other\", {tag}")).await;
        assert_eq!((known.status, known.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{uri}");
        assert_eq!(known.headers[header::ETAG], tag.as_str());
        assert_eq!(asked("W/\"0123\"").await.status, StatusCode::OK, "{uri}");
        let head = Request::head(uri).header(header::HOST, "localhost").header(header::IF_NONE_MATCH, "W/\"0123\"");
        let head = send(&world.router, head).await;
        assert!(head.headers.get(header::ETAG).is_none(), "{uri}: the tag would be of the missing body");
    }
    let before = get(&world.router, "/api/v1/calls").await;
    world.insert("calls", &[call(2, 1, json!({}))]).await;
    let after = get(&world.router, "/api/v1/calls").await;
    assert_ne!(before.headers[header::ETAG], after.headers[header::ETAG]);
    for uri in ["/api/v1/calls?sort=none", "/api/v1/calls/00000000000000ff"] {
        assert!(get(&world.router, uri).await.headers.get(header::ETAG).is_none(), "{uri}: an error");
    }
}

#[tokio::test]
async fn answers_are_compressed_for_clients_that_take_it() {
    let Some(world) = World::new("gzip").await else { return };
    let rows: Vec<_> = (1..40).map(|n| call(n, n as i64, json!({}))).collect();
    world.insert("calls", &rows).await;
    for (uri, compressed) in [
        ("/api/v1/calls", true),
        ("/api/v1/calls?format=csv", true),
        ("/metrics", true),
        ("/api/v1/calls?format=parquet", false),
        ("/api/v1/live", false),
    ] {
        let request = Request::get(uri).header(header::HOST, "localhost").header(header::ACCEPT_ENCODING, "gzip");
        let response = world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let encoding = response.headers().get(header::CONTENT_ENCODING).map(|e| e.to_str().unwrap().to_owned());
        assert_eq!(encoding.is_some_and(|e| e == "gzip"), compressed, "{uri}");
        if compressed {
            let mut vary = response.headers().get_all(header::VARY).iter();
            assert!(vary.any(|value| value.to_str().unwrap().contains("accept-encoding")), "{uri}");
            let bytes = to_bytes(response.into_body(), 1 << 24).await.unwrap();
            let mut text = String::new();
            GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
            let plain = get(&world.router, uri).await;
            assert!(plain.headers.get(header::CONTENT_ENCODING).is_none(), "{uri}");
            if uri != "/metrics" {
                assert_eq!(text, plain.text, "{uri}");
            }
            assert!(bytes.len() * 2 < text.len(), "{uri}: {} of {}", bytes.len(), text.len());
        }
    }
}
