//! What reading may cost, in one place: code, documents and the engine's settings take the same numbers from here.
//!
//! All queries that may run at once, the largest insert and the merges fit into what the engine may allocate in all.

/// Longest run of one query, seconds.
pub const MAX_EXECUTION_S: u64 = 10;

/// Memory of one query, bytes: of the API, and of the read-only store endpoint.
pub const QUERY_MEMORY_BYTES: u64 = 128_000_000;

/// Queries of the API that read a whole window ([`super::query::Cost::Scan`]), at once.
pub const SCANS_AT_ONCE: usize = 2;

/// Queries of the API by identifier and pages of lists ([`super::query::Cost::Lookup`]), at once.
pub const LOOKUPS_AT_ONCE: usize = 3;

/// Queries of the store endpoint at once.
pub const ENDPOINT_QUERIES_AT_ONCE: usize = 2;

/// Threads of one query in the embedded engine. Its memory grows with them. The engine's own rule gives a query one thread for each
/// gigabyte that is free ([`FREE_BYTES_PER_THREAD`] takes its place), which under [`ENGINE_MEMORY_BYTES`] is always one.
pub const QUERY_THREADS: u32 = 2;

/// Memory that must be free for each thread of a query, bytes.
pub const FREE_BYTES_PER_THREAD: u64 = QUERY_MEMORY_BYTES / QUERY_THREADS as u64;

/// Memory of one insert of the store's writer, bytes: what a batch may hold follows from it
/// ([`super::rows::Table::insert_limit`]).
pub const INSERT_MEMORY_BYTES: u64 = 96 << 20;

/// Memory of one merge in the background, bytes: the largest seen on the engine, of five full batches of `streams`.
pub const MERGE_MEMORY_BYTES: u64 = 128 << 20;

/// Merges at once.
pub const MERGES_AT_ONCE: u32 = 2;

/// Caches of the embedded engine, by the name of their setting, bytes. Its own sizes are gigabytes; caches of kinds of
/// data that the store does not have stay empty.
pub const CACHES: [(&str, u64); 5] = [
    ("mark_cache_size", 64 << 20),
    ("primary_index_cache_size", 64 << 20),
    ("index_mark_cache_size", 16 << 20),
    ("query_condition_cache_size", 16 << 20),
    ("compiled_expression_cache_size", 16 << 20),
];

/// What the embedded engine may allocate in all, bytes.
pub const ENGINE_MEMORY_BYTES: u64 = 1_500_000_000;

/// What the process needs beside [`ENGINE_MEMORY_BYTES`], bytes: 216 MB of the library's code and 55 MB idle, as resident
/// memory, and a margin for freed pages that the allocator has not given back yet.
pub const ENGINE_BASE_BYTES: u64 = 500_000_000;

const _: () = {
    let queries = (SCANS_AT_ONCE + LOOKUPS_AT_ONCE + ENDPOINT_QUERIES_AT_ONCE) as u64;
    let [a, b, c, d, e] = CACHES;
    let caches = a.1 + b.1 + c.1 + d.1 + e.1;
    let writes = INSERT_MEMORY_BYTES + MERGES_AT_ONCE as u64 * MERGE_MEMORY_BYTES;
    assert!(queries * QUERY_MEMORY_BYTES + writes + caches <= ENGINE_MEMORY_BYTES);
};
