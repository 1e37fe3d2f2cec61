//! Models from a registry, followed while it changes.

mod follow;
mod loader;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{ModelName, ModelRef, Registry, Result, Selector};

use super::models::{LoadedModel, ModelSource, Models};

pub use follow::Following;
pub use loader::{FromArtifact, VersionLoader};

/// The versions of a registry as a source of models, and as one that is followed: when an alias moves, what is served
/// moves with it.
///
/// ```
/// use mlops_core::{Model, Registry, Result};
/// use mlops_serve::server::{FromArtifact, Models, RegistrySource};
/// # fn from_weights(_: &[u8]) -> Result<Box<dyn Model>> { unimplemented!() }
///
/// async fn serve(registry: impl Registry, models: &Models) -> Result<()> {
///     let loader = FromArtifact::new("weights", |_version, weights| from_weights(&weights));
///     let source = RegistrySource::new(registry, loader).with_model("fraud@champion".parse()?);
///     let following = source.follow(models).await; // for as long as `following` lives
///     # drop(following);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct RegistrySource {
    registry: Arc<dyn Registry>,
    loader: Arc<dyn VersionLoader>,
    selected: BTreeMap<ModelName, Selector>,
}

impl RegistrySource {
    /// All models of `registry`, made by `loader`, each in its latest version unless
    /// [said otherwise](Self::with_model).
    pub fn new(registry: impl Registry, loader: impl VersionLoader) -> Self {
        Self { registry: Arc::new(registry), loader: Arc::new(loader), selected: BTreeMap::new() }
    }

    /// Says which version of a model is meant, and that this model is to be [followed](Self::follow).
    #[must_use]
    pub fn with_model(mut self, reference: ModelRef) -> Self {
        self.selected.insert(reference.model, reference.selector);
        self
    }

    /// Serves the named models, and keeps them what the registry says until the returned value is dropped.
    ///
    /// It answers when every model was tried once. A model that could not be loaded stands in the
    /// [index](Models::index) with the reason, and is tried again, at first after a second, then less and less often.
    /// While a newer version loads, when that fails, and while the registry is away, the present one goes on.
    ///
    /// It needs a tokio runtime with a timer.
    pub async fn follow(&self, models: &Models) -> Following {
        Following::start(self.clone(), models.clone()).await
    }

    /// Loads what the registry says now into `models`, unless it is there already.
    async fn refresh(&self, name: &ModelName, models: &Models) -> Result<()> {
        let version = self.registry.resolve(name, self.selector(name)).await?;
        if models.current_version(name.as_str()).as_ref() == Some(&version.id.version) {
            return Ok(());
        }
        let load = async {
            let model = self.loader.load(&version, &*self.registry).await?;
            Ok(LoadedModel { version: Some(version.id.version.clone()), model })
        };
        models.load_from(name, load).await?;
        tracing::info!(model = %name, version = %version.id.version, "serving");
        Ok(())
    }

    fn selector(&self, name: &ModelName) -> &Selector {
        self.selected.get(name).unwrap_or(&Selector::Latest)
    }
}

#[async_trait]
impl ModelSource for RegistrySource {
    async fn available(&self) -> Result<Vec<ModelName>> {
        self.registry.models().await
    }

    async fn load(&self, name: &ModelName) -> Result<LoadedModel> {
        let version = self.registry.resolve(name, self.selector(name)).await?;
        let model = self.loader.load(&version, &*self.registry).await?;
        Ok(LoadedModel { version: Some(version.id.version), model })
    }
}

impl fmt::Debug for RegistrySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrySource")
            .field("registry", &self.registry)
            .field("loader", &self.loader)
            .field("selected", &self.selected)
            .finish()
    }
}
