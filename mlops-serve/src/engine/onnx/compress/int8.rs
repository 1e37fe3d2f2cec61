//! Weights in 8 bits.

use mlops_core::{Error, Result};
use prost::Message;

use super::artifact::{Artifact, node, nothing_done};
use super::changes::{Change, Compressed, Skipped};
use super::half::cast;
use super::quantize::Quantized;
use super::storage::Stored;
use super::weights::{Weight, lookups, part, weights};
use crate::engine::onnx::proto::NodeProto;

/// The first version of the operators whose `DequantizeLinear` has a scale for each channel.
const SCALE_PER_CHANNEL: i64 = 13;

/// The first version of the operators whose `Mul` broadcasts and whose `Cast` has an integer parameter.
const BROADCASTS: i64 = 7;

/// Stores the weights of products, convolutions, recurrent layers and embedding tables as INT8, and converts them
/// back to FP32 when the model is loaded: a quarter of the file, and the speed of before.
///
/// Quantisation is symmetric with a scale for each output channel, `w ≈ scale q` with `scale = max |w| / 127` and
/// `q = round(w / scale)` ([Jacob et al., 2018](https://arxiv.org/abs/1712.05877), section 2.1, with zero as the zero
/// point; [Krishnamoorthi, 2018](https://arxiv.org/abs/1806.08342), section 3.1.1, on channels), so that no weight
/// changes by more than `scale / 2`. No data is needed for it. Output channels are the columns of the matrix of a
/// product, the filters of a convolution, the rows of gates of a recurrent layer, the entries of a table. Activations
/// stay FP32.
///
/// Large are FP32 constants of at least two dimensions and 1,024 elements; others stay. The codes are an initializer
/// that `DequantizeLinear` reads, or `Cast` and `Mul` in models written for operators before version 13. A table of
/// more than a million elements that is only looked up stays INT8 in memory too; what is looked up is converted.
///
/// # Errors
/// [`Error::InvalidInput`] when the bytes are no valid ONNX model, or its weights are kept in other files;
/// [`Error::Unsupported`] when nothing can be quantised.
pub fn int8_weights(model: &[u8]) -> Result<Compressed> {
    let mut artifact = Artifact::open(model)?;
    let opset = artifact.opset();
    if opset < BROADCASTS {
        return Err(Error::unsupported(format!(
            "the model is written for version {opset} of the operators, and {BROADCASTS} is the oldest in which weights can be stored as INT8: export it anew"
        )));
    }
    let uses = artifact.uses();
    let (mut changes, mut skipped) = (Vec::new(), Vec::new());
    for weight in weights(&artifact) {
        let Some(part) = part(&artifact, &weight, &uses) else {
            let reason = "it is no factor of a product or convolution, and no table";
            skipped.push(Skipped::new(weight.name, reason));
            continue;
        };
        let bytes_before = artifact.size_of(&weight.name);
        let Some(elements) = artifact.floats(&weight.name) else { continue };
        if elements.iter().any(|element| !element.is_finite()) {
            skipped.push(Skipped::new(weight.name, "it has elements that are infinite or no number"));
            continue;
        }
        let quantized = Quantized::per_channel(&elements, &weight.shape, part.axis());
        let error = quantized.relative_error(&elements);
        let lookups = lookups(&artifact, &weight, &uses);
        let codes_name = artifact.fresh_name(&format!("{}_int8", weight.name));
        let scale_name = artifact.fresh_name(&format!("{}_scale", weight.name));
        let codes = Stored::smallest(&codes_name, &weight.shape, &quantized.codes);
        let by_operator = opset >= SCALE_PER_CHANNEL && lookups.is_none();
        let channels = quantized.scales.len();
        let scale_shape = if by_operator { vec![channels] } else { broadcasting(&weight, part.axis()) };
        let scales = Stored::dense(&scale_name, &scale_shape, &quantized.scales);
        let mut bytes_after = codes.size() + scales.size();
        if bytes_after >= bytes_before {
            skipped.push(Skipped::new(weight.name, "it would not become smaller"));
            continue;
        }
        let how = if codes.is_sparse() { " without its zeros" } else { "" };
        let what = format!(
            "FP32 {:?} to INT8{how} with {channels} scales, RMS error {:.2} %",
            weight.shape,
            100.0 * error
        );
        artifact.remove(&weight.name);
        artifact.store(codes);
        artifact.store(scales);
        match lookups {
            Some(nodes) => {
                for index in nodes {
                    bytes_after += convert_found(&mut artifact, index, &codes_name, &scale_name);
                }
            }
            None => {
                let nodes = conversion(&mut artifact, &weight, part.axis(), &codes_name, &scale_name);
                for node in nodes {
                    bytes_after += node.encoded_len();
                    artifact.add_first(node);
                }
            }
        }
        changes.push(Change { tensor: weight.name, what, bytes_before, bytes_after });
    }
    if changes.is_empty() {
        return Err(nothing_done("no weights can be stored as INT8", &skipped));
    }
    Ok(Compressed { model: artifact.finish(), changes, skipped })
}

/// The shape in which scales broadcast along `axis` of a weight.
fn broadcasting(weight: &Weight, axis: usize) -> Vec<usize> {
    let lengths = weight.shape.iter().enumerate();
    lengths.map(|(index, &length)| if index == axis { length } else { 1 }).collect()
}

/// The nodes that make a weight from its codes and scales.
fn conversion(
    artifact: &mut Artifact,
    weight: &Weight,
    axis: usize,
    codes: &str,
    scales: &str,
) -> Vec<NodeProto> {
    let name = weight.name.as_str();
    if artifact.opset() >= SCALE_PER_CHANNEL {
        let label = format!("{name}_dequantize");
        return vec![node("DequantizeLinear", &label, &[codes, scales], name, &[("axis", axis as i64)])];
    }
    let floats = artifact.fresh_name(&format!("{codes}_float"));
    let scaling = node("Mul", &format!("{name}_dequantize"), &[&floats, scales], name, &[]);
    vec![cast(codes, &floats), scaling]
}

/// Looks up in the codes and in the scales, and multiplies what was found. Gives the bytes that takes in the file.
fn convert_found(artifact: &mut Artifact, index: usize, codes: &str, scales: &str) -> usize {
    let lookup = artifact.redirect_lookup(index, codes);
    let mut of_scales = artifact.nodes()[index].clone();
    let [floats, scale] =
        ["float", "scale"].map(|what| artifact.fresh_name(&format!("{}_{what}", lookup.found)));
    of_scales.name = Some(format!("{scale}_lookup"));
    of_scales.output = vec![scale.clone()];
    if let Some(table) = of_scales.input.first_mut() {
        scales.clone_into(table);
    }
    let label = format!("{}_dequantize", lookup.output);
    let nodes = [
        of_scales,
        cast(&lookup.found, &floats),
        node("Mul", &label, &[&floats, &scale], &lookup.output, &[]),
    ];
    let size = nodes.iter().map(Message::encoded_len).sum();
    nodes.into_iter().for_each(|node| artifact.add_after(index, node));
    size
}
