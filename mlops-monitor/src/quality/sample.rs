//! Moments and quantiles of a stream, in bounded memory.

use mlops_core::stats;

use crate::sampler::split_mix;

/// The chance that a quantile of a sample lies farther off than is allowed for.
const UNSURE: f64 = 1e-6;

/// Number, mean and spread of what came, by Welford's updates (Technometrics 4, 1962).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

/// The numbers that came, all of them up to a limit, then a uniform sample of them (Vitter's algorithm R, ACM TOMS 11,
/// 1985). The sample is the same every time.
#[derive(Debug)]
pub(super) struct Sample {
    kept: Vec<f64>,
    seen: u64,
    limit: usize,
    least: f64,
    greatest: f64,
}

impl Moments {
    pub(super) fn push(&mut self, number: f64) {
        self.count += 1;
        let before = number - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (number - self.mean);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// Of the sample: n - 1.
    pub(super) fn std(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt())
    }
}

impl Sample {
    pub(super) fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), seen: 0, limit, least: f64::INFINITY, greatest: f64::NEG_INFINITY }
    }

    pub(super) fn push(&mut self, number: f64) {
        (self.least, self.greatest) = (self.least.min(number), self.greatest.max(number));
        if self.kept.len() < self.limit {
            self.kept.push(number);
        } else {
            let place = (u128::from(split_mix(self.seen)) * u128::from(self.seen + 1)) >> 64;
            if let Some(kept) = usize::try_from(place).ok().and_then(|place| self.kept.get_mut(place)) {
                *kept = number;
            }
        }
        self.seen += 1;
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// The quantile at `q`, and an interval that holds the one of all that came: itself while all are kept, then by the
    /// inequality of Dvoretzky, Kiefer, Wolfowitz and Massart (Annals of Probability 18, 1990) but for one time in a
    /// million. `None` without values, or between -∞ and ∞.
    pub(super) fn quantile(&self, q: f64) -> Option<(f64, f64, f64)> {
        if self.seen as usize <= self.limit {
            let exact = *stats::quantiles(&self.kept, &[q]).ok()?.first()?;
            return Some((exact, exact, exact));
        }
        let error = ((2.0 / UNSURE).ln() / (2.0 * self.kept.len() as f64)).sqrt();
        let near = [q, (q - error).max(0.0), (q + error).min(1.0)];
        let [at, low, high] = stats::quantiles(&self.kept, &near).ok()?.try_into().ok()?;
        let low = if q < error { self.least } else { low };
        let high = if q + error > 1.0 { self.greatest } else { high };
        Some((at, low, high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_definition() {
        let mut moments = Moments::default();
        assert_eq!((moments.mean(), moments.std()), (None, None));
        for number in [1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0, 1e9 + 4.0] {
            moments.push(number);
        }
        assert_eq!(moments.mean(), Some(1e9 + 2.5));
        assert!((moments.std().unwrap() - (5.0_f64 / 3.0).sqrt()).abs() < 1e-6);
    }

    #[test]
    fn quantiles_are_exact_up_to_the_limit_and_bracketed_beyond() {
        let mut sample = Sample::new(10_000);
        (0..=9_999).for_each(|number| sample.push(f64::from(number)));
        assert_eq!(sample.quantile(0.5), Some((4999.5, 4999.5, 4999.5)));

        (10_000..=199_999).for_each(|number| sample.push(f64::from(number)));
        for q in [0.0, 0.01, 0.5, 0.9, 1.0] {
            let exact = q * 199_999.0;
            let (at, low, high) = sample.quantile(q).unwrap();
            assert!(low <= exact && exact <= high && low <= at && at <= high, "{q}: {low} {at} {high}");
            assert!(high - low < 0.06 * 199_999.0, "{q}: {low} {high}");
        }
        assert!(Sample::new(10).quantile(0.5).is_none());
    }
}
