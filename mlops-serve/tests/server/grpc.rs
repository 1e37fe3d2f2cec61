//! The gRPC front speaks the Open Inference Protocol, to a real client over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::future::join_all;
use half::{bf16, f16};
use mlops_core::{DType, Element, Tensor};
use mlops_serve::grpc::protocol::model_infer_request::InferRequestedOutputTensor;
use mlops_serve::grpc::protocol::*;
use tonic::{Code, Request};

use crate::support::grpc;
use crate::support::grpc::{Running, bool_parameter, number, start, text, typed_f32, wanted, x};

#[tokio::test]
async fn the_server_and_its_models_describe_themselves() {
    let Running { mut client, .. } = start().await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let server = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!((server.name.as_str(), server.version.as_str()), ("mlops", env!("CARGO_PKG_VERSION")));
    assert!(server.extensions.contains(&"model_repository".to_owned()));

    for (name, version, expected) in
        [("doubler", "", true), ("doubler", "1.2.3", true), ("doubler", "9", false), ("other", "", false)]
    {
        let request = ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
        assert_eq!(
            client.model_ready(request).await.unwrap().into_inner().ready,
            expected,
            "{name} {version}"
        );
    }
    let request = ModelMetadataRequest { name: "doubler".to_owned(), version: String::new() };
    let metadata = client.model_metadata(request).await.unwrap().into_inner();
    assert_eq!((metadata.name.as_str(), metadata.platform.as_str()), ("doubler", "mlops"));
    assert_eq!(metadata.versions, ["1.2.3"]);
    let tensor = |name: &str, datatype: &str| model_metadata_response::TensorMetadata {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: vec![-1],
    };
    assert_eq!(metadata.inputs, [tensor("x", "FP32")]);
    assert_eq!(metadata.outputs, [tensor("y", "FP32"), tensor("label", "BYTES")]);

    let request = ModelConfigRequest { name: "echo".to_owned(), version: String::new() };
    let config = client.model_config(request).await.unwrap().into_inner().config.unwrap();
    assert_eq!((config.name.as_str(), config.max_batch_size, config.input.len()), ("echo", 0, 14));
    for (input, dtype) in config.input.iter().zip(DType::ALL) {
        let expected = if dtype == DType::Bytes { "TYPE_STRING".to_owned() } else { format!("TYPE_{dtype}") };
        assert_eq!(input.data_type().as_str_name(), expected);
        assert!(input.optional && input.dims == [-1, -1]);
    }
}

#[tokio::test]
async fn a_prediction_says_who_made_it_and_why() {
    let Running { mut client, .. } = start().await;
    let mut request = typed_f32(&[1.0, 2.5]);
    request.id = "a-1".to_owned();
    request.parameters =
        [("routing_key".to_owned(), text("user-7")), ("timeout".to_owned(), number(60_000_000))].into();
    let answer = client.model_infer(request.clone()).await.unwrap().into_inner();
    assert_eq!((answer.model_name.as_str(), answer.model_version.as_str()), ("doubler", "1.2.3"));
    assert_eq!(answer.id, "a-1");
    assert_eq!(answer.parameters["variant"], text("user-7"));
    assert_eq!(answer.parameters["routing_reason"], text("sticky"));
    let names: Vec<&str> = answer.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["y", "label"]);
    assert_eq!(answer.outputs[0].contents.as_ref().unwrap().fp32_contents, [2.0, 5.0]);
    assert_eq!(answer.outputs[1].contents.as_ref().unwrap().bytes_contents, ["<1>", "<2.5>"]);

    request.model_version = "1.2.3".to_owned();
    request.outputs = wanted(&["label"]);
    let answer = client.model_infer(request.clone()).await.unwrap().into_inner();
    assert_eq!(answer.outputs.len(), 1);
    assert_eq!(answer.outputs[0].name, "label");

    request.id.clear();
    let first = client.model_infer(request.clone()).await.unwrap().into_inner().id;
    let second = client.model_infer(request.clone()).await.unwrap().into_inner().id;
    assert!(!first.is_empty() && first != second, "requests without an id get one each");
    let mut request = Request::new(request);
    request.metadata_mut().insert("x-request-id", "from-the-proxy".parse().unwrap());
    assert_eq!(client.model_infer(request).await.unwrap().into_inner().id, "from-the-proxy");
}

