//! What an expectation has seen so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bounds::Bounds;
use super::distinct::Distinct;
use super::expectation::{ColumnMatch, Comparison, Expectation};
use super::options::CheckOptions;
use super::report::{Finding, Offender, Outcome, Reason};
use super::sample::{Moments, Sample};
use super::source::Source;
use super::test::{Test, ValueTest};
use super::value::Cell;
use crate::Values;

/// What is wrong with a column that nobody expects.
const SURPLUS: &str = "not expected";

/// How many characters of a value a report shows.
const VALUE: usize = 100;

/// An expectation ready to be held against data.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) expectation: Expectation,
    pub(super) test: Test,
}

/// What an expectation has seen so far: in memory that does not grow with the rows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) tally: Tally,
    pub(super) offenders: Offenders,
    memory: Memory,
    /// A column it needs was absent from some batch.
    absent: bool,
}

/// Plain counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) checked: u64,
    pub(super) missing: u64,
    pub(super) violations: u64,
}

/// The first few values that did not fit.
#[derive(Debug)]
pub(super) struct Offenders {
    pub(super) named: Vec<Offender>,
    pub(super) room: usize,
    redacted: bool,
    first_row: u64,
    request: Option<Arc<str>>,
}

#[derive(Debug)]
enum Memory {
    None,
    Distinct(Distinct),
    Moments {
        moments: Moments,
        infinite: bool,
    },
    Sample(Sample),
    /// Names of columns and what is wrong with them.
    Names(BTreeMap<String, &'static str>),
}

/// Columns, by the order in which the expectation [needs](Expectation::needs) them.
pub(super) type Sources<'a> = [Option<Source<'a>>; 2];

impl Check {
    /// Whether what it has seen is no more than counts and examples.
    pub(super) fn only_counts(&self) -> bool {
        matches!(self.test, Test::NotNull | Test::Values(_) | Test::Pair(_))
    }

    pub(super) fn is_about_columns(&self) -> bool {
        matches!(self.test, Test::Columns(..))
    }

    pub(super) fn is_redacted(&self, options: &CheckOptions) -> bool {
        self.expectation.needs().any(|column| options.redacted.contains(column))
    }
}

impl State {
    pub(super) fn new(check: &Check, options: &CheckOptions) -> Self {
        let memory = match check.test {
            Test::Unique => Memory::Distinct(Distinct::new(options.distinct_limit)),
            Test::Mean(_) | Test::Std(_) => Memory::Moments { moments: Moments::default(), infinite: false },
            Test::Quantile(..) => Memory::Sample(Sample::new(options.quantile_limit.max(1))),
            Test::Columns(..) => Memory::Names(BTreeMap::new()),
            Test::NotNull | Test::Values(_) | Test::Pair(_) | Test::RowCount(_) => Memory::None,
        };
        let offenders = Offenders {
            named: Vec::new(),
            room: options.offenders,
            redacted: check.is_redacted(options),
            first_row: 0,
            request: None,
        };
        Self { tally: Tally::default(), offenders, memory, absent: false }
    }

    /// Says where the next rows come from.
    pub(super) fn begin(&mut self, first_row: u64, request: Option<Arc<str>>) {
        (self.offenders.first_row, self.offenders.request) = (first_row, request);
    }

    /// For an expectation that [only counts](Check::only_counts), over the rows of one request, with room for so many
    /// offenders.
    pub(super) fn of_request(redacted: bool, room: usize, request: Option<Arc<str>>) -> Self {
        let offenders = Offenders { named: Vec::new(), room, redacted, first_row: 0, request };
        Self { tally: Tally::default(), offenders, memory: Memory::None, absent: false }
    }

