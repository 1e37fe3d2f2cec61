//! Random numbers.
//!
//! With a seed, an operator gives the same numbers at every call: those of NumPy's `RandomState`, as the reference
//! implementation of the ONNX project. Without one it is seeded by the operating system and goes on from call to call.

mod generator;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use half::{bf16, f16};
use mlops_core::{DType, Error, Result};

pub(super) use generator::Generator;

use super::arithmetic::converted;
use super::support::reserve;
use super::{Context, Entry, Inputs, Operator, Outputs, Source, one, onnx};
use crate::engine::onnx::decode::dtype_of;
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("Bernoulli", 15, bernoulli),
    onnx("Multinomial", 7, multinomial),
    onnx("RandomNormal", 1, random_normal),
    onnx("RandomNormalLike", 1, random_normal_like),
    onnx("RandomUniform", 1, random_uniform),
    onnx("RandomUniformLike", 1, random_uniform_like),
];

/// Where the numbers of an operator come from.
#[derive(Debug)]
pub(super) enum Chance {
    Seeded(u32),
    Unseeded(Mutex<Generator>),
}

impl Chance {
    pub(super) fn new(seed: Option<u32>) -> Self {
        seed.map_or_else(|| Self::Unseeded(Mutex::new(Generator::from_system())), Self::Seeded)
    }

    /// The attribute `seed`, a float that is cut off at the decimal point.
    fn of(source: &Source<'_>) -> Result<Self> {
        let seed = source.node.attributes.optional_float("seed")?.filter(|seed| !seed.is_nan());
        Ok(Self::new(seed.map(|seed| seed as i64 as u32)))
    }

    /// Draws with the generator of a call.
    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Generator) -> T) -> T {
        match self {
            Self::Seeded(seed) => draw(&mut Generator::from_seed(*seed)),
            Self::Unseeded(generator) => draw(&mut generator.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

fn dtype(source: &Source<'_>) -> Result<Option<DType>> {
    let number = source.node.attributes.optional_int("dtype")?;
    number.map(|number| dtype_of(i32::try_from(number).unwrap_or(0))).transpose()
}

fn random_normal(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let distribution = normal_of(source)?;
    Ok(Box::new(Filled { shape: Some(shape(source)?), ..filled(source, distribution)? }))
}

fn random_normal_like(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let distribution = normal_of(source)?;
    Ok(Box::new(filled(source, distribution)?))
}

fn random_uniform(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let distribution = uniform_of(source)?;
    Ok(Box::new(Filled { shape: Some(shape(source)?), ..filled(source, distribution)? }))
}

fn random_uniform_like(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let distribution = uniform_of(source)?;
    Ok(Box::new(filled(source, distribution)?))
}

fn normal_of(source: &Source<'_>) -> Result<Distribution> {
    let attributes = &source.node.attributes;
    Ok(Distribution::Normal {
        mean: attributes.float("mean", 0.0)?.into(),
        deviation: attributes.float("scale", 1.0)?.into(),
    })
}

fn uniform_of(source: &Source<'_>) -> Result<Distribution> {
    let attributes = &source.node.attributes;
    Ok(Distribution::Uniform {
        low: attributes.float("low", 0.0)?.into(),
        high: attributes.float("high", 1.0)?.into(),
    })
}

fn shape(source: &Source<'_>) -> Result<Shape> {
    let given = source.node.attributes.ints("shape")?;
    let given = given.ok_or_else(|| Error::invalid_input("the attribute `shape` is missing"))?;
    let lengths: Option<Shape> = given.iter().map(|&length| usize::try_from(length).ok()).collect();
    let shape = lengths.ok_or_else(|| Error::invalid_input(format!("{given:?} is no shape")))?;
    element_count(&shape)?;
    Ok(shape)
}

fn filled(source: &Source<'_>, distribution: Distribution) -> Result<Filled> {
    Ok(Filled { chance: Chance::of(source)?, distribution, dtype: dtype(source)?, shape: None })
}

/// A tensor of random numbers.
#[derive(Debug)]
struct Filled {
    chance: Chance,
    distribution: Distribution,
    /// If not said: that of the input, or FP32 when there is none.
    dtype: Option<DType>,
    /// If not said: that of the input.
    shape: Option<Shape>,
}

#[derive(Debug, Clone, Copy)]
enum Distribution {
    Normal { mean: f64, deviation: f64 },
    Uniform { low: f64, high: f64 },
}

impl Operator for Filled {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let (shape, dtype) = match &self.shape {
            Some(shape) => (shape.clone(), self.dtype.unwrap_or(DType::Fp32)),
            None => {
                let like = inputs.tensor(0)?;
                (Shape::from_slice(like.shape()), self.dtype.unwrap_or(like.dtype()))
            }
        };
        let count = element_count(&shape)?;
        let mut numbers: Vec<f64> = reserve(count)?;
        self.chance.draw(|generator| {
            numbers.extend((0..count).map(|_| match self.distribution {
                Distribution::Normal { mean, deviation } => mean + deviation * generator.normal(),
                Distribution::Uniform { low, high } => low + (high - low) * generator.uniform(),
            }));
        });
        let data = match dtype {
            DType::Fp32 => f32::wrap(numbers.iter().map(|&number| number as f32).collect::<Vec<_>>().into()),
            DType::Fp64 => f64::wrap(numbers.into()),
            DType::Fp16 => f16::wrap(numbers.into_iter().map(f16::from_f64).collect::<Vec<_>>().into()),
            DType::Bf16 => bf16::wrap(numbers.into_iter().map(bf16::from_f64).collect::<Vec<_>>().into()),
            other => return Err(Error::engine(format!("random numbers are floats, not {other}"))),
        };
        one(HostTensor::from_data(shape, data)?)
    }
}

fn bernoulli(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Bernoulli { chance: Chance::of(source)?, dtype: dtype(source)? }))
}

