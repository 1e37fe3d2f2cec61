//! Where a key lies, always the same.

use mlops_core::RoutingContext;
use mlops_core::stats::sticky::{growthbook_v1, growthbook_v2, unleash_percentage, unleash_variant};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::draws::unit;

/// Which hash lays a key at a point of [0, 1), given a salt.
///
/// A key is in a share if its point is below the share, so a share that grows keeps whom it has,
/// whichever hash it is. Those of other tools are there so that a running experiment can move over
/// without moving its users: give as salt what that tool hashes beside the user. Here the default of a
/// [`TrafficSplit`](crate::TrafficSplit) lies behind all others, so let the **last** of the tool's
/// variations be the default and give the others their weights in the tool's order.
///
/// | hash | salt | points |
/// |---|---|---|
/// | [`Xxh3`](Self::Xxh3) | any | 2⁵³ |
/// | [`GrowthBookV1`](Self::GrowthBookV1), [`GrowthBookV2`](Self::GrowthBookV2) | the seed, or else the key of the experiment | 1,000 and 10,000 |
/// | [`UnleashRollout`](Self::UnleashRollout), [`UnleashVariant`](Self::UnleashVariant) | the group id | 100 and 1,000 |
///
/// ```
/// use mlops_core::{Router, RoutingContext, Variant};
/// use mlops_rollout::{Sticky, StickyHash, TrafficSplit};
///
/// // A GrowthBook experiment `my-test` of hash version 1 with weights 0.1 and 0.9.
/// let (control, treatment) = (Variant::new("control")?, Variant::new("treatment")?);
/// let split = TrafficSplit::new(treatment.clone(), [control.clone()]);
/// split.set(&control, 0.1)?;
/// let router = Sticky::new(split, "my-test").with_hash(StickyHash::GrowthBookV1);
/// let assigned = |user: &str| router.route(&RoutingContext::new().with_key(user)).variant().clone();
/// assert_eq!((assigned("2"), assigned("3")), (treatment, control)); // as GrowthBook assigns them
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StickyHash {
    /// `XXH3_64(key, seed = XXH3_64(salt))`, its upper 53 bits over 2⁵³: the finest, the fastest, and
    /// independent from salt to salt.
    #[default]
    Xxh3,
    /// GrowthBook's hash version 1: [`growthbook_v1`]. Experiments with similar names depend on each other.
    #[serde(rename = "growthbook_v1")]
    GrowthBookV1,
    /// GrowthBook's hash version 2: [`growthbook_v2`].
    #[serde(rename = "growthbook_v2")]
    GrowthBookV2,
    /// That of Unleash's gradual rollout: [`unleash_percentage`]. Shares count in whole percents.
    UnleashRollout,
    /// That of Unleash's variants: [`unleash_variant`]. Shares count in tenths of a percent.
    UnleashVariant,
}

impl StickyHash {
    /// The point of `key`, in [0, 1).
    ///
    /// Places of Unleash, whole numbers from 1 on, lie in the middle of their part: below a share of `n`
    /// places if they are not above `n`, however the share was rounded.
    ///
    /// ```
    /// use mlops_rollout::StickyHash;
    ///
    /// assert_eq!(StickyHash::GrowthBookV2.point("exp-1", "user-324892"), 0.9356);
    /// assert_eq!(StickyHash::UnleashRollout.point("exp-1", "user-324892"), 0.135); // place 14 of 100
    /// ```
    #[must_use]
    pub fn point(self, salt: &str, key: &str) -> f64 {
        let middle = |place: u32, places: u32| (f64::from(place) - 0.5) / f64::from(places);
        match self {
            Self::Xxh3 => xxh3_point(xxh3_64(salt.as_bytes()), key),
            Self::GrowthBookV1 => growthbook_v1(salt, key),
            Self::GrowthBookV2 => growthbook_v2(salt, key),
            Self::UnleashRollout => middle(unleash_percentage(salt, key), 100),
            Self::UnleashVariant => middle(unleash_variant(salt, key), 1_000),
        }
    }
}

