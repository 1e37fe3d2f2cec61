//! Predictions.

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::IntoResponse;
use mlops_core::Instant;

use super::binary::{self, HEADER_LENGTH};
use super::request::InferRequest;
use super::response::InferResponse;
use crate::http::inbound::Inbound;
use crate::http::path::ModelPath;
use crate::http::{Answer, body};
use crate::server::access::Verb;
use crate::server::{RequestId, Service};

pub(super) async fn infer(
    State(service): State<Service>,
    path: ModelPath,
    inbound: Inbound,
    RequestId(request_id): RequestId,
    request: Request,
) -> Answer {
    let arrived = Instant::now();
    let served = service.served(&inbound.caller, Verb::Infer, &path.model, path.version.as_deref())?;
    let (head, body) = request.into_parts();
    let body = body::read(&head.headers, body, service.limits()).await?;
    let parsed = InferRequest::parse(binary::header_length(&head.headers)?, body, served.signature())?;
    let wanted = parsed.outputs.resolve(served.signature())?;
    let id = parsed.id.map_or(request_id, Into::into);
    let request = parsed.parameters.request(parsed.inputs, id, arrived)?;
    let id = request.id.clone();
    let response = service.predict(&served, request).await?;
    let body = InferResponse::new(&served, id.as_deref(), &response, &wanted).write()?;
    Ok(match body.header_length {
        None => ([(header::CONTENT_TYPE, "application/json")], body.bytes).into_response(),
        Some(length) => (
            [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (HEADER_LENGTH, length.to_string()),
            ],
            body.bytes,
        )
            .into_response(),
    })
}