#[tokio::test]
async fn every_data_type_comes_back_raw_and_most_come_back_typed() {
    fn tensor<T: Element>(elements: [T; 2]) -> Tensor {
        Tensor::from_vec(&[2, 1], elements.to_vec()).unwrap()
    }
    let Running { mut client, .. } = start().await;
    let tensors = [
        tensor([true, false]),
        tensor([0, u8::MAX]),
        tensor([0, u16::MAX]),
        tensor([0, u32::MAX]),
        tensor([0, u64::MAX]),
        tensor([i8::MIN, i8::MAX]),
        tensor([i16::MIN, i16::MAX]),
        tensor([i32::MIN, i32::MAX]),
        tensor([i64::MIN, i64::MAX]),
        tensor([f32::MIN, f32::NAN]),
        tensor([f64::MIN, f64::INFINITY]),
        Tensor::from_byte_strings(&[2, 1], [&b"\xff\x00"[..], b""]).unwrap(),
        tensor([f16::MIN, f16::NAN]),
        tensor([bf16::MIN, bf16::INFINITY]),
    ];
    let raw = client.model_infer(grpc::raw("echo", &tensors)).await.unwrap().into_inner();
    let names: Vec<&str> = raw.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, DType::ALL.map(DType::name), "outputs come in the order of the signature");
    for (output, bytes) in raw.outputs.iter().zip(&raw.raw_output_contents) {
        let expected = tensors.iter().find(|tensor| tensor.dtype().name() == output.datatype).unwrap();
        assert_eq!((output.shape.as_slice(), bytes), (&[2, 1][..], &expected.to_bytes()), "{}", output.name);
    }

    let typed_tensors = &tensors[..12];
    let request = grpc::typed("echo", typed_tensors);
    let answer = client.model_infer(request.clone()).await.unwrap().into_inner();
    assert!(answer.raw_output_contents.is_empty());
    assert_eq!(answer.outputs.len(), typed_tensors.len());
    for input in &request.inputs {
        let output = answer.outputs.iter().find(|output| output.name == input.name).unwrap();
        assert_eq!((&output.datatype, &output.shape), (&input.datatype, &input.shape));
        // NaN is not equal to itself; its text is.
        assert_eq!(format!("{:?}", output.contents), format!("{:?}", input.contents));
    }

    let empty = Tensor::from_vec::<f32>(&[0, 3], Vec::new()).unwrap();
    for request in [grpc::raw("echo", std::slice::from_ref(&empty)), grpc::typed("echo", &[empty])] {
        assert_eq!(client.model_infer(request).await.unwrap().into_inner().outputs[0].shape, [0, 3]);
    }
}

