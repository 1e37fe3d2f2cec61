//! Latencies, measured here and now.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{Clock, Model, Request, Result, SystemClock};

/// How to measure: some calls to warm up, then those that count, within a time.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    pub(super) warm_up: usize,
    pub(super) counted: usize,
    pub(super) within: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// Calls below which there is no median worth the name.
pub(super) const FOR_P50: usize = 10;

/// Calls below which there is no p99.
pub(super) const FOR_P99: usize = 100;

impl Default for Calls {
    fn default() -> Self {
        let within = Duration::from_secs(60);
        Self { warm_up: 10, counted: 200, within, clock: Arc::new(SystemClock) }
    }
}

impl Calls {
    pub(super) fn fault(&self, needs_p99: bool) -> Option<String> {
        let (figure, needed) = if needs_p99 { ("p99", FOR_P99) } else { ("p50", FOR_P50) };
        (self.counted < needed).then(|| format!("`calls` is {}; a {figure} needs {needed}", self.counted))
    }

    /// How long one call took, in seconds.
    pub(super) async fn time(&self, model: &dyn Model, request: &Request) -> Result<f64> {
        let request = request.clone();
        let began = self.clock.instant();
        let result = model.predict(request).await;
        let latency = self.clock.instant().saturating_duration_since(began);
        result.map(|_| latency.as_secs_f64())
    }

    /// The numbers of the calls, with the samples in turn, until there are enough or time is up. Calls below
    /// `warm_up` do not count.
    pub(super) fn plan<'a>(&self, samples: &'a [Request]) -> impl Iterator<Item = (usize, &'a Request)> {
        let (clock, began, within) = (Arc::clone(&self.clock), self.clock.instant(), self.within);
        let calls = self.warm_up.saturating_add(self.counted);
        let in_time = move || clock.instant().saturating_duration_since(began) <= within;
        samples.iter().cycle().take(calls).enumerate().take_while(move |_| in_time())
    }
}

/// A duration of so many seconds, the longest there is for what is none.
pub(super) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}
