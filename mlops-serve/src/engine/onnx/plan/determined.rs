//! Which steps compute nothing but shapes.
//!
//! Exported models are full of them: the shape of an input is taken apart, multiplied and put together again to
//! reshape an activation. Their results follow from the shapes of the inputs, so they need to run only once for
//! each combination of shapes.

use crate::engine::onnx::graph::{Attribute, Domain, Graph, Kind, Node, ValueId};

/// What the shapes of the graph's inputs say about a value.
#[derive(Debug, Clone, Copy, Default)]
struct Determined {
    shape: bool,
    elements: bool,
}

/// For each node: whether the elements of its outputs follow from the shapes of the graph's inputs.
pub(super) fn by_shapes(graph: &Graph) -> Vec<bool> {
    let mut values = vec![Determined::default(); graph.values.len()];
    for input in &graph.inputs {
        let tensor = matches!(graph.values[input.0].kind, Some(Kind::Tensor { .. }) | None);
        values[input.0] = Determined { shape: tensor, elements: false };
    }
    for constant in graph.constants.keys() {
        values[constant.0] = Determined { shape: true, elements: true };
    }
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let elements = !is_random(node) && node.captured.is_empty() && elements(node, &values);
        let shape = elements || shape(node, &values);
        for output in node.outputs.iter().flatten() {
            values[output.0] = Determined { shape, elements };
        }
        nodes.push(elements);
    }
    nodes
}

fn elements(node: &Node, values: &[Determined]) -> bool {
    if node.is("Shape") || node.is("Size") {
        return node.reads().all(|value| values[value.0].shape);
    }
    node.reads().all(|value| values[value.0].elements)
}

fn shape(node: &Node, values: &[Determined]) -> bool {
    if !node.captured.is_empty() || has_shape_of_its_own(node) {
        return false;
    }
    let parameters = shape_parameters(node);
    let determined = |(index, value): (usize, &Option<ValueId>)| match value {
        None => true,
        Some(value) if parameters.contains(&index) => values[value.0].elements,
        Some(value) => values[value.0].shape,
    };
    node.inputs.iter().enumerate().all(determined)
}

/// Whether the node, or one of a graph inside it, gives something else each time.
fn is_random(node: &Node) -> bool {
    let inside = node.attributes.iter().any(|(_, attribute)| match attribute {
        Attribute::Graph(graph) => graph.nodes.iter().any(is_random),
        _ => false,
    });
    inside || node.is_random()
}

/// Whether the shape of an output depends on the elements of an input.
fn has_shape_of_its_own(node: &Node) -> bool {
    let name = &*node.operator;
    match node.domain {
        Domain::Onnx => {
            matches!(
                name,
                "NonZero"
                    | "Unique"
                    | "Compress"
                    | "NonMaxSuppression"
                    | "StringSplit"
                    | "If"
                    | "Loop"
                    | "Scan"
                    | "ConcatFromSequence"
                    | "ImageDecoder"
                    | "GatherND"
                    | "TfIdfVectorizer"
            ) || name.contains("Sequence") && name != "ReverseSequence"
                || name.starts_with("Optional")
        }
        Domain::Fused => false,
        Domain::Ml | Domain::Microsoft | Domain::Other(_) => true,
    }
}

/// The inputs whose elements say what shape the output has.
fn shape_parameters(node: &Node) -> &'static [usize] {
    match &*node.operator {
        "Range" | "ConstantOfShape" | "HannWindow" | "HammingWindow" | "BlackmanWindow"
        | "MelWeightMatrix" => &[0, 1, 2, 3, 4],
        "Reshape" | "Expand" | "Tile" | "TopK" | "OneHot" | "Split" | "Squeeze" | "Unsqueeze"
        | "Upsample" | "CenterCropPad" | "AffineGrid" | "RandomNormal" | "DFT" | "STFT" | "Col2Im" => {
            &[1, 2, 3]
        }
        "Slice" | "Pad" | "Resize" | "MaxUnpool" => &[1, 2, 3, 4],
        name if name.starts_with("Reduce") => &[1],
        _ => &[],
    }
}
