//! A copy of some requests for a variant that answers nobody.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlops_core::{Decision, Result, Router, RoutingContext, Variant};

use super::draws::Draws;
use super::shares::checked_share;

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
    share: ShadowShare,
    draws: Draws,
}

/// The share of requests that a shadow sees, changed while requests flow. A handle: clones share the cell.
#[derive(Clone)]
pub struct ShadowShare(Arc<AtomicU64>);

impl<R: Router> Shadowed<R> {
    /// A `share` of the requests, 0 to 1, goes to `shadow` too.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when the share is no number from 0 to 1.
    pub fn new(router: R, shadow: Variant, share: f64) -> Result<Self> {
        Ok(Self { router, shadow, share: ShadowShare::new(share)?, draws: Draws::Entropy })
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
        self.share.set(share)
    }

    /// The share, to be read and changed where the router itself is out of reach.
    #[must_use]
    pub fn share(&self) -> ShadowShare {
        self.share.clone()
    }
}

impl ShadowShare {
    fn new(share: f64) -> Result<Self> {
        checked_share(share).map(|share| Self(Arc::new(AtomicU64::new(share.to_bits()))))
    }

    /// Changes the share, at any time.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) when the share is no number from 0 to 1.
    pub fn set(&self, share: f64) -> Result<()> {
        checked_share(share).map(|share| self.0.store(share.to_bits(), Ordering::Relaxed))
    }

    /// The share now, 0 to 1.
    #[must_use]
    pub fn now(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for ShadowShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.now().fmt(f)
    }
}

impl<R: Router> Router for Shadowed<R> {
    fn route(&self, context: &RoutingContext) -> Decision {
        let decision = self.router.route(context);
        let share = self.share.now();
        if share > 0.0 && self.draws.next() < share {
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
        let share = router.share();
        share.set(0.0).unwrap();
        assert_eq!((shadowed(&router), share.now()), (0, 0.0));
        assert!(share.set(f64::NAN).is_err() && router.set_share(-0.1).is_err());
        router.set_share(1.0).unwrap();
        assert_eq!((shadowed(&router), share.now()), (10_000, 1.0));
    }
}
