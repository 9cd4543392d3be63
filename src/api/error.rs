//! Errors as `{"error":{"code","message"}}`: one clear line, and a status a program can act on.

use crate::store::query::QueryError;
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
}

/// Body of every answer that is not a success.
#[derive(Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorText,
}

#[derive(Serialize, ToSchema)]
pub struct ErrorText {
    /// `bad_request`, `not_found`, `method_not_allowed`, `forbidden_host`, `busy`, `too_many_requests`, `too_slow`, `too_large`, `store_unavailable`, `store_error`.
    code: &'static str,
    /// One line: what is wrong and what to do.
    message: String,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { status, code, message: message.into() }
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
        let body = ErrorBody { error: ErrorText { code: self.code, message: self.message } };
        let mut response = (self.status, Json(body)).into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
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
