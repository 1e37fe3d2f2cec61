//! Answers in time or not at all.

use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{Error, Instant, Model, Request, Response, Result, Signature};
use tokio::time::timeout_at;

/// A model that takes no longer than it may: neither than a limit of its own, nor than the deadline of the
/// request.
///
/// The tighter of the two is the deadline of the inner request, so that queues and batches inside can drop
/// what comes too late. When it passes, the answer is [`Error::DeadlineExceeded`] (504 over HTTP), and the
/// call inside is abandoned.
///
/// A model that computes on the calling thread ([`Inline`](crate::Inline)) blocks the timer too: it cannot be
/// interrupted. Its late answer is `DeadlineExceeded` all the same, but late. Put heavy engines on
/// [workers](crate::OnWorkers); there, too, what is being computed is computed to its end, but the caller
/// does not wait for it.
///
/// Needs a tokio runtime with its timer enabled.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::Model;
/// use mlops_serve::ServeExt;
///
/// fn prompt(model: impl Model) -> impl Model {
///     model.timed_out(Duration::from_millis(50))
/// }
/// ```
#[derive(Debug)]
pub struct TimedOut<M> {
    model: M,
    limit: Duration,
}

impl<M: Model> TimedOut<M> {
    /// Gives each call of `model` at most `limit`.
    pub fn new(model: M, limit: Duration) -> Self {
        Self { model, limit }
    }

    fn exceeded(&self, own: bool) -> Error {
        if own {
            Error::deadline_exceeded(format!("the model did not answer within {:?}", self.limit))
        } else {
            Error::deadline_exceeded("the model did not answer before the deadline of the request")
        }
    }
}

#[async_trait]
impl<M: Model> Model for TimedOut<M> {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    async fn predict(&self, mut request: Request) -> Result<Response> {
        let now = now();
        let limit = now.checked_add(self.limit);
        let Some(deadline) = [request.deadline, limit].into_iter().flatten().min() else {
            return self.model.predict(request).await;
        };
        let own = limit == Some(deadline);
        if deadline <= now {
            return Err(self.exceeded(own));
        }
        request.deadline = Some(deadline);
        match timeout_at(deadline.into(), self.model.predict(request)).await {
            Ok(result) if self::now() <= deadline => result,
            // Too late, because the model blocked the thread; but what is the caller's fault stays so.
            Ok(Err(error)) if error.is_caller_fault() => Err(error),
            Ok(_) | Err(_) => Err(self.exceeded(own)),
        }
    }
}

/// The time of the runtime, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
