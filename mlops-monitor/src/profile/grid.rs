//! The bins of a feature.

use std::array;
use std::cmp::Reverse;
use std::fmt;
use std::hint::select_unpredictable;

use mlops_core::stats::StatsError;

use super::runs::Runs;

/// Quantiles of a feature with many values lie at `k / FINE`; one with at most so many distinct values
/// has an edge at each.
const FINE: usize = 200;
/// Bins of the population stability index.
const COARSE: usize = 10;
/// One less than a power of two, so that a search always takes the same steps.
const MOST_EDGES: usize = 255;
/// One of so many edges is a guide.
const STRIDE: usize = 16;
/// Equal parts of the range of the edges.
const PARTS: usize = 256;
/// The most edges of a part: one less than a power of two.
const MOST_IN_PART: usize = 7;

/// Fine bins, and coarse ones that are unions of them.
///
/// For edges `e₁ < … < e_k` the fine bins are `(-∞, e₁], (e₁, e₂], …, (e_k, ∞)`. Some of the edges are also
/// the edges of the coarse bins.
#[derive(Clone, PartialEq)]
pub(crate) struct Grid {
    edges: Box<[f64]>,
    table: Box<Table>,
    coarse: Vec<u8>,
}

/// The edges as keys, for searching: integers are compared sooner than numbers.
#[derive(Clone, PartialEq)]
#[repr(align(64))]
struct Table {
    parts: Option<Parts>,
    /// `keys[STRIDE * i]` at index i. Over many features the keys do not fit into a first-level cache, but these do.
    guides: [i64; (MOST_EDGES + 1) / STRIDE],
    /// That of edge i at index i + 1, then the greatest of all, so that a search always takes the same steps.
    keys: [i64; MOST_EDGES + 1 + MOST_IN_PART],
}

/// Where to look for a value, if the edges lie so evenly that few are in any of the equal parts of their range: those of
/// normal, uniform and exponential features do, those of heavy tails do not and are searched by guides.
#[derive(Clone, PartialEq)]
struct Parts {
    low: f64,
    per_unit: f64,
    /// How many edges lie in the parts before each.
    before: [u8; PARTS],
}

impl Grid {
    /// The bins of a reference with that range. Without any value there is one bin for everything.
    pub(super) fn of(runs: &Runs, range: Option<(f64, f64)>) -> Result<Self, StatsError> {
        let Some((least, most)) = range.filter(|_| !runs.as_slice().is_empty()) else {
            return Ok(Self::one_bin());
        };
        let mut deciles = runs.quantiles((1..COARSE).map(|k| k as f64 / COARSE as f64))?;
        deciles.dedup();
        let few = runs.as_slice().len() <= FINE;
        let mut edges = if few { edges_of_each(runs) } else { edges_of_quantiles(runs)? };
        edges.extend([least.next_down(), most].into_iter().filter(|edge| edge.is_finite()));
        edges.extend(&deciles);
        edges.sort_unstable_by(f64::total_cmp);
        edges.dedup();
        let position = |decile: &f64| edges.partition_point(|edge| edge < decile) as u8;
        let coarse = deciles.iter().map(position).collect();
        Self::new(&edges, coarse).ok_or_else(|| StatsError::Undefined { reason: "no grid".into() })
    }

    /// Puts a grid together; `None` unless the edges are finite, ascend strictly and are at most 255, and
    /// `coarse` are ascending positions in them, at least one if there is an edge.
    pub(crate) fn new(edges: &[f64], coarse: Vec<u8>) -> Option<Self> {
        let sound = edges.len() <= MOST_EDGES
            && edges.iter().all(|edge| edge.is_finite())
            && edges.is_sorted_by(|a, b| a < b)
            && coarse.is_sorted_by(|a, b| a < b)
            && coarse.is_empty() == edges.is_empty()
            && coarse.last().is_none_or(|last| usize::from(*last) < edges.len());
        if !sound {
            return None;
        }
        Some(Self { edges: edges.into(), table: Box::new(Table::of(edges)), coarse })
    }

    fn one_bin() -> Self {
        Self { edges: Box::default(), table: Box::new(Table::of(&[])), coarse: Vec::new() }
    }

    /// The edges of the fine bins.
    pub(crate) fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Which of the edges are edges of coarse bins.
    pub(crate) fn coarse(&self) -> &[u8] {
        &self.coarse
    }

    /// How many fine bins there are.
    pub(crate) fn bins(&self) -> usize {
        self.edges.len() + 1
    }

