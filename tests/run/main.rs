//! The program as users start it: replay, crashes, servers that come and go, signals, sockets, settings.
//!
//! Each test starts the real binary on directories and ports of its own. Waits are bounded; no test asserts a time.

#[cfg(feature = "live")]
mod access;
mod alerts;
mod api;
#[cfg(feature = "live")]
mod backtest;
#[cfg(feature = "live")]
mod cable;
mod crash;
mod erase;
mod events;
mod files;
#[cfg(feature = "live")]
mod live;
mod oidc;
#[path = "../signalling/places.rs"]
#[allow(unused, reason = "another test takes the rest")]
mod places;
mod privacy;
mod program;
mod reload;
mod replay;
mod sandbox;
mod secrets;
mod server;
mod settings;
mod stop;
mod tls;
mod worlds;

use std::path::PathBuf;

/// Whether there is an engine library; says so when the test is skipped.
fn engine() -> bool {
    match auscult_store::chdb::find_library(None) {
        Ok(_) => true,
        Err(e) => {
            testkit::skip(e);
            false
        }
    }
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// The sample captures.
fn samples() -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let files = std::fs::read_dir(dir).expect("testdata").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains(".pcap")).collect();
    files.sort();
    assert!(files.len() >= 7);
    files
}

fn sample(name: &str) -> PathBuf {
    samples().into_iter().find(|path| path.to_string_lossy().contains(name)).expect("a sample of this name")
}

/// `--read` with files, then what else.
fn read<'a>(files: &'a [PathBuf], more: &[&'a str]) -> Vec<&'a str> {
    let files = files.iter().map(|file| file.to_str().expect("a readable name"));
    std::iter::once("--read").chain(files).chain(more.iter().copied()).collect()
}
