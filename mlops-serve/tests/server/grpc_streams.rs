//! What lasts longer than a call over gRPC: streams of predictions, watched health, reflection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_channel::mpsc;
use futures_util::{StreamExt, stream};
use mlops_core::ModelName;
use mlops_serve::grpc::protocol::{ModelInferRequest, ModelStreamInferResponse, ServerReadyRequest};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::support::grpc::{Running, failing, start, typed_f32};
use crate::support::models;

fn named(id: &str, request: ModelInferRequest) -> ModelInferRequest {
    ModelInferRequest { id: id.to_owned(), ..request }
}

#[tokio::test]
async fn a_stream_outlives_the_errors_of_its_requests() {
    let Running { mut client, .. } = start().await;
    let mut unknown = named("c", typed_f32(&[1.0]));
    unknown.model_name = "other".to_owned();
    let requests = [
        named("a", typed_f32(&[1.0])),
        named("b", failing("engine")),
        unknown,
        named("d", failing("panic")),
        named("e", typed_f32(&[5.0])),
    ];
    let stream = client.model_stream_infer(stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<ModelStreamInferResponse> = stream.map(Result::unwrap).collect().await;
    let ids: Vec<&str> =
        answers.iter().map(|answer| answer.infer_response.as_ref().unwrap().id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c", "d", "e"], "in the order of the requests");
    let failed: Vec<bool> = answers.iter().map(|answer| !answer.error_message.is_empty()).collect();
    assert_eq!(failed, [false, true, true, true, false]);
    assert!(!answers[1].error_message.contains("secret"), "{}", answers[1].error_message);
    assert!(answers[2].error_message.contains("there is no model `other`"));
    let last = answers[4].infer_response.as_ref().unwrap();
    assert_eq!(last.outputs[0].contents.as_ref().unwrap().fp32_contents, [10.0]);
}

#[tokio::test]
async fn the_requests_of_a_stream_are_worked_on_together_and_answered_in_order() {
    let Running { mut client, .. } = start().await;
    // Each of the two waits for the other.
    let requests = [named("a", failing("meet another")), named("b", failing("meet another"))];
    let stream = client.model_stream_infer(stream::iter(requests)).await.unwrap().into_inner();
    let ids: Vec<String> = stream.map(|answer| answer.unwrap().infer_response.unwrap().id).collect().await;
    assert_eq!(ids, ["a", "b"]);

    let many = stream::iter((0..500).map(|index| named(&index.to_string(), typed_f32(&[1.0]))));
    let stream = client.model_stream_infer(many).await.unwrap().into_inner();
    let ids: Vec<String> = stream.map(|answer| answer.unwrap().infer_response.unwrap().id).collect().await;
    assert_eq!(ids, (0..500).map(|index| index.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn requests_of_a_stream_without_ids_get_one_each() {
    let Running { mut client, .. } = start().await;
    let requests = stream::iter([typed_f32(&[1.0]), typed_f32(&[1.0])]);
    let mut request = tonic::Request::new(requests);
    request.metadata_mut().insert("x-request-id", "of-the-stream".parse().unwrap());
    let stream = client.model_stream_infer(request).await.unwrap().into_inner();
    let ids: Vec<String> = stream.map(|answer| answer.unwrap().infer_response.unwrap().id).collect().await;
    assert_ne!(ids[0], ids[1], "labels that come later are joined by them");
}

#[tokio::test]
async fn a_stream_that_is_given_up_drops_its_predictions() {
    let Running { mut client, entered, left, .. } = start().await;
    let (send, requests) = mpsc::unbounded();
    send.unbounded_send(failing("hang")).unwrap();
    let answers = client.model_stream_infer(requests).await.unwrap();
    entered.notified().await;
    drop((send, answers));
    tokio::time::timeout(Duration::from_secs(10), left.notified()).await.expect("the model is left");
}

#[tokio::test]
async fn a_shutdown_ends_streams_after_what_they_asked_is_answered() {
    let Running { mut client, stop, .. } = start().await;
    let (send, requests) = mpsc::unbounded();
    let mut answers = client.model_stream_infer(requests).await.unwrap().into_inner();
    send.unbounded_send(named("a", typed_f32(&[1.0]))).unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().infer_response.unwrap().id, "a");
    stop.send(()).unwrap();
    let status = answers.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(answers.next().await.is_none());
    assert!(!client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
}

fn health_of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn health_follows_the_server_and_each_model() {
    let Running { channel, models, stop, .. } = start().await;
    let mut health = HealthClient::new(channel);
    for (service, expected) in [
        ("", ServingStatus::Serving),
        ("inference.GRPCInferenceService", ServingStatus::Serving),
        ("doubler", ServingStatus::Serving),
        ("gone", ServingStatus::NotServing),
    ] {
        let status = health.check(health_of(service)).await.unwrap().into_inner().status();
        assert_eq!(status, expected, "{service}");
    }
    assert_eq!(health.check(health_of("other")).await.unwrap_err().code(), Code::NotFound);

    let mut server = health.watch(health_of("")).await.unwrap().into_inner();
    assert_eq!(server.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let mut model = health.watch(health_of("late")).await.unwrap().into_inner();
    assert_eq!(model.next().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    models.insert(ModelName::new("late").unwrap(), models::Echo::new().unwrap());
    assert_eq!(model.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    models.unload("late").unwrap();
    assert_eq!(model.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);

    stop.send(()).unwrap();
    assert_eq!(server.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(server.next().await.is_none(), "a shutdown does not wait for those who watch");
    assert!(model.next().await.is_none());
    assert_eq!(
        health.check(health_of("doubler")).await.unwrap().into_inner().status(),
        ServingStatus::NotServing
    );
}

#[tokio::test]
async fn reflection_lists_the_services_and_describes_them() {
    let Running { channel, .. } = start().await;
    let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let requests = stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("inference.GRPCInferenceService.ModelInfer".to_owned())),
        ask(MessageRequest::FileByFilename("open_inference.proto".to_owned())),
    ]);
    let answers =
        ServerReflectionClient::new(channel.clone()).server_reflection_info(requests).await.unwrap();
    let answers: Vec<ServerReflectionResponse> = answers.into_inner().map(Result::unwrap).collect().await;
    let [services, by_symbol, by_name] = answers.try_into().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = services.message_response else {
        panic!("{services:?}")
    };
    let names: Vec<&str> = services.service.iter().map(|service| service.name.as_str()).collect();
    for expected in
        ["inference.GRPCInferenceService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    {
        assert!(names.contains(&expected), "{names:?}");
    }
    assert!(matches!(by_symbol.message_response, Some(MessageResponse::FileDescriptorResponse(_))));
    assert_eq!(by_symbol.message_response, by_name.message_response);

    use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient as OlderClient;
    use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest as OlderMessage;
    let request = tonic_reflection::pb::v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(OlderMessage::ListServices(String::new())),
    };
    let answers = OlderClient::new(channel).server_reflection_info(stream::iter([request])).await.unwrap();
    assert!(answers.into_inner().next().await.unwrap().is_ok());
}
