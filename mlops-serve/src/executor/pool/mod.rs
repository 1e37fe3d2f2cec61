//! Threads that compute what waits in a queue: what [`OnWorkers`](super::OnWorkers) and
//! [`Batched`](crate::Batched) have in common.

mod adaptive;
mod call;
mod crew;
mod gather;
mod meters;
mod queue;
mod slot;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use mlops_core::{Clock, Error, Instant, Request, Response, Result};
use tracing::Span;

use super::shares::Permit;
use super::{WarmUp, Workers};
use call::{Answer, Call};
use crew::Crew;
use meters::Meters;
use queue::{Queue, Refusal, Room};
use slot::Slot;

pub(crate) use call::{Group, Job};
pub(crate) use gather::Limits;

/// What the threads of a pool do.
pub(crate) trait Work: fmt::Debug + Send + Sync + 'static {
    /// Runs the samples on the calling thread, as that worker, and says how long it took.
    fn warm_up(&self, worker: usize, warm_up: &WarmUp) -> Result<Duration>;

    /// Computes a batch on the calling thread, as that worker, and gives every answer to the desk.
    fn compute(&self, worker: usize, jobs: Vec<Job>, desk: &Desk<'_>);
}

/// How the workers of a model are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerHealth {
    /// How many threads compute, or are ready to.
    pub working: usize,
    /// How many are in a call that has run for longer than the watchdog's limit.
    pub stuck: usize,
}

impl WorkerHealth {
    /// Whether a call has run for longer than the watchdog's limit, and still does.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.stuck > 0
    }
}

/// A queue, and threads that compute what waits in it.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    crew: Crew,
    warm_up: Duration,
}

/// What the callers, the workers and the watchdog share.
#[derive(Debug)]
struct Shared {
    queue: Queue<Call>,
    work: Box<dyn Work>,
    options: Workers,
    meters: Arc<Meters>,
}

/// Where a worker hands in the answers to its batch.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    slot: &'a Slot<Answer, Option<Permit>>,
    clock: &'a dyn Clock,
    meters: &'a Meters,
}

impl Pool {
    /// Starts `workers` threads, and warms one after the other up where the options ask for it.
    pub(crate) fn start(
        workers: usize,
        options: Workers,
        limits: Limits,
        least_room: usize,
        work: impl Work,
    ) -> Result<Self> {
        options.check()?;
        let room = match options.target_wait {
            Some(target) => Room::adaptive(target, least_room, options.room()),
            None => Room::fixed(options.room()),
        };
        let meters = Arc::new(Meters::new(options.name.as_deref()));
        let queue = Queue::new(room, limits, Arc::clone(&options.clock));
        let shared = Arc::new(Shared { queue, work: Box::new(work), options, meters });
        let (crew, warm_up) = Crew::start(&shared, workers)?;
        Ok(Self { shared, crew, warm_up })
    }

    /// Puts a request into the queue, and waits for the answer.
    pub(crate) async fn call(&self, request: Request, rows: usize, group: Option<Group>) -> Result<Response> {
        self.submit(request, rows, group)?
            .await
            .unwrap_or_else(|_canceled| Err(Error::internal("a worker gave no answer")))
    }

    /// How long the warm-up took, all workers together.
    pub(crate) fn warm_up_time(&self) -> Duration {
        self.warm_up
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.queue.len()
    }

    pub(crate) fn health(&self) -> WorkerHealth {
        self.crew.health()
    }

    /// Takes in no more, and finishes what is there.
    pub(crate) fn close(&self) {
        self.shared.queue.close();
    }

    /// Closes, and waits until everything is answered.
    pub(crate) async fn drain(&self) {
        self.close();
        // The queue lives as long as `self`, and tells all who ask.
        let _ = self.shared.queue.settled().await;
    }

    fn submit(
        &self,
        request: Request,
        rows: usize,
        group: Option<Group>,
    ) -> Result<oneshot::Receiver<Result<Response>>> {
        let Shared { queue, options, meters, .. } = &*self.shared;
        let queued = options.clock.instant();
        let refused = |error: Error| {
            meters.rejected(&error);
            Err(error)
        };
        if request.deadline.is_some_and(|deadline| deadline <= queued) {
            return refused(Error::deadline_exceeded("the request came after its own deadline"));
        }
        let (answer, answered) = oneshot::channel();
        let job = Job { request, rows, queued, span: Span::current() };
        match queue.push(Call::new(job, group, answer, Arc::clone(meters))) {
            Ok(()) => Ok(answered),
            Err(Refusal::Full { workers, room }) => refused(Error::overloaded(format!(
                "all {workers} workers are busy, and {room} requests wait already"
            ))),
            Err(Refusal::Closed) => {
                refused(Error::unavailable("the model is about to end and takes no more requests"))
            }
            Err(Refusal::NoWorkers) => refused(no_worker_left()),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
        // The watchdog is still there, so this ends even if a worker is stuck.
        let _ = pollster::block_on(self.shared.queue.settled());
        self.crew.join();
    }
}

impl Shared {
    /// Waits for the next batch, and for a core to compute it on. `None` when the queue is closed and empty.
    fn next(&self) -> Option<(Vec<Call>, Option<Permit>)> {
        let Some(share) = &self.options.share else {
            return self.queue.take().map(|batch| (batch, None));
        };
        // The batch is taken with the core in hand, so requests gather until then.
        while self.queue.wait() {
            let permit = share.acquire();
            if let Some(batch) = self.queue.try_take() {
                return Some((batch, Some(permit)));
            }
        }
        None
    }
}

impl Desk<'_> {
    /// The model is called now, and the watchdog's time begins; or it gave up, and nobody waits any more.
    pub(crate) fn begin(&self) -> Option<Instant> {
        let now = self.clock.instant();
        self.slot.begin(now).then_some(now)
    }

    /// How long ago that was.
    pub(crate) fn since(&self, began: Instant) -> Duration {
        self.clock.instant().saturating_duration_since(began)
    }

    /// Counts a call of the model with so many rows.
    pub(crate) fn computes(&self, rows: usize) {
        self.meters.batch(rows);
    }

    /// Where the call belongs in traces: into the request's span, or after those of all requests.
    pub(crate) fn span(&self, jobs: &[Job]) -> Span {
        let rows = || jobs.iter().map(|job| job.rows).sum::<usize>();
        if let [Job { span: parent, .. }] = jobs {
            return tracing::debug_span!(parent: parent, "batch", requests = 1, rows = rows());
        }
        let span = tracing::debug_span!(parent: None, "batch", requests = jobs.len(), rows = rows());
        for job in jobs {
            span.follows_from(&job.span);
        }
        span
    }

    /// Answers the request of that place in the batch.
    pub(crate) fn answer(&self, index: usize, result: Result<Response>) {
        if let Some(answer) = self.slot.answer(index) {
            // The caller may have gone meanwhile.
            let _ = answer.send(result);
        }
    }
}

fn no_worker_left() -> Error {
    Error::unavailable("every worker of the model is stuck in a call")
}
