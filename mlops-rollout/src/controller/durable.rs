//! The controller that outlives its process and has others beside it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use mlops_core::{Error, Result};

use super::audit::Audit;
use super::events::Transitions;
use super::every;
use super::journal::{Change, Journal, Record, View};
use super::mechanism::Mechanism;
use super::rollout::Rollout;
use super::sharing::{EvidenceSource, EvidenceWindow, SharedEvidence};
use super::state::{Effect, Event, Next, State};
use crate::store::random;
use crate::{Appended, EvidenceSnapshot, RolloutStore, StoreName};

/// So often somebody else may be quicker before a command is given back.
const ATTEMPTS: usize = 16;

/// Carries a plan through in one or several replicas of a service, and through their crashes. Made by
/// [`Controller::durable`](crate::Controller::durable).
///
/// **The store decides.** Every transition is written there before its effects, at a number that must be
/// free, so of several replicas that want to move exactly one does. The others read what it wrote and set
/// the same shares, each at its next [`tick`](Self::tick) or [`follow`](Self::follow): all agree within the
/// interval of [`run`](Self::run).
///
/// **A crash costs little.** A controller that starts reads the log, makes the shares fit, and goes on
/// where the rollout was. Whatever was acknowledged has happened; effects are made to fit again and again
/// and cannot be lost.
///
/// **Evidence adds up.** All replicas judge by what all have seen since the shares last changed, the dead
/// ones included, as of each one's last look: [`EvidenceSource`] says how, and how to have it otherwise.
/// Evidence of a replica that does not know yet of the last change does not count.
///
/// **Bake times never shrink.** What counts is time that a replica has watched, on its monotonic clock,
/// since the last record. The clocks on the walls date the records and decide nothing, wherever they jump:
/// after a restart nobody can tell a jump ahead from a long night. So while no replica runs, a bake stands
/// still; and as time is recorded ten times in a bake, a restart of all prolongs it by a tenth at most.
///
/// **While the store is away** nothing moves, but for the worst: a replica whose own evidence fails the
/// candidate, once too often for the plan, takes the candidate's traffic away from itself at once, and the
/// rollback is recorded when the store is back.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::Variant;
/// use mlops_rollout::{Controller, Evidence, FileRolloutStore, Plan, State, Step, TrafficSplit};
///
/// # futures_util::FutureExt::now_or_never(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// let controller = |split: &TrafficSplit| {
///     let plan = Plan::new([Step::new(0.05), Step::new(0.5)])?;
///     let controller = Controller::new(plan, split.clone(), Variant::new("candidate")?, Arc::new(Evidence::new()))?;
///     controller.durable(FileRolloutStore::new(folder), "fraud-2.0.0")
/// };
/// let split = || Ok::<_, mlops_core::Error>(TrafficSplit::new(Variant::new("stable")?, [Variant::new("candidate")?]));
///
/// let (here, there) = (split()?, split()?);
/// let (one, other) = (controller(&here)?, controller(&there)?);
/// one.tick().await?; // begins the rollout
/// other.tick().await?; // finds it begun
/// assert_eq!(there.share(&Variant::new("candidate")?), Some(0.05));
///
/// one.abort("a complaint").await?;
/// assert!(matches!(other.tick().await?, State::RolledBack { .. }));
/// assert_eq!(other.audit().len(), 2);
/// # Ok::<(), mlops_core::Error>(()) }).unwrap()?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub struct DurableController {
    mechanism: Mechanism,
    journal: Journal,
    replica: StoreName,
    source: Box<dyn EvidenceSource>,
    shares_by_store: bool,
    /// Who moves or reads.
    turn: tokio::sync::Mutex<()>,
    progress: Mutex<Progress>,
}

struct Progress {
    view: View,
    /// Whether the log has been read; what it held before is no news.
    opened: bool,
    status: String,
}

impl DurableController {
    pub(super) fn new(mechanism: Mechanism, store: Arc<dyn RolloutStore>, name: StoreName) -> Result<Self> {
        mechanism.check()?;
        let journal = Journal { store, name };
        let replica = incarnation("replica")?;
        let progress = Progress {
            view: View::new(mechanism.clock.instant()),
            opened: false,
            status: "the log of the rollout has not been read".to_owned(),
        };
        Ok(Self {
            source: Box::new(SharedEvidence::new(journal.clone(), replica.clone())),
            mechanism,
            journal,
            replica,
            shares_by_store: true,
            turn: tokio::sync::Mutex::new(()),
            progress: Mutex::new(progress),
        })
    }

