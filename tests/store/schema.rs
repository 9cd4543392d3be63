//! Migrations and upgrades, every column of every table, and percentiles in SQL.

use crate::samples::{self, labels};
use crate::{counts, embedded, now, quick};
use auscult_core::alert::CaptureSums;
use auscult_core::units::{BUCKETS, DelayHistogram, Nanos, SPAN_BUCKETS, bucket_bounds_ns, span_bucket_middle};
use auscult_store::query::{Cost, Reader};
use auscult_store::rows::*;
use auscult_store::schema::{Dialect, MIGRATIONS, VERSION, render};
use auscult_store::{Backend, Store, StoreError, StoreWriter};
use clickhouse::{RowOwned, RowRead, RowWrite};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_applies_once_and_refuses_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    assert_eq!(store.migrate().await.unwrap(), [] as [u32; 0]);
    let applied: Vec<u32> =
        store.reader().query("SELECT version FROM schema_migrations ORDER BY version").fetch_all().await.unwrap();
    assert_eq!(applied, MIGRATIONS.iter().map(|m| m.version).collect::<Vec<_>>());
    // A migration cut off before its record is run again without harm.
    store
        .writer()
        .query("ALTER TABLE schema_migrations DELETE WHERE version = 1")
        .with_setting("mutations_sync", "2")
        .execute()
        .await
        .unwrap();
    assert_eq!(store.migrate().await.unwrap(), [1]);
    store
        .writer()
        .query("INSERT INTO schema_migrations (version, name) VALUES (9999, 'later')")
        .execute()
        .await
        .unwrap();
    assert!(matches!(store.migrate().await, Err(StoreError::NewerSchema { found: 9999, known: VERSION })));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_for_each_dialect_is_sql() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    for dialect in [Dialect::Embedded, Dialect::Server, Dialect::Cluster { name: "noc's".to_owned() }] {
        let text = render(&dialect, "other");
        let mut statements = 0;
        for statement in text.split(";\n").filter(|s| !s.trim().is_empty()) {
            let explained = format!("EXPLAIN AST {statement}");
            store.writer().query_raw(&explained).execute().await.unwrap_or_else(|e| panic!("{statement}: {e}"));
            statements += 1;
        }
        assert!(statements >= 10, "{statements}");
        if dialect == Dialect::Server {
            for statement in text.split(";\n").filter(|s| !s.trim().is_empty()) {
                store.writer().query_raw(statement).execute().await.unwrap();
            }
            let tables: u64 = store
                .reader()
                .query("SELECT count() FROM system.tables WHERE database = 'other'")
                .fetch_one()
                .await
                .unwrap();
            // Beside rows and sums their views by five minutes and by hours, and views for viewers.
            assert_eq!(tables, 10 + 2 + 2 * 4 + 2 * 2 + 2);
        }
    }
}

