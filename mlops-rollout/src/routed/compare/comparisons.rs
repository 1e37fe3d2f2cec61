//! Which output is compared how.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mlops_core::Tensors;

use super::{Agreement, Comparer, Exact, SameDistribution};

/// How the outputs of a shadow are compared with those that callers got: a [`Comparer`] per output, and one
/// for the rest. A comparer by itself is a comparison of all outputs.
///
/// ```
/// use mlops_core::{Tensor, Tensors};
/// use mlops_rollout::{Agreement, Comparisons, SameDistribution, Within};
///
/// let comparisons = Comparisons::new() // the rest: exact
///     .with_output("score", Within::new(0.5, 0.0))
///     .with_distribution("noise", SameDistribution::new());
/// let outputs = |score: f32, noise: f32| {
///     Tensors::new().with("score", vec![score]).with("label", vec![1_i64]).with("noise", vec![noise])
/// };
/// let (primary, shadow) = (outputs(1.0, 0.3), outputs(1.25, 0.7));
/// let expected = [("score", Agreement::Agrees(0.25)), ("label", Agreement::Agrees(0.0))];
/// assert_eq!(comparisons.compare(&primary, &shadow), expected);
/// assert!(comparisons.agree(&primary, &shadow));
/// ```
#[derive(Clone)]
pub struct Comparisons {
    rest: Arc<dyn Comparer>,
    outputs: BTreeMap<String, Arc<dyn Comparer>>,
    distributions: BTreeMap<String, SameDistribution>,
    kept: usize,
}

const KEPT: usize = 16;

impl Comparisons {
    /// [`Exact`] for every output; 16 disagreements of each are kept.
    #[must_use]
    pub fn new() -> Self {
        Self { rest: Arc::new(Exact), outputs: BTreeMap::new(), distributions: BTreeMap::new(), kept: KEPT }
    }

    /// Compares every output that has no comparer of its own in this way.
    #[must_use]
    pub fn with_rest(mut self, comparer: impl Comparer) -> Self {
        self.rest = Arc::new(comparer);
        self
    }

    /// Compares that output in this way.
    #[must_use]
    pub fn with_output(mut self, output: impl Into<String>, comparer: impl Comparer) -> Self {
        self.outputs.insert(output.into(), Arc::new(comparer));
        self
    }

    /// Compares how the values of that output are distributed over all requests. Request by request it is
    /// compared only if it has a comparer of its own too.
    #[must_use]
    pub fn with_distribution(mut self, output: impl Into<String>, test: SameDistribution) -> Self {
        self.distributions.insert(output.into(), test);
        self
    }

    /// How many disagreements are kept of each output, with the values of both: each that occurs has the same
    /// chance to be among them. 0 keeps no value of any request in memory.
    #[must_use]
    pub fn with_kept_disagreements(mut self, disagreements: usize) -> Self {
        self.kept = disagreements;
        self
    }

    /// What the comparer of each output says: the outputs of `primary` first, in their order, then those that
    /// only `shadow` has. Outputs that are compared by their distribution alone are left out. A comparer that
    /// panics cannot say anything: [`Agreement::Incomparable`].
    #[must_use]
    pub fn compare<'a>(&self, primary: &'a Tensors, shadow: &'a Tensors) -> Vec<(&'a str, Agreement)> {
        let unexpected = shadow.names().filter(|name| primary.get(name).is_none());
        let names = primary.names().chain(unexpected);
        let compared = names.filter_map(|name| Some((name, self.comparer(name)?)));
        let compared = compared.map(|(name, comparer)| match (primary.get(name), shadow.get(name)) {
            (Some(one), Some(other)) => {
                let agreement = catch_unwind(AssertUnwindSafe(|| comparer.compare(one, other)));
                (name, agreement.unwrap_or(Agreement::Incomparable))
            }
            _ => (name, Agreement::Incomparable),
        });
        compared.collect()
    }

    /// Whether all of them agree.
    #[must_use]
    pub fn agree(&self, primary: &Tensors, shadow: &Tensors) -> bool {
        self.compare(primary, shadow).iter().all(|(_, agreement)| agreement.agrees())
    }

    fn comparer(&self, output: &str) -> Option<&dyn Comparer> {
        match self.outputs.get(output) {
            Some(own) => Some(&**own),
            None if self.distributions.contains_key(output) => None,
            None => Some(&*self.rest),
        }
    }

    /// The outputs that are named here.
    pub(in crate::routed) fn named(&self) -> BTreeSet<&str> {
        self.outputs.keys().chain(self.distributions.keys()).map(String::as_str).collect()
    }

    pub(in crate::routed) fn distribution(&self, output: &str) -> Option<SameDistribution> {
        self.distributions.get(output).copied()
    }

    pub(in crate::routed) fn kept(&self) -> usize {
        self.kept
    }
}

impl Default for Comparisons {
    fn default() -> Self {
        Self::new()
    }
}

/// All outputs in the same way.
impl<C: Comparer> From<C> for Comparisons {
    fn from(comparer: C) -> Self {
        Self::new().with_rest(comparer)
    }
}

impl fmt::Debug for Comparisons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparisons")
            .field("outputs", &self.outputs.keys().collect::<Vec<_>>())
            .field("distributions", &self.distributions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::Tensor;

    use super::*;
    use crate::Within;

    fn outputs(pairs: &[(&str, f32)]) -> Tensors {
        pairs.iter().map(|(name, value)| (*name, Tensor::from(vec![*value]))).collect()
    }

    #[test]
    fn each_output_has_its_comparer_and_what_is_missing_is_told() {
        let comparisons = Comparisons::from(Within::new(0.5, 0.0)).with_output("strict", Exact);
        let primary = outputs(&[("loose", 1.0), ("strict", 1.0), ("gone", 1.0)]);
        let shadow = outputs(&[("new", 1.0), ("strict", 1.25), ("loose", 1.25)]);
        let expected = [
            ("loose", Agreement::Agrees(0.25)),
            ("strict", Agreement::Disagrees(1.0)),
            ("gone", Agreement::Incomparable),
            ("new", Agreement::Incomparable),
        ];
        assert_eq!(comparisons.compare(&primary, &shadow), expected);
        assert!(!comparisons.agree(&primary, &shadow) && comparisons.agree(&primary, &primary));
    }

    #[test]
    fn a_distribution_alone_is_not_compared_request_by_request() {
        let (one, other) = (outputs(&[("y", 1.0)]), outputs(&[("y", 2.0)]));
        let alone = Comparisons::new().with_distribution("y", SameDistribution::new());
        assert!(alone.compare(&one, &other).is_empty());
        let both = alone.with_output("y", Exact);
        assert_eq!(both.compare(&one, &other), [("y", Agreement::Disagrees(1.0))]);
    }

    #[test]
    fn a_comparer_that_panics_disagrees() {
        let broken = |_: &Tensor, _: &Tensor| -> bool { panic!("broken") };
        let y = outputs(&[("y", 1.0)]);
        assert_eq!(Comparisons::from(broken).compare(&y, &y), [("y", Agreement::Incomparable)]);
    }
}
