//! What can go wrong on the way in, as the one line the user gets: what, where, what to do.

use std::io;

/// Failures of opening and reading captures and interfaces.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("cannot open {name}: {source}")]
    Open { name: String, source: io::Error },

    #[error("{name} is not a capture: {looks_like}; {advice}")]
    NotACapture { name: String, looks_like: String, advice: String },

    #[error("cannot read {name} beyond byte {at_byte}: {source}")]
    Read { name: String, at_byte: u64, source: io::Error },

    #[error("no capture file given; name at least one pcap or pcapng file, or - for standard input")]
    NoFiles,

    #[error("no interface {name}; there are: {available}")]
    NoSuchInterface { name: String, available: String },

    #[error("no permission to capture on {interface}: {advice}")]
    NotPermitted { interface: String, advice: String },

    #[error("cannot capture on {interface}: {what}")]
    Live { interface: String, what: String },

    #[error(
        "filter {filter:?} is not understood: {what}; it is a pcap filter, for example \"udp portrange 10000-20000\""
    )]
    Filter { filter: String, what: String },

    #[error("cannot run a thread on CPU {cpu}: {what}")]
    Cpu { cpu: usize, what: String },

    #[error("cannot give up privileges for user {user}: {what}")]
    Privileges { user: String, what: String },

    #[error("cannot enter the sandbox: {what}; `enabled = false` in [sandbox] of the configuration starts without it")]
    Sandbox { what: String },
}

impl CaptureError {
    pub(super) fn not_a_capture(name: &str, looks_like: impl Into<String>, advice: impl Into<String>) -> CaptureError {
        CaptureError::NotACapture { name: name.to_owned(), looks_like: looks_like.into(), advice: advice.into() }
    }
}
