//! Measures RTP, RTCP and SIP. Frames and their times go into [`engine::Engine`], events ([`model::Event`]) come out.
//!
//! The crate has no effect: no clock, file, socket, thread or output, so that the same frames give the same events.
//! `ARCHITECTURE.md` describes the modules and the order in which they may use each other.

#![forbid(unsafe_code)]

pub mod alert;
pub mod engine;
pub mod groups;
pub mod live;
pub mod media;
pub mod model;
pub mod privacy;
pub mod quality;
pub mod signal;
pub mod units;
pub mod wire;
