//! How a model gets threads of its own.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Clock, Error, Result, SystemClock};

use super::{CpuShare, WarmUp};

/// How many requests may wait unless the options say otherwise.
const ROOM: usize = 64;

/// How many threads may be stuck and replaced unless the options say otherwise.
const REPLACEMENTS: usize = 4;

/// How many threads compute, how many requests may wait for them, and what happens when they are held up.
///
/// How many threads are right? As many as the engine can use at once. An engine that uses all cores for one call, or
/// a GPU, is right with 1 or 2 (the second prepares while the first computes); one that uses one core, with
/// the number of cores.
///
/// ```
/// use std::time::Duration;
/// use mlops_serve::{WarmUp, Workers};
///
/// let workers = Workers::new(2)
///     .with_name("digits")
///     .with_queue(256)
///     .with_warm_up(WarmUp::batches([1, 32]))
///     .with_watchdog(Duration::from_secs(10));
/// # let _ = workers;
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Workers {
    pub(super) count: usize,
    pub(super) room: Option<usize>,
    pub(super) name: Option<String>,
    pub(super) warm_up: Option<WarmUp>,
    pub(super) target_wait: Option<Duration>,
    pub(super) share: Option<CpuShare>,
    pub(super) watchdog: Option<Duration>,
    pub(super) replacements: usize,
    pub(super) clock: Arc<dyn Clock>,
}

impl Workers {
    /// That many threads, or that many for each instance of the model where there are several.
    pub fn new(count: usize) -> Self {
        Self {
            count,
            room: None,
            name: None,
            warm_up: None,
            target_wait: None,
            share: None,
            watchdog: None,
            replacements: REPLACEMENTS,
            clock: Arc::new(SystemClock),
        }
    }

    /// How many requests may wait while every worker is busy: 64 unless set, 512 with batching. One more is
    /// [`Error::Overloaded`] at once.
    pub fn with_queue(mut self, requests: usize) -> Self {
        self.room = Some(requests);
        self
    }

    /// Lets fewer requests wait when they wait for longer than `target`: the room in the queue follows what the model
    /// can serve in that time, between one batch and [`with_queue`](Self::with_queue).
    ///
    /// Off unless set. The rule is additive increase, multiplicative decrease (Chiu and Jain, 1989).
    pub fn with_adaptive_queue(mut self, target: Duration) -> Self {
        self.target_wait = Some(target);
        self
    }

    /// What the model is called in metrics (label `model`), and its threads in a debugger or profiler: `NAME-0`,
    /// `NAME-1`, ... Linux shows 15 bytes.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Runs sample inputs, on one worker after the other, before the model is there.
    pub fn with_warm_up(mut self, warm_up: WarmUp) -> Self {
        self.warm_up = Some(warm_up);
        self
    }

    /// Computes on cores that are shared with other models.
    pub fn with_share(mut self, share: CpuShare) -> Self {
        self.share = Some(share);
        self
    }

    /// Gives a call up that runs for longer than `limit`.
    ///
    /// A thread cannot be stopped from outside, so it is abandoned: its callers get [`Error::Engine`], a fresh thread
    /// takes its place, and its core, where it has a [share](Self::with_share), is free again. That is counted
    /// (`model_stuck_workers`) and logged. Unless set, callers wait for as long as a call takes.
    pub fn with_watchdog(mut self, limit: Duration) -> Self {
        self.watchdog = Some(limit);
        self
    }

    /// How many threads may be stuck and replaced at a time: 4 unless set. When more are stuck, the model has fewer
    /// workers until one comes back; with none left it is [`Error::Unavailable`].
    pub fn with_replacements(mut self, threads: usize) -> Self {
        self.replacements = threads;
        self
    }

    /// Where time comes from, for deadlines, timings and the watchdog: the system unless set.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The room in the queue becomes this unless it was set.
    pub(crate) fn or_queue(mut self, requests: usize) -> Self {
        self.room = self.room.or(Some(requests));
        self
    }

    /// How many threads there are for that many instances of the model.
    pub(crate) fn for_instances(&self, instances: usize) -> Result<usize> {
        self.count.checked_mul(instances).filter(|threads| *threads > 0).ok_or_else(|| {
            Error::invalid_input("a model on workers needs at least one worker and one instance")
        })
    }

    pub(super) fn room(&self) -> usize {
        self.room.unwrap_or(ROOM)
    }

    pub(super) fn thread_name(&self) -> &str {
        self.name.as_deref().unwrap_or("mlops-worker")
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.thread_name().contains('\0') {
            return Err(Error::invalid_input("the name of a thread cannot have a zero byte"));
        }
        if self.watchdog.is_some_and(|limit| limit.is_zero()) {
            return Err(Error::invalid_input("a watchdog that waits for no time gives every call up"));
        }
        Ok(())
    }
}

/// That many threads, and everything else as it is unless set.
impl From<usize> for Workers {
    fn from(count: usize) -> Self {
        Self::new(count)
    }
}
