//! How good predictions are, once their labels come, and before.
//!
//! Labels come late: whether a loan is paid back is known after months. A [`PerformanceMonitor`] keeps the
//! predictions of live traffic by the ids of their requests, joins labels with them when they come, and
//! reports metrics for windows of time, for each variant and each segment; and what is to be expected of the
//! predictions whose labels have not come.
//!
//! ```
//! use std::time::Duration;
//! use mlops_core::{ManualClock, Observer, Prediction, Request, Response, Tensor, Tensors};
//! use mlops_monitor::performance::{LabelOutcome, PerformanceMonitor, PerformanceOptions, Task};
//!
//! let monitor = PerformanceMonitor::new(Task::binary("probability"), PerformanceOptions::default())?
//!     .with_clock(ManualClock::default());
//! for (id, probability) in [("a", 0.9_f32), ("b", 0.2), ("c", 0.7)] {
//!     // A served model calls its observers itself.
//!     let request = Request::default().with_id(id);
//!     let response = Response::new(Tensors::new().with("probability", Tensor::from(vec![probability])));
//!     monitor.observe(&Prediction::new(&request, Ok(&response), Duration::ZERO));
//! }
//! assert_eq!(monitor.label("a", true)?, LabelOutcome::Joined);
//! assert_eq!(monitor.label("b", false)?, LabelOutcome::Joined);
//! assert_eq!(monitor.label("b", true)?, LabelOutcome::Conflicting);
//!
//! let report = monitor.report();
//! let all = report.variant("").unwrap();
//! assert_eq!((all.predictions, all.labelled), (3, 2));
//! assert_eq!(all.metric("accuracy").unwrap().value, 1.0);
//! # Ok::<(), mlops_core::Error>(())
//! ```
//!
//! Of a [ranking](Task::Ranking), search results or recommendations, a request is one query with one label: a grade for
//! each of its candidates, or the row of the one that was chosen.
//!
//! | task | metrics |
//! |---|---|
//! | [`Binary`](Task::Binary) | `accuracy`, `precision`, `recall`, `f1`, `balanced_accuracy`, `mcc`, `roc_auc`, `average_precision`, `log_loss`, `brier_score`, `calibration_error` |
//! | [`Multiclass`](Task::Multiclass) | `accuracy`, `precision_macro`, `recall_macro`, `f1_macro`, `mcc`, `log_loss`, `roc_auc` |
//! | [`Regression`](Task::Regression) | `mae`, `rmse`, `bias`, `median_absolute_error`, `r2` |
//! | [`Ranking`](Task::Ranking) | `ndcg@k`, `map` and `recall@k`, means over queries with a relevant candidate; `mrr` and `precision@k`, means over all |

mod changes;
mod estimate;
mod monitor;
mod names;
mod options;
mod ranking;
mod report;
mod sample;
mod store;
mod tally;
mod task;
#[cfg(test)]
mod tests;

pub use monitor::{LabelOutcome, PerformanceMonitor};
pub use options::{PerformanceOptions, PerformanceWindow};
pub use report::{
    ErrorChanges, GroupFairness, LabelCounts, LabelDelay, Metric, PerformanceReport, PerformanceSlice,
    Reliability,
};
pub use task::{Label, Task};
