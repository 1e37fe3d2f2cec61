//! The log and its fold, kept in step.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use mlops_core::{Clock, Error, ModelName, Result};
use tokio::sync::{Mutex, watch};

use crate::document::{Change, Document, Transition};
use crate::log::{Log, Written};
use crate::state::State;

/// How many transitions are read at once when a registry is opened.
const READ_AHEAD: usize = 32;

/// How often a number that is taken, but not to be read, is tried again before that is an error. Some
/// stores refuse a write for a moment while another one is under way.
const PATIENCE: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Journal {
    log: Log,
    state: RwLock<State>,
    /// The tail of `state`, for those who wait for it to move.
    tail: watch::Sender<u64>,
    /// Writers of this process queue here, so that they compete with other processes only.
    turn: Mutex<()>,
    writer: String,
}

impl Journal {
    /// Reads the whole log.
    pub(crate) async fn open(log: Log) -> Result<Self> {
        let last = log.last().await?;
        let mut state = State::default();
        {
            let mut documents =
                stream::iter(1..=last).map(|sequence| log.read(sequence)).buffered(READ_AHEAD);
            while let Some(document) = documents.try_next().await? {
                let missing = log.file(state.tail() + 1);
                let document = document.ok_or_else(|| {
                    Error::integrity(format!("{missing} is missing, though {} is there", log.file(last)))
                })?;
                apply(&log, &mut state, document)?;
            }
        }
        Ok(Self::new(log, state))
    }

    /// A journal that has read the log up to `state`.
    pub(crate) fn new(log: Log, state: State) -> Self {
        let tail = watch::Sender::new(state.tail());
        Self { log, state: RwLock::new(state), tail, turn: Mutex::default(), writer: random_name() }
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
        while let Some(document) = self.log.read(self.known(State::tail) + 1).await? {
            self.apply(document)?;
        }
        Ok(())
    }

    /// Writes the change that `plan` makes of the state; again and again, while others are faster.
    ///
    /// # Errors
    /// Those of `plan`, which is asked anew whenever the state has changed, and those of the store.
    pub(crate) async fn append(
        &self,
        clock: &dyn Clock,
        actor: &str,
        model: &ModelName,
        plan: impl Fn(&State) -> Result<Change> + Send + Sync,
    ) -> Result<Transition> {
        let _turn = self.turn.lock().await;
        let mut stalled = 0;
        loop {
            self.refresh().await?;
            let transition = self.known(|state| {
                Ok::<_, Error>(Transition {
                    sequence: state.tail() + 1,
                    previous: state.head(),
                    writer: self.writer.clone(),
                    at: clock.now(),
                    actor: actor.to_owned(),
                    model: model.clone(),
                    change: plan(state)?,
                })
            })?;
            let sequence = transition.sequence;
            let (document, bytes) = Document::encode(transition)?;
            if self.log.write(sequence, bytes).await? == Written::Taken {
                match self.log.read(sequence).await? {
                    // The store had answered before, but the answer was lost on its way.
                    Some(found) if found.digest == document.digest => {}
                    Some(_) => {
                        tracing::debug!(sequence, "another writer was faster");
                        stalled = 0;
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
            tracing::debug!(sequence, %model, actor, change = %transition.event().change, "registry changed");
            return Ok(transition);
        }
    }

    /// Tells when the tail moves.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.tail.subscribe()
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

fn apply(log: &Log, state: &mut State, document: Document) -> Result<()> {
    let file = log.file(document.transition.sequence);
    state.apply(document).map_err(|fault| Error::integrity(format!("{file}: {fault}")))
}

/// 128 random bits as text. They need to differ between writers, and nothing more.
fn random_name() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
