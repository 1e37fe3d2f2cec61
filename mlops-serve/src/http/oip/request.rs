//! The body of an inference request.

use bytes::Bytes;
use mlops_core::{Result, Signature, TensorSpec, Tensors};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::binary;
use crate::http::json;
use crate::server::{Parameters, wire};

/// How a body is called in errors.
const WHAT: &str = "inference request";

/// What a caller asks.
pub(super) struct InferRequest {
    pub(super) id: Option<String>,
    pub(super) parameters: Parameters,
    pub(super) inputs: Tensors,
    pub(super) outputs: RequestedOutputs,
}

/// The outputs a caller names. None named are all.
pub(super) struct RequestedOutputs {
    named: Vec<RequestedOutput>,
    /// Of those of which nothing is said.
    binary: bool,
}

/// One output of the answer.
#[derive(Debug, PartialEq)]
pub(super) struct WantedOutput {
    pub(super) name: String,
    /// As bytes behind the JSON, rather than in it.
    pub(super) binary: bool,
}

#[derive(Deserialize)]
struct Json<I> {
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    inputs: I,
    #[serde(default)]
    outputs: Vec<RequestedOutput>,
}

#[derive(Deserialize)]
struct RequestedOutput {
    name: String,
    #[serde(default)]
    parameters: OutputParameters,
}

#[derive(Deserialize, Default)]
struct OutputParameters {
    binary_data: Option<bool>,
}

impl InferRequest {
    /// `header_length` is that of the JSON, where tensors follow it.
    pub(super) fn parse(header_length: Option<usize>, body: Bytes, signature: &Signature) -> Result<Self> {
        match header_length {
            None => {
                let json: Json<Tensors> = json::object(&body, WHAT)?;
                json.with_inputs(Ok)
            }
            Some(0) => {
                let inputs = binary::raw_input(body, signature)?;
                let outputs = RequestedOutputs { named: Vec::new(), binary: true };
                Ok(Self { id: None, parameters: Parameters::default(), inputs, outputs })
            }
            Some(length) => {
                let (json, binary) = binary::split(length, body)?;
                let json: Json<Vec<Box<RawValue>>> = json::object(&json, WHAT)?;
                json.with_inputs(|elements| binary::inputs(&elements, binary))
            }
        }
    }
}

impl<I> Json<I> {
    fn with_inputs(self, inputs: impl FnOnce(I) -> Result<Tensors>) -> Result<InferRequest> {
        let outputs = RequestedOutputs { named: self.outputs, binary: self.parameters.binary_output()? };
        Ok(InferRequest { id: self.id, parameters: self.parameters, inputs: inputs(self.inputs)?, outputs })
    }
}

impl RequestedOutputs {
    /// What to answer with: those that are named, in their order, or all of the model's.
    pub(super) fn resolve(self, signature: &Signature) -> Result<Vec<WantedOutput>> {
        if self.named.is_empty() {
            let known = signature.outputs().iter().map(TensorSpec::name);
            return Ok(known
                .map(|name| WantedOutput { name: name.to_owned(), binary: self.binary })
                .collect());
        }
        wire::check_wanted(self.named.iter().map(|output| output.name.as_str()), signature)?;
        let wanted = self.named.into_iter().map(|RequestedOutput { name, parameters }| WantedOutput {
            name,
            binary: parameters.binary_data.unwrap_or(self.binary),
        });
        Ok(wanted.collect())
    }
}
