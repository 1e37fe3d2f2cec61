//! The proof that nothing was lost or changed.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::{StreamExt, TryStreamExt, stream};
use mlops_core::{Artifact, AuditEvent, Digest, Error, Result};
use object_store::path::Path;

use crate::ObjectStoreRegistry;
use crate::checkpoint::{Checkpoint, state_digest};
use crate::state::State;

/// What a registry was found to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// How many transitions the log has.
    pub transitions: u64,
    /// The digest of the last one, in which those of all the others are contained; `None` when there is none, or the log
    /// is harmed before it. For [`verify_since`](ObjectStoreRegistry::verify_since), later.
    pub head: Option<Digest>,
    /// How many versions there are.
    pub versions: u64,
    /// How many blobs they and the runs name.
    pub blobs: u64,
    /// How many bytes those have.
    pub bytes: u64,
    /// Everything that is not as it should be; empty when all is well.
    pub faults: Vec<Fault>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file it is in.
    pub file: String,
    /// What is wrong.
    pub what: String,
}

/// A blob that is named: what it should hold, in which generation, and a name for people.
type Named = (Artifact, u64, String);

/// When so many transitions in a row are missing, what comes after them is not looked at any more: a foreign file can
/// have any number.
const LONGEST_GAP: u64 = 1000;

/// How many files are read at once.
const READ_AHEAD: usize = 16;
const BLOBS_AHEAD: usize = 2;

impl Verification {
    /// Whether nothing was lost or changed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, file: impl fmt::Display, what: impl fmt::Display) {
        self.faults.push(Fault { file: file.to_string(), what: what.to_string() });
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

impl ObjectStoreRegistry {
    /// Reads everything, and proves it: that the log is a chain without gaps that leads to the state this registry
    /// knows, that checkpoints say what the log says, that each blob has its digest, and that signatures are right.
    ///
    /// It may run at any time, beside writers and collectors. A checkpoint that it finds harmed is not built upon by this
    /// registry any more: the [next one](Self::checkpoint) is made of the log.
    ///
    /// # Errors
    /// Those of the store. What is wrong with the registry is no error, but in the answer.
    pub async fn verify(&self) -> Result<Verification> {
        self.verify_log(None).await
    }

    /// Proves the same, and that the log still holds what it held when its [`head`](Self::head) was this: nobody who
    /// can write to the store has rewritten history since.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn verify_since(&self, sequence: u64, digest: Digest) -> Result<Verification> {
        self.verify_log(Some((sequence, digest))).await
    }

    async fn verify_log(&self, anchor: Option<(u64, Digest)>) -> Result<Verification> {
        let mut found = Verification::default();
        self.look_for_more().await?;
        let known = self.journal().known(|state| state.position);
        let mut anchors: Vec<_> = anchor.into_iter().collect();
        anchors.extend(known.head.map(|head| (known.sequence, head)));
        let checkpoint = match self.journal().checkpoints().latest().await {
            Err(error @ (Error::Integrity { .. } | Error::Unsupported { .. })) => {
                found.fault(self.journal().checkpoints().pointer(), error);
                None
            }
            checkpoint => checkpoint?,
        };
        let (state, whole) = self.fold(&anchors, checkpoint.as_ref(), &mut found).await?;
        if let Some(checkpoint) = &checkpoint {
            self.verify_files(checkpoint, &state, &mut found).await?;
        }
        let folder = self.journal().checkpoints().folder().to_string();
        if found.faults.iter().any(|fault| fault.file.starts_with(&folder)) {
            self.journal().doubt_checkpoint();
        }
        found.head = state.position.head.filter(|_| whole);
        // Of a log that is harmed, what was known before counts.
        let known = if whole { None } else { self.journal().known(blobs_of).ok() };
        let (versions, blobs) = known.map_or_else(|| blobs_of(&state), Ok)?;
        found.versions = versions;
        #[cfg(feature = "sign")]
        verify_signatures(&state, &mut found)?;
        self.verify_blobs(blobs, &mut found).await?;
        Ok(found)
    }

