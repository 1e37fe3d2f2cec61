//! The REST front speaks the Open Inference Protocol, to a real client over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{
    DType, Dimension, Error, Model, ModelId, ModelName, Reason, Request, Response, Result, Signature,
    TensorSpec, Tensors, Variant,
};
use mlops_serve::server::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

/// Doubles `x`, and fails in as many ways as a front must report.
#[derive(Debug)]
struct Doubler {
    signature: Signature,
    entered: Arc<Notify>,
}

impl Doubler {
    fn new() -> Self {
        let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
        let label = TensorSpec::new("label", DType::Bytes, [Dimension::Batch]);
        Self {
            signature: Signature::new([spec("x")], [spec("y"), label]).unwrap(),
            entered: Arc::new(Notify::new()),
        }
    }
}

#[async_trait]
impl Model for Doubler {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.signature.check(&request.inputs)?;
        self.entered.notify_waiters();
        match request.context.attribute("fail") {
            Some("overloaded") => return Err(Error::overloaded("64 requests wait")),
            Some("unavailable") => return Err(Error::unavailable("the device is away")),
            Some("deadline") => return Err(Error::deadline_exceeded("5 ms were not enough")),
            Some("engine") => return Err(Error::engine("secret detail of the engine")),
            Some("slow") => tokio::time::sleep(Duration::from_millis(300)).await,
            _ => {}
        }
        let x = request.inputs.require("x")?.view::<f32>()?;
        let labels = x.iter().map(|x| format!("<{x}>")).collect::<Vec<_>>();
        let labels = mlops_core::Tensor::from_byte_strings(&[labels.len()], labels)?;
        let variant = Variant::new(request.context.key().unwrap_or("nobody"))?;
        let id = ModelId::new(ModelName::new("doubler")?, "1.2.3".parse().unwrap());
        Ok(Response::new(Tensors::new().with("y", x.mapv(|x| 2.0 * x)).with("label", labels))
            .with_id(request.id)
            .with_model(id)
            .with_variant(variant, Reason::Sticky))
    }
}

struct Running {
    url: String,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<Result<()>>,
    entered: Arc<Notify>,
}

async fn start() -> Running {
    let model = Doubler::new();
    let entered = Arc::clone(&model.entered);
    let name = ModelName::new("doubler").unwrap();
    let server = Server::builder()
        .with_model(name.clone(), model)
        .with_version(ModelId::new(name, "1.2.3".parse().unwrap()), Doubler::new())
        .with_metrics(|| "up 1\n".to_owned())
        .with_body_limit(4096)
        .build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(server.serve(listener, async move { stopped.await.unwrap_or(()) }));
    Running { url, client: reqwest::Client::new(), stop: Some(stop), server, entered }
}

impl Running {
    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        let status = response.status();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        let response = self.client.post(format!("{}{path}", self.url)).body(body).send().await.unwrap();
        let status = response.status();
        (status, response.json().await.expect("every answer is JSON"))
    }

    async fn infer(&self, body: Value) -> (StatusCode, Value) {
        self.post("/v2/models/doubler/infer", body.to_string()).await
    }
}

fn body(data: Value) -> Value {
    json!({"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": data}]})
}

fn failing(how: &str) -> Value {
    let mut body = body(json!([1, 2]));
    body["parameters"] = json!({"attribute.fail": how});
    body
}

#[tokio::test]
async fn health_and_metadata_follow_the_specification() {
    let server = start().await;
    assert_eq!(server.get("/v2/health/live").await, (StatusCode::OK, json!({"live": true})));
    assert_eq!(server.get("/v2/health/ready").await, (StatusCode::OK, json!({"ready": true})));
    let (status, metadata) = server.get("/v2").await;
    assert_eq!((status, &metadata["name"]), (StatusCode::OK, &json!("mlops")));
    let expected = json!({
        "name": "doubler", "versions": ["1.2.3"], "platform": "mlops",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [-1]}, {"name": "label", "datatype": "BYTES", "shape": [-1]}
        ],
    });
    for path in ["/v2/models/doubler", "/v2/models/doubler/versions/1.2.3"] {
        assert_eq!(server.get(path).await, (StatusCode::OK, expected.clone()));
        let ready = json!({"name": "doubler", "ready": true});
        assert_eq!(server.get(&format!("{path}/ready")).await, (StatusCode::OK, ready));
    }
    let metrics = server.client.get(format!("{}/metrics", server.url)).send().await.unwrap();
    assert_eq!(metrics.text().await.unwrap(), "up 1\n");
}

