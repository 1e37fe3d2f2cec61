//! The two-sample Cramér-von Mises test.

use std::f64::consts::PI;

use super::pooled::tie_groups;
use super::{StatsError, gcd, require_sample, sorted, undefined};

/// Largest sample for which there is an exact p-value.
const EXACT_LIMIT: usize = 20;

/// How [`cramer_von_mises`] computes its p-value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CramerVonMisesMethod {
    /// Exact while both samples hold at most 20 observations, asymptotic beyond.
    #[default]
    Auto,
    /// The permutation distribution of samples without ties; at most 20 observations in each.
    Exact,
    /// The limiting distribution of the standardised statistic.
    Asymptotic,
}

/// Result of [`cramer_von_mises`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CramerVonMisesTest {
    /// The criterion T of Anderson.
    pub statistic: f64,
    /// Probability of a statistic at least this large if both samples come from one continuous distribution.
    pub p_value: f64,
    /// How it was computed: [`CramerVonMisesMethod::Exact`] or [`CramerVonMisesMethod::Asymptotic`].
    pub method: CramerVonMisesMethod,
}

/// Tests whether two samples come from one continuous distribution.
///
/// `T = nm/(n+m)² Σ (F_x - F_y)²` over all observations, in Anderson's form with ranks,
/// `U/(nm(n+m)) - (4nm - 1)/(6(n+m))` with `U = n Σ (r_i - i)² + m Σ (s_j - j)²`. It weighs differences along
/// the whole range where Kolmogorov-Smirnov takes the largest. Ties get midranks. Equal to
/// `scipy.stats.cramervonmises_2samp`, but accurate for small p-values too, where scipy's asymptotic one
/// stops near 1e-12. O((n + m) log(n + m)).
///
/// Sources: Anderson, "On the distribution of the two-sample Cramér-von Mises criterion", Annals of
/// Mathematical Statistics 33(3), 1962; Xiao, Gordon & Yakovlev, Journal of Statistical Software 17(8), 2006,
/// for the exact distribution.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::Undefined`] for a sample of one, and
/// with [`CramerVonMisesMethod::Exact`] for one of more than 20.
///
/// ```
/// use mlops_core::stats::{CramerVonMisesMethod, cramer_von_mises};
///
/// let test = cramer_von_mises(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], CramerVonMisesMethod::Auto)?;
/// assert_eq!(test.method, CramerVonMisesMethod::Exact);
/// assert!((test.p_value - 2.0 / 70.0).abs() < 1e-15);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn cramer_von_mises(
    x: &[f64],
    y: &[f64],
    method: CramerVonMisesMethod,
) -> Result<CramerVonMisesTest, StatsError> {
    require_sample("x", x)?;
    require_sample("y", y)?;
    if x.len() < 2 || y.len() < 2 {
        return Err(undefined("one sample holds a single observation: at least two in each are needed"));
    }
    let small = x.len().max(y.len()) <= EXACT_LIMIT;
    let method = match method {
        CramerVonMisesMethod::Auto if small => CramerVonMisesMethod::Exact,
        CramerVonMisesMethod::Auto => CramerVonMisesMethod::Asymptotic,
        CramerVonMisesMethod::Exact if !small => {
            return Err(undefined(format!(
                "there is no exact p-value for more than {EXACT_LIMIT} observations: use the asymptotic one"
            )));
        }
        method => method,
    };

    let (n, m) = (x.len() as i128, y.len() as i128);
    let criterion = criterion(&sorted(x.to_vec()), &sorted(y.to_vec()));
    let statistic = criterion as f64 / (24 * n * m * (n + m)) as f64;
    let p_value = match method {
        CramerVonMisesMethod::Exact => exact_p_value(criterion, x.len() as u64, y.len() as u64),
        _ => asymptotic_p_value(statistic, n as f64, m as f64),
    };
    Ok(CramerVonMisesTest { statistic, p_value, method })
}

/// `24 nm(n+m) T`, which is an integer: `6·4U - 4nm(4nm - 1)`.
fn criterion(x: &[f64], y: &[f64]) -> i128 {
    let (n, m) = (x.len() as i128, y.len() as i128);
    let (mut seen_x, mut seen_y, mut x_squares, mut y_squares) = (0, 0, 0_i128, 0_i128);
    for group in tie_groups(x, y) {
        let twice_rank = (2 * (seen_x + seen_y) + group.len() + 1) as i128;
        let squares = |seen: usize, count: usize| {
            (seen + 1..=seen + count).map(|place| (twice_rank - 2 * place as i128).pow(2)).sum::<i128>()
        };
        x_squares += squares(seen_x, group.x);
        y_squares += squares(seen_y, group.y);
        seen_x += group.x;
        seen_y += group.y;
    }
    6 * (n * x_squares + m * y_squares) - 4 * n * m * (4 * n * m - 1)
}

/// Share of the orderings of two samples without ties whose criterion is at least the observed one.
///
/// An ordering is a lattice path from (0, 0) to (n, m); with `L = lcm(n, m)` its criterion is a sum of
/// `(i L/n - j L/m)²` over its points. For each point the paths to it are counted by that sum so far. Sums
/// that have reached the observed one are not told apart any more, which keeps the lists short.
fn exact_p_value(criterion: i128, n: u64, m: u64) -> f64 {
    let lcm = n / gcd(n.into(), m.into()) as u64 * m;
    let (n_step, m_step) = (lcm / n, lcm / m);
    let wanted = i128::from(lcm).pow(2) * i128::from(n + m) * criterion;
    let wanted = wanted.div_euclid(24 * i128::from(n * m).pow(2)).max(0) as u64;

    let mut column: Vec<Vec<(u64, u64)>> = vec![Vec::new(); m as usize + 1];
    for i in 0..=n {
        for j in 0..=m as usize {
            let from_below: &[(u64, u64)] = if j == 0 { &[] } else { &column[j - 1] };
            let mut paths = merged(&column[j], from_below);
            if i == 0 && j == 0 {
                paths.push((0, 1));
            }
            let here = (i * n_step).abs_diff(j as u64 * m_step).pow(2);
            column[j] = raised(&paths, here, wanted);
        }
    }
    let paths = &column[m as usize];
    let all: u64 = paths.iter().map(|(_, count)| count).sum();
    let reached: u64 = paths.iter().filter(|(sum, _)| *sum >= wanted).map(|(_, count)| count).sum();
    reached as f64 / all as f64
}

