//! The metrics of the house: their names and units, in one place, through the [`metrics`] facade.
//!
//! The host installs whatever recorder it likes; without one, recording costs next to nothing.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ::metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram,
};

use crate::{Error, ModelName, Observer, Prediction, Role, Variant};

/// Counter: finished predictions. Labels `model`, `variant`, `role`, `outcome`
/// (`ok`, or [`Error::label`](crate::Error::label)).
pub const PREDICTIONS_TOTAL: &str = "model_predictions_total";

/// Histogram, seconds: from the call to the answer. Labels `model`, `variant`, `role`.
pub const INFERENCE_LATENCY_SECONDS: &str = "model_inference_latency_seconds";

/// Gauge: requests that a server has taken and not yet answered. Label `model`.
pub const REQUESTS_IN_FLIGHT: &str = "model_requests_in_flight";

/// Counter: requests that a cache answered without asking its model. Labels `model`, `from` (`memory`; `flight`
/// for those who waited while another's request was computed; `tier` for a store that replicas share).
pub const CACHE_HITS_TOTAL: &str = "model_cache_hits_total";

/// Counter: requests for which a cache had to ask its model. Label `model`.
pub const CACHE_MISSES_TOTAL: &str = "model_cache_misses_total";

/// Gauge: the latest score of a drift test. Labels `feature`, `test`.
pub const FEATURE_DRIFT_SCORE: &str = "feature_drift_score";

/// Counter: observations a monitor could not take. Label `reason`.
pub const OBSERVATIONS_DROPPED_TOTAL: &str = "monitor_observations_dropped_total";

/// Histogram, 0 to 1: the confidence of each prediction, where a classifier gives one. Labels `model`, `variant`.
pub const PREDICTION_CONFIDENCE: &str = "prediction_confidence";

/// Counter: missing values among the features of live predictions. Label `feature`.
pub const FEATURE_MISSING_TOTAL: &str = "feature_missing_total";

/// Counter: values and rows that did not meet an expectation. Labels `expectation`, `column`.
pub const QUALITY_VIOLATIONS_TOTAL: &str = "data_quality_violations_total";

/// Gauge: the latest value of a metric of predictions against their labels. Labels `metric`, `variant`, `segment`.
pub const MODEL_PERFORMANCE: &str = "model_performance";

/// Counter: labels that came for predictions. Label `outcome` (`joined`, `late`, `duplicate`, `unknown`).
pub const LABELS_TOTAL: &str = "model_labels_total";

/// Gauge: alerts that are firing. Labels `rule`, `severity`.
pub const ALERTS_FIRING: &str = "monitor_alerts_firing";

/// Counter: alerts sent. Labels `sink`, `outcome` (`ok`, `error`; `dropped` for those a full queue let go).
pub const ALERTS_SENT_TOTAL: &str = "monitor_alerts_sent_total";

/// Counter: predictions that a capture log was to take. Label `outcome` (`written`, `dropped`, `failed`).
pub const CAPTURED_TOTAL: &str = "monitor_captured_total";

/// Gauge, 0 to 1: the share of traffic a rollout sends to a variant. Labels `rollout`, `variant`.
pub const ROLLOUT_WEIGHT: &str = "rollout_weight";

/// Counter: decisions of a rollout. Labels `rollout`, `decision`.
pub const ROLLOUT_DECISIONS_TOTAL: &str = "rollout_decisions_total";

/// Counter: copies of requests that a shadow was too busy to take. Label `variant`.
pub const SHADOWS_DROPPED_TOTAL: &str = "shadow_requests_dropped_total";

/// Counter: requests of a failing variant that the default one was asked to answer. Labels `variant` (that failed),
/// `outcome` (`ok`, or [`Error::label`](crate::Error::label)).
pub const ROLLOUT_FALLBACKS_TOTAL: &str = "rollout_fallbacks_total";

/// Counter: outputs of shadows that were not what the caller got. Labels `variant`, `output`.
pub const SHADOW_DISAGREEMENTS_TOTAL: &str = "shadow_disagreements_total";

/// Gauge: requests that wait for a worker of a model. Label `model`, where the model was given a name.
pub const QUEUE_DEPTH: &str = "model_queue_depth";

/// Histogram: the rows of each batch that is computed. Label `model`, where the model was given a name.
pub const BATCH_ROWS: &str = "model_batch_rows";

/// Counter: requests that were answered without being computed. Labels `model`, where the model was given a name, and
/// `reason` ([`Error::label`](crate::Error::label)).
pub const REJECTIONS_TOTAL: &str = "model_rejections_total";

/// Gauge: threads that are in a call which has run for longer than the watchdog's limit. Label `model`, where the model
/// was given a name.
pub const STUCK_WORKERS: &str = "model_stuck_workers";

