//! Command line, configuration and threads: everything that ties the rooms to a running program.

pub mod analyze;
pub mod cli;
pub mod config;
mod doctor;
pub mod document;
pub mod emodel;
mod feed;
pub mod kept;
#[cfg(feature = "live")]
mod live_source;
pub mod log;
mod replay;
pub mod run;
mod running;
mod spool_command;
mod table;
mod telemetry;

use crate::capture::CaptureError;
use crate::units::Timestamp;
use std::io::Write;

/// Prints an error as one line; returns the exit code: 2 when the input is not what the command takes, 1 otherwise.
pub fn report(error: &anyhow::Error) -> u8 {
    eprintln!("auscult: {}", one_line(error));
    if error.downcast_ref::<CaptureError>().is_some() { 2 } else { 1 }
}

/// The error and its causes, each once: many errors name their cause in their own words already.
fn one_line(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |line, cause| match line.as_str() {
        "" => cause,
        line if line.ends_with(&cause) => line.to_owned(),
        line => format!("{line}: {cause}"),
    })
}

/// Prints one line. A reader that went away does not end a program that captures.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

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
