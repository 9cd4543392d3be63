//! Command line, configuration and threads: everything that ties the rooms to a running program.

pub mod analyze;
pub mod cli;
pub mod config;
mod doctor;
pub mod document;
pub mod emodel;
mod feed;
#[cfg(feature = "live")]
mod live_source;
pub mod log;
mod replay;
pub mod run;
mod table;
mod telemetry;

use crate::units::Timestamp;

/// The wall clock: the one place besides `capture` that reads it.
#[expect(clippy::disallowed_methods, reason = "the program around the pure machine has to know the time")]
fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)))
}

/// A seed senders cannot guess, for hash tables. It changes no result.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
