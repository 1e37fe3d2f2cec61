//! The mixture sequential probability ratio test of two streams of outcomes.

use super::{Interval, StatsError, require_open_unit, require_positive};

/// Compares two arms of an experiment pair by pair, with answers valid whenever one looks; O(1) per pair.
///
/// After n pairs with the proportions `p_a` and `p_b` so far, `d = p_b - p_a` and
/// `V = p_a(1 - p_a) + p_b(1 - p_b)`:
///
/// ```text
/// Λ = √(V/(V + nτ²)) · exp( n²τ²d² / (2V(V + nτ²)) )
/// p = min(p so far, 1/Λ)
/// d ± √( 2V(V + nτ²)/(n²τ²) · (ln(1/α) + ½ ln((V + nτ²)/V)) )
/// ```
///
/// While `V` is zero, Λ is one and the interval is the whole line. For arms of unequal size look at
/// [`mixture_likelihood_ratio`](super::mixture_likelihood_ratio).
///
/// Source: Johari, Koomen, Pekelis & Walsh, "Always valid inference: continuous monitoring of A/B tests",
/// Operations Research 70(3), 2022, equations 7 to 10.
///
/// ```
/// use mlops_core::stats::BernoulliMsprt;
///
/// let mut test = BernoulliMsprt::new(1e-2)?;
/// for pair in 0..200 {
///     test.observe(pair % 5 == 0, pair % 5 != 0);
/// }
/// assert_eq!(test.difference(), 0.6);
/// assert!(test.p_value() < 0.001);
/// assert!(test.interval(0.05)?.lower > 0.3);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BernoulliMsprt {
    tau2: f64,
    pairs: u64,
    successes: [u64; 2],
    p_value: f64,
}

impl BernoulliMsprt {
    /// Starts a test against differences drawn from Normal(0, `tau2`). Choose `tau2` before the first pair, as
    /// the squared size of a typical effect.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when `tau2` is not positive and finite.
    pub fn new(tau2: f64) -> Result<Self, StatsError> {
        require_positive("tau2", tau2)?;
        Ok(Self { tau2, pairs: 0, successes: [0, 0], p_value: 1.0 })
    }

    /// Takes in one outcome of each arm.
    pub fn observe(&mut self, a: bool, b: bool) {
        self.pairs += 1;
        self.successes[0] += u64::from(a);
        self.successes[1] += u64::from(b);
        self.p_value = self.p_value.min((-self.log_lambda()).exp());
    }

    /// Pairs taken in.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        self.pairs
    }

    /// Proportion of b minus that of a, so far; zero before the first pair.
    #[must_use]
    pub fn difference(&self) -> f64 {
        (self.successes[1] as f64 - self.successes[0] as f64) / (self.pairs.max(1) as f64)
    }

    /// Natural logarithm of the likelihood ratio Λ of "some difference" to "no difference".
    #[must_use]
    pub fn log_lambda(&self) -> f64 {
        let variance = self.variance();
        if variance == 0.0 {
            return 0.0;
        }
        let (n, d) = (self.pairs as f64, self.difference());
        let mixed = variance + n * self.tau2;
        0.5 * (variance / mixed).ln() + n * n * self.tau2 * d * d / (2.0 * variance * mixed)
    }

    /// The always-valid p-value of "no difference": the chance that it ever falls to some level is at most
    /// that level, asymptotically.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        self.p_value
    }

    /// The interval at this number of pairs of the confidence sequence at level `1 - alpha`; infinite while no
    /// variation was seen.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when `alpha` is not in `(0, 1)`.
    pub fn interval(&self, alpha: f64) -> Result<Interval, StatsError> {
        require_open_unit("alpha", alpha)?;
        let variance = self.variance();
        if variance == 0.0 {
            return Ok(Interval { lower: f64::NEG_INFINITY, upper: f64::INFINITY });
        }
        let n = self.pairs as f64;
        let mixed = variance + n * self.tau2;
        let evidence = 0.5 * (mixed / variance).ln() - alpha.ln();
        let half_width = (2.0 * variance * mixed / (n * n * self.tau2) * evidence).sqrt();
        let difference = self.difference();
        Ok(Interval { lower: difference - half_width, upper: difference + half_width })
    }

    fn variance(&self) -> f64 {
        let n = self.pairs.max(1) as f64;
        let of_arm = |successes: u64| successes as f64 / n * ((self.pairs - successes) as f64 / n);
        self.successes.into_iter().map(of_arm).sum()
    }
}
