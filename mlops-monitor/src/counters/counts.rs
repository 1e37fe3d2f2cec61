//! Counts as plain data: what is stored, sent and added up.

use mlops_core::{Digest, Error, Result};
use serde::{Deserialize, Serialize};

/// How many values of each feature of a profile fell into each bin.
///
/// Counts of one profile, from any number of replicas or windows, add up exactly: merging is associative and
/// commutative, and gives what one counter would have counted that had seen everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// The profile whose bins these are.
    pub profile: Digest,
    /// Rows that were looked at.
    pub rows: u64,
    /// Tensors that did not fit the profile and were left out.
    pub dropped: u64,
    /// One entry per feature, in the order of the profile.
    pub features: Vec<FeatureCounts>,
}

/// How many values of one feature fell into each bin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FeatureCounts {
    /// Per fine bin.
    pub bins: Vec<u64>,
    /// Missing values: NaN.
    pub missing: u64,
}

impl Counts {
    /// Adds the counts of another window or replica.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when they were counted in the bins of another profile. Then nothing was
    /// added.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let bins = |counts: &Self| counts.features.iter().map(|it| it.bins.len()).collect::<Vec<_>>();
        if self.profile != other.profile || bins(self) != bins(other) {
            return Err(Error::invalid_input(format!(
                "counts of profile {} cannot be added to counts of profile {}",
                other.profile, self.profile
            )));
        }
        add(&mut self.rows, other.rows);
        add(&mut self.dropped, other.dropped);
        for (mine, theirs) in self.features.iter_mut().zip(&other.features) {
            mine.bins.iter_mut().zip(&theirs.bins).for_each(|(mine, theirs)| add(mine, *theirs));
            add(&mut mine.missing, theirs.missing);
        }
        Ok(())
    }
}

impl FeatureCounts {
    pub(crate) fn zero(bins: usize) -> Self {
        Self { bins: vec![0; bins], missing: 0 }
    }

    /// How many values there are, missing ones left out.
    #[must_use]
    pub fn present(&self) -> u64 {
        self.bins.iter().fold(0, |sum: u64, count| sum.saturating_add(*count))
    }

    /// How many values there are, missing ones included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.present().saturating_add(self.missing)
    }

    /// The share of missing values, 0 to 1; 0 without any value.
    #[must_use]
    pub fn missing_share(&self) -> f64 {
        self.missing as f64 / self.total().max(1) as f64
    }

    pub(crate) fn checked_total(&self) -> Option<u64> {
        self.bins.iter().try_fold(self.missing, |sum, count| sum.checked_add(*count))
    }
}

/// Saturating, which keeps merging associative even for counts that nobody can have counted.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts() -> impl Strategy<Value = Counts> {
        let count = || prop_oneof![0..1000_u64, any::<u64>()];
        let feature = (prop::collection::vec(count(), 3), count());
        (count(), count(), prop::collection::vec(feature, 2)).prop_map(|(rows, dropped, features)| {
            let features = features.into_iter().map(|(bins, missing)| FeatureCounts { bins, missing });
            Counts { profile: Digest::of(b"one"), rows, dropped, features: features.collect() }
        })
    }

    fn sum(a: &Counts, b: &Counts) -> Counts {
        let mut sum = a.clone();
        sum.merge(b).unwrap();
        sum
    }

    proptest! {
        #[test]
        fn merging_is_associative_and_commutative(a in counts(), b in counts(), c in counts()) {
            prop_assert_eq!(sum(&sum(&a, &b), &c), sum(&a, &sum(&b, &c)));
            prop_assert_eq!(sum(&a, &b), sum(&b, &a));
        }

        #[test]
        fn counts_survive_their_journey(counts in counts()) {
            let json = serde_json::to_string(&counts).unwrap();
            prop_assert_eq!(serde_json::from_str::<Counts>(&json).unwrap(), counts);
        }

        #[test]
        fn counts_of_another_profile_are_refused(a in counts(), b in counts()) {
            let other = Counts { profile: Digest::of(b"two"), ..b.clone() };
            let mut fewer = b;
            fewer.features.pop();
            let mut merged = a.clone();
            prop_assert!(merged.merge(&other).is_err());
            prop_assert!(merged.merge(&fewer).is_err());
            prop_assert_eq!(merged, a);
        }
    }
}
