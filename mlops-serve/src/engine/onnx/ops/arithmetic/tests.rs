//! What the tests of the ONNX project leave out: broadcasting of old versions, work in place, limits of types, errors.

use half::f16;
use mlops_core::DType;

use super::super::testing::{output, outputs};
use crate::engine::onnx::graph::Attribute;
use crate::engine::onnx::tensor::{HostTensor, Scalar};

fn tensor<T: Scalar>(shape: &[usize], elements: &[T]) -> Option<HostTensor> {
    Some(HostTensor::new(shape, elements.to_vec()).unwrap())
}

fn pair<T: Scalar>(operator: &str, a: (&[usize], &[T]), b: (&[usize], &[T])) -> Option<Vec<T>> {
    let result = output(("", operator, 14), [], [tensor(a.0, a.1), tensor(b.0, b.1)]).ok()?;
    Some(result.elements::<T>().unwrap().to_vec())
}

#[test]
fn the_axis_of_old_versions_says_where_the_second_input_begins() {
    let run = |attributes: Vec<(&'static str, Attribute)>, shape: &[usize], elements: &[f32]| {
        let a = tensor(&[2, 3], &[0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let sum = output(("", "Add", 6), attributes, [a, tensor(shape, elements)]).unwrap();
        sum.elements::<f32>().unwrap().to_vec()
    };
    let broadcast = ("broadcast", Attribute::Int(1));
    let at = |axis| vec![("axis", Attribute::Int(axis)), broadcast.clone()];
    assert_eq!(run(at(0), &[2], &[10.0, 20.0]), [10.0, 11.0, 12.0, 23.0, 24.0, 25.0]);
    assert_eq!(run(at(1), &[3], &[10.0, 20.0, 30.0]), [10.0, 21.0, 32.0, 13.0, 24.0, 35.0]);
    assert_eq!(run(vec![broadcast], &[3], &[10.0, 20.0, 30.0]), [10.0, 21.0, 32.0, 13.0, 24.0, 35.0]);
}

/// Whichever input gives its memory, a difference and a quotient keep their order.
#[test]
fn work_in_place_keeps_the_order_of_the_operands() {
    let (long, short): (Vec<f32>, [f32; 3]) =
        ((1..=600).map(|value| value as f32).collect(), [1.0, 2.0, 4.0]);
    let shapes: [&[usize]; 2] = [&[200, 3], &[3]];
    let expected = |function: fn(f32, f32) -> f32| -> Vec<f32> {
        long.iter().enumerate().map(|(index, &value)| function(value, short[index % 3])).collect()
    };
    let of = |operator, swap| {
        let (a, b) = ((shapes[0], &long[..]), (shapes[1], &short[..]));
        if swap { pair(operator, b, a) } else { pair(operator, a, b) }.unwrap()
    };
    assert_eq!(of("Sub", false), expected(|a, b| a - b));
    assert_eq!(of("Sub", true), expected(|a, b| b - a));
    assert_eq!(of("Div", false), expected(|a, b| a / b));
    assert_eq!(of("Div", true), expected(|a, b| b / a));
    assert_eq!(of("Max", true), expected(f32::max));
    let both = pair("Sub", (&[3, 1], &[1.0_f32, 2.0, 3.0]), (&[2], &[1.0, 10.0])).unwrap();
    assert_eq!(both, [0.0, -9.0, 1.0, -8.0, 2.0, -7.0]);
}

#[test]
fn an_input_that_others_need_is_not_overwritten() {
    let shared = HostTensor::vector(vec![1.0_f32; 500]);
    let doubled = output(("", "Add", 14), [], [Some(shared.clone()), Some(shared.clone())]).unwrap();
    assert_eq!(doubled.elements::<f32>().unwrap(), [2.0; 500]);
    let root = output(("", "Exp", 13), [], [Some(shared.clone())]).unwrap();
    assert!(root.elements::<f32>().unwrap()[0] > 2.7);
    assert_eq!(shared.elements::<f32>().unwrap(), [1.0; 500]);
}

#[test]
fn integers_wrap_around_and_are_not_divided_by_zero() {
    assert_eq!(pair("Add", (&[1], &[250_u8]), (&[1], &[10])), Some(vec![4]));
    assert_eq!(pair("Mul", (&[1], &[i32::MAX]), (&[1], &[2])), Some(vec![-2]));
    assert_eq!(pair("Div", (&[1], &[i64::MIN]), (&[1], &[-1])), Some(vec![i64::MIN]));
    assert_eq!(pair("Div", (&[2], &[1_i32, -7]), (&[1], &[2])), Some(vec![0, -3]));
    for operator in ["Div", "Mod"] {
        assert_eq!(pair(operator, (&[2], &[1_i32, 2]), (&[2], &[1, 0])), None);
    }
    assert_eq!(pair("Div", (&[1], &[1.0_f32]), (&[1], &[0.0])), Some(vec![f32::INFINITY]));
}

#[test]
fn shapes_and_types_must_fit() {
    assert_eq!(pair("Add", (&[2], &[1.0_f32; 2]), (&[3], &[1.0; 3])), None);
    let mixed = [tensor(&[1], &[1.0_f32]), tensor(&[1], &[1_i32])];
    assert!(output(("", "Add", 14), [], mixed).is_err());
    assert!(output(("", "Exp", 13), [], [tensor(&[1], &[1_i32])]).is_err());
    assert!(output(("", "Add", 14), [], [tensor(&[1], &[true]), tensor(&[1], &[true])]).is_err());
    let (rows, columns) = (vec![0_u8; 1 << 17], vec![0_u8; 1 << 17]);
    assert_eq!(pair("Add", (&[1 << 17, 1], &rows), (&[1 << 17], &columns)), None, "16 GiB");
}

#[test]
fn a_mean_of_half_precision_is_rounded_once() {
    let values = [2048.0, 1.0, 1.0].map(f16::from_f32);
    let inputs = values.map(|value| tensor(&[1], &[value]));
    let mean = output(("", "Sum", 13), [], inputs).unwrap();
    assert_eq!(mean.elements::<f16>().unwrap(), [f16::from_f32(2050.0)]);
}

fn cast<T: Scalar>(from: Option<HostTensor>, to: i64) -> Option<Vec<T>> {
    let result = output(("", "Cast", 13), [("to", Attribute::Int(to))], [from]).ok()?;
    Some(result.elements::<T>().unwrap().to_vec())
}

#[test]
fn casts_cut_floats_off_and_wrap_integers() {
    const UINT8: i64 = 2;
    const INT8: i64 = 3;
    const INT32: i64 = 6;
    const BOOL: i64 = 9;
    const UINT64: i64 = 13;
    let floats = || tensor(&[5], &[-1.9_f32, 2.9, 1e20, f32::NAN, f32::NEG_INFINITY]);
    assert_eq!(cast(floats(), INT32), Some(vec![-1, 2, i32::MAX, 0, i32::MIN]));
    assert_eq!(cast(tensor(&[2], &[200_i32, -129]), INT8), Some(vec![-56_i8, 127]));
    assert_eq!(cast(tensor(&[3], &[-1.5_f32, 300.0, 7.9]), UINT8), Some(vec![255_u8, 44, 7]));
    assert_eq!(
        cast(tensor(&[2], &[-1.5_f64, 1e19]), UINT64),
        Some(vec![u64::MAX, 10_000_000_000_000_000_000])
    );
    assert_eq!(cast(tensor(&[1], &[u64::MAX]), INT8), Some(vec![-1_i8]));
    assert_eq!(cast(floats(), BOOL), Some(vec![true; 5]));
    assert_eq!(cast(tensor(&[2], &[0.0_f32, 0.25]), BOOL), Some(vec![false, true]));
}

#[test]
fn strings_are_read_and_written_as_numbers() {
    const FLOAT: i64 = 1;
    const INT64: i64 = 7;
    const STRING: i64 = 8;
    let strings = |strings: &[&str]| {
        tensor(&[strings.len()], &strings.iter().map(|&string| string.to_owned()).collect::<Vec<_>>())
    };
    let read = cast::<f32>(strings(&["3.25", " 1e-5", "1E8", "+INF", "-inf"]), FLOAT).unwrap();
    assert_eq!(read, [3.25, 1e-5, 1e8, f32::INFINITY, f32::NEG_INFINITY]);
    assert!(cast::<f32>(strings(&["nan"]), FLOAT).unwrap()[0].is_nan());
    assert_eq!(
        cast(strings(&["9007199254740993", "100.5"]), INT64),
        Some(vec![9_007_199_254_740_993_i64, 100])
    );
    assert_eq!(cast::<f32>(strings(&["Hello"]), FLOAT), None);
    assert_eq!(cast::<i64>(strings(&["NaN"]), INT64), None);
    let numbers = tensor(&[4], &[314.159_26_f32, 0.5, f32::INFINITY, f32::NAN]);
    let written = cast::<String>(numbers, STRING).unwrap();
    assert_eq!(written, ["314.15927", "0.5", "INF", "NaN"]);
}

#[test]
fn powers_of_integers_stay_integers() {
    assert_eq!(pair("Pow", (&[3], &[3_i64, -2, 10]), (&[3], &[4, 3, 0])), Some(vec![81, -8, 1]));
    let mixed = [tensor(&[2], &[3_i64, 1 << 40]), tensor(&[1], &[1_i32])];
    let powers = output(("", "Pow", 15), [], mixed).unwrap();
    assert_eq!(powers.elements::<i64>().unwrap(), [3, 1 << 40]);
}

#[test]
fn in_training_dropout_drops() {
    let inputs = [tensor(&[1000], &[1.0_f32; 1000]), tensor(&[], &[0.25_f32]), tensor(&[], &[true])];
    let results = outputs(("", "Dropout", 13), [("seed", Attribute::Int(5))], inputs, 2).unwrap();
    let (data, mask) = (results[0].elements::<f32>().unwrap(), results[1].elements::<bool>().unwrap());
    let left = mask.iter().filter(|&&left| left).count();
    assert!((700..800).contains(&left));
    assert!(data.iter().zip(mask).all(|(&value, &left)| value == if left { 4.0 / 3.0 } else { 0.0 }));
    assert_eq!(results[1].dtype(), DType::Bool);
}
