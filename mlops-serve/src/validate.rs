//! Whether an engine gives what it should: outputs against a reference.

use std::fmt;

use half::{bf16, f16};
use mlops_core::{DType, Engine, Error, Result, Tensor, Tensors};

/// Inputs, and the outputs that another implementation gives for them: the model in memory before it was saved, the
/// training framework, the same model on another device.
#[derive(Debug, Clone)]
pub struct Reference {
    /// What goes in.
    pub inputs: Tensors,
    /// What must come out. Outputs that are not named here are not compared.
    pub outputs: Tensors,
}

/// How far an output may be from its reference: `|a - b| <= absolute + relative * |b|` for each element, as
/// [`numpy.allclose`](https://numpy.org/doc/stable/reference/generated/numpy.allclose.html) has it, where `b` is the
/// reference. NaN equals NaN. Types other than floating point must be equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Of the magnitude of the reference.
    pub relative: f64,
    /// In the unit of the output.
    pub absolute: f64,
}

impl Default for Tolerance {
    /// 1e-4 relative and 1e-5 absolute: what reordering FP32 sums through a deep network may change.
    fn default() -> Self {
        Self { relative: 1e-4, absolute: 1e-5 }
    }
}

/// The result of [`validate_against`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Validation {
    /// For each output that was compared, in the order of the first reference.
    pub outputs: Vec<OutputDifference>,
}

/// How far one output is from its references.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OutputDifference {
    /// The name of the output.
    pub name: String,
    /// How many elements were compared, over all references.
    pub compared: usize,
    /// How many of them are out of tolerance.
    pub mismatched: usize,
    /// The largest difference, in the unit of the output. Infinite where a NaN or infinity meets something else.
    pub largest_absolute: f64,
    /// The largest difference, as a part of the reference's magnitude (elements whose reference is 0 are left out).
    pub largest_relative: f64,
    /// The first element out of tolerance: which reference, which element in row-major order.
    pub first_mismatch: Option<(usize, usize)>,
}

impl Validation {
    /// Whether every element was within tolerance.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outputs.iter().all(|output| output.mismatched == 0)
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, output) in self.outputs.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let OutputDifference { name, compared, mismatched, largest_absolute, largest_relative, .. } =
                output;
            write!(f, "`{name}`: {mismatched} of {compared} elements out of tolerance")?;
            write!(f, ", at most {largest_absolute:.2e} absolute, {largest_relative:.2e} relative")?;
        }
        Ok(())
    }
}

