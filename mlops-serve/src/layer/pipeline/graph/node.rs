//! A model with a place in a graph.

use std::fmt;
use std::sync::Arc;

use mlops_core::{Model, TensorSpec};

/// A model with a name, and with what its tensors are called in a [`Graph`](super::Graph).
///
/// An input or output that is not mentioned has the same name in the graph.
#[derive(Debug)]
#[must_use]
pub struct Node {
    pub(super) name: Arc<str>,
    pub(super) model: Arc<dyn Model>,
    pub(super) inputs: Vec<(String, String)>,
    pub(super) outputs: Vec<(String, String)>,
    pub(super) may_fail: bool,
}

impl Node {
    /// `model`, by that name in errors. All its tensors keep their names.
    pub fn new(name: impl Into<Arc<str>>, model: impl Model) -> Self {
        let (inputs, outputs) = (Vec::new(), Vec::new());
        Self { name: name.into(), model: Arc::new(model), inputs, outputs, may_fail: false }
    }

    /// The model's `input` is the graph's `tensor`. Several inputs may be the same tensor.
    pub fn with_input(mut self, input: impl Into<String>, tensor: impl Into<String>) -> Self {
        put(&mut self.inputs, input.into(), tensor.into());
        self
    }

    /// The model's `output` is the graph's `tensor`.
    pub fn with_output(mut self, output: impl Into<String>, tensor: impl Into<String>) -> Self {
        put(&mut self.outputs, output.into(), tensor.into());
        self
    }

    /// Goes on without the node's outputs when it fails in a way that is not the caller's fault, and logs a warning.
    /// So its outputs are optional, and only optional inputs can take them. A node that hangs has not failed: give it a
    /// time-out.
    pub fn may_fail(mut self) -> Self {
        self.may_fail = true;
        self
    }

    /// What the model's input is called in the graph, and whether that was said.
    pub(super) fn input<'a>(&'a self, input: &'a str) -> (&'a str, bool) {
        look_up(&self.inputs, input)
    }

    /// What the model's output is called in the graph.
    pub(super) fn output<'a>(&'a self, output: &'a str) -> &'a str {
        look_up(&self.outputs, output).0
    }

    /// What its inputs are called in the graph.
    pub(super) fn taken(&self) -> impl Iterator<Item = &str> {
        self.model.signature().inputs().iter().map(|spec| self.input(spec.name()).0)
    }

    /// What its outputs are called in the graph.
    pub(super) fn given(&self) -> impl Iterator<Item = &str> {
        self.model.signature().outputs().iter().map(|spec| self.output(spec.name()))
    }

    /// The same, with every output called `NODE/OUTPUT`.
    pub(super) fn with_own_outputs(mut self) -> Self {
        let specs = self.model.signature().outputs();
        let own = |spec: &TensorSpec| format!("{}/{}", self.name, self.output(spec.name()));
        self.outputs = specs.iter().map(|spec| (spec.name().to_owned(), own(spec))).collect();
        self
    }
}

/// ``node `name` ``
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node `{}`", self.name)
    }
}

fn put(names: &mut Vec<(String, String)>, own: String, tensor: String) {
    names.retain(|(known, _)| *known != own);
    names.push((own, tensor));
}

fn look_up<'a>(names: &'a [(String, String)], own: &'a str) -> (&'a str, bool) {
    names.iter().find(|(known, _)| known == own).map_or((own, false), |(_, tensor)| (tensor, true))
}
