//! Computing on threads of the model's own.

use std::fmt;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use futures_channel::oneshot;
use mlops_core::{
    Engine, Error, Instant, Model, ModelId, Request, Response, Result, Signature, Tensors, Timings,
};

use super::queue::Queue;
use super::{WarmUp, compute};

/// How many threads compute, and how many requests may wait for them.
///
/// How many are right? As many as the engine can use at once. An engine that uses all cores for one call, or
/// a GPU, is right with 1 or 2 (the second prepares while the first computes); one that uses one core, with
/// the number of cores.
#[derive(Debug, Clone)]
#[must_use]
pub struct Workers {
    count: usize,
    room: usize,
    name: String,
    warm_up: Option<WarmUp>,
}

impl Workers {
    /// That many threads, a queue of 64 requests, and no warm-up.
    pub fn new(count: usize) -> Self {
        Self { count, room: 64, name: "mlops-worker".to_owned(), warm_up: None }
    }

    /// How many requests may wait while every worker is busy. One more is [`Error::Overloaded`] at once.
    pub fn with_queue(mut self, requests: usize) -> Self {
        self.room = requests;
        self
    }

    /// What the threads are called in a debugger or profiler: `NAME-0`, `NAME-1`, ... Linux shows 15 bytes.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Runs the engine on sample inputs, on one worker after the other, before the model is there.
    pub fn with_warm_up(mut self, warm_up: WarmUp) -> Self {
        self.warm_up = Some(warm_up);
        self
    }
}

/// A model that runs its engine on threads of its own; its callers only wait for the answer.
///
/// Inputs are checked on the calling thread, outputs on the worker. When all workers are busy and the queue
/// is full, the answer is [`Error::Overloaded`] at once. A request whose caller has gone, or whose deadline
/// has passed when its turn comes, is not computed. A panic of the engine is an error of that call alone,
/// and the worker lives on. [`Timings`] tell how long the request waited and how long it was computed.
///
/// Dropping the model waits for what is being computed, then ends the threads.
pub struct OnWorkers<E> {
    engine: Arc<E>,
    queue: Arc<Queue<Job>>,
    threads: Vec<JoinHandle<()>>,
    options: Workers,
    warm_up: Duration,
    id: Option<Arc<ModelId>>,
}

/// One call on its way to a worker.
#[derive(Debug)]
struct Job {
    inputs: Tensors,
    deadline: Option<Instant>,
    queued: Instant,
    answer: oneshot::Sender<Result<(Tensors, Timings)>>,
}

impl<E: Engine> OnWorkers<E> {
    /// Starts the workers, and warms them up where the options ask for it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for zero workers or a name with a zero byte; [`Error::Unavailable`] when a
    /// thread cannot be started; the error of the warm-up, where there is one.
    pub fn new(engine: E, options: Workers) -> Result<Self> {
        if options.count == 0 {
            return Err(Error::invalid_input("a model on workers needs at least one worker"));
        }
        if options.name.contains('\0') {
            return Err(Error::invalid_input("the name of a thread cannot have a zero byte"));
        }
        let mut model = Self {
            engine: Arc::new(engine),
            queue: Arc::new(Queue::new(options.count, options.room)),
            threads: Vec::with_capacity(options.count),
            options,
            warm_up: Duration::ZERO,
            id: None,
        };
        for index in 0..model.options.count {
            let warm_up = model.start(index)?;
            model.warm_up += warm_up;
        }
        Ok(model)
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
        self.warm_up
    }

    /// Starts one worker and waits until it is warm.
    fn start(&mut self, index: usize) -> Result<Duration> {
        let (engine, queue) = (Arc::clone(&self.engine), Arc::clone(&self.queue));
        let warm_up = self.options.warm_up.clone();
        let (ready, warm) = std::sync::mpsc::sync_channel(1);
        let thread = Builder::new()
            .name(format!("{}-{index}", self.options.name))
            .spawn(move || {
                let warmed = warm_up.map_or(Ok(Duration::ZERO), |warm_up| warm_up.run(&*engine));
                let is_warm = warmed.is_ok();
                if ready.send(warmed).is_ok() && is_warm {
                    work(&*engine, &queue);
                }
            })
            .map_err(|cause| Error::unavailable("a worker thread cannot be started").with_source(cause))?;
        self.threads.push(thread);
        warm.recv().unwrap_or_else(|_| Err(Error::internal("a worker ended before it was ready")))
    }
}

fn work(engine: &impl Engine, queue: &Queue<Job>) {
    while let Some(job) = queue.take() {
        if !job.answer.is_canceled() {
            let answer = answer(engine, &job);
            // The caller may have gone meanwhile.
            let _ = job.answer.send(answer);
        }
        queue.done();
    }
}

fn answer(engine: &impl Engine, job: &Job) -> Result<(Tensors, Timings)> {
    let started = Instant::now();
    let queue = started.saturating_duration_since(job.queued);
    if job.deadline.is_some_and(|deadline| deadline <= started) {
        return Err(Error::deadline_exceeded(format!(
            "it passed in the queue, where the request waited {queue:?}"
        )));
    }
    let outputs = compute(engine, &job.inputs)?;
    Ok((outputs, Timings { queue, compute: started.elapsed() }))
}

#[async_trait]
impl<E: Engine> Model for OnWorkers<E> {
    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.engine.signature().check(&request.inputs)?;
        let queued = Instant::now();
        if request.deadline.is_some_and(|deadline| deadline <= queued) {
            return Err(Error::deadline_exceeded("the request came after its own deadline"));
        }
        let (answer, answered) = oneshot::channel();
        let job = Job { inputs: request.inputs, deadline: request.deadline, queued, answer };
        self.queue.push(job, |job| job.answer.is_canceled()).map_err(|_full| {
            let Workers { count, room, .. } = self.options;
            Error::overloaded(format!("all {count} workers are busy, and {room} requests wait already"))
        })?;
        let (outputs, timings) =
            answered.await.unwrap_or_else(|_canceled| Err(Error::internal("a worker gave no answer")))?;
        let mut response = Response::new(outputs).with_id(request.id).with_timings(timings);
        response.model.clone_from(&self.id);
        Ok(response)
    }
}

impl<E> Drop for OnWorkers<E> {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its engine; there is nothing to pass on.
            let _ = thread.join();
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for OnWorkers<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnWorkers")
            .field("engine", &self.engine)
            .field("options", &self.options)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
