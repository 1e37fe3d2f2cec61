//! The seam through which monitoring and release analysis watch predictions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use web_time::Instant;

use crate::{Error, Model, Request, Response, Result, Signature, Variant};

/// Receives every finished prediction.
///
/// Metrics, drift monitors, capture logs and release analysis are observers; that is how they meet without
/// knowing each other. An observer is called on the request path: it never blocks and never fails a
/// prediction; what it cannot take at once it drops and counts. `Arc`s, tuples of two and vectors of
/// observers are observers.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// One prediction has finished, well or not.
    fn observe(&self, prediction: &Prediction<'_>);
}

/// One finished prediction, as an [`Observer`] sees it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Prediction<'a> {
    /// What was asked.
    pub request: &'a Request,
    /// What came of it.
    pub result: Result<&'a Response, &'a Error>,
    /// Which variant was asked, where there are variants. Known even when it failed.
    pub variant: Option<&'a Variant>,
    /// Whether the caller got this answer.
    pub role: Role,
    /// From the call to the answer.
    pub latency: Duration,
}

/// Whether the caller got the answer of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The caller got it.
    Primary,
    /// It was made from a copy of the request, and compared or dropped.
    Shadow,
}

impl Role {
    /// The role as a metric label: `primary` or `shadow`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Shadow => "shadow",
        }
    }
}

impl<'a> Prediction<'a> {
    /// A prediction that the caller got, of a model without variants.
    #[must_use]
    pub fn new(request: &'a Request, result: Result<&'a Response, &'a Error>, latency: Duration) -> Self {
        Self { request, result, variant: None, role: Role::Primary, latency }
    }

    /// Says which variant was asked, and whether the caller got its answer.
    #[must_use]
    pub fn of_variant(mut self, variant: &'a Variant, role: Role) -> Self {
        (self.variant, self.role) = (Some(variant), role);
        self
    }
}

/// A model that reports every finished prediction to an observer.
///
/// ```
/// use mlops_core::{ModelExt, Model, Observer, Prediction};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Debug, Default)]
/// struct Failures(AtomicU64);
///
/// impl Observer for Failures {
///     fn observe(&self, prediction: &Prediction<'_>) {
///         self.0.fetch_add(u64::from(prediction.result.is_err()), Ordering::Relaxed);
///     }
/// }
///
/// fn watched(model: impl Model) -> impl Model {
///     model.observed(Failures::default())
/// }
/// ```
#[derive(Debug)]
pub struct Observed<M> {
    model: M,
    observer: Arc<dyn Observer>,
}

impl<M: Model> Observed<M> {
    /// Wraps `model`.
    pub fn new(model: M, observer: impl Observer) -> Self {
        Self { model, observer: Arc::new(observer) }
    }
}

#[async_trait]
impl<M: Model> Model for Observed<M> {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let started = Instant::now();
        let result = self.model.predict(request.clone()).await;
        let latency = started.elapsed();
        let variant = result.as_ref().ok().and_then(|response| response.variant.as_ref());
        self.observer.observe(&Prediction {
            request: &request,
            result: result.as_ref(),
            variant,
            role: Role::Primary,
            latency,
        });
        result
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, prediction: &Prediction<'_>) {
        (**self).observe(prediction);
    }
}

impl<O: Observer> Observer for Vec<O> {
    fn observe(&self, prediction: &Prediction<'_>) {
        for observer in self {
            observer.observe(prediction);
        }
    }
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    fn observe(&self, prediction: &Prediction<'_>) {
        self.0.observe(prediction);
        self.1.observe(prediction);
    }
}
