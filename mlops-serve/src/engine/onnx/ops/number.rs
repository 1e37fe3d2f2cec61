//! Numbers of any element type, as generic operators see them.

use half::{bf16, f16};

use crate::engine::onnx::tensor::Scalar;

/// An element type with arithmetic. Integers wrap around; `f16` and `bf16` are computed in `f32` and rounded once.
pub(super) trait Number: Scalar + Copy + PartialOrd {
    const ZERO: Self;
    const ONE: Self;
    /// The lowest value: minus infinity if there is one.
    const LOWEST: Self;
    /// The highest value: infinity if there is one.
    const HIGHEST: Self;
    /// Whether it has fractions; if not, a division by zero has no result.
    const IS_FLOAT: bool;

    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// Integers are truncated towards zero. An integer divided by zero gives zero: callers refuse it before.
    fn over(self, other: Self) -> Self;
    /// What a truncated division leaves: it has the sign of `self`. For integers and zero as in [`over`](Self::over).
    fn remainder(self, other: Self) -> Self;
    /// What a floored division leaves: it has the sign of `other`. For integers and zero as in [`over`](Self::over).
    fn modulo(self, other: Self) -> Self;
    /// The smaller; `NaN` if either is.
    fn smaller(self, other: Self) -> Self;
    /// The larger; `NaN` if either is.
    fn larger(self, other: Self) -> Self;
    /// `0 - self`.
    fn negated(self) -> Self;
    fn magnitude(self) -> Self;
    /// -1, 0 or 1; `NaN` for `NaN`.
    fn direction(self) -> Self;
    /// The power with an exponent of its own type.
    fn power(self, exponent: Self) -> Self;
    fn to_f64(self) -> f64;
    /// The nearest value there is; integers truncate towards zero, and `NaN` becomes zero.
    fn from_f64(value: f64) -> Self;
    fn is_not_a_number(self) -> bool;
}

macro_rules! integer {
    ($type:ty, $signed:tt) => {
        impl Number for $type {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LOWEST: Self = Self::MIN;
            const HIGHEST: Self = Self::MAX;
            const IS_FLOAT: bool = false;

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }

            #[inline(always)]
            fn over(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }

            #[inline(always)]
            fn remainder(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_rem(other) }
            }

            #[inline(always)]
            fn modulo(self, other: Self) -> Self {
                let remainder = self.remainder(other);
                let zero: Self = 0;
                if remainder != 0 && (remainder < zero) != (other < zero) {
                    remainder.wrapping_add(other)
                } else {
                    remainder
                }
            }

            #[inline(always)]
            fn smaller(self, other: Self) -> Self {
                self.min(other)
            }

            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                self.max(other)
            }

            #[inline(always)]
            fn negated(self) -> Self {
                self.wrapping_neg()
            }

            #[inline(always)]
            fn magnitude(self) -> Self {
                integer!(magnitude $signed self)
            }

            #[inline(always)]
            fn direction(self) -> Self {
                integer!(direction $signed self)
            }

            #[inline]
            fn power(self, exponent: Self) -> Self {
                match u32::try_from(exponent) {
                    Ok(exponent) => self.wrapping_pow(exponent),
                    Err(_) => Self::from_f64(self.to_f64().powf(exponent.to_f64())),
                }
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as Self
            }

            #[inline(always)]
            fn is_not_a_number(self) -> bool {
                false
            }
        }
    };
    (magnitude signed $value:ident) => {
        $value.wrapping_abs()
    };
    (magnitude unsigned $value:ident) => {
        $value
    };
    (direction signed $value:ident) => {
        $value.signum()
    };
    (direction unsigned $value:ident) => {
        $value.min(1)
    };
}

integer!(u8, unsigned);
integer!(u16, unsigned);
integer!(u32, unsigned);
integer!(u64, unsigned);
integer!(i8, signed);
integer!(i16, signed);
integer!(i32, signed);
integer!(i64, signed);

macro_rules! float {
    ($type:ty) => {
        impl Number for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = Self::NEG_INFINITY;
            const HIGHEST: Self = Self::INFINITY;
            const IS_FLOAT: bool = true;

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }

            #[inline(always)]
            fn over(self, other: Self) -> Self {
                self / other
            }

            #[inline(always)]
            fn remainder(self, other: Self) -> Self {
                self % other
            }

            #[inline]
            fn modulo(self, other: Self) -> Self {
                let remainder = self % other;
                if remainder == 0.0 {
                    Self::ZERO.copysign(other)
                } else if (remainder < 0.0) != (other < 0.0) {
                    remainder + other
                } else {
                    remainder
                }
            }

            #[inline(always)]
            fn smaller(self, other: Self) -> Self {
                if self.is_nan() || self < other { self } else { other }
            }

            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                if self.is_nan() || self > other { self } else { other }
            }

            #[inline(always)]
            fn negated(self) -> Self {
                -self
            }

            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }

            #[inline(always)]
            fn direction(self) -> Self {
                if self == 0.0 { 0.0 } else { self.signum() }
            }

            #[inline]
            fn power(self, exponent: Self) -> Self {
                self.powf(exponent)
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as Self
            }

            #[inline(always)]
            fn is_not_a_number(self) -> bool {
                self.is_nan()
            }
        }
    };
}

float!(f32);
float!(f64);

