//! The maximum mean discrepancy of two samples of vectors.

use super::split_mix::SplitMix64;
use super::{StatsError, invalid, require_finite, require_positive, undefined};

/// Result of [`mmd_rbf`]: two estimates of the squared discrepancy, without unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mmd {
    /// The V-statistic: at least zero, and above it in expectation even without a difference.
    pub biased: f64,
    /// The U-statistic: zero in expectation without a difference, hence negative about as often as not.
    pub unbiased: f64,
}

/// The squared maximum mean discrepancy with the Gaussian kernel `exp(-|a - b|²/(2 sigma²))`.
///
/// `x` and `y` hold rows of `dimension` numbers one after the other (shapes `[n, dimension]` and
/// `[m, dimension]`). The discrepancy is `E k(X, X') + E k(Y, Y') - 2 E k(X, Y)`, zero in the limit only if
/// both distributions are equal, in all their moments and correlations: a change that no feature shows alone
/// shows here. Scale the features first, since the kernel weighs them by their units. O((n + m)²) kernel
/// values, so pass a sample of some thousand rows.
///
/// Source: Gretton, Borgwardt, Rasch, Schölkopf & Smola, "A kernel two-sample test", Journal of Machine
/// Learning Research 13, 2012, equations 3 and 5.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::InvalidParameter`] for an infinite
/// value, a `sigma` that is not positive and finite, or a length that is no multiple of `dimension`;
/// [`StatsError::Undefined`] for a sample of one row.
///
/// ```
/// use mlops_core::stats::mmd_rbf;
///
/// let mmd = mmd_rbf(&[0.0, 1.0], &[0.0, 1.0], 1, 1.0)?;
/// assert_eq!(mmd.biased, 0.0);
/// assert!(mmd.unbiased < 0.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn mmd_rbf(x: &[f64], y: &[f64], dimension: usize, sigma: f64) -> Result<Mmd, StatsError> {
    let (n, m) = (require_rows("x", x, dimension)?, require_rows("y", y, dimension)?);
    require_positive("sigma", sigma)?;
    if n < 2 || m < 2 {
        return Err(undefined("a sample of one row has no pairs: at least two rows in each are needed"));
    }
    let kernel = |a: &[f64], b: &[f64]| gaussian(a, b, sigma);
    let (n, m) = (n as f64, m as f64);
    let within_x = 2.0 * sum_of_pairs(x, dimension, kernel);
    let within_y = 2.0 * sum_of_pairs(y, dimension, kernel);
    let row_sum = |a: &[f64]| y.chunks_exact(dimension).map(|b| kernel(a, b)).sum::<f64>();
    let across = x.chunks_exact(dimension).map(row_sum).sum::<f64>() / (n * m);

    let biased = (within_x + n) / (n * n) + (within_y + m) / (m * m) - 2.0 * across;
    let unbiased = within_x / (n * (n - 1.0)) + within_y / (m * (m - 1.0)) - 2.0 * across;
    Ok(Mmd { biased: biased.max(0.0), unbiased })
}

/// A bandwidth for [`mmd_rbf`] that suits the data: the square root of half the median squared distance of
/// two rows of the pooled samples.
///
/// Keep it fixed, taken from the reference once, where discrepancies of different windows are compared.
/// O((n + m)²) distances, held in memory: 8 bytes each.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::InvalidParameter`] for an infinite
/// value or a length that is no multiple of `dimension`; [`StatsError::Undefined`] when more than half of all
/// pairs of rows are equal, or too far apart for a float.
///
/// ```
/// use mlops_core::stats::median_heuristic;
///
/// assert_eq!(median_heuristic(&[0.0, 4.0], &[2.0], 1)?, 2.0_f64.sqrt());
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn median_heuristic(x: &[f64], y: &[f64], dimension: usize) -> Result<f64, StatsError> {
    require_rows("x", x, dimension)?;
    require_rows("y", y, dimension)?;
    let pooled = [x, y].concat();
    let mut distances = Vec::new();
    for (index, a) in pooled.chunks_exact(dimension).enumerate() {
        let rest = pooled.chunks_exact(dimension).skip(index + 1);
        distances.extend(rest.map(|b| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>()));
    }
    let (middle, even) = (distances.len() / 2, distances.len() % 2 == 0);
    let (below, &mut upper, _) = distances.select_nth_unstable_by(middle, f64::total_cmp);
    let median = match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if even => 0.5 * (lower + upper),
        _ => upper,
    };
    if median > 0.0 && median.is_finite() {
        return Ok((0.5 * median).sqrt());
    }
    Err(undefined(format!("the median squared distance is {median}: choose a bandwidth by hand")))
}

