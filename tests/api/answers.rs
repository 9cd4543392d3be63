//! What the answers say: order, paging, classes, percentiles, details, search, and text of strangers.

use crate::world::{START, STORED, World, call, get, interval, sql_time, stream};
use auscult_core::units::text::{clean, clean_lines};
use auscult_core::units::{DelayHistogram, Nanos};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn ids(page: &Value, list: &str) -> Vec<String> {
    page[list].as_array().into_iter().flatten().map(|row| row["id"].as_str().unwrap_or_default().to_owned()).collect()
}

fn hex(ids: &[u64]) -> Vec<String> {
    ids.iter().map(|id| format!("{id:016x}")).collect()
}

#[tokio::test]
async fn worst_first_is_by_verdict_and_by_mos_on_its_own_scale() {
    let Some(world) = World::new("worst").await else { return };
    let verdict = |code: &str| json!([[code, 0.9, "e"]]);
    let none = Value::Null;
    world
        .insert(
            "calls",
            &[
                call(1, 1, json!({"mos_worst": 4.41})),
                call(2, 2, json!({"mos_worst": 4.41, "mos_scale": "wb"})),
                call(3, 3, json!({"mos_worst": 2.0})),
                call(4, 4, json!({"mos_worst": none, "diagnosis": "no_media", "diagnoses": verdict("no_media")})),
                call(5, 5, json!({"mos_worst": none, "mos_scale": ""})),
                call(6, 6, json!({"state": "failed", "final_code": 503, "mos_worst": none})),
                call(7, 7, json!({"state": "failed", "final_code": 486, "mos_worst": none})),
                call(8, 8, json!({"mos_worst": 4.4, "diagnoses": verdict("slow_setup")})),
                call(9, 9, json!({"state": "setup_timeout", "mos_worst": none, "diagnoses": verdict("no_response")})),
                call(10, 10, json!({"mos_worst": 3.5})),
                call(11, 11, json!({"mos_worst": 4.4, "diagnoses": verdict("one_way_media")})),
            ],
        )
        .await;
    let page = world.get("/api/v1/calls").await;
    assert_eq!(ids(&page, "calls"), hex(&[4, 11, 9, 6, 3, 10, 8, 2, 1, 7, 5]), "{page}");
    let badness: Vec<u64> =
        page["calls"].as_array().into_iter().flatten().filter_map(|c| c["badness"].as_u64()).collect();
    assert_eq!(badness, [1000, 950, 900, 850, 707, 268, 100, 27, 1, 0, 0]);
    let classes: BTreeMap<String, String> = page["calls"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            (c["id"].as_str().unwrap_or_default()[14..].to_owned(), c["class"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    let expected = [
        ("01", "good"),
        ("02", "good"),
        ("03", "poor"),
        ("04", "failed"),
        ("05", "unrated"),
        ("06", "failed"),
        ("07", "not_answered"),
        ("08", "fair"),
        ("09", "failed"),
        ("0a", "fair"),
        ("0b", "failed"),
    ];
    assert_eq!(classes, expected.map(|(id, class)| (id.to_owned(), class.to_owned())).into());
    let first = &page["calls"][0];
    assert_eq!((&first["mos_worst"], &first["final_code"], &first["diagnosis"]), (&none, &none, &json!("no_media")));
    assert_eq!(first["diagnoses"][0]["evidence"], "e");

    let timeline = world.get("/api/v1/timeline?buckets=1000").await;
    assert_eq!(timeline["bucket_s"], 1);
    let buckets = timeline["buckets"].as_array().cloned().unwrap_or_default();
    assert_eq!(buckets.len(), 71, "from the first call's start to the last call's end: {timeline}");
    let sum = |class: &str| buckets.iter().filter_map(|b| b[class].as_u64()).sum::<u64>();
    let classes = ["calls", "good", "fair", "poor", "failed", "not_answered", "unrated"];
    assert_eq!(classes.map(sum), [11, 2, 2, 1, 4, 1, 1]);
    assert_eq!((&buckets[2]["at"], &buckets[2]["poor"]), (&json!("2026-03-01T12:00:03.000000000Z"), &json!(1)));
    let coarse = world.get("/api/v1/timeline?buckets=1").await;
    assert_eq!((&coarse["bucket_s"], &coarse["buckets"][0]["calls"]), (&json!(120), &json!(11)), "{coarse}");
}

#[tokio::test]
async fn pages_visit_each_call_once_in_order_while_others_are_stored() {
    let Some(world) = World::new("paging").await else { return };
    // Many equal keys: the order within them must be total.
    let row = |uid: u64| {
        let mos = if uid.is_multiple_of(3) { json!(null) } else { json!(1.0 + (uid % 7) as f64 / 2.0) };
        call(uid, (uid % 13) as i64, json!({"mos_worst": mos, "duration_ms": (uid % 5) as f64 * 1000.0}))
    };
    let old: Vec<u64> = (1000..1137).collect();
    world.insert("calls", &old.iter().map(|uid| row(*uid)).collect::<Vec<_>>()).await;
    // The same batch delivered twice past the deduplication window.
    world.insert("calls", &old.iter().take(40).map(|uid| row(*uid)).collect::<Vec<_>>()).await;
    let mut next_uid = 5000;
    for sort in ["worst", "newest", "oldest", "longest", "mos", "delay_variation", "loss"] {
        let whole = world.get(&format!("/api/v1/calls?sort={sort}&limit=1000")).await;
        let expected = ids(&whole, "calls");
        let calls = whole["calls"].as_array().cloned().unwrap_or_default();
        let tied = calls.windows(2).filter(|pair| sort == "worst" && pair[0]["badness"] == pair[1]["badness"]);
        let in_order = tied.clone().filter(|pair| pair[0]["first_at"].as_str() >= pair[1]["first_at"].as_str());
        assert_eq!(in_order.count(), tied.count(), "of equally bad calls the later comes first");
        assert_eq!(whole["next_cursor"], Value::Null);
        let mut seen: Vec<String> = Vec::new();
        let mut uri = format!("/api/v1/calls?sort={sort}&limit=20");
        for page_number in 0.. {
            assert!(page_number < 100, "paging ends");
            let page = world.get(&uri).await;
            assert_eq!(page["window"], whole["window"], "the window stays that of the first page");
            seen.extend(ids(&page, "calls"));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            uri = format!("/api/v1/calls?sort={sort}&limit=20&cursor={cursor}");
            // New calls in front, behind, and beyond the window.
            world
                .insert(
                    "calls",
                    &[row(next_uid), call(next_uid + 1, -5, json!({})), call(next_uid + 2, 900, json!({}))],
                )
                .await;
            next_uid += 3;
        }
        let of_old: Vec<String> = seen.iter().filter(|id| expected.contains(id)).cloned().collect();
        assert_eq!(of_old, expected, "{sort}");
        let mut distinct = seen.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), seen.len(), "{sort}: no call twice");
    }
    let cursor =
        world.get("/api/v1/calls?sort=worst&limit=1").await["next_cursor"].as_str().unwrap_or_default().to_owned();
    let other = get(&world.router, &format!("/api/v1/calls?sort=newest&cursor={cursor}")).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST, "{}", other.text);
}

