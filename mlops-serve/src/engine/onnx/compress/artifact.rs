//! A model's messages, opened for changes to its constants.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use mlops_core::{Error, Result};
use prost::Message;

use super::storage::Stored;
use crate::engine::onnx::decode::{self, ExternalData};
use crate::engine::onnx::graph::Domain;
use crate::engine::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, attribute_type,
};
use crate::engine::onnx::tensor::HostTensor;

/// The version of the format from which constants need not be listed as inputs.
const FREE_CONSTANTS: i64 = 4;

/// The version of the format from which constants can be stored sparsely.
const SPARSE_CONSTANTS: i64 = 6;

/// A model under change. Nodes keep their number until [`finish`](Self::finish).
#[derive(Debug)]
pub(super) struct Artifact {
    model: ModelProto,
    graph: GraphProto,
    opset: i64,
    names: HashSet<String>,
    places: HashMap<String, Place>,
    /// New nodes, before all others.
    first: Vec<NodeProto>,
    /// New nodes, each right after the node of that number.
    after: HashMap<usize, Vec<NodeProto>>,
}

/// Where a constant is stored.
#[derive(Debug, Clone, Copy)]
enum Place {
    Dense(usize),
    Sparse(usize),
    Node(usize),
}

/// One reading of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// By the input of that number of the node of that number.
    Input(usize, usize),
    /// By a graph inside the node of that number.
    Inside(usize),
    /// By whoever calls the model: it is an output.
    Caller,
}

/// A lookup in another table than before.
#[derive(Debug)]
pub(super) struct Lookup {
    /// What it gives now.
    pub(super) found: String,
    /// What it gave before.
    pub(super) output: String,
}

impl Artifact {
    /// Opens a model that the engine would read.
    pub(super) fn open(model: &[u8]) -> Result<Self> {
        let bytes = Bytes::copy_from_slice(model);
        decode::decode(&bytes, &ExternalData::default())?; // every tensor, name and graph is sound from here on
        let mut model = decode::parse(&bytes)?;
        let graph = model.graph.take().unwrap_or_default();
        let imports = model.opset_import.iter();
        let default = |domain: &str| Domain::parse(domain) == Domain::Onnx;
        let opset = imports
            .filter(|import| default(import.domain.as_deref().unwrap_or_default()))
            .find_map(|import| import.version)
            .unwrap_or(1);
        let redefined = |domain: &Option<String>| default(domain.as_deref().unwrap_or_default());
        if model.functions.iter().any(|function| redefined(&function.domain)) {
            return Err(Error::unsupported(
                "the model redefines operators of ai.onnx, so that their meaning is open",
            ));
        }
        let mut names = HashSet::new();
        collect_names(&graph, &mut names);
        let places = places(&graph);
        Ok(Self { model, graph, opset, names, places, first: Vec::new(), after: HashMap::new() })
    }

    /// The bytes of the changed model.
    pub(super) fn finish(self) -> Bytes {
        let Self { mut model, mut graph, first, mut after, .. } = self;
        let mut nodes = first;
        for (index, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
            if node.op_type.is_some() {
                nodes.push(node);
            }
            nodes.extend(after.remove(&index).unwrap_or_default());
        }
        graph.node = nodes;
        graph.initializer.retain(|tensor| tensor.data_type.is_some());
        graph.sparse_initializer.retain(|tensor| tensor.values.is_some());
        model.graph = Some(graph);
        model.encode_to_vec().into()
    }

    /// The version of the default operators.
    pub(super) fn opset(&self) -> i64 {
        self.opset
    }

    /// The nodes of the model, without those added since.
    pub(super) fn nodes(&self) -> &[NodeProto] {
        &self.graph.node
    }

    pub(super) fn node_mut(&mut self, index: usize) -> &mut NodeProto {
        &mut self.graph.node[index]
    }

    /// The names of all constants, in the order of the file.
    pub(super) fn constants(&self) -> Vec<String> {
        let dense = self.graph.initializer.iter().map(|tensor| &tensor.name);
        let sparse = self.graph.sparse_initializer.iter();
        let sparse = sparse.filter_map(|tensor| Some(&tensor.values.as_ref()?.name));
        let nodes = self.graph.node.iter().filter(|node| is_constant(node));
        let named = dense.chain(sparse).flatten().chain(nodes.filter_map(|node| node.output.first()));
        named.cloned().collect()
    }

    /// The elements of a constant. `None` when there is no constant of that name, or none of a plain type.
    pub(super) fn constant(&self, name: &str) -> Option<HostTensor> {
        let read = match self.places.get(name)? {
            Place::Dense(index) => decode::tensor(self.graph.initializer[*index].clone()),
            Place::Sparse(index) => decode::dense(self.graph.sparse_initializer[*index].clone()),
            Place::Node(index) => return constant(&self.graph.node[*index]),
        };
        read.ok()
    }

