//! From the spool into the store: each segment until it is acknowledged, replaced by its halves, or set aside.
//!
//! A segment that fails waits for its next try while others go first. Only a store that cannot be reached stops all.

use super::counters::DropReason;
use super::split::{Split, root, split};
use super::verdict::{Case, Step, TRIES, Verdict, decide, judge};
use super::{Shared, StoreOptions};
use crate::chdb::exception_code;
use crate::endpoint::{literal, quoted_name};
use crate::rowbinary::RowKey;
use crate::schema::Dialect;
use crate::server;
use crate::spool::{Batch, Loaded, Segment};
use crate::{Store, StoreError, Table};
use clickhouse::error::Error;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of rows handed to the connection at once.
const CHUNK: usize = 1 << 20;

/// Waits before each look for a row that ought to be there.
const LOOKUPS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1500)];

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The longest sleep without anything to deliver.
const IDLE: Duration = Duration::from_millis(200);

/// How long a store is asked whether it is there, after a batch got no answer.
const PING: Duration = Duration::from_secs(3);

/// Original batches of which rows set aside one by one are counted; the count of the others begins again.
const BATCHES_COUNTED: usize = 1_000;

/// A segment that failed in this run.
struct Trouble {
    next_try: Instant,
    /// Tries that failed while the store was there.
    tries: u32,
    /// When a try ended whose outcome is not known.
    unknown_since: Option<Instant>,
    /// Segments delivered when it failed first.
    delivered_before: u64,
}

pub(super) async fn run(shared: Arc<Shared>, store: Store, options: StoreOptions) {
    if options.migrate {
        migrate(&shared, &store).await;
    }
    let mut delivery = Delivery {
        client: store.writer(),
        began: Instant::now(),
        wait: FIRST_WAIT,
        troubles: HashMap::new(),
        busy: HashMap::new(),
        failed_last: false,
        singles: HashMap::new(),
        shared,
        store,
        options,
    };
    while delivery.one().await {}
}

struct Delivery {
    shared: Arc<Shared>,
    store: Store,
    options: StoreOptions,
    client: clickhouse::Client,
    began: Instant,
    /// The pause after the next failure; back at its first length with every delivery.
    wait: Duration,
    troubles: HashMap<u64, Trouble>,
    /// Tables that take nothing for now, whatever the batch.
    busy: HashMap<Table, Instant>,
    /// The last try failed: a segment that did not fail yet goes next, so that those that fail take half of the turns at most.
    failed_last: bool,
    /// By original batch: rows set aside one by one.
    singles: HashMap<String, u32>,
}

impl Delivery {
    /// Delivers the segment that is due first, or waits until there is one. False when all is done.
    async fn one(&mut self) -> bool {
        let now = Instant::now();
        let held: HashSet<u64> =
            self.troubles.iter().filter(|(_, trouble)| trouble.next_try > now).map(|(number, _)| *number).collect();
        self.shared.counters.backing_off(held.len());
        let stage = self.shared.disk.stage();
        let embedded = self.store.engine().is_some();
        self.busy.retain(|_, until| *until > now);
        let busy: HashSet<Table> = self.busy.keys().copied().collect();
        let may = move |s: &Segment| !(busy.contains(&s.table) || embedded && stage.refuses(s.table));
        let mut taken = None;
        if std::mem::take(&mut self.failed_last) {
            let (may, failed) = (may.clone(), self.troubles.keys().copied().collect::<HashSet<u64>>());
            taken = take(&self.shared, move |s| !failed.contains(&s.number) && may(s)).await;
        }
        if taken.is_none() {
            taken = take(&self.shared, move |s| !held.contains(&s.number) && may(s)).await;
        }
        let Some((segment, loaded)) = taken else {
            if self.shared.spooled_all.load(Ordering::Acquire) && self.shared.spool().size().segments == 0 {
                return false;
            }
            let _ = tokio::time::timeout(IDLE, self.shared.work.notified()).await;
            return true;
        };
        match loaded {
            Loaded::Batch(batch) => self.deliver(segment, batch).await,
            Loaded::Damaged(damage) => {
                tracing::error!(segment = segment.number, table = segment.table.name(), rows = segment.rows, %damage,
                    "a spool segment is damaged, it is kept in dead_letter");
                self.shared.counters.dropped(segment.table, DropReason::Damaged, u64::from(segment.rows));
                self.shared.counters.error(format!("spool segment {:016x}: {damage}", segment.number));
                self.shared.count_removed();
                self.troubles.remove(&segment.number);
            }
            Loaded::Kept(why) => {
                self.shared.spool().failed(segment.number);
                self.shared.counters.retry(why);
                self.trouble(&segment).next_try = now + LONGEST_WAIT;
            }
        }
        true
    }