#[tokio::test]
async fn numbers_and_addresses_find_their_calls() {
    let Some(world) = World::new("search").await else { return };
    world
        .insert("calls", &[
            call(1, 0, json!({"caller_user": "+493012345678", "callee_user": "1001"})),
            call(2, 1, json!({"caller_user": "0049 (30) 1234-5678", "callee_user": "alice"})),
            call(3, 2, json!({"caller_user": "99", "callee_user": "0301%_5678"})),
            call(4, 3, json!({"caller_user": "199", "signalling_src_ip": "::ffff:198.51.100.7", "signalling_src_port": 5060})),
            call(5, 4, json!({"callee_user": "Ålice"})),
        ])
        .await;
    world
        .insert("streams", &[stream(50, 5, 4, json!({"codec": "opus", "src_ip": "2001:db8::5", "src_port": 7000}))])
        .await;
    let cases: &[(&str, &[u64])] = &[
        ("number=%2B49+30+12345678", &[1, 2]),
        ("number=0049-3012345678", &[1, 2]),
        ("number=12345678", &[1, 2]),
        ("number=5678", &[1, 2, 3]),
        ("number=1%25_5678", &[3]),
        ("number=%25", &[]),
        ("number=99", &[3]),
        ("number=199", &[4]),
        ("number=ALICE", &[2]),
        ("number=%C3%85lice", &[5]),
        ("number=1001", &[1]),
        ("address=198.51.100.7", &[4]),
        ("address=198.51.100.7:5060", &[4]),
        ("address=198.51.100.7:5061", &[]),
        ("address=198.51.100.0/24", &[4]),
        ("address=2001:db8::5", &[5]),
        ("address=[2001:db8::5]:7000", &[5]),
        ("address=[2001:db8::5]:7001", &[]),
        ("codec=OPUS", &[5]),
        ("codec=PCMA", &[]),
        ("call_id=call-3@test", &[3]),
        ("call_id=call-3", &[]),
        ("number=' OR 1=1 --", &[]),
        ("site=x' OR '1'='1", &[]),
        ("call_id={from:Int64}", &[]),
        ("trunk=%5C'%20OR%201=1%20--%20", &[]),
        ("site=completed%0A%09%00", &[]),
    ];
    for (query, expected) in cases {
        let uri = format!("/api/v1/calls?sort=oldest&{}", query.replace(' ', "%20").replace('\'', "%27"));
        let page =
            world.get(&uri.replace('{', "%7B").replace('}', "%7D").replace('[', "%5B").replace(']', "%5D")).await;
        assert_eq!(ids(&page, "calls"), hex(expected), "{query}");
    }
    let page = world.get("/api/v1/calls?codec=opus").await;
    assert_eq!(page["calls"][0]["codecs"], json!(["opus"]));
    assert_eq!(page["calls"][0]["signalling_src"], Value::Null);
    let streams = world.get("/api/v1/streams?call=0000000000000005").await;
    assert_eq!(streams["streams"][0]["src"], "[2001:db8::5]:7000");
    assert_eq!(streams["streams"][0]["dst"], "192.0.2.2:5000");
}

