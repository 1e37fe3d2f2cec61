//! What a caller is told when something went wrong.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mlops_core::Error;
use serde::Serialize;
use serde_json::json;

use crate::server::wire;

/// A status and a message in the protocol's form.
pub(super) struct Failure {
    status: StatusCode,
    message: String,
    retry: bool,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: String) -> Self {
        Self { status, message, retry: false }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The answer that has `body` in place of the usual one.
    pub(super) fn answer(&self, body: impl Serialize) -> Response {
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::InvalidInput(_) | Error::Unsupported { .. } => StatusCode::BAD_REQUEST,
            Error::NotFound { .. } => StatusCode::NOT_FOUND,
            Error::Conflict { .. } => StatusCode::CONFLICT,
            Error::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
            Error::PermissionDenied { .. } => StatusCode::FORBIDDEN,
            Error::Overloaded { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Error::DeadlineExceeded { .. } => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, message: wire::told(&error), retry: error.is_retryable() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.answer(json!({"error": self.message}))
    }
}
