//! The health service that load balancers and Kubernetes ask, `grpc.health.v1`.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use mlops_core::{Error, Result};
use tokio::time::{Interval, MissedTickBehavior};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::protocol::grpc_inference_service_server::SERVICE_NAME;
use super::status::status;
use crate::http::inbound::peer;
use crate::server::Service;
use crate::server::access::{Caller, Verb};

/// How often a watched model is looked at.
const INTERVAL: Duration = Duration::from_millis(500);

pub(super) fn server(service: Service) -> HealthServer<impl Health> {
    HealthServer::new(Reporter { service })
}

/// Answers for the server under the empty name and that of its service, and for each model under the model's name.
#[derive(Clone)]
struct Reporter {
    service: Service,
}

impl Reporter {
    /// Who asks, where that matters: of the server everybody may know, of a model those who may look at it.
    fn caller(&self, asked: &str, metadata: &MetadataMap, extensions: &Extensions) -> Result<Option<Caller>> {
        let of_server = asked.is_empty() || asked == SERVICE_NAME;
        if of_server { Ok(None) } else { self.service.caller(metadata.as_ref(), &peer(extensions)).map(Some) }
    }

    fn state(&self, asked: &str, caller: Option<&Caller>) -> Result<ServingStatus> {
        if let Some(caller) = caller {
            match self.service.served(caller, Verb::Inspect, asked, None) {
                Ok(_) => {}
                Err(Error::Unavailable { .. }) => return Ok(ServingStatus::NotServing),
                Err(error) => return Err(error),
            }
        }
        Ok(if self.service.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing })
    }
}

#[tonic::async_trait]
impl Health for Reporter {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let asked = &request.get_ref().service;
        let caller = self.caller(asked, request.metadata(), request.extensions());
        let state = caller.and_then(|caller| self.state(asked, caller.as_ref()));
        state.map(|state| Response::new(response(state))).map_err(|error| status(&error))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (metadata, extensions, HealthCheckRequest { service: asked }) = request.into_parts();
        let caller = self.caller(&asked, &metadata, &extensions).map_err(|error| status(&error))?;
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watch = Watch { reporter: self.clone(), asked, caller, interval, last: None };
        Ok(Response::new(stream::unfold(watch, Watch::next).boxed()))
    }
}

/// One caller who wants to hear of every change.
struct Watch {
    reporter: Reporter,
    asked: String,
    caller: Option<Caller>,
    interval: Interval,
    last: Option<ServingStatus>,
}

impl Watch {
    /// The next change. The stream ends when the server shuts down, which must not wait for those who watch it.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        loop {
            let ends = !self.reporter.service.is_ready();
            let state = match self.reporter.state(&self.asked, self.caller.as_ref()) {
                Ok(state) => state,
                Err(Error::NotFound { .. }) => ServingStatus::ServiceUnknown,
                Err(error) => return Some((Err(status(&error)), self)),
            };
            if self.last.replace(state) != Some(state) {
                return Some((Ok(response(state)), self));
            }
            if ends {
                return None;
            }
            tokio::select! {
                _ = self.interval.tick() => {}
                () = self.reporter.service.drained() => {}
            }
        }
    }
}

fn response(state: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: state.into() }
}
