//! A step before a model.

use async_trait::async_trait;
use mlops_core::{Engine, Instant, Model, Request, Response, Result, Signature, TensorSpec};

use super::Step;
use super::fit::{self, Mismatches};

/// What can stand before a model: a [`Step`], or something that becomes one in view of what the model takes, as most of
/// [`steps`](super::steps) do.
pub trait Preprocess {
    /// The step for a model that takes `needed`. What the step gives must be among that.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when there is none.
    fn before(self, needed: &[TensorSpec]) -> Result<Step>;
}

impl Preprocess for Step {
    fn before(self, _needed: &[TensorSpec]) -> Result<Step> {
        Ok(self)
    }
}

/// A model whose inputs go through a [`Step`] first.
///
/// It takes what the step takes, and what the model takes besides. The time of the step is part of
/// [`Timings::compute`](mlops_core::Timings).
///
/// ```
/// # use mlops_core::{DType, Dimension, Signature, TensorSpec, Tensors};
/// use mlops_core::Model;
/// use mlops_serve::layer::pipeline::{Step, steps::Rename};
/// use mlops_serve::{EngineExt, ServeExt};
///
/// # fn main() -> Result<(), mlops_core::Error> {
/// # let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
/// # let model = Step::new("model", Signature::new([spec("input_0")], [spec("y")])?, |mut tensors| {
/// #     Ok(Tensors::new().with("y", tensors.remove("input_0").unwrap()))
/// # }).inline();
/// let model = model.preprocessed(Rename::new([("price", "input_0")]))?;
/// assert_eq!(model.signature().inputs()[0].name(), "price");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Preprocessed<M> {
    model: M,
    step: Step,
    signature: Signature,
}

impl<M: Model> Preprocessed<M> {
    /// Puts `step` before `model`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) that names everything the step gives and the model does
    /// not take.
    pub fn new(model: M, step: impl Preprocess) -> Result<Self> {
        let step = step.before(model.signature().inputs())?;
        let signature = whole(model.signature(), &step)?;
        Ok(Self { model, step, signature })
    }
}

fn whole(model: &Signature, step: &Step) -> Result<Signature> {
    let needed = model.inputs();
    let (takes, gives) = (step.signature().inputs(), step.signature().outputs());
    let mut mismatches = Mismatches::default();
    let mut rows = fit::keeps_rows(needed, model.outputs()) && fit::keeps_rows(takes, gives);
    for given in gives {
        let name = given.name();
        match fit::find(needed, name) {
            None => mismatches.push(format!(
                "{step} gives `{name}`, which the model does not take ({})",
                fit::names(needed)
            )),
            Some(needed) if !fit::may_feed(given, needed) => {
                mismatches.push(format!("{step} gives `{name}` as {given}, but the model takes {needed}"));
            }
            Some(needed) => rows &= fit::same_rows(given, needed),
        }
    }
    let passing: Vec<&TensorSpec> =
        needed.iter().filter(|spec| fit::find(gives, spec.name()).is_none()).collect();
    for spec in passing.iter().filter(|spec| fit::find(takes, spec.name()).is_some()) {
        mismatches.push(format!(
            "{step} takes `{}` and does not give it back, but the model takes it too",
            spec.name()
        ));
    }
    mismatches.into_result("the preprocessed model")?;
    fit::whole(takes.iter().chain(passing).cloned().collect(), model.outputs().to_vec(), rows)
}

#[async_trait]
impl<M: Model> Model for Preprocessed<M> {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, mut request: Request) -> Result<Response> {
        self.signature.check(&request.inputs)?;
        let started = Instant::now();
        request.inputs = self.step.apply(request.inputs)?;
        let elapsed = started.elapsed();
        let mut response = self.model.predict(request).await?;
        response.timings.compute = response.timings.compute.saturating_add(elapsed);
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

    fn before(inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<Signature> {
        let model = step(&[spec("a", 2), spec("b", 3), spec("c", 1).optional()], &[spec("y", 1)]).inline();
        Ok(Preprocessed::new(model, step(inputs, outputs))?.signature)
    }

    #[test]
    fn the_whole_takes_what_the_step_takes_and_what_passes_it() {
        let signature = before(&[spec("raw", 7)], &[spec("a", 2)]).unwrap();
        assert_eq!(signature.inputs(), [spec("raw", 7), spec("b", 3), spec("c", 1).optional()]);
        assert_eq!(signature.outputs(), [spec("y", 1)]);
    }

    #[test]
    fn every_mismatch_is_named() {
        let error = before(&[spec("b", 3)], &[spec("a", 5), spec("z", 1)]).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            "invalid input: the preprocessed model does not fit together: \
             step `s` gives `a` as FP32 [batch, 5], but the model takes FP32 [batch, 2]; \
             step `s` gives `z`, which the model does not take (there are `a`, `b`, `c`); \
             step `s` takes `b` and does not give it back, but the model takes it too"
        );
    }

    #[test]
    fn where_the_rows_do_not_run_through_there_is_no_batch() {
        let flat = TensorSpec::new("raw", DType::Fp32, [Dimension::Free, Dimension::Fixed(2)]);
        let signature = before(std::slice::from_ref(&flat), &[spec("a", 2)]).unwrap();
        assert!(signature.inputs().iter().chain(signature.outputs()).all(|spec| spec.batch_axis().is_none()));
        assert_eq!(signature.inputs()[0], flat);
    }
}
