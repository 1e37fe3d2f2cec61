//! The best non-decreasing curve through points.

use serde::{Deserialize, Serialize};

use super::weights::Weights;
use super::{StatsError, require_finite, require_no_nan, require_same_length};

/// Isotonic regression: the non-decreasing function of `x` with the least squared distance from `y`.
///
/// The way to turn scores into probabilities when all that is known is that more is more likely: fit it with
/// labels 0 and 1 for `y`. Equal `x` are averaged first, violators are pooled (PAVA), and the curve runs
/// straight between what is left. Outside the range of `x` it is constant.
///
/// Fitting takes O(n log n), for the sort; predicting O(log thresholds) for each value. Sources: Barlow,
/// Bartholomew, Bremner & Brunk, *Statistical Inference under Order Restrictions*, 1972; Busing, "Monotone
/// regression: a simple and fast O(n) PAVA implementation", Journal of Statistical Software 102, 2022.
///
/// ```
/// use mlops_core::stats::IsotonicRegression;
///
/// let curve = IsotonicRegression::fit(&[1.0, 2.0, 3.0, 4.0], &[0.0, 1.0, 0.0, 1.0], None)?;
/// assert_eq!(curve.predict(&[0.0, 2.5, 3.5, 9.0])?, [0.0, 0.5, 0.75, 1.0]);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IsotonicRegression {
    /// Thresholds by ascending `x`, with the value there.
    thresholds: Vec<(f64, f64)>,
}

