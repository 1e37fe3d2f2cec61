//! The Open Inference Protocol v2.

mod binary;
mod infer;
mod metadata;
mod repository;
mod request;
mod response;
mod statistics;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Type;

use super::openapi::schemas::{InferRequest, InferResponse};
use super::openapi::{
    BAD_BODY, Body, NO_MODEL, NO_PREDICTION, OPEN_INFERENCE_PROTOCOL, Operation, REFUSALS, REPOSITORY,
};
use super::routes::Routes;
use crate::server::Service;

/// The optional parts of the protocol that this server speaks.
const EXTENSIONS: [&str; 5] =
    ["binary_tensor_data", "model_configuration", "model_repository", "schedule_policy", "statistics"];

pub(super) fn routes() -> Routes {
    let routes = Routes::new()
        .get("/v2", server_metadata, || of_server::<ServerMetadata>("What this server is."))
        .get("/v2/health/live", live, || of_server::<Live>("Whether the process runs."))
        .get("/v2/health/ready", ready, || {
            of_server::<Ready>("Whether requests should come here.").answers(
                StatusCode::SERVICE_UNAVAILABLE,
                "They should go elsewhere.",
                Body::json::<Ready>(),
            )
        })
        .get("/v2/models/stats", statistics::of_all, || {
            of_models::<statistics::ModelStatistics>("What was counted of the calls of all models.")
        })
        .post("/v2/repository/index", repository::index, index)
        .post("/v2/repository/models/{model}/load", repository::load, || {
            change("Loads a model, or loads it again.")
        })
        .post("/v2/repository/models/{model}/unload", repository::unload, || {
            change("Takes a model out of service.")
        });
    ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"].into_iter().fold(
        routes,
        |routes, model| {
            routes
                .get(model, metadata::metadata, || {
                    of_model::<metadata::Metadata<'_>>("What a model takes and gives.")
                })
                .get(&format!("{model}/ready"), metadata::ready, || {
                    of_model::<metadata::Ready>("Whether a model takes requests.").answers(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "It does not, or the server does not.",
                        Body::json::<metadata::NotReady>(),
                    )
                })
                .get(&format!("{model}/config"), metadata::config, || {
                    of_model::<metadata::Config<'_>>("What a model takes and gives, in Triton's words.")
                })
                .get(&format!("{model}/stats"), statistics::of_model, || {
                    of_model::<statistics::ModelStatistics>("What was counted of the calls of a model.")
                })
                .post(&format!("{model}/infer"), infer::infer, prediction)
        },
    )
}

fn of_server<T: ToSchema>(summary: &'static str) -> Operation {
    Operation::new(OPEN_INFERENCE_PROTOCOL, summary).answers(StatusCode::OK, "The answer.", Body::json::<T>())
}

fn of_models<T: ToSchema>(summary: &'static str) -> Operation {
    of_server::<T>(summary).for_callers().fails(&REFUSALS)
}

fn of_model<T: ToSchema>(summary: &'static str) -> Operation {
    of_models::<T>(summary).fails(&NO_MODEL)
}

fn prediction() -> Operation {
    let bytes = || Body::other("application/octet-stream");
    of_model::<InferResponse>("A prediction.")
        .header(
            binary::HEADER_LENGTH.as_str(),
            Type::Integer,
            "How long the JSON is, where tensors follow it as bytes.",
        )
        .takes(Body::json::<InferRequest>())
        .takes(bytes())
        .answers(StatusCode::OK, "JSON, and tensors as bytes behind it.", bytes())
        .fails(&BAD_BODY)
        .fails(&NO_PREDICTION)
}

fn index() -> Operation {
    Operation::new(REPOSITORY, "All models, and whether they take requests.")
        .for_callers()
        .takes(Body::json::<repository::IndexRequest>())
        .without_need_of_body()
        .answers(StatusCode::OK, "The models.", Body::json::<repository::Index>())
        .fails(&REFUSALS)
        .fails(&BAD_BODY)
}

fn change(summary: &'static str) -> Operation {
    Operation::new(REPOSITORY, summary)
        .for_callers()
        .answers(StatusCode::OK, "Done.", Body::json::<repository::Done>())
        .fails(&REFUSALS)
        .fails(&NO_MODEL)
        .fails(&NO_PREDICTION)
        .fails(&[StatusCode::CONFLICT])
}

#[derive(Serialize, ToSchema)]
struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    extensions: &'static [&'static str],
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServerLive)]
struct Live {
    live: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServerReady)]
struct Ready {
    ready: bool,
}

async fn server_metadata() -> Json<ServerMetadata> {
    Json(ServerMetadata { name: "mlops", version: env!("CARGO_PKG_VERSION"), extensions: &EXTENSIONS })
}

async fn live() -> Json<Live> {
    Json(Live { live: true })
}

async fn ready(State(service): State<Service>) -> Response {
    let ready = service.is_ready();
    (ready_status(ready), Json(Ready { ready })).into_response()
}

fn ready_status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
