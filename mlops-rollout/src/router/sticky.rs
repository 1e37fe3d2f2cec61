//! The same user, the same variant.

use mlops_core::{Decision, Reason, Router, RoutingContext};

use super::draws::Draws;
use super::hash::{SaltedHash, StickyHash};
use super::split::TrafficSplit;

/// Assigns each routing key to a variant for good, by the shares of a [`TrafficSplit`].
///
/// A key lies at a point of [0, 1) that depends on nothing but salt and key: the upper 53 bits of
/// `XXH3_64(key, seed = XXH3_64(salt))`, over 2⁵³, unless another [`StickyHash`] is chosen. So every
/// replica, today and in another language, agrees, and nothing is stored. **A share that grows never
/// moves a key that is already on that variant**; one that shrinks moves only its own. Experiments with
/// different salts are independent of each other.
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
    hash: SaltedHash,
    draws: Draws,
}

impl Sticky {
    /// Assigns keys by `split`. Another `salt` for each experiment, or the same users are always first.
    #[must_use]
    pub fn new(split: TrafficSplit, salt: impl AsRef<str>) -> Self {
        Self { split, hash: SaltedHash::new(salt.as_ref()), draws: Draws::Entropy }
    }

    /// Draws for requests without a key: the same for the same seed. Keys do not depend on it.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.draws = Draws::seeded(seed);
        self
    }

    /// Lays keys as another tool does, so that its users stay where they are.
    #[must_use]
    pub fn with_hash(mut self, hash: StickyHash) -> Self {
        self.hash = self.hash.with_hash(hash);
        self
    }

    /// Assigns by this attribute in the place of the key: whole accounts or devices instead of users.
    #[must_use]
    pub fn by_attribute(mut self, attribute: impl Into<Box<str>>) -> Self {
        self.hash = self.hash.of_attribute(attribute);
        self
    }
}

impl Router for Sticky {
    fn route(&self, context: &RoutingContext) -> Decision {
        let (point, reason) = match self.hash.point(context) {
            Some(point) => (point, Reason::Sticky),
            None => (self.draws.next(), Reason::Weighted),
        };
        Decision::new(self.split.at(point).clone(), reason)
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::Variant;

    use super::*;

    #[test]
    fn an_attribute_may_stand_for_the_key() {
        let (stable, canary) = (Variant::new("stable").unwrap(), Variant::new("canary").unwrap());
        let split = TrafficSplit::new(stable, [canary.clone()]);
        split.set(&canary, 0.5).unwrap();
        let (by_key, by_team) =
            (Sticky::new(split.clone(), "salt"), Sticky::new(split, "salt").by_attribute("team"));
        for name in (0..100).map(|name| name.to_string()) {
            let user = RoutingContext::new().with_key(name.as_str());
            let team = RoutingContext::new().with_key("somebody").with_attribute("team", name.as_str());
            assert_eq!(by_key.route(&user), by_team.route(&team));
        }
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
