//! Nodes whose inputs are all known are computed at load.

use mlops_core::Result;

use crate::engine::onnx::graph::{Domain, Graph};
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::{self, Context, Source};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::parallel::Threads;

/// Results larger than this are left to be computed: a small file must not become a large model.
const LARGEST: usize = 1 << 24;

/// Replaces nodes by constants where everything they read is one. A node that fails is left to fail at run time.
pub(super) fn fold_constants(graph: &mut Graph) -> Result<()> {
    let mut memory = Memory::bounded(LARGEST * size_of::<i64>());
    let threads = Threads::single();
    let nodes = std::mem::take(&mut graph.nodes);
    for node in nodes {
        let known = node.reads().all(|value| graph.constants.contains_key(&value));
        if !known || !foldable(&node) {
            graph.nodes.push(node);
            continue;
        }
        let operator = ops::build(&Source { node: &node, graph })?;
        let inputs = node.inputs.iter().map(|value| graph.constant(*value).cloned().map(Value::Tensor));
        let mut inputs: Vec<Option<Value>> = inputs.collect();
        let mut context = Context { threads: &threads, memory: &mut memory };
        let outputs = match operator.run(&mut Inputs::new(&mut inputs), &mut context) {
            Ok(outputs) => outputs,
            Err(_) => {
                graph.nodes.push(node);
                continue;
            }
        };
        let tensors: Option<Vec<_>> = outputs
            .into_iter()
            .map(|value| match value {
                Value::Tensor(tensor) if tensor.len() <= LARGEST => Some(tensor),
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

/// Whether the node gives the same each time, and has no graphs inside.
fn foldable(node: &crate::engine::onnx::graph::Node) -> bool {
    const RANDOM: [&str; 6] = [
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
    ];
    let random = node.domain == Domain::Onnx && RANDOM.contains(&&*node.operator);
    let has_graphs = !node.captured.is_empty()
        || node.attributes.contains("body")
        || node.attributes.contains("then_branch");
    !random && !has_graphs
}
