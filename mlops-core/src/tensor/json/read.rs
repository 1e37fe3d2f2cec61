//! Reading tensors, the fields in whatever order.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::{Tensor, TensorError};
use super::builder::NestedValues;
use super::elements::Scalar;
use crate::DType;

/// Deeper nesting than any real tensor has.
const MAX_DEPTH: usize = 32;

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReadTensor { binary: None }.deserialize(deserializer)?.tensor.map_err(D::Error::custom)
    }
}

/// A tensor as it came in, with its name. A fault of the tensor itself is kept, so that the error can
/// say the name even where the name comes after the data.
pub(crate) struct TensorJson {
    pub(crate) name: Option<String>,
    pub(crate) tensor: Result<Tensor, TensorError>,
}

/// Reads a tensor, whose elements may be the next of those bytes that follow the JSON.
pub(crate) struct ReadTensor<'b> {
    pub(crate) binary: Option<&'b mut Bytes>,
}

impl<'de> DeserializeSeed<'de> for ReadTensor<'_> {
    type Value = TensorJson;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<TensorJson, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReadTensor<'_> {
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
            Parameters,
            Data,
            #[serde(other)]
            Ignored,
        }

        #[derive(Deserialize)]
        struct Parameters {
            binary_data_size: Option<usize>,
        }

        fn once<T, E: serde::de::Error>(
            slot: &mut Option<T>,
            value: T,
            field: &'static str,
        ) -> Result<(), E> {
            slot.replace(value).map_or(Ok(()), |_| Err(E::duplicate_field(field)))
        }

        let (mut name, mut shape, mut dtype) = (None, None::<Vec<usize>>, None);
        let (mut parameters, mut data) = (None::<Parameters>, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Name => once(&mut name, map.next_value::<String>()?, "name")?,
                Field::Shape => once(&mut shape, map.next_value()?, "shape")?,
                Field::Datatype => once(&mut dtype, map.next_value::<DType>()?, "datatype")?,
                Field::Parameters if self.binary.is_some() => {
                    once(&mut parameters, map.next_value()?, "parameters")?;
                }
                Field::Data => {
                    let expected = shape.as_deref().map_or(0, expected_elements);
                    once(&mut data, map.next_value_seed(NestedData { dtype, expected })?, "data")?;
                }
                Field::Parameters | Field::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let of = || name.as_ref().map(|name| format!(" of tensor `{name}`")).unwrap_or_default();
        let missing = |field: &str| A::Error::custom(format!("missing field `{field}`{}", of()));
        let shape = shape.ok_or_else(|| missing("shape"))?;
        let dtype = dtype.ok_or_else(|| missing("datatype"))?;
        let size = parameters.and_then(|parameters| parameters.binary_data_size);
        let tensor = match (data, self.binary.zip(size)) {
            (Some(data), None) => data.into_tensor(dtype, &shape),
            (None, None) => return Err(missing("data")),
            (Some(_), Some(_)) => {
                let what = format!("there are both `data` and `binary_data_size`{}", of());
                return Err(A::Error::custom(what));
            }
            (None, Some((binary, size))) if size > binary.len() => {
                let left = binary.len();
                return Err(A::Error::custom(format!(
                    "{size} bytes of binary data are declared{}, but {left} are left",
                    of()
                )));
            }
            (None, Some((binary, size))) => Tensor::from_bytes(dtype, &shape, binary.split_to(size)),
        };
        Ok(TensorJson { name, tensor })
    }
}

/// How many elements memory is made for before they come.
fn expected_elements(shape: &[usize]) -> usize {
    /// What a caller says is not to be trusted with more.
    const MOST: usize = 1024;
    shape
        .iter()
        .try_fold(1_usize, |product, length| product.checked_mul(*length))
        .map_or(0, |all| all.min(MOST))
}

/// Reads `data`, into memory of its type if that is known by now.
struct NestedData {
    dtype: Option<DType>,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for NestedData {
    type Value = Collected;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Collected, D::Error> {
        let mut collected = Collected { values: NestedValues::new(self.dtype, self.expected), fault: None };
        deserializer.deserialize_seq(Level { depth: 0, into: &mut collected })?;
        Ok(collected)
    }
}

struct Collected {
    values: NestedValues,
    fault: Option<TensorError>,
}

impl Collected {
    fn push(&mut self, scalar: Scalar<'_>, depth: usize) {
        if self.fault.is_none() {
            self.fault = self.values.push(scalar, depth).err();
        }
    }

    fn close_array(&mut self, depth: usize, length: usize) {
        if self.fault.is_none() {
            self.fault = self.values.close_array(depth, length).err();
        }
    }

    fn into_tensor(self, dtype: DType, shape: &[usize]) -> Result<Tensor, TensorError> {
        self.fault.map_or_else(|| self.values.build(dtype, shape), Err)
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
