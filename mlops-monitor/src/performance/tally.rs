//! Pairs of prediction and label, counted.

use mlops_core::stats::{
    Average, BinomialSample, CalibrationBins, ConfusionMatrix, MulticlassAuc, MulticlassMatrix,
    RegressionErrors, ReliabilityBin, ScoreCurve, StatsError, brier_score, expected_calibration_error,
    log_loss, multiclass_log_loss, multiclass_roc_auc, quantiles, reliability_bins,
};

use super::ranking;
use super::report::{LabelDelay, Metric};
use super::sample::Sample;
use super::store::Joined;
use super::task::{Predicted, Task, Truth};

/// Bins of a reliability diagram.
const BINS: usize = 10;

/// Pairs of prediction and label: exact counts, and a sample of the pairs.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    labelled: u64,
    right: u64,
    matrix: ConfusionMatrix,
    pairs: Sample<Pair>,
}

#[derive(Debug, Clone)]
struct Pair {
    predicted: Predicted,
    truth: Truth,
    delay: f32,
}

impl Tally {
    pub(super) fn new(sample: usize) -> Self {
        Self { labelled: 0, right: 0, matrix: ConfusionMatrix::default(), pairs: Sample::new(sample) }
    }

    pub(super) fn add(&mut self, task: &Task, joined: &Joined) {
        let Joined { predicted, truth, .. } = joined;
        self.labelled += 1;
        match (task, predicted, truth) {
            (Task::Binary { threshold, .. }, Predicted::Probability(probability), Truth::Positive(label)) => {
                let positive = probability >= threshold;
                self.matrix.observe(*label, positive, 1.0);
                self.right += u64::from(positive == *label);
            }
            (_, predicted, Truth::Class(class)) => {
                self.right += u64::from(class_of(predicted) == Some(*class));
            }
            _ => {}
        }
        let pair = Pair { predicted: predicted.clone(), truth: truth.clone(), delay: joined.delay as f32 };
        self.pairs.add(joined.hash, pair);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.labelled += other.labelled;
        self.right += other.right;
        let (a, b) = (&mut self.matrix, &other.matrix);
        a.true_positives += b.true_positives;
        a.false_positives += b.false_positives;
        a.true_negatives += b.true_negatives;
        a.false_negatives += b.false_negatives;
        self.pairs.merge(&other.pairs);
    }

    pub(super) fn labelled(&self) -> u64 {
        self.labelled
    }

    /// The counts of a binary classifier, if there are any.
    pub(super) fn matrix(&self) -> Option<ConfusionMatrix> {
        (self.matrix.total() > 0.0).then_some(self.matrix)
    }

    /// How long labels took.
    pub(super) fn delay(&self) -> Option<LabelDelay> {
        let delays: Vec<f64> = self.pairs.sorted().iter().map(|pair| f64::from(pair.delay)).collect();
        let [median, p90, p99] = quantiles(&delays, &[0.5, 0.9, 0.99]).ok()?.try_into().ok()?;
        Some(LabelDelay { median, p90, p99 })
    }

    /// The bars of a reliability diagram of a binary classifier.
    pub(super) fn reliability(&self) -> Vec<ReliabilityBin> {
        let (labels, scores) = self.scores();
        reliability_bins(&labels, &scores, BINS, CalibrationBins::EqualMass).unwrap_or_default()
    }

    /// All metrics that have a value.
    pub(super) fn metrics(&self, task: &Task) -> Vec<Metric> {
        match task {
            Task::Binary { .. } => self.binary(),
            Task::Multiclass { classes, .. } => self.multiclass(classes.len()),
            Task::Regression { .. } => self.regression(),
            Task::Ranking { at, .. } => self.ranking(*at),
        }
    }

    fn binary(&self) -> Vec<Metric> {
        let (labels, scores) = self.scores();
        let mut metrics =
            Metrics { labels: self.labelled, sample: self.pairs.len() as u64, found: Vec::new() };
        let matrix = &self.matrix;
        metrics.share("accuracy", matrix.accuracy(), matrix.total());
        metrics.share("precision", matrix.precision(), matrix.predicted_positives());
        metrics.share("recall", matrix.recall(), matrix.positives());
        metrics.exact("f1", matrix.f1());
        metrics.exact("balanced_accuracy", matrix.balanced_accuracy());
        metrics.exact("mcc", matrix.mcc());
        if let Ok(curve) = ScoreCurve::new(&labels, &scores, None) {
            metrics.sampled("roc_auc", curve.roc_auc());
            metrics.sampled("average_precision", curve.average_precision());
        }
        metrics.sampled("log_loss", log_loss(&labels, &scores, None));
        metrics.sampled("brier_score", brier_score(&labels, &scores, None));
        let bins = CalibrationBins::EqualWidth;
        metrics.sampled("calibration_error", expected_calibration_error(&labels, &scores, BINS, bins));
        metrics.found
    }

