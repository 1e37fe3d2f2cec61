//! Executors keep the contract of `Model`, whatever the engine does.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::{Duration, Instant};

use mlops_core::{
    DType, Dimension, Engine, Error, ManualClock, Model, ModelId, Request, Response, Result, Signature,
    TensorSpec, Tensors, conformance,
};
use mlops_serve::{EngineExt, OnWorkers, Place, Placement, WarmUp, Workers};

/// An engine that gives its input back, after whatever the test does in between.
struct Echo {
    signature: Signature,
    before: Box<dyn Fn(f32) + Send + Sync>,
}

impl Echo {
    fn new(before: impl Fn(f32) + Send + Sync + 'static) -> Self {
        let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]).finite();
        Self { signature: Signature::new([spec("x")], [spec("y")]).unwrap(), before: Box::new(before) }
    }
}

impl fmt::Debug for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Echo")
    }
}

impl Engine for Echo {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        let x = inputs.require("x")?;
        (self.before)(x.as_slice::<f32>()?.first().copied().unwrap_or(f32::NAN));
        Ok(Tensors::new().with("y", x.clone()))
    }
}

fn request(x: f32) -> Request {
    Request::new(Tensors::new().with("x", vec![x]))
}

fn answered(response: &Response) -> f32 {
    response.outputs.require("y").unwrap().as_slice::<f32>().unwrap()[0]
}

/// A model with one worker that is busy with request 0 until the returned sender says otherwise.
async fn busy(workers: Workers) -> (Arc<OnWorkers<Echo>>, mpsc::Sender<()>, Arc<AtomicUsize>) {
    let (release, released) = mpsc::channel::<()>();
    let (started, is_busy) = tokio::sync::oneshot::channel();
    let (released, started) = (Mutex::new(released), Mutex::new(Some(started)));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let engine = Echo::new(move |x| {
        counted.fetch_add(1, Ordering::SeqCst);
        if x == 0.0 {
            started.lock().unwrap().take().unwrap().send(()).unwrap();
            let _ = released.lock().unwrap().recv();
        }
    });
    let model = Arc::new(engine.on_workers(workers).unwrap());
    let first = Arc::clone(&model);
    tokio::spawn(async move { first.predict(request(0.0)).await });
    is_busy.await.unwrap();
    (model, release, calls)
}

