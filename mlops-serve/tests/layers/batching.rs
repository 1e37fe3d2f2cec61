//! Requests that wait are computed together, and none pays for another.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mlops_core::{
    Clock, DType, Dimension, Engine, Error, ManualClock, Model, ModelId, Request, Response, Result,
    RoutingContext, Signature, Tensor, TensorSpec, Tensors, conformance,
};
use mlops_serve::{Batched, Batching, CpuShares, EngineExt, Inline, ServeExt, Workers};

/// What a test does with the values of `x`.
type Before = dyn Fn(&[f32]) -> Result<()> + Send + Sync;

/// Gives `x` back as `y`, after whatever the test does in between.
struct Echo {
    signature: Signature,
    before: Box<Before>,
}

impl Echo {
    fn new(before: impl Fn(&[f32]) -> Result<()> + Send + Sync + 'static) -> Self {
        Self::of([Dimension::Batch].into(), before)
    }

    fn of(shape: Vec<Dimension>, before: impl Fn(&[f32]) -> Result<()> + Send + Sync + 'static) -> Self {
        let spec = |name| TensorSpec::new(name, DType::Fp32, shape.clone());
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
        (self.before)(x.as_slice()?)?;
        Ok(Tensors::new().with("y", x.clone()))
    }
}

/// A model whose one worker is busy with request 0 until it is released, and a log of its batches.
struct Busy {
    model: Arc<Batched<Inline<Echo>>>,
    release: mpsc::Sender<()>,
    batches: Arc<Mutex<Vec<Vec<f32>>>>,
    first: Pin<Box<dyn Future<Output = Result<Response>> + Send>>,
}

/// What a batch does to the test, besides being echoed.
type Fault = fn(&[f32]) -> Result<()>;

impl Busy {
    fn with(batching: Batching) -> Self {
        Self::failing(batching, |_| Ok(()))
    }

    fn failing(batching: Batching, fault: Fault) -> Self {
        Self::of([Dimension::Batch].into(), batching, fault)
    }

    fn of(shape: Vec<Dimension>, batching: Batching, fault: Fault) -> Self {
        let (release, released) = mpsc::channel::<()>();
        let (started, is_busy) = mpsc::channel();
        let (released, started) = (Mutex::new(released), Mutex::new(started));
        let batches = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&batches);
        let engine = Echo::of(shape.clone(), move |x| {
            log.lock().unwrap().push(x.to_vec());
            if x.first() == Some(&0.0) {
                started.lock().unwrap().send(()).unwrap();
                let _ = released.lock().unwrap().recv();
            }
            fault(x)
        });
        let model = Arc::new(engine.inline().batched(batching).unwrap());
        let ones = vec![1; shape.len()];
        let zero = Request::new(Tensors::new().with("x", Tensor::from_vec(&ones, vec![0.0_f32]).unwrap()));
        let first = started_call(&model, zero);
        is_busy.recv().unwrap();
        Self { model, release, batches, first }
    }

    /// Puts a request into the queue.
    fn call(&self, request: Request) -> Call {
        started_call(&self.model, request)
    }

    /// The batches after the first.
    fn batches(&self) -> Vec<Vec<f32>> {
        self.batches.lock().unwrap()[1..].to_vec()
    }

    async fn release(&mut self) {
        self.release.send(()).unwrap();
        (&mut self.first).await.unwrap();
    }
}

type Call = Pin<Box<dyn Future<Output = Result<Response>> + Send>>;

/// A call that has come as far as it does without waiting: its request is in the queue.
fn started_call<M: Model>(model: &Arc<M>, request: Request) -> Call {
    let model = Arc::clone(model);
    let mut call: Call = Box::pin(async move { model.predict(request).await });
    assert!(is_pending(&mut call), "the call waits");
    call
}

fn is_pending<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn request(x: f32) -> Request {
    Request::new(Tensors::new().with("x", vec![x]))
}

fn row(x: &[f32]) -> Request {
    Request::new(Tensors::new().with("x", Tensor::from_vec(&[1, x.len()], x.to_vec()).unwrap()))
}

fn answered(response: &Response) -> Vec<f32> {
    response.outputs.require("y").unwrap().as_slice::<f32>().unwrap().to_vec()
}

