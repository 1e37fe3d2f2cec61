//! The live counters of some features.

use std::iter;
use std::ops::Range;
use std::sync::Mutex;

use mlops_core::Tensor;

use super::raw::{Claim, RawRows};
use super::stripes::{Stripes, Writer};
use crate::features::{Misfit, word_of};
use crate::numbers::Numbers;
use crate::profile::Binning;
use crate::sync::lock;
use crate::{FeatureCounts, FeatureKind, FeatureProfile};

/// From so many rows on, a tensor is counted column by column.
const TALL: usize = 8;
/// Rows that are walked column by column before the next ones: what a first-level cache holds.
const TILE: usize = 64;
/// How many bins are looked up before any is incremented, so that searches of one block overlap.
const BLOCK: usize = 32;
/// The positions of the counters that belong to no feature.
const ROWS: usize = 0;
const DROPPED: usize = 1;

/// Counts the values of features in the bins of their profiles, and keeps the values themselves while they
/// are few. It does not hold the profiles, which have to be the same at every call.
#[derive(Debug)]
pub(crate) struct Live {
    /// Where the counters of each feature begin, and where they all end.
    begins: Box<[usize]>,
    /// Which of them are numeric: only their values are kept.
    numeric: Box<[bool]>,
    stripes: Stripes,
    raw: Option<RawRows>,
    /// What the stripes held when the window began.
    before: Mutex<Vec<u64>>,
}

/// What a window holds.
#[derive(Debug)]
pub(crate) struct LiveCounts {
    pub(crate) rows: u64,
    pub(crate) dropped: u64,
    pub(crate) features: Vec<FeatureCounts>,
}

/// Rows that are being counted.
pub(crate) struct Counting<'a> {
    live: &'a Live,
    profiles: &'a [FeatureProfile],
    writer: Writer<'a>,
    raw: Option<Claim<'a>>,
}

impl Live {
    pub(crate) fn new(profiles: &[FeatureProfile], stripes: usize, raw: usize) -> Self {
        let ends = profiles.iter().scan(DROPPED + 1, |end, profile| {
            *end += profile.binning().bins() + 1;
            Some(*end)
        });
        let begins: Box<[usize]> = iter::once(DROPPED + 1).chain(ends).collect();
        let cells = begins.last().copied().unwrap_or_default();
        Self {
            begins,
            numeric: profiles.iter().map(|profile| profile.kind() == FeatureKind::Numeric).collect(),
            stripes: Stripes::new(cells, stripes),
            raw: (raw > 0).then(|| RawRows::new(profiles.len(), raw)),
            before: Mutex::new(vec![0; cells]),
        }
    }

    /// Begins to count so many rows.
    pub(crate) fn count<'a>(&'a self, profiles: &'a [FeatureProfile], rows: usize) -> Counting<'a> {
        let raw = self.raw.as_ref().filter(|_| rows > 0).and_then(|raw| raw.claim(rows));
        let writer = self.stripes.writer();
        writer.add(ROWS, rows as u64);
        Counting { live: self, profiles, writer, raw }
    }

    /// The rows of the window.
    pub(crate) fn rows(&self) -> u64 {
        let before = lock(&self.before).get(ROWS).copied().unwrap_or_default();
        self.stripes.total(ROWS).saturating_sub(before)
    }

    /// The counts of the window as they are now.
    pub(crate) fn snapshot(&self) -> LiveCounts {
        let before = lock(&self.before);
        let raw = self.raw.as_ref().and_then(RawRows::columns);
        self.counts(&before, &self.stripes.totals(), raw)
    }

    /// Ends the window, and begins the next one.
    pub(crate) fn rotate(&self) -> LiveCounts {
        let mut before = lock(&self.before);
        let raw = self.raw.as_ref().and_then(RawRows::rotate);
        let now = self.stripes.totals();
        let counts = self.counts(&before, &now, raw);
        *before = now;
        counts
    }

    /// How many values of each feature were missing, in all windows.
    pub(crate) fn missing_since_the_start(&self) -> impl Iterator<Item = u64> {
        let totals = self.stripes.totals();
        let missing = self.begins.iter().skip(1).map(|end| end - 1);
        missing.map(move |cell| totals.get(cell).copied().unwrap_or_default())
    }

