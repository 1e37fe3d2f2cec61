//! The numbered documents on the object store.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use mlops_core::{Error, Result};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode};

use crate::document::Document;
use crate::limits;
use crate::store_error::store_error;

#[derive(Debug, Clone)]
pub(crate) struct Log {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

/// What became of an attempt to write a transition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is there, durably.
    Done,
    /// Its number is taken.
    Taken,
}

const DIGITS: usize = 20;
const SUFFIX: &str = ".json";

/// So many transitions are in one folder, so that the last of a hundred thousand is found by listing few.
const FOLDER_SIZE: u64 = 1000;

impl Log {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: &Path) -> Self {
        Self { store, folder: prefix.clone().join("log") }
    }

    /// The file of a transition.
    pub(crate) fn file(&self, sequence: u64) -> Path {
        let folder = format!("{:0DIGITS$}", sequence / FOLDER_SIZE * FOLDER_SIZE);
        self.folder.clone().join(folder).join(format!("{sequence:0DIGITS$}{SUFFIX}"))
    }

    /// Reads one transition; `None` when it is not there.
    pub(crate) async fn read(&self, sequence: u64) -> Result<Option<Document>> {
        let file = self.file(sequence);
        let failed = |cause| store_error(format!("{file} cannot be read"), cause);
        let found = match self.store.get(&file).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        if found.meta.size > limits::MAX_TRANSITION_BYTES as u64 {
            return Err(Error::integrity(format!(
                "{file} has {} bytes; a transition has at most {}",
                found.meta.size,
                limits::MAX_TRANSITION_BYTES
            )));
        }
        let bytes = found.bytes().await.map_err(failed)?;
        Document::decode(file.as_ref(), sequence, &bytes).map(Some)
    }

    /// Writes one transition, unless its number is taken.
    ///
    /// # Errors
    /// Whatever the store says. It may have been written all the same.
    pub(crate) async fn write(&self, sequence: u64, bytes: Vec<u8>) -> Result<Written> {
        let file = self.file(sequence);
        match self.store.put_opts(&file, Bytes::from(bytes).into(), PutMode::Create.into()).await {
            Ok(_) => Ok(Written::Done),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(Written::Taken),
            Err(cause) => {
                let what = format!("{file} could not be written; look whether it was before you try again");
                Err(store_error(what, cause))
            }
        }
    }

    /// The highest number there is; 0 when there is none. Files with other names are none of our business.
    pub(crate) async fn last(&self) -> Result<u64> {
        let failed = |cause| store_error(format!("{} cannot be listed", self.folder), cause);
        let found = self.store.list_with_delimiter(Some(&self.folder)).await.map_err(failed)?;
        let mut folders: Vec<_> = found
            .common_prefixes
            .iter()
            .filter_map(|folder| Some((number(folder.filename()?)?, folder)))
            .collect();
        folders.sort_by_key(|(first, _)| *first);
        // A folder is empty where a writer was killed between making it and filling it.
        for (_, folder) in folders.iter().rev() {
            let highest = |last: u64, file: Option<&str>| {
                last.max(file.and_then(|file| number(file.strip_suffix(SUFFIX)?)).unwrap_or_default())
            };
            let files = self.store.list(Some(folder));
            let last =
                files.try_fold(0, async |last, found| Ok(highest(last, found.location.filename()))).await;
            match last.map_err(failed)? {
                0 => {}
                last => return Ok(last),
            }
        }
        Ok(0)
    }
}

/// The number that a name stands for.
fn number(name: &str) -> Option<u64> {
    let numeric = name.len() == DIGITS && name.bytes().all(|digit| digit.is_ascii_digit());
    if numeric { name.parse().ok() } else { None }
}
