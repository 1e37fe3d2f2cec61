//! The REST front speaks TF Serving's API, and Vertex AI's, to a real client over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mlops_core::{DType, Dimension, ModelId, ModelName, Signature, TensorSpec};
use mlops_serve::http::VertexRoutes;
use mlops_serve::server::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::service::{Echo, Running, scorer, send};

fn name(text: &str) -> ModelName {
    ModelName::new(text).unwrap()
}

/// `scorer` in two versions, and `echo`, which has several outputs.
async fn start() -> Running {
    let signature = Signature::new(
        [
            TensorSpec::new("tag", DType::Bytes, [Dimension::Batch]),
            TensorSpec::new("signal", DType::Fp32, [Dimension::Batch, Dimension::Fixed(2)]),
            TensorSpec::new("count_bytes", DType::Bytes, [Dimension::Batch]).optional(),
        ],
        [
            TensorSpec::new("tag", DType::Bytes, [Dimension::Batch]),
            TensorSpec::new("signal", DType::Fp32, [Dimension::Batch, Dimension::Fixed(2)]),
            TensorSpec::new("count_bytes", DType::Bytes, [Dimension::Batch]),
        ],
    );
    let scorer_1 = ModelId::new(name("scorer"), "1.0.0".parse().unwrap());
    let server = Server::builder()
        .with_model(name("scorer"), scorer())
        .with_version(scorer_1, scorer())
        .with_model(name("echo"), Echo::new(signature.unwrap()))
        .with_default_model(name("scorer"))
        .with_vertex(VertexRoutes::new("/vertex/7:predict", "/vertex/7").unwrap())
        .with_body_limit(4096);
    Running::start(server.build()).await
}

impl Running {
    async fn ask(&self, headers: &[(&str, &str)], body: Value) -> (StatusCode, Value) {
        let request = self.request("POST", PREDICT).json(&body);
        send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }
}

const PREDICT: &str = "/v1/models/scorer:predict";
const ECHO: &str = "/v1/models/echo:predict";

#[tokio::test]
async fn rows_are_answered_with_rows_and_columns_with_columns() {
    let server = start().await;
    for path in [PREDICT, "/v1/models/scorer/versions/1:predict", "/v1/models/scorer/versions/1.0.0:predict"]
    {
        let rows = server.post(path, json!({"instances": [[1, 2], [3, 4.5]]})).await;
        assert_eq!(rows, (StatusCode::OK, json!({"predictions": [3.0, 7.5]})), "{path}");
        let columns = server.post(path, json!({"inputs": {"x": [[1, 2], [3, 4.5]]}})).await;
        assert_eq!(columns, (StatusCode::OK, json!({"outputs": [3.0, 7.5]})), "{path}");
    }
    let rows = json!({"signature_name": "serving_default", "instances": [
        {"tag": "foo", "signal": [1, 2], "count_bytes": "a"},
        {"tag": {"b64": "/w=="}, "signal": [3, 4], "count_bytes": {"b64": "AQ=="}},
    ]});
    let expected = json!({"predictions": [
        {"tag": "foo", "signal": [1.0, 2.0], "count_bytes": {"b64": "YQ=="}},
        {"tag": {"b64": "/w=="}, "signal": [3.0, 4.0], "count_bytes": {"b64": "AQ=="}},
    ]});
    assert_eq!(server.post(ECHO, rows).await, (StatusCode::OK, expected));
    let columns = json!({"inputs": {"tag": ["foo"], "signal": [[1, 2]]}});
    let expected = json!({"outputs": {"tag": ["foo"], "signal": [[1.0, 2.0]]}});
    assert_eq!(server.post(ECHO, columns).await, (StatusCode::OK, expected));
    assert_eq!(
        server.post(PREDICT, json!({"instances": []})).await,
        (StatusCode::OK, json!({"predictions": []}))
    );
}

