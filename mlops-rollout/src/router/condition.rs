//! What a request must be for a rule to speak.

use std::ops::Not;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::StickyHash;
use super::hash::SaltedHash;
use super::predicate::{Predicate, Words};
use super::shares::checked_share;
use super::version::VersionRange;

/// What must be known of a request for a rule of [`Targeted`](crate::Targeted) to speak.
///
/// An attribute that the request does not have fulfils no condition, so the negation (`!`) of any holds
/// for it. Texts are compared byte by byte.
///
/// ```
/// use mlops_rollout::Condition;
///
/// // A tenth of the users in Norway and Sweden whose app is new enough.
/// let condition = Condition::all([
///     Condition::one_of("country", ["NO", "SE"]),
///     Condition::version("app", ">=2.1.0, <3.0.0"),
///     Condition::sample(0.1, "nordics"),
/// ]);
/// # let toml = r#"
/// # all = [
/// #     { one_of = { attribute = "country", values = ["NO", "SE"] } },
/// #     { version = { attribute = "app", matches = ">=2.1.0, <3.0.0" } },
/// #     { sample = { share = 0.1, salt = "nordics" } },
/// # ]"#;
/// # assert_eq!(toml::from_str::<Condition>(toml)?, condition);
/// # Ok::<(), toml::de::Error>(())
/// ```
///
/// The same in TOML:
///
/// ```toml
/// all = [
///     { one_of = { attribute = "country", values = ["NO", "SE"] } },
///     { version = { attribute = "app", matches = ">=2.1.0, <3.0.0" } },
///     { sample = { share = 0.1, salt = "nordics" } },
/// ]
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Condition {
    /// The attribute has this value.
    Equals {
        /// Its name.
        attribute: String,
        /// The value.
        value: String,
    },
    /// The attribute has one of these values. Searched by halves, so a long list costs little.
    OneOf {
        /// Its name.
        attribute: String,
        /// The values.
        values: Vec<String>,
    },
    /// The attribute begins with this text.
    Prefix {
        /// Its name.
        attribute: String,
        /// The text.
        prefix: String,
    },
    /// The attribute is a version that fulfils all of the comparisons, in the order of Semantic
    /// Versioning 2.0.0, section 11: `2.1.0-beta.2 < 2.1.0-beta.10 < 2.1.0`. Not as in Cargo, `>=2.0.0`
    /// holds for `2.1.0-beta.2`. Missing numbers are zero and a `v` in front is skipped: `v2.1` is
    /// `2.1.0`.
    Version {
        /// Its name.
        attribute: String,
        /// Comparisons with `>=`, `>`, `<=`, `<` or `=`, separated by commas: `>=2.1.0, <3.0.0`.
        matches: String,
    },
    /// The attribute is there, be it empty.
    Exists {
        /// Its name.
        attribute: String,
    },
    /// The routing key is one of these.
    KeyIn(Vec<String>),
    /// The key lies in a share of all keys: always the same ones, and all of them still when the share
    /// has grown. False without a key.
    Sample {
        /// 0 to 1.
        share: f64,
        /// Another one for each rule, or the same users are always first.
        salt: String,
        /// The hash that lays the keys.
        #[serde(default)]
        hash: StickyHash,
        /// The attribute that is hashed in the place of the key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attribute: Option<String>,
    },
    /// All of these.
    All(Vec<Condition>),
    /// At least one of these.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
}

impl Not for Condition {
    type Output = Self;

    /// Not this.
    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

/// Deeper than any rule that a person can follow, and shallow enough for every stack.
const MAX_DEPTH: usize = 32;

impl Condition {
    /// The attribute has this value.
    pub fn equals(attribute: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Equals { attribute: attribute.into(), value: value.into() }
    }

    /// The attribute has one of these values.
    pub fn one_of<V: Into<String>>(
        attribute: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::OneOf { attribute: attribute.into(), values: values.into_iter().map(Into::into).collect() }
    }

    /// The attribute begins with this text.
    pub fn prefix(attribute: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self::Prefix { attribute: attribute.into(), prefix: prefix.into() }
    }

    /// The attribute is a version that fulfils these comparisons: [`Version`](Self::Version).
    pub fn version(attribute: impl Into<String>, matches: impl Into<String>) -> Self {
        Self::Version { attribute: attribute.into(), matches: matches.into() }
    }

    /// The attribute is there.
    pub fn exists(attribute: impl Into<String>) -> Self {
        Self::Exists { attribute: attribute.into() }
    }

    /// The routing key is one of these.
    pub fn key_in<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self::KeyIn(keys.into_iter().map(Into::into).collect())
    }

    /// The key lies in this share of all keys: [`Sample`](Self::Sample).
    pub fn sample(share: f64, salt: impl Into<String>) -> Self {
        Self::Sample { share, salt: salt.into(), hash: StickyHash::default(), attribute: None }
    }

    /// All of these.
    pub fn all(conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::All(conditions.into_iter().collect())
    }

    /// At least one of these.
    pub fn any(conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::Any(conditions.into_iter().collect())
    }

    /// In the form in which it is asked.
    pub(super) fn compile(&self) -> Result<Predicate> {
        self.compile_within(MAX_DEPTH)
    }

