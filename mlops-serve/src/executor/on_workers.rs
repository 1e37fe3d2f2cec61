//! Computing on threads of the model's own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{Engine, Error, Model, ModelId, Request, Response, Result, Signature, Timings};

use super::pool::{Desk, Job, Limits, Pool, Work};
use super::{WarmUp, WorkerHealth, Workers, compute, rows};

/// A model that runs its engine on threads of its own; its callers only wait for the answer.
///
/// Inputs are checked on the calling thread, outputs on the worker. When all workers are busy and the queue
/// is full, the answer is [`Error::Overloaded`] at once. The more urgent request goes first, and among equals the one
/// that came first. A request whose caller has gone, or whose deadline has passed when its turn comes, is not computed.
/// A panic of the engine is an error of that call alone, and the worker lives on. [`Timings`] tell how long the request
/// waited and how long it was computed.
///
/// Dropping the model waits for what is being computed, then ends the threads.
pub struct OnWorkers<E> {
    engines: Arc<Vec<E>>,
    pool: Pool,
    id: Option<Arc<ModelId>>,
}

/// One request at a time.
#[derive(Debug)]
struct OneByOne<E>(Arc<Vec<E>>);

impl<E: Engine> OnWorkers<E> {
    /// Starts the workers, and warms them up where the options ask for it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for zero workers or a name with a zero byte; [`Error::Unavailable`] when a
    /// thread cannot be started; the error of the warm-up, where there is one.
    pub fn new(engine: E, options: Workers) -> Result<Self> {
        Self::instances([engine], options)
    }

    /// Several instances of one engine behind one queue, each with threads of its own: for engines that compute one
    /// call at a time, or are bound to a device each.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`Error::InvalidInput`] for no instance, or signatures that differ.
    pub fn instances(engines: impl IntoIterator<Item = E>, options: Workers) -> Result<Self> {
        let engines: Vec<E> = engines.into_iter().collect();
        if engines.iter().any(|engine| engine.signature() != engines[0].signature()) {
            return Err(Error::invalid_input("the instances of an engine must have the same signature"));
        }
        let threads = options.for_instances(engines.len())?;
        let engines = Arc::new(engines);
        let work = OneByOne(Arc::clone(&engines));
        let pool = Pool::start(threads, options, Limits::one_by_one(), threads, work)?;
        Ok(Self { engines, pool, id: None })
    }

    /// Says which model and version this is; every response carries it.
    #[must_use]
    pub fn with_id(mut self, id: ModelId) -> Self {
        self.id = Some(Arc::new(id));
        self
    }

    /// How long the warm-up took, all workers together. Zero without one.
    #[must_use]
    pub fn warm_up_time(&self) -> Duration {
        self.pool.warm_up_time()
    }

    /// How many requests wait for a worker.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// How many workers there are, and how many are stuck.
    #[must_use]
    pub fn health(&self) -> WorkerHealth {
        self.pool.health()
    }

    /// Takes in no more requests; those that wait are still answered. Later ones are [`Error::Unavailable`].
    pub fn close(&self) {
        self.pool.close();
    }

    /// [Closes](Self::close), and waits until every request is answered.
    pub async fn drain(&self) {
        self.pool.drain().await;
    }
}

impl<E: Engine> Work for OneByOne<E> {
    fn warm_up(&self, worker: usize, warm_up: &WarmUp) -> Result<Duration> {
        warm_up.run(self.engine(worker))
    }

    fn compute(&self, worker: usize, jobs: Vec<Job>, desk: &Desk<'_>) {
        for (index, job) in jobs.into_iter().enumerate() {
            let Some(began) = desk.begin() else { return };
            desk.computes(job.rows);
            let span = desk.span(std::slice::from_ref(&job));
            let outputs = span.in_scope(|| compute(self.engine(worker), &job.request.inputs));
            let timings =
                Timings { queue: began.saturating_duration_since(job.queued), compute: desk.since(began) };
            let id = job.request.id;
            desk.answer(
                index,
                outputs.map(|outputs| Response::new(outputs).with_id(id).with_timings(timings)),
            );
        }
    }
}

impl<E> OneByOne<E> {
    fn engine(&self, worker: usize) -> &E {
        &self.0[worker % self.0.len()]
    }
}

#[async_trait]
impl<E: Engine> Model for OnWorkers<E> {
    fn signature(&self) -> &Signature {
        self.engines[0].signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.signature().check(&request.inputs)?;
        let rows = rows(self.signature(), &request.inputs).unwrap_or(1);
        let mut response = self.pool.call(request, rows, None).await?;
        response.model.clone_from(&self.id);
        Ok(response)
    }
}

impl<E: fmt::Debug> fmt::Debug for OnWorkers<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnWorkers")
            .field("engines", &self.engines)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
