//! Chance that repeats, and whole counts of it at once.

/// The generator SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014), and numbers drawn with it.
#[derive(Debug)]
pub(super) struct Random(u64);

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Up to this mean, counting up from zero is faster than rejection, which is not valid there either.
const SMALL_MEAN: f64 = 10.0;

impl Random {
    /// One of the many sequences of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed).wrapping_add(stream.wrapping_mul(GOLDEN_GAMMA))))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        mix(self.0)
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.bits() >> 11) as f64 * STEP
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// How many of so many trials succeed: distributed exactly as if each had been drawn. A probability
    /// outside [0, 1] counts as its nearer end.
    pub(super) fn binomial(&mut self, trials: u64, probability: f64) -> u64 {
        if trials == 0 || probability <= 0.0 || probability.is_nan() {
            0
        } else if probability >= 1.0 {
            trials
        } else if probability > 0.5 {
            trials - self.rare(trials, 1.0 - probability)
        } else {
            self.rare(trials, probability)
        }
    }

    /// A count of events with that mean, which must be finite. A mean below 0 counts as 0.
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        if mean < SMALL_MEAN { self.poisson_by_inversion(mean) } else { self.poisson_by_rejection(mean) }
    }

    /// For probabilities up to ½.
    fn rare(&mut self, trials: u64, probability: f64) -> u64 {
        if trials == 1 {
            u64::from(self.chance(probability))
        } else if trials as f64 * probability < SMALL_MEAN {
            self.binomial_by_inversion(trials, probability)
        } else {
            self.binomial_by_rejection(trials, probability)
        }
    }

    /// BINV of Kachitvichyanukul & Schmeiser, "Binomial random variate generation", Communications of the
    /// ACM 31(2), 1988.
    fn binomial_by_inversion(&mut self, trials: u64, probability: f64) -> u64 {
        let n = trials as f64;
        let odds = probability / (1.0 - probability);
        let mut mass = (n * (-probability).ln_1p()).exp();
        let mut left = self.unit();
        let mut count = 0;
        while left > mass && count < trials {
            left -= mass;
            count += 1;
            mass *= odds * ((n + 1.0) / count as f64 - 1.0);
        }
        count
    }

    /// BTRS of Hörmann, "The generation of binomial random variates", Journal of Statistical Computation
    /// and Simulation 46, 1993.
    fn binomial_by_rejection(&mut self, trials: u64, probability: f64) -> u64 {
        let (n, p) = (trials as f64, probability);
        let odds = p / (1.0 - p);
        let deviation = (n * p * (1.0 - p)).sqrt();
        let b = 1.15 + 2.53 * deviation;
        let a = -0.0873 + 0.0248 * b + 0.01 * p;
        let centre = n * p + 0.5;
        let alpha = (2.83 + 5.1 / b) * deviation;
        let box_height = 0.92 - 4.2 / b;
        let mode = ((n + 1.0) * p).floor();
        loop {
            let u = self.unit() - 0.5;
            let v = 1.0 - self.unit();
            let tail = 0.5 - u.abs();
            let k = ((2.0 * a / tail + b) * u + centre).floor();
            if !(0.0..=n).contains(&k) {
                continue;
            }
            if tail >= 0.07 && v <= box_height {
                return k as u64;
            }
            let height = (v * alpha / (a / (tail * tail) + b)).ln();
            let bound = (mode + 0.5) * ((mode + 1.0) / (odds * (n - mode + 1.0))).ln()
                + (n + 1.0) * ((n - mode + 1.0) / (n - k + 1.0)).ln()
                + (k + 0.5) * (odds * (n - k + 1.0) / (k + 1.0)).ln()
                + stirling_rest(mode)
                + stirling_rest(n - mode)
                - stirling_rest(k)
                - stirling_rest(n - k);
            if height <= bound {
                return k as u64;
            }
        }
    }

    fn poisson_by_inversion(&mut self, mean: f64) -> u64 {
        const BEYOND_ALL_DOUBT: u64 = 1_000;
        let mut mass = (-mean).exp();
        let mut left = self.unit();
        let mut count = 0;
        while left > mass && count < BEYOND_ALL_DOUBT {
            left -= mass;
            count += 1;
            mass *= mean / count as f64;
        }
        count
    }

    /// PTRS of Hörmann, "The transformed rejection method for generating Poisson random variables",
    /// Insurance: Mathematics and Economics 12, 1993.
    fn poisson_by_rejection(&mut self, mean: f64) -> u64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let alpha = 1.1239 + 1.1328 / (b - 3.4);
        let box_height = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.unit() - 0.5;
            let v = 1.0 - self.unit();
            let tail = 0.5 - u.abs();
            let k = ((2.0 * a / tail + b) * u + mean + 0.43).floor();
            if tail >= 0.07 && v <= box_height {
                return k as u64;
            }
            if k < 0.0 || (tail < 0.013 && v > tail) {
                continue;
            }
            if (v * alpha / (a / (tail * tail) + b)).ln() <= k * mean.ln() - mean - ln_factorial(k) {
                return k as u64;
            }
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// ln k! by Stirling's formula and its rest.
fn ln_factorial(k: f64) -> f64 {
    const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_7;
    HALF_LN_TWO_PI + (k + 0.5) * (k + 1.0).ln() - (k + 1.0) + stirling_rest(k)
}

