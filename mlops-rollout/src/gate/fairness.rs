//! Groups are treated alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::stats::{ConfusionMatrix, Fairness, GroupOutcomes, StatsError};

use super::evaluation::{Evaluation, Unmeasured};
use super::{Candidate, Finding, Gate};
use crate::Verdict;

/// A binary classifier must treat groups alike, by the bounds that are set.
///
/// The groups are slices of the rows of the candidate's evaluation: `FairnessGate::new("gender")` looks at those
/// [under that name](super::Evaluation::with_slices). The figures are those of [`mlops_core::stats::Fairness`]:
/// they compare the group that fares best with the one that fares worst. For a floor in every group use
/// [`MetricFloor::on_each`](super::MetricFloor::on_each).
///
/// Small groups differ by chance alone. A rate that a bound looks at must be over 100 rows of each group, unless
/// [set](Self::with_min_rows) otherwise: of all rows for demographic parity, of its positives for equal
/// opportunity, of its positives and of its negatives for equalised odds. Otherwise the gate is inconclusive and
/// names the group, even when what could be measured is beyond a bound.
///
/// ```
/// use mlops_rollout::FairnessGate;
///
/// let gate = FairnessGate::new("gender")
///     .with_min_demographic_parity_ratio(0.8) // the four-fifths rule
///     .with_max_equalized_odds_difference(0.1);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FairnessGate {
    groups: String,
    min_rows: usize,
    bounds: Vec<(Figure, f64)>,
}

/// A figure of fairness that can be bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figure {
    DemographicParityDifference,
    DemographicParityRatio,
    EqualOpportunityDifference,
    EqualizedOddsDifference,
}

impl FairnessGate {
    /// No bound yet. Without a bound nothing passes.
    pub fn new(groups: impl Into<String>) -> Self {
        Self { groups: groups.into(), min_rows: 100, bounds: Vec::new() }
    }

    /// The shares of groups that are called positive may differ by this much.
    #[must_use]
    pub fn with_max_demographic_parity_difference(self, difference: f64) -> Self {
        self.bounded(Figure::DemographicParityDifference, difference)
    }

    /// The least share of a group that is called positive must be this part of the largest.
    #[must_use]
    pub fn with_min_demographic_parity_ratio(self, ratio: f64) -> Self {
        self.bounded(Figure::DemographicParityRatio, ratio)
    }

    /// The true positive rates of groups may differ by this much.
    #[must_use]
    pub fn with_max_equal_opportunity_difference(self, difference: f64) -> Self {
        self.bounded(Figure::EqualOpportunityDifference, difference)
    }

    /// The true positive rates of groups may differ by this much, and so may the false positive rates.
    #[must_use]
    pub fn with_max_equalized_odds_difference(self, difference: f64) -> Self {
        self.bounded(Figure::EqualizedOddsDifference, difference)
    }

    /// Sets over how many rows of each group a rate must be.
    #[must_use]
    pub fn with_min_rows(mut self, rows: usize) -> Self {
        self.min_rows = rows;
        self
    }

    fn bounded(mut self, figure: Figure, bound: f64) -> Self {
        self.bounds.retain(|(known, _)| *known != figure);
        self.bounds.push((figure, bound));
        self
    }

    pub(super) fn fault(&self) -> Option<String> {
        if self.bounds.is_empty() {
            return Some("no bound is set; set one of those of demographic parity, equal opportunity or equalised odds".to_owned());
        }
        let wrong = self.bounds.iter().find(|(_, bound)| !(0.0..=1.0).contains(bound));
        wrong.map(|(figure, bound)| format!("`{}` is {bound}; it must lie in [0, 1]", figure.bound_name()))
    }

    fn judge(&self, candidate: &Candidate) -> Finding {
        let Some(rows) = candidate.evaluation() else {
            return Finding::inconclusive("there are no rows of an evaluation");
        };
        let Some(slices) = rows.rows_of_slices(&self.groups) else {
            let known = rows.slice_names().join("`, `");
            return Finding::inconclusive(format!(
                "the rows have no slices `{}`, but `{known}`",
                self.groups
            ));
        };
        if slices.len() < 2 {
            return Finding::inconclusive(format!("there are {} groups, and two are needed", slices.len()));
        }
        let fairness = match measure(rows, slices) {
            Ok(fairness) => fairness,
            Err(Unmeasured::NotThere) => {
                return Finding::inconclusive("fairness is measured of binary classifiers alone");
            }
            Err(fault) => return fault.finding("fairness", "candidate"),
        };
        let mut finding = match self.too_small(&fairness) {
            Some(small) => Finding::inconclusive(small),
            None => self.compare(&fairness),
        };
        for (figure, bound) in &self.bounds {
            let value = figure.of(&fairness).unwrap_or(f64::NAN);
            finding = finding.with_evidence(figure.name(), value).with_evidence(figure.bound_name(), *bound);
        }
        for group in fairness.groups() {
            let name = &group.group;
            finding = finding
                .with_evidence(format!("{name} rows"), group.confusion.total())
                .with_evidence(format!("{name} selection_rate"), group.selection_rate());
        }
        finding
    }

