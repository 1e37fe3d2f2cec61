//! The value behind what is shorter.

use half::{bf16, f16};
use mlops_core::{DType, Dimension, Error, Result, Signature};

/// A number that inputs of every type can be padded with. Texts are padded with empty ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fill(f64);

impl Fill {
    pub(super) fn new(value: f64) -> Self {
        Self(value)
    }

    /// Whether every input that can be padded has that value.
    pub(super) fn check(self, signature: &Signature) -> Result<()> {
        let padded = signature
            .inputs()
            .iter()
            .filter(|spec| spec.batch_axis().is_some() && spec.shape().contains(&Dimension::Free));
        for spec in padded {
            if !self.is_a(spec.dtype()) || (spec.is_finite() && !self.0.is_finite()) {
                let (value, name) = (self.0, spec.name());
                return Err(Error::invalid_input(format!(
                    "input `{name}` ({spec}) cannot be padded with {value}"
                )));
            }
        }
        Ok(())
    }

    /// The value as an element. What the type does not have comes out as the nearest.
    pub(super) fn bytes(self, dtype: DType) -> Vec<u8> {
        let value = self.0;
        match dtype {
            DType::Bool => vec![u8::from(value != 0.0)],
            DType::Uint8 => (value as u8).to_le_bytes().to_vec(),
            DType::Uint16 => (value as u16).to_le_bytes().to_vec(),
            DType::Uint32 => (value as u32).to_le_bytes().to_vec(),
            DType::Uint64 => (value as u64).to_le_bytes().to_vec(),
            DType::Int8 => (value as i8).to_le_bytes().to_vec(),
            DType::Int16 => (value as i16).to_le_bytes().to_vec(),
            DType::Int32 => (value as i32).to_le_bytes().to_vec(),
            DType::Int64 => (value as i64).to_le_bytes().to_vec(),
            DType::Fp16 => f16::from_f64(value).to_le_bytes().to_vec(),
            DType::Bf16 => bf16::from_f64(value).to_le_bytes().to_vec(),
            DType::Fp32 => (value as f32).to_le_bytes().to_vec(),
            DType::Fp64 => value.to_le_bytes().to_vec(),
            DType::Bytes => 0_u32.to_le_bytes().to_vec(),
        }
    }

    /// Whether a type has this value. Floats round to the nearest they have.
    fn is_a(self, dtype: DType) -> bool {
        let value = self.0;
        // From the least to the first that is too large, both exact in a double.
        let is_whole_in = |least: f64, end: f64| value.fract() == 0.0 && value >= least && value < end;
        match dtype {
            DType::Bool => value == 0.0 || value == 1.0,
            DType::Uint8 => is_whole_in(0.0, 2_f64.powi(8)),
            DType::Uint16 => is_whole_in(0.0, 2_f64.powi(16)),
            DType::Uint32 => is_whole_in(0.0, 2_f64.powi(32)),
            DType::Uint64 => is_whole_in(0.0, 2_f64.powi(64)),
            DType::Int8 => is_whole_in(-2_f64.powi(7), 2_f64.powi(7)),
            DType::Int16 => is_whole_in(-2_f64.powi(15), 2_f64.powi(15)),
            DType::Int32 => is_whole_in(-2_f64.powi(31), 2_f64.powi(31)),
            DType::Int64 => is_whole_in(-2_f64.powi(63), 2_f64.powi(63)),
            DType::Fp16 => f16::from_f64(value).is_finite() == value.is_finite(),
            DType::Bf16 => bf16::from_f64(value).is_finite() == value.is_finite(),
            DType::Fp32 => (value as f32).is_finite() == value.is_finite(),
            DType::Fp64 | DType::Bytes => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{Tensor, TensorSpec};

    use super::*;

    fn check(dtype: DType, value: f64) -> Result<()> {
        let spec = TensorSpec::new("x", dtype, [Dimension::Batch, Dimension::Free]);
        Fill::new(value).check(&Signature::new([spec], [])?)
    }

    #[test]
    fn only_values_that_the_type_has_are_taken() {
        for (dtype, value, fits) in [
            (DType::Uint8, 255.0, true),
            (DType::Uint8, 256.0, false),
            (DType::Uint16, -1.0, false),
            (DType::Int32, -1.0, true),
            (DType::Int64, 0.5, false),
            (DType::Int64, f64::NAN, false),
            (DType::Bool, 1.0, true),
            (DType::Bool, 2.0, false),
            (DType::Fp16, 1e6, false),
            (DType::Fp32, f64::NEG_INFINITY, true),
            (DType::Bytes, 7.0, true),
        ] {
            let checked = check(dtype, value);
            assert_eq!(checked.is_ok(), fits, "{dtype} {value}: {checked:?}");
        }
        let finite = TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Free]).finite();
        let error = Fill::new(f64::NAN).check(&Signature::new([finite], []).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid input: input `x` (FP32 [batch, free] finite) cannot be padded with NaN"
        );
    }

    #[test]
    fn inputs_that_are_never_padded_do_not_matter() {
        let fixed = TensorSpec::new("x", DType::Bool, [Dimension::Batch, Dimension::Fixed(2)]);
        assert!(Fill::new(7.0).check(&Signature::new([fixed], []).unwrap()).is_ok());
    }

    #[test]
    fn the_element_is_the_value() {
        let tensor = |dtype| Tensor::from_bytes(dtype, &[1], Fill::new(1.0).bytes(dtype)).unwrap();
        assert_eq!(tensor(DType::Int64).as_slice::<i64>().unwrap(), [1]);
        assert_eq!(tensor(DType::Fp16).as_slice::<f16>().unwrap(), [f16::ONE]);
        assert_eq!(tensor(DType::Fp64).as_slice::<f64>().unwrap(), [1.0]);
        assert_eq!(tensor(DType::Bool).as_slice::<bool>().unwrap(), [true]);
        assert_eq!(tensor(DType::Bytes).strings().unwrap(), [""]);
    }
}
