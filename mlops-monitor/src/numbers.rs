//! The elements of a tensor as numbers, whatever their type.

use mlops_core::reexports::half::{bf16, f16};
use mlops_core::{DType, Tensor};

/// Receives the elements of a tensor with the way to make numbers of them.
pub(crate) trait Numbers {
    type Output;

    fn visit<T: Copy>(self, values: &[T], to_f64: impl Fn(T) -> f64) -> Self::Output;
}

/// Shows the elements to `numbers`; `None` when they are no numbers. BOOL counts as 0 and 1; 64-bit
/// integers beyond 2⁵³ lose their last digits.
pub(crate) fn visit_numbers<N: Numbers>(tensor: &Tensor, numbers: N) -> Option<N::Output> {
    macro_rules! visit {
        ($element:ty, $to_f64:expr) => {
            Some(numbers.visit(tensor.as_slice::<$element>().ok()?, $to_f64))
        };
    }
    match tensor.dtype() {
        DType::Bool => visit!(bool, f64::from),
        DType::Uint8 => visit!(u8, f64::from),
        DType::Uint16 => visit!(u16, f64::from),
        DType::Uint32 => visit!(u32, f64::from),
        DType::Uint64 => visit!(u64, |value| value as f64),
        DType::Int8 => visit!(i8, f64::from),
        DType::Int16 => visit!(i16, f64::from),
        DType::Int32 => visit!(i32, f64::from),
        DType::Int64 => visit!(i64, |value| value as f64),
        DType::Fp16 => visit!(f16, f64::from),
        DType::Bf16 => visit!(bf16, f64::from),
        DType::Fp32 => visit!(f32, f64::from),
        DType::Fp64 => visit!(f64, |value| value),
        DType::Bytes => None,
    }
}
