//! Command line, configuration and threads: everything that makes a running program of the crates.

mod access;
mod alerts;
pub mod analysis_results;
pub mod analyze;
pub mod cli;
pub mod config;
mod doctor;
pub mod document;
pub mod emodel;
mod erase;
mod fail_point;
mod feed;
mod https;
mod indented;
#[cfg(feature = "live")]
mod live_source;
pub mod log;
mod panics;
mod privacy;
mod privacy_report;
mod progress;
mod reload;
mod replay;
pub mod resanitise;
mod retention;
pub mod run;
mod running;
mod sandbox;
mod signals;
mod spool_command;
mod table;
mod telemetry;
mod tls;

use auscult_capture::CaptureError;
use auscult_core::units::Timestamp;
use auscult_core::units::text::clean_lines;
use std::io::Write;

/// Prints an error as one line; returns the exit code: 2 when the input is not what the command takes, 1 otherwise.
pub fn report(error: &anyhow::Error) -> u8 {
    eprintln!("auscult: {}", clean_lines(&one_line(error), usize::MAX));
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

/// Prints one line, in which names of files and words of a store may stand. A reader that went away does not end a program
/// that captures.
fn print_status(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{}", clean_lines(&line.to_string(), usize::MAX));
}

/// The wall clock: the one place besides `capture` that reads it.
#[expect(clippy::disallowed_methods, reason = "the program around the engine has to know the time")]
fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)))
}

/// A seed senders cannot guess, for hash tables. It changes no result.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
