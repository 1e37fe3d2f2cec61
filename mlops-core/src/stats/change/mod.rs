//! Detectors of change in a stream, one observation at a time.
//!
//! | stream | detector | notices | per observation |
//! |---|---|---|---|
//! | any numbers | [`Adwin`] | a change of the mean, abrupt or gradual; says over what window the mean holds | O(log n) amortised |
//! | any numbers | [`PageHinkley`] | a lasting rise or fall of the mean beyond a tolerance | O(1) |
//! | errors of a model | [`Ddm`] | a rise of the error rate | O(1) |
//! | errors of a model | [`Eddm`] | errors that come closer together; better for slow change | O(1) |
//! | errors of a model | [`HddmA`] | a rise (or fall) of the error rate, with a bounded rate of false alarms | O(1) |
//! | errors of a model | [`HddmW`] | the same, weighted to the recent; better for slow change | O(1) |
//!
//! No detector allocates per observation, and none reads a clock or draws at random: the same stream gives
//! the same answers. All follow river 0.26 with its defaults, decision by decision: **a detector starts
//! anew with the observation after a detection**. Their state is plain data; with serde it survives a
//! restart of the process.
//!
//! For detectors of errors an observation is 1 for an error and 0 for a correct answer.

mod adwin;
mod ddm;
mod eddm;
mod hddm_a;
mod hddm_w;
mod page_hinkley;

use serde::{Deserialize, Serialize};

pub use adwin::{Adwin, AdwinOptions};
pub use ddm::{Ddm, DdmOptions};
pub use eddm::{Eddm, EddmOptions};
pub use hddm_a::{HddmA, HddmAOptions};
pub use hddm_w::{HddmW, HddmWOptions};
pub use page_hinkley::{PageHinkley, PageHinkleyMode, PageHinkleyOptions};

use super::{StatsError, invalid};

/// What a detector made of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// No evidence of change.
    #[default]
    None,
    /// Some evidence. [`Adwin`] and [`PageHinkley`] know no warning.
    Warning,
    /// The stream has changed; the detector starts anew with the next observation.
    Drift,
}

impl Change {
    /// Whether the stream has changed.
    #[must_use]
    pub fn is_drift(self) -> bool {
        self == Self::Drift
    }
}

/// A detector of change in a stream of numbers.
///
/// ```
/// use mlops_core::stats::change::{Adwin, Change, ChangeDetector, PageHinkley};
///
/// let mut detectors: Vec<Box<dyn ChangeDetector>> =
///     vec![Box::new(Adwin::default()), Box::new(PageHinkley::default())];
/// for detector in &mut detectors {
///     let calm = (0..500).map(|_| 0.0);
///     assert!(calm.into_iter().all(|value| detector.update(value) == Change::None));
///     assert!((0..500).any(|_| detector.update(5.0).is_drift()));
/// }
/// ```
pub trait ChangeDetector: std::fmt::Debug + Send + Sync {
    /// Takes the next observation. One that is not finite is passed over, as if it had not come.
    fn update(&mut self, value: f64) -> Change;

    /// Forgets the stream; the options stay.
    fn reset(&mut self);
}

/// The mean of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct RunningMean {
    n: f64,
    mean: f64,
}

impl RunningMean {
    fn update(&mut self, value: f64) {
        self.n += 1.0;
        self.mean += 1.0 / self.n * (value - self.mean);
    }
}

/// Accepts the confidences of a detector of errors, which are levels of false alarms.
fn require_confidences(drift: f64, warning: f64) -> Result<(), StatsError> {
    super::require_open_unit("drift_confidence", drift)?;
    super::require_open_unit("warning_confidence", warning)?;
    if warning >= drift {
        return Ok(());
    }
    Err(invalid(
        "warning_confidence",
        format!("{warning} is below the drift confidence {drift}: a warning comes before drift"),
    ))
}

#[cfg(test)]
mod properties {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    use super::*;

    fn stream() -> impl Strategy<Value = Vec<f64>> {
        (vec(0.0_f64..1.0, 0..400), vec(0.3_f64..4.0, 0..400))
            .prop_map(|(before, after)| [before, after].concat())
    }

