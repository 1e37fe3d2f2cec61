//! Reading tensors, the fields in whatever order.

use std::fmt;

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
        let mut collected = Collected { values: NestedValues::new(self.dtype), fault: None };
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
