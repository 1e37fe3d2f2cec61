//! The immutable document of a version.

use std::collections::BTreeMap;

use mlops_core::{Artifact, Digest, Lineage, ModelId, NewVersion, Signature};
use semver::Version;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A version as it was registered, together with its text: that is what is signed, and what is kept.
#[derive(Debug, Clone)]
pub(crate) struct RegistrationText {
    pub(crate) parsed: Box<Registration>,
    text: Box<RawValue>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    pub(crate) version: Version,
    pub(crate) signature: Signature,
    pub(crate) artifacts: BTreeMap<String, StoredArtifact>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) description: String,
    pub(crate) lineage: StoredLineage,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredArtifact {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredLineage {
    data: Option<Digest>,
    data_rows: Option<u64>,
    code: Option<String>,
    run: Option<String>,
    parents: Vec<ModelId>,
    environment: BTreeMap<String, String>,
}

impl Registration {
    /// `new` as `version`, with `artifacts` for what it brings.
    pub(crate) fn new(
        version: Version,
        new: &NewVersion,
        artifacts: impl IntoIterator<Item = (String, Artifact)>,
    ) -> Self {
        Self {
            version,
            signature: new.signature.clone(),
            artifacts: artifacts.into_iter().map(|(name, artifact)| (name, artifact.into())).collect(),
            metrics: new.metrics.clone(),
            parameters: new.parameters.clone(),
            tags: new.tags.clone(),
            description: new.description.clone(),
            lineage: new.lineage.clone().into(),
        }
    }
}

impl RegistrationText {
    pub(crate) fn new(registration: Registration) -> serde_json::Result<Self> {
        Ok(Self { text: serde_json::value::to_raw_value(&registration)?, parsed: Box::new(registration) })
    }

    pub(crate) fn text(&self) -> &str {
        self.text.get()
    }
}

impl PartialEq for RegistrationText {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Serialize for RegistrationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RegistrationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        // It is kept as one line.
        if text.get().contains(['\n', '\r']) {
            return Err(D::Error::custom("the document of a version with line breaks"));
        }
        let parsed = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        Ok(Self { parsed, text })
    }
}

impl From<Artifact> for StoredArtifact {
    fn from(artifact: Artifact) -> Self {
        Self { digest: artifact.digest, size: artifact.size }
    }
}

impl From<StoredArtifact> for Artifact {
    fn from(stored: StoredArtifact) -> Self {
        Self { digest: stored.digest, size: stored.size }
    }
}

impl From<Lineage> for StoredLineage {
    fn from(lineage: Lineage) -> Self {
        Self {
            data: lineage.data,
            data_rows: lineage.data_rows,
            code: lineage.code,
            run: lineage.run,
            parents: lineage.parents,
            environment: lineage.environment,
        }
    }
}

impl From<StoredLineage> for Lineage {
    fn from(stored: StoredLineage) -> Self {
        let mut lineage = Self::default();
        lineage.data = stored.data;
        lineage.data_rows = stored.data_rows;
        lineage.code = stored.code;
        lineage.run = stored.run;
        lineage.parents = stored.parents;
        lineage.environment = stored.environment;
        lineage
    }
}
