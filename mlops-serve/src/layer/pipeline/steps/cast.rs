//! Another data type.

use half::{bf16, f16};
use mlops_core::{DType, Element, Error, Result, Tensor, TensorSpec};

use crate::layer::pipeline::{Postprocess, Preprocess, Step, fit};

/// A tensor has another data type for callers than for the model.
///
/// * Integers must fit the new type, and so must the whole part of a floating-point number that becomes an integer; a
///   fraction is cut off. What does not fit, and NaN, is [`Error::InvalidInput`].
/// * What becomes floating-point is rounded to the nearest value; what is too large becomes infinite.
/// * `true` is 1; everything but 0 is `true`.
///
/// BYTES are not cast.
///
/// ```
/// use mlops_core::DType;
/// use mlops_serve::layer::pipeline::steps::Cast;
///
/// let sent = Cast::new("features", DType::Fp64); // before a model: callers send FP64, whatever the model takes
/// # let _ = sent;
/// ```
#[derive(Debug, Clone)]
pub struct Cast {
    name: String,
    callers: DType,
}

impl Cast {
    /// The tensor of that name is of type `callers` for callers.
    #[must_use]
    pub fn new(name: impl Into<String>, callers: DType) -> Self {
        Self { name: name.into(), callers }
    }

    /// The tensor as the model has it, and as callers have it.
    fn sides(&self, specs: &[TensorSpec]) -> Result<(TensorSpec, TensorSpec)> {
        let own = fit::require(specs, &self.name)?;
        if [own.dtype(), self.callers].contains(&DType::Bytes) {
            let (own, callers) = (own.dtype(), self.callers);
            return Err(Error::invalid_input(format!(
                "`{}` cannot be cast between {own} and {callers}",
                self.name
            )));
        }
        Ok((own.clone(), fit::like(own, &self.name, self.callers, own.shape())))
    }
}

impl Preprocess for Cast {
    fn before(self, needed: &[TensorSpec]) -> Result<Step> {
        let (own, callers) = self.sides(needed)?;
        let to = own.dtype();
        Step::unary("cast", callers, fit::any_value(&own), move |tensor| cast(tensor, to))
    }
}

impl Postprocess for Cast {
    fn after(self, given: &[TensorSpec]) -> Result<Step> {
        let (own, callers) = self.sides(given)?;
        Step::unary("cast", own, fit::any_value(&callers), move |tensor| cast(tensor, self.callers))
    }
}

/// A number on its way from one type to another.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Real(f64),
}

