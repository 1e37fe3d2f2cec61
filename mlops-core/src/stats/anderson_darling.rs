//! The k-sample Anderson-Darling test.

use super::{StatsError, invalid, require_sample, undefined};

/// How [`anderson_darling`] treats tied observations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AndersonDarlingTies {
    /// Distribution functions are the mean of their left and right limits at a tie; equation 7 of the
    /// source. Recommended when ties come from rounding, and the default.
    #[default]
    Midrank,
    /// Right-continuous distribution functions; equation 6 of the source, for truly discrete data.
    RightContinuous,
}

/// Result of [`anderson_darling`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AndersonDarlingTest {
    /// The criterion, standardised to mean 0 and variance 1 under the null hypothesis. Negative when the
    /// samples are more alike than chance makes them.
    pub statistic: f64,
    /// The statistic from which the test rejects at each of [`ANDERSON_DARLING_LEVELS`].
    pub critical_values: [f64; 7],
    /// Probability of a statistic at least this large under the null hypothesis, interpolated between the
    /// levels of the table; 0.25 or 0.001 stand for "at least" and "at most" that much beyond it.
    pub p_value: f64,
}

/// The levels of [`AndersonDarlingTest::critical_values`], which also bound the p-value.
pub const ANDERSON_DARLING_LEVELS: [f64; 7] = [0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001];

/// Tests whether two or more samples come from one distribution.
///
/// The squared difference of each sample's distribution function from the pooled one, weighted by
/// `1/(H(1-H))`, so that the tails count as much as the middle: more powerful than Kolmogorov-Smirnov against
/// most alternatives. The p-value comes from `ln p` as a quadratic in the seven critical values of the table
/// in the source. Equal to `scipy.stats.anderson_ksamp`. O(N log N + Nk).
///
/// Source: Scholz & Stephens, "K-sample Anderson-Darling tests", Journal of the American Statistical
/// Association 82(399), 1987.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] for fewer than two samples; [`StatsError::EmptySample`];
/// [`StatsError::NotANumber`]; [`StatsError::Undefined`] for fewer than four observations in all, or when all
/// observations are equal.
///
/// ```
/// use mlops_core::stats::{AndersonDarlingTies, anderson_darling};
///
/// let samples = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
/// let test = anderson_darling(&samples, AndersonDarlingTies::Midrank)?;
/// assert!((test.statistic - 2.633_234).abs() < 1e-6);
/// assert!((test.p_value - 0.027_147).abs() < 1e-6);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn anderson_darling<S: AsRef<[f64]>>(
    samples: &[S],
    ties: AndersonDarlingTies,
) -> Result<AndersonDarlingTest, StatsError> {
    if samples.len() < 2 {
        return Err(invalid("samples", format!("{} samples: at least two are needed", samples.len())));
    }
    for sample in samples {
        require_sample("a sample", sample.as_ref())?;
    }
    let mut pooled: Vec<(f64, usize)> = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        pooled.extend(sample.as_ref().iter().map(|&value| (value, index)));
    }
    if pooled.len() < 4 {
        return Err(undefined(format!("{} observations in all: at least four are needed", pooled.len())));
    }
    pooled.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
    if pooled[0].0 == pooled[pooled.len() - 1].0 {
        return Err(undefined("all observations are equal: there is nothing to tell the samples apart by"));
    }
    let sizes: Vec<f64> = samples.iter().map(|sample| sample.as_ref().len() as f64).collect();
    let (total, freedom) = (pooled.len() as f64, samples.len() as f64 - 1.0);

    let criterion = match ties {
        AndersonDarlingTies::Midrank => (total - 1.0) / total * criterion(&pooled, &sizes, 0.5),
        AndersonDarlingTies::RightContinuous => criterion(&pooled, &sizes, 1.0),
    };
    let statistic = (criterion - freedom) / variance(&sizes, total).sqrt();
    let critical_values = critical_values(freedom);
    Ok(AndersonDarlingTest { statistic, critical_values, p_value: p_value(statistic, &critical_values) })
}

/// `Σ_i 1/n_i Σ_j l_j/N (N M_ij - n_i B_j)² / (B_j(N - B_j) - correction)` over the distinct values j, which
/// occur l_j times. B and M count the pooled observations and those of sample i below the value, and
/// `tied_share` of those at it: one half for midranks, all of them for right-continuous functions.
fn criterion(pooled: &[(f64, usize)], sizes: &[f64], tied_share: f64) -> f64 {
    let total = pooled.len() as f64;
    let correction = (1.0 - tied_share) * tied_share * total;
    let mut below = 0.0;
    let mut below_in = vec![0.0; sizes.len()];
    let mut sum = 0.0;
    for group in pooled.chunk_by(|(one, _), (other, _)| one == other) {
        let tied = group.len() as f64;
        let mut tied_in = vec![0.0; sizes.len()];
        for &(_, sample) in group {
            tied_in[sample] += 1.0;
        }
        let reached = below + tied_share * tied;
        let scale = reached * (total - reached) - correction * tied;
        if scale > 0.0 {
            for (sample, &size) in sizes.iter().enumerate() {
                let reached_in = below_in[sample] + tied_share * tied_in[sample];
                sum += tied / total * (total * reached_in - reached * size).powi(2) / scale / size;
            }
        }
        below += tied;
        for (below, tied) in below_in.iter_mut().zip(tied_in) {
            *below += tied;
        }
    }
    sum
}

