//! The two back ends behind one door: the engine in this process, or a server by URL.

use super::StoreError;
use super::chdb::{ChdbEngine, EngineLimits, find_library};
use super::endpoint::{Access, in_process_client};
use super::retention::{self, Change, Retention, TableTtl};
use super::schema::{self, Dialect};
use super::server;
use auscult_http::tls::ClientTls;
use clickhouse::Client;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where rows go.
#[derive(Clone)]
pub enum Backend {
    Embedded {
        data_dir: PathBuf,
        /// Library file; `None` looks in the usual places ([`find_library`]).
        library: Option<PathBuf>,
        database: String,
        limits: EngineLimits,
    },
    Server {
        /// `http://host:8123` or `https://host:8443`.
        url: String,
        user: String,
        password: String,
        database: String,
        /// Name of the cluster whose distributed tables are used, if any.
        cluster: Option<String>,
        /// For `https://`.
        tls: ClientTls,
    },
}

impl Backend {
    /// The embedded engine on a directory with its usual limits.
    pub fn embedded(data_dir: impl Into<PathBuf>, library: Option<PathBuf>) -> Backend {
        Backend::Embedded {
            data_dir: data_dir.into(),
            library,
            database: "auscult".to_owned(),
            limits: EngineLimits::default(),
        }
    }

    /// Opens the back end. Must be called inside a tokio runtime. A server is not contacted yet.
    pub fn open(&self) -> Result<Store, StoreError> {
        match self {
            Backend::Embedded { data_dir, library, database, limits } => {
                let engine = ChdbEngine::open(&find_library(library.as_deref())?, data_dir, limits)?;
                let writer = in_process_client(&engine, Access::writer(None)).with_database(database);
                let reader = in_process_client(&engine, Access::api()).with_database(database);
                let (database, dialect) = (database.clone(), Dialect::Embedded);
                Ok(Store::new(writer, reader, (database, dialect), Some(engine)))
            }
            Backend::Server { url, user, password, database, cluster, tls } => {
                let client = server::client(url, tls)?
                    .with_user(user)
                    .with_password(password)
                    .with_database(database)
                    .with_setting("session_timezone", "UTC");
                let reader = client.clone().with_setting("readonly", "2").with_setting("max_execution_time", "10");
                let dialect = cluster.clone().map_or(Dialect::Server, |name| Dialect::Cluster { name });
                let database = database.clone();
                Ok(Store::new(client, reader, (database, dialect), None))
            }
        }
    }
}

/// An open back end.
#[derive(Clone)]
pub struct Store {
    writer: Client,
    reader: Client,
    database: String,
    dialect: Dialect,
    engine: Option<ChdbEngine>,
    /// Rows of earlier versions whose texts were removed by this process.
    cleared: Arc<AtomicU64>,
    retention: Arc<Retention>,
    retention_changes: Arc<Mutex<Vec<Change>>>,
}

impl Store {
    fn new(
        writer: Client,
        reader: Client,
        (database, dialect): (String, Dialect),
        engine: Option<ChdbEngine>,
    ) -> Store {
        Store {
            writer,
            reader,
            database,
            dialect,
            engine,
            cleared: Arc::default(),
            retention: Arc::default(),
            retention_changes: Arc::default(),
        }
    }

    /// A client that may change the store; the database is set.
    pub fn writer(&self) -> Client {
        self.writer.clone()
    }

    /// A client that can only read, inside the limits for reads.
    pub fn reader(&self) -> Client {
        self.reader.clone()
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// The engine in this process, for serving it to others.
    pub fn engine(&self) -> Option<&ChdbEngine> {
        self.engine.as_ref()
    }

    /// The store, whose tables [`Store::migrate`] gives these periods.
    pub fn with_retention(mut self, retention: Retention) -> Store {
        self.retention = Arc::new(retention);
        self
    }

    /// Brings the schema up to date, and the time that rows are kept; returns the versions applied now.
    pub async fn migrate(&self) -> Result<Vec<u32>, StoreError> {
        let applied = schema::apply_counting(&self.writer, &self.dialect, &self.database, &self.cleared).await?;
        let changes = retention::apply(&self.writer, &self.dialect, &self.database, &self.retention).await?;
        self.retention_changes.lock().unwrap_or_else(PoisonError::into_inner).extend(changes);
        Ok(applied)
    }

    /// Periods that [`Store::migrate`] changed since the last call.
    pub fn take_retention_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.retention_changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long the rows of each table are kept, as the store has it.
    ///
    /// # Errors
    /// The store cannot be reached, or its tables may not be read.
    pub async fn retention(&self) -> Result<Vec<TableTtl>, StoreError> {
        retention::of_store(&self.reader).await
    }

    /// Rows of earlier versions from which [`Store::migrate`] removed secrets, since the store was opened.
    pub fn cleared_rows(&self) -> u64 {
        self.cleared.load(Ordering::Relaxed)
    }

    /// The counter behind [`Store::cleared_rows`].
    pub(super) fn cleared(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.cleared)
    }

    /// Version of the schema in the store; 0 when there is none.
    pub async fn schema_version(&self) -> Result<u32, StoreError> {
        schema::version(&self.reader, &self.database).await
    }

    /// Whether the store answers a query now.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.version().await.map(|_| ())
    }

    /// Version of the engine or server.
    pub async fn version(&self) -> Result<String, StoreError> {
        let client = self.reader.clone().with_database("default");
        let version = client.query_raw("SELECT version()").fetch_one::<String>().await;
        version.map_err(|cause| StoreError::Client { what: "reach the store".to_owned(), cause })
    }
}
