//! No worse than before.

use async_trait::async_trait;
use mlops_core::stats::Interval;

use super::evaluation::{Better, Estimate, Metric, Pairing, Unmeasured, drop_of};
use super::metric::confidence_fault;
use super::slices::SliceRule;
use super::{Candidate, Finding, Gate, PerSlice};
use crate::Verdict;

/// A metric must not be worse than the champion's by more than a tolerance, chance allowed for.
///
/// **With the rows of both** ([`Candidate::with_evaluation`], [`Champion::with_evaluation`]) the drop has a
/// two-sided interval, at 95 % unless set. The gate passes when all of it is within the tolerance, fails when
/// all of it is beyond, and is inconclusive between the two; it then says about how many rows would tell. So a
/// candidate that is worse by just more than the tolerance passes in 2.5 % of cases, and one that is as good as
/// the tolerance asks fails in 2.5 %. A [`lenient`](Self::lenient) gate passes unless it fails.
///
/// | metrics | interval |
/// |---|---|
/// | means over rows: `log_loss`, `brier_score`, `mae`, `mse`, `bias` | Student's t of the differences row by row |
/// | of decisions: `accuracy`, `recall`, `f1`, `mcc`, ... | the drop and its standard error over redrawn rows, with half a row added to each of the ways in which label and decisions can come together |
/// | all others: `roc_auc`, `rmse`, `f1_macro`, ... | the drop and its standard error over redrawn rows |
///
/// Both models should have answered the same rows in the same order. For different rows there is Newcombe's
/// interval for shares and Welch's for means.
///
/// **With given numbers alone**, and for other metrics of different rows, the two figures are compared as they
/// are, and the reason says that chance is not ruled out.
///
/// Known losses are better when lower, known scores when higher; say so for metrics of your own that are better
/// when lower.
///
/// How often it passes and fails at a tolerance of 0.02, in 200 simulated evaluations each (standard error about
/// one point at 2.5 %); all others are inconclusive. The champion is right in 90 % of the rows, has an area of 0.90
/// and a mean absolute error of 0.5. `cargo test --release -p mlops-rollout -- --ignored --nocapture
/// table_of_verdicts` prints the table.
///
/// | metric | rows | as good: passes, fails | worse by 0.02 | worse by 0.05 |
/// |---|---|---|---|---|
/// | `accuracy` | 500 | 37.5 %, 0.0 % | 2.5 %, 3.0 % | 0.0 %, 53.0 % |
/// | `accuracy` | 2,000 | 95.5 %, 0.0 % | 2.0 %, 3.0 % | 0.0 %, 99.5 % |
/// | `accuracy` | 5,000 | 100.0 %, 0.0 % | 3.5 %, 3.0 % | 0.0 %, 100.0 % |
/// | `f1` | 500 | 37.5 %, 0.0 % | 2.5 %, 2.0 % | 0.0 %, 54.0 % |
/// | `f1` | 2,000 | 94.0 %, 0.0 % | 1.5 %, 2.5 % | 0.0 %, 99.0 % |
/// | `mae` | 500 | 58.0 %, 0.0 % | 1.5 %, 1.0 % | 0.0 %, 87.0 % |
/// | `mae` | 2,000 | 99.0 %, 0.0 % | 3.0 %, 3.0 % | 0.0 %, 100.0 % |
/// | `mae` | 5,000 | 100.0 %, 0.0 % | 1.0 %, 1.5 % | 0.0 %, 100.0 % |
/// | `roc_auc` | 500 | 50.5 %, 0.0 % | 3.0 %, 5.5 % | 0.0 %, 73.5 % |
/// | `roc_auc` | 1,000 | 82.0 %, 0.0 % | 2.0 %, 4.0 % | 0.0 %, 98.5 % |
///
/// ```
/// use mlops_rollout::MetricRegression;
///
/// let accuracy = MetricRegression::new("accuracy", 0.005); // may lose half a point
/// let loss = MetricRegression::new("log_loss", 0.01).lenient(); // no rise beyond that was found
/// let cost = MetricRegression::new("cost per case", 0.0).lower_is_better();
/// ```
///
/// [`Champion::with_evaluation`]: super::Champion::with_evaluation
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRegression {
    pub(super) metric: String,
    pub(super) max_drop: f64,
    lower_is_better: Option<bool>,
    pub(super) confidence: f64,
    lenient: bool,
}

/// Rows below which an interval is not trusted.
pub(super) const FEWEST_ROWS: usize = 30;

pub(super) const CONFIDENCE: f64 = 0.95;

impl MetricRegression {
    /// `metric` may be worse than the champion's by `max_drop`, in its own unit.
    pub fn new(metric: impl Into<String>, max_drop: f64) -> Self {
        let metric = metric.into();
        Self { metric, max_drop, lower_is_better: None, confidence: CONFIDENCE, lenient: false }
    }

    /// A rise is the drop: the metric is a loss.
    #[must_use]
    pub fn lower_is_better(mut self) -> Self {
        self.lower_is_better = Some(true);
        self
    }

    /// A fall is the drop, for a metric that is better neither way by itself: `selection_rate`, `bias`.
    #[must_use]
    pub fn higher_is_better(mut self) -> Self {
        self.lower_is_better = Some(false);
        self
    }

