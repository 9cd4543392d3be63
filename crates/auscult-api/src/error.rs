//! Errors as problem details (RFC 9457): one clear line, a status and a code a program can act on, and the parameter at fault.

use auscult_store::query::QueryError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// When to try again, seconds; of 503 and 429 without it in a second.
    retry_after: Option<i64>,
}

/// Body of every answer that is not a success: problem details (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct ErrorBody {
    /// `about:blank`: the status says what kind of problem it is, `code` which.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Reason phrase of the status.
    title: &'static str,
    status: u16,
    /// One line: what is wrong and what to do.
    detail: String,
    /// As `error.code`.
    code: &'static str,
    /// The query parameter at fault, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    /// The same in the form of earlier versions.
    error: ErrorText,
}

#[derive(Serialize, ToSchema)]
pub struct ErrorText {
    /// `bad_request`, `not_found`, `method_not_allowed`, `forbidden_host`, `not_signed_in`, `wrong_credentials`, `not_allowed`, `not_own_page`, `not_local`, `not_recorded`, `too_many_sign_ins`, `busy`, `too_many_requests`, `too_slow`, `too_large`, `store_unavailable`, `store_error`.
    code: &'static str,
    /// One line: what is wrong and what to do.
    message: String,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { status, code, message: message.into(), retry_after: None }
    }

    /// The same, to be tried again after so many seconds.
    pub fn after(self, seconds: i64) -> ApiError {
        ApiError { retry_after: Some(seconds), ..self }
    }

    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: self.message.clone(),
            code: self.code,
            parameter: (self.status == StatusCode::BAD_REQUEST).then(|| parameter(&self.message)).flatten(),
            error: ErrorText { code: self.code, message: self.message },
        };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after.unwrap_or(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The parameter that a message names first, between grave accents as all of them do.
fn parameter(message: &str) -> Option<String> {
    let name = message.split('`').nth(1)?;
    let is_name = !name.is_empty()
        && name.len() <= 32
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    is_name.then(|| name.to_owned())
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> ApiError {
        let (status, code) = match &error {
            QueryError::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            QueryError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            QueryError::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            QueryError::TooSlow => (StatusCode::GATEWAY_TIMEOUT, "too_slow"),
            QueryError::TooLarge => (StatusCode::UNPROCESSABLE_ENTITY, "too_large"),
            QueryError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
            QueryError::Engine(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_error"),
        };
        ApiError::new(status, code, error.to_string())
    }
}

pub(super) async fn no_such_route() -> ApiError {
    ApiError::not_found("no such route; /api/v1/openapi.json lists them all")
}

pub(super) async fn read_only() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "only GET and HEAD are answered here")
}
