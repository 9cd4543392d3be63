//! One packet of sampled media as the clock sees it, and what is kept of the last one of a payload type.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub at: i64,
    pub timestamp: u32,
    pub seq: u16,
    pub marker: bool,
    /// Follows the sample before it in sequence, nothing in between.
    pub consecutive: bool,
}

/// Jitter state of one payload type while another one is in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parked {
    /// Arrival and timestamp of its last packet.
    pub last: Option<(i64, u32)>,
    pub jitter: f64,
}