#[tokio::test]
async fn wrong_requests_are_refused_in_words() {
    let Running { mut client, .. } = start().await;
    let good = || typed_f32(&[1.0, 2.0]);
    let raw = |datatype: &str, shape: &[i64], bytes: &'static [u8]| ModelInferRequest {
        inputs: vec![x(datatype, shape, None)],
        raw_input_contents: vec![bytes.into()],
        ..good()
    };
    let typed = |datatype: &str, shape: &[i64]| {
        let contents = InferTensorContents { fp32_contents: vec![1.0, 2.0], ..Default::default() };
        ModelInferRequest { inputs: vec![x(datatype, shape, Some(contents))], ..good() }
    };
    let with_inputs = |inputs| ModelInferRequest { inputs, ..good() };
    let with_outputs = |names| ModelInferRequest { outputs: wanted(names), ..good() };
    let with_parameter =
        |name: &str, value| ModelInferRequest { parameters: [(name.to_owned(), value)].into(), ..good() };
    for (request, expected) in [
        (raw("FP32", &[2], b"1234567"), "tensor `x`: FP32 of shape [2] takes 8 bytes, but 7 came"),
        (raw("BYTES", &[1], b"\x05\0\0\0abc"), "tensor `x`: element 0 of a BYTES tensor is truncated"),
        (raw("BOOL", &[1], b"\x02"), "tensor `x`: element 0 of a BOOL tensor is 2"),
        (raw("FP32", &[-1], b""), "tensor `x`: shape [-1] has a negative length"),
        (raw("FP32", &[i64::MAX, i64::MAX], b""), "overflows"),
        (raw("FP8", &[1], b"1"), "tensor `x`: unknown data type `FP8`; expected one of BOOL"),
        (raw("", &[1], b"1"), "unknown data type ``"),
        (raw("INT64", &[1], b"12345678"), "input `x` has data type INT64, expected FP32"),
        (raw("FP32", &[1, 1], b"1234"), "input `x` has shape [1, 1], expected [batch]"),
        (
            ModelInferRequest { raw_input_contents: vec!["12345678".into()], ..good() },
            "tensor `x` has `contents`, but there are `raw_input_contents` too",
        ),
        (
            ModelInferRequest { raw_input_contents: vec!["1234".into(); 2], ..raw("FP32", &[1], b"") },
            "there are 2 `raw_input_contents` for 1 inputs",
        ),
        (typed("FP32", &[3]), "tensor `x`: shape [3] holds 3 elements, but 2 came"),
        (typed("INT8", &[2]), "elements of INT8 belong into `int_contents`, but `fp32_contents` came"),
        (typed("FP16", &[2]), "tensor `x`: FP16 travels in `raw_input_contents` only"),
        (with_inputs(vec![x("FP32", &[2], None)]), "tensor `x`: shape [2] holds 2 elements, but 0 came"),
        (with_inputs(vec![x("FP32", &[0], None); 2]), "tensor `x` comes twice"),
        (with_inputs(Vec::new()), "input `x` is missing (expected FP32 [batch])"),
        (grpc::typed("doubler", &[vec![1_i8].into()]), "input `INT8` is unknown (the model takes `x`)"),
        (with_outputs(&["z"]), "there is no output `z`; there are `y`, `label`"),
        (with_outputs(&["y", "y"]), "output `y` is asked for twice"),
        (
            with_parameter("timeout", text("soon")),
            "parameter `timeout` is \"soon\"; expected a number of microseconds",
        ),
        (
            with_parameter("priority", bool_parameter(true)),
            "parameter `priority` is true; expected a whole number",
        ),
        (
            with_parameter("routing_key", InferParameter::default()),
            "parameter `routing_key` is null; expected a string",
        ),
    ] {
        let status = client.model_infer(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{request:?}\n  says: {status}");
        assert!(status.message().contains(expected), "{request:?}\n  says: {status}");
    }

    let mut request = typed_f32(&[1.0]);
    request.inputs[0].name = "ä".repeat(1000);
    let status = client.model_infer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "a long name does not break the headers: {status}");

    let mut request = Request::new(typed_f32(&[1.0]));
    request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    let status = client.model_infer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("the header `grpc-timeout` is \"soon\""), "{status}");
}

