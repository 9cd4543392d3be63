//! ClickHouse's HTTP interface over the embedded engine: what `clickhouse` crate, curl and BI tools speak.
//!
//! In-process callers get a client whose connector hands one end of a socket pair to this endpoint, so no port is
//! open ([`in_process_client`]). The same interface can be served on an address, with a token, read-only unless
//! asked otherwise ([`serve_endpoint`]). Without sessions; one engine connection per request.
//!
//! A reader with a token is a stranger: its statements are checked and printed anew by [`mod@check`], and nothing of
//! its text reaches the engine. The program's own readers (without a token, in this process) run their statements as
//! they are, with `readonly=1`.

pub mod check;
pub mod frames;
mod hello;
mod local;
mod names;
mod reader;
pub mod request;
mod rights;
mod run;

pub use check::check;
pub use local::{LocalSocket, SOCKET, local_client, post_local, serve_local};
pub use request::{literal, quoted_name};
pub use rights::{EndpointRead, EndpointReader, FindReader, RecordRead};

use super::StoreError;
use super::budget::{ENDPOINT_QUERIES_AT_ONCE, LOOKUPS_AT_ONCE, MAX_EXECUTION_S, QUERY_MEMORY_BYTES, SCANS_AT_ONCE};
use super::chdb::{ChdbEngine, EngineError, EngineLimits, find_library};
use auscult_access::Role;
use auscult_http::tls::Identity;
use auscult_http::{HttpLimits, HttpServer};
use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, serve::Listener};
use frames::FrameReader;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::{TokioExecutor, TokioIo};
use names::NamesCache;
use request::{Fields, Statement, classify};
use run::{CHUNKS, InsertRows, Job, run, summary};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::StreamExt;

/// Largest request body that is not a streamed INSERT: statements, and rows that follow them inline.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// How long a request waits before it is refused with a time to come back.
const TURN: Duration = Duration::from_secs(10);

/// A token, kept as its hash, so that comparing takes the same time for any guess. Clones are the same token: replaced in
/// one, it is replaced in all.
#[derive(Clone)]
pub struct Token(Arc<RwLock<[u8; 32]>>);

impl Token {
    pub fn new(text: &str) -> Token {
        Token(Arc::new(RwLock::new(Sha256::digest(text).into())))
    }

    /// From now on this one is required; requests that run go on.
    pub fn replace(&self, text: &str) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Sha256::digest(text).into();
    }

    pub fn matches(&self, given: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        bool::from(given.ct_eq(&*self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Who may do what through an endpoint.
#[derive(Clone)]
pub struct Access {
    /// Required as bearer token, Basic password, `X-ClickHouse-Key` or `password`; `None` only in-process.
    pub token: Option<Token>,
    /// What the holder of `token` may read.
    pub token_role: Role,
    /// API tokens that are taken besides.
    pub find: Option<FindReader>,
    /// Where reads of parties and addresses are recorded.
    pub record: Option<RecordRead>,
    /// Accept INSERT and DDL. Otherwise every request runs with `readonly=1`.
    pub writable: bool,
    /// Longest run of one read, seconds; callers can ask for less, not for more.
    pub max_execution_time: u64,
    /// Memory of one read, bytes; callers can ask for less, not for more.
    pub max_memory_usage: u64,
    /// Requests that run at once; more wait.
    pub turns: Turns,
    /// The database that a reader with a token may read.
    pub database: String,
}

/// Places of requests. Clones share them, and so do endpoints that are given clones.
#[derive(Clone)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    pub fn new(places: usize) -> Turns {
        Turns(Arc::new(Semaphore::new(places.max(1))))
    }
}

/// Name of the holder of the endpoint's own token.
const OWN_TOKEN: &str = "store.token_file";

/// The database of the embedded store.
const DATABASE: &str = "auscult";

impl Access {
    /// Whether each statement has to pass [`check()`]: a reader from outside.
    fn is_checked(&self) -> bool {
        self.token.is_some() && !self.writable
    }

    /// The program's own reader when there is no token; otherwise one from outside, whose statements are checked.
    pub fn reader(token: Option<String>) -> Access {
        let token = token.as_deref().map(Token::new);
        Access {
            token,
            token_role: Role::Investigator,
            find: None,
            record: None,
            writable: false,
            max_execution_time: MAX_EXECUTION_S,
            max_memory_usage: QUERY_MEMORY_BYTES,
            turns: Turns::new(ENDPOINT_QUERIES_AT_ONCE),
            database: DATABASE.to_owned(),
        }
    }

    /// For the API, which bounds its queries itself: a lookup may run two at once, each with half of the memory. Two more are for
    /// pings and questions of the program.
    pub fn api() -> Access {
        Access { turns: Turns::new(SCANS_AT_ONCE + 2 * LOOKUPS_AT_ONCE + 2), ..Access::reader(None) }
    }

    pub fn writer(token: Option<String>) -> Access {
        let token = token.as_deref().map(Token::new);
        Access {
            token,
            token_role: Role::Admin,
            find: None,
            record: None,
            writable: true,
            max_execution_time: 0,
            max_memory_usage: 0,
            turns: Turns::new(4),
            database: DATABASE.to_owned(),
        }
    }
}

/// A client of the `clickhouse` crate that reaches `engine` without a port. Must be called inside a tokio runtime,
/// which then runs the endpoint until the client and its clones are gone.
pub fn in_process_client(engine: &ChdbEngine, access: Access) -> clickhouse::Client {
    let (dial, accept) = mpsc::channel::<UnixStream>(16);
    let app = router(engine.clone(), access);
    tokio::spawn(async move { axum::serve(Pairs(accept), app).await });
    let connector = tower::service_fn(move |_: axum::http::Uri| {
        let dial = dial.clone();
        Box::pin(async move {
            let (ours, theirs) = UnixStream::pair()?;
            let closed = |_| std::io::Error::other("the embedded store is closed");
            dial.send(theirs).await.map_err(closed)?;
            Ok::<_, std::io::Error>(TokioIo::new(ours))
        })
    });
    let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(2)).build(connector);
    clickhouse::Client::with_http_client(http)
        .with_url("http://embedded")
        .with_compression(clickhouse::Compression::None)
}

