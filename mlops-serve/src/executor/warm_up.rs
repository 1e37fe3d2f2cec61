//! Sample inputs for the calls before the first request.

use std::time::Duration;

use mlops_core::{DType, Dimension, Engine, Error, Instant, Result, Signature, Tensor, TensorSpec, Tensors};

use super::compute;

/// What to run an engine on before its first request: zeros in the shapes of its signature, inputs of your
/// own, or both.
///
/// Kernels of a GPU are compiled and tuned per shape or range of shapes, so warm up with the batch sizes
/// that will come.
///
/// ```
/// use mlops_core::Tensors;
/// use mlops_serve::WarmUp;
///
/// let zeros = WarmUp::batches([1, 8, 32]).with_free_size(128).with_free_axis("image", 2, 224);
/// let own = WarmUp::inputs([Tensors::new().with("x", vec![0.5_f32, 1.5])]).with_rounds(3);
/// # let _ = (zeros, own);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct WarmUp {
    batches: Vec<usize>,
    free_size: usize,
    free_axes: Vec<(String, usize, usize)>,
    inputs: Vec<Tensors>,
    rounds: usize,
}

impl WarmUp {
    /// Zeros for every required input, once for each of these batch sizes. Free dimensions have size 1
    /// unless said otherwise. Byte strings are empty.
    pub fn batches(sizes: impl IntoIterator<Item = usize>) -> Self {
        Self {
            batches: sizes.into_iter().collect(),
            free_size: 1,
            free_axes: Vec::new(),
            inputs: Vec::new(),
            rounds: 1,
        }
    }

    /// These inputs, one call each: for engines that do something else when everything is zero.
    pub fn inputs(inputs: impl IntoIterator<Item = Tensors>) -> Self {
        Self::batches([]).with_inputs(inputs)
    }

    /// These inputs, too.
    pub fn with_inputs(mut self, inputs: impl IntoIterator<Item = Tensors>) -> Self {
        self.inputs.extend(inputs);
        self
    }

    /// The size of every free dimension.
    pub fn with_free_size(mut self, size: usize) -> Self {
        self.free_size = size;
        self
    }

    /// The size of one free dimension: that axis, counted from 0, of the input of that name.
    pub fn with_free_axis(mut self, input: impl Into<String>, axis: usize, size: usize) -> Self {
        self.free_axes.push((input.into(), axis, size));
        self
    }

    /// How many times everything is run; once unless said otherwise.
    pub fn with_rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Runs it all and says how long it took.
    pub(super) fn run(&self, engine: &impl Engine) -> Result<Duration> {
        self.run_with(engine.signature(), |inputs| compute(engine, inputs).map(drop))
    }

    /// Calls `run` with every sample for that signature, as often as there are rounds, and says how long it took.
    pub(crate) fn run_with(
        &self,
        signature: &Signature,
        mut run: impl FnMut(&Tensors) -> Result<()>,
    ) -> Result<Duration> {
        let samples = self.samples(signature)?;
        let started = Instant::now();
        for _ in 0..self.rounds {
            samples.iter().try_for_each(&mut run)?;
        }
        Ok(started.elapsed())
    }

    /// The inputs of one round.
    pub(super) fn samples(&self, signature: &Signature) -> Result<Vec<Tensors>> {
        for (name, axis, _) in &self.free_axes {
            let spec = signature.inputs().iter().find(|spec| spec.name() == name);
            if spec.and_then(|spec| spec.shape().get(*axis)) != Some(&Dimension::Free) {
                let what =
                    format!("the warm-up sizes axis {axis} of input `{name}`, which is no free dimension");
                return Err(Error::invalid_input(what));
            }
        }
        let mut samples = Vec::with_capacity(self.batches.len() + self.inputs.len());
        for &batch in &self.batches {
            let required = signature.inputs().iter().filter(|spec| !spec.is_optional());
            samples.push(
                required
                    .map(|spec| Ok((spec.name(), self.zeros(spec, batch)?)))
                    .collect::<Result<Tensors>>()?,
            );
        }
        samples.extend(self.inputs.iter().cloned());
        for inputs in &samples {
            signature.check(inputs)?;
        }
        Ok(samples)
    }

