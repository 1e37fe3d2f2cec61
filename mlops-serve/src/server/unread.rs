//! What a client still sends after it was answered.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// How much of it is read, and for how long.
const MOST: usize = 1 << 20;
const TIME: Duration = Duration::from_secs(1);

/// The body of an HTTP/2 request. What nobody has read of it when it is dropped is read and forgotten.
///
/// A request that is refused is answered before its body has come. HTTP/2 would then reset the stream, which some
/// clients take for a failure: they would report that instead of the answer.
pub(super) struct Unread(Option<Incoming>);

impl Unread {
    pub(super) fn new(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl Body for Unread {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !body.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let mut rest = Limited::new(body, MOST);
            let forgotten = async { while let Some(Ok(_)) = rest.frame().await {} };
            let _ = tokio::time::timeout(TIME, forgotten).await;
        });
    }
}
