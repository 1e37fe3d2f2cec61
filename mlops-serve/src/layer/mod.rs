//! Layers: models that wrap a model, as a layer of tower wraps a service.

mod batched;
pub mod pipeline;

use mlops_core::{Model, Result};

pub use batched::{Batched, Batching};
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
