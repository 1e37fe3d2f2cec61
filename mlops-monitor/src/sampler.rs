//! A share of the calls, evenly spread.

use std::sync::atomic::{AtomicU64, Ordering};

/// Takes a share of the calls: lock-free, and by a hash of their number, so that it repeats exactly and no
/// period of the traffic falls in step with it.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// Hashes below are taken; `None` takes all.
    below: Option<u64>,
    calls: AtomicU64,
}

impl Sampler {
    pub(crate) fn new(share: f64) -> Self {
        let below = (share < 1.0).then_some((share * 2.0_f64.powi(64)) as u64);
        Self { below, calls: AtomicU64::new(0) }
    }

    pub(crate) fn takes_next(&self) -> bool {
        self.below.is_none_or(|below| split_mix(self.calls.fetch_add(1, Ordering::Relaxed)) < below)
    }

    /// Whether what has this hash is taken: the same wherever the share is the same.
    #[cfg(feature = "capture")]
    pub(crate) fn takes(&self, hash: u64) -> bool {
        self.below.is_none_or(|below| hash < below)
    }
}

/// The output function of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
pub(crate) fn split_mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_kept_whatever_the_period() {
        for period in [1, 2, 10] {
            let sampler = Sampler::new(0.2);
            let taken = (0..100_000).filter(|call| sampler.takes_next() && call % period == 0).count();
            let expected = 20_000.0 / f64::from(period);
            assert!((taken as f64 / expected - 1.0).abs() < 0.05, "{taken} of {expected}");
        }
        let all = Sampler::new(1.0);
        assert!((0..100).all(|_| all.takes_next()));
    }
}
