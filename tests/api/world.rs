//! A service over a fresh database with rows a test chose, and requests to it without a port.

use auscult_access::{AccessFile, NewToken, Role, Scope, SessionLimits};
use auscult_api::{AccessControl, AppState, Check, HostPolicy, LiveFeed, MetricFamily, Sample, Telemetry, app};
use auscult_core::model::Limits;
use auscult_core::units::{Nanos, Timestamp};
use auscult_store::chdb::{ChdbEngine, EngineLimits, find_library};
use auscult_store::endpoint::{Access, in_process_client};
use auscult_store::query::Reader;
use auscult_store::schema::{self, Dialect};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use clickhouse::{Client, RowOwned, RowWrite};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tempfile::TempDir;
use tower::ServiceExt;

/// Far enough ahead that no row expires while a test looks.
pub const STORED: &str = "2100-01-01 00:00:00";

/// 2026-03-01T12:00:00Z, the start of every test's world.
pub const START: Timestamp = Timestamp::from_secs(1_772_366_400);

pub struct World {
    pub router: Router,
    pub live: Arc<LiveFeed>,
    pub writer: Client,
    pub reader: Client,
    _opened: Arc<Opened>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

struct Spool(bool);

impl Telemetry for Spool {
    fn families(&self) -> Vec<MetricFamily> {
        let samples = vec![Sample::counter([("table", "calls"), ("state", "delivered")], 12)];
        vec![MetricFamily { name: "auscult_store_rows", help: "Rows by table and state", samples }]
    }

