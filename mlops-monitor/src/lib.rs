//! Drift monitoring of live predictions, inside the process that makes them.
//!
//! A [`Profile`] holds the reference distribution of each feature; it is built once and stored beside the
//! model version. A [`Monitor`] counts what comes in while the model serves, in the bins of the profile,
//! lock-free and in constant memory, and makes a [`DriftReport`] at any time:
//!
//! ```
//! use mlops_core::{Tensors, Verdict};
//! use mlops_monitor::{Features, Monitor, MonitorOptions, Profile, TensorFeatures};
//! use ndarray::Array2;
//!
//! // When the model is trained:
//! let training = Array2::from_shape_fn((1000, 2), |(row, column)| ((row * (column + 3)) % 100) as f32);
//! let features = Features::new([TensorFeatures::columns("x", ["age", "income"])])?;
//! let artifact = Profile::from_array(training.view(), features)?.to_bytes()?;
//!
//! // Where it is served: an observer of any model, or fed by hand.
//! let monitor = Monitor::new(Profile::from_bytes(&artifact)?, MonitorOptions::default())?;
//! for row in training.outer_iter().take(500) {
//!     let (age, income) = (row[0], row[1] + 40.0); // the world has changed
//!     monitor.observe_inputs(&Tensors::new().with("x", ndarray::array![[age, income]]));
//! }
//!
//! let report = monitor.report();
//! assert_eq!(report.verdict, Verdict::Drifted);
//! assert_eq!(report.drifted().collect::<Vec<_>>(), ["income"]);
//! assert!(report.to_string().starts_with("drifted: 1 of 2 features have drifted"));
//! # Ok::<(), mlops_core::Error>(())
//! ```
//!
//! | part | is |
//! |---|---|
//! | [`Features`] | what the features are called, and which columns of which tensors they are |
//! | [`Profile`] | the reference: bins and counts per feature, of numbers or categories, of inputs or answers |
//! | [`ProfileBuilder`] | a profile of any number of rows, in one pass and bounded memory |
//! | [`Table`], `TableReader` (feature `tables`) | rows column by column, in memory or from CSV, Parquet and JSON Lines |
//! | [`Counters`], [`Counts`] | the live counts, and plain ones that add up exactly across replicas |
//! | [`PsiRule`], [`KsRule`] | when counts mean drift: effect and chance, both |
//! | [`PsiDetector`], [`KsDetector`] | one rule on one feature, as a [`DriftDetector`](mlops_core::DriftDetector) |
//! | [`Rules`], [`DriftReport`] | all features at once, with false alarms under control |
//! | [`Monitor`] | all of it behind the [`Observer`](mlops_core::Observer) seam |
//! | [`performance`] | how good predictions are, once their labels come, and before |
//! | [`quality`] | what data have to look like: expectations on batches and on live requests |
//! | `capture` (feature) | requests and responses, sampled and redacted, on an object store, and read back as a reference |
//! | [`html`] | a report as one page that needs no network, and as JSON |
//! | [`alert`] | who has to know, by which rules, and when to train again |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod alert;
#[cfg(feature = "capture")]
#[cfg_attr(docsrs, doc(cfg(feature = "capture")))]
pub mod capture;
mod counters;
pub mod detector;
mod features;
pub mod html;
mod monitor;
mod numbers;
mod options;
pub mod performance;
mod profile;
pub mod quality;
mod report;
mod rules;
mod sampler;
mod signal;
mod sync;
mod table;

pub use counters::{CounterOptions, Counters, Counts, FeatureCounts, FleetCounts};
pub use detector::{
    BinnedDetector, ChiSquareRule, JensenShannonRule, KsDetector, KsRule, MetricState, MetricWatch,
    MissingRateRule, MultivariateDetector, MultivariateOptions, NewCategoriesRule, PsiDetector, PsiRule,
    RangeRule, Rule, WassersteinRule,
};
pub use features::{Features, Source, TensorFeatures};
pub use monitor::{Group, Monitor, WindowCounts, WindowReport};
pub use options::{MonitorOptions, Segments, Span, Window};
pub use profile::{FeatureKind, FeatureProfile, Profile, ProfileBuilder, ProfileOptions, Summary};
pub use report::{DriftReport, FeatureDrift};
pub use rules::Rules;
pub use signal::Signal;
pub use table::{Table, TableColumn, ValueKind, Values, Words};
#[cfg(feature = "tables")]
pub use table::{TableOptions, TableReader};
