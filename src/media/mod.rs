//! RTP streams and their numbers: the hot path.
//!
//! A [`Shard`] owns the streams of one thread. Nothing here knows SIP: what offers and answers say comes in as
//! a [`Hint`] about an address, and a stream works without one.

mod drift;
mod packet;
mod payloads;
pub mod sequence;
mod shard;
mod stream;
mod timing;

pub use packet::{Endpoint, FlowKey, Packet};
pub use shard::{Fact, Gap, Hint, Shard};
