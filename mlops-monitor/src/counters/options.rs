//! How much memory counters take, and for what.

use std::thread;

/// Most stripes by default.
const MOST_SHARDS: usize = 8;

/// Options of [`Counters`](crate::Counters).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CounterOptions {
    /// How many threads can count at the same time without sharing counters; rounded up to a power of two.
    /// Memory is taken when so many do. Default: the cores there are, at most 8.
    pub shards: usize,
    /// Up to so many rows a window keeps its values beside the counts, so that tests can be exact. 0 keeps
    /// none. Default 1,000.
    pub raw: usize,
}

impl Default for CounterOptions {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { shards: cores.min(MOST_SHARDS).next_power_of_two(), raw: 1_000 }
    }
}

impl CounterOptions {
    /// Sets how many threads can count at the same time without sharing counters.
    #[must_use]
    pub fn with_shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// Sets up to how many rows a window keeps its values.
    #[must_use]
    pub fn with_raw(mut self, rows: usize) -> Self {
        self.raw = rows;
        self
    }
}
