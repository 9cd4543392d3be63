//! Passive RTP, RTCP and SIP call-quality monitor.
//!
//! Frames and their times go into a pure machine ([`engine`]), facts come out ([`model::Event`]);
//! everything with an effect hangs off the two ends. `ARCHITECTURE.md` tells the house.

pub mod alert;
pub mod api;
pub mod app;
pub mod capture;
pub mod engine;
pub mod groups;
pub mod http;
pub mod live;
pub mod media;
pub mod model;
pub mod quality;
pub mod signal;
pub mod store;
pub mod units;
pub mod wire;
