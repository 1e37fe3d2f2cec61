//! QuantizeLinear and DequantizeLinear: for a whole tensor, along an axis, or in blocks.

use half::{bf16, f16};
use mlops_core::{DType, Error, Result};
use pulp::Arch;

use super::parameters::{Parameters, Stored, for_stored_type, integers, reals, stored};
use crate::engine::onnx::decode::dtype_of;
use crate::engine::onnx::ops::number::round;
use crate::engine::onnx::ops::support::{around, axis, product};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape};

pub(super) fn quantize(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Quantize {
        layout: Layout::of(source)?,
        dtype: dtype_attribute(source, "output_dtype")?,
        precision: dtype_attribute(source, "precision")?,
    }))
}

pub(super) fn dequantize(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Dequantize { layout: Layout::of(source)?, dtype: dtype_attribute(source, "output_dtype")? }))
}

fn dtype_attribute(source: &Source<'_>, name: &str) -> Result<Option<DType>> {
    match source.node.attributes.int(name, 0)? {
        0 => Ok(None),
        number => dtype_of(i32::try_from(number).unwrap_or(0)).map(Some),
    }
}

/// Which elements share a scale.
#[derive(Debug, Clone, Copy)]
struct Layout {
    axis: i64,
    /// How many neighbours along the axis; 0 when it is not by blocks.
    block: usize,
}

impl Layout {
    fn of(source: &Source<'_>) -> Result<Self> {
        let attributes = &source.node.attributes;
        let block = attributes.int("block_size", 0)?;
        let block = usize::try_from(block).map_err(|_| {
            Error::invalid_input(format!("the attribute `block_size` must not be negative, but is {block}"))
        })?;
        Ok(Self { axis: attributes.int("axis", 1)?, block })
    }

    /// How the scales lie in a tensor.
    fn spread(self, shape: &[usize], scales: &[usize]) -> Result<Spread> {
        if product(scales) == 1 && (scales.len() <= 1 || self.block == 0) {
            return Ok(Spread::Whole);
        }
        let axis = axis(self.axis, shape.len())?;
        let around = around(shape, axis);
        if scales.len() == 1 && self.block == 0 {
            if scales[0] != around.length {
                let (count, length) = (scales[0], around.length);
                return Err(Error::engine(format!(
                    "{count} scales are given for a dimension of length {length}"
                )));
            }
            return Ok(Spread::Axis { length: around.length, inner: around.inner });
        }
        let mut expected = Shape::from_slice(shape);
        expected[axis] = match self.block {
            0 => scales.get(axis).copied().unwrap_or(0),
            block => around.length.div_ceil(block),
        };
        if scales != expected.as_slice() {
            return Err(Error::engine(format!("the scales have the shape {scales:?}, not {expected:?}")));
        }
        let block = match self.block {
            0 => around.length.div_ceil(expected[axis].max(1)),
            block => block,
        };
        Ok(Spread::Blocks { length: around.length, inner: around.inner, block: block.max(1) })
    }
}

/// Where the scales of elements are.
#[derive(Debug, Clone, Copy)]
enum Spread {
    /// There is one.
    Whole,
    /// One for each place along a dimension, whose places lie `inner` apart.
    Axis { length: usize, inner: usize },
    /// One for each `block` neighbours along a dimension.
    Blocks { length: usize, inner: usize, block: usize },
}

impl Spread {
    /// Visits runs of elements with the place of the scale of the first, and whether the following elements have the
    /// following scales (or all the same).
    fn for_each(self, count: usize, mut visit: impl FnMut(std::ops::Range<usize>, usize, bool)) {
        if count == 0 {
            return;
        }
        match self {
            Self::Whole => visit(0..count, 0, false),
            Self::Axis { length, inner: 1 } => {
                for start in (0..count).step_by(length) {
                    visit(start..start + length, 0, true);
                }
            }
            Self::Axis { length, inner } => {
                for (row, start) in (0..count).step_by(inner).enumerate() {
                    visit(start..start + inner, row % length, false);
                }
            }
            Self::Blocks { length, inner: 1, block } => {
                let blocks = length.div_ceil(block);
                for (row, start) in (0..count).step_by(length).enumerate() {
                    for index in 0..blocks {
                        let end = start + ((index + 1) * block).min(length);
                        visit(start + index * block..end, row * blocks + index, false);
                    }
                }
            }
            Self::Blocks { length, inner, block } => {
                let blocks = length.div_ceil(block);
                for (row, start) in (0..count).step_by(inner).enumerate() {
                    let (outer, place) = (row / length, row % length);
                    visit(start..start + inner, (outer * blocks + place / block) * inner, true);
                }
            }
        }
    }
}