    /// Holds the rows of these columns against the expectation.
    pub(super) fn see(&mut self, check: &Check, sources: Sources<'_>) {
        let needed = check.expectation.needs().count();
        if sources.iter().take(needed).any(Option::is_none) {
            self.absent = true;
            return;
        }
        let Some(source) = sources[0] else { return };
        match (&check.test, &mut self.memory) {
            (Test::NotNull, _) => source.for_each(|row, cell| {
                self.tally.checked += 1;
                if cell.is_none() {
                    self.tally.missing += 1;
                    self.tally.violations += 1;
                    self.offenders.note(row, || None);
                }
            }),
            (Test::Values(test), _) => see_values(test, source, &mut self.tally, &mut self.offenders),
            (Test::Pair(comparison), _) => {
                if let Some(other) = sources[1] {
                    see_pairs(*comparison, source, other, &mut self.tally, &mut self.offenders);
                }
            }
            (Test::Unique, Memory::Distinct(distinct)) => source.for_each(|row, cell| {
                let fits = |cell| !distinct.is_known(cell);
                self.tally.take(&mut self.offenders, row, cell, fits);
            }),
            (Test::Mean(_) | Test::Std(_), Memory::Moments { moments, infinite }) => {
                source.for_each(|row, cell| {
                    let number = cell.and_then(Cell::as_number);
                    self.tally.take(&mut self.offenders, row, cell, |_| number.is_some());
                    match number {
                        Some(number) if number.is_finite() => moments.push(number),
                        Some(_) => *infinite = true,
                        None => {}
                    }
                });
            }
            (Test::Quantile(..), Memory::Sample(sample)) => source.for_each(|row, cell| {
                let number = cell.and_then(Cell::as_number);
                self.tally.take(&mut self.offenders, row, cell, |_| number.is_some());
                number.into_iter().for_each(|number| sample.push(number));
            }),
            _ => {}
        }
    }

    /// Holds the names of the columns against the expectation.
    pub(super) fn see_names(&mut self, check: &Check, found: &[&str]) {
        let (Test::Columns(names, how), Memory::Names(faults)) = (&check.test, &mut self.memory) else {
            return;
        };
        let known: BTreeSet<&str> = found.iter().copied().collect();
        let expected: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let missing = expected.difference(&known).map(|name| (*name, "missing"));
        let surplus = known.difference(&expected).map(|name| (*name, SURPLUS));
        let surplus = surplus.filter(|_| *how != ColumnMatch::AtLeast);
        faults.extend(missing.chain(surplus).map(|(name, fault)| (name.to_owned(), fault)));
        if *how == ColumnMatch::InOrder && known == expected {
            let moved = found.iter().zip(names).filter(|(found, name)| *found != name);
            faults.extend(moved.map(|(found, _)| ((*found).to_owned(), "in another place")));
        }
        self.tally.checked = names.len() as u64;
    }

    /// What became of the expectation after so many rows. `counted` are counts that were kept elsewhere.
    pub(super) fn finding(&self, check: &Check, rows: u64, counted: Tally) -> Finding {
        let expectation = &check.expectation;
        let mut finding = Finding {
            expectation: expectation.name().to_owned(),
            column: expectation.column.clone(),
            text: expectation.to_string(),
            outcome: Outcome::Undecided,
            reason: None,
            mostly: expectation.mostly,
            checked: self.tally.checked + counted.checked,
            missing: self.tally.missing + counted.missing,
            violations: self.tally.violations + counted.violations,
            observed: None,
            offenders: self.offenders.named.clone(),
        };
        (finding.outcome, finding.reason) = self.judge(check, rows, &mut finding);
        finding
    }

    fn judge(&self, check: &Check, rows: u64, finding: &mut Finding) -> (Outcome, Option<Reason>) {
        if self.absent {
            return (Outcome::Failed, Some(Reason::ColumnMissing));
        }
        match (&check.test, &self.memory) {
            (Test::RowCount(bounds), _) => {
                finding.observed = Some(rows as f64);
                return (Outcome::of(bounds.contain(rows)), None);
            }
            (Test::Columns(..), Memory::Names(faults)) if finding.checked > 0 => {
                finding.checked += faults.values().filter(|fault| **fault == SURPLUS).count() as u64;
                finding.violations = faults.len() as u64;
                let named = faults.iter().take(self.offenders.room);
                finding.offenders = named.map(|(name, fault)| Offender::of_name(name, fault)).collect();
                return (Outcome::of(faults.is_empty()), None);
            }
            _ if finding.checked == 0 => return (Outcome::Undecided, Some(Reason::NothingToCheck)),
            (Test::Mean(_) | Test::Std(_) | Test::Quantile(..), _) if finding.violations > 0 => {
                return (Outcome::Failed, Some(Reason::NotNumeric));
            }
            _ => {}
        }
        match (&check.test, &self.memory) {
            (Test::Unique, Memory::Distinct(distinct)) => {
                finding.observed = Some(distinct.len() as f64);
                let enough = finding.share_fitting() >= check.expectation.mostly;
                match distinct.has_overflowed() {
                    true if enough => (Outcome::Undecided, Some(Reason::TooManyDistinct)),
                    _ => (Outcome::of(enough), None),
                }
            }
            (Test::Mean(bounds), Memory::Moments { moments, infinite }) => {
                judge_moment(finding, moments.mean(), *infinite, bounds)
            }
            (Test::Std(bounds), Memory::Moments { moments, infinite }) => {
                let enough = moments.count() > 1 || *infinite;
                if !enough {
                    return (Outcome::Undecided, Some(Reason::NothingToCheck));
                }
                judge_moment(finding, moments.std(), *infinite, bounds)
            }
            (Test::Quantile(q, bounds), Memory::Sample(sample)) => {
                let Some((at, low, high)) = sample.quantile(*q) else {
                    return (Outcome::Failed, Some(Reason::NotFinite));
                };
                finding.observed = at.is_finite().then_some(at);
                if !at.is_finite() && sample.seen() == finding.checked && low == high {
                    return (Outcome::Failed, Some(Reason::NotFinite));
                }
                bounds
                    .contain_all(low, high)
                    .map_or((Outcome::Undecided, Some(Reason::Uncertain)), |inside| {
                        (Outcome::of(inside), None)
                    })
            }
            _ => (Outcome::of(finding.share_fitting() >= check.expectation.mostly), None),
        }
    }
}

