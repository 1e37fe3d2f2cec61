//! The controller that carries a rollout through.

mod audit;
mod document;
mod durable;
mod events;
mod journal;
mod mechanism;
mod plan;
mod rollout;
mod shadow;
mod sharing;
mod state;
mod step;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mlops_core::{Clock, Error, Instant, Result, Router, SystemClock, Variant};
use tokio::time::MissedTickBehavior;

use crate::{Evidence, RolloutStore, Shadowed, StoreName, TrafficSplit};
use events::Announcer;
use mechanism::{Mechanism, Shadow};

pub use audit::{Audit, Transition};
pub use durable::DurableController;
pub use events::{Heard, Transitions};
pub use plan::{FailureTolerance, OnInconclusive, Plan};
pub use rollout::Rollout;
pub use shadow::ShadowEvidence;
pub use sharing::{EvidenceSource, EvidenceWindow, OwnEvidence};
pub use state::{Effect, Event, FailedLooks, Next, State};
pub use step::Step;

/// Carries a [`Plan`] through: asks the evidence, moves the traffic, keeps the record.
///
/// [`tick`](Self::tick) as often as you like, from wherever you like, or let [`run`](Self::run) do it: the
/// statistics allow for looks at any time. A rollback takes the candidate's traffic within the tick that
/// found the fault. Bake times are measured on the monotonic clock; a wall clock that jumps changes only
/// the dates in the record.
///
/// This controller is alone and forgets with its process. What a crash must not undo, or several replicas
/// of a service drive together, is [`durable`](Self::durable).
///
/// A whole rollout is shown [on the front page](crate).
pub struct Controller {
    mechanism: Mechanism,
    began: Instant,
    progress: Mutex<Progress>,
}

struct Progress {
    state: State,
    status: String,
    audit: Audit,
}

impl Controller {
    /// Moves `candidate` in the way of the default variant of `split`, judged by `evidence`, which must
    /// be among the observers of the model that the split routes.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the split does not know the candidate, [`Error::InvalidInput`] when it is
    /// the default itself.
    pub fn new(plan: Plan, split: TrafficSplit, candidate: Variant, evidence: Arc<Evidence>) -> Result<Self> {
        let stable = split.default_variant().clone();
        if candidate == stable {
            return Err(Error::invalid_input(format!(
                "`{candidate}` is the default; it cannot be the candidate"
            )));
        }
        if split.share(&candidate).is_none() {
            return Err(Error::not_found(format!(
                "the candidate `{candidate}` in the traffic split {split:?}"
            )));
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Ok(Self {
            began: clock.instant(),
            mechanism: Mechanism {
                name: candidate.to_string(),
                rollout: Rollout::new(plan, stable, candidate),
                clock,
                split,
                evidence,
                shadow: None,
                listeners: Vec::new(),
                announcer: Announcer::new(),
                on_promotion: None,
            },
            progress: Mutex::new(Progress {
                state: State::Pending,
                status: "the rollout has not begun".to_owned(),
                audit: Audit::default(),
            }),
        })
    }

    /// Names the rollout in metrics. It has the name of the candidate unless set.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.mechanism.name = name.into();
        self
    }

