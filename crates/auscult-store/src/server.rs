//! A ClickHouse server as the `clickhouse` crate reaches it: by HTTP, or by HTTPS with authorities and a certificate of
//! one's own.

use super::StoreError;
use auscult_http::tls::ClientTls;
use clickhouse::Client;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::time::Duration;

/// As the `clickhouse` crate has it for HTTP.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// As the `clickhouse` crate has it for HTTP: a server closes idle connections after 3 s.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the URL of a server asks for TLS.
///
/// # Errors
/// It is no URL of HTTP or HTTPS with a host.
pub fn is_https(url: &str) -> Result<bool, StoreError> {
    let parsed: axum::http::Uri = url.parse().map_err(|e| StoreError::Setting(format!("store URL {url}: {e}")))?;
    match parsed.scheme_str().filter(|_| parsed.host().is_some()) {
        Some("http") => Ok(false),
        Some("https") => Ok(true),
        _ => {
            Err(StoreError::Setting(format!("store URL {url}: it must start with http:// or https:// and name a host")))
        }
    }
}

/// A client for a server. It contacts nothing yet.
pub(super) fn client(url: &str, tls: &ClientTls) -> Result<Client, StoreError> {
    if !is_https(url)? {
        return Ok(Client::default().with_url(url));
    }
    let mut tcp = HttpConnector::new();
    tcp.set_keepalive(Some(TCP_KEEPALIVE));
    tcp.enforce_http(false);
    let config = tls.config().map_err(|e| StoreError::Setting(e.to_string()))?;
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().wrap_connector(tcp);
    let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(POOL_IDLE_TIMEOUT).build(connector);
    Ok(Client::with_http_client(http).with_url(url))
}

/// An error of the client with its causes, and what to do where TLS is the reason: the outermost says no more than that
/// the connection failed.
pub fn reason(error: &clickhouse::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    let advice = [
        ("UnknownIssuer", "; name the authority that issued it in store.ca_file"),
        ("CertificateRequired", "; set store.client_certificate_file and store.client_key_file"),
        ("UnknownCA", "; the server does not know the authority of store.client_certificate_file"),
    ];
    match advice.iter().find(|(why, _)| text.contains(why)) {
        Some((_, advice)) => text + advice,
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auscult_http::tls::{Authorities, Identity};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::WebPkiClientVerifier;
    use std::net::SocketAddr;
    use std::path::Path;
    use std::sync::Arc;
    use testkit::certificates::{Authority, now_s};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// A server that takes any statement, of clients with a certificate of this authority where one is named.
    async fn server(authority: &Authority, names: &[&str], clients: Option<&Authority>) -> SocketAddr {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair = authority.issue(names);
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = Vec::new();
                    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        address
    }

    fn trusting(dir: &Path, authority: &Authority) -> ClientTls {
        let file = dir.join("ca.pem");
        std::fs::write(&file, authority.pem()).unwrap();
        ClientTls { authorities: Some(Authorities::load(&file).unwrap()), identity: None }
    }

    fn showing(dir: &Path, of: &Authority, tls: &ClientTls) -> ClientTls {
        let files = of.issue(&["auscult"]).write(dir, "client");
        let identity = Identity::load(&files.certificate, &files.key, now_s()).unwrap();
        ClientTls { identity: Some(identity), ..tls.clone() }
    }

    async fn ask(address: SocketAddr, tls: &ClientTls) -> Result<(), String> {
        let client = client(&format!("https://localhost:{}", address.port()), tls).unwrap();
        client.query("SELECT 1").execute().await.map_err(|e| {
            let line = reason(&e);
            assert_eq!(line.lines().count(), 1, "{line}");
            line
        })
    }

    #[tokio::test]
    async fn a_server_of_an_own_authority_is_reached_and_of_another_refused_in_one_line() {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let address = server(&authority, &["localhost"], None).await;
        ask(address, &trusting(dir.path(), &authority)).await.unwrap();
        for tls in [ClientTls::default(), trusting(dir.path(), &Authority::new())] {
            let line = ask(address, &tls).await.unwrap_err();
            let why = "invalid peer certificate: UnknownIssuer; name the authority that issued it in store.ca_file";
            assert!(line.ends_with(why), "{line}");
        }
        let elsewhere = server(&authority, &["db.example.com"], None).await;
        let line = ask(elsewhere, &trusting(dir.path(), &authority)).await.unwrap_err();
        assert!(line.contains("not valid for name \"localhost\"") && line.contains("db.example.com"), "{line}");
    }

    #[tokio::test]
    async fn a_server_that_asks_for_a_certificate_gets_the_one_that_is_in_use() {
        let (dir, authority, clients) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
        let address = server(&authority, &["localhost"], Some(&clients)).await;
        let nothing_to_show = trusting(dir.path(), &authority);
        let line = ask(address, &nothing_to_show).await.unwrap_err();
        assert!(line.ends_with("; set store.client_certificate_file and store.client_key_file"), "{line}");
        let tls = showing(dir.path(), &clients, &nothing_to_show);
        ask(address, &tls).await.unwrap();
        let stranger = showing(dir.path(), &Authority::new(), &nothing_to_show);
        let line = ask(address, &stranger).await.unwrap_err();
        assert!(line.ends_with("; the server does not know the authority of store.client_certificate_file"), "{line}");
        // The files were exchanged for those of the stranger, and are exchanged back.
        let identity = stranger.identity.clone().unwrap();
        clients.issue(&["auscult"]).write(dir.path(), "client");
        assert!(identity.reload(now_s()).unwrap());
        ask(address, &stranger).await.unwrap();
    }

    #[tokio::test]
    async fn the_scheme_of_the_url_decides() {
        assert!(!is_https("http://db:8123").unwrap() && is_https("https://db:8443/x").unwrap());
        for url in ["db:8123", "ftp://db", "/x", ""] {
            let line = is_https(url).unwrap_err().to_string();
            assert!(line.contains(&format!("store URL {url}: ")) && line.lines().count() == 1, "{line}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let line = ask(closed, &ClientTls::default()).await.unwrap_err();
        assert!(line.contains("Connection refused"), "{line}");
    }
}
