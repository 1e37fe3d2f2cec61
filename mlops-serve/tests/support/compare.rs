//! How far outputs are from those of a reference.

use mlops_core::{DType, Tensor};

/// What rounding may add to the difference, whatever the scale.
const ABSOLUTE: f64 = 1e-6;

/// The largest difference of two tensors, as a share of the largest magnitude that is expected.
///
/// # Errors
/// Says what is wrong: another type or shape, floats that differ by more than `tolerance` of that magnitude, or
/// anything else that is not equal. A NaN equals a NaN.
pub(crate) fn difference(expected: &Tensor, actual: &Tensor, tolerance: f64) -> Result<f64, String> {
    let kind = |tensor: &Tensor| format!("{} {:?}", tensor.dtype(), tensor.shape());
    if kind(expected) != kind(actual) {
        return Err(format!("is {} instead of {}", kind(actual), kind(expected)));
    }
    match (floats(expected), floats(actual)) {
        (Some(expected), Some(actual)) => float_difference(&expected, &actual, tolerance),
        _ => equal(expected, actual).map(|()| 0.0),
    }
}

fn float_difference(expected: &[f64], actual: &[f64], tolerance: f64) -> Result<f64, String> {
    let finite = expected.iter().filter(|value| value.is_finite());
    let scale = finite.fold(0.0, |scale: f64, value| scale.max(value.abs()));
    let limit = tolerance * scale + ABSOLUTE;
    let distances: Vec<f64> = expected.iter().zip(actual).map(|(&a, &b)| distance(a, b)).collect();
    let worst = distances.iter().copied().fold(0.0, f64::max);
    if worst <= limit {
        return Ok(if scale > 0.0 { worst / scale } else { 0.0 });
    }
    let wrong = distances.iter().filter(|distance| **distance > limit).count();
    let index = distances.iter().position(|distance| *distance == worst).unwrap_or_default();
    Err(format!(
        "is wrong in {wrong} of {} elements; the worst, number {index}, is {} instead of {} (scale {scale:.3e})",
        expected.len(),
        actual[index],
        expected[index],
    ))
}

/// Infinite where only one of the two is not a number.
fn distance(a: f64, b: f64) -> f64 {
    if a == b || a.is_nan() && b.is_nan() {
        return 0.0;
    }
    let difference = (a - b).abs();
    if difference.is_nan() { f64::INFINITY } else { difference }
}

fn equal(expected: &Tensor, actual: &Tensor) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    let show = |tensor: &Tensor| -> String {
        match (tensor.strings(), tensor.as_slice::<i64>()) {
            (Ok(strings), _) => format!("{strings:.200?}"),
            (_, Ok(numbers)) => format!("{:?}", &numbers[..numbers.len().min(20)]),
            _ => format!("{:?}", &tensor.as_bytes()[..tensor.as_bytes().len().min(40)]),
        }
    };
    Err(format!("is {} instead of {}", show(actual), show(expected)))
}

fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.dtype() {
        DType::Fp16 => {
            Some(tensor.as_slice::<half::f16>().ok()?.iter().map(|value| value.to_f64()).collect())
        }
        DType::Bf16 => {
            Some(tensor.as_slice::<half::bf16>().ok()?.iter().map(|value| value.to_f64()).collect())
        }
        DType::Fp32 => Some(tensor.as_slice::<f32>().ok()?.iter().map(|&value| value.into()).collect()),
        DType::Fp64 => Some(tensor.as_slice::<f64>().ok()?.to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: &[f32]) -> Tensor {
        Tensor::from_vec(&[values.len()], values.to_vec()).unwrap()
    }

    #[test]
    fn differences_are_relative_to_the_largest_element() {
        let expected = floats(&[1000.0, 1.0]);
        assert!(difference(&expected, &floats(&[1000.0, 1.05]), 1e-4).is_ok());
        assert!(difference(&expected, &floats(&[1000.0, 1.2]), 1e-4).is_err());
        assert!(difference(&floats(&[0.01, 0.0]), &floats(&[0.01, 1e-5]), 1e-4).is_err());
    }

    #[test]
    fn what_is_not_finite_must_be_the_same() {
        let (nan, infinity) = (f32::NAN, f32::INFINITY);
        assert_eq!(difference(&floats(&[nan, infinity]), &floats(&[nan, infinity]), 1e-4), Ok(0.0));
        for (expected, actual) in
            [(1.0, nan), (nan, 1.0), (1.0, infinity), (infinity, 1.0), (infinity, -infinity)]
        {
            assert!(difference(&floats(&[expected, 2.0]), &floats(&[actual, 2.0]), 1e-4).is_err());
        }
    }

    #[test]
    fn type_shape_and_integers_must_be_the_same() {
        let ones = floats(&[1.0, 1.0]);
        assert!(difference(&ones, &ones.clone().reshape(&[2, 1]).unwrap(), 1.0).is_err());
        assert!(difference(&ones, &Tensor::from(vec![1_i64, 1]), 1.0).is_err());
        assert!(difference(&Tensor::from(vec![1_i64, 1]), &Tensor::from(vec![1_i64, 2]), 1.0).is_err());
    }
}
