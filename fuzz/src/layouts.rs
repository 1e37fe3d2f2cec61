//! Layouts of any bytes, imported into a registry: whatever comes, nothing is registered, or what is whole.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use mlops_core::{
    DType, Digest, Dimension, Lineage, ModelName, ModelVersion, NewReport, NewVersion, Registry, Result,
    Selector, Signature, TensorSpec,
};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::transfer::{self, Import};
use serde_json::{Value, json};

/// What the bytes are put in place of; the digests of all the rest fit again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole archive.
    Archive,
    /// The index.
    Index,
    /// The manifest.
    Manifest,
    /// The version document.
    Document,
    /// The configuration of a model that another program has packed.
    Config,
    /// An archive in such a model.
    Layer,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Archive, Self::Index, Self::Manifest, Self::Document, Self::Config, Self::Layer];
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Workshop {
    runtime: tokio::runtime::Runtime,
    /// The files of a good layout.
    files: BTreeMap<String, Vec<u8>>,
    signature: Signature,
    file: PathBuf,
}

thread_local! {
    static WORKSHOP: OnceCell<Workshop> = const { OnceCell::new() };
}

/// What is there in a good layout.
pub fn seed(part: Part) -> Vec<u8> {
    in_workshop(|workshop| match part {
        Part::Archive => pack(&workshop.files),
        Part::Index => workshop.files["index.json"].clone(),
        Part::Manifest => workshop.manifest().to_string().into_bytes(),
        Part::Document => workshop.files[&name(version_layer(&mut workshop.manifest()))].clone(),
        Part::Config => workshop.files[&name(&workshop.manifest()["config"])].clone(),
        Part::Layer => {
            pack(&BTreeMap::from([("a/weights".to_owned(), vec![1]), ("b".to_owned(), vec![2; 600])]))
        }
    })
}

/// Imports a layout with `bytes` in it.
///
/// # Panics
/// When the importer panics, registers what is not whole, leaves something behind on an error, or fails in a
/// way that is not the layout's fault.
pub fn import(part: Part, bytes: &[u8]) {
    in_workshop(|workshop| {
        std::fs::write(&workshop.file, workshop.archive(part, bytes)).expect("the file can be written");
        workshop.runtime.block_on(async {
            let registry = ObjectStoreRegistry::in_memory();
            let import = Import::new().with_signature(workshop.signature.clone()).by("fuzz");
            match transfer::import_file(&registry, &workshop.file, &import).await {
                Ok(arrivals) => {
                    for arrival in &arrivals {
                        whole(&registry, &arrival.version).await.expect("what was imported is whole");
                    }
                    let again = transfer::import_file(&registry, &workshop.file, &import).await;
                    assert!(again.expect("it can be done again").iter().all(|arrival| arrival.was_there));
                }
                Err(error) => {
                    let label = error.label();
                    assert!(
                        ["conflict", "integrity", "invalid_input", "not_found", "unsupported"]
                            .contains(&label),
                        "{error}"
                    );
                    // Of several versions, the registry itself may refuse a later one.
                    let nothing = registry.models().await.expect("memory does not fail").is_empty();
                    assert!(nothing || label == "conflict", "{error}");
                }
            }
        });
    });
}

async fn whole(registry: &ObjectStoreRegistry, version: &ModelVersion) -> Result<()> {
    let selector = Selector::Version(version.id.version.clone());
    let found = registry.resolve(&version.id.name, &selector).await?;
    assert_eq!(found.artifacts, version.artifacts);
    for artifact in found.artifacts.keys() {
        registry.fetch(&found, artifact).await?;
    }
    Ok(())
}

fn in_workshop<T>(work: impl FnOnce(&Workshop) -> T) -> T {
    WORKSHOP.with(|workshop| work(workshop.get_or_init(Workshop::new)))
}

