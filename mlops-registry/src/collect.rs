//! Garbage: bytes that nobody names any more.

use std::fs::Metadata;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use mlops_core::{Digest, Error, Result};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::ObjectStoreRegistry;
use crate::blobs::generation_of;
use crate::document::Change;
use crate::off_thread::off_thread;
use crate::state::State;
use crate::store_error::{io_error, store_error};

/// How garbage is collected.
///
/// ```
/// use std::time::Duration;
///
/// use mlops_registry::{GarbageCollection, ObjectStoreRegistry};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), mlops_core::Error> {
/// # let registry = ObjectStoreRegistry::in_memory();
/// let look = GarbageCollection::default().with_grace(Duration::from_secs(7 * 24 * 3600)).dry_run();
/// for file in registry.collect_garbage(look).await?.files {
///     println!("{} {}", file.size, file.path);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GarbageCollection {
    /// Files that were written within this time are left alone; by default a day. That spares whoever is registering
    /// just now to write them again; no more depends on it. What somebody may be writing at this moment, checkpoints and
    /// unfinished files, is left alone for an hour at least.
    pub grace: Duration,
    /// Whether files are only named, and nothing is deleted.
    pub dry_run: bool,
    /// Who collects.
    pub actor: String,
}

/// What was collected, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Garbage {
    /// The files, by path.
    pub files: Vec<GarbageFile>,
}

/// A file that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GarbageFile {
    /// Where it is in the store.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
    /// What it was.
    pub kind: GarbageKind,
}

/// What a file was that nobody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GarbageKind {
    /// The bytes of artifacts of deleted versions, or of a registration that did not come to its end.
    Blob(Digest),
    /// A part of a checkpoint that a later one has replaced.
    Checkpoint,
    /// A file that a killed process had begun to write.
    Unfinished,
}

/// Nothing announces the end of files that no log speaks of. One that was not touched for so long is nobody's: to take
/// an unfinished file from a writer that lives would let it finish with what another one has begun under that name.
const SETTLED: Duration = Duration::from_secs(3600);

/// How many blobs one transition names at most.
const BATCH: usize = 10_000;

/// How many files are deleted at once.
const DELETIONS: usize = 16;

impl Default for GarbageCollection {
    fn default() -> Self {
        Self { grace: Duration::from_secs(24 * 3600), dry_run: false, actor: String::new() }
    }
}

impl GarbageCollection {
    /// Leaves files alone that were written within this time.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Only names what would be deleted.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Says who collects.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }
}

impl Garbage {
    /// How many bytes that is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

impl ObjectStoreRegistry {
    /// Deletes the files that nobody needs: blobs that no version and no run names, checkpoints that were replaced, and
    /// what killed processes left behind (on object stores, let a life-cycle rule end unfinished multipart uploads).
    ///
    /// It may run at any time, beside any number of writers. What is to be deleted is announced in the log before; a
    /// writer that needs such bytes again writes them to another file, and one that was about to name them notices.
    ///
    /// # Errors
    /// Those of the store. What is left is collected the next time.
    pub async fn collect_garbage(&self, options: GarbageCollection) -> Result<Garbage> {
        let now = self.clock().now();
        let old = |file: &ObjectMeta| age(file, now) >= options.grace;
        let settled = |file: &ObjectMeta| age(file, now) >= options.grace.max(SETTLED);
        self.journal().refresh().await?;
        let blobs = self.list(self.blobs().folder()).await?;
        let (mut garbage, mut unused) = (Vec::new(), Vec::new());
        for file in blobs {
            // Foreign files are none of our business.
            let Some((digest, generation)) = generation_of(&file.location)
                .filter(|(digest, generation)| self.blobs().file(digest, *generation) == file.location)
            else {
                continue;
            };
            let entry = self.journal().known(|state| state.blobs.entry(&digest));
            if generation < entry.generation {
                garbage.push((file, GarbageKind::Blob(digest)));
            } else if generation == entry.generation && entry.uses == 0 && old(&file) {
                unused.push((digest, generation, file));
            }
        }
        for batch in unused.chunks(BATCH) {
            let collected =
                if options.dry_run { all(batch) } else { self.announce(&options.actor, batch).await? };
            let files = batch.iter().filter(|(digest, ..)| collected.contains(digest));
            garbage.extend(files.map(|(digest, _, file)| (file.clone(), GarbageKind::Blob(*digest))));
        }
        for file in self.replaced_checkpoints().await?.into_iter().filter(settled) {
            garbage.push((file, GarbageKind::Checkpoint));
        }
        if !options.dry_run {
            let mut deletions = Vec::with_capacity(garbage.len());
            for (file, _) in &garbage {
                deletions.push(self.delete_file(&file.location));
            }
            stream::iter(deletions).buffer_unordered(DELETIONS).try_collect::<()>().await?;
        }
        let mut files: Vec<_> = garbage
            .into_iter()
            .map(|(file, kind)| GarbageFile { path: file.location.to_string(), size: file.size, kind })
            .collect();
        files.extend(self.collect_unfinished(&options).await?);
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Garbage { files })
    }

