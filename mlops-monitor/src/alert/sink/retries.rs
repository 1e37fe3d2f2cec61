//! How often, and after how long, a message is sent again.

use std::time::Duration;

use mlops_core::{Error, Result};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How often, and after how long, a message is sent again.
///
/// The waits double from the first to the longest; each is shortened by chance, by up to a half, so that
/// those who failed together do not come back together. A receiver that says how long to wait
/// (`Retry-After`) gets that, up to the longest wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retries {
    /// How often a message is sent at most. Default 6.
    pub attempts: u32,
    /// The wait after the first attempt. Default 1 s.
    pub first_wait: Duration,
    /// The longest wait. Default 60 s.
    pub longest_wait: Duration,
    /// How long the answer to one attempt may take. Default 10 s.
    pub timeout: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        }
    }
}

impl Retries {
    /// Sets how often a message is sent at most.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the wait after the first attempt, and the longest.
    #[must_use]
    pub fn with_waits(mut self, first: Duration, longest: Duration) -> Self {
        (self.first_wait, self.longest_wait) = (first, longest);
        self
    }

    /// Sets how long the answer to one attempt may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.attempts == 0 || self.timeout.is_zero() {
            return Err(Error::invalid_input("retries need at least one attempt, and a time-out above zero"));
        }
        Ok(())
    }

    /// The wait after that many attempts. Chance comes from the seed, the message and the attempt.
    pub(super) fn wait(&self, attempt: u32, asked: Option<Duration>, seed: u64, id: &str) -> Duration {
        if let Some(asked) = asked {
            return asked.min(self.longest_wait);
        }
        let doubled = self.first_wait.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
        let chance = xxh3_64_with_seed(id.as_bytes(), seed ^ u64::from(attempt)) as f64 / 2.0_f64.powi(64);
        doubled.min(self.longest_wait).mul_f64(1.0 - 0.5 * chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_keep_to_what_is_asked() {
        let retries = Retries::default().with_waits(Duration::from_secs(1), Duration::from_secs(10));
        for (attempt, longest) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (40, 10.0)] {
            for seed in 0..50 {
                let wait = retries.wait(attempt, None, seed, "a").as_secs_f64();
                assert!((0.5 * longest..=longest).contains(&wait), "{attempt}: {wait}");
            }
        }
        assert_ne!(retries.wait(1, None, 1, "a"), retries.wait(1, None, 1, "b"));
        assert_eq!(retries.wait(1, Some(Duration::from_secs(7)), 0, "a"), Duration::from_secs(7));
        assert_eq!(retries.wait(1, Some(Duration::from_secs(700)), 0, "a"), Duration::from_secs(10));
    }
}
