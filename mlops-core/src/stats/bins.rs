//! Observations per bin and per category.

use super::{StatsError, invalid, require_no_nan};

/// Edges that are compared with every value at once; one more than deciles have, for an even number.
const LANES: usize = 10;
/// Most edges that are compared one and all. Among more, the bin of each value is searched for.
const FEW: usize = 2 * LANES;
/// Values that are compared with the first edges before the next edges have their turn.
const BLOCK: usize = 2_048;

/// Which end of each bin belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Closed {
    /// Bins `(-∞, e₁], (e₁, e₂], …, (e_k, ∞)`.
    #[default]
    Right,
    /// Bins `(-∞, e₁), [e₁, e₂), …, [e_k, ∞)`.
    Left,
}

/// Counts observations per bin for inner edges in ascending order; one bin more than edges.
///
/// # Errors
///
/// [`StatsError::NotANumber`] in either slice; [`StatsError::InvalidParameter`] when the edges descend.
///
/// ```
/// use mlops_core::stats::{Closed, bin_counts};
///
/// assert_eq!(bin_counts(&[0.0, 1.0, 2.0], &[1.0], Closed::Right)?, [2, 1]);
/// assert_eq!(bin_counts(&[0.0, 1.0, 2.0], &[1.0], Closed::Left)?, [1, 2]);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn bin_counts(values: &[f64], edges: &[f64], closed: Closed) -> Result<Vec<u64>, StatsError> {
    require_no_nan("values", values)?;
    require_no_nan("edges", edges)?;
    if !edges.is_sorted() {
        return Err(invalid("edges", "the edges are not in ascending order: sort them"));
    }
    Ok(bin_counts_of(values, edges, closed))
}

/// [`bin_counts`] of values and edges known to be sound.
pub(super) fn bin_counts_of(values: &[f64], edges: &[f64], closed: Closed) -> Vec<u64> {
    match closed {
        Closed::Right => count(values, edges, |edge, value| edge < value),
        Closed::Left => count(values, edges, |edge, value| edge <= value),
    }
}

/// Counts observations per category, from the codes of a dictionary of `categories` entries.
///
/// The codes are positions in the dictionary, as columnar formats and data frames keep words; one pass
/// that neither hashes nor compares.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] when a code is not below `categories`.
///
/// ```
/// use mlops_core::stats::category_counts;
///
/// assert_eq!(category_counts(&[2, 0, 2], 3)?, [1, 0, 2]);
/// assert!(category_counts(&[3], 3).is_err());
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn category_counts(codes: &[u32], categories: usize) -> Result<Vec<u64>, StatsError> {
    // Neighbours count in tables of their own: equal ones need not wait for each other.
    const TABLES: usize = 4;
    let highest = codes.iter().copied().fold(0, u32::max) as usize;
    if highest >= categories && !codes.is_empty() {
        return Err(invalid("codes", format!("code {highest} is not below the {categories} categories")));
    }
    let mut tables = [(); TABLES].map(|()| vec![0_u64; categories]);
    let (groups, rest) = codes.as_chunks::<TABLES>();
    for group in groups {
        for (table, &code) in tables.iter_mut().zip(group) {
            table[code as usize] += 1;
        }
    }
    let [mut counts, others @ ..] = tables;
    rest.iter().for_each(|&code| counts[code as usize] += 1);
    for other in others {
        counts.iter_mut().zip(other).for_each(|(count, more)| *count += more);
    }
    Ok(counts)
}

/// Counts per bin, where `passes` tells whether a value lies beyond an edge.
#[inline(always)]
fn count(values: &[f64], edges: &[f64], passes: impl Fn(f64, f64) -> bool + Copy) -> Vec<u64> {
    let mut counts = vec![0; edges.len() + 1];
    if edges.len() > FEW {
        for &value in values {
            counts[edges.partition_point(|&edge| passes(edge, value))] += 1;
        }
        return counts;
    }
    counts[0] = values.len() as u64;
    for block in values.chunks(BLOCK) {
        for (edges, counts) in edges.chunks(LANES).zip(counts[1..].chunks_mut(LANES)) {
            let mut lanes = [f64::INFINITY; LANES];
            lanes[..edges.len()].copy_from_slice(edges);
            let beyond = beyond(block, lanes, passes);
            counts.iter_mut().zip(beyond).for_each(|(count, more)| *count += more);
        }
    }
    for bin in 1..counts.len() {
        counts[bin - 1] -= counts[bin];
    }
    counts
}

/// How many of the values lie beyond each edge.
#[inline(always)]
fn beyond(values: &[f64], edges: [f64; LANES], passes: impl Fn(f64, f64) -> bool) -> [u64; LANES] {
    let mut beyond = [0_u64; LANES];
    for &value in values {
        for (count, edge) in beyond.iter_mut().zip(edges) {
            *count += u64::from(passes(edge, value));
        }
    }
    beyond
}
