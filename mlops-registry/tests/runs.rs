//! Runs are kept as surely as versions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{new, v};
use mlops_core::{Lineage, Registry};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::runs::{Comparison, NewRun, RunId, RunStatus};

#[tokio::test]
async fn a_run_comes_back_as_it_was_logged() {
    let store = Arc::new(InMemory::new());
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    let search = registry.start_run(NewRun::new("trees").named("search").by("alice")).await.unwrap();
    let mut ids = Vec::new();
    for depth in [5, 7] {
        let new =
            NewRun::new("trees").within(search.id()).with_parameter("depth", depth).with_parameter("seed", 1);
        let mut run = registry.start_run(new.named(format!("depth {depth}")).by("alice")).await.unwrap();
        for step in 0..2500_u64 {
            run.log("loss", step, 1.0 / (step + depth) as f64).await.unwrap();
        }
        run.log("auc", 0, 0.9 + depth as f64 / 100.0).await.unwrap();
        run.tag("kept", "yes").await.unwrap();
        run.attach("model", format!("model {depth}").into_bytes()).await.unwrap();
        ids.push(run.finish(RunStatus::Finished).await.unwrap().id);
    }
    registry.checkpoint().await.unwrap();
    let version = new("fraud", "1.0.0").with_lineage(Lineage::default().with_run(ids[1].to_string()));
    let version = registry.register(version).await.unwrap();
    let id: RunId = version.lineage.run.unwrap().parse().unwrap();

    for registry in [&registry, &ObjectStoreRegistry::open(store.clone(), "").await.unwrap()] {
        let run = registry.run(id).await.unwrap();
        assert_eq!(
            (run.parent, run.status, run.by.as_str()),
            (Some(search.id()), RunStatus::Finished, "alice")
        );
        assert_eq!((run.metrics["loss"].count, run.metrics["loss"].step), (2500, 2499));
        assert_eq!((run.metrics["loss"].max, run.metrics["loss"].last), (1.0 / 7.0, 1.0 / 2506.0));
        assert_eq!((run.tags["kept"].as_str(), run.artifacts["model"].size), ("yes", 7));
        let points = registry.metric_points(id, "loss").await.unwrap();
        assert!(points.iter().enumerate().all(|(step, point)| {
            (point.step, point.value) == (step as u64, 1.0 / (step as u64 + 7) as f64)
        }));
        assert_eq!(points.len(), 2500);
        assert_eq!(registry.metric_points(id, "f1").await.unwrap_err().label(), "not_found");
        let runs = registry.runs(Some("trees")).await.unwrap();
        assert_eq!(runs.len(), 3);
        assert!(registry.runs(Some("other")).await.unwrap().is_empty());
        let table = Comparison::of(&runs[1..]);
        assert_eq!(
            table.columns,
            ["run", "name", "status", "depth", "auc", "loss"],
            "the seed is the same for all"
        );
        assert_eq!(table.column("depth").unwrap()[ids[0].to_string().as_str()], "5");
        assert!(
            table.to_string().starts_with("| run | name | status | depth | auc | loss |\n| --- |"),
            "{table}"
        );
        assert!(registry.verify().await.unwrap().is_clean());
        assert_eq!(registry.verify().await.unwrap().blobs, 2, "what runs made is verified, too");
    }
}

#[tokio::test]
async fn what_is_no_number_is_kept() {
    let registry = ObjectStoreRegistry::in_memory();
    let mut run = registry.start_run(NewRun::new("e")).await.unwrap();
    for (step, value) in [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1 + 0.2].into_iter().enumerate()
    {
        run.log("loss", step as u64, value).await.unwrap();
    }
    let run = run.finish(RunStatus::Failed).await.unwrap();
    let loss = run.metrics["loss"];
    assert_eq!((loss.last, loss.min, loss.max), (0.1 + 0.2, f64::NEG_INFINITY, f64::INFINITY));
    let points = registry.metric_points(run.id, "loss").await.unwrap();
    assert!(points[1].value.is_nan() && points[2].value == f64::INFINITY);
}

#[tokio::test]
async fn a_run_that_has_ended_takes_nothing_more() {
    let registry = ObjectStoreRegistry::in_memory();
    let run = registry.start_run(NewRun::new("e")).await.unwrap();
    let mut other = registry.resume_run(run.id(), "bob").await.unwrap();
    other.log("loss", 0, 1.0).await.unwrap();
    assert_eq!(run.finish(RunStatus::Running).await.unwrap_err().label(), "invalid_input");
    let run = registry.resume_run(other.id(), "alice").await.unwrap();
    run.finish(RunStatus::Killed).await.unwrap();
    assert_eq!(other.flush().await.unwrap_err().label(), "conflict");
    assert_eq!(other.tag("a", "b").await.unwrap_err().label(), "conflict");
    assert_eq!(other.attach("a", &b"b"[..]).await.unwrap_err().label(), "conflict");
    assert_eq!(registry.resume_run(other.id(), "carol").await.unwrap_err().label(), "conflict");
    let missing: RunId = "run-99".parse().unwrap();
    assert_eq!(registry.run(missing).await.unwrap_err().label(), "not_found");
    assert_eq!(registry.start_run(NewRun::new("e").within(missing)).await.unwrap_err().label(), "not_found");
    for text in ["run-", "run-0", "run-+1", "17", "run-x"] {
        assert_eq!(text.parse::<RunId>().unwrap_err().label(), "invalid_input", "{text}");
    }
    // Versions and runs share a log, and do not get into each other's way.
    registry.register(new("fraud", "1.0.0")).await.unwrap();
    assert_eq!(registry.history(&common::name("fraud")).await.unwrap().len(), 1);
    assert_eq!(registry.versions(&common::name("fraud")).await.unwrap()[0].id.version, v("1.0.0"));
}
