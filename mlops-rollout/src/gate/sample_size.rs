//! Rows enough to judge by.

use async_trait::async_trait;

use super::{Candidate, Finding, Gate};
use crate::Verdict;

/// The candidate's evaluation must have so many rows: in all, of each class, in each slice.
///
/// Too few rows are inconclusive, and the reason says how many more are needed.
///
/// ```
/// use mlops_rollout::SampleSize;
///
/// let gate = SampleSize::of_rows(10_000).with_each_class(500).with_each_slice("country", 200);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleSize {
    rows: usize,
    each_class: usize,
    each_slice: Vec<(String, usize)>,
}

impl SampleSize {
    /// So many rows in all.
    #[must_use]
    pub fn of_rows(rows: usize) -> Self {
        Self { rows, each_class: 0, each_slice: Vec::new() }
    }

    /// And so many of each class.
    #[must_use]
    pub fn with_each_class(mut self, rows: usize) -> Self {
        self.each_class = rows;
        self
    }

    /// And so many in each slice under that name.
    #[must_use]
    pub fn with_each_slice(mut self, slices: impl Into<String>, rows: usize) -> Self {
        self.each_slice.push((slices.into(), rows));
        self
    }

    fn judge(&self, candidate: &Candidate) -> Finding {
        let Some(evaluation) = candidate.evaluation() else {
            return Finding::inconclusive("there are no rows of an evaluation");
        };
        let mut lacking = Vec::new();
        let mut expect = |what: &str, found: usize, needed: usize| {
            if found < needed {
                lacking.push(format!("{} more {what} are needed ({found} of {needed})", needed - found));
            }
        };
        expect("rows", evaluation.rows(), self.rows.max(1));
        if self.each_class > 0 {
            let Some(classes) = evaluation.class_sizes() else {
                return Finding::inconclusive("rows of numbers have no classes");
            };
            for (class, size) in classes.into_iter().enumerate() {
                expect(&format!("rows of class {class}"), size, self.each_class);
            }
        }
        for (name, needed) in &self.each_slice {
            let Some(slices) = evaluation.rows_of_slices(name) else {
                let known = evaluation.slice_names().join("`, `");
                return Finding::inconclusive(format!("the rows have no slices `{name}`, but `{known}`"));
            };
            for (slice, rows) in slices {
                expect(&format!("rows of {name} = {slice}"), rows.len(), *needed);
            }
        }
        const NAMED: usize = 5;
        let (verdict, reason) = if lacking.is_empty() {
            (Verdict::Passed, format!("{} rows", evaluation.rows()))
        } else {
            let more = lacking.len().saturating_sub(NAMED);
            lacking.truncate(NAMED);
            let others = if more > 0 { format!("; and so on, {more} times") } else { String::new() };
            (Verdict::Inconclusive, lacking.join("; ") + &others)
        };
        Finding::new(verdict, reason)
            .with_evidence("rows", evaluation.rows() as f64)
            .with_evidence("needed", self.rows as f64)
    }
}

#[async_trait]
impl Gate for SampleSize {
    fn name(&self) -> String {
        "sample size".to_owned()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        self.judge(candidate)
    }
}
