//! Rollouts on an object store.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use mlops_core::{Error, Result};
use object_store::path::Path;
use object_store::{Error as Cause, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};

use super::{Appended, LOG, NOTE_SUFFIX, NOTES, RolloutStore, StoreName, record_file, window_folder};

/// So many notes are fetched at a time.
const FETCHES: usize = 8;

/// Remembers on any store of the crate `object_store`: S3, GCS, Azure, a folder, memory. One object per
/// record, written only where there is none ([`PutMode::Create`]), which all of them offer.
///
/// ```
/// use std::sync::Arc;
/// use mlops_rollout::{Appended, ObjectRolloutStore, RolloutStore, StoreName};
/// use object_store::{memory::InMemory, path::Path};
///
/// # futures_util::FutureExt::now_or_never(async {
/// let store = ObjectRolloutStore::new(Arc::new(InMemory::new()), Path::from("rollouts"));
/// let name = StoreName::new("fraud-2.0.0")?;
/// assert_eq!(store.append(&name, 1, b"mine").await?, Appended::Done);
/// assert_eq!(store.append(&name, 1, b"yours").await?, Appended::Taken);
/// # Ok::<(), mlops_core::Error>(()) }).unwrap()?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ObjectRolloutStore {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl ObjectRolloutStore {
    /// Remembers below `prefix`.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix }
    }

    fn record(&self, rollout: &StoreName, number: u64) -> Path {
        self.prefix.clone().join(rollout.as_str()).join(LOG).join(record_file(number))
    }

    fn notes_of(&self, rollout: &StoreName, window: u64) -> Path {
        self.prefix.clone().join(rollout.as_str()).join(NOTES).join(window_folder(window))
    }

    /// The bytes of an object; `None` when there is none.
    async fn fetch(&self, object: &Path) -> Result<Option<Vec<u8>>> {
        let failed = |cause| store_error(format!("{object} cannot be read"), cause);
        match self.store.get(object).await {
            Err(Cause::NotFound { .. }) => Ok(None),
            found => Ok(Some(found.map_err(failed)?.bytes().await.map_err(failed)?.to_vec())),
        }
    }

    /// The note in an object; `None` when it is something else.
    async fn note(&self, object: Result<ObjectMeta>) -> Result<Option<(StoreName, Vec<u8>)>> {
        let location = object?.location;
        let author =
            location.filename().and_then(|name| StoreName::new(name.strip_suffix(NOTE_SUFFIX)?).ok());
        let Some(author) = author else { return Ok(None) };
        Ok(self.fetch(&location).await?.map(|note| (author, note)))
    }
}

#[async_trait]
impl RolloutStore for ObjectRolloutStore {
    async fn append(&self, rollout: &StoreName, number: u64, record: &[u8]) -> Result<Appended> {
        let object = self.record(rollout, number);
        match self.store.put_opts(&object, record.to_vec().into(), PutMode::Create.into()).await {
            Ok(_) => Ok(Appended::Done),
            Err(Cause::AlreadyExists { .. } | Cause::Precondition { .. }) => Ok(Appended::Taken),
            Err(cause) => {
                let what = "could not be written; look whether it was before you try again";
                Err(store_error(format!("{object} {what}"), cause))
            }
        }
    }

    async fn read(&self, rollout: &StoreName, number: u64) -> Result<Option<Vec<u8>>> {
        self.fetch(&self.record(rollout, number)).await
    }

    async fn put_note(
        &self,
        rollout: &StoreName,
        window: u64,
        author: &StoreName,
        note: &[u8],
    ) -> Result<()> {
        let object = self.notes_of(rollout, window).join(format!("{author}{NOTE_SUFFIX}"));
        let put = self.store.put(&object, note.to_vec().into()).await;
        put.map(drop).map_err(|cause| store_error(format!("{object} could not be written"), cause))
    }

    async fn notes(&self, rollout: &StoreName, window: u64) -> Result<Vec<(StoreName, Vec<u8>)>> {
        let folder = self.notes_of(rollout, window);
        let listed = self.store.list(Some(&folder));
        let listed = listed.map_err(|cause| store_error(format!("{folder} cannot be listed"), cause));
        let found = listed.map(|object| self.note(object));
        let found: Vec<Option<_>> = found.buffer_unordered(FETCHES).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }
}

fn store_error(what: String, cause: Cause) -> Error {
    let error = match &cause {
        Cause::PermissionDenied { .. } | Cause::Unauthenticated { .. } => Error::PermissionDenied { what },
        Cause::NotSupported { .. } | Cause::NotImplemented { .. } => Error::unsupported(what),
        Cause::InvalidPath { .. } | Cause::UnknownConfigurationKey { .. } => Error::invalid_input(what),
        _ => Error::unavailable(what),
    };
    error.with_source(cause)
}
