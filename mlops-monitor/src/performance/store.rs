//! Predictions that wait for their labels, and labels that wait for their predictions.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::names::Code;
use super::task::{Predicted, Truth};

/// By what predictions are told apart: the variant, and the value of each attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub(super) variant: Code,
    pub(super) segments: Box<[Code]>,
}

/// The predictions of one request.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Arc<str>,
    pub(super) at: Timestamp,
    pub(super) window: i64,
    pub(super) group: Group,
    pub(super) rows: Box<[Row]>,
    /// The one before it with the same id: that of another variant.
    pub(super) previous: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) predicted: Predicted,
    pub(super) truth: Option<Truth>,
}

/// A prediction and its label.
#[derive(Debug, Clone)]
pub(super) struct Joined {
    pub(super) hash: u64,
    pub(super) window: i64,
    pub(super) group: Group,
    pub(super) predicted: Predicted,
    pub(super) truth: Truth,
    /// Seconds from the prediction to its label.
    pub(super) delay: f64,
}

/// What a store found for a label.
#[derive(Debug)]
pub(super) enum Found {
    Joined(Vec<Joined>),
    Duplicate {
        same: bool,
    },
    NoSuchRow {
        rows: usize,
    },
    /// It is that of a ranking of another length.
    Misfit,
    Late,
    Waiting,
    Unknown,
}

/// How much a store holds, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) entries: usize,
    pub(super) max_age: Duration,
    pub(super) early: usize,
    pub(super) early_for: Duration,
}

/// What a store let go.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct LetGo {
    /// Rows without a label.
    pub(super) unlabelled: u64,
    /// Labels whose prediction never came.
    pub(super) unknown: u64,
}

#[derive(Debug)]
pub(super) struct Store {
    limits: Limits,
    /// In the order of their arrival; the first has the number `first`.
    entries: VecDeque<Entry>,
    first: u64,
    /// The number of the latest entry of each id.
    index: HashMap<Arc<str>, u64>,
    /// Hashes of the ids of entries that were let go.
    gone: HashSet<u64>,
    gone_in_order: VecDeque<u64>,
    early: HashMap<Arc<str>, Vec<(usize, Truth)>>,
    early_in_order: VecDeque<(Timestamp, Arc<str>)>,
    early_labels: usize,
}

