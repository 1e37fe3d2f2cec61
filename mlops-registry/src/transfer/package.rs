//! A version as an OCI artifact: what its manifest and the blobs beside its artifacts are.

use std::collections::BTreeMap;

use bytes::Bytes;
use mlops_core::{Artifact, Digest, Error, ModelId, ModelVersion, Result};
use serde::Serialize;

use super::document::VersionDocument;
use super::layout::MAX_DOCUMENT_BYTES;
use super::oci::{
    self, CONTENT_TYPE, CREATED, Config, Descriptor, FILE_PATH, MANIFEST, Manifest, ModelConfig,
    ModelDescriptor, ModelFs, REFERENCE, REVISION, TITLE, VERSION, VERSION_DOCUMENT,
};
use crate::card::model_card;

/// What a manifest names.
pub(crate) struct Package {
    pub(crate) version: ModelVersion,
    /// How the index names the manifest.
    pub(crate) descriptor: Descriptor,
    /// What is made for it: manifest, configuration, model card, version document.
    pub(crate) blobs: Vec<(Artifact, Bytes)>,
}

/// Names of artifacts have no `/`, so this collides with none.
const FOLDER: &str = "mlops";

impl Package {
    pub(crate) fn new(version: ModelVersion) -> Result<Self> {
        let mut blobs = Vec::new();
        let mut keep = |bytes: Vec<u8>| {
            let artifact = Artifact { digest: Digest::of(&bytes), size: bytes.len() as u64 };
            blobs.push((artifact, Bytes::from(bytes)));
            artifact
        };
        let artifacts = version.artifacts.iter();
        let mut layers: Vec<_> =
            artifacts.map(|(name, artifact)| layer(oci::media_type_of(name), *artifact, name)).collect();
        let card = keep(model_card(&version).into_bytes());
        let folder =
            if version.artifacts.contains_key("README.md") { format!("{FOLDER}/") } else { String::new() };
        layers.push(layer(oci::layer_media_type("doc"), card, &format!("{folder}README.md")));
        let document = VersionDocument::encode(&version)?;
        if document.len() as u64 > MAX_DOCUMENT_BYTES {
            return Err(Error::unsupported(format!(
                "what is known of {} has {} bytes as JSON; at most {MAX_DOCUMENT_BYTES} can be exported",
                version.id,
                document.len()
            )));
        }
        let document = layer(oci::layer_media_type("doc"), keep(document), &format!("{FOLDER}/version.json"));
        layers.push(document.with(CONTENT_TYPE, VERSION_DOCUMENT));
        let config = keep(encode(&config(&version, &layers))?);
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: oci::model_artifact_type(),
            config: Descriptor::new(oci::config_media_type(), config),
            layers,
            annotations: annotations(&version),
        };
        let mut descriptor = Descriptor::new(MANIFEST, keep(encode(&manifest)?));
        descriptor.artifact_type = Some(manifest.artifact_type);
        let descriptor = descriptor.with(REFERENCE, reference(&version.id));
        Ok(Self { version, descriptor, blobs })
    }
}

/// How a version is asked for in a layout.
pub(crate) fn reference(id: &ModelId) -> String {
    format!("{}:{}", id.name, id.version)
}

pub(crate) fn encode<T: Serialize>(document: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|cause| {
        Error::internal("a document of a layout cannot be written as JSON").with_source(cause)
    })
}

fn layer(media_type: String, artifact: Artifact, path: &str) -> Descriptor {
    Descriptor::new(media_type, artifact).with(FILE_PATH[0], path).with(TITLE, path)
}

fn config(version: &ModelVersion, layers: &[Descriptor]) -> Config {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Config {
        descriptor: ModelDescriptor {
            created_at: Some(version.registered_at),
            authors: some(&version.registered_by).into_iter().collect(),
            name: Some(version.id.name.to_string()),
            version: Some(version.id.version.to_string()),
            revision: version.lineage.code.clone(),
            description: some(&version.description),
        },
        config: ModelConfig { format: oci::format_of(version.artifacts.keys().map(String::as_str)) },
        modelfs: ModelFs {
            kind: "layers".to_owned(),
            // What is not compressed is its own content.
            diff_ids: layers.iter().map(|layer| layer.digest.clone()).collect(),
        },
    }
}

fn annotations(version: &ModelVersion) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([
        (TITLE.to_owned(), version.id.name.to_string()),
        (VERSION.to_owned(), version.id.version.to_string()),
        (CREATED.to_owned(), version.registered_at.to_string()),
    ]);
    annotations.extend(version.lineage.code.clone().map(|code| (REVISION.to_owned(), code)));
    annotations
}
