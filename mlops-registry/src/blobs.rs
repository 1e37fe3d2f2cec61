//! The bytes of artifacts, by their digest.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use mlops_core::{Artifact, Digest, Error, Result};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};

use crate::off_thread::off_thread;
use crate::store_error::store_error;

#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

impl Blobs {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: &Path) -> Self {
        Self { store, folder: prefix.clone().join("blobs").join("sha256") }
    }

    /// Makes sure that a blob is there, durably and unharmed. It may be there already if `named`: if
    /// a version in the log names it, which proves that it was written to the end.
    pub(crate) async fn put(&self, artifact: &Artifact, bytes: &Bytes, named: bool) -> Result<()> {
        let file = self.file(&artifact.digest);
        if named && self.holds(&file, bytes).await? {
            return Ok(());
        }
        let written = self.store.put(&file, bytes.clone().into()).await;
        written.map_err(|cause| store_error(format!("{file} could not be written"), cause))?;
        tracing::debug!(%file, size = artifact.size, "blob written");
        Ok(())
    }

    /// Reads a blob and proves it; `what` names it in errors. `None` when it is not there.
    pub(crate) async fn read(&self, artifact: &Artifact, what: &str) -> Result<Option<Bytes>> {
        let file = self.file(&artifact.digest);
        let failed = |cause| store_error(format!("{what}, in {file}, cannot be read"), cause);
        let found = match self.store.get(&file).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let size = found.meta.size;
        if size != artifact.size {
            return Err(Error::integrity(format!(
                "{what}, in {file}, has {size} bytes instead of {}",
                artifact.size
            )));
        }
        let bytes = found.bytes().await.map_err(failed)?;
        let (digest, what) = (artifact.digest, format!("{what}, in {file},"));
        off_thread(move || digest.verify(&what, &bytes).map(|()| Some(bytes))).await
    }

    /// The file of a blob. The first two digits make a folder, for file systems that dislike large ones.
    pub(crate) fn file(&self, digest: &Digest) -> Path {
        let hex = digest.hex();
        self.folder.clone().join(&hex[..2]).join(hex)
    }

    /// Whether a blob is there and holds these bytes, to the last one.
    async fn holds(&self, file: &Path, bytes: &Bytes) -> Result<bool> {
        let failed = |cause| store_error(format!("{file} cannot be read"), cause);
        let found = match self.store.get(file).await {
            Err(StoreError::NotFound { .. }) => return Ok(false),
            found => found.map_err(failed)?,
        };
        if found.meta.size != bytes.len() as u64 {
            return Ok(false);
        }
        let (mut chunks, mut rest) = (found.into_stream(), &bytes[..]);
        while let Some(chunk) = chunks.try_next().await.map_err(failed)? {
            match rest.strip_prefix(&chunk[..]) {
                Some(after) => rest = after,
                None => return Ok(false),
            }
        }
        Ok(rest.is_empty())
    }
}

/// The digest and the size of these bytes.
pub(crate) async fn describe(bytes: Bytes) -> Result<Artifact> {
    off_thread(move || Ok(Artifact { digest: Digest::of(&bytes), size: bytes.len() as u64 })).await
}
