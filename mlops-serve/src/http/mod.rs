//! The REST front of the [Open Inference Protocol v2](https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md).
//!
//! | route | answers |
//! |---|---|
//! | `GET /v2` | name, version and extensions of the server |
//! | `GET /v2/health/live`, `GET /v2/health/ready` | whether the process runs; whether it takes requests |
//! | `GET /v2/models/{model}[/versions/{version}]` | the signature |
//! | `GET /v2/models/{model}[/versions/{version}]/ready` | whether the model takes requests |
//! | `POST /v2/models/{model}[/versions/{version}]/infer` | a prediction |
//! | `GET /metrics` | what [`Server::with_metrics`] gives |
//!
//! Routing comes in by the request's `parameters`: `routing_key` (sticky assignment), `attribute.NAME`
//! (targeting), and `timeout_ms` (deadline). What decided goes out by the response's `parameters`: `variant`
//! and `routing_reason`.
//!
//! Faults are answered in the protocol's form, `{"error": "..."}`: 400 for wrong input, 404 for what is not there, 413
//! for a body above the limit, 429 and 503 (with `Retry-After`) for overload, 504 for a missed deadline, and 500 for
//! failures of the model, whose inner details go to the log and not to the caller.

mod failure;
mod protocol;
mod routes;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use mlops_core::{Error, Model, ModelId, ModelName, Result};
use tokio::net::TcpListener;

/// The largest request body, unless set otherwise: 16 MiB.
const DEFAULT_BODY_LIMIT: usize = 16 << 20;

/// A model server, to mount in an axum application or to run alone.
///
/// ```no_run
/// # async fn run(model: impl mlops_core::Model) -> Result<(), Box<dyn std::error::Error>> {
/// # let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
/// use mlops_core::{ModelExt, ModelName, metrics::MetricsObserver};
/// use mlops_serve::http::Server;
///
/// let name = ModelName::new("fraud")?;
/// let server = Server::new()
///     .with_model(name.clone(), model.observed(MetricsObserver::new(name)))
///     .with_metrics(move || recorder.render()); // of whatever exporter the host has installed
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// server.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Server {
    models: BTreeMap<ModelName, Served>,
    render_metrics: Option<RenderMetrics>,
    body_limit: Option<usize>,
}

type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// One name, and the models behind it.
#[derive(Debug, Default)]
struct Served {
    /// Answers when the caller names no version.
    current: Option<Arc<dyn Model>>,
    versions: BTreeMap<String, Arc<dyn Model>>,
}

/// What all requests share.
struct Shared {
    models: BTreeMap<ModelName, Served>,
    render_metrics: Option<RenderMetrics>,
    draining: AtomicBool,
}

impl Server {
    /// A server without models.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `model` under `name` to callers that name no version; in its place, if the name has one.
    #[must_use]
    pub fn with_model(mut self, name: ModelName, model: impl Model) -> Self {
        self.models.entry(name).or_default().current = Some(Arc::new(model));
        self
    }

    /// Serves `model` to callers that name exactly this version.
    #[must_use]
    pub fn with_version(mut self, id: ModelId, model: impl Model) -> Self {
        let versions = &mut self.models.entry(id.name).or_default().versions;
        versions.insert(id.version.to_string(), Arc::new(model));
        self
    }

    /// Answers `GET /metrics` with what `render` gives, in the Prometheus text format: the `render` of
    /// a recorder's handle, say.
    #[must_use]
    pub fn with_metrics(mut self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.render_metrics = Some(Arc::new(render));
        self
    }

    /// Sets the largest request body, in bytes. It is 16 MiB unless set.
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// The routes, to merge into an application of your own.
    pub fn router(self) -> Router {
        self.into_parts().1
    }

    /// Answers on `listener` until `shutdown` completes; then turns not ready, takes no new connection, and
    /// answers what is in flight.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let (shared, router) = self.into_parts();
        let drain = async move {
            shutdown.await;
            shared.draining.store(true, Ordering::Relaxed);
        };
        axum::serve(listener, router)
            .with_graceful_shutdown(drain)
            .await
            .map_err(|cause| Error::unavailable("the HTTP listener failed").with_source(cause))
    }

    fn into_parts(self) -> (Arc<Shared>, Router) {
        let Self { models, render_metrics, body_limit } = self;
        let shared = Arc::new(Shared { models, render_metrics, draining: AtomicBool::new(false) });
        let router = routes::router(Arc::clone(&shared), body_limit.unwrap_or(DEFAULT_BODY_LIMIT));
        (shared, router)
    }
}

impl Shared {
    fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// The model that answers for a name and, perhaps, a version.
    fn model(&self, name: &str, version: Option<&str>) -> Result<&Arc<dyn Model>> {
        let served = self.served(name)?;
        match version {
            None => served.current.as_ref().or_else(|| served.versions.values().next_back()),
            Some(version) => served.versions.get(version),
        }
        .ok_or_else(|| {
            let known = served.versions.keys().cloned().collect::<Vec<_>>().join("`, `");
            let shown = version.unwrap_or("latest").escape_debug();
            Error::not_found(format!("model `{name}` has no version `{shown}` here; there are `{known}`"))
        })
    }

    fn served(&self, name: &str) -> Result<&Served> {
        self.models.get(name).ok_or_else(|| {
            let known = self.models.keys().map(ModelName::as_str).collect::<Vec<_>>().join("`, `");
            Error::not_found(format!("there is no model `{}`; there are `{known}`", name.escape_debug()))
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("models", &self.models)
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}