/// Result of [`mmd_permutation_test`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MmdTest {
    /// The discrepancy of the samples as given.
    pub mmd: Mmd,
    /// Share of the random divisions of all rows into samples of these sizes, the given one among them, whose
    /// unbiased discrepancy is at least as large.
    pub p_value: f64,
}

/// Tests whether two samples of vectors come from one distribution, by [`mmd_rbf`] and random relabelling.
///
/// Under the null hypothesis the rows are exchangeable, so the level is exact for any kernel, dimension and
/// size; the smallest possible p-value is `1/(permutations + 1)`. The same `seed` gives the same answer.
/// Arguments as in [`mmd_rbf`]. All `(n + m)²` kernel values are held in memory, 8 bytes each, and each of the
/// `permutations` sums up to half the square of the smaller sample of them: pass some hundred rows.
///
/// Source: Gretton et al., section 8 there; Phipson & Smyth, "Permutation p-values should never be zero",
/// Statistical Applications in Genetics and Molecular Biology 9(1), 2010.
///
/// # Errors
///
/// As [`mmd_rbf`]; [`StatsError::InvalidParameter`] for no permutation, or more than 8192 rows in all.
///
/// ```
/// use mlops_core::stats::mmd_permutation_test;
///
/// // Each feature alone is the same in both; only their correlation has turned round.
/// let x: Vec<f64> = (0..60).flat_map(|i| [f64::from(i % 7), f64::from(i % 7)]).collect();
/// let y: Vec<f64> = (0..60).flat_map(|i| [f64::from(i % 7), f64::from(6 - i % 7)]).collect();
/// assert_eq!(mmd_permutation_test(&x, &y, 2, 2.0, 199, 0)?.p_value, 1.0 / 200.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn mmd_permutation_test(
    x: &[f64],
    y: &[f64],
    dimension: usize,
    sigma: f64,
    permutations: u32,
    seed: u64,
) -> Result<MmdTest, StatsError> {
    const MOST_ROWS: usize = 8_192;
    /// Divisions whose discrepancies differ by less are counted as equal.
    const ROUNDING: f64 = 1e-12;
    if permutations == 0 {
        return Err(invalid("permutations", "0: at least one is needed, customarily 199 or 999"));
    }
    let mmd = mmd_rbf(x, y, dimension, sigma)?;
    let (n, m) = (x.len() / dimension, y.len() / dimension);
    if n + m > MOST_ROWS {
        return Err(invalid(
            "x and y",
            format!("{} rows in all: pass a sample of at most {MOST_ROWS}", n + m),
        ));
    }
    let pooled = [x, y].concat();
    let values = Kernel::of(&pooled, dimension, sigma);
    let mut order: Vec<usize> = (0..n + m).collect();
    let mut random = SplitMix64(seed);
    let mut as_large = 1_u32;
    for _ in 0..permutations {
        random.choose(&mut order, n.min(m));
        let divided = values.unbiased(&order[..n.min(m)]);
        as_large += u32::from(divided >= mmd.unbiased - ROUNDING);
    }
    Ok(MmdTest { mmd, p_value: f64::from(as_large) / (f64::from(permutations) + 1.0) })
}

/// The kernel of all pairs of rows, and its sums by row without the diagonal.
struct Kernel {
    rows: usize,
    values: Vec<f64>,
    row_sums: Vec<f64>,
}

