//! Signalling: readable call scripts, torture and hostile messages, mutations, and captures.

mod captures;
mod flows;
mod hostile;
mod places;
mod reports;
mod round_trips;
mod script;
mod secrets;
mod torture;

use std::path::PathBuf;

/// Material shared by the developers, outside the project; `None` (with a line why) where it is absent.
fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AUSCULT_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is absent", path.display());
    None
}
