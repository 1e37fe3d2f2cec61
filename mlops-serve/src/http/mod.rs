//! The REST fronts of the model server: what [`Server::router`](crate::server::Server::router) answers.
//!
//! # [Open Inference Protocol v2](https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md)
//!
//! | route | answers |
//! |---|---|
//! | `GET /v2` | name, version and extensions of the server |
//! | `GET /v2/health/live`, `GET /v2/health/ready` | whether the process runs; whether it takes requests |
//! | `GET /v2/models/{model}[/versions/{version}]` | the signature |
//! | `GET /v2/models/{model}[/versions/{version}]/ready` | whether the model takes requests |
//! | `GET /v2/models/{model}[/versions/{version}]/config` | the signature in the words of Triton's [model configuration](https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md) |
//! | `GET /v2/models[/{model}[/versions/{version}]]/stats` | [statistics](https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md) of the calls |
//! | `POST /v2/models/{model}[/versions/{version}]/infer` | a prediction, in JSON or with [binary tensors](https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md) |
//! | `POST /v2/repository/index` | [all models and their states](https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md) |
//! | `POST /v2/repository/models/{model}/load`, `.../unload` | a model (re)loaded from its source, or taken out of service |
//!
//! A request says more by its `parameters`:
//!
//! | parameter | is |
//! |---|---|
//! | `routing_key` | the key of sticky assignment |
//! | `attribute.NAME` | an attribute for targeting |
//! | `timeout` | the time the answer may take, in microseconds, as in Triton's [schedule policy](https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_schedule_policy.md) |
//! | `timeout_ms` | the same in milliseconds |
//! | `priority` | 1 for the most urgent requests, 2 for the next, and so on; 0 or nothing comes after all of them |
//!
//! What decided goes out by the response's `parameters`: `variant` and `routing_reason`.
//!
//! # [TF Serving](https://www.tensorflow.org/tfx/serving/api_rest)
//!
//! | route | answers |
//! |---|---|
//! | `GET /v1/models/{model}[/versions/{version}]` | the state of the versions |
//! | `GET /v1/models/{model}[/versions/{version}]/metadata` | the signature in TensorFlow's words |
//! | `POST /v1/models/{model}[/versions/{version}]:predict` | `instances` with `predictions`, `inputs` with `outputs` |
//!
//! Types are those of the signature: whole numbers become floats where it says so, and fractions are no integers. Bytes
//! that are no text come and go as `{"b64": "..."}`. The same `parameters` may stand in the body.
//!
//! [Vertex AI](https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements) asks in the same form
//! on paths that its environment names: see [`VertexRoutes`].
//!
//! # [MLflow](https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/)
//!
//! | route | answers |
//! |---|---|
//! | `POST /invocations` | `dataframe_split`, `dataframe_records`, `instances`, `inputs`, or CSV, with `predictions` |
//! | `GET /ping`, `GET /health` | 200 while requests should come here, else 503 |
//! | `GET /version` | the version of this server |
//!
//! The [default model](crate::server::ServerBuilder::with_default_model) answers. A column goes into the input of its
//! name; columns of names that are no inputs go, in their order, into the rows of the only input. In data frames, what is
//! missing is NaN. The parameters above may stand in `params`.
//!
//! # Headers
//! Where bodies have no place for it, in all protocols but the first, `X-Routing-Key` is the key of sticky assignment, and
//! `X-Request-Timeout-Ms` the time the answer may take, in milliseconds. What the body says comes before them.
//!
//! # Operations
//! The header `X-Request-Id` names a request in logs and, where the body has no `id`, for labels that come later; every
//! answer carries it. With the feature `otel` a request joins the trace that its `traceparent` names.
//!
//! | route | answers |
//! |---|---|
//! | `GET /metrics` | what [`with_metrics`](crate::server::ServerBuilder::with_metrics) gives |
//! | `GET /openapi.json` | all these routes as an [OpenAPI](https://spec.openapis.org/oas/v3.1.0) document |
//!
//! # Faults
//! They are answered in the protocol's form, `{"error": "..."}`; MLflow's is `{"error_code": "...", "message": "..."}`.
//! 400 is for wrong input, 401 and 403 for callers who are unknown or may not, 404 for what is not there, 405 for a wrong
//! method, 408 for a body that comes too slowly, 413 for one above the limit, 415 for one of an unknown type, 429 and 503
//! (with `Retry-After`) for overload, 504 for a missed deadline, and 500 for failures of the model, whose inner details
//! go to the log and not to the caller.

mod body;
mod failure;
mod health;
pub(crate) mod inbound;
mod invocations;
mod json;
mod nested;
mod oip;
mod openapi;
mod path;
mod predict;
mod routes;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::HttpMethod;

use crate::server::Service;

use failure::Failure;
use inbound::Inbound;
use openapi::{Body, OPERATIONS, Operation, REFUSALS};
use routes::Routes;

pub use predict::VertexRoutes;

/// What a handler gives.
type Answer = Result<Response, Failure>;

/// The routes, to merge into an application: paths that are not theirs are its own to answer.
pub(crate) fn router(service: Service) -> Router {
    let routes = match service.vertex() {
        Some(vertex) => vertex.add_to(own_routes()),
        None => own_routes(),
    };
    routes.into_router().with_state(service)
}

/// The routes as an application of their own.
pub(crate) fn application(service: Service) -> Router {
    router(service).fallback(not_found)
}

/// All that is served whatever the environment says.
fn own_routes() -> Routes {
    oip::routes()
        .merge(predict::routes())
        .merge(invocations::routes())
        .merge(health::routes())
        .get("/metrics", metrics, metrics_operation)
        .documented(HttpMethod::Get, openapi::PATH, openapi::operation)
}

fn metrics_operation() -> Operation {
    Operation::new(OPERATIONS, "What the server has counted, in Prometheus' format.")
        .for_callers()
        .answers(StatusCode::OK, "Metrics.", Body::text("text/plain"))
        .fails(&REFUSALS)
        .fails(&[StatusCode::NOT_FOUND])
}

async fn metrics(State(service): State<Service>, inbound: Inbound) -> Answer {
    let text = service.metrics(&inbound.caller)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

async fn not_found(request: Request) -> Failure {
    let path: String = request.uri().path().chars().take(128).collect();
    let what = format!("nothing is at {path}; {} lists what is here", openapi::PATH);
    Failure::new(StatusCode::NOT_FOUND, what)
}
