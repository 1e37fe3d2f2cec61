//! The JSON documents of the protocol.

use std::collections::BTreeMap;
use std::time::Duration;

use mlops_core::{
    DType, Dimension, Error, Response, Result, RoutingContext, Signature, Tensor, TensorSpec, Tensors,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The body of an inference request.
#[derive(Deserialize)]
pub(super) struct InferRequest {
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) parameters: Parameters,
    pub(super) inputs: Tensors,
    #[serde(default)]
    outputs: Vec<RequestedOutput>,
}

#[derive(Deserialize)]
struct RequestedOutput {
    name: String,
}

/// What a caller says beside the tensors.
#[derive(Deserialize, Default)]
pub(super) struct Parameters(BTreeMap<String, Value>);

const ROUTING_KEY: &str = "routing_key";
const ATTRIBUTE_PREFIX: &str = "attribute.";
const TIMEOUT_MS: &str = "timeout_ms";

impl InferRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self> {
        serde_json::from_slice(body)
            .map_err(|cause| Error::invalid_input(format!("the body is no inference request: {cause}")))
    }

    /// The names of the outputs the caller wants; `None` for all.
    pub(super) fn wanted_outputs(&self, signature: &Signature) -> Result<Option<Vec<String>>> {
        let known = || signature.outputs().iter().map(TensorSpec::name);
        for output in &self.outputs {
            if !known().any(|name| name == output.name) {
                let known = known().collect::<Vec<_>>().join("`, `");
                let name = output.name.escape_debug();
                return Err(Error::invalid_input(format!(
                    "there is no output `{name}`; there are `{known}`"
                )));
            }
        }
        let names = self.outputs.iter().map(|output| output.name.clone());
        Ok((!self.outputs.is_empty()).then(|| names.collect()))
    }

    pub(super) fn timeout(&self) -> Result<Option<Duration>> {
        let Some(value) = self.parameters.0.get(TIMEOUT_MS) else { return Ok(None) };
        value
            .as_f64()
            .and_then(|milliseconds| Duration::try_from_secs_f64(milliseconds / 1e3).ok())
            .map(Some)
            .ok_or_else(|| wrong_parameter(TIMEOUT_MS, value, "a number of milliseconds"))
    }
}

impl Parameters {
    pub(super) fn routing_context(&self) -> Result<RoutingContext> {
        let mut context = RoutingContext::new();
        for (name, value) in &self.0 {
            if name == ROUTING_KEY {
                context = context.with_key(text(name, value)?);
            } else if let Some(attribute) = name.strip_prefix(ATTRIBUTE_PREFIX) {
                context = context.with_attribute(attribute, text(name, value)?);
            }
        }
        Ok(context)
    }
}

fn text(name: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(wrong_parameter(name, value, "a string, a number or a boolean")),
    }
}

fn wrong_parameter(name: &str, value: &Value, expected: &str) -> Error {
    let shown: String = value.to_string().chars().take(80).collect();
    Error::invalid_input(format!("parameter `{}` is {shown}; expected {expected}", name.escape_debug()))
}

/// The body of an inference response.
#[derive(Serialize)]
pub(super) struct InferResponse<'a> {
    model_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<String>,
    id: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: BTreeMap<&'static str, String>,
    outputs: Tensors,
}

impl<'a> InferResponse<'a> {
    pub(super) fn new(model: &'a str, id: &'a str, response: &Response, wanted: Option<&[String]>) -> Self {
        let mut parameters = BTreeMap::new();
        if let Some(variant) = &response.variant {
            parameters.insert("variant", variant.to_string());
        }
        if let Some(reason) = &response.reason {
            parameters.insert("routing_reason", reason.to_string());
        }
        Self {
            model_name: model,
            model_version: response.model.as_ref().map(|id| id.version.to_string()),
            id,
            parameters,
            outputs: pick(&response.outputs, wanted),
        }
    }
}

/// The wanted outputs, in the order they were asked for.
fn pick(outputs: &Tensors, wanted: Option<&[String]>) -> Tensors {
    match wanted {
        None => outputs.clone(),
        Some(names) => names
            .iter()
            .filter_map(|name| outputs.get(name).map(|tensor: &Tensor| (name.as_str(), tensor.clone())))
            .collect(),
    }
}

/// What a model takes and gives.
#[derive(Serialize)]
pub(super) struct ModelMetadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    versions: Vec<&'a str>,
    platform: &'static str,
    inputs: Vec<TensorMetadata<'a>>,
    outputs: Vec<TensorMetadata<'a>>,
}

#[derive(Serialize)]
struct TensorMetadata<'a> {
    name: &'a str,
    datatype: DType,
    /// -1 stands for any length.
    shape: Vec<i64>,
}

impl<'a> ModelMetadata<'a> {
    pub(super) fn new(name: &'a str, versions: Vec<&'a str>, signature: &'a Signature) -> Self {
        let tensors = |specs: &'a [TensorSpec]| specs.iter().map(TensorMetadata::new).collect();
        Self {
            name,
            versions,
            platform: "mlops",
            inputs: tensors(signature.inputs()),
            outputs: tensors(signature.outputs()),
        }
    }
}

impl<'a> TensorMetadata<'a> {
    fn new(spec: &'a TensorSpec) -> Self {
        let length = |dimension: &Dimension| match dimension {
            Dimension::Fixed(length) => i64::try_from(*length).unwrap_or(i64::MAX),
            Dimension::Batch | Dimension::Free => -1,
        };
        Self { name: spec.name(), datatype: spec.dtype(), shape: spec.shape().iter().map(length).collect() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(bytes in any::<Vec<u8>>(), text in any::<String>()) {
            let _ = InferRequest::parse(&bytes);
            let _ = InferRequest::parse(text.as_bytes());
        }

        #[test]
        fn arbitrary_fields_never_panic(
            data in "[\\[\\]{},0-9e.\\-\"a-z:]{0,40}", parameters in "[\\[\\]{},0-9e.\\-\"a-z_:]{0,40}"
        ) {
            let body = format!(
                r#"{{"inputs":[{{"name":"x","shape":[1],"datatype":"FP32","data":[{data}]}}],"parameters":{{{parameters}}}}}"#
            );
            if let Ok(request) = InferRequest::parse(body.as_bytes()) {
                let _ = (request.timeout().is_ok(), request.parameters.routing_context().is_ok());
            }
        }
    }
}
