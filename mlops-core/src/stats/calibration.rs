//! Whether probabilities are what they claim to be.

use super::weights::Weights;
use super::{StatsError, invalid, require_probabilities, require_same_length};

/// How [`reliability_bins`] groups predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CalibrationBins {
    /// Bins `[k/b, (k+1)/b)` of the unit interval; the last one is closed.
    #[default]
    EqualWidth,
    /// Bins of equally many predictions, in the order of their probability; the first ones hold one more
    /// when the number is not divisible. Predictions that tie keep their order.
    EqualMass,
}

/// One bar of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// How many predictions lie in the bin.
    pub count: u64,
    /// Mean of their probabilities.
    pub mean_probability: f64,
    /// Share of positives among them. Equal to the mean probability if well calibrated.
    pub positive_rate: f64,
}

/// Groups predictions by their probability: the bars of a reliability diagram. Empty bins are left out.
///
/// `bins` is between 1 and 2²⁰.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], [`StatsError::NotANumber`], and
/// [`StatsError::InvalidParameter`] for a probability outside `[0, 1]` or a number of bins out of domain.
///
/// ```
/// use mlops_core::stats::{CalibrationBins, reliability_bins};
///
/// let labels = [false, true, true, true];
/// let bins = reliability_bins(&labels, &[0.2, 0.4, 0.8, 1.0], 2, CalibrationBins::EqualWidth)?;
/// assert_eq!(bins.len(), 2);
/// assert_eq!((bins[1].mean_probability, bins[1].positive_rate), (0.9, 1.0));
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn reliability_bins(
    labels: &[bool],
    probabilities: &[f64],
    bins: usize,
    grouping: CalibrationBins,
) -> Result<Vec<ReliabilityBin>, StatsError> {
    const MOST: usize = 1 << 20;
    require_labelled(labels, probabilities)?;
    if !(1..=MOST).contains(&bins) {
        return Err(invalid("bins", format!("{bins} is not between 1 and {MOST}")));
    }
    let mut groups = vec![Group::default(); bins];
    match grouping {
        CalibrationBins::EqualWidth => {
            for (&label, &probability) in labels.iter().zip(probabilities) {
                let bin = ((probability * bins as f64) as usize).min(bins - 1);
                groups[bin].add(label, probability);
            }
        }
        CalibrationBins::EqualMass => {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            order.sort_by(|&a, &b| (probabilities[a] + 0.0).total_cmp(&(probabilities[b] + 0.0)));
            let (size, larger) = (labels.len() / bins, labels.len() % bins);
            let mut order = order.into_iter();
            for (bin, group) in groups.iter_mut().enumerate() {
                for index in order.by_ref().take(size + usize::from(bin < larger)) {
                    group.add(labels[index], probabilities[index]);
                }
            }
        }
    }
    Ok(groups.into_iter().filter_map(Group::bin).collect())
}

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    count: u64,
    positives: u64,
    probability: f64,
}

impl Group {
    fn add(&mut self, label: bool, probability: f64) {
        self.count += 1;
        self.positives += u64::from(label);
        self.probability += probability;
    }

    fn bin(self) -> Option<ReliabilityBin> {
        (self.count > 0).then(|| ReliabilityBin {
            count: self.count,
            mean_probability: self.probability / self.count as f64,
            positive_rate: self.positives as f64 / self.count as f64,
        })
    }
}

/// Expected calibration error: the mean distance of probability and positive rate, weighted by bin.
///
/// `ECE = Σ_b n_b/n · |mean probability - positive rate|`, in `[0, 1]`. It depends on the number of bins:
/// fix it to compare values. Sources: Naeini, Cooper & Hauskrecht, AAAI 2015 (equal width); Nixon et al.,
/// CVPR workshops 2019 (equal mass).
///
/// # Errors
///
/// As [`reliability_bins`].
///
/// ```
/// use mlops_core::stats::{CalibrationBins, expected_calibration_error};
///
/// let labels = [false, true, true, true];
/// let error =
///     expected_calibration_error(&labels, &[0.2, 0.4, 0.8, 1.0], 2, CalibrationBins::EqualWidth)?;
/// assert!((error - 0.15).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn expected_calibration_error(
    labels: &[bool],
    probabilities: &[f64],
    bins: usize,
    grouping: CalibrationBins,
) -> Result<f64, StatsError> {
    let n = labels.len() as f64;
    let bins = reliability_bins(labels, probabilities, bins, grouping)?;
    Ok(bins.iter().map(|bin| bin.count as f64 / n * bin.distance()).sum())
}

/// Maximum calibration error: the largest distance of probability and positive rate of any bin.
///
/// # Errors
///
/// As [`reliability_bins`].
///
/// ```
/// use mlops_core::stats::{CalibrationBins, maximum_calibration_error};
///
/// let labels = [false, true, true, true];
/// let error = maximum_calibration_error(&labels, &[0.2, 0.4, 0.8, 1.0], 2, CalibrationBins::EqualWidth)?;
/// assert!((error - 0.2).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn maximum_calibration_error(
    labels: &[bool],
    probabilities: &[f64],
    bins: usize,
    grouping: CalibrationBins,
) -> Result<f64, StatsError> {
    let bins = reliability_bins(labels, probabilities, bins, grouping)?;
    Ok(bins.iter().map(ReliabilityBin::distance).fold(0.0, f64::max))
}

