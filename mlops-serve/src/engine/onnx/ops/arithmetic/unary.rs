//! Functions of one number: signs, rounding, roots, exponentials, trigonometry, the error function; NaN and infinity.

use mlops_core::{DType, Error, Result};

use crate::engine::onnx::ops::elementwise::map;
use crate::engine::onnx::ops::number::{Number, for_number_type};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::kernels::math;

/// A function of floats: of many `f32` in place, and of one `f64`.
#[derive(Debug)]
struct FloatFunction {
    single: fn(&mut [f32]),
    double: fn(f64) -> f64,
}

impl Operator for FloatFunction {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        one(map(inputs, context, &self.single, &self.double)?)
    }
}

macro_rules! functions {
    ($($name:ident: $single:expr, $double:expr;)*) => {
        $(pub(super) fn $name(_: &Source<'_>) -> Result<Box<dyn Operator>> {
            Ok(Box::new(FloatFunction { single: $single, double: $double }))
        })*
    };
}

/// A function of one `f32` for each of many.
macro_rules! each {
    ($function:path) => {
        |values| values.iter_mut().for_each(|value| *value = $function(*value))
    };
}

functions! {
    ceil: math::ceil, f64::ceil;
    floor: math::floor, f64::floor;
    round: math::round, f64::round_ties_even;
    sqrt: math::sqrt, f64::sqrt;
    reciprocal: math::reciprocal, f64::recip;
    exp: math::exp, f64::exp;
    log: math::log, f64::ln;
    erf: math::erf, error_function;
    sin: each!(f32::sin), f64::sin;
    cos: each!(f32::cos), f64::cos;
    tan: each!(f32::tan), f64::tan;
    asin: each!(f32::asin), f64::asin;
    acos: each!(f32::acos), f64::acos;
    atan: each!(f32::atan), f64::atan;
    sinh: each!(f32::sinh), f64::sinh;
    cosh: each!(f32::cosh), f64::cosh;
    asinh: each!(f32::asinh), f64::asinh;
    acosh: each!(f32::acosh), f64::acosh;
    atanh: each!(f32::atanh), f64::atanh;
}

/// The error function in double precision.
///
/// Near zero the series `2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (1 3 5 .. (2n+1))`, whose terms have one sign
/// (NIST Digital Library of Mathematical Functions, 7.6.2); farther out one less the continued fraction of the
/// complement (7.9.1), evaluated from its end.
pub(in crate::engine::onnx::ops) fn error_function(x: f64) -> f64 {
    let magnitude = x.abs();
    if x.is_nan() || magnitude > 6.0 {
        return if x.is_nan() { x } else { 1.0_f64.copysign(x) };
    }
    let square = x * x;
    if magnitude < 2.5 {
        let (mut term, mut sum, mut odd) = (x, x, 1.0);
        while term.abs() > sum.abs() * 1e-17 {
            odd += 2.0;
            term *= 2.0 * square / odd;
            sum += term;
        }
        return std::f64::consts::FRAC_2_SQRT_PI * (-square).exp() * sum;
    }
    const DEPTH: i32 = 60;
    let mut fraction = magnitude;
    for level in (1..=DEPTH).rev() {
        fraction = magnitude + f64::from(level) / 2.0 / fraction;
    }
    let complement = (-square).exp() * std::f64::consts::FRAC_2_SQRT_PI / 2.0 / fraction;
    (1.0 - complement).copysign(x)
}

pub(super) fn abs(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Sign::Magnitude))
}

pub(super) fn neg(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Sign::Negated))
}

pub(super) fn sign(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Sign::Direction))
}

/// A function of any number that has to do with its sign.
#[derive(Debug, Clone, Copy)]
enum Sign {
    Magnitude,
    Negated,
    Direction,
}

/// A function of all elements, in place.
type InPlace = fn(&mut [f32]);

impl Operator for Sign {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let dtype = inputs.tensor(0)?.dtype();
        if dtype == DType::Fp32 {
            let (single, double): (InPlace, fn(f64) -> f64) = match self {
                Self::Magnitude => (math::abs, f64::abs),
                Self::Negated => (math::neg, f64::negated),
                Self::Direction => (each!(Number::direction), f64::direction),
            };
            return one(map(inputs, context, &single, &double)?);
        }
        let tensor = inputs.take(0)?;
        one(for_number_type!(
            dtype,
            T => self.typed::<T>(tensor)?,
            else return Err(Error::engine(format!("numbers are needed, not {dtype}")))
        ))
    }
}

impl Sign {
    fn typed<T: Number>(self, tensor: HostTensor) -> Result<HostTensor> {
        let shape = Shape::from_slice(tensor.shape());
        let mut elements = tensor.into_elements::<T>()?;
        elements.iter_mut().for_each(|element| {
            *element = match self {
                Self::Magnitude => element.magnitude(),
                Self::Negated => element.negated(),
                Self::Direction => element.direction(),
            };
        });
        HostTensor::new(shape, elements)
    }
}

pub(super) fn is_nan(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(IsNaN))
}

#[derive(Debug)]
struct IsNaN;

impl Operator for IsNaN {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        one(test(inputs.tensor(0)?, f64::is_nan)?)
    }
}

pub(super) fn is_inf(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(IsInf {
        negative: attributes.flag("detect_negative", true)?,
        positive: attributes.flag("detect_positive", true)?,
    }))
}

#[derive(Debug)]
struct IsInf {
    negative: bool,
    positive: bool,
}

impl Operator for IsInf {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let found = |value: f64| {
            self.positive && value == f64::INFINITY || self.negative && value == f64::NEG_INFINITY
        };
        one(test(inputs.tensor(0)?, found)?)
    }
}

/// Which numbers a condition holds for.
fn test(tensor: &HostTensor, condition: impl Fn(f64) -> bool) -> Result<HostTensor> {
    let dtype = tensor.dtype();
    for_number_type!(
        dtype,
        T => {
            let holds = |&value: &T| condition(Number::to_f64(value));
            HostTensor::new(tensor.shape(), tensor.elements::<T>()?.iter().map(holds).collect::<Vec<_>>())
        },
        else Err(Error::engine(format!("floats are needed, not {dtype}")))
    )
}

#[cfg(test)]
mod tests {
    use super::error_function;

    /// Values of `math.erf` of Python 3.
    #[test]
    fn the_error_function_is_exact_to_double_precision() {
        let known: [(f64, f64); 8] = [
            (0.0, 0.0),
            (1e-10, 1.1283791670955126e-10),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.4, 0.999_311_486_103_354_9),
            (2.6, 0.999_763_965_583_470_7),
            (4.0, 0.999_999_984_582_742_1),
            (7.0, 1.0),
        ];
        for (x, expected) in known {
            for (x, expected) in [(x, expected), (-x, -expected)] {
                let relative = (error_function(x) - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
                assert!(relative < 1e-15, "erf({x}) = {} instead of {expected}", error_function(x));
            }
        }
        assert!(error_function(f64::NAN).is_nan());
    }
}
