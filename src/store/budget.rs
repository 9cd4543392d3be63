//! What reading may cost, in one place: code, documents and the engine's settings take the same numbers from here.
//!
//! All queries that may run at once, and the largest insert, fit into what the engine may allocate in all.

/// Longest run of one query, seconds.
pub const MAX_EXECUTION_S: u64 = 10;

/// Memory of one query, bytes: of the API, and of the read-only store endpoint.
pub const QUERY_MEMORY_BYTES: u64 = 128_000_000;

/// Queries of the API that read a whole window ([`super::query::Cost::Scan`]), at once.
pub const SCANS_AT_ONCE: usize = 2;

/// Queries of the API by identifier and pages of lists ([`super::query::Cost::Lookup`]), at once.
pub const LOOKUPS_AT_ONCE: usize = 4;

/// Queries of the store endpoint at once.
pub const ENDPOINT_QUERIES_AT_ONCE: usize = 2;

/// Memory of one insert of the store's writer, bytes.
pub const INSERT_MEMORY_BYTES: u64 = 600_000_000;

/// What the embedded engine may allocate in all, bytes. Its code, about 300 MB of the file mapped and shared, is not in it.
pub const ENGINE_MEMORY_BYTES: u64 = 1_700_000_000;

const QUERIES_AT_ONCE: usize = SCANS_AT_ONCE + LOOKUPS_AT_ONCE + ENDPOINT_QUERIES_AT_ONCE;
const _: () = assert!(QUERIES_AT_ONCE as u64 * QUERY_MEMORY_BYTES + INSERT_MEMORY_BYTES <= ENGINE_MEMORY_BYTES);
