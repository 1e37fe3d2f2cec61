//! The log and its fold, kept in step.

mod events;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use mlops_core::{Clock, Error, Result};
use tokio::sync::{Mutex, watch};

use self::events::Archive;
use crate::checkpoint::{Checkpoint, Checkpoints, Snapshot};
use crate::document::{Change, Document, Transition};
use crate::log::{Log, Written};
use crate::state::State;

/// How many transitions are read at once when there are many to read.
const READ_AHEAD: usize = 32;

/// How often a number that is taken, but not to be read, is tried again before that is an error. Some
/// stores refuse a write for a moment while another one is under way.
const PATIENCE: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// After so many transitions a checkpoint is written.
pub(crate) const CHECKPOINT_INTERVAL: u64 = 1000;

#[derive(Debug)]
pub(crate) struct Journal {
    log: Log,
    checkpoints: Checkpoints,
    state: RwLock<State>,
    /// What this registry knows of the latest checkpoint. Who writes one holds it meanwhile.
    checkpoint: Mutex<Option<Checkpoint>>,
    /// Whether a part of that was found to be harmed.
    doubt: AtomicBool,
    archive: Archive,
    /// The tail of `state`, for those who wait for it to move.
    tail: watch::Sender<u64>,
    /// Writers of this process queue here, so that they compete with other processes only.
    turn: Mutex<()>,
    writer: String,
}

impl Journal {
    /// Reads the latest checkpoint, and the log from there.
    pub(crate) async fn open(log: Log, checkpoints: Checkpoints) -> Result<Self> {
        let (last, useless) = match last_state(&checkpoints).await {
            Ok(last) => (last, false),
            // The log says the same, and more slowly.
            Err(error @ (Error::Integrity { .. } | Error::NotFound { .. } | Error::Unsupported { .. })) => {
                tracing::warn!(%error, "the checkpoint is of no use; the whole log is read instead");
                (None, true)
            }
            Err(error) => return Err(error),
        };
        let (mut state, checkpoint) = last.map_or_else(Default::default, |(state, last)| (state, Some(last)));
        read_on(&log, &mut state).await?;
        let journal = Self::new(log, checkpoints, state, checkpoint);
        journal.doubt.store(useless, Ordering::Relaxed);
        Ok(journal)
    }

