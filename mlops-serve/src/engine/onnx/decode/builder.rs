//! Names become numbered values; subgraphs learn what they use from outside; functions are put in place.

use std::collections::HashMap;

use mlops_core::{Error, Result};

use super::ExternalData;
use super::attribute::attribute;
use super::function::Functions;
use super::kind::kind;
use super::tensor::{dense, tensor};
use crate::engine::onnx::graph::{Attribute, Attributes, Domain, Graph, Kind, Node, ValueId};
use crate::engine::onnx::proto::{AttributeProto, GraphProto, NodeProto, SparseTensorProto, ValueInfoProto};
use crate::engine::onnx::tensor::HostTensor;

/// The most bytes that all tensors may have together which the file stores sparsely: a few bytes could declare billions.
pub(crate) const SPARSE_LIMIT: usize = 1 << 28;

/// The most nodes that functions may expand to: a few bytes could declare billions of these too.
const EXPANDED_NODES: usize = 1 << 18;

/// The most bytes, as written in the file, that functions may expand to.
const EXPANDED_BYTES: usize = 1 << 26;

/// The deepest nesting of functions and subgraphs.
const DEPTH_LIMIT: usize = 64;

/// The graph of a model.
pub(super) fn model_graph(
    proto: GraphProto,
    opsets: &[(Domain, i64)],
    functions: &Functions,
    external: &ExternalData,
) -> Result<Graph> {
    let mut scope = Scope {
        functions,
        external,
        frames: Vec::new(),
        calls: vec![Call::new(opsets)],
        nodes_left: EXPANDED_NODES,
        bytes_left: EXPANDED_BYTES,
        sparse_left: SPARSE_LIMIT,
    };
    scope.graph(proto)
}

/// The graphs under construction, outermost first, and the functions being put in place.
pub(super) struct Scope<'a> {
    functions: &'a Functions,
    external: &'a ExternalData,
    frames: Vec<Frame>,
    calls: Vec<Call>,
    /// What functions may still expand to: nodes, and bytes as written in the file.
    nodes_left: usize,
    bytes_left: usize,
    /// The bytes that sparse tensors may still have when they are dense.
    sparse_left: usize,
}

/// A graph under construction.
struct Frame {
    graph: Graph,
    /// The names of values; a function's body has names of its own.
    names: Vec<HashMap<String, ValueId>>,
    /// What the subgraphs of the node under construction use of this graph.
    captured: Vec<ValueId>,
}

/// What holds for the nodes of a function's body, or of the model itself.
struct Call {
    opsets: Vec<(Domain, i64)>,
    /// The parameters of the call, to which attributes in the body may refer.
    attributes: HashMap<String, AttributeProto>,
}

impl Call {
    fn new(opsets: &[(Domain, i64)]) -> Self {
        Self { opsets: opsets.to_vec(), attributes: HashMap::new() }
    }
}

