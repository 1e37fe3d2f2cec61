//! How far outputs are from those of a reference.

use mlops_core::{DType, Tensor};

/// What rounding may add to the difference, whatever the scale.
const ABSOLUTE: f64 = 1e-6;

/// The largest difference of two tensors, as a share of the largest magnitude that is expected.
///
/// # Errors
/// Says what is wrong: another type or shape, floats that differ by more than `tolerance` of that magnitude, or
/// anything else that is not equal. A NaN equals a NaN.
pub fn difference(expected: &Tensor, actual: &Tensor, tolerance: f64) -> Result<f64, String> {
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
    let scale = expected
        .iter()
        .filter(|value| value.is_finite())
        .fold(0.0, |scale: f64, value| scale.max(value.abs()));
    let mut worst = (0.0, 0);
    for (index, (&a, &b)) in actual.iter().zip(expected).enumerate() {
        let same = a == b || a.is_nan() && b.is_nan();
        let difference = if same { 0.0 } else { (a - b).abs() };
        if !(difference <= worst.0) {
            worst = (difference, index); // a difference that is NaN as well, and nothing is worse
            if difference.is_nan() {
                break;
            }
        }
    }
    let (difference, index) = worst;
    if difference <= tolerance * scale + ABSOLUTE {
        return Ok(if scale > 0.0 { difference / scale } else { 0.0 });
    }
    let wrong = actual
        .iter()
        .zip(expected)
        .filter(|(a, b)| !((*a - *b).abs() <= tolerance * scale + ABSOLUTE))
        .count();
    Err(format!(
        "{wrong} of {} elements are wrong; the worst, number {index}, is {} instead of {} (scale {scale:.3e})",
        expected.len(),
        actual[index],
        expected[index],
    ))
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