#[tokio::test]
async fn bytes_that_are_no_message_are_the_callers_fault() {
    let running = start().await;
    for bytes in
        [&b"\xff"[..], b"\x0a\xff\xff\xff\xff\x0f", b"\x2a\x02\x0a\x05", b"\x0a\x01\xff", b"\x08\x01"]
    {
        let status = running.infer_bytes(bytes).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{bytes:?}: {status}");
    }
    // Field 5, of no length, again and again.
    let many = b"\x2a\x00".repeat(1000 * 17);
    let status = running.with_large_bodies().await.infer_bytes(&many).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("more than 16384 fields"), "{status}");
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_is() {
    let Running { mut client, .. } = start().await;
    for (name, version, expected) in [
        ("other", "", "there is no model `other`; there are"),
        ("doubler", "9.9.9", "no version `9.9.9` here; there are `1.2.3`"),
        ("", "", "there is no model ``"),
    ] {
        let mut request = typed_f32(&[1.0]);
        (request.model_name, request.model_version) = (name.to_owned(), version.to_owned());
        let status = client.model_infer(request).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains(expected), "{status}");
        let request = ModelConfigRequest { name: name.to_owned(), version: version.to_owned() };
        assert_eq!(client.model_config(request).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn failures_have_the_right_code_and_keep_their_secrets() {
    let Running { mut client, .. } = start().await;
    for (how, expected) in [
        ("overloaded", Code::ResourceExhausted),
        ("unavailable", Code::Unavailable),
        ("deadline", Code::DeadlineExceeded),
        ("engine", Code::Internal),
        ("panic", Code::Internal),
    ] {
        let status = client.model_infer(grpc::failing(how)).await.unwrap_err();
        assert_eq!(status.code(), expected, "{how}: {status}");
        assert!(!status.message().contains("secret"), "{status}");
    }
    assert!(client.model_infer(typed_f32(&[1.0])).await.is_ok());
}

#[tokio::test]
async fn what_this_server_does_not_do_is_unimplemented() {
    let Running { mut client, channel, .. } = start().await;
    let mut shared_memory = typed_f32(&[]);
    let region = ("shared_memory_region".to_owned(), text("mine"));
    shared_memory.inputs[0].parameters.extend([region.clone()]);
    let mut shared_output = typed_f32(&[1.0]);
    let parameters = [region].into();
    shared_output.outputs = vec![InferRequestedOutputTensor { name: "y".to_owned(), parameters }];
    let mut classes = typed_f32(&[1.0]);
    let parameters = [("classification".to_owned(), number(3))].into();
    classes.outputs = vec![InferRequestedOutputTensor { name: "y".to_owned(), parameters }];
    for request in [shared_memory, shared_output, classes] {
        let status = client.model_infer(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{status}");
    }
    let request = RepositoryIndexRequest { repository_name: "mine".to_owned(), ready: false };
    assert_eq!(client.repository_index(request).await.unwrap_err().code(), Code::Unimplemented);
    let parameter = ModelRepositoryParameter {
        parameter_choice: Some(model_repository_parameter::ParameterChoice::StringParam("{}".to_owned())),
    };
    let request = RepositoryModelLoadRequest {
        model_name: "doubler".to_owned(),
        parameters: [("config".to_owned(), parameter)].into(),
        ..Default::default()
    };
    assert_eq!(client.repository_model_load(request).await.unwrap_err().code(), Code::Unimplemented);
    for path in ["/inference.GRPCInferenceService/CudaSharedMemoryStatus", "/another.Service/Method"] {
        let status = grpc::call_bytes(channel.clone(), path, b"").await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status}");
    }
}

#[tokio::test]
async fn messages_above_the_limit_are_refused_both_ways() {
    let Running { mut client, .. } = start().await;
    let status = client.model_infer(typed_f32(&[1.0; 2000])).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    let status = client.model_infer(typed_f32(&[1.0; 900])).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "labels make the answer too large: {status}");
    assert!(client.model_infer(typed_f32(&[1.0; 100])).await.is_ok());
}

#[tokio::test]
async fn the_shortest_time_is_the_deadline() {
    let Running { mut client, .. } = start().await;
    let mut seconds = async |header: Option<&str>, parameter: Option<(&str, i64)>| -> f32 {
        let mut message = grpc::failing("say the time");
        message.parameters.extend(parameter.map(|(name, value)| (name.to_owned(), number(value))));
        let mut request = Request::new(message);
        if let Some(header) = header {
            request.metadata_mut().insert("grpc-timeout", header.parse().unwrap());
        }
        let answer = client.model_infer(request).await.unwrap().into_inner();
        answer.outputs[0].contents.as_ref().unwrap().fp32_contents[0]
    };
    assert!((50.0..=60.0).contains(&seconds(None, None).await), "the server's own limit");
    assert!((40.0..=50.0).contains(&seconds(Some("50S"), None).await));
    assert!((30.0..=40.0).contains(&seconds(Some("50S"), Some(("timeout_ms", 40_000))).await));
    assert!((20.0..=30.0).contains(&seconds(Some("30000m"), Some(("timeout", 40_000_000))).await));
    assert!((50.0..=60.0).contains(&seconds(Some("9H"), Some(("timeout", 0))).await));

    let mut late = grpc::failing("hang");
    late.parameters.insert("timeout_ms".to_owned(), number(20));
    let status = client.model_infer(late).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("model `doubler` gave no answer in"), "{status}");
}

