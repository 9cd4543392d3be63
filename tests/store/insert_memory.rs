//! What one insert takes of the engine's memory, by table: the bound of a batch is held here, and the table of
//! docs/performance.md is printed by `cargo nextest run --test store --run-ignored only --no-capture insert_memory`.

use crate::refused::narrow;
use crate::samples::{alert, call, call_group, capture, interval, labels, media_group, rtcp, sip, stream};
use crate::{counts, embedded, now, quick};
use auscult_core::units::Nanos;
use auscult_store::rowbinary::RowBinary;
use auscult_store::rows::{INSERT_MEMORY, Record, Table};
use auscult_store::writer::Leftover;
use auscult_store::{StoreOptions, StoreWriter, chdb};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(100);

fn record(table: Table, n: u64) -> Record {
    match table {
        Table::Calls => Record::Call(Box::new(call(n))),
        Table::Streams => Record::Stream(Box::new(stream(n))),
        Table::CaptureIntervals => Record::Capture(Box::new(capture(n as i64 * 10))),
        Table::SipMessages => Record::SipMessage(Box::new(sip(n as u32))),
        Table::RtcpReports => Record::Rtcp(Box::new(rtcp(n as u32))),
        Table::CallGroups => Record::CallGroup(Box::new(call_group(n))),
        Table::MediaGroups => Record::MediaGroup(Box::new(media_group(n))),
        Table::Alerts => Record::Alert(Box::new(alert(n))),
        Table::StreamIntervals => Record::Interval(Box::new(interval(n, 0))),
    }
}

/// Messages as large as a call's first INVITE, so that bytes close the batch and not rows.
fn large(n: u64) -> Record {
    let mut message = sip(n as u32);
    message.headers = format!("{}\r\nX-Filler: {n:06}{}", message.headers, "x7Qp".repeat(500));
    Record::SipMessage(Box::new(message))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_batch_of_every_table_is_within_the_memory_of_one_insert() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = narrow(dir.path(), INSERT_MEMORY).await else { return };
    let minute = Nanos::from_secs(60);
    let options =
        StoreOptions { batch_age: minute, summary_age: minute, send_timeout: LONG, answer_timeout: LONG, ..quick() };
    let (sender, writer) = StoreWriter::start(store.clone(), &dir.path().join("spool"), labels(), options).unwrap();
    let counters = writer.counters();
    for table in Table::ALL {
        for n in 0..u64::from(table.insert_limit().rows) {
            assert!(sender.try_send(record(table, n)), "{table:?}");
        }
    }
    for n in 0..u64::from(Table::SipMessages.insert_limit().rows) {
        assert!(sender.try_send(large(100_000 + n)));
    }
    assert_eq!(writer.drain(Duration::from_secs(200)).await, Leftover::default());
    let counted = counters.snapshot();
    assert_eq!((counted.retries, counted.splits), (0, 0), "{:?}", counted.last_error);
    for (table, counts) in counted.tables {
        assert_eq!((counts.delivered, counts.dropped), (counts.received, vec![]), "{table:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_batches_of_streams_are_merged_within_the_engines_memory() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let minute = Nanos::from_secs(60);
    let options =
        StoreOptions { batch_age: minute, summary_age: minute, send_timeout: LONG, answer_timeout: LONG, ..quick() };
    let (sender, writer) = StoreWriter::start(store.clone(), &dir.path().join("spool"), labels(), options).unwrap();
    store.writer().query_raw("SYSTEM STOP MERGES streams").execute().await.unwrap();
    for n in 0..100_000 {
        assert!(sender.try_send(record(Table::Streams, n)));
    }
    assert_eq!(writer.drain(Duration::from_secs(200)).await, Leftover::default());
    store.writer().query_raw("SYSTEM START MERGES streams").execute().await.unwrap();
    // Fails with code 241 where the result is a wide part written all columns at once: 700 MiB.
    store.writer().query_raw("OPTIMIZE TABLE streams FINAL").execute().await.unwrap();
    let parts = "SELECT count(), any(part_type) FROM system.parts WHERE table = 'streams' AND active";
    let parts: (u64, String) = store.reader().query(parts).fetch_one().await.unwrap();
    assert_eq!(parts, (1, "Wide".to_owned()));
    assert_eq!(counts(&store, "streams").await, (100_000, 100_000));
}

/// Prints the least memory, by steps of 1 MiB, with which an insert works.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints a table, and takes minutes"]
async fn insert_memory_by_table() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let engine = store.engine().unwrap().clone();
    println!("| table | columns | rows | MiB of RowBinary | MiB of memory before | and now |");
    println!("|---|---|---|---|---|---|");
    let mut token = 0;
    for table in Table::ALL {
        let name = table.name();
        for rows in [1_000u64, 5_000, 10_000, 20_000] {
            let mut encoded = RowBinary::default();
            for n in 0..rows {
                record(table, n).encode(&labels(), now(), &mut encoded).unwrap();
            }
            let mut least = Vec::new();
            for setting in [10_485_760u64, 67_108_864] {
                let sql = format!("ALTER TABLE {name} MODIFY SETTING min_bytes_for_wide_part = {setting}");
                store.writer().query_raw(&sql).execute().await.unwrap();
                let (mut low, mut high) = (0u64, 1_024u64);
                while high - low > 1 {
                    let middle = (low + high) / 2;
                    token += 1;
                    let settings = [
                        ("max_memory_usage".to_owned(), (middle << 20).to_string()),
                        ("max_untracked_memory".to_owned(), "65536".to_owned()),
                    ];
                    let connection = engine.connect(&settings).unwrap();
                    let sql = format!(
                        "INSERT INTO auscult.{name} ({}) SETTINGS insert_deduplication_token='m{token}', async_insert=0",
                        encoded.columns().join(", ")
                    );
                    let works = || -> Result<u64, chdb::EngineError> {
                        let mut insert = connection.insert(&sql, "RowBinary")?;
                        for piece in encoded.bytes().chunks(1 << 20) {
                            insert.append(piece)?;
                        }
                        insert.finish()
                    };
                    if works().is_ok() { high = middle } else { low = middle }
                }
                least.push(high);
            }
            println!(
                "| `{name}` | {} | {rows} | {:.1} | {} | {} |",
                encoded.columns().len(),
                encoded.bytes().len() as f64 / f64::from(1 << 20),
                least[0],
                least[1]
            );
            store.writer().query_raw(&format!("TRUNCATE TABLE {name}")).execute().await.unwrap();
        }
    }
}
