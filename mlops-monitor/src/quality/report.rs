//! Which expectations hold, and what of the data breaks the others.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Signal;
use crate::report::write_table;

/// How many expectations that hold the table shows before it only counts them.
const SHOWN: usize = 20;
/// How many characters of an expectation the table shows.
const WIDTH: usize = 60;

/// Which expectations hold, and what of the data breaks the others.
///
/// [`Display`](fmt::Display) makes a table of it, the failed expectations first; `{:#}` also lists all of the many that
/// hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QualityReport {
    /// Failed if any expectation is; else undecided if any is.
    pub outcome: Outcome,
    /// How many rows were looked at.
    pub rows: u64,
    /// How many tensors of live requests were absent or of another shape, and were left out.
    pub dropped: u64,
    /// Every expectation, in the order of the suite.
    pub findings: Vec<Finding>,
}

/// What became of one expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// What it is called: `not_null`, `between`, ...
    pub expectation: String,
    /// The column it is about, the first of two; none where it is about the table.
    pub column: Option<String>,
    /// The expectation in words.
    pub text: String,
    /// Whether it holds.
    pub outcome: Outcome,
    /// Why, where the counts do not say it.
    pub reason: Option<Reason>,
    /// The least share of the values that had to fit.
    pub mostly: f64,
    /// How many values, rows or names were held against it.
    pub checked: u64,
    /// How many values were missing: not checked, but by `not_null`.
    pub missing: u64,
    /// How many of those checked did not fit. For statistics: values that are no numbers.
    pub violations: u64,
    /// The statistic, where it is about one; the number of rows; the number of distinct values.
    pub observed: Option<f64>,
    /// Some of what did not fit: the first that came.
    pub offenders: Vec<Offender>,
}

/// A value that did not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Offender {
    /// The row, counted from zero: of all rows that were checked, or of the request.
    pub row: Option<u64>,
    /// The id of the request, where it came in one that has an id.
    pub request: Option<String>,
    /// The value, shortened; both of them for a pair. None where the column is redacted or the value is missing.
    pub value: Option<String>,
}

/// Whether an expectation holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// There is not enough to tell.
    Undecided,
    /// It does not hold.
    Failed,
}

/// Why an expectation failed or is undecided, where the counts do not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The column was absent, from some batch at least.
    ColumnMissing,
    /// No value was there to be checked.
    NothingToCheck,
    /// Values that are no numbers have no such statistic.
    NotNumeric,
    /// The statistic is infinite or has no value, because of infinities or of numbers too large to add.
    NotFinite,
    /// More distinct values came than `unique` remembers.
    TooManyDistinct,
    /// The statistic is known from a sample only, which is too near to a limit to tell.
    Uncertain,
}

impl QualityReport {
    pub(super) fn new(rows: u64, dropped: u64, findings: Vec<Finding>) -> Self {
        let outcome = findings.iter().map(|finding| finding.outcome).max().unwrap_or(Outcome::Undecided);
        Self { outcome, rows, dropped, findings }
    }

    /// What does not hold, in the order of the suite.
    pub fn failed(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.outcome == Outcome::Failed)
    }

    /// What alert rules look at: `quality.violations` and `quality.violation_share` of every expectation that was held
    /// against something, and `quality.failed`, 0 or 1, of every one that is decided. Labels `expectation` and, where it is about one,
    /// `column`.
    #[must_use]
    pub fn signals(&self) -> Vec<Signal> {
        self.findings.iter().flat_map(Finding::signals).collect()
    }

    pub(crate) fn by_severity(&self) -> Vec<&Finding> {
        let mut findings: Vec<_> = self.findings.iter().collect();
        findings.sort_by(|a, b| {
            let shares = b.violation_share().unwrap_or(0.0).total_cmp(&a.violation_share().unwrap_or(0.0));
            b.outcome.cmp(&a.outcome).then(shares)
        });
        findings
    }
}

impl Finding {
    /// The share of what was checked that did not fit, 0 to 1; `None` where nothing was checked.
    #[must_use]
    pub fn violation_share(&self) -> Option<f64> {
        (self.checked > 0).then(|| self.violations as f64 / self.checked as f64)
    }

    fn signals(&self) -> Vec<Signal> {
        let evidence = serde_json::to_value(self).unwrap_or_default();
        let signal = |name: &str, value: f64| {
            let signal = Signal::new(name, value).with_label("expectation", &self.expectation);
            let signal = match &self.column {
                Some(column) => signal.with_label("column", column),
                None => signal,
            };
            signal.with_evidence(evidence.clone())
        };
        let mut signals = Vec::new();
        if let Some(share) = self.violation_share() {
            signals.push(signal("quality.violations", self.violations as f64));
            signals.push(signal("quality.violation_share", share));
        }
        if self.outcome != Outcome::Undecided {
            signals.push(signal("quality.failed", f64::from(u8::from(self.outcome == Outcome::Failed))));
        }
        signals
    }

    /// The cells of its line in the table.
    fn cells(&self) -> Vec<String> {
        let mut text: String = self.text.chars().take(WIDTH).collect();
        if text.len() < self.text.len() {
            text.push_str("...");
        }
        let share = self.violation_share();
        let example = match (self.reason, self.observed, self.offenders.first()) {
            (Some(reason), ..) => reason.to_string(),
            (None, Some(observed), None) => format!("is {observed:.6}"),
            (None, _, Some(offender)) => offender.to_string(),
            (None, None, None) => String::new(),
        };
        vec![
            text,
            self.outcome.to_string(),
            self.checked.to_string(),
            self.missing.to_string(),
            self.violations.to_string(),
            share.map_or("-".to_owned(), |share| format!("{:.2}%", 100.0 * share)),
            example,
        ]
    }
}

impl fmt::Display for QualityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |outcome| self.findings.iter().filter(|finding| finding.outcome == outcome).count();
        let (failed, undecided) = (count(Outcome::Failed), count(Outcome::Undecided));
        write!(f, "{}: {failed} of {} expectations have failed", self.outcome, self.findings.len())?;
        if undecided > 0 {
            write!(f, ", {undecided} are undecided")?;
        }
        write!(f, " ({} rows", self.rows)?;
        match self.dropped {
            0 => writeln!(f, ")")?,
            dropped => writeln!(f, "; {dropped} tensors did not fit)")?,
        }

        let heading = ["expectation", "outcome", "checked", "missing", "violations", "share", "for example"];
        let findings = self.by_severity();
        let shown =
            if f.alternate() { findings.len() } else { findings.len().min((failed + undecided).max(SHOWN)) };
        let mut lines = vec![heading.map(str::to_owned).to_vec()];
        lines.extend(findings.iter().take(shown).map(|finding| finding.cells()));
        write_table(f, &lines)?;
        match findings.len() - shown {
            0 => Ok(()),
            hidden => writeln!(f, "and {hidden} more that hold"),
        }
    }
}

impl fmt::Display for Offender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(request) = &self.request {
            write!(f, "{request} ")?;
        }
        if let Some(row) = self.row {
            write!(f, "row {row}")?;
        }
        let separator = if self.row.is_some() { ": " } else { "" };
        self.value.as_ref().map_or(Ok(()), |value| write!(f, "{separator}{value}"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Undecided => "undecided",
            Self::Failed => "failed",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ColumnMissing => "the column is missing",
            Self::NothingToCheck => "nothing to check",
            Self::NotNumeric => "not all are numbers",
            Self::NotFinite => "not finite",
            Self::TooManyDistinct => "too many distinct values",
            Self::Uncertain => "too near to tell",
        })
    }
}
