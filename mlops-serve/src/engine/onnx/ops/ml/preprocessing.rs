//! Numbers made ready for a model: `Scaler`, `Normalizer`, `Imputer`, `Binarizer` and `FeatureVectorizer`.

use mlops_core::{DType, Error, Result};

use super::{floats, rows_and_columns};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count};
use crate::engine::onnx::value::Inputs;

/// The length of the second dimension: features. A vector is one row of them.
fn features(tensor: &HostTensor) -> Result<usize> {
    match tensor.shape() {
        [] => Err(Error::engine("features are needed, not a scalar")),
        [features] | [_, features, ..] => Ok(*features),
    }
}

fn not_a_number(dtype: DType) -> Error {
    Error::engine(format!("FP32, FP64, INT32 or INT64 is needed, not {dtype}"))
}

/// `(x - offset) * scale`, with one pair for each feature or one for all.
#[derive(Debug)]
struct Scaler {
    pairs: Vec<(f32, f32)>,
}

pub(super) fn scaler(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let scale = attributes.floats("scale")?.map_or(&[][..], Vec::as_slice);
    let offset = attributes.floats("offset")?.map_or(&[][..], Vec::as_slice);
    let pairs = match (offset, scale) {
        ([], []) => vec![(0.0, 1.0)],
        (offset, []) => offset.iter().map(|&offset| (offset, 1.0)).collect(),
        ([], scale) => scale.iter().map(|&scale| (0.0, scale)).collect(),
        (offset, scale) if offset.len() == scale.len() => {
            offset.iter().copied().zip(scale.iter().copied()).collect()
        }
        (offset, scale) => {
            let (offsets, scales) = (offset.len(), scale.len());
            return Err(Error::invalid_input(format!("there are {offsets} offsets, but {scales} scales")));
        }
    };
    Ok(Box::new(Scaler { pairs }))
}

impl Operator for Scaler {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.take(0)?;
        let features = features(&input)?;
        let pairs = &self.pairs;
        if pairs.len() != features && pairs.len() != 1 {
            let count = pairs.len();
            return Err(Error::engine(format!("{features} features have {count} offsets and scales")));
        }
        let pairs = || pairs.iter().cycle();
        let (shape, data) = input.into_parts();
        let scaled: Vec<f32> = match data {
            Data::F32(elements) => {
                let mut elements = elements.into_vec();
                for (x, (offset, scale)) in elements.iter_mut().zip(pairs()) {
                    *x = (*x - offset) * scale;
                }
                elements
            }
            Data::F64(elements) => elements
                .iter()
                .zip(pairs())
                .map(|(x, &(offset, scale))| ((x - f64::from(offset)) * f64::from(scale)) as f32)
                .collect(),
            Data::I32(elements) => elements
                .iter()
                .zip(pairs())
                .map(|(&x, (offset, scale))| (x as f32 - offset) * scale)
                .collect(),
            Data::I64(elements) => elements
                .iter()
                .zip(pairs())
                .map(|(&x, (offset, scale))| (x as f32 - offset) * scale)
                .collect(),
            other => return Err(not_a_number(other.dtype())),
        };
        one(HostTensor::new(shape, scaled)?)
    }
}

/// Divides each row by its norm.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Normalizer {
    Max,
    L1,
    L2,
}

pub(super) fn normalizer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(match source.node.attributes.text("norm")?.map_or("MAX", String::as_str) {
        "MAX" => Normalizer::Max,
        "L1" => Normalizer::L1,
        "L2" => Normalizer::L2,
        other => return Err(Error::invalid_input(format!("there is no norm `{other}`"))),
    }))
}

impl Operator for Normalizer {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let (_, columns) = rows_and_columns(input)?;
        let mut elements = floats(input)?.into_owned();
        for row in elements.chunks_exact_mut(columns.max(1)) {
            let norm = match self {
                Self::Max => row.iter().fold(f32::MIN, |max, &x| max.max(x)),
                Self::L1 => row.iter().map(|x| x.abs()).sum(),
                Self::L2 => row.iter().map(|x| x * x).sum::<f32>(),
            };
            if norm == 0.0 {
                continue;
            }
            match self {
                Self::Max | Self::L1 => row.iter_mut().for_each(|x| *x /= norm),
                Self::L2 => row.iter_mut().for_each(|x| *x = (*x * *x / norm).sqrt().copysign(*x)),
            }
        }
        one(HostTensor::new(Shape::from_slice(input.shape()), elements)?)
    }
}

/// Puts other values in the place of a certain one, which stands for missing values.
#[derive(Debug)]
struct Imputer {
    floats: Vec<f32>,
    replaced_float: f32,
    ints: Vec<i64>,
    replaced_int: i64,
}

pub(super) fn imputer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let imputer = Imputer {
        floats: attributes.floats("imputed_value_floats")?.cloned().unwrap_or_default(),
        replaced_float: attributes.float("replaced_value_float", 0.0)?,
        ints: attributes.ints("imputed_value_int64s")?.cloned().unwrap_or_default(),
        replaced_int: attributes.int("replaced_value_int64", 0)?,
    };
    if imputer.floats.is_empty() == imputer.ints.is_empty() {
        return Err(Error::invalid_input("either imputed_value_floats or imputed_value_int64s is needed"));
    }
    Ok(Box::new(imputer))
}

