//! Columns around zero.

use mlops_core::{Dimension, Error, Result, Tensor, TensorSpec};

use super::real::{self, Real, in_place, with_real};
use crate::layer::pipeline::{Postprocess, Preprocess, Step, fit};

/// `(x - mean) / scale` for each column, as
/// [`StandardScaler`](https://scikit-learn.org/stable/modules/generated/sklearn.preprocessing.StandardScaler.html)
/// computes it; or its inverse, `x * scale + mean`.
///
/// Columns are the last dimension. A single mean and scale are for all of them, and for tensors without columns, whose
/// last dimension is the batch.
///
/// ```
/// use mlops_serve::layer::pipeline::steps::Standardize;
///
/// let before = Standardize::new("features", [41.3, 0.2], [11.7, 0.4]); // in the units that callers have
/// let after = Standardize::new("price", [250_000.0], [80_000.0]).inverse(); // back into those
/// # let _ = (before, after);
/// ```
#[derive(Debug, Clone)]
pub struct Standardize {
    name: String,
    means: Vec<f64>,
    scales: Vec<f64>,
    inverse: bool,
}

impl Standardize {
    /// One mean and one scale, usually the standard deviation, for each column of the tensor of that name.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        means: impl IntoIterator<Item = f64>,
        scales: impl IntoIterator<Item = f64>,
    ) -> Self {
        let (means, scales) = (means.into_iter().collect(), scales.into_iter().collect());
        Self { name: name.into(), means, scales, inverse: false }
    }

    /// The other way round: `x * scale + mean`.
    #[must_use]
    pub fn inverse(mut self) -> Self {
        self.inverse = !self.inverse;
        self
    }

    fn step(self, specs: &[TensorSpec]) -> Result<Step> {
        let Self { name, means, scales, inverse } = self;
        let spec = fit::require(specs, &name)?;
        real::check(spec)?;
        let refuse =
            |why: String| Err(Error::invalid_input(format!("`{name}` cannot be standardized: {why}")));
        if means.is_empty() || means.len() != scales.len() {
            return refuse(format!("there are {} means and {} scales", means.len(), scales.len()));
        }
        let impossible =
            |(mean, scale): (&f64, &f64)| !mean.is_finite() || !scale.is_finite() || *scale == 0.0;
        if let Some(column) = means.iter().zip(&scales).position(impossible) {
            let (mean, scale) = (means[column], scales[column]);
            return refuse(format!(
                "column {column} has mean {mean} and scale {scale}; both must be finite, and the scale not 0"
            ));
        }
        let columns = means.len();
        match spec.shape().last() {
            _ if columns == 1 => {}
            Some(Dimension::Free) => {}
            Some(Dimension::Fixed(length)) if *length == columns => {}
            _ => return refuse(format!("it is {spec}, and there are {columns} means")),
        }
        Step::unary("standardize", spec.clone(), fit::any_value(spec), move |tensor| {
            let length = tensor.shape().last().copied().unwrap_or(1);
            if columns != 1 && length != columns {
                return Err(Error::invalid_input(format!("there are {length} columns, expected {columns}")));
            }
            with_real!(tensor.dtype(), T => standardize::<T>(tensor, &means, &scales, inverse))
        })
    }
}

impl Preprocess for Standardize {
    fn before(self, needed: &[TensorSpec]) -> Result<Step> {
        self.step(needed)
    }
}

impl Postprocess for Standardize {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        self.step(given)
    }
}

