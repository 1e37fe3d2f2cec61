//! A version of a model, before and after it is registered.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::{Approval, Content, Digest, Report};
use crate::{Alias, ModelId, ModelName, Signature};

/// A version on its way into a registry.
///
/// ```
/// use mlops_core::{DType, Dimension, Lineage, ModelName, NewVersion, Signature, TensorSpec};
///
/// let signature = Signature::new(
///     [TensorSpec::new("x", DType::Fp32, [Dimension::Batch, Dimension::Fixed(4)])],
///     [TensorSpec::new("y", DType::Fp32, [Dimension::Batch])],
/// )?;
/// let new = NewVersion::new(ModelName::new("fraud")?, signature)
///     .with_version("1.0.0".parse()?)
///     .with_artifact("weights", &b"..."[..])
///     .with_metric("auc", 0.97)
///     .with_lineage(Lineage::default().with_code("4f1c2e7").with_data_rows(120_000))
///     .by("ci");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewVersion {
    /// The model this is a version of. It comes into being with its first version.
    pub model: ModelName,
    /// The version; `None` for the next major one.
    pub version: Option<Version>,
    /// What the model takes and gives.
    pub signature: Signature,
    /// Named bytes: weights, an ONNX file, a reference profile, a model card.
    pub artifacts: BTreeMap<String, Content>,
    /// Offline results, by name.
    pub metrics: BTreeMap<String, f64>,
    /// How it was trained, by name.
    pub parameters: BTreeMap<String, String>,
    /// Labels to search by. They can change later.
    pub tags: BTreeMap<String, String>,
    /// What a person should know.
    pub description: String,
    /// Where it comes from.
    pub lineage: Lineage,
    /// Who registers it.
    pub actor: String,
}

impl NewVersion {
    /// The next version of `model`, with nothing but a signature.
    #[must_use]
    pub fn new(model: ModelName, signature: Signature) -> Self {
        Self {
            model,
            version: None,
            signature,
            artifacts: BTreeMap::new(),
            metrics: BTreeMap::new(),
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
            description: String::new(),
            lineage: Lineage::default(),
            actor: String::new(),
        }
    }

    /// Sets the version.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Adds an artifact.
    #[must_use]
    pub fn with_artifact(mut self, name: impl Into<String>, content: impl Into<Content>) -> Self {
        self.artifacts.insert(name.into(), content.into());
        self
    }

    /// Adds an offline result. It must be finite.
    #[must_use]
    pub fn with_metric(mut self, name: impl Into<String>, value: f64) -> Self {
        self.metrics.insert(name.into(), value);
        self
    }

    /// Adds a training parameter.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.parameters.insert(name.into(), value.to_string());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn with_tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Sets what a person should know.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets where it comes from.
    #[must_use]
    pub fn with_lineage(mut self, lineage: Lineage) -> Self {
        self.lineage = lineage;
        self
    }

    /// Sets who registers it.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }
}

/// Where a version comes from. All of it is optional, and none of it is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Lineage {
    /// Digest of the training data.
    pub data: Option<Digest>,
    /// Rows of the training data.
    pub data_rows: Option<u64>,
    /// The commit of the training code.
    pub code: Option<String>,
    /// The training run, as the experiment tracker names it.
    pub run: Option<String>,
    /// Versions this one was made from: fine-tuned, distilled, retrained.
    pub parents: Vec<ModelId>,
    /// What it was trained with: compiler, libraries, hardware.
    pub environment: BTreeMap<String, String>,
}

impl Lineage {
    /// Sets the digest of the training data.
    #[must_use]
    pub fn with_data(mut self, digest: Digest) -> Self {
        self.data = Some(digest);
        self
    }

    /// Sets the rows of the training data.
    #[must_use]
    pub fn with_data_rows(mut self, rows: u64) -> Self {
        self.data_rows = Some(rows);
        self
    }

    /// Sets the commit of the training code.
    #[must_use]
    pub fn with_code(mut self, commit: impl Into<String>) -> Self {
        self.code = Some(commit.into());
        self
    }

    /// Sets the training run.
    #[must_use]
    pub fn with_run(mut self, run: impl Into<String>) -> Self {
        self.run = Some(run.into());
        self
    }

    /// Adds a version this one was made from.
    #[must_use]
    pub fn with_parent(mut self, parent: ModelId) -> Self {
        self.parents.push(parent);
        self
    }

    /// Adds something it was trained with.
    #[must_use]
    pub fn with_environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }
}

