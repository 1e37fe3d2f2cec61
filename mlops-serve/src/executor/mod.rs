//! From engines to models.

mod inline;
mod on_workers;
mod placed;
pub(crate) mod pool;
mod shares;
mod warm_up;
mod workers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mlops_core::{Engine, Error, Result, Signature, Tensors};

pub use inline::Inline;
pub use on_workers::OnWorkers;
pub use placed::{Place, Placed, Placement};
pub use pool::WorkerHealth;
pub use shares::{CpuShare, CpuShares};
pub use warm_up::WarmUp;
pub use workers::Workers;

/// Ways to make a [`Model`](mlops_core::Model) of an [`Engine`].
pub trait EngineExt: Engine + Sized {
    /// Computes on the calling thread: right for engines that take microseconds.
    fn inline(self) -> Inline<Self> {
        Inline::new(self)
    }

    /// Computes on threads of the model's own: right for engines that take longer, or wait for a GPU, and
    /// would hold up the threads of an async runtime.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for zero workers; [`Error::Unavailable`] when a thread cannot be started;
    /// the error of the warm-up, where there is one.
    fn on_workers(self, workers: Workers) -> Result<OnWorkers<Self>> {
        OnWorkers::new(self, workers)
    }

    /// Measures the engine, and computes inline if it is fast, on workers if it is not.
    ///
    /// # Errors
    /// Those of [`Placed::new`].
    fn placed(self, placement: Placement) -> Result<Placed<Self>> {
        Placed::new(self, placement)
    }

    /// Runs the engine on sample inputs and says how long that took, so that what is done once (GPU kernels
    /// compiled and tuned, memory allocated) is done before the first request.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the samples do not fit the signature; otherwise what the engine answers.
    fn warm_up(&self, warm_up: &WarmUp) -> Result<Duration> {
        warm_up.run(self)
    }
}

impl<E: Engine> EngineExt for E {}

/// How many rows inputs have that were checked; `None` where no input is by row.
pub(crate) fn rows(signature: &Signature, inputs: &Tensors) -> Option<usize> {
    signature.inputs().iter().find_map(|spec| Some(inputs.get(spec.name())?.shape()[spec.batch_axis()?]))
}

/// Runs the engine on inputs that were checked. Outputs are checked here, and a panic is an error.
fn compute(engine: &impl Engine, inputs: &Tensors) -> Result<Tensors> {
    let outputs = catch_unwind(AssertUnwindSafe(|| engine.run(inputs)))
        .unwrap_or_else(|payload| Err(Error::panicked(&*payload)))?;
    engine
        .signature()
        .check_outputs(&outputs)
        .map_err(|violations| Error::engine("the outputs break the signature").with_source(violations))?;
    Ok(outputs)
}
