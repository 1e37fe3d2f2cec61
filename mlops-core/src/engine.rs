//! Pure computation on a batch.

use std::fmt;
use std::sync::Arc;

use crate::{Result, Signature, Tensors};

/// Computes outputs from inputs, on the calling thread, and does nothing else.
///
/// An engine knows nothing of requests, queues or deadlines; an adapter (in `mlops-serve`) turns it into a
/// [`Model`](crate::Model), inline for the fast ones, on threads of its own for the heavy ones.
///
/// # Contract
/// * `run` may rely on inputs that fit [`signature`](Engine::signature): the adapter checks them.
/// * The rows of a batch are independent: a batch gives what its rows give one by one.
/// * It may panic; the adapter turns that into an error of the call. State must stay usable.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// What the engine takes and gives. Constant over the life of the value.
    fn signature(&self) -> &Signature;

    /// Computes the outputs.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) when the computation fails.
    fn run(&self, inputs: &Tensors) -> Result<Tensors>;
}

macro_rules! engines_behind_pointers {
    ($($pointer:ident),*) => {$(
        impl<E: Engine + ?Sized> Engine for $pointer<E> {
            fn signature(&self) -> &Signature {
                (**self).signature()
            }

            fn run(&self, inputs: &Tensors) -> Result<Tensors> {
                (**self).run(inputs)
            }
        }
    )*};
}

engines_behind_pointers!(Arc, Box);
