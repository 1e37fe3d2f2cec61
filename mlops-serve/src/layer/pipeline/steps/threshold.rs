//! From a score to yes or no.

use mlops_core::{DType, Error, Result, Signature, Tensor, TensorSpec};

use super::real::{self, Real, with_real};
use crate::layer::pipeline::{Postprocess, Step, fit};

/// Whether each score is at least the threshold, rounded to the type of the scores, as a BOOL output. NaN is not.
///
/// The scores stay among the outputs; [`Select`](super::Select) leaves them out.
///
/// ```
/// use mlops_serve::layer::pipeline::steps::Threshold;
///
/// let decision = Threshold::new("score", 0.9, "is_fraud");
/// # let _ = decision;
/// ```
#[derive(Debug, Clone)]
pub struct Threshold {
    score: String,
    threshold: f64,
    output: String,
}

impl Threshold {
    /// Of the output `score`, as a new output `output`.
    #[must_use]
    pub fn new(score: impl Into<String>, threshold: f64, output: impl Into<String>) -> Self {
        Self { score: score.into(), threshold, output: output.into() }
    }
}

impl Postprocess for Threshold {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        let Self { score, threshold, output } = self;
        let spec = fit::require(given, &score)?;
        real::check(spec)?;
        if threshold.is_nan() {
            return Err(Error::invalid_input(format!("the threshold for `{score}` is NaN")));
        }
        let decision = fit::like(spec, &output, DType::Bool, spec.shape());
        let signature = Signature::new([spec.clone()], [spec.clone(), decision])?;
        Ok(Step::new(format!("threshold({score})"), signature, move |tensors| {
            let Some(tensor) = tensors.get(&score) else { return Ok(tensors) };
            let decided = with_real!(tensor.dtype(), T => decide::<T>(tensor, threshold))?;
            Ok(tensors.with(output.as_str(), decided))
        }))
    }
}

fn decide<T: Real>(scores: &Tensor, threshold: f64) -> Result<Tensor> {
    // An FP32 score of 0.9 is less than an FP64 threshold of 0.9.
    let threshold = T::from_f64(threshold);
    let decided = scores.as_slice::<T>()?.iter().map(|score| *score >= threshold).collect();
    Ok(Tensor::from_vec::<bool>(scores.shape(), decided)?)
}

#[cfg(test)]
mod tests {
    use mlops_core::{Dimension, Tensors};

    use super::*;

    #[test]
    fn a_score_at_the_threshold_is_a_yes() {
        let spec = [TensorSpec::new("score", DType::Fp64, [Dimension::Batch])];
        let step = Threshold::new("score", 0.5, "yes").after(&spec).unwrap();
        let tensors = Tensors::new().with("score", vec![0.4_f64, 0.5, f64::NAN, f64::INFINITY]);
        let decided = step.apply(tensors).unwrap();
        assert_eq!(decided.get("yes").unwrap(), &Tensor::from(vec![false, true, false, true]));
        assert_eq!(decided.names().collect::<Vec<_>>(), ["score", "yes"]);

        let single = [TensorSpec::new("score", DType::Fp32, [Dimension::Batch])];
        let step = Threshold::new("score", 0.9, "yes").after(&single).unwrap();
        let decided = step.apply(Tensors::new().with("score", vec![0.9_f32])).unwrap();
        assert_eq!(
            decided.get("yes").unwrap(),
            &Tensor::from(vec![true]),
            "0.9 as FP32 is less than 0.9 as FP64"
        );
        assert!(Threshold::new("score", f64::NAN, "yes").after(&spec).is_err());
    }
}
