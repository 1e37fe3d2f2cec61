//! Rest for a model that keeps failing.

mod circuit;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{Clock, Error, Model, Request, Response, Result, Signature, SystemClock};

use circuit::Circuit;

/// When the circuit to a model opens, and for how long.
///
/// The circuit breaker of Michael Nygard, *Release It!* (2nd edition, 2018, chapter 5), over the outcomes of
/// the last calls:
/// * **closed**, calls pass. When at least [`with_failure_share`](Self::with_failure_share) of the last
///   calls have failed, it opens.
/// * **open**, calls are refused for [`with_pause`](Self::with_pause).
/// * **half-open**, one call passes as a probe. When it is answered the circuit closes and forgets; when it
///   fails the circuit opens for another pause.
#[derive(Debug, Clone)]
#[must_use]
pub struct CircuitBreaker {
    calls: usize,
    share: f64,
    pause: Duration,
    clock: Arc<dyn Clock>,
}

/// A model that is not asked for a while after it has kept failing; meanwhile the answer is
/// [`Error::Unavailable`] at once.
///
/// That spares its callers the wait for a failure, and gives it time to recover. A failure is what
/// [is not the caller's fault](Error::is_caller_fault); what is, and a call whose caller gave up, counts
/// neither way. So that a model that hangs counts as failing, time it out inside:
/// `model.timed_out(..).guarded(..)`. Limits [per key](super::Limited) belong outside, or the excess of one
/// caller opens the circuit for all.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::Model;
/// use mlops_serve::{ServeExt, layer::CircuitBreaker};
///
/// fn spared(model: impl Model) -> impl Model {
///     model.guarded(CircuitBreaker::new(20).with_failure_share(0.5).with_pause(Duration::from_secs(10)))
/// }
/// ```
#[derive(Debug)]
pub struct Guarded<M> {
    model: M,
    circuit: Circuit,
}

impl CircuitBreaker {
    /// Opens after that many failures in a row, for 5 seconds. 0 is as 1.
    pub fn new(calls: usize) -> Self {
        Self { calls: calls.max(1), share: 1.0, pause: Duration::from_secs(5), clock: Arc::new(SystemClock) }
    }

    /// Opens already when this share, 0 to 1, of the last calls have failed. It is not asked before so many
    /// calls were made.
    pub fn with_failure_share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// For how long an open circuit refuses calls.
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The clock that the pause is measured by: that of the system unless set.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl<M: Model> Guarded<M> {
    /// Puts a circuit breaker before `model`.
    pub fn new(model: M, breaker: CircuitBreaker) -> Self {
        Self { model, circuit: Circuit::new(breaker) }
    }

    /// Whether calls are refused now, but for a probe.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.circuit.is_open()
    }
}

#[async_trait]
impl<M: Model> Model for Guarded<M> {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let Some(passage) = self.circuit.pass() else {
            // Wrong inputs are wrong whether the model is there or not.
            self.model.signature().check(&request.inputs)?;
            return Err(Error::unavailable("the model kept failing, so it is not asked for a while"));
        };
        let result = self.model.predict(request).await;
        match &result {
            Ok(_) => passage.answered(),
            Err(error) if error.is_caller_fault() => drop(passage),
            Err(_) => passage.failed(),
        }
        result
    }
}
