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
    /// The caller got it in the place of the variant that was to answer and failed, whose failure was reported
    /// as [`Role::Primary`]. To count these among the others would change the shares of a comparison.
    Fallback,
}

impl Role {
    /// The role as a metric label: `primary`, `shadow` or `fallback`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Shadow => "shadow",
            Self::Fallback => "fallback",
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
        let copy = request.clone();
        let call = Call::begin(&*self.observer, &copy);
        let result = self.model.predict(request).await;
        call.finish(result.as_ref());
        result
    }
}

/// A prediction under way, for layers that report to observers.
///
/// It is reported once: when it has finished, or, as [`Error::DeadlineExceeded`], when it is dropped because
/// its caller has given up. A model that hangs must not look healthy because nobody waits for it.
#[derive(Debug)]
pub struct Call<'a> {
    observer: &'a dyn Observer,
    request: &'a Request,
    variant: Option<(&'a Variant, Role)>,
    began: Instant,
    reported: bool,
}

impl<'a> Call<'a> {
    /// The call begins now.
    pub fn begin(observer: &'a dyn Observer, request: &'a Request) -> Self {
        Self { observer, request, variant: None, began: Instant::now(), reported: false }
    }

    /// Says which variant is asked, and whether the caller will get its answer. Otherwise the variant is the
    /// one that the response names.
    #[must_use]
    pub fn of_variant(mut self, variant: &'a Variant, role: Role) -> Self {
        self.variant = Some((variant, role));
        self
    }

    /// Reports what came of it, and says how long it took.
    pub fn finish(mut self, result: Result<&Response, &Error>) -> Duration {
        self.report(result)
    }

    fn report(&mut self, result: Result<&Response, &Error>) -> Duration {
        self.reported = true;
        let latency = self.began.elapsed();
        let mut prediction = Prediction::new(self.request, result, latency);
        if let Some((variant, role)) = self.variant {
            prediction = prediction.of_variant(variant, role);
        } else if let Ok(Response { variant: Some(variant), .. }) = result {
            prediction = prediction.of_variant(variant, Role::Primary);
        }
        self.observer.observe(&prediction);
        latency
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.reported {
            self.report(Err(&Error::deadline_exceeded("the caller gave up before the answer was there")));
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::{ModelExt, Tensors};

    /// Answers, or never does.
    #[derive(Debug)]
    struct Answering(Signature, bool);

    #[async_trait]
    impl Model for Answering {
        fn signature(&self) -> &Signature {
            &self.0
        }

        async fn predict(&self, request: Request) -> Result<Response> {
            if !self.1 {
                std::future::pending::<()>().await;
            }
            Ok(Response::new(Tensors::new()).with_id(request.id))
        }
    }

    #[derive(Debug, Default)]
    struct Log(Mutex<Vec<String>>);

    impl Observer for Log {
        fn observe(&self, prediction: &Prediction<'_>) {
            let id = prediction.request.id.as_deref().unwrap_or_default();
            let outcome = prediction.result.map_or_else(Error::label, |_| "ok");
            self.0.lock().unwrap().push(format!("{id} {outcome} {}", prediction.role.name()));
        }
    }

    fn observed(answers: bool) -> (Observed<Answering>, Arc<Log>) {
        let log = Arc::new(Log::default());
        let signature = Signature::new([], []).unwrap();
        (Answering(signature, answers).observed(Arc::clone(&log)), log)
    }

    #[test]
    fn every_prediction_is_reported_once() {
        let (model, log) = observed(true);
        let mut call = model.predict(Request::default().with_id("a"));
        assert!(matches!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_))));
        drop(call);
        assert_eq!(*log.0.lock().unwrap(), ["a ok primary"]);
    }

    #[test]
    fn a_call_whose_caller_gives_up_is_reported_as_failed() {
        let (model, log) = observed(false);
        let mut call = model.predict(Request::default().with_id("b"));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(log.0.lock().unwrap().is_empty());
        drop(call);
        assert_eq!(*log.0.lock().unwrap(), ["b deadline_exceeded primary"]);
    }
}
