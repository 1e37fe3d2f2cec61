//! The registry on an object store.

mod contract;

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mlops_core::{AuditEvent, Clock, Digest, Error, Result, SystemClock};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::blobs::Blobs;
use crate::checkpoint::Checkpoints;
use crate::document::{Change, Transition};
use crate::journal::Journal;
use crate::lifecycle::{NewApproval, Protecting};
use crate::log::Log;
use crate::off_thread::off_thread;
use crate::progress::{Progress, Transfer};
use crate::state::State;
use crate::store_error::{io_error, store_error};
use crate::{limits, rules};

/// A registry on a folder, in memory, or on any object store that can create an object only if it is
/// absent: S3, GCS, Azure and their like.
///
/// Any number of tasks, processes and machines may use the same one at once. Clones share their state.
/// It needs a tokio runtime.
///
/// # Versions
/// Within one major version a signature may change in compatible ways only, and within one minor version not at all
/// ([`Signature::change_to`](mlops_core::Signature::change_to)); otherwise
/// [`register`](mlops_core::Registry::register) answers [`Conflict`](Error::Conflict) and says which version to take.
/// Major 0 and pre-releases promise nothing, as in semver. Build metadata alone makes no new version.
///
/// # Protected aliases
/// An alias that is [protected](Self::protect) moves to a version only when enough people have
/// [approved](Self::approve) it, and its gates have [reported](mlops_core::Registry::report) that it passed; otherwise
/// the move is [`PermissionDenied`](Error::PermissionDenied), and says what is missing. Back to a version it has
/// pointed to before it moves always: a way back that waits for an approval is none.
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
    #[cfg(feature = "sign")]
    signing_key: Option<crate::SigningKey>,
    #[cfg(feature = "sign")]
    trust: Option<Arc<crate::trust::Trust>>,
}