macro_rules! half_float {
    ($type:ty) => {
        impl Number for $type {
            const ZERO: Self = Self::ZERO;
            const ONE: Self = Self::ONE;
            const LOWEST: Self = Self::NEG_INFINITY;
            const HIGHEST: Self = Self::INFINITY;
            const IS_FLOAT: bool = true;

            half_float!(binary plus minus times over remainder modulo smaller larger power);
            half_float!(unary negated magnitude direction);

            #[inline]
            fn to_f64(self) -> f64 {
                self.into()
            }

            #[inline]
            fn from_f64(value: f64) -> Self {
                Self::from_f64(value)
            }

            #[inline]
            fn is_not_a_number(self) -> bool {
                self.is_nan()
            }
        }
    };
    (binary $($name:ident)*) => {
        $(#[inline]
        fn $name(self, other: Self) -> Self {
            Self::from_f32(self.to_f32().$name(other.to_f32()))
        })*
    };
    (unary $($name:ident)*) => {
        $(#[inline]
        fn $name(self) -> Self {
            Self::from_f32(self.to_f32().$name())
        })*
    };
}

half_float!(f16);
half_float!(bf16);

/// Runs an expression with a number type by name: `for_number_type!(dtype, T => .., else ..)`.
macro_rules! for_number_type {
    ($dtype:expr, $type:ident => $body:expr, else $otherwise:expr) => {
        match $dtype {
            ::mlops_core::DType::Uint8 => $crate::engine::onnx::ops::number::named_type!($type = u8, $body),
            ::mlops_core::DType::Uint16 => $crate::engine::onnx::ops::number::named_type!($type = u16, $body),
            ::mlops_core::DType::Uint32 => $crate::engine::onnx::ops::number::named_type!($type = u32, $body),
            ::mlops_core::DType::Uint64 => $crate::engine::onnx::ops::number::named_type!($type = u64, $body),
            ::mlops_core::DType::Int8 => $crate::engine::onnx::ops::number::named_type!($type = i8, $body),
            ::mlops_core::DType::Int16 => $crate::engine::onnx::ops::number::named_type!($type = i16, $body),
            ::mlops_core::DType::Int32 => $crate::engine::onnx::ops::number::named_type!($type = i32, $body),
            ::mlops_core::DType::Int64 => $crate::engine::onnx::ops::number::named_type!($type = i64, $body),
            ::mlops_core::DType::Fp16 => {
                $crate::engine::onnx::ops::number::named_type!($type = ::half::f16, $body)
            }
            ::mlops_core::DType::Bf16 => {
                $crate::engine::onnx::ops::number::named_type!($type = ::half::bf16, $body)
            }
            ::mlops_core::DType::Fp32 => $crate::engine::onnx::ops::number::named_type!($type = f32, $body),
            ::mlops_core::DType::Fp64 => $crate::engine::onnx::ops::number::named_type!($type = f64, $body),
            _ => $otherwise,
        }
    };
}

macro_rules! named_type {
    ($name:ident = $type:ty, $body:expr) => {{
        type $name = $type;
        $body
    }};
}

pub(super) use {for_number_type, named_type};

/// The elements of a half-precision type, for computing in single precision.
pub(super) trait Half: Number {
    fn widened(self) -> f32;
    fn rounded(value: f32) -> Self;
}

impl Half for f16 {
    #[inline]
    fn widened(self) -> f32 {
        self.to_f32()
    }

    #[inline]
    fn rounded(value: f32) -> Self {
        Self::from_f32(value)
    }
}

impl Half for bf16 {
    #[inline]
    fn widened(self) -> f32 {
        self.to_f32()
    }

    #[inline]
    fn rounded(value: f32) -> Self {
        Self::from_f32(value)
    }
}

/// Half-precision elements in single precision.
pub(super) fn widen<T: Half>(elements: &[T]) -> Vec<f32> {
    elements.iter().map(|element| element.widened()).collect()
}

/// Single-precision elements in half precision.
pub(super) fn round<T: Half>(elements: &[f32]) -> Vec<T> {
    elements.iter().map(|&element| T::rounded(element)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_and_never_panic() {
        assert_eq!(i32::MIN.over(-1), i32::MIN);
        assert_eq!(i64::MIN.remainder(-1), 0);
        assert_eq!(5_u8.over(0), 0);
        assert_eq!(i8::MIN.magnitude(), i8::MIN);
        assert_eq!(200_u8.plus(100), 44);
        assert_eq!(3_i32.power(-1), 0);
        assert_eq!(2_u8.power(9), 0);
    }

    #[test]
    fn modulo_has_the_sign_of_the_divisor_and_remainder_that_of_the_dividend() {
        assert_eq!(((-4_i32).modulo(3), 4_i32.modulo(-3), (-3_i32).modulo(3)), (2, -2, 0));
        assert_eq!(((-4_i32).remainder(3), 4_i32.remainder(-3)), (-1, 1));
        assert_eq!((-4.5_f32).modulo(3.0), 1.5);
        assert_eq!(4.0_f64.modulo(f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(4.0_f64.modulo(f64::INFINITY), 4.0);
        assert!(4.0_f32.modulo(0.0).is_nan() && f32::INFINITY.modulo(2.0).is_nan());
        assert!((-3.0_f32).modulo(3.0).is_sign_positive() && 3.0_f32.modulo(-3.0).is_sign_negative());
    }

    #[test]
    fn the_smaller_of_a_number_and_none_is_none() {
        assert!(1.0_f32.smaller(f32::NAN).is_nan() && f32::NAN.smaller(1.0).is_nan());
        assert!(f16::ONE.larger(f16::NAN).is_nan());
        assert_eq!(2_i8.larger(-3), 2);
    }
}