/// Bounds of the connections of a store endpoint. Statements may be in the URL, and rows in the body.
pub fn endpoint_limits() -> HttpLimits {
    HttpLimits {
        connections: 256,
        per_client: 64,
        head_bytes: 64 << 10,
        buffer_bytes: 128 << 10,
        ..HttpLimits::default()
    }
}

/// As [`endpoint_limits`], for readers with a token: slow ones would keep the turns of all, so an answer has to be taken at
/// 1 MiB a second.
pub fn reader_limits() -> HttpLimits {
    HttpLimits { stall_timeout: Duration::from_secs(10), least_rate: 1 << 20, ..endpoint_limits() }
}

/// Serves `engine` on `listener` until the process ends.
pub async fn serve_endpoint(engine: ChdbEngine, access: Access, listener: TcpListener) -> std::io::Result<()> {
    let server = HttpServer::new(limits_of(&access));
    serve_endpoint_on(&server, engine, access, listener).await
}

fn limits_of(access: &Access) -> HttpLimits {
    if access.is_checked() { reader_limits() } else { endpoint_limits() }
}

/// [`serve_endpoint`] with the caller's limits and counters.
pub async fn serve_endpoint_on(
    server: &HttpServer,
    engine: ChdbEngine,
    access: Access,
    listener: TcpListener,
) -> std::io::Result<()> {
    let (_open, closing) = tokio::sync::watch::channel(false);
    server.serve(listener, router(engine, access), closing).await;
    Ok(())
}

/// Arguments of `auscult store-endpoint`.
#[derive(Clone)]
pub struct EndpointArgs {
    pub data_dir: PathBuf,
    pub library: Option<PathBuf>,
    pub listen: SocketAddr,
    pub token: String,
    pub writable: bool,
    /// Serves in TLS with this certificate.
    pub identity: Option<Identity>,
}

