//! A store, a spool and dead letters of an earlier version, with secrets: nothing of them is left after the start.

use crate::samples::{call, labels, sip};
use crate::schema::{at_version, insert_known, json};
use crate::{library, now, quick};
use auscult::app::resanitise::cleaner;
use auscult_store::rowbinary::RowBinary;
use auscult_store::rows::{CallRow, Record, SipMessageRow, Table};
use auscult_store::spool::{Resanitised, decode, encode};
use auscult_store::writer::{DropReason, Leftover};
use auscult_store::{Backend, Store, StoreOptions, StoreWriter};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SECRET: &str = "Zq7xK0vN3mW9bT5sLd2Rf8";

fn old_call(uid: u64) -> Record {
    let mut call = call(uid);
    call.caller.uri = format!("alice;password={SECRET}@example.org");
    call.callee.uri = format!("bob@{SECRET}@example.org");
    call.callee.user = format!("bob%3A{SECRET}");
    call.caller.display_name = format!("Alice key={SECRET}");
    call.caller.user_agent = format!("Phone token: {SECRET}");
    call.release_reason = format!("Q.850;cause=16;text=\"key={SECRET}\"");
    call.final_reason = format!("Forbidden: {SECRET}");
    call.call_id = format!("call-{uid} Authorization: {SECRET}").into();
    Record::Call(Box::new(call))
}

fn old_message(cseq: u32) -> Record {
    let mut message = sip(cseq);
    message.headers = format!("INVITE sip:b:{SECRET}@h SIP/2.0\nX-Key: {SECRET}\nMax-Forwards: 70\n");
    message.sdp = format!("v=0\na=cryptoscale:1 client A_B inline:{SECRET}\na=ptime:20\n");
    message.reason = format!("token={SECRET}");
    Record::SipMessage(Box::new(message))
}