fn standardize<T: Real>(tensor: Tensor, means: &[f64], scales: &[f64], inverse: bool) -> Result<Tensor> {
    in_place::<T>(tensor, |values| {
        for row in values.chunks_mut(means.len()) {
            for ((value, mean), scale) in row.iter_mut().zip(means).zip(scales) {
                let x = value.to_f64();
                *value = T::from_f64(if inverse { x * scale + mean } else { (x - mean) / scale });
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use half::f16;
    use mlops_core::{DType, Tensors};
    use proptest::prelude::*;

    use super::*;

    fn spec(shape: &[Dimension]) -> [TensorSpec; 1] {
        [TensorSpec::new("x", DType::Fp32, shape.iter().copied())]
    }

    fn run(step: Step, tensor: Tensor) -> Result<Tensor> {
        Ok(step.apply(Tensors::new().with("x", tensor))?.require("x")?.clone())
    }

    #[test]
    fn each_column_has_its_own_mean_and_scale() {
        let x = Tensor::from_vec(&[2, 2], vec![1.0_f32, 10.0, 3.0, 30.0]).unwrap();
        let step = Standardize::new("x", [1.0, 20.0], [2.0, 10.0]);
        let standard = run(step.before(&spec(&[Dimension::Batch, 2.into()])).unwrap(), x).unwrap();
        assert_eq!(standard.as_slice::<f32>().unwrap(), [0.0, -1.0, 1.0, 1.0]);
        let one = Standardize::new("x", [1.0], [2.0]).before(&spec(&[Dimension::Batch])).unwrap();
        assert_eq!(run(one, vec![5.0_f32].into()).unwrap().as_slice::<f32>().unwrap(), [2.0]);
    }

    #[test]
    fn half_precision_is_computed_in_double() {
        let half = [TensorSpec::new("x", DType::Fp16, [Dimension::Batch])];
        let step = Standardize::new("x", [60_000.0], [0.5]).after(&half).unwrap();
        let standard = run(step, vec![f16::from_f64(60_000.0)].into()).unwrap();
        assert_eq!(standard.as_slice::<f16>().unwrap(), [f16::ZERO]);
    }

    #[test]
    fn what_cannot_be_standardized_is_refused() {
        let two = spec(&[Dimension::Batch, 2.into()]);
        for (step, expected) in [
            (Standardize::new("x", [1.0; 3], [1.0; 3]), "it is FP32 [batch, 2], and there are 3 means"),
            (Standardize::new("x", [1.0; 2], [1.0; 1]), "there are 2 means and 1 scales"),
            (Standardize::new("x", [0.0, 1.0], [1.0, 0.0]), "column 1 has mean 1 and scale 0"),
            (Standardize::new("x", [f64::NAN], [1.0]), "column 0 has mean NaN"),
            (Standardize::new("y", [0.0], [1.0]), "there is no tensor `y`"),
        ] {
            let error = step.before(&two).unwrap_err();
            assert!(
                matches!(error, Error::InvalidInput(_)) && error.to_string().contains(expected),
                "{error}"
            );
        }
        let integers = [TensorSpec::new("x", DType::Int64, [1])];
        let error = Standardize::new("x", [0.0], [1.0]).before(&integers).unwrap_err().to_string();
        assert!(
            error.contains("tensor `x`: expected a floating-point tensor, not INT64; cast it first"),
            "{error}"
        );
        let free =
            Standardize::new("x", [0.0; 2], [1.0; 2]).before(&spec(&[Dimension::Batch, Dimension::Free]));
        let wide = Tensor::from_vec(&[1, 3], vec![0.0_f32; 3]).unwrap();
        let error = run(free.unwrap(), wide).unwrap_err().to_string();
        assert_eq!(error, "invalid input: step `standardize(x)`: there are 3 columns, expected 2");
    }

    proptest! {
        #[test]
        fn the_inverse_undoes_it(
            values in prop::collection::vec(-1.0e3_f64..1.0e3, 1..20), mean in -1.0e3..1.0e3, scale in 0.1..1.0e3,
        ) {
            let own = [TensorSpec::new("x", DType::Fp64, [Dimension::Batch])];
            let step = Standardize::new("x", [mean], [scale]);
            let there = run(step.clone().before(&own).unwrap(), values.clone().into()).unwrap();
            let back = run(step.inverse().after(&own).unwrap(), there).unwrap();
            for (back, value) in back.as_slice::<f64>().unwrap().iter().zip(&values) {
                prop_assert!((back - value).abs() < 1.0e-9, "{back} was {value}");
            }
        }
    }
}
