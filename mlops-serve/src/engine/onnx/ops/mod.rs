//! Operators: what a node computes, on the processor.
//!
//! Each family has its file or folder and a table of [`Entry`]s; [`build`] finds the entry of a node.
//! An operator is built once, at load, where it parses its attributes and prepares constant inputs (weights are
//! packed here); its [`run`](Operator::run) is called for each request.

mod activation;
mod arithmetic;
mod attention;
mod blocked;
mod control;
mod convolution;
mod elementwise;
mod floats;
mod fused;
mod indexing;
mod layout;
mod linear;
mod loss;
mod ml;
mod normalization;
mod number;
mod pooling;
mod quantization;
mod random;
mod recurrent;
mod reduction;
mod resize;
mod shape;
mod signal;
mod support;
#[cfg(test)]
mod testing;
mod text;
mod vision;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::LazyLock;

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use super::graph::{Attribute, Domain, Graph, Node};
use super::tensor::HostTensor;
use super::value::{Inputs, Value};
use crate::engine::onnx::memory::Memory;
use crate::kernels::parallel::Threads;

/// What a node computes.
pub(crate) trait Operator: fmt::Debug + Send + Sync {
    /// Computes the outputs. Errors say what is wrong with the inputs; the caller adds which node it is.
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs>;

    /// Whether the constant input at that place has been taken in when the operator was built: then a run is not given
    /// it, and it need not stay in memory.
    fn has_taken(&self, _input: usize) -> bool {
        false
    }
}

/// The outputs of an operator, in the order of the specification. Trailing optional ones may be absent.
pub(crate) type Outputs = SmallVec<[Value; 1]>;

/// A single tensor as outputs.
pub(crate) fn one(tensor: HostTensor) -> Result<Outputs> {
    Ok(SmallVec::from_buf([Value::Tensor(tensor)]))
}

/// What an operator may use while it runs.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The threads of the engine.
    pub(crate) threads: &'a Threads,
    /// Where memory for outputs comes from.
    pub(crate) memory: &'a mut Memory,
}

/// What an operator is built from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) node: &'a Node,
    pub(crate) graph: &'a Graph,
}

impl<'a> Source<'a> {
    /// The input at that place, when it is a constant.
    pub(crate) fn constant(&self, index: usize) -> Option<&'a HostTensor> {
        self.graph.constant(self.node.input(index))
    }

    /// Whether the output at that place is asked for.
    pub(crate) fn wants(&self, index: usize) -> bool {
        self.node.output(index).is_some()
    }
}

/// An operator as the tables list it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) domain: Domain,
    pub(crate) name: &'static str,
    /// The first version of the domain's operators whose semantics are implemented.
    pub(crate) since: i64,
    pub(crate) build: Build,
}

pub(crate) type Build = fn(&Source<'_>) -> Result<Box<dyn Operator>>;

/// An operator of the default domain.
pub(crate) const fn onnx(name: &'static str, since: i64, build: Build) -> Entry {
    Entry { domain: Domain::Onnx, name, since, build }
}

/// An operator of `ai.onnx.ml`.
pub(crate) const fn ml(name: &'static str, since: i64, build: Build) -> Entry {
    Entry { domain: Domain::Ml, name, since, build }
}

/// An operator of onnxruntime.
pub(crate) const fn microsoft(name: &'static str, build: Build) -> Entry {
    Entry { domain: Domain::Microsoft, name, since: 1, build }
}

/// An operator that rewrites put in.
pub(crate) const fn fused(name: &'static str, build: Build) -> Entry {
    Entry { domain: Domain::Fused, name, since: 1, build }
}

/// Every operator, family by family.
const FAMILIES: &[&[Entry]] = &[
    activation::OPERATORS,
    arithmetic::OPERATORS,
    attention::OPERATORS,
    blocked::OPERATORS,
    control::OPERATORS,
    convolution::OPERATORS,
    fused::OPERATORS,
    indexing::OPERATORS,
    layout::OPERATORS,
    linear::OPERATORS,
    loss::OPERATORS,
    ml::OPERATORS,
    normalization::OPERATORS,
    pooling::OPERATORS,
    quantization::OPERATORS,
    random::OPERATORS,
    recurrent::OPERATORS,
    reduction::OPERATORS,
    resize::OPERATORS,
    shape::OPERATORS,
    signal::OPERATORS,
    text::OPERATORS,
    vision::OPERATORS,
];

/// The newest version of `ai.onnx` whose changes are known; a model written for a later one is refused.
pub(crate) const NEWEST_ONNX: i64 = 28;

/// The newest version of `ai.onnx.ml` whose changes are known.
pub(crate) const NEWEST_ML: i64 = 5;

/// Every operator there is, except those that only rewrites use.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static Entry> {
    FAMILIES.iter().copied().flatten().filter(|entry| entry.domain != Domain::Fused)
}

fn table() -> &'static HashMap<(&'static Domain, &'static str), &'static Entry> {
    static TABLE: LazyLock<HashMap<(&'static Domain, &'static str), &'static Entry>> = LazyLock::new(|| {
        FAMILIES.iter().copied().flatten().map(|entry| ((&entry.domain, entry.name), entry)).collect()
    });
    &TABLE
}

fn find(node: &Node) -> std::result::Result<&'static Entry, String> {
    let (domain, name, opset) = (&node.domain, &node.operator, node.opset);
    let Some(entry) = table().get(&(domain, &**name)) else {
        return Err(format!("there is no operator {domain}.{name}"));
    };
    let newest = match domain {
        Domain::Onnx => NEWEST_ONNX,
        Domain::Ml => NEWEST_ML,
        _ => i64::MAX,
    };
    if opset > newest {
        return Err(format!("operators of {domain} are known up to version {newest}, not {opset}"));
    }
    if opset < entry.since {
        let since = entry.since;
        return Err(format!("{domain}.{name} is supported from version {since} on, not {opset}"));
    }
    Ok(entry)
}

/// What a graph needs and is not there: a line for each operator, with the nodes that ask for it.
pub(crate) fn missing(graph: &Graph) -> Vec<String> {
    let mut nodes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    collect_missing(graph, &mut nodes);
    nodes.into_iter().map(|(what, nodes)| format!("{what} (nodes: {})", shortened(&nodes))).collect()
}

fn collect_missing<'a>(graph: &'a Graph, missing: &mut BTreeMap<String, Vec<&'a str>>) {
    for node in &graph.nodes {
        if let Err(what) = find(node) {
            missing.entry(what).or_default().push(&node.name);
        }
        for (_, attribute) in node.attributes.iter() {
            match attribute {
                Attribute::Graph(graph) => collect_missing(graph, missing),
                Attribute::Graphs(graphs) => graphs.iter().for_each(|graph| collect_missing(graph, missing)),
                _ => {}
            }
        }
    }
}

fn shortened(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// The operator of a node.
pub(crate) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let label = source.node.label();
    let entry = find(source.node).map_err(|what| Error::unsupported(format!("{label}: {what}")))?;
    (entry.build)(source).map_err(|cause| match cause {
        Error::Unsupported { .. } => Error::unsupported(format!("{label}: {cause}")),
        _ => Error::invalid_input(format!("{label}: {cause}")),
    })
}