#[tokio::test]
async fn the_status_and_the_signature_are_told_in_tensorflows_words() {
    let server = start().await;
    let version = |version: Value| {
        let mut status = json!({"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}});
        if !version.is_null() {
            status["version"] = version;
        }
        status
    };
    let (_, all) = server.get("/v1/models/scorer").await;
    assert_eq!(all, json!({"model_version_status": [version(Value::Null), version(json!("1.0.0"))]}));
    let (_, one) = server.get("/v1/models/scorer/versions/1").await;
    assert_eq!(one, json!({"model_version_status": [version(json!("1.0.0"))]}));

    let (status, metadata) = server.get("/v1/models/scorer/versions/1/metadata").await;
    assert_eq!(status, StatusCode::OK);
    let spec = json!({"name": "scorer", "signature_name": "", "version": "1.0.0"});
    assert_eq!(metadata["model_spec"], spec);
    let signature = &metadata["metadata"]["signature_def"]["signature_def"]["serving_default"];
    assert_eq!(signature["method_name"], "tensorflow/serving/predict");
    let x = json!({"name": "x", "dtype": "DT_FLOAT", "tensor_shape": {
        "dim": [{"size": "-1", "name": "batch"}, {"size": "2", "name": ""}], "unknown_rank": false,
    }});
    assert_eq!(signature["inputs"], json!({"x": x}));
}

#[tokio::test]
async fn wrong_requests_are_refused_with_the_reason() {
    let server = start().await;
    for (body, expected) in [
        (json!([]), "expected an object with `instances` or `inputs`"),
        (json!({}), "missing field `instances` or `inputs`"),
        (json!({"instances": [[1, 2]], "inputs": [[1, 2]]}), "only once"),
        (json!({"instances": [[1, "two"]]}), "tensor `x`: element 1 is \"two\", which is no FP32"),
        (json!({"instances": [[1, 2], [3]]}), "ragged data"),
        (json!({"instances": [[1, 2, 3]]}), "input `x` has shape [1, 3], expected [batch, 2]"),
        (json!({"instances": [1, 2]}), "input `x` has shape [2], expected [batch, 2]"),
        (json!({"instances": [{}]}), "input `x` is missing"),
        (json!({"instances": [{"y": 1}]}), "there is no input `y`; there are `x`"),
        (json!({"instances": [[1, 2]], "signature_name": "regress"}), "there is no signature `regress`"),
        (
            json!({"instances": [[1, 2]], "parameters": {"timeout_ms": "soon"}}),
            "parameter `timeout_ms` is \"soon\"; expected a number of milliseconds",
        ),
    ] {
        let (status, answer) = server.post(PREDICT, body.clone()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}\n  says: {error}");
        assert!(error.contains(expected), "{body}\n  says: {error}");
    }
    let (status, _) = server.post_bytes(PREDICT, vec![b' '; 5000]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    for (path, expected) in [
        ("/v1/models/other:predict", "there is no model `other`"),
        ("/v1/models/scorer/versions/9:predict", "has no version `9`"),
        ("/v1/models/%ff:predict", "UTF-8"),
    ] {
        let (status, answer) = server.post(path, json!({"instances": [[1, 2]]})).await;
        assert!(status.is_client_error(), "{path}: {status}");
        assert!(answer["error"].as_str().unwrap().contains(expected), "{path}: {answer}");
    }
    let (status, answer) = server.post("/v1/models/scorer:classify", json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["error"].as_str().unwrap().contains("this server answers `:predict`"), "{answer}");
}

#[tokio::test]
async fn wrong_methods_are_told_the_right_ones() {
    let server = start().await;
    for (method, path, expected) in [
        ("GET", PREDICT, "POST"),
        ("DELETE", PREDICT, "POST"),
        ("POST", "/v1/models/scorer", "GET,HEAD"),
        ("PUT", "/v1/models/scorer/versions/1", "GET,HEAD"),
        ("POST", "/v1/models/scorer/metadata", "GET,HEAD"),
        ("GET", "/v2/models/scorer/infer", "POST"),
        ("GET", "/invocations", "POST"),
        ("POST", "/vertex/7", "GET,HEAD"),
    ] {
        let response = server.request(method, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(response.headers()["allow"], expected, "{method} {path}");
        let answer: Value = response.json().await.unwrap();
        assert!(answer["error"].as_str().unwrap().contains("is no method of"), "{answer}");
    }
    let response = server.request("HEAD", "/v1/models/scorer").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn keys_and_deadlines_come_by_header_or_by_parameter() {
    let server = start().await;
    let plain = json!({"instances": [[1, 2]]});
    let with = |name: &str, value: Value| json!({"instances": [[1, 2]], "parameters": {name: value}});
    assert_eq!(
        server.ask(&[("x-routing-key", "abcd")], plain.clone()).await.1,
        json!({"predictions": [7.0]})
    );
    assert_eq!(server.ask(&[], with("routing_key", json!("ab"))).await.1, json!({"predictions": [5.0]}));
    let both = server.ask(&[("x-routing-key", "abcd")], with("routing_key", json!("ab"))).await;
    assert_eq!(both.1, json!({"predictions": [5.0]}), "the body comes before the header");

    let late = with("attribute.sleep", json!(true));
    let (status, answer) = server.ask(&[("x-request-timeout-ms", "5")], late.clone()).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{answer}");
    let mut late_by_parameter = late;
    late_by_parameter["parameters"]["timeout_ms"] = json!(5);
    assert_eq!(server.ask(&[], late_by_parameter).await.0, StatusCode::GATEWAY_TIMEOUT);
    for wrong in ["soon", "NaN", ""] {
        let (status, answer) = server.ask(&[("x-request-timeout-ms", wrong)], plain.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["error"].as_str().unwrap().contains("expected a number of milliseconds"), "{answer}");
    }
    let (status, _) = server.ask(&[("x-request-timeout-ms", "-1")], plain).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_json_cannot_carry_is_said() {
    let server = start().await;
    let (status, answer) = server.post(PREDICT, json!({"instances": [[3e38, 3e38]]})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let expected = "element 0 of output `y` is NaN or infinite, which JSON cannot express";
    assert!(answer["error"].as_str().unwrap().contains(expected), "{answer}");
}

#[tokio::test]
async fn vertex_asks_the_default_model_on_its_own_paths() {
    let server = start().await;
    let body = json!({"instances": [[1, 2]], "parameters": {"routing_key": "a"}});
    assert_eq!(server.post("/vertex/7:predict", body).await, (StatusCode::OK, json!({"predictions": [4.0]})));
    assert_eq!(server.get("/vertex/7").await, (StatusCode::OK, json!({"status": "ready"})));
    let (_, document) = server.get("/openapi.json").await;
    assert!(document["paths"]["/vertex/7:predict"]["post"].is_object());
}
