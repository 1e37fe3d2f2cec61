//! The extreme differences of two empirical distribution functions.

use crate::stats::buckets::{BucketCounts, BucketValues, Buckets, FEWEST};
use crate::stats::{Alternative, sorted};

/// A difference F_x - F_y and the observation at which it occurs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extremum {
    pub(super) difference: f64,
    pub(super) location: f64,
}

/// Smallest and largest F_x - F_y over all observations of two samples without NaN. Of the two, the one
/// that the alternative does not report may be closer to zero than it is.
///
/// Of several observations with the extreme difference the smallest of x is reported, and one of y only if
/// there is none of x. A zero is reported without its sign.
pub(super) fn extreme_differences(x: &[f64], y: &[f64], alternative: Alternative) -> (Extremum, Extremum) {
    let countable = 2 * FEWEST..u32::MAX as usize;
    let by_buckets =
        if countable.contains(&(x.len() + y.len())) { from_buckets(x, y, alternative) } else { None };
    by_buckets.unwrap_or_else(|| from_sorted(x, y)).extremes()
}

fn from_sorted(x: &[f64], y: &[f64]) -> Walk {
    let mut walk = Walk::new(x.len(), y.len());
    walk.along(&sorted(x.to_vec()), &sorted(y.to_vec()));
    walk
}

/// Walks only through the buckets that may hold the extremum, so many at a time that little is gathered; `None`
/// if one of them holds too much.
fn from_buckets(x: &[f64], y: &[f64], alternative: Alternative) -> Option<Walk> {
    let (n, m) = (x.len(), y.len());
    let limit = (n + m) / 4;
    let buckets = Buckets::of(&[x, y]);
    let [x_counts, y_counts] = [x, y].map(|sample| buckets.count(sample));
    let mut ahead = Passed::all(&x_counts, &y_counts);
    let at_ends = ahead.iter().map(|bucket| bucket.at_end(alternative, n, m));
    let mut reached = at_ends.fold(f64::NEG_INFINITY, f64::max);
    let mut walk = Walk::new(n, m);
    loop {
        ahead.retain(|bucket| bucket.bound(alternative, n, m) >= reached);
        if ahead.is_empty() {
            return Some(walk);
        }
        let group: Vec<Passed> = ahead.drain(..as_many_as_fit(&ahead, limit)).collect();
        let selection = buckets.select(group.iter().map(|bucket| bucket.index));
        let (gathered_x, gathered_y) = (selection.gather(x, limit)?, selection.gather(y, limit)?);
        for bucket in group {
            walk.jump(bucket.x_before, bucket.y_before);
            walk.through(
                selection.of_bucket(bucket.index, bucket.x, &gathered_x),
                selection.of_bucket(bucket.index, bucket.y, &gathered_y),
            );
        }
        reached = reached.max(walk.reached(alternative));
    }
}

/// How many of the first buckets hold no more than `limit` observations together, but at least one.
fn as_many_as_fit(buckets: &[Passed], limit: usize) -> usize {
    let mut total = 0;
    let held = buckets.iter().map(|bucket| {
        total += bucket.x as usize + bucket.y as usize;
        total
    });
    held.take_while(|&total| total <= limit).count().max(1)
}

/// A bucket that is not empty, and how many observations precede it.
#[derive(Clone, Copy)]
struct Passed {
    index: usize,
    x_before: usize,
    y_before: usize,
    x: u32,
    y: u32,
}

impl Passed {
    fn all(x_counts: &BucketCounts, y_counts: &BucketCounts) -> Vec<Self> {
        let (mut x_before, mut y_before) = (0, 0);
        let mut passed = Vec::new();
        for (index, (&x, &y)) in x_counts.iter().zip(y_counts).enumerate() {
            if x > 0 || y > 0 {
                passed.push(Self { index, x_before, y_before, x, y });
            }
            x_before += x as usize;
            y_before += y as usize;
        }
        passed
    }

    /// The difference at the end of the bucket, of samples of n and m.
    fn at_end(&self, alternative: Alternative, n: usize, m: usize) -> f64 {
        let (i, j) = self.end();
        let difference = i as f64 / n as f64 - j as f64 / m as f64;
        size(alternative, difference, difference)
    }

    /// What no difference inside the bucket exceeds: as if one sample came first, or the other.
    fn bound(&self, alternative: Alternative, n: usize, m: usize) -> f64 {
        let difference = |i: usize, j: usize| i as f64 / n as f64 - j as f64 / m as f64;
        let (i, j) = self.end();
        size(alternative, difference(self.x_before, j), difference(i, self.y_before))
    }

    fn end(&self) -> (usize, usize) {
        (self.x_before + self.x as usize, self.y_before + self.y as usize)
    }
}

/// What an alternative asks for, of the lowest and the highest difference.
fn size(alternative: Alternative, lowest: f64, highest: f64) -> f64 {
    match alternative {
        Alternative::TwoSided => highest.max(-lowest),
        Alternative::Less => -lowest,
        Alternative::Greater => highest,
    }
}

