//! Erasing one person's rows, on the engine: all of them go, everybody else's stay.

use crate::samples::{alert, call, interval, labels, rtcp, sip, stream};
use crate::{embedded, now, put};
use auscult_core::model::{CallUid, StreamId};
use auscult_store::erase::{EraseReport, Location, Mode, Rule, Subject, erase, rule};
use auscult_store::personal::holdings;
use auscult_store::query::PhoneNumber;
use auscult_store::rowbinary::RowBinary;
use auscult_store::spool::{Spool, SpoolLimits, encode};
use auscult_store::{Record, Store, Table};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

/// Who called: four of them are the person that is to be erased, written in different ways.
const USERS: [&str; 8] =
    ["+4930123", "004930123", "4930123", "(4930) 1-23", "+494930123", "30123", "49301234", "anonymous"];
const ERASED: usize = 4;

fn uid(n: usize) -> u64 {
    1_000 + n as u64
}

/// The records of a call: with two streams, of which one row came before its call was known, and a message of a third person's call
/// that names the caller.
fn records(n: usize) -> Vec<Record> {
    let user = USERS[n];
    let id = CallUid(uid(n));
    let streams = [StreamId(10 * uid(n)), StreamId(10 * uid(n) + 1)];
    let mut one = call(id.0);
    one.caller.user = user.to_owned();
    one.callee.user = "+4999".to_owned();
    one.streams = streams.to_vec();
    let mut records = vec![Record::Call(Box::new(one))];
    for (k, stream_id) in streams.into_iter().enumerate() {
        let known = (k == 0).then_some(id);
        let mut row = stream(stream_id.0);
        (row.id, row.call_uid) = (stream_id, Some(id));
        records.push(Record::Stream(Box::new(row)));
        let mut row = interval(stream_id.0, k as i64);
        (row.stream, row.call_uid) = (stream_id, known);
        records.push(Record::Interval(Box::new(row)));
        let mut row = rtcp(stream_id.0 as u32);
        (row.stream, row.call_uid) = (Some(stream_id), known);
        records.push(Record::Rtcp(Box::new(row)));
    }
    let mut row = sip(n as u32 + 1);
    (row.call_uid, row.headers) = (id, format!("INVITE sip:b@x SIP/2.0\r\nFrom: <sip:{user}@x>;tag=1\r\n"));
    records.push(Record::SipMessage(Box::new(row)));
    let mut row = sip(n as u32 + 100);
    row.call_uid = CallUid(77);
    row.headers = format!("INVITE sip:c@x SIP/2.0\r\nDiversion: <sip:{}@x>\r\n", user.replace([' ', '(', ')'], ""));
    records.push(Record::SipMessage(Box::new(row)));
    let mut row = alert(n as u64);
    row.worst_calls = vec![CallUid(uid(n)), CallUid(77)];
    records.push(Record::Alert(Box::new(row)));
    records
}

/// Puts records into batches of one table each, in the order of the tables.
fn batches(records: &[Record]) -> Vec<(Table, RowBinary)> {
    let of = |table: Table| {
        let mut rows = RowBinary::default();
        for record in records.iter().filter(|record| record.table() == table) {
            record.encode(&labels(), now(), &mut rows).unwrap();
        }
        (table, rows)
    };
    Table::ALL.into_iter().map(of).filter(|(_, rows)| rows.rows() > 0).collect()
}

async fn insert(store: &Store, records: &[Record]) {
    for (table, rows) in batches(records) {
        let sql = format!("INSERT INTO auscult.{} ({}) FORMAT RowBinary", table.name(), rows.columns().join(", "));
        let mut insert = store.writer().insert_formatted_with(&sql);
        insert.send(axum::body::Bytes::copy_from_slice(rows.bytes())).await.unwrap();
        insert.end().await.unwrap();
    }
}

fn spool(dir: &Path) -> Spool {
    Spool::open(&dir.join("spool"), SpoolLimits::default()).unwrap()
}

fn person() -> Subject {
    Subject::Number(vec![PhoneNumber::parse("+49 30 123").unwrap()])
}

/// Identities of the rows of a table, and of those that a list of the rows has.
async fn row_ids(store: &Store, table: Table) -> BTreeSet<u64> {
    let sql = format!("SELECT row_id FROM auscult.{}", table.name());
    store.reader().query(&sql).fetch_all::<u64>().await.unwrap().into_iter().collect()
}

