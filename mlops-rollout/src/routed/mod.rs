//! One model made of several.

mod call;
mod compare;
mod fallback;
mod report;
mod sample;
mod shadow;
mod variants;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::{
    Call, Instant, Model, Observer, Reason, Request, Response, Result, Role, Router, Signature, Variant,
};
use tokio::runtime::Handle;

use call::answer;
use fallback::Fallbacks;
use shadow::Shadows;
use variants::{Choice, Variants};

use crate::ShadowEvidence;

pub use compare::{
    Agreement, Comparer, Comparisons, DistributionReport, Exact, SameArgmax, SameDistribution, TopK, Within,
};
pub use fallback::Fallback;
pub use report::{Disagreement, OutputReport, OutputValues, ShadowComparison, ShadowReport};

/// A model that owns variants of itself and lets a [`Router`] choose between them.
///
/// * Variants come, go and change while requests are in flight; a request finishes on the model it began
///   on.
/// * Every response says which variant answered and why. Where the router names a variant that is not there,
///   the default answers, and [`Response::reason`] says so. A variant that is being removed costs no request.
/// * A panic of a variant is an error of that call. With [`with_fallback`](Self::with_fallback) the **default
///   answers in the place of a variant that fails**, if the deadline of the request allows; that is counted
///   ([`fallbacks`](Self::fallbacks), `rollout_fallbacks_total`), and the reason begins with `fallback:`.
/// * **Shadows** run after the answer is there, on a thread of their own unless they are given
///   [a runtime](Self::with_shadow_runtime) or [more threads](Self::with_shadow_threads): a number of them
///   [at a time](Self::with_max_shadows), a number [waiting](Self::with_shadow_queue), each with a
///   [deadline](Self::with_shadow_deadline). Copies beyond that are dropped and counted
///   (`shadow_requests_dropped_total`). They neither slow nor fail a request. Which requests they see is the
///   router's to say: [`Shadowed`](crate::Shadowed) takes a share.
/// * What shadows say is [compared](Self::with_comparer) with what callers got, output by output, and
///   [reported](Self::shadow_report).
/// * Observers learn of every prediction, failed ones too. A call whose caller gave up is reported as
///   [`Error::DeadlineExceeded`](mlops_core::Error::DeadlineExceeded): a variant that hangs must not look
///   healthy because nobody waits for it. A failure counts against its variant even if the default stepped in,
///   whose answer is then one of [`Role::Fallback`].
///
/// Without observers, fallback and shadows, a prediction takes no memory beyond the future that a [`Model`]
/// returns, and that of the variant. With them, copies of requests share their tensors, so that observing takes
/// none either.
///
/// ```
/// use mlops_core::{Model, Observer, Result, Variant};
/// use mlops_rollout::{Fallback, Routed, Sticky, TrafficSplit};
///
/// fn routed(v1: impl Model, v2: impl Model, watch: impl Observer) -> Result<impl Model> {
///     let (stable, canary) = (Variant::new("stable")?, Variant::new("canary")?);
///     let split = TrafficSplit::new(stable.clone(), [canary.clone()]);
///     split.set(&canary, 0.05)?;
///     let routed = Routed::new(stable, v1, Sticky::new(split, "digits-2")).with_variant(canary, v2)?;
///     Ok(routed.with_fallback(Fallback::OnFailure).observed_by(watch))
/// }
/// ```
pub struct Routed {
    variants: Variants,
    router: Box<dyn Router>,
    observers: Arc<Vec<Arc<dyn Observer>>>,
    fallbacks: Fallbacks,
    shadows: Shadows,
}

impl Routed {
    /// `model` is the default variant; its signature is that of the whole, for good.
    pub fn new(default: Variant, model: impl Model, router: impl Router) -> Self {
        Self {
            variants: Variants::new(default, Arc::new(model)),
            router: Box::new(router),
            observers: Arc::default(),
            fallbacks: Fallbacks::default(),
            shadows: Shadows::new(),
        }
    }

    /// Adds a variant.
    ///
    /// # Errors
    /// Those of [`insert`](Self::insert).
    pub fn with_variant(self, variant: Variant, model: impl Model) -> Result<Self> {
        self.insert(variant, model)?;
        Ok(self)
    }

