//! Where models come from.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::reexports::semver::Version;
use mlops_core::{Model, ModelName, Result};

/// A place that models can be loaded from by name: a registry, a folder, code of your own.
#[async_trait]
pub trait ModelSource: fmt::Debug + Send + Sync + 'static {
    /// The names of the models that could be loaded now.
    async fn available(&self) -> Result<Vec<ModelName>>;

    /// Loads the model of that name, ready to answer: warmed up, where that matters.
    async fn load(&self, name: &ModelName) -> Result<LoadedModel>;
}

/// A model on its way into service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadedModel {
    /// Which version it is, where that is known.
    pub version: Option<Version>,
    /// The model.
    pub model: Arc<dyn Model>,
}

impl LoadedModel {
    /// A model of unknown version.
    pub fn new(model: impl Model) -> Self {
        Self { version: None, model: Arc::new(model) }
    }

    /// Says which version it is.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }
}
