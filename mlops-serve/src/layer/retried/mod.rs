//! A second chance for what may succeed later.

mod backoff;
mod budget;

use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{Error, Model, Request, Response, Result, Signature};

use super::timed_out::now;
use backoff::Backoff;

pub use budget::RetryBudget;

/// How often, and after which waits, a [`Retried`] model is asked again.
///
/// The wait before the n-th retry is drawn from \[0, min(longest, first · 2ⁿ⁻¹)\]: exponential back-off with
/// full jitter, which spreads callers best (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture
/// Blog, 2015).
#[derive(Debug)]
#[must_use]
pub struct Retries {
    attempts: u32,
    backoff: Backoff,
    budget: RetryBudget,
}

/// A model that is asked again when it fails in a way that
/// [may pass](mlops_core::Error::is_retryable): overloaded or unavailable. Every other error is answered
/// at once.
///
/// Retries never multiply an overload: there are at most so many attempts, each after a longer wait, and a
/// [`RetryBudget`] stops them altogether while too many calls fail. None begins after the deadline of the
/// request: the last error is answered at once when the wait would reach it.
///
/// Retry at one place of a stack only, or attempts multiply. Needs a tokio runtime with its timer enabled.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::Model;
/// use mlops_serve::{ServeExt, layer::{RetryBudget, Retries}};
///
/// fn patient(model: impl Model) -> impl Model {
///     let retries = Retries::new(3)
///         .with_backoff(Duration::from_millis(5), Duration::from_millis(100))
///         .with_budget(RetryBudget::new(100, 0.1));
///     model.retried(retries)
/// }
/// ```
#[derive(Debug)]
pub struct Retried<M> {
    model: M,
    retries: Retries,
}

impl Retries {
    /// At most that many attempts, the first included; 0 is as 1. Waits of up to 10 ms, 20 ms, 40 ms, ...,
    /// 1 s; a budget of 100 tokens, of which an answer gives a tenth back.
    pub fn new(attempts: u32) -> Self {
        Self {
            attempts,
            backoff: Backoff::new(Duration::from_millis(10), Duration::from_secs(1)),
            budget: RetryBudget::default(),
        }
    }

    /// The bound of the first wait, and the bound of all.
    pub fn with_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = self.backoff.bounded(first, longest);
        self
    }

    /// What stops retries while too many calls fail. Clones of a budget share their tokens, so models
    /// behind the same bottleneck may share one.
    pub fn with_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Draws the same waits for the same seed: for tests and simulations.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.backoff = self.backoff.seeded(seed);
        self
    }
}

impl<M: Model> Retried<M> {
    /// Asks `model` again as `retries` says.
    pub fn new(model: M, retries: Retries) -> Self {
        Self { model, retries }
    }

    /// How long to wait before the next attempt, if there is to be one.
    fn wait(&self, attempt: u32, error: &Error, request: &Request) -> Option<Duration> {
        if !error.is_retryable() || !self.retries.budget.spend() || attempt >= self.retries.attempts {
            return None;
        }
        let wait = self.retries.backoff.wait(attempt);
        let again = now().checked_add(wait)?;
        request.deadline.is_none_or(|deadline| again < deadline).then_some(wait)
    }
}

#[async_trait]
impl<M: Model> Model for Retried<M> {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let mut attempt = 1;
        loop {
            let error = match self.model.predict(request.clone()).await {
                Ok(response) => {
                    self.retries.budget.earn();
                    return Ok(response);
                }
                Err(error) => error,
            };
            let Some(wait) = self.wait(attempt, &error, &request) else { return Err(error) };
            tracing::debug!(
                attempt,
                wait_seconds = wait.as_secs_f64(),
                error = error.label(),
                "asking again"
            );
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }
}
