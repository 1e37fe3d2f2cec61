//! A stream is scored item by item, with back-pressure.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, stream};
use mlops_core::{Error, Model, Request, Response, Result, Signature, Tensor, Tensors};
use mlops_serve::score::{InFlight, ScoreStreamExt};
use tokio::sync::oneshot;

use crate::support::scoring::summing;

/// What a broker would hand out: it is acknowledged by whoever has its result.
#[derive(Debug, PartialEq)]
struct Message {
    offset: usize,
    x: f32,
}

fn messages(count: usize) -> impl Iterator<Item = Message> {
    (0..count).map(|offset| Message { offset, x: offset as f32 })
}

fn request(message: &Message) -> Result<Request> {
    if message.x > 1e6 {
        return Err(Error::invalid_input("too great"));
    }
    let x = Tensor::from_vec(&[1, 2], vec![message.x, 0.0])?;
    let name = Tensor::from_byte_strings(&[1], ["m"])?;
    Ok(Request::new(Tensors::new().with("x", x).with("name", name)).with_id(message.offset.to_string()))
}

fn sum(result: &Result<Response>) -> f64 {
    result.as_ref().unwrap().outputs.get("sum").unwrap().as_slice::<f64>().unwrap()[0]
}

/// Answers each request when the test says so.
#[derive(Debug)]
struct Gated<M> {
    model: M,
    gates: Mutex<Vec<Option<oneshot::Receiver<()>>>>,
}

fn gated(count: usize) -> (Gated<impl Model>, Vec<oneshot::Sender<()>>) {
    let (open, gates): (Vec<_>, Vec<_>) = (0..count).map(|_| oneshot::channel()).unzip();
    (Gated { model: summing(), gates: Mutex::new(gates.into_iter().map(Some).collect()) }, open)
}

#[async_trait]
impl<M: Model> Model for Gated<M> {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let index: usize = request.id.as_deref().unwrap().parse().unwrap();
        let gate = self.gates.lock().unwrap()[index].take().unwrap();
        gate.await.unwrap();
        self.model.predict(request).await
    }
}

#[tokio::test]
async fn every_item_comes_back_with_its_own_result() {
    for in_flight in
        [InFlight::ordered(1), InFlight::ordered(8), InFlight::unordered(8), InFlight::ordered(0)]
    {
        let mut offsets: Vec<_> = stream::iter(messages(100))
            .scored_by(summing(), request, in_flight)
            .map(|(message, result)| {
                if message.offset == 13 {
                    let error = result.unwrap_err();
                    assert!(matches!(error, Error::Engine { .. }), "{error:?}");
                } else {
                    assert_eq!(sum(&result), f64::from(message.x));
                }
                message.offset
            })
            .collect()
            .await;
        offsets.sort_unstable();
        assert_eq!(offsets, (0..100).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_item_that_makes_no_request_comes_out_with_that_error() {
    let great = Message { offset: 0, x: 1e7 };
    let results: Vec<_> =
        stream::iter([great]).scored_by(summing(), request, InFlight::ordered(2)).collect().await;
    assert_eq!(results[0].0.offset, 0);
    assert!(matches!(results[0].1, Err(Error::InvalidInput(_))));
}

/// A model whose future panics, which an executor would not let it do.
#[derive(Debug)]
struct Panicking(Signature);

#[async_trait]
impl Model for Panicking {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, _: Request) -> Result<Response> {
        panic!("broken")
    }
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_item() {
    let model = Panicking(Signature::new([], []).unwrap());
    let scored = stream::iter(messages(3)).scored_by(model, request, InFlight::ordered(2));
    let results: Vec<_> = tokio::spawn(scored.collect()).await.unwrap();
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(|(_, result)| matches!(result, Err(Error::Engine { .. }))));
}

#[tokio::test]
async fn the_order_is_kept_or_that_of_the_answers() {
    for (in_flight, expected) in [(InFlight::ordered(3), [0, 1, 2]), (InFlight::unordered(3), [2, 0, 1])] {
        let (model, mut open) = gated(3);
        let mut scored = std::pin::pin!(stream::iter(messages(3)).scored_by(model, request, in_flight));
        let mut seen = Vec::new();
        for index in [2, 0, 0] {
            assert!(scored.next().now_or_never().is_none(), "nothing more is answered yet");
            open.remove(index).send(()).unwrap();
            while let Some(Some((message, _))) = scored.next().now_or_never() {
                seen.push(message.offset);
            }
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn no_more_is_taken_from_the_source_than_may_be_in_flight() {
    for in_flight in [InFlight::ordered(4), InFlight::unordered(4)] {
        let taken = AtomicUsize::new(0);
        let counted = messages(20).inspect(|_| {
            taken.fetch_add(1, Ordering::SeqCst);
        });
        let (model, open) = gated(20);
        let mut scored = std::pin::pin!(stream::iter(counted).scored_by(model, request, in_flight));
        for (answered, gate) in open.into_iter().enumerate() {
            assert!(scored.next().now_or_never().is_none());
            assert_eq!(taken.load(Ordering::SeqCst), (answered + 4).min(20));
            gate.send(()).unwrap();
            assert_eq!(scored.next().now_or_never().unwrap().unwrap().0.offset, answered);
        }
        assert!(scored.next().await.is_none());
    }
}
