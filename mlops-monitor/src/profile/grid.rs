//! The bins of a feature.

use std::cmp::Reverse;
use std::fmt;
use std::hint::select_unpredictable;

use mlops_core::stats::{StatsError, quantile_edges, quantiles};

/// Quantiles of a feature with many values lie at `k / FINE`; one with at most so many distinct values
/// has an edge at each.
const FINE: usize = 200;
/// Bins of the population stability index.
const COARSE: usize = 10;
/// One less than a power of two, so that a search always takes the same steps.
const MOST_EDGES: usize = 255;

/// Fine bins, and coarse ones that are unions of them.
///
/// For edges `e₁ < … < e_k` the fine bins are `(-∞, e₁], (e₁, e₂], …, (e_k, ∞)`. Some of the edges are also
/// the edges of the coarse bins.
#[derive(Clone, PartialEq)]
pub(crate) struct Grid {
    /// Edge i at index i + 1, then infinities, so that a search always takes the same eight steps.
    table: Box<[f64; MOST_EDGES + 1]>,
    edges: usize,
    coarse: Vec<u8>,
}

impl Grid {
    /// The bins of a reference.
    ///
    /// Values have to be finite. Without any there is one bin for everything.
    pub(crate) fn of(values: &[f64]) -> Result<Self, StatsError> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
            return Ok(Self::one_bin());
        };

        let deciles = quantile_edges(values, COARSE)?;
        let runs: Vec<&[f64]> = sorted.chunk_by(|a, b| a == b).collect();
        let mut edges = if runs.len() <= FINE { edges_of_each(runs) } else { edges_of_quantiles(values)? };
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
        let mut grid = Self { coarse, edges: edges.len(), ..Self::one_bin() };
        grid.table.iter_mut().skip(1).zip(edges).for_each(|(slot, edge)| *slot = *edge);
        Some(grid)
    }

    fn one_bin() -> Self {
        Self { table: Box::new([f64::INFINITY; MOST_EDGES + 1]), edges: 0, coarse: Vec::new() }
    }

    /// The edges of the fine bins.
    pub(crate) fn edges(&self) -> &[f64] {
        &self.table[1..=self.edges]
    }

    /// Which of the edges are edges of coarse bins.
    pub(crate) fn coarse(&self) -> &[u8] {
        &self.coarse
    }

    /// How many fine bins there are.
    pub(crate) fn bins(&self) -> usize {
        self.edges + 1
    }

    /// The fine bin of a value that is not NaN: how many edges are below it, one bit after the other.
    pub(crate) fn bin(&self, value: f64) -> usize {
        let mut below = 0;
        for bit in [128, 64, 32, 16, 8, 4, 2, 1] {
            let more = below | bit;
            below = select_unpredictable(self.table[more] < value, more, below);
        }
        below
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

/// An edge at each value. As many as there is room for, the most frequent first, get a bin of their own,
/// apart from new values just below.
fn edges_of_each(mut runs: Vec<&[f64]>) -> Vec<f64> {
    let mut edges: Vec<f64> = runs.iter().map(|run| run[0]).collect();
    let room = MOST_EDGES - COARSE - edges.len();
    runs.sort_by_key(|run| Reverse(run.len()));
    edges.extend(runs.iter().take(room).map(|run| run[0].next_down()).filter(|edge| edge.is_finite()));
    edges
}

/// An edge at each quantile `k / FINE`. A value that is more than one of them gets a bin of its own.
fn edges_of_quantiles(values: &[f64]) -> Result<Vec<f64>, StatsError> {
    let shares: Vec<f64> = (1..FINE).map(|k| k as f64 / FINE as f64).collect();
    let quantiles = quantiles(values, &shares)?;
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
    use mlops_core::stats::{Closed, bin_counts};
    use proptest::prelude::*;

    use super::*;

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
            let grid = Grid::of(&values).unwrap();
            let live: Vec<f64> = live.into_iter().filter(|value| !value.is_nan()).chain(values.clone()).collect();
            let mut counts = vec![0; grid.bins()];
            live.iter().for_each(|value| counts[grid.bin(*value)] += 1);
            prop_assert_eq!(&counts, &bin_counts(&live, grid.edges(), Closed::Right).unwrap());
            let deciles = quantile_edges(&values, 10).unwrap();
            prop_assert_eq!(grid.coarse_counts(&counts), bin_counts(&live, &deciles, Closed::Right).unwrap());
        }

        #[test]
        fn the_reference_lies_between_the_first_and_the_last_edge(values in reference()) {
            let grid = Grid::of(&values).unwrap();
            prop_assert!(grid.bins() <= MOST_EDGES + 1);
            let counts = bin_counts(&values, grid.edges(), Closed::Right).unwrap();
            prop_assert_eq!(counts.last(), Some(&0));
            prop_assert!(counts[0] == 0 || values.contains(&-f64::MAX));
        }
    }

    #[test]
    fn a_frequent_value_of_a_feature_with_many_has_a_bin_of_its_own() {
        let values: Vec<f64> = (0..1000).map(|i| if i < 400 { 0.0 } else { f64::from(i) - 500.0 }).collect();
        let grid = Grid::of(&values).unwrap();
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
