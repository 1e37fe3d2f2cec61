//! How long answers take.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::stats::normal_sf;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::random::Random;

/// A lognormal latency, by the two numbers that everybody knows of a service: its median and its p99.
///
/// ```
/// use std::time::Duration;
/// use mlops_rollout::LognormalLatency;
///
/// let millis = Duration::from_millis;
/// assert!(LognormalLatency::new(millis(20), millis(80)).is_ok());
/// assert!(LognormalLatency::new(millis(80), millis(20)).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "LatencyFields")]
pub struct LognormalLatency {
    #[serde(with = "compact::required")]
    median: Duration,
    #[serde(with = "compact::required")]
    p99: Duration,
}

/// The z that a normal variable exceeds once in a hundred.
const Z_99: f64 = 2.326_347_874_040_840_8;
/// What lies beyond so many standard deviations happens twice in a million draws, and counts as this.
const REACH: f64 = 4.75;
const MOST_CELLS: f64 = 1_024.0;

impl LognormalLatency {
    /// Half of the answers take longer than `median`, one in a hundred longer than `p99`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless 0 < median < p99.
    pub fn new(median: Duration, p99: Duration) -> Result<Self> {
        if median.is_zero() || median >= p99 {
            return Err(Error::invalid_input(format!(
                "a latency with a median of {median:?} and a p99 of {p99:?}; \
                 the median must be above zero and the p99 above that"
            )));
        }
        Ok(Self { median, p99 })
    }

    /// The standard deviation of the logarithm.
    fn sigma(&self) -> f64 {
        (self.p99.as_secs_f64() / self.median.as_secs_f64()).ln() / Z_99
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LatencyFields {
    #[serde(with = "compact::required")]
    median: Duration,
    #[serde(with = "compact::required")]
    p99: Duration,
}

impl TryFrom<LatencyFields> for LognormalLatency {
    type Error = Error;

    fn try_from(LatencyFields { median, p99 }: LatencyFields) -> Result<Self> {
        Self::new(median, p99)
    }
}

/// A latency cut into cells as narrow as those in which evidence is kept, so that many are drawn at once.
#[derive(Debug)]
pub(super) struct Cells {
    /// The middle of each, in seconds.
    seconds: Vec<f64>,
    /// The probability of all cells before each, and 1 at the end.
    below: Vec<f64>,
}

impl Cells {
    pub(super) fn new(latency: &LognormalLatency) -> Self {
        let sigma = latency.sigma();
        let count = (2.0 * REACH * sigma * 64.0).ceil().clamp(2.0, MOST_CELLS);
        let z_at = |cell: f64| REACH * (2.0 * cell / count - 1.0);
        let median = latency.median.as_secs_f64();
        let cells = || (0..count as usize).map(|cell| cell as f64);
        let seconds = cells().map(|cell| median * (sigma * z_at(cell + 0.5)).exp()).collect();
        let inner = cells().skip(1).map(|cell| normal_sf(-z_at(cell)));
        let below = std::iter::once(0.0).chain(inner).chain([1.0]).collect();
        Self { seconds, below }
    }

    /// Draws `count` latencies in seconds and tells how often each came: exactly as if one by one.
    pub(super) fn draw(&self, count: u64, random: &mut Random, mut tell: impl FnMut(f64, u64)) {
        self.split(0, self.seconds.len(), count, random, &mut tell);
    }

    /// `count` draws within the cells from `start` to `end`: a binomial number lies in their lower half.
    fn split(
        &self,
        start: usize,
        end: usize,
        count: u64,
        random: &mut Random,
        tell: &mut impl FnMut(f64, u64),
    ) {
        const FEW: u64 = 8;
        let at = |cell: usize| self.below.get(cell).copied().unwrap_or(1.0);
        let seconds = |cell: usize| self.seconds.get(cell).copied().unwrap_or_default();
        if count == 0 {
            return;
        }
        if end - start <= 1 {
            tell(seconds(start), count);
            return;
        }
        let mass = at(end) - at(start);
        if count <= FEW {
            for _ in 0..count {
                let point = at(start) + mass * random.unit();
                let cell = self.below.partition_point(|below| *below <= point).saturating_sub(1);
                tell(seconds(cell.clamp(start, end - 1)), 1);
            }
            return;
        }
        let middle = start.midpoint(end);
        let lower = random.binomial(count, (at(middle) - at(start)) / mass);
        self.split(start, middle, lower, random, tell);
        self.split(middle, end, count - lower, random, tell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(count: u64, rounds: u64) -> Vec<f64> {
        let millis = Duration::from_millis;
        let cells = Cells::new(&LognormalLatency::new(millis(20), millis(80)).unwrap());
        let mut random = Random::new(3, count);
        let mut all = Vec::new();
        for _ in 0..rounds {
            let before = all.len();
            cells.draw(count, &mut random, |seconds, count| {
                all.extend(std::iter::repeat_n(seconds, count as usize));
            });
            assert_eq!(all.len() - before, count as usize);
        }
        all.sort_by(f64::total_cmp);
        all
    }

    #[test]
    fn many_at_once_are_drawn_as_one_by_one() {
        for (count, rounds) in [(1, 100_000), (100_000, 1), (50, 2_000)] {
            let all = drawn(count, rounds);
            let quantile = |q: f64| all[(q * all.len() as f64) as usize];
            for (q, expected) in [(0.5, 0.020), (0.99, 0.080), (0.01, 0.005)] {
                let found = quantile(q) / expected;
                assert!((0.96..1.04).contains(&found), "{count} at once, q {q}: {found}");
            }
        }
    }

    #[test]
    fn serde_refuses_what_new_refuses() {
        let read = |json: &str| serde_json::from_str::<LognormalLatency>(json);
        let latency = read(r#"{"median":"20ms","p99":"80ms"}"#).unwrap();
        assert_eq!(read(&serde_json::to_string(&latency).unwrap()).unwrap(), latency);
        assert!(read(r#"{"median":"20ms","p99":"20ms"}"#).is_err());
        assert!(read(r#"{"median":"0s","p99":"20ms"}"#).is_err());
    }
}