/// Writes rows both ways, typed by the client (which checks types against the table) and through the spool.
async fn compare<R>(store: &Store, table: &str, rows: Vec<R>)
where
    R: RowOwned + RowRead + RowWrite + PartialEq + std::fmt::Debug,
{
    let read = |store: Store| async move {
        let sql = format!("SELECT ?fields FROM {table} ORDER BY row_id");
        store.reader().query(&sql).fetch_all::<R>().await.unwrap()
    };
    let spooled = read(store.clone()).await;
    assert_eq!(spooled, rows, "{table} through the spool");
    store.writer().query(&format!("TRUNCATE TABLE {table}")).execute().await.unwrap();
    let mut insert = store.writer().insert::<R>(table).await.unwrap();
    for row in &rows {
        insert.write(row).await.unwrap();
    }
    insert.end().await.unwrap();
    assert_eq!(read(store.clone()).await, rows, "{table} through the client");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_every_row_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let stored_at = now();
    let options = auscult_store::StoreOptions { now: std::sync::Arc::new(move || stored_at), ..quick() };
    let (sender, writer) = StoreWriter::start(store.clone(), &dir.path().join("spool"), labels(), options).unwrap();
    for n in 1..=3u32 {
        let k = i64::from(n);
        for record in [
            Record::Call(Box::new(samples::call(u64::from(n)))),
            Record::Stream(Box::new(samples::stream(u64::from(n)))),
            Record::Interval(Box::new(samples::interval(u64::from(n), k * 10))),
            Record::SipMessage(Box::new(samples::sip(n))),
            Record::Rtcp(Box::new(samples::rtcp(n))),
            Record::Capture(Box::new(samples::capture(k))),
            Record::CallGroup(Box::new(samples::call_group(u64::from(n)))),
            Record::MediaGroup(Box::new(samples::media_group(u64::from(n)))),
            Record::Alert(Box::new(samples::alert(u64::from(n)))),
        ] {
            assert!(sender.try_send(record));
        }
    }
    let left = writer.drain(Duration::from_secs(20)).await;
    assert_eq!(left, Default::default());
    macro_rules! check {
        ($table:literal, $make:expr) => {{
            let mut rows: Vec<_> = (1..=3).map($make).collect();
            rows.sort_by_key(|r| r.row_id);
            compare(&store, $table, rows).await;
        }};
    }
    let l = &labels();
    check!("calls", |n| CallRow::new(&samples::call(n), l, stored_at));
    check!("streams", |n| StreamRow::new(&samples::stream(n), l, stored_at));
    check!("stream_intervals", |n| IntervalRow::new(&samples::interval(n, n as i64 * 10), l, stored_at));
    check!("sip_messages", |n| SipMessageRow::new(&samples::sip(n), l, stored_at));
    check!("rtcp_reports", |n| RtcpRow::new(&samples::rtcp(n), l, stored_at));
    check!("capture_intervals", |n| CaptureRow::new(&samples::capture(n), l, stored_at));
    // Rules read from the store count frames that passed unseen as the live ones do.
    let reader = Reader::new(store.reader());
    let session = reader.session(Cost::Scan, None).await.map_err(|e| e.to_string()).unwrap();
    let begin = samples::capture(0).start;
    let stored = session.group_rows(begin, begin + Nanos::from_secs(60), "").await.unwrap();
    let live = CaptureSums::from(&samples::capture(1));
    assert!(live.missed > 1_000 && stored.capture.len() == 3, "{live:?}, {:?}", stored.capture);
    assert!(stored.capture.iter().all(|row| row.missed == live.missed), "{live:?}, {:?}", stored.capture);
    check!("call_groups", |n| CallGroupRow::new(&samples::call_group(n), l, stored_at));
    check!("media_groups", |n| MediaGroupRow::new(&samples::media_group(n), l, stored_at));
    check!("alerts", |n| AlertRow::new(&samples::alert(n), l, stored_at));
    let call = CallRow::new(&samples::call(1), l, stored_at);
    assert_eq!((call.trunk.as_str(), call.loss_pct_worst, call.pdd_ms), ("carrier", None, Some(1000.0)));
    assert_eq!(counts(&store, "calls").await, (3, 3));
}

#[test]
fn no_figure_of_the_samples_is_left_at_its_default() {
    let l = &labels();
    let unset = |row: serde_json::Value| -> Vec<String> {
        let fields = row.as_object().cloned().unwrap_or_default();
        fields
            .into_iter()
            // The samples are of an ordinary call.
            .filter(|(name, v)| name != "emergency" && (v.is_null() || v == 0 || v == "" || v == false))
            .map(|(name, _)| name)
            .collect()
    };
    // NaN and infinity are not stored; the sample's delay is unknown.
    assert_eq!(unset(json(&CallRow::new(&samples::call(1), l, now()))), ["loss_pct_worst"]);
    assert_eq!(unset(json(&StreamRow::new(&samples::stream(1), l, now()))), ["mos_cq", "r"]);
    assert_eq!(unset(json(&MediaGroupRow::new(&samples::media_group(1), l, now()))), [] as [&str; 0]);
    assert_eq!(unset(json(&CallGroupRow::new(&samples::call_group(1), l, now()))), [] as [&str; 0]);
    assert_eq!(unset(json(&AlertRow::new(&samples::alert(1), l, now()))), [] as [&str; 0]);
    let call_unknown = ["call_id", "call_uid", "mos_cq", "r"];
    assert_eq!(unset(json(&IntervalRow::new(&samples::interval(1, 10), l, now()))), call_unknown);
}

