//! From names to places: what is known of a graph before its first call.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mlops_core::{Error, Model, Result, Signature, TensorSpec};

use super::Node;
use crate::layer::pipeline::fit::{self, Mismatches};

/// A graph whose tensors are numbered.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) inputs: Vec<Fed>,
    pub(super) nodes: Vec<PlannedNode>,
    pub(super) outputs: Vec<Fed>,
    /// For each tensor, how many inputs of nodes and outputs of the whole it is.
    pub(super) readers: Vec<usize>,
}

/// A name at a node or at the whole, and the number of the tensor.
pub(super) type Fed = (Arc<str>, usize);

/// The name of an output at a node, the number of the tensor, and whether the model must give it.
pub(super) type Given = (Arc<str>, usize, bool);

/// One node of it.
#[derive(Debug)]
pub(super) struct PlannedNode {
    pub(super) name: Arc<str>,
    pub(super) model: Arc<dyn Model>,
    pub(super) may_fail: bool,
    /// Those of the model's inputs that are fed.
    pub(super) inputs: Vec<Fed>,
    pub(super) outputs: Vec<Given>,
    /// The nodes that take something this one gives.
    pub(super) followers: Vec<usize>,
    /// How many nodes give something this one takes.
    pub(super) predecessors: usize,
}

/// ``node `name` ``
impl fmt::Display for PlannedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node `{}`", self.name)
    }
}

/// One tensor of the graph, while it is planned.
struct Edge<'a> {
    name: &'a str,
    /// The node that gives it, by number; none where it is an input of the whole.
    giver: Option<usize>,
    /// What is known of it. Nothing yet for an input of the whole that no node was seen to take.
    spec: Option<TensorSpec>,
    readers: usize,
}

/// A graph while it is planned.
struct Draft<'a> {
    nodes: &'a [Node],
    edges: Vec<Edge<'a>>,
    by_name: HashMap<&'a str, usize>,
    mismatches: Mismatches,
    /// Whether rows run along all edges.
    rows: bool,
}

pub(super) fn make(inputs: &[String], nodes: Vec<Node>, outputs: &[String]) -> Result<(Plan, Signature)> {
    if nodes.is_empty() {
        return Err(Error::invalid_input("there are no nodes in the graph"));
    }
    let mut draft = Draft {
        nodes: &nodes,
        edges: Vec::new(),
        by_name: HashMap::new(),
        mismatches: Mismatches::default(),
        rows: true,
    };
    let input_edges: Vec<Fed> = inputs.iter().map(|name| (name.as_str().into(), draft.input(name))).collect();
    let given: Vec<_> = (0..nodes.len()).map(|node| draft.given(node)).collect();
    let taken: Vec<_> = (0..nodes.len()).map(|node| draft.taken(node)).collect();
    let output_edges: Vec<Fed> =
        outputs.iter().filter_map(|name| Some((name.as_str().into(), draft.output(name)?))).collect();
    let links = draft.links(&taken);
    draft.look_for_loose_ends(&given);
    draft.look_for_cycles(&links);
    let rows = draft.rows && draft.nodes_keep_rows(&given);
    let Draft { edges, mismatches, .. } = draft;
    mismatches.into_result("the graph")?;

    let specs = |edges_of: &[Fed]| -> Vec<TensorSpec> {
        let spec = |(name, edge): &Fed| Some(fit::renamed(edges[*edge].spec.as_ref()?, name));
        edges_of.iter().filter_map(spec).collect()
    };
    let signature = fit::whole(specs(&input_edges), specs(&output_edges), rows)?;
    let readers = edges.iter().map(|edge| edge.readers).collect();
    let planned =
        nodes.into_iter().zip(taken).zip(given).zip(links).map(|(((node, inputs), outputs), links)| {
            let Node { name, model, may_fail, .. } = node;
            let Links { followers, predecessors } = links;
            PlannedNode { name, model, may_fail, inputs, outputs, followers, predecessors }
        });
    Ok((Plan { inputs: input_edges, nodes: planned.collect(), outputs: output_edges, readers }, signature))
}

/// How a node hangs together with others.
#[derive(Default)]
struct Links {
    followers: Vec<usize>,
    predecessors: usize,
}

impl<'a> Draft<'a> {
    fn input(&mut self, name: &'a str) -> usize {
        self.add(Edge { name, giver: None, spec: None, readers: 0 })
    }