/// Opens the engine on a directory and serves it on an address until killed. Prints the address it listens on,
/// so that a caller may ask for port 0. An empty token is refused.
pub fn run_endpoint(args: &EndpointArgs) -> Result<(), StoreError> {
    if args.token.is_empty() {
        return Err(StoreError::Setting("an empty token for the store endpoint".to_owned()));
    }
    super::private::restrict_umask();
    for line in super::private::claim(&args.data_dir)? {
        eprintln!("{line}");
    }
    let library = find_library(args.library.as_deref())?;
    let engine = ChdbEngine::open(&library, &args.data_dir, &EngineLimits::default())?;
    let io = |source| StoreError::Io { what: "serve the store of", path: args.data_dir.clone(), source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io)?;
    let token = Some(args.token.clone());
    let access = if args.writable { Access::writer(token) } else { Access::reader(token) };
    let server = HttpServer::new(limits_of(&access));
    let (server, scheme) = match &args.identity {
        None => (server, "http"),
        Some(identity) => (server.with_tls(identity).map_err(|e| StoreError::Setting(e.to_string()))?, "https"),
    };
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await?;
        println!("store endpoint on {scheme}://{}", listener.local_addr()?);
        serve_endpoint_on(&server, engine, access, listener).await
    });
    served.map_err(io)
}

/// The HTTP interface as a router: `/ping`, and every other path runs statements.
pub fn router(engine: ChdbEngine, access: Access) -> Router {
    let endpoint = Endpoint {
        turns: access.turns.0.clone(),
        checks: Arc::new(Semaphore::new(reader::CHECKS)),
        waiting: AtomicUsize::new(0),
        names: Arc::new(NamesCache::new(&access.database)),
        requests: AtomicU64::new(0),
        engine,
        access,
    };
    Router::new()
        .route("/ping", axum::routing::get(|| async { "Ok.\n" }))
        .fallback(answer)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::new(endpoint))
}

struct Pairs(mpsc::Receiver<UnixStream>);

impl Listener for Pairs {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            // Every client is gone and none can come: rest for good.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Endpoint {
    engine: ChdbEngine,
    access: Access,
    turns: Arc<Semaphore>,
    checks: Arc<Semaphore>,
    /// Requests of readers with a token that are queued or run.
    waiting: AtomicUsize,
    names: Arc<NamesCache>,
    requests: AtomicU64,
}

/// A request refused before or while it ran.
struct Refusal {
    status: StatusCode,
    error: EngineError,
}

impl Refusal {
    fn new(status: StatusCode, code: u32, name: &str, text: &str) -> Refusal {
        let text = format!("Code: {code}. DB::Exception: {text}. ({name})");
        Refusal { status, error: EngineError { code, text } }
    }

    fn bad_arguments(text: &str) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, 36, "BAD_ARGUMENTS", text)
    }

    fn unknown_setting(name: String) -> Refusal {
        let text = format!("Unknown setting '{name}', or not one this endpoint passes on");
        Refusal::new(StatusCode::BAD_REQUEST, 115, "UNKNOWN_SETTING", &text)
    }

    fn too_many_requests() -> Refusal {
        let text = "too many requests at once, try again";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, 202, "TOO_MANY_SIMULTANEOUS_QUERIES", text)
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Refusal {
        Refusal { status: status_of(error.code), error }
    }
}

