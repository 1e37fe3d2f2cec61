//! How good predictions were, and how good they may be.

use std::collections::BTreeMap;
use std::fmt;

use mlops_core::stats::{BinomialSample, ProportionIntervalMethod, proportion_interval};
use serde::{Deserialize, Serialize};

use crate::Signal;

/// How sure intervals are.
const CONFIDENCE: f64 = 0.95;

/// How good predictions were where their labels are known, and how good they may be where they are not.
///
/// [`Display`](fmt::Display) makes a table of it, [`signals`](Self::signals) what alert rules look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PerformanceReport {
    /// Each variant as a whole, and taken apart by each attribute.
    pub slices: Vec<PerformanceSlice>,
    /// How differently the values of each attribute fare, for each variant.
    pub fairness: Vec<GroupFairness>,
    /// Whether errors have become more frequent, for each variant, where
    /// [`PerformanceMonitor::with_change_detector`](super::PerformanceMonitor::with_change_detector) asks for it.
    #[serde(default)]
    pub changes: Vec<ErrorChanges>,
    /// What became of labels since the monitor began.
    pub labels: LabelCounts,
    /// Predictions that were not kept since the monitor began, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Rows that were let go without a label since the monitor began: for want of room, or too old.
    pub expired: u64,
    /// How many labels a slice needs before its metrics become signals.
    pub min_labels: u64,
}

/// The predictions of a variant, or those of them with one value of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PerformanceSlice {
    /// The variant; empty where there are none.
    pub variant: String,
    /// The attribute and its value; `None` is the variant as a whole.
    pub segment: Option<(String, String)>,
    /// Rows that were predicted; rankings count one for all of theirs.
    pub predictions: u64,
    /// Rows whose label has come.
    pub labelled: u64,
    /// How long labels took.
    pub delay: Option<LabelDelay>,
    /// The metrics that have a value.
    pub metrics: Vec<Metric>,
    /// The same metrics as they are expected from the probabilities alone, of rows with and without labels.
    ///
    /// Confidence-based performance estimation (CBPE): true as far as probabilities are calibrated on this data
    /// and what inputs mean has not changed. It sees that inputs have moved; it cannot see concept drift.
    pub estimated: Vec<Metric>,
    /// A reliability diagram in bins of equally many rows, of a binary classifier.
    pub reliability: Vec<Reliability>,
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metric {
    /// The name: `roc_auc`, `accuracy`, `mae`, ...
    pub name: String,
    /// The value.
    #[serde(with = "crate::signal::number")]
    pub value: f64,
    /// An interval of 95 % confidence by Wilson's formula, for metrics that are shares.
    pub interval: Option<(f64, f64)>,
    /// Of how many pairs: all that came, or the sample of them that is kept.
    pub samples: u64,
}

/// Seconds from predictions to their labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LabelDelay {
    /// Half of the labels took no longer.
    pub median: f64,
    /// Nine of ten took no longer.
    pub p90: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
}

/// Rows of about the same probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reliability {
    /// How many rows.
    pub rows: u64,
    /// Mean of their probabilities.
    pub mean_probability: f64,
    /// Share of positives among them.
    pub positive_rate: f64,
}

/// What became of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LabelCounts {
    /// They were joined with their predictions.
    pub joined: u64,
    /// Their prediction had been let go, or its window was over.
    pub late: u64,
    /// The prediction had the same label already.
    pub duplicate: u64,
    /// The prediction had another label already, which stays.
    pub conflicting: u64,
    /// No such prediction was made, or it was never kept.
    pub unknown: u64,
    /// They wait for their prediction now.
    pub waiting: u64,
}

/// What a detector of change made of the errors of a variant, label by label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorChanges {
    /// The variant; empty where there are none.
    pub variant: String,
    /// How many labels it has seen.
    pub labels: u64,
    /// How many changes it has found since the monitor began.
    pub changes: u64,
    /// Whether the last of them was found in the windows that are kept.
    pub changed: bool,
    /// Whether it warns now. Not all detectors do.
    pub warns: bool,
}

/// How differently a binary classifier treats the values of an attribute. Small groups differ by chance alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupFairness {
    /// The variant; empty where there are none.
    pub variant: String,
    /// The attribute.
    pub attribute: String,
    /// How many of its values have enough labels to be compared.
    pub groups: usize,
    /// Greatest difference of the shares that are called positive. 0 is equal treatment.
    pub demographic_parity_difference: f64,
    /// Least of these shares by the greatest. 1 is equal treatment; below 0.8 is the customary alarm.
    pub demographic_parity_ratio: Option<f64>,
    /// Greatest difference of the true positive rates.
    pub equal_opportunity_difference: f64,
    /// Greatest difference of the true and of the false positive rates.
    pub equalized_odds_difference: f64,
}

impl PerformanceReport {
    /// The slice of a variant as a whole; the variant is empty where there are none.
    #[must_use]
    pub fn variant(&self, variant: &str) -> Option<&PerformanceSlice> {
        self.slices.iter().find(|slice| slice.variant == variant && slice.segment.is_none())
    }

    /// The slice of one value of an attribute.
    #[must_use]
    pub fn segment(&self, variant: &str, attribute: &str, value: &str) -> Option<&PerformanceSlice> {
        self.slices.iter().find(|slice| {
            let segment =
                slice.segment.as_ref().map(|(attribute, value)| (attribute.as_str(), value.as_str()));
            slice.variant == variant && segment == Some((attribute, value))
        })
    }

