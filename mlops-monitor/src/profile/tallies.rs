//! What a builder knows of one feature.

use std::borrow::Cow;

use mlops_core::{Error, Result};

use super::feature::{FeatureProfile, NumericSample, Uncounted};
use super::runs::Runs;
use super::sketch::{RANK_ERROR, Sketch};
use super::summary::{Moments, Summary};
use super::tally::Tally;
use crate::{ProfileOptions, TableColumn, Values, Words};

/// Most distinct numbers that are kept before a sketch takes over.
const EXACT: usize = 32_768;
/// How many numbers are gathered before they are sorted.
const PENDING: usize = 16_384;

/// What a builder knows of one feature.
#[derive(Debug, Clone, Default)]
pub(super) struct FeatureTally {
    missing: u64,
    /// Whether a column of words came, even if it had no value.
    words: bool,
    present: Option<Present>,
}

#[derive(Debug, Clone)]
enum Present {
    Numbers(Box<NumberTally>),
    /// Numbers that stand for categories, as their bits.
    Codes(Tally<u64>),
    Words(Tally<String>),
}

#[derive(Debug, Clone)]
struct NumberTally {
    pending: Vec<f64>,
    stored: Stored,
    moments: Moments,
    below: u64,
    above: u64,
}

#[derive(Debug, Clone)]
enum Stored {
    Exact(Runs),
    Sketched(Sketch),
}

impl FeatureTally {
    /// Proves that the column is of the kind of those before: numbers or words. One without a value is of both.
    pub(super) fn check(&self, name: &str, column: &TableColumn) -> Result<()> {
        let (held, came) = match (&self.present, column.values()) {
            (Some(Present::Words(_)), Values::Numbers(_)) => ("words", "numbers"),
            (Some(Present::Numbers(_) | Present::Codes(_)), Values::Words(_)) => ("numbers", "words"),
            _ => return Ok(()),
        };
        if column.missing() == column.len() {
            return Ok(());
        }
        Err(mixed(name, held, came))
    }

    /// Adds a column that passed [`check`](Self::check).
    pub(super) fn add(&mut self, column: &TableColumn, categorical: bool) {
        let missing = column.missing() as u64;
        match column.values() {
            _ if missing == column.len() as u64 => self.missing += missing,
            Values::Words(words) => self.add_words(words),
            Values::Numbers(numbers) if categorical => {
                self.missing += missing;
                let Present::Codes(tally) = self.present.get_or_insert_with(|| Present::Codes(Tally::new()))
                else {
                    return;
                };
                let present = numbers.iter().filter(|number| !number.is_nan());
                present.for_each(|number| tally.add(&(number + 0.0).to_bits(), 1));
            }
            Values::Numbers(numbers) => {
                self.missing += missing;
                if let Present::Numbers(tally) =
                    self.present.get_or_insert_with(|| Present::Numbers(Box::new(NumberTally::new())))
                {
                    tally.add(numbers);
                }
            }
        }
        self.words |= matches!(column.values(), Values::Words(_));
    }

    fn add_words(&mut self, words: &Words) {
        let mut counts = vec![0; words.dictionary().len()];
        words.codes().flatten().for_each(|code| counts[code] += 1);
        self.missing += words.codes().filter(Option::is_none).count() as u64;
        for (word, count) in words.dictionary().iter().zip(counts) {
            if word.is_empty() {
                self.missing += count;
            } else if count > 0
                && let Present::Words(tally) =
                    self.present.get_or_insert_with(|| Present::Words(Tally::new()))
            {
                tally.add(word.as_str(), count);
            }
        }
    }

    /// Proves that the other one is of the same kind.
    pub(super) fn check_merge(&self, name: &str, other: &Self) -> Result<()> {
        let held = |tally: &Self| {
            tally.present.as_ref().map(|present| match present {
                Present::Words(_) => "words",
                Present::Numbers(_) | Present::Codes(_) => "numbers",
            })
        };
        match (held(self), held(other)) {
            (Some(ours), Some(theirs)) if ours != theirs => Err(mixed(name, ours, theirs)),
            _ => Ok(()),
        }
    }

