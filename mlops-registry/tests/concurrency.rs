//! Many writers, several open registries, one folder: no update is lost, and all agree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::crowd::{Crowd, PLACE};
use common::{champion, name, new, next, select};
use futures_util::StreamExt;
use futures_util::future::join_all;
use mlops_core::{AliasMove, AuditChange, Error, ModelId, Registry, Result, Tagging};
use mlops_registry::runs::{NewRun, RunStatus};
use mlops_registry::{GarbageCollection, NewApproval, ObjectStoreRegistry, Protecting};

const WRITERS: usize = 50;

async fn two_on_one_folder() -> (tempfile::TempDir, [ObjectStoreRegistry; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let first = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    let second = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    (folder, [first, second])
}

const REST: Duration = Duration::from_millis(30);
const CROWD: Crowd =
    Crowd { processes: 8, writers: 100, bytes_of: 2, movers_of: 5, deleters_of: 3, rest: REST };

/// Not a test by itself: one of the processes below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member() {
    let Ok(folder) = std::env::var(PLACE) else { return };
    CROWD.member(ObjectStoreRegistry::local(folder).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_do_everything_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let registry = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    CROWD.run(folder.path().to_str().unwrap(), registry).await;
}

/// Points the alias of a counter to the next version, as often as it takes.
async fn promote_next(registry: &ObjectStoreRegistry) -> Result<()> {
    loop {
        let now = registry.resolve(&name("fraud"), &select("@champion")).await?.id.version;
        let next = semver::Version::new(now.major + 1, 0, 0);
        let change = AliasMove::new(name("fraud"), champion(), next).expecting(Some(now));
        match registry.move_alias(change).await {
            Err(Error::Conflict { .. }) => {}
            other => return other.map(drop),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_is_lost() {
    let (folder, registries) = two_on_one_folder().await;
    let tasks = registries.iter().flat_map(|registry| {
        (0..WRITERS).map(|writer| {
            let registry = registry.clone();
            tokio::spawn(async move {
                let new = next("fraud").with_artifact("weights", writer.to_string().into_bytes());
                registry.register(new).await.unwrap()
            })
        })
    });
    let registered: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let majors: BTreeSet<_> = registered.iter().map(|version| version.id.version.major).collect();
    assert_eq!(majors, (1..=2 * WRITERS as u64).collect(), "each got a version of its own, without gaps");

    let first = semver::Version::new(1, 0, 0);
    registries[0].move_alias(AliasMove::new(name("fraud"), champion(), first)).await.unwrap();
    let rounds = 10_u64;
    let tasks = registries.iter().flat_map(|registry| {
        (0..rounds).map(|_| {
            let registry = registry.clone();
            tokio::spawn(async move { promote_next(&registry).await.unwrap() })
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }

    let third = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    let expected = third.history(&name("fraud")).await.unwrap();
    for registry in &registries {
        assert_eq!(registry.history(&name("fraud")).await.unwrap(), expected, "all agree on history");
        assert_eq!(
            registry.versions(&name("fraud")).await.unwrap(),
            third.versions(&name("fraud")).await.unwrap(),
            "and on what there is"
        );
    }
    let sequences: Vec<_> = expected.iter().map(|event| event.sequence).collect();
    let count = 2 * WRITERS as u64 + 1 + 2 * rounds;
    assert_eq!(sequences, (1..=count).collect::<Vec<_>>(), "history has no gaps");
    let champion = third.resolve(&name("fraud"), &select("@champion")).await.unwrap();
    assert_eq!(champion.id.version.major, 1 + 2 * rounds, "each move counted once");
    for version in &registered {
        let bytes = third.fetch(version, "weights").await.unwrap();
        assert!(std::str::from_utf8(&bytes).unwrap().parse::<usize>().unwrap() < WRITERS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_registrations_of_one_version_one_wins() {
    let (_folder, registries) = two_on_one_folder().await;
    for round in 1..=5_u64 {
        let version = semver::Version::new(round, 0, 0);
        let tasks = (0..20_usize).map(|writer| {
            let new = new("fraud", &version.to_string()).with_artifact("weights", vec![writer as u8]);
            let registry = registries[writer % 2].clone();
            tokio::spawn(async move { registry.register(new.by(writer.to_string())).await })
        });
        let results: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        assert!(lost.iter().all(|result| matches!(result, Err(Error::Conflict { .. }))), "{lost:?}");
        let id = won[0].as_ref().unwrap();
        let bytes = registries[0].fetch(id, "weights").await.unwrap();
        assert_eq!(bytes[0].to_string(), id.registered_by);
    }
}

#[tokio::test]
async fn what_one_has_acknowledged_the_other_sees() {
    let (_folder, [one, other]) = two_on_one_folder().await;
    for round in 1..=20_u64 {
        let version = one.register(next("fraud")).await.unwrap();
        assert_eq!(other.resolve(&name("fraud"), &select("latest")).await.unwrap(), version);
        let id = ModelId::new(name("fraud"), version.id.version);
        other.tag(Tagging::set(id, "round", round.to_string())).await.unwrap();
        let tagged = one.resolve(&name("fraud"), &select("latest")).await.unwrap();
        assert_eq!(tagged.tags["round"], round.to_string());
    }
}

#[tokio::test]
async fn watching_sees_what_others_do_once_and_in_order() {
    let (_folder, [one, other]) = two_on_one_folder().await;
    one.register(new("before", "1.0.0")).await.unwrap();
    assert_eq!(other.models().await.unwrap().len(), 1);
    let events = other.with_poll_interval(Duration::from_millis(5)).watch();
    let writer = tokio::spawn(async move {
        for _ in 0..20 {
            one.register(next("fraud")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let events = tokio::time::timeout(Duration::from_secs(60), events.take(20).collect::<Vec<_>>()).await;
    writer.await.unwrap();
    for (index, event) in events.unwrap().into_iter().enumerate() {
        let (event, round) = (event.unwrap(), index as u64 + 1);
        assert_eq!(event.sequence, round + 1);
        assert_eq!(event.change, AuditChange::Registered { version: semver::Version::new(round, 0, 0) });
    }
}

#[tokio::test(start_paused = true)]
async fn what_this_process_does_is_seen_at_once() {
    let registry = ObjectStoreRegistry::in_memory().with_poll_interval(Duration::from_secs(3600));
    let mut events = registry.watch();
    let begin = tokio::time::Instant::now();
    let (event, version) = tokio::join!(events.next(), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        registry.clone().register(next("fraud")).await
    });
    assert_eq!(event.unwrap().unwrap().model, version.unwrap().id.name);
    assert_eq!(begin.elapsed(), Duration::from_secs(1));
}

#[tokio::test]
async fn an_abandoned_call_does_no_harm() {
    let (_folder, [one, other]) = two_on_one_folder().await;
    for patience in 0..40 {
        let call = one.register(next("fraud").with_artifact("weights", vec![patience; 1000]));
        let _ = tokio::time::timeout(Duration::from_micros(100 * u64::from(patience)), call).await;
    }
    one.register(next("fraud")).await.unwrap();
    let versions = other.versions(&name("fraud")).await.unwrap();
    assert_eq!(versions, one.versions(&name("fraud")).await.unwrap());
    for version in versions.iter().filter(|version| !version.artifacts.is_empty()) {
        assert_eq!(other.fetch(version, "weights").await.unwrap().len(), 1000);
    }
}

/// Whatever a registry does can be done by a task on any thread.
#[tokio::test]
async fn every_call_can_be_spawned() {
    fn spawnable<T: Send + 'static>(call: impl Future<Output = T> + Send) {
        drop(call);
    }
    let registry = ObjectStoreRegistry::in_memory();
    let id = ModelId::new(name("fraud"), semver::Version::new(1, 0, 0));
    spawnable(registry.register(next("fraud")));
    spawnable(registry.verify());
    spawnable(registry.checkpoint());
    spawnable(registry.collect_garbage(GarbageCollection::default()));
    spawnable(registry.approve(NewApproval::new(id.clone(), champion(), "alice")));
    spawnable(registry.protect(Protecting::lifted(id.name.clone(), champion())));
    spawnable(registry.runs(None));
    spawnable(ObjectStoreRegistry::open_url("memory:"));
    let mut run = registry.start_run(NewRun::new("e")).await.unwrap();
    spawnable(run.attach("a", &b"a"[..]));
    spawnable(run.flush());
    spawnable(registry.metric_points(run.id(), "loss"));
    spawnable(run.finish(RunStatus::Finished));
}