    /// Takes in what others have written, as far as the log is unharmed.
    async fn look_for_more(&self) -> Result<()> {
        match self.journal().refresh().await {
            Err(Error::Integrity { .. } | Error::Unsupported { .. }) => Ok(()),
            refreshed => refreshed,
        }
    }

    /// Folds the log as far as it is unharmed, and looks at all of it; whether all of it is.
    async fn fold(
        &self,
        anchors: &[(u64, Digest)],
        checkpoint: Option<&Checkpoint>,
        found: &mut Verification,
    ) -> Result<(State, bool)> {
        let log = self.journal().log();
        let mut last = log.last().await?;
        for (sequence, _) in anchors {
            // A listing may lack what was written last.
            if *sequence > last && matches!(log.read(*sequence).await, Ok(None)) {
                found.fault(log.file(*sequence), "it is missing, and was there before");
            } else {
                last = last.max(*sequence);
            }
        }
        found.transitions = last;
        let (mut state, mut whole, mut missing) = (State::default(), true, 0);
        let reads =
            stream::iter(1..=last).map(|sequence| async move { (sequence, log.read(sequence).await) });
        let mut reads = reads.buffered(READ_AHEAD);
        while let Some((sequence, read)) = reads.next().await {
            let file = log.file(sequence);
            let document = match read {
                Ok(Some(document)) => document,
                Ok(None) => {
                    (whole, missing) = (false, missing + 1);
                    found.fault(file, "it is missing");
                    if missing < LONGEST_GAP {
                        continue;
                    }
                    let what = format!("so are perhaps others, up to {}", log.file(last));
                    found.fault(log.file(sequence + 1), what);
                    break;
                }
                Err(error @ (Error::Integrity { .. } | Error::Unsupported { .. })) => {
                    whole = false;
                    found.fault(file, error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            missing = 0;
            for (_, expected) in anchors.iter().filter(|(anchor, _)| *anchor == sequence) {
                if document.digest != *expected {
                    found.fault(
                        &file,
                        format!("its digest was {expected} before, and is {}", document.digest),
                    );
                }
            }
            if whole && let Err(what) = state.apply(document) {
                whole = false;
                found.fault(&file, what);
            }
            if whole && let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.sequence == sequence)
            {
                let same = state_digest(&state)? == checkpoint.state_digest()
                    && state.position == checkpoint.position();
                if !same {
                    let pointer = self.journal().checkpoints().pointer();
                    found.fault(
                        pointer,
                        format!("the checkpoint says something else than the log up to {sequence}"),
                    );
                }
            }
        }
        Ok((state, whole))
    }

    /// Whether the files of a checkpoint are what they should be.
    async fn verify_files(
        &self,
        checkpoint: &Checkpoint,
        state: &State,
        found: &mut Verification,
    ) -> Result<()> {
        let checkpoints = self.journal().checkpoints();
        match self.read_files(checkpoint).await {
            Ok(archived) => {
                let said = state.events().iter().filter(|event| event.sequence <= checkpoint.sequence);
                if state.tail() >= checkpoint.sequence && !said.eq(archived.iter()) {
                    let what = "its files of events say something else than the log";
                    found.fault(checkpoints.pointer(), what);
                }
            }
            Err((file, error @ (Error::Integrity { .. } | Error::NotFound { .. }))) => {
                // Was it replaced, and were its files collected, since it was read?
                let latest = checkpoints.latest().await;
                if latest.is_ok_and(|latest| latest.as_ref() == Some(checkpoint)) {
                    found.fault(file, error);
                }
            }
            Err((_, error)) => return Err(error),
        }
        Ok(())
    }

    /// The events of a checkpoint, whose state is read, too; or which file is harmed.
    async fn read_files(&self, checkpoint: &Checkpoint) -> Result<Vec<AuditEvent>, (Path, Error)> {
        let checkpoints = self.journal().checkpoints();
        let files = checkpoints.files(checkpoint);
        let mut archived = Vec::new();
        let state = checkpoints.state(checkpoint).await;
        state.map_err(|error| (files[0].clone(), error))?;
        for (file, name) in checkpoint.archive().iter().zip(&files[1..]) {
            let events = checkpoints.segment(*file).await.and_then(|segment| segment.all());
            let events = events.map_err(|error| (name.clone(), error))?;
            if let Some(event) = events.iter().find(|event| !file.covers(event)) {
                let what = format!("transition {} does not belong there", event.sequence);
                return Err((name.clone(), Error::integrity(what)));
            }
            archived.extend(events);
        }
        Ok(archived)
    }

    async fn verify_blobs(&self, blobs: BTreeMap<Digest, Named>, found: &mut Verification) -> Result<()> {
        let checks = blobs.into_iter().map(async |(digest, named)| (digest, self.verify_blob(named).await));
        let mut checks = stream::iter(checks).buffer_unordered(BLOBS_AHEAD);
        while let Some((digest, checked)) = checks.next().await {
            let (mut artifact, mut generation, mut proof) = checked?;
            if proof.is_err() {
                // Was it collected since, and perhaps written anew?
                self.look_for_more().await?;
                match self.journal().known(blobs_of).map(|(_, mut named)| named.remove(&digest)) {
                    Ok(Some(named)) if named.1 != generation => {
                        (artifact, generation, proof) = self.verify_blob(named).await?;
                    }
                    Ok(None) => continue,
                    _ => {}
                }
            }
            found.blobs += 1;
            found.bytes += artifact.size;
            if let Err(error) = proof {
                found.fault(self.blobs().file(&digest, generation), error);
            }
        }
        found.faults.sort_by(|one, other| one.file.cmp(&other.file));
        Ok(())
    }

    /// Reads a blob; whether it is what it should be.
    async fn verify_blob(&self, (artifact, generation, what): Named) -> Result<(Artifact, u64, Result<()>)> {
        let proof = async {
            match self.blobs().stream(artifact, generation, &what).await? {
                Some(stream) => stream.try_for_each(async |_| Ok(())).await,
                None => Err(Error::integrity(format!("{what} should be there, and is missing"))),
            }
        };
        match proof.await {
            // It may have gone between two pieces.
            proof @ (Ok(()) | Err(Error::Integrity { .. } | Error::NotFound { .. })) => {
                Ok((artifact, generation, proof))
            }
            Err(error) => Err(error),
        }
    }
}

/// How many versions there are; and the blobs that they and the runs name, with their generations and a name for people.
fn blobs_of(state: &State) -> Result<(u64, BTreeMap<Digest, Named>)> {
    let (mut versions, mut blobs) = (0, BTreeMap::new());
    let mut add = |artifact: Artifact, what: String| {
        let generation = state.blobs.entry(&artifact.digest).generation;
        blobs.entry(artifact.digest).or_insert((artifact, generation, what));
    };
    for (name, model) in &state.models {
        for number in model.numbers() {
            versions += 1;
            let version = model.version(name, number)?;
            for (artifact, described) in &version.artifacts {
                add(*described, format!("the artifact `{artifact}` of {}", version.id));
            }
        }
    }
    for run in state.runs.all().map(|stored| &stored.run) {
        for (artifact, described) in &run.artifacts {
            add(*described, format!("the artifact `{artifact}` of {}", run.id));
        }
    }
    Ok((versions, blobs))
}

#[cfg(feature = "sign")]
fn verify_signatures(state: &State, found: &mut Verification) -> Result<()> {
    for (name, model) in &state.models {
        for (number, record) in model.records() {
            let stored = record.read()?;
            for signature in &stored.amendments.signatures {
                if let Err(what) = signature.verify(name, stored.document()) {
                    found.fault(format!("{name} {number}"), what);
                }
            }
        }
    }
    Ok(())
}
