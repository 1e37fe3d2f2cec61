//! Counts as plain data: what is stored, sent and added up.

use std::iter;

use mlops_core::{Digest, Error, Result};
use serde::{Deserialize, Serialize};

use crate::Profile;

/// How many values of each feature of a profile fell into each bin.
///
/// Counts of one profile, from any number of replicas or windows, add up exactly: merging is associative and
/// commutative, and gives what one counter would have counted that had seen everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FeatureCounts {
    /// Per fine bin.
    pub bins: Vec<u64>,
    /// Missing values: NaN.
    pub missing: u64,
    /// The values themselves, ascending, while there are few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<RawValues>,
}

impl Counts {
    /// Of no row.
    #[must_use]
    pub fn zero(profile: &Profile) -> Self {
        let bins = profile.feature_profiles().iter().map(|feature| feature.counts().bins.len());
        let features = bins.map(|bins| FeatureCounts::zero(bins).with_raw(Some(Vec::new()))).collect();
        Self { profile: profile.digest(), rows: 0, dropped: 0, features }
    }

    /// All of one profile together; `None` when there are none, or they are of several profiles.
    pub(crate) fn sum<'a>(mut counts: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut sum = counts.next()?.clone();
        counts.try_for_each(|counts| sum.merge(counts)).ok().map(|()| sum)
    }

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
        self.features.iter_mut().zip(&other.features).for_each(|(mine, theirs)| mine.add(theirs));
        Ok(())
    }
}

impl FeatureCounts {
    /// So many values per bin, and so many missing ones.
    #[must_use]
    pub fn new(bins: Vec<u64>, missing: u64) -> Self {
        Self { bins, missing, raw: None }
    }

    pub(crate) fn zero(bins: usize) -> Self {
        Self::new(vec![0; bins], 0)
    }

    /// Adds the values that were counted, in any order; not if there are fewer or more than were counted, or
    /// too many.
    #[must_use]
    pub fn with_raw(mut self, values: Option<Vec<f64>>) -> Self {
        self.raw = values.map(RawValues::new).filter(|raw| raw.agrees_with(&self));
        self
    }

    /// The values that were counted, ascending, missing ones left out: as long as there are few
    /// ([`CounterOptions::raw`](crate::CounterOptions::raw) per window and replica, 10,000 in all).
    #[must_use]
    pub fn raw(&self) -> Option<&[f64]> {
        self.raw.as_ref().filter(|raw| raw.agrees_with(self)).map(|raw| raw.0.as_slice())
    }

