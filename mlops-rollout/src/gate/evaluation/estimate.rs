//! A figure and how far it may be from the truth.

use mlops_core::stats::{
    BinomialSample, ConfusionMatrix, Interval, ProportionIntervalMethod, StatsError, TTest,
    TwoProportionIntervalMethod, proportion_interval, two_proportion_interval,
};

use super::measure::{OfMatrix, of_matrix, share_of};
use super::{Evaluation, Metric, Unmeasured, resample};

/// An estimate that has confidence intervals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::gate) enum Estimate {
    /// With a standard error: a mean, or a figure whose standard error comes from redrawn rows.
    Normal(TTest),
    /// A share of rows. Its interval is Wilson's.
    Share(BinomialSample),
    /// The first share minus the second, of different rows. Its interval is Newcombe's.
    Shares(BinomialSample, BinomialSample),
}

/// Where an interval lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Side {
    Below,
    Above,
}

impl Estimate {
    /// The metric of these rows.
    pub(in crate::gate) fn of(rows: &Evaluation, metric: Metric) -> Result<Self, Unmeasured> {
        let value = rows.measure(metric)?;
        if let (Some(figure), Some((labels, decisions))) = (of_matrix(metric), rows.binary_rows(metric)) {
            let matrix = ConfusionMatrix::new(&labels, &decisions, None)?;
            return match share_of(metric, &matrix) {
                Some(share) => Ok(Self::Share(share)),
                None => Self::of_decisions(value, &matrix, figure),
            };
        }
        if let Some(scores) = rows.row_scores(metric)? {
            return Self::of_mean(&scores);
        }
        let again = |picked: &[usize]| rows.select(picked).measure(metric).ok();
        Ok(Self::normal(value, resample::rows(rows.rows(), again)?, rows.rows()))
    }

    fn of_decisions(value: f64, matrix: &ConfusionMatrix, figure: OfMatrix) -> Result<Self, Unmeasured> {
        let ConfusionMatrix { true_negatives, false_positives, false_negatives, true_positives } = *matrix;
        let cells = [true_negatives, false_positives, false_negatives, true_positives];
        let again = |cells: &[f64; 4]| figure(&matrix_of(*cells)).ok();
        Ok(Self::normal(value, resample::cells(cells, again)?, matrix.total() as usize))
    }

    /// The mean of independent values: Student's t with n - 1 degrees of freedom.
    pub(super) fn of_mean(values: &[f64]) -> Result<Self, Unmeasured> {
        if values.len() < 2 {
            return Err(Unmeasured::TooLittle("undefined: one row has no variance".to_owned()));
        }
        let (mean, variance) = resample::mean_and_variance(values);
        if !mean.is_finite() || !variance.is_finite() {
            return Err(Unmeasured::Bad("the predictions are too large to compare".to_owned()));
        }
        Ok(Self::normal(mean, (variance / values.len() as f64).sqrt(), values.len()))
    }

    pub(super) fn normal(value: f64, standard_error: f64, rows: usize) -> Self {
        let dof = rows.saturating_sub(1).max(1) as f64;
        Self::Normal(TTest { difference: value, standard_error, statistic: value / standard_error, dof })
    }

    pub(in crate::gate) fn value(&self) -> f64 {
        match self {
            Self::Normal(test) => test.difference,
            Self::Share(share) => share.proportion(),
            Self::Shares(first, second) => first.proportion() - second.proportion(),
        }
    }

    /// The two-sided interval at `confidence`.
    pub(in crate::gate) fn interval(&self, confidence: f64) -> Result<Interval, StatsError> {
        match self {
            Self::Normal(test) => test.interval(confidence),
            Self::Share(share) => proportion_interval(*share, confidence, ProportionIntervalMethod::Wilson),
            Self::Shares(first, second) => {
                two_proportion_interval(*first, *second, confidence, TwoProportionIntervalMethod::Newcombe)
            }
        }
    }

    /// On which side of `bound` the whole interval lies, its ends included; `None` when `bound` is inside.
    pub(in crate::gate) fn side_of(&self, bound: f64, confidence: f64) -> Result<Option<Side>, StatsError> {
        let interval = self.interval(confidence)?;
        Ok(if interval.lower > bound {
            Some(Side::Above)
        } else if interval.upper < bound {
            Some(Side::Below)
        } else {
            None
        })
    }

    /// The p-value of lying on that side of `bound`: the least one-sided level at which the interval does. 1 when
    /// the estimate itself does not.
    pub(in crate::gate) fn p_value(&self, bound: f64, side: Side) -> Result<f64, StatsError> {
        const SMALLEST: f64 = 1e-12;
        let beyond = |level: f64| Ok(self.side_of(bound, 1.0 - 2.0 * level)? == Some(side));
        let (mut low, mut high) = (SMALLEST, 0.5 - SMALLEST);
        if !beyond(high)? {
            return Ok(1.0);
        }
        for _ in 0..60 {
            let middle = low + (high - low) / 2.0;
            if beyond(middle)? { high = middle } else { low = middle }
        }
        Ok(high)
    }
}

pub(super) fn matrix_of(cells: [f64; 4]) -> ConfusionMatrix {
    let [true_negatives, false_positives, false_negatives, true_positives] = cells;
    ConfusionMatrix { true_negatives, false_positives, false_negatives, true_positives }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_agree_with_those_of_the_test() {
        use mlops_core::stats::Alternative;
        let test = TTest { difference: 0.3, standard_error: 0.1, statistic: 3.0, dof: 20.0 };
        let estimate = Estimate::Normal(test);
        let p = estimate.p_value(0.0, Side::Above).unwrap();
        assert!((p - test.p_value(Alternative::Greater).unwrap()).abs() < 1e-9, "{p}");
        assert_eq!(estimate.p_value(0.0, Side::Below).unwrap(), 1.0);
        assert!(estimate.p_value(0.6, Side::Below).unwrap() < 0.01);
    }

    #[test]
    fn a_share_has_the_interval_of_wilson_and_two_that_of_newcombe() {
        let (a, b) = (BinomialSample::new(56, 70).unwrap(), BinomialSample::new(48, 80).unwrap());
        let interval = Estimate::Shares(a, b).interval(0.95).unwrap();
        assert!((interval.lower - 0.0524).abs() < 1e-4 && (interval.upper - 0.3339).abs() < 1e-4);
        let ten = Estimate::Share(BinomialSample::new(0, 10).unwrap()).interval(0.95).unwrap();
        assert!((ten.upper - 0.2775).abs() < 1e-4);
    }

    #[test]
    fn an_estimate_without_variance_is_one_point() {
        let estimate = Estimate::of_mean(&[0.25; 200]).unwrap();
        assert_eq!(estimate.side_of(0.25, 0.95), Ok(None));
        assert_eq!(estimate.side_of(0.2, 0.95), Ok(Some(Side::Above)));
        assert!(Estimate::of_mean(&[1.0]).is_err() && Estimate::of_mean(&[f64::MAX, f64::MAX]).is_err());
    }
}
