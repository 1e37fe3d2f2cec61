//! JSON values, and the typed memory they go into.

use std::fmt;

use half::{bf16, f16};

use super::super::{Tensor, TensorError, byte_strings};
use crate::{DType, Element};

/// One value of data that comes as text, JSON or CSV, before it has the type of its tensor.
///
/// Every tensor takes those that fit without loss of meaning: whole numbers go into tensors of integers that hold them
/// and into floats, fractions only into floats, text and bytes only into BYTES.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// No value. It fits no tensor.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Unsigned(u64),
    /// A whole number below 0.
    Signed(i64),
    /// Any other number, NaN and the infinities among them.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// What is no text.
    Bytes(&'a [u8]),
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
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// A scalar kept until the type is known.
pub(super) enum OwnedScalar {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
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
            Self::Bytes(bytes) => Scalar::Bytes(bytes),
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
            Scalar::Bytes(bytes) => Self::Bytes(bytes.to_owned()),
        }
    }
}

/// An element that can be read from a JSON value; `None` when the value does not fit.
pub(super) trait FromScalar: Element {
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
                (rounded.is_finite() || !value.is_finite()).then_some(rounded)
            }
        }
    )*};
}

floats!(f16: f16::from_f64, bf16: bf16::from_f64, f32: |value| value as f32, f64: |value| value);

/// The elements read so far, in memory of their type.
macro_rules! typed_elements {
    ($($dtype:ident($element:ty)),* $(,)?) => {
        pub(super) enum Elements {
            $($dtype(Vec<$element>),)*
            Bytes { count: usize, encoded: Vec<u8> },
            Untyped(Vec<OwnedScalar>),
        }

        impl Elements {
            pub(super) fn with_capacity(dtype: DType, elements: usize) -> Self {
                match dtype {
                    $(DType::$dtype => Self::$dtype(Vec::with_capacity(elements)),)*
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
            pub(super) fn push(&mut self, scalar: Scalar<'_>) -> Result<(), TensorError> {
                match self {
                    $(Self::$dtype(elements) => push_element(elements, scalar),)*
                    Self::Bytes { count, encoded } => {
                        let index = *count;
                        let element = match scalar {
                            Scalar::Text(text) => text.as_bytes(),
                            Scalar::Bytes(bytes) => bytes,
                            _ => return Err(wrong_element(index, scalar, DType::Bytes)),
                        };
                        *count += 1;
                        byte_strings::append(encoded, index, element)
                    }
                    Self::Untyped(scalars) => {
                        scalars.push(scalar.into());
                        Ok(())
                    }
                }
            }

            pub(super) fn into_tensor(self, dtype: DType, shape: &[usize]) -> Result<Tensor, TensorError> {
                match self {
                    $(Self::$dtype(elements) => Tensor::from_vec(shape, elements),)*
                    Self::Bytes { encoded, .. } => Tensor::from_bytes(DType::Bytes, shape, encoded),
                    Self::Untyped(scalars) => {
                        let mut elements = Self::with_capacity(dtype, scalars.len());
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
