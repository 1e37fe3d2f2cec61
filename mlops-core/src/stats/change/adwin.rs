//! Adaptive windowing.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::super::{StatsError, invalid, require_open_unit};
use super::{Change, ChangeDetector};

/// Options of [`Adwin`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AdwinOptions {
    /// Level of false alarms of one comparison, in `(0, 1)`: smaller is more cautious. Default 0.002.
    pub delta: f64,
    /// Looks for a change once in so many observations, at least 1. Default 32.
    pub clock: u32,
    /// Buckets of one size that are kept before two are merged, at least 1: more is finer, slower and
    /// larger. Default 5.
    pub max_buckets: u32,
    /// Observations that either side of a comparison must have, at least 1. Default 5.
    pub min_window_length: u32,
    /// No look before the window is longer than this. Default 10.
    pub grace_period: u32,
}

impl Default for AdwinOptions {
    fn default() -> Self {
        Self { delta: 0.002, clock: 32, max_buckets: 5, min_window_length: 5, grace_period: 10 }
    }
}

impl AdwinOptions {
    /// Sets the level of false alarms of one comparison.
    #[must_use]
    pub fn with_delta(mut self, delta: f64) -> Self {
        self.delta = delta;
        self
    }

    /// Sets how often to look for a change.
    #[must_use]
    pub fn with_clock(mut self, clock: u32) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how many buckets of one size are kept.
    #[must_use]
    pub fn with_max_buckets(mut self, max_buckets: u32) -> Self {
        self.max_buckets = max_buckets;
        self
    }

    /// Sets how many observations either side of a comparison must have.
    #[must_use]
    pub fn with_min_window_length(mut self, min_window_length: u32) -> Self {
        self.min_window_length = min_window_length;
        self
    }

    /// Sets the length of the window up to which there is no look.
    #[must_use]
    pub fn with_grace_period(mut self, grace_period: u32) -> Self {
        self.grace_period = grace_period;
        self
    }
}

/// ADWIN: keeps the longest window whose mean has not changed.
///
/// The window is a list of buckets of `2^r` observations, the older the larger, of which only sum and
/// variance are kept. Each look compares the means of the two sides of every cut between buckets; with `n₀`
/// and `n₁` observations in them, variance `σ²` of the whole window of `n`, `m` the harmonic sum
/// `1/(n₀ - l + 1) + 1/(n₁ - l + 1)` for the least length `l`, and `δ' = ln(2 ln n / δ)`, the window has
/// changed when
///
/// ```text
/// |μ₀ - μ₁| > √(2 m σ² δ') + ⅔ δ' m
/// ```
///
/// Then its oldest bucket is dropped, and the look begins again. The bound holds for observations in
/// `[0, 1]`; other units need scaling for its level, not for its use. The variance takes the square of the
/// observations: keep them below 10¹⁵⁰.
///
/// Takes O(log n) memory for a window of `n`, O(1) amortised time to insert, and O(log n) to look, once in
/// `clock` observations. Source: Bifet & Gavaldà, "Learning from time-changing data with adaptive
/// windowing", SDM 2007; this is river's variant, which starts anew after a detection.
///
/// ```
/// use mlops_core::stats::change::{Adwin, Change, ChangeDetector};
///
/// let mut adwin = Adwin::default();
/// let stream = (0..1_000).map(|i| f64::from(i % 7)).chain((0..1_000).map(|i| 4.0 + f64::from(i % 7)));
/// let change = stream.into_iter().position(|value| adwin.update(value) == Change::Drift);
/// assert!((1_000..1_050).contains(&change.unwrap_or(0)));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adwin {
    options: AdwinOptions,
    /// Row `r` holds buckets of `2^r` observations, the oldest first; the last row is the oldest.
    rows: Vec<VecDeque<Bucket>>,
    width: f64,
    total: f64,
    /// Sum of squared deviations from the mean of the window.
    deviation: f64,
    /// Observations since the last look.
    ticks: u32,
    detections: u64,
    restart: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bucket {
    total: f64,
    deviation: f64,
}

impl Default for Adwin {
    fn default() -> Self {
        Self::with_valid(AdwinOptions::default())
    }
}

impl Adwin {
    /// An empty window.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when an option is out of its domain.
    pub fn new(options: AdwinOptions) -> Result<Self, StatsError> {
        require_open_unit("delta", options.delta)?;
        let counts = [
            ("clock", options.clock),
            ("max_buckets", options.max_buckets),
            ("min_window_length", options.min_window_length),
        ];
        for (name, count) in counts {
            if count == 0 {
                return Err(invalid(name, "0 is below 1"));
            }
        }
        Ok(Self::with_valid(options))
    }

