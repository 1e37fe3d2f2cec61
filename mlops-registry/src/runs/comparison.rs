//! Runs side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Run;

/// Runs as rows; what differs between them, and what was measured, as columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The names of the columns: `run`, `name`, `status`, then parameters, then metrics.
    pub columns: Vec<String>,
    /// The cells of each run; empty where it has no such parameter or metric.
    pub rows: Vec<Vec<String>>,
}

impl Comparison {
    /// Compares `runs` in their order. Parameters that are the same for all are left out; a metric shows its last value.
    #[must_use]
    pub fn of(runs: &[Run]) -> Self {
        let names: BTreeSet<&String> = runs.iter().flat_map(|run| run.parameters.keys()).collect();
        let differs = |name: &&String| {
            let values: BTreeSet<_> = runs.iter().map(|run| run.parameters.get(*name)).collect();
            values.len() > 1
        };
        let parameters: Vec<&String> = names.into_iter().filter(differs).collect();
        let metrics: BTreeSet<&String> = runs.iter().flat_map(|run| run.metrics.keys()).collect();
        let fixed = ["run", "name", "status"].map(str::to_owned);
        let columns = parameters.iter().copied().chain(metrics.iter().copied());
        let row = |run: &Run| {
            let cell = |value: Option<String>| value.unwrap_or_default();
            let fixed = [run.id.to_string(), run.name.clone(), run.status.to_string()];
            let parameters = parameters.iter().map(|name| cell(run.parameters.get(*name).cloned()));
            let metric = |name: &&String| cell(run.metrics.get(*name).map(|metric| metric.last.to_string()));
            fixed.into_iter().chain(parameters).chain(metrics.iter().map(metric)).collect()
        };
        Self {
            columns: fixed.into_iter().chain(columns.cloned()).collect(),
            rows: runs.iter().map(row).collect(),
        }
    }

    /// The cells of a column, by the number of the run.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<BTreeMap<&str, &str>> {
        let at = self.columns.iter().position(|column| column == name)?;
        Some(self.rows.iter().map(|row| (row[0].as_str(), row[at].as_str())).collect())
    }
}

/// A Markdown table.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            let cells: Vec<_> = cells.iter().map(|cell| crate::card::cell(cell)).collect();
            writeln!(f, "| {} |", cells.join(" | "))
        };
        line(f, &self.columns)?;
        line(f, &vec!["---".to_owned(); self.columns.len()])?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}
