//! Lists as files: CSV that no spreadsheet takes for formulas, Parquet, and what is refused.

use crate::world::{World, call, get, interval, send, stream};
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use tower::ServiceExt;

#[tokio::test]
async fn lists_come_as_csv_and_parquet() {
    let Some(world) = World::new("export").await else { return };
    let rows = [
        call(
            1,
            0,
            json!({"caller_user": "+4930123", "callee_user": "=cmd|' /C calc'!A0", "caller_name": "a,\"b\"\n; =c\u{202e}",
            "signalling_src_ip": "::ffff:192.0.2.1", "signalling_src_port": 5060, "diagnoses": [["no_media", 0.9, "x"]]}),
        ),
        call(2, 10, json!({"caller_user": "+cmd", "callee_user": "@SUM(A1)", "trunk": "-trunk"})),
        call(3, 20, json!({"caller_user": "alice", "mos_worst": null})),
    ];
    world.insert("calls", &rows).await;
    world.insert("streams", &[stream(5, 1, 0, json!({"codec": "=1+1"})), stream(6, 1, 1, json!({}))]).await;
    world
        .insert("stream_intervals", &[interval(5, 1, 0, json!({"packets": 500})), interval(6, 2, 10, json!({}))])
        .await;

    let csv = get(&world.router, "/api/v1/calls?format=csv").await;
    assert_eq!(csv.status.as_u16(), 200, "{}", csv.text);
    assert!(csv.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/csv"));
    assert_eq!(csv.headers[header::CONTENT_DISPOSITION], "attachment; filename=\"calls.csv\"");
    assert_eq!(csv.headers[header::CACHE_CONTROL], "no-store");
    let head = csv.text.lines().next().unwrap();
    assert!(head.starts_with("\"id\",\"call_id\",\"probe\""), "{head}");
    assert_eq!(csv.text.matches("@test").count(), 3, "{}", csv.text);
    let expected = [
        "\"0000000000000001\"",
        "\"+4930123\"",
        "\"'=cmd|' /C calc'!A0\"",
        "\"a,\"\"b\"\" ;' =c \"",
        "192.0.2.1 5060",
        "\"'+cmd\"",
        "\"'@SUM(A1)\"",
        "\"'-trunk\"",
        "\"alice\"",
        "2026-03-01T12:00:00.000000000Z",
        "no_media",
    ];
    for cell in expected {
        assert!(csv.text.contains(cell), "{cell} is not in {}", csv.text);
    }
    let first = |text: &str| text.find("+4930123").unwrap() < text.find("alice").unwrap();
    assert!(first(&csv.text), "in the order of time");

    let accept =
        Request::get("/api/v1/streams?codec=pcmu").header(header::HOST, "localhost").header(header::ACCEPT, "text/csv");
    let streams = send(&world.router, accept).await;
    assert_eq!(streams.text.lines().count(), 2, "{}", streams.text);
    let all = get(&world.router, "/api/v1/streams?format=csv").await;
    assert!(all.text.contains("\"'=1+1\""), "{}", all.text);
    let intervals = get(&world.router, "/api/v1/intervals?call=0000000000000001").await;
    assert_eq!(intervals.text.lines().count(), 2, "{}", intervals.text);
    assert!(intervals.text.contains("0000000000000005"), "{}", intervals.text);

    let parquet = get(&world.router, "/api/v1/calls?format=parquet").await;
    assert_eq!(parquet.headers[header::CONTENT_TYPE], "application/vnd.apache.parquet");
    assert!(parquet.text.starts_with("PAR1") && parquet.text.ends_with("PAR1"), "{} bytes", parquet.text.len());

    for refused in [
        "calls?format=xml",
        "calls?format=csv&cursor=1",
        "calls?format=csv&limit=5",
        "calls?format=csv&state=active",
        "intervals?format=json",
    ] {
        let answer = get(&world.router, &format!("/api/v1/{refused}")).await;
        assert_eq!(answer.status.as_u16(), 400, "{refused}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_file_that_would_not_be_whole_is_refused() {
    let Some(world) = World::new("export_large").await else { return };
    world
        .writer
        .query_raw("INSERT INTO calls (stored_at, call_uid, call_id, first_at, last_at, row_id) SELECT now(), number, 'c', toDateTime64('2026-03-01 12:00:00', 9) + number / 1000, toDateTime64('2026-03-01 12:00:00', 9), number FROM numbers(100001) SETTINGS max_block_size = 8192, min_insert_block_size_rows = 8192")
        .execute()
        .await
        .unwrap();
    let window = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z";
    let answer = get(&world.router, &format!("/api/v1/calls?format=parquet&{window}")).await;
    assert_eq!(answer.status.as_u16(), 400);
    let said = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("100001 rows") && said.contains("or CSV"), "{said}");
    let csv = get(&world.router, &format!("/api/v1/calls?format=csv&{window}")).await;
    assert_eq!(csv.text.lines().count(), 100_002);

    // A client that does not take its file leaves a place to statistics, and is waited for by other files only.
    let open = || {
        let uri = format!("/api/v1/calls?format=csv&{window}");
        let request = Request::get(uri).header(header::HOST, "localhost").body(Body::empty()).unwrap();
        world.router.clone().oneshot(request)
    };
    let untaken = open().await.unwrap();
    assert_eq!(untaken.status().as_u16(), 200);
    let stats = futures_util::future::join_all((0..3).map(|_| get(&world.router, "/api/v1/stats"))).await;
    assert!(stats.iter().all(|answer| answer.status.as_u16() == 200));
    assert_eq!(open().await.unwrap().status().as_u16(), 503);
    drop(untaken);
    assert_eq!(open().await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn calls_are_sorted_by_each_figure_page_by_page() {
    let Some(world) = World::new("sorted").await else { return };
    let figures = [(3.5, Some(2.0), 40.0), (4.1, Some(9.5), 10.0), (2.2, None, 90.0), (4.4, Some(0.1), 5.0)];
    let rows: Vec<_> = figures
        .iter()
        .zip(1..)
        .map(|((mos, loss, pdv), n)| {
            call(n, n as i64, json!({"mos_worst": mos, "loss_pct_worst": loss, "pdv_p95_worst_ms": pdv}))
        })
        .collect();
    world.insert("calls", &rows).await;
    for (sort, expected) in
        [("mos", ["3", "1", "2", "4"]), ("loss", ["2", "1", "4", "3"]), ("delay_variation", ["3", "1", "2", "4"])]
    {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = world.get(&format!("/api/v1/calls?sort={sort}&limit=1{cursor}")).await;
            seen.extend(
                page["calls"].as_array().into_iter().flatten().map(|c| c["id"].as_str().unwrap()[15..].to_owned()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{sort}");
    }
}
