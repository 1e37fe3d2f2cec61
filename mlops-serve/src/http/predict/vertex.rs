//! Vertex AI says by environment variables on which paths its container is asked.

use std::env::{self, VarError};

use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::HeaderMap;
use mlops_core::{Error, Result};
use utoipa::openapi::HttpMethod;

use super::{PREDICT_VERB, operation, predict};
use crate::http::health;
use crate::http::inbound::Inbound;
use crate::http::openapi::PREDICT;
use crate::http::routes::Routes;
use crate::http::{Answer, own_routes};
use crate::server::access::Verb;
use crate::server::{RequestId, Service};

/// Vertex AI's default, and that of this type.
const DEFAULT_PORT: u16 = 8080;

/// Where Vertex AI asks its container: the paths of predictions and of health checks, the port, and where the artifacts
/// of the model are.
///
/// [`ServerBuilder::with_vertex`](crate::server::ServerBuilder::with_vertex) serves them:
/// `POST` with `{"instances": [...], "parameters": {...}}` is answered with `{"predictions": [...]}` by the
/// [default model](crate::server::ServerBuilder::with_default_model), `GET` with 200 while requests should come.
///
/// ```
/// use mlops_serve::http::VertexRoutes;
/// use mlops_serve::server::Server;
///
/// let mut server = Server::builder();
/// if let Some(routes) = VertexRoutes::from_env()? {
///     println!("artifacts: {:?}, port: {}", routes.storage_uri(), routes.http_port());
///     server = server.with_vertex(routes);
/// }
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VertexRoutes {
    predict: String,
    health: String,
    http_port: u16,
    storage_uri: Option<String>,
}

impl VertexRoutes {
    /// These paths, and port 8080.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when one is no path, or one that this server answers otherwise. Paths which it answers in
    /// the same way, such as `/v1/models/NAME:predict` and `/health`, are right.
    pub fn new(predict: impl Into<String>, health: impl Into<String>) -> Result<Self> {
        let routes = Self {
            predict: predict.into(),
            health: health.into(),
            http_port: DEFAULT_PORT,
            storage_uri: None,
        };
        let own = own_routes();
        check_path(&routes.predict)?;
        check_path(&routes.health)?;
        check_free(&own, &routes.predict, |template, _| template.ends_with(&format!(":{PREDICT_VERB}")))?;
        check_free(&own, &routes.health, |_, methods| methods.contains(&&HttpMethod::Get))?;
        Ok(routes)
    }

    /// What the environment says: `AIP_PREDICT_ROUTE`, `AIP_HEALTH_ROUTE`, and, if set, `AIP_HTTP_PORT` and
    /// `AIP_STORAGE_URI`. `None` where neither route is set: the process does not run in Vertex AI.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when only one of the routes is set, or a value is wrong.
    pub fn from_env() -> Result<Option<Self>> {
        Self::from_variables(|name| match env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => {
                Err(Error::invalid_input(format!("the environment variable {name} is not UTF-8")))
            }
        })
    }

    fn from_variables(variable: impl Fn(&str) -> Result<Option<String>>) -> Result<Option<Self>> {
        let mut routes = match (variable("AIP_PREDICT_ROUTE")?, variable("AIP_HEALTH_ROUTE")?) {
            (None, None) => return Ok(None),
            (Some(predict), Some(health)) => Self::new(predict, health)?,
            (Some(_), None) => {
                return Err(Error::invalid_input("AIP_PREDICT_ROUTE is set, but not AIP_HEALTH_ROUTE"));
            }
            (None, Some(_)) => {
                return Err(Error::invalid_input("AIP_HEALTH_ROUTE is set, but not AIP_PREDICT_ROUTE"));
            }
        };
        if let Some(port) = variable("AIP_HTTP_PORT")? {
            routes.http_port = port
                .parse()
                .map_err(|_| Error::invalid_input(format!("AIP_HTTP_PORT is {port:?}; expected a port")))?;
        }
        routes.storage_uri = variable("AIP_STORAGE_URI")?.filter(|uri| !uri.is_empty());
        Ok(Some(routes))
    }

    /// The path of predictions.
    #[must_use]
    pub fn predict(&self) -> &str {
        &self.predict
    }

    /// The path of health checks.
    #[must_use]
    pub fn health(&self) -> &str {
        &self.health
    }

    /// The port that Vertex AI sends requests to.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The folder of Cloud Storage that has a copy of the artifacts of the model, if it has artifacts.
    #[must_use]
    pub fn storage_uri(&self) -> Option<&str> {
        self.storage_uri.as_deref()
    }

    /// `own`, and what Vertex AI asks for besides.
    pub(in crate::http) fn add_to(&self, own: Routes) -> Routes {
        let mut routes = Routes::new();
        if own.taking(&self.predict).is_none() {
            routes = routes.post(&self.predict, predict_by_default, || operation(PREDICT));
        }
        if own.taking(&self.health).is_none() {
            routes = routes.get(&self.health, health::health, || health::operation(PREDICT));
        }
        own.merge(routes)
    }
}

