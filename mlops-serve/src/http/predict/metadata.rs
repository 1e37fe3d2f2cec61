//! What a model takes and gives, in the form of TF Serving's `GetModelMetadataResponse`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mlops_core::{DType, Dimension, TensorSpec};
use serde::Serialize;
use utoipa::ToSchema;

use super::request::SIGNATURE;
use crate::http::Answer;
use crate::http::inbound::Inbound;
use crate::http::openapi::{Body, NO_MODEL, Operation, PREDICT, REFUSALS};
use crate::http::path::ModelPath;
use crate::server::access::Verb;
use crate::server::{Served, Service};

/// What TF Serving calls a signature for predictions.
const METHOD: &str = "tensorflow/serving/predict";

pub(super) fn operation() -> Operation {
    Operation::new(PREDICT, "What a model takes and gives, in TensorFlow's words.")
        .for_callers()
        .answers(StatusCode::OK, "The signature.", Body::json::<ModelMetadata<'_>>())
        .fails(&REFUSALS)
        .fails(&NO_MODEL)
}

pub(super) async fn metadata(State(service): State<Service>, path: ModelPath, inbound: Inbound) -> Answer {
    let served = service.served(&inbound.caller, Verb::Inspect, &path.model, path.version.as_deref())?;
    Ok(Json(ModelMetadata::new(&served)).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingMetadata)]
struct ModelMetadata<'a> {
    model_spec: ModelSpec<'a>,
    metadata: Metadata<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingModelSpec)]
struct ModelSpec<'a> {
    name: &'a str,
    signature_name: &'static str,
    /// Missing where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingMetadataMap)]
struct Metadata<'a> {
    signature_def: SignatureMap<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingSignatureMap)]
struct SignatureMap<'a> {
    signature_def: BTreeMap<&'static str, SignatureDefinition<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingSignature)]
struct SignatureDefinition<'a> {
    inputs: BTreeMap<&'a str, TensorInfo<'a>>,
    outputs: BTreeMap<&'a str, TensorInfo<'a>>,
    method_name: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingTensor)]
struct TensorInfo<'a> {
    name: &'a str,
    dtype: &'static str,
    tensor_shape: Shape,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingShape)]
struct Shape {
    dim: Vec<Length>,
    unknown_rank: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingLength)]
struct Length {
    /// -1 stands for any length. A string, as Protocol Buffers write numbers of 64 bits.
    size: String,
    name: &'static str,
}

impl<'a> ModelMetadata<'a> {
    fn new(served: &'a Served) -> Self {
        let tensors =
            |specs: &'a [TensorSpec]| specs.iter().map(|spec| (spec.name(), TensorInfo::new(spec))).collect();
        let signature = SignatureDefinition {
            inputs: tensors(served.signature().inputs()),
            outputs: tensors(served.signature().outputs()),
            method_name: METHOD,
        };
        let version = served.version().map(ToString::to_string);
        Self {
            model_spec: ModelSpec { name: served.name().as_str(), signature_name: "", version },
            metadata: Metadata {
                signature_def: SignatureMap { signature_def: BTreeMap::from([(SIGNATURE, signature)]) },
            },
        }
    }
}

impl<'a> TensorInfo<'a> {
    fn new(spec: &'a TensorSpec) -> Self {
        let length = |dimension: &Dimension| match dimension {
            Dimension::Fixed(length) => Length { size: length.to_string(), name: "" },
            Dimension::Batch => Length { size: "-1".to_owned(), name: "batch" },
            Dimension::Free => Length { size: "-1".to_owned(), name: "" },
        };
        let dim = spec.shape().iter().map(length).collect();
        Self {
            name: spec.name(),
            dtype: tensorflow_name(spec.dtype()),
            tensor_shape: Shape { dim, unknown_rank: false },
        }
    }
}

fn tensorflow_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "DT_BOOL",
        DType::Uint8 => "DT_UINT8",
        DType::Uint16 => "DT_UINT16",
        DType::Uint32 => "DT_UINT32",
        DType::Uint64 => "DT_UINT64",
        DType::Int8 => "DT_INT8",
        DType::Int16 => "DT_INT16",
        DType::Int32 => "DT_INT32",
        DType::Int64 => "DT_INT64",
        DType::Fp16 => "DT_HALF",
        DType::Bf16 => "DT_BFLOAT16",
        DType::Fp32 => "DT_FLOAT",
        DType::Fp64 => "DT_DOUBLE",
        DType::Bytes => "DT_STRING",
    }
}
