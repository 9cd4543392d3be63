//! What the writer counted: every row that came in is delivered, waiting, or dropped for a reason.

use crate::rows::Table;
use crate::spool::Resanitised;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Why rows were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The queue into the writer was full.
    QueueFull,
    /// A value that has no form in the row format.
    Unencodable,
    /// The spool reached its size and something more precious needed the room.
    SpoolFull,
    /// The spool could not be written, and what may be held in memory instead was used up.
    SpoolUnwritable,
    /// The segment was damaged on disk; kept in the dead letters.
    Damaged,
    /// The store refused the rows; kept in the dead letters.
    Refused,
    /// The embedded store reached `store.disk_mib`.
    StoreCap,
    /// The file system of the data directory is nearly full (`store.disk_free_mib`).
    DiskFull,
}

impl DropReason {
    pub const ALL: [DropReason; 8] = [
        DropReason::QueueFull,
        DropReason::Unencodable,
        DropReason::SpoolFull,
        DropReason::SpoolUnwritable,
        DropReason::Damaged,
        DropReason::Refused,
        DropReason::StoreCap,
        DropReason::DiskFull,
    ];

    pub fn name(self) -> &'static str {
        match self {
            DropReason::QueueFull => "queue_full",
            DropReason::Unencodable => "unencodable",
            DropReason::SpoolFull => "spool_full",
            DropReason::SpoolUnwritable => "spool_unwritable",
            DropReason::Damaged => "damaged",
            DropReason::Refused => "refused",
            DropReason::StoreCap => "store_cap",
            DropReason::DiskFull => "disk_full",
        }
    }
}

/// An hour; longer answers count as this. Timeouts are far shorter.
const LONGEST_ANSWER_US: u64 = 3_600_000_000;

#[derive(Default)]
struct PerTable {
    received: AtomicU64,
    spooled: AtomicU64,
    delivered: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    dead_letters_removed: AtomicU64,
}

/// Live counters; read them with [`Counters::snapshot`] and [`Counters::answers`].
#[derive(Default)]
pub struct Counters {
    tables: [PerTable; Table::ALL.len()],
    retries: AtomicU64,
    resent: AtomicU64,
    splits: AtomicU64,
    backing_off: AtomicU64,
    spool_errors: AtomicU64,
    segments_written: AtomicU64,
    segments_delivered: AtomicU64,
    bytes_delivered: AtomicU64,
    waiting_segments: AtomicU64,
    waiting_rows: AtomicU64,
    waiting_bytes: AtomicU64,
    resanitised: Mutex<Resanitised>,
    cleared: Arc<AtomicU64>,
    reachable: AtomicU64,
    last_error: Mutex<Option<String>>,
    answers: Answers,
}

/// Microseconds from the first byte of an INSERT to its acknowledgement.
struct Answers(Mutex<Histogram<u64>>);

impl Default for Answers {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(LONGEST_ANSWER_US, 2).expect("a range and two digits it can hold");
        Answers(Mutex::new(histogram))
    }
}

/// Counts of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Rows handed over, dropped ones included.
    pub received: u64,
    /// Rows made safe on disk by this run.
    pub spooled: u64,
    /// Rows the store acknowledged to this run, those of earlier runs' segments included.
    pub delivered: u64,
    /// Rows lost, per reason, reasons that never happened left out.
    pub dropped: Vec<(DropReason, u64)>,
    /// Rows among those refused or damaged whose dead letters were removed to keep their bound.
    pub dead_letters_removed: u64,
}

impl TableCounts {
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped.iter().find(|(r, _)| *r == reason).map_or(0, |(_, rows)| *rows)
    }
}

/// All counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountersSnapshot {
    pub tables: Vec<(Table, TableCounts)>,
    /// Deliveries that failed and were or will be tried again.
    pub retries: u64,
    /// Batches the store took for copies of rows it did not have, sent again under a new token.
    pub resent: u64,
    /// Batches the store refused that were replaced by two halves.
    pub splits: u64,
    /// Segments that wait for their next try while others are delivered.
    pub backing_off: u64,
    /// Writes to the spool that failed and were or will be tried again.
    pub spool_errors: u64,
    pub segments_written: u64,
    pub segments_delivered: u64,
    /// RowBinary bytes acknowledged.
    pub bytes_delivered: u64,
    pub waiting_segments: u64,
    pub waiting_rows: u64,
    pub waiting_bytes: u64,
    /// Segments of earlier versions that were cleaned of secrets or dropped at the start.
    pub resanitised: Resanitised,
    /// Rows of the store from which a migration of this process removed secrets.
    pub cleared_rows: u64,
    /// The last delivery succeeded.
    pub reachable: bool,
    /// The last failure in words, kept after it healed.
    pub last_error: Option<String>,
}

