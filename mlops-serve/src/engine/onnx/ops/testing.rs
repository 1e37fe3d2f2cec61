//! One operator at a time, for tests.

use mlops_core::Result;

use super::{Context, Source, build};
use crate::engine::onnx::graph::{Attribute, Attributes, Domain, Graph, Node};
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::tensor::HostTensor;
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::parallel::Threads;

/// The outputs of an operator of that domain and version, all given inputs being known only when it runs.
pub(super) fn outputs(
    (domain, operator, opset): (&str, &str, i64),
    attributes: impl IntoIterator<Item = (&'static str, Attribute)>,
    inputs: impl IntoIterator<Item = Option<HostTensor>>,
    wanted: usize,
) -> Result<Vec<HostTensor>> {
    let mut inputs: Vec<Option<Value>> = inputs.into_iter().map(|input| input.map(Value::Tensor)).collect();
    let mut graph = Graph::default();
    let mut named = Attributes::default();
    for (name, attribute) in attributes {
        named.insert(name, attribute);
    }
    let node = Node {
        name: "tested".into(),
        domain: Domain::parse(domain),
        operator: operator.into(),
        opset,
        inputs: inputs.iter().map(|input| input.as_ref().map(|_| graph.add_value("", None))).collect(),
        outputs: (0..wanted).map(|_| Some(graph.add_value("", None))).collect(),
        attributes: named,
        captured: Vec::new(),
    };
    let operator = build(&Source { node: &node, graph: &graph })?;
    let mut context = Context { threads: &Threads::single(), memory: &mut Memory::default() };
    let outputs = operator.run(&mut Inputs::new(&mut inputs), &mut context)?;
    let tensors = outputs.into_iter().filter_map(|value| match value {
        Value::Tensor(tensor) => Some(tensor),
        _ => None,
    });
    Ok(tensors.collect())
}

/// The only output.
pub(super) fn output(
    operator: (&str, &str, i64),
    attributes: impl IntoIterator<Item = (&'static str, Attribute)>,
    inputs: impl IntoIterator<Item = Option<HostTensor>>,
) -> Result<HostTensor> {
    Ok(outputs(operator, attributes, inputs, 1)?.remove(0))
}

/// The outputs of an operator that rewrites put in; the inputs whose numbers are in `constants` are known at load.
pub(super) fn fused(
    operator: &str,
    attributes: impl IntoIterator<Item = (&'static str, Attribute)>,
    inputs: impl IntoIterator<Item = Option<HostTensor>>,
    constants: &[usize],
    wanted: usize,
) -> Result<Vec<HostTensor>> {
    let mut graph = Graph::default();
    let mut named = Attributes::default();
    for (name, attribute) in attributes {
        named.insert(name, attribute);
    }
    let inputs: Vec<Option<HostTensor>> = inputs.into_iter().collect();
    let ids = inputs.iter().enumerate().map(|(index, input)| match input {
        Some(tensor) if constants.contains(&index) => Some(graph.add_constant("", tensor.clone())),
        Some(_) => Some(graph.add_value("", None)),
        None => None,
    });
    let node = Node {
        name: "tested".into(),
        domain: Domain::Fused,
        operator: operator.into(),
        opset: 1,
        inputs: ids.collect(),
        outputs: (0..wanted).map(|_| Some(graph.add_value("", None))).collect(),
        attributes: named,
        captured: Vec::new(),
    };
    let operator = build(&Source { node: &node, graph: &graph })?;
    let mut context = Context { threads: &Threads::single(), memory: &mut Memory::default() };
    let mut values: Vec<Option<Value>> = inputs.into_iter().map(|input| input.map(Value::Tensor)).collect();
    let outputs = operator.run(&mut Inputs::new(&mut values), &mut context)?;
    let tensors = outputs.into_iter().filter_map(|value| match value {
        Value::Tensor(tensor) => Some(tensor),
        _ => None,
    });
    Ok(tensors.collect())
}
