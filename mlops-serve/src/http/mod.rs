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
//! | `GET /metrics` | what [`with_metrics`](crate::server::ServerBuilder::with_metrics) gives |
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
//! The header `X-Request-Id` names a request in logs and, where the body has no `id`, for labels that come later; every
//! answer carries it. With the feature `otel` a request joins the trace that its `traceparent` names.
//!
//! # Faults
//! They are answered in the protocol's form, `{"error": "..."}`: 400 for wrong input, 401 and 403 for callers who are
//! unknown or may not, 404 for what is not there, 408 for a body that comes too slowly, 413 for one above the limit, 429
//! and 503 (with `Retry-After`) for overload, 504 for a missed deadline, and 500 for failures of the model, whose inner
//! details go to the log and not to the caller.

mod body;
mod failure;
mod inbound;
mod oip;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::server::Service;

use failure::Failure;
use inbound::Inbound;

/// What a handler gives.
type Answer = Result<Response, Failure>;

pub(crate) fn router(service: Service) -> Router {
    Router::new()
        .merge(oip::router())
        .route("/metrics", get(metrics))
        .layer(axum::middleware::from_fn(crate::server::trace))
        .with_state(service)
}

async fn metrics(State(service): State<Service>, inbound: Inbound) -> Answer {
    let text = service.metrics(&inbound.caller)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
