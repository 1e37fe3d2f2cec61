//! The body of an inference request.

use std::fmt;

use bytes::Bytes;
use mlops_core::{Error, Result, Signature, TensorSpec, Tensors, TensorsWithBinary};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

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
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct WantedOutput<'s> {
    pub(super) name: &'s str,
    /// As bytes behind the JSON, rather than in it.
    pub(super) binary: bool,
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
            None => json::read(&body, Reader { binary: None }, WHAT),
            Some(0) => {
                let inputs = binary::raw_input(body, signature)?;
                let outputs = RequestedOutputs { named: Vec::new(), binary: true };
                Ok(Self { id: None, parameters: Parameters::default(), inputs, outputs })
            }
            Some(length) => {
                let (head, mut behind) = binary::split(length, body)?;
                let request = json::read(&head, Reader { binary: Some(&mut behind) }, WHAT)?;
                match behind.len() {
                    0 => Ok(request),
                    left => {
                        Err(Error::invalid_input(format!("{left} bytes follow the last tensor of the body")))
                    }
                }
            }
        }
    }
}

/// Reads the JSON of a request, and the elements of tensors that follow it, if any may.
struct Reader<'b> {
    binary: Option<&'b mut Bytes>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = InferRequest;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<InferRequest, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = InferRequest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `inputs`")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<InferRequest, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Field {
            Id,
            Parameters,
            Inputs,
            Outputs,
            #[serde(other)]
            Ignored,
        }

        let (mut id, mut parameters, mut inputs, mut named) = (None, None, None, None);
        while let Some(field) = map.next_key()? {
            let twice = match field {
                Field::Id => id.replace(map.next_value()?).map(|_: Option<String>| "id"),
                Field::Parameters => parameters.replace(map.next_value()?).map(|_: Parameters| "parameters"),
                Field::Inputs => {
                    let read = match self.binary.as_deref_mut() {
                        Some(binary) => map.next_value_seed(TensorsWithBinary(binary))?,
                        None => map.next_value()?,
                    };
                    inputs.replace(read).map(|_| "inputs")
                }
                Field::Outputs => named.replace(map.next_value()?).map(|_: Vec<RequestedOutput>| "outputs"),
                Field::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                    None
                }
            };
            if let Some(field) = twice {
                return Err(A::Error::duplicate_field(field));
            }
        }
        let parameters = parameters.unwrap_or_default();
        Ok(InferRequest {
            id: id.flatten(),
            inputs: inputs.ok_or_else(|| A::Error::missing_field("inputs"))?,
            outputs: RequestedOutputs {
                named: named.unwrap_or_default(),
                binary: parameters.binary_output().map_err(A::Error::custom)?,
            },
            parameters,
        })
    }
}

impl RequestedOutputs {
    /// What to answer with: those that are named, in their order, or all of the model's.
    pub(super) fn resolve<'s>(&'s self, signature: &'s Signature) -> Result<Vec<WantedOutput<'s>>> {
        if self.named.is_empty() {
            let known = signature.outputs().iter().map(TensorSpec::name);
            return Ok(known.map(|name| WantedOutput { name, binary: self.binary }).collect());
        }
        wire::check_wanted(self.named.iter().map(|output| output.name.as_str()), signature)?;
        let wanted = self.named.iter().map(|RequestedOutput { name, parameters }| WantedOutput {
            name,
            binary: parameters.binary_data.unwrap_or(self.binary),
        });
        Ok(wanted.collect())
    }
}