/// A registered version. All of it is immutable but its tags, reports, approvals, aliases and the warning against
/// it, which are those of the moment it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// Model and version.
    #[serde(flatten)]
    pub id: ModelId,
    /// What the model takes and gives.
    pub signature: Signature,
    /// What can be fetched, by name.
    pub artifacts: BTreeMap<String, Artifact>,
    /// Offline results, by name.
    pub metrics: BTreeMap<String, f64>,
    /// How it was trained, by name.
    pub parameters: BTreeMap<String, String>,
    /// Labels to search by.
    pub tags: BTreeMap<String, String>,
    /// What a person should know.
    pub description: String,
    /// Where it comes from.
    pub lineage: Lineage,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Who registered it.
    pub registered_by: String,
    /// The aliases that point to it.
    pub aliases: BTreeSet<Alias>,
    /// What examinations have found since, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<Report>,
    /// Who approved that which alias moves to it, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// Why it should not be used any more, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

impl ModelVersion {
    /// The most advanced stage whose alias points to this version; [`Stage::Development`] when none does.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let held = |stage: &Stage| self.aliases.iter().any(|alias| alias.as_str() == stage.name());
        [Stage::Production, Stage::Staging].into_iter().find(held).unwrap_or(Stage::Development)
    }
}

/// One artifact of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
}

/// The usual stages: a convention over aliases, so that "in production" is one version, moves atomically
/// and has a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Registered, and nothing more.
    Development,
    /// Being tried: the alias `staging`.
    Staging,
    /// Serving users: the alias `production`.
    Production,
}

impl Stage {
    /// The name, which is the name of its alias.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// The alias that stands for it; [`Stage::Development`] needs none.
    #[must_use]
    pub fn alias(self) -> Option<Alias> {
        if self == Self::Development { None } else { Alias::new(self.name()).ok() }
    }
}

/// An intended move of an alias.
///
/// ```
/// use mlops_core::{Alias, AliasMove, ModelName};
///
/// let (fraud, champion) = (ModelName::new("fraud")?, Alias::new("champion")?);
/// let promote = AliasMove::new(fraud, champion, "2.0.0".parse()?)
///     .expecting(Some("1.0.0".parse()?))
///     .by("rollout")
///     .because("canary passed at 100 %");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AliasMove {
    /// The model.
    pub model: ModelName,
    /// The alias.
    pub alias: Alias,
    /// Where it shall point; `None` takes it away.
    pub to: Option<Version>,
    /// Where it must point now for the move to happen: `None` leaves that open, `Some(None)` means
    /// nowhere.
    pub expected: Option<Option<Version>>,
    /// Who moves it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl AliasMove {
    /// Lets `alias` point to version `to`.
    #[must_use]
    pub fn new(model: ModelName, alias: Alias, to: Version) -> Self {
        Self { to: Some(to), ..Self::removal(model, alias) }
    }

    /// Takes `alias` away.
    #[must_use]
    pub fn removal(model: ModelName, alias: Alias) -> Self {
        Self { model, alias, to: None, expected: None, actor: String::new(), reason: String::new() }
    }

    /// Moves it only if it points to `current` now (`None`: nowhere).
    #[must_use]
    pub fn expecting(mut self, current: Option<Version>) -> Self {
        self.expected = Some(current);
        self
    }

    /// Says who moves it.
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

/// An intended change of a tag.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tagging {
    /// Which version.
    pub id: ModelId,
    /// The name of the tag.
    pub name: String,
    /// Its new value; `None` removes it.
    pub value: Option<String>,
    /// Who changes it.
    pub actor: String,
}

impl Tagging {
    /// Sets the tag `name` of a version to `value`.
    pub fn set(id: ModelId, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { value: Some(value.into()), ..Self::remove(id, name) }
    }

    /// Removes the tag `name` of a version.
    pub fn remove(id: ModelId, name: impl Into<String>) -> Self {
        Self { id, name: name.into(), value: None, actor: String::new() }
    }

    /// Says who changes it.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_the_most_advanced_alias() {
        let mut version = ModelVersion {
            id: ModelId::new(ModelName::new("fraud").unwrap(), Version::new(1, 0, 0)),
            signature: Signature::new([], []).unwrap(),
            artifacts: BTreeMap::new(),
            metrics: BTreeMap::new(),
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
            description: String::new(),
            lineage: Lineage::default(),
            registered_at: Timestamp::UNIX_EPOCH,
            registered_by: String::new(),
            aliases: BTreeSet::new(),
            reports: Vec::new(),
            approvals: Vec::new(),
            deprecated: None,
        };
        assert_eq!(version.stage(), Stage::Development);
        for (alias, stage) in
            [("champion", Stage::Development), ("staging", Stage::Staging), ("production", Stage::Production)]
        {
            version.aliases.insert(Alias::new(alias).unwrap());
            assert_eq!(version.stage(), stage, "{alias}");
        }
        let json = serde_json::to_string(&version).unwrap();
        assert_eq!(serde_json::from_str::<ModelVersion>(&json).unwrap(), version);
    }
}
