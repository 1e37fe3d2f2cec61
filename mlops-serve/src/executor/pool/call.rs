//! One request on its way through a pool.

use std::sync::Arc;

use futures_channel::oneshot;
use mlops_core::{Error, Instant, Request, Response, Result, Tensor};

use super::gather::Waiting;
use super::meters::Meters;

/// Where the caller waits.
pub(crate) type Answer = oneshot::Sender<Result<Response>>;

/// What a worker needs to know of a request.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: Request,
    /// How many rows it has.
    pub(crate) rows: usize,
    /// Since when it waits.
    pub(crate) queued: Instant,
    /// Where the caller was, for traces.
    pub(crate) span: tracing::Span,
}

/// What requests have in common that can be in one batch, beside their routing context.
#[derive(Debug, PartialEq)]
pub(crate) struct Group {
    /// Which inputs are there, and the lengths of their free dimensions.
    pub(crate) lengths: Vec<usize>,
    /// The inputs that are not by row.
    pub(crate) shared: Vec<Tensor>,
}

/// A request that waits, and who waits for it.
#[derive(Debug)]
pub(crate) struct Call {
    job: Job,
    answer: Answer,
    /// With whom it can be in one batch. Without a group it is computed alone.
    group: Option<Group>,
    bytes: usize,
    /// It counts as waiting while this lives.
    waits: Waits,
}

#[derive(Debug)]
struct Waits(Arc<Meters>);

impl Call {
    pub(super) fn new(job: Job, group: Option<Group>, answer: Answer, meters: Arc<Meters>) -> Self {
        meters.waiting(1.0);
        let bytes = job.request.inputs.iter().map(|(_, tensor)| tensor.as_bytes().len()).sum();
        Self { job, answer, group, bytes, waits: Waits(meters) }
    }

    /// It waits no longer.
    pub(super) fn into_parts(self) -> (Job, Answer) {
        (self.job, self.answer)
    }

    /// Answers with an error instead of computing.
    pub(super) fn reject(self, error: Error) {
        self.waits.0.rejected(&error);
        // The caller may have gone.
        let _ = self.answer.send(Err(error));
    }
}

impl Waiting for Call {
    fn priority(&self) -> i32 {
        self.job.request.priority
    }

    fn queued(&self) -> Instant {
        self.job.queued
    }

    fn deadline(&self) -> Option<Instant> {
        self.job.request.deadline
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_canceled()
    }

    fn rows(&self) -> usize {
        self.job.rows
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn joins(&self, other: &Self) -> bool {
        self.group.is_some()
            && self.group == other.group
            && self.job.request.context == other.job.request.context
    }

    fn expire(self, now: Instant) {
        if !self.is_abandoned() {
            let waited = now.saturating_duration_since(self.job.queued);
            self.reject(Error::deadline_exceeded(format!(
                "it passed in the queue, where the request waited {waited:?}"
            )));
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting(-1.0);
    }
}
