//! Capture files, plain and compressed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| auscult_fuzz::pcap(bytes));