    fn with_valid(options: AdwinOptions) -> Self {
        Self {
            options,
            rows: Vec::new(),
            width: 0.0,
            total: 0.0,
            deviation: 0.0,
            ticks: 0,
            detections: 0,
            restart: false,
        }
    }

    /// Observations in the window. After a detection: those that are left of it.
    #[must_use]
    pub fn width(&self) -> u64 {
        self.width as u64
    }

    /// Mean of the window; `None` of an empty one.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.width > 0.0).then(|| self.total / self.width)
    }

    /// Variance of the window, over `n`; `None` of an empty one. Approximate once buckets were dropped.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        (self.width > 0.0).then(|| (self.deviation / self.width).max(0.0))
    }

    /// How often the stream has changed, since the detector was made or reset.
    #[must_use]
    pub fn detections(&self) -> u64 {
        self.detections
    }

    /// Buckets in memory.
    #[cfg(test)]
    fn buckets(&self) -> usize {
        self.rows.iter().map(VecDeque::len).sum()
    }

    fn empty(&mut self) {
        self.rows.clear();
        (self.width, self.total, self.deviation) = (0.0, 0.0, 0.0);
        self.ticks = 0;
        self.restart = false;
    }

    fn insert(&mut self, value: f64) {
        if self.width > 0.0 {
            let distance = value - self.total / self.width;
            self.deviation += self.width * distance * distance / (self.width + 1.0);
        }
        self.width += 1.0;
        self.total += value;
        self.push(0, Bucket { total: value, deviation: 0.0 });
        self.merge();
    }

    /// Adds the youngest bucket of a row.
    fn push(&mut self, row: usize, bucket: Bucket) {
        match self.rows.get_mut(row) {
            Some(row) => row.push_back(bucket),
            None => {
                let mut row = VecDeque::with_capacity(self.options.max_buckets as usize + 1);
                row.push_back(bucket);
                self.rows.push(row);
            }
        }
    }

    /// Merges the two oldest buckets of each row that has too many.
    fn merge(&mut self) {
        let mut row = 0;
        let mut size = 1.0;
        while let Some(buckets) = self.rows.get_mut(row)
            && buckets.len() > self.options.max_buckets as usize
            && let (Some(a), Some(b)) = (buckets.pop_front(), buckets.pop_front())
        {
            let distance = (a.total - b.total) / size;
            let deviation = a.deviation + b.deviation + size * distance * distance / 2.0;
            self.push(row + 1, Bucket { total: a.total + b.total, deviation });
            row += 1;
            size *= 2.0;
        }
    }

    /// Drops the oldest buckets while the window has changed; whether it had.
    fn shrink(&mut self) -> bool {
        let mut changed = false;
        while self.has_changed() && self.drop_oldest() {
            changed = true;
        }
        changed
    }

    /// Whether the two sides of any cut differ by more than chance allows.
    ///
    /// With the sum `u` of the older side and the mean `μ` of the window, `μ₀ - μ₁ = (u - n₀μ) n / (n₀n₁)`,
    /// and `m ≥ n / (n₀n₁)`. So a cut can be significant only if `(u - n₀μ)² > 2σ²δ' n₀n₁/n + (⅔δ')²`,
    /// which takes no division and no root; only cuts that pass are compared in full.
    fn has_changed(&self) -> bool {
        const SLACK: f64 = 1.0 - 1e-6;
        let n = self.width;
        let mean = self.total / n;
        let confidence = (2.0 * n.ln() / self.options.delta).ln();
        let variance = (self.deviation / n).max(0.0);
        let slope = 2.0 * variance * confidence / n * SLACK;
        let least = (2.0 / 3.0 * confidence).powi(2) * SLACK;

        let (mut older, mut older_total) = (0.0, 0.0);
        let mut size = ((self.rows.len().max(1) - 1) as f64).exp2();
        for row in self.rows.iter().rev() {
            for bucket in row {
                older += size;
                older_total += bucket.total;
                let distance = older_total - older * mean;
                if distance * distance > slope * (older * (n - older)) + least
                    && self.differ(older, older_total, variance, confidence)
                {
                    return true;
                }
            }
            size *= 0.5;
        }
        false
    }

    /// Whether the means of the two sides of one cut differ significantly.
    fn differ(&self, older: f64, older_total: f64, variance: f64, confidence: f64) -> bool {
        let least = f64::from(self.options.min_window_length);
        let newer = self.width - older;
        if older < least || newer < least {
            return false;
        }
        let difference = (older_total / older - (self.total - older_total) / newer).abs();
        let harmonic = 1.0 / (older - least + 1.0) + 1.0 / (newer - least + 1.0);
        let bound = (2.0 * harmonic * variance * confidence).sqrt() + 2.0 / 3.0 * confidence * harmonic;
        difference > bound
    }

    /// Drops the oldest bucket; whether there was one to drop.
    fn drop_oldest(&mut self) -> bool {
        let size = ((self.rows.len().max(1) - 1) as f64).exp2();
        let Some(row) = self.rows.last_mut() else { return false };
        let Some(bucket) = row.pop_front() else { return false };
        if row.is_empty() {
            self.rows.pop();
        }
        self.width -= size;
        self.total -= bucket.total;
        let distance = bucket.total / size - self.total / self.width;
        self.deviation -= bucket.deviation + size * self.width * distance * distance / (size + self.width);
        true
    }
}

