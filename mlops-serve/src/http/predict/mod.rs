//! The REST API of [TF Serving](https://www.tensorflow.org/tfx/serving/api_rest), and the
//! [contract of Vertex AI's containers](https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements),
//! which has the same bodies.

mod metadata;
mod request;
mod status;
mod vertex;

use std::sync::Arc;

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::IntoResponse;
use mlops_core::{Error, Instant};
use serde::Serialize;
use utoipa::openapi::HttpMethod;

use super::inbound::Inbound;
use super::nested::{ByColumn, ByRow, Outputs};
use super::openapi::schemas::{PredictRequest as RequestSchema, PredictResponse as ResponseSchema};
use super::openapi::{BAD_BODY, Body, NO_MODEL, NO_PREDICTION, Operation, PREDICT, REFUSALS};
use super::path::ModelPath;
use super::routes::Routes;
use super::{Answer, Failure, body};
use crate::server::access::Verb;
use crate::server::{RequestId, Served, Service};

pub use vertex::VertexRoutes;

use request::{Form, PredictRequest};

/// What this server does with a model at the end of its path.
const PREDICT_VERB: &str = "predict";

pub(super) fn routes() -> Routes {
    ["/v1/models/{model}", "/v1/models/{model}/versions/{version}"].into_iter().fold(
        Routes::new(),
        |routes, model| {
            let metadata_path = format!("{model}/metadata");
            routes
                .any(model, status_or_predict)
                .documented(HttpMethod::Get, model, status::operation)
                .documented(HttpMethod::Post, &format!("{model}:{PREDICT_VERB}"), || operation(PREDICT))
                .get(&metadata_path, metadata::metadata, metadata::operation)
        },
    )
}

/// The description of a prediction.
fn operation(tag: &'static str) -> Operation {
    Operation::new(tag, "A prediction.")
        .for_callers()
        .with_headers_of_predictions()
        .takes(Body::json::<RequestSchema>())
        .answers(StatusCode::OK, "The prediction.", Body::json::<ResponseSchema>())
        .fails(&REFUSALS)
        .fails(&NO_MODEL)
        .fails(&BAD_BODY)
        .fails(&NO_PREDICTION)
}

/// Both end in the name of the model, or its version, for axum: the verb stands in the same segment.
async fn status_or_predict(
    State(service): State<Service>,
    mut path: ModelPath,
    inbound: Inbound,
    RequestId(request_id): RequestId,
    method: Method,
    headers: HeaderMap,
    body: HttpBody,
) -> Answer {
    let named = path.version.as_mut().unwrap_or(&mut path.model);
    let verb = named.rfind(':').map(|colon| named.split_off(colon));
    match verb.as_deref().map(|verb| &verb[1..]) {
        None if method == Method::GET || method == Method::HEAD => status::status(&service, &path, &inbound),
        None => Ok(not_allowed(&method, "GET,HEAD")),
        Some(_) if method != Method::POST => Ok(not_allowed(&method, "POST")),
        Some(PREDICT_VERB) => {
            let (model, version) = (&path.model, path.version.as_deref());
            let served = service.served(&inbound.caller, Verb::Infer, model, version)?;
            predict(&service, &served, request_id, &headers, body).await
        }
        Some(verb) => {
            let verb = verb.chars().take(32).collect::<String>();
            let what = format!("`:{}`; this server answers `:{PREDICT_VERB}`", verb.escape_debug());
            Err(Error::unsupported(what).into())
        }
    }
}

fn not_allowed(method: &Method, allowed: &'static str) -> axum::response::Response {
    let what = format!("{method} is no method of this path; those that are: {allowed}");
    let mut response = Failure::new(StatusCode::METHOD_NOT_ALLOWED, what).into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

async fn predict(
    service: &Service,
    served: &Served,
    request_id: Arc<str>,
    headers: &HeaderMap,
    body: HttpBody,
) -> Answer {
    let arrived = Instant::now();
    let body = body::read(headers, body, service.limits()).await?;
    let parsed = PredictRequest::parse(&body, served.signature())?;
    let parameters = parsed.parameters.or_headers(headers)?;
    let request = parameters.request(parsed.inputs, request_id, arrived)?;
    let response = service.predict(served, request).await?;
    let outputs = Outputs::new(served.signature(), &response.outputs)?;
    Ok(match parsed.form {
        Form::Rows => Json(Predictions { predictions: outputs.by_row()? }).into_response(),
        Form::Columns => Json(Tensors { outputs: outputs.by_column() }).into_response(),
    })
}

#[derive(Serialize)]
struct Predictions<'a> {
    predictions: ByRow<'a>,
}

#[derive(Serialize)]
struct Tensors<'a> {
    outputs: ByColumn<'a>,
}
