//! `TfIdfVectorizer`: counts n-grams of strings or integers.

use std::collections::HashMap;
use std::hash::Hash;

use mlops_core::{Error, Result};

use crate::engine::onnx::graph::Attributes;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count};
use crate::engine::onnx::value::Inputs;

/// Which column an n-gram counts for: a tree whose branches are items.
#[derive(Debug, Default)]
struct Grams {
    /// The node after a node and an item.
    next: HashMap<(usize, usize), usize>,
    /// The column of the n-gram that ends at a node. The root is the first node.
    columns: Vec<Option<usize>>,
}

impl Grams {
    fn insert(&mut self, items: &[usize], column: usize) {
        let mut node = 0;
        for &item in items {
            let new = self.columns.len();
            node = *self.next.entry((node, item)).or_insert(new);
            if node == new {
                self.columns.push(None);
            }
        }
        self.columns[node] = Some(column);
    }
}

#[derive(Debug)]
enum Items {
    Texts(HashMap<String, usize>),
    Ints(HashMap<i64, usize>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// How often the n-gram occurs.
    Count,
    /// Its weight, if it occurs.
    Weight,
    /// How often it occurs, times its weight.
    WeightedCount,
}

#[derive(Debug)]
struct TfIdfVectorizer {
    mode: Mode,
    shortest: usize,
    longest: usize,
    /// The most items left out between two items of an n-gram.
    skips: usize,
    items: Items,
    grams: Grams,
    width: usize,
    /// Of each column; none for 1.
    weights: Vec<f32>,
}

pub(super) fn tf_idf_vectorizer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let mode = match attributes.text("mode")?.map_or("", String::as_str) {
        "TF" => Mode::Count,
        "IDF" => Mode::Weight,
        "TFIDF" => Mode::WeightedCount,
        other => return Err(Error::invalid_input(format!("there is no mode `{other}`"))),
    };
    let shortest = number(attributes, "min_gram_length")?;
    let longest = number(attributes, "max_gram_length")?;
    let skips = number(attributes, "max_skip_count")?;
    let starts = numbers(attributes, "ngram_counts")?;
    let columns = numbers(attributes, "ngram_indexes")?;
    if shortest == 0 || shortest > longest || longest > starts.len() {
        let known = starts.len();
        return Err(Error::invalid_input(format!(
            "n-grams of {shortest} to {longest} items are asked for, but `ngram_counts` has lengths from 1 to {known}"
        )));
    }
    let (items, pool) = match (attributes.texts("pool_strings")?, attributes.ints("pool_int64s")?) {
        (Some(pool), _) if !pool.is_empty() => {
            let (items, pool) = numbered(pool);
            (Items::Texts(items), pool)
        }
        (_, Some(pool)) if !pool.is_empty() => {
            let (items, pool) = numbered(pool);
            (Items::Ints(items), pool)
        }
        _ => return Err(Error::invalid_input("either pool_strings or pool_int64s is needed")),
    };
    let mut grams = Grams { next: HashMap::new(), columns: vec![None] };
    let mut gram = 0;
    for (index, &start) in starts.iter().enumerate() {
        let length = index + 1;
        let end = starts.get(length).copied().unwrap_or(pool.len());
        let part = pool.get(start..end).filter(|part| part.len().is_multiple_of(length));
        let part = part.ok_or_else(|| {
            Error::invalid_input(format!(
                "`ngram_counts` does not cut the pool into n-grams of {length} items"
            ))
        })?;
        for items in part.chunks_exact(length) {
            let column = *columns.get(gram).ok_or_else(|| {
                Error::invalid_input(format!("`ngram_indexes` has {} of more n-grams", columns.len()))
            })?;
            if (shortest..=longest).contains(&length) {
                grams.insert(items, column);
            }
            gram += 1;
        }
    }
    let width = columns.iter().max().map_or(0, |&last| last.saturating_add(1));
    element_count(&[width])?;
    let weights = match attributes.floats("weights")? {
        Some(of_grams) if mode != Mode::Count && !of_grams.is_empty() => {
            if of_grams.len() != columns.len() {
                let (given, grams) = (of_grams.len(), columns.len());
                return Err(Error::invalid_input(format!("`weights` has {given} of {grams} n-grams")));
            }
            let mut weights = Vec::new();
            weights
                .try_reserve_exact(width)
                .map_err(|_| Error::invalid_input(format!("{width} columns do not fit in memory")))?;
            weights.resize(width, 1.0);
            columns.iter().zip(of_grams).for_each(|(&column, &weight)| weights[column] = weight);
            weights
        }
        _ => Vec::new(),
    };
    Ok(Box::new(TfIdfVectorizer { mode, shortest, longest, skips, items, grams, width, weights }))
}

