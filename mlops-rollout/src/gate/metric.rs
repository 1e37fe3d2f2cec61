//! Metrics that must be good enough.

use async_trait::async_trait;
use mlops_core::stats::Interval;

use super::evaluation::{Estimate, Metric, Side, Unmeasured};
use super::slices::SliceRule;
use super::{Candidate, Finding, Gate, PerSlice};

/// A metric must be at least so large.
///
/// It is computed from the rows of the candidate's [evaluation](Candidate::with_evaluation) where they have it,
/// and otherwise taken [as it was given](Candidate::with_metric). What is missing or undefined is inconclusive;
/// NaN, and what the metric cannot be (an accuracy of 3), fails.
///
/// ```
/// use mlops_rollout::{MetricCeiling, MetricFloor};
///
/// let accuracy = MetricFloor::new("accuracy", 0.9);
/// let recall = MetricFloor::new("recall", 0.8).with_confidence(0.95); // and not by luck
/// let loss = MetricCeiling::new("log_loss", 0.3);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MetricFloor(Bound);

/// A metric must be at most so large: for losses, and for what should not be too much of a good thing. As
/// [`MetricFloor`] otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricCeiling(Bound);

impl MetricFloor {
    /// `metric` must be `floor` or more.
    pub fn new(metric: impl Into<String>, floor: f64) -> Self {
        Self(Bound { metric: metric.into(), side: Side::Above, bound: floor, confidence: None })
    }

    /// Passes only when the whole two-sided interval at `confidence` lies at or above the floor, and fails only
    /// when all of it lies below; between the two it is inconclusive. Needs the rows of an evaluation.
    ///
    /// The interval is Wilson's for shares of rows, Student's for means over rows, and for all else the
    /// estimate with the standard error of redrawn rows (bootstrap).
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.0.confidence = Some(confidence);
        self
    }

    /// The same of each slice of the rows: [`PerSlice`].
    pub fn on_each(self, slices: impl Into<String>) -> PerSlice {
        PerSlice::new(SliceRule::Bound(self.0, "floor"), slices)
    }

    pub(super) fn fault(&self) -> Option<String> {
        self.0.fault("floor")
    }
}

impl MetricCeiling {
    /// `metric` must be `ceiling` or less.
    pub fn new(metric: impl Into<String>, ceiling: f64) -> Self {
        Self(Bound { metric: metric.into(), side: Side::Below, bound: ceiling, confidence: None })
    }

    /// See [`MetricFloor::with_confidence`].
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.0.confidence = Some(confidence);
        self
    }

    /// The same of each slice of the rows: [`PerSlice`].
    pub fn on_each(self, slices: impl Into<String>) -> PerSlice {
        PerSlice::new(SliceRule::Bound(self.0, "ceiling"), slices)
    }

    pub(super) fn fault(&self) -> Option<String> {
        self.0.fault("ceiling")
    }
}

#[async_trait]
impl Gate for MetricFloor {
    fn name(&self) -> String {
        format!("{} floor", self.0.metric)
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        self.fault().map_or_else(|| self.0.check(candidate), Finding::failed)
    }
}

#[async_trait]
impl Gate for MetricCeiling {
    fn name(&self) -> String {
        format!("{} ceiling", self.0.metric)
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        self.fault().map_or_else(|| self.0.check(candidate), Finding::failed)
    }
}

/// A bound, and the side of it on which a metric must lie, the bound included.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bound {
    pub(super) metric: String,
    pub(super) side: Side,
    pub(super) bound: f64,
    pub(super) confidence: Option<f64>,
}

impl Bound {
    pub(super) fn fault(&self, what: &str) -> Option<String> {
        if !self.bound.is_finite() {
            return Some(format!("`{what}` is {}; it must be a finite number", self.bound));
        }
        confidence_fault(self.confidence?)
    }

    fn check(&self, candidate: &Candidate) -> Finding {
        let measured = candidate.evaluation().zip(Metric::named(&self.metric));
        let measured = measured.map(|(rows, metric)| (rows, metric, rows.measure(metric)));
        match measured {
            Some((rows, metric, Ok(value))) => match self.confidence {
                Some(confidence) => match Estimate::of(rows, metric) {
                    Ok(estimate) => self.of_estimate(&estimate, confidence, rows.rows()),
                    Err(fault) => fault.finding(&self.metric, "candidate"),
                },
                None => self
                    .of_value(value, &format!("on {} rows", rows.rows()))
                    .with_evidence("rows", rows.rows() as f64),
            },
            Some((_, _, Err(fault))) if fault != Unmeasured::NotThere => {
                fault.finding(&self.metric, "candidate")
            }
            _ => match candidate.metric(&self.metric) {
                Some(value) if self.confidence.is_some() => Finding::inconclusive(format!(
                    "{value} was given, but an interval needs the rows of an evaluation"
                )),
                Some(value) => self.of_value(value, "as it was given"),
                None => Unmeasured::NotThere.finding(&self.metric, "candidate"),
            },
        }
    }

    fn of_value(&self, value: f64, whence: &str) -> Finding {
        let (good, relation) = match self.side {
            Side::Above => (value >= self.bound, "at least"),
            Side::Below => (value <= self.bound, "at most"),
        };
        let finding = if !Metric::is_possible(&self.metric, value) {
            Finding::failed(format!("{value} is no value of `{}`, {whence}", self.metric))
        } else if good {
            Finding::passed(format!("{value} is {relation} {}, {whence}", self.bound))
        } else {
            Finding::failed(format!("{value} is not {relation} {}, {whence}", self.bound))
        };
        finding.with_evidence("value", value).with_evidence("bound", self.bound)
    }

    fn of_estimate(&self, estimate: &Estimate, confidence: f64, rows: usize) -> Finding {
        let interval = match estimate.interval(confidence) {
            Ok(interval) => interval,
            Err(error) => return Unmeasured::from(error).finding(&self.metric, "candidate"),
        };
        let Interval { lower, upper } = interval;
        let (bound, value) = (self.bound, estimate.value());
        let numbers = format!("{value:.4} in [{lower:.4}, {upper:.4}] on {rows} rows");
        let (good, bad) = match self.side {
            Side::Above => (lower >= bound, upper < bound),
            Side::Below => (upper <= bound, lower > bound),
        };
        let relation = match self.side {
            Side::Above => "at least",
            Side::Below => "at most",
        };
        let finding = if good {
            Finding::passed(format!("{numbers}, all {relation} {bound}"))
        } else if bad {
            Finding::failed(format!("{numbers}, none of it {relation} {bound}"))
        } else {
            Finding::inconclusive(format!("{numbers}, not for certain {relation} {bound}"))
        };
        finding
            .with_evidence("value", value)
            .with_evidence("lower", lower)
            .with_evidence("upper", upper)
            .with_evidence("bound", bound)
            .with_evidence("rows", rows as f64)
    }
}

pub(super) fn confidence_fault(confidence: f64) -> Option<String> {
    let good = confidence > 0.0 && confidence < 1.0;
    (!good).then(|| format!("`confidence` is {confidence}; it must lie between 0 and 1"))
}
