//! Drift that no feature shows alone.

use std::sync::Mutex;

use metrics::counter;
use mlops_core::metrics::OBSERVATIONS_DROPPED_TOTAL;
use mlops_core::stats::{median_heuristic, mmd_permutation_test};
use mlops_core::{Assessment, Error, Observer, Prediction, Result, Role, Tensors, Verdict};
use ndarray::ArrayView2;

use crate::sampler::split_mix;
use crate::sync::lock;
use crate::{Features, TableColumn};

/// Standardised values are kept within so many standard deviations, so that no outlier drowns the others.
const FARTHEST: f64 = 6.0;
/// What the test takes of both samples together is twice that.
const MOST_ROWS: usize = 4_096;
/// The test, as assessments name it.
const TEST: &str = "mmd";

/// Watches all features together: correlations that break while every feature looks as before.
///
/// It keeps a sample of rows of the reference and one of the window (algorithm R: every row is as likely to be in
/// it, Vitter, ACM Transactions on Mathematical Software 11(1), 1985), standardises them by the reference, and compares
/// them by the maximum mean discrepancy, with a bandwidth that is taken from the reference once
/// ([`median_heuristic`]) and the p-value of a permutation test ([`mmd_permutation_test`]), which holds for samples of
/// any size and any distribution.
///
/// A missing value counts as the mean of its feature. Since the samples are bounded, so is what can be significant:
/// with the defaults and two features, a correlation of 0.5 that vanishes is found in 99 of 100 windows of 2,000 rows, one
/// of 0.3 in half of them. All features weigh the same, so a change of few among hundreds is better found feature by feature.
///
/// Memory: 8 bytes per value of both samples; an assessment takes `8 (2 rows)²` bytes, 8 MB with the defaults, for the
/// time of some 10⁸ additions.
///
/// ```
/// use mlops_core::Verdict;
/// use mlops_monitor::{MultivariateDetector, MultivariateOptions};
/// use ndarray::Array2;
///
/// // Two features that go together ...
/// let wave = |row: usize| (row as f64 * 0.7).sin();
/// let reference = Array2::from_shape_fn((500, 2), |(row, _)| wave(row));
/// let detector = MultivariateDetector::new(reference.view(), MultivariateOptions::default())?;
/// // ... and do so no longer.
/// for row in 0..500 {
///     detector.observe_row(&[wave(row), -wave(row)])?;
/// }
/// assert_eq!(detector.assess().verdict, Verdict::Drifted);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MultivariateDetector {
    options: MultivariateOptions,
    /// Mean and standard deviation of each feature.
    scales: Vec<(f64, f64)>,
    /// Rows one after the other.
    reference: Vec<f64>,
    reference_size: u64,
    bandwidth: f64,
    window: Mutex<Reservoir>,
    /// Where the features are in live predictions.
    features: Option<Features>,
}

/// Options of a [`MultivariateDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MultivariateOptions {
    /// The most rows of each sample, 2 to 4,096. Default 500.
    pub rows: usize,
    /// How many random divisions the p-value is made of. Default 199.
    pub permutations: u32,
    /// The p-value up to which the verdict is drift; it cannot be below `1/(permutations + 1)`. Default 0.01.
    pub alpha: f64,
    /// The least number of rows on each side. Default 50.
    pub min_samples: u64,
    /// Where chance begins: the same rows and the same seed give the same assessment.
    pub seed: u64,
}

impl Default for MultivariateOptions {
    fn default() -> Self {
        Self { rows: 500, permutations: 199, alpha: 0.01, min_samples: 50, seed: 0 }
    }
}

impl MultivariateOptions {
    /// Sets the most rows of each sample.
    #[must_use]
    pub fn with_rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// Sets how many random divisions the p-value is made of.
    #[must_use]
    pub fn with_permutations(mut self, permutations: u32) -> Self {
        self.permutations = permutations;
        self
    }

    /// Sets the p-value up to which the verdict is drift.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the least number of rows on each side.
    #[must_use]
    pub fn with_min_samples(mut self, min_samples: u64) -> Self {
        self.min_samples = min_samples;
        self
    }