/// What the database of an earlier program looks like: the schema up to a version.
pub(crate) async fn at_version(store: &Store, version: u32) {
    let text = render(&Dialect::Embedded, "auscult");
    let last = MIGRATIONS.iter().find(|m| m.version == version).unwrap();
    let record = format!("SELECT {version}, '{}';\n", last.name);
    let (earlier, _) = text.split_once(&record).unwrap();
    let whole = format!("{earlier}{record}");
    for statement in whole.split(";\n").filter(|s| !s.trim().is_empty()) {
        store.writer().with_database("default").query_raw(statement).execute().await.unwrap();
    }
}

/// Stores a row as the program of that time did, which knew the columns of that time. Returns how many it left out.
pub(crate) async fn insert_known(store: &Store, table: &str, row: serde_json::Value) -> usize {
    // The store fills in `arrived_at`.
    let sql = format!(
        "SELECT name FROM system.columns WHERE database = 'auscult' AND table = '{table}' AND name != 'arrived_at'"
    );
    let columns: Vec<String> = store.reader().query(&sql).fetch_all().await.unwrap();
    let all = row.as_object().unwrap().len();
    let known: serde_json::Map<_, _> =
        row.as_object().unwrap().clone().into_iter().filter(|(name, _)| columns.contains(name)).collect();
    assert_eq!(columns.len(), known.len(), "{table}");
    let left_out = all - known.len();
    let known = serde_json::Value::Object(known);
    store.writer().query_raw(&format!("INSERT INTO {table} FORMAT JSONEachRow\n{known}")).execute().await.unwrap();
    left_out
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_from_before_an_upgrade_read_as_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = crate::library() else { return };
    let store = Backend::embedded(dir.path().join("data"), Some(library)).open().unwrap();
    at_version(&store, 1).await;
    let l = &labels();
    let (call, stream, interval) = (samples::call(1), samples::stream(1), samples::interval(1, 10));
    let (call, stream, interval) =
        (CallRow::new(&call, l, now()), StreamRow::new(&stream, l, now()), IntervalRow::new(&interval, l, now()));
    for (table, row) in [("calls", json(&call)), ("streams", json(&stream)), ("stream_intervals", json(&interval))] {
        assert!(insert_known(&store, table, row).await > 0, "{table}");
    }
    assert_eq!(
        store.migrate().await.unwrap(),
        MIGRATIONS.iter().map(|m| m.version).filter(|v| *v > 1).collect::<Vec<_>>()
    );

    let read: CallRow = store.reader().query("SELECT ?fields FROM calls").fetch_one().await.unwrap();
    let unknown = (read.mos_worst_interval, read.mos_worst_interval_scale.as_str(), read.mos_worst_minute);
    assert_eq!(unknown, (None, "", None));
    assert_eq!((read.capture_drops, read.one_sided, read.timestamp_source.as_str()), (None, None, ""));
    assert_eq!((read.call_id, read.mos_worst), (call.call_id, call.mos_worst));
    assert_eq!((read.sip_rtt_toward_callee_samples, read.sip_rtt_toward_callee_min_ms), (None, None));
    let read: StreamRow = store.reader().query("SELECT ?fields FROM streams").fetch_one().await.unwrap();
    assert_eq!((read.bursts, read.concealed_seconds, read.discarded_adaptive), (None, None, None));
    assert_eq!((read.r_clean_max, read.remote_reports, read.loss_evidence.as_str()), (None, None, ""));
    assert_eq!((read.ipdv_samples, read.timestamp_source.as_str(), read.lost_late_bursts), (None, "", None));
    assert_eq!((read.lost, read.pdv, read.late), (stream.lost, stream.pdv, stream.late));
    let read: IntervalRow = store.reader().query("SELECT ?fields FROM stream_intervals").fetch_one().await.unwrap();
    assert_eq!((read.bursts, read.clock_steps, read.mos_low, read.mos_model.as_str()), (None, None, None, ""));
    assert_eq!((read.lost, read.pdv, read.late), (interval.lost, interval.pdv, interval.late));

    // A new row goes beside the old one.
    let mut insert = store.writer().insert::<StreamRow>("streams").await.unwrap();
    let newer = StreamRow::new(&samples::stream(2), l, now());
    insert.write(&newer).await.unwrap();
    insert.end().await.unwrap();
    let sql = "SELECT ?fields FROM streams WHERE stream_id = 2";
    assert_eq!(store.reader().query(sql).fetch_one::<StreamRow>().await.unwrap(), newer);
}

