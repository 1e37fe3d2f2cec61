//! Variants come, go, change, are promoted and rolled back while requests are in flight, by hand and by a controller:
//! none fails, none is misattributed, and the controller is right every time.
//!
//! `MLOPS_SOAK_SECONDS` sets how long the 1,000 releases take together at least: 3 unless set, 120 for a long run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{
    DType, Dimension, Error, Model, Request, Response, Result, Signature, Tensor, TensorSpec, Tensors,
    Variant,
};
use mlops_rollout::{
    Controller, Evidence, Fallback, Plan, Routed, Shadowed, State, Step, TrafficSplit, Weighted,
};
use tokio::time::Instant;

const ROUNDS: usize = 1_000;
const CALLERS: i64 = 16;
const THREADS: usize = 4;
/// Two candidates a round, and the model of the beginning.
const MODELS: usize = 2 * ROUNDS + 1;
const STABLE: usize = 0;
const CANARY: usize = 1;

/// Puts its stamp on the answer, beside what was asked.
#[derive(Debug)]
struct Stamped {
    signature: Signature,
    stamp: usize,
    /// Panics now and then, and fails otherwise.
    broken: bool,
    calls: AtomicU64,
}

impl Stamped {
    fn new(stamp: usize, broken: bool) -> Self {
        let spec = |name| TensorSpec::new(name, DType::Int64, [Dimension::Batch]);
        let signature = Signature::new([spec("asked")], [spec("asked"), spec("stamp")]).unwrap();
        Self { signature, stamp, broken, calls: AtomicU64::new(0) }
    }
}

const ON_PURPOSE: &str = "broken on purpose";

#[async_trait]
impl Model for Stamped {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        // So that there is a moment at which the model can be replaced under the request.
        tokio::task::yield_now().await;
        if self.broken {
            match self.calls.fetch_add(1, Ordering::Relaxed) % 16 {
                0 => panic!("{ON_PURPOSE}"),
                _ => return Err(Error::engine(ON_PURPOSE)),
            }
        }
        let outputs = Tensors::new().with("asked", request.inputs.require("asked")?.clone());
        Ok(Response::new(outputs.with("stamp", vec![self.stamp as i64])).with_id(request.id))
    }
}

/// Which model was behind which variant from when until when, on a clock that counts changes.
struct Ledger {
    clock: AtomicU64,
    spans: [Vec<[AtomicU64; 2]>; 2],
}