/// Runs an engine on the inputs of each reference and compares its outputs with those of the reference.
///
/// This is the check behind "validated after serialisation": load the artifact that was stored, and see that it still
/// computes what the model computed before.
///
/// ```
/// use mlops_core::{DType, Dimension, Engine, Result, Signature, Tensor, TensorSpec, Tensors};
/// use mlops_serve::{Reference, Tolerance, validate_against};
///
/// #[derive(Debug)]
/// struct Doubles(Signature);
/// impl Engine for Doubles {
///     fn signature(&self) -> &Signature {
///         &self.0
///     }
///     fn run(&self, inputs: &Tensors) -> Result<Tensors> {
///         let doubled: Vec<f32> = inputs.require("x")?.as_slice::<f32>()?.iter().map(|x| 2.0 * x).collect();
///         Ok([("y", Tensor::from(doubled))].into())
///     }
/// }
/// let spec = |name: &str| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
/// let engine = Doubles(Signature::new([spec("x")], [spec("y")])?);
///
/// let reference = Reference {
///     inputs: [("x", Tensor::from(vec![1.0_f32, 2.0]))].into(),
///     outputs: [("y", Tensor::from(vec![2.0_f32, 4.5]))].into(),
/// };
/// let validation = validate_against(&engine, [&reference], Tolerance::default())?;
/// assert!(!validation.passed());
/// assert_eq!(
///     validation.to_string(),
///     "`y`: 1 of 2 elements out of tolerance, at most 5.00e-1 absolute, 1.11e-1 relative"
/// );
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidInput`] when there is no reference, or the inputs of one do not fit the signature; the engine's error
/// when it fails; [`Error::Engine`] when an output is missing or has another type or shape than its reference.
pub fn validate_against<'a>(
    engine: &impl Engine,
    references: impl IntoIterator<Item = &'a Reference>,
    tolerance: Tolerance,
) -> Result<Validation> {
    let mut outputs: Vec<OutputDifference> = Vec::new();
    for (case, reference) in references.into_iter().enumerate() {
        engine.signature().check(&reference.inputs)?;
        let actual = engine.run(&reference.inputs)?;
        for (name, expected) in reference.outputs.iter() {
            let actual = actual.get(name).ok_or_else(|| {
                Error::engine(format!("reference {case}: the engine gives no output `{name}`"))
            })?;
            if (actual.dtype(), actual.shape()) != (expected.dtype(), expected.shape()) {
                let [actual, expected] = [actual, expected].map(|t| format!("{} {:?}", t.dtype(), t.shape()));
                let what = format!("reference {case}: output `{name}` is {actual} instead of {expected}");
                return Err(Error::engine(what));
            }
            let index = outputs.iter().position(|output| output.name == name).unwrap_or_else(|| {
                outputs.push(OutputDifference::none(name));
                outputs.len() - 1
            });
            outputs[index].compare(case, actual, expected, tolerance)?;
        }
    }
    if outputs.is_empty() {
        return Err(Error::invalid_input("there is no reference to compare with"));
    }
    Ok(Validation { outputs })
}

impl OutputDifference {
    fn none(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            compared: 0,
            mismatched: 0,
            largest_absolute: 0.0,
            largest_relative: 0.0,
            first_mismatch: None,
        }
    }

    fn compare(
        &mut self,
        case: usize,
        actual: &Tensor,
        expected: &Tensor,
        tolerance: Tolerance,
    ) -> Result<()> {
        match (floats(actual)?, floats(expected)?) {
            (Some(actual), Some(expected)) => {
                for (index, (a, b)) in actual.into_iter().zip(expected).enumerate() {
                    let equal = a == b || a.is_nan() && b.is_nan();
                    let difference = match (a - b).abs() {
                        _ if equal => 0.0,
                        difference if difference.is_nan() => f64::INFINITY,
                        difference => difference,
                    };
                    self.largest_absolute = self.largest_absolute.max(difference);
                    if b != 0.0 && b.is_finite() {
                        self.largest_relative = self.largest_relative.max(difference / b.abs());
                    }
                    let within = tolerance.absolute + tolerance.relative * b.abs();
                    self.count(case, index, equal || b.is_finite() && difference <= within);
                }
            }
            _ => self.compare_exactly(case, actual, expected)?,
        }
        Ok(())
    }

    fn compare_exactly(&mut self, case: usize, actual: &Tensor, expected: &Tensor) -> Result<()> {
        if expected.dtype() == DType::Bytes {
            let pairs = actual.byte_strings()?.zip(expected.byte_strings()?);
            pairs.enumerate().for_each(|(index, (a, b))| self.count_exact(case, index, a == b));
        } else {
            let size = expected.dtype().size().unwrap_or(1);
            let pairs = actual.as_bytes().chunks_exact(size).zip(expected.as_bytes().chunks_exact(size));
            pairs.enumerate().for_each(|(index, (a, b))| self.count_exact(case, index, a == b));
        }
        Ok(())
    }

    fn count_exact(&mut self, case: usize, index: usize, equal: bool) {
        if !equal {
            self.largest_absolute = f64::INFINITY;
            self.largest_relative = f64::INFINITY;
        }
        self.count(case, index, equal);
    }

    fn count(&mut self, case: usize, index: usize, fits: bool) {
        self.compared += 1;
        if !fits {
            self.mismatched += 1;
            self.first_mismatch.get_or_insert((case, index));
        }
    }
}

fn floats(tensor: &Tensor) -> Result<Option<Vec<f64>>> {
    Ok(Some(match tensor.dtype() {
        DType::Fp32 => tensor.as_slice::<f32>()?.iter().map(|&value| value.into()).collect(),
        DType::Fp64 => tensor.as_slice::<f64>()?.to_vec(),
        DType::Fp16 => tensor.as_slice::<f16>()?.iter().map(|&value| value.into()).collect(),
        DType::Bf16 => tensor.as_slice::<bf16>()?.iter().map(|&value| value.into()).collect(),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use mlops_core::{Dimension, Signature, TensorSpec};

    use super::*;

    /// Gives its input back.
    #[derive(Debug)]
    struct Echo(Signature);

    impl Echo {
        fn of(dtype: DType) -> Self {
            let spec = |name: &str| TensorSpec::new(name, dtype, [Dimension::Batch]);
            Self(Signature::new([spec("x")], [spec("y")]).unwrap())
        }
    }

    impl Engine for Echo {
        fn signature(&self) -> &Signature {
            &self.0
        }

        fn run(&self, inputs: &Tensors) -> Result<Tensors> {
            Ok([("y", inputs.require("x")?.clone())].into())
        }
    }

    fn reference(input: impl Into<Tensor>, output: impl Into<Tensor>) -> Reference {
        Reference { inputs: [("x", input.into())].into(), outputs: [("y", output.into())].into() }
    }

    fn compared(dtype: DType, case: &Reference) -> Validation {
        validate_against(&Echo::of(dtype), [case], Tolerance::default()).unwrap()
    }

    #[test]
    fn tolerance_is_relative_and_absolute() {
        assert!(compared(DType::Fp32, &reference(vec![100.009_f32, 0.0], vec![100.0_f32, 9e-6])).passed());
        assert!(!compared(DType::Fp32, &reference(vec![100.02_f32], vec![100.0_f32])).passed());
        assert!(!compared(DType::Fp32, &reference(vec![0.0_f32], vec![2e-5_f32])).passed());
    }

    #[test]
    fn what_is_not_finite_equals_only_itself() {
        let not_finite = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        assert!(compared(DType::Fp32, &reference(not_finite.clone(), not_finite.clone())).passed());
        let rotated = vec![f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        let validation = compared(DType::Fp32, &reference(not_finite, rotated));
        assert_eq!(
            (validation.outputs[0].mismatched, validation.outputs[0].first_mismatch),
            (3, Some((0, 0)))
        );
        assert_eq!(validation.outputs[0].largest_absolute, f64::INFINITY);
        let finite = compared(DType::Fp32, &reference(vec![f32::MAX], vec![f32::INFINITY]));
        assert!(!finite.passed());
    }

    #[test]
    fn other_types_are_equal_or_not() {
        assert!(compared(DType::Int64, &reference(vec![1_i64, 2], vec![1_i64, 2])).passed());
        let validation = compared(DType::Int64, &reference(vec![1_i64, 2], vec![1_i64, 3]));
        assert_eq!(validation.outputs[0].first_mismatch, Some((0, 1)));
        let texts = |texts: [&str; 2]| Tensor::from_byte_strings(&[2], texts).unwrap();
        assert!(compared(DType::Bytes, &reference(texts(["a", "b"]), texts(["a", "b"]))).passed());
        assert!(!compared(DType::Bytes, &reference(texts(["a", "b"]), texts(["ab", ""]))).passed());
    }

    #[test]
    fn another_shape_or_nothing_to_compare_is_an_error() {
        let engine = Echo::of(DType::Fp32);
        let case = reference(vec![1.0_f32], vec![1.0_f32, 2.0]);
        let error = validate_against(&engine, [&case], Tolerance::default()).unwrap_err();
        assert!(error.to_string().contains("is FP32 [1] instead of FP32 [2]"), "{error}");
        assert!(validate_against(&engine, [], Tolerance::default()).is_err());
    }
}
