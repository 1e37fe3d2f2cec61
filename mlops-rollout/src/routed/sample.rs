//! A few of many.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A uniform sample of a stream, in fixed memory: algorithm R of Vitter, "Random sampling with a reservoir",
/// ACM Transactions on Mathematical Software 11(1), 1985. The same stream gives the same sample.
#[derive(Debug, Clone)]
pub(super) struct Sample<T> {
    kept: Vec<T>,
    most: usize,
    seen: u64,
    seed: u64,
}

impl<T> Sample<T> {
    pub(super) fn new(most: usize, seed: u64) -> Self {
        Self { kept: Vec::new(), most, seen: 0, seed }
    }

    /// One more has been seen; `make` is asked for it only where it is kept.
    pub(super) fn offer(&mut self, make: impl FnOnce() -> T) {
        self.seen = self.seen.saturating_add(1);
        if self.kept.len() < self.most {
            return self.kept.push(make());
        }
        let place = xxh3_64_with_seed(&self.seen.to_le_bytes(), self.seed) % self.seen;
        if let Some(slot) = usize::try_from(place).ok().and_then(|place| self.kept.get_mut(place)) {
            *slot = make();
        }
    }

    pub(super) fn kept(&self) -> &[T] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::stats::{ChiSquaredStatistic, goodness_of_fit};

    use super::*;

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        for (most, offered, expected) in [(0, 10, 0), (3, 2, 2), (3, 1_000, 3)] {
            let mut sample = Sample::new(most, 7);
            (0..offered).for_each(|item| sample.offer(|| item));
            assert_eq!(sample.kept().len(), expected);
        }
    }

    #[test]
    fn every_item_has_the_same_chance() {
        let mut times_kept = [0_u64; 20];
        for seed in 0..4_000 {
            let mut sample = Sample::new(5, seed);
            (0..20_usize).for_each(|item| sample.offer(|| item));
            sample.kept().iter().for_each(|item| times_kept[*item] += 1);
        }
        let fit = goodness_of_fit(&times_kept, &[1.0; 20], ChiSquaredStatistic::Pearson).unwrap();
        assert!(fit.test.p_value > 0.001, "{times_kept:?}");
    }
}
