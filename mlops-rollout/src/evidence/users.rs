//! Who was served, in fixed memory.

use serde::{Deserialize, Serialize};

use super::lowest::{Lowest, SharedLowest};

/// Users that are kept of each variant.
const KEPT: usize = 1_024;

/// A uniform sample of the distinct users of one variant, known by the hashes of their routing keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub struct Users(Lowest<(), KEPT>);

/// The same, as it is being made.
pub(super) type SharedUsers = SharedLowest<(), KEPT>;

impl Users {
    /// Whether nobody was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries().is_empty()
    }

    /// How many distinct users there were: exact up to 1024, and then to some 3 %. Bar-Yossef et al.,
    /// "Counting distinct elements in a data stream", RANDOM 2002.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self.0.bound() {
            Some(bound) => ((KEPT - 1) as f64 / (bound as f64 / 2_f64.powi(64))).round() as u64,
            None => self.0.entries().len() as u64,
        }
    }

    /// Adds whom another replica served; users that both served count once.
    pub fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    pub(super) fn of(shared: &SharedUsers) -> Self {
        Self(shared.snapshot())
    }

    /// How many of a uniform sample of the users of both were served by `self` and how many by `other`, and
    /// which share of the users the sample is.
    pub(crate) fn sampled_with(&self, other: &Self) -> (u64, u64, f64) {
        let tagged = |users: &Self, tag: u64| -> Vec<_> {
            users.0.entries().iter().map(|(hash, ())| (*hash, tag)).collect()
        };
        let mut all = [tagged(self, 0), tagged(other, 1)].concat();
        all.sort_unstable();
        let cut = all.get(KEPT).map(|(hash, _)| *hash);
        all.truncate(KEPT);
        let others: u64 = all.iter().map(|(_, tag)| tag).sum();
        let share = cut.map_or(1.0, |cut| (cut as f64 / 2_f64.powi(64)).max(f64::MIN_POSITIVE));
        (all.len() as u64 - others, others, share)
    }
}

/// By the hashes of the users' keys.
impl FromIterator<u64> for Users {
    fn from_iter<I: IntoIterator<Item = u64>>(hashes: I) -> Self {
        let mut users = Lowest::default();
        hashes.into_iter().for_each(|hash| users.insert(hash, ()));
        Self(users)
    }
}

impl From<Vec<u64>> for Users {
    fn from(hashes: Vec<u64>) -> Self {
        hashes.into_iter().collect()
    }
}

impl From<Users> for Vec<u64> {
    fn from(users: Users) -> Self {
        users.0.entries().iter().map(|(hash, ())| *hash).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::metric::priority;
    use super::*;

    fn users(range: std::ops::Range<u64>) -> Users {
        range.map(|user| priority(3, user)).collect()
    }

    #[test]
    fn users_count_once_and_merge() {
        let mut some = users(0..500);
        some.merge(&users(250..600));
        assert_eq!((some.count(), some.is_empty()), (600, false));
        some.merge(&users(0..100_000));
        assert!((90_000..110_000).contains(&some.count()), "{}", some.count());
        assert_eq!(some, users(0..100_000));
        let json = serde_json::to_string(&some).unwrap();
        assert_eq!(serde_json::from_str::<Users>(&json).unwrap(), some);
    }

    #[test]
    fn a_common_sample_has_the_shares_of_all() {
        let (stable, candidate) = (users(0..90_000), users(90_000..100_000));
        let (of_stable, of_candidate, share) = stable.sampled_with(&candidate);
        assert_eq!(of_stable + of_candidate, KEPT as u64);
        assert!((60..150).contains(&of_candidate), "{of_candidate}"); // 102 ± 10
        assert!((0.009..0.0115).contains(&share), "{share}");
        assert_eq!(users(0..30).sampled_with(&users(30..35)), (30, 5, 1.0));
        assert_eq!(Users::default().sampled_with(&Users::default()), (0, 0, 1.0));
    }
}