    /// Names this replica in the audit. Process id and a random number are added, for no two that ever
    /// run may have the same name.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is no [`StoreName`] of up to 90 characters.
    pub fn with_replica(mut self, name: &str) -> Result<Self> {
        self.replica = incarnation(name)?;
        if self.shares_by_store {
            self.source = Box::new(SharedEvidence::new(self.journal.clone(), self.replica.clone()));
        }
        Ok(self)
    }

    /// Judges by what `source` says that all replicas have seen, not by what they leave in the store.
    #[must_use]
    pub fn with_evidence_source(mut self, source: impl EvidenceSource) -> Self {
        (self.source, self.shares_by_store) = (Box::new(source), false);
        self
    }

    /// Reads what others have decided, then looks at the evidence and moves if it is time. The first tick
    /// of the first replica begins the rollout.
    ///
    /// # Errors
    /// Those of the store and of the source of evidence: the log then says whether the rollout has moved,
    /// and the next tick reads it. [`Error::Conflict`] when the store knows a rollout of this name with
    /// another plan or other variants; [`Error::Integrity`] when its records make no sense; those of
    /// [`TrafficSplit::set`](crate::TrafficSplit::set), after which the next tick sets the shares again.
    pub async fn tick(&self) -> Result<State> {
        self.apply(|_| Event::Tick).await
    }

    /// [`Controller::promote`](crate::Controller::promote), for all replicas.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick); [`Error::Conflict`] when others were quicker again and again.
    pub async fn promote(&self) -> Result<State> {
        self.apply(|_| Event::Promote).await
    }

    /// [`Controller::skip`](crate::Controller::skip), for all replicas. It is meant for the step that this
    /// replica knows of: if the rollout has moved on, nothing happens.
    ///
    /// # Errors
    /// Those of [`promote`](Self::promote).
    pub async fn skip(&self) -> Result<State> {
        self.apply(|state| Event::Skip { step: state.step().unwrap_or(0) }).await
    }

    /// [`Controller::approve`](crate::Controller::approve), for all replicas. It is meant for the step that
    /// this replica knows of: if the rollout has moved on, nothing happens.
    ///
    /// # Errors
    /// Those of [`promote`](Self::promote).
    pub async fn approve(&self) -> Result<State> {
        self.apply(|state| Event::Approve { step: state.step().unwrap_or(0) }).await
    }

    /// [`Controller::pause`](crate::Controller::pause), for all replicas.
    ///
    /// # Errors
    /// Those of [`promote`](Self::promote).
    pub async fn pause(&self) -> Result<State> {
        self.apply(|_| Event::Pause).await
    }

    /// [`Controller::resume`](crate::Controller::resume), for all replicas.
    ///
    /// # Errors
    /// Those of [`promote`](Self::promote).
    pub async fn resume(&self) -> Result<State> {
        self.apply(|_| Event::Resume).await
    }

    /// Rolls the candidate back now: in this replica before the store has answered, in the others when they
    /// read of it.
    ///
    /// # Errors
    /// Those of [`promote`](Self::promote). Then the abort may not be recorded, and a later tick may give
    /// the candidate its traffic again: say it once more.
    pub async fn abort(&self, reason: impl Into<String>) -> Result<State> {
        let goes_on = {
            let progress = self.progress();
            progress.opened && !progress.view.state.is_final()
        };
        if goes_on {
            self.mechanism.carry_out([Effect::RollBack])?;
        }
        let reason = reason.into();
        self.apply(|_| Event::Abort { reason }).await
    }

