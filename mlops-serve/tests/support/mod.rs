//! What several test suites need.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

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

/// Says that tests are skipped, and why; where everything must run (`MLOPS_REQUIRE_ALL`), fails instead.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("MLOPS_REQUIRE_ALL").is_none(), "MLOPS_REQUIRE_ALL is set, but {why}");
    println!("SKIPPED: {why}");
}