    fn add(&mut self, other: &Self) {
        self.bins.iter_mut().zip(&other.bins).for_each(|(mine, theirs)| add(mine, *theirs));
        add(&mut self.missing, other.missing);
        self.raw = match (self.raw.take(), &other.raw) {
            (Some(mine), Some(theirs)) => mine.merged(theirs),
            _ => None,
        };
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

/// The most values that are kept.
const MOST_RAW: usize = 10_000;

/// Values in ascending order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "RawDocument", into = "RawDocument")]
struct RawValues(Vec<f64>);

impl RawValues {
    fn new(mut values: Vec<f64>) -> Self {
        values.retain(|value| !value.is_nan());
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    fn agrees_with(&self, counts: &FeatureCounts) -> bool {
        self.0.len() <= MOST_RAW && self.0.len() as u64 == counts.present()
    }

    /// Both, if they are not too many: which does not depend on the order of merging.
    fn merged(mut self, other: &Self) -> Option<Self> {
        if self.0.len() + other.0.len() > MOST_RAW {
            return None;
        }
        self.0.extend(&other.0);
        Some(Self::new(self.0))
    }
}

/// [`RawValues`] as a document: JSON has no infinities.
#[derive(Serialize, Deserialize)]
struct RawDocument {
    #[serde(default, skip_serializing_if = "is_zero")]
    negative_infinities: u32,
    finite: Vec<f64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    infinities: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl From<RawValues> for RawDocument {
    fn from(RawValues(values): RawValues) -> Self {
        let count = |infinity: f64| values.iter().filter(|value| **value == infinity).count() as u32;
        Self {
            negative_infinities: count(f64::NEG_INFINITY),
            infinities: count(f64::INFINITY),
            finite: values.into_iter().filter(|value| value.is_finite()).collect(),
        }
    }
}

impl From<RawDocument> for RawValues {
    fn from(document: RawDocument) -> Self {
        let of = |infinity: f64, count: u32| iter::repeat_n(infinity, (count as usize).min(MOST_RAW + 1));
        let (below, above) = (document.negative_infinities, document.infinities);
        Self::new(
            of(f64::NEG_INFINITY, below).chain(document.finite).chain(of(f64::INFINITY, above)).collect(),
        )
    }
}

/// Saturating, which keeps merging associative even for counts that nobody can have counted.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Counts of raw values in three bins, or any counts.
    fn feature() -> impl Strategy<Value = FeatureCounts> {
        let count = || prop_oneof![0..1000_u64, any::<u64>()];
        let few = (prop_oneof![4 => 0..50_u32, 1 => Just(4_000)], 1..99_u32).prop_map(|(size, step)| {
            let special = [f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0];
            let value = |i: u32| f64::from(i * step % 97) / 10.0 - 5.0;
            (0..size)
                .map(|i| special.get((i * step % 50) as usize).copied().unwrap_or(value(i)))
                .collect::<Vec<_>>()
        });
        let raw = few.prop_map(|values| {
            let bin = |lower: f64, upper: f64| {
                values.iter().filter(|value| lower < **value && **value <= upper).count() as u64
            };
            let below = values.iter().filter(|value| **value <= -1.0).count() as u64;
            FeatureCounts::new(vec![below, bin(-1.0, 1.0), bin(1.0, f64::INFINITY)], 3).with_raw(Some(values))
        });
        let any = (prop::collection::vec(count(), 3), count());
        prop_oneof![3 => raw, 1 => any.prop_map(|(bins, missing)| FeatureCounts::new(bins, missing))]
    }

    fn counts() -> impl Strategy<Value = Counts> {
        let number = || prop_oneof![0..1000_u64, any::<u64>()];
        (number(), number(), prop::collection::vec(feature(), 2)).prop_map(|(rows, dropped, features)| {
            Counts { profile: Digest::of(b"one"), rows, dropped, features }
        })
    }

    fn sum(a: &Counts, b: &Counts) -> Counts {
        let mut sum = a.clone();
        sum.merge(b).unwrap();
        sum
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn merging_is_associative_and_commutative(a in counts(), b in counts(), c in counts()) {
            prop_assert_eq!(sum(&sum(&a, &b), &c), sum(&a, &sum(&b, &c)));
            prop_assert_eq!(sum(&a, &b), sum(&b, &a));
        }

        #[test]
        fn values_are_kept_exactly_while_they_are_few(a in counts(), b in counts()) {
            for ((sum, a), b) in sum(&a, &b).features.iter().zip(&a.features).zip(&b.features) {
                let expected = a.raw().zip(b.raw()).map(|(a, b)| RawValues::new([a, b].concat()).0);
                prop_assert_eq!(sum.raw(), expected.as_deref().filter(|values| values.len() <= MOST_RAW));
            }
        }

        #[test]
        fn counts_survive_their_journey(counts in counts()) {
            let json = serde_json::to_string(&counts).unwrap();
            prop_assert_eq!(serde_json::from_str::<Counts>(&json).unwrap(), counts);
        }

        #[test]
        fn values_that_were_not_counted_are_not_believed(mut counts in feature()) {
            counts.missing += u64::from(counts.missing < 9);
            prop_assert_eq!(counts.clone().with_raw(Some(vec![0.5; 51])).raw().is_some(), counts.present() == 51);
            counts.bins[0] = counts.bins[0].wrapping_add(1);
            prop_assert_eq!(counts.raw(), None);
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
