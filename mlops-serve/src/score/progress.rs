//! How far a job is.

use std::time::Duration;

/// How far a job is, or was at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Rows that an earlier run had finished, and this one did not touch.
    pub resumed: u64,
    /// Rows that were scored and written by this run.
    pub scored: u64,
    /// Rows that this run could not score; they are in the quarantine, with the reason.
    pub quarantined: u64,
    /// Parts that this run has finished.
    pub parts: u64,
    /// Bytes of the input that are done, those of earlier runs included. In Parquet files, about.
    pub bytes: u64,
    /// Bytes of the input.
    pub total_bytes: u64,
    /// How long this run has taken.
    pub elapsed: Duration,
}

impl Progress {
    /// The rows that this run has dealt with, scored or not.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.scored + self.quarantined
    }

    /// The rows per second of this run; 0 before the first moment has passed.
    #[must_use]
    pub fn rows_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.rows() as f64 / seconds } else { 0.0 }
    }

    /// The share of the input that is done, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.total_bytes == 0 { 1.0 } else { self.bytes as f64 / self.total_bytes as f64 }
    }
}
