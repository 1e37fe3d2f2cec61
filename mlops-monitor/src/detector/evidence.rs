//! How unlikely differences of counts are without a change.

use std::ops::Range;

use mlops_core::stats::{ChiSquaredStatistic, ContingencyTable, fisher_exact};

use crate::FeatureProfile;

/// The least expected count of a bin for which a chi-squared law is trusted (Cochran, Biometrics 10(4), 1954).
const LEAST_EXPECTED: f64 = 5.0;

/// Two histograms whose rare bins are pooled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pooled {
    pub(super) reference: Vec<u64>,
    pub(super) current: Vec<u64>,
}

impl Pooled {
    /// Pools the rare bins of a feature, and any that are appended to them. The bins of categories that have no
    /// name and of new ones are pooled with the rare ones however many values they hold: for no value of the
    /// reference can be new, so without a change they differ all the same, and only together with the rare
    /// categories, which the reference happens to have, they do not.
    pub(super) fn of_feature(feature: &FeatureProfile, reference: &[u64], current: &[u64]) -> Self {
        let rest = feature.other_bin().zip(feature.new_bin()).map_or(0..0, |(other, new)| other..new + 1);
        Self::with_rest(reference, current, rest)
    }

    /// Bins that expect fewer than five values in either sample become one; if that is still too rare, it joins
    /// the rarest of the others, unless there is only one. Those of `rest` count as rare. Which bins are pooled
    /// depends on what both samples hold together, not on how they differ. Empty bins are left out.
    fn with_rest(reference: &[u64], current: &[u64], rest: Range<usize>) -> Self {
        let total = |counts: &[u64]| counts.iter().map(|count| *count as f64).sum::<f64>();
        let (n, m) = (total(reference), total(current));
        let least_share = n.min(m) / (n + m);
        let expected = |(r, c): (u64, u64)| (r as f64 + c as f64) * least_share;
        let (mut common, mut rare) = (Vec::new(), (0_u64, 0_u64));
        for (index, bin) in reference.iter().copied().zip(current.iter().copied()).enumerate() {
            if expected(bin) >= LEAST_EXPECTED && !rest.contains(&index) {
                common.push(bin);
            } else {
                rare = (rare.0.saturating_add(bin.0), rare.1.saturating_add(bin.1));
            }
        }
        if rare != (0, 0) {
            let several = common.len() > 1;
            let rarest = common.iter_mut().min_by(|a, b| expected(**a).total_cmp(&expected(**b)));
            match rarest {
                Some(bin) if expected(rare) < LEAST_EXPECTED && several => {
                    *bin = (bin.0.saturating_add(rare.0), bin.1.saturating_add(rare.1));
                }
                _ => common.push(rare),
            }
        }
        let (reference, current) = common.into_iter().unzip();
        Self { reference, current }
    }

    /// The p-value of the hypothesis that both samples are of one distribution; 1 when there is one bin. `None`
    /// without any value on either side.
    pub(super) fn p_value(&self, statistic: ChiSquaredStatistic) -> Option<f64> {
        let empty = |counts: &[u64]| counts.iter().all(|count| *count == 0);
        match (self.reference.as_slice(), self.current.as_slice()) {
            (reference, current) if empty(reference) || empty(current) => None,
            ([_], [_]) => Some(1.0),
            (&[a, c], &[b, d]) => p_value_of_shares(a, a.saturating_add(c), b, b.saturating_add(d)),
            (reference, current) => {
                let table = ContingencyTable::of_samples(reference, current).ok()?;
                Some(table.chi_squared_test(statistic).p_value)
            }
        }
    }
}

/// The two-sided p-value of the hypothesis that `a` of `n` and `b` of `m` are samples of one share: exact (Fisher)
/// where few are expected, else by Pearson's chi-squared test, which is the pooled z-test of two proportions.
/// `None` when a size is 0.
pub(super) fn p_value_of_shares(a: u64, n: u64, b: u64, m: u64) -> Option<f64> {
    if n == 0 || m == 0 || a > n || b > m {
        return None;
    }
    if (a, b) == (0, 0) || (a, b) == (n, m) {
        return Some(1.0);
    }
    let table = ContingencyTable::new(&[[a, n - a], [b, m - b]]).ok()?;
    let least = table.expected().into_iter().flatten().fold(f64::INFINITY, f64::min);
    let exact = if least < 2.0 * LEAST_EXPECTED { fisher_exact(&table).ok() } else { None };
    Some(
        exact.map_or_else(
            || table.chi_squared_test(ChiSquaredStatistic::Pearson).p_value,
            |exact| exact.p_value,
        ),
    )
}

/// The probability that at least `beyond` of `m` values exceed the greatest of `n` others from the same continuous
/// distribution, whichever it is: `∏ (m - i)/(n + m - i)` for i below `beyond` (Gumbel & von Schelling, Annals of
/// Mathematical Statistics 21(2), 1950). With ties it is an upper bound.
pub(super) fn p_value_of_exceeding(beyond: u64, m: u64, n: u64) -> f64 {
    let beyond = beyond.min(m);
    // The same product, with the fewer factors.
    let factor = |i: u64| {
        let left = if beyond <= n { (m - i) as f64 } else { (m - beyond + i + 1) as f64 };
        let right = if beyond <= n { n as f64 } else { beyond as f64 };
        left / (left + right)
    };
    let mut p = 1.0;
    for i in 0..beyond.min(n) {
        p *= factor(i);
        if p < 1e-300 {
            return 0.0;
        }
    }
    p
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn rare_bins_are_pooled() {
        let pooled = Pooled::with_rest(&[500, 3, 2, 490, 0, 5], &[50, 1, 0, 48, 0, 1], 0..0);
        assert_eq!(pooled, Pooled { reference: vec![500, 500], current: vec![50, 50] });
        let one = Pooled::with_rest(&[1000, 1], &[100, 0], 0..0);
        assert!(one.p_value(ChiSquaredStatistic::Pearson).unwrap() > 0.9);
        assert_eq!(
            Pooled::with_rest(&[7, 0], &[9, 0], 0..0).p_value(ChiSquaredStatistic::Pearson),
            Some(1.0)
        );
        assert_eq!(Pooled::with_rest(&[0, 0], &[9, 1], 0..0).p_value(ChiSquaredStatistic::Pearson), None);
    }

    #[test]
    fn shares_are_compared_exactly_where_few_are_expected() {
        assert_eq!(p_value_of_shares(0, 100, 0, 50), Some(1.0));
        assert_eq!(p_value_of_shares(0, 0, 0, 50), None);
        let p = p_value_of_shares(0, 10, 10, 10).unwrap();
        assert!((p - 2.0 / 184_756.0).abs() < 1e-12);
        assert!(p_value_of_shares(500, 10_000, 10, 100).unwrap() < 0.05);
    }

    #[test]
    fn exceedances_are_those_of_orderings() {
        assert_eq!(p_value_of_exceeding(0, 5, 5), 1.0);
        assert!((p_value_of_exceeding(1, 1, 3) - 0.25).abs() < 1e-15);
        assert!((p_value_of_exceeding(2, 2, 2) - 1.0 / 6.0).abs() < 1e-15);
        assert!((p_value_of_exceeding(u64::MAX, 999_999, 1) - 1e-6).abs() < 1e-15);
        assert_eq!(p_value_of_exceeding(u64::MAX, 1_000_000_000, 1_000), 0.0);
    }
}
