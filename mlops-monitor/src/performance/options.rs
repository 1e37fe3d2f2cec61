//! What a performance monitor keeps, for how long, and by what it tells predictions apart.

use std::time::Duration;

use mlops_core::{Error, Result};

/// Options of a [`PerformanceMonitor`](super::PerformanceMonitor).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PerformanceOptions {
    /// When a window ends and the next begins. Default one day.
    pub window: PerformanceWindow,
    /// How many windows are kept; reports are about all of them together, so that they slide by one window.
    /// Default 7.
    pub windows: usize,
    /// How many predictions wait for their labels at most. Default 100,000.
    pub capacity: usize,
    /// For how long a prediction waits for its label. Default 7 days.
    pub max_age: Duration,
    /// Routing attributes by which metrics are taken apart, each by itself. Default none.
    pub segments: Vec<String>,
    /// How many values of each attribute are told apart; all others are `other`. Default 20.
    pub max_segments: usize,
    /// How many pairs of prediction and label are kept for each window, variant and segment. Default 5,000.
    pub sample: usize,
    /// How many labels are needed before a metric becomes a signal. Default 50.
    pub min_labels: u64,
    /// How many labels that come before their prediction is known are held. Default 10,000.
    pub early_labels: usize,
    /// For how long. Default 1 minute.
    pub early_for: Duration,
    /// Whether predictions of shadows count. Default false.
    pub shadows: bool,
}

/// When a window of predictions ends. The time is that of the prediction, not of its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PerformanceWindow {
    /// After so long, at multiples of it since the Unix epoch.
    Time(Duration),
    /// After so many requests.
    Requests(u64),
}

impl Default for PerformanceOptions {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self {
            window: PerformanceWindow::Time(day),
            windows: 7,
            capacity: 100_000,
            max_age: 7 * day,
            segments: Vec::new(),
            max_segments: 20,
            sample: 5_000,
            min_labels: 50,
            early_labels: 10_000,
            early_for: Duration::from_secs(60),
            shadows: false,
        }
    }
}

impl PerformanceOptions {
    /// Sets when a window ends, and how many are kept.
    #[must_use]
    pub fn with_windows(mut self, window: PerformanceWindow, windows: usize) -> Self {
        (self.window, self.windows) = (window, windows);
        self
    }

    /// Sets how many predictions wait for their labels, and for how long.
    #[must_use]
    pub fn with_capacity(mut self, predictions: usize, max_age: Duration) -> Self {
        (self.capacity, self.max_age) = (predictions, max_age);
        self
    }

    /// Takes metrics apart by the values of a routing attribute. Which values are told apart is decided by who
    /// comes first.
    #[must_use]
    pub fn with_segment(mut self, attribute: impl Into<String>) -> Self {
        self.segments.push(attribute.into());
        self
    }

    /// Sets how many values of each attribute are told apart.
    #[must_use]
    pub fn with_max_segments(mut self, segments: usize) -> Self {
        self.max_segments = segments;
        self
    }

    /// Sets how many pairs of prediction and label are kept for each window, variant and segment.
    #[must_use]
    pub fn with_sample(mut self, pairs: usize) -> Self {
        self.sample = pairs;
        self
    }

    /// Sets how many labels are needed before a metric becomes a signal.
    #[must_use]
    pub fn with_min_labels(mut self, labels: u64) -> Self {
        self.min_labels = labels;
        self
    }

    /// Sets how many labels that come before their prediction is known are held, and for how long.
    #[must_use]
    pub fn with_early_labels(mut self, labels: usize, duration: Duration) -> Self {
        (self.early_labels, self.early_for) = (labels, duration);
        self
    }

    /// Sets whether predictions of shadows count. A label then joins the predictions of all variants.
    #[must_use]
    pub fn with_shadows(mut self, shadows: bool) -> Self {
        self.shadows = shadows;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let no_length =
            matches!(self.window, PerformanceWindow::Time(Duration::ZERO) | PerformanceWindow::Requests(0));
        let fault = if no_length || self.windows == 0 {
            "a window has a length above zero, and at least one is kept"
        } else if self.capacity == 0 || self.max_age.is_zero() || self.sample == 0 {
            "capacity, maximal age and sample are above zero"
        } else if self.segments.len() > 16 || !(1..=1_000).contains(&self.max_segments) {
            "metrics are taken apart by at most 16 attributes of 1 to 1,000 values each"
        } else {
            return Ok(());
        };
        Err(Error::invalid_input(format!("the performance cannot be monitored so: {fault}")))
    }
}
