//! Scales and zero points, and the arithmetic between stored integers and real numbers.

use mlops_core::{DType, Error, Result};
use pulp::Arch;

use crate::engine::onnx::ops::Inputs;
use crate::engine::onnx::ops::arithmetic::converted;
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar};

/// The elements of a tensor of stored integers, or of zero points.
pub(super) fn integers(tensor: &HostTensor) -> Result<Vec<i32>> {
    Ok(match tensor.data() {
        Data::U8(elements) => elements.iter().map(|&element| element.into()).collect(),
        Data::I8(elements) => elements.iter().map(|&element| element.into()).collect(),
        Data::U16(elements) => elements.iter().map(|&element| element.into()).collect(),
        Data::I16(elements) => elements.iter().map(|&element| element.into()).collect(),
        Data::I32(elements) => elements.to_vec(),
        other => {
            let dtype = other.dtype();
            return Err(Error::engine(format!(
                "quantised integers of 8, 16 or 32 bits are needed, not {dtype}"
            )));
        }
    })
}

/// The elements of a tensor of 8-bit integers, in a width in which their differences fit.
pub(super) fn small_integers(tensor: &HostTensor) -> Result<Vec<i16>> {
    match tensor.data() {
        Data::U8(elements) => Ok(elements.iter().map(|&element| element.into()).collect()),
        Data::I8(elements) => Ok(elements.iter().map(|&element| element.into()).collect()),
        other => {
            let dtype = other.dtype();
            Err(Error::engine(format!("integers of 8 bits are needed, not {dtype}")))
        }
    }
}

/// Real numbers of any type as `f32`.
pub(super) fn reals(tensor: &HostTensor) -> Result<Vec<f32>> {
    converted(tensor.clone(), DType::Fp32)?.into_elements()
}

/// One scale and one zero point for a whole tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    pub(super) scale: f32,
    pub(super) zero: i32,
}

impl Parameters {
    /// From two inputs; a zero point that is left out is 0.
    pub(super) fn of(inputs: &Inputs<'_>, scale: usize, zero: usize) -> Result<Self> {
        Ok(Self {
            scale: single(reals(inputs.tensor(scale)?)?, "scale")?,
            zero: match inputs.optional(zero)? {
                Some(zero) => single(integers(zero)?, "zero point")?,
                None => 0,
            },
        })
    }

    /// The real number that an integer stands for.
    #[inline(always)]
    pub(super) fn real(self, stored: i32) -> f32 {
        stored.wrapping_sub(self.zero) as f32 * self.scale
    }
}

fn single<T>(elements: Vec<T>, what: &str) -> Result<T> {
    let count = elements.len();
    match <[T; 1]>::try_from(elements) {
        Ok([only]) => Ok(only),
        Err(_) => Err(Error::engine(format!("there must be one {what} for the tensor, not {count}"))),
    }
}

/// An integer type that tensors are quantised to.
pub(super) trait Stored: Scalar + Copy {
    /// The nearest integer, ties to even, plus the zero point, cut off at the ends of the range; `NaN` gives the lowest.
    fn nearest(quotient: f32, zero: f32) -> Self;
}

macro_rules! stored {
    ($($type:ty)*) => {
        $(impl Stored for $type {
            #[inline(always)]
            fn nearest(quotient: f32, zero: f32) -> Self {
                const LOWEST: f32 = <$type>::MIN as f32;
                const HIGHEST: f32 = <$type>::MAX as f32;
                // Added to 1.5 2^23, a number loses its fraction by rounding and shows as an integer in the lowest
                // bits: unlike the conversions of the language, this is done for many numbers at once. Whatever is
                // beyond the farther limit is beyond the range with any zero point.
                const SHIFT: f32 = 12_582_912.0;
                const FARTHER: f32 = 131_072.0;
                let whole = (quotient.max(-FARTHER).min(FARTHER) + SHIFT) - SHIFT;
                let sum = (whole + zero).max(LOWEST).min(HIGHEST);
                (sum + SHIFT).to_bits() as Self
            }
        })*
    };
}

stored!(u8 i8 u16 i16);

/// Calls a generic function with the type of that name: `for_stored_type!(dtype, function(..))`.
macro_rules! for_stored_type {
    ($dtype:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $dtype {
            ::mlops_core::DType::Uint8 => $function::<u8>($($argument),*),
            ::mlops_core::DType::Int8 => $function::<i8>($($argument),*),
            ::mlops_core::DType::Uint16 => $function::<u16>($($argument),*),
            ::mlops_core::DType::Int16 => $function::<i16>($($argument),*),
            other => Err($crate::engine::onnx::ops::quantization::parameters::not_stored(other)),
        }
    };
}

/// Real numbers as integers of that type.
pub(super) fn stored(reals: &[f32], parameters: Parameters, dtype: DType) -> Result<Data> {
    fn all<T: Stored>(reals: &[f32], parameters: Parameters) -> Result<Data> {
        let zero = parameters.zero as f32;
        let mut output = vec![T::default(); reals.len()];
        Arch::new().dispatch(|| {
            for (output, &real) in output.iter_mut().zip(reals) {
                *output = T::nearest(real / parameters.scale, zero);
            }
        });
        Ok(T::wrap(output.into()))
    }
    for_stored_type!(dtype, all(reals, parameters))
}

pub(super) use for_stored_type;

pub(super) fn not_stored(dtype: DType) -> Error {
    Error::engine(format!("tensors are quantised to integers of 8 or 16 bits, not to {dtype}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_are_rounded_to_even_and_cut_off() {
        for (quotient, zero, expected) in [
            (0.5, 0.0, 0),
            (1.5, 0.0, 2),
            (2.5, 128.0, 130),
            (-2.5, 128.0, 126),
            (-200.0, 128.0, 0),
            (1e9, 0.0, 255),
            (f32::INFINITY, 0.0, 255),
            (f32::NEG_INFINITY, 255.0, 0),
            (f32::NAN, 128.0, 0),
            (126.499_99, 128.0, 254),
        ] {
            assert_eq!(u8::nearest(quotient, zero), expected, "{quotient}");
        }
        for quotient in -70_000..70_000 {
            let expected = |lowest: i32, highest: i32| (quotient + 3).clamp(lowest, highest);
            let quotient = quotient as f32;
            assert_eq!(i32::from(i8::nearest(quotient, 3.0)), expected(-128, 127));
            assert_eq!(i32::from(i16::nearest(quotient, 3.0)), expected(-32768, 32767));
            assert_eq!(i32::from(u16::nearest(quotient, 3.0)), expected(0, 65535));
        }
    }
}