/// What Stirling's formula lacks to ln k!: by its series from 10 on, where that is exact to the last digits.
fn stirling_rest(k: f64) -> f64 {
    const FIRST: [f64; 10] = [
        0.081_061_466_795_327_26,
        0.041_340_695_955_409_29,
        0.027_677_925_684_998_34,
        0.020_790_672_103_765_09,
        0.016_644_691_189_821_19,
        0.013_876_128_823_070_75,
        0.011_896_709_945_891_77,
        0.010_411_265_261_972_09,
        0.009_255_462_182_712_73,
        0.008_330_563_433_362_87,
    ];
    match FIRST.get(k as usize) {
        Some(rest) => *rest,
        None => {
            let next = k + 1.0;
            let square = next * next;
            (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1_260.0 / square) / square) / next
        }
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::stats::{ChiSquaredStatistic, goodness_of_fit};

    use super::*;

    const DRAWS: usize = 40_000;

    /// The p-value of draws against the probabilities of 0, 1, 2 … of which the rare ones are pooled.
    fn p_value(draws: impl Iterator<Item = u64>, masses: &[f64]) -> f64 {
        let mut counts = vec![0_u64; masses.len()];
        for draw in draws {
            counts[draw as usize] += 1;
        }
        let (mut observed, mut expected) = (vec![0_u64], vec![0.0]);
        for (count, mass) in counts.iter().zip(masses) {
            *observed.last_mut().unwrap() += count;
            *expected.last_mut().unwrap() += mass;
            if expected.last().unwrap() * DRAWS as f64 >= 20.0 {
                observed.push(0);
                expected.push(0.0);
            }
        }
        let (rest, mass) = (observed.pop().unwrap(), expected.pop().unwrap());
        *observed.last_mut().unwrap() += rest;
        *expected.last_mut().unwrap() += mass;
        goodness_of_fit(&observed, &expected, ChiSquaredStatistic::Pearson).unwrap().test.p_value
    }

    /// The first outputs of the reference implementation (prng.di.unimi.it/splitmix64.c) for the seed
    /// 1234567.
    #[test]
    fn equals_the_reference() {
        let mut random = Random(1_234_567);
        for expected in [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423] {
            assert_eq!(random.bits(), expected);
        }
        assert_ne!(Random::new(1, 0).bits(), Random::new(1, 1).bits());
        assert_ne!(Random::new(1, 1).bits(), Random::new(2, 0).bits());
    }

    #[test]
    fn binomial_counts_are_distributed_as_the_textbook_says() {
        for (trials, p) in [(1, 0.3), (9, 0.5), (40, 0.02), (30, 0.4), (500, 0.03), (500, 0.5), (200, 0.93)] {
            let mut masses = vec![f64::powi(1.0 - p, trials)];
            for k in 1..=trials {
                let before = masses.last().unwrap();
                masses.push(before * f64::from(trials - k + 1) / f64::from(k) * p / (1.0 - p));
            }
            let mut random = Random::new(7, trials as u64);
            let found = p_value((0..DRAWS).map(|_| random.binomial(trials as u64, p)), &masses);
            assert!(found > 1e-4, "{trials} trials at {p}: {found}");
        }
    }

    #[test]
    fn poisson_counts_are_distributed_as_the_textbook_says() {
        for mean in [0.2, 3.0, 9.9, 10.1, 40.0, 300.0_f64] {
            let mut masses = vec![(-mean).exp()];
            for k in 1..=(mean as u32 + 40 * mean.sqrt() as u32 + 30) {
                masses.push(masses.last().unwrap() * mean / f64::from(k));
            }
            let mut random = Random::new(7, mean as u64);
            let found = p_value((0..DRAWS).map(|_| random.poisson(mean)), &masses);
            assert!(found > 1e-4, "mean {mean}: {found}");
        }
    }

    #[test]
    fn the_ends_are_certain_and_large_counts_stay_near_their_mean() {
        let mut random = Random::new(1, 1);
        for (p, expected) in [(0.0, 0), (-1.0, 0), (f64::NAN, 0), (1.0, 50), (2.0, 50)] {
            assert_eq!(random.binomial(50, p), expected, "{p}");
        }
        assert_eq!((random.binomial(0, 0.5), random.poisson(0.0), random.poisson(-1.0)), (0, 0, 0));
        let many = random.binomial(1_000_000_000, 0.25) as f64;
        assert!((many - 2.5e8).abs() < 6.0 * (1e9_f64 * 0.25 * 0.75).sqrt(), "{many}");
        let many = random.poisson(1e9) as f64;
        assert!((many - 1e9).abs() < 6.0 * 1e9_f64.sqrt(), "{many}");
    }
}
