//! A batch on a worker: joined, computed, split, and halved when it fails.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Error, Instant, Model, Request, Response, Result, Tensors, Timings};

use super::batch::{Batch, check};
use super::fill::Fill;
use super::runtime::Runtime;
use crate::executor::WarmUp;
use crate::executor::pool::{Desk, Job, Work};

/// Calls a model with batches.
#[derive(Debug)]
pub(super) struct Batches<M> {
    pub(super) models: Arc<Vec<M>>,
    pub(super) fill: Option<Fill>,
    pub(super) runtime: Runtime,
}

impl<M: Model> Work for Batches<M> {
    fn warm_up(&self, worker: usize, warm_up: &WarmUp) -> Result<Duration> {
        let model = self.model(worker);
        let run = || {
            warm_up.run_with(model.signature(), |inputs| call(model, Request::new(inputs.clone())).map(drop))
        };
        self.runtime.within(run)
    }

    fn compute(&self, worker: usize, mut jobs: Vec<Job>, desk: &Desk<'_>) {
        self.runtime.within(|| {
            let mut parts: Vec<Range<usize>> = std::iter::once(0..jobs.len()).collect();
            while let Some(part) = parts.pop()
                && let Some(began) = desk.begin()
            {
                let jobs = &mut jobs[part.clone()];
                let answers = desk.span(jobs).in_scope(|| match jobs {
                    [job] => self.one(worker, job, began, desk).map(|response| vec![response]),
                    jobs => self.joined(worker, jobs, began, desk),
                });
                match answers {
                    Ok(responses) => {
                        part.zip(responses).for_each(|(index, response)| desk.answer(index, Ok(response)));
                    }
                    Err(error) if part.len() == 1 => desk.answer(part.start, Err(error)),
                    Err(error) if is_of_all(&error) => {
                        part.for_each(|index| desk.answer(index, Err(again(&error))));
                    }
                    Err(_) => {
                        let middle = part.start + part.len() / 2;
                        parts.extend([middle..part.end, part.start..middle]);
                    }
                }
            }
        });
    }
}

impl<M: Model> Batches<M> {
    fn model(&self, worker: usize) -> &M {
        &self.models[worker % self.models.len()]
    }

    /// A request alone goes through as it is.
    fn one(&self, worker: usize, job: &mut Job, began: Instant, desk: &Desk<'_>) -> Result<Response> {
        let model = self.model(worker);
        desk.computes(job.rows);
        let mut response = call(model, std::mem::take(&mut job.request))?;
        check(model.signature(), &response.outputs)?;
        response.timings = timings(job, began, response.timings, desk.since(began));
        Ok(response)
    }

    fn joined(&self, worker: usize, jobs: &[Job], began: Instant, desk: &Desk<'_>) -> Result<Vec<Response>> {
        let model = self.model(worker);
        let requests: Vec<_> = jobs.iter().map(|job| &job.request.inputs).collect();
        let rows = jobs.iter().map(|job| job.rows).collect();
        let mut batch = Batch::join(model.signature(), &requests, rows, self.fill.as_ref())?;
        desk.computes(batch.total_rows());
        let response = call(model, request(jobs, std::mem::take(&mut batch.inputs)))?;
        let took = desk.since(began);
        let outputs = batch.split(model.signature(), &response.outputs)?;
        let answers = jobs.iter().zip(outputs).map(|(job, outputs)| {
            answer(job, outputs, &response).with_timings(timings(job, began, response.timings, took))
        });
        Ok(answers.collect())
    }
}

/// The request that stands for all: as urgent as the most urgent of them, and with as much time as the most patient.
fn request(jobs: &[Job], inputs: Tensors) -> Request {
    let mut request = Request::new(inputs);
    if let Some(first) = jobs.first() {
        request.context.clone_from(&first.request.context);
    }
    request.priority = jobs.iter().map(|job| job.request.priority).max().unwrap_or_default();
    let deadlines: Option<Vec<Instant>> = jobs.iter().map(|job| job.request.deadline).collect();
    request.deadline = deadlines.and_then(|deadlines| deadlines.into_iter().max());
    request
}

/// The part of one request in the response to all.
fn answer(job: &Job, outputs: Tensors, response: &Response) -> Response {
    let mut answer = Response::new(outputs).with_id(job.request.id.clone());
    answer.model.clone_from(&response.model);
    answer.variant.clone_from(&response.variant);
    answer.reason.clone_from(&response.reason);
    answer
}

/// Calls the model, and waits on this thread.
fn call(model: &impl Model, request: Request) -> Result<Response> {
    catch_unwind(AssertUnwindSafe(|| pollster::block_on(model.predict(request))))
        .unwrap_or_else(|payload| Err(Error::panicked(&*payload)))
}

/// Waiting here and inside the model; computing as the model says, or as long as it took.
fn timings(job: &Job, began: Instant, inner: Timings, took: Duration) -> Timings {
    let compute = if inner.compute.is_zero() { took.saturating_sub(inner.queue) } else { inner.compute };
    Timings { queue: began.saturating_duration_since(job.queued) + inner.queue, compute }
}

/// Whether the error is no fault of a request in the batch: each would meet it alone, too.
fn is_of_all(error: &Error) -> bool {
    matches!(error, Error::Overloaded { .. } | Error::Unavailable { .. } | Error::DeadlineExceeded { .. })
}

/// The same error, for one more caller. Its source becomes text.
fn again(error: &Error) -> Error {
    match error {
        Error::Overloaded { what } => Error::overloaded(what),
        Error::DeadlineExceeded { what } => Error::deadline_exceeded(what),
        Error::Unavailable { what, source: None } => Error::unavailable(what),
        Error::Unavailable { what, source: Some(source) } => {
            Error::unavailable(what).with_source(source.to_string())
        }
        other => Error::internal(other.to_string()),
    }
}
