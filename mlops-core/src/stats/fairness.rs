//! Whether a classifier treats groups alike.

use std::collections::BTreeMap;

use super::{ConfusionMatrix, StatsError, invalid, require_same_length, undefined};

/// The outcomes of a binary classifier, group by group.
///
/// Every figure compares the group that fares best with the one that fares worst: a difference of rates is 0
/// for equal treatment, a ratio of the least to the largest 1. A customary bound for the demographic parity
/// ratio is 0.8, the four-fifths rule of US employment law. A rate of a group with nothing to divide by
/// counts as 0, as in fairlearn; small groups differ by chance alone, so look at their sizes too.
///
/// ```
/// use mlops_core::stats::Fairness;
///
/// let labels = [true, false, true, true, false, false];
/// let predictions = [true, false, true, true, true, false];
/// let groups = ["a", "a", "a", "b", "b", "b"];
/// let fairness = Fairness::new(&labels, &predictions, &groups)?;
/// assert_eq!(fairness.demographic_parity_difference(), 0.0);
/// assert_eq!(fairness.equal_opportunity_ratio()?, 1.0);
/// assert_eq!(fairness.equalized_odds_difference(), 0.5);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fairness<K> {
    groups: Vec<GroupOutcomes<K>>,
}

/// The outcomes of one group; see [`Fairness`].
#[derive(Debug, Clone, PartialEq)]
pub struct GroupOutcomes<K> {
    /// Which group.
    pub group: K,
    /// Its confusion matrix.
    pub confusion: ConfusionMatrix,
}

impl<K> GroupOutcomes<K> {
    /// Share of the group that is called positive.
    #[must_use]
    pub fn selection_rate(&self) -> f64 {
        self.confusion.selection_rate().unwrap_or(0.0)
    }

    /// Share of its positives that are called positive; 0 without positives.
    #[must_use]
    pub fn true_positive_rate(&self) -> f64 {
        self.confusion.recall().unwrap_or(0.0)
    }

    /// Share of its negatives that are called positive; 0 without negatives.
    #[must_use]
    pub fn false_positive_rate(&self) -> f64 {
        self.confusion.false_positive_rate().unwrap_or(0.0)
    }
}

impl<K: Ord + Clone> Fairness<K> {
    /// Counts labels against predictions in each group.
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`].
    pub fn new(labels: &[bool], predictions: &[bool], groups: &[K]) -> Result<Self, StatsError> {
        require_same_length("predictions", labels.len(), predictions.len())?;
        require_same_length("groups", labels.len(), groups.len())?;
        let mut matrices: BTreeMap<&K, ConfusionMatrix> = BTreeMap::new();
        for ((group, &label), &prediction) in groups.iter().zip(labels).zip(predictions) {
            matrices.entry(group).or_default().observe(label, prediction, 1.0);
        }
        Self::of_matrices(matrices.into_iter().map(|(group, matrix)| (group.clone(), matrix)))
    }
}

impl<K> Fairness<K> {
    /// Compares groups whose confusion matrices are known.
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`] without groups; [`StatsError::InvalidParameter`] for a group without
    /// observations.
    pub fn of_matrices(groups: impl IntoIterator<Item = (K, ConfusionMatrix)>) -> Result<Self, StatsError> {
        let groups: Vec<_> =
            groups.into_iter().map(|(group, confusion)| GroupOutcomes { group, confusion }).collect();
        if groups.is_empty() {
            return Err(StatsError::EmptySample { what: "groups" });
        }
        if groups.iter().any(|group| group.confusion.total() == 0.0) {
            return Err(invalid("groups", "a group has no observations: leave it out"));
        }
        Ok(Self { groups })
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &[GroupOutcomes<K>] {
        &self.groups
    }

    fn spread(&self, rate: fn(&GroupOutcomes<K>) -> f64) -> Spread {
        let rates = self.groups.iter().map(rate);
        let (least, largest) =
            rates.fold((f64::INFINITY, 0.0), |(least, largest), rate| (rate.min(least), rate.max(largest)));
        Spread { least, largest }
    }

    /// Largest difference of selection rates, in `[0, 1]`.
    ///
    /// Source: Dwork et al., "Fairness through awareness", ITCS 2012 (statistical parity).
    #[must_use]
    pub fn demographic_parity_difference(&self) -> f64 {
        self.spread(GroupOutcomes::selection_rate).difference()
    }

    /// Least selection rate over the largest, in `[0, 1]`.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when nobody is called positive.
    pub fn demographic_parity_ratio(&self) -> Result<f64, StatsError> {
        let ratio = self.spread(GroupOutcomes::selection_rate).ratio();
        ratio.ok_or_else(|| undefined("nobody is called positive: there are no rates to compare"))
    }

    /// Largest difference of true positive rates, in `[0, 1]`.
    ///
    /// Source: Hardt, Price & Srebro, "Equality of opportunity in supervised learning", NeurIPS 2016.
    #[must_use]
    pub fn equal_opportunity_difference(&self) -> f64 {
        self.spread(GroupOutcomes::true_positive_rate).difference()
    }

    /// Least true positive rate over the largest, in `[0, 1]`.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when no positive is called positive.
    pub fn equal_opportunity_ratio(&self) -> Result<f64, StatsError> {
        let ratio = self.spread(GroupOutcomes::true_positive_rate).ratio();
        ratio.ok_or_else(|| undefined("no positive is called positive: there are no rates to compare"))
    }

    /// The larger of the differences of true and of false positive rates, in `[0, 1]`.
    ///
    /// Source: Hardt, Price & Srebro, NeurIPS 2016.
    #[must_use]
    pub fn equalized_odds_difference(&self) -> f64 {
        let [hits, alarms] = self.odds();
        hits.difference().max(alarms.difference())
    }

    /// The smaller of the ratios of true and of false positive rates, in `[0, 1]`. A rate that is 0 in every
    /// group shows no disparity and is left out.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when nobody is called positive.
    pub fn equalized_odds_ratio(&self) -> Result<f64, StatsError> {
        let ratios = self.odds().into_iter().filter_map(Spread::ratio);
        ratios
            .reduce(f64::min)
            .ok_or_else(|| undefined("nobody is called positive: there are no rates to compare"))
    }

    fn odds(&self) -> [Spread; 2] {
        [self.spread(GroupOutcomes::true_positive_rate), self.spread(GroupOutcomes::false_positive_rate)]
    }
}

