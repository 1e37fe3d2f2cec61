//! Checkpoints: the state at a place in the log, so that opening a registry need not read the log from its
//! beginning.
//!
//! ```text
//! checkpoints/latest.json                    which one is the latest, and the digests of its files
//! checkpoints/0...1000-5f2b....state         the state after transition 1000
//! checkpoints/0...1-0...1000-77c0....events  what history tells of these transitions
//! ```
//!
//! A checkpoint says nothing that the log does not say. One that is missing or harmed costs time, and nothing else.

mod archive;
mod state_file;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join;
use jiff::Timestamp;
use mlops_core::{Artifact, AuditEvent, Digest, Error, Result};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

pub(crate) use self::archive::Segment;
use crate::document::{Document, Sealed, StoredArtifact};
use crate::off_thread::off_thread;
use crate::state::{Position, State};
use crate::store_error::store_error;

#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

/// A checkpoint, but for the content of its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    pub(crate) sequence: u64,
    head: Digest,
    at: Timestamp,
    state: StoredArtifact,
    /// Where the events are, the oldest first, without gaps.
    archive: Vec<ArchiveFile>,
}

/// The events of the transitions `from` to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArchiveFile {
    from: u64,
    to: u64,
    content: StoredArtifact,
}

/// A file of events takes in more until it holds those of so many transitions. So there are few of them, and
/// none is written again and again without end.
const SEGMENT_TRANSITIONS: u64 = 16_384;

const KIND: &str = "checkpoint";

/// Of the sealed pointer.
const MAX_POINTER_BYTES: u64 = 4 << 20;

impl Checkpoints {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: &Path) -> Self {
        Self { store, folder: prefix.clone().join("checkpoints") }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The latest checkpoint; `None` when there is none.
    pub(crate) async fn latest(&self) -> Result<Option<Checkpoint>> {
        let file = self.pointer();
        let failed = |cause| store_error(format!("{file} cannot be read"), cause);
        let found = match self.store.get(&file).await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        if found.meta.size > MAX_POINTER_BYTES {
            return Err(Error::integrity(format!(
                "{file} has {} bytes, which is no {KIND}",
                found.meta.size
            )));
        }
        let bytes = found.bytes().await.map_err(failed)?;
        Checkpoint::decode(file.as_ref(), &bytes).map(Some)
    }

    /// The state of a checkpoint.
    pub(crate) async fn state(&self, checkpoint: &Checkpoint) -> Result<State> {
        let file = self.state_file(checkpoint.sequence, checkpoint.state);
        let bytes = self.load(&file, checkpoint.state).await?;
        let (position, unproven) = (checkpoint.position(), bytes.clone());
        // It is made sense of while its digest is made, and is of no use unless that is right.
        let proof = verify(&file, checkpoint.state, bytes);
        let decoded = off_thread(move || Ok(state_file::decode(position, &unproven)));
        let (proof, decoded) = join(proof, decoded).await;
        proof?;
        decoded?.map_err(|fault| Error::integrity(format!("{file}: {fault}")))
    }

    /// Writes a checkpoint of `state`, which goes on where `before` ended.
    pub(crate) async fn write(&self, state: &Snapshot, before: Option<&Checkpoint>) -> Result<Checkpoint> {
        let Snapshot { position, content, events } = state;
        let (Some(head), Some(at)) = (position.head, position.at) else {
            return Err(Error::internal("a checkpoint of an empty log"));
        };
        let sequence = position.sequence;
        let state = describe(content);
        self.put(&self.state_file(sequence, state), content.clone()).await?;

        let mut archive = before.map_or_else(Vec::new, |before| before.archive.clone());
        let mut from = before.map_or(1, |before| before.sequence + 1);
        let mut lines = Vec::new();
        if let Some(last) = archive.last().copied()
            && last.to - last.from < SEGMENT_TRANSITIONS
        {
            lines.extend_from_slice(&self.read(&self.archive_file(last), last.content).await?);
            from = last.from;
            archive.pop();
        }
        // What nobody has read for long may have gone with a checkpoint that was replaced.
        self.find(archive.iter().map(|file| (self.archive_file(*file), file.content))).await?;
        archive::encode(events, &mut lines)?;
        let lines = Bytes::from(lines);
        let segment = ArchiveFile { from, to: sequence, content: describe(&lines) };
        self.put(&self.archive_file(segment), lines).await?;
        archive.push(segment);

        let checkpoint = Checkpoint { sequence, head, at, state, archive };
        self.put(&self.pointer(), checkpoint.encode()?.into()).await?;
        tracing::debug!(sequence, "checkpoint written");
        Ok(checkpoint)
    }

