//! OpenTelemetry's context, from callers and to callees, in the headers of the
//! [W3C Trace Context](https://www.w3.org/TR/trace-context/).

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes `span` a child of the one that the headers of a request name, if they do.
pub(super) fn accept(headers: &HeaderMap, span: &Span) {
    let context = TraceContextPropagator::new().extract(&Headers(headers));
    // It fails only where the host collects no OpenTelemetry spans.
    let _ = span.set_parent(context);
}

/// Adds the headers that make a call to another service a child of the current span: for models that ask others.
///
/// ```
/// let mut headers = axum::http::HeaderMap::new();
/// mlops_serve::server::propagate(&mut headers); // then send the request with them
/// ```
pub fn propagate(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut HeadersMut(headers));
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
