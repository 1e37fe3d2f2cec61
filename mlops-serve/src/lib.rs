//! Serving models inside your own process: engines, executors and fronts.
//!
//! * An **engine** computes: `OnnxEngine` (feature `onnx`) loads any [ONNX](https://onnx.ai) file at run time;
//!   `BurnEngine` (feature `cpu`, `wgpu` or `cuda`) runs any [burn](https://burn.dev)
//!   module on a device that is chosen at run time.
//! * An **executor** turns an engine into a [`Model`](mlops_core::Model): [`Inline`] computes on the calling
//!   thread, [`OnWorkers`] on threads of its own behind a bounded queue, [`Placed`] where it was measured to belong;
//!   [`WarmUp`] runs it before the first request, [`CpuShares`] divide the cores between models.
//! * A **layer** is a model that wraps a model: [`Batched`] computes requests together that wait for the same one,
//!   [`layer::pipeline`] makes one of several.
//! * A **front** lets others call models: `server::Server` (feature `http`) speaks the
//!   [Open Inference Protocol v2](https://github.com/kserve/open-inference-protocol) as an axum router, to
//!   mount in your own application or to serve alone.
//! * **Scoring** asks a model for every row of files of any size, or every item of a stream: `score` (feature `score`).
//!
#![cfg_attr(
    all(feature = "cpu", feature = "http"),
    doc = r#"
```
use burn::nn::LinearConfig;
use mlops_core::{DType, Dimension, ModelName, Signature, TensorSpec};
use mlops_serve::engine::burn::{BurnEngine, Device, Outputs};
use mlops_serve::{EngineExt, server::Server};

let device = Device::Cpu;
let linear = LinearConfig::new(4, 2).init(&device.open()?); // or a module of your own, trained by you
let signature = Signature::new(
    [TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(4)])],
    [TensorSpec::new("y", DType::Fp32, [Dimension::Batch, Dimension::Fixed(2)])],
)?;
let engine = BurnEngine::new(signature, device, move |inputs| {
    Ok(Outputs::new().float("y", linear.forward(inputs.float::<2>("x")?)))
})?;

let app: axum::Router = Server::builder().with_model(ModelName::new("scores")?, engine.inline()).build().router();
# Ok::<(), mlops_core::Error>(())
```
"#
)]
//!
//! # Features
//! * `onnx` (default): ONNX models at run time, on kernels of our own for the processor; no burn is compiled for it.
//!   With `wgpu` or `cuda` they run on GPUs too.
//! * `cpu` (default): the burn engine on burn's CPU backend.
//! * `wgpu`: the burn engine on GPUs by Vulkan, Metal or DirectX 12, and on software Vulkan.
//! * `cuda`: the burn engine on NVIDIA GPUs. It builds without the CUDA toolkit, but downloads a prebuilt LLVM
//!   (burn's kernel compiler) and needs a C++ compiler.
//! * `http` (default): the model server and its REST fronts; `grpc` its gRPC front; `jwt`, `tls` and `otel` what they say.
//! * `timer`, `limit`, `cache`, `redis`: the layers that need a timer, counters of rates, a cache, and Redis.
//! * `score`, `parquet`: scoring of whole files.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod engine;
mod executor;
#[cfg(feature = "grpc")]
#[cfg_attr(docsrs, doc(cfg(feature = "grpc")))]
pub mod grpc;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
#[cfg(feature = "onnx")]
mod kernels;
pub mod layer;
#[cfg(feature = "score")]
#[cfg_attr(docsrs, doc(cfg(feature = "score")))]
pub mod score;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod server;
mod sync;
mod validate;

pub use executor::{
    CpuShare, CpuShares, EngineExt, Inline, OnWorkers, Place, Placed, Placement, WarmUp, WorkerHealth,
    Workers,
};
pub use layer::{Batched, Batching, ServeExt};
pub use validate::{OutputDifference, Reference, Tolerance, Validation, validate_against};