    /// Reports every finished prediction to `observer`, beside those it is reported to already.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Observer) -> Self {
        let mut observers = Vec::clone(&self.observers);
        observers.push(Arc::new(observer));
        self.observers = Arc::new(observers);
        self
    }

    /// Counts what becomes of shadows for the [shadow steps](crate::Step::shadow) of a plan: how long their answers
    /// take, which fail, and, as good and bad outcomes, which agree with what callers got. So
    /// [`RateLimit::bad_outcomes`](crate::RateLimit::bad_outcomes) limits the share of disagreements.
    #[must_use]
    pub fn with_shadow_evidence(mut self, evidence: Arc<ShadowEvidence>) -> Self {
        self.shadows = self.shadows.with_evidence(Arc::clone(&evidence));
        self.observed_by(evidence)
    }

    /// When the default answers in the place of a variant that fails: [`Fallback::Never`] unless set.
    #[must_use]
    pub fn with_fallback(mut self, fallback: Fallback) -> Self {
        self.fallbacks = Fallbacks::new(fallback);
        self
    }

    /// How many shadows may run at a time: 64 unless set. 0 turns them off.
    #[must_use]
    pub fn with_max_shadows(mut self, shadows: usize) -> Self {
        self.shadows = self.shadows.with_max(shadows);
        self
    }

    /// How many copies may wait while so many run: 256 unless set. A copy that waits keeps the tensors of its
    /// request and of the answer in memory.
    #[must_use]
    pub fn with_shadow_queue(mut self, copies: usize) -> Self {
        self.shadows = self.shadows.with_queue(copies);
        self
    }

    /// How long a shadow may take, from when it begins. Unless set, as long as the request had, and 30 seconds
    /// for one without a deadline.
    #[must_use]
    pub fn with_shadow_deadline(mut self, deadline: Duration) -> Self {
        self.shadows = self.shadows.with_deadline(deadline);
        self
    }

    /// Runs shadows on so many threads of their own: one unless set. They start with the first shadow. Should
    /// the system refuse them, all copies are dropped.
    #[must_use]
    pub fn with_shadow_threads(mut self, threads: usize) -> Self {
        self.shadows = self.shadows.with_threads(threads);
        self
    }

    /// Runs shadows on that runtime, whose timer has to be enabled. A shadow that computes there takes turns
    /// with all else that runs there: to let requests alone, let it be another runtime than theirs.
    #[must_use]
    pub fn with_shadow_runtime(mut self, runtime: Handle) -> Self {
        self.shadows = self.shadows.with_runtime(runtime);
        self
    }

    /// How the outputs of a shadow are compared with those that the caller got: a [`Comparer`] for all of them,
    /// or [`Comparisons`] that know one for each. [`Exact`] unless set.
    #[must_use]
    pub fn with_comparer(mut self, comparer: impl Into<Comparisons>) -> Self {
        self.shadows = self.shadows.with_comparisons(comparer.into());
        self
    }

    /// Adds a variant, or replaces the model of one, at any time. Returns the model it had; requests in
    /// flight finish on that.
    ///
    /// # Errors
    /// [`Error::Conflict`](mlops_core::Error::Conflict) when the signature of `model` breaks callers of
    /// this one. Then nothing has changed.
    pub fn insert(&self, variant: Variant, model: impl Model) -> Result<Option<Arc<dyn Model>>> {
        self.variants.insert(variant, Arc::new(model))
    }

    /// Takes a variant away, at any time, and returns its model; requests in flight finish on it.
    ///
    /// # Errors
    /// [`Error::NotFound`](mlops_core::Error::NotFound) when there is none of the name,
    /// [`Error::Conflict`](mlops_core::Error::Conflict) for the default.
    pub fn remove(&self, variant: &Variant) -> Result<Arc<dyn Model>> {
        self.variants.remove(variant)
    }

    /// The model of a variant: to make a promoted candidate the new stable variant, for example.
    #[must_use]
    pub fn model(&self, variant: &Variant) -> Option<Arc<dyn Model>> {
        self.variants.model(variant)
    }

    /// The names of the variants, the default first.
    #[must_use]
    pub fn variants(&self) -> Vec<Variant> {
        self.variants.names()
    }

    /// How often the default was asked in the place of that variant, because it had failed.
    #[must_use]
    pub fn fallbacks(&self, variant: &Variant) -> u64 {
        self.fallbacks.count(variant)
    }

    /// How often the outputs of that shadow agreed with those that callers got.
    #[must_use]
    pub fn comparison(&self, shadow: &Variant) -> ShadowComparison {
        self.shadows.comparison(shadow)
    }

    /// All that is known of that shadow: its copies, and how far its outputs are from those that callers got.
    /// It is made now; tests of distributions take their time.
    #[must_use]
    pub fn shadow_report(&self, shadow: &Variant) -> ShadowReport {
        self.shadows.report(shadow)
    }

    /// Asks one variant, and reports what came of it. `copy` is for the observers.
    fn ask<'a>(
        &'a self,
        (variant, model, reason): (&'a Variant, &'a dyn Model, Reason),
        request: Request,
        copy: &'a Request,
        role: Role,
    ) -> impl Future<Output = Result<Response>> + Send + 'a {
        let call = Call::begin(&*self.observers, copy).of_variant(variant, role);
        let answer = answer(model, request);
        async move {
            let result = answer.await.map(|response| response.with_variant(variant.clone(), reason));
            call.finish(result.as_ref());
            result
        }
    }
}

#[async_trait]
impl Model for Routed {
    fn signature(&self) -> &Signature {
        self.variants.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let (named, shadows, reason) = self.router.route(&request.context).into_parts();
        let Choice { mut variant, model, reason, is_default } = self.variants.choose(named, reason);
        let falls_back = self.fallbacks.are_on() && !is_default;
        if self.observers.is_empty() && shadows.len() == 0 && !falls_back {
            return answer(&*model, request).await.map(|response| response.with_variant(variant, reason));
        }
        let copy = request.clone();
        let time = copy.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut result = self.ask((&variant, &*model, reason), request, &copy, Role::Primary).await;
        if let Err(error) = &result
            && falls_back
            && self.fallbacks.cover(error, &copy)
        {
            let reason = self.fallbacks.begin(&variant, error);
            let (default, model) = self.variants.default();
            result = self.ask((&default, &*model, reason), copy.clone(), &copy, Role::Fallback).await;
            variant = default;
        }
        for shadow in shadows.filter(|shadow| *shadow != variant) {
            if let Some(model) = self.variants.model(&shadow) {
                self.shadows.start(shadow, model, &copy, time, result.as_ref().ok(), &self.observers);
            }
        }
        result
    }
}

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routed").field("variants", &self.variants).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
