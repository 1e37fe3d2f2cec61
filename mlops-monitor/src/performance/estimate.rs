//! What is to be expected of predictions whose labels have not come.

use mlops_core::stats::{Cbpe, StatsError};

use super::report::Metric;
use super::sample::Sample;
use super::task::{Predicted, Task};

/// What is to be expected of predictions, from their probabilities alone.
pub(super) fn expected(task: &Task, calibration: Option<&Cbpe>, rows: &Sample<Predicted>) -> Vec<Metric> {
    let samples = rows.len() as u64;
    let metric = |(name, value): (&str, Result<f64, StatsError>)| {
        let value = value.ok().filter(|value| !value.is_nan())?;
        Some(Metric { name: name.to_owned(), value, interval: None, samples })
    };
    match task {
        Task::Binary { threshold, .. } => {
            let scores: Vec<f64> = rows.sorted().into_iter().filter_map(probability).collect();
            let uncalibrated = Cbpe::of_probabilities(*threshold);
            let Ok(cbpe) = calibration.cloned().map_or(uncalibrated, Ok) else { return Vec::new() };
            let Ok(estimate) = cbpe.estimate(&scores) else { return Vec::new() };
            let (matrix, curve) = (estimate.confusion, estimate.curve);
            let metrics = [
                ("accuracy", matrix.accuracy()),
                ("precision", matrix.precision()),
                ("recall", matrix.recall()),
                ("f1", matrix.f1()),
                ("balanced_accuracy", matrix.balanced_accuracy()),
                ("mcc", matrix.mcc()),
                ("roc_auc", curve.roc_auc()),
                ("average_precision", curve.average_precision()),
            ];
            metrics.into_iter().filter_map(metric).collect()
        }
        Task::Multiclass { .. } => {
            let confidences: Vec<f64> = rows.sorted().into_iter().filter_map(confidence).collect();
            let accuracy = confidences.iter().sum::<f64>() / confidences.len() as f64;
            metric(("accuracy", Ok(accuracy))).into_iter().collect()
        }
        Task::Regression { .. } | Task::Ranking { .. } => Vec::new(),
    }
}

fn probability(predicted: &Predicted) -> Option<f64> {
    match predicted {
        Predicted::Probability(probability) => Some(*probability),
        _ => None,
    }
}

/// The probability of the class that is predicted.
fn confidence(predicted: &Predicted) -> Option<f64> {
    match predicted {
        Predicted::Probabilities(row) => {
            let total: f64 = row.iter().map(|share| f64::from(*share)).sum();
            row.iter().copied().reduce(f32::max).map(|best| f64::from(best) / total)
        }
        _ => None,
    }
}