/// Two lists of (sum, paths) in ascending order of the sum, as one.
fn merged(one: &[(u64, u64)], other: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut merged = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one, other);
    while let (Some((first, rest_of_one)), Some((second, rest_of_other))) =
        (one.split_first(), other.split_first())
    {
        if first.0 <= second.0 {
            one = rest_of_one;
        }
        if second.0 <= first.0 {
            other = rest_of_other;
        }
        merged.push(match first.0.cmp(&second.0) {
            std::cmp::Ordering::Less => *first,
            std::cmp::Ordering::Greater => *second,
            std::cmp::Ordering::Equal => (first.0, first.1 + second.1),
        });
    }
    merged.extend_from_slice(one);
    merged.extend_from_slice(other);
    merged
}

/// Every sum raised by `step`; those that reach `cap` become one entry.
fn raised(paths: &[(u64, u64)], step: u64, cap: u64) -> Vec<(u64, u64)> {
    let below = paths.partition_point(|(sum, _)| sum + step < cap);
    let mut raised: Vec<(u64, u64)> =
        paths[..below].iter().map(|(sum, count)| (sum + step, *count)).collect();
    let reached: u64 = paths[below..].iter().map(|(_, count)| count).sum();
    if reached > 0 {
        raised.push((cap, reached));
    }
    raised
}

/// The statistic standardised to the mean and variance of its limit, then the tail of that limit.
fn asymptotic_p_value(statistic: f64, n: f64, m: f64) -> f64 {
    let (product, total) = (n * m, n + m);
    let mean = (1.0 + 1.0 / total) / 6.0;
    let variance = (total + 1.0) * (4.0 * product * total - 3.0 * (n * n + m * m) - 2.0 * product)
        / (45.0 * total * total * 4.0 * product);
    limit_sf(1.0 / 6.0 + (statistic - mean) / (45.0 * variance).sqrt())
}

/// Tail of the limiting distribution, that of `Σ Z_k²/(kπ)²` for independent standard normal Z.
///
/// Smirnov's formula, `P(W > w) = 2/π Σ_k (-1)^(k+1) ∫ e^(-wu²/2) / √(u |sin u|) du` over u from `(2k-1)π` to
/// `2kπ`. With `u = (2k-1)π + π(1 - cos θ)/2` the integrand is smooth and even in θ at both ends, so that the
/// midpoint rule converges exponentially. Smirnov, "On the distribution of the ω² criterion", Matematicheskii
/// Sbornik 2, 1937.
fn limit_sf(w: f64) -> f64 {
    const NODES: u32 = 128;
    /// Below it the tail is one to the last digit, and the series would become long.
    const SMALLEST: f64 = 0.003;
    /// Exponents beyond it contribute nothing to the sum.
    const LARGEST_EXPONENT: f64 = 745.0;
    if w < SMALLEST {
        return 1.0;
    }
    let mut sum = 0.0;
    for k in 1_u32.. {
        let start = f64::from(2 * k - 1) * PI;
        let leading = 0.5 * w * start * start;
        if leading > LARGEST_EXPONENT {
            break;
        }
        let lobe = |node: u32| {
            let theta = PI * (f64::from(node) + 0.5) / f64::from(NODES);
            let offset = 0.5 * PI * (1.0 - theta.cos());
            let u = start + offset;
            (-0.5 * w * u * u).exp() / (u * offset.sin()).sqrt() * 0.5 * PI * theta.sin()
        };
        let integral = (0..NODES).map(lobe).sum::<f64>() * PI / f64::from(NODES);
        sum += if k % 2 == 1 { integral } else { -integral };
    }
    (2.0 / PI * sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn limit_has_the_published_quantiles() {
        // Anderson & Darling, Annals of Mathematical Statistics 23(2), 1952, table 1.
        for (w, p) in
            [(0.118_88, 0.5), (0.347_30, 0.1), (0.461_36, 0.05), (0.743_46, 0.01), (1.167_86, 0.001)]
        {
            assert!((limit_sf(w) / p - 1.0).abs() < 1e-4, "{w} {p} {}", limit_sf(w));
        }
        assert!((limit_sf(0.003) - 1.0).abs() < 1e-12);
        assert!(limit_sf(20.0) > 0.0 && limit_sf(20.0) < 1e-40);
        assert_eq!(limit_sf(1e6), 0.0);
    }

    #[test]
    fn exact_and_asymptotic_p_values_meet() {
        let x: Vec<f64> = (0..20).map(|i| f64::from(i * i)).collect();
        let y: Vec<f64> = (0..19).map(|i| f64::from(14 * i) + 0.5).collect();
        let p = |method| cramer_von_mises(&x, &y, method).unwrap().p_value;
        let (exact, asymptotic) = (p(CramerVonMisesMethod::Exact), p(CramerVonMisesMethod::Asymptotic));
        assert!((exact - asymptotic).abs() < 0.02, "{exact} {asymptotic}");
    }
}
