//! One function for each route.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response as HttpResponse};
use axum::routing::{get, post};
use axum::{Json, Router};
use mlops_core::{Error, Instant};
use serde_json::json;
use uuid::Uuid;

use super::Shared;
use super::failure::Failure;
use super::protocol::{InferRequest, InferResponse, ModelMetadata};

type Answer = Result<HttpResponse, Failure>;

pub(super) fn router(shared: Arc<Shared>, body_limit: usize) -> Router {
    let model = || {
        Router::new()
            .route("/", get(metadata))
            .route("/ready", get(model_ready))
            .route("/infer", post(infer))
            .layer(DefaultBodyLimit::max(body_limit))
    };
    Router::new()
        .route("/v2", get(server_metadata))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .nest("/v2/models/{model}", model())
        .nest("/v2/models/{model}/versions/{version}", model())
        .route("/metrics", get(metrics))
        .with_state(shared)
}

/// Which model, and which version of it, a path names.
#[derive(serde::Deserialize)]
struct ModelPath {
    model: String,
    version: Option<String>,
}

async fn server_metadata() -> HttpResponse {
    Json(json!({"name": "mlops", "version": env!("CARGO_PKG_VERSION"), "extensions": []})).into_response()
}

async fn live() -> HttpResponse {
    Json(json!({"live": true})).into_response()
}

async fn ready(State(shared): State<Arc<Shared>>) -> HttpResponse {
    let ready = shared.is_ready();
    (ready_status(ready), Json(json!({"ready": ready}))).into_response()
}

async fn metadata(State(shared): State<Arc<Shared>>, Path(path): Path<ModelPath>) -> Answer {
    let model = shared.model(&path.model, path.version.as_deref())?;
    let versions = shared.served(&path.model)?.versions.keys().map(String::as_str).collect();
    Ok(Json(ModelMetadata::new(&path.model, versions, model.signature())).into_response())
}

async fn model_ready(State(shared): State<Arc<Shared>>, Path(path): Path<ModelPath>) -> Answer {
    shared.model(&path.model, path.version.as_deref())?;
    let ready = shared.is_ready();
    Ok((ready_status(ready), Json(json!({"name": path.model, "ready": ready}))).into_response())
}

async fn infer(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<ModelPath>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let arrived = Instant::now();
    let model = shared.model(&path.model, path.version.as_deref())?;
    let parsed = InferRequest::parse(&body?)?;
    let wanted = parsed.wanted_outputs(model.signature())?;
    let id = parsed.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let timeout = parsed.timeout()?;
    let mut request = mlops_core::Request::new(parsed.inputs)
        .with_context(parsed.parameters.routing_context()?)
        .with_id(id.as_str());
    if let Some(deadline) = timeout.and_then(|timeout: Duration| arrived.checked_add(timeout)) {
        request = request.with_deadline(deadline);
    }
    let response = model.predict(request).await?;
    let body = serde_json::to_vec(&InferResponse::new(&path.model, &id, &response, wanted.as_deref()))
        .map_err(|cause| Error::engine("the outputs cannot be written as JSON").with_source(cause))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Answer {
    let render = shared.render_metrics.as_ref().ok_or_else(|| {
        Error::not_found("this server renders no metrics; its host has not called `with_metrics`")
    })?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], render()).into_response())
}

fn ready_status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
