//! What a batch may be.

use std::time::Duration;

use mlops_core::{Error, Result};

use crate::executor::Workers;
use crate::executor::pool::Limits;

/// How many requests may wait unless the options say otherwise: as many connections as a busy server has.
const ROOM: usize = 512;

/// How requests are put together, and which workers compute them.
///
/// ```
/// use std::time::Duration;
/// use mlops_serve::{Batching, Workers};
///
/// let plain = Batching::rows(64);
/// let tuned = Batching::rows(64)
///     .with_max_bytes(64 << 20)
///     .with_preferred_sizes([8, 16, 32, 64])
///     .with_workers(Workers::new(2).with_name("digits").with_queue(1024));
/// # let _ = (plain, tuned);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Batching {
    pub(super) rows: usize,
    pub(super) padding: Option<f64>,
    pub(super) workers: Workers,
    bytes: usize,
    delay: Duration,
    preferred: Vec<usize>,
}

impl Batching {
    /// Batches of at most so many rows. A request that has more is computed alone.
    ///
    /// Unless set otherwise there is one worker, and 512 requests may wait.
    pub fn rows(most: usize) -> Self {
        Self {
            rows: most,
            bytes: usize::MAX,
            delay: Duration::ZERO,
            preferred: Vec::new(),
            padding: None,
            workers: Workers::new(1),
        }
    }

    /// Which threads call the model, how many requests may wait for them, and what happens when they are held up: a
    /// number of threads, or [`Workers`] with options.
    pub fn with_workers(mut self, workers: impl Into<Workers>) -> Self {
        self.workers = workers.into();
        self
    }

    /// Batches of inputs of at most so many bytes, without padding. A request that has more is computed alone.
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// How long a free worker may hold a batch that is not full, counted from when its first request came. Zero unless
    /// set: while workers are busy requests gather by themselves.
    ///
    /// A request that is alone is not held. Worth it where rows cost much less together, as on GPUs, and arrive faster
    /// than they are computed.
    pub fn with_max_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Row counts that the model computes best, for which kernels are tuned say. The largest that can be filled is
    /// taken; if none can, everything that waits.
    pub fn with_preferred_sizes(mut self, rows: impl IntoIterator<Item = usize>) -> Self {
        self.preferred = rows.into_iter().collect();
        self.preferred.sort_unstable();
        self
    }

    /// Puts requests together whose free dimensions differ: the shorter are padded behind with `value` to the length of
    /// the longest. Texts are padded with empty ones.
    ///
    /// A free dimension of an output that has the padded length of one of an input is cut back to the length that the
    /// request had there. Requests that differ so much that three quarters of the batch would be padding are not put
    /// together. Only for models to which padding makes no difference, by a mask or by nature. Without it, a batch holds
    /// requests of the same lengths.
    pub fn with_padding(mut self, value: f64) -> Self {
        self.padding = Some(value);
        self
    }

    pub(super) fn limits(&self) -> Result<Limits> {
        if self.rows == 0 {
            return Err(Error::invalid_input("a batch needs room for at least one row"));
        }
        if let Some(size) = self.preferred.iter().find(|size| !(1..=self.rows).contains(size)) {
            let rows = self.rows;
            return Err(Error::invalid_input(format!("the preferred size {size} is not within 1 to {rows}")));
        }
        let Self { rows, bytes, delay, .. } = *self;
        Ok(Limits { rows, bytes, delay, preferred: self.preferred.clone() })
    }

    pub(super) fn workers(&self) -> Workers {
        self.workers.clone().or_queue(ROOM)
    }
}
