//! The way of a record into the store: queue, batch, spool, delivery.
//!
//! [`StoreSender::try_send`] never blocks. A thread turns records into rows and rows into synced segments; a task
//! delivers segments with a deduplication token until the store acknowledges them. A crash between the two loses
//! nothing that was synced and doubles nothing.

mod batcher;
mod counters;
mod deliver;
mod disk;
mod split;
mod verdict;

pub use counters::{Counters, CountersSnapshot, DropReason, TableCounts};
pub use disk::{DiskLimits, DiskState, DiskUse, Stage, measure_disk};

use super::rows::{CallKind, Record};
use super::spool::{Clean, Spool, SpoolLimits, SpoolSize};
use super::{Store, StoreError};
use auscult_core::model::{Event, Labels, Limits};
use auscult_core::units::{Nanos, Timestamp};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Records that wait for the writer at most, of usual size.
const QUEUE_RECORDS: usize = 262_144;

/// How the writer works; the defaults suit one probe.
#[derive(Clone)]
pub struct StoreOptions {
    /// Records that may wait for the writer; detail rows (intervals, messages, reports) get three quarters of it. The rows
    /// of an interval come all at once, of a full 10-gigabit link 105,000, each of about a kilobyte.
    pub queue: usize,
    /// Bytes these records may take; detail rows get three quarters of it.
    pub queue_bytes: usize,
    /// Calls and streams are synced to disk at most this long after they came (and a sync).
    pub summary_age: Nanos,
    /// The same for all other rows.
    pub batch_age: Nanos,
    /// Rows that close a batch before its time; each table has its own bound besides ([`Table::insert_limit`]).
    ///
    /// [`Table::insert_limit`]: super::Table::insert_limit
    pub batch_rows: u32,
    /// Encoded bytes that close a batch before its time; each table has its own bound besides.
    pub batch_bytes: usize,
    /// EncodedBatch bytes held in memory while the spool cannot be written.
    pub memory_bytes: usize,
    pub spool: SpoolLimits,
    /// Longest wait for the connection to take a piece of rows.
    pub send_timeout: Duration,
    /// Longest wait for the store's answer; what comes later counts as unknown and is sent again.
    pub answer_timeout: Duration,
    /// How long a batch whose last try may have been stored is left whole: time for a server to end what it was sent.
    pub unknown_outcome_wait: Duration,
    /// The replay the rows come from, as the ledger names it; set before the first row, or never.
    pub origin: Arc<OnceLock<String>>,
    /// When rows are refused for want of disk space. Unset, it is not looked at.
    pub disk: Option<DiskLimits>,
    /// Bring the schema up to date before the first delivery. Off for users that may only insert.
    pub migrate: bool,
    /// What texts in segments of earlier versions are replaced by; texts of SIP messages are emptied unless this says otherwise.
    pub clean: Arc<Clean>,
    /// The wall clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl StoreOptions {
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> StoreOptions {
        StoreOptions {
            queue: QUEUE_RECORDS,
            queue_bytes: Limits::default().queue_bytes,
            summary_age: Nanos::from_millis(500),
            batch_age: Nanos::from_secs(2),
            batch_rows: 20_000,
            batch_bytes: 32 << 20,
            memory_bytes: 64 << 20,
            spool: SpoolLimits::default(),
            send_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            unknown_outcome_wait: Duration::from_secs(120),
            origin: Arc::default(),
            disk: None,
            migrate: true,
            clean: Arc::new(|_, column, _| matches!(column, "headers" | "sdp").then(String::new)),
            now: Arc::new(now),
        }
    }
}

/// What the sender, the batching thread and the delivery share.
struct Shared {
    spool: Mutex<Spool>,
    counters: Arc<Counters>,
    /// Records in the queue, and the bytes they take.
    depth: AtomicUsize,
    queued_bytes: AtomicUsize,
    closing: AtomicBool,
    /// The batching thread has put everything where it belongs and ended.
    spooled_all: AtomicBool,
    /// Rows that could not be made safe before the end.
    unsafe_rows: AtomicU64,
    work: Notify,
    /// A part of the writer that panicked.
    failed: watch::Sender<Option<Failed>>,
    disk: Arc<DiskState>,
}