    /// Says in the log that these are collected, but for those that somebody needs by now.
    async fn announce(&self, actor: &str, batch: &[(Digest, u64, ObjectMeta)]) -> Result<Vec<Digest>> {
        let announced = Mutex::new(Vec::new());
        let plan = |state: &State| {
            let unused = batch.iter().filter(|(digest, generation, _)| {
                let entry = state.blobs.entry(digest);
                entry.uses == 0 && entry.generation == *generation
            });
            let mut blobs: Vec<_> = unused.map(|(digest, ..)| *digest).collect();
            blobs.dedup();
            announced.lock().map(|mut announced| announced.clone_from(&blobs)).ok();
            if blobs.is_empty() {
                Err(Error::conflict("there is nothing to collect any more"))
            } else {
                Ok(Change::Collect { blobs })
            }
        };
        match self.append(actor, plan).await {
            Err(Error::Conflict { .. }) => Ok(Vec::new()),
            done => done.map(|_| announced.into_inner().unwrap_or_default()),
        }
    }

    /// The files in the folder of checkpoints that the latest one does not need.
    async fn replaced_checkpoints(&self) -> Result<Vec<ObjectMeta>> {
        let checkpoints = self.journal().checkpoints();
        let needed = match checkpoints.latest().await {
            Ok(latest) => latest.map(|latest| checkpoints.files(&latest)).unwrap_or_default(),
            // Which of them a newer version of this library needs, or a harmed pointer named, is not known.
            Err(error @ (Error::Integrity { .. } | Error::Unsupported { .. })) => {
                tracing::warn!(%error, "no checkpoint is collected");
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut files = self.list(checkpoints.folder()).await?;
        files.retain(|file| checkpoints.owns(&file.location) && !needed.contains(&file.location));
        Ok(files)
    }

    async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        let files = self.store().list(Some(folder)).try_collect().await;
        files.map_err(|cause| store_error(format!("{folder} cannot be listed"), cause))
    }

    async fn delete_file(&self, file: &Path) -> Result<()> {
        match self.store().delete(file).await {
            // Somebody else was collecting, too.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(store_error(format!("{file} could not be deleted"), cause)),
        }
    }

    /// The local store writes a file beside its place, as `NAME#1`, before it moves it there.
    async fn collect_unfinished(&self, options: &GarbageCollection) -> Result<Vec<GarbageFile>> {
        let Some(root) = self.local_folder().map(PathBuf::from) else { return Ok(Vec::new()) };
        let (now, grace, dry_run) = (self.clock().now(), options.grace.max(SETTLED), options.dry_run);
        off_thread(move || {
            let mut found = Vec::new();
            for (path, meta) in unfinished(&root)? {
                let written = meta.modified().ok().and_then(|at| Timestamp::try_from(at).ok()).unwrap_or(now);
                let age = Duration::try_from(now.duration_since(written)).unwrap_or_default();
                if age < grace || !(dry_run || removed(&path)?) {
                    continue;
                }
                let path = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
                found.push(GarbageFile { path, size: meta.len(), kind: GarbageKind::Unfinished });
            }
            Ok(found)
        })
        .await
    }
}

/// The unfinished files in the folders of a registry. Foreign folders are none of our business.
fn unfinished(root: &FilePath) -> Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = ["log", "blobs", "checkpoints"].map(|folder| root.join(folder)).into();
    while let Some(folder) = folders.pop() {
        let failed = |cause| io_error(format!("{} cannot be searched", folder.display()), cause);
        let Some(entries) = there(std::fs::read_dir(&folder)).map_err(failed)? else { continue };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // A file that was there a moment ago may be finished by now.
            let Some(meta) = there(entry.metadata()).map_err(failed)? else { continue };
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| Some(name.rsplit_once('#')?.1));
            let is_number =
                |number: &str| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.is_file() && number.is_some_and(is_number) {
                found.push((entry.path(), meta));
            }
        }
    }
    Ok(found)
}

/// Removes a file; whether it was there.
fn removed(file: &FilePath) -> Result<bool> {
    let removed = there(std::fs::remove_file(file));
    let removed =
        removed.map_err(|cause| io_error(format!("{} could not be deleted", file.display()), cause));
    Ok(removed?.is_some())
}

/// `None` for what is not there.
fn there<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn all(batch: &[(Digest, u64, ObjectMeta)]) -> Vec<Digest> {
    batch.iter().map(|(digest, ..)| *digest).collect()
}

fn age(file: &ObjectMeta, now: Timestamp) -> Duration {
    let written = Timestamp::from_millisecond(file.last_modified.timestamp_millis()).unwrap_or(now);
    Duration::try_from(now.duration_since(written)).unwrap_or_default()
}
