//! What the gates said.

use std::collections::BTreeMap;
use std::fmt;

use mlops_core::{Error, ModelId, NewReport, Result};
use serde::{Deserialize, Serialize};

use super::Finding;
use crate::Verdict;

/// The outcome of every gate, and of all together. Displayed as a table.
///
/// A report goes to the version it is about in one line, as the report of a gate that a
/// [`Protection`](mlops_core::Protection) of an alias may demand, or into a new version as an artifact:
///
/// ```
/// use mlops_core::{ModelId, NewVersion, Registry, Result};
/// use mlops_rollout::GateReport;
///
/// async fn attach(registry: &dyn Registry, id: ModelId, report: &GateReport) -> Result<()> {
///     registry.report(report.for_version(id, "release gates").by("ci")).await?;
///     Ok(())
/// }
///
/// async fn register(registry: &dyn Registry, new: NewVersion, report: &GateReport) -> Result<()> {
///     registry.register(new.with_artifact("gates.json", report.to_json()?)).await?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateReport {
    /// The worst of the verdicts, those of gates that only warn left out; [`Verdict::Inconclusive`] without
    /// gates.
    pub verdict: Verdict,
    /// One by one.
    pub outcomes: Vec<GateOutcome>,
}

/// The outcome of one gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateOutcome {
    /// The name of the gate.
    pub gate: String,
    /// Whether the candidate may pass.
    pub verdict: Verdict,
    /// Whether the gate only warns: its verdict does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warns_only: bool,
    /// Why.
    pub reason: String,
    /// What was measured, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, f64>,
    /// The outcomes of the gates that this one is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<GateOutcome>,
}

/// Bytes of a summary; registries may hold no more than 64 KiB.
const MAX_SUMMARY: usize = 60 << 10;

/// Bytes of the name of a metric that registries hold.
const MAX_NAME: usize = 250;

/// Metrics that registries hold at one report.
const MAX_METRICS: usize = 1_000;

impl GateReport {
    pub(super) fn new(outcomes: Vec<GateOutcome>) -> Self {
        Self { verdict: Verdict::of_all(counting(&outcomes)), outcomes }
    }

    /// Whether every gate that counts has passed, and there was one.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// The gates that only warn and have not passed.
    pub fn warnings(&self) -> impl Iterator<Item = &GateOutcome> {
        self.outcomes.iter().filter(|outcome| outcome.warns_only && outcome.verdict != Verdict::Passed)
    }

    /// The report of a gate called `name` for a version: passed or not, every number as a metric
    /// (`accuracy floor/value`), and the table as summary. What is inconclusive has not passed.
    ///
    /// Where the table or the numbers are more than a registry holds, what is left out is said in the summary;
    /// [`to_json`](Self::to_json) has all.
    #[must_use]
    pub fn for_version(&self, id: ModelId, name: impl Into<String>) -> NewReport {
        let mut numbers = Vec::new();
        for outcome in &self.outcomes {
            outcome.collect_evidence("", &mut numbers);
        }
        let all = numbers.len();
        numbers.retain(|(name, _)| name.len() <= MAX_NAME);
        numbers.truncate(MAX_METRICS);
        let mut summary = self.to_string();
        if summary.len() > MAX_SUMMARY {
            summary.truncate(summary.floor_char_boundary(MAX_SUMMARY));
            summary.push_str("\n(the table goes on)");
        }
        if numbers.len() < all {
            summary.push_str(&format!("\n({} numbers are left out)", all - numbers.len()));
        }
        let report = NewReport::gate(id, name, self.is_passed()).with_summary(summary);
        numbers.into_iter().fold(report, |report, (name, value)| report.with_metric(name, value))
    }

    /// The whole report as JSON, to be kept as an artifact. Its media type is `application/json`.
    ///
    /// # Errors
    /// [`Error::Internal`] when JSON cannot hold it, which no report is known to bring about.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|error| Error::internal("writing a gate report as JSON").with_source(error))
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`Error::Integrity`] when it is no such report, or its verdict is not that of its outcomes.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let report: Self = serde_json::from_slice(json)
            .map_err(|error| Error::integrity("a gate report does not parse").with_source(error))?;
        let of_outcomes = Verdict::of_all(counting(&report.outcomes));
        if report.verdict != of_outcomes {
            return Err(Error::integrity(format!(
                "a gate report says {}, but its outcomes say {of_outcomes}",
                report.verdict
            )));
        }
        Ok(report)
    }
}

/// The verdicts that count.
pub(super) fn counting(outcomes: &[GateOutcome]) -> impl Iterator<Item = Verdict> {
    outcomes.iter().filter(|outcome| !outcome.warns_only).map(|outcome| outcome.verdict)
}

impl GateOutcome {
    pub(super) fn new(gate: String, warns_only: bool, finding: Finding) -> Self {
        let Finding { verdict, reason, evidence, parts } = finding;
        Self { gate, verdict, warns_only, reason, evidence, parts }
    }

    fn collect_evidence(&self, prefix: &str, into: &mut Vec<(String, f64)>) {
        let path = format!("{prefix}{}/", self.gate);
        into.extend(self.evidence.iter().map(|(name, value)| (format!("{path}{name}"), *value)));
        for part in &self.parts {
            part.collect_evidence(&path, into);
        }
    }

    fn verdict_in_words(&self) -> String {
        match (self.warns_only, self.verdict) {
            (true, Verdict::Passed) | (false, _) => self.verdict.to_string(),
            (true, verdict) => format!("{verdict} (warns only)"),
        }
    }

    fn rows(&self, depth: usize, into: &mut Vec<[String; 3]>) {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = format!("{:indent$}{}", "", one_line(&self.gate), indent = 2 * depth);
        into.push([name, self.verdict_in_words(), one_line(&self.reason)]);
        for part in &self.parts {
            part.rows(depth + 1, into);
        }
    }
}

impl fmt::Display for GateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["gate", "verdict", "reason"].map(str::to_owned)];
        for outcome in &self.outcomes {
            outcome.rows(0, &mut rows);
        }
        let width = |column: usize, least: usize| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0).max(least)
        };
        let (names, verdicts) = (width(0, "gates".len()), width(1, "inconclusive".len()));
        for [name, verdict, reason] in &rows {
            writeln!(f, "{name:names$}  {verdict:verdicts$}  {reason}")?;
        }
        write!(f, "{:names$}  {}", "all", self.verdict)
    }
}
