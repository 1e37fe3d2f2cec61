//! A step after a model.

use async_trait::async_trait;
use mlops_core::{Engine, Instant, Model, Request, Response, Result, Signature, TensorSpec};

use super::Step;
use super::fit::{self, Mismatches};

/// What can stand after a model: a [`Step`], or something that becomes one in view of what the model gives, as most of
/// [`steps`](super::steps) do.
pub trait Postprocess {
    /// The step for a model that gives `given`. What the step takes must be among that.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when there is none.
    fn after(self, given: &[TensorSpec]) -> Result<Step>;
}

impl Postprocess for Step {
    fn after(self, _given: &[TensorSpec]) -> Result<Step> {
        Ok(self)
    }
}

/// A model whose outputs go through a [`Step`].
///
/// It gives what the model gives, less what the step takes, and what the step gives. Everything else of the response
/// is the model's; the time of the step is part of [`Timings::compute`](mlops_core::Timings).
///
/// ```
/// # use mlops_core::{DType, Dimension, Signature, TensorSpec, Tensors};
/// use mlops_core::Model;
/// use mlops_serve::layer::pipeline::{Step, steps::Threshold};
/// use mlops_serve::{EngineExt, ServeExt};
///
/// # fn main() -> Result<(), mlops_core::Error> {
/// # let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
/// # let model = Step::new("model", Signature::new([spec("x")], [spec("score")])?, |mut tensors| {
/// #     Ok(Tensors::new().with("score", tensors.remove("x").unwrap()))
/// # }).inline();
/// let model = model.postprocessed(Threshold::new("score", 0.9, "is_fraud"))?;
/// assert_eq!(model.signature().outputs()[1].to_string(), "BOOL [batch]");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Postprocessed<M> {
    model: M,
    step: Step,
    signature: Signature,
}

impl<M: Model> Postprocessed<M> {
    /// Puts `step` after `model`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) that names everything the step takes and the model does
    /// not give, and what would be there twice.
    pub fn new(model: M, step: impl Postprocess) -> Result<Self> {
        let step = step.after(model.signature().outputs())?;
        let signature = whole(model.signature(), &step)?;
        Ok(Self { model, step, signature })
    }
}

fn whole(model: &Signature, step: &Step) -> Result<Signature> {
    let given = model.outputs();
    let (takes, gives) = (step.signature().inputs(), step.signature().outputs());
    let mut mismatches = Mismatches::default();
    // What a step takes and gives nothing for is gone.
    let matters = |spec: &&TensorSpec| !gives.is_empty() || fit::find(takes, spec.name()).is_none();
    let mut rows =
        fit::keeps_rows(model.inputs(), given.iter().filter(matters)) && fit::keeps_rows(takes, gives);
    for needed in takes {
        let name = needed.name();
        match fit::find(given, name) {
            None if needed.is_optional() => {}
            None => mismatches.push(format!(
                "{step} takes `{name}`, which the model does not give ({})",
                fit::names(given)
            )),
            Some(given) if !fit::may_feed(given, needed) => {
                mismatches.push(format!("{step} takes `{name}` as {needed}, but the model gives {given}"));
            }
            Some(given) => rows &= fit::same_rows(given, needed),
        }
    }
    let passing: Vec<&TensorSpec> =
        given.iter().filter(|spec| fit::find(takes, spec.name()).is_none()).collect();
    for spec in passing.iter().filter(|spec| fit::find(gives, spec.name()).is_some()) {
        mismatches.push(format!("{step} gives `{0}`, and the model gives another `{0}`", spec.name()));
    }
    mismatches.into_result("the postprocessed model")?;
    fit::whole(model.inputs().to_vec(), passing.into_iter().chain(gives).cloned().collect(), rows)
}

#[async_trait]
impl<M: Model> Model for Postprocessed<M> {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let mut response = self.model.predict(request).await?;
        let started = Instant::now();
        response.outputs = self.step.check_and_apply(response.outputs)?;
        response.timings.compute = response.timings.compute.saturating_add(started.elapsed());
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{DType, Dimension, Error, Tensors};

    use super::*;
    use crate::EngineExt;

    fn spec(name: &str, columns: usize) -> TensorSpec {
        TensorSpec::new(name, DType::Fp32, [Dimension::Batch, columns.into()])
    }

    fn step(inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Step {
        Step::new("s", Signature::new(inputs.to_vec(), outputs.to_vec()).unwrap(), |_| Ok(Tensors::new()))
    }

    fn after(inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<Signature> {
        let model = step(&[spec("x", 1)], &[spec("a", 2), spec("b", 3)]).inline();
        Ok(Postprocessed::new(model, step(inputs, outputs))?.signature)
    }

    #[test]
    fn the_whole_gives_what_passes_the_step_and_what_it_gives() {
        let signature = after(&[spec("a", 2)], &[spec("class", 1)]).unwrap();
        assert_eq!(signature.inputs(), [spec("x", 1)]);
        assert_eq!(signature.outputs(), [spec("b", 3), spec("class", 1)]);
    }

    #[test]
    fn without_the_output_that_has_no_rows_there_is_a_batch() {
        let lone = TensorSpec::new("version", DType::Int64, [Dimension::Fixed(1)]);
        let model = || step(&[spec("x", 1)], &[spec("a", 2), lone.clone()]).inline();
        let batched = |step: Step| {
            let signature = Postprocessed::new(model(), step).unwrap().signature;
            signature.inputs()[0].batch_axis().is_some()
        };
        assert!(batched(step(std::slice::from_ref(&lone), &[])));
        assert!(!batched(step(&[spec("a", 2)], &[spec("a", 2)])));
        assert!(
            !batched(step(&[lone.clone(), spec("a", 2)], &[spec("b", 2)])),
            "it may depend on other rows"
        );
    }

    #[test]
    fn every_mismatch_is_named() {
        let error = after(&[spec("a", 5), spec("z", 1)], &[spec("b", 3)]).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            "invalid input: the postprocessed model does not fit together: \
             step `s` takes `a` as FP32 [batch, 5], but the model gives FP32 [batch, 2]; \
             step `s` takes `z`, which the model does not give (there are `a`, `b`); \
             step `s` gives `b`, and the model gives another `b`"
        );
    }
}