/// A walk through the observations of two samples in ascending order.
struct Walk {
    n: f64,
    m: f64,
    /// Observations of x and of y up to here.
    i: usize,
    j: usize,
    /// At observations of x, and at those of y alone.
    lowest: [Extremum; 2],
    highest: [Extremum; 2],
}

impl Walk {
    fn new(n: usize, m: usize) -> Self {
        let none = Extremum { difference: f64::NAN, location: f64::NAN };
        Self { n: n as f64, m: m as f64, i: 0, j: 0, lowest: [none; 2], highest: [none; 2] }
    }

    fn jump(&mut self, i: usize, j: usize) {
        (self.i, self.j) = (i, j);
    }

    /// Walks on along two sorted slices.
    fn along(&mut self, mut x: &[f64], mut y: &[f64]) {
        loop {
            let location = match (x.first(), y.first()) {
                (Some(&x), Some(&y)) => x.min(y),
                (Some(&only), None) | (None, Some(&only)) => only,
                (None, None) => return,
            };
            let of_x = x.iter().take_while(|&&value| value == location).count();
            let of_y = y.iter().take_while(|&&value| value == location).count();
            (x, y) = (&x[of_x..], &y[of_y..]);
            self.step(location, of_x, of_y);
        }
    }

    /// Walks on through a bucket, which both samples repeat the same value of, if any.
    fn through(&mut self, x: BucketValues<'_>, y: BucketValues<'_>) {
        let (repeated, x_times) = x.repeated;
        let (_, y_times) = y.repeated;
        let (x_below, x_above) = x.others.split_at(x.others.partition_point(|&value| value < repeated));
        let (y_below, y_above) = y.others.split_at(y.others.partition_point(|&value| value < repeated));
        self.along(x_below, y_below);
        if x_times + y_times > 0 {
            self.step(repeated, x_times, y_times);
        }
        self.along(x_above, y_above);
    }

    fn step(&mut self, location: f64, of_x: usize, of_y: usize) {
        self.i += of_x;
        self.j += of_y;
        let difference = self.i as f64 / self.n - self.j as f64 / self.m;
        let here = Extremum { difference, location: location + 0.0 };
        let side = usize::from(of_x == 0);
        let (lowest, highest) = (&mut self.lowest[side], &mut self.highest[side]);
        if lowest.difference.is_nan() || difference < lowest.difference {
            *lowest = here;
        }
        if highest.difference.is_nan() || difference > highest.difference {
            *highest = here;
        }
    }

    /// The most extreme difference so far; NaN before the first observation.
    fn reached(&self, alternative: Alternative) -> f64 {
        let (lowest, highest) = self.extremes();
        size(alternative, lowest.difference, highest.difference)
    }

    fn extremes(&self) -> (Extremum, Extremum) {
        let ([lowest_x, lowest_y], [highest_x, highest_y]) = (self.lowest, self.highest);
        let y_is_lower = lowest_x.difference.is_nan() || lowest_y.difference < lowest_x.difference;
        let y_is_higher = highest_x.difference.is_nan() || highest_y.difference > highest_x.difference;
        (if y_is_lower { lowest_y } else { lowest_x }, if y_is_higher { highest_y } else { highest_x })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::samples::{Kind, sample};

    const ALTERNATIVES: [Alternative; 3] = [Alternative::TwoSided, Alternative::Less, Alternative::Greater];

    /// What is reported, bit by bit.
    fn reported(walk: &Walk, alternative: Alternative) -> (u64, u64, bool) {
        let (lowest, highest) = walk.extremes();
        let low = match alternative {
            Alternative::TwoSided => -lowest.difference > highest.difference,
            Alternative::Less => true,
            Alternative::Greater => false,
        };
        let extremum = if low { lowest } else { highest };
        (extremum.difference.to_bits(), extremum.location.to_bits(), low)
    }

    proptest! {
        #[test]
        fn buckets_find_what_sorting_finds(
            kinds: (Kind, Kind),
            sizes in (1_usize..6_000, 1_usize..6_000),
            seed: u64,
        ) {
            let x = sample(kinds.0, sizes.0, seed);
            for y in [sample(kinds.1, sizes.1, seed ^ 1), sample(kinds.0, sizes.1, seed ^ 2), x.clone()] {
                let sorted = from_sorted(&x, &y);
                for alternative in ALTERNATIVES {
                    if let Some(walk) = from_buckets(&x, &y, alternative) {
                        prop_assert_eq!(reported(&walk, alternative), reported(&sorted, alternative));
                    }
                }
            }
        }
    }

    #[test]
    fn usual_samples_need_no_sorting() {
        for kind in
            [Kind::Normal, Kind::Offset, Kind::LogNormal, Kind::HeavyTailed, Kind::Integers, Kind::ManyZeros]
        {
            let (x, y) = (sample(kind, 50_000, 1), sample(kind, 40_000, 2));
            assert!(from_buckets(&x, &y, Alternative::TwoSided).is_some(), "{kind:?}");
        }
    }
}
