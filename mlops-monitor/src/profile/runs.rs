//! A sample as its distinct values, each with how often it comes.

use mlops_core::stats::{StatsError, quantile};

/// Finite values, ascending and distinct, with how often each comes. Zeros are positive.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Runs(Vec<(f64, u64)>);

impl Runs {
    /// The runs of finite values.
    pub(super) fn of(values: Vec<f64>) -> Self {
        // Integers are sorted in half the time.
        let mut keys: Vec<i64> = values.into_iter().map(key).collect();
        keys.sort_unstable();
        Self(keys.chunk_by(|a, b| a == b).map(|run| (value_of(run[0]), run.len() as u64)).collect())
    }

    /// The runs of values with weights, in any order.
    pub(super) fn of_weighted(mut values: Vec<(f64, u64)>) -> Self {
        values.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
        values.dedup_by(|(value, more), (last, weight)| {
            let same = value == last;
            *weight += if same { *more } else { 0 };
            same
        });
        Self(values)
    }

    /// The runs of both samples.
    pub(super) fn merge(&mut self, other: Self) {
        let mut merged = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(&&(a, n)), Some(&&(b, m))) = (ours.peek(), theirs.peek()) {
            merged.push(if a < b {
                (a, n)
            } else if b < a {
                (b, m)
            } else {
                (a, n + m)
            });
            ours.next_if(|_| a <= b);
            theirs.next_if(|_| b <= a);
        }
        merged.extend(ours.chain(theirs));
        self.0 = merged;
    }

    pub(super) fn as_slice(&self) -> &[(f64, u64)] {
        &self.0
    }

    /// How many values there are.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The values, each as often as it comes.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        self.0.iter().flat_map(|(value, count)| (0..*count).map(|_| *value))
    }

    /// The quantiles of the sample, at least one value: as [`mlops_core::stats::quantiles`].
    pub(super) fn quantiles(&self, qs: impl Iterator<Item = f64>) -> Result<Vec<f64>, StatsError> {
        let ends = self.0.iter().scan(0_u64, |sum, (_, count)| {
            *sum += count;
            Some(*sum)
        });
        let ends: Vec<u64> = ends.collect();
        let last = ends.last().copied().unwrap_or_default().saturating_sub(1);
        let at =
            |rank: u64| self.0.get(ends.partition_point(|end| *end <= rank)).map_or(f64::NAN, |run| run.0);
        qs.map(|q| {
            let position = last as f64 * q;
            let index = (position as u64).min(last);
            // The quantile between two neighbours is that of the pair.
            quantile(&[at(index), at((index + 1).min(last))], position - index as f64)
        })
        .collect()
    }
}

/// An integer in the order of the numbers; that of negative zero is that of zero.
fn key(value: f64) -> i64 {
    flipped((value + 0.0).to_bits() as i64)
}

/// The number of a key.
fn value_of(key: i64) -> f64 {
    f64::from_bits(flipped(key) as u64)
}

/// Turns the order of negative numbers around: all bits but the sign.
fn flipped(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

#[cfg(test)]
mod tests {
    use mlops_core::stats::quantiles;
    use proptest::prelude::*;

    use super::*;

    fn sample() -> impl Strategy<Value = Vec<f64>> {
        prop_oneof![
            prop::collection::vec(-1e3..1e3, 1..300),
            prop::collection::vec((-9_i8..9).prop_map(f64::from), 1..300),
            prop::collection::vec(any::<f64>().prop_filter("finite", |value| value.is_finite()), 1..30),
        ]
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_values(values in sample()) {
            let qs: Vec<f64> = (0..=40).map(|k| f64::from(k) / 40.0).collect();
            let runs = Runs::of(values.clone());
            prop_assert_eq!(runs.quantiles(qs.iter().copied()), quantiles(&values, &qs));
            prop_assert_eq!(runs.values().count(), values.len());
        }

        #[test]
        fn merging_gives_the_runs_of_all(a in sample(), b in sample()) {
            let mut merged = Runs::of(a.clone());
            merged.merge(Runs::of(b.clone()));
            let weighted: Vec<_> = b.iter().chain(&a).map(|value| (value + 0.0, 1)).collect();
            prop_assert_eq!(&merged, &Runs::of_weighted(weighted));
            prop_assert_eq!(merged, Runs::of([a, b].concat()));
        }
    }
}
