//! A version with everything, and layouts that can be taken apart and put together again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use mlops_core::{
    AliasMove, Deprecation, Digest, Lineage, ModelId, ModelVersion, NewReport, NewVersion, Registry, Selector,
};
use mlops_registry::{ObjectStoreRegistry, transfer};
use serde_json::{Value, json};

use crate::common::{champion, name, new};

/// Two artifacts of the same bytes, an empty one, and one whose name the model card would have.
pub(crate) fn everything() -> NewVersion {
    let lineage = Lineage::default()
        .with_code("4f1c2e7")
        .with_data(Digest::of(b"data"))
        .with_data_rows(120_000)
        .with_run("run-7")
        .with_parent(ModelId::new(name("fraud"), "0.9.0".parse().unwrap()))
        .with_environment("rustc", "1.95");
    new("fraud", "1.0.0")
        .with_artifact("model.onnx", vec![7; 5000])
        .with_artifact("same.onnx", vec![7; 5000])
        .with_artifact("empty", &b""[..])
        .with_artifact("README.md", &b"# By hand"[..])
        .with_artifact("tokenizer.json", &b"{}"[..])
        .with_metric("auc", 0.1 + 0.2)
        .with_metric("tiny", 5e-324)
        .with_parameter("depth", 6)
        .with_tag("team", "risk")
        .with_description("Says `no` to fraud; \u{1F50D}\n\nSecond paragraph.")
        .with_lineage(lineage)
        .by("ci")
}

/// A registry with that version, examined and warned against.
pub(crate) async fn sender() -> (ObjectStoreRegistry, ModelVersion) {
    let registry = ObjectStoreRegistry::in_memory();
    let id = registry.register(everything()).await.unwrap().id;
    let gate = NewReport::gate(id.clone(), "accuracy", true)
        .with_metric("auc", 0.97)
        .with_summary("fine")
        .by("gate");
    registry.report(gate).await.unwrap();
    registry.report(NewReport::evaluation(id.clone(), "latency").by("bench")).await.unwrap();
    registry.deprecate(Deprecation::new(id.clone(), "take 2.0.0").by("bob")).await.unwrap();
    let promotion = AliasMove::new(id.name.clone(), champion(), id.version.clone());
    registry.move_alias(promotion).await.unwrap();
    let version = resolve(&registry, &id).await;
    (registry, version)
}

pub(crate) async fn resolve(registry: &impl Registry, id: &ModelId) -> ModelVersion {
    registry.resolve(&id.name, &Selector::Version(id.version.clone())).await.unwrap()
}

/// Whether `there` holds what was sent, to the last byte.
pub(crate) async fn assert_arrived(sent: &ModelVersion, from: &impl Registry, there: &impl Registry) {
    let found = resolve(there, &sent.id).await;
    assert_eq!(found.signature, sent.signature);
    assert_eq!(found.artifacts, sent.artifacts);
    assert_eq!(found.metrics, sent.metrics);
    assert_eq!(found.parameters, sent.parameters);
    assert_eq!(found.tags, sent.tags);
    assert_eq!(found.description, sent.description);
    assert_eq!(found.lineage, sent.lineage);
    assert_eq!(found.registered_by, sent.registered_by);
    assert_eq!(found.deprecated, sent.deprecated);
    assert!(found.aliases.is_empty() && found.approvals.is_empty(), "they belong to a registry");
    assert_eq!(found.reports.len(), sent.reports.len());
    for (found, sent) in found.reports.iter().zip(&sent.reports) {
        assert_eq!((&found.name, found.passed, &found.metrics), (&sent.name, sent.passed, &sent.metrics));
        assert!(found.summary.starts_with(&sent.summary));
        let line = format!("(Reported at {} by {})", sent.at, sent.by);
        assert_eq!(found.summary.lines().last(), Some(line.as_str()));
        assert_eq!(found.by, "alice");
    }
    for name in sent.artifacts.keys() {
        assert_eq!(there.fetch(&found, name).await.unwrap(), from.fetch(sent, name).await.unwrap(), "{name}");
    }
}

/// The files of a layout, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Vec<u8>>);

impl Files {
    /// What is in an archive, as another program reads it.
    pub(crate) fn unpacked(archive: &Path) -> Self {
        let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
        let mut files = Self::default();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            assert!(files.0.insert(name.clone(), bytes).is_none(), "{name} twice");
        }
        files
    }

    /// The layout of these versions.
    pub(crate) async fn exported(registry: &impl Registry, ids: &[ModelId]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("layout.tar");
        transfer::export_file(registry, ids, &file).await.unwrap();
        Self::unpacked(&file)
    }

    pub(crate) fn packed(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &bytes[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    pub(crate) fn write_to(&self, folder: &Path) {
        for (name, bytes) in &self.0 {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.0[name]).unwrap()
    }

    pub(crate) fn set_json(&mut self, name: &str, value: &Value) {
        self.0.insert(name.to_owned(), value.to_string().into_bytes());
    }

    /// Adds a blob; returns its descriptor.
    pub(crate) fn add_blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        self.0.insert(format!("blobs/sha256/{}", digest.hex()), bytes.to_vec());
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
    }

    /// A blob by its descriptor.
    pub(crate) fn blob(&mut self, descriptor: &Value) -> &mut Vec<u8> {
        let name = blob_name(descriptor);
        self.0.get_mut(&name).unwrap()
    }

    /// The only manifest.
    pub(crate) fn manifest(&self) -> Value {
        self.json(&blob_name(&self.json("index.json")["manifests"][0]))
    }

    /// Changes the only manifest, and the index so that it fits.
    pub(crate) fn edit_manifest(&mut self, edit: impl FnOnce(&mut Self, &mut Value)) {
        let (mut index, mut manifest) = (self.json("index.json"), self.manifest());
        edit(self, &mut manifest);
        let descriptor =
            self.add_blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        index["manifests"][0] = descriptor;
        self.set_json("index.json", &index);
    }

    /// Changes the version document, and all that must fit.
    pub(crate) fn edit_document(&mut self, edit: impl FnOnce(&mut Value)) {
        self.edit_manifest(|files, manifest| {
            let layer = version_layer(manifest);
            let mut document = serde_json::from_slice(files.blob(layer)).unwrap();
            edit(&mut document);
            let fresh = files.add_blob("", document.to_string().as_bytes());
            (layer["digest"], layer["size"]) = (fresh["digest"].clone(), fresh["size"].clone());
        });
    }
}

pub(crate) fn version_layer(manifest: &mut Value) -> &mut Value {
    let layers = manifest["layers"].as_array_mut().unwrap();
    layers
        .iter_mut()
        .find(|layer| layer["annotations"]["io.github.mlops-rs.content-type"].is_string())
        .unwrap()
}

pub(crate) fn blob_name(descriptor: &Value) -> String {
    format!("blobs/sha256/{}", descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap())
}
