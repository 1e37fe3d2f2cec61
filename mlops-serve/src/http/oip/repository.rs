//! Which models there are, and loading and unloading them.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use mlops_core::Error;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ModelPath;
use crate::http::inbound::Inbound;
use crate::http::{Answer, body};
use crate::server::access::Verb;
use crate::server::{ModelState, Service};

#[derive(Deserialize, Default)]
struct IndexRequest {
    /// Only models that take requests.
    #[serde(default)]
    ready: bool,
}

#[derive(Serialize)]
struct IndexEntry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

pub(super) async fn index(
    State(service): State<Service>,
    inbound: Inbound,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = body::read(&headers, body, service.limits()).await?;
    let request: IndexRequest = if body.is_empty() {
        IndexRequest::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|cause| Error::invalid_input(format!("the body is no index request: {cause}")))?
    };
    service.permit(&inbound.caller, Verb::Inspect, None)?;
    let entries: Vec<IndexEntry> = service
        .models()
        .index()
        .into_iter()
        .filter(|status| !request.ready || status.state == ModelState::Ready)
        .filter(|status| service.permit(&inbound.caller, Verb::Inspect, Some(status.name.as_str())).is_ok())
        .map(|status| {
            let (state, reason) = match status.state {
                ModelState::Ready => ("READY", String::new()),
                ModelState::Loading => ("LOADING", String::new()),
                ModelState::Unavailable(reason) => ("UNAVAILABLE", reason),
            };
            let version = status.version.map(|version| version.to_string());
            IndexEntry { name: status.name.to_string(), version, state, reason }
        })
        .collect();
    Ok(Json(entries).into_response())
}

pub(super) async fn load(
    State(service): State<Service>,
    Path(path): Path<ModelPath>,
    inbound: Inbound,
) -> Answer {
    service.load(&inbound.caller, &path.model).await?;
    Ok(Json(json!({})).into_response())
}

pub(super) async fn unload(
    State(service): State<Service>,
    Path(path): Path<ModelPath>,
    inbound: Inbound,
) -> Answer {
    service.unload(&inbound.caller, &path.model)?;
    Ok(Json(json!({})).into_response())
}
