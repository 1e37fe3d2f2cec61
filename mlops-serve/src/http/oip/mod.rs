//! The Open Inference Protocol v2.

mod binary;
mod infer;
mod metadata;
mod parameters;
mod repository;
mod request;
mod response;
mod statistics;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::server::Service;

/// The optional parts of the protocol that this server speaks.
const EXTENSIONS: [&str; 5] =
    ["binary_tensor_data", "model_configuration", "model_repository", "schedule_policy", "statistics"];

pub(super) fn router() -> Router<Service> {
    let model = || {
        Router::new()
            .route("/", get(metadata::metadata))
            .route("/ready", get(metadata::ready))
            .route("/config", get(metadata::config))
            .route("/stats", get(statistics::of_model))
            .route("/infer", post(infer::infer))
    };
    Router::new()
        .route("/v2", get(server_metadata))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/stats", get(statistics::of_all))
        .nest("/v2/models/{model}", model())
        .nest("/v2/models/{model}/versions/{version}", model())
        .route("/v2/repository/index", post(repository::index))
        .route("/v2/repository/models/{model}/load", post(repository::load))
        .route("/v2/repository/models/{model}/unload", post(repository::unload))
}

/// Which model, and which version of it, a path names.
#[derive(Deserialize)]
struct ModelPath {
    model: String,
    version: Option<String>,
}

async fn server_metadata() -> Response {
    Json(json!({"name": "mlops", "version": env!("CARGO_PKG_VERSION"), "extensions": EXTENSIONS}))
        .into_response()
}

async fn live() -> Response {
    Json(json!({"live": true})).into_response()
}

async fn ready(State(service): State<Service>) -> Response {
    let ready = service.is_ready();
    (ready_status(ready), Json(json!({"ready": ready}))).into_response()
}

fn ready_status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
