//! What nobody names is collected, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use common::faulty::{Fault, Faulty};
use common::{name, new, next, select, v};
use jiff::Timestamp;
use mlops_core::{Deletion, Digest, ManualClock, ModelId, Registry};
use mlops_registry::reexports::object_store::ObjectStoreExt;
use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::{GarbageCollection, GarbageFile, GarbageKind, ObjectStoreRegistry};

fn at_once() -> GarbageCollection {
    GarbageCollection::default().with_grace(Duration::ZERO).by("ops")
}

fn in_two_hours() -> ManualClock {
    ManualClock::new(Timestamp::now() + Duration::from_secs(2 * 3600))
}

async fn delete(registry: &ObjectStoreRegistry, version: &str) {
    let id = ModelId::new(name("fraud"), v(version));
    registry.delete(Deletion::new(id)).await.unwrap();
}

#[tokio::test]
async fn blobs_of_deleted_versions_go_and_shared_ones_stay() {
    let store = Arc::new(InMemory::new());
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    for version in ["1.0.0", "2.0.0"] {
        let own = version.as_bytes().to_vec();
        let new = new("fraud", version).with_artifact("own", own).with_artifact("shared", &b"shared"[..]);
        registry.register(new).await.unwrap();
    }
    assert!(registry.collect_garbage(at_once()).await.unwrap().files.is_empty(), "all of it is needed");
    delete(&registry, "1.0.0").await;
    assert!(
        registry.collect_garbage(GarbageCollection::default()).await.unwrap().files.is_empty(),
        "too young"
    );

    let own = GarbageKind::Blob(Digest::of(b"1.0.0"));
    let named = registry.collect_garbage(at_once().dry_run()).await.unwrap();
    assert_eq!(named.files.iter().map(|file| (file.kind, file.size)).collect::<Vec<_>>(), [(own, 5)]);
    let path = named.files[0].path.clone();
    assert!(store.head(&path.clone().into()).await.is_ok(), "a dry run deletes nothing");
    assert_eq!(registry.collect_garbage(at_once()).await.unwrap(), named);
    assert!(store.head(&path.into()).await.is_err());
    assert!(registry.collect_garbage(at_once()).await.unwrap().files.is_empty(), "once is enough");

    let second = registry.resolve(&name("fraud"), &select("2.0.0")).await.unwrap();
    assert_eq!(registry.fetch(&second, "shared").await.unwrap(), &b"shared"[..]);
    assert!(registry.verify().await.unwrap().is_clean());
}

#[tokio::test]
async fn collected_bytes_can_come_back() {
    let store = Arc::new(InMemory::new());
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    let other = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    for round in 1..=3_u64 {
        let version = format!("{round}.0.0");
        let registered =
            registry.register(new("fraud", &version).with_artifact("w", &b"same"[..])).await.unwrap();
        assert_eq!(
            other.fetch(&registered, "w").await.unwrap(),
            &b"same"[..],
            "a registry that is behind finds it"
        );
        delete(&registry, &version).await;
        let garbage = registry.collect_garbage(at_once()).await.unwrap();
        let blob = |file: &&GarbageFile| matches!(file.kind, GarbageKind::Blob(_));
        assert_eq!(garbage.files.iter().filter(blob).count(), 1);
        registry.checkpoint().await.unwrap();
        let error = ObjectStoreRegistry::open(store.clone(), "").await.unwrap().fetch(&registered, "w").await;
        assert_eq!(error.unwrap_err().label(), "not_found");
    }
}

