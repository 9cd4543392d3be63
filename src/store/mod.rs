//! The store: rows in ClickHouse, and the questions asked of them.

pub mod query;
