//! HTTP/1 over accepted streams, plain or in TLS: connections are bounded in number, time and memory, whatever their
//! clients do.
//!
//! A connection is in one of three states: it waits for a request, it serves one, or its client does not take what
//! was written. Only the second may last; the others have a deadline, and are closed first when places run out.
//! A connection that has not finished its TLS handshake waits for a request. Nothing here knows what is served.

#![forbid(unsafe_code)]

mod connections;
mod limits;
mod stream;
pub mod tls;

pub use limits::{CloseReason, ConnectionCounters, ConnectionSnapshot, HttpLimits};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, StatusCode, header};
use connections::{Connection, Connections};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use stream::{TimedBody, TimedStream, TrackedBody};
use tls::{Identity, TlsError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

/// Pause after a failed accept. Without descriptors or memory every further try fails at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The address a request came from, an extension of every request that [`HttpServer`] hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Whether the request came in TLS to this program, an extension of every request that [`HttpServer`] hands on. TLS of a
/// proxy before it does not count: what that says is in headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypted(pub bool);

/// What counts as one client: an IPv4 address, or the /64 network of an IPv6 address. `None` for loopback, where a
/// proxy or another program of this host has clients that cannot be distinguished here.
pub fn client_of(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(v6) => Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))),
        v4 => Some(v4),
    }
}

/// Serves routers on listeners within [`HttpLimits`]. Clones share limits, counters and certificate, not places.
#[derive(Clone, Default)]
pub struct HttpServer {
    limits: HttpLimits,
    counters: Arc<ConnectionCounters>,
    tls: Option<TlsAcceptor>,
}

impl HttpServer {
    pub fn new(limits: HttpLimits) -> HttpServer {
        HttpServer { limits, counters: Arc::default(), tls: None }
    }

    /// The same server in TLS alone, with the certificate that `identity` has at the time of each handshake. A request
    /// without TLS is answered with 400.
    ///
    /// # Errors
    /// None that is known: rustls has what is asked of it.
    pub fn with_tls(self, identity: &Identity) -> Result<HttpServer, TlsError> {
        let config = tls::server_config(identity)?;
        Ok(HttpServer { tls: Some(TlsAcceptor::from(Arc::new(config))), ..self })
    }

    pub fn counters(&self) -> Arc<ConnectionCounters> {
        self.counters.clone()
    }

    /// Accepts until `closing` becomes true (or its sender is gone), then lets requests in progress finish and returns
    /// when the last connection is closed. The caller bounds how long that may take.
    pub async fn serve(&self, listener: TcpListener, app: Router, mut closing: watch::Receiver<bool>) {
        let places = Arc::new(Connections::new(self.limits, self.counters.clone()));
        // Each connection holds a clone; all are gone when `recv` answers `None`.
        let (open, mut all_closed) = mpsc::channel::<Infallible>(1);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = closed(&mut closing) => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(place) = places.admit(peer.ip(), Instant::now()) else { continue };
                    let served = Served { app: app.clone(), tls: self.tls.clone(), closing: closing.clone() };
                    let open = open.clone();
                    tokio::spawn(async move {
                        accepted_stream(stream, peer, &place, served).await;
                        drop((place, open));
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => {
                    self.counters.accept_failed();
                    places.free_some(Instant::now());
                    tokio::select! {
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                        () = closed(&mut closing) => break,
                    }
                }
            }
        }
        drop((listener, open));
        while all_closed.recv().await.is_some() {}
    }
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Errors of `accept` that concern the connection it would have returned, not the listener.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// What a connection needs of its server.
struct Served {
    app: Router,
    tls: Option<TlsAcceptor>,
    closing: watch::Receiver<bool>,
}

/// Waits for the first byte, then serves. Until then a connection has no buffer and no parser: it costs its socket, its
/// task and its place.
async fn accepted_stream(stream: TcpStream, peer: SocketAddr, place: &Connection, served: Served) {
    let Served { app, tls, mut closing } = served;
    let ended = tokio::select! {
        ready = stream.readable() => if ready.is_ok() { None } else { Some(CloseReason::Client) },
        reason = place.expired() => Some(reason),
        () = closed(&mut closing) => Some(CloseReason::Shutdown),
    };
    let Some(acceptor) = tls else {
        match ended {
            Some(reason) => place.close(reason),
            None => {
                let io = TimedStream::new(stream, place.clone());
                Box::pin(connection(io, (PeerAddress(peer), Encrypted(false)), place.clone(), app, closing)).await;
            }
        }
        return;
    };
    let opened = match ended {
        Some(reason) => Opened::Ended(reason),
        None => tokio::select! {
            opened = Box::pin(opened(stream, place, acceptor)) => opened,
            reason = place.expired() => Opened::Ended(reason),
            () = closed(&mut closing) => Opened::Ended(CloseReason::Shutdown),
        },
    };
    match opened {
        Opened::Ended(reason) => place.close(reason),
        Opened::Plain(io) => {
            place.sent_no_tls();
            let app = Router::new().fallback(|| async { PLAIN_HTTP });
            Box::pin(connection(io, (PeerAddress(peer), Encrypted(false)), place.clone(), app, closing)).await;
        }
        Opened::Tls(io) => {
            Box::pin(connection(*io, (PeerAddress(peer), Encrypted(true)), place.clone(), app, closing)).await;
        }
    }
}

/// The answer to HTTP without TLS on a port of TLS. The connection ends with it, lest a client goes on in the clear.
const PLAIN_HTTP: (StatusCode, [(HeaderName, &str); 1], &str) = (
    StatusCode::BAD_REQUEST,
    [(header::CONNECTION, "close")],
    "this port takes HTTPS only: write https:// in place of http://\n",
);

/// What came of a connection to a port of TLS.
enum Opened {
    Tls(Box<TlsStream<TimedStream<TcpStream>>>),
    /// A request without TLS.
    Plain(TimedStream<TcpStream>),
    Ended(CloseReason),
}

/// Makes the handshake. The stream below TLS notes what comes and goes, as TLS keeps bytes of its own.
async fn opened(stream: TcpStream, place: &Connection, acceptor: TlsAcceptor) -> Opened {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) => {}
        _ => return Opened::Ended(CloseReason::Client),
    }
    let io = TimedStream::new(stream, place.clone());
    // A method's name. A record of TLS begins with 22.
    if first[0].is_ascii_uppercase() {
        return Opened::Plain(io);
    }
    let buffer = place.limits().buffer_bytes;
    match acceptor.accept_with(io, |tls| tls.set_buffer_limit(Some(buffer))).await {
        Ok(io) => Opened::Tls(Box::new(io)),
        // What TLS objects to is InvalidData; anything else is an end of the connection below it.
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Opened::Ended(CloseReason::Handshake),
        Err(_) => Opened::Ended(CloseReason::Client),
    }
}

