//! Nothing lost, nothing doubled: killed writers, broken connections, restarted servers, refused rows.

use crate::child::{Process, server};
use crate::proxy::{PlayoutOutcome, Proxy};
use crate::samples::{call, interval, labels};
use crate::{Dice, counts, embedded, library, now, put, quick};
use auscult_store::rowbinary::RowBinary;
use auscult_store::rows::{Record, Table};
use auscult_store::spool::{Disk, Files, Spool, SpoolLimits, encode};
use auscult_store::writer::{DropReason, Leftover};
use auscult_store::{Backend, Store, StoreOptions, StoreWriter};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn by_url(address: &str) -> Store {
    let backend = Backend::Server {
        url: format!("http://{address}"),
        user: "default".to_owned(),
        password: "secret".to_owned(),
        database: "auscult".to_owned(),
        cluster: None,
        tls: Default::default(),
    };
    backend.open().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let mut rows = RowBinary::default();
    for n in 0..1000 {
        Record::Call(Box::new(call(n))).encode(&labels(), now(), &mut rows).unwrap();
    }
    let sql = format!(
        "INSERT INTO auscult.calls ({}) SETTINGS insert_deduplication_token='a-1', async_insert=0 FORMAT RowBinary",
        rows.columns().join(", ")
    );
    for piece in [rows.bytes().len(), 1000, 77_777] {
        let mut insert = store.writer().insert_formatted_with(&sql);
        for chunk in rows.bytes().chunks(piece) {
            insert.send(axum::body::Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        insert.end().await.unwrap();
        assert_eq!(counts(&store, "calls").await, (1000, 1000), "in pieces of {piece}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_writers_lose_nothing_that_was_synced_and_double_nothing() {
    if library().is_none() {
        return;
    }
    let seed = 0x5eed_0001;
    let mut dice = Dice(seed);
    let dir = tempfile::tempdir().unwrap();
    let (mut first, mut safe) = (1u64, Vec::new());
    for round in 0..6 {
        let mut writer = Process::start("writer", dir.path(), &first.to_string());
        writer.next("safe ").unwrap_or_else(|| panic!("seed {seed:#x} round {round}: the writer did not start"));
        tokio::time::sleep(Duration::from_millis(50 + dice.roll(1200))).await;
        let last = writer.kill("safe ").unwrap_or_else(|| "0 0".to_owned());
        let (spooled, sent) = last.split_once(' ').unwrap();
        safe.push(first..first + spooled.parse::<u64>().unwrap());
        first = first.max(sent.parse::<u64>().unwrap()) + 100_000;
    }
    let store = embedded(dir.path()).await.unwrap();
    let (_, writer) = StoreWriter::start(store.clone(), &dir.path().join("spool"), labels(), quick()).unwrap();
    assert_eq!(writer.drain(Duration::from_secs(120)).await, Leftover::default());
    let (rows, distinct) = counts(&store, "calls").await;
    assert_eq!(rows, distinct, "seed {seed:#x}: calls doubled");
    let (rows, distinct) = counts(&store, "stream_intervals").await;
    assert_eq!(rows, distinct, "seed {seed:#x}: intervals doubled");
    let mut claimed = 0;
    for range in safe {
        let sql = format!("SELECT count() FROM calls WHERE call_uid >= {} AND call_uid < {}", range.start, range.end);
        let found: u64 = store.reader().query(&sql).fetch_one().await.unwrap();
        assert_eq!(found, range.end - range.start, "seed {seed:#x}: calls {range:?}");
        claimed += found;
    }
    assert!(claimed > 100, "the writers hardly wrote: {claimed}");
}

/// Removes the parts that hold calls from a closed store's directory; returns how many they were.
fn remove_parts_with_calls(dir: &Path) -> usize {
    let mut removed = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let holds_calls = std::fs::read_to_string(path.join("columns.txt")).is_ok_and(|c| c.contains("`caller_uri`"));
        if holds_calls {
            std::fs::remove_dir_all(&path).unwrap();
            removed += 1;
        } else if path.is_dir() {
            removed += remove_parts_with_calls(&path);
        }
    }
    removed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_killed_between_a_token_and_its_rows_gets_the_rows_again() {
    if library().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut process, address) = server(&data, "127.0.0.1:0");
    let store = by_url(&address.to_string());
    store.migrate().await.unwrap();
    let spool_dir = dir.path().join("spool");
    let mut spool = Spool::open(&spool_dir, SpoolLimits::default()).unwrap();
    for batch in 0..2 {
        let mut rows = RowBinary::default();
        for n in 0..40 {
            Record::Call(Box::new(call(batch * 100 + n))).encode(&labels(), now(), &mut rows).unwrap();
        }
        let (number, token) = spool.next_ticket();
        let sql = format!(
            "INSERT INTO auscult.calls ({}) SETTINGS insert_deduplication_token='{token}' FORMAT RowBinary",
            rows.columns().join(", ")
        );
        put(&mut spool, &encode(number, Table::Calls, token, &rows).unwrap());
        let mut insert = store.writer().insert_formatted_with(&sql);
        insert.send(axum::body::Bytes::copy_from_slice(rows.bytes())).await.unwrap();
        insert.end().await.unwrap();
        if batch == 0 {
            // The token's line is written before the part gets its name: what a kill between the two leaves.
            process.kill("nothing");
            assert_eq!(remove_parts_with_calls(&data), 1);
            process = server(&data, &address.to_string()).0;
            assert_eq!(counts(&store, "calls").await, (0, 0));
        }
    }
    drop(spool);
    let (_, writer) = StoreWriter::start(store.clone(), &spool_dir, labels(), quick()).unwrap();
    let counters = writer.counters();
    assert_eq!(writer.drain(Duration::from_secs(30)).await, Leftover::default());
    assert_eq!(counts(&store, "calls").await, (80, 80), "one batch sent again, one left alone");
    assert_eq!(counters.snapshot().resent, 1);
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_broken_connections_gets_every_row_once() {
    if library().is_none() {
        return;
    }
    let seed = 0x5eed_0002;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut process, address) = server(&data, "127.0.0.1:0");
    let proxy = Proxy::start(address, seed, Duration::from_millis(900)).await;
    let store = by_url(&proxy.address.to_string());
    let options = StoreOptions { answer_timeout: Duration::from_millis(600), ..quick() };
    let (sender, writer) = StoreWriter::start(store.clone(), &dir.path().join("spool"), labels(), options).unwrap();
    let calls = 1500;
    for n in 1..=calls {
        assert!(sender.try_send(Record::Call(Box::new(call(n)))));
        assert!(sender.try_send(Record::Interval(Box::new(interval(n, 0)))));
        if n % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        if n == 500 || n == 1000 {
            process.kill("nothing");
            let (again, address) = server(&data, "127.0.0.1:0");
            *proxy.upstream.lock().unwrap() = address;
            process = again;
        }
    }
    let counters = writer.counters();
    let left = writer.drain(Duration::from_secs(120)).await;
    let counted = counters.snapshot();
    assert_eq!(left, Leftover::default(), "seed {seed:#x}: {counted:?}");
    let seen = proxy.seen.lock().unwrap().clone();
    assert!(seen.len() == 7 && counted.retries > 10, "seed {seed:#x}: {seen:?}");
    for table in [Table::Calls, Table::StreamIntervals] {
        assert_eq!(counts(&store, table.name()).await, (calls, calls), "seed {seed:#x} {table:?} {seen:?}");
        let of_table = counted.table(table);
        assert_eq!((of_table.received, of_table.delivered, of_table.dropped), (calls, calls, vec![]));
    }
    assert!(seen[&PlayoutOutcome::CommitThenCut] > 0);
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_drops_intervals_before_calls_and_counts_exactly() {
    let Some(_) = library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    // Nobody listens there.
    let away = by_url("127.0.0.1:9");
    let options =
        StoreOptions { batch_rows: 20, spool: SpoolLimits { bytes: 60_000, ..SpoolLimits::default() }, ..quick() };
    let (sender, writer) = StoreWriter::start(away, &spool, labels(), options).unwrap();
    for n in 0..1200 {
        assert!(sender.try_send(Record::Interval(Box::new(interval(n, 0)))));
        if n % 6 == 0 {
            assert!(sender.try_send(Record::Call(Box::new(call(n)))));
        }
    }
    let counters = writer.counters();
    let left = writer.drain(Duration::from_millis(100)).await;
    let counted = counters.snapshot();
    let (calls, intervals) = (counted.table(Table::Calls), counted.table(Table::StreamIntervals));
    assert_eq!((calls.received, calls.dropped.clone()), (200, vec![]));
    assert!(intervals.dropped_for(DropReason::SpoolFull) > 0);
    let kept_intervals = intervals.received - intervals.dropped_for(DropReason::SpoolFull);
    assert_eq!(left.spooled_rows, 200 + kept_intervals);
    assert!(counted.waiting_bytes <= 60_000);
    // The sender holds the lock of the spool.
    drop(sender);

    let store = embedded(dir.path()).await.unwrap();
    let (_, writer) = StoreWriter::start(store.clone(), &spool, labels(), quick()).unwrap();
    assert_eq!(writer.drain(Duration::from_secs(30)).await, Leftover::default());
    assert_eq!(counts(&store, "calls").await, (200, 200));
    assert_eq!(counts(&store, "stream_intervals").await, (kept_intervals, kept_intervals));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_the_store_refuses_are_set_aside_and_the_queue_moves_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    #[derive(serde::Serialize)]
    struct Poison {
        no_such_column: u64,
    }
    let mut spool = Spool::open(&dir.path().join("spool"), SpoolLimits::default()).unwrap();
    let mut poison = RowBinary::default();
    poison.push(&Poison { no_such_column: 1 }).unwrap();
    let mut torn = RowBinary::default();
    torn.push(&(7u32,)).unwrap();
    let mut good = RowBinary::default();
    Record::Call(Box::new(call(5))).encode(&labels(), now(), &mut good).unwrap();
    for rows in [&poison, &torn, &good] {
        let (number, token) = spool.next_ticket();
        put(&mut spool, &encode(number, Table::Calls, token, rows).unwrap());
    }
    let (_, writer) = StoreWriter::start_on(spool, store.clone(), labels(), quick()).unwrap();
    let counters = writer.counters();
    assert_eq!(writer.drain(Duration::from_secs(30)).await, Leftover::default());
    assert_eq!(counts(&store, "calls").await, (1, 1));
    let counted = counters.snapshot();
    assert_eq!(counted.table(Table::Calls).dropped_for(DropReason::Refused), 2);
    assert_eq!((counted.retries, counted.table(Table::Calls).delivered), (6, 1));
    let buried = std::fs::read_dir(dir.path().join("spool/dead_letter")).unwrap().count();
    assert_eq!(buried, 4, "two segments and two reasons");
}

/// A disk that is in trouble until it is not.
struct Troubled {
    full: AtomicBool,
    hangs: AtomicBool,
}

impl Troubled {
    fn new(full: bool, hangs: bool) -> Arc<Troubled> {
        Arc::new(Troubled { full: full.into(), hangs: hangs.into() })
    }
}

impl Disk for Troubled {
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        while self.hangs.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.full.load(Ordering::Acquire) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Files.write_synced(path, bytes)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Files.sync_dir(dir)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Files.read(path)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        Files.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        Files.create_dir(dir)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out_in_memory_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = embedded(dir.path()).await else { return };
    let disk = Troubled::new(true, false);
    let spool = Spool::open_on(disk.clone(), &dir.path().join("spool"), SpoolLimits::default()).unwrap();
    let options = StoreOptions { batch_rows: 20, memory_bytes: 60_000, ..quick() };
    let (sender, writer) = StoreWriter::start_on(spool, store.clone(), labels(), options).unwrap();
    for n in 0..600 {
        assert!(sender.try_send(Record::Interval(Box::new(interval(n, 0)))));
        if n % 6 == 0 {
            assert!(sender.try_send(Record::Call(Box::new(call(n)))));
        }
    }
    let counters = writer.counters();
    while sender.depth() > 0 || counters.snapshot().spool_errors < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let counted = counters.snapshot();
    assert_eq!((counted.table(Table::Calls).spooled, counted.table(Table::Calls).dropped), (0, vec![]));
    assert!(counted.last_error.as_ref().unwrap().contains("cannot write the spool"));
    let lost = counted.table(Table::StreamIntervals).dropped_for(DropReason::SpoolUnwritable);
    assert!(lost > 0 && lost < 600, "{lost}");

    disk.full.store(false, Ordering::Release);
    let healing = async {
        while counts(&store, "calls").await.0 < 100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), healing).await.expect("healed within ten seconds");
    assert_eq!(writer.drain(Duration::from_secs(20)).await, Leftover::default());
    assert_eq!(counts(&store, "calls").await, (100, 100));
    assert_eq!(counts(&store, "stream_intervals").await, (600 - lost, 600 - lost));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_never_blocks_and_keeps_room_for_calls() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Troubled::new(false, true);
    let spool = dir.path().join("spool");
    // Says that there are no segments of an earlier format: otherwise the first file written is this one.
    std::fs::create_dir_all(&spool).unwrap();
    std::fs::write(spool.join("format-2"), b"").unwrap();
    let spool = Spool::open_on(disk.clone(), &spool, SpoolLimits::default()).unwrap();
    let options = StoreOptions { queue: 8, batch_rows: 1, ..quick() };
    let (sender, writer) = StoreWriter::start_on(spool, by_url("127.0.0.1:9"), labels(), options).unwrap();
    let send_interval = || sender.try_send(Record::Interval(Box::new(interval(1, 0))));
    let send_call = || sender.try_send(Record::Call(Box::new(call(1))));
    // The first one hangs on the disk; the queue behind it is empty.
    assert!(send_interval());
    while sender.depth() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((0..20).filter(|_| send_interval()).count(), 6);
    assert_eq!((0..20).filter(|_| send_call()).count(), 2);
    disk.hangs.store(false, Ordering::Release);
    let counters = writer.counters();
    let left = writer.drain(Duration::ZERO).await;
    assert_eq!((left.spooled_rows, left.lost_rows), (9, 0));
    let counted = counters.snapshot();
    for (table, received, spooled) in [(Table::StreamIntervals, 21, 7), (Table::Calls, 20, 2)] {
        let counts = counted.table(table);
        assert_eq!((counts.received, counts.spooled), (received, spooled));
        assert_eq!(counts.dropped, [(DropReason::QueueFull, received - spooled)]);
    }
    assert!(!send_call(), "closed");
}
