//! What history tells: the events in memory, and those that a checkpoint has put away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mlops_core::{AuditEvent, Digest, Error, ModelName, Result};

use super::Journal;
use crate::checkpoint::{ArchiveFile, Checkpoint, Segment};
use crate::state::State;

/// The archive of the latest checkpoint that is known, and what was read of it.
#[derive(Debug)]
pub(super) struct Archive {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    files: Vec<ArchiveFile>,
    read: HashMap<Digest, Arc<Segment>>,
}

impl Archive {
    pub(super) fn new(checkpoint: Option<Checkpoint>) -> Self {
        let files = checkpoint.map_or_else(Vec::new, |checkpoint| checkpoint.archive().to_vec());
        Self { inner: Mutex::new(Inner { files, read: HashMap::new() }) }
    }

    pub(super) fn set(&self, checkpoint: &Checkpoint) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.files = checkpoint.archive().to_vec();
        let files = inner.files.clone();
        inner.read.retain(|digest, _| files.iter().any(|file| file.digest() == *digest));
    }

    fn files(&self) -> Vec<ArchiveFile> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).files.clone()
    }

    fn read(&self, file: ArchiveFile) -> Option<Arc<Segment>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).read.get(&file.digest()).cloned()
    }

    fn keep(&self, file: ArchiveFile, segment: &Arc<Segment>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.read.insert(file.digest(), Arc::clone(segment));
    }
}

impl Journal {
    /// All events of a model, the oldest first.
    pub(crate) async fn history(&self, model: &ModelName) -> Result<Vec<AuditEvent>> {
        self.current(|state| state.model(model).map(drop)).await?;
        let (recent, archived) = self.known(|state| {
            let events = state.events().iter().filter(|event| event.model == *model);
            (events.cloned().collect::<Vec<_>>(), state.archived())
        });
        let mut events = self.archived(archived, 0, |segment| segment.of_model(model)).await?;
        // Where the archive is of no use, there are others, too.
        events.retain(|event| event.model == *model);
        events.extend(recent);
        Ok(events)
    }

    /// The events after `sequence`, of whatever model, that are known by now; the oldest first.
    pub(crate) async fn events_after(&self, sequence: u64) -> Result<Vec<AuditEvent>> {
        let (recent, archived) = self.known(|state| {
            let events = state.events().iter().filter(|event| event.sequence > sequence);
            (events.cloned().collect::<Vec<_>>(), state.archived())
        });
        let mut events = self.archived(archived, sequence, Segment::all).await?;
        events.retain(|event| event.sequence > sequence);
        events.extend(recent);
        Ok(events)
    }

    /// The events after `after` and up to `archived`, as `pick` takes them from the files; where those are of no use,
    /// all of them from the log.
    async fn archived(
        &self,
        archived: u64,
        after: u64,
        pick: impl Fn(&Segment) -> Result<Vec<AuditEvent>>,
    ) -> Result<Vec<AuditEvent>> {
        if archived <= after {
            return Ok(Vec::new());
        }
        let read = match self.read_archive(archived, after, &pick).await {
            // Where another process has replaced it, it may be gone.
            Err(Error::Integrity { .. } | Error::NotFound { .. }) if self.renew_checkpoint().await? => {
                self.read_archive(archived, after, &pick).await
            }
            read => read,
        };
        match read {
            Err(error @ (Error::Integrity { .. } | Error::NotFound { .. })) => {
                tracing::warn!(%error, "an archive of events is of no use; the log is read instead");
                self.doubt_checkpoint();
                let replayed: State = self.replay().await?;
                let events = replayed.events().iter().filter(|event| event.sequence <= archived);
                Ok(events.cloned().collect())
            }
            events => events,
        }
    }

    async fn read_archive(
        &self,
        archived: u64,
        after: u64,
        pick: impl Fn(&Segment) -> Result<Vec<AuditEvent>>,
    ) -> Result<Vec<AuditEvent>> {
        let mut events = Vec::new();
        for file in self.archive.files().into_iter().filter(|file| file.reaches_beyond(after)) {
            let picked = pick(&*self.segment(file).await?)?;
            events.extend(picked.into_iter().filter(|event| event.sequence <= archived));
        }
        Ok(events)
    }

    async fn segment(&self, file: ArchiveFile) -> Result<Arc<Segment>> {
        if let Some(segment) = self.archive.read(file) {
            return Ok(segment);
        }
        let segment = Arc::new(self.checkpoints.segment(file).await?);
        self.archive.keep(file, &segment);
        Ok(segment)
    }
}
