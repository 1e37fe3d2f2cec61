//! Arithmetic on whichever floating-point type a tensor has.

use half::{bf16, f16};
use mlops_core::{DType, Element, Error, Result, Tensor, TensorSpec};

use crate::layer::pipeline::place::within;

/// A floating-point element.
pub(in crate::layer::pipeline) trait Real: Element + PartialOrd {
    fn to_f64(self) -> f64;
    /// The nearest value of the type.
    fn from_f64(value: f64) -> Self;
}

macro_rules! reals {
    ($($real:ty: $to:expr, $from:expr;)*) => {$(
        impl Real for $real {
            fn to_f64(self) -> f64 {
                $to(self)
            }

            fn from_f64(value: f64) -> Self {
                $from(value)
            }
        }
    )*};
}

reals! {
    f16: f16::to_f64, f16::from_f64;
    bf16: bf16::to_f64, bf16::from_f64;
    f32: f64::from, |value: f64| value as f32;
    f64: f64::from, f64::from;
}

/// Computes `$body` with `$real` standing for the Rust type of a floating-point data type; an error for any other.
macro_rules! with_real {
    ($dtype:expr, $real:ident => $body:expr) => {
        match $dtype {
            ::mlops_core::DType::Fp16 => {
                type $real = ::half::f16;
                $body
            }
            ::mlops_core::DType::Bf16 => {
                type $real = ::half::bf16;
                $body
            }
            ::mlops_core::DType::Fp32 => {
                type $real = f32;
                $body
            }
            ::mlops_core::DType::Fp64 => {
                type $real = f64;
                $body
            }
            other => Err($crate::layer::pipeline::steps::real::not_real(other)),
        }
    };
}
pub(in crate::layer::pipeline) use with_real;

/// Refuses a tensor that is not floating-point.
pub(in crate::layer::pipeline) fn check(spec: &TensorSpec) -> Result<()> {
    match spec.dtype() {
        DType::Fp16 | DType::Bf16 | DType::Fp32 | DType::Fp64 => Ok(()),
        other => Err(within(not_real(other), format_args!("tensor `{}`", spec.name()))),
    }
}

pub(in crate::layer::pipeline) fn not_real(dtype: DType) -> Error {
    Error::invalid_input(format!("expected a floating-point tensor, not {dtype}; cast it first"))
}

/// Lets `function` change the elements: in their own memory if nobody else has them, else in that of a copy.
pub(super) fn in_place<T: Real>(tensor: Tensor, function: impl FnOnce(&mut [T])) -> Result<Tensor> {
    let mut array = tensor.into_array::<T>()?;
    let elements = array.as_slice_mut();
    function(elements.ok_or_else(|| Error::internal("the elements of a tensor are not in order"))?);
    Ok(array.into())
}
