//! What the tests of the ONNX project leave out. Expected values: NumPy 2.

use super::super::testing::output;
use crate::engine::onnx::graph::Attribute;
use crate::engine::onnx::tensor::{HostTensor, Scalar};

fn counting(shape: &[usize]) -> HostTensor {
    let count: usize = shape.iter().product();
    HostTensor::new(shape, (0..count).map(|value| value as f32).collect::<Vec<_>>()).unwrap()
}

fn reduced<T: Scalar>(
    operator: &str,
    tensor: HostTensor,
    axes: &[i64],
    keep: bool,
) -> Option<(Vec<usize>, Vec<T>)> {
    let attributes = [("axes", Attribute::Ints(axes.to_vec())), ("keepdims", Attribute::Int(keep.into()))];
    let result = output(("", operator, 11), attributes, [Some(tensor)]).ok()?;
    Some((result.shape().to_vec(), result.elements::<T>().unwrap().to_vec()))
}

#[test]
fn axes_that_are_no_neighbours() {
    let sum = reduced("ReduceSum", counting(&[2, 3, 4]), &[0, 2], false);
    assert_eq!(sum, Some((vec![3], vec![60.0_f32, 92.0, 124.0])));
    let mean = reduced("ReduceMean", counting(&[2, 3, 4]), &[-1, 0], true);
    assert_eq!(mean, Some((vec![1, 3, 1], vec![7.5_f32, 11.5, 15.5])));
    let square = reduced("ReduceSumSquare", counting(&[2, 2, 2]), &[0, 2], false);
    assert_eq!(square, Some((vec![2], vec![42.0_f32, 98.0])));
    let largest = reduced("ReduceMax", counting(&[2, 3, 2, 2]), &[1, 3], false);
    assert_eq!(largest, Some((vec![2, 2], vec![9.0_f32, 11.0, 21.0, 23.0])));
}

#[test]
fn the_logarithm_of_a_sum_of_exponentials_does_not_overflow() {
    let large = HostTensor::new([2, 2].as_slice(), vec![1000.0_f32, 1000.0, f32::NEG_INFINITY, 3.0]).unwrap();
    let (_, sums) = reduced::<f32>("ReduceLogSumExp", large, &[1], false).unwrap();
    assert!((sums[0] - (1000.0 + 2.0_f32.ln())).abs() < 1e-3);
    assert!((sums[1] - 3.0).abs() < 1e-6);
    let none = HostTensor::new([1, 2].as_slice(), vec![f64::NEG_INFINITY; 2]).unwrap();
    assert_eq!(reduced("ReduceLogSumExp", none, &[1], false), Some((vec![1], vec![f64::NEG_INFINITY])));
}

#[test]
fn integers_are_reduced_exactly() {
    let tensor = HostTensor::vector(vec![i64::MAX - 1, 1, -3]);
    assert_eq!(reduced("ReduceSum", tensor.clone(), &[0], false), Some((vec![], vec![i64::MAX - 3])));
    assert_eq!(reduced("ReduceMin", tensor, &[0], true), Some((vec![1], vec![-3_i64])));
    assert_eq!(
        reduced("ReduceMean", HostTensor::vector(vec![-3_i32, -4]), &[0], false),
        Some((vec![], vec![-3]))
    );
}

#[test]
fn wrong_axes_and_absurd_results_are_errors() {
    for axes in [&[3_i64][..], &[-4], &[1, 1], &[1, -2], &[i64::MIN]] {
        assert_eq!(reduced::<f32>("ReduceSum", counting(&[2, 3, 4]), axes, false), None);
    }
    assert!(HostTensor::new([1 << 40, 8, 0].as_slice(), Vec::<f32>::new()).is_err());
    let nothing = HostTensor::new([1 << 20, 8, 0].as_slice(), Vec::<f32>::new()).unwrap();
    assert_eq!(reduced("ReduceSum", nothing, &[0, 2], false), Some((vec![8], vec![0.0_f32; 8])));
}

#[test]
fn the_first_or_the_last_extreme_and_nan_before_numbers() {
    let run = |operator, last: i64, shape: &[usize], axis, elements: &[f32]| {
        let attributes = [
            ("axis", Attribute::Int(axis)),
            ("select_last_index", Attribute::Int(last)),
            ("keepdims", Attribute::Int(0)),
        ];
        let tensor = HostTensor::new(shape, elements.to_vec()).unwrap();
        let result = output(("", operator, 13), attributes, [Some(tensor)]).unwrap();
        result.elements::<i64>().unwrap().to_vec()
    };
    for (shape, axis) in [([1, 5], 1), ([5, 1], 0)] {
        assert_eq!(run("ArgMax", 0, &shape, axis, &[1.0, 3.0, 2.0, 3.0, 0.0]), [1]);
        assert_eq!(run("ArgMax", 1, &shape, axis, &[1.0, 3.0, 2.0, 3.0, 0.0]), [3]);
        assert_eq!(run("ArgMin", 0, &shape, axis, &[1.0, 0.0, 2.0, 0.0, 4.0]), [1]);
        assert_eq!(run("ArgMax", 0, &shape, axis, &[1.0, f32::NAN, 2.0, 9.0, 0.0]), [1]);
    }
    assert_eq!(run("ArgMin", 0, &[2, 3], 0, &[1.0, 5.0, 2.0, 0.0, 6.0, 2.0]), [1, 0, 0]);
}

#[test]
fn before_version_13_softmax_goes_to_the_end() {
    let run = |opset| {
        let tensor = HostTensor::new([1, 2, 2].as_slice(), vec![0.0_f32; 4]).unwrap();
        let result = output(("", "Softmax", opset), [("axis", Attribute::Int(1))], [Some(tensor)]).unwrap();
        result.elements::<f32>().unwrap().to_vec()
    };
    assert_eq!(run(11), [0.25; 4]);
    assert_eq!(run(13), [0.5; 4]);
}
