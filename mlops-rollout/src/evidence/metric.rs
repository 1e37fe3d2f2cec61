//! A numeric metric, in fixed memory.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use mlops_core::stats::{PairedMoments, SampleMoments};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::exact::{Fixed, ProductSum, Sum};
use super::finite::Finite;
use super::lowest::{Lowest, SharedLowest};

/// Values that are kept of each metric.
const SAMPLE: usize = 512;
/// Parts of a metric that threads record in at the same time.
const STRIPES: usize = 4;

/// The values of a numeric metric of one variant: count, mean, variance and extremes of all of them, and a
/// uniform sample of 512.
///
/// Sums are kept without rounding, as multiples of 2⁻⁹⁶ for values and of 2⁻¹⁹² for their squares. So what
/// replicas saw [merges](Self::merge) to the bit, in any order, and a mean far from zero costs the variance no
/// digit. Values finer than 10⁻²⁹ are cut, and what is no number, or beyond ± 4 · 10²⁸, is
/// [refused and counted](Self::refused).
///
/// ```
/// use mlops_rollout::MetricEvidence;
///
/// let mut revenue: MetricEvidence = [3.0, 5.0, f64::NAN].into_iter().collect();
/// revenue.merge(&[1.0].into_iter().collect());
/// assert_eq!((revenue.count(), revenue.refused(), revenue.mean()), (3, 1, Some(3.0)));
/// assert_eq!((revenue.variance(), revenue.max()), (Some(4.0), Some(5.0)));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricEvidence {
    #[serde(flatten)]
    moments: Moments,
    sample: Lowest<Finite, SAMPLE>,
}

/// Sums over all values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Moments {
    count: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    refused: u64,
    min: Option<Finite>,
    max: Option<Finite>,
    sum: Sum,
    squares: ProductSum,
    #[serde(default, skip_serializing_if = "Covariate::is_absent")]
    covariate: Covariate,
}

/// Sums over what was known of each value before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Covariate {
    sum: Sum,
    squares: ProductSum,
    /// With the values.
    products: ProductSum,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            count: 0,
            refused: 0,
            min: None,
            max: None,
            sum: Sum::ZERO,
            squares: ProductSum::ZERO,
            covariate: Covariate::default(),
        }
    }
}

impl Default for Covariate {
    fn default() -> Self {
        Self { sum: Sum::ZERO, squares: ProductSum::ZERO, products: ProductSum::ZERO }
    }
}

impl Covariate {
    fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Moments {
    /// Takes in a value, unless it is refused.
    fn add(&mut self, value: f64, before: Option<f64>) -> Option<Finite> {
        let number = Fixed::new(value).zip(Finite::new(value)).zip(Fixed::new(before.unwrap_or(0.0)));
        let Some(((number, finite), before)) = number else {
            self.refused = self.refused.saturating_add(1);
            return None;
        };
        self.count = self.count.saturating_add(1);
        self.min = self.min.map_or(Some(finite), |min| Some(min.min(finite)));
        self.max = self.max.max(Some(finite));
        self.sum.add_number(number);
        self.squares.add_product(number, number);
        self.covariate.sum.add_number(before);
        self.covariate.squares.add_product(before, before);
        self.covariate.products.add_product(before, number);
        Some(finite)
    }

    fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.refused = self.refused.saturating_add(other.refused);
        self.min = self.min.into_iter().chain(other.min).min();
        self.max = self.max.max(other.max);
        self.sum.add(&other.sum);
        self.squares.add(&other.squares);
        self.covariate.sum.add(&other.covariate.sum);
        self.covariate.squares.add(&other.covariate.squares);
        self.covariate.products.add(&other.covariate.products);
    }

    fn of_values(&self) -> SampleMoments {
        self.sample_moments(&self.sum, &self.squares)
    }

    fn of_covariate(&self) -> SampleMoments {
        self.sample_moments(&self.covariate.sum, &self.covariate.squares)
    }

    fn sample_moments(&self, sum: &Sum, squares: &ProductSum) -> SampleMoments {
        let variance = squares.covariance(sum, sum, self.count).max(0.0);
        SampleMoments { count: self.count, mean: sum.mean(self.count), variance }
    }
}

