//! Some numbers about a feature.

use serde::{Deserialize, Serialize};

use super::runs::Runs;

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
    /// How many values are 0.
    pub zeros: u64,
    /// How many distinct values there are; `None` if they were too many to keep them apart.
    pub distinct: Option<u64>,
}

impl Summary {
    /// Describes a sample; `None` without any value. Computed in units of the largest magnitude, so that nothing
    /// overflows.
    pub(super) fn of(runs: &Runs) -> Option<Self> {
        let values = runs.as_slice();
        let (&(min, _), &(max, _)) = (values.first()?, values.last()?);
        let zeros = values.binary_search_by(|(value, _)| value.total_cmp(&0.0)).map_or(0, |at| values[at].1);
        let unit = min.abs().max(max.abs());
        let distinct = Some(values.len() as u64);
        if unit == 0.0 {
            return Some(Self { min, max, mean: 0.0, std: 0.0, zeros, distinct });
        }
        let count = runs.total() as f64;
        let mean = values.iter().map(|(value, n)| value / unit * *n as f64).sum::<f64>() / count;
        let squares: f64 = values.iter().map(|(value, n)| (value / unit - mean).powi(2) * *n as f64).sum();
        let std = (squares / (count - 1.0).max(1.0)).sqrt();
        let (mean, std) = ((mean * unit).clamp(min, max), (std * unit).min(f64::MAX));
        Some(Self { min, max, mean, std, zeros, distinct })
    }

    /// Whether these can be the numbers of any feature.
    pub(crate) fn is_sound(&self) -> bool {
        self.min <= self.mean
            && self.mean <= self.max
            && 0.0 <= self.std
            && [self.min, self.max, self.std].iter().all(|number| number.is_finite())
    }
}

/// The moments of any number of values (Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for
/// computing sample variances", 1979).
#[derive(Debug, Clone, Default)]
pub(super) struct Moments {
    count: u64,
    zeros: u64,
    min: f64,
    max: f64,
    mean: f64,
    /// The sum of the squared deviations from the mean.
    squares: f64,
}

impl Moments {
    /// Adds values.
    pub(super) fn add(&mut self, runs: &Runs) {
        if let Some(Summary { min, max, mean, std, zeros, .. }) = Summary::of(runs) {
            let count = runs.total();
            let squares = std * std * count.saturating_sub(1) as f64;
            self.merge(&Self { count, zeros, min, max, mean, squares });
        }
    }

    /// Adds what others were made of.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.count == 0 || other.count == 0 {
            if self.count == 0 {
                *self = other.clone();
            }
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let (step, share) = (other.mean - self.mean, m / (n + m));
        self.mean += step * share;
        self.squares += other.squares + step * step * n * share;
        self.count += other.count;
        self.zeros += other.zeros;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// What the values are like; `None` without any, or when they are so large that their squares overflow.
    pub(super) fn summary(&self) -> Option<Summary> {
        let Self { count, zeros, min, max, mean, squares } = *self;
        let std = (squares / count.saturating_sub(1).max(1) as f64).sqrt();
        let sound = count > 0 && mean.is_finite() && std.is_finite();
        sound.then(|| Summary { min, max, mean: mean.clamp(min, max), std, zeros, distinct: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_extreme_values() {
        let summary = Summary::of(&Runs::of(vec![2.0, 4.0, 4.0, 6.0])).unwrap();
        assert_eq!((summary.min, summary.max, summary.mean), (2.0, 6.0, 4.0));
        assert!((summary.std - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        for values in [&[f64::MAX, -f64::MAX][..], &[5e-324], &[0.0, -0.0], &[f64::MAX; 5]] {
            assert!(Summary::of(&Runs::of(values.to_vec())).unwrap().is_sound(), "{values:?}");
        }
        assert_eq!(Summary::of(&Runs::default()), None);
        assert_eq!((summary.zeros, summary.distinct), (0, Some(3)));
        assert_eq!(Summary::of(&Runs::of(vec![-0.0, 1.0, 0.0])).unwrap().zeros, 2);
    }

    #[test]
    fn moments_of_parts_are_those_of_all() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i % 37) * 1e6 + 1e9).collect();
        let mut moments = Moments::default();
        values.chunks(77).for_each(|part| moments.add(&Runs::of(part.to_vec())));
        let (all, summary) = (Summary::of(&Runs::of(values)).unwrap(), moments.summary().unwrap());
        assert_eq!((summary.min, summary.max), (all.min, all.max));
        assert!((summary.mean / all.mean - 1.0).abs() < 1e-12 && (summary.std / all.std - 1.0).abs() < 1e-9);

        let mut extreme = Moments::default();
        extreme.add(&Runs::of(vec![f64::MAX]));
        extreme.add(&Runs::of(vec![-f64::MAX]));
        assert_eq!(extreme.summary(), None);
    }
}