    fn compile_within(&self, depth: usize) -> Result<Predicate> {
        let Some(depth) = depth.checked_sub(1) else {
            return refused(format!(
                "conditions lie in each other more than {MAX_DEPTH} deep; make rules of their own"
            ));
        };
        Ok(match self {
            Self::Equals { attribute, value } => Predicate::Equals(named(attribute)?, value.as_str().into()),
            Self::OneOf { attribute, values } => {
                Predicate::OneOf(named(attribute)?, listed(values, "one_of")?)
            }
            Self::Prefix { prefix, .. } if prefix.is_empty() => {
                return refused("every text begins with an empty prefix; ask whether the attribute exists");
            }
            Self::Prefix { attribute, prefix } => {
                Predicate::Prefix(named(attribute)?, prefix.as_str().into())
            }
            Self::Version { attribute, matches } => {
                Predicate::Version(named(attribute)?, VersionRange::parse(matches)?)
            }
            Self::Exists { attribute } => Predicate::Exists(named(attribute)?),
            Self::KeyIn(keys) => Predicate::KeyIn(listed(keys, "key_in")?),
            Self::Sample { share, salt, hash, attribute } => {
                let salted = SaltedHash::new(salt).with_hash(*hash);
                let salted = match attribute {
                    Some(attribute) => salted.of_attribute(named(attribute)?),
                    None => salted,
                };
                Predicate::Sample(salted, checked_share(*share)?)
            }
            Self::All(conditions) => Predicate::All(compiled(conditions, "all", depth)?),
            Self::Any(conditions) => Predicate::Any(compiled(conditions, "any", depth)?),
            Self::Not(condition) => Predicate::Not(Box::new(condition.compile_within(depth)?)),
        })
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::invalid_input(why))
}

fn named(attribute: &str) -> Result<Box<str>> {
    if attribute.is_empty() { refused("an attribute has no name") } else { Ok(attribute.into()) }
}

fn listed(values: &[String], which: &str) -> Result<Words> {
    if values.is_empty() {
        return refused(format!("`{which}` lists nothing, so it would never hold"));
    }
    Ok(Words::new(values))
}

fn compiled(conditions: &[Condition], which: &str, depth: usize) -> Result<Box<[Predicate]>> {
    if conditions.is_empty() {
        return refused(format!("`{which}` lists no condition, so it would always or never hold"));
    }
    conditions.iter().map(|condition| condition.compile_within(depth)).collect()
}

#[cfg(test)]
mod tests {
    use mlops_core::RoutingContext;

    use super::*;

    fn holds(condition: &Condition, context: &RoutingContext) -> bool {
        condition.compile().unwrap().holds(context)
    }

    fn with(attribute: &str, value: &str) -> RoutingContext {
        RoutingContext::new().with_attribute(attribute, value)
    }

    #[test]
    fn conditions_hold_where_they_say_and_nowhere_else() {
        let nobody = RoutingContext::new();
        for (condition, yes, no) in [
            (Condition::equals("country", "NO"), "NO", &["no", "NOR", "", "SE"][..]),
            (Condition::one_of("country", ["SE", "NO", "DK"]), "NO", &["N", "NO ", ""]),
            (Condition::prefix("country", "NO"), "NO-03", &["N", "no-03", "", "-NO"]),
            (Condition::prefix("country", "é"), "été", &["e", "\u{c3}"]),
            (Condition::version("country", ">=2"), "2.0.0", &["1.9", "2.0.0-rc.1", "NO", ""]),
        ] {
            assert!(holds(&condition, &with("country", yes)), "{condition:?} of {yes}");
            assert!(!holds(&condition, &with("language", yes)), "{condition:?} of another attribute");
            assert!(!holds(&condition, &nobody), "{condition:?} of nobody");
            assert!(holds(&!condition.clone(), &nobody), "not {condition:?} of nobody");
            for no in no {
                assert!(!holds(&condition, &with("country", no)), "{condition:?} of {no:?}");
            }
        }
        assert!(holds(&Condition::exists("beta"), &with("beta", "")));
        assert!(!holds(&Condition::exists("beta"), &nobody));
        let keys = Condition::key_in(["user-2", "user-1"]);
        assert!(holds(&keys, &RoutingContext::new().with_key("user-1")));
        assert!(!holds(&keys, &RoutingContext::new().with_key("user-3")) && !holds(&keys, &nobody));
    }

    #[test]
    fn conditions_are_joined_as_in_logic() {
        let (yes, no) = (Condition::exists("a"), Condition::exists("b"));
        let context = with("a", "");
        for (all, any, conditions) in [
            (true, true, vec![yes.clone(), yes.clone()]),
            (false, true, vec![yes.clone(), no.clone()]),
            (false, true, vec![no.clone(), yes.clone()]),
            (false, false, vec![no.clone(), no.clone()]),
        ] {
            assert_eq!(holds(&Condition::all(conditions.clone()), &context), all, "{conditions:?}");
            assert_eq!(holds(&Condition::any(conditions.clone()), &context), any, "{conditions:?}");
        }
        assert!(!holds(&!yes, &context) && holds(&!no, &context));
    }

    #[test]
    fn conditions_that_cannot_be_meant_are_refused() {
        let none: [&str; 0] = [];
        let deep = (0..40).fold(Condition::exists("a"), |inner, _| !inner);
        for (condition, why) in [
            (Condition::equals("", "x"), "an attribute has no name"),
            (Condition::exists(""), "an attribute has no name"),
            (Condition::prefix("a", ""), "every text begins with an empty prefix"),
            (Condition::one_of("a", none), "`one_of` lists nothing"),
            (Condition::key_in(none), "`key_in` lists nothing"),
            (Condition::version("a", "2.0"), "`2.0` in `2.0` compares with no version"),
            (Condition::sample(1.5, "s"), "1.5 is no share"),
            (Condition::sample(f64::NAN, "s"), "NaN is no share"),
            (Condition::all([]), "`all` lists no condition"),
            (Condition::any([]), "`any` lists no condition"),
            (!Condition::any([Condition::exists("")]), "an attribute has no name"),
            (deep, "more than 32 deep"),
        ] {
            let error = condition.compile().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
