//! The embedded web page: built files of `web/dist`, with entity tags and long caching for hashed names.

use super::conditional::{has, tag};
use super::error::{no_such_route, read_only};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::RustEmbed;
use std::borrow::Cow;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Dist;

/// What a file of the page is served as.
struct Asset {
    data: Cow<'static, [u8]>,
    hash: [u8; 32],
}

const NOT_BUILT: &str = "<!doctype html><meta charset=\"utf-8\"><title>Auscult</title>\
    <h1>The page is not built into this program</h1><p>Run <code>make web</code> and build again. \
    The API works all the same: <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p>";

/// Whether the page was built before this program was.
pub fn page_is_built() -> bool {
    Dist::get("index.html").is_some()
}

pub(super) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return read_only().await.into_response();
    }
    let embedded = |path: &str| Dist::get(path).map(|f| Asset { data: f.data, hash: f.metadata.sha256_hash() });
    match answer(uri.path(), &headers, embedded) {
        Some(response) => response,
        None => no_such_route().await.into_response(),
    }
}

/// A file by its name, else the page itself for paths that look like one of its routes.
fn answer(path: &str, headers: &HeaderMap, file: impl Fn(&str) -> Option<Asset>) -> Option<Response> {
    let path = path.trim_start_matches('/');
    if path.split('/').any(|part| part == "..") {
        return None;
    }
    if !path.is_empty()
        && let Some(asset) = file(path)
    {
        return Some(respond(path, asset, headers));
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    if last.contains('.') {
        return None;
    }
    Some(match file("index.html") {
        Some(index) => respond("index.html", index, headers),
        None => Html(NOT_BUILT).into_response(),
    })
}

fn respond(path: &str, asset: Asset, headers: &HeaderMap) -> Response {
    let tag = tag(&asset.hash);
    let mut response = match has(headers, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(asset.data.into_owned())),
    };
    // The bundler puts a hash of the content into every name under assets/.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kept = response.headers_mut();
    kept.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    kept.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    kept.insert(header::ETAG, tag);
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &str) -> Option<Asset> {
        let text: &'static str = match path {
            "index.html" => "<!doctype html>page",
            "assets/app-1a2b.js" => "code",
            _ => return None,
        };
        Some(Asset { data: Cow::Borrowed(text.as_bytes()), hash: [path.len() as u8; 32] })
    }

    fn header_of(response: &Response, name: header::HeaderName) -> String {
        response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    }

    #[test]
    fn files_routes_and_what_is_neither() {
        let none = HeaderMap::new();
        let kind = |path: &str| answer(path, &none, files).map(|r| header_of(&r, header::CONTENT_TYPE));
        for route in ["/", "/calls/0123456789abcdef", "/stats"] {
            assert_eq!(kind(route).as_deref(), Some("text/html; charset=utf-8"), "{route}");
        }
        assert_eq!(kind("/assets/app-1a2b.js").as_deref(), Some("text/javascript; charset=utf-8"));
        for missing in ["/assets/gone.js", "/../Cargo.toml", "/favicon.ico", "/calls/../../etc/passwd"] {
            assert_eq!(kind(missing), None, "{missing}");
        }
    }

    #[test]
    fn hashed_names_are_kept_for_good_and_the_page_is_asked_for_again() {
        let none = HeaderMap::new();
        let cached =
            |path| answer(path, &none, files).map(|r| header_of(&r, header::CACHE_CONTROL)).unwrap_or_default();
        assert_eq!(cached("/assets/app-1a2b.js"), "public, max-age=31536000, immutable");
        assert_eq!(cached("/"), "no-cache");
        let tag = answer("/", &none, files).map(|r| header_of(&r, header::ETAG)).unwrap_or_default();
        let mut asks = HeaderMap::new();
        asks.insert(
            header::IF_NONE_MATCH,
            HeaderValue::from_str(&format!("\"other\", {}", tag.trim_start_matches("W/"))).unwrap(),
        );
        assert_eq!(answer("/", &asks, files).map(|r| r.status()), Some(StatusCode::NOT_MODIFIED));
        asks.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(answer("/", &asks, files).map(|r| r.status()), Some(StatusCode::OK));
    }

    #[test]
    fn without_built_files_the_page_says_how_to_build_them() {
        let response = answer("/", &HeaderMap::new(), |_| None);
        assert_eq!(response.map(|r| r.status()), Some(StatusCode::OK));
        assert!(NOT_BUILT.contains("make web"));
    }
}