impl MetricEvidence {
    /// How many values were taken in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.moments.count
    }

    /// How many were refused, because they are no number or too large.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.moments.refused
    }

    /// The mean; `None` without a value.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.moments.of_values().mean)
    }

    /// The variance with the divisor n - 1; `None` of less than two values.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        (self.count() > 1).then(|| self.moments.of_values().variance)
    }

    /// The smallest value.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        self.moments.min.map(Finite::value)
    }

    /// The largest value.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.moments.max.map(Finite::value)
    }

    /// Up to 512 of the values, each as likely to be among them as any other.
    pub fn sample(&self) -> impl ExactSizeIterator<Item = f64> {
        self.sample.entries().iter().map(|(_, value)| value.value())
    }

    /// Adds what another replica saw.
    pub fn merge(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
        self.sample.merge(&other.sample);
    }

    /// Values with what was known of their units before, for
    /// [`MeanCheck::with_cuped`](crate::MeanCheck::with_cuped).
    #[must_use]
    pub fn from_pairs(pairs: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut metric = Self::default();
        metric.extend(pairs);
        metric
    }

    /// Whether anything was known before.
    pub(crate) fn has_covariate(&self) -> bool {
        !self.moments.covariate.is_absent()
    }

    pub(crate) fn moments(&self) -> SampleMoments {
        self.moments.of_values()
    }

    pub(crate) fn paired_moments(&self) -> PairedMoments {
        let Moments { count, sum, covariate, .. } = &self.moments;
        PairedMoments {
            before: self.moments.of_covariate(),
            during: self.moments.of_values(),
            covariance: covariate.products.covariance(&covariate.sum, sum, *count),
        }
    }

    fn add(&mut self, value: f64, before: Option<f64>, priority: u64) {
        if let Some(value) = self.moments.add(value, before) {
            self.sample.insert(priority, value);
        }
    }
}

/// A sample of these values, for one process: replicas that merge draw their own.
impl FromIterator<f64> for MetricEvidence {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut metric = Self::default();
        metric.extend(values);
        metric
    }
}

/// Further values.
impl Extend<f64> for MetricEvidence {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.add(value, None, priority(0, self.count())));
    }
}

/// Further values, each with what was known of its unit before.
impl Extend<(f64, f64)> for MetricEvidence {
    fn extend<I: IntoIterator<Item = (f64, f64)>>(&mut self, pairs: I) {
        pairs
            .into_iter()
            .for_each(|(value, before)| self.add(value, Some(before), priority(0, self.count())));
    }
}

/// A metric that threads record in: a thread takes the first stripe that is free. Sums that are not rounded
/// may lie in as many parts as one likes.
#[derive(Debug)]
pub(super) struct Metric {
    seed: u64,
    stripes: [Mutex<Moments>; STRIPES],
    sample: SharedLowest<Finite, SAMPLE>,
}