#[tokio::test]
async fn text_of_strangers_stays_data() {
    let Some(world) = World::new("hostile").await else { return };
    let corpus = [
        "<script>window.__xss=1</script>",
        "\"><img src=x onerror=alert(1)>",
        "=HYPERLINK(\"http://evil.example\")",
        "@SUM(1+9)*cmd|' /C calc'!A0",
        "'; DROP TABLE calls; --",
        "\\'; SELECT 1; \u{0}\t\r\n\u{2028}\u{202e}",
        "{x:String}",
        "\u{1F4A3}\u{fffd}",
    ];
    let rows: Vec<Value> = corpus
        .iter()
        .zip(1..)
        .map(|(text, uid)| {
            let diagnoses = json!([["setup_failed", 1.0, text]]);
            call(uid, uid as i64, json!({"call_id": text, "caller_user": text, "caller_name": text, "callee_agent": text, "final_reason": text, "diagnoses": diagnoses}))
        })
        .collect();
    world.insert("calls", &rows).await;
    let message = |text: &str| json!({"stored_at": STORED, "at": sql_time(START), "call_uid": 1, "src_ip": "::1", "dst_ip": "::1", "headers": text, "sdp": text, "method": text, "row_id": text.len()});
    world.insert("sip_messages", &corpus.map(message)).await;
    let page = world.get("/api/v1/calls?sort=oldest").await;
    for (text, row) in corpus.iter().zip(page["calls"].as_array().into_iter().flatten()) {
        // Rows that an earlier version wrote may hold anything; what is shown of them is clean.
        let shown = json!(clean(text, usize::MAX));
        assert_eq!((&row["call_id"], &row["caller"]["user"], &row["caller"]["name"]), (&shown, &shown, &shown));
        assert_eq!((&row["callee"]["agent"], &row["final_reason"]), (&shown, &shown));
        assert_eq!(row["diagnoses"][0]["evidence"], shown);
        let escaped: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
        let found = world.get(&format!("/api/v1/calls?call_id={escaped}")).await;
        assert_eq!(ids(&found, "calls").len(), 1, "{text:?}");
    }
    let detail = world.get("/api/v1/calls/0000000000000001").await;
    let ladder: Vec<&str> =
        detail["ladder"].as_array().into_iter().flatten().filter_map(|m| m["sdp"].as_str()).collect();
    assert_eq!(ladder.len(), corpus.len());
    assert!(corpus.iter().all(|text| ladder.contains(&clean_lines(text, usize::MAX).as_str())));
}

