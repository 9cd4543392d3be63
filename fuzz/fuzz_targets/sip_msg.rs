//! SIP messages and the front of TCP streams.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| auscult_fuzz::sip_msg(bytes));
