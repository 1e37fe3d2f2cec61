//! Rewrites of a graph that give the same results sooner.
//!
//! Each looks for a pattern and puts one node in its place, an operator of the ONNX specification where there is one,
//! else of the domain `fused`.

mod activation;
mod attention;
mod blocked;
mod cleanup;
mod fold;
mod linear;
mod normalization;
mod pattern;

use mlops_core::Result;

use super::graph::{Attribute, Graph};

/// Applies every rewrite, to the graphs inside of nodes as well.
pub(crate) fn optimize(graph: &mut Graph) -> Result<()> {
    fold::fold_constants(graph)?;
    graph.remove_unused();
    cleanup::remove_identities(graph);
    normalization::recognise(graph);
    activation::recognise(graph);
    attention::recognise(graph);
    linear::recognise(graph);
    linear::fold_into_convolutions(graph);
    linear::absorb_residuals(graph);
    activation::absorb(graph);
    for node in &mut graph.nodes {
        for attribute in node.attributes.values_mut() {
            match attribute {
                Attribute::Graph(graph) => optimize(graph)?,
                Attribute::Graphs(graphs) => graphs.iter_mut().try_for_each(optimize)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Lays maps out as the processor's kernels like them. For graphs that have been optimized, and run on the processor.
pub(crate) fn lay_out(graph: &mut Graph) {
    blocked::lay_out(graph);
}
