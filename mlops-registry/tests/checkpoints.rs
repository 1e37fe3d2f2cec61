//! Checkpoints make opening quick, and are never trusted more than the log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{Arc, Mutex};

use common::faulty::{Fault, Faulty};
use common::{champion, name, new, next, select};
use futures_util::TryStreamExt;
use mlops_core::{AliasMove, ModelId, Query, Registry, Tagging};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::reexports::object_store::path::Path;
use mlops_registry::reexports::object_store::{ObjectStore, ObjectStoreExt};

async fn open(store: &Arc<InMemory>) -> ObjectStoreRegistry {
    ObjectStoreRegistry::open(store.clone(), "").await.unwrap()
}

/// Two models and that many transitions.
async fn filled(transitions: u64) -> (Arc<InMemory>, ObjectStoreRegistry) {
    let store = Arc::new(InMemory::new());
    let registry = open(&store).await;
    let id = registry.register(next("fraud").with_artifact("weights", &b"w"[..])).await.unwrap().id;
    registry.register(next("digits")).await.unwrap();
    registry.move_alias(AliasMove::new(name("fraud"), champion(), id.version.clone())).await.unwrap();
    go_on(&registry, id, transitions - 3).await;
    (store, registry)
}

async fn go_on(registry: &ObjectStoreRegistry, id: ModelId, transitions: u64) {
    for round in 0..transitions {
        registry.tag(Tagging::set(id.clone(), "round", round.to_string())).await.unwrap();
    }
}

fn fraud() -> ModelId {
    ModelId::new(name("fraud"), semver::Version::new(1, 0, 0))
}

/// Everything a registry says, as text.
async fn told(registry: &ObjectStoreRegistry) -> String {
    let mut told = format!("{:?}", registry.search(&Query::new()).await.unwrap());
    for model in registry.models().await.unwrap() {
        told += &format!("{:?}", registry.history(&model).await.unwrap());
    }
    told
}

async fn files(store: &InMemory, folder: &str) -> Vec<Path> {
    store.list(Some(&Path::from(folder))).map_ok(|file| file.location).try_collect().await.unwrap()
}

#[tokio::test]
async fn opening_after_many_transitions_reads_three_objects() {
    let (store, registry) = filled(2000).await;
    let read = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&read);
    let counting = Faulty::over(store.clone(), move |call, path| {
        if call == "get" {
            seen.lock().unwrap().push(path.to_owned());
        }
        Fault::None
    });
    let reopened = ObjectStoreRegistry::open(counting, "").await.unwrap();
    let paths = read.lock().unwrap().clone();
    assert_eq!(paths.len(), 3, "{paths:?}");
    assert_eq!(paths[0], "checkpoints/latest.json");
    assert!(paths[1].ends_with(".state"), "{paths:?}");
    assert!(paths[2].ends_with("2000.json"), "the transition after which it was made: {paths:?}");
    assert_eq!(told(&reopened).await, told(&registry).await);
    assert_eq!(reopened.history(&name("fraud")).await.unwrap().len(), 1999);
}

#[tokio::test]
async fn it_goes_on_from_a_checkpoint_and_after_it() {
    let (store, registry) = filled(1500).await;
    let reopened = open(&store).await;
    assert_eq!(told(&reopened).await, told(&registry).await);
    go_on(&reopened, fraud(), 700).await;
    assert_eq!(reopened.checkpoint().await.unwrap(), 2200);
    assert_eq!(reopened.checkpoint().await.unwrap(), 2200, "there is nothing new to write");
    go_on(&registry, fraud(), 10).await;
    for registry in [&registry, &reopened, &open(&store).await] {
        assert_eq!(registry.head().await.unwrap().0, 2210);
        assert_eq!(registry.history(&name("fraud")).await.unwrap().len(), 2209);
        assert_eq!(told(registry).await, told(&reopened).await);
        assert!(registry.verify().await.unwrap().is_clean());
    }
}

