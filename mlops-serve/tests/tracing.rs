//! A traced model makes a span of every call, and says nothing of the data.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::sync::{Arc, Mutex};

use mlops_core::reexports::semver::Version;
use mlops_core::{Error, Model, ModelId, ModelName, Request, Tensors};
use mlops_serve::ServeExt;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

#[path = "support/scripted.rs"]
mod scripted;

use scripted::{Scripted, request, started};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What was written when spans ended.
async fn spans(level: tracing::Level, calls: impl Future<Output = ()>) -> Vec<Value> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(level)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(lines.clone())
        .finish();
    let _here = tracing::subscriber::set_default(subscriber);
    calls.await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["span"].clone()).collect()
}

fn digits() -> ModelId {
    ModelId::new(ModelName::new("digits").unwrap(), Version::new(2, 0, 0))
}

#[tokio::test]
async fn a_span_says_what_came_of_a_call() {
    let model = Scripted::failing(|call| match call {
        0 => None,
        1 => Some(Error::engine("secret 42")),
        _ => Some(Error::conflict("secret 42")),
    });
    let model = model.traced().with_id(digits());
    let spans = spans(tracing::Level::INFO, async {
        let three = Tensors::new().with("x", vec![42.0_f32; 3]);
        model.predict(Request::new(three).with_id("a-1")).await.unwrap();
        for _ in 0..2 {
            model.predict(request(42.0)).await.unwrap_err();
        }
    })
    .await;
    let [answered, failed, refused] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(
        answered,
        &serde_json::json!({
            "name": "predict", "model.name": "digits", "model.version": "2.0.0", "request.id": "a-1", "rows": 3,
            "queue_seconds": 0.003, "compute_seconds": 0.004, "outcome": "ok",
        })
    );
    assert_eq!((&failed["outcome"], &failed["error.type"]), (&"engine".into(), &"engine".into()));
    assert_eq!((&failed["otel.status_code"], &failed["model.name"]), (&"ERROR".into(), &"digits".into()));
    assert_eq!((&refused["outcome"], &refused["otel.status_code"]), (&"conflict".into(), &Value::Null));
    assert!(!format!("{spans:?}").contains("42"), "neither data nor messages are in spans");
}

#[tokio::test]
async fn a_call_whose_caller_gave_up_is_seen() {
    let spans = spans(tracing::Level::INFO, async {
        let model = Scripted::new(|_, _| std::future::pending()).traced();
        let mut call = model.predict(request(1.0));
        started(&mut call).await;
    })
    .await;
    assert_eq!(spans[0]["outcome"], "abandoned");
}

#[tokio::test]
async fn where_nobody_wants_spans_there_are_none() {
    let spans = spans(tracing::Level::WARN, async {
        Scripted::echo().traced().predict(request(1.0)).await.unwrap();
    })
    .await;
    assert!(spans.is_empty(), "{spans:?}");
}