    /// Sets where chance begins.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    fn check(&self) -> Result<()> {
        super::check_alpha(self.alpha)?;
        if !(2..=MOST_ROWS).contains(&self.rows) {
            let rows = self.rows;
            return Err(Error::invalid_input(format!(
                "samples of {rows} rows; 2 to {MOST_ROWS} are possible"
            )));
        }
        if 1.0 / (f64::from(self.permutations) + 1.0) > self.alpha {
            return Err(Error::invalid_input(format!(
                "{} permutations can give no p-value of {}: take at least {}",
                self.permutations,
                self.alpha,
                (1.0 / self.alpha).ceil() as u64
            )));
        }
        Ok(())
    }
}

/// A sample of the rows that have come, each as likely to be in it.
#[derive(Debug, Default)]
struct Reservoir {
    rows: Vec<f64>,
    seen: u64,
}

impl Reservoir {
    /// Where in a sample of `most` rows the next row belongs, if it does.
    fn place(&mut self, most: usize, seed: u64) -> Option<usize> {
        let number = self.seen;
        self.seen += 1;
        let place =
            if number < most as u64 { number } else { split_mix(seed ^ split_mix(number)) % self.seen };
        usize::try_from(place).ok().filter(|place| *place < most)
    }

    fn put(&mut self, place: usize, row: impl ExactSizeIterator<Item = f64>) {
        let width = row.len();
        let begin = place * width;
        if begin >= self.rows.len() {
            self.rows.extend(row);
        } else if let Some(slot) = self.rows.get_mut(begin..begin + width) {
            slot.iter_mut().zip(row).for_each(|(slot, value)| *slot = value);
        }
    }
}

impl MultivariateDetector {
    /// Compares with `reference`: rows × features, NaN is a missing value.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when an option is impossible, or the reference has fewer than two rows, no feature, or no
    /// feature that varies.
    pub fn new(reference: ArrayView2<'_, f64>, options: MultivariateOptions) -> Result<Self> {
        options.check()?;
        let scales: Vec<(f64, f64)> =
            reference.columns().into_iter().map(|column| scale(column.iter().copied())).collect();
        let mut sample = Reservoir::default();
        for row in reference.rows() {
            if let Some(place) = sample.place(options.rows, options.seed) {
                sample.put(place, row.iter().zip(&scales).map(|(value, scale)| standardised(*value, *scale)));
            }
        }
        let (first, rest) = sample.rows.split_at(sample.rows.len().min(scales.len()));
        let bandwidth = median_heuristic(first, rest, scales.len().max(1)).map_err(|error| {
            Error::invalid_input("the reference has no rows that differ: there is nothing to compare with")
                .with_source(error)
        })?;
        Ok(Self {
            options,
            scales,
            reference: sample.rows,
            reference_size: reference.nrows() as u64,
            bandwidth,
            window: Mutex::default(),
            features: None,
        })
    }

    /// Says where the features are in predictions, so that it can observe them: a numeric feature per column of the
    /// reference, in their order.
    ///
    /// As an [`Observer`] it takes the rows of predictions that succeeded and that callers got. What does not fit is
    /// dropped and counted in [`OBSERVATIONS_DROPPED_TOTAL`] (`multivariate`).
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is not one feature per column of the reference.
    pub fn with_features(mut self, features: Features) -> Result<Self> {
        if features.len() != self.scales.len() {
            let (found, expected) = (features.len(), self.scales.len());
            return Err(Error::invalid_input(format!(
                "{found} features for a reference of {expected} columns"
            )));
        }
        self.features = Some(features);
        Ok(self)
    }

    /// Takes a row: a value per feature; NaN is a missing value. Waits for no one: a row that comes while another
    /// is taken or the window is copied is left out.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it does not hold one value per feature. Then nothing was taken.
    pub fn observe_row(&self, row: &[f64]) -> Result<()> {
        if row.len() != self.scales.len() {
            let (found, features) = (row.len(), self.scales.len());
            return Err(Error::invalid_input(format!("a row of {found} values for {features} features")));
        }
        if let Ok(mut window) = self.window.try_lock()
            && let Some(place) = window.place(self.options.rows, !self.options.seed)
        {
            window
                .put(place, row.iter().zip(&self.scales).map(|(value, scale)| standardised(*value, *scale)));
        }
        Ok(())
    }

