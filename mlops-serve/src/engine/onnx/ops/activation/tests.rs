//! onnxruntime's GELUs, against what onnxruntime 1.31 gives, and what older versions of the standard did otherwise.

use super::super::testing::output;
use crate::engine::onnx::graph::Attribute;
use crate::engine::onnx::tensor::HostTensor;

fn vector(elements: &[f32]) -> Option<HostTensor> {
    Some(HostTensor::vector(elements.to_vec()))
}

fn close(actual: &HostTensor, expected: &[f32]) {
    let actual = actual.elements::<f32>().unwrap();
    assert_eq!(actual.len(), expected.len());
    let apart = |(a, b): (&f32, &f32)| (a - b).abs() > 2e-6 * b.abs().max(1.0);
    assert!(!actual.iter().zip(expected).any(apart), "{actual:?} instead of {expected:?}");
}

#[test]
fn the_gelus_of_onnxruntime() {
    let x = || vector(&[-1.0, 0.0, 1.0, 2.0]);
    let bias = || vector(&[0.5, 0.5, 0.5, -0.5]);
    let run = |operator, inputs: Vec<Option<HostTensor>>| {
        output(("com.microsoft", operator, 1), [], inputs).unwrap()
    };
    close(&run("FastGelu", vec![x(), bias()]), &[-0.154_286, 0.345_714, 1.399_571_5, 1.399_571_5]);
    close(&run("BiasGelu", vec![x(), bias()]), &[-0.154_268_77, 0.345_731_23, 1.399_789_2, 1.399_789_2]);
    close(&run("QuickGelu", vec![x()]), &[-0.154_204_22, 0.0, 0.845_795_75, 1.935_658_7]);
    close(&run("Gelu", vec![x()]), &[-0.158_655_26, 0.0, 0.841_344_7, 1.954_499_7]);
}

#[test]
fn slopes_belonged_to_channels_once() {
    let x = || Some(HostTensor::new([1, 2, 2].as_slice(), vec![-1.0_f32, -2.0, -3.0, 4.0]).unwrap());
    let run = |opset| output(("", "PRelu", opset), [], [x(), vector(&[10.0, 100.0])]).unwrap();
    close(&run(6), &[-10.0, -20.0, -300.0, 4.0]);
    close(&run(9), &[-10.0, -200.0, -30.0, 4.0]);
}

#[test]
fn double_precision_agrees_with_single() {
    let values = [-20.0_f32, -3.0, -1.0, -0.1, 0.0, 0.1, 0.7, 2.0, 5.0, 30.0];
    let alpha = || vec![("alpha", Attribute::Float(0.7))];
    let functions = [
        ("Celu", 12, alpha()),
        ("Elu", 6, alpha()),
        ("Gelu", 20, vec![]),
        ("Gelu", 20, vec![("approximate", Attribute::Text("tanh".into()))]),
        ("HardSigmoid", 6, alpha()),
        ("HardSwish", 14, vec![]),
        ("LeakyRelu", 6, alpha()),
        ("Mish", 18, vec![]),
        ("Selu", 6, vec![]),
        ("Sigmoid", 6, vec![]),
        ("Softplus", 1, vec![]),
        ("Softsign", 1, vec![]),
        ("Swish", 24, alpha()),
        ("Tanh", 6, vec![]),
        ("ThresholdedRelu", 10, alpha()),
    ];
    for (operator, opset, attributes) in functions {
        let single = output(("", operator, opset), attributes.clone(), [vector(&values)]).unwrap();
        let doubles = HostTensor::vector(values.map(f64::from).to_vec());
        let double = output(("", operator, opset), attributes, [Some(doubles)]).unwrap();
        let double: Vec<f32> = double.elements::<f64>().unwrap().iter().map(|&value| value as f32).collect();
        close(&single, &double);
    }
}
