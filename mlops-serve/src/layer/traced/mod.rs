//! A span for every call.

use std::pin::Pin;
use std::sync::Arc;

use mlops_core::{Model, ModelId, Request, Response, Result, Signature};
use tracing::field::{Empty, display};
use tracing::{Instrument, Span, info_span};

/// A model each of whose calls is a `tracing` span named `predict`, at level INFO.
///
/// | field | is |
/// |---|---|
/// | `model.name`, `model.version` | which model answered; from [`with_id`](Self::with_id), else from the response |
/// | `request.id` | the id of the request |
/// | `rows` | the length of the batch dimension |
/// | `queue_seconds`, `compute_seconds` | the [timings](mlops_core::Timings) of the answer |
/// | `outcome` | `ok`, the [label](mlops_core::Error::label) of the error, or `abandoned` when the caller gave up |
/// | `error.type` | the label of the error, as the [semantic conventions of OpenTelemetry](https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/) have it |
/// | `otel.status_code` | `ERROR` after an error that is not the caller's fault |
///
/// OpenTelemetry has no conventions yet for the rest. Spans hold no inputs, no outputs and no messages of
/// errors, which may quote inputs.
///
/// Where no subscriber wants the span, a call costs one atomic load more than without the layer.
///
/// ```
/// use mlops_core::Model;
/// use mlops_serve::ServeExt;
///
/// fn visible(model: impl Model) -> impl Model {
///     model.traced()
/// }
/// ```
#[derive(Debug)]
pub struct Traced<M> {
    model: M,
    id: Option<Arc<ModelId>>,
}

/// A call that has not ended yet; dropped before its end, it was abandoned.
struct Open(Option<Span>);

impl<M: Model> Traced<M> {
    /// Wraps `model`.
    pub fn new(model: M) -> Self {
        Self { model, id: None }
    }

    /// Says which model and version this is, for calls that fail, too.
    #[must_use]
    pub fn with_id(mut self, id: ModelId) -> Self {
        self.id = Some(Arc::new(id));
        self
    }

    fn begin(&self, span: &Span, request: &Request) {
        if let Some(id) = &self.id {
            name(span, id);
        }
        if let Some(id) = &request.id {
            span.record("request.id", &**id);
        }
        if let Some(rows) = rows(self.model.signature(), request) {
            span.record("rows", rows);
        }
    }
}

// Written out, so that a call that nobody traces has no boxed future of its own.
impl<M: Model> Model for Traced<M> {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    fn predict<'a, 'b>(
        &'a self,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = Result<Response>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let span = info_span!(
            "predict",
            model.name = Empty,
            model.version = Empty,
            request.id = Empty,
            rows = Empty,
            queue_seconds = Empty,
            compute_seconds = Empty,
            outcome = Empty,
            error.type = Empty,
            otel.status_code = Empty,
        );
        if span.is_disabled() {
            return self.model.predict(request);
        }
        self.begin(&span, &request);
        Box::pin(async move {
            let open = Open(Some(span.clone()));
            let result = self.model.predict(request).instrument(span).await;
            open.end(&result, self.id.is_none());
            result
        })
    }
}

impl Open {
    fn end(mut self, result: &Result<Response>, nameless: bool) {
        let Some(span) = self.0.take() else { return };
        match result {
            Ok(response) => {
                span.record("outcome", "ok");
                span.record("queue_seconds", response.timings.queue.as_secs_f64());
                span.record("compute_seconds", response.timings.compute.as_secs_f64());
                if let Some(id) = response.model.as_ref().filter(|_| nameless) {
                    name(&span, id);
                }
            }
            Err(error) => {
                span.record("outcome", error.label());
                span.record("error.type", error.label());
                if !error.is_caller_fault() {
                    span.record("otel.status_code", "ERROR");
                }
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(span) = &self.0 {
            span.record("outcome", "abandoned");
        }
    }
}

fn name(span: &Span, id: &ModelId) {
    span.record("model.name", display(&id.name));
    span.record("model.version", display(&id.version));
}

/// The length of the batch dimension, if the inputs have one.
fn rows(signature: &Signature, request: &Request) -> Option<usize> {
    signature.inputs().iter().find_map(|spec| {
        let axis = spec.batch_axis()?;
        request.inputs.get(spec.name())?.shape().get(axis).copied()
    })
}
