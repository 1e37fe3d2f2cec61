//! What is counted of the calls of one model.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mlops_core::{Error, Observer, Prediction, Response, Result, Tensors};

/// Counters of the calls of one model, without locks: an observer.
#[derive(Debug, Default)]
#[repr(align(64))] // In a cache line of their own: what stands beside them is read by all threads, and they are written.
pub struct Statistics {
    success: Counter,
    failure: Counter,
    /// Nanoseconds of the calls that succeeded, as is the next.
    queue: AtomicU64,
    compute: AtomicU64,
    rows: AtomicU64,
    last: AtomicU64,
}

/// What [`Statistics`] have counted until a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatisticsSnapshot {
    /// Calls that were answered, from call to answer.
    pub success: Tally,
    /// Calls that failed, from call to error.
    pub failure: Tally,
    /// Waiting for a worker or a batch, of those that were answered.
    pub queue: Tally,
    /// Computing, of those that were answered. The calls of one batch count its time each.
    pub compute: Tally,
    /// Rows of the calls that were answered.
    pub rows: u64,
    /// The end of the last call, since the Unix epoch.
    pub last_call: Option<Duration>,
}

/// How often something happened, and how long it took all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often.
    pub count: u64,
    /// All together.
    pub time: Duration,
}

#[derive(Debug, Default)]
struct Counter {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Statistics {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is counted until now.
    #[must_use]
    pub fn snapshot(&self) -> StatisticsSnapshot {
        let last = self.last.load(Ordering::Relaxed);
        let success = self.success.read();
        StatisticsSnapshot {
            success,
            failure: self.failure.read(),
            queue: Tally { count: success.count, time: read_time(&self.queue) },
            compute: Tally { count: success.count, time: read_time(&self.compute) },
            rows: self.rows.load(Ordering::Relaxed),
            last_call: (last > 0).then(|| Duration::from_millis(last)),
        }
    }

    /// Counts a call of so many rows that took so long.
    pub(super) fn count(&self, rows: u64, result: Result<&Response, &Error>, latency: Duration) {
        match result {
            Ok(response) => {
                self.success.add(latency);
                add_time(&self.queue, response.timings.queue);
                add_time(&self.compute, response.timings.compute);
                self.rows.fetch_add(rows, Ordering::Relaxed);
            }
            Err(_) => self.failure.add(latency),
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Observer for Statistics {
    fn observe(&self, prediction: &Prediction<'_>) {
        self.count(rows(&prediction.request.inputs), prediction.result, prediction.latency);
    }
}

/// The length of the outermost dimension; 1 for scalars and for no input.
pub(super) fn rows(inputs: &Tensors) -> u64 {
    let first = inputs.iter().next().map(|(_, tensor)| tensor.shape());
    first.and_then(<[usize]>::first).map_or(1, |rows| *rows as u64)
}

/// Adds nanoseconds, if there are any: most calls have no queue, and threads share the counter.
fn add_time(sum: &AtomicU64, time: Duration) {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    if nanoseconds > 0 {
        sum.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

fn read_time(sum: &AtomicU64) -> Duration {
    Duration::from_nanos(sum.load(Ordering::Relaxed))
}

impl Counter {
    fn add(&self, time: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        add_time(&self.nanoseconds, time);
    }

    fn read(&self) -> Tally {
        Tally { count: self.count.load(Ordering::Relaxed), time: read_time(&self.nanoseconds) }
    }
}