    /// Sets the confidence of the two-sided interval.
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Passes unless the drop is beyond the tolerance for certain: no regression was *found*, which is not that
    /// there is none.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// The same of each slice of the rows, which both models must have answered: [`PerSlice`].
    pub fn on_each(self, slices: impl Into<String>) -> PerSlice {
        let lenient = self.lenient;
        let gate = PerSlice::new(SliceRule::Regression(self), slices);
        if lenient { gate.lenient() } else { gate }
    }

    pub(super) fn fault(&self) -> Option<String> {
        if !self.max_drop.is_finite() {
            return Some(format!("`max_drop` is {}; it must be a finite number", self.max_drop));
        }
        confidence_fault(self.confidence).or_else(|| self.direction().err())
    }

    /// Whether a fall of the metric is good.
    pub(super) fn direction(&self) -> Result<bool, String> {
        match (self.lower_is_better, Metric::better(&self.metric)) {
            (Some(lower_is_better), _) => Ok(lower_is_better),
            (None, Better::Higher) => Ok(false),
            (None, Better::Lower) => Ok(true),
            (None, Better::Neither) => Err(format!(
                "`{}` is better neither higher nor lower by itself: say which with `lower_is_better`",
                self.metric
            )),
        }
    }

    fn judge(&self, candidate: &Candidate) -> Finding {
        let lower_is_better = match self.direction() {
            Ok(lower_is_better) => lower_is_better,
            Err(fault) => return Finding::failed(fault),
        };
        let Some(champion) = candidate.champion() else {
            return Finding::inconclusive("there is no champion to compare with");
        };
        let rows = candidate.evaluation().zip(champion.evaluation()).zip(Metric::named(&self.metric));
        if let Some(((ours, theirs), metric)) = rows {
            match drop_of(ours, theirs, metric, lower_is_better) {
                Ok(loss) => {
                    let finding = match loss.estimate {
                        Some(estimate) => self.of_estimate(&estimate, loss.pairing),
                        None => self.of_points(loss.candidate, loss.champion, lower_is_better),
                    };
                    return finding
                        .with_evidence("candidate", loss.candidate)
                        .with_evidence("champion", loss.champion);
                }
                Err((_, Unmeasured::NotThere)) => {}
                Err(("champion", fault)) => {
                    return Finding {
                        verdict: Verdict::Inconclusive,
                        ..fault.finding(&self.metric, "champion")
                    };
                }
                Err((whose, fault)) => return fault.finding(&self.metric, whose),
            }
        }
        let missing = |whose| Unmeasured::NotThere.finding(&self.metric, whose);
        let Some(before) = champion.metric(&self.metric) else { return missing("champion") };
        let Some(after) = candidate.metric(&self.metric) else { return missing("candidate") };
        self.of_points(after, before, lower_is_better)
            .with_evidence("candidate", after)
            .with_evidence("champion", before)
    }

    fn of_points(&self, after: f64, before: f64, lower_is_better: bool) -> Finding {
        let drop = if lower_is_better { after - before } else { before - after };
        let numbers = format!("{after} after {before}, where {} may be lost", self.max_drop);
        let possible = [after, before].iter().all(|value| Metric::is_possible(&self.metric, *value));
        let finding = if !possible {
            Finding::failed(format!("{numbers}: that is no value of `{}`", self.metric))
        } else if drop <= self.max_drop {
            Finding::passed(format!("{numbers}; figures alone, chance is not ruled out"))
        } else {
            Finding::failed(format!("{numbers}; figures alone, chance is not ruled out"))
        };
        finding.with_evidence("drop", drop).with_evidence("max_drop", self.max_drop)
    }

    fn of_estimate(&self, estimate: &Estimate, pairing: Pairing) -> Finding {
        let fewest = match pairing {
            Pairing::Same(rows) => rows,
            Pairing::Different(ours, theirs) => ours.min(theirs),
        };
        if fewest < FEWEST_ROWS {
            let more = FEWEST_ROWS - fewest;
            return Finding::inconclusive(format!("{more} more rows are needed ({fewest} of {FEWEST_ROWS})"))
                .with_evidence("rows", fewest as f64);
        }
        let Interval { lower, upper } = match estimate.interval(self.confidence) {
            Ok(interval) => interval,
            Err(error) => return Unmeasured::from(error).finding(&self.metric, "candidate"),
        };
        let (drop, bound) = (estimate.value(), self.max_drop);
        let numbers = format!(
            "a drop of {drop:+.4} in [{lower:+.4}, {upper:+.4}], where {bound} may be lost ({pairing})"
        );
        let finding = if lower > bound {
            Finding::failed(numbers)
        } else if upper <= bound || self.lenient {
            Finding::passed(numbers)
        } else {
            Finding::inconclusive(format!("{numbers}; {}", rows_that_tell(drop, upper, bound, fewest)))
        };
        finding
            .with_evidence("drop", drop)
            .with_evidence("drop_lower", lower)
            .with_evidence("drop_upper", upper)
            .with_evidence("max_drop", bound)
            .with_evidence("rows", fewest as f64)
    }
}

#[async_trait]
impl Gate for MetricRegression {
    fn name(&self) -> String {
        format!("{} regression", self.metric)
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        self.fault().map_or_else(|| self.judge(candidate), Finding::failed)
    }
}

/// The width of an interval falls with the root of the number of rows.
fn rows_that_tell(drop: f64, upper: f64, bound: f64, rows: usize) -> String {
    if drop >= bound {
        return "more rows will hardly show that it is within".to_owned();
    }
    let times = ((upper - drop) / (bound - drop)).powi(2);
    format!("about {:.0} rows would tell", (rows as f64 * times).ceil())
}
