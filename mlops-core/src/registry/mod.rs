//! Where versions of models live.

mod audit;
mod digest;
mod query;
mod selector;
mod version;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;

use crate::{ModelName, Result};

pub use audit::{AuditChange, AuditEvent};
pub use digest::Digest;
pub use query::Query;
pub use selector::{ModelRef, Selector};
pub use version::{AliasMove, Artifact, Lineage, ModelVersion, NewVersion, Stage, Tagging};

/// Events as they happen.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<AuditEvent>> + Send + 'static>>;

/// Keeps versions of models: immutable, verified, and found again by name, version or alias.
///
/// # Contract
/// * A version is immutable once [`register`](Registry::register) has answered; registering the same one
///   again is a [`Conflict`](crate::Error::Conflict), whatever its content.
/// * [`fetch`](Registry::fetch) never returns bytes whose digest is not the one in the version: that is an
///   [`Integrity`](crate::Error::Integrity) error.
/// * An alias moves atomically; of two moves that expect the same state one wins, and the other is
///   a [`Conflict`](crate::Error::Conflict).
/// * Every change is in [`history`](Registry::history), in the order it took effect, and never leaves it.
/// * What does not exist is [`NotFound`](crate::Error::NotFound).
///
/// `mlops_core::conformance::registry` (feature `conformance`) checks all of this.
#[async_trait]
pub trait Registry: fmt::Debug + Send + Sync + 'static {
    /// Stores a new version with its artifacts: all of it, or none.
    async fn register(&self, new: NewVersion) -> Result<ModelVersion>;

    /// The version a selector means now.
    async fn resolve(&self, model: &ModelName, selector: &Selector) -> Result<ModelVersion>;

    /// The bytes of one artifact, verified by their digest.
    async fn fetch(&self, version: &ModelVersion, artifact: &str) -> Result<Bytes>;

    /// Moves an alias, or takes it away. Returns the event that history now holds.
    async fn move_alias(&self, change: AliasMove) -> Result<AuditEvent>;

    /// Sets or removes a tag of a version. Returns the event that history now holds.
    async fn tag(&self, change: Tagging) -> Result<AuditEvent>;

    /// The names of all models, sorted.
    async fn models(&self) -> Result<Vec<ModelName>>;

    /// All versions of a model, the lowest first.
    async fn versions(&self, model: &ModelName) -> Result<Vec<ModelVersion>>;

    /// The versions, of whatever model, that fit a query; by model, then by version.
    async fn search(&self, query: &Query) -> Result<Vec<ModelVersion>>;

    /// All that ever happened to a model, the oldest first.
    async fn history(&self, model: &ModelName) -> Result<Vec<AuditEvent>>;

    /// Everything that happens to any model from now on, by whatever process.
    fn watch(&self) -> EventStream;
}

macro_rules! registries_behind_pointers {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<R: Registry + ?Sized> Registry for $pointer<R> {
            async fn register(&self, new: NewVersion) -> Result<ModelVersion> {
                (**self).register(new).await
            }

            async fn resolve(&self, model: &ModelName, selector: &Selector) -> Result<ModelVersion> {
                (**self).resolve(model, selector).await
            }

            async fn fetch(&self, version: &ModelVersion, artifact: &str) -> Result<Bytes> {
                (**self).fetch(version, artifact).await
            }

            async fn move_alias(&self, change: AliasMove) -> Result<AuditEvent> {
                (**self).move_alias(change).await
            }

            async fn tag(&self, change: Tagging) -> Result<AuditEvent> {
                (**self).tag(change).await
            }

            async fn models(&self) -> Result<Vec<ModelName>> {
                (**self).models().await
            }

            async fn versions(&self, model: &ModelName) -> Result<Vec<ModelVersion>> {
                (**self).versions(model).await
            }

            async fn search(&self, query: &Query) -> Result<Vec<ModelVersion>> {
                (**self).search(query).await
            }

            async fn history(&self, model: &ModelName) -> Result<Vec<AuditEvent>> {
                (**self).history(model).await
            }

            fn watch(&self) -> EventStream {
                (**self).watch()
            }
        }
    )*};
}

registries_behind_pointers!(Arc, Box);
