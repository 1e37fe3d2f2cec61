//! One tensor on its way in.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use mlops_core::{DType, Dimension, InvalidInput, Scalar, Tensor, TensorBuilder, TensorError, TensorSpec};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The only key of an object that stands for bytes: `{"b64": "AAE="}`.
pub(super) const BASE64_KEY: &str = "b64";

/// The values of one input, of the type that its specification says, whole or row by row.
pub(in crate::http) struct Column<'s> {
    spec: &'s TensorSpec,
    builder: TensorBuilder,
    taken: usize,
    missing_is_nan: bool,
}

impl<'s> Column<'s> {
    pub(in crate::http) fn new(spec: &'s TensorSpec) -> Self {
        Self { spec, builder: TensorBuilder::new(spec.dtype()), taken: 0, missing_is_nan: false }
    }

    /// Takes null for NaN where the type has it, as data frames mean it.
    pub(in crate::http) fn with_missing_values(mut self) -> Self {
        self.missing_is_nan = true;
        self
    }

    pub(in crate::http) fn spec(&self) -> &'s TensorSpec {
        self.spec
    }

    /// How many values were asked for by [`next_value`](Self::next_value).
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Reads the next value, which has `depth` arrays around it: a scalar, nested arrays, or bytes in base64.
    pub(in crate::http) fn next_value(&mut self, depth: usize) -> Value<'_, 's> {
        self.taken += 1;
        Value { column: self, depth }
    }

    pub(in crate::http) fn push(&mut self, value: Scalar<'_>, depth: usize) -> Result<(), InvalidInput> {
        let value = match value {
            Scalar::Null if self.missing_is_nan && is_float(self.spec.dtype()) => Scalar::Float(f64::NAN),
            value => value,
        };
        self.builder.push(value, depth).map_err(|fault| self.named(fault))
    }

    pub(in crate::http) fn close_array(&mut self, depth: usize, length: usize) -> Result<(), InvalidInput> {
        self.builder.close_array(depth, length).map_err(|fault| self.named(fault))
    }

    pub(in crate::http) fn finish(self) -> Result<Tensor, InvalidInput> {
        let mut shape = self.builder.nested_shape();
        if shape == [0] {
            // No row came to say how long it is.
            shape.extend(self.spec.shape().iter().skip(1).map(|dimension| match dimension {
                Dimension::Fixed(length) => *length,
                Dimension::Batch | Dimension::Free => 0,
            }));
        }
        self.builder.build(&shape).map_err(|fault| fault.of(self.spec.name()))
    }

    fn named(&self, fault: TensorError) -> InvalidInput {
        fault.of(self.spec.name())
    }
}

fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::Fp16 | DType::Bf16 | DType::Fp32 | DType::Fp64)
}

/// The methods of a visitor for all that is neither an array nor an object, by its method `scalar`.
macro_rules! visit_scalars {
    () => {
        fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
            self.scalar(mlops_core::Scalar::Bool(value))
        }

        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
            self.scalar(mlops_core::Scalar::Unsigned(value))
        }

        fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
            self.scalar(mlops_core::Scalar::Signed(value))
        }

        fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
            self.scalar(mlops_core::Scalar::Float(value))
        }

        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
            self.scalar(mlops_core::Scalar::Text(value))
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
            self.scalar(mlops_core::Scalar::Null)
        }
    };
}
pub(super) use visit_scalars;

/// One value of a column: all below it, too.
pub(in crate::http) struct Value<'a, 's> {
    column: &'a mut Column<'s>,
    depth: usize,
}

impl Value<'_, '_> {
    pub(super) fn scalar<E: Error>(self, value: Scalar<'_>) -> Result<(), E> {
        self.column.push(value, self.depth).map_err(E::custom)
    }

    /// The rest of an object whose first key said that bytes come.
    pub(super) fn base64<'de, A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        object.next_value_seed(Base64(self))?;
        match object.next_key::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom(format!("an object with `{BASE64_KEY}` has no other key"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = self.column.spec;
        write!(f, "input `{}` of {spec} in nested arrays", spec.name())
    }

    visit_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let spec = self.column.spec;
        if self.depth >= spec.shape().len() {
            let name = spec.name();
            return Err(A::Error::custom(format!(
                "input `{name}` has more arrays around a value than {spec}"
            )));
        }
        let mut length = 0;
        while values.next_element_seed(Value { column: &mut *self.column, depth: self.depth + 1 })?.is_some()
        {
            length += 1;
        }
        self.column.close_array(self.depth, length).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let spec = self.column.spec;
        match object.next_key::<String>()? {
            Some(key) if key == BASE64_KEY && spec.dtype() == DType::Bytes => self.base64(object),
            _ => {
                let name = spec.name();
                Err(A::Error::custom(format!("input `{name}` is {spec}, but an object came for a value")))
            }
        }
    }
}

struct Base64<'a, 's>(Value<'a, 's>);

impl<'de> DeserializeSeed<'de> for Base64<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Base64<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes in base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let bytes = STANDARD_PAD_INDIFFERENT.decode(text).map_err(|cause| {
            let name = self.0.column.spec.name();
            E::custom(format!("input `{name}` has a value that is no base64: {cause}"))
        })?;
        self.0.scalar(Scalar::Bytes(&bytes))
    }
}
