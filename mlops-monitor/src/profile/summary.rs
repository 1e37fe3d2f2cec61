//! Four numbers about a feature.

use serde::{Deserialize, Serialize};

/// What the finite values of a feature are like, in its own unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The standard deviation of the sample, with n − 1; 0 for a single value.
    pub std: f64,
}

impl Summary {
    /// Describes finite values; `None` without any. Computed in units of the largest magnitude, so that
    /// nothing overflows.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let unit = min.abs().max(max.abs());
        if unit == 0.0 {
            return Some(Self { min, max, mean: 0.0, std: 0.0 });
        }
        let count = values.len() as f64;
        let mean = values.iter().map(|value| value / unit).sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value / unit - mean).powi(2)).sum();
        let std = (squares / (count - 1.0).max(1.0)).sqrt();
        Some(Self { min, max, mean: (mean * unit).clamp(min, max), std: (std * unit).min(f64::MAX) })
    }

    /// Whether these can be the numbers of any feature.
    pub(crate) fn is_sound(&self) -> bool {
        self.min <= self.mean
            && self.mean <= self.max
            && 0.0 <= self.std
            && [self.min, self.max, self.std].iter().all(|number| number.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_extreme_values() {
        let summary = Summary::of(&[2.0, 4.0, 4.0, 6.0]).unwrap();
        assert_eq!((summary.min, summary.max, summary.mean), (2.0, 6.0, 4.0));
        assert!((summary.std - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        for values in [&[f64::MAX, -f64::MAX][..], &[5e-324], &[0.0, -0.0], &[f64::MAX; 5]] {
            assert!(Summary::of(values).unwrap().is_sound(), "{values:?}");
        }
        assert_eq!(Summary::of(&[]), None);
    }
}
