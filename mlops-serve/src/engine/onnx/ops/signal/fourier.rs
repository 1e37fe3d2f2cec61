//! The discrete Fourier transform of any length, in `f64`.
//!
//! Lengths are taken apart into small factors, by the method of Cooley and Tukey in the order of Stockham, which
//! needs no sorting (C. Van Loan, *Computational Frameworks for the Fast Fourier Transform*, 1992, section 1.7). What
//! has a large prime factor is made a convolution and done in a power of two, by the method of Bluestein (same,
//! section 4.2).

use std::f64::consts::TAU;
use std::ops::{Add, Mul, Sub};
use std::sync::{Arc, Mutex, PoisonError};

use mlops_core::{Error, Result};

/// A complex number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Complex {
    pub(super) re: f64,
    pub(super) im: f64,
}

impl Complex {
    /// `e^(2 pi i * turns)`.
    fn turned(turns: f64) -> Self {
        let (im, re) = (TAU * turns).sin_cos();
        Self { re, im }
    }

    pub(super) fn conjugate(self) -> Self {
        Self { re: self.re, im: -self.im }
    }

    fn scaled(self, factor: f64) -> Self {
        Self { re: self.re * factor, im: self.im * factor }
    }

    /// A quarter of a turn backwards: times `-i`.
    fn quarter_back(self) -> Self {
        Self { re: self.im, im: -self.re }
    }
}

impl Add for Complex {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

impl Sub for Complex {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }
}

impl Mul for Complex {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }
}

/// Longer transforms are refused: their tables would take gigabytes.
const LONGEST: usize = 1 << 24;

/// The largest prime factor that is computed by its definition.
const LARGEST_FACTOR: usize = 61;

/// A transform of one length.
#[derive(Debug)]
pub(super) struct Fourier {
    length: usize,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Factors(Vec<Stage>),
    Convolution {
        /// `e^(-pi i n^2 / length)`.
        chirp: Vec<Complex>,
        /// The transform of the chirp's conjugate, in the inner length.
        filter: Vec<Complex>,
        inner: Box<Fourier>,
    },
}

/// Combines `radix` transforms of length `done` to one.
#[derive(Debug)]
struct Stage {
    radix: usize,
    done: usize,
    /// `e^(-2 pi i q j / (radix * done))`, for each `q` from 1 a row of all `j`.
    twiddles: Vec<Complex>,
    /// `e^(-2 pi i q / radix)`.
    roots: Vec<Complex>,
}

impl Fourier {
    /// Prepares transforms of that length, which must be positive.
    pub(super) fn new(length: usize) -> Result<Self> {
        if length == 0 || length > LONGEST {
            return Err(Error::engine(format!(
                "the length of a Fourier transform must be from 1 to {LONGEST}, not {length}"
            )));
        }
        let factors = factors(length);
        if factors.iter().all(|&factor| factor <= LARGEST_FACTOR) {
            return Ok(Self { length, method: Method::Factors(stages(length, &factors)) });
        }
        let inner_length = (2 * length - 1).next_power_of_two();
        let inner = Self {
            length: inner_length,
            method: Method::Factors(stages(inner_length, &self::factors(inner_length))),
        };
        let period = 2 * length as u64;
        let turns = |n: usize| (n as u64 * n as u64 % period) as f64 / period as f64;
        let chirp: Vec<Complex> = (0..length).map(|n| Complex::turned(-turns(n))).collect();
        let mut filter = vec![Complex::default(); inner_length];
        for (n, &value) in chirp.iter().enumerate() {
            filter[n] = value.conjugate();
            filter[(inner_length - n) % inner_length] = value.conjugate();
        }
        inner.forward(&mut filter, &mut Vec::new());
        Ok(Self { length, method: Method::Convolution { chirp, filter, inner: Box::new(inner) } })
    }

    /// `y[k] = sum over n of x[n] * e^(-2 pi i k n / length)`, in place. `scratch` can be used again.
    pub(super) fn forward(&self, values: &mut Vec<Complex>, scratch: &mut Vec<Complex>) {
        match &self.method {
            Method::Factors(stages) => {
                scratch.clear();
                scratch.resize(self.length, Complex::default());
                for stage in stages {
                    stage.run(values, scratch);
                    std::mem::swap(values, scratch);
                }
            }
            Method::Convolution { chirp, filter, inner } => {
                let mut convolved: Vec<Complex> = vec![Complex::default(); inner.length];
                for ((place, value), chirp) in convolved.iter_mut().zip(&*values).zip(chirp) {
                    *place = *value * *chirp;
                }
                inner.forward(&mut convolved, scratch);
                convolved.iter_mut().zip(filter).for_each(|(value, factor)| *value = *value * *factor);
                inner.inverse(&mut convolved, scratch);
                for ((value, convolved), chirp) in values.iter_mut().zip(convolved).zip(chirp) {
                    *value = convolved * *chirp;
                }
            }
        }
    }

    /// `x[n] = sum over k of y[k] * e^(2 pi i k n / length) / length`, in place.
    pub(super) fn inverse(&self, values: &mut Vec<Complex>, scratch: &mut Vec<Complex>) {
        values.iter_mut().for_each(|value| *value = value.conjugate());
        self.forward(values, scratch);
        let factor = 1.0 / self.length as f64;
        values.iter_mut().for_each(|value| *value = value.conjugate().scaled(factor));
    }
}