fn xxh3_point(seed: u64, key: &str) -> f64 {
    unit(xxh3_64_with_seed(key.as_bytes(), seed))
}

/// A hash with its salt, of the routing key or of an attribute.
#[derive(Debug, Clone)]
pub(super) struct SaltedHash {
    hash: StickyHash,
    salt: Box<str>,
    /// Of the salt, for [`StickyHash::Xxh3`].
    seed: u64,
    attribute: Option<Box<str>>,
}

impl SaltedHash {
    pub(super) fn new(salt: &str) -> Self {
        Self {
            hash: StickyHash::default(),
            salt: salt.into(),
            seed: xxh3_64(salt.as_bytes()),
            attribute: None,
        }
    }

    pub(super) fn with_hash(self, hash: StickyHash) -> Self {
        Self { hash, ..self }
    }

    pub(super) fn of_attribute(self, attribute: impl Into<Box<str>>) -> Self {
        Self { attribute: Some(attribute.into()), ..self }
    }

    /// Where the caller lies; `None` for one whose key is unknown or empty, which is what callers send
    /// who have none.
    pub(super) fn point(&self, context: &RoutingContext) -> Option<f64> {
        let key = match &self.attribute {
            None => context.key(),
            Some(attribute) => context.attribute(attribute),
        };
        key.filter(|key| !key.is_empty()).map(|key| match self.hash {
            StickyHash::Xxh3 => xxh3_point(self.seed, key),
            other => other.point(&self.salt, key),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(hash: &SaltedHash, key: &str) -> f64 {
        hash.point(&RoutingContext::new().with_key(key)).unwrap()
    }

    /// Computed with python-xxhash. These points must never change: that would move users between variants.
    #[test]
    fn points_are_forever() {
        let hash = SaltedHash::new("salt");
        let points = ["user-42", "a-key-of-16-byte", "é"].map(|key| point(&hash, key));
        assert_eq!(points, [0.087_191_499_502_785_6, 0.935_127_566_011_792_7, 0.404_075_870_711_369_4]);
        assert_ne!(point(&hash, "user-42"), point(&SaltedHash::new("pepper"), "user-42"));
    }

    #[test]
    fn every_hash_is_that_of_its_salt_and_key() {
        for hash in [
            StickyHash::Xxh3,
            StickyHash::GrowthBookV1,
            StickyHash::GrowthBookV2,
            StickyHash::UnleashRollout,
            StickyHash::UnleashVariant,
        ] {
            let salted = SaltedHash::new("salt").with_hash(hash);
            assert_eq!(point(&salted, "user-42"), hash.point("salt", "user-42"), "{hash:?}");
            let by_team = salted.of_attribute("team");
            let context = RoutingContext::new().with_key("user-42");
            assert_eq!(by_team.point(&context), None);
            assert_eq!(by_team.point(&context.clone().with_attribute("team", "")), None);
            let in_team = context.with_attribute("team", "blue");
            assert_eq!(by_team.point(&in_team), Some(hash.point("salt", "blue")));
            let name = serde_json::to_string(&hash).unwrap();
            assert_eq!(serde_json::from_str::<StickyHash>(&name).unwrap(), hash);
        }
        assert_eq!(serde_json::to_string(&StickyHash::GrowthBookV2).unwrap(), r#""growthbook_v2""#);
    }

    /// A place is below a share of whole places exactly if it is not above it, whatever the share was
    /// added up of.
    #[test]
    fn places_of_unleash_are_not_lost_to_rounding() {
        for user in 0..2_000 {
            let user = user.to_string();
            let (place, point) =
                (unleash_variant("gr", &user), StickyHash::UnleashVariant.point("gr", &user));
            let mut end = 0.0;
            for tenths in 1..=10 {
                end += 0.1;
                assert_eq!(point < end, place <= tenths * 100, "{user}: {place} of {tenths}");
            }
        }
    }
}