    /// Adds what another one knows that passed [`check_merge`](Self::check_merge).
    pub(super) fn merge(&mut self, other: Self) {
        self.missing += other.missing;
        self.words |= other.words;
        match (&mut self.present, other.present) {
            (present @ None, theirs) => *present = theirs,
            (Some(Present::Numbers(ours)), Some(Present::Numbers(theirs))) => ours.merge(*theirs),
            (Some(Present::Codes(ours)), Some(Present::Codes(theirs))) => ours.merge(theirs),
            (Some(Present::Words(ours)), Some(Present::Words(theirs))) => ours.merge(theirs),
            _ => {}
        }
    }

    pub(super) fn finish(
        self,
        name: String,
        categorical: bool,
        options: &ProfileOptions,
    ) -> Result<FeatureProfile> {
        let missing = self.missing;
        let none = Uncounted { missing, lost: 0 };
        match self.present {
            Some(Present::Numbers(tally)) => tally.finish(name, missing, options),
            Some(Present::Codes(tally)) => {
                let (distinct, lost) = tally.finish();
                let distinct =
                    distinct.into_iter().map(|(bits, count)| (f64::from_bits(bits), count)).collect();
                FeatureProfile::of_distinct(name, distinct, Uncounted { missing, lost }, options)
            }
            Some(Present::Words(tally)) => {
                let (distinct, lost) = tally.finish();
                let distinct: Vec<(Cow<'_, str>, u64)> =
                    distinct.into_iter().map(|(word, count)| (word.into(), count)).collect();
                FeatureProfile::of_distinct(name, distinct, Uncounted { missing, lost }, options)
            }
            None if self.words => {
                FeatureProfile::of_distinct(name, Vec::<(Cow<'_, str>, u64)>::new(), none, options)
            }
            None if categorical => FeatureProfile::of_distinct(name, Vec::<(f64, u64)>::new(), none, options),
            None => NumberTally::new().finish(name, missing, options),
        }
    }
}

fn mixed(name: &str, held: &str, came: &str) -> Error {
    Error::invalid_input(format!("feature `{name}` held {held} so far, and now holds {came}"))
}

impl NumberTally {
    fn new() -> Self {
        Self {
            pending: Vec::new(),
            stored: Stored::Exact(Runs::default()),
            moments: Moments::default(),
            below: 0,
            above: 0,
        }
    }

    fn add(&mut self, numbers: &[f64]) {
        for &number in numbers {
            if number.is_finite() {
                self.pending.push(number);
                if self.pending.len() >= PENDING {
                    self.flush();
                }
            } else if number == f64::INFINITY {
                self.above += 1;
            } else if number == f64::NEG_INFINITY {
                self.below += 1;
            }
        }
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let runs = Runs::of(std::mem::take(&mut self.pending));
        self.moments.add(&runs);
        self.store(runs);
    }

    fn store(&mut self, more: Runs) {
        match &mut self.stored {
            Stored::Sketched(sketch) => sketch.add(&more),
            Stored::Exact(runs) => {
                runs.merge(more);
                if runs.as_slice().len() > EXACT {
                    let mut sketch = Sketch::new();
                    sketch.add(runs);
                    self.stored = Stored::Sketched(sketch);
                }
            }
        }
    }

    fn merge(&mut self, mut other: Self) {
        self.flush();
        other.flush();
        self.below += other.below;
        self.above += other.above;
        self.moments.merge(&other.moments);
        match (&mut self.stored, other.stored) {
            (_, Stored::Exact(runs)) => self.store(runs),
            (Stored::Sketched(ours), Stored::Sketched(theirs)) => ours.merge(&theirs),
            (Stored::Exact(ours), Stored::Sketched(mut theirs)) => {
                theirs.add(ours);
                self.stored = Stored::Sketched(theirs);
            }
        }
    }

    fn finish(mut self, name: String, missing: u64, options: &ProfileOptions) -> Result<FeatureProfile> {
        self.flush();
        let (below, above) = (self.below, self.above);
        let sample = match self.stored {
            Stored::Exact(runs) => {
                NumericSample { summary: Summary::of(&runs), runs, rank_error: 0.0, missing, below, above }
            }
            Stored::Sketched(sketch) => {
                let runs = sketch.runs();
                let summary = self.moments.summary().or_else(|| Summary::of(&runs));
                NumericSample { summary, runs, rank_error: RANK_ERROR, missing, below, above }
            }
        };
        FeatureProfile::of_sample(name, &sample, options)
    }
}