    /// The fine bin of a value that is not NaN: how many edges are below it.
    #[inline]
    pub(crate) fn bin(&self, value: f64) -> usize {
        let key = key(value);
        match &self.table.parts {
            Some(parts) => self.table.search::<{ MOST_IN_PART }>(parts.edges_before(value), key),
            None => self.table.search::<{ STRIDE - 1 }>(self.table.guide(key) * STRIDE, key),
        }
    }

    /// The fine bin of a value; the one behind all of them is that of missing values.
    pub(crate) fn cell(&self, value: f64) -> usize {
        select_unpredictable(value.is_nan(), self.bins(), self.bin(value))
    }

    /// The counts of the coarse bins, from those of the fine ones.
    pub(crate) fn coarse_counts(&self, fine: &[u64]) -> Vec<u64> {
        let ends = self.coarse.iter().map(|edge| usize::from(*edge) + 1).chain([fine.len()]);
        let mut start = 0;
        ends.map(|end| {
            let bins = fine.get(start..end).unwrap_or_default();
            start = end;
            bins.iter().fold(0, |sum: u64, count| sum.saturating_add(*count))
        })
        .collect()
    }
}

impl Table {
    /// For at most [`MOST_EDGES`] edges, in order.
    fn of(edges: &[f64]) -> Self {
        let mut keys = [i64::MAX; MOST_EDGES + 1 + MOST_IN_PART];
        keys.iter_mut().skip(1).zip(edges).for_each(|(slot, edge)| *slot = key(*edge));
        Self { parts: Parts::of(edges), guides: array::from_fn(|index| keys[STRIDE * index]), keys }
    }

    /// The last guide that is below the key; the first one counts as that.
    fn guide(&self, key: i64) -> usize {
        let mut guide = 0;
        for bit in [8, 4, 2, 1] {
            let more = guide | bit;
            guide = select_unpredictable(self.guides[more] < key, more, guide);
        }
        guide
    }

    /// How many edges are below the key, if that is `least` or at most so many more.
    #[inline]
    fn search<const MORE: usize>(&self, least: usize, key: i64) -> usize {
        let mut below = least;
        let mut step = MORE.div_ceil(2);
        while step > 0 {
            let more = below + step;
            below = select_unpredictable(self.keys[more] < key, more, below);
            step /= 2;
        }
        below
    }
}

impl Parts {
    /// Parts of the range of most edges, of which the first and the last may be far out: what lies beyond is in the
    /// first part and the last.
    fn of(edges: &[f64]) -> Option<Self> {
        let (low, high) = (edges.get(1)?, edges.get(edges.len().checked_sub(2)?)?);
        let (range, per_unit) = (high - low, PARTS as f64 / (high - low));
        if range <= 0.0 || !range.is_finite() || !per_unit.is_finite() {
            return None;
        }
        let mut parts = Self { low: *low, per_unit, before: [0; PARTS] };
        let mut counts = [0; PARTS];
        edges.iter().for_each(|edge| counts[parts.part(*edge)] += 1);
        let mut sum = 0;
        for (before, count) in parts.before.iter_mut().zip(counts) {
            *before = sum as u8;
            sum += count;
        }
        counts.iter().all(|count| *count <= MOST_IN_PART).then_some(parts)
    }

    /// The part of a value. Greater values are never in earlier parts, however they are rounded.
    fn part(&self, value: f64) -> usize {
        usize::from(((value - self.low) * self.per_unit) as u8)
    }

    fn edges_before(&self, value: f64) -> usize {
        usize::from(self.before[self.part(value)])
    }
}

