//! The JSON form of the Open Inference Protocol, flat or nested, read straight into typed memory.

use std::fmt;

use half::{bf16, f16};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Tensor, TensorError, byte_strings};
use crate::{DType, Element};

/// Deeper nesting than any real tensor has.
const MAX_DEPTH: usize = 32;

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        TensorFields(self).write(&mut map)?;
        map.end()
    }
}

/// Writes `shape`, `datatype` and `data` into a map that may have other entries, such as a name.
pub(crate) struct TensorFields<'a>(pub(crate) &'a Tensor);

impl TensorFields<'_> {
    pub(crate) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("shape", self.0.shape())?;
        map.serialize_entry("datatype", &self.0.dtype())?;
        map.serialize_entry("data", &Data(self.0))
    }
}

struct Data<'a>(&'a Tensor);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tensor = self.0;
        if let Some(index) = tensor.first_not_finite() {
            let value = float_at(tensor, index);
            return Err(S::Error::custom(TensorError::NotFinite { index, value }));
        }
        match tensor.dtype() {
            DType::Bool => elements::<bool, S>(tensor, serializer),
            DType::Uint8 => elements::<u8, S>(tensor, serializer),
            DType::Uint16 => elements::<u16, S>(tensor, serializer),
            DType::Uint32 => elements::<u32, S>(tensor, serializer),
            DType::Uint64 => elements::<u64, S>(tensor, serializer),
            DType::Int8 => elements::<i8, S>(tensor, serializer),
            DType::Int16 => elements::<i16, S>(tensor, serializer),
            DType::Int32 => elements::<i32, S>(tensor, serializer),
            DType::Int64 => elements::<i64, S>(tensor, serializer),
            DType::Fp16 => {
                serializer.collect_seq(slice::<f16, S>(tensor)?.iter().map(|value| value.to_f32()))
            }
            DType::Bf16 => {
                serializer.collect_seq(slice::<bf16, S>(tensor)?.iter().map(|value| value.to_f32()))
            }
            DType::Fp32 => elements::<f32, S>(tensor, serializer),
            DType::Fp64 => elements::<f64, S>(tensor, serializer),
            DType::Bytes => serializer.collect_seq(tensor.strings().map_err(S::Error::custom)?),
        }
    }
}

fn elements<T: Element + Serialize, S: Serializer>(
    tensor: &Tensor,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(slice::<T, S>(tensor)?)
}

fn slice<T: Element, S: Serializer>(tensor: &Tensor) -> Result<&[T], S::Error> {
    tensor.as_slice::<T>().map_err(S::Error::custom)
}

fn float_at(tensor: &Tensor, index: usize) -> f64 {
    let value = match tensor.dtype() {
        DType::Fp16 => tensor.as_slice::<f16>().map(|values| values[index].to_f64()),
        DType::Bf16 => tensor.as_slice::<bf16>().map(|values| values[index].to_f64()),
        DType::Fp32 => tensor.as_slice::<f32>().map(|values| f64::from(values[index])),
        _ => tensor.as_slice::<f64>().map(|values| values[index]),
    };
    value.unwrap_or(f64::NAN)
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TensorJson::deserialize(deserializer)?.tensor.map_err(D::Error::custom)
    }
}

/// A tensor as it came in, with its name. A fault of the tensor itself is kept, so that the error can
/// say the name even where the name comes after the data.
pub(crate) struct TensorJson {
    pub(crate) name: Option<String>,
    pub(crate) tensor: Result<Tensor, TensorError>,
}

impl<'de> Deserialize<'de> for TensorJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TensorVisitor)
    }
}

struct TensorVisitor;

