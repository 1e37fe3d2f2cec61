//! Which models there are, and loading and unloading them.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::inbound::Inbound;
use crate::http::path::ModelPath;
use crate::http::{Answer, body, json};
use crate::server::{Service, wire};

#[derive(Deserialize, Default, ToSchema)]
pub(super) struct IndexRequest {
    /// Only models that take requests.
    #[serde(default)]
    ready: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RepositoryIndex)]
pub(super) struct Index(Vec<IndexEntry>);

#[derive(Serialize, ToSchema)]
struct IndexEntry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// `READY`, `LOADING` or `UNAVAILABLE`.
    state: &'static str,
    /// Why a model is unavailable.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    reason: String,
}

/// An empty object.
#[derive(Serialize, ToSchema)]
pub(super) struct Done {}

pub(super) async fn index(
    State(service): State<Service>,
    inbound: Inbound,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = body::read(&headers, body, service.limits()).await?;
    let request: IndexRequest =
        if body.is_empty() { IndexRequest::default() } else { json::object(&body, "index request")? };
    let entries: Vec<IndexEntry> = service
        .index(&inbound.caller, request.ready)?
        .into_iter()
        .map(|status| {
            let (state, reason) = wire::state(status.state);
            let version = status.version.map(|version| version.to_string());
            IndexEntry { name: status.name.to_string(), version, state, reason }
        })
        .collect();
    Ok(Json(Index(entries)).into_response())
}

pub(super) async fn load(State(service): State<Service>, path: ModelPath, inbound: Inbound) -> Answer {
    service.load(&inbound.caller, &path.model).await?;
    Ok(Json(Done {}).into_response())
}

pub(super) async fn unload(State(service): State<Service>, path: ModelPath, inbound: Inbound) -> Answer {
    service.unload(&inbound.caller, &path.model)?;
    Ok(Json(Done {}).into_response())
}
