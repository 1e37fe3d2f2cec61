//! Whether the versions of a model take requests, in the form of TF Serving's `GetModelStatusResponse`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Answer;
use crate::http::inbound::Inbound;
use crate::http::openapi::{Body, NO_MODEL, Operation, PREDICT, REFUSALS};
use crate::http::path::ModelPath;
use crate::server::access::Verb;
use crate::server::{ModelState, Service};

pub(super) fn operation() -> Operation {
    Operation::new(PREDICT, "Whether the versions of a model take requests.")
        .for_callers()
        .answers(StatusCode::OK, "The versions.", Body::json::<ModelStatus>())
        .fails(&REFUSALS)
        .fails(&NO_MODEL)
}

pub(super) fn status(service: &Service, path: &ModelPath, inbound: &Inbound) -> Answer {
    let versions = match &path.version {
        Some(version) => {
            let served = service.served(&inbound.caller, Verb::Inspect, &path.model, Some(version))?;
            vec![VersionStatus::new(served.version().map(ToString::to_string), ModelState::Ready)]
        }
        None => {
            service.permit(&inbound.caller, Verb::Inspect, Some(&path.model))?;
            let all = service.models().index();
            let this = all.into_iter().filter(|status| status.name.as_str() == path.model);
            let versions: Vec<VersionStatus> = this
                .map(|status| {
                    VersionStatus::new(status.version.map(|version| version.to_string()), status.state)
                })
                .collect();
            if versions.is_empty() {
                service.served(&inbound.caller, Verb::Inspect, &path.model, None)?;
            }
            versions
        }
    };
    Ok(Json(ModelStatus { model_version_status: versions }).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingStatus)]
struct ModelStatus {
    model_version_status: Vec<VersionStatus>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingVersionStatus)]
struct VersionStatus {
    /// Missing where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// `LOADING`, `AVAILABLE`, or `END` for one that takes no requests any more.
    state: &'static str,
    status: Outcome,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingOutcome)]
struct Outcome {
    /// `OK`, or `UNAVAILABLE` when the message says why.
    error_code: &'static str,
    error_message: String,
}

impl VersionStatus {
    fn new(version: Option<String>, state: ModelState) -> Self {
        let (state, error_code, error_message) = match state {
            ModelState::Ready => ("AVAILABLE", "OK", String::new()),
            ModelState::Loading => ("LOADING", "OK", String::new()),
            ModelState::Unavailable(reason) => ("END", "UNAVAILABLE", reason),
        };
        Self { version, state, status: Outcome { error_code, error_message } }
    }
}