#[tokio::test]
async fn a_call_that_is_given_up_is_dropped_by_the_model() {
    let Running { client, entered, left, .. } = start().await;
    let call = tokio::spawn({
        let mut client = client.clone();
        async move { client.model_infer(grpc::failing("hang")).await }
    });
    entered.notified().await;
    call.abort();
    tokio::time::timeout(Duration::from_secs(10), left.notified()).await.expect("the model is left");
}

#[tokio::test]
async fn the_repository_and_the_statistics_are_told() {
    let Running { mut client, .. } = start().await;
    let index = client.repository_index(RepositoryIndexRequest::default()).await.unwrap().into_inner();
    let entries: Vec<_> = index
        .models
        .iter()
        .map(|model| (model.name.as_str(), model.version.as_str(), model.state.as_str()))
        .collect();
    assert_eq!(
        entries,
        [
            ("doubler", "", "READY"),
            ("doubler", "1.2.3", "READY"),
            ("echo", "", "READY"),
            ("gone", "", "UNAVAILABLE")
        ]
    );
    let ready = RepositoryIndexRequest { ready: true, ..Default::default() };
    assert_eq!(client.repository_index(ready).await.unwrap().into_inner().models.len(), 3);

    client.model_infer(typed_f32(&[1.0, 2.0])).await.unwrap();
    client.model_infer(grpc::failing("engine")).await.unwrap_err();
    let request = ModelStatisticsRequest { name: "doubler".to_owned(), version: String::new() };
    let answer = client.model_statistics(request).await.unwrap().into_inner();
    let [counted] = answer.model_stats.as_slice() else { panic!("{answer:?}") };
    assert_eq!((counted.inference_count, counted.execution_count), (2, 1));
    assert!(counted.last_inference > 0);
    let times = counted.inference_stats.as_ref().unwrap();
    assert_eq!(times.success.as_ref().unwrap().count, 1);
    assert_eq!(times.fail.as_ref().unwrap().count, 1);
    let all = client.model_statistics(ModelStatisticsRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.model_stats.len(), 3);

    // Changes are for administrators, and there are none unless the host says so.
    let load = RepositoryModelLoadRequest { model_name: "doubler".to_owned(), ..Default::default() };
    assert_eq!(client.repository_model_load(load).await.unwrap_err().code(), Code::PermissionDenied);
    let unload = RepositoryModelUnloadRequest { model_name: "doubler".to_owned(), ..Default::default() };
    assert_eq!(client.repository_model_unload(unload).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_thousand_calls_at_once_are_all_answered() {
    let Running { client, .. } = start().await;
    let calls = (0..1000_u16).map(|index| {
        let mut client = client.clone();
        async move {
            let value = f32::from(index);
            let answer = client.model_infer(typed_f32(&[value])).await.unwrap().into_inner();
            assert_eq!(answer.outputs[0].contents.as_ref().unwrap().fp32_contents, [2.0 * value]);
        }
    });
    join_all(calls).await;
}

#[tokio::test]
async fn rest_and_grpc_share_a_port() {
    let Running { mut client, address, .. } = start().await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    let url = format!("http://{address}");
    let live = reqwest::get(format!("{url}/v2/health/live")).await.unwrap();
    assert!(live.status().is_success());
    let missing = reqwest::get(format!("{url}/nowhere")).await.unwrap();
    assert_eq!(missing.status(), reqwest::StatusCode::NOT_FOUND);
}
