//! Experiments that share no user.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use mlops_core::{Decision, Error, Result, Router, RoutingContext, Text};

use super::StickyHash;
use super::hash::SaltedHash;

/// A layer of experiments that exclude each other: a key is in one of them or in none, never in two.
///
/// The layer hashes keys by a salt of its own, and each experiment takes a slice of [0, 1) for good: one
/// that comes or goes moves nobody of the others. What happens inside a slice is the business of its
/// router, which hashes by another salt. Keys outside all slices, and requests without a key or with an
/// empty one, go to a router that knows of no experiment.
///
/// ```
/// use mlops_core::{Decision, Reason, Router, RoutingContext, Variant};
/// use mlops_rollout::{Exclusive, Sticky, TrafficSplit};
///
/// let [stable, wide, deep] = ["stable", "wide", "deep"].map(Variant::new);
/// let (stable, wide, deep) = (stable?, wide?, deep?);
/// let half = |variant: &Variant| {
///     let split = TrafficSplit::new(stable.clone(), [variant.clone()]);
///     split.set(variant, 0.5).map(|()| split)
/// };
/// let (widths, depths) = (Sticky::new(half(&wide)?, "widths"), Sticky::new(half(&deep)?, "depths"));
/// let otherwise = {
///     let stable = stable.clone();
///     move |_: &RoutingContext| Decision::new(stable.clone(), Reason::Default)
/// };
/// let layer = Exclusive::new("architecture", otherwise)
///     .with_experiment("widths", 0.0..0.3, widths)?
///     .with_experiment("depths", 0.6..1.0, depths)?;
///
/// let user = RoutingContext::new().with_key("user-1");
/// assert_eq!(layer.experiment(&user), Some("depths"));
/// assert_eq!(layer.experiment(&RoutingContext::new()), None);
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// With [`StickyHash::GrowthBookV1`] and `"__"` before its name as salt, a layer is a namespace of
/// GrowthBook.
pub struct Exclusive<R> {
    hash: SaltedHash,
    experiments: Vec<Experiment>,
    otherwise: R,
}

struct Experiment {
    name: Text,
    slice: Range<f64>,
    router: Arc<dyn Router>,
}

impl<R: Router> Exclusive<R> {
    /// A layer without an experiment: `otherwise` decides. Another `salt` for each layer, which no router
    /// in it uses.
    pub fn new(salt: impl AsRef<str>, otherwise: R) -> Self {
        Self { hash: SaltedHash::new(salt.as_ref()), experiments: Vec::new(), otherwise }
    }

    /// Lays keys by another hash.
    #[must_use]
    pub fn with_hash(mut self, hash: StickyHash) -> Self {
        self.hash = self.hash.with_hash(hash);
        self
    }

    /// Lays this attribute in the place of the key: whole accounts instead of users.
    #[must_use]
    pub fn by_attribute(mut self, attribute: impl Into<Box<str>>) -> Self {
        self.hash = self.hash.of_attribute(attribute);
        self
    }

    /// Gives the keys in `slice`, from its start to before its end, to an experiment, which `router` runs.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the slice is empty or reaches out of [0, 1], or the name is empty;
    /// [`Error::Conflict`] that names both, when it overlaps the slice of another experiment or has its name.
    pub fn with_experiment(
        mut self,
        name: impl Into<Text>,
        slice: Range<f64>,
        router: impl Router,
    ) -> Result<Self> {
        let name = name.into();
        let Range { start, end } = slice;
        if name.is_empty() {
            return Err(Error::invalid_input("an experiment has no name"));
        }
        if !(0.0 <= start && start < end && end <= 1.0) {
            return Err(Error::invalid_input(format!(
                "the experiment `{name}`: {start} to {end} is no slice of the keys; expected 0 <= start < end <= 1"
            )));
        }
        if let Some(other) = self.experiments.iter().find(|other| other.name == name) {
            return Err(Error::conflict(format!(
                "there is an experiment `{}` in the layer already",
                other.name
            )));
        }
        let overlaps = |other: &&Experiment| start < other.slice.end && other.slice.start < end;
        if let Some(Experiment { name: other, slice, .. }) = self.experiments.iter().find(overlaps) {
            return Err(Error::conflict(format!(
                "the experiment `{name}` from {start} to {end} overlaps `{other}` from {} to {}; take a free slice",
                slice.start, slice.end
            )));
        }
        self.experiments.push(Experiment { name, slice, router: Arc::new(router) });
        Ok(self)
    }

