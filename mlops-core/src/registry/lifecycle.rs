//! What happens to a version after it is registered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Alias, ModelId, ModelName};

/// What an examination of a version has found: an evaluation on other data, a gate it passed or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The name of the examination: `accuracy-gate`, `fairness`. A later report of the same name stands beside the
    /// earlier one.
    pub name: String,
    /// What the gate decided; `None` when the report decides nothing.
    pub passed: Option<bool>,
    /// What was measured, by name.
    pub metrics: BTreeMap<String, f64>,
    /// What a person should know.
    pub summary: String,
    /// When it was attached.
    pub at: Timestamp,
    /// Who attached it.
    pub by: String,
}

/// A report on its way to a version.
///
/// ```
/// use mlops_core::{ModelId, ModelName, NewReport};
///
/// let fraud = ModelId::new(ModelName::new("fraud")?, "2.0.0".parse()?);
/// let report = NewReport::gate(fraud, "accuracy-gate", true)
///     .with_metric("auc", 0.97)
///     .with_summary("0.97 on 40,000 rows; 0.95 were asked for")
///     .by("ci");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewReport {
    /// On which version.
    pub id: ModelId,
    /// The name of the examination.
    pub name: String,
    /// What the gate decided; `None` when the report decides nothing.
    pub passed: Option<bool>,
    /// What was measured, by name. Must be finite.
    pub metrics: BTreeMap<String, f64>,
    /// What a person should know.
    pub summary: String,
    /// Who attaches it.
    pub actor: String,
}

impl NewReport {
    /// The report of an evaluation, which decides nothing.
    #[must_use]
    pub fn evaluation(id: ModelId, name: impl Into<String>) -> Self {
        let (name, metrics) = (name.into(), BTreeMap::new());
        Self { id, name, passed: None, metrics, summary: String::new(), actor: String::new() }
    }

    /// The report of a gate.
    #[must_use]
    pub fn gate(id: ModelId, name: impl Into<String>, passed: bool) -> Self {
        Self { passed: Some(passed), ..Self::evaluation(id, name) }
    }

    /// Adds a measurement. It must be finite.
    #[must_use]
    pub fn with_metric(mut self, name: impl Into<String>, value: f64) -> Self {
        self.metrics.insert(name.into(), value);
        self
    }

    /// Sets what a person should know.
    #[must_use]
    pub fn with_summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// Says who attaches it.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }
}

/// Somebody's word that an alias may move to a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Which alias may move to the version.
    pub alias: Alias,
    /// Who says so.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub comment: String,
}

/// What must be there before an alias may move to a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Protection {
    /// How many different people must have approved.
    pub approvals: u32,
    /// Whether a gate must have reported on the version, and the last report of each gate that it passed.
    pub passed_gate: bool,
}

impl Protection {
    /// Demands the approvals of that many different people.
    #[must_use]
    pub fn with_approvals(mut self, approvals: u32) -> Self {
        self.approvals = approvals;
        self
    }

    /// Demands the report of at least one gate, and that every gate was passed.
    #[must_use]
    pub fn with_passed_gate(mut self) -> Self {
        self.passed_gate = true;
        self
    }
}

/// An intended warning against a version, or its end. A version that is warned against works as before.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deprecation {
    /// Which version.
    pub id: ModelId,
    /// Why it should not be used any more, and what instead; `None` takes the warning back.
    pub reason: Option<String>,
    /// Who says so.
    pub actor: String,
}

impl Deprecation {
    /// Warns against a version.
    pub fn new(id: ModelId, reason: impl Into<String>) -> Self {
        Self { id, reason: Some(reason.into()), actor: String::new() }
    }

    /// Takes the warning back.
    #[must_use]
    pub fn withdrawn(id: ModelId) -> Self {
        Self { id, reason: None, actor: String::new() }
    }

    /// Says who says so.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }
}

/// An intended deletion of a version. Its number stays taken, and its history stays.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deletion {
    /// Which version.
    pub id: ModelId,
    /// Who deletes it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl Deletion {
    /// Deletes a version, to which no alias may point.
    #[must_use]
    pub fn new(id: ModelId) -> Self {
        Self { id, actor: String::new(), reason: String::new() }
    }

    /// Says who deletes it.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }
}

/// An intended way back: the alias shall point where it pointed before.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rollback {
    /// The model.
    pub model: ModelName,
    /// The alias.
    pub alias: Alias,
    /// Who goes back.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl Rollback {
    /// Moves `alias` back; [`AliasHistory::previous`](crate::AliasHistory::previous) says where to.
    #[must_use]
    pub fn new(model: ModelName, alias: Alias) -> Self {
        Self { model, alias, actor: String::new(), reason: String::new() }
    }

    /// Says who goes back.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }
}
