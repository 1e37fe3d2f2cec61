//! onnxruntime's operators, against what onnxruntime 1.31 gives.

use super::super::testing::output;
use crate::engine::onnx::graph::Attribute;
use crate::engine::onnx::tensor::{HostTensor, Scalar};

fn tensor<T: Scalar>(shape: &[usize], elements: &[T]) -> Option<HostTensor> {
    Some(HostTensor::new(shape, elements.to_vec()).unwrap())
}

fn scale(scale: f32) -> Option<HostTensor> {
    Some(HostTensor::scalar(scale))
}

fn zero<T: Scalar>(zero: T) -> Option<HostTensor> {
    Some(HostTensor::scalar(zero))
}

fn microsoft(
    operator: &str,
    attributes: &[(&'static str, Attribute)],
    inputs: impl IntoIterator<Item = Option<HostTensor>>,
) -> HostTensor {
    output(("com.microsoft", operator, 1), attributes.iter().cloned(), inputs).unwrap()
}

fn a() -> Option<HostTensor> {
    tensor(&[2, 3], &[0_u8, 100, 130, 200, 255, 7])
}

fn b() -> Option<HostTensor> {
    tensor(&[3], &[255_u8, 128, 3])
}

#[test]
fn sums_and_products_are_quantised_again() {
    let run = |operator| {
        let inputs =
            [a(), scale(0.02), zero(128_u8), b(), scale(0.03), zero(120_u8), scale(0.05), zero(110_u8)];
        microsoft(operator, &[], inputs).elements::<u8>().unwrap().to_vec()
    };
    assert_eq!(run("QLinearAdd"), [140, 104, 41, 220, 166, 0]);
    assert_eq!(run("QLinearMul"), [0, 107, 107, 227, 122, 255]);
}

#[test]
fn functions_are_those_of_the_real_numbers() {
    let run = |operator, attributes: &[_], output, output_zero| {
        let inputs = [a(), scale(0.04), zero(128_u8), scale(output), zero::<u8>(output_zero)];
        microsoft(operator, attributes, inputs).elements::<u8>().unwrap().to_vec()
    };
    assert_eq!(run("QLinearSigmoid", &[], 1.0 / 256.0, 0), [2, 63, 133, 242, 254, 2]);
    let alpha = [("alpha", Attribute::Float(0.1))];
    assert_eq!(run("QLinearLeakyRelu", &alpha, 0.03, 100), [83, 96, 103, 196, 255, 84]);
    let axis = [("axis", Attribute::Int(-1)), ("opset", Attribute::Int(13))];
    assert_eq!(run("QLinearSoftmax", &axis, 1.0 / 256.0, 0), [1, 59, 196, 26, 230, 0]);
}

#[test]
fn parts_with_scales_of_their_own_are_joined() {
    let inputs = [
        scale(0.05),
        zero(100_u8),
        a(),
        scale(0.04),
        zero(128_u8),
        tensor(&[1, 3], &[255_u8, 128, 3]),
        scale(0.05),
        zero(100_u8),
    ];
    let joined = microsoft("QLinearConcat", &[("axis", Attribute::Int(0))], inputs);
    assert_eq!(joined.shape(), [3, 3]);
    assert_eq!(joined.elements::<u8>().unwrap(), [0, 78, 102, 158, 202, 3, 255, 128, 3]);
}

#[test]
fn averages_count_padding_if_they_shall() {
    let x: Vec<u8> = (1..10).map(|value| value * 20).collect();
    let run = |operator, attributes: &[_]| {
        let inputs = [tensor(&[1, 1, 3, 3], &x), scale(0.04), zero(128_u8), scale(0.03), zero(100_u8)];
        microsoft(operator, attributes, inputs).elements::<u8>().unwrap().to_vec()
    };
    assert_eq!(run("QLinearGlobalAveragePool", &[]), [63]);
    let mut attributes =
        vec![("kernel_shape", Attribute::Ints(vec![2, 2])), ("pads", Attribute::Ints(vec![1, 1, 0, 0]))];
    assert_eq!(run("QLinearAveragePool", &attributes), [0, 0, 0, 0, 9, 36, 76, 89, 116]);
    attributes.push(("count_include_pad", Attribute::Int(1)));
    assert_eq!(run("QLinearAveragePool", &attributes), [64, 35, 48, 48, 9, 36, 88, 89, 116]);
}

fn close(actual: &HostTensor, expected: &[f32]) {
    let actual = actual.elements::<f32>().unwrap();
    assert_eq!(actual.len(), expected.len());
    let apart = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-5 * b.abs().max(1.0);
    assert!(!actual.iter().zip(expected).any(apart), "{actual:?} instead of {expected:?}");
}

#[test]
fn products_are_quantised_or_real() {
    let left = || tensor(&[2, 3], &[1_i8, -2, 3, 4, 5, -128]);
    let right = || tensor(&[3, 2], &[1_i8, 2, 3, 4, -5, 6]);
    let inputs = [
        left(),
        scale(0.1),
        zero(2_i8),
        right(),
        scale(0.2),
        zero(0_i8),
        tensor(&[2], &[10_i32, -20]),
        scale(0.5),
        zero(-3_i8),
    ];
    let quantised = microsoft("QGemm", &[("alpha", Attribute::Float(0.5))], inputs);
    assert_eq!(quantised.elements::<i8>().unwrap(), [-3, -4, 10, -19]);

    let inputs =
        [left(), scale(0.1), zero(2_i8), right(), tensor(&[2], &[0.2_f32, 0.4]), tensor(&[2], &[1_i8, 1])];
    close(&microsoft("QGemm", &[], inputs), &[-0.28, -0.32, 15.72, -25.56]);

    let x = tensor(&[2, 3], &[1.0_f32, -2.0, 3.0, 0.5, 0.25, -1.0]);
    let inputs = [x, right(), scale(0.2), None, tensor(&[2], &[0.5_f32, -0.5])];
    close(&microsoft("DynamicQuantizeMatMul", &[], inputs), &[-3.5, 1.9, 1.754_902, -1.292_156_9]);

    let inputs = [
        a(),
        right(),
        scale(0.1),
        tensor(&[2], &[0.2_f32, 0.3]),
        zero(128_u8),
        None,
        tensor(&[2], &[1.0_f32, 2.0]),
    ];
    close(&microsoft("MatMulIntegerToFloat", &[], inputs), &[-3.44, -8.68, 22.16, -0.22]);
}

#[test]
fn wrong_parameters_are_errors() {
    let matmul = |scales: &[f32], zeros: &[u8]| {
        let inputs = [
            a(),
            scale(0.1),
            zero(3_u8),
            tensor(&[3, 2], &[1_u8; 6]),
            tensor(&[scales.len()], scales),
            tensor(&[zeros.len()], zeros),
            scale(1.0),
            zero(0_u8),
        ];
        output(("", "QLinearMatMul", 10), [], inputs)
    };
    assert!(matmul(&[0.1, 0.2], &[1, 2]).is_ok());
    assert!(matmul(&[0.1, 0.2, 0.3], &[1]).is_err());
    assert!(matmul(&[0.1], &[1, 2, 3]).is_err());
    let quantize = |shape: &[usize], scales: usize, block: i64| {
        let attributes = [("axis", Attribute::Int(0)), ("block_size", Attribute::Int(block))];
        let inputs = [tensor(&[4], &[1.0_f32; 4]), tensor(shape, &vec![0.5_f32; scales])];
        output(("", "QuantizeLinear", 21), attributes, inputs)
    };
    assert!(quantize(&[4], 4, 0).is_ok() && quantize(&[2], 2, 2).is_ok());
    assert!(quantize(&[3], 3, 0).is_err() && quantize(&[2], 2, 3).is_ok() && quantize(&[2], 2, 1).is_err());
    assert!(quantize(&[0], 0, 0).is_err());
}

#[test]
fn the_same_operators_under_another_name() {
    let reals = tensor(&[6], &[-1.0_f32, 0.0, 0.125, 0.375, 3.0, 100.0]);
    let quantised = microsoft("QuantizeLinear", &[], [reals, scale(0.25), zero(10_u8)]);
    assert_eq!(quantised.elements::<u8>().unwrap(), [6, 10, 10, 12, 22, 255]);
    let stored = tensor(&[3], &[0_u8, 10, 200]);
    close(&microsoft("DequantizeLinear", &[], [stored, scale(0.25), zero(10_u8)]), &[-2.5, 0.0, 47.5]);

    let x: Vec<u8> = (1..10).map(|value| value * 20).collect();
    let inputs = || {
        [
            tensor(&[1, 1, 3, 3], &x),
            scale(0.04),
            zero(128_u8),
            tensor(&[2, 1, 2, 2], &[1_i8, -2, 3, -4, 10, 20, -30, 40]),
            tensor(&[2], &[0.02_f32, 0.01]),
            tensor(&[2], &[0_i8, 0]),
            scale(0.1),
            zero(100_u8),
            tensor(&[2], &[50_i32, -60]),
        ]
    };
    let pads = [("pads", Attribute::Ints(vec![1, 0, 0, 1]))];
    let convolved = microsoft("QLinearConv", &pads, inputs());
    assert_eq!(convolved.shape(), [1, 2, 3, 3]);
    let expected = [101, 100, 99, 101, 100, 100, 100, 99, 102, 99, 99, 108, 90, 93, 98, 99, 102, 93];
    assert_eq!(convolved.elements::<u8>().unwrap(), expected);
    let channels_last = [("channels_last", Attribute::Int(1))];
    assert!(output(("com.microsoft", "QLinearConv", 1), channels_last, inputs()).is_err());
}
