//! From the gates to the alias: a promotion moves a protected alias only to a version that has passed its gates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use mlops_core::{
    Alias, AliasMove, Engine, Model, ModelName, ModelVersion, NewVersion, Protection, Registry, Request,
    RoutingContext, Selector, Tensor, Tensors, Variant,
};
use mlops_registry::{ObjectStoreRegistry, Protecting};
use mlops_rollout::{
    Candidate, Controller, Evidence, GateReport, Gates, LatencyCeiling, MetricFloor, Plan, Routed, State,
    Step, Sticky, TrafficSplit,
};
use mlops_serve::engine::{Device, onnx::OnnxEngine};
use mlops_serve::{EngineExt, Inline};

const MODEL: &[u8] = include_bytes!("../mlops-serve/tests/data/onnx/mlp/model.onnx");

struct World {
    _folder: tempfile::TempDir,
    registry: ObjectStoreRegistry,
    name: ModelName,
    champion: Alias,
}

impl World {
    /// 1.0.0 is the champion, which moves only where gates were passed, and 2.0.0 is registered.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = ObjectStoreRegistry::local(folder.path().join("registry")).await.unwrap();
        let (name, champion) = (ModelName::new("scores").unwrap(), Alias::new("champion").unwrap());
        let signature = OnnxEngine::load(MODEL, Device::Cpu).unwrap().signature().clone();
        for version in ["1.0.0", "2.0.0"] {
            let new = NewVersion::new(name.clone(), signature.clone())
                .with_version(version.parse().unwrap())
                .with_artifact("scores.onnx", MODEL)
                .with_metric("accuracy", 0.95);
            registry.register(new).await.unwrap();
        }
        let first = AliasMove::new(name.clone(), champion.clone(), "1.0.0".parse().unwrap());
        registry.move_alias(first).await.unwrap();
        let protection = Protection::default().with_passed_gate();
        registry.protect(Protecting::new(name.clone(), champion.clone(), protection)).await.unwrap();
        Self { _folder: folder, registry, name, champion }
    }

    async fn version(&self, version: &str) -> ModelVersion {
        let selector = Selector::Version(version.parse().unwrap());
        self.registry.resolve(&self.name, &selector).await.unwrap()
    }

    async fn served(&self) -> String {
        let selector = Selector::Alias(self.champion.clone());
        self.registry.resolve(&self.name, &selector).await.unwrap().id.version.to_string()
    }

    async fn model(&self, version: &ModelVersion) -> Inline<OnnxEngine> {
        let artifact = self.registry.fetch(version, "scores.onnx").await.unwrap();
        OnnxEngine::load(artifact, Device::Cpu).unwrap().inline()
    }

    /// Runs the gates on what the registry holds, and attaches what they say.
    async fn gate(&self, version: &ModelVersion, accuracy: f64) -> GateReport {
        let candidate = Candidate::new(self.model(version).await)
            .with_metrics(version.metrics.clone())
            .with_samples((0..4).map(request));
        let report = Gates::new()
            .with(MetricFloor::new("accuracy", accuracy))
            .with(LatencyCeiling::new().with_p50(Duration::from_secs(5)).with_calls(10))
            .evaluate(&candidate)
            .await;
        let attached = report.for_version(version.id.clone(), "release gates").by("ci");
        self.registry.report(attached).await.unwrap();
        report
    }
}

fn request(row: u16) -> Request {
    let row: Vec<f32> = (0..8).map(|column| f32::from(row + column)).collect();
    let inputs = Tensors::new().with("input", Tensor::from_vec(&[1, 8], row).unwrap());
    Request::new(inputs)
}

#[tokio::test]
async fn a_promotion_moves_the_alias_only_to_a_version_that_has_passed_its_gates() {
    let world = World::new().await;
    let (v1, v2) = (world.version("1.0.0").await, world.version("2.0.0").await);
    assert!(!world.gate(&v2, 0.99).await.is_passed());

    let (stable, candidate) = (Variant::new("stable").unwrap(), Variant::new("candidate").unwrap());
    let split = TrafficSplit::new(stable.clone(), [candidate.clone()]);
    let evidence = Arc::new(Evidence::new());
    let routed = Routed::new(stable, world.model(&v1).await, Sticky::new(split.clone(), "scores-2"))
        .with_variant(candidate.clone(), world.model(&v2).await)
        .unwrap()
        .observed_by(Arc::clone(&evidence));
    let plan = Plan::new([Step::new(0.5).with_min_samples(50)]).unwrap();
    let promote = AliasMove::new(world.name.clone(), world.champion.clone(), v2.id.version.clone());
    let registry = world.registry.clone();
    let controller = Controller::new(plan, split, candidate, evidence).unwrap().on_promotion(move |_| {
        let (registry, promote) = (registry.clone(), promote.clone());
        async move { registry.move_alias(promote).await.map(drop) }
    });

    controller.tick().unwrap();
    for user in 0..200 {
        let context = RoutingContext::new().with_key(user.to_string());
        routed.predict(request(user).with_context(context)).await.unwrap();
    }
    assert_eq!(controller.tick().unwrap(), State::Promoted, "{}", controller.status());
    assert!(!controller.announce().await, "its gates have not passed it");
    assert_eq!(world.served().await, "1.0.0");

    assert!(world.gate(&v2, 0.9).await.is_passed());
    assert!(controller.announce().await);
    assert_eq!(world.served().await, "2.0.0");

    let reports = world.version("2.0.0").await.reports;
    let said: Vec<_> = reports.iter().map(|report| (&*report.name, report.passed, &*report.by)).collect();
    assert_eq!(said, [("release gates", Some(false), "ci"), ("release gates", Some(true), "ci")]);
    assert_eq!(reports[0].metrics["accuracy floor/bound"], 0.99);
    assert!(reports[1].summary.contains("latency ceiling"), "{}", reports[1].summary);
}
