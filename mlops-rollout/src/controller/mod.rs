//! The controller that carries a rollout through.

mod audit;
mod plan;
mod rollout;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use mlops_core::metrics::{ROLLOUT_DECISIONS_TOTAL, ROLLOUT_WEIGHT};
use mlops_core::{Clock, Error, Instant, Result, SystemClock, Variant};
use tokio::time::MissedTickBehavior;

use crate::{Evidence, TrafficSplit};

pub use audit::Transition;
pub use plan::{OnInconclusive, Plan, Step};
pub use rollout::Rollout;
pub use state::{Effect, Event, Next, State};

/// Carries a [`Plan`] through: asks the evidence, moves the traffic, keeps the record.
///
/// [`tick`](Self::tick) as often as you like, from wherever you like, or let [`run`](Self::run) do it: the
/// statistics allow for looks at any time. A rollback takes the candidate's traffic within the tick that
/// found the fault. Bake times are measured on the monotonic clock; a wall clock that jumps changes only
/// the dates in the record.
///
/// A whole rollout is shown [on the front page](crate).
pub struct Controller {
    rollout: Rollout,
    name: String,
    split: TrafficSplit,
    evidence: Arc<Evidence>,
    clock: Arc<dyn Clock>,
    began: Instant,
    listeners: Vec<Box<Listener>>,
    progress: Mutex<Progress>,
}

type Listener = dyn Fn(&Transition) + Send + Sync;

struct Progress {
    state: State,
    status: String,
    audit: Vec<Transition>,
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
            name: candidate.to_string(),
            rollout: Rollout::new(plan, stable, candidate),
            split,
            evidence,
            began: clock.instant(),
            clock,
            listeners: Vec::new(),
            progress: Mutex::new(Progress {
                state: State::Pending,
                status: "the rollout has not begun".to_owned(),
                audit: Vec::new(),
            }),
        })
    }

    /// Names the rollout in metrics. It has the name of the candidate unless set.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Takes time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.began = clock.instant();
        self.clock = Arc::new(clock);
        self
    }

    /// Calls `listener` after every change of state, on the thread that ticked: to move an alias when the
    /// candidate is promoted, to tell somebody when it is rolled back.
    #[must_use]
    pub fn on_transition(mut self, listener: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Looks at the evidence and moves if it is time. The first tick begins the rollout.
    ///
    /// # Errors
    /// Those of [`TrafficSplit::set`]; then the state has not changed, and the next tick tries again. A
    /// rollback never fails.
    pub fn tick(&self) -> Result<State> {
        self.apply(&Event::Tick)
    }

    /// Promotes the candidate now, whatever samples or steps are missing. If a check has failed it is
    /// rolled back all the same; before the rollout has begun nothing happens.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub fn promote(&self) -> Result<State> {
        self.apply(&Event::Promote)
    }

    /// Stops the way up, not the way back: the candidate keeps its share and is still judged.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub fn pause(&self) -> Result<State> {
        self.apply(&Event::Pause)
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub fn resume(&self) -> Result<State> {
        self.apply(&Event::Resume)
    }

    /// Rolls the candidate back now.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub fn abort(&self, reason: impl Into<String>) -> Result<State> {
        self.apply(&Event::Abort { reason: reason.into() })
    }

    /// Ticks every `interval` until the candidate is promoted or rolled back. Dropping the future stops
    /// the ticking and nothing else.
    ///
    /// # Errors
    /// Those of [`tick`](Self::tick).
    pub async fn run(&self, interval: Duration) -> Result<State> {
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let state = self.tick()?;
            if state.is_final() {
                return Ok(state);
            }
        }
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
    pub fn audit(&self) -> Vec<Transition> {
        self.progress().audit.clone()
    }

    /// The plan and the variants it is about.
    #[must_use]
    pub fn rollout(&self) -> &Rollout {
        &self.rollout
    }

    fn apply(&self, event: &Event) -> Result<State> {
        let mut progress = self.progress();
        let now = self.clock.instant().saturating_duration_since(self.began);
        let evidence = self.evidence.snapshot();
        let Next { state, effects, reason } = self.rollout.decide(&progress.state, event, &evidence, now);
        for effect in effects {
            self.carry_out(effect)?;
        }
        self.report_shares();
        progress.status.clone_from(&reason);
        if state == progress.state {
            return Ok(state);
        }
        let from = std::mem::replace(&mut progress.state, state.clone());
        let transition = Transition { at: self.clock.now(), from, to: state.clone(), reason, evidence };
        progress.audit.push(transition.clone());
        drop(progress); // a listener may ask for the state
        self.tell(&transition);
        Ok(state)
    }

    fn carry_out(&self, effect: Effect) -> Result<()> {
        match effect {
            Effect::SetShare(share) => self.split.set(self.rollout.candidate(), share),
            Effect::BeginWindow => {
                self.evidence.begin_window();
                Ok(())
            }
            Effect::Promote => self.split.set(self.rollout.candidate(), 1.0),
            Effect::RollBack => self.split.set(self.rollout.candidate(), 0.0),
        }
    }

    fn report_shares(&self) {
        for (variant, share) in self.split.shares() {
            let labels = [("rollout", self.name.clone()), ("variant", variant.to_string())];
            gauge!(ROLLOUT_WEIGHT, &labels).set(share);
        }
    }

    fn tell(&self, transition: &Transition) {
        tracing::info!(rollout = self.name, %transition, "rollout moved");
        let labels = [("rollout", self.name.clone()), ("decision", transition.decision().to_owned())];
        counter!(ROLLOUT_DECISIONS_TOTAL, &labels).increment(1);
        for listener in &self.listeners {
            listener(transition);
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("name", &self.name)
            .field("rollout", &self.rollout)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