fn judge_moment(
    finding: &mut Finding,
    moment: Option<f64>,
    infinite: bool,
    bounds: &Bounds,
) -> (Outcome, Option<Reason>) {
    match moment.filter(|moment| moment.is_finite() && !infinite) {
        Some(moment) => {
            finding.observed = Some(moment);
            (Outcome::of(bounds.contain(moment)), None)
        }
        None => (Outcome::Failed, Some(Reason::NotFinite)),
    }
}

/// Every distinct word of a table is tested once.
fn see_values(test: &ValueTest, source: Source<'_>, tally: &mut Tally, offenders: &mut Offenders) {
    if let Source::Column(column) = source
        && let Values::Words(words) = column.values()
    {
        let fitting: Vec<bool> =
            words.dictionary().iter().map(|word| test.accepts(Cell::Text(word))).collect();
        for (row, code) in words.codes().enumerate() {
            let cell = code.and_then(|code| Some((code, words.dictionary().get(code)?)));
            let fits = cell.is_none_or(|(code, _)| fitting.get(code).copied().unwrap_or(false));
            tally.take(offenders, row, cell.map(|(_, word)| Cell::Text(word)), |_| fits);
        }
    } else {
        source.for_each(|row, cell| tally.take(offenders, row, cell, |cell| test.accepts(cell)));
    }
}

fn see_pairs(
    comparison: Comparison,
    source: Source<'_>,
    other: Source<'_>,
    tally: &mut Tally,
    offenders: &mut Offenders,
) {
    let others = other.cells();
    source.for_each(|row, cell| {
        let (Some(a), Some(b)) = (cell, others.get(row).copied().flatten()) else {
            tally.missing += 1;
            return;
        };
        tally.checked += 1;
        if !comparison.holds(a, b) {
            tally.violations += 1;
            offenders.note(row, || Some(format!("{}, {}", shortened(a), shortened(b))));
        }
    });
}

impl Tally {
    /// Counts one value.
    fn take<'a>(
        &mut self,
        offenders: &mut Offenders,
        row: usize,
        cell: Option<Cell<'a>>,
        fits: impl FnOnce(Cell<'a>) -> bool,
    ) {
        let Some(cell) = cell else {
            self.missing += 1;
            return;
        };
        self.checked += 1;
        if !fits(cell) {
            self.violations += 1;
            offenders.note(row, || Some(shortened(cell)));
        }
    }
}

impl Offenders {
    fn note(&mut self, row: usize, value: impl FnOnce() -> Option<String>) {
        if self.named.len() < self.room {
            self.named.push(Offender {
                row: Some(self.first_row + row as u64),
                request: self.request.as_deref().map(str::to_owned),
                value: if self.redacted { None } else { value() },
            });
        }
    }
}

impl Offender {
    fn of_name(name: &str, fault: &str) -> Self {
        Self { row: None, request: None, value: Some(format!("`{name}` is {fault}")) }
    }
}

impl Outcome {
    fn of(holds: bool) -> Self {
        if holds { Self::Passed } else { Self::Failed }
    }
}

impl Finding {
    fn share_fitting(&self) -> f64 {
        (self.checked - self.violations) as f64 / self.checked as f64
    }
}

fn shortened(cell: Cell<'_>) -> String {
    let text = cell.to_string();
    match text.char_indices().nth(VALUE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