    /// A journal that has read the log up to `state`.
    pub(crate) fn new(
        log: Log,
        checkpoints: Checkpoints,
        state: State,
        checkpoint: Option<Checkpoint>,
    ) -> Self {
        Self {
            tail: watch::Sender::new(state.tail()),
            state: RwLock::new(state),
            archive: Archive::new(checkpoint.clone()),
            checkpoint: Mutex::new(checkpoint),
            doubt: AtomicBool::new(false),
            log,
            checkpoints,
            turn: Mutex::default(),
            writer: random_name(),
        }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Asks the state as it is known now.
    pub(crate) fn known<T>(&self, question: impl FnOnce(&State) -> T) -> T {
        question(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the state with everything that was acknowledged before this call, by whatever process.
    pub(crate) async fn current<T>(&self, question: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        self.refresh().await?;
        self.known(question)
    }

    /// Takes in what others have written.
    pub(crate) async fn refresh(&self) -> Result<()> {
        // Where there was one more, there may be many.
        let mut window = 1;
        loop {
            let next = self.known(State::tail) + 1;
            let mut documents = stream::iter(next..next + window)
                .map(|sequence| self.log.read(sequence))
                .buffered(READ_AHEAD);
            while let Some(document) = documents.try_next().await? {
                match document {
                    Some(document) => self.apply(document)?,
                    None => return Ok(()),
                }
            }
            window = (2 * window).min(READ_AHEAD as u64);
        }
    }

    /// Writes the change that `plan` makes of the state; again and again, while others are faster.
    ///
    /// # Errors
    /// Those of `plan`, which is asked anew whenever the state has changed, and those of the store.
    pub(crate) async fn append(
        &self,
        clock: &dyn Clock,
        actor: &str,
        plan: impl Fn(&State) -> Result<Change> + Send + Sync,
    ) -> Result<Transition> {
        let transition = self.append_in_turn(clock, actor, plan).await?;
        let interval = transition.sequence % CHECKPOINT_INTERVAL == 0;
        if interval && let Err(error) = self.write_checkpoint().await {
            // The change itself is there. The next one tries again.
            tracing::warn!(%error, "no checkpoint could be written");
        }
        Ok(transition)
    }

    async fn append_in_turn(
        &self,
        clock: &dyn Clock,
        actor: &str,
        plan: impl Fn(&State) -> Result<Change> + Send + Sync,
    ) -> Result<Transition> {
        let _turn = self.turn.lock().await;
        let mut stalled = 0;
        self.refresh().await?;
        loop {
            let transition = self.known(|state| {
                let now = clock.now();
                Ok::<_, Error>(Transition {
                    sequence: state.tail() + 1,
                    previous: state.position.head,
                    writer: self.writer.clone(),
                    at: state.position.at.map_or(now, |before| before.max(now)),
                    actor: actor.to_owned(),
                    change: plan(state)?,
                })
            })?;
            let sequence = transition.sequence;
            let (document, bytes) = Document::encode(transition)?;
            if self.log.write(sequence, bytes).await? == Written::Taken {
                match self.log.read(sequence).await? {
                    // The store had answered before, but the answer was lost on its way.
                    Some(found) if found.digest == document.digest => {}
                    Some(found) => {
                        tracing::debug!(sequence, "another writer was faster");
                        stalled = 0;
                        self.apply(found)?;
                        self.refresh().await?;
                        continue;
                    }
                    None if stalled < PATIENCE => {
                        stalled += 1;
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    None => {
                        let file = self.log.file(sequence);
                        return Err(Error::integrity(format!("{file} exists, but cannot be read")));
                    }
                }
            }
            let transition = document.transition.clone();
            self.apply(document)?;
            if let Some(event) = transition.event() {
                tracing::debug!(sequence, model = %event.model, actor, change = %event.change, "registry changed");
            }
            return Ok(transition);
        }
    }

    /// Writes a checkpoint of what is known now, unless somebody else has; returns the number of its last
    /// transition, 0 for an empty log.
    pub(crate) async fn write_checkpoint(&self) -> Result<u64> {
        let mut known = self.checkpoint.lock().await;
        let latest = self.look_for_checkpoint(&mut known).await?;
        let archived = known.as_ref().map_or(0, |known| known.sequence);
        let mut written = None;
        if self.doubt.load(Ordering::Relaxed) {
            tracing::warn!("the checkpoint before is of no use; one is made of the whole log");
        } else if self.known(State::tail) > archived {
            let snapshot = self.known(|state| Snapshot::of(state, archived))?;
            match self.checkpoints.write(&snapshot, known.as_ref()).await {
                Err(error @ (Error::Integrity { .. } | Error::NotFound { .. })) => {
                    tracing::warn!(%error, "the checkpoint before is of no use; one is made of the whole log");
                }
                done => written = Some(done?),
            }
        } else if let Some(latest) = latest.filter(|latest| latest.sequence == archived)
            && self.checkpoints.has_files(&latest).await?
        {
            return Ok(archived);
        }
        if written.is_none() {
            let replayed = self.replay().await?;
            if replayed.tail() == 0 {
                return Ok(0);
            }
            written = Some(self.checkpoints.write(&Snapshot::of(&replayed, 0)?, None).await?);
            self.doubt.store(false, Ordering::Relaxed);
            // The log may have grown while it was replayed.
            self.refresh().await?;
        }
        let sequence = written.as_ref().map_or(0, |written| written.sequence);
        self.adopt(&mut known, written);
        Ok(sequence)
    }

    /// Takes the latest checkpoint in; returns it, if it is one of this log.
    async fn look_for_checkpoint(&self, known: &mut Option<Checkpoint>) -> Result<Option<Checkpoint>> {
        let latest = match self.checkpoints.latest().await {
            Ok(Some(latest)) => latest,
            Ok(None) | Err(Error::Integrity { .. } | Error::Unsupported { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if known.as_ref() == Some(&latest) {
            return Ok(Some(latest));
        }
        if latest.sequence > self.known(State::tail) {
            self.refresh().await?;
        }
        match self.log.read(latest.sequence).await {
            Ok(Some(last)) if latest.is_after(&last) && latest.sequence <= self.known(State::tail) => {}
            Ok(_) | Err(Error::Integrity { .. } | Error::Unsupported { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        if latest.sequence >= known.as_ref().map_or(0, |known| known.sequence) {
            self.adopt(known, Some(latest.clone()));
        }
        Ok(Some(latest))
    }

    /// Looks whether there is another checkpoint than the one that is known; whether there was.
    async fn renew_checkpoint(&self) -> Result<bool> {
        let mut known = self.checkpoint.lock().await;
        let before = known.clone();
        self.look_for_checkpoint(&mut known).await?;
        Ok(*known != before)
    }

    /// A file of a checkpoint was harmed: the next one begins anew.
    pub(crate) fn doubt_checkpoint(&self) {
        self.doubt.store(true, Ordering::Relaxed);
    }

    /// The state that the whole log says, whatever a checkpoint says.
    ///
    /// # Errors
    /// The first harm that is found.
    pub(crate) async fn replay(&self) -> Result<State> {
        let mut state = State::default();
        read_on(&self.log, &mut state).await?;
        Ok(state)
    }

    /// Tells when the tail moves.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.tail.subscribe()
    }

    fn adopt(&self, known: &mut Option<Checkpoint>, checkpoint: Option<Checkpoint>) {
        if let Some(checkpoint) = &checkpoint {
            // First the archive, then the state: whoever asks in between finds an event twice, rather than nowhere.
            self.archive.set(checkpoint);
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.archive(checkpoint.sequence);
        }
        *known = checkpoint;
    }

    fn apply(&self, document: Document) -> Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Otherwise another task has read the same document, and was here before.
        if document.transition.sequence > state.tail() {
            apply(&self.log, &mut state, document)?;
            self.tail.send_replace(state.tail());
        }
        Ok(())
    }
}

async fn last_state(checkpoints: &Checkpoints) -> Result<Option<(State, Checkpoint)>> {
    let mut tried = None;
    loop {
        let Some(checkpoint) = checkpoints.latest().await? else { return Ok(None) };
        match checkpoints.state(&checkpoint).await {
            // Perhaps it was replaced and collected just now; then there is another one.
            Err(Error::NotFound { .. }) if tried.as_ref() != Some(&checkpoint) => tried = Some(checkpoint),
            state => return Ok(Some((state?, checkpoint))),
        }
    }
}

/// Makes sure that the transition after which a checkpoint was made is in the log: what would be written after another
/// one would not fit the log.
async fn find_last(log: &Log, state: &State) -> Result<()> {
    let (sequence, head) = (state.tail(), state.position.head);
    let file = log.file(sequence);
    if sequence == 0 {
        return Ok(());
    }
    match log.read(sequence).await? {
        Some(found) if Some(found.digest) == head => Ok(()),
        Some(_) => Err(Error::integrity(format!(
            "{file} is not the transition after which the latest checkpoint was made; one of the two was replaced"
        ))),
        None => Err(Error::integrity(format!("{file} is missing, though a checkpoint was made after it"))),
    }
}

/// Reads the log from `state` to its end.
async fn read_on(log: &Log, state: &mut State) -> Result<()> {
    // A listing may lack what was written last; the transitions after it are looked for one by one, later.
    let (last, found) = futures_util::join!(log.last(), find_last(log, state));
    let last = last?;
    found?;
    let unread = state.tail() + 1..=last;
    let mut documents = stream::iter(unread).map(|sequence| log.read(sequence)).buffered(READ_AHEAD);
    while let Some(document) = documents.try_next().await? {
        let missing = log.file(state.tail() + 1);
        let document = document.ok_or_else(|| {
            Error::integrity(format!("{missing} is missing, though {} is there", log.file(last)))
        })?;
        apply(log, state, document)?;
    }
    Ok(())
}

fn apply(log: &Log, state: &mut State, document: Document) -> Result<()> {
    let file = log.file(document.transition.sequence);
    state.apply(document).map_err(|fault| Error::integrity(format!("{file}: {fault}")))
}

/// 128 random bits as text. They need to differ between writers, and nothing more.
pub(crate) fn random_name() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
