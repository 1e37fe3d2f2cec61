//! What several test suites need.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

#[cfg(feature = "onnx")]
pub(crate) mod cases;
#[cfg(feature = "onnx")]
pub(crate) mod compare;
#[cfg(feature = "http")]
pub(crate) mod events;
#[cfg(feature = "grpc")]
pub(crate) mod grpc;
#[cfg(feature = "grpc")]
pub(crate) mod models;
#[cfg(feature = "onnx")]
pub(crate) mod npy;
pub(crate) mod numbered;
#[cfg(feature = "onnx")]
pub(crate) mod reference;
#[cfg(feature = "score")]
pub(crate) mod scoring;
pub(crate) mod scripted;
#[cfg(feature = "http")]
pub(crate) mod service;
mod skip;

pub(crate) use skip::skip;
