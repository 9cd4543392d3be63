//! The store against the real engine: schema, rows, endpoint, and delivery through crashes and broken connections.
//!
//! Each test needs its own process (the engine takes one directory per process): run them with `cargo nextest run`.

mod alerts;
mod child;
mod damage;
mod dashboards;
mod delivery;
mod endpoint;
mod erase;
mod groups;
mod insert_memory;
mod native;
mod proxy;
mod queries;
mod reader;
mod refused;
mod retention;
mod samples;
mod schema;
mod statements;
mod upgrade;

use auscult_core::units::{Nanos, Timestamp};
use auscult_store::spool::{EncodedBatch, Spool};
use auscult_store::{Backend, Store, StoreOptions, chdb};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The engine's library, or `None` after saying that the test is skipped.
fn library() -> Option<PathBuf> {
    match chdb::find_library(None) {
        Ok(path) => Some(path),
        Err(e) => {
            testkit::skip(e);
            None
        }
    }
}

/// An empty store with its schema, and the directory that goes with it.
async fn embedded(dir: &Path) -> Option<Store> {
    let store = Backend::embedded(dir.join("data"), Some(library()?)).open().expect("the engine opens");
    store.migrate().await.expect("the schema applies");
    Some(store)
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_nanosecond() as i64)
}

/// Options with short times.
fn quick() -> StoreOptions {
    StoreOptions {
        summary_age: Nanos::from_millis(20),
        batch_age: Nanos::from_millis(40),
        send_timeout: Duration::from_secs(2),
        answer_timeout: Duration::from_secs(5),
        ..StoreOptions::new(now)
    }
}

/// Puts a batch into a spool that has room.
fn put(spool: &mut Spool, batch: &EncodedBatch) {
    spool.make_room(batch).place.expect("there is room").write(batch).unwrap();
    spool.stored(batch);
}

/// `count()` and the number of distinct row identities of a table.
async fn counts(store: &Store, table: &str) -> (u64, u64) {
    let sql = format!("SELECT count(), uniqExact(row_id) FROM {table}");
    store.reader().query(&sql).fetch_one::<(u64, u64)>().await.expect("the table can be read")
}

/// A small generator (xorshift64*), so that a failure can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}
