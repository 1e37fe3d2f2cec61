//! Whether requests should come here, in the words of several protocols, and the description of all routes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::{Body, INVOCATIONS, OPERATIONS, Operation};
use super::routes::Routes;
use crate::server::Service;

/// Whether requests should come here.
#[derive(Serialize, ToSchema)]
struct Health {
    status: Status,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ready,
    Draining,
}

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/health", health, || operation(OPERATIONS))
        .get("/ping", health, || operation(INVOCATIONS))
        .get("/version", async || env!("CARGO_PKG_VERSION"), version)
}

fn version() -> Operation {
    Operation::new(INVOCATIONS, "The version of this server.").answers(
        StatusCode::OK,
        "The version.",
        Body::text("text/plain"),
    )
}

pub(super) fn operation(tag: &'static str) -> Operation {
    Operation::new(tag, "Whether requests should come here.")
        .answers(StatusCode::OK, "They should.", Body::json::<Health>())
        .answers(StatusCode::SERVICE_UNAVAILABLE, "They should go elsewhere.", Body::json::<Health>())
}

/// Answers 200 while requests should come here, and 503 when they should go elsewhere.
pub(super) async fn health(State(service): State<Service>) -> Response {
    let (code, status) = match service.is_ready() {
        true => (StatusCode::OK, Status::Ready),
        false => (StatusCode::SERVICE_UNAVAILABLE, Status::Draining),
    };
    (code, Json(Health { status })).into_response()
}