impl<'de> Visitor<'de> for TensorVisitor {
    type Value = TensorJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor: an object with `shape`, `datatype` and `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TensorJson, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Field {
            Name,
            Shape,
            Datatype,
            Data,
            #[serde(other)]
            Ignored,
        }

        fn once<T, E: serde::de::Error>(
            slot: &mut Option<T>,
            value: T,
            field: &'static str,
        ) -> Result<(), E> {
            slot.replace(value).map_or(Ok(()), |_| Err(E::duplicate_field(field)))
        }

        let (mut name, mut shape, mut dtype, mut data) = (None, None::<Vec<usize>>, None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Name => once(&mut name, map.next_value::<String>()?, "name")?,
                Field::Shape => once(&mut shape, map.next_value()?, "shape")?,
                Field::Datatype => once(&mut dtype, map.next_value::<DType>()?, "datatype")?,
                Field::Data => {
                    once(&mut data, map.next_value_seed(NestedData { dtype })?, "data")?;
                }
                Field::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let of = name.as_ref().map(|name| format!(" of tensor `{name}`")).unwrap_or_default();
        let missing = |field: &str| A::Error::custom(format!("missing field `{field}`{of}"));
        let shape = shape.ok_or_else(|| missing("shape"))?;
        let dtype = dtype.ok_or_else(|| missing("datatype"))?;
        let data = data.ok_or_else(|| missing("data"))?;
        Ok(TensorJson { name, tensor: data.into_tensor(dtype, &shape) })
    }
}

/// Reads `data`, into memory of its type if that is known by now.
struct NestedData {
    dtype: Option<DType>,
}

impl<'de> DeserializeSeed<'de> for NestedData {
    type Value = Collected;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Collected, D::Error> {
        let elements = self.dtype.map_or_else(|| Elements::Untyped(Vec::new()), Elements::new);
        let mut collected = Collected { elements, nesting: Nesting::default(), fault: None };
        deserializer.deserialize_seq(Level { depth: 0, into: &mut collected })?;
        Ok(collected)
    }
}

struct Collected {
    elements: Elements,
    nesting: Nesting,
    fault: Option<TensorError>,
}

impl Collected {
    fn push(&mut self, scalar: Scalar<'_>, depth: usize) {
        if self.fault.is_none() {
            self.fault = self.nesting.scalar(depth).and_then(|()| self.elements.push(scalar)).err();
        }
    }

    fn close_array(&mut self, depth: usize, length: usize) {
        if self.fault.is_none() {
            self.fault = self.nesting.array(depth, length).err();
        }
    }

    fn into_tensor(self, dtype: DType, shape: &[usize]) -> Result<Tensor, TensorError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let nested_shape = self.nesting.shape();
        if nested_shape.len() > 1 && nested_shape != shape {
            return Err(TensorError::NestedShape { expected: shape.to_vec(), actual: nested_shape });
        }
        self.elements.into_tensor(dtype, shape)
    }
}

/// One array of the nested data, and all below it.
struct Level<'a> {
    depth: usize,
    into: &'a mut Collected,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, booleans or strings in (nested) arrays")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.depth == MAX_DEPTH {
            return Err(A::Error::custom(format!("data is nested deeper than {MAX_DEPTH} arrays")));
        }
        let mut length = 0;
        while seq.next_element_seed(Level { depth: self.depth + 1, into: &mut *self.into })?.is_some() {
            length += 1;
        }
        self.into.close_array(self.depth, length);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.into.push(Scalar::Bool(value), self.depth);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.into.push(Scalar::Unsigned(value), self.depth);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.into.push(Scalar::Signed(value), self.depth);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.into.push(Scalar::Float(value), self.depth);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.into.push(Scalar::Text(value), self.depth);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.into.push(Scalar::Null, self.depth);
        Ok(())
    }
}

/// The lengths of the nested arrays, and proof that they are not ragged.
#[derive(Default)]
struct Nesting {
    /// By depth; an array is seen when it closes, so inner lengths come first.
    lengths: Vec<Option<usize>>,
    /// The depth of the scalars: the number of arrays around each.
    leaf: Option<usize>,
}

impl Nesting {
    fn scalar(&mut self, depth: usize) -> Result<(), TensorError> {
        let leaf = *self.leaf.get_or_insert(depth);
        let beside_an_array = matches!(self.lengths.get(depth), Some(Some(_)));
        if leaf != depth || beside_an_array {
            return Err(TensorError::Ragged { depth: leaf.min(depth), expected: 1, actual: 0 });
        }
        Ok(())
    }

    fn array(&mut self, depth: usize, length: usize) -> Result<(), TensorError> {
        if self.lengths.len() <= depth {
            self.lengths.resize(depth + 1, None);
        }
        let expected = *self.lengths[depth].get_or_insert(length);
        let beside_a_scalar = self.leaf.is_some_and(|leaf| depth >= leaf);
        if expected != length || beside_a_scalar {
            return Err(TensorError::Ragged { depth, expected, actual: length });
        }
        Ok(())
    }

    fn shape(&self) -> Vec<usize> {
        self.lengths.iter().map_while(|length| *length).collect()
    }
}

/// One JSON value of the data.
#[derive(Clone, Copy)]
enum Scalar<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 40;
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(text) if text.chars().count() > SHOWN => {
                write!(f, "{:?}...", text.chars().take(SHOWN).collect::<String>())
            }
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// A scalar kept until the type is known.
enum OwnedScalar {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
}

impl OwnedScalar {
    fn borrow(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Bool(value) => Scalar::Bool(*value),
            Self::Unsigned(value) => Scalar::Unsigned(*value),
            Self::Signed(value) => Scalar::Signed(*value),
            Self::Float(value) => Scalar::Float(*value),
            Self::Text(text) => Scalar::Text(text),
        }
    }
}

impl From<Scalar<'_>> for OwnedScalar {
    fn from(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Null => Self::Null,
            Scalar::Bool(value) => Self::Bool(value),
            Scalar::Unsigned(value) => Self::Unsigned(value),
            Scalar::Signed(value) => Self::Signed(value),
            Scalar::Float(value) => Self::Float(value),
            Scalar::Text(text) => Self::Text(text.to_owned()),
        }
    }
}

/// An element that can be read from a JSON value; `None` when the value does not fit.
trait FromScalar: Element {
    fn from_scalar(scalar: Scalar<'_>) -> Option<Self>;
}

impl FromScalar for bool {
    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        if let Scalar::Bool(value) = scalar { Some(value) } else { None }
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl FromScalar for $integer {
            fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
                match scalar {
                    Scalar::Unsigned(value) => value.try_into().ok(),
                    Scalar::Signed(value) => value.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! floats {
    ($($float:ty: $round:expr),*) => {$(
        impl FromScalar for $float {
            fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
                let value = match scalar {
                    Scalar::Unsigned(value) => value as f64,
                    Scalar::Signed(value) => value as f64,
                    Scalar::Float(value) => value,
                    _ => return None,
                };
                let rounded: $float = $round(value);
                rounded.is_finite().then_some(rounded)
            }
        }
    )*};
}

floats!(f16: f16::from_f64, bf16: bf16::from_f64, f32: |value| value as f32, f64: |value| value);

/// The elements read so far, in memory of their type.
macro_rules! typed_elements {
    ($($dtype:ident($element:ty)),* $(,)?) => {
        enum Elements {
            $($dtype(Vec<$element>),)*
            Bytes { count: usize, encoded: Vec<u8> },
            Untyped(Vec<OwnedScalar>),
        }

        impl Elements {
            fn new(dtype: DType) -> Self {
                match dtype {
                    $(DType::$dtype => Self::$dtype(Vec::new()),)*
                    DType::Bytes => Self::Bytes { count: 0, encoded: Vec::new() },
                }
            }

            fn dtype(&self) -> Option<DType> {
                match self {
                    $(Self::$dtype(_) => Some(DType::$dtype),)*
                    Self::Bytes { .. } => Some(DType::Bytes),
                    Self::Untyped(_) => None,
                }
            }

            #[inline]
            fn push(&mut self, scalar: Scalar<'_>) -> Result<(), TensorError> {
                match self {
                    $(Self::$dtype(elements) => push_element(elements, scalar),)*
                    Self::Bytes { count, encoded } => {
                        let index = *count;
                        let Scalar::Text(text) = scalar else {
                            return Err(wrong_element(index, scalar, DType::Bytes));
                        };
                        *count += 1;
                        byte_strings::append(encoded, index, text.as_bytes())
                    }
                    Self::Untyped(scalars) => {
                        scalars.push(scalar.into());
                        Ok(())
                    }
                }
            }

            fn into_tensor(self, dtype: DType, shape: &[usize]) -> Result<Tensor, TensorError> {
                match self {
                    $(Self::$dtype(elements) => Tensor::from_vec(shape, elements),)*
                    Self::Bytes { encoded, .. } => Tensor::from_bytes(DType::Bytes, shape, encoded),
                    Self::Untyped(scalars) => {
                        let mut elements = Self::new(dtype);
                        for scalar in &scalars {
                            elements.push(scalar.borrow())?;
                        }
                        debug_assert_eq!(elements.dtype(), Some(dtype));
                        elements.into_tensor(dtype, shape)
                    }
                }
            }
        }
    };
}

typed_elements! {
    Bool(bool), Uint8(u8), Uint16(u16), Uint32(u32), Uint64(u64), Int8(i8), Int16(i16), Int32(i32),
    Int64(i64), Fp16(f16), Bf16(bf16), Fp32(f32), Fp64(f64),
}

#[inline]
fn push_element<T: FromScalar>(elements: &mut Vec<T>, scalar: Scalar<'_>) -> Result<(), TensorError> {
    let element = T::from_scalar(scalar).ok_or_else(|| wrong_element(elements.len(), scalar, T::DTYPE))?;
    elements.push(element);
    Ok(())
}

fn wrong_element(index: usize, scalar: Scalar<'_>, dtype: DType) -> TensorError {
    TensorError::WrongElement { index, value: scalar.to_string(), dtype }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(json: &str) -> Result<Tensor, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn flat_and_nested_data_mean_the_same_in_any_order_of_fields() {
        let expected = Tensor::from_vec(&[2, 2], vec![1.0_f32, 2.0, 3.0, 4.5]).unwrap();
        for json in [
            r#"{"shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3.0, 4.5]}"#,
            r#"{"datatype": "FP32", "data": [[1, 2], [3.0, 4.5]], "shape": [2, 2]}"#,
            r#"{"data": [[1, 2], [3.0, 4.5]], "shape": [2, 2], "datatype": "FP32", "parameters": {"x": [1]}}"#,
        ] {
            assert_eq!(parse(json).unwrap(), expected, "{json}");
        }
        assert_eq!(
            serde_json::to_string(&expected).unwrap(),
            r#"{"shape":[2,2],"datatype":"FP32","data":[1.0,2.0,3.0,4.5]}"#
        );
    }

    #[test]
    fn empty_dimensions_and_scalars_are_tensors() {
        let empty = Tensor::from_vec::<i32>(&[2, 0], vec![]).unwrap();
        assert_eq!(parse(r#"{"shape": [2, 0], "datatype": "INT32", "data": [[], []]}"#).unwrap(), empty);
        assert_eq!(parse(r#"{"shape": [2, 0], "datatype": "INT32", "data": []}"#).unwrap(), empty);
        let scalar = parse(r#"{"shape": [], "datatype": "FP64", "data": [2.5]}"#).unwrap();
        assert_eq!(scalar, Tensor::from_vec(&[], vec![2.5_f64]).unwrap());
    }

    #[test]
    fn every_fault_says_what_was_expected_and_what_came() {
        for (json, expected) in [
            (
                r#"{"shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3]]}"#,
                "ragged data: at depth 1 an array has 1 items where its sibling has 2",
            ),
            (r#"{"shape": [2], "datatype": "FP32", "data": [1, [2]]}"#, "ragged data"),
            (r#"{"shape": [2], "datatype": "FP32", "data": [[1], 2]}"#, "ragged data"),
            (
                r#"{"shape": [3, 1], "datatype": "FP32", "data": [[1, 2, 3]]}"#,
                "the data is nested as [1, 3], but the declared shape is [3, 1]",
            ),
            (
                r#"{"shape": [3], "datatype": "FP32", "data": [1, 2]}"#,
                "shape [3] holds 3 elements, but 2 came",
            ),
            (r#"{"shape": [1], "datatype": "UINT8", "data": [300]}"#, "element 0 is 300, which is no UINT8"),
            (r#"{"shape": [1], "datatype": "UINT8", "data": [-1]}"#, "element 0 is -1, which is no UINT8"),
            (r#"{"data": [1.5], "shape": [1], "datatype": "INT64"}"#, "element 0 is 1.5, which is no INT64"),
            (r#"{"shape": [1], "datatype": "FP32", "data": [1e39]}"#, "element 0 is 1e39, which is no FP32"),
            (r#"{"shape": [1], "datatype": "FP32", "data": [null]}"#, "element 0 is null, which is no FP32"),
            (r#"{"shape": [1], "datatype": "FP32", "data": ["a"]}"#, "element 0 is \"a\", which is no FP32"),
            (r#"{"shape": [1], "datatype": "BYTES", "data": [1]}"#, "element 0 is 1, which is no BYTES"),
            (r#"{"shape": [1], "datatype": "BOOL", "data": [1]}"#, "element 0 is 1, which is no BOOL"),
            (r#"{"shape": [1], "datatype": "FP31", "data": [1]}"#, "unknown variant `FP31`"),
            (r#"{"shape": [-1], "datatype": "FP32", "data": [1]}"#, "invalid value: integer `-1`"),
            (r#"{"shape": [1], "datatype": "FP32", "data": 1}"#, "invalid type: integer `1`"),
            (r#"{"shape": [1], "datatype": "FP32", "data": [{}]}"#, "invalid type: map"),
            (r#"{"shape": [1], "shape": [1]}"#, "duplicate field `shape`"),
            (r#"{"shape": [1], "name": "x", "data": [1]}"#, "missing field `datatype` of tensor `x`"),
            (
                r#"{"shape": [4294967296, 4294967296], "datatype": "FP32", "data": []}"#,
                "shape [4294967296, 4294967296] overflows",
            ),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(expected), "{json}\n  says: {error}");
        }
        let deep =
            format!(r#"{{"shape":[1],"datatype":"FP32","data":{}1{}}}"#, "[".repeat(60), "]".repeat(60));
        assert!(parse(&deep).unwrap_err().contains("nested deeper than 32"));
    }

    #[test]
    fn what_json_cannot_carry_is_refused_instead_of_written_as_null() {
        let error = serde_json::to_string(&Tensor::from(vec![1.0_f32, f32::NAN])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "element 1 is NaN, which JSON cannot express; send the tensor as binary"
        );
        let binary = Tensor::from_byte_strings(&[1], [[0xff_u8]]).unwrap();
        assert!(serde_json::to_string(&binary).unwrap_err().to_string().contains("not UTF-8"));
    }

    fn round_trip<T: FromScalar>(elements: Vec<T>) {
        let tensor = Tensor::from(elements);
        let json = serde_json::to_string(&tensor).unwrap();
        assert_eq!(parse(&json).unwrap(), tensor, "{json}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            bools in any::<Vec<bool>>(), bytes in any::<Vec<u8>>(), longs in any::<Vec<u64>>(),
            signed in any::<Vec<i64>>(), strings in any::<Vec<String>>(),
            floats in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL, 0..9),
            doubles in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL, 0..9),
            halves in prop::collection::vec((0_u16..0x7c00).prop_map(f16::from_bits), 0..9),
            brains in prop::collection::vec((0_u16..0x7f80).prop_map(bf16::from_bits), 0..9),
        ) {
            round_trip(bools);
            round_trip(bytes);
            round_trip(longs);
            round_trip(signed);
            round_trip(floats);
            round_trip(doubles);
            round_trip(halves);
            round_trip(brains);
            let texts = Tensor::from_byte_strings(&[strings.len()], &strings).unwrap();
            prop_assert_eq!(parse(&serde_json::to_string(&texts).unwrap()).unwrap(), texts);
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            let _ = parse(&text);
            let _ = serde_json::from_slice::<Tensor>(&bytes);
            let _ = parse(&format!(r#"{{"shape":[1],"datatype":"FP32","data":{text}}}"#));
        }

        #[test]
        fn arbitrary_nesting_never_panics(
            data in "[\\[\\],0-9e.\\-]{0,40}", shape in prop::collection::vec(0..4_usize, 0..4)
        ) {
            let _ = parse(&format!(r#"{{"shape":{shape:?},"datatype":"INT16","data":[{data}]}}"#));
        }
    }
}
