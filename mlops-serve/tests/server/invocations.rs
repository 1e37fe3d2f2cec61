//! The REST front answers as MLflow's scoring server does, to a real client over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mlops_core::{DType, Dimension, ModelName, Signature, TensorSpec};
use mlops_serve::server::{Server, ServerBuilder};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::service::{Echo, Running, scorer, send};

fn name(text: &str) -> ModelName {
    ModelName::new(text).unwrap()
}

fn echo() -> Echo {
    let spec = |name, dtype| TensorSpec::new(name, dtype, [Dimension::Batch]);
    let specs = [spec("age", DType::Fp32), spec("city", DType::Bytes), spec("member", DType::Bool)];
    let visits = spec("visits", DType::Int64).optional();
    let inputs = specs.clone().into_iter().chain([visits.clone()]);
    Echo::new(Signature::new(inputs, specs.into_iter().chain([visits])).unwrap())
}

async fn start(server: ServerBuilder) -> Running {
    Running::start(server.with_body_limit(4096).build()).await
}

/// Takes rows of two columns, whatever their names.
async fn start_scorer() -> Running {
    start(Server::builder().with_model(name("scorer"), scorer())).await
}

/// Takes columns by name.
async fn start_echo() -> Running {
    start(Server::builder().with_model(name("echo"), echo())).await
}

impl Running {
    async fn invoke(&self, body: Value) -> (StatusCode, Value) {
        self.post("/invocations", body).await
    }

    async fn csv(&self, body: &str) -> (StatusCode, Value) {
        let request = self.request("POST", "/invocations").header("content-type", "text/csv; charset=utf-8");
        send(request.body(body.to_owned())).await
    }
}

#[tokio::test]
async fn columns_go_in_their_order_into_the_rows_of_the_only_input() {
    let server = start_scorer().await;
    let expected = (StatusCode::OK, json!({"predictions": [3.0, 7.5]}));
    for body in [
        json!({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, 4.5]]}}),
        json!({"dataframe_split": {"index": [0, 1], "columns": [0, 1], "data": [[1, 2], [3, 4.5]]}}),
        json!({"dataframe_records": [{"a": 1, "b": 2}, {"b": 4.5, "a": 3}]}),
        json!({"instances": [[1, 2], [3, 4.5]]}),
        json!({"inputs": [[1, 2], [3, 4.5]]}),
        json!({"inputs": {"x": [[1, 2], [3, 4.5]]}, "params": {}}),
    ] {
        assert_eq!(server.invoke(body.clone()).await, expected, "{body}");
    }
    assert_eq!(server.csv("a,b\n1,2\n3,4.5\n").await, expected);
    let late_columns = r#"{"dataframe_split": {"data": [[1, 2], [3, 4.5]], "columns": ["a", "b"]}}"#;
    assert_eq!(server.post_bytes("/invocations", late_columns.into()).await, expected);
    let ordered = r#"{"dataframe_records": [{"b": 10, "a": 1}]}"#;
    let (_, answer) = server.post_bytes("/invocations", ordered.into()).await;
    assert_eq!(answer, json!({"predictions": [11.0]}));
    let none = json!({"dataframe_split": {"columns": ["a", "b"], "data": []}});
    assert_eq!(server.invoke(none).await, (StatusCode::OK, json!({"predictions": []})));
    assert_eq!(server.csv("a,b\n").await, (StatusCode::OK, json!({"predictions": []})));
}

#[tokio::test]
async fn columns_go_into_the_inputs_of_their_names() {
    let server = start_echo().await;
    let expected = (
        StatusCode::OK,
        json!({"predictions": [
            {"age": 41.0, "city": "Oslo", "member": true}, {"age": 7.5, "city": "Rome, IT", "member": false},
        ]}),
    );
    for body in [
        json!({"dataframe_split": {
            "columns": ["member", "city", "age"], "data": [[true, "Oslo", 41], [false, "Rome, IT", 7.5]],
        }}),
        json!({"dataframe_records": [
            {"age": 41, "city": "Oslo", "member": true}, {"member": false, "city": "Rome, IT", "age": 7.5},
        ]}),
        json!({"instances": [
            {"age": 41, "city": "Oslo", "member": true}, {"member": false, "city": "Rome, IT", "age": 7.5},
        ]}),
        json!({"inputs": {"age": [41, 7.5], "city": ["Oslo", "Rome, IT"], "member": [true, false]}}),
    ] {
        assert_eq!(server.invoke(body.clone()).await, expected, "{body}");
    }
    assert_eq!(server.csv("city,member,age\nOslo,True,41\n\"Rome, IT\",false,7.5\n").await, expected);
    let (_, answer) = server.csv("age,city,member,visits\n1,x,true,-9223372036854775808\n").await;
    assert_eq!(answer["predictions"][0]["visits"], json!(i64::MIN));
}

