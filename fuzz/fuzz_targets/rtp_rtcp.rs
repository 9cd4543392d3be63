//! Payloads of UDP datagrams: classification, RTP, RTCP and its extended reports.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| auscult_fuzz::rtp_rtcp(bytes));
