//! Metrics measured offline: good enough, and no worse than before.

use async_trait::async_trait;

use super::{Candidate, Gate};
use crate::Judgement;

/// A metric must be at least as good as a bound.
///
/// ```
/// use mlops_rollout::MetricFloor;
///
/// let accuracy = MetricFloor::new("accuracy", 0.9); // at least
/// let loss = MetricFloor::new("log_loss", 0.3).lower_is_better(); // at most
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MetricFloor {
    metric: String,
    floor: f64,
    lower_is_better: bool,
}

/// A metric must not be worse than the champion's by more than a tolerance.
///
/// ```
/// use mlops_rollout::MetricRegression;
///
/// let accuracy = MetricRegression::new("accuracy", 0.005); // may lose half a point
/// let loss = MetricRegression::new("log_loss", 0.0).lower_is_better(); // may not rise
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRegression {
    metric: String,
    max_drop: f64,
    lower_is_better: bool,
}

impl MetricFloor {
    /// `metric` must be `floor` or more.
    pub fn new(metric: impl Into<String>, floor: f64) -> Self {
        Self { metric: metric.into(), floor, lower_is_better: false }
    }

    /// Turns the floor into a ceiling: the metric is a loss.
    #[must_use]
    pub fn lower_is_better(mut self) -> Self {
        self.lower_is_better = true;
        self
    }
}

impl MetricRegression {
    /// `metric` may lie below the champion's by `max_drop`, in its own unit.
    pub fn new(metric: impl Into<String>, max_drop: f64) -> Self {
        Self { metric: metric.into(), max_drop, lower_is_better: false }
    }

    /// A rise is the drop: the metric is a loss.
    #[must_use]
    pub fn lower_is_better(mut self) -> Self {
        self.lower_is_better = true;
        self
    }
}

#[async_trait]
impl Gate for MetricFloor {
    fn name(&self) -> String {
        format!("{} {}", self.metric, if self.lower_is_better { "ceiling" } else { "floor" })
    }

    async fn check(&self, candidate: &Candidate) -> Judgement {
        let Self { metric, floor, lower_is_better } = self;
        let Some(value) = candidate.metric(metric) else { return unmeasured("candidate", metric) };
        let (good, bound) = match lower_is_better {
            true => (value <= *floor, "at most"),
            false => (value >= *floor, "at least"),
        };
        if good {
            Judgement::passed(format!("{value} is {bound} {floor}"))
        } else {
            Judgement::failed(format!("{value} is not {bound} {floor}"))
        }
    }
}

#[async_trait]
impl Gate for MetricRegression {
    fn name(&self) -> String {
        format!("{} regression", self.metric)
    }

    async fn check(&self, candidate: &Candidate) -> Judgement {
        let Self { metric, max_drop, lower_is_better } = self;
        let Some(champion) = candidate.champion() else {
            return Judgement::inconclusive("there is no champion to compare with");
        };
        let Some(before) = champion.metric(metric) else { return unmeasured("champion", metric) };
        let Some(value) = candidate.metric(metric) else { return unmeasured("candidate", metric) };
        let drop = if *lower_is_better { value - before } else { before - value };
        let numbers = format!("{value} after {before}, where {max_drop} may be lost");
        if drop <= *max_drop { Judgement::passed(numbers) } else { Judgement::failed(numbers) }
    }
}

fn unmeasured(whose: &str, metric: &str) -> Judgement {
    Judgement::inconclusive(format!("the metric `{metric}` of the {whose} is missing"))
}
