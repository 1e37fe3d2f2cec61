//! Inline or on workers, as the engine's cost decides.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{Clock, Engine, Error, Model, ModelId, Request, Response, Result, Signature, SystemClock};

use super::{Inline, OnWorkers, WarmUp, Workers, compute};

/// What a call may cost to be computed inline unless the options say otherwise: about what it holds up a thread of an
/// async runtime for without being noticed, and some times the cost of a hop to another thread and back.
const INLINE_BELOW: Duration = Duration::from_micros(50);

/// How often each sample is measured.
const MEASUREMENTS: usize = 9;

/// How an engine is measured, and what follows from it.
#[derive(Debug, Clone)]
#[must_use]
pub struct Placement {
    samples: WarmUp,
    inline_below: Duration,
    workers: Workers,
    clock: Arc<dyn Clock>,
}

/// Where an engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the calling thread.
    Inline,
    /// On threads of its own.
    Workers,
}

/// A model that was measured when it was made: it computes on the calling thread if that is fast, and on threads of
/// its own if it is not.
///
/// ```
/// use mlops_core::{Engine, Model, Result};
/// use mlops_serve::{EngineExt, Placement, WarmUp, Workers};
///
/// fn model(engine: impl Engine) -> Result<impl Model> {
///     let placed = engine.placed(Placement::by(WarmUp::batches([1])).with_workers(Workers::new(2)))?;
///     println!("a call takes {:?}: {:?}", placed.cost(), placed.place());
///     Ok(placed)
/// }
/// ```
#[derive(Debug)]
pub struct Placed<E> {
    executor: Executor<E>,
    cost: Duration,
}

#[derive(Debug)]
enum Executor<E> {
    Inline(Inline<E>),
    Workers(OnWorkers<E>),
}

impl Placement {
    /// Measured with these samples: the shapes that will come. Below 50 µs the engine computes inline, otherwise on one
    /// worker.
    pub fn by(samples: WarmUp) -> Self {
        Self { samples, inline_below: INLINE_BELOW, workers: Workers::new(1), clock: Arc::new(SystemClock) }
    }

    /// Below which cost of a call the engine computes inline.
    pub fn with_inline_below(mut self, cost: Duration) -> Self {
        self.inline_below = cost;
        self
    }

    /// Which workers it gets if it does not.
    pub fn with_workers(mut self, workers: impl Into<Workers>) -> Self {
        self.workers = workers.into();
        self
    }

    /// What measures: the system's clock unless set.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The median of each sample after a first call that does not count; of several samples, the dearest.
    fn cost(&self, engine: &impl Engine) -> Result<Duration> {
        let mut dearest = None;
        for inputs in self.samples.samples(engine.signature())? {
            compute(engine, &inputs)?;
            let mut costs = [Duration::ZERO; MEASUREMENTS];
            for cost in &mut costs {
                let started = self.clock.instant();
                compute(engine, &inputs)?;
                *cost = self.clock.instant().saturating_duration_since(started);
            }
            costs.sort_unstable();
            dearest = dearest.max(Some(costs[MEASUREMENTS / 2]));
        }
        dearest.ok_or_else(|| Error::invalid_input("an engine cannot be measured without a sample"))
    }
}

impl<E: Engine> Placed<E> {
    /// Measures the engine, and places it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without samples, or for samples that do not fit the signature; what the engine answers
    /// to them; those of [`OnWorkers::new`].
    pub fn new(engine: E, placement: Placement) -> Result<Self> {
        let cost = placement.cost(&engine)?;
        let executor = if cost < placement.inline_below {
            Executor::Inline(Inline::new(engine))
        } else {
            Executor::Workers(OnWorkers::new(engine, placement.workers)?)
        };
        let placed = Self { executor, cost };
        tracing::debug!(?cost, place = ?placed.place(), "the engine was measured");
        Ok(placed)
    }

    /// Says which model and version this is; every response carries it.
    #[must_use]
    pub fn with_id(self, id: ModelId) -> Self {
        let executor = match self.executor {
            Executor::Inline(model) => Executor::Inline(model.with_id(id)),
            Executor::Workers(model) => Executor::Workers(model.with_id(id)),
        };
        Self { executor, ..self }
    }

    /// Where it computes.
    #[must_use]
    pub fn place(&self) -> Place {
        match &self.executor {
            Executor::Inline(_) => Place::Inline,
            Executor::Workers(_) => Place::Workers,
        }
    }

    /// What a call cost when it was measured: the median, of the dearest sample.
    #[must_use]
    pub fn cost(&self) -> Duration {
        self.cost
    }
}

#[async_trait]
impl<E: Engine> Model for Placed<E> {
    fn signature(&self) -> &Signature {
        match &self.executor {
            Executor::Inline(model) => model.signature(),
            Executor::Workers(model) => model.signature(),
        }
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        match &self.executor {
            Executor::Inline(model) => model.predict(request).await,
            Executor::Workers(model) => model.predict(request).await,
        }
    }
}
