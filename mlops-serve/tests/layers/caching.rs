//! A cached model answers what it was asked before, asks its model once, and never more than it may keep.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{Shared, join_all};
use metrics_exporter_prometheus::PrometheusBuilder;
use mlops_core::reexports::bytes::Bytes;
use mlops_core::{
    Digest, Error, Model, ModelName, Request, Response, Result, RoutingContext, Tensors, Timings, conformance,
};
use mlops_serve::ServeExt;
use mlops_serve::layer::{CacheTier, Cached, Caching};
use tokio::sync::oneshot;

use crate::support::scripted::{Scripted, TIMINGS, answered, inputs, request, started};

const MEGABYTE: u64 = 1 << 20;

/// A model whose calls wait until the sender says so.
fn held(caching: Caching) -> (oneshot::Sender<()>, Arc<Scripted>, Cached<Arc<Scripted>>) {
    held_before(caching, |_| Ok(()))
}

/// A model whose calls wait until the sender says so, and then do what `script` says.
fn held_before(
    caching: Caching,
    script: fn(usize) -> Result<()>,
) -> (oneshot::Sender<()>, Arc<Scripted>, Cached<Arc<Scripted>>) {
    let (release, released) = oneshot::channel();
    let released: Shared<_> = released.map(|_| ()).shared();
    let model = Scripted::new(move |call, _| released.clone().map(move |()| script(call)));
    let (model, cached) = cached(model, caching);
    (release, model, cached)
}

fn cached(model: Scripted, caching: Caching) -> (Arc<Scripted>, Cached<Arc<Scripted>>) {
    let model = Arc::new(model);
    (Arc::clone(&model), model.cached(caching))
}

#[tokio::test]
async fn it_keeps_the_contract_of_a_model() {
    for caching in [Caching::new(MEGABYTE), Caching::new(0), Caching::new(MEGABYTE).ignoring_context()] {
        conformance::model::check(&Scripted::echo().cached(caching), &inputs(1.0)).await;
    }
}

#[tokio::test]
async fn what_was_asked_before_is_answered_without_the_model() {
    let (model, cached) = cached(Scripted::echo(), Caching::new(MEGABYTE));
    let first = cached.predict(request(7.0).with_id("a")).await.unwrap();
    let second = cached.predict(request(7.0).with_id("b")).await.unwrap();
    let other = cached.predict(request(8.0)).await.unwrap();
    assert_eq!(model.calls(), 2);
    assert_eq!([&first, &second, &other].map(answered), [7.0, 7.0, 8.0]);
    assert_eq!((first.id.as_deref(), second.id.as_deref()), (Some("a"), Some("b")));
    assert_eq!((first.timings, second.timings), (TIMINGS, Timings::default()));
    assert_eq!(cached.usage().answers, 2);
}

#[tokio::test]
async fn who_asks_counts_unless_it_is_ignored() {
    let ask = |key: &str| request(1.0).with_context(RoutingContext::new().with_key(key));
    let of_each = Caching::new(MEGABYTE);
    for (caching, calls) in [(of_each, 2), (Caching::new(MEGABYTE).ignoring_context(), 1)] {
        let (model, cached) = cached(Scripted::echo(), caching);
        for key in ["ann", "bob", "ann"] {
            cached.predict(ask(key)).await.unwrap();
        }
        assert_eq!(model.calls(), calls);
    }
}

#[tokio::test]
async fn those_who_ask_at_the_same_time_are_computed_once() {
    let (release, model, cached) = held(Caching::new(MEGABYTE));
    let mut calls: Vec<_> =
        (0..50).map(|number| cached.predict(request(1.0).with_id(number.to_string()))).collect();
    for call in &mut calls {
        started(call).await;
    }
    release.send(()).unwrap();
    for (number, response) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(response.unwrap().id.as_deref(), Some(&*number.to_string()));
    }
    assert_eq!(model.calls(), 1);
}