#[tokio::test]
async fn what_is_missing_in_a_data_frame_is_nan_where_there_is_one() {
    let server = start_scorer().await;
    let with_null = json!({"dataframe_split": {"columns": ["a", "b"], "data": [[1, null]]}});
    let nan = "element 0 of output `y` is NaN";
    for (status, answer) in [server.invoke(with_null).await, server.csv("a,b\n1,\n").await] {
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["message"].as_str().unwrap().contains(nan), "{answer}");
    }
    let (_, answer) = start_echo().await.csv("age,city,member,visits\n1,x,true,\n").await;
    assert!(answer["message"].as_str().unwrap().contains("element 0 is null, which is no INT64"), "{answer}");
}

#[tokio::test]
async fn wrong_requests_are_refused_in_mlflows_form() {
    let server = start_scorer().await;
    for (body, expected) in [
        (json!([]), "an object with exactly one of `dataframe_split`"),
        (json!({}), "none of `dataframe_split`, `dataframe_records`, `instances` or `inputs` came"),
        (json!({"instances": [[1, 2]], "inputs": [[1, 2]]}), "exactly one of"),
        (json!({"dataframe_split": {"columns": ["a", "b"]}}), "missing field `data`"),
        (json!({"dataframe_split": {"data": []}}), "missing field `columns`"),
        (json!({"dataframe_split": {"columns": ["a", "a"], "data": []}}), "column `a` comes twice"),
        (json!({"dataframe_split": {"columns": ["a", [1]], "data": []}}), "expected the name of a column"),
        (
            json!({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3]]}}),
            "row 1 has 1 cells, but there are 2 columns",
        ),
        (
            json!({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2, 3]]}}),
            "row 0 has more cells, but there are 2 columns",
        ),
        (
            json!({"dataframe_split": {"columns": ["a", "b"], "data": [[1, "two"]]}}),
            "tensor `x`: element 1 is \"two\", which is no FP32",
        ),
        (
            json!({"dataframe_split": {"columns": ["a"], "data": [[1]]}}),
            "input `x` takes 2 columns, but 1 came",
        ),
        (json!({"dataframe_records": []}), "no record came to say which columns there are"),
        (json!({"dataframe_records": [[1, 2]]}), "expected an object of columns"),
        (json!({"dataframe_records": [{"a": 1, "b": 2}, {"a": 1}]}), "record 1 has no column `b`"),
        (json!({"dataframe_records": [{"a": 1, "b": 2}, {"c": 1}]}), "record 1 has a column `c`"),
        (json!({"instances": [[1], [2, 3]]}), "ragged data"),
    ] {
        let (status, answer) = server.invoke(body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}\n  says: {answer}");
        assert_eq!(answer["error_code"], "BAD_REQUEST", "{body}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(expected), "{body}\n  says: {message}");
    }
    for (csv, expected) in [
        ("", "it has no row of names"),
        ("a,b\n1,two\n", "element 1 is \"two\", which is no FP32"),
        ("a,b\n1\n", "found record with 1 fields"),
        ("a,a\n1,2\n", "column `a` comes twice"),
    ] {
        let (status, answer) = server.csv(csv).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{csv}");
        assert!(answer["message"].as_str().unwrap().contains(expected), "{csv}: {answer}");
    }
    let (_, answer) = start_echo().await.csv("age,town\n1,x\n").await;
    let expected = "column `town` is no input; inputs are `age`, `city`, `member`, `visits`";
    assert!(answer["message"].as_str().unwrap().contains(expected), "{answer}");
}

