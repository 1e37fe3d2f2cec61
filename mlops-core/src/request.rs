//! What goes into a model and what comes out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use semver::Version;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use web_time::Instant;

use crate::{ModelName, Reason, Tensors, Variant};

/// One call of a model.
///
/// ```
/// use mlops_core::{Request, RoutingContext, Tensor, Tensors};
///
/// let request = Request::new(Tensors::new().with("x", Tensor::from(vec![1.0_f32])))
///     .with_id("a-17")
///     .with_context(RoutingContext::new().with_key("user-42").with_attribute("country", "NO"));
/// assert_eq!(request.context.key(), Some("user-42"));
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Request {
    /// The tensors, by name.
    pub inputs: Tensors,
    /// What labels that come later are joined by. Fronts make one up where the caller gives none.
    pub id: Option<Arc<str>>,
    /// What routers decide by.
    pub context: RoutingContext,
    /// When the answer is of no use any more.
    pub deadline: Option<Instant>,
    /// Where requests wait for the same model, the greater is served first. 0 unless set.
    pub priority: i32,
}

impl Request {
    /// A request with these inputs, no id, no routing context, no deadline, and priority 0.
    #[must_use]
    pub fn new(inputs: Tensors) -> Self {
        Self { inputs, ..Self::default() }
    }

    /// Sets the id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets what routers decide by.
    #[must_use]
    pub fn with_context(mut self, context: RoutingContext) -> Self {
        self.context = context;
        self
    }

    /// Sets when the answer is of no use any more.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets how urgent it is: where requests wait for the same model, the greater is served first.
    #[must_use]
    pub fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }
}

/// What a [`Router`](crate::Router) may decide by: who asks, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutingContext {
    key: Option<Arc<str>>,
    attributes: SmallVec<[(Arc<str>, Arc<str>); 2]>,
}

impl RoutingContext {
    /// Nothing is known about the caller.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the key of sticky assignment: the user, the account, the device.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds or replaces an attribute for targeting.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.attributes.push((name, value)),
        }
        self
    }

    /// The key of sticky assignment.
    #[must_use]
    #[inline]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The attribute of that name.
    #[must_use]
    #[inline]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    /// All attributes, in the order they were added.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// The answer of a model, with what a caller and an auditor need to know of it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Response {
    /// The tensors, by name.
    pub outputs: Tensors,
    /// The id of the request.
    pub id: Option<Arc<str>>,
    /// Which model answered.
    pub model: Option<Arc<ModelId>>,
    /// Which variant of a routed model answered.
    pub variant: Option<Variant>,
    /// Why that variant.
    pub reason: Option<Reason>,
    /// Where the time went.
    pub timings: Timings,
}

impl Response {
    /// A response with these outputs and nothing else known.
    #[must_use]
    pub fn new(outputs: Tensors) -> Self {
        Self { outputs, ..Self::default() }
    }

    /// Sets which model answered.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<Arc<ModelId>>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Sets the id of the request.
    #[must_use]
    pub fn with_id(mut self, id: Option<Arc<str>>) -> Self {
        self.id = id;
        self
    }

    /// Sets which variant answered, and why that one.
    #[must_use]
    #[inline]
    pub fn with_variant(mut self, variant: Variant, reason: Reason) -> Self {
        (self.variant, self.reason) = (Some(variant), Some(reason));
        self
    }

    /// Sets where the time went.
    #[must_use]
    pub fn with_timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }
}

/// A model in one of its versions: `digits 2.0.0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelId {
    /// The name.
    pub name: ModelName,
    /// The version.
    pub version: Version,
}

impl ModelId {
    /// That model in that version.
    #[must_use]
    pub fn new(name: ModelName, version: Version) -> Self {
        Self { name, version }
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Where the time of a call went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Waiting for a free worker or a batch.
    pub queue: Duration,
    /// Computing.
    pub compute: Duration,
}
