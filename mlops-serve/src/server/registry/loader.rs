//! Models from versions.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::reexports::bytes::Bytes;
use mlops_core::{Model, ModelVersion, Registry, Result};

use super::super::off_thread::off_thread;

/// Makes a model of a registered version.
#[async_trait]
pub trait VersionLoader: fmt::Debug + Send + Sync + 'static {
    /// The model, ready to answer: warmed up, where that matters.
    async fn load(&self, version: &ModelVersion, registry: &dyn Registry) -> Result<Arc<dyn Model>>;
}

/// Makes a model of the bytes of one artifact, by a closure of yours.
pub struct FromArtifact {
    artifact: String,
    build: Arc<Build>,
}

type Build = dyn Fn(&ModelVersion, Bytes) -> Result<Arc<dyn Model>> + Send + Sync;

impl FromArtifact {
    /// Fetches `artifact`, verified, and lets `build` make a model of it, on a thread that may block.
    pub fn new<M: Model>(
        artifact: impl Into<String>,
        build: impl Fn(&ModelVersion, Bytes) -> Result<M> + Send + Sync + 'static,
    ) -> Self {
        let build = move |version: &ModelVersion, bytes: Bytes| -> Result<Arc<dyn Model>> {
            Ok(Arc::new(build(version, bytes)?))
        };
        Self { artifact: artifact.into(), build: Arc::new(build) }
    }
}

#[async_trait]
impl VersionLoader for FromArtifact {
    async fn load(&self, version: &ModelVersion, registry: &dyn Registry) -> Result<Arc<dyn Model>> {
        let bytes = registry.fetch(version, &self.artifact).await?;
        let (build, version) = (Arc::clone(&self.build), version.clone());
        off_thread(move || build(&version, bytes)).await
    }
}

impl fmt::Debug for FromArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromArtifact").field("artifact", &self.artifact).finish_non_exhaustive()
    }
}