impl<'a> Scope<'a> {
    pub(super) fn external(&self) -> &'a ExternalData {
        self.external
    }

    /// The tensor of a sparse message, and its name.
    pub(super) fn dense(&mut self, proto: SparseTensorProto) -> Result<(String, HostTensor)> {
        dense(proto, self.external, &mut self.sparse_left)
    }

    /// A graph inside a node.
    pub(super) fn subgraph(&mut self, proto: GraphProto) -> Result<Graph> {
        self.graph(proto)
    }

    fn graph(&mut self, proto: GraphProto) -> Result<Graph> {
        if self.frames.len() >= DEPTH_LIMIT {
            return Err(Error::unsupported(format!("graphs are nested more than {DEPTH_LIMIT} deep")));
        }
        self.frames.push(Frame {
            graph: Graph::default(),
            names: vec![HashMap::new()],
            captured: Vec::new(),
        });
        for proto in proto.initializer {
            let name = proto.name.clone().unwrap_or_default();
            let constant = tensor(proto, self.external)?;
            self.define_constant(&name, constant)?;
        }
        for proto in proto.sparse_initializer {
            let (name, constant) = self.dense(proto)?;
            self.define_constant(&name, constant)?;
        }
        let mut kinds = HashMap::new();
        for proto in proto.value_info {
            if let Some((name, Some(kind))) = value_info(proto).ok() {
                kinds.insert(name, kind);
            }
        }
        for proto in proto.input {
            let (name, kind) = value_info(proto)?;
            // Older files list weights as inputs too; with a value of its own it is none.
            let known = self.names().get(&name).copied();
            if known.is_some_and(|id| self.frame().graph.constants.contains_key(&id)) {
                continue;
            }
            let id = self.define(&name, kind)?;
            self.frame().graph.inputs.push(id);
        }
        for proto in proto.node {
            self.node(proto, &kinds)?;
        }
        for proto in proto.output {
            let (name, kind) = value_info(proto)?;
            let id = self.resolve(&name).map_err(|_| {
                Error::invalid_input(format!("the output `{name}` of the graph is made by no node"))
            })?;
            let id = if **self.frame().graph.value_name(id) == *name { id } else { self.renamed(id, &name)? };
            let graph = &mut self.frame().graph;
            if kind.is_some() {
                graph.values[id.0].kind = kind;
            }
            graph.outputs.push(id);
        }
        Ok(self.frames.pop().map(|frame| frame.graph).unwrap_or_default())
    }

    /// A value of that name which is the same as another: what a function gives has the name it has in there.
    fn renamed(&mut self, id: ValueId, name: &str) -> Result<ValueId> {
        let opset = self.opset(&Domain::Onnx)?;
        let graph = &mut self.frame().graph;
        let kind = graph.values[id.0].kind.clone();
        let renamed = graph.add_value(name, kind);
        graph.nodes.push(Node {
            name: name.into(),
            domain: Domain::Onnx,
            operator: "Identity".into(),
            opset,
            inputs: vec![Some(id)],
            outputs: vec![Some(renamed)],
            attributes: Attributes::default(),
            captured: Vec::new(),
        });
        Ok(renamed)
    }

    fn node(&mut self, proto: NodeProto, kinds: &HashMap<String, Kind>) -> Result<()> {
        let domain = Domain::parse(proto.domain.as_deref().unwrap_or_default());
        let operator = proto.op_type.as_deref().unwrap_or_default();
        if self.functions.find(&domain, operator, proto.overload.as_deref()).is_some() {
            return self.call(proto, domain);
        }
        let name = match proto.name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => name,
            None => proto.output.iter().find(|name| !name.is_empty()).map_or("", String::as_str),
        };
        let label = format!("{operator} \"{name}\"");
        let within = |cause: Error| Error::invalid_input(format!("{label}: {cause}")).with_source(cause);
        let opset = self.opset(&domain).map_err(within)?;
        let inputs =
            proto.input.iter().map(|name| self.optional(name)).collect::<Result<_>>().map_err(within)?;
        let attributes = self.attributes(proto.attribute).map_err(|cause| match cause {
            unsupported @ Error::Unsupported { .. } => unsupported,
            cause => within(cause),
        })?;
        let captured = std::mem::take(&mut self.frame().captured);
        if domain == Domain::Onnx && operator == "Constant" {
            let output = proto.output.first().map_or("", String::as_str);
            let constant = constant(&attributes).map_err(within)?;
            return self.define_constant(output, constant);
        }
        let mut node = Node {
            name: name.into(),
            operator: operator.into(),
            domain,
            opset,
            inputs,
            outputs: Vec::with_capacity(proto.output.len()),
            attributes,
            captured,
        };
        for name in &proto.output {
            let output =
                if name.is_empty() { None } else { Some(self.define(name, kinds.get(name).cloned())?) };
            node.outputs.push(output);
        }
        self.frame().graph.nodes.push(node);
        Ok(())
    }

    /// Puts the body of a function in the place of a node that calls it.
    fn call(&mut self, proto: NodeProto, domain: Domain) -> Result<()> {
        let operator = proto.op_type.unwrap_or_default();
        let functions = self.functions;
        let Some(function) = functions.find(&domain, &operator, proto.overload.as_deref()) else {
            return Err(Error::internal(format!("the function {domain}.{operator} is gone")));
        };
        if self.calls.len() >= DEPTH_LIMIT {
            let what = format!(
                "the function {domain}.{operator} calls itself, or is nested more than {DEPTH_LIMIT} deep"
            );
            return Err(Error::invalid_input(what));
        }
        let mut names = HashMap::new();
        for (index, formal) in function.inputs.iter().enumerate() {
            if let Some(actual) = proto.input.get(index).filter(|name| !name.is_empty()) {
                names.insert(formal.clone(), self.resolve(actual)?);
            }
        }
        self.expand(0, function.bytes_of_defaults)?;
        let mut attributes = function.defaults.clone();
        for attribute in proto.attribute {
            if let Some(attribute) = self.substituted(attribute) {
                attributes.insert(attribute.name.clone().unwrap_or_default(), attribute);
            }
        }
        self.calls.push(Call { opsets: function.opsets.clone(), attributes });
        self.frame().names.push(names);
        for (node, bytes) in &function.nodes {
            self.expand(1, *bytes)?;
            self.node(node.clone(), &HashMap::new())?;
        }
        let results: Vec<Result<ValueId>> = function.outputs.iter().map(|name| self.resolve(name)).collect();
        self.frame().names.pop();
        self.calls.pop();
        for (actual, result) in proto.output.iter().zip(results) {
            if !actual.is_empty() {
                let id = result?;
                if self.names_mut().insert(actual.clone(), id).is_some() {
                    return Err(Error::invalid_input(format!("`{actual}` is made twice")));
                }
            }
        }
        Ok(())
    }

    /// Counts nodes of functions, and the bytes they take in the file.
    fn expand(&mut self, nodes: usize, bytes: usize) -> Result<()> {
        let left = (self.nodes_left.checked_sub(nodes), self.bytes_left.checked_sub(bytes));
        let (Some(nodes_left), Some(bytes_left)) = left else {
            return Err(Error::unsupported(format!(
                "the functions of the model expand to more than {EXPANDED_NODES} nodes or {EXPANDED_BYTES} bytes"
            )));
        };
        (self.nodes_left, self.bytes_left) = (nodes_left, bytes_left);
        Ok(())
    }

    fn attributes(&mut self, protos: Vec<AttributeProto>) -> Result<Attributes> {
        let mut attributes = Attributes::default();
        for proto in protos {
            let name = proto.name.clone().unwrap_or_default();
            if let Some(proto) = self.substituted(proto) {
                attributes.insert(name, attribute(proto, self)?);
            }
        }
        Ok(attributes)
    }

    /// An attribute in a function's body may stand for one of the call; `None` when the call does not give it.
    fn substituted(&self, proto: AttributeProto) -> Option<AttributeProto> {
        let Some(referred) = proto.ref_attr_name.as_deref().filter(|name| !name.is_empty()) else {
            return Some(proto);
        };
        let given = self.calls.last()?.attributes.get(referred)?;
        Some(AttributeProto { name: proto.name, ref_attr_name: None, ..given.clone() })
    }

    fn opset(&self, domain: &Domain) -> Result<i64> {
        let opsets = self.calls.last().map(|call| &call.opsets);
        let declared = opsets.and_then(|opsets| opsets.iter().find(|(name, _)| name == domain));
        match (declared, domain) {
            (Some((_, version)), _) => Ok(*version),
            (None, Domain::Onnx) => {
                Err(Error::invalid_input("the file does not say which version of ai.onnx it uses"))
            }
            (None, _) => Ok(1),
        }
    }

    fn optional(&mut self, name: &str) -> Result<Option<ValueId>> {
        if name.is_empty() { Ok(None) } else { self.resolve(name).map(Some) }
    }

    /// The value of that name, of this graph or of one around it.
    fn resolve(&mut self, name: &str) -> Result<ValueId> {
        let found = self.frames.iter().enumerate().rev().find_map(|(level, frame)| {
            let id = frame.names.last()?.get(name)?;
            Some((level, *id))
        });
        let Some((level, mut id)) = found else {
            return Err(Error::invalid_input(format!(
                "`{name}` is made by no node before this one: the nodes form a cycle, are out of order, or one is missing"
            )));
        };
        for inner in level + 1..self.frames.len() {
            id = self.capture(inner, id, name);
        }
        Ok(id)
    }

    /// Makes a value of the graph around `level` known in the graph at `level`.
    fn capture(&mut self, level: usize, outer_id: ValueId, name: &str) -> ValueId {
        let outer = &mut self.frames[level - 1];
        let constant = outer.graph.constants.get(&outer_id).cloned();
        let kind = outer.graph.values[outer_id.0].kind.clone();
        let index = constant.is_none().then(|| {
            let known = outer.captured.iter().position(|&captured| captured == outer_id);
            known.unwrap_or_else(|| {
                outer.captured.push(outer_id);
                outer.captured.len() - 1
            })
        });
        let frame = &mut self.frames[level];
        let id = frame.graph.add_value(name, kind);
        match (constant, index) {
            (Some(constant), _) => drop(frame.graph.constants.insert(id, constant)),
            (None, Some(index)) => frame.graph.captures.push((index, id)),
            (None, None) => {}
        }
        if let Some(names) = frame.names.last_mut() {
            names.insert(name.to_owned(), id);
        }
        id
    }

    fn define(&mut self, name: &str, kind: Option<Kind>) -> Result<ValueId> {
        if name.is_empty() {
            return Err(Error::invalid_input("a value of the graph has no name"));
        }
        let id = self.frame().graph.add_value(name, kind);
        if self.names_mut().insert(name.to_owned(), id).is_some() {
            return Err(Error::invalid_input(format!("`{name}` is made twice")));
        }
        Ok(id)
    }

    fn define_constant(&mut self, name: &str, constant: HostTensor) -> Result<()> {
        let id = self.define(name, None)?;
        self.frame().graph.constants.insert(id, constant);
        Ok(())
    }

    fn frame(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1; // there is one from `graph` on
        &mut self.frames[last]
    }

    fn names(&mut self) -> &HashMap<String, ValueId> {
        self.names_mut()
    }

    fn names_mut(&mut self) -> &mut HashMap<String, ValueId> {
        let names = &mut self.frame().names;
        let last = names.len() - 1; // the first is never popped
        &mut names[last]
    }
}