impl From<check::Refused> for Refusal {
    fn from(refused: check::Refused) -> Refusal {
        let (code, name) = refused.code();
        Refusal::new(status_of(code), code, name, &refused.text)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        match error {
            StoreError::Engine(error) => error.into(),
            other => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, 1001, "STD_EXCEPTION", &other.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = HeaderValue::from(self.error.code);
        let body = format!("{}\n", self.error.text);
        (self.status, [(HeaderName::from_static("x-clickhouse-exception-code"), code)], body).into_response()
    }
}

/// The status a ClickHouse server gives for an exception code.
fn status_of(code: u32) -> StatusCode {
    match code {
        194 => StatusCode::UNAUTHORIZED,
        164 | 291 | 497 | 516 => StatusCode::FORBIDDEN,
        46 | 47 | 60 | 81 => StatusCode::NOT_FOUND,
        6 | 16 | 20 | 26 | 27 | 33 | 36 | 38 | 41 | 42 | 43 | 50 | 53 | 62 | 69 | 70 | 72 | 73 | 115 | 117 | 456
        | 457 => StatusCode::BAD_REQUEST,
        159 | 160 => StatusCode::REQUEST_TIMEOUT,
        202 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn answer(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    endpoint.answer(request).await.unwrap_or_else(Refusal::into_response)
}

impl Endpoint {
    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        let mut fields = fields_of_url(&request)?;
        let reader = self.check_token(request.headers(), fields.password.as_deref())?;
        if request.method() == Method::GET && fields.query.is_empty() {
            return Ok("Ok.\n".into_response());
        }
        name_format(&mut fields, request.headers());
        if self.access.is_checked() {
            return self.answer_reader(request, fields, reader).await;
        }
        // As on a server: GET only reads.
        let writable = self.access.writable && request.method() != Method::GET;
        let (sql, rows) = statement(request, &mut fields).await?;
        if sql.trim_ascii().is_empty() {
            return Err(Refusal::bad_arguments("no query in the URL and none in the body"));
        }
        self.limit(&mut fields.settings, writable);
        let turn = tokio::time::timeout(TURN, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Refusal::too_many_requests()) };
        let job = Job { engine: self.engine.clone(), fields, sql };
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let run = match rows {
            Some(rows) => self.insert(job, rows, turn).await?,
            None => run(job, turn).await?,
        };
        Ok(self.with_headers(run, number))
    }

    /// Who reads: the holder of the endpoint's token, or of an API token.
    fn check_token(&self, headers: &HeaderMap, password: Option<&str>) -> Result<EndpointReader, Refusal> {
        let own = EndpointReader { name: OWN_TOKEN.to_owned(), role: self.access.token_role };
        let Some(expected) = &self.access.token else { return Ok(own) };
        let given = token_of(headers).or_else(|| password.map(str::to_owned)).unwrap_or_default();
        if expected.matches(&given) {
            return Ok(own);
        }
        let text = "the token is missing or wrong: send it as bearer token or as password";
        let wrong = || Refusal::new(StatusCode::UNAUTHORIZED, 516, "AUTHENTICATION_FAILED", text);
        self.access.find.as_ref().and_then(|find| find(&given)).ok_or_else(wrong)
    }

    /// Reads run with `readonly=1` and inside the limits, whatever the caller asks for.
    fn limit(&self, settings: &mut Vec<(String, String)>, writable: bool) {
        if !writable {
            settings.retain(|(name, _)| name != "readonly");
            settings.push(("readonly".to_owned(), "1".to_owned()));
        }
        for (name, most) in
            [("max_execution_time", self.access.max_execution_time), ("max_memory_usage", self.access.max_memory_usage)]
        {
            if most == 0 {
                continue;
            }
            let asked =
                settings.iter().filter(|(n, _)| n == name).filter_map(|(_, v)| v.parse::<u64>().ok()).next_back();
            let value = asked.filter(|asked| (1..=most).contains(asked)).unwrap_or(most);
            settings.retain(|(n, _)| n != name);
            settings.push((name.to_owned(), value.to_string()));
        }
    }

    /// An INSERT whose rows are the body. A body that breaks off commits nothing.
    async fn insert(&self, job: Job, body: Body, turn: impl Send + 'static) -> Result<Response, Refusal> {
        let (tx, rx) = mpsc::channel(CHUNKS);
        let compressed = job.fields.decompress;
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            job.insert_from(rx)
        });
        let mut chunks = body.into_data_stream();
        let mut reader = FrameReader::default();
        let mut broken = None;
        'body: while let Some(chunk) = chunks.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(e) => {
                    broken = Some(format!("the body of the INSERT broke off: {e}"));
                    break;
                }
            };
            if !compressed {
                if tx.send(InsertRows::Rows(chunk)).await.is_err() {
                    break;
                }
                continue;
            }
            reader.push(&chunk);
            loop {
                match reader.next_frame() {
                    Ok(Some(frame)) => {
                        if tx.send(InsertRows::Rows(Bytes::from(frame))).await.is_err() {
                            break 'body;
                        }
                    }
                    Ok(None) => break,
                    Err(e) => {
                        broken = Some(e);
                        break 'body;
                    }
                }
            }
        }
        let broken = broken.or_else(|| reader.finish().err());
        if broken.is_none() {
            // Without this word the other side cancels; a closed channel means it failed already.
            let _ = tx.send(InsertRows::End).await;
        }
        drop(tx);
        let done = work
            .await
            .map_err(|e| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, 1001, "STD_EXCEPTION", &e.to_string()))?;
        match broken {
            Some(why) => Err(Refusal::new(StatusCode::BAD_REQUEST, 33, "CANNOT_READ_ALL_DATA", &why)),
            None => Ok(summary(0, done?)),
        }
    }

    fn with_headers(&self, mut response: Response, number: u64) -> Response {
        let headers = response.headers_mut();
        headers.insert("x-clickhouse-timezone", HeaderValue::from_static("UTC"));
        headers.insert("x-clickhouse-server-display-name", HeaderValue::from_static("auscult"));
        headers.insert("x-clickhouse-query-id", HeaderValue::from(number));
        response
    }
}

