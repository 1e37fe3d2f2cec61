//! A model server, to mount in an application of your own or to run alone.
//!
//! [`Models`] holds what is served and changes while it serves; [`Server`] puts fronts before it: the router of
//! [`Server::router`] speaks all REST protocols of the module [`crate::http`]. Who may do what is
//! [`Access`].

pub mod access;
mod listen;
mod models;
mod off_thread;
#[cfg(feature = "onnx")]
mod onnx;
pub(crate) mod parameters;
pub(crate) mod patience;
#[cfg(feature = "otel")]
mod propagation;
mod registry;
mod request_id;
mod service;
mod telemetry;
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub mod tls;
mod unread;
mod watched;
pub(crate) mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use mlops_core::{Model, ModelId, ModelName, Result};
use tokio::net::TcpListener;

pub use listen::{Connections, Listener};
pub use models::{
    LoadedModel, ModelSource, ModelState, ModelStatus, Models, Statistics, StatisticsSnapshot, Tally,
};

#[cfg(feature = "onnx")]
#[cfg_attr(docsrs, doc(cfg(feature = "onnx")))]
pub use onnx::{OnnxFiles, OnnxLoader};
#[cfg(feature = "otel")]
#[cfg_attr(docsrs, doc(cfg(feature = "otel")))]
pub use propagation::propagate;
pub use registry::{Following, FromArtifact, RegistrySource, VersionLoader};

pub(crate) use models::Served;
pub(crate) use parameters::Parameters;
pub(crate) use request_id::RequestId;
pub(crate) use service::{Defaults, Limits, RenderMetrics, Service};
pub(crate) use telemetry::Trace;

use crate::http::VertexRoutes;
use access::Access;

/// The fronts of a set of models. Clones share it.
///
/// ```no_run
/// # async fn run(model: impl mlops_core::Model) -> Result<(), Box<dyn std::error::Error>> {
/// # let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
/// use mlops_core::{ModelExt, ModelName, metrics::MetricsObserver};
/// use mlops_serve::server::Server;
///
/// let name = ModelName::new("fraud")?;
/// let server = Server::builder()
///     .with_model(name.clone(), model.observed(MetricsObserver::new(name)))
///     .with_metrics(move || recorder.render()) // of whatever exporter the host has installed
///     .build();
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// server.serve(listener, mlops_serve::server::termination()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Server {
    service: Service,
}

/// The options of a [`Server`].
#[must_use]
pub struct ServerBuilder {
    models: Models,
    access: Access,
    limits: Limits,
    render_metrics: Option<RenderMetrics>,
    defaults: Defaults,
}

impl Server {
    /// A server without models, open to all for predictions, closed to all for changes.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            models: Models::new(),
            access: Access::open(),
            limits: Limits {
                body: 16 << 20,
                body_time: Duration::from_secs(30),
                time: Duration::from_secs(60),
            },
            render_metrics: None,
            defaults: Defaults::default(),
        }
    }

    /// What is served: to change it while it is.
    #[must_use]
    pub fn models(&self) -> &Models {
        self.service.models()
    }

    /// The routes of all REST protocols, to merge into an application of your own.
    pub fn router(&self) -> Router {
        crate::http::router(self.service.clone())
    }

    /// The routes of the gRPC front. They do not clash with those of [`router`](Self::router): merged into one router,
    /// both answer on one port, where the listener speaks HTTP/2.
    ///
    /// ```no_run
    /// # async fn run(server: mlops_serve::server::Server) -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// axum::serve(listener, server.router().merge(server.grpc_router())).await
    /// # }
    /// ```
    #[cfg(feature = "grpc")]
    #[cfg_attr(docsrs, doc(cfg(feature = "grpc")))]
    pub fn grpc_router(&self) -> Router {
        crate::grpc::router(&self.service)
    }

    /// Answers on `socket` until `shutdown` completes; then turns not ready, takes no new connection, and answers what
    /// is in flight.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`](mlops_core::Error::DeadlineExceeded) when that takes longer than the
    /// [drain timeout](Connections::with_drain_timeout).
    pub async fn serve(
        self,
        socket: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let listener = Listener::new(socket, crate::http::application(self.service.clone()));
        self.serve_on([listener], Connections::new(), shutdown).await
    }

    /// As [`serve`](Self::serve), on any number of listeners, and with limits of your own.
    ///
    /// # Errors
    /// Those of [`serve`](Self::serve).
    pub async fn serve_on(
        self,
        listeners: impl IntoIterator<Item = Listener>,
        connections: Connections,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let drain = async {
            shutdown.await;
            self.service.drain();
        };
        listen::run(listeners.into_iter().collect(), connections, drain).await
    }
}

/// Completes when the process is asked to end: by an interrupt (Ctrl-C), or on Unix by SIGTERM.
pub async fn termination() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

impl ServerBuilder {
    /// Serves these models, with whatever they become later, in place of those named so far.
    pub fn with_models(mut self, models: Models) -> Self {
        self.models = models;
        self
    }

    /// Serves `model` under `name` to callers that name no version; in its place, if the name has one.
    pub fn with_model(self, name: ModelName, model: impl Model) -> Self {
        self.models.insert(name, model);
        self
    }

    /// Serves `model` to callers that name exactly this version.
    pub fn with_version(self, id: ModelId, model: impl Model) -> Self {
        self.models.insert_version(id, model);
        self
    }

    /// Says who may do what. Unless set, everybody may predict and look, and nobody may change anything.
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Answers `GET /metrics` with what `render` gives, in the Prometheus text format: the `render` of
    /// a recorder's handle, say.
    pub fn with_metrics(mut self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.render_metrics = Some(Arc::new(render));
        self
    }

    /// Says which model answers requests of protocols that name none, such as MLflow's. Unless set, it is the only one.
    pub fn with_default_model(mut self, name: ModelName) -> Self {
        self.defaults.model = Some(name);
        self
    }

    /// Answers where Vertex AI asks, too, with the [default model](Self::with_default_model).
    pub fn with_vertex(mut self, routes: VertexRoutes) -> Self {
        self.defaults.vertex = Some(routes);
        self
    }

    /// Sets the largest request body, in bytes: 16 MiB unless set.
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.limits.body = bytes;
        self
    }

    /// Sets how long the body of a request may take to come in: 30 s unless set.
    pub fn with_body_timeout(mut self, time: Duration) -> Self {
        self.limits.body_time = time;
        self
    }

    /// Sets how long a request may take that asks for no shorter time: 60 s unless set.
    pub fn with_timeout(mut self, time: Duration) -> Self {
        self.limits.time = time;
        self
    }

    /// The server.
    pub fn build(self) -> Server {
        Server {
            service: Service::new(self.models, self.access, self.limits, self.render_metrics, self.defaults),
        }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("models", &self.models)
            .field("access", &self.access)
            .field("limits", &self.limits)
            .field("defaults", &self.defaults)
            .finish_non_exhaustive()
    }
}
