//! Weights of observations.

use super::{StatsError, invalid, require_same_length};

/// One weight for each of `n` observations, or 1 for all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'a>(Option<&'a [f64]>);

impl<'a> Weights<'a> {
    /// Accepts finite, non-negative weights that are not all zero.
    pub(super) fn new(weights: Option<&'a [f64]>, n: usize) -> Result<Self, StatsError> {
        let Some(values) = weights else { return Ok(Self(None)) };
        require_same_length("weights", n, values.len())?;
        if let Some(weight) = values.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
            return Err(invalid("weights", format!("{weight} is not a non-negative finite number")));
        }
        if values.iter().all(|&weight| weight == 0.0) {
            return Err(invalid("weights", "all weights are zero: at least one must be positive"));
        }
        Ok(Self(weights))
    }

    pub(super) fn at(self, index: usize) -> f64 {
        self.0.and_then(|weights| weights.get(index)).copied().unwrap_or(1.0)
    }

    /// Weighted mean of one value for each observation.
    pub(super) fn mean(self, values: impl Iterator<Item = f64>) -> f64 {
        let (sum, total) = values
            .enumerate()
            .map(|(index, value)| (self.at(index) * value, self.at(index)))
            .fold((0.0, 0.0), |(sum, total), (value, weight)| (sum + value, total + weight));
        sum / total
    }
}
