//! A seeded world of calls with ground truth, and the oracle that computes it. It never ships, and shares no code with
//! the program it checks: agreement between the two is evidence only while they have nothing in common.
//!
//! The same seed gives the same bytes. [`for_seeds`] prints the seed of a failure.

pub mod bulk;
pub mod call;
pub mod call_load;
pub mod certificates;
pub mod codec;
pub mod flood;
pub mod frame;
pub mod history;
mod media;
pub mod network;
pub mod numbers;
pub mod observe;
pub mod oracle;
pub mod path;
pub mod pcap;
pub mod playout;
mod random;
pub mod rng;
mod rtcp;
pub mod samples;
pub mod scene;
pub mod send;
mod sender;
mod sip;
mod skip;
pub mod truth;
pub mod world;

pub use rtcp::Report;
pub use sender::Habits;
pub use skip::{shared, skip};
pub use world::{Capture, World};

/// Runs a test for each seed, or only for that in the environment variable `TESTKIT_SEED`. A panic is passed on after
/// its seed was printed in a form that repeats it.
pub fn for_seeds(seeds: std::ops::Range<u64>, test: impl Fn(u64)) {
    let only = std::env::var("TESTKIT_SEED").ok().and_then(|s| s.parse::<u64>().ok());
    for seed in only.map_or(seeds, |s| s..s + 1) {
        if let Err(cause) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed))) {
            eprintln!("failed: repeat with TESTKIT_SEED={seed}");
            std::panic::resume_unwind(cause);
        }
    }
}