impl Workshop {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let spec = |name| TensorSpec::new(name, DType::Fp32, [Dimension::Batch, Dimension::Fixed(3)]);
        let signature = Signature::new([spec("x")], [spec("y")]).expect("a signature");
        let thread = format!("{:?}", std::thread::current().id());
        let file = std::env::temp_dir().join(format!("mlops-fuzz-{}-{thread}.tar", std::process::id()));
        runtime.block_on(async {
            let registry = ObjectStoreRegistry::in_memory();
            let new = NewVersion::new(ModelName::new("fraud").expect("a name"), signature.clone())
                .with_artifact("weights.onnx", &b"weights"[..])
                .with_artifact("empty", &b""[..])
                .with_metric("auc", 0.97)
                .with_parameter("depth", 6)
                .with_tag("team", "risk")
                .with_description("says no")
                .with_lineage(Lineage::default().with_code("4f1c2e7").with_data(Digest::of(b"")))
                .by("ci");
            let id = registry.register(new).await.expect("a version").id;
            let report =
                NewReport::gate(id.clone(), "gate", true).with_metric("auc", 0.9).with_summary("fine");
            registry.report(report).await.expect("a report");
            transfer::export_file(&registry, &[id], &file).await.expect("an export");
        });
        let mut archive = tar::Archive::new(std::fs::File::open(&file).expect("the export"));
        let mut files = BTreeMap::new();
        for entry in archive.entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("a file");
            files.insert(entry.path().expect("a path").to_str().expect("a name").to_owned(), bytes);
        }
        Self { runtime, files, signature, file }
    }

    fn manifest(&self) -> Value {
        let index: Value = serde_json::from_slice(&self.files["index.json"]).expect("an index");
        serde_json::from_slice(&self.files[&name(&index["manifests"][0])]).expect("a manifest")
    }

    fn archive(&self, part: Part, bytes: &[u8]) -> Vec<u8> {
        let mut files = self.files.clone();
        let mut manifest = self.manifest();
        match part {
            Part::Archive => return bytes.to_vec(),
            Part::Index => {
                files.insert("index.json".to_owned(), bytes.to_vec());
                return pack(&files);
            }
            Part::Manifest => {
                point_to(&mut files, bytes);
                return pack(&files);
            }
            Part::Document => {
                let fresh = add(&mut files, "", bytes);
                let layer = version_layer(&mut manifest);
                (layer["digest"], layer["size"]) = (fresh["digest"].clone(), fresh["size"].clone());
            }
            Part::Config => {
                forget_version(&mut manifest);
                manifest["config"] = add(&mut files, "application/vnd.cncf.model.config.v1+json", bytes);
            }
            Part::Layer => {
                forget_version(&mut manifest);
                let layer = add(&mut files, "application/vnd.cncf.model.weight.v1.tar", bytes);
                manifest["layers"].as_array_mut().expect("layers").push(layer);
            }
        }
        point_to(&mut files, manifest.to_string().as_bytes());
        pack(&files)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn version_layer(manifest: &mut Value) -> &mut Value {
    let layers = manifest["layers"].as_array_mut().expect("layers");
    let own = |layer: &&mut Value| !layer["annotations"]["io.github.mlops-rs.content-type"].is_null();
    layers.iter_mut().find(own).expect("a version document")
}

fn forget_version(manifest: &mut Value) {
    version_layer(manifest)["annotations"] = json!({ "org.cncf.model.filepath": "version.json" });
}

fn point_to(files: &mut BTreeMap<String, Vec<u8>>, manifest: &[u8]) {
    let manifest = add(files, MANIFEST, manifest);
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    files.insert("index.json".to_owned(), index.to_string().into_bytes());
}

fn add(files: &mut BTreeMap<String, Vec<u8>>, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    files.insert(format!("blobs/sha256/{}", digest.hex()), bytes.to_vec());
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
}

fn name(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().expect("a digest").replace(':', "/"))
}

fn pack(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).expect("memory does not fail");
    }
    builder.into_inner().expect("memory does not fail")
}
