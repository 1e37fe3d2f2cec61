//! Where versions of models live.

mod alias_history;
mod audit;
mod content;
mod digest;
mod lifecycle;
mod query;
mod selector;
mod version;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use jiff::Timestamp;
use semver::Version;

use crate::{Alias, Error, ModelName, Result};

pub use alias_history::AliasHistory;
pub use audit::{AuditChange, AuditEvent};
pub use content::{ByteStream, Content, StreamedContent};
pub use digest::{Digest, Digester};
pub use lifecycle::{Approval, Deletion, Deprecation, NewReport, Protection, Report, Rollback};
pub use query::{Comparison, MetricCondition, Query};
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
/// * A version to which an alias points cannot be [deleted](Registry::delete). One that was is not found any more,
///   but its number stays taken.
/// * Every change is in [`history`](Registry::history), in the order it took effect, and never leaves it. Its times
///   do not go backwards.
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

    /// The bytes of one artifact, piece by piece, for what is too large for memory. They are verified as they
    /// come; if they are not the right ones, the last item is the [`Integrity`](crate::Error::Integrity) error. So
    /// do nothing that cannot be undone before the stream has ended.
    async fn fetch_stream(&self, version: &ModelVersion, artifact: &str) -> Result<ByteStream>;

    /// Moves an alias, or takes it away. Returns the event that history now holds.
    async fn move_alias(&self, change: AliasMove) -> Result<AuditEvent>;

    /// Moves an alias back to where it pointed before. Returns the event that history now holds.
    ///
    /// [`Conflict`](crate::Error::Conflict) when there is no version to go back to.
    async fn rollback(&self, rollback: Rollback) -> Result<AuditEvent> {
        // Whoever moves the alias in between makes it another alias to go back with.
        const TRIES: usize = 10;
        let Rollback { model, alias, actor, reason } = rollback;
        let mut tries = 0;
        loop {
            tries += 1;
            let past = AliasHistory::of(&self.history(&model).await?, &alias);
            let change = past.rollback(&model, &alias)?.by(actor.clone()).because(reason.clone());
            match self.move_alias(change).await {
                Err(Error::Conflict { .. }) if tries < TRIES => {}
                done => return done,
            }
        }
    }

    /// Sets or removes a tag of a version. Returns the event that history now holds.
    async fn tag(&self, change: Tagging) -> Result<AuditEvent>;

    /// Attaches the report of an examination to a version. Returns the event that history now holds.
    async fn report(&self, report: NewReport) -> Result<AuditEvent>;

    /// Warns against a version, or takes the warning back. Returns the event that history now holds.
    async fn deprecate(&self, change: Deprecation) -> Result<AuditEvent>;

    /// Deletes a version, unless an alias points to it: a [`Conflict`](crate::Error::Conflict). Returns the event
    /// that history now holds.
    async fn delete(&self, deletion: Deletion) -> Result<AuditEvent>;

    /// The names of all models, sorted.
    async fn models(&self) -> Result<Vec<ModelName>>;

    /// All versions of a model, the lowest first; without those that were deleted.
    async fn versions(&self, model: &ModelName) -> Result<Vec<ModelVersion>>;

    /// The versions, of whatever model, that fit a query; by model, then by version. A query can ask for a
    /// [page](Query::with_limit).
    async fn search(&self, query: &Query) -> Result<Vec<ModelVersion>>;

    /// All that ever happened to a model, the oldest first.
    async fn history(&self, model: &ModelName) -> Result<Vec<AuditEvent>>;

    /// Where an alias pointed at that time; `None` when nowhere.
    async fn alias_at(&self, model: &ModelName, alias: &Alias, time: Timestamp) -> Result<Option<Version>> {
        Ok(AliasHistory::of(&self.history(model).await?, alias).at(time).cloned())
    }

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

            async fn fetch_stream(&self, version: &ModelVersion, artifact: &str) -> Result<ByteStream> {
                (**self).fetch_stream(version, artifact).await
            }

            async fn move_alias(&self, change: AliasMove) -> Result<AuditEvent> {
                (**self).move_alias(change).await
            }

            async fn rollback(&self, rollback: Rollback) -> Result<AuditEvent> {
                (**self).rollback(rollback).await
            }

            async fn tag(&self, change: Tagging) -> Result<AuditEvent> {
                (**self).tag(change).await
            }

            async fn report(&self, report: NewReport) -> Result<AuditEvent> {
                (**self).report(report).await
            }

            async fn deprecate(&self, change: Deprecation) -> Result<AuditEvent> {
                (**self).deprecate(change).await
            }

            async fn delete(&self, deletion: Deletion) -> Result<AuditEvent> {
                (**self).delete(deletion).await
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

            async fn alias_at(
                &self,
                model: &ModelName,
                alias: &Alias,
                time: Timestamp,
            ) -> Result<Option<Version>> {
                (**self).alias_at(model, alias, time).await
            }

            fn watch(&self) -> EventStream {
                (**self).watch()
            }
        }
    )*};
}

registries_behind_pointers!(Arc, Box);
