//! Latencies in fixed memory, recorded without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Each power of two is cut into this many buckets, so a bucket is at most 1/64 = 1.6 % wide.
const PER_OCTAVE_BITS: u32 = 6;
const PER_OCTAVE: usize = 1 << PER_OCTAVE_BITS;
/// Up to 2⁴² ns = 73 minutes; what takes longer counts as that.
const MAX_BITS: u32 = 42;
const BUCKETS: usize = (MAX_BITS - PER_OCTAVE_BITS + 1) as usize * PER_OCTAVE;

/// A log-linear histogram of durations, as HdrHistogram lays them out: 18 KiB, one atomic addition per
/// record.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Box<[AtomicU64]>,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn record(&self, latency: Duration) {
        if let Some(count) = self.counts.get(bucket_of(nanos_of(latency))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> Latencies {
        let counts =
            self.counts.iter().enumerate().map(|(bucket, count)| (bucket, count.load(Ordering::Relaxed)));
        let counts = counts.filter(|(_, count)| *count > 0);
        Latencies { buckets: counts.map(|(bucket, count)| (largest_of(bucket), count)).collect() }
    }
}

fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.min((1 << MAX_BITS) - 1);
    let octave = (u64::BITS - nanos.leading_zeros()).saturating_sub(PER_OCTAVE_BITS + 1);
    octave as usize * PER_OCTAVE + (nanos >> octave) as usize
}

/// The inverse of [`bucket_of`]: the largest number of nanoseconds in the bucket.
fn largest_of(bucket: usize) -> u64 {
    let octave = (bucket / PER_OCTAVE).saturating_sub(1);
    let mantissa = (bucket - octave * PER_OCTAVE) as u64;
    ((mantissa + 1) << octave) - 1
}

/// How long the good answers of a variant took, to 1.6 %.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Latencies {
    /// The longest of each bucket in nanoseconds, and how many lie in it; ascending.
    buckets: Vec<(u64, u64)>,
}

impl Latencies {
    /// Adds so many answers that took that long.
    pub(crate) fn add(&mut self, latency: Duration, count: u64) {
        let largest = largest_of(bucket_of(nanos_of(latency)));
        let at = self.buckets.partition_point(|(nanos, _)| *nanos < largest);
        match self.buckets.get_mut(at) {
            Some((nanos, known)) if *nanos == largest => *known = known.saturating_add(count),
            _ => self.buckets.insert(at, (largest, count)),
        }
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The latency that a share `q` of the answers did not exceed: 0.5 for the median, 0.99 for the p99.
    /// `None` when nothing was recorded or `q` lies outside [0, 1].
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        if !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = (q * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0_u64;
        let at = self.buckets.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        });
        at.map(|(nanos, _)| Duration::from_nanos(*nanos))
    }

    /// How many took longer than `limit`, to the 1.6 % of a bucket.
    #[must_use]
    pub fn count_above(&self, limit: Duration) -> u64 {
        let limit = largest_of(bucket_of(nanos_of(limit)));
        let above = self.buckets.iter().filter(|(nanos, _)| *nanos > limit);
        above.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Adds what another replica saw.
    pub fn merge(&mut self, other: &Self) {
        for (nanos, count) in &other.buckets {
            match self.buckets.binary_search_by_key(nanos, |(known, _)| *known) {
                Ok(place) => self.buckets[place].1 = self.buckets[place].1.saturating_add(*count),
                Err(place) => self.buckets.insert(place, (*nanos, *count)),
            }
        }
    }
}

/// From nanoseconds and how many took so long, in any order.
impl From<Vec<(u64, u64)>> for Latencies {
    fn from(mut counts: Vec<(u64, u64)>) -> Self {
        counts.iter_mut().for_each(|(nanos, _)| *nanos = largest_of(bucket_of(*nanos)));
        counts.sort_unstable();
        counts.dedup_by(|(nanos, count), (kept, sum)| {
            let same = nanos == kept;
            if same {
                *sum = sum.saturating_add(*count);
            }
            same
        });
        counts.retain(|(_, count)| *count > 0);
        Self { buckets: counts }
    }
}

/// The longest of each bucket in nanoseconds, and how many lie in it; ascending.
impl From<Latencies> for Vec<(u64, u64)> {
    fn from(latencies: Latencies) -> Self {
        latencies.buckets
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Self {
        let histogram = Histogram::new();
        latencies.into_iter().for_each(|latency| histogram.record(latency));
        histogram.snapshot()
    }
}

fn nanos_of(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_is_narrow_and_knows_its_end(nanos in 0_u64..1 << MAX_BITS) {
            let largest = largest_of(bucket_of(nanos));
            prop_assert!(nanos <= largest && largest - nanos <= nanos / 64, "{nanos} {largest}");
            prop_assert_eq!(bucket_of(largest), bucket_of(nanos));
            prop_assert_eq!(bucket_of(largest + 1).min(BUCKETS - 1), (bucket_of(nanos) + 1).min(BUCKETS - 1));
        }
    }

    proptest! {
        #[test]
        fn merging_is_recording_all_in_one(
            one in prop::collection::vec(0_u64..1 << 50, 0..50),
            other in prop::collection::vec(0_u64..1 << 20, 0..50),
        ) {
            let of = |nanos: &[u64]| nanos.iter().map(|nanos| Duration::from_nanos(*nanos)).collect::<Latencies>();
            let mut merged = of(&one);
            merged.merge(&of(&other));
            prop_assert_eq!(&merged, &of(&[one, other].concat()));
            let json = serde_json::to_string(&merged).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Latencies>(&json).unwrap(), &merged);
        }
    }

    #[test]
    fn counts_from_elsewhere_are_put_in_order_and_never_overflow() {
        let latencies: Latencies =
            serde_json::from_str("[[70,2],[10,18446744073709551615],[10,1],[5,0]]").unwrap();
        assert_eq!(Vec::from(latencies.clone()), [(10, u64::MAX), (70, 2)]);
        assert_eq!(latencies.count(), u64::MAX);
        assert_eq!(latencies.quantile(1.0), Some(Duration::from_nanos(10)));
    }

    #[test]
    fn quantiles_count_and_nothing_gives_nothing() {
        let histogram = Histogram::new();
        assert_eq!(histogram.snapshot().quantile(0.5), None);
        for micros in 1..=100 {
            histogram.record(Duration::from_micros(micros));
        }
        histogram.record(Duration::MAX);
        let latencies = histogram.snapshot();
        assert_eq!(latencies.count(), 101);
        let median = latencies.quantile(0.5).unwrap().as_nanos();
        assert!((51_000..=51_000 * 65 / 64).contains(&median), "{median}");
        assert!(latencies.quantile(1.0).unwrap() > Duration::from_secs(70 * 60));
        assert_eq!(latencies.quantile(f64::NAN), None);
        assert_eq!(latencies.count_above(Duration::from_micros(90)), 11);
    }

    #[test]
    fn what_is_added_counts_as_what_was_recorded() {
        let micros = [700, 5, 700, 90, 5_000_000, 90, 90];
        let mut added = Latencies::default();
        for (micros, count) in [(700, 1), (5, 1), (90, 3), (5_000_000, 1), (700, 1)] {
            added.add(Duration::from_micros(micros), count);
        }
        assert_eq!(added, micros.into_iter().map(Duration::from_micros).collect());
    }
}
