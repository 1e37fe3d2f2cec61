//! The same user, the same variant.

use mlops_core::{Decision, Reason, Router, RoutingContext};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::draws::{Draws, unit};
use super::split::TrafficSplit;

/// Assigns each routing key to a variant for good, by the shares of a [`TrafficSplit`].
///
/// A key lies at a point of [0, 1) that depends on nothing but salt and key: the upper 53 bits of
/// `XXH3_64(key, seed = XXH3_64(salt))`, over 2⁵³. So every replica, today and in another language, agrees,
/// and nothing is stored. **A share that grows never moves a key that is already on that variant**; one
/// that shrinks moves only its own. Experiments with different salts are independent of each other.
///
/// Requests without a key are drawn by weight, one by one; so are those whose key is empty, which is what
/// a caller sends who has none.
///
/// ```
/// use mlops_core::{Router, RoutingContext, Variant};
/// use mlops_rollout::{Sticky, TrafficSplit};
///
/// let (stable, canary) = (Variant::new("stable")?, Variant::new("canary")?);
/// let split = TrafficSplit::new(stable, [canary.clone()]);
/// let router = Sticky::new(split.clone(), "digits-2.0.0");
///
/// let users = (0..1_000).map(|user| RoutingContext::new().with_key(format!("user-{user}")));
/// let users: Vec<_> = users.collect();
/// split.set(&canary, 0.05)?;
/// let early: Vec<_> = users.iter().filter(|user| router.route(user).variant() == &canary).collect();
/// split.set(&canary, 0.25)?;
/// assert!(early.iter().all(|user| router.route(user).variant() == &canary));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Sticky {
    split: TrafficSplit,
    seed: u64,
    draws: Draws,
}

impl Sticky {
    /// Assigns keys by `split`. Another `salt` for each experiment, or the same users are always first.
    #[must_use]
    pub fn new(split: TrafficSplit, salt: impl AsRef<str>) -> Self {
        Self { split, seed: xxh3_64(salt.as_ref().as_bytes()), draws: Draws::Entropy }
    }

    /// Draws for requests without a key: the same for the same seed. Keys do not depend on it.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.draws = Draws::seeded(seed);
        self
    }

    fn point(&self, key: &str) -> f64 {
        unit(xxh3_64_with_seed(key.as_bytes(), self.seed))
    }
}

impl Router for Sticky {
    fn route(&self, context: &RoutingContext) -> Decision {
        let (point, reason) = match context.key() {
            Some(key) if !key.is_empty() => (self.point(key), Reason::Sticky),
            _ => (self.draws.next(), Reason::Weighted),
        };
        Decision::new(self.split.at(point).clone(), reason)
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::Variant;

    use super::*;

    /// Computed with python-xxhash. These points must never change: that would move users between variants.
    #[test]
    fn points_are_forever() {
        let split = TrafficSplit::new(Variant::new("stable").unwrap(), []);
        let router = Sticky::new(split.clone(), "salt");
        let points = ["user-42", "a-key-of-16-byte", "é"].map(|key| router.point(key));
        assert_eq!(points, [0.087_191_499_502_785_6, 0.935_127_566_011_792_7, 0.404_075_870_711_369_4]);
        assert_ne!(router.point("user-42"), Sticky::new(split, "pepper").point("user-42"));
    }

    #[test]
    fn without_a_key_chance_decides() {
        let (stable, canary) = (Variant::new("stable").unwrap(), Variant::new("canary").unwrap());
        let split = TrafficSplit::new(stable, [canary.clone()]);
        split.set(&canary, 0.5).unwrap();
        let router = Sticky::new(split, "salt").with_seed(1);
        for context in [RoutingContext::new(), RoutingContext::new().with_key("")] {
            let decisions: Vec<_> = (0..1_000).map(|_| router.route(&context)).collect();
            assert!(decisions.iter().all(|decision| *decision.reason() == Reason::Weighted));
            let hits = decisions.iter().filter(|decision| decision.variant() == &canary).count();
            assert!((400..600).contains(&hits), "{hits}");
        }
    }
}
