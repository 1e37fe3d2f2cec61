//! Scoring of streams.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_core::Stream;
use futures_util::future::Either;
use futures_util::{FutureExt, StreamExt};
use mlops_core::{Error, Model, Request, Response, Result};

/// How many items of a stream are in flight, and in which order they come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct InFlight {
    items: usize,
    ordered: bool,
}

impl InFlight {
    /// So many items at once, at least one, in the order of the stream: a slow one holds up those behind it.
    pub fn ordered(items: usize) -> Self {
        Self { items: items.max(1), ordered: true }
    }

    /// So many items at once, at least one, in the order in which they are answered.
    pub fn unordered(items: usize) -> Self {
        Self { items: items.max(1), ordered: false }
    }
}

/// Scoring of whatever comes as a stream.
///
/// Every item comes out once, with its own answer or error: what was read from a broker can be acknowledged, or sent
/// to its dead letters, when its result is there. A panic of the model is an error of that item. The stream is asked
/// for the next item only when fewer than allowed are in flight, so a slow model slows the source down, and a slow
/// consumer the model. Batches are no matter of this: a model that makes batches of requests makes them of these.
///
/// ```
/// use futures_util::{StreamExt, stream};
/// use mlops_core::{Model, Request, Tensors};
/// use mlops_serve::score::{InFlight, ScoreStreamExt};
///
/// struct Message { x: f32 }
/// # impl Message { fn acknowledge(&self) {} }
///
/// async fn score(messages: impl futures_core::Stream<Item = Message> + Send, model: impl Model) {
///     let request = |message: &Message| Ok(Request::new(Tensors::new().with("x", vec![message.x])));
///     let mut scored = std::pin::pin!(messages.scored_by(model, request, InFlight::unordered(8)));
///     while let Some((message, result)) = scored.next().await {
///         if result.is_ok() {
///             message.acknowledge();
///         }
///     }
/// }
/// ```
pub trait ScoreStreamExt: Stream + Sized {
    /// Asks `model` for every item; `request` says what is asked. An item of which no request can be made comes out
    /// with that error.
    ///
    /// Dropping the stream abandons the calls in flight. The items in flight are worked on while the stream is polled;
    /// a model that computes on threads of its own does not wait for that.
    fn scored_by<M, F>(
        self,
        model: M,
        request: F,
        in_flight: InFlight,
    ) -> impl Stream<Item = (Self::Item, Result<Response>)>
    where
        M: Model,
        F: FnMut(&Self::Item) -> Result<Request>,
    {
        let (model, mut request) = (Arc::new(model), request);
        let calls = self.map(move |item| {
            let (model, request) = (Arc::clone(&model), request(&item));
            async move {
                let call = AssertUnwindSafe(async { model.predict(request?).await }).catch_unwind();
                let result = call.await.unwrap_or_else(|payload| Err(Error::panicked(&*payload)));
                (item, result)
            }
        });
        match in_flight {
            InFlight { items, ordered: true } => Either::Left(calls.buffered(items)),
            InFlight { items, ordered: false } => Either::Right(calls.buffer_unordered(items)),
        }
    }
}

impl<S: Stream + Sized> ScoreStreamExt for S {}
