//! Each request in the host's traces and logs.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::instrument::{Instrument, Instrumented};

use super::request_id::{REQUEST_ID, RequestId};

/// Runs each request in a span of its own, and tells the caller how it is known in the logs.
///
/// The fields are those of OpenTelemetry's [semantic conventions for HTTP
/// servers](https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace;

/// A service whose requests are [traced](Trace).
#[derive(Debug, Clone)]
pub(crate) struct Traced<S>(S);

impl<S> Layer<S> for Trace {
    type Service = Traced<S>;

    fn layer(&self, service: S) -> Traced<S> {
        Traced(service)
    }
}

impl<S: Service<Request, Response = Response<B>>, B> Service<Request> for Traced<S> {
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let id = RequestId::of(request.headers());
        // Out of the extensions, which have room for three without growing: nobody behind this reads it.
        let route = request.extensions_mut().remove::<MatchedPath>();
        let span = tracing::info_span!(
            "request",
            otel.kind = "server",
            http.request.method = %request.method(),
            http.route = route.as_ref().map(MatchedPath::as_str),
            http.response.status_code = Empty,
            request_id = &*id.0,
        );
        #[cfg(feature = "otel")]
        if !span.is_disabled() {
            super::propagation::accept(request.headers(), &span);
        }
        let mut header = HeaderValue::from_str(&id.0).ok();
        if let Some(header) = &mut header {
            // A value that never comes again: HTTP/2 must not make room for it in its table of headers.
            header.set_sensitive(true);
        }
        request.extensions_mut().insert(id);
        Answer { inner: self.0.call(request).instrument(span), id: header }
    }
}

pin_project! {
    /// The answer to a [traced](Trace) request, on its way.
    pub(crate) struct Answer<F> {
        #[pin]
        inner: Instrumented<F>,
        id: Option<HeaderValue>,
    }
}

impl<F: Future<Output = Result<Response<B>, E>>, B, E> Future for Answer<F> {
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut result = ready!(this.inner.as_mut().poll(context));
        if let Ok(response) = &mut result {
            this.inner.span().record("http.response.status_code", response.status().as_u16());
            if let Some(id) = this.id.take() {
                response.headers_mut().insert(REQUEST_ID, id);
            }
        }
        Poll::Ready(result)
    }
}
