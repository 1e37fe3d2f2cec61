//! The models of a server, by name and version.

mod served;
mod source;
mod statistics;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use mlops_core::reexports::semver::Version;
use mlops_core::{Error, Model, ModelId, ModelName, Result};

pub(crate) use served::Served;
pub use source::{LoadedModel, ModelSource};
pub use statistics::{Statistics, StatisticsSnapshot, Tally};

/// What a server serves: models by name, and versions of them. Clones share it.
///
/// Models come, go and change while requests are in flight; a request finishes on the model it began on, which is
/// dropped when the last such request has left it. Reading takes no lock.
///
/// ```
/// use mlops_core::{Model, ModelName, Result};
/// use mlops_serve::server::Models;
///
/// fn release(models: &Models, next: impl Model) -> Result<()> {
///     let before = models.insert(ModelName::new("fraud")?, next); // requests in flight finish on `before`
///     drop(before);
///     Ok(())
/// }
/// ```
#[derive(Clone, Default)]
pub struct Models {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    entries: ArcSwap<BTreeMap<ModelName, Entry>>,
    /// Whoever changes the entries holds it.
    changing: Mutex<()>,
    sources: ArcSwap<Vec<Arc<dyn ModelSource>>>,
}

/// What is known under one name.
#[derive(Clone, Default)]
struct Entry {
    current: Option<Arc<Served>>,
    versions: BTreeMap<Version, Arc<Served>>,
    /// Why there is no current model, or no newer one.
    trouble: Option<Trouble>,
}

#[derive(Clone)]
enum Trouble {
    Loading,
    Failed(String),
    Unloaded,
}

/// Whether a model takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelState {
    /// It does.
    Ready,
    /// Not yet: it is being loaded for the first time.
    Loading,
    /// It does not, for this reason.
    Unavailable(String),
}

/// One model of [`Models::index`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelStatus {
    /// The name.
    pub name: ModelName,
    /// The version, where it is known.
    pub version: Option<Version>,
    /// Whether it takes requests.
    pub state: ModelState,
}

impl Models {
    /// No model yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `model` to callers that name no version; in place of the one that was served so, which is returned.
    pub fn insert(&self, name: ModelName, model: impl Model) -> Option<Arc<dyn Model>> {
        self.set_current(&name, None, Arc::new(model))
    }

    /// Serves `model`, which is this version, to callers that name no version, and to those that name this one.
    pub fn insert_current(&self, id: ModelId, model: impl Model) -> Option<Arc<dyn Model>> {
        self.set_current(&id.name, Some(id.version), Arc::new(model))
    }

    /// Serves `model` to callers that name exactly this version, beside the others.
    pub fn insert_version(&self, id: ModelId, model: impl Model) -> Option<Arc<dyn Model>> {
        let served = Arc::new(Served::new(id.name.clone(), Some(id.version.clone()), Arc::new(model)));
        let before = self.change(&id.name, |entry| entry.versions.insert(id.version, served));
        before.map(|served| Arc::clone(served.model()))
    }

    /// Serves a name no more, in no version. Requests in flight are answered.
    ///
    /// # Errors
    /// [`Error::NotFound`] when nothing is served under that name.
    pub fn remove(&self, name: &str) -> Result<()> {
        let _changing = self.lock();
        let mut entries = BTreeMap::clone(&self.shared.entries.load());
        entries.remove(name).ok_or_else(|| self.unknown(name))?;
        self.shared.entries.store(Arc::new(entries));
        Ok(())
    }

    /// Adds a place where models come from that are not there yet: [`load`](Self::load) asks the sources in the order
    /// they were added.
    pub fn add_source(&self, source: impl ModelSource) {
        let source: Arc<dyn ModelSource> = Arc::new(source);
        self.shared.sources.rcu(|sources| {
            let mut sources = Vec::clone(sources);
            sources.push(Arc::clone(&source));
            sources
        });
    }

    /// Loads a model from the first source that has it, and serves it in place of the present one. While it loads, and
    /// when that fails, the present one goes on.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no source has it; otherwise what the source answers.
    pub async fn load(&self, name: &ModelName) -> Result<()> {
        for source in self.shared.sources.load_full().iter() {
            if source.available().await?.contains(name) {
                return self.load_from(name, source.load(name)).await;
            }
        }
        Err(Error::not_found(format!("no source of this server has a model `{name}`")))
    }

