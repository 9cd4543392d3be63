//! Which client a request came from, as far as its address shows.

use auscult_http::{PeerAddress, client_of};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::net::IpAddr;

/// The client's address; `None` on loopback and without a connection, where clients share what there is.
pub(super) struct Caller(pub Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Infallible> {
        Ok(Caller(parts.extensions.get::<PeerAddress>().and_then(|peer| client_of(peer.0.ip()))))
    }
}