#[tokio::test]
async fn the_first_may_leave_without_harm_to_the_others() {
    let (release, model, cached) = held(Caching::new(MEGABYTE));
    let mut calls: Vec<_> = (0..3).map(|_| cached.predict(request(1.0))).collect();
    for call in &mut calls {
        started(call).await;
    }
    drop(calls.remove(0));
    release.send(()).unwrap();
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(model.calls(), 1, "what the first began was finished by the others");
}

#[tokio::test]
async fn the_first_may_stand_still_without_harm_to_the_others() {
    let (release, model, cached) = held(Caching::new(MEGABYTE));
    let mut still = cached.predict(request(1.0));
    started(&mut still).await;
    let mut other = cached.predict(request(1.0));
    started(&mut other).await;
    release.send(()).unwrap();
    assert_eq!(answered(&other.await.unwrap()), 1.0); // while nobody polls `still`
    assert_eq!(answered(&still.await.unwrap()), 1.0);
    assert_eq!(model.calls(), 1);
}

#[tokio::test]
async fn what_nobody_waits_for_is_given_up_and_begun_anew() {
    let (release, model, cached) = held(Caching::new(MEGABYTE));
    for _ in 0..300 {
        let mut calls = [cached.predict(request(1.0)), cached.predict(request(1.0))];
        for call in &mut calls {
            started(call).await;
        }
    }
    assert_eq!(model.calls(), 300);
    release.send(()).unwrap();
    assert_eq!(answered(&cached.predict(request(1.0)).await.unwrap()), 1.0);
}

/// What three who ask for the same at the same time are told.
async fn told(release: oneshot::Sender<()>, cached: &Cached<Arc<Scripted>>) -> Vec<Result<Response>> {
    let mut calls = [1, 2, 3].map(|_| cached.predict(request(1.0)));
    for call in &mut calls {
        started(call).await;
    }
    release.send(()).unwrap();
    join_all(calls).await
}

#[tokio::test]
async fn an_error_is_told_to_all_who_waited_and_not_kept() {
    let (release, model, cached) = held_before(Caching::new(MEGABYTE), |call| match call {
        0 => Err(Error::engine("no luck").with_source("a cause")),
        _ => Ok(()),
    });
    for result in told(release, &cached).await {
        let error = result.unwrap_err();
        assert_eq!((error.label(), error.to_string()), ("engine", "engine failed: no luck".to_owned()));
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "a cause");
    }
    assert_eq!((model.calls(), cached.usage().answers), (1, 0));
    assert_eq!(answered(&cached.predict(request(1.0)).await.unwrap()), 1.0);
}

#[tokio::test]
async fn a_panic_is_an_error_of_all_who_waited() {
    let (release, _, cached) = held_before(Caching::new(MEGABYTE), |call| {
        assert!(call > 0, "not yet");
        Ok(())
    });
    for result in told(release, &cached).await {
        assert!(result.unwrap_err().to_string().contains("panicked: not yet"));
    }
    assert!(cached.predict(request(1.0)).await.is_ok());
}

#[tokio::test]
async fn nobody_joins_what_is_less_urgent() {
    for (first, second, calls) in [(0, 1, 2), (1, 0, 1), (1, 1, 1)] {
        let (release, model, cached) = held(Caching::new(MEGABYTE));
        let mut both = [first, second].map(|priority| cached.predict(request(1.0).with_priority(priority)));
        for call in &mut both {
            started(call).await;
        }
        assert_eq!(model.calls(), calls);
        release.send(()).unwrap();
        assert!(join_all(both).await.iter().all(Result::is_ok));
    }
}

