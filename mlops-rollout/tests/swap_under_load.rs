//! Variants come, go, change, are promoted and rolled back while requests are in flight: none fails, none is
//! misattributed.
//!
//! `MLOPS_SOAK_SECONDS` sets how long the 1,000 releases take together: 3 unless set, 120 for a long run.
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
use mlops_rollout::{Evidence, Fallback, Routed, Shadowed, TrafficSplit, Weighted};
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
}

impl Service {
    fn new(evidence: &Arc<Evidence>) -> Self {
        let variants = ["stable", "canary"].map(|name| Variant::new(name).unwrap());
        let [stable, canary] = variants.clone();
        let split = TrafficSplit::new(stable.clone(), [canary.clone()]);
        let router = Shadowed::new(Weighted::seeded(split.clone(), 1), canary, 0.1).unwrap().with_seed(2);
        let routed = Routed::new(stable, Stamped::new(0, false), router)
            .with_fallback(Fallback::OnFailure)
            .observed_by(Arc::clone(evidence));
        let ledger = Ledger::new();
        ledger.begins(STABLE, 0);
        Self { routed, split, variants, ledger, present: [AtomicI64::new(0), AtomicI64::new(-1)] }
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

#[test]
fn no_request_fails_and_none_is_misattributed() {
    say_nothing_of_what_is_broken_on_purpose();
    let seconds = std::env::var("MLOPS_SOAK_SECONDS").map_or(3, |seconds| seconds.parse().unwrap());
    let step = Duration::from_secs(seconds) / (2 * ROUNDS as u32);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
    let evidence = Arc::new(Evidence::new());
    let service = Arc::new(Service::new(&evidence));
    let done = Arc::new(AtomicBool::new(false));

    let answered = runtime.block_on(async {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| tokio::spawn(ask(caller, Arc::clone(&service), Arc::clone(&done))))
            .collect();
        let began = Instant::now();
        let at = |steps: usize| began + steps as u32 * step;
        for round in 0..ROUNDS {
            service.release(round, at(2 * round + 1), at(2 * round + 2)).await;
        }
        done.store(true, Ordering::Relaxed);
        let mut all = Answered::default();
        for caller in callers {
            let Answered { by: [stable, canary], by_fallback } = caller.await.unwrap();
            all.by = [all.by[0] + stable, all.by[1] + canary];
            all.by_fallback += by_fallback;
        }
        all
    });

    let [stable, canary] = &service.variants;
    let shadow = service.routed.shadow_report(canary);
    println!("{answered:?}; {shadow}");
    assert!(answered.by.iter().all(|count| *count > 1_000) && answered.by_fallback > 100, "{answered:?}");
    // Nothing is counted twice, nothing is lost, and a failure counts against the variant that failed.
    let seen = evidence.snapshot().current;
    assert_eq!(seen[stable].successes, answered.by[STABLE] - answered.by_fallback);
    assert_eq!((seen[stable].failures, seen[canary].successes), (0, answered.by[CANARY]));
    assert_eq!(
        (seen[canary].failures, service.routed.fallbacks(canary)),
        (answered.by_fallback, answered.by_fallback)
    );
    assert!(shadow.answered > 0 && shadow.copies >= shadow.answered + shadow.failed + shadow.late);
}
