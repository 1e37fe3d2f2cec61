//! A graph inside a node, ready to run.

use std::sync::{Mutex, PoisonError};

use mlops_core::{Error, Result};

use crate::engine::onnx::graph::{Kind, ValueId};
use crate::engine::onnx::ops::{self, Context, Source};
use crate::engine::onnx::plan::{Plan, Workspace};
use crate::engine::onnx::value::{Inputs, Value};

/// The graph of an attribute.
///
/// Besides its own inputs it reads values of the graphs around it. The node has these as further inputs behind its
/// own, and so does the plan.
#[derive(Debug)]
pub(super) struct Body {
    plan: Plan,
    /// What the file says of each input of its own.
    inputs: Vec<Option<Kind>>,
    /// What the file says of each output.
    outputs: Vec<Option<Kind>>,
    /// Which inputs of the node follow the graph's own.
    captured: Vec<usize>,
    /// Memory that no call uses at the moment.
    workspaces: Mutex<Vec<Workspace>>,
}

impl Body {
    /// Plans the graph of that attribute.
    pub(super) fn new(source: &Source<'_>, attribute: &str) -> Result<Self> {
        let node = source.node;
        let graph = node.attributes.graph(attribute)?;
        let graph = graph
            .cloned()
            .ok_or_else(|| Error::invalid_input(format!("the graph `{attribute}` is missing")))?;
        let captured = graph.captures.iter().map(|(index, _)| node.inputs.len() + index).collect();
        let kinds = |ids: &[ValueId]| ids.iter().map(|id| graph.values[id.0].kind.clone()).collect();
        Ok(Self {
            plan: Plan::new(&graph, &mut ops::build)?,
            inputs: kinds(&graph.inputs),
            outputs: kinds(&graph.outputs),
            captured,
            workspaces: Mutex::default(),
        })
    }

    /// Requires that many inputs and at least that many outputs: a node may leave out its last ones.
    pub(super) fn requires(&self, inputs: usize, outputs: usize) -> Result<()> {
        let (has, gives) = (self.inputs.len(), self.outputs.len());
        if has == inputs && gives >= outputs {
            return Ok(());
        }
        Err(Error::invalid_input(format!(
            "the graph inside has {has} inputs and {gives} outputs, but {inputs} and {outputs} are needed"
        )))
    }

    pub(super) fn inputs(&self) -> &[Option<Kind>] {
        &self.inputs
    }

    pub(super) fn outputs(&self) -> &[Option<Kind>] {
        &self.outputs
    }

    /// Takes what the graph captures out of the inputs of the node.
    pub(super) fn captured(&self, inputs: &mut Inputs<'_>) -> Result<Vec<Value>> {
        self.captured.iter().map(|&index| inputs.take_value(index)).collect()
    }

    /// Computes the outputs.
    pub(super) fn run(
        &self,
        own: impl IntoIterator<Item = Value>,
        captured: &[Value],
        context: &mut Context<'_>,
    ) -> Result<Vec<Value>> {
        let values: Vec<Value> = own.into_iter().chain(captured.iter().cloned()).collect();
        self.compute(values, context)
    }

    /// Computes the outputs; captured values that nobody else needs are free to be changed.
    pub(super) fn run_once(
        &self,
        own: impl IntoIterator<Item = Value>,
        captured: Vec<Value>,
        context: &mut Context<'_>,
    ) -> Result<Vec<Value>> {
        let values: Vec<Value> = own.into_iter().chain(captured).collect();
        self.compute(values, context)
    }

    fn compute(&self, values: Vec<Value>, context: &mut Context<'_>) -> Result<Vec<Value>> {
        let free = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut workspace = free.unwrap_or_default();
        // Inside and outside share their memory.
        std::mem::swap(&mut workspace.memory, context.memory);
        let outputs = self.plan.run(values.into_iter(), &mut workspace, context.threads, None);
        std::mem::swap(&mut workspace.memory, context.memory);
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
        outputs
    }
}
