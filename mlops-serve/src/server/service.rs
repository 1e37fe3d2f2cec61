//! What every front asks: the one place where access, time and drain are decided.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use mlops_core::{Error, Instant, ModelName, Request, Response, Result};
use tokio_util::sync::CancellationToken;

use super::access::{Access, Caller, Peer, Verb};
use super::models::{ModelState, ModelStatus, Models, Served};
use super::patience::{Elapsed, Patience};
use crate::http::VertexRoutes;

/// The server without its protocols. Clones share it.
#[derive(Clone)]
pub(crate) struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    models: Models,
    access: Access,
    limits: Limits,
    render_metrics: Option<RenderMetrics>,
    defaults: Defaults,
    draining: CancellationToken,
}

pub(crate) type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What one request may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The largest body, in bytes.
    pub(crate) body: usize,
    /// How long a body may take to come in.
    pub(crate) body_time: Duration,
    /// The time of requests that name none.
    pub(crate) time: Duration,
}

/// What protocols need whose requests name no model.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    /// The one that answers.
    pub(crate) model: Option<ModelName>,
    /// Where Vertex AI asks it.
    pub(crate) vertex: Option<VertexRoutes>,
}

impl Service {
    pub(crate) fn new(
        models: Models,
        access: Access,
        limits: Limits,
        render_metrics: Option<RenderMetrics>,
        defaults: Defaults,
    ) -> Self {
        let draining = CancellationToken::new();
        Self { shared: Arc::new(Shared { models, access, limits, render_metrics, defaults, draining }) }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The models, for callers that [`permit`](Self::permit) has let through.
    pub(crate) fn models(&self) -> &Models {
        &self.shared.models
    }

    /// Who asks, if they are known and do not ask too often.
    pub(crate) fn caller(&self, headers: &HeaderMap, peer: &Peer) -> Result<Caller> {
        let caller = self.shared.access.authenticate(headers, peer)?;
        self.shared.access.admit(&caller)?;
        Ok(caller)
    }

    /// Refuses what the caller may not do.
    pub(crate) fn permit(&self, caller: &Caller, verb: Verb, model: Option<&str>) -> Result<()> {
        self.shared.access.authorize(caller, verb, model)
    }

    /// The model that answers for a name and, perhaps, a version, if the caller may do that with it.
    pub(crate) fn served(
        &self,
        caller: &Caller,
        verb: Verb,
        name: &str,
        version: Option<&str>,
    ) -> Result<Arc<Served>> {
        self.permit(caller, verb, Some(name))?;
        self.shared.models.served(name, version)
    }

    /// The model that answers where a request names none: the default one, or the only one.
    pub(crate) fn default_served(&self, caller: &Caller, verb: Verb) -> Result<Arc<Served>> {
        if let Some(name) = &self.shared.defaults.model {
            return self.served(caller, verb, name.as_str(), None);
        }
        match &self.shared.models.names()[..] {
            [only] => self.served(caller, verb, only.as_str(), None),
            names => {
                let count = names.len();
                Err(Error::not_found(format!(
                    "the request names no model, and this server has {count}; \
                     its host says by `with_default_model` which one is meant"
                )))
            }
        }
    }

    /// Where Vertex AI asks, if it does.
    pub(crate) fn vertex(&self) -> Option<&VertexRoutes> {
        self.shared.defaults.vertex.as_ref()
    }

    /// Every version of every model that the caller may look at; only those that take requests, if so asked.
    pub(crate) fn index(&self, caller: &Caller, only_ready: bool) -> Result<Vec<ModelStatus>> {
        self.permit(caller, Verb::Inspect, None)?;
        let mut index = self.shared.models.index();
        index.retain(|status| {
            (!only_ready || status.state == ModelState::Ready)
                && self.permit(caller, Verb::Inspect, Some(status.name.as_str())).is_ok()
        });
        Ok(index)
    }

    /// Every model that takes requests, each version once, if the caller may look at it.
    pub(crate) fn all_served(&self, caller: &Caller) -> Result<Vec<Arc<Served>>> {
        self.permit(caller, Verb::Inspect, None)?;
        let mut all = self.shared.models.all_served();
        all.retain(|served| self.permit(caller, Verb::Inspect, Some(served.name().as_str())).is_ok());
        Ok(all)
    }

    /// Asks the model, for as long as the request has time.
    pub(crate) async fn predict(&self, served: &Served, mut request: Request) -> Result<Response> {
        let now = Instant::now();
        let limit = now.checked_add(self.shared.limits.time);
        request.deadline = match (request.deadline, limit) {
            (Some(asked), Some(limit)) => Some(asked.min(limit)),
            (asked, limit) => asked.or(limit),
        };
        let Some(deadline) = request.deadline else { return served.predict(request).await };
        let timer = || tokio::time::sleep_until(deadline.into());
        Patience::new(served.predict(request), timer).await.unwrap_or_else(|Elapsed| {
            let time = deadline.saturating_duration_since(now);
            Err(Error::deadline_exceeded(format!("model `{}` gave no answer in {time:?}", served.name())))
        })
    }

    pub(crate) async fn load(&self, caller: &Caller, name: &str) -> Result<()> {
        self.permit(caller, Verb::Admin, Some(name))?;
        self.shared.models.load(&ModelName::new(name)?).await
    }

    pub(crate) fn unload(&self, caller: &Caller, name: &str) -> Result<()> {
        self.permit(caller, Verb::Admin, Some(name))?;
        self.shared.models.unload(name)
    }

    /// What the recorder of the host has, in the Prometheus text format.
    pub(crate) fn metrics(&self, caller: &Caller) -> Result<String> {
        self.permit(caller, Verb::Metrics, None)?;
        let render = self.shared.render_metrics.as_ref().ok_or_else(|| {
            Error::not_found("this server renders no metrics; its host has not called `with_metrics`")
        })?;
        Ok(render())
    }

    /// Whether requests should come here.
    pub(crate) fn is_ready(&self) -> bool {
        !self.shared.draining.is_cancelled() && self.shared.models.are_ready()
    }

    /// From now on requests should go elsewhere. What comes nevertheless is answered.
    pub(crate) fn drain(&self) {
        self.shared.draining.cancel();
    }

    /// Completes when requests should go elsewhere.
    #[cfg(feature = "grpc")]
    pub(crate) async fn drained(&self) {
        self.shared.draining.cancelled().await;
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("models", &self.shared.models)
            .field("access", &self.shared.access)
            .field("limits", &self.shared.limits)
            .field("draining", &self.shared.draining.is_cancelled())
            .finish_non_exhaustive()
    }
}