impl Kernel {
    fn of(pooled: &[f64], dimension: usize, sigma: f64) -> Self {
        let rows = pooled.len() / dimension;
        let mut values = Vec::with_capacity(rows * rows);
        for a in pooled.chunks_exact(dimension) {
            values.extend(pooled.chunks_exact(dimension).map(|b| gaussian(a, b, sigma)));
        }
        let row_sums = values.chunks_exact(rows).map(|row| row.iter().sum::<f64>() - 1.0).collect();
        Self { rows, values, row_sums }
    }

    /// The unbiased discrepancy between the chosen rows and all others.
    fn unbiased(&self, chosen: &[usize]) -> f64 {
        let (n, m) = (chosen.len() as f64, (self.rows - chosen.len()) as f64);
        let within: f64 = 2.0
            * chosen
                .iter()
                .enumerate()
                .map(|(place, &a)| {
                    chosen[..place].iter().map(|&b| self.values[a * self.rows + b]).sum::<f64>()
                })
                .sum::<f64>();
        let across = chosen.iter().map(|&row| self.row_sums[row]).sum::<f64>() - within;
        let within_others = self.row_sums.iter().sum::<f64>() - within - 2.0 * across;
        within / (n * (n - 1.0)) + within_others / (m * (m - 1.0)) - 2.0 * across / (n * m)
    }
}

fn gaussian(a: &[f64], b: &[f64], sigma: f64) -> f64 {
    let scaled = |(a, b): (&f64, &f64)| ((a - b) / sigma).powi(2);
    (-0.5 * a.iter().zip(b).map(scaled).sum::<f64>()).exp()
}

/// Sum of the kernel over the pairs of different rows, each counted once.
fn sum_of_pairs(rows: &[f64], dimension: usize, kernel: impl Fn(&[f64], &[f64]) -> f64) -> f64 {
    let rows = rows.chunks_exact(dimension);
    let later = |(index, a)| rows.clone().skip(index + 1).map(|b| kernel(a, b)).sum::<f64>();
    rows.clone().enumerate().map(later).sum()
}

fn require_rows(what: &'static str, values: &[f64], dimension: usize) -> Result<usize, StatsError> {
    require_finite(what, values)?;
    if dimension == 0 || !values.len().is_multiple_of(dimension) {
        return Err(invalid(
            "dimension",
            format!("{what} holds {} numbers, not rows of {dimension}", values.len()),
        ));
    }
    Ok(values.len() / dimension)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kernel_of_all_pairs_gives_the_same_discrepancy() {
        let (x, y) = ([0.0, 1.0, 0.5, 2.0, 3.0, -1.0], [0.1, 0.2, 5.0, -2.0]);
        let direct = mmd_rbf(&x, &y, 2, 1.5).unwrap().unbiased;
        let pooled = Kernel::of(&[&x[..], &y[..]].concat(), 2, 1.5);
        assert!((pooled.unbiased(&[0, 1, 2]) - direct).abs() < 1e-14);
        assert!((pooled.unbiased(&[4, 3]) - direct).abs() < 1e-14);
    }

    #[test]
    fn permutation_test_keeps_its_level() {
        let mut random = SplitMix64(7);
        let mut sample =
            |rows: u64| -> Vec<f64> { (0..rows).map(|_| (random.next() >> 40) as f64 * 1e-7).collect() };
        let rejected = (0..200)
            .filter(|&seed| {
                let (x, y) = (sample(12), sample(18));
                mmd_permutation_test(&x, &y, 1, 0.5, 39, seed).unwrap().p_value <= 0.1
            })
            .count();
        // Binomial(200, 0.1): the bounds are four standard deviations away.
        assert!((3..=37).contains(&rejected), "{rejected}");
    }

    #[test]
    fn equal_rows_are_no_evidence() {
        assert_eq!(mmd_permutation_test(&[1.0; 5], &[1.0; 5], 1, 1.0, 19, 0).unwrap().p_value, 1.0);
        assert!(mmd_permutation_test(&[1.0; 5], &[1.0; 5], 1, 1.0, 0, 0).is_err());
    }
}
