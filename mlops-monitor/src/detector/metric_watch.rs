//! Metrics over time.

use std::sync::Mutex;

use mlops_core::stats::change::{Change, ChangeDetector};
use serde::{Deserialize, Serialize};

use crate::Signal;
use crate::sync::lock;

/// Watches one metric over time with a streaming detector of change: every observation takes constant time and
/// memory.
///
/// For metrics that come one by one: the accuracy of each hour, the latency of each prediction, whether each
/// prediction was right. Which detector suits which: [`change`](mlops_core::stats::change).
///
/// ```
/// use mlops_core::stats::change::{Adwin, AdwinOptions, Change};
/// use mlops_monitor::MetricWatch;
///
/// let accuracy = MetricWatch::new("accuracy", Adwin::new(AdwinOptions::default())?);
/// for hour in 0..400 {
///     accuracy.observe(if hour < 200 { 0.95 } else { 0.55 });
/// }
/// assert_eq!(accuracy.state().changes, 1);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
#[derive(Debug)]
pub struct MetricWatch {
    metric: String,
    watched: Mutex<Watched>,
}

#[derive(Debug)]
struct Watched {
    detector: Box<dyn ChangeDetector>,
    state: MetricState,
}

/// What is known of a metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetricState {
    /// The last value; `None` before the first.
    pub value: Option<f64>,
    /// What the detector made of it.
    pub change: Change,
    /// How many values have come. Those that are not finite are passed over.
    pub values: u64,
    /// How often the metric has changed.
    pub changes: u64,
    /// Which value, counted from 1, showed the last change.
    pub last_change: Option<u64>,
}

impl MetricWatch {
    /// Watches `metric`.
    pub fn new(metric: impl Into<String>, detector: impl ChangeDetector + 'static) -> Self {
        let watched = Watched { detector: Box::new(detector), state: MetricState::default() };
        Self { metric: metric.into(), watched: Mutex::new(watched) }
    }

    /// The name of the metric.
    #[must_use]
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// Takes the next value; one that is not finite is passed over.
    pub fn observe(&self, value: f64) -> Change {
        let mut watched = lock(&self.watched);
        if !value.is_finite() {
            return Change::None;
        }
        let change = watched.detector.update(value);
        let state = &mut watched.state;
        state.value = Some(value);
        state.change = change;
        state.values += 1;
        if change.is_drift() {
            state.changes += 1;
            state.last_change = Some(state.values);
        }
        change
    }

    /// What is known so far.
    #[must_use]
    pub fn state(&self) -> MetricState {
        lock(&self.watched).state
    }

    /// Forgets all values; the options of the detector stay.
    pub fn reset(&self) {
        let mut watched = lock(&self.watched);
        watched.detector.reset();
        watched.state = MetricState::default();
    }

    /// What alert rules look at, with the label `metric`: `metric.value`, the last one, and `metric.changes`, how often
    /// it has changed.
    #[must_use]
    pub fn signals(&self) -> Vec<Signal> {
        let state = self.state();
        let evidence = serde_json::to_value(state).unwrap_or_default();
        let signal = |name: &str, value: f64| {
            Signal::new(name, value)
                .with_label("metric", self.metric.as_str())
                .with_evidence(evidence.clone())
        };
        let value = state.value.map(|value| signal("metric.value", value));
        value.into_iter().chain([signal("metric.changes", state.changes as f64)]).collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use mlops_core::stats::change::{PageHinkley, PageHinkleyOptions};

    use super::*;

    #[test]
    fn a_change_is_seen_once_and_remembered() {
        let watch = MetricWatch::new("error", PageHinkley::new(PageHinkleyOptions::default()).unwrap());
        assert_eq!(watch.signals().len(), 1);
        for step in 0..1_000 {
            watch.observe(if step < 500 { 0.1 } else { 5.0 });
            watch.observe(f64::NAN);
        }
        let state = watch.state();
        assert_eq!((state.values, state.value), (1_000, Some(5.0)));
        assert!(state.changes >= 1 && state.last_change.unwrap() > 500, "{state:?}");
        let names: Vec<_> = watch.signals().into_iter().map(|signal| signal.name).collect();
        assert_eq!(names, ["metric.value", "metric.changes"]);
        watch.reset();
        assert_eq!(watch.state(), MetricState::default());
    }
}
