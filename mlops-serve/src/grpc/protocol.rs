//! The messages of the protocol, and its service on both sides, generated from `proto/open_inference.proto`.

#![allow(
    missing_docs, // of what the generator adds; the messages are documented in the proto file
    missing_debug_implementations,
    unreachable_pub,
    clippy::all
)]

include!("generated/inference.rs");
