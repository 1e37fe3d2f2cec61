//! Tensors on their way out.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use half::{bf16, f16};
use mlops_core::{DType, Error, Result, Signature, Tensor, TensorError, Tensors};
use serde::{Serialize, Serializer};

use super::column::BASE64_KEY;

/// By TF Serving's convention, the end of the names of outputs whose elements are no text.
const BINARY_SUFFIX: &str = "_bytes";

/// The outputs of a model, in the order of its signature, every element fit for JSON.
pub(in crate::http) struct Outputs<'a> {
    tensors: Vec<(&'a str, Elements<'a>)>,
}

/// Row by row: a list of the rows of the only output, or of objects with the row of each.
pub(in crate::http) struct ByRow<'a> {
    outputs: &'a Outputs<'a>,
    rows: usize,
}

/// Whole tensors: the only output, or an object of all.
pub(in crate::http) struct ByColumn<'a>(&'a Outputs<'a>);

impl<'a> Outputs<'a> {
    pub(in crate::http) fn new(signature: &'a Signature, outputs: &'a Tensors) -> Result<Self> {
        let named =
            signature.outputs().iter().filter_map(|spec| Some((spec.name(), outputs.get(spec.name())?)));
        let tensors = named.map(|(name, tensor)| Ok((name, Elements::new(name, tensor)?)));
        Ok(Self { tensors: tensors.collect::<Result<_>>()? })
    }

    /// # Errors
    /// [`Error::Unsupported`] when there are several outputs that do not all have the same number of rows.
    pub(in crate::http) fn by_row(&self) -> Result<ByRow<'_>> {
        let mut lengths = self.tensors.iter().map(|(_, elements)| elements.shape.first());
        let rows = lengths.next().flatten();
        if self.tensors.len() > 1 && (rows.is_none() || lengths.any(|length| length != rows)) {
            let names = self.tensors.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("`, `");
            return Err(Error::unsupported(format!(
                "the outputs `{names}` do not come in as many rows each; send whole tensors as `inputs`"
            )));
        }
        Ok(ByRow { outputs: self, rows: rows.copied().unwrap_or(0) })
    }

    pub(in crate::http) fn by_column(&self) -> ByColumn<'_> {
        ByColumn(self)
    }

    fn only(&self) -> Option<&Elements<'a>> {
        if let [(_, elements)] = &self.tensors[..] { Some(elements) } else { None }
    }
}

impl Serialize for ByRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.outputs.only() {
            Some(elements) => elements.serialize(serializer),
            None => serializer.collect_seq((0..self.rows).map(|row| Row { outputs: self.outputs, row })),
        }
    }
}

struct Row<'a> {
    outputs: &'a Outputs<'a>,
    row: usize,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tensors = self.outputs.tensors.iter();
        serializer.collect_map(tensors.map(|(name, elements)| (name, elements.row(self.row))))
    }
}

impl Serialize for ByColumn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.only() {
            Some(elements) => elements.serialize(serializer),
            None => serializer.collect_map(self.0.tensors.iter().map(|(name, elements)| (name, elements))),
        }
    }
}

/// The elements of a tensor.
struct Elements<'a> {
    shape: &'a [usize],
    values: Values<'a>,
}

/// Some of them, one after the other, in a shape of their own.
struct Part<'a> {
    shape: &'a [usize],
    values: &'a Values<'a>,
    start: usize,
    length: usize,
}