/// The rates of the groups that fare worst and best.
#[derive(Debug, Clone, Copy)]
struct Spread {
    least: f64,
    largest: f64,
}

impl Spread {
    fn difference(self) -> f64 {
        self.largest - self.least
    }

    fn ratio(self) -> Option<f64> {
        (self.largest > 0.0).then(|| self.least / self.largest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_input_is_an_error() {
        assert!(matches!(Fairness::<u8>::new(&[], &[], &[]), Err(StatsError::EmptySample { .. })));
        assert!(matches!(Fairness::new(&[true], &[true], &[1, 2]), Err(StatsError::LengthMismatch { .. })));
        let empty = Fairness::of_matrices([("a", ConfusionMatrix::default())]);
        assert!(matches!(empty, Err(StatsError::InvalidParameter { .. })));
        let nobody = Fairness::new(&[true, false], &[false, false], &["a", "b"]).unwrap();
        for ratio in [
            nobody.demographic_parity_ratio(),
            nobody.equalized_odds_ratio(),
            nobody.equal_opportunity_ratio(),
        ] {
            assert!(matches!(ratio, Err(StatsError::Undefined { .. })));
        }
    }

    proptest! {
        #[test]
        fn figures_lie_in_their_range(sample in vec((any::<bool>(), any::<bool>(), 0_u8..4), 1..80)) {
            let groups: Vec<u8> = sample.iter().map(|(_, _, group)| *group).collect();
            let (labels, predictions): (Vec<bool>, Vec<bool>) =
                sample.iter().map(|(label, prediction, _)| (*label, *prediction)).unzip();
            let fairness = Fairness::new(&labels, &predictions, &groups).unwrap();
            let differences = [
                fairness.demographic_parity_difference(), fairness.equal_opportunity_difference(),
                fairness.equalized_odds_difference(),
            ];
            let ratios = [
                fairness.demographic_parity_ratio(), fairness.equal_opportunity_ratio(),
                fairness.equalized_odds_ratio(),
            ];
            for figure in differences.into_iter().chain(ratios.into_iter().flatten()) {
                prop_assert!((0.0..=1.0).contains(&figure));
            }
            let total: f64 = fairness.groups().iter().map(|group| group.confusion.total()).sum();
            prop_assert_eq!(total, labels.len() as f64);
        }

        #[test]
        fn one_group_is_treated_like_itself(sample in vec(any::<(bool, bool)>(), 1..40)) {
            let (labels, predictions): (Vec<bool>, Vec<bool>) = sample.into_iter().unzip();
            let fairness = Fairness::new(&labels, &predictions, &vec!["all"; labels.len()]).unwrap();
            prop_assert_eq!(fairness.equalized_odds_difference(), 0.0);
            prop_assert_eq!(fairness.demographic_parity_ratio().unwrap_or(1.0), 1.0);
        }
    }
}