    /// The elements of a constant of type FP32.
    pub(super) fn floats(&self, name: &str) -> Option<Vec<f32>> {
        self.constant(name)?.into_elements().ok()
    }

    /// The shape of a constant of type FP32.
    pub(super) fn shape_of_floats(&self, name: &str) -> Option<Vec<usize>> {
        use crate::engine::onnx::proto::data_type::FLOAT;
        let (tensor, dims) = match self.places.get(name)? {
            Place::Dense(index) => {
                let tensor = &self.graph.initializer[*index];
                (tensor, &tensor.dims)
            }
            Place::Sparse(index) => {
                let tensor = &self.graph.sparse_initializer[*index];
                (tensor.values.as_ref()?, &tensor.dims)
            }
            Place::Node(index) => {
                let tensor = value_of(&self.graph.node[*index])?;
                (tensor, &tensor.dims)
            }
        };
        let dims = dims.iter().map(|&length| usize::try_from(length).ok());
        if tensor.data_type == Some(FLOAT) { dims.collect() } else { None }
    }

    /// How many bytes of the file a constant takes.
    pub(super) fn size_of(&self, name: &str) -> usize {
        match self.places.get(name) {
            Some(Place::Dense(index)) => self.graph.initializer[*index].encoded_len(),
            Some(Place::Sparse(index)) => self.graph.sparse_initializer[*index].encoded_len(),
            Some(Place::Node(index)) => self.graph.node[*index].encoded_len(),
            None => 0,
        }
    }

    /// Whether a constant is stored sparsely.
    pub(super) fn is_sparse(&self, name: &str) -> bool {
        matches!(self.places.get(name), Some(Place::Sparse(_)))
    }

    /// Who reads each value.
    pub(super) fn uses(&self) -> HashMap<String, Vec<Use>> {
        let mut uses: HashMap<String, Vec<Use>> = HashMap::new();
        let mut add = |name: &String, reading| uses.entry(name.clone()).or_default().push(reading);
        for (index, node) in self.graph.node.iter().enumerate() {
            for (input, name) in node.input.iter().enumerate() {
                add(name, Use::Input(index, input));
            }
            let mut inside = HashSet::new();
            for graph in graphs_of(node) {
                collect_names(graph, &mut inside);
            }
            inside.iter().for_each(|name| add(name, Use::Inside(index)));
        }
        for output in self.graph.output.iter().filter_map(|output| output.name.as_ref()) {
            add(output, Use::Caller);
        }
        uses
    }

    /// A name that nothing has yet.
    pub(super) fn fresh_name(&mut self, wish: &str) -> String {
        let mut name = wish.to_owned();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{wish}_{number}");
        }
        name
    }

    /// Takes a constant out, so that a node can give a value of its name.
    pub(super) fn remove(&mut self, name: &str) {
        match self.places.remove(name) {
            Some(Place::Dense(index)) => self.graph.initializer[index] = TensorProto::default(),
            Some(Place::Sparse(index)) => self.graph.sparse_initializer[index] = Default::default(),
            Some(Place::Node(index)) => self.graph.node[index] = NodeProto::default(),
            None => {}
        }
        // Older files list constants as inputs too.
        self.graph.input.retain(|input| name_of(input) != name);
    }

    /// Adds a constant, or puts it in the place of the one of its name.
    pub(super) fn store(&mut self, stored: Stored) {
        self.remove(stored.name());
        let version = match stored {
            Stored::Dense(tensor) => {
                let place = Place::Dense(self.graph.initializer.len());
                self.places.insert(tensor.name.clone().unwrap_or_default(), place);
                self.graph.initializer.push(tensor);
                FREE_CONSTANTS
            }
            Stored::Sparse(tensor) => {
                let name = tensor.values.as_ref().and_then(|values| values.name.clone());
                let place = Place::Sparse(self.graph.sparse_initializer.len());
                self.places.insert(name.unwrap_or_default(), place);
                self.graph.sparse_initializer.push(tensor);
                SPARSE_CONSTANTS
            }
        };
        self.model.ir_version = self.model.ir_version.max(Some(version));
    }

    /// Adds a node before all that are there.
    pub(super) fn add_first(&mut self, node: NodeProto) {
        self.first.push(node);
    }

    /// Adds a node right after the one of that number, and after those added so before.
    pub(super) fn add_after(&mut self, index: usize, node: NodeProto) {
        self.after.entry(index).or_default().push(node);
    }

    /// Lets the `Gather` of that number look up in another table. Its output is free for a node after it to make.
    pub(super) fn redirect_lookup(&mut self, index: usize, table: &str) -> Lookup {
        let output = self.graph.node[index].output.first().cloned().unwrap_or_default();
        let found = self.fresh_name(&format!("{output}_found"));
        let node = &mut self.graph.node[index];
        if let (Some(input), Some(output)) = (node.input.first_mut(), node.output.first_mut()) {
            table.clone_into(input);
            found.clone_into(output);
        }
        Lookup { found, output }
    }

    /// Forgets what the file says about the shapes of values.
    pub(super) fn forget_shapes(&mut self, values: &HashSet<String>) {
        self.graph.value_info.retain(|info| !values.contains(name_of(info)));
    }
}