/// What is read of a registry when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// All that is needed to answer.
    Read,
    /// Nothing, for one that may be harmed.
    Unread,
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
        Self::local_as(folder.as_ref().to_owned(), Opening::Read).await
    }

    pub(crate) async fn local_as(folder: PathBuf, opening: Opening) -> Result<Self> {
        let (folder, store) = off_thread(move || {
            if opening == Opening::Unread && !folder.is_dir() {
                return Err(Error::not_found(format!("there is no folder `{}`", folder.display())));
            }
            let folder = create_folder(&folder)
                .map_err(|cause| io_error(format!("no registry in `{}`", folder.display()), cause))?;
            let store = LocalFileSystem::new_with_prefix(&folder)
                .map_err(|cause| store_error(format!("no registry in `{}`", folder.display()), cause))?;
            Ok((folder, store.with_fsync(true)))
        })
        .await?;
        let root = format!("file://{}", folder.display());
        let registry = Self::at(root, Arc::new(store), Path::default(), opening).await?;
        Ok(registry.in_folder(folder))
    }

    /// Opens a registry under `prefix` of an object store. An empty one needs no preparation.
    ///
    /// # Errors
    /// [`Integrity`](Error::Integrity) when the log has a gap, or a transition was harmed;
    /// [`Unsupported`](Error::Unsupported) when a newer version of this library wrote it;
    /// [`Unavailable`](Error::Unavailable) and [`PermissionDenied`](Error::PermissionDenied).
    pub async fn open(store: Arc<dyn ObjectStore>, prefix: impl Into<Path>) -> Result<Self> {
        Self::open_as(store, prefix.into(), Opening::Read).await
    }

    pub(crate) async fn open_as(store: Arc<dyn ObjectStore>, prefix: Path, opening: Opening) -> Result<Self> {
        let root = if prefix.is_root() { store.to_string() } else { format!("{store}/{prefix}") };
        Self::at(root, store, prefix, opening).await
    }

    /// A new registry that lives as long as its clones: for tests and examples.
    #[must_use]
    pub fn in_memory() -> Self {
        let (store, prefix): (Arc<dyn ObjectStore>, _) = (Arc::new(InMemory::new()), Path::default());
        let log = Log::new(Arc::clone(&store), &prefix);
        let checkpoints = Checkpoints::new(Arc::clone(&store), &prefix);
        let journal = Journal::new(log, checkpoints, State::default(), None);
        Self::with("memory:///".to_owned(), store, &prefix, journal)
    }

    /// Takes the time of events from `clock`; by default from the system.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long [`watch`](mlops_core::Registry::watch) may take to see what other processes do; by default a second.
    /// What this process does it sees at once.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Tells `listener` how far artifacts are on their way, about every 8 MiB. It must not block.
    #[must_use]
    pub fn with_progress(mut self, listener: impl Fn(Transfer) + Send + Sync + 'static) -> Self {
        self.blobs.progress = Progress::to(listener);
        self
    }

    /// Signs every version that is registered through this registry.
    #[cfg(feature = "sign")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
    #[must_use]
    pub fn with_signing_key(mut self, key: crate::SigningKey) -> Self {
        self.signing_key = Some(key);
        self
    }

    /// Resolves and fetches only versions that this policy trusts; the others are
    /// [`Integrity`](Error::Integrity) errors. Lists, searches and [`versions`](mlops_core::Registry::versions)
    /// still show them.
    #[cfg(feature = "sign")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
    #[must_use]
    pub fn with_trust(mut self, policy: crate::TrustPolicy) -> Self {
        self.trust = Some(Arc::new(crate::trust::Trust::new(policy)));
        self
    }

    /// Approves that an alias moves to a version. Returns the event that history now holds.
    ///
    /// ```
    /// # use mlops_core::*;
    /// # use mlops_registry::{NewApproval, ObjectStoreRegistry, Protecting};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let registry = ObjectStoreRegistry::in_memory();
    /// # let (fraud, champion) = (ModelName::new("fraud")?, Alias::new("champion")?);
    /// # let version = registry.register(NewVersion::new(fraud.clone(), Signature::new([], [])?)).await?;
    /// let two_people = Protection::default().with_approvals(2);
    /// registry.protect(Protecting::new(fraud.clone(), champion.clone(), two_people).by("alice")).await?;
    ///
    /// registry.approve(NewApproval::new(version.id.clone(), champion.clone(), "alice")).await?;
    /// let promote = || AliasMove::new(fraud.clone(), champion.clone(), version.id.version.clone());
    /// assert!(registry.move_alias(promote()).await.is_err());
    /// registry.approve(NewApproval::new(version.id.clone(), champion.clone(), "bob")).await?;
    /// registry.move_alias(promote()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) when there is no such version, [`InvalidInput`](Error::InvalidInput) when nobody
    /// is named as the one who approves, and those of the store.
    pub async fn approve(&self, approval: NewApproval) -> Result<AuditEvent> {
        limits::check_approval(&approval)?;
        self.change(&approval.actor, |state| rules::approve(state, &approval)).await
    }

    /// Changes what an alias demands before it moves. Returns the event that history now holds.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) when there is no such model, and those of the store.
    pub async fn protect(&self, change: Protecting) -> Result<AuditEvent> {
        limits::check_actor(&change.actor)?;
        self.change(&change.actor, |state| rules::protect(state, &change)).await
    }

    /// Signs a version that is registered already. Returns the event that history now holds.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) when there is no such version, [`Conflict`](Error::Conflict) when this key has
    /// signed it, and those of the store.
    #[cfg(feature = "sign")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
    pub async fn sign(
        &self,
        id: &mlops_core::ModelId,
        key: &crate::SigningKey,
        actor: &str,
    ) -> Result<AuditEvent> {
        limits::check_actor(actor)?;
        self.change(actor, |state| rules::sign(state, id, key)).await
    }

    /// Writes a checkpoint of what is known now; otherwise every thousandth transition does. Returns how many
    /// transitions it spares whoever opens the registry.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn checkpoint(&self) -> Result<u64> {
        self.journal.refresh().await?;
        self.journal.write_checkpoint().await
    }

    /// How many transitions there are, and the digest of the last, in which those of all the others are contained.
    /// Who keeps it elsewhere can tell later that nobody has rewritten history:
    /// [`verify_since`](Self::verify_since).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn head(&self) -> Result<(u64, Option<Digest>)> {
        self.journal.current(|state| Ok((state.position.sequence, state.position.head))).await
    }

    /// Where the registry lives, for people: `file:///var/lib/models`.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    async fn at(root: String, store: Arc<dyn ObjectStore>, prefix: Path, opening: Opening) -> Result<Self> {
        let log = Log::new(Arc::clone(&store), &prefix);
        let checkpoints = Checkpoints::new(Arc::clone(&store), &prefix);
        let journal = match opening {
            Opening::Read => Journal::open(log, checkpoints).await?,
            Opening::Unread => Journal::new(log, checkpoints, State::default(), None),
        };
        Ok(Self::with(root, store, &prefix, journal))
    }

    fn with(root: String, store: Arc<dyn ObjectStore>, prefix: &Path, journal: Journal) -> Self {
        Self {
            root: root.into(),
            journal: Arc::new(journal),
            blobs: Blobs::new(store, prefix),
            clock: Arc::new(SystemClock),
            poll_interval: POLL_INTERVAL,
            #[cfg(feature = "sign")]
            signing_key: None,
            #[cfg(feature = "sign")]
            trust: None,
        }
    }

    /// The same registry, by the name people gave it.
    pub(crate) fn rooted(mut self, root: &str) -> Self {
        self.root = root.into();
        self
    }

    fn in_folder(mut self, folder: PathBuf) -> Self {
        self.blobs.local = Some(folder.into());
        self
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        self.blobs.store()
    }

    pub(crate) fn local_folder(&self) -> Option<&FilePath> {
        self.blobs.local.as_deref()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        self.poll_interval
    }

    pub(crate) async fn append(
        &self,
        actor: &str,
        plan: impl Fn(&State) -> Result<Change> + Send + Sync,
    ) -> Result<Transition> {
        self.journal.append(&*self.clock, actor, plan).await
    }

    /// Writes a change of a model.
    async fn change(
        &self,
        actor: &str,
        plan: impl Fn(&State) -> Result<Change> + Send + Sync,
    ) -> Result<AuditEvent> {
        let transition = self.append(actor, plan).await?;
        transition.event().ok_or_else(|| Error::internal("a change of a model changed none"))
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
pub(crate) fn create_folder(folder: &FilePath) -> std::io::Result<PathBuf> {
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
