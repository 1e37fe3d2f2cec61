//! Who answers a request: policy only.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{RoutingContext, Text, Variant};

/// Decides which variant answers a request, and which others see a copy of it.
///
/// A router is policy: it is asked on every request, so it takes nanoseconds, never blocks, and touches
/// nothing outside itself. The mechanism that owns the variants and obeys is `Routed` in `mlops-rollout`.
/// Closures are routers:
///
/// ```
/// use mlops_core::{Decision, Reason, Router, RoutingContext, Variant};
///
/// let (stable, canary) = (Variant::new("stable")?, Variant::new("canary")?);
/// let staff_first = move |context: &RoutingContext| match context.attribute("staff") {
///     Some("yes") => Decision::new(canary.clone(), Reason::targeted("staff")),
///     _ => Decision::new(stable.clone(), Reason::Default),
/// };
/// let staff = RoutingContext::new().with_attribute("staff", "yes");
/// assert_eq!(staff_first.route(&staff).variant().as_str(), "canary");
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub trait Router: Send + Sync + 'static {
    /// The decision for one request.
    fn route(&self, context: &RoutingContext) -> Decision;
}

/// Which variant answers, which others see a copy, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    variant: Variant,
    shadows: SmallVec<[Variant; 1]>,
    reason: Reason,
}

/// Why a request went where it went. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// No rule spoke; this is where such requests go.
    Default,
    /// Drawn by weight.
    Weighted,
    /// Assigned by the hash of the routing key.
    Sticky,
    /// Singled out by a rule.
    Targeted(Text),
    /// Anything a router of yours wants to say.
    Other(Text),
}

impl Decision {
    /// That variant answers, and no other sees the request.
    #[must_use]
    #[inline]
    pub fn new(variant: Variant, reason: Reason) -> Self {
        Self { variant, shadows: SmallVec::new(), reason }
    }

    /// Lets `shadow` see a copy of the request; its answer is compared, never returned. The variant that
    /// answers is no shadow of itself, and none shadows twice: such a call changes nothing.
    #[must_use]
    #[inline]
    pub fn with_shadow(mut self, shadow: Variant) -> Self {
        if shadow != self.variant && !self.shadows.contains(&shadow) {
            self.shadows.push(shadow);
        }
        self
    }

    /// The variant that answers.
    #[must_use]
    #[inline]
    pub fn variant(&self) -> &Variant {
        &self.variant
    }

    /// The variants that see a copy.
    #[must_use]
    #[inline]
    pub fn shadows(&self) -> &[Variant] {
        &self.shadows
    }

    /// Why.
    #[must_use]
    #[inline]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The variant that answers, the shadows, and why.
    #[must_use]
    #[inline]
    pub fn into_parts(self) -> (Variant, impl ExactSizeIterator<Item = Variant>, Reason) {
        (self.variant, self.shadows.into_iter(), self.reason)
    }
}

impl Reason {
    /// Singled out by the rule of that name. A router that says so on every request keeps the [`Text`]
    /// and clones it.
    pub fn targeted(rule: impl Into<Text>) -> Self {
        Self::Targeted(rule.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Weighted => f.write_str("weighted"),
            Self::Sticky => f.write_str("sticky"),
            Self::Targeted(rule) => write!(f, "targeted: {rule}"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl<F: Fn(&RoutingContext) -> Decision + Send + Sync + 'static> Router for F {
    fn route(&self, context: &RoutingContext) -> Decision {
        self(context)
    }
}

impl<R: Router + ?Sized> Router for Arc<R> {
    fn route(&self, context: &RoutingContext) -> Decision {
        (**self).route(context)
    }
}
