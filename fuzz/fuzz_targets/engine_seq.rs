//! Sequences of frames and ticks into the machine.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| auscult_fuzz::engine_seq(bytes));
