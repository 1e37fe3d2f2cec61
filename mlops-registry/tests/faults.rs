//! A failing store loses nothing, leaves nothing half done, and stops nobody from watching.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::faulty::{Fault, Faulty};
use common::{at_once, champion, everything, name, new, select, v};
use futures_util::{StreamExt, TryStreamExt};
use mlops_core::{AliasMove, Deletion, ModelId, NewVersion, Registry, Result, Tagging};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::reexports::object_store::ObjectStore;
use mlops_registry::reexports::object_store::memory::InMemory;
use mlops_registry::runs::{NewRun, RunStatus};

const FAULTS: [Fault; 8] = [
    Fault::Before,
    Fault::After,
    Fault::Twice,
    Fault::Silence,
    Fault::SilenceAfter,
    Fault::Late,
    Fault::Torn,
    Fault::CutOff,
];

/// More than one piece.
const LARGE: usize = (8 << 20) + 1;

/// A registry with a checkpoint, something after it, a run, and garbage.
async fn filled() -> InMemory {
    let store = Arc::new(InMemory::new());
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        let new = new("fraud", version).with_artifact("own", version.as_bytes().to_vec());
        registry.register(new.with_artifact("shared", &b"shared"[..])).await.unwrap();
    }
    let mut run = registry.start_run(NewRun::new("e")).await.unwrap();
    run.log("loss", 0, 1.0).await.unwrap();
    run.flush().await.unwrap();
    registry.checkpoint().await.unwrap();
    registry.move_alias(AliasMove::new(name("fraud"), champion(), v("1.0.0"))).await.unwrap();
    for version in ["2.0.0", "3.0.0"] {
        registry.delete(Deletion::new(ModelId::new(name("fraud"), v(version)))).await.unwrap();
    }
    run.attach("model", &b"model"[..]).await.unwrap();
    run.finish(RunStatus::Finished).await.unwrap();
    store.fork()
}

/// Does `work` on a copy of `filled` while one call of the store goes wrong: each in turn, in each way. Whatever comes of
/// it, a registry that was open and one that is opened afterwards say the same then, nothing is harmed, and `check` holds
/// for both; it is told what came of the work, `None` when no answer came.
async fn at_every_call<T>(
    filled: &InMemory,
    faults: &[Fault],
    work: impl AsyncFn(Arc<Faulty>, &ObjectStoreRegistry) -> Result<T>,
    check: impl AsyncFn(&ObjectStoreRegistry, Option<&Result<T>>),
) {
    for fault in faults.iter().copied() {
        for failing in 0.. {
            let store = Faulty::over(Arc::new(filled.fork()), |_, _| Fault::None);
            let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
            let (mut calls, met) = (0, Arc::new(AtomicBool::new(false)));
            let seen = Arc::clone(&met);
            store.set(move |_, _| {
                calls += 1;
                let now = calls == failing + 1;
                seen.fetch_or(now, Ordering::Relaxed);
                if now { fault } else { Fault::None }
            });
            let work = work(Arc::clone(&store), &registry);
            let answer = tokio::time::timeout(Duration::from_secs(60), work).await.ok();
            store.set(|_, _| Fault::None);
            let met = met.load(Ordering::Relaxed);
            let (what, silence) =
                (format!("call {failing} {fault:?}"), [Fault::Silence, Fault::SilenceAfter]);
            assert!(answer.is_some() || met && silence.contains(&fault), "{what}: it does not end");
            if let Some(Err(error)) = &answer {
                assert!(met && error.is_retryable(), "{what}: {error}");
            }
            check(&registry, answer.as_ref()).await;
            let reopened = ObjectStoreRegistry::open(store.inner.clone(), "").await.unwrap();
            check(&reopened, answer.as_ref()).await;
            assert_eq!(everything(&registry).await, everything(&reopened).await, "{what}");
            assert_eq!(reopened.verify().await.unwrap().faults, [], "{what}");
            if !met {
                assert!(failing >= 2, "the faults must meet something");
                break;
            }
        }
    }
}

/// Whether a call was answered well, and in time.
async fn answered<T>(call: impl Future<Output = Result<T>>) -> bool {
    matches!(tokio::time::timeout(Duration::from_secs(60), call).await, Ok(Ok(_)))
}

