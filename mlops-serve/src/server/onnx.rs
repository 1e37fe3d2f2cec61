//! ONNX files as models of a server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::metrics::MetricsObserver;
use mlops_core::reexports::semver::Version;
use mlops_core::{Error, Model, ModelExt, ModelId, ModelName, ModelVersion, Registry, Result};

use super::models::{LoadedModel, ModelSource};
use super::off_thread::off_thread;
use super::registry::VersionLoader;
use crate::engine::Device;
use crate::engine::onnx::{OnnxEngine, OnnxOptions};
use crate::{Batching, EngineExt, Inline, Placement, ServeExt, WarmUp, Workers};

/// How an ONNX file becomes a model of a server: on which device, and how its calls are computed.
///
/// Unless [batches are asked for](Self::with_batching), the model is measured with zeros as one row: below 50 µs it
/// computes on the calling thread, otherwise on a worker thread of its own. It reports to a [`MetricsObserver`].
///
/// It loads versions of a registry, too: the artifact that is [named](Self::with_artifact), or else the only one whose
/// name ends with `.onnx`, or else `model`.
///
/// ```
/// use mlops_serve::engine::Device;
/// use mlops_serve::server::OnnxLoader;
/// use mlops_serve::{Batching, Workers};
///
/// let fast = OnnxLoader::new(Device::Cpu);
/// let heavy = OnnxLoader::new(Device::Cpu).with_batching(Batching::rows(64).with_workers(Workers::new(2)));
/// # let _ = (fast, heavy);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct OnnxLoader {
    device: Device,
    options: OnnxOptions,
    artifact: Option<String>,
    batching: Option<Batching>,
}

/// ONNX files, by the names of their models: a source of models whose files can be replaced and loaded again.
#[derive(Debug, Clone)]
pub struct OnnxFiles {
    loader: OnnxLoader,
    files: BTreeMap<ModelName, PathBuf>,
}

impl OnnxLoader {
    /// Computes on `device`.
    pub fn new(device: Device) -> Self {
        Self { device, options: OnnxOptions::new(), artifact: None, batching: None }
    }

    /// Sets how the engine loads and computes.
    pub fn with_options(mut self, options: OnnxOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the name of the artifact in a registry.
    pub fn with_artifact(mut self, name: impl Into<String>) -> Self {
        self.artifact = Some(name.into());
        self
    }

    /// Puts requests together.
    pub fn with_batching(mut self, batching: Batching) -> Self {
        self.batching = Some(batching);
        self
    }

    /// A model of the engine, ready to answer.
    fn model(
        &self,
        engine: OnnxEngine,
        name: &ModelName,
        version: Option<&Version>,
    ) -> Result<Arc<dyn Model>> {
        let engine = Arc::new(engine);
        let id = version.map(|version| ModelId::new(name.clone(), version.clone()));
        let observer = MetricsObserver::new(name.clone());
        if let Some(batching) = &self.batching {
            let inline = id.into_iter().fold(Inline::new(engine), Inline::with_id);
            return Ok(Arc::new(inline.batched(batching.clone())?.observed(observer)));
        }
        let measured = Arc::clone(&engine).placed(Placement::by(WarmUp::batches([1])));
        match measured {
            Ok(placed) => {
                let placed = id.into_iter().fold(placed, crate::Placed::with_id);
                Ok(Arc::new(placed.observed(observer)))
            }
            // Not every model can compute one row of zeros.
            Err(error) => {
                tracing::debug!(model = %name, %error, "the model cannot be measured");
                let workers = engine.on_workers(Workers::new(1))?;
                let workers = id.into_iter().fold(workers, crate::OnWorkers::with_id);
                Ok(Arc::new(workers.observed(observer)))
            }
        }
    }

    fn artifact_of<'a>(&'a self, version: &'a ModelVersion) -> Result<&'a str> {
        const PLAIN: &str = "model";
        if let Some(artifact) = &self.artifact {
            return Ok(artifact);
        }
        let mut named = version.artifacts.keys().filter(|name| name.ends_with(".onnx"));
        match (named.next(), named.next()) {
            (Some(only), None) => Ok(only),
            (None, _) if version.artifacts.contains_key(PLAIN) => Ok(PLAIN),
            _ => {
                let known = version.artifacts.keys().cloned().collect::<Vec<_>>().join("`, `");
                let id = &version.id;
                Err(Error::invalid_input(format!(
                    "which artifact of {id} is its ONNX file? There are `{known}`; name it by `with_artifact`"
                )))
            }
        }
    }
}

#[async_trait]
impl VersionLoader for OnnxLoader {
    async fn load(&self, version: &ModelVersion, registry: &dyn Registry) -> Result<Arc<dyn Model>> {
        let bytes = registry.fetch(version, self.artifact_of(version)?).await?;
        let (loader, id, signature) = (self.clone(), version.id.clone(), version.signature.clone());
        off_thread(move || {
            let options = loader.options.clone().with_signature(signature);
            let engine = OnnxEngine::load_with(bytes, loader.device.clone(), &options)?;
            loader.model(engine, &id.name, Some(&id.version))
        })
        .await
    }
}

impl OnnxFiles {
    /// No file yet.
    pub fn new(loader: OnnxLoader) -> Self {
        Self { loader, files: BTreeMap::new() }
    }

    /// Adds a file, in place of the one of that name.
    #[must_use]
    pub fn with_file(mut self, name: ModelName, path: impl Into<PathBuf>) -> Self {
        self.files.insert(name, path.into());
        self
    }
}

#[async_trait]
impl ModelSource for OnnxFiles {
    async fn available(&self) -> Result<Vec<ModelName>> {
        Ok(self.files.keys().cloned().collect())
    }

    async fn load(&self, name: &ModelName) -> Result<LoadedModel> {
        let path = self.files.get(name).cloned();
        let path = path.ok_or_else(|| Error::not_found(format!("there is no file of model `{name}`")))?;
        let (loader, name) = (self.loader.clone(), name.clone());
        off_thread(move || {
            let engine = OnnxEngine::load_file(&path, loader.device.clone(), &loader.options)?;
            Ok(LoadedModel::new(loader.model(engine, &name, None)?))
        })
        .await
    }
}
