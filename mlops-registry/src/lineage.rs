//! Which version was made from which.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mlops_core::{ModelId, Query, Registry, Result};

/// The versions of a registry and what they were made from.
///
/// ```
/// use mlops_core::{Lineage, ModelId, ModelName, NewVersion, Registry, Signature};
/// use mlops_registry::{LineageGraph, ObjectStoreRegistry};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), mlops_core::Error> {
/// let registry = ObjectStoreRegistry::in_memory();
/// let new = |name: &str| Ok::<_, mlops_core::Error>(NewVersion::new(ModelName::new(name)?, Signature::new([], [])?));
/// let base = registry.register(new("base")?).await?.id;
/// let tuned = new("fraud")?.with_lineage(Lineage::default().with_parent(base.clone()));
/// let tuned = registry.register(tuned).await?.id;
///
/// let graph = LineageGraph::of(&registry).await?;
/// assert_eq!(graph.ancestors(&tuned), [base.clone()]);
/// assert_eq!(graph.descendants(&base), [tuned]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineageGraph {
    parents: BTreeMap<ModelId, BTreeSet<ModelId>>,
    children: BTreeMap<ModelId, BTreeSet<ModelId>>,
}

impl LineageGraph {
    /// The graph of all versions that are there now.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn of(registry: &impl Registry) -> Result<Self> {
        let mut graph = Self::default();
        for version in registry.search(&Query::new()).await? {
            for parent in version.lineage.parents {
                graph.children.entry(parent.clone()).or_default().insert(version.id.clone());
                graph.parents.entry(version.id.clone()).or_default().insert(parent);
            }
        }
        Ok(graph)
    }

    /// What a version was made from, and what that was made from, the nearest first. It may name versions that
    /// are not there.
    #[must_use]
    pub fn ancestors(&self, id: &ModelId) -> Vec<ModelId> {
        reach(&self.parents, id)
    }

    /// What was made from a version, and what was made from that, the nearest first.
    #[must_use]
    pub fn descendants(&self, id: &ModelId) -> Vec<ModelId> {
        reach(&self.children, id)
    }
}

/// All that can be reached from `start`, the nearest first, each once, in whatever circles.
fn reach(edges: &BTreeMap<ModelId, BTreeSet<ModelId>>, start: &ModelId) -> Vec<ModelId> {
    let (mut reached, mut seen, mut next) = (Vec::new(), BTreeSet::from([start]), VecDeque::from([start]));
    while let Some(id) = next.pop_front() {
        for neighbour in edges.get(id).into_iter().flatten() {
            if seen.insert(neighbour) {
                reached.push(neighbour.clone());
                next.push_back(neighbour);
            }
        }
    }
    reached
}
