//! How long to wait before asking again.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Exponential back-off with full jitter.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// The counter of SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators",
    /// OOPSLA 2014), which all callers advance.
    draws: AtomicU64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, draws: AtomicU64::new(RandomState::new().hash_one(0_u8)) }
    }

    pub(super) fn bounded(self, first: Duration, longest: Duration) -> Self {
        Self { first, longest, ..self }
    }

    pub(super) fn seeded(self, seed: u64) -> Self {
        Self { draws: AtomicU64::new(seed), ..self }
    }

    /// The wait after that many attempts.
    pub(super) fn wait(&self, attempts: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest).mul_f64(self.draw())
    }

    /// Uniform in [0, 1).
    fn draw(&self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        let mut z = self.draws.fetch_add(GOLDEN_GAMMA, Ordering::Relaxed).wrapping_add(GOLDEN_GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 * STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(longest: Duration) -> Backoff {
        Backoff::new(Duration::from_millis(10), longest).seeded(7)
    }

    #[test]
    fn the_bound_doubles_and_the_wait_is_anywhere_below_it() {
        let backoff = backoff(Duration::from_millis(50));
        for (attempts, bound) in [(1, 10), (2, 20), (3, 40), (4, 50), (40, 50), (u32::MAX, 50)] {
            let waits: Vec<_> = (0..1000).map(|_| backoff.wait(attempts)).collect();
            let bound = Duration::from_millis(bound);
            assert!(waits.iter().all(|wait| *wait < bound));
            let mean = waits.iter().sum::<Duration>() / 1000;
            assert!(mean > bound.mul_f64(0.46) && mean < bound.mul_f64(0.54), "{mean:?} of {bound:?}");
        }
    }

    #[test]
    fn the_longest_of_all_waits_overflows_nothing() {
        let endless = Backoff::new(Duration::MAX, Duration::MAX).seeded(1);
        assert!(endless.wait(u32::MAX) < Duration::MAX);
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let (one, other) = (backoff(Duration::MAX), backoff(Duration::MAX));
        assert!((1..20).all(|attempts| one.wait(attempts) == other.wait(attempts)));
    }
}