/// An element that is a number.
trait Numeric: Element {
    fn widen(self) -> Number;
    /// Nothing, where the number does not fit.
    fn narrow(number: Number) -> Option<Self>;
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Numeric for $integer {
            #[inline]
            fn widen(self) -> Number {
                Number::Integer(self.into())
            }

            #[inline]
            fn narrow(number: Number) -> Option<Self> {
                match number {
                    Number::Integer(value) => value.try_into().ok(),
                    Number::Real(value) if value.is_nan() => None,
                    // Saturates far beyond every type, and so does not fit.
                    Number::Real(value) => (value as i128).try_into().ok(),
                }
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! reals {
    ($($real:ty: $from_integer:expr, $from_real:expr;)*) => {$(
        impl Numeric for $real {
            #[inline]
            fn widen(self) -> Number {
                Number::Real(self.into())
            }

            #[inline]
            fn narrow(number: Number) -> Option<Self> {
                Some(match number {
                    Number::Integer(value) => $from_integer(value),
                    Number::Real(value) => $from_real(value),
                })
            }
        }
    )*};
}

reals! {
    f16: |value| f16::from_f64(value as f64), f16::from_f64;
    bf16: |value| bf16::from_f64(value as f64), bf16::from_f64;
    f32: |value| value as f32, |value| value as f32;
    f64: |value| value as f64, |value| value;
}

impl Numeric for bool {
    #[inline]
    fn widen(self) -> Number {
        Number::Integer(self.into())
    }

    #[inline]
    fn narrow(number: Number) -> Option<Self> {
        match number {
            Number::Integer(value) => Some(value != 0),
            Number::Real(value) if value.is_nan() => None,
            Number::Real(value) => Some(value != 0.0),
        }
    }
}

/// Computes `$body` with `$number` standing for the Rust type of a data type.
macro_rules! with_number {
    ($dtype:expr, $number:ident => $body:expr) => {
        with_number!(@ $dtype, $number, $body, Bool bool, Uint8 u8, Uint16 u16, Uint32 u32, Uint64 u64, Int8 i8,
            Int16 i16, Int32 i32, Int64 i64, Fp16 f16, Bf16 bf16, Fp32 f32, Fp64 f64)
    };
    (@ $dtype:expr, $number:ident, $body:expr, $($name:ident $element:ty),*) => {
        match $dtype {
            $(DType::$name => {
                type $number = $element;
                $body
            })*
            DType::Bytes => Err(Error::unsupported("BYTES are not cast")),
        }
    };
}

fn cast(tensor: Tensor, to: DType) -> Result<Tensor> {
    if tensor.dtype() == to {
        return Ok(tensor);
    }
    with_number!(tensor.dtype(), From => with_number!(to, To => convert::<From, To>(&tensor)))
}

fn convert<From: Numeric, To: Numeric>(tensor: &Tensor) -> Result<Tensor> {
    let elements = tensor.as_slice::<From>()?;
    let narrow = |(index, value): (usize, &From)| {
        To::narrow(value.widen()).ok_or_else(|| {
            Error::invalid_input(format!("element {index} is {value:?}, which does not fit {}", To::DTYPE))
        })
    };
    let converted: Vec<To> = elements.iter().enumerate().map(narrow).collect::<Result<_>>()?;
    Ok(Tensor::from_vec(tensor.shape(), converted)?)
}

#[cfg(test)]
mod tests {
    use mlops_core::Dimension::Batch;
    use mlops_core::{Engine, Tensors};

    use super::*;

    fn to(tensor: impl Into<Tensor>, dtype: DType) -> Result<Tensor> {
        cast(tensor.into(), dtype)
    }

    #[test]
    fn numbers_keep_their_value_where_the_type_has_it() {
        assert_eq!(to(vec![-1.9_f64, 2.9], DType::Int8).unwrap(), Tensor::from(vec![-1_i8, 2]));
        assert_eq!(to(vec![u64::MAX], DType::Fp32).unwrap(), Tensor::from(vec![u64::MAX as f32]));
        assert_eq!(to(vec![1.0e-3_f64], DType::Fp16).unwrap(), Tensor::from(vec![f16::from_f64(1.0e-3)]));
        assert_eq!(to(vec![1.0e300_f64], DType::Fp32).unwrap(), Tensor::from(vec![f32::INFINITY]));
        assert_eq!(to(vec![0_i64, -3], DType::Bool).unwrap(), Tensor::from(vec![false, true]));
        assert_eq!(to(vec![true], DType::Bf16).unwrap(), Tensor::from(vec![bf16::ONE]));
        assert_eq!(to(vec![i64::MIN], DType::Fp64).unwrap(), Tensor::from(vec![i64::MIN as f64]));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (cast, expected) in [
            (to(vec![1_i32, 300], DType::Uint8), "element 1 is 300, which does not fit UINT8"),
            (to(vec![-1_i8], DType::Uint64), "element 0 is -1, which does not fit UINT64"),
            (to(vec![9.3e18_f64], DType::Int64), "element 0 is 9.3e18, which does not fit INT64"),
            (to(vec![f32::INFINITY], DType::Int64), "element 0 is inf, which does not fit INT64"),
            (to(vec![f32::NAN], DType::Int8), "element 0 is NaN, which does not fit INT8"),
            (to(vec![f32::NAN], DType::Bool), "element 0 is NaN, which does not fit BOOL"),
        ] {
            let error = cast.unwrap_err();
            assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn callers_have_their_own_type_on_either_side() {
        let own = [TensorSpec::new("x", DType::Fp32, [Batch]).finite()];
        let callers = TensorSpec::new("x", DType::Int64, [Batch]);
        let before = Cast::new("x", DType::Int64).before(&own).unwrap();
        assert_eq!(before.signature().inputs()[0], callers);
        let sent = before.run(&Tensors::new().with("x", vec![3_i64])).unwrap();
        assert_eq!(sent, Tensors::new().with("x", vec![3.0_f32]));
        let after = Cast::new("x", DType::Int64).after(&own).unwrap();
        assert_eq!(after.signature().outputs()[0], callers);
        assert!(Cast::new("x", DType::Bytes).before(&own).is_err());
    }
}
