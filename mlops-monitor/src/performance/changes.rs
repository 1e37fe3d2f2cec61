//! Whether errors have become more frequent, label by label.

use std::collections::BTreeMap;
use std::fmt;

use mlops_core::stats::change::{Change, ChangeDetector};

use super::names::Code;
use super::ranking;
use super::store::Joined;
use super::tally::class_of;
use super::task::{Predicted, Task, Truth};

type Make = Box<dyn Fn() -> Box<dyn ChangeDetector> + Send + Sync>;

/// A detector for each variant, of the errors in the order in which their labels come.
pub(super) struct Changes {
    make: Make,
    variants: BTreeMap<Code, Stream>,
}

/// The errors of a variant.
#[derive(Debug)]
pub(super) struct Stream {
    detector: Box<dyn ChangeDetector>,
    pub(super) errors: u64,
    pub(super) changes: u64,
    /// The latest window when it last changed.
    pub(super) changed_in: Option<i64>,
    pub(super) warns: bool,
}

impl Changes {
    pub(super) fn new(make: Make) -> Self {
        Self { make, variants: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, task: &Task, joined: &Joined, latest: i64) {
        let Some(error) = error(task, joined) else { return };
        let new =
            || Stream { detector: (self.make)(), errors: 0, changes: 0, changed_in: None, warns: false };
        let stream = self.variants.entry(joined.group.variant).or_insert_with(new);
        stream.errors += 1;
        let change = stream.detector.update(error);
        stream.warns = change == Change::Warning;
        if change.is_drift() {
            stream.changes += 1;
            stream.changed_in = Some(latest);
        }
    }

    pub(super) fn variants(&self) -> impl Iterator<Item = (Code, &Stream)> {
        self.variants.iter().map(|(variant, stream)| (*variant, stream))
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("variants", &self.variants).finish_non_exhaustive()
    }
}

/// 1 for a wrong class, 0 for the right one; the absolute error of a number; what a ranking misses of the gain of
/// the best one.
fn error(task: &Task, joined: &Joined) -> Option<f64> {
    match (task, &joined.predicted, &joined.truth) {
        (Task::Ranking { at, .. }, predicted, truth) => {
            let grades = ranking::grades_of(predicted, truth)?;
            ranking::gain(&grades, *at).ok().map(|gain| 1.0 - gain)
        }
        (Task::Binary { threshold, .. }, Predicted::Probability(probability), Truth::Positive(label)) => {
            Some(f64::from((probability >= threshold) != *label))
        }
        (_, Predicted::Number(predicted), Truth::Number(actual)) => Some((predicted - actual).abs()),
        (_, predicted, Truth::Class(class)) => Some(f64::from(class_of(predicted) != Some(*class))),
        _ => None,
    }
}
