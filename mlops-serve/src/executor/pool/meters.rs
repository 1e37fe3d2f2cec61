//! What a pool tells the metrics of the host.

use std::fmt;

use metrics::{Gauge, Histogram, Label, counter, gauge, histogram};
use mlops_core::Error;
use mlops_core::metrics::{BATCH_ROWS, QUEUE_DEPTH, REJECTIONS_TOTAL, STUCK_WORKERS};

/// Handles, made once: recording is then a matter of nanoseconds.
pub(crate) struct Meters {
    labels: Vec<Label>,
    depth: Gauge,
    stuck: Gauge,
    rows: Histogram,
}

impl Meters {
    /// With the label `model` where there is a name.
    pub(super) fn new(model: Option<&str>) -> Self {
        let labels: Vec<Label> = model.into_iter().map(|name| Label::new("model", name.to_owned())).collect();
        Self {
            depth: gauge!(QUEUE_DEPTH, labels.iter()),
            stuck: gauge!(STUCK_WORKERS, labels.iter()),
            rows: histogram!(BATCH_ROWS, labels.iter()),
            labels,
        }
    }

    /// So many more requests wait.
    pub(super) fn waiting(&self, more: f64) {
        self.depth.increment(more);
    }

    /// So many workers more are stuck.
    pub(super) fn stuck(&self, more: f64) {
        self.stuck.increment(more);
    }

    /// A request was not computed.
    pub(super) fn rejected(&self, error: &Error) {
        let labels = self.labels.iter().cloned().chain([Label::new("reason", error.label())]);
        counter!(REJECTIONS_TOTAL, labels.collect::<Vec<_>>()).increment(1);
    }

    /// A batch is computed.
    pub(crate) fn batch(&self, rows: usize) {
        self.rows.record(rows as f64);
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").field("labels", &self.labels).finish_non_exhaustive()
    }
}
