//! Progressive delivery: a new version of a model gets its traffic step by step, is judged by what becomes
//! of it, and goes back by itself.
//!
//! | part | does |
//! |---|---|
//! | [`Gates`] | ask a candidate to prove itself before anybody sees it |
//! | [`Weighted`], [`Sticky`], [`Shadowed`] | decide who answers a request, by the shares of a [`TrafficSplit`] |
//! | [`Targeted`], [`BlueGreen`], [`Bandit`] | decide by rules, by a switch, by what earns most |
//! | [`Exclusive`], [`Holdout`] | keep experiments apart from each other, and some users out of all |
//! | [`RouterSpec`] | is any of these, written down in TOML |
//! | [`Routed`] | is the model that owns the variants and obeys |
//! | [`Evidence`] | counts what becomes of the predictions of each variant |
//! | [`Analysis`] | compares candidate and stable, valid at every look |
//! | [`Controller`] | carries a [`Plan`] through: up step by step, back at once |
//! | [`DurableController`] | does so in several replicas, and through crashes, by a [`RolloutStore`] |
//! | [`simulate()`] | says beforehand what a plan would do to good and bad candidates |
//!
//! The parts know each other by the traits of `mlops-core` alone: any [`Router`](mlops_core::Router) drives
//! `Routed`, any [`Model`](mlops_core::Model) is a variant, any [`Observer`](mlops_core::Observer) listens.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use mlops_core::{Model, Request, Result, RoutingContext, Variant};
//! use mlops_rollout::{Controller, Evidence, Plan, RateCheck, Routed, State, Step, Sticky, TrafficSplit};
//!
//! async fn release(v1: impl Model, v2: impl Model) -> Result<()> {
//!     let (stable, candidate) = (Variant::new("stable")?, Variant::new("candidate")?);
//!     let split = TrafficSplit::new(stable.clone(), [candidate.clone()]);
//!     let evidence = Arc::new(Evidence::new());
//!     let model = Routed::new(stable.clone(), v1, Sticky::new(split.clone(), "digits-2"))
//!         .with_variant(candidate.clone(), v2)?
//!         .observed_by(Arc::clone(&evidence));
//!
//!     let plan = Plan::new([Step::new(0.05), Step::new(0.5), Step::new(1.0)].map(|step| step.with_min_samples(200)))?
//!         .with_check(RateCheck::failures().with_tolerance(0.001))?
//!         .with_max_step_duration(Duration::from_secs(3_600))?;
//!     let controller = Controller::new(plan, split, candidate.clone(), evidence)?
//!         .on_transition(|transition| println!("{transition}"));
//!
//!     // In a service, `controller.run(Duration::from_secs(10))` ticks beside the traffic.
//!     for user in 0..100_000 {
//!         let context = RoutingContext::new().with_key(format!("user-{user}"));
//!         let response = model.predict(Request::default().with_context(context)).await?;
//!         assert!(response.variant.is_some() && response.reason.is_some());
//!         if controller.tick()?.is_final() {
//!             break;
//!         }
//!     }
//!     assert_eq!(controller.state(), State::Promoted);
//!     model.insert(stable, model.model(&candidate).expect("it is there"))?; // the new stable model
//!     Ok(())
//! }
//! # #[derive(Debug)] struct Echo(mlops_core::Signature);
//! # #[async_trait::async_trait] impl Model for Echo {
//! #     fn signature(&self) -> &mlops_core::Signature { &self.0 }
//! #     async fn predict(&self, request: Request) -> Result<mlops_core::Response> {
//! #         Ok(mlops_core::Response::new(request.inputs))
//! #     }
//! # }
//! # let echo = || mlops_core::Signature::new([], []).map(Echo);
//! # futures_util::FutureExt::now_or_never(release(echo()?, echo()?)).unwrap()?;
//! # Ok::<(), mlops_core::Error>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod analysis;
mod controller;
mod evidence;
mod gate;
mod routed;
mod router;
mod simulate;
mod store;
mod sync;
mod verdict;

pub use analysis::{
    Analysis, AnalysisReport, Check, CheckOutcome, ErrorControl, LatencyCheck, LatencyLimit, MeanCheck,
    MeanLimit, Numbers, OnMismatch, RankCheck, Rate, RateCheck, RateLimit, SamplesNeeded, SrmCheck, TestMode,
    Worse,
};
pub use controller::{
    Audit, Controller, DurableController, Effect, Event, EvidenceSource, EvidenceWindow, FailedLooks,
    FailureTolerance, Heard, Next, OnInconclusive, OwnEvidence, Plan, Rollout, ShadowEvidence, State, Step,
    Transition, Transitions,
};
pub use evidence::{
    Attribution, Evidence, EvidenceSnapshot, Feedback, FeedbackCounts, Latencies, MetricEvidence, UserGroups,
    Users, VariantEvidence,
};
pub use gate::{
    AsyncFnGate, Candidate, Champion, Evaluation, FairnessGate, Finding, FnGate, Gate, GateExt, GateGroup,
    GateOutcome, GateReport, Gates, LatencyCeiling, LatencyRegression, MetricCeiling, MetricFloor,
    MetricRegression, Named, PerSlice, SampleSize, SignatureCompatible, SizeCeiling, StoredMatches,
    TimeLimited, WarnOnly, all_of, any_of,
};
pub use routed::{
    Agreement, Comparer, Comparisons, Disagreement, DistributionReport, Exact, Fallback, OutputReport,
    OutputValues, Routed, SameArgmax, SameDistribution, ShadowComparison, ShadowReport, TopK, Within,
};
pub use router::{
    Bandit, BanditArm, BanditPolicy, BlueGreen, Condition, ConfiguredRouter, Exclusive, ExperimentSpec,
    Holdout, RouterSpec, RuleSpec, ShadowShare, Shadowed, ShareSpec, Sticky, StickyHash, Targeted,
    TrafficSplit, Weighted,
};
pub use simulate::{
    Behaviour, Course, Frequency, LognormalLatency, RecordedAnswer, RecordedRequest, Scenario,
    SimulationOptions, SimulationReport, Spread, Times, TracePoint, simulate,
};
#[cfg(feature = "object-store")]
#[cfg_attr(docsrs, doc(cfg(feature = "object-store")))]
pub use store::ObjectRolloutStore;
pub use store::{Appended, FileRolloutStore, MemoryRolloutStore, RolloutStore, StoreName};
pub use verdict::{Judgement, Verdict};