async fn answers(calls: impl IntoIterator<Item = Call>) -> Vec<Vec<f32>> {
    let mut answers = Vec::new();
    for call in calls {
        answers.push(answered(&call.await.unwrap()));
    }
    answers
}

#[tokio::test]
async fn it_keeps_the_contract_of_a_model() {
    let inputs = Tensors::new().with("x", vec![1.0_f32, 2.0]);
    for batching in [Batching::rows(1), Batching::rows(8), Batching::rows(64).with_workers(3)] {
        let model = Echo::new(|_| Ok(())).inline().batched(batching).unwrap();
        conformance::model::check(&model, &inputs).await;
    }
    let inputs = Tensors::new().with("x", Tensor::from_vec(&[1, 2], vec![1.0_f32, 2.0]).unwrap());
    let padded = Batching::rows(8).with_padding(0.0);
    let engine = Echo::of(vec![Dimension::Batch, Dimension::Free], |_| Ok(()));
    conformance::model::check(&engine.inline().batched(padded).unwrap(), &inputs).await;
}

#[tokio::test]
async fn a_lone_request_never_waits_for_company_and_is_not_copied() {
    let batching = Batching::rows(64).with_max_delay(Duration::from_secs(3600));
    let model = Echo::new(|_| Ok(())).inline().batched(batching).unwrap();
    let asked = request(1.0);
    let address = asked.inputs.require("x").unwrap().as_bytes().as_ptr();
    let response = model.predict(asked).await.unwrap();
    assert_eq!(response.outputs.require("y").unwrap().as_bytes().as_ptr(), address);
}

#[tokio::test]
async fn requests_gather_while_the_worker_is_busy() {
    let mut busy = Busy::with(Batching::rows(4));
    let calls: Vec<Call> = (1..=6).map(|number| busy.call(request(number as f32))).collect();
    assert_eq!(busy.model.waiting(), 6);
    busy.release().await;
    assert_eq!(answers(calls).await, (1..=6).map(|number| vec![number as f32]).collect::<Vec<_>>());
    assert_eq!(busy.batches(), [vec![1.0, 2.0, 3.0, 4.0], vec![5.0, 6.0]]);
}

#[tokio::test]
async fn requests_of_several_rows_get_their_own_back() {
    let mut busy = Busy::with(Batching::rows(5));
    let of = |x: &[f32]| Request::new(Tensors::new().with("x", x.to_vec()));
    let calls = [&[1.0, 2.0][..], &[3.0; 6], &[], &[4.0, 5.0, 6.0]].map(|x| busy.call(of(x)));
    busy.release().await;
    let rows = answers(calls).await;
    assert_eq!(rows, [vec![1.0, 2.0], vec![3.0; 6], vec![], vec![4.0, 5.0, 6.0]]);
    let together = vec![1.0, 2.0, 4.0, 5.0, 6.0];
    assert_eq!(busy.batches(), [together, vec![3.0; 6], vec![]], "too many rows and none are alone");
}

#[tokio::test]
async fn a_delay_fills_batches_while_requests_arrive() {
    let hour = Duration::from_secs(3600);
    let mut busy = Busy::with(Batching::rows(3).with_max_delay(hour));
    let calls = [busy.call(request(1.0)), busy.call(request(2.0))];
    busy.release().await;
    assert_eq!(answered(&busy.model.predict(request(3.0)).await.unwrap()), [3.0]);
    assert_eq!(answers(calls).await.concat(), [1.0, 2.0]);
    assert_eq!(busy.batches(), [[1.0, 2.0, 3.0]]);
}

/// Negative rows are bad: -1 fails, -2 panics.
fn refuses_negative(x: &[f32]) -> Result<()> {
    assert!(!x.contains(&-2.0), "minus two");
    if x.contains(&-1.0) { Err(Error::engine("minus one")) } else { Ok(()) }
}

