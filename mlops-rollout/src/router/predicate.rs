//! Conditions in the form in which they are asked on every request.

use mlops_core::RoutingContext;

use super::hash::SaltedHash;
use super::version::VersionRange;

/// A checked [`Condition`](crate::Condition). Asking allocates nothing.
#[derive(Debug)]
pub(super) enum Predicate {
    Equals(Box<str>, Box<str>),
    OneOf(Box<str>, Words),
    Prefix(Box<str>, Box<str>),
    Version(Box<str>, VersionRange),
    Exists(Box<str>),
    KeyIn(Words),
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
            Self::OneOf(attribute, values) => of(attribute, &|value| values.contains(value)),
            Self::Prefix(attribute, prefix) => of(attribute, &|value| value.starts_with(&**prefix)),
            Self::Version(attribute, range) => of(attribute, &|value| range.contains(value)),
            Self::Exists(attribute) => context.attribute(attribute).is_some(),
            Self::KeyIn(keys) => context.key().is_some_and(|key| keys.contains(key)),
            Self::Sample(hash, share) => hash.point(context).is_some_and(|point| point < *share),
            Self::All(predicates) => predicates.iter().all(|predicate| predicate.holds(context)),
            Self::Any(predicates) => predicates.iter().any(|predicate| predicate.holds(context)),
            Self::Not(predicate) => !predicate.holds(context),
        }
    }
}

/// Texts to look one up in, in order.
#[derive(Debug)]
pub(super) struct Words(Box<[(u64, Box<str>)]>);

impl Words {
    pub(super) fn new(words: &[String]) -> Self {
        let mut words: Vec<_> = words.iter().map(|word| (head(word), Box::from(word.as_str()))).collect();
        words.sort_unstable();
        Self(words.into())
    }

    fn contains(&self, word: &str) -> bool {
        let wanted = (head(word), word);
        self.0.binary_search_by(|(head, known)| (*head, &**known).cmp(&wanted)).is_ok()
    }
}

/// The first bytes of a text as a number, which is compared sooner.
fn head(word: &str) -> u64 {
    word.bytes().take(size_of::<u64>()).fold(0, |head, byte| head << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_are_found_among_their_like(
            words in prop::collection::vec("[ab\u{0}é]{0,3}|same-head[0-9]", 1..20),
            other in "[ab\u{0}é]{0,3}|same-head[0-9]{0,2}",
        ) {
            let listed = Words::new(&words);
            prop_assert!(words.iter().all(|word| listed.contains(word)));
            prop_assert_eq!(listed.contains(&other), words.contains(&other));
        }
    }
}
