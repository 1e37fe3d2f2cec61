//! A copy of some requests for a variant that answers nobody.

use mlops_core::{Decision, Result, Router, RoutingContext, Variant};

use super::draws::Draws;
use super::split::{AtomicShare, checked_share};

/// Lets a shadow see a share of the requests that another router decides.
///
/// ```
/// use mlops_core::{Decision, Reason, Router, RoutingContext, Variant};
/// use mlops_rollout::Shadowed;
///
/// let (stable, next) = (Variant::new("stable")?, Variant::new("next")?);
/// let all_stable = {
///     let stable = stable.clone();
///     move |_: &RoutingContext| Decision::new(stable.clone(), Reason::Default)
/// };
/// let router = Shadowed::new(all_stable, next.clone(), 1.0)?;
/// let decision = router.route(&RoutingContext::new());
/// assert_eq!((decision.variant(), decision.shadows()), (&stable, &[next][..]));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Shadowed<R> {
    router: R,
    shadow: Variant,
    share: AtomicShare,
    draws: Draws,
}

impl<R: Router> Shadowed<R> {
    /// A `share` of the requests, 0 to 1, goes to `shadow` too.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when the share is no number from 0 to 1.
    pub fn new(router: R, shadow: Variant, share: f64) -> Result<Self> {
        let shadowed = Self { router, shadow, share: AtomicShare::zero(), draws: Draws::Entropy };
        shadowed.set_share(share)?;
        Ok(shadowed)
    }

    /// Draws the same for the same seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.draws = Draws::seeded(seed);
        self
    }

    /// Changes the share, at any time.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when the share is no number from 0 to 1.
    pub fn set_share(&self, share: f64) -> Result<()> {
        checked_share(share).map(|share| self.share.store(share))
    }
}

impl<R: Router> Router for Shadowed<R> {
    fn route(&self, context: &RoutingContext) -> Decision {
        let decision = self.router.route(context);
        if self.draws.next() < self.share.load() {
            decision.with_shadow(self.shadow.clone())
        } else {
            decision
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TrafficSplit, Weighted};

    #[test]
    fn the_share_is_kept_and_changes() {
        let (stable, next) = (Variant::new("stable").unwrap(), Variant::new("next").unwrap());
        let router = Weighted::seeded(TrafficSplit::new(stable, []), 1);
        assert!(
            Shadowed::new(Weighted::seeded(TrafficSplit::new(next.clone(), []), 1), next.clone(), 2.0)
                .is_err()
        );
        let router = Shadowed::new(router, next, 0.1).unwrap().with_seed(3);
        let shadowed = |router: &Shadowed<Weighted>| {
            (0..10_000).filter(|_| !router.route(&RoutingContext::new()).shadows().is_empty()).count()
        };
        assert!((900..1_100).contains(&shadowed(&router)));
        router.set_share(0.0).unwrap();
        assert_eq!(shadowed(&router), 0);
    }
}