#[tokio::test]
async fn a_prediction_says_who_made_it_and_why() {
    let server = start().await;
    let mut request = body(json!([1, 2.5]));
    request["id"] = json!("a-1");
    request["parameters"] = json!({"routing_key": "user-7", "timeout_ms": 60_000});
    let expected = json!({
        "model_name": "doubler", "model_version": "1.2.3", "id": "a-1",
        "parameters": {"variant": "user-7", "routing_reason": "sticky"},
        "outputs": [
            {"name": "y", "shape": [2], "datatype": "FP32", "data": [2.0, 5.0]},
            {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["<1>", "<2.5>"]},
        ],
    });
    assert_eq!(server.infer(request.clone()).await, (StatusCode::OK, expected.clone()));
    let path = "/v2/models/doubler/versions/1.2.3/infer";
    assert_eq!(server.post(path, request.to_string()).await, (StatusCode::OK, expected));

    request["outputs"] = json!([{"name": "label"}]);
    let (_, answer) = server.infer(request).await;
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(answer["outputs"][0]["name"], "label");

    let (_, first) = server.infer(body(json!([1, 2]))).await;
    let (_, second) = server.infer(body(json!([1, 2]))).await;
    assert_ne!(first["id"], second["id"], "requests without an id get one each");
}

#[tokio::test]
async fn wrong_requests_are_refused_in_the_protocols_form() {
    let server = start().await;
    for (body, expected) in [
        (body(json!([1])), "tensor `x`: shape [2] holds 2 elements, but 1 came"),
        (body(json!([[1, 2], [3]])), "tensor `x`: ragged data"),
        (body(json!([1, "two"])), "tensor `x`: element 1 is \"two\", which is no FP32"),
        (json!({"inputs": []}), "input `x` is missing (expected FP32 [batch])"),
        (json!({}), "missing field `inputs`"),
        (json!([]), "no inference request"),
        (
            json!({"inputs": [{"name": "x", "shape": [2, 1], "datatype": "INT64", "data": [1, 2]}]}),
            "data type INT64, expected FP32; input `x` has shape [2, 1], expected [batch]",
        ),
        (
            json!({"inputs": [{"name": "x", "shape": [18446744073709551615_u64], "datatype": "FP32", "data": []}]}),
            "overflows",
        ),
        (
            json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}], "outputs": [{"name": "z"}]}),
            "there is no output `z`; there are `y`, `label`",
        ),
        (
            json!({"inputs": [], "parameters": {"timeout_ms": "soon"}}),
            "parameter `timeout_ms` is \"soon\"; expected a number of milliseconds",
        ),
        (
            json!({"inputs": [], "parameters": {"routing_key": [1]}}),
            "parameter `routing_key` is [1]; expected a string",
        ),
    ] {
        let (status, answer) = server.infer(body.clone()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}\n  says: {error}");
        assert!(error.contains(expected), "{body}\n  says: {error}");
    }
    for body in [&b"{"[..], b"", b"\xff\xfe", b"{} trailing", &[b'['; 4000]] {
        let (status, answer) = server.post("/v2/models/doubler/infer", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["error"].as_str().unwrap().contains("no inference request"));
    }
    let (status, answer) = server.post("/v2/models/doubler/infer", vec![b' '; 5000]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_is() {
    let server = start().await;
    for (path, expected) in [
        ("/v2/models/other", "there is no model `other`; there are `doubler`"),
        ("/v2/models/doubler/versions/9.9.9", "no version `9.9.9` here; there are `1.2.3`"),
        ("/v2/models/doubler/versions/9.9.9/ready", "no version `9.9.9`"),
    ] {
        let (status, answer) = server.get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(answer["error"].as_str().unwrap().contains(expected), "{answer}");
    }
}

#[tokio::test]
async fn failures_have_the_right_status_and_keep_their_secrets() {
    let server = start().await;
    for (how, expected) in [("overloaded", 429), ("unavailable", 503), ("deadline", 504), ("engine", 500)] {
        let url = format!("{}/v2/models/doubler/infer", server.url);
        let response = server.client.post(url).body(failing(how).to_string()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected);
        let retry = response.headers().contains_key("retry-after");
        assert_eq!(retry, matches!(how, "overloaded" | "unavailable"), "{how}");
        let answer: Value = response.json().await.unwrap();
        assert!(!answer["error"].as_str().unwrap().contains("secret"), "{answer}");
    }
    assert_eq!(server.infer(body(json!([1, 2]))).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_in_flight_at_shutdown_is_answered() {
    let mut server = start().await;
    let entered = Arc::clone(&server.entered);
    let request = server.client.post(format!("{}/v2/models/doubler/infer", server.url));
    let slow = tokio::spawn(request.body(failing("slow").to_string()).send());
    entered.notified().await;
    server.stop.take().unwrap().send(()).unwrap();
    assert_eq!(slow.await.unwrap().unwrap().status(), StatusCode::OK);
    tokio::time::timeout(Duration::from_secs(10), server.server).await.unwrap().unwrap().unwrap();
}