#[tokio::test]
async fn percentiles_over_groups_are_those_of_all_packets_together() {
    let Some(world) = World::new("stats").await else { return };
    let mut exact: BTreeMap<&str, DelayHistogram> = BTreeMap::new();
    let mut mos: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut random = 12345u64;
    for n in 0..60u64 {
        let codec = ["PCMU", "PCMA", "opus"][n as usize % 3];
        let scale = if codec == "opus" { "fb" } else { "nb" };
        let mut histogram = DelayHistogram::default();
        for _ in 0..200 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let spread = 2f64.powf((random >> 40) as f64 / (1 << 24) as f64 * 16.0);
            histogram.record(Nanos((spread * 70_000.0) as i64));
        }
        exact.entry(codec).or_default().merge(&histogram);
        let value = (100 + (n * 37) % 340) as f64 / 100.0;
        mos.entry(codec).or_default().push(value);
        rows.push(interval(n + 1, n % 7, (n / 6) as i64 * 60, json!({
            "late": match codec {
                "PCMU" => [40, 10, 0, 0, 0, 0, 0],
                // One of 200 is 0.5 %, which is not under it.
                "PCMA" => [4, 2, 1, 1, 0, 0, 0],
                _ => [9; 7],
            },
            "codec": codec, "packets": 200, "expected": 210, "lost": 10, "reordered": 1, "jitter_max_ms": n as f64,
            "loss_runs": [2, 0, 1], "pdv": Vec::<u32>::from(histogram), "mos_lq": value, "mos_scale": scale, "trunk": "t",
        })));
    }
    // Bounds of another version must not be mixed in.
    rows.push(interval(
        99,
        0,
        0,
        json!({"codec": "PCMU", "histogram_version": 2, "pdv": [0, 0, 0, 1_000_000], "packets": 0}),
    ));
    // No clock rate, no delays: nobody knows what a buffer would have discarded.
    rows.push(interval(100, 0, 0, json!({"codec": "unclocked", "late": [0, 0, 0, 0, 0, 0, 0], "packets": 50})));
    world.insert("stream_intervals", &rows).await;
    // Only rows of single streams are here: a filter by address reads those.
    let answer = world.get("/api/v1/stats?group_by=codec,trunk&address=::/0").await;
    assert_eq!(answer["source"], "raw");
    assert_eq!(answer["group_by"], json!(["codec", "trunk"]));
    let groups = answer["groups"].as_array().cloned().unwrap_or_default();
    assert_eq!(groups.len(), 5, "{answer}");
    let unclocked = groups.iter().find(|g| g["key"]["codec"] == "unclocked").cloned().unwrap_or_default();
    assert_eq!((&unclocked["late_pct"]["200"], &unclocked["buffer_ms_for_0_5_pct"]), (&Value::Null, &Value::Null));
    for group in groups.iter().filter(|g| g["key"]["trunk"] == "t") {
        let codec = group["key"]["codec"].as_str().unwrap_or_default();
        for (name, q) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
            let expected = exact[codec].quantile(q).map(Nanos::as_millis_f64);
            assert_eq!(group["delay_variation_ms"][name].as_f64(), expected, "{codec} {name}");
        }
        let mut values = mos[codec].clone();
        values.sort_by(f64::total_cmp);
        let rank = |q: f64| values[((q * values.len() as f64).ceil() as usize).max(1) - 1];
        let scales = group["mos"].as_array().cloned().unwrap_or_default();
        assert_eq!(scales.len(), 1, "{codec}: scales are not mixed");
        assert_eq!(scales[0]["scale"], if codec == "opus" { "fb" } else { "nb" });
        assert_eq!(scales[0]["intervals"], 20);
        for (name, q) in [("p5", 0.05), ("p50", 0.5)] {
            let read = scales[0][name].as_f64().unwrap_or_default();
            assert!((read - rank(q)).abs() < 1e-6, "{codec} {name}: {read} is not {}", rank(q));
        }
        assert_eq!(
            [&group["streams"], &group["packets"], &group["expected"], &group["lost"], &group["reordered"]]
                .map(Value::as_u64),
            [20, 4000, 4200, 200, 20].map(Some)
        );
        assert!((group["loss_pct"].as_f64().unwrap_or_default() - 100.0 * 200.0 / 4200.0).abs() < 1e-9);
        assert_eq!(group["loss_runs"], json!({"1": 40, "3": 20}));
        assert_eq!(group["at"], Value::Null);
        let (late_20, late_200, buffer) = match codec {
            "PCMU" => (20.0, 0.0, json!(60)),
            "PCMA" => (2.0, 0.0, json!(100)),
            _ => (4.5, 4.5, Value::Null),
        };
        assert_eq!(
            (&group["late_pct"]["20"], &group["late_pct"]["200"]),
            (&json!(late_20), &json!(late_200)),
            "{codec}"
        );
        assert_eq!(group["buffer_ms_for_0_5_pct"], buffer, "{codec}");
    }
    let other =
        groups.iter().find(|g| g["key"]["trunk"] == "" && g["key"]["codec"] == "PCMU").cloned().unwrap_or_default();
    assert_eq!((&other["delay_variation_ms"]["p50"], &other["loss_pct"]), (&Value::Null, &Value::Null), "{other}");

    let series = world.get("/api/v1/stats?bucket_s=120&codec=pcmu&address=::/0").await;
    let times: Vec<&str> = series["groups"].as_array().into_iter().flatten().filter_map(|g| g["at"].as_str()).collect();
    let expected: Vec<String> = (0..5).map(|n| (START + Nanos::from_secs(n * 120)).to_rfc3339()).collect();
    assert_eq!(times, expected);
    let packets: u64 = series["groups"].as_array().into_iter().flatten().filter_map(|g| g["packets"].as_u64()).sum();
    assert_eq!(packets, 4000);
    let sides = world.get("/api/v1/stats?group_by=src,dst&address=192.0.2.1:4000").await;
    assert_eq!(sides["groups"][0]["key"], json!({"src": "192.0.2.1", "dst": "192.0.2.2"}));
    assert_eq!(sides["groups"][0]["calls"], 6, "calls that are known");
    let none = world.get("/api/v1/stats?address=203.0.113.1").await;
    assert!(none["groups"].as_array().is_some_and(|g| g.iter().all(|g| g["packets"] == 0)), "{none}");
}

