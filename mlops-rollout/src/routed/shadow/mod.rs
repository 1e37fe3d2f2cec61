//! Copies of requests for variants that answer nobody.

mod executor;
mod room;
mod tally;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::{Counter, counter};
use mlops_core::metrics::{SHADOW_DISAGREEMENTS_TOTAL, SHADOWS_DROPPED_TOTAL};
use mlops_core::{Call, Error, Instant, Model, Observer, Request, Response, Role, Tensors, Variant};
use tokio::runtime::Handle;

use super::call::answer;
use super::compare::Comparisons;
use super::report::{ShadowComparison, ShadowReport};
use executor::{Executor, Options, Task};
use tally::Tally;

use crate::ShadowEvidence;

/// Runs shadows apart, and keeps count of what they say.
pub(super) struct Shadows {
    executor: Executor<Copied>,
    comparisons: Arc<Comparisons>,
    evidence: Option<Arc<ShadowEvidence>>,
    deadline: Option<Duration>,
    /// Few shadows, so a list is the fastest map. It is replaced when a new one shows up.
    known: ArcSwap<Vec<Arc<Shadow>>>,
}

/// One variant as a shadow.
struct Shadow {
    variant: Variant,
    copies: AtomicU64,
    dropped: AtomicU64,
    dropped_total: Counter,
    comparisons: Arc<Comparisons>,
    evidence: Option<Arc<ShadowEvidence>>,
    tally: Mutex<Tally>,
}

/// A copy of a request on its way to a shadow.
struct Copied {
    shadow: Arc<Shadow>,
    model: Arc<dyn Model>,
    request: Request,
    /// How long the shadow may take.
    time: Duration,
    /// What the caller got.
    primary: Option<Tensors>,
    observers: Arc<Vec<Arc<dyn Observer>>>,
}

const MAX_SHADOWS: usize = 64;
const QUEUE: usize = 256;
/// For requests that have all the time in the world, so that a shadow that hangs gives its place back some day.
const ENOUGH: Duration = Duration::from_secs(30);

impl Shadows {
    pub(super) fn new() -> Self {
        let options = Options { running: MAX_SHADOWS, waiting: QUEUE, threads: 1, runtime: None };
        Self {
            executor: Executor::new(options),
            comparisons: Arc::default(),
            evidence: None,
            deadline: None,
            known: ArcSwap::default(),
        }
    }

    pub(super) fn with_max(self, shadows: usize) -> Self {
        self.with_options(|options| options.running = shadows)
    }

    pub(super) fn with_queue(self, copies: usize) -> Self {
        self.with_options(|options| options.waiting = copies)
    }

    pub(super) fn with_threads(self, threads: usize) -> Self {
        self.with_options(|options| (options.threads, options.runtime) = (threads, None))
    }

    pub(super) fn with_runtime(self, runtime: Handle) -> Self {
        self.with_options(|options| options.runtime = Some(runtime))
    }

    fn with_options(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.executor.options().clone();
        change(&mut options);
        Self { executor: Executor::new(options), ..self }
    }

    pub(super) fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    pub(super) fn with_comparisons(self, comparisons: Comparisons) -> Self {
        Self { comparisons: Arc::new(comparisons), ..self }
    }

    pub(super) fn with_evidence(self, evidence: Arc<ShadowEvidence>) -> Self {
        Self { evidence: Some(evidence), ..self }
    }

    pub(super) fn comparison(&self, shadow: &Variant) -> ShadowComparison {
        self.find(shadow).map(|known| known.tally().comparison()).unwrap_or_default()
    }

    pub(super) fn report(&self, shadow: &Variant) -> ShadowReport {
        match self.find(shadow) {
            Some(known) => known.report(),
            None => Tally::new(&self.comparisons).report(shadow.clone(), 0, 0),
        }
    }