impl ChangeDetector for Adwin {
    fn update(&mut self, value: f64) -> Change {
        if !value.is_finite() {
            return Change::None;
        }
        if self.restart {
            self.empty();
        }
        self.insert(value);
        self.ticks += 1;
        if self.ticks < self.options.clock {
            return Change::None;
        }
        self.ticks = 0;
        if self.width <= f64::from(self.options.grace_period) || !self.shrink() {
            return Change::None;
        }
        self.detections += 1;
        self.restart = true;
        Change::Drift
    }

    fn reset(&mut self) {
        self.empty();
        self.detections = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn invalid_options_are_errors() {
        let defaults = AdwinOptions::default();
        for options in [
            defaults.with_delta(0.0),
            defaults.with_delta(f64::NAN),
            defaults.with_clock(0),
            defaults.with_max_buckets(0),
            defaults.with_min_window_length(0),
        ] {
            assert!(matches!(Adwin::new(options), Err(StatsError::InvalidParameter { .. })), "{options:?}");
        }
    }

    #[test]
    fn an_empty_window_has_no_mean() {
        let mut adwin = Adwin::default();
        assert_eq!((adwin.mean(), adwin.variance(), adwin.width()), (None, None, 0));
        adwin.update(2.0);
        adwin.update(4.0);
        assert_eq!((adwin.mean(), adwin.variance(), adwin.width()), (Some(3.0), Some(1.0), 2));
    }

    proptest! {
        #[test]
        fn the_window_is_bounded_and_adds_up(
            stream in proptest::collection::vec(-3.0_f64..3.0, 1..3_000), shift in 0.0_f64..9.0,
        ) {
            let mut adwin = Adwin::default();
            let (mut since, n) = (0, stream.len());
            for (i, value) in stream.into_iter().enumerate() {
                let restart = adwin.restart;
                adwin.update(if i < n / 2 { value } else { value + shift });
                since = if restart { 1 } else { since + 1 };
                prop_assert!(adwin.width() <= since);
                let rows = (adwin.width() as f64 + 1.0).log2() as usize + 1;
                prop_assert!(adwin.buckets() <= rows * 5, "{} buckets of {}", adwin.buckets(), adwin.width());
                let held: usize = adwin.rows.iter().enumerate().map(|(r, row)| row.len() << r).sum();
                prop_assert_eq!(held as u64, adwin.width());
                let total: f64 = adwin.rows.iter().flatten().map(|bucket| bucket.total).sum();
                prop_assert!((total - adwin.total).abs() < 1e-6);
            }
        }

        #[test]
        fn the_cheap_test_misses_no_cut(
            stream in proptest::collection::vec(-3.0_f64..3.0, 12..600), shift in 0.0_f64..9.0,
        ) {
            let options = AdwinOptions::default().with_clock(u32::MAX).with_delta(0.2);
            let mut adwin = Adwin::new(options).unwrap();
            let n = stream.len();
            for (i, value) in stream.into_iter().enumerate() {
                adwin.update(if i < n / 2 { value } else { value + shift });
            }
            let (width, variance) = (adwin.width, adwin.variance().unwrap());
            let confidence = (2.0 * width.ln() / 0.2).ln();
            let (mut older, mut total, mut any) = (0.0, 0.0, false);
            for (row, buckets) in adwin.rows.iter().enumerate().rev() {
                for bucket in buckets {
                    older += f64::from(1_u32 << row);
                    total += bucket.total;
                    any |= older < width && adwin.differ(older, total, variance, confidence);
                }
            }
            prop_assert_eq!(adwin.has_changed(), any);
        }
    }
}
