//! The HTTP server against clients that open much and send, or take, little. Over loopback, in this process.
//!
//! Deadlines are short here, and only which one ended a connection is asserted, never when.

use auscult_http::{CloseReason, ConnectionCounters, HttpLimits, HttpServer, PeerAddress};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// No wait is longer; nothing is asserted about shorter ones.
const WAIT: Duration = Duration::from_secs(60);

/// So long that it does not end a connection of these tests.
const LONG: Duration = Duration::from_secs(600);

const PATIENT: HttpLimits = HttpLimits {
    connections: 256,
    per_client: 64,
    head_bytes: 8192,
    buffer_bytes: 8192,
    head_timeout: LONG,
    idle_timeout: LONG,
    stall_timeout: LONG,
    least_rate: 1024,
};

/// Above any pause of a client here, also on a busy host.
const SHORT: Duration = Duration::from_secs(2);

struct Server {
    address: SocketAddr,
    counters: Arc<ConnectionCounters>,
    close: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
    /// Lets a request to `/held` end.
    release: Arc<Semaphore>,
    /// Requests to `/held` that were begun.
    begun: Arc<AtomicUsize>,
}

async fn server(limits: HttpLimits) -> Server {
    let release = Arc::new(Semaphore::new(0));
    let begun = Arc::new(AtomicUsize::new(0));
    let (held, holding) = (release.clone(), begun.clone());
    let endless = || async {
        let piece = Bytes::from(vec![b'x'; 64 << 10]);
        Body::from_stream(tokio_stream::iter(std::iter::repeat_with(move || Ok::<_, Infallible>(piece.clone()))))
    };
    let app = Router::new()
        .route("/", get(|Extension(peer): Extension<PeerAddress>| async move { peer.0.ip().to_string() }))
        .route(
            "/held",
            get(move || async move {
                holding.fetch_add(1, Ordering::SeqCst);
                held.acquire().await.unwrap().forget();
            }),
        )
        .route("/endless", get(endless))
        .route("/megabyte", get(|| async { vec![b'x'; 1 << 20] }))
        .route("/length", post(|body: Bytes| async move { body.len().to_string() }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (close, closing) = watch::channel(false);
    let http = HttpServer::new(limits);
    let counters = http.counters();
    let served = tokio::spawn(async move { http.serve(listener, app, closing).await });
    Server { address, counters, close, served, release, begun }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        // An error is one of a connection that was closed at once: the answer shows it.
        let _ = stream.write_all(text.as_bytes()).await;
        stream
    }

    fn closed(&self, reason: CloseReason) -> u64 {
        self.counters.snapshot().closed_for(reason)
    }

    async fn until(&self, reason: CloseReason, least: u64) {
        let reached = async {
            while self.closed(reason) < least {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(WAIT, reached).await;
        assert!(in_time.is_ok(), "{reason:?} {least} times: {:?}", self.counters.snapshot());
    }

    /// Only this reason, the client's own and the server's end were counted.
    fn nothing_but(&self, reason: CloseReason) {
        let now = self.counters.snapshot();
        let usual = [reason.name(), CloseReason::Client.name(), CloseReason::Shutdown.name()];
        let others: Vec<_> = now.closed.iter().filter(|(why, n)| *n > 0 && !usual.contains(why)).collect();
        assert!(others.is_empty(), "{others:?}");
    }
}

async fn answer(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(WAIT, stream.read_to_end(&mut text)).await;
    assert!(read.is_ok(), "no end of the answer");
    String::from_utf8_lossy(&text).into_owned()
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// Reads one answer with its body from a connection that stays open.
async fn one_answer(stream: &mut TcpStream, body: &str) {
    let mut text = Vec::new();
    while !text.ends_with(body.as_bytes()) {
        let mut piece = [0; 1024];
        let n = tokio::time::timeout(WAIT, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(n > 0, "it was closed after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&piece[..n]);
    }
}

/// Raises the limit of open descriptors; returns how many there may be.
fn descriptors(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let most = now.maximum.unwrap_or(wanted).min(wanted).max(now.current.unwrap_or(0));
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..now }).unwrap();
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_half_open_connections_shut_no_client_out() {
    let many = if descriptors(4096) >= 3000 { 2000 } else { 500 };
    let server = server(PATIENT).await;
    let mut open = Vec::new();
    for n in 0..many {
        let mut stream = server.connect().await;
        if n % 2 == 0 {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost").await;
        }
        open.push(stream);
        if n % 100 == 99 {
            assert!(answer(server.send(GET).await).await.ends_with("127.0.0.1"), "after {n}");
        }
    }
    server.until(CloseReason::Evicted, many - 256 - 8).await;
    let now = server.counters.snapshot();
    assert!(now.open() <= 256, "{now:?}");
    assert_eq!(server.closed(CloseReason::OverLimit), 0);
    server.nothing_but(CloseReason::Evicted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_come_or_comes_byte_by_byte_runs_out_of_time() {
    let server = server(HttpLimits { head_timeout: SHORT, ..PATIENT }).await;
    let silent = server.connect().await;
    let cut = server.send("GET / HTTP/1.1\r\nhost: x\r\n").await;
    let mut dripping = server.send("GET / HTTP/1.1\r\n").await;
    let drip = tokio::spawn(async move {
        while dripping.write_all(b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    server.until(CloseReason::HeadTimeout, 3).await;
    assert_eq!(answer(silent).await, "");
    assert_eq!(answer(cut).await, "");
    assert!(tokio::time::timeout(WAIT, drip).await.is_ok());
    assert!(answer(server.send(GET).await).await.starts_with("HTTP/1.1 200"));
    server.nothing_but(CloseReason::HeadTimeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends_and_one_in_use_does_not() {
    let server = server(HttpLimits { idle_timeout: SHORT, ..PATIENT }).await;
    let mut stream = server.connect().await;
    for _ in 0..5 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        one_answer(&mut stream, "127.0.0.1").await;
    }
    let held = server.send("GET /held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    server.until(CloseReason::IdleTimeout, 1).await;
    assert_eq!(answer(stream).await, "");
    server.release.add_permits(1);
    assert!(answer(held).await.starts_with("HTTP/1.1 200"), "a request in progress is not idle");
    server.nothing_but(CloseReason::IdleTimeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_or_trickles_ends_and_a_whole_one_is_taken() {
    let server = server(HttpLimits { stall_timeout: SHORT, ..PATIENT }).await;
    const POST: &str = "POST /length HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n";
    let stalled = server.send(&format!("{POST}some")).await;
    let mut trickling = server.send(POST).await;
    // Ten bytes every 50 ms are less than 1,024 a second, and no pause is as long as the longest allowed.
    let trickle = tokio::spawn(async move {
        while trickling.write_all(&[b'x'; 10]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    server.until(CloseReason::SlowBody, 2).await;
    assert!(answer(stalled).await.starts_with("HTTP/1.1 400"));
    assert!(tokio::time::timeout(WAIT, trickle).await.is_ok());
    let whole = server.send(&format!("{POST}{}", "x".repeat(100_000))).await;
    assert!(answer(whole).await.ends_with("100000"));
    server.nothing_but(CloseReason::SlowBody);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_ends_and_one_that_takes_all_does_not() {
    let server = server(HttpLimits { stall_timeout: SHORT, ..PATIENT }).await;
    let _deaf = server.send("GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.until(CloseReason::SlowReader, 1).await;
    let reading = server.send("GET /megabyte HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(answer(reading).await.matches('x').count(), 1 << 20);
    server.nothing_but(CloseReason::SlowReader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_or_has_too_many_fields_is_refused() {
    let server = server(PATIENT).await;
    for fields in [format!("a: {}\r\n", "x".repeat(9000)), "a: b\r\n".repeat(101)] {
        let refused = answer(server.send(&format!("GET / HTTP/1.1\r\nhost: x\r\n{fields}\r\n")).await).await;
        assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");
    }
    let fits = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\na: {}\r\n\r\n", "x".repeat(7000));
    assert!(answer(server.send(&fits).await).await.starts_with("HTTP/1.1 200"));
    let http2 = answer(server.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await).await;
    assert!(http2.is_empty() || http2.starts_with("HTTP/1.1 400"), "{http2}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_progress_fill_the_places_and_the_next_is_refused_and_counted() {
    let server = server(HttpLimits { connections: 16, ..PATIENT }).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(server.send("GET /held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await);
    }
    let all_begun = async {
        while server.begun.load(Ordering::SeqCst) < 16 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(WAIT, all_begun).await.is_ok());
    assert_eq!(answer(server.send(GET).await).await, "");
    assert_eq!(server.closed(CloseReason::OverLimit), 1);
    assert!(server.counters.snapshot().open() <= 16);
    server.release.add_permits(16);
    for held in held {
        assert!(answer(held).await.starts_with("HTTP/1.1 200"));
    }
    assert!(answer(server.send(GET).await).await.starts_with("HTTP/1.1 200"), "places are given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_accepting_pauses_and_goes_on() {
    let server = server(PATIENT).await;
    let waiting = server.connect().await;
    let before = getrlimit(Resource::Nofile);
    let begun = tokio::time::Instant::now();
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).unwrap();
    // The kernel completes connections by itself; these sockets were there before.
    let failed = async {
        let socket = socket_under(&before);
        let _pending = tokio::net::TcpSocket::connect(socket, server.address).await;
        while server.counters.snapshot().accept_failed == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(WAIT, failed).await;
    let failures = server.counters.snapshot().accept_failed;
    let most = begun.elapsed().as_millis() / 200 + 1;
    setrlimit(Resource::Nofile, before).unwrap();
    assert!(in_time.is_ok(), "{:?}", server.counters.snapshot());
    assert!(u128::from(failures) <= most, "{failures} tries where {most} pauses fit");
    drop(waiting);
    assert!(answer(server.send(GET).await).await.starts_with("HTTP/1.1 200"));
}

/// A socket made with the limit of before, which is then 3 again.
fn socket_under(before: &Rlimit) -> tokio::net::TcpSocket {
    setrlimit(Resource::Nofile, *before).unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..*before }).unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_lets_requests_finish_and_closes_the_rest() {
    let server = server(PATIENT).await;
    let silent = server.connect().await;
    let mut idle = server.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    one_answer(&mut idle, "127.0.0.1").await;
    let mut held = server.send("GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // A second request shows that the first connections were taken.
    assert!(answer(server.send(GET).await).await.starts_with("HTTP/1.1 200"));
    server.close.send(true).unwrap();
    assert_eq!(answer(silent).await, "");
    assert_eq!(answer(idle).await, "");
    server.release.add_permits(1);
    let mut text = String::new();
    held.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with(&format!("HTTP/1.1 {}", StatusCode::OK.as_u16())), "{text}");
    assert!(tokio::time::timeout(WAIT, server.served).await.is_ok());
    assert!(TcpStream::connect(server.address).await.is_err());
}
