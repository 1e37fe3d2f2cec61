//! The shares of traffic, changed while requests flow.

use std::fmt;
use std::sync::Arc;

use mlops_core::{Error, Result, Variant};
use smallvec::SmallVec;

use super::shares::{Shares, checked_share};

/// Which share of the traffic each variant gets. A handle: clones share the cell.
///
/// One variant is the default: it gets what the others leave. Routers read the shares on every request
/// without a lock; [`set`](Self::set) changes one at any time and [`set_all`](Self::set_all) several at
/// once, and every request routed from then on knows. Nobody sees a half-made change.
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
pub struct TrafficSplit(Arc<Split>);

struct Split {
    default: Variant,
    others: Box<[Variant]>,
    shares: Shares,
}

/// How far the sum of shares may lie above 1 because they were rounded.
const ROUNDING: f64 = 1e-9;

impl TrafficSplit {
    /// All traffic goes to `default`, none to the others yet. A variant named twice counts once.
    pub fn new(default: Variant, others: impl IntoIterator<Item = Variant>) -> Self {
        let mut distinct: Vec<Variant> = Vec::new();
        for variant in others {
            if variant != default && !distinct.contains(&variant) {
                distinct.push(variant);
            }
        }
        let shares = Shares::zero(distinct.len());
        Self(Arc::new(Split { default, others: distinct.into(), shares }))
    }

    /// Gives `variant` this share, 0 to 1, taken from the default or given back to it.
    ///
    /// # Errors
    /// Those of [`set_all`](Self::set_all).
    pub fn set(&self, variant: &Variant, share: f64) -> Result<()> {
        self.set_all([(variant, share)])
    }

    /// Gives several variants their shares as one change: no request is routed by a part of it. The
    /// variants that are not named keep their shares; the default gives or takes the difference.
    ///
    /// ```
    /// use mlops_core::Variant;
    /// use mlops_rollout::TrafficSplit;
    ///
    /// let [stable, b, c] = ["stable", "b", "c"].map(Variant::new);
    /// let (stable, b, c) = (stable?, b?, c?);
    /// let split = TrafficSplit::new(stable, [b.clone(), c.clone()]);
    /// split.set_all([(&b, 0.7), (&c, 0.2)])?;
    /// split.set_all([(&b, 0.2), (&c, 0.7)])?; // one after the other would ask for 1.4 in between
    /// assert_eq!((split.share(&b), split.share(&c)), (Some(0.2), Some(0.7)));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when a share is no number from 0 to 1 or the default cannot set its own;
    /// [`Error::NotFound`] when the split does not know a variant; [`Error::Conflict`] when the shares make
    /// more than 1. Then nothing has changed.
    pub fn set_all<'a>(&self, shares: impl IntoIterator<Item = (&'a Variant, f64)>) -> Result<()> {
        let mut wanted: SmallVec<[(usize, f64); 4]> = SmallVec::new();
        for (variant, share) in shares {
            wanted.push((self.place_of(variant)?, checked_share(share)?));
        }
        self.0.shares.change(|shares| {
            for (place, share) in wanted {
                if let Some(slot) = shares.get_mut(place) {
                    *slot = share;
                }
            }
            if shares.iter().sum::<f64>() <= 1.0 + ROUNDING {
                return Ok(());
            }
            let asked: Vec<_> = self.0.others.iter().map(Variant::as_str).zip(shares.iter()).collect();
            Err(Error::conflict(format!("the shares {asked:?} make more than 1; lower one of them")))
        })
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

    /// All variants and their shares as of one moment, the default first.
    pub fn shares(&self) -> impl Iterator<Item = (&Variant, f64)> {
        let shares: SmallVec<[f64; 4]> = self.0.shares.read(|shares| shares.collect());
        let rest = 1.0 - shares.iter().sum::<f64>();
        let others = self.0.others.iter().zip(shares);
        std::iter::once((&self.0.default, rest.max(0.0))).chain(others)
    }

    /// The variant at `point` of [0, 1): the others lie side by side from 0 on, the default is the rest.
    ///
    /// A share that grows only takes points, so a point on that variant stays there.
    pub(super) fn at(&self, point: f64) -> &Variant {
        let Split { default, others, shares } = &*self.0;
        shares.place(point).and_then(|place| others.get(place)).unwrap_or(default)
    }

    fn place_of(&self, variant: &Variant) -> Result<usize> {
        let Split { default, others, .. } = &*self.0;
        if variant == default {
            return Err(Error::invalid_input(format!(
                "the variant `{default}` is the default and gets what the others leave; set their shares"
            )));
        }
        let place = others.iter().position(|other| other == variant);
        place
            .ok_or_else(|| Error::not_found(format!("the variant `{variant}` in the traffic split {self:?}")))
    }
}

impl fmt::Debug for TrafficSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shares().map(|(variant, share)| (variant.as_str(), share))).finish()
    }
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
    fn several_shares_change_at_once_or_not_at_all() {
        let split = TrafficSplit::new(variant("a"), ["b", "c", "d"].map(variant));
        let [b, c, d] = ["b", "c", "d"].map(variant);
        split.set_all([(&b, 0.7), (&c, 0.2), (&d, 0.1)]).unwrap(); // 1 but for rounding
        split.set_all([(&b, 0.2), (&c, 0.7)]).unwrap();
        let before = format!("{split:?}");
        assert!(before.contains(r#""b": 0.2, "c": 0.7, "d": 0.1"#), "{before}");
        for (bad, is_expected) in [
            ([(&b, 0.5), (&c, 0.7)], (|error| matches!(error, Error::Conflict { .. })) as fn(&Error) -> bool),
            ([(&b, 0.1), (&variant("z"), 0.1)], |error| matches!(error, Error::NotFound { .. })),
            ([(&b, 0.1), (&variant("a"), 0.1)], |error| matches!(error, Error::InvalidInput(_))),
            ([(&b, 0.1), (&c, f64::NAN)], |error| matches!(error, Error::InvalidInput(_))),
        ] {
            let error = split.set_all(bad).unwrap_err();
            assert!(is_expected(&error), "{error:?}");
            assert_eq!(format!("{split:?}"), before);
        }
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
