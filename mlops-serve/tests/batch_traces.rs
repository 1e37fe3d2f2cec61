//! Traces tell which requests a batch was made of, and callers who leave do no harm to them.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};

use mlops_core::{DType, Dimension, Engine, Model, Request, Result, Signature, TensorSpec, Tensors};
use mlops_serve::{Batching, EngineExt, ServeExt};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context as Spans, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Writes down the batches, and what they follow from.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, spans: Spans<'_, S>) {
        let span = spans.span(id).unwrap();
        if span.name() == "batch" {
            let parent = span.parent().map_or("nothing", |parent| parent.name());
            self.0.lock().unwrap().push(format!("batch in {parent}"));
        }
    }

    fn on_follows_from(&self, _: &Id, follows: &Id, spans: Spans<'_, S>) {
        self.0.lock().unwrap().push(format!("after {}", spans.span(follows).unwrap().name()));
    }
}

/// Gives its input back once it is let go.
#[derive(Debug)]
struct Gated(Signature, Mutex<mpsc::Receiver<()>>, mpsc::Sender<()>);

impl Engine for Gated {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        self.2.send(()).unwrap();
        let _ = self.1.lock().unwrap().recv();
        Ok(Tensors::new().with("y", inputs.require("x")?.clone()))
    }
}

#[tokio::test]
async fn a_batch_follows_from_the_spans_of_its_requests() {
    let log = Log::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log.clone())).unwrap();
    let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
    let ((release, released), (started, is_busy)) = (mpsc::channel(), mpsc::channel());
    let engine = Gated(Signature::new([spec("x")], [spec("y")]).unwrap(), Mutex::new(released), started);
    let model = engine.inline().batched(Batching::rows(8)).unwrap();

    let call = |span: tracing::Span| {
        span.in_scope(|| {
            let mut call = model.predict(Request::new(Tensors::new().with("x", vec![1.0_f32])));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            call
        })
    };
    let alone = call(tracing::info_span!("alone"));
    is_busy.recv().unwrap();
    // Their spans end with the callers' interest, and are known to the batch all the same.
    let together = [call(tracing::info_span!("first")), call(tracing::info_span!("second"))];
    drop(release);
    alone.await.unwrap();
    for call in together {
        call.await.unwrap();
    }
    assert_eq!(*log.0.lock().unwrap(), ["batch in alone", "batch in nothing", "after first", "after second"]);
}
