//! A server of the gRPC front, and a client of it.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use mlops_core::{
    DType, Dimension, Error, Instant, Model, ModelId, ModelName, Reason, Request, Response, Result,
    Signature, Tensor, TensorSpec, Tensors, Variant,
};
use mlops_serve::grpc::Client;
use mlops_serve::grpc::protocol::infer_parameter::ParameterChoice;
use mlops_serve::grpc::protocol::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use mlops_serve::grpc::protocol::{InferParameter, InferTensorContents, ModelInferRequest};
use mlops_serve::server::{Models, Server};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Notify, oneshot};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

use super::models::Echo;

/// The server of a test: `doubler` in two versions, `echo`, and a model that is `gone`.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) channel: Channel,
    pub(crate) client: Client<Channel>,
    pub(crate) models: Models,
    /// Tells that a prediction of `doubler` hangs.
    pub(crate) entered: Arc<Notify>,
    /// Tells that a prediction of `doubler` hangs no more.
    pub(crate) left: Arc<Notify>,
    /// Shuts the server down.
    pub(crate) stop: oneshot::Sender<()>,
}

pub(crate) async fn start() -> Running {
    start_with(4096).await
}

async fn start_with(body_limit: usize) -> Running {
    let (entered, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let model = || Doubler::new(Arc::clone(&entered), Arc::clone(&left));
    let name = |name| ModelName::new(name).unwrap();
    let server = Server::builder()
        .with_model(name("doubler"), model())
        .with_version(ModelId::new(name("doubler"), "1.2.3".parse().unwrap()), model())
        .with_model(name("echo"), Echo::new().unwrap())
        .with_model(name("gone"), Echo::new().unwrap())
        .with_body_limit(body_limit)
        .build();
    server.models().unload("gone").unwrap();
    let models = server.models().clone();

    // One port answers for both fronts; the other is there to be shut down, which the first then reports.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let both = server.router().merge(server.grpc_router());
    tokio::spawn(async move { axum::serve(listener, both).await });
    let (stop, stopped) = oneshot::channel::<()>();
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shutdown = async move {
        // Tests that have no use for it drop the sender.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::spawn(server.serve(other, shutdown));

    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    Running { address, client: Client::new(channel.clone()), channel, models, entered, left, stop }
}

impl Running {
    pub(crate) async fn with_large_bodies(self) -> Self {
        start_with(1 << 20).await
    }

    /// Sends `message` as it is to the method that predicts.
    pub(crate) async fn infer_bytes(&self, message: &[u8]) -> Result<Bytes, Status> {
        call_bytes(self.channel.clone(), "/inference.GRPCInferenceService/ModelInfer", message).await
    }
}

/// Calls a method with bytes that need not be a message.
pub(crate) async fn call_bytes(
    channel: Channel,
    path: &'static str,
    message: &[u8],
) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let message = Bytes::copy_from_slice(message);
    let path = http::uri::PathAndQuery::from_static(path);
    client.unary(tonic::Request::new(message), path, Plain).await.map(tonic::Response::into_inner)
}

/// Bytes as they are.
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Doubles `x`, and fails in as many ways as a front must report.
#[derive(Debug)]
struct Doubler {
    signature: Signature,
    entered: Arc<Notify>,
    left: Arc<Notify>,
    pair: Barrier,
}

impl Doubler {
    fn new(entered: Arc<Notify>, left: Arc<Notify>) -> Self {
        let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
        let label = TensorSpec::new("label", DType::Bytes, [Dimension::Batch]);
        let signature = Signature::new([spec("x")], [spec("y"), label]).unwrap();
        Self { signature, entered, left, pair: Barrier::new(2) }
    }
}

#[async_trait]
impl Model for Doubler {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.signature.check(&request.inputs)?;
        let mut y = request.inputs.require("x")?.view::<f32>()?.mapv(|x| 2.0 * x);
        match request.context.attribute("fail") {
            Some("overloaded") => return Err(Error::overloaded("64 requests wait")),
            Some("unavailable") => return Err(Error::unavailable("the device is away")),
            Some("deadline") => return Err(Error::deadline_exceeded("5 ms were not enough")),
            Some("engine") => return Err(Error::engine("secret detail of the engine")),
            Some("panic") => panic!("secret detail of a panic"),
            Some("say the time") => {
                let left = request.deadline.unwrap().saturating_duration_since(Instant::now());
                y.fill(left.as_secs_f32());
            }
            Some("meet another") => {
                self.pair.wait().await;
            }
            Some("hang") => {
                let _leaving = Leaving(&self.left);
                self.entered.notify_one();
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        let labels = y.iter().map(|y| format!("<{}>", y / 2.0)).collect::<Vec<_>>();
        let labels = Tensor::from_byte_strings(&[labels.len()], labels)?;
        let variant = Variant::new(request.context.key().unwrap_or("nobody"))?;
        let id = ModelId::new(ModelName::new("doubler")?, "1.2.3".parse().unwrap());
        Ok(Response::new(Tensors::new().with("y", y).with("label", labels))
            .with_id(request.id)
            .with_model(id)
            .with_variant(variant, Reason::Sticky))
    }
}

struct Leaving<'a>(&'a Notify);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A request of `doubler` with typed elements.
pub(crate) fn typed_f32(elements: &[f32]) -> ModelInferRequest {
    let contents = InferTensorContents { fp32_contents: elements.to_vec(), ..Default::default() };
    ModelInferRequest {
        model_name: "doubler".to_owned(),
        inputs: vec![x("FP32", &[i64::try_from(elements.len()).unwrap()], Some(contents))],
        ..Default::default()
    }
}

/// Outputs that are wanted.
pub(crate) fn wanted(names: &[&str]) -> Vec<InferRequestedOutputTensor> {
    let output = |name: &&str| InferRequestedOutputTensor { name: (*name).to_owned(), ..Default::default() };
    names.iter().map(output).collect()
}

/// A request of `doubler` that makes it do something else.
pub(crate) fn failing(how: &str) -> ModelInferRequest {
    let parameters = [("attribute.fail".to_owned(), text(how))].into();
    ModelInferRequest { parameters, id: how.to_owned(), ..typed_f32(&[1.0]) }
}

pub(crate) fn x(datatype: &str, shape: &[i64], contents: Option<InferTensorContents>) -> InferInputTensor {
    InferInputTensor {
        name: "x".to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        contents: contents.map(Box::new),
        ..Default::default()
    }
}

/// A request whose tensors are named by their types, as bytes.
pub(crate) fn raw(model: &str, tensors: &[Tensor]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: tensors.iter().map(described).collect(),
        raw_input_contents: tensors.iter().map(Tensor::to_bytes).collect(),
        ..Default::default()
    }
}

