//! Requests that are computed together.

mod batch;
mod fill;
mod join;
mod options;
mod regions;
mod runtime;
mod split;
mod work;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{Error, Model, Request, Response, Result, Signature};

use crate::executor::WorkerHealth;
use crate::executor::pool::Pool;
use fill::Fill;
use runtime::Runtime;
use work::Batches;

pub use options::Batching;

/// A model that puts requests which wait into one call of the model inside.
///
/// A free worker pulls what there is, at once, and computes it to the end; meanwhile requests gather. So batches grow
/// with the load by themselves: a lone request never waits for company, and under full load batches are full. (Triton
/// and TF Serving hold requests back for a set time instead.)
///
/// * **Together** are requests that have the same inputs, the same lengths of free dimensions (unless they are
///   [padded](Batching::with_padding)), the same values of inputs that are not by row, and the same routing context.
///   The most urgent request that came first goes next, with those that can join it. A request without rows, or with
///   more than a batch may have, is computed alone; alone, a request is not copied.
/// * **Failure**: a batch that fails, panics or gives outputs that break the signature is halved until the request at
///   fault fails alone, with its own error. What no request is at fault for ([`Error::Overloaded`],
///   [`Error::Unavailable`], [`Error::DeadlineExceeded`]) is answered to all of them at once.
/// * **Overload**: when the queue is full, the answer is [`Error::Overloaded`] at once. A request whose caller has gone,
///   or whose deadline has passed when a worker is free, is not computed, and makes room.
/// * **Outputs** that are not by row go to every request; the rows of a batch are independent, so they cannot depend on
///   who else was in it.
/// * **Runtimes**: the model inside is polled on the worker's thread. With the feature `timer`, it finds the tokio
///   runtime that this was made in.
///
/// Dropping the model finishes what is being computed, then ends the threads.
///
/// ```
/// use mlops_core::{Engine, Model, Result};
/// use mlops_serve::{Batching, EngineExt, ServeExt};
///
/// fn served(engine: impl Engine) -> Result<impl Model> {
///     engine.inline().batched(Batching::rows(64).with_workers(2))
/// }
/// ```
pub struct Batched<M> {
    models: Arc<Vec<M>>,
    pool: Pool,
    is_padded: bool,
}

impl<M: Model> Batched<M> {
    /// Starts the workers, and warms them up where the options ask for it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for options that contradict each other or the signature; [`Error::Unavailable`] when a
    /// thread cannot be started; the error of the warm-up, where there is one.
    pub fn new(model: M, batching: Batching) -> Result<Self> {
        Self::instances([model], batching)
    }

    /// Several instances of one model behind one queue, each with workers of its own: one for each device, say.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`Error::InvalidInput`] for no instance, or signatures that differ.
    pub fn instances(models: impl IntoIterator<Item = M>, batching: Batching) -> Result<Self> {
        let models: Vec<M> = models.into_iter().collect();
        if models.iter().any(|model| model.signature() != models[0].signature()) {
            return Err(Error::invalid_input("the instances of a model must have the same signature"));
        }
        let threads = batching.workers.for_instances(models.len())?;
        let fill = batching.padding.map(Fill::new);
        if let Some(fill) = fill {
            fill.check(models[0].signature())?;
        }
        let models = Arc::new(models);
        let work = Batches { models: Arc::clone(&models), fill, runtime: Runtime::current() };
        let pool = Pool::start(threads, batching.workers(), batching.limits()?, batching.rows, work)?;
        Ok(Self { models, pool, is_padded: fill.is_some() })
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

#[async_trait]
impl<M: Model> Model for Batched<M> {
    fn signature(&self) -> &Signature {
        self.models[0].signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.signature().check(&request.inputs)?;
        let (rows, group) = batch::group(self.signature(), &request.inputs, self.is_padded);
        self.pool.call(request, rows, group).await
    }
}

impl<M: fmt::Debug> fmt::Debug for Batched<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched").field("models", &self.models).field("pool", &self.pool).finish()
    }
}