#[tokio::test]
async fn a_bad_row_fails_alone() {
    let mut busy = Busy::failing(Batching::rows(64), refuses_negative);
    let x = [1.0, 2.0, -1.0, 3.0, 4.0, -2.0, 5.0];
    let calls = x.map(|x| busy.call(request(x)));
    busy.release().await;
    for (x, call) in x.into_iter().zip(calls) {
        match (x, call.await) {
            (-1.0, Err(error)) => assert_eq!(error.to_string(), "engine failed: minus one"),
            (-2.0, Err(error)) => assert!(error.to_string().contains("panicked: minus two"), "{error}"),
            (_, answer) => assert_eq!(answered(&answer.unwrap()), [x]),
        }
    }
    assert_eq!(answered(&busy.model.predict(request(6.0)).await.unwrap()), [6.0], "the worker lives on");
}

/// A model of two outputs too few or too many when there is company.
#[derive(Debug)]
struct Forgetful(Echo);

impl Engine for Forgetful {
    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn run(&self, inputs: &Tensors) -> Result<Tensors> {
        let outputs = self.0.run(inputs)?;
        if inputs.require("x")?.len() > 1 {
            return Ok(Tensors::new().with("y", vec![1.0_f32]));
        }
        Ok(outputs)
    }
}

#[tokio::test]
async fn outputs_with_the_wrong_number_of_rows_reach_nobody() {
    let (release, released) = mpsc::channel::<()>();
    let (started, is_busy) = mpsc::channel();
    let (released, started) = (Mutex::new(released), Mutex::new(started));
    let engine = Forgetful(Echo::new(move |x| {
        if x == [0.0] {
            started.lock().unwrap().send(()).unwrap();
            let _ = released.lock().unwrap().recv();
        }
        Ok(())
    }));
    let model = Arc::new(engine.inline().batched(Batching::rows(8)).unwrap());
    let first = started_call(&model, request(0.0));
    is_busy.recv().unwrap();
    let calls = [2.0, 3.0, 4.0].map(|x| started_call(&model, request(x)));
    release.send(()).unwrap();
    assert_eq!(answers([first].into_iter().chain(calls)).await.concat(), [0.0, 2.0, 3.0, 4.0]);
}

#[tokio::test]
async fn what_no_request_is_at_fault_for_is_answered_at_once_to_all() {
    let mut busy = Busy::failing(Batching::rows(8), |x| match x.first().copied().unwrap_or_default() {
        1.0 => Err(Error::overloaded("inside")),
        _ => Ok(()),
    });
    let calls = [1.0, 2.0, 3.0].map(|x| busy.call(request(x)));
    busy.release().await;
    for call in calls {
        let error = call.await.unwrap_err();
        assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
        assert_eq!(error.to_string(), "overloaded: inside");
    }
    assert_eq!(busy.batches().len(), 1);
}