fn rows(report: &EraseReport, place: Location, table: &str) -> Option<(u64, u64)> {
    let count = report.counts.iter().find(|count| count.place == place && count.table == table)?;
    Some((count.before, count.after))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_s_rows_go_from_every_table_and_all_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    for n in 0..USERS.len() {
        insert(&store, &records(n)).await;
    }
    let spool = Mutex::new(spool(dir.path()));
    let mut others = Vec::new();
    for table in Table::ALL {
        others.push((table, row_ids(&store, table).await));
    }
    let dry = erase(&store, &spool, &person(), &[], Mode::DryRun).await.unwrap();
    let expected = [("calls", 4), ("streams", 8), ("stream_intervals", 8), ("rtcp_reports", 8), ("alerts", 4)];
    for (table, count) in expected {
        assert_eq!(rows(&dry, Location::Store, table), Some((count, count)), "{table}: {dry:?}");
    }
    assert_eq!(rows(&dry, Location::Store, "sip_messages"), Some((8, 8)), "own calls', and those that name the number");
    for (table, before) in &others {
        assert_eq!(row_ids(&store, *table).await, *before, "a dry run changes nothing");
    }

    let done = erase(&store, &spool, &person(), &[], Mode::Erase).await.unwrap();
    assert!(done.is_complete() && !done.parts_remain, "{done:?}");
    assert_eq!(done.calls, (0..ERASED).map(|n| format!("{:016x}", uid(n))).collect::<Vec<_>>());
    for (table, count) in expected {
        assert_eq!(rows(&done, Location::Store, table), Some((count, 0)), "{table}");
    }
    for (table, before) in others {
        // Alerts stay, without the calls.
        let gone: u64 = match table {
            Table::Calls => 4,
            Table::Streams | Table::StreamIntervals | Table::RtcpReports | Table::SipMessages => 8,
            _ => 0,
        };
        let after = row_ids(&store, table).await;
        assert!(after.is_subset(&before));
        assert_eq!(before.len() - after.len(), gone as usize, "{}", table.name());
    }
    let users = "SELECT caller_user FROM auscult.calls ORDER BY call_uid";
    assert_eq!(store.reader().query(users).fetch_all::<String>().await.unwrap(), &USERS[ERASED..]);
    let cited = "SELECT arrayJoin(worst_calls) AS uid FROM auscult.alerts WHERE uid != 77 ORDER BY uid";
    let cited: Vec<u64> = store.reader().query(cited).fetch_all().await.unwrap();
    assert_eq!(cited, (ERASED..USERS.len()).map(uid).collect::<Vec<_>>());
    // By number in projections too, which are files of their own.
    let by_number = "SELECT count() FROM auscult.calls WHERE caller_reversed = '3210394'";
    assert_eq!(store.reader().query(by_number).fetch_one::<u64>().await.unwrap(), 0);
    let at_work = "SELECT count() FROM system.mutations WHERE NOT is_done";
    assert_eq!(store.reader().query(at_work).fetch_one::<u64>().await.unwrap(), 0, "nothing is still to be done");
    let again = erase(&store, &spool, &person(), &[], Mode::Erase).await.unwrap();
    assert!(again.is_complete() && again.calls.is_empty(), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_goes_by_its_identity_or_its_call_id() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    for n in 0..USERS.len() {
        insert(&store, &records(n)).await;
    }
    let spool = Mutex::new(spool(dir.path()));
    for (subject, n) in [(format!("{:016x}", uid(5)), 5), (format!("call-{}@192.0.2.1", uid(6)), 6)] {
        let done = erase(&store, &spool, &Subject::Call(vec![subject.clone()]), &[], Mode::Erase).await.unwrap();
        assert_eq!(done.calls, [format!("{:016x}", uid(n))], "{subject}");
        assert!(done.is_complete() && !done.parts_remain, "{done:?}");
        assert_eq!(rows(&done, Location::Store, "sip_messages"), Some((1, 0)), "of the call alone");
        assert_eq!(rows(&done, Location::Store, "stream_intervals"), Some((2, 0)));
    }
    // The row of a call may be gone before those of its streams.
    let gone = format!("ALTER TABLE auscult.calls DELETE WHERE call_uid = {} SETTINGS mutations_sync = 2", uid(7));
    store.writer().query_raw(&gone).execute().await.unwrap();
    let named = format!(
        "ALTER TABLE auscult.streams UPDATE call_id = 'lost@host' WHERE call_uid = {} SETTINGS mutations_sync = 2",
        uid(7)
    );
    store.writer().query_raw(&named).execute().await.unwrap();
    let done = erase(&store, &spool, &Subject::Call(vec!["lost@host".to_owned()]), &[], Mode::Erase).await.unwrap();
    assert_eq!((done.is_complete(), rows(&done, Location::Store, "streams")), (true, Some((2, 0))), "{done:?}");
    let left = "SELECT count() FROM auscult.calls";
    assert_eq!(store.reader().query(left).fetch_one::<u64>().await.unwrap(), USERS.len() as u64 - 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_wait_or_were_set_aside_go_too_and_calls_that_are_up_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let mut waiting = spool(dir.path());
    let all: Vec<Record> = (0..USERS.len()).flat_map(records).collect();
    let mut numbers = Vec::new();
    for (table, rows) in batches(&all) {
        let (number, token) = waiting.next_ticket();
        numbers.push(number);
        put(&mut waiting, &encode(number, table, token, &rows).unwrap());
    }
    // Streams are delivered already, as the store's summaries are; calls wait, intervals were refused.
    insert(&store, &all.iter().filter(|record| record.table() == Table::Streams).cloned().collect::<Vec<_>>()).await;
    let of = |table: Table| batches(&all).iter().position(|(of, _)| *of == table).unwrap();
    waiting.acknowledge(numbers[of(Table::Streams)]);
    waiting.dead_letter(numbers[of(Table::StreamIntervals)], "cannot store: Code: 27. DB::Exception: near '+4930123'");
    let spool = Mutex::new(waiting);
    let up = CallUid(uid(7));
    let done = erase(&store, &spool, &person(), &[up], Mode::Erase).await.unwrap();
    assert_eq!(done.still_up, [format!("{:016x}", up.0)]);
    assert!(!done.is_complete() && done.left() == 0, "{done:?}");
    let expected = [
        (Location::Spool, "calls", 5),
        (Location::DeadLetters, "stream_intervals", 10),
        (Location::Store, "streams", 10),
        (Location::Spool, "rtcp_reports", 10),
        (Location::Spool, "alerts", 5),
        (Location::Spool, "sip_messages", 9),
    ];
    for (place, table, count) in expected {
        assert_eq!(rows(&done, place, table), Some((count, 0)), "{table}");
    }
    let dead = dir.path().join("spool/dead_letter");
    let words: String = std::fs::read_dir(dead)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "why"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(words, "cannot store: Code: 27\n", "the store's words may quote a row");
    let spool = spool.into_inner().unwrap();
    let size = spool.size();
    assert_eq!(size.rows, 3 + 6 + 8 + 7, "calls, reports, alerts and messages of the others");
    let mut seen = BTreeSet::new();
    let unreadable = spool.files().look_at_rows(&mut |_, table, row| {
        if table == Table::Calls {
            seen.insert(row.text("caller_user").unwrap().to_owned());
        }
    });
    assert!(unreadable.is_empty());
    assert_eq!(seen, USERS[ERASED..7].iter().map(|user| (*user).to_owned()).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_has_a_rule_and_none_with_a_person_in_it_stays() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let tables = "SELECT name FROM system.tables WHERE database = 'auscult' AND engine LIKE '%MergeTree'";
    let tables: Vec<String> = store.reader().query(tables).fetch_all().await.unwrap();
    assert!(tables.len() >= 15, "{tables:?}");
    for table in tables {
        let Some(rule) = rule(&table) else { panic!("{table} has no rule in erase::rules") };
        let personal = "SELECT count() FROM system.columns WHERE database = 'auscult' AND table = ? AND (match(name, \
                        '^(call_uid|call_id|caller|callee|headers|sdp|worst_calls|src_ip|dst_ip|stream_id)') OR type LIKE '%IPv6%')";
        let personal: u64 = store.reader().query(personal).bind(&table).fetch_one().await.unwrap();
        assert_eq!(personal == 0, matches!(rule, Rule::Stays(_)), "{table}: {personal} columns are of single calls");
        assert!(matches!(rule, Rule::Stays(_)) || Table::from_name(&table).is_some(), "{table} is filled by a view");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_names_every_text_and_address_of_a_person_with_its_period() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    insert(&store, &records(0)).await;
    let found = holdings(&store).await.unwrap();
    // Texts that are of no person: of the operator, of the program, or of groups.
    let others = ["implausible", "lost_by_evidence", "labels", "error", "summary"];
    let texts = "SELECT table, name FROM system.columns WHERE database = 'auscult' AND type NOT LIKE 'LowCardinality%' \
                 AND (type LIKE '%String%' OR type LIKE '%IPv6%')";
    let texts: Vec<(String, String)> = store.reader().query(texts).fetch_all().await.unwrap();
    for (table, column) in texts.iter().filter(|(_, column)| !others.contains(&column.as_str())) {
        let Some(holding) = found.iter().find(|holding| holding.table == *table) else { continue };
        let stays = matches!(rule(table), Some(Rule::Stays(_)));
        let named = holding.columns.iter().any(|(name, _)| name == column);
        assert!(named || stays, "{table}.{column} is personal data, or belongs to the list above");
    }
    let calls = found.iter().find(|holding| holding.table == "calls").unwrap();
    assert_eq!((calls.rows, calls.days, calls.emergency_days), (1, Some(90), Some(90)));
    assert!(calls.oldest.is_some() && calls.oldest == calls.newest && calls.bytes > 0, "{calls:?}");
    let groups = found.iter().find(|holding| holding.table == "call_groups_1h").unwrap();
    assert_eq!((groups.rows, groups.days, groups.emergency_days, groups.oldest), (0, Some(730), None, None));
    assert!(groups.columns.is_empty());
}
