//! Bytes to checked views.
pub mod sdp;
