//! The burn engine.

#[path = "../support/mod.rs"]
mod support;

mod engine;
mod weights;