/// The collector stops between its announcement and the deletion, for as long as it likes.
#[tokio::test]
async fn a_late_deletion_harms_nobody() {
    let store = Faulty::new(|_, _| Fault::None);
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    registry.register(new("fraud", "1.0.0").with_artifact("w", &b"same"[..])).await.unwrap();
    delete(&registry, "1.0.0").await;
    store.set(|call, _| if call == "delete" { Fault::Before } else { Fault::None });
    let error = registry.collect_garbage(at_once()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let again = registry.register(new("fraud", "2.0.0").with_artifact("w", &b"same"[..])).await.unwrap();
    store.set(|_, _| Fault::None);
    // What the first one had announced is still to be deleted, and the bytes are elsewhere.
    assert_eq!(registry.collect_garbage(at_once()).await.unwrap().files.len(), 1);
    assert_eq!(registry.fetch(&again, "w").await.unwrap(), &b"same"[..]);
    assert!(registry.verify().await.unwrap().is_clean());
}

/// The bytes of a registration are collected after they were written, and before it is in the log.
#[tokio::test]
async fn whoever_is_registering_notices_that_its_bytes_were_collected() {
    let store = Faulty::new(|_, _| Fault::None);
    let slow = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    let collector = ObjectStoreRegistry::open(store.inner.clone(), "").await.unwrap();
    collector.register(new("fraud", "1.0.0")).await.unwrap();
    let (reached, go_on) =
        (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    store.pause_after("put", "blobs/", Arc::clone(&reached), Arc::clone(&go_on));
    let registering = tokio::spawn({
        let slow = slow.clone();
        async move { slow.register(new("fraud", "2.0.0").with_artifact("w", &b"same"[..])).await }
    });
    drop(reached.acquire().await.unwrap());
    assert_eq!(collector.collect_garbage(at_once()).await.unwrap().bytes(), 4);
    go_on.add_permits(1000);
    let registered = registering.await.unwrap().unwrap();
    for registry in [&slow, &collector] {
        assert_eq!(registry.fetch(&registered, "w").await.unwrap(), &b"same"[..]);
        assert!(registry.verify().await.unwrap().is_clean());
    }
}

#[tokio::test]
async fn unfinished_and_replaced_files_go_too() {
    let folder = tempfile::tempdir().unwrap();
    let registry = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    registry.register(next("fraud").with_artifact("w", &b"w"[..])).await.unwrap();
    registry.checkpoint().await.unwrap();
    registry.register(next("fraud")).await.unwrap();
    registry.checkpoint().await.unwrap();
    let stray = folder.path().join("blobs/sha256/00/0000#12");
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::write(&stray, b"half").unwrap();
    let digits = "0".repeat(64);
    let foreign = [
        "blobs/README".to_owned(),
        "mine/notes#1".to_owned(),
        "checkpoints/notes.state".to_owned(),
        format!("blobs/sha256/00/{digits}.01"),
        format!("blobs/sha256/11/{digits}"),
    ];
    let foreign = foreign.map(|foreign| folder.path().join(foreign));
    for foreign in &foreign {
        fs::create_dir_all(foreign.parent().unwrap()).unwrap();
        fs::write(foreign, b"mine").unwrap();
    }
    // Somebody may be writing them just now.
    assert!(registry.collect_garbage(at_once()).await.unwrap().files.is_empty());
    let registry = registry.with_clock(in_two_hours());
    let kinds = |garbage: &mlops_registry::Garbage| {
        let mut kinds: Vec<_> = garbage.files.iter().map(|file| format!("{:?}", file.kind)).collect();
        kinds.sort();
        kinds
    };
    let named = registry.collect_garbage(at_once().dry_run()).await.unwrap();
    assert_eq!(kinds(&named), ["Checkpoint", "Checkpoint", "Unfinished"]);
    assert!(stray.exists());
    assert_eq!(kinds(&registry.collect_garbage(at_once()).await.unwrap()), kinds(&named));
    assert!(!stray.exists() && foreign.iter().all(|foreign| foreign.exists()));
    let reopened = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    assert!(reopened.verify().await.unwrap().is_clean());
    assert_eq!(reopened.versions(&name("fraud")).await.unwrap().len(), 2);
}

/// The unfinished file of a writer that lives is not taken from it: another one would begin the same file anew, and the
/// first would publish what the second has written of it so far.
#[tokio::test]
async fn nobody_loses_the_file_that_is_just_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let registry = ObjectStoreRegistry::local(folder.path()).await.unwrap();
    let collecting = tokio::spawn({
        let collector = ObjectStoreRegistry::local(folder.path()).await.unwrap();
        async move {
            loop {
                collector.collect_garbage(at_once()).await.unwrap();
            }
        }
    });
    for round in 0..50_u8 {
        registry.register(next("fraud").with_artifact("w", vec![round; 100_000])).await.unwrap();
    }
    collecting.abort();
    assert!(registry.verify().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_harmed_checkpoint_keeps_nobody_from_collecting_blobs() {
    let store = Arc::new(InMemory::new());
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap().with_clock(in_two_hours());
    registry.register(new("fraud", "1.0.0").with_artifact("w", &b"w"[..])).await.unwrap();
    registry.checkpoint().await.unwrap();
    delete(&registry, "1.0.0").await;
    store.put(&"checkpoints/latest.json".into(), "{}".into()).await.unwrap();
    assert_eq!(registry.collect_garbage(at_once()).await.unwrap().files.len(), 1);
    assert_eq!(registry.checkpoint().await.unwrap(), 3);
    let kinds: Vec<_> =
        registry.collect_garbage(at_once()).await.unwrap().files.iter().map(|file| file.kind).collect();
    assert_eq!(kinds, [GarbageKind::Checkpoint; 2]);
}
