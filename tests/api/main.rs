//! The HTTP face over the real engine: every route, bounds, paging, percentiles, and hostile text that stays data.

mod access;
mod active;
mod alerts;
mod answers;
mod conditional;
mod export;
mod facts;
mod oidc;
mod routes;
mod world;

#[path = "../store/samples.rs"]
#[allow(dead_code, reason = "shared with the tests of the store, which need all of it")]
mod samples;
