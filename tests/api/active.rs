//! Calls that are up: the same filters, orders, pages and figures as those of the store, from the live view alone.

use crate::samples;
use crate::world::{START, World};
use auscult_core::model::Labels;
use auscult_core::model::{
    CallRecord, CallState, Diagnosis, DiagnosisCode, Event, Party, Scale, StreamId, StreamReport,
};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::query::badness;
use auscult_store::rows::{CallRow, StreamRow};
use serde_json::Value;

const STORED: Timestamp = Timestamp::from_secs(4_102_444_800);

fn labels() -> Labels {
    Labels { probe: "probe-1".to_owned(), site: "site-1".to_owned(), trunks: Vec::new() }
}

/// Calls that differ in all that is filtered and sorted by, each with one stream.
fn calls() -> Vec<(CallRecord, StreamReport)> {
    let codes = DiagnosisCode::ALL;
    (0..66u64)
        .map(|n| {
            let user = ["+493012345", "00493012345", "(030) 12345", "alice", "12345", "45"][n as usize % 6];
            let code = codes[n as usize % codes.len()];
            let diagnoses = if n % 5 == 0 {
                Vec::new()
            } else {
                vec![Diagnosis { code, confidence: 0.5, evidence: format!("evidence {n}") }]
            };
            let at = START + Nanos::from_secs(n as i64 * 10);
            let call = CallRecord {
                caller: Party { user: user.to_owned(), ..Party::default() },
                callee: Party { user: format!("+1202555{n:04}"), ..Party::default() },
                signalling_src: format!("192.0.2.{n}:5060").parse().ok(),
                signalling_dst: "[2001:db8::5]:5061".parse().ok(),
                state: if n % 11 == 0 { CallState::Trying } else { CallState::Established },
                answered_at: (n % 11 != 0).then_some(at + Nanos::from_millis(n as i64 % 7 * 100)),
                first_at: at,
                last_at: at + Nanos::from_secs(5),
                mos_worst: (n % 4 != 0).then_some(1.0 + (n % 13) as f32 * 0.27),
                mos_worst_scale: Some(if n % 3 == 0 { Scale::Wb } else { Scale::Nb }),
                pdv_p95_worst: (n % 3 == 0).then_some(Nanos::from_micros(n as i64 * 1_000)),
                loss_pct_worst: (n % 7 != 0).then_some(n as f32 / 10.0),
                streams: vec![StreamId(n)],
                diagnoses,
                ..samples::call(1_000 + n)
            };
            let stream = StreamReport {
                id: StreamId(n),
                call_uid: Some(call.uid),
                codec: ["PCMA", "opus", "G729"][n as usize % 3].into(),
                src: format!("198.51.100.{}:4000", n % 16).parse().expect("address"),
                first_at: at,
                last_at: at + Nanos::from_secs(5),
                ..samples::stream(n)
            };
            (call, stream)
        })
        .collect()
}

fn ids(answer: &Value) -> Vec<String> {
    let calls = answer["calls"].as_array().expect("a list");
    calls.iter().map(|call| call["id"].as_str().expect("an id").to_owned()).collect()
}

/// A world with the same calls in the store, as if they had ended, and in the live view.
async fn world(name: &str) -> Option<World> {
    let world = World::new(name).await?;
    for (call, stream) in calls() {
        let trunk = if call.uid.0.is_multiple_of(2) { "carrier" } else { "" };
        let row = CallRow { trunk: trunk.to_owned(), ..CallRow::new(&call, &labels(), STORED) };
        world.store("calls", &row).await;
        world.store("streams", &StreamRow::new(&stream, &labels(), STORED)).await;
        world.live.publish(&Event::StreamStarted(Box::new(stream)), trunk);
        world.live.publish(&Event::CallChanged(Box::new(call)), trunk);
    }
    Some(world)
}