    async fn deliver(&mut self, segment: Segment, batch: Batch) {
        let begun = Instant::now();
        let outcome = match send(&self.client, self.store.database(), &batch, &batch.token, &self.options).await {
            Ok(()) if segment.inherited || segment.attempts > 0 => {
                confirm(&self.shared, &self.store, &batch, &self.options).await
            }
            outcome => outcome,
        };
        let error = match outcome {
            Ok(()) => {
                self.acknowledge(&segment).await;
                self.shared.counters.delivered(segment.table, segment.rows, batch.payload.len(), begun.elapsed());
                self.wait = FIRST_WAIT;
                return;
            }
            Err(error) => error,
        };
        self.failed_last = true;
        self.shared.spool().failed(segment.number);
        let verdict = self.verdict_of(&error).await;
        let attempts = self.note_outcome(&segment, verdict);
        let reason = server::reason(&error);
        let text = format!("cannot store {} rows of {}: {reason}", segment.rows, segment.table.name());
        tracing::warn!(error = %reason, ?verdict, attempts, table = segment.table.name(), rows = segment.rows, "delivery failed");
        self.shared.counters.retry(text.clone());
        let case = Case {
            verdict,
            rows: segment.rows,
            bytes: batch.payload.len(),
            attempts,
            others_delivered: self.shared.counters.segments_delivered() - self.trouble(&segment).delivered_before,
            in_doubt: self.in_doubt(&segment),
            divisible: !matches!(self.store.dialect(), Dialect::Cluster { .. }),
            half: segment.half_of.is_some(),
            singles: self.singles.get(root(&batch.token)).copied().unwrap_or(0),
        };
        let pause = match decide(case) {
            Step::Again | Step::Later => self.back_off(&segment, verdict, attempts),
            step @ (Step::Split | Step::SetAside) => match self.is_stored(&batch).await {
                Ok(true) => {
                    self.acknowledge(&segment).await;
                    self.shared.counters.delivered(segment.table, segment.rows, batch.payload.len(), begun.elapsed());
                    return;
                }
                // Nothing is divided while it is not certain that it is not there.
                Err(e) => {
                    tracing::warn!(error = %e, "cannot ask the store for the rows of a batch it refused");
                    self.back_off(&segment, verdict, attempts)
                }
                Ok(false) if step == Step::Split => self.split(&segment, batch, &text).await,
                Ok(false) => self.set_aside(&segment, &batch, &text),
            },
        };
        if pause {
            // A store that answers is not spared by waiting longer and longer: each segment has its own time.
            let pause = if verdict == Verdict::Unreachable { grow(&mut self.wait) } else { jittered(FIRST_WAIT) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Others first, for twice as long with every try. Returns whether to pause before the next delivery.
    fn back_off(&mut self, segment: &Segment, verdict: Verdict, attempts: u32) -> bool {
        let wait = match verdict {
            // No longer than the pause: it may be this segment that takes too long, so another is tried after it.
            Verdict::Unreachable => self.wait + Duration::from_millis(10),
            _ => jittered(LONGEST_WAIT.min(FIRST_WAIT * (1 << attempts.min(7)))),
        };
        let next_try = Instant::now() + wait;
        self.trouble(segment).next_try = next_try;
        if verdict == Verdict::Busy {
            self.busy.insert(segment.table, next_try);
        }
        true
    }

    /// Two halves in place of the segment. Returns whether to pause before the next delivery.
    async fn split(&mut self, segment: &Segment, batch: Batch, text: &str) -> bool {
        let (shared, number) = (Arc::clone(&self.shared), segment.number);
        let (table, rows) = (segment.table.name(), segment.rows);
        let worked = tokio::task::spawn_blocking(move || (split(&shared, number, &batch), batch)).await;
        match worked {
            Ok((Split::Done, _)) => {
                tracing::info!(table, rows, "the store refused a batch, it is delivered in two halves");
                self.shared.counters.split();
                self.wait = FIRST_WAIT;
                self.troubles.remove(&segment.number);
                self.shared.counters.waiting(self.shared.spool().size());
                false
            }
            Ok((Split::Indivisible, batch)) => self.set_aside(
                segment,
                &batch,
                &format!("{text}; its rows cannot be told apart, so it was not divided"),
            ),
            Ok((Split::Unwritable(error), _)) => {
                self.shared.counters.spool_error(format!("cannot write the spool: {error}"));
                tracing::warn!(%error, "the spool cannot be written, a refused batch is divided later");
                self.trouble(segment).next_try = Instant::now() + LONGEST_WAIT;
                true
            }
            Ok((Split::Changed, _)) | Err(_) => true,
        }
    }

    /// Into the dead letters. Returns whether to pause before the next delivery.
    fn set_aside(&mut self, segment: &Segment, batch: &Batch, text: &str) -> bool {
        self.shared.spool().dead_letter(segment.number, text);
        tracing::error!(
            table = segment.table.name(),
            rows = segment.rows,
            reason = text,
            "the store refused rows, they are kept in dead_letter: `auscult spool list` shows them"
        );
        self.shared.counters.dropped(segment.table, DropReason::Refused, u64::from(segment.rows));
        self.shared.counters.waiting(self.shared.spool().size());
        self.shared.count_removed();
        self.troubles.remove(&segment.number);
        if segment.rows == 1 {
            if self.singles.len() >= BATCHES_COUNTED {
                self.singles.clear();
            }
            *self.singles.entry(root(&batch.token).to_owned()).or_default() += 1;
        }
        false
    }

    async fn acknowledge(&mut self, segment: &Segment) {
        let (shared, number) = (Arc::clone(&self.shared), segment.number);
        let _ = tokio::task::spawn_blocking(move || shared.spool().acknowledge(number)).await;
        self.troubles.remove(&segment.number);
        self.shared.counters.waiting(self.shared.spool().size());
    }

    fn trouble(&mut self, segment: &Segment) -> &mut Trouble {
        let delivered_before = self.shared.counters.segments_delivered();
        // A server may still be at work on what an earlier run sent; the embedded engine ended with it.
        let inherited = segment.inherited && self.store.engine().is_none();
        let unknown_since = inherited.then_some(self.began);
        let new = Trouble { next_try: Instant::now(), tries: 0, unknown_since, delivered_before };
        self.troubles.entry(segment.number).or_insert(new)
    }

    /// The verdict, which distinguishes an answer that did not come from a store that is not there.
    async fn verdict_of(&self, error: &Error) -> Verdict {
        match judge(error) {
            Verdict::NoAnswer => match tokio::time::timeout(PING, self.store.ping()).await {
                Ok(Ok(())) => Verdict::NoAnswer,
                Ok(Err(_)) | Err(_) => Verdict::Unreachable,
            },
            verdict => verdict,
        }
    }

    /// Counts a failed try, and notes whether it may have stored its rows.
    fn note_outcome(&mut self, segment: &Segment, verdict: Verdict) -> u32 {
        let certain = matches!(verdict, Verdict::TooLarge | Verdict::RefusedRows | Verdict::RefusedStatement);
        let trouble = self.trouble(segment);
        if !certain {
            trouble.unknown_since = Some(Instant::now());
        }
        if verdict != Verdict::Unreachable {
            trouble.tries += 1;
        }
        trouble.tries
    }

    fn in_doubt(&mut self, segment: &Segment) -> bool {
        let longest = self.options.unknown_outcome_wait;
        self.trouble(segment).unknown_since.is_some_and(|since| since.elapsed() < longest)
    }

    /// Whether the store has a batch that it did not acknowledge. All its rows are one part: the first stands for all.
    async fn is_stored(&self, batch: &Batch) -> Result<bool, Error> {
        let Some(first) = batch.first else { return Ok(false) };
        let lookup = lookup(self.store.database(), batch.table, first);
        match self.store.reader().query(&lookup).fetch_one::<u64>().await {
            Ok(count) => Ok(count > 0),
            // Who may not read is refused by the store itself, which says what it stored.
            Err(e) if is_denied(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Brings the schema up to date, however long the store takes to appear.
async fn migrate(shared: &Shared, store: &Store) {
    let mut wait = FIRST_WAIT;
    while let Err(e) = store.migrate().await {
        tracing::warn!(error = %e, "the store is not ready, rows wait in the spool");
        shared.counters.retry(e.to_string());
        // A newer schema does not go away by itself; its rows wait for a program that knows it.
        let newer = matches!(e, StoreError::NewerSchema { .. });
        tokio::time::sleep(if newer { LONGEST_WAIT } else { grow(&mut wait) }).await;
    }
    for change in store.take_retention_changes() {
        tracing::info!(table = change.table, before = change.before, after = %change.after, "rows are kept for another time");
    }
    if store.cleared_rows() > 0 {
        tracing::warn!(rows = store.cleared_rows(), "secrets that an earlier version may have stored are removed");
    }
}

/// The next segment and its contents, read on a thread that may block.
async fn take(
    shared: &Arc<Shared>,
    mut ready: impl FnMut(&Segment) -> bool + Send + 'static,
) -> Option<(Segment, Loaded)> {
    let shared = Arc::clone(shared);
    let taken = tokio::task::spawn_blocking(move || {
        let mut spool = shared.spool();
        let segment = spool.next(&mut ready)?;
        let loaded = spool.load(&segment);
        shared.counters.waiting(spool.size());
        Some((segment, loaded))
    });
    taken.await.ok().flatten()
}

/// Delivers a batch. `Ok` only after the whole answer came without an exception.
async fn send(
    client: &clickhouse::Client,
    database: &str,
    batch: &Batch,
    token: &str,
    options: &StoreOptions,
) -> Result<(), Error> {
    let columns: Vec<String> = batch.columns.iter().map(|c| quoted_name(c)).collect();
    let sql = format!(
        "INSERT INTO {}.{} ({}) SETTINGS insert_deduplicate=1, insert_deduplication_token={}, async_insert=0, \
         deduplicate_blocks_in_dependent_materialized_views=1, insert_distributed_sync=1 FORMAT RowBinary",
        quoted_name(database),
        batch.table.name(),
        columns.join(", "),
        literal(token)
    );
    let mut insert = client
        .insert_formatted_with(sql)
        // The server holds its answer until it knows the outcome, so that a failure has a failure's status.
        .with_setting("wait_end_of_query", "1")
        .with_timeouts(Some(options.send_timeout), Some(options.answer_timeout));
    let payload = axum::body::Bytes::copy_from_slice(&batch.payload);
    for start in (0..payload.len()).step_by(CHUNK) {
        insert.send(payload.slice(start..payload.len().min(start + CHUNK))).await?;
    }
    insert.end().await
}

/// Makes sure that an acknowledged batch is there, when an earlier try of it ended in the dark.
///
/// A table without replicas notes a batch's token on disk before its part: killed between the two, the store takes the
/// batch sent again for a copy of rows it never kept. So the batch's first row is looked for, and when it stays away
/// the batch goes once more, under a token that is new. Replicated tables commit both in one step and are believed.
async fn confirm(shared: &Shared, store: &Store, batch: &Batch, options: &StoreOptions) -> Result<(), Error> {
    let Some(first) = batch.first else { return Ok(()) };
    let lookup = lookup(store.database(), batch.table, first);
    for round in 1.. {
        // An earlier try that still runs in the store shows its rows within this time.
        for wait in LOOKUPS {
            tokio::time::sleep(wait).await;
            match store.reader().query(&lookup).fetch_one::<u64>().await {
                Ok(0) => {}
                Ok(_) => return Ok(()),
                Err(e) if is_denied(&e) => {
                    tracing::warn!(error = %e, "this user may not read, so the store's acknowledgement is believed");
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        }
        if !is_unreplicated(store, batch.table).await? {
            return Ok(());
        }
        if round > TRIES {
            // Taken under new tokens and still not to be seen: retention has removed it at once.
            let text = format!("the store took {} rows of {} and does not show them", batch.rows, batch.table.name());
            tracing::error!("{text}");
            shared.counters.error(text);
            return Ok(());
        }
        tracing::warn!(
            table = batch.table.name(),
            rows = batch.rows,
            "the store took a batch for a copy of rows it does not have, it is sent again under a new token"
        );
        shared.counters.resent();
        let token = format!("{}-{:032x}-{round}", batch.token, shared.spool().run());
        send(&store.writer(), store.database(), batch, &token, options).await?;
    }
    Ok(())
}

fn lookup(database: &str, table: Table, row: RowKey) -> String {
    format!(
        "SELECT count() FROM {}.{} WHERE stored_at = toDateTime({}) AND row_id = {}",
        quoted_name(database),
        table.name(),
        row.stored_at,
        row.row_id
    )
}

/// Whether the table is a plain MergeTree of one server: no replicas, not distributed.
async fn is_unreplicated(store: &Store, table: Table) -> Result<bool, Error> {
    let sql = "SELECT count() FROM system.tables WHERE database = ? AND name = ? AND engine = 'MergeTree'";
    let query = store.reader().query(sql).bind(store.database()).bind(table.name());
    Ok(query.fetch_one::<u64>().await? > 0)
}

fn is_denied(error: &Error) -> bool {
    matches!(error, Error::BadResponse(text) if exception_code(text) == Some(497))
}

/// The time to wait now; the next one is twice as long.
fn grow(wait: &mut Duration) -> Duration {
    let now = *wait;
    *wait = (now * 2).min(LONGEST_WAIT);
    jittered(now)
}

/// Half to the whole of `wait`, so that many probes do not return at once.
fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = RandomState::new().build_hasher().finish() % 1000;
    wait / 2 + wait.mul_f64(random as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound() {
        let mut wait = FIRST_WAIT;
        let waits: Vec<Duration> = (0..10).map(|_| grow(&mut wait)).collect();
        assert!(waits.iter().all(|w| *w >= FIRST_WAIT / 2 && *w <= LONGEST_WAIT));
        assert_eq!(wait, LONGEST_WAIT);
    }
}
