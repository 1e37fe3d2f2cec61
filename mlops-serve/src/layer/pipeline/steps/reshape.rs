//! Another shape.

use mlops_core::{Dimension, Error, Result, Tensor, TensorSpec};

use crate::layer::pipeline::{Postprocess, Preprocess, Step, fit};

/// A tensor has another shape for callers than for the model, with the same elements in row-major order.
///
/// ```
/// use mlops_core::Dimension;
/// use mlops_serve::layer::pipeline::steps::Reshape;
///
/// // Before a model that takes [batch, 1, 28, 28]:
/// let sent = Reshape::new("pixels", [Dimension::Batch, Dimension::Fixed(784)]);
/// # let _ = sent;
/// ```
#[derive(Debug, Clone)]
pub struct Reshape {
    name: String,
    callers: Vec<Dimension>,
}

impl Reshape {
    /// The tensor of that name has the shape `callers` for callers. At most one free dimension can be found out by the
    /// number of elements, on the side that the data goes to.
    #[must_use]
    pub fn new(name: impl Into<String>, callers: impl IntoIterator<Item = impl Into<Dimension>>) -> Self {
        Self { name: name.into(), callers: callers.into_iter().map(Into::into).collect() }
    }

    /// The tensor as the model has it, and as callers have it.
    fn sides(&self, specs: &[TensorSpec]) -> Result<(TensorSpec, TensorSpec)> {
        let own = fit::require(specs, &self.name)?;
        Ok((own.clone(), fit::like(own, &self.name, own.dtype(), &self.callers)))
    }
}

impl Preprocess for Reshape {
    fn before(self, needed: &[TensorSpec]) -> Result<Step> {
        let (own, callers) = self.sides(needed)?;
        step(callers, own)
    }
}

impl Postprocess for Reshape {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        let (own, callers) = self.sides(given)?;
        step(own, callers)
    }
}

fn step(from: TensorSpec, to: TensorSpec) -> Result<Step> {
    let rows = from.batch_axis().filter(|_| to.batch_axis().is_some());
    let unknown = to.shape().iter().filter(|dimension| match dimension {
        Dimension::Fixed(_) => false,
        Dimension::Batch => rows.is_none(),
        Dimension::Free => true,
    });
    let known = |spec: &TensorSpec| {
        let lengths = spec.shape().iter().map(|dimension| match dimension {
            Dimension::Fixed(length) => Some(*length),
            Dimension::Batch => rows.map(|_| 1),
            Dimension::Free => None,
        });
        lengths
            .collect::<Option<Vec<usize>>>()
            .map(|lengths| lengths.into_iter().fold(1, usize::saturating_mul))
    };
    let contradiction = matches!((known(&from), known(&to)), (Some(from), Some(to)) if from != to);
    // Elements keep their order, so rows stay rows only where the same dimensions come before them.
    let until_rows = |spec: &TensorSpec| spec.batch_axis().map(|axis| spec.shape()[..axis].to_vec());
    let mixes_rows = rows.is_some() && until_rows(&from) != until_rows(&to);
    if contradiction || mixes_rows || unknown.count() > 1 {
        return Err(Error::invalid_input(format!(
            "`{}` cannot be reshaped from {from} to {to}",
            from.name()
        )));
    }
    let shape = to.shape().to_vec();
    Step::unary("reshape", from, to, move |tensor| {
        let rows = rows.and_then(|axis| tensor.shape().get(axis).copied());
        let lengths = lengths(&shape, rows, tensor.len());
        Ok(Tensor::reshape(tensor, &lengths)?)
    })
}

/// The lengths of `shape` for that many rows, if they are known, and elements.
fn lengths(shape: &[Dimension], rows: Option<usize>, elements: usize) -> Vec<usize> {
    let known = |dimension: &Dimension| match dimension {
        Dimension::Fixed(length) => Some(*length),
        Dimension::Batch => rows,
        Dimension::Free => None,
    };
    let others = shape.iter().filter_map(known).fold(1, usize::saturating_mul);
    let rest = elements.checked_div(others).unwrap_or(0);
    shape.iter().map(|dimension| known(dimension).unwrap_or(rest)).collect()
}

#[cfg(test)]
mod tests {
    use mlops_core::Dimension::{Batch, Fixed, Free};
    use mlops_core::{DType, Tensors};

    use super::*;

    fn before(callers: &[Dimension], own: &[Dimension]) -> Result<Step> {
        let own = TensorSpec::new("x", DType::Fp32, own.iter().copied());
        Reshape::new("x", callers.iter().copied()).before(&[own])
    }

    fn reshaped(step: Step, shape: &[usize]) -> Result<Vec<usize>> {
        let x = Tensor::from_vec(shape, vec![0.0_f32; shape.iter().product()])?;
        Ok(step.apply(Tensors::new().with("x", x))?.require("x")?.shape().to_vec())
    }

    #[test]
    fn one_unknown_length_is_found_out() {
        for (callers, own, given, expected) in [
            (&[Batch, Fixed(6)][..], &[Batch, Fixed(2), Fixed(3)][..], &[5, 6][..], &[5, 2, 3][..]),
            (&[Batch, Fixed(6)], &[Batch, Fixed(2), Fixed(3)], &[0, 6], &[0, 2, 3]),
            (&[Batch, Free], &[Batch, Fixed(2), Free], &[5, 6], &[5, 2, 3]),
            (&[Free], &[Batch, Fixed(3)], &[12], &[4, 3]),
            (&[Fixed(6)], &[Fixed(2), Fixed(3)], &[6], &[2, 3]),
        ] {
            assert_eq!(reshaped(before(callers, own).unwrap(), given).unwrap(), expected);
        }
    }

    #[test]
    fn shapes_that_cannot_hold_the_same_are_refused() {
        for (callers, own) in [
            (&[Batch, Fixed(6)][..], &[Batch, Fixed(2), Fixed(2)][..]),
            (&[Batch, Free], &[Batch, Free, Free]),
            (&[Fixed(6)], &[Batch, Free]),
            (&[Batch, Fixed(2)], &[Fixed(2), Batch]),
        ] {
            let error = before(callers, own).unwrap_err();
            assert!(error.to_string().contains("`x` cannot be reshaped from FP32 ["), "{error}");
        }
        let error = reshaped(before(&[Free], &[Batch, Fixed(3)]).unwrap(), &[7]).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
        assert!(
            error.to_string().contains("step `reshape(x)`: shape [2, 3] holds 6 elements, but 7 came"),
            "{error}"
        );
    }
}
