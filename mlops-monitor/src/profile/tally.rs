//! Counts of categories in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;

/// Most categories that are counted.
const TRACKED: usize = 32_768;

/// How often each category comes. With more than 32,768 of them the rarest are given up: the median count is
/// taken off all of them, and those with none left go (Misra & Gries 1982, with the purge of Anderson et al.,
/// "A high-performance algorithm for identifying frequent items in data streams", IMC 2017). Then a count is too
/// low by at most the number of values / 16,384; exact before. The order of the values does not matter before,
/// and matters by no more than that after.
#[derive(Debug, Clone)]
pub(super) struct Tally<K> {
    counts: HashMap<K, u64>,
    lost: u64,
}

impl<K: Hash + Eq> Tally<K> {
    pub(super) fn new() -> Self {
        Self { counts: HashMap::new(), lost: 0 }
    }

    /// Counts a category, made of `key` if it is not known, `count` times.
    pub(super) fn add<Q>(&mut self, key: &Q, count: u64)
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.counts.get_mut(key) {
            Some(known) => *known += count,
            None => {
                self.counts.insert(key.to_owned(), count);
                self.purge();
            }
        }
    }

    /// Adds what another one has counted.
    pub(super) fn merge(&mut self, other: Self) {
        self.lost += other.lost;
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.purge();
    }

    /// The categories with their counts, and how many values are in none of these counts.
    pub(super) fn finish(self) -> (Vec<(K, u64)>, u64) {
        (self.counts.into_iter().collect(), self.lost)
    }

    fn purge(&mut self) {
        while self.counts.len() > TRACKED {
            let before: u64 = self.counts.values().sum();
            let mut counts: Vec<u64> = self.counts.values().copied().collect();
            let middle = counts.len() / 2;
            let (_, &mut median, _) = counts.select_nth_unstable(middle);
            self.counts.retain(|_, count| {
                *count = count.saturating_sub(median);
                *count > 0
            });
            self.lost += before - self.counts.values().sum::<u64>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_categories_are_counted_within_the_bound() {
        let mut tally = Tally::<u64>::new();
        let mut total = 0;
        for round in 0..40_u64 {
            for key in 0..10_000 {
                tally.add(&(1_000_000 + round * 10_000 + key), 1);
                tally.add(&(key % 50), 1);
                total += 2;
            }
        }
        let (counts, lost) = tally.finish();
        assert!(counts.len() <= TRACKED);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>() + lost, total);
        for key in 0..50 {
            let count = counts.iter().find(|(known, _)| *known == key).unwrap().1;
            assert!((8_000 - total / 16_384..=8_000).contains(&count), "{count}");
        }
    }
}
