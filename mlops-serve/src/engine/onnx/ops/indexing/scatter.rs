//! A tensor with elements or slices replaced or reduced at given places.

use half::{bf16, f16};
use mlops_core::{Error, Result};

use super::gather::{Slices, element_places};
use super::place;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, for_any};
use crate::engine::onnx::value::Inputs;

/// What becomes of the element that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduction {
    Replace,
    Add,
    Multiply,
    Maximum,
    Minimum,
}

impl Reduction {
    fn of(source: &Source<'_>) -> Result<Self> {
        Ok(match source.node.attributes.text("reduction")?.map_or("none", String::as_str) {
            "none" => Self::Replace,
            "add" => Self::Add,
            "mul" => Self::Multiply,
            "max" => Self::Maximum,
            "min" => Self::Minimum,
            other => return Err(Error::invalid_input(format!("there is no reduction `{other}`"))),
        })
    }
}

/// Elements that can be reduced; strings can only be replaced.
trait Reducible: Scalar {
    fn reduce(&self, _update: &Self, _reduction: Reduction) -> Option<Self> {
        None
    }
}

impl Reducible for String {}

impl Reducible for bool {
    fn reduce(&self, update: &Self, reduction: Reduction) -> Option<Self> {
        Some(match reduction {
            Reduction::Replace => *update,
            Reduction::Add | Reduction::Maximum => *self || *update,
            Reduction::Multiply | Reduction::Minimum => *self && *update,
        })
    }
}

macro_rules! reducible_integers {
    ($($type:ty)*) => {
        $(impl Reducible for $type {
            fn reduce(&self, update: &Self, reduction: Reduction) -> Option<Self> {
                Some(match reduction {
                    Reduction::Replace => *update,
                    Reduction::Add => self.wrapping_add(*update),
                    Reduction::Multiply => self.wrapping_mul(*update),
                    Reduction::Maximum => *self.max(update),
                    Reduction::Minimum => *self.min(update),
                })
            }
        })*
    };
}

reducible_integers! { u8 u16 u32 u64 i8 i16 i32 i64 }

macro_rules! reducible_floats {
    ($($type:ty)*) => {
        $(impl Reducible for $type {
            fn reduce(&self, update: &Self, reduction: Reduction) -> Option<Self> {
                Some(match reduction {
                    Reduction::Replace => *update,
                    Reduction::Add => *self + *update,
                    Reduction::Multiply => *self * *update,
                    // As in NumPy, NaN wins.
                    Reduction::Maximum if *self > *update || self.is_nan() => *self,
                    Reduction::Minimum if *self < *update || self.is_nan() => *self,
                    Reduction::Maximum | Reduction::Minimum => *update,
                })
            }
        })*
    };
}

reducible_floats! { f16 bf16 f32 f64 }

/// Puts a slice of updates at each place.
fn scattered<T: Reducible>(
    mut elements: Vec<T>,
    updates: &HostTensor,
    places: &[usize],
    length: usize,
    reduction: Reduction,
) -> Result<Data> {
    let updates = updates.elements::<T>()?;
    for (index, &place) in places.iter().enumerate() {
        let updates = &updates[index * length..(index + 1) * length];
        let elements = &mut elements[place..place + length];
        if reduction == Reduction::Replace {
            elements.clone_from_slice(updates);
            continue;
        }
        for (element, update) in elements.iter_mut().zip(updates) {
            let reduced = element.reduce(update, reduction);
            *element = reduced.ok_or_else(|| Error::engine("strings can be replaced, but not reduced"))?;
        }
    }
    Ok(T::wrap(elements.into()))
}

/// The data with slices of updates put at places. The updates must have as many elements as the slices together.
fn scatter(
    data: HostTensor,
    updates: &HostTensor,
    places: &[usize],
    length: usize,
    reduction: Reduction,
) -> Result<HostTensor> {
    let (shape, data) = data.into_parts();
    let data = for_any!(data, |e| scattered(e.into_vec(), updates, places, length, reduction)?);
    HostTensor::from_data(shape, data)
}

