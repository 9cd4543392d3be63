//! One target under libFuzzer: `AUSCULT_FUZZ_TARGET` names it. Built by `fuzz/run-all` with coverage.
#![no_main]

use auscult_fuzz::{Target, target};
use std::sync::OnceLock;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("AUSCULT_FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| panic!("AUSCULT_FUZZ_TARGET is {name:?}, which is no target"))
    });
    (target.run)(bytes);
});
