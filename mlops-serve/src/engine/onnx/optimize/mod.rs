//! Rewrites of a graph that give the same results sooner.

mod fold;

use mlops_core::Result;

use super::graph::Graph;

/// Applies every rewrite.
pub(crate) fn optimize(graph: &mut Graph) -> Result<()> {
    fold::fold_constants(graph)?;
    graph.remove_unused();
    Ok(())
}
