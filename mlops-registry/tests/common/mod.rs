//! What the tests of this crate share.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::time::Duration;

use mlops_core::{
    Alias, DType, Dimension, ModelName, NewVersion, Query, Registry, Selector, Signature, TensorSpec,
};
use mlops_registry::{GarbageCollection, ObjectStoreRegistry};
use semver::Version;

pub mod crowd;
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

/// Collects all that can be, without grace.
pub fn at_once() -> GarbageCollection {
    GarbageCollection::default().with_grace(Duration::ZERO)
}

/// Everything a registry says, as text.
pub async fn everything(registry: &ObjectStoreRegistry) -> String {
    let mut told = format!("{:?}\n", registry.search(&Query::new()).await.unwrap());
    for model in registry.models().await.unwrap() {
        told += &format!("{model}: {:?}\n", registry.history(&model).await.unwrap());
    }
    for run in registry.runs(None).await.unwrap() {
        told += &format!("{run:?}\n");
        for metric in run.metrics.keys() {
            told += &format!("{:?}\n", registry.metric_points(run.id, metric).await.unwrap());
        }
    }
    told + &format!("{:?}", registry.head().await.unwrap())
}
