//! Has the world changed?

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Result;

/// Compares the values of one feature with a reference, by one statistical test.
///
/// A detector is made with its reference inside, fed with columns of current values, and asked for an
/// [`Assessment`] at any time. Feeding takes `&self`: detectors are shared between threads.
///
/// # Contract
/// * Missing values are NaN (numeric), empty words, or absent from the column; they never make a result NaN.
/// * Without enough values the verdict is [`Verdict::TooFewSamples`], never a number that looks like an
///   answer.
/// * [`reset`](DriftDetector::reset) begins a new window; the reference stays.
///
/// `mlops_core::conformance::drift` (feature `conformance`) checks this.
pub trait DriftDetector: fmt::Debug + Send + Sync + 'static {
    /// The test, as the field calls it: `psi`, `ks`.
    fn test(&self) -> &str;

    /// Adds values to the current window.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) when the column is of a kind the test cannot
    /// take. Then nothing was added.
    fn observe(&self, column: Column<'_>) -> Result<()>;

    /// What the current window says.
    fn assess(&self) -> Assessment;

    /// Begins a new window.
    fn reset(&self);
}

/// Values of one feature.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Column<'a> {
    /// Numbers; NaN is a missing value.
    Numeric(&'a [f64]),
    /// Names of categories; an empty one is a missing value.
    Categorical(&'a [&'a str]),
}

/// The outcome of one test on one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Assessment {
    /// The test: `psi`, `ks`.
    pub test: String,
    /// The statistic. `None` with too few samples.
    pub score: Option<f64>,
    /// The score from which on the verdict is [`Verdict::Drifted`], where the test has one.
    pub threshold: Option<f64>,
    /// The probability of a score at least this high without drift, where the test has one.
    pub p_value: Option<f64>,
    /// The p-value after it was adjusted for other tests, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusted_p_value: Option<f64>,
    /// Where the score of the values themselves lies, lower and upper bound, where the test only knows counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<(f64, f64)>,
    /// How many values the reference has.
    pub reference_size: u64,
    /// How many values the current window has, missing ones left out.
    pub current_size: u64,
    /// What to make of it.
    pub verdict: Verdict,
}

impl Assessment {
    /// The window is too small to say anything.
    pub fn too_few_samples(test: impl Into<String>, reference_size: u64, current_size: u64) -> Self {
        Self {
            test: test.into(),
            score: None,
            threshold: None,
            p_value: None,
            adjusted_p_value: None,
            bounds: None,
            reference_size,
            current_size,
            verdict: Verdict::TooFewSamples,
        }
    }

    /// A score, and what to make of it.
    pub fn new(
        test: impl Into<String>,
        score: f64,
        verdict: Verdict,
        reference_size: u64,
        current_size: u64,
    ) -> Self {
        Self { score: Some(score), verdict, ..Self::too_few_samples(test, reference_size, current_size) }
    }

    /// Adds the score from which on the verdict is drift.
    #[must_use]
    pub fn with_threshold(mut self, threshold: f64) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// Adds the probability of such a score without drift.
    #[must_use]
    pub fn with_p_value(mut self, p_value: f64) -> Self {
        self.p_value = Some(p_value);
        self
    }

    /// Adds the p-value that takes other tests into account.
    #[must_use]
    pub fn with_adjusted_p_value(mut self, p_value: f64) -> Self {
        self.adjusted_p_value = Some(p_value);
        self
    }

    /// Adds where the score of the values themselves lies.
    #[must_use]
    pub fn with_bounds(mut self, lower: f64, upper: f64) -> Self {
        self.bounds = Some((lower, upper));
        self
    }
}

/// What to make of an [`Assessment`], from least to most alarming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The window is too small to say anything.
    TooFewSamples,
    /// No evidence of change.
    Stable,
    /// Worth a look.
    Warning,
    /// The feature has changed.
    Drifted,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TooFewSamples => "too few samples",
            Self::Stable => "stable",
            Self::Warning => "warning",
            Self::Drifted => "drifted",
        })
    }
}
