//! Registries with a long history, made in memory and then put into a folder.

use std::path::Path as FilePath;
use std::sync::Arc;

use futures_util::TryStreamExt;
use mlops_core::{ModelName, Registry};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::reexports::object_store::path::Path;
use mlops_registry::reexports::object_store::{ObjectStore, ObjectStoreExt};

use crate::{Failure, sample};

/// What the transitions are.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// One in ten registers a version; the others move an alias or set a tag.
    Mixed,
    /// Each registers a version.
    Registrations,
}

/// A registry in memory that is being filled.
pub struct History {
    store: Arc<InMemory>,
    registry: ObjectStoreRegistry,
    transitions: usize,
}

/// How many versions each model has, at most.
const VERSIONS: usize = 100;

/// After so many transitions the checkpoints that were replaced are removed.
const PRUNED: usize = 1000;

impl History {
    /// A registry with that many transitions.
    pub async fn of(kind: Kind, transitions: usize) -> Result<Self, Failure> {
        let store = Arc::new(InMemory::new());
        let registry = ObjectStoreRegistry::open(Arc::clone(&store) as Arc<dyn ObjectStore>, "").await?;
        let mut history = Self { store, registry, transitions: 0 };
        let registrations = match kind {
            Kind::Mixed => transitions.div_ceil(10),
            Kind::Registrations => transitions,
        };
        let mut versions = Vec::new();
        for number in 0..registrations {
            versions.push(history.register(number).await?);
        }
        for number in 0..transitions - registrations {
            let version = &versions[number * 7 % versions.len()];
            match number % 2 {
                0 => history.registry.move_alias(sample::promotion(version)?).await?,
                _ => history.registry.tag(sample::note(version, number)).await?,
            };
            history.count().await?;
        }
        Ok(history)
    }

    /// Registers some more versions.
    pub async fn go_on(&mut self, registrations: usize) -> Result<(), Failure> {
        for number in 0..registrations {
            self.register(self.transitions + number).await?;
        }
        Ok(())
    }

    /// Writes the log and the checkpoints to a folder. Nobody asks for the artifacts.
    pub async fn save(&self, folder: &FilePath) -> Result<(), Failure> {
        for prefix in ["log", "checkpoints"] {
            let objects: Vec<_> = self.store.list(Some(&Path::from(prefix))).try_collect().await?;
            for object in objects {
                let file = folder.join(object.location.as_ref());
                if !file.exists() || prefix == "checkpoints" {
                    std::fs::create_dir_all(file.parent().ok_or("a file without a folder")?)?;
                    std::fs::write(file, self.store.get(&object.location).await?.bytes().await?)?;
                }
            }
        }
        Ok(())
    }

    async fn register(&mut self, number: usize) -> Result<mlops_core::ModelVersion, Failure> {
        let model = ModelName::new(format!("model-{}", number / VERSIONS))?;
        let new = sample::version(&model, sample::tiny(number as u64))?;
        let version = self.registry.register(new).await?;
        self.count().await?;
        Ok(version)
    }

    async fn count(&mut self) -> Result<(), Failure> {
        self.transitions += 1;
        if self.transitions % PRUNED == 0 {
            let states = self.store.list(Some(&Path::from("checkpoints")));
            let mut states: Vec<_> = states.map_ok(|object| object.location).try_collect().await?;
            states.retain(|path| path.as_ref().ends_with(".state"));
            states.sort();
            states.pop();
            for state in states {
                self.store.delete(&state).await?;
            }
        }
        Ok(())
    }
}
