//! The largest or smallest elements.

use std::cmp::Ordering;

use half::{bf16, f16};
use mlops_core::{Error, Result};

use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::layout::{Integers, lengths};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, support};
use crate::engine::onnx::tensor::{HostTensor, Scalar, Shape, for_numbers};
use crate::engine::onnx::value::{Inputs, Value};

/// `TopK`: the `k` largest or smallest elements along a dimension and where they are. They are always sorted; of equal
/// ones, the first comes first.
#[derive(Debug)]
struct TopK {
    axis: i64,
    k: Integers,
    largest: bool,
}

pub(super) fn top_k(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let k = match source.node.opset {
        ..10 => Integers::Known(attributes.optional_int("k")?.into_iter().collect()),
        _ => Integers::input(source, 1)?,
    };
    let largest = attributes.flag("largest", true)?;
    Ok(Box::new(TopK { axis: attributes.int("axis", -1)?, k, largest }))
}

impl Operator for TopK {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let k = match self.k.get(inputs)?.as_deref() {
            Some(&[k]) => lengths(&[k])?[0],
            _ => return Err(Error::engine("k must be one number")),
        };
        let data = inputs.tensor(0)?;
        let axis = support::axis(self.axis, data.rank())?;
        let around = support::around(data.shape(), axis);
        if k > around.length {
            let length = around.length;
            return Err(Error::engine(format!("{k} elements are wanted of a dimension of {length}")));
        }
        let mut shape = Shape::from_slice(data.shape());
        shape[axis] = k;
        let (values, places) = for_numbers!(
            data.data(),
            |elements| best(elements, around, k, self.largest, &shape, context.memory)?,
            other => return Err(Error::engine(format!("{} has no order", other.dtype())))
        );
        Ok([values, places].into_iter().map(Value::Tensor).collect())
    }
}

/// Numbers in their order; NaN is greater than all others, and equal to itself.
pub(super) trait Ordered: Scalar + Copy {
    fn order(&self, other: &Self) -> Ordering;
}

macro_rules! ordered {
    ($($type:ty)*; $($float:ty)*) => {
        $(impl Ordered for $type {
            #[inline]
            fn order(&self, other: &Self) -> Ordering {
                self.cmp(other)
            }
        })*
        $(impl Ordered for $float {
            #[inline]
            fn order(&self, other: &Self) -> Ordering {
                self.partial_cmp(other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
            }
        })*
    };
}

ordered! { bool u8 u16 u32 u64 i8 i16 i32 i64; f16 bf16 f32 f64 }

fn best<T: Ordered>(
    elements: &[T],
    around: support::Around,
    k: usize,
    largest: bool,
    shape: &[usize],
    memory: &mut Memory,
) -> Result<(HostTensor, HostTensor)> {
    let support::Around { outer, length, inner } = around;
    let count = if elements.is_empty() { 0 } else { support::product(shape) };
    let mut values: Vec<T> = memory.vector(count)?;
    let mut places: Vec<i64> = memory.vector(count)?;
    values.resize(count, T::default());
    places.resize(count, 0);
    let mut line: Vec<(T, usize)> = Vec::new();
    let order = |a: &(T, usize), b: &(T, usize)| {
        let order = if largest { b.0.order(&a.0) } else { a.0.order(&b.0) };
        order.then(a.1.cmp(&b.1))
    };
    if count > 0 {
        for lane in 0..outer * inner {
            let first = lane / inner * length * inner + lane % inner;
            line.clear();
            line.extend((0..length).map(|index| (elements[first + index * inner], index)));
            if k < length {
                line.select_nth_unstable_by(k, order);
            }
            line[..k].sort_unstable_by(order);
            let first = lane / inner * k * inner + lane % inner;
            for (index, &(value, place)) in line[..k].iter().enumerate() {
                values[first + index * inner] = value;
                places[first + index * inner] = place as i64;
            }
        }
    }
    Ok((HostTensor::new(shape, values)?, HostTensor::new(shape, places)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(elements: &[f32], k: usize, largest: bool) -> Vec<i64> {
        let around = support::Around { outer: 1, length: elements.len(), inner: 1 };
        let (_, places) = best(elements, around, k, largest, &[k], &mut Memory::default()).unwrap();
        places.elements::<i64>().unwrap().to_vec()
    }

    #[test]
    fn of_equal_elements_the_first_comes_first_and_nan_is_the_greatest() {
        assert_eq!(of(&[1.0, 3.0, 3.0, 2.0, 3.0], 2, true), [1, 2]);
        assert_eq!(of(&[1.0, 1.0, 0.0, -0.0], 3, false), [2, 3, 0]);
        assert_eq!(of(&[1.0, f32::NAN, f32::INFINITY], 2, true), [1, 2]);
        assert_eq!(of(&[f32::NAN, 1.0], 2, false), [1, 0]);
        assert_eq!(of(&[1.0], 0, true), [0_i64; 0]);
    }
}
