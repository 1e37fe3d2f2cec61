//! What the fronts answer, as an [OpenAPI](https://spec.openapis.org/oas/v3.1.0) document.
//!
//! It is made of the [table of routes](super::routes::Routes) itself, so that none is missing in it.

mod operation;
pub(super) mod schemas;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, RefOr, Schema, Type,
};

use crate::server::parameters::{ROUTING_KEY_HEADER, TIMEOUT_HEADER};

pub(super) use operation::{Body, Operation};

/// Where the document is.
pub(super) const PATH: &str = "/openapi.json";

/// The name of the security scheme.
const BEARER: &str = "bearer";

pub(super) const OPEN_INFERENCE_PROTOCOL: &str = "Open Inference Protocol";
pub(super) const REPOSITORY: &str = "Model repository";
pub(super) const PREDICT: &str = "TF Serving and Vertex AI";
pub(super) const INVOCATIONS: &str = "MLflow";
pub(super) const OPERATIONS: &str = "Operations";

/// Why callers are refused.
pub(super) const REFUSALS: [StatusCode; 3] =
    [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];

/// Why there is no model.
pub(super) const NO_MODEL: [StatusCode; 2] = [StatusCode::NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE];

/// Why a body is not read.
pub(super) const BAD_BODY: [StatusCode; 3] =
    [StatusCode::BAD_REQUEST, StatusCode::REQUEST_TIMEOUT, StatusCode::PAYLOAD_TOO_LARGE];

/// Why there is no prediction, though there is a model.
pub(super) const NO_PREDICTION: [StatusCode; 2] =
    [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::GATEWAY_TIMEOUT];

impl Operation {
    /// The headers of predictions by protocols whose bodies have no place for what they say.
    pub(super) fn with_headers_of_predictions(self) -> Self {
        self.header(ROUTING_KEY_HEADER, Type::String, "The key of sticky assignment.").header(
            TIMEOUT_HEADER,
            Type::Number,
            "How long the answer may take, in milliseconds.",
        )
    }
}

/// The description of the document itself.
pub(super) fn operation() -> Operation {
    Operation::new(OPERATIONS, "This document.").answers(
        StatusCode::OK,
        "An OpenAPI document.",
        Body::json::<schemas::Document>(),
    )
}

pub(super) fn document(paths: Paths, schemas: BTreeMap<String, RefOr<Schema>>) -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key or a JSON Web Token, where this server asks for one."));
    let info = InfoBuilder::new()
        .title("mlops model server")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Predictions by several protocols, and what belongs to serving them."))
        .license(Some(LicenseBuilder::new().name(env!("CARGO_PKG_LICENSE")).build()));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
    OpenApiBuilder::new().info(info.build()).paths(paths).components(Some(components.build())).build()
}
