//! A failing store loses nothing, leaves nothing half done, and stops nobody from watching.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::faulty::{Fault, Faulty};
use common::{champion, name, new, select};
use futures_util::StreamExt;
use mlops_core::{AliasMove, Registry};
use mlops_registry::ObjectStoreRegistry;

/// Fails each call in turn, before and after it took effect. Whatever happens, the version is there with
/// all of its bytes, or not at all; and doing it again leads there.
#[tokio::test]
async fn a_registration_is_all_or_nothing_at_whichever_call_the_store_fails() {
    for fault in [Fault::Before, Fault::After] {
        for failing in 0.. {
            let store = Faulty::new(|_, _| Fault::None);
            let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
            registry.register(new("fraud", "1.0.0").with_artifact("a", &b"shared"[..])).await.unwrap();
            let (mut call, met) = (0, Arc::new(AtomicBool::new(false)));
            let seen = Arc::clone(&met);
            store.set(move |_, _| {
                call += 1;
                let now = call == failing + 1;
                seen.fetch_or(now, Ordering::Relaxed);
                if now { fault } else { Fault::None }
            });
            let second =
                || new("fraud", "2.0.0").with_artifact("a", &b"shared"[..]).with_artifact("b", &b"own"[..]);
            let result = registry.register(second()).await;
            let met = met.load(Ordering::Relaxed);
            assert_eq!(result.is_err(), met, "call {failing} {fault:?}: {result:?}");
            if let Err(error) = result {
                assert!(error.is_retryable(), "{error}");
            }
            store.set(|_, _| Fault::None);

            let reopened = ObjectStoreRegistry::open(store.inner.clone(), "").await.unwrap();
            for registry in [&registry, &reopened] {
                let there = registry.resolve(&name("fraud"), &select("2.0.0")).await;
                match registry.register(second()).await {
                    Ok(_) => assert_eq!(there.unwrap_err().label(), "not_found"),
                    Err(error) => assert_eq!((error.label(), there.is_ok()), ("conflict", true), "{error}"),
                }
                let version = registry.resolve(&name("fraud"), &select("latest")).await.unwrap();
                assert_eq!(registry.fetch(&version, "a").await.unwrap(), &b"shared"[..]);
                assert_eq!(registry.fetch(&version, "b").await.unwrap(), &b"own"[..]);
                assert_eq!(registry.history(&name("fraud")).await.unwrap().len(), 2);
            }
            if !met {
                assert!(failing >= 5, "the faults must meet something");
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_answer_lost_on_its_way_is_no_conflict() {
    let store = Faulty::new(|call, path| match call {
        "put" if path.starts_with("log/") => Fault::Twice,
        _ => Fault::None,
    });
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    let version = registry.register(new("fraud", "1.0.0")).await.unwrap().id.version;
    let change = AliasMove::new(name("fraud"), champion(), version).expecting(None);
    registry.move_alias(change).await.unwrap();
    assert_eq!(registry.history(&name("fraud")).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn watching_survives_a_store_that_is_away() {
    let store = Faulty::new(|_, _| Fault::None);
    let watching = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    let other = ObjectStoreRegistry::open(store.inner.clone(), "").await.unwrap();
    let mut events = watching.with_poll_interval(Duration::from_secs(5)).watch();
    other.register(new("fraud", "1.0.0")).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().change.to_string(), "registered 1.0.0");

    store.set(|_, _| Fault::Before);
    other.register(new("fraud", "2.0.0")).await.unwrap();
    for _ in 0..3 {
        let begin = tokio::time::Instant::now();
        let error = events.next().await.unwrap().unwrap_err();
        assert_eq!(error.label(), "unavailable", "{error}");
        assert_eq!(begin.elapsed().as_secs(), 5, "it asks once in an interval");
    }
    store.set(|_, _| Fault::None);
    assert_eq!(events.next().await.unwrap().unwrap().change.to_string(), "registered 2.0.0");
}

#[tokio::test]
async fn errors_of_the_store_say_what_was_tried() {
    let store = Faulty::new(|_, _| Fault::Before);
    let error = ObjectStoreRegistry::open(store.clone(), "models").await.unwrap_err();
    assert_eq!(error.to_string(), "unavailable: models/checkpoints/latest.json cannot be read");
    store.set(|call, _| if call == "list" { Fault::Before } else { Fault::None });
    let error = ObjectStoreRegistry::open(store.clone(), "models").await.unwrap_err();
    assert_eq!(error.to_string(), "unavailable: models/log cannot be listed");
    store.set(|_, _| Fault::None);
    let registry = ObjectStoreRegistry::open(store.clone(), "models").await.unwrap();
    assert_eq!(registry.root(), "Faulty/models");
    store.set(|_, _| Fault::Before);
    let error = registry.models().await.unwrap_err();
    let file = "models/log/00000000000000000000/00000000000000000001.json";
    assert_eq!(error.to_string(), format!("unavailable: {file} cannot be read"));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("the wire is cut"));
}
