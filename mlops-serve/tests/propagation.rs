//! The trace of a caller goes on in the server, and from there to the services that a model asks.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mlops_core::{DType, Dimension, Model, ModelName, Request, Response, Result, Signature, TensorSpec};
use mlops_serve::server::{Server, propagate};
use opentelemetry::trace::{SpanId, SpanKind, TraceId, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use serde_json::json;
use tokio::net::TcpListener;
use tracing_subscriber::layer::SubscriberExt;

/// Keeps what a collector would be sent.
#[derive(Debug, Clone, Default)]
struct Collected(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Collected {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().append(&mut batch);
        Ok(())
    }
}

/// Asks another service, of which it keeps only the headers that it would send.
#[derive(Debug)]
struct Asking {
    signature: Signature,
    sent: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Model for Asking {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let mut headers = http::HeaderMap::new();
        propagate(&mut headers);
        self.sent.lock().unwrap().push(headers["traceparent"].to_str().unwrap().to_owned());
        Ok(Response::new(request.inputs))
    }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

#[tokio::test]
async fn the_spans_of_a_request_are_children_of_its_callers() {
    let collected = Collected::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(collected.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _here = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    let spec = TensorSpec::new("x", DType::Fp32, [Dimension::Batch]);
    let sent = Arc::default();
    let model =
        Asking { signature: Signature::new([spec.clone()], [spec]).unwrap(), sent: Arc::clone(&sent) };
    let server = Server::builder().with_model(ModelName::new("asking").unwrap(), model).build();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v2/models/asking/infer", socket.local_addr().unwrap());
    tokio::spawn(async move { server.serve(socket, std::future::pending()).await });

    let body = json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}).to_string();
    let ask = |traceparent: Option<String>| {
        let request = reqwest::Client::new().post(&url).body(body.clone());
        traceparent.into_iter().fold(request, |request, value| request.header("traceparent", value)).send()
    };
    assert_eq!(ask(Some(format!("00-{TRACE}-{CALLER}-01"))).await.unwrap().status(), 200);
    assert_eq!(ask(None).await.unwrap().status(), 200);
    assert_eq!(ask(Some("00-no-trace-01".to_owned())).await.unwrap().status(), 200);

    let spans = collected.0.lock().unwrap().clone();
    let requests: Vec<&SpanData> = spans.iter().filter(|span| span.name == "request").collect();
    let [of_caller, alone, misled] = requests[..] else { panic!("{spans:?}") };
    assert_eq!(of_caller.span_kind, SpanKind::Server);
    assert_eq!(of_caller.span_context.trace_id(), TraceId::from_hex(TRACE).unwrap());
    assert_eq!(of_caller.parent_span_id, SpanId::from_hex(CALLER).unwrap());
    let attribute = |name: &str| {
        let found = of_caller.attributes.iter().find(|attribute| attribute.key.as_str() == name);
        found.map(|attribute| attribute.value.to_string())
    };
    assert_eq!(attribute("http.route").as_deref(), Some("/v2/models/{model}/infer"));
    assert_eq!(attribute("http.response.status_code").as_deref(), Some("200"));
    for own in [alone, misled] {
        assert_eq!(own.parent_span_id, SpanId::INVALID);
        assert_ne!(own.span_context.trace_id(), of_caller.span_context.trace_id());
    }

    let sent = sent.lock().unwrap();
    let here = of_caller.span_context.span_id();
    assert_eq!(sent[0], format!("00-{TRACE}-{here}-01"));
    assert!(sent[1].starts_with(&format!("00-{}-", alone.span_context.trace_id())));
}