pub(crate) fn json<R: serde::Serialize>(row: &R) -> serde_json::Value {
    serde_json::to_value(row).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn percentiles_in_sql_equal_those_of_the_histogram() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let bounds = store.reader().query("SELECT low_ns, high_ns FROM histogram_buckets ORDER BY bucket");
    let bounds = bounds.fetch_all::<(u64, u64)>().await.unwrap();
    assert_eq!(bounds, (0..BUCKETS).map(bucket_bounds_ns).collect::<Vec<_>>());
    let spans = store.reader().query("SELECT toInt64(round(middle_ms * 1e6)) FROM span_buckets ORDER BY bucket");
    let middles = (0..SPAN_BUCKETS).map(|bucket| span_bucket_middle(bucket as u8).0).collect::<Vec<_>>();
    assert_eq!(spans.fetch_all::<i64>().await.unwrap(), middles);

    let mut merged = DelayHistogram::default();
    let mut insert = store.writer().insert::<IntervalRow>("stream_intervals").await.unwrap();
    for n in 0..40 {
        let report = samples::interval(n, n as i64);
        merged.merge(&report.numbers.pdv);
        insert.write(&IntervalRow::new(&report, &labels(), now())).await.unwrap();
    }
    insert.end().await.unwrap();
    for q in [0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
        let sql = "WITH (SELECT groupArray(middle_ms) FROM (SELECT middle_ms FROM histogram_buckets ORDER BY bucket)) AS middle, \
                   sumForEach(pdv) AS h, arrayCumSum(h) AS c, greatest(1, ceil(? * c[-1])) AS rank \
                   SELECT middle[arrayFirstIndex(x -> x >= rank, c)] FROM stream_intervals WHERE histogram_version = 1";
        let sql_ms: f64 = store.reader().query(sql).bind(q).fetch_one().await.unwrap();
        let ours = merged.quantile(q).unwrap().as_millis_f64();
        assert!((sql_ms - ours).abs() < 1e-9, "q {q}: {sql_ms} in SQL, {ours} in memory");
    }
}

