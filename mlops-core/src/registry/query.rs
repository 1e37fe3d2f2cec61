//! Which versions are looked for.

use std::collections::BTreeMap;

use super::ModelVersion;
use crate::{Alias, ModelName};

/// Conditions on a version; all must hold. The empty query fits every version.
///
/// ```
/// use mlops_core::Query;
///
/// let query = Query::new().with_tag("team", "risk").with_metric_at_least("auc", 0.95);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Query {
    /// Of this model.
    pub model: Option<ModelName>,
    /// With these tags.
    pub tags: BTreeMap<String, String>,
    /// With these metrics, at least this high.
    pub metrics_at_least: BTreeMap<String, f64>,
    /// With this alias.
    pub alias: Option<Alias>,
    /// With this text somewhere in its name or its description, in whatever case.
    pub text: Option<String>,
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

    /// Only versions with this metric, at least this high.
    #[must_use]
    pub fn with_metric_at_least(mut self, name: impl Into<String>, value: f64) -> Self {
        self.metrics_at_least.insert(name.into(), value);
        self
    }

    /// Only the versions this alias points to.
    #[must_use]
    pub fn with_alias(mut self, alias: Alias) -> Self {
        self.alias = Some(alias);
        self
    }

    /// Only versions with this text in their name or description, in whatever case.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Whether a version fits. Every registry answers searches by this rule.
    #[must_use]
    pub fn matches(&self, version: &ModelVersion) -> bool {
        let contains = |text: &str| {
            let text = text.to_lowercase();
            version.id.name.as_str().to_lowercase().contains(&text)
                || version.description.to_lowercase().contains(&text)
        };
        self.model.as_ref().is_none_or(|model| *model == version.id.name)
            && self.tags.iter().all(|(name, value)| version.tags.get(name) == Some(value))
            && self
                .metrics_at_least
                .iter()
                .all(|(name, floor)| version.metrics.get(name).is_some_and(|value| value >= floor))
            && self.alias.as_ref().is_none_or(|alias| version.aliases.contains(alias))
            && self.text.as_deref().is_none_or(contains)
    }
}