/// Each caller of a busy service has a deadline a little later than the one before.
#[tokio::test]
async fn the_deadline_of_the_first_is_not_that_of_the_others() {
    let (release, model, cached) = held_before(Caching::new(MEGABYTE), |call| match call {
        0 => Err(Error::deadline_exceeded("of the first")),
        _ => Ok(()),
    });
    let soon = Instant::now() + Duration::from_secs(60);
    let mut calls: Vec<_> = (0..10)
        .map(|number| cached.predict(request(1.0).with_deadline(soon + Duration::from_secs(number))))
        .collect();
    for call in &mut calls {
        started(call).await;
    }
    assert_eq!(model.calls(), 1, "they share one computation all the same");
    release.send(()).unwrap();
    let mut results = join_all(calls).await.into_iter();
    assert!(matches!(results.next().unwrap(), Err(Error::DeadlineExceeded { .. })));
    assert!(results.all(|result| result.is_ok()));
    assert_eq!(model.calls(), 2);
}

#[tokio::test]
async fn who_keeps_joining_those_in_a_hurry_begins_an_own_computation() {
    let gates: Arc<Mutex<Vec<oneshot::Sender<()>>>> = Arc::default();
    let held = Arc::clone(&gates);
    let model = Scripted::new(move |_, request| {
        let (open, opened) = oneshot::channel();
        held.lock().unwrap().push(open);
        async move {
            let _ = opened.await;
            request.deadline.map_or(Ok(()), |_| Err(Error::deadline_exceeded("of one in a hurry")))
        }
    });
    let cached = model.cached(Caching::new(MEGABYTE));
    let hurried = || cached.predict(request(1.0).with_deadline(Instant::now() + Duration::from_secs(60)));
    let mut first = hurried();
    started(&mut first).await;
    let mut patient = cached.predict(request(1.0));
    for _ in 0..3 {
        started(&mut patient).await;
        gates.lock().unwrap().pop().unwrap().send(()).unwrap();
        assert!(first.await.is_err());
        first = hurried(); // comes just before the patient one asks again
        started(&mut first).await;
    }
    started(&mut patient).await;
    for gate in gates.lock().unwrap().drain(..) {
        let _ = gate.send(());
    }
    assert_eq!(answered(&patient.await.unwrap()), 1.0);
}

#[tokio::test]
async fn who_has_no_time_left_does_not_ask_again() {
    let late = |_: usize| Err(Error::deadline_exceeded("all of us"));
    let (release, model, cached) = held_before(Caching::new(MEGABYTE), late);
    let now = Instant::now();
    let mut calls = [1, 2].map(|_| cached.predict(request(1.0).with_deadline(now)));
    for call in &mut calls {
        started(call).await;
    }
    release.send(()).unwrap();
    assert!(join_all(calls).await.iter().all(Result::is_err));
    assert_eq!(model.calls(), 1);
}

#[tokio::test]
async fn what_was_invalidated_is_asked_again_even_if_it_was_under_way() {
    let (release, model, cached) = held(Caching::new(MEGABYTE));
    let mut before = cached.predict(request(1.0));
    started(&mut before).await;
    cached.invalidate_all();
    let mut after = cached.predict(request(1.0));
    started(&mut after).await;
    assert_eq!(model.calls(), 2);
    release.send(()).unwrap();
    assert!(before.await.is_ok() && after.await.is_ok());
    assert!(cached.predict(request(1.0)).await.is_ok());
    assert_eq!(model.calls(), 2);
    cached.invalidate_all();
    assert!(cached.predict(request(1.0)).await.is_ok());
    assert_eq!(model.calls(), 3);
}

#[tokio::test]
async fn it_keeps_no_more_bytes_than_it_may() {
    let capacity = 100_000;
    let (model, cached) = cached(Scripted::echo(), Caching::new(capacity));
    for number in 0..2000 {
        let x = vec![number as f32; 1 + number % 700];
        cached.predict(Request::new(Tensors::new().with("x", x))).await.unwrap();
    }
    let usage = cached.usage();
    assert!(usage.bytes <= capacity && usage.answers > 10, "{usage:?}");
    assert_eq!(model.calls(), 2000);

    cached.predict(Request::new(Tensors::new().with("x", vec![0.5_f32; 50_000]))).await.unwrap();
    assert!(cached.usage().bytes <= capacity, "an answer larger than all is not kept");
}

