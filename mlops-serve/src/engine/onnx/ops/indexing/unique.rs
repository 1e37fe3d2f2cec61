//! Elements or slices without those that are there already.

use std::cmp::Ordering;

use mlops_core::Result;

use super::top_k::Ordered;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, support};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, for_any};
use crate::engine::onnx::value::{Inputs, Value};

/// `Unique`: the different elements, or slices along an axis; where each is for the first time; for each of the
/// input, which one it is; and how often each is there.
#[derive(Debug)]
struct Unique {
    axis: Option<i64>,
    /// In ascending order; if not, in that of their first occurrence.
    sorted: bool,
}

pub(super) fn unique(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(Unique { axis: attributes.optional_int("axis")?, sorted: attributes.flag("sorted", true)? }))
}

impl Operator for Unique {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let data = inputs.tensor(0)?;
        let (mut shape, axis) = match self.axis {
            Some(axis) => (Shape::from_slice(data.shape()), support::axis(axis, data.rank())?),
            None => (Shape::from_slice(&[data.len()]), 0),
        };
        let around = support::around(&shape, axis);
        let groups = for_any!(data.data(), |elements| Groups::new(elements, around, self.sorted));
        shape[axis] = groups.firsts.len();
        let data = for_any!(data.data(), |elements| gathered(elements, around, &groups.firsts));
        let integers = |values: Vec<usize>| values.into_iter().map(|value| value as i64).collect();
        let lists =
            [groups.firsts, groups.members, groups.counts].map(|list| HostTensor::vector(integers(list)));
        let unique = HostTensor::from_data(shape, data)?;
        Ok(std::iter::once(unique).chain(lists).map(Value::Tensor).collect())
    }
}

/// Slices that are the same.
struct Groups {
    /// The first slice of each group.
    firsts: Vec<usize>,
    /// The group of each slice.
    members: Vec<usize>,
    counts: Vec<usize>,
}

impl Groups {
    fn new<T: Comparable>(elements: &[T], around: support::Around, sorted: bool) -> Self {
        let support::Around { outer, length, inner } = around;
        let length = if elements.is_empty() { 0 } else { length }; // slices without elements are none
        let compare = |&a: &usize, &b: &usize| {
            let part = |slice: usize, outer: usize| {
                let start = (outer * length + slice) * inner;
                &elements[start..start + inner]
            };
            let mut parts = (0..outer).flat_map(|outer| part(a, outer).iter().zip(part(b, outer)));
            parts
                .find_map(|(a, b)| Some(a.compare(b)).filter(|order| order.is_ne()))
                .unwrap_or(Ordering::Equal)
        };
        let mut order: Vec<usize> = (0..length).collect();
        order.sort_by(compare); // stable: the first of equal slices comes first
        let mut groups: Vec<&[usize]> = order.chunk_by(|a, b| compare(a, b).is_eq()).collect();
        if !sorted {
            groups.sort_by_key(|group| group[0]);
        }
        let mut members = vec![0; length];
        for (index, group) in groups.iter().enumerate() {
            group.iter().for_each(|&slice| members[slice] = index);
        }
        let firsts = groups.iter().map(|group| group[0]).collect();
        Self { firsts, members, counts: groups.iter().map(|group| group.len()).collect() }
    }
}

/// What can be sorted.
trait Comparable: Scalar {
    fn compare(&self, other: &Self) -> Ordering;
}

impl<T: Ordered> Comparable for T {
    fn compare(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}

impl Comparable for String {
    fn compare(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

fn gathered<T: Scalar>(
    elements: &[T],
    support::Around { length, inner, .. }: support::Around,
    slices: &[usize],
) -> Data {
    let mut output: Vec<T> = Vec::new();
    if !elements.is_empty() {
        for block in elements.chunks_exact(length * inner) {
            slices
                .iter()
                .for_each(|&slice| output.extend_from_slice(&block[slice * inner..(slice + 1) * inner]));
        }
    }
    T::wrap(output.into())
}
