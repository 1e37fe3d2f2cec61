//! The cache, in whatever order callers come and go.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_channel::oneshot;
use futures_util::future::{BoxFuture, FutureExt};
use mlops_core::{DType, Dimension, Model, Request, Response, Signature, TensorSpec, Tensors};
use proptest::prelude::*;

use super::{Cached, Caching};

/// What is computed, and how to let it end.
type Calls = Arc<Mutex<Vec<(u8, oneshot::Sender<()>)>>>;

/// Each call waits until the test lets it end.
#[derive(Debug)]
struct Held {
    signature: Signature,
    calls: Calls,
}

#[async_trait]
impl Model for Held {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> mlops_core::Result<Response> {
        let x = request.inputs.require("x")?.clone();
        let (end, ended) = oneshot::channel();
        self.calls.lock().unwrap().push((x.as_bytes()[0], end));
        let _ = ended.await;
        Ok(Response::new(Tensors::new().with("y", x)))
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u8),
    Poll(prop::sample::Index),
    Leave(prop::sample::Index),
    End(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_u8).prop_map(Step::Ask),
        any::<prop::sample::Index>().prop_map(Step::Poll),
        any::<prop::sample::Index>().prop_map(Step::Poll),
        any::<prop::sample::Index>().prop_map(Step::Leave),
        any::<prop::sample::Index>().prop_map(Step::End),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// In whatever order callers come, are polled and leave, and computations end: nothing is computed
    /// twice at a time, whoever stays gets the right answer, and nothing is left behind.
    #[test]
    fn flights_are_shared_and_end(steps in steps(), keeps: bool) {
        let spec = |name| TensorSpec::new(name, DType::Uint8, [Dimension::Batch]);
        let signature = Signature::new([spec("x")], [spec("y")]).unwrap();
        let calls = Calls::default();
        let model = Held { signature, calls: Arc::clone(&calls) };
        let cached = Arc::new(Cached::new(model, Caching::new(if keeps { 1 << 20 } else { 0 })));
        let mut waiting = Vec::new();
        let poll = |(x, mut call): (u8, BoxFuture<'static, mlops_core::Result<Response>>)| {
            match (&mut call).now_or_never() {
                Some(response) => {
                    assert_eq!(response.unwrap().outputs.require("y").unwrap().as_bytes(), [x]);
                    None
                }
                None => Some((x, call)),
            }
        };
        for step in steps {
            match step {
                Step::Ask(x) => {
                    let cached = Arc::clone(&cached);
                    let request = Request::new(Tensors::new().with("x", vec![x]));
                    waiting.push((x, async move { cached.predict(request).await }.boxed()));
                }
                Step::Poll(at) if !waiting.is_empty() => {
                    let at = at.index(waiting.len());
                    let call = waiting.swap_remove(at);
                    waiting.extend(poll(call));
                }
                Step::Leave(at) if !waiting.is_empty() => {
                    let at = at.index(waiting.len());
                    drop(waiting.swap_remove(at));
                }
                Step::End(at) => {
                    let mut calls = calls.lock().unwrap();
                    if !calls.is_empty() {
                        let at = at.index(calls.len());
                        let _ = calls.swap_remove(at).1.send(());
                    }
                }
                Step::Poll(_) | Step::Leave(_) => {}
            }
            let mut calls = calls.lock().unwrap();
            calls.retain(|(_, end)| !end.is_canceled());
            let mut computed: Vec<_> = calls.iter().map(|(x, _)| *x).collect();
            computed.sort_unstable();
            prop_assert!(computed.windows(2).all(|pair| pair[0] != pair[1]), "{computed:?}");
        }
        // Those who were never polled begin computations of their own.
        waiting = waiting.into_iter().filter_map(poll).collect();
        for (_, end) in calls.lock().unwrap().drain(..) {
            let _ = end.send(());
        }
        waiting = waiting.into_iter().filter_map(poll).collect();
        prop_assert!(waiting.is_empty(), "all computations have ended");
        prop_assert_eq!(cached.shared.flights.under_way(), 0);
    }
}