    fn bits() -> impl Strategy<Value = Vec<f64>> {
        let bits = |share| vec(prop::bool::weighted(share).prop_map(f64::from), 0..600);
        (bits(0.1), bits(0.6)).prop_map(|(before, after)| [before, after].concat())
    }

    fn answers(detector: &mut impl ChangeDetector, stream: &[f64]) -> Vec<Change> {
        stream.iter().map(|&value| detector.update(value)).collect()
    }

    /// What holds of every detector.
    fn obeys<D>(fresh: &D, stream: &[f64])
    where
        D: ChangeDetector + Clone + PartialEq + Serialize + DeserializeOwned,
    {
        let (mut detector, mut again) = (fresh.clone(), fresh.clone());
        let first = answers(&mut detector, stream);
        assert_eq!(first, answers(&mut again, stream), "deterministic");

        detector.reset();
        assert_eq!(first, answers(&mut detector, stream), "a reset forgets");

        let mut gaps = fresh.clone();
        let with_gaps: Vec<Change> = stream
            .iter()
            .map(|&value| {
                gaps.update(f64::NAN);
                gaps.update(f64::INFINITY);
                gaps.update(value)
            })
            .collect();
        assert_eq!(first, with_gaps, "what is not finite is passed over");

        let (before, after) = stream.split_at(stream.len() / 2);
        let mut stored = fresh.clone();
        let mut continued = answers(&mut stored, before);
        let stored = serde_json::to_string(&stored).unwrap();
        let mut restored: D = serde_json::from_str(&stored).unwrap();
        continued.extend(answers(&mut restored, after));
        assert_eq!(first, continued, "stored and restored");
    }

    proptest! {
        #[test]
        fn detectors_of_numbers_are_pure(stream in stream(), clock in 1_u32..40) {
            obeys(&Adwin::new(AdwinOptions::default().with_clock(clock).with_delta(0.1)).unwrap(), &stream);
            for mode in [PageHinkleyMode::Both, PageHinkleyMode::Up, PageHinkleyMode::Down] {
                let options = PageHinkleyOptions::default().with_mode(mode).with_threshold(5.0);
                obeys(&PageHinkley::new(options).unwrap(), &stream);
            }
        }

        #[test]
        fn detectors_of_errors_are_pure(stream in bits(), two_sided: bool) {
            obeys(&Ddm::default(), &stream);
            obeys(&Eddm::default(), &stream);
            obeys(&HddmA::new(HddmAOptions::default().with_two_sided(two_sided)).unwrap(), &stream);
            obeys(&HddmW::new(HddmWOptions::default().with_two_sided(two_sided)).unwrap(), &stream);
        }

        #[test]
        fn a_constant_stream_never_changes(value in -1e6_f64..1e6, bit: bool, n in 1_usize..3_000) {
            let bit = f64::from(bit);
            let (mut adwin, mut ph) = (Adwin::default(), PageHinkley::default());
            let (mut ddm, mut eddm) = (Ddm::default(), Eddm::default());
            let (mut hddm_a, mut hddm_w) = (HddmA::default(), HddmW::default());
            for _ in 0..n {
                prop_assert_eq!(adwin.update(value), Change::None);
                prop_assert_eq!(ph.update(value), Change::None);
                prop_assert_eq!(ddm.update(bit), Change::None);
                prop_assert_eq!(eddm.update(bit), Change::None);
                prop_assert_eq!(hddm_a.update(bit), Change::None);
                prop_assert_eq!(hddm_w.update(bit), Change::None);
            }
        }

        #[test]
        fn arbitrary_streams_do_not_panic(stream in vec(any::<f64>(), 0..400)) {
            let options = AdwinOptions::default().with_clock(1);
            let mut detectors: Vec<Box<dyn ChangeDetector>> = vec![
                Box::new(Adwin::new(options).unwrap()),
                Box::new(PageHinkley::default()),
                Box::new(Ddm::default()),
                Box::new(Eddm::default()),
                Box::new(HddmA::default()),
                Box::new(HddmW::default()),
            ];
            for detector in &mut detectors {
                for &value in &stream {
                    detector.update(value);
                }
            }
        }
    }
}