#[tokio::test]
async fn filters_and_orders_are_those_of_the_store() {
    let Some(world) = world("active_filters").await else { return };
    let mut filters = vec![
        "number=12345",
        "number=%2B49%2030%2012345",
        "number=45",
        "number=ALICE",
        "number=5550012",
        "call_id=call-1007@192.0.2.1",
        "address=192.0.2.7",
        "address=192.0.2.7:5060",
        "address=192.0.2.7:5061",
        "address=192.0.2.0/28",
        "address=2001:db8::/32",
        "address=198.51.100.3",
        "address=198.51.100.3:4000",
        "address=198.51.100.3:4001",
        "codec=OPUS",
        "codec=nothing",
        "mos_below=3.1",
        "pdv_p95_above=12",
        "loss_above=3.3",
        "diagnosis=media_not_seen",
        "diagnosis=one_way_media,media_not_seen",
        "class=failed",
        "class=poor,fair,good",
        "final_code=200",
        "final_code=0,486",
        "trunk=carrier",
        "site=site-1",
        "site=other",
        "number=12345&mos_below=2&trunk=carrier",
        "from=2026-03-01T12:05:00Z",
        "to=2026-03-01T12:05:00Z",
    ];
    filters.push("");
    for sort in ["worst", "newest", "oldest"] {
        for filter in &filters {
            let uri = |state: &str| format!("/api/v1/calls?limit=100&sort={sort}&{filter}{state}");
            let (stored, active) = (world.get(&uri("")).await, world.get(&uri("&state=active")).await);
            let (mut stored, mut active) = (ids(&stored), ids(&active));
            if sort == "worst" {
                // Of equally bad calls the order is another one.
                (stored, active) = (sorted(stored), sorted(active));
            }
            assert_eq!(stored, active, "{sort} {filter}");
            assert!(
                filter.contains("nothing")
                    || filter.contains("486")
                    || filter.contains("other")
                    || filter.contains("4001")
                    || filter.contains("5061")
                    || !active.is_empty(),
                "{filter}"
            );
        }
    }
}

/// Only calls that ended are in the timeline.
#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_has_no_call_that_is_up() {
    let Some(world) = world("active_timeline").await else { return };
    let calls = |page: &serde_json::Value| -> u64 {
        page["buckets"].as_array().unwrap().iter().map(|bucket| bucket["calls"].as_u64().unwrap()).sum()
    };
    let (all, up) = (world.get("/api/v1/timeline").await, world.get("/api/v1/timeline?state=active").await);
    assert!(calls(&all) > 0);
    assert_eq!((calls(&up), up["buckets"].as_array().map(Vec::len)), (0, all["buckets"].as_array().map(Vec::len)));
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_running_call_reads_as_its_row_would() {
    let Some(world) = world("active_rows").await else { return };
    let by_id = |answer: &Value| -> std::collections::BTreeMap<String, Value> {
        let calls = answer["calls"].as_array().expect("a list").iter();
        calls.map(|call| (call["id"].as_str().expect("an id").to_owned(), call.clone())).collect()
    };
    let stored = by_id(&world.get("/api/v1/calls?limit=100").await);
    let active = by_id(&world.get("/api/v1/calls?limit=100&state=active").await);
    assert_eq!(stored.len(), 66);
    assert_eq!(stored, active);
    // The badness of the list is that of the record.
    for (call, _) in calls() {
        assert_eq!(active[&call.uid.to_string()]["badness"], badness(&call), "{call:?}");
    }
    // The page of one call: its evidence is in the store already, its row is not asked for.
    let detail = world.get("/api/v1/calls/00000000000003f0").await;
    assert_eq!(detail["call"], active["00000000000003f0"]);
}

#[tokio::test]
async fn pages_are_whole_and_a_call_is_in_one_list_only() {
    let Some(world) = world("active_pages").await else { return };
    for sort in ["worst", "newest", "oldest", "longest"] {
        let (mut uri, mut seen) = (format!("/api/v1/calls?state=active&limit=7&sort={sort}"), Vec::new());
        loop {
            let page = world.get(&uri).await;
            seen.extend(ids(&page));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            uri = format!("/api/v1/calls?state=active&limit=7&sort={sort}&cursor={cursor}");
            assert!(seen.len() <= 66, "{sort}");
        }
        assert_eq!((seen.len(), sorted(seen.clone()).len()), (66, 66));
        let mut distinct = sorted(seen);
        distinct.dedup();
        assert_eq!(distinct.len(), 66, "{sort}");
    }
    let stored = world.get("/api/v1/calls?limit=7").await;
    let cursor = stored["next_cursor"].as_str().expect("more");
    let other = crate::world::get(&world.router, &format!("/api/v1/calls?state=active&limit=7&cursor={cursor}")).await;
    assert_eq!(other.status, 400, "a cursor of the other list");
    // Over, and waiting for late media: in neither list until its row is stored.
    let (call, _) = calls().swap_remove(5);
    let uid = call.uid.to_string();
    let over = CallRecord { state: CallState::Completed, ..call };
    world.live.publish(&Event::CallChanged(Box::new(over)), "");
    assert!(!ids(&world.get("/api/v1/calls?state=active&limit=100").await).contains(&uid));
}
