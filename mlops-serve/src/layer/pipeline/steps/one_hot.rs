//! From numbers to rows with a single one.

use mlops_core::{DType, Dimension, Error, Result, Tensor, TensorSpec};

use crate::layer::pipeline::{Preprocess, Step, fit};

/// A number `i` (INT64) becomes a row (FP32) of as many zeros as there are categories, with a 1 at place `i`.
///
/// A number that is no category is [`Error::InvalidInput`], or all zeros by choice.
///
/// ```
/// use mlops_serve::layer::pipeline::steps::OneHot;
///
/// // Before a model that takes `color` as FP32 [batch, 3], callers send INT64 [batch]:
/// let color = OneHot::new("color", 3);
/// # let _ = color;
/// ```
#[derive(Debug, Clone)]
pub struct OneHot {
    name: String,
    categories: usize,
    ignores_unknown: bool,
}

impl OneHot {
    /// The tensor of that name holds numbers from 0 to `categories - 1` for callers.
    #[must_use]
    pub fn new(name: impl Into<String>, categories: usize) -> Self {
        Self { name: name.into(), categories, ignores_unknown: false }
    }

    /// A number that is no category becomes a row of zeros.
    #[must_use]
    pub fn ignoring_unknown(mut self) -> Self {
        self.ignores_unknown = true;
        self
    }

    fn encode(&self, numbers: &Tensor) -> Result<Tensor> {
        let shape: Vec<usize> = numbers.shape().iter().copied().chain([self.categories]).collect();
        let numbers = numbers.as_slice::<i64>()?;
        let mut rows = vec![0.0_f32; numbers.len() * self.categories];
        for ((index, number), row) in numbers.iter().enumerate().zip(rows.chunks_exact_mut(self.categories)) {
            match usize::try_from(*number).ok().and_then(|number| row.get_mut(number)) {
                Some(place) => *place = 1.0,
                None if self.ignores_unknown => {}
                None => {
                    let last = self.categories - 1;
                    return Err(Error::invalid_input(format!(
                        "element {index} is {number}, not one of 0 to {last}"
                    )));
                }
            }
        }
        Ok(Tensor::from_vec(&shape, rows)?)
    }
}

impl Preprocess for OneHot {
    fn before(self, needed: &[TensorSpec]) -> Result<Step> {
        let needed = fit::require(needed, &self.name)?;
        let Some((Dimension::Fixed(_) | Dimension::Free, rows)) = needed.shape().split_last() else {
            return Err(Error::invalid_input(format!(
                "`{}` ({needed}) has no columns for categories",
                self.name
            )));
        };
        if self.categories == 0 {
            return Err(Error::invalid_input(format!("`{}` has no categories", self.name)));
        }
        let columns: Vec<Dimension> = rows.iter().copied().chain([self.categories.into()]).collect();
        let numbers = fit::like(needed, &self.name, DType::Int64, rows);
        let encoded = fit::like(needed, &self.name, DType::Fp32, &columns);
        Step::unary("one_hot", numbers, encoded, move |numbers| self.encode(&numbers))
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{Engine, Tensors};

    use super::*;

    fn run(one_hot: OneHot, numbers: Vec<i64>) -> Result<Tensor> {
        let needed = [TensorSpec::new("color", DType::Fp32, [Dimension::Batch, Dimension::Free])];
        let step = one_hot.before(&needed)?;
        assert_eq!(step.signature().inputs()[0].to_string(), "INT64 [batch]");
        Ok(step.apply(Tensors::new().with("color", numbers))?.require("color")?.clone())
    }

    #[test]
    fn each_number_has_its_place() {
        let rows = Tensor::from_vec(&[2, 3], vec![0.0_f32, 0.0, 1.0, 1.0, 0.0, 0.0]).unwrap();
        assert_eq!(run(OneHot::new("color", 3), vec![2, 0]).unwrap(), rows);
        for number in [3, -1] {
            let error = run(OneHot::new("color", 3), vec![0, number]).unwrap_err();
            assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
            assert!(
                error.to_string().contains(&format!("element 1 is {number}, not one of 0 to 2")),
                "{error}"
            );
            let ignored = run(OneHot::new("color", 2).ignoring_unknown(), vec![number]).unwrap();
            assert_eq!(ignored.as_slice::<f32>().unwrap(), [0.0, 0.0]);
        }
    }

    #[test]
    fn no_columns_and_no_categories_are_refused() {
        let flat = [TensorSpec::new("color", DType::Fp32, [Dimension::Batch])];
        assert!(OneHot::new("color", 3).before(&flat).is_err());
        assert!(run(OneHot::new("color", 0), vec![]).is_err());
    }
}
