//! Order statistics by selection.

use super::buckets::{BucketValues, Buckets, FEWEST};
use super::sorted;

/// The values at some ranks of a sample without NaN, as if it were sorted. Ranks count from zero, ascend
/// and are below its length. A zero is returned without its sign.
///
/// Long samples are counted in order-preserving buckets; only the buckets that hold a rank are gathered and
/// sorted, in memory for those alone.
pub(super) fn order_statistics(values: &[f64], ranks: &[usize]) -> Vec<f64> {
    let by_buckets =
        if (FEWEST..u32::MAX as usize).contains(&values.len()) { from_buckets(values, ranks) } else { None };
    let mut statistics = by_buckets.unwrap_or_else(|| {
        let sorted = sorted(values.to_vec());
        ranks.iter().map(|&rank| sorted[rank]).collect()
    });
    statistics.iter_mut().for_each(|value| *value += 0.0);
    statistics
}

fn from_buckets(values: &[f64], ranks: &[usize]) -> Option<Vec<f64>> {
    let buckets = Buckets::of(&[values]);
    let counts = buckets.count(values);
    let holding = buckets_of_ranks(&counts, ranks);
    let mut wanted: Vec<usize> = holding.iter().map(|held| held.bucket).collect();
    wanted.dedup();
    let selection = buckets.select(wanted);
    let gathered = selection.gather(values, values.len() / 4)?;
    let at = |held: &Held| {
        value_at(selection.of_bucket(held.bucket, counts[held.bucket], &gathered), held.rank_inside)
    };
    holding.iter().map(at).collect()
}

struct Held {
    bucket: usize,
    rank_inside: usize,
}

fn buckets_of_ranks(counts: &[u32], ranks: &[usize]) -> Vec<Held> {
    let mut ranks = ranks.iter().copied().peekable();
    let mut held = Vec::with_capacity(ranks.len());
    let mut below = 0;
    for (bucket, &count) in counts.iter().enumerate() {
        let end = below + count as usize;
        while let Some(rank) = ranks.next_if(|&rank| rank < end) {
            held.push(Held { bucket, rank_inside: rank - below });
        }
        below = end;
    }
    held
}

fn value_at(values: BucketValues<'_>, rank: usize) -> Option<f64> {
    let (repeated, times) = values.repeated;
    let below = values.others.partition_point(|&value| value < repeated);
    if rank < below || times == 0 {
        values.others.get(rank).copied()
    } else if rank < below + times {
        Some(repeated)
    } else {
        values.others.get(rank - times).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::samples::{Kind, sample};

    proptest! {
        #[test]
        fn buckets_find_what_sorting_finds(
            kind: Kind,
            size in 1_usize..6_000,
            shares in prop::collection::btree_set(0_u32..=1_000, 1..30),
            seed: u64,
        ) {
            let values = sample(kind, size, seed);
            let mut ranks: Vec<usize> =
                shares.iter().map(|&share| (size - 1) * share as usize / 1_000).collect();
            ranks.dedup();
            let all = sorted(values.clone());
            if let Some(found) = from_buckets(&values, &ranks) {
                prop_assert_eq!(found, ranks.iter().map(|&rank| all[rank]).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn usual_samples_need_no_sorting() {
        let ranks: Vec<usize> = (0..200).map(|k| k * 250).collect();
        for kind in
            [Kind::Normal, Kind::Offset, Kind::LogNormal, Kind::HeavyTailed, Kind::Integers, Kind::ManyZeros]
        {
            assert!(from_buckets(&sample(kind, 50_000, 1), &ranks).is_some(), "{kind:?}");
        }
    }
}
