//! The contract of each trait as a test suite that every implementation runs: those of this house, and
//! yours.
//!
//! Each function takes an implementation (or a way to make fresh ones), exercises it, and **panics with the
//! broken promise** when it does not hold, as a test should. None needs a runtime: await it in a test of
//! whatever runtime the implementation needs.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

pub mod drift;
pub mod model;
pub mod registry;
pub mod router;
