//! Which versions are looked for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::ModelVersion;
use crate::{Alias, Error, ModelId, ModelName, Result};

/// Conditions on a version; all must hold. The empty query fits every version.
///
/// ```
/// use mlops_core::Query;
///
/// let query = Query::new().with_tag("team", "risk").with_metric("auc>=0.95".parse()?).with_limit(20);
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// Results come by model, then by version. So page by page:
///
/// ```
/// use mlops_core::{Query, Registry, Result};
///
/// async fn count(registry: &impl Registry) -> Result<usize> {
///     let (mut count, mut query) = (0, Query::new().with_limit(100));
///     loop {
///         let page = registry.search(&query).await?;
///         let Some(last) = page.last() else { return Ok(count) };
///         count += page.len();
///         query = query.after(last.id.clone());
///     }
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Query {
    /// Of this model.
    pub model: Option<ModelName>,
    /// With these tags.
    pub tags: BTreeMap<String, String>,
    /// With metrics like these.
    pub metrics: Vec<MetricCondition>,
    /// With this alias.
    pub alias: Option<Alias>,
    /// With this text somewhere in its name, its description or the values of its tags, in whatever case.
    pub text: Option<String>,
    /// Registered then or later.
    pub registered_from: Option<Timestamp>,
    /// Registered before then.
    pub registered_before: Option<Timestamp>,
    /// Only those that come after this one.
    pub after: Option<ModelId>,
    /// At most that many.
    pub limit: Option<usize>,
}

/// How a metric must compare: `auc>=0.95`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricCondition {
    /// The name of the metric. A version without it does not fit.
    pub name: String,
    /// How it must compare with `value`.
    pub comparison: Comparison,
    /// With what it is compared.
    pub value: f64,
}

/// How a metric compares with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Greater,
}

impl Query {
    /// The query that fits every version.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only versions of this model.
    #[must_use]
    pub fn with_model(mut self, model: ModelName) -> Self {
        self.model = Some(model);
        self
    }

    /// Only versions with this tag.
    #[must_use]
    pub fn with_tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Only versions with a metric like this.
    #[must_use]
    pub fn with_metric(mut self, condition: MetricCondition) -> Self {
        self.metrics.push(condition);
        self
    }

    /// Only versions with this metric, at least this high.
    #[must_use]
    pub fn with_metric_at_least(self, name: impl Into<String>, value: f64) -> Self {
        self.with_metric(MetricCondition { name: name.into(), comparison: Comparison::AtLeast, value })
    }

    /// Only the versions this alias points to.
    #[must_use]
    pub fn with_alias(mut self, alias: Alias) -> Self {
        self.alias = Some(alias);
        self
    }

    /// Only versions with this text in their name, their description or the values of their tags, in whatever case.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Only versions that were registered then or later.
    #[must_use]
    pub fn registered_from(mut self, time: Timestamp) -> Self {
        self.registered_from = Some(time);
        self
    }

    /// Only versions that were registered before then.
    #[must_use]
    pub fn registered_before(mut self, time: Timestamp) -> Self {
        self.registered_before = Some(time);
        self
    }

    /// Only what comes after this version: the next page after the one that ended with it.
    #[must_use]
    pub fn after(mut self, last: ModelId) -> Self {
        self.after = Some(last);
        self
    }

    /// At most that many versions: a page.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Whether a version fits. Every registry answers searches by this rule, and then keeps to the limit.
    #[must_use]
    pub fn matches(&self, version: &ModelVersion) -> bool {
        let contains = |text: &str| {
            let text = text.to_lowercase();
            let found = |place: &str| place.to_lowercase().contains(&text);
            found(version.id.name.as_str())
                || found(&version.description)
                || version.tags.values().any(|value| found(value))
        };
        self.model.as_ref().is_none_or(|model| *model == version.id.name)
            && self.after.as_ref().is_none_or(|last| version.id > *last)
            && self.registered_from.is_none_or(|from| version.registered_at >= from)
            && self.registered_before.is_none_or(|before| version.registered_at < before)
            && self.alias.as_ref().is_none_or(|alias| version.aliases.contains(alias))
            && self.tags.iter().all(|(name, value)| version.tags.get(name) == Some(value))
            && self.metrics.iter().all(|condition| condition.holds(&version.metrics))
            && self.text.as_deref().is_none_or(contains)
    }
}

impl MetricCondition {
    /// Whether these metrics are as it says.
    #[must_use]
    pub fn holds(&self, metrics: &BTreeMap<String, f64>) -> bool {
        metrics.get(&self.name).is_some_and(|metric| match self.comparison {
            Comparison::Less => *metric < self.value,
            Comparison::AtMost => *metric <= self.value,
            Comparison::Equal => *metric == self.value,
            Comparison::AtLeast => *metric >= self.value,
            Comparison::Greater => *metric > self.value,
        })
    }
}

const SIGNS: [(&str, Comparison); 6] = [
    // The longer ones first, for they begin with the shorter ones.
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

impl FromStr for MetricCondition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let at = text.find(['<', '>', '='])?;
            let (name, rest) = (text[..at].trim(), &text[at..]);
            let (sign, comparison) = SIGNS.into_iter().find(|(sign, _)| rest.starts_with(sign))?;
            let value = rest[sign.len()..].trim().parse::<f64>().ok().filter(|value| value.is_finite())?;
            (!name.is_empty()).then(|| Self { name: name.to_owned(), comparison, value })
        };
        parse().ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            Error::invalid_input(format!(
                "{shown:?} is no condition on a metric; expected a name, one of `<`, `<=`, `=`, `>=`, `>`, and a \
                 number: `auc>=0.95`"
            ))
        })
    }
}

impl fmt::Display for MetricCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = SIGNS.iter().rfind(|(_, comparison)| *comparison == self.comparison);
        write!(f, "{}{}{}", self.name, sign.map_or("", |(sign, _)| sign), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_parsed_written_and_held() {
        let metrics = BTreeMap::from([("auc".to_owned(), 0.95)]);
        for (text, holds) in [
            ("auc>=0.95", true),
            ("auc>0.95", false),
            ("auc<=0.95", true),
            ("auc<0.95", false),
            ("auc=0.95", true),
            ("loss<=1", false),
        ] {
            let condition: MetricCondition = text.parse().unwrap();
            assert_eq!(condition.to_string(), text);
            assert_eq!(condition.holds(&metrics), holds, "{text}");
        }
        assert_eq!("auc == 0.95".parse::<MetricCondition>().unwrap().to_string(), "auc=0.95");
        for text in ["", "auc", "auc>=", ">=1", "auc>=many", "auc>=NaN", "auc<>1", "auc=>1"] {
            assert!(text.parse::<MetricCondition>().is_err(), "{text}");
        }
    }
}
