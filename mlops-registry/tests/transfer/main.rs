//! Versions on their way between registries: what arrives is what was sent, and nothing else gets in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod copies;
mod foreign;
mod hostile;
mod layouts;
mod package;
mod programs;
