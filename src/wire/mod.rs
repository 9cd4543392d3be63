//! Bytes to checked views.

pub mod sdp;
pub mod sip;
