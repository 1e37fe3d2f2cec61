//! The reference distribution of one feature.

use mlops_core::{Error, Result};

use super::grid::Grid;
use crate::{FeatureCounts, Summary};

/// The reference distribution of one feature: bins, how many values each holds, and a summary.
///
/// **Fine bins.** A feature with at most 200 distinct values has an edge at each of them, and the most
/// frequent ones (all, if they are at most 122) have a bin of their own, apart from new values beside them.
/// Any other has edges at its quantiles `k/200` (definition 7 of Hyndman & Fan, as in numpy), and a value so
/// frequent that it is two of them has a bin of its own. The outermost bins are open, and hold what lies
/// outside the range of the reference. Infinities fall there too.
///
/// **Coarse bins**, for the population stability index, are between the deciles; each is a union of fine
/// ones, so counting fine bins is enough for every test.
///
/// Missing values (NaN) are counted apart. Quantiles and summary are those of the finite values.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureProfile {
    name: String,
    grid: Grid,
    counts: FeatureCounts,
    summary: Option<Summary>,
}

impl FeatureProfile {
    /// The distribution of `values`; NaN is a missing one.
    ///
    /// Sorts: O(n log n).
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no value at all.
    pub fn new(name: impl Into<String>, values: &[f64]) -> Result<Self> {
        let name = name.into();
        if values.is_empty() {
            return Err(Error::invalid_input(format!("the reference of feature `{name}` is empty")));
        }
        let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let grid = Grid::of(&finite)
            .map_err(|error| Error::internal(format!("no bins for feature `{name}`")).with_source(error))?;
        let mut counts = FeatureCounts::zero(grid.bins());
        for &value in values {
            if value.is_nan() {
                counts.missing += 1;
            } else {
                counts.bins[grid.bin(value)] += 1;
            }
        }
        Ok(Self { name, grid, counts, summary: Summary::of(&finite) })
    }

    /// Puts a profile together from its stored parts; says what is wrong with them.
    pub(crate) fn from_parts(
        name: String,
        grid: Grid,
        counts: FeatureCounts,
        summary: Option<Summary>,
    ) -> Result<Self, String> {
        let fault = if counts.bins.len() != grid.bins() {
            format!("has {} counts for {} bins", counts.bins.len(), grid.bins())
        } else if counts.checked_total().is_none() {
            "has counts that overflow".to_owned()
        } else if summary.is_some_and(|summary| !summary.is_sound()) {
            "has an impossible summary".to_owned()
        } else if summary.is_none() != grid.edges().is_empty() {
            "has bins without a summary or a summary without bins".to_owned()
        } else {
            return Ok(Self { name, grid, counts, summary });
        };
        Err(format!("feature `{name}` {fault}"))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The inner edges of the fine bins, ascending, in the unit of the feature: at most 255. Bin `i` is
    /// `(edge i-1, edge i]`; there is one bin more than edges.
    #[must_use]
    pub fn edges(&self) -> &[f64] {
        self.grid.edges()
    }

    /// The inner edges of the coarse bins: the distinct deciles.
    pub fn deciles(&self) -> impl ExactSizeIterator<Item = f64> {
        self.grid.coarse().iter().map(|edge| self.grid.edges()[usize::from(*edge)])
    }

    /// How many values of the reference are in each fine bin, and how many are missing.
    #[must_use]
    pub fn counts(&self) -> &FeatureCounts {
        &self.counts
    }

    /// What the finite values are like; `None` if there are none.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        self.summary
    }

    /// What the fine bins cannot tell apart: the largest share of the reference, 0 to 1, in a bin that new
    /// values can fall into as well. Distribution functions taken at the edges are exact but for that.
    ///
    /// Without infinities it is at most `0.01 + 1/n` for a feature with more than 200 distinct values, 0 for
    /// one with at most 122, and at most 0.022 between.
    #[must_use]
    pub fn resolution(&self) -> f64 {
        let edges = self.edges();
        let of_one_value =
            |bin: usize| bin > 0 && bin < edges.len() && edges[bin - 1] == edges[bin].next_down();
        let bins = self.counts.bins.iter().enumerate();
        let most = bins.filter(|(bin, _)| !of_one_value(*bin)).map(|(_, count)| *count).max();
        most.unwrap_or_default() as f64 / self.counts.present().max(1) as f64
    }

    pub(crate) fn grid(&self) -> &Grid {
        &self.grid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_infinite_values_have_their_place() {
        let infinity = f64::INFINITY;
        let profile = FeatureProfile::new("x", &[1.0, f64::NAN, 2.0, infinity, -infinity, infinity]).unwrap();
        assert_eq!(profile.counts().missing, 1);
        assert_eq!((profile.counts().bins[0], profile.counts().bins.last()), (1, Some(&2)));
        assert_eq!(profile.summary().map(|summary| (summary.min, summary.max)), Some((1.0, 2.0)));
        assert_eq!(profile.deciles().collect::<Vec<_>>(), [1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9]);
        assert_eq!(profile.edges().first(), Some(&1.0_f64.next_down()));
        assert_eq!(profile.edges().last(), Some(&2.0));
    }

    #[test]
    fn a_feature_without_a_finite_value_has_one_bin() {
        let profile = FeatureProfile::new("x", &[f64::NAN, f64::NAN]).unwrap();
        assert_eq!((profile.edges().len(), profile.counts().bins.as_slice()), (0, &[0][..]));
        assert_eq!(profile.summary(), None);
        assert!(FeatureProfile::new("x", &[]).is_err());
    }
}
