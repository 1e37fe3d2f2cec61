//! Quantiles of any number of values in fixed memory.

use super::runs::Runs;
use crate::sampler::split_mix;

/// Most values that are kept.
const CAPACITY: usize = 32_768;
/// How many values the uppermost level keeps when it is compacted; each below two thirds of the one above.
const K: f64 = 8_192.0;

/// By how much a share of the values below a point may be wrong: twice what was seen of the streams in the tests
/// of this file, whatever their order.
pub(super) const RANK_ERROR: f64 = 0.001;

/// The sketch of Karnin, Lang & Liberty ("Optimal quantile approximation in streams", FOCS 2016): values of level
/// `i` stand for `2^i` values each. When there are too many, the lowest level that is too long is sorted, and
/// every other value goes up one level. Which ones a coin decides, whose seed is fixed: the same values in the
/// same order make the same sketch. The weights always add up to the number of values.
#[derive(Debug, Clone)]
pub(super) struct Sketch {
    levels: Vec<Vec<f64>>,
    kept: usize,
    /// How often the coin was flipped.
    flips: u64,
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self { levels: vec![Vec::new()], kept: 0, flips: 0 }
    }

    /// Adds values.
    pub(super) fn add(&mut self, runs: &Runs) {
        for &(value, count) in runs.as_slice() {
            let mut rest = count;
            while rest > 0 {
                let level = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                self.level(level).push(value);
                self.kept += 1;
            }
            self.compact();
        }
    }

    /// Adds the values of another sketch.
    pub(super) fn merge(&mut self, other: &Self) {
        for (level, values) in other.levels.iter().enumerate() {
            self.level(level).extend(values);
        }
        self.kept += other.kept;
        self.compact();
    }

    /// What is kept, with what it stands for.
    pub(super) fn runs(&self) -> Runs {
        let levels = self.levels.iter().enumerate();
        Runs::of_weighted(
            levels.flat_map(|(level, values)| values.iter().map(move |value| (*value, 1 << level))).collect(),
        )
    }

    fn level(&mut self, level: usize) -> &mut Vec<f64> {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        &mut self.levels[level]
    }

    fn compact(&mut self) {
        while self.kept > CAPACITY {
            let top = self.levels.len() - 1;
            let allowed = |level: usize| (K * (2.0_f64 / 3.0).powi((top - level) as i32)).max(8.0) as usize;
            let Some(long) = (0..=top).find(|level| self.levels[*level].len() > allowed(*level)) else {
                return; // there is one: all that is allowed is less than the capacity
            };
            let mut values = std::mem::take(&mut self.levels[long]);
            values.sort_by(f64::total_cmp); // stable, for that is fast where parts are sorted
            let odd = if values.len() % 2 == 1 { values.pop() } else { None };
            let first = usize::from(self.flip());
            let half = values.len() / 2;
            self.level(long + 1).extend(values.iter().skip(first).step_by(2));
            self.levels[long].extend(odd);
            self.kept -= half;
        }
    }

    fn flip(&mut self) -> bool {
        let bits = split_mix(self.flips);
        self.flips += 1;
        bits & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: u64 = 300_000;

    /// The largest difference between the distribution functions of 0, 1, … n - 1 and of the sketch.
    fn error(sketch: &Sketch, n: u64) -> f64 {
        let runs = sketch.runs();
        assert_eq!(runs.total(), n);
        let mut below = 0;
        let mut worst = 0.0_f64;
        for &(value, weight) in runs.as_slice() {
            worst = worst.max((below as f64 - value).abs());
            below += weight;
            worst = worst.max((below as f64 - value - 1.0).abs());
        }
        worst / n as f64
    }

    fn sketch(values: impl Iterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::new();
        values.for_each(|value| sketch.add(&Runs::of_weighted(vec![(value as f64, 1)])));
        assert!(sketch.kept <= CAPACITY && sketch.levels.iter().map(Vec::len).sum::<usize>() == sketch.kept);
        sketch
    }

    #[test]
    fn ranks_are_right_within_half_the_bound_whatever_the_order() {
        let scattered = |step: u64| (0..VALUES).map(move |i| i * step % VALUES);
        let mut worst = 0.0_f64;
        for sketch in [
            sketch(0..VALUES),
            sketch((0..VALUES).rev()),
            sketch(scattered(7_919)),
            sketch(scattered(104_729)),
            sketch((0..VALUES).map(|i| if i % 2 == 0 { i / 2 } else { VALUES - 1 - i / 2 })),
        ] {
            worst = worst.max(error(&sketch, VALUES));
        }
        assert!(worst < RANK_ERROR / 2.0, "{worst}");
        assert!(worst > 0.0);
    }

    #[test]
    fn merged_sketches_are_as_good() {
        let parts = |order: [u64; 4]| {
            let mut merged = Sketch::new();
            for part in order {
                merged.merge(&sketch((0..VALUES).filter(|value| value % 4 == part)));
            }
            merged
        };
        for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
            assert!(error(&parts(order), VALUES) < RANK_ERROR / 2.0);
        }
    }

    #[test]
    fn heavy_values_keep_their_weight() {
        let mut sketch = Sketch::new();
        for value in 0..40_000 {
            sketch.add(&Runs::of_weighted(vec![(0.0, 1_000_003), (f64::from(value) + 1.0, 1)]));
        }
        let runs = sketch.runs();
        assert_eq!(runs.total(), 40_000 * 1_000_004);
        assert!(runs.as_slice()[0].1 > 39_990 * 1_000_003);
    }
}
