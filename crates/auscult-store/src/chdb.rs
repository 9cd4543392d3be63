//! The embedded ClickHouse engine: `libchdb.so` loaded at run time, behind safe connections, results and insert streams.
//!
//! The only `unsafe` of this crate. Invariants every block below leans on: the library is leaked, so its function
//! pointers live as long as the process; a handle is used by one thread at a time (types are `Send`, not `Sync`);
//! whatever borrows a connection cannot outlive it; opening and closing connections is serialised by `CONNECT`.

use super::{StoreError, private};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use super::library::{LIBRARY_ENV, find_library};

/// An exception of the engine: ClickHouse error code (0 when the text carries none) and text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct EngineError {
    pub code: u32,
    pub text: String,
}

impl EngineError {
    /// Reads `Code: N. DB::Exception: ...`; text of another shape keeps code 0.
    pub fn parse(text: &str) -> EngineError {
        EngineError { code: exception_code(text).unwrap_or(0), text: text.trim().to_owned() }
    }
}

/// The number after the first `Code:` of an exception text.
pub fn exception_code(text: &str) -> Option<u32> {
    let rest = text.get(text.find("Code:")? + 5..)?.trim_start();
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

/// How much the embedded engine may take, for the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// Memory of all queries and merges together, bytes.
    pub server_memory: u64,
    /// Memory of one query, bytes.
    pub query_memory: u64,
    /// Threads that merge parts in the background.
    pub background_threads: u32,
}

impl Default for EngineLimits {
    fn default() -> Self {
        EngineLimits {
            server_memory: super::budget::ENGINE_MEMORY_BYTES,
            query_memory: super::budget::INSERT_MEMORY_BYTES,
            background_threads: super::budget::MERGES_AT_ONCE,
        }
    }
}

/// The engine opened on one directory. Clones share it; it closes when the last clone and connection are gone.
#[derive(Clone)]
pub struct ChdbEngine {
    inner: Arc<Inner>,
}

