//! The HTTP face over the real engine: every route, bounds, paging, percentiles, and hostile text that stays data.

mod answers;
mod routes;
mod world;
