//! What is counted of the calls of one model.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mlops_core::{Observer, Prediction, Request, Tensor};

/// Counters of the calls of one model, without locks: an observer.
#[derive(Debug, Default)]
pub struct Statistics {
    success: Counter,
    failure: Counter,
    queue: Counter,
    compute: Counter,
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
        StatisticsSnapshot {
            success: self.success.read(),
            failure: self.failure.read(),
            queue: self.queue.read(),
            compute: self.compute.read(),
            rows: self.rows.load(Ordering::Relaxed),
            last_call: (last > 0).then(|| Duration::from_millis(last)),
        }
    }
}

impl Observer for Statistics {
    fn observe(&self, prediction: &Prediction<'_>) {
        match prediction.result {
            Ok(response) => {
                self.success.add(prediction.latency);
                self.queue.add(response.timings.queue);
                self.compute.add(response.timings.compute);
                self.rows.fetch_add(rows(prediction.request), Ordering::Relaxed);
            }
            Err(_) => self.failure.add(prediction.latency),
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The length of the outermost dimension; 1 for scalars and for no input.
fn rows(request: &Request) -> u64 {
    let first = request.inputs.iter().next().map(|(_, tensor): (_, &Tensor)| tensor.shape());
    first.and_then(<[usize]>::first).map_or(1, |rows| *rows as u64)
}

impl Counter {
    fn add(&self, time: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn read(&self) -> Tally {
        Tally {
            count: self.count.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}
