//! The two-sample Kolmogorov-Smirnov test.

mod statistic;

use std::borrow::Cow;

use statistic::extreme_differences;

use super::kolmogorov::kolmogorov_sf;
use super::{
    Alternative, StatsError, gcd, invalid, require_no_nan, require_same_length, require_sample,
    require_total, undefined,
};

/// Largest sample for which [`KsMethod::Auto`] computes the exact p-value.
const AUTO_EXACT_LIMIT: u64 = 10_000;
/// `nm / gcd(n, m)²` from which there is no exact p-value, as in scipy.
const EXACT_GRID_LIMIT: u128 = i32::MAX as u128;
/// Lattice points beyond which there is no exact p-value; a minute of work.
const EXACT_POINTS_LIMIT: u128 = 1 << 35;

/// How [`ks_2samp`] computes its p-value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KsMethod {
    /// Exact while both samples hold at most 10 000 observations, asymptotic beyond.
    #[default]
    Auto,
    /// The exact permutation distribution for samples without ties; conservative under ties.
    Exact,
    /// The one-sample distribution at the effective size `nm/(n+m)` (two-sided), or Hodges' expansion
    /// (one-sided).
    Asymptotic,
}

/// What [`ks_2samp`] does with a NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NanPolicy {
    /// Return [`StatsError::NotANumber`].
    #[default]
    Raise,
    /// Drop every NaN, then test what is left.
    Omit,
    /// Return a test whose statistic, location and p-value are NaN and whose sign is 0.
    Propagate,
}

/// Options of [`ks_2samp`]. The default is the two-sided test with [`KsMethod::Auto`] that refuses NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KsOptions {
    /// The alternative, stated about the distribution functions: [`Alternative::Less`] means that F_x lies
    /// below F_y somewhere, that is, that x tends to be *larger* than y.
    pub alternative: Alternative,
    /// How the p-value is computed.
    pub method: KsMethod,
    /// What a NaN does.
    pub nan_policy: NanPolicy,
}

/// Result of [`ks_2samp`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KsTest {
    /// The largest difference of the two empirical distribution functions, in `[0, 1]`.
    pub statistic: f64,
    /// The observation at which that difference occurs, in the unit of the samples.
    pub location: f64,
    /// `1` if F_x exceeds F_y there, `-1` if F_y exceeds F_x.
    pub sign: i8,
    /// Probability of a statistic at least this large if both samples come from one continuous distribution.
    pub p_value: f64,
    /// How the p-value was computed: [`KsMethod::Exact`] or [`KsMethod::Asymptotic`]. Where there is none,
    /// under [`NanPolicy::Propagate`], the method asked for.
    pub method: KsMethod,
}