/// Waits until the future has run as far as it can.
async fn polled<T>(future: &mut (impl Future<Output = T> + Unpin)) {
    std::future::poll_fn(|context| {
        assert!(std::pin::Pin::new(&mut *future).poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn both_keep_the_contract_of_a_model() {
    let inputs = Tensors::new().with("x", vec![1.0_f32, 2.0]);
    conformance::model::check(&Echo::new(|_| ()).inline(), &inputs).await;
    for workers in [1, 3] {
        let model = Echo::new(|_| ()).on_workers(Workers::new(workers)).unwrap();
        conformance::model::check(&model, &inputs).await;
    }
}

#[tokio::test]
async fn callers_on_two_workers_are_computed_at_the_same_time() {
    let both = Barrier::new(2); // passes only when two calls are inside the engine
    let engine = Echo::new(move |_| {
        both.wait();
    });
    let model = engine.on_workers(Workers::new(2)).unwrap();
    let (first, second) = tokio::join!(model.predict(request(1.0)), model.predict(request(2.0)));
    assert_eq!((answered(&first.unwrap()), answered(&second.unwrap())), (1.0, 2.0));
}

#[tokio::test]
async fn a_full_queue_is_overloaded_at_once() {
    let (model, release, calls) = busy(Workers::new(1).with_queue(1)).await;
    let mut waiting = model.predict(request(1.0));
    polled(&mut waiting).await;
    let error = model.predict(request(2.0)).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    assert!(error.to_string().contains("all 1 workers are busy, and 1 requests wait already"), "{error}");
    release.send(()).unwrap();
    assert_eq!(answered(&waiting.await.unwrap()), 1.0);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_queue_of_none_takes_what_a_free_worker_computes() {
    let (model, release, _) = busy(Workers::new(1).with_queue(0)).await;
    assert!(matches!(model.predict(request(1.0)).await, Err(Error::Overloaded { .. })));
    release.send(()).unwrap();
    let free = Instant::now();
    while let Err(error) = model.predict(request(2.0)).await {
        assert!(matches!(error, Error::Overloaded { .. }) && free.elapsed().as_secs() < 60, "{error}");
    }
}

#[tokio::test]
async fn a_caller_who_left_makes_room_and_is_not_computed() {
    let (model, release, calls) = busy(Workers::new(1).with_queue(1)).await;
    let mut left = model.predict(request(1.0));
    polled(&mut left).await;
    drop(left);
    let mut waiting = model.predict(request(2.0));
    polled(&mut waiting).await;
    release.send(()).unwrap();
    assert_eq!(answered(&waiting.await.unwrap()), 2.0);
    assert_eq!(calls.load(Ordering::SeqCst), 2, "the first and the last, not the one in between");
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_is_not_computed() {
    let (model, release, calls) = busy(Workers::new(1)).await;
    let soon = mlops_core::Instant::now() + Duration::from_millis(20);
    let mut late = model.predict(request(1.0).with_deadline(soon));
    polled(&mut late).await;
    while mlops_core::Instant::now() <= soon {
        std::thread::yield_now();
    }
    release.send(()).unwrap();
    let error = late.await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    let already = request(1.0).with_deadline(mlops_core::Instant::now());
    assert!(matches!(model.predict(already).await, Err(Error::DeadlineExceeded { .. })));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn timings_tell_waiting_from_computing() {
    let pause = Duration::from_millis(30);
    let (model, release, _) = busy(Workers::new(1)).await;
    let mut waiting = model.predict(request(1.0));
    polled(&mut waiting).await;
    std::thread::sleep(pause);
    release.send(()).unwrap();
    let timings = waiting.await.unwrap().timings;
    assert!(timings.queue >= pause, "{timings:?}");

    let model = Echo::new(move |_| std::thread::sleep(pause)).on_workers(Workers::new(1)).unwrap();
    let timings = model.predict(request(1.0)).await.unwrap().timings;
    assert!(timings.compute >= pause, "{timings:?}");
}

#[tokio::test]
async fn a_panic_is_an_error_of_that_call_and_the_worker_lives_on() {
    let engine = Echo::new(|x| assert!(x >= 0.0, "negative"));
    let model = engine.on_workers(Workers::new(1)).unwrap();
    for _ in 0..3 {
        let error = model.predict(request(-1.0)).await.unwrap_err();
        assert!(matches!(error, Error::Engine { .. }), "{error:?}");
        assert!(error.to_string().contains("panicked: negative"), "{error}");
        assert_eq!(answered(&model.predict(request(1.0)).await.unwrap()), 1.0);
    }
}

#[tokio::test]
async fn threads_have_names_and_responses_the_model() {
    let names = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&names);
    let engine =
        Echo::new(move |_| seen.lock().unwrap().push(std::thread::current().name().map(str::to_owned)));
    let id = ModelId::new("echo".parse().unwrap(), "1.2.3".parse().unwrap());
    let model = engine.on_workers(Workers::new(1).with_name("echo")).unwrap().with_id(id.clone());
    let response = model.predict(request(1.0)).await.unwrap();
    assert_eq!(response.model.as_deref(), Some(&id));
    assert_eq!(*names.lock().unwrap(), [Some("echo-0".to_owned())]);
}

#[test]
fn dropping_ends_the_threads_after_what_they_compute() {
    let (calls, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let (counted, held) = (Arc::clone(&calls), Arc::clone(&alive));
    let (started, is_busy) = mpsc::channel();
    let engine = Echo::new(move |_| {
        let _held = &held;
        started.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let model = engine.on_workers(Workers::new(2)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut left = model.predict(request(1.0));
        polled(&mut left).await;
        is_busy.recv().unwrap();
    });
    drop(model);
    assert_eq!(calls.load(Ordering::SeqCst), 1, "what was begun is finished");
    assert_eq!(Arc::strong_count(&alive), 1, "the engine is gone with its threads");
}

#[test]
fn impossible_workers_are_refused() {
    for workers in [Workers::new(0), Workers::new(1).with_name("a\0b")] {
        let error = Echo::new(|_| ()).on_workers(workers).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_warm_up_runs_on_every_worker_before_the_model_is_there() {
    let threads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&threads);
    let engine = Echo::new(move |x| {
        seen.lock().unwrap().push((std::thread::current().name().unwrap().to_owned(), x));
        std::thread::sleep(Duration::from_millis(2));
    });
    let own = Tensors::new().with("x", vec![7.0_f32]);
    let warm_up = WarmUp::batches([1, 4]).with_inputs([own]);
    let model = engine.on_workers(Workers::new(2).with_name("w").with_warm_up(warm_up)).unwrap();
    let expected = ["w-0", "w-1"].map(|name| [0.0, 0.0, 7.0].map(|x| (name.to_owned(), x))).concat();
    assert_eq!(*threads.lock().unwrap(), expected);
    assert!(model.warm_up_time() >= Duration::from_millis(12), "{:?}", model.warm_up_time());
    assert_eq!(answered(&model.predict(request(1.0)).await.unwrap()), 1.0);
}

#[test]
fn a_warm_up_that_fails_is_an_error() {
    let fails = || Echo::new(|x| assert!(x == 0.0, "only zero"));
    assert!(fails().warm_up(&WarmUp::batches([2]).with_rounds(3)).is_ok());
    let one = WarmUp::inputs([Tensors::new().with("x", vec![1.0_f32])]);
    for error in [
        fails().warm_up(&one).unwrap_err(),
        fails().on_workers(Workers::new(2).with_warm_up(one.clone())).unwrap_err(),
    ] {
        assert!(error.to_string().contains("panicked: only zero"), "{error}");
    }
    let wrong = WarmUp::inputs([Tensors::new().with("z", vec![1.0_f32])]);
    assert!(matches!(fails().warm_up(&wrong), Err(Error::InvalidInput(_))));
}

#[tokio::test]
async fn each_instance_has_a_thread_of_its_own_behind_one_queue() {
    let both = Arc::new(Barrier::new(2)); // passes only when two calls are inside the engines
    let computed = Arc::new(Mutex::new(Vec::new()));
    let engines = [1, 2].map(|instance| {
        let (both, computed) = (Arc::clone(&both), Arc::clone(&computed));
        Echo::new(move |_| {
            both.wait();
            computed.lock().unwrap().push(instance);
        })
    });
    let model = OnWorkers::instances(engines, Workers::new(1)).unwrap();
    assert_eq!(model.health().working, 2);
    let (first, second) = tokio::join!(model.predict(request(1.0)), model.predict(request(2.0)));
    assert_eq!((answered(&first.unwrap()), answered(&second.unwrap())), (1.0, 2.0));
    computed.lock().unwrap().sort_unstable();
    assert_eq!(*computed.lock().unwrap(), [1, 2], "each computed once");
    assert!(matches!(OnWorkers::<Echo>::instances([], Workers::new(1)), Err(Error::InvalidInput(_))));
}

#[tokio::test]
async fn draining_answers_what_waits() {
    let (model, release, calls) = busy(Workers::new(1)).await;
    let mut waiting = model.predict(request(1.0));
    polled(&mut waiting).await;
    let mut drained = Box::pin(model.drain());
    polled(&mut drained).await;
    assert!(matches!(model.predict(request(2.0)).await, Err(Error::Unavailable { .. })));
    release.send(()).unwrap();
    drained.await;
    assert_eq!(answered(&waiting.await.unwrap()), 1.0);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_engine_is_placed_by_what_it_costs() {
    let placed = |micros| {
        let clock = ManualClock::default();
        let time = clock.clone();
        let engine = Echo::new(move |_| time.advance(Duration::from_micros(micros)));
        engine.placed(Placement::by(WarmUp::batches([1, 2])).with_clock(clock)).unwrap()
    };
    let (fast, slow) = (placed(49), placed(50));
    assert_eq!((fast.place(), fast.cost()), (Place::Inline, Duration::from_micros(49)));
    assert_eq!((slow.place(), slow.cost()), (Place::Workers, Duration::from_micros(50)));
    let inputs = Tensors::new().with("x", vec![1.0_f32, 2.0]);
    conformance::model::check(&fast, &inputs).await;
    conformance::model::check(&slow, &inputs).await;
}

#[test]
fn an_engine_that_cannot_be_measured_is_refused() {
    let fails = || Echo::new(|x| assert!(x == 0.0, "only zero"));
    let one = WarmUp::inputs([Tensors::new().with("x", vec![1.0_f32])]);
    let error = fails().placed(Placement::by(one)).unwrap_err();
    assert!(error.to_string().contains("panicked: only zero"), "{error}");
    let error = fails().placed(Placement::by(WarmUp::batches([]))).unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
}