/// A segment as the version before wrote it.
fn old_segment(number: u64, records: &[Record]) -> Vec<u8> {
    let table = records[0].table();
    let mut rows = RowBinary::default();
    for record in records {
        record.encode(&labels(), now(), &mut rows).unwrap();
    }
    let new = encode(number, table, format!("old-{number}"), &rows).unwrap().bytes;
    let length = u32::from_le_bytes(new[8..12].try_into().unwrap()) as usize;
    let header = String::from_utf8(new[12..12 + length].to_vec()).unwrap();
    let header = header.replacen("\"version\":2", "\"version\":1", 1);
    assert!(header.contains("\"version\":1"));
    let mut old = new[..12].to_vec();
    old.extend_from_slice(header.as_bytes());
    old.extend_from_slice(&crc32fast::hash(header.as_bytes()).to_le_bytes());
    old.extend_from_slice(&new[12 + length + 4..]);
    assert_eq!(decode(&old).unwrap().format, 1);
    old
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Files below a directory that hold the secret, segments read.
fn holding(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path));
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap_or_default();
        if let Ok(batch) = decode(&bytes) {
            bytes.extend(batch.payload);
        }
        if bytes.windows(8).any(|w| w == &SECRET.as_bytes()[..8]) {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn with_secret(store: &Store) -> u64 {
    let mut all = 0;
    for table in ["calls", "sip_messages"] {
        let columns = format!(
            "SELECT name FROM system.columns WHERE database = 'auscult' AND table = '{table}' \
             AND (type LIKE '%String%')"
        );
        let columns: Vec<String> = store.reader().query(&columns).fetch_all().await.unwrap();
        let any: Vec<String> = columns.iter().map(|c| format!("position(toString({c}), '{SECRET}') > 0")).collect();
        let sql = format!("SELECT count() FROM {table} WHERE {}", any.join(" OR "));
        all += store.reader().query(&sql).fetch_one::<u64>().await.unwrap();
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_an_earlier_version_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = library() else { return };
    let store = Backend::embedded(dir.path().join("clickhouse"), Some(library)).open().unwrap();
    at_version(&store, 8).await;
    for n in 0..3 {
        let (Record::Call(old), Record::SipMessage(message)) = (old_call(n), old_message(n as u32)) else { panic!() };
        insert_known(&store, "calls", json(&CallRow::new(&old, &labels(), now()))).await;
        insert_known(&store, "sip_messages", json(&SipMessageRow::new(&message, &labels(), now()))).await;
    }
    // One that has nothing to hide.
    insert_known(&store, "calls", json(&CallRow::new(&call(9), &labels(), now()))).await;
    let spool = dir.path().join("spool");
    write(&spool.join("0000000000000001-calls-1.seg"), &old_segment(1, &[old_call(101)]));
    write(&spool.join("0000000000000002-sip_messages-2.seg"), &old_segment(2, &[old_message(7), old_message(8)]));
    let mut damaged = old_segment(3, &[old_message(9)]);
    *damaged.last_mut().unwrap() ^= 1;
    write(&spool.join("0000000000000003-sip_messages-1.seg"), &damaged);
    let dead = spool.join("dead_letter");
    write(&dead.join("0000000000000004-calls-1.seg"), &old_segment(4, &[old_call(102)]));
    write(&dead.join("0000000000000004-calls-1.why"), format!("bad: Code: 27. at {SECRET}\n").as_bytes());
    write(&dead.join("0000000000000005-calls-1.seg"), format!("torn {SECRET}").as_bytes());
    assert_eq!(with_secret(&store).await, 6);
    let before = holding(dir.path());
    assert!(before.iter().any(|f| f.contains("clickhouse")) && before.len() >= 6, "{before:?}");

    assert_eq!(store.migrate().await.unwrap(), [9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
    assert_eq!(store.cleared_rows(), 6);
    let options = StoreOptions { clean: cleaner(Vec::new()), ..quick() };
    let (_, writer) = StoreWriter::start(store.clone(), &spool, labels(), options).unwrap();
    let counters = writer.counters();
    assert_eq!(writer.drain(Duration::from_secs(30)).await, Leftover::default());

    let expected = Resanitised { segments: 3, rows: 4, dropped_segments: 2, dropped_rows: 2, failed_segments: 0 };
    let counted = counters.snapshot();
    assert_eq!((counted.resanitised, counted.cleared_rows), (expected, 6));
    assert_eq!(counted.table(Table::Calls).dropped_for(DropReason::Refused), 0);
    assert_eq!(with_secret(&store).await, 0);
    assert_eq!(holding(dir.path()), [] as [String; 0]);
    // What is no secret is still there.
    let uris: Vec<(u64, String, String)> = store
        .reader()
        .query("SELECT call_uid, caller_uri, callee_uri FROM calls ORDER BY call_uid")
        .fetch_all()
        .await
        .unwrap();
    let of = |uid| uris.iter().find(|u| u.0 == uid).map(|(_, a, b)| (a.as_str(), b.as_str()));
    assert_eq!(uris.len(), 5);
    assert_eq!(of(0), Some(("alice@example.org", "bob@example.org")));
    assert_eq!(of(9), Some(("+4930123@example.org", "alice@example.org")));
    assert_eq!(of(101), Some(("alice;password=***@example.org", "bob@example.org")));
    let texts: Vec<(u32, String, String)> =
        store.reader().query("SELECT cseq, headers, sdp FROM sip_messages ORDER BY cseq").fetch_all().await.unwrap();
    assert_eq!(texts.iter().map(|t| t.0).collect::<Vec<_>>(), [0, 1, 2, 7, 8]);
    assert!(texts[..3].iter().all(|t| t.1.is_empty() && t.2.is_empty()));
    assert_eq!(texts[3].1, "INVITE sip:b:***@h SIP/2.0\nX-Key: ***\nMax-Forwards: 70\n");
    assert_eq!(texts[3].2, "v=0\na=cryptoscale:***\na=ptime:20\n");
    let why = std::fs::read_to_string(dead.join("0000000000000004-calls-1.why")).unwrap();
    assert_eq!(why, "bad: Code: 27\n");

    // The next start finds nothing to do.
    let (_, writer) = StoreWriter::start(store.clone(), &spool, labels(), quick()).unwrap();
    assert_eq!(writer.counters().snapshot().resanitised, Resanitised::default());
    assert_eq!(writer.drain(Duration::from_secs(30)).await, Leftover::default());
}

/// Without a function of the program, texts of messages go.
#[test]
fn texts_are_emptied_unless_told_otherwise() {
    let clean = Arc::clone(&StoreOptions::new(now).clean);
    assert_eq!(clean(Table::SipMessages, "sdp", SECRET).as_deref(), Some(""));
    assert_eq!(clean(Table::SipMessages, "method", "INVITE"), None);
}
