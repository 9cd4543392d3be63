//! From the spool into the store: one segment after the other, until each is acknowledged or refused for good.

use super::counters::DropReason;
use super::{Shared, StoreOptions};
use crate::store::chdb::exception_code;
use crate::store::endpoint::{literal, quoted_name};
use crate::store::spool::{Batch, Loaded, Segment};
use crate::store::{Store, StoreError, Table};
use clickhouse::error::Error;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of rows handed to the connection at once.
const CHUNK: usize = 1 << 20;

/// Tries of a segment the store refuses or fails on, before the next one gets its turn.
const TRIES: u32 = 3;

/// Waits before each look for a row that ought to be there.
const LOOKUPS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1500)];

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What an error says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The store is away, or refuses everybody: nothing else would fare better now.
    Unreachable,
    /// The store answered with a failure of its own: this segment again, and later others first.
    Failed,
    /// The rows themselves are refused: trying again changes nothing.
    Refused,
}

pub(super) async fn run(shared: Arc<Shared>, store: Store, options: StoreOptions) {
    if options.migrate {
        migrate(&shared, &store).await;
    }
    let client = store.writer();
    let mut wait = FIRST_WAIT;
    let mut later: HashMap<u64, Instant> = HashMap::new();
    loop {
        let now = Instant::now();
        later.retain(|_, at| *at > now);
        let held = later.clone();
        let Some((segment, loaded)) = take(&shared, move |s| !held.contains_key(&s.number)).await else {
            if shared.spooled_all.load(Ordering::Acquire) && shared.spool().size().segments == 0 {
                return;
            }
            let pause = later.values().min().map_or(LONGEST_WAIT, |at| at.saturating_duration_since(now));
            let _ = tokio::time::timeout(pause.min(Duration::from_millis(200)), shared.work.notified()).await;
            continue;
        };
        let batch = match loaded {
            Loaded::Batch(batch) => batch,
            Loaded::Damaged(damage) => {
                tracing::error!(segment = segment.number, table = segment.table.name(), rows = segment.rows, %damage,
                    "a spool segment is damaged, it is kept in dead_letter");
                shared.counters.dropped(segment.table, DropReason::Damaged, u64::from(segment.rows));
                shared.counters.error(format!("spool segment {:016x}: {damage}", segment.number));
                continue;
            }
            Loaded::Kept(why) => {
                shared.spool().failed(segment.number);
                shared.counters.retry(why);
                later.insert(segment.number, now + LONGEST_WAIT);
                continue;
            }
        };
        let begun = Instant::now();
        let outcome = match send(&client, store.database(), &batch, &batch.token, &options).await {
            Ok(()) if segment.inherited || segment.attempts > 0 => confirm(&shared, &store, &batch, &options).await,
            outcome => outcome,
        };
        let error = match outcome {
            Ok(()) => {
                let took = begun.elapsed();
                let acknowledged = Arc::clone(&shared);
                let number = segment.number;
                let _ = tokio::task::spawn_blocking(move || acknowledged.spool().acknowledge(number)).await;
                shared.counters.delivered(segment.table, segment.rows, batch.payload.len(), took);
                shared.counters.waiting(shared.spool().size());
                wait = FIRST_WAIT;
                continue;
            }
            Err(error) => error,
        };
        let attempts = shared.spool().failed(segment.number);
        let verdict = judge(&error);
        let text = format!("cannot store {} rows of {}: {error}", segment.rows, segment.table.name());
        tracing::warn!(error = %error, ?verdict, attempts, table = segment.table.name(), rows = segment.rows, "delivery failed");
        shared.counters.retry(text.clone());
        match verdict {
            Verdict::Refused if attempts >= TRIES => {
                shared.spool().bury(segment.number, &text);
                shared.counters.dropped(segment.table, DropReason::Refused, u64::from(segment.rows));
                shared.counters.waiting(shared.spool().size());
                continue;
            }
            Verdict::Failed if attempts >= TRIES => {
                // Maybe the store has a bad time, maybe it is these rows: let others go first.
                let rounds = (attempts / TRIES).min(8);
                later.insert(segment.number, Instant::now() + jittered(LONGEST_WAIT.min(FIRST_WAIT * (1 << rounds))));
            }
            Verdict::Refused | Verdict::Failed | Verdict::Unreachable => {}
        }
        tokio::time::sleep(grow(&mut wait)).await;
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
         insert_distributed_sync=1 FORMAT RowBinary",
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
    let lookup = format!(
        "SELECT count() FROM {}.{} WHERE stored_at = toDateTime({}) AND row_id = {}",
        quoted_name(store.database()),
        batch.table.name(),
        first.stored_at,
        first.row_id
    );
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

/// Whether the table is a plain MergeTree of one server: no replicas, not distributed.
async fn is_unreplicated(store: &Store, table: Table) -> Result<bool, Error> {
    let sql = "SELECT count() FROM system.tables WHERE database = ? AND name = ? AND engine = 'MergeTree'";
    let query = store.reader().query(sql).bind(store.database()).bind(table.name());
    Ok(query.fetch_one::<u64>().await? > 0)
}

fn is_denied(error: &Error) -> bool {
    matches!(error, Error::BadResponse(text) if exception_code(text) == Some(497))
}

fn judge(error: &Error) -> Verdict {
    let Error::BadResponse(text) = error else { return Verdict::Unreachable };
    match exception_code(text) {
        // Types, values and columns of the rows; the statement itself. The rows will not change.
        Some(
            6 | 7 | 8 | 10 | 15 | 16 | 20 | 26 | 27 | 32 | 33 | 34 | 36 | 38 | 41 | 42 | 43 | 44 | 45 | 47 | 48 | 49
            | 50 | 53 | 61 | 62 | 63 | 69 | 70 | 72 | 73 | 115 | 117 | 125 | 128 | 131 | 321 | 349 | 386 | 441 | 467
            | 636,
        ) => Verdict::Refused,
        // Credentials and grants, no such table or database yet, read-only: a person mends that, for all rows at once.
        Some(60 | 81 | 164 | 192 | 193 | 194 | 242 | 497 | 516) => Verdict::Unreachable,
        Some(_) => Verdict::Failed,
        None => match text.get(..3).and_then(|digits| digits.parse::<u16>().ok()) {
            Some(400 | 405 | 406 | 411 | 413 | 414 | 415 | 422 | 431) => Verdict::Refused,
            _ => Verdict::Unreachable,
        },
    }
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
    fn errors_are_judged_by_what_would_help() {
        let bad = |text: &str| judge(&Error::BadResponse(text.to_owned()));
        for (text, expected) in [
            ("Code: 27. DB::Exception: Cannot parse input. (CANNOT_PARSE_INPUT_ASSERTION_FAILED)", Verdict::Refused),
            ("Code: 53. DB::Exception: Type mismatch. (TYPE_MISMATCH)", Verdict::Refused),
            ("Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)", Verdict::Failed),
            ("Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)", Verdict::Failed),
            ("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)", Verdict::Unreachable),
            ("Code: 60. DB::Exception: Table does not exist. (UNKNOWN_TABLE)", Verdict::Unreachable),
            ("400 Bad Request", Verdict::Refused),
            ("503 Service Unavailable", Verdict::Unreachable),
            ("<html>bad gateway</html>", Verdict::Unreachable),
        ] {
            assert_eq!(bad(text), expected, "{text}");
        }
        assert_eq!(judge(&Error::TimedOut), Verdict::Unreachable);
    }

    #[test]
    fn waits_grow_to_a_bound() {
        let mut wait = FIRST_WAIT;
        let waits: Vec<Duration> = (0..10).map(|_| grow(&mut wait)).collect();
        assert!(waits.iter().all(|w| *w >= FIRST_WAIT / 2 && *w <= LONGEST_WAIT));
        assert_eq!(wait, LONGEST_WAIT);
    }
}