    fn multiclass(&self, classes: usize) -> Vec<Metric> {
        let (mut labels, mut predicted) = (Vec::new(), Vec::new());
        let (mut known, mut probabilities) = (Vec::new(), Vec::new());
        for pair in self.pairs.sorted() {
            let (&Truth::Class(label), Some(class)) = (&pair.truth, class_of(&pair.predicted)) else {
                continue;
            };
            labels.push(label as usize);
            predicted.push(class as usize);
            if let Predicted::Probabilities(row) = &pair.predicted {
                known.push(label as usize);
                let total: f64 = row.iter().map(|share| f64::from(*share)).sum();
                probabilities.extend(row.iter().map(|share| f64::from(*share) / total));
            }
        }
        let mut metrics =
            Metrics { labels: self.labelled, sample: self.pairs.len() as u64, found: Vec::new() };
        let labelled = self.labelled as f64;
        metrics.share("accuracy", Ok(self.right as f64 / labelled), labelled);
        if let Ok(matrix) = MulticlassMatrix::new(&labels, &predicted, classes) {
            metrics.sampled("precision_macro", matrix.precision(Average::Macro));
            metrics.sampled("recall_macro", matrix.recall(Average::Macro));
            metrics.sampled("f1_macro", matrix.f1(Average::Macro));
            metrics.sampled("mcc", matrix.mcc());
        }
        metrics.sampled("log_loss", multiclass_log_loss(&known, &probabilities, classes));
        let auc = multiclass_roc_auc(&known, &probabilities, classes, MulticlassAuc::OneVsRest);
        metrics.sampled("roc_auc", auc);
        metrics.found
    }

    fn regression(&self) -> Vec<Metric> {
        let pairs = self.pairs.sorted();
        let (actual, predicted): (Vec<f64>, Vec<f64>) = pairs
            .iter()
            .filter_map(|pair| match (&pair.truth, &pair.predicted) {
                (Truth::Number(actual), Predicted::Number(predicted)) => Some((*actual, *predicted)),
                _ => None,
            })
            .unzip();
        let mut metrics =
            Metrics { labels: self.labelled, sample: self.pairs.len() as u64, found: Vec::new() };
        if let Ok(errors) = RegressionErrors::new(&actual, &predicted) {
            metrics.sampled("mae", Ok(errors.mean_absolute()));
            metrics.sampled("rmse", Ok(errors.root_mean_squared()));
            metrics.sampled("bias", Ok(errors.bias()));
            metrics.sampled("median_absolute_error", errors.median_absolute());
            metrics.sampled("r2", errors.r2());
        }
        metrics.found
    }

    fn ranking(&self, at: usize) -> Vec<Metric> {
        let pairs = self.pairs.sorted();
        let queries: Vec<_> =
            pairs.iter().filter_map(|pair| ranking::grades_of(&pair.predicted, &pair.truth)).collect();
        let mut metrics = Metrics { labels: self.labelled, sample: queries.len() as u64, found: Vec::new() };
        for (name, value, queries) in ranking::metrics(&queries, at) {
            metrics.push(&name, value, queries);
        }
        metrics.found
    }

    /// Labels and probabilities of a binary classifier.
    fn scores(&self) -> (Vec<bool>, Vec<f64>) {
        let pairs = self.pairs.sorted();
        let pairs = pairs.iter().filter_map(|pair| match (&pair.truth, &pair.predicted) {
            (Truth::Positive(label), Predicted::Probability(probability)) => Some((*label, *probability)),
            _ => None,
        });
        pairs.unzip()
    }
}

/// The class that is predicted: the most probable one, the first of those that tie.
pub(super) fn class_of(predicted: &Predicted) -> Option<u32> {
    match predicted {
        Predicted::Class(class) => Some(*class),
        Predicted::Probabilities(row) => {
            let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter().position(|share| *share == best).map(|class| class as u32)
        }
        Predicted::Probability(_) | Predicted::Number(_) | Predicted::Ranking(_) => None,
    }
}

/// Metrics as they are found. What is undefined has no value and is left out.
struct Metrics {
    labels: u64,
    sample: u64,
    found: Vec<Metric>,
}

impl Metrics {
    fn exact(&mut self, name: &str, value: Result<f64, StatsError>) {
        self.push(name, value, self.labels);
    }

    fn sampled(&mut self, name: &str, value: Result<f64, StatsError>) {
        self.push(name, value, self.sample);
    }

    /// A share of `trials`, with its interval.
    fn share(&mut self, name: &str, value: Result<f64, StatsError>, trials: f64) {
        self.exact(name, value);
        if let Some(metric) = self.found.last_mut().filter(|metric| metric.name == name) {
            let successes = (metric.value * trials).round() as u64;
            metric.interval = BinomialSample::new(successes, trials as u64).ok().and_then(Metric::wilson);
        }
    }

    fn push(&mut self, name: &str, value: Result<f64, StatsError>, samples: u64) {
        if let Ok(value) = value
            && !value.is_nan()
        {
            self.found.push(Metric { name: name.to_owned(), value, interval: None, samples });
        }
    }
}