impl CountersSnapshot {
    pub fn table(&self, table: Table) -> TableCounts {
        self.tables.iter().find(|(t, _)| *t == table).map(|(_, counts)| counts.clone()).unwrap_or_default()
    }
}

impl Counters {
    pub(super) fn with_cleared(cleared: Arc<AtomicU64>) -> Counters {
        Counters { cleared, ..Counters::default() }
    }

    pub fn snapshot(&self) -> CountersSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let tables = Table::ALL.into_iter().zip(&self.tables).map(|(table, counts)| {
            let dropped = DropReason::ALL.into_iter().zip(&counts.dropped).map(|(reason, rows)| (reason, read(rows)));
            let counts = TableCounts {
                received: read(&counts.received),
                spooled: read(&counts.spooled),
                delivered: read(&counts.delivered),
                dropped: dropped.filter(|(_, rows)| *rows > 0).collect(),
                dead_letters_removed: read(&counts.dead_letters_removed),
            };
            (table, counts)
        });
        CountersSnapshot {
            tables: tables.collect(),
            retries: read(&self.retries),
            resent: read(&self.resent),
            splits: read(&self.splits),
            backing_off: read(&self.backing_off),
            spool_errors: read(&self.spool_errors),
            segments_written: read(&self.segments_written),
            segments_delivered: read(&self.segments_delivered),
            bytes_delivered: read(&self.bytes_delivered),
            waiting_segments: read(&self.waiting_segments),
            waiting_rows: read(&self.waiting_rows),
            waiting_bytes: read(&self.waiting_bytes),
            resanitised: *self.resanitised.lock().unwrap_or_else(PoisonError::into_inner),
            cleared_rows: read(&self.cleared),
            reachable: read(&self.reachable) == 1,
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(super) fn received(&self, table: Table) {
        self.of(table).received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn spooled(&self, table: Table, rows: u32) {
        self.of(table).spooled.fetch_add(u64::from(rows), Ordering::Relaxed);
        self.segments_written.fetch_add(1, Ordering::Relaxed);
    }

    /// How long acknowledged inserts took, in microseconds to two digits.
    pub fn answers(&self) -> Histogram<u64> {
        self.answers.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn delivered(&self, table: Table, rows: u32, bytes: usize, took: Duration) {
        self.of(table).delivered.fetch_add(u64::from(rows), Ordering::Relaxed);
        self.segments_delivered.fetch_add(1, Ordering::Relaxed);
        self.bytes_delivered.fetch_add(bytes as u64, Ordering::Relaxed);
        self.reachable.store(1, Ordering::Relaxed);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.answers.0.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(took);
    }

    pub(super) fn dropped(&self, table: Table, reason: DropReason, rows: u64) {
        self.of(table).dropped[reason as usize].fetch_add(rows, Ordering::Relaxed);
    }

    /// A delivery failed and will be tried again.
    pub(super) fn retry(&self, error: String) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.reachable.store(0, Ordering::Relaxed);
        self.error(error);
    }

    pub(super) fn resent(&self) {
        self.resent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn split(&self) {
        self.splits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn backing_off(&self, segments: usize) {
        self.backing_off.store(segments as u64, Ordering::Relaxed);
    }

    pub(super) fn segments_delivered(&self) -> u64 {
        self.segments_delivered.load(Ordering::Relaxed)
    }

    pub(super) fn dead_letter_removed(&self, table: Table, rows: u32) {
        self.of(table).dead_letters_removed.fetch_add(u64::from(rows), Ordering::Relaxed);
    }

    pub(super) fn spool_error(&self, error: String) {
        self.spool_errors.fetch_add(1, Ordering::Relaxed);
        self.error(error);
    }

    pub(super) fn error(&self, error: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(super) fn resanitised(&self, found: Resanitised) {
        *self.resanitised.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    pub(super) fn waiting(&self, size: crate::spool::SpoolSize) {
        self.waiting_segments.store(size.segments, Ordering::Relaxed);
        self.waiting_rows.store(size.rows, Ordering::Relaxed);
        self.waiting_bytes.store(size.bytes, Ordering::Relaxed);
    }

    fn of(&self, table: Table) -> &PerTable {
        &self.tables[table as usize]
    }
}