/// A part of the writer that panicked, and the name of its thread where that is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    pub what: &'static str,
    pub thread: Option<&'static str>,
}

/// Name of the thread that makes batches.
const BATCH_THREAD: &str = "store-batch";

/// Says so when the delivery is dropped by a panic.
struct DeliveryGuard(Arc<Shared>);

impl Drop for DeliveryGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed.send_replace(Some(Failed { what: "the delivery to the store", thread: None }));
        }
    }
}

impl Shared {
    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts dead letters that were removed to keep their bound.
    fn count_removed(&self) {
        let removed = self.spool().take_removed();
        for gone in &removed {
            self.counters.dead_letter_removed(gone.table, gone.rows);
        }
        let rows: u64 = removed.iter().map(|gone| u64::from(gone.rows)).sum();
        if rows > 0 {
            tracing::error!(rows, "dead letters are over their bound, the oldest were removed");
            self.counters.error(format!("{rows} rows in dead_letter were removed: dead letters are over their bound"));
        }
    }
}

/// What goes through the queue, in order.
enum Item {
    Record(Record, CallKind),
    /// Records from here on get these labels.
    Labels(Box<Labels>),
    /// Batches that are open are to be closed now. The answer is how many rows the spool could not take.
    Flush(SyncSender<u64>),
}

/// Hands records to the writer. Cheap to clone.
#[derive(Clone)]
pub struct StoreSender {
    queue: SyncSender<Item>,
    shared: Arc<Shared>,
    detail_depth: usize,
    queue_bytes: usize,
}

impl StoreSender {
    /// Queues a record, or counts it as dropped. Never blocks. Says whether it was taken.
    pub fn try_send(&self, record: Record) -> bool {
        self.try_send_of(CallKind::Ordinary, record)
    }

    /// As [`StoreSender::try_send`], of a kind of call.
    pub fn try_send_of(&self, kind: CallKind, record: Record) -> bool {
        let table = record.table();
        let counters = &self.shared.counters;
        counters.received(table);
        if let Some(reason) = self.shared.disk.stage().reason(table) {
            counters.dropped(table, reason, 1);
            return false;
        }
        let bytes = record.held_bytes();
        let depth = self.shared.depth.fetch_add(1, Ordering::AcqRel);
        let queued = self.shared.queued_bytes.fetch_add(bytes, Ordering::AcqRel) + bytes;
        let fits = match table.is_summary() {
            true => queued <= self.queue_bytes,
            false => depth < self.detail_depth && queued <= self.queue_bytes / 4 * 3,
        };
        let taken = fits
            && !self.shared.closing.load(Ordering::Acquire)
            && match self.queue.try_send(Item::Record(record, kind)) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            };
        if !taken {
            self.shared.depth.fetch_sub(1, Ordering::AcqRel);
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            counters.dropped(table, DropReason::QueueFull, 1);
        }
        taken
    }

    /// Queues what an event has for the store; events for the live view alone are passed over.
    pub fn event(&self, event: Event) {
        if let Some(record) = Record::from_event(event) {
            self.try_send(record);
        }
    }

    /// Whether the writer is so far behind that a caller that can wait should: by this many records, or by half of the bytes that
    /// may wait.
    pub fn is_behind(&self, records: usize) -> bool {
        self.depth() > records || self.shared.queued_bytes.load(Ordering::Acquire) > self.queue_bytes / 2
    }

    /// Records that are queued from now on get these labels. False when the queue is full: then it is to be tried again,
    /// and nothing has changed.
    pub fn relabel(&self, labels: &Labels) -> bool {
        self.queue.try_send(Item::Labels(Box::new(labels.clone()))).is_ok()
    }

    /// Puts what was queued before into the spool, and waits until it is there. Blocks.
    ///
    /// # Errors
    /// Rows that the spool does not take, or a writer that has ended.
    pub fn flush(&self) -> Result<(), String> {
        let (done, answer) = sync_channel(1);
        let ended = |_| "the writer of the store has ended".to_owned();
        self.queue.send(Item::Flush(done)).map_err(|_| ended(()))?;
        match answer.recv().map_err(|_| ended(()))? {
            0 => Ok(()),
            rows => Err(format!("{rows} rows wait in memory, because the spool cannot be written")),
        }
    }

    /// The spool, for erasing rows from it.
    pub fn spool(&self) -> &Mutex<Spool> {
        &self.shared.spool
    }

    /// Counts a record as dropped by a full queue without trying to queue it.
    pub fn refuse(&self, record: &Record) {
        let counters = &self.shared.counters;
        counters.received(record.table());
        counters.dropped(record.table(), DropReason::QueueFull, 1);
    }

    /// Records waiting in the queue.
    pub fn depth(&self) -> usize {
        self.shared.depth.load(Ordering::Acquire)
    }
}

