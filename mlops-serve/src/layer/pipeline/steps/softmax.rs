//! From logits to probabilities.

use mlops_core::{Dimension, Error, Result, Tensor, TensorSpec};

use super::real::{self, Real, in_place, with_real};
use crate::layer::pipeline::{Postprocess, Step, fit};

/// `exp(x_i - max x) / sum_j exp(x_j - max x)` along the last dimension: logits become probabilities. Subtracting the
/// greatest changes nothing but keeps the exponentials finite.
///
/// ```
/// use mlops_serve::layer::pipeline::steps::Softmax;
///
/// let probabilities = Softmax::new("logits").into_output("probabilities");
/// # let _ = probabilities;
/// ```
#[derive(Debug, Clone)]
pub struct Softmax {
    name: String,
    output: String,
}

impl Softmax {
    /// Of the output of that name, in its place.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { output: name.clone(), name }
    }

    /// The result gets another name.
    #[must_use]
    pub fn into_output(mut self, output: impl Into<String>) -> Self {
        self.output = output.into();
        self
    }
}

impl Postprocess for Softmax {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        let spec = fit::require(given, &self.name)?;
        real::check(spec)?;
        if matches!(spec.shape().last(), None | Some(Dimension::Batch)) {
            return Err(Error::invalid_input(format!(
                "`{}` ({spec}) has no columns for a softmax",
                self.name
            )));
        }
        let probabilities = fit::any_value(&fit::renamed(spec, &self.output));
        Step::unary(
            "softmax",
            spec.clone(),
            probabilities,
            |tensor| with_real!(tensor.dtype(), T => softmax::<T>(tensor)),
        )
    }
}

fn softmax<T: Real>(tensor: Tensor) -> Result<Tensor> {
    let columns = tensor.shape().last().copied().unwrap_or(1).max(1);
    in_place::<T>(tensor, |values| {
        for row in values.chunks_mut(columns) {
            let greatest = row.iter().map(|x| x.to_f64()).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|x| (x.to_f64() - greatest).exp()).sum();
            for x in row {
                *x = T::from_f64((x.to_f64() - greatest).exp() / sum);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use mlops_core::{DType, Tensors};
    use proptest::prelude::*;

    use super::*;

    fn of(shape: &[usize], logits: Vec<f64>) -> Vec<f64> {
        let spec = [TensorSpec::new("x", DType::Fp64, [Dimension::Batch, Dimension::Free])];
        let step = Softmax::new("x").into_output("p").after(&spec).unwrap();
        let tensors = Tensors::new().with("x", Tensor::from_vec(shape, logits).unwrap());
        step.apply(tensors).unwrap().require("p").unwrap().as_slice().unwrap().to_vec()
    }

    #[test]
    fn great_logits_do_not_overflow() {
        // Reference: scipy.special.softmax([[1, 2, 3], [1000, 1000, -1000]], axis=1).
        let expected = [0.09003057317038046, 0.24472847105479764, 0.6652409557748219, 0.5, 0.5, 0.0];
        for (p, expected) in of(&[2, 3], vec![1.0, 2.0, 3.0, 1000.0, 1000.0, -1000.0]).iter().zip(expected) {
            assert!((p - expected).abs() < 1.0e-15, "{p} is not {expected}");
        }
        assert!(of(&[3, 0], vec![]).is_empty());
    }

    #[test]
    fn a_tensor_without_columns_is_refused() {
        let spec = [TensorSpec::new("x", DType::Fp64, [Dimension::Batch])];
        let error = Softmax::new("x").after(&spec).unwrap_err().to_string();
        assert_eq!(error, "invalid input: `x` (FP64 [batch]) has no columns for a softmax");
    }

    proptest! {
        #[test]
        fn probabilities_sum_to_one_in_the_order_of_the_logits(
            logits in prop::collection::vec(-700.0_f64..700.0, 1..12),
        ) {
            let p = of(&[1, logits.len()], logits.clone());
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1.0e-12);
            for (i, j) in (0..p.len()).zip(1..p.len()) {
                prop_assert!(p[i] == p[j] || (p[i] < p[j]) == (logits[i] < logits[j]));
            }
        }
    }
}
