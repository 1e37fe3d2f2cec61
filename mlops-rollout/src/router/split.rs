//! The shares of traffic, changed while requests flow.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mlops_core::{Error, Result, Variant};

/// Which share of the traffic each variant gets. A handle: clones share the cell.
///
/// One variant is the default: it gets what the others leave. Routers read the shares on every request
/// without a lock; [`set`](Self::set) changes one at any time, and every request routed from then on knows.
///
/// ```
/// use mlops_core::{Router, RoutingContext, Variant};
/// use mlops_rollout::{TrafficSplit, Weighted};
///
/// let (stable, canary) = (Variant::new("stable")?, Variant::new("canary")?);
/// let split = TrafficSplit::new(stable.clone(), [canary.clone()]);
/// let router = Weighted::seeded(split.clone(), 7);
/// assert_eq!(router.route(&RoutingContext::new()).variant(), &stable);
///
/// split.set(&canary, 1.0)?;
/// assert_eq!(router.route(&RoutingContext::new()).variant(), &canary);
/// assert_eq!(split.share(&stable), Some(0.0));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct TrafficSplit(Arc<Cell>);

struct Cell {
    default: Variant,
    others: Box<[(Variant, AtomicShare)]>,
    writing: Mutex<()>,
}

impl TrafficSplit {
    /// All traffic goes to `default`, none to the others yet. A variant named twice counts once.
    pub fn new(default: Variant, others: impl IntoIterator<Item = Variant>) -> Self {
        let mut distinct: Vec<(Variant, AtomicShare)> = Vec::new();
        for variant in others {
            if variant != default && distinct.iter().all(|(known, _)| *known != variant) {
                distinct.push((variant, AtomicShare::zero()));
            }
        }
        Self(Arc::new(Cell { default, others: distinct.into(), writing: Mutex::new(()) }))
    }

    /// Gives `variant` this share, 0 to 1, taken from the default or given back to it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the share is no number from 0 to 1 or the default cannot set its own;
    /// [`Error::NotFound`] when the split does not know the variant; [`Error::Conflict`] when the shares
    /// of the others leave less. Then nothing has changed.
    pub fn set(&self, variant: &Variant, share: f64) -> Result<()> {
        let share = checked_share(share)?;
        let Cell { default, others, writing } = &*self.0;
        if variant == default {
            return Err(Error::invalid_input(format!(
                "the variant `{default}` is the default and gets what the others leave; set their shares"
            )));
        }
        let _one_writer = writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slot = None;
        let mut taken = 0.0;
        for (other, cell) in others {
            match other == variant {
                true => slot = Some(cell),
                false => taken += cell.load(),
            }
        }
        let Some(slot) = slot else {
            return Err(Error::not_found(format!("the variant `{variant}` in the traffic split {self:?}")));
        };
        if share + taken > 1.0 + f64::EPSILON {
            return Err(Error::conflict(format!(
                "a share of {share} for `{variant}` where the others already have {taken}"
            )));
        }
        slot.store(share);
        Ok(())
    }

    /// The share of that variant now, 0 to 1; `None` if the split does not know it.
    #[must_use]
    pub fn share(&self, variant: &Variant) -> Option<f64> {
        self.shares().find(|(known, _)| *known == variant).map(|(_, share)| share)
    }

    /// The variant that gets what the others leave.
    #[must_use]
    pub fn default_variant(&self) -> &Variant {
        &self.0.default
    }

    /// All variants and their shares now, the default first.
    pub fn shares(&self) -> impl Iterator<Item = (&Variant, f64)> {
        let others = self.0.others.iter().map(|(variant, share)| (variant, share.load()));
        let rest = 1.0 - others.clone().map(|(_, share)| share).sum::<f64>();
        std::iter::once((&self.0.default, rest.max(0.0))).chain(others)
    }

    /// The variant at `point` of [0, 1): the others lie side by side from 0 on, the default is the rest.
    ///
    /// A share that grows only takes points, so a point on that variant stays there.
    pub(super) fn at(&self, point: f64) -> &Variant {
        let mut end = 0.0;
        for (variant, share) in &self.0.others {
            end += share.load();
            if point < end {
                return variant;
            }
        }
        &self.0.default
    }
}

impl fmt::Debug for TrafficSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shares().map(|(variant, share)| (variant.as_str(), share))).finish()
    }
}

/// A share that is read without a lock.
pub(super) struct AtomicShare(AtomicU64);

impl AtomicShare {
    pub(super) fn zero() -> Self {
        Self(AtomicU64::new(0.0_f64.to_bits()))
    }

    pub(super) fn load(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Acquire))
    }

    pub(super) fn store(&self, share: f64) {
        self.0.store(share.to_bits(), Ordering::Release);
    }
}

impl fmt::Debug for AtomicShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}

/// NaN is no share.
pub(super) fn checked_share(share: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    Err(Error::invalid_input(format!("{share} is no share of the traffic; shares go from 0 to 1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(name: &str) -> Variant {
        Variant::new(name).unwrap()
    }

    #[test]
    fn shares_that_cannot_be_are_refused_and_change_nothing() {
        let split = TrafficSplit::new(variant("a"), ["b", "c", "b", "a"].map(variant));
        split.set(&variant("b"), 0.6).unwrap();
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(split.set(&variant("b"), bad), Err(Error::InvalidInput(_))), "{bad}");
        }
        assert!(matches!(split.set(&variant("a"), 0.5), Err(Error::InvalidInput(_))));
        assert!(matches!(split.set(&variant("z"), 0.1), Err(Error::NotFound { .. })));
        assert!(matches!(split.set(&variant("c"), 0.5), Err(Error::Conflict { .. })));
        split.set(&variant("c"), 0.4).unwrap();
        assert_eq!(format!("{split:?}"), r#"{"a": 0.0, "b": 0.6, "c": 0.4}"#);
    }

    #[test]
    fn the_points_of_a_variant_make_up_its_share() {
        let split = TrafficSplit::new(variant("a"), ["b", "c"].map(variant));
        split.set(&variant("b"), 0.25).unwrap();
        split.set(&variant("c"), 0.5).unwrap();
        for (point, expected) in
            [(0.0, "b"), (0.249, "b"), (0.25, "c"), (0.749, "c"), (0.75, "a"), (0.999, "a")]
        {
            assert_eq!(split.at(point).as_str(), expected, "{point}");
        }
    }
}
