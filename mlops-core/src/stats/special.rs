//! Distribution functions that the tests share: tails and quantiles to near machine precision.

use std::f64::consts::{PI, SQRT_2};

use statrs::function::{erf, gamma};

use super::{StatsError, undefined};

/// P(Z > z) for a standard normal Z.
pub(super) fn normal_sf(z: f64) -> f64 {
    0.5 * erf::erfc(z / SQRT_2)
}

/// The z with P(Z > z) = `tail`.
pub(super) fn normal_isf(tail: f64) -> f64 {
    SQRT_2 * erf::erfc_inv(2.0 * tail)
}

/// P(X > x) for X chi-squared with `dof` degrees of freedom.
pub(super) fn chi_squared_sf(x: f64, dof: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    gamma::checked_gamma_ur(dof / 2.0, x / 2.0).unwrap_or(0.0)
}

/// The x with P(X > x) = `tail` for X chi-squared with `dof` degrees of freedom.
pub(super) fn chi_squared_isf(tail: f64, dof: f64) -> f64 {
    let mut high = dof.max(1.0);
    while chi_squared_sf(high, dof) > tail {
        high *= 2.0;
    }
    first_float(0.0, high, |x| chi_squared_sf(x, dof) <= tail)
}

/// The x with I_x(a, b) = `tail`: quantile of Beta(a, b) from the left.
pub(super) fn beta_quantile(tail: f64, a: f64, b: f64) -> Result<f64, StatsError> {
    invert_beta(a, b, |lower, _| lower >= tail)
}

/// The x with 1 - I_x(a, b) = `tail`: quantile of Beta(a, b) from the right.
pub(super) fn beta_isf(tail: f64, a: f64, b: f64) -> Result<f64, StatsError> {
    invert_beta(a, b, |_, upper| upper <= tail)
}

fn invert_beta(a: f64, b: f64, reached: impl Fn(f64, f64) -> bool) -> Result<f64, StatsError> {
    let mut failure = None;
    let x = first_float(0.0, 1.0, |x| match beta_tails(a, b, x) {
        Ok((lower, upper)) => reached(lower, upper),
        Err(error) => {
            failure = Some(error);
            true
        }
    });
    failure.map_or(Ok(x), Err)
}

/// Lower and upper tail of Beta(a, b) at x, by the continued fraction of the incomplete beta function
/// (Abramowitz & Stegun 26.5.8), taken from the side of the mean on which it converges fast.
fn beta_tails(a: f64, b: f64, x: f64) -> Result<(f64, f64), StatsError> {
    if x <= 0.0 {
        return Ok((0.0, 1.0));
    }
    if x >= 1.0 {
        return Ok((1.0, 0.0));
    }
    let density = beta_kernel(a, b, x);
    if x < (a + 1.0) / (a + b + 2.0) {
        let lower = density / a * beta_fraction(a, b, x)?;
        Ok((lower, 1.0 - lower))
    } else {
        let upper = density / b * beta_fraction(b, a, 1.0 - x)?;
        Ok((1.0 - upper, upper))
    }
}

/// x^a (1-x)^b / B(a, b), written around the mean so that large a and b do not cancel.
fn beta_kernel(a: f64, b: f64, x: f64) -> f64 {
    let total = a + b;
    let deviance = a * (x * total / a).ln() + b * ((-x).ln_1p() + (a / b).ln_1p());
    let exponent = deviance + stirling_error(total) - stirling_error(a) - stirling_error(b);
    (a / total * b / (2.0 * PI)).sqrt() * exponent.exp()
}

/// Continued fraction of the incomplete beta function by the modified Lentz method.
fn beta_fraction(a: f64, b: f64, x: f64) -> Result<f64, StatsError> {
    const ITERATIONS: u32 = 100_000;
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };

    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..=ITERATIONS {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for coefficient in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + coefficient * d);
            c = away_from_zero(1.0 + coefficient / c);
            change *= c * d;
        }
        fraction *= change;
        if (change - 1.0).abs() <= 4.0 * f64::EPSILON {
            return Ok(fraction);
        }
    }
    Err(undefined(format!(
        "the quantile of Beta({a}, {b}) did not converge: use a Wilson interval for samples this large"
    )))
}

/// ln Γ(z + 1) minus Stirling's approximation of it, (z + ½) ln z - z + ½ ln 2π.
///
/// The asymptotic series 1/(12z) - 1/(360z³) + … for large z, the difference itself for small z.
pub(super) fn stirling_error(z: f64) -> f64 {
    if z < 16.0 {
        return gamma::ln_gamma(z + 1.0) - ((z + 0.5) * z.ln() - z + 0.5 * (2.0 * PI).ln());
    }
    let inverse_square = 1.0 / (z * z);
    let series = [1.0 / 1188.0, -1.0 / 1680.0, 1.0 / 1260.0, -1.0 / 360.0, 1.0 / 12.0];
    series.iter().fold(0.0, |sum, coefficient| sum * inverse_square + coefficient) / z
}

/// The smallest float in `(low, high]` at which a monotone predicate holds, given that it holds at `high`.
///
/// Non-negative floats are ordered like their bit patterns, so 64 halvings reach the last digit however
/// small the answer is.
fn first_float(low: f64, high: f64, mut holds: impl FnMut(f64) -> bool) -> f64 {
    let (mut low, mut high) = (low.to_bits(), high.to_bits());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(f64::from_bits(middle)) { high = middle } else { low = middle }
    }
    f64::from_bits(high)
}

/// The point of `[low, high]` where a monotone predicate turns from false to true.
pub(super) fn turning_point(low: f64, high: f64, mut holds: impl FnMut(f64) -> bool) -> f64 {
    let (mut low, mut high) = (low, high);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-13 + 1e-11 * expected.abs(), "{got} is not {expected}");
    }

    #[test]
    fn quantiles_invert_tails() {
        close(normal_isf(0.025), 1.959_963_984_540_054);
        close(chi_squared_isf(0.05, 9.0), 16.918_977_604_620_448);
        close(chi_squared_sf(16.918_977_604_620_448, 9.0), 0.05);
        for (a, b) in [(0.5, 10.5), (1.0, 1e6), (5e5, 5e5), (3e8, 7e8), (40.0, 2.0)] {
            for tail in [1e-12, 0.005, 0.5, 0.995] {
                let (lower, _) = beta_tails(a, b, beta_quantile(tail, a, b).unwrap()).unwrap();
                assert!((lower / tail - 1.0).abs() < 1e-6, "{a} {b} {tail} {lower}");
            }
        }
    }

    #[test]
    fn stirling_error_is_continuous_where_the_formula_changes() {
        close(stirling_error(15.999_999_999_999), stirling_error(16.0));
    }

    #[test]
    fn quantiles_beyond_the_continued_fraction_are_refused() {
        assert!(matches!(beta_quantile(0.025, 5e14, 5e14), Err(StatsError::Undefined { .. })));
    }
}