impl Ledger {
    fn new() -> Self {
        let spans = || (0..MODELS).map(|_| [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)]).collect();
        Self { clock: AtomicU64::new(0), spans: [spans(), spans()] }
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// To be called before the change.
    fn begins(&self, variant: usize, stamp: usize) {
        self.spans[variant][stamp][0].store(self.clock.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
    }

    /// To be called after the change.
    fn ended(&self, variant: usize, stamp: usize) {
        self.spans[variant][stamp][1].store(self.clock.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Whether the model was behind the variant at some moment of a request that took from `began` until now.
    fn allows(&self, variant: usize, stamp: usize, began: u64) -> bool {
        let now = self.now();
        let [from, until] = &self.spans[variant][stamp];
        from.load(Ordering::SeqCst) <= now && began <= until.load(Ordering::SeqCst)
    }
}

struct Service {
    routed: Routed,
    split: TrafficSplit,
    variants: [Variant; 2],
    ledger: Ledger,
    /// The model behind the stable variant, and that behind the canary.
    present: [AtomicI64; 2],
    evidence: Arc<Evidence>,
    /// How many requests of each caller were answered.
    answered: [AtomicU64; CALLERS as usize],
}

impl Service {
    fn new() -> Self {
        let evidence = Arc::new(Evidence::new());
        let variants = ["stable", "canary"].map(|name| Variant::new(name).unwrap());
        let [stable, canary] = variants.clone();
        let split = TrafficSplit::new(stable.clone(), [canary.clone()]);
        let router = Shadowed::new(Weighted::seeded(split.clone(), 1), canary, 0.1).unwrap().with_seed(2);
        let routed = Routed::new(stable, Stamped::new(0, false), router)
            .with_fallback(Fallback::OnFailure)
            .observed_by(Arc::clone(&evidence));
        let ledger = Ledger::new();
        ledger.begins(STABLE, 0);
        let present = [AtomicI64::new(0), AtomicI64::new(-1)];
        let answered = std::array::from_fn(|_| AtomicU64::new(0));
        Self { routed, split, variants, ledger, present, evidence, answered }
    }

    fn put(&self, variant: usize, stamp: usize, model: impl Model) {
        self.ledger.begins(variant, stamp);
        self.routed.insert(self.variants[variant].clone(), model).unwrap();
        self.gone(variant, stamp as i64);
    }

    fn take_canary_away(&self) {
        self.routed.remove(&self.variants[CANARY]).unwrap();
        self.gone(CANARY, -1);
    }

    fn gone(&self, variant: usize, next: i64) {
        if let Ok(before) = usize::try_from(self.present[variant].swap(next, Ordering::SeqCst)) {
            self.ledger.ended(variant, before);
        }
    }

    fn give_canary(&self, share: f64) {
        self.split.set(&self.variants[CANARY], share).unwrap();
    }

    /// A canary with half of the traffic, replaced by a second one, and then promoted or rolled back.
    ///
    /// It lasts until a point in time, not for a time: where the machine is busy, it makes up for what it lost.
    async fn release(&self, round: usize, half_time: Instant, end: Instant) {
        let [first, second] = [2 * round + 1, 2 * round + 2];
        let broken = round.is_multiple_of(5);
        self.put(CANARY, first, Stamped::new(first, false));
        self.give_canary(0.5);
        tokio::time::sleep_until(half_time).await;
        self.put(CANARY, second, Stamped::new(second, broken));
        tokio::time::sleep_until(end).await;
        if broken {
            self.give_canary(0.0);
        } else if round.is_multiple_of(2) {
            self.give_canary(1.0);
            let model = self.routed.model(&self.variants[CANARY]).unwrap();
            self.put(STABLE, second, model);
        }
        // Where it still has traffic, the default steps in.
        self.take_canary_away();
        self.give_canary(0.0);
    }

    /// A canary whose controller finds out whether it is broken.
    async fn controlled_release(&self, round: usize, end: Instant) {
        let (stamp, broken) = (round + 1, round.is_multiple_of(3));
        self.put(CANARY, stamp, Stamped::new(stamp, broken));
        let plan = Plan::new([0.2, 0.5].map(|share| Step::new(share).with_min_samples(20))).unwrap();
        let canary = &self.variants[CANARY];
        let controller =
            Controller::new(plan, self.split.clone(), canary.clone(), Arc::clone(&self.evidence)).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), controller.run(Duration::from_millis(1)));
        match ended.await.expect("requests come, so a verdict does").unwrap() {
            State::Promoted if !broken => {
                let model = self.routed.model(canary).unwrap();
                self.put(STABLE, stamp, model);
            }
            State::RolledBack { .. } if broken => {}
            other => panic!("{stamp}, broken: {broken}: {other}: {}", controller.status()),
        }
        self.take_canary_away();
        self.give_canary(0.0);
        self.requests_in_flight_are_answered().await;
        tokio::time::sleep_until(end).await;
    }

    /// Of the canary that is gone, so that nothing of it is counted for the next one of its name.
    async fn requests_in_flight_are_answered(&self) {
        let counts = || self.answered.each_ref().map(|count| count.load(Ordering::SeqCst));
        let (before, began) = (counts(), Instant::now());
        while counts().iter().zip(before).any(|(now, before)| *now == before) {
            assert!(began.elapsed() < Duration::from_secs(60), "a caller waits forever, or is gone");
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Answered {
    by: [u64; 2],
    by_fallback: u64,
}

/// Asks until told to stop. Every request must be answered, by a model that was behind the variant it names.
async fn ask(caller: i64, service: Arc<Service>, done: Arc<AtomicBool>) -> Answered {
    let mut answered = Answered::default();
    let mut number = caller;
    while !done.load(Ordering::Relaxed) {
        number += CALLERS;
        let id: Arc<str> = number.to_string().into();
        let asked = Tensor::from(vec![number]);
        let request = Request::new(Tensors::new().with("asked", asked.clone())).with_id(Arc::clone(&id));
        let began = service.ledger.now();
        let response = service.routed.predict(request).await.expect("no request fails");

        let variant = response.variant.expect("a routed response names its variant");
        let variant = service.variants.iter().position(|known| *known == variant).unwrap();
        let stamp = response.outputs.require("stamp").unwrap().as_slice::<i64>().unwrap()[0] as usize;
        assert!(service.ledger.allows(variant, stamp, began), "{stamp} answered for {variant} since {began}");
        assert_eq!(response.outputs.require("asked").unwrap(), &asked, "the answer to another request");
        assert_eq!(response.id, Some(id));
        let reason = response.reason.expect("a routed response gives a reason").to_string();
        let fallback = reason.starts_with("fallback: ");
        assert!(!fallback || variant == STABLE, "{reason}");
        answered.by[variant] += 1;
        answered.by_fallback += u64::from(fallback);
        service.answered[(number % CALLERS) as usize].fetch_add(1, Ordering::SeqCst);
    }
    answered
}

/// Two thousand broken models are no news.
fn say_nothing_of_what_is_broken_on_purpose() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        if panic.payload_as_str() != Some(ON_PURPOSE) {
            say(panic);
        }
    }));
}

