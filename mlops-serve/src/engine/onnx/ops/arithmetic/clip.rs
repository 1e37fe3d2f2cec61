//! Clip: values kept between two bounds.

use half::{bf16, f16};
use mlops_core::{DType, Error, Result};

use crate::engine::onnx::ops::elementwise::map;
use crate::engine::onnx::ops::number::{Number, for_number_type};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Scalar, Shape};
use crate::kernels::math;

pub(super) fn clip(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let bounds = if source.node.opset < 11 {
        Some((attributes.float("min", f32::MIN)?, attributes.float("max", f32::MAX)?))
    } else {
        None
    };
    Ok(Box::new(Clip { bounds }))
}

/// First the lower bound is applied, then the upper one, which wins if it is less.
#[derive(Debug)]
struct Clip {
    /// From the attributes, before version 11; later they are inputs.
    bounds: Option<(f32, f32)>,
}

impl Operator for Clip {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let dtype = inputs.tensor(0)?.dtype();
        one(match dtype {
            DType::Fp32 => self.floats::<f32>(inputs, context)?,
            DType::Fp64 => self.floats::<f64>(inputs, context)?,
            DType::Fp16 => self.floats::<f16>(inputs, context)?,
            DType::Bf16 => self.floats::<bf16>(inputs, context)?,
            _ => for_number_type!(
                dtype,
                T => self.integers::<T>(inputs)?,
                else return Err(Error::engine(format!("numbers are needed, not {dtype}")))
            ),
        })
    }
}

impl Clip {
    fn bounds<T: Number>(&self, inputs: &Inputs<'_>) -> Result<(T, T)> {
        if let Some((min, max)) = self.bounds {
            return Ok((T::from_f64(min.into()), T::from_f64(max.into())));
        }
        Ok((bound(inputs, 1)?.unwrap_or(T::LOWEST), bound(inputs, 2)?.unwrap_or(T::HIGHEST)))
    }

    fn floats<T: Number>(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<HostTensor> {
        let (min, max) = self.bounds::<T>(inputs)?;
        let (min, max) = (min.to_f64(), max.to_f64());
        let single = |values: &mut [f32]| math::clip(min as f32, max as f32, values);
        map(inputs, context, &single, &|value| value.larger(min).smaller(max))
    }

    fn integers<T: Number>(&self, inputs: &mut Inputs<'_>) -> Result<HostTensor> {
        let (min, max) = self.bounds::<T>(inputs)?;
        let tensor = inputs.take(0)?;
        let shape = Shape::from_slice(tensor.shape());
        let mut elements = tensor.into_elements::<T>()?;
        elements.iter_mut().for_each(|element| *element = element.larger(min).smaller(max));
        HostTensor::new(shape, elements)
    }
}

fn bound<T: Scalar>(inputs: &Inputs<'_>, index: usize) -> Result<Option<T>> {
    inputs.optional(index)?.map(HostTensor::to_scalar).transpose()
}