/// Tests whether two samples come from one continuous distribution.
///
/// The statistic is `sup_t |F_x(t) - F_y(t)|` over the empirical distribution functions; the one-sided
/// alternatives take `F_x - F_y` ([`Alternative::Greater`]) or `F_y - F_x` ([`Alternative::Less`]) instead.
/// Equal to `scipy.stats.ks_2samp` 1.17, with two deliberate differences: one-sided exact p-values of
/// samples of unequal size stay exact where scipy's path counts overflow, and where scipy's asymptotic
/// p-value is NaN (one observation on each side) the exact one is returned.
///
/// Ties are allowed and make the p-value conservative. Infinities are ordinary values.
///
/// Long samples are not sorted: counts in order-preserving buckets bound the statistic inside each bucket, and
/// only the buckets that may hold the maximum are gathered and sorted. That takes O(n + m) and little memory
/// as a rule, O((n + m) log(n + m)) and O(n + m) at worst. The exact p-value takes O(n) for equal sizes and up to O(nm)
/// otherwise. [`KsMethod::Exact`] falls back to the asymptotic p-value when `nm / gcd(n, m)²` reaches
/// `i32::MAX` (the rule of scipy) or the work exceeds about a minute; [`KsTest::method`] tells.
///
/// Sources: Hodges, "The significance probability of the Smirnov two-sample test", Arkiv för Matematik
/// 3(43), 1958; Simard & L'Ecuyer, Journal of Statistical Software 39(11), 2011.
///
/// # Errors
///
/// [`StatsError::EmptySample`], also when [`NanPolicy::Omit`] leaves nothing; [`StatsError::NotANumber`]
/// under [`NanPolicy::Raise`].
///
/// ```
/// use mlops_core::stats::{KsMethod, KsOptions, ks_2samp};
///
/// let test = ks_2samp(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0], KsOptions::default())?;
/// assert_eq!((test.statistic, test.location, test.sign), (1.0, 5.0, 1));
/// assert_eq!(test.method, KsMethod::Exact);
/// assert!((test.p_value - 2.0 / 252.0).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn ks_2samp(x: &[f64], y: &[f64], options: KsOptions) -> Result<KsTest, StatsError> {
    let (x, y) = match options.nan_policy {
        NanPolicy::Omit => (without_nan(x), without_nan(y)),
        NanPolicy::Raise | NanPolicy::Propagate => (Cow::Borrowed(x), Cow::Borrowed(y)),
    };
    match require_sample("x", &x).and_then(|()| require_sample("y", &y)) {
        Err(StatsError::NotANumber { .. }) if options.nan_policy == NanPolicy::Propagate => {
            return Ok(KsTest {
                statistic: f64::NAN,
                location: f64::NAN,
                sign: 0,
                p_value: f64::NAN,
                method: options.method,
            });
        }
        checked => checked?,
    }

    let (lowest, highest) = extreme_differences(&x, &y, options.alternative);
    let less =
        KsTail { statistic: (-lowest.difference).clamp(0.0, 1.0), location: lowest.location, sign: -1 };
    let greater = KsTail { statistic: highest.difference, location: highest.location, sign: 1 };
    let tail = match options.alternative {
        Alternative::Less => less,
        Alternative::Greater => greater,
        Alternative::TwoSided if less.statistic > greater.statistic => less,
        Alternative::TwoSided => greater,
    };
    let (p_value, method) =
        p_value(tail.statistic, x.len() as u64, y.len() as u64, options.alternative, options.method)?;
    Ok(KsTest { statistic: tail.statistic, location: tail.location, sign: tail.sign, p_value, method })
}

/// Exact p-value of a two-sample statistic: the proportion of the `C(n+m, n)` orderings of two samples
/// without ties whose statistic is at least `statistic`.
///
/// Orderings are lattice paths from (0, 0) to (n, m); the ones that count touch the boundary
/// `|i/n - j/m| = statistic` (one-sided: one of its two lines). Equal sizes have a closed form by
/// reflection, O(n). For unequal sizes a recurrence over the lattice carries, for each point, the
/// proportion of the paths to it that have touched, O(nm); being an average of proportions it neither
/// overflows nor cancels.
///
/// # Errors
///
/// [`StatsError::EmptySample`] for a size of zero; [`StatsError::InvalidParameter`] when `statistic` is
/// outside `[0, 1]`; [`StatsError::Undefined`] when the lattice is too large, as in [`ks_2samp`].
///
/// ```
/// use mlops_core::stats::{Alternative, ks_p_value_exact};
///
/// assert!((ks_p_value_exact(1.0, 2, 1, Alternative::TwoSided)? - 2.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn ks_p_value_exact(statistic: f64, n: u64, m: u64, alternative: Alternative) -> Result<f64, StatsError> {
    require_sizes(n, m)?;
    require_statistic(statistic)?;
    let (n, m) = (n.max(m), n.min(m));
    let divisor = gcd(n.into(), m.into()) as u64;
    let (n_step, m_step) = (m / divisor, n / divisor);
    let grid = u128::from(n_step) * u128::from(m_step);
    let points = if n == m { u128::from(n) } else { u128::from(n) * u128::from(m) };
    if grid >= EXACT_GRID_LIMIT || points > EXACT_POINTS_LIMIT {
        return Err(undefined(format!(
            "the exact distribution for samples of {n} and {m} is too large: use the asymptotic p-value"
        )));
    }
    let height = (statistic * (n as f64 * n_step as f64)).round_ties_even() as u64;
    let two_sided = alternative == Alternative::TwoSided;
    Ok(match (height, n == m) {
        (0, _) => 1.0,
        (_, true) if two_sided => touching_paths_square(n, height),
        (_, true) => reflection_ratio(n, height, 0),
        (_, false) => touching_paths(n, m, n_step, m_step, height, two_sided),
    })
}

