//! The methods of the inference service.

use mlops_core::{Error, Result};
use tonic::{Request, Response, Status, Streaming};

use super::inbound::Inbound;
use super::protocol::grpc_inference_service_server::GrpcInferenceService;
use super::protocol::repository_index_response::ModelIndex;
use super::protocol::{
    ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
    ModelStatisticsResponse, RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
    ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest,
    ServerReadyResponse,
};
use super::status::status;
use super::stream::Answers;
use super::{description, infer, stream, version};
use crate::server::RequestId;
use crate::server::access::Verb;
use crate::server::{ModelStatus, Service, wire};

/// The optional parts of the protocol that this front speaks.
const EXTENSIONS: [&str; 4] = ["model_configuration", "model_repository", "schedule_policy", "statistics"];

pub(super) struct Front {
    service: Service,
}

impl Front {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for Front {
    async fn server_live(
        &self,
        _request: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _request: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: self.service.is_ready() }))
    }

    async fn server_metadata(
        &self,
        _request: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(ServerMetadataResponse {
            name: wire::NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: EXTENSIONS.map(str::to_owned).into(),
        }))
    }

    async fn model_ready(
        &self,
        mut request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let Inbound { caller, .. } = Inbound::of(&mut request)?;
        let ModelReadyRequest { name, version: asked } = request.get_ref();
        let ready = match self.service.served(&caller, Verb::Inspect, name, version(asked)) {
            Ok(_) => self.service.is_ready(),
            // Clients ask until a model has been loaded, and take an error for the end of it.
            Err(Error::NotFound { .. } | Error::Unavailable { .. }) => false,
            Err(error) => return Err(status(&error)),
        };
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn model_metadata(
        &self,
        mut request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let Inbound { caller, .. } = Inbound::of(&mut request)?;
        let ModelMetadataRequest { name, version: asked } = request.get_ref();
        answer(self.service.served(&caller, Verb::Inspect, name, version(asked)).map(|served| {
            let versions = self.service.models().versions(name).iter().map(ToString::to_string).collect();
            description::metadata(&served, versions)
        }))
    }

    async fn model_config(
        &self,
        mut request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let Inbound { caller, .. } = Inbound::of(&mut request)?;
        let ModelConfigRequest { name, version: asked } = request.get_ref();
        let served = self.service.served(&caller, Verb::Inspect, name, version(asked));
        answer(served.map(|served| ModelConfigResponse { config: Some(description::config(&served)) }))
    }

    async fn model_infer(
        &self,
        mut request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let inbound = Inbound::of(&mut request)?;
        let (metadata, extensions, message) = request.into_parts();
        let given = || {
            let given = extensions.get::<RequestId>().cloned();
            given.unwrap_or_else(|| RequestId::of(metadata.as_ref())).0
        };
        answer(infer::infer(&self.service, &inbound, message, given).await)
    }

    type ModelStreamInferStream = Answers;

    async fn model_stream_infer(
        &self,
        mut request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let inbound = Inbound::of(&mut request)?;
        let (metadata, _, requests) = request.into_parts();
        let answers = stream::answers(self.service.clone(), inbound, metadata.into_headers(), requests);
        Ok(Response::new(answers))
    }

    async fn model_statistics(
        &self,
        mut request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let Inbound { caller, .. } = Inbound::of(&mut request)?;
        let ModelStatisticsRequest { name, version: asked } = request.get_ref();
        let served = if name.is_empty() {
            self.service.all_served(&caller)
        } else {
            self.service.served(&caller, Verb::Inspect, name, version(asked)).map(|served| vec![served])
        };
        answer(served.map(|served| ModelStatisticsResponse {
            model_stats: served.iter().map(|served| description::statistics(served)).collect(),
        }))
    }

    async fn repository_index(
        &self,
        mut request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let Inbound { caller, .. } = Inbound::of(&mut request)?;
        let RepositoryIndexRequest { repository_name, ready } = request.get_ref();
        let index = only_repository(repository_name).and_then(|()| self.service.index(&caller, *ready));
        let entry = |model: ModelStatus| {
            let (state, reason) = wire::state(model.state);
            let version = model.version.map(|version| version.to_string()).unwrap_or_default();
            ModelIndex { name: model.name.to_string(), version, state: state.to_owned(), reason }
        };
        answer(index.map(|index| RepositoryIndexResponse { models: index.into_iter().map(entry).collect() }))
    }

    async fn repository_model_load(
        &self,
        mut request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let Inbound { caller, .. } = Inbound::of(&mut request)?;
        let RepositoryModelLoadRequest { repository_name, model_name, parameters } = request.get_ref();
        let plain = only_repository(repository_name).and_then(|()| match parameters.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::unsupported(format!(
                "parameter `{}` of loading: models are loaded as their source has them",
                name.escape_debug()
            ))),
        });
        let loaded = match plain {
            Ok(()) => self.service.load(&caller, model_name).await,
            Err(error) => Err(error),
        };
        answer(loaded.map(|()| RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        mut request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let Inbound { caller, .. } = Inbound::of(&mut request)?;
        let RepositoryModelUnloadRequest { repository_name, model_name, .. } = request.get_ref();
        let unloaded =
            only_repository(repository_name).and_then(|()| self.service.unload(&caller, model_name));
        answer(unloaded.map(|()| RepositoryModelUnloadResponse {}))
    }
}

fn answer<T>(result: Result<T>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| status(&error))
}

fn only_repository(name: &str) -> Result<()> {
    if name.is_empty() {
        return Ok(());
    }
    let name = name.escape_debug();
    Err(Error::unsupported(format!("this server has one repository, without a name; `{name}` was asked for")))
}