/// Each file of a checkpoint is lost, cut off, and changed in the middle; the registry says the same as before, and
/// verification names the file.
#[tokio::test]
async fn a_harmed_checkpoint_costs_time_and_nothing_else() {
    const POINTER: &str = "checkpoints/latest.json";
    let (unharmed, registry) = filled(150).await;
    registry.checkpoint().await.unwrap();
    go_on(&registry, fraud(), 50).await;
    let before = told(&registry).await;
    let files = files(&unharmed, "checkpoints").await;
    assert_eq!(files.len(), 3);
    for file in &files {
        for harm in ["changed", "cut off", "emptied", "lost"] {
            let store = Arc::new(unharmed.fork());
            let mut bytes = store.get(file).await.unwrap().bytes().await.unwrap().to_vec();
            let middle = bytes.len() / 2;
            match harm {
                "changed" => bytes[middle] ^= 1,
                "cut off" => bytes.truncate(middle),
                _ => bytes.clear(),
            }
            store.put(file, bytes.into()).await.unwrap();
            if harm == "lost" {
                store.delete(file).await.unwrap();
            }
            let reopened = open(&store).await;
            assert!(told(&reopened).await == before, "{file} {harm}");
            let faults = reopened.verify().await.unwrap().faults;
            let named = faults.iter().any(|fault| fault.file == file.as_ref());
            // Without a pointer there is no checkpoint.
            assert_eq!(named, !(harm == "lost" && file.as_ref() == POINTER), "{file} {harm}: {faults:?}");
            go_on(&reopened, fraud(), 1).await;
            assert_eq!(reopened.checkpoint().await.unwrap(), 201);
            let faults = open(&store).await.verify().await.unwrap().faults;
            assert!(faults.is_empty(), "the next checkpoint heals it: {file} {harm} {faults:?}");
        }
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_registry_is_noticed() {
    let ((store, registry), (other, _)) = (filled(1000).await, filled(1000).await);
    for file in files(&other, "checkpoints").await {
        let bytes = other.get(&file).await.unwrap().bytes().await.unwrap();
        store.put(&file, bytes.into()).await.unwrap();
    }
    // Whoever went on from it would write what does not follow the log.
    for _ in 0..2 {
        let error = ObjectStoreRegistry::open(store.clone(), "").await.unwrap_err();
        assert_eq!(error.label(), "integrity", "{error}");
        go_on(&registry, fraud(), 1).await;
    }
    assert_eq!(registry.history(&name("fraud")).await.unwrap().len(), 1001, "who knows better is not misled");
    let faults = registry.verify().await.unwrap().faults;
    assert!(faults.iter().any(|fault| fault.what.contains("something else than the log")), "{faults:?}");
}

/// What a checkpoint names is replaced by another process, and collected; later the pointer is lost.
#[tokio::test]
async fn whoever_knows_an_older_checkpoint_finds_the_later_one() {
    let (store, registry) = filled(20).await;
    assert_eq!(registry.checkpoint().await.unwrap(), 20);
    let old = files(&store, "checkpoints").await;
    let behind = open(&store).await;
    go_on(&registry, fraud(), 5).await;
    assert_eq!(registry.checkpoint().await.unwrap(), 25);
    for file in old.iter().filter(|file| !file.as_ref().ends_with("latest.json")) {
        store.delete(file).await.unwrap();
    }
    let counting = Faulty::over(store.clone(), |_, _| Fault::None);
    let reopened = ObjectStoreRegistry::open(counting.clone(), "").await.unwrap();
    assert_eq!(told(&behind).await, told(&registry).await);
    assert!(behind.verify().await.unwrap().is_clean());
    counting.set(
        |call, path| if call == "get" && path.contains("0004.json") { Fault::Before } else { Fault::None },
    );
    assert_eq!(told(&reopened).await, told(&registry).await, "the log is not read from its beginning");

    store.delete(&Path::from("checkpoints/latest.json")).await.unwrap();
    assert_eq!(behind.checkpoint().await.unwrap(), 25, "one that is not there is written again");
    assert!(open(&store).await.verify().await.unwrap().is_clean());
    assert_eq!(files(&store, "checkpoints").await.len(), 3);
}

/// A harm that verification finds is healed by the next checkpoint, even where the log has not grown.
#[tokio::test]
async fn a_checkpoint_that_is_known_to_be_harmed_is_written_anew() {
    let (store, registry) = filled(20).await;
    registry.checkpoint().await.unwrap();
    for file in files(&store, "checkpoints").await {
        let mut bytes = store.get(&file).await.unwrap().bytes().await.unwrap().to_vec();
        bytes[100] ^= 1;
        store.put(&file, bytes.into()).await.unwrap();
        assert!(!registry.verify().await.unwrap().is_clean(), "{file}");
        assert_eq!(registry.checkpoint().await.unwrap(), 20);
        assert!(registry.verify().await.unwrap().is_clean(), "{file}");
    }
}

#[tokio::test]
async fn a_foreign_file_with_the_highest_number_does_not_keep_verification_busy_for_ever() {
    let (store, registry) = filled(3).await;
    let far = Path::from(format!("log/{:020}/{:020}.json", u64::MAX / 1000 * 1000, u64::MAX));
    store.put(&far, "stray".into()).await.unwrap();
    let found = registry.verify().await.unwrap();
    assert!(found.faults.iter().any(|fault| fault.what == "it is missing"));
    assert!(found.faults.len() < 2000);
}

#[tokio::test]
async fn whoever_watches_misses_nothing_when_a_checkpoint_is_written() {
    let (store, registry) = filled(10).await;
    let watching = open(&store).await;
    let events = watching.watch();
    go_on(&registry, fraud(), 2100).await;
    assert_eq!(watching.resolve(&name("fraud"), &select("latest")).await.unwrap().tags["round"], "2099");
    assert_eq!(watching.checkpoint().await.unwrap(), 2110);
    let events: Vec<_> = futures_util::StreamExt::take(events, 2100).try_collect::<Vec<_>>().await.unwrap();
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (11..=2110).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_written_fails_no_change() {
    let store = Faulty::new(|call, path| match call {
        "put" if path.starts_with("checkpoints/") => Fault::Before,
        _ => Fault::None,
    });
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    registry.register(new("fraud", "1.0.0")).await.unwrap();
    go_on(&registry, fraud(), 1000).await;
    assert_eq!(registry.head().await.unwrap().0, 1001);
    let error = registry.checkpoint().await.unwrap_err();
    assert_eq!(error.label(), "unavailable", "{error}");
    store.set(|_, _| Fault::None);
    assert_eq!(registry.checkpoint().await.unwrap(), 1001);
}