#[tokio::test]
async fn answers_live_no_longer_than_they_may() {
    let time = Duration::from_millis(20);
    let ways: [fn(Caching, Duration) -> Caching; 2] =
        [Caching::with_time_to_live, Caching::with_time_to_idle];
    for (way, idle) in ways.into_iter().zip([false, true]) {
        let (model, cached) = cached(Scripted::echo(), way(Caching::new(MEGABYTE), time));
        let began = Instant::now();
        cached.predict(request(1.0)).await.unwrap();
        while model.calls() == 1 {
            // Being asked keeps what may be idle, so that is left alone meanwhile.
            let until = Instant::now() + if idle { 2 * time } else { Duration::ZERO };
            while Instant::now() < until {
                tokio::task::yield_now().await;
            }
            cached.predict(request(1.0)).await.unwrap();
            assert!(began.elapsed().as_secs() < 60, "it lives on");
        }
        assert!(began.elapsed() >= time, "it died early");
    }
    let forever = Caching::new(MEGABYTE).with_time_to_live(Duration::MAX).with_time_to_idle(Duration::MAX);
    assert!(Scripted::echo().cached(forever).predict(request(1.0)).await.is_ok());
}

#[tokio::test]
async fn hits_and_misses_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let caching = || Caching::new(MEGABYTE).with_name(ModelName::new("digits").unwrap());
    let (release, _, cached) = metrics::with_local_recorder(&recorder, || held(caching()));
    let mut both = [cached.predict(request(1.0)), cached.predict(request(1.0))];
    for call in &mut both {
        started(call).await;
    }
    release.send(()).unwrap();
    join_all(both).await;
    for _ in 0..3 {
        cached.predict(request(1.0)).await.unwrap();
    }
    let metrics = metrics.render();
    for expected in [
        r#"model_cache_misses_total{model="digits"} 1"#,
        r#"model_cache_hits_total{model="digits",from="flight"} 1"#,
        r#"model_cache_hits_total{model="digits",from="memory"} 3"#,
    ] {
        assert!(metrics.contains(expected), "{expected} is not in\n{metrics}");
    }
}

/// A value and its time to live.
type Kept = (Bytes, Option<Duration>);

/// A tier in memory that can be away, hang, or hold anything.
#[derive(Debug, Default)]
struct Store {
    values: Mutex<HashMap<[u8; 32], Kept>>,
    accesses: AtomicUsize,
    away: AtomicBool,
    hangs: AtomicBool,
}

#[derive(Debug, Clone)]
struct Tier(Arc<Store>);

impl Tier {
    async fn access(&self) -> Result<()> {
        self.0.accesses.fetch_add(1, Ordering::SeqCst);
        if self.0.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.0.away.load(Ordering::SeqCst) { Err(Error::unavailable("the store")) } else { Ok(()) }
    }
}

#[async_trait]
impl CacheTier for Tier {
    async fn get(&self, key: &[u8; 32]) -> Result<Option<Bytes>> {
        self.access().await?;
        Ok(self.0.values.lock().unwrap().get(key).map(|(value, _)| value.clone()))
    }

    async fn set(&self, key: &[u8; 32], value: Bytes, time_to_live: Option<Duration>) -> Result<()> {
        self.access().await?;
        self.0.values.lock().unwrap().insert(*key, (value, time_to_live));
        Ok(())
    }
}

fn tiered(store: &Arc<Store>, model: &str) -> (Arc<Scripted>, Cached<Arc<Scripted>>) {
    let caching = Caching::new(MEGABYTE).with_time_to_live(Duration::from_secs(60));
    cached(Scripted::echo(), caching.with_tier(Tier(Arc::clone(store)), Digest::of(model.as_bytes())))
}