/// The version is there with all of its bytes, or not at all; and doing it again leads there.
async fn leads_there(registry: &ObjectStoreRegistry, new: NewVersion, answer: Option<&Result<()>>) {
    let id = ModelId::new(new.model.clone(), new.version.clone().unwrap());
    let there = registry.resolve(&id.name, &id.version.clone().into()).await.is_ok();
    assert!(there || !matches!(answer, Some(Ok(()))), "what was acknowledged is there");
    match registry.register(new.clone()).await {
        Ok(_) => assert!(!there),
        Err(error) => assert_eq!((error.label(), there), ("conflict", true), "{error}"),
    }
    let version = registry.resolve(&id.name, &id.version.into()).await.unwrap();
    for (artifact, described) in &version.artifacts {
        let pieces = registry.fetch_stream(&version, artifact).await.unwrap();
        let size = pieces.try_fold(0, async |size, piece| Ok(size + piece.len() as u64)).await.unwrap();
        assert_eq!(size, described.size);
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_survives_whatever_happens_to_a_call() {
    let new = || new("fraud", "4.0.0").with_artifact("a", &b"shared"[..]).with_artifact("b", &b"new"[..]);
    let register = async |_, registry: &ObjectStoreRegistry| registry.register(new()).await.map(drop);
    at_every_call(&filled().await, &FAULTS, register, async |registry, answer| {
        leads_there(registry, new(), answer).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_registration_in_pieces_survives_whatever_happens_to_a_call() {
    let content = bytes::Bytes::from(vec![7; LARGE]);
    let new = || new("fraud", "4.0.0").with_artifact("large", content.clone());
    let register = async |_, registry: &ObjectStoreRegistry| registry.register(new()).await.map(drop);
    let faults = [Fault::Before, Fault::After, Fault::SilenceAfter];
    at_every_call(&filled().await, &faults, register, async |registry, answer| {
        leads_there(registry, new(), answer).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_move_of_an_alias_survives_whatever_happens_to_a_call() {
    let change = || {
        let change = AliasMove::new(name("fraud"), champion(), v("1.0.0"));
        change.expecting(None)
    };
    let filled = filled().await;
    let store = Arc::new(filled.fork());
    let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    registry.move_alias(AliasMove::removal(name("fraud"), champion())).await.unwrap();
    let before = registry.history(&name("fraud")).await.unwrap().len();
    let work = async |_, registry: &ObjectStoreRegistry| registry.move_alias(change()).await.map(drop);
    at_every_call(&store.fork(), &FAULTS, work, async |registry, answer| {
        let moved = registry.resolve(&name("fraud"), &select("@champion")).await.is_ok();
        assert!(moved || !matches!(answer, Some(Ok(()))), "what was acknowledged has happened");
        match registry.move_alias(change()).await {
            Ok(_) => assert!(!moved),
            Err(error) => assert_eq!((error.label(), moved), ("conflict", true), "{error}"),
        }
        assert_eq!(registry.history(&name("fraud")).await.unwrap().len(), before + 1, "it has happened once");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_survives_whatever_happens_to_a_call() {
    let filled = filled().await;
    let before = everything(&ObjectStoreRegistry::open(Arc::new(filled.fork()), "").await.unwrap()).await;
    let work = async |_, registry: &ObjectStoreRegistry| registry.checkpoint().await;
    at_every_call(&filled, &FAULTS, work, async |registry, _| {
        assert!(everything(registry).await == before);
        assert_eq!(registry.checkpoint().await.unwrap(), registry.head().await.unwrap().0);
        assert!(everything(registry).await == before);
    })
    .await;
}

/// The bytes of all that is registered stay; what is left is collected the next time; what is gone can come back.
#[tokio::test(start_paused = true)]
async fn a_collection_survives_whatever_happens_to_a_call() {
    let work = async |_, registry: &ObjectStoreRegistry| registry.collect_garbage(at_once()).await.map(drop);
    at_every_call(&filled().await, &FAULTS, work, async |registry, _| {
        let version = registry.resolve(&name("fraud"), &select("1.0.0")).await.unwrap();
        assert_eq!(registry.fetch(&version, "own").await.unwrap(), &b"1.0.0"[..]);
        assert_eq!(registry.fetch(&version, "shared").await.unwrap(), &b"shared"[..]);
        registry.collect_garbage(at_once()).await.unwrap();
        let left = registry.collect_garbage(at_once()).await.unwrap().files;
        assert_eq!(left, []);
        let _ = registry.register(new("fraud", "4.0.0").with_artifact("own", &b"2.0.0"[..])).await;
        let back = registry.resolve(&name("fraud"), &select("4.0.0")).await.unwrap();
        assert_eq!(registry.fetch(&back, "own").await.unwrap(), &b"2.0.0"[..]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn verification_raises_no_false_alarm_whatever_happens_to_a_call() {
    let work = async |_, registry: &ObjectStoreRegistry| {
        let found = registry.verify().await?;
        assert_eq!(found.faults, []);
        Ok(())
    };
    at_every_call(&filled().await, &FAULTS, work, async |_, _| {}).await;
}

/// It knows everything, or is not opened; a listing that lacks something makes no difference.
#[tokio::test(start_paused = true)]
async fn opening_survives_whatever_happens_to_a_call() {
    let filled = filled().await;
    let without_checkpoint = filled.fork();
    let files: Vec<_> = filled.list(Some(&"checkpoints".into())).try_collect().await.unwrap();
    for file in files {
        without_checkpoint
            .delete_stream(Box::pin(futures_util::stream::iter([Ok(file.location)])))
            .next()
            .await;
    }
    for filled in [filled, without_checkpoint] {
        let before = everything(&ObjectStoreRegistry::open(Arc::new(filled.fork()), "").await.unwrap()).await;
        let work = async |store: Arc<Faulty>, _: &ObjectStoreRegistry| {
            let opened = ObjectStoreRegistry::open(store.clone(), "").await?;
            store.set(|_, _| Fault::None);
            assert!(everything(&opened).await == before);
            Ok(())
        };
        at_every_call(&filled, &FAULTS, work, async |_, _| {}).await;
    }
}

/// Many calls go wrong, in whatever order: all that was acknowledged is there, once.
#[tokio::test(start_paused = true)]
async fn a_store_that_often_fails_loses_nothing() {
    for seed in 1..30_u64 {
        let store = Faulty::over(Arc::new(filled().await), |_, _| Fault::None);
        let registry = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
        let mut state = seed;
        store.set(move |_, _| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let chosen = (state >> 33) as usize % 40;
            FAULTS.get(chosen).copied().unwrap_or(Fault::None)
        });
        let mut acknowledged = Vec::new();
        for round in 0..40_u32 {
            let version = format!("{}.0.0", round + 10);
            let id = ModelId::new(name("fraud"), v(&version));
            let new = new("fraud", &version).with_artifact("own", round.to_le_bytes().to_vec());
            let _ = answered(registry.checkpoint()).await;
            let _ = answered(registry.collect_garbage(at_once())).await;
            if answered(registry.register(new)).await {
                let tag = Tagging::set(id.clone(), "round", round.to_string());
                let tagged = answered(registry.tag(tag)).await;
                acknowledged.push((id, round, tagged));
            }
        }
        store.set(|_, _| Fault::None);
        let reopened = ObjectStoreRegistry::open(store.inner.clone(), "").await.unwrap();
        assert!(acknowledged.len() > 10, "seed {seed}: {}", acknowledged.len());
        for (id, round, tagged) in acknowledged {
            let version = reopened.resolve(&id.name, &id.version.into()).await.unwrap();
            assert_eq!(reopened.fetch(&version, "own").await.unwrap(), round.to_le_bytes()[..]);
            assert!(!tagged || version.tags["round"] == round.to_string());
        }
        assert_eq!(everything(&registry).await, everything(&reopened).await);
        assert_eq!(reopened.verify().await.unwrap().faults, []);
    }
}

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

#[tokio::test(start_paused = true)]
async fn watching_asks_for_an_archive_that_is_away_once_in_an_interval() {
    let store = Faulty::new(|_, _| Fault::None);
    let watching = ObjectStoreRegistry::open(store.clone(), "").await.unwrap();
    let watching = watching.with_poll_interval(Duration::from_secs(5));
    let mut events = watching.watch();
    let other = ObjectStoreRegistry::open(store.inner.clone(), "").await.unwrap();
    for version in ["1.0.0", "2.0.0"] {
        other.register(new("fraud", version)).await.unwrap();
    }
    other.checkpoint().await.unwrap();
    assert_eq!(watching.checkpoint().await.unwrap(), 2, "what is watched for is in the archive now");
    store.set(|_, path| if path.ends_with(".events") { Fault::Before } else { Fault::None });
    let begin = tokio::time::Instant::now();
    for round in 0..3 {
        assert_eq!(events.next().await.unwrap().unwrap_err().label(), "unavailable");
        assert_eq!(begin.elapsed().as_secs(), 5 * round);
    }
    store.set(|_, _| Fault::None);
    for version in ["1.0.0", "2.0.0"] {
        assert_eq!(events.next().await.unwrap().unwrap().change.to_string(), format!("registered {version}"));
    }
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