    /// What the window says: the unbiased squared discrepancy, 0 in expectation without a change, and its p-value.
    #[must_use]
    pub fn assess(&self) -> Assessment {
        let (current, seen) = {
            let window = lock(&self.window);
            (window.rows.clone(), window.seen)
        };
        let (n, m) = (self.reference_size, seen);
        let too_few = || Assessment::too_few_samples(TEST, n, m);
        if n.min(m) < self.options.min_samples {
            return too_few();
        }
        let Some((score, p_value)) = self.test(&current) else { return too_few() };
        let verdict = if p_value <= self.options.alpha { Verdict::Drifted } else { Verdict::Stable };
        Assessment::new(TEST, score, verdict, n, m).with_p_value(p_value)
    }

    /// Begins a new window.
    pub fn reset(&self) {
        *lock(&self.window) = Reservoir::default();
    }

    fn test(&self, current: &[f64]) -> Option<(f64, f64)> {
        let MultivariateOptions { permutations, seed, .. } = self.options;
        let width = self.scales.len();
        let test = mmd_permutation_test(&self.reference, current, width, self.bandwidth, permutations, seed);
        test.ok().map(|test| (test.mmd.unbiased, test.p_value))
    }

    /// Takes the rows of a prediction, if all of its features are there and numeric.
    fn observe_tensors(&self, features: &Features, inputs: &Tensors, outputs: &Tensors) -> Result<()> {
        let columns = features.columns(inputs, outputs)?;
        let columns: Option<Vec<&[f64]>> = columns.iter().map(TableColumn::as_numbers).collect();
        let columns = columns.ok_or_else(|| Error::invalid_input("a feature holds words"))?;
        let rows = columns.first().map_or(0, |first| first.len());
        if columns.iter().any(|column| column.len() != rows) {
            return Err(Error::invalid_input("tensors differ in their number of rows"));
        }
        let mut row = Vec::with_capacity(columns.len());
        for index in 0..rows {
            row.clear();
            row.extend(columns.iter().filter_map(|column| column.get(index)));
            self.observe_row(&row)?;
        }
        Ok(())
    }
}

impl Observer for MultivariateDetector {
    fn observe(&self, prediction: &Prediction<'_>) {
        let (Some(features), Ok(response), Role::Primary | Role::Fallback) =
            (&self.features, prediction.result, prediction.role)
        else {
            return;
        };
        if self.observe_tensors(features, &prediction.request.inputs, &response.outputs).is_err() {
            counter!(OBSERVATIONS_DROPPED_TOTAL, "reason" => "multivariate").increment(1);
        }
    }
}

/// Mean and standard deviation of the finite values, in one pass (Welford 1962).
fn scale(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values.filter(|value| value.is_finite()) {
        count += 1.0;
        let before = value - mean;
        mean += before / count;
        squares += before * (value - mean);
    }
    (mean, (squares / f64::max(count, 1.0)).sqrt())
}

