//! Predictions.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
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
    let request = parsed.parameters.request(parsed.inputs, Arc::clone(&id), arrived)?;
    let response = service.predict(&served, request).await?;
    let body = InferResponse::new(&served, &id, &response, &wanted).write()?;
    let mut answer = Response::new(Body::from(body.bytes));
    let content_type = match body.header_length {
        None => "application/json",
        Some(length) => {
            answer.headers_mut().insert(HEADER_LENGTH, length.into());
            "application/octet-stream"
        }
    };
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(answer)
}
