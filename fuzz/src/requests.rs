//! Requests of any bytes to the fronts of the model server: whatever comes, the answer is one that the protocol knows.

use std::cell::OnceCell;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use mlops_core::{DType, Dimension, Model, ModelName, Response, Result, Signature, TensorSpec};
use mlops_serve::server::Server;
use tower::ServiceExt;

/// A protocol in one of its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The Open Inference Protocol in JSON.
    Json,
    /// The same with binary tensors. The first two bytes say how long the JSON is.
    Binary,
    /// TF Serving's predictions.
    Predict,
    /// MLflow's data frames in JSON.
    Invocations,
    /// MLflow's data frames in CSV.
    Csv,
    /// The Open Inference Protocol over gRPC.
    Grpc,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Json, Self::Binary, Self::Predict, Self::Invocations, Self::Csv, Self::Grpc];
}

/// Gives back what it takes: one optional tensor for every data type.
#[derive(Debug)]
struct Echo(Signature);

#[async_trait]
impl Model for Echo {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, request: mlops_core::Request) -> Result<Response> {
        self.0.check(&request.inputs)?;
        Ok(Response::new(request.inputs).with_id(request.id))
    }
}

struct Fronts {
    runtime: tokio::runtime::Runtime,
    rest: Router,
    grpc: Router,
}

thread_local! {
    static FRONTS: OnceCell<Fronts> = const { OnceCell::new() };
}

impl Fronts {
    fn new() -> Self {
        let spec = |dtype: DType| {
            TensorSpec::new(dtype.name(), dtype, [Dimension::Batch, Dimension::Free]).optional()
        };
        let every = Echo(Signature::new(DType::ALL.map(spec), DType::ALL.map(spec)).expect("a signature"));
        let row = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch, Dimension::Fixed(3)]);
        let rows = Echo(Signature::new([row("x")], [row("x")]).expect("a signature"));
        let name = |name| ModelName::new(name).expect("a name");
        let server = Server::builder()
            .with_model(name("every"), every)
            .with_model(name("rows"), rows)
            .with_default_model(name("rows"))
            .with_body_limit(1 << 20)
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, rest: server.router(), grpc: server.grpc_router() }
    }
}

/// Sends `bytes` through a door.
///
/// # Panics
/// When a front panics, answers with an error that is not the caller's, or in a form that the protocol does not know.
pub fn send(door: Door, bytes: &[u8]) {
    FRONTS.with(|fronts| {
        let fronts = fronts.get_or_init(Fronts::new);
        fronts.runtime.block_on(async {
            match door {
                Door::Grpc => grpc(fronts.grpc.clone(), bytes).await,
                _ => rest(fronts.rest.clone(), door, bytes).await,
            }
        });
    });
}

async fn rest(router: Router, door: Door, bytes: &[u8]) {
    let (path, kind) = match door {
        Door::Predict => ("/v1/models/every:predict", "application/json"),
        Door::Invocations => ("/invocations", "application/json"),
        Door::Csv => ("/invocations", "text/csv"),
        _ => ("/v2/models/every/infer", "application/json"),
    };
    let mut request = Request::post(path).header(header::CONTENT_TYPE, kind);
    let mut body = bytes;
    if door == Door::Binary
        && let Some((length, rest)) = bytes.split_first_chunk::<2>()
    {
        request = request.header("inference-header-content-length", u16::from_le_bytes(*length));
        body = rest;
    }
    let request = request.body(Body::from(Bytes::copy_from_slice(body))).expect("a request");
    let answer = router.oneshot(request).await.expect("routers do not fail");
    let status = answer.status();
    assert!(!status.is_server_error() || status == StatusCode::GATEWAY_TIMEOUT, "{status}");
    let body = answer.into_body().collect().await.expect("a whole answer").to_bytes();
    if status != StatusCode::OK {
        let told: serde_json::Value = serde_json::from_slice(&body).expect("errors are JSON");
        assert!(
            told.get("error").or(told.get("message")).is_some_and(serde_json::Value::is_string),
            "{told}"
        );
    }
}

async fn grpc(router: Router, bytes: &[u8]) {
    const INTERNAL: &str = "13";
    const UNKNOWN: &str = "2";
    let mut framed = vec![0]; // not compressed
    framed.extend_from_slice(&u32::try_from(bytes.len()).expect("fuzzed messages are small").to_be_bytes());
    framed.extend_from_slice(bytes);
    let request = Request::post("/inference.GRPCInferenceService/ModelInfer")
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Body::from(framed))
        .expect("a request");
    let answer = router.oneshot(request).await.expect("routers do not fail");
    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers().clone();
    let answer = answer.into_body().collect().await.expect("a whole answer");
    let trailers = answer.trailers().cloned().unwrap_or_default();
    let status = trailers.get("grpc-status").or(headers.get("grpc-status")).expect("a status");
    assert!(status != INTERNAL && status != UNKNOWN, "{status:?}: {:?}", headers.get("grpc-message"));
}
