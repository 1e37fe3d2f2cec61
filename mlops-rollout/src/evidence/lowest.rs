//! Uniform samples of a stream, in fixed memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The K entries of the lowest priority.
///
/// Where priorities are random, this is a uniform sample without replacement, and the lowest of two such
/// samples together are one of both streams together: samples of replicas merge as if one had seen all. Where
/// a priority is the hash of a key, keys are sampled and each counts once. Cohen & Kaplan, "Summarizing data
/// using bottom-k sketches", PODC 2007.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "Vec<(u64, T)>",
    into = "Vec<(u64, T)>",
    bound(serialize = "T: Clone + Serialize", deserialize = "T: Ord + Deserialize<'de>")
)]
pub(super) struct Lowest<T, const K: usize>(Vec<(u64, T)>);

impl<T, const K: usize> Default for Lowest<T, K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord, const K: usize> From<Vec<(u64, T)>> for Lowest<T, K> {
    fn from(mut entries: Vec<(u64, T)>) -> Self {
        entries.sort_unstable();
        entries.dedup_by_key(|(priority, _)| *priority);
        entries.truncate(K);
        Self(entries)
    }
}

impl<T, const K: usize> From<Lowest<T, K>> for Vec<(u64, T)> {
    fn from(lowest: Lowest<T, K>) -> Self {
        lowest.0
    }
}

impl<T: Ord + Clone, const K: usize> Lowest<T, K> {
    /// Whether an entry of this priority would be kept.
    fn takes(&self, priority: u64) -> bool {
        self.bound().is_none_or(|bound| priority < bound)
    }

    /// The highest priority that is kept, once there are K entries. Of the stream, all entries of a lower one
    /// are here.
    pub(super) fn bound(&self) -> Option<u64> {
        self.0.get(K - 1).map(|(priority, _)| *priority)
    }

    pub(super) fn insert(&mut self, priority: u64, entry: T) {
        if !self.takes(priority) {
            return;
        }
        if let Err(place) = self.0.binary_search_by_key(&priority, |(known, _)| *known) {
            if self.0.capacity() == 0 {
                self.0.reserve_exact(K + 1);
            }
            self.0.insert(place, (priority, entry));
            self.0.truncate(K);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let mut all = std::mem::take(&mut self.0);
        all.extend_from_slice(&other.0);
        *self = Self::from(all);
    }

    pub(super) fn entries(&self) -> &[(u64, T)] {
        &self.0
    }
}

/// A [`Lowest`] that threads share. Most entries of a long stream are turned away without a lock.
#[derive(Debug)]
pub(super) struct SharedLowest<T, const K: usize> {
    bound: AtomicU64,
    lowest: Mutex<Lowest<T, K>>,
}

impl<T, const K: usize> Default for SharedLowest<T, K> {
    fn default() -> Self {
        Self { bound: AtomicU64::new(u64::MAX), lowest: Mutex::default() }
    }
}

impl<T: Ord + Clone, const K: usize> SharedLowest<T, K> {
    pub(super) fn offer(&self, priority: u64, entry: T) {
        // The bound only falls, and one that is out of date is only too high.
        if priority >= self.bound.load(Ordering::Relaxed) {
            return;
        }
        let mut lowest = self.lowest.lock().unwrap_or_else(PoisonError::into_inner);
        lowest.insert(priority, entry);
        if let Some(bound) = lowest.bound() {
            self.bound.store(bound, Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> Lowest<T, K> {
        self.lowest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Few = Lowest<u8, 5>;

    fn of(entries: &[(u64, u8)]) -> Few {
        let mut lowest = Few::default();
        entries.iter().for_each(|(priority, entry)| lowest.insert(*priority, *entry));
        lowest
    }

    fn streams() -> impl Strategy<Value = Vec<Vec<(u64, u8)>>> {
        // A priority belongs to one entry, as a hash does.
        let entry = (0_u64..30).prop_map(|priority| (priority, (priority * 7 % 11) as u8));
        prop::collection::vec(prop::collection::vec(entry, 0..20), 3)
    }

    proptest! {
        #[test]
        fn merging_is_as_if_one_had_seen_all(streams in streams()) {
            let [a, b, c] = [of(&streams[0]), of(&streams[1]), of(&streams[2])];
            let merged = |one: &Few, other: &Few| { let mut one = one.clone(); one.merge(other); one };
            let all = of(&streams.concat());
            prop_assert_eq!(&merged(&merged(&a, &b), &c), &all);
            prop_assert_eq!(&merged(&a, &merged(&c, &b)), &all);
            prop_assert_eq!(&merged(&all, &a), &all);
            prop_assert_eq!(&merged(&all, &Few::default()), &all);
            let json = serde_json::to_string(&all).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Few>(&json).unwrap(), &all);
        }
    }

    #[test]
    fn threads_keep_what_one_would_keep() {
        let shared = SharedLowest::<u64, 100>::default();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let shared = &shared;
                scope.spawn(move || {
                    for index in 0..10_000 {
                        let priority = (index * 4 + thread).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                        shared.offer(priority, priority);
                    }
                });
            }
        });
        let mut all: Vec<u64> =
            (0..40_000_u64).map(|index| index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        all.sort_unstable();
        let kept: Vec<u64> = shared.snapshot().entries().iter().map(|(_, entry)| *entry).collect();
        assert_eq!(kept, all[..100]);
    }
}