    /// Reads what others have decided and sets the shares, without deciding anything: for a replica that
    /// only obeys.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub async fn follow(&self) -> Result<State> {
        let _turn = self.turn.lock().await;
        self.catch_up().await?;
        if self.progress().view.number > 0 {
            self.settle()?;
        }
        Ok(self.state())
    }

    /// Ticks every `interval` until the candidate is promoted or rolled back, and what is to be done
    /// [on promotion](crate::Controller::on_promotion) is done. A store that is away for a while is waited
    /// for. Dropping the future stops the ticking and nothing else.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick) that are not [retryable](Error::is_retryable).
    pub async fn run(&self, interval: Duration) -> Result<State> {
        let mut ticks = every(interval);
        loop {
            ticks.tick().await;
            match self.look().await {
                Ok(Some(state)) => return Ok(state),
                Ok(None) => {}
                Err(error) if error.is_retryable() => {
                    tracing::warn!(rollout = self.mechanism.name, %error, "the rollout could not be looked at");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The state, once nothing is left to do.
    async fn look(&self) -> Result<Option<State>> {
        let state = self.tick().await?;
        Ok((state.is_final() && self.announce().await?).then_some(state))
    }

    /// Does what is to be done [on promotion](crate::Controller::on_promotion), if it is time and no
    /// replica has recorded that it is done. Says whether nothing is left to do: `false` before the
    /// promotion and after a failure.
    ///
    /// # Errors
    /// Those of the store. It may have been done then, and will be again.
    pub async fn announce(&self) -> Result<bool> {
        let _turn = self.turn.lock().await;
        self.catch_up().await?;
        let promotion = {
            let progress = self.progress();
            match &progress.view.state {
                State::Promoted if progress.view.audit.announced.is_none() => {
                    progress.view.audit.last().cloned()
                }
                state => return Ok(state.is_final()),
            }
        };
        if self.mechanism.on_promotion.is_none() {
            return Ok(true);
        }
        if self.mechanism.announce(promotion).await.is_none() {
            return Ok(false);
        }
        while self.announced().is_none() {
            if self.append(Change::Announced).await? == Appended::Taken {
                self.catch_up().await?;
            }
        }
        Ok(true)
    }

    /// Where the rollout stands, as of the last look at the log.
    #[must_use]
    pub fn state(&self) -> State {
        self.progress().view.state.clone()
    }

    /// Why it moved there, or what it waits for, as of the last tick.
    #[must_use]
    pub fn status(&self) -> String {
        self.progress().status.clone()
    }

    /// Every change of state so far, by all replicas, as of the last look at the log.
    /// [`Audit::read`] reads it without a controller.
    #[must_use]
    pub fn audit(&self) -> Audit {
        self.progress().view.audit.clone()
    }

    /// When a replica had done what is to be done on promotion.
    #[must_use]
    pub fn announced(&self) -> Option<Timestamp> {
        self.progress().view.audit.announced
    }

    /// Every change of state from now on, by all replicas, as [`Controller::subscribe`] gives them; what
    /// happened before this replica first read the log is no news.
    ///
    /// [`Controller::subscribe`]: crate::Controller::subscribe
    #[must_use]
    pub fn subscribe(&self) -> Transitions {
        self.mechanism.announcer.subscribe()
    }

    /// The plan and the variants it is about.
    #[must_use]
    pub fn rollout(&self) -> &Rollout {
        &self.mechanism.rollout
    }

    /// The name of this replica in the audit.
    #[must_use]
    pub fn replica(&self) -> &StoreName {
        &self.replica
    }

    async fn apply(&self, event: impl FnOnce(&State) -> Event) -> Result<State> {
        let _turn = self.turn.lock().await;
        if !self.progress().opened {
            self.catch_up().await?;
        }
        let event = event(&self.state());
        for _ in 0..ATTEMPTS {
            match self.attempt(&event).await {
                Ok(Appended::Done) => return Ok(self.state()),
                Ok(Appended::Taken) => {}
                Err(error) => {
                    self.brake(&event);
                    return Err(error);
                }
            }
        }
        match event {
            Event::Tick => Ok(self.state()),
            _ => Err(Error::conflict(format!(
                "others have moved the rollout `{}` {ATTEMPTS} times meanwhile; look and say it again",
                self.journal.name
            ))),
        }
    }

    /// [`Appended::Taken`] when somebody else was quicker and it is to be thought over.
    async fn attempt(&self, event: &Event) -> Result<Appended> {
        self.catch_up().await?;
        let rollout = &self.mechanism.rollout;
        let (number, state) = {
            let progress = self.progress();
            (progress.view.number, progress.view.state.clone())
        };
        if number == 0 {
            let plan = Box::new(rollout.plan().clone());
            let (stable, candidate) = (rollout.stable().clone(), rollout.candidate().clone());
            self.append(Change::Begun { plan, stable, candidate }).await?;
            return Ok(Appended::Taken);
        }
        let evidence = match event {
            // Nothing may stand in the way of those who have seen enough.
            Event::Abort { .. } => self.own(&state),
            _ => self.collect(&state).await?,
        };
        let now = self.elapsed();
        let Next { state: to, effects, reason } = rollout.decide(&state, event, &evidence, now);
        self.progress().status.clone_from(&reason);
        let change = if to != state {
            let window = effects.contains(&Effect::BeginWindow);
            Change::Moved { on: event.clone(), from: state, to, reason, evidence, window }
        } else if self.progress().view.is_due(rollout.plan(), now) {
            Change::Watched
        } else {
            self.settle()?;
            return Ok(Appended::Done);
        };
        let appended = self.append_at(now, change).await?;
        if appended == Appended::Done {
            self.settle()?;
        }
        Ok(appended)
    }

    /// Takes the candidate's traffic away here, when that is what this replica would decide by itself and
    /// cannot record.
    fn brake(&self, event: &Event) {
        let state = self.state();
        if state.is_final() {
            return;
        }
        let event = match event {
            Event::Abort { .. } => event,
            // Moves nobody up, and gives nobody up for want of evidence.
            _ => &Event::Resume,
        };
        let next = self.mechanism.rollout.decide(&state, event, &self.own(&state), self.elapsed());
        let State::RolledBack { reason } = next.state else { return };
        let rollout = self.mechanism.name.as_str();
        match self.mechanism.carry_out([Effect::RollBack]) {
            Ok(()) => tracing::error!(
                rollout,
                reason,
                "the candidate has no traffic here; its rollback could not be recorded yet"
            ),
            Err(error) => tracing::error!(rollout, reason, %error, "the candidate could not be rolled back"),
        }
    }

    async fn collect(&self, state: &State) -> Result<EvidenceSnapshot> {
        if state.step().is_none() {
            return Ok(EvidenceSnapshot::new());
        }
        let mut evidence = self.own(state);
        let (number, began) = self.progress().view.window;
        let window = EvidenceWindow { rollout: self.journal.name.clone(), number, began };
        evidence.current = self.source.collect(&window, evidence.current).await?;
        Ok(evidence)
    }

    /// What was seen here in this window, and by all in the one before.
    fn own(&self, state: &State) -> EvidenceSnapshot {
        let mut evidence = self.mechanism.seen(state);
        evidence.previous.clone_from(&self.progress().view.previous);
        evidence
    }

    async fn append(&self, change: Change) -> Result<Appended> {
        self.append_at(self.elapsed(), change).await
    }

    async fn append_at(&self, elapsed: Duration, change: Change) -> Result<Appended> {
        let at = self.mechanism.clock.now();
        let record = self.progress().view.next(&self.replica, at, elapsed, change);
        let appended = self.journal.append(&record).await?;
        if appended == Appended::Done {
            self.take(record)?;
        }
        Ok(appended)
    }

    async fn catch_up(&self) -> Result<()> {
        let mut news = false;
        loop {
            let number = self.progress().view.number + 1;
            let Some(record) = self.journal.read(number).await? else { break };
            self.take(record)?;
            news = true;
        }
        self.progress().opened = true;
        if news { self.settle() } else { Ok(()) }
    }

    fn take(&self, record: Record) -> Result<()> {
        let own = record.by == self.replica.as_str();
        let (moved, window, opened) = {
            let mut progress = self.progress();
            let (before, now) = (progress.view.window, self.mechanism.clock.instant());
            let moved = progress.view.take(record, Some(&self.mechanism.rollout), now)?;
            if let Some(transition) = &moved {
                progress.status.clone_from(&transition.reason);
            }
            (moved, progress.view.window != before, progress.opened)
        };
        if window {
            self.mechanism.begin_window();
        }
        if let (Some(transition), true) = (moved, opened) {
            self.mechanism.tell(&transition, own);
        }
        Ok(())
    }

    /// Makes the shares fit the state.
    fn settle(&self) -> Result<()> {
        self.mechanism.carry_out(self.mechanism.rollout.standing_effects(&self.state()))
    }

    fn elapsed(&self) -> Duration {
        self.progress().view.elapsed(self.mechanism.clock.instant())
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that nobody has had before.
fn incarnation(name: &str) -> Result<StoreName> {
    StoreName::new(format!("{name}-{}-{:016x}", std::process::id(), random()))
}

impl fmt::Debug for DurableController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableController")
            .field("name", &self.journal.name)
            .field("replica", &self.replica)
            .field("rollout", &self.mechanism.rollout)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
