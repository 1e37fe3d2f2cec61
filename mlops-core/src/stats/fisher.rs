//! Fisher's exact test.

use super::{ContingencyTable, StatsError, invalid, undefined};

/// Result of [`fisher_exact`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FisherTest {
    /// The sample odds ratio `ad/(bc)` of the table `[[a, b], [c, d]]`; infinite when `bc` is zero.
    pub odds_ratio: f64,
    /// Probability, given the margins, of all tables that are no likelier than the observed one.
    pub p_value: f64,
}

/// Two-sided exact test of independence in a 2×2 table.
///
/// Under independence and given its margins the first cell is hypergeometric; the p-value sums the
/// probabilities that do not exceed the observed one. Exact for any counts, hence the choice where the
/// chi-squared test expects fewer than five in a cell. Equal to `scipy.stats.fisher_exact`.
///
/// Probabilities are formed by recurrence outwards from the mode, in O(√N) steps that matter.
///
/// Source: Agresti, "Categorical Data Analysis", 3rd edition, Wiley, 2013, section 3.5.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] when the table is not 2×2; [`StatsError::Undefined`] when it holds more
/// than 10¹⁰ observations, where the chi-squared test is as good.
///
/// ```
/// use mlops_core::stats::{ContingencyTable, fisher_exact};
///
/// let test = fisher_exact(&ContingencyTable::new(&[[3, 1], [1, 3]])?)?;
/// assert_eq!(test.odds_ratio, 9.0);
/// assert!((test.p_value - 34.0 / 70.0).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn fisher_exact(table: &ContingencyTable) -> Result<FisherTest, StatsError> {
    const MOST: f64 = 1e10;
    let ([first, second], true) = (table.rows(), table.rows()[0].len() == 2) else {
        return Err(invalid("table", "Fisher's test is for tables of two rows and two columns"));
    };
    let [a, b, c, d] = [first[0], first[1], second[0], second[1]].map(|count| count as f64);
    let odds_ratio = if b * c > 0.0 { a * d / (b * c) } else { f64::INFINITY };

    let (row, column, total) = (a + b, a + c, a + b + c + d);
    if total > MOST {
        return Err(undefined(format!("{total} observations are too many: use the chi-squared test")));
    }
    let (lowest, highest) = ((row + column - total).max(0.0), row.min(column));
    let mode = ((row + 1.0) * (column + 1.0) / (total + 2.0)).floor().clamp(lowest, highest);
    // P(k)/P(k-1) of the hypergeometric distribution.
    let ratio = |k: f64| (row - k + 1.0) * (column - k + 1.0) / (k * (total - row - column + k));

    // Outwards until the weights are next to nothing beside that of the mode.
    let mut weights = vec![(mode, 1.0)];
    let mut weight = 1.0;
    let mut k = mode;
    while k < highest && weight > f64::MIN_POSITIVE {
        k += 1.0;
        weight *= ratio(k);
        weights.push((k, weight));
    }
    (k, weight) = (mode, 1.0);
    while k > lowest && weight > f64::MIN_POSITIVE {
        weight /= ratio(k);
        k -= 1.0;
        weights.push((k, weight));
    }

    const ROUNDING: f64 = 1.0 + 1e-11;
    let observed = weights.iter().find(|(k, _)| *k == a).map_or(0.0, |(_, weight)| weight * ROUNDING);
    // From the smallest, so that small probabilities are not lost beside large ones.
    weights.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let total_weight: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let as_rare: f64 =
        weights.iter().map(|(_, weight)| weight).take_while(|weight| **weight <= observed).sum();
    Ok(FisherTest { odds_ratio, p_value: (as_rare / total_weight).min(1.0) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_sided_tables_and_large_counts() {
        let p = |rows: [[u64; 2]; 2]| fisher_exact(&ContingencyTable::new(&rows).unwrap()).unwrap().p_value;
        assert_eq!(p([[1, 1], [1, 1]]), 1.0);
        assert!((p([[10, 0], [0, 10]]) / (2.0 / 184_756.0) - 1.0).abs() < 1e-12);
        assert!((p([[1_000_000, 1_000_100], [1_000_050, 1_000_000]]) - 0.941_011_490_351_890_6).abs() < 1e-9);
        assert!(p([[2_000_000_000, 2_000_000_000], [2_000_000_000, 2_000_300_000]]) < 0.1);
    }
}
