//! The ONNX engine.

#[path = "../support/mod.rs"]
mod support;

mod compress;
mod ml;
mod operators;
mod reference_models;