/// `ScatterElements`: each update goes to its own place but for one dimension, where it goes to the index.
#[derive(Debug)]
struct ScatterElements {
    axis: i64,
    reduction: Reduction,
}

pub(super) fn scatter_elements(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let axis = source.node.attributes.int("axis", 0)?;
    Ok(Box::new(ScatterElements { axis, reduction: Reduction::of(source)? }))
}

impl Operator for ScatterElements {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let data = inputs.take(0)?;
        let (indices, updates) = (inputs.tensor(1)?, inputs.tensor(2)?);
        let axis = support::axis(self.axis, data.rank())?;
        if indices.shape() != updates.shape() {
            let (indices, updates) = (indices.shape(), updates.shape());
            return Err(Error::engine(format!(
                "indices of shape {indices:?} do not fit updates {updates:?}"
            )));
        }
        let places = element_places(data.shape(), indices, axis)?;
        one(scatter(data, updates, &places, 1, self.reduction)?)
    }
}

/// `ScatterND`: slices of updates go to positions, which are the rows of the indices.
#[derive(Debug)]
struct ScatterNd {
    reduction: Reduction,
}

pub(super) fn scatter_nd(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(ScatterNd { reduction: Reduction::of(source)? }))
}

impl Operator for ScatterNd {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let data = inputs.take(0)?;
        let (indices, updates) = (inputs.tensor(1)?, inputs.tensor(2)?);
        let slices = Slices::new(data.shape(), indices, 0)?;
        let mut expected = Shape::from_slice(&indices.shape()[..indices.rank() - 1]);
        expected.extend_from_slice(&data.shape()[slices.indexed..]);
        if updates.shape() != expected.as_slice() {
            let updates = updates.shape();
            return Err(Error::engine(format!("updates of shape {updates:?} are given, not {expected:?}")));
        }
        one(scatter(data, updates, &slices.starts, slices.length, self.reduction)?)
    }
}

/// `TensorScatter`: a cache `[batch, .., time, ..]` in which a few time steps of each sequence are new.
#[derive(Debug)]
struct TensorScatter {
    axis: i64,
    circular: bool,
}

pub(super) fn tensor_scatter(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let circular = match attributes.text("mode")?.map_or("linear", String::as_str) {
        "linear" => false,
        "circular" => true,
        other => return Err(Error::invalid_input(format!("there is no mode `{other}`"))),
    };
    Ok(Box::new(TensorScatter { axis: attributes.int("axis", -2)?, circular }))
}

impl Operator for TensorScatter {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let firsts = inputs.optional_i64s(2)?;
        let cache = inputs.take(0)?;
        let updates = inputs.tensor(1)?;
        let axis = support::axis(self.axis, cache.rank())?;
        let mut expected = Shape::from_slice(cache.shape());
        let steps = updates.shape().get(axis).copied().unwrap_or(0);
        expected[axis] = steps;
        if axis == 0 || updates.shape() != expected.as_slice() || steps > cache.shape()[axis] {
            let (cache, updates) = (cache.shape(), updates.shape());
            return Err(Error::engine(format!("an update {updates:?} does not fit the cache {cache:?}")));
        }
        if updates.is_empty() {
            return one(cache);
        }
        let (batch, length) = (cache.shape()[0], cache.shape()[axis]);
        let firsts = firsts.unwrap_or_else(|| vec![0; batch]);
        if firsts.len() != batch {
            let count = firsts.len();
            return Err(Error::engine(format!("{count} write indices are given for {batch} sequences")));
        }
        let around = support::around(cache.shape(), axis);
        let per_sequence = around.outer / batch;
        let mut places = Vec::with_capacity(around.outer.saturating_mul(steps));
        for outer in 0..around.outer {
            let first = firsts[outer / per_sequence];
            for step in 0..steps {
                let index = first.saturating_add(step as i64);
                let index = if self.circular { index.rem_euclid(length as i64) } else { index };
                if index < 0 {
                    return Err(Error::engine(format!("the write index {first} is negative")));
                }
                places.push((outer * length + place(index, length)?) * around.inner);
            }
        }
        one(scatter(cache, updates, &places, around.inner, Reduction::Replace)?)
    }
}
