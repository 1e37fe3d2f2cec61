//! What is read and written by hand, described for the document. What serde writes is described where it is declared.
#![expect(dead_code, reason = "these types are described, and never made")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// What a caller is told when something went wrong.
#[derive(ToSchema)]
pub(in crate::http) struct Failure {
    /// What went wrong, and what to do.
    error: String,
}

/// An OpenAPI document.
#[derive(ToSchema)]
#[schema(as = OpenApiDocument)]
pub(in crate::http) struct Document {
    openapi: String,
    info: Value,
    paths: Value,
}

/// The types of tensors.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub(in crate::http) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

/// What a caller says beside the tensors. `attribute.NAME` is an attribute for targeting.
#[derive(ToSchema)]
pub(in crate::http) struct Parameters {
    /// The key of sticky assignment.
    #[schema(required = false)]
    routing_key: Text,
    /// The time the answer may take, in microseconds; 0 is no limit.
    #[schema(required = false, minimum = 0, maximum = 1e15)]
    timeout: f64,
    /// The same in milliseconds.
    #[schema(required = false, minimum = 0, maximum = 1e12)]
    timeout_ms: f64,
    /// 1 for the most urgent requests, 2 for the next, and so on; 0 or nothing comes after all of them.
    #[schema(required = false)]
    priority: u64,
}

/// Text, or what is written as text.
#[derive(ToSchema)]
#[serde(untagged)]
enum Text {
    String(String),
    Number(f64),
    Boolean(bool),
}

/// An inference request.
#[derive(ToSchema)]
pub(in crate::http) struct InferRequest {
    /// What the request is known by; made up where it is missing.
    id: Option<String>,
    #[schema(required = false)]
    parameters: InferParameters,
    inputs: Vec<InputTensor>,
    /// The outputs to answer with; all unless named.
    #[schema(required = false)]
    outputs: Vec<RequestedOutput>,
}

#[derive(ToSchema)]
struct InferParameters {
    #[serde(flatten)]
    parameters: Parameters,
    /// Whether outputs go out as bytes behind the JSON.
    #[schema(required = false)]
    binary_data_output: bool,
}

/// A tensor of a request. Its elements are in `data`, or behind the JSON.
#[derive(ToSchema)]
struct InputTensor {
    name: String,
    shape: Vec<u64>,
    datatype: Datatype,
    #[schema(required = false)]
    parameters: BTreeMap<String, Value>,
    /// The elements in row-major order, flat or nested.
    #[schema(required = false)]
    data: Vec<Value>,
}

#[derive(ToSchema)]
struct RequestedOutput {
    name: String,
    #[schema(required = false)]
    parameters: OutputParameters,
}

#[derive(ToSchema)]
struct OutputParameters {
    /// Whether this output goes out as bytes behind the JSON.
    binary_data: Option<bool>,
}

/// A prediction.
#[derive(ToSchema)]
pub(in crate::http) struct InferResponse {
    model_name: String,
    #[schema(required = false)]
    model_version: String,
    #[schema(required = false)]
    id: String,
    #[schema(required = false)]
    parameters: Routing,
    outputs: Vec<OutputTensor>,
}

/// What decided which variant answered.
#[derive(ToSchema)]
struct Routing {
    #[schema(required = false)]
    variant: String,
    #[schema(required = false)]
    routing_reason: String,
}

/// A tensor of an answer. Its elements are in `data`, flat and in row-major order, or behind the JSON.
#[derive(ToSchema)]
struct OutputTensor {
    name: String,
    shape: Vec<u64>,
    datatype: Datatype,
    #[schema(required = false)]
    parameters: BTreeMap<String, u64>,
    #[schema(required = false)]
    data: Vec<Value>,
}

/// Inputs in rows, `instances`, or as whole tensors, `inputs`: one of the two.
#[derive(ToSchema)]
pub(in crate::http) struct PredictRequest {
    /// A model here has one signature, `serving_default`.
    signature_name: Option<String>,
    /// Of each row an object of all inputs, or the value of the only one.
    #[schema(required = false)]
    instances: Vec<Value>,
    /// An object of all inputs, or the only one.
    #[schema(required = false)]
    inputs: Value,
    #[schema(required = false)]
    parameters: Parameters,
}

/// Outputs as the inputs came: in rows, `predictions`, or as whole tensors, `outputs`.
#[derive(ToSchema)]
pub(in crate::http) struct PredictResponse {
    /// The rows of the only output, or of each row an object of all outputs.
    #[schema(required = false)]
    predictions: Value,
    /// The only output, or an object of all.
    #[schema(required = false)]
    outputs: Value,
}

/// Inputs in one of four forms.
#[derive(ToSchema)]
pub(in crate::http) struct InvocationsRequest {
    #[schema(required = false)]
    dataframe_split: SplitFrame,
    /// A data frame, an object of all columns per row.
    #[schema(required = false)]
    dataframe_records: Vec<BTreeMap<String, Value>>,
    /// Of each row an object of all inputs, or the value of the only one.
    #[schema(required = false)]
    instances: Vec<Value>,
    /// An object of all inputs, or the only one.
    #[schema(required = false)]
    inputs: Value,
    #[schema(required = false)]
    params: Parameters,
}

/// A data frame, the names of its columns apart from its rows.
#[derive(ToSchema)]
struct SplitFrame {
    columns: Vec<Text>,
    data: Vec<Vec<Value>>,
    #[schema(required = false)]
    index: Value,
}

/// The rows of the only output, or of each row an object of all outputs.
#[derive(ToSchema)]
pub(in crate::http) struct InvocationsResponse {
    predictions: Value,
}

/// What a client of MLflow is told when something went wrong.
#[derive(ToSchema)]
pub(in crate::http) struct InvocationsFailure {
    /// In the words of MLflow.
    error_code: String,
    /// What went wrong, and what to do.
    message: String,
}