    /// Hands a copy over, if there is room for it. The request had `time` from its beginning, if it had a deadline.
    pub(super) fn start(
        &self,
        variant: Variant,
        model: Arc<dyn Model>,
        request: &Request,
        time: Option<Duration>,
        primary: Option<&Response>,
        observers: &Arc<Vec<Arc<dyn Observer>>>,
    ) {
        let shadow = self.find(&variant).unwrap_or_else(|| self.insert(variant));
        shadow.copies.fetch_add(1, Ordering::Relaxed); // before, so that no report has more answers than copies
        let taken = self.executor.submit(|| Copied {
            shadow: Arc::clone(&shadow),
            model,
            request: request.clone(),
            time: self.deadline.or(time).unwrap_or(ENOUGH),
            primary: primary.map(|response| response.outputs.clone()),
            observers: Arc::clone(observers),
        });
        if !taken {
            shadow.copies.fetch_sub(1, Ordering::Relaxed);
            shadow.dropped.fetch_add(1, Ordering::Relaxed);
            shadow.dropped_total.increment(1);
        }
    }

    fn find(&self, variant: &Variant) -> Option<Arc<Shadow>> {
        self.known.load().iter().find(|shadow| shadow.variant == *variant).map(Arc::clone)
    }

    fn insert(&self, variant: Variant) -> Arc<Shadow> {
        let new = Arc::new(Shadow::new(variant, &self.comparisons, self.evidence.clone()));
        self.known.rcu(|known| {
            let mut all = Vec::clone(known);
            if !all.iter().any(|shadow| shadow.variant == new.variant) {
                all.push(Arc::clone(&new));
            }
            all
        });
        self.find(&new.variant).unwrap_or(new)
    }
}

impl Shadow {
    fn new(variant: Variant, comparisons: &Arc<Comparisons>, evidence: Option<Arc<ShadowEvidence>>) -> Self {
        let dropped_total = counter!(SHADOWS_DROPPED_TOTAL, "variant" => variant.to_string());
        Self {
            variant,
            copies: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            dropped_total,
            comparisons: Arc::clone(comparisons),
            evidence,
            tally: Mutex::new(Tally::new(comparisons)),
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self) -> ShadowReport {
        let tally = self.tally().clone(); // tests take their time, and the lock is wanted
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        tally.report(self.variant.clone(), count(&self.copies), count(&self.dropped))
    }
}

impl Task for Copied {
    async fn run(self) {
        let Self { shadow, model, mut request, time, primary, observers } = self;
        let comparisons = &*shadow.comparisons;
        request.deadline = Instant::now().checked_add(time);
        let call = Call::begin(&*observers, &request).of_variant(&shadow.variant, Role::Shadow);
        let result = tokio::time::timeout(time, answer(&*model, request.clone())).await;
        let result = result.unwrap_or_else(|_| Err(Error::deadline_exceeded("the shadow took too long")));
        call.finish(result.as_ref());

        let said = match (&primary, &result) {
            (Some(primary), Ok(response)) => comparisons.compare(primary, &response.outputs),
            _ => Vec::new(),
        };
        let disagreeing = said.iter().filter(|(_, agreement)| !agreement.agrees());
        for (output, _) in disagreeing {
            let (variant, output) = (shadow.variant.to_string(), (*output).to_owned());
            counter!(SHADOW_DISAGREEMENTS_TOTAL, "variant" => variant, "output" => output).increment(1);
        }
        let mut tally = shadow.tally();
        match &result {
            Ok(_) => tally.answered += 1,
            Err(Error::DeadlineExceeded { .. }) => tally.late += 1,
            Err(_) => tally.failed += 1,
        }
        if let (Some(primary), Ok(response)) = (&primary, &result) {
            let agree = tally.add(comparisons, &said, request.id.as_deref(), primary, &response.outputs);
            if let Some(evidence) = &shadow.evidence {
                evidence.compared(&shadow.variant, agree);
            }
        }
    }
}
