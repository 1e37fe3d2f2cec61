//! How alike the requests of one user are, in fixed memory.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Groups that users fall into.
const GROUPS: usize = 64;
/// With fewer that have requests, how much they differ says nothing.
const FEWEST: usize = 8;

/// Requests and failures of 64 groups of users, into which the hashes of their keys put them.
///
/// Requests that fail independently of each other make the failure rates of groups differ by as much as chance does.
/// Where those who fail once fail again, groups differ more, and many requests tell less than as many users would:
/// [`design_effect`](Self::design_effect) says how much less.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct UserGroups {
    /// Empty, or requests and failures of all groups.
    counts: Vec<(u64, u64)>,
}

/// The same, as it is being made.
#[derive(Debug)]
pub(super) struct SharedGroups([SharedCounts; GROUPS]);

#[derive(Debug, Default)]
struct SharedCounts {
    requests: AtomicU64,
    failures: AtomicU64,
}

impl UserGroups {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Adds a request of the user of that hash.
    pub(crate) fn add(&mut self, hash: u64, failed: bool) {
        self.counts.resize(GROUPS, (0, 0));
        if let Some((requests, failures)) = self.counts.get_mut(group_of(hash)) {
            *requests += 1;
            *failures += u64::from(failed);
        }
    }

    /// So many requests tell as much of the failure rate as one does whose user is asked but once: the variance of the
    /// rate over that of as many independent requests, at least 1. It is 1 where too little is known to tell.
    ///
    /// With requests nᵢ and failures xᵢ of the m groups that have any, n = Σ nᵢ and p = Σ xᵢ / n, the variance is
    /// `m/(m-1) · Σ (xᵢ - nᵢ p)² / n²`. Rao & Scott, "A simple method for the analysis of clustered binary data",
    /// Biometrics 48(2), 1992.
    ///
    /// ```
    /// use mlops_rollout::UserGroups;
    ///
    /// // In every other group nobody fails, and in the others everybody does.
    /// let groups: UserGroups = (0..64).map(|group| (10, 10 * (group % 2))).collect::<Vec<_>>().into();
    /// assert!((10.0..10.5).contains(&groups.design_effect())); // groups of 10 requests that are all alike
    /// ```
    #[must_use]
    pub fn design_effect(&self) -> f64 {
        let asked = || self.counts.iter().filter(|(requests, _)| *requests > 0);
        let groups = asked().count();
        let sum = |of: fn(&(u64, u64)) -> u64| asked().map(|counts| of(counts) as f64).sum::<f64>();
        let (requests, failures) = (sum(|counts| counts.0), sum(|counts| counts.1));
        let rate = failures / requests;
        if groups < FEWEST || !(0.0 < rate && rate < 1.0) {
            return 1.0;
        }
        let squares: f64 =
            asked().map(|(requests, failures)| (*failures as f64 - *requests as f64 * rate).powi(2)).sum();
        let groups = groups as f64;
        (groups / (groups - 1.0) * squares / (requests * rate * (1.0 - rate))).max(1.0)
    }

    /// Adds what another replica counted.
    pub fn merge(&mut self, other: &Self) {
        if self.is_empty() {
            self.counts.clone_from(&other.counts);
            return;
        }
        for ((requests, failures), (more, failed)) in self.counts.iter_mut().zip(&other.counts) {
            (*requests, *failures) = (requests.saturating_add(*more), failures.saturating_add(*failed));
        }
    }
}

/// Requests and failures of each group, of which there are never more than requests; groups beyond 64 are left out.
impl From<Vec<(u64, u64)>> for UserGroups {
    fn from(mut counts: Vec<(u64, u64)>) -> Self {
        if counts.iter().any(|(requests, _)| *requests > 0) {
            counts.resize(GROUPS, (0, 0));
        } else {
            counts.clear();
        }
        counts.iter_mut().for_each(|(requests, failures)| *failures = (*failures).min(*requests));
        Self { counts }
    }
}

/// Requests and failures of each group.
impl From<UserGroups> for Vec<(u64, u64)> {
    fn from(groups: UserGroups) -> Self {
        groups.counts
    }
}

impl SharedGroups {
    pub(super) fn new() -> Self {
        Self(array::from_fn(|_| SharedCounts::default()))
    }

    /// Adds a request of the user of that hash.
    pub(super) fn add(&self, hash: u64, failed: bool) {
        let SharedCounts { requests, failures } = &self.0[group_of(hash)];
        requests.fetch_add(1, Ordering::Relaxed);
        if failed {
            failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> UserGroups {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = self.0.iter().map(|group| (load(&group.requests), load(&group.failures)));
        counts.collect::<Vec<_>>().into()
    }
}

/// By the highest bits; the sample of [`Users`](super::Users) is taken by the lowest hashes, which is another matter.
fn group_of(hash: u64) -> usize {
    (hash >> (u64::BITS - GROUPS.ilog2())) as usize % GROUPS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::metric::priority;
    use super::*;

    /// So many users with so many requests each, whose failures are all their own or all alike.
    fn groups(users: u64, requests: u64, alike: bool) -> UserGroups {
        let mut groups = UserGroups::default();
        for request in 0..users * requests {
            let user = request % users;
            let chance = if alike { user } else { request };
            groups.add(priority(1, user), priority(2, chance) < u64::MAX / 20);
        }
        groups
    }

    #[test]
    fn requests_that_are_alike_count_as_their_users() {
        let independent = groups(2_000, 20, false).design_effect();
        assert!((1.0..1.5).contains(&independent), "{independent}");
        let alike = groups(2_000, 20, true).design_effect();
        assert!((13.0..30.0).contains(&alike), "{alike}"); // 20, and the estimate varies by a sixth
        assert_eq!(UserGroups::default().design_effect(), 1.0);
        assert_eq!(groups(5, 20, true).design_effect(), 1.0);
    }

    proptest! {
        #[test]
        fn merging_is_counting_all_in_one(requests in prop::collection::vec((any::<u64>(), any::<bool>()), 0..200)) {
            let (mut all, mut halves) = (UserGroups::default(), [UserGroups::default(), UserGroups::default()]);
            let shared = SharedGroups::new();
            for (index, (hash, failed)) in requests.into_iter().enumerate() {
                all.add(hash, failed);
                halves[index % 2].add(hash, failed);
                shared.add(hash, failed);
            }
            let [mut merged, other] = halves;
            merged.merge(&other);
            prop_assert_eq!(&merged, &all);
            prop_assert_eq!(&shared.snapshot(), &all);
            let json = serde_json::to_string(&all).unwrap();
            prop_assert_eq!(serde_json::from_str::<UserGroups>(&json).unwrap(), all);
        }
    }
}
