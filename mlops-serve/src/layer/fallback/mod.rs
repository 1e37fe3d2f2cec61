//! Another answer rather than none.

use std::fmt;
use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures_util::FutureExt;
use mlops_core::{Error, Instant, Model, Reason, Request, Response, Result, Signature};

use super::narrowed::Narrowed;

/// A model in whose place another answers when it fails: a smaller one, an older one, a rule.
///
/// The other is asked when the first fails in a way that is
/// [not the caller's fault](Error::is_caller_fault), or as [`when`](Self::when) says, and the deadline of the
/// request has not passed. A panic of the first is a failure like any other. The [`Response::reason`] of such
/// an answer is `fallback: ` and the [label](Error::label) of the error, so that callers and auditors know.
/// When the other fails too, its error is answered.
///
/// The first may use up all the time there is: give it a part, `model.timed_out(..).fallback(other)`. And so
/// that one that keeps failing is not asked each time, `model.timed_out(..).guarded(..).fallback(other)`.
///
/// ```
/// use mlops_core::{Model, Result};
/// use mlops_serve::ServeExt;
///
/// fn safe(model: impl Model, rule: impl Model) -> Result<impl Model> {
///     model.fallback(rule)
/// }
/// ```
pub struct Fallback<M, F> {
    first: M,
    other: Narrowed<F>,
    when: Box<dyn Fn(&Error) -> bool + Send + Sync>,
}

impl<M: Model, F: Model> Fallback<M, F> {
    /// `other` answers when `first` fails.
    ///
    /// # Errors
    /// [`Error::Conflict`] when `other` would break those who know the signature of `first`.
    pub fn new(first: M, other: F) -> Result<Self> {
        let other = Narrowed::new(other, first.signature(), "the fallback")?;
        Ok(Self { first, other, when: Box::new(|error| !error.is_caller_fault()) })
    }

    /// After which errors the other is asked.
    #[must_use]
    pub fn when(mut self, failed: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.when = Box::new(failed);
        self
    }
}

#[async_trait]
impl<M: Model, F: Model> Model for Fallback<M, F> {
    fn signature(&self) -> &Signature {
        self.first.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let deadline = request.deadline;
        let first =
            AssertUnwindSafe(async { self.first.predict(request.clone()).await }).catch_unwind().await;
        let error = match first.unwrap_or_else(|payload| Err(Error::panicked(&*payload))) {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        if !(self.when)(&error) || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(error);
        }
        tracing::debug!(error = error.label(), "the fallback is asked");
        let mut response = self.other.predict(request).await?;
        response.reason = Some(Reason::Other(format!("fallback: {}", error.label()).into()));
        Ok(response)
    }
}

impl<M: fmt::Debug, F: fmt::Debug> fmt::Debug for Fallback<M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("first", &self.first)
            .field("other", &self.other)
            .finish_non_exhaustive()
    }
}