impl Metric {
    /// Nothing recorded. Another seed for each metric, variant, window and replica.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, stripes: Default::default(), sample: SharedLowest::default() }
    }

    pub(super) fn record(&self, value: f64, before: Option<f64>) {
        let (stripe, mut moments) = self.stripe();
        let Some(value) = moments.add(value, before) else { return };
        let index = moments.count;
        drop(moments);
        self.sample.offer(priority(self.seed.wrapping_add(stripe as u64), index), value);
    }

    pub(super) fn snapshot(&self) -> MetricEvidence {
        let mut moments = Moments::default();
        for stripe in &self.stripes {
            moments.merge(&stripe.lock().unwrap_or_else(PoisonError::into_inner));
        }
        MetricEvidence { moments, sample: self.sample.snapshot() }
    }

    /// A stripe of one's own, for as long as it takes to add.
    fn stripe(&self) -> (usize, MutexGuard<'_, Moments>) {
        let home = home();
        for offset in 0..STRIPES {
            let index = (home + offset) % STRIPES;
            match self.stripes[index].try_lock() {
                Ok(moments) => return (index, moments),
                Err(TryLockError::Poisoned(poisoned)) => return (index, poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let index = home % STRIPES;
        (index, self.stripes[index].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where a thread tries first.
fn home() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static HOME: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed)));
    HOME.with(Cell::get)
}

/// A random number for the value of that index.
pub(super) fn priority(seed: u64, index: u64) -> u64 {
    xxh3_64_with_seed(&index.to_le_bytes(), seed)
}

#[cfg(test)]
mod tests {
    use mlops_core::stats::{CupedArm, cuped, cuped_from_moments};
    use proptest::prelude::*;

    use super::*;

    fn recorded(seed: u64, values: &[f64]) -> MetricEvidence {
        let metric = Metric::new(seed);
        values.iter().for_each(|value| metric.record(*value, None));
        metric.snapshot()
    }

    proptest! {
        #[test]
        fn replicas_merge_exactly(
            parts in prop::collection::vec(prop::collection::vec(-1e9..1e9_f64, 0..700), 3),
        ) {
            let [a, b, c] = [0, 1, 2].map(|part| recorded(100 * part as u64, &parts[part]));
            let merged = |one: &MetricEvidence, other: &MetricEvidence| {
                let mut one = one.clone();
                one.merge(other);
                one
            };
            let all = merged(&merged(&a, &b), &c);
            prop_assert_eq!(&all, &merged(&c, &merged(&b, &a)));
            prop_assert_eq!(&all, &merged(&MetricEvidence::default(), &all));
            let whole: MetricEvidence = parts.concat().into_iter().collect();
            prop_assert_eq!(&all.moments, &whole.moments);
            prop_assert_eq!(all.sample().len(), whole.sample().len());
            prop_assert!(all.sample().all(|kept| parts.concat().contains(&kept)));
            let json = serde_json::to_string(&all).unwrap();
            prop_assert_eq!(&serde_json::from_str::<MetricEvidence>(&json).unwrap(), &all);
        }
    }

    #[test]
    fn a_sample_is_uniform_over_the_stream() {
        let runs = 40;
        let mut late = 0;
        for run in 0..runs {
            let values: Vec<f64> = (0..5_000).map(f64::from).collect();
            let kept = recorded(1_000 * run, &values);
            assert_eq!(kept.sample().len(), SAMPLE);
            late += kept.sample().filter(|value| *value >= 2_500.0).count();
        }
        // Half of 20,480 with a standard deviation of 68.
        let expected = runs as usize * SAMPLE / 2;
        assert!(late.abs_diff(expected) < 340, "{late} of {expected}");
    }

    #[test]
    fn what_is_no_number_is_counted_apart() {
        let seen = recorded(1, &[f64::NAN, 1.0, f64::INFINITY, 1e300, 3.0]);
        assert_eq!((seen.count(), seen.refused(), seen.mean()), (2, 3, Some(2.0)));
        assert_eq!((seen.min(), seen.max(), seen.variance()), (Some(1.0), Some(3.0), Some(2.0)));
        let none = recorded(1, &[f64::NAN]);
        assert_eq!((none.mean(), none.min(), none.variance(), none.sample().len()), (None, None, None, 0));
    }

    #[test]
    fn threads_lose_nothing() {
        let metric = Metric::new(7);
        std::thread::scope(|scope| {
            for thread in 0..8_u32 {
                let metric = &metric;
                scope.spawn(move || {
                    (0..20_000)
                        .for_each(|index| metric.record(f64::from(thread * 20_000 + index) * 0.1, None));
                });
            }
        });
        let seen = metric.snapshot();
        let alone: MetricEvidence = (0..160_000).map(|index| f64::from(index) * 0.1).collect();
        assert_eq!(seen.moments, alone.moments);
        assert_eq!(seen.sample().len(), SAMPLE);
    }

    #[test]
    fn pairs_give_what_their_values_give() {
        let arm = |shift: f64| -> (Vec<f64>, Vec<f64>) {
            let before: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 101)).collect();
            let during = before.iter().enumerate().map(|(i, x)| 0.9 * x + shift + (i % 7) as f64).collect();
            (before, during)
        };
        let (control, treatment) = (arm(0.0), arm(0.5));
        let of = |(before, during): &(Vec<f64>, Vec<f64>)| {
            let metric = MetricEvidence::from_pairs(during.iter().copied().zip(before.iter().copied()));
            assert!(metric.has_covariate());
            metric.paired_moments()
        };
        let direct = cuped(
            CupedArm { before: &control.0, during: &control.1 },
            CupedArm { before: &treatment.0, during: &treatment.1 },
        );
        let direct = direct.unwrap().test;
        let ours = cuped_from_moments(of(&control), of(&treatment)).unwrap().test;
        assert!((direct.difference - ours.difference).abs() < 1e-10);
        assert!((direct.standard_error - ours.standard_error).abs() < 1e-10);
    }
}
