//! The documents of the log: what is in a transition, how it is written, and how it is proven unharmed.
//!
//! The stored form is written out here, apart from the types of `mlops-core`, so that a change of those
//! does not silently change what is on disk.

mod envelope;
mod registration;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use mlops_core::{
    Alias, Approval, AuditChange, AuditEvent, Digest, ModelId, ModelName, ModelVersion, Protection, Report,
};
use semver::Version;
use serde::{Deserialize, Serialize};

pub(crate) use self::envelope::{Document, Sealed};
pub(crate) use self::registration::{Registration, RegistrationText, StoredArtifact};
use crate::runs::RunChange;
use crate::trust::VersionSignature;

/// One change of the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transition {
    /// The first is 1; there are no gaps.
    pub(crate) sequence: u64,
    /// The digest of the transition before; the first has none.
    pub(crate) previous: Option<Digest>,
    /// Which open registry wrote it, so that it knows its own writes again.
    pub(crate) writer: String,
    /// Not before that of the transition before.
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) change: Change,
}

/// What a transition changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    Model {
        name: ModelName,
        change: ModelChange,
    },
    Run(RunChange),
    /// The files of these blobs may be deleted at any time from now on; who needs one of them again writes it to
    /// the file of its next generation.
    Collect {
        blobs: Vec<Digest>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ModelChange {
    Register {
        version: RegistrationText,
        signatures: Vec<VersionSignature>,
    },
    MoveAlias {
        alias: Alias,
        from: Option<Version>,
        to: Option<Version>,
        reason: String,
    },
    Tag {
        version: Version,
        name: String,
        from: Option<String>,
        to: Option<String>,
    },
    Report {
        version: Version,
        name: String,
        passed: Option<bool>,
        metrics: BTreeMap<String, f64>,
        summary: String,
    },
    Approve {
        version: Version,
        alias: Alias,
        comment: String,
    },
    Protect {
        alias: Alias,
        protection: Option<Protection>,
    },
    Sign {
        version: Version,
        signature: VersionSignature,
    },
    Deprecate {
        version: Version,
        reason: Option<String>,
    },
    Delete {
        version: Version,
        reason: String,
    },
}

impl Transition {
    /// What the history of a model says of it, if it changes one.
    pub(crate) fn event(&self) -> Option<AuditEvent> {
        let Change::Model { name, change } = &self.change else {
            return None;
        };
        let (at, actor, model) = (self.at, self.actor.clone(), name.clone());
        Some(AuditEvent { sequence: self.sequence, at, actor, model, change: change.told() })
    }

    /// The version it brings into being, if it does.
    pub(crate) fn registered(&self) -> Option<ModelVersion> {
        let Change::Model { name, change: ModelChange::Register { version, .. } } = &self.change else {
            return None;
        };
        let new = (*version.parsed).clone();
        Some(ModelVersion {
            id: ModelId::new(name.clone(), new.version),
            signature: new.signature,
            artifacts: new.artifacts.into_iter().map(|(name, artifact)| (name, artifact.into())).collect(),
            metrics: new.metrics,
            parameters: new.parameters,
            tags: new.tags,
            description: new.description,
            lineage: new.lineage.into(),
            registered_at: self.at,
            registered_by: self.actor.clone(),
            aliases: Default::default(),
            reports: Vec::new(),
            approvals: Vec::new(),
            deprecated: None,
        })
    }
}

impl ModelChange {
    fn told(&self) -> AuditChange {
        match self.clone() {
            Self::Register { version, .. } => AuditChange::Registered { version: version.parsed.version },
            Self::MoveAlias { alias, from, to, reason } => {
                AuditChange::AliasMoved { alias, from, to, reason }
            }
            Self::Tag { version, name, from, to } => AuditChange::Tagged { version, name, from, to },
            Self::Report { version, name, passed, .. } => AuditChange::Reported { version, name, passed },
            Self::Approve { version, alias, comment } => AuditChange::Approved { version, alias, comment },
            Self::Protect { alias, protection } => AuditChange::Protected { alias, protection },
            Self::Sign { version, signature } => {
                AuditChange::Signed { version, key: signature.key().to_string() }
            }
            Self::Deprecate { version, reason } => AuditChange::Deprecated { version, reason },
            Self::Delete { version, reason } => AuditChange::Deleted { version, reason },
        }
    }
}

/// What has happened to a version since it was registered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Amendments {
    /// Its tags, if they are not those it was registered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reports: Vec<Report>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) approvals: Vec<Approval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deprecated: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) signatures: Vec<VersionSignature>,
}