    fn checks(&self) -> Vec<Check> {
        let reason = (!self.0).then(|| "the spool is above its limit".to_owned());
        vec![Check { name: "spool".to_owned(), ok: self.0, reason }]
    }
}

/// A service over `reader`, with the spool in the state given.
pub fn service(reader: Client, live: Arc<LiveFeed>, spool_ok: bool) -> Router {
    service_over(Reader::new(reader), live, spool_ok)
}

pub fn service_over(reader: Reader, live: Arc<LiveFeed>, spool_ok: bool) -> Router {
    service_with(reader, live, spool_ok, Arc::new(AccessControl::without_users()))
}

/// A service whose clients have to show who they are.
pub fn service_with(reader: Reader, live: Arc<LiveFeed>, spool_ok: bool, access: Arc<AccessControl>) -> Router {
    app(AppState {
        reader,
        live,
        telemetry: Arc::new(Spool(spool_ok)),
        hosts: HostPolicy::loopback(),
        access,
        probe: "probe-1".into(),
        site: "site-1".into(),
        now: || START,
    })
}

/// A service that clients on other hosts reach with the token that is returned (`Bearer ...`), of a viewer.
pub fn service_for_others(reader: Reader, live: Arc<LiveFeed>) -> (Router, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let new = NewToken { name: "other", role: Role::Viewer, scope: Scope::all(), expires_at: None };
    let (_, token) = AccessFile::change(dir.path(), |file| file.add_token(&new, START)).expect("a token");
    let access = Arc::new(auscult_access::Access::open(dir.path(), true, SessionLimits::default()).expect("the file"));
    let control = AccessControl::new(access, None, None, false);
    (service_with(reader, live, true, Arc::new(control)), format!("Bearer {token}"))
}

pub async fn get(router: &Router, uri: &str) -> Answer {
    send(router, Request::get(uri).header(header::HOST, "localhost:8080")).await
}

pub async fn send(router: &Router, request: axum::http::request::Builder) -> Answer {
    let request = request.body(Body::empty()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.expect("a body");
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
}

impl World {
    /// `None`, with a line that says so, where the engine library is absent.
    pub async fn new(name: &str) -> Option<World> {
        let opened = opened()?;
        let writer = in_process_client(&opened.engine, Access::writer(None)).with_database(name);
        let reader = in_process_client(&opened.engine, Access::api()).with_database(name);
        schema::apply(&writer, &Dialect::Embedded, name).await.expect("the schema");
        let live = Arc::new(LiveFeed::new(&Limits::default()));
        Some(World { router: service(reader.clone(), live.clone(), true), live, writer, reader, _opened: opened })
    }

    pub async fn get(&self, uri: &str) -> Value {
        let answer = get(&self.router, uri).await;
        assert_eq!(answer.status, StatusCode::OK, "{uri}: {}", answer.text);
        answer.json()
    }

    /// One row as the store's writer makes it.
    pub async fn store<T: RowOwned + RowWrite>(&self, table: &str, row: &T) {
        let mut insert = self.writer.insert::<T>(table).await.expect("the columns match");
        insert.write(row).await.expect("a row is taken");
        insert.end().await.expect("the row is stored");
    }

    pub async fn insert(&self, table: &str, rows: &[Value]) {
        let mut sql = format!("INSERT INTO {table} FORMAT JSONEachRow\n");
        for row in rows {
            sql.push_str(&row.to_string());
            sql.push('\n');
        }
        self.writer.query_raw(&sql).execute().await.expect("rows are stored");
    }
}

/// A row of `calls` that began `second` seconds after [`START`], with the fields given on top.
pub fn call(uid: u64, second: i64, fields: Value) -> Value {
    let at = START + Nanos::from_secs(second);
    let base = json!({
        "stored_at": STORED, "probe": "p1", "call_uid": uid, "call_id": format!("call-{uid}@test"),
        "state": "completed", "transport": "UDP", "first_at": sql_time(at), "last_at": sql_time(at + Nanos::from_secs(60)),
        "mos_worst": 4.3, "mos_scale": "nb", "loss_source": "none", "row_id": uid,
    });
    merged(base, fields)
}

/// A row of `streams` or `stream_intervals`; `start_at` and `first_at` both lie `second` seconds after [`START`].
pub fn stream(id: u64, call_uid: u64, second: i64, fields: Value) -> Value {
    let at = START + Nanos::from_secs(second);
    let base = json!({
        "stored_at": STORED, "probe": "p1", "stream_id": id, "call_uid": call_uid, "codec": "PCMU",
        "src_ip": "::ffff:192.0.2.1", "src_port": 4000, "dst_ip": "::ffff:192.0.2.2", "dst_port": 5000, "ssrc": 0xabcd,
        "first_at": sql_time(at), "last_at": sql_time(at + Nanos::from_secs(60)), "histogram_version": 1, "row_id": id,
    });
    merged(base, fields)
}

pub fn interval(stream_id: u64, call_uid: u64, second: i64, fields: Value) -> Value {
    let mut row = stream(stream_id, call_uid, second, fields);
    if let Some(row) = row.as_object_mut() {
        row.remove("first_at");
        row.remove("last_at");
        let start = sql_time(START + Nanos::from_secs(second));
        row.insert("start_at".to_owned(), json!(start.split('.').next()));
        row.insert("length_ms".to_owned(), json!(10_000));
        row.insert("row_id".to_owned(), json!(stream_id * 1000 + second as u64));
    }
    row
}

/// `2026-03-01 12:00:00.000000000`, the form the engine reads.
pub fn sql_time(at: Timestamp) -> String {
    at.to_rfc3339().replace('T', " ").replace('Z', "")
}

pub fn merged(mut base: Value, fields: Value) -> Value {
    if let (Some(base), Value::Object(fields)) = (base.as_object_mut(), fields) {
        base.extend(fields);
    }
    base
}

/// The engine serves one directory per process and must be closed before the process exits: worlds share it
/// while there are any, and the last one closes it.
struct Opened {
    engine: ChdbEngine,
    _directory: TempDir,
}

fn opened() -> Option<Arc<Opened>> {
    static SHARED: Mutex<Weak<Opened>> = Mutex::new(Weak::new());
    let library = match find_library(None) {
        Ok(library) => library,
        Err(absent) => {
            testkit::skip(absent);
            return None;
        }
    };
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(opened) = shared.upgrade() {
        return Some(opened);
    }
    let directory = TempDir::new().expect("a directory");
    // The runtime of the world before may still be closing its connections.
    let open = || ChdbEngine::open(&library, directory.path(), &EngineLimits::default());
    let engine = (0..100).find_map(|_| open().map_err(|_| std::thread::sleep(Duration::from_millis(50))).ok());
    let opened = Arc::new(Opened { engine: engine.expect("the engine opens"), _directory: directory });
    *shared = Arc::downgrade(&opened);
    Some(opened)
}
