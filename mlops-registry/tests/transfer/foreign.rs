//! Models that other programs have packed.

use mlops_core::{ModelId, Registry};
use mlops_registry::ObjectStoreRegistry;
use mlops_registry::transfer::{self, Import};
use serde_json::{Value, json};

use crate::common::{name, signature, v};
use crate::package::{Files, resolve};

const MODEL: &str = "application/vnd.cncf.model.";

/// A layer as modctl and KitOps make it.
fn layer(files: &mut Files, kind: &str, path: &str, bytes: &[u8]) -> Value {
    let mut layer = files.add_blob(&format!("{MODEL}{kind}"), bytes);
    layer["annotations"] = json!({ "org.cncf.model.filepath": path });
    layer
}

fn tarred(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn layout(config: &Value, layers: impl FnOnce(&mut Files) -> Vec<Value>) -> Files {
    let mut files = Files::default();
    files.set_json("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }));
    let layers = layers(&mut files);
    let config = files.add_blob(&format!("{MODEL}config.v1+json"), config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": format!("{MODEL}manifest.v1+json"),
        "config": config,
        "layers": layers,
        "annotations": null,
    });
    let manifest =
        files.add_blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    files.set_json("index.json", &json!({ "schemaVersion": 2, "manifests": [manifest] }));
    files
}

fn config(name: &str, version: &str) -> Value {
    json!({
        "descriptor": {
            "createdAt": "2026-01-01T08:00:00+08:00",
            "authors": null,
            "name": name,
            "version": version,
            "revision": "abc123",
            "description": "small",
            "licenses": ["Apache-2.0"],
        },
        "config": { "architecture": "transformer", "paramSize": "8b" },
        "modelfs": { "type": "layers", "diffIds": [] },
    })
}

async fn import(
    files: &Files,
    import: &Import,
) -> (ObjectStoreRegistry, mlops_core::Result<Vec<transfer::Arrival>>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.tar");
    std::fs::write(&file, files.packed()).unwrap();
    let to = ObjectStoreRegistry::in_memory();
    let arrivals = transfer::import_file(&to, &file, import).await;
    if arrivals.is_err() {
        assert!(to.models().await.unwrap().is_empty());
    }
    (to, arrivals)
}

fn signed() -> Import {
    Import::new().with_signature(signature(10)).by("alice")
}

#[tokio::test]
async fn raw_and_tar_layers_become_artifacts() {
    let files = layout(&config("llama", "3.1.0"), |files| {
        vec![
            layer(files, "weight.v1.raw", "model.safetensors", b"weights"),
            layer(
                files,
                "weight.v1.tar",
                "text/model.safetensors",
                &tarred(&[("text/model.safetensors", b"more")]),
            ),
            layer(
                files,
                "weight.config.v1.tar",
                "config",
                &tarred(&[("config/", b""), ("config/a.json", b"{}"), ("./config/b.json", b"[]")]),
            ),
            layer(files, "doc.v1.raw", ".hidden/README.md", b"# hi"),
            files.add_blob("application/vnd.kitops.modelkit.config.v1+json", b"{}"),
        ]
    });
    let (to, arrivals) = import(&files, &signed()).await;
    assert_eq!(arrivals.unwrap().len(), 1);
    let version = resolve(&to, &ModelId::new(name("llama"), v("3.1.0"))).await;
    let names: Vec<_> = version.artifacts.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["config_a.json", "config_b.json", "hidden_README.md", "model.safetensors", "text_model.safetensors"]
    );
    assert_eq!(to.fetch(&version, "text_model.safetensors").await.unwrap(), &b"more"[..]);
    assert_eq!(to.fetch(&version, "config_b.json").await.unwrap(), &b"[]"[..]);
    assert_eq!(version.description, "small");
    assert_eq!(version.lineage.code.as_deref(), Some("abc123"));
    assert_eq!(version.registered_by, "alice");
}

#[tokio::test]
async fn what_a_model_is_called_can_be_said() {
    let raw = |files: &mut Files| vec![layer(files, "weight.v1.raw", "w", b"w")];
    let id = ModelId::new(name("llama"), v("3.1.0"));
    for (called, version) in [("meta/llama", "3.1.0"), ("llama", "3.1"), ("", "3.1.0")] {
        let files = layout(&config(called, version), raw);
        let (_, error) = import(&files, &signed()).await;
        let error = error.unwrap_err();
        assert!(matches!(error, mlops_core::Error::InvalidInput(_)), "{error}");
        assert!(error.to_string().contains("Import::with_id"), "{error}");
        let (to, arrivals) = import(&files, &signed().with_id(id.clone())).await;
        assert_eq!(arrivals.unwrap()[0].version, resolve(&to, &id).await);
    }
    for said in [json!({}), json!({ "descriptor": {} })] {
        let (_, error) = import(&layout(&said, raw), &signed()).await;
        assert!(error.unwrap_err().to_string().contains("it names no model"));
    }
    let (_, error) = import(&layout(&config("llama", "3.1.0"), raw), &Import::new()).await;
    assert!(error.unwrap_err().to_string().contains("Import::with_signature"));
}

#[tokio::test]
async fn what_cannot_be_an_artifact_is_said_so() {
    type Layers = fn(&mut Files) -> Vec<Value>;
    let cases: [(&str, Layers); 6] = [
        ("is compressed; pack the model in layers", |files| {
            vec![layer(files, "weight.v1.tar+gzip", "w", b"\x1f\x8b")]
        }),
        ("does not say the path of its file", |files| {
            vec![files.add_blob(&format!("{MODEL}weight.v1.raw"), b"w")]
        }),
        ("two files that would be the artifact `a_b`", |files| {
            vec![layer(files, "weight.v1.raw", "a/b", b"1"), layer(files, "weight.v1.raw", "a_b", b"2")]
        }),
        ("cannot be an artifact", |files| vec![layer(files, "weight.v1.raw", "../..", b"1")]),
        ("is no tar archive", |files| vec![layer(files, "weight.v1.tar", "w", &[b'x'; 2000])]),
        ("whose name may lead elsewhere", |files| {
            let mut archive = tarred(&[("aa/w", b"1")]);
            archive[..2].copy_from_slice(b"..");
            // The sum of the header stays right.
            let sum: u32 = archive[..512]
                .iter()
                .enumerate()
                .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
                .sum();
            archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            vec![layer(files, "weight.v1.tar", "w", &archive)]
        }),
    ];
    for (told, layers) in cases {
        let (_, error) = import(&layout(&config("llama", "3.1.0"), layers), &signed()).await;
        let error = error.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn models_from_before_the_cncf_are_known_too() {
    let mut files = layout(&config("llama", "3.1.0"), |files| {
        let mut layer = files.add_blob("application/vnd.cnai.model.weight.v1", b"w");
        layer["annotations"] = json!({ "org.cnai.model.filepath": "weights" });
        vec![layer]
    });
    files.edit_manifest(|_, manifest| {
        manifest["config"]["mediaType"] = "application/vnd.cnai.model.config.v1+json".into();
        manifest["artifactType"] = "application/vnd.cnai.model.manifest.v1+json".into();
    });
    let (to, arrivals) = import(&files, &signed()).await;
    let version = arrivals.unwrap().remove(0).version;
    assert_eq!(to.fetch(&version, "weights").await.unwrap(), &b"w"[..]);
}
