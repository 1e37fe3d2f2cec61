//! The OpenAPI document is true: what it describes is there, and what is there it describes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use mlops_core::{ModelId, ModelName};
use mlops_serve::server::Server;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::service::{Running, scorer};

/// What the documentation of `mlops_serve::http` promises.
const ROUTES: [&str; 29] = [
    "get /health",
    "get /metrics",
    "get /openapi.json",
    "get /ping",
    "get /v1/models/{model}",
    "get /v1/models/{model}/metadata",
    "get /v1/models/{model}/versions/{version}",
    "get /v1/models/{model}/versions/{version}/metadata",
    "get /v2",
    "get /v2/health/live",
    "get /v2/health/ready",
    "get /v2/models/stats",
    "get /v2/models/{model}",
    "get /v2/models/{model}/config",
    "get /v2/models/{model}/ready",
    "get /v2/models/{model}/stats",
    "get /v2/models/{model}/versions/{version}",
    "get /v2/models/{model}/versions/{version}/config",
    "get /v2/models/{model}/versions/{version}/ready",
    "get /v2/models/{model}/versions/{version}/stats",
    "get /version",
    "post /invocations",
    "post /v1/models/{model}/versions/{version}:predict",
    "post /v1/models/{model}:predict",
    "post /v2/models/{model}/infer",
    "post /v2/models/{model}/versions/{version}/infer",
    "post /v2/repository/index",
    "post /v2/repository/models/{model}/load",
    "post /v2/repository/models/{model}/unload",
];

async fn start() -> Running {
    let name = ModelName::new("scorer").unwrap();
    let server = Server::builder()
        .with_model(name.clone(), scorer())
        .with_version(ModelId::new(name, "1.0.0".parse().unwrap()), scorer())
        .with_metrics(|| "up 1\n".to_owned());
    Running::start(server.build()).await
}

/// Method, path and description of every operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        })
        .collect()
}

fn of_scorer(path: &str) -> String {
    path.replace("{model}", "scorer").replace("{version}", "1.0.0")
}

#[tokio::test]
async fn the_promised_routes_are_those_of_the_document() {
    let (status, document) = start().await.get("/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(document["openapi"], "3.1.0");
    let found: BTreeSet<String> =
        operations(&document).iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let promised: BTreeSet<String> = ROUTES.iter().map(|route| (*route).to_owned()).collect();
    assert_eq!(found, promised);
    let ids: BTreeSet<_> =
        operations(&document).iter().map(|entry| entry.2["operationId"].to_string()).collect();
    assert_eq!(ids.len(), ROUTES.len(), "operations have an id of their own each");
}

#[tokio::test]
async fn every_operation_answers_as_it_is_described() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    for (method, path, operation) in operations(&document) {
        let bodies: Vec<Value> = match operation.get("requestBody") {
            None => vec![Value::Null],
            Some(_) => vec![json!({}), json!([]), json!({"instances": [[1, 2]]})],
        };
        for body in bodies {
            let mut request = server.request(&method.to_uppercase(), &of_scorer(path));
            if !body.is_null() {
                request = request.json(&body);
            }
            let response = request.send().await.unwrap();
            let status = response.status().as_u16().to_string();
            let described = &operation["responses"][&status];
            assert!(described.is_object(), "{method} {path} answers {status}, which is not described");
            let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
            let content_type = content_type.split(';').next().unwrap();
            let content = &described["content"][content_type];
            assert!(
                content.is_object(),
                "{method} {path} answers {status} as {content_type}, not as described"
            );
        }
    }
}

#[tokio::test]
async fn methods_that_are_not_described_are_not_allowed() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete", "options"] {
            if item.get(method).is_some() {
                continue;
            }
            let response = server.request(&method.to_uppercase(), &of_scorer(path)).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let allowed = response.headers()["allow"].to_str().unwrap().to_lowercase();
            let described: Vec<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
            let allowed: Vec<&str> = allowed.split(',').filter(|method| *method != "head").collect();
            assert_eq!(allowed, described, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_reference_leads_to_a_schema() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let (_, document) = start().await.get("/openapi.json").await;
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}
