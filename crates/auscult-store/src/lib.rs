//! Rows, batches, spool, delivery and schema: one SQL dialect (ClickHouse) over two back ends.
//!
//! The embedded engine ([`chdb`]) is reached through an in-process HTTP endpoint ([`endpoint`]), a server over the
//! network; either way the rest of the program holds a `clickhouse::Client` and sees no difference. Events become
//! [`rows`], rows become batches that are files ([`spool`]), files are delivered until acknowledged ([`writer`]).

pub mod backend;
pub mod budget;
pub mod chdb;
pub mod endpoint;
pub mod erase;
pub mod library;
pub mod personal;
pub mod private;
pub mod query;
pub mod retention;
pub mod rowbinary;
pub mod rows;
pub mod schema;
pub mod server;
pub mod spool;
pub mod writer;

pub use backend::{Backend, Store};
pub use rows::{CallKind, Record, Table};
pub use writer::{StoreOptions, StoreSender, StoreWriter};

use std::path::PathBuf;

/// What can go wrong between the program and its store. Each is one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the embedded store needs the engine library libchdb.so, and it is not at {}: run `make engine` to fetch it, \
         or put it at /usr/lib/auscult/libchdb.so or ~/.cache/auscult/libchdb.so, or name it in {env}, or use a server",
        tried.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "), env = chdb::LIBRARY_ENV
    )]
    NoLibrary { tried: Vec<PathBuf> },
    #[error("cannot load the engine library {}: {why}; version 26.7 or newer is needed, `make engine` fetches one", path.display())]
    BadLibrary { path: PathBuf, why: String },
    #[error(
        "the engine library {} is not loaded, because others could have changed it: {why}; only root or the user that \
         runs auscult may be able to (chown, chmod go-w)", path.display()
    )]
    UntrustedLibrary { path: PathBuf, why: String },
    #[error(
        "the data directory {} belongs to user {owner}, and auscult runs as user {user}: run it as that user, give the \
         directory to user {user} (chown -R), or choose another", dir.display()
    )]
    ForeignDirectory { dir: PathBuf, owner: u32, user: u32 },
    #[error(
        "the data directory {} could be exchanged by every user, because {} can be written by all of them: chmod o-w \
         {1}, or choose another directory", dir.display(), parent.display()
    )]
    OpenParent { dir: PathBuf, parent: PathBuf },
    #[error("another auscult{} is using {}: stop it, or choose another data directory", process.map(|p: u32| format!(" (process {p})")).unwrap_or_default(), dir.display())]
    Locked { dir: PathBuf, process: Option<u32> },
    #[error("the engine cannot open {}: another program is using it, it is not writable, or the disk is full", dir.display())]
    EngineRefused { dir: PathBuf },
    #[error("this is not a usable setting: {0}")]
    Setting(String),
    #[error(transparent)]
    Engine(#[from] chdb::EngineError),
    // Its causes are in the line.
    #[error("cannot {what}: {}", server::reason(cause))]
    Client { what: String, cause: clickhouse::error::Error },
    #[error("the store has schema version {found}, this program knows versions up to {known}: use a newer auscult")]
    NewerSchema { found: u32, known: u32 },
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
}