/// An array of some type, and what JSON makes of it.
macro_rules! values {
    ($($dtype:ident($element:ty)),* $(,)?) => {
        enum Values<'a> {
            $($dtype(Cow<'a, [$element]>),)*
            Bytes(Vec<ByteString<'a>>),
        }

        impl<'a> Values<'a> {
            fn new(name: &str, tensor: &'a Tensor) -> Result<Self, TensorError> {
                Ok(match tensor.dtype() {
                    $(DType::$dtype => Self::$dtype(tensor.as_slice()?.into()),)*
                    DType::Fp16 => Self::Fp32(tensor.as_slice::<f16>()?.iter().map(|half| half.to_f32()).collect()),
                    DType::Bf16 => Self::Fp32(tensor.as_slice::<bf16>()?.iter().map(|half| half.to_f32()).collect()),
                    DType::Bytes => {
                        let binary = name.ends_with(BINARY_SUFFIX);
                        Self::Bytes(tensor.byte_strings()?.map(|bytes| ByteString::new(bytes, binary)).collect())
                    }
                })
            }
        }

        impl Serialize for Part<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let Self { shape, values, start, length } = *self;
                match values {
                    $(Values::$dtype(values) => {
                        Nested { shape, values: part(values, start, length) }.serialize(serializer)
                    })*
                    Values::Bytes(values) => {
                        Nested { shape, values: part(values, start, length) }.serialize(serializer)
                    }
                }
            }
        }
    };
}

values! {
    Bool(bool), Uint8(u8), Uint16(u16), Uint32(u32), Uint64(u64), Int8(i8), Int16(i16), Int32(i32),
    Int64(i64), Fp32(f32), Fp64(f64),
}

impl<'a> Elements<'a> {
    fn new(name: &str, tensor: &'a Tensor) -> Result<Self> {
        if let Some(index) = tensor.first_not_finite() {
            return Err(Error::unsupported(format!(
                "element {index} of output `{name}` is NaN or infinite, which JSON cannot express; \
                 ask for binary data by the Open Inference Protocol"
            )));
        }
        let values = Values::new(name, tensor).map_err(|cause| cause.of(name))?;
        Ok(Self { shape: tensor.shape(), values })
    }

    fn row(&self, row: usize) -> Part<'_> {
        let shape = self.shape.get(1..).unwrap_or_default();
        let length = shape.iter().product();
        Part { shape, values: &self.values, start: row * length, length }
    }
}

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let length = self.shape.iter().product();
        Part { shape: self.shape, values: &self.values, start: 0, length }.serialize(serializer)
    }
}

/// Elements in row-major order, written as nested arrays.
struct Nested<'a, T> {
    shape: &'a [usize],
    values: &'a [T],
}

impl<T: Serialize> Serialize for Nested<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.shape {
            [] => self.values.first().serialize(serializer),
            [_] => serializer.collect_seq(self.values),
            [rows, shape @ ..] => {
                let length = shape.iter().product();
                let row = |row| Nested { shape, values: part(self.values, row * length, length) };
                serializer.collect_seq((0..*rows).map(row))
            }
        }
    }
}

fn part<T>(values: &[T], start: usize, length: usize) -> &[T] {
    values.get(start..start + length).unwrap_or_default()
}

/// An element of a BYTES tensor: text, or what goes out in base64.
enum ByteString<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

impl<'a> ByteString<'a> {
    fn new(bytes: &'a [u8], binary: bool) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if !binary => Self::Text(text),
            _ => Self::Binary(bytes),
        }
    }
}

