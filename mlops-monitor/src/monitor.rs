//! Watches the inputs of live predictions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{counter, gauge};
use mlops_core::metrics::{FEATURE_DRIFT_SCORE, OBSERVATIONS_DROPPED_TOTAL};
use mlops_core::{Observer, Prediction, Result, Role, Tensors};

use crate::sampler::Sampler;
use crate::{Counters, Counts, DriftReport, MonitorOptions, Profile, Window};

/// An [`Observer`] that counts the inputs of live predictions and reports which features have drifted from
/// their [`Profile`].
///
/// It looks at predictions that the caller got and that succeeded ([`MonitorOptions`] can widen that), and
/// counts every row of their inputs on the caller's thread: no lock is waited for, nothing is allocated, and
/// a prediction never fails because of it. A tensor that is absent or does not fit the profile is dropped and
/// counted in [`OBSERVATIONS_DROPPED_TOTAL`] (labels `missing_tensor`, `data_type`, `shape`) and in the
/// report. The call that completes a [`Window::Rows`] reads all counters once, a few microseconds per
/// feature.
///
/// ```
/// use mlops_core::{ModelExt, Model};
/// use mlops_monitor::{Monitor, MonitorOptions, Profile, Window};
/// use std::sync::Arc;
///
/// fn watched(model: impl Model, profile: &[u8]) -> mlops_core::Result<(impl Model, Arc<Monitor>)> {
///     let options = MonitorOptions::default().with_window(Window::Rows(10_000));
///     let monitor = Arc::new(Monitor::new(Profile::from_bytes(profile)?, options)?);
///     Ok((model.observed(Arc::clone(&monitor)), monitor))
/// }
/// ```
#[derive(Debug)]
pub struct Monitor {
    counters: Counters,
    options: MonitorOptions,
    sampler: Sampler,
    /// Held while a window is ended; the hot path only ever tries to take it.
    complete: Mutex<Option<Arc<Counts>>>,
}

impl Monitor {
    /// Watches the features of `profile`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when an option is impossible.
    pub fn new(profile: impl Into<Arc<Profile>>, options: MonitorOptions) -> Result<Self> {
        options.check()?;
        let sampler = Sampler::new(options.sampling);
        Ok(Self { counters: Counters::new(profile), options, sampler, complete: Mutex::default() })
    }

    /// The reference.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        self.counters.profile()
    }

    /// Counts the inputs of one prediction, past all options but the window: for inputs that do not come
    /// through an observed model.
    pub fn observe_inputs(&self, inputs: &Tensors) {
        self.counters.observe_or(inputs, |misfit| {
            counter!(OBSERVATIONS_DROPPED_TOTAL, "reason" => misfit.label()).increment(1);
        });
        if let Window::Rows(rows) = self.options.window
            && self.counters.rows() >= rows
            && let Ok(mut complete) = self.complete.try_lock()
            && self.counters.rows() >= rows
        {
            *complete = Some(Arc::new(self.counters.rotate()));
        }
    }

    /// What the window says about each feature, by the [`Rules`](crate::Rules) of the options.
    ///
    /// Sets the gauge [`FEATURE_DRIFT_SCORE`] of every test with a score. Takes up to a millisecond per
    /// feature for windows of ten thousand values; call it on a schedule, not per request.
    #[must_use]
    pub fn report(&self) -> DriftReport {
        let report = self.options.rules.judge(self.profile(), &self.counts());
        for feature in &report.features {
            for assessment in &feature.assessments {
                if let Some(score) = assessment.score {
                    let labels = [("feature", feature.feature.clone()), ("test", assessment.test.clone())];
                    gauge!(FEATURE_DRIFT_SCORE, &labels).set(score);
                }
            }
        }
        report
    }

    /// The counts that [`report`](Self::report) is about: to store, or to merge with those of other replicas
    /// and judge by [`Rules::report`](crate::Rules::report).
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        let complete = self.complete().clone();
        complete.unwrap_or_else(|| Arc::new(self.counters.snapshot()))
    }

    /// Begins a new window and forgets the last one.
    pub fn reset(&self) {
        let mut complete = self.complete();
        *complete = None;
        self.counters.rotate();
    }

    fn complete(&self) -> MutexGuard<'_, Option<Arc<Counts>>> {
        self.complete.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Monitor {
    fn observe(&self, prediction: &Prediction<'_>) {
        let wanted = (self.options.shadows || prediction.role == Role::Primary)
            && (self.options.failures || prediction.result.is_ok());
        if wanted && self.sampler.takes_next() {
            self.observe_inputs(&prediction.request.inputs);
        }
    }
}
