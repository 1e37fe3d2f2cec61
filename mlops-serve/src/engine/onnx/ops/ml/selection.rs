//! `ArrayFeatureExtractor`, and `ZipMap` as far as a response can hold it.

use mlops_core::{Error, Result};

use super::labels::Labels;
use super::{floats, rows_and_columns};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Scalar, Shape, element_count, for_any};
use crate::engine::onnx::value::Inputs;

/// Selects along the last dimension.
#[derive(Debug)]
struct ArrayFeatureExtractor;

pub(super) fn array_feature_extractor(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(ArrayFeatureExtractor))
}

impl Operator for ArrayFeatureExtractor {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let Some((&length, outer)) = input.shape().split_last() else {
            return Err(Error::engine("a scalar has no features to select"));
        };
        let place = |&index: &i64| {
            let place = usize::try_from(index).ok().filter(|&place| place < length);
            place.ok_or_else(|| Error::engine(format!("the index {index} is outside the {length} features")))
        };
        let places: Vec<usize> = inputs.elements::<i64>(1)?.iter().map(place).collect::<Result<_>>()?;
        let mut shape = Shape::from_slice(outer);
        if shape.is_empty() {
            shape.push(1);
        }
        shape.push(places.len());
        element_count(&shape)?;
        one(for_any!(input.data(), |elements| select(elements, length, &places, shape))?)
    }
}

fn select<T: Scalar>(elements: &[T], length: usize, places: &[usize], shape: Shape) -> Result<HostTensor> {
    let rows = elements.chunks_exact(length.max(1));
    let selected: Vec<T> = rows.flat_map(|row| places.iter().map(|&place| row[place].clone())).collect();
    HostTensor::new(shape, selected)
}

/// The scores of the classes, which a map would hold by label: column by column in the order of the labels.
#[derive(Debug)]
struct ZipMap {
    classes: usize,
}

pub(super) fn zip_map(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let labels = Labels::parse(&source.node.attributes, "classlabels_int64s", "classlabels_strings")?;
    if labels.len() == 0 {
        return Err(Error::invalid_input("classlabels_int64s or classlabels_strings is needed"));
    }
    Ok(Box::new(ZipMap { classes: labels.len() }))
}

impl Operator for ZipMap {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.take(0)?;
        let (rows, columns) = rows_and_columns(&input)?;
        if columns != self.classes {
            let classes = self.classes;
            return Err(Error::engine(format!("there are {columns} scores for {classes} labels")));
        }
        let shape = Shape::from_slice(&[rows, columns]);
        if input.elements::<f32>().is_ok() {
            return one(input.reshaped(shape)?);
        }
        one(HostTensor::new(shape, floats(&input)?.into_owned())?)
    }
}
