//! Which expectations hold, on the page.

use super::block::{Block, Cell, Column, Fact, Section, Status, Table, Tone};
use super::catalogue::{Catalogue, Entry};
use super::format::{count, counted, number, percent};
use crate::quality::{Finding, Outcome, QualityReport, Reason};

impl QualityReport {
    /// The report as a section of a page.
    #[must_use]
    pub fn section(&self) -> Section {
        let of = |outcome| self.findings.iter().filter(|finding| finding.outcome == outcome).count();
        let expectations = counted(self.findings.len(), "expectation", "expectations");
        let summary = match (of(Outcome::Failed), of(Outcome::Undecided)) {
            (0, 0) => format!("All of {expectations} hold."),
            (0, undecided) => format!("None of {expectations} fails; {undecided} could not be decided."),
            (1, _) => format!("1 of {expectations} does not hold."),
            (failed, _) => format!("{failed} of {expectations} do not hold."),
        };
        let mut facts = vec![Fact::new("Rows checked", count(self.rows))];
        if self.dropped > 0 {
            facts.push(Fact::new("Left out", count(self.dropped)).with_note("absent or of another shape"));
        }
        let outcomes = [Outcome::Failed, Outcome::Undecided, Outcome::Passed];
        let tally = outcomes.map(|outcome| (outcome.into(), of(outcome) as u64)).to_vec();

        let mut catalogue = Catalogue::new("expectations", "Violations")
            .with_percent()
            .with_measure("checked")
            .with_measure("missing");
        let findings = self.by_severity();
        catalogue.entries =
            findings.into_iter().enumerate().map(|(index, finding)| entry(finding, index)).collect();
        Section::new("quality", "Data quality", summary)
            .with_status(self.outcome)
            .with(Block::Facts(facts))
            .with(Block::Tally(tally))
            .with(Block::Catalogue(catalogue))
    }
}

impl From<Outcome> for Status {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Passed => Self::new(Tone::Good, "passed"),
            Outcome::Undecided => Self::new(Tone::Unknown, "undecided"),
            Outcome::Failed => Self::new(Tone::Bad, "failed"),
        }
    }
}

fn entry(finding: &Finding, index: usize) -> Entry {
    let mut entry = Entry::new(format!("q{index}"), &*finding.text, finding.outcome);
    entry.score = finding.violation_share().map(|share| (share, Some(1.0 - finding.mostly)));
    entry.measures = vec![count(finding.checked), count(finding.missing)];
    let mut facts = vec![
        Fact::new("Violations", count(finding.violations))
            .with_note(format!("of {}", count(finding.checked))),
        Fact::new("Has to fit", percent(finding.mostly)),
    ];
    if let Some(observed) = finding.observed {
        facts.push(Fact::new("Observed", number(observed)));
    }
    entry.blocks.push(Block::Facts(facts));
    if let Some(reason) = finding.reason {
        entry.blocks.push(Block::Text(explain(reason).to_owned()));
    }
    if !finding.offenders.is_empty() {
        entry.blocks.push(Block::Table(offenders(finding)));
    }
    entry
}

/// Some of what did not fit.
fn offenders(finding: &Finding) -> Table {
    let columns = [Column::text("Value"), Column::number("Row"), Column::text("Request")];
    let mut table = Table::new("Some of what does not fit", columns);
    for offender in &finding.offenders {
        let value = offender.value.clone().unwrap_or_else(|| "not shown".to_owned());
        let row = offender.row.map_or("–".to_owned(), count);
        let request = offender.request.clone().unwrap_or_else(|| "–".to_owned());
        table.push([Cell::from(value), row.into(), request.into()]);
    }
    table
}

fn explain(reason: Reason) -> &'static str {
    match reason {
        Reason::ColumnMissing => "The column was absent.",
        Reason::NothingToCheck => "No value was there to be checked.",
        Reason::NotNumeric => "Values that are no numbers have no such statistic.",
        Reason::NotFinite => "The statistic is infinite, or has no value.",
        Reason::TooManyDistinct => "More distinct values came than are remembered.",
        Reason::Uncertain => "The statistic is known from a sample, which is too near to a limit to tell.",
    }
}