    fn counts(&self, before: &[u64], now: &[u64], raw: Option<Vec<Vec<f64>>>) -> LiveCounts {
        let window: Vec<u64> = before.iter().zip(now).map(|(before, now)| now - before).collect();
        let mut raw = raw.into_iter().flatten();
        let features = self.begins.windows(2).zip(&self.numeric).map(|(range, numeric)| {
            let mut bins = window.get(range[0]..range[1]).unwrap_or_default().to_vec();
            let missing = bins.pop().unwrap_or_default();
            FeatureCounts::new(bins, missing).with_raw(raw.next().filter(|_| *numeric))
        });
        LiveCounts {
            rows: window.get(ROWS).copied().unwrap_or_default(),
            dropped: window.get(DROPPED).copied().unwrap_or_default(),
            features: features.collect(),
        }
    }
}

impl<'a> Counting<'a> {
    /// A tensor was left out.
    pub(crate) fn dropped(&self) {
        self.writer.add(DROPPED, 1);
    }

    /// Neighbouring features, which come in row-major rows.
    pub(crate) fn columns(&'a self, features: Range<usize>) -> Columns<'a> {
        Columns { counting: self, features }
    }
}

/// Neighbouring features: the columns of row-major rows.
pub(crate) struct Columns<'a> {
    counting: &'a Counting<'a>,
    features: Range<usize>,
}

impl<'a> Columns<'a> {
    /// Where the counters of each feature begin, and its profile.
    fn profiles(&self) -> impl Iterator<Item = (usize, &'a FeatureProfile)> + Clone {
        let Counting { live, profiles, .. } = self.counting;
        let begins = live.begins.get(self.features.clone()).unwrap_or_default();
        begins.iter().copied().zip(profiles.get(self.features.clone()).unwrap_or_default())
    }

    /// Counts the elements of a tensor of words; empty ones are missing values.
    pub(crate) fn count_words(&self, tensor: &Tensor) -> Result<(), Misfit> {
        let words = tensor.byte_strings().map_err(|_| Misfit::DType)?;
        for (word, (begin, profile)) in words.zip(self.profiles().cycle()) {
            self.count_word(&word_of(word), begin, profile);
        }
        Ok(())
    }

    /// Counts the words of one column; empty ones are missing values.
    pub(crate) fn count_texts(&self, words: &[&str]) {
        for (word, (begin, profile)) in words.iter().zip(self.profiles().cycle()) {
            self.count_word(word, begin, profile);
        }
    }

    fn count_word(&self, word: &str, begin: usize, profile: &FeatureProfile) {
        let bin = profile.bin_of_word(word).unwrap_or_else(|| profile.binning().bins());
        self.counting.writer.add(begin + bin, 1);
    }

    /// Counts numbers; NaN is a missing value.
    pub(crate) fn count<T: Copy>(&self, rows: &[T], to_f64: impl Fn(T) -> f64) {
        let Counting { writer, raw, .. } = self.counting;
        let width = self.features.len().max(1);
        if let Some(raw) = raw {
            raw.write(self.features.clone(), rows.iter().map(|value| to_f64(*value)));
        }
        let columns = self.profiles().map(|(begin, profile)| (begin, profile.binning()));
        if rows.len() < TALL * width {
            for row in rows.chunks(width) {
                let values = row.iter().zip(columns.clone());
                count(writer, values.map(|(value, (begin, binning))| begin + binning.cell(to_f64(*value))));
            }
            return;
        }
        for tile in rows.chunks(TILE * width) {
            for (index, column) in columns.clone().enumerate() {
                let values = tile.get(index..).unwrap_or_default().iter().step_by(width);
                let values = values.map(|value| to_f64(*value));
                let (begin, binning) = column;
                // Decided once for the column, not for every value.
                match binning {
                    Binning::Numeric(grid) => count(writer, values.map(|value| begin + grid.cell(value))),
                    Binning::Categorical(categories) => {
                        count(writer, values.map(|value| begin + categories.cell(value)));
                    }
                }
            }
        }
    }
}

impl Numbers for Columns<'_> {
    type Output = ();

    fn visit<T: Copy>(self, values: &[T], to_f64: impl Fn(T) -> f64) {
        self.count(values, to_f64);
    }
}

/// Adds one to each of some counters.
fn count(writer: &Writer<'_>, mut cells: impl Iterator<Item = usize>) {
    let mut block = [0; BLOCK];
    loop {
        let mut filled = 0;
        for (slot, cell) in block.iter_mut().zip(cells.by_ref()) {
            *slot = cell;
            filled += 1;
        }
        writer.count(block.get(..filled).unwrap_or_default());
        if filled < BLOCK {
            return;
        }
    }
}