/// Asks all the time while `release` is called a thousand times, with a moment by which it shall be halfway and one by
/// which it shall end.
fn under_load(service: &Arc<Service>, release: impl AsyncFn(usize, Instant, Instant)) -> Answered {
    say_nothing_of_what_is_broken_on_purpose();
    let seconds = std::env::var("MLOPS_SOAK_SECONDS").map_or(3, |seconds| seconds.parse().unwrap());
    let step = Duration::from_secs(seconds) / (2 * ROUNDS as u32);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    runtime.block_on(async {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| tokio::spawn(ask(caller, Arc::clone(service), Arc::clone(&done))))
            .collect();
        let began = Instant::now();
        let at = |steps: usize| began + steps as u32 * step;
        for round in 0..ROUNDS {
            release(round, at(2 * round + 1), at(2 * round + 2)).await;
        }
        done.store(true, Ordering::Relaxed);
        let mut all = Answered::default();
        for caller in callers {
            let Answered { by: [stable, canary], by_fallback } = caller.await.unwrap();
            all.by = [all.by[0] + stable, all.by[1] + canary];
            all.by_fallback += by_fallback;
        }
        assert!(all.by.iter().all(|count| *count > 1_000) && all.by_fallback > 100, "{all:?}");
        all
    })
}

#[test]
fn no_request_fails_and_none_is_misattributed() {
    let service = Arc::new(Service::new());
    let answered = under_load(&service, async |round, half_time, end| {
        service.release(round, half_time, end).await;
    });

    let [stable, canary] = &service.variants;
    let shadow = service.routed.shadow_report(canary);
    println!("{answered:?}; {shadow}");
    // Nothing is counted twice, nothing is lost, and a failure counts against the variant that failed.
    let seen = service.evidence.snapshot().current;
    assert_eq!(seen[stable].successes, answered.by[STABLE] - answered.by_fallback);
    assert_eq!((seen[stable].failures, seen[canary].successes), (0, answered.by[CANARY]));
    assert_eq!(
        (seen[canary].failures, service.routed.fallbacks(canary)),
        (answered.by_fallback, answered.by_fallback)
    );
    assert!(shadow.answered > 0 && shadow.copies >= shadow.answered + shadow.failed + shadow.late);
}

#[test]
fn a_controller_promotes_all_that_work_and_rolls_back_all_that_do_not() {
    let service = Arc::new(Service::new());
    let answered = under_load(&service, async |round, _, end| service.controlled_release(round, end).await);
    println!("{answered:?}");
    assert_eq!(service.routed.fallbacks(&service.variants[CANARY]), answered.by_fallback);
}
