//! Nodes whose inputs are all known are computed at load.

use mlops_core::Result;

use crate::engine::onnx::graph::{Graph, Node};
use crate::engine::onnx::limits::{self, Limits};
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::{self, Context, Source};
use crate::engine::onnx::tensor::HostTensor;
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::parallel::Threads;

/// The most elements of all results together, beyond as many as the constants of the file have; what is more is left to
/// be computed. A small file must not become a large model.
const ROOM: usize = 1 << 24;

/// The most elements of the inputs of a node that computes more than it reads.
const FEW: usize = 1 << 12;

/// Replaces nodes by constants where everything they read is one. A node that fails is left to fail at run time.
pub(super) fn fold_constants(graph: &mut Graph) -> Result<()> {
    let mut room = graph.constants.values().map(HostTensor::len).fold(ROOM, usize::saturating_add);
    let largest = graph.largest_constant().max(ROOM);
    let mut memory = Memory::bounded(largest.saturating_mul(size_of::<i64>()));
    let threads = Threads::single();
    let nodes = std::mem::take(&mut graph.nodes);
    for node in nodes {
        let known = node.reads().all(|value| graph.constants.contains_key(&value));
        if !known || !foldable(&node) || !is_cheap(&node, graph) {
            graph.nodes.push(node);
            continue;
        }
        let operator = ops::build(&Source { node: &node, graph })?;
        let inputs = node.inputs.iter().map(|value| graph.constant(*value).cloned().map(Value::Tensor));
        let mut inputs: Vec<Option<Value>> = inputs.collect();
        let mut context = Context { threads: &threads, memory: &mut memory };
        let limits = Limits { elements: room.min(largest), time: None };
        let run = || operator.run(&mut Inputs::new(&mut inputs), &mut context);
        let Ok(outputs) = limits::within(limits, run) else {
            graph.nodes.push(node);
            continue;
        };
        let tensors: Option<Vec<_>> = outputs
            .into_iter()
            .map(|value| match value {
                Value::Tensor(tensor) => {
                    room = room.checked_sub(tensor.len())?;
                    Some(tensor)
                }
                _ => None,
            })
            .collect();
        match tensors {
            Some(tensors) => {
                let outputs = node.outputs.iter().zip(tensors);
                graph.constants.extend(outputs.filter_map(|(id, tensor)| Some(((*id)?, tensor))));
            }
            None => graph.nodes.push(node),
        }
    }
    Ok(())
}

/// Whether the node takes little time for what it reads, so that no small file takes long to load.
fn is_cheap(node: &Node, graph: &Graph) -> bool {
    const COMPUTING: [&str; 16] = [
        "Attention",
        "Conv",
        "DFT",
        "Det",
        "Einsum",
        "GRU",
        "Gemm",
        "GridSample",
        "LRN",
        "LSTM",
        "MatMul",
        "NonMax",
        "Pool",
        "RNN",
        "Resize",
        "RoiAlign",
    ];
    let read = node.reads().filter_map(|value| graph.constant(Some(value))).map(HostTensor::len);
    !COMPUTING.iter().any(|part| node.operator.contains(part)) || read.fold(0, usize::saturating_add) <= FEW
}

/// Whether the node gives the same each time, and has no graphs inside.
fn foldable(node: &Node) -> bool {
    let has_graphs = !node.captured.is_empty()
        || node.attributes.contains("body")
        || node.attributes.contains("then_branch");
    !node.is_random() && !has_graphs
}