    /// The edges for the outputs of a node.
    fn given(&mut self, index: usize) -> Vec<Given> {
        let node = &self.nodes[index];
        if self.nodes[..index].iter().any(|other| other.name == node.name) {
            self.mismatches.push(format!("there are two nodes `{}`", node.name));
        }
        let specs = node.model.signature().outputs();
        for (output, _) in node.outputs.iter().filter(|(output, _)| fit::find(specs, output).is_none()) {
            self.mismatches.push(format!("{node} has no output `{output}` ({})", fit::names(specs)));
        }
        let edge = |spec: &'a TensorSpec| {
            let known = if node.may_fail { fit::optional(spec) } else { spec.clone() };
            let edge =
                Edge { name: node.output(spec.name()), giver: Some(index), spec: Some(known), readers: 0 };
            (spec.name().into(), self.add(edge), !spec.is_optional())
        };
        specs.iter().map(edge).collect()
    }

    fn add(&mut self, edge: Edge<'a>) -> usize {
        let index = self.edges.len();
        if let Some(other) = self.by_name.insert(edge.name, index) {
            let (one, other) = (self.giver(self.edges[other].giver), self.giver(edge.giver));
            self.mismatches
                .push(format!("tensor `{}` comes from {one} and from {other}; rename one", edge.name));
        }
        self.edges.push(edge);
        index
    }

    /// The edges that the inputs of a node are fed from.
    fn taken(&mut self, index: usize) -> Vec<Fed> {
        let node = &self.nodes[index];
        let specs = node.model.signature().inputs();
        for (input, _) in node.inputs.iter().filter(|(input, _)| fit::find(specs, input).is_none()) {
            self.mismatches.push(format!("{node} has no input `{input}` ({})", fit::names(specs)));
        }
        let feed = |spec: &'a TensorSpec| Some((spec.name().into(), self.feed(node, spec)?));
        specs.iter().filter_map(feed).collect()
    }

    /// The edge that feeds one input.
    fn feed(&mut self, node: &Node, needed: &'a TensorSpec) -> Option<usize> {
        let input = needed.name();
        let (tensor, said) = node.input(input);
        let Some(&index) = self.by_name.get(tensor) else {
            if said || !needed.is_optional() {
                let known = fit::listed(self.edges.iter().map(|edge| edge.name));
                self.mismatches
                    .push(format!("{node} takes `{input}` from `{tensor}`, which nothing gives ({known})"));
            }
            return None;
        };
        let giver = self.giver(self.edges[index].giver);
        let edge = &mut self.edges[index];
        edge.readers += 1;
        let known = edge.spec.as_ref();
        self.rows &= known.is_none_or(|known| fit::same_rows(known, needed));
        let fits = match (edge.giver, known) {
            (Some(_), Some(given)) => fit::may_feed(given, needed),
            (_, None) => {
                edge.spec = Some(needed.clone());
                true
            }
            (None, Some(known)) => fit::both(known, needed).map(|spec| edge.spec = Some(spec)).is_some(),
        };
        if let (false, Some(known)) = (fits, &edge.spec) {
            self.mismatches
                .push(format!("{node} takes `{input}` as {needed}, but {giver} gives `{tensor}` as {known}"));
        }
        Some(index)
    }

    fn output(&mut self, tensor: &str) -> Option<usize> {
        let index = self.by_name.get(tensor).copied();
        match index {
            Some(index) => self.edges[index].readers += 1,
            None => {
                let known = fit::listed(self.edges.iter().map(|edge| edge.name));
                self.mismatches.push(format!("output `{tensor}` is given by nothing ({known})"));
            }
        }
        index
    }

    /// Which nodes wait for which.
    fn links(&self, taken: &[Vec<Fed>]) -> Vec<Links> {
        let mut links: Vec<Links> = self.nodes.iter().map(|_| Links::default()).collect();
        for (index, inputs) in taken.iter().enumerate() {
            let mut givers: Vec<usize> =
                inputs.iter().filter_map(|(_, edge)| self.edges[*edge].giver).collect();
            givers.sort_unstable();
            givers.dedup();
            links[index].predecessors = givers.len();
            for giver in givers {
                links[giver].followers.push(index);
            }
        }
        links
    }

    /// Inputs that no node takes, and nodes that work for nothing.
    fn look_for_loose_ends(&mut self, given: &[Vec<Given>]) {
        for edge in self.edges.iter().filter(|edge| edge.giver.is_none() && edge.spec.is_none()) {
            self.mismatches.push(format!("input `{}` is taken by no node", edge.name));
        }
        for (node, outputs) in self.nodes.iter().zip(given) {
            if outputs.iter().all(|(_, edge, _)| self.edges[*edge].readers == 0) {
                self.mismatches.push(format!("nothing takes what {node} gives"));
            }
        }
    }

    /// Kahn's algorithm: what cannot be taken away, one free node after the other, waits for itself.
    fn look_for_cycles(&mut self, links: &[Links]) {
        let mut waiting: Vec<usize> = links.iter().map(|links| links.predecessors).collect();
        let mut free: Vec<usize> = (0..links.len()).filter(|node| waiting[*node] == 0).collect();
        while let Some(node) = free.pop() {
            for &follower in &links[node].followers {
                waiting[follower] -= 1;
                if waiting[follower] == 0 {
                    free.push(follower);
                }
            }
        }
        let stuck: Vec<&str> = self
            .nodes
            .iter()
            .zip(&waiting)
            .filter(|(_, left)| **left > 0)
            .map(|(node, _)| &*node.name)
            .collect();
        if !stuck.is_empty() {
            self.mismatches.push(format!("the nodes `{}` wait for each other", stuck.join("`, `")));
        }
    }

    /// Whether rows run through all nodes; outputs that nothing takes do not matter.
    fn nodes_keep_rows(&self, given: &[Vec<Given>]) -> bool {
        self.nodes.iter().zip(given).all(|(node, outputs)| {
            let taken = outputs.iter().filter(|(_, edge, _)| self.edges[*edge].readers > 0);
            let outputs = taken.filter_map(|(_, edge, _)| self.edges[*edge].spec.as_ref());
            fit::keeps_rows(node.model.signature().inputs(), outputs)
        })
    }

    /// Where a tensor comes from, in words.
    fn giver(&self, giver: Option<usize>) -> String {
        giver.map_or_else(|| "the caller".to_owned(), |node| self.nodes[node].to_string())
    }
}

#[cfg(test)]
mod tests;