/// The running writer.
pub struct StoreWriter {
    shared: Arc<Shared>,
    batcher: Option<std::thread::JoinHandle<()>>,
    delivery: tokio::task::JoinHandle<()>,
}

/// What was left when the writer stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leftover {
    /// Rows safe in the spool, delivered by the next run.
    pub spooled_rows: u64,
    pub spooled_segments: u64,
    /// Rows that could not be written anywhere: lost, and counted as dropped.
    pub lost_rows: u64,
}

impl StoreWriter {
    /// Starts writing to `store` through the spool in `spool_dir`. Segments of earlier runs go first.
    /// Must be called inside a tokio runtime, which runs the delivery.
    pub fn start(
        store: Store,
        spool_dir: &Path,
        labels: Labels,
        options: StoreOptions,
    ) -> Result<(StoreSender, StoreWriter), StoreError> {
        let spool = Spool::open(spool_dir, options.spool)?;
        StoreWriter::start_on(spool, store, labels, options)
    }

    /// As [`StoreWriter::start`], on a spool that is open already.
    pub fn start_on(
        mut spool: Spool,
        store: Store,
        labels: Labels,
        options: StoreOptions,
    ) -> Result<(StoreSender, StoreWriter), StoreError> {
        let counters = Arc::new(Counters::with_cleared(store.cleared()));
        // Before the first delivery, so that no text of an earlier version reaches the store.
        counters.resanitised(spool.resanitise(options.clean.as_ref()));
        counters.waiting(spool.size());
        let shared = Arc::new(Shared {
            spool: Mutex::new(spool),
            counters,
            depth: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            spooled_all: AtomicBool::new(false),
            unsafe_rows: AtomicU64::new(0),
            work: Notify::new(),
            failed: watch::channel(None).0,
            disk: Arc::default(),
        });
        if let Some(limits) = options.disk.clone() {
            disk::watch(Arc::downgrade(&shared.disk), limits);
        }
        let (queue, records) = sync_channel(options.queue.max(1));
        let sender = StoreSender {
            queue,
            shared: Arc::clone(&shared),
            detail_depth: options.queue.max(1).div_ceil(4) * 3,
            queue_bytes: options.queue_bytes,
        };
        let batcher = {
            let (shared, options) = (Arc::clone(&shared), options.clone());
            std::thread::Builder::new().name(BATCH_THREAD.to_owned()).spawn(move || {
                let mut batcher = batcher::Batcher::new(Arc::clone(&shared), labels, options);
                let mut run = || catch_unwind(AssertUnwindSafe(|| batcher.run(&records))).is_err();
                // The program ends after a panic. Until it has, what the queue holds is made safe all the same.
                if run() {
                    let failed = Failed { what: "the thread that writes the spool", thread: Some(BATCH_THREAD) };
                    shared.failed.send_replace(Some(failed));
                    if run() {
                        batcher.give_up(&records);
                    }
                }
                shared.spooled_all.store(true, Ordering::Release);
                shared.work.notify_one();
            })
        };
        let batcher = batcher.map_err(|source| StoreError::Io {
            what: "start the thread for the spool in",
            path: std::path::PathBuf::new(),
            source,
        })?;
        let (guard, run) = (DeliveryGuard(Arc::clone(&shared)), deliver::run(Arc::clone(&shared), store, options));
        let delivery = tokio::spawn(async move {
            let _guard = guard;
            run.await;
        });
        Ok((sender, StoreWriter { shared, batcher: Some(batcher), delivery }))
    }

    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Becomes a part of the writer that panicked. Rows then get no further than the spool, and the program should end.
    pub fn failed(&self) -> watch::Receiver<Option<Failed>> {
        self.shared.failed.subscribe()
    }

