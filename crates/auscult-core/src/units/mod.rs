//! Integer time, RTP scalar types and the delay-variation histogram: the units that all other modules count in;
//! the seeded hash of all tables whose keys senders choose, and the cleaner of the text they write.
//!
//! Nothing here reads a clock, allocates on a hot path or can fail. Time is an argument: an `i64` of
//! nanoseconds, so that early packets give negative differences instead of wrapping.

mod hash;
mod histogram;
pub mod text;
mod time;

pub use hash::{Seeded, SeededHasher};
pub use histogram::{
    BUCKETS, DelayHistogram, HISTOGRAM_VERSION, SPAN_BUCKETS, bucket_bounds_ns, bucket_of, span_bucket_bounds_ns,
    span_bucket_middle, span_bucket_of,
};
pub use time::{Nanos, NtpTime, Timestamp};

use serde::{Deserialize, Serialize};

/// RTP synchronisation source identifier, RFC 3550 section 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ssrc(pub u32);

impl std::fmt::Display for Ssrc {
    /// Eight hexadecimal digits with the prefix `0x`, the form tshark and the JSON contract use.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

/// RTP payload type, 0..=127 (RFC 3551 section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PayloadType(pub u8);

/// RTP clock rate in ticks per second, never zero (RFC 3551 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClockRate(std::num::NonZeroU32);

impl ClockRate {
    /// `None` for zero and for rates above 192 kHz, which no audio or video payload format uses.
    pub fn new(hz: u32) -> Option<ClockRate> {
        if hz > 192_000 {
            return None;
        }
        std::num::NonZeroU32::new(hz).map(ClockRate)
    }

    pub fn hz(self) -> u32 {
        self.0.get()
    }

    /// Ticks of this clock as nanoseconds, rounded toward zero. Exact to 1 ns for |ticks| < 2^33.
    pub fn ticks_to_nanos(self, ticks: i64) -> Nanos {
        Nanos((i128::from(ticks) * 1_000_000_000 / i128::from(self.hz())) as i64)
    }
}
