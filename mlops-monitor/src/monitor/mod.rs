//! Watches live predictions.

mod confidence;
mod groups;
mod windows;

use std::sync::{Arc, Mutex};

use metrics::{counter, gauge};
use mlops_core::metrics::{FEATURE_DRIFT_SCORE, FEATURE_MISSING_TOTAL, OBSERVATIONS_DROPPED_TOTAL};
use mlops_core::{Observer, Prediction, Result, Role, Tensors, Variant};

use crate::sampler::Sampler;
use crate::sync::lock;
use crate::{Counts, DriftReport, MonitorOptions, Profile};
use groups::{Groups, OTHER};
use windows::Windows;

pub use windows::WindowCounts;

/// An [`Observer`] that counts what goes into live predictions and comes out of them, and reports which features
/// have drifted from their [`Profile`].
///
/// It looks at predictions that the caller got and that succeeded ([`MonitorOptions`] can widen that), and
/// counts every row on the caller's thread: no lock is waited for, nothing is allocated but for the first
/// prediction of a variant or segment, and a prediction never fails because of it. A tensor that is absent or does
/// not fit the profile is dropped and counted in [`OBSERVATIONS_DROPPED_TOTAL`] (labels `missing_tensor`,
/// `data_type`, `shape`) and in the report. The call that completes a window reads all counters once, a few
/// microseconds per feature.
///
/// Each variant and each segment ([`Segments`](crate::Segments)) has counters of its own; their windows end
/// together. [`report`](Monitor::report) is about all of them, [`report_for`](Monitor::report_for) about some.
///
/// ```
/// use mlops_core::{ModelExt, Model};
/// use mlops_monitor::{Monitor, MonitorOptions, Profile, Segments, Window};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// fn watched(model: impl Model, profile: &[u8]) -> mlops_core::Result<(impl Model, Arc<Monitor>)> {
///     let options = MonitorOptions::default()
///         .with_window(Window::Time(Duration::from_secs(3600)))
///         .with_segments(Segments::by_attribute("country"));
///     let monitor = Arc::new(Monitor::new(Profile::from_bytes(profile)?, options)?);
///     Ok((model.observed(Arc::clone(&monitor)), monitor))
/// }
///
/// fn norway(monitor: &Monitor) -> mlops_monitor::DriftReport {
///     monitor.report_for(None, Some("NO"))
/// }
/// ```
#[derive(Debug)]
pub struct Monitor {
    groups: Groups,
    options: MonitorOptions,
    sampler: Sampler,
    windows: Windows,
    /// How many missing values of each feature the metrics know of.
    missing_told: Mutex<Vec<u64>>,
}

/// A variant and a segment that have come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Group {
    /// The name of the variant; empty for a model without variants.
    pub variant: String,
    /// The name of the segment.
    pub segment: String,
}

impl Monitor {
    /// Watches the features of `profile`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when an option is impossible.
    pub fn new(profile: impl Into<Arc<Profile>>, options: MonitorOptions) -> Result<Self> {
        options.check()?;
        let groups =
            Groups::new(profile.into(), options.counters, options.most_variants, options.segments.most());
        let windows = Windows::new(options.window, options.history, Arc::clone(&options.clock));
        let sampler = Sampler::new(options.sampling);
        Ok(Self { groups, options, sampler, windows, missing_told: Mutex::default() })
    }