impl ReliabilityBin {
    /// Distance of probability and positive rate.
    fn distance(&self) -> f64 {
        (self.mean_probability - self.positive_rate).abs()
    }
}

/// Brier score: the mean squared distance of probability and outcome, in `[0, 1]`; 0 is best.
///
/// `weights` are one for each observation, or 1 for all. Source: Brier, Monthly Weather Review 78(1), 1950.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], [`StatsError::NotANumber`], and
/// [`StatsError::InvalidParameter`] for a probability outside `[0, 1]` or weights that are negative, not
/// finite, or all zero.
///
/// ```
/// use mlops_core::stats::brier_score;
///
/// assert_eq!(brier_score(&[true, false], &[0.5, 0.0], None)?, 0.125);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn brier_score(
    labels: &[bool],
    probabilities: &[f64],
    weights: Option<&[f64]>,
) -> Result<f64, StatsError> {
    require_labelled(labels, probabilities)?;
    let weights = Weights::new(weights, labels.len())?;
    let pairs = labels.iter().zip(probabilities);
    Ok(weights.mean(pairs.map(|(&label, probability)| (probability - f64::from(label)).powi(2))))
}

/// Log loss (cross-entropy) in nats: the mean of `-ln` of the probability given to what happened.
///
/// 0 is best. A probability is held at a distance of 2⁻⁵² from 0 and 1, so that one certain mistake costs 36
/// nats rather than infinity. `weights` are one for each observation, or 1 for all.
///
/// # Errors
///
/// As [`brier_score`].
///
/// ```
/// use mlops_core::stats::log_loss;
///
/// assert!((log_loss(&[true, false], &[0.5, 0.5], None)? - 2.0_f64.ln()).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn log_loss(labels: &[bool], probabilities: &[f64], weights: Option<&[f64]>) -> Result<f64, StatsError> {
    require_labelled(labels, probabilities)?;
    let weights = Weights::new(weights, labels.len())?;
    let loss =
        |(&label, &probability): (&bool, &f64)| surprise(if label { probability } else { 1.0 - probability });
    Ok(weights.mean(labels.iter().zip(probabilities).map(loss)))
}

/// `-ln` of a probability, which is held away from 0 and 1.
pub(super) fn surprise(probability: f64) -> f64 {
    -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

fn require_labelled(labels: &[bool], probabilities: &[f64]) -> Result<(), StatsError> {
    require_same_length("probabilities", labels.len(), probabilities.len())?;
    require_probabilities("probabilities", probabilities)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const GROUPINGS: [CalibrationBins; 2] = [CalibrationBins::EqualWidth, CalibrationBins::EqualMass];

    proptest! {
        #[test]
        fn errors_lie_in_their_range(
            sample in vec((any::<bool>(), 0.0_f64..=1.0), 1..80), bins in 1_usize..30,
        ) {
            let (labels, probabilities): (Vec<bool>, Vec<f64>) = sample.into_iter().unzip();
            for grouping in GROUPINGS {
                let ece = expected_calibration_error(&labels, &probabilities, bins, grouping).unwrap();
                let mce = maximum_calibration_error(&labels, &probabilities, bins, grouping).unwrap();
                prop_assert!(0.0 <= ece && ece <= mce + 1e-12 && mce <= 1.0);
                let bars = reliability_bins(&labels, &probabilities, bins, grouping).unwrap();
                prop_assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), labels.len() as u64);
                let ordered = bars.is_sorted_by(|a, b| a.mean_probability <= b.mean_probability + 1e-12);
                prop_assert!(ordered);
            }
            let brier = brier_score(&labels, &probabilities, None).unwrap();
            let ece = expected_calibration_error(&labels, &probabilities, 1, GROUPINGS[0]).unwrap();
            prop_assert!(ece * ece <= brier + 1e-12 && brier <= 1.0);
            prop_assert!(log_loss(&labels, &probabilities, None).unwrap() >= 0.0);
        }
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(matches!(log_loss(&[], &[], None), Err(StatsError::EmptySample { .. })));
        assert!(matches!(brier_score(&[true], &[1.1], None), Err(StatsError::InvalidParameter { .. })));
        assert!(matches!(brier_score(&[true], &[f64::NAN], None), Err(StatsError::NotANumber { .. })));
        assert!(reliability_bins(&[true], &[0.5], 0, CalibrationBins::EqualMass).is_err());
    }

    #[test]
    fn a_certain_mistake_is_finite() {
        assert!((log_loss(&[true], &[0.0], None).unwrap() - 36.043_653_389_117_15).abs() < 1e-12);
    }
}
