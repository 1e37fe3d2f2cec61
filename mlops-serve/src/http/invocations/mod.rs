//! The [scoring server of MLflow](https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/).

mod csv;
mod failure;
mod frame;
mod records;
mod request;
mod split;

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mlops_core::Instant;
use serde::Serialize;

use super::inbound::Inbound;
use super::nested::{ByRow, Outputs};
use super::openapi::schemas::{InvocationsFailure, InvocationsRequest, InvocationsResponse};
use super::openapi::{BAD_BODY, Body, INVOCATIONS, NO_MODEL, NO_PREDICTION, Operation, REFUSALS};
use super::routes::Routes;
use super::{Failure, body};
use crate::server::access::Verb;
use crate::server::{RequestId, Service};

use failure::Fault;
use request::{Format, Invocation};

pub(super) fn routes() -> Routes {
    Routes::new().post("/invocations", invocations, operation)
}

fn operation() -> Operation {
    Operation::new(INVOCATIONS, "A prediction by the default model.")
        .for_callers()
        .with_headers_of_predictions()
        .takes(Body::json::<InvocationsRequest>())
        .takes(Body::other("text/csv"))
        .answers(StatusCode::OK, "The prediction.", Body::json::<InvocationsResponse>())
        .fails_as::<InvocationsFailure>(&REFUSALS)
        .fails_as::<InvocationsFailure>(&NO_MODEL)
        .fails_as::<InvocationsFailure>(&BAD_BODY)
        .fails_as::<InvocationsFailure>(&NO_PREDICTION)
        .fails_as::<InvocationsFailure>(&[StatusCode::UNSUPPORTED_MEDIA_TYPE])
}

async fn invocations(
    State(service): State<Service>,
    inbound: Result<Inbound, Failure>,
    RequestId(request_id): RequestId,
    headers: HeaderMap,
    body: HttpBody,
) -> Result<Response, Fault> {
    let arrived = Instant::now();
    let served = service.default_served(&inbound?.caller, Verb::Infer)?;
    let format = Format::of(headers.get(header::CONTENT_TYPE))?;
    let body = body::read(&headers, body, service.limits()).await?;
    let parsed = Invocation::parse(format, &body, served.signature())?;
    let request = parsed
        .parameters
        .or_headers(&headers)
        .and_then(|parameters| parameters.request(parsed.inputs, request_id, arrived))
        .map_err(Fault::of_parameters)?;
    let response = service.predict(&served, request).await?;
    let outputs = Outputs::new(served.signature(), &response.outputs)?;
    Ok(Json(Predictions { predictions: outputs.by_row()? }).into_response())
}

#[derive(Serialize)]
struct Predictions<'a> {
    predictions: ByRow<'a>,
}
