//! What MLflow's REST API answers, as far as it is needed. MLflow leaves out what is empty, writes versions as text,
//! and some servers write whole numbers as text, too.

use serde::{Deserialize, Deserializer, Serialize};

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RegisteredModelAnswer {
    pub(crate) registered_model: RegisteredModel,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RegisteredModel {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    #[serde(default)]
    pub(crate) aliases: Vec<AliasOf>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct RegisteredModelsPage {
    #[serde(default)]
    pub(crate) registered_models: Vec<RegisteredModel>,
    #[serde(default)]
    pub(crate) next_page_token: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct VersionAnswer {
    pub(crate) model_version: Version,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Version {
    pub(crate) name: String,
    /// A whole number.
    pub(crate) version: String,
    /// Milliseconds since 1970.
    #[serde(default, deserialize_with = "whole_number")]
    pub(crate) creation_timestamp: i64,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) run_id: String,
    #[serde(default)]
    pub(crate) user_id: String,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct VersionsPage {
    #[serde(default)]
    pub(crate) model_versions: Vec<Version>,
    #[serde(default)]
    pub(crate) next_page_token: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tag {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AliasOf {
    pub(crate) alias: String,
    pub(crate) version: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RunAnswer {
    pub(crate) run: Run,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Run {
    pub(crate) info: RunInfo,
    #[serde(default)]
    pub(crate) data: RunData,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct RunInfo {
    #[serde(default)]
    pub(crate) run_id: String,
    #[serde(default)]
    pub(crate) artifact_uri: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct RunData {
    #[serde(default)]
    pub(crate) metrics: Vec<Metric>,
    #[serde(default)]
    pub(crate) params: Vec<Tag>,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metric {
    pub(crate) key: String,
    /// A number, or `NaN` and `Infinity` as text.
    #[serde(default)]
    pub(crate) value: serde_json::Value,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ExperimentAnswer {
    pub(crate) experiment: Experiment,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Experiment {
    pub(crate) experiment_id: String,
    #[serde(default)]
    pub(crate) lifecycle_stage: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ExperimentCreated {
    pub(crate) experiment_id: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct DownloadUri {
    #[serde(default)]
    pub(crate) artifact_uri: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Files {
    #[serde(default)]
    pub(crate) files: Vec<File>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct File {
    /// Relative to the folder that was listed.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) is_dir: bool,
    #[serde(default, deserialize_with = "whole_number")]
    pub(crate) file_size: i64,
}

/// An answer that says nothing.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Done {}

fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_empty_and_numbers_may_be_text() {
        let version: Version =
            serde_json::from_str(r#"{"name":"fraud","version":"3","creation_timestamp":"17"}"#).unwrap();
        assert_eq!((version.creation_timestamp, version.tags.len(), version.run_id.as_str()), (17, 0, ""));
        let file: File = serde_json::from_str(r#"{"path":"nothing","is_dir":false}"#).unwrap();
        assert_eq!(file.file_size, 0);
        let page: VersionsPage = serde_json::from_str("{}").unwrap();
        assert!(page.model_versions.is_empty() && page.next_page_token.is_empty());
    }
}
