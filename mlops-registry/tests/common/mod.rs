//! What the tests of this crate share.

#![allow(dead_code, unreachable_pub)]

use mlops_core::{Alias, DType, Dimension, ModelName, NewVersion, Selector, Signature, TensorSpec};
use semver::Version;

pub mod faulty;
pub mod servers;

/// A signature with that many scores.
pub fn signature(scores: usize) -> Signature {
    Signature::new(
        [TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(4)])],
        [TensorSpec::new("scores", DType::Fp32, [Dimension::Batch, Dimension::Fixed(scores)])],
    )
    .unwrap()
}

pub fn name(name: &str) -> ModelName {
    ModelName::new(name).unwrap()
}

pub fn champion() -> Alias {
    Alias::new("champion").unwrap()
}

pub fn v(version: &str) -> Version {
    version.parse().unwrap()
}

pub fn select(selector: &str) -> Selector {
    selector.parse().unwrap()
}

/// The next version of a model.
pub fn next(model: &str) -> NewVersion {
    NewVersion::new(name(model), signature(10))
}

/// That version of a model.
pub fn new(model: &str, version: &str) -> NewVersion {
    next(model).with_version(v(version))
}
