//! How requests and answers look on the wire.

use bytes::{BufMut, Bytes, BytesMut};
use clap::ValueEnum;
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::sample::Sample;
use crate::{Failure, MODEL_NAME};

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// HTTP/1.1, numbers in JSON.
    Json,
    /// HTTP/1.1, numbers as bytes.
    Binary,
    /// gRPC, numbers as bytes.
    Grpc,
}

/// What a server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Anything: it comes back. It is sent what the Open Inference Protocol would send.
    Echo,
    /// The structs of the hand-written route.
    Handwritten,
    /// The Open Inference Protocol v2.
    OpenInference,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// The part of an answer that is looked at.
#[derive(Debug)]
pub struct Answer {
    /// How long the JSON is that bytes follow.
    pub json_length: Option<usize>,
    pub body: Bytes,
}

/// The header that says how long the JSON is that bytes follow.
pub const JSON_LENGTH: &str = "inference-header-content-length";
const CONTENT_TYPE: &str = "content-type";
/// The path of the gRPC method.
pub const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

impl Dialect {
    /// The request for a sample, where the dialect has one on that wire.
    pub fn call(self, wire: Wire, sample: &Sample) -> Option<Call> {
        let path = match (self, wire) {
            (Self::Handwritten, Wire::Grpc) => return None,
            (_, Wire::Grpc) => INFER.to_owned(),
            (Self::Echo, _) => "/echo".to_owned(),
            (Self::Handwritten, Wire::Json) => "/predict".to_owned(),
            (Self::Handwritten, Wire::Binary) => "/predict/binary".to_owned(),
            (Self::OpenInference, _) => format!("/v2/models/{MODEL_NAME}/infer"),
        };
        let row = &sample.input.row;
        let (headers, body) = match (self, wire) {
            (Self::Handwritten, Wire::Json) => json_body(&json!({"features": row})),
            (Self::Handwritten, _) => (binary_headers(), Bytes::from(little_endian(row))),
            (_, Wire::Json) => json_body(&InferRequest::new(sample, false)),
            (_, Wire::Binary) => {
                let mut body = json_text(&InferRequest::new(sample, true));
                let mut headers = binary_headers();
                headers.push((JSON_LENGTH, body.len().to_string()));
                body.extend(little_endian(row));
                (headers, body.into())
            }
            (_, Wire::Grpc) => (Vec::new(), framed(&ModelInferRequest::of(sample))),
        };
        Some(Call { path, headers, body })
    }

    /// Refuses a wrong answer.
    pub fn check(self, wire: Wire, call: &Call, sample: &Sample, answer: &Answer) -> Result<(), Failure> {
        match (self, wire) {
            (Self::Echo, Wire::Json | Wire::Binary) if answer.body == call.body => Ok(()),
            (Self::Echo, Wire::Json | Wire::Binary) => Err("the echo differs".into()),
            (Self::Echo, Wire::Grpc) => {
                let back = ModelInferResponse::decode(answer.body.clone())?.raw_output_contents;
                if back == [little_endian(&sample.input.row)] {
                    Ok(())
                } else {
                    Err("the echo differs".into())
                }
            }
            _ => sample.check(&self.scores(wire, sample, answer)?),
        }
    }

    fn scores(self, wire: Wire, sample: &Sample, answer: &Answer) -> Result<Vec<f32>, Failure> {
        if wire == Wire::Grpc {
            let mut answer = ModelInferResponse::decode(answer.body.clone())?;
            return floats(&answer.raw_output_contents.pop().ok_or("the answer has no output")?);
        }
        match (self, wire, answer.json_length) {
            (Self::Handwritten, Wire::Json, _) => {
                #[derive(Deserialize)]
                struct Scores {
                    scores: Vec<f32>,
                }
                Ok(serde_json::from_slice::<Scores>(&answer.body)?.scores)
            }
            (Self::Handwritten, _, _) => floats(&answer.body),
            (_, Wire::Binary, None) => Err("the answer has no bytes".into()),
            (_, _, Some(length)) => floats(answer.body.get(length..).ok_or("the answer is too short")?),
            (_, _, None) => {
                let answer: Value = serde_json::from_slice(&answer.body)?;
                let output = &answer["outputs"][0];
                if output["name"] != *sample.output.name {
                    return Err(format!("the first output is {}", output["name"]).into());
                }
                Ok(Vec::deserialize(&output["data"])?)
            }
        }
    }
}

/// A request of the Open Inference Protocol, its fields in the order in which real clients send them.
#[derive(Serialize)]
struct InferRequest<'a> {
    inputs: [InferInput<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Value>,
}

#[derive(Serialize)]
struct InferInput<'a> {
    name: &'a str,
    shape: [usize; 2],
    datatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [f32]>,
}

impl<'a> InferRequest<'a> {
    fn new(sample: &'a Sample, binary: bool) -> Self {
        let row = &sample.input.row;
        let input = InferInput {
            name: &sample.input.name,
            shape: [1, row.len()],
            datatype: "FP32",
            parameters: binary.then(|| json!({"binary_data_size": size_of_val(row.as_slice())})),
            data: (!binary).then_some(row),
        };
        Self { inputs: [input], parameters: binary.then(|| json!({"binary_data_output": true})) }
    }
}

fn json_body(value: &impl Serialize) -> (Vec<(&'static str, String)>, Bytes) {
    (vec![(CONTENT_TYPE, "application/json".to_owned())], json_text(value).into())
}

fn json_text(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these structs have no keys that JSON could not take")
}

fn binary_headers() -> Vec<(&'static str, String)> {
    vec![(CONTENT_TYPE, "application/octet-stream".to_owned())]
}

fn little_endian(row: &[f32]) -> Vec<u8> {
    row.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Result<Vec<f32>, Failure> {
    let (numbers, []) = bytes.as_chunks() else { return Err("the answer is not of whole numbers".into()) };
    Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// How long what precedes a gRPC message is: whether it is compressed, in one byte, and its length, in four.
pub const GRPC_PREFIX: usize = 5;

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(GRPC_PREFIX + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    framed.put(message.encode_to_vec().as_slice());
    framed.freeze()
}

/// Of the [protocol's messages](https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto)
/// the fields that these requests need.
#[derive(Clone, PartialEq, Message)]
pub struct ModelInferRequest {
    #[prost(string, tag = "1")]
    pub model_name: String,
    #[prost(message, repeated, tag = "5")]
    pub inputs: Vec<InferTensor>,
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub raw_input_contents: Vec<Vec<u8>>,
}

/// An input or an output: name, type and shape have the same tags in both.
#[derive(Clone, PartialEq, Message)]
pub struct InferTensor {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ModelInferResponse {
    #[prost(string, tag = "1")]
    pub model_name: String,
    #[prost(message, repeated, tag = "5")]
    pub outputs: Vec<InferTensor>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub raw_output_contents: Vec<Vec<u8>>,
}

impl ModelInferRequest {
    fn of(sample: &Sample) -> Self {
        let row = &sample.input.row;
        let shape = vec![1, row.len() as i64];
        let input = InferTensor { name: sample.input.name.clone(), datatype: "FP32".to_owned(), shape };
        Self {
            model_name: MODEL_NAME.to_owned(),
            inputs: vec![input],
            raw_input_contents: vec![little_endian(row)],
        }
    }
}
