//! Bayesian comparison of two proportions.

use statrs::function::beta::ln_beta;

use super::{BinomialSample, StatsError, undefined};

/// Probability that the treatment's true proportion exceeds the control's.
///
/// Both have the uniform prior Beta(1, 1), so the posteriors are `Beta(x + 1, n - x + 1)`. With `a`, `b` of
/// the control and `c`, `d` of the treatment,
///
/// ```text
/// P = Σ_{i<c} B(a + i, b + d) / ((d + i) B(1 + i, d) B(a, b))
/// ```
///
/// which is summed over the successes or failures of whichever arm has the fewest: O(min) steps, exact but
/// for rounding. It is a statement about this prior at one look, not an error rate: stopping as soon as it is
/// high finds differences that are not there; see
/// [`mixture_likelihood_ratio`](super::mixture_likelihood_ratio) for that.
///
/// Source: Miller, "Formulas for Bayesian A/B testing", 2014.
///
/// # Errors
///
/// [`StatsError::Undefined`] when every count exceeds 10⁸, where
/// [`two_proportion_z_test`](super::two_proportion_z_test) says the same.
///
/// ```
/// use mlops_core::stats::{BinomialSample, probability_to_beat};
///
/// let control = BinomialSample::new(20, 100)?;
/// let treatment = BinomialSample::new(30, 100)?;
/// assert!((probability_to_beat(control, treatment)? - 0.948).abs() < 1e-3);
/// assert_eq!(probability_to_beat(control, control)?, 0.5);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn probability_to_beat(control: BinomialSample, treatment: BinomialSample) -> Result<f64, StatsError> {
    const MOST_STEPS: u64 = 100_000_000;
    if control == treatment {
        return Ok(0.5);
    }
    let posterior = |sample: BinomialSample| {
        [sample.successes(), sample.trials() - sample.successes()].map(|count| count as f64 + 1.0)
    };
    let ([a, b], [c, d]) = (posterior(control), posterior(treatment));
    let fewest = a.min(b).min(c).min(d);
    if fewest > MOST_STEPS as f64 {
        return Err(undefined(
            "the counts are too large for an exact sum: use the z test of two proportions",
        ));
    }
    let probability = if fewest == c {
        sum_over_last([a, b], [c, d])
    } else if fewest == b {
        // More successes are fewer failures, with the arms exchanged.
        sum_over_last([d, c], [b, a])
    } else if fewest == a {
        1.0 - sum_over_last([c, d], [a, b])
    } else {
        1.0 - sum_over_last([b, a], [d, c])
    };
    Ok(probability.clamp(0.0, 1.0))
}

/// P(Y > X) for X Beta(a, b) and Y Beta(c, d), as a sum of c terms.
fn sum_over_last([a, b]: [f64; 2], [c, d]: [f64; 2]) -> f64 {
    let mut log_term = ln_beta(a, b + d) - ln_beta(a, b);
    let mut sum = 0.0;
    for i in 0..c as u64 {
        let i = i as f64;
        sum += f64::exp(log_term);
        log_term += ((a + i) / (a + b + d + i) * ((d + i) / (1.0 + i))).ln();
    }
    sum
}