/// In standard deviations from the mean; a feature that does not vary by its sign alone.
fn standardised(value: f64, (mean, deviation): (f64, f64)) -> f64 {
    let distance = value - mean;
    let scaled = if deviation > 0.0 { distance / deviation } else { distance * f64::INFINITY };
    if scaled.is_nan() { 0.0 } else { scaled.clamp(-FARTHEST, FARTHEST) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn uniform(state: &mut u64) -> f64 {
        *state += 1;
        split_mix(*state) as f64 / 2.0_f64.powi(64)
    }

    /// About normal, twice, and correlated.
    fn row(state: &mut u64, correlation: f64) -> [f64; 2] {
        let mut normal = || (0..12).map(|_| uniform(state)).sum::<f64>() - 6.0;
        let (a, b) = (normal(), normal());
        [a, correlation * a + (1.0 - correlation * correlation).sqrt() * b]
    }

    fn detector(correlation: f64) -> MultivariateDetector {
        let state = &mut 1;
        let rows: Vec<[f64; 2]> = (0..1_000).map(|_| row(state, correlation)).collect();
        let reference = Array2::from_shape_fn((1_000, 2), |(i, j)| rows[i][j]);
        let options = MultivariateOptions::default().with_rows(100).with_permutations(99);
        MultivariateDetector::new(reference.view(), options).unwrap()
    }

    #[test]
    fn a_correlation_that_breaks_is_seen() {
        let detector = detector(0.8);
        assert_eq!(detector.assess().verdict, Verdict::TooFewSamples);
        let state = &mut 77_777;
        (0..500).for_each(|_| detector.observe_row(&row(state, 0.8)).unwrap());
        let same = detector.assess();
        assert_eq!((same.verdict, same.current_size), (Verdict::Stable, 500));
        assert_eq!(detector.assess(), same);
        detector.reset();
        (0..500).for_each(|_| detector.observe_row(&row(state, -0.8)).unwrap());
        assert_eq!(detector.assess().verdict, Verdict::Drifted);
    }

    /// In how many of so many windows a correlation of the reference that is gone is found.
    fn found(correlation: f64, windows: u64) -> usize {
        let state = &mut 5;
        let rows: Vec<[f64; 2]> = (0..5_000).map(|_| row(state, correlation)).collect();
        let reference = Array2::from_shape_fn((5_000, 2), |(i, j)| rows[i][j]);
        let detector = MultivariateDetector::new(reference.view(), MultivariateOptions::default()).unwrap();
        let drifted = |window: u64| {
            detector.reset();
            let state = &mut (1_000_000 * (window + 1));
            (0..2_000).for_each(|_| detector.observe_row(&row(state, 0.0)).unwrap());
            detector.assess().verdict == Verdict::Drifted
        };
        (0..windows).filter(|window| drifted(*window)).count()
    }

    #[allow(clippy::print_stdout)]
    #[test]
    #[ignore = "measures for a minute in a release build: what the documentation says is seen"]
    fn power_is_as_documented() {
        let shares = [0.0, 0.3, 0.5, 0.7].map(|correlation| found(correlation, 100));
        println!("of 100 windows, correlations of 0, 0.3, 0.5, 0.7 that vanish are found in {shares:?}");
        assert!(shares[0] <= 5 && shares[2] >= 95, "{shares:?}");
    }

    #[test]
    fn it_observes_predictions() {
        let features = || Features::new([crate::TensorFeatures::columns("x", ["a", "b"])]).unwrap();
        let detector = detector(0.5).with_features(features()).unwrap();
        let request = |tensor: mlops_core::Tensor| mlops_core::Request::new(Tensors::new().with("x", tensor));
        let response = mlops_core::Response::default();
        let observe = |tensor, role| {
            let (request, variant) = (request(tensor), mlops_core::Variant::new("stable").unwrap());
            let prediction = Prediction::new(&request, Ok(&response), std::time::Duration::ZERO);
            detector.observe(&prediction.of_variant(&variant, role));
        };
        observe(ndarray::array![[1.0_f32, 2.0], [3.0, 4.0]].into(), Role::Primary);
        observe(ndarray::array![[1.0_f32, 2.0]].into(), Role::Shadow);
        observe(ndarray::array![[1.0_f32, 2.0, 3.0]].into(), Role::Primary);
        assert_eq!(detector.assess().current_size, 2);
        let one = Features::new([crate::TensorFeatures::column("a")]).unwrap();
        assert!(detector.with_features(one).is_err());
    }

    #[test]
    fn any_values_are_taken() {
        let detector = detector(0.0);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 0.0] {
            (0..20).for_each(|_| detector.observe_row(&[value, 1.0]).unwrap());
        }
        let p_value = detector.assess().p_value.unwrap();
        assert!((0.0..=1.0).contains(&p_value));
        assert!(detector.observe_row(&[1.0]).is_err());
        let constant = Array2::from_elem((100, 2), 7.0);
        assert!(MultivariateDetector::new(constant.view(), MultivariateOptions::default()).is_err());
        let few = MultivariateOptions::default().with_permutations(10);
        assert!(MultivariateDetector::new(Array2::eye(10).view(), few).is_err());
    }
}
