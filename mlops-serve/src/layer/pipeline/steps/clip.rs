//! Values within bounds.

use mlops_core::{Error, Result, TensorSpec};

use super::real::{self, Real, in_place, with_real};
use crate::layer::pipeline::{Postprocess, Preprocess, Step, fit};

/// `min(max(x, lowest), highest)` for each element. NaN stays NaN.
///
/// ```
/// use mlops_serve::layer::pipeline::steps::Clip;
///
/// let probability = Clip::new("score", 0.0, 1.0);
/// let not_negative = Clip::new("demand", 0.0, f64::INFINITY);
/// # let _ = (probability, not_negative);
/// ```
#[derive(Debug, Clone)]
pub struct Clip {
    name: String,
    lowest: f64,
    highest: f64,
}

impl Clip {
    /// The elements of the tensor of that name are at least `lowest` and at most `highest`. An infinite bound is none.
    #[must_use]
    pub fn new(name: impl Into<String>, lowest: f64, highest: f64) -> Self {
        Self { name: name.into(), lowest, highest }
    }

    fn step(self, specs: &[TensorSpec]) -> Result<Step> {
        let Self { name, lowest, highest } = self;
        let spec = fit::require(specs, &name)?;
        real::check(spec)?;
        if lowest.is_nan() || highest.is_nan() || lowest > highest {
            return Err(Error::invalid_input(format!("`{name}` cannot be clipped to {lowest}..={highest}")));
        }
        Step::unary("clip", spec.clone(), fit::any_value(spec), move |tensor| {
            with_real!(tensor.dtype(), T => in_place::<T>(tensor, |values| {
                for value in values {
                    *value = T::from_f64(value.to_f64().clamp(lowest, highest));
                }
            }))
        })
    }
}

impl Preprocess for Clip {
    fn before(self, needed: &[TensorSpec]) -> Result<Step> {
        self.step(needed)
    }
}

impl Postprocess for Clip {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        self.step(given)
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{DType, Dimension, Tensors};

    use super::*;

    #[test]
    fn values_stay_within_their_bounds() {
        let spec = [TensorSpec::new("x", DType::Fp32, [Dimension::Batch])];
        let clip = |lowest, highest| {
            let x = vec![-2.0_f32, 0.5, f32::INFINITY, f32::NAN];
            let step = Clip::new("x", lowest, highest).after(&spec).unwrap();
            step.apply(Tensors::new().with("x", x))
                .unwrap()
                .require("x")
                .unwrap()
                .as_slice::<f32>()
                .unwrap()
                .to_vec()
        };
        assert_eq!(clip(-1.0, 1.0)[..3], [-1.0_f32, 0.5, 1.0]);
        assert_eq!(clip(0.0, f64::INFINITY)[..3], [0.0, 0.5, f32::INFINITY]);
        assert!(clip(0.0, 1.0)[3].is_nan());
        for (lowest, highest) in [(1.0, 0.0), (f64::NAN, 1.0)] {
            assert!(matches!(Clip::new("x", lowest, highest).after(&spec), Err(Error::InvalidInput(_))));
        }
    }
}
