//! The store of a running program for commands of the same user: a socket in the data directory, mode 0600.
//!
//! The embedded engine opens its files for one process. A command reaches them through the process that has them, read-only. What only
//! the running program can do, such as erasing rows that are on their way to the store, are routes of their own.

use super::{Access, Turns, router};
use crate::StoreError;
use crate::chdb::ChdbEngine;
use axum::Router;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Name of the socket in the data directory.
pub const SOCKET: &str = "auscult.sock";

/// The data directory, held open: an address of a socket has room for 107 bytes only, and the path of the directory may be longer.
struct DataDirectory(File);

impl DataDirectory {
    fn open(data: &Path) -> io::Result<DataDirectory> {
        File::open(data).map(DataDirectory)
    }

    fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", self.0.as_raw_fd()))
    }
}

/// The socket of a running program; gone when this is dropped.
pub struct LocalSocket {
    place: DataDirectory,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        self.task.abort();
        // A start that comes next removes what stays.
        let _ = std::fs::remove_file(self.place.socket());
    }
}

/// Serves `commands` on the socket of a data directory, which this process alone uses, and reads of the embedded engine where there is
/// one. `turns` are those of other readers: the engine's memory is for so many. Must be called inside a tokio runtime.
///
/// # Errors
/// The socket cannot be made.
pub fn serve_local(
    engine: Option<ChdbEngine>,
    data: &Path,
    turns: Turns,
    commands: Router,
) -> Result<LocalSocket, StoreError> {
    let failed = |source| StoreError::Io { what: "make the socket for commands in", path: data.to_path_buf(), source };
    let place = DataDirectory::open(data).map_err(failed)?;
    let socket = place.socket();
    // What a killed program left: the directory is ours, so nobody listens there.
    match std::fs::remove_file(&socket) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    // Until its mode is set the umask and the mode of the directory keep others out.
    let listener = UnixListener::bind(&socket).map_err(failed)?;
    std::fs::set_permissions(&socket, Permissions::from_mode(0o600)).map_err(failed)?;
    let app = match engine {
        Some(engine) => commands.merge(router(engine, Access { turns, ..Access::reader(None) })),
        None => commands,
    };
    let task = tokio::spawn(async move {
        let _ = axum::serve(listener, app).await;
    });
    Ok(LocalSocket { place, task })
}

/// A client of the program that runs on a data directory; `None` when none does.
///
/// # Errors
/// A program runs, and this user may not ask it.
pub fn local_client(data: &Path) -> Result<Option<clickhouse::Client>, StoreError> {
    let failed = |source| StoreError::Io { what: "ask the program that runs on", path: data.to_path_buf(), source };
    let place = match DataDirectory::open(data) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        place => place.map_err(failed)?,
    };
    match std::os::unix::net::UnixStream::connect(place.socket()) {
        Ok(_) => {}
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(e) => return Err(failed(e)),
    }
    let place = std::sync::Arc::new(place);
    let connector = tower::service_fn(move |_: axum::http::Uri| {
        let place = place.clone();
        Box::pin(async move { UnixStream::connect(place.socket()).await.map(TokioIo::new) })
    });
    let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(2)).build(connector);
    let client = clickhouse::Client::with_http_client(http)
        .with_url("http://local")
        .with_database(super::DATABASE)
        .with_compression(clickhouse::Compression::None);
    Ok(Some(client))
}

/// Posts a body to a route of the program that runs on a data directory; its status and answer, or `None` when none runs. Waits for
/// as long as the answer takes.
///
/// # Errors
/// A program runs, and this user may not ask it, or it ends before it has answered.
pub async fn post_local(data: &Path, path: &str, body: &str) -> Result<Option<(u16, String)>, StoreError> {
    let failed = |source| StoreError::Io { what: "ask the program that runs on", path: data.to_path_buf(), source };
    let place = match DataDirectory::open(data) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        place => place.map_err(failed)?,
    };
    let mut stream = match UnixStream::connect(place.socket()).await {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        stream => stream.map_err(failed)?,
    };
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: local\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.map_err(failed)?;
    stream.write_all(body.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let ended = || failed(io::Error::new(ErrorKind::UnexpectedEof, "it ended before it had answered"));
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(ended)?;
    Ok(Some((status.ok_or_else(ended)?, body.to_owned())))
}
