//! Several models as one, each run as soon as its inputs are there.

mod ensemble;
mod node;
mod plan;
mod run;
mod sequence;

use std::sync::Arc;

use async_trait::async_trait;
use mlops_core::{Model, ModelId, Request, Response, Result, Signature};

use plan::Plan;
use run::Run;

pub use node::Node;

/// Several models as one: nodes are models, and the edges between them are tensors, by name.
///
/// A node starts as soon as the tensors it takes are there, so nodes that do not wait for each other run concurrently.
/// They run on the task of the caller: a model that computes for long belongs on
/// [workers](crate::EngineExt::on_workers), or its neighbours wait for it. Tensors are shared or moved, never copied.
///
/// * Every node gets the id, the context, the deadline and the priority of the request.
/// * The first node that fails fails the call, and the others are dropped; the error names the node and keeps its
///   variant. A panic is an error of the call. A node that [may fail](Node::may_fail) only leaves its outputs out.
/// * Dropping the call drops the calls of all nodes.
/// * [`Timings`](mlops_core::Timings) are those along the slowest path: of all chains of nodes that waited for each
///   other, the one whose queue and compute times add up to most.
///
/// ```
/// # use mlops_core::{DType, Dimension, Signature, TensorSpec, Tensors};
/// use mlops_core::Model;
/// use mlops_serve::EngineExt;
/// use mlops_serve::layer::pipeline::{Graph, Node, Step};
///
/// # fn model(takes: &'static [&'static str], gives: &'static str) -> mlops_core::Result<impl Model> {
/// #     let spec = |name: &str| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
/// #     let signature = Signature::new(takes.iter().map(|name| spec(name)), [spec(gives)])?;
/// #     Ok(Step::new("", signature, move |mut t| Ok(Tensors::new().with(gives, t.remove(takes[0]).unwrap()))).inline())
/// # }
/// # fn main() -> mlops_core::Result<()> {
/// # let (embed, region, price) = (model(&["text"], "y")?, model(&["address"], "y")?, model(&["text", "region"], "price")?);
/// let graph = Graph::new(
///     ["description", "address"],
///     [
///         Node::new("embed", embed).with_input("text", "description").with_output("y", "embedding"),
///         Node::new("region", region).with_output("y", "region"), // at the same time
///         Node::new("price", price).with_input("text", "embedding"),
///     ],
///     ["price"],
/// )?;
/// assert_eq!(graph.signature().inputs().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Graph {
    plan: Plan,
    signature: Signature,
    id: Option<Arc<ModelId>>,
}

impl Graph {
    /// The graph that takes the tensors `inputs` and gives the tensors `outputs`, which `nodes`, in any order, take and
    /// give. The types and shapes are those of the nodes.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) that names everything that does not fit: a tensor that
    /// nothing gives, nothing takes or two nodes give; types and shapes that contradict each other; nodes that wait for
    /// each other.
    pub fn new(
        inputs: impl IntoIterator<Item = impl Into<String>>,
        nodes: impl IntoIterator<Item = Node>,
        outputs: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self> {
        let inputs: Vec<String> = inputs.into_iter().map(Into::into).collect();
        let outputs: Vec<String> = outputs.into_iter().map(Into::into).collect();
        let (plan, signature) = plan::make(&inputs, nodes.into_iter().collect(), &outputs)?;
        Ok(Self { plan, signature, id: None })
    }

    /// Says which model and version the whole is; every response carries it.
    #[must_use]
    pub fn with_id(mut self, id: ModelId) -> Self {
        self.id = Some(Arc::new(id));
        self
    }
}

#[async_trait]
impl Model for Graph {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.signature.check(&request.inputs)?;
        let mut response = Run::new(&self.plan, request).finish().await?;
        response.model.clone_from(&self.id);
        Ok(response)
    }
}

/// The names, each once.
fn distinct<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.iter().any(|known| known == name) {
            seen.push(name.to_owned());
        }
    }
    seen
}
