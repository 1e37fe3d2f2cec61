//! Which nodes burn can compute.

use mlops_core::Result;

use super::elementwise::{Binary, Clip, Unary, Where};
use super::layout::{Concat, Expand, Gather, Reshape, Slice, Split, Transpose};
use super::network::{Attention, Convolution, LayerNormalization, Linear, MatMul, Pool, Reduce, Softmax};
use super::{DeviceOperator, elementwise};
use crate::engine::onnx::graph::Domain;
use crate::engine::onnx::ops::Source;

/// An operator for the device.
pub(super) struct Lowered {
    pub(super) operator: Box<dyn DeviceOperator>,
    /// Worth the way to the device, whatever its inputs; there is no operator of the processor beside it.
    pub(super) always: bool,
}

/// The operator of a node; `None` where there is none, or its parameters are beyond what burn can do.
pub(super) fn lower(source: &Source<'_>) -> Result<Option<Lowered>> {
    let node = source.node;
    let attributes = &node.attributes;
    fn light(operator: impl DeviceOperator + 'static) -> Option<Lowered> {
        Some(Lowered { operator: Box::new(operator), always: false })
    }
    fn heavy(operator: impl DeviceOperator + 'static) -> Option<Lowered> {
        Some(Lowered { operator: Box::new(operator), always: true })
    }
    let constant_weights = source.constant(1).is_some_and(|weights| weights.elements::<f32>().is_ok());
    Ok(match (&node.domain, &*node.operator) {
        (Domain::Fused, "Linear") if constant_weights => heavy(Linear::new(attributes)?),
        (Domain::Fused, "Conv") | (Domain::Onnx, "Conv") if constant_weights => {
            Convolution::new(source)?.and_then(heavy)
        }
        (Domain::Fused, "Attention") => Attention::new(attributes)?.and_then(light),
        (Domain::Fused, "Activation") => light(Unary::new(elementwise::activation(attributes)?)),
        (Domain::Onnx, name) => match name {
            "MatMul" => light(MatMul),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" if node.opset >= 7 => Binary::named(name).and_then(light),
            "Where" => light(Where),
            "Clip" => Clip::new(source)?.and_then(light),
            "Softmax" | "LogSoftmax" if node.opset >= 13 => light(Softmax::new(source)?),
            "LayerNormalization" if node.output(1).is_none() => {
                LayerNormalization::new(source)?.and_then(light)
            }
            "MaxPool" | "AveragePool" | "GlobalAveragePool" if node.output(1).is_none() => {
                Pool::new(source)?.and_then(light)
            }
            "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" => Reduce::new(source)?.and_then(light),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => light(Reshape::new(source)?),
            "Transpose" => light(Transpose::new(attributes)?),
            "Concat" => light(Concat::new(attributes)?),
            "Expand" => light(Expand),
            "Slice" if node.opset >= 10 => light(Slice),
            "Split" if node.opset >= 13 => light(Split::new(source)?),
            "Gather" => light(Gather::new(source)?),
            _ => elementwise::function(node)?.map(Unary::new).and_then(light),
        },
        _ => None,
    })
}
