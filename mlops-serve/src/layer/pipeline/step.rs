//! A function over tensors that says what it takes and gives.

use std::fmt;
use std::sync::Arc;

use mlops_core::{Engine, Error, Result, Signature, Tensor, TensorSpec, Tensors};

use super::place::{caught, within};

/// A function over tensors that says what it takes and gives.
///
/// [`preprocessed`](crate::ServeExt::preprocessed) and [`postprocessed`](crate::ServeExt::postprocessed) put it before
/// or after a model, on the thread of the caller and without a future of its own. Tensors that it does not take pass
/// it by. It is an [`Engine`] too, so [`inline`](crate::EngineExt::inline) makes a model of it, for a
/// [`Graph`](super::Graph) for example.
///
/// The function owns the tensors it is given, so it can compute in their memory
/// ([`Tensor::into_array`]). It is only called with inputs that fit the signature; its outputs are checked, and a
/// panic is an error of that call. It is right for microseconds; what takes longer, or waits, is an engine on workers.
///
/// ```
/// use mlops_core::{DType, Dimension, Engine, Signature, Tensor, TensorSpec, Tensors};
/// use mlops_serve::layer::pipeline::Step;
///
/// let length = Step::new(
///     "length",
///     Signature::new(
///         [TensorSpec::new("text", DType::Bytes, [Dimension::Batch])],
///         [TensorSpec::new("length", DType::Int64, [Dimension::Batch])],
///     )?,
///     |tensors| {
///         let lengths: Vec<i64> = tensors.require("text")?.byte_strings()?.map(|text| text.len() as i64).collect();
///         Ok(Tensors::new().with("length", lengths))
///     },
/// );
/// let outputs = length.run(&Tensors::new().with("text", Tensor::from_byte_strings(&[2], ["Oslo", "Rom"])?))?;
/// assert_eq!(outputs.require("length")?.as_slice::<i64>()?, [4, 3]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Step {
    name: Arc<str>,
    signature: Signature,
    takes: Arc<[Arc<str>]>,
    function: Arc<Function>,
}

type Function = dyn Fn(Tensors) -> Result<Tensors> + Send + Sync;

impl Step {
    /// `function` takes and gives what `signature` says. Errors name the step.
    pub fn new(
        name: impl Into<Arc<str>>,
        signature: Signature,
        function: impl Fn(Tensors) -> Result<Tensors> + Send + Sync + 'static,
    ) -> Self {
        let takes = signature.inputs().iter().map(|spec| spec.name().into()).collect();
        Self { name: name.into(), signature, takes, function: Arc::new(function) }
    }

    /// A step from one tensor to one tensor, called `kind(name of the input)`. Where the input is optional, so must be
    /// the output.
    pub(super) fn unary(
        kind: &str,
        from: TensorSpec,
        to: TensorSpec,
        function: impl Fn(Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Self> {
        let name = format!("{kind}({})", from.name());
        let (taken, given): (Arc<str>, Arc<str>) = (from.name().into(), to.name().into());
        Ok(Self::new(name, Signature::new([from], [to])?, move |mut tensors| match tensors.remove(&taken) {
            Some(tensor) => Ok(Tensors::new().with(Arc::clone(&given), function(tensor)?)),
            None => Ok(tensors),
        }))
    }

    /// What errors call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes its inputs out of `tensors` and puts its outputs in. The inputs are known to fit.
    pub(super) fn apply(&self, mut tensors: Tensors) -> Result<Tensors> {
        let taken = self.take(&mut tensors);
        self.finish(taken, tensors)
    }

    /// As [`apply`](Self::apply), after a look at the inputs.
    pub(super) fn check_and_apply(&self, mut tensors: Tensors) -> Result<Tensors> {
        let taken = self.take(&mut tensors);
        self.signature.check(&taken).map_err(|violations| {
            Error::engine(format!("{self} cannot take what the model gave: {violations}"))
                .with_source(violations)
        })?;
        self.finish(taken, tensors)
    }

    fn take(&self, tensors: &mut Tensors) -> Tensors {
        self.takes.iter().filter_map(|name| Some((Arc::clone(name), tensors.remove(name)?))).collect()
    }

    fn finish(&self, taken: Tensors, mut others: Tensors) -> Result<Tensors> {
        let given = self.compute(taken)?;
        if others.is_empty() {
            return Ok(given);
        }
        for (name, tensor) in given {
            others.insert(name, tensor);
        }
        Ok(others)
    }

    fn compute(&self, inputs: Tensors) -> Result<Tensors> {
        let outputs = caught(|| (self.function)(inputs)).map_err(|error| within(error, self))?;
        self.signature.check_outputs(&outputs).map_err(|violations| {
            Error::engine(format!("{self} breaks its signature: {violations}")).with_source(violations)
        })?;
        Ok(outputs)
    }
}

impl Engine for Step {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        self.compute(inputs.clone())
    }
}

/// ``step `name` ``
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step `{}`", self.name)
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("name", &self.name)
            .field("signature", &self.signature)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{DType, Dimension};

    use super::*;

    fn step(function: impl Fn(Tensors) -> Result<Tensors> + Send + Sync + 'static) -> Step {
        let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
        Step::new("odd", Signature::new([spec("x")], [spec("y")]).unwrap(), function)
    }

    fn inputs() -> Tensors {
        Tensors::new().with("other", vec![1_u8]).with("x", vec![1.0_f32])
    }

    #[test]
    fn what_it_does_not_take_passes_it_by() {
        let step = step(|mut tensors| Ok(Tensors::new().with("y", tensors.remove("x").unwrap())));
        let tensors = step.apply(inputs()).unwrap();
        assert_eq!(tensors, Tensors::new().with("other", vec![1_u8]).with("y", vec![1.0_f32]));
    }

    #[test]
    fn a_function_may_compute_in_the_memory_it_is_given() {
        let x = Tensor::from(vec![1.0_f32, 2.0]);
        let address = x.as_bytes().as_ptr();
        let step = step(|mut tensors| {
            let mut array = tensors.remove("x").unwrap().into_array::<f32>()?;
            array.mapv_inplace(|x| 2.0 * x);
            Ok(Tensors::new().with("y", array))
        });
        let tensors = step.apply(Tensors::new().with("x", x)).unwrap();
        let y = tensors.get("y").unwrap();
        assert_eq!((y.as_slice::<f32>().unwrap(), y.as_bytes().as_ptr()), (&[2.0, 4.0][..], address));
    }

    #[test]
    fn errors_panics_and_wrong_outputs_name_the_step() {
        let message = |step: Step| step.apply(inputs()).unwrap_err().to_string();
        assert_eq!(
            message(step(|_| Err(Error::invalid_input("no such word")))),
            "invalid input: step `odd`: no such word"
        );
        assert_eq!(message(step(|_| panic!("oh"))), "engine failed: step `odd`: the model panicked: oh");
        assert_eq!(
            message(step(|_| Ok(Tensors::new()))),
            "engine failed: step `odd` breaks its signature: output `y` is missing (expected FP32 [batch])"
        );
        let wrong = Tensors::new().with("x", vec![1_u8]);
        let error = step(Ok).check_and_apply(wrong).unwrap_err();
        assert!(matches!(error, Error::Engine { .. }), "{error:?}");
        assert!(
            error.to_string().contains("step `odd` cannot take what the model gave: input `x` has data type")
        );
    }
}
