//! The distribution of the Kolmogorov statistic D_n of one sample of n observations.
//!
//! Which algorithm serves which region follows Simard & L'Ecuyer, "Computing the two-sided
//! Kolmogorov-Smirnov distribution", Journal of Statistical Software 39(11), 2011.

use std::f64::consts::PI;

use super::special::stirling_error;

/// Largest n for which Smirnov's sum is evaluated term by term.
const SUMMED_N: f64 = 1e6;
/// Terms of Smirnov's sum that are evaluated; more vary so smoothly that every k-th of them says the same.
const TERMS: u64 = 512;
/// Largest n for which Durbin's matrix is used where the Pelz-Good expansion is less accurate.
const MATRIX_N: f64 = 3000.0;

/// P(D_n >= x), for integral `n >= 1`.
pub(super) fn kolmogorov_sf(n: f64, x: f64) -> f64 {
    let t = n * x;
    let spread = t * x;
    let p = if t <= 0.5 {
        1.0
    } else if x >= 1.0 {
        0.0
    } else if t <= 1.0 {
        -(ln_factorial_over_power(n) + n * (2.0 * t - 1.0).ln()).exp_m1()
    } else if t >= n - 1.0 {
        2.0 * (n * (-x).ln_1p()).exp()
    } else if x >= 0.5 || spread > if n <= 140.0 { 4.0 } else { 2.2 } {
        2.0 * smirnov_sf(n, x)
    } else if n <= 140.0 || (n <= MATRIX_N && t * x.sqrt() <= 1.4) {
        1.0 - durbin_cdf(n, x)
    } else {
        1.0 - pelz_good_cdf(n, x)
    };
    p.clamp(0.0, 1.0)
}

/// ln(n! / n^n)
fn ln_factorial_over_power(n: f64) -> f64 {
    stirling_error(n) - n + 0.5 * (2.0 * PI * n).ln()
}

/// P(D_n^+ >= x) for `n x² > 2`, Smirnov (1944): Σ_j x/(x + j/n) P(Binomial(n, x + j/n) = j) over
/// 0 <= j <= n(1 - x).
///
/// The binomial probabilities are taken in Loader's saddle-point form, which does not lose digits to large
/// n. Long sums take every k-th term k times: like exp(-n x² / 2p(1 - p)) at p = j/n, the terms and all their
/// derivatives vanish towards both ends, where the trapezoidal rule converges faster than any power of its
/// step. Beyond [`SUMMED_N`] the sum gives way to its limit exp(-(6nx + 1)² / 18n).
fn smirnov_sf(n: f64, x: f64) -> f64 {
    smirnov_sum(n, x, TERMS)
}

fn smirnov_sum(n: f64, x: f64, terms: u64) -> f64 {
    let shift = n * x;
    if n > SUMMED_N {
        return (-(6.0 * shift + 1.0).powi(2) / (18.0 * n)).exp();
    }
    let leading = stirling_error(n) + 0.5 * (n / (2.0 * PI)).ln();
    let term = |j: f64| {
        let rest = n - j;
        // In the last term `rest` can round to just below `shift`; the logarithm must not be NaN for it.
        let deviance = j * (shift / j).ln_1p() + rest * (-shift / rest).max(-1.0).ln_1p();
        let normaliser = leading - stirling_error(j) - stirling_error(rest) - 0.5 * (j * rest).ln();
        shift / (shift + j) * (normaliser + deviance).exp()
    };
    let last = (n - shift).floor() as u64;
    let first_term = (n * (-x).ln_1p()).exp();
    let stride = last.div_ceil(terms).max(1);
    let sum: f64 = (1..=last / stride).map(|k| term((k * stride) as f64)).sum();
    first_term + stride as f64 * sum
}

/// P(D_n <= x) as an entry of the n-th power of Durbin's matrix.
///
/// Marsaglia, Tsang & Wang, "Evaluating Kolmogorov's distribution", Journal of Statistical Software 8(18),
/// 2003. One row of the power is enough, so the matrix is applied n times to a unit vector.
fn durbin_cdf(n: f64, x: f64) -> f64 {
    let t = n * x;
    let k = t.floor() as usize + 1;
    let size = 2 * k - 1;
    let matrix = durbin_matrix(size, k as f64 - t);

    let scale = (ln_factorial_over_power(n) / n).exp();
    let mut row = vec![0.0; size];
    row[k - 1] = 1.0;
    for _ in 0..n as u64 {
        let mut next = vec![0.0; size];
        for (weight, line) in row.iter().zip(&matrix) {
            for (sum, entry) in next.iter_mut().zip(line) {
                *sum += scale * weight * entry;
            }
        }
        row = next;
    }
    row[k - 1]
}

fn durbin_matrix(size: usize, h: f64) -> Vec<Vec<f64>> {
    let last = size - 1;
    let entry = |i: usize, j: usize| {
        if j > i + 1 {
            return 0.0;
        }
        let mut numerator = 1.0;
        if j == 0 {
            numerator -= h.powf((i + 1) as f64);
        }
        if i == last {
            numerator -= h.powf((size - j) as f64);
        }
        if (i, j) == (last, 0) && h > 0.5 {
            numerator += (2.0 * h - 1.0).powf(size as f64);
        }
        let factorial: f64 = (1..=i + 1 - j).map(|factor| factor as f64).product();
        numerator / factorial
    };
    (0..size).map(|i| (0..size).map(|j| entry(i, j)).collect()).collect()
}

