//! One model made of several.

mod call;
mod compare;
mod shadow;
mod variants;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{Call, Model, Observer, Request, Response, Result, Role, Router, Signature, Variant};

use call::answer;
use shadow::Shadows;
use variants::Variants;

pub use compare::{Comparer, Exact, SameArgmax, ShadowComparison, Within};

/// A model that owns variants of itself and lets a [`Router`] choose between them.
///
/// * Variants come, go and change while requests are in flight; a request finishes on the model it began
///   on.
/// * Where the router names a variant that is not there, the default answers, and
///   [`Response::reason`] says so. A variant that is being removed costs no request.
/// * **Shadows** run after the answer is on its way, on tasks of their own, at most
///   [`with_max_shadows`](Self::with_max_shadows) at a time; copies beyond that are dropped and counted
///   (`shadow_requests_dropped_total`). They neither slow nor fail a request. They have as much time as the
///   request had.
/// * Observers learn of every prediction, failed ones too. A call whose caller gave up is reported as
///   [`Error::DeadlineExceeded`](mlops_core::Error::DeadlineExceeded): a variant that hangs must not look
///   healthy because nobody waits for it. A panic of a variant is an error of that call.
///
/// ```
/// use mlops_core::{Call, Model, Observer, Result, Variant};
/// use mlops_rollout::{Routed, Sticky, TrafficSplit};
///
/// fn routed(v1: impl Model, v2: impl Model, watch: impl Observer) -> Result<impl Model> {
///     let (stable, canary) = (Variant::new("stable")?, Variant::new("canary")?);
///     let split = TrafficSplit::new(stable.clone(), [canary.clone()]);
///     split.set(&canary, 0.05)?;
///     Ok(Routed::new(stable, v1, Sticky::new(split, "digits-2")).with_variant(canary, v2)?.observed_by(watch))
/// }
/// ```
pub struct Routed {
    variants: Variants,
    router: Box<dyn Router>,
    observers: Arc<Vec<Arc<dyn Observer>>>,
    shadows: Shadows,
}

impl Routed {
    /// `model` is the default variant; its signature is that of the whole, for good.
    pub fn new(default: Variant, model: impl Model, router: impl Router) -> Self {
        Self {
            variants: Variants::new(default, Arc::new(model)),
            router: Box::new(router),
            observers: Arc::default(),
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

    /// How many shadows may run at a time: 64 unless set. 0 turns them off.
    #[must_use]
    pub fn with_max_shadows(mut self, shadows: usize) -> Self {
        self.shadows = self.shadows.with_max(shadows);
        self
    }

    /// How the outputs of a shadow are compared with those that the caller got: [`Exact`] unless set.
    #[must_use]
    pub fn with_comparer(mut self, comparer: impl Comparer) -> Self {
        self.shadows = self.shadows.with_comparer(comparer);
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

    /// How often the outputs of that shadow agreed with those that callers got.
    #[must_use]
    pub fn comparison(&self, shadow: &Variant) -> ShadowComparison {
        self.shadows.comparison(shadow)
    }
}

#[async_trait]
impl Model for Routed {
    fn signature(&self) -> &Signature {
        self.variants.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        let (variant, shadows, reason) = self.router.route(&request.context).into_parts();
        let (variant, model, reason) = self.variants.choose(variant, reason);
        if self.observers.is_empty() && shadows.len() == 0 {
            return answer(&*model, request).await.map(|response| response.with_variant(variant, reason));
        }
        let copy = request.clone();
        let call = Call::begin(&*self.observers, &copy).of_variant(&variant, Role::Primary);
        let result = answer(&*model, request).await;
        let result = result.map(|response| response.with_variant(variant.clone(), reason));
        let elapsed = call.finish(result.as_ref());
        for shadow in shadows.filter(|shadow| *shadow != variant) {
            if let Some(model) = self.variants.model(&shadow) {
                self.shadows.start(shadow, model, &copy, elapsed, result.as_ref().ok(), &self.observers);
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