#[tokio::test]
async fn replicas_share_answers_of_the_same_model_only() {
    let store = Arc::new(Store::default());
    let (one, one_cached) = tiered(&store, "v1");
    let (other, other_cached) = tiered(&store, "v1");
    let (next, next_cached) = tiered(&store, "v2");
    one_cached.predict(request(5.0).with_id("a")).await.unwrap();
    let shared = other_cached.predict(request(5.0).with_id("b")).await.unwrap();
    next_cached.predict(request(5.0)).await.unwrap();
    assert_eq!(
        (answered(&shared), shared.id.as_deref(), shared.timings),
        (5.0, Some("b"), Timings::default())
    );
    assert_eq!((one.calls(), other.calls(), next.calls()), (1, 0, 1));
    let times: Vec<_> = store.values.lock().unwrap().values().map(|(_, time)| *time).collect();
    assert_eq!(times, [Some(Duration::from_secs(60)); 2]);
    conformance::model::check(&other_cached, &inputs(5.0)).await;
}

#[tokio::test]
async fn a_tier_that_is_away_fails_nothing_and_is_left_alone_for_a_while() {
    let store = Arc::new(Store::default());
    store.away.store(true, Ordering::SeqCst);
    let (model, cached) = tiered(&store, "v1");
    for x in 0..5_u8 {
        assert_eq!(answered(&cached.predict(request(x.into())).await.unwrap()), f32::from(x));
    }
    assert_eq!((model.calls(), store.accesses.load(Ordering::SeqCst)), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_hangs_is_waited_for_no_longer_than_agreed() {
    let store = Arc::new(Store::default());
    store.hangs.store(true, Ordering::SeqCst);
    let (_, cached) = tiered(&store, "v1");
    let began = tokio::time::Instant::now();
    for x in 0..5_u8 {
        assert!(cached.predict(request(x.into())).await.is_ok());
    }
    assert!(began.elapsed() <= Duration::from_millis(21), "{:?}", began.elapsed());
}

#[tokio::test]
async fn nonsense_in_a_tier_is_a_miss_and_is_replaced() {
    let store = Arc::new(Store::default());
    tiered(&store, "v1").1.predict(request(5.0)).await.unwrap();
    let good = store.values.lock().unwrap().values().next().unwrap().0.clone();
    let mut other_type = good.to_vec();
    let name = other_type.windows(5).position(|bytes| bytes == b"\x01\0\0\0y").unwrap();
    other_type[name + 5] = 3; // UINT32 has elements of four bytes, too, but does not fit the signature
    for nonsense in [Bytes::new(), good.slice(..good.len() - 1), other_type.into(), vec![0xff; 4096].into()] {
        store.values.lock().unwrap().values_mut().next().unwrap().0 = nonsense;
        let (model, cached) = tiered(&store, "v1");
        assert_eq!(answered(&cached.predict(request(5.0)).await.unwrap()), 5.0);
        assert_eq!(model.calls(), 1);
        assert_eq!(store.values.lock().unwrap().values().next().unwrap().0, good);
    }
}

/// Many threads ask for few things, and every third caller leaves at some point.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_every_caller_who_stays_gets_the_right_answer() {
    let model = Scripted::new(|call, _| async move {
        for _ in 0..call % 7 {
            tokio::task::yield_now().await;
        }
        if call % 11 == 0 { Err(Error::engine("now and then")) } else { Ok(()) }
    });
    // Nothing is kept, so that everything is computed all the time.
    let (model, cached) = cached(model, Caching::new(0));
    let (cached, failures) = (Arc::new(cached), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..64_usize)
        .map(|caller| {
            let (cached, failures) = (Arc::clone(&cached), Arc::clone(&failures));
            tokio::spawn(async move {
                for round in 0..300 {
                    let x = ((caller + round) % 8) as f32;
                    let mut call = cached.predict(request(x));
                    if (caller + round) % 3 == 0 {
                        for _ in 0..round % 4 {
                            if (&mut call).now_or_never().is_some() {
                                break;
                            }
                            tokio::task::yield_now().await;
                        }
                        continue;
                    }
                    match call.await {
                        Ok(response) => assert_eq!(answered(&response), x),
                        Err(error) => {
                            assert_eq!(error.to_string(), "engine failed: now and then");
                            failures.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(failures.load(Ordering::SeqCst) > 0 && model.calls() < 64 * 300);
}
