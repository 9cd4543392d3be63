//! Alerts in the running program: rules from files, inputs from the measuring thread, memory on disk, delivery.

mod behind;
pub mod command;
mod deliver;
mod history;
mod memory;
mod replayed;
mod service;
mod silences;
mod testing;

pub use deliver::{Receiver, Receivers};
pub use service::{AlertService, OwnedInput, Settings, StoreHandles};

use anyhow::Context;
use auscult_core::alert::{DEFAULT_RULES, DEFAULT_RULES_FILE, RuleSet};
use auscult_core::units::Nanos;
use std::path::{Path, PathBuf};

/// Largest file of rules, bytes.
const MAX_FILE: u64 = 1 << 20;

/// Rules of some files or directories, and those the program comes with where `defaults` says so.
///
/// # Errors
/// A file or directory that cannot be read. What is wrong inside of a file is in the set.
pub fn read_rules(paths: &[PathBuf], defaults: bool, interval: Nanos) -> anyhow::Result<RuleSet> {
    let mut files = Vec::new();
    for path in paths {
        for file in files_of(path)? {
            let size = std::fs::metadata(&file).map_or(0, |meta| meta.len());
            anyhow::ensure!(size <= MAX_FILE, "{} is larger than 1 MiB: rules are small files", file.display());
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read rules {}", file.display()))?;
            files.push((file.display().to_string(), text));
        }
    }
    let own = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let shipped = defaults.then_some((DEFAULT_RULES_FILE, DEFAULT_RULES));
    Ok(RuleSet::parse(own.chain(shipped), interval))
}

/// A file, or the `*.toml` of a directory in the order of their names.
fn files_of(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read rules {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    Ok(files)
}
