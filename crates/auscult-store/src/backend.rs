//! The two back ends behind one door: the engine in this process, or a server by URL.

use super::StoreError;
use super::chdb::{ChdbEngine, EngineLimits, find_library};
use super::endpoint::{Access, in_process_client};
use super::schema::{self, Dialect};
use super::server;
use auscult_http::tls::ClientTls;
use clickhouse::Client;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
                Ok(Store { writer, reader, database, dialect, engine: Some(engine), cleared: Arc::default() })
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
                Ok(Store { writer: client, reader, database, dialect, engine: None, cleared: Arc::default() })
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
}

impl Store {
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

    /// Brings the schema up to date; returns the versions applied now.
    pub async fn migrate(&self) -> Result<Vec<u32>, StoreError> {
        schema::apply_counting(&self.writer, &self.dialect, &self.database, &self.cleared).await
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