fn number(attributes: &Attributes, name: &str) -> Result<usize> {
    let number = attributes.optional_int(name)?.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| Error::invalid_input(format!("`{name}` is needed, and not negative")))
}

fn numbers(attributes: &Attributes, name: &str) -> Result<Vec<usize>> {
    let list = attributes.ints(name)?.filter(|list| !list.is_empty());
    let list = list.and_then(|list| list.iter().map(|&number| usize::try_from(number).ok()).collect());
    list.ok_or_else(|| {
        Error::invalid_input(format!("`{name}` is needed, with numbers that are not negative"))
    })
}

/// A number for each item, and the items as numbers.
fn numbered<T: Clone + Hash + Eq>(pool: &[T]) -> (HashMap<T, usize>, Vec<usize>) {
    let mut numbers = HashMap::new();
    let mut numbered = Vec::with_capacity(pool.len());
    for item in pool {
        let new = numbers.len();
        numbered.push(*numbers.entry(item.clone()).or_insert(new));
    }
    (numbers, numbered)
}

impl Operator for TfIdfVectorizer {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let (rows, columns, shape) = match input.shape() {
            [] => (1, 1, Shape::from_slice(&[self.width])),
            [columns] => (1, *columns, Shape::from_slice(&[self.width])),
            [rows, columns] => (*rows, *columns, Shape::from_slice(&[*rows, self.width])),
            other => {
                return Err(Error::engine(format!(
                    "items [c] or [b, c] are needed, not the shape {other:?}"
                )));
            }
        };
        let items: Vec<Option<usize>> = match (&self.items, input.data()) {
            (Items::Texts(known), Data::Text(texts)) => {
                texts.iter().map(|text| known.get(text).copied()).collect()
            }
            (Items::Ints(known), Data::I64(ints)) => ints.iter().map(|int| known.get(int).copied()).collect(),
            (Items::Ints(known), Data::I32(ints)) => {
                ints.iter().map(|&int| known.get(&int.into()).copied()).collect()
            }
            (_, other) => {
                let dtype = other.dtype();
                return Err(Error::engine(format!(
                    "the n-grams are of another type than the input, {dtype}"
                )));
            }
        };
        let count = element_count(&[rows, self.width])?;
        let mut counts = Vec::new();
        let full = |_| Error::engine(format!("{rows} rows of {} n-grams do not fit in memory", self.width));
        counts.try_reserve_exact(count).map_err(full)?;
        counts.resize(count, 0.0_f32);
        if self.width > 0 && columns > 0 {
            for (row, counts) in items.chunks_exact(columns).zip(counts.chunks_exact_mut(self.width)) {
                self.count(row, counts);
                self.weigh(counts);
            }
        }
        one(HostTensor::new(shape, counts)?)
    }
}

impl TfIdfVectorizer {
    fn count(&self, row: &[Option<usize>], counts: &mut [f32]) {
        // A single item has nothing to skip.
        if self.shortest == 1 {
            self.count_spaced(row, 1, 1..=1, counts);
        }
        let lengths = self.shortest.max(2)..=self.longest;
        if lengths.is_empty() {
            return;
        }
        for step in 1..=self.skips.saturating_add(1).min(row.len()) {
            self.count_spaced(row, step, lengths.clone(), counts);
        }
    }

    /// Counts the n-grams of these lengths whose items are so far apart.
    fn count_spaced(
        &self,
        row: &[Option<usize>],
        step: usize,
        lengths: std::ops::RangeInclusive<usize>,
        counts: &mut [f32],
    ) {
        for start in 0..row.len() {
            let mut node = 0;
            for (index, item) in row[start..].iter().step_by(step).enumerate().take(*lengths.end()) {
                let next = item.and_then(|item| self.grams.next.get(&(node, item)));
                let Some(&next) = next else { break };
                node = next;
                if let Some(column) = self.grams.columns[node].filter(|_| lengths.contains(&(index + 1))) {
                    counts[column] += 1.0;
                }
            }
        }
    }

    fn weigh(&self, counts: &mut [f32]) {
        let weights = self.weights.iter().copied().chain(std::iter::repeat(1.0));
        for (count, weight) in counts.iter_mut().zip(weights) {
            match self.mode {
                Mode::Count => {}
                Mode::Weight => *count = if *count > 0.0 { weight } else { 0.0 },
                Mode::WeightedCount => *count *= weight,
            }
        }
    }
}