    fn zeros(&self, spec: &TensorSpec, batch: usize) -> Result<Tensor> {
        let sized = |(axis, dimension): (usize, &Dimension)| match dimension {
            Dimension::Fixed(size) => *size,
            Dimension::Batch => batch,
            Dimension::Free => {
                let named = |(name, at, _): &&(String, usize, usize)| name == spec.name() && *at == axis;
                self.free_axes.iter().rev().find(named).map_or(self.free_size, |(_, _, size)| *size)
            }
        };
        let shape: Vec<usize> = spec.shape().iter().enumerate().map(sized).collect();
        let elements = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        let bytes = elements.and_then(|elements| elements.checked_mul(spec.dtype().size().unwrap_or(4)));
        let mut zeros = Vec::new();
        let (Some(elements), Some(bytes), Ok(())) =
            (elements, bytes, zeros.try_reserve_exact(bytes.unwrap_or(usize::MAX)))
        else {
            let name = spec.name();
            return Err(Error::invalid_input(format!(
                "the warm-up's `{name}` of shape {shape:?} is too large"
            )));
        };
        let zeros = if spec.dtype() == DType::Bytes {
            Tensor::from_byte_strings(&shape, std::iter::repeat_n("", elements))
        } else {
            zeros.resize(bytes, 0_u8);
            Tensor::from_bytes(spec.dtype(), &shape, zeros)
        };
        Ok(zeros?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> Signature {
        let spec = |name, dtype, shape: [Dimension; 2]| TensorSpec::new(name, dtype, shape);
        Signature::new(
            [
                spec("tokens", DType::Int64, [Dimension::Batch, Dimension::Free]),
                spec("text", DType::Bytes, [Dimension::Batch, Dimension::Fixed(1)]),
                spec("mask", DType::Bool, [Dimension::Batch, Dimension::Free]).optional(),
            ],
            [spec("y", DType::Fp32, [Dimension::Batch, Dimension::Fixed(1)])],
        )
        .unwrap()
    }

    #[test]
    fn zeros_are_made_of_the_signature() {
        let warm_up = WarmUp::batches([1, 4]).with_free_size(3).with_free_axis("tokens", 1, 7);
        let samples = warm_up.samples(&signature()).unwrap();
        let shapes =
            |inputs: &Tensors| inputs.iter().map(|(_, tensor)| tensor.shape().to_vec()).collect::<Vec<_>>();
        assert_eq!(shapes(&samples[0]), [[1, 7], [1, 1]]);
        assert_eq!(shapes(&samples[1]), [[4, 7], [4, 1]]);
        assert_eq!(
            samples[0].names().collect::<Vec<_>>(),
            ["tokens", "text"],
            "an optional input stays away"
        );
        assert_eq!(samples[1].require("text").unwrap().strings().unwrap(), [""; 4]);
    }

    #[test]
    fn samples_that_cannot_be_are_refused() {
        for (warm_up, expected) in [
            (
                WarmUp::batches([1]).with_free_axis("tokens", 0, 2),
                "axis 0 of input `tokens`, which is no free",
            ),
            (
                WarmUp::batches([1]).with_free_axis("tokens", 9, 2),
                "axis 9 of input `tokens`, which is no free",
            ),
            (WarmUp::batches([1]).with_free_axis("x", 1, 2), "axis 1 of input `x`, which is no free"),
            (WarmUp::batches([usize::MAX]).with_free_size(2), "is too large"),
            (WarmUp::inputs([Tensors::new().with("x", vec![1_u8])]), "`x`"),
        ] {
            let error = warm_up.samples(&signature()).unwrap_err();
            assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