    /// The first group over which a rate that is bounded has too few rows.
    fn too_small(&self, fairness: &Fairness<Arc<str>>) -> Option<String> {
        for GroupOutcomes { group, confusion } in fairness.groups() {
            for (figure, _) in &self.bounds {
                let counts: &[(&str, f64)] = match figure {
                    Figure::DemographicParityDifference | Figure::DemographicParityRatio => {
                        &[("rows", confusion.total())]
                    }
                    Figure::EqualOpportunityDifference => &[("positives", confusion.positives())],
                    Figure::EqualizedOddsDifference => {
                        &[("positives", confusion.positives()), ("negatives", confusion.negatives())]
                    }
                };
                if let Some((what, count)) = counts.iter().find(|(_, count)| *count < self.min_rows as f64) {
                    let needed = self.min_rows;
                    return Some(format!(
                        "the group `{group}` has {count} {what} of the {needed} that are needed"
                    ));
                }
            }
        }
        None
    }

    fn compare(&self, fairness: &Fairness<Arc<str>>) -> Finding {
        let (mut good, mut reasons) = (true, Vec::new());
        for (figure, bound) in &self.bounds {
            let value = match figure.of(fairness) {
                Ok(value) => value,
                Err(error) => return Finding::inconclusive(error.to_string()),
            };
            let (within, relation) = figure.within(value, *bound);
            good &= within;
            let not = if within { "" } else { "not " };
            let extremes = figure.extremes(fairness);
            reasons.push(format!("{} {value:.4} is {not}{relation} {bound}{extremes}", figure.name()));
        }
        Finding::new(if good { Verdict::Passed } else { Verdict::Failed }, reasons.join("; "))
    }
}

fn measure(
    rows: &Evaluation,
    slices: BTreeMap<Arc<str>, Vec<usize>>,
) -> Result<Fairness<Arc<str>>, Unmeasured> {
    let of_group = |(group, picked): (Arc<str>, Vec<usize>)| Ok((group, rows.select(&picked).confusion()?));
    let groups: Vec<(Arc<str>, ConfusionMatrix)> =
        slices.into_iter().map(of_group).collect::<Result<_, Unmeasured>>()?;
    Ok(Fairness::of_matrices(groups)?)
}

impl Figure {
    fn of(self, fairness: &Fairness<Arc<str>>) -> Result<f64, StatsError> {
        match self {
            Self::DemographicParityDifference => Ok(fairness.demographic_parity_difference()),
            Self::DemographicParityRatio => fairness.demographic_parity_ratio(),
            Self::EqualOpportunityDifference => Ok(fairness.equal_opportunity_difference()),
            Self::EqualizedOddsDifference => Ok(fairness.equalized_odds_difference()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::DemographicParityDifference => "demographic_parity_difference",
            Self::DemographicParityRatio => "demographic_parity_ratio",
            Self::EqualOpportunityDifference => "equal_opportunity_difference",
            Self::EqualizedOddsDifference => "equalized_odds_difference",
        }
    }

    fn bound_name(self) -> &'static str {
        match self {
            Self::DemographicParityDifference => "max_demographic_parity_difference",
            Self::DemographicParityRatio => "min_demographic_parity_ratio",
            Self::EqualOpportunityDifference => "max_equal_opportunity_difference",
            Self::EqualizedOddsDifference => "max_equalized_odds_difference",
        }
    }

    fn within(self, value: f64, bound: f64) -> (bool, &'static str) {
        match self {
            Self::DemographicParityRatio => (value >= bound, "at least"),
            _ => (value <= bound, "at most"),
        }
    }

    /// Who fares worst and best by the rate in question.
    fn extremes(self, fairness: &Fairness<Arc<str>>) -> String {
        let rate: fn(&GroupOutcomes<Arc<str>>) -> f64 = match self {
            Self::DemographicParityDifference | Self::DemographicParityRatio => GroupOutcomes::selection_rate,
            Self::EqualOpportunityDifference | Self::EqualizedOddsDifference => {
                GroupOutcomes::true_positive_rate
            }
        };
        let by_rate = |one: &&GroupOutcomes<Arc<str>>, other: &&GroupOutcomes<Arc<str>>| {
            rate(one).total_cmp(&rate(other))
        };
        let groups = fairness.groups();
        let (Some(least), Some(most)) = (groups.iter().min_by(by_rate), groups.iter().max_by(by_rate)) else {
            return String::new();
        };
        format!(" (`{}` {:.4}, `{}` {:.4})", least.group, rate(least), most.group, rate(most))
    }
}

#[async_trait]
impl Gate for FairnessGate {
    fn name(&self) -> String {
        format!("fairness by {}", self.groups)
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        self.fault().map_or_else(|| self.judge(candidate), Finding::inconclusive)
    }
}