    /// Whether the files of a checkpoint are there. What is in them shows when they are read.
    pub(crate) async fn has_files(&self, checkpoint: &Checkpoint) -> Result<bool> {
        let state = (self.state_file(checkpoint.sequence, checkpoint.state), checkpoint.state);
        let archive = checkpoint.archive.iter().map(|file| (self.archive_file(*file), file.content));
        match self.find(std::iter::once(state).chain(archive)).await {
            Ok(()) => Ok(true),
            Err(Error::Integrity { .. } | Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn find(&self, files: impl Iterator<Item = (Path, StoredArtifact)>) -> Result<()> {
        for (file, content) in files {
            let found = self.store.head(&file).await;
            let size = found.map_err(|cause| store_error(format!("{file} cannot be read"), cause))?.size;
            check_size(&file, size, content)?;
        }
        Ok(())
    }

    /// The events in a file of a checkpoint.
    pub(crate) async fn segment(&self, file: ArchiveFile) -> Result<Segment> {
        let path = self.archive_file(file);
        let bytes = self.read(&path, file.content).await?;
        let unreadable = move |fault| Error::integrity(format!("{path}: {fault}"));
        off_thread(move || Segment::decode(bytes).map_err(unreadable)).await
    }

    /// Its files, without the pointer.
    pub(crate) fn files(&self, checkpoint: &Checkpoint) -> Vec<Path> {
        let state = self.state_file(checkpoint.sequence, checkpoint.state);
        let archive = checkpoint.archive.iter().map(|file| self.archive_file(*file));
        std::iter::once(state).chain(archive).collect()
    }

    pub(crate) fn pointer(&self) -> Path {
        self.folder.clone().join("latest.json")
    }

    /// Whether that is the name of a file of some checkpoint. Foreign files are none of our business.
    pub(crate) fn owns(&self, file: &Path) -> bool {
        let name =
            file.filename().and_then(|name| name.strip_suffix(".state").or(name.strip_suffix(".events")));
        let hexadecimal = |digit: u8| digit.is_ascii_hexdigit() || digit == b'-';
        *file == self.folder.clone().join(file.filename().unwrap_or_default())
            && name.is_some_and(|name| name.len() > 20 && name.bytes().all(hexadecimal))
    }

    // The digest in the name makes sure that two writers never write different content to one file.
    fn state_file(&self, sequence: u64, content: StoredArtifact) -> Path {
        self.folder.clone().join(format!("{sequence:020}-{}.state", short(&content.digest)))
    }

    fn archive_file(&self, ArchiveFile { from, to, content }: ArchiveFile) -> Path {
        self.folder.clone().join(format!("{from:020}-{to:020}-{}.events", short(&content.digest)))
    }

    async fn put(&self, file: &Path, bytes: Bytes) -> Result<()> {
        let written = self.store.put(file, bytes.into()).await;
        written.map(drop).map_err(|cause| store_error(format!("{file} could not be written"), cause))
    }

    async fn read(&self, file: &Path, content: StoredArtifact) -> Result<Bytes> {
        let bytes = self.load(file, content).await?;
        verify(file, content, bytes.clone()).await.map(|()| bytes)
    }

    /// What is in a file, not proven.
    async fn load(&self, file: &Path, content: StoredArtifact) -> Result<Bytes> {
        let failed = |cause| store_error(format!("{file} cannot be read"), cause);
        let found = self.store.get(file).await.map_err(failed)?;
        check_size(file, found.meta.size, content)?;
        found.bytes().await.map_err(failed)
    }
}

/// A state that is about to be written.
pub(crate) struct Snapshot {
    position: Position,
    content: Bytes,
    events: Vec<AuditEvent>,
}

impl Snapshot {
    /// A snapshot of `state`, with the events after transition `archived`.
    pub(crate) fn of(state: &State, archived: u64) -> Result<Self> {
        let events = state.events().iter().filter(|event| event.sequence > archived);
        Ok(Self {
            position: state.position,
            content: state_file::encode(state)?.into(),
            events: events.cloned().collect(),
        })
    }
}

impl Checkpoint {
    pub(crate) fn position(&self) -> Position {
        Position { sequence: self.sequence, head: Some(self.head), at: Some(self.at) }
    }

    /// Whether it was made after this transition.
    pub(crate) fn is_after(&self, last: &Document) -> bool {
        last.transition.sequence == self.sequence && last.digest == self.head
    }

    /// Its files of events, the oldest first.
    pub(crate) fn archive(&self) -> &[ArchiveFile] {
        &self.archive
    }

    /// The digest of its state.
    pub(crate) fn state_digest(&self) -> Digest {
        self.state.digest
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let unwritable = |cause| Error::internal("a checkpoint cannot be written as JSON").with_source(cause);
        let text = serde_json::value::to_raw_value(self).map_err(unwritable)?;
        serde_json::to_vec(&Sealed::new(&text)).map_err(unwritable)
    }

    pub(crate) fn decode(file: &str, bytes: &[u8]) -> Result<Self> {
        let checkpoint: Self = Sealed::open(file, KIND, bytes)?.content(file, KIND)?;
        let mut last = 0;
        for segment in &checkpoint.archive {
            if segment.from.checked_sub(1) != Some(last) || segment.to < segment.from {
                return Err(Error::integrity(format!(
                    "{file}: its files of events leave a gap after {last}"
                )));
            }
            last = segment.to;
        }
        if last != checkpoint.sequence || last == 0 {
            return Err(Error::integrity(format!("{file}: its events do not end where its state is")));
        }
        Ok(checkpoint)
    }
}

impl ArchiveFile {
    /// Whether it holds an event after transition `sequence`.
    pub(crate) fn reaches_beyond(&self, sequence: u64) -> bool {
        self.to > sequence
    }

    /// Whether that event may be in it.
    pub(crate) fn covers(&self, event: &AuditEvent) -> bool {
        (self.from..=self.to).contains(&event.sequence)
    }

    pub(crate) fn digest(&self) -> Digest {
        self.content.digest
    }
}

/// The digest of the state file that a state would be written to.
pub(crate) fn state_digest(state: &State) -> Result<Digest> {
    Ok(Digest::of(&state_file::encode(state)?))
}

fn check_size(file: &Path, size: u64, content: StoredArtifact) -> Result<()> {
    if size == content.size {
        return Ok(());
    }
    Err(Error::integrity(format!("{file} has {size} bytes instead of {}", content.size)))
}

async fn verify(file: &Path, content: StoredArtifact, bytes: Bytes) -> Result<()> {
    let what = file.to_string();
    off_thread(move || content.digest.verify(&what, &bytes)).await
}

fn describe(bytes: &Bytes) -> StoredArtifact {
    Artifact { digest: Digest::of(bytes), size: bytes.len() as u64 }.into()
}

fn short(digest: &Digest) -> String {
    digest.hex().chars().take(16).collect()
}
