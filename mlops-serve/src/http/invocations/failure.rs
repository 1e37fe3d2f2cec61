//! What a client of MLflow is told when something went wrong.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mlops_core::Error;
use serde_json::json;

use crate::http::Failure;

/// A failure with its error code in the words of MLflow.
pub(super) struct Fault {
    failure: Failure,
    code: &'static str,
}

impl Fault {
    pub(super) fn unsupported_media_type(message: String) -> Self {
        Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into()
    }

    /// The caller's `params` or headers are wrong.
    pub(super) fn of_parameters(error: Error) -> Self {
        Self { failure: error.into(), code: "INVALID_PARAMETER_VALUE" }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let code = match failure.status() {
            StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
            StatusCode::FORBIDDEN => "PERMISSION_DENIED",
            StatusCode::NOT_FOUND => "RESOURCE_DOES_NOT_EXIST",
            StatusCode::CONFLICT => "RESOURCE_CONFLICT",
            StatusCode::TOO_MANY_REQUESTS => "REQUEST_LIMIT_EXCEEDED",
            StatusCode::SERVICE_UNAVAILABLE => "TEMPORARILY_UNAVAILABLE",
            StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED",
            status if status.is_server_error() => "INTERNAL_ERROR",
            _ => "BAD_REQUEST",
        };
        Self { failure, code }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        self.failure.answer(json!({"error_code": self.code, "message": self.failure.message()}))
    }
}
