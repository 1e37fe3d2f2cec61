//! Weights in 16 bits.

use half::{bf16, f16};
use mlops_core::{Error, Result};
use prost::Message;

use super::artifact::{Artifact, node, nothing_done};
use super::changes::{Change, Compressed, Skipped};
use super::storage::{Stored, Stores};
use super::weights::{lookups, weights};
use crate::engine::onnx::proto::{NodeProto, data_type};

/// The first version of the operators whose `Cast` knows BF16.
const BF16_CASTS: i64 = 13;

/// Stores large weights as [FP16](https://en.wikipedia.org/wiki/Half-precision_floating-point_format), and converts
/// them back to FP32 when the model is loaded: half the file, a relative rounding error of 2⁻¹¹ at most for each
/// weight, and the speed of before.
///
/// Large are FP32 constants of at least two dimensions and 1,024 elements; biases and normalisation parameters stay.
/// So do tensors with elements beyond FP16's largest number, 65,504, and tensors that lie below its smallest normal
/// one, 2⁻¹⁴, altogether: [`Compressed::skipped`] names them. A table of more than a million elements that is only
/// looked up stays FP16 in memory too; what is looked up is converted.
///
/// # Errors
/// [`Error::InvalidInput`] when the bytes are no valid ONNX model, or its weights are kept in other files;
/// [`Error::Unsupported`] when nothing can be converted.
pub fn fp16_weights(model: &[u8]) -> Result<Compressed> {
    converted::<f16>(model)
}

/// Stores large weights as [BF16](https://en.wikipedia.org/wiki/Bfloat16_floating-point_format), as
/// [`fp16_weights`] does as FP16: BF16 has the range of FP32, so that no tensor stays behind, but three bits less of
/// precision (a relative error of 2⁻⁸ at most).
///
/// # Errors
/// As [`fp16_weights`]; and [`Error::Unsupported`] when the model is written for operators before version 13, whose
/// `Cast` does not know BF16.
pub fn bf16_weights(model: &[u8]) -> Result<Compressed> {
    converted::<bf16>(model)
}

/// A float of 16 bits.
trait Half: Stores {
    const NAME: &'static str;
    const SUFFIX: &'static str;
    fn rounded(value: f32) -> Self;
    /// Why the elements cannot be stored in this type, if they cannot.
    fn objection(elements: &[f32]) -> Option<String>;
    fn check_opset(opset: i64) -> Result<()>;
}

impl Half for f16 {
    const NAME: &'static str = "FP16";
    const SUFFIX: &'static str = "fp16";

    fn rounded(value: f32) -> Self {
        Self::from_f32(value)
    }

    fn objection(elements: &[f32]) -> Option<String> {
        let beyond = |value: &&f32| value.is_finite() && Self::from_f32(**value).is_infinite();
        let count = elements.iter().filter(beyond).count();
        if count > 0 {
            return Some(format!("{count} of its elements are beyond FP16's largest number, 65,504"));
        }
        let largest = elements.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let below = largest > 0.0 && largest < Self::MIN_POSITIVE.to_f32();
        below.then(|| "all of its elements are below FP16's smallest normal number, 2^-14".to_owned())
    }

    fn check_opset(_: i64) -> Result<()> {
        Ok(())
    }
}

impl Half for bf16 {
    const NAME: &'static str = "BF16";
    const SUFFIX: &'static str = "bf16";

    fn rounded(value: f32) -> Self {
        Self::from_f32(value)
    }

    fn objection(elements: &[f32]) -> Option<String> {
        let beyond = |value: &&f32| value.is_finite() && Self::from_f32(**value).is_infinite();
        let count = elements.iter().filter(beyond).count();
        (count > 0).then(|| format!("{count} of its elements would round to infinity"))
    }

    fn check_opset(opset: i64) -> Result<()> {
        if opset >= BF16_CASTS {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "the model is written for version {opset} of the operators, and BF16 needs {BF16_CASTS}: export it anew, or use FP16"
        )))
    }
}

fn converted<T: Half>(model: &[u8]) -> Result<Compressed> {
    let mut artifact = Artifact::open(model)?;
    T::check_opset(artifact.opset())?;
    let uses = artifact.uses();
    let (mut changes, mut skipped) = (Vec::new(), Vec::new());
    for weight in weights(&artifact) {
        let bytes_before = artifact.size_of(&weight.name);
        let Some(elements) = artifact.floats(&weight.name) else { continue };
        if let Some(reason) = T::objection(&elements) {
            skipped.push(Skipped::new(weight.name, reason));
            continue;
        }
        let halves: Vec<T> = elements.into_iter().map(T::rounded).collect();
        let name = artifact.fresh_name(&format!("{}_{}", weight.name, T::SUFFIX));
        let stored = Stored::smallest(&name, &weight.shape, &halves);
        let how = if stored.is_sparse() { " without its zeros" } else { "" };
        let what = format!("FP32 {:?} to {}{how}", weight.shape, T::NAME);
        let mut bytes_after = stored.size();
        if bytes_after >= bytes_before {
            skipped.push(Skipped::new(weight.name, "it would not become smaller"));
            continue;
        }
        artifact.remove(&weight.name);
        artifact.store(stored);
        match lookups(&artifact, &weight, &uses) {
            Some(nodes) => {
                for index in nodes {
                    let lookup = artifact.redirect_lookup(index, &name);
                    let cast = cast(&lookup.found, &lookup.output);
                    bytes_after += cast.encoded_len();
                    artifact.add_after(index, cast);
                }
            }
            None => {
                let cast = cast(&name, &weight.name);
                bytes_after += cast.encoded_len();
                artifact.add_first(cast);
            }
        }
        changes.push(Change { tensor: weight.name, what, bytes_before, bytes_after });
    }
    if changes.is_empty() {
        return Err(nothing_done(&format!("no weights can be stored as {}", T::NAME), &skipped));
    }
    Ok(Compressed { model: artifact.finish(), changes, skipped })
}

/// A conversion to FP32.
pub(super) fn cast(from: &str, to: &str) -> NodeProto {
    node("Cast", &format!("{to}_cast"), &[from], to, &[("to", data_type::FLOAT.into())])
}