struct Inner {
    library: &'static Library,
    dir: PathBuf,
    settings: Vec<(String, String)>,
    version: String,
    /// Keeps the engine open between requests: opening it anew costs a hundred times more.
    keeper: Mutex<Option<Connection>>,
    _lock: File,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl ChdbEngine {
    /// Opens (or creates) `dir`. One directory per process, one process per directory.
    pub fn open(library: &Path, dir: &Path, limits: &EngineLimits) -> Result<ChdbEngine, StoreError> {
        let io = |what: &'static str| move |source| StoreError::Io { what, path: dir.to_path_buf(), source };
        private::create_dir(dir).map_err(io("create the data directory"))?;
        let dir = &dir.canonicalize().map_err(io("find the data directory"))?;
        let lock = lock_directory(dir)?;
        let library = Library::load(library)?;
        let mut settings: Vec<(String, String)> = [
            ("path", dir.display().to_string()),
            ("max_server_memory_usage", limits.server_memory.to_string()),
            ("max_memory_usage", limits.query_memory.to_string()),
            ("background_pool_size", limits.background_threads.to_string()),
            ("max_threads", super::budget::QUERY_THREADS.to_string()),
            ("max_threads_min_free_memory_per_thread", super::budget::FREE_BYTES_PER_THREAD.to_string()),
            // The primary keys leave out the same parts. Looking at statistics takes a third of the planning where there are hundreds.
            ("use_statistics_for_part_pruning", "0".to_owned()),
            // No machine code made at run time: memory that is written is never run in this process.
            ("compile_expressions", "0".to_owned()),
            ("compile_aggregate_expressions", "0".to_owned()),
            ("compile_sort_description", "0".to_owned()),
            // Times mean the same on every host.
            ("session_timezone", "UTC".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        settings.extend(super::budget::CACHES.map(|(name, bytes)| (name.to_owned(), bytes.to_string())));
        let keeper = library.connect(&settings)?.ok_or_else(|| StoreError::EngineRefused { dir: dir.clone() })?;
        let version = keeper.query("SELECT version()", "TSV")?;
        let version = String::from_utf8_lossy(version.bytes()).trim().to_owned();
        let keeper = Mutex::new(Some(keeper));
        Ok(ChdbEngine { inner: Arc::new(Inner { library, dir: dir.clone(), settings, version, keeper, _lock: lock }) })
    }

    /// Version of the engine, such as `26.7.2.1`.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    pub fn directory(&self) -> &Path {
        &self.inner.dir
    }

    /// A connection with its own settings; the engine ignores names it does not know, so callers pass only known ones.
    pub fn connect(&self, settings: &[(String, String)]) -> Result<Connection, StoreError> {
        let own = self.inner.settings.iter().filter(|(name, _)| !settings.iter().any(|(n, _)| n == name));
        let settings: Vec<_> = own.chain(settings).cloned().collect();
        let refused = || StoreError::EngineRefused { dir: self.inner.dir.clone() };
        self.inner.library.connect(&settings)?.ok_or_else(refused)
    }
}

/// One connection. Statements on it run one after the other.
pub struct Connection {
    library: &'static Library,
    raw: *mut *mut c_void,
    /// Moves between threads, is never shared.
    _not_sync: PhantomData<std::cell::Cell<()>>,
}

// SAFETY: the engine ties a connection to no thread; `Connection` is not `Sync`, so one thread uses it at a time.
unsafe impl Send for Connection {}

impl Connection {
    /// Runs one statement and returns its whole answer. `format` applies where the statement names none.
    pub fn query(&self, sql: &str, format: &str) -> Result<Answer, EngineError> {
        // SAFETY: the handle is open until drop; both texts are passed with their lengths and are not kept.
        let raw = unsafe {
            (self.library.query)(self.handle(), sql.as_ptr().cast(), sql.len(), format.as_ptr().cast(), format.len())
        };
        Answer::checked(self.library, raw)
    }

    /// Runs a SELECT and hands out its answer in chunks; other statements are refused by the engine (code 36).
    pub fn stream(&self, sql: &str, format: &str) -> Result<SelectStream<'_>, EngineError> {
        // SAFETY: as in `query`.
        let raw = unsafe {
            (self.library.stream)(self.handle(), sql.as_ptr().cast(), sql.len(), format.as_ptr().cast(), format.len())
        };
        Ok(SelectStream { connection: self, stream: Answer::checked(self.library, raw)?, ended: false })
    }

    /// Starts an INSERT whose rows follow in `format`. `sql` has neither FORMAT nor VALUES.
    pub fn insert(&self, sql: &str, format: &str) -> Result<InsertStream<'_>, EngineError> {
        // SAFETY: as in `query`; the returned handle is never null and is destroyed by `InsertStream`.
        let raw = unsafe {
            (self.library.insert)(self.handle(), sql.as_ptr().cast(), sql.len(), format.as_ptr().cast(), format.len())
        };
        let insert = InsertStream { connection: self, raw, open: true };
        insert.check()?;
        Ok(insert)
    }

    fn handle(&self) -> *mut c_void {
        // SAFETY: `connect` checked that `raw` and what it points to are not null; both live until `close`.
        unsafe { *self.raw }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _serial = CONNECT.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: `raw` came from connect, is closed once, and nothing that borrows it is alive.
        unsafe { (self.library.close)(self.raw) }
    }
}

/// A finished answer in the engine's memory.
pub struct Answer {
    library: &'static Library,
    raw: *mut c_void,
}

// SAFETY: a result is plain memory owned by its handle, tied to no thread.
unsafe impl Send for Answer {}

impl Answer {
    fn checked(library: &'static Library, raw: *mut c_void) -> Result<Answer, EngineError> {
        if raw.is_null() {
            return Err(EngineError { code: 0, text: "the engine gave no answer".to_owned() });
        }
        let answer = Answer { library, raw };
        // SAFETY: `raw` is a live result; the text, if any, is a C string owned by it.
        match unsafe { text_of((library.result_error)(raw)) } {
            Some(text) => Err(EngineError::parse(&text)),
            None => Ok(answer),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: buffer and length describe memory owned by the result, which outlives the borrow.
        unsafe {
            let start = (self.library.result_buffer)(self.raw);
            let length = (self.library.result_length)(self.raw);
            if start.is_null() || length == 0 { &[] } else { std::slice::from_raw_parts(start.cast(), length) }
        }
    }

    pub fn rows_read(&self) -> u64 {
        // SAFETY: `raw` is a live result.
        unsafe { (self.library.rows_read)(self.raw) }
    }

    /// Rows written, those of materialised views included.
    pub fn rows_written(&self) -> u64 {
        // SAFETY: `raw` is a live result.
        unsafe { (self.library.rows_written)(self.raw) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: destroyed once; no borrow of its memory is alive.
        unsafe { (self.library.destroy_result)(self.raw) }
    }
}

/// The answer of a SELECT in chunks; dropped early, it cancels the query.
pub struct SelectStream<'c> {
    connection: &'c Connection,
    stream: Answer,
    ended: bool,
}

impl SelectStream<'_> {
    /// The next chunk, `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Answer>, EngineError> {
        if self.ended {
            return Ok(None);
        }
        let library = self.connection.library;
        // SAFETY: connection and stream are open; the chunk is owned by the returned `Answer`.
        let raw = unsafe { (library.fetch)(self.connection.handle(), self.stream.raw) };
        let chunk = Answer::checked(library, raw).inspect_err(|_| self.ended = true)?;
        self.ended = chunk.bytes().is_empty();
        Ok((!self.ended).then_some(chunk))
    }
}

