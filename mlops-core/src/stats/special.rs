//! Distribution functions that the tests share: tails and quantiles to near machine precision.

use std::f64::consts::{PI, SQRT_2};

use statrs::function::{erf, gamma};

use super::{StatsError, undefined};

/// The tail of the standard normal distribution, P(Z > z).
///
/// ```
/// assert!((mlops_core::stats::normal_sf(1.959_963_984_540_054) - 0.025).abs() < 1e-15);
/// ```
#[must_use]
pub fn normal_sf(z: f64) -> f64 {
    // That of statrs 0.19 is off by up to 1e-10 of the value.
    0.5 * libm::erfc(z / SQRT_2)
}

/// The z with P(Z > z) = `tail` for a standard normal Z; infinite at a tail of 0 and of 1.
///
/// ```
/// assert!((mlops_core::stats::normal_isf(0.025) - 1.959_963_984_540_054).abs() < 1e-15);
/// ```
#[must_use]
pub fn normal_isf(tail: f64) -> f64 {
    let z = SQRT_2 * erf::erfc_inv(2.0 * tail);
    // One step of Newton, for the last digits.
    let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
    let step = (normal_sf(z) - tail) / density;
    if step.is_finite() { z + step } else { z }
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

/// Degrees of freedom from which Student's t is treated as a normal variable, corrected to the order 1/dof:
/// the error of order 1/dof² is then below that of the incomplete beta function.
const NEARLY_NORMAL: f64 = 1e6;

/// P(T > t) for T Student's t with `dof` degrees of freedom, which need not be whole.
pub(super) fn student_t_sf(t: f64, dof: f64) -> Result<f64, StatsError> {
    if dof > NEARLY_NORMAL {
        // Abramowitz & Stegun 26.7.8, written so that t may be infinite.
        let scale = 1.0 / (1.0 / (t * t) + 1.0 / (2.0 * dof)).sqrt();
        return Ok(normal_sf((1.0 - 0.25 / dof) * scale.copysign(t)));
    }
    // T² / (dof + T²) is Beta(½, dof/2); it and its complement are computed from the smaller of them.
    let squared = t * t;
    let two_sided = if squared < dof {
        beta_tails(0.5, dof / 2.0, squared / (dof + squared))?.1
    } else {
        beta_tails(dof / 2.0, 0.5, dof / squared / (1.0 + dof / squared))?.0
    };
    Ok(if t > 0.0 { 0.5 * two_sided } else { 1.0 - 0.5 * two_sided })
}

/// The t with P(T > t) = `tail` for a `tail` below one half.
pub(super) fn student_t_isf(tail: f64, dof: f64) -> Result<f64, StatsError> {
    if dof > NEARLY_NORMAL {
        let z = normal_isf(tail);
        return Ok(z + (z.powi(3) + z) / (4.0 * dof));
    }
    // T² / (dof + T²) and its complement, whichever is the smaller.
    let share = beta_isf(2.0 * tail, 0.5, dof / 2.0)?;
    if share < 0.5 {
        return Ok((dof * share / (1.0 - share)).sqrt());
    }
    let rest = beta_quantile(2.0 * tail, dof / 2.0, 0.5)?;
    Ok((dof * (1.0 - rest) / rest).sqrt())
}

/// `x ln(x/m) - x + m`, never negative: the divergence of a part x from a part m of two totals. Summed over
/// the parts of equal totals it is Σ x ln(x/m), without cancellation between the parts.
///
/// Loader, "Fast and accurate computation of binomial probabilities", 2000: a series in
/// v = (x-m)/(x+m) where x and m are close.
pub(super) fn deviance(x: f64, m: f64) -> f64 {
    if x == m {
        return 0.0;
    }
    if x == 0.0 {
        return m;
    }
    let difference = x - m;
    let v = difference / (x + m);
    if v.abs() >= 0.1 {
        return x * (x / m).ln() - difference;
    }
    let mut sum = difference * v;
    let mut power = 2.0 * x * v;
    for odd in (3..).step_by(2) {
        power *= v * v;
        let next = sum + power / f64::from(odd);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
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
        assert!((normal_isf(0.025) - 1.959_963_984_540_054).abs() < 1e-15);
        for (z, tail) in [(1.0, 0.158_655_253_931_457_05), (6.0, 9.865_876_450_376_946e-10)] {
            assert!((normal_sf(z) / tail - 1.0).abs() < 1e-13);
            assert!((normal_isf(tail) / z - 1.0).abs() < 1e-14);
        }
        assert_eq!((normal_isf(0.0), normal_isf(1.0)), (f64::INFINITY, f64::NEG_INFINITY));
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
    fn student_t_has_known_tails_and_inverts() {
        close(student_t_sf(1.0, 1.0).unwrap(), 0.25);
        close(student_t_sf(-2.0, 2.0).unwrap(), 0.5 + 0.5 * 2.0 / 6.0_f64.sqrt());
        close(student_t_sf(0.0, 3.0).unwrap(), 0.5);
        close(student_t_sf(f64::INFINITY, 3.0).unwrap(), 0.0);
        close(student_t_sf(2.0, 1e12).unwrap(), normal_sf(2.0));
        for dof in [1.05, 4.0, 300.5, 9.9e5, 1.1e6, 1e12] {
            for tail in [1e-9, 0.005, 0.3] {
                let inverse = student_t_sf(student_t_isf(tail, dof).unwrap(), dof).unwrap();
                assert!((inverse / tail - 1.0).abs() < 1e-7, "{dof} {tail} {inverse}");
            }
        }
        let (beta, normal) = (student_t_sf(2.0, 1e6), student_t_sf(2.0, 1.000_001e6));
        assert!((beta.unwrap() / normal.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn deviance_is_the_same_by_both_formulas() {
        for (x, m) in [(1.0, 1.01), (2.0, 1.7), (1.0, 3.0), (1e9, 1.1e9)] {
            close(deviance(x, m), x * (x / m).ln() - x + m);
        }
        assert_eq!((deviance(0.0, 2.0), deviance(0.0, 0.0), deviance(1.0, 0.0)), (2.0, 0.0, f64::INFINITY));
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
