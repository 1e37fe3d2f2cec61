//! Finding patterns in a graph, and putting one node in the place of several.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::onnx::graph::{Attribute, Domain, Graph, Node, ValueId};
use crate::engine::onnx::tensor::{Data, HostTensor};

/// A graph with what patterns ask about it.
pub(super) struct View<'a> {
    pub(super) graph: &'a Graph,
    producers: HashMap<ValueId, usize>,
    uses: HashMap<ValueId, usize>,
}

impl<'a> View<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        let mut uses: HashMap<ValueId, usize> = HashMap::new();
        for value in graph.nodes.iter().flat_map(Node::reads).chain(graph.outputs.iter().copied()) {
            *uses.entry(value).or_default() += 1;
        }
        Self { graph, producers: graph.producers(), uses }
    }

    /// The node that makes a value.
    pub(super) fn maker(&self, value: Option<ValueId>) -> Option<&'a Node> {
        self.producers.get(&value?).map(|&index| &self.graph.nodes[index])
    }

    /// The node that makes a value, if it is that operator and nobody else reads the value.
    pub(super) fn sole(&self, value: Option<ValueId>, operator: &str) -> Option<&'a Node> {
        self.maker(value).filter(|node| node.is(operator) && self.uses(value) == 1)
    }

    /// How often a value is read; once more if it is an output of the graph.
    pub(super) fn uses(&self, value: Option<ValueId>) -> usize {
        value.and_then(|value| self.uses.get(&value)).copied().unwrap_or(0)
    }

    /// A constant.
    pub(super) fn constant(&self, value: Option<ValueId>) -> Option<&'a HostTensor> {
        self.graph.constant(value)
    }

    /// The elements of a constant of type FP32.
    pub(super) fn floats(&self, value: Option<ValueId>) -> Option<&'a [f32]> {
        self.constant(value)?.elements().ok()
    }

    /// A constant of one element, of any float type.
    pub(super) fn scalar(&self, value: Option<ValueId>) -> Option<f32> {
        let constant = self.constant(value)?;
        match constant.data() {
            Data::F32(elements) if elements.len() == 1 => Some(elements[0]),
            _ => None,
        }
    }

    /// The two inputs of a commutative operator: the constant one last, if there is one.
    pub(super) fn operands(&self, node: &Node) -> (Option<ValueId>, Option<ValueId>) {
        let (a, b) = (node.input(0), node.input(1));
        if self.constant(a).is_some() { (b, a) } else { (a, b) }
    }

    /// The factors of a product, however it is put together. A division by a constant counts as its reciprocal.
    pub(super) fn factors(&self, node: &'a Node) -> Factors {
        let mut factors = Factors { constant: 1.0, values: Vec::new() };
        self.collect_factors(node, &mut factors);
        factors
    }

    fn collect_factors(&self, node: &'a Node, factors: &mut Factors) {
        if node.is("Div")
            && let Some(divisor) = self.scalar(node.input(1))
        {
            factors.constant /= divisor;
            return self.collect_factor(node.input(0), factors);
        }
        if node.is("Mul") {
            self.collect_factor(node.input(0), factors);
            return self.collect_factor(node.input(1), factors);
        }
        factors.values.extend(node.output(0));
    }

    fn collect_factor(&self, value: Option<ValueId>, factors: &mut Factors) {
        if let Some(constant) = self.scalar(value) {
            factors.constant *= constant;
        } else if let Some(node) = self.sole(value, "Mul").or_else(|| self.sole(value, "Div"))
            && (node.is("Mul") || self.scalar(node.input(1)).is_some())
        {
            self.collect_factors(node, factors);
        } else {
            factors.values.extend(value);
        }
    }
}

/// A product.
#[derive(Debug)]
pub(super) struct Factors {
    pub(super) constant: f32,
    pub(super) values: Vec<ValueId>,
}

impl Factors {
    /// Whether the constant factor is about that.
    pub(super) fn constant_is(&self, expected: f32) -> bool {
        (self.constant - expected).abs() <= expected.abs() * 1e-4
    }
}

/// What takes the place of the node that made its output.
pub(super) struct Replacement {
    node: Node,
    constants: Vec<(Arc<str>, HostTensor)>,
    /// Inputs from this number on are the new constants, in order.
    first_new: usize,
}

impl Replacement {
    /// A node in the place of `root`, with its first output.
    pub(super) fn new(
        view: &View<'_>,
        root: &Node,
        domain: Domain,
        operator: &str,
        inputs: impl IntoIterator<Item = Option<ValueId>>,
    ) -> Self {
        let node = Node {
            name: Arc::clone(&root.name),
            domain,
            operator: operator.into(),
            opset: root.opset,
            inputs: inputs.into_iter().collect(),
            outputs: vec![root.output(0)],
            attributes: Default::default(),
            captured: Vec::new(),
        };
        Self { node, constants: Vec::new(), first_new: view.graph.values.len() }
    }

    /// The version of the operators the new node is written for, when it is not that of the model.
    pub(super) fn set_opset(&mut self, opset: i64) {
        self.node.opset = opset;
    }

    pub(super) fn with_attribute(mut self, name: &'static str, attribute: Attribute) -> Self {
        self.node.attributes.insert(name, attribute);
        self
    }

    /// All parameters of another node.
    pub(super) fn with_attributes_of(mut self, node: &Node) -> Self {
        self.node.attributes = node.attributes.clone();
        self
    }

    /// A new constant as the input at that place.
    pub(super) fn with_constant(mut self, index: usize, name: &str, tensor: HostTensor) -> Self {
        let id = ValueId(self.first_new + self.constants.len());
        self.constants.push((format!("{}/{name}", self.node.name).into(), tensor));
        while self.node.inputs.len() <= index {
            self.node.inputs.push(None);
        }
        self.node.inputs[index] = Some(id);
        self
    }
}

/// Replaces nodes until nothing changes. Returns whether anything did.
///
/// The rewrite gets a node that may be the last of its pattern. What the pattern made on the way is dropped when
/// nobody else needs it. Every value keeps its meaning, whoever makes it, so replacements may overlap.
pub(super) fn replace(graph: &mut Graph, rewrite: impl Fn(&View<'_>, &Node) -> Option<Replacement>) -> bool {
    let mut changed = false;
    loop {
        let mut replacements: Vec<(usize, Replacement)> = Vec::new();
        let view = View::new(graph);
        for (index, node) in graph.nodes.iter().enumerate() {
            replacements.extend(rewrite(&view, node).map(|replacement| (index, replacement)));
        }
        if replacements.is_empty() {
            return changed;
        }
        changed = true;
        for (index, mut replacement) in replacements {
            let new: Vec<ValueId> = std::mem::take(&mut replacement.constants)
                .into_iter()
                .map(|(name, tensor)| graph.add_constant(name, tensor))
                .collect();
            for input in replacement.node.inputs.iter_mut().flatten() {
                if let Some(place) = input.0.checked_sub(replacement.first_new) {
                    *input = new[place];
                }
            }
            graph.nodes[index] = replacement.node;
        }
        graph.remove_unused();
    }
}
