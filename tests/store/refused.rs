//! Batches that the store refuses: for their size, for a value, for the moment. Each row arrives once or is set aside.

use crate::child::Process;
use crate::samples::{call, interval, labels, stream};
use crate::{Dice, counts, embedded, library, now, put, quick};
use auscult_core::units::Timestamp;
use auscult_store::rowbinary::RowBinary;
use auscult_store::rows::{Record, Table};
use auscult_store::spool::{Files, Spool, SpoolLimits, dead_letters, encode};
use auscult_store::writer::{DiskLimits, DiskUse, DropReason, Leftover, Stage};
use auscult_store::{Backend, Store, StoreOptions, StoreWriter, chdb};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A store whose inserts may take so many bytes of memory.
pub async fn narrow(dir: &Path, query_memory: u64) -> Option<Store> {
    let limits = chdb::EngineLimits { query_memory, ..Default::default() };
    let (data_dir, library, database) = (dir.join("data"), Some(library()?), "auscult".to_owned());
    let store = Backend::Embedded { data_dir, library, database, limits }.open().expect("the engine opens");
    store.migrate().await.expect("the schema applies");
    Some(store)
}

/// Short times, but for the store's answer: one that comes late leaves a batch in doubt for two minutes.
fn patient() -> StoreOptions {
    let long = Duration::from_secs(100);
    StoreOptions { send_timeout: long, answer_timeout: long, ..quick() }
}

/// One segment with so many streams, as a program without a bound by table wrote it.
pub fn streams(spool: &mut Spool, from: u64, count: u64) {
    let mut rows = RowBinary::default();
    for n in from..from + count {
        Record::Stream(Box::new(stream(n))).encode(&labels(), now(), &mut rows).unwrap();
    }
    let (number, token) = spool.next_ticket();
    put(spool, &encode(number, Table::Streams, token, &rows).unwrap());
}

fn calls(spool: &mut Spool, from: u64, count: u64) {
    let mut rows = RowBinary::default();
    for n in from..from + count {
        Record::Call(Box::new(call(n))).encode(&labels(), now(), &mut rows).unwrap();
    }
    let (number, token) = spool.next_ticket();
    put(spool, &encode(number, Table::Calls, token, &rows).unwrap());
}

