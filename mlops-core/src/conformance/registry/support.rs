//! What the suite for registries is written with.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use semver::Version;

use crate::{
    Alias, AuditEvent, ByteStream, DType, Dimension, EventStream, ModelName, ModelVersion, NewVersion,
    Registry, Result, Selector, Signature, TensorSpec,
};

/// How long an event may take to come out of [`Registry::watch`].
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn name(name: &str) -> ModelName {
    ModelName::new(name).unwrap()
}

pub(super) fn champion() -> Alias {
    Alias::new("champion").unwrap()
}

pub(super) fn v(version: &str) -> Version {
    version.parse().unwrap()
}

pub(super) fn signature() -> Signature {
    let x = TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(4)]).finite();
    Signature::new([x], [TensorSpec::new("y", DType::Int64, [Dimension::Batch, Dimension::Free])]).unwrap()
}

pub(super) fn new(model: &str, version: &str) -> NewVersion {
    NewVersion::new(name(model), signature()).with_version(v(version))
}

pub(super) async fn resolve(registry: &impl Registry, model: &str, selector: &str) -> Result<ModelVersion> {
    registry.resolve(&name(model), &selector.parse::<Selector>()?).await
}

pub(super) async fn history(registry: &impl Registry, model: &str) -> Vec<AuditEvent> {
    registry.history(&name(model)).await.unwrap()
}

/// `kind` is the label of the expected error.
pub(super) fn refused<T: Debug>(kind: &str, what: &str, result: Result<T>) {
    match result {
        Ok(answer) => panic!("{what} must be refused ({kind}), but was answered with {answer:?}"),
        Err(error) => assert_eq!(error.label(), kind, "{what} must be refused as {kind}, but: {error}"),
    }
}

pub(super) fn winner<T: Debug>(what: &str, a: Result<T>, b: Result<T>) -> T {
    match (a, b) {
        (Ok(winner), Err(error)) | (Err(error), Ok(winner)) => {
            assert_eq!(error.label(), "conflict", "{what} the loser gets a conflict, but: {error}");
            winner
        }
        (a, b) => panic!("{what} exactly one wins, but: {a:?} and {b:?}"),
    }
}

/// A stream of these bytes in pieces of that size.
pub(super) fn one_by_one(bytes: &[u8], size: usize) -> ByteStream {
    Box::pin(Pieces(bytes.chunks(size).map(Bytes::copy_from_slice).collect()))
}

struct Pieces(VecDeque<Bytes>);

impl Stream for Pieces {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// All that a stream gives.
pub(super) async fn collect(mut stream: ByteStream) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(piece) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

/// The next event of a stream. A thread of its own sees to it that a silent stream does not go unnoticed,
/// for there may be no runtime with a timer.
pub(super) async fn next(stream: &mut EventStream) -> AuditEvent {
    let deadline = Instant::now() + PATIENCE;
    let mut guarded = false;
    let item = poll_fn(|context| {
        let item = stream.as_mut().poll_next(context);
        assert!(item.is_ready() || Instant::now() < deadline, "watch stays silent for {PATIENCE:?}");
        if item.is_pending() && !guarded {
            guarded = true;
            let waker = context.waker().clone();
            std::thread::spawn(move || {
                std::thread::sleep(PATIENCE);
                waker.wake();
            });
        }
        item
    });
    match item.await {
        Some(Ok(event)) => event,
        Some(Err(error)) => panic!("watch gives an error: {error}"),
        None => panic!("watch ends, though the registry is still there"),
    }
}