/// Variance of the criterion under the null hypothesis, equation 4 of the source.
fn variance(sizes: &[f64], total: f64) -> f64 {
    let k = sizes.len() as f64;
    let inverse_sizes: f64 = sizes.iter().map(|size| 1.0 / size).sum();
    let (mut harmonic, mut g) = (0.0, 0.0);
    for i in 1..(total as u64 - 1) {
        let i = i as f64;
        harmonic += 1.0 / (total - i);
        g += harmonic / (i + 1.0);
    }
    let h = harmonic + 1.0;

    let a = (4.0 * g - 6.0) * (k - 1.0) + (10.0 - 6.0 * g) * inverse_sizes;
    let b = (2.0 * g - 4.0) * k * k + 8.0 * h * k + (2.0 * g - 14.0 * h - 4.0) * inverse_sizes - 8.0 * h
        + 4.0 * g
        - 6.0;
    let c = (6.0 * h + 2.0 * g - 2.0) * k * k
        + (4.0 * h - 4.0 * g + 6.0) * k
        + (2.0 * h - 6.0) * inverse_sizes
        + 4.0 * h;
    let d = (2.0 * h + 6.0) * k * k - 4.0 * h * k;
    let polynomial = ((a * total + b) * total + c) * total + d;
    polynomial / ((total - 1.0) * (total - 2.0) * (total - 3.0))
}

/// Table 2 of the source, interpolated in `1/√freedom` by its coefficients.
fn critical_values(freedom: f64) -> [f64; 7] {
    const COEFFICIENTS: [[f64; 3]; 7] = [
        [0.675, -0.245, -0.105],
        [1.281, 0.25, -0.305],
        [1.645, 0.678, -0.362],
        [1.96, 1.149, -0.391],
        [2.326, 1.822, -0.396],
        [2.573, 2.364, -0.345],
        [3.085, 3.615, -0.154],
    ];
    COEFFICIENTS.map(|[b0, b1, b2]| b0 + b1 / freedom.sqrt() + b2 / freedom)
}

fn p_value(statistic: f64, critical_values: &[f64; 7]) -> f64 {
    let [largest, .., smallest] = ANDERSON_DARLING_LEVELS;
    if statistic < critical_values[0] {
        return largest;
    }
    if statistic > critical_values[6] {
        return smallest;
    }
    let centre = critical_values.iter().sum::<f64>() / 7.0;
    let points = critical_values.iter().zip(ANDERSON_DARLING_LEVELS).map(|(&x, p)| (x - centre, p.ln()));
    let [c0, c1, c2] = least_squares_quadratic(points);
    let x = statistic - centre;
    ((c2 * x + c1) * x + c0).exp().clamp(0.0, 1.0)
}

/// Coefficients of `c0 + c1 x + c2 x²` by orthogonal polynomials on the points, whose x sum to zero.
fn least_squares_quadratic(points: impl Iterator<Item = (f64, f64)> + Clone) -> [f64; 3] {
    let mean = |term: &dyn Fn(f64, f64) -> f64| {
        let (count, sum) = points.clone().fold((0.0, 0.0), |(n, sum), (x, y)| (n + 1.0, sum + term(x, y)));
        sum / count
    };
    let square = mean(&|x, _| x * x);
    let skew = mean(&|x, _| x * x * x) / square;
    let quadratic = |x: f64| x * x - skew * x - square;
    let c2 = mean(&|x, y| y * quadratic(x)) / mean(&|x, _| quadratic(x) * quadratic(x));
    let slope = mean(&|x, y| x * y) / square;
    [mean(&|_, y| y) - c2 * square, slope - c2 * skew, c2]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quadratic_fit_reproduces_a_quadratic() {
        let points = [-2.0, -1.0, 0.5, 2.5].map(|x: f64| (x, 3.0 - 2.0 * x + 0.5 * x * x));
        for (got, expected) in least_squares_quadratic(points.into_iter()).into_iter().zip([3.0, -2.0, 0.5]) {
            assert!((got - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn p_value_keeps_to_its_table() {
        let apart = [[0.0; 30], [9.0; 30]].map(|sample| sample.to_vec());
        let alike = [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]];
        let p = |test: Result<AndersonDarlingTest, StatsError>| test.unwrap().p_value;
        assert_eq!(p(anderson_darling(&apart, AndersonDarlingTies::Midrank)), 0.001);
        assert_eq!(p(anderson_darling(&alike, AndersonDarlingTies::RightContinuous)), 0.25);
    }
}
