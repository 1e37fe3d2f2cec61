//! Layers: models that wrap a model, as a layer of tower wraps a service.
//!
//! | layer | is for | feature |
//! |---|---|---|
//! | [`Batched`] | computing requests together that wait | |
//! | `Cached` | answering what was asked before | `cache` |
//! | [`Fallback`] | another answer when the first model fails | |
//! | [`Guarded`] | sparing a model that keeps failing: a circuit breaker | |
//! | [`HotSwap`] | replacing a model while it is in use | |
//! | `Limited` | concurrency and rate, of all or of each key | `limit` |
//! | [`pipeline`] | steps before and after a model, graphs of models, cascades | |
//! | `Retried` | asking again what may succeed later | `timer` |
//! | `TimedOut` | answers in time or not at all | `timer` |
//! | [`Traced`] | a `tracing` span for every call | |

mod batched;
#[cfg(feature = "cache")]
mod cached;
mod fallback;
#[cfg(any(feature = "cache", all(test, loom)))]
mod flights;
mod guarded;
mod hot_swap;
#[cfg(feature = "limit")]
mod limited;
mod narrowed;
pub mod pipeline;
#[cfg(feature = "timer")]
mod retried;
#[cfg(feature = "timer")]
mod timed_out;
mod traced;

use mlops_core::{Model, Result};

pub use batched::{Batched, Batching};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use cached::RedisTier;
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub use cached::{CacheTier, CacheUsage, Cached, Caching};
pub use fallback::Fallback;
pub use guarded::{CircuitBreaker, Guarded};
pub use hot_swap::{HotSwap, Retired};
#[cfg(feature = "limit")]
#[cfg_attr(docsrs, doc(cfg(feature = "limit")))]
pub use limited::{Limited, Limits};
#[cfg(feature = "timer")]
#[cfg_attr(docsrs, doc(cfg(feature = "timer")))]
pub use retried::{Retried, Retries, RetryBudget};
#[cfg(feature = "timer")]
#[cfg_attr(docsrs, doc(cfg(feature = "timer")))]
pub use timed_out::TimedOut;
pub use traced::Traced;

use pipeline::{Cascade, Postprocess, Postprocessed, Preprocess, Preprocessed};

/// The layers of this crate, in fluent form.
pub trait ServeExt: Model + Sized {
    /// Computes requests that wait together, on threads of the model's own.
    ///
    /// # Errors
    /// Those of [`Batched::new`].
    fn batched(self, batching: Batching) -> Result<Batched<Self>> {
        Batched::new(self, batching)
    }

    /// Keeps answers for those who ask the same.
    #[cfg(feature = "cache")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
    fn cached(self, caching: Caching) -> Cached<Self> {
        Cached::new(self, caching)
    }

    /// Lets `other` answer when this one fails.
    ///
    /// # Errors
    /// [`Error::Conflict`](mlops_core::Error::Conflict) when `other` would break those who know the
    /// signature of this one.
    fn fallback<F: Model>(self, other: F) -> Result<Fallback<Self, F>> {
        Fallback::new(self, other)
    }

    /// Does not ask the model for a while after it has kept failing.
    fn guarded(self, breaker: CircuitBreaker) -> Guarded<Self> {
        Guarded::new(self, breaker)
    }

    /// Serves this model until another replaces it.
    fn hot_swap(self) -> HotSwap {
        HotSwap::new(self)
    }

    /// Refuses what exceeds the limits.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) for limits that limit nothing or refuse
    /// everything.
    #[cfg(feature = "limit")]
    #[cfg_attr(docsrs, doc(cfg(feature = "limit")))]
    fn limited(self, limits: Limits) -> Result<Limited<Self>> {
        Limited::new(self, limits)
    }

    /// Asks again what may succeed later.
    #[cfg(feature = "timer")]
    #[cfg_attr(docsrs, doc(cfg(feature = "timer")))]
    fn retried(self, retries: Retries) -> Retried<Self> {
        Retried::new(self, retries)
    }

    /// Gives each call at most `limit`.
    #[cfg(feature = "timer")]
    #[cfg_attr(docsrs, doc(cfg(feature = "timer")))]
    fn timed_out(self, limit: std::time::Duration) -> TimedOut<Self> {
        TimedOut::new(self, limit)
    }

    /// Makes a `tracing` span of every call.
    fn traced(self) -> Traced<Self> {
        Traced::new(self)
    }

    /// Runs a step on the inputs, before the model.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) that names everything that does not fit.
    fn preprocessed(self, step: impl Preprocess) -> Result<Preprocessed<Self>> {
        Preprocessed::new(self, step)
    }

    /// Runs a step on the outputs, after the model.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) that names everything that does not fit.
    fn postprocessed(self, step: impl Postprocess) -> Result<Postprocessed<Self>> {
        Postprocessed::new(self, step)
    }

    /// Lets `larger` answer the rows of which this model is not sure: those whose greatest value of `output` is
    /// below `threshold`. See [`Cascade`].
    ///
    /// # Errors
    /// Those of [`Cascade::by_score`].
    fn cascaded<L: Model>(self, larger: L, output: &str, threshold: f64) -> Result<Cascade<Self, L>> {
        Cascade::by_score(self, larger, output, threshold)
    }
}

impl<M: Model> ServeExt for M {}
