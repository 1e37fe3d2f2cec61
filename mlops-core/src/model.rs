//! The one trait everything in the house is built from.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Observed, Observer, Request, Response, Result, Signature};

/// Something that answers requests: a single engine, or a stack of layers around one.
///
/// Everything is a model that wraps a model, as a layer of tower wraps a service: batching, caching,
/// limits, routing, observation. So whatever takes a model takes any stack of them, and `Arc` and `Box` of
/// models are models.
///
/// # Contract
/// * `predict` answers [`Error::InvalidInput`](crate::Error::InvalidInput) to inputs that
///   [`signature`](Model::signature) refuses; outputs fit the signature.
/// * It never panics and never blocks the thread for long; dropping the future abandons the call.
/// * [`Response::id`] is the id of the request.
/// * Calls are independent: one that fails says nothing about another.
///
/// `mlops_core::conformance::model` (feature `conformance`) checks all of this.
///
/// ```
/// use async_trait::async_trait;
/// use mlops_core::{DType, Dimension, Model, Request, Response, Result, Signature, Tensor, TensorSpec, Tensors};
///
/// #[derive(Debug)]
/// struct Doubler(Signature);
///
/// impl Doubler {
///     fn new() -> Result<Self> {
///         let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
///         Ok(Self(Signature::new([spec("x")], [spec("y")])?))
///     }
/// }
///
/// #[async_trait]
/// impl Model for Doubler {
///     fn signature(&self) -> &Signature {
///         &self.0
///     }
///
///     async fn predict(&self, request: Request) -> Result<Response> {
///         self.0.check(&request.inputs)?;
///         let y = request.inputs.require("x")?.view::<f32>()?.mapv(|x| 2.0 * x);
///         Ok(Response::new(Tensors::new().with("y", y)).with_id(request.id))
///     }
/// }
/// # Doubler::new().unwrap();
/// ```
#[async_trait]
pub trait Model: fmt::Debug + Send + Sync + 'static {
    /// What the model takes and gives. Constant over the life of the value.
    fn signature(&self) -> &Signature;

    /// Answers one request.
    async fn predict(&self, request: Request) -> Result<Response>;
}

/// The layers of this crate, in fluent form.
pub trait ModelExt: Model + Sized {
    /// Reports every finished prediction to `observer`.
    fn observed(self, observer: impl Observer) -> Observed<Self> {
        Observed::new(self, observer)
    }
}

impl<M: Model> ModelExt for M {}

// Written out, so that a pointer adds no boxed future of its own.
macro_rules! models_behind_pointers {
    ($($pointer:ident),*) => {$(
        impl<M: Model + ?Sized> Model for $pointer<M> {
            fn signature(&self) -> &Signature {
                (**self).signature()
            }

            fn predict<'a, 'b>(
                &'a self,
                request: Request,
            ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response>> + Send + 'b>>
            where
                'a: 'b,
                Self: 'b,
            {
                (**self).predict(request)
            }
        }
    )*};
}

models_behind_pointers!(Arc, Box);