impl Drop for SelectStream<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: connection and stream are open; `stream` is destroyed after this, by its own drop.
            unsafe { (self.connection.library.cancel_stream)(self.connection.handle(), self.stream.raw) }
        }
    }
}

/// An INSERT in progress; dropped before [`InsertStream::finish`], nothing of it is kept.
pub struct InsertStream<'c> {
    connection: &'c Connection,
    raw: *mut c_void,
    open: bool,
}

impl InsertStream<'_> {
    /// Hands over bytes of rows; blocks while the engine is behind.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        // SAFETY: the stream is open; the engine copies the bytes before it returns.
        let state = unsafe { (self.connection.library.append)(self.raw, bytes.as_ptr().cast(), bytes.len()) };
        self.check()?;
        match state {
            0 => Ok(()),
            _ => Err(EngineError { code: 0, text: "the engine refused the rows without a reason".to_owned() }),
        }
    }

    /// Commits; returns the rows written (materialised views included).
    pub fn finish(mut self) -> Result<u64, EngineError> {
        self.open = false;
        // SAFETY: the stream is open and is committed once; `drop` destroys it afterwards.
        let raw = unsafe { (self.connection.library.done)(self.raw) };
        Answer::checked(self.connection.library, raw).map(|answer| answer.rows_written())
    }

    fn check(&self) -> Result<(), EngineError> {
        // SAFETY: the stream is alive; the text, if any, is a C string owned by it.
        match unsafe { text_of((self.connection.library.insert_error)(self.raw)) } {
            Some(text) => Err(EngineError::parse(&text)),
            None => Ok(()),
        }
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: cancelled only if not committed, destroyed exactly once.
        unsafe {
            if self.open {
                (self.connection.library.cancel_insert)(self.raw);
            }
            (self.connection.library.destroy_insert)(self.raw);
        }
    }
}

/// A race between opening and closing was mended upstream only in August 2026; older libraries are about.
static CONNECT: Mutex<()> = Mutex::new(());

static LIBRARY: OnceLock<Library> = OnceLock::new();

type TextQuery = unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize) -> *mut c_void;

struct Library {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut *mut c_void,
    close: unsafe extern "C" fn(*mut *mut c_void),
    query: TextQuery,
    stream: TextQuery,
    insert: TextQuery,
    fetch: unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void,
    cancel_stream: unsafe extern "C" fn(*mut c_void, *mut c_void),
    result_buffer: unsafe extern "C" fn(*mut c_void) -> *mut c_char,
    result_length: unsafe extern "C" fn(*mut c_void) -> usize,
    result_error: unsafe extern "C" fn(*mut c_void) -> *const c_char,
    rows_read: unsafe extern "C" fn(*mut c_void) -> u64,
    rows_written: unsafe extern "C" fn(*mut c_void) -> u64,
    destroy_result: unsafe extern "C" fn(*mut c_void),
    append: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int,
    done: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    insert_error: unsafe extern "C" fn(*mut c_void) -> *const c_char,
    cancel_insert: unsafe extern "C" fn(*mut c_void),
    destroy_insert: unsafe extern "C" fn(*mut c_void),
}

