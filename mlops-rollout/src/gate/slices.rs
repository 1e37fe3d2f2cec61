//! Good enough in every slice.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::stats::{Correction, adjust_p_values};

use super::evaluation::{Estimate, Evaluation, Metric, Side, Unmeasured, drop_of};
use super::metric::Bound;
use super::regression::{CONFIDENCE, FEWEST_ROWS};
use super::{Candidate, Finding, Gate, GateOutcome, MetricRegression};
use crate::Verdict;

/// A floor, a ceiling or a regression that must hold in each slice of the rows:
/// [`MetricFloor::on_each`](super::MetricFloor::on_each) and its like.
///
/// It **fails** when a slice is beyond the bound for certain, Holm's correction for the number of slices
/// allowed for: a candidate that is good in all slices fails in at most 2.5 % of cases, however many slices
/// there are, at the usual confidence of 95 %. It **passes** when in each slice the figure itself is within the
/// bound. Between the two, and while a slice has too few rows, it is inconclusive. The worst slice is named;
/// the ten worst are in the report.
///
/// With slices of 200 rows, in all of which the accuracy is worse by exactly what is tolerated, it failed in 2.5 %
/// of 200 simulations with 5 slices and in 0.5 % with 20; where each slice was judged by a gate of its own, one of
/// them failed in 12 % and 32 % (`table_of_verdicts`, see [`MetricRegression`]).
///
/// ```
/// use mlops_rollout::{MetricFloor, MetricRegression};
///
/// // Under `country` the rows of the evaluation say which slice they belong to.
/// let nowhere_bad = MetricFloor::new("recall", 0.7).on_each("country").with_min_rows(50);
/// let nowhere_worse = MetricRegression::new("accuracy", 0.03).on_each("country").leaving_small_out();
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PerSlice {
    rule: SliceRule,
    slices: String,
    min_rows: usize,
    leaves_small_out: bool,
    lenient: bool,
}

/// What must hold in each slice.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum SliceRule {
    Bound(Bound, &'static str),
    Regression(MetricRegression),
}

/// Slices in a report.
const REPORTED: usize = 10;

/// One slice.
struct Slice {
    name: Arc<str>,
    rows: usize,
    figure: Result<Figure, String>,
}

/// What a slice that was measured says.
struct Figure {
    value: f64,
    /// Whether the figure itself is within the bound.
    within: bool,
    /// How far it is beyond; negative when it is within.
    shortfall: f64,
    /// Of being within.
    p_value: f64,
    /// Whether it is beyond for certain, all slices together.
    certain: bool,
}

impl PerSlice {
    pub(super) fn new(rule: SliceRule, slices: impl Into<String>) -> Self {
        let slices = slices.into();
        Self { rule, slices, min_rows: FEWEST_ROWS, leaves_small_out: false, lenient: false }
    }

    /// Sets how many rows a slice needs: 30 unless set. A slice with fewer makes the gate inconclusive.
    #[must_use]
    pub fn with_min_rows(mut self, rows: usize) -> Self {
        self.min_rows = rows;
        self
    }

    /// Leaves slices out that have too few rows, or on which the metric is undefined. The reason says how many.
    #[must_use]
    pub fn leaving_small_out(mut self) -> Self {
        self.leaves_small_out = true;
        self
    }

