//! Rollouts that are forgotten with the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mlops_core::Result;

use super::{Appended, RolloutStore, StoreName};

/// Remembers in memory: for tests, and for several controllers within one process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryRolloutStore(Arc<Mutex<BTreeMap<StoreName, Remembered>>>);

#[derive(Debug, Default)]
struct Remembered {
    log: BTreeMap<u64, Vec<u8>>,
    notes: BTreeMap<u64, BTreeMap<StoreName, Vec<u8>>>,
}

impl MemoryRolloutStore {
    /// Nothing remembered yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<StoreName, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RolloutStore for MemoryRolloutStore {
    async fn append(&self, rollout: &StoreName, number: u64, record: &[u8]) -> Result<Appended> {
        let mut all = self.all();
        let log = &mut all.entry(rollout.clone()).or_default().log;
        if log.contains_key(&number) {
            return Ok(Appended::Taken);
        }
        log.insert(number, record.to_vec());
        Ok(Appended::Done)
    }

    async fn read(&self, rollout: &StoreName, number: u64) -> Result<Option<Vec<u8>>> {
        Ok(self.all().get(rollout).and_then(|remembered| remembered.log.get(&number).cloned()))
    }

    async fn put_note(
        &self,
        rollout: &StoreName,
        window: u64,
        author: &StoreName,
        note: &[u8],
    ) -> Result<()> {
        let mut all = self.all();
        let notes = &mut all.entry(rollout.clone()).or_default().notes;
        notes.entry(window).or_default().insert(author.clone(), note.to_vec());
        Ok(())
    }

    async fn notes(&self, rollout: &StoreName, window: u64) -> Result<Vec<(StoreName, Vec<u8>)>> {
        let all = self.all();
        let notes = all.get(rollout).and_then(|remembered| remembered.notes.get(&window));
        Ok(notes.into_iter().flatten().map(|(author, note)| (author.clone(), note.clone())).collect())
    }
}
