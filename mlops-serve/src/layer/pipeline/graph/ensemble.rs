//! Several models asked the same.

use mlops_core::Result;

use super::{Graph, Node, distinct};

impl Graph {
    /// All nodes are asked at the same time, with the same tensors. Output `score` of node `forest` is
    /// `forest/score` of the whole; [`Mean`](crate::layer::pipeline::steps::Mean) and
    /// [`Vote`](crate::layer::pipeline::steps::Vote), or a [`Step`](crate::layer::pipeline::Step) of your own, make one
    /// tensor of those of all members.
    ///
    /// A member that [may fail](Node::may_fail) does not fail the whole: the others decide.
    ///
    /// ```
    /// # use mlops_core::{DType, Dimension, Signature, TensorSpec, Tensors};
    /// use mlops_core::Model;
    /// use mlops_serve::layer::pipeline::{Graph, Node, Step, steps::Mean};
    /// use mlops_serve::{EngineExt, ServeExt};
    ///
    /// # fn member() -> mlops_core::Result<impl Model> {
    /// #     let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
    /// #     let signature = Signature::new([spec("x")], [spec("score")])?;
    /// #     Ok(Step::new("", signature, |mut t| Ok(Tensors::new().with("score", t.remove("x").unwrap()))).inline())
    /// # }
    /// # fn main() -> mlops_core::Result<()> {
    /// # let (forest, network) = (member()?, member()?);
    /// let both = Graph::ensemble([Node::new("forest", forest), Node::new("network", network).may_fail()])?
    ///     .postprocessed(Mean::new("score").with_weight("forest", 2.0))?;
    /// assert_eq!(both.signature().outputs()[0].name(), "score");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) that names everything that does not fit.
    pub fn ensemble(members: impl IntoIterator<Item = Node>) -> Result<Self> {
        let members: Vec<Node> = members.into_iter().map(Node::with_own_outputs).collect();
        let inputs = distinct(members.iter().flat_map(Node::taken));
        let outputs = distinct(members.iter().flat_map(Node::given));
        Self::new(inputs, members, outputs)
    }
}
