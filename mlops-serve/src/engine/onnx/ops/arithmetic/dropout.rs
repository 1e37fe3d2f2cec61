//! Dropout: nothing at inference; in training mode, some elements are dropped and the others grow.

use half::{bf16, f16};
use mlops_core::{Error, Result};
use smallvec::smallvec;

use crate::engine::onnx::ops::number::{Number, for_number_type};
use crate::engine::onnx::ops::random::Chance;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape};
use crate::engine::onnx::value::Value;

pub(super) fn dropout(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let seed = source.node.attributes.optional_int("seed")?;
    Ok(Box::new(Dropout {
        chance: Chance::new(seed.map(|seed| seed as u32)),
        mask: source.wants(1),
        mask_is_bool: source.node.opset >= 10,
    }))
}

/// Training is asked for by input 2 since version 12; before, it is never done, as elsewhere at inference.
#[derive(Debug)]
struct Dropout {
    chance: Chance,
    /// Whether it is asked which elements are left.
    mask: bool,
    mask_is_bool: bool,
}

impl Operator for Dropout {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let training = match inputs.optional(2)? {
            Some(training) => training.to_scalar::<bool>()?,
            None => false,
        };
        let ratio = if training { ratio(inputs)? } else { 0.0 };
        let data = inputs.take(0)?;
        let (shape, count) = (Shape::from_slice(data.shape()), data.len());
        let (data, left) = if ratio == 0.0 {
            (data, self.mask.then(|| vec![true; count]))
        } else {
            let left: Vec<bool> =
                self.chance.draw(|generator| (0..count).map(|_| generator.uniform() >= ratio).collect());
            (dropped(data, &left, ratio)?, self.mask.then_some(left))
        };
        let mut outputs: Outputs = smallvec![Value::Tensor(data)];
        if let Some(left) = left {
            outputs.push(Value::Tensor(self.mask(shape, left, &outputs)?));
        }
        Ok(outputs)
    }
}

impl Dropout {
    /// In old versions the mask has the type of the data.
    fn mask(&self, shape: Shape, left: Vec<bool>, outputs: &Outputs) -> Result<HostTensor> {
        let ones = |left: Vec<bool>| left.into_iter().map(|left| f32::from(u8::from(left)));
        match outputs.first() {
            _ if self.mask_is_bool => HostTensor::new(shape, left),
            Some(Value::Tensor(data)) => match data.data() {
                Data::F16(_) => HostTensor::new(shape, ones(left).map(f16::from_f32).collect::<Vec<_>>()),
                Data::F64(_) => HostTensor::new(shape, ones(left).map(f64::from).collect::<Vec<_>>()),
                _ => HostTensor::new(shape, ones(left).collect::<Vec<_>>()),
            },
            _ => HostTensor::new(shape, left),
        }
    }
}

/// The elements that are left, grown so that the expected sum stays; the others are zero.
fn dropped(data: HostTensor, left: &[bool], ratio: f64) -> Result<HostTensor> {
    fn typed<T: Number>(data: HostTensor, left: &[bool], scale: f64) -> Result<HostTensor> {
        let shape = Shape::from_slice(data.shape());
        let mut elements = data.into_elements::<T>()?;
        for (element, &left) in elements.iter_mut().zip(left) {
            *element = if left { T::from_f64(element.to_f64() * scale) } else { T::ZERO };
        }
        HostTensor::new(shape, elements)
    }
    let (dtype, scale) = (data.dtype(), 1.0 / (1.0 - ratio));
    for_number_type!(
        dtype,
        T => typed::<T>(data, left, scale),
        else Err(Error::engine(format!("floats are needed, not {dtype}")))
    )
}

/// Which share of the elements is dropped.
fn ratio(inputs: &Inputs<'_>) -> Result<f64> {
    let Some(ratio) = inputs.optional(1)? else { return Ok(0.5) };
    match ratio.data() {
        Data::F32(_) => Ok(ratio.to_scalar::<f32>()?.into()),
        Data::F16(_) => Ok(ratio.to_scalar::<f16>()?.into()),
        Data::Bf16(_) => Ok(ratio.to_scalar::<bf16>()?.into()),
        _ => ratio.to_scalar::<f64>(),
    }
}
