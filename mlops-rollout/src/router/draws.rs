//! Chance, from a seed.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Uniform draws from [0, 1), without a lock.
///
/// SplitMix64: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. Its
/// state is a counter.
#[derive(Debug)]
pub(crate) enum Draws {
    /// The same for the same seed: one counter that all threads advance.
    Seeded(AtomicU64),
    /// Other draws in each process and thread: nothing is shared, so cores do not wait for each other.
    Entropy,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

thread_local! {
    static COUNTER: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
}

impl Draws {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(AtomicU64::new(seed))
    }

    pub(crate) fn next(&self) -> f64 {
        let before = match self {
            Self::Seeded(counter) => counter.fetch_add(GOLDEN_GAMMA, Ordering::Relaxed),
            Self::Entropy => {
                COUNTER.with(|counter| counter.replace(counter.get().wrapping_add(GOLDEN_GAMMA)))
            }
        };
        unit(mix(before.wrapping_add(GOLDEN_GAMMA)))
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The upper 53 bits as a number in [0, 1).
pub(crate) fn unit(bits: u64) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    (bits >> 11) as f64 * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the reference implementation (prng.di.unimi.it/splitmix64.c) for the seed
    /// 1234567.
    #[test]
    fn equals_the_reference() {
        let draws = Draws::seeded(1_234_567);
        for expected in [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        {
            assert_eq!(draws.next(), unit(expected));
        }
    }

    #[test]
    fn the_ends_stay_inside() {
        assert_eq!(unit(0), 0.0);
        assert!(unit(u64::MAX) < 1.0);
    }
}