    /// See [`Spool::forget_removed`].
    pub fn forget_removed(&self, replay: &str) {
        self.shared.spool().forget_removed(replay);
    }

    /// What is refused now for want of disk space.
    pub fn disk(&self) -> Arc<DiskState> {
        Arc::clone(&self.shared.disk)
    }

    /// What waits in the spool now.
    pub fn waiting(&self) -> SpoolSize {
        self.shared.spool().size()
    }

    /// Says at any time which segments wait: numbers of the oldest and the newest.
    pub fn waiting_numbers(&self) -> impl Fn() -> Option<(u64, u64)> + Send + 'static {
        let shared = self.shared.clone();
        move || shared.spool().waiting_numbers()
    }

    /// Takes no more records, makes all of them safe, and delivers for at most `timeout`.
    /// Afterwards end the process with `_exit`: exit handlers of the embedded engine crash on work in flight.
    pub async fn drain(mut self, timeout: Duration) -> Leftover {
        self.shared.closing.store(true, Ordering::Release);
        if let Some(batcher) = self.batcher.take() {
            // Bounded by what the queue holds; syncing it is worth more than leaving in time.
            let _ = tokio::task::spawn_blocking(move || batcher.join()).await;
        }
        if tokio::time::timeout(timeout, &mut self.delivery).await.is_err() {
            self.delivery.abort();
            let _ = (&mut self.delivery).await;
        }
        let size = self.shared.spool().size();
        Leftover {
            spooled_rows: size.rows,
            spooled_segments: size.segments,
            lost_rows: self.shared.unsafe_rows.load(Ordering::Acquire),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;
    use auscult_core::model::{CallRecord, CallUid};

    /// A writer whose clock panics at some looks, given a hundred rows; what it counted of them, and what it left.
    async fn with_a_broken_clock(breaks: fn(u64) -> bool) -> (TableCounts, Leftover) {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = Backend::Server {
            url: "http://127.0.0.1:1".to_owned(),
            user: String::new(),
            password: String::new(),
            database: "auscult".to_owned(),
            cluster: None,
            tls: Default::default(),
        };
        let (looked, sent) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
        let all = Arc::clone(&sent);
        // The clock is asked when a record is taken, and again to see which batches are old enough.
        let options = StoreOptions::new(move || {
            while !all.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            assert!(!breaks(looked.fetch_add(1, Ordering::AcqRel)), "the test's clock is broken");
            Timestamp::from_secs(1_800_000_000)
        });
        let store = nowhere.open().unwrap();
        let (sender, writer) = StoreWriter::start(store, dir.path(), Labels::default(), options).unwrap();
        let mut failed = writer.failed();
        for uid in 0..100 {
            assert!(sender.try_send(Record::Call(Box::new(CallRecord { uid: CallUid(uid), ..CallRecord::default() }))));
        }
        sent.store(true, Ordering::Release);
        let told = *failed.wait_for(Option::is_some).await.unwrap();
        assert_eq!(told, Some(Failed { what: "the thread that writes the spool", thread: Some(BATCH_THREAD) }));
        let counters = writer.counters();
        drop(sender);
        let leftover = writer.drain(Duration::ZERO).await;
        (counters.snapshot().table(crate::Table::Calls), leftover)
    }

    /// A batch is lost, and counted; all other rows get to the spool, and the program is notified.
    #[tokio::test]
    async fn a_panic_of_the_batching_thread_is_told_and_costs_one_batch() {
        let (calls, leftover) = with_a_broken_clock(|look| look == 20).await;
        let lost = calls.dropped_for(DropReason::Unencodable);
        assert_eq!((calls.received, calls.spooled + lost, leftover.spooled_rows), (100, 100, calls.spooled));
        assert!((1..=21).contains(&lost), "{lost} rows lost");
    }

    #[tokio::test]
    async fn rows_that_a_thread_which_panics_again_leaves_are_counted() {
        let (calls, leftover) = with_a_broken_clock(|look| look >= 20).await;
        let dropped: u64 = calls.dropped.iter().map(|(_, rows)| rows).sum();
        assert_eq!((calls.received, dropped + calls.spooled, leftover.spooled_rows), (100, 100, calls.spooled));
    }
}