impl Store {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            first: 0,
            index: HashMap::new(),
            gone: HashSet::new(),
            gone_in_order: VecDeque::new(),
            early: HashMap::new(),
            early_in_order: VecDeque::new(),
            early_labels: 0,
        }
    }

    /// Keeps predictions until their labels come. Gives back those whose labels have come before them, by
    /// themselves or to another variant, and how many of the labels before them fit none of them; `None` when there is one of this id and
    /// variant already.
    pub(super) fn insert(&mut self, mut entry: Entry) -> Option<(Vec<Joined>, u64)> {
        let mut known = Vec::new();
        for other in self.chain(&entry.id).map(|number| self.entry(number)) {
            if other.group.variant == entry.group.variant {
                return None;
            }
            let rows = other.rows.iter().enumerate();
            known.extend(rows.filter_map(|(row, other)| Some((row, other.truth.clone()?))));
        }
        let (id, at) = (Arc::clone(&entry.id), entry.at);
        let (mut joined, mut misfits) = (Vec::new(), 0);
        for (row, truth) in known {
            joined.extend(entry.join(row, truth, at));
        }
        for (row, truth) in self.early.remove(&id).unwrap_or_default() {
            self.early_labels -= 1;
            misfits += u64::from(entry.rows.get(row).is_none_or(|row| !row.predicted.fits(&truth)));
            joined.extend(entry.join(row, truth, at));
        }
        let number = self.first + self.entries.len() as u64;
        entry.previous = self.index.insert(id, number);
        self.entries.push_back(entry);
        Some((joined, misfits))
    }

    /// Joins a label with its prediction.
    pub(super) fn label(&mut self, id: &str, row: usize, truth: Truth, now: Timestamp) -> Found {
        let numbers: Vec<u64> = self.chain(id).collect();
        if numbers.is_empty() {
            return self.unmatched(id, row, truth, now);
        }
        let (mut joined, mut rows, mut same, mut misfit) = (Vec::new(), 0, true, false);
        for number in numbers {
            let index = (number - self.first) as usize;
            let Some(entry) = self.entries.get_mut(index) else { continue };
            rows = rows.max(entry.rows.len());
            if let Some(row) = entry.rows.get(row) {
                misfit |= !row.predicted.fits(&truth);
                same &= row.truth.as_ref().is_none_or(|known| *known == truth);
            }
            joined.extend(entry.join(row, truth.clone(), now));
        }
        match rows {
            rows if row >= rows => Found::NoSuchRow { rows },
            _ if joined.is_empty() && misfit => Found::Misfit,
            _ if joined.is_empty() => Found::Duplicate { same },
            _ => Found::Joined(joined),
        }
    }

    /// Lets go what is too old or too much, at most `limit` of each kind.
    pub(super) fn let_go(&mut self, now: Timestamp, limit: usize) -> LetGo {
        let mut let_go = LetGo::default();
        for _ in 0..limit {
            let full = self.entries.len() > self.limits.entries;
            let old = |entry: &Entry| is_older(entry.at, now, self.limits.max_age);
            if !full && !self.entries.front().is_some_and(old) {
                break;
            }
            let Some(entry) = self.entries.pop_front() else { break };
            if self.index.get(&entry.id) == Some(&self.first) {
                self.index.remove(&entry.id);
            }
            self.first += 1;
            let_go.unlabelled += entry.rows.iter().filter(|row| row.truth.is_none()).count() as u64;
            self.remember(hash(&entry.id, 0));
        }
        for _ in 0..limit {
            let full = self.early_labels > self.limits.early;
            let old = |at: Timestamp| is_older(at, now, self.limits.early_for);
            if !full && !self.early_in_order.front().is_some_and(|(at, _)| old(*at)) {
                break;
            }
            let Some((_, id)) = self.early_in_order.pop_front() else { break };
            let labels = self.early.remove(&id).map_or(0, |labels| labels.len());
            self.early_labels -= labels;
            let_go.unknown += labels as u64;
        }
        let_go
    }

    /// Labels that wait for their predictions.
    pub(super) fn waiting(&self) -> usize {
        self.early_labels
    }

    /// The entries from the one of that number on, at most so many, and the number after them.
    pub(super) fn entries_from(&self, number: u64, limit: usize) -> (impl Iterator<Item = &Entry>, u64) {
        let from = number.max(self.first);
        let skipped = ((from - self.first) as usize).min(self.entries.len());
        let until = (skipped + limit).min(self.entries.len());
        (self.entries.range(skipped..until), self.first + until as u64)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> [usize; 5] {
        let held = [self.entries.len(), self.index.len(), self.gone.len(), self.early.len()];
        [held[0], held[1], held[2], held[3], self.early_in_order.len()]
    }

    /// A label without a prediction.
    fn unmatched(&mut self, id: &str, row: usize, truth: Truth, now: Timestamp) -> Found {
        if self.gone.contains(&hash(id, 0)) {
            return Found::Late;
        }
        let waiting = self.early.get(id).and_then(|labels| labels.iter().find(|(known, _)| *known == row));
        if let Some((_, known)) = waiting {
            return Found::Duplicate { same: *known == truth };
        }
        if self.early_labels >= self.limits.early {
            return Found::Unknown;
        }
        if !self.early.contains_key(id) {
            // Ids whose predictions have come since are still in the queue; it must not grow for ever.
            if self.early_in_order.len() >= 2 * self.limits.early {
                let early = &self.early;
                self.early_in_order.retain(|(_, id)| early.contains_key(id));
            }
            self.early_in_order.push_back((now, id.into()));
        }
        self.early.entry(id.into()).or_default().push((row, truth));
        self.early_labels += 1;
        Found::Waiting
    }

    fn remember(&mut self, hash: u64) {
        if self.gone.insert(hash) {
            self.gone_in_order.push_back(hash);
        }
        if self.gone_in_order.len() > self.limits.entries
            && let Some(oldest) = self.gone_in_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }

    /// The numbers of the entries of an id, the latest first.
    fn chain(&self, id: &str) -> impl Iterator<Item = u64> + use<'_> {
        let held = |number: &u64| *number >= self.first;
        let latest = self.index.get(id).copied().filter(held);
        std::iter::successors(latest, move |number| self.entry(*number).previous.filter(held))
    }

    fn entry(&self, number: u64) -> &Entry {
        &self.entries[(number - self.first) as usize]
    }
}

impl Entry {
    /// Gives a row its label, unless it has one or it does not fit.
    fn join(&mut self, row: usize, truth: Truth, now: Timestamp) -> Option<Joined> {
        let hash = hash(&self.id, row as u64);
        let slot = self.rows.get_mut(row).filter(|row| row.truth.is_none() && row.predicted.fits(&truth))?;
        slot.truth = Some(truth.clone());
        let delay = now.duration_since(self.at).as_secs_f64().max(0.0);
        let predicted = slot.predicted.clone();
        Some(Joined { hash, window: self.window, group: self.group.clone(), predicted, truth, delay })
    }
}

/// The hash by which rows are sampled, and ids remembered.
pub(super) fn hash(id: &str, row: u64) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), row)
}

fn is_older(at: Timestamp, now: Timestamp, age: Duration) -> bool {
    now.duration_since(at).try_into().is_ok_and(|passed: Duration| passed > age)
}