fn value_info(proto: ValueInfoProto) -> Result<(String, Option<Kind>)> {
    let name = proto.name.unwrap_or_default();
    let kind = proto.r#type.map(kind).transpose().map_err(|cause| match cause {
        Error::Unsupported { .. } => Error::unsupported(format!("`{name}`: {cause}")),
        cause => Error::invalid_input(format!("`{name}`: {cause}")),
    })?;
    Ok((name, kind.flatten()))
}

/// The value of a `Constant` node.
fn constant(attributes: &Attributes) -> Result<HostTensor> {
    for (name, attribute) in attributes.iter() {
        return Ok(match (name, attribute) {
            ("value" | "sparse_value", Attribute::Tensor(tensor)) => tensor.clone(),
            ("value_float", Attribute::Float(value)) => HostTensor::scalar(*value),
            ("value_floats", Attribute::Floats(values)) => HostTensor::vector(values.clone()),
            ("value_int", Attribute::Int(value)) => HostTensor::scalar(*value),
            ("value_ints", Attribute::Ints(values)) => HostTensor::vector(values.clone()),
            ("value_string", Attribute::Text(value)) => HostTensor::scalar(value.clone()),
            ("value_strings", Attribute::Texts(values)) => HostTensor::vector(values.clone()),
            _ => continue,
        });
    }
    Err(Error::invalid_input("a constant has no value"))
}
