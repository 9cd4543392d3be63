//! One RTP stream's life and numbers: the hot path.

mod drift;
pub mod sequence;
mod timing;
