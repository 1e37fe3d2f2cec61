//! The live counters of one feature.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::FeatureCounts;
use crate::profile::Grid;

/// How many bins are looked up before any is incremented. An atomic increment holds back every later load,
/// so searches of one block overlap and those of different blocks do not.
const BLOCK: usize = 32;

/// One counter per fine bin, and one for missing values.
#[derive(Debug)]
pub(crate) struct Cells(Box<[AtomicU64]>);

impl Cells {
    pub(crate) fn new(grid: &Grid) -> Self {
        Self((0..=grid.bins()).map(|_| AtomicU64::new(0)).collect())
    }

    /// The counts, with what `read` makes of each cell.
    fn collect(&self, read: impl Fn(&AtomicU64) -> u64) -> FeatureCounts {
        let mut bins: Vec<u64> = self.0.iter().map(read).collect();
        let missing = bins.pop().unwrap_or_default();
        FeatureCounts { bins, missing }
    }

    pub(crate) fn snapshot(&self) -> FeatureCounts {
        self.collect(|cell| cell.load(Ordering::Relaxed))
    }

    /// Takes the counts out and leaves zeros. Every increment is in exactly one of the results.
    pub(crate) fn take(&self) -> FeatureCounts {
        self.collect(|cell| cell.swap(0, Ordering::Relaxed))
    }

    fn cell(&self, grid: &Grid, value: f64) -> Option<&AtomicU64> {
        let bin = if value.is_nan() { grid.bins() } else { grid.bin(value) };
        self.0.get(bin)
    }
}

/// Counts values, each in the cells of its feature.
pub(crate) fn count<'a>(mut values: impl Iterator<Item = (&'a Cells, &'a Grid, f64)>) {
    loop {
        let mut block = [None; BLOCK];
        let mut filled = 0;
        for (slot, (cells, grid, value)) in block.iter_mut().zip(values.by_ref()) {
            *slot = cells.cell(grid, value);
            filled += 1;
        }
        for cell in block[..filled].iter().flatten() {
            cell.fetch_add(1, Ordering::Relaxed);
        }
        if filled < BLOCK {
            return;
        }
    }
}