fn fields_of_url(request: &Request) -> Result<Fields, Refusal> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let pairs = pairs.map_err(|e| Refusal::bad_arguments(&e.to_string()))?;
    let mut fields = Fields::default();
    for (name, value) in pairs.0 {
        fields.take(name, value).map_err(Refusal::unknown_setting)?;
    }
    Ok(fields)
}

/// The format of the answer may be named in a header; one in the URL goes first.
fn name_format(fields: &mut Fields, headers: &HeaderMap) {
    if fields.default_format.is_none() {
        let named = headers.get("x-clickhouse-format").and_then(|v| v.to_str().ok());
        fields.default_format = named.map(str::to_owned);
    }
}

/// The statement of a request, and the body where that is the rows of an INSERT in the URL.
async fn statement(request: Request, fields: &mut Fields) -> Result<(Vec<u8>, Option<Body>), Refusal> {
    let is_form =
        request.headers().get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"multipart/form-data"));
    if is_form {
        take_form(request, fields).await?;
        return Ok((fields.query.as_bytes().to_vec(), None));
    }
    let mut sql = fields.query.as_bytes().to_vec();
    if let Statement::Insert { .. } = classify(&sql) {
        return Ok((sql, Some(request.into_body())));
    }
    let body = axum::body::to_bytes(request.into_body(), BODY_LIMIT).await;
    let body = body.map_err(|e| Refusal::bad_arguments(&e.to_string()))?;
    let body = if fields.decompress {
        unpack_all(&body, frames::LARGEST).map_err(|e| Refusal::bad_arguments(&e))?
    } else {
        body.to_vec()
    };
    if !sql.is_empty() && !body.is_empty() {
        sql.push(b'\n');
    }
    sql.extend_from_slice(&body);
    Ok((sql, None))
}

/// Takes in the fields of a multipart form.
async fn take_form(request: Request, fields: &mut Fields) -> Result<(), Refusal> {
    let bad = |e: MultipartError| Refusal::bad_arguments(&e.body_text());
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|e| Refusal::bad_arguments(&e.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let name = field.name().unwrap_or_default().to_owned();
        let value = field.text().await.map_err(bad)?;
        fields.take(name, value).map_err(Refusal::unknown_setting)?;
    }
    Ok(())
}

/// The token a request carries in its headers.
fn token_of(headers: &HeaderMap) -> Option<String> {
    if let Some(key) = headers.get("x-clickhouse-key") {
        return key.to_str().ok().map(str::to_owned);
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(base64(rest.trim())?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

/// RFC 4648 section 4, padding optional; `None` for other characters.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

/// The frames of a body together; none of them larger than `largest` bytes, and for a reader not all together either.
fn unpack_all(bytes: &[u8], largest: usize) -> Result<Vec<u8>, String> {
    let mut reader = FrameReader::with_largest(largest);
    reader.push(bytes);
    let mut out = Vec::new();
    while let Some(mut frame) = reader.next_frame()? {
        if largest < frames::LARGEST && out.len() + frame.len() > largest {
            return Err(format!("the body is more than {largest} bytes unpacked"));
        }
        out.append(&mut frame);
    }
    reader.finish().map(|()| out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_cannot_send_more_by_packing_it() {
        let small = frames::pack(&[b'x'; 1000]);
        assert_eq!(unpack_all(&small, 1000).unwrap().len(), 1000);
        assert!(unpack_all(&small, 999).unwrap_err().contains("outside the limits"));
        assert!(unpack_all(&[small.clone(), small].concat(), 1500).unwrap_err().contains("unpacked"));
    }

    #[test]
    fn tokens_are_read_from_each_place() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        // RFC 7617 section 2: Aladdin, open sesame.
        let basic = headers("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(token_of(&basic).as_deref(), Some("open sesame"));
        assert_eq!(token_of(&headers("authorization", "bearer abc")).as_deref(), Some("abc"));
        assert_eq!(token_of(&headers("x-clickhouse-key", "k")).as_deref(), Some("k"));
        assert_eq!(token_of(&headers("authorization", "Digest x")), None);
        assert_eq!(base64("not base64!"), None);
    }
}
