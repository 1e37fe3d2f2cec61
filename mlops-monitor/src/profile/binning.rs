//! The bins of a feature of either kind.

use super::categories::Categories;
use super::grid::Grid;

/// The bins of a feature: what live values are counted in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Binning {
    Numeric(Grid),
    Categorical(Categories),
}

impl Binning {
    /// How many bins there are.
    pub(crate) fn bins(&self) -> usize {
        match self {
            Self::Numeric(grid) => grid.bins(),
            Self::Categorical(categories) => categories.bins(),
        }
    }

    /// The bin of a value that is not NaN.
    pub(crate) fn bin(&self, value: f64) -> usize {
        match self {
            Self::Numeric(grid) => grid.bin(value),
            Self::Categorical(categories) => categories.bin_of_number(value),
        }
    }

    /// The bin of a value; the one behind all of them is that of missing values.
    pub(crate) fn cell(&self, value: f64) -> usize {
        match self {
            Self::Numeric(grid) => grid.cell(value),
            Self::Categorical(categories) => categories.cell(value),
        }
    }

    /// The counts that the population stability index compares: of coarse bins, or of every category.
    pub(crate) fn coarse_counts(&self, fine: &[u64]) -> Vec<u64> {
        match self {
            Self::Numeric(grid) => grid.coarse_counts(fine),
            Self::Categorical(_) => fine.to_vec(),
        }
    }
}
