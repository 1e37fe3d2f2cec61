//! Live counters in the bins of a profile.

mod cells;
mod counts;

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlops_core::{Error, Result, Tensors};

use crate::Profile;
use crate::features::{Misfit, TensorFeatures};
use crate::numbers::{Numbers, visit_numbers};
use crate::profile::FeatureProfile;

pub(crate) use cells::{Cells, count};
pub use counts::{Counts, FeatureCounts};

/// From so many rows on, a tensor is counted column by column.
const TALL: usize = 8;
/// Rows that are walked column by column before the next ones: what a first-level cache holds.
const TILE: usize = 64;

/// Counts values in the bins of a [`Profile`], from any number of threads.
///
/// An observation is a search over the edges of its feature and one atomic increment; nothing is locked,
/// allocated or kept. State per feature: 8 bytes per bin and 8 for missing values, at most 2.1 KB, besides
/// the profile itself (about 4 KB per feature), which is shared. It does not grow.
///
/// # Consistency
/// Every counter is exact: no increment is lost or counted twice. [`snapshot`](Counters::snapshot) and
/// [`rotate`](Counters::rotate) read them one after the other, so a row that is being counted at that moment
/// may be seen in some features and not yet in others; over successive rotations everything adds up.
/// Threads that count at the same time slow each other down when they hit the same bins.
#[derive(Debug)]
pub struct Counters {
    profile: Arc<Profile>,
    cells: Box<[Cells]>,
    rows: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    /// All zero.
    pub fn new(profile: impl Into<Arc<Profile>>) -> Self {
        let profile = profile.into();
        let cells = profile.feature_profiles().iter().map(|feature| Cells::new(feature.grid())).collect();
        Self { profile, cells, rows: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    /// The profile whose bins are counted in.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Counts one row: a value per feature, in the order of the profile; NaN is a missing value.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it does not hold one value per feature. Then nothing was counted.
    pub fn observe_row(&self, row: &[f64]) -> Result<()> {
        if row.len() != self.cells.len() {
            return Err(Error::invalid_input(format!(
                "a row of {} values for {} features",
                row.len(),
                self.cells.len()
            )));
        }
        self.columns(0, row.len()).count(row, |value| value);
        self.rows.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Counts every row of the inputs of a model, and returns how many rows there were.
    ///
    /// A tensor that is absent or does not fit the profile (see
    /// [`TensorFeatures`]) is dropped and counted as such; the others are taken.
    /// Tensors that the profile does not know are none of its business.
    pub fn observe(&self, inputs: &Tensors) -> u64 {
        self.observe_or(inputs, |_| {})
    }

    /// [`observe`](Self::observe), telling `on_misfit` of every tensor that was dropped.
    pub(crate) fn observe_or(&self, inputs: &Tensors, mut on_misfit: impl FnMut(Misfit)) -> u64 {
        let (mut first, mut most_rows) = (0, 0);
        for features in self.profile.features().tensors() {
            let width = features.names().len();
            match self.observe_tensor(features, self.columns(first, width), inputs) {
                Ok(rows) => most_rows = rows.max(most_rows),
                Err(misfit) => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    on_misfit(misfit);
                }
            }
            first += width;
        }
        let rows = most_rows as u64;
        self.rows.fetch_add(rows, Ordering::Relaxed);
        rows
    }

    /// The rows counted since the last rotation.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// The counts as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Counts {
        self.collect(|cell| cell.load(Ordering::Relaxed), Cells::snapshot)
    }

    /// Ends the window: takes the counts out and begins anew at zero.
    pub fn rotate(&self) -> Counts {
        self.collect(|cell| cell.swap(0, Ordering::Relaxed), Cells::take)
    }

    fn collect(
        &self,
        total: impl Fn(&AtomicU64) -> u64,
        feature: impl Fn(&Cells) -> FeatureCounts,
    ) -> Counts {
        Counts {
            profile: self.profile.digest(),
            rows: total(&self.rows),
            dropped: total(&self.dropped),
            features: self.cells.iter().map(feature).collect(),
        }
    }

    fn observe_tensor(
        &self,
        features: &TensorFeatures,
        columns: Columns<'_>,
        inputs: &Tensors,
    ) -> Result<usize, Misfit> {
        let tensor = inputs.get(features.tensor()).ok_or(Misfit::Missing)?;
        let rows = features.rows_in(tensor)?;
        visit_numbers(tensor, columns).ok_or(Misfit::DType)?;
        Ok(rows)
    }

    /// The features from `first` on.
    fn columns(&self, first: usize, width: usize) -> Columns<'_> {
        let range = first..first + width;
        Columns {
            cells: self.cells.get(range.clone()).unwrap_or_default(),
            profiles: self.profile.feature_profiles().get(range).unwrap_or_default(),
        }
    }
}

/// Neighbouring features: the columns of row-major rows.
struct Columns<'a> {
    cells: &'a [Cells],
    profiles: &'a [FeatureProfile],
}

impl Columns<'_> {
    fn count<T: Copy>(&self, rows: &[T], to_f64: impl Fn(T) -> f64) {
        let width = self.cells.len().max(1);
        let columns = self.cells.iter().zip(self.profiles.iter().map(FeatureProfile::grid));
        if rows.len() < TALL * width {
            for row in rows.chunks(width) {
                count(row.iter().zip(columns.clone()).map(|(value, (c, g))| (c, g, to_f64(*value))));
            }
            return;
        }
        for tile in rows.chunks(TILE * width) {
            for (index, (cells, grid)) in columns.clone().enumerate() {
                let column = tile.get(index..).unwrap_or_default().iter().step_by(width);
                count(
                    iter::zip(column, iter::repeat((cells, grid)))
                        .map(|(value, (c, g))| (c, g, to_f64(*value))),
                );
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