/// Two-sided asymptotic p-value of a two-sample statistic from samples of `n` and `m`.
///
/// The exact distribution of the one-sample statistic at the effective size `nm/(n+m)`, rounded to an
/// integer. Fit for statistics that were not computed from raw samples, such as the bounds of
/// [`ks_from_counts`].
///
/// # Errors
///
/// [`StatsError::EmptySample`] for a size of zero; [`StatsError::InvalidParameter`] when `statistic` is
/// outside `[0, 1]`; [`StatsError::Undefined`] when the effective size rounds to zero (`n = m = 1`).
///
/// ```
/// use mlops_core::stats::ks_p_value_asymptotic;
///
/// let p = ks_p_value_asymptotic(0.05, 2_000, 2_000)?;
/// assert!((p - 0.0131).abs() < 1e-4);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn ks_p_value_asymptotic(statistic: f64, n: u64, m: u64) -> Result<f64, StatsError> {
    require_sizes(n, m)?;
    require_statistic(statistic)?;
    let effective = effective_size(n as f64, m as f64).round_ties_even();
    if effective < 1.0 {
        return Err(undefined("one observation on each side has no asymptotic p-value: use the exact one"));
    }
    Ok(kolmogorov_sf(effective, statistic))
}

/// Result of [`ks_from_counts`]: what two histograms on one grid tell about the statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BinnedKs {
    /// Largest difference of the distribution functions over the bin edges: a lower bound of the true
    /// statistic, which may be attained inside a bin.
    pub statistic: f64,
    /// Upper bound of the true statistic: the largest difference that the masses inside some bin allow.
    pub upper_bound: f64,
    /// Index of the bin whose upper edge attains `statistic`.
    pub bin: usize,
    /// `1` if the reference's distribution function is the larger one there, `-1` if the current's is.
    pub sign: i8,
}

/// The Kolmogorov-Smirnov statistic of two histograms over the same ordered bins.
///
/// With cumulative shares `R_i` and `C_i`, `statistic = max_i |R_i - C_i|`, and since inside bin `i` each
/// distribution function lies between its values at the two edges,
/// `upper_bound = max_i max(R_i - C_{i-1}, C_i - R_{i-1})`. The true statistic of the samples behind the
/// counts lies between the two. Pass either to [`ks_p_value_asymptotic`]: the p-value of `statistic` is too
/// large rather than too small.
///
/// # Errors
///
/// [`StatsError::LengthMismatch`]; [`StatsError::EmptySample`] when all counts of one side are zero.
///
/// ```
/// use mlops_core::stats::ks_from_counts;
///
/// let ks = ks_from_counts(&[5, 5, 0], &[0, 5, 5])?;
/// assert_eq!((ks.statistic, ks.upper_bound, ks.bin, ks.sign), (0.5, 1.0, 0, 1));
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn ks_from_counts(reference_counts: &[u64], current_counts: &[u64]) -> Result<BinnedKs, StatsError> {
    require_same_length("current_counts", reference_counts.len(), current_counts.len())?;
    let reference_total = require_total("reference_counts", reference_counts)?;
    let current_total = require_total("current_counts", current_counts)?;

    let mut result = BinnedKs { statistic: 0.0, upper_bound: 0.0, bin: 0, sign: 1 };
    let (mut reference_seen, mut current_seen) = (0_u128, 0_u128);
    let (mut reference_below, mut current_below) = (0.0, 0.0);
    for (bin, (&reference, &current)) in reference_counts.iter().zip(current_counts).enumerate() {
        reference_seen += u128::from(reference);
        current_seen += u128::from(current);
        let reference_share = reference_seen as f64 / reference_total;
        let current_share = current_seen as f64 / current_total;

        let difference = reference_share - current_share;
        if difference.abs() > result.statistic {
            result.statistic = difference.abs();
            result.bin = bin;
            result.sign = if difference > 0.0 { 1 } else { -1 };
        }
        let inside = (reference_share - current_below).max(current_share - reference_below);
        result.upper_bound = result.upper_bound.max(inside);
        (reference_below, current_below) = (reference_share, current_share);
    }
    Ok(result)
}

struct KsTail {
    statistic: f64,
    location: f64,
    sign: i8,
}

