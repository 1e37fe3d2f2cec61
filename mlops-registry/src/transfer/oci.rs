//! The documents of an OCI image layout, and the words of ModelPack in them.
//!
//! [OCI image specification 1.1](https://github.com/opencontainers/image-spec/blob/v1.1.1/spec.md):
//! `image-layout.md`, `image-index.md`, `manifest.md`, `descriptor.md`, `annotations.md`. [CNCF
//! ModelPack](https://github.com/modelpack/model-spec): `docs/spec.md`, `docs/config.md`,
//! `docs/annotations.md`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mlops_core::{Artifact, Digest, Error, Result};
use serde::{Deserialize, Deserializer, Serialize};

/// The file that says that a folder is a layout, and its only version.
pub(crate) const LAYOUT_FILE: &str = "oci-layout";
pub(crate) const LAYOUT_VERSION: &str = "1.0.0";

/// The file that names the manifests.
pub(crate) const INDEX_FILE: &str = "index.json";

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// By which name a manifest in an index is asked for.
pub(crate) const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// What ORAS calls the file of a layer.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";

pub(crate) const CREATED: &str = "org.opencontainers.image.created";
pub(crate) const VERSION: &str = "org.opencontainers.image.version";
pub(crate) const REVISION: &str = "org.opencontainers.image.revision";

/// What ModelPack calls the file of a layer, and what it called it before it was at the CNCF.
pub(crate) const FILE_PATH: [&str; 2] = ["org.cncf.model.filepath", "org.cnai.model.filepath"];

/// How the media types of ModelPack begin, and how they began before.
const MODEL: [&str; 2] = ["application/vnd.cncf.model.", "application/vnd.cnai.model."];

/// What a layer is besides what ModelPack says of it.
pub(crate) const CONTENT_TYPE: &str = "io.github.mlops-rs.content-type";

/// The layer that holds all that is known of a version. Its own media type is that of a ModelPack document:
/// KitOps and modctl do not get past a layer whose media type they do not know.
pub(crate) const VERSION_DOCUMENT: &str = "application/vnd.mlops.version.v1+json";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayoutFile {
    pub(crate) image_layout_version: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Index {
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) manifests: Vec<Descriptor>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    #[serde(default)]
    pub(crate) artifact_type: String,
    pub(crate) config: Descriptor,
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The configuration of a model, as far as a registry knows it. Of others, only what describes it is read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) descriptor: ModelDescriptor,
    #[serde(skip_deserializing)]
    pub(crate) config: ModelConfig,
    #[serde(skip_deserializing)]
    pub(crate) modelfs: ModelFs,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ModelDescriptor {
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty", skip_deserializing)]
    pub(crate) authors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct ModelConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelFs {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The digests of the layers before compression.
    pub(crate) diff_ids: Vec<String>,
}

/// How the files of a layer lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// It is the file.
    Raw,
    /// It is an archive.
    Tar,
    /// It is a compressed archive.
    Compressed,
}

impl Manifest {
    /// Whether it describes a model in the way of ModelPack.
    pub(crate) fn is_model(&self) -> bool {
        let types = [&self.artifact_type, &self.config.media_type];
        let names = ["manifest.v1+json", "config.v1+json"];
        types.iter().zip(names).any(|(media_type, name)| of_model(media_type) == Some(name))
    }
}

impl Descriptor {
    pub(crate) fn new(media_type: impl Into<String>, artifact: Artifact) -> Self {
        Self {
            media_type: media_type.into(),
            artifact_type: None,
            digest: artifact.digest.to_string(),
            size: artifact.size,
            annotations: BTreeMap::new(),
        }
    }

    pub(crate) fn with(mut self, annotation: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(annotation.to_owned(), value.into());
        self
    }

    /// What it describes.
    pub(crate) fn artifact(&self) -> Result<Artifact> {
        if !self.digest.starts_with("sha256:") {
            let algorithm: String =
                self.digest.split(':').next().unwrap_or_default().chars().take(20).collect();
            return Err(Error::unsupported(format!(
                "blobs by digests other than sha256; there is one by `{}`",
                algorithm.escape_debug()
            )));
        }
        Ok(Artifact { digest: self.digest.parse::<Digest>()?, size: self.size })
    }

