//! Chi-squared tests on counts: goodness of fit, and independence in a contingency table.

use super::special::chi_squared_sf;
use super::{
    StatsError, invalid, require_no_nan, require_positive, require_same_length, require_total, undefined,
};

/// Which measure of deviation of observed from expected counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ChiSquaredStatistic {
    /// Pearson's `Σ (o - e)²/e`; the default.
    #[default]
    Pearson,
    /// The likelihood ratio or G statistic, `2 Σ o ln(o/e)`. Summed as written, as scipy does, so that it is
    /// off by about 10⁻¹⁶ of the total count.
    LogLikelihood,
}

impl ChiSquaredStatistic {
    /// The statistic over pairs of observed and expected counts with equal totals.
    fn sum(self, cells: impl Iterator<Item = (f64, f64)>) -> f64 {
        match self {
            Self::Pearson => cells.map(|(observed, expected)| (observed - expected).powi(2) / expected).sum(),
            Self::LogLikelihood => {
                let term = |(observed, expected): (f64, f64)| match observed {
                    0.0 => 0.0,
                    _ => observed * (observed / expected).ln(),
                };
                (2.0 * cells.map(term).sum::<f64>()).max(0.0)
            }
        }
    }
}

/// Result of a chi-squared test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquaredTest {
    /// The deviation of the observed from the expected counts, at least zero.
    pub statistic: f64,
    /// Degrees of freedom of its limiting distribution.
    pub dof: u64,
    /// Probability of a statistic at least this large under the null hypothesis, for large counts.
    pub p_value: f64,
}

impl ChiSquaredTest {
    fn new(statistic: f64, dof: u64) -> Self {
        Self { statistic, dof, p_value: chi_squared_sf(statistic, dof as f64) }
    }
}

/// Result of [`goodness_of_fit`].
#[derive(Debug, Clone, PartialEq)]
pub struct GoodnessOfFit {
    /// The test, with one degree of freedom less than there are categories.
    pub test: ChiSquaredTest,
    /// Expected count per category.
    pub expected: Vec<f64>,
}

/// Tests whether counts follow given proportions.
///
/// `e_i = N w_i / Σ w`, `categories - 1` degrees of freedom. The weights need not sum to one. Reliable once
/// every category expects at least five observations. Equal to `scipy.stats.chisquare` and
/// `scipy.stats.power_divergence`.
///
/// The weights are taken as known. Counts of a reference *sample* are not: with 1000 against 1000
/// observations this test then calls drift far too often. To compare two samples use
/// [`ContingencyTable::of_samples`].
///
/// # Errors
///
/// [`StatsError::LengthMismatch`]; [`StatsError::EmptySample`] without observations;
/// [`StatsError::NotANumber`]; [`StatsError::InvalidParameter`] for fewer than two categories or a weight
/// that is not positive and finite.
///
/// ```
/// use mlops_core::stats::{ChiSquaredStatistic, goodness_of_fit};
///
/// let fit = goodness_of_fit(&[10, 20, 30], &[0.2, 0.3, 0.5], ChiSquaredStatistic::Pearson)?;
/// assert_eq!(fit.expected, [12.0, 18.0, 30.0]);
/// assert!((fit.test.statistic - 5.0 / 9.0).abs() < 1e-12);
/// assert!((fit.test.p_value - 0.757_465).abs() < 1e-6);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn goodness_of_fit(
    observed: &[u64],
    weights: &[f64],
    statistic: ChiSquaredStatistic,
) -> Result<GoodnessOfFit, StatsError> {
    require_same_length("weights", observed.len(), weights.len())?;
    if observed.len() < 2 {
        return Err(invalid(
            "observed",
            format!("{} categories cannot be out of proportion", observed.len()),
        ));
    }
    let total = require_total("observed", observed)?;
    require_no_nan("weights", weights)?;
    for &weight in weights {
        require_positive("weights", weight)?;
    }
    let heaviest = weights.iter().copied().fold(0.0, f64::max);
    let shares: Vec<f64> = weights.iter().map(|weight| weight / heaviest).collect();
    let share_total: f64 = shares.iter().sum();

    let expected: Vec<f64> = shares.iter().map(|share| share / share_total * total).collect();
    if expected.contains(&0.0) {
        return Err(invalid("weights", "a weight is too small beside the largest one: drop its category"));
    }
    let cells = observed.iter().zip(&expected).map(|(&observed, &expected)| (observed as f64, expected));
    let test = ChiSquaredTest::new(statistic.sum(cells), observed.len() as u64 - 1);
    Ok(GoodnessOfFit { test, expected })
}

