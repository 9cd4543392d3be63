//! Command line, configuration and threads: everything that ties the rooms to a running program.

pub mod analyze;
pub mod cli;
pub mod document;
pub mod emodel;
mod table;

/// A seed senders cannot guess, for hash tables. It changes no result.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
