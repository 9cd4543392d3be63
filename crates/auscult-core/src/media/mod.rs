//! RTP streams and their numbers: the hot path.
//!
//! A [`Shard`] owns the streams of one thread. Nothing here knows SIP: what offers and answers say comes in as
//! a [`Hint`] about an address, and a stream works without one.

mod closed_intervals;
mod coalesce;
mod discards;
mod drift;
mod evict;
mod in_order;
mod interval_counters;
mod packet;
mod payloads;
pub mod recent;
mod sample;
mod sequence;
mod shard;
mod stream;
mod timing;
mod warmup;

/// Streams remembered per address, SSRC or call. Beyond it (a bridge, a flood) they are measured all the same; what comes to
/// be known of the address later does not reach them. Without it many streams of one address would cost their square.
pub const STREAMS_PER_ADDRESS: usize = 1024;

pub use packet::{Endpoint, FlowKey, Packet};
pub use shard::{Gap, Hint, IntervalClose, MediaEvent, Shard, SlotHint};
pub use stream::{ClockStepSample, SequencePosition};