/// The p-value by the wanted method, or by the other one where that has no answer.
fn p_value(
    statistic: f64,
    n: u64,
    m: u64,
    alternative: Alternative,
    method: KsMethod,
) -> Result<(f64, KsMethod), StatsError> {
    let exact = || ks_p_value_exact(statistic, n, m, alternative).map(|p| (p, KsMethod::Exact));
    let asymptotic = || {
        let p = match alternative {
            Alternative::TwoSided => ks_p_value_asymptotic(statistic, n, m)?,
            Alternative::Less | Alternative::Greater => hodges_p_value(statistic, n as f64, m as f64),
        };
        Ok((p, KsMethod::Asymptotic))
    };
    let exact_first = match method {
        KsMethod::Auto => n.max(m) <= AUTO_EXACT_LIMIT,
        KsMethod::Exact => true,
        KsMethod::Asymptotic => false,
    };
    if exact_first { exact().or_else(|_| asymptotic()) } else { asymptotic().or_else(|_| exact()) }
}

/// One-sided asymptotic p-value, Hodges (1958), equation 5.3.
fn hodges_p_value(statistic: f64, n: f64, m: f64) -> f64 {
    let (large, small) = (n.max(m), n.min(m));
    let z = effective_size(n, m).sqrt() * statistic;
    let correction = 2.0 * z * (large + 2.0 * small) / (large * small * (large + small)).sqrt() / 3.0;
    (-2.0 * z * z - correction).exp().clamp(0.0, 1.0)
}

fn effective_size(n: f64, m: f64) -> f64 {
    n * (m / (n + m))
}

/// Proportion of the paths in an n × n lattice that touch one of two diagonals at distance `height`.
///
/// Reflection gives `2 Σ_{k>=1} (-1)^{k-1} C(2n, n - k height) / C(2n, n)`; nesting the quotients of
/// successive binomials, `2 r_0 (1 - r_1 (1 - r_2 (…)))`, avoids overflow.
fn touching_paths_square(n: u64, height: u64) -> f64 {
    let reflections = (0..=n / height).rev();
    let half = reflections.fold(0.0, |inner, k| reflection_ratio(n, height, k * height) * (1.0 - inner));
    (2.0 * half).clamp(0.0, 1.0)
}

/// `C(2n, n - offset - height) / C(2n, n - offset)`
fn reflection_ratio(n: u64, height: u64, offset: u64) -> f64 {
    let (below, above) = ((n - offset) as f64, (n + offset) as f64);
    (0..height.min(n - offset + 1)).map(|step| (below - step as f64) / (above + step as f64 + 1.0)).product()
}

/// Proportion of the paths from (0, 0) to (n, m) through a point with `i n_step - j m_step >= height`, or,
/// if `two_sided`, with `|i n_step - j m_step| >= height`. Needs `height >= 1`.
///
/// `touched[j]` is that proportion among the paths to (i, j): 1 on and beyond a boundary, otherwise
/// `i/(i+j)` of the proportion at (i-1, j) plus `j/(i+j)` of the one at (i, j-1).
fn touching_paths(n: u64, m: u64, n_step: u64, m_step: u64, height: u64, two_sided: bool) -> f64 {
    let mut touched = vec![1.0; m as usize + 1];
    for i in 0..=n {
        let diagonal = i * n_step;
        let first = if diagonal < height { 0 } else { (diagonal - height) / m_step + 1 } as usize;
        let last = if two_sided { m.min((diagonal + height - 1) / m_step) } else { m } as usize;
        if i == 0 {
            touched[..=last].fill(0.0);
            continue;
        }
        let i = i as f64;
        let mut left = if first == 0 { 0.0 } else { 1.0 };
        for (j, here) in touched.iter_mut().enumerate().take(last + 1).skip(first) {
            let j = j as f64;
            left = *here * (i / (i + j)) + left * (j / (i + j));
            *here = left;
        }
    }
    touched[m as usize].clamp(0.0, 1.0)
}

fn without_nan(values: &[f64]) -> Cow<'_, [f64]> {
    if require_no_nan("values", values).is_ok() {
        return Cow::Borrowed(values);
    }
    Cow::Owned(values.iter().copied().filter(|value| !value.is_nan()).collect())
}

