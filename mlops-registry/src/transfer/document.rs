//! All that is known of a version, as it travels.
//!
//! Written out here, apart from the types of `mlops-core`, so that a change of those does not silently change
//! what others keep.

use jiff::Timestamp;
use mlops_core::{Error, ModelId, ModelName, ModelVersion, Report, Result};
use serde::{Deserialize, Serialize};

use crate::document::Registration;

/// The format this library writes, and the only one it reads.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionDocument {
    format: u32,
    model: ModelName,
    version: Registration,
    registered_at: Timestamp,
    registered_by: String,
    reports: Vec<Report>,
    deprecated: Option<String>,
}

impl VersionDocument {
    pub(crate) fn encode(version: &ModelVersion) -> Result<Vec<u8>> {
        let version = version.clone();
        let registration = Registration {
            version: version.id.version,
            signature: version.signature,
            artifacts: version
                .artifacts
                .into_iter()
                .map(|(name, artifact)| (name, artifact.into()))
                .collect(),
            metrics: version.metrics,
            parameters: version.parameters,
            tags: version.tags,
            description: version.description,
            lineage: version.lineage.into(),
        };
        let document = Self {
            format: FORMAT,
            model: version.id.name,
            version: registration,
            registered_at: version.registered_at,
            registered_by: version.registered_by,
            reports: version.reports,
            deprecated: version.deprecated,
        };
        serde_json::to_vec(&document)
            .map_err(|cause| Error::internal("a version cannot be written as JSON").with_source(cause))
    }

    /// The version that was written, without what belongs to the registry it was in: aliases and approvals.
    /// `what` names the document in errors.
    pub(crate) fn decode(what: &str, bytes: &[u8]) -> Result<ModelVersion> {
        #[derive(Deserialize)]
        struct AnyFormat {
            format: u32,
        }
        let unreadable =
            |cause| Error::invalid_input(format!("{what} describes no version")).with_source(cause);
        let AnyFormat { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format != FORMAT {
            return Err(Error::unsupported(format!(
                "{what} has format {format}, but this version of mlops-registry reads format {FORMAT} only"
            )));
        }
        let document: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        let Registration { version, signature, artifacts, metrics, parameters, tags, description, lineage } =
            document.version;
        Ok(ModelVersion {
            id: ModelId::new(document.model, version),
            signature,
            artifacts: artifacts.into_iter().map(|(name, artifact)| (name, artifact.into())).collect(),
            metrics,
            parameters,
            tags,
            description,
            lineage: lineage.into(),
            registered_at: document.registered_at,
            registered_by: document.registered_by,
            aliases: Default::default(),
            reports: document.reports,
            approvals: Vec::new(),
            deprecated: document.deprecated,
        })
    }
}
