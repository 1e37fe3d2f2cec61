//! What users say about answers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What became known of one answer: whether it was good, or the value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Feedback<'a> {
    /// Good or bad, as [`Evidence::record_outcome`](crate::Evidence::record_outcome) takes it.
    Outcome(bool),
    /// The value of a metric, as [`Evidence::record`](crate::Evidence::record) takes it.
    Value(&'a str, f64),
}

impl From<bool> for Feedback<'_> {
    fn from(good: bool) -> Self {
        Self::Outcome(good)
    }
}

impl<'a> From<(&'a str, f64)> for Feedback<'a> {
    fn from((metric, value): (&'a str, f64)) -> Self {
        Self::Value(metric, value)
    }
}

/// Whether feedback found its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attribution {
    /// It counts, in the window in which the answer was given.
    Counted,
    /// The answer was given before the window before this one; it counts nowhere.
    Late,
    /// Nobody remembers the id: it never was, was forgotten, or ids are [not
    /// remembered](crate::Evidence::with_feedback).
    Unknown,
}

/// How much feedback found its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FeedbackCounts {
    /// [`Attribution::Counted`].
    pub counted: u64,
    /// [`Attribution::Late`].
    pub late: u64,
    /// [`Attribution::Unknown`].
    pub unknown: u64,
}

#[derive(Debug, Default)]
pub(super) struct Attributions {
    counted: AtomicU64,
    late: AtomicU64,
    unknown: AtomicU64,
}

impl Attributions {
    pub(super) fn add(&self, attribution: Attribution) {
        let count = match attribution {
            Attribution::Counted => &self.counted,
            Attribution::Late => &self.late,
            Attribution::Unknown => &self.unknown,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> FeedbackCounts {
        FeedbackCounts {
            counted: self.counted.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
        }
    }
}
