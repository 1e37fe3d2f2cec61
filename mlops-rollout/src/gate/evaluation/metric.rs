//! The metrics that gates compute themselves, by name.

use std::ops::RangeInclusive;

/// A metric that can be computed from the rows of an [`Evaluation`](super::Evaluation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Metric {
    Accuracy,
    Precision,
    Recall,
    Specificity,
    FalsePositiveRate,
    NegativePredictiveValue,
    SelectionRate,
    F1,
    BalancedAccuracy,
    Mcc,
    CohenKappa,
    RocAuc,
    AveragePrecision,
    LogLoss,
    BrierScore,
    CalibrationError,
    PrecisionMacro,
    RecallMacro,
    F1Macro,
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
    MedianAbsoluteError,
    Bias,
    R2,
}

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Better {
    Higher,
    Lower,
    /// Neither: closer to something that the metric does not know.
    Neither,
}

const SHARE: RangeInclusive<f64> = 0.0..=1.0;
const CORRELATION: RangeInclusive<f64> = -1.0..=1.0;
const LOSS: RangeInclusive<f64> = 0.0..=f64::MAX;
const ANY: RangeInclusive<f64> = f64::MIN..=f64::MAX;

const KNOWN: [(&str, Metric, Better, RangeInclusive<f64>); 25] = [
    ("accuracy", Metric::Accuracy, Better::Higher, SHARE),
    ("precision", Metric::Precision, Better::Higher, SHARE),
    ("recall", Metric::Recall, Better::Higher, SHARE),
    ("specificity", Metric::Specificity, Better::Higher, SHARE),
    ("false_positive_rate", Metric::FalsePositiveRate, Better::Lower, SHARE),
    ("negative_predictive_value", Metric::NegativePredictiveValue, Better::Higher, SHARE),
    ("selection_rate", Metric::SelectionRate, Better::Neither, SHARE),
    ("f1", Metric::F1, Better::Higher, SHARE),
    ("balanced_accuracy", Metric::BalancedAccuracy, Better::Higher, SHARE),
    ("mcc", Metric::Mcc, Better::Higher, CORRELATION),
    ("cohen_kappa", Metric::CohenKappa, Better::Higher, CORRELATION),
    ("roc_auc", Metric::RocAuc, Better::Higher, SHARE),
    ("average_precision", Metric::AveragePrecision, Better::Higher, SHARE),
    ("log_loss", Metric::LogLoss, Better::Lower, LOSS),
    ("brier_score", Metric::BrierScore, Better::Lower, SHARE),
    ("calibration_error", Metric::CalibrationError, Better::Lower, SHARE),
    ("precision_macro", Metric::PrecisionMacro, Better::Higher, SHARE),
    ("recall_macro", Metric::RecallMacro, Better::Higher, SHARE),
    ("f1_macro", Metric::F1Macro, Better::Higher, SHARE),
    ("mae", Metric::MeanAbsoluteError, Better::Lower, LOSS),
    ("mse", Metric::MeanSquaredError, Better::Lower, LOSS),
    ("rmse", Metric::RootMeanSquaredError, Better::Lower, LOSS),
    ("median_absolute_error", Metric::MedianAbsoluteError, Better::Lower, LOSS),
    ("bias", Metric::Bias, Better::Neither, ANY),
    ("r2", Metric::R2, Better::Higher, f64::MIN..=1.0),
];

impl Metric {
    /// The metric of that name, where it is one of those that can be computed.
    pub(in crate::gate) fn named(name: &str) -> Option<Self> {
        KNOWN.iter().find(|(known, ..)| *known == name).map(|(_, metric, ..)| *metric)
    }

    pub(in crate::gate) fn name(self) -> &'static str {
        KNOWN.iter().find(|(_, metric, ..)| *metric == self).map_or("unknown", |(name, ..)| name)
    }

    /// Which way the metric of that name is better; of a name that is not known, higher.
    pub(in crate::gate) fn better(name: &str) -> Better {
        KNOWN.iter().find(|(known, ..)| *known == name).map_or(Better::Higher, |(_, _, better, _)| *better)
    }

    /// Whether the metric of that name can have that value.
    pub(in crate::gate) fn is_possible(name: &str, value: f64) -> bool {
        let range = KNOWN.iter().find(|(known, ..)| *known == name).map_or(ANY, |(.., range)| range.clone());
        range.contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for (index, (name, metric, ..)) in KNOWN.iter().enumerate() {
            assert_eq!(Metric::named(name), Some(*metric));
            assert_eq!(metric.name(), *name);
            assert!(KNOWN[..index].iter().all(|(before, other, ..)| before != name && other != metric));
        }
    }

    #[test]
    fn impossible_values_are_known() {
        assert!(Metric::is_possible("accuracy", 1.0) && !Metric::is_possible("accuracy", 1.0001));
        assert!(!Metric::is_possible("log_loss", -0.1) && !Metric::is_possible("r2", 2.0));
        assert!(Metric::is_possible("of your own", -1e300));
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!Metric::is_possible("of your own", value) && !Metric::is_possible("bias", value));
        }
    }
}
