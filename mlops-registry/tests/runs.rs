//! Runs are kept as surely as versions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::faulty::{Fault, Faulty};
use common::{new, v};
use mlops_core::{Lineage, Registry};

use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::runs::{Comparison, NewRun, RunId, RunStatus};
use mlops_registry::{ObjectStoreRegistry, limits};

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

/// The store is away at each call of a flush in turn; and the flush is abandoned. Each point is written once.
#[tokio::test]
async fn points_that_were_not_answered_for_are_written_once() {
    for fault in [Fault::Before, Fault::After, Fault::Twice] {
        for failing in 0..4 {
            let store = Faulty::new(|_, _| Fault::None);
            let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
            let mut run = registry.start_run(NewRun::new("e")).await.unwrap();
            for step in 0..3000_u64 {
                let (mut call, log) = (0, step == 700 || step >= 999);
                store.set(move |_, path| {
                    call += usize::from(path.starts_with("log/"));
                    if log && call == failing + 1 { fault } else { Fault::None }
                });
                let value = if step % 2 == 0 { f64::NAN } else { step as f64 };
                let logged = run.log("loss", step, value).await;
                assert!(logged.is_ok() || step >= 999, "{logged:?}");
                if step == 700 {
                    let _ = run.flush().await;
                }
            }
            store.set(|_, _| Fault::None);
            let run = run.finish(RunStatus::Finished).await.unwrap();
            let points = registry.metric_points(run.id, "loss").await.unwrap();
            let steps: Vec<_> = points.iter().map(|point| point.step).collect();
            assert!(steps.iter().copied().eq(0..3000), "{fault:?} {failing}: {}", steps.len());
            assert_eq!(run.metrics["loss"].count, 3000);
        }
    }
}

#[tokio::test]
async fn an_abandoned_flush_loses_no_point() {
    let store = Faulty::new(|_, _| Fault::None);
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    let mut run = registry.start_run(NewRun::new("e")).await.unwrap();
    run.log("loss", 0, 1.0).await.unwrap();
    for fault in [Fault::SilenceAfter, Fault::Silence] {
        store.set(move |call, _| if call == "put" { fault } else { Fault::None });
        assert!(tokio::time::timeout(Duration::from_millis(20), run.flush()).await.is_err());
        run.log("loss", 1, 2.0).await.unwrap();
    }
    store.set(|_, _| Fault::None);
    let run = run.finish(RunStatus::Finished).await.unwrap();
    let points = registry.metric_points(run.id, "loss").await.unwrap();
    assert_eq!(points.iter().map(|point| point.step).collect::<Vec<_>>(), [0, 1, 1]);
}

/// After hours without the store there is more to write than fits into one transition.
#[tokio::test]
async fn whatever_has_piled_up_is_written() {
    let store = Faulty::new(|_, _| Fault::None);
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    let mut run = registry.start_run(NewRun::new("e")).await.unwrap();
    store.set(|_, _| Fault::Before);
    let metric = "m".repeat(limits::MAX_NAME_BYTES);
    for step in 0..15_000 {
        let _ = run.log(&metric, step, 0.5).await;
    }
    store.set(|_, _| Fault::None);
    run.flush().await.unwrap();
    assert_eq!(registry.run(run.id()).await.unwrap().metrics[&metric].count, 15_000);
}

#[tokio::test]
async fn a_run_does_not_grow_without_bound() {
    let registry = ObjectStoreRegistry::in_memory();
    let mut run = registry.start_run(NewRun::new("e")).await.unwrap();
    for index in 0..limits::MAX_ENTRIES {
        run.tag(index.to_string(), "").await.unwrap();
        run.log(&index.to_string(), 0, 0.0).await.unwrap();
        run.attach(format!("a{index}"), &b"same"[..]).await.unwrap();
    }
    let id = run.id();
    let refused = [
        run.tag("more", "").await.unwrap_err().to_string(),
        run.log("more", 0, 0.0).await.unwrap_err().to_string(),
        run.attach("more", &b"same"[..]).await.unwrap_err().to_string(),
    ];
    let expected = ["tags", "metrics", "artifacts"]
        .map(|what| format!("invalid input: {id} has 1000 {what} already; at most 1000 are allowed"));
    assert_eq!(refused, expected);
    run.tag("7", "changed").await.unwrap();
    run.log("7", 1, 1.0).await.unwrap();
    let run = run.finish(RunStatus::Finished).await.unwrap();
    assert_eq!((run.tags["7"].as_str(), run.metrics["7"].count), ("changed", 2));
}