/// Serves the requests of one connection, over any stream of plain text that has a [`TimedStream`] at its bottom.
async fn connection<IO>(
    io: IO,
    client: (PeerAddress, Encrypted),
    place: Connection,
    app: Router,
    mut closing: watch::Receiver<bool>,
) where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let limits = *place.limits();
    let io = TokioIo::new(io);
    let of_requests = place.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        of_requests.request_begins(Instant::now());
        let (app, place) = (app.clone(), of_requests.clone());
        async move {
            let mut request = request.map(|body| Body::new(TimedBody::new(body, place.clone())));
            request.extensions_mut().insert(client.0);
            request.extensions_mut().insert(client.1);
            let response = app.oneshot(request).await.unwrap_or_else(|never| match never {});
            Ok::<_, Infallible>(response.map(|body| TrackedBody::new(body, place)))
        }
    });
    let mut served = pin!(
        hyper::server::conn::http1::Builder::new()
            .max_header_size(limits.head_bytes)
            .max_buf_size(limits.buffer_bytes)
            // The deadlines of `Connection` distinguish a slow head from an idle connection; this one does not.
            .header_read_timeout(None)
            .serve_connection(io, service)
    );
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    let mut evicted = pin!(place.evicted());
    let mut shutdown = pin!(closed(&mut closing));
    let mut finishing = false;
    let reason = poll_fn(|context| {
        if served.as_mut().poll(context).is_ready() {
            return Poll::Ready(if finishing { CloseReason::Shutdown } else { CloseReason::Client });
        }
        if !finishing && shutdown.as_mut().poll(context).is_ready() {
            finishing = true;
            served.as_mut().graceful_shutdown();
            if served.as_mut().poll(context).is_ready() {
                return Poll::Ready(CloseReason::Shutdown);
            }
        }
        if evicted.as_mut().poll(context).is_ready() {
            return Poll::Ready(CloseReason::Evicted);
        }
        // Polled after the connection, so that the deadline is that of the state it is in now.
        let Some((deadline, reason)) = place.deadline() else { return Poll::Pending };
        let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(context).map(|()| reason)
    })
    .await;
    place.close(reason);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_an_address_or_a_network_of_64_bits() {
        let client = |text: &str| client_of(text.parse().unwrap()).map(|ip| ip.to_string());
        for (address, expected) in [
            ("127.0.0.1", None),
            ("127.9.9.9", None),
            ("::1", None),
            ("::ffff:127.0.0.1", None),
            ("192.0.2.1", Some("192.0.2.1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("2001:db8:1:2:3:4:5:6", Some("2001:db8:1:2::")),
            ("2001:db8:1:2::", Some("2001:db8:1:2::")),
        ] {
            assert_eq!(client(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn only_errors_of_the_listener_make_it_pause() {
        let code = |code| is_of_one_connection(&std::io::Error::from_raw_os_error(code));
        assert!(code(libc::ECONNABORTED) && code(libc::ECONNRESET) && code(libc::EINTR));
        assert!(!code(libc::EMFILE) && !code(libc::ENFILE) && !code(libc::ENOMEM) && !code(libc::ENOBUFS));
    }
}
