//! The vocabulary of `mlops`: what passes between its parts, and the traits they are made of.
//!
//! `mlops` is the loop *register → gate → shadow → canary → serve → monitor → roll back* as one family of
//! embeddable crates. This crate holds what they agree on, and nothing that computes, stores or listens:
//! no runtime, no engine, no server.
//!
//! | trait | is asked | kind |
//! |---|---|---|
//! | [`Model`] | for an answer to a request | async |
//! | [`Engine`] | for the outputs of a batch | sync, heavy |
//! | [`Router`] | which variant answers | sync, nanoseconds |
//! | [`Observer`] | to look at a finished prediction | sync, never blocks |
//! | [`DriftDetector`] | whether a feature has changed | sync |
//! | [`Registry`] | for versions, artifacts and aliases | async |
//!
//! Data is [`Tensor`]s by name ([`Tensors`]), described by a [`Signature`]; a call is a [`Request`] and
//! a [`Response`]; what goes wrong is an [`enum@Error`]. Time comes from a [`Clock`].
//!
//! # Features
//! * `stats`: the statistical tests of the house as pure functions over slices.
//! * `conformance`: the contract of each trait as a test suite for every implementation, yours included.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod clock;
mod drift;
mod dtype;
mod engine;
mod error;
mod model;
mod name;
mod observer;
mod registry;
mod request;
mod router;
mod signature;
mod tensor;
mod tensors;
mod text;

#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
pub mod metrics;
#[cfg(feature = "stats")]
#[cfg_attr(docsrs, doc(cfg(feature = "stats")))]
pub mod stats;

pub use clock::{Clock, ManualClock, SystemClock};
pub use drift::{Assessment, Column, DriftDetector, Verdict};
pub use dtype::{DType, Element};
pub use engine::Engine;
pub use error::{Error, InvalidInput, Result, Source};
pub use model::{Model, ModelExt};
pub use name::{Alias, ModelName, Variant};
pub use observer::{Call, Observed, Observer, Prediction, Role};
pub use registry::{
    AliasHistory, AliasMove, Approval, Artifact, AuditChange, AuditEvent, ByteStream, Comparison, Content,
    Deletion, Deprecation, Digest, Digester, EventStream, Lineage, MetricCondition, ModelRef, ModelVersion,
    NewReport, NewVersion, Protection, Query, Registry, Report, Rollback, Selector, Stage, StreamedContent,
    Tagging,
};
pub use request::{ModelId, Request, Response, RoutingContext, Timings};
pub use router::{Decision, Reason, Router};
pub use web_time::Instant;

pub use signature::{Change, Difference, Dimension, Direction, Signature, TensorSpec, Violation, Violations};
pub use tensor::{ByteStrings, Scalar, Tensor, TensorBuilder, TensorError};
pub use tensors::{NamedTensor, Tensors, TensorsWithBinary};
pub use text::Text;

/// The crates whose types are part of this API, in the versions it is built with.
pub mod reexports {
    pub use {async_trait, bytes, half, jiff, ndarray, semver};
}