/// P(D_n <= x) by the expansion in powers of 1/√n around Kolmogorov's limit.
///
/// Pelz & Good, "Approximating the lower tail-areas of the Kolmogorov-Smirnov one-sample statistic",
/// Journal of the Royal Statistical Society B 38(2), 1976.
fn pelz_good_cdf(n: f64, x: f64) -> f64 {
    const TERMS: i32 = 20;
    let z2 = n * x * x;
    let z = z2.sqrt();
    let (z4, z6) = (z2 * z2, z2 * z2 * z2);

    // The sums run over all integers k; symmetry leaves twice those over k >= 0 and over k >= 1.
    let (mut k0, mut k1, mut k2, mut k3) = (0.0, 0.0, 0.0, 0.0);
    for k in 0..TERMS {
        let u = (PI * (f64::from(k) + 0.5)).powi(2);
        let weight = 2.0 * (-u / (2.0 * z2)).exp();
        k0 += weight;
        k1 += weight * (u - z2);
        k2 += weight * (6.0 * z6 + 2.0 * z4 + u * (2.0 * z4 - 5.0 * z2) + u * u * (1.0 - 2.0 * z2));
        k3 += weight
            * (u * u * u * (5.0 - 30.0 * z2)
                + u * u * (212.0 * z4 - 60.0 * z2)
                + u * (135.0 * z4 - 96.0 * z6)
                - 30.0 * z6
                - 90.0 * z4 * z4);
    }
    let (mut correction2, mut correction3) = (0.0, 0.0);
    for k in 1..TERMS {
        let v = (PI * f64::from(k)).powi(2);
        let weight = 2.0 * (-v / (2.0 * z2)).exp();
        correction2 += weight * v;
        correction3 += weight * (3.0 * v * z2 - v * v);
    }

    let half = (PI / 2.0).sqrt();
    let k0 = half / z * k0;
    let k1 = half / (6.0 * z4) * k1;
    let k2 = half * (k2 / (72.0 * z6 * z) - correction2 / (36.0 * z2 * z));
    let k3 = half * (k3 / (6480.0 * z6 * z4) + correction3 / (216.0 * z6));
    k0 + k1 / n.sqrt() + k2 / n + k3 / (n * n.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neighbouring algorithms agree where one takes over from the other.
    #[test]
    fn algorithms_agree() {
        let near = |a: f64, b: f64, tolerance: f64| assert!((a / b - 1.0).abs() < tolerance, "{a} {b}");
        for n in [20.0, 140.0] {
            let x = (4.0_f64 / n).sqrt();
            near(1.0 - durbin_cdf(n, x), 2.0 * smirnov_sf(n, x), 1e-6);
        }
        for n in [500.0, 2000.0] {
            let x = (0.8_f64 / n).sqrt();
            near(1.0 - durbin_cdf(n, x), 1.0 - pelz_good_cdf(n, x), 1e-6);
        }
        let x = 1e-3;
        near(smirnov_sf(SUMMED_N, x), smirnov_sf(SUMMED_N + 1.0, x), 1e-4);
    }

    #[test]
    fn every_kth_term_says_what_all_of_them_say() {
        for n in [2_000.0, 20_000.0, 100_000.0] {
            for spread in [2.2_f64, 5.0, 30.0, 340.0] {
                let x = (spread / n).sqrt();
                let (some, all) = (smirnov_sum(n, x, TERMS), smirnov_sum(n, x, u64::MAX));
                assert!((some / all - 1.0).abs() < 1e-11, "{n} {spread}: {some} {all}");
            }
        }
    }

    #[test]
    fn small_cases_have_closed_forms() {
        assert_eq!(kolmogorov_sf(1.0, 0.5), 1.0);
        assert!((kolmogorov_sf(1.0, 0.75) - 0.5).abs() < 1e-14);
        assert!((kolmogorov_sf(2.0, 0.75) - 0.125).abs() < 1e-14);
        assert_eq!(kolmogorov_sf(10.0, 1.0), 0.0);
        assert_eq!(kolmogorov_sf(10.0, 0.0), 1.0);
    }

    #[test]
    fn statistics_beside_a_multiple_of_one_nth_have_a_p_value() {
        let p = kolmogorov_sf(10_000.0, 0.05);
        assert!((kolmogorov_sf(10_000.0, 0.05_f64.next_up()) / p - 1.0).abs() < 1e-9, "{p}");
        assert!((kolmogorov_sf(10_000.0, 0.050000000000000044) / p - 1.0).abs() < 1e-9, "{p}");
        for i in 1..500 {
            let near = kolmogorov_sf(500.0, 1.0 - f64::from(i) / 500.0);
            assert!((0.0..=1.0).contains(&near), "{i}: {near}");
        }
    }
}
