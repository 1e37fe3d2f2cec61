//! Order-preserving buckets: where the counts of ranges of values say enough, nothing needs to be sorted.

use std::ops::Range;

/// Samples shorter than this are sorted: a few thousand values sort faster than buckets are laid out.
pub(super) const FEWEST: usize = 2_048;

const BITS: u32 = 14;
const BUCKETS: usize = 1 << BITS;
/// One of so many values, but no fewer and no more than these, is looked at to lay out the buckets.
const SAMPLED_ONE_OF: usize = 64;
const SAMPLED: Range<usize> = 512..8_192;
/// Values mapped at a time, so that the arithmetic is done in vectors.
const BLOCK: usize = 64;

/// Observations per bucket.
pub(super) type BucketCounts = Vec<u32>;

/// A map from values to buckets that never decreases.
///
/// A value v, limited to the range of a small sample, has the distance d from the sample's median and maps to
/// `sign(d) (bits(|d| + b) - bits(b))`, where `bits` reads a float as an integer: linear below the bend b and
/// logarithmic above it, like an inverse hyperbolic sine. Every step is monotone also after rounding, so
/// values of different buckets are in the order of their buckets. The bend is a usual distance of the sample;
/// so the buckets are narrow where the values are, whatever their scale, offset and tails. Where that fails
/// (and only speed depends on it), a bucket holds many values.
pub(super) struct Buckets {
    centre: f64,
    bend: f64,
    low: f64,
    high: f64,
    origin: i64,
    shift: u32,
    /// The value of each bucket that the sample holds most often, ascending.
    frequent: Vec<f64>,
}

impl Buckets {
    /// Buckets for values like those of the samples, which together are not empty.
    pub(super) fn of(samples: &[&[f64]]) -> Self {
        let length: usize = samples.iter().map(|values| values.len()).sum();
        let step = length.div_ceil((length / SAMPLED_ONE_OF).clamp(SAMPLED.start, SAMPLED.end)).max(1);
        let mut sample: Vec<f64> =
            samples.iter().flat_map(|values| values.iter().copied().step_by(step)).collect();
        sample.sort_unstable_by(f64::total_cmp);
        let (low, high) = match (sample.first(), sample.last()) {
            (Some(&low), Some(&high)) => (low, high),
            _ => (0.0, 0.0),
        };
        let centre = sample.get(sample.len() / 2).copied().filter(|value| value.is_finite()).unwrap_or(0.0);
        let mut distances: Vec<f64> = sample
            .iter()
            .map(|value| (value - centre).abs())
            .filter(|&distance| distance > 0.0 && distance.is_finite())
            .collect();
        distances.sort_unstable_by(f64::total_cmp);
        let bend = distances.get(distances.len() / 4).copied().unwrap_or(1.0);

        let mut buckets = Self { centre, bend, low, high, origin: 0, shift: 0, frequent: Vec::new() };
        buckets.origin = buckets.key(low);
        let span = buckets.key(high).wrapping_sub(buckets.origin) as u64;
        buckets.shift = (u64::BITS - span.leading_zeros()).saturating_sub(BITS);
        buckets.frequent = buckets.most_frequent(&sample);
        buckets
    }

    /// The bucket of a value that is not NaN.
    #[inline(always)]
    pub(super) fn bucket(&self, value: f64) -> usize {
        let raised = if value > self.low { value } else { self.low };
        let limited = if raised < self.high { raised } else { self.high };
        (self.key(limited).wrapping_sub(self.origin) as u64 >> self.shift) as usize % BUCKETS
    }

    #[inline(always)]
    fn key(&self, value: f64) -> i64 {
        let distance = value - self.centre;
        let size = (distance.abs() + self.bend).to_bits().wrapping_sub(self.bend.to_bits()) as i64;
        let sign = distance.to_bits() as i64 >> 63;
        (size ^ sign).wrapping_sub(sign)
    }

    /// How many of the values fall into each bucket; at most `u32::MAX` values.
    pub(super) fn count(&self, values: &[f64]) -> BucketCounts {
        let mut counts = vec![0_u32; BUCKETS];
        let Some(table) = counts.first_chunk_mut::<BUCKETS>() else { return counts };
        let (blocks, rest) = values.as_chunks::<BLOCK>();
        for block in blocks {
            for bucket in self.buckets(block) {
                table[bucket as usize % BUCKETS] += 1;
            }
        }
        rest.iter().for_each(|&value| table[self.bucket(value)] += 1);
        counts
    }