    /// The reference.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        self.groups.profile()
    }

    /// Counts the inputs of one prediction, past all options but the window: for inputs that do not come
    /// through an observed model. They belong to no variant and no segment, and features of outputs are left out.
    pub fn observe_inputs(&self, inputs: &Tensors) {
        self.count("", OTHER, inputs, None);
    }

    fn count(&self, variant: &str, segment: &str, inputs: &Tensors, outputs: Option<&Tensors>) {
        self.windows.before_rows(&self.groups);
        let Some(counters) = self.groups.counters(variant, segment) else { return };
        let rows = counters.observe_or(inputs, outputs, |misfit| {
            counter!(OBSERVATIONS_DROPPED_TOTAL, "reason" => misfit.label()).increment(1);
        });
        self.windows.after_rows(rows, &self.groups);
    }

    /// What the window says about each feature, by the [`Rules`](crate::Rules) of the options, of all variants and
    /// segments together.
    ///
    /// Sets the gauge [`FEATURE_DRIFT_SCORE`] of every test with a score, and adds to the counter
    /// [`FEATURE_MISSING_TOTAL`]. Takes up to a millisecond per feature for windows of ten thousand values; call
    /// it on a schedule, not per request.
    #[must_use]
    pub fn report(&self) -> DriftReport {
        let report = self.report_for(None, None);
        for feature in &report.features {
            for assessment in &feature.assessments {
                if let Some(score) = assessment.score {
                    let labels = [("feature", feature.feature.clone()), ("test", assessment.test.clone())];
                    gauge!(FEATURE_DRIFT_SCORE, &labels).set(score);
                }
            }
        }
        self.tell_of_missing_values();
        report
    }

    /// [`report`](Self::report) of one variant or one segment, or of one segment of one variant; `None` is any.
    /// Sets no metrics. A model without variants has the variant `""`; what has no counters of its own is in the
    /// variant or segment `other`.
    #[must_use]
    pub fn report_for(&self, variant: Option<&str>, segment: Option<&str>) -> DriftReport {
        self.options.rules.judge(self.profile(), &self.counts_for(variant, segment))
    }

    /// The counts that [`report`](Self::report) is about: to store, or to merge with those of other replicas
    /// and judge by [`Rules::report`](crate::Rules::report).
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::new(self.counts_for(None, None))
    }

    /// The counts that [`report_for`](Self::report_for) is about.
    #[must_use]
    pub fn counts_for(&self, variant: Option<&str>, segment: Option<&str>) -> Counts {
        self.windows.counts(&self.groups, |group| {
            let (of_variant, of_segment) = self.groups.names(group);
            variant.is_none_or(|name| name == of_variant) && segment.is_none_or(|name| name == of_segment)
        })
    }

    /// The variants and segments that have come.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        let names = self.groups.all().map(|(group, _)| self.groups.names(group));
        names
            .map(|(variant, segment)| Group { variant: variant.to_owned(), segment: segment.to_owned() })
            .collect()
    }

    /// The counts of the last complete windows, the oldest first, of all variants and segments together: to push to
    /// a [`FleetCounts`](crate::FleetCounts), or to see a trend.
    #[must_use]
    pub fn windows(&self) -> Vec<WindowCounts> {
        self.windows.history(&self.groups)
    }

    /// The reports of the last complete windows, the oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<WindowReport> {
        let report = |window: WindowCounts| WindowReport {
            number: window.number,
            began: window.began,
            ended: window.ended,
            report: self.options.rules.judge(self.profile(), &window.counts),
        };
        self.windows().into_iter().map(report).collect()
    }

    /// Begins a new window and forgets the last one. The [`history`](Self::history) stays.
    pub fn reset(&self) {
        self.windows.reset(&self.groups);
    }

    fn tell_of_missing_values(&self) {
        let mut missing = vec![0; self.profile().feature_profiles().len()];
        for (_, counters) in self.groups.all() {
            missing.iter_mut().zip(counters.missing_since_the_start()).for_each(|(sum, more)| *sum += more);
        }
        let mut told = lock(&self.missing_told);
        told.resize(missing.len(), 0);
        for ((told, missing), name) in told.iter_mut().zip(missing).zip(self.profile().features().names()) {
            if missing > *told {
                counter!(FEATURE_MISSING_TOTAL, "feature" => name.to_owned()).increment(missing - *told);
                *told = missing;
            }
        }
    }
}

/// The report of one window that is complete.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct WindowReport {
    /// The windows of one monitor have successive numbers; see [`WindowCounts::number`].
    pub number: u64,
    /// When it began.
    pub began: jiff::Timestamp,
    /// When it ended.
    pub ended: jiff::Timestamp,
    /// What it says about each feature.
    pub report: DriftReport,
}

impl Observer for Monitor {
    fn observe(&self, prediction: &Prediction<'_>) {
        let wanted = (self.options.shadows || prediction.role != Role::Shadow)
            && (self.options.failures || prediction.result.is_ok());
        if !(wanted && self.sampler.takes_next()) {
            return;
        }
        let variant = prediction.variant.map_or("", Variant::as_str);
        let segment = self.options.segments.of(prediction.request).unwrap_or(OTHER);
        let outputs = prediction.result.ok().map(|response| &response.outputs);
        self.count(variant, segment, &prediction.request.inputs, outputs);
        if let (Some(output), Ok(response)) = (&self.options.confidence, prediction.result) {
            confidence::record(response, output);
        }
    }
}