    /// What alert rules look at: `performance.<metric>`, `performance.estimated.<metric>`,
    /// `performance.label_coverage`, `performance.errors_changed` (1 or 0) and `fairness.<metric>`, with the labels `variant` and `segment` (`country=NO`;
    /// empty for the whole), or `attribute`. Slices with too few labels, or estimates of too few rows, make
    /// none.
    #[must_use]
    pub fn signals(&self) -> Vec<Signal> {
        let mut signals = Vec::new();
        for slice in &self.slices {
            let mut add = |name: String, metric: Option<&Metric>, value: f64| {
                let evidence =
                    metric.and_then(|metric| serde_json::to_value(metric).ok()).unwrap_or_default();
                let signal = Signal::new(name, value).with_label("variant", slice.variant.as_str());
                signals.push(signal.with_label("segment", slice.segment_label()).with_evidence(evidence));
            };
            if slice.labelled >= self.min_labels {
                for metric in &slice.metrics {
                    add(format!("performance.{}", metric.name), Some(metric), metric.value);
                }
            }
            for metric in slice.estimated.iter().filter(|metric| metric.samples >= self.min_labels) {
                add(format!("performance.estimated.{}", metric.name), Some(metric), metric.value);
            }
            if let Some(coverage) = slice.coverage().filter(|_| slice.predictions >= self.min_labels) {
                add("performance.label_coverage".to_owned(), None, coverage);
            }
        }
        for change in &self.changes {
            let signal = Signal::new("performance.errors_changed", f64::from(u8::from(change.changed)));
            signals.push(signal.with_label("variant", change.variant.as_str()));
        }
        for fairness in &self.fairness {
            let numbers = [
                ("demographic_parity_difference", Some(fairness.demographic_parity_difference)),
                ("demographic_parity_ratio", fairness.demographic_parity_ratio),
                ("equal_opportunity_difference", Some(fairness.equal_opportunity_difference)),
                ("equalized_odds_difference", Some(fairness.equalized_odds_difference)),
            ];
            for (name, value) in numbers {
                let Some(value) = value else { continue };
                let signal = Signal::new(format!("fairness.{name}"), value);
                let signal = signal.with_label("variant", fairness.variant.as_str());
                signals.push(signal.with_label("attribute", fairness.attribute.as_str()));
            }
        }
        signals
    }
}

impl PerformanceSlice {
    /// The metric of that name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// The metric of that name as it is expected without labels.
    #[must_use]
    pub fn estimate(&self, name: &str) -> Option<&Metric> {
        self.estimated.iter().find(|metric| metric.name == name)
    }

    /// The share of rows whose label has come; `None` without rows.
    #[must_use]
    pub fn coverage(&self) -> Option<f64> {
        (self.predictions > 0).then(|| self.labelled as f64 / self.predictions as f64)
    }

    /// `country=NO`; empty for the whole.
    #[must_use]
    pub fn segment_label(&self) -> String {
        self.segment.as_ref().map(|(attribute, value)| format!("{attribute}={value}")).unwrap_or_default()
    }
}

impl Metric {
    pub(super) fn wilson(sample: BinomialSample) -> Option<(f64, f64)> {
        let interval = proportion_interval(sample, CONFIDENCE, ProportionIntervalMethod::Wilson).ok()?;
        Some((interval.lower, interval.upper))
    }
}

/// `0.934` or `0.934 [0.912, 0.951]`.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4}", self.value)?;
        self.interval.map_or(Ok(()), |(low, high)| write!(f, " [{low:.4}, {high:.4}]"))
    }
}

impl fmt::Display for PerformanceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LabelCounts { joined, late, duplicate, conflicting, unknown, waiting } = self.labels;
        writeln!(
            f,
            "labels: {joined} joined, {late} late, {duplicate} duplicate, {conflicting} conflicting, {unknown} unknown, \
             {waiting} waiting; {} rows let go without one",
            self.expired
        )?;
        for slice in &self.slices {
            let named = [slice.variant.clone(), slice.segment_label()];
            let named: Vec<_> = named.into_iter().filter(|name| !name.is_empty()).collect();
            let name = if named.is_empty() { "all".to_owned() } else { named.join(", ") };
            write!(f, "{name}: {} of {} rows labelled", slice.labelled, slice.predictions)?;
            if slice.labelled < self.min_labels {
                write!(f, " (too few to judge)")?;
            }
            writeln!(f)?;
            for metric in &slice.metrics {
                write!(f, "  {:<22} {metric}", metric.name)?;
                match slice.estimate(&metric.name) {
                    Some(estimate) => writeln!(f, " (expected {:.4})", estimate.value)?,
                    None => writeln!(f)?,
                }
            }
            for metric in slice.estimated.iter().filter(|estimate| slice.metric(&estimate.name).is_none()) {
                writeln!(f, "  {:<22} expected {metric}", metric.name)?;
            }
        }
        for change in self.changes.iter().filter(|change| change.changed) {
            let (variant, changes) = (&change.variant, change.changes);
            writeln!(
                f,
                "errors of {variant:?} have changed: {changes} times within {} labels",
                change.labels
            )?;
        }
        for fairness in &self.fairness {
            write!(f, "fairness by {}", fairness.attribute)?;
            if !fairness.variant.is_empty() {
                write!(f, " of {}", fairness.variant)?;
            }
            writeln!(
                f,
                ": parity differs by {:.4}, opportunity by {:.4}, odds by {:.4} over {} groups",
                fairness.demographic_parity_difference,
                fairness.equal_opportunity_difference,
                fairness.equalized_odds_difference,
                fairness.groups
            )?;
        }
        Ok(())
    }
}
