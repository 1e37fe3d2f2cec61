//! The contract of a registry, kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use mlops_core::{
    AliasMove, Artifact, AuditEvent, ByteStream, Deletion, Deprecation, Error, EventStream, ModelName,
    ModelVersion, NewReport, NewVersion, Query, Registry, Result, Selector, Tagging,
};

use super::ObjectStoreRegistry;
use crate::blobs::Described;
use crate::state::{State, there_are};
use crate::trust::VersionSignature;
use crate::{limits, rules, watch};

/// How many artifacts are written at once.
const UPLOADS: usize = 4;

#[async_trait]
impl Registry for ObjectStoreRegistry {
    async fn register(&self, new: NewVersion) -> Result<ModelVersion> {
        limits::check_new(&new)?;
        let (mut artifacts, mut contents) = (Vec::new(), Vec::new());
        for (name, content) in &new.artifacts {
            let content = self.blobs.describe(content).await?;
            artifacts.push((name.clone(), content.artifact));
            contents.push(content);
        }
        let sign = |text: &str| self.signatures(&new.model, text);
        // A version that cannot be registered leaves no blobs behind.
        self.journal.current(|state| rules::register(state, &new, &artifacts, sign)).await?;
        loop {
            let generations = self.upload(&contents).await?;
            // Whether the files were collected between their upload and the registration.
            let collected = AtomicBool::new(false);
            let plan = |state: &State| {
                let current = current_generations(state, &artifacts) == generations;
                collected.store(!current, Ordering::Relaxed);
                if current {
                    rules::register(state, &new, &artifacts, sign)
                } else {
                    Err(Error::conflict("an artifact was collected while the version was registered"))
                }
            };
            match self.append(&new.actor, plan).await {
                Err(_) if collected.load(Ordering::Relaxed) => {}
                done => {
                    let registered = done?.registered();
                    return registered.ok_or_else(|| Error::internal("a registration registered nothing"));
                }
            }
        }
    }

    async fn resolve(&self, model: &ModelName, selector: &Selector) -> Result<ModelVersion> {
        let version = self.journal.current(|state| state.resolve(model, selector)).await?;
        self.check_trust(&version)?;
        Ok(Arc::unwrap_or_clone(version))
    }

    async fn fetch(&self, version: &ModelVersion, artifact: &str) -> Result<Bytes> {
        let (described, what) = find(version, artifact)?;
        self.check_trust_now(version).await?;
        let read = |generation| self.blobs.read(described, generation, &what);
        match read(self.generation(described)).await? {
            Some(bytes) => Ok(bytes),
            None => {
                let generation = self.look_again(version, described).await?;
                read(generation).await?.ok_or_else(|| self.missing(described, generation, &what))
            }
        }
    }

    async fn fetch_stream(&self, version: &ModelVersion, artifact: &str) -> Result<ByteStream> {
        let (described, what) = find(version, artifact)?;
        self.check_trust_now(version).await?;
        let read = |generation| self.blobs.stream(described, generation, &what);
        match read(self.generation(described)).await? {
            Some(stream) => Ok(stream),
            None => {
                let generation = self.look_again(version, described).await?;
                read(generation).await?.ok_or_else(|| self.missing(described, generation, &what))
            }
        }
    }

    async fn move_alias(&self, change: AliasMove) -> Result<AuditEvent> {
        limits::check_alias_move(&change)?;
        self.change(&change.actor, |state| rules::move_alias(state, &change)).await
    }

    async fn tag(&self, change: Tagging) -> Result<AuditEvent> {
        limits::check_tagging(&change)?;
        self.change(&change.actor, |state| rules::tag(state, &change)).await
    }

    async fn report(&self, report: NewReport) -> Result<AuditEvent> {
        limits::check_report(&report)?;
        self.change(&report.actor, |state| rules::report(state, &report)).await
    }

    async fn deprecate(&self, change: Deprecation) -> Result<AuditEvent> {
        limits::check_deprecation(&change)?;
        self.change(&change.actor, |state| rules::deprecate(state, &change)).await
    }

    /// The bytes of its artifacts stay until they are [collected](ObjectStoreRegistry::collect_garbage).
    async fn delete(&self, deletion: Deletion) -> Result<AuditEvent> {
        limits::check_deletion(&deletion)?;
        self.change(&deletion.actor, |state| rules::delete(state, &deletion)).await
    }