    /// Passes unless a slice is beyond the bound for certain.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    pub(super) fn fault(&self) -> Option<String> {
        match &self.rule {
            SliceRule::Bound(bound, what) => bound.fault(what),
            SliceRule::Regression(regression) => regression.fault(),
        }
    }

    fn metric(&self) -> &str {
        match &self.rule {
            SliceRule::Bound(bound, _) => &bound.metric,
            SliceRule::Regression(regression) => &regression.metric,
        }
    }

    /// The level at which a slice is beyond the bound for certain.
    fn alpha(&self) -> f64 {
        let confidence = match &self.rule {
            SliceRule::Bound(bound, _) => bound.confidence.unwrap_or(CONFIDENCE),
            SliceRule::Regression(regression) => regression.confidence,
        };
        (1.0 - confidence) / 2.0
    }

    fn judge(&self, candidate: &Candidate) -> Finding {
        let Some(rows) = candidate.evaluation() else {
            return Finding::inconclusive("there are no rows of an evaluation");
        };
        let Some(metric) = Metric::named(self.metric()) else {
            return Unmeasured::NotThere.finding(self.metric(), "rows");
        };
        // Not even in a slice that is left out may an answer be no number.
        if let Err(fault @ Unmeasured::Bad(_)) = rows.measure(metric) {
            return fault.finding(self.metric(), "candidate");
        }
        let Some(slices) = rows.rows_of_slices(&self.slices) else {
            let known = rows.slice_names().join("`, `");
            return Finding::inconclusive(format!(
                "the rows have no slices `{}`, but `{known}`",
                self.slices
            ));
        };
        let champion = match &self.rule {
            SliceRule::Bound(..) => None,
            SliceRule::Regression(_) => match candidate.champion().and_then(|champion| champion.evaluation())
            {
                Some(theirs) if rows.has_rows_of(theirs) => Some(theirs),
                Some(_) => return Finding::inconclusive("the champion has answered other rows"),
                None => return Finding::inconclusive("there are no rows of a champion to compare with"),
            },
        };
        match self.measure(rows, champion, metric, slices) {
            Ok(slices) => self.conclude(slices),
            Err(fault) => fault.finding(self.metric(), "candidate"),
        }
    }

    fn measure(
        &self,
        rows: &Evaluation,
        champion: Option<&Evaluation>,
        metric: Metric,
        slices: BTreeMap<Arc<str>, Vec<usize>>,
    ) -> Result<Vec<Slice>, Unmeasured> {
        let mut found = Vec::with_capacity(slices.len());
        for (name, picked) in slices {
            let figure = if picked.len() < self.min_rows {
                Err(format!("{} of {} rows", picked.len(), self.min_rows))
            } else {
                match self.figure(&rows.select(&picked), champion.map(|all| all.select(&picked)), metric) {
                    Ok(figure) => Ok(figure),
                    Err(Unmeasured::TooLittle(why)) => Err(why),
                    Err(fault) => return Err(fault),
                }
            };
            found.push(Slice { name, rows: picked.len(), figure });
        }
        let measured = || found.iter().filter_map(|slice| slice.figure.as_ref().ok());
        let p_values: Vec<f64> = measured().map(|figure| figure.p_value).collect();
        if !p_values.is_empty() {
            let adjusted = adjust_p_values(&p_values, self.alpha(), Correction::Holm)?;
            let figures = found.iter_mut().filter_map(|slice| slice.figure.as_mut().ok());
            for (figure, certain) in figures.zip(adjusted.rejected) {
                figure.certain = certain;
            }
        }
        found.sort_by(|one, other| {
            let ((rank, beyond), (others, by)) = (one.badness(), other.badness());
            others.cmp(&rank).then(by.total_cmp(&beyond))
        });
        Ok(found)
    }

    fn figure(
        &self,
        rows: &Evaluation,
        champion: Option<Evaluation>,
        metric: Metric,
    ) -> Result<Figure, Unmeasured> {
        let (estimate, bound, beyond) = match (&self.rule, champion) {
            (SliceRule::Bound(bound, _), _) => {
                let beyond = if bound.side == Side::Above { Side::Below } else { Side::Above };
                (Estimate::of(rows, metric)?, bound.bound, beyond)
            }
            (SliceRule::Regression(regression), Some(champion)) => {
                let lower_is_better = regression.direction().map_err(Unmeasured::Bad)?;
                let loss =
                    drop_of(rows, &champion, metric, lower_is_better).map_err(|fault| match fault {
                        ("champion", fault) => Unmeasured::TooLittle(format!("of the champion: {fault}")),
                        (_, fault) => fault,
                    })?;
                (loss.estimate.ok_or(Unmeasured::NotThere)?, regression.max_drop, Side::Above)
            }
            (SliceRule::Regression(_), None) => return Err(Unmeasured::NotThere),
        };
        let value = estimate.value();
        let shortfall = if beyond == Side::Above { value - bound } else { bound - value };
        let p_value = estimate.p_value(bound, beyond)?;
        Ok(Figure { value, within: shortfall <= 0.0, shortfall, p_value, certain: false })
    }

    fn conclude(&self, mut slices: Vec<Slice>) -> Finding {
        let unmeasured = slices.iter().filter(|slice| slice.figure.is_err()).count();
        let all = slices.len();
        if self.leaves_small_out {
            slices.retain(|slice| slice.figure.is_ok());
        }
        let outcomes: Vec<GateOutcome> = slices.iter().map(|slice| self.outcome(slice)).collect();
        let verdict = Verdict::of_all(outcomes.iter().map(|outcome| outcome.verdict));
        let count = |wanted| outcomes.iter().filter(|outcome| outcome.verdict == wanted).count();
        let (failed, open) = (count(Verdict::Failed), count(Verdict::Inconclusive));
        let mut reason = match outcomes.first() {
            Some(worst) => format!("worst {}: {}; ", worst.gate, worst.reason),
            None => "no slice has enough rows; ".to_owned(),
        };
        reason.push_str(&format!("{failed} failed and {open} open of {all} slices"));
        if self.leaves_small_out && unmeasured > 0 {
            reason.push_str(&format!(", {unmeasured} left out as too small"));
        }
        let worst = slices.iter().find_map(|slice| slice.figure.as_ref().ok());
        let finding = Finding::new(verdict, reason)
            .with_evidence("slices", all as f64)
            .with_evidence("failed", failed as f64)
            .with_evidence("unmeasured", unmeasured as f64)
            .with_evidence("worst", worst.map_or(f64::NAN, |figure| figure.value));
        finding.with_parts(outcomes.into_iter().take(REPORTED).collect())
    }

    fn outcome(&self, slice: &Slice) -> GateOutcome {
        let finding = match &slice.figure {
            Err(why) => Finding::inconclusive(format!("too few rows: {why}")),
            Ok(figure) => {
                let numbers =
                    format!("{:.4} on {} rows, p = {:.2e}", figure.value, slice.rows, figure.p_value);
                let verdict = if figure.certain {
                    Verdict::Failed
                } else if figure.within || self.lenient {
                    Verdict::Passed
                } else {
                    Verdict::Inconclusive
                };
                Finding::new(verdict, numbers)
                    .with_evidence("value", figure.value)
                    .with_evidence("p_value", figure.p_value)
            }
        };
        let name = format!("{} = {}", self.slices, slice.name);
        GateOutcome::new(name, false, finding.with_evidence("rows", slice.rows as f64))
    }
}

impl Slice {
    /// What is worse: beyond the bound for certain, beyond it, not measured, within it; and then by how much.
    fn badness(&self) -> (u8, f64) {
        match &self.figure {
            Ok(figure) if figure.certain => (3, figure.shortfall),
            Ok(figure) if !figure.within => (2, figure.shortfall),
            Err(_) => (1, 0.0),
            Ok(figure) => (0, figure.shortfall),
        }
    }
}

#[async_trait]
impl Gate for PerSlice {
    fn name(&self) -> String {
        let what = match &self.rule {
            SliceRule::Bound(_, what) => what,
            SliceRule::Regression(_) => "regression",
        };
        format!("{} {what} per {}", self.metric(), self.slices)
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        self.fault().map_or_else(|| self.judge(candidate), Finding::failed)
    }
}
