//! Powers.

use mlops_core::{DType, Error, Result};

use super::Alignment;
use crate::engine::onnx::ops::elementwise::map;
use crate::engine::onnx::ops::number::{Number, for_number_type};
use crate::engine::onnx::ops::support::zip_in;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::kernels::math;

pub(super) fn pow(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Pow { alignment: Alignment::of(source)? }))
}

/// The result has the type of the base; the exponent may have another.
#[derive(Debug)]
struct Pow {
    alignment: Alignment,
}

impl Operator for Pow {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        self.alignment.run(inputs, |inputs, shape| power(inputs, shape, context))
    }
}

fn power(inputs: &mut Inputs<'_>, shape: Shape, context: &mut Context<'_>) -> Result<HostTensor> {
    let (base, exponent) = (inputs.tensor(0)?, inputs.tensor(1)?);
    let dtype = base.dtype();
    let is_float = matches!(dtype, DType::Fp32 | DType::Fp64 | DType::Fp16 | DType::Bf16);
    if is_float && exponent.len() == 1 && base.shape() == shape.as_slice() {
        let exponents = numbers(exponent)?;
        return same_for_all(inputs, exponents[0], context);
    }
    for_number_type!(
        dtype,
        T => typed::<T>(base, exponent, shape, context),
        else Err(Error::engine(format!("numbers are needed, not {dtype}")))
    )
}

/// Floats to a power that is the same for all of them: most models square or take roots.
fn same_for_all(inputs: &mut Inputs<'_>, exponent: f64, context: &mut Context<'_>) -> Result<HostTensor> {
    let double = |value: f64| value.powf(exponent);
    let single = |function: &(dyn Fn(f32) -> f32 + Sync), values: &mut [f32]| {
        values.iter_mut().for_each(|value| *value = function(*value));
    };
    if exponent == 2.0 {
        let square = |values: &mut [f32]| values.iter_mut().for_each(|value| *value *= *value);
        map(inputs, context, &square, &|value| value * value)
    } else if exponent == 3.0 {
        let cube = |values: &mut [f32]| values.iter_mut().for_each(|value| *value = *value * *value * *value);
        map(inputs, context, &cube, &double)
    } else if exponent == 0.5 {
        // Unlike a root, the power of minus zero and of minus infinity is positive; neither changes a model.
        map(inputs, context, &math::sqrt, &f64::sqrt)
    } else if exponent == -1.0 {
        map(inputs, context, &math::reciprocal, &f64::recip)
    } else {
        let exponent = exponent as f32;
        map(inputs, context, &|values| single(&|value| value.powf(exponent), values), &double)
    }
}

fn typed<T: Number>(
    base: &HostTensor,
    exponent: &HostTensor,
    shape: Shape,
    context: &mut Context<'_>,
) -> Result<HostTensor> {
    let a = (base.shape(), base.elements::<T>()?);
    let output = match exponent.elements::<T>() {
        Ok(same_type) => {
            zip_in(context.memory, &shape, a, (exponent.shape(), same_type), |&a, &b| a.power(b))?
        }
        Err(_) => {
            let exponents = numbers(exponent)?;
            zip_in(context.memory, &shape, a, (exponent.shape(), &exponents), |&a, &b| raised(a, b))?
        }
    };
    HostTensor::new(shape, output)
}

/// An integer to a whole power wraps around as its products do; everything else is computed in `f64`.
fn raised<T: Number>(base: T, exponent: f64) -> T {
    let whole = exponent as u32;
    if T::IS_FLOAT || f64::from(whole) != exponent {
        return T::from_f64(base.to_f64().powf(exponent));
    }
    let (mut result, mut square, mut rest) = (T::ONE, base, whole);
    while rest > 0 {
        if rest & 1 == 1 {
            result = result.times(square);
        }
        square = square.times(square);
        rest >>= 1;
    }
    result
}

fn numbers(tensor: &HostTensor) -> Result<Vec<f64>> {
    let dtype = tensor.dtype();
    for_number_type!(
        dtype,
        T => Ok(tensor.elements::<T>()?.iter().map(|&value| Number::to_f64(value)).collect()),
        else Err(Error::engine(format!("the exponent must be a number, not {dtype}")))
    )
}