/// Counts by two classifications: at least two rows and two columns, none of them all zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContingencyTable {
    rows: Vec<Vec<u64>>,
}

impl ContingencyTable {
    /// Creates the table from its rows.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] for fewer than two rows or columns; [`StatsError::LengthMismatch`]
    /// for rows of unequal length; [`StatsError::Undefined`] for a row or column that is all zero, which
    /// expects nothing.
    ///
    /// ```
    /// use mlops_core::stats::{ChiSquaredStatistic, ContingencyTable};
    ///
    /// let table = ContingencyTable::new(&[[12, 5], [29, 2]])?;
    /// let test = table.chi_squared_test(ChiSquaredStatistic::Pearson);
    /// assert!((test.p_value - 0.031_118).abs() < 1e-6);
    /// assert!(ContingencyTable::new(&[[5, 0], [7, 0]]).is_err());
    /// # Ok::<(), mlops_core::stats::StatsError>(())
    /// ```
    pub fn new<R: AsRef<[u64]>>(rows: &[R]) -> Result<Self, StatsError> {
        let rows: Vec<Vec<u64>> = rows.iter().map(|row| row.as_ref().to_vec()).collect();
        let columns = rows.first().map_or(0, Vec::len);
        if rows.len() < 2 || columns < 2 {
            return Err(invalid(
                "table",
                format!("{} rows and {columns} columns: at least two of each are needed", rows.len()),
            ));
        }
        for row in &rows {
            require_same_length("a row of the table", columns, row.len())?;
        }
        let table = Self { rows };
        if let Some(row) = table.row_totals().iter().position(|&total| total == 0.0) {
            return Err(undefined(format!("row {row} of the table is all zero: leave it out")));
        }
        if let Some(column) = table.column_totals().iter().position(|&total| total == 0.0) {
            return Err(undefined(format!("column {column} of the table is all zero: leave it out")));
        }
        Ok(table)
    }

    /// The table of two samples, category by category, without the categories that neither has.
    ///
    /// A new category (reference 0) and a vanished one (current 0) count in full.
    ///
    /// # Errors
    ///
    /// [`StatsError::LengthMismatch`]; [`StatsError::EmptySample`] when one sample holds nothing;
    /// [`StatsError::InvalidParameter`] when there are fewer than two categories.
    ///
    /// ```
    /// use mlops_core::stats::{ChiSquaredStatistic, ContingencyTable};
    ///
    /// let table = ContingencyTable::of_samples(&[50, 50, 0, 0], &[40, 50, 10, 0])?;
    /// let test = table.chi_squared_test(ChiSquaredStatistic::Pearson);
    /// assert_eq!(test.dof, 2);
    /// assert!(test.p_value < 0.005);
    /// # Ok::<(), mlops_core::stats::StatsError>(())
    /// ```
    pub fn of_samples(reference_counts: &[u64], current_counts: &[u64]) -> Result<Self, StatsError> {
        require_same_length("current_counts", reference_counts.len(), current_counts.len())?;
        require_total("reference_counts", reference_counts)?;
        require_total("current_counts", current_counts)?;
        let seen = |(reference, current): &(&u64, &u64)| **reference > 0 || **current > 0;
        let (reference, current): (Vec<u64>, Vec<u64>) =
            reference_counts.iter().zip(current_counts).filter(seen).unzip();
        Self::new(&[reference, current])
    }

