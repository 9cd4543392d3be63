//! How long rows are kept: set, read back, and held by the engine.

use crate::samples::{call, labels};
use crate::{embedded, now};
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::retention::{Family, Period, Retention};
use auscult_store::rowbinary::RowBinary;
use auscult_store::schema::{Dialect, render};
use auscult_store::{CallKind, Record, Store};
use std::collections::{BTreeMap, BTreeSet};

fn periods(list: &[(Family, u32, u32)]) -> Retention {
    let period = |(family, days, emergency_days): &(Family, u32, u32)| {
        (*family, Period { days: *days, emergency_days: *emergency_days })
    };
    Retention(list.iter().map(period).collect::<BTreeMap<_, _>>())
}

async fn period(store: &Store, table: &str) -> Option<Period> {
    store.retention().await.unwrap().into_iter().find(|ttl| ttl.table == table).and_then(|ttl| ttl.period)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_with_rows_has_its_family_and_the_period_of_a_new_store_is_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let found = store.retention().await.unwrap();
    let with_rows: BTreeSet<&str> =
        found.iter().map(|ttl| ttl.table.as_str()).filter(|table| *table != "schema_migrations").collect();
    let families: BTreeSet<&str> = Family::ALL.iter().flat_map(|family| family.tables()).copied().collect();
    assert_eq!(with_rows, families, "a table without a family is kept for ever");
    for family in Family::ALL {
        for table in family.tables() {
            assert_eq!(period(&store, table).await, Some(Period::same(family.default_days())), "{table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_is_applied_once_and_rows_of_emergency_calls_have_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    assert!(store.take_retention_changes().is_empty(), "nothing is configured");
    let store = store.with_retention(periods(&[(Family::Calls, 30, 365), (Family::SipMessages, 14, 14)]));
    store.migrate().await.unwrap();
    let changes: Vec<String> = store.take_retention_changes().iter().map(ToString::to_string).collect();
    let expected = [
        "calls: 30 days, of emergency calls 365 days instead of 90 days",
        "call_counts_5m: 30 days instead of 90 days",
        "call_counts_1h: 30 days instead of 90 days",
        "sip_messages: 14 days instead of 7 days",
    ];
    assert_eq!(changes, expected);
    assert_eq!(period(&store, "calls").await, Some(Period { days: 30, emergency_days: 365 }));
    assert_eq!(period(&store, "streams").await, Some(Period::same(90)), "not configured: as it was");
    store.migrate().await.unwrap();
    assert!(store.take_retention_changes().is_empty(), "the second time nothing differs");

    let old = Timestamp(now().0 - 40 * Nanos::from_secs(86_400).0);
    let mut rows = RowBinary::default();
    for n in 0..20 {
        let kind = if n % 4 == 0 { CallKind::Emergency } else { CallKind::Ordinary };
        let stored_at = if n < 10 { old } else { now() };
        Record::Call(Box::new(call(n))).encode_of(kind, &labels(), stored_at, &mut rows).unwrap();
    }
    let sql = format!("INSERT INTO auscult.calls ({}) FORMAT RowBinary", rows.columns().join(", "));
    let mut insert = store.writer().insert_formatted_with(&sql);
    insert.send(axum::body::Bytes::copy_from_slice(rows.bytes())).await.unwrap();
    insert.end().await.unwrap();
    store.writer().query("OPTIMIZE TABLE auscult.calls FINAL").execute().await.unwrap();
    let left = "SELECT call_uid FROM auscult.calls ORDER BY call_uid";
    let left: Vec<u64> = store.reader().query(left).fetch_all().await.unwrap();
    assert_eq!(left, [0, 4, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19], "expired are those of no emergency call");

    let store = store.with_retention(periods(&[(Family::Calls, 60, 60)]));
    store.migrate().await.unwrap();
    assert_eq!(store.take_retention_changes().len(), 3);
    assert_eq!(period(&store, "calls").await, Some(Period::same(60)));
    store.writer().query("OPTIMIZE TABLE auscult.calls FINAL").execute().await.unwrap();
    let left: u64 = store.reader().query("SELECT count() FROM auscult.calls").fetch_one().await.unwrap();
    assert_eq!(left, 13, "40 days old, kept for 60 from now on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_somebody_wrote_by_hand_is_shown_and_replaced_only_where_one_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let by_hand = "ALTER TABLE auscult.alerts MODIFY TTL stored_at + INTERVAL 2 MONTH";
    store.writer().query(by_hand).execute().await.unwrap();
    store.migrate().await.unwrap();
    let found = store.retention().await.unwrap();
    let alerts = found.iter().find(|ttl| ttl.table == "alerts").unwrap();
    assert_eq!((alerts.ttl.as_str(), alerts.period), ("stored_at + toIntervalMonth(2)", None));
    let store = store.with_retention(periods(&[(Family::Alerts, 45, 45)]));
    store.migrate().await.unwrap();
    let changes: Vec<String> = store.take_retention_changes().iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["alerts: 45 days instead of `stored_at + toIntervalMonth(2)`"]);
}

#[test]
fn rows_that_are_marked_are_marked_on_a_cluster_too() {
    let text = render(&Dialect::Cluster { name: "noc".to_owned() }, "auscult");
    for table in ["calls", "streams", "stream_intervals", "sip_messages", "rtcp_reports"] {
        for place in [format!("{table}_local"), table.to_owned()] {
            let alter =
                format!("ALTER TABLE `auscult`.{place} ON CLUSTER 'noc'\n    ADD COLUMN IF NOT EXISTS emergency Bool");
            assert!(text.contains(&alter), "{alter}");
        }
    }
}
