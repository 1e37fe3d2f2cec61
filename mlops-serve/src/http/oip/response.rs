//! The body of an inference response.

use mlops_core::{DType, Error, NamedTensor, Response, Result, Tensor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::request::WantedOutput;
use crate::server::Served;

/// What a caller is answered.
pub(super) struct InferResponse<'a> {
    served: &'a Served,
    id: &'a str,
    response: &'a Response,
    wanted: &'a [WantedOutput<'a>],
}

/// A body, and how long the JSON at its begin is, if it is not all.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) header_length: Option<usize>,
}

impl<'a> InferResponse<'a> {
    pub(super) fn new(
        served: &'a Served,
        id: &'a str,
        response: &'a Response,
        wanted: &'a [WantedOutput<'a>],
    ) -> Self {
        Self { served, id, response, wanted }
    }

    pub(super) fn write(&self) -> Result<Written> {
        let mut bytes = Vec::with_capacity(256);
        serde_json::to_writer(&mut bytes, self).map_err(|cause| {
            Error::unsupported(format!(
                "the outputs cannot be written as JSON: {cause}; ask for them as binary data"
            ))
        })?;
        let length = bytes.len();
        let mut binary = self.outputs().filter(|(_, _, binary)| *binary).peekable();
        let header_length = binary.peek().is_some().then_some(length);
        for (_, tensor, _) in binary {
            bytes.extend_from_slice(tensor.as_bytes());
        }
        Ok(Written { bytes, header_length })
    }

    fn outputs(&self) -> impl Iterator<Item = (&'a str, &'a Tensor, bool)> {
        let outputs = &self.response.outputs;
        self.wanted.iter().filter_map(|wanted| Some((wanted.name, outputs.get(wanted.name)?, wanted.binary)))
    }
}

impl Serialize for InferResponse<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model_name", self.served.name())?;
        let answered = self.response.model.as_ref().map(|id| &id.version);
        if let Some(version) = answered.or(self.served.version()) {
            map.serialize_entry("model_version", version)?;
        }
        map.serialize_entry("id", self.id)?;
        if self.response.variant.is_some() || self.response.reason.is_some() {
            map.serialize_entry("parameters", &Routing(self.response))?;
        }
        map.serialize_entry("outputs", &Outputs(self))?;
        map.end()
    }
}

/// What decided.
struct Routing<'a>(&'a Response);

impl Serialize for Routing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(variant) = &self.0.variant {
            map.serialize_entry("variant", variant)?;
        }
        if let Some(reason) = &self.0.reason {
            map.serialize_entry("routing_reason", &format_args!("{reason}"))?;
        }
        map.end()
    }
}

struct Outputs<'a>(&'a InferResponse<'a>);

impl Serialize for Outputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for (name, tensor, binary) in self.0.outputs() {
            if binary {
                let parameters = BinarySize { binary_data_size: tensor.as_bytes().len() };
                let (datatype, shape) = (tensor.dtype(), tensor.shape());
                list.serialize_element(&BinaryOutput { name, datatype, shape, parameters })?;
            } else {
                list.serialize_element(&NamedTensor(name, tensor))?;
            }
        }
        list.end()
    }
}

#[derive(Serialize)]
struct BinaryOutput<'a> {
    name: &'a str,
    datatype: DType,
    shape: &'a [usize],
    parameters: BinarySize,
}

#[derive(Serialize)]
struct BinarySize {
    binary_data_size: usize,
}
