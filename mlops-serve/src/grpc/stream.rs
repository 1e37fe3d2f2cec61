//! Predictions over one stream.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use mlops_core::{Instant, Result};
use tonic::Status;

use super::inbound::Inbound;
use super::infer::infer;
use super::protocol::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse};
use super::status::message as told;
use crate::server::RequestId;
use crate::server::Service;

/// How many requests of one stream are worked on at the same time.
const WINDOW: usize = 32;

pub(super) type Answers = BoxStream<'static, Result<ModelStreamInferResponse, Status>>;

/// The answers to `requests`, in their order.
pub(super) fn answers(
    service: Service,
    inbound: Inbound,
    headers: HeaderMap,
    requests: impl Stream<Item = Result<ModelInferRequest, Status>> + Send + Unpin + 'static,
) -> Answers {
    let requests = until_shutdown(service.clone(), requests);
    let opened = Arc::new((service, inbound, headers));
    let answers = requests.map(move |request| {
        let opened = Arc::clone(&opened);
        async move {
            let (service, inbound, headers) = &*opened;
            Ok(answer(service, inbound, headers, request?).await)
        }
    });
    answers.buffered(WINDOW).boxed()
}

/// The requests that come before the server shuts down; then the error that says so, which goes out after all answers.
fn until_shutdown<R>(
    service: Service,
    requests: impl Stream<Item = Result<R, Status>> + Send + Unpin,
) -> impl Stream<Item = Result<R, Status>> + Send {
    stream::unfold(Some((service, requests)), |open| async {
        let (service, mut requests) = open?;
        tokio::select! {
            biased;
            () = service.drained() => {
                let message = "the server shuts down; requests without an answer were not taken";
                Some((Err(Status::unavailable(message)), None))
            }
            request = requests.next() => request.map(|request| (request, Some((service, requests)))),
        }
    })
}

/// Each request counts as one of its caller, whose credentials may have run out since the stream began.
async fn answer(
    service: &Service,
    inbound: &Inbound,
    headers: &HeaderMap,
    request: ModelInferRequest,
) -> ModelStreamInferResponse {
    let failed = ModelInferResponse {
        model_name: request.model_name.clone(),
        model_version: request.model_version.clone(),
        id: request.id.clone(),
        ..ModelInferResponse::default()
    };
    let result = match service.caller(headers, &inbound.peer) {
        Ok(caller) => {
            let inbound = Inbound { caller, arrived: Instant::now(), ..inbound.clone() };
            infer(service, &inbound, request, || RequestId::fresh().0).await
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(response) => {
            ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) }
        }
        Err(error) => ModelStreamInferResponse { error_message: told(&error), infer_response: Some(failed) },
    }
}
