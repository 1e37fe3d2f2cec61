//! One version in the state: its document as text, and what was added since.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use mlops_core::{Alias, Artifact, Error, ModelId, ModelName, ModelVersion, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::document::{Amendments, Registration, RegistrationText};

/// A version as text, which is read when it is first asked for: a registry with a hundred thousand versions is opened
/// without parsing them.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    text: Bytes,
    view: OnceLock<Arc<ModelVersion>>,
}

/// What the text of a record holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored<'a> {
    at: Timestamp,
    by: String,
    #[serde(borrow)]
    document: &'a RawValue,
    pub(crate) amendments: Amendments,
}

impl Record {
    pub(crate) fn new(
        at: Timestamp,
        by: &str,
        document: &RegistrationText,
        amendments: Amendments,
    ) -> Result<Self> {
        let text = RawValue::from_string(document.text().to_owned()).map_err(unwritable)?;
        let stored = Stored { at, by: by.to_owned(), document: &text, amendments };
        Ok(Self::from_text(serde_json::to_vec(&stored).map_err(unwritable)?.into()))
    }

    pub(crate) fn from_text(text: Bytes) -> Self {
        Self { text, view: OnceLock::new() }
    }

    pub(crate) fn text(&self) -> &Bytes {
        &self.text
    }

    /// The version with the aliases that point to it now.
    pub(crate) fn view<'a>(
        &self,
        model: &ModelName,
        aliases: impl Iterator<Item = &'a Alias>,
    ) -> Result<Arc<ModelVersion>> {
        if let Some(view) = self.view.get() {
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(self.read()?.version(model, aliases.cloned().collect())?);
        Ok(Arc::clone(self.view.get_or_init(|| view)))
    }

    /// What is stored, once more.
    pub(crate) fn read(&self) -> Result<Stored<'_>> {
        serde_json::from_slice(&self.text)
            .map_err(|cause| Error::integrity("the record of a version is no such thing").with_source(cause))
    }

    /// Changes what was added since it was registered.
    pub(crate) fn amend(&mut self, change: impl FnOnce(&mut Amendments)) -> Result<()> {
        let text = {
            let mut stored = self.read()?;
            change(&mut stored.amendments);
            serde_json::to_vec(&stored).map_err(unwritable)?
        };
        *self = Self::from_text(text.into());
        Ok(())
    }

    /// Its aliases have changed.
    pub(crate) fn touch(&mut self) {
        self.view = OnceLock::new();
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Stored<'_> {
    /// The text that was registered, and signed.
    #[cfg(feature = "sign")]
    pub(crate) fn document(&self) -> &str {
        self.document.get()
    }

    pub(crate) fn registration(&self) -> Result<Registration> {
        serde_json::from_str(self.document.get()).map_err(|cause| {
            Error::integrity("the document of a version is no such thing").with_source(cause)
        })
    }

    fn version(self, model: &ModelName, aliases: BTreeSet<Alias>) -> Result<ModelVersion> {
        let registered = self.registration()?;
        let Amendments { tags, reports, approvals, deprecated, .. } = self.amendments;
        let artifacts = registered.artifacts.into_iter();
        Ok(ModelVersion {
            id: ModelId::new(model.clone(), registered.version),
            signature: registered.signature,
            artifacts: artifacts.map(|(name, artifact)| (name, Artifact::from(artifact))).collect(),
            metrics: registered.metrics,
            parameters: registered.parameters,
            tags: tags.unwrap_or(registered.tags),
            description: registered.description,
            lineage: registered.lineage.into(),
            registered_at: self.at,
            registered_by: self.by,
            aliases,
            reports,
            approvals,
            deprecated,
        })
    }
}

fn unwritable(cause: serde_json::Error) -> Error {
    Error::internal("a version cannot be written as JSON").with_source(cause)
}