impl Library {
    /// Loads the library once per process; later calls get the first one, whatever their path.
    fn load(path: &Path) -> Result<&'static Library, StoreError> {
        static LOADING: Mutex<()> = Mutex::new(());
        let _serial = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = LIBRARY.get() {
            return Ok(loaded);
        }
        let loaded = Library::open(path)
            .map_err(|why| StoreError::BadLibrary { path: path.to_path_buf(), why: why.to_string() })?;
        Ok(LIBRARY.get_or_init(|| loaded))
    }

    fn open(path: &Path) -> Result<Library, libloading::Error> {
        // SAFETY: loading runs the initialisers of a library the operator named. The signatures are those of chdb.h;
        // `Symbol`s are copied out as plain function pointers, which stay valid because the library is never unloaded.
        unsafe {
            let library = Box::leak(Box::new(libloading::Library::new(path)?));
            macro_rules! symbol {
                ($name:literal) => {
                    *library.get(concat!($name, "\0").as_bytes())?
                };
            }
            let signal_handlers: unsafe extern "C" fn(c_int) = symbol!("chdb_set_signal_handlers_enabled");
            let opened = Library {
                connect: symbol!("chdb_connect"),
                close: symbol!("chdb_close_conn"),
                query: symbol!("chdb_query_n"),
                stream: symbol!("chdb_stream_query_n"),
                insert: symbol!("chdb_stream_insert_n"),
                fetch: symbol!("chdb_stream_fetch_result"),
                cancel_stream: symbol!("chdb_stream_cancel_query"),
                result_buffer: symbol!("chdb_result_buffer"),
                result_length: symbol!("chdb_result_length"),
                result_error: symbol!("chdb_result_error"),
                rows_read: symbol!("chdb_result_rows_read"),
                rows_written: symbol!("chdb_result_rows_written"),
                destroy_result: symbol!("chdb_destroy_query_result"),
                append: symbol!("chdb_stream_append"),
                done: symbol!("chdb_stream_done"),
                insert_error: symbol!("chdb_stream_insert_error"),
                cancel_insert: symbol!("chdb_stream_cancel_insert"),
                destroy_insert: symbol!("chdb_destroy_insert_stream"),
            };
            // SIGTERM, SIGSEGV and the rest stay ours; must come before the first connect.
            signal_handlers(0);
            Ok(opened)
        }
    }

    /// `None` when the engine refuses, which it does without a reason.
    fn connect(&'static self, settings: &[(String, String)]) -> Result<Option<Connection>, StoreError> {
        let mut arguments = vec![argument("clickhouse")?];
        for (name, value) in settings {
            arguments.push(argument(&format!("--{name}={value}"))?);
        }
        let count =
            c_int::try_from(arguments.len()).map_err(|_| StoreError::Setting("too many settings".to_owned()))?;
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|a| a.as_ptr().cast_mut()).collect();
        let _serial = CONNECT.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: `count` C strings that live until the call returns; the engine copies and does not change them.
        let raw = unsafe { (self.connect)(count, pointers.as_mut_ptr()) };
        // SAFETY: a non-null connection points to one handle.
        let open = !raw.is_null() && unsafe { !(*raw).is_null() };
        Ok(open.then_some(Connection { library: self, raw, _not_sync: PhantomData }))
    }
}

/// The text behind `raw`, `None` when null or empty.
///
/// # Safety
/// `raw` is null or a C string that lives for the call.
unsafe fn text_of(raw: *const c_char) -> Option<String> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: by contract of this function.
    let text = unsafe { CStr::from_ptr(raw) }.to_string_lossy();
    (!text.is_empty()).then(|| text.into_owned())
}

fn argument(text: &str) -> Result<CString, StoreError> {
    CString::new(text).map_err(|_| StoreError::Setting(text.replace('\0', "\\0")))
}

/// The engine locks its directory too, but says so on standard error only; this lock names the holder.
fn lock_directory(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("auscult.lock");
    let io = |source| StoreError::Io { what: "lock the data directory with", path: path.clone(), source };
    let mut file = private::open_lock_file(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes())).map_err(io)?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut holder));
            let process = read.ok().and_then(|_| holder.trim().parse().ok());
            Err(StoreError::Locked { dir: dir.to_path_buf(), process })
        }
        Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Ends the process without exit handlers, which do not survive an engine that was open. Flush and drain before.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes a number and does not return.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exception_codes_are_read_from_the_text() {
        let e = EngineError::parse("Code: 60. DB::Exception: Table x.t does not exist. (UNKNOWN_TABLE)\n");
        assert_eq!((e.code, e.text.ends_with("(UNKNOWN_TABLE)")), (60, true));
        assert_eq!(EngineError::parse("Code: many").code, 0);
        assert_eq!(EngineError::parse("").code, 0);
        assert_eq!(exception_code("500 Internal Server Error"), None);
    }
}
