//! Samples of many shapes, for tests.

use proptest::prelude::*;

use super::split_mix::SplitMix64;

/// The shape of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    /// Narrow beside its distance from zero.
    Offset,
    LogNormal,
    HeavyTailed,
    Integers,
    ManyZeros,
    Constant,
    /// Every float that there is but NaN.
    AnyBits,
    /// Zeros of both signs, infinities, the smallest and the largest numbers, and little else.
    Extremes,
    /// Already sorted.
    Ascending,
    /// Magnitudes so far apart that few buckets hold everything.
    Scattered,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Normal,
        Self::Offset,
        Self::LogNormal,
        Self::HeavyTailed,
        Self::Integers,
        Self::ManyZeros,
        Self::Constant,
        Self::AnyBits,
        Self::Extremes,
        Self::Ascending,
        Self::Scattered,
    ];
}

impl Arbitrary for Kind {
    type Parameters = ();
    type Strategy = proptest::sample::Select<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        proptest::sample::select(&Self::ALL[..])
    }
}

/// A sample of a shape, the same for the same seed.
pub(super) fn sample(kind: Kind, size: usize, seed: u64) -> Vec<f64> {
    let mut random = Random(SplitMix64(seed));
    (0..size).map(|index| random.value(kind, index)).collect()
}

struct Random(SplitMix64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0.next()
    }

    fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn value(&mut self, kind: Kind, index: usize) -> f64 {
        const EXTREMES: [f64; 10] = [
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN,
            5e-324,
            -5e-324,
            f64::MIN_POSITIVE,
            1.0,
        ];
        match kind {
            Kind::Normal => self.normal(),
            Kind::Offset => 1e9 + self.normal(),
            Kind::LogNormal => self.normal().exp(),
            Kind::HeavyTailed => (std::f64::consts::PI * (self.uniform() - 0.5)).tan(),
            Kind::Integers => (100.0 * self.uniform()).floor(),
            Kind::ManyZeros if self.uniform() < 0.6 => 0.0,
            Kind::ManyZeros => self.normal().exp(),
            Kind::Constant => 7.5,
            Kind::AnyBits => {
                Some(f64::from_bits(self.bits())).filter(|value| !value.is_nan()).unwrap_or(-0.0)
            }
            Kind::Extremes => EXTREMES[self.bits() as usize % EXTREMES.len()],
            Kind::Ascending => index as f64 / 7.0,
            Kind::Scattered => 2.0_f64.powi((self.bits() % 2_000) as i32 - 1_000) * (self.uniform() - 0.5),
        }
    }
}
