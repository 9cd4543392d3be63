//! From the queue into the spool: a plain thread, because writing and syncing files blocks.

use super::{Item, Shared, StoreOptions};
use crate::rowbinary::RowBinary;
use crate::rows::{CallKind, Record, Table};
use crate::spool::{EncodedBatch, encode_replayed};
use crate::writer::counters::DropReason;
use auscult_core::model::Labels;
use auscult_core::units::{Nanos, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often ages are looked at when nothing comes.
const TICK: Duration = Duration::from_millis(50);

/// How long after a failed write the spool is tried again.
const REST: Nanos = Nanos::from_millis(1000);

pub(super) struct Batcher {
    shared: Arc<Shared>,
    labels: Labels,
    options: StoreOptions,
    open: [Option<Open>; Table::ALL.len()],
    /// EncodedBatch, but the spool could not take them yet. Oldest first.
    not_yet_durable: VecDeque<EncodedBatch>,
    unsafe_bytes: usize,
    rest_from: Option<Timestamp>,
    /// The table of the record at work; after a panic its batch may end in half a row.
    taking: Option<Table>,
}

struct Open {
    rows: RowBinary,
    stored_at: Timestamp,
}

impl Batcher {
    pub(super) fn new(shared: Arc<Shared>, labels: Labels, options: StoreOptions) -> Batcher {
        let open = Default::default();
        Batcher {
            shared,
            labels,
            options,
            open,
            not_yet_durable: VecDeque::new(),
            unsafe_bytes: 0,
            rest_from: None,
            taking: None,
        }
    }

    /// Runs until every sender is gone or the writer is closing, and the queue is empty. Called again after a panic it
    /// goes on with the next record, less the batch that the panic may have left in pieces.
    pub(super) fn run(&mut self, queue: &Receiver<Item>) {
        if let Some(table) = self.taking.take() {
            let rows = self.open[table as usize].take().map_or(0, |open| open.rows.rows());
            self.shared.counters.dropped(table, DropReason::Unencodable, 1 + u64::from(rows));
        }
        loop {
            match queue.recv_timeout(TICK) {
                Ok(Item::Record(record, kind)) => self.take(&record, kind),
                Ok(Item::Labels(labels)) => self.labels = *labels,
                Ok(Item::Flush(done)) => {
                    self.flush_all();
                    let rows = self.not_yet_durable.iter().map(|batch| u64::from(batch.rows)).sum();
                    // Who asked may be gone.
                    let _ = done.send(rows);
                }
                Err(RecvTimeoutError::Timeout) if self.shared.closing.load(Ordering::Acquire) => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.flush_due();
        }
        self.flush_all();
        let left: u64 = self.not_yet_durable.iter().map(|batch| u64::from(batch.rows)).sum();
        self.shared.unsafe_rows.store(left, Ordering::Release);
        for batch in std::mem::take(&mut self.not_yet_durable) {
            self.shared.counters.dropped(batch.table, DropReason::SpoolUnwritable, u64::from(batch.rows));
        }
    }

    /// Closes all batches, and tries the spool although it may have failed a moment ago.
    fn flush_all(&mut self) {
        for table in Table::ALL {
            self.flush(table);
        }
        self.rest_from = None;
        self.save();
    }

    /// After a second panic: counts everything that did not get to the spool as dropped.
    pub(super) fn give_up(&mut self, queue: &Receiver<Item>) {
        let counters = &self.shared.counters;
        while let Ok(item) = queue.try_recv() {
            if let Item::Record(record, _) = item {
                self.shared.depth.fetch_sub(1, Ordering::AcqRel);
                self.shared.queued_bytes.fetch_sub(record.held_bytes(), Ordering::AcqRel);
                counters.dropped(record.table(), DropReason::Unencodable, 1);
            }
        }
        if let Some(table) = self.taking.take() {
            counters.dropped(table, DropReason::Unencodable, 1);
        }
        for (table, open) in Table::ALL.into_iter().zip(&mut self.open) {
            counters.dropped(table, DropReason::Unencodable, open.take().map_or(0, |open| open.rows.rows().into()));
        }
        for batch in std::mem::take(&mut self.not_yet_durable) {
            counters.dropped(batch.table, DropReason::Unencodable, u64::from(batch.rows));
        }
    }

    fn take(&mut self, record: &Record, kind: CallKind) {
        self.shared.depth.fetch_sub(1, Ordering::AcqRel);
        self.shared.queued_bytes.fetch_sub(record.held_bytes(), Ordering::AcqRel);
        let table = record.table();
        self.taking = Some(table);
        let now = (self.options.now)();
        let open = self.open[table as usize].get_or_insert_with(|| Open { rows: RowBinary::default(), stored_at: now });
        if let Err(e) = record.encode_of(kind, &self.labels, open.stored_at, &mut open.rows) {
            self.shared.counters.dropped(table, DropReason::Unencodable, 1);
            self.shared.counters.error(e.to_string());
        }
        self.taking = None;
        let most = table.insert_limit();
        let (rows, bytes) = (self.options.batch_rows.min(most.rows), self.options.batch_bytes.min(most.bytes));
        if open.rows.rows() >= rows || open.rows.bytes().len() >= bytes {
            self.flush(table);
        }
    }

    /// Closes the batches that are old enough. A clock that went back makes a batch old, not young.
    fn flush_due(&mut self) {
        let now = (self.options.now)();
        for table in Table::ALL {
            let age = self.open[table as usize].as_ref().map(|open| (now - open.stored_at).abs());
            let most = if table.is_summary() { self.options.summary_age } else { self.options.batch_age };
            if age.is_some_and(|age| age >= most) {
                self.flush(table);
            }
        }
        if !self.not_yet_durable.is_empty() {
            self.save();
        }
    }

    /// Freezes the open batch of a table and hands it to the spool.
    fn flush(&mut self, table: Table) {
        let Some(open) = self.open[table as usize].take().filter(|open| open.rows.rows() > 0) else { return };
        let (number, token) = self.shared.spool().next_ticket();
        match encode_replayed(number, table, token, &open.rows, self.options.origin.get().cloned()) {
            Ok(batch) => {
                self.unsafe_bytes += batch.bytes.len();
                self.not_yet_durable.push_back(batch);
            }
            Err(e) => {
                self.shared.counters.dropped(table, DropReason::Unencodable, u64::from(open.rows.rows()));
                self.shared.counters.error(e.to_string());
            }
        }
        self.save();
    }

    /// Moves frozen batches to the spool, oldest first; what stays in memory is kept within its bound.
    fn save(&mut self) {
        let now = (self.options.now)();
        let resting = self.rest_from.is_some_and(|since| (now - since).abs() < REST);
        while let (false, Some(batch)) = (resting, self.not_yet_durable.front()) {
            let room = self.shared.spool().make_room(batch);
            for gone in &room.pushed_out {
                self.shared.counters.dropped(gone.table, DropReason::SpoolFull, u64::from(gone.rows));
            }
            match room.place.map(|place| place.write(batch)) {
                None => self.shared.counters.dropped(batch.table, DropReason::SpoolFull, u64::from(batch.rows)),
                Some(Ok(())) => {
                    self.shared.spool().stored(batch);
                    self.shared.counters.spooled(batch.table, batch.rows);
                }
                Some(Err(e)) => {
                    self.shared.counters.spool_error(format!("cannot write the spool: {e}"));
                    tracing::warn!(error = %e, "the spool cannot be written, rows wait in memory");
                    self.rest_from = Some(now);
                    break;
                }
            }
            self.rest_from = None;
            self.unsafe_bytes -= batch.bytes.len();
            self.not_yet_durable.pop_front();
        }
        while self.unsafe_bytes > self.options.memory_bytes {
            let least =
                (0..self.not_yet_durable.len()).rev().max_by_key(|i| self.not_yet_durable.get(*i).map(|b| b.table));
            let Some(batch) = least.and_then(|i| self.not_yet_durable.remove(i)) else { break };
            self.unsafe_bytes -= batch.bytes.len();
            self.shared.counters.dropped(batch.table, DropReason::SpoolUnwritable, u64::from(batch.rows));
        }
        self.shared.counters.waiting(self.shared.spool().size());
        self.shared.work.notify_one();
    }
}
