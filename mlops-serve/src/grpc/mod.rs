//! The gRPC front of the model server: what [`Server::grpc_router`](crate::server::Server::grpc_router) answers.
//!
//! # [Open Inference Protocol v2](https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md)
//!
//! The service `inference.GRPCInferenceService`, with the extensions that clients of Triton call: the streaming of
//! requests, the configuration of models, statistics, and the repository. The messages are those of [`protocol`]; the
//! parameters of a request mean what they mean in the [REST front](crate::http).
//!
//! * **Tensors** come as `raw_input_contents` or as typed `contents`, in one request never both. They go out as they
//!   came. What came without elements, or has FP16 or BF16 among its outputs, is answered raw.
//! * **Time** is the shortest of the header `grpc-timeout`, the parameters `timeout` and `timeout_ms`, and the
//!   [limit](crate::server::ServerBuilder::with_timeout) of the server.
//! * **A stream** is answered in the order of its requests, of which up to 32 are worked on at the same time. A request
//!   that fails is answered with an `error_message`, and the stream goes on. Giving the stream up gives up what is in
//!   work. When the server shuts down the stream ends, after what was taken is answered, with `UNAVAILABLE`.
//! * **Messages** are no larger than the [limit](crate::server::ServerBuilder::with_body_limit), in and out, and are
//!   refused by their declared size, before memory is given to them; callers are made known before that. They are not
//!   compressed.
//! * **Not there** are shared memory, classification, and the settings of traces and logs: `UNIMPLEMENTED`.
//!
//! # Health and reflection
//! `grpc.health.v1.Health` answers for the server under the empty name and under `inference.GRPCInferenceService`, and
//! for each model under its name. It follows the shutdown of the server at once, and models within half a second.
//! `grpc.reflection.v1` and `v1alpha` describe all services.
//!
//! # Faults
//! `INVALID_ARGUMENT` for wrong input, `UNAUTHENTICATED` and `PERMISSION_DENIED` for callers who are unknown or may not,
//! `NOT_FOUND` for what is not there, `ABORTED` for a conflict, `OUT_OF_RANGE` for a message above the limit,
//! `RESOURCE_EXHAUSTED` and `UNAVAILABLE` for overload, `DEADLINE_EXCEEDED` for a missed deadline and for a request that
//! comes too slowly, `UNIMPLEMENTED` for what this server does not do, and `INTERNAL` for failures of the model, whose
//! inner details go to the log and not to the caller.
//!
//! # A client
//! [`Client`] speaks over any channel of [tonic](https://docs.rs/tonic):
//!
//! ```no_run
//! # async fn ask(channel: tonic::transport::Channel) -> Result<(), Box<dyn std::error::Error>> {
//! use mlops_serve::grpc::Client;
//! use mlops_serve::grpc::protocol::{InferTensorContents, ModelInferRequest, model_infer_request::InferInputTensor};
//!
//! let x = InferInputTensor {
//!     name: "x".to_owned(),
//!     datatype: "FP32".to_owned(),
//!     shape: vec![2],
//!     contents: Some(InferTensorContents { fp32_contents: vec![1.0, 2.0], ..Default::default() }.into()),
//!     ..Default::default()
//! };
//! let request = ModelInferRequest { model_name: "scores".to_owned(), inputs: vec![x], ..Default::default() };
//! let answer = Client::new(channel).model_infer(request).await?.into_inner();
//! # Ok(())
//! # }
//! ```

mod codec;
mod contents;
mod description;
mod front;
mod health;
mod inbound;
mod infer;
pub mod protocol;
mod status;
mod stream;
mod tensors;

use axum::Router;
use tonic::server::NamedService;
use tower::Layer;

use crate::server::{Service, Trace};

use front::Front;
use inbound::Guarded;
use protocol::grpc_inference_service_server::GrpcInferenceServiceServer;

pub use protocol::grpc_inference_service_client::GrpcInferenceServiceClient as Client;

/// The messages and services of [`protocol`], as protobuf describes them to those who ask at run time.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");

pub(crate) fn router(service: &Service) -> Router {
    let limit = service.limits().body;
    let inference = GrpcInferenceServiceServer::new(Front::new(service.clone()))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let router = route(Router::new(), Guarded::new(service.clone(), inference));
    with_reflection(route(router, health::server(service.clone())))
}

/// Descriptions are no secret: everybody may read them.
fn with_reflection(router: Router) -> Router {
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (describe().build_v1(), describe().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => route(route(router, v1), v1alpha),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "there is no reflection");
            router
        }
    }
}

fn route<S>(router: Router, service: S) -> Router
where
    S: tower::Service<
            http::Request<axum::body::Body>,
            Response = http::Response<tonic::body::Body>,
            Error = std::convert::Infallible,
            Future: Send,
        > + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
{
    router.route_service(&format!("/{}/{{*method}}", S::NAME), Trace.layer(service))
}

/// In messages, an empty version is none.
fn version(version: &str) -> Option<&str> {
    Some(version).filter(|version| !version.is_empty())
}