    /// The experiment that sees such requests; `None` where none does.
    #[must_use]
    pub fn experiment(&self, context: &RoutingContext) -> Option<&str> {
        self.seeing(context).map(|experiment| experiment.name.as_str())
    }

    fn seeing(&self, context: &RoutingContext) -> Option<&Experiment> {
        let point = self.hash.point(context)?;
        self.experiments.iter().find(|experiment| experiment.slice.contains(&point))
    }
}

impl<R: Router> Router for Exclusive<R> {
    fn route(&self, context: &RoutingContext) -> Decision {
        match self.seeing(context) {
            Some(experiment) => experiment.router.route(context),
            None => self.otherwise.route(context),
        }
    }
}

impl<R> fmt::Debug for Exclusive<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let experiments = self.experiments.iter().map(|experiment| (&experiment.name, &experiment.slice));
        f.write_str("Exclusive ")?;
        f.debug_map().entries(experiments).finish()
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::{Reason, Variant};

    use super::*;

    fn always(name: &str) -> impl Router {
        let variant = Variant::new(name).unwrap();
        move |_: &RoutingContext| Decision::new(variant.clone(), Reason::Default)
    }

    fn layer() -> Exclusive<impl Router> {
        Exclusive::new("layer", always("none")).with_experiment("a", 0.2..0.5, always("a")).unwrap()
    }

    #[test]
    fn slices_that_overlap_or_are_none_are_refused_by_name() {
        for slice in [0.1..0.21, 0.3..0.4, 0.49..0.6, 0.0..1.0, 0.2..0.5] {
            let error = layer().with_experiment("b", slice.clone(), always("b")).unwrap_err();
            assert!(
                matches!(&error, Error::Conflict { what } if what.contains("`b`") && what.contains("overlaps `a`")),
                "{slice:?}: {error}"
            );
        }
        for slice in [0.6..0.6, 0.7..0.6, -0.1..0.1, 0.9..1.1, f64::NAN..0.1, 0.6..f64::NAN] {
            let error = layer().with_experiment("b", slice.clone(), always("b")).unwrap_err();
            assert!(error.to_string().contains("the experiment `b`"), "{slice:?}: {error}");
        }
        assert!(matches!(layer().with_experiment("a", 0.6..0.7, always("b")), Err(Error::Conflict { .. })));
        assert!(matches!(layer().with_experiment("", 0.6..0.7, always("b")), Err(Error::InvalidInput(_))));
        assert!(layer().with_experiment("b", 0.0..0.2, always("b")).is_ok());
        assert!(layer().with_experiment("b", 0.5..1.0, always("b")).is_ok());
    }

    /// The published vectors of GrowthBook's SDK (`packages/sdk-js/test/cases.json`, `run`, "coverage"):
    /// 40 % of two equal halves of hash version 1.
    #[test]
    fn slices_agree_with_the_coverage_of_growthbook() {
        let layer = Exclusive::new("my-test", always("none"))
            .with_hash(StickyHash::GrowthBookV1)
            .with_experiment("0", 0.0..0.2, always("a"))
            .unwrap()
            .with_experiment("1", 0.5..0.7, always("b"))
            .unwrap();
        let seen: Vec<_> = (1..=9)
            .map(|user| {
                layer.experiment(&RoutingContext::new().with_key(user.to_string())).unwrap_or("-").to_owned()
            })
            .collect();
        assert_eq!(seen, ["-", "0", "0", "-", "1", "-", "0", "1", "-"]);
    }
}