fn require_sizes(n: u64, m: u64) -> Result<(), StatsError> {
    for (what, size) in [("n", n), ("m", m)] {
        if size == 0 {
            return Err(StatsError::EmptySample { what });
        }
    }
    Ok(())
}

fn require_statistic(statistic: f64) -> Result<(), StatsError> {
    if (0.0..=1.0).contains(&statistic) {
        return Ok(());
    }
    Err(invalid("statistic", format!("{statistic} is not between 0 and 1")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Statistics `D` and `D+` of every ordering of n and m distinct observations, times `n m`.
    fn orderings(n: i64, m: i64) -> Vec<(i64, i64)> {
        fn extend(at: (i64, i64), to: (i64, i64), d: (i64, i64), all: &mut Vec<(i64, i64)>) {
            if at == to {
                all.push(d);
                return;
            }
            for next in [(at.0 + 1, at.1), (at.0, at.1 + 1)] {
                if next.0 <= to.0 && next.1 <= to.1 {
                    let difference = next.0 * to.1 - next.1 * to.0;
                    extend(next, to, (d.0.max(difference.abs()), d.1.max(difference)), all);
                }
            }
        }
        let mut all = Vec::new();
        extend((0, 0), (n, m), (0, 0), &mut all);
        all
    }

    #[test]
    fn exact_p_values_count_orderings() {
        for (n, m) in [(1, 1), (2, 1), (3, 5), (4, 6), (5, 5), (7, 4)] {
            let all = orderings(n, m);
            for height in 0..=n * m {
                let p = |alternative| {
                    ks_p_value_exact(height as f64 / (n * m) as f64, n as u64, m as u64, alternative).unwrap()
                };
                // A statistic off the lattice is rounded to it.
                let on_lattice = height % gcd(n as u128, m as u128) as i64 == 0;
                let share = |reached: fn(&(i64, i64), i64) -> bool| {
                    all.iter().filter(|d| reached(d, height)).count() as f64 / all.len() as f64
                };
                if on_lattice {
                    let two_sided = share(|d, height| d.0 >= height);
                    let one_sided = share(|d, height| d.1 >= height);
                    assert!((p(Alternative::TwoSided) - two_sided).abs() < 1e-12, "{n} {m} {height}");
                    assert!((p(Alternative::Greater) - one_sided).abs() < 1e-12, "{n} {m} {height}");
                    assert!((p(Alternative::Less) - one_sided).abs() < 1e-12, "{n} {m} {height}");
                }
            }
        }
    }

    #[test]
    fn recurrence_agrees_with_reflection() {
        for n in [10, 101, 500] {
            for height in [1, 2, n / 7 + 1, n / 3, n] {
                let (lattice, closed) =
                    (touching_paths(n, n, 1, 1, height, true), touching_paths_square(n, height));
                assert!((lattice / closed - 1.0).abs() < 1e-10, "{n} {height} {lattice} {closed}");
            }
        }
    }

    #[test]
    fn methods_fall_back_where_they_have_no_answer() {
        let options = |method| KsOptions { method, ..KsOptions::default() };
        let tiny = ks_2samp(&[1.0], &[2.0], options(KsMethod::Asymptotic)).unwrap();
        assert_eq!((tiny.p_value, tiny.method), (1.0, KsMethod::Exact));

        let many: Vec<f64> = (0..50_000).map(f64::from).collect();
        let huge = ks_2samp(&many, &many[1..], options(KsMethod::Exact)).unwrap();
        assert_eq!(huge.method, KsMethod::Asymptotic);
    }

    #[test]
    fn nan_follows_the_policy() {
        let (x, y) = ([1.0, f64::NAN], [2.0]);
        let test = |nan_policy| ks_2samp(&x, &y, KsOptions { nan_policy, ..KsOptions::default() });
        assert_eq!(test(NanPolicy::Raise), Err(StatsError::NotANumber { what: "x", index: 1 }));
        assert_eq!(test(NanPolicy::Omit), ks_2samp(&x[..1], &y, KsOptions::default()));
        assert!(test(NanPolicy::Propagate).unwrap().p_value.is_nan());
        let nothing_left = KsOptions { nan_policy: NanPolicy::Omit, ..KsOptions::default() };
        assert_eq!(ks_2samp(&y, &[f64::NAN], nothing_left), Err(StatsError::EmptySample { what: "y" }));
    }
}
