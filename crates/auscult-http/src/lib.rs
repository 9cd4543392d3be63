//! HTTP/1 over accepted streams: connections are bounded in number, time and memory, whatever their clients do.
//!
//! A connection is in one of three states: it waits for a request, it serves one, or its client does not take what
//! was written. Only the second may last; the others have a deadline, and are closed first when places run out.
//! Nothing here knows what is served. TLS, when it comes, wraps the accepted stream before `connection` gets it.

#![forbid(unsafe_code)]

mod connections;
mod limits;
mod stream;

pub use limits::{CloseReason, ConnectionCounters, ConnectionSnapshot, HttpLimits};

use axum::Router;
use axum::body::Body;
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep};
use tower::ServiceExt;

/// Pause after a failed accept. Without descriptors or memory every further try fails at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The address a request came from, an extension of every request that [`HttpServer`] hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// What counts as one client: an IPv4 address, or the /64 network of an IPv6 address. `None` for loopback, where a
/// proxy or another program of this host has clients that cannot be distinguished here.
pub fn client_of(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(v6) => Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))),
        v4 => Some(v4),
    }
}

/// Serves routers on listeners within [`HttpLimits`]. Clones share limits and counters, not places.
#[derive(Clone, Debug, Default)]
pub struct HttpServer {
    limits: HttpLimits,
    counters: Arc<ConnectionCounters>,
}

impl HttpServer {
    pub fn new(limits: HttpLimits) -> HttpServer {
        HttpServer { limits, counters: Arc::default() }
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
                    let (app, closing, open) = (app.clone(), closing.clone(), open.clone());
                    tokio::spawn(async move {
                        accepted_stream(stream, peer, &place, app, closing).await;
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

/// Waits for the first byte, then serves. Until then a connection has no buffer and no parser: it costs its socket, its
/// task and its place.
async fn accepted_stream(
    stream: TcpStream,
    peer: SocketAddr,
    place: &Connection,
    app: Router,
    mut closing: watch::Receiver<bool>,
) {
    let ended = tokio::select! {
        ready = stream.readable() => if ready.is_ok() { None } else { Some(CloseReason::Client) },
        reason = place.expired() => Some(reason),
        () = closed(&mut closing) => Some(CloseReason::Shutdown),
    };
    match ended {
        Some(reason) => place.close(reason),
        None => Box::pin(connection(stream, peer, place.clone(), app, closing)).await,
    }
}

/// Serves the requests of one connection, over any stream of plain text.
async fn connection<IO>(io: IO, peer: SocketAddr, place: Connection, app: Router, mut closing: watch::Receiver<bool>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let limits = *place.limits();
    let io = TokioIo::new(TimedStream::new(io, place.clone()));
    let of_requests = place.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        of_requests.request_begins(Instant::now());
        let (app, place) = (app.clone(), of_requests.clone());
        async move {
            let mut request = request.map(|body| Body::new(TimedBody::new(body, place.clone())));
            request.extensions_mut().insert(PeerAddress(peer));
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