    /// Serves what `loading` gives, in place of the present model. While it loads, and when that fails, the present one
    /// goes on.
    ///
    /// # Errors
    /// Those of `loading`.
    pub async fn load_from(
        &self,
        name: &ModelName,
        loading: impl Future<Output = Result<LoadedModel>>,
    ) -> Result<()> {
        self.change(name, |entry| entry.trouble = Some(Trouble::Loading));
        let mut unfinished = Unfinished { models: self, name: Some(name) };
        let result = loading.await;
        unfinished.name = None;
        match result {
            Ok(LoadedModel { version, model }) => {
                drop(self.set_current(name, version, model));
                Ok(())
            }
            Err(error) => {
                self.change(name, |entry| entry.trouble = Some(Trouble::Failed(error.to_string())));
                Err(error)
            }
        }
    }

    /// Serves a name no more, but remembers it: it stands in the [`index`](Self::index) as unavailable.
    ///
    /// # Errors
    /// [`Error::NotFound`] when nothing is served under that name.
    pub fn unload(&self, name: &str) -> Result<()> {
        let (name, _) = self
            .shared
            .entries
            .load()
            .get_key_value(name)
            .map(|(name, _)| (name.clone(), ()))
            .ok_or_else(|| self.unknown(name))?;
        self.change(&name, |entry| *entry = Entry { trouble: Some(Trouble::Unloaded), ..Entry::default() });
        Ok(())
    }

    /// The names of all models that were ever served and not removed.
    #[must_use]
    pub fn names(&self) -> Vec<ModelName> {
        self.shared.entries.load().keys().cloned().collect()
    }

    /// Every model and version, and whether it takes requests.
    #[must_use]
    pub fn index(&self) -> Vec<ModelStatus> {
        self.shared.entries.load().iter().flat_map(|(name, entry)| entry.status(name)).collect()
    }

    /// The model that answers for a name and, perhaps, a version.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such model or version; [`Error::Unavailable`] when it is known but cannot
    /// take requests.
    pub fn model(&self, name: &str, version: Option<&str>) -> Result<Arc<dyn Model>> {
        self.served(name, version).map(|served| Arc::clone(served.model()))
    }

    /// What was counted of the calls of a model.
    ///
    /// # Errors
    /// Those of [`model`](Self::model).
    pub fn statistics(&self, name: &str, version: Option<&str>) -> Result<StatisticsSnapshot> {
        self.served(name, version).map(|served| served.statistics().snapshot())
    }

    /// The versions of a model that can be named, the lowest first.
    #[must_use]
    pub fn versions(&self, name: &str) -> Vec<Version> {
        self.shared.entries.load().get(name).map(Entry::named_versions).unwrap_or_default()
    }

    /// The version that answers callers who name none, where it is known.
    pub(crate) fn current_version(&self, name: &str) -> Option<Version> {
        self.shared.entries.load().get(name)?.current.as_ref()?.version().cloned()
    }

    /// Remembers why a model could not be loaded.
    pub(crate) fn note_failure(&self, name: &ModelName, error: &Error) {
        self.change(name, |entry| entry.trouble = Some(Trouble::Failed(error.to_string())));
    }

    /// Whether every model takes requests but those that were unloaded.
    pub(crate) fn are_ready(&self) -> bool {
        let entries = self.shared.entries.load();
        let waits = |entry: &Entry| matches!(entry.trouble, Some(Trouble::Loading | Trouble::Failed(_)));
        !entries.values().any(|entry| waits(entry) && entry.find(None).is_none())
    }

    pub(crate) fn served(&self, name: &str, version: Option<&str>) -> Result<Arc<Served>> {
        let entries = self.shared.entries.load();
        let entry = entries.get(name).ok_or_else(|| self.unknown(name))?;
        entry.find(version).ok_or_else(|| entry.missing(name, version))
    }

