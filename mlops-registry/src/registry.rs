//! The registry on an object store.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use mlops_core::{
    AliasMove, AuditEvent, Clock, Error, EventStream, ModelName, ModelVersion, NewVersion, Query, Registry,
    Result, Selector, SystemClock, Tagging,
};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::blobs::{self, Blobs};
use crate::journal::Journal;
use crate::log::Log;
use crate::off_thread::off_thread;
use crate::state::{State, there_are};
use crate::store_error::{io_error, store_error};
use crate::{limits, rules, watch};

/// A registry on a folder, in memory, or on any object store that can create an object only if it is
/// absent: S3, GCS, Azure and their like.
///
/// Any number of tasks, processes and machines may use the same one at once. Clones share their state.
/// It needs a tokio runtime.
///
/// # Versions
/// Within one major version a signature may change in compatible ways only
/// ([`Signature::change_to`](mlops_core::Signature::change_to)); otherwise
/// [`register`](Registry::register) answers [`Conflict`](Error::Conflict) and says which version to take.
/// Major 0 and pre-releases promise nothing, as in semver. Build metadata alone makes no new version.
///
/// # What else is refused
/// Artifact names that are unsafe as file names, metrics that are not finite, and anything larger than
/// [`limits`] says: all [`InvalidInput`](Error::InvalidInput).
///
/// # When the store fails
/// A write that ends in [`Unavailable`](Error::Unavailable) may have taken effect. To try it again is safe
/// where it names what it expects: a version, or where an alias points.
#[derive(Clone)]
pub struct ObjectStoreRegistry {
    root: Arc<str>,
    journal: Arc<Journal>,
    blobs: Blobs,
    clock: Arc<dyn Clock>,
    poll_interval: Duration,
}

const POLL_INTERVAL: Duration = Duration::from_secs(1);

impl ObjectStoreRegistry {
    /// Opens the registry in `folder`, which is created if it is not there. What it acknowledges is on
    /// disk, not in a cache.
    ///
    /// # Errors
    /// [`InvalidInput`](Error::InvalidInput) when `folder` is something else,
    /// [`PermissionDenied`](Error::PermissionDenied), and the errors of [`open`](Self::open).
    pub async fn local(folder: impl AsRef<FilePath>) -> Result<Self> {
        let folder = folder.as_ref().to_owned();
        let (folder, store) = off_thread(move || {
            let folder = create_folder(&folder)
                .map_err(|cause| io_error(format!("no registry in `{}`", folder.display()), cause))?;
            let store = LocalFileSystem::new_with_prefix(&folder)
                .map_err(|cause| store_error(format!("no registry in `{}`", folder.display()), cause))?;
            Ok((folder, store.with_fsync(true)))
        })
        .await?;
        Self::at(format!("file://{}", folder.display()), Arc::new(store), Path::default()).await
    }

    /// Opens a registry under `prefix` of an object store. An empty one needs no preparation.
    ///
    /// # Errors
    /// [`Integrity`](Error::Integrity) when the log has a gap, or a transition was harmed;
    /// [`Unsupported`](Error::Unsupported) when a newer version of this library wrote it;
    /// [`Unavailable`](Error::Unavailable) and [`PermissionDenied`](Error::PermissionDenied).
    pub async fn open(store: Arc<dyn ObjectStore>, prefix: impl Into<Path>) -> Result<Self> {
        let prefix = prefix.into();
        let root = if prefix.is_root() { store.to_string() } else { format!("{store}/{prefix}") };
        Self::at(root, store, prefix).await
    }

    /// A new registry that lives as long as its clones: for tests and examples.
    #[must_use]
    pub fn in_memory() -> Self {
        let (store, prefix): (Arc<dyn ObjectStore>, _) = (Arc::new(InMemory::new()), Path::default());
        let journal = Journal::new(Log::new(Arc::clone(&store), &prefix), State::default());
        Self::with("memory:///".to_owned(), store, &prefix, journal)
    }

    /// Takes the time of events from `clock`; by default from the system.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long [`watch`](Registry::watch) may take to see what other processes do; by default a second.
    /// What this process does it sees at once.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Where the registry lives, for people: `file:///var/lib/models`.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    async fn at(root: String, store: Arc<dyn ObjectStore>, prefix: Path) -> Result<Self> {
        let journal = Journal::open(Log::new(Arc::clone(&store), &prefix)).await?;
        Ok(Self::with(root, store, &prefix, journal))
    }

    fn with(root: String, store: Arc<dyn ObjectStore>, prefix: &Path, journal: Journal) -> Self {
        Self {
            root: root.into(),
            journal: Arc::new(journal),
            blobs: Blobs::new(store, prefix),
            clock: Arc::new(SystemClock),
            poll_interval: POLL_INTERVAL,
        }
    }
}