    pub(crate) fn reference(&self) -> Option<&str> {
        self.annotations.get(REFERENCE).map(String::as_str)
    }

    /// The path of its file, if it says.
    pub(crate) fn path(&self) -> Option<&str> {
        let keys = FILE_PATH.iter().chain([&TITLE]);
        keys.into_iter().find_map(|key| self.annotations.get(*key)).map(String::as_str)
    }

    /// How it packs its files; `None` when it is no layer of a model.
    pub(crate) fn packing(&self) -> Option<Packing> {
        let (kind, packing) = of_model(&self.media_type)?.rsplit_once(".v1")?;
        if !["weight", "weight.config", "doc", "code", "dataset"].contains(&kind) {
            return None;
        }
        Some(match packing {
            "" | ".raw" => Packing::Raw,
            ".tar" => Packing::Tar,
            _ => Packing::Compressed,
        })
    }
}

/// The media type of a layer that is a file of the model. ModelPack tells weights from what goes with them;
/// the name is all there is to tell them by.
pub(crate) fn media_type_of(name: &str) -> String {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let documentation = ["readme", "license", "notice"].contains(&name.to_ascii_lowercase().as_str());
    let kind = match extension.as_deref().unwrap_or_default() {
        _ if documentation => "doc",
        "md" | "html" | "pdf" | "rst" => "doc",
        "json" | "yaml" | "yml" | "toml" | "txt" | "model" | "tiktoken" | "jinja" => "weight.config",
        "csv" | "jsonl" | "parquet" | "arrow" => "dataset",
        "py" | "rs" | "sh" | "ipynb" => "code",
        _ => "weight",
    };
    layer_media_type(kind)
}

pub(crate) fn layer_media_type(kind: &str) -> String {
    format!("{}{kind}.v1.raw", MODEL[0])
}

pub(crate) fn config_media_type() -> String {
    format!("{}config.v1+json", MODEL[0])
}

pub(crate) fn model_artifact_type() -> String {
    format!("{}manifest.v1+json", MODEL[0])
}

/// The format of the weights, when the names of the files agree on one.
pub(crate) fn format_of<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let format = |name: &str| match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "onnx" => Some("onnx"),
        "safetensors" => Some("safetensors"),
        "gguf" => Some("gguf"),
        "pt" | "pth" => Some("pytorch"),
        _ => None,
    };
    let mut formats: Vec<_> = names.filter_map(format).collect();
    formats.dedup();
    if let [format] = formats[..] { Some(format.to_owned()) } else { None }
}

fn of_model(media_type: &str) -> Option<&str> {
    MODEL.iter().find_map(|prefix| media_type.strip_prefix(prefix))
}

/// Programs in Go write lists and maps without entries as `null`.
fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_weights_from_what_goes_with_them() {
        for (name, kind) in [
            ("model.onnx", "weight"),
            ("weights", "weight"),
            ("tokenizer.json", "weight.config"),
            ("LICENSE", "doc"),
            ("NOTES.MD", "doc"),
            ("reference.parquet", "dataset"),
            ("train.py", "code"),
        ] {
            assert_eq!(media_type_of(name), format!("application/vnd.cncf.model.{kind}.v1.raw"), "{name}");
        }
        assert_eq!(format_of(["a.onnx", "b.json", "c.onnx"].into_iter()).as_deref(), Some("onnx"));
        assert_eq!(format_of(["a.onnx", "b.pt"].into_iter()), None);
    }

    #[test]
    fn layers_of_models_are_known_by_their_media_types() {
        let packing = |media_type: &str| {
            Descriptor::new(media_type, Artifact { digest: Digest::of(b""), size: 0 }).packing()
        };
        assert_eq!(packing("application/vnd.cncf.model.weight.v1.raw"), Some(Packing::Raw));
        assert_eq!(packing("application/vnd.cnai.model.weight.v1"), Some(Packing::Raw));
        assert_eq!(packing("application/vnd.cncf.model.weight.config.v1.tar"), Some(Packing::Tar));
        assert_eq!(packing("application/vnd.cncf.model.code.v1.tar+zstd"), Some(Packing::Compressed));
        assert_eq!(packing("application/vnd.cncf.model.config.v1+json"), None);
        assert_eq!(packing("application/vnd.kitops.modelkit.config.v1+json"), None);
    }
}