impl Operator for Imputer {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.take(0)?;
        let features = features(&input)?;
        let replaced = self.replaced_float;
        match input.dtype() {
            DType::Fp32 => {
                let missing = |x: f32| x == replaced || x.is_nan() && replaced.is_nan();
                impute(input, features, &self.floats, missing)
            }
            DType::Fp64 => {
                let missing = |x: f64| x == f64::from(replaced) || x.is_nan() && replaced.is_nan();
                let imputed: Vec<f64> = self.floats.iter().map(|&value| value.into()).collect();
                impute(input, features, &imputed, missing)
            }
            DType::Int64 => impute(input, features, &self.ints, |x| x == self.replaced_int),
            DType::Int32 => {
                let imputed: Vec<i32> = self.ints.iter().map(|&value| value as i32).collect();
                impute(input, features, &imputed, |x: i32| i64::from(x) == self.replaced_int)
            }
            other => Err(not_a_number(other)),
        }
    }
}

fn impute<T: Scalar + Copy>(
    input: HostTensor,
    features: usize,
    imputed: &[T],
    missing: impl Fn(T) -> bool,
) -> Result<Outputs> {
    let shape = Shape::from_slice(input.shape());
    let mut elements = input.into_elements::<T>()?;
    // Only as many values as there are features are taken one by one; else the first is for all.
    let imputed = match imputed {
        [] => return Err(Error::engine("the values to impute are of another type than the input")),
        values if values.len() == features => values,
        values => &values[..1],
    };
    for (x, value) in elements.iter_mut().zip(imputed.iter().cycle()) {
        if missing(*x) {
            *x = *value;
        }
    }
    one(HostTensor::new(shape, elements)?)
}

/// 1 where the input is greater than the threshold, else 0.
#[derive(Debug)]
struct Binarizer {
    threshold: f32,
}

pub(super) fn binarizer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Binarizer { threshold: source.node.attributes.float("threshold", 0.0)? }))
}

impl Operator for Binarizer {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        fn map<T: Scalar + Copy>(elements: Vec<T>, above: impl Fn(T) -> bool, [no, yes]: [T; 2]) -> Data {
            let mut elements = elements;
            elements.iter_mut().for_each(|x| *x = if above(*x) { yes } else { no });
            T::wrap(elements.into())
        }
        let threshold = self.threshold;
        let (shape, data) = inputs.take(0)?.into_parts();
        let data = match data {
            Data::F32(elements) => map(elements.into_vec(), |x| x > threshold, [0.0, 1.0]),
            Data::F64(elements) => map(elements.into_vec(), |x| x > f64::from(threshold), [0.0, 1.0]),
            Data::I32(elements) => map(elements.into_vec(), |x| x as f32 > threshold, [0, 1]),
            Data::I64(elements) => map(elements.into_vec(), |x| x as f32 > threshold, [0, 1]),
            other => return Err(not_a_number(other.dtype())),
        };
        one(HostTensor::from_data(shape, data)?)
    }
}

/// Puts the features of several inputs side by side.
#[derive(Debug)]
struct FeatureVectorizer {
    /// How many features each input has; more are cut off, missing ones are 0.
    lengths: Vec<usize>,
}

pub(super) fn feature_vectorizer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let lengths = source.node.attributes.ints("inputdimensions")?.map_or(&[][..], Vec::as_slice);
    let lengths: Option<Vec<usize>> = lengths.iter().map(|&length| usize::try_from(length).ok()).collect();
    let lengths = lengths.ok_or_else(|| Error::invalid_input("inputdimensions has a negative number"))?;
    let inputs = source.node.inputs.len();
    if lengths.len() != inputs || inputs == 0 {
        let given = lengths.len();
        return Err(Error::invalid_input(format!("{inputs} inputs have {given} inputdimensions")));
    }
    element_count(&[lengths.iter().fold(0, |sum: usize, &length| sum.saturating_add(length))])?;
    Ok(Box::new(FeatureVectorizer { lengths }))
}

impl Operator for FeatureVectorizer {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let rows = match inputs.tensor(0)?.shape() {
            [rows, _, ..] => *rows,
            _ => 1,
        };
        let width: usize = self.lengths.iter().sum();
        let count = element_count(&[rows, width])?;
        let mut output = Vec::new();
        output
            .try_reserve_exact(count)
            .map_err(|_| Error::engine(format!("{rows} rows of {width} features do not fit in memory")))?;
        output.resize(count, 0.0_f32);
        let mut start = 0;
        for (index, &length) in self.lengths.iter().enumerate() {
            let input = inputs.tensor(index)?;
            let given = match input.shape() {
                [given] if rows == 1 => *given,
                [of, rest @ ..] if *of == rows && !rest.is_empty() => rest.iter().product(),
                other => {
                    return Err(Error::engine(format!(
                        "input {index} has the shape {other:?}, not {rows} rows"
                    )));
                }
            };
            let copied = given.min(length);
            if copied > 0 {
                let elements = floats(input)?;
                for (to, from) in output.chunks_exact_mut(width).zip(elements.chunks_exact(given)) {
                    to[start..start + copied].copy_from_slice(&from[..copied]);
                }
            }
            start += length;
        }
        one(HostTensor::new(Shape::from_slice(&[rows, width]), output)?)
    }
}