/// An integer that is as great among integers as the number is among numbers, but for NaN.
///
/// The bits of positive numbers are ordered as these are, those of negative ones the other way round (IEEE 754-2019,
/// 5.10); adding zero makes one of the two zeros.
fn key(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// An edge at each value. As many as there is room for, the most frequent first, get a bin of their own,
/// apart from new values just below.
fn edges_of_each(runs: &Runs) -> Vec<f64> {
    let mut edges: Vec<f64> = runs.as_slice().iter().map(|(value, _)| *value).collect();
    let room = MOST_EDGES - COARSE - edges.len();
    let mut frequent = runs.as_slice().to_vec();
    frequent.sort_by_key(|(_, count)| Reverse(*count));
    edges.extend(
        frequent.iter().take(room).map(|(value, _)| value.next_down()).filter(|edge| edge.is_finite()),
    );
    edges
}

/// An edge at each quantile `k / FINE`. A value that is more than one of them gets a bin of its own.
fn edges_of_quantiles(runs: &Runs) -> Result<Vec<f64>, StatsError> {
    let quantiles = runs.quantiles((1..FINE).map(|k| k as f64 / FINE as f64))?;
    let mut edges = Vec::with_capacity(FINE);
    for run in quantiles.chunk_by(|a, b| a == b) {
        if run.len() > 1 {
            edges.push(run[0].next_down());
        }
        edges.push(run[0]);
    }
    Ok(edges)
}

impl fmt::Debug for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grid({} bins, {} coarse)", self.bins(), self.coarse.len() + 1)
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::stats::{Closed, bin_counts, quantile_edges};
    use proptest::prelude::*;

    use super::*;

    fn grid(values: &[f64]) -> Grid {
        let runs = Runs::of(values.to_vec());
        let range = (runs.as_slice()[0].0, runs.as_slice().last().unwrap().0);
        Grid::of(&runs, Some(range)).unwrap()
    }

    fn reference() -> impl Strategy<Value = Vec<f64>> {
        prop_oneof![
            prop::collection::vec(-1e3..1e3, 1..700),
            prop::collection::vec((-20_i8..20).prop_map(f64::from), 1..700),
            prop::collection::vec(prop_oneof![Just(0.0), -0.1..1e3], 1..700),
            prop::collection::vec(any::<f64>().prop_filter("finite", |value| value.is_finite()), 1..20),
        ]
    }

    proptest! {
        #[test]
        fn searching_agrees_with_the_statistics(values in reference(), live in prop::collection::vec(any::<f64>(), 0..50)) {
            let grid = grid(&values);
            let live: Vec<f64> = live.into_iter().filter(|value| !value.is_nan()).chain(values.clone()).collect();
            let mut counts = vec![0; grid.bins()];
            live.iter().for_each(|value| counts[grid.bin(*value)] += 1);
            prop_assert_eq!(&counts, &bin_counts(&live, grid.edges(), Closed::Right).unwrap());
            let deciles = quantile_edges(&values, 10).unwrap();
            prop_assert_eq!(grid.coarse_counts(&counts), bin_counts(&live, &deciles, Closed::Right).unwrap());
        }

        #[test]
        fn the_reference_lies_between_the_first_and_the_last_edge(values in reference()) {
            let grid = grid(&values);
            prop_assert!(grid.bins() <= MOST_EDGES + 1);
            let counts = bin_counts(&values, grid.edges(), Closed::Right).unwrap();
            prop_assert_eq!(counts.last(), Some(&0));
            prop_assert!(counts[0] == 0 || values.contains(&-f64::MAX));
        }
    }

    /// Each in a way that finds the bins of all of its values.
    #[test]
    fn even_edges_are_searched_by_parts_and_others_by_guides() {
        let quantiles = |quantile: fn(f64) -> f64| -> Vec<f64> {
            (1..5_000).map(|k| quantile(f64::from(k) / 5_000.0)).collect()
        };
        let cauchy = |p: f64| (std::f64::consts::PI * (p - 0.5)).tan();
        for (values, by_parts) in [
            (quantiles(|p| p), true),
            (quantiles(|p| -p.ln()), true),
            (quantiles(|p| 1e9 + (p / (1.0 - p)).ln()), true),
            (quantiles(cauchy), false),
            (vec![1.0], false),
            (vec![1.0, 2.0, 2.0, 3.0], true),
            (vec![-f64::MAX, 0.0, 1.0, f64::MAX], false),
            ((0..200).map(|i| 1.0 + f64::from(i) * f64::EPSILON).collect(), true),
        ] {
            let grid = grid(&values);
            assert_eq!(grid.table.parts.is_some(), by_parts, "{:?}", grid.edges());
            for value in values.into_iter().chain([f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-300]) {
                let below = grid.edges().partition_point(|edge| *edge < value);
                assert_eq!(grid.bin(value), below, "{value} among {:?}", grid.edges());
            }
        }
    }

    #[test]
    fn a_frequent_value_of_a_feature_with_many_has_a_bin_of_its_own() {
        let values: Vec<f64> = (0..1000).map(|i| if i < 400 { 0.0 } else { f64::from(i) - 500.0 }).collect();
        let grid = grid(&values);
        assert_ne!(grid.bin(0.0), grid.bin(-0.001));
        assert_ne!(grid.bin(0.0), grid.bin(0.001));
    }

    #[test]
    fn unsound_grids_are_refused() {
        for (edges, coarse) in [
            (vec![1.0, 1.0], vec![0]),
            (vec![2.0, 1.0], vec![0]),
            (vec![f64::NAN], vec![0]),
            (vec![f64::INFINITY], vec![0]),
            (vec![1.0], vec![]),
            (vec![], vec![0]),
            (vec![1.0], vec![1]),
            (vec![1.0, 2.0], vec![1, 1]),
            ((0..256).map(f64::from).collect(), vec![0]),
        ] {
            assert_eq!(Grid::new(&edges, coarse), None, "{edges:?}");
        }
    }
}
