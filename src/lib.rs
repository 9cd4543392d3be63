//! The program around the crates: command line, configuration, threads, alert delivery and its own telemetry.

#![forbid(unsafe_code)]

pub mod app;
