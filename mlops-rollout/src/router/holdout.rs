//! Keys that see no experiment.

use mlops_core::{Decision, Reason, Result, Router, RoutingContext, Variant};

use super::StickyHash;
use super::hash::SaltedHash;
use super::shares::checked_share;

/// Keeps a fixed share of the keys away from all that another router does: what they see is what
/// everybody would see without the experiments, so comparing with them shows what all experiments
/// together are worth.
///
/// The same keys are held out always, and still when the share is set greater. Keep the salt for as long
/// as they are to be held out, and use it for nothing else. Requests without a key, and with an empty
/// one, go on to the router: nobody can keep them apart from each other.
///
/// ```
/// use mlops_core::{Router, RoutingContext, Variant};
/// use mlops_rollout::{Holdout, Sticky, TrafficSplit};
///
/// let (stable, next) = (Variant::new("stable")?, Variant::new("next")?);
/// let split = TrafficSplit::new(stable.clone(), [next.clone()]);
/// split.set(&next, 1.0)?;
/// let router = Holdout::new(Sticky::new(split, "digits-2"), stable, 0.05, "2026")?;
///
/// let users = (0..1_000).map(|user| RoutingContext::new().with_key(format!("user-{user}")));
/// let held_out = users.filter(|user| router.route(user).reason().to_string() == "targeted: holdout").count();
/// assert!((30..70).contains(&held_out));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Holdout<R> {
    router: R,
    variant: Variant,
    share: f64,
    hash: SaltedHash,
}

impl<R: Router> Holdout<R> {
    /// A `share` of the keys, 0 to 1, gets `variant`; `router` decides on all others.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when the share is no number from 0 to 1.
    pub fn new(router: R, variant: Variant, share: f64, salt: impl AsRef<str>) -> Result<Self> {
        Ok(Self { router, variant, share: checked_share(share)?, hash: SaltedHash::new(salt.as_ref()) })
    }

    /// Lays keys by another hash.
    #[must_use]
    pub fn with_hash(mut self, hash: StickyHash) -> Self {
        self.hash = self.hash.with_hash(hash);
        self
    }

    /// Holds out by this attribute in the place of the key: whole accounts instead of users.
    #[must_use]
    pub fn by_attribute(mut self, attribute: impl Into<Box<str>>) -> Self {
        self.hash = self.hash.of_attribute(attribute);
        self
    }

    /// Whether such requests are held out.
    #[must_use]
    pub fn holds_out(&self, context: &RoutingContext) -> bool {
        self.hash.point(context).is_some_and(|point| point < self.share)
    }
}

impl<R: Router> Router for Holdout<R> {
    fn route(&self, context: &RoutingContext) -> Decision {
        if self.holds_out(context) {
            Decision::new(self.variant.clone(), Reason::targeted("holdout"))
        } else {
            self.router.route(context)
        }
    }
}