/// When a row from before an upgrade arrived is unknown, and stays so: it reads the same twice, and after the step ran again.
#[tokio::test(flavor = "multi_thread")]
async fn when_older_rows_arrived_is_unknown_and_newer_rows_carry_the_time_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = crate::library() else { return };
    let store = Backend::embedded(dir.path().join("data"), Some(library)).open().unwrap();
    at_version(&store, 16).await;
    let (l, at) = (&labels(), now());
    let rows = [
        ("calls", json(&CallRow::new(&samples::call(1), l, at))),
        ("streams", json(&StreamRow::new(&samples::stream(1), l, at))),
        ("stream_intervals", json(&IntervalRow::new(&samples::interval(1, 10), l, at))),
        ("sip_messages", json(&SipMessageRow::new(&samples::sip(1), l, at))),
    ];
    for (table, row) in &rows {
        insert_known(&store, table, row.clone()).await;
    }
    for table in ["rtcp_reports", "capture_intervals"] {
        let row = format!("INSERT INTO {table} (stored_at, probe, row_id) VALUES (now(), 'p', 7)");
        store.writer().query_raw(&row).execute().await.unwrap();
    }
    assert_eq!(store.migrate().await.unwrap().first(), Some(&17));

    let tables = || rows.iter().map(|(table, _)| *table).chain(["rtcp_reports", "capture_intervals"]);
    let arrived = |table: &str, row: &str| {
        let sql = format!("SELECT toUnixTimestamp64Milli(arrived_at) FROM {table} WHERE {row}");
        let reader = store.reader();
        async move { reader.query(&sql).fetch_all::<i64>().await.unwrap() }
    };
    let now_ms = || now().0 / 1_000_000;
    for table in tables() {
        assert_eq!(arrived(table, "1").await, [0], "{table}");
    }
    for (again, expected) in [(false, 2), (true, 0)] {
        if again {
            let forget = "ALTER TABLE schema_migrations DELETE WHERE version = 17";
            store.writer().query(forget).with_setting("mutations_sync", "2").execute().await.unwrap();
            assert_eq!(store.migrate().await.unwrap(), [17]);
        }
        let before = now_ms();
        let captured =
            format!("INSERT INTO capture_intervals (stored_at, probe, row_id) VALUES (now(), 'p', {expected})");
        store.writer().query_raw(&captured).execute().await.unwrap();
        let first = arrived("capture_intervals", &format!("row_id = {expected}")).await;
        assert!((before..=now_ms()).contains(&first[0]), "{first:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(arrived("capture_intervals", &format!("row_id = {expected}")).await, first, "read again");
        assert_eq!(arrived("capture_intervals", "row_id = 7").await, [0], "step run again: {again}");
    }
    // A part that holds both kinds of rows keeps them apart.
    store.writer().query_raw("OPTIMIZE TABLE capture_intervals FINAL").execute().await.unwrap();
    assert_eq!(arrived("capture_intervals", "row_id = 7").await, [0]);
    assert!(arrived("capture_intervals", "row_id = 0").await[0] > 0);
}

/// Which way a stream goes, seen from its trunk; a row from before does not say it.
#[tokio::test(flavor = "multi_thread")]
async fn an_interval_says_which_way_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = crate::library() else { return };
    let store = Backend::embedded(dir.path().join("data"), Some(library)).open().unwrap();
    at_version(&store, 16).await;
    let l = &labels();
    let interval = samples::interval(1, 10);
    insert_known(&store, "stream_intervals", json(&IntervalRow::new(&interval, l, now()))).await;
    store.migrate().await.unwrap();
    let mut back = samples::interval(2, 10);
    std::mem::swap(&mut back.src, &mut back.dst);
    let mut elsewhere = samples::interval(3, 10);
    elsewhere.dst = "203.0.113.1:4000".parse().unwrap();
    let mut insert = store.writer().insert::<IntervalRow>("stream_intervals").await.unwrap();
    for report in [&samples::interval(4, 10), &back, &elsewhere] {
        insert.write(&IntervalRow::new(report, l, now())).await.unwrap();
    }
    insert.end().await.unwrap();
    let sql = "SELECT toString(trunk), toString(trunk_direction) FROM stream_intervals ORDER BY stream_id";
    let read: Vec<(String, String)> = store.reader().query(sql).fetch_all().await.unwrap();
    let is = |trunk: &str, direction: &str| (trunk.to_owned(), direction.to_owned());
    assert_eq!(read, [is("carrier", ""), is("carrier", "from"), is("", ""), is("carrier", "toward")]);
}

