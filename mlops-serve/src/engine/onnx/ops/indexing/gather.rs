//! Elements and slices at given places.

use mlops_core::{Error, Result};

use super::place;
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::layout::{View, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count, for_any};
use crate::engine::onnx::value::Inputs;

/// `Gather`: slices along a dimension, at indices of any shape that takes the dimension's place.
#[derive(Debug)]
struct Gather {
    axis: i64,
}

pub(super) fn gather(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Gather { axis: source.node.attributes.int("axis", 0)? }))
}

impl Operator for Gather {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (data, indices) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let axis = support::axis(self.axis, data.rank())?;
        let (outer, rest) = data.shape().split_at(axis);
        let (length, inner) = (rest[0], &rest[1..]);
        let shape: Shape = [outer, indices.shape(), inner].concat().into();
        let places: Vec<usize> =
            indices.to_i64s()?.into_iter().map(|index| place(index, length)).collect::<Result<_>>()?;
        let count = element_count(&shape)?;
        let around = support::around(data.shape(), axis);
        let data =
            for_any!(data.data(), |elements| gathered(elements, &places, around, count, context.memory)?);
        one(HostTensor::from_data(shape, data)?)
    }
}

fn gathered<T: Scalar>(
    elements: &[T],
    places: &[usize],
    around: support::Around,
    count: usize,
    memory: &mut Memory,
) -> Result<Data> {
    let mut output: Vec<T> = memory.vector(count)?;
    if count > 0 {
        let inner = around.inner;
        for block in elements.chunks_exact(around.length * inner) {
            match inner {
                1 => output.extend(places.iter().map(|&place| block[place].clone())),
                _ => places
                    .iter()
                    .for_each(|place| output.extend_from_slice(&block[place * inner..(place + 1) * inner])),
            }
        }
    }
    Ok(T::wrap(output.into()))
}

/// `GatherElements`: for each index, the element in its own place but for one dimension, where it is at the index.
#[derive(Debug)]
struct GatherElements {
    axis: i64,
}

pub(super) fn gather_elements(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(GatherElements { axis: source.node.attributes.int("axis", 0)? }))
}

impl Operator for GatherElements {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (data, indices) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let axis = support::axis(self.axis, data.rank())?;
        let places = element_places(data.shape(), indices, axis)?;
        fn gathered<T: Scalar>(elements: &[T], places: &[usize], memory: &mut Memory) -> Result<Data> {
            let mut output: Vec<T> = memory.vector(places.len())?;
            output.extend(places.iter().map(|&place| elements[place].clone()));
            Ok(T::wrap(output.into()))
        }
        let elements = for_any!(data.data(), |elements| gathered(elements, &places, context.memory)?);
        one(HostTensor::from_data(Shape::from_slice(indices.shape()), elements)?)
    }
}

/// For each index, where the element is that has its position in all dimensions but `axis`, and the index there.
pub(super) fn element_places(shape: &[usize], indices: &HostTensor, axis: usize) -> Result<Vec<usize>> {
    let fits = |(other, (&own, &length)): (usize, (&usize, &usize))| other == axis || length <= own;
    if indices.rank() != shape.len() || !shape.iter().zip(indices.shape()).enumerate().all(fits) {
        let other = indices.shape();
        return Err(Error::engine(format!(
            "indices of shape {other:?} reach beyond data of shape {shape:?} in other dimensions than {axis}"
        )));
    }
    let mut strides = strides(shape);
    let stride = std::mem::take(&mut strides[axis]).unsigned_abs();
    let mut places = indices.to_i64s()?.into_iter();
    let mut output = Vec::with_capacity(places.len());
    let mut result = Ok(());
    View::new(indices.shape(), &strides, 0)?.for_each(|start| {
        match places.next().map(|index| place(index, shape[axis])) {
            Some(Ok(place)) => output.push(start + place * stride),
            Some(Err(cause)) => result = Err(cause),
            None => {}
        }
    });
    result.map(|()| output)
}

/// `GatherND`: slices at positions, which are the rows of the indices.
#[derive(Debug)]
struct GatherNd {
    batch_dimensions: i64,
}

pub(super) fn gather_nd(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(GatherNd { batch_dimensions: source.node.attributes.int("batch_dims", 0)? }))
}

impl Operator for GatherNd {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (data, indices) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let slices = Slices::new(data.shape(), indices, self.batch_dimensions)?;
        let mut shape = Shape::from_slice(&indices.shape()[..indices.rank() - 1]);
        shape.extend_from_slice(&data.shape()[slices.indexed..]);
        let count = element_count(&shape)?;
        fn gathered<T: Scalar>(
            elements: &[T],
            slices: &Slices,
            count: usize,
            memory: &mut Memory,
        ) -> Result<Data> {
            let mut output: Vec<T> = memory.vector(count)?;
            for &start in &slices.starts {
                output.extend_from_slice(&elements[start..start + slices.length]);
            }
            Ok(T::wrap(output.into()))
        }
        let data = for_any!(data.data(), |elements| gathered(elements, &slices, count, context.memory)?);
        one(HostTensor::from_data(shape, data)?)
    }
}

/// Slices of a tensor at positions.
#[derive(Debug)]
pub(super) struct Slices {
    pub(super) starts: Vec<usize>,
    pub(super) length: usize,
    /// How many dimensions of the data, batches included, lead to a slice.
    pub(super) indexed: usize,
}

impl Slices {
    /// The slices at the rows of `indices`, whose first dimensions are those of the data when there are batches.
    pub(super) fn new(shape: &[usize], indices: &HostTensor, batch_dimensions: i64) -> Result<Self> {
        let positions = indices.shape();
        let wrong = || {
            Error::engine(format!(
                "indices of shape {positions:?} do not fit data of shape {shape:?} with {batch_dimensions} batch dimensions"
            ))
        };
        let batched = usize::try_from(batch_dimensions).map_err(|_| wrong())?;
        let Some((&width, rows)) = positions.split_last() else { return Err(wrong()) };
        let indexed = batched.saturating_add(width);
        if indexed > shape.len() || batched > rows.len() || shape[..batched] != rows[..batched] {
            return Err(wrong());
        }
        let length = support::product(&shape[indexed..]);
        let strides = support::strides(shape);
        let per_batch = support::product(&rows[batched..]);
        let indices = indices.to_i64s()?;
        let count = if rows.contains(&0) { 0 } else { support::product(rows) };
        let mut starts = Vec::new();
        starts
            .try_reserve_exact(count)
            .map_err(|_| Error::engine(format!("{count} positions do not fit in memory")))?;
        let batch_stride = support::product(&shape[batched..]);
        for row in 0..count {
            let mut start = row / per_batch * batch_stride;
            for (axis, &index) in indices[row * width..(row + 1) * width].iter().enumerate() {
                start += place(index, shape[batched + axis])? * strides[batched + axis];
            }
            starts.push(start);
        }
        Ok(Self { starts, length, indexed })
    }
}
