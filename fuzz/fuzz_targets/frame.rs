//! Frames of every link type, layer by layer, by both ways.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| auscult_fuzz::frame(bytes));