async fn predict_by_default(
    State(service): State<Service>,
    inbound: Inbound,
    RequestId(request_id): RequestId,
    headers: HeaderMap,
    body: HttpBody,
) -> Answer {
    let served = service.default_served(&inbound.caller, Verb::Infer)?;
    predict(&service, &served, request_id, &headers, body).await
}

/// A path without variables and without what would have to be encoded.
fn check_path(path: &str) -> Result<()> {
    let of_paths = |c: char| c.is_ascii_alphanumeric() || "/-._~:@+=,".contains(c);
    let fault = if !path.starts_with('/') {
        "does not start with `/`"
    } else if !path.chars().all(of_paths) {
        "has characters that are not of plain paths"
    } else if path.contains("/:") {
        "has a segment that starts with `:`"
    } else if path != "/" && path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        "has an empty segment, `.` or `..`"
    } else {
        return Ok(());
    };
    let shown: String = path.chars().take(128).collect();
    Err(Error::invalid_input(format!("the route `{}` {fault}", shown.escape_debug())))
}

/// Refuses paths that are taken, unless what answers there will do.
fn check_free(own: &Routes, path: &str, will_do: impl FnOnce(&str, &[&HttpMethod]) -> bool) -> Result<()> {
    match own.taking(path) {
        Some((template, methods)) if !will_do(template, &methods) => Err(Error::invalid_input(format!(
            "the route `{path}` is taken: this server answers otherwise to `{template}`"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Option<VertexRoutes>> {
        VertexRoutes::from_variables(|name| {
            Ok(variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn outside_vertex_there_are_no_routes() {
        assert_eq!(from(&[("AIP_HTTP_PORT", "8080")]).unwrap(), None);
    }

    #[test]
    fn the_variables_of_the_contract_are_read() {
        let base = "/v1/endpoints/1234/deployedModels/5678";
        let predict = format!("{base}:predict");
        let routes = from(&[
            ("AIP_PREDICT_ROUTE", &predict),
            ("AIP_HEALTH_ROUTE", base),
            ("AIP_HTTP_PORT", "9000"),
            ("AIP_STORAGE_URI", "gs://bucket/model"),
        ]);
        let routes = routes.unwrap().unwrap();
        assert_eq!((routes.predict(), routes.health()), (predict.as_str(), base));
        assert_eq!((routes.http_port(), routes.storage_uri()), (9000, Some("gs://bucket/model")));
        for wrong in [
            &[("AIP_PREDICT_ROUTE", "/predict")][..],
            &[("AIP_HEALTH_ROUTE", "/health")],
            &[("AIP_PREDICT_ROUTE", "/predict"), ("AIP_HEALTH_ROUTE", "/health"), ("AIP_HTTP_PORT", "0x50")],
        ] {
            assert!(matches!(from(wrong), Err(Error::InvalidInput(_))), "{wrong:?}");
        }
    }

    #[test]
    fn paths_that_are_none_or_taken_are_refused_and_never_panic() {
        for good in ["/", "/predict", "/a/b:predict", "/v1/models/fraud:predict"] {
            let routes = VertexRoutes::new(good, "/ping").unwrap();
            let _ = routes.add_to(own_routes()).into_router();
        }
        let same = VertexRoutes::new("/vertex", "/vertex").unwrap();
        let _ = same.add_to(own_routes()).into_router();
        for bad in
            ["", "predict", "/{model}", "/*all", "/a/:b", "/a//b", "/a/", "/../a", "/a b", "/a?b", "/é"]
        {
            assert!(VertexRoutes::new(bad, "/health").is_err(), "{bad}");
            assert!(VertexRoutes::new("/predict", bad).is_err(), "{bad}");
        }
        for taken in ["/invocations", "/v2/models/a/infer", "/v1/models/a", "/health", "/openapi.json"] {
            let error = VertexRoutes::new(taken, "/health").unwrap_err().to_string();
            assert!(error.contains("is taken"), "{error}");
        }
        assert!(VertexRoutes::new("/predict", "/v2/repository/index").is_err());
    }
}
