use std::path::Path;

use mlops_core::{Engine, Tensor, Tensors};

use super::*;
use crate::engine::Device;
use crate::engine::onnx::OnnxEngine;

fn model(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx").join(name).join("model.onnx"))
        .unwrap()
}

/// Numbers between -1 and 1 that look random.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut number = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| number()).collect()
}

fn floats(name: &str, shape: &[usize]) -> Tensors {
    Tensors::new().with(name, Tensor::from_vec(shape, numbers(shape.iter().product())).unwrap())
}

fn tokens() -> Tensors {
    let tensor = |elements: Vec<i64>| Tensor::from_vec(&[2, 5], elements).unwrap();
    Tensors::new()
        .with("input_ids", tensor((0..10).collect()))
        .with("attention_mask", tensor(vec![1; 10]))
        .with("token_type_ids", tensor(vec![0; 10]))
}

fn run(model: &[u8], inputs: &Tensors) -> Vec<(String, Vec<f32>)> {
    let engine = OnnxEngine::load(model.to_vec(), Device::Cpu).unwrap();
    let outputs = engine.run(inputs).unwrap();
    let floats = |tensor: &Tensor| tensor.as_slice::<f32>().unwrap().to_vec();
    outputs.iter().map(|(name, tensor)| (name.to_owned(), floats(tensor))).collect()
}

fn assert_near(expected: &[(String, Vec<f32>)], actual: &[(String, Vec<f32>)]) {
    assert_eq!(expected.len(), actual.len());
    for ((name, expected), (_, actual)) in expected.iter().zip(actual) {
        assert_eq!(expected.len(), actual.len(), "{name}");
        let scale = expected.iter().fold(0.0_f32, |scale, value| scale.max(value.abs()));
        for (expected, actual) in expected.iter().zip(actual) {
            assert!(
                (expected - actual).abs() <= 1e-5 * scale + 1e-6,
                "{name}: {actual} instead of {expected}"
            );
        }
    }
}

/// For every layer that can be pruned, what the next layers read of every second channel is set to zero. Without
/// these, half of all channels, the model must answer the same.
fn check_exact(name: &str, inputs: &Tensors, prunable: usize) {
    let mut network = Network::open(&model(name)).unwrap();
    let mut found = 0;
    for node in 0..network.artifact().nodes().len() {
        let Some(chain) = is_layer(&network, node).then(|| follow(&network, node).ok()).flatten() else {
            continue;
        };
        let silent: Vec<usize> = (0..chain.channels).filter(|channel| channel % 2 == 1).collect();
        chain.next.iter().for_each(|cut| network.silence(cut, &silent));
        found += 1;
    }
    assert_eq!(found, prunable, "{name}");
    let (whole, _) = network.finish(&HashSet::new());
    let pruned = prune_structured(&whole, 0.5).unwrap();
    assert!(pruned.model.len() < whole.len());
    assert_near(&run(&whole, inputs), &run(&pruned.model, inputs));
}

#[test]
fn outputs_that_nothing_reads_are_not_missed() {
    check_exact("mlp", &floats("input", &[3, 8]), 2);
    check_exact("mlp_softmax", &floats("input", &[3, 6]), 1);
    check_exact("digits", &floats("pixels", &[3, 64]), 1);
    check_exact("bert", &tokens(), 2);
    check_exact("resnet18", &floats("input", &[2, 3, 16, 20]), 2);
    check_exact("mobilenet_v2", &floats("input", &[2, 3, 16, 20]), 5);
}

#[test]
fn layers_lose_the_same_share() {
    let pruned = prune_structured(&model("digits"), 0.25).unwrap();
    let shapes: Vec<&str> = pruned.changes.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(shapes, ["[32, 64] to [24, 64]", "[32] to [24]", "[10, 32] to [10, 24]"]);
    let [last] = pruned.skipped.as_slice() else { panic!("{:?}", pruned.skipped) };
    assert!(last.reason.contains("output of the model"), "{last}");
    // A share of less than one output is none.
    let refused = prune_structured(&model("digits"), 0.01).unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }) && refused.to_string().contains("less than one"));
}

#[test]
fn what_residual_connections_share_stays() {
    let pruned = prune_structured(&model("resnet18"), 0.5).unwrap();
    let shared = pruned.skipped.iter().filter(|skipped| skipped.reason.contains("outputs of other layers"));
    assert_eq!(shared.count(), 4, "{pruned}");
}

#[test]
fn a_model_without_layers_is_refused() {
    for fraction in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(matches!(prune_structured(&model("mlp"), fraction), Err(Error::InvalidInput(_))));
    }
    for name in ["lightgbm_binary", "logistic_regression", "gru"] {
        let refused = prune_structured(&model(name), 0.5).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{name}: {refused}");
    }
}
