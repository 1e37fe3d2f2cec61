//! Each request in the host's traces and logs.

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use tracing::field::Empty;

use super::request_id::{REQUEST_ID, RequestId};

/// Runs a request in a span of its own, and tells the caller how it is known in the logs.
///
/// The fields are those of OpenTelemetry's [semantic conventions for HTTP
/// servers](https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
pub(crate) async fn trace(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let span = tracing::info_span!(
        "request",
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str),
        http.response.status_code = Empty,
        request_id = &*id.0,
    );
    #[cfg(feature = "otel")]
    if !span.is_disabled() {
        super::propagation::accept(request.headers(), &span);
    }
    let header = HeaderValue::from_str(&id.0).ok();
    request.extensions_mut().insert(id);
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if let Some(id) = header {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