#[tokio::test]
async fn one_call_comes_with_its_evidence_in_the_order_of_time() {
    let Some(world) = World::new("detail").await else { return };
    let empty = world.get("/api/v1/range").await;
    assert_eq!(empty, json!({"from": null, "to": null, "calls": 0, "streams": 0}));
    let calls = world.get("/api/v1/calls").await;
    assert_eq!(
        calls["window"],
        json!({"from": "2026-03-01T11:00:00.000000000Z", "to": "2026-03-01T12:00:00.000000000Z"})
    );

    world
        .insert(
            "calls",
            &[
                call(
                    7,
                    0,
                    json!({"streams": [70, 71], "invite_at": sql_time(START), "pdd_ms": 120.5, "final_code": 200}),
                ),
                call(8, 5, json!({})),
            ],
        )
        .await;
    world
        .insert("streams", &[
            stream(70, 7, 2, json!({"clock_rate": 8000, "payload_types": [[0, 90], [101, 3]],
                "unique_packets": 100, "expected": 125, "lost": 25, "late": [50, 25, 0, 0, 0, 0, 0], "pdv": [60, 40], "loss_runs": [1, 0, 0, 0, 0, 0, 0, 0, 0, 2],
                "mos_lq": 3.9, "mos_worst_interval": 3.1, "mos_scale": "nb", "vlan": 12, "duplicates_probe": 4})),
            // Found by the call's list, though the stream itself knew of no call.
            stream(71, 0, 2, json!({"codec": "G729"})),
            stream(80, 8, 5, json!({})),
        ])
        .await;
    let mut histogram = DelayHistogram::default();
    for ms in 1..=100 {
        histogram.record(Nanos::from_millis(ms));
    }
    world
        .insert(
            "stream_intervals",
            &[
                interval(70, 7, 20, json!({"lost": 1})),
                interval(
                    70,
                    7,
                    10,
                    json!({"pdv": Vec::<u32>::from(histogram.clone()), "mos_null_reason": "no_clock_rate"}),
                ),
                interval(71, 0, 10, json!({})),
                interval(80, 8, 10, json!({})),
            ],
        )
        .await;
    let at = |ms: i64| sql_time(START + Nanos::from_millis(ms));
    let message = |row: u64, ms: i64, fields: Value| {
        let mut base = json!({"stored_at": STORED, "at": at(ms), "call_uid": 7, "src_ip": "::ffff:192.0.2.1", "src_port": 5060,
            "dst_ip": "::ffff:192.0.2.2", "dst_port": 5060, "transport": "UDP", "method": "INVITE", "row_id": row});
        base.as_object_mut().into_iter().for_each(|b| b.extend(fields.as_object().cloned().unwrap_or_default()));
        base
    };
    world
        .insert(
            "sip_messages",
            &[
                message(2, 100, json!({"direction": "response", "status": 180, "reason": "Ringing"})),
                message(1, 0, json!({"direction": "request"})),
                message(3, 50, json!({"call_uid": 8})),
            ],
        )
        .await;
    world
        .insert("rtcp_reports", &[
            message(1, 5000, json!({"kind": "receiver_report", "stream_id": 70, "about_ssrc": 0xabcd, "jitter_ticks": 80, "voip_r": 88})),
            message(3, 8000, json!({"kind": "vq_report", "stream_id": 70, "about_ssrc": 0xabcd, "voip_mos_lq": 3.5})),
            message(2, 6000, json!({"kind": "sender_report", "stream_id": 71, "jitter_ticks": 80})),
        ].map(|mut row| {
            row.as_object_mut().into_iter().for_each(|r| { r.remove("transport"); r.remove("method"); });
            row
        }))
        .await;

    let range = world.get("/api/v1/range").await;
    assert_eq!(
        (&range["from"], &range["calls"], &range["streams"]),
        (&json!(START.to_rfc3339()), &json!(2), &json!(3))
    );
    assert_eq!(range["to"], (START + Nanos::from_secs(65)).to_rfc3339());

    let detail = world.get("/api/v1/calls/0000000000000007").await;
    assert_eq!(detail["call"]["pdd_ms"], 120.5);
    assert_eq!(detail["call"]["codecs"], json!(["PCMU"]));
    assert_eq!(detail["call"]["stream_ids"], json!(hex(&[70, 71])));
    assert_eq!(ids(&detail, "streams"), hex(&[70, 71]));
    let first = &detail["streams"][0];
    assert_eq!(
        first["late_pct"],
        json!({"20": 50.0, "40": 25.0, "60": 0.0, "80": 0.0, "100": 0.0, "150": 0.0, "200": 0.0})
    );
    assert_eq!(first["loss_runs"], json!({"1": 1, "10-19": 2}));
    assert_eq!((&first["loss_pct"], &first["ssrc"], &first["vlan"]), (&json!(20.0), &json!("0x0000abcd"), &json!(12)));
    assert_eq!(first["payload_types"], json!([0, 101]));
    assert_eq!(first["packets_by_payload_type"], json!({"0": 90, "101": 3}));
    assert_eq!((&first["mos"]["lq"], &first["mos"]["cq"]), (&json!(3.9), &Value::Null));
    assert_eq!(detail["streams"][1]["call"], Value::Null);
    assert_eq!(detail["streams"][1]["late_pct"]["20"], Value::Null, "no delay known, no share of late packets");
    for path in [
        "/bursts",
        "/concealed_seconds",
        "/ipdv_ms/mean",
        "/r_budget",
        "/mos/bounds",
        "/quality/loss_evidence",
        "/remote",
    ] {
        assert_eq!(first.pointer(path), Some(&Value::Null), "{path}: a row of an earlier version");
    }
    assert_eq!(detail["streams"][1]["loss_pct"], Value::Null, "nothing expected, nothing known");

    let intervals = &detail["intervals"];
    assert_eq!(intervals.as_object().map(|i| i.len()), Some(2));
    let of_first = &intervals[&hex(&[70])[0]];
    assert_eq!(of_first[0]["start_at"], (START + Nanos::from_secs(10)).to_rfc3339());
    assert_eq!(of_first[1]["lost"], 1);
    let p95 = histogram.quantile(0.95).map(|d| d.as_millis_f64() as f32);
    assert_eq!(of_first[0]["delay_variation_ms"]["p95"].as_f64().map(|v| v as f32), p95);
    assert_eq!(of_first[0]["mos_reason_null"], "no_clock_rate");
    assert_eq!(of_first[1]["delay_variation_ms"]["p95"], Value::Null);

    let ladder: Vec<(&Value, &Value)> =
        detail["ladder"].as_array().into_iter().flatten().map(|m| (&m["direction"], &m["status"])).collect();
    assert_eq!(ladder, [(&json!("request"), &Value::Null), (&json!("response"), &json!(180))]);
    assert_eq!((&detail["rtcp"][0]["jitter_ms"], &detail["rtcp"][0]["voip"]["r"]), (&json!(10.0), &json!(88)));
    assert_eq!((&detail["rtcp"][1]["jitter_ms"], &detail["rtcp"][1]["voip"]), (&Value::Null, &Value::Null));
    assert_eq!(detail["rtcp"][2]["voip"]["mos_lq"], 3.5, "a report by SIP may say no more than that");
    assert_eq!((&detail["rtcp"][1]["vq"], &detail["rtcp"][2]["vq"]["side"]), (&Value::Null, &Value::Null));
    assert_eq!(detail["truncated"], false);

    let worst = world.get("/api/v1/streams?limit=2").await;
    assert_eq!(ids(&worst, "streams")[0], hex(&[70])[0]);
    let cursor = worst["next_cursor"].as_str().unwrap_or_default();
    let rest = world.get(&format!("/api/v1/streams?limit=2&cursor={cursor}")).await;
    assert_eq!([ids(&worst, "streams"), ids(&rest, "streams")].concat(), hex(&[70, 80, 71]));
    assert_eq!(rest["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_very_long_call_is_cut_and_says_so() {
    let Some(world) = World::new("long").await else { return };
    world
        .insert("calls", &[call(7, 0, json!({"streams": [70], "last_at": sql_time(START + Nanos::from_secs(60_000))}))])
        .await;
    world.insert("streams", &[stream(70, 7, 0, json!({"last_at": sql_time(START + Nanos::from_secs(60_000))}))]).await;
    let rows: Vec<Value> = (0..5001).map(|n| interval(70, 7, n * 10, json!({}))).collect();
    world.insert("stream_intervals", &rows).await;
    let detail = world.get("/api/v1/calls/0000000000000007").await;
    assert_eq!(detail["truncated"], true);
    assert_eq!(detail["intervals"][&hex(&[70])[0]].as_array().map(Vec::len), Some(5000));
}

/// A call's row names some of its streams, and media may go on for hours after the last message that was seen.
#[tokio::test]
async fn all_intervals_of_a_call_are_shown_wherever_its_streams_are_named() {
    let Some(world) = World::new("late_media").await else { return };
    world.insert("calls", &[call(1, 0, json!({"streams": [70]}))]).await;
    let end = sql_time(START + Nanos::from_secs(3 * 3600));
    world
        .insert(
            "streams",
            &[stream(70, 1, 0, json!({"last_at": end.clone()})), stream(71, 1, 5, json!({"last_at": end}))],
        )
        .await;
    let starts = [(70, 0), (71, 10), (70, 3_650), (70, 7_200), (71, 10_790)];
    let rows: Vec<_> = starts.iter().map(|(id, second)| interval(*id, 1, *second, json!({}))).collect();
    world.insert("stream_intervals", &rows).await;
    let detail = world.get("/api/v1/calls/0000000000000001").await;
    let of = |id: u64| {
        let intervals = detail["intervals"][&hex(&[id])[0]].as_array().cloned().unwrap_or_default();
        intervals.iter().map(|i| i["start_at"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let at = |second: i64| (START + Nanos::from_secs(second)).to_rfc3339();
    assert_eq!(of(70), [0, 3_650, 7_200].map(at));
    assert_eq!(of(71), [10, 10_790].map(at));
    assert_eq!(detail["truncated"], false);
}