    #[inline(always)]
    fn buckets(&self, block: &[f64; BLOCK]) -> [u32; BLOCK] {
        let mut buckets = [0; BLOCK];
        for (bucket, &value) in buckets.iter_mut().zip(block) {
            *bucket = self.bucket(value) as u32;
        }
        buckets
    }

    /// The values of some buckets, to be gathered.
    pub(super) fn select(&self, wanted: impl IntoIterator<Item = usize>) -> Selection<'_> {
        let mut selection = Selection { buckets: self, slots: vec![0; BUCKETS], left_out: vec![f64::NAN; 2] };
        for bucket in wanted {
            let start = self.frequent.partition_point(|&value| self.bucket(value) < bucket);
            let frequent = self.frequent.get(start).filter(|value| self.bucket(**value) == bucket);
            selection.slots[bucket] = match frequent {
                Some(&value) => {
                    selection.left_out.push(value);
                    selection.left_out.len() - 1
                }
                None => 1,
            } as u16;
        }
        selection
    }

    fn most_frequent(&self, sorted: &[f64]) -> Vec<f64> {
        let of_bucket = |values: &[f64]| {
            let runs = values.chunk_by(|a, b| a == b);
            runs.max_by_key(|run| run.len()).and_then(|run| run.first().copied())
        };
        sorted.chunk_by(|&a, &b| self.bucket(a) == self.bucket(b)).filter_map(of_bucket).collect()
    }
}

/// Some of the buckets. Of each, a value that may be frequent is left out of what is gathered: how often it
/// occurs follows from the count of its bucket.
pub(super) struct Selection<'a> {
    buckets: &'a Buckets,
    /// Per bucket, where in `left_out` the value is that is left out; 0 for a bucket that is not selected.
    slots: Vec<u16>,
    /// NaN at 1, for selected buckets of which no value is left out.
    left_out: Vec<f64>,
}

/// The values of one selected bucket of a sample.
#[derive(Clone, Copy)]
pub(super) struct BucketValues<'a> {
    /// All but the repeated value, ascending.
    pub(super) others: &'a [f64],
    /// A value and how often it occurs; NaN where there is none.
    pub(super) repeated: (f64, usize),
}

impl Selection<'_> {
    /// The values in the selected buckets, sorted; `None` if they are more than `limit`.
    pub(super) fn gather(&self, values: &[f64], limit: usize) -> Option<Vec<f64>> {
        let mut gathered = Vec::new();
        let slots = self.slots.first_chunk::<BUCKETS>()?;
        let (blocks, rest) = values.as_chunks::<BLOCK>();
        let left_out = self.left_out.as_slice();
        let wanted = |bucket: usize, value: f64| {
            let slot = usize::from(slots[bucket % BUCKETS]);
            // One condition, since each of the two alone may hold at random.
            (slot != 0) & (left_out[slot] != value)
        };
        for block in blocks {
            for (bucket, &value) in self.buckets.buckets(block).into_iter().zip(block) {
                if wanted(bucket as usize, value) {
                    gathered.push(value);
                }
            }
            if gathered.len() > limit {
                return None;
            }
        }
        gathered.extend(rest.iter().filter(|&&value| wanted(self.buckets.bucket(value), value)));
        gathered.sort_unstable_by(f64::total_cmp);
        (gathered.len() <= limit).then_some(gathered)
    }

    /// The values of a selected bucket of `count` values, from what was gathered.
    pub(super) fn of_bucket<'v>(&self, bucket: usize, count: u32, gathered: &'v [f64]) -> BucketValues<'v> {
        let start = gathered.partition_point(|&value| self.buckets.bucket(value) < bucket);
        let length = gathered[start..].partition_point(|&value| self.buckets.bucket(value) == bucket);
        let others = &gathered[start..start + length];
        let repeated = self.left_out[usize::from(self.slots[bucket])];
        BucketValues { others, repeated: (repeated, count as usize - length) }
    }
}