#[tokio::test]
async fn every_failure_has_its_error_code() {
    let server = start_scorer().await;
    let with = |params: Value| json!({"instances": [[1, 2]], "params": params});
    for (body, status, code) in [
        (with(json!({"timeout_ms": "soon"})), 400, "INVALID_PARAMETER_VALUE"),
        (with(json!({"attribute.fail": "overloaded"})), 429, "REQUEST_LIMIT_EXCEEDED"),
        (with(json!({"attribute.fail": "unavailable"})), 503, "TEMPORARILY_UNAVAILABLE"),
        (with(json!({"attribute.fail": "engine"})), 500, "INTERNAL_ERROR"),
        (with(json!({"attribute.sleep": "1", "timeout_ms": 5})), 504, "DEADLINE_EXCEEDED"),
    ] {
        let response = server.request("POST", "/invocations").json(&body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{body}");
        assert_eq!(response.headers().contains_key("retry-after"), matches!(status, 429 | 503), "{body}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error_code"], code, "{answer}");
        assert!(!answer["message"].as_str().unwrap().contains("secret"), "{answer}");
    }
    let (status, answer) = server.post_bytes("/invocations", vec![b' '; 5000]).await;
    assert_eq!((status, &answer["error_code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("BAD_REQUEST")));
    for content_type in ["application/x-parquet", "text/csv; charset=latin-1", "json"] {
        let request = server.request("POST", "/invocations").header("content-type", content_type);
        let (status, answer) = send(request.body("{}")).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}: {answer}");
    }
}

#[tokio::test]
async fn the_default_model_answers_or_the_only_one() {
    let two = || Server::builder().with_model(name("scorer"), scorer()).with_model(name("echo"), echo());
    let body = json!({"instances": [[1, 2]]});
    let (status, answer) = start(two()).await.invoke(body.clone()).await;
    assert_eq!((status, &answer["error_code"]), (StatusCode::NOT_FOUND, &json!("RESOURCE_DOES_NOT_EXIST")));
    assert!(answer["message"].as_str().unwrap().contains("`with_default_model`"), "{answer}");
    let server = start(two().with_default_model(name("scorer"))).await;
    assert_eq!(server.invoke(body).await, (StatusCode::OK, json!({"predictions": [3.0]})));
}

#[tokio::test]
async fn health_and_version_are_told() {
    let server = start_scorer().await;
    for path in ["/ping", "/health"] {
        assert_eq!(server.get(path).await, (StatusCode::OK, json!({"status": "ready"})));
    }
    let version = server.request("GET", "/version").send().await.unwrap().text().await.unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let (status, answer) = server.get("/nowhere").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(answer["error"].as_str().unwrap().contains("/openapi.json lists what is here"));
}

#[test]
fn arbitrary_bodies_are_answered_and_never_break_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (scorer, echo) = runtime.block_on(async { (start_scorer().await, start_echo().await) });
    let config = Config { cases: 128, failure_persistence: None, ..Config::default() };
    let bodies = prop_oneof![
        any::<Vec<u8>>().prop_map(|body| ("application/json", body)),
        any::<String>().prop_map(|body| ("text/csv", body.into_bytes())),
        any::<Vec<u8>>().prop_map(|body| ("text/csv", body)),
        "[ab,\"\n0-9.x]{0,40}".prop_map(|body| ("text/csv", body.into_bytes())),
        ("dataframe_split|dataframe_records|instances|inputs", "[\\[\\]{}:,\"abx0-9.\\-]{0,40}")
            .prop_map(|(key, data)| ("application/json", format!(r#"{{"{key}": {data}}}"#).into_bytes())),
        "[\\[\\],\"null0-9.]{0,40}".prop_map(|data| {
            let body = format!(r#"{{"dataframe_split": {{"columns": ["a", "b"], "data": [{data}]}}}}"#);
            ("application/json", body.into_bytes())
        }),
    ];
    TestRunner::new(config)
        .run(&bodies, |(content_type, body)| {
            for server in [&scorer, &echo] {
                let request = server.request("POST", "/invocations").header("content-type", content_type);
                let (status, answer) = runtime.block_on(send(request.body(body.clone())));
                prop_assert!(!status.is_server_error(), "{status}: {answer}");
            }
            Ok(())
        })
        .unwrap();
}
