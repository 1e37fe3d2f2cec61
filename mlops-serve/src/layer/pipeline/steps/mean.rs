//! The mean of the members of an ensemble.

use mlops_core::{Error, Result, Signature, Tensor, TensorSpec, Tensors};

use super::members::Members;
use super::real::{self, Real, with_real};
use crate::layer::pipeline::{Postprocess, Step, fit};

/// `sum_i w_i x_i / sum_i w_i` over the members of a [`Graph::ensemble`](crate::layer::pipeline::Graph::ensemble) that
/// have answered, for each element. Of probabilities it is soft voting.
///
/// Where no member with a weight has answered, the call is [`Error::Unavailable`].
///
/// ```
/// use mlops_serve::layer::pipeline::steps::Mean;
///
/// let mean = Mean::new("score").with_weight("forest", 2.0); // of `forest/score`, `network/score`, ...
/// # let _ = mean;
/// ```
#[derive(Debug, Clone)]
pub struct Mean {
    output: String,
    weights: Vec<(String, f64)>,
}

impl Mean {
    /// Of the output of that name, which every member gives. Every member has weight 1.
    #[must_use]
    pub fn new(output: impl Into<String>) -> Self {
        Self { output: output.into(), weights: Vec::new() }
    }

    /// The weight of a member.
    #[must_use]
    pub fn with_weight(mut self, member: impl Into<String>, weight: f64) -> Self {
        self.weights.push((member.into(), weight));
        self
    }
}

impl Postprocess for Mean {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        let Self { output, weights: chosen } = self;
        let members = Members::of(given, &output)?;
        real::check(&members.common)?;
        let mut weights = vec![1.0; members.names.len()];
        for (member, weight) in chosen {
            let Some(index) = members.names.iter().position(|name| *name == member) else {
                let known = fit::listed(members.names.iter().map(String::as_str));
                return Err(Error::invalid_input(format!("no member `{member}` gives `{output}` ({known})")));
            };
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(Error::invalid_input(format!("the weight of `{member}` is {weight}")));
            }
            weights[index] = weight;
        }
        if weights.iter().all(|weight| *weight == 0.0) {
            return Err(Error::invalid_input(format!("no member has a weight in the mean of `{output}`")));
        }
        let signature = Signature::new(members.outputs.clone(), [members.common.clone()])?;
        Ok(Step::new(format!("mean({output})"), signature, move |tensors| {
            let answers: Vec<(f64, &Tensor)> = members
                .answers(&tensors)?
                .into_iter()
                .map(|(index, answer)| (weights[index], answer))
                .collect();
            let mean = with_real!(members.common.dtype(), T => mean::<T>(&answers))?;
            Ok(Tensors::new().with(output.as_str(), mean))
        }))
    }
}

/// The mean of tensors of the same shape, of which there is one at least.
fn mean<T: Real>(answers: &[(f64, &Tensor)]) -> Result<Tensor> {
    let total: f64 = answers.iter().map(|(weight, _)| weight).sum();
    if total == 0.0 {
        return Err(Error::unavailable("no member of the ensemble that has a weight has answered"));
    }
    let mut sums = vec![0.0; answers[0].1.len()];
    for (weight, answer) in answers.iter().filter(|(weight, _)| *weight > 0.0) {
        for (sum, value) in sums.iter_mut().zip(answer.as_slice::<T>()?) {
            *sum += weight * value.to_f64();
        }
    }
    let means = sums.into_iter().map(|sum| T::from_f64(sum / total)).collect();
    Ok(Tensor::from_vec::<T>(answers[0].1.shape(), means)?)
}

#[cfg(test)]
mod tests {
    use mlops_core::Dimension::{Batch, Fixed, Free};
    use mlops_core::{DType, Dimension, Engine};

    use super::*;

    fn spec(name: &str, shape: &[Dimension]) -> TensorSpec {
        TensorSpec::new(name, DType::Fp32, shape.iter().copied()).optional()
    }

    fn specs() -> [TensorSpec; 3] {
        [spec("a/y", &[Batch, Free]), spec("b/y", &[Batch, Fixed(2)]), spec("b/other", &[Batch])]
    }

    fn row(values: [f32; 2]) -> Tensor {
        Tensor::from_vec(&[1, 2], values.to_vec()).unwrap()
    }

    #[test]
    fn members_weigh_as_much_as_was_said() {
        let step = Mean::new("y").with_weight("a", 3.0).after(&specs()).unwrap();
        assert_eq!(step.signature().outputs()[0].to_string(), "FP32 [batch, 2]");
        let both = Tensors::new().with("a/y", row([1.0, 2.0])).with("b/y", row([5.0, 2.0]));
        assert_eq!(step.run(&both).unwrap(), Tensors::new().with("y", row([2.0, 2.0])));
        let one = Tensors::new().with("b/y", row([5.0, 2.0]));
        assert_eq!(step.run(&one).unwrap(), Tensors::new().with("y", row([5.0, 2.0])), "those that answered");
    }

    #[test]
    fn without_an_answer_there_is_no_mean() {
        let none = |step: Mean, tensors: Tensors| step.after(&specs()).unwrap().run(&tensors).unwrap_err();
        let weightless = Mean::new("y").with_weight("b", 0.0);
        for error in [
            none(Mean::new("y"), Tensors::new()),
            none(weightless, Tensors::new().with("b/y", row([1.0, 2.0]))),
        ] {
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        }
        let odd = Tensors::new().with("a/y", Tensor::from_vec(&[1, 1], vec![1.0_f32]).unwrap());
        let error = none(Mean::new("y"), odd.with("b/y", row([1.0, 2.0]))).to_string();
        assert_eq!(error, "engine failed: step `mean(y)`: member `b` gave shape [1, 2], the first [1, 1]");
    }

    #[test]
    fn members_that_do_not_go_together_are_refused() {
        for (mean, expected) in [
            (Mean::new("z"), "no member of an ensemble gives `MEMBER/z` (there are `a/y`, `b/y`, `b/other`)"),
            (Mean::new("y").with_weight("c", 1.0), "no member `c` gives `y` (there are `a`, `b`)"),
            (Mean::new("y").with_weight("a", -1.0), "the weight of `a` is -1"),
            (Mean::new("y").with_weight("a", 0.0).with_weight("b", 0.0), "no member has a weight"),
        ] {
            let error = mean.after(&specs()).unwrap_err();
            assert!(
                matches!(error, Error::InvalidInput(_)) && error.to_string().contains(expected),
                "{error}"
            );
        }
        let apart = [spec("a/y", &[Batch, Fixed(3)]), spec("b/y", &[Batch, Fixed(2)])];
        let error = Mean::new("y").after(&apart).unwrap_err().to_string();
        assert!(
            error.contains("`a/y` (FP32 [batch, 3] optional) and `b/y` (FP32 [batch, 2] optional) cannot"),
            "{error}"
        );
    }
}
