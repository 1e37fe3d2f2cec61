//! A random generator: MT19937, the Mersenne Twister.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

/// The length of the state, in words.
const LENGTH: usize = 624;

/// M. Matsumoto and T. Nishimura, "Mersenne Twister: a 623-dimensionally equidistributed uniform pseudo-random number
/// generator", ACM Transactions on Modeling and Computer Simulation 8(1), 1998; seeded by their `init_genrand` of 2002.
pub(in crate::engine::onnx::ops) struct Generator {
    state: Box<[u32; LENGTH]>,
    next: usize,
    /// The second of a pair of normal numbers.
    kept: Option<f64>,
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

impl Generator {
    pub(super) fn from_seed(seed: u32) -> Self {
        let mut state = Box::new([seed; LENGTH]);
        for index in 1..LENGTH {
            let before = state[index - 1];
            state[index] = (before ^ (before >> 30)).wrapping_mul(1_812_433_253).wrapping_add(index as u32);
        }
        Self { state, next: LENGTH, kept: None }
    }

    /// Seeded by the operating system.
    pub(super) fn from_system() -> Self {
        Self::from_seed(RandomState::new().build_hasher().finish() as u32)
    }

    fn twist(&mut self) {
        const DISTANCE: usize = 397;
        for index in 0..LENGTH {
            let joined = (self.state[index] & 0x8000_0000) | (self.state[(index + 1) % LENGTH] & 0x7fff_ffff);
            let mask = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + DISTANCE) % LENGTH] ^ (joined >> 1) ^ mask;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next >= LENGTH {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// A number from 0 up to and without 1, with 53 random bits.
    pub(in crate::engine::onnx::ops) fn uniform(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// A number of the standard normal distribution, by Marsaglia's polar method.
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.kept = Some(factor * x);
                return factor * y;
            }
        }
    }

    /// `true` with that probability.
    pub(super) fn bernoulli(&mut self, probability: f64) -> bool {
        if probability == 0.0 {
            false
        } else if probability <= 0.5 {
            self.uniform() > 1.0 - probability
        } else {
            self.uniform() <= probability
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Generator;

    /// Printed by NumPy 2: `RandomState(0).randint(0, 2**32, 3)`, and of `RandomState(7)` `rand(4)`, `randn(5)` and
    /// `binomial(1, [..])`.
    #[test]
    fn it_gives_the_numbers_of_numpy() {
        let mut generator = Generator::from_seed(0);
        assert_eq!([(); 3].map(|()| generator.word()), [2_357_136_044, 2_546_248_239, 3_071_714_933]);

        let mut generator = Generator::from_seed(7);
        let uniform = [
            0.076_308_289_373_957_17,
            0.779_918_792_240_114_6,
            0.438_409_231_440_893_5,
            0.723_465_177_830_941_2,
        ];
        assert_eq!([(); 4].map(|()| generator.uniform()), uniform);

        let mut generator = Generator::from_seed(7);
        let normal = [
            1.690_525_703_800_356,
            -0.465_937_370_540_832_8,
            0.032_820_163_678_584_4,
            0.407_516_282_996_507_83,
            -0.788_923_028_625_738_6,
        ];
        for expected in normal {
            assert!((generator.normal() - expected).abs() < 1e-14);
        }

        let mut generator = Generator::from_seed(7);
        let probabilities = [0.1, 0.9, 0.5, 0.7, 0.3, 0.8, 0.0, 1.0, 0.25, 0.6];
        let drawn = probabilities.map(|probability| u8::from(generator.bernoulli(probability)));
        assert_eq!(drawn, [0, 1, 0, 0, 1, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn what_the_system_seeds_differs() {
        let numbers = [(); 2].map(|()| Generator::from_system().uniform());
        assert_ne!(numbers[0], numbers[1]);
    }
}
