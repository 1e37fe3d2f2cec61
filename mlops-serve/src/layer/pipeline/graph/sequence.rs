//! One model after the other.

use mlops_core::{Model, Result, TensorSpec};

use super::{Graph, Node, distinct};

impl Graph {
    /// Each node takes the outputs of the one before it: the first takes the inputs of the whole, the last gives its
    /// outputs. What the next node does not take is dropped.
    ///
    /// [`Node::with_input`] says which output of the node before an input is, where the names differ; at the first and
    /// the last node, maps rename the inputs and outputs of the whole.
    ///
    /// ```
    /// # use mlops_core::{DType, Dimension, Signature, TensorSpec, Tensors};
    /// use mlops_core::Model;
    /// use mlops_serve::EngineExt;
    /// use mlops_serve::layer::pipeline::{Graph, Node, Step};
    ///
    /// # fn model(takes: &'static str, gives: &'static str) -> mlops_core::Result<impl Model> {
    /// #     let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
    /// #     let signature = Signature::new([spec(takes)], [spec(gives)])?;
    /// #     Ok(Step::new("", signature, move |mut t| Ok(Tensors::new().with(gives, t.remove(takes).unwrap()))).inline())
    /// # }
    /// # fn main() -> mlops_core::Result<()> {
    /// # let (detector, reader) = (model("image", "boxes")?, model("crops", "text")?);
    /// let read = Graph::sequence([
    ///     Node::new("detect", detector),
    ///     Node::new("read", reader).with_input("crops", "boxes"),
    /// ])?;
    /// assert_eq!(read.signature().outputs()[0].name(), "text");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`](mlops_core::Error::InvalidInput) that names everything that does not fit. The outputs of
    /// a node within the sequence are called `NODE/OUTPUT` there.
    pub fn sequence(nodes: impl IntoIterator<Item = Node>) -> Result<Self> {
        let nodes: Vec<Node> = nodes.into_iter().collect();
        let inputs = nodes.first().map(|first| distinct(first.taken())).unwrap_or_default();
        let outputs = nodes.last().map(|last| distinct(last.given())).unwrap_or_default();
        let mut joined: Vec<Node> = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            if let Some(before) = joined.pop() {
                node = node.fed_by(&before);
                joined.push(before.with_own_outputs());
            }
            joined.push(node);
        }
        Self::new(inputs, joined, outputs)
    }
}

impl Node {
    /// The same, taking the outputs of the node before it by the names that those will have.
    fn fed_by(mut self, before: &Node) -> Self {
        let feed = |spec: &TensorSpec| {
            let (tensor, said) = self.input(spec.name());
            let wanted = said || !spec.is_optional() || before.given().any(|given| given == tensor);
            wanted.then(|| (spec.name().to_owned(), format!("{}/{tensor}", before.name)))
        };
        self.inputs = self.model.signature().inputs().iter().filter_map(feed).collect();
        self
    }
}