/// Factors whose product is the length: fours, then primes in ascending order.
fn factors(mut length: usize) -> Vec<usize> {
    let mut factors = Vec::new();
    while length.is_multiple_of(4) {
        factors.push(4);
        length /= 4;
    }
    let mut factor = 2;
    while length > 1 {
        if factor * factor > length {
            factor = length;
        }
        while length.is_multiple_of(factor) {
            factors.push(factor);
            length /= factor;
        }
        factor += 1;
    }
    factors
}

fn stages(length: usize, factors: &[usize]) -> Vec<Stage> {
    let mut done = 1;
    let stage = |&radix: &usize| {
        let whole = (radix * done) as f64;
        let rows = (1..radix).flat_map(|q| (0..done).map(move |j| (q * j) as f64));
        let twiddles = rows.map(|product| Complex::turned(-product / whole)).collect();
        let roots = (0..radix).map(|q| Complex::turned(-(q as f64) / radix as f64)).collect();
        let stage = Stage { radix, done, twiddles, roots };
        done *= radix;
        stage
    };
    let stages: Vec<Stage> = factors.iter().map(stage).collect();
    debug_assert_eq!(done, length);
    stages
}

impl Stage {
    /// The element `j` of the transform of every `m`-th value, from `k` on, lies at `k * done + j`.
    fn run(&self, from: &[Complex], to: &mut [Complex]) {
        let (radix, done) = (self.radix, self.done);
        let count = from.len() / (radix * done);
        for (k, output) in to.chunks_exact_mut(radix * done).enumerate() {
            let source = |q: usize| &from[(k + count * q) * done..][..done];
            let twiddles = |q: usize| &self.twiddles[(q - 1) * done..q * done];
            match radix {
                2 => {
                    let (low, high) = output.split_at_mut(done);
                    for j in 0..done {
                        let (a, b) = (source(0)[j], source(1)[j] * twiddles(1)[j]);
                        (low[j], high[j]) = (a + b, a - b);
                    }
                }
                4 => {
                    let (low, high) = output.split_at_mut(2 * done);
                    let ((o0, o1), (o2, o3)) = (low.split_at_mut(done), high.split_at_mut(done));
                    let [s0, s1, s2, s3] = [source(0), source(1), source(2), source(3)];
                    let [t1, t2, t3] = [twiddles(1), twiddles(2), twiddles(3)];
                    for j in 0..done {
                        let (a, b, c, d) = (s0[j], s1[j] * t1[j], s2[j] * t2[j], s3[j] * t3[j]);
                        let (even, odd) = ((a + c, a - c), (b + d, (b - d).quarter_back()));
                        (o0[j], o1[j]) = (even.0 + odd.0, even.1 + odd.1);
                        (o2[j], o3[j]) = (even.0 - odd.0, even.1 - odd.1);
                    }
                }
                _ => {
                    output.fill(Complex::default());
                    for q in 0..radix {
                        for (p, output) in output.chunks_exact_mut(done).enumerate() {
                            let root = self.roots[p * q % radix];
                            for (j, output) in output.iter_mut().enumerate() {
                                let value = source(q)[j];
                                let value = if q == 0 { value } else { value * twiddles(q)[j] };
                                *output = *output + value * root;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The transform that was used last, for when the length is the same again.
#[derive(Debug, Default)]
pub(super) struct Prepared(Mutex<Option<Arc<Fourier>>>);

impl Prepared {
    pub(super) fn of_length(&self, length: usize) -> Result<Arc<Fourier>> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(fourier) if fourier.length == length => Ok(Arc::clone(fourier)),
            _ => {
                let fourier = Arc::new(Fourier::new(length)?);
                *last = Some(Arc::clone(&fourier));
                Ok(fourier)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lengths_agree_with_the_definition() {
        for length in (1..140).chain([127 * 2, 400, 512, 67 * 61, 1009]) {
            let signal: Vec<Complex> = (0..length)
                .map(|n| Complex { re: (n * n % 17) as f64 - 8.0, im: (n * 7 % 11) as f64 - 5.0 })
                .collect();
            let mut transformed = signal.clone();
            let fourier = Fourier::new(length).unwrap();
            fourier.forward(&mut transformed, &mut Vec::new());
            for (k, value) in transformed.iter().enumerate().step_by(1 + length / 100) {
                let term = |(n, x): (usize, &Complex)| {
                    *x * Complex::turned(-((k * n % length) as f64) / length as f64)
                };
                let expected = signal.iter().enumerate().map(term).fold(Complex::default(), Complex::add);
                let difference = *value - expected;
                let error = difference.re.hypot(difference.im) / (length as f64).sqrt();
                assert!(
                    error < 1e-12 * length as f64,
                    "length {length}, place {k}: {value:?}, not {expected:?}"
                );
            }
            fourier.inverse(&mut transformed, &mut Vec::new());
            for (back, value) in transformed.iter().zip(&signal) {
                assert!((back.re - value.re).hypot(back.im - value.im) < 1e-9, "length {length}");
            }
        }
    }

    #[test]
    fn lengths_out_of_range_are_refused() {
        assert!(Fourier::new(0).is_err());
        assert!(Fourier::new(usize::MAX).is_err());
    }
}
