//! Conditions in the form in which they are asked on every request.

use mlops_core::RoutingContext;

use super::hash::SaltedHash;
use super::version::VersionRange;

/// A checked [`Condition`](crate::Condition). Asking allocates nothing.
#[derive(Debug)]
pub(super) enum Predicate {
    Equals(Box<str>, Box<str>),
    /// Sorted.
    OneOf(Box<str>, Box<[Box<str>]>),
    Prefix(Box<str>, Box<str>),
    Version(Box<str>, VersionRange),
    Exists(Box<str>),
    /// Sorted.
    KeyIn(Box<[Box<str>]>),
    Sample(SaltedHash, f64),
    All(Box<[Predicate]>),
    Any(Box<[Predicate]>),
    Not(Box<Predicate>),
}

impl Predicate {
    pub(super) fn holds(&self, context: &RoutingContext) -> bool {
        let of = |attribute: &str, is: &dyn Fn(&str) -> bool| context.attribute(attribute).is_some_and(is);
        match self {
            Self::Equals(attribute, value) => context.attribute(attribute) == Some(value),
            Self::OneOf(attribute, values) => of(attribute, &|value| lists(values, value)),
            Self::Prefix(attribute, prefix) => of(attribute, &|value| value.starts_with(&**prefix)),
            Self::Version(attribute, range) => of(attribute, &|value| range.contains(value)),
            Self::Exists(attribute) => context.attribute(attribute).is_some(),
            Self::KeyIn(keys) => context.key().is_some_and(|key| lists(keys, key)),
            Self::Sample(hash, share) => hash.point(context).is_some_and(|point| point < *share),
            Self::All(predicates) => predicates.iter().all(|predicate| predicate.holds(context)),
            Self::Any(predicates) => predicates.iter().any(|predicate| predicate.holds(context)),
            Self::Not(predicate) => !predicate.holds(context),
        }
    }
}

fn lists(sorted: &[Box<str>], value: &str) -> bool {
    sorted.binary_search_by(|known| (**known).cmp(value)).is_ok()
}