    /// Takes time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.began = clock.instant();
        self.mechanism.clock = Arc::new(clock);
        self
    }

    /// Lets the [shadow steps](Step::shadow) of the plan set the share of copies of `router`, and judge the
    /// candidate by `evidence`, which the model that it routes must
    /// [know](crate::Routed::with_shadow_evidence).
    #[must_use]
    pub fn with_shadow<R: Router>(mut self, router: Arc<Shadowed<R>>, evidence: Arc<ShadowEvidence>) -> Self {
        let set_share = Box::new(move |share| router.set_share(share));
        self.mechanism.shadow = Some(Shadow { set_share, evidence });
        self
    }

    /// Calls `listener` after every change of state, on the thread that ticked: to tell somebody when the
    /// candidate is rolled back. It must not wait, and it cannot fail: see
    /// [`on_promotion`](Self::on_promotion) for what may.
    #[must_use]
    pub fn on_transition(mut self, listener: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        self.mechanism.listeners.push(Box::new(listener));
        self
    }

    /// Does this once the candidate is promoted, such as moving an alias of a registry, and again until it
    /// has succeeded. [`run`](Self::run) does, after each interval; who ticks by hand calls
    /// [`announce`](Self::announce).
    ///
    /// **At least once**: after a crash at the wrong moment, and by several replicas at one time, it may be
    /// done again. It should change nothing then.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_core::{Alias, AliasMove, ModelName, Registry, Result};
    /// # use mlops_rollout::Controller;
    /// fn promotes(controller: Controller, registry: Arc<dyn Registry>, version: mlops_core::ModelId) -> Controller {
    ///     controller.on_promotion(move |_| {
    ///         let (registry, version) = (Arc::clone(&registry), version.clone());
    ///         async move {
    ///             let champion = Alias::new("champion")?;
    ///             registry.move_alias(AliasMove::new(version.name, champion, version.version)).await?;
    ///             Ok(())
    ///         }
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn on_promotion<F, D>(mut self, todo: F) -> Self
    where
        F: Fn(Transition) -> D + Send + Sync + 'static,
        D: Future<Output = Result<()>> + Send + 'static,
    {
        self.mechanism.on_promotion = Some(Box::new(move |promotion| Box::pin(todo(promotion))));
        self
    }

    /// Remembers the rollout in `store` under `name`, so that it outlives this process and other replicas
    /// may drive it too.
    ///
    /// **A new release needs a new name**, such as the model's with its version: under a name that the
    /// store knows, the rollout goes on where it was, or stays ended as it ended.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the name is none for a store, or the plan has shadow steps without
    /// [the means for them](Self::with_shadow).
    pub fn durable(self, store: impl RolloutStore, name: impl Into<String>) -> Result<DurableController> {
        DurableController::new(self.mechanism, Arc::new(store), StoreName::new(name)?)
    }

    /// Every change of state from now on. The stream holds 256 for a subscriber that does not listen, then
    /// [says](Heard::Missed) how many of the oldest it has dropped.
    #[must_use]
    pub fn subscribe(&self) -> Transitions {
        self.mechanism.announcer.subscribe()
    }

    /// Looks at the evidence and moves if it is time. The first tick begins the rollout.
    ///
    /// # Errors
    /// Those of [`TrafficSplit::set`], and [`Error::InvalidInput`] for a plan with shadow steps without
    /// [the means for them](Self::with_shadow); then the state has not changed, and the next tick tries
    /// again. A rollback never fails.
    pub fn tick(&self) -> Result<State> {
        self.apply(|_| Event::Tick)
    }

    /// Promotes the candidate now, whatever samples or steps are missing. If a check has failed it is not
    /// promoted, and rolled back where the plan tolerates no failure; before the rollout has begun nothing
    /// happens.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub fn promote(&self) -> Result<State> {
        self.apply(|_| Event::Promote)
    }

    /// Leaves the present step, whatever samples or time are missing in it. A failed check wins as in
    /// [`promote`](Self::promote). After the last step comes the promotion.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub fn skip(&self) -> Result<State> {
        self.apply(|state| Event::Skip { step: state.step().unwrap_or(0) })
    }

    /// Agrees that the step that has been passed may be left. Anywhere else nothing happens.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub fn approve(&self) -> Result<State> {
        self.apply(|state| Event::Approve { step: state.step().unwrap_or(0) })
    }

    /// Stops the way up, not the way back: the candidate keeps its share and is still judged.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub fn pause(&self) -> Result<State> {
        self.apply(|_| Event::Pause)
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub fn resume(&self) -> Result<State> {
        self.apply(|_| Event::Resume)
    }

    /// Rolls the candidate back now.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub fn abort(&self, reason: impl Into<String>) -> Result<State> {
        let reason = reason.into();
        self.apply(|_| Event::Abort { reason })
    }

    /// Ticks every `interval` until the candidate is promoted or rolled back, and what is to be done
    /// [on promotion](Self::on_promotion) is done. Dropping the future stops the ticking and nothing else.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub async fn run(&self, interval: Duration) -> Result<State> {
        let mut ticks = every(interval);
        loop {
            ticks.tick().await;
            let state = self.tick()?;
            if state.is_final() && self.announce().await {
                return Ok(state);
            }
        }
    }

    /// Does what is to be done [on promotion](Self::on_promotion), if it is time and it has not been done
    /// yet. Says whether nothing is left to do: `false` before the promotion and after a failure.
    pub async fn announce(&self) -> bool {
        let promotion = {
            let progress = self.progress();
            match &progress.state {
                State::Promoted if progress.audit.announced.is_none() => progress.audit.last().cloned(),
                state => return state.is_final(),
            }
        };
        if self.mechanism.on_promotion.is_none() {
            return true;
        }
        let announced = self.mechanism.announce(promotion).await;
        self.progress().audit.announced = announced;
        announced.is_some()
    }

    /// Where the rollout stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.progress().state.clone()
    }

    /// Why it moved there, or what it waits for, as of the last tick.
    #[must_use]
    pub fn status(&self) -> String {
        self.progress().status.clone()
    }

    /// Every change of state so far.
    #[must_use]
    pub fn audit(&self) -> Audit {
        self.progress().audit.clone()
    }

    /// The plan and the variants it is about.
    #[must_use]
    pub fn rollout(&self) -> &Rollout {
        &self.mechanism.rollout
    }

    fn apply(&self, event: impl FnOnce(&State) -> Event) -> Result<State> {
        let Mechanism { rollout, clock, .. } = &self.mechanism;
        self.mechanism.check()?;
        let mut progress = self.progress();
        let event = event(&progress.state);
        let now = clock.instant().saturating_duration_since(self.began);
        let evidence = self.mechanism.seen(&progress.state);
        let Next { state, effects, reason } = rollout.decide(&progress.state, &event, &evidence, now);
        self.mechanism.carry_out(effects)?;
        progress.status.clone_from(&reason);
        if state == progress.state {
            return Ok(state);
        }
        let number = progress.audit.len() as u64 + 1;
        let from = std::mem::replace(&mut progress.state, state.clone());
        let at = progress.audit.last().map_or_else(|| clock.now(), |last| clock.now().max(last.at));
        let to = state.clone();
        let transition = Transition { number, at, by: None, event, from, to, reason, evidence };
        progress.audit.transitions.push(transition.clone());
        drop(progress); // a listener may ask for the state
        self.mechanism.tell(&transition, true);
        Ok(state)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ticks that wait for a slow one.
fn every(interval: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("name", &self.mechanism.name)
            .field("rollout", &self.mechanism.rollout)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