impl IsotonicRegression {
    /// Fits the curve. `weights` are one for each point, or 1 for all; points of weight 0 are left out.
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], [`StatsError::NotANumber`], and
    /// [`StatsError::InvalidParameter`] for a coordinate that is infinite, or weights that are negative, not
    /// finite, or all zero.
    pub fn fit(x: &[f64], y: &[f64], weights: Option<&[f64]>) -> Result<Self, StatsError> {
        require_same_length("y", x.len(), y.len())?;
        require_finite("x", x)?;
        require_finite("y", y)?;
        let weights = Weights::new(weights, x.len())?;
        let mut points: Vec<Point> = x
            .iter()
            .zip(y)
            .enumerate()
            .map(|(index, (&x, &y))| Point { x: x + 0.0, y, weight: weights.at(index) })
            .filter(|point| point.weight > 0.0)
            .collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));

        let distinct = average_ties(&points);
        let fitted = pool_violators(&distinct);
        let curve: Vec<(f64, f64)> = distinct.iter().map(|point| point.x).zip(fitted).collect();
        let is_bend = |index: usize| {
            let (Some(before), Some(after)) = (index.checked_sub(1), curve.get(index + 1)) else {
                return true;
            };
            curve[before].1 != curve[index].1 || after.1 != curve[index].1
        };
        let bends = curve.iter().enumerate().filter(|(index, _)| is_bend(*index));
        Ok(Self { thresholds: bends.map(|(_, &point)| point).collect() })
    }

    /// Where the curve bends: ascending `x`, each with the value of the curve there.
    #[must_use]
    pub fn thresholds(&self) -> &[(f64, f64)] {
        &self.thresholds
    }

    /// The value of the curve at each of `x`, infinities included.
    ///
    /// # Errors
    ///
    /// [`StatsError::NotANumber`].
    pub fn predict(&self, x: &[f64]) -> Result<Vec<f64>, StatsError> {
        require_no_nan("x", x)?;
        Ok(x.iter().map(|&x| self.at(x)).collect())
    }

    fn at(&self, x: f64) -> f64 {
        let above = self.thresholds.partition_point(|&(threshold, _)| threshold <= x);
        let below = above.checked_sub(1).and_then(|below| self.thresholds.get(below));
        match (below, self.thresholds.get(above)) {
            (Some(&(x0, y0)), Some(&(x1, y1))) => {
                let share = (x - x0) / (x1 - x0);
                (y0 + share * (y1 - y0)).max(y0).min(y1)
            }
            (Some(&(_, y)), None) | (None, Some(&(_, y))) => y,
            (None, None) => f64::NAN,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
    weight: f64,
}

/// One point for each distinct `x` of sorted points.
fn average_ties(points: &[Point]) -> Vec<Point> {
    points
        .chunk_by(|a, b| a.x == b.x)
        .map(|ties| {
            let weight = ties.iter().map(|point| point.weight).sum();
            let sum: f64 = ties.iter().map(|point| point.weight * point.y).sum();
            Point { x: ties[0].x, y: sum / weight, weight }
        })
        .collect()
}

/// The non-decreasing values nearest to those of `points`, by pooling adjacent violators.
fn pool_violators(points: &[Point]) -> Vec<f64> {
    struct Block {
        mean: f64,
        sum: f64,
        weight: f64,
        len: usize,
    }
    let mut blocks: Vec<Block> = Vec::new();
    let mut rest = points.iter().peekable();
    while let Some(point) = rest.next() {
        let mut block = Block { mean: point.y, sum: point.weight * point.y, weight: point.weight, len: 1 };
        while let Some(before) = blocks.pop_if(|before| before.mean >= block.mean) {
            block.sum += before.sum;
            block.weight += before.weight;
            block.len += before.len;
            block.mean = block.sum / block.weight;
            while let Some(next) = rest.next_if(|next| block.mean >= next.y) {
                block.sum += next.weight * next.y;
                block.weight += next.weight;
                block.len += 1;
                block.mean = block.sum / block.weight;
            }
        }
        blocks.push(block);
    }
    blocks.iter().flat_map(|block| std::iter::repeat_n(block.mean, block.len)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Points whose `x` often tie.
    fn points() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
        vec(((-9_i8..9).prop_map(f64::from), -5.0_f64..5.0), 1..60)
            .prop_map(|points| points.into_iter().unzip())
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(matches!(IsotonicRegression::fit(&[], &[], None), Err(StatsError::EmptySample { .. })));
        assert!(matches!(IsotonicRegression::fit(&[1.0], &[], None), Err(StatsError::LengthMismatch { .. })));
        let infinite = IsotonicRegression::fit(&[f64::INFINITY], &[1.0], None);
        assert!(matches!(infinite, Err(StatsError::InvalidParameter { .. })));
        let curve = IsotonicRegression::fit(&[1.0], &[2.0], None).unwrap();
        assert!(matches!(curve.predict(&[f64::NAN]), Err(StatsError::NotANumber { .. })));
        assert_eq!(curve.predict(&[-9.0, 1.0, f64::INFINITY]).unwrap(), [2.0; 3]);
    }

    proptest! {
        #[test]
        fn arbitrary_points_do_not_panic(
            points in vec((any::<f64>(), any::<f64>(), any::<f64>()), 0..30), query in vec(any::<f64>(), 0..30),
        ) {
            let x: Vec<f64> = points.iter().map(|point| point.0).collect();
            let y: Vec<f64> = points.iter().map(|point| point.1).collect();
            let weights: Vec<f64> = points.iter().map(|point| point.2).collect();
            for weights in [None, Some(weights.as_slice())] {
                if let Ok(curve) = IsotonicRegression::fit(&x, &y, weights) {
                    let _ = curve.predict(&query);
                }
            }
        }
    }

    #[test]
    fn a_weight_of_zero_is_no_point() {
        let weighted =
            IsotonicRegression::fit(&[1.0, 2.0, 3.0], &[1.0, -9.0, 2.0], Some(&[1.0, 0.0, 1.0])).unwrap();
        assert_eq!(weighted.thresholds(), [(1.0, 1.0), (3.0, 2.0)]);
    }

    proptest! {
        #[test]
        fn the_curve_never_falls((x, y) in points(), mut query in vec(-12.0_f64..12.0, 2..60)) {
            let curve = IsotonicRegression::fit(&x, &y, None).unwrap();
            query.sort_by(f64::total_cmp);
            prop_assert!(curve.predict(&query).unwrap().is_sorted());
            let (least, most) = y.iter().fold((f64::MAX, f64::MIN), |(a, b), &y| (a.min(y), b.max(y)));
            for value in curve.predict(&query).unwrap() {
                prop_assert!(least - 1e-9 <= value && value <= most + 1e-9);
            }
        }

        #[test]
        fn a_fitted_curve_is_its_own_fit((x, y) in points()) {
            let once = IsotonicRegression::fit(&x, &y, None).unwrap().predict(&x).unwrap();
            let twice = IsotonicRegression::fit(&x, &once, None).unwrap().predict(&x).unwrap();
            for (once, twice) in once.iter().zip(&twice) {
                prop_assert!((once - twice).abs() < 1e-9);
            }
        }

        #[test]
        fn the_mean_stays((x, y) in points()) {
            let fitted = IsotonicRegression::fit(&x, &y, None).unwrap().predict(&x).unwrap();
            prop_assert!((fitted.iter().sum::<f64>() - y.iter().sum::<f64>()).abs() < 1e-9);
        }

        #[test]
        fn no_other_monotone_curve_is_nearer((x, y) in points(), other in vec(-5.0_f64..5.0, 18)) {
            let mut other = other;
            other.sort_by(f64::total_cmp);
            let distance = |fitted: &[f64]| y.iter().zip(fitted).map(|(y, f)| (y - f).powi(2)).sum::<f64>();
            let fitted = IsotonicRegression::fit(&x, &y, None).unwrap().predict(&x).unwrap();
            let other: Vec<f64> = x.iter().map(|x| other[(x + 9.0) as usize]).collect();
            prop_assert!(distance(&fitted) <= distance(&other) + 1e-9);
        }
    }
}
