//! One of several models, chosen for each request.

use std::fmt;

use async_trait::async_trait;
use mlops_core::{Error, Model, Reason, Request, Response, Result, Signature, Variant};

use super::fit;
use super::place::{caught, within};

/// One of several models answers, chosen for each request by its inputs and its context.
///
/// The first branch says the signature. Another may take more and promise more; what it gives beyond the signature is
/// left out. The response says which branch answered ([`Response::variant`]), unless the branch is itself made of
/// variants and has said so.
///
/// The choice is made for a request as a whole. So batches belong inside the branches: outside, requests would be joined
/// before they are told apart. A choice for each row, by the answer of a first model, is a
/// [`Cascade`](super::Cascade). To choose by the outputs of other models, make the switch a node of a
/// [`Graph`](super::Graph).
///
/// ```
/// # use mlops_core::{DType, Dimension, Signature, TensorSpec, Tensors};
/// use mlops_core::{Model, Request, RoutingContext};
/// use mlops_serve::EngineExt;
/// use mlops_serve::layer::pipeline::{Step, Switch};
///
/// # fn model() -> mlops_core::Result<impl Model> {
/// #     let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch]);
/// #     let signature = Signature::new([spec("x")], [spec("y")])?;
/// #     Ok(Step::new("", signature, |mut t| Ok(Tensors::new().with("y", t.remove("x").unwrap()))).inline())
/// # }
/// # fn main() -> mlops_core::Result<()> {
/// # let (general, norwegian) = (model()?, model()?);
/// let model = Switch::new("general", general, |request: &Request| match request.context.attribute("country") {
///     Some("NO") => Ok("norwegian"),
///     _ => Ok("general"),
/// })?
/// .with_branch("norwegian", norwegian)?;
/// # let _ = model;
/// # Ok(())
/// # }
/// ```
pub struct Switch {
    branches: Vec<(Variant, Box<dyn Model>)>,
    condition: Box<Condition>,
}

type Condition = dyn for<'a> Fn(&'a Request) -> Result<&'a str> + Send + Sync;

impl Switch {
    /// `condition` says the name of the branch that answers a request. It is asked for requests that fit the signature.
    /// Where it names no branch, the call is [`Error::InvalidInput`].
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a name that is no [`Variant`].
    pub fn new(
        branch: &str,
        model: impl Model,
        condition: impl for<'a> Fn(&'a Request) -> Result<&'a str> + Send + Sync + 'static,
    ) -> Result<Self> {
        Ok(Self { branches: vec![(Variant::new(branch)?, Box::new(model))], condition: Box::new(condition) })
    }

    /// Adds a branch.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a name that is no [`Variant`] or is there already, and for a model that cannot answer
    /// in the place of the first.
    pub fn with_branch(mut self, branch: &str, model: impl Model) -> Result<Self> {
        if self.branches.iter().any(|(name, _)| name.as_str() == branch) {
            return Err(Error::invalid_input(format!("there are two branches `{branch}`")));
        }
        fit::stands_in(self.signature(), model.signature(), &format!("branch `{branch}`"))?;
        self.branches.push((Variant::new(branch)?, Box::new(model)));
        Ok(self)
    }

    fn choose(&self, request: &Request) -> Result<&(Variant, Box<dyn Model>)> {
        let chosen = caught(|| (self.condition)(request))
            .map_err(|error| within(error, "the condition of the switch"))?;
        self.branches.iter().find(|(name, _)| name.as_str() == chosen).ok_or_else(|| {
            let known = fit::listed(self.branches.iter().map(|(name, _)| name.as_str()));
            Error::invalid_input(format!("the switch has no branch `{chosen}` ({known})"))
        })
    }
}

#[async_trait]
impl Model for Switch {
    fn signature(&self) -> &Signature {
        self.branches[0].1.signature()
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        self.signature().check(&request.inputs)?;
        let (name, branch) = self.choose(&request)?;
        let response = branch.predict(request).await;
        let mut response = response.map_err(|error| within(error, format_args!("branch `{name}`")))?;
        response.outputs = fit::only_known(self.signature(), response.outputs);
        if response.variant.is_none() {
            response = response.with_variant(name.clone(), Reason::Targeted("switch".into()));
        }
        Ok(response)
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch").field("branches", &self.branches).finish_non_exhaustive()
    }
}