    async fn models(&self) -> Result<Vec<ModelName>> {
        self.journal.current(|state| Ok(state.models())).await
    }

    async fn versions(&self, model: &ModelName) -> Result<Vec<ModelVersion>> {
        self.journal.current(|state| state.versions(model)).await
    }

    async fn search(&self, query: &Query) -> Result<Vec<ModelVersion>> {
        self.journal.current(|state| state.search(query)).await
    }

    async fn history(&self, model: &ModelName) -> Result<Vec<AuditEvent>> {
        self.journal.history(model).await
    }

    /// Begins after what this registry has read so far. So nothing that happens from now on is missed, and
    /// what another process did just before may come, too. An error of the store is an item of the stream,
    /// which then goes on.
    fn watch(&self) -> EventStream {
        watch::events(Arc::clone(&self.journal), self.poll_interval)
    }
}

impl ObjectStoreRegistry {
    /// Writes what is not there; returns the generations of the files that now hold the content.
    pub(crate) async fn upload(&self, contents: &[Described]) -> Result<Vec<u64>> {
        let mut uploads = Vec::with_capacity(contents.len());
        for content in contents {
            uploads.push(self.upload_one(content));
        }
        stream::iter(uploads).buffered(UPLOADS).try_collect().await
    }

    async fn upload_one(&self, content: &Described) -> Result<u64> {
        let entry = self.journal.known(|state| state.blobs.entry(&content.artifact.digest));
        self.blobs.put(content, entry).await?;
        Ok(entry.generation)
    }

    /// Whether this version is trusted by now; it may have come from a registry that knows more.
    async fn check_trust_now(&self, version: &ModelVersion) -> Result<()> {
        if self.check_trust(version).is_ok() {
            return Ok(());
        }
        self.journal.refresh().await?;
        self.check_trust(version)
    }

    /// Whether this version is trusted, as far as this registry asks for that.
    #[cfg(feature = "sign")]
    pub(crate) fn check_trust(&self, version: &ModelVersion) -> Result<()> {
        let Some(trust) = &self.trust else { return Ok(()) };
        let id = &version.id;
        self.journal.known(|state| {
            let model = state.model(&id.name)?;
            trust.check(id, model.record(&id.name, &id.version)?)?;
            // The version may come from elsewhere than from this registry.
            if model.version(&id.name, &id.version)?.artifacts == version.artifacts {
                return Ok(());
            }
            Err(Error::integrity(format!("{id} names other artifacts than those that were signed")))
        })
    }

    #[cfg(not(feature = "sign"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(crate) fn check_trust(&self, _: &ModelVersion) -> Result<()> {
        Ok(())
    }

    #[cfg(feature = "sign")]
    fn signatures(&self, model: &ModelName, text: &str) -> Vec<VersionSignature> {
        self.signing_key.iter().map(|key| key.sign(model, text)).collect()
    }

    #[cfg(not(feature = "sign"))]
    #[allow(clippy::unused_self)]
    fn signatures(&self, _: &ModelName, _: &str) -> Vec<VersionSignature> {
        Vec::new()
    }

    fn generation(&self, artifact: Artifact) -> u64 {
        self.journal.known(|state| state.blobs.entry(&artifact.digest).generation)
    }

    /// Is it the version that is not there, or only its bytes, or are those elsewhere by now?
    async fn look_again(&self, version: &ModelVersion, artifact: Artifact) -> Result<u64> {
        let id = &version.id;
        self.journal.current(|state| state.model(&id.name)?.record(&id.name, &id.version).map(drop)).await?;
        Ok(self.generation(artifact))
    }

    fn missing(&self, artifact: Artifact, generation: u64, what: &str) -> Error {
        let file = self.blobs.file(&artifact.digest, generation);
        Error::integrity(format!("{what} should be in {file}, which is missing"))
    }
}

fn current_generations(state: &State, artifacts: &[(String, Artifact)]) -> Vec<u64> {
    artifacts.iter().map(|(_, artifact)| state.blobs.entry(&artifact.digest).generation).collect()
}

fn find(version: &ModelVersion, artifact: &str) -> Result<(Artifact, String)> {
    let id = &version.id;
    let described = version.artifacts.get(artifact).ok_or_else(|| {
        let known = there_are(version.artifacts.keys());
        Error::not_found(format!("{id} has no artifact `{artifact}`; {known}"))
    })?;
    Ok((*described, format!("the artifact `{artifact}` of {id}")))
}
