//! Everything behind the fronts of the model server: protocols, access, listeners.
#![cfg(feature = "http")]

#[path = "../support/mod.rs"]
mod support;

mod access;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "grpc")]
mod grpc_generated;
#[cfg(feature = "grpc")]
mod grpc_streams;
mod invocations;
mod listeners;
mod live_models;
mod open_inference_protocol;
mod openapi;
mod openapi_schemathesis;
mod predict_protocol;
#[cfg(feature = "grpc")]
mod python_clients;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "jwt")]
mod tokens;
