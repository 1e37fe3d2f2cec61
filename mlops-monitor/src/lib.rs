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
//! | [`Profile`] | the reference: bins and counts per feature |
//! | [`Counters`], [`Counts`] | the live counts, and plain ones that add up exactly across replicas |
//! | [`PsiRule`], [`KsRule`] | when counts mean drift: effect and chance, both |
//! | [`PsiDetector`], [`KsDetector`] | one rule on one feature, as a [`DriftDetector`](mlops_core::DriftDetector) |
//! | [`Rules`], [`DriftReport`] | all features at once, with false alarms under control |
//! | [`Monitor`] | all of it behind the [`Observer`](mlops_core::Observer) seam |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod counters;
mod detector;
mod features;
mod monitor;
mod numbers;
mod options;
mod profile;
mod report;
mod rules;
mod sampler;

pub use counters::{Counters, Counts, FeatureCounts};
pub use detector::{BinnedDetector, KsDetector, KsRule, PsiDetector, PsiRule, Rule};
pub use features::{Features, TensorFeatures};
pub use monitor::Monitor;
pub use options::{MonitorOptions, Window};
pub use profile::{FeatureProfile, Profile, Summary};
pub use report::{DriftReport, FeatureDrift};
pub use rules::Rules;