impl Serialize for ByteString<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Binary(bytes) => serializer.collect_map([(BASE64_KEY, STANDARD.encode(bytes))]),
        }
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{Dimension, TensorSpec};
    use proptest::prelude::*;
    use serde_json::{Value, json as value};

    use super::super::{Columns, Instances};
    use super::*;
    use crate::http::json;

    fn signature(tensors: &Tensors) -> Signature {
        let free = |shape: &[usize]| vec![Dimension::Free; shape.len()];
        let spec =
            |(name, tensor): (&str, &Tensor)| TensorSpec::new(name, tensor.dtype(), free(tensor.shape()));
        let specs: Vec<TensorSpec> = tensors.iter().map(spec).collect();
        Signature::new(specs.clone(), specs).unwrap()
    }

    fn by_row(tensors: &Tensors) -> Result<Value> {
        let signature = signature(tensors);
        Ok(serde_json::to_value(Outputs::new(&signature, tensors)?.by_row()?).unwrap())
    }

    fn by_column(tensors: &Tensors) -> Result<Value> {
        let signature = signature(tensors);
        Ok(serde_json::to_value(Outputs::new(&signature, tensors)?.by_column()).unwrap())
    }

    #[test]
    fn every_shape_is_nested_as_deep_as_it_is() {
        let bytes = |shape: &[usize], count: u8| {
            Tensors::new().with("y", Tensor::from_vec(shape, (0..count).collect()).unwrap())
        };
        for (tensors, expected) in [
            (bytes(&[], 1), value!(0)),
            (bytes(&[2], 2), value!([0, 1])),
            (bytes(&[1, 2, 2], 4), value!([[[0, 1], [2, 3]]])),
            (bytes(&[2, 0], 0), value!([[], []])),
            (bytes(&[0, 2], 0), value!([])),
        ] {
            assert_eq!(by_row(&tensors).unwrap(), expected);
            assert_eq!(by_column(&tensors).unwrap(), expected);
        }
    }

    #[test]
    fn several_outputs_are_objects() {
        let halves = vec![f16::from_f32(0.5), f16::from_f32(1.0)];
        let tensors = Tensors::new()
            .with("a", Tensor::from_vec(&[2, 1], vec![true, false]).unwrap())
            .with("b", halves)
            .with("c_bytes", Tensor::from_byte_strings(&[2], ["x", "y"]).unwrap());
        let b64 = |text: &str| value!({"b64": text});
        let expected = value!([
            {"a": [true], "b": 0.5, "c_bytes": b64("eA==")}, {"a": [false], "b": 1.0, "c_bytes": b64("eQ==")},
        ]);
        assert_eq!(by_row(&tensors).unwrap(), expected);
        let expected =
            value!({"a": [[true], [false]], "b": [0.5, 1.0], "c_bytes": [b64("eA=="), b64("eQ==")]});
        assert_eq!(by_column(&tensors).unwrap(), expected);
    }

    #[test]
    fn what_does_not_come_in_rows_or_is_no_json_is_refused() {
        let uneven = Tensors::new().with("a", vec![1_u8, 2]).with("b", vec![1_u8]);
        let error = by_row(&uneven).unwrap_err().to_string();
        assert!(error.contains("the outputs `a`, `b` do not come in as many rows each"), "{error}");
        assert!(by_column(&uneven).is_ok());
        let nan = Tensors::new().with("a", vec![f32::NAN]);
        assert!(matches!(by_column(&nan), Err(Error::Unsupported { .. })));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            rows in 1..4_usize, columns in 1..4_usize,
            numbers in prop::collection::vec(any::<i64>(), 16), strings in prop::collection::vec(any::<Vec<u8>>(), 4),
            floats in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL, 16),
        ) {
            let count = rows * columns;
            let numbers = Tensor::from_vec(&[rows, columns], numbers[..count].to_vec()).unwrap();
            let floats = Tensor::from_vec(&[rows, columns], floats[..count].to_vec()).unwrap();
            let strings = Tensor::from_byte_strings(&[rows], &strings[..rows]).unwrap();
            for tensors in [
                Tensors::new().with("x", floats.clone()),
                Tensors::new().with("x", strings.clone()),
                Tensors::new().with("x", numbers).with("y", floats).with("z_bytes", strings),
            ] {
                let signature = signature(&tensors);
                let rows = by_row(&tensors).unwrap().to_string();
                let columns = by_column(&tensors).unwrap().to_string();
                prop_assert_eq!(&json::read(rows.as_bytes(), Instances(&signature), "").unwrap(), &tensors);
                prop_assert_eq!(&json::read(columns.as_bytes(), Columns(&signature), "").unwrap(), &tensors);
            }
        }
    }
}