#[tokio::test]
async fn the_more_urgent_request_goes_first() {
    let mut busy = Busy::with(Batching::rows(1));
    let calls = [(1.0, 0), (2.0, 7), (3.0, -7), (4.0, 7)]
        .map(|(x, priority)| busy.call(request(x).with_priority(priority)));
    busy.release().await;
    answers(calls).await;
    assert_eq!(busy.batches().concat(), [2.0, 4.0, 1.0, 3.0]);
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_is_not_computed() {
    let clock = ManualClock::default();
    let mut busy = Busy::with(Batching::rows(8).with_workers(Workers::new(1).with_clock(clock.clone())));
    let soon = clock.instant() + Duration::from_millis(5);
    let late = busy.call(request(1.0).with_deadline(soon));
    let patient = busy.call(request(2.0).with_deadline(soon + Duration::from_secs(1)));
    clock.advance(Duration::from_millis(5));
    let already = busy.model.predict(request(3.0).with_deadline(clock.instant())).await;
    assert!(matches!(already, Err(Error::DeadlineExceeded { .. })), "{already:?}");
    busy.release().await;
    let error = late.await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    assert!(error.to_string().contains("waited 5ms"), "{error}");
    assert_eq!(answers([patient]).await, [[2.0]]);
    assert_eq!(busy.batches(), [[2.0]]);
}

#[tokio::test]
async fn who_leaves_is_not_computed_and_makes_room() {
    let mut busy = Busy::with(Batching::rows(8).with_workers(Workers::new(1).with_queue(2)));
    let (stays, leaves) = (busy.call(request(1.0)), busy.call(request(2.0)));
    let error = busy.model.predict(request(3.0)).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    assert!(error.to_string().contains("2 requests wait already"), "{error}");
    drop(leaves);
    let comes = busy.call(request(3.0));
    busy.release().await;
    assert_eq!(answers([stays, comes]).await.concat(), [1.0, 3.0]);
    assert_eq!(busy.batches(), [[1.0, 3.0]]);
}

#[tokio::test]
async fn a_batch_holds_one_length_and_one_routing_context() {
    let shape = vec![Dimension::Batch, Dimension::Free];
    let mut busy = Busy::of(shape, Batching::rows(8), |_| Ok(()));
    let user = |request: Request| request.with_context(RoutingContext::new().with_key("user"));
    let requests =
        [row(&[1.0]), row(&[2.0, 2.0]), row(&[3.0]), user(row(&[4.0])), row(&[5.0, 5.0]), user(row(&[6.0]))];
    let calls = requests.map(|request| busy.call(request));
    busy.release().await;
    let expected = vec![vec![1.0], vec![2.0, 2.0], vec![3.0], vec![4.0], vec![5.0, 5.0], vec![6.0]];
    assert_eq!(answers(calls).await, expected);
    assert_eq!(busy.batches(), [vec![1.0, 3.0], vec![2.0, 2.0, 5.0, 5.0], vec![4.0, 6.0]]);
}

#[tokio::test]
async fn padding_puts_lengths_together_and_is_cut_off_again() {
    let shape = vec![Dimension::Batch, Dimension::Free];
    let mut busy = Busy::of(shape, Batching::rows(8).with_padding(-9.0), |_| Ok(()));
    let calls = [&[1.0][..], &[2.0, 3.0]].map(|x| busy.call(row(x)));
    busy.release().await;
    assert_eq!(answers(calls).await, [vec![1.0], vec![2.0, 3.0]]);
    assert_eq!(busy.batches(), [[1.0, -9.0, 2.0, 3.0]]);
}

#[tokio::test]
async fn lengths_too_different_to_pad_are_computed_apart() {
    let shape = vec![Dimension::Batch, Dimension::Free];
    let mut busy = Busy::of(shape, Batching::rows(16).with_padding(0.0), |_| Ok(()));
    let long = vec![1.0; 100];
    let mut calls: Vec<Call> = (0..8).map(|_| busy.call(row(&[1.0]))).collect();
    calls.push(busy.call(row(&long)));
    busy.release().await;
    let rows = answers(calls).await;
    assert_eq!(rows[8], long);
    assert!(rows[..8].iter().all(|row| *row == [1.0]));
    let computed: usize = busy.batches().iter().map(Vec::len).sum();
    assert!(computed < 500, "{computed} of 108");
}

#[tokio::test]
async fn every_request_gets_its_id_and_who_answered() {
    let id = ModelId::new("echo".parse().unwrap(), "1.2.3".parse().unwrap());
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let engine = Echo::new(move |_| {
        let _ = released.lock().unwrap().recv();
        Ok(())
    });
    let model = Arc::new(engine.inline().with_id(id.clone()).batched(Batching::rows(8)).unwrap());
    let calls = ["a", "b", "c"].map(|name| started_call(&model, request(1.0).with_id(name)));
    drop(release);
    for (name, call) in ["a", "b", "c"].into_iter().zip(calls) {
        let response = call.await.unwrap();
        assert_eq!((response.id.as_deref(), response.model.as_deref()), (Some(name), Some(&id)));
        assert!(response.timings.compute > Duration::ZERO);
    }
}

#[tokio::test]
async fn draining_answers_what_waits_and_takes_in_no_more() {
    let mut busy = Busy::with(Batching::rows(8));
    let waits = busy.call(request(1.0));
    let model = Arc::clone(&busy.model);
    let mut drained = Box::pin(async move { model.drain().await });
    assert!(is_pending(&mut drained));
    let error = busy.model.predict(request(2.0)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    busy.release().await;
    drained.await;
    assert_eq!(answers([waits]).await, [[1.0]]);
    busy.model.drain().await;
}

#[tokio::test]
async fn instances_compute_at_the_same_time() {
    let both = Arc::new(Barrier::new(2)); // passes only when two calls are inside the engines
    let engines = [0, 1].map(|_| {
        let both = Arc::clone(&both);
        let before = move |_: &[f32]| {
            both.wait();
            Ok(())
        };
        Echo::new(before).inline()
    });
    let model = Batched::instances(engines, Batching::rows(1)).unwrap();
    let (one, other) = tokio::join!(model.predict(request(1.0)), model.predict(request(2.0)));
    assert_eq!((answered(&one.unwrap()), answered(&other.unwrap())), (vec![1.0], vec![2.0]));
}

#[test]
fn impossible_options_are_refused() {
    let of = |shape: Vec<Dimension>| Echo::of(shape, |_| Ok(())).inline();
    let plain = || of(vec![Dimension::Batch]);
    let whole = Signature::new(
        [TensorSpec::new("x", DType::Int64, [Dimension::Batch, Dimension::Free])],
        [TensorSpec::new("y", DType::Int64, [Dimension::Batch])],
    );
    let whole = Echo { signature: whole.unwrap(), before: Box::new(|_| Ok(())) }.inline();
    for refused in [
        plain().batched(Batching::rows(0)),
        plain().batched(Batching::rows(8).with_preferred_sizes([4, 9])),
        plain().batched(Batching::rows(8).with_preferred_sizes([0])),
        plain().batched(Batching::rows(8).with_workers(0)),
        plain().batched(Batching::rows(8).with_workers(Workers::new(1).with_watchdog(Duration::ZERO))),
        whole.batched(Batching::rows(8).with_padding(0.5)),
        Batched::instances([], Batching::rows(8)),
        Batched::instances([plain(), of(vec![Dimension::Batch, Dimension::Free])], Batching::rows(8)),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    }
}

/// Waits, for as long as a test may take, until something is so.
fn until(what: &str, so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !so() {
        assert!(began.elapsed().as_secs() < 60, "{what} within a minute");
        std::thread::yield_now();
    }
}

const LIMIT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_stuck_call_is_given_up_and_its_thread_replaced() {
    let workers = Workers::new(1).with_name("stuck").with_watchdog(LIMIT);
    let busy = Busy::with(Batching::rows(8).with_workers(workers));
    let waits = busy.call(request(1.0));
    let error = busy.first.await.unwrap_err();
    assert!(matches!(error, Error::Engine { .. }), "{error:?}");
    assert!(error.to_string().contains("has not ended after 200ms"), "{error}");
    assert_eq!(answers([waits]).await, [[1.0]]);
    let health = busy.model.health();
    assert_eq!((health.working, health.stuck), (1, 1));
    busy.release.send(()).unwrap();
    until("the stuck thread ends", || busy.model.health().stuck == 0);
    assert_eq!(busy.model.health().working, 1);
}

#[tokio::test]
async fn with_every_worker_stuck_the_model_is_unavailable_until_one_comes_back() {
    let workers = Workers::new(1).with_watchdog(LIMIT).with_replacements(0);
    let busy = Busy::with(Batching::rows(8).with_workers(workers));
    let waits = busy.call(request(1.0));
    assert!(matches!(busy.first.await, Err(Error::Engine { .. })));
    for error in [waits.await.unwrap_err(), busy.model.predict(request(2.0)).await.unwrap_err()] {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    }
    busy.release.send(()).unwrap();
    until("the worker is back", || busy.model.health().working == 1);
    assert_eq!(answered(&busy.model.predict(request(3.0)).await.unwrap()), [3.0]);
}

#[test]
fn a_model_with_a_stuck_worker_can_be_dropped() {
    let workers = Workers::new(1).with_watchdog(LIMIT).with_replacements(0);
    let Busy { model, release, first, .. } = Busy::with(Batching::rows(8).with_workers(workers));
    drop(first);
    drop(model);
    release.send(()).unwrap();
}

#[tokio::test]
async fn a_stuck_model_gives_its_core_back() {
    let cores = CpuShares::new(1).unwrap();
    let workers = Workers::new(1).with_share(cores.share(1).unwrap());
    let other = Echo::new(|_| Ok(())).on_workers(workers.clone()).unwrap();
    let busy = Busy::with(Batching::rows(8).with_workers(workers.with_watchdog(LIMIT)));
    assert_eq!(answered(&other.predict(request(1.0)).await.unwrap()), [1.0]);
    assert!(busy.model.health().is_stuck());
    busy.release.send(()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heavy_model_cannot_starve_a_light_one() {
    let cores = CpuShares::new(1).unwrap();
    let (computing, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let engine = |takes: Duration| {
        let (computing, most) = (Arc::clone(&computing), Arc::clone(&most));
        Echo::new(move |_| {
            most.fetch_max(computing.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(takes);
            computing.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })
    };
    let workers = |count| Workers::new(count).with_share(cores.share(1).unwrap());
    let heavy = engine(Duration::from_millis(2)).inline();
    let heavy = Arc::new(heavy.batched(Batching::rows(1).with_workers(workers(4))).unwrap());
    let light = engine(Duration::ZERO).on_workers(workers(1)).unwrap();
    let enough = Arc::new(AtomicBool::new(false));
    let callers = (0..8).map(|_| {
        let (heavy, enough) = (Arc::clone(&heavy), Arc::clone(&enough));
        tokio::spawn(async move {
            while !enough.load(Ordering::SeqCst) {
                heavy.predict(request(1.0)).await.unwrap();
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    // The heavy model never pauses, so this ends only if the light one gets its turns.
    for _ in 0..20 {
        light.predict(request(2.0)).await.unwrap();
    }
    enough.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 1, "no more calls at a time than cores");
}

#[tokio::test]
async fn metrics_tell_batches_and_rejections() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let workers = Workers::new(1).with_name("digits").with_queue(3);
    let batching = Batching::rows(8).with_workers(workers);
    let mut busy = metrics::with_local_recorder(&recorder, || Busy::with(batching));
    let calls = [1.0, 2.0, 3.0].map(|x| busy.call(request(x)));
    assert!(handle.render().contains(r#"model_queue_depth{model="digits"} 3"#), "{}", handle.render());
    let refused = metrics::with_local_recorder(&recorder, || {
        busy.model.predict(request(4.0)).as_mut().poll(&mut Context::from_waker(Waker::noop()))
    });
    assert!(matches!(refused, Poll::Ready(Err(Error::Overloaded { .. }))));
    busy.release().await;
    answers(calls).await;
    let text = handle.render();
    for expected in [
        r#"model_queue_depth{model="digits"} 0"#,
        r#"model_batch_rows_sum{model="digits"} 4"#,
        r#"model_batch_rows_count{model="digits"} 2"#,
        r#"model_rejections_total{model="digits",reason="overloaded"} 1"#,
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

/// A model that waits for a timer before it answers.
#[cfg(feature = "timer")]
#[derive(Debug)]
struct Sleepy(Inline<Echo>);

#[cfg(feature = "timer")]
#[async_trait::async_trait]
impl Model for Sleepy {
    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.0.predict(request).await
    }
}

#[cfg(feature = "timer")]
#[tokio::test]
async fn a_model_that_needs_a_runtime_finds_the_one_it_was_made_in() {
    let model = Sleepy(Echo::new(|_| Ok(())).inline()).batched(Batching::rows(8)).unwrap();
    assert_eq!(answered(&model.predict(request(1.0)).await.unwrap()), [1.0]);
}

/// Many callers at once, some of whom leave: everyone who stays gets its own answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_never_mixed_up() {
    let batching = Batching::rows(7).with_workers(Workers::new(2).with_queue(64));
    let model = Arc::new(Echo::new(refuses_negative).inline().batched(batching).unwrap());
    let callers: VecDeque<_> = (0..16)
        .map(|caller| {
            let model = Arc::clone(&model);
            tokio::spawn(async move {
                for number in 0..200 {
                    let x = (caller * 1000 + number + 1) as f32;
                    let mut call = model.predict(request(x));
                    if number % 5 == 0 {
                        is_pending(&mut call); // and leaves
                    } else {
                        assert_eq!(answered(&call.await.unwrap()), [x]);
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}
