//! How a simulation is run.

use std::time::Duration;

use mlops_core::{Error, Result};

/// How many rollouts are played, and how.
///
/// ```
/// use std::time::Duration;
/// use mlops_rollout::SimulationOptions;
///
/// let options = SimulationOptions::new().with_rollouts(200).with_seed(7).with_tick(Duration::from_secs(10));
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimulationOptions {
    pub(super) rollouts: u64,
    pub(super) seed: u64,
    pub(super) threads: usize,
    pub(super) tick: Duration,
    pub(super) horizon: Duration,
    pub(super) resume_after: Option<Duration>,
}

const DAY: Duration = Duration::from_secs(86_400);

impl SimulationOptions {
    /// 1,000 rollouts on all cores, a look every minute, for a week at most.
    #[must_use]
    pub fn new() -> Self {
        let tick = Duration::from_secs(60);
        Self { rollouts: 1_000, seed: 0, threads: 0, tick, horizon: 7 * DAY, resume_after: None }
    }

    /// How many rollouts are played.
    #[must_use]
    pub fn with_rollouts(mut self, rollouts: u64) -> Self {
        self.rollouts = rollouts;
        self
    }

    /// The same seed gives the same report, on however many threads.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// On how many threads: as many as there are cores unless set.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// How often the controller looks. Rates do not change within a tick.
    #[must_use]
    pub fn with_tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// After how long a rollout that is still under way counts as undecided.
    #[must_use]
    pub fn with_horizon(mut self, horizon: Duration) -> Self {
        self.horizon = horizon;
        self
    }

    /// Somebody comes and resumes a rollout that has been paused for so long. Nobody does unless set.
    #[must_use]
    pub fn with_resume_after(mut self, pause: Duration) -> Self {
        self.resume_after = Some(pause);
        self
    }

    pub(super) fn checked(&self) -> Result<()> {
        let fault = if self.rollouts == 0 {
            "of 0 rollouts says nothing; ask for 1 or more"
        } else if self.tick.is_zero() {
            "with a tick of zero never ends; look every second, for example"
        } else {
            return Ok(());
        };
        Err(Error::invalid_input(format!("a simulation {fault}")))
    }
}

impl Default for SimulationOptions {
    fn default() -> Self {
        Self::new()
    }
}