/// Rows from before the class was stored read the one that the program would have given, over all that it depends on.
#[tokio::test(flavor = "multi_thread")]
async fn the_class_of_older_rows_is_the_one_of_the_program() {
    use auscult_core::model::{CallClass, CallState, DiagnosisCode};
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = crate::library() else { return };
    let store = Backend::embedded(dir.path().join("data"), Some(library)).open().unwrap();
    at_version(&store, 13).await;
    let codes = [0, 200, 401, 403, 404, 407, 408, 480, 484, 486, 487, 488, 500, 503, 600, 603, 604, 606];
    let moses = [None, Some(1.0), Some(3.099_999), Some(3.1), Some(4.0), Some(4.023_999), Some(4.024), Some(4.5)];
    // Codes that came later are in no row without a class.
    let later = [DiagnosisCode::MediaNotSeen, DiagnosisCode::MediaElsewhere];
    let codes_then = DiagnosisCode::ALL.into_iter().filter(|code| !later.contains(code));
    let mut diagnoses: Vec<Vec<DiagnosisCode>> = vec![Vec::new()];
    diagnoses.extend(codes_then.clone().map(|code| vec![code]));
    diagnoses.extend(codes_then.map(|code| vec![DiagnosisCode::MissingBye, code]));
    diagnoses.push(vec![DiagnosisCode::SlowSetup, DiagnosisCode::MediaInterrupted, DiagnosisCode::NoMedia]);
    let (mut rows, mut expected) = (String::new(), Vec::new());
    for state in CallState::ALL {
        for code in codes {
            for mos in moses {
                for found in &diagnoses {
                    let uid = expected.len();
                    expected.push(CallClass::of(state, code, found.iter().copied(), mos).name());
                    let found: Vec<_> = found.iter().map(|code| serde_json::json!([code.name(), 0.9, ""])).collect();
                    let row = serde_json::json!({"call_uid": uid, "state": state.name(), "final_code": code,
                        "mos_worst": mos, "diagnoses": found, "stored_at": now().0 / 1_000_000_000});
                    rows += &format!("{row}\n");
                }
            }
        }
    }
    store.writer().query_raw(&format!("INSERT INTO calls FORMAT JSONEachRow\n{rows}")).execute().await.unwrap();
    store.migrate().await.unwrap();
    let read: Vec<String> =
        store.reader().query("SELECT toString(class) FROM calls ORDER BY call_uid").fetch_all().await.unwrap();
    assert_eq!(read.len(), expected.len());
    let differ: Vec<_> = read.iter().zip(&expected).enumerate().filter(|(_, (a, b))| a != b).take(5).collect();
    assert!(differ.is_empty(), "{differ:?}");
    let classes: std::collections::BTreeSet<_> = expected.iter().copied().collect();
    assert_eq!(classes.len(), CallClass::ALL.len(), "every class occurs");
}

/// A scope narrows each table with rows of a probe, and views for viewers have no column of a party.
#[tokio::test(flavor = "multi_thread")]
async fn each_table_is_narrowed_by_scopes_and_views_for_viewers_have_no_parties() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let sql = "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND name IN ('probe', 'trunk') \
               AND table NOT LIKE '.%' AND table IN (SELECT name FROM system.tables WHERE engine LIKE '%MergeTree')";
    let columns: Vec<(String, String)> = store.reader().query(sql).fetch_all().await.unwrap();
    let has = |table: &str, column: &str| columns.iter().any(|(t, c)| t == table && c == column);
    let scoped: Vec<(&str, bool)> = auscult_store::query::scoped_tables().collect();
    for (table, by_trunk) in &scoped {
        assert!(has(table, "probe"), "{table}");
        assert_eq!(has(table, "trunk"), *by_trunk, "{table}");
    }
    for (table, _) in columns.iter().filter(|(_, column)| column == "probe") {
        assert!(scoped.iter().any(|(name, _)| name == table), "{table} is not in query/scope.rs");
    }
    let sql = "SELECT name FROM system.columns WHERE database = currentDatabase() \
               AND table IN ('calls_without_parties', 'streams_without_addresses')";
    let shown: Vec<String> = store.reader().query(sql).fetch_all().await.unwrap();
    assert!(shown.len() > 40, "{shown:?}");
    let of_parties = ["caller", "callee", "call_id", "_ip", "_port", "ssrc", "agent", "reason", "diagnoses", "cname"];
    let spoilt: Vec<&String> = shown.iter().filter(|name| of_parties.iter().any(|part| name.contains(part))).collect();
    assert_eq!(spoilt, ["mos_null_reason"]);
    for view in ["calls_without_parties", "streams_without_addresses"] {
        let rows: u64 = store.reader().query(&format!("SELECT count() FROM {view}")).fetch_one().await.unwrap();
        assert_eq!(rows, 0);
    }
}