#[async_trait]
impl Registry for ObjectStoreRegistry {
    async fn register(&self, new: NewVersion) -> Result<ModelVersion> {
        limits::check_new(&new)?;
        let described = new
            .artifacts
            .iter()
            .map(async |(name, bytes)| Ok::<_, Error>((name.clone(), blobs::describe(bytes.clone()).await?)));
        let artifacts = try_join_all(described).await?;
        let stored = || artifacts.iter().map(|(name, artifact)| (name.clone(), (*artifact).into()));
        // A version that cannot be registered leaves no blobs behind.
        self.journal.current(|state| rules::register(state, &new, stored())).await?;
        for (bytes, (_, artifact)) in new.artifacts.values().zip(&artifacts) {
            let named = self.journal.known(|state| state.names_blob(&artifact.digest));
            self.blobs.put(artifact, bytes, named).await?;
        }
        let plan = |state: &_| rules::register(state, &new, stored());
        let transition = self.journal.append(&*self.clock, &new.actor, &new.model, plan).await?;
        transition.registered().ok_or_else(|| Error::internal("a registration registered nothing"))
    }

    async fn resolve(&self, model: &ModelName, selector: &Selector) -> Result<ModelVersion> {
        self.journal.current(|state| state.resolve(model, selector)).await
    }

    async fn fetch(&self, version: &ModelVersion, artifact: &str) -> Result<Bytes> {
        let id = &version.id;
        let described = version.artifacts.get(artifact).ok_or_else(|| {
            let known = there_are(version.artifacts.keys());
            Error::not_found(format!("{id} has no artifact `{artifact}`; {known}"))
        })?;
        let what = format!("the artifact `{artifact}` of {id}");
        if let Some(bytes) = self.blobs.read(described, &what).await? {
            return Ok(bytes);
        }
        // Is it the version that is not there, or only its bytes?
        self.resolve(&id.name, &Selector::Version(id.version.clone())).await?;
        let file = self.blobs.file(&described.digest);
        Err(Error::integrity(format!("{what} should be in {file}, which is missing")))
    }

    async fn move_alias(&self, change: AliasMove) -> Result<AuditEvent> {
        limits::check_alias_move(&change)?;
        let plan = |state: &_| rules::move_alias(state, &change);
        let transition = self.journal.append(&*self.clock, &change.actor, &change.model, plan).await?;
        Ok(transition.event())
    }

    async fn tag(&self, change: Tagging) -> Result<AuditEvent> {
        limits::check_tagging(&change)?;
        let plan = |state: &_| rules::tag(state, &change);
        let transition = self.journal.append(&*self.clock, &change.actor, &change.id.name, plan).await?;
        Ok(transition.event())
    }

    async fn models(&self) -> Result<Vec<ModelName>> {
        self.journal.current(|state| Ok(state.models())).await
    }

    async fn versions(&self, model: &ModelName) -> Result<Vec<ModelVersion>> {
        self.journal.current(|state| state.versions(model)).await
    }

    async fn search(&self, query: &Query) -> Result<Vec<ModelVersion>> {
        self.journal.current(|state| Ok(state.search(query))).await
    }

    async fn history(&self, model: &ModelName) -> Result<Vec<AuditEvent>> {
        self.journal.current(|state| state.history(model)).await
    }

    /// Begins after what this registry has read so far. So nothing that happens from now on is missed, and
    /// what another process did just before may come, too. An error of the store is an item of the stream,
    /// which then goes on.
    fn watch(&self) -> EventStream {
        watch::events(Arc::clone(&self.journal), self.poll_interval)
    }
}

impl fmt::Display for ObjectStoreRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)
    }
}

impl fmt::Debug for ObjectStoreRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStoreRegistry").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Creates a folder so that it outlives a power cut, and names it in full.
fn create_folder(folder: &FilePath) -> std::io::Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    let there = folder.ancestors().take_while(|ancestor| !ancestor.exists()).count();
    std::fs::create_dir_all(&folder)?;
    if cfg!(unix) {
        // An entry is durable when the folder that holds it is.
        for changed in folder.ancestors().skip(1).take(there) {
            std::fs::File::open(changed)?.sync_all()?;
        }
    }
    std::fs::canonicalize(folder)
}