    /// Every model that takes requests, each version once.
    pub(crate) fn all_served(&self) -> Vec<Arc<Served>> {
        self.shared.entries.load().values().flat_map(Entry::all).cloned().collect()
    }

    fn set_current(
        &self,
        name: &ModelName,
        version: Option<Version>,
        model: Arc<dyn Model>,
    ) -> Option<Arc<dyn Model>> {
        let served = Arc::new(Served::new(name.clone(), version, model));
        let before = self.change(name, |entry| {
            entry.trouble = None;
            entry.current.replace(served)
        });
        before.map(|served| Arc::clone(served.model()))
    }

    fn change<T>(&self, name: &ModelName, change: impl FnOnce(&mut Entry) -> T) -> T {
        let _changing = self.lock();
        let mut entries = BTreeMap::clone(&self.shared.entries.load());
        let result = change(entries.entry(name.clone()).or_default());
        self.shared.entries.store(Arc::new(entries));
        result
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.shared.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(&self, name: &str) -> Error {
        let known = self.names().iter().map(ModelName::as_str).collect::<Vec<_>>().join("`, `");
        let shown: String = name.chars().take(128).collect();
        Error::not_found(format!("there is no model `{}`; there are `{known}`", shown.escape_debug()))
    }
}

/// A load that is given up leaves no model that seems to load for ever.
struct Unfinished<'a> {
    models: &'a Models,
    name: Option<&'a ModelName>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name {
            let given_up = Trouble::Failed("loading was given up".to_owned());
            self.models.change(name, |entry| entry.trouble = Some(given_up));
        }
    }
}

impl Entry {
    fn find(&self, version: Option<&str>) -> Option<Arc<Served>> {
        match version {
            None => self.current.as_ref().or_else(|| self.versions.values().next_back()).cloned(),
            Some(version) => {
                let version = parse_version(version)?;
                let current = self.current.as_ref().filter(|served| served.version() == Some(&version));
                current.or_else(|| self.versions.get(&version)).cloned()
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Served>> {
        let current = self.current.as_ref().and_then(|served| served.version());
        let others = self.versions.iter().filter(move |(version, _)| Some(*version) != current);
        self.current.iter().chain(others.map(|(_, served)| served))
    }

    fn named_versions(&self) -> Vec<Version> {
        let mut versions: Vec<Version> = self.all().filter_map(|served| served.version().cloned()).collect();
        versions.sort();
        versions
    }

    fn status(&self, name: &ModelName) -> Vec<ModelStatus> {
        let ready = |served: &Arc<Served>| ModelStatus {
            name: name.clone(),
            version: served.version().cloned(),
            state: ModelState::Ready,
        };
        let served: Vec<ModelStatus> = self.all().map(ready).collect();
        if !served.is_empty() {
            return served;
        }
        let state = match &self.trouble {
            Some(Trouble::Loading) => ModelState::Loading,
            Some(Trouble::Failed(why)) => ModelState::Unavailable(why.clone()),
            Some(Trouble::Unloaded) | None => ModelState::Unavailable("unloaded".to_owned()),
        };
        vec![ModelStatus { name: name.clone(), version: None, state }]
    }

    fn missing(&self, name: &str, version: Option<&str>) -> Error {
        match (&self.trouble, version) {
            (Some(Trouble::Loading), None) => Error::unavailable(format!("model `{name}` is being loaded")),
            (Some(Trouble::Failed(_)), None) => {
                Error::unavailable(format!("model `{name}` could not be loaded"))
            }
            (_, None) => Error::unavailable(format!("model `{name}` is not loaded")),
            (_, Some(version)) => {
                let known: Vec<String> = self.named_versions().iter().map(Version::to_string).collect();
                let (shown, known) = (version.escape_debug(), known.join("`, `"));
                Error::not_found(format!("model `{name}` has no version `{shown}` here; there are `{known}`"))
            }
        }
    }
}

/// A version as callers write it: `1.2.3`, or a whole number for its first release, as protocols do whose versions are
/// numbers.
fn parse_version(text: &str) -> Option<Version> {
    text.parse().ok().or_else(|| text.parse().ok().map(|major| Version::new(major, 0, 0)))
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.index()).finish()
    }
}
