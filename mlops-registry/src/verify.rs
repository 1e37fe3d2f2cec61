//! The proof that nothing was lost or changed.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::{StreamExt, TryStreamExt, stream};
use mlops_core::{Artifact, AuditEvent, Digest, Error, Result};

use crate::ObjectStoreRegistry;
use crate::checkpoint::{Checkpoint, state_digest};
use crate::state::State;

/// What a registry was found to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// How many transitions the log has.
    pub transitions: u64,
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
        match self.journal().refresh().await {
            Err(Error::Integrity { .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
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
        let state = self.fold(&anchors, checkpoint.as_ref(), &mut found).await?;
        if let Some(checkpoint) = &checkpoint {
            self.verify_files(checkpoint, &state, &mut found).await?;
        }
        // Of a log that is harmed, what was known before counts.
        let needed = if found.faults.is_empty() { needed(&state) } else { self.journal().known(needed) };
        let (versions, blobs) = needed?;
        found.versions = versions;
        #[cfg(feature = "sign")]
        verify_signatures(&state, &mut found)?;
        self.verify_blobs(blobs, &mut found).await?;
        Ok(found)
    }

    /// Folds the log as far as it is unharmed, and looks at all of it.
    async fn fold(
        &self,
        anchors: &[(u64, Digest)],
        checkpoint: Option<&Checkpoint>,
        found: &mut Verification,
    ) -> Result<State> {
        let log = self.journal().log();
        let last = log.last().await?;
        found.transitions = last;
        for (sequence, _) in anchors.iter().filter(|(sequence, _)| *sequence > last) {
            found.fault(log.file(*sequence), "it is missing, and was there before");
        }
        let (mut state, mut whole) = (State::default(), true);
        let reads =
            stream::iter(1..=last).map(|sequence| async move { (sequence, log.read(sequence).await) });
        let mut reads = reads.buffered(READ_AHEAD);
        while let Some((sequence, read)) = reads.next().await {
            let file = log.file(sequence);
            let document = match read {
                Ok(Some(document)) => document,
                Ok(None) => {
                    whole = false;
                    found.fault(file, "it is missing");
                    continue;
                }
                Err(error @ (Error::Integrity { .. } | Error::Unsupported { .. })) => {
                    whole = false;
                    found.fault(file, error);
                    continue;
                }
                Err(error) => return Err(error),
            };
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
        Ok(state)
    }

    /// Whether the files of a checkpoint are what they should be.
    async fn verify_files(
        &self,
        checkpoint: &Checkpoint,
        state: &State,
        found: &mut Verification,
    ) -> Result<()> {
        let checkpoints = self.journal().checkpoints();
        let files = checkpoints.files(checkpoint);
        match checkpoints.state(checkpoint).await {
            Err(error @ (Error::Integrity { .. } | Error::NotFound { .. })) => found.fault(&files[0], error),
            read => drop(read?),
        }
        let mut archived: Vec<AuditEvent> = Vec::new();
        for (file, name) in checkpoint.archive().iter().zip(&files[1..]) {
            match checkpoints.segment(*file).await.and_then(|segment| segment.all()) {
                Ok(events) => archived.extend(events),
                Err(error @ (Error::Integrity { .. } | Error::NotFound { .. })) => {
                    found.fault(name, error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let said = state.events().iter().filter(|event| event.sequence <= checkpoint.sequence);
        if state.tail() >= checkpoint.sequence && !said.eq(archived.iter()) {
            found.fault(checkpoints.pointer(), "its files of events say something else than the log");
        }
        Ok(())
    }

    async fn verify_blobs(&self, blobs: Vec<Needed>, found: &mut Verification) -> Result<()> {
        let checks = blobs.into_iter().map(|Needed { artifact, generation, what }| async move {
            let file = self.blobs().file(&artifact.digest, generation);
            let proof = async {
                match self.blobs().stream(artifact, generation, &what).await? {
                    Some(stream) => stream.try_for_each(async |_| Ok(())).await,
                    None => Err(Error::integrity(format!("{what} should be there, and is missing"))),
                }
            };
            (file, artifact, proof.await)
        });
        let mut checks = stream::iter(checks).buffer_unordered(BLOBS_AHEAD);
        while let Some((file, artifact, proof)) = checks.next().await {
            found.blobs += 1;
            found.bytes += artifact.size;
            match proof {
                Err(error @ Error::Integrity { .. }) => found.fault(file, error),
                proof => proof?,
            }
        }
        found.faults.sort_by(|one, other| one.file.cmp(&other.file));
        Ok(())
    }
}

/// A blob that must be there.
struct Needed {
    artifact: Artifact,
    generation: u64,
    /// A name for people.
    what: String,
}

/// How many versions there are, and the blobs that they and the runs name.
fn needed(state: &State) -> Result<(u64, Vec<Needed>)> {
    let (mut versions, mut blobs) = (0, BTreeMap::new());
    let mut add = |artifact: Artifact, what: String| {
        let generation = state.blobs.entry(&artifact.digest).generation;
        blobs.entry(artifact.digest).or_insert(Needed { artifact, generation, what });
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
    Ok((versions, blobs.into_values().collect()))
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
