//! Answers with what it was sent.

use axum::extract::Request;
use axum::routing::post;
use axum::{Router, body};
use bytes::Bytes;
use http::Response;
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::{Ports, listen};
use crate::Failure;
use crate::wire::{INFER, ModelInferRequest, ModelInferResponse};

pub(super) async fn serve(ports: Ports) -> Result<(), Failure> {
    let rest = Router::new().route("/echo", post(async |body: Bytes| body));
    let grpc = Routes::from(Router::new().route(INFER, post(infer)));
    let connections = TcpIncoming::from(listen(ports.grpc).await?).with_nodelay(Some(true));
    tokio::spawn(Server::builder().add_routes(grpc).serve_with_incoming(connections));
    axum::serve(listen(ports.http).await?, rest).await?;
    Ok(())
}

/// As the code that tonic generates.
async fn infer(request: Request) -> Response<body::Body> {
    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
    let answer = grpc.unary(service_fn(echo), request.map(tonic::body::Body::new)).await;
    answer.map(body::Body::new)
}

async fn echo(
    request: tonic::Request<ModelInferRequest>,
) -> Result<tonic::Response<ModelInferResponse>, Status> {
    let ModelInferRequest { model_name, inputs, raw_input_contents } = request.into_inner();
    Ok(tonic::Response::new(ModelInferResponse {
        model_name,
        outputs: inputs,
        raw_output_contents: raw_input_contents,
    }))
}