/// One with the probability that the input says, else zero.
#[derive(Debug)]
struct Bernoulli {
    chance: Chance,
    /// If not said: that of the input.
    dtype: Option<DType>,
}

impl Operator for Bernoulli {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let tensor = inputs.tensor(0)?;
        let dtype = self.dtype.unwrap_or(tensor.dtype());
        let probabilities = doubles(tensor)?;
        if let Some(wrong) = probabilities.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            return Err(Error::engine(format!("{wrong} is no probability")));
        }
        let drawn: Vec<bool> = self.chance.draw(|generator| {
            probabilities.iter().map(|&probability| generator.bernoulli(probability)).collect()
        });
        one(converted(HostTensor::new(tensor.shape(), drawn)?, dtype)?)
    }
}

fn doubles(tensor: &HostTensor) -> Result<Vec<f64>> {
    match tensor.data() {
        Data::F16(_) | Data::Bf16(_) | Data::F32(_) | Data::F64(_) => {
            converted(tensor.clone(), DType::Fp64)?.into_elements()
        }
        other => {
            let dtype = other.dtype();
            Err(Error::engine(format!("floats are needed, not {dtype}")))
        }
    }
}

fn multinomial(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let samples = source.node.attributes.int("sample_size", 1)?;
    let dtype = dtype(source)?.unwrap_or(DType::Int32);
    if !matches!(dtype, DType::Int32 | DType::Int64) {
        return Err(Error::invalid_input(format!("classes are numbered as INT32 or INT64, not {dtype}")));
    }
    Ok(Box::new(Multinomial {
        chance: Chance::of(source)?,
        samples: usize::try_from(samples)
            .map_err(|_| Error::invalid_input(format!("`sample_size` cannot be {samples}")))?,
        dtype,
    }))
}

/// Classes drawn with probabilities that are proportional to the exponentials of the input, `[batch, classes]`.
#[derive(Debug)]
struct Multinomial {
    chance: Chance,
    samples: usize,
    dtype: DType,
}

impl Operator for Multinomial {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let tensor = inputs.tensor(0)?;
        let &[batch, classes] = tensor.shape() else {
            let shape = tensor.shape();
            return Err(Error::engine(format!("the shape must be [batch, classes], not {shape:?}")));
        };
        if classes == 0 {
            return Err(Error::engine("there are no classes to draw from"));
        }
        let logarithms = doubles(tensor)?;
        let shape = Shape::from_slice(&[batch, self.samples]);
        let mut drawn: Vec<i64> = reserve(element_count(&shape)?)?;
        self.chance.draw(|generator| {
            for row in logarithms.chunks_exact(classes) {
                let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers = row.iter().map(|value| (value - largest).exp());
                let sums: Vec<f64> = powers
                    .scan(0.0, |sum, power| {
                        *sum += power;
                        Some(*sum)
                    })
                    .collect();
                let total = sums.last().copied().unwrap_or(0.0);
                for _ in 0..self.samples {
                    let place = generator.uniform() * total;
                    drawn.push(sums.partition_point(|&sum| sum <= place).min(classes - 1) as i64);
                }
            }
        });
        one(converted(HostTensor::new(shape, drawn)?, self.dtype)?)
    }
}