/// A request whose tensors are named by their types, as lists of numbers.
pub(crate) fn typed(model: &str, tensors: &[Tensor]) -> ModelInferRequest {
    let input = |tensor: &Tensor| InferInputTensor {
        contents: Some(Box::new(contents(tensor))),
        ..described(tensor)
    };
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: tensors.iter().map(input).collect(),
        ..Default::default()
    }
}

fn described(tensor: &Tensor) -> InferInputTensor {
    InferInputTensor {
        name: tensor.dtype().to_string(),
        datatype: tensor.dtype().to_string(),
        shape: tensor.shape().iter().map(|length| i64::try_from(*length).unwrap()).collect(),
        ..Default::default()
    }
}

fn contents(tensor: &Tensor) -> InferTensorContents {
    fn all<T: mlops_core::Element, W: From<T>>(tensor: &Tensor) -> Vec<W> {
        tensor.as_slice::<T>().unwrap().iter().map(|element| W::from(*element)).collect()
    }
    let mut contents = InferTensorContents::default();
    match tensor.dtype() {
        DType::Bool => contents.bool_contents = all::<bool, _>(tensor),
        DType::Uint8 => contents.uint_contents = all::<u8, _>(tensor),
        DType::Uint16 => contents.uint_contents = all::<u16, _>(tensor),
        DType::Uint32 => contents.uint_contents = all::<u32, _>(tensor),
        DType::Uint64 => contents.uint64_contents = all::<u64, _>(tensor),
        DType::Int8 => contents.int_contents = all::<i8, _>(tensor),
        DType::Int16 => contents.int_contents = all::<i16, _>(tensor),
        DType::Int32 => contents.int_contents = all::<i32, _>(tensor),
        DType::Int64 => contents.int64_contents = all::<i64, _>(tensor),
        DType::Fp32 => contents.fp32_contents = all::<f32, _>(tensor),
        DType::Fp64 => contents.fp64_contents = all::<f64, _>(tensor),
        DType::Bytes => {
            contents.bytes_contents = tensor.byte_strings().unwrap().map(Bytes::copy_from_slice).collect();
        }
        DType::Fp16 | DType::Bf16 => panic!("{} has no list", tensor.dtype()),
    }
    contents
}

pub(crate) fn text(text: &str) -> InferParameter {
    InferParameter { parameter_choice: Some(ParameterChoice::StringParam(text.to_owned())) }
}

pub(crate) fn number(number: i64) -> InferParameter {
    InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(number)) }
}

pub(crate) fn bool_parameter(value: bool) -> InferParameter {
    InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(value)) }
}
