//! Which signals a rule is about.

use std::collections::BTreeMap;
use std::fmt;

use mlops_core::{Error, Result};
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::Signal;

/// Signals of one name whose labels match.
///
/// ```
/// use mlops_monitor::Signal;
/// use mlops_monitor::alert::{Matcher, Selector};
///
/// let selector = Selector::new("drift.psi").with_label("feature", Matcher::regex("customer_.*")?);
/// assert!(selector.matches(&Signal::new("drift.psi", 0.3).with_label("feature", "customer_age")));
/// assert!(!selector.matches(&Signal::new("drift.psi", 0.3).with_label("feature", "age")));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    signal: String,
    labels: BTreeMap<String, Matcher>,
}

/// What the value of a label has to be. A label that is not there has the value `""`.
///
/// In documents: `"canary"`, `{ not = "canary" }`, `{ one_of = ["a", "b"] }`, `{ regex = "cust_.*" }` or
/// `{ not_regex = "tmp_.*" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Matcher(Written);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a text, or one of `{ not = .. }`, `{ one_of = [..] }`, `{ regex = .. }`, `{ not_regex = .. }`"
)]
enum Written {
    Equal(String),
    Operator(Operator),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operator {
    Not(String),
    OneOf(Vec<String>),
    Regex(Pattern),
    NotRegex(Pattern),
}

/// A regular expression that has to match all of a text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Pattern {
    written: String,
    regex: Regex,
}

impl Selector {
    /// All signals of that name.
    pub fn new(signal: impl Into<String>) -> Self {
        Self { signal: signal.into(), labels: BTreeMap::new() }
    }

    /// Only those whose label matches.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>, matcher: impl Into<Matcher>) -> Self {
        self.labels.insert(label.into(), matcher.into());
        self
    }

    /// The name of the signals.
    #[must_use]
    pub fn signal(&self) -> &str {
        &self.signal
    }

    /// What their labels have to be.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, Matcher> {
        &self.labels
    }

    /// Whether `signal` is one of them. One that is not a number never is.
    #[must_use]
    pub fn matches(&self, signal: &Signal) -> bool {
        signal.name == self.signal
            && !signal.value.is_nan()
            && all_match(&self.labels, |label| signal.labels.get(label).map(String::as_str))
    }

    /// The labels that only one value can match.
    pub(crate) fn fixed_labels(&self) -> BTreeMap<String, String> {
        let fixed = self.labels.iter().filter_map(|(label, matcher)| match &matcher.0 {
            Written::Equal(value) => Some((label.clone(), value.clone())),
            Written::Operator(_) => None,
        });
        fixed.collect()
    }

    pub(crate) fn from_parts(signal: String, labels: BTreeMap<String, Matcher>) -> Self {
        Self { signal, labels }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.signal.is_empty() {
            return Err(Error::invalid_input("the name of the signal is empty; it is, say, `drift.psi`"));
        }
        Ok(())
    }
}

/// Whether each label has a value that matches.
pub(crate) fn all_match<'a>(
    matchers: &BTreeMap<String, Matcher>,
    value: impl Fn(&str) -> Option<&'a str>,
) -> bool {
    matchers.iter().all(|(label, matcher)| matcher.matches(value(label).unwrap_or_default()))
}

impl Matcher {
    /// The value is this one.
    pub fn equal(value: impl Into<String>) -> Self {
        Self(Written::Equal(value.into()))
    }

    /// The value is another than this.
    pub fn not(value: impl Into<String>) -> Self {
        Self(Written::Operator(Operator::Not(value.into())))
    }

    /// The value is one of these.
    pub fn one_of(values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(Written::Operator(Operator::OneOf(values.into_iter().map(Into::into).collect())))
    }

    /// The regular expression matches the whole value.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is none.
    pub fn regex(pattern: impl Into<String>) -> Result<Self> {
        Ok(Self(Written::Operator(Operator::Regex(Pattern::new(pattern.into())?))))
    }

    /// The regular expression does not match the whole value.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is none.
    pub fn not_regex(pattern: impl Into<String>) -> Result<Self> {
        Ok(Self(Written::Operator(Operator::NotRegex(Pattern::new(pattern.into())?))))
    }

    /// Whether `value` is what it has to be.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match &self.0 {
            Written::Equal(wanted) => wanted == value,
            Written::Operator(Operator::Not(unwanted)) => unwanted != value,
            Written::Operator(Operator::OneOf(wanted)) => wanted.iter().any(|wanted| wanted == value),
            Written::Operator(Operator::Regex(pattern)) => pattern.regex.is_match(value),
            Written::Operator(Operator::NotRegex(pattern)) => !pattern.regex.is_match(value),
        }
    }
}

impl<T: Into<String>> From<T> for Matcher {
    fn from(value: T) -> Self {
        Self::equal(value)
    }
}

impl Pattern {
    fn new(written: String) -> Result<Self> {
        // By itself first: `a)|(?:b` is a pattern only between the parentheses.
        let whole = Regex::new(&written).and_then(|_| Regex::new(&format!("^(?:{written})$")));
        match whole {
            Ok(regex) => Ok(Self { written, regex }),
            Err(cause) => Err(Error::invalid_input(format!("`{written}` is no regular expression: {cause}"))),
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl TryFrom<String> for Pattern {
    type Error = Error;

    fn try_from(written: String) -> Result<Self> {
        Self::new(written)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.written
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_match_whole_values_and_what_is_absent_is_empty() {
        for (matcher, matching, other) in [
            (Matcher::equal("a"), "a", "ab"),
            (Matcher::not("a"), "", "a"),
            (Matcher::one_of(["a", "b"]), "b", "c"),
            (Matcher::regex("a|b").unwrap(), "b", "ab"),
            (Matcher::not_regex("a.*").unwrap(), "", "abc"),
        ] {
            assert!(matcher.matches(matching) && !matcher.matches(other), "{matcher:?}");
            let json = serde_json::to_string(&matcher).unwrap();
            assert_eq!(serde_json::from_str::<Matcher>(&json).unwrap(), matcher);
        }
        let selector = Selector::new("x").with_label("variant", Matcher::not("canary"));
        assert!(selector.matches(&Signal::new("x", 1.0)));
        assert!(!selector.matches(&Signal::new("x", f64::NAN)));
    }

    #[test]
    fn what_is_no_regular_expression_is_refused() {
        for wrong in ["(", "a)|(?:b"] {
            let error = Matcher::regex(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}` is no regular expression")), "{error}");
        }
    }
}