/// A node of the default operators.
pub(super) fn node(
    operator: &str,
    name: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[(&str, i64)],
) -> NodeProto {
    let attribute = |&(name, value): &(&str, i64)| AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(attribute_type::INT),
        i: Some(value),
        ..AttributeProto::default()
    };
    NodeProto {
        op_type: Some(operator.to_owned()),
        name: Some(name.to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attributes.iter().map(attribute).collect(),
        ..NodeProto::default()
    }
}

/// The operator of a node, when it is one of the default operators.
pub(super) fn operator(node: &NodeProto) -> Option<&str> {
    let default = Domain::parse(node.domain.as_deref().unwrap_or_default()) == Domain::Onnx;
    node.op_type.as_deref().filter(|_| default)
}

/// How messages name a node.
pub(super) fn label(node: &NodeProto) -> String {
    let name = node.name.as_deref().filter(|name| !name.is_empty());
    let name = name.or(node.output.first().map(String::as_str)).unwrap_or_default();
    format!("{} \"{name}\"", node.op_type.as_deref().unwrap_or_default())
}

/// An integer of a node, or the default.
pub(super) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).and_then(|attribute| attribute.i).unwrap_or(default)
}

/// A float of a node, or the default.
pub(super) fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).and_then(|attribute| attribute.f).unwrap_or(default)
}

pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
}

/// The graphs inside a node.
pub(super) fn graphs_of(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs))
}

/// That nothing came of it, and why.
pub(super) fn nothing_done(what: &str, skipped: &[super::Skipped]) -> Error {
    const SHOWN: usize = 5;
    let reasons: Vec<String> = skipped.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = skipped.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let reasons = if reasons.is_empty() { String::new() } else { format!(": {}{more}", reasons.join("; ")) };
    Error::unsupported(format!("{what}{reasons}"))
}

fn name_of(info: &ValueInfoProto) -> &str {
    info.name.as_deref().unwrap_or_default()
}

fn is_constant(node: &NodeProto) -> bool {
    operator(node) == Some("Constant")
}

/// The tensor of a `Constant` node that has one.
fn value_of(node: &NodeProto) -> Option<&TensorProto> {
    attribute(node, "value").and_then(|attribute| attribute.t.as_deref())
}

fn constant(node: &NodeProto) -> Option<HostTensor> {
    if let Some(tensor) = value_of(node) {
        return decode::tensor(tensor.clone()).ok();
    }
    let [attribute] = node.attribute.as_slice() else { return None };
    match attribute.name.as_deref()? {
        "value_float" => attribute.f.map(HostTensor::scalar),
        "value_floats" => Some(HostTensor::vector(attribute.floats.clone())),
        "value_int" => attribute.i.map(HostTensor::scalar),
        "value_ints" => Some(HostTensor::vector(attribute.ints.clone())),
        _ => None,
    }
}

fn places(graph: &GraphProto) -> HashMap<String, Place> {
    let mut places = HashMap::new();
    let dense = graph.initializer.iter().enumerate();
    places.extend(dense.filter_map(|(index, tensor)| Some((tensor.name.clone()?, Place::Dense(index)))));
    for (index, tensor) in graph.sparse_initializer.iter().enumerate() {
        if let Some(name) = tensor.values.as_ref().and_then(|values| values.name.clone()) {
            places.insert(name, Place::Sparse(index));
        }
    }
    let nodes = graph.node.iter().enumerate().filter(|(_, node)| is_constant(node));
    places.extend(nodes.filter_map(|(index, node)| Some((node.output.first()?.clone(), Place::Node(index)))));
    places
}

/// Every name of a graph and the graphs inside it.
fn collect_names(graph: &GraphProto, names: &mut HashSet<String>) {
    let infos = graph.input.iter().chain(&graph.output).filter_map(|info| info.name.clone());
    names.extend(infos);
    names.extend(graph.initializer.iter().filter_map(|tensor| tensor.name.clone()));
    let sparse = graph.sparse_initializer.iter();
    names.extend(sparse.filter_map(|tensor| tensor.values.as_ref()?.name.clone()));
    for node in &graph.node {
        names.extend(node.input.iter().chain(&node.output).chain(&node.name).cloned());
        graphs_of(node).for_each(|graph| collect_names(graph, names));
    }
}