/// Tells the installed recorder the units and the meaning of every metric. Call it once, after the
/// recorder is installed.
pub fn describe() {
    describe_counter!(PREDICTIONS_TOTAL, Unit::Count, "Finished predictions");
    describe_histogram!(INFERENCE_LATENCY_SECONDS, Unit::Seconds, "From the call of a model to its answer");
    describe_gauge!(REQUESTS_IN_FLIGHT, "Requests that a server has taken and not yet answered");
    describe_counter!(CACHE_HITS_TOTAL, Unit::Count, "Requests answered without asking the model");
    describe_counter!(CACHE_MISSES_TOTAL, Unit::Count, "Requests for which the model was asked");
    describe_gauge!(FEATURE_DRIFT_SCORE, "The latest score of a drift test");
    describe_counter!(OBSERVATIONS_DROPPED_TOTAL, Unit::Count, "Observations a monitor could not take");
    describe_histogram!(PREDICTION_CONFIDENCE, "The confidence of each prediction, 0 to 1");
    describe_counter!(FEATURE_MISSING_TOTAL, Unit::Count, "Missing values of live features");
    describe_counter!(QUALITY_VIOLATIONS_TOTAL, Unit::Count, "Values that did not meet an expectation");
    describe_gauge!(MODEL_PERFORMANCE, "The latest value of a metric of predictions against their labels");
    describe_counter!(LABELS_TOTAL, Unit::Count, "Labels that came for predictions");
    describe_gauge!(ALERTS_FIRING, Unit::Count, "Alerts that are firing");
    describe_counter!(ALERTS_SENT_TOTAL, Unit::Count, "Alerts sent");
    describe_counter!(CAPTURED_TOTAL, Unit::Count, "Predictions that a capture log was to take");
    describe_gauge!(ROLLOUT_WEIGHT, "The share of traffic a rollout sends to a variant, 0 to 1");
    describe_counter!(ROLLOUT_DECISIONS_TOTAL, Unit::Count, "Decisions of a rollout");
    describe_counter!(SHADOWS_DROPPED_TOTAL, Unit::Count, "Requests a shadow was too busy to take");
    describe_counter!(ROLLOUT_FALLBACKS_TOTAL, "Requests of a failing variant that the default was asked");
    describe_counter!(SHADOW_DISAGREEMENTS_TOTAL, "Outputs of shadows that were not what the caller got");
    describe_gauge!(QUEUE_DEPTH, Unit::Count, "Requests that wait for a worker of a model");
    describe_histogram!(BATCH_ROWS, Unit::Count, "The rows of each batch that is computed");
    describe_counter!(REJECTIONS_TOTAL, Unit::Count, "Requests that were answered without being computed");
    describe_gauge!(STUCK_WORKERS, Unit::Count, "Threads in a call that has run for too long");
}

/// An observer that records [`PREDICTIONS_TOTAL`] and [`INFERENCE_LATENCY_SECONDS`].
///
/// Install the recorder first: handles are made once per variant and kept.
///
/// ```
/// use mlops_core::{Model, ModelExt, ModelName, metrics::MetricsObserver};
///
/// fn measured(model: impl Model) -> mlops_core::Result<impl Model> {
///     Ok(model.observed(MetricsObserver::new(ModelName::new("fraud")?)))
/// }
/// ```
#[derive(Debug)]
pub struct MetricsObserver {
    model: ModelName,
    handles: RwLock<HashMap<Key, Arc<Handles>>>,
}

/// What is counted apart.
type Key = (Option<Variant>, Role);

struct Handles {
    labels: [(&'static str, String); 3],
    latency: Histogram,
    outcomes: RwLock<HashMap<&'static str, Counter>>,
}

impl MetricsObserver {
    /// Records under the label `model`.
    #[must_use]
    pub fn new(model: ModelName) -> Self {
        Self { model, handles: RwLock::default() }
    }

    fn handles(&self, variant: Option<&Variant>, role: Role) -> Arc<Handles> {
        let key = (variant.cloned(), role);
        if let Some(handles) = self.handles.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(handles);
        }
        let labels = [
            ("model", self.model.to_string()),
            ("variant", variant.map(Variant::to_string).unwrap_or_default()),
            ("role", role.name().to_owned()),
        ];
        let latency = histogram!(INFERENCE_LATENCY_SECONDS, &labels);
        let handles = Arc::new(Handles { labels, latency, outcomes: RwLock::default() });
        let mut known = self.handles.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(key).or_insert(handles))
    }
}

impl Observer for MetricsObserver {
    fn observe(&self, prediction: &Prediction<'_>) {
        let handles = self.handles(prediction.variant, prediction.role);
        handles.latency.record(prediction.latency.as_secs_f64());
        handles.count(prediction.result.map_or_else(Error::label, |_| "ok"));
    }
}

impl Handles {
    fn count(&self, outcome: &'static str) {
        if let Some(counter) = self.outcomes.read().unwrap_or_else(PoisonError::into_inner).get(outcome) {
            return counter.increment(1);
        }
        let [model, variant, role] = self.labels.clone();
        let counter = counter!(PREDICTIONS_TOTAL, &[model, variant, role, ("outcome", outcome.to_owned())]);
        counter.increment(1);
        self.outcomes.write().unwrap_or_else(PoisonError::into_inner).insert(outcome, counter);
    }
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handles").field("labels", &self.labels).finish_non_exhaustive()
    }
}
