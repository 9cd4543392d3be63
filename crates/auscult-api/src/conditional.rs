//! What an answer costs on the wire: entity tags for conditional requests (RFC 9110 section 13), and gzip.

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

/// Compresses what is neither small, compressed already, nor a stream of events, for clients that accept gzip.
pub(super) fn compression() -> CompressionLayer<impl Predicate> {
    let parquet = NotForContentType::const_new("application/vnd.apache.parquet");
    // The fastest level: the processor also measures.
    CompressionLayer::new()
        .gzip(true)
        .quality(CompressionLevel::Fastest)
        .compress_when(DefaultPredicate::new().and(parquet))
}

/// Gives JSON answers a tag of their content, and answers 304 to who has that content. The query runs all the same.
pub(super) async fn tagged(request: Request, next: Next) -> Response {
    let asked = (request.method() == Method::GET).then(|| request.headers().clone());
    let response = next.run(request).await;
    let json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let length = response.body().size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let (Some(asked), Some(length), true) = (asked, length, json && response.status() == StatusCode::OK) else {
        return response;
    };
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, length).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let tag = tag(&Sha256::digest(&bytes));
    parts.headers.insert(header::ETAG, tag.clone());
    if has(&asked, &tag) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// The tag of content with this hash. It is weak: the same content also travels compressed.
pub(super) fn tag(hash: &[u8]) -> HeaderValue {
    let mut tag = String::from("W/\"");
    for byte in hash.iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// Whether a client has what carries this tag (`If-None-Match`, compared weakly).
pub(super) fn has(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(own) = tag.to_str().map(opaque) else { return false };
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|one| one.trim() == "*" || opaque(one) == own)
}
