//! What is decided of a request before its messages are read.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::{BoxFuture, ready as already};
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use mlops_core::{Error, Instant, Result};
use tokio::time::Sleep;
use tonic::Status;
use tonic::server::NamedService;

use super::status::status;
use crate::http::inbound::peer;
use crate::server::Service;
use crate::server::access::{Caller, Peer};

/// Who asks, from where, and until when the answer is of use.
#[derive(Debug, Clone)]
pub(super) struct Inbound {
    pub(super) caller: Caller,
    pub(super) peer: Peer,
    pub(super) arrived: Instant,
    pub(super) deadline: Option<Instant>,
}

impl Inbound {
    /// What [`Guarded`] has found out.
    pub(super) fn of<T>(request: &mut tonic::Request<T>) -> Result<Self, Status> {
        request
            .extensions_mut()
            .remove::<Self>()
            .ok_or_else(|| status(&Error::internal("a request came past the guard of the gRPC front")))
    }

    fn new(service: &Service, request: &Request<Body>) -> Result<Self> {
        let peer = peer(request.extensions());
        let caller = service.caller(request.headers(), &peer)?;
        let arrived = Instant::now();
        let timeout = timeout(request.headers())?;
        Ok(Self { caller, peer, arrived, deadline: timeout.and_then(|timeout| arrived.checked_add(timeout)) })
    }
}

/// Lets only known callers in, before memory is given to what they send, and only as long as they send it soon.
#[derive(Debug, Clone)]
pub(super) struct Guarded<S> {
    service: Service,
    inner: S,
}

impl<S> Guarded<S> {
    pub(super) fn new(service: Service, inner: S) -> Self {
        Self { service, inner }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

type Answer = Response<tonic::body::Body>;

impl<S> tower::Service<Request<Body>> for Guarded<S>
where
    S: tower::Service<
            Request<Punctual>,
            Response = Answer,
            Error = Infallible,
            Future = BoxFuture<'static, Result<Answer, Infallible>>,
        >,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        // Of these everybody may know, as in the REST front.
        let open = matches!(method, "ServerLive" | "ServerReady" | "ServerMetadata");
        let streams = method == "ModelStreamInfer";
        if !open {
            match Inbound::new(&self.service, &request) {
                Ok(inbound) => {
                    request.extensions_mut().insert(inbound);
                }
                Err(error) => return Box::pin(already(Ok(status(&error).into_http()))),
            }
        }
        let limit = (!streams).then(|| self.service.limits().body_time);
        self.inner.call(request.map(|inner| Punctual { inner, limit, timer: None }))
    }
}

/// A body that must have come within a time.
pub(super) struct Punctual {
    inner: Body,
    /// None for streams, which may be silent.
    limit: Option<Duration>,
    /// Runs from the moment when something is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Punctual {
    type Data = Bytes;
    type Error = tonic::codegen::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(limit) = this.limit else { return Poll::Pending };
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(context));
        let late = Error::deadline_exceeded(format!("the request did not come within {limit:?}"));
        Poll::Ready(Some(Err(status(&late).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How long the caller waits, by the header `grpc-timeout`: at most eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(parse_timeout);
    parsed.map(Some).ok_or_else(|| {
        Error::invalid_input(format!(
            "the header `grpc-timeout` is {value:?}; expected at most eight digits and one of H, M, S, m, u and n"
        ))
    })
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn timeouts_are_read_as_the_specification_of_grpc_writes_them() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("", None),
            ("S", None),
            ("-1S", None),
            ("1.5S", None),
            ("100000000S", None),
            ("1s", None),
            ("1ä", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up_and_a_stream_may_be_silent() {
        let silent = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
        let limit = Some(Duration::from_secs(30));
        let began = tokio::time::Instant::now();
        let error = Punctual { inner: silent(), limit, timer: None }.collect().await.unwrap_err();
        assert!(error.to_string().contains("did not come within 30s"), "{error}");
        assert_eq!(began.elapsed(), Duration::from_secs(30));

        let stream = Punctual { inner: silent(), limit: None, timer: None }.collect();
        assert!(tokio::time::timeout(Duration::from_secs(3600), stream).await.is_err());
    }
}