async fn run(store: &Store, sql: &str) {
    store.writer().query_raw(sql).execute().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_streams_that_end_together_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let options = StoreOptions { summary_age: auscult_core::units::Nanos::from_secs(60), ..patient() };
    let (sender, writer) = StoreWriter::start(store.clone(), &dir.path().join("spool"), labels(), options).unwrap();
    for n in 0..20_000 {
        assert!(sender.try_send(Record::Stream(Box::new(stream(n)))));
    }
    let counters = writer.counters();
    assert_eq!(writer.drain(Duration::from_secs(120)).await, Leftover::default());
    assert_eq!(counts(&store, "streams").await, (20_000, 20_000));
    let counted = counters.snapshot();
    assert_eq!((counted.retries, counted.splits, counted.table(Table::Streams).dropped), (0, 0, vec![]));
    assert!(counted.segments_written >= 2, "a batch is bounded by its table: {counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_wedged_by_an_earlier_version_is_freed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = narrow(dir.path(), 300_000_000).await else { return };
    // As the tables were before: wide parts from 10 MiB on, 2 MiB of buffers for each of 139 columns.
    run(&store, "ALTER TABLE streams MODIFY SETTING min_bytes_for_wide_part = 10485760").await;
    let mut spool = Spool::open(&dir.path().join("spool"), SpoolLimits::default()).unwrap();
    streams(&mut spool, 0, 19_502);
    streams(&mut spool, 50_000, 10);
    let (_sender, writer) = StoreWriter::start_on(spool, store.clone(), labels(), patient()).unwrap();
    let counters = writer.counters();
    let left = writer.drain(Duration::from_secs(200)).await;
    let counted = counters.snapshot();
    assert_eq!(left, Leftover::default(), "{counted:?}");
    assert_eq!(counts(&store, "streams").await, (19_512, 19_512));
    assert!(counted.splits > 0 && counted.table(Table::Streams).dropped.is_empty(), "{counted:?}");
    assert_eq!(counted.table(Table::Streams).delivered, 19_512);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_that_is_refused_is_found_set_aside_and_delivered_later() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let at = dir.path().join("spool");
    run(&store, "ALTER TABLE calls ADD CONSTRAINT no_such CHECK call_uid != 777").await;
    let mut spool = Spool::open(&at, SpoolLimits::default()).unwrap();
    calls(&mut spool, 1, 1000);
    streams(&mut spool, 1, 10);
    let (sender, writer) = StoreWriter::start_on(spool, store.clone(), labels(), patient()).unwrap();
    let counters = writer.counters();
    assert_eq!(writer.drain(Duration::from_secs(60)).await, Leftover::default());
    drop(sender);
    let counted = counters.snapshot();
    assert_eq!(counts(&store, "calls").await, (999, 999));
    assert_eq!(counts(&store, "streams").await, (10, 10));
    assert_eq!(counted.table(Table::Calls).dropped, [(DropReason::Refused, 1)]);
    assert!(counted.splits <= 10, "halves of halves: {counted:?}");
    let letters = dead_letters(&Files, &at).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].table, letters[0].rows, letters[0].damage.clone()), ("calls", 1, None));
    assert!(letters[0].reason.contains("no_such"), "{letters:?}");

    run(&store, "ALTER TABLE calls DROP CONSTRAINT no_such").await;
    for round in 0..2 {
        let mut spool = Spool::open(&at, SpoolLimits::default()).unwrap();
        let done = spool.redeliver().unwrap();
        assert_eq!((done.moved.len(), done.kept.len()), (1 - round, 0));
        let (sender, writer) = StoreWriter::start_on(spool, store.clone(), labels(), patient()).unwrap();
        assert_eq!(writer.drain(Duration::from_secs(60)).await, Leftover::default());
        drop(sender);
        assert_eq!(counts(&store, "calls").await, (1000, 1000));
    }
    assert_eq!(std::fs::read_dir(at.join("dead_letter")).unwrap().count(), 0, "the reason goes with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_wrong_altogether_does_not_become_a_file_for_each_row() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let at = dir.path().join("spool");
    run(&store, "ALTER TABLE calls ADD CONSTRAINT none_at_all CHECK call_uid > 1000000").await;
    let mut spool = Spool::open(&at, SpoolLimits::default()).unwrap();
    calls(&mut spool, 1, 1000);
    let (_sender, writer) = StoreWriter::start_on(spool, store.clone(), labels(), patient()).unwrap();
    let counters = writer.counters();
    assert_eq!(writer.drain(Duration::from_secs(120)).await, Leftover::default());
    let counted = counters.snapshot();
    assert_eq!(counted.table(Table::Calls).dropped, [(DropReason::Refused, 1000)]);
    let letters = dead_letters(&Files, &at).unwrap();
    assert!(letters.len() < 40 && counted.retries < 200, "{} files, {} tries", letters.len(), counted.retries);
    assert_eq!(letters.iter().map(|letter| letter.rows).sum::<u32>(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_takes_nothing_holds_no_other_table_up() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let mut spool = Spool::open(&dir.path().join("spool"), SpoolLimits::default()).unwrap();
    run(&store, "SYSTEM STOP MERGES calls").await;
    calls(&mut spool, 1, 10);
    let (sender, writer) = StoreWriter::start_on(spool, store.clone(), labels(), patient()).unwrap();
    let counters = writer.counters();
    while counters.snapshot().segments_delivered < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // One part is one too many: code 252, for every batch of calls.
    run(&store, "ALTER TABLE calls MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1").await;
    for n in 0..200 {
        assert!(sender.try_send(Record::Call(Box::new(call(1000 + n)))));
        assert!(sender.try_send(Record::Interval(Box::new(interval(n, 0)))));
    }
    while counters.snapshot().table(Table::StreamIntervals).delivered < 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while counters.snapshot().backing_off == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let counted = counters.snapshot();
    assert_eq!((counted.table(Table::Calls).delivered, counted.splits), (10, 0), "{counted:?}");
    run(&store, "ALTER TABLE calls RESET SETTING parts_to_throw_insert, parts_to_delay_insert").await;
    assert_eq!(writer.drain(Duration::from_secs(60)).await, Leftover::default());
    assert_eq!(counts(&store, "calls").await, (210, 210));
    assert_eq!(counters.snapshot().table(Table::Calls).dropped, []);
}

/// What a child does whose engine is too small for what is in the spool.
pub async fn divide_until_killed(dir: &Path, query_memory: u64) {
    let Some(store) = narrow(dir, query_memory).await else { return };
    run(&store, "ALTER TABLE streams MODIFY SETTING min_bytes_for_wide_part = 10485760").await;
    let (_sender, writer) = StoreWriter::start(store, &dir.join("spool"), labels(), patient()).unwrap();
    let counters = writer.counters();
    loop {
        let counted = counters.snapshot();
        println!("divided {} {}", counted.splits, counted.waiting_segments);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_killed_while_it_divides_loses_and_doubles_nothing() {
    if library().is_none() {
        return;
    }
    let seed = 0x5eed_0012;
    let mut dice = Dice(seed);
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("spool");
    let mut spool = Spool::open(&at, SpoolLimits::default()).unwrap();
    for segment in 0..3 {
        streams(&mut spool, segment * 100_000, 12_000);
    }
    drop(spool);
    let mut splits = 0;
    for round in 0..8 {
        let mut child = Process::start("divider", dir.path(), "300000000");
        let mut line = child.next("divided ").unwrap_or_else(|| panic!("seed {seed:#x} round {round}: no start"));
        // Until it divides, or has nothing left to divide.
        while line.starts_with("0 ") && !line.ends_with(" 0") {
            line = child.next("divided ").expect("it runs until it is killed");
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(1500))).await;
        let last = child.kill("divided ").unwrap_or(line);
        splits += last.split(' ').next().unwrap().parse::<u64>().unwrap();
    }
    assert!(splits > 0, "seed {seed:#x}: nothing was divided");
    let store = embedded(dir.path()).await.unwrap();
    let (_sender, writer) = StoreWriter::start(store.clone(), &at, labels(), patient()).unwrap();
    assert_eq!(writer.drain(Duration::from_secs(120)).await, Leftover::default());
    assert_eq!(counts(&store, "streams").await, (36_000, 36_000), "seed {seed:#x}");
    assert_eq!(dead_letters(&Files, &at).unwrap(), [], "seed {seed:#x}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_at_its_cap_takes_calls_and_counts_the_details_it_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    const MIB: u64 = 1 << 20;
    let used = Arc::new(AtomicU64::new(0));
    let measured = Arc::clone(&used);
    let mut disk = DiskLimits::new(None, dir.path().into(), Some(100 * MIB), 0);
    disk.measure = Arc::new(move |_| Ok(DiskUse { store: measured.load(Ordering::Relaxed), free: u64::MAX }));
    disk.every = Duration::from_millis(2);
    let options = StoreOptions { disk: Some(disk), ..patient() };
    let (sender, writer) = StoreWriter::start(store.clone(), &dir.path().join("spool"), labels(), options).unwrap();
    let (state, counters) = (writer.disk(), writer.counters());
    let reach = async |mib: u64, stage: Stage| {
        used.store(mib * MIB, Ordering::Relaxed);
        while state.stage() != stage {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let send = |n: u64| {
        let detail = sender.try_send(Record::Interval(Box::new(interval(n, 0))));
        (sender.try_send(Record::Call(Box::new(call(n)))), detail)
    };
    assert_eq!(send(1), (true, true));
    reach(101, Stage::DetailsOverCap).await;
    assert!(state.problem().unwrap().contains("101 MiB, more than store.disk_mib"));
    assert_eq!(send(2), (true, false));
    reach(106, Stage::AllOverCap).await;
    assert_eq!(send(3), (false, false));
    reach(20, Stage::Open).await;
    assert_eq!(state.problem(), None);
    assert_eq!(send(4), (true, true));
    assert_eq!(writer.drain(Duration::from_secs(60)).await, Leftover::default());
    assert_eq!((counts(&store, "calls").await, counts(&store, "stream_intervals").await), ((3, 3), (2, 2)));
    let counted = counters.snapshot();
    assert_eq!(counted.table(Table::Calls).dropped, [(DropReason::StoreCap, 1)]);
    assert_eq!(counted.table(Table::StreamIntervals).dropped, [(DropReason::StoreCap, 2)]);
}

/// Dead letters over their bound go, the oldest first: counted, not silent.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_are_removed_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let at = dir.path().join("spool");
    run(&store, "ALTER TABLE calls ADD CONSTRAINT none_at_all CHECK call_uid > 1000000").await;
    let limits = SpoolLimits { dead_letter_bytes: 10_000, ..SpoolLimits::default() };
    let mut spool = Spool::open(&at, limits).unwrap();
    for n in 0..8 {
        calls(&mut spool, n, 1);
    }
    let (_sender, writer) = StoreWriter::start_on(spool, store.clone(), labels(), patient()).unwrap();
    let counters = writer.counters();
    assert_eq!(writer.drain(Duration::from_secs(60)).await, Leftover::default());
    let counted = counters.snapshot().table(Table::Calls);
    let kept: u64 = dead_letters(&Files, &at).unwrap().iter().map(|letter| u64::from(letter.rows)).sum();
    assert_eq!(counted.dropped, [(DropReason::Refused, 8)]);
    assert!(kept > 0 && kept < 8, "{kept}");
    assert_eq!(counted.dead_letters_removed, 8 - kept);
}

/// The moment a row is stored is a second of its own, so that its rows are found by it.
#[test]
fn all_rows_of_a_batch_are_stored_in_one_second() {
    let mut rows = RowBinary::default();
    let stored_at = Timestamp::from_secs(1_800_000_000);
    for n in 0..50 {
        Record::Stream(Box::new(stream(n))).encode(&labels(), stored_at, &mut rows).unwrap();
    }
    let columns: Vec<String> = rows.columns().iter().map(|c| (*c).to_owned()).collect();
    let spans = auscult_store::rows::row_spans(Table::Streams, &columns, 50, rows.bytes()).unwrap();
    assert!(spans.iter().all(|span| span.key.unwrap().stored_at == 1_800_000_000));
    assert_eq!(spans.first().unwrap().key, rows.first());
}
