//! What a model takes and gives.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use mlops_core::{DType, Signature, TensorSpec};
use serde::Serialize;
use utoipa::ToSchema;

use super::ready_status;
use crate::http::Answer;
use crate::http::inbound::Inbound;
use crate::http::openapi::schemas::{Datatype, Failure};
use crate::http::path::ModelPath;
use crate::server::access::Verb;
use crate::server::{Service, wire};

pub(super) async fn metadata(State(service): State<Service>, path: ModelPath, inbound: Inbound) -> Answer {
    let served = service.served(&inbound.caller, Verb::Inspect, &path.model, path.version.as_deref())?;
    let versions = service.models().versions(&path.model).iter().map(ToString::to_string).collect();
    Ok(Json(Metadata::new(&path.model, versions, served.signature())).into_response())
}

pub(super) async fn ready(State(service): State<Service>, path: ModelPath, inbound: Inbound) -> Answer {
    let served = service.served(&inbound.caller, Verb::Inspect, &path.model, path.version.as_deref())?;
    let ready = service.is_ready();
    Ok((ready_status(ready), Json(Ready { name: served.name().to_string(), ready })).into_response())
}

pub(super) async fn config(State(service): State<Service>, path: ModelPath, inbound: Inbound) -> Answer {
    let served = service.served(&inbound.caller, Verb::Inspect, &path.model, path.version.as_deref())?;
    Ok(Json(Config::new(&path.model, served.signature())).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelReady)]
pub(super) struct Ready {
    name: String,
    ready: bool,
}

/// The model is there but the server drains, or there is none that takes requests.
#[derive(ToSchema)]
#[schema(as = ModelNotReady)]
#[serde(untagged)]
#[expect(dead_code, reason = "this type is described, and never made")]
pub(super) enum NotReady {
    Draining(Ready),
    NoModel(Failure),
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelMetadata)]
pub(super) struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<TensorMetadata<'a>>,
    outputs: Vec<TensorMetadata<'a>>,
}

#[derive(Serialize, ToSchema)]
struct TensorMetadata<'a> {
    name: &'a str,
    #[schema(value_type = Datatype)]
    datatype: DType,
    shape: Vec<i64>,
}

impl<'a> Metadata<'a> {
    fn new(name: &'a str, versions: Vec<String>, signature: &'a Signature) -> Self {
        let tensors = |specs: &'a [TensorSpec]| {
            let tensor = |spec: &'a TensorSpec| TensorMetadata {
                name: spec.name(),
                datatype: spec.dtype(),
                shape: wire::shape(spec),
            };
            specs.iter().map(tensor).collect()
        };
        let (inputs, outputs) = (tensors(signature.inputs()), tensors(signature.outputs()));
        Self { name, versions, platform: wire::NAME, inputs, outputs }
    }
}

/// The signature in the words of Triton's model configuration. The batch is said in every shape, hence a maximum batch
/// size of 0: none is taken away from the shapes.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelConfig)]
pub(super) struct Config<'a> {
    name: &'a str,
    platform: &'static str,
    backend: &'static str,
    max_batch_size: u32,
    input: Vec<TensorConfig<'a>>,
    output: Vec<TensorConfig<'a>>,
}

#[derive(Serialize, ToSchema)]
struct TensorConfig<'a> {
    name: &'a str,
    data_type: String,
    dims: Vec<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    optional: bool,
}

impl<'a> Config<'a> {
    fn new(name: &'a str, signature: &'a Signature) -> Self {
        let tensors = |specs: &'a [TensorSpec]| {
            let tensor = |spec: &'a TensorSpec| TensorConfig {
                name: spec.name(),
                data_type: match spec.dtype() {
                    DType::Bytes => "TYPE_STRING".to_owned(),
                    dtype => format!("TYPE_{dtype}"),
                },
                dims: wire::shape(spec),
                optional: spec.is_optional(),
            };
            specs.iter().map(tensor).collect()
        };
        let (input, output) = (tensors(signature.inputs()), tensors(signature.outputs()));
        Self { name, platform: wire::NAME, backend: wire::NAME, max_batch_size: 0, input, output }
    }
}
