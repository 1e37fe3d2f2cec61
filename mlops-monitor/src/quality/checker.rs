//! Expectations held against rows that come batch by batch.

use std::collections::HashMap;

use super::options::CheckOptions;
use super::report::QualityReport;
use super::source::Source;
use super::state::{State, Tally};
use super::suite::Suite;
use crate::Table;

/// Holds a [`Suite`] against tables that come one after the other, in memory that does not grow with their rows.
///
/// ```
/// use mlops_monitor::quality::{Expectation, Outcome, Suite};
/// use mlops_monitor::{Table, TableColumn};
///
/// let suite = Suite::new([Expectation::unique("id"), Expectation::row_count(4..)])?;
/// let mut checker = suite.checker();
/// checker.push(&Table::new([("id", TableColumn::integers([Some(1), Some(2)]))])?);
/// checker.push(&Table::new([("id", TableColumn::integers([Some(3), Some(2)]))])?);
///
/// let report = checker.finish();
/// assert_eq!(report.findings[0].offenders[0].row, Some(3));
/// assert_eq!(report.findings[1].outcome, Outcome::Passed);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Checker {
    suite: Suite,
    states: Vec<State>,
    rows: u64,
}

impl Checker {
    pub(super) fn new(suite: Suite, options: &CheckOptions) -> Self {
        let states = suite.checks().iter().map(|check| State::new(check, options)).collect();
        Self { suite, states, rows: 0 }
    }

    /// Looks at the next rows.
    pub fn push(&mut self, table: &Table) {
        let names: Vec<&str> = table.names().collect();
        let columns: HashMap<&str, _> = table.columns().collect();
        for (check, state) in self.suite.checks().iter().zip(&mut self.states) {
            state.begin(self.rows, None);
            let mut needed =
                check.expectation.needs().map(|name| columns.get(name).copied().map(Source::Column));
            let sources = [needed.next().flatten(), needed.next().flatten()];
            state.see(check, sources);
            state.see_names(check, &names);
        }
        self.rows += table.rows() as u64;
    }

    /// How many rows have come.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What the rows so far say.
    #[must_use]
    pub fn report(&self) -> QualityReport {
        let states = self.suite.checks().iter().zip(&self.states);
        let findings =
            states.map(|(check, state)| state.finding(check, self.rows, Tally::default())).collect();
        QualityReport::new(self.rows, 0, findings)
    }

    /// What all rows say.
    #[must_use]
    pub fn finish(self) -> QualityReport {
        self.report()
    }
}