    /// Counts, row by row.
    #[must_use]
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.rows
    }

    /// Expected counts if row and column are independent: row total times column total over the total.
    #[must_use]
    pub fn expected(&self) -> Vec<Vec<f64>> {
        let (columns, total) = (self.column_totals(), self.total());
        let row = |row_total: &f64| columns.iter().map(|column| row_total / total * column).collect();
        self.row_totals().iter().map(row).collect()
    }

    /// Tests independence of rows and columns, or, with one row per sample, whether all samples come from
    /// one distribution.
    ///
    /// `(rows - 1)(columns - 1)` degrees of freedom. Reliable while few expected counts are below five; for
    /// a 2×2 table with smaller ones use [`fisher_exact`](super::fisher_exact). Equal to
    /// `scipy.stats.chi2_contingency` with `correction=False`.
    #[must_use]
    pub fn chi_squared_test(&self, statistic: ChiSquaredStatistic) -> ChiSquaredTest {
        let expected = self.expected();
        let cells = self.rows.iter().flatten().map(|&count| count as f64).zip(expected.into_iter().flatten());
        ChiSquaredTest::new(statistic.sum(cells), self.dof())
    }

    /// [`chi_squared_test`](Self::chi_squared_test) of a 2×2 table with Yates' continuity correction: each
    /// count moves by ½, but not past it, towards the expected one. Conservative.
    ///
    /// Source: Yates, Supplement to the Journal of the Royal Statistical Society 1(2), 1934.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when the table is not 2×2.
    ///
    /// ```
    /// use mlops_core::stats::{ChiSquaredStatistic, ContingencyTable};
    ///
    /// let table = ContingencyTable::new(&[[10, 0], [0, 10]])?;
    /// let test = table.yates_test(ChiSquaredStatistic::Pearson)?;
    /// assert!((test.statistic - 16.2).abs() < 1e-12);
    /// # Ok::<(), mlops_core::stats::StatsError>(())
    /// ```
    pub fn yates_test(&self, statistic: ChiSquaredStatistic) -> Result<ChiSquaredTest, StatsError> {
        if self.dof() != 1 {
            return Err(invalid("table", "Yates' correction is for tables of two rows and two columns"));
        }
        let corrected = |(observed, expected): (f64, f64)| {
            let difference = expected - observed;
            (observed + difference.clamp(-0.5, 0.5), expected)
        };
        let expected = self.expected();
        let cells = self.rows.iter().flatten().map(|&count| count as f64).zip(expected.into_iter().flatten());
        Ok(ChiSquaredTest::new(statistic.sum(cells.map(corrected)), 1))
    }

    /// Cramér's V, the strength of association in `[0, 1]`: `√(χ² / (N · min(rows - 1, columns - 1)))`.
    ///
    /// Unlike a p-value it does not grow with the sample, but in small samples it lies above zero without
    /// any association; see [`cramers_v_bias_corrected`](Self::cramers_v_bias_corrected).
    ///
    /// Source: Cramér, "Mathematical Methods of Statistics", Princeton University Press, 1946, section 21.9.
    #[must_use]
    pub fn cramers_v(&self) -> f64 {
        let smaller = self.rows.len().min(self.rows[0].len()) as f64;
        (self.mean_square_contingency() / (smaller - 1.0)).sqrt().min(1.0)
    }

    /// Cramér's V with its bias in small samples removed.
    ///
    /// With r rows and c columns, `φ̃² = max(0, χ²/N - (r-1)(c-1)/(N-1))`, `r̃ = r - (r-1)²/(N-1)`, `c̃`
    /// likewise, and `V = √(φ̃² / min(r̃ - 1, c̃ - 1))`.
    ///
    /// Source: Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", Journal of the Korean
    /// Statistical Society 42(3), 2013.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when there are so few observations that nothing is left of a dimension.
    pub fn cramers_v_bias_corrected(&self) -> Result<f64, StatsError> {
        let (rows, columns) = (self.rows.len() as f64, self.rows[0].len() as f64);
        let spare = self.total() - 1.0;
        let left =
            (rows - 1.0 - (rows - 1.0).powi(2) / spare).min(columns - 1.0 - (columns - 1.0).powi(2) / spare);
        if left.is_nan() || left <= 0.0 {
            return Err(undefined("there are fewer observations than the correction takes: collect more"));
        }
        let excess = self.mean_square_contingency() - (rows - 1.0) * (columns - 1.0) / spare;
        Ok((excess.max(0.0) / left).sqrt())
    }

    /// χ²/N
    fn mean_square_contingency(&self) -> f64 {
        self.chi_squared_test(ChiSquaredStatistic::Pearson).statistic / self.total()
    }

    fn dof(&self) -> u64 {
        (self.rows.len() as u64 - 1) * (self.rows[0].len() as u64 - 1)
    }

    fn row_totals(&self) -> Vec<f64> {
        self.rows.iter().map(|row| row.iter().map(|&count| u128::from(count)).sum::<u128>() as f64).collect()
    }

    fn column_totals(&self) -> Vec<f64> {
        let columns = 0..self.rows[0].len();
        let total = |column: usize| self.rows.iter().map(|row| u128::from(row[column])).sum::<u128>() as f64;
        columns.map(total).collect()
    }

    fn total(&self) -> f64 {
        self.rows.iter().flatten().map(|&count| u128::from(count)).sum::<u128>() as f64
    }
}
