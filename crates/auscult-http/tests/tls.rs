//! The HTTP server in TLS: handshakes that do not come about, certificates that are exchanged, clients without TLS.
//!
//! Over loopback, in this process, with certificates made here. No time is asserted.

use auscult_http::tls::{Authorities, ClientTls, Identity, TlsError, pinned_stream};
use auscult_http::{CloseReason, ConnectionCounters, Encrypted, HttpLimits, HttpServer};
use axum::routing::get;
use axum::{Extension, Router};
use rustls::pki_types::ServerName;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use testkit::certificates::{Authority, DAY, Files, now_s};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No wait is longer; nothing is asserted about shorter ones.
const WAIT: Duration = Duration::from_secs(60);

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

struct Server {
    dir: tempfile::TempDir,
    authority: Authority,
    files: Files,
    identity: Identity,
    address: SocketAddr,
    counters: Arc<ConnectionCounters>,
    _close: watch::Sender<bool>,
}

async fn server(limits: HttpLimits) -> Server {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = authority.issue(&["localhost"]).write(dir.path(), "server");
    let identity = Identity::load(&files.certificate, &files.key, now_s()).unwrap();
    let app = Router::new()
        .route(
            "/",
            get(|Extension(encrypted): Extension<Encrypted>| async move { format!("encrypted {}", encrypted.0) }),
        )
        .route("/megabyte", get(|| async { vec![b'x'; 1 << 20] }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (close, closing) = watch::channel(false);
    let http = HttpServer::new(limits).with_tls(&identity).unwrap();
    let counters = http.counters();
    tokio::spawn(async move { http.serve(listener, app, closing).await });
    Server { dir, authority, files, identity, address, counters, _close: close }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A file with the authority's certificate.
    fn trusted(&self) -> ClientTls {
        let file = self.dir.path().join("ca.pem");
        std::fs::write(&file, self.authority.pem()).unwrap();
        ClientTls { authorities: Some(Authorities::load(&file).unwrap()), identity: None }
    }

    async fn tls(&self, client: &ClientTls) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(client.config().unwrap()));
        connector.connect(ServerName::try_from("localhost").unwrap(), self.connect().await).await
    }

    async fn until(&self, reason: CloseReason, least: u64) {
        let reached = async {
            while self.counters.snapshot().closed_for(reason) < least {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(WAIT, reached).await;
        assert!(in_time.is_ok(), "{reason:?} {least} times: {:?}", self.counters.snapshot());
    }
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    let read = tokio::time::timeout(WAIT, stream.read_to_end(&mut text)).await;
    read.expect("an end of the answer").expect("an end that TLS announces");
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads one answer with its body from a connection that stays open.
async fn ask_and_keep(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"encrypted true") {
        let mut piece = [0; 1024];
        let n = tokio::time::timeout(WAIT, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(n > 0, "it was closed after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&piece[..n]);
    }
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_tls_are_answered_in_both_versions() {
    let server = server(HttpLimits::default()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in rustls_certificates(server.authority.pem()) {
            roots.add(certificate).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, server.connect().await).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
        assert!(ask(&mut stream, GET).await.ends_with("encrypted true"));
    }
    let mut stream = server.tls(&server.trusted()).await.unwrap();
    let long = ask(&mut stream, &GET.replace("/ ", "/megabyte ")).await;
    assert_eq!(long.matches('x').count(), 1 << 20);
}

fn rustls_certificates(pem: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_trust_the_certificate_is_counted() {
    let server = server(HttpLimits::default()).await;
    for client in [ClientTls::default(), {
        let file = server.dir.path().join("other.pem");
        std::fs::write(&file, Authority::new().pem()).unwrap();
        ClientTls { authorities: Some(Authorities::load(&file).unwrap()), identity: None }
    }] {
        let refused = server.tls(&client).await.unwrap_err().to_string();
        assert!(refused.contains("UnknownIssuer"), "{refused}");
    }
    server.until(CloseReason::Handshake, 2).await;
    let mut noise = server.connect().await;
    let _ = noise.write_all(&[0x80; 64]).await;
    server.until(CloseReason::Handshake, 3).await;
    assert!(ask(&mut server.tls(&server.trusted()).await.unwrap(), GET).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_not_finished_runs_out_of_time_as_a_head_does() {
    let limits = HttpLimits { head_timeout: Duration::from_secs(2), ..HttpLimits::default() };
    let server = server(limits).await;
    let mut silent = server.connect().await;
    // The beginning of a record of a handshake, and its length.
    let mut begun = server.connect().await;
    begun.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let mut dripping = server.connect().await;
    dripping.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let drip = tokio::spawn(async move {
        while dripping.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    // A handshake without a request has no more time.
    let mut finished = server.tls(&server.trusted()).await.unwrap();
    server.until(CloseReason::HeadTimeout, 4).await;
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    let _ = begun.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
    let _ = tokio::time::timeout(WAIT, finished.read_to_end(&mut rest)).await.unwrap();
    assert!(tokio::time::timeout(WAIT, drip).await.is_ok());
    assert_eq!(server.counters.snapshot().open(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_handshakes_lose_their_places_to_new_connections() {
    let server = server(HttpLimits { connections: 16, ..HttpLimits::default() }).await;
    let mut unfinished = Vec::new();
    for _ in 0..40 {
        let mut stream = server.connect().await;
        let _ = stream.write_all(&[22, 3, 1, 2, 0, 1]).await;
        unfinished.push(stream);
    }
    assert!(ask(&mut server.tls(&server.trusted()).await.unwrap(), GET).await.starts_with("HTTP/1.1 200"));
    let now = server.counters.snapshot();
    assert!(now.closed_for(CloseReason::Evicted) >= 24 && now.open() <= 16, "{now:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_tls_is_closed_and_one_that_pauses_after_its_answer_is_not() {
    let limits = HttpLimits { stall_timeout: Duration::from_secs(2), ..HttpLimits::default() };
    let server = server(limits).await;
    let mut patient = server.tls(&server.trusted()).await.unwrap();
    ask_and_keep(&mut patient).await;
    let mut deaf = Vec::new();
    for _ in 0..2 {
        let mut stream = server.tls(&server.trusted()).await.unwrap();
        // More than the buffers of both kernels hold.
        for _ in 0..32 {
            stream.write_all(b"GET /megabyte HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        }
        deaf.push(stream);
    }
    server.until(CloseReason::SlowReader, 2).await;
    ask_and_keep(&mut patient).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_without_tls_gets_one_answer_and_nothing_of_the_service() {
    let server = server(HttpLimits::default()).await;
    let mut plain = server.connect().await;
    let answer = ask(&mut plain, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("this port takes HTTPS only"), "{answer}");
    assert!(!answer.contains("encrypted"), "{answer}");
    server.until(CloseReason::Handshake, 1).await;
    assert_eq!(server.counters.snapshot().closed_for(CloseReason::Client), 0, "it is counted once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_for_new_connections_and_a_bad_one_changes_nothing() {
    let server = server(HttpLimits::default()).await;
    let trusted = server.trusted();
    let mut old = server.tls(&trusted).await.unwrap();
    ask_and_keep(&mut old).await;
    let first = shown(&old);
    assert!(server.identity.look(now_s()).is_none(), "nothing was changed");

    server.authority.issue(&["localhost"]).write(server.dir.path(), "server");
    assert!(server.identity.look(now_s()).is_none(), "the first look waits for the second file");
    assert!(server.identity.look(now_s()).unwrap().is_ok());
    assert!(server.identity.look(now_s()).is_none(), "a change is reported once");
    let mut new = server.tls(&trusted).await.unwrap();
    assert_ne!(shown(&new), first);
    ask_and_keep(&mut new).await;
    ask_and_keep(&mut old).await;

    // A key of another pair: said once, until it is mended.
    let second = shown(&new);
    let other = server.authority.issue(&["localhost"]);
    std::fs::write(&server.files.key, &other.key).unwrap();
    assert!(server.identity.look(now_s()).is_none());
    let error = server.identity.look(now_s()).unwrap().unwrap_err().to_string();
    assert!(error.contains("does not belong to the first certificate") && error.lines().count() == 1, "{error}");
    assert!(server.identity.look(now_s()).is_none() && server.identity.is_outdated());
    assert_eq!(shown(&server.tls(&trusted).await.unwrap()), second);
    assert!(server.identity.reload(now_s()).is_err());
    std::fs::write(&server.files.certificate, &other.certificate).unwrap();
    assert!(server.identity.look(now_s()).is_none());
    assert!(server.identity.look(now_s()).unwrap().is_ok() && !server.identity.is_outdated());
    assert_ne!(shown(&server.tls(&trusted).await.unwrap()), second);

    // Rights count as a change; the same pair that can be read again is reported.
    std::fs::set_permissions(&server.files.key, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(server.identity.look(now_s()).is_none());
    let error = server.identity.look(now_s()).unwrap().unwrap_err().to_string();
    assert!(error.contains("can be read or changed by other users: chmod 600"), "{error}");
    std::fs::set_permissions(&server.files.key, PermissionsExt::from_mode(0o640)).unwrap();
    server.identity.look(now_s());
    assert!(server.identity.look(now_s()).unwrap().is_ok());
    assert!(!server.identity.reload(now_s()).unwrap(), "it is what is in use");
}

#[test]
fn files_that_cannot_be_used_are_refused_in_one_line() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let now = now_s();
    let good = authority.issue(&["localhost"]).write(dir.path(), "good");
    let refused = |certificate: &Path, key: &Path| {
        let line = Identity::load(certificate, key, now).unwrap_err().to_string();
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    };
    let absent = dir.path().join("absent");
    assert!(refused(&absent, &good.key).starts_with(&format!("cannot read the certificate {}: ", absent.display())));
    assert!(refused(&good.certificate, &absent).starts_with("cannot read the key "));
    assert!(refused(dir.path(), &good.key).contains("it is not a file"));
    let text = dir.path().join("text");
    std::fs::write(&text, "nothing of this kind").unwrap();
    std::fs::set_permissions(&text, PermissionsExt::from_mode(0o600)).unwrap();
    assert!(refused(&text, &good.key).contains("has no certificate in PEM"));
    assert!(refused(&good.key, &good.key).contains("has no certificate in PEM"), "a key in place of a certificate");
    assert!(refused(&good.certificate, &text).contains("has no private key in PEM"));
    std::fs::write(&text, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n")
        .unwrap();
    assert!(refused(&good.certificate, &text).contains("is encrypted: store it without a passphrase"));
    std::fs::write(&text, "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n").unwrap();
    assert!(refused(&good.certificate, &text).starts_with("the key "), "a key of no known kind");
    let nonsense = dir.path().join("nonsense");
    std::fs::write(&nonsense, "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n").unwrap();
    assert!(refused(&nonsense, &good.key).contains("it is no X.509 certificate"));

    let other = authority.issue(&["localhost"]).write(dir.path(), "other");
    assert!(refused(&good.certificate, &other.key).contains("does not belong to the first certificate"));
    let old = authority.issue_for(&["localhost"], now - 2 * DAY, now - DAY).write(dir.path(), "old");
    assert!(refused(&old.certificate, &old.key).contains("has expired at 20"));
    let young = authority.issue_for(&["localhost"], now + DAY, now + 2 * DAY).write(dir.path(), "young");
    assert!(refused(&young.certificate, &young.key).contains("is not valid before 20"));
    for (mode, is_refused) in
        [(0o600, false), (0o640, false), (0o400, false), (0o644, true), (0o660, true), (0o601, true)]
    {
        std::fs::set_permissions(&good.key, PermissionsExt::from_mode(mode)).unwrap();
        let result = Identity::load(&good.certificate, &good.key, now);
        assert_eq!(matches!(result, Err(TlsError::Exposed { .. })), is_refused, "{mode:o}: {result:?}");
    }
    assert!(Authorities::load(&text).is_err());
}

#[test]
fn what_is_left_of_a_certificate_is_compared_with_its_whole_time() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    // 2030-01-01.
    let until = 1_893_456_000;
    let of = |days: i64| {
        let files = authority.issue_for(&["x"], until - days * DAY, until).write(dir.path(), "x");
        Identity::load(&files.certificate, &files.key, until - DAY).unwrap().validity()
    };
    let year = of(365);
    assert_eq!((year.from, year.until, year.until_text().as_str()), (until - 365 * DAY, until, "2030-01-01T00:00:00Z"));
    assert!(!year.ends_soon(until - 14 * DAY) && year.ends_soon(until - 14 * DAY + 1));
    let short = of(6);
    assert!(!short.ends_soon(until - 2 * DAY) && short.ends_soon(until - 2 * DAY + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_client_takes_this_certificate_by_any_name_and_no_other() {
    let server = server(HttpLimits::default()).await;
    let (address, certificate) = (server.address, server.files.certificate.clone());
    let ask = move |certificate: &Path| {
        let stream = std::net::TcpStream::connect(address).unwrap();
        let mut stream = pinned_stream(stream, certificate).unwrap();
        let mut answer = String::new();
        stream.write_all(GET.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).map(|_| answer)
    };
    let other = server.authority.issue(&["localhost"]).write(server.dir.path(), "other");
    let asked = tokio::task::spawn_blocking(move || (ask(&certificate), ask(&other.certificate)));
    let (same, other) = asked.await.unwrap();
    assert!(same.unwrap().ends_with("encrypted true"));
    assert!(other.unwrap_err().to_string().contains("it shows another certificate"));
}
