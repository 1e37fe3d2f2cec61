//! Where rollouts are remembered, so that they outlive the process that drives them.

mod file;
mod memory;
mod name;
#[cfg(feature = "object-store")]
mod object;
mod off_thread;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::Result;

pub use file::FileRolloutStore;
pub use memory::MemoryRolloutStore;
pub use name::StoreName;
#[cfg(feature = "object-store")]
#[cfg_attr(docsrs, doc(cfg(feature = "object-store")))]
pub use object::ObjectRolloutStore;

/// Remembers rollouts: for each a log of numbered records, and notes that replicas leave for each other.
///
/// The contract is small enough for anything that can create a thing unless it exists: a folder, a bucket,
/// a table with a unique key.
///
/// * **The log decides.** A record is written at a number that its writer expects to be free, which is a
///   compare-and-set: of several writers at one number exactly one hears [`Appended::Done`]. Numbers count
///   from 1, without gaps as long as writers write the number after the last one that they have read.
/// * **Records are for ever.** What was acknowledged survives a crash, is read by everybody from then on,
///   and never changes. No record is ever seen by halves.
/// * **Notes are not.** An author overwrites his own; readers see the old or the new one, never a mixture.
///
/// ```
/// use mlops_rollout::{Appended, MemoryRolloutStore, RolloutStore, StoreName};
///
/// # futures_util::FutureExt::now_or_never(async {
/// let (store, name) = (MemoryRolloutStore::new(), StoreName::new("fraud-2.0.0")?);
/// assert_eq!(store.append(&name, 1, b"mine").await?, Appended::Done);
/// assert_eq!(store.append(&name, 1, b"yours").await?, Appended::Taken);
/// assert_eq!(store.read(&name, 1).await?.as_deref(), Some(&b"mine"[..]));
/// # Ok::<(), mlops_core::Error>(()) }).unwrap()?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[async_trait]
pub trait RolloutStore: fmt::Debug + Send + Sync + 'static {
    /// Writes the record of that number, unless there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`](mlops_core::Error::Unavailable) and whatever else the store says. The record
    /// may have been written all the same: read before you write again.
    async fn append(&self, rollout: &StoreName, number: u64, record: &[u8]) -> Result<Appended>;

    /// The record of that number; `None` when there is none yet.
    ///
    /// # Errors
    /// Whatever the store says.
    async fn read(&self, rollout: &StoreName, number: u64) -> Result<Option<Vec<u8>>>;

    /// Leaves a note about one window of the rollout, in place of the last that `author` left about it.
    ///
    /// # Errors
    /// Whatever the store says.
    async fn put_note(&self, rollout: &StoreName, window: u64, author: &StoreName, note: &[u8])
    -> Result<()>;

    /// All notes about one window, each with its author, in no particular order.
    ///
    /// # Errors
    /// Whatever the store says.
    async fn notes(&self, rollout: &StoreName, window: u64) -> Result<Vec<(StoreName, Vec<u8>)>>;
}

/// What became of an attempt to [append](RolloutStore::append) a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Appended {
    /// It is there, durably.
    Done,
    /// Its number was taken; nothing was written.
    Taken,
}

#[async_trait]
impl<S: RolloutStore + ?Sized> RolloutStore for Arc<S> {
    async fn append(&self, rollout: &StoreName, number: u64, record: &[u8]) -> Result<Appended> {
        (**self).append(rollout, number, record).await
    }

    async fn read(&self, rollout: &StoreName, number: u64) -> Result<Option<Vec<u8>>> {
        (**self).read(rollout, number).await
    }

    async fn put_note(
        &self,
        rollout: &StoreName,
        window: u64,
        author: &StoreName,
        note: &[u8],
    ) -> Result<()> {
        (**self).put_note(rollout, window, author, note).await
    }

    async fn notes(&self, rollout: &StoreName, window: u64) -> Result<Vec<(StoreName, Vec<u8>)>> {
        (**self).notes(rollout, window).await
    }
}

/// Wide enough for every number, so that names sort as numbers do.
fn record_file(number: u64) -> String {
    format!("{number:020}.json")
}

/// The folder of the notes about one window.
fn window_folder(window: u64) -> String {
    format!("{window:020}")
}

/// Another number whenever it is called, in every process.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

const LOG: &str = "log";
const NOTES: &str = "notes";
const NOTE_SUFFIX: &str = ".json";
