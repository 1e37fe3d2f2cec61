//! Nodes that do nothing are taken out.

use std::collections::HashMap;

use crate::engine::onnx::graph::{Graph, Node, ValueId};

/// Readers of the result of an identity read its input instead.
pub(super) fn remove_identities(graph: &mut Graph) -> bool {
    let mut same: HashMap<ValueId, ValueId> = HashMap::new();
    for node in &graph.nodes {
        if let (true, Some(input), Some(output)) = (does_nothing(node), node.input(0), node.output(0)) {
            // An output of the graph keeps its node, for it keeps its name.
            if !graph.outputs.contains(&output) {
                same.insert(output, *same.get(&input).unwrap_or(&input));
            }
        }
    }
    if same.is_empty() {
        return false;
    }
    for node in &mut graph.nodes {
        for value in node.inputs.iter_mut().flatten().chain(&mut node.captured) {
            *value = *same.get(value).unwrap_or(value);
        }
    }
    graph.remove_unused();
    true
}

fn does_nothing(node: &Node) -> bool {
    let dropout =
        node.is("Dropout") && node.output(1).is_none() && node.input(2).is_none() && node.opset >= 7;
    node.is("Identity") || dropout
}