/// As many zero points as scales.
fn zeros(inputs: &Inputs<'_>, scales: usize) -> Result<Vec<i32>> {
    match inputs.optional(2)? {
        None => Ok(vec![0; scales]),
        Some(zeros) if zeros.len() == scales => integers(zeros),
        Some(zeros) => {
            let zeros = zeros.len();
            Err(Error::engine(format!("there are {scales} scales, but {zeros} zero points")))
        }
    }
}

#[derive(Debug)]
struct Quantize {
    layout: Layout,
    /// What it gives; if not said, the type of the zero point.
    dtype: Option<DType>,
    /// In which type it divides; if not said, in that of the scale.
    precision: Option<DType>,
}

impl Operator for Quantize {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let (x, scale) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let spread = self.layout.spread(x.shape(), scale.shape())?;
        let (scales, zeros) = (reals(scale)?, zeros(inputs, scale.len())?);
        let dtype = self.dtype.or(inputs.optional(2)?.map(HostTensor::dtype)).unwrap_or(DType::Uint8);
        let precision = self.precision.unwrap_or(scale.dtype());
        let owned;
        let values = match x.data() {
            Data::F32(elements) => &**elements,
            _ => {
                owned = reals(x)?;
                &owned
            }
        };
        if matches!(spread, Spread::Whole) && precision == DType::Fp32 {
            let parameters = Parameters { scale: scales[0], zero: zeros[0] };
            return one(HostTensor::from_data(x.shape().into(), stored(values, parameters, dtype)?)?);
        }
        let data = for_stored_type!(dtype, quantized(values, spread, &scales, &zeros, precision))?;
        one(HostTensor::from_data(x.shape().into(), data)?)
    }
}

fn quantized<T: Stored>(
    values: &[f32],
    spread: Spread,
    scales: &[f32],
    zeros: &[i32],
    precision: DType,
) -> Result<Data> {
    let quotient = |value: f32, scale: f32| match precision {
        DType::Fp16 => f16::from_f32(value / scale).to_f32(),
        DType::Bf16 => bf16::from_f32(value / scale).to_f32(),
        _ => value / scale,
    };
    let mut output = vec![T::default(); values.len()];
    spread.for_each(values.len(), |run, first, following| {
        let pairs = output[run.clone()].iter_mut().zip(&values[run]);
        for (index, (output, &value)) in pairs.enumerate() {
            let place = if following { first + index } else { first };
            *output = T::nearest(quotient(value, scales[place]), zeros[place] as f32);
        }
    });
    Ok(T::wrap(output.into()))
}

#[derive(Debug)]
struct Dequantize {
    layout: Layout,
    /// What it gives; if not said, the type of the scale.
    dtype: Option<DType>,
}

impl Operator for Dequantize {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (x, scale) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let spread = self.layout.spread(x.shape(), scale.shape())?;
        let (scales, zeros) = (reals(scale)?, zeros(inputs, scale.len())?);
        let mut output = context.memory.floats(x.len());
        match x.data() {
            Data::U8(elements) => dequantized(elements, &mut output, spread, &scales, &zeros),
            Data::I8(elements) => dequantized(elements, &mut output, spread, &scales, &zeros),
            Data::U16(elements) => dequantized(elements, &mut output, spread, &scales, &zeros),
            Data::I16(elements) => dequantized(elements, &mut output, spread, &scales, &zeros),
            Data::I32(elements) => dequantized(elements, &mut output, spread, &scales, &zeros),
            other => {
                let dtype = other.dtype();
                return Err(Error::engine(format!("quantised integers are needed, not {dtype}")));
            }
        }
        let data = match self.dtype.unwrap_or(scale.dtype()) {
            DType::Fp32 => f32::wrap(output.into()),
            DType::Fp16 => f16::wrap(round::<f16>(&output).into()),
            DType::Bf16 => bf16::wrap(round::<bf16>(&output).into()),
            other => return Err(Error::engine(format!("dequantised numbers are floats, not {other}"))),
        };
        one(HostTensor::from_data(x.shape().into(), data)?)
    }
}

fn dequantized<T: Copy + Into<i32>>(
    elements: &[T],
    output: &mut [f32],
    spread: Spread,
    scales: &[f32],
    zeros: &[i32],
) {
    spread.for_each(elements.len(), |run, first, following| {
        let (output, elements) = (&mut output[run.clone()], &elements[run]);
        Arch::new().dispatch(|| {
            if following {
                let parameters = scales[first..].iter().zip(&zeros[first..]);
                for ((output, &element), (scale, &zero)) in output.iter_mut().zip(elements).zip(parameters) {
                    *output = element.into().wrapping_sub(zero) as f32 * scale;
                }
            } else {
                let parameters = Parameters { scale: scales[first], zero: zeros[first] };
                for (output, &element) in output.iter_mut().zip(elements) {
                    *output = parameters.real(element.into());
                }
            }
        });
    });
}
