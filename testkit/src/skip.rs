//! Skipped tests are counted: what a test lacks is printed, written down for the runner, or a failure where nothing may be skipped.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the material that all developers share is, by default beside the project.
const SHARED: &str = "AUSCULT_SHARED";
/// `all`: a test that lacks something fails.
const REQUIRE: &str = "AUSCULT_REQUIRE";
/// File to which each skip adds one line, for the runner to count.
const SKIPS: &str = "AUSCULT_SKIPS";

/// Prints and records that the current test is skipped, and why. The test returns after it.
///
/// # Panics
/// `AUSCULT_REQUIRE=all` is set, or the file that `AUSCULT_SKIPS` names cannot be written.
pub fn skip(why: impl Display) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var(REQUIRE).as_deref() != Ok("all"), "{REQUIRE}=all, and {test} would be skipped: {why}");
    println!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os(SKIPS) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut f| f.write_all(format!("skipped: {test}: {why}\n").as_bytes()));
        written.unwrap_or_else(|e| panic!("{SKIPS}: {}: {e}", Path::new(&path).display()));
    }
}

/// A file or directory of the shared material; `None` where it is absent, and the skip is recorded.
pub fn shared(below: &str) -> Option<PathBuf> {
    let root = std::env::var_os(SHARED)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = root.join(below);
    if path.exists() {
        return Some(path);
    }
    skip(format_args!("{} is absent", path.display()));
    None
}
